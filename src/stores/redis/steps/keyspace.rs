//! Contracts: what the keys of a pattern are to look like.

use serde_json::{Value, json};

use crate::shape::Attributes;
use crate::text::document::nearest;
use crate::text::parse_duration;
use crate::text::{Fields, Node, NodeKind, ScriptError};

/// The types that keys can have.
pub const TYPES: [&str; 6] = ["string", "hash", "list", "set", "zset", "stream"];

/// A pattern of keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    /// As it was written: `session:{user_id}`.
    pub written: String,
    /// As Redis matches it: `session:*`.
    pub glob: String,
}

/// What the keys of a pattern are to look like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contract {
    /// Which keys.
    pub pattern: Pattern,
    /// The types that they may have, sorted; empty where no such key may exist (channels).
    pub types: Vec<String>,
    /// How long they live.
    pub ttl: Ttl,
    /// What they are for.
    pub purpose: Option<String>,
}

/// How long keys live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ttl {
    /// At most so many seconds.
    Seconds(u64),
    /// They never expire.
    None,
    /// Whatever the writer chooses.
    Any,
}

impl Pattern {
    /// Reads a pattern; `{x}` stands for `*`, and `\{` for the brace itself.
    pub fn parse(node: &Node, what: &str) -> Result<Pattern, ScriptError> {
        let written = node.string(what)?;
        let wrong = |message: &str| {
            ScriptError::new(node.span.clone(), format!("{what} `{written}`: {message}"))
                .hint("write `session:{user_id}` or `session:*`; `\\\\{` is a brace of the key")
        };
        if written.is_empty() {
            return Err(wrong("the pattern is empty"));
        }
        let glob = glob_of(written).ok_or_else(|| wrong("a `{name}` is not whole"))?;
        Ok(Pattern { written: written.to_string(), glob })
    }

    /// The name of the contract in the recorded shape.
    pub fn object(&self) -> String {
        format!("keyspace {}", self.glob)
    }
}

fn glob_of(written: &str) -> Option<String> {
    let mut glob = String::new();
    let mut rest = written.chars();
    while let Some(c) = rest.next() {
        match c {
            '\\' => glob.extend(['\\', rest.next()?]),
            '{' => {
                let (name, after) = rest.as_str().split_once('}')?;
                let is_name = |c: char| c.is_alphanumeric() || "_-.".contains(c);
                if name.is_empty() || !name.chars().all(is_name) {
                    return None;
                }
                push_star(&mut glob);
                rest = after.chars();
            }
            '}' => return None,
            '*' => push_star(&mut glob),
            other => glob.push(other),
        }
    }
    Some(glob)
}

/// Two stars match what one matches: one name for one set of keys.
fn push_star(glob: &mut String) {
    if !glob.ends_with('*') || glob.ends_with("\\*") {
        glob.push('*');
    }
}

impl Contract {
    /// Reads a contract.
    pub fn parse(node: &Node) -> Result<Contract, ScriptError> {
        let mut fields = Fields::of(node, "keyspace")?;
        let pattern = Pattern::parse(fields.required("pattern")?, "pattern")?;
        let types = types(fields.required("type")?)?;
        let ttl_node = fields.required("ttl")?;
        let ttl = Ttl::parse(ttl_node)?;
        let purpose = fields.optional("purpose");
        let purpose = purpose.map(|node| node.string("purpose").map(str::to_string)).transpose()?;
        fields.finish()?;
        if types.is_empty() && matches!(ttl, Ttl::Seconds(_)) {
            let message = "where no key may exist (`type: \"never\"`) there is no time to live";
            return Err(
                ScriptError::new(ttl_node.span.clone(), message).hint("write `ttl: \"none\"`")
            );
        }
        Ok(Contract { pattern, types, ttl, purpose })
    }

    /// The contract in the recorded shape.
    pub fn attributes(&self) -> Attributes {
        let types = match self.types.is_empty() {
            true => json!("never"),
            false => json!(self.types),
        };
        let mut attributes = Attributes::from_iter([
            ("pattern".to_string(), json!(self.pattern.written)),
            ("type".to_string(), types),
            ("ttlSeconds".to_string(), self.ttl.attribute()),
        ]);
        if let Some(purpose) = &self.purpose {
            attributes.insert("purpose".to_string(), json!(purpose));
        }
        attributes
    }
}

/// The step that registers the contract again that the recorded shape describes.
pub fn step_of(attributes: &Attributes) -> Value {
    let mut contract = serde_json::Map::new();
    for (name, value) in attributes {
        match (name.as_str(), value.as_u64()) {
            ("ttlSeconds", Some(seconds)) => contract.insert("ttl".into(), seconds_text(seconds)),
            ("ttlSeconds", None) => contract.insert("ttl".into(), value.clone()),
            (_, _) => contract.insert(name.clone(), value.clone()),
        };
    }
    json!({"keyspace": contract})
}

fn seconds_text(seconds: u64) -> Value {
    json!(format!("{seconds}s"))
}

impl Ttl {
    fn parse(node: &Node) -> Result<Ttl, ScriptError> {
        match node.string("ttl")? {
            "none" => Ok(Ttl::None),
            "any" => Ok(Ttl::Any),
            _ => seconds(node, "ttl").map(Ttl::Seconds),
        }
    }

    fn attribute(self) -> Value {
        match self {
            Ttl::Seconds(seconds) => json!(seconds),
            Ttl::None => json!("none"),
            Ttl::Any => json!("any"),
        }
    }
}

/// A duration of whole seconds, with its unit.
pub fn seconds(node: &Node, what: &str) -> Result<u64, ScriptError> {
    let text = node.string(what)?;
    let has_unit = text.ends_with(|c: char| c.is_alphabetic());
    match parse_duration(text).filter(|time| has_unit && time.subsec_millis() == 0) {
        Some(time) if time.as_secs() > 0 => Ok(time.as_secs()),
        Some(_) | None => {
            let message = format!("{what} `{text}` is not a time of at least one second");
            Err(ScriptError::new(node.span.clone(), message)
                .hint("write for instance `24h`, `30m`, `60s` or `1d`"))
        }
    }
}

fn types(node: &Node) -> Result<Vec<String>, ScriptError> {
    if let NodeKind::Array(items) = &node.kind {
        let mut types = items.iter().map(key_type).collect::<Result<Vec<_>, _>>()?;
        types.sort();
        types.dedup();
        return match types.is_empty() {
            true => Err(ScriptError::new(node.span.clone(), "type names no type")
                .hint("where no key may exist, write `type: \"never\"`")),
            false => Ok(types),
        };
    }
    match node.string("type")? {
        "never" => Ok(Vec::new()),
        _ => Ok(vec![key_type(node)?]),
    }
}

/// The name of a type that a key can have.
pub fn key_type(node: &Node) -> Result<String, ScriptError> {
    let name = node.string("type")?;
    if TYPES.contains(&name) {
        return Ok(name.to_string());
    }
    let error = ScriptError::new(node.span.clone(), format!("Redis has no key type `{name}`"));
    Err(match nearest(name, TYPES) {
        Some(near) => error.hint(format!("did you mean `{near}`?")),
        None => error.hint(format!("the types are {}", TYPES.join(", "))),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contract(text: &str) -> Result<Contract, ScriptError> {
        Contract::parse(&Node::parse(text).expect("JSON5"))
    }

    #[test]
    fn a_contract_is_recorded_and_comes_back_the_same() {
        for text in [
            r#"{ pattern: "session:{user_id}", type: "hash", ttl: "24h", purpose: "sessions" }"#,
            r#"{ pattern: "stats:*", type: ["zset", "hash", "hash"], ttl: "90s" }"#,
            r#"{ pattern: "pubsub:{c}", type: "never", ttl: "none" }"#,
            r#"{ pattern: "lock:{a}{b}", type: "string", ttl: "any" }"#,
        ] {
            let read = contract(text).expect(text);
            let step = step_of(&read.attributes());
            let again = Contract::parse(&Node::from_json(&step["keyspace"])).expect("again");
            assert_eq!(read, again);
        }
        let read = contract(r#"{ pattern: "s:{a}{b}*", type: ["zset", "hash"], ttl: "1m" }"#);
        let read = read.expect("contract");
        assert_eq!(read.pattern.object(), "keyspace s:*");
        let attributes = serde_json::to_string(&read.attributes()).expect("attributes");
        let wanted = r#"{"pattern":"s:{a}{b}*","ttlSeconds":60,"type":["hash","zset"]}"#;
        assert_eq!(attributes, wanted);
    }

    #[test]
    fn mistakes_are_found_offline() {
        for (text, said) in [
            (r#"{ pattern: "s:{a", type: "hash", ttl: "1h" }"#, "not whole"),
            (r#"{ pattern: "s:{}", type: "hash", ttl: "1h" }"#, "not whole"),
            (r#"{ pattern: "", type: "hash", ttl: "1h" }"#, "empty"),
            (r#"{ pattern: "s", type: "hsah", ttl: "1h" }"#, "hsah"),
            (r#"{ pattern: "s", type: [], ttl: "1h" }"#, "no type"),
            (r#"{ pattern: "s", type: "hash", ttl: "3600" }"#, "3600"),
            (r#"{ pattern: "s", type: "hash", ttl: "0s" }"#, "0s"),
            (r#"{ pattern: "s", type: "hash", ttl: 60 }"#, "a string"),
            (r#"{ pattern: "s", type: "never", ttl: "1h" }"#, "no time to live"),
            (r#"{ pattern: "s", type: "hash" }"#, "lacks `ttl`"),
            (r#"{ pattern: "s", type: "hash", ttl: "1h", purpos: "" }"#, "purpos"),
        ] {
            let error = contract(text).expect_err(text);
            assert!(error.message.contains(said), "{text}: {}", error.message);
        }
    }

    #[test]
    fn braces_of_the_key_itself_are_escaped() {
        let node = Node::from_json(&json!(r"tag:\{1\}:{x}"));
        assert_eq!(Pattern::parse(&node, "pattern").expect("pattern").glob, r"tag:\{1\}:*");
    }
}
