//! What puts a setting, a function or a user back as recorded, and which objects a step touches.

use serde_json::Value;

use super::shape::WITHHELD;
use super::steps::{acl, config, function};
use crate::shape::{Attributes, Change};
use crate::stores::remedy::{Drifted, Remedy};

pub(super) fn heal(object: &Drifted<'_>) -> Remedy {
    match (object.kind, object.recorded) {
        ("setting", Some(_)) => setting(object),
        ("function", Some(_)) => Remedy::steps([function::step_of(object.text("code"))]),
        ("user", Some(recorded)) => user(object, recorded),
        // With the user, which is told.
        ("passwords", Some(_)) if object.is_absent() => Remedy::default(),
        ("passwords", Some(_)) => Remedy::person(not_taken_away(object.name)),
        (_, _) => Remedy::person("no migration made it: nothing says how it should be"),
    }
}

fn setting(object: &Drifted<'_>) -> Remedy {
    if object.changes.iter().any(|change| change.after.as_ref() == Some(&Value::from(WITHHELD))) {
        return Remedy::person(format!(
            "the server keeps its settings to itself: see to {} where its provider has them set, and record \
             that with repair --accept-drift: it is not compared any more",
            object.name
        ));
    }
    let wanted = object.text("value").to_string();
    let remedy = Remedy::steps([config::step_of(&[(object.name.to_string(), wanted)])]);
    match object.name {
        "maxmemory" | "maxmemory-policy" => {
            remedy.caution(format!("with {} as recorded, Redis may evict keys", object.name))
        }
        _ => remedy,
    }
}

/// Rights are put back; passwords never are: none is recorded, so that none can be set, and none that
/// is there is taken away.
fn user(object: &Drifted<'_>, recorded: &Attributes) -> Remedy {
    let name = object.name;
    if name == "default" {
        return Remedy::person("the user `default` may be the one that this tool logs in as");
    }
    let wanted = object.text("password");
    if object.is_absent() && wanted == "set" {
        return Remedy::person(no_longer_known(name));
    }
    let (rule, person) = match (password(object), wanted) {
        (None, "any") if object.is_absent() => (Some("nopass"), None),
        (None, _) => (None, None),
        (Some(_), "set") => (None, Some(no_longer_known(name))),
        (Some(live), _) if mentions(live, "set") => (None, Some(not_taken_away(name))),
        (Some(_), "any") => (Some("nopass"), None),
        (Some(_), _) => (Some("resetpass"), None),
    };
    let is_password = |change: &&&Change| change.attribute.as_deref() == Some("password");
    let others = object.changes.len() - object.changes.iter().filter(is_password).count();
    let mut remedy = match object.is_absent() || others > 0 || rule.is_some() {
        true => Remedy::steps([acl::step_of(name, &rules(recorded, rule))]),
        false => Remedy::default(),
    };
    remedy.person.extend(person);
    match object.is_absent() && rule.is_none() {
        true => remedy.caution(format!("{name} has no password then: give it the one it had")),
        false => remedy,
    }
}

/// What is live of the passwords, where that differs.
fn password<'d>(object: &'d Drifted<'_>) -> Option<&'d Value> {
    let mut changes = object.changes.iter();
    let found = changes.find(|change| change.attribute.as_deref() == Some("password"))?;
    Some(found.after.as_ref().unwrap_or(&Value::Null))
}

/// Whether the value is `text`, on one master at least.
fn mentions(value: &Value, text: &str) -> bool {
    match value {
        Value::String(own) => own == text,
        Value::Array(items) => items.iter().any(|item| mentions(item, text)),
        Value::Object(fields) => fields.values().any(|field| mentions(field, text)),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

fn no_longer_known(user: &str) -> String {
    format!(
        "no password is ever recorded: give user {user} one again by a migration with an `acl` step, or \
         by ACL SETUSER and then repair --accept-drift"
    )
}

fn not_taken_away(user: &str) -> String {
    format!(
        "user {user} has a password, and none is ever taken away: do it by ACL SETUSER {user} resetpass \
         (or nopass), or record it with repair --accept-drift"
    )
}

/// The rules that grant what is recorded. Saying nothing of passwords keeps the one that is there.
fn rules(recorded: &Attributes, password: Option<&str>) -> Vec<String> {
    let enabled = recorded.get("enabled").and_then(Value::as_bool).unwrap_or_default();
    let mut rules = vec![if enabled { "on" } else { "off" }.to_string()];
    rules.extend(password.map(str::to_string));
    for set in ["flags", "keys", "channels"] {
        let words = recorded.get(set).and_then(Value::as_array).into_iter().flatten();
        rules.extend(words.filter_map(Value::as_str).map(str::to_string));
    }
    let commands = recorded.get("commands").and_then(Value::as_str).unwrap_or_default();
    rules.extend(commands.split_whitespace().map(str::to_string));
    let selectors = recorded.get("selectors").and_then(Value::as_array).into_iter().flatten();
    rules.extend(selectors.filter_map(Value::as_str).map(str::to_string));
    rules
}
