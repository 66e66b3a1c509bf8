//! Values turned into settings, each checked for its kind.

use std::path::{Path, PathBuf};

use super::permissions;
use super::sources::{Sources, Value};
use crate::error::Error;
use crate::file;
use crate::secret::Secret;
use crate::section::{Content, Reader as SectionReader, Values};
use crate::stores::{Settings, StoreKind};
use crate::text::{Placeholder, Placeholders};

/// The settings of `store`, unless nothing says where it is.
pub fn of_store(reader: &mut Reader<'_>, store: StoreKind) -> Option<Settings> {
    reader.sources.address(store.name())?;
    Some(reader.section(store.name(), |section| Settings::read(store, section)))
}

/// The schema of the ledger; it needs no quotes in SQL.
pub fn schema(reader: &mut Reader<'_>) -> Option<String> {
    reader.section("ledger", |section| {
        let text = section.text("schema")?;
        if is_shared(&text) {
            section.0.refuse(
                "schema",
                "is a schema that holds more than the ledger",
                "choose one for the ledger alone, such as aiplat_migrate: it is no part of what is \
                 compared",
            );
            return None;
        }
        if is_plain_name(&text) {
            return Some(text);
        }
        section.0.refuse(
            "schema",
            "is no name that the ledger's schema can have",
            "a name begins with a lower-case letter or `_`, goes on with these and digits, \
             and has at most 63 characters",
        );
        None
    })
}

/// Reads values from all sources; what is wrong with them is gathered, so that it comes all at once.
pub struct Reader<'s> {
    sources: &'s Sources,
    /// What is wrong.
    pub errors: Vec<Error>,
    /// What may be wrong.
    pub warnings: Vec<String>,
}

/// A [`Reader`] of one section.
struct OfSection<'r, 's> {
    reader: &'r mut Reader<'s>,
    section: &'static str,
}

impl<'s> Reader<'s> {
    /// One that reads `sources`.
    pub fn new(sources: &'s Sources) -> Reader<'s> {
        Reader { sources, errors: Vec::new(), warnings: Vec::new() }
    }

    /// Does `read` with the values of a section; the one without a name is the top of the file.
    pub fn section<T>(
        &mut self,
        section: &'static str,
        read: impl FnOnce(&mut SectionReader<'_>) -> T,
    ) -> T {
        read(&mut SectionReader(&mut OfSection { reader: self, section }))
    }

    /// All placeholders; those that come from files are secret.
    pub fn placeholders(&mut self) -> Placeholders {
        let mut all = Placeholders::default();
        for (name, value) in self.sources.placeholders() {
            let secret = matches!(value.content, Content::File(_));
            let text = self.secret_of(value);
            let value = text.expose().to_string().into();
            all.0.insert(name.to_string(), Placeholder { value, secret });
        }
        all
    }

    fn secret_of(&mut self, value: &Value) -> Secret {
        let path = match &value.content {
            Content::Text(text) => return text.clone(),
            Content::File(path) => path,
        };
        self.warnings.extend(permissions::exposed(path));
        match read_secret(path) {
            Ok(text) => Secret::new(text),
            Err(why) => {
                let what = format!("names {}, which cannot be used", path.display());
                self.errors.push(value.origin.error(&what).because(why));
                Secret::default()
            }
        }
    }
}

fn read_secret(path: &Path) -> Result<String, String> {
    let mut text = file::read_text(path, file::SMALL).map_err(|error| error.to_string())?;
    if text.ends_with('\n') {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
    }
    if text.is_empty() { Err("it is empty".to_string()) } else { Ok(text) }
}

impl Values for OfSection<'_, '_> {
    fn content(&self, key: &str) -> Option<Content> {
        self.reader.sources.value(self.section, key).map(|value| value.content.clone())
    }

    fn secret(&mut self, key: &str) -> Secret {
        let value = self.reader.sources.value(self.section, key);
        value.map(|value| self.reader.secret_of(value)).unwrap_or_default()
    }

    fn refuse(&mut self, key: &str, what: &str, hint: &str) {
        if let Some(value) = self.reader.sources.value(self.section, key) {
            self.reader.errors.push(value.origin.error(what).hint(hint));
        }
    }

    fn warn_if_exposed(&mut self, path: &Path) {
        self.reader.warnings.extend(permissions::exposed(path));
    }

    fn variable(&self, name: &str) -> Option<String> {
        self.reader.sources.environment.get(name).map(str::to_string)
    }

    fn refuse_variable(&mut self, name: &str, what: &str, hint: &str) {
        let error = Error::usage(format!("{name} {what}")).hint(hint);
        let is_known =
            self.reader.errors.iter().any(|known| known.to_string() == error.to_string());
        if !is_known {
            self.reader.errors.push(error);
        }
    }

    fn home(&self) -> Option<PathBuf> {
        self.reader.sources.environment.home().map(Path::to_path_buf)
    }

    fn warn(&mut self, text: String) {
        self.reader.warnings.push(text);
    }
}

/// Schemas of PostgreSQL's own, and the one that everybody's tables are in.
fn is_shared(text: &str) -> bool {
    text == "public" || text == "information_schema" || text.starts_with("pg_")
}

fn is_plain_name(text: &str) -> bool {
    let first = |c: char| c.is_ascii_lowercase() || c == '_';
    text.len() <= 63
        && text.starts_with(first)
        && text.chars().all(|c| first(c) || c.is_ascii_digit())
}
