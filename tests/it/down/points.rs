//! Every point that a history has been at: up, back to each of them, and up again; what lives in
//! the stores at a point is the same every time.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{live, undone};
use crate::support::{TestEnv, required, with_database};

type Picture = BTreeMap<String, Value>;

/// Every kind of step of every store. Each migration requires the one before it, so that the
/// history is one line and each of its points can be asked for.
const HISTORY: [(&str, &str, &str); 14] = [
    (
        "postgres@1",
        "create schema s; create type s.mood as enum ('good'); \
         create table s.a (id int primary key, name text not null default 'x', mood s.mood); \
         create view s.v as select id from s.a; create index by_name on s.a (name);",
        "drop schema s cascade;",
    ),
    (
        "mongo@1",
        "{ create: 'a', validator: { x: { $type: 'int' } } }, { create: 'old', capped: true, size: 4096 }, \
         { createIndexes: 'old', indexes: [{ key: { z: 1, a: -1 }, name: 'za' }] }, \
         { createIndexes: 'a', indexes: [{ key: { at: 1 }, name: 'ttl', expireAfterSeconds: 60 }] }, \
         { createIndexes: 'fresh', indexes: [{ key: { b: 1 }, name: 'b', unique: true }] }, \
         { create: 'seen', viewOn: 'a', pipeline: [{ $match: { x: 1 } }] }",
        "",
    ),
    (
        "kafka@1",
        "{ createTopic: { name: 'NAME.a', partitions: 2, replicationFactor: 1, configs: { 'retention.ms': '1000000' } } }, \
         { createTopic: { name: 'NAME.b', partitions: 1, replicationFactor: 1, configs: { 'cleanup.policy': 'compact' } } }",
        "",
    ),
    (
        "weaviate@1",
        "{ createClass: { class: 'Name', vectorizer: 'none', description: 'first', \
             properties: [{ name: 'p', dataType: ['text'] }] } }, \
         { createClass: { class: 'NameOld', vectorizer: 'none' } }, \
         { createClass: { class: 'NameMany', vectorizer: 'none', multiTenancyConfig: { enabled: true } } }, \
         { addTenants: { class: 'NameMany', tenants: ['x', 'y'] } }",
        "",
    ),
    (
        "redis@1",
        "{ keyspace: { pattern: 'NAME:a:{id}', type: 'hash', ttl: '1h', purpose: 'x' } }, \
         { keyspace: { pattern: 'NAME:b:{id}', type: ['set', 'zset'], ttl: 'none', purpose: 'y' } }, \
         { function: { code: '#!lua name=NAME\\nredis.register_function(\"NAME_f\", function() return 1 end)' } }, \
         { acl: { user: 'NAME', rules: ['on', '~NAME:*', '+@read'] } }, \
         { config: { 'latency-monitor-threshold': '123' } }",
        "",
    ),
    (
        "postgres@2",
        "-- transaction: off\ncreate index concurrently by_mood on s.a (mood);\nalter table s.a add column more text;",
        "-- transaction: off\nalter table s.a drop column more;\ndrop index concurrently s.by_mood;",
    ),
    (
        "mongo@2",
        "{ collMod: 'a', validator: { x: 2 }, validationLevel: 'moderate' }, \
         { collMod: 'a', index: { name: 'ttl', expireAfterSeconds: 30 } }, \
         { dropIndexes: 'fresh', index: 'b' }, { renameCollection: 'fresh', to: 'renamed' }, { drop: 'old' }, \
         { createIndexes: 'a', indexes: [{ key: { c: 1, b: -1 }, name: 'cb' }, { key: { t: 'text' }, name: 't' }] }",
        "",
    ),
    (
        "kafka@2",
        "{ alterConfigs: { topic: 'NAME.a', set: { 'retention.ms': '2000000', 'compression.type': 'lz4' } } }, \
         { deleteTopic: 'NAME.b' }",
        "",
    ),
    (
        "weaviate@2",
        "{ updateClass: { class: 'Name', set: { description: 'second', invertedIndexConfig: { bm25: { k1: 1.5, b: 0.5 } } } } }, \
         { deleteClass: 'NameOld' }, { removeTenants: { class: 'NameMany', tenants: ['y'] } }, \
         { addTenants: { class: 'NameMany', tenants: ['z'] } }",
        "",
    ),
    (
        "redis@2",
        "{ keyspace: { pattern: 'NAME:a:{id}', type: 'hash', ttl: '2h', purpose: 'other' } }, \
         { dropKeyspace: 'NAME:b:{id}' }, { rewrite: { match: 'NAME:keys:*', set: { ttl: '24h' } } }, \
         { rewrite: { match: 'NAME:keys:*', rename: { prefix: 'NAME:keys:', to: 'NAME:moved:' } } }, \
         { acl: { user: 'NAME', rules: ['on', '~NAME:*', '+@read', '+@write'] } }, \
         { function: { code: '#!lua name=NAME\\nredis.register_function(\"NAME_f\", function() return 2 end)', replace: true } }, \
         { config: { 'latency-monitor-threshold': '456' } }",
        "",
    ),
    // What has no inverse needs a U file, in every store.
    (
        "mongo@3",
        "{ insert: 'a', documents: [{ _id: 1, x: 2 }] }, \
         { updateInBatches: 'a', filter: { y: { $exists: false } }, update: { $set: { y: 1 } }, batch: 10 }",
        "{ delete: 'a', deletes: [{ q: { _id: 1 }, limit: 1 }] }",
    ),
    (
        "kafka@3",
        "{ createPartitions: { topic: 'NAME.a', count: 4 } }",
        "{ deleteTopic: 'NAME.a' }, { createTopic: { name: 'NAME.a', partitions: 2, replicationFactor: 1, \
             configs: { 'retention.ms': '2000000', 'compression.type': 'lz4' } } }",
    ),
    (
        "weaviate@3",
        "{ addProperty: { class: 'Name', property: { name: 'q', dataType: ['text'] } } }",
        "{ deleteClass: 'Name' }, { createClass: { class: 'Name', vectorizer: 'none', description: 'second', \
             invertedIndexConfig: { bm25: { k1: 1.5, b: 0.5 } }, properties: [{ name: 'p', dataType: ['text'] }] } }",
    ),
    (
        "redis@3",
        "{ rewrite: { match: 'NAME:moved:1', persist: true } }, { rewrite: { match: 'NAME:none:*', delete: true } }, \
         { command: ['XGROUP', 'CREATE', 'NAME:stream', 'group', '$', 'MKSTREAM'] }, \
         { deleteFunction: 'NAME' }, { deleteUser: 'NAME' }",
        "{ function: { code: '#!lua name=NAME\\nredis.register_function(\"NAME_f\", function() return 2 end)' } }, \
         { acl: { user: 'NAME', rules: ['on', '~NAME:*', '+@read', '+@write'] } }, \
         { rewrite: { match: 'NAME:moved:1', set: { ttl: '24h' } } }, { command: ['DEL', 'NAME:stream'] }",
    ),
];

fn write(env: &TestEnv) {
    let mut before: Option<&str> = None;
    for (id, up, down) in HISTORY {
        let (store, version) = id.split_once('@').expect("id");
        let text = |steps: &str, requires: Option<&str>| match store {
            "postgres" => {
                let requires =
                    requires.map(|id| format!("-- requires: {id}\n")).unwrap_or_default();
                format!("{requires}{steps}")
            }
            _ => {
                let requires =
                    requires.map(|id| format!("requires: ['{id}'], ")).unwrap_or_default();
                format!("{{ {requires}steps: [{steps}] }}")
            }
        };
        let extension = if store == "postgres" { "sql" } else { "json5" };
        let path = |kind: &str| format!("migrations/{store}/{kind}{version}__x.{extension}");
        env.file(&path("V"), &text(up, before));
        if !down.is_empty() {
            env.file(&path("U"), &text(down, None));
        }
        before = Some(id);
    }
}

/// The shapes, and what the shapes do not show: keys with whether they expire, tenants.
fn picture(env: &TestEnv) -> Picture {
    let mut picture = live::picture(env);
    let setting = live::redis(&["CONFIG", "GET", "latency-monitor-threshold"]);
    picture.insert("setting".into(), json!(format!("{setting:?}")));
    picture.insert("documents of a".into(), json!(live::documents(env, "a")));
    let tenants = live::tenants(&format!("{}Many", env.class()));
    let names = tenants.as_array().into_iter().flatten().map(|tenant| tenant["name"].to_string());
    let tenants: std::collections::BTreeSet<String> = names.collect();
    picture.insert("tenants".into(), json!(tenants));
    for key in ["keys:1", "keys:2", "moved:1", "moved:2", "stream"] {
        let key = format!("{}:{key}", env.name);
        let expires = match live::redis(&["TTL", &key]) {
            redis::Value::Int(-2) => continue,
            redis::Value::Int(seconds) => seconds > 0,
            other => panic!("{other:?}"),
        };
        picture.insert(format!("key {key}"), json!({ "expires": expires }));
    }
    picture
}

#[track_caller]
fn assert_same(now: &Picture, then: &Picture, point: &str) {
    let differs = |key: &&String| now.get(*key) != then.get(*key);
    let keys: std::collections::BTreeSet<&String> = now.keys().chain(then.keys()).collect();
    let lines: Vec<String> = keys
        .into_iter()
        .filter(differs)
        .map(|key| format!("{key}\n  first: {:?}\n  now:   {:?}", then.get(key), now.get(key)))
        .collect();
    assert!(lines.is_empty(), "at {point}:\n{}", lines.join("\n"));
}

#[test]
fn every_point_is_the_same_however_it_was_reached() {
    let env = TestEnv::new().with(&["mongo", "weaviate", "kafka", "redis"]);
    write(&env);
    // A run of this test that died may have left it.
    live::redis(&["CONFIG", "SET", "latency-monitor-threshold", "0"]);
    for key in ["keys:1", "keys:2"] {
        live::set_key(&format!("{}:{key}", env.name));
    }
    let mut points = vec![picture(&env)];
    for (id, _, _) in HISTORY {
        let tag = format!("at-{}", id.replace('@', "-"));
        env.run(&["up", "--to", id, "--tag", &tag]).expect(0);
        points.push(picture(&env));
    }
    let top = HISTORY.len();
    for at in 1..=top {
        assert!(points[at] != points[at - 1], "{} does not show", HISTORY[at - 1].0);
    }
    let down_to = |at: usize| {
        let down = match at {
            0 => env.run(&["down", "--all", "--yes", "--allow-data-loss"]),
            _ => {
                let tag = format!("at-{}", HISTORY[at - 1].0.replace('@', "-"));
                env.run(&["down", "--to-tag", &tag, "--yes", "--allow-data-loss"])
            }
        };
        assert_same(&picture(&env), &points[at], &format!("point {at}, after down"));
        undone(&down.expect(0))
    };
    let newest_first = |from: usize, to: usize| -> Vec<&str> {
        HISTORY[to..from].iter().rev().map(|(id, _, _)| *id).collect()
    };
    for at in (0..top).rev() {
        assert_eq!(down_to(at), newest_first(at + 1, at));
        if at == 7 {
            env.run(&["up"]).expect(0);
            assert_same(&picture(&env), &points[top], &format!("the top, after point {at}"));
            live::assert_valid(&env);
            assert_eq!(down_to(at), newest_first(top, at));
        }
    }
    for (at, (id, _, _)) in HISTORY.iter().enumerate() {
        env.run(&["up", "--to", id]).expect(0);
        assert_same(&picture(&env), &points[at + 1], &format!("point {}, up again", at + 1));
    }
    assert_eq!(down_to(0), newest_first(top, 0));
    for key in ["keys:1", "keys:2"] {
        live::delete_key(&format!("{}:{key}", env.name));
    }
}

/// A project with the platform's migrations, on the `platform` set, emptied first. Topics, classes
/// and settings have fixed names there: whoever uses them holds the lock.
fn platform() -> (std::fs::File, TestEnv) {
    let path = std::env::temp_dir().join("aiplat-migrate-platform-tests.lock");
    let lock = std::fs::OpenOptions::new().create(true).append(true).open(path).expect("lock file");
    lock.lock().expect("lock");
    let env = TestEnv::on("PLATFORM_");
    let mongo = with_database(&required("PLATFORM_MONGO_URL"), &env.name);
    let env = env
        .set("AIPLAT_MIGRATE_MONGO_URL", &mongo)
        .set("AIPLAT_MIGRATE_WEAVIATE_URL", &required("PLATFORM_WEAVIATE_URL"))
        .set("AIPLAT_MIGRATE_WEAVIATE_API_KEY", &required("PLATFORM_WEAVIATE_API_KEY"))
        .set("AIPLAT_MIGRATE_KAFKA_BROKERS", &required("PLATFORM_KAFKA_BROKERS"))
        .set("AIPLAT_MIGRATE_REDIS_URL", &required("PLATFORM_REDIS_URL"));
    let root = env!("CARGO_MANIFEST_DIR");
    let settings = std::fs::read_to_string(format!("{root}/aiplat-migrate.toml"));
    env.file("aiplat-migrate.toml", &settings.expect("settings"));
    empty(&env);
    std::os::unix::fs::symlink(format!("{root}/migrations"), env.path().join("migrations"))
        .expect("migrations");
    (lock, env)
}

/// Deletes the topics and classes that a test which died left behind; by migrations of a ledger of
/// its own.
fn empty(env: &TestEnv) {
    let mut some = false;
    for (kind, shape) in live::shapes(env) {
        let (step, what) = match kind.name() {
            "kafka" => ("deleteTopic", "topic"),
            "weaviate" => ("deleteClass", "class"),
            _ => continue,
        };
        let steps = shape.of_kind(what).map(|(name, _)| format!("{{ {step}: '{name}' }}"));
        let steps: Vec<String> = steps.collect();
        if !steps.is_empty() {
            some = true;
            env.file(
                &format!("sweep/{kind}/V1__sweep.json5"),
                &format!("{{ steps: [{}] }}", steps.join(", ")),
            );
        }
    }
    if some {
        let mut sweep = env.command(&["up", "--store", "kafka,weaviate", "-q"]);
        let done = sweep
            .env("AIPLAT_MIGRATE_MIGRATIONS_DIR", "sweep")
            .env("AIPLAT_MIGRATE_LEDGER_SCHEMA", "sweep")
            .output()
            .expect("binary");
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        env.sql("DROP SCHEMA sweep CASCADE");
    }
}

#[test]
fn every_point_of_the_platform_is_the_same_however_it_was_reached() {
    let (_lock, env) = platform();
    let picture = || live::picture_of(&env, |_| true);
    let plan = env.run(&["plan", "--output", "json"]).expect(0).json();
    let plan = plan["migrations"].as_array().expect("migrations");
    let order: Vec<&str> =
        plan.iter().map(|migration| migration["id"].as_str().expect("id")).collect();
    assert!(order.len() > 15, "{order:?}");
    let mut points = vec![picture()];
    for id in &order {
        env.run(&["up", "--to", id]).expect(0);
        points.push(picture());
    }
    // Nothing holds data, and no U file does what cannot be seen: no flag is needed.
    for at in (0..order.len()).rev() {
        let down = env.run(&["down", "--yes"]).expect(0);
        assert_eq!(undone(&down), [order[at]]);
        assert_same(&picture(), &points[at], &format!("point {at}, after down"));
    }
    env.run(&["up"]).expect(0);
    assert_same(&picture(), &points[order.len()], "the top again");
    env.run(&["validate"]).expect(0);
    env.run(&["down", "--all", "--yes"]).expect(0);
    assert_same(&picture(), &points[0], "the beginning again");
}
