//! The header of a migration: the same keys as SQL comments or as JSON5 keys.

use std::time::Duration;

use super::Version;
use crate::stores::StoreKind;
use crate::text::document::{Key, Node, NodeKind, ScriptError, Span, nearest};
use crate::text::parse_duration;

/// What a migration says about itself before its first step.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Header {
    /// What must be applied first, each with its place in the file.
    pub requires: Vec<(Requirement, Span)>,
    /// `transaction: off`: the file cannot run in a transaction (PostgreSQL).
    pub without_transaction: bool,
    /// `lock_timeout` for this file.
    pub lock_timeout: Option<Duration>,
    /// `statement_timeout` for this file.
    pub statement_timeout: Option<Duration>,
    /// Whether `${name}` is replaced; unset means the default of the file's kind.
    pub placeholders: Option<bool>,
    /// Why it cannot be undone.
    pub irreversible: Option<String>,
}

/// A migration that must be applied first, written `mongo@3`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Requirement {
    /// The store.
    pub store: StoreKind,
    /// The version there.
    pub version: Version,
}

impl std::str::FromStr for Requirement {
    type Err = String;

    fn from_str(text: &str) -> Result<Requirement, String> {
        let (store, version) = text
            .split_once('@')
            .ok_or_else(|| format!("`{text}` is not of the form `<store>@<version>`"))?;
        Ok(Requirement { store: store.trim().parse()?, version: version.trim().parse()? })
    }
}

impl std::fmt::Display for Requirement {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}@{}", self.store, self.version)
    }
}

/// The keys of a header.
pub const KEYS: [&str; 6] = [
    "requires",
    "transaction",
    "lock_timeout",
    "statement_timeout",
    "placeholders",
    "irreversible",
];

/// Reads the `-- key: value` lines at the very top of an SQL file.
///
/// The header ends at the first line that is neither blank nor a `--` comment. Comments without a
/// key of ours are free text; one that nearly is a key is an error, so that a typo cannot be lost.
pub fn of_sql(text: &str) -> Result<Header, ScriptError> {
    let mut header = Header::default();
    let mut seen: Vec<&str> = Vec::new();
    let mut offset = 0;
    for line in text.split_inclusive('\n') {
        let start = offset;
        offset += line.len();
        let trimmed = line.trim();
        if trimmed.is_empty() {
            continue;
        }
        let Some(comment) = trimmed.strip_prefix("--") else { break };
        let Some((key, value)) = comment.split_once(':') else { continue };
        let (key, value) = (key.trim(), value.trim());
        let place = |part: &str| {
            let at = start + line.find(part).unwrap_or(0);
            at..at + part.len()
        };
        let Some(known) = KEYS.into_iter().find(|known| *known == key) else {
            let near = (!key.contains(' ')).then(|| misspelt(key)).flatten();
            if let Some(near) = near {
                return Err(ScriptError::new(
                    place(key),
                    format!("the header does not know the key `{key}`"),
                )
                .hint(format!("did you mean `{near}`? Free comments begin otherwise")));
            }
            continue;
        };
        if seen.contains(&known) {
            return Err(ScriptError::new(place(key), format!("the header says `{key}` twice")));
        }
        seen.push(known);
        let span = place(value);
        match known {
            "requires" => {
                for part in value.split(',').map(str::trim).filter(|part| !part.is_empty()) {
                    header.requires.push((requirement(part, &place(part))?, place(part)));
                }
            }
            _ => header.set(known, value, span)?,
        }
    }
    Ok(header)
}

/// Takes the header's keys out of a JSON5 migration; gives back what remains to be its steps.
pub fn of_document(root: &Node) -> Result<(Header, &[Node]), ScriptError> {
    let mut header = Header::default();
    let mut steps = None;
    for (key, value) in root.object("a migration")? {
        match key.name.as_str() {
            "steps" => steps = Some(value.array("`steps`")?),
            "requires" => {
                for item in value.array("`requires`")? {
                    let text = item.string("a requirement")?;
                    header.requires.push((requirement(text, &item.span)?, item.span.clone()));
                }
            }
            "lock_timeout" | "statement_timeout" | "transaction" => {
                return Err(ScriptError::new(
                    key.span.clone(),
                    format!("`{}` is for SQL files; this store has no such thing", key.name),
                ));
            }
            "placeholders" if matches!(value.kind, NodeKind::Bool(_)) => {
                header.placeholders = Some(value.boolean("`placeholders`")?);
            }
            "placeholders" | "irreversible" => {
                let text = value.string(&format!("`{}`", key.name))?;
                header.set(known(key)?, text, value.span.clone())?;
            }
            _ => {
                known(key)?;
            }
        }
    }
    let steps = steps.ok_or_else(|| {
        ScriptError::new(root.span.clone(), "the migration has no `steps`")
            .hint("a migration is `{ steps: [ … ] }`")
    })?;
    Ok((header, steps))
}

impl Header {
    /// What the header says, however it is written.
    pub fn canonical(&self) -> String {
        let requires: Vec<String> =
            self.requires.iter().map(|(requirement, _)| requirement.to_string()).collect();
        let said = [
            ("requires", Some(requires.join(", ")).filter(|requires| !requires.is_empty())),
            ("transaction", self.without_transaction.then(|| "off".to_string())),
            ("lock_timeout", self.lock_timeout.map(|time| format!("{} ms", time.as_millis()))),
            (
                "statement_timeout",
                self.statement_timeout.map(|time| format!("{} ms", time.as_millis())),
            ),
            ("placeholders", self.placeholders.map(|on| on.to_string())),
            ("irreversible", self.irreversible.clone()),
        ];
        let line = |(key, value): (&str, Option<String>)| Some(format!("{key}: {}\n", value?));
        said.into_iter().filter_map(line).collect()
    }

    fn set(&mut self, key: &str, value: &str, span: Span) -> Result<(), ScriptError> {
        let wrong = |expected: &str| {
            Err(ScriptError::new(span.clone(), format!("`{key}` is {expected}, not `{value}`")))
        };
        let switch = match value {
            "on" => Some(true),
            "off" => Some(false),
            _ => None,
        };
        match (key, switch) {
            ("transaction", Some(on)) => self.without_transaction = !on,
            ("placeholders", Some(on)) => self.placeholders = Some(on),
            ("transaction" | "placeholders", None) => return wrong("`on` or `off`"),
            ("irreversible", _) if value.is_empty() => return wrong("a reason, in words"),
            ("irreversible", _) => self.irreversible = Some(value.to_string()),
            (_, _) => match parse_duration(value) {
                Some(time) if key == "lock_timeout" => self.lock_timeout = Some(time),
                Some(time) => self.statement_timeout = Some(time),
                None => return wrong("a time such as `500ms`, `5s` or `10m`"),
            },
        }
        Ok(())
    }
}

fn known(key: &Key) -> Result<&'static str, ScriptError> {
    KEYS.into_iter().find(|known| *known == key.name).ok_or_else(|| {
        let error = ScriptError::new(
            key.span.clone(),
            format!("a migration does not know the key `{}`", key.name),
        );
        let all = KEYS.into_iter().chain(["steps"]);
        match nearest(&key.name, all.clone()) {
            Some(near) => error.hint(format!("did you mean `{near}`?")),
            None => error.hint(format!("it knows {}", all.collect::<Vec<_>>().join(", "))),
        }
    })
}

fn misspelt(key: &str) -> Option<&'static str> {
    KEYS.into_iter().find(|known| strsim::osa_distance(&key.to_lowercase(), known) <= 2)
}

fn requirement(text: &str, span: &Span) -> Result<Requirement, ScriptError> {
    text.parse().map_err(|why: String| {
        ScriptError::new(span.clone(), why).hint("write for instance `requires: mongo@3, kafka@1`")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sql_header_is_read_from_the_top_only() {
        let text = "-- Users and their teams.\n-- requires: mongo@3, kafka@1\n-- transaction: off\n\n-- lock_timeout: 250ms\ncreate table t();\n-- irreversible: no\n";
        let header = of_sql(text).expect("header");
        assert_eq!(header.requires.len(), 2);
        assert_eq!(&text[header.requires[1].1.clone()], "kafka@1");
        assert!(header.without_transaction);
        assert_eq!(header.lock_timeout, Some(Duration::from_millis(250)));
        assert_eq!(header.irreversible, None);
    }

    #[test]
    fn misspelt_keys_are_errors_and_free_comments_are_not() {
        assert!(of_sql("-- require: mongo@1\n").is_err());
        assert!(of_sql("-- Transaction: off\n").is_err());
        assert!(of_sql("-- note: this is fine\n-- see https://example.org: here\n").is_ok());
        assert!(of_sql("-- transaction: maybe\n").is_err());
        assert!(of_sql("-- transaction: off\n-- transaction: on\n").is_err());
        assert!(of_sql("-- requires: oracle@1\n").is_err());
    }

    #[test]
    fn document_header() {
        let root = Node::parse(
            "{ requires: ['postgres@1'], irreversible: 'rows are gone', steps: [{a: 1}] }",
        )
        .expect("parses");
        let (header, steps) = of_document(&root).expect("header");
        assert_eq!(header.requires[0].0.to_string(), "postgres@1");
        assert_eq!(steps.len(), 1);
        for wrong in ["{}", "{step: []}", "{steps: [1], transaction: 'off'}", "[]"] {
            assert!(of_document(&Node::parse(wrong).expect("parses")).is_err(), "{wrong}");
        }
    }
}
