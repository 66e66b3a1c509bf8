//! Applies a step: one admin request, then a wait until every broker shows its effect.

use std::time::{Duration, Instant};

use rdkafka::types::RDKafkaErrorCode as Code;
use tokio_util::sync::CancellationToken;

use super::admin::Admin;
use super::ffi::{Fault, Refused};
use super::probe::{Goal, difference, lacking, live, starved};
use super::steps::{CreateTopic, Step};
use crate::failpoint::effect;
use crate::store_error::{StoreError, StoreErrorKind};
use crate::stores::contract::{Done, Effect, Failure, Why};

/// The first pause between two looks at the brokers; each one after is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// How many topics one request creates: a controller takes 10,000 records at once, and a topic is one for
/// itself and one for each of its partitions and configs.
const TOGETHER: usize = 100;

/// Does `step`; safe to repeat.
pub(super) async fn apply(
    admin: &Admin,
    step: &Step,
    cancel: &CancellationToken,
) -> Result<Done, Failure> {
    if cancel.is_cancelled() {
        return Err(cancelled(Effect::None, "cancelled before it began"));
    }
    match step {
        Step::CreateTopics(topics) => create_all(admin, topics, cancel).await?,
        Step::CreateTopic(_)
        | Step::AlterConfigs(_)
        | Step::CreatePartitions(_)
        | Step::DeleteTopic(_) => {
            let asked = effect!("kafka_request", request(admin, step, cancel));
            if let Err(fault) = asked {
                done_before(admin, step, fault).await?;
            }
        }
    }
    everywhere(admin, &step.goal(), cancel).await?;
    // The step is done: whatever cannot be looked at now takes nothing from that.
    let warnings = starved(admin, step).await.unwrap_or_default();
    Ok(Done { warnings, ..Done::default() })
}

async fn request(admin: &Admin, step: &Step, cancel: &CancellationToken) -> Result<(), Fault> {
    match step {
        Step::CreateTopic(topic) => admin.create_topic(topic, cancel).await,
        Step::CreateTopics(_) => Ok(()),
        Step::AlterConfigs(change) => admin.alter_configs(change, cancel).await,
        Step::CreatePartitions(grown) => admin.create_partitions(grown, cancel).await,
        Step::DeleteTopic(doomed) => admin.delete_topic(&doomed.topic, cancel).await,
    }
}

/// Creates topics, so many to a request; what the cluster would refuse, it is asked about before the first
/// of them is made. Those that are there as wanted are of an earlier try.
async fn create_all(
    admin: &Admin,
    topics: &[CreateTopic],
    cancel: &CancellationToken,
) -> Result<(), Failure> {
    for some in topics.chunks(TOGETHER) {
        let refused = admin.create_topics(some, true, cancel).await;
        let refused = refused.map_err(|fault| untouched(admin, fault))?;
        as_wanted(admin, some, refused).await?;
    }
    for some in topics.chunks(TOGETHER) {
        let asked = effect!("kafka_request", admin.create_topics(some, false, cancel));
        let made = match asked {
            Ok(refused) => as_wanted(admin, some, refused).await,
            Err(fault) => Err(failure(admin, fault)),
        };
        // What one request did not do, those before it did, and this one in part.
        made.map_err(|failure| Failure { effect: Effect::Unknown, ..failure })?;
    }
    Ok(())
}

/// A request that was to change nothing and did not succeed.
fn untouched(admin: &Admin, fault: Fault) -> Failure {
    Failure { effect: Effect::None, ..failure(admin, fault) }
}

/// Whether all that was refused is there as wanted.
async fn as_wanted(
    admin: &Admin,
    topics: &[CreateTopic],
    refused: Vec<Refused>,
) -> Result<(), Failure> {
    for (name, said) in refused {
        let fault = Fault::Said(said).for_want_of("Create", &name).of(&format!("topic {name}"));
        match topics.iter().find(|topic| topic.name == name) {
            Some(topic) => {
                done_before(admin, &Step::CreateTopic(topic.clone()), fault).await?;
            }
            None => return Err(failure(admin, fault)),
        }
    }
    Ok(())
}

/// Whether a refusal means that the step is done: by an earlier try whose answer was lost.
async fn done_before(admin: &Admin, step: &Step, fault: Fault) -> Result<(), Failure> {
    match (step, fault.code()) {
        (Step::CreateTopic(wanted), Some(Code::TopicAlreadyExists)) => {
            let Some((topic, configs)) = live(admin, &wanted.name).await? else {
                return Err(failure(admin, fault));
            };
            match difference(wanted, &topic, &configs) {
                None => Ok(()),
                Some((wanted, live)) => Err(Failure::from(
                    admin
                        .error(fault)
                        .detail(format!("wanted: {wanted}"))
                        .detail(format!("live: {live}")),
                )),
            }
        }
        (Step::CreatePartitions(grown), Some(Code::InvalidPartitions)) => {
            match live(admin, &grown.topic).await? {
                Some((topic, _)) if topic.partitions == grown.count => Ok(()),
                Some(_) | None => Err(failure(admin, fault)),
            }
        }
        (Step::DeleteTopic(_), Some(Code::UnknownTopicOrPartition)) => Ok(()),
        (
            Step::CreateTopic(_)
            | Step::CreateTopics(_)
            | Step::AlterConfigs(_)
            | Step::CreatePartitions(_)
            | Step::DeleteTopic(_),
            _,
        ) => Err(failure(admin, fault)),
    }
}

/// A request that did not succeed.
fn failure(admin: &Admin, fault: Fault) -> Failure {
    match fault.code() {
        None => cancelled(Effect::Unknown, "cancelled while Kafka was at it"),
        // Turned away before anything was done.
        Some(Code::NotController | Code::ThrottlingQuotaExceeded) => {
            Failure { why: Why::Retry, effect: Effect::None, at: None, source: admin.error(fault) }
        }
        Some(_) => Failure::from(admin.error(fault)),
    }
}

fn cancelled(effect: Effect, message: &str) -> Failure {
    Failure { why: Why::Cancelled, effect, at: None, source: StoreError::refused(message) }
}

/// Waits until every broker has reached `goal`: an answer to the request is one broker's word.
async fn everywhere(
    admin: &Admin,
    goal: &Goal<'_>,
    cancel: &CancellationToken,
) -> Result<(), Failure> {
    let deadline = Instant::now() + admin.patience;
    let mut pause = FIRST_PAUSE;
    loop {
        let missing = match lacking(admin, goal, cancel).await {
            Ok(None) => return Ok(()),
            Ok(Some(lacking)) => StoreError::unreachable(lacking),
            Err(Fault::Cancelled) => return Err(not_awaited()),
            Err(fault) => admin.error(fault),
        };
        let refused = missing.kind != StoreErrorKind::Unreachable;
        if refused || Instant::now() + pause >= deadline {
            return Err(not_shown(admin, goal, missing));
        }
        if cancel.run_until_cancelled(tokio::time::sleep(pause)).await.is_none() {
            return Err(not_awaited());
        }
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

fn not_awaited() -> Failure {
    cancelled(Effect::Unknown, "cancelled while waiting for every broker to show it")
}

/// Kafka took the request, but it did not become visible everywhere.
fn not_shown(admin: &Admin, goal: &Goal<'_>, missing: StoreError) -> Failure {
    let hint = match goal {
        Goal::Shown { .. } | Goal::AllShown(_) | Goal::Configured(_) => {
            "Kafka has accepted the change; see that all brokers are up and can be reached from \
             here, then run again"
        }
        Goal::Gone { .. } => {
            "Kafka has accepted the deletion; where brokers have auto.create.topics.enable, a \
             client that still uses the topic makes it again: stop it, then run again"
        }
    };
    let waited = format!("waited {:?} for every broker to show it", admin.patience);
    let source = missing.detail(waited).hint(hint);
    Failure { why: Why::Unreachable, effect: Effect::Unknown, at: None, source }
}
