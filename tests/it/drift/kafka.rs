//! Kafka: changes made by the admin client.

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, AlterConfig, NewPartitions, ResourceSpecifier};
use rdkafka::client::DefaultClientContext;

use super::Way::{Heals, Person};
use super::{Case, case, is_told_and_healed};
use crate::support::{TestEnv, block_on, required};

const MADE: &str = "{ steps: [
    { createTopic: { name: 'NAME.kept', partitions: 2, replicationFactor: 1, configs: { 'retention.ms': '3600000', 'cleanup.policy': 'delete' } } },
    { createTopic: { name: 'NAME.plain', partitions: 1, replicationFactor: 1 } },
    { createTopic: { name: 'NAME.sized', partitions: 1, replicationFactor: 1, configs: { 'max.message.bytes': '2000000', 'min.insync.replicas': '1' } } },
    { createTopic: { name: 'NAME.grown', partitions: 1, replicationFactor: 1 } },
    { createTopic: { name: 'NAME.gone', partitions: 1, replicationFactor: 1 } },
] }";

/// A topic, then either configs (the old call: what is not named is reset), `grow` or `delete`.
#[rustfmt::skip]
const CASES: &[Case<'static>] = &[
    case("kept retention.ms=604800000 cleanup.policy=compact", &["topic NAME.kept: config retention.ms", "topic NAME.kept: config cleanup.policy"], Heals),
    case("plain segment.bytes=2097152", &["topic NAME.plain: config segment.bytes"], Heals),
    case("sized max.message.bytes=3000000", &["topic NAME.sized: config max.message.bytes", "topic NAME.sized: config min.insync.replicas"], Heals),
    case("grown grow", &["topic NAME.grown: partitions"], Person),
    case("gone delete", &["topic NAME.gone: absent"], Person),
];

async fn change(admin: &AdminClient<DefaultClientContext>, topic: &str, words: &[&str]) {
    let options = AdminOptions::new().operation_timeout(Some(std::time::Duration::from_secs(20)));
    let results = match words {
        ["grow"] => admin.create_partitions(&[NewPartitions::new(topic, 3)], &options).await,
        ["delete"] => admin.delete_topics(&[topic], &options).await,
        configs => {
            let mut wanted = AlterConfig::new(ResourceSpecifier::Topic(topic));
            for (key, value) in configs.iter().filter_map(|config| config.split_once('=')) {
                wanted = wanted.set(key, value);
            }
            let done = admin.alter_configs(&[wanted], &options).await.expect("alter");
            assert!(done.iter().all(Result::is_ok), "{done:?}");
            return;
        }
    };
    assert!(results.expect("answer").iter().all(Result::is_ok));
}

#[test]
fn what_is_changed_by_hand_is_told_and_healed() {
    let env = TestEnv::new().with(&["kafka"]);
    env.file("migrations/kafka/V1__all.json5", MADE);
    env.run(&["up"]).expect(0);
    env.run(&["validate"]).expect(0);
    block_on(async {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", required("TEST_KAFKA_BROKERS"));
        let admin: AdminClient<DefaultClientContext> = config.create().expect("client");
        for case in CASES {
            let words: Vec<&str> = case.change.split(' ').collect();
            change(&admin, &format!("{}.{}", env.name, words[0]), &words[1..]).await;
        }
    });
    std::thread::sleep(std::time::Duration::from_millis(500));
    is_told_and_healed(&env, "kafka", CASES);
    env.run(&["down", "--all", "--yes", "--allow-data-loss"]);
}
