//! SIGTERM and Ctrl-C: the step under way ends or is cancelled, and the next run goes on.

use std::process::{Child, Command};
use std::time::{Duration, Instant};

use bson::doc;

use crate::support::{Finished, TestEnv, block_on, finish, required};

/// Sends `signals` to `child`, a moment apart, and gives how it ended and how long that took.
fn stop(child: Child, signals: &[&str]) -> (Finished, Duration) {
    let began = Instant::now();
    for name in signals {
        let pid = child.id().to_string();
        assert!(Command::new("kill").args(["-s", name, &pid]).status().expect("kill").success());
        std::thread::sleep(Duration::from_millis(300));
    }
    (finish(child), began.elapsed())
}

/// A migration that sleeps for a minute until there is a table `knob`.
fn sleeper() -> TestEnv {
    let env = TestEnv::new();
    env.file("migrations/postgres/V1__one.sql", "create table one ();");
    env.file(
        "migrations/postgres/V2__slow.sql",
        "create table slow ();\n\
         select pg_sleep(case when to_regclass('knob') is null then 60 else 0 end);",
    );
    env.file("migrations/postgres/V3__three.sql", "create table three ();");
    env
}

fn wait_for_sleep(env: &TestEnv) {
    let deadline = Instant::now() + Duration::from_secs(30);
    let sql = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep' \
               AND datname = current_database()";
    while env.sql(sql) != ["1"] {
        assert!(Instant::now() < deadline, "the migration does not sleep");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn goes_on(env: &TestEnv) {
    assert_eq!(env.ledger(), ["postgres 1 applied"]);
    env.sql("CREATE TABLE knob ()");
    env.run(&["up"]).expect(0);
    let all = ["postgres 1 applied", "postgres 2 applied", "postgres 3 applied"];
    assert_eq!(env.ledger(), all);
    assert_eq!(env.sql("SELECT count(*) FROM aiplat_migrate.event WHERE event = 'applied'"), ["3"]);
}

#[test]
fn sigterm_cancels_the_statement_after_the_grace() {
    let env = sleeper();
    let run = env.spawn(&["up", "--grace", "1s"]);
    wait_for_sleep(&env);
    let (finished, took) = stop(run, &["TERM"]);
    let finished =
        finished.expect(143).says(&["stopping:", "1 migration was applied", "goes on from here"]);
    assert!(finished.stderr.contains("not begun: postgres@2, postgres@3"), "{}", finished.stderr);
    assert!(took >= Duration::from_secs(1) && took < Duration::from_secs(8), "{took:?}");
    // Nothing is left at work on the server.
    let active = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'aiplat-migrate%' \
                  AND datname = current_database() AND state = 'active'";
    assert_eq!(env.sql(active), ["0"]);
    goes_on(&env);
}

#[test]
fn sigterm_while_the_last_step_ends_well_has_stopped_nothing() {
    let env = TestEnv::new();
    env.file("migrations/postgres/V1__one.sql", "create table one ();");
    env.file("migrations/postgres/V2__last.sql", "select pg_sleep(2);");
    let run = env.spawn(&["up", "--tag", "v1"]);
    wait_for_sleep(&env);
    let (finished, _) = stop(run, &["TERM"]);
    let finished = finished.expect(0).says(&["stopping:"]);
    finished.out("done: 2 migrations applied");
    assert_eq!(env.ledger(), ["postgres 1 applied", "postgres 2 applied"]);
    assert_eq!(env.sql("SELECT name FROM aiplat_migrate.tag"), ["v1"]);
    // Something is left: the same signal at the same moment stops the run.
    env.file("migrations/postgres/V3__slow.sql", "select pg_sleep(2);");
    env.file("migrations/postgres/V4__left.sql", "-- transaction: off\ncreate table left_over ();");
    let run = env.spawn(&["up"]);
    wait_for_sleep(&env);
    let (finished, _) = stop(run, &["TERM"]);
    let finished = finished.expect(143);
    let applied = env.ledger().len() == 3;
    assert!(applied, "{:?}: {}", env.ledger(), finished.stderr);
    env.run(&["up"]).expect(0);
    assert_eq!(env.ledger().len(), 4);
}

#[test]
fn a_second_ctrl_c_cancels_at_once() {
    let env = sleeper();
    let run = env.spawn(&["up", "--grace", "60s"]);
    wait_for_sleep(&env);
    let (finished, took) = stop(run, &["INT", "INT"]);
    finished.expect(130).says(&["stopping:", "goes on from here"]);
    assert!(took < Duration::from_secs(8), "{took:?}");
    goes_on(&env);
}

#[test]
fn ctrl_c_stops_a_batched_update_between_two_batches() {
    let env = TestEnv::new().with(&["mongo"]);
    env.file(
        "migrations/mongo/V1__n.json5",
        "{ steps: [ { updateInBatches: 'c', filter: { done: { $exists: false } }, \
           update: { $inc: { n: 1 }, $set: { done: true } }, batch: 5 } ] }",
    );
    let database = async || {
        let client = mongodb::Client::with_uri_str(required("TEST_MONGO_URL")).await;
        client.expect("MongoDB").database(&env.name)
    };
    block_on(async {
        let documents = (0..3000).map(|n| doc! { "_id": n, "n": 0 });
        let c = database().await.collection::<bson::Document>("c");
        c.insert_many(documents).await.expect("documents");
    });
    let run = env.spawn(&["up"]);
    let deadline = Instant::now() + Duration::from_secs(20);
    let reached = "SELECT count(*) FROM pg_class WHERE oid = to_regclass('aiplat_migrate.ledger')";
    let position = "SELECT count(*) FROM aiplat_migrate.ledger WHERE position IS NOT NULL";
    while env.sql(reached) != ["1"] || env.sql(position) != ["1"] {
        assert!(Instant::now() < deadline, "no position is journalled");
        std::thread::sleep(Duration::from_millis(20));
    }
    let (finished, took) = stop(run, &["INT"]);
    finished.expect(130).says(&["goes on from here"]);
    assert!(took < Duration::from_secs(5), "{took:?}");
    assert_eq!(env.ledger(), ["mongo 1 running"]);
    env.run(&["up"]).expect(0);
    block_on(async {
        let c = database().await.collection::<bson::Document>("c");
        assert_eq!(c.count_documents(doc! { "n": 1 }).await.expect("count"), 3000);
        database().await.drop().await.expect("drop");
    });
    assert_eq!(env.ledger(), ["mongo 1 applied"]);
}

#[test]
fn sigterm_stops_a_rewrite_and_the_next_run_goes_on() {
    let env = TestEnv::new().with(&["redis"]);
    env.file(
        "migrations/redis/V1__ttl.json5",
        "{ steps: [ { rewrite: { match: 'NAME:*', set: { ttl: '24h' }, count: 1 } } ] }",
    );
    let client = redis::Client::open(required("TEST_REDIS_URL")).expect("URL");
    let mut redis = client.get_connection().expect("Redis");
    let mut pipeline = redis::pipe();
    for n in 0..20_000 {
        pipeline.cmd("SET").arg(format!("{}:{n}", env.name)).arg(n).ignore();
    }
    pipeline.query::<()>(&mut redis).expect("keys");
    let run = env.spawn(&["up", "--grace", "200ms"]);
    let deadline = Instant::now() + Duration::from_secs(20);
    let begun = "SELECT count(*) FROM pg_class WHERE oid = to_regclass('aiplat_migrate.ledger')";
    let position = "SELECT count(*) FROM aiplat_migrate.ledger WHERE position IS NOT NULL";
    while env.sql(begun) != ["1"] || env.sql(position) != ["1"] {
        assert!(Instant::now() < deadline, "no position is journalled");
        std::thread::sleep(Duration::from_millis(20));
    }
    let (finished, took) = stop(run, &["TERM"]);
    finished.expect(143).says(&["goes on from here"]);
    assert!(took < Duration::from_secs(5), "{took:?}");
    env.run(&["up"]).expect(0);
    assert_eq!(env.ledger(), ["redis 1 applied"]);
    let mut pipeline = redis::pipe();
    for n in 0..20_000 {
        pipeline.cmd("TTL").arg(format!("{}:{n}", env.name));
    }
    let left: Vec<i64> = pipeline.query(&mut redis).expect("times to live");
    assert!(left.iter().all(|ttl| *ttl > 0), "a key was left out");
    let mut pipeline = redis::pipe();
    for n in 0..20_000 {
        pipeline.cmd("DEL").arg(format!("{}:{n}", env.name)).ignore();
    }
    pipeline.query::<()>(&mut redis).expect("keys");
}
