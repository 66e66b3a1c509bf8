//! What lives in the stores of a test, and how something gets there.

use std::collections::BTreeMap;
use std::time::Duration;

use aiplat_migrate::Config;
use aiplat_migrate::config::{Environment, Options};

use aiplat_migrate::secret::Secrets;
use aiplat_migrate::shape::Shape;
use aiplat_migrate::stores::{Beside, Depth, StoreKind};
use bson::doc;
use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use serde_json::{Value, json};

use crate::support::{TestEnv, block_on, required};

/// The live objects of every configured store that are the test's own, by store and name. Kafka,
/// Weaviate and Redis are shared: there, own is what bears the test's name.
pub fn picture(env: &TestEnv) -> BTreeMap<String, Value> {
    picture_of(env, |_| false)
}

/// The same with the objects of the shared stores that are `ours` too.
pub fn picture_of(env: &TestEnv, ours: impl Fn(&str) -> bool) -> BTreeMap<String, Value> {
    let own = |kind: StoreKind, object: &str| {
        let own_database = matches!(kind.name(), "postgres" | "mongo");
        let named = object.contains(&env.name) || object.contains(&env.class());
        (own_database || named || ours(object)) && object != "schema public"
    };
    let mut all = BTreeMap::new();
    for (kind, mut shape) in shapes(env) {
        if kind.name() == "kafka" {
            // The broker gives a topic that is made again another one.
            shape.objects.values_mut().for_each(|topic| drop(topic.remove("id")));
        }
        let objects = shape.objects.into_iter().filter(|(object, _)| own(kind, object));
        all.extend(objects.map(|(name, value)| (format!("{kind}: {name}"), json!(value))));
    }
    all
}

/// `validate` finds no drift in what is the test's own. Others' topics and classes come and go in the
/// same servers meanwhile, and may have got into the recorded shape.
#[track_caller]
pub fn assert_valid(env: &TestEnv) {
    let report = env.run(&["validate", "--output", "json"]).json();
    let findings = report["findings"].as_array().expect("findings");
    let (name, class) = (env.name.as_str(), env.class());
    let own = |finding: &&Value| {
        let object = finding["change"]["object"].as_str().unwrap_or_default();
        let database = finding["store"] == "postgres" || finding["store"] == "mongo";
        finding["severity"] == "error"
            && (database || object.contains(name) || object.contains(&class))
    };
    let own: Vec<&Value> = findings.iter().filter(own).collect();
    assert!(own.is_empty(), "{own:?}");
}

/// What is in every configured store.
pub fn shapes(env: &TestEnv) -> BTreeMap<StoreKind, Shape> {
    let variables = env.variables().to_vec();
    let environment = Environment::new(env.path(), variables, "").expect("environment");
    let config = Config::load(&Options::default(), &environment).expect("settings");
    let mut recorded = recorded(env);
    let looks = config.stores.into_iter().map(|(kind, settings)| {
        let beside = Beside { schema: config.ledger.schema.clone(), ..Beside::default() };
        let settings = settings.beside(&beside);
        let recorded = recorded.remove(&kind).unwrap_or_default();
        async move {
            let store =
                settings.connect("aiplat-migrate-test", &Secrets::default()).await.expect("store");
            (kind, store.inspect(&recorded, Depth::Structure).await.expect("shape"))
        }
    });
    block_on(futures_util::future::join_all(looks)).into_iter().collect()
}

/// What the ledger recorded: Redis holds nothing of its contracts.
fn recorded(env: &TestEnv) -> BTreeMap<StoreKind, Shape> {
    if env.sql("SELECT to_regclass('aiplat_migrate.shape')") == ["NULL"] {
        return BTreeMap::new();
    }
    let rows = env.sql("SELECT store, recorded FROM aiplat_migrate.shape");
    let rows = rows.iter().map(|row| {
        let (store, shape) = row.split_once('|').expect("columns");
        (store.parse().expect("store"), serde_json::from_str(shape).expect("shape"))
    });
    rows.collect()
}

/// Sends one message to a topic of the `test` set.
pub fn produce(topic: &str) {
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", required("TEST_KAFKA_BROKERS"))
        .create()
        .expect("a producer");
    producer.send(BaseRecord::<(), _>::to(topic).payload("one")).expect("queued");
    producer.flush(Duration::from_secs(10)).expect("delivered");
}

/// Runs one command on the test's MongoDB database.
fn mongo(env: &TestEnv, command: bson::Document) {
    let url = env.get("AIPLAT_MIGRATE_MONGO_URL");
    block_on(async {
        let client = mongodb::Client::with_uri_str(url).await.expect("URL");
        client.database(&env.name).run_command(command).await.expect("command");
    });
}

pub fn insert_document(env: &TestEnv, collection: &str) {
    mongo(env, doc! { "insert": collection, "documents": [{ "_id": 1 }] });
}

pub fn empty_collection(env: &TestEnv, collection: &str) {
    mongo(env, doc! { "delete": collection, "deletes": [{ "q": {}, "limit": 0 }] });
}

/// The documents of a collection, as text.
pub fn documents(env: &TestEnv, collection: &str) -> Vec<String> {
    let url = env.get("AIPLAT_MIGRATE_MONGO_URL");
    block_on(async {
        let client = mongodb::Client::with_uri_str(url).await.expect("URL");
        let find = doc! { "find": collection, "sort": { "_id": 1 } };
        let found = client.database(&env.name).run_command(find).await.expect("documents");
        let batch = found.get_document("cursor").expect("cursor").get_array("firstBatch");
        batch.expect("batch").iter().map(ToString::to_string).collect()
    })
}

/// The tenants of a class; none where there is no such class.
pub fn tenants(class: &str) -> Value {
    weaviate("GET", &format!("/schema/{class}/tenants"), Value::Null).1
}

fn weaviate(method: &str, path: &str, body: Value) -> (u16, Value) {
    aiplat_migrate::tls::install_provider();
    let url = format!("{}/v1{path}", required("TEST_WEAVIATE_URL"));
    let method = method.parse().expect("method");
    block_on(async {
        let request = reqwest::Client::new().request(method, url);
        let request = request.bearer_auth(required("TEST_WEAVIATE_API_KEY")).json(&body);
        let answer = request.send().await.expect("Weaviate");
        let status = answer.status().as_u16();
        (status, answer.json().await.unwrap_or(Value::Null))
    })
}

pub fn insert_object(class: &str) {
    assert_eq!(weaviate("POST", "/objects", json!({ "class": class, "properties": {} })).0, 200);
}

/// Runs one command on the Redis of the `test` set.
pub fn redis(words: &[&str]) -> redis::Value {
    let client = redis::Client::open(required("TEST_REDIS_URL")).expect("URL");
    block_on(async {
        let mut client = client.get_multiplexed_async_connection().await.expect("Redis");
        let mut command = redis::Cmd::new();
        words.iter().for_each(|word| {
            command.arg(*word);
        });
        command.query_async(&mut client).await.expect("command")
    })
}

pub fn set_key(key: &str) {
    redis(&["SET", key, "one"]);
}

pub fn delete_key(key: &str) {
    redis(&["DEL", key]);
}

/// Deletes what a test that cannot undo itself leaves in the shared stores.
pub fn sweep(env: &TestEnv) {
    assert_eq!(weaviate("DELETE", &format!("/schema/{}", env.class()), Value::Null).0, 200);
    let admin: rdkafka::admin::AdminClient<rdkafka::client::DefaultClientContext> =
        ClientConfig::new()
            .set("bootstrap.servers", required("TEST_KAFKA_BROKERS"))
            .create()
            .expect("an admin client");
    let topics = [env.name.as_str()];
    block_on(async {
        let deleted = admin.delete_topics(&topics, &rdkafka::admin::AdminOptions::new()).await;
        deleted.expect("deletion").remove(0).expect("deleted");
    });
}
