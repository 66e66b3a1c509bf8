//! Where values come from, the strongest first: environment, `.env`, profile, file.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::environment::Environment;
use super::file::SettingsFile;
use super::keys::{self, Form, Section};
use super::{Options, permissions};
use crate::error::{Error, Place, Result};
use crate::secret::Secret;
use crate::section::{Content, Key, Kind};
use crate::stores::StoreKind;

/// Where a value was written down.
#[derive(Clone, Debug)]
pub enum Origin {
    /// A variable, by the name that messages use.
    Variable(String),
    /// A key of the settings file; the place shows the key and never the value.
    Key(String, Place),
}

impl Origin {
    /// The name, for messages.
    pub fn name(&self) -> String {
        match self {
            Origin::Variable(name) => name.clone(),
            Origin::Key(name, _) => format!("`{name}`"),
        }
    }

    /// The error that `what` is wrong with the value, which is not shown.
    pub fn error(&self, what: &str) -> Error {
        let error = Error::usage(format!("{} {what}", self.name()));
        match self {
            Origin::Variable(_) => error,
            Origin::Key(_, place) => error.at(place.clone()),
        }
    }
}

/// A value as it was written down.
#[derive(Clone, Debug)]
pub struct Value {
    /// What it says.
    pub content: Content,
    /// Where it stands.
    pub origin: Origin,
}

impl Value {
    /// Whether it says nothing, which is as if it had not been given.
    pub fn is_empty(&self) -> bool {
        match &self.content {
            Content::Text(text) => text.is_empty(),
            Content::File(_) => false,
        }
    }
}

/// The values of one source.
#[derive(Debug)]
pub struct Layer {
    /// What relative paths of files are relative to.
    pub base: PathBuf,
    /// The file that the values stand in, if they stand in one.
    pub holder: Option<PathBuf>,
    /// Whether it is the process's environment or `.env`.
    pub variables: bool,
    /// The values, by section and key.
    pub values: BTreeMap<(&'static str, &'static str), Value>,
    /// The placeholders, by lower-case name.
    pub placeholders: BTreeMap<String, Value>,
    /// `DATABASE_URL`, for where nothing else says where Postgres is.
    pub database_url: Option<Value>,
    /// Whether it has PGPASSWORD.
    pub holds_password: bool,
}

impl Layer {
    /// A source without values.
    pub fn new(base: &Path, holder: Option<PathBuf>, variables: bool) -> Layer {
        Layer {
            base: base.to_path_buf(),
            holder,
            variables,
            values: BTreeMap::new(),
            placeholders: BTreeMap::new(),
            database_url: None,
            holds_password: false,
        }
    }

    /// Adds the value of a key; an error if the source sets it already, in this form or the other.
    pub fn add(
        &mut self,
        section: &Section,
        key: &'static Key,
        form: Form,
        text: String,
        origin: Origin,
    ) -> Result<()> {
        let is_path = form == Form::InFile || key.kind == Kind::Path;
        let value = self.value(is_path && !text.is_empty(), text, origin);
        match self.values.get(&(section.name, key.name)) {
            Some(other) => Err(twice(&value, other)),
            None => {
                self.values.insert((section.name, key.name), value);
                Ok(())
            }
        }
    }

    /// Adds a placeholder; an error if the source sets it already.
    pub fn add_placeholder(
        &mut self,
        name: &str,
        form: Form,
        text: String,
        origin: Origin,
    ) -> Result<()> {
        let value = self.value(form == Form::InFile, text, origin);
        let fits = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.');
        if name.is_empty() || !name.chars().all(fits) {
            return Err(value
                .origin
                .error("is no name for a placeholder")
                .hint("a name has letters, digits, `_`, `-` and `.`"));
        }
        let name = name.to_lowercase();
        match self.placeholders.get(&name) {
            Some(other) => Err(twice(&value, other)),
            None => {
                self.placeholders.insert(name, value);
                Ok(())
            }
        }
    }

    fn value(&self, is_path: bool, text: String, origin: Origin) -> Value {
        let content = match is_path {
            true => Content::File(self.base.join(text)),
            false => Content::Text(Secret::new(text)),
        };
        Value { content, origin }
    }

    /// Whether a secret stands in it as text.
    fn holds_secret(&self) -> bool {
        let is_one = |((section, key), value): (&(&str, &str), &Value)| match &value.content {
            Content::File(_) => false,
            Content::Text(text) => is_secret(section, key) && holds_password(key, text.expose()),
        };
        self.holds_password || self.values.iter().any(is_one)
    }
}

fn is_secret(section: &str, key: &str) -> bool {
    let found = keys::section(section).and_then(|section| section.find(key));
    found.is_some_and(|(key, _)| key.kind == Kind::Secret)
}

/// An address alone is no secret; one with a password in it is.
fn holds_password(key: &str, text: &str) -> bool {
    if key != "url" {
        return !text.is_empty();
    }
    let credentials = text.split_once("://").and_then(|(_, rest)| rest.rsplit_once('@'));
    credentials.is_some_and(|(credentials, _)| credentials.contains(':'))
        || text.contains("password=")
}

fn twice(value: &Value, other: &Value) -> Error {
    let what = format!("and {} are both set", other.origin.name());
    value.origin.error(&what).hint("keep one of the two")
}

/// All sources, and the project that they belong to.
#[derive(Debug)]
pub struct Sources {
    /// The folder of the settings file, else the working directory.
    pub root: PathBuf,
    /// The settings file.
    pub file: Option<PathBuf>,
    /// The sources, the strongest first.
    pub layers: Vec<Layer>,
    /// The process's environment, for variables that are not the tool's own.
    pub environment: Environment,
}

impl Sources {
    /// Reads every source; errors come all at once.
    pub fn gather(options: &Options, environment: &Environment) -> Result<Sources> {
        let mut errors = Vec::new();
        let file = SettingsFile::find(options.config.as_deref(), environment)?;
        let profile = options.profile.as_deref().or(environment.get("AIPLAT_MIGRATE_PROFILE"));
        let mut layers = environment.layers(&mut errors);
        let (root, path) = match &file {
            Some(file) => {
                layers.extend(file.layers(profile, &mut errors));
                (file.root.clone(), Some(file.path.clone()))
            }
            None => {
                errors.extend(profile.map(no_file_for));
                (environment.directory().to_path_buf(), None)
            }
        };
        match Error::all(errors) {
            Some(error) => Err(error),
            None => Ok(Sources { root, file: path, layers, environment: environment.clone() }),
        }
    }

    /// Takes libpq's own variables for the store that the ledger is in, where nothing else says where that
    /// is: all that they say is read with whatever else is said of that store.
    pub fn adopt_libpq(&mut self) {
        let store = StoreKind::of_ledger().name();
        if self.address(store).is_some() || self.address("ledger").is_some() {
            return;
        }
        let places = crate::postgres::PLACES.iter();
        let place = places.copied().find(|name| self.environment.get(name).is_some());
        if let (Some(place), Some(layer)) = (place, self.layers.last_mut()) {
            let content = Content::Text(Secret::new("postgres://"));
            let value = Value { content, origin: Origin::Variable(place.to_string()) };
            layer.values.insert((store, "url"), value);
        }
    }

    /// Takes `DATABASE_URL` for the store that the ledger is in, where nothing else says where that is;
    /// otherwise, or where it means another database, says why not.
    pub fn adopt_database_url(&mut self) -> Option<String> {
        let store = StoreKind::of_ledger().name();
        if self.address(store).is_some() {
            return None;
        }
        let elsewhere = self.address("ledger").map(|value| value.origin.name());
        let found = self.layers.iter_mut().find_map(|layer| {
            let value = layer.database_url.take().filter(|value| !value.is_empty())?;
            Some((layer, value))
        });
        let (layer, value) = found?;
        let name = value.origin.name();
        if let Some(elsewhere) = elsewhere {
            return Some(format!("{name} is not used, because {elsewhere} is set"));
        }
        if !is_postgres(&value) {
            return Some(format!("{name} is not used: it does not begin with postgres://"));
        }
        layer.values.insert((store, "url"), value);
        None
    }

    /// The strongest value of a key.
    pub fn value(&self, section: &str, key: &str) -> Option<&Value> {
        debug_assert!(
            keys::section(section).and_then(|section| section.find(key)).is_some(),
            "the table of keys has no {section}.{key}"
        );
        let mut all = self.layers.iter();
        let first = all.find_map(|layer| {
            layer.values.iter().find(|(at, _)| **at == (section, key)).map(|(_, value)| value)
        });
        first.filter(|value| !value.is_empty())
    }

    /// The first of the values that say where `section`'s server is.
    pub fn address(&self, section: &str) -> Option<&Value> {
        let keys = keys::section(section).map_or(&[][..], |section| section.addresses);
        keys.iter().find_map(|key| self.value(section, key))
    }

    /// A value of `section` that is no value of `key`.
    pub fn any_but(&self, section: &str, key: &str) -> Option<&Value> {
        let keys = keys::section(section)?.keys.iter().filter(|other| other.name != key);
        keys.filter_map(|key| self.value(section, key.name)).next()
    }

    /// Each placeholder's strongest value.
    pub fn placeholders(&self) -> BTreeMap<&str, &Value> {
        let mut all = BTreeMap::new();
        for layer in &self.layers {
            for (name, value) in &layer.placeholders {
                all.entry(name.as_str()).or_insert(value);
            }
        }
        all
    }

    /// A warning for each file that holds secrets and that others may read.
    pub fn exposed(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        for layer in self.layers.iter().filter(|layer| layer.holds_secret()) {
            warnings.extend(layer.holder.as_deref().and_then(permissions::exposed));
        }
        warnings.dedup();
        warnings
    }

    /// Warnings for stores about which a variable says something, but nothing says where they are.
    pub fn without_address(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        for section in keys::SECTIONS.iter().filter(|section| !section.addresses.is_empty()) {
            if section.name == "ledger" || self.address(section.name).is_some() {
                continue;
            }
            let stray = self.layers.iter().filter(|layer| layer.variables).find_map(|layer| {
                layer.values.iter().find(|((at, key), _)| *at == section.name && *key != "dir")
            });
            if let Some((_, value)) = stray {
                warnings.push(format!(
                    "{} is set, but {} is not configured: set {}",
                    value.origin.name(),
                    section.name,
                    keys::variable(section.name, section.addresses[0]),
                ));
            }
        }
        warnings
    }
}

/// Whether it is meant so; what is wrong with the scheme is told when the URL is read.
fn is_postgres(value: &Value) -> bool {
    match &value.content {
        Content::Text(text) => {
            let scheme = text.expose().split_once("://").map(|(scheme, _)| scheme);
            scheme.is_some_and(|scheme| scheme.to_lowercase().contains("postgre"))
        }
        Content::File(_) => false,
    }
}

fn no_file_for(profile: &str) -> Error {
    Error::usage(format!("no profile `{profile}`: there is no aiplat-migrate.toml"))
        .hint("run in the project's folder, or name the file with --config")
}
