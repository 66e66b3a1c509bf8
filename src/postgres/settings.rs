//! PostgreSQL's settings: a URL, or its parts, or both.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use tokio_postgres::config::{ChannelBinding, LoadBalanceHosts, SslMode, TargetSessionAttrs};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::conninfo::{Conninfo, Host, Wrong};
use super::environment::{self, Purpose};
use super::libpq::{self, Surroundings};
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
    /// What surrounds the process: libpq's variables and files.
    pub surroundings: Surroundings,
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

/// The time that one attempt to connect may take, unless configured.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// The value of `sslrootcert` that means the system's authorities.
const SYSTEM: &str = "system";

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
    /// The settings that a section says, and what surrounds the process where it says nothing.
    pub fn read(section: &mut Reader<'_>) -> Settings {
        let mut settings = Settings {
            url: section.secret("url"),
            host: section.hosts_alone("host"),
            port: section.port("port"),
            database: section.text("database"),
            user: section.text("user"),
            password: section.secret("password"),
            sslmode: section.one_of("sslmode", &SSLMODES),
            tls_files: section.tls_files(),
            connect_timeout: section.duration("connect_timeout"),
            surroundings: Surroundings::default(),
            condition: None,
            reset: None,
            sealed: None,
            hidden: Vec::new(),
            shape: Vec::new(),
        };
        if let Err(wrong) = Conninfo::parse(settings.url.expose()) {
            section.0.refuse("url", &wrong.what, &wrong.hint);
        }
        if let Ok(written) = settings.conninfo() {
            settings.surroundings.defaults = libpq::defaults(section, &written);
            settings.check_hosts(section);
        }
        if let Ok(all) = settings.conninfo()
            && all.get("password").is_none()
        {
            settings.surroundings.passwords = libpq::passwords(section, &all);
        }
        settings
    }

    fn check_hosts(&self, section: &mut Reader<'_>) {
        let Some(Err(wrong)) = self.conninfo().ok().map(|all| all.hosts()) else { return };
        let key = if self.host.is_some() { "host" } else { "url" };
        section.0.refuse(key, &wrong.what, &wrong.hint);
    }

    /// Hosts and ports, for messages.
    pub fn address(&self) -> String {
        match self.hosts() {
            Ok(hosts) => addresses(&hosts),
            Err(_) => self.host.clone().unwrap_or_else(|| "PostgreSQL".to_string()),
        }
    }

    /// The servers that are named, in their order.
    pub(super) fn hosts(&self) -> Result<Vec<Host>, StoreError> {
        self.conninfo()?.hosts().map_err(unusable)
    }

    /// All that is said, each parameter by the strongest source that says it: the parts, the URL, what
    /// surrounds the process.
    fn conninfo(&self) -> Result<Conninfo, StoreError> {
        let mut all = Conninfo::parse(self.url.expose()).map_err(unusable)?;
        if let Some(host) = &self.host {
            // The URL's other hosts, addresses and ports are of another place.
            ["hostaddr", "port"].iter().for_each(|name| all.remove(name));
            all.put("host", host);
        }
        let port = self.port.map(|port| port.to_string());
        let password = Some(self.password.expose()).filter(|password| !password.is_empty());
        let parts = [
            ("port", port.as_deref()),
            ("dbname", self.database.as_deref()),
            ("user", self.user.as_deref()),
            ("password", password),
            ("sslmode", self.sslmode.as_deref()),
        ];
        for (name, value) in parts {
            value.into_iter().for_each(|value| all.put(name, value));
        }
        all.fill(&self.surroundings.defaults);
        Ok(all)
    }

    /// The password for `host`: the one that is given, else the password file's.
    fn password_for(&self, host: &Host, all: &Conninfo) -> Option<Secret> {
        if let Some(password) = all.get("password") {
            return Some(Secret::new(password));
        }
        let user = all.get("user").map(str::to_string).or_else(|| whoami::username().ok())?;
        let database = all.get("dbname").unwrap_or(&user);
        self.surroundings.passwords.find(host, database, &user)
    }

    /// Whether all of `hosts` are entered with the same password.
    pub(super) fn share_a_password(&self, hosts: &[Host]) -> Result<bool, StoreError> {
        let all = self.conninfo()?;
        let password = |host| self.password_for(host, &all).unwrap_or_default();
        let passwords: Vec<Secret> = hosts.iter().map(password).collect();
        let has_address = |host: &Host| host.address.is_some();
        let alike = passwords.windows(2).all(|pair| pair[0].expose() == pair[1].expose());
        Ok(alike && (hosts.iter().all(has_address) || !hosts.iter().any(has_address)))
    }

    /// What a server has to be: the driver's word for it, and whether it has to be a standby; several in
    /// the order in which they are preferred.
    pub(super) fn wanted(&self) -> Result<Vec<(TargetSessionAttrs, Option<bool>)>, StoreError> {
        use TargetSessionAttrs::{Any, ReadOnly, ReadWrite};

        let all = self.conninfo()?;
        Ok(match all.get("target_session_attrs").unwrap_or("any") {
            "read-write" => vec![(ReadWrite, None)],
            "read-only" => vec![(ReadOnly, None)],
            "primary" => vec![(Any, Some(false))],
            "standby" => vec![(Any, Some(true))],
            "prefer-standby" => vec![(Any, Some(true)), (Any, None)],
            _ => vec![(Any, None)],
        })
    }

    /// Whether the servers are tried in any order.
    pub(super) fn takes_any_order(&self) -> Result<bool, StoreError> {
        Ok(self.conninfo()?.get("load_balance_hosts") == Some("random"))
    }

    /// How long one attempt may take; `None` for as long as it takes, which libpq writes as 0.
    pub(super) fn patience(&self) -> Result<Option<Duration>, StoreError> {
        if let Some(limit) = self.connect_timeout {
            return Ok(Some(limit));
        }
        let seconds = self.number("connect_timeout")?;
        Ok(match seconds {
            None => Some(CONNECT_TIMEOUT),
            // As libpq, which takes 1 for 2.
            Some(seconds) => u64::try_from(seconds)
                .ok()
                .filter(|it| *it > 0)
                .map(|it| Duration::from_secs(it.max(2))),
        })
    }

    fn number(&self, name: &str) -> Result<Option<i64>, StoreError> {
        Ok(self.conninfo()?.get(name).and_then(|text| text.trim().parse().ok()))
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

    /// How the driver connects to one of `hosts` to open a session.
    pub(super) fn driver_config(
        &self,
        hosts: &[Host],
        purpose: Purpose,
    ) -> Result<tokio_postgres::Config, StoreError> {
        let mut config = self.bare_config(hosts)?;
        let given = config.get_options().unwrap_or_default().to_string();
        config.options(environment::options(purpose, &given));
        Ok(config)
    }

    /// The same without our own settings of the session, for a pooler that takes none at the start.
    pub(super) fn bare_config(&self, hosts: &[Host]) -> Result<tokio_postgres::Config, StoreError> {
        let all = self.conninfo()?;
        let mut config = tokio_postgres::Config::new();
        for host in hosts {
            config.host(host.name.as_str());
            config.port(host.port);
            if let Some(address) = host.address {
                config.hostaddr(address);
            }
        }
        if let Some(user) = all.get("user") {
            config.user(user);
        }
        if let Some(password) = hosts.first().and_then(|host| self.password_for(host, &all)) {
            config.password(password.expose());
        }
        if let Some(database) = all.get("dbname") {
            config.dbname(database);
        }
        if let Some(options) = all.get("options") {
            config.options(options);
        }
        config.channel_binding(match all.get("channel_binding") {
            Some("disable") => ChannelBinding::Disable,
            Some("require") => ChannelBinding::Require,
            _ => ChannelBinding::Prefer,
        });
        if self.takes_any_order()? {
            config.load_balance_hosts(LoadBalanceHosts::Random);
        }
        self.keep_alive(&mut config)?;
        config.ssl_mode(match self.mode()?.as_str() {
            "disable" => SslMode::Disable,
            "prefer" | "allow" => SslMode::Prefer,
            _ => SslMode::Require,
        });
        Ok(config)
    }

    fn keep_alive(&self, config: &mut tokio_postgres::Config) -> Result<(), StoreError> {
        let seconds = |name: &str, usual: u64| {
            let given = self.number(name)?.and_then(|seconds| u64::try_from(seconds).ok());
            Ok::<_, StoreError>(Duration::from_secs(given.filter(|it| *it > 0).unwrap_or(usual)))
        };
        config.keepalives(self.number("keepalives")? != Some(0));
        config.keepalives_idle(seconds("keepalives_idle", 10)?);
        config.keepalives_interval(seconds("keepalives_interval", 5)?);
        let count = self.number("keepalives_count")?.and_then(|count| u32::try_from(count).ok());
        config.keepalives_retries(count.filter(|count| *count > 0).unwrap_or(3));
        if let Some(limit) = self.number("tcp_user_timeout")?.and_then(|it| u64::try_from(it).ok())
        {
            config.tcp_user_timeout(Duration::from_millis(limit));
        }
        Ok(())
    }

    /// The certificates, those that the URL names among them.
    pub(super) fn files_in_use(&self) -> TlsFiles {
        let mut files = self.tls_files.clone();
        let Ok(all) = self.conninfo() else { return files };
        let root = all.get("sslrootcert").filter(|root| *root != SYSTEM);
        files.ca_file = files.ca_file.or(root.map(PathBuf::from));
        files.cert_file = files.cert_file.or(all.get("sslcert").map(PathBuf::from));
        files.key_file = files.key_file.or(all.get("sslkey").map(PathBuf::from));
        if all.get("sslcertmode") == Some("disable") {
            (files.cert_file, files.key_file) = (None, None);
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
        let all = self.conninfo()?;
        // As libpq: the system's authorities vouch for anyone, so that the name must be checked.
        let system = all.get("sslrootcert") == Some(SYSTEM);
        let mode = all.get("sslmode").unwrap_or(if system { "verify-full" } else { "prefer" });
        match mode {
            "allow" | "prefer" | "require" | "verify-ca" if system => {
                Err(StoreError::new(StoreErrorKind::Settings, "sslrootcert=system is too weak so")
                    .hint("with it, sslmode is verify-full"))
            }
            mode if SSLMODES.contains(&mode) => Ok(mode.to_string()),
            _ => Err(StoreError::new(StoreErrorKind::Settings, "unknown sslmode")
                .hint(format!("it is one of {}", SSLMODES.join(", ")))),
        }
    }
}

/// libpq's words for how much TLS is wanted.
const SSLMODES: [&str; 6] = ["disable", "allow", "prefer", "require", "verify-ca", "verify-full"];

fn unusable(wrong: Wrong) -> StoreError {
    let message = format!("the PostgreSQL URL {}", wrong.what);
    StoreError::new(StoreErrorKind::Settings, message).hint(wrong.hint)
}

/// Hosts and ports, or the folders of sockets, for messages.
pub(super) fn addresses(hosts: &[Host]) -> String {
    hosts.iter().map(Host::to_string).collect::<Vec<_>>().join(",")
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name.starts_with('/') {
            true => f.write_str(&self.name),
            false => write!(f, "{}:{}", self.name, self.port),
        }
    }
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
        let config = settings.bare_config(&settings.hosts().expect("hosts")).expect("config");
        assert_eq!(config.get_user(), Some("al ice"));
        assert_eq!(config.get_password(), Some("p@:/?#%&[]$\"' \\\n".as_bytes()));
        assert_eq!(settings.address(), "db:6000");
        assert_eq!(settings.mode().expect("mode"), "verify-full");
    }

    #[test]
    fn a_broken_url_shows_nothing_of_itself() {
        let settings =
            Settings { url: "postgres://u:s3cret@h:s3cret/db".into(), ..Settings::default() };
        let error = settings.hosts().expect_err("broken");
        assert!(!format!("{error:?}").contains("s3cret"), "{error:?}");
    }
}
