create schema app;
create extension pg_trgm;
create table plain (id integer primary key, note text, code text not null, unique (code));
alter table plain alter column note set storage external, alter column note set statistics 100;
alter table plain alter column note set (n_distinct = 5), alter column note set compression pglz;
create table parent (a integer, b text);
create table child (c integer) inherits (parent);
create table parted (id integer, at date) partition by range (at);
create table part1 partition of parted for values from ('2020-01-01') to ('2021-01-01');
create index parted_at on parted (at);
create table refs (
    id integer primary key, plain_id integer constraint refs_plain references plain (id), n integer
);
create table toasty (body text) with (toast.autovacuum_enabled = false);
create table ordered (a integer, b integer, c integer);
create index plain_expr on plain (lower(note));
alter index plain_expr alter column 1 set statistics 50;
create unique index plain_code on plain (code);
alter table plain replica identity using index plain_code;
create view seen as select id, note from plain;
alter view seen alter column note set default 'x';
create rule no_delete as on delete to plain do instead nothing;
create rule no_insert as on insert to refs do instead nothing;
create materialized view counted as select count(*) as n from plain;
create sequence tickets cache 5;
create function f(a integer) returns integer language sql as 'select a + 1';
create procedure p() language sql as 'select 1';
create function w(a integer) returns bigint language internal window as 'window_row_number';
create aggregate total(integer) (sfunc = int4pl, stype = integer, initcond = '0');
create aggregate gone(integer) (sfunc = int4pl, stype = integer);
create type mood as enum ('sad', 'ok');
create domain percent as integer check (value >= 0);
create type address as (street text, city text);
create type spans as range (subtype = integer);
create type gone_spans as range (subtype = integer);
create type shell;
create type base;
create function base_in(cstring) returns base language internal immutable strict as 'textin';
create function base_out(base) returns cstring language internal immutable strict as 'textout';
create type base (input = base_in, output = base_out, like = text);
create function base_eq(base, base) returns boolean language internal immutable strict as 'texteq';
create function base_cmp(base, base) returns integer language internal immutable strict as 'bttextcmp';
create operator = (leftarg = base, rightarg = base, function = base_eq, commutator = =, restrict = eqsel);
create operator class base_ops for type base using btree as operator 3 =, function 1 base_cmp(base, base);
create operator class gone_ops for type base using btree as operator 3 =, function 1 base_cmp(base, base);
create operator family loose using btree;
create function to_base(integer) returns base language sql as 'select $1::text::base';
create cast (integer as base) with function to_base(integer);
create collation mine (provider = icu, locale = 'de');
create collation theirs (provider = icu, locale = 'fr');
create conversion latin for 'LATIN1' to 'UTF8' from iso8859_1_to_utf8;
create transform for integer language sql (
    from sql with function prsd_lextype(internal), to sql with function int4recv(internal)
);
create language sheep
    handler plpgsql_call_handler inline plpgsql_inline_handler validator plpgsql_validator;
create access method heap2 type table handler heap_tableam_handler;
create text search dictionary plain_words (template = simple, stopwords = english);
create text search configuration words (parser = "default");
alter text search configuration words add mapping for asciiword, word with plain_words, simple;
create text search parser own_parser (
    start = prsd_start, gettoken = prsd_nexttoken, end = prsd_end, lextypes = prsd_lextype
);
create text search template own_template (lexize = dsimple_lexize, init = dsimple_init);
create function stamp() returns trigger language plpgsql as $$ begin return new; end $$;
create trigger stamped before update on plain for each row execute function stamp();
alter table plain enable row level security;
create policy own on plain using (note = current_user);
create statistics together (dependencies) on id, note from plain;
create statistics apart (ndistinct) on id, n from refs;
create function on_ddl() returns event_trigger language plpgsql as $$ begin end $$;
create event trigger watch on ddl_command_end when tag in ('DROP INDEX') execute function on_ddl();
create publication feed for table plain (id, code) where (id > 5);
create publication feeds for tables in schema app;
create publication silent;
create subscription inflow connection 'host=localhost password=topsecret' publication feed
    with (connect = false, slot_name = none);
create foreign data wrapper wrap options (secret 'topsecret', mode 'one');
create server far type 'x' version '1' foreign data wrapper wrap options (host 'h', password 'topsecret');
create user mapping for public server far options (user 'one', password 'topsecret');
create foreign table remote (id integer options (column_name 'x'), check (id > 0)) server far
    options (table_name 'y');
alter default privileges in schema app grant select on tables to public;
create role NAME_app;
alter role NAME_app set statement_timeout = '5s';
alter role NAME_app in database NAME set work_mem = '6MB';
alter database NAME set work_mem = '5MB';
alter database NAME set app.secret = 'topsecret';
alter database NAME set app.tenant = 'one';
select lo_create(4711);
