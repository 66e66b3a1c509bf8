//! MongoDB: changes made by database commands.

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
