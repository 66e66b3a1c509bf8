//! The header of a migration: the same keys as SQL comments or as JSON5 keys.

use std::time::Duration;

use super::Version;
use crate::stores::StoreKind;
use crate::text::directive::{self, Directive, KEYS, Stands};
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

/// Reads the directives above the first statement of an SQL file, and no further: this is done with
/// every file at every start. What stands below is checked when the file is parsed.
pub fn of_sql(text: &str) -> Result<Header, ScriptError> {
    let mut header = Header::default();
    let said = directive::at_top(text)?;
    for (number, directive) in said.iter().enumerate() {
        let Directive { key, value, span, value_span, .. } = directive;
        key.demand_built(span.clone())?;
        if !key.is_of_header() {
            continue;
        }
        directive.demand_first(&said[..number], "the header")?;
        match key.name {
            "requires" => {
                for part in value.split(',').map(str::trim).filter(|part| !part.is_empty()) {
                    let start = value_span.start + directive::offset(value, part);
                    let place = start..start + part.len();
                    header.requires.push((requirement(part, &place)?, place));
                }
            }
            name => header.set(name, value, value_span.clone())?,
        }
    }
    Ok(header)
}

/// Takes the header's keys out of a JSON5 migration; gives back what remains to be its steps.
pub fn of_document(root: &Node) -> Result<(Header, &[Node]), ScriptError> {
    let mut header = Header::default();
    let mut steps = None;
    for (key, value) in root.object("a migration")? {
        if key.name == "steps" {
            steps = Some(value.array("`steps`")?);
            continue;
        }
        match known(key)? {
            "requires" => {
                for item in value.array("`requires`")? {
                    let text = item.string("a requirement")?;
                    header.requires.push((requirement(text, &item.span)?, item.span.clone()));
                }
            }
            "placeholders" if matches!(value.kind, NodeKind::Bool(_)) => {
                header.placeholders = Some(value.boolean("`placeholders`")?);
            }
            name => {
                let text = value.string(&format!("`{name}`"))?;
                header.set(name, text, value.span.clone())?;
            }
        }
    }
    let steps = steps.ok_or_else(|| {
        ScriptError::new(root.span.clone(), "the migration has no `steps`")
            .hint("a migration is `{ steps: [ … ] }`")
    })?;
    Ok((header, steps))
}

/// PostgreSQL counts the milliseconds of a timeout in 31 bits.
const LONGEST: Duration = Duration::from_millis(i32::MAX as u64);

/// The keys that are about a migration, and so are no U file's to say.
const NOT_OF_UNDO: [&str; 2] = ["requires", "irreversible"];

/// Refuses what the header of an SQL U file may not say.
pub fn refuse_in_undo_sql(text: &str) -> Result<(), ScriptError> {
    let said = directive::at_top(text)?;
    let found = said.iter().find(|one| NOT_OF_UNDO.contains(&one.key.name));
    found.map_or(Ok(()), |one| Err(not_of_undo(one.key.name, one.span.clone())))
}

/// Refuses what the header of a JSON5 U file may not say.
pub fn refuse_in_undo_document(root: &Node) -> Result<(), ScriptError> {
    let mut keys = root.object("a migration")?.iter().map(|(key, _)| key);
    let found = keys.find(|key| NOT_OF_UNDO.contains(&key.name.as_str()));
    found.map_or(Ok(()), |key| Err(not_of_undo(&key.name, key.span.clone())))
}

fn not_of_undo(name: &str, span: Span) -> ScriptError {
    ScriptError::new(span, format!("`{name}` in a U file would not be heeded"))
        .hint("it is about the migration: write it in the V file")
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
            ("lock_timeout" | "statement_timeout", _) => match parse_duration(value) {
                Some(time) if time > LONGEST => return wrong("at most 24 days"),
                Some(time) if key == "lock_timeout" => self.lock_timeout = Some(time),
                Some(time) => self.statement_timeout = Some(time),
                None => return wrong("a time such as `500ms`, `5s` or `10m`"),
            },
            (_, _) => return wrong("nothing that a header can hold"),
        }
        Ok(())
    }
}

/// The name of a key that the header of a JSON5 migration may have.
fn known(key: &Key) -> Result<&'static str, ScriptError> {
    let Some(known) = directive::Key::named(&key.name) else { return Err(unknown(key)) };
    known.demand_built(key.span.clone())?;
    match known.stands {
        Stands::Header | Stands::Anywhere => Ok(known.name),
        Stands::SqlHeader | Stands::Statement => Err(ScriptError::new(
            key.span.clone(),
            format!("`{}` is for SQL files; this store has no such thing", key.name),
        )),
    }
}

fn unknown(key: &Key) -> ScriptError {
    let error = ScriptError::new(
        key.span.clone(),
        format!("a migration does not know the key `{}`", key.name),
    );
    let built = KEYS.iter().filter(|known| known.is_built && known.stands != Stands::SqlHeader);
    let all = built.map(|known| known.name).chain(["steps"]);
    match nearest(&key.name, all.clone()) {
        Some(near) => error.hint(format!("did you mean `{near}`?")),
        None => error.hint(format!("it knows {}", all.collect::<Vec<_>>().join(", "))),
    }
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
        assert!(of_sql("-- lock_timeout: 24d\n").is_ok());
        for key in ["lock_timeout", "statement_timeout"] {
            let error = of_sql(&format!("-- {key}: 25d\n")).expect_err("too long");
            assert!(error.message.contains("at most 24 days"), "{}", error.message);
        }
    }

    #[test]
    fn every_key_of_a_header_is_read() {
        for key in KEYS.iter().filter(|key| key.is_built && key.is_of_header()) {
            let read = ["off", "on", "5s", "mongo@3"]
                .into_iter()
                .filter_map(|value| of_sql(&format!("-- {}: {value}\n", key.name)).ok())
                .any(|header| header != Header::default());
            assert!(read, "{}", key.name);
        }
    }

    #[test]
    fn a_key_with_nothing_behind_it_is_refused() {
        for key in KEYS.iter().filter(|key| !key.is_built) {
            let sql = format!("-- note\n-- {}: 1\nselect 1;", key.name);
            let json = format!("{{ {}: 1, steps: [1] }}", key.name);
            let in_sql = of_sql(&sql).expect_err(&sql);
            let root = Node::parse(&json).expect("parses");
            let in_json = of_document(&root).expect_err(&json);
            assert!(in_sql.message.contains("not there yet"), "{}", in_sql.message);
            assert_eq!(in_sql.message, in_json.message);
            assert_eq!((&sql[in_sql.span], &json[in_json.span]), (key.name, key.name));
        }
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
