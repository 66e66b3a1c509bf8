//! Values turned into the settings of each store, each checked for its kind.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::keys::Kind;
use super::permissions;
use super::sources::{Content, Sources, Value};
use crate::error::{Error, Result};
use crate::migration::header::parse_duration;
use crate::migration::{Placeholder, Placeholders, StoreKind};
use crate::postgres::Recorded;
use crate::secret::Secret;
use crate::stores::{Settings, kafka, mongo, redis, weaviate};
use crate::tls::TlsFiles;

/// The settings of `store`, unless nothing says where it is.
pub fn of_store(reader: &mut Reader<'_>, store: StoreKind) -> Option<Settings> {
    reader.sources.address(store.name())?;
    let section = &mut reader.section(store.name());
    Some(match store {
        StoreKind::Postgres => {
            let mut settings = postgres(section);
            settings.shape = section.recorded("shape");
            Settings::Postgres(settings)
        }
        StoreKind::Mongo => Settings::Mongo(mongo(section)),
        StoreKind::Weaviate => Settings::Weaviate(weaviate(section)),
        StoreKind::Kafka => Settings::Kafka(kafka(section)),
        StoreKind::Redis => Settings::Redis(redis(section)),
    })
}

/// Postgres's settings, from the section of the store or of the ledger.
pub fn postgres(section: &mut SectionReader<'_, '_>) -> crate::postgres::Settings {
    crate::postgres::Settings {
        url: section.secret("url"),
        host: section.host("host"),
        port: section.port("port"),
        database: section.text("database"),
        user: section.text("user"),
        password: section.secret("password"),
        sslmode: section.text("sslmode"),
        tls_files: section.tls_files(),
        connect_timeout: section.duration("connect_timeout"),
        greeting: None,
        hidden: Vec::new(),
        shape: Vec::new(),
    }
}

fn mongo(section: &mut SectionReader<'_, '_>) -> mongo::Settings {
    mongo::Settings {
        url: section.secret("url"),
        host: section.host("host"),
        port: section.port("port"),
        database: section.text("database"),
        user: section.text("user"),
        password: section.secret("password"),
        auth_source: section.text("auth_source"),
        replica_set: section.text("replica_set"),
        tls: section.flag("tls"),
        tls_files: section.tls_files(),
        connect_timeout: section.duration("connect_timeout"),
    }
}

fn weaviate(section: &mut SectionReader<'_, '_>) -> weaviate::Settings {
    weaviate::Settings {
        url: section.open_url("url"),
        api_key: section.secret("api_key"),
        tls: section.tls_files(),
        connect_timeout: section.duration("connect_timeout"),
        request_timeout: section.duration("request_timeout"),
    }
}

fn kafka(section: &mut SectionReader<'_, '_>) -> kafka::Settings {
    kafka::Settings {
        brokers: section.hosts("brokers").join(","),
        security_protocol: section.text("security_protocol"),
        sasl_mechanism: section.text("sasl_mechanism"),
        user: section.text("user"),
        password: section.secret("password"),
        tls: section.tls_files(),
        connect_timeout: section.duration("connect_timeout"),
        operation_timeout: section.duration("operation_timeout"),
    }
}

fn redis(section: &mut SectionReader<'_, '_>) -> redis::Settings {
    redis::Settings {
        url: section.secret("url"),
        host: section.host("host"),
        port: section.port("port"),
        user: section.text("user"),
        password: section.secret("password"),
        database: section.number("database"),
        tls: section.flag("tls"),
        tls_files: section.tls_files(),
        cluster: section.flag("cluster").unwrap_or(false),
        sentinels: section.hosts("sentinels"),
        sentinel_master: section.text("sentinel_master"),
        sentinel_password: section.secret("sentinel_password"),
        connect_timeout: section.duration("connect_timeout"),
        response_timeout: section.duration("response_timeout"),
    }
}

/// Reads values by kind; what is wrong with them is gathered, so that it comes all at once.
pub struct Reader<'s> {
    sources: &'s Sources,
    /// What is wrong.
    pub errors: Vec<Error>,
    /// What may be wrong.
    pub warnings: Vec<String>,
}

/// A [`Reader`] of one section.
pub struct SectionReader<'r, 's> {
    reader: &'r mut Reader<'s>,
    section: &'static str,
}

impl<'s> Reader<'s> {
    /// One that reads `sources`.
    pub fn new(sources: &'s Sources) -> Reader<'s> {
        Reader { sources, errors: Vec::new(), warnings: Vec::new() }
    }

    /// That of a section; the one without a name is the top of the file.
    pub fn section(&mut self, section: &'static str) -> SectionReader<'_, 's> {
        SectionReader { reader: self, section }
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
    let mut text = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
    if text.ends_with('\n') {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
    }
    if text.is_empty() { Err("it is empty".to_string()) } else { Ok(text) }
}

impl SectionReader<'_, '_> {
    /// A text.
    pub fn text(&mut self, key: &str) -> Option<String> {
        self.parse(key, "text", |text| Some(text.to_string()))
    }

    /// A text that is never shown.
    pub fn secret(&mut self, key: &str) -> Secret {
        let value = self.reader.sources.value(self.section, key);
        value.map(|value| self.reader.secret_of(value)).unwrap_or_default()
    }

    /// A time.
    pub fn duration(&mut self, key: &str) -> Option<Duration> {
        self.parse(key, Kind::Duration.wanted(), parse_duration)
    }

    /// A schema that needs no quotes in SQL.
    pub fn schema(&mut self, key: &str) -> Option<String> {
        let value = self.reader.sources.value(self.section, key)?;
        let text = self.text(key)?;
        if is_plain_name(&text) {
            return Some(text);
        }
        let error = value.origin.error("is no name that the ledger's schema can have");
        self.reader.errors.push(error.hint(
            "a name begins with a lower-case letter or `_`, goes on with these and digits, \
             and has at most 63 characters",
        ));
        None
    }

    fn tls_files(&mut self) -> TlsFiles {
        let files = TlsFiles {
            ca_file: self.path("ca_file"),
            cert_file: self.path("cert_file"),
            key_file: self.path("key_file"),
        };
        let exposed = files.key_file.as_deref().and_then(permissions::exposed);
        self.reader.warnings.extend(exposed);
        files
    }

    fn path(&mut self, key: &str) -> Option<PathBuf> {
        match &self.reader.sources.value(self.section, key)?.content {
            Content::File(path) => Some(path.clone()),
            Content::Text(text) => Some(PathBuf::from(text.expose())),
        }
    }

    fn port(&mut self, key: &str) -> Option<u16> {
        let port = |text: &str| text.trim().parse().ok().filter(|port| *port > 0);
        self.parse(key, Kind::Port.wanted(), port)
    }

    fn number(&mut self, key: &str) -> Option<i64> {
        let number = |text: &str| text.trim().parse().ok().filter(|number| *number >= 0);
        self.parse(key, Kind::Number.wanted(), number)
    }

    fn flag(&mut self, key: &str) -> Option<bool> {
        self.parse(key, Kind::Flag.wanted(), |text| match text.trim() {
            "true" | "1" => Some(true),
            "false" | "0" => Some(false),
            _ => None,
        })
    }

    /// A host, which messages show: a URL with a password in it must not get there.
    fn host(&mut self, key: &str) -> Option<String> {
        let fits =
            |text: &str| (!text.contains("://") && !holds_user(text)).then(|| text.to_string());
        self.parse(key, "a host name alone; a whole URL goes into `url`", fits)
    }

    fn recorded(&mut self, key: &str) -> Vec<Recorded> {
        let read = |text: &str| items(text).map(|item| item.parse().ok()).collect();
        self.parse(key, "a list of owners, grants, comments", read).unwrap_or_default()
    }

    /// Patterns of objects.
    pub fn patterns(&mut self, key: &str) -> Vec<String> {
        let read = |text: &str| Some(items(text).map(str::to_string).collect());
        self.parse(key, Kind::List.wanted(), read).unwrap_or_default()
    }

    fn hosts(&mut self, key: &str) -> Vec<String> {
        let fits = |text: &str| {
            let hosts = text.split(',').map(str::trim).filter(|host| !host.is_empty());
            (!holds_user(text)).then(|| hosts.map(str::to_string).collect())
        };
        let wanted = "hosts parted by commas; users and passwords have keys of their own";
        self.parse(key, wanted, fits).unwrap_or_default()
    }

    /// A URL that messages show, and that therefore must not hold a password.
    fn open_url(&mut self, key: &str) -> String {
        let fits = |text: &str| (!holds_user(text)).then(|| text.to_string());
        let wanted = "the URL without a user or password; `api_key` is a key of its own";
        self.parse(key, wanted, fits).unwrap_or_default()
    }

    /// The value that `parse` makes of the text; messages never show the text.
    fn parse<T>(
        &mut self,
        key: &str,
        wanted: &str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Option<T> {
        let value = self.reader.sources.value(self.section, key)?;
        let parsed = match &value.content {
            Content::Text(text) => parse(text.expose()),
            Content::File(_) => None,
        };
        if parsed.is_none() {
            let error = value.origin.error("has a value that cannot be used");
            let error = error.hint(format!("write {wanted}"));
            self.reader.errors.push(error);
        }
        parsed
    }
}

fn items(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|item| !item.is_empty())
}

/// Abstract sockets begin with `@`; no host has it further on.
fn holds_user(text: &str) -> bool {
    text.char_indices().any(|(at, c)| c == '@' && at > 0)
}

fn is_plain_name(text: &str) -> bool {
    let first = |c: char| c.is_ascii_lowercase() || c == '_';
    text.len() <= 63
        && text.starts_with(first)
        && text.chars().all(|c| first(c) || c.is_ascii_digit())
}
