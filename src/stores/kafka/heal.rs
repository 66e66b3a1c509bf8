//! What puts a topic back as recorded, and which topic a step touches.

use serde_json::{Map, Value, json};

use crate::stores::remedy::{Drifted, Remedy, gone_with_its_data};

/// Configs whose return to the recorded value lets brokers delete messages that are there now.
const DELETING: [&str; 5] = [
    "retention.ms",
    "retention.bytes",
    "local.retention.ms",
    "local.retention.bytes",
    "cleanup.policy",
];

pub(super) fn heal(topic: &Drifted<'_>) -> Remedy {
    if topic.is_absent() {
        return gone_with_its_data(&format!("topic {}", topic.name));
    }
    let (mut set, mut unset, mut remedy) = (Map::new(), Vec::new(), Remedy::default());
    for change in &topic.changes {
        let attribute = change.attribute.as_deref().unwrap_or_default();
        match (attribute.strip_prefix("config "), &change.before) {
            (Some(key), Some(value)) => drop(set.insert(key.to_string(), value.clone())),
            (Some(key), None) => unset.push(key.to_string()),
            (None, _) => remedy.person.push(unchangeable(attribute).to_string()),
        }
    }
    let deleting = set.keys().chain(&unset).filter(|key| DELETING.contains(&key.as_str()));
    let deleting: Vec<&str> = deleting.map(String::as_str).collect();
    if !deleting.is_empty() {
        let keys = deleting.join(", ");
        remedy = remedy.caution(format!(
            "with {keys} as recorded, the brokers delete what is older or larger than that allows"
        ));
    }
    let mut change = json!({ "topic": topic.name });
    if !set.is_empty() {
        change["set"] = Value::Object(set);
    }
    if !unset.is_empty() {
        change["unset"] = json!(unset);
    }
    if change.as_object().is_some_and(|change| change.len() > 1) {
        remedy.steps.push(json!({ "alterConfigs": change }));
    }
    remedy
}

fn unchangeable(attribute: &str) -> &'static str {
    match attribute {
        "partitions" => {
            "Kafka cannot take partitions away, and more of them send keys elsewhere: record what \
             is there with repair --accept-drift, or create a topic anew and copy the messages"
        }
        "id" => {
            "it was deleted and made anew by other hands, and what it held before is gone: bring that back \
             from a backup, or record the topic that is there with repair --accept-drift"
        }
        _ => {
            "replicas are moved by a reassignment, which loads the brokers: start one with \
             kafka-reassign-partitions, or record what is there with repair --accept-drift"
        }
    }
}
