//! Kafka through the Store trait, against a real broker.

use std::time::{Duration, Instant};

use aiplat_migrate::shape::Shape;
use aiplat_migrate::store_error::{StoreError, StoreErrorKind};
use aiplat_migrate::stores::kafka::{Settings, Step};
use aiplat_migrate::stores::{
    Before, Depth, Done, Effect, Failure, Job, Limits, Position, Probe, Progress, Pulse, Standing,
    Stop, Store, Unit, Why,
};
use aiplat_migrate::text::Node;
use futures_util::future::BoxFuture;
use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::connect;
use crate::support::{required, unique};

struct Quiet;

impl Pulse for Quiet {
    fn reached<'a>(&'a self, _: &'a Position, _: Progress) -> BoxFuture<'a, Result<(), Stop>> {
        Box::pin(async { Ok(()) })
    }

    fn notice(&self, _: &str) {}
}

fn settings() -> Settings {
    Settings { brokers: required("TEST_KAFKA_BROKERS"), ..Settings::default() }
}

async fn store() -> Store {
    connect("kafka", &settings()).await.expect("Kafka answers")
}

fn unit(step: Value) -> Unit {
    let step = Step::parse(&Node::from_json(&step)).expect("a step");
    Unit::journalled(step, 0..0)
}

async fn before(store: &Store, unit: &Unit) -> Result<Before, StoreError> {
    store.before(unit, &Shape::default()).await
}

async fn apply_until(
    store: &Store,
    unit: &Unit,
    before: &Before,
    cancel: CancellationToken,
) -> Result<Done, Failure> {
    let job = Job {
        unit,
        seal: None,
        before,
        resume: None,
        limits: Limits::default(),
        run: "test-run",
        pulse: &Quiet,
        cancel,
    };
    store.apply(job).await
}

async fn apply(store: &Store, unit: &Unit, before: &Before) -> Result<Done, Failure> {
    apply_until(store, unit, before, CancellationToken::new()).await
}

/// Reads what stands before `step`, applies it, and returns what undoes it.
async fn migrate(store: &Store, step: Value) -> Vec<Value> {
    let unit = unit(step);
    let before = before(store, &unit).await.expect("before");
    assert_eq!(before.standing, Standing::Open, "{}", unit.label);
    apply(store, &unit, &before).await.expect("applied");
    assert!(matches!(store.probe(&unit, &before).await, Ok(Probe::Done)), "{}", unit.label);
    unit.inverse(&before).unwrap_or_default()
}

/// A topic with the attributes that `inspect` shows, without the id that the broker gave it; `null` where
/// there is none.
async fn shown(store: &Store, topic: &str) -> Value {
    let mut shape = store.inspect(&Shape::default(), Depth::Structure).await.expect("inspected");
    let topic = shape.objects.remove(&format!("topic {topic}"));
    json!(topic.map(|mut topic| {
        let id = topic.remove("id").expect("an id");
        assert!(id.as_str().is_some_and(|id| id.len() >= 22), "{id}");
        topic
    }))
}

fn produce(topic: &str, messages: usize) {
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", required("TEST_KAFKA_BROKERS"))
        .create()
        .expect("a producer");
    for number in 0..messages {
        let payload = number.to_string();
        let record = BaseRecord::<(), _>::to(topic).payload(&payload);
        producer.send(record.partition(i32::from(number % 2 == 1))).expect("queued");
    }
    producer.flush(Duration::from_secs(10)).expect("delivered");
}

#[tokio::test]
async fn a_topic_is_created_found_and_deleted_again() {
    let (store, topic) = (store().await, unique("created"));
    let create = json!({ "createTopic": { "name": topic, "partitions": "3",
        "replicationFactor": 1, "configs": { "retention.ms": 604800000, "cleanup.policy": "compact" } } });
    let undo = migrate(&store, create.clone()).await;
    assert_eq!(
        shown(&store, &topic).await,
        json!({ "partitions": 3, "replicationFactor": 1,
            "config retention.ms": "604800000", "config cleanup.policy": "compact" })
    );
    assert_eq!(before(&store, &unit(create)).await, Ok(Before::found()));

    assert_eq!(undo, [json!({ "deleteTopic": topic })]);
    let again = migrate(&store, undo[0].clone()).await;
    assert_eq!(shown(&store, &topic).await, Value::Null);
    assert_eq!(again[0]["createTopic"]["partitions"], 3);
}

#[tokio::test]
async fn many_topics_are_created_at_once_and_only_those_are_undone() {
    let (store, prefix) = (store().await, unique("many"));
    let name = |number: usize| format!("{prefix}.{number}");
    // One of them was there before, made by somebody else.
    migrate(&store, json!({ "createTopic": { "name": name(7), "partitions": 2 } })).await;
    let topics: Vec<Value> =
        (0..120).map(|number| json!({ "name": name(number), "partitions": 2 })).collect();
    let undo = migrate(&store, json!({ "createTopics": topics })).await;
    assert_eq!(undo.len(), 119);
    assert_eq!(undo[0], json!({ "deleteTopic": name(119) }));
    let all = unit(json!({ "createTopics": topics }));
    assert_eq!(before(&store, &all).await.expect("before"), Before::found());
    // A killed run had made some of them.
    for step in &undo[..3] {
        migrate(&store, step.clone()).await;
    }
    let over = Before::replaces(json!({ "absent": [name(0)] }));
    assert!(matches!(store.probe(&all, &over).await, Ok(Probe::NotDone)));
    apply(&store, &all, &over).await.expect("applied again");
    assert!(matches!(store.probe(&all, &over).await, Ok(Probe::Done)));

    // One that is refused is found out before any is made.
    let bad = json!({ "createTopics": [{ "name": name(1000) },
        { "name": name(1001), "configs": { "retention.ms": "soon" } }] });
    let bad = unit(bad);
    let over = before(&store, &bad).await.expect("before");
    let failure = apply(&store, &bad, &over).await.expect_err("refused");
    assert_eq!((failure.why, failure.effect), (Why::Refused, Effect::None));
    let said = failure.source.message;
    assert!(said.contains(&name(1001)) && said.contains("retention.ms"), "{said}");
    assert_eq!(shown(&store, &name(1000)).await, Value::Null);

    let other = json!({ "createTopics": [{ "name": name(7), "partitions": 5 }] });
    let standing = before(&store, &unit(other)).await.expect("before").standing;
    assert!(matches!(standing, Standing::Differs { .. }), "{standing:?}");
    for number in 0..120 {
        migrate(&store, json!({ "deleteTopic": name(number) })).await;
    }
}

#[tokio::test]
async fn what_is_not_said_is_left_to_the_broker() {
    let (store, topic) = (store().await, unique("defaults"));
    migrate(&store, json!({ "createTopic": { "name": topic } })).await;
    let shown = shown(&store, &topic).await;
    assert!(shown["partitions"].as_i64() >= Some(1), "{shown}");
    assert_eq!(shown.as_object().map(|object| object.len()), Some(2), "{shown}");
}

#[tokio::test]
async fn a_topic_that_is_there_and_different_is_shown_from_both_sides() {
    let (store, topic) = (store().await, unique("differs"));
    migrate(&store, json!({ "createTopic": { "name": topic, "partitions": 2 } })).await;
    let wanted = json!({ "createTopic": { "name": topic, "partitions": 3, "replicationFactor": 1,
        "configs": { "compression.type": "lz4" } } });
    let unit = unit(wanted);
    let standing = before(&store, &unit).await.expect("before");
    let wish = "partitions 3, compression.type=lz4";
    let live = "partitions 2, compression.type=producer";
    assert_eq!(standing, Before::differs(wish, live));

    let failure = apply(&store, &unit, &Before::absent()).await.expect_err("exists");
    assert_eq!((failure.why, failure.effect), (Why::Refused, Effect::None));
    assert_eq!(failure.source.code.as_deref(), Some("TOPIC_ALREADY_EXISTS"));
    assert_eq!(failure.source.message, format!("Topic '{topic}' already exists."));
    assert_eq!(failure.source.details, [format!("wanted: {wish}"), format!("live: {live}")]);

    let probed = store.probe(&unit, &Before::absent()).await.expect("probed");
    assert!(matches!(probed, Probe::Unknown(reason) if reason.contains(live)));
}

#[tokio::test]
async fn more_replicas_than_brokers_are_refused_before_anything_is_touched() {
    let (store, topic) = (store().await, unique("replicas"));
    let unit = unit(json!({ "createTopic": { "name": topic, "replicationFactor": "300" } }));
    let error = before(&store, &unit).await.expect_err("refused");
    assert_eq!(error.kind, StoreErrorKind::Refused);
    let message = format!("topic {topic} wants replicationFactor 300, but the cluster has ");
    assert!(error.message.starts_with(&message), "{error}");
    assert!(error.hint.is_some_and(|hint| hint.contains("[placeholders]")));
    assert_eq!(shown(&store, &topic).await, Value::Null);
}

#[tokio::test]
async fn a_bad_config_is_refused_in_the_brokers_words() {
    let (store, topic) = (store().await, unique("bad"));
    let bad = json!({ "name": topic, "configs": { "retention.ms": "abc" } });
    let unit_bad = unit(json!({ "createTopic": bad }));
    let failure = apply(&store, &unit_bad, &Before::absent()).await.expect_err("refused");
    assert_eq!((failure.why, failure.effect), (Why::Refused, Effect::None));
    let words = "Invalid value abc for configuration retention.ms: Not a number of type LONG";
    assert_eq!(failure.source.message, words);
    assert_eq!(failure.source.code.as_deref(), Some("INVALID_CONFIG"));
    assert_eq!(shown(&store, &topic).await, Value::Null);

    migrate(&store, json!({ "createTopic": { "name": topic } })).await;
    for (set, words) in [
        (json!({ "segment.ms": 60000, "retention.ms": "abc" }), words),
        (json!({ "segment.ms": 60000, "no.such": 1 }), "Unknown topic config name: no.such"),
    ] {
        let unit = unit(json!({ "alterConfigs": { "topic": topic, "set": set } }));
        let failure = apply(&store, &unit, &Before::absent()).await.expect_err("refused");
        assert_eq!(failure.source.message, words);
        assert_eq!(failure.effect, Effect::None);
    }
    let untouched = shown(&store, &topic).await;
    assert_eq!(untouched.get("config segment.ms"), None, "{untouched}");
}

#[tokio::test]
async fn altering_leaves_other_configs_alone_and_is_undone_exactly() {
    let (store, topic) = (store().await, unique("altered"));
    let configs = json!({ "cleanup.policy": "compact", "retention.ms": 1000, "segment.ms": 70000 });
    let create = json!({ "name": topic, "partitions": 1, "configs": configs });
    migrate(&store, json!({ "createTopic": create })).await;
    let original = shown(&store, &topic).await;

    let change = json!({ "alterConfigs": { "topic": topic, "unset": ["segment.ms", "flush.ms"],
        "set": { "retention.ms": 2000, "min.cleanable.dirty.ratio": "0.50",
                 "cleanup.policy": "compact, delete", "preallocate": true } } });
    let undo = migrate(&store, change.clone()).await;
    assert_eq!(
        shown(&store, &topic).await,
        json!({ "partitions": 1, "replicationFactor": 1,
            "config cleanup.policy": "compact,delete", "config retention.ms": "2000",
            "config min.cleanable.dirty.ratio": "0.5", "config preallocate": "true" })
    );
    assert_eq!(before(&store, &unit(change)).await, Ok(Before::found()));

    assert_eq!(
        undo,
        [json!({ "alterConfigs": { "topic": topic,
            "set": { "cleanup.policy": "compact", "retention.ms": "1000", "segment.ms": "70000" },
            "unset": ["min.cleanable.dirty.ratio", "preallocate"] } })]
    );
    migrate(&store, undo[0].clone()).await;
    assert_eq!(shown(&store, &topic).await, original);
}

#[tokio::test]
async fn partitions_grow_and_never_shrink() {
    let (store, topic) = (store().await, unique("grown"));
    migrate(&store, json!({ "createTopic": { "name": topic, "partitions": 2 } })).await;
    let to = |count: i32| unit(json!({ "createPartitions": { "topic": topic, "count": count } }));

    let standing = before(&store, &to(6)).await.expect("before");
    assert_eq!(standing, Before::replaces(json!({ "partitions": 2 })));
    assert!(matches!(store.probe(&to(6), &standing).await, Ok(Probe::NotDone)));
    apply(&store, &to(6), &standing).await.expect("grown");
    assert_eq!(shown(&store, &topic).await["partitions"], 6);

    apply(&store, &to(6), &standing).await.expect("safe to repeat");
    assert!(matches!(store.probe(&to(6), &standing).await, Ok(Probe::Done)));
    assert!(matches!(store.probe(&to(4), &standing).await, Ok(Probe::Unknown(_))));
    assert_eq!(before(&store, &to(6)).await, Ok(Before::found()));
    let refused = before(&store, &to(4)).await.expect_err("a decrease");
    assert_eq!(refused.kind, StoreErrorKind::Refused);
    assert!(refused.message.contains("has 6 partitions"), "{refused}");
    assert!(to(6).inverse(&standing).expect_err("none").contains("cannot take partitions away"));
}

#[tokio::test]
async fn changing_a_topic_that_is_not_there_is_refused() {
    let (store, topic) = (store().await, unique("absent"));
    for step in [
        json!({ "alterConfigs": { "topic": topic, "set": { "retention.ms": 1 } } }),
        json!({ "createPartitions": { "topic": topic, "count": 3 } }),
    ] {
        let unit = unit(step);
        let error = before(&store, &unit).await.expect_err("no such topic");
        assert_eq!(error.message, format!("there is no topic {topic}"));
        let failure = apply(&store, &unit, &Before::absent()).await.expect_err("refused");
        assert_eq!(failure.source.code.as_deref(), Some("UNKNOWN_TOPIC_OR_PART"));
    }
    let delete = unit(json!({ "deleteTopic": topic }));
    assert_eq!(before(&store, &delete).await, Ok(Before::found()));
    assert_eq!(store.holds(&delete).await, Ok(Vec::new()));
    apply(&store, &delete, &Before::absent()).await.expect("safe to repeat");
    assert_eq!(shown(&store, &topic).await, Value::Null);
}

#[tokio::test]
async fn a_topic_with_messages_says_how_many_deleting_it_destroys() {
    let (store, topic) = (store().await, unique("held"));
    let create = json!({ "createTopic": { "name": topic, "partitions": 2, "replicationFactor": 1,
        "configs": { "retention.ms": "3600000" } } });
    migrate(&store, create.clone()).await;
    let delete = unit(json!({ "deleteTopic": topic }));
    assert_eq!(store.holds(&delete).await, Ok(Vec::new()));

    produce(&topic, 13);
    let losses = store.holds(&delete).await.expect("figures");
    assert_eq!(losses.len(), 1);
    assert_eq!(losses[0].what, format!("topic {topic} holds 13 messages"));
    assert!(losses[0].known);

    let standing = before(&store, &delete).await.expect("before");
    assert!(matches!(store.probe(&delete, &standing).await, Ok(Probe::NotDone)));
    let undo = migrate(&store, json!({ "deleteTopic": topic })).await;
    assert_eq!(undo, [create]);

    // Another topic of the name must survive a probe of the first one's deletion.
    migrate(&store, undo[0].clone()).await;
    let probed = store.probe(&delete, &standing).await.expect("probed");
    assert!(matches!(probed, Probe::Unknown(reason) if reason.contains("another one")));
}

#[tokio::test]
async fn a_topic_is_probed_by_looking() {
    let (store, topic) = (store().await, unique("probed"));
    let create = unit(json!({ "createTopic": { "name": topic, "partitions": 1 } }));
    assert!(matches!(store.probe(&create, &Before::absent()).await, Ok(Probe::NotDone)));
    apply(&store, &create, &Before::absent()).await.expect("created");
    assert!(matches!(store.probe(&create, &Before::absent()).await, Ok(Probe::Done)));
    apply(&store, &create, &Before::absent()).await.expect("safe to repeat");

    let change = json!({ "alterConfigs": { "topic": topic, "set": { "retention.ms": 5000 } } });
    let alter = unit(change);
    let standing = before(&store, &alter).await.expect("before");
    assert_eq!(standing, Before::replaces(json!({ "set": {}, "unset": ["retention.ms"] })));
    assert!(matches!(store.probe(&alter, &standing).await, Ok(Probe::NotDone)));
    apply(&store, &alter, &standing).await.expect("altered");
    assert!(matches!(store.probe(&alter, &standing).await, Ok(Probe::Done)));
}

#[tokio::test]
async fn a_cancelled_step_does_nothing() {
    let (store, topic) = (store().await, unique("cancelled"));
    let create = unit(json!({ "createTopic": { "name": topic } }));
    let cancel = CancellationToken::new();
    cancel.cancel();
    let failure = apply_until(&store, &create, &Before::absent(), cancel).await;
    let failure = failure.expect_err("cancelled");
    assert_eq!((failure.why, failure.effect), (Why::Cancelled, Effect::None));
    assert_eq!(shown(&store, &topic).await, Value::Null);
}

#[tokio::test]
async fn a_cluster_knows_its_id_and_its_own_topics_stay_out_of_the_shape() {
    let store = store().await;
    let identity = store.identity().await.expect("answered").expect("an id");
    assert!(identity.len() > 10, "{identity}");
    store.expel(&["dead".to_string()]).await.expect("nothing to expel");
    let shape = store.inspect(&Shape::default(), Depth::Full).await.expect("inspected");
    assert!(shape.objects.keys().all(|name| !name.starts_with("topic __")), "{shape:?}");
}

async fn refused(settings: Settings) -> StoreError {
    let begun = Instant::now();
    let error = connect("kafka", &settings).await.err().expect("no connection");
    assert!(begun.elapsed() < Duration::from_secs(7), "{:?}: {error}", begun.elapsed());
    assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
    error
}

fn at(brokers: &str) -> Settings {
    Settings { brokers: brokers.to_string(), ..Settings::default() }
}

#[tokio::test]
async fn no_connection_says_why_and_soon() {
    let error = refused(at("127.0.0.1:1")).await;
    assert_eq!(error.kind, StoreErrorKind::Unreachable);
    assert!(error.message.starts_with("127.0.0.1:1: Connection refused"), "{error}");

    let error = refused(at("nowhere.invalid:9092")).await;
    assert_eq!(error.kind, StoreErrorKind::Unreachable);
    assert!(error.message.contains("Failed to resolve 'nowhere.invalid:9092'"), "{error}");
}

#[tokio::test]
async fn a_peer_that_says_nothing_ends_the_attempt_in_time() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("its address").to_string();
    let settings = Settings { connect_timeout: Some(Duration::from_secs(2)), ..at(&address) };
    let begun = Instant::now();
    let error = refused(settings).await;
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
    assert_eq!(error.kind, StoreErrorKind::Unreachable, "{error:?}");
}

#[tokio::test]
async fn tls_to_a_plain_listener_is_told() {
    let settings = Settings { security_protocol: Some("ssl".to_string()), ..settings() };
    let error = refused(settings).await;
    assert_ne!(error.kind, StoreErrorKind::Refused, "{error:?}");
    assert!(error.message.contains("does not speak TLS"), "{error}");
    assert!(error.hint.is_some_and(|hint| hint.contains("security_protocol")));
}
