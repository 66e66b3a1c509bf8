//! One connection to one server: address, login, and the first round trip that proves it usable.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use percent_encoding::percent_decode_str;
use redis::aio::MultiplexedConnection;
use redis::io::tcp::{TcpSettings, socket2::TcpKeepalive};
use redis::{
    AsyncConnectionConfig, Client, ClientTlsConfig, Cmd, ConnectionAddr, ConnectionInfo,
    IntoConnectionInfo, Pipeline, RedisConnectionInfo, RedisResult, TlsCertificates, Value, cmd,
};

use super::Settings;
use super::errors::{store_error, unexpected};
use crate::file;
use crate::secret::Secret;
use crate::store_error::{StoreError, StoreErrorKind};
use crate::tls::{self, Peer, Plain, TlsFiles};

const PORT: u16 = 6379;
const SENTINEL_PORT: u16 = 26379;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(60);

/// Host and port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// A name or an IP address; an IPv6 address without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "[{}]:{}", self.host, self.port),
            false => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

/// Who logs in, and to which database.
#[derive(Clone, Debug, Default)]
pub struct Login {
    /// The user; `None` is the server's default user.
    pub user: Option<String>,
    /// The password; empty for none.
    pub password: Secret,
    /// The database; 0 is not asked for, because a cluster and a Sentinel know none.
    pub database: i64,
}

/// The settings read: where to go, as whom, how.
pub struct Target {
    /// The server, or a node of the cluster.
    pub address: Address,
    /// The login to servers.
    pub login: Login,
    /// The Sentinels, if any.
    pub sentinels: Vec<Address>,
    /// The login to Sentinels.
    pub sentinel_login: Login,
    /// How connections are made.
    pub dialer: Dialer,
}

/// How connections are made.
pub struct Dialer {
    tls: Option<TlsCertificates>,
    tls_files: TlsFiles,
    connect_timeout: Duration,
    response_timeout: Duration,
    application: String,
}

/// A connected server.
pub struct Node {
    /// Where it is.
    pub address: Address,
    /// What it says of itself (INFO).
    pub info: Info,
    /// The slots that it serves in a cluster, such as `0-5460`; empty elsewhere.
    pub slots: String,
    connection: MultiplexedConnection,
    broken: Arc<AtomicBool>,
}

/// The fields of INFO.
pub struct Info(BTreeMap<String, String>);

impl Target {
    /// Reads the settings; reaches nothing.
    pub fn of(settings: &Settings, application: &str) -> Result<Target, StoreError> {
        let parts = Parts::of(settings)?;
        if settings.cluster && parts.database != 0 {
            return Err(wrong("a cluster has database 0 alone").hint("leave `database` out"));
        }
        let tls = settings.tls.unwrap_or(parts.tls || settings.tls_files != TlsFiles::default());
        let password = settings.sentinel_password.clone();
        Ok(Target {
            address: parts.address,
            login: Login { user: parts.user, password: parts.password, database: parts.database },
            sentinels: sentinels(settings)?,
            sentinel_login: Login { user: None, password, database: 0 },
            dialer: Dialer {
                tls: tls.then(|| certificates(&settings.tls_files)).transpose()?,
                tls_files: settings.tls_files.clone(),
                connect_timeout: settings.connect_timeout.unwrap_or(CONNECT_TIMEOUT),
                response_timeout: settings.response_timeout.unwrap_or(RESPONSE_TIMEOUT),
                application: client_name(application),
            },
        })
    }
}

/// Where the settings lead, for messages.
pub fn address(settings: &Settings) -> String {
    match &settings.sentinel_master {
        Some(master) if !settings.sentinels.is_empty() => {
            format!("{master} by Sentinel {}", settings.sentinels.join(", "))
        }
        Some(_) | None => {
            let parts = Parts::of(settings);
            parts.map_or_else(|_| "Redis".to_string(), |parts| parts.address.to_string())
        }
    }
}

/// Whether what is sent can be read on its way, in words.
pub fn plain_text(settings: &Settings) -> Option<String> {
    let target = Target::of(settings, "").ok()?;
    let hosts = match target.sentinels.is_empty() {
        true => target.address.to_string(),
        // They lead to a master of which nothing is known yet.
        false => settings.sentinels.join(","),
    };
    let is_plain = target.dialer.tls.is_none() && tls::leaves_machine(&hosts);
    is_plain.then(|| {
        format!(
            "{hosts} is spoken to in plain text: set `tls = true`, or write rediss:// in the URL"
        )
    })
}

struct Parts {
    address: Address,
    user: Option<String>,
    password: Secret,
    database: i64,
    tls: bool,
}

impl Parts {
    fn of(settings: &Settings) -> Result<Parts, StoreError> {
        let mut parts = Parts::of_url(settings.url.expose()).map_err(BadUrl::into_error)?;
        if let Some(host) = &settings.host {
            parts.address.host = host.trim_matches(['[', ']']).to_string();
        }
        parts.address.port = settings.port.unwrap_or(parts.address.port);
        parts.user = settings.user.clone().filter(|user| !user.is_empty()).or(parts.user);
        if !settings.password.is_empty() {
            parts.password = settings.password.clone();
        }
        parts.database = settings.database.unwrap_or(parts.database);
        Ok(parts)
    }

    fn of_url(text: &str) -> Result<Parts, BadUrl> {
        let address = Address { host: "127.0.0.1".to_string(), port: PORT };
        let mut parts =
            Parts { address, user: None, password: Secret::default(), database: 0, tls: false };
        if text.is_empty() {
            return Ok(parts);
        }
        let is_one = ["redis://", "rediss://", "valkey://", "valkeys://"];
        if !is_one.iter().any(|start| text.starts_with(start)) {
            return Err(bad_url("begins with neither redis:// nor rediss://"));
        }
        // The parser's own errors hold nothing of the text, and neither may these.
        let url =
            url::Url::parse(text).map_err(|why| bad_url(&format!("cannot be read: {why}")))?;
        parts.tls = matches!(url.scheme(), "rediss" | "valkeys");
        if let Some(host) = url.host_str().filter(|host| !host.is_empty()) {
            if host.contains([',', ';', ' ']) || host.contains("%3B") || host.contains("%20") {
                return Err(bad_url("names several hosts: of a cluster any node will do"));
            }
            parts.address.host = host.trim_matches(['[', ']']).to_string();
        }
        parts.address.port = url.port().unwrap_or(PORT);
        if parts.address.port == 0 {
            return Err(bad_url("has a port that cannot be used: from 1 to 65535"));
        }
        parts.user = Some(decoded(url.username())?).filter(|user| !user.is_empty());
        if let Some(password) = url.password() {
            parts.password = Secret::new(decoded(password)?);
        }
        parts.database = database(&url)?;
        Ok(parts)
    }
}

/// What is wrong with a URL, and what to write; never a part of it that may be a password.
#[derive(Debug)]
pub struct BadUrl {
    /// What follows the name of the setting.
    pub what: String,
    /// What to write.
    pub hint: &'static str,
}

impl BadUrl {
    fn into_error(self) -> StoreError {
        wrong(format!("the Redis URL {}", self.what)).hint(self.hint)
    }
}

/// Whether a URL can be read.
pub fn check_url(text: &str) -> Result<(), BadUrl> {
    Parts::of_url(text).map(|_| ())
}

fn database(url: &url::Url) -> Result<i64, BadUrl> {
    let names: Vec<String> = url.query_pairs().map(|(name, _)| name.into_owned()).collect();
    if let Some(name) = names.first() {
        let is_name = |name: &&String| name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        let name = Some(name).filter(is_name).map(|name| format!(": `{name}`")).unwrap_or_default();
        return Err(BadUrl {
            what: format!("has a parameter{name}, and takes none"),
            hint: "leave it out: `tls`, `ca_file`, `connect_timeout`, `sentinels` and others are keys of their own",
        });
    }
    if url.fragment().is_some() || url.query().is_some() {
        return Err(bad_url("goes on behind the number of the database"));
    }
    match url.path().trim_matches('/') {
        "" => Ok(0),
        number => number
            .parse::<u32>()
            .map(i64::from)
            .map_err(|_| bad_url("has a path that is not the number of a database")),
    }
}

fn decoded(text: &str) -> Result<String, BadUrl> {
    let decoded = percent_decode_str(text).decode_utf8();
    decoded
        .map(|text| text.into_owned())
        .map_err(|_| bad_url("has a user or a password that is not UTF-8"))
}

fn bad_url(what: &str) -> BadUrl {
    BadUrl {
        what: what.to_string(),
        hint: "write redis://user:password@host:6379/0 with special characters as %XX, or give host, \
               port, user and password apart",
    }
}

fn wrong(message: impl Into<String>) -> StoreError {
    StoreError::new(StoreErrorKind::Settings, message)
}

fn sentinels(settings: &Settings) -> Result<Vec<Address>, StoreError> {
    if settings.sentinels.is_empty() {
        return Ok(Vec::new());
    }
    if settings.cluster {
        return Err(wrong("a cluster has no Sentinels").hint("give `cluster` or `sentinels`"));
    }
    if settings.sentinel_master.is_none() {
        return Err(wrong("Sentinels are given, but not the master's name")
            .hint("set `sentinel_master`, which is often `mymaster`"));
    }
    settings.sentinels.iter().map(|text| sentinel(text)).collect()
}

fn sentinel(text: &str) -> Result<Address, StoreError> {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') || host.ends_with(']') => (host, port),
        Some(_) | None => (text, ""),
    };
    let port = match port {
        "" => SENTINEL_PORT,
        digits => digits.parse().map_err(|_| wrong(format!("`{text}` is not host:port")))?,
    };
    Ok(Address { host: host.trim_matches(['[', ']']).to_string(), port })
}

fn certificates(files: &TlsFiles) -> Result<TlsCertificates, StoreError> {
    // The driver builds its own configuration; this one finds the mistakes and names the file.
    files.client_config(crate::tls::Verify::Full)?;
    let read = |path: &std::path::PathBuf| {
        file::read(path, file::CERTIFICATES)
            .map_err(|why| wrong(format!("cannot read {}: {why}", path.display())))
    };
    let client_tls = match (&files.cert_file, &files.key_file) {
        (Some(cert), Some(key)) => {
            Some(ClientTlsConfig { client_cert: read(cert)?, client_key: read(key)? })
        }
        (Some(_), None) | (None, Some(_)) | (None, None) => None,
    };
    Ok(TlsCertificates { client_tls, root_cert: files.ca_file.as_ref().map(read).transpose()? })
}

/// CLIENT SETNAME takes neither spaces nor control characters.
fn client_name(application: &str) -> String {
    application.chars().map(|c| if c.is_ascii_graphic() { c } else { '-' }).collect()
}

impl Dialer {
    /// Connects, logs in, and reads INFO: two round trips, the handshakes of TCP and TLS apart.
    pub async fn dial(&self, address: &Address, login: &Login) -> Result<Node, StoreError> {
        let attempt = async {
            let attempt = tokio::time::timeout(self.connect_timeout, self.attempt(address, login));
            attempt.await.unwrap_or_else(|_| Err(self.silence(address)))
        };
        tls::explained(attempt, &self.peer(address)).await
    }

    fn peer(&self, address: &Address) -> Peer {
        Peer {
            addresses: vec![(address.host.clone(), address.port)],
            tls: self.tls.as_ref().map(|_| self.tls_files.clone()),
            setting: "`tls`, or rediss:// in the URL",
            plain: Plain {
                question: b"PING\r\n",
                answers: |answer| answer.starts_with(b"+") || answer.starts_with(b"-"),
            },
        }
    }

    /// A server that speaks no TLS waits for the end of what it takes for a command.
    fn silence(&self, address: &Address) -> StoreError {
        let waited = self.connect_timeout.as_secs_f32();
        let error = StoreError::unreachable(format!("{address} did not answer within {waited} s"));
        match self.tls {
            Some(_) => {
                error.hint("does it speak TLS there? without, use redis:// or `tls = false`")
            }
            None => error.hint("check host, port and firewall"),
        }
    }

    async fn attempt(&self, address: &Address, login: &Login) -> Result<Node, StoreError> {
        let failed = |error| store_error(&address.to_string(), &error);
        let client = self.client(address).map_err(failed)?;
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(None)
            .set_response_timeout(Some(self.response_timeout));
        let connection =
            client.get_multiplexed_async_connection_with_config(&config).await.map_err(failed)?;
        let mut node = Node {
            address: address.clone(),
            info: Info(BTreeMap::new()),
            slots: String::new(),
            connection,
            broken: Arc::default(),
        };
        node.info = self.greet(&node, login).await?;
        match node.info.get("loading") {
            "1" => Err(super::errors::of_server("LOADING", "the server is loading its data")),
            _ => Ok(node),
        }
    }

    /// A server that expects TLS hangs up on who speaks none, and on who shows no certificate where
    /// it wants one; the driver keeps no more of it than that.
    fn closed(&self, mut error: StoreError) -> StoreError {
        if error.message.ends_with("closed the connection") {
            error.message.push_str(" at once");
            let hint = match &self.tls {
                None => "if the server wants TLS, use rediss:// or set `tls = true`",
                Some(files) if files.client_tls.is_none() => {
                    "if the server wants a client certificate, set `cert_file` and `key_file`"
                }
                Some(_) => "see the server's log",
            };
            return error.hint(hint);
        }
        error
    }

    fn client(&self, address: &Address) -> RedisResult<Client> {
        let keepalive = TcpKeepalive::new().with_time(Duration::from_secs(30));
        let info: ConnectionInfo = self.addr(address).into_connection_info()?;
        let info = info
            .set_tcp_settings(TcpSettings::default().set_nodelay(true).set_keepalive(keepalive))
            .set_redis_settings(RedisConnectionInfo::default().set_skip_set_lib_name());
        match &self.tls {
            Some(certificates) => Client::build_with_tls(info, certificates.clone()),
            None => Client::open(info),
        }
    }

    fn addr(&self, address: &Address) -> ConnectionAddr {
        let (host, port) = (address.host.clone(), address.port);
        match self.tls {
            Some(_) => ConnectionAddr::TcpTls { host, port, insecure: false, tls_params: None },
            None => ConnectionAddr::Tcp(host, port),
        }
    }

    /// Logs in with commands of its own, because the driver turns every answer to its AUTH, even
    /// "max number of clients reached", into the same "Password authentication failed".
    async fn greet(&self, node: &Node, login: &Login) -> Result<Info, StoreError> {
        let mut pipeline = redis::pipe();
        if !login.password.is_empty() {
            pipeline.cmd("AUTH").arg(&login.user).arg(login.password.expose());
        }
        if login.database != 0 {
            pipeline.cmd("SELECT").arg(login.database);
        }
        pipeline.cmd("PING").cmd("INFO");
        pipeline.cmd("CLIENT").arg("SETNAME").arg(&self.application);
        let mut answers = node.ask_all(pipeline).await.map_err(|error| self.closed(error))?;
        // A name is a courtesy; a user may lack the right to set it.
        answers.pop();
        let answers: Vec<Value> =
            answers.into_iter().collect::<Result<_, _>>().map_err(at_the_door)?;
        match answers.last().and_then(text) {
            Some(info) => Ok(Info::parse(&info)),
            None => Err(unexpected("INFO")),
        }
    }
}

/// What is lacking at login is a matter of credentials, whatever the code.
fn at_the_door(mut error: StoreError) -> StoreError {
    if error.code.as_deref() == Some("NOPERM") {
        error.kind = StoreErrorKind::Credentials;
        error.hint = Some("the user needs at least +ping, +info and +select".to_string());
    }
    error
}

impl Node {
    /// Sends one command.
    pub async fn ask(&self, command: &Cmd) -> Result<Value, StoreError> {
        let answer = command.query_async(&mut self.connection.clone()).await;
        answer.map_err(|error| self.failed(&error))
    }

    /// Sends the commands as one message; each has an answer of its own.
    pub async fn ask_all(
        &self,
        mut pipeline: Pipeline,
    ) -> Result<Vec<Result<Value, StoreError>>, StoreError> {
        pipeline.ignore_errors();
        let answers: Vec<RedisResult<Value>> = pipeline
            .query_async(&mut self.connection.clone())
            .await
            .map_err(|error| self.failed(&error))?;
        Ok(answers.into_iter().map(|answer| answer.map_err(|e| self.failed(&e))).collect())
    }

    /// Sends the commands as one message; the first error is the error.
    pub async fn ask_each(&self, pipeline: Pipeline) -> Result<Vec<Value>, StoreError> {
        self.ask_all(pipeline).await?.into_iter().collect()
    }

    /// Reads INFO anew.
    pub async fn info_now(&self) -> Result<Info, StoreError> {
        let answer = self.ask(&cmd("INFO")).await?;
        text(&answer).map(|info| Info::parse(&info)).ok_or_else(|| unexpected("INFO"))
    }

    /// What tells this process of the server apart from any other; empty where it does not say.
    pub fn run_id(&self) -> &str {
        self.info.get("run_id")
    }

    /// Whether the connection has failed before: the driver does not mend it.
    pub fn broken(&self) -> bool {
        self.broken.load(Ordering::Relaxed)
    }

    fn failed(&self, error: &redis::RedisError) -> StoreError {
        let error = store_error(&self.address.to_string(), error);
        // A replica that was a master is left behind too, so that the next step asks again which
        // server is the master now.
        let left = error.code.is_none() || error.code.as_deref() == Some("READONLY");
        if left {
            self.broken.store(true, Ordering::Relaxed);
        }
        error
    }
}

impl Info {
    fn parse(text: &str) -> Info {
        let lines = text.lines().filter_map(|line| line.trim_end().split_once(':'));
        Info(lines.map(|(name, value)| (name.to_string(), value.to_string())).collect())
    }

    /// The field `name`; empty where the server does not say.
    pub fn get(&self, name: &str) -> &str {
        self.0.get(name).map_or("", String::as_str)
    }

    /// How many keys have a time to live, in all databases; `None` where the server does not say.
    pub fn expiring(&self) -> Option<u64> {
        let databases = self.0.iter().filter(|(name, _)| {
            let number = name.strip_prefix("db");
            number.is_some_and(|number| number.parse::<u32>().is_ok())
        });
        let expiring = databases.map(|(_, facts)| {
            facts.split(',').find_map(|fact| fact.strip_prefix("expires=")?.parse::<u64>().ok())
        });
        // An empty server names no database, and neither does one that keeps them to itself.
        expiring.reduce(|sum, more| Some(sum? + more?)).flatten()
    }

    /// The number in the field `name`; 0 where the server does not say.
    pub fn number(&self, name: &str) -> u64 {
        self.get(name).parse().unwrap_or(0)
    }
}

/// The text of an answer, or `None` where it is no text.
pub fn text(value: &Value) -> Option<String> {
    match value {
        Value::BulkString(bytes) => Some(String::from_utf8_lossy(bytes).into_owned()),
        Value::SimpleString(text) => Some(text.clone()),
        Value::VerbatimString { text, .. } => Some(text.clone()),
        Value::Okay => Some("OK".to_string()),
        Value::Int(number) => Some(number.to_string()),
        // Every other answer is a collection, nil or an error; the driver's enum is open.
        _ => None,
    }
}

/// The items of an answer; of none where it is no collection.
pub fn items(value: &Value) -> &[Value] {
    match value {
        Value::Array(items) | Value::Set(items) => items,
        // As above.
        _ => &[],
    }
}

/// The value that follows `name` in an answer of names and values.
pub fn field<'v>(value: &'v Value, name: &str) -> Option<&'v Value> {
    let pairs = items(value).chunks_exact(2);
    pairs.into_iter().find_map(|pair| (text(&pair[0])? == name).then_some(&pair[1]))
}

/// The number in an answer.
pub fn number(value: &Value) -> Option<i64> {
    match value {
        Value::Int(number) => Some(*number),
        // As above.
        _ => text(value)?.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stores::contract::Endpoint;

    fn target(settings: Settings) -> Result<Target, StoreError> {
        Target::of(&settings, "test")
    }

    #[test]
    fn a_url_is_read_and_parts_win_over_it() {
        let url = Secret::new("redis://us%40er:p%2Fw@[::1]:7000/3");
        let read = target(Settings { url: url.clone(), ..Settings::default() }).expect("url");
        assert_eq!(read.address.to_string(), "[::1]:7000");
        assert_eq!(read.login.user.as_deref(), Some("us@er"));
        assert_eq!(read.login.password.expose(), "p/w");
        assert_eq!(read.login.database, 3);
        let password = Secret::new("@:/?#%&[]$\"\n");
        let parts = Settings {
            url,
            host: Some("redis.local".into()),
            password: password.clone(),
            database: Some(0),
            ..Settings::default()
        };
        let read = target(parts).expect("parts");
        assert_eq!(read.address.to_string(), "redis.local:7000");
        assert_eq!(read.login.password.expose(), password.expose());
        assert_eq!(read.login.database, 0);
    }

    #[test]
    fn a_bad_url_is_refused_without_repeating_it() {
        for url in [
            "redis://:hunter2/x@host",
            "http://:hunter2@host",
            "redis://u:hunter2@host:port",
            "redis://u:hunter2@host/x",
            "redis://u:hunter2@host/0#insecure",
        ] {
            let settings = Settings { url: Secret::new(url), ..Settings::default() };
            let error = target(settings.clone()).err().unwrap_or_else(|| panic!("{url}"));
            assert_eq!(error.kind, StoreErrorKind::Settings);
            assert!(!format!("{error:?}{}", settings.address()).contains("hunter2"), "{url}");
        }
    }

    #[test]
    fn expiring_keys_are_counted_in_all_databases_or_not_known() {
        let info = |text: &str| Info::parse(text).expiring();
        let two = "db0:keys=9,expires=2,avg_ttl=5\r\ndb3:keys=1,expires=1,avg_ttl=0\r\n";
        assert_eq!(info(two), Some(3));
        assert_eq!(info("db0:keys=9,expires=0,avg_ttl=0"), Some(0));
        assert_eq!(info("db0:keys=9,expires=0,avg_ttl=0\ndb1:keys=1"), None);
        assert_eq!(info("redis_version:7.0.15\r\ndbs:9"), None);
    }

    #[test]
    fn sentinels_need_the_name_of_the_master() {
        let sentinels = vec!["a:1".into(), "b".into(), "[::1]:2".into(), "fe80::1".into()];
        let mut settings = Settings { sentinels, ..Settings::default() };
        assert!(target(settings.clone()).is_err());
        settings.sentinel_master = Some("mymaster".into());
        let read = target(settings).expect("sentinels");
        let shown: Vec<String> = read.sentinels.iter().map(Address::to_string).collect();
        assert_eq!(shown, ["a:1", "b:26379", "[::1]:2", "[fe80::1]:26379"]);
    }
}
