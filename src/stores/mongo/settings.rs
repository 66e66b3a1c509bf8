//! How a MongoDB deployment is reached, and the driver's options made from it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use mongodb::options::{ClientOptions, ConnectionString, ServerAddress, Tls, TlsOptions};

use super::errors;
use super::key_pair::KeyPair;
use crate::secret::Secret;
use crate::section::Reader;
use crate::store_error::{StoreError, StoreErrorKind};
use crate::tls::{Peer, Plain, TlsFiles};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Where MongoDB is and who we are there: a URL, or its parts, which win over those of the URL.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// `mongodb://…` or `mongodb+srv://…`; empty where `host` is given.
    pub url: Secret,
    /// Host, or several as `a:27017,b:27017`.
    pub host: Option<String>,
    /// Port of the hosts that name none.
    pub port: Option<u16>,
    /// The database that the migrations are for.
    pub database: Option<String>,
    /// User name, as it is: nothing is to be percent-encoded.
    pub user: Option<String>,
    /// Password, as it is.
    pub password: Secret,
    /// The database that knows the user; `admin` where nothing else is said.
    pub auth_source: Option<String>,
    /// Name of the replica set.
    pub replica_set: Option<String>,
    /// Whether to speak TLS; on by itself for `mongodb+srv` and where a file of `tls_files` is given.
    pub tls: Option<bool>,
    /// Certificates.
    pub tls_files: TlsFiles,
    /// How long to look for a server, per attempt; 5 s where nothing is said.
    pub connect_timeout: Option<Duration>,
}

/// What a client is made of.
pub(super) struct Target {
    pub options: ClientOptions,
    pub database: String,
    /// Holds the client certificate open for as long as the driver may read it.
    pub key_pair: Option<KeyPair>,
}

impl Settings {
    /// The settings that a section says.
    pub(super) fn read(section: &mut Reader<'_>) -> Settings {
        let settings = Settings {
            url: section.secret("url"),
            host: Some(section.hosts("host", 27017).join(",")).filter(|hosts| !hosts.is_empty()),
            port: section.port("port"),
            database: section.text("database"),
            user: section.text("user"),
            password: section.secret("password"),
            auth_source: section.text("auth_source"),
            replica_set: section.text("replica_set"),
            tls: section.flag("tls"),
            tls_files: section.tls_files(),
            connect_timeout: section.duration("connect_timeout"),
        };
        if let Some(BadUrl { what, hint }) = wrong_url(settings.url.expose()) {
            section.0.refuse("url", &what, &hint);
        }
        settings
    }

    /// Host and port, for messages.
    pub fn address(&self) -> String {
        if let Some(host) = &self.host {
            return with_port(host, self.port.unwrap_or(27017));
        }
        match hosts_of(self.url.expose()) {
            Some(hosts) => hosts.to_string(),
            None => "an unreadable MongoDB address".to_string(),
        }
    }

    /// Whether what is sent can be read on its way, in words.
    pub fn plain_text(&self) -> Option<String> {
        let url = self.url.expose();
        let in_url = url.split_once('?').is_some_and(|(_, query)| {
            query.split('&').any(|pair| matches!(pair, "tls=true" | "ssl=true"))
        });
        let usual =
            in_url || url.starts_with("mongodb+srv:") || self.tls_files != TlsFiles::default();
        let address = self.host.is_some().then(|| self.address());
        let address = address.or_else(|| hosts_of(url).map(|hosts| hosts.replace("%2F", "/")))?;
        (!self.tls.unwrap_or(usual) && crate::tls::leaves_machine(&address))
            .then(|| format!("{address} is spoken to in plain text: set `tls = true`"))
    }

    /// How long one attempt to connect may take.
    pub(super) fn patience(&self) -> Duration {
        self.connect_timeout.unwrap_or(CONNECT_TIMEOUT)
    }

    /// The driver's options; looks up DNS for `mongodb+srv`.
    pub(super) async fn target(&self, application: &str) -> Result<Target, StoreError> {
        let mut options = self.base().await?;
        options.app_name = Some(application.to_string());
        self.set_timeouts(&mut options);
        self.set_credential(&mut options)?;
        if let Some(replica_set) = &self.replica_set {
            options.repl_set_name = Some(replica_set.clone());
        }
        let key_pair = self.set_tls(&mut options)?;
        let database = self.database.clone().or_else(|| options.default_database.clone());
        let database = database.filter(|name| !name.is_empty()).ok_or_else(|| {
            settings("MongoDB: no database is named").hint(
                "set `database` in [mongo], or put it into the URL: mongodb://host:27017/ai_platform",
            )
        })?;
        Ok(Target { options, database, key_pair })
    }

    /// The deployment as `options` has it, for a look at what is wrong with TLS.
    pub(super) fn peer(&self, options: &ClientOptions) -> Peer {
        let address = |address: &ServerAddress| match address {
            ServerAddress::Tcp { host, port } => {
                Some((host.trim_matches(['[', ']']).to_string(), port.unwrap_or(27017)))
            }
            // A Unix socket; the driver's list is open.
            _ => None,
        };
        let speaks_tls = matches!(options.tls, Some(Tls::Enabled(_)));
        Peer {
            addresses: options.hosts.iter().filter_map(address).collect(),
            tls: speaks_tls.then(|| self.tls_files.clone()),
            setting: "`tls`",
            plain: Plain {
                // OP_MSG with the request id `aipl` and { hello: 1, $db: "admin" }.
                question: b"\x34\0\0\0aipl\0\0\0\0\xdd\x07\0\0\0\0\0\0\0\x1f\0\0\0\x10hello\0\
                            \x01\0\0\0\x02$db\0\x06\0\0\0admin\0\0",
                answers: |answer| answer.get(8..12) == Some(b"aipl"),
            },
        }
    }

    async fn base(&self) -> Result<ClientOptions, StoreError> {
        match (&self.host, self.url.is_empty()) {
            (Some(_), false) => Err(settings("MongoDB: both `url` and `host` are given").hint(
                "keep one of them; `user`, `password` and `database` may stand beside either",
            )),
            (None, true) => Err(settings("MongoDB: neither `url` nor `host` is given")),
            (Some(host), true) => self.parts(host),
            (None, false) => self.parsed().await,
        }
    }

    fn parts(&self, host: &str) -> Result<ClientOptions, StoreError> {
        let hosts: Result<Vec<_>, _> = with_port(host, self.port.unwrap_or(27017))
            .split(',')
            .map(|address| {
                ServerAddress::parse(address)
                    .map_err(|_| settings(format!("MongoDB: `{address}` is not a host and a port")))
            })
            .collect();
        Ok(ClientOptions::builder().hosts(hosts?).build())
    }

    async fn parsed(&self) -> Result<ClientOptions, StoreError> {
        let url = self.url.expose();
        match tokio::time::timeout(self.patience(), ClientOptions::parse(url)).await {
            Ok(Ok(options)) => Ok(options),
            Ok(Err(error)) => Err(match *error.kind {
                mongodb::error::ErrorKind::DnsResolve { .. } => errors::from_driver(&error),
                _ => unreadable(url),
            }),
            Err(_) => Err(StoreError::unreachable(format!(
                "DNS did not answer for {} within {:?}",
                self.address(),
                self.patience()
            ))),
        }
    }

    fn set_timeouts(&self, options: &mut ClientOptions) {
        if self.connect_timeout.is_some() || options.server_selection_timeout.is_none() {
            options.server_selection_timeout = Some(self.patience());
        }
        if self.connect_timeout.is_some() || options.connect_timeout.is_none() {
            options.connect_timeout = Some(self.patience());
        }
    }

    fn set_credential(&self, options: &mut ClientOptions) -> Result<(), StoreError> {
        let given = self.user.is_some() || !self.password.is_empty() || self.auth_source.is_some();
        if !given {
            return Ok(());
        }
        let mut credential = options.credential.take().unwrap_or_default();
        if let Some(user) = &self.user {
            credential.username = Some(user.clone());
        }
        if !self.password.is_empty() {
            credential.password = Some(self.password.expose().to_string());
        }
        if let Some(source) = &self.auth_source {
            credential.source = Some(source.clone());
        }
        if credential.username.is_none() && credential.mechanism.is_none() {
            return Err(settings("MongoDB: a password or `auth_source` is given, but no user"));
        }
        options.credential = Some(credential);
        Ok(())
    }

    fn set_tls(&self, options: &mut ClientOptions) -> Result<Option<KeyPair>, StoreError> {
        let files = &self.tls_files;
        let wanted = self.tls.unwrap_or(*files != TlsFiles::default());
        if self.tls == Some(false) {
            options.tls = Some(Tls::Disabled);
        }
        let mut tls = match (&options.tls, wanted) {
            (Some(Tls::Enabled(tls)), _) => tls.clone(),
            (Some(Tls::Disabled) | None, true) => TlsOptions::default(),
            (Some(Tls::Disabled) | None, false) => return Ok(None),
        };
        if let Some(path) = &files.ca_file {
            tls.ca_file_path = Some(readable(path)?);
        }
        let key_pair = KeyPair::of(files)?;
        if let Some(pair) = &key_pair {
            tls.cert_key_file_path = Some(pair.path().to_path_buf());
        }
        options.tls = Some(Tls::Enabled(tls));
        Ok(key_pair)
    }
}

pub(super) fn settings(message: impl Into<String>) -> StoreError {
    StoreError::new(StoreErrorKind::Settings, message)
}

/// The driver skips what it can't parse in an authority file, and then trusts nobody: looked at here.
fn readable(path: &Path) -> Result<PathBuf, StoreError> {
    let only_ca = TlsFiles { ca_file: Some(path.to_path_buf()), ..TlsFiles::default() };
    only_ca.client_config(crate::tls::Verify::Full)?;
    Ok(path.to_path_buf())
}

/// The hosts in a URL. Looks behind the last `@` of all, so that no part of a password that should
/// have been percent-encoded is taken for a host.
fn hosts_of(url: &str) -> Option<&str> {
    let rest = url.rsplit_once('@').map(|(_, rest)| rest).or_else(|| {
        let (_, rest) = url.split_once("://")?;
        Some(rest)
    })?;
    let hosts = rest.split(['/', '?']).next()?;
    let plain = |c: char| c.is_ascii_alphanumeric() || ".-_:,[]%".contains(c);
    (!hosts.is_empty() && hosts.chars().all(plain)).then_some(hosts)
}

fn with_port(hosts: &str, port: u16) -> String {
    let named = |host: &str| match host.rsplit_once(']') {
        Some((_, rest)) => rest.starts_with(':'),
        None => host.contains(':') || host.ends_with(".sock"),
    };
    let each = hosts.split(',').map(str::trim).map(|host| match named(host) {
        true => host.to_string(),
        false => format!("{host}:{port}"),
    });
    each.collect::<Vec<_>>().join(",")
}

/// What is wrong with a URL, and what to write.
struct BadUrl {
    what: String,
    hint: String,
}

const FORM: &str = "write mongodb://user:password@host:27017/database, special characters such as @ : / ? # % as %XX; \
                    or give host, port, database, user and password apart, where any character works";

/// How the driver that is built in can log in.
const MECHANISMS: [&str; 4] = ["SCRAM-SHA-256", "SCRAM-SHA-1", "MONGODB-X509", "PLAIN"];

/// What it cannot do; a word that is neither may be part of a password.
const NOT_BUILT_IN: [&str; 4] = ["MONGODB-AWS", "MONGODB-OIDC", "GSSAPI", "MONGODB-CR"];

/// Why a URL cannot be used, without a part of it that may be a password: the driver's own message
/// can quote one, so it is asked again about the URL without user and password.
fn wrong_url(url: &str) -> Option<BadUrl> {
    let bad = |what: &str| Some(BadUrl { what: what.to_string(), hint: FORM.to_string() });
    if url.is_empty() {
        return None;
    }
    let Some(scheme) =
        ["mongodb", "mongodb+srv"].into_iter().find(|it| url.starts_with(&format!("{it}://")))
    else {
        return bad("begins with neither mongodb:// nor mongodb+srv://");
    };
    if let Some(mechanism) = mechanism(url).filter(|it| !MECHANISMS.contains(&it.as_str())) {
        let named = NOT_BUILT_IN.contains(&mechanism.as_str()).then_some(mechanism);
        let what = match named {
            Some(name) => {
                format!("asks for the login {name}, which is not supported by this build")
            }
            None => "asks for a login that is not known".to_string(),
        };
        let hint = format!("leave authMechanism out, or write one of {}", MECHANISMS.join(", "));
        return Some(BadUrl { what, hint });
    }
    if ConnectionString::parse(url).is_ok() {
        return match hosts_of(url) {
            None => bad("has hosts that cannot be read: several are parted by commas"),
            Some(hosts) if hosts.split(',').any(|host| host.ends_with(":0")) => Some(BadUrl {
                what: "has a port that cannot be used".to_string(),
                hint: "a port is a number from 1 to 65535".to_string(),
            }),
            Some(_) => None,
        };
    }
    let public = match url.rsplit_once('@') {
        Some((_, rest)) => format!("{scheme}://{rest}"),
        None => url.to_string(),
    };
    match ConnectionString::parse(public) {
        Err(error) => match errors::message(&error).split_once(" is an invalid option") {
            Some((name, _)) => Some(BadUrl {
                what: format!("has an option that this build does not know: `{name}`"),
                hint: "leave it out".to_string(),
            }),
            None => bad(&format!("cannot be read: {}", errors::message(&error))),
        },
        Ok(_) => bad("has a user and a password that cannot be read"),
    }
}

/// The login that a URL asks for.
fn mechanism(url: &str) -> Option<String> {
    let (_, query) = url.rsplit_once('@').map_or(url, |(_, rest)| rest).split_once('?')?;
    let named = query.split('&').filter_map(|pair| pair.split_once('='));
    let found = named.into_iter().find(|(name, _)| name.eq_ignore_ascii_case("authMechanism"));
    found.map(|(_, value)| value.to_uppercase())
}

/// Why the driver could not read a URL.
fn unreadable(url: &str) -> StoreError {
    match wrong_url(url) {
        Some(BadUrl { what, hint }) => settings(format!("MongoDB: the URL {what}")).hint(hint),
        None => settings("MongoDB: the URL cannot be read").hint(FORM),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_url(url: &str) -> Settings {
        Settings { url: url.into(), ..Settings::default() }
    }

    #[test]
    fn an_address_never_shows_a_part_of_a_password() {
        for (url, address) in [
            ("mongodb://u:hunter2@h1:1,h2:2/db?x=y", "h1:1,h2:2"),
            ("mongodb://u:hun/ter@2?@h/db", "h"),
            ("mongodb+srv://u:p@cluster.example.net", "cluster.example.net"),
            ("mongodb://localhost", "localhost"),
            ("u:hunter2", "an unreadable MongoDB address"),
        ] {
            assert_eq!(of_url(url).address(), address);
        }
        let parts = Settings { host: Some("a, b:3,[::1]".to_string()), ..Settings::default() };
        assert_eq!(parts.address(), "a:27017,b:3,[::1]:27017");
    }

    #[tokio::test]
    async fn an_unreadable_url_is_said_without_quoting_it() {
        for url in [
            "mongodb://user:hunter2?x@host/db",
            "mongodb://user:hunter2/3@host/db",
            "mongodb://user:hunter2%zz@host/db",
            "hunter2://user@host",
        ] {
            let error = of_url(url).target("t").await.err().expect(url);
            assert_eq!(error.kind, StoreErrorKind::Settings, "{url}");
            assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
        }
    }

    #[tokio::test]
    async fn parts_take_any_character() {
        let settings = Settings {
            host: Some("h".to_string()),
            user: Some("ü@:/?#%".to_string()),
            password: "p@:/?#%[]".into(),
            database: Some("d".to_string()),
            ..Settings::default()
        };
        let credential = settings.target("t").await.expect("target").options.credential;
        let credential = credential.expect("credential");
        assert_eq!(credential.username.as_deref(), Some("ü@:/?#%"));
        assert_eq!(credential.password.as_deref(), Some("p@:/?#%[]"));
    }

    #[tokio::test]
    async fn a_database_must_be_named() {
        let error = of_url("mongodb://h").target("t").await.err().expect("no database");
        assert_eq!(error.kind, StoreErrorKind::Settings);
        let named = Settings { database: Some("x".to_string()), ..of_url("mongodb://h/y") };
        assert_eq!(named.target("t").await.expect("target").database, "x");
        assert_eq!(of_url("mongodb://h/y").target("t").await.expect("target").database, "y");
    }
}
