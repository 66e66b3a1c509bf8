//! Files with `transaction: off`: one session for the file, as psql has, and the server decides what
//! runs outside a transaction.

use crate::chaos::{UP, killed_if_passed, passages};
use crate::support::{TestEnv, block_on, finish, postgres, unique};

/// Each statement of `file`, which are a line each, sent by another client in a session of its own: what
/// psql -f does.
fn as_psql(env: &TestEnv, file: &str) {
    let url = env.get("AIPLAT_MIGRATE_POSTGRES_URL");
    block_on(async {
        let client = postgres(&url).await;
        for statement in file.lines().filter(|line| !line.is_empty() && !line.starts_with("--")) {
            let done = client.simple_query(&env.named(statement)).await;
            done.unwrap_or_else(|error| panic!("{statement}: {error:?}"));
        }
    });
}

/// What is in a database, asked by another client: relations with schema, owner and storage options,
/// and the rows of the tables whose name begins with `said`.
fn facts(env: &TestEnv) -> Vec<String> {
    let mut facts = env.sql(
        "SELECT n.nspname, c.relname, c.relkind, pg_get_userbyid(c.relowner), c.reloptions, c.relpersistence \
         FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
         WHERE n.nspname !~ '^(pg_|information_schema|aiplat_migrate)' ORDER BY 1, 2",
    );
    let said = env.sql(
        "SELECT format('%I.%I', n.nspname, c.relname) FROM pg_class c \
         JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relname LIKE 'said%' AND c.relkind = 'r' ORDER BY 1",
    );
    for table in said {
        facts.extend(env.sql(&format!("SELECT '{table}', t.* FROM {table} t ORDER BY t")));
    }
    facts
}

/// A role for one test, gone with the value.
struct Role(String, TestEnv);

impl Role {
    fn new(attributes: &str) -> Role {
        let env = TestEnv::new();
        let name = unique("off");
        env.sql(&format!("CREATE ROLE {name} {attributes}"));
        Role(name, env)
    }
}

impl Drop for Role {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.1.sql(&format!("DROP ROLE IF EXISTS {}", self.0));
        }
    }
}

/// What a session may be set to and hold, each with what shows it: `LOW` is a role.
const SESSION: &[&str] = &[
    "SET search_path = app;\nCREATE TABLE in_app (id int);\nCREATE INDEX CONCURRENTLY in_app_i ON in_app (id);",
    "SELECT pg_catalog.set_config('search_path', 'app', false);\nCREATE TABLE in_app (id int);\nVACUUM in_app;\nCREATE VIEW v AS SELECT * FROM in_app;",
    "SET maintenance_work_mem = '77MB';\nCREATE TABLE said (a text);\nCREATE INDEX CONCURRENTLY i ON said (a);\nINSERT INTO said SELECT current_setting('maintenance_work_mem');",
    "SET ROLE LOW;\nCREATE TABLE app.of_low (id int);\nRESET ROLE;\nCREATE TABLE app.of_me (id int);",
    "SET SESSION AUTHORIZATION LOW;\nCREATE TABLE app.of_low (id int);\nRESET SESSION AUTHORIZATION;\nCREATE TABLE app.of_me (id int);",
    "SET SESSION AUTHORIZATION LOW;\nSET ROLE LOW;\nCREATE TABLE app.of_low (id int);\nCREATE TABLE app.said AS SELECT current_setting('role') r, session_user::text s;",
    "CREATE TEMP TABLE scratch (a int);\nINSERT INTO scratch VALUES (1), (2);\nCREATE TABLE said AS SELECT * FROM scratch;",
    "CREATE TABLE said (a int);\nPREPARE p AS SELECT 1;\nDEALLOCATE p;\nPREPARE p (int) AS INSERT INTO said VALUES ($1);\nEXECUTE p (7);",
    "SET app.tenant = 'a';\nCREATE TABLE said AS SELECT current_setting('app.tenant', true) t;",
    "SET app.tenant = 'a';\nRESET ALL;\nCREATE TABLE said AS SELECT coalesce(current_setting('app.tenant', true), '') t;",
    "SET statement_timeout = '33s';\nSET lock_timeout = '2s';\nCREATE TABLE said AS SELECT current_setting('statement_timeout') s, current_setting('lock_timeout') l;",
    "SELECT pg_advisory_lock(4711);\nCREATE TABLE said AS SELECT count(*) FROM pg_locks WHERE objid = 4711 AND pid = pg_backend_pid();",
    "LISTEN c;\nCREATE TABLE said AS SELECT * FROM pg_listening_channels();",
    "CREATE SEQUENCE s;\nSELECT nextval('s');\nCREATE TABLE said AS SELECT currval('s');",
    "SET TIME ZONE 'Asia/Kolkata';\nSET datestyle = 'German';\nCREATE TABLE said AS SELECT '2020-01-02 00:00+00'::timestamptz::text t;",
    "SET default_tablespace = 'pg_default';\nSET default_table_access_method = 'heap';\nSET default_toast_compression = 'pglz';\nCREATE TABLE said AS SELECT current_setting('default_toast_compression');",
    "SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL SERIALIZABLE;\nCREATE TABLE said AS SELECT current_setting('transaction_isolation');",
    "SET default_transaction_read_only = on;\nSET default_transaction_read_only = off;\nCREATE TABLE said (a int);",
    "SET session_replication_role = 'replica';\nCREATE TABLE said AS SELECT current_setting('session_replication_role');",
    "SET standard_conforming_strings = on;\nSET bytea_output = 'escape';\nCREATE TABLE said AS SELECT '\\x5c'::bytea::text;",
    "SET statement_timeout = '40ms';\nSET search_path = app;\nRESET statement_timeout;\nCREATE TABLE said (a int);",
];

#[test]
fn a_session_lives_to_the_end_of_its_file() {
    let low = Role::new("");
    for file in SESSION {
        let file = file.replace("LOW", &low.0);
        let (ours, theirs) = (TestEnv::new(), TestEnv::new());
        for env in [&ours, &theirs] {
            env.sql(&format!("CREATE SCHEMA app; GRANT ALL ON SCHEMA app TO {}", low.0));
        }
        as_psql(&theirs, &file);
        ours.file("migrations/postgres/V1__a.sql", &format!("-- transaction: off\n{file}"));
        ours.run(&["up"]).expect(0);
        assert_eq!(facts(&ours), facts(&theirs), "{file}");
        ours.run(&["validate"]).expect(0);
        for env in [&ours, &theirs] {
            env.sql(&format!("DROP OWNED BY {0}", low.0));
        }
    }
}

/// What a file leaves in its session, and a question for it.
const LEFT: &[(&str, &str)] = &[
    ("SET search_path = pg_catalog;", "current_setting('search_path')"),
    ("SET ROLE pg_monitor;", "current_user"),
    ("SET SESSION AUTHORIZATION pg_monitor;", "session_user"),
    ("SET statement_timeout = '33s';", "current_setting('statement_timeout')"),
    ("CREATE TEMP TABLE scratch (a int);", "to_regclass('scratch')"),
    ("PREPARE p AS SELECT 1;", "(SELECT count(*) FROM pg_prepared_statements WHERE from_sql)"),
    ("LISTEN c;", "(SELECT count(*) FROM pg_listening_channels())"),
    ("SELECT pg_advisory_lock(4711);", "(SELECT count(*) FROM pg_locks WHERE objid = 4711)"),
    ("SET app.tenant = 'a';", "coalesce(current_setting('app.tenant', true), '')"),
    (
        "DECLARE c CURSOR WITH HOLD FOR SELECT 1;",
        "(SELECT count(*) FROM pg_cursors WHERE is_holdable)",
    ),
    (
        "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY;",
        "current_setting('default_transaction_read_only')",
    ),
];

#[test]
fn nothing_of_a_file_reaches_the_next_one() {
    let questions: Vec<String> =
        LEFT.iter().enumerate().map(|(at, (_, ask))| format!("{ask} AS q{at}")).collect();
    let ask = format!("CREATE TABLE public.said AS SELECT {};", questions.join(", "));
    let clean = TestEnv::new();
    clean.file("migrations/postgres/V1__a.sql", &ask);
    clean.run(&["up"]).expect(0);
    for header in ["", "-- transaction: off\n"] {
        let env = TestEnv::new();
        let statements: Vec<&str> = LEFT.iter().map(|(statement, _)| *statement).collect();
        for (at, statement) in statements.iter().enumerate() {
            let file = format!("migrations/postgres/V0.{at}__a.sql");
            env.file(&file, &format!("-- transaction: off\n{statement}\n"));
        }
        env.file("migrations/postgres/V1__a.sql", &format!("{header}{ask}"));
        env.run(&["up"]).expect(0);
        assert_eq!(env.sql("SELECT * FROM said"), clean.sql("SELECT * FROM said"), "{header}");
    }
    // A file that fails leaves no more than one that does not.
    let env = TestEnv::new();
    env.file(
        "migrations/postgres/V1__a.sql",
        "-- transaction: off\nSET ROLE pg_monitor;\nSELECT 1/0;",
    );
    env.run(&["up"]).expect(1).says(&["division by zero"]);
    assert_eq!(env.ledger(), ["postgres 1 failed"]);
}

/// Statements that no transaction block takes, none of them on a list: `HERE` is another database.
const BARE: &[&str] = &[
    "DO $$ BEGIN FOR i IN 1..3 LOOP INSERT INTO said VALUES (i); COMMIT; END LOOP; END $$;",
    "CALL fill();",
    "CALL nested();",
    "DISCARD ALL;",
    "REINDEX SCHEMA public;",
    "CLUSTER;",
    "CLUSTER VERBOSE;",
    "VACUUM;",
    "CREATE DATABASE HERE;\nALTER DATABASE HERE SET TABLESPACE pg_default;\nDROP DATABASE HERE;",
    "ALTER SYSTEM RESET log_statement;",
    "DO $$ BEGIN INSERT INTO said VALUES (9); ROLLBACK; INSERT INTO said VALUES (10); END $$;",
    "SET default_transaction_read_only = on;",
];

#[test]
fn what_runs_outside_a_transaction_is_asked_of_the_server() {
    let prepare = "CREATE TABLE said (a int);\n\
        CREATE PROCEDURE fill() LANGUAGE plpgsql AS $$ BEGIN FOR i IN 1..3 LOOP INSERT INTO said VALUES (i); COMMIT; END LOOP; END $$;\n\
        CREATE PROCEDURE nested() LANGUAGE plpgsql AS $$ BEGIN CALL fill(); INSERT INTO said VALUES (4); ROLLBACK; END $$;\n";
    for statement in BARE {
        let (ours, theirs) = (TestEnv::new(), TestEnv::new());
        let file = |env: &TestEnv| {
            format!("{prepare}{}\n", statement.replace("HERE", &format!("{}_b", env.name)))
        };
        ours.file(
            "migrations/postgres/V1__a.sql",
            &format!("-- transaction: off\n{}", file(&ours)),
        );
        ours.run(&["up"]).expect(0);
        as_psql(&theirs, &file(&theirs));
        assert_eq!(facts(&ours), facts(&theirs), "{statement}");
    }
}

#[test]
fn a_subscription_is_made() {
    let publisher = TestEnv::new();
    publisher.sql("CREATE TABLE t (a int primary key); CREATE PUBLICATION p FOR TABLE t");
    let env = TestEnv::new();
    let name = unique("sub");
    env.file(
        "migrations/postgres/V1__a.sql",
        &format!(
            "-- transaction: off\nCREATE TABLE t (a int primary key);\n\
             CREATE SUBSCRIPTION {name} CONNECTION 'dbname=absent host=127.0.0.1 port=1' PUBLICATION p WITH (connect = false);\n\
             ALTER SUBSCRIPTION {name} SET (slot_name = NONE);\nDROP SUBSCRIPTION {name};\n"
        ),
    );
    env.run(&["up"]).expect(0);
    // With a slot, it is the server that answers, and no block that it stands in.
    env.file(
        "migrations/postgres/V2__b.sql",
        &format!("-- transaction: off\nCREATE SUBSCRIPTION {name} CONNECTION 'dbname=absent host=127.0.0.1 port=1' PUBLICATION p;\n"),
    );
    env.run(&["up"]).expect(1).says(&["could not connect to the publisher"]);
}

#[test]
fn what_needs_a_block_is_refused_with_its_place() {
    for statement in [
        "SET LOCAL search_path = app",
        "LOCK TABLE t",
        "SAVEPOINT a",
        "RELEASE SAVEPOINT a",
        "ROLLBACK TO SAVEPOINT a",
        "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE",
        "SET CONSTRAINTS ALL DEFERRED",
        "DECLARE c CURSOR FOR SELECT 1",
    ] {
        let env = TestEnv::new();
        let file = format!("-- transaction: off\nCREATE TABLE t (a int);\n{statement};\n");
        env.file("migrations/postgres/V1__a.sql", &file);
        env.run(&["up"]).expect(2).says(&["V1__a.sql:3:1", "transaction block"]);
        assert_eq!(env.sql("SELECT to_regclass('t')"), ["NULL"]);
    }
}

#[test]
fn a_freed_lock_is_taken_again_or_the_run_stops() {
    let key = "SELECT classid::bigint, objid::bigint FROM pg_locks WHERE locktype = 'advisory' \
               AND mode = 'ShareLock' AND pid = pg_backend_pid()";
    for header in ["", "-- transaction: off\n"] {
        let env = TestEnv::new();
        let free = "SELECT pg_advisory_unlock_all();";
        env.file("migrations/postgres/V1__a.sql", &format!("{header}{free}\nCREATE TABLE b ();"));
        env.file("migrations/postgres/V2__c.sql", &format!("CREATE TABLE said AS {key};"));
        env.run(&["up"]).expect(0);
        assert_eq!(env.sql("SELECT count(*) FROM said"), ["1"], "{header}");
        // Somebody else has it when it is to be taken again.
        let env = TestEnv::new();
        let others = "pid <> pg_backend_pid() AND datname = current_database() AND application_name LIKE 'aiplat%'";
        let text = format!(
            "{header}DO $$ BEGIN PERFORM pg_advisory_unlock_all(); \
             PERFORM pg_terminate_backend(pid) FROM pg_stat_activity WHERE {others}; \
             PERFORM pg_sleep(4); END $$;\nCREATE TABLE b ();"
        );
        env.file("migrations/postgres/V1__a.sql", &text);
        env.file("migrations/postgres/V2__c.sql", "CREATE TABLE c ();");
        env.file("migrations/postgres/V0__key.sql", &format!("CREATE TABLE key AS {key};"));
        let run = env.spawn(&["up", "--lock-wait", "0s"]);
        let url = env.get("AIPLAT_MIGRATE_POSTGRES_URL");
        block_on(async {
            let client = postgres(&url).await;
            let take = "DO $$ DECLARE c int; o int; BEGIN \
                SELECT (classid - (classid >> 31 << 32))::int, (objid - (objid >> 31 << 32))::int INTO c, o FROM key; \
                WHILE NOT pg_try_advisory_lock(c, o) LOOP PERFORM pg_sleep(0.01); END LOOP; END $$";
            while client.simple_query("SELECT FROM key").await.is_err() {
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
            client.simple_query(take).await.expect("the lock");
            finish(run).expect(5).says(&["lock"]);
        });
        assert_eq!(env.sql("SELECT to_regclass('c')"), ["NULL"], "{header}");
        env.run(&["up"]).expect(0);
        env.run(&["validate"]).expect(0);
    }
}

#[test]
fn what_a_block_sets_is_set_again() {
    let env = TestEnv::new();
    env.sql("CREATE SCHEMA s1");
    let file = "migrations/postgres/V1__a.sql";
    let text = "-- transaction: off\nBEGIN;\nSET search_path = s1;\nCREATE TABLE a (i int);\nCOMMIT;\n\
                SELECT 1/0;\nCREATE TABLE c (i int);\n";
    env.file(file, text);
    env.run(&["up"]).expect(1);
    env.file(file, &text.replace("1/0", "1/1"));
    env.run(&["up"]).expect(0);
    assert_eq!(env.sql("SELECT to_regclass('s1.c'), to_regclass('public.c')"), ["s1.c|NULL"]);
}

/// A file whose every statement changes the session or depends on it, and what undoes it.
const RESUMED: (&str, &str) = (
    "-- transaction: off\nCREATE SCHEMA app;\nSET search_path = app;\nSET maintenance_work_mem = '77MB';\n\
     CREATE TABLE said (what text DEFAULT current_setting('maintenance_work_mem'), n int UNIQUE);\n\
     SELECT set_config('app.n', '1', false);\nPREPARE add (int) AS INSERT INTO said (n) VALUES ($1);\n\
     EXECUTE add (1);\nSELECT pg_advisory_lock(4711);\nCREATE INDEX CONCURRENTLY ON said (what);\nVACUUM said;\n\
     INSERT INTO said (n) SELECT count(*) + 1 FROM pg_locks WHERE objid = 4711 AND pid = pg_backend_pid();\n\
     SET ROLE pg_monitor;\nRESET ROLE;\nDISCARD ALL;\nCREATE TABLE in_public (a int);\n",
    "-- transaction: off\nSET search_path = app;\nDROP INDEX CONCURRENTLY said_what_idx;\n\
     DROP TABLE said;\nDROP SCHEMA app;\nDROP TABLE public.in_public;\n",
);

#[test]
fn a_file_is_resumed_in_the_session_that_it_had() {
    let new = || {
        let env = TestEnv::new();
        env.file("migrations/postgres/V1__a.sql", RESUMED.0);
        env.file("migrations/postgres/U1__a.sql", RESUMED.1);
        env
    };
    let undisturbed = new();
    let down: &[&str] = &["down", "--yes", "--allow-data-loss"];
    let places = [passages(&undisturbed, UP), Vec::new()];
    let applied = facts(&undisturbed);
    let places = [places[0].clone(), passages(&undisturbed, down)];
    let undone = facts(&undisturbed);
    let env = new();
    for place in tried(&places[0]) {
        assert!(killed_if_passed(&env, UP, &place), "{place}");
        env.run(&["up"]).expect(0);
        assert_eq!(facts(&env), applied, "up killed at {place}");
        env.run(down).expect(0);
        assert_eq!(facts(&env), undone, "{place}");
    }
    for place in tried(&places[1]) {
        env.run(&["up"]).expect(0);
        assert!(killed_if_passed(&env, down, &place), "{place}");
        env.run(down).expect(0);
        assert_eq!(facts(&env), undone, "down killed at {place}");
    }
}

/// The places after an effect of a step: every third of them, since `dev/chaos` tries all.
fn tried(passed: &[String]) -> Vec<String> {
    let step = |place: &&String| {
        ["sealed_step:after", "settle_step:after", "claim_step:after", "postgres_alone:after"]
            .iter()
            .any(|name| place.starts_with(name))
    };
    passed.iter().filter(step).step_by(3).cloned().collect()
}

#[test]
fn what_cannot_be_brought_back_is_not_passed_over() {
    let head = "-- transaction: off\nCREATE TEMP TABLE scratch (a int);\nINSERT INTO scratch VALUES (1);\n";
    let env = TestEnv::new();
    let file = "migrations/postgres/V1__a.sql";
    env.file(
        file,
        &format!("{head}CREATE TABLE said AS SELECT a / 0 FROM scratch;\nCREATE TABLE b ();\n"),
    );
    let failed = env.run(&["up"]).expect(1);
    failed.says(&["division by zero", "gone with this run's session: the temporary table scratch"]);
    let refused = env.run(&["up"]).expect(1);
    let refused =
        refused.says(&["cannot be resumed", "the temporary table scratch", "from its step 3 on"]);
    assert!(!refused.stderr.contains("division"), "{}", refused.stderr);
    env.run(&["up"]).expect(1).says(&["cannot be resumed"]);
    assert_eq!(env.ledger(), ["postgres 1 failed"]);
    // Who edits the rest knows.
    env.file(file, &format!("{head}CREATE TABLE said AS SELECT 1 AS a;\nSELECT 1/0;\n"));
    env.run(&["up"]).expect(1).says(&["the temporary table scratch", "division by zero"]);
    env.run(&["up"]).expect(1).says(&["division by zero"]);
    env.file(file, &format!("{head}CREATE TABLE said AS SELECT 1 AS a;\n"));
    env.run(&["up"]).expect(0);
    assert_eq!(env.sql("SELECT a FROM said"), ["1"]);
    env.run(&["validate"]).expect(0);
}

/// Statements that wait for another client, and are cut off there: the process killed, its session ended.
const CUT_OFF: &[&str] = &[
    "CREATE INDEX CONCURRENTLY ON t (h);",
    "CREATE UNIQUE INDEX CONCURRENTLY named ON t (id, h);",
    "CREATE INDEX CONCURRENTLY a_name_of_more_than_sixty_three_bytes_is_cut_by_the_server_at_its_end ON t (h);",
    "SET search_path = app; CREATE INDEX CONCURRENTLY ON inner_t (h);",
    "REINDEX INDEX CONCURRENTLY t_pkey;",
    "REINDEX TABLE CONCURRENTLY t;",
    "REINDEX TABLE CONCURRENTLY app.inner_t;",
    "REINDEX SCHEMA CONCURRENTLY public;",
    "DROP INDEX CONCURRENTLY t_id;",
    "ALTER TABLE parted DETACH PARTITION part CONCURRENTLY;",
];

const CUT_OFF_ON: &str = "CREATE TABLE t (id int PRIMARY KEY, h text); CREATE INDEX t_id ON t (id); \
     INSERT INTO t SELECT n, repeat('x', 3000) FROM generate_series(1, 20) n; \
     CREATE SCHEMA app; CREATE TABLE app.inner_t (id int PRIMARY KEY, h text); \
     CREATE TABLE parted (id int) PARTITION BY RANGE (id); \
     CREATE TABLE part PARTITION OF parted FOR VALUES FROM (1) TO (10)";

/// Indexes with their tables and whether they are of use, and the partitions.
fn indexes(env: &TestEnv) -> Vec<String> {
    env.sql(
        "SELECT indexrelid::regclass, indisvalid, indisready FROM pg_index \
         WHERE indrelid >= 16384 AND indrelid::regclass::text !~ 'aiplat|pg_toast' \
         OR NOT indisvalid UNION ALL \
         SELECT inhrelid::regclass, inhdetachpending, NULL FROM pg_inherits ORDER BY 1",
    )
}

#[test]
fn what_was_cut_off_between_its_transactions_is_finished() {
    for statement in CUT_OFF {
        let (ours, theirs) = (TestEnv::new(), TestEnv::new());
        for env in [&ours, &theirs] {
            env.sql(CUT_OFF_ON);
        }
        as_psql(&theirs, &statement.replace("; ", ";\n"));
        ours.file("migrations/postgres/V1__a.sql", &format!("-- transaction: off\n{statement}\n"));
        let url = ours.get("AIPLAT_MIGRATE_POSTGRES_URL");
        block_on(async {
            let (blocker, client) = (postgres(&url).await, postgres(&url).await);
            let hold = "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM parted; \
                        LOCK TABLE t, app.inner_t IN ROW EXCLUSIVE MODE; SELECT pg_current_xact_id()";
            blocker.simple_query(hold).await.expect("hold");
            let mut run = ours.spawn(&["up"]);
            let waits = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() \
                         AND wait_event_type = 'Lock' AND application_name LIKE 'aiplat%'";
            let pid = loop {
                let found = client.query(waits, &[]).await.expect("activity");
                match found.first() {
                    Some(row) => break row.get::<_, i32>(0),
                    None => tokio::time::sleep(std::time::Duration::from_millis(20)).await,
                }
            };
            // It has to have begun its second transaction: the first one waits for nobody.
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            run.kill().expect("kill");
            client
                .query("SELECT pg_terminate_backend($1, 5000)", &[&pid])
                .await
                .expect("terminate");
            blocker.simple_query("ROLLBACK").await.expect("rollback");
            drop(finish(run));
        });
        ours.run(&["up"]).expect(0);
        assert_eq!(indexes(&ours), indexes(&theirs), "{statement}");
        assert_eq!(
            ours.sql("SELECT count(*) FROM pg_index WHERE NOT indisvalid"),
            ["0"],
            "{statement}"
        );
        ours.run(&["validate"]).expect(0);
    }
}

/// What the tool's own parser does not understand is for the server to say.
#[test]
fn what_no_parser_knows_is_sent_whole() {
    for statement in [
        "delete from said wehre a = 1",
        "delete from said where a = 1 adn a = 2",
        "update said set a = 9 where a = 1 adn a = 2",
        "delete from said where a = 1 limit 1",
        "truncate said restrat identity",
        "insrt into said values (9)",
        "create tabel z (i int)",
        "use db",
        "delete from said where a = 1\ncreate table z (i int)",
        "create table bb (i int) bogus",
        "create policy p on said using (a = 1) wiht check (a = 1)",
    ] {
        for header in ["", "-- transaction: off\n"] {
            let env = TestEnv::new();
            env.sql("CREATE TABLE said (a int); INSERT INTO said VALUES (1), (1), (2)");
            env.file(
                "migrations/postgres/V1__a.sql",
                &format!("{header}create table first (i int);\n{statement};\ncreate table last (i int);\n"),
            );
            env.run(&["up"]).expect(1).says(&["syntax error", "42601"]);
            assert_eq!(env.sql("SELECT count(*) FROM said"), ["3"], "{statement}");
            assert_eq!(env.sql("SELECT to_regclass('last'), to_regclass('z')"), ["NULL|NULL"]);
        }
    }
    let file = "CREATE TABLE t (a int);\nALTER TABLE t ADD COLUMN z text COMPRESSION pglz NOT NULL DEFAULT 'x';\n";
    let (ours, theirs) = (TestEnv::new(), TestEnv::new());
    as_psql(&theirs, file);
    ours.file("migrations/postgres/V1__a.sql", &format!("-- transaction: off\n{file}"));
    ours.run(&["up"]).expect(0);
    let column = "SELECT attnotnull, attcompression, atthasdef FROM pg_attribute \
                  WHERE attrelid = 't'::regclass AND attname = 'z'";
    assert_eq!(ours.sql(column), theirs.sql(column));
}
