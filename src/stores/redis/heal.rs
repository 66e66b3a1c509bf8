//! What puts a setting, a function or a user back as recorded, and which objects a step touches.

use serde_json::Value;

use super::steps::{acl, config, function};
use crate::shape::Attributes;
use crate::stores::remedy::{Drifted, Remedy};

pub(super) fn heal(object: &Drifted<'_>) -> Remedy {
    match (object.kind, object.recorded) {
        ("setting", Some(_)) => setting(object),
        ("function", Some(_)) => Remedy::steps([function::step_of(object.text("code"))]),
        ("user", Some(recorded)) => user(object, recorded),
        (_, _) => Remedy::person("no migration made it: nothing says how it should be"),
    }
}

fn setting(object: &Drifted<'_>) -> Remedy {
    let wanted = object.text("value").to_string();
    let remedy = Remedy::steps([config::step_of(&[(object.name.to_string(), wanted)])]);
    match object.name {
        "maxmemory" | "maxmemory-policy" => {
            remedy.caution(format!("with {} as recorded, Redis may evict keys", object.name))
        }
        _ => remedy,
    }
}

/// Rights are recorded, passwords never are: a user without the one he had is a person's to mend.
fn user(object: &Drifted<'_>, recorded: &Attributes) -> Remedy {
    let password_lost = object.differs_in("password");
    let has_password = object.text("password") == "set";
    if has_password && (object.is_absent() || password_lost) {
        return Remedy::person(format!(
            "no password is ever recorded: give user {} one again by a migration with an `acl` step",
            object.name
        ));
    }
    if object.name == "default" {
        return Remedy::person("the user `default` may be the one that this tool logs in as");
    }
    Remedy::steps([acl::step_of(object.name, &rules(recorded, has_password))])
}

/// The rules that grant what is recorded. Saying nothing of passwords keeps the one that is there.
fn rules(recorded: &Attributes, has_password: bool) -> Vec<String> {
    let enabled = recorded.get("enabled").and_then(Value::as_bool).unwrap_or_default();
    let mut rules = vec![if enabled { "on" } else { "off" }.to_string()];
    if !has_password {
        let any = recorded.get("password").and_then(Value::as_str) == Some("any");
        rules.push(if any { "nopass" } else { "resetpass" }.to_string());
    }
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
