//! What `down` loses in PostgreSQL, asked of the server: each way to lose data is refused with its
//! figure and touches nothing, and what loses nothing needs no flag.

use crate::support::TestEnv;

/// What a V file makes, what its U file does, and what is to be said of it. `@` is a schema of the
/// case's own.
struct Case(&'static str, &'static str, &'static str);

const T: &str = "CREATE TABLE @.t (id int PRIMARY KEY, a text, b int); \
                 INSERT INTO @.t SELECT g, 'a' || g, g FROM generate_series(1, 5) g;";

/// A table `t` with five rows of `id`, `a` (text) and `b` (int) is there in each.
const LOSSES: &[Case] = &[
    // Parts of the values of a type of the user's own
    Case(
        "CREATE TYPE @.ct AS (x int, y int); CREATE TABLE @.v (c @.ct); INSERT INTO @.v VALUES ((1, 2));",
        "ALTER TYPE @.ct DROP ATTRIBUTE y CASCADE;",
        "column c of @.v is overwritten in 1 row",
    ),
    Case(
        "CREATE TYPE @.ct AS (x int, y int); CREATE TABLE @.v (c @.ct[]); INSERT INTO @.v VALUES (ARRAY[(1, 2)::@.ct]);",
        "ALTER TYPE @.ct DROP ATTRIBUTE y CASCADE;",
        "column c of @.v is overwritten in 1 row",
    ),
    Case(
        "CREATE DOMAIN @.dd AS text; CREATE TYPE @.ct AS (x int, d @.dd); CREATE TABLE @.v (c @.ct); INSERT INTO @.v VALUES ((1, 'x'));",
        "DROP DOMAIN @.dd CASCADE;",
        "column c of @.v is overwritten in 1 row",
    ),
    Case(
        "CREATE TABLE @.row (x int, y int); CREATE TABLE @.v (c @.row); INSERT INTO @.v VALUES ((1, 2));",
        "ALTER TABLE @.row DROP COLUMN y;",
        "column c of @.v is overwritten in 1 row",
    ),
    Case(
        "CREATE TYPE @.ct AS (x int, y int); CREATE TYPE @.outer AS (c @.ct); CREATE DOMAIN @.dm AS @.outer; CREATE TABLE @.v (c @.dm); INSERT INTO @.v VALUES (ROW(ROW(1, 2))::@.outer);",
        "ALTER TYPE @.ct DROP ATTRIBUTE y CASCADE;",
        "column c of @.v is overwritten in 1 row",
    ),
    // Sequences
    Case(
        "CREATE SEQUENCE @.s; SELECT nextval('@.s'), nextval('@.s');",
        "DROP SEQUENCE @.s; CREATE SEQUENCE @.s;",
        "sequence @.s goes back from 2 to its start",
    ),
    Case(
        "CREATE SEQUENCE @.s MINVALUE -9; SELECT nextval('@.s'), nextval('@.s');",
        "ALTER SEQUENCE @.s INCREMENT -1;",
        "sequence @.s turns round at",
    ),
    // Dropped
    Case("", "DROP TABLE @.t;", "table @.t holds 5 rows"),
    Case("", "DROP TABLE IF EXISTS @.nothing, @.t CASCADE;", "table @.t holds 5 rows"),
    Case("", "ALTER TABLE @.t rename TO u; DROP TABLE @.u;", "table @.t holds 5 rows"),
    Case("", "ALTER SCHEMA @ rename TO @_x; DROP TABLE @_x.t CASCADE;", "table @.t holds 5 rows"),
    Case(
        "CREATE SCHEMA @_x;",
        "ALTER TABLE @.t SET SCHEMA @_x; DROP SCHEMA @_x CASCADE;",
        "table @.t holds 5 rows",
    ),
    Case("", "DROP SCHEMA @ CASCADE;", "table @.t holds 5 rows"),
    Case("", "SET search_path TO @; DROP TABLE t;", "table @.t holds 5 rows"),
    Case(
        "",
        "SET LOCAL search_path TO @; ALTER TABLE t DROP COLUMN a;",
        "column a of @.t is set in 5 rows",
    ),
    Case("", "DO $$ BEGIN EXECUTE 'drop table @.' || chr(116); END $$;", "table @.t holds 5 rows"),
    Case(
        "CREATE FUNCTION @.f() RETURNS void LANGUAGE plpgsql AS 'BEGIN DROP TABLE @.t; END';",
        "SELECT @.f();",
        "table @.t holds 5 rows",
    ),
    Case(
        "CREATE PROCEDURE @.p() LANGUAGE plpgsql AS 'BEGIN EXECUTE ''DROP TABLE @.t''; END';",
        "CALL @.p();",
        "table @.t holds 5 rows",
    ),
    Case("", "DROP TABLE @.t; CREATE TABLE @.t (id int);", "table @.t holds 5 rows"),
    Case(
        "",
        "CREATE TABLE @.n AS SELECT id FROM @.t; DROP TABLE @.t; ALTER TABLE @.n rename TO t;",
        "table @.t holds 5 rows",
    ),
    Case(
        "CREATE TABLE @.\"Größe \"\"x\"\"\" (i int); INSERT INTO @.\"Größe \"\"x\"\"\" VALUES (1);",
        "DROP TABLE @.U&\"Gr\\00f6\\00dfe \"\"x\"\"\";",
        "holds 1 row",
    ),
    Case(
        "CREATE UNLOGGED TABLE @.u (i int); INSERT INTO @.u VALUES (1);",
        "DROP TABLE @.u;",
        "table @.u holds 1 row",
    ),
    Case(
        "CREATE TABLE @.p (i int) PARTITION BY RANGE (i); CREATE TABLE @.p1 PARTITION OF @.p FOR VALUES FROM (0) TO (10); CREATE TABLE @.p2 PARTITION OF @.p DEFAULT; INSERT INTO @.p SELECT generate_series(8, 14);",
        "DROP TABLE @.p;",
        "table @.p holds 7 rows",
    ),
    Case(
        "CREATE TABLE @.p (i int) PARTITION BY RANGE (i); CREATE TABLE @.p1 PARTITION OF @.p FOR VALUES FROM (0) TO (10); CREATE TABLE @.p2 PARTITION OF @.p DEFAULT; INSERT INTO @.p SELECT generate_series(8, 14);",
        "DROP TABLE @.p1;",
        "table @.p1 holds 2 rows",
    ),
    Case(
        "CREATE TABLE @.p (i int) PARTITION BY RANGE (i); CREATE TABLE @.p1 PARTITION OF @.p FOR VALUES FROM (0) TO (10); CREATE TABLE @.p2 PARTITION OF @.p DEFAULT; INSERT INTO @.p SELECT generate_series(8, 14);",
        "ALTER TABLE @.p DETACH PARTITION @.p2; DROP TABLE @.p2;",
        "holds 5 rows",
    ),
    Case(
        "CREATE TABLE @.p (i int) PARTITION BY RANGE (i); CREATE TABLE @.p1 PARTITION OF @.p FOR VALUES FROM (0) TO (10) PARTITION BY LIST (i); CREATE TABLE @.p11 PARTITION OF @.p1 DEFAULT; INSERT INTO @.p VALUES (1), (2);",
        "DROP TABLE @.p1;",
        "table @.p1 holds 2 rows",
    ),
    Case(
        "CREATE TABLE @.c (x int) INHERITS (@.t); INSERT INTO @.c VALUES (9, 'c', 9, 9);",
        "DROP TABLE @.c;",
        "table @.c holds 1 row",
    ),
    Case(
        "CREATE TABLE @.c (x int) INHERITS (@.t); INSERT INTO @.c VALUES (9, 'c', 9, 9);",
        "DROP TABLE @.t CASCADE;",
        "table @.c holds 1 row",
    ),
    Case(
        "CREATE TYPE @.r AS (x int, y text); CREATE TABLE @.o OF @.r; INSERT INTO @.o VALUES (1, 'y');",
        "DROP TYPE @.r CASCADE;",
        "table @.o holds 1 row",
    ),
    Case(
        "CREATE ROLE @_NAME; CREATE TABLE @.o (i int); INSERT INTO @.o VALUES (1), (2); ALTER TABLE @.o OWNER TO @_NAME;",
        "DROP OWNED BY @_NAME; DROP ROLE @_NAME;",
        "table @.o holds 2 rows",
    ),
    // Columns
    Case("", "ALTER TABLE @.t DROP COLUMN a;", "column a of @.t is set in 5 rows"),
    Case(
        "UPDATE @.t SET a = NULL WHERE id > 2;",
        "ALTER TABLE @.t DROP a, DROP IF EXISTS zz, DROP b;",
        "column a of @.t is set in 2 rows",
    ),
    Case(
        "",
        "ALTER TABLE @.t rename COLUMN a TO z; ALTER TABLE @.t DROP COLUMN z;",
        "column a of @.t is set in 5 rows",
    ),
    Case(
        "ALTER TABLE @.t ADD COLUMN d int DEFAULT 7;",
        "ALTER TABLE @.t DROP COLUMN d;",
        "column d of @.t is set in 5 rows",
    ),
    Case(
        "ALTER TABLE @.t ADD aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa int DEFAULT 1;",
        "ALTER TABLE @.t DROP COLUMN aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa;",
        "is set in 5 rows",
    ),
    Case(
        "CREATE TYPE @.mood AS ENUM ('x'); ALTER TABLE @.t ADD m @.mood DEFAULT 'x';",
        "DROP TYPE @.mood CASCADE;",
        "column m of @.t is set in 5 rows",
    ),
    Case(
        "CREATE DOMAIN @.d AS int; ALTER TABLE @.t ADD d @.d DEFAULT 1;",
        "DROP DOMAIN @.d CASCADE;",
        "column d of @.t is set in 5 rows",
    ),
    Case(
        "CREATE TYPE @.r AS (x int, y text); ALTER TABLE @.t ADD r @.r; UPDATE @.t SET r = ROW(NULL, NULL) WHERE id = 1;",
        "ALTER TABLE @.t DROP r;",
        "column r of @.t is set in 1 row",
    ),
    Case(
        "CREATE TYPE @.r AS (x int, y text); CREATE TABLE @.o OF @.r; INSERT INTO @.o VALUES (1, 'y');",
        "ALTER TYPE @.r DROP ATTRIBUTE y CASCADE;",
        "column y of @.o is set in 1 row",
    ),
    Case(
        "CREATE EXTENSION IF NOT EXISTS citext SCHEMA public; ALTER TABLE @.t ADD e citext DEFAULT 'e';",
        "DROP EXTENSION citext CASCADE;",
        "column e of @.t is set in 5 rows",
    ),
    Case(
        "CREATE TABLE @.c (x int) INHERITS (@.t); INSERT INTO @.c VALUES (9, 'c', 9, 9);",
        "ALTER TABLE @.t DROP COLUMN b;",
        "column b of @.c is set in 1 row",
    ),
    Case(
        "CREATE TABLE @.p (i int, v text) PARTITION BY LIST (i); CREATE TABLE @.p1 PARTITION OF @.p FOR VALUES IN (1); CREATE TABLE @.p2 PARTITION OF @.p DEFAULT; INSERT INTO @.p VALUES (1, 'x'), (2, 'y'), (3, NULL);",
        "ALTER TABLE @.p DROP COLUMN v;",
        "column v of @.p is set in 2 rows",
    ),
    // Deleted
    Case("", "DELETE FROM @.t WHERE id < 4;", "3 rows of table @.t are deleted"),
    Case(
        "",
        "DELETE FROM ONLY @.t USING generate_series(1, 2) g WHERE id = g;",
        "2 rows of table @.t are deleted",
    ),
    Case(
        "",
        "WITH gone AS (DELETE FROM @.t RETURNING *) SELECT count(*) FROM gone;",
        "5 rows of table @.t are deleted",
    ),
    Case(
        "",
        "MERGE INTO @.t USING generate_series(1, 2) g ON id = g WHEN MATCHED THEN DELETE;",
        "2 rows of table @.t are deleted",
    ),
    Case("", "TRUNCATE @.t;", "table @.t holds 5 rows"),
    Case("", "DELETE FROM @.t; TRUNCATE @.t;", "table @.t holds 5 rows"),
    Case("", "TRUNCATE @.t; INSERT INTO @.t VALUES (1, 'a1', 1);", "4 rows of table @.t are lost"),
    Case(
        "CREATE TABLE @.k (id int REFERENCES @.t); INSERT INTO @.k VALUES (1), (2);",
        "TRUNCATE @.t CASCADE;",
        "table @.k holds 2 rows",
    ),
    Case(
        "CREATE TABLE @.k (id int REFERENCES @.t ON DELETE CASCADE); INSERT INTO @.k VALUES (1), (2);",
        "DELETE FROM @.t WHERE id = 1;",
        "1 row of table @.k is deleted",
    ),
    Case(
        "CREATE TABLE @.k (id int REFERENCES @.t ON DELETE SET NULL); INSERT INTO @.k VALUES (1), (2);",
        "DELETE FROM @.t WHERE id < 3;",
        "column id of @.k is overwritten in 2 rows",
    ),
    Case(
        "INSERT INTO @.t VALUES (0); CREATE TABLE @.k (n int, id int DEFAULT 0 REFERENCES @.t ON DELETE SET DEFAULT); INSERT INTO @.k VALUES (1, 1), (2, 2);",
        "DELETE FROM @.t WHERE id = 1;",
        "column id of @.k is overwritten in 1 row",
    ),
    Case(
        "CREATE TABLE @.k (id int REFERENCES @.t ON UPDATE CASCADE); INSERT INTO @.k VALUES (1), (2);",
        "UPDATE @.t SET id = id + 10 WHERE id < 3;",
        "column id of @.k is overwritten in 2 rows",
    ),
    Case(
        "CREATE RULE r AS ON INSERT TO @.t DO ALSO DELETE FROM @.t WHERE id = 3;",
        "INSERT INTO @.t VALUES (7);",
        "1 row of table @.t is deleted",
    ),
    Case(
        "CREATE VIEW @.v AS SELECT * FROM @.t;",
        "DELETE FROM @.v WHERE id = 2;",
        "1 row of table @.t is deleted",
    ),
    Case(
        "CREATE TABLE @.l (i int); INSERT INTO @.l VALUES (1), (2); CREATE FUNCTION @.f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN DELETE FROM @.l; RETURN NULL; END'; CREATE TRIGGER g AFTER INSERT ON @.t FOR EACH STATEMENT EXECUTE FUNCTION @.f();",
        "INSERT INTO @.t VALUES (7);",
        "2 rows of table @.l are deleted",
    ),
    Case(
        "CREATE TABLE @.l (i int); INSERT INTO @.l VALUES (1), (2); CREATE FUNCTION @.f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN DELETE FROM @.l WHERE i = 1; RETURN NULL; END'; CREATE CONSTRAINT TRIGGER g AFTER INSERT ON @.t DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION @.f();",
        "INSERT INTO @.t VALUES (7);",
        "1 row of table @.l is deleted",
    ),
    Case(
        "CREATE FUNCTION @.f() RETURNS int LANGUAGE sql AS 'DELETE FROM @.t RETURNING 1';",
        "INSERT INTO @.t SELECT @.f() + 10;",
        "5 rows of table @.t are deleted",
    ),
    Case(
        "CREATE FUNCTION @.f() RETURNS int LANGUAGE sql BEGIN ATOMIC DELETE FROM @.t WHERE id = 1 RETURNING 1; END;",
        "SELECT @.f();",
        "1 row of table @.t is deleted",
    ),
    Case(
        "CREATE FUNCTION @.f() RETURNS int LANGUAGE sql AS 'DELETE FROM @.t WHERE id = 2 RETURNING 1';",
        "CREATE TABLE @.n (i int DEFAULT @.f()); INSERT INTO @.n DEFAULT VALUES;",
        "1 row of table @.t is deleted",
    ),
    Case(
        "CREATE FUNCTION @.f() RETURNS int LANGUAGE sql AS 'DELETE FROM @.t WHERE id = 2 RETURNING 1'; CREATE VIEW @.v AS SELECT @.f() AS x;",
        "CREATE TABLE @.n AS SELECT x FROM @.v;",
        "1 row of table @.t is deleted",
    ),
    Case(
        "",
        "PREPARE gone AS DELETE FROM @.t WHERE id = $1; EXECUTE gone(3);",
        "1 row of table @.t is deleted",
    ),
    Case(
        "",
        "DO $$ DECLARE c CURSOR FOR SELECT * FROM @.t FOR UPDATE; r record; BEGIN OPEN c; FETCH c INTO r; DELETE FROM @.t WHERE CURRENT OF c; END $$;",
        "1 row of table @.t is deleted",
    ),
    Case(
        "CREATE TABLE @.p (i int, v text) PARTITION BY LIST (i); CREATE TABLE @.p1 PARTITION OF @.p FOR VALUES IN (1); CREATE TABLE @.p2 PARTITION OF @.p DEFAULT; INSERT INTO @.p VALUES (1, 'x'), (2, 'y'), (3, NULL);",
        "DELETE FROM @.p;",
        "3 rows of table @.p are deleted",
    ),
    Case(
        "",
        "-- transaction: off\nDELETE FROM @.t WHERE id = 5;\nSELECT 1;",
        "1 row of table @.t is deleted",
    ),
    Case(
        "",
        "COMMENT ON TABLE @.t IS 'x'; COPY @.t (id) FROM stdin;\n100\n\\.\nDELETE FROM @.t WHERE id = 100 OR id = 1;\n",
        "2 rows of table @.t are deleted",
    ),
    // Overwritten
    Case("", "UPDATE @.t SET a = 'x' WHERE id < 3;", "column a of @.t is overwritten in 2 rows"),
    Case("", "UPDATE @.t SET b = b + 1, a = NULL;", "column b of @.t is overwritten in 5 rows"),
    Case(
        "",
        "UPDATE @.t x SET a = y.a FROM @.t y WHERE y.id = 6 - x.id;",
        "values of table @.t are exchanged in 4 rows",
    ),
    Case(
        "",
        "INSERT INTO @.t VALUES (1, 'new', 1) ON CONFLICT (id) DO UPDATE SET a = excluded.a;",
        "column a of @.t is overwritten in 1 row",
    ),
    Case(
        "",
        "MERGE INTO @.t USING generate_series(1, 3) g ON id = g WHEN MATCHED THEN UPDATE SET b = 0;",
        "column b of @.t is overwritten in 3 rows",
    ),
    Case(
        "CREATE FUNCTION @.f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.a := ''lost''; RETURN NEW; END'; CREATE TRIGGER g BEFORE UPDATE ON @.t FOR EACH ROW EXECUTE FUNCTION @.f(); ALTER TABLE @.t ADD n int;",
        "UPDATE @.t SET n = 1 WHERE id = 1;",
        "column a of @.t is overwritten in 1 row",
    ),
    Case(
        "ALTER TABLE @.t ADD j jsonb DEFAULT '{\"x\": 1, \"y\": 2}';",
        "UPDATE @.t SET j = j - 'x';",
        "column j of @.t is overwritten in 5 rows",
    ),
    Case(
        "CREATE COLLATION @.ci (provider = icu, locale = 'und-u-ks-level2', deterministic = false); ALTER TABLE @.t ADD n text COLLATE @.ci DEFAULT 'Ab';",
        "UPDATE @.t SET n = lower(n);",
        "column n of @.t is overwritten in 5 rows",
    ),
    Case(
        "UPDATE @.t SET a = a || repeat('long', 5000);",
        "ALTER TABLE @.t ALTER a TYPE varchar(3) USING left(a, 3);",
        "column a of @.t is overwritten in 5 rows",
    ),
    Case(
        "ALTER TABLE @.t ADD n numeric(10, 4); UPDATE @.t SET n = id + 0.125 WHERE id > 1;",
        "ALTER TABLE @.t ALTER n TYPE numeric(10, 2);",
        "column n of @.t is overwritten in 4 rows",
    ),
    Case(
        "ALTER TABLE @.t ADD n timestamptz DEFAULT '2020-02-02 10:11:12Z';",
        "ALTER TABLE @.t ALTER n TYPE date;",
        "column n of @.t is overwritten in 5 rows",
    ),
    Case(
        "ALTER TABLE @.t ADD n float8 DEFAULT 0.1;",
        "ALTER TABLE @.t ALTER n TYPE float4;",
        "column n of @.t is overwritten in 5 rows",
    ),
    Case(
        "ALTER TABLE @.t ADD n bigint DEFAULT 7;",
        "ALTER TABLE @.t ALTER n TYPE int USING 0;",
        "column n of @.t is overwritten in 5 rows",
    ),
    Case(
        "",
        "ALTER TABLE @.t ALTER a TYPE text USING NULL;",
        "column a of @.t is overwritten in 5 rows",
    ),
    Case(
        "",
        "ALTER TABLE @.t ALTER b TYPE boolean USING b > 2;",
        "column b of @.t is overwritten in",
    ),
    Case(
        "CREATE TABLE @.p (i int, v text) PARTITION BY LIST (i); CREATE TABLE @.p1 PARTITION OF @.p FOR VALUES IN (1); CREATE TABLE @.p2 PARTITION OF @.p DEFAULT; INSERT INTO @.p VALUES (1, 'xx'), (2, 'yy'), (3, NULL);",
        "ALTER TABLE @.p ALTER v TYPE varchar(1) USING left(v, 1);",
        "column v of @.p is overwritten in 2 rows",
    ),
    // Others
    Case(
        "",
        "ALTER TABLE @.t SET UNLOGGED;",
        "table @.t becomes unlogged: a crash empties it, and it holds 5 rows",
    ),
    Case(
        "CREATE SEQUENCE @.s; SELECT setval('@.s', 100);",
        "ALTER SEQUENCE @.s RESTART;",
        "sequence @.s goes back from 100",
    ),
    Case(
        "CREATE SEQUENCE @.s; SELECT setval('@.s', 100);",
        "ALTER SEQUENCE @.s RESTART WITH 50; SELECT nextval('@.s');",
        "sequence @.s goes back from 100 to 50",
    ),
    Case(
        "CREATE TABLE @.i (i int GENERATED ALWAYS AS IDENTITY); INSERT INTO @.i DEFAULT VALUES; INSERT INTO @.i DEFAULT VALUES;",
        "TRUNCATE @.i RESTART IDENTITY;",
        "sequence @.i_i_seq goes back from 2",
    ),
    Case(
        "CREATE SEQUENCE @.s; SELECT setval('@.s', 100);",
        "SELECT setval('@.s', 1);",
        "is not rehearsed: what setval does is not taken back",
    ),
    Case(
        "CREATE SEQUENCE @.s; SELECT setval('@.s', 100); CREATE FUNCTION @.back() RETURNS bigint LANGUAGE plpgsql AS 'BEGIN RETURN setval(''@.s'', 3); END';",
        "SELECT @.back();",
        "sequence @.s goes back from 100 to 3",
    ),
    Case(
        "CREATE TABLE @.o AS SELECT lo_from_bytea(0, 'x') AS o FROM generate_series(1, 2);",
        "SELECT lo_unlink(o) FROM @.o;",
        "2 large objects are deleted",
    ),
    Case(
        "CREATE TABLE @.o AS SELECT lo_from_bytea(0, 'xyz') AS o;",
        "SELECT lo_put(o, 0, 'abc') FROM @.o;",
        "large objects are overwritten in 1 page",
    ),
    Case(
        "CREATE EXTENSION IF NOT EXISTS dblink SCHEMA public;",
        "SELECT dblink_connect('x', 'dbname=nowhere');",
        "is not rehearsed: what dblink_connect does is not taken back",
    ),
    Case(
        "CREATE EXTENSION IF NOT EXISTS dblink SCHEMA public; CREATE FUNCTION @.far() RETURNS void LANGUAGE plpgsql AS 'BEGIN IF false THEN PERFORM dblink_exec(''DELETE''); END IF; DELETE FROM @.t; END';",
        "SELECT @.far();",
        "by far it reaches dblink_exec",
    ),
    Case(
        "",
        "COPY @.t TO PROGRAM 'cat > /dev/null'; DELETE FROM @.t;",
        "5 rows of table @.t are deleted",
    ),
    Case(
        "CREATE FUNCTION @.stop() RETURNS void LANGUAGE plpgsql AS 'BEGIN PERFORM pg_cancel_backend(0); DELETE FROM @.t; END';",
        "SELECT @.stop();",
        "by stop it reaches pg_cancel_backend",
    ),
    Case(
        "CREATE EXTENSION IF NOT EXISTS pg_surgery SCHEMA public;",
        "SELECT heap_force_kill('@.t'::regclass, ARRAY['(0,1)']::tid[]);",
        "what heap_force_kill does is not taken back",
    ),
    Case(
        "CREATE PROCEDURE @.p() LANGUAGE plpgsql AS 'BEGIN DELETE FROM @.t; COMMIT; END';",
        "-- transaction: off\nCALL @.p();",
        "it cannot be rehearsed",
    ),
    Case(
        "",
        "-- transaction: off\nCREATE DATABASE @_NAME;\nDROP DATABASE @_NAME;\nDELETE FROM @.t;",
        "5 rows of table @.t are deleted",
    ),
    Case("", "SET track_counts = off; DELETE FROM @.t;", "it sets whether rows are counted"),
    Case(
        "CREATE FUNCTION @.f() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN DELETE FROM @.t WHERE id = 1; END'; CREATE EVENT TRIGGER @_NAME ON ddl_command_end WHEN tag IN ('COMMENT') EXECUTE FUNCTION @.f();",
        "COMMENT ON TABLE @.t IS 'x'; DROP EVENT TRIGGER @_NAME;",
        "1 row of table @.t is deleted",
    ),
    Case(
        "",
        "DO $$ BEGIN EXECUTE 'COPY @.t TO PROGRAM ''cat > /dev/null'''; DELETE FROM @.t; END $$;",
        "what a program on the server's machine does is not taken back",
    ),
    Case(
        "CREATE FUNCTION @.prog() RETURNS void LANGUAGE plpgsql AS 'BEGIN COPY @.t TO PROGRAM ''cat > /dev/null''; DELETE FROM @.t; END';",
        "SELECT @.prog();",
        "by prog it reaches COPY … PROGRAM",
    ),
    Case(
        "CREATE FUNCTION @.quiet() RETURNS void LANGUAGE sql SET track_counts = off AS 'DELETE FROM @.t';",
        "SELECT @.quiet();",
        "by quiet it reaches track_counts",
    ),
    Case(
        "",
        "COPY @.t TO '/nowhere/x'; DELETE FROM @.t WHERE id = 1;",
        "a file on the server's machine is written at once",
    ),
];

/// U files that lose nothing: they need no flag.
const HARMLESS: &[Case] = &[
    Case(
        "",
        "TRUNCATE @.t; INSERT INTO @.t SELECT g, 'a' || g, g FROM generate_series(1, 5) g;",
        "",
    ),
    Case("CREATE TABLE @.e (i int);", "DROP TABLE @.e;", ""),
    Case(
        "CREATE TABLE @.e (i int); CREATE VIEW @.v AS SELECT * FROM @.e;",
        "DROP TABLE @.e CASCADE;",
        "",
    ),
    Case("CREATE SCHEMA @_e; CREATE TABLE @_e.x (i int);", "DROP SCHEMA @_e CASCADE;", ""),
    Case("ALTER TABLE @.t ADD n int;", "ALTER TABLE @.t DROP COLUMN n;", ""),
    Case(
        "ALTER TABLE @.t ADD g int GENERATED ALWAYS AS (b * 2) STORED;",
        "ALTER TABLE @.t DROP COLUMN g;",
        "",
    ),
    Case("CREATE INDEX i ON @.t (a);", "DROP INDEX @.i;", ""),
    Case("CREATE INDEX i ON @.t (a);", "-- transaction: off\nDROP INDEX CONCURRENTLY @.i;", ""),
    Case(
        "",
        "-- transaction: off\nCREATE INDEX CONCURRENTLY i ON @.t (a);\nDROP INDEX CONCURRENTLY IF EXISTS @.i;\nVACUUM @.t;\nREINDEX TABLE @.t;",
        "",
    ),
    Case(
        "ALTER TABLE @.t ADD CONSTRAINT k CHECK (id > 0);",
        "ALTER TABLE @.t DROP CONSTRAINT k;",
        "",
    ),
    Case(
        "",
        "ALTER TABLE @.t ALTER a SET NOT NULL, ALTER b DROP NOT NULL, ALTER b SET DEFAULT 3;",
        "",
    ),
    Case("CREATE VIEW @.v AS SELECT id FROM @.t;", "DROP VIEW @.v;", ""),
    Case(
        "CREATE MATERIALIZED VIEW @.v AS SELECT id FROM @.t;",
        "REFRESH MATERIALIZED VIEW @.v; DROP MATERIALIZED VIEW @.v;",
        "",
    ),
    Case(
        "CREATE FUNCTION @.f() RETURNS int LANGUAGE sql AS 'SELECT 2';",
        "CREATE OR REPLACE FUNCTION @.f() RETURNS int LANGUAGE sql AS 'SELECT 1';",
        "",
    ),
    Case(
        "CREATE FUNCTION @.f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'; CREATE TRIGGER g BEFORE INSERT ON @.t FOR EACH ROW EXECUTE FUNCTION @.f();",
        "DROP TRIGGER g ON @.t; DROP FUNCTION @.f();",
        "",
    ),
    Case("", "INSERT INTO @.t VALUES (9, 'new', 9);", ""),
    Case("", "COPY @.t (id) FROM stdin;\n77\n\\.\nSELECT 1;", ""),
    Case("", "UPDATE @.t SET a = a;", ""),
    Case("", "UPDATE @.t SET a = 'x' WHERE false; DELETE FROM @.t WHERE id > 99;", ""),
    Case(
        "ALTER TABLE @.t ADD n int; UPDATE @.t SET n = 1 WHERE id = 1;",
        "UPDATE @.t SET n = 0 WHERE n IS NULL;",
        "",
    ),
    Case("", "ALTER TABLE @.t ALTER b TYPE bigint; ALTER TABLE @.t ALTER a TYPE varchar(100);", ""),
    Case(
        "ALTER TABLE @.t ADD n varchar(20) DEFAULT 'abc', ADD f float4 DEFAULT 0.1, ADD d timestamptz DEFAULT '2020-02-02 10:11:12Z', ADD m numeric(8, 2) DEFAULT 1.50;",
        "ALTER TABLE @.t ALTER n TYPE text, ALTER f TYPE float8, ALTER d TYPE timestamp, ALTER m TYPE numeric(12, 4);",
        "",
    ),
    Case(
        "CREATE TYPE @.m AS ENUM ('x', 'y'); ALTER TABLE @.t ADD m @.m DEFAULT 'x';",
        "CREATE TYPE @.n AS ENUM ('x'); ALTER TABLE @.t ALTER m DROP DEFAULT, ALTER m TYPE @.n USING m::text::@.n; DROP TYPE @.m; ALTER TYPE @.n rename TO m;",
        "",
    ),
    Case("", "CLUSTER @.t USING t_pkey; ALTER TABLE @.t ADD r float8 DEFAULT random();", ""),
    Case(
        "CREATE UNLOGGED TABLE @.u (i int); INSERT INTO @.u VALUES (1);",
        "ALTER TABLE @.u SET LOGGED;",
        "",
    ),
    Case(
        "",
        "ALTER TABLE @.t rename TO u; ALTER TABLE @.u rename a TO z; ALTER SCHEMA @ rename TO @_y;",
        "",
    ),
    Case(
        "CREATE TABLE @.p (i int) PARTITION BY LIST (i); CREATE TABLE @.p1 PARTITION OF @.p DEFAULT; INSERT INTO @.p VALUES (1);",
        "ALTER TABLE @.p DETACH PARTITION @.p1;",
        "",
    ),
    Case("", "CREATE TEMP TABLE t AS SELECT * FROM @.t; DELETE FROM t; DROP TABLE t;", ""),
    Case("", "DO $$ BEGIN PERFORM count(*) FROM @.t; END $$; SELECT length(a) FROM @.t;", ""),
    Case(
        "CREATE SEQUENCE @.s; SELECT nextval('@.s');",
        "SELECT nextval('@.s'); ALTER SEQUENCE @.s INCREMENT 5 CACHE 3; DROP SEQUENCE @.s;",
        "",
    ),
    Case(
        "CREATE TYPE @.x AS ENUM ('a'); CREATE DOMAIN @.d AS int;",
        "DROP TYPE @.x CASCADE; DROP DOMAIN @.d;",
        "",
    ),
    Case(
        "",
        "COMMENT ON TABLE @.t IS 'x'; GRANT SELECT ON @.t TO public; ALTER TABLE @.t ENABLE ROW LEVEL SECURITY; SET statement_timeout = '9s'; NOTIFY x;",
        "",
    ),
    Case(
        "CREATE EXTENSION IF NOT EXISTS moddatetime SCHEMA public; CREATE TABLE @.m (i int, at timestamp); CREATE TRIGGER g BEFORE UPDATE ON @.m FOR EACH ROW EXECUTE FUNCTION moddatetime(at);",
        "INSERT INTO @.m VALUES (1); DROP TRIGGER g ON @.m; CREATE TABLE @.text (text text);",
        "",
    ),
];

/// A project with a migration for each case, the last one the newest.
fn project(cases: &[Case]) -> TestEnv {
    let env = TestEnv::new();
    for (at, case) in cases.iter().enumerate() {
        let schema = format!("c{at}");
        let text = |sql: &str| sql.replace('@', &schema);
        let make = format!("CREATE SCHEMA @; {T} {}", case.0);
        env.file(&format!("migrations/postgres/V{}__x.sql", at + 1), &text(&make));
        env.file(&format!("migrations/postgres/U{}__x.sql", at + 1), &text(case.1));
    }
    env.run(&["hash"]).expect(0);
    env.run(&["up"]).expect(0);
    env
}

/// All rows of all tables of the user's, where sequences stand, and the large objects.
fn data(env: &TestEnv) -> Vec<String> {
    let mut all = env.sql(
        "SELECT n.nspname || '.' || c.relname || c.relpersistence::text || \
           query_to_xml(format('SELECT * FROM ONLY %I.%I x ORDER BY x::text', n.nspname, c.relname), true, true, '')::text \
         FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind = 'r' \
         AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'aiplat_migrate') ORDER BY 1",
    );
    all.extend(env.sql(
        "SELECT schemaname || '.' || sequencename || ' ' || coalesce(last_value, 0) FROM pg_sequences \
         WHERE schemaname <> 'aiplat_migrate' ORDER BY 1",
    ));
    all.extend(env.sql("SELECT loid || ':' || encode(lo_get(loid), 'hex') FROM (SELECT oid FROM pg_largeobject_metadata) l (loid) ORDER BY 1"));
    all
}

/// Undoes the cases from the last to the first; what is wrong with each comes as one text.
fn refused(cases: &[Case]) {
    let env = project(cases);
    let wrong: Vec<String> =
        cases.iter().enumerate().rev().filter_map(|(at, case)| wrong(&env, at, case)).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

fn wrong(env: &TestEnv, at: usize, case: &Case) -> Option<String> {
    let text = |sql: &str| env.named(&sql.replace('@', &format!("c{at}")));
    let (undo, figure) = (text(case.1), text(case.2));
    let before = data(env);
    let down = env.run(&["down", "--yes"]);
    let wanted =
        [figure.as_str(), "this would lose data", "nothing was undone", "--allow-data-loss"];
    let missing = wanted.iter().find(|part| !down.stderr.contains(**part));
    let mut wrong = match (down.code, missing) {
        (1, None) => None,
        (1, Some(part)) => Some(format!("{undo}\nno `{part}` in\n{}", down.stderr)),
        (code, _) => return Some(format!("{undo}\nended with {code}\n{}", down.stderr)),
    };
    if data(env) != before {
        wrong = Some(format!("{undo}\nthe refused run changed data"));
    }
    let down = env.run(&["down", "--yes", "--allow-data-loss"]);
    if down.code != 0 {
        // These two go nowhere: it is enough that they were not tried without the flag.
        if !undo.contains("dblink_connect") && !undo.contains("/nowhere") {
            wrong = Some(format!("{undo}\nwith the flag\n{}", down.stderr));
        }
        let version = at + 1;
        env.sql(&format!(
            "UPDATE aiplat_migrate.ledger SET state = 'undone' WHERE version = '{version}'"
        ));
    }
    wrong
}

const QUARTER: usize = LOSSES.len() / 4;

#[test]
fn every_way_to_lose_data_is_refused_with_its_figure_1() {
    refused(&LOSSES[..QUARTER]);
}

#[test]
fn every_way_to_lose_data_is_refused_with_its_figure_2() {
    refused(&LOSSES[QUARTER..2 * QUARTER]);
}

#[test]
fn every_way_to_lose_data_is_refused_with_its_figure_3() {
    refused(&LOSSES[2 * QUARTER..3 * QUARTER]);
}

#[test]
fn every_way_to_lose_data_is_refused_with_its_figure_4() {
    refused(&LOSSES[3 * QUARTER..]);
}

#[test]
fn what_loses_nothing_needs_no_flag() {
    let env = project(HARMLESS);
    let mut wrong = Vec::new();
    for (at, case) in HARMLESS.iter().enumerate().rev() {
        let down = env.run(&["down", "--yes"]);
        if down.code != 0 {
            wrong.push(format!("{}\n{}", case.1, down.stderr));
            let version = at + 1;
            env.sql(&format!(
                "UPDATE aiplat_migrate.ledger SET state = 'undone' WHERE version = '{version}'"
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
    assert!(HARMLESS.len() >= 25 && LOSSES.len() >= 70, "{} {}", HARMLESS.len(), LOSSES.len());
}
