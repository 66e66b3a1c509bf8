//! Every point that a history has been at: up, back to each of them, and up again; what lives in
//! the stores at a point is the same every time.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{live, undone};
use crate::support::TestEnv;

type Picture = BTreeMap<String, Value>;

/// Every kind of step of every store. Each migration requires the one before it, so that the
/// history is one line and each of its points can be asked for.
const HISTORY: [(&str, &str, &str); 15] = [
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
    (
        "redis@3",
        "{ deleteFunction: 'NAME' }, { deleteUser: 'NAME' }",
        "{ function: { code: '#!lua name=NAME\\nredis.register_function(\"NAME_f\", function() return 2 end)' } }, \
         { acl: { user: 'NAME', rules: ['on', '~NAME:*', '+@read', '+@write'] } }",
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
        "redis@4",
        "{ rewrite: { match: 'NAME:moved:1', persist: true } }, { rewrite: { match: 'NAME:none:*', delete: true } }, \
         { command: ['XGROUP', 'CREATE', 'NAME:stream', 'group', '$', 'MKSTREAM'] }",
        "{ rewrite: { match: 'NAME:moved:1', set: { ttl: '24h' } } }, { command: ['DEL', 'NAME:stream'] }",
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
    let mut picture = live::picture_of(env, &["latency-monitor-threshold"]);
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
        assert_ne!(points[at], points[at - 1], "{} shows in the shapes", HISTORY[at - 1].0);
    }
    for at in (0..top).rev() {
        let down = match at {
            0 => env.run(&["down", "--all", "--yes", "--allow-data-loss"]),
            _ => {
                let tag = format!("at-{}", HISTORY[at - 1].0.replace('@', "-"));
                env.run(&["down", "--to-tag", &tag, "--yes", "--allow-data-loss"])
            }
        };
        let down = down.expect(0);
        let expected: Vec<&str> = HISTORY[at..].iter().rev().map(|(id, _, _)| *id).collect();
        assert_eq!(undone(&down), expected);
        assert_same(&picture(&env), &points[at], &format!("point {at}, after down"));
        env.run(&["up"]).expect(0);
        assert_same(&picture(&env), &points[top], &format!("the top, after point {at}"));
    }
    env.run(&["validate"]).expect(0);
    for at in (0..top).rev() {
        env.run(&["down", "--yes", "--allow-data-loss"]).expect(0);
        assert_same(&picture(&env), &points[at], &format!("point {at}, one by one"));
    }
    for key in ["keys:1", "keys:2"] {
        live::delete_key(&format!("{}:{key}", env.name));
    }
}
