//! Asks the stores themselves, with nothing of ours in between.

use std::collections::BTreeMap;

use rdkafka::ClientConfig;
use rdkafka::admin::{
    AdminClient, AdminOptions, ConfigSource, NewTopic, ResourceSpecifier, TopicReplication,
};
use rdkafka::client::DefaultClientContext;
use serde_json::Value;

/// The topics of a cluster and the number of their partitions; Kafka's own are left out.
pub fn topics(brokers: &str) -> BTreeMap<String, usize> {
    let client = admin(brokers);
    let timeout = std::time::Duration::from_secs(20);
    let metadata = client.inner().fetch_metadata(None, timeout).expect("metadata");
    let ours = metadata.topics().iter().filter(|topic| !topic.name().starts_with("__"));
    ours.map(|topic| (topic.name().to_string(), topic.partitions().len())).collect()
}

/// The configs that are set on a topic itself.
pub async fn own_configs(brokers: &str, topic: &str) -> BTreeMap<String, String> {
    let resource = [ResourceSpecifier::Topic(topic)];
    let described = admin(brokers).describe_configs(&resource, &AdminOptions::new()).await;
    let mut described = described.expect("configs");
    let entries = described.remove(0).expect("topic").entries;
    let own = entries.into_iter().filter(|entry| entry.source == ConfigSource::DynamicTopic);
    own.map(|entry| (entry.name, entry.value.unwrap_or_default())).collect()
}

/// Creates a topic with one copy of each partition.
pub async fn create_topic(brokers: &str, topic: &str, partitions: i32) {
    let topic = NewTopic::new(topic, partitions, TopicReplication::Fixed(1));
    let made = admin(brokers).create_topics([&topic], &AdminOptions::new()).await;
    made.expect("answer").remove(0).expect("topic");
}

/// Deletes topics.
pub async fn delete_topics(brokers: &str, topics: &[&str]) {
    admin(brokers).delete_topics(topics, &AdminOptions::new()).await.expect("deletion");
}

fn admin(brokers: &str) -> AdminClient<DefaultClientContext> {
    ClientConfig::new().set("bootstrap.servers", brokers).create().expect("Kafka client")
}

/// One request to Weaviate: its status and its answer.
pub async fn weaviate(url: &str, key: &str, method: &str, path: &str, body: Value) -> (u16, Value) {
    aiplat_migrate::tls::install_provider();
    let request = reqwest::Client::new()
        .request(method.parse().expect("method"), format!("{url}/v1{path}"))
        .bearer_auth(key);
    let request = if body.is_null() { request } else { request.json(&body) };
    let answer = request.send().await.expect("Weaviate answers");
    (answer.status().as_u16(), answer.json().await.unwrap_or_default())
}

/// One command to Redis.
pub async fn redis<T: redis::FromRedisValue>(url: &str, words: &[&str]) -> T {
    let client = redis::Client::open(url).expect("URL");
    let mut connection = client.get_multiplexed_async_connection().await.expect("Redis answers");
    let mut command = redis::Cmd::new();
    for word in words {
        command.arg(*word);
    }
    command.query_async(&mut connection).await.unwrap_or_else(|why| panic!("{words:?}: {why}"))
}

/// How many messages a topic holds, by the offsets of its partitions: uncommitted ones too.
pub fn messages(brokers: &str, topic: &str) -> i64 {
    use rdkafka::consumer::{BaseConsumer, Consumer};
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("isolation.level", "read_uncommitted")
        .create()
        .expect("a consumer");
    let timeout = std::time::Duration::from_secs(20);
    let metadata = consumer.fetch_metadata(Some(topic), timeout).expect("metadata");
    let partitions = metadata.topics()[0].partitions().iter().map(|partition| partition.id());
    let held = partitions.map(|partition| {
        let (low, high) =
            consumer.fetch_watermarks(topic, partition, timeout).expect("the ends of a partition");
        high - low
    });
    held.sum()
}
