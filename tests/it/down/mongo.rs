//! What `down` loses in MongoDB: each way to lose documents or values is refused with its figure before
//! anything is touched, and what loses nothing needs no flag. The server itself is asked what is there.

use std::collections::BTreeMap;

use bson::{Document, doc};
use futures_util::TryStreamExt;

use crate::support::{TestEnv, block_on};

/// What a V file does, what its U file does (empty: the derived inverse), and what is to be said of it. `@`
/// is a collection of the case's own with three documents, unless the V file makes it.
struct Case(&'static str, &'static str, &'static str);

#[rustfmt::skip]
const LOSSES: &[Case] = &[
    Case("{ create: '@' }", "", "collection @ holds 3 documents"),
    Case("{ createIndexes: '@', indexes: [{ key: { a: 1 } }] }", "", "collection @ holds 3 documents"),
    Case("", "{ drop: '@' }", "collection @ holds 3 documents"),
    Case("", "{ delete: '@', deletes: [{ q: {}, limit: 0 }] }", "the delete from @ removes 3 documents"),
    Case("", "{ delete: '@', deletes: [{ q: { n: { $gt: 1 } }, limit: 1 }] }", "the delete from @ removes 1 document"),
    Case("", "{ delete: '@', deletes: [{ q: { s: 'X' }, limit: 0, collation: { locale: 'en', strength: 1 } }] }", "the delete from @ removes 3 documents"),
    Case("", "{ findAndModify: '@', query: { n: 2 }, remove: true }", "findAndModify removes from @ 1 document"),
    Case("{ create: '@_source' }", "{ aggregate: '@_source', pipeline: [{ $out: '@' }], cursor: {} }", "the aggregation replaces @, which holds 3 documents"),
    Case("{ insert: '@_source', documents: [{ _id: 1 }] }", "{ aggregate: '@_source', pipeline: [{ $merge: { into: '@', whenMatched: 'replace' } }], cursor: {} }", "the aggregation may overwrite @, which holds 3 documents"),
    Case("", "{ update: '@', updates: [{ q: {}, u: { $unset: { s: 1 } }, multi: true }] }", "the update of @ overwrites or removes values in 3 documents"),
    Case("", "{ update: '@', updates: [{ q: { n: 3 }, u: { m: 1 } }] }", "the update of @ overwrites or removes values in 1 document"),
    Case("", "{ update: '@', updates: [{ q: { n: { $lt: 3 } }, u: [{ $set: { s: 'y' } }], multi: true }] }", "the update of @ overwrites or removes values in 2 documents"),
    Case("", "{ updateInBatches: '@', update: { $set: { s: 'y' } } }", "updateInBatches of @ overwrites or removes values in 3 documents"),
    Case("", "{ updateInBatches: '@', filter: { l: { $exists: true } }, update: { $set: { l: [1] } } }", "updateInBatches of @ overwrites or removes values in 3 documents"),
    Case("{ create: '@_source' }", "{ renameCollection: '@_source', to: '@', dropTarget: true }", "collection @ holds 3 documents"),
    Case("", "{ renameCollection: '@', to: '@_b' }, { drop: '@_b' }", "collection @ holds 3 documents"),
    Case("", "{ renameCollection: '@', to: '@_b' }, { delete: '@_b', deletes: [{ q: {}, limit: 0 }] }", "the delete from @ removes 3 documents"),
    Case("{ create: '@', capped: true, size: 256 }, { collMod: '@', cappedSize: 65536 }", "{ collMod: '@', cappedSize: 256 }", "more than it then has room for"),
    Case("{ create: '@', timeseries: { timeField: 'at' } }", "{ collMod: '@', expireAfterSeconds: 60 }", "after 60 s the server deletes from @ what is older by at: 3 documents"),
    Case("{ createIndexes: '@', indexes: [{ key: { at: 1 }, name: 'ttl', expireAfterSeconds: 2000000000 }] }", "{ collMod: '@', index: { name: 'ttl', expireAfterSeconds: 60 } }", "after 60 s the server deletes from @ what is older by at: 3 documents"),
    Case("", "{ createIndexes: '@', indexes: [{ key: { at: 1 }, name: 'ttl', expireAfterSeconds: 60 }] }", "after 60 s the server deletes from @ what is older by at: 3 documents"),
    Case("", "{ convertToCapped: '@', size: 256 }", "the command convertToCapped does to data cannot be seen"),
    Case("", "{ dropDatabase: 1 }", "collections with"),
    Case("", "{ notYetInvented: '@' }", "the command notYetInvented does to data cannot be seen"),
];

#[rustfmt::skip]
const HARMLESS: &[Case] = &[
    Case("", "{ delete: '@', deletes: [{ q: { n: 9 }, limit: 0 }] }", ""),
    Case("", "{ update: '@', updates: [{ q: {}, u: { $set: { fresh: 1, s: 'x' } }, multi: true }] }", ""),
    Case("", "{ update: '@', updates: [{ q: { n: 1 }, u: { $addToSet: { l: 3 } } }] }", ""),
    Case("", "{ aggregate: '@', pipeline: [{ $match: { n: 1 } }], cursor: {} }", ""),
    Case("", "{ aggregate: '@', pipeline: [{ $out: '@_copy' }], cursor: {} }", ""),
    Case("", "{ collMod: '@', validator: {} }", ""),
    Case("", "{ createIndexes: '@', indexes: [{ key: { at: 1 }, name: 'ttl', expireAfterSeconds: 2000000000 }] }", ""),
    Case("", "{ renameCollection: '@', to: '@_b' }", ""),
    Case("{ create: '@_empty' }", "{ drop: '@_empty' }", ""),
    Case("{ create: '@_v', viewOn: '@', pipeline: [] }", "", ""),
];

/// Within the longest lifetime that a server takes.
fn long_ago() -> bson::DateTime {
    bson::DateTime::from_millis(1_000_000_000_000)
}

/// A project in which the V files are applied, and each collection holds its documents.
fn applied(cases: &[Case]) -> TestEnv {
    let env = TestEnv::new().with(&["mongo"]);
    for (at, Case(made, undone, _)) in cases.iter().enumerate() {
        let own = |steps: &str| format!("{{ steps: [ {} ] }}", steps.replace('@', &collection(at)));
        let made = match made.is_empty() {
            true => "{ create: '@_other' }",
            false => made,
        };
        let version = at + 1;
        env.file(&format!("migrations/mongo/V{version}__case.json5"), &own(made));
        if !undone.is_empty() {
            env.file(&format!("migrations/mongo/U{version}__case.json5"), &own(undone));
        }
    }
    env.run(&["up"]).expect(0);
    block_on(async {
        let db = database(&env).await;
        for at in 0..cases.len() {
            let documents = (1..4)
                .map(|n| doc! { "_id": n, "n": n, "s": "x", "l": [1, 2], "pad": "-".repeat(99), "at": long_ago() });
            db.collection(&collection(at)).insert_many(documents).await.expect("insert");
        }
    });
    env
}

fn collection(at: usize) -> String {
    format!("c{at}")
}

async fn database(env: &TestEnv) -> mongodb::Database {
    let url = env.get("AIPLAT_MIGRATE_MONGO_URL");
    mongodb::Client::with_uri_str(url).await.expect("client").database(&env.name)
}

/// Every document of every collection, and the options of each collection.
fn everything(env: &TestEnv) -> BTreeMap<String, Vec<Document>> {
    block_on(async {
        let db = database(env).await;
        let mut all = BTreeMap::new();
        let names = db.list_collection_names().await.expect("names");
        for name in names.into_iter().filter(|name| name != "system.views") {
            let found = db.collection(&name).find(doc! {}).sort(doc! { "_id": 1 }).await;
            let documents = found.expect("find").try_collect().await.expect("documents");
            all.insert(name, documents);
        }
        all
    })
}

#[test]
fn every_way_to_lose_documents_of_mongodb_is_refused() {
    let env = applied(LOSSES);
    let before = everything(&env);
    let refused = env.run(&["down", "--all", "--yes"]).expect(1);
    for (at, Case(_, undone, said)) in LOSSES.iter().enumerate() {
        let said = said.replace('@', &collection(at));
        let of_case = format!("mongo@{}: ", at + 1);
        let lines: Vec<&str> =
            refused.stderr.lines().filter(|line| line.contains(&of_case)).collect();
        assert!(
            lines.iter().any(|line| line.contains(&said)),
            "{undone}: {said}: {lines:?}\n{}",
            refused.stderr
        );
    }
    assert_eq!(everything(&env), before, "nothing was touched");
    assert_eq!(env.ledger().iter().filter(|row| row.ends_with("applied")).count(), LOSSES.len());
}

#[test]
fn what_loses_no_document_needs_no_flag() {
    let env = applied(HARMLESS);
    env.run(&["down", "--all", "--yes"]).expect(0);
    let after = everything(&env);
    for at in 0..HARMLESS.len() {
        let name = collection(at);
        let documents = after.get(&name).or_else(|| after.get(&format!("{name}_b")));
        let documents = documents.unwrap_or_else(|| panic!("{name} is gone"));
        assert_eq!(documents.len(), 3, "{name}");
        assert!(
            documents.iter().all(|document| document.get_str("s").is_ok_and(|s| s == "x")),
            "{documents:?}"
        );
    }
}
