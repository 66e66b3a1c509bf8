//! The ledger itself: what cannot be read or written says so by row and column, ledgers of other
//! versions, and what every later version owes to the first. `ledgers/` holds what each left.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::time::{Duration, Instant};

use tokio_postgres::SimpleQueryMessage;

use crate::support::{Finished, TestEnv, block_on, finish, postgres};

const COMMANDS: &[&[&str]] = &[
    &["status"],
    &["plan"],
    &["validate"],
    &["history"],
    &["up"],
    &["up", "--dry-run"],
    &["down", "--yes"],
    &["redo", "--yes"],
    &["repair", "--yes"],
    &["tag", "x"],
];

fn folder(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn text(path: &str) -> String {
    std::fs::read_to_string(folder(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Everything in the schema `aiplat_migrate`, and the tables that migrations made.
fn everything(env: &TestEnv) -> Vec<String> {
    let mut all = env.sql("SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1");
    let tables = env.sql(
        "SELECT table_name FROM information_schema.tables \
         WHERE table_schema = 'aiplat_migrate' AND table_type = 'BASE TABLE' ORDER BY 1",
    );
    for table in tables {
        all.extend(env.sql(&format!("SELECT t::text FROM aiplat_migrate.{table} t ORDER BY 1")));
    }
    all
}

/// One migration applied, with a tag, and one pending.
fn applied_and_pending() -> TestEnv {
    let env = TestEnv::new();
    env.file("migrations/postgres/V3__a.sql", "create table a (n int);");
    env.file("migrations/postgres/U3__a.sql", "drop table a;");
    env.run(&["up", "--tag", "first"]).expect(0);
    env.file("migrations/postgres/V4__b.sql", "-- requires: postgres@3\ncreate table b ();");
    env
}

/// Spoils one value, and holds that each of `commands` names its row and column and changes nothing.
#[track_caller]
fn unreadable(spoil: &str, named: &str, why: &str, commands: &[&[&str]]) {
    let env = applied_and_pending();
    env.sql(&format!("SET search_path = aiplat_migrate; {spoil}"));
    let before = everything(&env);
    for command in commands {
        env.run(command).expect(1).says(&[named, "is not readable", why, "docs/ledger.md"]);
        assert_eq!(everything(&env), before, "{spoil}: {command:?}");
    }
}

/// Of the commands that read rows, all but `history`, which reads events alone.
const READERS: &[&[&str]] =
    &[&["status"], &["validate"], &["up"], &["down", "--yes"], &["tag", "x"]];

#[test]
fn a_claim_that_cannot_be_read_is_not_taken_for_none() {
    let row = "the ledger's row 1 (postgres@3): column ";
    let spoiled = |set: &str, column: &str, why: &str| {
        let sql = format!("UPDATE ledger SET {set}");
        unreadable(&sql, &format!("{row}{column}"), why, READERS);
    };
    spoiled("before = '{\"stood\": 1}'", "before", "missing field `standing`");
    spoiled("requires = '[\"postgres@3\", \"nonsense\"]'", "requires", "nonsense");
    spoiled("step_hashes = '{}'", "step_hashes", "invalid type: map");
    spoiled("steps_done = -1", "steps_done", "-1 is negative");
    spoiled("started_at = 'infinity'", "started_at", "value too large");
    spoiled("finished_at = '-infinity'", "finished_at", "value too large");
}

#[test]
fn a_version_that_cannot_be_read_does_not_drop_its_row() {
    let row = "the ledger's row 1 (postgres@three): column version";
    unreadable("UPDATE ledger SET version = 'three'", row, "is not a version", READERS);
}

#[test]
fn columns_of_another_type_and_nulls_are_told() {
    let row = "the ledger's row 1 (postgres@3): column ";
    let retyped = "ALTER TABLE ledger ALTER script TYPE int USING 7";
    let retyped = format!("DROP VIEW flyway_schema_history; {retyped}");
    unreadable(&retyped, &format!("{row}script"), "it is of the type int4", READERS);
    let null = "ALTER TABLE ledger ALTER checksum DROP NOT NULL; UPDATE ledger SET checksum = NULL";
    unreadable(null, &format!("{row}checksum"), "it is null", READERS);
}

#[test]
fn tags_identities_and_shapes_that_cannot_be_read_are_told() {
    let tag = "UPDATE tag SET rows = '{1,NULL}'";
    unreadable(tag, "the ledger's tag first: column rows", "null", READERS);
    let identity = "ALTER TABLE identity ALTER identity TYPE bytea USING 'x'";
    let named = "the ledger's identity of postgres: column identity";
    unreadable(identity, named, "it is of the type bytea", READERS);
    // These are read by those that look at stores, and by whoever has the lock.
    let lookers: &[&[&str]] =
        &[&["validate"], &["up"], &["down", "--yes"], &["tag", "x"], &["repair", "--accept-drift"]];
    let named = "the ledger's shape of postgres: column recorded";
    unreadable("UPDATE shape SET recorded = '[]'", named, "expected a map", lookers);
    let named = "the ledger's shape of postgres: column before";
    unreadable("UPDATE shape SET before = '7'", named, "expected a map", lookers);
}

#[test]
fn what_undoes_a_migration_has_to_be_readable() {
    let named = "the ledger's row 1 (postgres@3): column down";
    let down = "UPDATE ledger SET down = '{\"from\": \"nowhere\"}'";
    unreadable(down, named, "unknown variant `nowhere`", &[&["down", "--yes"]]);
    let env = applied_and_pending();
    env.sql("ALTER TABLE aiplat_migrate.ledger ALTER content_checksum TYPE int USING 7");
    env.file("migrations/postgres/V3__a.sql", "create table a (n int); -- a number");
    env.run(&["validate"]).expect(1).says(&["row 1 (postgres@3): column content_checksum"]);
}

#[test]
fn rows_of_stores_that_a_newer_version_knows_are_told_and_left_alone() {
    let env = applied_and_pending();
    env.sql(
        "INSERT INTO aiplat_migrate.ledger (run_id, store, kind, version, description, script, \
           checksum, state, host, tool_version) \
         VALUES ('r', 'minio', 'versioned', '1', 'x', 'x', 'sha256:00', 'applied', 'h', '9.0.0'); \
         INSERT INTO aiplat_migrate.shape (store, run_id) VALUES ('minio', 'r')",
    );
    for command in [&["status"][..], &["plan"], &["validate", "--quiet"], &["up"], &["tag", "x"]] {
        let said = env.run(command);
        let count = said.stderr.matches("the ledger has rows of minio").count();
        assert_eq!(count, 1, "{command:?}: {}", said.stderr);
    }
    assert_eq!(env.ledger(), ["postgres 3 applied", "minio 1 applied", "postgres 4 applied"]);
    let tagged = "SELECT rows FROM aiplat_migrate.tag WHERE name = 'x'";
    assert_eq!(env.sql(tagged), ["{1,2,3}"]);
    // What they require stays, and what requires them can be read.
    env.sql(
        "UPDATE aiplat_migrate.ledger SET requires = '[\"postgres@4\"]' WHERE store = 'minio'; \
         UPDATE aiplat_migrate.ledger SET requires = '[\"minio@1\"]' WHERE version = '3'",
    );
    env.run(&["status"]).expect(0);
    env.run(&["down", "--yes", "--allow-data-loss"])
        .expect(1)
        .says(&["postgres@4 cannot be undone: minio@1 requires it", "nothing was undone"]);
}

/// A run that halts for two seconds after its first step is done, and before the ledger knows it.
fn halted(env: &TestEnv) -> Child {
    env.sql("CREATE TABLE t (n int)");
    let steps = "create index concurrently t_n on t (n); create index concurrently t_m on t (n);";
    env.file("migrations/postgres/V1__i.sql", &format!("-- transaction: off\n{steps}"));
    let mut command = env.command(&["up"]);
    command.env("AIPLAT_MIGRATE_FAIL_PAUSE", "apply:after@1");
    command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    let run = command.spawn().expect("binary");
    let done = "SELECT count(*) FROM pg_index WHERE indrelid = 't'::regclass AND indisvalid";
    until(env, done, "1");
    run
}

#[track_caller]
fn until(env: &TestEnv, sql: &str, wanted: &str) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while env.sql(sql) != [wanted] {
        assert!(Instant::now() < deadline, "{sql}: not {wanted}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// What such a run says when `change` is done to the ledger meanwhile.
fn disturbed(change: &str) -> (TestEnv, Finished) {
    let env = TestEnv::new();
    let run = halted(&env);
    env.sql(change);
    let finished = finish(run);
    (env, finished)
}

#[test]
fn a_row_that_another_run_took_over_is_told_with_that_run() {
    let take = "UPDATE aiplat_migrate.ledger SET run_id = 'other-run', host = 'other-host'";
    let (env, finished) = disturbed(take);
    finished.expect(5).says(&[
        "the ledger's row 1 (postgres@1) belongs to another run now: other-run on other-host",
        "history --run other-run",
    ]);
    let row = "SELECT run_id, state, steps_done FROM aiplat_migrate.ledger";
    assert_eq!(env.sql(row), ["other-run|running|0"]);
}

#[test]
fn a_row_in_a_wrong_state_is_told_with_the_states() {
    let (_, finished) = disturbed("UPDATE aiplat_migrate.ledger SET state = 'failed'");
    finished.expect(1).says(&[
        "the ledger's row 1 (postgres@1) is failed, 0 of 2 steps done, the next is begun; \
         it has to be running or undoing, with 0 steps done",
        "somebody changed the row",
    ]);
    let (_, finished) = disturbed("UPDATE aiplat_migrate.ledger SET steps_done = 1");
    finished.expect(1).says(&["is running, 1 of 2 steps done", "with 0 steps done"]);
}

#[test]
fn a_row_that_is_gone_is_told() {
    let (env, finished) = disturbed("DELETE FROM aiplat_migrate.ledger");
    finished.expect(1).says(&["the ledger's row 1 is gone", "somebody deleted it"]);
    assert_eq!(env.ledger(), [""; 0]);
}

#[test]
fn a_lost_lock_is_told_as_such() {
    // Its connection is ended: nothing further is begun, and the run goes on with a new lock.
    let end = "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' \
               AND mode = 'ExclusiveLock' AND database = \
               (SELECT oid FROM pg_database WHERE datname = current_database())";
    let (env, finished) = disturbed(end);
    finished.expect(0).says(&["the lock was lost: a connection to PostgreSQL broke"]);
    assert_eq!(env.ledger(), ["postgres 1 applied"]);
    // One that never had it writes nothing.
    env.file(
        "migrations/postgres/V2__i.sql",
        "-- transaction: off\ncreate index concurrently t_k on t (n);",
    );
    let mut command = env.command(&["up"]);
    command.env("AIPLAT_MIGRATE_FAIL_NO_LOCK", "1");
    command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    let finished = finish(command.spawn().expect("binary"));
    finished.expect(5).says(&["the lock was lost"]);
    assert_eq!(env.ledger(), ["postgres 1 applied"]);
}

/// In the middle of a step that settles itself in its own transaction, PostgreSQL says the same.
#[test]
fn a_step_in_a_transaction_tells_the_same() {
    let wrong = |state: &str| format!("is {state}, 0 of 1 steps done; it has to be running");
    for (change, code, words) in [
        (
            "run_id = 'other-run', host = 'h'",
            5,
            "belongs to another run now: other-run on h".to_string(),
        ),
        ("state = 'failed'", 1, wrong("failed")),
        ("state = 'in doubt'", 1, wrong("in doubt")),
    ] {
        let env = TestEnv::new();
        let file = "-- transaction: off\ncreate table t as select 1 as n from pg_sleep(2);";
        env.file("migrations/postgres/V1__t.sql", file);
        let run = env.spawn(&["up"]);
        let sleeping = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep' \
                        AND datname = current_database()";
        until(&env, sleeping, "1");
        env.sql(&format!("UPDATE aiplat_migrate.ledger SET {change}"));
        let finished = finish(run);
        finished.expect(code).says(&["the ledger's row 1 (postgres@1)", &words]);
        assert_eq!(env.sql("SELECT to_regclass('t')"), ["NULL"]);
        // What somebody made of the row stays.
        let kept = format!(
            "SELECT count(*) FROM aiplat_migrate.ledger WHERE {}",
            change.replace(", ", " AND ")
        );
        assert_eq!(env.sql(&kept), ["1"]);
    }
}

/// A file may leave any search path and any names behind; the ledger's functions see their own.
#[test]
fn names_and_operators_of_a_file_do_not_reach_the_ledgers_functions() {
    let env = TestEnv::new();
    env.file(
        "migrations/postgres/V1__hostile.sql",
        "create schema hostile;
         create function hostile.never(text, text) returns boolean language sql as 'select false';
         create operator hostile.= (leftarg = text, rightarg = text, function = hostile.never);
         create function hostile.clock_timestamp() returns timestamptz language sql as $$ select 'epoch'::timestamptz $$;
         create table hostile.ledger (id int); create table hostile.event (id int);
         create temp table ledger (id int); create temp table event (id int);
         set search_path = hostile, pg_catalog, pg_temp;",
    );
    env.file("migrations/postgres/U1__hostile.sql", "drop schema hostile cascade;");
    env.file("migrations/postgres/V2__b.sql", "create table public.b (n int);");
    env.run(&["up"]).expect(0);
    assert_eq!(env.ledger(), ["postgres 1 applied", "postgres 2 applied"]);
    let recent =
        "SELECT count(*) FROM aiplat_migrate.ledger WHERE finished_at > now() - interval '1 hour'";
    assert_eq!(env.sql(recent), ["2"]);
    let mut paths = env.sql(
        "SELECT DISTINCT unnest(proconfig) FROM pg_proc WHERE pronamespace = 'aiplat_migrate'::regnamespace",
    );
    assert_eq!(paths.pop().as_deref(), Some("search_path=aiplat_migrate, pg_catalog, pg_temp"));
    assert_eq!(paths, [""; 0]);
}

/// What a function sets for itself ends with it; what it sets for the transaction does not.
#[test]
fn a_lazy_commit_is_lazy_until_the_transaction_ends() {
    let env = applied_and_pending();
    let url = env.get("AIPLAT_MIGRATE_POSTGRES_URL");
    let (within, after) = block_on(async {
        let client = postgres(&url).await;
        let claim = r#"{"run_id": "r", "store": "postgres", "kind": "versioned", "version": "9",
                        "description": "x", "script": "x", "checksum": "sha256:00", "steps_total": 1,
                        "steps_done": 1, "step_hashes": [], "down": {"from": "none"}, "requires": [],
                        "host": "h", "tool_version": "0.1.0"}"#;
        let close =
            format!("SELECT aiplat_migrate.close_applied('t', NULL, '{claim}', NULL, true)");
        let settings =
            "SELECT current_setting('synchronous_commit'), current_setting('search_path')";
        let begin = "SET search_path = public; BEGIN; SET LOCAL aiplat_migrate.token = 't'";
        client.batch_execute(&format!("{begin}; {close}")).await.expect("close");
        let within = client.query_one(settings, &[]).await.expect("settings");
        client.batch_execute("COMMIT").await.expect("commit");
        let after = client.query_one(settings, &[]).await.expect("settings");
        let pair = |row: tokio_postgres::Row| (row.get::<_, String>(0), row.get::<_, String>(1));
        (pair(within), pair(after))
    });
    assert_eq!((within.0.as_str(), within.1.as_str()), ("off", "public"));
    assert_eq!((after.0.as_str(), after.1.as_str()), ("on", "public"));
}

/// Loads one of `ledgers/` into the test's database.
fn load(env: &TestEnv, ledger: &str) {
    let (url, sql) =
        (env.get("AIPLAT_MIGRATE_POSTGRES_URL"), text(&format!("tests/it/ledgers/{ledger}")));
    block_on(async { postgres(&url).await.batch_execute(&sql).await.expect(ledger) });
}

#[test]
fn a_ledger_from_before_the_first_release_is_refused() {
    let env = TestEnv::new();
    env.file("migrations/postgres/V1__a.sql", "create table a (n int);\n");
    env.file("migrations/postgres/U1__a.sql", "drop table a;");
    load(&env, "before-0.1.0.sql");
    let before = everything(&env);
    for command in COMMANDS {
        env.run(command).expect(2).says(&[
            "the ledger in the schema aiplat_migrate was made by a build before 0.1.0",
            "nothing was changed",
            "AIPLAT_MIGRATE_LEDGER_SCHEMA",
            "docs/ledger.md",
        ]);
        assert_eq!(everything(&env), before, "{command:?}");
    }
}

/// The paragraph of docs/ledger.md, done as it says.
#[test]
fn a_ledger_from_before_the_first_release_is_taken_over_by_hand() {
    let env = TestEnv::new();
    env.file("migrations/postgres/V1__a.sql", "create table a (n int);\n");
    env.file("migrations/postgres/U1__a.sql", "drop table a;");
    load(&env, "before-0.1.0.sql");
    let env = env.set("AIPLAT_MIGRATE_LEDGER_SCHEMA", "aiplat_ledger");
    let docs = text("docs/ledger.md");
    let chapter = docs.split("## A ledger from before 0.1.0").nth(1).expect("the chapter");
    let sql = chapter.split("```sql\n").nth(1).and_then(|rest| rest.split("```").next());
    env.run(&["tag", "taken-over"]).expect(0);
    env.sql(sql.expect("the statements"));
    env.run(&["up"]).expect(0).out("nothing");
    env.run(&["validate", "--strict"]).expect(0);
    env.run(&["down", "--yes", "--all"]).expect(0);
    assert_eq!(env.sql("SELECT to_regclass('a')"), ["NULL"]);
}

/// The versions whose ledgers are kept: every one that was released, and the present one.
fn kept() -> Vec<String> {
    let entries = std::fs::read_dir(folder("tests/it/ledgers")).expect("folder");
    let names = entries.map(|entry| entry.expect("entry").file_name().into_string().expect("name"));
    let mut versions: Vec<String> =
        names.filter_map(|name| Some(name.strip_suffix("-statements.sql")?.to_string())).collect();
    versions.sort();
    versions
}

#[test]
fn the_ledger_of_each_version_is_taken_up() {
    assert!(kept().contains(&env!("CARGO_PKG_VERSION").to_string()), "{:?}", kept());
    for version in kept() {
        let env = TestEnv::new();
        env.file("migrations/postgres/V0.5__base.sql", "create table base (n int);");
        env.file("migrations/postgres/V1__a.sql", "create table a (n int);");
        env.file("migrations/postgres/U1__a.sql", "drop table a;");
        let view = "create or replace view v as select 2 as one;";
        env.file("migrations/postgres/R__view.sql", view);
        let index = "create index concurrently a_n on a (n);";
        env.file("migrations/postgres/V2__i.sql", &format!("-- transaction: off\n{index}"));
        env.file("migrations/postgres/U2__i.sql", "drop index a_n;");
        let half = "-- transaction: off\ncreate index concurrently a_m on a (n);\n";
        env.file("migrations/postgres/V3__half.sql", &format!("{half}{index}"));
        load(&env, &format!("{version}.sql"));
        let states = env.sql("SELECT DISTINCT state FROM aiplat_migrate.ledger ORDER BY 1");
        assert_eq!(states, ["applied", "baseline", "failed", "held", "undone"], "{version}");
        let status = env.run(&["status"]).expect(0);
        status.out("tags: first").out("failed, 1 of 2 steps");
        env.run(&["validate"]).expect(3).out("V3__half.sql failed after 1 steps");
        // The failed step is corrected, and the run goes on behind the one that is done.
        env.file(
            "migrations/postgres/V3__half.sql",
            &format!("{half}create index concurrently a_k on a (n);"),
        );
        env.file("migrations/postgres/U3__half.sql", "drop index a_k; drop index a_m;");
        env.file("migrations/postgres/V4__c.sql", "create table c (n int);");
        env.file("migrations/postgres/U4__c.sql", "drop table c;");
        env.run(&["up"]).expect(0).says(&["1 of 2 steps were done"]);
        env.run(&["validate"]).expect(0);
        env.run(&["down", "--yes", "--to-tag", "first"]).expect(0);
        env.run(&["history"]).expect(0).out("resumed").out("undone");
        assert_eq!(env.sql("SELECT count(*) FROM pg_indexes WHERE tablename = 'a'"), ["0"]);
    }
}

/// The statements of a version: those of `sql/`, each prepared and then executed with values.
fn statements(version: &str) -> Vec<(String, String)> {
    let recording = text(&format!("tests/it/ledgers/{version}-statements.sql"));
    let sections = recording.split("\n-- statement: ").skip(1);
    let section = |section: &str| {
        let (name, sql) = section.split_once('\n').expect("a name and its SQL");
        (name.to_string(), sql.to_string())
    };
    sections.map(section).collect()
}

/// How many commands wrote rows, or gave some with a value.
fn effects(answers: &[SimpleQueryMessage]) -> usize {
    let (mut effects, mut value) = (0, None);
    for answer in answers {
        match answer {
            SimpleQueryMessage::Row(row) => value = value.max(Some(row.get(0).is_some())),
            SimpleQueryMessage::CommandComplete(count) => {
                effects += usize::from(value.take().unwrap_or(*count > 0));
            }
            _ => {}
        }
    }
    effects
}

#[test]
fn the_statements_of_each_version_work_on_the_present_ledger() {
    for version in kept() {
        let env = TestEnv::new();
        env.file("migrations/postgres/V0.1__a.sql", "create table a (n int);");
        env.run(&["up"]).expect(0);
        let url = env.get("AIPLAT_MIGRATE_POSTGRES_URL");
        block_on(async {
            // What ends a file is sent in the store's session, and forgets what was prepared there.
            let (ledger, store) = (postgres(&url).await, postgres(&url).await);
            for (name, sql) in statements(&version) {
                let ends_file = name.starts_with("close_") || name == "settled";
                let client = if ends_file { &store } else { &ledger };
                let answers = client.simple_query(&sql).await;
                let answers =
                    answers.unwrap_or_else(|error| panic!("{version}: {name}: {error:?}"));
                let executed = sql.matches("EXECUTE ").count();
                assert_eq!(effects(&answers), executed, "{version}: {name}");
            }
        });
        let states = env.sql(
            "SELECT version, state, steps_done, step_hashes, finished_at IS NOT NULL \
             FROM aiplat_migrate.ledger WHERE run_id = 'run-b' ORDER BY id",
        );
        let expected = [
            "1|applied|2|[]|t",
            "2|undone|1|[]|t",
            "3|failed|0|[\"x\"]|f",
            "4|failed|1|[\"x\", \"y\"]|f",
            "5|undone|1|[]|t",
        ];
        assert_eq!(states, expected, "{version}");
        let shapes = env.sql(
            "SELECT store, recorded, before FROM aiplat_migrate.shape WHERE store <> 'postgres'",
        );
        assert_eq!(shapes, ["redis|{\"key a\": {\"x\": 1}}|NULL"], "{version}");
    }
}

/// A second function of a name would make the calls of an older binary ambiguous.
#[test]
fn no_two_functions_of_the_ledger_have_one_name() {
    let env = applied_and_pending();
    let names = "SELECT proname FROM pg_proc WHERE pronamespace = 'aiplat_migrate'::regnamespace \
                 GROUP BY proname HAVING count(*) > 1";
    assert_eq!(env.sql(names), Vec::<String>::new());
    let all =
        "SELECT count(*) > 10 FROM pg_proc WHERE pronamespace = 'aiplat_migrate'::regnamespace";
    assert_eq!(env.sql(all), ["t"]);
}

/// As long as the sources are of a version, its recording is what they send.
#[test]
fn the_recording_of_the_present_version_is_what_it_sends() {
    let recorded = statements(env!("CARGO_PKG_VERSION"));
    let names: BTreeSet<&str> = recorded.iter().map(|(name, _)| name.as_str()).collect();
    let mut sent = BTreeSet::new();
    for entry in std::fs::read_dir(folder("src/ledger/sql")).expect("folder") {
        let path = entry.expect("entry").path();
        let name = path.file_stem().and_then(|name| name.to_str()).expect("name").to_string();
        let statement = std::fs::read_to_string(&path).expect("statement");
        let filled = statement.replace("$schema", "aiplat_migrate").replace("$held", "true");
        let prepared = format!("PREPARE s_{name} AS\n{};\n", filled.trim_end());
        let found = recorded.iter().find(|(recorded, _)| *recorded == name);
        let sql = &found.unwrap_or_else(|| panic!("{name} is not recorded")).1;
        assert!(sql.starts_with(&prepared), "{name} was recorded as\n{sql}\nand is\n{prepared}");
        sent.insert(name);
    }
    assert_eq!(names, sent.iter().map(String::as_str).collect());
}

/// A table that inherits from the ledger's is none of it: what stands in it was applied by nobody.
#[test]
fn rows_of_a_table_that_inherits_are_not_the_ledgers() {
    let env = TestEnv::new();
    env.file("migrations/postgres/V1__a.sql", "create table a (i int);");
    env.run(&["up"]).expect(0);
    env.sql(
        "create table child () inherits (aiplat_migrate.ledger);
         insert into child select * from only aiplat_migrate.ledger;
         update child set version = '2', description = 'b', id = id + 100;",
    );
    env.file("migrations/postgres/V2__b.sql", "create table b (i int);");
    env.run(&["status"]).expect(0).out("pending");
    env.run(&["up"]).expect(0);
    assert_eq!(env.sql("select count(*) from b"), ["0"]);
}
