//! JSON5 documents whose every value knows its place in the file.
//!
//! One parser reads `.json5`, `.jsonc` and `.json`. Duplicate keys and nesting past 512 levels are
//! errors, never silently accepted; key order is kept, because a MongoDB command depends on it.

use std::ops::Range;

use jsonc_parser::ast;
use jsonc_parser::common::Ranged;
use serde_json::{Number, Value};

/// A byte range in the text of a file.
pub type Span = Range<usize>;

/// A mistake in a script: what is wrong, where, and what would be right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScriptError {
    /// Where in the file.
    pub span: Span,
    /// What is wrong.
    pub message: String,
    /// What to write instead.
    pub hint: Option<String>,
    /// Further mistakes in the same script.
    pub also: Vec<ScriptError>,
}

impl ScriptError {
    /// A mistake at `span`.
    pub fn new(span: Span, message: impl Into<String>) -> ScriptError {
        ScriptError { span, message: message.into(), hint: None, also: Vec::new() }
    }

    /// All `mistakes` as one, in the order of the script; `None` of none.
    pub fn all(mut mistakes: Vec<ScriptError>) -> Option<ScriptError> {
        mistakes.sort_by_key(|mistake| mistake.span.start);
        let mut mistakes = mistakes.into_iter();
        let mut first = mistakes.next()?;
        first.also.extend(mistakes);
        Some(first)
    }

    /// The same with `change` done to each of the mistakes.
    pub fn map(mut self, change: &impl Fn(&mut ScriptError)) -> ScriptError {
        change(&mut self);
        self.also = self.also.into_iter().map(|other| other.map(change)).collect();
        self
    }

    /// Adds what to write instead.
    pub fn hint(mut self, hint: impl Into<String>) -> ScriptError {
        self.hint = Some(hint.into());
        self
    }
}

/// A JSON value with its place.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// The value.
    pub kind: NodeKind,
    /// Its place in the file.
    pub span: Span,
}

/// What a [`Node`] holds.
#[derive(Clone, Debug, PartialEq)]
pub enum NodeKind {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// A number.
    Number(Number),
    /// A string.
    String(String),
    /// An array.
    Array(Vec<Node>),
    /// An object, its keys in the order of the file.
    Object(Vec<(Key, Node)>),
}

/// A key of an object with its place.
#[derive(Clone, Debug, PartialEq)]
pub struct Key {
    /// The key.
    pub name: String,
    /// Its place in the file.
    pub span: Span,
}

impl Node {
    /// Reads `text` as JSON5.
    pub fn parse(text: &str) -> Result<Node, ScriptError> {
        let options = jsonc_parser::ParseOptions {
            allow_missing_commas: false,
            allow_non_finite_numbers: false,
            ..Default::default()
        };
        let collect = jsonc_parser::CollectOptions {
            comments: jsonc_parser::CommentCollectionStrategy::Off,
            tokens: false,
        };
        let parsed = jsonc_parser::parse_to_ast(text, &collect, &options).map_err(|error| {
            let range = error.range();
            ScriptError::new(range.start..range.end, format!("JSON5 syntax: {}", error.kind()))
        })?;
        match parsed.value {
            Some(value) => Node::from_ast(&value, text),
            None => Err(ScriptError::new(0..0, "the file holds no JSON5 value")
                .hint("a migration is `{ steps: [ … ] }`")),
        }
    }

    /// A node of a value that comes from no file, such as an inverse kept in the ledger.
    pub fn from_json(value: &Value) -> Node {
        let kind = match value {
            Value::Null => NodeKind::Null,
            Value::Bool(value) => NodeKind::Bool(*value),
            Value::Number(value) => NodeKind::Number(value.clone()),
            Value::String(value) => NodeKind::String(value.clone()),
            Value::Array(items) => NodeKind::Array(items.iter().map(Node::from_json).collect()),
            Value::Object(map) => NodeKind::Object(
                map.iter()
                    .map(|(name, value)| {
                        (Key { name: name.clone(), span: 0..0 }, Node::from_json(value))
                    })
                    .collect(),
            ),
        };
        Node { kind, span: 0..0 }
    }

    /// The value without places.
    pub fn to_json(&self) -> Value {
        match &self.kind {
            NodeKind::Null => Value::Null,
            NodeKind::Bool(value) => Value::Bool(*value),
            NodeKind::Number(value) => Value::Number(value.clone()),
            NodeKind::String(value) => Value::String(value.clone()),
            NodeKind::Array(items) => Value::Array(items.iter().map(Node::to_json).collect()),
            NodeKind::Object(fields) => Value::Object(
                fields.iter().map(|(key, node)| (key.name.clone(), node.to_json())).collect(),
            ),
        }
    }

    /// What kind of value this is, in words.
    pub fn describe(&self) -> &'static str {
        match self.kind {
            NodeKind::Null => "null",
            NodeKind::Bool(_) => "a boolean",
            NodeKind::Number(_) => "a number",
            NodeKind::String(_) => "a string",
            NodeKind::Array(_) => "an array",
            NodeKind::Object(_) => "an object",
        }
    }

    /// The field `name` of an object.
    pub fn get(&self, name: &str) -> Option<&Node> {
        match &self.kind {
            NodeKind::Object(fields) => {
                fields.iter().find(|(key, _)| key.name == name).map(|(_, node)| node)
            }
            _ => None,
        }
    }

    /// The fields of an object; an error that says what `what` should be otherwise.
    pub fn object(&self, what: &str) -> Result<&[(Key, Node)], ScriptError> {
        match &self.kind {
            NodeKind::Object(fields) => Ok(fields),
            _ => Err(self.mismatch(what, "an object")),
        }
    }

    /// The items of an array.
    pub fn array(&self, what: &str) -> Result<&[Node], ScriptError> {
        match &self.kind {
            NodeKind::Array(items) => Ok(items),
            _ => Err(self.mismatch(what, "an array")),
        }
    }

    /// A string.
    pub fn string(&self, what: &str) -> Result<&str, ScriptError> {
        match &self.kind {
            NodeKind::String(text) => Ok(text),
            _ => Err(self.mismatch(what, "a string")),
        }
    }

    /// A boolean.
    pub fn boolean(&self, what: &str) -> Result<bool, ScriptError> {
        match &self.kind {
            NodeKind::Bool(value) => Ok(*value),
            _ => Err(self.mismatch(what, "true or false")),
        }
    }

    /// An integer; a string of digits too, so that a placeholder can stand for a number.
    pub fn integer(&self, what: &str) -> Result<i64, ScriptError> {
        let number = match &self.kind {
            NodeKind::Number(number) => plain_number(number).parse().ok(),
            NodeKind::String(text) => text.parse().ok(),
            _ => None,
        };
        number.ok_or_else(|| self.mismatch(what, "an integer"))
    }

    fn mismatch(&self, what: &str, wanted: &str) -> ScriptError {
        ScriptError::new(self.span.clone(), format!("{what} is {wanted}, not {}", self.describe()))
    }

    /// Applies `change` to every string in the value, keys included.
    pub fn try_map_strings<E>(
        &mut self,
        change: &mut impl FnMut(&str, &Span) -> Result<String, E>,
    ) -> Result<(), E> {
        match &mut self.kind {
            NodeKind::String(text) => *text = change(text, &self.span)?,
            NodeKind::Array(items) => {
                for item in items {
                    item.try_map_strings(change)?;
                }
            }
            NodeKind::Object(fields) => {
                for (key, node) in fields {
                    key.name = change(&key.name, &key.span)?;
                    node.try_map_strings(change)?;
                }
            }
            NodeKind::Null | NodeKind::Bool(_) | NodeKind::Number(_) => {}
        }
        Ok(())
    }

    fn from_ast(value: &ast::Value<'_>, text: &str) -> Result<Node, ScriptError> {
        let range = value.range();
        let span = range.start..range.end;
        let kind = match value {
            ast::Value::NullKeyword(_) => NodeKind::Null,
            ast::Value::BooleanLit(literal) => NodeKind::Bool(literal.value),
            ast::Value::StringLit(literal) => {
                let raw = &text[span.clone()];
                if let Some(at) =
                    raw.match_indices('\n').map(|(at, _)| at).find(|at| !raw[..*at].ends_with('\\'))
                {
                    let message = "a string may not run over the end of its line";
                    return Err(ScriptError::new(span.start..span.start + at, message)
                        .hint("close the quote, or write `\\n` for a line break"));
                }
                NodeKind::String(literal.value.to_string())
            }
            ast::Value::NumberLit(_) => match Value::from(value.clone()) {
                Value::Number(number) => NodeKind::Number(number),
                _ => return Err(ScriptError::new(span, "this number cannot be represented")),
            },
            ast::Value::Array(array) => NodeKind::Array(
                array
                    .elements
                    .iter()
                    .map(|item| Node::from_ast(item, text))
                    .collect::<Result<_, _>>()?,
            ),
            ast::Value::Object(object) => {
                let mut fields: Vec<(Key, Node)> = Vec::with_capacity(object.properties.len());
                let mut seen = std::collections::HashSet::new();
                for property in &object.properties {
                    let range = property.name.range();
                    let key = Key {
                        name: property.name.as_str().to_string(),
                        span: range.start..range.end,
                    };
                    if !seen.insert(key.name.clone()) {
                        return Err(ScriptError::new(
                            key.span,
                            format!("the key `{}` stands twice in this object", key.name),
                        )
                        .hint("keep one of them"));
                    }
                    fields.push((key, Node::from_ast(&property.value, text)?));
                }
                NodeKind::Object(fields)
            }
        };
        Ok(Node { kind, span })
    }
}

/// Reads the fields of an object one by one and refuses what is left over.
pub struct Fields<'a> {
    what: String,
    span: Span,
    fields: Vec<(&'a Key, &'a Node)>,
    known: Vec<&'static str>,
}

impl<'a> Fields<'a> {
    /// The fields of `node`, which `what` names in messages.
    pub fn of(node: &'a Node, what: &str) -> Result<Fields<'a>, ScriptError> {
        let fields = node.object(what)?.iter().map(|(key, node)| (key, node)).collect();
        Ok(Fields { what: what.to_string(), span: node.span.clone(), fields, known: Vec::new() })
    }

    /// Takes the field `name` if it is there.
    pub fn optional(&mut self, name: &'static str) -> Option<&'a Node> {
        self.known.push(name);
        let at = self.fields.iter().position(|(key, _)| key.name == name)?;
        Some(self.fields.remove(at).1)
    }

    /// Takes the field `name`; an error that names it where it is missing.
    pub fn required(&mut self, name: &'static str) -> Result<&'a Node, ScriptError> {
        self.optional(name).ok_or_else(|| match self.misspelt(name) {
            Some(key) => unknown_key(key, &self.what, &[name]),
            None => ScriptError::new(self.span.clone(), format!("{} lacks `{name}`", self.what)),
        })
    }

    /// The key that is there and so near to the missing `name` that it must be meant; nearer than
    /// for a mere hint, because fields that are taken later are still among them.
    fn misspelt(&self, name: &str) -> Option<&'a Key> {
        let near = |key: &Key| strsim::normalized_damerau_levenshtein(&key.name, name) >= 0.7;
        self.fields.iter().map(|(key, _)| *key).find(|key| near(key))
    }

    /// Refuses fields that nobody took, naming the nearest known one.
    pub fn finish(self) -> Result<(), ScriptError> {
        match self.fields.first() {
            None => Ok(()),
            Some((key, _)) => Err(unknown_key(key, &self.what, &self.known)),
        }
    }
}

/// A number as text. JSON5 knows one kind of number: `1e9` and `5.0` have no fraction, and are written
/// without.
pub fn plain_number(number: &Number) -> String {
    // Above it not every integer can be told from its neighbours.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    match number.as_f64() {
        Some(value) if number.is_f64() && value.fract() == 0.0 && value.abs() <= EXACT => {
            // Adding 0 leaves no -0.
            format!("{:.0}", value + 0.0)
        }
        Some(_) | None => number.to_string(),
    }
}

/// The error for a key that `what` does not know, with the nearest of `known`.
pub fn unknown_key(key: &Key, what: &str, known: &[&str]) -> ScriptError {
    let error =
        ScriptError::new(key.span.clone(), format!("{what} does not know the key `{}`", key.name));
    match nearest(&key.name, known.iter().copied()) {
        Some(near) => error.hint(format!("did you mean `{near}`?")),
        None => error.hint(format!("it knows {}", known.join(", "))),
    }
}

/// The word of `known` that is nearest to `word`, if any is near enough to be meant.
pub fn nearest<'k>(word: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    known
        .into_iter()
        .map(|candidate| {
            let near = strsim::normalized_damerau_levenshtein(
                &word.to_lowercase(),
                &candidate.to_lowercase(),
            );
            (near, candidate)
        })
        .filter(|(near, _)| *near >= 0.5)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_json5_and_keeps_order_and_places() {
        let text = "// c\n{ b: 1, 'a': [0x10, 1.5,], \"c\": null, }";
        let node = Node::parse(text).expect("parses");
        assert_eq!(node.to_json().to_string(), r#"{"b":1,"a":[16,1.5],"c":null}"#);
        let span = node.get("a").expect("a").span.clone();
        assert_eq!(&text[span], "[0x10, 1.5,]");
    }

    #[test]
    fn a_number_without_a_fraction_is_written_without() {
        for (text, plain, integer) in [
            ("1e9", "1000000000", Some(1_000_000_000)),
            ("5.0", "5", Some(5)),
            ("-2E3", "-2000", Some(-2000)),
            ("-0.0", "0", Some(0)),
            ("604800000", "604800000", Some(604_800_000)),
            ("9007199254740993", "9007199254740993", Some(9_007_199_254_740_993)),
            ("0x10", "16", Some(16)),
            ("0.5", "0.5", None),
            ("1.5e1", "15", Some(15)),
        ] {
            let node = Node::parse(text).expect(text);
            let NodeKind::Number(number) = &node.kind else { panic!("{text}") };
            assert_eq!(plain_number(number), plain, "{text}");
            assert_eq!(node.integer("it").ok(), integer, "{text}");
        }
    }

    #[test]
    fn refuses_what_others_let_pass() {
        for (text, part) in [
            ("{a: 1 b: 2}", "comma"),
            ("{a: 1, a: 2}", "twice"),
            ("{a: 'x\ny'}", ""),
            ("{a: NaN}", ""),
            ("", "no json5 value"),
            ("{a: [1, 2}", ""),
            ("{a: 1} {b: 2}", ""),
        ] {
            let error = Node::parse(text).expect_err(text);
            assert!(error.message.to_lowercase().contains(part), "{text}: {}", error.message);
        }
    }

    #[test]
    fn deep_nesting_is_an_error_not_a_crash() {
        let text = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        let error = Node::parse(&text).expect_err("too deep");
        assert!(error.message.contains("nesting"), "{}", error.message);
    }

    #[test]
    fn big_integers_stay_exact() {
        let node = Node::parse("[9007199254740993, 1.0]").expect("parses");
        assert_eq!(node.to_json().to_string(), "[9007199254740993,1.0]");
    }

    #[test]
    fn unknown_keys_get_the_nearest_right_one() {
        let node = Node::parse("{ partition: 3 }").expect("parses");
        let mut fields = Fields::of(&node, "createTopic").expect("object");
        assert!(fields.optional("partitions").is_none());
        let error = fields.finish().expect_err("unknown");
        assert_eq!(error.hint.as_deref(), Some("did you mean `partitions`?"));
    }
}
