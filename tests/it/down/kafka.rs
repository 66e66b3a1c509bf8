//! Ways to lose data of Kafka by `down`: each is refused with its figure, and all of it is still there.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

use crate::support::{TestEnv, block_on, required};
use crate::witness;

/// What a migration does, how its U file undoes it where it has one, what is written to its topic `@` then,
/// and what is to be said of the loss.
struct Case {
    up: &'static str,
    down: Option<&'static str>,
    written: &'static [Written],
    said: &'static str,
}

/// What is written to a topic.
enum Written {
    /// So many messages to a partition, so many hours old.
    Plain(usize, i32, u64),
    /// A message in a transaction that stays open.
    Open,
    /// A message in a transaction that is aborted.
    Aborted,
}

use Written::{Aborted, Open, Plain};

const fn case(
    up: &'static str,
    down: Option<&'static str>,
    written: &'static [Written],
    said: &'static str,
) -> Case {
    Case { up, down, written, said }
}

const MADE: &str = "{ createTopic: { name: '@', partitions: 1, replicationFactor: 1 } }";

const CASES: &[Case] = &[
    case(MADE, None, &[Plain(3, 0, 0)], "topic @ holds 3 messages"),
    case(
        "{ createTopics: [{ name: '@.empty', partitions: 1 }, { name: '@', partitions: 1 }] }",
        None,
        &[Plain(1, 0, 0)],
        "topic @ holds 1 message",
    ),
    case(
        "{ createTopic: { name: '@', partitions: 4, replicationFactor: 1 } }",
        None,
        &[Plain(2, 3, 0)],
        "topic @ holds 2 messages",
    ),
    // What is committed behind an open transaction is not seen by who reads what is committed.
    case(MADE, None, &[Open, Plain(5, 0, 0)], "topic @ holds 6 messages"),
    case(MADE, None, &[Open], "topic @ holds 1 message"),
    case(MADE, None, &[Aborted], "topic @ holds 2 messages"),
    case(
        MADE,
        Some("{ deleteTopic: '@' }, { createTopic: { name: '@', partitions: 1 } }"),
        &[Plain(4, 0, 0)],
        "topic @ holds 4 messages",
    ),
    case(
        MADE,
        Some("{ alterConfigs: { topic: '@', set: { 'retention.ms': 600000 } } }"),
        &[Plain(2, 0, 1), Plain(1, 0, 0)],
        "topic @ holds 2 messages older than 600000 ms",
    ),
    // The inverse that was derived puts the former lifetime back.
    case(
        "{ createTopic: { name: '@', partitions: 1, configs: { 'retention.ms': 3600000 } } }, \
         { alterConfigs: { topic: '@', set: { 'retention.ms': -1 } } }",
        None,
        &[Plain(7, 0, 2)],
        "topic @ holds 7 messages older than 3600000 ms",
    ),
    // The brokers' own: seven days.
    case(
        "{ createTopic: { name: '@', partitions: 1, configs: { 'retention.ms': -1 } } }",
        Some("{ alterConfigs: { topic: '@', unset: ['retention.ms'] } }"),
        &[Plain(6, 0, 200)],
        "topic @ holds 6 messages older than 604800000 ms",
    ),
    case(
        MADE,
        Some("{ alterConfigs: { topic: '@', set: { 'cleanup.policy': 'compact' } } }"),
        &[Plain(3, 0, 0)],
        "topic @ holds 3 messages, which are compacted",
    ),
    case(
        "{ createTopic: { name: '@', partitions: 1, configs: { 'cleanup.policy': 'compact' } } }",
        Some(
            "{ alterConfigs: { topic: '@', set: { 'cleanup.policy': 'compact, delete', 'retention.ms': 60000 } } }",
        ),
        &[Plain(3, 0, 5)],
        "topic @ holds 3 messages older than 60000 ms",
    ),
    case(
        MADE,
        Some("{ alterConfigs: { topic: '@', set: { 'retention.bytes': 1024 } } }"),
        &[Plain(3, 0, 0)],
        "topic @ holds 3 messages, which are deleted from the oldest on",
    ),
];

/// Writes to a topic; an open transaction lasts as long as what is given back.
fn write(topic: &str, written: &[Written]) -> Vec<BaseProducer> {
    let mut open = Vec::new();
    for one in written {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", required("TEST_KAFKA_BROKERS"));
        if !matches!(one, Plain(..)) {
            config.set("transactional.id", format!("{topic}.{}", open.len()));
        }
        let producer: BaseProducer = config.create().expect("a producer");
        let within = Duration::from_secs(30);
        let send = |partition: i32, hours: u64| {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("clock");
            let time = now - Duration::from_secs(3600 * hours);
            let record = BaseRecord::to(topic).key("k").payload("v").partition(partition);
            let time = i64::try_from(time.as_millis()).expect("a time");
            producer.send(record.timestamp(time)).expect("queued");
        };
        match one {
            Plain(count, partition, hours) => {
                (0..*count).for_each(|_| send(*partition, *hours));
                producer.flush(within).expect("delivered");
            }
            Open | Aborted => {
                producer.init_transactions(within).expect("transactions");
                producer.begin_transaction().expect("a transaction");
                send(0, 0);
                producer.flush(within).expect("delivered");
                if matches!(one, Aborted) {
                    producer.abort_transaction(within).expect("aborted");
                }
            }
        }
        open.push(producer);
    }
    open
}

#[test]
fn each_way_to_lose_messages_is_refused_with_its_figure() {
    let env = TestEnv::new().with(&["kafka"]);
    let topic = |at: usize| env.named(&format!("NAME.{at}"));
    for (at, case) in (1..).zip(CASES) {
        let steps = |steps: &str| format!("{{ steps: [ {} ] }}", steps.replace('@', &topic(at)));
        env.file(&format!("migrations/kafka/V{at}__t.json5"), &steps(case.up));
        if let Some(down) = case.down {
            env.file(&format!("migrations/kafka/U{at}__t.json5"), &steps(down));
        }
    }
    env.run(&["up"]).expect(0);
    let brokers = required("TEST_KAFKA_BROKERS");
    let written: Vec<_> =
        (1..).zip(CASES).map(|(at, case)| write(&topic(at), case.written)).collect();
    let asked = |at: usize| {
        let own = block_on(witness::own_configs(&brokers, &topic(at)));
        (witness::messages(&brokers, &topic(at)), own)
    };
    let there: Vec<_> = (1..=CASES.len()).map(asked).collect();
    let said: Vec<String> =
        (1..).zip(CASES).map(|(at, case)| case.said.replace('@', &topic(at))).collect();
    let said: Vec<&str> = said.iter().map(String::as_str).collect();
    env.run(&["down", "--all", "--yes"]).expect(1).says(&said);
    let now: Vec<_> = (1..=CASES.len()).map(asked).collect();
    assert_eq!(now, there, "nothing was touched");
    assert!(there.iter().all(|(messages, _)| *messages > 0), "{there:?}");
    drop(written);
    env.run(&["down", "--all", "--yes", "--allow-data-loss"]).expect(0);
    let left: Vec<String> = witness::topics(&brokers).into_keys().collect();
    let left: Vec<&String> = left.iter().filter(|topic| topic.starts_with(&env.name)).collect();
    // Those whose U file leaves them there.
    let kept = CASES.iter().filter(|case| case.down.is_some()).count();
    assert_eq!(left.len(), kept, "{left:?}");
    let left: Vec<&str> = left.into_iter().map(String::as_str).collect();
    block_on(witness::delete_topics(&brokers, &left));
}

#[test]
fn what_keeps_messages_for_longer_needs_no_flag() {
    let env = TestEnv::new().with(&["kafka"]);
    let topic = env.named("NAME.kept");
    env.file(
        "migrations/kafka/V1__t.json5",
        "{ steps: [ { createTopic: { name: 'NAME.kept', partitions: 1, configs: { 'retention.ms': 7200000 } } } ] }",
    );
    env.file(
        "migrations/kafka/V2__t.json5",
        "{ steps: [ { alterConfigs: { topic: 'NAME.kept', set: { 'retention.ms': 3600000, 'segment.ms': 600000 } } } ] }",
    );
    env.run(&["up"]).expect(0);
    write(&topic, &[Plain(3, 0, 0)]);
    env.run(&["down", "--yes"]).expect(0);
    let brokers = required("TEST_KAFKA_BROKERS");
    let own = block_on(witness::own_configs(&brokers, &topic));
    assert_eq!(own.get("retention.ms").map(String::as_str), Some("7200000"));
    assert_eq!(witness::messages(&brokers, &topic), 3);
    env.run(&["down", "--yes", "--allow-data-loss"]).expect(0);
}
