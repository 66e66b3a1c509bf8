//! All keys in one place, the tool's own and those that each store's description brings; file keys, variables, secrecy and documentation derive from it.

use std::borrow::Cow;
use std::sync::LazyLock;

use crate::section::{CONNECT_TIMEOUT, Key, Kind, TLS_FILES, key};
use crate::stores::StoreKind;

/// What every variable of the tool begins with.
pub const PREFIX: &str = "AIPLAT_MIGRATE_";

/// What a variable that sets a placeholder begins with, after `AIPLAT_MIGRATE_`.
pub const PLACEHOLDER: &str = "PLACEHOLDER_";

/// One section of the file; the first has no name: its keys stand at the top.
#[derive(Debug)]
pub struct Section {
    /// Its name in the file.
    pub name: &'static str,
    /// Its keys.
    pub keys: Vec<Key>,
    /// The keys any of which makes the store configured.
    pub addresses: &'static [&'static str],
}

/// Whether a key holds its value or names the file that does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// The value itself.
    Inline,
    /// The file that holds the value.
    InFile,
}

const NOT_LOOKED_AT: &str =
    "Objects that `validate` does not look at, `*` standing for any text: table public.tmp_*.";

/// Every section with every key: those of the stores are in the stores' own folders.
pub static SECTIONS: LazyLock<Vec<Section>> = LazyLock::new(|| {
    let of_no_store = |name, keys: &[Key]| Section { name, keys: keys.to_vec(), addresses: &[] };
    let lock_wait =
        key("lock_wait", Kind::Duration, "60s", "How long to wait for another run's lock.");
    let dir = key(
        "dir",
        Kind::Folder,
        "migrations",
        "The folder of migrations.sum and of the stores' folders.",
    );
    let ignored: Vec<Key> =
        StoreKind::all().map(|store| key(store.name(), Kind::List, "", NOT_LOOKED_AT)).collect();
    let mut sections = vec![of_no_store("", &[lock_wait]), of_no_store("migrations", &[dir])];
    sections.extend(StoreKind::all().map(of_store));
    sections.push(of_no_store("ignore", &ignored));
    let schema =
        key("schema", Kind::Text, "aiplat_migrate", "The schema of the tool's own tables.");
    let ledger = [crate::postgres::KEYS, TLS_FILES, CONNECT_TIMEOUT, &[schema]].concat();
    sections.push(Section { name: "ledger", keys: ledger, addresses: crate::postgres::ADDRESSES });
    sections
});

fn of_store(store: StoreKind) -> Section {
    let description = store.description();
    let dir = Key {
        default: format!("migrations/{store}").into(),
        ..key("dir", Kind::Folder, "", "The folder of its migrations.")
    };
    let mut keys = description.keys.concat();
    keys.push(dir);
    Section { name: store.name(), keys, addresses: description.addresses }
}

/// Variables that are no keys of the file, with what each means.
pub const OTHER_VARIABLES: &[(&str, &str)] = &[
    ("AIPLAT_MIGRATE_CONFIG", "The settings file, as `--config`."),
    ("AIPLAT_MIGRATE_PROFILE", "The profile, as `--profile`."),
    ("AIPLAT_MIGRATE_STORES", "How `dev/stores` runs servers: `packages` or `docker`."),
    ("AIPLAT_MIGRATE_LOG", "What to log, as tracing filters."),
    ("AIPLAT_MIGRATE_CACHE", "Where `dev/stores` keeps its downloads."),
    ("AIPLAT_MIGRATE_NO_DOTENV", "`true`: no .env is read."),
];

/// What the variables of the tests' own switches begin with, after `AIPLAT_MIGRATE_`.
pub const TEST_SWITCHES: &[&str] = &["FAIL", "TEST_"];

impl Section {
    /// The key that the file calls `name`, or whose `_file` form it is.
    pub fn find(&self, name: &str) -> Option<(&Key, Form)> {
        let inline = self.keys.iter().find(|key| key.name == name).map(|key| (key, Form::Inline));
        inline.or_else(|| {
            let stem = name.strip_suffix("_file")?;
            let key = self.keys.iter().find(|key| key.name == stem && key.kind == Kind::Secret)?;
            Some((key, Form::InFile))
        })
    }

    /// The names that the file may use here, `_file` forms included.
    pub fn names(&self) -> Vec<String> {
        let mut names = Vec::new();
        for key in &self.keys {
            names.push(key.name.to_string());
            if key.kind == Kind::Secret {
                names.push(format!("{}_file", key.name));
            }
        }
        names
    }
}

/// The section that the file calls `name`.
pub fn section(name: &str) -> Option<&'static Section> {
    SECTIONS.iter().find(|section| section.name == name)
}

/// The variable that sets `key` of `section`.
pub fn variable(section: &str, key: &str) -> String {
    let parted = if section.is_empty() { "" } else { "_" };
    format!("{PREFIX}{section}{parted}{key}").to_uppercase()
}

/// One row of the documentation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Documented {
    /// The section; empty for keys at the top of the file.
    pub section: &'static str,
    /// The key.
    pub key: &'static str,
    /// The variable that sets it.
    pub variable: String,
    /// The variable that names a file that holds it, where it is a secret.
    pub file_variable: Option<String>,
    /// Whether it is never shown.
    pub secret: bool,
    /// What holds where it is not set; empty where that is nothing.
    pub default: Cow<'static, str>,
    /// What it means, in one sentence.
    pub meaning: &'static str,
}

/// Every key, as documentation shows it.
pub fn documented() -> Vec<Documented> {
    let mut rows = Vec::new();
    for section in SECTIONS.iter() {
        for key in &section.keys {
            let variable = variable(section.name, key.name);
            let secret = key.kind == Kind::Secret;
            rows.push(Documented {
                section: section.name,
                key: key.name,
                file_variable: secret.then(|| format!("{variable}_FILE")),
                variable,
                secret,
                default: key.default.clone(),
                meaning: key.meaning,
            });
        }
    }
    rows.push(Documented {
        section: "placeholders",
        key: "<name>",
        variable: format!("{PREFIX}{PLACEHOLDER}<NAME>"),
        file_variable: Some(format!("{PREFIX}{PLACEHOLDER}<NAME>_FILE")),
        secret: false,
        default: "".into(),
        meaning: "The value of `${name}` in migrations; one that comes from a file is kept secret.",
    });
    rows
}
