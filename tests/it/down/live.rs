//! What lives in the stores of a test, and how something gets there.

use std::collections::BTreeMap;
use std::time::Duration;

use aiplat_migrate::Config;
use aiplat_migrate::config::{Environment, Options};
use aiplat_migrate::shape::Shape;
use aiplat_migrate::stores::{Depth, Settings};
use bson::doc;
use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use serde_json::{Value, json};

use crate::support::{TestEnv, block_on, required};

/// The live objects of every configured store that are the test's own, by store and name. Kafka,
/// Weaviate and Redis are shared: there, own is what bears the test's name.
pub fn picture(env: &TestEnv) -> BTreeMap<String, Value> {
    picture_of(env, &[])
}

/// The same with the objects whose names hold one of `more`.
pub fn picture_of(env: &TestEnv, more: &[&str]) -> BTreeMap<String, Value> {
    let variables = env.variables().to_vec();
    let environment = Environment::new(env.path(), variables, "").expect("environment");
    let config = Config::load(&Options::default(), &environment).expect("settings");
    let hidden = vec![config.ledger.schema.clone()];
    let (name, class) = (env.name.clone(), env.class());
    let mut all = BTreeMap::new();
    for (kind, settings) in config.stores {
        let sql = format!("SELECT recorded FROM aiplat_migrate.shape WHERE store = '{kind}'");
        let recorded: Shape = env
            .sql(&sql)
            .first()
            .map(|text| serde_json::from_str(text).expect("shape"))
            .unwrap_or_default();
        let settings = match settings {
            Settings::Postgres(settings) => {
                Settings::Postgres(aiplat_migrate::postgres::Settings {
                    hidden: hidden.clone(),
                    ..settings
                })
            }
            other => other,
        };
        let shape = block_on(async {
            let store = settings.connect("aiplat-migrate-test").await.expect("store");
            store.inspect(&recorded, Depth::Structure).await.expect("shape")
        });
        let own_database = ["postgres", "mongo"].contains(&kind.name());
        let own = |object: &str| {
            own_database
                || object.contains(&name)
                || object.contains(&class)
                || more.iter().any(|part| object.contains(part))
        };
        let always = |object: &str| object == "schema public";
        let objects = shape.objects.into_iter();
        for (object, attributes) in objects.filter(|(object, _)| own(object) && !always(object)) {
            all.insert(format!("{kind}: {object}"), json!(attributes));
        }
    }
    all
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

fn weaviate(method: &str, path: &str, body: Value) -> u16 {
    aiplat_migrate::tls::install_provider();
    let url = format!("{}/v1{path}", required("TEST_WEAVIATE_URL"));
    let method = method.parse().expect("method");
    block_on(async {
        let request = reqwest::Client::new().request(method, url);
        let request = request.bearer_auth(required("TEST_WEAVIATE_API_KEY")).json(&body);
        request.send().await.expect("Weaviate").status().as_u16()
    })
}

pub fn insert_object(class: &str) {
    assert_eq!(weaviate("POST", "/objects", json!({ "class": class, "properties": {} })), 200);
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
    assert_eq!(weaviate("DELETE", &format!("/schema/{}", env.class()), Value::Null), 200);
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
