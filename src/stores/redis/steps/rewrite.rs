//! Rewrites: one change to every key that matches a pattern.

use serde_json::{Value, json};

use super::keyspace::{Pattern, key_type, seconds};
use crate::text::document::nearest;
use crate::text::{Fields, Node, ScriptError};

/// Keys per SCAN: larger ones are no faster and hold the server up for longer.
pub const COUNT: usize = 1000;
const CHANGES: [&str; 4] = ["set", "rename", "persist", "delete"];

/// What `before` keeps where every key was such that the change can be taken back: none had a time
/// to live, or none had the new name's prefix.
pub fn reversible() -> Value {
    json!({"uniform": true})
}

/// One change to every key that matches a pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rewrite {
    /// Which keys.
    pub matching: Pattern,
    /// Only keys of this type.
    pub key_type: Option<String>,
    /// How many keys the server looks at per SCAN.
    pub count: usize,
    /// What becomes of them.
    pub change: Change,
}

/// What becomes of each key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// It lives for so many seconds from now.
    Ttl(u64),
    /// It is called `to` and what followed `prefix`.
    Rename {
        /// What its name begins with.
        prefix: String,
        /// What its name is to begin with.
        to: String,
    },
    /// It never expires.
    Persist,
    /// It goes.
    Delete,
}

impl Rewrite {
    /// Reads a rewrite.
    pub fn parse(node: &Node) -> Result<Rewrite, ScriptError> {
        let mut fields = Fields::of(node, "rewrite")?;
        let match_node = fields.required("match")?;
        let matching = Pattern::parse(match_node, "match")?;
        let key_type = fields.optional("type").map(key_type).transpose()?;
        let count = fields.optional("count").map(count).transpose()?.unwrap_or(COUNT);
        let given: Vec<(&str, &Node)> =
            CHANGES.into_iter().filter_map(|name| Some((name, fields.optional(name)?))).collect();
        fields.finish()?;
        let [(name, value)] = given[..] else {
            let message = "a rewrite makes one change to its keys";
            return Err(ScriptError::new(node.span.clone(), message).hint(
                "give one of `set: { ttl: \"24h\" }`, \
                 `rename: { prefix: \"old:\", to: \"new:\" }`, `persist: true`, `delete: true`",
            ));
        };
        let change = Change::parse(name, value)?;
        if let Change::Rename { prefix, .. } = &change {
            expect_head(match_node, &matching, prefix)?;
        }
        Ok(Rewrite { matching, key_type, count, change })
    }

    /// The rewrite in a few words.
    pub fn label(&self) -> String {
        let keys = &self.matching.written;
        match &self.change {
            Change::Ttl(seconds) => format!("rewrite {keys} set ttl {seconds}s"),
            Change::Rename { prefix, to } => format!("rewrite {keys} rename {prefix} to {to}"),
            Change::Persist => format!("rewrite {keys} persist"),
            Change::Delete => format!("rewrite {keys} delete"),
        }
    }

    /// What undoes the rewrite, where `before` holds that it takes back this and nothing else.
    pub fn inverse(&self, before: &Value) -> Result<Vec<Value>, String> {
        if let Some(why) = before.get("lost").and_then(Value::as_str) {
            return Err(why.to_string());
        }
        let known = *before == reversible();
        match &self.change {
            Change::Ttl(_) if known => {
                Ok(vec![self.with(&self.matching.written, "persist", json!(true))])
            }
            Change::Rename { prefix, to } if known => {
                self.reversed(prefix, to).map(|step| vec![step])
            }
            Change::Ttl(_) | Change::Rename { .. } => {
                Err("how the keys were before is not known".to_string())
            }
            Change::Persist => Err("the times to live that the keys had are not kept".to_string()),
            Change::Delete => Err("deleted keys are not kept".to_string()),
        }
    }

    fn reversed(&self, prefix: &str, to: &str) -> Result<Value, String> {
        let matching = self.renamed().ok_or("the pattern cannot be turned round")?;
        if to.is_empty() || prefix.starts_with(to) {
            return Err(format!("keys that begin with `{to}` are not these alone"));
        }
        Ok(self.with(&matching, "rename", json!({"prefix": to, "to": prefix})))
    }

    /// The pattern that matches the keys once they are renamed.
    pub fn renamed(&self) -> Option<String> {
        let Change::Rename { prefix, to } = &self.change else { return None };
        let rest = after_head(&self.matching.written, prefix)?;
        Some(format!("{}{rest}", escaped(to)))
    }

    fn with(&self, matching: &str, change: &str, value: Value) -> Value {
        let mut rewrite = serde_json::Map::from_iter([
            ("match".to_string(), json!(matching)),
            (change.to_string(), value),
        ]);
        if let Some(key_type) = &self.key_type {
            rewrite.insert("type".to_string(), json!(key_type));
        }
        if self.count != COUNT {
            rewrite.insert("count".to_string(), json!(self.count));
        }
        json!({"rewrite": rewrite})
    }
}

impl Change {
    fn parse(name: &str, node: &Node) -> Result<Change, ScriptError> {
        match name {
            "set" => {
                let mut fields = Fields::of(node, "set")?;
                let ttl = seconds(fields.required("ttl")?, "ttl")?;
                fields.finish()?;
                Ok(Change::Ttl(ttl))
            }
            "rename" => rename(node),
            "persist" => only_true(node, name).map(|()| Change::Persist),
            _ => only_true(node, name).map(|()| Change::Delete),
        }
    }
}

fn rename(node: &Node) -> Result<Change, ScriptError> {
    let mut fields = Fields::of(node, "rename")?;
    let prefix = fields.required("prefix")?.string("prefix")?.to_string();
    let to_node = fields.required("to")?;
    let to = to_node.string("to")?.to_string();
    fields.finish()?;
    if prefix.is_empty() {
        return Err(ScriptError::new(node.span.clone(), "rename: `prefix` is empty")
            .hint("name what the keys begin with, so that a renamed key is not met again"));
    }
    if to.starts_with(&prefix) {
        let message = format!("`{to}` begins with `{prefix}`: a renamed key would be met again");
        return Err(ScriptError::new(to_node.span.clone(), message)
            .hint("rename to a prefix of its own, and from there in a later step"));
    }
    Ok(Change::Rename { prefix, to })
}

fn only_true(node: &Node, what: &str) -> Result<(), ScriptError> {
    match node.boolean(what)? {
        true => Ok(()),
        false => Err(ScriptError::new(node.span.clone(), format!("`{what}: false` does nothing"))
            .hint("write `true`, or leave the step out")),
    }
}

fn count(node: &Node) -> Result<usize, ScriptError> {
    let count = node.integer("count")?;
    usize::try_from(count).ok().filter(|count| (1..=100_000).contains(count)).ok_or_else(|| {
        ScriptError::new(node.span.clone(), "count is a number from 1 to 100000")
            .hint(format!("{COUNT} is what serves best"))
    })
}

fn expect_head(node: &Node, matching: &Pattern, prefix: &str) -> Result<(), ScriptError> {
    if after_head(&matching.written, prefix).is_some() {
        return Ok(());
    }
    let message = format!("match `{}` does not begin with `{prefix}`", matching.written);
    let error = ScriptError::new(node.span.clone(), message);
    let wanted = format!("{}*", escaped(prefix));
    Err(match nearest(&matching.written, [wanted.as_str()]) {
        Some(near) => error.hint(format!("did you mean `{near}`?")),
        None => error.hint("each key that matches has to begin with the prefix"),
    })
}

/// What is left of the pattern once `prefix` is taken from its literal head.
fn after_head<'p>(pattern: &'p str, prefix: &str) -> Option<&'p str> {
    let mut rest = pattern;
    for wanted in prefix.chars() {
        let literal = rest.strip_prefix('\\').unwrap_or(rest);
        let first = literal.chars().next()?;
        let special = literal.len() == rest.len() && "*?[]{}".contains(first);
        if special || first != wanted {
            return None;
        }
        rest = &literal[first.len_utf8()..];
    }
    Some(rest)
}

/// The text as a pattern that matches it alone.
pub fn escaped(text: &str) -> String {
    text.chars().fold(String::new(), |mut pattern, c| {
        if "*?[]{}\\".contains(c) {
            pattern.push('\\');
        }
        pattern.push(c);
        pattern
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rewrite(text: &str) -> Result<Rewrite, ScriptError> {
        Rewrite::parse(&Node::parse(text).expect("JSON5"))
    }

    fn inverse(text: &str, before: Value) -> Result<Value, String> {
        let step = rewrite(text).expect(text).inverse(&before)?.remove(0);
        Rewrite::parse(&Node::from_json(&step["rewrite"])).unwrap_or_else(|e| panic!("{e:?}"));
        Ok(step["rewrite"].clone())
    }

    #[test]
    fn a_rename_turns_round() {
        let text = r#"{ match: "sess:*", rename: { prefix: "sess:", to: "session:" }, count: 7 }"#;
        let rename = json!({"prefix": "session:", "to": "sess:"});
        let back = json!({"match": "session:*", "rename": rename, "count": 7});
        assert_eq!(inverse(text, reversible()), Ok(back));
        let text = r#"{ match: "a:{x}:b", rename: { prefix: "a:", to: "[b]:" }, type: "set" }"#;
        let back = inverse(text, reversible()).expect("inverse");
        assert_eq!(back["match"], r"\[b\]:{x}:b");
        let text = r#"{ match: "v1:*", rename: { prefix: "v1:", to: "" } }"#;
        assert!(inverse(text, reversible()).is_err());
    }

    #[test]
    fn a_ttl_is_taken_back_only_where_no_key_had_one() {
        let text = r#"{ match: "s:*", set: { ttl: "24h" } }"#;
        assert_eq!(inverse(text, reversible()), Ok(json!({"match": "s:*", "persist": true})));
        let mixed = super::super::lost("some keys had a time to live");
        assert_eq!(inverse(text, mixed), Err("some keys had a time to live".to_string()));
        assert!(inverse(r#"{ match: "s:*", delete: true }"#, Value::Null).is_err());
        assert!(inverse(r#"{ match: "s:*", persist: true }"#, Value::Null).is_err());
    }

    #[test]
    fn mistakes_are_found_offline() {
        for (text, said) in [
            (r#"{ match: "s:*" }"#, "one change"),
            (r#"{ match: "s:*", persist: true, delete: true }"#, "one change"),
            (r#"{ match: "s:*", delete: false }"#, "does nothing"),
            (r#"{ match: "s:*", delete: true, count: 0 }"#, "count"),
            (r#"{ match: "s:*", set: { ttl: "1" } }"#, "ttl"),
            (r#"{ match: "s:*", set: { tll: "1h" } }"#, "lacks `ttl`"),
            (r#"{ match: "s:*", rename: { prefix: "t:", to: "u:" } }"#, "does not begin"),
            (r#"{ match: "s*", rename: { prefix: "s:", to: "u:" } }"#, "does not begin"),
            (r#"{ match: "s:*", rename: { prefix: "s:", to: "s:s:" } }"#, "met again"),
            (r#"{ match: "*", rename: { prefix: "", to: "s:" } }"#, "empty"),
            (r#"{ match: "s:*", delete: true, typ: "set" }"#, "typ"),
        ] {
            let error = rewrite(text).expect_err(text);
            assert!(error.message.contains(said), "{text}: {}", error.message);
        }
    }
}
