//! `repair` after a run that was killed: the store is asked first, a person last.

use serde_json::Value;

use crate::support::{TestEnv, block_on, required};

/// Kills an `up` at `place`.
#[track_caller]
fn killed_at(env: &TestEnv, arguments: &[&str], place: &str) {
    let mut command = env.command(arguments);
    command.env("AIPLAT_MIGRATE_FAILPOINT", place);
    let killed = command.output().expect("binary");
    assert_eq!(killed.status.code(), None, "{place}: {killed:?}");
}

#[track_caller]
fn redis(words: &[&str]) -> redis::Value {
    block_on(async {
        let client = redis::Client::open(required("TEST_REDIS_URL")).expect("URL");
        let mut client = client.get_multiplexed_async_connection().await.expect("Redis");
        let mut command = redis::Cmd::new();
        command.arg(words).query_async(&mut client).await.expect("command")
    })
}

/// What the last repair said of a step: how, and its changes.
#[track_caller]
fn repaired(env: &TestEnv) -> (String, Value) {
    let found = env.run(&["history", "--event", "repaired", "--output", "json"]).expect(0).json();
    let last = found["events"].as_array().expect("events").last().expect("an event").clone();
    let details = &last["details"];
    assert!(details["object"].as_str().expect("object").starts_with("step "), "{details}");
    (details["repair"].as_str().expect("repair").to_string(), details["changes"].clone())
}

fn changes(state: &str, after: &str, before_steps: u64, steps: u64) -> Value {
    serde_json::json!([
        { "attribute": "state", "before": state, "after": after },
        { "attribute": "steps done", "before": before_steps, "after": steps },
    ])
}

#[test]
fn the_store_says_what_was_done_and_what_was_not() {
    for (place, said, done, rest) in [
        ("apply:after@2", "was done", 2, "2 of 2"),
        ("apply:before@2", "was not done", 1, "1 of 2"),
    ] {
        let env = TestEnv::new().with(&["mongo"]);
        env.file(
            "migrations/mongo/V1__a.json5",
            "{ steps: [ { create: 'a' }, { createIndexes: 'a', indexes: [ { key: { x: 1 }, name: 'x' } ] } ] }",
        );
        killed_at(&env, &["up"], place);
        assert_eq!(env.ledger(), ["mongo 1 running"]);
        let plan = env.run(&["repair", "--dry-run"]).expect(0);
        let told = format!("mongo@1: step 2 of 2, createIndexes a: x, {said}, as MongoDB says");
        plan.out(&told);
        env.run(&["repair"]).expect(2).says(&["not confirmed", "nothing was changed"]);
        assert_eq!(
            env.ledger(),
            ["mongo 1 running"],
            "nothing was settled before it was confirmed"
        );
        env.run(&["repair", "--yes"]).expect(0).out(&told);
        assert_eq!(env.ledger(), ["mongo 1 failed"]);
        let (repair, changed) = repaired(&env);
        let answer = said.trim_start_matches("was ");
        assert_eq!(repair, format!("{answer} as its store says"));
        assert_eq!(changed, changes("running", "failed", 1, done));
        // Once is enough.
        let again = env.run(&["repair", "--yes"]).expect(0);
        again.out("nothing to repair").out(&format!("after {done} of 2 steps"));
        env.run(&["up"]).expect(0).says(&[&format!("{rest} steps were done")]);
        assert_eq!(env.ledger(), ["mongo 1 applied"]);
        env.run(&["validate"]).expect(0);
        env.run(&["down", "--yes"]).expect(0);
    }
}

#[test]
fn what_a_step_declares_is_recorded_when_it_is_settled() {
    let env = TestEnv::new().with(&["redis"]);
    let contract = "{ keyspace: { pattern: 'NAME:*', type: 'hash', ttl: '1h', purpose: 'x' } }";
    env.file(
        "migrations/redis/V1__a.json5",
        &format!("{{ steps: [{contract}, {{ command: ['PING'] }}] }}"),
    );
    killed_at(&env, &["up"], "apply:after@1");
    env.run(&["repair", "--yes"]).expect(0).out("was done, as Redis says");
    let contracts = "SELECT count(*) FROM aiplat_migrate.shape WHERE store = 'redis' AND recorded ? 'keyspace NAME:*'";
    assert_eq!(env.sql(contracts), ["1"]);
    env.run(&["up"]).expect(0);
    assert_eq!(env.ledger(), ["redis 1 applied"]);
    // A run that goes on records whatever else became different, and other tests are at work here too.
    assert_eq!(crate::chaos::drift(&env), [""; 0]);
}

#[test]
fn only_what_the_store_cannot_tell_is_for_a_person() {
    let env = TestEnv::new().with(&["mongo", "redis"]);
    env.file(
        "migrations/redis/V1__raw.json5",
        "{ steps: [ { command: ['RPUSH', 'NAME', 'x'] } ] }",
    );
    env.file(
        "migrations/redis/R__again it.json5",
        "{ steps: [ { command: ['RPUSH', 'NAME', 'y'] } ] }",
    );
    env.file(
        "migrations/mongo/V1__a.json5",
        "{ requires: ['redis@1'], steps: [ { create: 'a' } ] }",
    );
    killed_at(&env, &["up"], "apply:after@1");
    // Killed, not yet told by any `up`: the row says running.
    let left = env.run(&["repair", "--yes"]).expect(3);
    left.out("redis@1: step 1 of 1, command RPUSH")
        .out("is in doubt: Redis does not tell whether")
        .out("if it was done: aiplat-migrate repair --done redis@1")
        .out("if it was not: aiplat-migrate repair --not-done redis@1");
    assert_eq!(env.ledger(), ["redis 1 running"]);
    env.run(&["repair", "--done", "redis@2", "--yes"])
        .expect(2)
        .says(&["the ledger has no redis@2"]);
    env.run(&["repair", "--done", "redis@1", "--yes"]).expect(0).out("is taken as done");
    let (repair, changed) = repaired(&env);
    assert_eq!(repair, "done as a person says");
    assert_eq!(changed, changes("running", "failed", 0, 1));
    // The same answer again is no mistake: the first may have been killed. Another one is.
    env.run(&["repair", "--done", "redis@1", "--yes"]).expect(0).out("nothing to repair");
    env.run(&["repair", "--not-done", "redis@1", "--yes"])
        .expect(2)
        .says(&["no step of it is in doubt"]);
    // A repeatable has a name to type, too.
    killed_at(&env, &["up", "--store", "redis"], "apply:after@1");
    let told = env.run(&["up", "--store", "redis"]).expect(1);
    told.says(&["repair --done 'redis@again it'"]);
    assert_eq!(env.ledger()[1], "redis again it in doubt");
    env.run(&["repair"]).expect(3).out("repair --not-done 'redis@again it'");
    env.run(&["repair", "--not-done", "redis@again it", "--yes"]).expect(0);
    env.run(&["up"]).expect(0);
    assert_eq!(redis(&["LLEN", &env.name]), redis::Value::Int(3));
    redis(&["DEL", &env.name]);
}

#[test]
fn a_step_in_doubt_that_a_person_put_right_is_settled_by_asking() {
    let env = TestEnv::new();
    env.file(
        "migrations/postgres/V1__a.sql",
        "-- transaction: off\ncreate table a (n int);\ncreate index concurrently a_n on a (n);",
    );
    killed_at(&env, &["up"], "apply:after@1");
    // What a build that was cut off leaves behind.
    env.sql("UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'a_n'::regclass");
    let plan = env.run(&["repair", "--dry-run"]).expect(0);
    plan.out("was cut off: drop the invalid index");
    assert_eq!(env.sql("SELECT to_regclass('a_n')"), ["a_n"], "a plan changes nothing");
    env.run(&["repair", "--yes"]).expect(0);
    assert_eq!(env.sql("SELECT to_regclass('a_n')"), ["NULL"]);
    assert_eq!(repaired(&env).0, "not done as its store says");
    env.run(&["up"]).expect(0);
    assert_eq!(
        env.sql("SELECT indisvalid FROM pg_index WHERE indexrelid = 'a_n'::regclass"),
        ["t"]
    );
}

#[test]
fn what_a_down_left_is_settled_too() {
    let env = TestEnv::new().with(&["mongo"]);
    env.file("migrations/mongo/V1__a.json5", "{ steps: [ { create: 'a' }, { create: 'b' } ] }");
    env.run(&["up"]).expect(0);
    killed_at(&env, &["down", "--yes"], "apply:after@1");
    assert_eq!(env.ledger(), ["mongo 1 undoing"]);
    env.run(&["repair", "--yes"])
        .expect(0)
        .out("was done, as MongoDB says; `down` goes on after it");
    assert_eq!(repaired(&env).1, changes("undoing", "undoing", 0, 1));
    env.run(&["down", "--unfinished", "--yes"]).expect(0);
    assert_eq!(env.ledger(), ["mongo 1 undone"]);
}

#[test]
fn a_run_in_progress_is_left_alone_and_so_are_other_stores() {
    let env = TestEnv::new().with(&["mongo"]);
    env.file("migrations/mongo/V1__a.json5", "{ steps: [ { create: 'a' } ] }");
    killed_at(&env, &["up"], "apply:after@1");
    env.run(&["repair", "--store", "postgres", "--yes"]).expect(0).out("nothing to repair");
    assert_eq!(env.ledger(), ["mongo 1 running"]);
    // Its file is gone: nobody can ask.
    let text = "{ steps: [ { create: 'a' } ] }";
    env.remove("migrations/mongo/V1__a.json5");
    env.file("migrations/mongo/V2__b.json5", "{ steps: [ { create: 'b' } ] }");
    env.run(&["repair", "--yes"]).expect(3).out("is half applied and gone");
    env.file("migrations/mongo/V1__a.json5", text);
    let env =
        env.set("AIPLAT_MIGRATE_MONGO_URL", "mongodb://127.0.0.1:1/x?serverSelectionTimeoutMS=500");
    env.run(&["repair", "--yes"]).expect(6);
    assert_eq!(env.ledger(), ["mongo 1 running"]);
}

/// Killed anywhere while it settles, `repair` either did all of it, event included, or nothing.
#[test]
fn killed_while_it_settles_it_can_be_repeated() {
    let env = TestEnv::new().with(&["mongo"]);
    env.file("migrations/mongo/V1__a.json5", "{ steps: [ { create: 'a' } ] }");
    killed_at(&env, &["up"], "apply:after@1");
    for (place, state) in [("settle_doubt:before", "running"), ("settle_doubt:after", "failed")] {
        killed_at(&env, &["repair", "--yes"], place);
        let events = env.sql("SELECT count(*) FROM aiplat_migrate.event WHERE event = 'repaired'");
        assert_eq!(env.ledger(), [format!("mongo 1 {state}")], "{place}");
        assert_eq!(events, [if state == "failed" { "1" } else { "0" }], "{place}");
    }
    env.run(&["repair", "--yes"]).expect(0);
    env.run(&["up"]).expect(0);
    assert_eq!(env.ledger(), ["mongo 1 applied"]);
}

/// Somebody has done by hand what a step is for: it can never succeed, and the file cannot be edited for
/// one environment alone.
#[test]
fn a_failed_step_that_was_done_by_other_means_is_settled() {
    let env = TestEnv::new().with(&["mongo"]);
    env.file(
        "migrations/mongo/V1__a.json5",
        "{ steps: [ { createUser: 'NAME', pwd: 'x', roles: [] }, { create: 'after' } ] }",
    );
    let uri = env.get("AIPLAT_MIGRATE_MONGO_URL");
    let make = async |command: mongodb::bson::Document| {
        let client = mongodb::Client::with_uri_str(&uri).await.expect("client");
        client.database(&env.name).run_command(command).await.expect("command");
    };
    let user = mongodb::bson::doc! { "createUser": &env.name, "pwd": "y", "roles": ["read"] };
    crate::support::block_on(make(user));
    env.run(&["up"]).expect(1).says(&["already, and different", "repair --done mongo@1"]);
    env.run(&["repair", "--not-done", "mongo@1", "--yes"])
        .expect(2)
        .says(&["no step of it is in doubt"]);
    env.run(&["repair", "--done", "mongo@1", "--yes"]).expect(0).out("is taken as done");
    env.run(&["repair", "--done", "mongo@1", "--yes"]).expect(0).out("nothing to repair");
    env.run(&["up"]).expect(0);
    assert_eq!(env.ledger(), ["mongo 1 applied"]);
    crate::support::block_on(make(mongodb::bson::doc! { "dropUser": &env.name }));
}
