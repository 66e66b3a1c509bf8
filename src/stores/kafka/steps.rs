//! The steps of a Kafka migration: JSON5 nodes to a closed enum, its labels and inverses; pure.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::stores::contract::Operation;
use crate::text::document::{Fields, plain_number, unknown_key};
use crate::text::{DocumentKey, Node, NodeKind, ScriptError};

const OPERATIONS: [&str; 5] =
    ["createTopic", "createTopics", "alterConfigs", "createPartitions", "deleteTopic"];

/// Topics of Kafka and of its companions, which no migration may touch. Brokers call their own ones internal
/// once they are there; that of the schema registry is a topic like any other to them.
pub(super) const RESERVED: [&str; 6] = [
    "__consumer_offsets",
    "__transaction_state",
    "__share_group_state",
    "__cluster_metadata",
    "__remote_log_metadata",
    "_schemas",
];

/// What Kafka's admin API can do and no step does: a part of the name that somebody may try, and the answer.
const ELSEWHERE: [(&str, &str, &str); 11] = [
    (
        "acl",
        "ACLs are not managed by migrations",
        "grant them with kafka-acls; those that a migrator needs are in docs/security.md",
    ),
    (
        "quota",
        "quotas are not managed by migrations",
        "set them with kafka-configs --alter --entity-type users (or clients)",
    ),
    (
        "scram",
        "users are not managed by migrations",
        "make them with kafka-configs --alter --entity-type users",
    ),
    (
        "user",
        "users are not managed by migrations",
        "make them with kafka-configs --alter --entity-type users",
    ),
    (
        "broker",
        "configs of brokers are not managed by migrations",
        "set them with kafka-configs --alter --entity-type brokers, or in the brokers' own configuration",
    ),
    (
        "cluster",
        "configs of the cluster are not managed by migrations",
        "set them with kafka-configs --alter --entity-type brokers --entity-default",
    ),
    (
        "reassign",
        "partitions are not moved by migrations",
        "start a reassignment with kafka-reassign-partitions",
    ),
    ("elect", "leaders are not elected by migrations", "elect them with kafka-leader-election"),
    (
        "record",
        "messages are not deleted by migrations",
        "use kafka-delete-records, or set `retention.ms` of the topic by alterConfigs",
    ),
    ("group", "consumer groups are not managed by migrations", "use kafka-consumer-groups"),
    ("offset", "consumer groups are not managed by migrations", "use kafka-consumer-groups"),
];

/// The longest name that a broker accepts for a topic.
const LONGEST_NAME: usize = 249;

/// How many replicas have to have a message before a producer that waits for all of them is answered.
pub(super) const MIN_REPLICAS: &str = "min.insync.replicas";

/// Topic configs by key, values as Kafka writes them.
pub(super) type Configs = BTreeMap<String, String>;

/// One admin call.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Makes a topic.
    CreateTopic(CreateTopic),
    /// Makes topics, all of them by few requests and one wait.
    CreateTopics(Vec<CreateTopic>),
    /// Sets and unsets configs of a topic, and leaves all others as they are.
    AlterConfigs(AlterConfigs),
    /// Grows a topic to a number of partitions.
    CreatePartitions(CreatePartitions),
    /// Deletes a topic.
    DeleteTopic(DeleteTopic),
}

/// A topic as a step wants it.
#[derive(Clone, Debug, PartialEq)]
pub struct CreateTopic {
    pub(super) name: String,
    /// `None`: the broker's default.
    pub(super) partitions: Option<i32>,
    /// `None`: the broker's default.
    pub(super) replication_factor: Option<i32>,
    pub(super) configs: Configs,
}

/// Configs of a topic to set and to give back to the broker's defaults.
#[derive(Clone, Debug, PartialEq)]
pub struct AlterConfigs {
    pub(super) topic: String,
    pub(super) set: Configs,
    pub(super) unset: BTreeSet<String>,
}

/// A topic and the number of partitions it grows to.
#[derive(Clone, Debug, PartialEq)]
pub struct CreatePartitions {
    pub(super) topic: String,
    pub(super) count: i32,
}

/// The name of a topic that goes.
#[derive(Clone, Debug, PartialEq)]
pub struct DeleteTopic {
    pub(super) topic: String,
}

/// What `alterConfigs` replaces, kept in the ledger: the keys that it changes and no others.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FormerConfigs {
    /// The topic's own values, to be set again.
    #[serde(default)]
    pub(super) set: Configs,
    /// What was not set on the topic, to be unset again.
    #[serde(default)]
    pub(super) unset: BTreeSet<String>,
}

/// Which topics of `createTopics` were not there, kept in the ledger: those alone are undone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Absent {
    pub(super) absent: Vec<String>,
}

/// What `deleteTopic` destroys, kept in the ledger.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct FormerTopic {
    pub(super) partitions: i32,
    pub(super) replication_factor: i32,
    #[serde(default)]
    pub(super) configs: Configs,
    /// The broker's id of the topic: another topic of the same name has another id.
    pub(super) id: String,
}

impl Step {
    /// Reads one step.
    pub fn parse(node: &Node) -> Result<Step, ScriptError> {
        let fields = node.object("a Kafka step")?;
        if let Some((key, _)) = fields.iter().find(|(key, _)| !OPERATIONS.contains(&&*key.name)) {
            let elsewhere = elsewhere(key);
            return Err(elsewhere.unwrap_or_else(|| unknown_key(key, "a Kafka step", &OPERATIONS)));
        }
        let [(operation, body)] = fields else {
            let message = format!("a Kafka step is one operation, not {}", fields.len());
            return Err(ScriptError::new(node.span.clone(), message)
                .hint(format!("write one of {} in a step of its own", OPERATIONS.join(", "))));
        };
        match operation.name.as_str() {
            "createTopic" => CreateTopic::parse(body).map(Step::CreateTopic),
            "createTopics" => create_topics(body).map(Step::CreateTopics),
            "alterConfigs" => AlterConfigs::parse(body).map(Step::AlterConfigs),
            "createPartitions" => CreatePartitions::parse(body).map(Step::CreatePartitions),
            _ => topic_name(body, "deleteTopic")
                .map(|topic| Step::DeleteTopic(DeleteTopic { topic })),
        }
    }
}

impl Operation for Step {
    /// What it does, in a few words; config values stay out, for they may come from a placeholder.
    fn label(&self) -> String {
        match self {
            Step::CreateTopic(wanted) => format!("createTopic {}", wanted.name),
            Step::CreateTopics(wanted) => match &wanted[..] {
                [first, .., last] => {
                    format!("createTopics {} … {} ({})", first.name, last.name, wanted.len())
                }
                few => few.iter().map(|one| format!("createTopics {}", one.name)).collect(),
            },
            Step::AlterConfigs(change) => change.label(),
            Step::CreatePartitions(grown) => {
                format!("createPartitions {} to {}", grown.topic, grown.count)
            }
            Step::DeleteTopic(doomed) => format!("deleteTopic {}", doomed.topic),
        }
    }

    fn hazards(&self) -> Vec<String> {
        match self {
            Step::CreateTopic(topic) => topic.starving().into_iter().collect(),
            Step::CreateTopics(topics) => topics.iter().filter_map(CreateTopic::starving).collect(),
            Step::AlterConfigs(_) => Vec::new(),
            Step::CreatePartitions(_) => {
                vec![
                    "cannot be undone, and messages of one key may land in another partition"
                        .into(),
                ]
            }
            Step::DeleteTopic(_) => vec!["deletes the topic with all its messages".into()],
        }
    }

    fn inverse(&self, before: &Value) -> Result<Vec<Value>, String> {
        match self {
            Step::CreateTopic(wanted) => Ok(vec![json!({ "deleteTopic": wanted.name })]),
            Step::CreateTopics(_) => {
                let Absent { absent } = former(before)?;
                Ok(absent.iter().rev().map(|name| json!({ "deleteTopic": name })).collect())
            }
            Step::AlterConfigs(change) => change.inverse(former(before)?),
            Step::CreatePartitions(grown) => Err(format!(
                "Kafka cannot take partitions away from topic {}; to go back, create a topic with \
                 fewer partitions and copy the messages",
                grown.topic
            )),
            Step::DeleteTopic(doomed) => Ok(vec![doomed.inverse(&former(before)?)]),
        }
    }

    fn removes(&self) -> bool {
        matches!(self, Step::DeleteTopic(_))
    }

    fn touches(&self, object: &str) -> bool {
        let topic = match self {
            Step::CreateTopic(_) | Step::CreateTopics(_) => return Operation::makes(self, object),
            Step::AlterConfigs(step) => &step.topic,
            Step::CreatePartitions(step) => &step.topic,
            Step::DeleteTopic(step) => &step.topic,
        };
        object.strip_prefix("topic ") == Some(topic)
    }

    fn makes(&self, object: &str) -> bool {
        let is_it = |topic: &CreateTopic| object.strip_prefix("topic ") == Some(&topic.name);
        match self {
            Step::CreateTopic(topic) => is_it(topic),
            Step::CreateTopics(topics) => topics.iter().any(is_it),
            Step::DeleteTopic(_) => Operation::touches(self, object),
            Step::AlterConfigs(_) | Step::CreatePartitions(_) => false,
        }
    }
}

/// Reads a before-value back from the ledger.
fn former<T: serde::de::DeserializeOwned>(before: &Value) -> Result<T, String> {
    T::deserialize(before)
        .map_err(|error| format!("the ledger does not hold what the step replaced: {error}"))
}

/// The answer to an operation, or a target, that Kafka has and no step does.
fn elsewhere(key: &DocumentKey) -> Option<ScriptError> {
    let name = key.name.to_ascii_lowercase();
    let (_, what, way) = ELSEWHERE.iter().find(|(part, _, _)| name.contains(part))?;
    Some(ScriptError::new(key.span.clone(), format!("`{}`: {what}", key.name)).hint(*way))
}

fn create_topics(node: &Node) -> Result<Vec<CreateTopic>, ScriptError> {
    let mut names = BTreeMap::<String, String>::new();
    let mut topics = Vec::new();
    for item in node.array("createTopics")? {
        let topic = CreateTopic::parse(item)?;
        let wrong = |message: String| ScriptError::new(item.span.clone(), message);
        match names.insert(topic.name.replace('.', "_"), topic.name.clone()) {
            Some(other) if other == topic.name => {
                return Err(wrong(format!("topic {other} stands twice in createTopics")));
            }
            Some(other) => {
                let message = format!("the topics {other} and {} collide", topic.name);
                return Err(wrong(message).hint(
                    "to Kafka's metrics `.` and `_` are the same, so that it makes only one of them",
                ));
            }
            None => topics.push(topic),
        }
    }
    match topics.is_empty() {
        true => Err(ScriptError::new(node.span.clone(), "createTopics names no topic")),
        false => Ok(topics),
    }
}

impl CreateTopic {
    fn parse(node: &Node) -> Result<CreateTopic, ScriptError> {
        let mut fields = Fields::of(node, "createTopic")?;
        let topic = CreateTopic {
            name: topic_name(fields.required("name")?, "the name of a topic")?,
            partitions: amount(fields.optional("partitions"), "partitions", i32::MAX)?,
            replication_factor: amount(
                fields.optional("replicationFactor"),
                "replicationFactor",
                i32::from(i16::MAX),
            )?,
            configs: configs(fields.optional("configs"), "configs")?,
        };
        fields.finish()?;
        Ok(topic)
    }
}

impl CreateTopic {
    /// That no producer that waits for all replicas can write to it, as far as the step tells.
    fn starving(&self) -> Option<String> {
        let minimum = self.configs.get(MIN_REPLICAS)?;
        starving(&self.name, minimum, self.replication_factor?)
    }
}

/// That more replicas have to be in sync than a topic has, in words.
pub(super) fn starving(topic: &str, minimum: &str, replicas: i32) -> Option<String> {
    let minimum: i32 = minimum.trim().parse().ok()?;
    (minimum > replicas).then(|| {
        format!(
            "topic {topic} has a {MIN_REPLICAS} of {minimum} and a replication factor of {replicas}: \
             every producer with acks=all is refused (NOT_ENOUGH_REPLICAS)"
        )
    })
}

impl AlterConfigs {
    fn parse(node: &Node) -> Result<AlterConfigs, ScriptError> {
        let other =
            |(key, _): &&(DocumentKey, Node)| !["topic", "set", "unset"].contains(&&*key.name);
        let others = node.object("alterConfigs")?.iter().filter(other);
        if let Some(error) = others.filter_map(|(key, _)| elsewhere(key)).next() {
            return Err(error);
        }
        let mut fields = Fields::of(node, "alterConfigs")?;
        let topic = topic_name(fields.required("topic")?, "topic")?;
        let set = configs(fields.optional("set"), "set")?;
        let unset = unset(fields.optional("unset"), &set)?;
        fields.finish()?;
        if set.is_empty() && unset.is_empty() {
            return Err(ScriptError::new(node.span.clone(), "alterConfigs changes nothing")
                .hint("name configs in `set: { … }` or `unset: [ … ]`"));
        }
        Ok(AlterConfigs { topic, set, unset })
    }

    fn label(&self) -> String {
        let set = self.set.keys().cloned();
        let unset = self.unset.iter().map(|key| format!("-{key}"));
        let keys: Vec<String> = set.chain(unset).collect();
        format!("alterConfigs {} ({})", self.topic, keys.join(", "))
    }

    fn inverse(&self, former: FormerConfigs) -> Result<Vec<Value>, String> {
        if former == FormerConfigs::default() {
            return Ok(Vec::new());
        }
        let mut change = json!({ "topic": self.topic });
        if !former.set.is_empty() {
            change["set"] = json!(former.set);
        }
        if !former.unset.is_empty() {
            change["unset"] = json!(former.unset);
        }
        Ok(vec![json!({ "alterConfigs": change })])
    }
}

impl CreatePartitions {
    fn parse(node: &Node) -> Result<CreatePartitions, ScriptError> {
        let mut fields = Fields::of(node, "createPartitions")?;
        let topic = topic_name(fields.required("topic")?, "topic")?;
        let node = fields.required("count")?;
        let count = amount(Some(node), "count", i32::MAX)?.ok_or_else(|| {
            ScriptError::new(node.span.clone(), "count has no default")
                .hint("write how many partitions the topic is to have in all")
        })?;
        fields.finish()?;
        Ok(CreatePartitions { topic, count })
    }
}

impl DeleteTopic {
    fn inverse(&self, former: &FormerTopic) -> Value {
        let mut topic = json!({
            "name": self.topic,
            "partitions": former.partitions,
            "replicationFactor": former.replication_factor,
        });
        if !former.configs.is_empty() {
            topic["configs"] = json!(former.configs);
        }
        json!({ "createTopic": topic })
    }
}

/// A name that every broker accepts; a wrong one is found here and not by a broker.
fn topic_name(node: &Node, what: &str) -> Result<String, ScriptError> {
    let name = node.string(what)?;
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let wrong = match name {
        "" => "a topic needs a name",
        "." | ".." => "a topic cannot be called `.` or `..`",
        _ if name.len() > LONGEST_NAME => "the name of a topic has at most 249 characters",
        _ if !name.chars().all(legal) => "the name of a topic is letters, digits, `.`, `_` and `-`",
        _ if RESERVED.contains(&name) => {
            let message = format!("{name} is an internal topic, which no migration may touch");
            return Err(ScriptError::new(node.span.clone(), message)
                .hint("it belongs to the brokers, or to the schema registry: leave it to them"));
        }
        _ => return Ok(name.to_string()),
    };
    Err(ScriptError::new(node.span.clone(), wrong))
}

/// A count from 1 to `most`; `None` where it is left to the broker, by absence or as Kafka's -1.
fn amount(node: Option<&Node>, what: &str, most: i32) -> Result<Option<i32>, ScriptError> {
    let Some(node) = node else { return Ok(None) };
    let number = node.integer(what)?;
    match i32::try_from(number) {
        Ok(-1) => Ok(None),
        Ok(count) if (1..=most).contains(&count) => Ok(Some(count)),
        Ok(_) | Err(_) => {
            let message = format!("{what} is from 1 to {most}, not {number}");
            Err(ScriptError::new(node.span.clone(), message))
        }
    }
}

fn configs(node: Option<&Node>, what: &str) -> Result<Configs, ScriptError> {
    let Some(node) = node else { return Ok(Configs::new()) };
    node.object(what)?
        .iter()
        .map(|(key, node)| Ok((config_key(&key.name, &key.span)?, config_value(&key.name, node)?)))
        .collect()
}

fn config_key(key: &str, span: &crate::text::Span) -> Result<String, ScriptError> {
    match key.is_empty() || key.contains('\0') {
        false => Ok(key.to_string()),
        true => Err(ScriptError::new(span.clone(), "this is not the name of a config")),
    }
}

/// Kafka keeps every value as text, so a number or boolean is written as it stands.
fn config_value(key: &str, node: &Node) -> Result<String, ScriptError> {
    let wrong = |message: String| ScriptError::new(node.span.clone(), message);
    match &node.kind {
        NodeKind::String(text) if text.contains('\0') => {
            Err(wrong(format!("the value of `{key}` holds a NUL character")))
        }
        NodeKind::String(text) => Ok(text.clone()),
        NodeKind::Number(number) => Ok(plain_number(number)),
        NodeKind::Bool(value) => Ok(value.to_string()),
        NodeKind::Null => Err(wrong(format!("the config `{key}` cannot be null"))
            .hint("`unset` of alterConfigs gives a config back to the broker's default")),
        NodeKind::Array(_) => Err(wrong(format!("the config `{key}` is a text, not an array"))
            .hint("Kafka writes a list as `\"compact,delete\"`")),
        NodeKind::Object(_) => Err(wrong(format!("the config `{key}` is a text, not an object"))),
    }
}

fn unset(node: Option<&Node>, set: &Configs) -> Result<BTreeSet<String>, ScriptError> {
    let Some(node) = node else { return Ok(BTreeSet::new()) };
    let mut keys = BTreeSet::new();
    for item in node.array("unset")? {
        let key = config_key(item.string("a config to unset")?, &item.span)?;
        if set.contains_key(&key) {
            let message = format!("`{key}` cannot be both set and unset");
            return Err(ScriptError::new(item.span.clone(), message));
        }
        if !keys.insert(key.clone()) {
            let message = format!("`{key}` stands twice in unset");
            return Err(ScriptError::new(item.span.clone(), message));
        }
    }
    Ok(keys)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(text: &str) -> Step {
        Step::parse(&Node::parse(text).expect("JSON5")).expect("a step")
    }

    fn mistake(text: &str) -> String {
        let node = Node::parse(text).expect("JSON5");
        let error = Step::parse(&node).expect_err(text);
        assert!(error.span.end <= text.len() && error.span.start < error.span.end, "{text}");
        match error.hint {
            Some(hint) => format!("{} ({hint})", error.message),
            None => error.message,
        }
    }

    #[test]
    fn a_topic_takes_numbers_as_text_and_configs_of_any_scalar() {
        let step = step(
            r#"{ createTopic: { name: "t", partitions: 3, replicationFactor: "2",
                 configs: { "retention.ms": 604800000, "preallocate": false, "cleanup.policy": "compact" } } }"#,
        );
        let Step::CreateTopic(topic) = step else { panic!("createTopic") };
        assert_eq!((topic.partitions, topic.replication_factor), (Some(3), Some(2)));
        assert_eq!(
            json!(topic.configs),
            json!({ "retention.ms": "604800000", "preallocate": "false", "cleanup.policy": "compact" })
        );
    }

    #[test]
    fn what_is_absent_or_minus_one_is_left_to_the_broker() {
        for text in [
            "{ createTopic: { name: 't' } }",
            "{ createTopic: { name: 't', partitions: -1, replicationFactor: '-1' } }",
        ] {
            let Step::CreateTopic(topic) = step(text) else { panic!("createTopic") };
            assert_eq!((topic.partitions, topic.replication_factor), (None, None));
        }
    }

    #[test]
    fn mistakes_are_found_without_a_broker() {
        let long = format!("{{ deleteTopic: '{}' }}", "a".repeat(250));
        for (text, part) in [
            ("{ creatTopic: { name: 't' } }", "did you mean `createTopic`?"),
            ("{ createTopics: { name: 't' } }", "an array, not an object"),
            ("{ createTopics: [] }", "names no topic"),
            ("{ createTopics: [{ name: 't' }, { name: 't' }] }", "topic t stands twice"),
            ("{ createTopics: [{ partitions: 3 }] }", "lacks `name`"),
            ("{ createTopic: { name: 't', partition: 3 } }", "did you mean `partitions`?"),
            ("{ alterConfigs: { topic: 't', sets: {} } }", "did you mean `set`?"),
            ("{ createTopic: { partitions: 3 } }", "lacks `name`"),
            ("{ createTopic: { name: 'a b' } }", "letters, digits"),
            ("{ createTopic: { name: 't', partitions: 0 } }", "from 1 to 2147483647, not 0"),
            ("{ createTopic: { name: 't', replicationFactor: 40000 } }", "not 40000"),
            ("{ createTopic: { name: 't', replicationFactor: '${x}' } }", "an integer"),
            ("{ createTopic: { name: 't', configs: { a: null } } }", "`unset` of alterConfigs"),
            ("{ createTopic: { name: 't', configs: { a: [1] } } }", "compact,delete"),
            ("{ alterConfigs: { topic: 't' } }", "changes nothing"),
            ("{ alterConfigs: { topic: 't', set: { a: 1 }, unset: ['a'] } }", "both set and unset"),
            ("{ alterConfigs: { topic: 't', unset: ['a', 'a'] } }", "twice"),
            ("{ createPartitions: { topic: 't' } }", "lacks `count`"),
            ("{ createPartitions: { topic: 't', count: -1 } }", "no default"),
            ("{ deleteTopic: { name: 't' } }", "a string, not an object"),
            ("{ deleteTopic: '' }", "needs a name"),
            ("{ deleteTopic: '..' }", "cannot be called"),
            (&long, "at most 249"),
            ("{ deleteTopic: 'a', createTopic: { name: 'a' } }", "one operation, not 2"),
            ("{}", "one operation, not 0"),
            ("[]", "an object, not an array"),
        ] {
            let mistake = mistake(text);
            assert!(mistake.contains(part), "{text}: {mistake}");
        }
    }

    #[test]
    fn labels_name_the_keys_and_never_the_values() {
        let label = |text| step(text).label();
        assert_eq!(label("{ createTopic: { name: 't', partitions: 3 } }"), "createTopic t");
        assert_eq!(label("{ createTopics: [{ name: 't' }] }"), "createTopics t");
        let many = "{ createTopics: [{ name: 'a' }, { name: 'b' }, { name: 'c' }] }";
        assert_eq!(label(many), "createTopics a … c (3)");
        assert_eq!(
            label("{ alterConfigs: { topic: 't', set: { a: 's3cret' }, unset: ['b'] } }"),
            "alterConfigs t (a, -b)"
        );
        assert_eq!(
            label("{ createPartitions: { topic: 't', count: 6 } }"),
            "createPartitions t to 6"
        );
        assert_eq!(label("{ deleteTopic: 't' }"), "deleteTopic t");
    }

    fn undone(text: &str, before: Value) -> Step {
        let inverse = step(text).inverse(&before).expect("an inverse");
        assert_eq!(inverse.len(), 1);
        Step::parse(&Node::from_json(&inverse[0])).expect("the inverse is a step")
    }

    #[test]
    fn a_created_topic_is_undone_by_deleting_it() {
        let undone = undone("{ createTopic: { name: 't' } }", Value::Null);
        assert_eq!(undone, step("{ deleteTopic: 't' }"));
    }

    #[test]
    fn altered_configs_are_undone_by_their_old_values_and_unset_where_there_were_none() {
        let before = json!({ "set": { "retention.ms": "1000" }, "unset": ["compression.type"] });
        let undone = undone(
            "{ alterConfigs: { topic: 't', set: { 'retention.ms': 5, 'compression.type': 'lz4' } } }",
            before,
        );
        let wanted = "{ alterConfigs: { topic: 't', set: { 'retention.ms': 1000 }, unset: ['compression.type'] } }";
        assert_eq!(undone, step(wanted));
    }

    #[test]
    fn a_deleted_topic_is_undone_by_creating_it_empty() {
        let before =
            json!({ "partitions": 3, "replicationFactor": 1, "configs": { "a": "b" }, "id": "x" });
        let wanted = "{ createTopic: { name: 't', partitions: 3, replicationFactor: 1, configs: { a: 'b' } } }";
        assert_eq!(undone("{ deleteTopic: 't' }", before), step(wanted));
    }

    #[test]
    fn what_has_no_inverse_says_so() {
        let partitions = step("{ createPartitions: { topic: 't', count: 6 } }");
        let reason = partitions.inverse(&json!({ "partitions": 3 })).expect_err("none");
        assert!(reason.contains("cannot take partitions away from topic t"), "{reason}");
        let unknown = step("{ deleteTopic: 't' }").inverse(&Value::Null).expect_err("none");
        assert!(unknown.contains("does not hold what the step replaced"), "{unknown}");
    }
}
