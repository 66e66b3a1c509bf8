//! The steps of a Redis migration: JSON5 nodes into a closed set, their labels and inverses.
//! Pure: no server is contacted here.

pub mod acl;
pub mod command;
pub mod config;
pub mod function;
pub mod keyspace;
pub mod rewrite;

use serde_json::{Value, json};

use crate::shape::Attributes;
use crate::stores::contract::Operation;
use crate::text::document::unknown_key;
use crate::text::{Node, ScriptError};

use acl::Acl;
use command::RawCommand;
use config::Config;
use function::Function;
use keyspace::{Contract, Pattern};
use rewrite::Rewrite;

const KINDS: [&str; 9] = [
    "keyspace",
    "dropKeyspace",
    "rewrite",
    "config",
    "function",
    "deleteFunction",
    "acl",
    "deleteUser",
    "command",
];

/// One Redis operation.
#[derive(Clone, Debug)]
pub enum Step {
    /// Registers a contract that `validate` holds live keys against.
    Keyspace(Contract),
    /// Ends a contract; no key is touched.
    DropKeyspace(Pattern),
    /// Changes every key that matches a pattern.
    Rewrite(Rewrite),
    /// Sets server settings.
    Config(Config),
    /// Loads a function library.
    Function(Function),
    /// Deletes a function library.
    DeleteFunction(String),
    /// Sets what a user may do.
    Acl(Acl),
    /// Deletes a user.
    DeleteUser(String),
    /// Any other command.
    Command(RawCommand),
}

impl Step {
    /// Reads a step: an object with one key, which names the operation.
    pub fn parse(node: &Node) -> Result<Step, ScriptError> {
        let [(key, value)] = node.object("a step")? else {
            let message = "a step is an object with one key, which names the operation";
            return Err(ScriptError::new(node.span.clone(), message)
                .hint(format!("the operations are {}", KINDS.join(", "))));
        };
        match key.name.as_str() {
            "keyspace" => Contract::parse(value).map(Step::Keyspace),
            "dropKeyspace" => Pattern::parse(value, "dropKeyspace").map(Step::DropKeyspace),
            "rewrite" => Rewrite::parse(value).map(Step::Rewrite),
            "config" => Config::parse(value).map(Step::Config),
            "function" => Function::parse(value).map(Step::Function),
            "deleteFunction" => function::library(value).map(Step::DeleteFunction),
            "acl" => Acl::parse(value).map(Step::Acl),
            "deleteUser" => acl::user_to_delete(value).map(Step::DeleteUser),
            "command" => RawCommand::parse(value).map(Step::Command),
            _ => Err(unknown_key(key, "a Redis step", &KINDS)),
        }
    }

    /// These keep in `before` the very step that restores what was there, or why none does.
    fn restored(&self, before: &Value) -> Result<Vec<Value>, String> {
        match (before.get("lost"), before) {
            (Some(why), _) => Err(why.as_str().unwrap_or("it was not kept").to_string()),
            (None, Value::Null) => self.removal().map(|step| vec![step]),
            (None, step) => Ok(vec![step.clone()]),
        }
    }

    fn removal(&self) -> Result<Value, String> {
        match self {
            Step::Keyspace(contract) => Ok(json!({"dropKeyspace": contract.pattern.written})),
            Step::Function(function) => Ok(json!({"deleteFunction": function.library})),
            Step::Acl(acl) => Ok(json!({"deleteUser": acl.user})),
            Step::DropKeyspace(_)
            | Step::Rewrite(_)
            | Step::Config(_)
            | Step::DeleteFunction(_)
            | Step::DeleteUser(_)
            | Step::Command(_) => Err("what was there before is not known".to_string()),
        }
    }
}

impl Operation for Step {
    /// The operation in a few words; never a rule of a user or an argument that may be a secret.
    fn label(&self) -> String {
        match self {
            Step::Keyspace(contract) => format!("keyspace {}", contract.pattern.written),
            Step::DropKeyspace(pattern) => format!("dropKeyspace {}", pattern.written),
            Step::Rewrite(rewrite) => rewrite.label(),
            Step::Config(config) => format!("config {}", config.names().join(", ")),
            Step::Function(function) => format!("function {}", function.library),
            Step::DeleteFunction(library) => format!("deleteFunction {library}"),
            Step::Acl(acl) => format!("acl {}", acl.user),
            Step::DeleteUser(user) => format!("deleteUser {user}"),
            Step::Command(command) => command.label(),
        }
    }

    fn hazards(&self) -> Vec<String> {
        match self {
            Step::Rewrite(rewrite) => match rewrite.change {
                rewrite::Change::Delete => vec!["deletes every key that matches".into()],
                rewrite::Change::Ttl(_) => vec!["every key that matches will expire".into()],
                rewrite::Change::Rename { .. } | rewrite::Change::Persist => Vec::new(),
            },
            // Whether it was done can be looked up.
            Step::Command(command) if command.group().is_some() => Vec::new(),
            Step::Command(_) => {
                vec!["a raw command: a run killed in it may need a person to settle it".into()]
            }
            Step::Keyspace(_)
            | Step::DropKeyspace(_)
            | Step::Config(_)
            | Step::Function(_)
            | Step::DeleteFunction(_)
            | Step::Acl(_)
            | Step::DeleteUser(_) => Vec::new(),
        }
    }

    fn inverse(&self, before: &Value) -> Result<Vec<Value>, String> {
        match self {
            Step::Rewrite(rewrite) => rewrite.inverse(before),
            Step::Command(command) => {
                Err(format!("what undoes `{}` cannot be told from the command", command.label()))
            }
            Step::Keyspace(_)
            | Step::DropKeyspace(_)
            | Step::Config(_)
            | Step::Function(_)
            | Step::DeleteFunction(_)
            | Step::Acl(_)
            | Step::DeleteUser(_) => self.restored(before),
        }
    }

    /// What the step puts into the recorded shape by itself: a contract, of which Redis holds
    /// nothing, and a setting, of which it holds hundreds that no migration ever named.
    fn declares(&self) -> Vec<(String, Option<Attributes>)> {
        match self {
            Step::Keyspace(contract) => {
                vec![(contract.pattern.object(), Some(contract.attributes()))]
            }
            Step::DropKeyspace(pattern) => vec![(pattern.object(), None)],
            Step::Config(config) => config.declares(),
            Step::Acl(acl) => acl::declares(acl),
            Step::DeleteUser(user) => vec![(acl::no_password(user), None)],
            Step::Rewrite(_) | Step::Function(_) | Step::DeleteFunction(_) | Step::Command(_) => {
                Vec::new()
            }
        }
    }

    /// A setting that a person has made, because the server lets nobody else, is not compared any more.
    fn declares_by_person(&self) -> Vec<(String, Option<Attributes>)> {
        match self {
            Step::Config(config) => {
                config.names().into_iter().map(|name| (config::object(name), None)).collect()
            }
            Step::Keyspace(_)
            | Step::DropKeyspace(_)
            | Step::Acl(_)
            | Step::DeleteUser(_)
            | Step::Rewrite(_)
            | Step::Function(_)
            | Step::DeleteFunction(_)
            | Step::Command(_) => self.declares(),
        }
    }

    fn removes(&self) -> bool {
        matches!(self, Step::DropKeyspace(_) | Step::DeleteFunction(_) | Step::DeleteUser(_))
    }

    fn touches(&self, object: &str) -> bool {
        let is = |kind: &str, name: &str| {
            object.strip_prefix(kind).and_then(|rest| rest.strip_prefix(' ')) == Some(name)
        };
        match self {
            Step::Keyspace(contract) => object == contract.pattern.object(),
            Step::DropKeyspace(pattern) => object == pattern.object(),
            Step::Rewrite(_) => false,
            Step::Config(config) => config.names().iter().any(|name| is("setting", name)),
            Step::Function(function) => is("function", &function.library),
            Step::DeleteFunction(library) => is("function", library),
            Step::Acl(Acl { user, .. }) | Step::DeleteUser(user) => {
                is("user", user) || object == acl::no_password(user)
            }
            Step::Command(_) => true,
        }
    }

    fn makes(&self, object: &str) -> bool {
        match self {
            Step::Function(_) | Step::Acl(_) | Step::DeleteFunction(_) | Step::DeleteUser(_) => {
                Operation::touches(self, object)
            }
            Step::Keyspace(_)
            | Step::DropKeyspace(_)
            | Step::Rewrite(_)
            | Step::Config(_)
            | Step::Command(_) => false,
        }
    }
}

/// What `before` keeps where nothing can restore what was there.
pub fn lost(why: impl Into<String>) -> Value {
    json!({"lost": why.into()})
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Step, ScriptError> {
        Step::parse(&Node::parse(text).expect("JSON5"))
    }

    /// Parses `text`, takes the inverse over `before`, and parses that again.
    fn inverse(text: &str, before: Value) -> Result<Vec<Value>, String> {
        let steps = parse(text).expect(text).inverse(&before)?;
        for step in &steps {
            Step::parse(&Node::from_json(step)).unwrap_or_else(|why| panic!("{step}: {why:?}"));
        }
        Ok(steps)
    }

    #[test]
    fn a_step_names_one_operation() {
        let error = parse("{ keyspce: {} }").expect_err("unknown");
        assert_eq!(error.hint.as_deref(), Some("did you mean `keyspace`?"));
        assert!(parse("{ config: {}, acl: {} }").is_err());
        assert!(parse("{}").is_err());
        assert!(parse("[]").is_err());
    }

    #[test]
    fn what_was_made_is_removed_and_what_was_replaced_is_restored() {
        let keyspace = r#"{ keyspace: { pattern: "s:{id}", type: "hash", ttl: "1h" } }"#;
        assert_eq!(inverse(keyspace, Value::Null), Ok(vec![json!({"dropKeyspace": "s:{id}"})]));
        let old = json!({"keyspace": {"pattern": "s:*", "type": ["set"], "ttl": "any"}});
        assert_eq!(inverse(keyspace, old.clone()), Ok(vec![old.clone()]));
        assert_eq!(inverse(r#"{ dropKeyspace: "s:{id}" }"#, old.clone()), Ok(vec![old]));

        let function = r##"{ function: { code: "#!lua name=lib\n" } }"##;
        assert_eq!(inverse(function, Value::Null), Ok(vec![json!({"deleteFunction": "lib"})]));
        let acl = r#"{ acl: { user: "app", rules: ["on"] } }"#;
        assert_eq!(inverse(acl, Value::Null), Ok(vec![json!({"deleteUser": "app"})]));
        let config = r#"{ config: { hz: 20 } }"#;
        let old = json!({"config": {"hz": "10", "save": ""}});
        assert_eq!(inverse(config, old.clone()), Ok(vec![old]));
    }

    #[test]
    fn what_cannot_be_undone_says_why() {
        let acl = r#"{ acl: { user: "app", rules: ["on", ">pw"] } }"#;
        assert_eq!(inverse(acl, lost("no password is kept")), Err("no password is kept".into()));
        let why = inverse(r#"{ command: ["XGROUP", "CREATE", "s", "g", "$"] }"#, Value::Null);
        assert!(why.expect_err("raw").contains("XGROUP CREATE s"));
        assert!(inverse(r#"{ config: { hz: 20 } }"#, Value::Null).is_err());
    }
}
