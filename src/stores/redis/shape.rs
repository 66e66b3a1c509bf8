//! The live shape: managed settings, functions, users; and the contracts, which are copied from the
//! recorded shape, because Redis holds nothing of them.

use std::collections::{BTreeMap, BTreeSet};

use redis::Value;
use serde_json::json;

use super::connection::{Node, field, items, text};
use super::errors::{is_refused, is_withheld};
use super::probe::{setting_value, users_in};
use super::server::{Server, command};
use super::steps::acl::{self, LiveUser};
use super::steps::config;
use crate::shape::{Attributes, Shape};
use crate::store_error::StoreError;
use crate::stores::contract::Depth;

/// Settings that are seen whether a migration named them yet or not, so that the pictures before
/// and after a run differ by what it set. Others are seen once they are recorded.
const SETTINGS: [&str; 12] = [
    "activedefrag",
    "appendfsync",
    "appendonly",
    "client-output-buffer-limit",
    "lfu-decay-time",
    "maxmemory",
    "maxmemory-policy",
    "notify-keyspace-events",
    "protected-mode",
    "save",
    "tcp-keepalive",
    "timeout",
];

/// What stands for the value of a recorded setting that the server does not tell.
pub(super) const WITHHELD: &str = "not told by the server";

/// The live shape of all masters.
pub async fn inspect(server: &Server, recorded: &Shape, depth: Depth) -> Result<Shape, StoreError> {
    let mut of_masters = Vec::new();
    for node in server.masters().await?.iter() {
        of_masters.push(structure(node, recorded).await?);
    }
    let mut shape = merged(of_masters);
    for (name, attributes) in recorded.of_kind("keyspace") {
        shape.insert(format!("keyspace {name}"), attributes.clone());
    }
    match depth {
        // What live keys look like is no part of the shape: holding them against their contracts
        // gives findings, not objects.
        Depth::Structure | Depth::Sample | Depth::Full => Ok(shape),
    }
}

/// One master, in one round trip.
async fn structure(node: &Node, recorded: &Shape) -> Result<Shape, StoreError> {
    let names = settings(recorded);
    let mut pipeline = redis::pipe();
    for name in &names {
        pipeline.add_command(command(&["CONFIG", "GET", name]));
    }
    pipeline.add_command(command(&["FUNCTION", "LIST", "WITHCODE"]));
    pipeline.add_command(command(&["ACL", "LIST"]));
    let mut answers = node.ask_all(pipeline).await?;
    let users = answers.pop().unwrap_or(Ok(Value::Nil));
    let functions = answers.pop().unwrap_or(Ok(Value::Nil));
    let mut shape = Shape::default();
    for (name, answer) in names.iter().zip(answers) {
        let object = config::object(name);
        let attributes = match answer {
            // Whoever moved to a server that keeps its settings to itself is told, and may accept it.
            Err(error) if is_withheld(&error) => recorded
                .objects
                .contains_key(&object)
                .then(|| Attributes::from_iter([("value".to_string(), json!(WITHHELD))])),
            answer => setting_value(&permitted(answer, recorded, "setting")?)
                .map(|value| config::attributes(name, &value)),
        };
        if let Some(attributes) = attributes {
            shape.insert(object, attributes);
        }
    }
    for library in items(&permitted(functions, recorded, "function")?) {
        insert_function(&mut shape, library);
    }
    for (name, user) in users_in(&permitted(users, recorded, "user")?) {
        insert_user(&mut shape, &name, &user, recorded);
    }
    Ok(shape)
}

/// Where no rule forbids a user to have a password, whoever runs the server may give it one.
pub(super) fn same(attribute: &str, before: &serde_json::Value, after: &serde_json::Value) -> bool {
    attribute == "password" && before == "none" && after == "set"
}

fn settings(recorded: &Shape) -> BTreeSet<&str> {
    let known = recorded.of_kind("setting").map(|(name, _)| name);
    known.filter(|name| !name.contains(['*', '?', '['])).chain(SETTINGS).collect()
}

/// What the user may not see, or a managed service does not offer, is no part of the shape, unless
/// a migration has made something of the kind.
fn permitted(
    answer: Result<Value, StoreError>,
    recorded: &Shape,
    kind: &str,
) -> Result<Value, StoreError> {
    match answer {
        Err(error) if recorded.of_kind(kind).next().is_none() && is_refused(&error) => {
            Ok(Value::Nil)
        }
        answer => answer,
    }
}

fn insert_function(shape: &mut Shape, library: &Value) {
    let Some(name) = field(library, "library_name").and_then(text) else { return };
    let code = field(library, "library_code").and_then(text).unwrap_or_default();
    let functions = field(library, "functions").map(items).unwrap_or_default();
    let mut names: Vec<String> =
        functions.iter().filter_map(|function| text(field(function, "name")?)).collect();
    names.sort();
    let attributes = Attributes::from_iter([
        ("code".to_string(), json!(code)),
        ("functions".to_string(), json!(names)),
    ]);
    shape.insert(format!("function {name}"), attributes);
}

fn insert_user(shape: &mut Shape, name: &str, user: &LiveUser, recorded: &Shape) {
    let forbidden = acl::no_password(name);
    if recorded.objects.contains_key(&forbidden) {
        let value = if user.hashes.is_empty() { "none" } else { "set" };
        let value = [("value".to_string(), json!(value))];
        shape.insert(forbidden, Attributes::from_iter(value));
    }
    let object = format!("user {name}");
    let mut attributes = user_attributes(user);
    if name == "default" {
        let Some(known) = recorded.objects.get(&object) else { return };
        attributes.retain(|attribute, _| known.contains_key(attribute));
    }
    shape.insert(object, attributes);
}

fn user_attributes(user: &LiveUser) -> Attributes {
    let rights = &user.rights;
    let password = match (rights.nopass, user.hashes.is_empty()) {
        (true, _) => "any",
        (false, true) => "none",
        (false, false) => "set",
    };
    let mut attributes = Attributes::from_iter([
        ("enabled".to_string(), json!(rights.enabled)),
        ("password".to_string(), json!(password)),
        ("keys".to_string(), json!(rights.keys)),
        ("channels".to_string(), json!(rights.channels)),
        ("commands".to_string(), json!(rights.commands.join(" "))),
    ]);
    if !rights.selectors.is_empty() {
        attributes.insert("selectors".to_string(), json!(rights.selectors));
    }
    if !rights.flags.is_empty() {
        attributes.insert("flags".to_string(), json!(rights.flags));
    }
    attributes
}

/// One shape of all masters: where they differ, an attribute lists what they have.
fn merged(mut of_masters: Vec<Shape>) -> Shape {
    if of_masters.len() == 1 {
        return of_masters.remove(0);
    }
    let names: BTreeSet<String> =
        of_masters.iter().flat_map(|shape| shape.objects.keys().cloned()).collect();
    let mut shape = Shape::default();
    for name in names {
        let sides: Vec<&Attributes> =
            of_masters.iter().filter_map(|shape| shape.objects.get(&name)).collect();
        let lacking = of_masters.len() - sides.len();
        let mut attributes = merged_attributes(&sides);
        if lacking > 0 {
            attributes.insert("lacking on masters".to_string(), json!(lacking));
        }
        shape.insert(name, attributes);
    }
    shape
}

fn merged_attributes(sides: &[&Attributes]) -> Attributes {
    let mut values: BTreeMap<&String, Vec<&serde_json::Value>> = BTreeMap::new();
    for (name, value) in sides.iter().flat_map(|side| side.iter()) {
        let known = values.entry(name).or_default();
        if !known.contains(&value) {
            known.push(value);
        }
    }
    let one = |mut values: Vec<&serde_json::Value>| match values.len() {
        1 => values.remove(0).clone(),
        _ => json!({"masters differ": values}),
    };
    values.into_iter().map(|(name, values)| (name.clone(), one(values))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masters_that_differ_are_shown_as_such() {
        let shape = |value: serde_json::Value| serde_json::from_value(value).expect("shape");
        let one = shape(json!({"setting hz": {"value": "10"}, "function f": {"code": "a"}}));
        let two = shape(json!({"setting hz": {"value": "20"}}));
        let merged = merged(vec![one, two]);
        assert_eq!(
            json!(merged),
            json!({
                "function f": {"code": "a", "lacking on masters": 1},
                "setting hz": {"value": {"masters differ": ["10", "20"]}},
            })
        );
    }
}
