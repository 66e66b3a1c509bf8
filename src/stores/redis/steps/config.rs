//! Server settings: which of them a migration may set, and when two values mean the same.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::shape::Attributes;
use crate::text::document::plain_number;
use crate::text::{DocumentKey, Node, NodeKind, ScriptError};

/// Server settings, in the order of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Name and value of each.
    pub settings: Vec<(String, String)>,
}

const SERVER_OWN: &str = "it belongs in the server's own configuration";
const CUTS_OFF: &str = "a change at run time may cut off clients, this tool among them";
const SECRET: &str = "it is a secret, which has no place in a migration";
const AT_START: &str = "Redis takes it at its start only";
const FILES: &str = "Redis protects it, because it says where files are written";

/// Settings that a migration must not touch, and why.
const FORBIDDEN: [(&str, &str); 36] = [
    ("port", CUTS_OFF),
    ("bind", CUTS_OFF),
    ("bind-source-addr", CUTS_OFF),
    ("unixsocket", AT_START),
    ("unixsocketperm", AT_START),
    ("requirepass", SECRET),
    ("masterauth", SECRET),
    ("masteruser", SECRET),
    ("user", "users are set by an `acl` step"),
    ("aclfile", AT_START),
    ("dir", FILES),
    ("dbfilename", FILES),
    ("appendfilename", AT_START),
    ("appenddirname", AT_START),
    ("logfile", AT_START),
    ("pidfile", AT_START),
    ("databases", AT_START),
    ("daemonize", AT_START),
    ("supervised", AT_START),
    ("io-threads", AT_START),
    ("io-threads-do-reads", AT_START),
    ("tcp-backlog", AT_START),
    ("syslog-enabled", AT_START),
    ("syslog-ident", AT_START),
    ("syslog-facility", AT_START),
    ("include", AT_START),
    ("loadmodule", AT_START),
    ("rename-command", AT_START),
    ("enable-protected-configs", AT_START),
    ("enable-debug-command", AT_START),
    ("enable-module-command", AT_START),
    ("cluster-enabled", AT_START),
    ("cluster-config-file", AT_START),
    ("cluster-port", CUTS_OFF),
    ("replicaof", "who is master is not a migration's to decide"),
    ("slaveof", "who is master is not a migration's to decide"),
];

/// Settings that say who the server is to its network: a prefix of the name tells.
const FORBIDDEN_PREFIXES: [(&str, &str); 4] = [
    ("tls-", CUTS_OFF),
    ("cluster-announce-", SERVER_OWN),
    ("replica-announce-", SERVER_OWN),
    ("slave-announce-", SERVER_OWN),
];

impl Config {
    /// Reads settings.
    pub fn parse(node: &Node) -> Result<Config, ScriptError> {
        let fields = node.object("config")?;
        if fields.is_empty() {
            return Err(ScriptError::new(node.span.clone(), "config sets nothing")
                .hint("write for instance `config: { \"maxmemory-policy\": \"allkeys-lru\" }`"));
        }
        let mut settings: Vec<(String, String)> = Vec::new();
        for (key, value) in fields {
            let name = name(key)?;
            if settings.iter().any(|(known, _)| *known == name) {
                let message = format!("the setting `{name}` stands twice in this step");
                return Err(ScriptError::new(key.span.clone(), message).hint("keep one of them"));
            }
            settings.push((name, text(value)?));
        }
        Ok(Config { settings })
    }

    /// The names of the settings.
    pub fn names(&self) -> Vec<&str> {
        self.settings.iter().map(|(name, _)| name.as_str()).collect()
    }

    /// The settings as they are recorded, where the file alone tells how the server will show them.
    pub fn declares(&self) -> Vec<(String, Option<Attributes>)> {
        let plain = self.settings.iter().filter(|(_, value)| !value.contains(' '));
        plain.map(|(name, value)| (object(name), Some(attributes(name, value)))).collect()
    }
}

/// The step that sets `settings`.
pub fn step_of(settings: &[(String, String)]) -> Value {
    let settings: serde_json::Map<String, Value> =
        settings.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
    json!({"config": settings})
}

/// The name of a setting in a shape.
pub fn object(name: &str) -> String {
    format!("setting {name}")
}

/// A setting in a shape.
pub fn attributes(name: &str, value: &str) -> Attributes {
    Attributes::from_iter([("value".to_string(), json!(normal(name, value)))])
}

fn name(key: &DocumentKey) -> Result<String, ScriptError> {
    let name = key.name.to_lowercase();
    let refused = |why: &str| {
        let message = format!("a migration must not set `{name}`: {why}");
        Err(ScriptError::new(key.span.clone(), message)
            .hint("set it where the server is started: redis.conf, Compose file, chart values"))
    };
    if let Some((_, why)) = FORBIDDEN.iter().find(|(known, _)| *known == name) {
        return refused(why);
    }
    if let Some((_, why)) = FORBIDDEN_PREFIXES.iter().find(|(start, _)| name.starts_with(start)) {
        return refused(why);
    }
    if name.ends_with("pass") || name.ends_with("password") || name.ends_with("auth") {
        return refused(SECRET);
    }
    // CONFIG GET takes patterns: a name with a star would read other settings.
    match !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c)) {
        true => Ok(name),
        false => {
            let message = format!("`{name}` is not the name of a setting");
            Err(ScriptError::new(key.span.clone(), message))
        }
    }
}

fn text(node: &Node) -> Result<String, ScriptError> {
    match &node.kind {
        NodeKind::String(text) => Ok(text.trim().to_string()),
        NodeKind::Bool(true) => Ok("yes".to_string()),
        NodeKind::Bool(false) => Ok("no".to_string()),
        NodeKind::Number(number) => Ok(plain_number(number)),
        NodeKind::Null | NodeKind::Array(_) | NodeKind::Object(_) => {
            let message =
                format!("a setting is a string, a number or a boolean, not {}", node.describe());
            Err(ScriptError::new(node.span.clone(), message))
        }
    }
}

/// Whether the server's `live` value is what `wanted` asks for.
pub fn same(name: &str, wanted: &str, live: &str) -> bool {
    let (wanted, live) = (normal(name, wanted), normal(name, live));
    match name {
        // Read back with all classes, although one alone may be set.
        "client-output-buffer-limit" => {
            let live = classes(&live);
            classes(&wanted).iter().all(|class| live.contains(class))
        }
        _ => wanted == live,
    }
}

fn classes(limits: &str) -> BTreeSet<Vec<&str>> {
    let words: Vec<&str> = limits.split(' ').collect();
    words.chunks(4).map(<[&str]>::to_vec).collect()
}

/// A value in one form: numbers without units, words in lower case, flags in order.
pub fn normal(name: &str, value: &str) -> String {
    match name {
        "notify-keyspace-events" => flags(value),
        _ => value.split_whitespace().map(word).collect::<Vec<_>>().join(" "),
    }
}

fn word(word: &str) -> String {
    match bytes(word) {
        Some(number) => number.to_string(),
        None if word.eq_ignore_ascii_case("slave") => "replica".to_string(),
        None => word.to_lowercase(),
    }
}

/// The number of a value with a unit, by the rules of redis.conf: `1k` is 1000, `1kb` is 1024.
pub fn bytes(word: &str) -> Option<i128> {
    let at = word.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(word.len());
    let (digits, unit) = word.split_at(at);
    let factor: i128 = match unit.to_lowercase().as_str() {
        "" | "b" => 1,
        "k" => 1_000,
        "kb" => 1 << 10,
        "m" => 1_000_000,
        "mb" => 1 << 20,
        "g" => 1_000_000_000,
        "gb" => 1 << 30,
        _ => return None,
    };
    digits.parse::<i64>().ok().map(|number| i128::from(number) * factor)
}

/// The classes of key space events: `A` stands for all but `m` and `n`.
fn flags(value: &str) -> String {
    let all = "g$lshzxetd";
    let each = value.chars().flat_map(|c| match c {
        'A' => all.chars().collect::<Vec<_>>(),
        other => vec![other],
    });
    each.collect::<BTreeSet<char>>().into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(text: &str) -> Result<Config, ScriptError> {
        Config::parse(&Node::parse(text).expect("JSON5"))
    }

    #[test]
    fn values_that_mean_the_same_are_the_same() {
        for (name, wanted, live) in [
            ("maxmemory", "1gb", "1073741824"),
            ("maxmemory", "1GB", "1073741824"),
            ("maxmemory", "100m", "100000000"),
            ("timeout", "0", "0"),
            ("list-max-listpack-size", "-2", "-2"),
            ("appendonly", "YES", "yes"),
            ("save", "3600 1  300 100", "3600 1 300 100"),
            ("save", "", ""),
            ("notify-keyspace-events", "KEA", "AKE"),
            ("notify-keyspace-events", "Kg$lshzxetd", "AK"),
            ("maxmemory-clients", "5%", "5%"),
            (
                "client-output-buffer-limit",
                "pubsub 32mb 8mb 60",
                "normal 0 0 0 slave 268435456 67108864 60 pubsub 33554432 8388608 60",
            ),
        ] {
            assert!(same(name, wanted, live), "{name}: {wanted} {live}");
        }
        assert!(!same("maxmemory", "1gb", "1000000000"));
        assert!(!same("maxmemory-policy", "allkeys-lru", "noeviction"));
        assert!(!same("save", "", "3600 1"));
    }

    #[test]
    fn a_setting_is_declared_as_the_server_will_show_it() {
        let read = config(r#"{ maxmemory: "1gb", appendonly: true, HZ: 20, save: "60 1" }"#);
        let declared = read.expect("config").declares();
        let names: Vec<&str> = declared.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["setting maxmemory", "setting appendonly", "setting hz"]);
        let value = declared[0].1.as_ref().and_then(|attributes| attributes.get("value"));
        assert_eq!(value, Some(&json!("1073741824")));
    }

    #[test]
    fn what_a_migration_must_not_set_is_refused_with_the_reason() {
        for name in ["port", "bind", "requirepass", "masterauth", "dir", "dbfilename", "PORT"] {
            let error = config(&format!("{{ \"{name}\": \"x\" }}")).expect_err(name);
            assert!(error.message.contains("must not set"), "{}", error.message);
        }
        assert!(config(r#"{ "tls-port": 1 }"#).is_err());
        assert!(config(r#"{ "max*": 1 }"#).is_err());
        assert!(config(r#"{ hz: 1, HZ: 2 }"#).is_err());
        assert!(config(r#"{ hz: null }"#).is_err());
        assert!(config("{}").is_err());
        assert!(config(r#"{ "protected-mode": "yes" }"#).is_ok());
    }
}
