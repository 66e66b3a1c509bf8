//! What puts a collection, a view or an index back as recorded, whose part an index is, and which
//! objects a step touches.

use serde_json::{Map, Value, json};

use crate::shape::{Attributes, Change};
use crate::stores::remedy::{Drifted, Remedy, gone_with_its_data};

pub(super) fn heal(object: &Drifted<'_>) -> Remedy {
    match (object.kind, object.recorded) {
        ("index", None) => drop_index(object.name),
        ("index", Some(recorded)) => index(object, recorded),
        ("view", Some(recorded)) if object.is_absent() => view(object.name, recorded),
        (kind, Some(_)) if object.is_absent() => {
            gone_with_its_data(&format!("{kind} {}", object.name))
        }
        ("view", Some(recorded)) => changed_view(object, recorded),
        (_, _) => collection(object),
    }
}

fn name_and_collection(name: &str) -> (&str, &str) {
    name.rsplit_once(" on ").unwrap_or((name, ""))
}

fn drop_index(name: &str) -> Remedy {
    let (index, collection) = name_and_collection(name);
    Remedy::steps([json!({ "dropIndexes": collection, "index": index })])
}

/// The lifetime and the hiding of an index can be changed; for all else it is built again.
fn index(object: &Drifted<'_>, recorded: &Attributes) -> Remedy {
    let (name, collection) = name_and_collection(object.name);
    let Some(definition) = definition(name, recorded) else {
        return Remedy::person("its key cannot be read back from the record: write a migration");
    };
    let create = json!({ "createIndexes": collection, "indexes": [definition] });
    if object.is_absent() {
        return expiring(recorded, Remedy::steps([create]));
    }
    let changeable = object.changes.iter().all(|change| match change.attribute.as_deref() {
        Some("expireAfterSeconds") => change.before.is_some(),
        Some("hidden") => true,
        Some(_) | None => false,
    });
    if changeable {
        let mut index = json!({ "name": name });
        for change in &object.changes {
            let attribute = change.attribute.as_deref().unwrap_or_default();
            index[attribute] = change.before.clone().unwrap_or(json!(false));
        }
        return expiring(
            recorded,
            Remedy::steps([json!({ "collMod": collection, "index": index })]),
        );
    }
    let drop = json!({ "dropIndexes": collection, "index": name });
    expiring(recorded, Remedy::steps([drop, create]))
        .caution("the index is built again: until then queries do without it")
}

fn expiring(recorded: &Attributes, remedy: Remedy) -> Remedy {
    match recorded.get("expireAfterSeconds") {
        Some(seconds) => remedy.caution(format!(
            "the server then deletes documents that are older than {seconds} s, as recorded"
        )),
        None => remedy,
    }
}

/// The definition of an index, its key read back from the text that keeps its order.
fn definition(name: &str, recorded: &Attributes) -> Option<Value> {
    let mut key = Map::new();
    for field in recorded.get("key")?.as_str()?.split(", ") {
        let (field, direction) = field.rsplit_once(": ")?;
        let number = direction.parse::<i64>().map(Value::from);
        key.insert(field.to_string(), number.unwrap_or_else(|_| Value::from(direction)));
    }
    let mut definition = Map::from_iter([("key".to_string(), Value::Object(key))]);
    definition.insert("name".to_string(), Value::from(name));
    let options = recorded.iter().filter(|(name, _)| *name != "key");
    definition.extend(options.map(|(name, value)| (name.clone(), value.clone())));
    Some(Value::Object(definition))
}

/// A pipeline is recorded as text, in which stages keep the order of their keys.
fn pipeline(recorded: &Attributes) -> Option<Value> {
    match recorded.get("pipeline") {
        None => Some(json!([])),
        Some(text) => serde_json::from_str(text.as_str()?).ok(),
    }
}

fn view(name: &str, recorded: &Attributes) -> Remedy {
    let Some(pipeline) = pipeline(recorded) else { return unreadable() };
    let mut step =
        json!({ "create": name, "viewOn": recorded.get("viewOn"), "pipeline": pipeline });
    if let Some(collation) = recorded.get("collation") {
        step["collation"] = collation.clone();
    }
    Remedy::steps([step])
}

fn changed_view(object: &Drifted<'_>, recorded: &Attributes) -> Remedy {
    let Some(pipeline) = pipeline(recorded) else { return unreadable() };
    let fixed =
        |change: &&&Change| !matches!(change.attribute.as_deref(), Some("viewOn" | "pipeline"));
    match object.changes.iter().find(fixed) {
        Some(_) => {
            Remedy::person("a view's collation is given when it is made: drop it and make it anew")
        }
        None => Remedy::steps([
            json!({ "collMod": object.name, "viewOn": recorded.get("viewOn"), "pipeline": pipeline }),
        ]),
    }
}

fn unreadable() -> Remedy {
    Remedy::person("its pipeline cannot be read back from the record: write a migration")
}

fn collection(object: &Drifted<'_>) -> Remedy {
    let mut remedy = Remedy::default();
    let mut set = Map::from_iter([("collMod".to_string(), Value::from(object.name))]);
    for change in &object.changes {
        let attribute = change.attribute.as_deref().unwrap_or_default();
        match restored(attribute, change.before.as_ref()) {
            Ok((name, value)) => drop(set.insert(name.to_string(), value)),
            Err(why) => remedy.person.push(why),
        }
    }
    if set.len() > 1 {
        remedy.steps.push(Value::Object(set));
    }
    remedy
}

/// The argument of `collMod` that restores an option; what is not recorded was the server's default.
fn restored(attribute: &str, before: Option<&Value>) -> Result<(&'static str, Value), String> {
    let or = |default: Value| before.cloned().unwrap_or(default);
    match attribute {
        "validator" => Ok(("validator", or(json!({})))),
        "validationLevel" => Ok(("validationLevel", or(json!("strict")))),
        "validationAction" => Ok(("validationAction", or(json!("error")))),
        "expireAfterSeconds" => Ok(("expireAfterSeconds", or(json!("off")))),
        "changeStreamPreAndPostImages" => {
            Ok(("changeStreamPreAndPostImages", or(json!({ "enabled": false }))))
        }
        "size" if before.is_some() => Err(
            "a capped collection that is made smaller loses documents: record it with repair --accept-drift, \
             or change `cappedSize` by a migration"
                .to_string(),
        ),
        other => Err(format!(
            "`{other}` is given when a collection is made: make a new one and copy the documents, or \
             record what is there with repair --accept-drift"
        )),
    }
}

/// The collection that an index is part of.
pub(super) fn part_of(object: &str) -> Vec<String> {
    let index = object.strip_prefix("index ").and_then(|name| name.rsplit_once(" on "));
    index.map(|(_, collection)| format!("collection {collection}")).into_iter().collect()
}
