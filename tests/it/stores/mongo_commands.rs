//! MongoDB's commands as a migration writes them: what is refused before the run, what a failure says, and
//! how the next run goes on.

use bson::{Document, doc};
use futures_util::TryStreamExt;

use crate::support::{TestEnv, block_on};

fn database(env: &TestEnv) -> impl Future<Output = mongodb::Database> {
    let (url, name) = (env.get("AIPLAT_MIGRATE_MONGO_URL"), env.name.clone());
    async move { mongodb::Client::with_uri_str(url).await.expect("client").database(&name) }
}

/// The answer of the server's own driver.
fn ask(env: &TestEnv, command: Document) -> Document {
    block_on(async { database(env).await.run_command(command).await.expect("command") })
}

fn documents(env: &TestEnv, collection: &str) -> Vec<Document> {
    block_on(async {
        let collection = database(env).await.collection(collection);
        let found = collection.find(doc! {}).sort(doc! { "_id": 1 });
        found.await.expect("find").try_collect().await.expect("documents")
    })
}

fn one(steps: &str) -> TestEnv {
    let env = TestEnv::new().with(&["mongo"]);
    env.file("migrations/mongo/V1__a.json5", &format!("{{ steps: [ {steps} ] }}"));
    env
}

const COUPONS: &str =
    "{ createIndexes: 'coupon', indexes: [ { key: { code: 1 }, name: 'code', unique: true } ] }";

#[test]
fn an_insert_that_failed_in_the_middle_goes_on_with_what_is_missing() {
    let insert = |third: &str| {
        format!(
            "{COUPONS}, {{ insert: 'coupon', documents: [ {{ _id: 1, code: 'A' }}, {{ _id: 2, code: 'B' }}, \
             {{ _id: 3, code: '{third}' }}, {{ _id: 4, code: 'C' }} ] }}"
        )
    };
    let env = one(&insert("A"));
    let said = [
        "2 of 4 documents were inserted, the 3rd ({ _id: 3 }) failed: E11000",
        "step 2 was done in part",
    ];
    let failed = env.run(&["up"]).expect(1).says(&said).says(&["goes on with what is missing"]);
    assert!(!failed.stderr.contains("died"), "{}", failed.stderr);
    // Nothing was corrected: it fails at the same document, with the same figure.
    let failed = env.run(&["up"]).expect(1).says(&said);
    assert!(!failed.stderr.contains("died"), "{}", failed.stderr);
    env.file("migrations/mongo/V1__a.json5", &format!("{{ steps: [ {} ] }}", insert("D")));
    env.run(&["up"]).expect(0);
    let codes: Vec<Document> = documents(&env, "coupon");
    let codes: Vec<&str> = codes.iter().map(|one| one.get_str("code").expect("code")).collect();
    assert_eq!(codes, ["A", "B", "D", "C"]);
}

#[test]
fn a_cause_that_is_gone_lets_an_insert_go_on_without_an_edit() {
    let env = one(&format!(
        "{COUPONS}, {{ insert: 'coupon', documents: [ {{ _id: 1, code: 'A' }}, {{ _id: 2, code: 'B' }} ] }}"
    ));
    ask(
        &env,
        doc! { "createIndexes": "coupon", "indexes": [{ "key": { "code": 1 }, "name": "code", "unique": true }] },
    );
    ask(&env, doc! { "insert": "coupon", "documents": [{ "_id": 9, "code": "B" }] });
    env.run(&["up"])
        .expect(1)
        .says(&["1 of 2 documents was inserted, the 2nd ({ _id: 2 }) failed"]);
    ask(&env, doc! { "delete": "coupon", "deletes": [{ "q": { "_id": 9 }, "limit": 1 }] });
    env.run(&["up"]).expect(0);
    assert_eq!(documents(&env, "coupon").len(), 2);
}

#[test]
fn a_document_of_somebody_else_is_never_taken_for_ones_own() {
    let env = one("{ insert: 'c', documents: [ { _id: 1, a: 'ours' }, { _id: 2, a: 'ours' } ] }");
    ask(&env, doc! { "insert": "c", "documents": [{ "_id": 2, "a": "theirs" }] });
    env.run(&["up"]).expect(1).says(&[
        "there already, and different",
        "{ _id: 2 }",
        "`a`",
        "changed nothing",
    ]);
    assert_eq!(documents(&env, "c"), [doc! { "_id": 2, "a": "theirs" }]);
    ask(&env, doc! { "update": "c", "updates": [{ "q": { "_id": 2 }, "u": { "a": "ours" } }] });
    env.run(&["up"]).expect(0);
    let ours = [doc! { "_id": 1, "a": "ours" }, doc! { "_id": 2, "a": "ours" }];
    assert_eq!(documents(&env, "c"), ours);
}

#[test]
fn an_insert_without_ids_that_failed_in_the_middle_is_for_a_person() {
    let steps = format!(
        "{COUPONS}, {{ insert: 'coupon', documents: [ {{ code: 'A' }}, {{ code: 'B' }}, {{ code: 'A' }} ] }}"
    );
    let env = one(&steps);
    env.run(&["up"])
        .expect(1)
        .says(&["2 of 3 documents were inserted, the 3rd failed", "is for a person"]);
    let doubt = env
        .run(&["up"])
        .expect(1)
        .says(&["did not end well", "3 of the 3 have an equal in coupon"]);
    assert!(!doubt.stderr.contains("died"), "{}", doubt.stderr);
    let doubt = env.run(&["up"]).expect(1).says(&["did not end well", "repair --done mongo@1"]);
    assert!(!doubt.stderr.contains("died"), "{}", doubt.stderr);
    ask(&env, doc! { "delete": "coupon", "deletes": [{ "q": {}, "limit": 0 }] });
    env.run(&["repair", "--not-done", "mongo@1", "--yes"]).expect(0);
    env.file(
        "migrations/mongo/V1__a.json5",
        &format!("{{ steps: [ {} ] }}", steps.replacen("{ code: 'A' } ]", "{ code: 'C' } ]", 1)),
    );
    env.run(&["up"]).expect(0);
    assert_eq!(documents(&env, "coupon").len(), 3);
}

#[test]
fn one_of_several_updates_that_failed_is_named() {
    let env = one(
        "{ create: 'c', validator: { a: { $lt: 5 } } }, { insert: 'c', documents: [ { _id: 1, a: 1 }, { _id: 2, a: 2 } ] }, \
         { update: 'c', updates: [ { q: { _id: 1 }, u: { $set: { a: 3 } } }, { q: { _id: 2 }, u: { $set: { a: 7 } } } ] }",
    );
    env.run(&["up"]).expect(1).says(&["the 2nd of 2 writes failed, after 1 document were changed"]);
}

#[test]
fn users_and_roles_that_are_there_and_equal_are_found() {
    let steps = "{ createRole: 'NAME_role', privileges: [ { resource: { db: 'NAME', collection: '' }, actions: ['insert', 'find'] } ], roles: [] }, \
         { createUser: 'NAME_user', pwd: 'hunter2', roles: ['read', { role: 'NAME_role', db: 'NAME' }] }, { create: 'after' }";
    let env = one("{ create: 'before' }");
    let (role, user) = (env.named("NAME_role"), env.named("NAME_user"));
    env.file("migrations/mongo/V2__users.json5", &format!("{{ steps: [ {steps} ] }}"));
    ask(
        &env,
        doc! { "createRole": &role, "roles": [], "privileges": [
        { "resource": { "db": &env.name, "collection": "" }, "actions": ["find", "insert"] } ] },
    );
    ask(
        &env,
        doc! { "createUser": &user, "pwd": "another", "roles": [{ "role": "read", "db": &env.name }] },
    );
    env.run(&["up"]).expect(1).says(&["there already, and different", "read@"]);
    ask(&env, doc! { "grantRolesToUser": &user, "roles": [&role] });
    let found = env.run(&["up"]).expect(0);
    assert!(found.stderr.contains("password"), "{}", found.stderr);
    assert!(!format!("{found:?}").contains("hunter2"));
    // What the migration found is not its own: `down` leaves it.
    env.run(&["down", "--yes"]).expect(0);
    let users = ask(&env, doc! { "usersInfo": &user });
    assert_eq!(users.get_array("users").expect("users").len(), 1);
    ask(&env, doc! { "dropUser": &user });
    ask(&env, doc! { "dropRole": &role });
    env.run(&["up"]).expect(0);
    let users = ask(&env, doc! { "usersInfo": &user });
    assert_eq!(users.get_array("users").expect("users").len(), 1);
    ask(&env, doc! { "dropUser": &user });
    ask(&env, doc! { "dropRole": &role });
}

#[test]
fn what_deletes_is_named_in_the_plan() {
    for (step, said) in [
        ("{ dropDatabase: 1 }", "deletes the database with all its documents"),
        ("{ delete: 'x', deletes: [ { q: {}, limit: 0 } ] }", "deletes all documents of x"),
        ("{ delete: 'x', deletes: [ { q: { a: 1 }, limit: 1 } ] }", "deletes documents of x"),
        (
            "{ aggregate: 'x', pipeline: [ { $out: 'y' } ], cursor: {} }",
            "replaces the collection y with all its documents",
        ),
        (
            "{ aggregate: 'x', pipeline: [ { $merge: 'y' } ], cursor: {} }",
            "overwrites documents of y",
        ),
        ("{ findAndModify: 'x', remove: true }", "deletes a document of x"),
        ("{ drop: 'x' }", "drops the collection with all its documents"),
        ("{ collMod: 'x', cappedMax: 5 }", "the oldest documents go"),
    ] {
        let env = one(step);
        assert!(env.run(&["plan"]).expect(0).stdout.contains(said), "{step}: {said}");
    }
}

#[test]
fn what_stops_the_server_or_is_of_its_shell_is_answered_before_the_run() {
    for (step, said) in [
        ("{ fsync: 1, lock: true }", ["must not send `fsync`", "takes no writes"]),
        ("{ shutdown: 1 }", ["must not send `shutdown`", "stops the server"]),
        ("{ replSetStepDown: 60 }", ["must not send `replSetStepDown`", "replica set"]),
        ("{ replSetReconfig: {} }", ["must not send `replSetReconfig`", "replica set"]),
        ("{ killAllSessions: [] }", ["must not send `killAllSessions`", "stops"]),
        ("{ insertMany: 'a', documents: [] }", ["of its shell", "write `insert`"]),
        ("{ updateMany: 'a', updates: [] }", ["of its shell", "write `update`"]),
        ("{ createCollection: 'a' }", ["of its shell", "write `create`"]),
        ("{ dropCollection: 'a' }", ["of its shell", "write `drop`"]),
        ("{ deleteMany: 'a' }", ["of its shell", "write `delete`"]),
        ("{ dropIndex: 'a' }", ["of its shell", "write `dropIndexes`"]),
        ("{ 'db.a.insertOne': {} }", ["of its shell", "database command"]),
        (
            "{ insert: 'a', documents: [ { at: ISODate('2026-01-01') } ] }",
            ["V2__b.json5:1:", "$date"],
        ),
        ("{ insert: 'a', documents: [ { _id: ObjectId('x') } ] }", ["Extended JSON", "$oid"]),
        ("{ insert: 'a', documents: [ { n: NumberLong(5) } ] }", ["Extended JSON", "$numberLong"]),
        ("{ insert: 'a', documents: [ { at: new Date() } ] }", ["Extended JSON", "$date"]),
        ("{ insert: 'a', documents: [ { r: /x/i } ] }", ["$regex", "$regularExpression"]),
    ] {
        let env = one("{ create: 'first' }");
        env.file("migrations/mongo/V2__b.json5", &format!("{{ steps: [ {step} ] }}"));
        env.run(&["up"]).expect(2).says(&said);
        let names = block_on(async { database(&env).await.list_collection_names().await });
        assert!(names.expect("names").is_empty(), "{step}: nothing was applied");
    }
    let env = one("{ create: 'first' }");
    env.file("migrations/mongo/V2__b.json5", "db.x.insertOne({ a: 1 })");
    env.run(&["up"]).expect(2).says(&["V2__b.json5:1:1", "scripts of mongosh are not read"]);
}

#[test]
fn a_refusal_without_a_code_is_told_in_the_servers_words() {
    let env = one("{ compact: 'nothing', force: true }");
    let failed = env.run(&["up"]).expect(1).says(&["collection does not exist"]);
    assert!(!failed.stderr.contains("missing field"), "{}", failed.stderr);
}

#[test]
fn a_changed_view_goes_back_where_the_server_knows_its_users() {
    let env =
        one("{ create: 'c' }, { create: 'v', viewOn: 'c', pipeline: [ { $match: { a: 1 } } ] }");
    env.file(
        "migrations/mongo/V2__v.json5",
        "{ steps: [ { collMod: 'v', viewOn: 'c', pipeline: [ { $match: { a: 2 } } ] } ] }",
    );
    env.file("migrations/mongo/V3__v.json5", "{ steps: [ { collMod: 'v', pipeline: [] } ] }");
    let pipeline = || {
        let rows = ask(&env, doc! { "listCollections": 1, "filter": { "name": "v" } });
        let rows = rows.get_document("cursor").and_then(|cursor| cursor.get_array("firstBatch"));
        let row = rows.expect("rows")[0].as_document().cloned().expect("row");
        row.get_document("options").expect("options").get("pipeline").expect("pipeline").to_string()
    };
    env.run(&["up"]).expect(0);
    assert_eq!(pipeline(), "[]");
    env.run(&["down", "--yes"]).expect(0);
    assert!(pipeline().contains("\"a\": 2"), "{}", pipeline());
    // As versions before recorded it: without what did not differ.
    let inverse = r#"{"from": "steps", "steps": [["{\"collMod\":\"v\",\"pipeline\":[{\"$match\":{\"a\":1}}]}"]]}"#;
    env.sql(&format!("UPDATE aiplat_migrate.ledger SET down = '{inverse}' WHERE version = '2'"));
    env.run(&["down", "--yes"]).expect(0);
    assert!(pipeline().contains("\"a\": 1"), "{}", pipeline());
}
