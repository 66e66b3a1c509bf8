//! What puts a class back as recorded, whose part a property is, and which objects a step touches.

use serde_json::{Map, Value, json};

use super::Step;
use super::schema::WAY_AROUND;
use super::shape::STATUS;
use crate::shape::{Attributes, SERVER};
use crate::stores::remedy::{Drifted, Remedy, gone_with_its_data};

pub(super) fn heal(object: &Drifted<'_>) -> Remedy {
    match (object.kind, object.is_absent(), object.recorded) {
        ("class", true, _) => gone_with_its_data(&format!("class {}", object.name)),
        ("class", false, _) => class(object),
        ("tenant", _, _) => tenant(object),
        (_, true, Some(recorded)) => property(object.name, recorded),
        (_, false, None) => Remedy::person(format!(
            "Weaviate cannot drop a property: record it with repair --accept-drift and write a migration \
             that adds it elsewhere, or {WAY_AROUND}"
        )),
        (_, _, _) => Remedy::person(format!(
            "Weaviate cannot change a property: record it with repair --accept-drift, or {WAY_AROUND}"
        )),
    }
}

/// Settings the server can change; the others are refused where the step is read.
fn class(object: &Drifted<'_>) -> Remedy {
    let mut remedy = Remedy::default();
    let mut set = Value::Object(Map::new());
    for change in &object.changes {
        let path = change.attribute.as_deref().unwrap_or_default();
        let value = match (&change.before, &change.after) {
            (Some(before), _) => before.clone(),
            (None, Some(after)) => empty_of(after),
            (None, None) => continue,
        };
        let one = nested(path, value);
        let step = json!({ "updateClass": { "class": object.name, "set": one } });
        match Step::parse(&crate::text::Node::from_json(&step)) {
            Ok(_) => set = super::compare::merged(&set, &one),
            Err(error) => {
                let hint = error.hint.map(|hint| format!(": {hint}")).unwrap_or_default();
                remedy.person.push(format!("{}{hint}", error.message));
            }
        }
    }
    if set.as_object().is_some_and(|set| !set.is_empty()) {
        remedy.steps.push(json!({ "updateClass": { "class": object.name, "set": set } }));
    }
    remedy
}

/// What stands for absence: the server leaves the zero of each type out of its answers.
fn empty_of(value: &Value) -> Value {
    match value {
        Value::Bool(_) => json!(false),
        Value::Number(_) => json!(0),
        Value::String(_) => json!(""),
        Value::Array(_) => json!([]),
        Value::Null | Value::Object(_) => Value::Null,
    }
}

fn nested(path: &str, value: Value) -> Value {
    path.rsplit('.').fold(value, |value, key| json!({ key: value }))
}

/// A property that is gone although its class is there: the class was made anew.
fn property(name: &str, recorded: &Attributes) -> Remedy {
    let Some((class, property)) = name.split_once('.') else { return Remedy::default() };
    if recorded.keys().any(|path| path.contains('.')) {
        return Remedy::person(
            "it has nested properties or settings of a module: add it by a migration",
        );
    }
    let mut definition = json!({ "name": property });
    for (key, value) in recorded.iter().filter(|(key, _)| *key != SERVER) {
        definition[key] = value.clone();
    }
    Remedy::steps([json!({ "addProperty": { "class": class, "property": definition } })])
}

/// A tenant that is gone comes back empty; one that is inactive is activated, and keeps its objects.
fn tenant(object: &Drifted<'_>) -> Remedy {
    let Some((class, name)) = object.name.split_once('.') else { return Remedy::default() };
    let live = object.there.objects.get(&format!("class {class}"));
    if live.and_then(|class| class.get("multiTenancyConfig.enabled")) != Some(&Value::Bool(true)) {
        return Remedy::person(format!(
            "class {class} does not keep its objects by tenant any more: {WAY_AROUND}"
        ));
    }
    let status = object.text(STATUS);
    let one = json!({ "class": class, "tenants": [{ "name": name, "activityStatus": status }] });
    if object.is_absent() {
        return Remedy::steps([json!({ "addTenants": one })])
            .caution("it comes back without the objects that it held: bring these from a backup");
    }
    match object.changes.iter().find_map(|change| change.after.as_ref()?.as_str()) {
        Some("INACTIVE" | "COLD") => Remedy::steps([json!({ "updateTenants": one })])
            .caution("the server loads it into memory"),
        live => Remedy::person(format!(
            "it is {}, as somebody made it who had a reason: activate it by a migration (`updateTenants`), or \
             record it with repair --accept-drift",
            live.unwrap_or("of another status")
        )),
    }
}

/// The class that a property or a tenant is part of.
pub(super) fn part_of(object: &str) -> Vec<String> {
    let name = object.strip_prefix("property ").or_else(|| object.strip_prefix("tenant "));
    let class = name.and_then(|name| name.split_once('.'));
    class.map(|(class, _)| format!("class {class}")).into_iter().collect()
}
