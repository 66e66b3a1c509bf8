//! What is compared in PostgreSQL: each kind of object, each attribute; and that the manual names the rest.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::told;
use crate::support::{TestEnv, block_on, postgres};
use crate::tidy::root;

/// One of everything that PostgreSQL has.
const EVERYTHING: &str = include_str!("everything.sql");

/// A change made by hand, what has to be told of it, and what takes it back.
type Row = (&'static str, &'static [&'static str], &'static str);

#[rustfmt::skip]
const CHANGES: &[Row] = &[
    // Rules.
    ("drop rule no_delete on plain", &["rule no_delete on public.plain: absent"], "create rule no_delete as on delete to plain do instead nothing"),
    ("create rule sly as on insert to parent do also delete from parent", &["rule sly on public.parent: not recorded"], "drop rule sly on parent"),
    ("alter table refs disable rule no_insert", &["rule no_insert on public.refs: enabled"], "alter table refs enable rule no_insert"),
    // Tables.
    ("alter table child no inherit parent", &["table public.child: inherits"], "alter table child inherit parent"),
    ("alter table plain replica identity full", &["table public.plain: replica identity"], "alter table plain replica identity using index plain_code"),
    ("alter table refs replica identity nothing", &["table public.refs: replica identity"], "alter table refs replica identity default"),
    ("alter table refs cluster on refs_pkey", &["table public.refs: clustered on"], "alter table refs set without cluster"),
    ("alter table toasty reset (toast.autovacuum_enabled)", &["table public.toasty: toast options"], "alter table toasty set (toast.autovacuum_enabled = false)"),
    ("alter table toasty set access method heap2", &["table public.toasty: access method"], "alter table toasty set access method heap"),
    ("alter table ordered drop column a; alter table ordered add column a integer", &["table public.ordered: columns"], "alter table ordered drop column b, drop column c; alter table ordered add column b integer, add column c integer"),
    ("alter table parted detach partition part1", &["index public.part1_at_idx: attached to", "table public.part1: partition bound", "table public.part1: partition of"], "alter table parted attach partition part1 for values from ('2020-01-01') to ('2021-01-01')"),
    // Columns.
    ("alter table plain alter column note set storage main", &["column public.plain.note: storage"], "alter table plain alter column note set storage external"),
    ("alter table plain alter column note set statistics 200", &["column public.plain.note: statistics"], "alter table plain alter column note set statistics 100"),
    ("alter table plain alter column note reset (n_distinct)", &["column public.plain.note: options"], "alter table plain alter column note set (n_distinct = 5)"),
    ("alter table plain alter column note set compression default", &["column public.plain.note: compression"], "alter table plain alter column note set compression pglz"),
    ("alter view seen alter column note drop default", &["view public.seen: column defaults"], "alter view seen alter column note set default 'x'"),
    ("alter materialized view counted alter column n set statistics 7", &["materialized view public.counted: column statistics"], "alter materialized view counted alter column n set statistics -1"),
    ("refresh materialized view counted with no data", &["materialized view public.counted: populated"], "refresh materialized view counted"),
    // Constraints and indexes.
    ("alter table refs disable trigger all", &["constraint refs_plain on public.refs: trigger state"], "alter table refs enable trigger all"),
    ("alter index refs_pkey set (fillfactor = 50)", &["constraint refs_pkey on public.refs: index options"], "alter index refs_pkey reset (fillfactor)"),
    ("alter index plain_expr alter column 1 set statistics 60", &["index public.plain_expr: column statistics"], "alter index plain_expr alter column 1 set statistics 50"),
    ("drop statistics together", &["statistics public.together: absent"], "create statistics together (dependencies) on id, note from plain"),
    ("alter statistics apart set statistics 9", &["statistics public.apart: target"], "alter statistics apart set statistics -1"),
    ("create statistics extra on a, b from parent", &["statistics public.extra: not recorded"], "drop statistics extra"),
    // Sequences.
    ("alter sequence tickets cache 1", &["sequence public.tickets: cache"], "alter sequence tickets cache 5"),
    // Types.
    ("alter type address add attribute zip text", &["composite type public.address: attributes"], "alter type address drop attribute zip"),
    ("drop type gone_spans", &["range type public.gone_spans: absent"], "create type gone_spans as range (subtype = integer)"),
    ("alter type base set (storage = main)", &["base type public.base: storage"], "alter type base set (storage = extended)"),
    ("drop type shell", &["base type public.shell: absent"], "create type shell"),
    ("drop cast (integer as base); create cast (integer as base) with function to_base(integer) as implicit", &["cast (integer AS public.base): context"], "drop cast (integer as base); create cast (integer as base) with function to_base(integer)"),
    ("drop collation mine; create collation mine (provider = icu, locale = 'sv')", &["collation public.mine: locale"], "drop collation mine; create collation mine (provider = icu, locale = 'de')"),
    ("drop collation theirs", &["collation public.theirs: absent"], "create collation theirs (provider = icu, locale = 'fr')"),
    ("drop conversion latin", &["conversion public.latin: absent"], "create conversion latin for 'LATIN1' to 'UTF8' from iso8859_1_to_utf8"),
    ("drop transform for integer language sql", &["transform for integer language sql: absent"], "create transform for integer language sql (from sql with function prsd_lextype(internal), to sql with function int4recv(internal))"),
    // Routines and what is made of them.
    ("drop aggregate gone(integer)", &["aggregate public.gone(integer): absent"], "create aggregate gone(integer) (sfunc = int4pl, stype = integer)"),
    ("create or replace aggregate total(integer) (sfunc = int4pl, stype = integer, initcond = '7')", &["aggregate public.total(integer): initial"], "create or replace aggregate total(integer) (sfunc = int4pl, stype = integer, initcond = '0')"),
    ("create or replace function w(a integer) returns bigint language internal window as 'window_rank'", &["function public.w(a integer): definition"], "create or replace function w(a integer) returns bigint language internal window as 'window_row_number'"),
    ("alter operator = (base, base) set (restrict = none)", &["operator public.= (public.base, public.base): restrict"], "alter operator = (base, base) set (restrict = eqsel)"),
    ("drop operator class gone_ops using btree", &["operator class public.gone_ops using btree: absent", "operator family public.gone_ops using btree: functions", "operator family public.gone_ops using btree: operators"], "create operator class gone_ops for type base using btree family gone_ops as operator 3 =, function 1 base_cmp(base, base)"),
    ("alter operator family loose using btree add function 1 base_cmp(base, base)", &["operator family public.loose using btree: functions"], "alter operator family loose using btree drop function 1 (base, base)"),
    ("drop language sheep", &["language sheep: absent"], "create language sheep handler plpgsql_call_handler inline plpgsql_inline_handler validator plpgsql_validator"),
    // Text search.
    ("alter text search configuration words drop mapping for word", &["text search configuration public.words: mappings"], "alter text search configuration words add mapping for word with plain_words, simple"),
    ("alter text search dictionary plain_words (accept = false)", &["text search dictionary public.plain_words: options"], "alter text search dictionary plain_words (accept)"),
    ("drop text search parser own_parser", &["text search parser public.own_parser: absent"], "create text search parser own_parser (start = prsd_start, gettoken = prsd_nexttoken, end = prsd_end, lextypes = prsd_lextype)"),
    ("drop text search template own_template", &["text search template public.own_template: absent"], "create text search template own_template (lexize = dsimple_lexize, init = dsimple_init)"),
    // Of the database.
    ("alter event trigger watch disable", &["event trigger watch: enabled"], "alter event trigger watch enable"),
    ("alter publication feed set table plain (id) where (id > 5)", &["publication feed: tables"], "alter publication feed set table plain (id, code) where (id > 5)"),
    ("alter publication feeds drop tables in schema app", &["publication feeds: schemas"], "alter publication feeds add tables in schema app"),
    ("drop publication silent", &["publication silent: absent"], "create publication silent"),
    ("alter subscription inflow set publication silent with (refresh = false)", &["subscription inflow: publications"], "alter subscription inflow set publication feed with (refresh = false)"),
    ("alter default privileges in schema app grant insert on tables to public", &["default privileges of postgres in schema app on tables: rights"], "alter default privileges in schema app revoke insert on tables from public"),
    ("alter database NAME set work_mem = '7MB'", &["setting work_mem of the database: value"], "alter database NAME set work_mem = '5MB'"),
    ("alter database NAME set app.tenant = 'other'", &["setting app.tenant of the database: value"], "alter database NAME set app.tenant = 'one'"),
    ("alter role NAME_app reset statement_timeout", &["setting statement_timeout of role NAME_app: absent"], "alter role NAME_app set statement_timeout = '5s'"),
    ("alter role NAME_app in database NAME set work_mem = '1MB'", &["setting work_mem of role NAME_app in the database: value"], "alter role NAME_app in database NAME set work_mem = '6MB'"),
    // Elsewhere.
    ("alter foreign data wrapper wrap options (set mode 'other')", &["foreign-data wrapper wrap: option values"], "alter foreign data wrapper wrap options (set mode 'one')"),
    ("alter server far options (add port '1')", &["server far: option names", "server far: option values"], "alter server far options (drop port)"),
    ("alter user mapping for public server far options (set user 'other')", &["user mapping for public on far: option values"], "alter user mapping for public server far options (set user 'one')"),
    ("alter foreign table remote options (set table_name 'z')", &["foreign table public.remote: foreign options"], "alter foreign table remote options (set table_name 'y')"),
    ("alter foreign table remote alter column id options (set column_name 'z')", &["column public.remote.id: foreign options"], "alter foreign table remote alter column id options (set column_name 'x')"),
];

/// What a role is set to is the whole server's: one test at a time.
static ROLES: Mutex<()> = Mutex::new(());

fn project() -> (TestEnv, MutexGuard<'static, ()>) {
    let one = ROLES.lock().unwrap_or_else(PoisonError::into_inner);
    let env = TestEnv::new();
    env.file("migrations/postgres/V1__everything.sql", EVERYTHING);
    env.run(&["up"]).expect(0);
    assert_eq!(told(&env, "postgres", 0), BTreeSet::new());
    (env, one)
}

/// A role is the whole server's: it must not outlive the test.
fn without_role(env: &TestEnv) {
    env.sql("drop subscription inflow; drop owned by NAME_app; drop role NAME_app");
}

#[test]
fn every_kind_of_change_is_told_and_nothing_once_it_is_taken_back() {
    let (env, _one) = project();
    for (change, ..) in CHANGES {
        env.sql(change);
    }
    let all: BTreeSet<String> =
        CHANGES.iter().flat_map(|(_, told, _)| *told).map(|told| env.named(told)).collect();
    assert_eq!(told(&env, "postgres", 3), all);
    // Whatever is told, a person reads what to do about it.
    let found = env.run(&["validate", "--output", "json"]).expect(3).json();
    for finding in found["findings"].as_array().expect("findings") {
        assert!(finding["hint"].as_str().is_some_and(|hint| !hint.is_empty()), "{finding}");
    }
    for (.., back) in CHANGES {
        env.sql(back);
    }
    assert_eq!(told(&env, "postgres", 0), BTreeSet::new());
    without_role(&env);
}

#[test]
fn no_secret_of_an_option_or_setting_is_recorded_or_told() {
    let (env, _one) = project();
    env.sql("alter server far options (set password 'othersecret')");
    env.sql("alter database NAME set app.secret = 'othersecret'");
    env.sql("alter user mapping for public server far options (set password 'othersecret')");
    // What is told of them is that the names of options differ.
    env.sql("alter server far options (add port '1')");
    let said = env.run(&["validate", "--output", "html"]).expect(3);
    let ledger = env.sql("SELECT s::text FROM aiplat_migrate.shape s").concat();
    for secret in ["topsecret", "othersecret"] {
        assert!(!ledger.contains(secret) && !said.stdout.contains(secret), "{secret}");
    }
    assert!(ledger.contains(r#"""password"": ""…"""#), "{ledger}");
    without_role(&env);
}

/// Where the objects of a catalog are in the shape: the kind, or the attribute that holds them.
#[rustfmt::skip]
const HELD: &[(&str, &str)] = &[
    ("pg_am", "\"access method heap2\""),
    ("pg_amop", "\"operators\""),
    ("pg_amproc", "\"functions\""),
    ("pg_attrdef", "\"column defaults\""),
    ("pg_cast", "\"cast (integer AS public.base)\""),
    ("pg_class", "\"table public.plain\""),
    ("pg_collation", "\"collation public.mine\""),
    ("pg_constraint", "\"constraint refs_plain on public.refs\""),
    ("pg_conversion", "\"conversion public.latin\""),
    ("pg_default_acl", "\"default privileges of "),
    ("pg_enum", "\"labels\""),
    ("pg_event_trigger", "\"event trigger watch\""),
    ("pg_extension", "\"extension pg_trgm\""),
    ("pg_foreign_data_wrapper", "\"foreign-data wrapper wrap\""),
    ("pg_foreign_server", "\"server far\""),
    ("pg_language", "\"language sheep\""),
    ("pg_namespace", "\"schema app\""),
    ("pg_opclass", "\"operator class public.base_ops using btree\""),
    ("pg_operator", "\"operator public.= (public.base, public.base)\""),
    ("pg_opfamily", "\"operator family public.loose using btree\""),
    ("pg_policy", "\"policy own on public.plain\""),
    ("pg_proc", "\"function public.f(a integer)\""),
    ("pg_publication", "\"publication feed\""),
    ("pg_publication_namespace", "\"schemas\""),
    ("pg_publication_rel", "\"tables\""),
    ("pg_rewrite", "\"rule no_delete on public.plain\""),
    ("pg_statistic_ext", "\"statistics public.together\""),
    ("pg_subscription", "\"subscription inflow\""),
    ("pg_transform", "\"transform for integer language sql\""),
    ("pg_trigger", "\"trigger stamped on public.plain\""),
    ("pg_ts_config", "\"text search configuration public.words\""),
    ("pg_ts_dict", "\"text search dictionary public.plain_words\""),
    ("pg_ts_parser", "\"text search parser public.own_parser\""),
    ("pg_ts_template", "\"text search template public.own_template\""),
    ("pg_type", "\"composite type public.address\""),
    ("pg_user_mapping", "\"user mapping for public on far\""),
];

/// Every catalog whose rows are objects, as the server says: what a dependency may be of.
const CATALOGS: &str = "
    SELECT c.relname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'oid'
    WHERE c.relnamespace = 'pg_catalog'::regnamespace AND c.relkind = 'r' AND a.attnum > 0
    UNION SELECT classid::regclass::text FROM pg_depend
    UNION SELECT refclassid::regclass::text FROM pg_depend
    UNION SELECT classid::regclass::text FROM pg_shdepend ORDER BY 1";

#[test]
fn each_catalog_of_objects_is_compared_or_named_as_not_compared() {
    let (env, _one) = project();
    let manual = std::fs::read_to_string(root().join("docs/drift.md")).expect("manual");
    let (_, rest) = manual.split_once("## What is not compared").expect("a heading");
    let left_out = rest.split("\n#").next().expect("a section");
    let shape =
        env.sql("SELECT recorded FROM aiplat_migrate.shape WHERE store = 'postgres'").concat();
    let catalogs = env.sql(CATALOGS);
    assert!(catalogs.len() > 35, "{catalogs:?}");
    for catalog in &catalogs {
        let held = HELD.iter().find(|(held, _)| held == catalog);
        match (held, left_out.contains(&format!("`{catalog}`"))) {
            (Some((_, object)), false) => {
                assert!(shape.contains(object), "{catalog}: no {object} in {shape}");
                let made = env.sql(&format!("SELECT count(*) > 0 FROM {catalog}"));
                assert_eq!(made, ["t"], "{catalog}");
            }
            (None, true) => {}
            (held, named) => panic!("{catalog}: compared {held:?}, named as not compared {named}"),
        }
    }
    without_role(&env);
}

/// Objects of the server, of extensions and of other sessions are nobody's migration's.
#[test]
fn what_extensions_and_sessions_make_is_not_looked_at() {
    let env = TestEnv::new();
    env.file("migrations/postgres/V1__a.sql", "create extension hstore; create extension citext;");
    env.run(&["up"]).expect(0);
    let url = env.get("AIPLAT_MIGRATE_POSTGRES_URL");
    let found = block_on(async {
        let session = postgres(&url).await;
        session.batch_execute("create temp table t (a int primary key)").await.expect("table");
        let env = &env;
        tokio::task::block_in_place(|| {
            env.run(&["validate", "--strict", "--output", "json"]).expect(0).json()
        })
    });
    let errors = found["findings"].as_array().expect("findings").iter();
    let errors: Vec<_> = errors.filter(|finding| finding["severity"] == "error").collect();
    assert!(errors.is_empty(), "{errors:?}");
    let kinds = "SELECT count(*) FROM aiplat_migrate.shape s, jsonb_object_keys(s.recorded) k \
                 WHERE k !~ '^(extension|shape) '";
    assert_eq!(env.sql(kinds), ["0"]);
}
