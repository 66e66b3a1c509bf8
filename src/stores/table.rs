//! The table of the stores: the one place that names them all.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::contract::Unit;
use super::description::{Description, Language, Undo};
use crate::text::directive::Key;
use crate::text::{Node, Rendered, ScriptBody, ScriptError};

/// Every store, in the order in which they are shown.
static STORES: &[&Description] = &[
    &super::postgres::STORE, // the ledger is kept in one of these
    &super::mongo::STORE,
    &super::weaviate::STORE,
    &super::kafka::STORE,
    &super::redis::STORE,
];

/// One of the stores; its name is that of its folder, its configuration section and its flag value.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct StoreKind(u8);

impl StoreKind {
    /// Every store, in the order in which they are shown.
    pub fn all() -> impl DoubleEndedIterator<Item = StoreKind> + ExactSizeIterator {
        (0..STORES.len()).map(|at| StoreKind(at as u8))
    }

    /// The kind of store that the ledger is kept in.
    pub fn of_ledger() -> StoreKind {
        StoreKind(0)
    }

    /// What is known of it without a connection.
    pub fn description(self) -> &'static Description {
        STORES[usize::from(self.0)]
    }

    /// The name, as in folders, flags and the ledger.
    pub fn name(self) -> &'static str {
        self.description().name
    }

    /// The product's own name, for sentences.
    pub fn title(self) -> &'static str {
        self.description().title
    }

    /// The file extensions that its migrations may have, the usual one first.
    pub fn extensions(self) -> &'static [&'static str] {
        self.description().extensions
    }

    /// Whether its migrations are SQL; all others are JSON5.
    pub fn is_sql(self) -> bool {
        matches!(self.description().language, Language::Sql { .. })
    }

    /// Whether a migration is undone only by a file that somebody wrote.
    pub fn needs_undo_file(self) -> bool {
        self.description().undo == Undo::File
    }

    /// Reads a text that has no header and no placeholders.
    pub fn read(self, text: &str) -> Result<ScriptBody, ScriptError> {
        match self.description().language {
            Language::Sql { .. } => Ok(ScriptBody::Sql(Rendered::verbatim(text))),
            Language::Steps(_) => {
                let root = Node::parse(text)?;
                let steps = root.object("a migration")?.iter().find(|(key, _)| key.name == "steps");
                let steps = steps.map(|(_, steps)| steps.array("`steps`").map(<[Node]>::to_vec));
                Ok(ScriptBody::Steps(steps.transpose()?.unwrap_or_default()))
            }
        }
    }

    /// Reads a script as the units of its store; pure, so that every script about to run is checked
    /// before the first effect. `apart`: it is applied outside a transaction.
    pub fn parse(self, body: &ScriptBody, apart: bool) -> Result<Vec<Unit>, ScriptError> {
        match (&self.description().language, body) {
            (Language::Sql { units, .. }, ScriptBody::Sql(text)) => units(text, apart),
            (Language::Steps(language), ScriptBody::Steps(steps)) => {
                let units = steps.iter().map(language.unit).collect::<Result<_, _>>()?;
                (language.together)(steps).map(|()| units)
            }
            (Language::Sql { .. }, ScriptBody::Steps(_)) => {
                Err(ScriptError::new(0..0, format!("migrations for {} are SQL", self.title())))
            }
            (Language::Steps(_), ScriptBody::Sql(_)) => {
                Err(ScriptError::new(0..0, format!("migrations for {} are steps", self.title())))
            }
        }
    }

    /// What is to be written in place of `word`, where that is of another language than its migrations.
    pub fn foreign(self, word: &str) -> Option<&'static str> {
        match &self.description().language {
            Language::Sql { .. } => None,
            Language::Steps(language) => (language.foreign)(word),
        }
    }

    /// What a text does, apart from comments and white space: its tokens and directives in SQL, its value
    /// in JSON5, without what `lint` allows. `None` for a text that cannot be read.
    pub fn content(self, text: &str) -> Option<String> {
        match self.description().language {
            Language::Sql { content, .. } => content(text),
            Language::Steps(_) => {
                let mut value = Node::parse(text).ok()?.to_json();
                if let Some(migration) = value.as_object_mut() {
                    migration.retain(|key, _| Key::named(key).is_none_or(Key::counts));
                }
                Some(value.to_string())
            }
        }
    }

    /// For unit tests: the store of this name.
    #[cfg(test)]
    pub fn of_test(name: &str) -> StoreKind {
        name.parse().expect("the name of a store")
    }
}

impl fmt::Debug for StoreKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Display for StoreKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl From<StoreKind> for String {
    fn from(kind: StoreKind) -> String {
        kind.name().to_string()
    }
}

impl TryFrom<String> for StoreKind {
    type Error = String;

    fn try_from(name: String) -> Result<StoreKind, String> {
        name.parse()
    }
}

impl FromStr for StoreKind {
    type Err = String;

    fn from_str(text: &str) -> Result<StoreKind, String> {
        StoreKind::all().find(|kind| kind.name() == text).ok_or_else(|| {
            let known: Vec<&str> = StoreKind::all().map(StoreKind::name).collect();
            format!("unknown store `{text}`: it is one of {}", known.join(", "))
        })
    }
}
