//! Function libraries.

use serde_json::{Value, json};

use crate::text::{Fields, Node, ScriptError};

/// A function library to load.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Function {
    /// Its name, from the first line of the code.
    pub library: String,
    /// The code, first line included.
    pub code: String,
    /// Whether a library of that name gives way.
    pub replace: bool,
}

impl Function {
    /// Reads a library.
    pub fn parse(node: &Node) -> Result<Function, ScriptError> {
        let mut fields = Fields::of(node, "function")?;
        let code_node = fields.required("code")?;
        let name_node = fields.optional("library");
        let replace = fields.optional("replace").map(|node| node.boolean("replace"));
        let replace = replace.transpose()?.unwrap_or(false);
        fields.finish()?;
        let code = code_node.string("code")?.to_string();
        let library = named_in(&code).ok_or_else(|| {
            let message = "the code does not begin with the line that names engine and library";
            ScriptError::new(code_node.span.clone(), message)
                .hint("begin with `#!lua name=mylib\\n`")
        })?;
        if let Some(node) = name_node
            && self::library(node)? != library
        {
            let message = format!("the code names the library `{library}`");
            return Err(ScriptError::new(node.span.clone(), message)
                .hint("make both the same, or leave `library` out"));
        }
        Ok(Function { library, code, replace })
    }
}

/// The step that loads `code` in place of whatever is there.
pub fn step_of(code: &str) -> Value {
    json!({"function": {"code": code, "replace": true}})
}

/// The name of a library.
pub fn library(node: &Node) -> Result<String, ScriptError> {
    let name = node.string("a library's name")?;
    match is_name(name) {
        true => Ok(name.to_string()),
        false => {
            let message = format!("`{name}` is not a library's name");
            Err(ScriptError::new(node.span.clone(), message)
                .hint("a name is made of letters, digits and `_`"))
        }
    }
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

fn named_in(code: &str) -> Option<String> {
    let mut words = code.lines().next()?.strip_prefix("#!")?.split_whitespace();
    words.next()?;
    let name = words.find_map(|word| word.strip_prefix("name="))?;
    is_name(name).then(|| name.to_string())
}

/// The first line in which two pieces of code differ, on both sides, for a message.
pub fn first_difference(wanted: &str, live: &str) -> (String, String) {
    let (mut a, mut b) = (wanted.lines(), live.lines());
    for number in 1.. {
        match (a.next(), b.next()) {
            (None, None) => break,
            (one, other) if one == other => {}
            (one, other) => return (line(number, one), line(number, other)),
        }
    }
    ("other line ends".to_string(), "other line ends".to_string())
}

fn line(number: usize, text: Option<&str>) -> String {
    match text {
        Some(text) => format!("line {number}: {}", text.trim()),
        None => format!("no line {number}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_library_is_named_by_the_code() {
        let read = |text: &str| Function::parse(&Node::parse(text).expect("JSON5"));
        let function = read(r##"{ code: "#!lua name=lib\nreturn 1" }"##).expect("function");
        assert_eq!((function.library.as_str(), function.replace), ("lib", false));
        assert!(read(r#"{ code: "return 1" }"#).is_err());
        assert!(read(r##"{ code: "#!lua\nreturn 1" }"##).is_err());
        assert!(read(r##"{ code: "#!lua name=a*\n" }"##).is_err());
        assert!(read(r##"{ library: "other", code: "#!lua name=lib\n" }"##).is_err());
        let again = step_of(&function.code);
        assert!(Function::parse(&Node::from_json(&again["function"])).expect("again").replace);
    }

    #[test]
    fn a_difference_is_shown_on_both_sides() {
        let (wanted, live) = first_difference("a\nb\n", "a\n c\n");
        assert_eq!((wanted.as_str(), live.as_str()), ("line 2: b", "line 2: c"));
        assert_eq!(first_difference("a", "a\nb").0, "no line 2");
    }
}
