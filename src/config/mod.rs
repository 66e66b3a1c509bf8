//! The settings of a run: from the environment, `.env`, a profile, `aiplat-migrate.toml`, in this
//! order of strength, key by key.
//!
//! An empty variable counts as not set. A `url` and its parts (`host`, `password` …) may be given
//! together, from whichever source: a part wins over what the URL says, so that a secret may hold
//! the password alone. Relative paths of files are relative to the settings file, or, in variables,
//! to the working directory; folders of migrations are always relative to the project.
//!
//! Nothing here shows a value: messages name the variable, or the key with its line.

mod environment;
mod file;
mod folders;
mod keys;
mod permissions;
mod settings;
mod sources;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use crate::error::{Error, Result};
use crate::ledger::LedgerSettings;
use crate::migration::Folder;
use crate::stores::{Ignored, Settings, StoreKind};
use crate::text::Placeholders;

pub use environment::Environment;
pub use file::NAME as FILE_NAME;
pub use keys::{Documented, OTHER_VARIABLES, TEST_SWITCHES, documented};

use settings::Reader;
use sources::Sources;

const LOCK_WAIT: Duration = Duration::from_secs(60);
const SCHEMA: &str = "aiplat_migrate";

/// What the command line says about settings.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The settings file; otherwise AIPLAT_MIGRATE_CONFIG, otherwise the nearest one upward.
    pub config: Option<PathBuf>,
    /// The profile; otherwise AIPLAT_MIGRATE_PROFILE.
    pub profile: Option<String>,
}

/// The settings of a run, checked.
#[derive(Clone, Debug)]
pub struct Config {
    /// The project: the folder of the settings file, else the working directory.
    pub root: PathBuf,
    /// The settings file, if there is one.
    pub file: Option<PathBuf>,
    /// The folder of `migrations.sum`.
    pub migrations_dir: PathBuf,
    /// The folder of each store, configured or not.
    pub folders: Vec<Folder>,
    /// The values that migrations may name.
    pub placeholders: Placeholders,
    /// How long to wait for another run's lock.
    pub lock_wait: Duration,
    /// The settings of the stores that are configured.
    pub stores: BTreeMap<StoreKind, Settings>,
    /// The objects of each store that are not looked at.
    pub ignored: BTreeMap<StoreKind, Ignored>,
    /// Where the ledger is.
    pub ledger: LedgerSettings,
    /// What is not wrong, but should be known.
    pub warnings: Vec<String>,
}

impl Config {
    /// The settings for commands that contact stores or the ledger.
    ///
    /// Errors (exit 2) come all at once.
    pub fn load(options: &Options, environment: &Environment) -> Result<Config> {
        let mut sources = Sources::gather(options, environment)?;
        let unused = sources.adopt_database_url();
        sources.adopt_libpq();
        let mut reader = Reader::new(&sources);
        let mut config = Config::of_project(&sources, &mut reader)?;
        for store in StoreKind::all() {
            let settings = settings::of_store(&mut reader, store);
            config.stores.extend(settings.map(|settings| (store, settings)));
        }
        match ledger(&sources, &mut reader, &config.stores) {
            Ok(settings) => config.ledger.database = settings,
            Err(error) => reader.errors.push(with_cause(error, unused.as_ref())),
        }
        config.finish(reader, sources.without_address().into_iter().chain(unused))
    }

    /// The settings for commands that only read files: no store is configured, the ledger is
    /// nowhere, and of all secrets only those of placeholders are read.
    pub fn offline(options: &Options, environment: &Environment) -> Result<Config> {
        let sources = Sources::gather(options, environment)?;
        let mut reader = Reader::new(&sources);
        let config = Config::of_project(&sources, &mut reader)?;
        config.finish(reader, [])
    }

    /// Whether the ledger is in the database of a configured store.
    pub fn is_ledger_in_a_store(&self) -> bool {
        self.stores.contains_key(&StoreKind::of_ledger())
    }

    /// A sentence for each store that is on another machine and spoken to without TLS.
    pub fn plain_text(&self) -> Vec<String> {
        let ledger = match self.is_ledger_in_a_store() {
            true => None,
            false => {
                self.ledger.database.plain_text().map(|words| format!("the ledger at {words}"))
            }
        };
        let stores = self.stores.values().filter_map(Settings::plain_text);
        stores.chain(ledger).collect()
    }

    fn of_project(sources: &Sources, reader: &mut Reader<'_>) -> Result<Config> {
        let schema = settings::schema(reader);
        let lock_wait = reader.section("", |top| top.duration("lock_wait"));
        let patterns = |store: StoreKind| {
            let patterns = reader.section("ignore", |ignore| ignore.list(store.name()));
            (store, Ignored(patterns))
        };
        let ignored = StoreKind::all().map(patterns).collect();
        Ok(Config {
            root: sources.root.clone(),
            file: sources.file.clone(),
            migrations_dir: folders::of_sum_file(sources),
            folders: folders::of_stores(sources)?,
            placeholders: reader.placeholders(),
            lock_wait: lock_wait.unwrap_or(LOCK_WAIT),
            stores: BTreeMap::new(),
            ignored,
            ledger: LedgerSettings {
                database: crate::postgres::Settings::default(),
                schema: schema.unwrap_or_else(|| SCHEMA.to_string()),
            },
            warnings: sources.exposed(),
        })
    }

    fn finish(
        mut self,
        reader: Reader<'_>,
        warnings: impl IntoIterator<Item = String>,
    ) -> Result<Config> {
        self.warnings.extend(reader.warnings);
        self.warnings.extend(warnings);
        match Error::all(reader.errors) {
            Some(error) => Err(error),
            None => Ok(self),
        }
    }
}

/// The ledger is in the postgres store's database, or, without that store, where [ledger] says.
fn ledger(
    sources: &Sources,
    reader: &mut Reader<'_>,
    stores: &BTreeMap<StoreKind, Settings>,
) -> Result<crate::postgres::Settings> {
    let store = stores.values().find_map(Settings::ledger);
    let name = StoreKind::of_ledger();
    match (store, sources.any_but("ledger", "schema")) {
        (Some(settings), None) => Ok(settings.clone()),
        (Some(_), Some(own)) => Err(own
            .origin
            .error(&format!("is set, but so is the {name} store, in whose database the ledger is"))
            .hint(format!("unset one: [ledger] is for projects without a {name} store"))),
        (None, _) if sources.address("ledger").is_some() => {
            Ok(reader.section("ledger", crate::postgres::Settings::read))
        }
        (None, _) if stores.is_empty() => Err(nothing_configured()),
        (None, _) => Err(no_ledger()),
    }
}

fn nothing_configured() -> Error {
    let variables: Vec<String> = StoreKind::all().map(address_variable).collect();
    Error::usage("no store is configured")
        .hint("set DATABASE_URL=postgres://user:password@host:5432/database")
        .hint(format!(
            "or, for any of the stores, {}, or the same in {FILE_NAME}",
            variables.join(", ")
        ))
}

/// The variable that says where a store is.
pub fn address_variable(store: StoreKind) -> String {
    keys::variable(store.name(), store.description().addresses[0])
}

fn no_ledger() -> Error {
    let store = StoreKind::of_ledger();
    let (title, variable) = (store.title(), address_variable(store));
    Error::usage(format!(
        "no ledger: the history is kept in {title}, and nothing says where that is"
    ))
    .hint(format!("set DATABASE_URL or {variable}, if {title} is one of the stores"))
    .hint(format!(
        "otherwise set AIPLAT_MIGRATE_LEDGER_URL, or `url` under [ledger] in {FILE_NAME}"
    ))
}

fn with_cause(error: Error, cause: Option<&String>) -> Error {
    match cause {
        Some(cause) => error.because(cause),
        None => error,
    }
}

#[cfg(test)]
mod tests;
