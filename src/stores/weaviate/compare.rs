//! Whether what was sent is what the server holds.
//!
//! The server adds its defaults to a class, leaves out what is zero, keeps fractions in single
//! precision and may order properties anew; all else that differs is a difference.

use serde_json::{Map, Value};

/// One value that the server does not hold as it was sent.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Difference {
    path: Vec<String>,
    sent: Value,
    live: Value,
}

impl Difference {
    /// The place of the value in the class: `vectorIndexConfig.ef`.
    pub(super) fn path(&self) -> String {
        self.path.join(".")
    }
}

/// What of `sent` is not in `live`.
pub(super) fn missing(sent: &Value, live: &Value) -> Vec<Difference> {
    let mut found = Vec::new();
    compare(&mut Vec::new(), sent, live, &mut found);
    found
}

/// The differences as two texts that can be read side by side: what was wanted and what is there.
pub(super) fn both_sides(differences: &[Difference]) -> (String, String) {
    let side = |value: fn(&Difference) -> &Value| {
        let shown: Vec<String> = differences
            .iter()
            .map(|difference| format!("{} {}", difference.path(), shown(value(difference))))
            .collect();
        shown.join(", ")
    };
    (side(|difference| &difference.sent), side(|difference| &difference.live))
}

fn shown(value: &Value) -> String {
    match value {
        Value::Null => "absent".to_string(),
        Value::String(text) => text.clone(),
        value => value.to_string(),
    }
}

/// What `set` replaces in `live`: the old values, at the places where they differ alone.
pub(super) fn replaced(set: &Value, live: &Value) -> Option<Value> {
    let differences = missing(set, live);
    if differences.is_empty() {
        return None;
    }
    let mut old = Value::Object(Map::new());
    for difference in &differences {
        put(&mut old, &difference.path, restorable(difference));
    }
    Some(old)
}

/// A value that was absent is brought back by the zero of its type: the server leaves both out.
fn restorable(difference: &Difference) -> Value {
    match (&difference.live, &difference.sent) {
        (Value::Null, Value::Bool(_)) => Value::Bool(false),
        (Value::Null, Value::Number(_)) => Value::from(0),
        (Value::Null, Value::String(_)) => Value::from(""),
        (Value::Null, Value::Array(_)) => Value::Array(Vec::new()),
        (live, _) => live.clone(),
    }
}

fn put(into: &mut Value, path: &[String], value: Value) {
    let Some((first, rest)) = path.split_first() else {
        *into = value;
        return;
    };
    if !into.is_object() {
        *into = Value::Object(Map::new());
    }
    if let Value::Object(map) = into {
        put(map.entry(first.clone()).or_insert(Value::Null), rest, value);
    }
}

/// `live` with `set` laid over it, block by block.
pub(super) fn merged(live: &Value, set: &Value) -> Value {
    match (live, set) {
        (Value::Object(live), Value::Object(set)) => {
            let mut result = live.clone();
            for (key, value) in set {
                let below = result.get(key).unwrap_or(&Value::Null);
                let value = merged(below, value);
                result.insert(key.clone(), value);
            }
            Value::Object(result)
        }
        (_, set) => set.clone(),
    }
}

fn compare(path: &mut Vec<String>, sent: &Value, live: &Value, found: &mut Vec<Difference>) {
    match (sent, live) {
        (Value::Object(sent), live) if !sent.is_empty() => {
            for (key, sent) in sent {
                path.push(key.clone());
                compare(path, sent, live.get(key).unwrap_or(&Value::Null), found);
                path.pop();
            }
        }
        // An empty block asks for nothing, such as `{"text2vec-transformers": {}}`.
        (Value::Object(_), Value::Object(_)) => {}
        (Value::Array(sent), Value::Array(live)) if sent.iter().chain(live).any(is_named) => {
            compare_named(path, sent, live, found);
        }
        (sent, live) if same(path, sent, live) => {}
        (sent, live) => {
            found.push(Difference { path: path.clone(), sent: sent.clone(), live: live.clone() })
        }
    }
}

fn is_named(item: &Value) -> bool {
    item.get("name").is_some()
}

fn compare_named(
    path: &mut Vec<String>,
    sent: &[Value],
    live: &[Value],
    found: &mut Vec<Difference>,
) {
    for item in sent {
        let name = item.get("name").unwrap_or(&Value::Null);
        let twin = live.iter().find(|twin| twin.get("name") == Some(name));
        path.push(shown(name));
        match twin {
            Some(twin) => compare(path, item, twin, found),
            None => {
                found.push(Difference { path: path.clone(), sent: item.clone(), live: Value::Null })
            }
        }
        path.pop();
    }
}

fn same(path: &[String], sent: &Value, live: &Value) -> bool {
    match (sent, live) {
        (Value::Number(sent), Value::Number(live)) => same_number(sent, live),
        (Value::Array(sent), Value::Array(live)) => same_items(path, sent, live),
        (sent, live) => sent == live || (is_zero(sent) && is_zero(live)),
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the server keeps fractions as float32")]
fn same_number(sent: &serde_json::Number, live: &serde_json::Number) -> bool {
    match (sent.as_i64(), live.as_i64()) {
        (Some(sent), Some(live)) => sent == live,
        _ => sent.as_f64().map(|value| value as f32) == live.as_f64().map(|value| value as f32),
    }
}

fn same_items(path: &[String], sent: &[Value], live: &[Value]) -> bool {
    if path.last().is_some_and(|key| key == "dataType") {
        return sent.len() == live.len() && sent.iter().all(|item| live.contains(item));
    }
    sent.len() == live.len() && sent.iter().zip(live).all(|(sent, live)| same(path, sent, live))
}

/// What the server leaves out of its answer.
pub(super) fn is_zero(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(value) => !value,
        Value::Number(value) => value.as_f64() == Some(0.0),
        Value::String(value) => value.is_empty(),
        Value::Array(value) => value.is_empty(),
        Value::Object(value) => value.is_empty(),
    }
}

/// A live class as `createClass` takes it back: without nulls, and without what the server computes.
pub(super) fn creatable(live: &Value) -> Value {
    let mut class = without_nulls(live);
    let tenants = has_tenants(live);
    if let Value::Object(map) = &mut class {
        if tenants {
            // Refused otherwise: "cannot have both shardingConfig and multiTenancyConfig".
            map.shift_remove("shardingConfig");
        }
        if let Some(Value::Object(sharding)) = map.get_mut("shardingConfig") {
            COMPUTED.iter().for_each(|key| {
                sharding.shift_remove(*key);
            });
        }
    }
    class
}

/// The keys of `shardingConfig` that follow from the others.
pub(super) const COMPUTED: [&str; 3] = ["actualCount", "actualVirtualCount", "desiredVirtualCount"];

/// Whether the class keeps its objects by tenant.
pub(super) fn has_tenants(class: &Value) -> bool {
    class.pointer("/multiTenancyConfig/enabled") == Some(&Value::Bool(true))
}

/// A module's own settings are kept to the letter: a change of them is refused.
fn without_nulls(value: &Value) -> Value {
    match value {
        Value::Object(map) => map
            .iter()
            .filter(|(_, value)| !value.is_null())
            .map(|(key, value)| match key.as_str() {
                "moduleConfig" | "vectorizer" => (key.clone(), value.clone()),
                _ => (key.clone(), without_nulls(value)),
            })
            .collect(),
        Value::Array(items) => items.iter().map(without_nulls).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn paths(sent: Value, live: Value) -> Vec<String> {
        missing(&sent, &live).iter().map(Difference::path).collect()
    }

    #[test]
    fn defaults_that_the_server_adds_and_zeros_that_it_drops_are_no_difference() {
        let sent = json!({
            "class": "A", "description": "", "invertedIndexConfig": {"bm25": {"b": 0, "k1": 1.3}},
            "vectorIndexConfig": {"ef": 100.0}, "moduleConfig": {}, "properties": [],
            "vectorConfig": {"v": {"vectorizer": {"text2vec-transformers": {}}}},
        });
        let live = json!({
            "class": "A", "invertedIndexConfig": {"bm25": {"k1": 1.299_999_952}},
            "vectorIndexConfig": {"ef": 100, "skip": false}, "vectorizer": "none", "properties": null,
            "vectorConfig": {"v": {"vectorizer": {"text2vec-transformers": {"poolingStrategy": "cls"}}}},
        });
        assert_eq!(paths(sent, live), Vec::<String>::new());
    }

    #[test]
    fn properties_are_found_by_name_and_data_types_in_any_order() {
        let sent = json!({"properties": [
            {"name": "b", "dataType": ["X", "Y"]}, {"name": "a", "dataType": ["int"]}, {"name": "c"},
        ]});
        let live = json!({"properties": [
            {"name": "a", "dataType": ["text"]}, {"name": "b", "dataType": ["Y", "X"]},
        ]});
        assert_eq!(paths(sent, live), ["properties.a.dataType", "properties.c"]);
    }

    #[test]
    fn both_sides_show_the_differing_values_alone() {
        let differences = missing(
            &json!({"vectorizer": "none", "vectorIndexConfig": {"ef": 1, "bogus": {"x": 2}}}),
            &json!({"vectorizer": "none", "vectorIndexConfig": {"ef": 2}}),
        );
        let (wanted, live) = both_sides(&differences);
        assert_eq!(wanted, "vectorIndexConfig.ef 1, vectorIndexConfig.bogus.x 2");
        assert_eq!(live, "vectorIndexConfig.ef 2, vectorIndexConfig.bogus.x absent");
    }

    #[test]
    fn replaced_holds_the_old_values_and_zero_for_what_was_absent() {
        let live = json!({"vectorIndexConfig": {"ef": 1, "skip": false}, "description": "old",
            "invertedIndexConfig": {"stopwords": {"additions": null}}});
        let set = json!({"vectorIndexConfig": {"ef": 2, "skip": false}, "description": "new",
            "invertedIndexConfig": {"indexTimestamps": true, "stopwords": {"additions": ["x"]}}});
        let old = replaced(&set, &live).expect("differs");
        assert_eq!(
            old,
            json!({"vectorIndexConfig": {"ef": 1}, "description": "old",
                "invertedIndexConfig": {"indexTimestamps": false, "stopwords": {"additions": []}}})
        );
        assert_eq!(missing(&old, &live), []);
        assert_eq!(replaced(&old, &live), None);
    }

    #[test]
    fn merging_keeps_what_is_not_named() {
        let live = json!({"a": {"b": 1, "c": [1]}, "d": null});
        assert_eq!(
            merged(&live, &json!({"a": {"c": []}, "d": {"e": 2}})),
            json!({"a": {"b": 1, "c": []}, "d": {"e": 2}})
        );
    }

    #[test]
    fn a_live_class_loses_what_the_server_would_not_take_back() {
        let sharding = json!({"desiredCount": 1, "actualCount": 1, "actualVirtualCount": 128});
        let class = json!({"class": "A", "properties": null, "shardingConfig": sharding});
        assert_eq!(creatable(&class), json!({"class": "A", "shardingConfig": {"desiredCount": 1}}));
        let class = json!({"multiTenancyConfig": {"enabled": true}, "shardingConfig": sharding});
        assert_eq!(creatable(&class), json!({"multiTenancyConfig": {"enabled": true}}));
    }
}
