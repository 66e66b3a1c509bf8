//! What `validate`, `up` and `history` say around drift: unmanaged objects, live keys, rights, runs in
//! progress, drift that was there before.

use std::time::{Duration, Instant};

use serde_json::Value;

use super::told;
use crate::support::{TestEnv, block_on, finish, required};

fn findings(found: &Value, kind: &str) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_string();
    let all = found["findings"].as_array().expect("findings").iter();
    all.filter(|finding| finding["kind"] == kind)
        .map(|finding| (text(&finding["severity"]), text(&finding["object"])))
        .collect()
}

/// Waits until a run is in the middle of its `pg_sleep`.
fn sleeping(env: &TestEnv) {
    let deadline = Instant::now() + Duration::from_secs(20);
    let begun = "SELECT count(*) FROM pg_stat_activity \
                 WHERE datname = current_database() AND wait_event = 'PgSleep'";
    while env.sql(begun) == ["0"] {
        assert!(Instant::now() < deadline, "the run did not begin");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn what_no_migration_made_is_a_warning_unless_strict_and_may_be_ignored() {
    let env = TestEnv::new();
    env.file("migrations/postgres/V1__a.sql", "create table a (id int);");
    env.run(&["up"]).expect(0);
    env.sql("create table tmp_import (id int primary key); create view mine as select 1 as one");
    let found = env.run(&["validate", "--output", "json"]).expect(0).json();
    let unmanaged = |severity: &str| {
        ["table public.tmp_import", "view public.mine"]
            .map(|object| (severity.to_string(), object.to_string()))
    };
    assert_eq!(findings(&found, "unmanaged"), unmanaged("warning"));
    let found = env.run(&["validate", "--strict", "--output", "json"]).expect(3).json();
    assert_eq!(findings(&found, "unmanaged"), unmanaged("error"));
    env.file(
        "aiplat-migrate.toml",
        "[ignore]\npostgres = [\"table public.tmp_*\", \"mine\", \"public.mine\"]\n",
    );
    let found = env.run(&["validate", "--strict", "--output", "json"]).expect(0).json();
    assert_eq!(findings(&found, "unmanaged"), []);
    env.file("aiplat-migrate.toml", "");
    let env = env.set("AIPLAT_MIGRATE_IGNORE_POSTGRES", "tmp_*,public.tmp_*,view *");
    env.run(&["validate", "--strict"]).expect(0);
}

#[test]
fn drift_that_was_there_before_an_up_is_told_after_it() {
    let env = TestEnv::new();
    env.file("migrations/postgres/V1__a.sql", "create table a (id int default 1);");
    env.run(&["up"]).expect(0);
    env.sql("alter table a alter column id set default 2; alter table a add column hotfix int");
    env.file(
        "migrations/postgres/V2__b.sql",
        "create table b (id int); alter table a add column c int;",
    );
    let failed = env.run(&["up", "--on-drift", "fail"]).expect(3);
    let failed = failed.says(&["column public.a.id: default 1 → 2", "nothing was applied"]);
    assert!(!failed.stderr.contains("panicked"));
    assert_eq!(env.ledger(), ["postgres 1 applied"]);
    env.run(&["up"]).expect(0).says(&["drift, there before this run", "column public.a.hotfix"]);
    let drifted = ["column public.a.hotfix: not recorded", "column public.a.id: default"];
    assert_eq!(told(&env, "postgres", 3).into_iter().collect::<Vec<_>>(), drifted);
    env.file("migrations/postgres/U2__b.sql", "drop table b; alter table a drop column c;");
    env.run(&["down", "--yes", "--allow-data-loss"]).expect(0);
    env.run(&["up", "--on-drift", "ignore"]).expect(0);
    assert_eq!(told(&env, "postgres", 3).into_iter().collect::<Vec<_>>(), drifted);
}

#[test]
fn up_down_up_and_a_file_that_is_gone() {
    let env = TestEnv::new();
    env.file("migrations/postgres/V1__a.sql", "create table a (id serial primary key);");
    env.file("migrations/postgres/U1__a.sql", "drop table a;");
    env.file("migrations/postgres/V2__b.sql", "create table b (id int references a);");
    env.file("migrations/postgres/U2__b.sql", "drop table b;");
    env.run(&["up"]).expect(0);
    env.run(&["down", "--all", "--yes"]).expect(0);
    env.run(&["up"]).expect(0);
    assert_eq!(told(&env, "postgres", 0), Default::default());
    env.remove("migrations/postgres/V1__a.sql");
    env.remove("migrations/postgres/U1__a.sql");
    let found = env.run(&["validate", "--output", "json"]).expect(3).json();
    assert_eq!(found["findings"][0]["file"], "migrations/postgres/V1__a.sql", "{found:#}");
    env.run(&["repair", "--accept-missing", "--yes"]).expect(0);
    env.run(&["validate"]).expect(0);
}

#[test]
fn what_others_make_during_a_run_is_not_recorded_and_what_was_found_equal_is() {
    let env = TestEnv::new().with(&["mongo"]);
    env.file("migrations/postgres/V1__slow.sql", "select pg_sleep(3);");
    env.file(
        "migrations/mongo/V1__a.json5",
        "{ requires: ['postgres@1'], steps: [{ create: 'mine' }, { create: 'found' }] }",
    );
    let url = env.get("AIPLAT_MIGRATE_MONGO_URL");
    let make = |name: &str| {
        block_on(async {
            let client = mongodb::Client::with_uri_str(&url).await.expect("client");
            let database = client.default_database().expect("database");
            database.create_collection(name).await.expect("collection");
        })
    };
    make("found");
    let child = env.spawn(&["up"]);
    sleeping(&env);
    make("theirs");
    finish(child).expect(0);
    let shape = env.sql("SELECT recorded::text FROM aiplat_migrate.shape WHERE store = 'mongo'");
    for recorded in ["collection mine", "collection found"] {
        assert!(shape[0].contains(recorded), "{shape:?}");
    }
    assert!(!shape[0].contains("theirs"), "{shape:?}");
    let found = env.run(&["validate", "--output", "json"]).expect(0).json();
    let unmanaged = [("warning".to_string(), "collection theirs".to_string())];
    assert_eq!(findings(&found, "unmanaged"), unmanaged);
}

#[test]
fn live_keys_are_held_against_their_contracts() {
    let env = TestEnv::new().with(&["redis"]);
    let url = format!("{}/9", required("TEST_REDIS_URL").rsplit_once('/').expect("database").0);
    let env = env.set("AIPLAT_MIGRATE_REDIS_URL", &url);
    env.file(
        "migrations/redis/V1__contracts.json5",
        "{ steps: [
            { keyspace: { pattern: 'NAME:s:{id}', type: 'hash', ttl: '1h' } },
            { keyspace: { pattern: 'NAME:n:{id}', type: 'string', ttl: 'none' } },
            { keyspace: { pattern: 'NAME:c:{id}', type: 'never', ttl: 'none' } },
        ] }",
    );
    env.run(&["up"]).expect(0);
    let run = |command: &str| {
        let words: Vec<String> = env.named(command).split(' ').map(str::to_string).collect();
        block_on(async {
            let client = redis::Client::open(url.as_str()).expect("URL");
            let mut client = client.get_multiplexed_async_connection().await.expect("Redis");
            let mut command = redis::Cmd::new();
            command.arg(&words);
            command.query_async::<redis::Value>(&mut client).await.expect("command")
        })
    };
    run("FLUSHDB");
    for good in ["HSET NAME:s:1 a 1", "EXPIRE NAME:s:1 60", "SET NAME:n:1 x"] {
        run(good);
    }
    let clean = env.run(&["validate", "--strict-data", "--output", "json"]).expect(0).json();
    assert_eq!(findings(&clean, "data"), []);
    assert_eq!(clean["audits"], serde_json::json!([{"store": "redis", "looked": 2, "total": 2}]));
    for bad in [
        "HSET NAME:s:2 a 1",
        "HSET NAME:s:3 a 1",
        "EXPIRE NAME:s:3 90000",
        "SET NAME:s:4 a",
        "SET NAME:n:2 x EX 60",
        "SET NAME:c:1 x",
        "SET NAME:other x",
    ] {
        run(bad);
    }
    let found = env.run(&["validate", "--full", "--output", "json"]).expect(0).json();
    let expected = ["c:*", "s:*", "s:*", "s:*", "n:*", ""].map(|glob| match glob {
        "" => ("warning".to_string(), "keys".to_string()),
        glob => ("warning".to_string(), format!("keyspace {}:{glob}", env.name)),
    });
    assert_eq!(findings(&found, "data"), expected, "{found:#}");
    let strict = env.run(&["validate", "--strict-data"]).expect(3);
    for said in [
        "1 key has no TTL, for instance",
        "1 key has a TTL above 3600 s",
        "1 key is no hash",
        "1 key has a TTL, where the contract says none",
        "1 key is there, where the contract says never",
        "1 key is covered by no contract",
        "8 of 8 keys in redis (100 %)",
    ] {
        assert!(strict.stdout.contains(said), "{said}\n{}", strict.stdout);
    }
    run("FLUSHDB");
}

/// Repeated runs see other keys of a database that is too large to be walked.
#[test]
fn each_sample_of_live_keys_begins_elsewhere() {
    let env = TestEnv::new().with(&["redis"]);
    let url = format!("{}/10", required("TEST_REDIS_URL").rsplit_once('/').expect("database").0);
    let env = env.set("AIPLAT_MIGRATE_REDIS_URL", &url);
    env.file(
        "migrations/redis/V1__contract.json5",
        "{ steps: [ { keyspace: { pattern: 'NAME:{id}', type: 'hash', ttl: '1h' } } ] }",
    );
    env.run(&["up"]).expect(0);
    let run = |words: &[&str]| {
        block_on(async {
            let client = redis::Client::open(url.as_str()).expect("URL");
            let mut client = client.get_multiplexed_async_connection().await.expect("Redis");
            let mut command = redis::Cmd::new();
            command.arg(words).query_async::<redis::Value>(&mut client).await.expect("command")
        })
    };
    run(&["FLUSHDB"]);
    let fill = "for n = 1, 12000 do redis.call('SET', 'stray:' .. n, 'x') end";
    run(&["EVAL", fill, "0"]);
    let mut examples = std::collections::BTreeSet::new();
    for _ in 0..4 {
        let found = env.run(&["validate", "--output", "json"]).expect(0).json();
        let audit = &found["audits"][0];
        assert_eq!(
            (audit["looked"].as_u64(), audit["total"].as_u64()),
            (Some(10_000), Some(12_000))
        );
        let findings = found["findings"].as_array().expect("findings").iter();
        let data = findings.filter(|finding| finding["kind"] == "data");
        let message = data.map(|finding| finding["message"].to_string()).collect::<String>();
        assert!(message.contains("10000 keys are covered by no contract"), "{message}");
        examples.insert(message);
    }
    assert!(examples.len() > 1, "{examples:?}");
    let text = env.run(&["validate"]).expect(0).stdout;
    assert!(text.contains("10000 of 12000 keys in redis (a sample, 83 %)"), "{text}");
    let full = env.run(&["validate", "--full"]).expect(0).stdout;
    assert!(full.contains("12000 keys are covered by no contract"), "{full}");
    assert!(full.contains("12000 of 12000 keys in redis (100 %)"), "{full}");
    run(&["FLUSHDB"]);
}

/// A server without a configuration file forgets its settings: that is said when they are set, and
/// told when it has happened.
#[test]
fn a_setting_that_a_restart_forgets_is_said_to_be_volatile() {
    let env = TestEnv::new();
    let port = {
        let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        free.local_addr().expect("address").port().to_string()
    };
    let env = env.set("AIPLAT_MIGRATE_REDIS_URL", &format!("redis://127.0.0.1:{port}/0"));
    let server = || {
        let mut server = std::process::Command::new("redis-server");
        server.args(["--port", &port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]);
        let child = server.stdout(std::process::Stdio::null()).spawn().expect("redis-server");
        env.run(&["wait", "--store", "redis", "--timeout", "30s"]).expect(0);
        child
    };
    env.file("migrations/redis/V1__a.json5", "{ steps: [ { config: { timeout: '77' } } ] }");
    let mut child = server();
    env.run(&["up"]).expect(0).says(&["volatile, a restart forgets", "no configuration file"]);
    env.run(&["validate"]).expect(0);
    child.kill().expect("kill");
    child.wait().expect("end");
    let mut child = server();
    assert_eq!(told(&env, "redis", 3).into_iter().collect::<Vec<_>>(), ["setting timeout: value"]);
    env.run(&["repair", "--reapply", "--yes"]).expect(0);
    env.run(&["validate"]).expect(0);
    child.kill().expect("kill");
    child.wait().expect("end");
}

#[test]
fn rights_to_read_are_enough_to_validate() {
    let env = TestEnv::new().with(&["mongo", "redis", "kafka", "weaviate"]);
    env.file(
        "migrations/postgres/V1__a.sql",
        "create table a (id int); create function f() returns int language sql as 'select 1';",
    );
    env.file("migrations/mongo/V1__a.json5", "{ steps: [{ create: 'a' }, { createIndexes: 'a', indexes: [{ key: { x: 1 }, name: 'x' }] }] }");
    env.file(
        "migrations/kafka/V1__a.json5",
        "{ steps: [{ createTopic: { name: 'NAME', partitions: 1, replicationFactor: 1 } }] }",
    );
    env.file(
        "migrations/weaviate/V1__a.json5",
        "{ steps: [{ createClass: { class: 'Name', vectorizer: 'none' } }] }",
    );
    env.file(
        "migrations/redis/V1__a.json5",
        "{ steps: [
            { config: { 'slowlog-log-slower-than': '12345' } },
            { keyspace: { pattern: 'NAME:{id}', type: 'hash', ttl: '1h' } },
            { function: { code: \"#!lua name=NAME\\nredis.register_function('NAME', function() return 1 end)\" } },
            { acl: { user: 'NAME_app', rules: ['on', 'nopass', '~NAME:*', '+get'] } },
        ] }",
    );
    env.run(&["up"]).expect(0);
    env.sql("CREATE ROLE NAME_reader LOGIN PASSWORD 'r'");
    env.sql("GRANT USAGE ON SCHEMA aiplat_migrate TO NAME_reader; GRANT SELECT ON ALL TABLES IN SCHEMA aiplat_migrate TO NAME_reader");
    let mongo = env.get("AIPLAT_MIGRATE_MONGO_URL");
    block_on(async {
        let client = mongodb::Client::with_uri_str(&mongo).await.expect("client");
        let create = mongodb::bson::doc! { "createUser": format!("{}_reader", env.name), "pwd": "r",
        "roles": [{ "role": "read", "db": &env.name }] };
        client.database("admin").run_command(create).await.expect("user");
        let redis = redis::Client::open(required("TEST_REDIS_URL")).expect("URL");
        let mut redis = redis.get_multiplexed_async_connection().await.expect("Redis");
        let user = format!("{}_reader", env.name);
        let mut command = redis::cmd("ACL");
        command.arg(&[
            "SETUSER",
            &user,
            "on",
            ">r",
            "%R~*",
            "-@all",
            "+@read",
            "+@connection",
            "+dbsize",
        ]);
        command.arg(&[
            "+config|get",
            "+function|list",
            "+acl|list",
            "+info",
            "-@write",
            "-@dangerous",
        ]);
        command.arg(&["+info", "+config|get", "+acl|list", "+keys"]);
        command.query_async::<()>(&mut redis).await.expect("user");
    });
    let reader = |url: &str| {
        let (scheme, rest) = url.split_once("://").expect("URL");
        let (_, host) = rest.split_once('@').expect("user");
        format!("{scheme}://{}_reader:r@{host}", env.name)
    };
    let names =
        ["AIPLAT_MIGRATE_POSTGRES_URL", "AIPLAT_MIGRATE_MONGO_URL", "AIPLAT_MIGRATE_REDIS_URL"];
    let mut command = env.command(&["validate", "--full"]);
    for name in names {
        command.env(name, reader(&env.get(name)));
    }
    command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    finish(command.spawn().expect("binary")).expect(0);
    for verb in ["status", "history", "plan"] {
        let mut command = env.command(&[verb]);
        command.env(names[0], reader(&env.get(names[0])));
        command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
        finish(command.spawn().expect("binary")).expect(0);
    }
    env.run(&["down", "--all", "--yes", "--allow-data-loss"]);
    block_on(async {
        let client = mongodb::Client::with_uri_str(&mongo).await.expect("client");
        let drop = mongodb::bson::doc! { "dropUser": format!("{}_reader", env.name) };
        client.database("admin").run_command(drop).await.expect("user");
        let redis = redis::Client::open(required("TEST_REDIS_URL")).expect("URL");
        let mut redis = redis.get_multiplexed_async_connection().await.expect("Redis");
        let user = format!("{}_reader", env.name);
        redis::cmd("ACL")
            .arg(&["DELUSER", &user])
            .query_async::<()>(&mut redis)
            .await
            .expect("user");
    });
    env.sql("DROP OWNED BY NAME_reader; DROP ROLE NAME_reader");
}

#[test]
fn a_run_in_progress_is_no_drift() {
    let env = TestEnv::new();
    env.file("migrations/postgres/V1__a.sql", "create table a (id int);");
    env.run(&["up"]).expect(0);
    env.file("migrations/postgres/V2__slow.sql", "create table b (id int); select pg_sleep(4);");
    let child = env.spawn(&["up"]);
    sleeping(&env);
    let during = env.run(&["validate"]).expect(5);
    assert!(during.stdout.contains("in progress:"), "{}", during.stdout);
    finish(child).expect(0);
    env.run(&["validate"]).expect(0);
}

#[test]
fn the_history_can_be_filtered() {
    let env = TestEnv::new();
    env.file("migrations/postgres/V1__a.sql", "create table a (id int default 1);");
    env.file("migrations/postgres/V2__b.sql", "create table b (id int);");
    env.run(&["up"]).expect(0);
    env.sql("alter table a alter column id drop default");
    env.run(&["repair", "--reapply"]).expect(2).says(&["not confirmed", "nothing was changed"]);
    env.run(&["repair", "--reapply", "--yes"]).expect(0);
    let events = |arguments: &[&str]| -> Vec<String> {
        let all = [&["history", "--output", "json"], arguments].concat();
        let found = env.run(&all).expect(0).json();
        let events = found["events"].as_array().expect("events").iter();
        events.map(|event| event["event"].as_str().expect("event").to_string()).collect()
    };
    assert_eq!(events(&[]), ["applied", "applied", "repaired"]);
    assert_eq!(events(&["--event", "repaired"]), ["repaired"]);
    assert_eq!(events(&["--migration", "postgres@2"]), ["applied"]);
    assert_eq!(events(&["--object", "column public.a.id"]), ["repaired"]);
    assert_eq!(events(&["--limit", "1", "--event", "applied"]), ["applied"]);
    assert_eq!(events(&["--since", "1h"]).len(), 3);
    assert_eq!(events(&["--since", "2999-01-01"]), Vec::<String>::new());
    assert_eq!(events(&["--store", "mongo"]), Vec::<String>::new());
    env.run(&["history", "--since", "yesterday"]).expect(2);
    let text = env.run(&["history", "--object", "column public.a.id"]).expect(0).stdout;
    assert!(text.contains("column public.a.id put back: default absent → 1"), "{text}");
    let details = env.sql(
        "SELECT details->'changes'->0->>'after' FROM aiplat_migrate.event WHERE event = 'repaired'",
    );
    assert_eq!(details, ["1"]);
}
