//! What is half done: edited files, newer releases, and shapes that a killed run did not record.

use crate::chaos::{Project, UP, drift, killed_at, picture, undisturbed};
use crate::support::{TestEnv, required};

/// A migration of two steps whose second cannot be done: the index clashes with one that is there.
fn half_applied() -> TestEnv {
    let env = TestEnv::new().with(&["mongo"]);
    env.file(
        "migrations/mongo/V1__a.json5",
        &two_steps("a", "{ key: { x: 'nonsense' }, name: 'x' }"),
    );
    env.run(&["up"]).expect(1).says(&["step 1 of mongo@1 is done and recorded"]);
    assert_eq!(env.ledger(), ["mongo 1 failed"]);
    env
}

fn two_steps(collection: &str, index: &str) -> String {
    format!(
        "{{ steps: [ {{ create: '{collection}' }}, {{ createIndexes: 'a', indexes: [ {index} ] }} ] }}"
    )
}

#[test]
fn the_unfinished_part_of_a_failed_file_may_be_corrected() {
    let env = half_applied();
    env.file("migrations/mongo/V1__a.json5", &two_steps("a", "{ key: { x: 1 }, name: 'x' }"));
    env.run(&["up"]).expect(0).says(&["1 of 2 steps were done"]);
    assert_eq!(env.ledger(), ["mongo 1 applied"]);
    env.run(&["validate"]).expect(0);
    env.run(&["down", "--yes"]).expect(0);
    let mongo = env.sql("SELECT recorded FROM aiplat_migrate.shape WHERE store = 'mongo'");
    assert_eq!(mongo, ["{}"]);
}

#[test]
fn killed_while_a_failure_is_told_it_fails_again_and_can_be_corrected() {
    let env = TestEnv::new().with(&["mongo"]);
    let wrong = two_steps("a", "{ key: { x: 'nonsense' }, name: 'x' }");
    env.file("migrations/mongo/V1__a.json5", &wrong);
    for place in ["fail:before", "fail:after"] {
        let mut command = env.command(UP);
        command.env("AIPLAT_MIGRATE_FAILPOINT", place);
        assert_eq!(command.output().expect("binary").status.code(), None, "{place}: not killed");
    }
    env.run(&["up"]).expect(1);
    assert_eq!(env.ledger(), ["mongo 1 failed"]);
    env.file("migrations/mongo/V1__a.json5", &two_steps("a", "{ key: { x: 1 }, name: 'x' }"));
    env.run(&["up"]).expect(0);
    assert_eq!(env.ledger(), ["mongo 1 applied"]);
    env.run(&["validate"]).expect(0);
}

/// The store cannot tell whether a raw command was run: a person is told what to type, and that works.
#[test]
fn a_raw_command_in_doubt_stops_with_what_to_type() {
    for (answer, length) in [("--done", "1"), ("--not-done", "2")] {
        let env = TestEnv::new().with(&["redis"]);
        env.file(
            "migrations/redis/V1__raw.json5",
            "{ steps: [ { command: ['RPUSH', 'NAME', 'x'] } ] }",
        );
        let mut command = env.command(UP);
        command.env("AIPLAT_MIGRATE_FAILPOINT", "apply:after");
        assert!(!command.output().expect("binary").status.success());
        for _ in 0..2 {
            let said = env.run(&["up"]).expect(1);
            said.says(&["repair --done redis@1", "repair --not-done redis@1"]);
        }
        env.run(&["repair", answer, "redis@1", "--yes"]).expect(0);
        env.run(&["up"]).expect(0);
        assert_eq!(env.ledger(), ["redis 1 applied"]);
        let client = redis::Client::open(required("TEST_REDIS_URL")).expect("URL");
        let mut redis = client.get_connection().expect("Redis");
        let found: String = redis::cmd("LLEN")
            .arg(&env.name)
            .query::<i64>(&mut redis)
            .map(|length| length.to_string())
            .expect("length");
        let _: i64 = redis::cmd("DEL").arg(&env.name).query(&mut redis).expect("del");
        assert_eq!(found, length, "{answer}");
    }
}

#[test]
fn the_finished_part_of_a_failed_file_may_not_be_changed() {
    let env = half_applied();
    env.file("migrations/mongo/V1__a.json5", &two_steps("b", "{ key: { x: 1 }, name: 'x' }"));
    let said = env.run(&["up"]).expect(3);
    said.says(&["half applied, and its step 1 was changed since", "nothing was applied"]);
    assert_eq!(env.ledger(), ["mongo 1 failed"]);
}

#[test]
fn a_half_applied_migration_can_be_taken_back() {
    let env = half_applied();
    env.run(&["down", "--yes"]).expect(0);
    assert_eq!(env.ledger(), ["mongo 1 undone"]);
    // The same after a run that was killed and not gone on with.
    env.file("migrations/mongo/V1__a.json5", &two_steps("a", "{ key: { x: 1 }, name: 'x' }"));
    let mut command = env.command(UP);
    command.env("AIPLAT_MIGRATE_FAILPOINT", "settle_step:after@1");
    assert!(!command.output().expect("binary").status.success());
    assert_eq!(env.ledger(), ["mongo 1 undone", "mongo 1 running"]);
    env.run(&["down", "--yes"]).expect(0);
    assert_eq!(env.ledger(), ["mongo 1 undone", "mongo 1 undone"]);
}

/// A ledger as a newer version of the tool would leave it.
fn newer_ledger(env: &TestEnv) {
    env.sql(
        "ALTER TABLE aiplat_migrate.ledger ADD COLUMN novelty text DEFAULT 'x'; \
         ALTER TABLE aiplat_migrate.ledger DROP CONSTRAINT ledger_state_check; \
         CREATE TABLE aiplat_migrate.novelty (id int); \
         INSERT INTO aiplat_migrate.refinery_schema_history \
           SELECT 99, 'novelty', applied_on, checksum FROM aiplat_migrate.refinery_schema_history LIMIT 1",
    );
}

fn row_of_a_newer_release(env: &TestEnv, store: &str, version: &str, state: &str) {
    env.sql(&format!(
        "INSERT INTO aiplat_migrate.ledger (run_id, store, kind, version, description, script, checksum, \
           state, host, tool_version) VALUES ('r', '{store}', 'versioned', '{version}', 'newer', \
           'migrations/{store}/V{version}__newer', 'sha256:00', '{state}', 'h', '99.0.0')"
    ));
}

#[test]
fn an_older_image_lives_with_a_newer_ledger() {
    let env = TestEnv::new();
    env.file("migrations/postgres/V1__a.sql", "create table a ();");
    env.file("migrations/postgres/R__view.sql", "create or replace view v as select 1 as one;");
    env.run(&["up"]).expect(0);
    newer_ledger(&env);
    row_of_a_newer_release(&env, "postgres", "7", "applied");
    row_of_a_newer_release(&env, "postgres", "8", "running");
    row_of_a_newer_release(&env, "postgres", "5", "archived");
    row_of_a_newer_release(&env, "minio", "1", "applied");
    for _ in 0..2 {
        env.run(&["up"]).expect(0);
    }
    // What this release does not have yet is not begun twice either.
    env.file("migrations/postgres/V5__five.sql", "create table five ();");
    env.run(&["up"]).expect(0);
    assert_eq!(env.sql("SELECT to_regclass('five')"), ["NULL"]);
    let own = env.sql(
        "SELECT version, state FROM aiplat_migrate.ledger WHERE tool_version <> '99.0.0' ORDER BY id",
    );
    assert_eq!(own, ["1|applied", "view|applied"]);
}

#[test]
fn repeatables_do_not_flip_between_two_releases() {
    let env = TestEnv::new();
    let old = "create or replace view v as select 1 as one;";
    env.file("migrations/postgres/V1__a.sql", "create table a ();");
    env.file("migrations/postgres/R__view.sql", old);
    env.run(&["up"]).expect(0);
    env.file("migrations/postgres/V2__b.sql", "create table b ();");
    env.file("migrations/postgres/R__view.sql", "create or replace view v as select 2 as one;");
    env.run(&["up"]).expect(0);
    env.remove("migrations/postgres/V2__b.sql");
    env.file("migrations/postgres/R__view.sql", old);
    for _ in 0..2 {
        env.run(&["up"]).expect(0);
        assert_eq!(env.sql("SELECT one FROM v"), ["2"]);
    }
}

#[test]
fn a_shape_that_was_not_recorded_is_and_drift_is_not_laundered() {
    let project = Project::of("mongo");
    let env = &project.env;
    project.reset();
    undisturbed(&project, UP);
    let expected = picture(&project);
    undisturbed(&project, crate::chaos::DOWN);
    for place in ["record_shape:before", "record_shape:after", "settle:after@3"] {
        project.reset();
        killed_at(&project, UP, place);
        undisturbed(&project, UP);
        assert_eq!(picture(&project), expected, "{place}");
        undisturbed(&project, crate::chaos::DOWN);
    }
    // Drift that was there before a run that is killed is drift still after the next.
    env.sql("DROP SCHEMA aiplat_migrate CASCADE");
    let env = TestEnv::new();
    env.file("migrations/postgres/V1__a.sql", "create table a (n int);");
    env.run(&["up"]).expect(0);
    env.sql("ALTER TABLE a ADD COLUMN by_hand int");
    env.sql("ALTER TABLE a ALTER COLUMN n TYPE bigint");
    env.file("migrations/postgres/V2__b.sql", "create table b (n int);");
    let mut command = env.command(UP);
    command.env("AIPLAT_MIGRATE_FAILPOINT", "record_shape:before");
    assert!(!command.output().expect("binary").status.success());
    env.run(&["up"]).expect(0);
    let report = env.run(&["validate"]).expect(3);
    assert!(report.stdout.contains("public.a.n"), "{}", report.stdout);
    assert!(!report.stdout.contains("public.b"), "{}", report.stdout);
}

#[test]
fn what_a_killed_run_did_itself_is_no_drift_to_the_next() {
    let env = TestEnv::new().with(&["redis"]);
    let contract = "{ keyspace: { pattern: 'NAME:*', type: 'hash', ttl: '1h', purpose: 'x' } }";
    env.file("migrations/redis/V1__a.json5", &format!("{{ steps: [{contract}] }}"));
    let mut command = env.command(&["up"]);
    command.env("AIPLAT_MIGRATE_FAILPOINT", "record_shape:before");
    let killed = command.output().expect("binary");
    assert_eq!(killed.status.code(), None, "{killed:?}");
    let next = env.run(&["up", "--on-drift", "fail"]).expect(0);
    assert!(!next.stderr.contains("drift"), "{}", next.stderr);
    // A run that goes on records whatever else became different, and other tests are at work here too.
    assert_eq!(drift(&env), [""; 0]);
}
