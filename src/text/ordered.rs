//! JSON values: one whose keys keep their order in the ledger, and one with other texts in it.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A JSON value that is stored as its text: PostgreSQL's `jsonb` puts keys into an order of its
/// own, and the order of an index's keys, or of a command's, must not be lost in the ledger.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Ordered(pub Value);

impl From<Ordered> for String {
    fn from(ordered: Ordered) -> String {
        ordered.0.to_string()
    }
}

impl TryFrom<String> for Ordered {
    type Error = serde_json::Error;

    fn try_from(text: String) -> Result<Ordered, serde_json::Error> {
        serde_json::from_str(&text).map(Ordered)
    }
}

/// `value` with every text in it as `change` makes it, but for those in its first `above` levels of keys.
pub fn map_texts(value: &Value, above: usize, change: &dyn Fn(&str) -> String) -> Value {
    match value {
        Value::String(text) if above == 0 => Value::from(change(text)),
        Value::Array(items) => items.iter().map(|item| map_texts(item, above, change)).collect(),
        Value::Object(map) => {
            let below = above.saturating_sub(1);
            let changed =
                map.iter().map(|(key, value)| (key.clone(), map_texts(value, below, change)));
            Value::Object(changed.collect())
        }
        Value::String(_) | Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
    }
}
