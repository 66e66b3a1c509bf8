//! MongoDB through the `Store` trait.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use aiplat_migrate::shape::Shape;
use aiplat_migrate::store_error::StoreErrorKind;
use aiplat_migrate::stores::mongo::{Settings, Step};
use aiplat_migrate::stores::{
    Before, Depth, Done, Effect, Failure, Job, Limits, Position, Probe, Progress, Pulse, Standing,
    Stop, Store, Unit, Why,
};
use aiplat_migrate::text::Node;
use bson::{Bson, Document, doc};
use futures_util::TryStreamExt;
use futures_util::future::BoxFuture;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::connect;
use crate::support::{required, unique};

/// A database of its own, seen through the store and through the bare driver.
struct Env {
    store: Store,
    client: mongodb::Client,
    db: mongodb::Database,
    run: String,
}

fn settings(database: &str) -> Settings {
    Settings {
        url: required("TEST_MONGO_URL").as_str().into(),
        database: Some(database.to_string()),
        ..Settings::default()
    }
}

impl Env {
    async fn new(stem: &str) -> Env {
        let name = unique(stem);
        let client =
            mongodb::Client::with_uri_str(required("TEST_MONGO_URL")).await.expect("client");
        let db = client.database(&name);
        let store = connect("mongo", &settings(&name)).await.expect("connects");
        Env { store, client, db, run: unique("run") }
    }

    async fn run(&self, command: Document) -> Document {
        self.db.run_command(command).await.expect("command")
    }

    async fn before(&self, step: &str) -> Before {
        self.store.before(&unit(step), &Shape::default()).await.expect("before")
    }

    async fn probe(&self, step: &str, before: &Before) -> Probe {
        self.store.probe(&unit(step), before).await.expect("probe")
    }

    async fn apply_over(&self, step: &str, before: &Before) -> Result<Done, Failure> {
        self.job(step, before, None, &Pulses::default(), CancellationToken::new()).await
    }

    async fn job(
        &self,
        step: &str,
        before: &Before,
        resume: Option<Position>,
        pulse: &dyn Pulse,
        cancel: CancellationToken,
    ) -> Result<Done, Failure> {
        let unit = unit(step);
        let (run, limits) = (self.run.as_str(), Limits::default());
        let job = Job { unit: &unit, seal: None, before, resume, limits, run, pulse, cancel };
        self.store.apply(job).await
    }

    /// What `execute` does with a step: look, claim, apply, settle. Gives what undoes it.
    async fn up(&self, step: &str) -> Result<Vec<Value>, String> {
        let before = self.before(step).await;
        assert_eq!(before.standing, Standing::Open, "{step}");
        self.apply_over(step, &before).await.expect(step);
        assert!(matches!(self.probe(step, &before).await, Probe::Done), "{step}");
        assert_eq!(self.before(step).await.standing, Standing::Found, "{step}");
        // The ledger keeps it as text.
        let kept = serde_json::to_string(&before).expect("before");
        let kept: Before = serde_json::from_str(&kept).expect("before");
        unit(step).inverse(&kept)
    }

    async fn down(&self, undo: Vec<Value>) {
        for step in undo {
            let step = step.to_string();
            let before = self.before(&step).await;
            assert_eq!(before.standing, Standing::Open, "{step}");
            self.apply_over(&step, &before).await.expect(&step);
        }
    }

    async fn shape(&self) -> Shape {
        self.store.inspect(&Shape::default(), Depth::Structure).await.expect("shape")
    }

    /// Applies a step and undoes it: afterwards everything is as before.
    async fn there_and_back(&self, step: &str) {
        let start = self.shape().await;
        let undo = self.up(step).await.expect(step);
        assert_ne!(self.shape().await, start, "{step}");
        self.down(undo).await;
        let changes = start.changes_to(&self.shape().await);
        assert!(changes.is_empty(), "{step}: {changes:?}");
    }

    async fn holds(&self, step: &str) -> Vec<String> {
        let losses = self.store.holds(&unit(step)).await.expect("holds");
        losses.into_iter().map(|loss| loss.what).collect()
    }

    async fn operations_of(&self, run: &str) -> usize {
        let pipeline = [
            doc! { "$currentOp": { "allUsers": true } },
            doc! { "$match": { "$or": [
                { "command.comment": run }, { "cursor.originatingCommand.comment": run },
            ] } },
        ];
        let admin = self.client.database("admin");
        let found: Vec<Document> =
            admin.aggregate(pipeline).await.expect("currentOp").try_collect().await.expect("rows");
        found.len()
    }

    async fn insert_numbers(&self, collection: &str, count: i32) {
        let documents: Vec<Document> = (0..count).map(|n| doc! { "_id": n, "n": n }).collect();
        self.db.collection(collection).insert_many(documents).await.expect("insert");
    }

    async fn count(&self, collection: &str, filter: Document) -> u64 {
        self.db.collection::<Document>(collection).count_documents(filter).await.expect("count")
    }

    async fn clean(self) {
        self.db.drop().await.expect("drop");
    }
}

fn unit(step: &str) -> Unit {
    let step = Step::parse(&Node::parse(step).expect("JSON5")).expect(step);
    Unit::journalled(step, 0..0)
}

/// Records positions, and says stop after `allowed` of them.
#[derive(Default)]
struct Pulses {
    seen: Mutex<Vec<(Position, Progress)>>,
    allowed: Option<usize>,
}

impl Pulses {
    fn stopping_after(count: usize) -> Pulses {
        Pulses { allowed: Some(count), ..Pulses::default() }
    }

    fn all(&self) -> Vec<(Position, Progress)> {
        self.seen.lock().expect("lock").clone()
    }
}

impl Pulse for Pulses {
    fn reached<'a>(
        &'a self,
        at: &'a Position,
        progress: Progress,
    ) -> BoxFuture<'a, Result<(), Stop>> {
        Box::pin(async move {
            let mut seen = self.seen.lock().expect("lock");
            seen.push((at.clone(), progress));
            match self.allowed {
                Some(allowed) if seen.len() >= allowed => Err(Stop),
                Some(_) | None => Ok(()),
            }
        })
    }

    fn notice(&self, _text: &str) {}
}

fn live_side(before: &Before) -> (&str, &str) {
    match &before.standing {
        Standing::Differs { wanted, live } => (wanted, live),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn every_kind_of_collection_is_made_found_and_taken_back() {
    let env = Env::new("create").await;
    env.run(doc! { "create": "base" }).await;
    for step in [
        "{create: 'c'}",
        "{create: 'c', validator: {$jsonSchema: {required: ['a']}}, validationLevel: 'moderate', validationAction: 'warn'}",
        "{create: 'c', validator: {x: {$type: 'int'}}, validationLevel: 'strict'}",
        "{create: 'c', capped: true, size: 1000, max: 5}",
        "{create: 'c', collation: {locale: 'de', strength: 1}}",
        "{create: 'c', timeseries: {timeField: 't', metaField: 'm', granularity: 'minutes'}, expireAfterSeconds: 3600}",
        "{create: 'c', timeseries: {timeField: 't'}}",
        "{create: 'c', clusteredIndex: {key: {_id: 1}, unique: true}}",
        "{create: 'c', changeStreamPreAndPostImages: {enabled: true}}",
        "{create: 'c', viewOn: 'base', pipeline: [{$sort: {b: 1, a: -1}}]}",
        "{create: 'c.with.dots'}",
    ] {
        env.there_and_back(step).await;
    }
    env.clean().await;
}

#[tokio::test]
async fn a_different_collection_shows_both_sides() {
    let env = Env::new("differs").await;
    env.run(doc! { "create": "c", "validator": { "x": 1 }, "validationLevel": "moderate" }).await;
    let step = "{create: 'c', validator: {x: 1}, validationAction: 'warn'}";
    let before = env.before(step).await;
    assert_eq!(
        live_side(&before),
        (
            r#"validationAction "warn", no validationLevel"#,
            r#"no validationAction, validationLevel "moderate""#
        )
    );
    let failure = env.apply_over(step, &before).await.expect_err("it is there");
    assert_eq!((failure.why, failure.effect), (Why::Refused, Effect::None));
    assert_eq!(failure.source.code.as_deref(), Some("NamespaceExists (48)"));
    env.clean().await;
}

#[tokio::test]
async fn applying_twice_is_as_good_as_once() {
    let env = Env::new("twice").await;
    for step in [
        "{create: 'c', validator: {x: 1}}",
        "{createIndexes: 'c', indexes: [{key: {a: 1}}]}",
        "{collMod: 'c', validationLevel: 'off'}",
        "{dropIndexes: 'c', index: 'a_1'}",
        "{drop: 'c'}",
    ] {
        let before = env.before(step).await;
        env.apply_over(step, &before).await.expect(step);
        env.apply_over(step, &before).await.expect(step);
    }
    env.clean().await;
}

#[tokio::test]
async fn every_kind_of_index_is_made_found_and_taken_back() {
    let env = Env::new("indexes").await;
    env.run(doc! { "create": "c" }).await;
    env.run(doc! { "create": "german", "collation": { "locale": "de" } }).await;
    for step in [
        "{createIndexes: 'c', indexes: [{key: {a: 1, b: -1}}, {key: {t: 1}, name: 'ttl', expireAfterSeconds: 60}]}",
        "{createIndexes: 'c', indexes: [{key: {a: 1.0}, unique: true, sparse: true, hidden: true}]}",
        "{createIndexes: 'c', indexes: [{key: {title: 'text', body: 'text', x: 1}, weights: {title: 5}, default_language: 'german'}]}",
        "{createIndexes: 'c', indexes: [{key: {'$**': 'text'}}]}",
        "{createIndexes: 'c', indexes: [{key: {where: '2dsphere'}}, {key: {flat: '2d'}, bits: 20}, {key: {h: 'hashed'}}]}",
        "{createIndexes: 'c', indexes: [{key: {'$**': 1}, wildcardProjection: {a: 1, 'b.c': 1}}]}",
        "{createIndexes: 'c', indexes: [{key: {a: 1}, partialFilterExpression: {a: {$gt: 5}}, collation: {locale: 'fr'}}]}",
        "{createIndexes: 'german', indexes: [{key: {a: 1}}, {key: {b: 1}, collation: {locale: 'simple'}}]}",
    ] {
        env.there_and_back(step).await;
    }
    env.clean().await;
}

#[tokio::test]
async fn only_missing_indexes_are_made_and_taken_back() {
    let env = Env::new("partial").await;
    env.run(doc! { "createIndexes": "c", "indexes": [{ "key": { "a": 1 }, "name": "a_1" }] }).await;
    let step = "{createIndexes: 'c', indexes: [{key: {a: 1}}, {key: {b: 1}}]}";
    let undo = env.up(step).await.expect("undo");
    assert_eq!(json!(undo), json!([{ "dropIndexes": "c", "index": ["b_1"] }]));
    env.down(undo).await;
    assert!(env.shape().await.objects.contains_key("index a_1 on c"));
    env.clean().await;
}

#[tokio::test]
async fn a_collection_that_an_index_brought_goes_with_it() {
    let env = Env::new("implicit").await;
    env.there_and_back("{createIndexes: 'new', indexes: [{key: {a: 1}}]}").await;
    env.clean().await;
}

#[tokio::test]
async fn a_different_index_shows_both_sides() {
    let env = Env::new("conflict").await;
    let there = doc! { "key": { "a": 1 }, "name": "a_1", "expireAfterSeconds": 60 };
    env.run(doc! { "createIndexes": "c", "indexes": [there] }).await;
    for (step, wanted, live) in [
        (
            "{createIndexes: 'c', indexes: [{key: {a: 1}, expireAfterSeconds: 90}]}",
            "index a_1: expireAfterSeconds 90",
            "index a_1: expireAfterSeconds 60",
        ),
        (
            "{createIndexes: 'c', indexes: [{key: {b: 1}, name: 'a_1'}]}",
            r#"index a_1: key {"b":1}, no expireAfterSeconds"#,
            r#"index a_1: key {"a":1}, expireAfterSeconds 60"#,
        ),
        (
            "{createIndexes: 'c', indexes: [{key: {a: 1}, name: 'other'}]}",
            r#"index other: {"key":{"a":1},"name":"other"}"#,
            r#"index a_1: {"key":{"a":1},"name":"a_1","expireAfterSeconds":60}"#,
        ),
    ] {
        let before = env.before(step).await;
        assert_eq!(live_side(&before), (wanted, live));
        assert!(matches!(env.probe(step, &before).await, Probe::Unknown(_)));
        let failure = env.apply_over(step, &before).await.expect_err(step);
        assert_eq!(failure.effect, Effect::None, "{step}");
        assert!(failure.source.hint.is_some(), "{step}: {:?}", failure.source);
    }
    env.clean().await;
}

#[tokio::test]
async fn changes_of_a_collection_are_taken_back() {
    let env = Env::new("collmod").await;
    env.run(doc! { "create": "c", "validator": { "x": 1 } }).await;
    env.run(doc! { "create": "base" }).await;
    env.run(doc! { "create": "v", "viewOn": "base", "pipeline": [] }).await;
    let index = doc! { "key": { "t": 1 }, "name": "ttl", "expireAfterSeconds": 60 };
    env.run(doc! { "createIndexes": "c", "indexes": [index] }).await;
    for step in [
        "{collMod: 'c', validator: {y: 1}}",
        "{collMod: 'c', validator: {}, validationLevel: 'moderate', validationAction: 'warn'}",
        "{collMod: 'c', index: {name: 'ttl', expireAfterSeconds: 90}}",
        "{collMod: 'c', index: {keyPattern: {t: 1}, hidden: true}}",
        "{collMod: 'c', changeStreamPreAndPostImages: {enabled: true}}",
        "{collMod: 'v', viewOn: 'c', pipeline: [{$match: {a: 1}}]}",
    ] {
        env.there_and_back(step).await;
    }
    for missing in
        ["{collMod: 'nope', validator: {}}", "{collMod: 'c', index: {name: 'nope', hidden: true}}"]
    {
        let error = env.store.before(&unit(missing), &Shape::default()).await.expect_err(missing);
        assert!(error.hint.is_some(), "{error:?}");
    }
    env.clean().await;
}

#[tokio::test]
async fn what_is_dropped_comes_back_empty() {
    let env = Env::new("drop").await;
    let validator = doc! { "$jsonSchema": { "required": ["a"] } };
    env.run(doc! { "create": "c", "validator": validator, "collation": { "locale": "de" } }).await;
    env.run(doc! { "createIndexes": "c", "indexes": [
        { "key": { "b": 1, "a": -1 }, "name": "ba", "unique": true },
        { "key": { "t": "text" }, "name": "txt", "collation": { "locale": "simple" } },
    ] })
    .await;
    env.run(doc! { "create": "ts", "timeseries": { "timeField": "t" } }).await;
    env.run(doc! { "create": "v", "viewOn": "c", "pipeline": [{ "$match": { "b": 1, "a": 2 } }] })
        .await;
    env.run(doc! { "insert": "c", "documents": [{ "a": 1, "b": 1 }, { "a": 2 }] }).await;
    assert_eq!(env.holds("{drop: 'c'}").await, ["collection c holds 2 documents"]);
    assert!(env.holds("{drop: 'v'}").await.is_empty());
    assert!(env.holds("{drop: 'nope'}").await.is_empty());
    for step in [
        "{drop: 'c'}",
        "{drop: 'ts'}",
        "{drop: 'v'}",
        "{dropIndexes: 'c', index: 'ba'}",
        "{dropIndexes: 'c', index: ['txt', 'not there']}",
        "{dropIndexes: 'c', index: {b: 1, a: -1}}",
        "{dropIndexes: 'c', index: '*'}",
    ] {
        env.there_and_back(step).await;
    }
    for absent in ["{drop: 'nope'}", "{dropIndexes: 'c', index: 'nope'}"] {
        assert_eq!(env.before(absent).await.standing, Standing::Found, "{absent}");
    }
    env.clean().await;
}

#[tokio::test]
async fn a_collection_is_renamed_and_back() {
    let env = Env::new("rename").await;
    env.run(doc! { "create": "a", "capped": true, "size": 4096 }).await;
    env.there_and_back("{renameCollection: 'a', to: 'b'}").await;
    env.insert_numbers("b", 3).await;
    let onto = "{renameCollection: 'a', to: 'b', dropTarget: true}";
    assert_eq!(env.holds(onto).await, ["collection b holds 3 documents"]);
    assert!(matches!(
        env.before("{renameCollection: 'a', to: 'b'}").await.standing,
        Standing::Differs { .. }
    ));
    assert!(env.up(onto).await.is_err(), "what was replaced is gone");
    env.clean().await;
}

#[tokio::test]
async fn ok_with_write_errors_is_a_failure() {
    let env = Env::new("writes").await;
    env.run(doc! { "create": "c", "validator": { "$jsonSchema": { "required": ["a"] } } }).await;
    for (step, effect, code) in [
        ("{insert: 'c', documents: [{b: 1}]}", Effect::None, "121"),
        ("{insert: 'c', documents: [{_id: 1, a: 1}, {_id: 1, a: 1}]}", Effect::Part, "11000"),
        (
            "{update: 'c', updates: [{q: {}, u: {$unset: {a: 1}}, multi: true}]}",
            Effect::Unknown,
            "121",
        ),
        (
            "{insert: 'c', documents: [{a: 1}], writeConcern: {w: 9, wtimeout: 50}}",
            Effect::Unknown,
            "(100)",
        ),
        ("{frobnicate: 1}", Effect::None, "(59)"),
    ] {
        let failure = env.apply_over(step, &Before::absent()).await.expect_err(step);
        assert_eq!((failure.why, failure.effect), (Why::Refused, effect), "{step}");
        let shown = failure.source.code.expect("code");
        assert!(shown.contains(code), "{step}: {shown}");
    }
    env.clean().await;
}

#[tokio::test]
async fn commands_in_doubt_are_told_where_they_can_be() {
    let env = Env::new("doubt").await;
    env.run(doc! { "insert": "c", "documents": [{ "_id": 1 }, { "_id": 2 }] }).await;
    for (step, told) in [
        ("{insert: 'c', documents: [{_id: 1}, {_id: 2}]}", "Done"),
        ("{insert: 'c', documents: [{_id: 8}, {_id: 9}]}", "NotDone"),
        ("{insert: 'c', documents: [{_id: 1}, {_id: 9}]}", "Partial"),
        ("{insert: 'c', documents: [{_id: 1, a: 1}, {_id: 9}]}", "1 document is there"),
        ("{insert: 'c', documents: [{a: 1}]}", "Unknown"),
        ("{update: 'c', updates: [{q: {}, u: {$set: {a: 1}}, multi: true}]}", "NotDone"),
        ("{update: 'c', updates: [{q: {}, u: {$set: {a: 1}}}]}", "Unknown"),
        ("{update: 'c', updates: [{q: {_id: 1}, u: {$set: {a: 1}}}]}", "NotDone"),
        ("{update: 'c', updates: [{q: {}, u: {$inc: {a: 1}}, multi: true}]}", "Unknown"),
        ("{delete: 'c', deletes: [{q: {a: 1}, limit: 0}]}", "NotDone"),
        ("{delete: 'c', deletes: [{q: {a: 1}, limit: 1}]}", "Unknown"),
        ("{createUser: 'u', pwd: 'x', roles: []}", "NotDone"),
    ] {
        let told_by = format!("{:?}", env.probe(step, &Before::absent()).await);
        assert!(told_by.contains(told), "{step}: {told_by}");
    }
    assert_eq!(
        env.holds("{delete: 'c', deletes: [{q: {_id: {$gte: 1}}, limit: 0}]}").await,
        ["the delete from c removes 2 documents"]
    );
    assert_eq!(env.holds("{dropDatabase: 1}").await.len(), 1);
    env.clean().await;
}

/// `_id`s of many types, which a filter such as `_id > x` would not walk across.
fn mixed_ids() -> Vec<Bson> {
    let mut ids: Vec<Bson> = vec![
        Bson::MinKey,
        Bson::Null,
        Bson::MaxKey,
        Bson::from(true),
        Bson::from(f64::NAN),
        Bson::from(f64::NEG_INFINITY),
        Bson::from(2.5),
        Bson::from(9_007_199_254_740_993_i64),
        Bson::from(doc! { "b": 1, "a": 2 }),
        Bson::from(doc! { "a": 2, "b": 1 }),
        Bson::from(bson::DateTime::from_millis(5)),
        Bson::Timestamp(bson::Timestamp { time: 1, increment: 1 }),
        Bson::Binary(bson::Binary {
            subtype: bson::spec::BinarySubtype::Generic,
            bytes: vec![1, 2],
        }),
        Bson::from(""),
        Bson::from("ünï"),
    ];
    ids.extend((0..20).map(Bson::from));
    ids.extend((0..20).map(|n| Bson::from(format!("s{n}"))));
    ids.extend((0..20).map(|_| Bson::from(bson::oid::ObjectId::new())));
    ids
}

#[tokio::test]
async fn a_batched_update_reaches_every_type_of_id() {
    for collation in [None, Some(doc! { "locale": "de", "strength": 1 })] {
        let env = Env::new("batches").await;
        let mut create = doc! { "create": "c" };
        create
            .extend(collation.map(|collation| doc! { "collation": collation }).unwrap_or_default());
        env.run(create).await;
        let ids = mixed_ids();
        let documents = ids.iter().map(|id| doc! { "_id": id.clone() });
        env.db.collection("c").insert_many(documents).await.expect("insert");
        let step = "{updateInBatches: 'c', filter: {done: {$exists: false}}, \
                     update: {$inc: {n: 1}, $set: {done: true}}, batch: 3}";
        let pulses = Pulses::default();
        let before = env.before(step).await;
        let done = env.job(step, &before, None, &pulses, CancellationToken::new()).await;
        let notice = format!("c: {} documents changed", ids.len());
        assert_eq!(done.expect("applied").notices, [notice]);
        assert_eq!(env.count("c", doc! { "n": 1 }).await, ids.len() as u64);
        let last = pulses.all().pop().expect("a pulse").1;
        assert_eq!((last.done, last.total), (ids.len() as u64, Some(ids.len() as u64)));
        env.clean().await;
    }
}

#[tokio::test]
async fn a_stopped_batched_update_goes_on_where_it_was() {
    let env = Env::new("resume").await;
    let ids = mixed_ids();
    let documents = ids.iter().map(|id| doc! { "_id": id.clone() });
    env.db.collection("c").insert_many(documents).await.expect("insert");
    let step = "{updateInBatches: 'c', update: {$set: {done: 1}}, batch: 4}";
    let before = env.before(step).await;
    let mut resume = None;
    let mut rounds = 0;
    loop {
        let pulses = Pulses::stopping_after(2);
        match env.job(step, &before, resume.take(), &pulses, CancellationToken::new()).await {
            Ok(_) => break,
            Err(failure) => {
                assert_eq!((failure.why, failure.effect), (Why::Cancelled, Effect::Unknown));
                assert!(matches!(env.probe(step, &before).await, Probe::NotDone));
                let reached = pulses.all().pop().expect("a pulse").0;
                let kept = serde_json::to_string(&reached).expect("position");
                resume = Some(serde_json::from_str(&kept).expect("position"));
                rounds += 1;
                assert_eq!(
                    env.count("c", doc! { "done": 1 }).await,
                    ids.len().min(rounds * 8) as u64
                );
            }
        }
    }
    assert!(rounds > 5);
    assert_eq!(env.count("c", doc! { "done": 1 }).await, ids.len() as u64);
    env.clean().await;
}

#[tokio::test]
async fn a_batched_update_says_what_the_server_refused() {
    let env = Env::new("refused").await;
    env.run(
        doc! { "create": "c", "validator": { "n": { "$lt": 5 } }, "validationLevel": "strict" },
    )
    .await;
    env.run(doc! { "insert": "c", "documents": [{ "_id": 1, "n": 1 }] }).await;
    let step = "{updateInBatches: 'c', update: {$set: {n: 9}}}";
    let failure = env.apply_over(step, &env.before(step).await).await.expect_err("validator");
    assert_eq!((failure.why, failure.effect), (Why::Refused, Effect::Unknown));
    assert!(failure.source.code.expect("code").contains("121"));
    let missing = unit("{updateInBatches: 'nope', update: {$set: {n: 9}}}");
    assert!(env.store.before(&missing, &Shape::default()).await.is_err());
    env.clean().await;
}

const SLOW: &str =
    "{update: 'c', updates: [{q: {$where: 'sleep(50) || true'}, u: {$set: {z: 1}}, multi: true}]}";

#[tokio::test]
async fn cancelling_ends_the_operation_on_the_server() {
    let env = Env::new("cancel").await;
    env.insert_numbers("c", 400).await;
    let cancel = CancellationToken::new();
    let later = cancel.clone();
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(300)).await;
        later.cancel();
    });
    let started = Instant::now();
    let (before, pulses) = (Before::absent(), Pulses::default());
    let failure = env.job(SLOW, &before, None, &pulses, cancel).await.expect_err("cancelled");
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    assert_eq!((failure.why, failure.effect), (Why::Cancelled, Effect::Unknown));
    assert_eq!(env.operations_of(&env.run).await, 0);
    env.clean().await;
}

/// Documents whose lists make an index build take a while.
async fn slow_to_index(env: &Env) {
    let documents: Vec<Document> = (0..30_000)
        .map(|n| doc! { "_id": n, "l": (0..40).map(|i| i * n).collect::<Vec<i32>>() })
        .collect();
    env.db.collection("c").insert_many(documents).await.expect("insert");
}

const BUILD: &str = "{createIndexes: 'c', indexes: [{key: {l: 1}}]}";

#[tokio::test]
async fn an_index_build_can_be_cancelled() {
    let env = Env::new("build").await;
    slow_to_index(&env).await;
    let step = BUILD;
    let cancel = CancellationToken::new();
    let later = cancel.clone();
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(100)).await;
        later.cancel();
    });
    let before = env.before(step).await;
    let failure =
        env.job(step, &before, None, &Pulses::default(), cancel).await.expect_err("cancelled");
    assert_eq!((failure.why, failure.effect), (Why::Cancelled, Effect::None), "{failure:?}");
    assert!(matches!(env.probe(step, &before).await, Probe::NotDone));
    env.clean().await;
}

#[tokio::test]
async fn an_index_build_that_a_dead_run_left_is_not_taken_for_an_index() {
    let env = Env::new("left").await;
    slow_to_index(&env).await;
    let claimed = env.before(BUILD).await;
    let dead = unique("dead");
    let gone = mongodb::Client::with_uri_str(required("TEST_MONGO_URL")).await.expect("client");
    let index = doc! { "key": { "l": 1 }, "name": "l_1" };
    let command = doc! { "createIndexes": "c", "indexes": [index], "comment": &dead };
    let db = gone.database(env.db.name());
    let building = tokio::spawn(async move { db.run_command(command).await });
    while env.operations_of(&dead).await == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(matches!(env.probe(BUILD, &claimed).await, Probe::Running | Probe::NotDone));
    assert!(!env.shape().await.objects.contains_key("index l_1 on c"));
    building.abort();
    gone.shutdown().immediate(true).await;
    env.store.expel(&[dead]).await.expect("expelled");
    let started = Instant::now();
    while matches!(env.probe(BUILD, &claimed).await, Probe::Running) {
        assert!(started.elapsed() < Duration::from_secs(30));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    env.apply_over(BUILD, &claimed).await.expect("made");
    assert!(matches!(env.probe(BUILD, &claimed).await, Probe::Done));
    env.clean().await;
}

#[tokio::test]
async fn what_a_dead_run_left_is_ended() {
    let env = Env::new("expel").await;
    env.insert_numbers("c", 400).await;
    let (dead, db) = (unique("dead"), env.db.clone());
    let comment = dead.clone();
    let left = tokio::spawn(async move {
        let update = doc! { "q": { "$where": "sleep(50) || true" }, "u": { "$set": { "z": 1 } }, "multi": true };
        db.run_command(doc! { "update": "c", "updates": [update], "comment": comment }).await
    });
    while env.operations_of(&dead).await == 0 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    env.store.expel(&[dead.clone(), "another".to_string()]).await.expect("expelled");
    assert_eq!(env.operations_of(&dead).await, 0);
    assert!(left.await.expect("task").is_err());
    env.clean().await;
}

#[tokio::test]
async fn a_time_limit_ends_an_operation() {
    let env = Env::new("limit").await;
    env.insert_numbers("c", 100).await;
    let (unit, before, pulse) = (unit(SLOW), Before::absent(), Pulses::default());
    let limits =
        Limits { statement_timeout: Some(Duration::from_millis(200)), ..Limits::default() };
    let cancel = CancellationToken::new();
    let run = env.run.as_str();
    let job = Job {
        unit: &unit,
        seal: None,
        before: &before,
        resume: None,
        limits,
        run,
        pulse: &pulse,
        cancel,
    };
    let failure = env.store.apply(job).await.expect_err("time limit");
    assert_eq!(failure.source.code.as_deref(), Some("MaxTimeMSExpired (50)"), "{failure:?}");
    env.clean().await;
}

/// The platform's own migrations, and the shape they make.
#[tokio::test]
async fn the_platform_has_three_collections_and_twelve_indexes() {
    let env = Env::new("platform").await;
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations/mongo");
    let mut undo = Vec::new();
    for file in ["V001__collections.json5", "V002__indexes.json5"] {
        let text = std::fs::read_to_string(folder.join(file)).expect(file);
        let script = Node::parse(&text).expect(file);
        for step in script.get("steps").expect("steps").array("steps").expect("steps") {
            undo.push(env.up(&step.to_json().to_string()).await.expect("undo"));
        }
    }
    let shape = env.shape().await;
    assert_eq!(shape.of_kind("collection").count(), 3);
    assert_eq!(shape.of_kind("index").count(), 12);
    let ttl = &shape.objects["index last_updated_1 on task_status_cache"];
    assert_eq!(json!(ttl), json!({ "key": "last_updated: 1", "expireAfterSeconds": 86400 }));
    for steps in undo.into_iter().rev() {
        env.down(steps).await;
    }
    assert!(env.shape().await.objects.is_empty());
    env.clean().await;
}

#[tokio::test]
async fn the_replica_set_is_known_by_its_id() {
    let env = Env::new("identity").await;
    let first = env.store.identity().await.expect("identity").expect("a replica set");
    let other = Env::new("identity").await;
    assert_eq!(other.store.identity().await.expect("identity"), Some(first));
    other.clean().await;
    env.clean().await;
}

async fn refusal(settings: Settings) -> aiplat_migrate::store_error::StoreError {
    let started = Instant::now();
    let refused = connect("mongo", &settings).await;
    assert!(started.elapsed() < Duration::from_secs(7), "{:?}", started.elapsed());
    refused.err().expect("refused")
}

#[tokio::test]
async fn a_failed_connection_says_the_real_reason() {
    let good = settings("d");
    let url = required("TEST_MONGO_URL");
    let (_, rest) = url.split_once('@').expect("a user in the URL");
    let hosts = rest.split('/').next().expect("hosts");
    let at = |host: &str| Settings {
        host: Some(host.to_string()),
        database: Some("d".to_string()),
        connect_timeout: Some(Duration::from_secs(2)),
        ..Settings::default()
    };
    for (settings, kind, said) in [
        (
            Settings { password: "hunter2".into(), ..good.clone() },
            StoreErrorKind::Credentials,
            "Authentication failed",
        ),
        (at(hosts), StoreErrorKind::Credentials, "requires authentication"),
        (at("127.0.0.1:1"), StoreErrorKind::Unreachable, "127.0.0.1:1: Connection refused"),
        (at("no.such.host.invalid"), StoreErrorKind::Unreachable, "no.such.host.invalid"),
        (
            Settings { replica_set: Some("other".to_string()), ..at(hosts) },
            StoreErrorKind::Unreachable,
            "other",
        ),
        (
            Settings {
                url: "mongodb+srv://no-such-cluster.invalid/d".into(),
                ..Settings::default()
            },
            StoreErrorKind::Unreachable,
            "no-such-cluster.invalid",
        ),
        (
            Settings { url: "mongodb://h".into(), ..Settings::default() },
            StoreErrorKind::Settings,
            "no database",
        ),
        (Settings { host: Some("h".to_string()), ..good }, StoreErrorKind::Settings, "both"),
    ] {
        let error = refusal(settings).await;
        let shown = format!("{error:?}");
        assert_eq!(error.kind, kind, "{shown}");
        assert!(shown.contains(said), "{said}: {shown}");
        assert!(!shown.contains("hunter2"), "{shown}");
    }
}

#[tokio::test]
async fn a_user_with_rights_on_one_database_can_do_it_all() {
    let env = Env::new("rights").await;
    let database = env.db.name().to_string();
    let password = "p@:/?#%[]ü&=";
    env.run(
        doc! { "createUser": "ü@migrator", "pwd": password, "roles": ["readWrite", "dbAdmin"] },
    )
    .await;
    let url = required("TEST_MONGO_URL");
    let (_, rest) = url.split_once('@').expect("a user in the URL");
    let parts = Settings {
        host: Some(rest.split('/').next().expect("hosts").to_string()),
        database: Some(database.clone()),
        user: Some("ü@migrator".to_string()),
        password: password.into(),
        auth_source: Some(database),
        ..Settings::default()
    };
    let store = connect("mongo", &parts).await.expect("connects");
    let own = Env { store, client: env.client.clone(), db: env.db.clone(), run: unique("run") };
    assert_eq!(own.store.identity().await.expect("identity"), None);
    own.there_and_back("{create: 'c', validator: {x: 1}}").await;
    own.there_and_back("{createIndexes: 'c', indexes: [{key: {a: 1}}]}").await;
    own.store.expel(&["nobody".to_string()]).await.expect("expel");
    env.insert_numbers("c", 400).await;
    let cancel = CancellationToken::new();
    let later = cancel.clone();
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(300)).await;
        later.cancel();
    });
    let (before, pulses) = (Before::absent(), Pulses::default());
    let failure = own.job(SLOW, &before, None, &pulses, cancel).await.expect_err("cancelled");
    assert_eq!(failure.why, Why::Cancelled, "{failure:?}");
    assert_eq!(env.operations_of(&own.run).await, 0);
    env.run(doc! { "dropUser": "ü@migrator" }).await;
    env.clean().await;
}
