//! What a migration is: its name, version, header, text and checksum. Knows no store's driver.

pub mod discovery;
pub mod header;
pub mod name;
pub mod script;
pub mod strays;
pub mod sum;
pub mod version;

use std::fmt;

pub use discovery::{Files, Folder};
pub use header::{Header, Requirement};
pub use script::{Down, Inverse, Script, Source};
pub use version::Version;

use crate::error::Error;
use crate::stores::StoreKind;
use crate::text::Checksum;

/// A migration as its file says it.
#[derive(Clone, Debug)]
pub struct Migration {
    /// Which migration it is.
    pub id: MigrationId,
    /// Its description, from the file name.
    pub description: String,
    /// Its text.
    pub source: Source,
    /// The checksum of its text.
    pub checksum: Checksum,
    /// Its header.
    pub header: Header,
    /// The U file, if there is one.
    pub undo: Option<Box<Undo>>,
}

/// The U file of a migration.
#[derive(Clone, Debug)]
pub struct Undo {
    /// Its text.
    pub source: Source,
    /// The checksum of its text.
    pub checksum: Checksum,
    /// Why it cannot be read, if it cannot.
    pub mistake: Option<Error>,
}

impl Undo {
    /// Its text, where it can be read.
    pub fn readable(&self) -> Result<&Source, Error> {
        match &self.mistake {
            Some(mistake) => Err(mistake.clone()),
            None => Ok(&self.source),
        }
    }
}

/// Which migration: its store and its version, or its description if it is repeatable.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MigrationId {
    /// The store.
    pub store: StoreKind,
    /// The version or the description.
    pub key: Key,
}

/// What tells the migrations of one store apart; versioned ones come before repeatable ones.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Key {
    /// A versioned migration.
    Version(Version),
    /// A repeatable one, by its description.
    Repeatable(String),
}

impl MigrationId {
    /// The version, if it has one.
    pub fn version(&self) -> Option<&Version> {
        match &self.key {
            Key::Version(version) => Some(version),
            Key::Repeatable(_) => None,
        }
    }
}

impl MigrationId {
    /// As it is typed after a flag.
    pub fn argument(&self) -> String {
        match &self.key {
            Key::Version(version) => format!("{}@{version}", self.store),
            Key::Repeatable(description) => format!("'{}@{description}'", self.store),
        }
    }
}

/// Reads `redis@3`, and `redis@description` of a repeatable.
impl std::str::FromStr for MigrationId {
    type Err = String;

    fn from_str(text: &str) -> Result<MigrationId, String> {
        let (store, key) = text
            .split_once('@')
            .filter(|(_, key)| !key.trim().is_empty())
            .ok_or_else(|| format!("`{text}` is not of the form `<store>@<version>`"))?;
        let key = match key.trim().parse() {
            Ok(version) => Key::Version(version),
            Err(_) => Key::Repeatable(key.trim().to_string()),
        };
        Ok(MigrationId { store: store.trim().parse()?, key })
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Key::Version(version) => version.fmt(f),
            Key::Repeatable(description) => f.pad(description),
        }
    }
}

impl fmt::Display for MigrationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.key {
            Key::Version(version) => f.pad(&format!("{}@{version}", self.store)),
            Key::Repeatable(description) => f.pad(&format!("{} `{description}`", self.store)),
        }
    }
}
