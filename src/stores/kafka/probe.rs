//! What stands before a step, what it would lose, and what became of one in doubt; reads only.

use std::collections::BTreeMap;

use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::admin::Admin;
use super::ffi::{Fault, Topic, TopicConfigs};
use super::steps::{
    self, Absent, AlterConfigs, Configs, CreatePartitions, CreateTopic, DeleteTopic, FormerConfigs,
    FormerTopic, MIN_REPLICAS, Step,
};
use crate::store_error::StoreError;
use crate::stores::contract::{Before, Loss, Probe};
use crate::text::document::nearest;

/// What every broker shows once a step is done.
pub(super) enum Goal<'a> {
    /// The topic, each partition with a leader; so many partitions, where the step says.
    Shown { topic: &'a str, partitions: Option<i32> },
    /// The same of many.
    AllShown(&'a [CreateTopic]),
    /// No such topic.
    Gone { topic: &'a str },
    /// The configs as the step wants them.
    Configured(&'a AlterConfigs),
}

impl Step {
    /// What every broker shows once the step is done.
    pub(super) fn goal(&self) -> Goal<'_> {
        match self {
            Step::CreateTopic(CreateTopic { name, partitions, .. }) => {
                Goal::Shown { topic: name, partitions: *partitions }
            }
            Step::CreateTopics(topics) => Goal::AllShown(topics),
            Step::CreatePartitions(CreatePartitions { topic, count }) => {
                Goal::Shown { topic, partitions: Some(*count) }
            }
            Step::AlterConfigs(change) => Goal::Configured(change),
            Step::DeleteTopic(DeleteTopic { topic }) => Goal::Gone { topic },
        }
    }
}

/// How the cluster stands towards `step`.
pub(super) async fn before(admin: &Admin, step: &Step) -> Result<Before, StoreError> {
    match step {
        Step::CreateTopic(wanted) => before_create(admin, wanted).await,
        Step::CreateTopics(wanted) => before_create_all(admin, wanted).await,
        Step::AlterConfigs(change) => before_alter(admin, change).await,
        Step::CreatePartitions(grown) => before_grow(admin, grown).await,
        Step::DeleteTopic(doomed) => before_delete(admin, doomed).await,
    }
}

async fn before_create(admin: &Admin, wanted: &CreateTopic) -> Result<Before, StoreError> {
    match live(admin, &wanted.name).await? {
        None => {
            enough_brokers(admin, wanted).await?;
            Ok(Before::absent())
        }
        Some((topic, configs)) => {
            expect_ours(&wanted.name, &topic)?;
            Ok(match difference(wanted, &topic, &configs) {
                None => Before::found(),
                Some((wanted, live)) => Before::differs(wanted, live),
            })
        }
    }
}

/// Refuses what the brokers call their own.
fn expect_ours(name: &str, topic: &Topic) -> Result<(), StoreError> {
    match topic.is_internal {
        false => Ok(()),
        true => Err(StoreError::refused(format!(
            "{name} is an internal topic of Kafka, which no migration may touch"
        ))
        .hint("take the step out: the brokers look after it themselves")),
    }
}

async fn before_create_all(admin: &Admin, wanted: &[CreateTopic]) -> Result<Before, StoreError> {
    let Standings { absent, differing } = standings(admin, wanted).await?;
    if let Some((topic, wish, live)) = differing.into_iter().next() {
        return Ok(Before::differs(format!("{topic}: {wish}"), format!("{topic}: {live}")));
    }
    let greediest = wanted.iter().max_by_key(|topic| topic.replication_factor);
    if let (Some(topic), false) = (greediest, absent.is_empty()) {
        enough_brokers(admin, topic).await?;
    }
    Ok(match absent.is_empty() {
        true => Before::found(),
        false => Before::replaces(json!(Absent { absent })),
    })
}

/// How the cluster stands towards topics.
struct Standings {
    /// Those that are not there, in their order.
    absent: Vec<String>,
    /// Those that are there and different: name, what is wanted, what is live.
    differing: Vec<(String, String, String)>,
}

async fn standings(admin: &Admin, wanted: &[CreateTopic]) -> Result<Standings, StoreError> {
    let names = admin.names().await.map_err(|fault| admin.error(fault))?;
    let (there, absent): (Vec<_>, Vec<_>) =
        wanted.iter().partition(|topic| names.contains(&topic.name));
    let absent = absent.into_iter().map(|topic| topic.name.clone()).collect();
    let mut differing = Vec::new();
    for topic in there {
        // Gone since: the broker will tell.
        let Some((live, configs)) = live(admin, &topic.name).await? else { continue };
        expect_ours(&topic.name, &live)?;
        if let Some((wish, live)) = difference(topic, &live, &configs) {
            differing.push((topic.name.clone(), wish, live));
        }
    }
    Ok(Standings { absent, differing })
}

/// Refuses what the brokers would refuse, before anything is claimed, and says which way out.
async fn enough_brokers(admin: &Admin, wanted: &CreateTopic) -> Result<(), StoreError> {
    let Some(factor) = wanted.replication_factor else { return Ok(()) };
    let cluster = admin.cluster(&CancellationToken::new()).await;
    let brokers = cluster.map_err(|fault| admin.error(fault))?.brokers.len();
    if usize::try_from(factor).is_ok_and(|factor| factor <= brokers) {
        return Ok(());
    }
    let message = format!(
        "topic {} wants replicationFactor {factor}, but the cluster has {}",
        wanted.name,
        counted(brokers, "broker")
    );
    Err(StoreError::refused(message).hint(
        "make replicationFactor a placeholder, such as \"${kafka_replication_factor}\", and set \
         it for this cluster in [placeholders] or in its [profile]",
    ))
}

async fn before_alter(admin: &Admin, change: &AlterConfigs) -> Result<Before, StoreError> {
    let (topic, configs) =
        live(admin, &change.topic).await?.ok_or_else(|| missing(&change.topic))?;
    expect_ours(&change.topic, &topic)?;
    expect_known(change, &configs)?;
    let former = replaced(change, &configs);
    match former == FormerConfigs::default() {
        true => Ok(Before::found()),
        false => Ok(Before::replaces(json!(former))),
    }
}

/// A broker takes it for done when a config is unset that it does not know.
fn expect_known(change: &AlterConfigs, live: &TopicConfigs) -> Result<(), StoreError> {
    let unknown = |key: &&String| !live.known.contains(*key) && !live.own.contains_key(*key);
    let Some(key) = change.unset.iter().find(unknown) else { return Ok(()) };
    let error = StoreError::refused(format!("Unknown topic config name: {key}"))
        .detail("it stands in `unset` of alterConfigs, and the broker would say nothing of it");
    Err(match nearest(key, live.known.iter().map(String::as_str)) {
        Some(near) => error.hint(format!("did you mean `{near}`?")),
        None => {
            error.hint("kafka-configs --describe --all lists the configs that a topic can have")
        }
    })
}

/// The own configs of the topic that `change` changes; what is as wanted already stays out.
fn replaced(change: &AlterConfigs, live: &TopicConfigs) -> FormerConfigs {
    let mut former = FormerConfigs::default();
    for (key, wanted) in &change.set {
        match live.own.get(key) {
            Some(value) if same(value, wanted) => {}
            Some(value) => {
                former.set.insert(key.clone(), value.clone());
            }
            None => {
                former.unset.insert(key.clone());
            }
        }
    }
    for key in &change.unset {
        if let Some(value) = live.own.get(key) {
            former.set.insert(key.clone(), value.clone());
        }
    }
    former
}

async fn before_grow(admin: &Admin, grown: &CreatePartitions) -> Result<Before, StoreError> {
    let topic = topic(admin, &grown.topic).await?.ok_or_else(|| missing(&grown.topic))?;
    expect_ours(&grown.topic, &topic)?;
    match topic.partitions.cmp(&grown.count) {
        std::cmp::Ordering::Less => Ok(Before::replaces(json!({ "partitions": topic.partitions }))),
        std::cmp::Ordering::Equal => Ok(Before::found()),
        std::cmp::Ordering::Greater => Err(decrease(grown, topic.partitions)),
    }
}

fn decrease(grown: &CreatePartitions, live: i32) -> StoreError {
    StoreError::refused(format!(
        "topic {} has {live} partitions; Kafka cannot take partitions away to leave {}",
        grown.topic, grown.count
    ))
    .hint("write a count above the present one, or create a new topic and copy the messages")
}

async fn before_delete(admin: &Admin, doomed: &DeleteTopic) -> Result<Before, StoreError> {
    let Some((topic, configs)) = live(admin, &doomed.topic).await? else {
        return Ok(Before::found());
    };
    expect_ours(&doomed.topic, &topic)?;
    Ok(Before::replaces(json!(FormerTopic {
        partitions: topic.partitions,
        replication_factor: topic.replication_factor,
        configs: configs.own,
        id: topic.id,
    })))
}

/// The messages that `step` destroys, or has the brokers destroy.
pub(super) async fn holds(admin: &Admin, step: &Step) -> Result<Vec<Loss>, StoreError> {
    match step {
        Step::DeleteTopic(DeleteTopic { topic: name }) => {
            let Some(topic) = topic(admin, name).await? else { return Ok(Vec::new()) };
            let counted = admin.messages(name, topic.partitions).await;
            Ok(loss(admin, &format!("topic {name} holds"), "", counted).into_iter().collect())
        }
        Step::AlterConfigs(change) => expiring(admin, change).await,
        Step::CreateTopic(_) | Step::CreateTopics(_) | Step::CreatePartitions(_) => Ok(Vec::new()),
    }
}

/// So many messages, unless there are none; unknown counts as loss.
fn loss(admin: &Admin, what: &str, then: &str, counted: Result<i64, Fault>) -> Option<Loss> {
    match counted {
        Ok(0) => None,
        Ok(messages) => {
            let messages = usize::try_from(messages).unwrap_or_default();
            let what = format!("{what} {}{then}", self::counted(messages, "message"));
            Some(Loss { what, known: true })
        }
        Err(fault) => {
            let why = admin.error(fault).message;
            let what = format!("{what} an unknown number of messages ({why}){then}");
            Some(Loss { what, known: false })
        }
    }
}

/// What the brokers delete once a topic has the configs of `change`, and keep as it is now.
async fn expiring(admin: &Admin, change: &AlterConfigs) -> Result<Vec<Loss>, StoreError> {
    let Some((topic, mut live)) = live(admin, &change.topic).await? else { return Ok(Vec::new()) };
    let (name, partitions) = (&change.topic, topic.partitions);
    let held = format!("topic {name} holds");
    let mut losses = Vec::new();
    // How many of its messages are lost is not known.
    let some_of_all = async |then: String| {
        let all = loss(admin, &held, &then, admin.messages(name, partitions).await);
        all.map(|loss| Loss { known: false, ..loss })
    };
    for key in unknown_after(change, &mut live, admin).await {
        let then = format!(", and the brokers do not tell what {key} is by default");
        losses.extend(some_of_all(then).await);
    }
    let (now, then) = (Keeping::of(&live.effective), Keeping::of(&after(change, &live)));
    let Some(shorter) = now.shortened_to(&then) else { return Ok(losses) };
    if let Some(age) = shorter.age {
        let since = crate::clock::now().timestamp_millis().saturating_sub(age);
        let older = admin.messages_before(name, partitions, since).await;
        losses.extend(loss(admin, &held, &format!(" older than {age} ms (retention.ms)"), older));
    }
    let others = [
        (shorter.size, "deleted from the oldest on above the new retention.bytes"),
        (shorter.is_compacted, "compacted to the last one of each key"),
    ];
    for (_, how) in others.into_iter().filter(|(is_so, _)| *is_so) {
        losses.extend(some_of_all(format!(", which are {how}")).await);
    }
    Ok(losses)
}

/// Finds out the defaults that `change` goes back to; those that nobody tells are given back.
async fn unknown_after(
    change: &AlterConfigs,
    live: &mut TopicConfigs,
    admin: &Admin,
) -> Vec<&'static str> {
    let mut unknown = Vec::new();
    for key in KEEPING.into_iter().filter(|key| change.unset.contains(*key)) {
        if live.defaults.contains_key(key) || !live.own.contains_key(key) {
            continue;
        }
        match default_elsewhere(admin, key).await {
            Some(default) => drop(live.defaults.insert(key.to_string(), default)),
            None => unknown.push(key),
        }
    }
    unknown
}

/// A broker does not tell of a topic with a `retention.ms` of its own what that is by default: the default is
/// in force at any topic that has none.
async fn default_elsewhere(admin: &Admin, key: &str) -> Option<String> {
    let names = admin.names().await.ok()?;
    let all = admin.all_configs(names.into_iter().collect()).await.ok()?;
    let mut plain = all.into_iter().filter_map(|(_, configs)| configs.ok());
    let plain = plain.find(|configs| !configs.own.contains_key(key))?;
    plain.effective.get(key).cloned()
}

/// The configs in force once `change` is made.
fn after(change: &AlterConfigs, live: &TopicConfigs) -> Configs {
    let mut after = live.effective.clone();
    after.extend(change.set.iter().map(|(key, value)| (key.clone(), value.clone())));
    for key in &change.unset {
        match live.defaults.get(key) {
            Some(default) => drop(after.insert(key.clone(), default.clone())),
            None => drop(after.remove(key)),
        }
    }
    after
}

/// The configs that say how long a topic keeps its messages.
const KEEPING: [&str; 3] = ["cleanup.policy", "retention.ms", "retention.bytes"];

/// How long a topic keeps its messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Keeping {
    /// Whether old ones are deleted.
    is_deleted: bool,
    /// Whether of each key only the last one stays.
    is_compacted: bool,
    /// For so many milliseconds; `None`: for ever.
    age: Option<i64>,
    /// Up to so many bytes of a partition; `None`: whatever their size.
    size: Option<i64>,
}

/// By what a topic keeps less than before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Shortened {
    age: Option<i64>,
    size: bool,
    is_compacted: bool,
}

impl Keeping {
    fn of(configs: &Configs) -> Keeping {
        let policy = configs.get("cleanup.policy").map_or("delete", String::as_str);
        let has = |word: &str| policy.split(',').any(|one| one.trim().eq_ignore_ascii_case(word));
        let limit = |key: &str| {
            let limit = configs.get(key).and_then(|value| value.trim().parse::<i64>().ok());
            limit.filter(|limit| *limit >= 0)
        };
        let (age, size) = (limit("retention.ms"), limit("retention.bytes"));
        Keeping { is_deleted: has("delete"), is_compacted: has("compact"), age, size }
    }

    fn shortened_to(&self, then: &Keeping) -> Option<Shortened> {
        let less = |now: Option<i64>, then: Option<i64>| match (now, then) {
            (_, None) => false,
            (None, Some(_)) => true,
            (Some(now), Some(then)) => then < now,
        };
        let is_new = then.is_deleted && !self.is_deleted;
        let shorter = |now, then_limit: Option<i64>| {
            then.is_deleted && (less(now, then_limit) || is_new && then_limit.is_some())
        };
        let shortened = Shortened {
            age: then.age.filter(|_| shorter(self.age, then.age)),
            size: shorter(self.size, then.size),
            is_compacted: then.is_compacted && !self.is_compacted,
        };
        (shortened != Shortened::default()).then_some(shortened)
    }
}

/// The topics of `step` that no producer which waits for all replicas can write to, in words.
pub(super) async fn starved(admin: &Admin, step: &Step) -> Result<Vec<String>, StoreError> {
    let names: Vec<&str> = match step {
        Step::CreateTopic(topic) => vec![&topic.name],
        Step::CreateTopics(topics) => topics.iter().map(|topic| topic.name.as_str()).collect(),
        Step::AlterConfigs(change)
            if change.set.contains_key(MIN_REPLICAS) || change.unset.contains(MIN_REPLICAS) =>
        {
            vec![&change.topic]
        }
        Step::AlterConfigs(_) | Step::CreatePartitions(_) | Step::DeleteTopic(_) => {
            return Ok(Vec::new());
        }
    };
    let names: Vec<String> = names.into_iter().map(str::to_string).collect();
    let asked = CancellationToken::new();
    let (topics, configs) = futures_util::future::try_join(
        admin.topics(names.clone(), None, &asked),
        admin.all_configs(names),
    )
    .await
    .map_err(|fault| admin.error(fault))?;
    let replicas: BTreeMap<String, i32> = topics
        .into_iter()
        .filter_map(|(name, topic)| Some((name, topic?.replication_factor)))
        .collect();
    let starved = configs.into_iter().filter_map(|(name, configs)| {
        let configs = configs.ok()?;
        steps::starving(&name, configs.effective.get(MIN_REPLICAS)?, *replicas.get(&name)?)
    });
    Ok(starved.collect())
}

fn counted(number: usize, what: &str) -> String {
    match number {
        1 => format!("1 {what}"),
        _ => format!("{number} {what}s"),
    }
}

/// What became of `step`, claimed over `before` by a run that died.
pub(super) async fn probe(
    admin: &Admin,
    step: &Step,
    before: &Before,
) -> Result<Probe, StoreError> {
    let lacking = lacking(admin, &step.goal(), &CancellationToken::new()).await;
    let lacking = lacking.map_err(|fault| admin.error(fault))?;
    match step {
        Step::CreateTopic(wanted) => probe_create(admin, wanted, lacking).await,
        Step::CreateTopics(wanted) => probe_create_all(admin, wanted, lacking).await,
        Step::CreatePartitions(grown) => probe_grow(admin, grown, lacking).await,
        Step::DeleteTopic(doomed) => probe_delete(admin, doomed, before, lacking).await,
        // Set again, a config is what it was, so a change half shown is made again.
        Step::AlterConfigs(_) => Ok(done_or_not(lacking)),
    }
}

fn done_or_not(lacking: Option<String>) -> Probe {
    match lacking {
        None => Probe::Done,
        Some(_) => Probe::NotDone,
    }
}

async fn probe_create(
    admin: &Admin,
    wanted: &CreateTopic,
    lacking: Option<String>,
) -> Result<Probe, StoreError> {
    let Some((topic, configs)) = live(admin, &wanted.name).await? else {
        return Ok(Probe::NotDone);
    };
    Ok(match difference(wanted, &topic, &configs) {
        None => done_or_not(lacking),
        Some((wish, live)) => Probe::Unknown(format!(
            "topic {} was absent when the step began and is there now with {live}, where the step \
             wants {wish}",
            wanted.name
        )),
    })
}

async fn probe_create_all(
    admin: &Admin,
    wanted: &[CreateTopic],
    lacking: Option<String>,
) -> Result<Probe, StoreError> {
    let Standings { absent, differing } = standings(admin, wanted).await?;
    Ok(match differing.into_iter().next() {
        None if absent.is_empty() => done_or_not(lacking),
        None => Probe::NotDone,
        Some((topic, wish, live)) => Probe::Unknown(format!(
            "topic {topic} is there now with {live}, where the step wants {wish}"
        )),
    })
}

async fn probe_grow(
    admin: &Admin,
    grown: &CreatePartitions,
    lacking: Option<String>,
) -> Result<Probe, StoreError> {
    Ok(match topic(admin, &grown.topic).await? {
        Some(topic) if topic.partitions > grown.count => Probe::Unknown(format!(
            "topic {} has {} partitions, more than the {} of the step",
            grown.topic, topic.partitions, grown.count
        )),
        Some(_) | None => done_or_not(lacking),
    })
}

async fn probe_delete(
    admin: &Admin,
    doomed: &DeleteTopic,
    before: &Before,
    lacking: Option<String>,
) -> Result<Probe, StoreError> {
    let claimed = before.value.get("id").and_then(|id| id.as_str()).unwrap_or_default();
    Ok(match topic(admin, &doomed.topic).await? {
        // Deleting again would destroy what somebody else made since.
        Some(topic) if !claimed.is_empty() && topic.id != claimed => Probe::Unknown(format!(
            "topic {} was deleted and another one of that name has been created since",
            doomed.topic
        )),
        Some(_) => Probe::NotDone,
        None => done_or_not(lacking),
    })
}

/// What the first broker that has not reached `goal` shows instead; `None` once all have.
pub(super) async fn lacking(
    admin: &Admin,
    goal: &Goal<'_>,
    cancel: &CancellationToken,
) -> Result<Option<String>, Fault> {
    for broker in admin.cluster(cancel).await?.brokers {
        match lacking_at(admin, goal, broker, cancel).await {
            Ok(None) => {}
            Ok(Some(lacking)) => return Ok(Some(format!("broker {broker} {lacking}"))),
            Err(fault) => return Err(fault.of(&format!("broker {broker}"))),
        }
    }
    Ok(None)
}

async fn lacking_at(
    admin: &Admin,
    goal: &Goal<'_>,
    broker: i32,
    cancel: &CancellationToken,
) -> Result<Option<String>, Fault> {
    Ok(match goal {
        Goal::Shown { topic, partitions } => {
            not_shown(admin.topic(topic, Some(broker), cancel).await?, *partitions)
        }
        Goal::AllShown(wanted) => {
            let names = wanted.iter().map(|topic| topic.name.clone()).collect();
            let mut shown: BTreeMap<_, _> =
                admin.topics(names, Some(broker), cancel).await?.into_iter().collect();
            wanted.iter().find_map(|wanted| {
                let topic = shown.remove(&wanted.name).flatten();
                Some(format!("{} ({})", not_shown(topic, wanted.partitions)?, wanted.name))
            })
        }
        Goal::Gone { topic } => {
            let shown = admin.topic(topic, Some(broker), cancel).await?;
            shown.map(|_| "still shows the topic".to_string())
        }
        Goal::Configured(change) => {
            let configs = admin.configs(&change.topic, Some(broker), cancel).await?;
            not_configured(change, configs.as_ref())
        }
    })
}

fn not_shown(topic: Option<Topic>, partitions: Option<i32>) -> Option<String> {
    let Some(topic) = topic else {
        return Some("does not show the topic yet".to_string());
    };
    let wanted = partitions.unwrap_or(topic.partitions.max(1));
    if topic.partitions != wanted {
        return Some(format!("shows {} partitions of {wanted}", topic.partitions));
    }
    (topic.leaderless > 0)
        .then(|| format!("shows {} of {wanted} partitions without a leader", topic.leaderless))
}

fn not_configured(change: &AlterConfigs, live: Option<&TopicConfigs>) -> Option<String> {
    let Some(live) = live else { return Some("does not show the topic".to_string()) };
    let FormerConfigs { set, unset } = replaced(change, live);
    let keys: Vec<String> = set.into_keys().chain(unset).collect();
    (!keys.is_empty()).then(|| format!("still shows the old {}", keys.join(", ")))
}

async fn topic(admin: &Admin, name: &str) -> Result<Option<Topic>, StoreError> {
    let shown = admin.topic(name, None, &CancellationToken::new()).await;
    shown.map_err(|fault| admin.error(fault))
}

/// A topic with its configs, as one broker shows them.
pub(super) async fn live(
    admin: &Admin,
    name: &str,
) -> Result<Option<(Topic, TopicConfigs)>, StoreError> {
    let Some(topic) = topic(admin, name).await? else { return Ok(None) };
    let configs = admin.configs(name, None, &CancellationToken::new()).await;
    let configs = configs.map_err(|fault| admin.error(fault))?;
    Ok(configs.map(|configs| (topic, configs)))
}

fn missing(topic: &str) -> StoreError {
    StoreError::refused(format!("there is no topic {topic}"))
        .hint("create it in an earlier step, or name its migration in `requires`")
}

/// Where a live topic is not as `wanted`: what is wanted and what is live, of the differing
/// attributes. Only what the step names counts; a config may be in force by the broker's default.
pub(super) fn difference(
    wanted: &CreateTopic,
    topic: &Topic,
    configs: &TopicConfigs,
) -> Option<(String, String)> {
    let mut differing: Vec<(String, String)> = Vec::new();
    let numbers = [
        ("partitions", wanted.partitions, topic.partitions),
        ("replicationFactor", wanted.replication_factor, topic.replication_factor),
    ];
    for (name, wish, live) in numbers {
        if let Some(wish) = wish.filter(|wish| *wish != live) {
            differing.push((format!("{name} {wish}"), format!("{name} {live}")));
        }
    }
    for (key, wish) in &wanted.configs {
        let live = configs.effective.get(key).map_or("unset", String::as_str);
        if !same(live, wish) {
            differing.push((format!("{key}={wish}"), format!("{key}={live}")));
        }
    }
    let (wish, live): (Vec<_>, Vec<_>) = differing.into_iter().unzip();
    (!wish.is_empty()).then(|| (wish.join(", "), live.join(", ")))
}

/// Whether two texts are one value to Kafka, which gives back what it has parsed: `0.50` comes
/// back as `0.5`, `TRUE` as `true`, `compact, delete` as `compact,delete`.
fn same(one: &str, other: &str) -> bool {
    let plain =
        |text: &str| -> String { text.split(',').map(str::trim).collect::<Vec<_>>().join(",") };
    let (one, other) = (plain(one), plain(other));
    let boolean = |text: &str| text.to_ascii_lowercase().parse::<bool>().ok();
    one == other
        || one.parse::<i64>().is_ok_and(|one| other.parse() == Ok(one))
        || (one.contains('.') || other.contains('.'))
            && one.parse::<f64>().is_ok_and(|one| other.parse() == Ok(one))
        || boolean(&one).is_some_and(|one| boolean(&other) == Some(one))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::Node;

    fn step(text: &str) -> Step {
        Step::parse(&Node::parse(text).expect("JSON5")).expect("a step")
    }

    fn configs(own: &[(&str, &str)]) -> TopicConfigs {
        let own: Configs = own.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
        let mut effective = own.clone();
        effective.entry("compression.type".to_string()).or_insert("producer".to_string());
        let known = ["retention.ms", "d", "e"].into_iter().map(str::to_string).collect();
        TopicConfigs { own, defaults: Configs::new(), known, effective }
    }

    fn topic(partitions: i32) -> Topic {
        Topic {
            id: "x".to_string(),
            is_internal: false,
            partitions,
            leaderless: 0,
            replication_factor: 1,
        }
    }

    #[test]
    fn values_are_compared_as_kafka_parses_them() {
        for (one, other) in [
            ("604800000", "604800000"),
            ("0.50", "0.5"),
            ("1", "1.0"),
            ("TRUE", "true"),
            ("compact, delete", "compact,delete"),
            (" 5", "5"),
            ("05", "5"),
        ] {
            assert!(same(one, other) && same(other, one), "{one} {other}");
        }
        let big = ["9007199254740993", "9007199254740992"];
        for [one, other] in [["5", "6"], ["lz4", "zstd"], ["compact", "compact,delete"], big] {
            assert!(!same(one, other), "{one} {other}");
        }
    }

    #[test]
    fn only_what_the_step_names_can_differ() {
        let difference = |text: &str, live: i32, own: &[(&str, &str)]| {
            let Step::CreateTopic(wanted) = step(text) else { panic!("createTopic") };
            difference(&wanted, &topic(live), &configs(own))
        };
        let plain = "{ createTopic: { name: 't' } }";
        assert_eq!(difference(plain, 7, &[("retention.ms", "5")]), None);
        let named = "{ createTopic: { name: 't', partitions: 3, replicationFactor: 1, configs: \
                     { 'compression.type': 'producer', 'retention.ms': 5 } } }";
        assert_eq!(difference(named, 3, &[("retention.ms", "5")]), None);
        let (wanted, live) = difference(named, 6, &[]).expect("differs");
        assert_eq!(wanted, "partitions 3, retention.ms=5");
        assert_eq!(live, "partitions 6, retention.ms=unset");
    }

    #[test]
    fn only_keys_that_change_are_kept_for_the_inverse() {
        let text = "{ alterConfigs: { topic: 't', set: { a: 1, b: 2, c: 3 }, unset: ['d', 'e'] } }";
        let Step::AlterConfigs(change) = step(text) else { panic!("alterConfigs") };
        let former = replaced(&change, &configs(&[("a", "1"), ("b", "9"), ("d", "8"), ("z", "7")]));
        assert_eq!(json!(former), json!({ "set": { "b": "9", "d": "8" }, "unset": ["c"] }));
    }

    #[test]
    fn a_topic_is_shown_when_it_has_its_partitions_and_they_have_leaders() {
        assert_eq!(not_shown(Some(topic(3)), Some(3)), None);
        assert_eq!(not_shown(Some(topic(3)), None), None);
        assert!(not_shown(Some(topic(0)), None).is_some());
        assert!(not_shown(None, None).is_some());
        assert!(
            not_shown(Some(topic(3)), Some(6))
                .is_some_and(|text| text.contains("3 partitions of 6"))
        );
        let headless = Topic { leaderless: 2, ..topic(3) };
        assert!(not_shown(Some(headless), Some(3)).is_some_and(|text| text.contains("2 of 3")));
    }
}
