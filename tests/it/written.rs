//! Files as they are written in the field: what psql takes is taken, or refused with its place and a way out
//! that works. The right value is what the same statements do when a client sends them one by one.

use crate::support::{TestEnv, block_on, postgres};

const FILE: &str = "migrations/postgres/V1__a.sql";

/// What is in the schemas of a database: relations with their columns, and types with their labels.
const SCHEMA: &str = "SELECT c.oid::regclass::text, c.relkind::text, string_agg(a.attname || ' ' || a.atttypid::regtype, ',' \
                      ORDER BY attnum) FROM pg_class c LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND attnum > 0 \
                      WHERE relnamespace::regnamespace::text !~ '^(pg_|information|aiplat)' GROUP BY c.oid, 2 \
                      UNION ALL SELECT enumtypid::regtype::text, 'e', string_agg(enumlabel, ',' ORDER BY enumsortorder) \
                      FROM pg_enum GROUP BY 1 ORDER BY 1, 2";

/// Does `statements` one by one in one session of `env`'s database, as `psql -f` does.
fn as_psql(env: &TestEnv, statements: &[&str]) {
    let url = env.get("AIPLAT_MIGRATE_POSTGRES_URL");
    block_on(async {
        let client = postgres(&url).await;
        for statement in statements {
            let done = client.batch_execute(statement).await;
            done.unwrap_or_else(|error| panic!("{statement}: {error:?}"));
        }
    });
}

/// A project whose one file is `statements`.
fn project(statements: &[&str]) -> TestEnv {
    let env = TestEnv::new();
    env.file(FILE, &format!("{}\n", statements.join("\n")));
    env
}

/// `up` of `statements` comes to the same as the statements one by one; gives back the project.
#[track_caller]
fn same_as_psql(statements: &[&str], rows: &str) -> TestEnv {
    let (env, other) = (project(statements), TestEnv::new());
    as_psql(&other, statements);
    env.run(&["up"]).expect(0);
    assert_eq!(env.sql(SCHEMA), other.sql(SCHEMA), "{statements:?}");
    assert_eq!(env.sql(rows), other.sql(rows), "{statements:?}");
    env.run(&["validate"]).expect(0);
    env
}

/// `up` of the file is refused before the run, and says `words`; nothing is left in the database.
#[track_caller]
fn refused(text: &str, words: &[&str]) -> TestEnv {
    let env = TestEnv::new();
    env.file(FILE, text);
    env.run(&["up"]).expect(2).says(words).says(&["hint:", FILE]);
    assert_eq!(env.sql("SELECT to_regnamespace('aiplat_migrate')"), ["NULL"], "{text}");
    assert_eq!(env.sql(SCHEMA), Vec::<String>::new(), "{text}");
    env
}

#[test]
fn begin_and_commit_in_a_file_in_a_transaction() {
    for statements in [
        &["BEGIN;", "CREATE TABLE a (id int);", "INSERT INTO a VALUES (1);", "COMMIT;"][..],
        &[
            "create table a (id int);",
            "Start Transaction;",
            "insert into a values (1);",
            "end work;",
        ],
        &[
            "/* head */ begin /* ; */ work; -- a",
            "create type a_new as enum ('x');",
            "create table a (id int, k a_new);",
            "commit;",
            "BEGIN TRANSACTION;",
            "alter type a_new rename to a_old;",
            "End;",
            "insert into a values (1, 'x');",
        ],
        &[
            "begin;",
            "create function f() returns int language plpgsql as $$ BEGIN RETURN 1; END $$;",
            "create function g() returns int language sql BEGIN ATOMIC SELECT 2; END;",
            "create table a as select f() + g() as id;",
            "savepoint s;",
            "delete from a;",
            "rollback to s;",
            "commit and no chain;",
        ],
        &["begin;", "begin;", "create table a (id int);", "commit;", "insert into a values (3);"],
        &[
            "begin;",
            "set search_path = public;",
            "set local work_mem = '1MB';",
            "create table a (id int);",
            "commit;",
        ],
    ] {
        let env = same_as_psql(statements, "SELECT id FROM a");
        let file = env.path().join(FILE);
        let text = std::fs::read_to_string(&file).expect("file");
        assert_eq!(text, format!("{}\n", statements.join("\n")), "the file is as it was");
        let offline = env.run(&["validate", "--offline"]).expect(0);
        offline.out("BEGIN and COMMIT are passed over");
        // Its checksum is that of the file as it stands there.
        env.run(&["status"]).expect(0);
        assert_eq!(env.ledger(), ["postgres 1 applied"]);
    }
}

#[test]
fn what_is_passed_over_is_told_once_and_keeps_its_place() {
    let env =
        project(&["begin;", "select 1;", "commit;", "BEGIN; create table a ();", "  commit;"]);
    let told = env.run(&["up"]).expect(0);
    assert_eq!(told.stderr.matches("passed over").count(), 1, "{}", told.stderr);
    told.says(&["V1__a.sql:1:1"]);
    env.file(
        "migrations/postgres/V2__b.sql",
        "begin; select 'ä';\ncommit; begin;\n  select nope;\nend;\n",
    );
    env.run(&["up"]).expect(1).says(&["V2__b.sql:3:10", "nope"]);
    env.file(
        "migrations/postgres/V2__b.sql",
        "begin;\ncopy a from stdin; commit;\n\n\\.\nbegin; drop table a; commit; select 1/0;\n",
    );
    env.run(&["up"]).expect(1).says(&["V2__b.sql:5:30", "division by zero"]);
    env.file(
        "migrations/postgres/V2__b.sql",
        "begin;\ncopy a from stdin; commit;\n\n\\.\nbegin; commit;\n",
    );
    env.file("migrations/postgres/U2__b.sql", "begin; delete from a; commit;");
    env.file(
        "migrations/postgres/R__c.sql",
        "begin; create or replace view v as select * from a; end;",
    );
    env.run(&["up"]).expect(0);
    assert_eq!(env.sql("SELECT count(*) FROM v"), ["1"]);
    env.remove("migrations/postgres/R__c.sql");
    env.run(&["repair", "--accept-missing", "--yes"]).expect(0);
    env.run(&["down", "--yes", "--allow-data-loss"]).expect(0).says(&["U2__b.sql:1:1"]);
    assert_eq!(env.sql("SELECT count(*) FROM a"), ["0"]);
}

#[test]
fn what_an_early_commit_would_have_avoided() {
    let env = project(&[
        "create type mood as enum ('a');",
        "create table p (id int primary key); insert into p values (1);",
        "create table c (id int references p deferrable initially deferred);",
    ]);
    env.run(&["up"]).expect(0);
    let file = "migrations/postgres/V2__b.sql";
    let enums = ["alter type mood add value 'b';", "select 'b'::mood;"];
    let rows = ["insert into c values (1);", "alter table c add column x int;"];
    for ([first, second], code, way_out) in
        [(enums, "55P04", "next migration"), (rows, "55006", "SET CONSTRAINTS ALL IMMEDIATE")]
    {
        env.file(file, &format!("{first}\n{second}\n"));
        env.run(&["up"]).expect(1).says(&[code, "hint:", way_out, "V2__b.sql:2:"]);
        env.file(file, &format!("begin;\n{first}\ncommit;\n{second}\n"));
        env.run(&["up"]).expect(1).says(&[
            code,
            "COMMIT is passed over",
            "-- transaction: off",
            "V2__b.sql:4:",
        ]);
    }
    // The ways out work.
    env.file(
        file,
        &format!("begin;\n{}\nset constraints all immediate;\ncommit;\n{}\n", rows[0], rows[1]),
    );
    env.run(&["up"]).expect(0);
    let [first, second] = enums;
    env.file(
        "migrations/postgres/V3__c.sql",
        &format!("-- transaction: off\nbegin;\n{first}\ncommit;\n{second}\n"),
    );
    env.run(&["up"]).expect(0);
    env.run(&["validate"]).expect(0);
    for text in [
        "do $$ begin commit; end $$;",
        "create procedure x() language plpgsql as $$ begin commit; end $$; call x();",
    ] {
        env.file("migrations/postgres/V4__d.sql", text);
        env.run(&["up"]).expect(1).says(&["2D000", "-- transaction: off"]);
    }
}

#[test]
fn a_block_is_one_step_of_a_file_without_a_transaction() {
    let env = project(&[
        "-- transaction: off",
        "create table a (id int);",
        "BEGIN;",
        "insert into a values (1);",
        "set local search_path = pg_catalog;",
        "create table public.b (id int);",
        "COMMIT;",
        "create index concurrently a_i on a (id);",
        "begin; copy a from stdin; insert into a values (4); end;",
        "2",
        "3",
        "\\.",
        "create table c (id int);",
    ]);
    env.run(&["plan"]).expect(0).out("BEGIN … COMMIT: 3 statements");
    env.run(&["up"]).expect(0);
    assert_eq!(env.sql("SELECT id FROM a ORDER BY id"), ["1", "2", "3", "4"]);
    assert_eq!(env.sql("SELECT 'public.b'::regclass, 'public.c'::regclass"), ["b|c"]);
    assert_eq!(env.sql("SELECT steps_done, steps_total FROM aiplat_migrate.ledger"), ["5|5"]);
    // A block that fails leaves nothing, and is gone on with as a whole.
    env.file("migrations/postgres/V2__b.sql", "-- transaction: off\nselect 1;\nbegin;\ninsert into a values (5);\ninsert into a values (1/0);\ncommit;\n");
    env.run(&["up"]).expect(1).says(&["V2__b.sql:5:"]);
    assert_eq!(env.sql("SELECT count(*) FROM a WHERE id = 5"), ["0"]);
    env.file(
        "migrations/postgres/V2__b.sql",
        "-- transaction: off\nselect 1;\nbegin;\ninsert into a values (5);\ncommit;\n",
    );
    env.run(&["up"]).expect(0);
    assert_eq!(env.sql("SELECT count(*) FROM a WHERE id = 5"), ["1"]);
}

#[test]
fn transactions_that_a_file_may_not_control() {
    for (text, words, place) in [
        ("create table a ();\nCOMMIT;", "did not begin", ":2:1"),
        ("create table a ();\n end", "did not begin", ":2:2"),
        ("begin;\ncreate table a ();", "no COMMIT", ":1:1"),
        ("begin; create table a (); rollback;", "may not roll back", ":1:27"),
        ("create table a (); Abort work;", "may not roll back", ":1:20"),
        ("begin; create table a (); commit and chain; commit;", "the next transaction", ":1:27"),
        (
            "begin isolation level serializable; create table a (); commit;",
            "how its transaction",
            ":1:1",
        ),
        ("start transaction read only; commit;", "how its transaction", ":1:1"),
        ("begin; create table a (); prepare transaction 'x';", "may not prepare", ":1:27"),
        ("begin; set local search_path = x; commit; create table a ();", "would not end", ":1:8"),
        ("-- transaction: off\nbegin;\nvacuum;\ncommit;", "between BEGIN and COMMIT", ":3:1"),
        ("-- transaction: off\ncreate table a ();\ncommit;", "did not begin", ":3:1"),
        ("-- transaction: off\ncreate table a ();\nbegin;", "no COMMIT", ":3:1"),
        ("-- transaction: off\nbegin; create table a (); rollback;", "may not roll back", ":2:27"),
    ] {
        refused(text, &[words, &format!("{FILE}{place}")]);
    }
    // All of them at once.
    let both = "create table a ();\ncommit;\nselect 1;\nrollback;\nvacuum;";
    refused(both, &[":2:1", ":4:1", ":5:1"]);
}

#[test]
fn a_dump_of_today() {
    let key = "a0b1C2d3E4f5G6h7I8j9K0l1M2n3O4p5Q6r7S8t9U0v1W2x3Y4z5A6b7C8d9E0f";
    let dump = format!(
        "--\n-- PostgreSQL database dump\n--\n\n\\restrict {key}\n\n-- Dumped by pg_dump version 16.14\n\n\
         SET statement_timeout = 0;\nSET client_encoding = 'UTF8';\nSET standard_conforming_strings = on;\n\
         CREATE TABLE public.a (t text);\nCOPY public.a (t) FROM stdin;\nä\n\\\\restrict b\n\\.\n\n\
         --\n-- PostgreSQL database dump complete\n--\n\n\\unrestrict {key}\n\n"
    );
    let env = TestEnv::new();
    env.file(FILE, &dump);
    env.run(&["up"]).expect(0);
    assert_eq!(env.sql("SELECT t FROM a"), ["ä", "\\restrict b"]);
    // Another dump of the same has another key.
    env.file(FILE, &dump.replace(key, "z9"));
    env.run(&["validate"]).expect(3).out("comments");
    // A header below the line is heeded.
    let env = TestEnv::new();
    env.file(
        FILE,
        "\\restrict x\n-- transaction: off\ncreate table a (id int);\nvacuum a;\n\\unrestrict x\n",
    );
    env.run(&["up"]).expect(0);
    // Where pg_dump does not write it, it is not passed over.
    for text in ["select 1 \\restrict x\n;", "\\restrict\n", "select 1;\n \\restrict x y\n"] {
        refused(text, &["`\\restrict`", "pg_dump"]);
    }
}

#[test]
fn words_of_psql_each_with_its_own_way_out() {
    for (text, word, way_out) in [
        ("\\i other.sql", "\\i", "text of that file"),
        ("\\ir other.sql", "\\ir", "text of that file"),
        ("\\include_relative it's.sql", "\\include_relative", "text of that file"),
        ("\\copy a from stdin\n1\tit's\n\\.\nselect 1;", "\\copy", "COPY … FROM stdin"),
        ("\\copy a from 'f.csv' csv", "\\copy", "COPY … FROM stdin"),
        ("\\set who 'me'", "\\set", "`${who}`"),
        ("\\set ON_ERROR_STOP on", "\\set", "psql alone"),
        ("select 1 as a \\gset", "\\gset", "placeholders: on"),
        ("select 'create table a ()' \\gexec", "\\gexec", "EXECUTE"),
        ("\\if true\nselect 1;\n\\endif", "\\if", "IF in a DO block"),
        ("\\c other", "\\c", "database that is configured"),
        ("\\connect - other", "\\connect", "database that is configured"),
        ("\\pset pager off", "\\pset", "shows"),
        ("\\timing", "\\timing", "shows"),
        ("\\echo don't", "\\echo", "RAISE NOTICE"),
        ("\\d+ a", "\\d", "shows"),
        ("\\! ls", "\\!", "runs no program"),
        ("select 1 \\g", "\\g", "end the statement with `;`"),
        ("select 1 \\; select 2;", "\\;", "end the statement with `;`"),
        ("\\q\nselect it's nothing", "\\q", "reads no further"),
        ("\\.", "\\.", "ends the data"),
        ("select :'who';", ":'who'", "`${who}`"),
        ("create table :\"who\" ();", ":\"who\"", "`${who}`"),
        ("create schema :who;", ":who", "`${who}`"),
    ] {
        refused(text, &[&format!("`{word}`"), way_out]);
    }
    // All of them in one run, each once.
    let text = "\\set a 1\n\\set b 2\nselect :a, :'b';\n\\i x.sql\n\\set c it's\n\\i y.sql\n";
    let env = refused(text, &["`\\set`", "3 times", "`:a`", "`:'b'`", "`\\i`", "2 times", ":4:1"]);
    let told = env.run(&["up"]);
    assert_eq!(told.stderr.matches("meta-command").count(), 2, "{}", told.stderr);
}

#[test]
fn a_colon_that_is_sql() {
    let statements = [
        "create table a as select (array[1, 2, 3])[1:2] as s, '{1,2}'::int[] as c, json_object('a':'b') as j;",
        "create table b as select x.a[1:\"n\"] as d from (select array[1] as a, 1 as n) x;",
        "create function f(n int) returns int language sql as 'select n';",
        "create table c as select f(n := 1), f(n:=2) as g, 'a:b'::\"text\" as t, now()::date = now()::date as u;",
    ];
    same_as_psql(
        &statements,
        "SELECT s, c, j FROM a UNION ALL SELECT d, NULL, to_json(f + g) FROM b, c",
    );
    // Where the tool cannot tell, the server does, and the hint is there all the same.
    let env = project(&["select 1 : 2;"]);
    env.run(&["up"]).expect(1).says(&["42601", "placeholders: on"]);
}

#[test]
fn copy_to_the_client_is_refused() {
    for (text, place) in [
        ("create table a ();\ncopy a to stdout;", ":2:11"),
        ("COPY (SELECT 1) TO STDOUT;", ":1:20"),
        ("copy (select x from (values (1)) v(x)) to STDOUT with (format csv);", ":1:43"),
        ("create table a (b int); Copy a (b) To Stdin;", ":1:39"),
        ("-- transaction: off\ncopy (select 1) to stdout", ":2:20"),
    ] {
        refused(text, &["TO STDOUT", &format!("{FILE}{place}")]);
    }
    let env = project(&[
        "create table stdout (stdin text);",
        "copy stdout from stdin;",
        "1",
        "\\.",
        "copy (select stdin from stdout) to '/dev/null';",
        "copy (select stdin from stdout) to program 'cat > /dev/null';",
        "copy public.stdout (stdin) from program 'echo 2';",
    ]);
    env.run(&["up"]).expect(0);
    assert_eq!(env.sql("SELECT stdin FROM stdout"), ["1", "2"]);
}

#[test]
fn strings_are_what_they_are_to_the_session() {
    // Nothing to read otherwise: taken.
    let statements = [
        "set standard_conforming_strings = off;",
        "create table a (t text);",
        "insert into a values (E'it\\'s'), ('it''s'), ($$C:\\temp$$);",
        "set standard_conforming_strings to on;",
        "insert into a values ('C:\\temp\\new');",
    ];
    same_as_psql(&statements, "SELECT t FROM a");
    for (text, place) in [
        ("set standard_conforming_strings = off;\nselect 'C:\\\\temp';", ":2:8"),
        ("set local standard_conforming_strings to 'off'; select 'it\\'s; here';", ":1:56"),
        (
            "SET SESSION standard_conforming_strings = false;\nselect 1;\n\nselect 'back\\\\', 'a';",
            ":4:8",
        ),
        (
            "select set_config('standard_conforming_strings', 'off', false);\nselect 'tab\\t';",
            ":2:8",
        ),
        (
            "select pg_catalog.set_config( 'standard_conforming_strings','0',false); select n'a\\b';",
            ":1:80",
        ),
    ] {
        refused(text, &["standard_conforming_strings", "E'…'", &format!("{FILE}{place}")]);
    }
    // Where the role, the database or the URL says so, the server is asked.
    let env = project(&["create table a (t text);", "insert into a values ('a\\b');"]);
    env.sql("ALTER DATABASE NAME SET standard_conforming_strings = off");
    env.run(&["up"]).expect(1).says(&["standard_conforming_strings", "V1__a.sql:2:23", "options="]);
    assert_eq!(env.sql("SELECT to_regclass('a')"), ["NULL"]);
    let url = env.get("AIPLAT_MIGRATE_POSTGRES_URL");
    let on = format!("{url}?options=-c%20standard_conforming_strings%3Don");
    let env = env.set("AIPLAT_MIGRATE_POSTGRES_URL", &on);
    env.run(&["up"]).expect(0);
    let env = env.set("AIPLAT_MIGRATE_POSTGRES_URL", &url);
    assert_eq!(env.sql("SET standard_conforming_strings = on; SELECT t FROM a"), ["a\\b"]);
    env.file("migrations/postgres/V2__b.sql", "insert into a values (E'a\\\\b');");
    env.run(&["up"]).expect(0);
    assert_eq!(env.sql("SELECT count(*) FROM a WHERE t = E'a\\\\b'"), ["2"]);
}

#[test]
fn a_file_in_an_encoding_of_its_own() {
    let write = |env: &TestEnv, text: &str| {
        let bytes: Vec<u8> =
            text.chars().map(|c| u8::try_from(u32::from(c)).expect("Latin-1")).collect();
        let path = env.file(FILE, "");
        std::fs::write(path, bytes).expect("file");
    };
    for head in ["SET client_encoding = 'LATIN1';", "set names 'latin1';", "\\encoding LATIN1"] {
        let env = TestEnv::new();
        write(
            &env,
            &format!(
                "{head}\ncreate table a (t text);\ncopy a from stdin;\né\n\\.\ninsert into a values ('ü');\nselect nöpe();\n"
            ),
        );
        env.run(&["up"]).expect(1).says(&["V1__a.sql:7:8", "nöpe"]);
        write(
            &env,
            &format!(
                "{head}\ncreate table a (t text);\ncopy a from stdin;\né\n\\.\ninsert into a values ('ü');\ndo $$ begin raise notice 'ß'; end $$;\n"
            ),
        );
        env.run(&["up"]).expect(0).says(&["ß"]);
        assert_eq!(env.sql("SELECT t, octet_length(t) FROM a"), ["é|2", "ü|2"]);
        env.run(&["validate"]).expect(0);
    }
    let env = TestEnv::new();
    write(&env, "SET client_encoding = 'WIN1252';\nselect 'é';");
    let file = "iconv -f CP1252 -t UTF-8 migrations/postgres/V1__a.sql";
    env.run(&["up"]).expect(2).says(&["WIN1252", file]);
    env.file(FILE, "SET client_encoding = 'LATIN1';\nselect 'é';");
    env.run(&["up"]).expect(2).says(&["LATIN1", "is UTF-8", "client_encoding"]);
    // Of ASCII alone it makes no difference what it says, nor does it break the session.
    env.file(FILE, "-- transaction: off\nSET client_encoding = 'SJIS';\ncreate table a (t text);\ninsert into a values (chr(233));\nselect 1/0;");
    env.run(&["up"]).expect(1).says(&["division by zero", "V1__a.sql:5:"]);
}

#[test]
fn versions_of_any_length() {
    let env = TestEnv::new();
    let long = "123456789012345678901234567890";
    for (version, name) in [
        ("20260100000001000000", "a"),
        ("00020260100000002000000", "b"),
        ("20260100000002000000.20260100000002000000", "c"),
        (long, "d"),
        ("7", "z"),
    ] {
        let text = format!("create table {name} (id int);");
        env.file(&format!("migrations/postgres/V{version}__{name}.sql"), &text);
        env.file(
            &format!("migrations/postgres/U{version}__{name}.sql"),
            &format!("drop table {name};"),
        );
    }
    env.run(&["up", "--to", "postgres@20260100000002000000"]).expect(0);
    let first = [
        "postgres 7 applied",
        "postgres 20260100000001000000 applied",
        "postgres 20260100000002000000 applied",
    ];
    assert_eq!(env.ledger(), first);
    env.run(&["up"]).expect(0);
    let status = env.run(&["status", "--output", "json"]).expect(0).json();
    let versions: Vec<&str> = status["migrations"]
        .as_array()
        .expect("rows")
        .iter()
        .map(|row| row["version"].as_str().expect("text"))
        .collect();
    let dotted = "20260100000002000000.20260100000002000000";
    assert_eq!(versions, ["7", "20260100000001000000", "20260100000002000000", dotted, long]);
    env.run(&["validate"]).expect(0);
    env.run(&["down", "--to", "postgres@020260100000001000000", "--yes"]).expect(0);
    assert_eq!(
        env.sql("SELECT to_regclass('a'), to_regclass('b'), to_regclass('d')"),
        ["a|NULL|NULL"]
    );
    env.run(&["new", "postgres", "next"])
        .expect(0)
        .out("V123456789012345678901234567891__next.sql");
    // Equal however they are written.
    env.file("migrations/postgres/V0123456789012345678901234567890__e.sql", "select 1;");
    env.run(&["up"]).expect(2).says(&["stands twice"]);
}

#[test]
fn a_u_file_with_a_mistake_is_for_down_to_refuse() {
    for (text, words) in [
        (&b"drop table 'a"[..], "never closed"),
        (b"drop table a;\nrollback;", "roll back"),
        (b"-- Transaction: off\ndrop table a;", "`Transaction`"),
        (b"-- irreversible: no\ndrop table a;", "`irreversible` in a U file"),
        (b"-- requires: postgres@1\ndrop table a;", "`requires` in a U file"),
        (b"-- placeholders: on\ndrop table ${nobody};", "nobody"),
        (b"vacuum;", "cannot run in a transaction"),
        (b"drop table a; -- \xe9", "not UTF-8"),
        (b"\\i x.sql", "`\\i`"),
    ] {
        let env = project(&["create table a (id int);"]);
        let path = env.file("migrations/postgres/U1__a.sql", "");
        std::fs::write(&path, text).expect("file");
        env.file("migrations/postgres/V2__b.sql", "create table b (id int);");
        env.file("migrations/postgres/U2__b.sql", "drop table b;");
        let offline = env.run(&["validate", "--offline"]).expect(0);
        assert!(offline.stdout.contains(words) || offline.stderr.contains(words), "{offline:?}");
        env.run(&["up"]).expect(0).says(&["warning: ", "postgres@1", words]);
        assert_eq!(env.ledger().len(), 2);
        env.run(&["up"]).expect(0);
        env.run(&["validate"]).expect(0);
        // That of another migration is not in its way.
        env.run(&["down", "--yes"]).expect(0);
        env.run(&["down", "--yes"]).expect(2).says(&[words, "U1__a.sql"]);
        assert_eq!(env.sql("SELECT to_regclass('a'), to_regclass('b')"), ["a|NULL"]);
        std::fs::write(&path, "drop table a;").expect("file");
        env.run(&["down", "--yes"]).expect(0);
        assert_eq!(env.sql("SELECT to_regclass('a')"), ["NULL"]);
    }
}

#[test]
fn a_timeout_of_the_file_is_not_that_of_the_tools_own_row() {
    let env = project(&[
        "create table a (id int);",
        "set lock_timeout = 1;",
        "set statement_timeout = 1;",
    ]);
    for _ in 0..5 {
        env.run(&["up"]).expect(0);
        env.sql("DROP TABLE a; DELETE FROM aiplat_migrate.ledger");
    }
    env.file(FILE, "set statement_timeout = '50ms';\nselect pg_sleep(1);");
    let told = env.run(&["up"]).expect(1).says(&["57014", "V1__a.sql:2:1"]);
    assert!(!told.stderr.contains("aiplat_migrate.close"), "{}", told.stderr);
}

/// Names that the server cuts, folds or takes as they are.
#[test]
fn names_as_the_server_keeps_them() {
    let long = "i".repeat(64);
    let umlauts = "ä".repeat(32);
    let cases = [
        (long.as_str(), "t"),
        (umlauts.as_str(), "t"),
        ("\"Mixed Case; \"\"quoted\"\"\"", "t"),
        ("FoldED", "t"),
        ("größe", "t"),
        ("a$b", "T"),
        ("\"x.y\"", "\"T 2\""),
        ("U&\"\\0441x\"", "t"),
    ];
    let (env, other) = (TestEnv::new(), TestEnv::new());
    let tables = ["create table t (id int);", "create table \"T 2\" (id int);"];
    env.file(FILE, &tables.join("\n"));
    as_psql(&other, &tables);
    for (number, (name, table)) in cases.iter().enumerate() {
        let create = format!("create index concurrently {name} on {table} (id);");
        let drop = format!("drop index concurrently {name};");
        env.file(
            &format!("migrations/postgres/V2.{number}__i.sql"),
            &format!("-- transaction: off\n{create}\n"),
        );
        env.file(
            &format!("migrations/postgres/U2.{number}__i.sql"),
            &format!("-- transaction: off\n{drop}\n"),
        );
        as_psql(&other, &[&create]);
    }
    env.run(&["up"]).expect(0);
    assert_eq!(env.sql(SCHEMA), other.sql(SCHEMA));
    env.run(&["up"]).expect(0);
    env.run(&["validate"]).expect(0);
    env.run(&["down", "--to", "postgres@1", "--yes"]).expect(0);
    assert_eq!(env.sql("SELECT count(*) FROM pg_class WHERE relkind = 'i' AND relnamespace = 'public'::regnamespace"), ["0"]);
}

/// What is said of an index that is there and does not work is said only where it is so.
#[test]
fn an_index_that_is_not_what_the_file_makes() {
    let env = project(&[
        "create table t (id int); create table u (id int); create index taken on u (id); insert into t values (1), (1);",
    ]);
    env.run(&["up"]).expect(0);
    let file = "migrations/postgres/V2__i.sql";
    env.file(file, "-- transaction: off\ncreate index concurrently if not exists taken on t (id);");
    let told = env.run(&["up"]).expect(1).says(&[
        "t has no index taken",
        "IF NOT EXISTS",
        "another table's",
    ]);
    assert!(
        !told.stderr.contains("not valid") && !told.stderr.contains("DROP INDEX"),
        "{}",
        told.stderr
    );
    let client_error = env.run(&["status"]).expect(0);
    client_error.out("failed");
    // One that an attempt by hand left invalid.
    let url = env.get("AIPLAT_MIGRATE_POSTGRES_URL");
    block_on(async {
        let client = postgres(&url).await;
        client
            .batch_execute("create unique index concurrently broken on t (id)")
            .await
            .expect_err("twice");
    });
    env.file(
        file,
        "-- transaction: off\ncreate unique index concurrently if not exists broken on t (id);",
    );
    env.run(&["up"])
        .expect(1)
        .says(&["public.broken is there and not valid", "DROP INDEX CONCURRENTLY public.broken"]);
}

#[test]
fn a_column_of_a_long_name_holds_data() {
    let long = "c".repeat(64);
    let env = project(&[&format!(
        "create table t (id int, {long} text); insert into t values (1, 'a');"
    )]);
    env.file("migrations/postgres/U1__a.sql", &format!("alter table t drop column {long};"));
    env.run(&["up"]).expect(0);
    env.run(&["down", "--yes"]).expect(1).says(&["lose data", "1 row"]);
    assert_eq!(env.sql(&format!("SELECT {} FROM t", &long[..63])), ["a"]);
    env.run(&["down", "--yes", "--allow-data-loss"]).expect(0);
}

#[test]
fn a_limit_that_postgresql_cannot_hold() {
    let env = TestEnv::new();
    env.file(FILE, "-- lock_timeout: 25d\nselect 1;");
    env.run(&["up"]).expect(2).says(&["at most 24 days", "V1__a.sql:1:18"]);
    let env = TestEnv::new();
    env.file(FILE, "-- statement_timeout: 24d\n-- lock_timeout: 24d\ncreate table a (id int);");
    env.run(&["up"]).expect(0);
}
