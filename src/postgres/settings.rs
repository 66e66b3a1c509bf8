//! PostgreSQL's settings: a URL, or its parts, or both.

use std::time::Duration;

use percent_encoding::percent_decode_str;
use tokio_postgres::config::{Host, SslMode};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::environment::{self, Purpose};
use crate::secret::Secret;
use crate::section::{Key, Kind, Reader, key};
use crate::store_error::{StoreError, StoreErrorKind};
use crate::tls::{self, TlsFiles, Verify};

/// Where PostgreSQL is and how to log in; parts given apart win over what the URL says.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// `postgres://user:password@host:port/database?sslmode=…`; several hosts are allowed.
    pub url: Secret,
    /// The host, or the folder of a Unix socket.
    pub host: Option<String>,
    /// The port; 5432 if unset.
    pub port: Option<u16>,
    /// The database; the user's name if unset.
    pub database: Option<String>,
    /// The role to log in as.
    pub user: Option<String>,
    /// Its password, any character allowed.
    pub password: Secret,
    /// `disable`, `prefer`, `require`, `verify-ca` or `verify-full`, as in libpq.
    pub sslmode: Option<String>,
    /// The certificates.
    pub tls_files: TlsFiles,
    /// How long one attempt to connect may take; 5 s if unset.
    pub connect_timeout: Option<Duration>,
    /// SQL that must be true for a session of the postgres store to begin; the ledger sets it.
    pub condition: Option<String>,
    /// SQL that brings a session of the postgres store back to how it began; the ledger sets it.
    pub reset: Option<String>,
    /// SQL for the numbers of the run's transactions; the ledger sets it.
    pub sealed: Option<String>,
    /// Schemas that are no part of the store's shape: the ledger's own.
    pub hidden: Vec<String>,
    /// What the store's shape records besides its structure.
    pub shape: Vec<Recorded>,
}

/// What the shape of a database records only where the settings ask for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recorded {
    /// Who owns what.
    Owners,
    /// Who may do what.
    Grants,
    /// Comments.
    Comments,
}

impl std::str::FromStr for Recorded {
    type Err = ();

    fn from_str(text: &str) -> Result<Recorded, ()> {
        match text {
            "owners" => Ok(Recorded::Owners),
            "grants" => Ok(Recorded::Grants),
            "comments" => Ok(Recorded::Comments),
            _ => Err(()),
        }
    }
}

/// The value of `sslrootcert` that means the system's authorities.
const SYSTEM: &str = "system";

/// The keys of a URL that the driver does not know and that we serve ourselves.
const OUR_KEYS: [&str; 4] = ["sslmode", "sslrootcert", "sslcert", "sslkey"];

/// The keys of a section that says where a PostgreSQL is.
pub const KEYS: &[Key] = &[
    key("url", Kind::Secret, "", "The address: postgres://user:password@host:5432/database."),
    key("host", Kind::Text, "", "The server's host, in place of the URL's."),
    key("port", Kind::Port, "5432", "The server's port, in place of the URL's."),
    key("database", Kind::Text, "the user's name", "The database, in place of the URL's."),
    key("user", Kind::Text, "", "The user, in place of the URL's."),
    key("password", Kind::Secret, "", "The password, in place of the URL's."),
    key(
        "sslmode",
        Kind::Text,
        "prefer",
        "Whether to speak TLS and what to verify, in libpq's words.",
    ),
];

/// The keys of [`KEYS`] any of which says where it is.
pub const ADDRESSES: &[&str] = &["url", "host"];

impl Settings {
    /// The settings that a section says.
    pub fn read(section: &mut Reader<'_>) -> Settings {
        Settings {
            url: section.secret("url"),
            host: section.host("host"),
            port: section.port("port"),
            database: section.text("database"),
            user: section.text("user"),
            password: section.secret("password"),
            sslmode: section.text("sslmode"),
            tls_files: section.tls_files(),
            connect_timeout: section.duration("connect_timeout"),
            condition: None,
            reset: None,
            sealed: None,
            hidden: Vec::new(),
            shape: Vec::new(),
        }
    }

    /// Host and port, for messages.
    pub fn address(&self) -> String {
        match self.bare_config() {
            Ok(config) => hosts(&config),
            Err(_) => self.host.clone().unwrap_or_else(|| "PostgreSQL".to_string()),
        }
    }

    /// These settings for each host alone.
    pub(super) fn each_host(&self) -> Vec<Settings> {
        let alone = |(host, port)| Settings { host: Some(host), port: Some(port), ..self.clone() };
        match self.bare_config() {
            Ok(config) => hosts_and_ports(&config).map(alone).collect(),
            Err(_) => Vec::new(),
        }
    }

    /// Whether what is sent may be read on its way, in words.
    pub fn plain_text(&self) -> Option<String> {
        let mode = self.mode().ok()?;
        let may = match mode.as_str() {
            "disable" => "is spoken to in plain text",
            "allow" | "prefer" => "is spoken to in plain text unless it offers TLS",
            _ => return None,
        };
        let address = self.address();
        tls::leaves_machine(&address)
            .then(|| format!("{address} {may} (sslmode {mode}): set sslmode to verify-full"))
    }

    /// The database, for messages.
    pub fn database_name(&self) -> String {
        let config = self.bare_config().ok();
        config.and_then(|config| config.get_dbname().map(str::to_string)).unwrap_or_default()
    }

    /// How the driver connects to open a session.
    pub(super) fn driver_config(
        &self,
        purpose: Purpose,
    ) -> Result<tokio_postgres::Config, StoreError> {
        let mut config = self.bare_config()?;
        let given = config.get_options().unwrap_or_default().to_string();
        config.options(environment::options(purpose, &given));
        Ok(config)
    }

    /// The same without our own settings of the session, for a pooler that takes none at the start.
    pub(super) fn bare_config(&self) -> Result<tokio_postgres::Config, StoreError> {
        let url = self.split_url().0;
        let from_url: tokio_postgres::Config = url.parse().map_err(|_| unreadable())?;
        let mut config = tokio_postgres::Config::new();
        match &self.host {
            Some(host) => {
                config.host(host.as_str());
                config.port(self.port.unwrap_or(5432));
            }
            None => self.hosts_of_url(&from_url, &mut config),
        }
        if let Some(user) = self.user.as_deref().or(from_url.get_user()) {
            config.user(user);
        }
        match (self.password.is_empty(), from_url.get_password()) {
            (false, _) => config.password(self.password.expose()),
            (true, Some(password)) => config.password(password),
            (true, None) => &mut config,
        };
        if let Some(database) = self.database.as_deref().or(from_url.get_dbname()) {
            config.dbname(database);
        }
        if let Some(options) = from_url.get_options() {
            config.options(options);
        }
        config.target_session_attrs(from_url.get_target_session_attrs());
        config.channel_binding(from_url.get_channel_binding());
        config.load_balance_hosts(from_url.get_load_balance_hosts());
        config.keepalives(true);
        config.keepalives_idle(Duration::from_secs(10));
        config.keepalives_interval(Duration::from_secs(5));
        config.keepalives_retries(3);
        config.ssl_mode(match self.mode()?.as_str() {
            "disable" => SslMode::Disable,
            "prefer" | "allow" => SslMode::Prefer,
            _ => SslMode::Require,
        });
        Ok(config)
    }

    fn hosts_of_url(&self, url: &tokio_postgres::Config, config: &mut tokio_postgres::Config) {
        if url.get_hosts().is_empty() {
            config.host("localhost");
        }
        for host in url.get_hosts() {
            match host {
                Host::Tcp(name) => config.host(name.as_str()),
                #[cfg(unix)]
                Host::Unix(path) => config.host_path(path),
            };
        }
        match (self.port, url.get_ports()) {
            (Some(port), _) => {
                config.port(port);
            }
            (None, ports) => {
                for port in ports {
                    config.port(*port);
                }
            }
        }
    }

    /// The certificates, those that the URL names among them.
    pub(super) fn files_in_use(&self) -> TlsFiles {
        let mut files = self.tls_files.clone();
        for (key, value) in self.split_url().1 {
            let slot = match key.as_str() {
                "sslrootcert" if value == SYSTEM => continue,
                "sslrootcert" => &mut files.ca_file,
                "sslcert" => &mut files.cert_file,
                "sslkey" => &mut files.key_file,
                _ => continue,
            };
            slot.get_or_insert(value.into());
        }
        files
    }

    pub(super) fn tls_connector(&self) -> Result<Option<MakeRustlsConnect>, StoreError> {
        let files = self.files_in_use();
        let verify = match self.mode()?.as_str() {
            "disable" => return Ok(None),
            "verify-full" => Verify::Full,
            "verify-ca" => Verify::Chain,
            // As libpq: a root certificate that was given is used.
            "require" if files.ca_file.is_some() => Verify::Chain,
            _ => Verify::Nothing,
        };
        let config = files.client_config(verify)?;
        Ok(Some(MakeRustlsConnect::new((*config).clone())))
    }

    fn mode(&self) -> Result<String, StoreError> {
        let ours = self.split_url().1;
        let in_url =
            |name: &str| ours.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone());
        // As libpq: the system's authorities vouch for anyone, so that the name must be checked.
        let system = in_url("sslrootcert").as_deref() == Some(SYSTEM);
        let usual = if system { "verify-full" } else { "prefer" };
        let mode = self.sslmode.clone().or(in_url("sslmode")).unwrap_or_else(|| usual.to_string());
        match mode.as_str() {
            "allow" | "prefer" | "require" | "verify-ca" if system => {
                Err(StoreError::new(StoreErrorKind::Settings, "sslrootcert=system is too weak so")
                    .hint("with it, sslmode is verify-full"))
            }
            "disable" | "allow" | "prefer" | "require" | "verify-ca" | "verify-full" => Ok(mode),
            _ => Err(StoreError::new(StoreErrorKind::Settings, "unknown sslmode")
                .hint("it is one of disable, prefer, require, verify-ca and verify-full")),
        }
    }

    /// The URL without the keys that we serve ourselves, and those keys, decoded.
    fn split_url(&self) -> (String, Vec<(String, String)>) {
        let url = self.url.expose();
        let Some((base, query)) = url.split_once('?').filter(|_| url.contains("://")) else {
            return (url.to_string(), Vec::new());
        };
        let (mut kept, mut ours) = (Vec::new(), Vec::new());
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            match pair.split_once('=') {
                Some((key, value)) if OUR_KEYS.contains(&key) => {
                    let value = percent_decode_str(value).decode_utf8_lossy().into_owned();
                    ours.push((key.to_string(), value));
                }
                _ => kept.push(pair),
            }
        }
        let url = match kept.is_empty() {
            true => base.to_string(),
            false => format!("{base}?{}", kept.join("&")),
        };
        (url, ours)
    }
}

/// The driver's own message could quote a part of the password, so it is left out.
fn unreadable() -> StoreError {
    StoreError::new(StoreErrorKind::Settings, "the PostgreSQL URL cannot be read").hint(
        "write postgres://user:password@host:port/database, special characters percent-encoded; \
         or give host, port, database, user and password apart, where every character is allowed",
    )
}

fn hosts(config: &tokio_postgres::Config) -> String {
    let shown = |(name, port): (String, u16)| match name.starts_with('/') {
        true => name,
        false => format!("{name}:{port}"),
    };
    hosts_and_ports(config).map(shown).collect::<Vec<_>>().join(",")
}

/// The hosts, or the folders of their sockets, each with its port.
fn hosts_and_ports(config: &tokio_postgres::Config) -> impl Iterator<Item = (String, u16)> {
    let ports = config.get_ports();
    config.get_hosts().iter().enumerate().map(move |(at, host)| {
        let name = match host {
            Host::Tcp(name) => name.clone(),
            #[cfg(unix)]
            Host::Unix(path) => path.display().to_string(),
        };
        (name, ports.get(at).or(ports.first()).copied().unwrap_or(5432))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_win_over_the_url_and_hold_any_character() {
        let settings = Settings {
            url: "postgres://bob:old@db:6000/app?sslmode=verify-full&sslrootcert=%2Fca.pem".into(),
            password: "p@:/?#%&[]$\"' \\\n".into(),
            user: Some("al ice".into()),
            ..Settings::default()
        };
        let config = settings.bare_config().expect("config");
        assert_eq!(config.get_user(), Some("al ice"));
        assert_eq!(config.get_password(), Some("p@:/?#%&[]$\"' \\\n".as_bytes()));
        assert_eq!(settings.address(), "db:6000");
        assert_eq!(settings.mode().expect("mode"), "verify-full");
    }

    #[test]
    fn a_broken_url_shows_nothing_of_itself() {
        let settings =
            Settings { url: "postgres://u:s3cret@h:s3cret/db".into(), ..Settings::default() };
        let error = settings.bare_config().expect_err("broken");
        assert!(!format!("{error:?}").contains("s3cret"), "{error:?}");
    }
}
