//! The live shape: classes and their properties, every setting by its dotted path.

use serde_json::Value;

use super::compare::{COMPUTED, has_tenants};
use crate::shape::{Attributes, Shape};

/// The shape of `classes`, as the server lists them.
pub(super) fn of(classes: &[Value]) -> Shape {
    let mut shape = Shape::default();
    for class in classes {
        let name = class["class"].as_str().unwrap_or_default();
        shape.insert(format!("class {name}"), class_attributes(class));
        for property in class["properties"].as_array().into_iter().flatten() {
            let property_name = property["name"].as_str().unwrap_or_default();
            shape.insert(format!("property {name}.{property_name}"), attributes(property, "name"));
        }
    }
    shape
}

/// The name of a tenant in a shape.
pub(super) fn tenant(class: &str, name: &str) -> String {
    format!("tenant {class}.{name}")
}

/// The name of the attribute that a tenant has.
pub(super) const STATUS: &str = "activityStatus";

/// A tenant in a shape.
pub(super) fn of_tenant(status: &str) -> Attributes {
    Attributes::from_iter([(STATUS.to_string(), Value::from(self::status(status)))])
}

/// The newer of the server's two words for a status.
pub(super) fn status(word: &str) -> &str {
    match word {
        "HOT" => "ACTIVE",
        "COLD" => "INACTIVE",
        "FROZEN" => "OFFLOADED",
        "FREEZING" => "OFFLOADING",
        "UNFREEZING" => "ONLOADING",
        other => other,
    }
}

/// A tenant that was added inactive is activated by being used.
pub(super) fn same(attribute: &str, before: &Value, after: &Value) -> bool {
    attribute == STATUS && before == "INACTIVE" && after == "ACTIVE"
}

/// The tenants of `class` that are recorded.
pub(super) fn tenants_of<'s>(recorded: &'s Shape, class: &'s str) -> impl Iterator<Item = &'s str> {
    recorded.of_kind("tenant").filter_map(move |(name, _)| {
        let (of, tenant) = name.split_once('.')?;
        (of == class).then_some(tenant)
    })
}

/// Without the properties, which are objects of their own, and without counts that follow from
/// other settings and from the number of nodes.
fn class_attributes(class: &Value) -> Attributes {
    let mut found = attributes(class, "class");
    found.retain(|path, _| {
        let sharding = path.strip_prefix("shardingConfig.").unwrap_or_default();
        !path.starts_with("properties.") && !COMPUTED.contains(&sharding)
    });
    if has_tenants(class) {
        // All zero: a class with tenants is sharded by them.
        found.retain(|path, _| !path.starts_with("shardingConfig."));
    }
    found
}

fn attributes(object: &Value, named_by: &str) -> Attributes {
    let mut found = Attributes::new();
    flatten("", object, &mut found);
    found.remove(named_by);
    found
}

/// Nulls and empty values are left out: the server itself is free to do so.
fn flatten(path: &str, value: &Value, to: &mut Attributes) {
    let below = |key: &str| match path {
        "" => key.to_string(),
        path => format!("{path}.{key}"),
    };
    match value {
        Value::Object(map) => {
            map.iter().for_each(|(key, value)| flatten(&below(key), value, to));
        }
        Value::Array(items) if items.iter().any(|item| item["name"].is_string()) => {
            for item in items {
                flatten(&below(item["name"].as_str().unwrap_or_default()), item, to);
            }
        }
        Value::Null => {}
        Value::String(text) if text.is_empty() => {}
        Value::Array(items) if items.is_empty() => {}
        Value::Array(items) if path.ends_with("dataType") => {
            to.insert(path.to_string(), Value::Array(sorted(items)));
        }
        Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            to.insert(path.to_string(), value.clone());
        }
    }
}

/// The order of the types of a reference means nothing.
fn sorted(items: &[Value]) -> Vec<Value> {
    let mut items = items.to_vec();
    items.sort_by_key(ToString::to_string);
    items
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn classes_and_properties_are_flat_and_free_of_what_means_nothing() {
        let shape = of(&[json!({
            "class": "A", "description": "", "vectorizer": "none", "moduleConfig": null,
            "invertedIndexConfig": {"stopwords": {"additions": null, "preset": "en"}},
            "shardingConfig": {"desiredCount": 1, "actualCount": 1, "desiredVirtualCount": 128},
            "properties": [{"name": "o", "dataType": ["Y", "X"], "nestedProperties": [
                {"name": "street", "dataType": ["text"]},
            ]}],
        })]);
        assert_eq!(
            json!(shape),
            json!({
                "class A": {
                    "invertedIndexConfig.stopwords.preset": "en",
                    "shardingConfig.desiredCount": 1,
                    "vectorizer": "none",
                },
                "property A.o": {
                    "dataType": ["X", "Y"],
                    "nestedProperties.street.dataType": ["text"],
                    "nestedProperties.street.name": "street",
                },
            })
        );
    }
}
