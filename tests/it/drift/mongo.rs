//! MongoDB: changes made by database commands.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

use bson::doc;
use futures_util::TryStreamExt;
use mongodb::bson::Document;

use super::Way::{Heals, Person};
use super::{Case, case, is_told_and_healed};
use crate::support::{TestEnv, block_on};

const MADE: &str = "{ steps: [
    { create: 'logs', validator: { $jsonSchema: { bsonType: 'object', required: ['level'] } }, validationLevel: 'moderate' },
    { createIndexes: 'logs', indexes: [
        { key: { at: 1 }, name: 'ttl', expireAfterSeconds: 86400 },
        { key: { seen: 1 }, name: 'ttl2', expireAfterSeconds: 60 },
        { key: { level: 1, at: -1 }, name: 'level' }, { key: { host: 1 }, name: 'host' },
        { key: { user: 1 }, name: 'user', unique: true }, { key: { text: 'text' }, name: 'words' },
        { key: { place: '2dsphere' }, name: 'place', sparse: true },
    ] },
    { create: 'strict', validator: { a: { $gt: 0 } } },
    { create: 'relaxed', validator: { a: { $gt: 0 } }, validationAction: 'warn' },
    { create: 'ring', capped: true, size: 4096 },
    { create: 'gone' }, { createIndexes: 'gone', indexes: [{ key: { a: 1 }, name: 'a' }] },
    { create: 'watched', changeStreamPreAndPostImages: { enabled: true } },
    { create: 'measured', timeseries: { timeField: 'at', metaField: 'of' }, expireAfterSeconds: 3600 },
    { create: 'errors', viewOn: 'logs', pipeline: [{ $match: { level: 'error' } }] },
    { create: 'warnings', viewOn: 'logs', pipeline: [{ $match: { level: 'warn' } }, { $sort: { at: -1, _id: 1 } }] },
] }";

#[rustfmt::skip]
const CASES: &[Case<'static>] = &[
    case(r#"{"dropIndexes": "logs", "index": "ttl"}"#, &["index ttl on logs: absent"], Heals),
    case(r#"{"collMod": "logs", "index": {"name": "ttl2", "expireAfterSeconds": 99999}}"#, &["index ttl2 on logs: expireAfterSeconds"], Heals),
    case(r#"{"dropIndexes": "logs", "index": "level"}"#, &["index level on logs: absent"], Heals),
    case(r#"{"collMod": "logs", "index": {"name": "host", "hidden": true}}"#, &["index host on logs: hidden"], Heals),
    case(r#"{"dropIndexes": "logs", "index": "user"}"#, &["index user on logs: unique"], Heals),
    case(r#"{"createIndexes": "logs", "indexes": [{"key": {"user": 1}, "name": "user"}]}"#, &[], Heals),
    case(r#"{"dropIndexes": "logs", "index": "words"}"#, &["index words on logs: absent"], Heals),
    case(r#"{"dropIndexes": "logs", "index": "place"}"#, &["index place on logs: absent"], Heals),
    case(r#"{"createIndexes": "logs", "indexes": [{"key": {"extra": 1}, "name": "extra"}]}"#, &["index extra on logs: not recorded"], Heals),
    case(r#"{"collMod": "logs", "validationLevel": "strict"}"#, &["collection logs: validationLevel"], Heals),
    case(r#"{"collMod": "strict", "validator": {}}"#, &["collection strict: validator"], Heals),
    case(r#"{"collMod": "relaxed", "validationAction": "error"}"#, &["collection relaxed: validationAction"], Heals),
    case(r#"{"collMod": "ring", "cappedSize": 8192}"#, &["collection ring: size"], Person),
    case(r#"{"drop": "gone"}"#, &["collection gone: absent"], Person),
    case(r#"{"collMod": "watched", "changeStreamPreAndPostImages": {"enabled": false}}"#, &["collection watched: changeStreamPreAndPostImages"], Heals),
    case(r#"{"collMod": "measured", "expireAfterSeconds": 7200}"#, &["collection measured: expireAfterSeconds"], Heals),
    case(r#"{"collMod": "errors", "viewOn": "logs", "pipeline": [{"$match": {"level": "fatal"}}]}"#, &["view errors: pipeline"], Heals),
    case(r#"{"drop": "warnings"}"#, &["view warnings: absent"], Heals),
];

#[test]
fn what_is_changed_by_hand_is_told_and_healed() {
    let env = TestEnv::new().with(&["mongo"]);
    env.file("migrations/mongo/V1__all.json5", MADE);
    env.run(&["up"]).expect(0);
    env.run(&["validate"]).expect(0);
    let url = env.get("AIPLAT_MIGRATE_MONGO_URL");
    block_on(async {
        let client = mongodb::Client::with_uri_str(&url).await.expect("client");
        let database = client.default_database().expect("database");
        for case in CASES {
            let command: Document = serde_json::from_str(case.change).expect(case.change);
            database.run_command(command).await.expect(case.change);
        }
    });
    is_told_and_healed(&env, "mongo", CASES);
}

/// The ledger comes back from a backup, and the store is ahead of it.
#[test]
fn what_a_restored_ledger_finds_done_is_recorded() {
    let env = TestEnv::new().with(&["mongo"]);
    env.file(
        "migrations/mongo/V1__a.json5",
        "{ steps: [ { create: 'old' }, { create: 'gone' } ] }",
    );
    env.run(&["up"]).expect(0);
    let backup = env.sql("SELECT recorded FROM aiplat_migrate.shape WHERE store = 'mongo'");
    env.file(
        "migrations/mongo/V2__b.json5",
        "{ steps: [ { renameCollection: 'old', to: 'newer' }, { drop: 'gone' } ] }",
    );
    env.run(&["up"]).expect(0);
    env.sql("DELETE FROM aiplat_migrate.ledger WHERE version = '2'");
    env.sql(&format!(
        "UPDATE aiplat_migrate.shape SET recorded = '{}' WHERE store = 'mongo'",
        backup[0]
    ));
    env.run(&["up"]).expect(0);
    env.run(&["validate", "--strict"]).expect(0);
    // What a person dropped is still told.
    env.file("migrations/mongo/V3__c.json5", "{ steps: [ { create: 'third' } ] }");
    block_on(async {
        let client = mongodb::Client::with_uri_str(env.get("AIPLAT_MIGRATE_MONGO_URL")).await;
        let database = client.expect("client").database(&env.name);
        database.collection::<Document>("newer").drop().await.expect("drop");
    });
    env.run(&["up"]).expect(0);
    env.run(&["validate"]).expect(3).out("collection newer: absent");
}

async fn database(env: &TestEnv) -> mongodb::Database {
    let url = env.get("AIPLAT_MIGRATE_MONGO_URL");
    mongodb::Client::with_uri_str(url).await.expect("client").database(&env.name)
}

fn by_hand(env: &TestEnv, command: Document) {
    block_on(async { database(env).await.run_command(command).await.expect("command") });
}

/// The indexes of a collection, as the server lists them.
fn indexes(env: &TestEnv, collection: &str) -> BTreeMap<String, Document> {
    block_on(async {
        let command = doc! { "listIndexes": collection };
        let rows = database(env).await.run_cursor_command(command).await.expect("indexes");
        let rows: Vec<Document> = rows.try_collect().await.expect("rows");
        let name = |row: &Document| row.get_str("name").expect("name").to_string();
        rows.into_iter().map(|row| (name(&row), row)).collect()
    })
}

/// Somebody looks all the time: an index on the field is there, and once it is unique it stays so.
#[test]
fn an_index_is_never_missing_while_it_is_put_back() {
    let env = TestEnv::new().with(&["mongo"]);
    env.file(
        "migrations/mongo/V1__a.json5",
        "{ steps: [ { createIndexes: 'c', indexes: [
            { key: { user: 1 }, name: 'user', unique: true }, { key: { at: 1 }, name: 'at', expireAfterSeconds: 90000 },
            { key: { a: 1, b: -1 }, name: 'both', partialFilterExpression: { a: { $gt: 0 } } },
            { key: { h: 'hashed' }, name: 'h' }, { key: { place: '2dsphere' }, name: 'place' } ] } ] }",
    );
    env.run(&["up"]).expect(0);
    let recorded = indexes(&env, "c");
    block_on(async {
        let documents = (0..20_000).map(|n| doc! { "user": n, "a": n, "b": n });
        database(&env).await.collection("c").insert_many(documents).await.expect("insert");
    });
    by_hand(&env, doc! { "dropIndexes": "c", "index": ["user", "at", "both", "h", "place"] });
    by_hand(
        &env,
        doc! { "createIndexes": "c", "indexes": [
        { "key": { "user": 1 }, "name": "user" }, { "key": { "at": 1, "b": 1 }, "name": "at" },
        { "key": { "a": 1 }, "name": "both" }, { "key": { "h": 1 }, "name": "h" },
        { "key": { "place": "2d" }, "name": "place" } ] },
    );
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let looks = scope.spawn(|| {
            let (mut looks, mut was_unique) = (0, false);
            while !done.load(Ordering::Relaxed) {
                let on_user: Vec<Document> = indexes(&env, "c")
                    .into_values()
                    .filter(|index| {
                        index.get_document("key").is_ok_and(|key| key.contains_key("user"))
                    })
                    .collect();
                assert!(!on_user.is_empty(), "queries by `user` have no index");
                let is_unique =
                    on_user.iter().any(|index| index.get_bool("unique").unwrap_or(false));
                assert!(is_unique || !was_unique, "{on_user:?}");
                was_unique = is_unique;
                looks += 1;
            }
            looks
        });
        env.run(&["repair", "--reapply", "--yes"]).expect(0);
        done.store(true, Ordering::Relaxed);
        assert!(looks.join().expect("always an index") > 5);
    });
    assert_eq!(indexes(&env, "c"), recorded);
    env.run(&["validate"]).expect(0);
}

#[test]
fn an_index_that_cannot_be_built_leaves_the_one_that_is_there() {
    let env = TestEnv::new().with(&["mongo"]);
    env.file(
        "migrations/mongo/V1__a.json5",
        "{ steps: [ { createIndexes: 'c', indexes: [ { key: { user: 1 }, name: 'user', unique: true } ] } ] }",
    );
    env.run(&["up"]).expect(0);
    by_hand(&env, doc! { "dropIndexes": "c", "index": "user" });
    by_hand(
        &env,
        doc! { "createIndexes": "c", "indexes": [{ "key": { "user": 1 }, "name": "user" }] },
    );
    by_hand(&env, doc! { "insert": "c", "documents": [{ "user": "x" }, { "user": "x" }] });
    let before = indexes(&env, "c");
    for _ in 0..2 {
        let failed = env.run(&["repair", "--reapply", "--yes"]).expect(1);
        let failed =
            failed.says(&["index user on c was not put back", "E11000", "nothing was put back"]);
        assert!(failed.stderr.contains("\"x\""), "{}", failed.stderr);
        assert_eq!(indexes(&env, "c"), before);
    }
}

/// What no step can put back is a person's, at each run, and nothing is tried.
#[test]
fn what_the_server_cannot_give_back_is_for_a_person() {
    let env = TestEnv::new().with(&["mongo"]);
    env.file(
        "migrations/mongo/V1__a.json5",
        "{ steps: [
            { createIndexes: 'twin', indexes: [ { key: { a: 1 }, name: 'a' } ] },
            { createIndexes: 'words', indexes: [ { key: { t: 'text' }, name: 'words' } ] },
            { createIndexes: 'all', indexes: [ { key: { '$**': 1 }, name: 'all' } ] },
            { create: 'plain', collation: { locale: 'de' } },
            { create: 'ordered', clusteredIndex: { key: { _id: 1 }, unique: true, name: 'own' } },
            { create: 'v', viewOn: 'twin', pipeline: [] },
        ] }",
    );
    env.run(&["up"]).expect(0);
    for command in [
        doc! { "dropIndexes": "twin", "index": "a" },
        doc! { "createIndexes": "twin", "indexes": [{ "key": { "a": 1 }, "name": "other" }] },
        doc! { "dropIndexes": "words", "index": "words" },
        doc! { "createIndexes": "words", "indexes": [{ "key": { "t": "text" }, "name": "words", "default_language": "german" }] },
        doc! { "dropIndexes": "all", "index": "all" },
        doc! { "createIndexes": "all", "indexes": [{ "key": { "$**": 1 }, "name": "all", "wildcardProjection": { "x": 1 } }] },
        doc! { "drop": "plain" },
        doc! { "create": "plain", "collation": { "locale": "fr" } },
        doc! { "drop": "ordered" },
        doc! { "create": "ordered" },
        doc! { "drop": "v" },
        doc! { "create": "v" },
    ] {
        by_hand(&env, command);
    }
    let names = ["twin", "words", "all", "plain", "ordered"];
    let before: Vec<_> = names.iter().map(|name| indexes(&env, name)).collect();
    for _ in 0..2 {
        let left = env.run(&["repair", "--reapply", "--yes"]).expect(3);
        for said in [
            "index a on twin: the index other is there with the same key",
            "index other on twin: it stands in for the index a",
            "index words on words: the server takes no second index of this kind",
            "index all on all: the server takes no second index of this kind",
            "index _id_ on plain: this index is made with its collection",
            "index own on ordered: this index is made with its collection",
            "view v: something of another kind has the name",
        ] {
            assert!(left.stdout.contains(said), "{said}: {}", left.stdout);
        }
        let after: Vec<_> = names.iter().map(|name| indexes(&env, name)).collect();
        assert_eq!(after, before);
    }
}
