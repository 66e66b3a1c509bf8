//! Stores that go away in the middle of a run, and come back.

#![expect(clippy::print_stdout, reason = "the table that dev/chaos ends with")]

use std::process::Command;
use std::time::{Duration, Instant};

use bson::doc;

use crate::support::{TestEnv, block_on, finish, required};

/// Migrations of PostgreSQL that take a while and tell how often each was applied.
fn counted(env: &TestEnv, count: usize) {
    env.sql("CREATE TABLE counted (n int)");
    for n in 1..=count {
        let text = format!("insert into counted values ({n});\nselect pg_sleep(0.4);");
        env.file(&format!("migrations/postgres/V{n}__n.sql"), &text);
    }
}

#[track_caller]
fn once_each(env: &TestEnv, count: usize) {
    let expected: Vec<String> = (1..=count).map(|n| format!("{n}|1")).collect();
    assert_eq!(env.sql("SELECT n, count(*) FROM counted GROUP BY n ORDER BY n"), expected);
    assert_eq!(env.ledger().len(), count, "{:?}", env.ledger());
    assert!(env.ledger().iter().all(|row| row.ends_with(" applied")), "{:?}", env.ledger());
}

/// Ends the run's sessions that hold the leader lock, or those that do not.
fn end_sessions(env: &TestEnv, leader: bool) -> usize {
    let ended = env.sql(&format!(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity a \
         WHERE datname = current_database() AND application_name LIKE 'aiplat-migrate%' AND {leader} = \
         EXISTS (SELECT FROM pg_locks l WHERE l.pid = a.pid AND l.locktype = 'advisory' \
                 AND l.mode = 'ExclusiveLock')"
    ));
    ended.len()
}

#[test]
fn a_run_goes_on_after_its_sessions_were_ended() {
    let env = TestEnv::new();
    counted(&env, 8);
    let run = env.spawn(&["up"]);
    wait_for(&env, "SELECT count(*) > 1 FROM counted");
    assert!(end_sessions(&env, false) >= 2, "the ledger's and the store's session");
    finish(run).expect(0).says(&["a connection broke", "applied"]);
    once_each(&env, 8);
}

#[test]
fn a_run_that_lost_its_lock_takes_it_again() {
    let env = TestEnv::new();
    counted(&env, 8);
    let run = env.spawn(&["up"]);
    wait_for(&env, "SELECT count(*) > 1 FROM counted");
    assert_eq!(end_sessions(&env, true), 1);
    finish(run).expect(0);
    once_each(&env, 8);
}

#[test]
fn a_database_that_is_read_only_is_told_and_gone_on_with() {
    let env = TestEnv::new();
    env.file("migrations/postgres/V1__a.sql", "create table a ();");
    env.run(&["up"]).expect(0);
    env.file("migrations/postgres/V2__b.sql", "create table b ();");
    env.sql("ALTER DATABASE NAME SET default_transaction_read_only = on");
    env.run(&["up"]).expect(1).says(&["read-only transaction"]);
    env.sql("BEGIN READ WRITE; ALTER DATABASE NAME RESET default_transaction_read_only; COMMIT");
    env.run(&["up"]).expect(0);
    assert_eq!(env.ledger(), ["postgres 1 applied", "postgres 2 applied"]);
}

#[track_caller]
fn wait_for(env: &TestEnv, sql: &str) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while env.sql(sql) != ["t"] {
        assert!(Instant::now() < deadline, "{sql} does not come true");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Waits until the ledger has tables and `condition` holds of one of its rows.
#[track_caller]
fn wait_for_row(env: &TestEnv, condition: &str) {
    wait_for(env, "SELECT to_regclass('aiplat_migrate.ledger') IS NOT NULL");
    wait_for(env, &format!("SELECT count(*) > 0 FROM aiplat_migrate.ledger WHERE {condition}"));
}

/// Has `dev/stores` do something to one server of the set that dev/chaos made for this.
fn stores(verb: &str, store: &str) {
    let tool = std::env::var("CHAOS_STORES")
        .unwrap_or_else(|_| format!("{}/dev/stores", env!("CARGO_MANIFEST_DIR")));
    let set = required("CHAOS_SET");
    assert!(!["test", "platform", "default"].contains(&set.as_str()), "servers of others");
    let output =
        Command::new(tool).args([verb, "--set", &set, store]).output().expect("dev/stores");
    assert!(output.status.success(), "{verb} {store}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Kills the server while a run is at work on it, starts it again, and lets the run go on; where the
/// run gave up, it must have said so with the code of a store that cannot be reached.
fn killed_server(env: &TestEnv, store: &str, at_work: &str) -> i32 {
    let run = env.spawn(&["up"]);
    wait_for_row(env, at_work);
    stores("kill", store);
    std::thread::sleep(Duration::from_secs(2));
    stores("start", store);
    let finished = finish(run);
    if finished.code != 0 {
        assert!([5, 6].contains(&finished.code), "{}: {}", finished.code, finished.stderr);
        env.run(&["up"]).expect(0);
    }
    println!(
        "CHAOS {store:<9} killed and restarted: the run ended with {}, then converged",
        finished.code
    );
    finished.code
}

#[test]
#[ignore = "kills servers: dev/chaos"]
fn chaos_servers_killed() {
    postgres_killed();
    mongo_killed();
    mongo_steps_down();
    redis_killed();
    kafka_killed();
    weaviate_killed();
}

fn postgres_killed() {
    let env = TestEnv::new();
    counted(&env, 12);
    let run = env.spawn(&["up"]);
    wait_for(&env, "SELECT count(*) > 2 FROM counted");
    stores("kill", "postgres");
    std::thread::sleep(Duration::from_secs(1));
    stores("start", "postgres");
    let finished = finish(run);
    if finished.code != 0 {
        assert!([5, 6].contains(&finished.code), "{}: {}", finished.code, finished.stderr);
        env.run(&["up"]).expect(0);
    }
    once_each(&env, 12);
    println!(
        "CHAOS postgres  killed and restarted: the run ended with {}, then converged",
        finished.code
    );
}

async fn documents(env: &TestEnv) -> mongodb::Collection<bson::Document> {
    let url = env.get("AIPLAT_MIGRATE_MONGO_URL");
    let client = mongodb::Client::with_uri_str(url).await.expect("MongoDB");
    client.database(&env.name).collection("c")
}

fn batched() -> TestEnv {
    let env = TestEnv::new().with(&["mongo"]);
    env.file(
        "migrations/mongo/V1__n.json5",
        "{ steps: [ { updateInBatches: 'c', filter: { done: { $exists: false } }, \
           update: { $inc: { n: 1 }, $set: { done: true } }, batch: 5 } ] }",
    );
    block_on(async {
        let all = (0..8000).map(|n| doc! { "_id": n, "n": 0 });
        let c = documents(&env).await;
        c.insert_many(all).await.expect("documents");
    });
    env
}

fn all_counted_once(env: &TestEnv) {
    block_on(async {
        let counted = documents(env).await.count_documents(doc! { "n": 1 }).await.expect("count");
        assert_eq!(counted, 8000);
    });
    assert_eq!(env.ledger(), ["mongo 1 applied"]);
}

fn mongo_killed() {
    let env = batched();
    killed_server(&env, "mongo", "position IS NOT NULL");
    all_counted_once(&env);
}

fn mongo_steps_down() {
    let env = batched();
    let run = env.spawn(&["up"]);
    wait_for_row(&env, "position IS NOT NULL");
    block_on(async {
        let client =
            mongodb::Client::with_uri_str(required("TEST_MONGO_URL")).await.expect("MongoDB");
        let down = doc! { "replSetStepDown": 5, "force": true };
        // The connection may be closed before the answer comes.
        let _ = client.database("admin").run_command(down).await;
    });
    let finished = finish(run);
    if finished.code != 0 {
        assert_eq!(finished.code, 6, "{}", finished.stderr);
        std::thread::sleep(Duration::from_secs(15));
        env.run(&["up"]).expect(0);
    }
    all_counted_once(&env);
    println!(
        "CHAOS mongo     primary stepped down: the run ended with {}, then converged",
        finished.code
    );
}

fn redis_killed() {
    let env = TestEnv::new().with(&["redis"]);
    env.file(
        "migrations/redis/V1__ttl.json5",
        "{ steps: [ { rewrite: { match: 'NAME:*', set: { ttl: '24h' }, count: 1 } } ] }",
    );
    let client = redis::Client::open(required("TEST_REDIS_URL")).expect("URL");
    let mut redis = client.get_connection().expect("Redis");
    let keys = |command: &'static str| {
        let mut pipeline = redis::pipe();
        for n in 0..30_000 {
            pipeline.cmd(command).arg(format!("{}:{n}", env.name));
            if command == "SET" {
                pipeline.arg(n);
            }
        }
        pipeline
    };
    let _: Vec<redis::Value> = keys("SET").query(&mut redis).expect("keys");
    // What is changed after this is lost with the server: a cursor kept from before must not be
    // gone on from.
    redis::cmd("SAVE").query::<()>(&mut redis).expect("save");
    killed_server(&env, "redis", "position IS NOT NULL");
    let mut redis = client.get_connection().expect("Redis");
    let left: Vec<i64> = keys("TTL").query(&mut redis).expect("times to live");
    let without = left.iter().filter(|ttl| **ttl <= 0).count();
    assert_eq!(without, 0, "keys that the rewrite left out");
    let _: Vec<redis::Value> = keys("DEL").query(&mut redis).expect("keys");
    assert_eq!(env.ledger(), ["redis 1 applied"]);
}

fn kafka_killed() {
    let env = TestEnv::new().with(&["kafka"]);
    let topics: Vec<String> = (1..=12)
        .map(|n| {
            format!("{{ createTopic: {{ name: 'NAME{n}', partitions: 2, replicationFactor: 1 }} }}")
        })
        .collect();
    env.file(
        "migrations/kafka/V1__topics.json5",
        &format!("{{ steps: [ {} ] }}", topics.join(", ")),
    );
    killed_server(&env, "kafka", "steps_done >= 2");
    assert_eq!(env.ledger(), ["kafka 1 applied"]);
    env.run(&["validate"]).expect(0);
    env.run(&["down", "--all", "--yes"]).expect(0);
}

fn weaviate_killed() {
    let env = TestEnv::new().with(&["weaviate"]);
    let classes: Vec<String> = (1..=6)
        .map(|n| format!("{{ createClass: {{ class: 'Name{n}', vectorizer: 'none' }} }}"))
        .collect();
    env.file(
        "migrations/weaviate/V1__classes.json5",
        &format!("{{ steps: [ {} ] }}", classes.join(", ")),
    );
    killed_server(&env, "weaviate", "steps_done >= 1");
    assert_eq!(env.ledger(), ["weaviate 1 applied"]);
    env.run(&["validate"]).expect(0);
    env.run(&["down", "--all", "--yes"]).expect(0);
}
