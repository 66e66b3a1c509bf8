//! Kafka: topics, their configs and their partitions.

mod admin;
mod apply;
mod ffi;
mod heal;
mod probe;
mod shape;
mod steps;

use std::path::Path;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError;

use self::admin::Admin;
use self::ffi::Link;
pub use self::steps::{AlterConfigs, CreatePartitions, CreateTopic, DeleteTopic, Step};
use crate::file;
use crate::secret::Secret;
use crate::section::{CONNECT_TIMEOUT, Key, Kind, Reader, TLS_FILES, key};
use crate::shape::Shape;
use crate::store_error::{StoreError, StoreErrorKind};
use crate::stores::contract::{
    Audit, Before, Connection, Depth, Done, Endpoint, Failure, Job, Loss, Probe,
};
use crate::stores::description::{
    Description, Language, Objects, Steps, Undo, any_order, begins_empty, journalled, no_parts,
};
use crate::tls::{self, Peer, Plain, TlsFiles};

/// What is known of Kafka without a connection.
pub static STORE: Description = Description {
    name: "kafka",
    title: "Kafka",
    nicknames: &[],
    extensions: &["json5", "json", "jsonc"],
    language: Language::Steps(Steps::of(|node| journalled(node, Step::parse))),
    undo: Undo::Derived,
    keys: &[KEYS, TLS_FILES, CONNECT_TIMEOUT],
    addresses: &["brokers"],
    settings: |section| Settings::read(section).into(),
    templates: &[(
        "V",
        "{\n  steps: [\n    // { createTopic: { name: \"topic\", partitions: 3, replicationFactor: 1 } },\n  ],\n}\n",
    )],
    objects: Objects {
        long_kinds: &[],
        optional: &[],
        is_builtin: begins_empty,
        part_of: no_parts,
        rank: any_order,
        heal: heal::heal,
        comparison: shape::COMPARISON,
    },
};

const KEYS: &[Key] = &[
    key("brokers", Kind::List, "", "The brokers to ask first: host:9092, host:9092."),
    key("security_protocol", Kind::Text, "", "plaintext, ssl, sasl_plaintext or sasl_ssl."),
    key("sasl_mechanism", Kind::Text, "", "PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512."),
    key("user", Kind::Text, "", "The SASL user."),
    key("password", Kind::Secret, "", "The SASL password."),
    key("operation_timeout", Kind::Duration, "", "How long one change may take on the brokers."),
];

const CONNECT_WITHIN: Duration = Duration::from_secs(5);
const OPERATION_TIMEOUT: Duration = Duration::from_secs(30);

/// librdkafka takes no shorter time than this for setting up a connection.
const SHORTEST_SETUP: Duration = Duration::from_secs(1);

const PROTOCOLS: [&str; 4] = ["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"];
const MECHANISMS: [&str; 3] = ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"];

/// Mechanisms that brokers have and this tool has not, and why.
const LACKING: [(&str, &str); 5] = [
    ("OAUTHBEARER", "this version cannot fetch its tokens"),
    ("AWS_MSK_IAM", "this version cannot sign in with AWS roles"),
    ("IAM", "this version cannot sign in with AWS roles"),
    ("GSSAPI", "this version is built without Kerberos"),
    ("KERBEROS", "this version is built without Kerberos"),
];

/// Where the cluster is and how to get in.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// Bootstrap servers, `host:port`, separated by commas.
    pub brokers: String,
    /// PLAINTEXT (the default), SSL, SASL_PLAINTEXT or SASL_SSL.
    pub security_protocol: Option<String>,
    /// PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512.
    pub sasl_mechanism: Option<String>,
    /// The SASL user.
    pub user: Option<String>,
    /// The SASL password.
    pub password: Secret,
    /// Certificates.
    pub tls: TlsFiles,
    /// How long one attempt to connect may take; 5 s unless set.
    pub connect_timeout: Option<Duration>,
    /// How long an operation may take until every broker shows it; 30 s unless set.
    pub operation_timeout: Option<Duration>,
}

impl Endpoint for Settings {
    type Connection = Kafka;

    fn address(&self) -> String {
        let servers: Vec<&str> = self.servers().collect();
        servers.join(",")
    }

    fn plain_text(&self) -> Option<String> {
        let address = self.address();
        (!self.speaks_tls() && tls::leaves_machine(&address)).then(|| {
            format!(
                "{address} is spoken to in plain text: set `security_protocol` to SSL or SASL_SSL"
            )
        })
    }

    async fn connect(&self, application: &str) -> Result<Kafka, StoreError> {
        let config = self.client_config(application)?;
        let link = Link::open(&config).map_err(|error| unusable(&error))?;
        let patience = self.operation_timeout.unwrap_or(OPERATION_TIMEOUT);
        let attempt = Admin::connect(link, self.address(), self.connect_timeout(), patience);
        let admin = tls::explained(attempt, &self.peer()).await?;
        Ok(Kafka { admin })
    }
}

impl Settings {
    fn read(section: &mut Reader<'_>) -> Settings {
        Settings {
            brokers: section.hosts("brokers", 9092).join(","),
            security_protocol: section.one_of_any_case("security_protocol", &PROTOCOLS),
            sasl_mechanism: section.parse(
                "sasl_mechanism",
                &format!("one of {}", MECHANISMS.join(", ")),
                known_mechanism,
            ),
            user: section.text("user"),
            password: section.secret("password"),
            tls: section.tls_files(),
            connect_timeout: section.duration("connect_timeout"),
            operation_timeout: section.duration("operation_timeout"),
        }
    }

    fn servers(&self) -> impl Iterator<Item = &str> {
        self.brokers.split(',').map(str::trim).filter(|server| !server.is_empty())
    }

    fn peer(&self) -> Peer {
        let address = |server: &str| {
            let (host, port) = server.rsplit_once(':')?;
            Some((host.trim_matches(['[', ']']).to_string(), port.parse().ok()?))
        };
        Peer {
            addresses: self.servers().filter_map(address).collect(),
            tls: self.speaks_tls().then(|| self.tls.clone()),
            setting: "`security_protocol`",
            plain: Plain {
                // ApiVersions, version 0, with the correlation id `aipl` and no client id.
                question: b"\0\0\0\x0a\0\x12\0\0aipl\xff\xff",
                answers: |answer| answer.get(4..8) == Some(b"aipl"),
            },
        }
    }

    fn speaks_tls(&self) -> bool {
        let protocol = self.security_protocol.as_deref().unwrap_or_default().trim();
        protocol.to_ascii_uppercase().ends_with("SSL")
    }

    fn connect_timeout(&self) -> Duration {
        self.connect_timeout.unwrap_or(CONNECT_WITHIN)
    }

    fn client_config(&self, application: &str) -> Result<ClientConfig, StoreError> {
        if self.servers().next().is_none() {
            return Err(wrong("`brokers` names no Kafka broker")
                .hint("set brokers = \"host:9092\" in [kafka]"));
        }
        let setup = self.connect_timeout().max(SHORTEST_SETUP).as_millis();
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", self.address())
            .set("client.id", application)
            // Asking about a topic must not make it, on whatever broker.
            .set("allow.auto.create.topics", "false")
            .set("socket.connection.setup.timeout.ms", setup.to_string())
            // The reason of a lost connection is a log line of level info.
            .set_log_level(RDKafkaLogLevel::Info)
            .set("log.thread.name", "false");
        let protocol = chosen("security_protocol", self.security_protocol.as_deref(), &PROTOCOLS)?
            .unwrap_or("PLAINTEXT");
        config.set("security.protocol", protocol);
        self.tls(&mut config, protocol)?;
        self.sasl(&mut config, protocol)?;
        Ok(config)
    }

    fn tls(&self, config: &mut ClientConfig, protocol: &str) -> Result<(), StoreError> {
        if !protocol.ends_with("SSL") {
            return match self.tls == TlsFiles::default() {
                true => Ok(()),
                false => Err(wrong(format!(
                    "certificates are set, but security_protocol {protocol} uses none"
                ))
                .hint("set security_protocol to SSL or SASL_SSL")),
            };
        }
        let TlsFiles { ca_file, cert_file, key_file } = &self.tls;
        match ca_file {
            Some(ca) => config.set("ssl.ca.location", readable(ca)?),
            // The OpenSSL that is built in knows no place of its own to look for authorities.
            None => config.set("ssl.ca.location", "probe"),
        };
        match (cert_file, key_file) {
            (Some(cert), Some(key)) => {
                config.set("ssl.certificate.location", readable(cert)?);
                config.set("ssl.key.location", readable(key)?);
                Ok(())
            }
            (None, None) => Ok(()),
            (Some(_), None) | (None, Some(_)) => {
                Err(wrong("a client certificate needs both `cert_file` and `key_file`"))
            }
        }
    }

    fn mechanism(&self) -> Result<Option<&'static str>, StoreError> {
        let given = self.sasl_mechanism.as_deref().map(str::trim).unwrap_or_default();
        let lacking = LACKING.iter().find(|(name, _)| name.eq_ignore_ascii_case(given));
        match lacking {
            Some((name, why)) => Err(wrong(format!("sasl_mechanism cannot be `{name}`: {why}"))
                .hint(format!(
                    "use one of {} on another listener, or a client certificate (security_protocol \
                     SSL); on Amazon MSK: SCRAM-SHA-512",
                    MECHANISMS.join(", ")
                ))),
            None => chosen("sasl_mechanism", self.sasl_mechanism.as_deref(), &MECHANISMS),
        }
    }

    fn sasl(&self, config: &mut ClientConfig, protocol: &str) -> Result<(), StoreError> {
        let mechanism = self.mechanism()?;
        let user = self.user.as_deref().filter(|user| !user.is_empty());
        if !protocol.starts_with("SASL") {
            return match mechanism.is_none() && user.is_none() && self.password.is_empty() {
                true => Ok(()),
                false => Err(wrong(format!(
                    "credentials are set, but security_protocol {protocol} uses none"
                ))
                .hint("set security_protocol to SASL_SSL or SASL_PLAINTEXT")),
            };
        }
        // Left alone, librdkafka would try Kerberos, which it is built without.
        let mechanism = mechanism.ok_or_else(|| {
            wrong(format!("security_protocol {protocol} needs a sasl_mechanism"))
                .hint(format!("one of {}", MECHANISMS.join(", ")))
        })?;
        let user = user.ok_or_else(|| wrong(format!("sasl_mechanism {mechanism} needs a user")))?;
        config
            .set("sasl.mechanisms", mechanism)
            .set("sasl.username", user)
            .set("sasl.password", self.password.expose());
        Ok(())
    }
}

/// The mechanism of that name; of one that brokers have and this tool has not, why is said later.
fn known_mechanism(text: &str) -> Option<String> {
    let known = MECHANISMS.into_iter().chain(LACKING.into_iter().map(|(name, _)| name));
    known.into_iter().find(|name| name.eq_ignore_ascii_case(text.trim())).map(str::to_string)
}

/// The one of `known` that `given` means, whatever its case.
fn chosen<'k>(
    name: &str,
    given: Option<&str>,
    known: &[&'k str],
) -> Result<Option<&'k str>, StoreError> {
    let Some(given) = given.map(str::trim).filter(|given| !given.is_empty()) else {
        return Ok(None);
    };
    match known.iter().find(|one| one.eq_ignore_ascii_case(given)) {
        Some(one) => Ok(Some(one)),
        None => Err(wrong(format!("{name} cannot be `{given}`"))
            .hint(format!("it is one of {}", known.join(", ")))),
    }
}

/// The path of a file that can be opened: librdkafka's own error about it is OpenSSL's.
fn readable(path: &Path) -> Result<String, StoreError> {
    file::open(path).map_err(|error| {
        wrong(format!("cannot read the certificate file {}: {error}", path.display()))
    })?;
    Ok(path.display().to_string())
}

fn wrong(message: impl Into<String>) -> StoreError {
    StoreError::new(StoreErrorKind::Settings, message)
}

/// What librdkafka refuses in a configuration; its rendering of the error would print the value.
fn unusable(error: &KafkaError) -> StoreError {
    match error {
        KafkaError::ClientConfig(_, why, key, _) => {
            wrong(format!("librdkafka does not take the setting {key}")).detail(why.clone())
        }
        KafkaError::ClientCreation(why) => wrong(format!("cannot make a Kafka client: {why}")),
        KafkaError::Nul(_) => wrong("a Kafka setting holds a NUL character"),
        other => wrong(format!("cannot make a Kafka client: {other}")),
    }
}

/// A connected cluster.
pub struct Kafka {
    admin: Admin,
}

impl Connection for Kafka {
    type Step = Step;

    async fn identity(&self) -> Result<Option<String>, StoreError> {
        Ok(self.admin.cluster_id())
    }

    /// An admin request takes the broker moments and bears no mark of who sent it.
    async fn expel(&self, _dead: &[String]) -> Result<(), StoreError> {
        Ok(())
    }

    async fn before(&self, step: &Step, _recorded: &Shape) -> Result<Before, StoreError> {
        probe::before(&self.admin, step).await
    }

    async fn holds(&self, step: &Step) -> Result<Vec<Loss>, StoreError> {
        probe::holds(&self.admin, step).await
    }

    async fn apply<'a>(&'a self, step: &'a Step, job: Job<'a>) -> Result<Done, Failure> {
        apply::apply(&self.admin, step, &job.cancel).await
    }

    async fn probe(&self, step: &Step, before: &Before) -> Result<Probe, StoreError> {
        probe::probe(&self.admin, step, before).await
    }

    async fn inspect(&self, recorded: &Shape, _depth: Depth) -> Result<Shape, StoreError> {
        shape::inspect(&self.admin, recorded).await
    }

    async fn audit(&self, _recorded: &Shape, _depth: Depth) -> Result<Option<Audit>, StoreError> {
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> Settings {
        Settings { brokers: " a:9092 , b:9092,".to_string(), ..Settings::default() }
    }

    fn refused(settings: Settings) -> String {
        let error = settings.client_config("test").expect_err("refused");
        assert_eq!(error.kind, StoreErrorKind::Settings);
        assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
        error.message
    }

    #[test]
    fn plain_settings_need_brokers_only() {
        let config = settings().client_config("me").expect("a configuration");
        for (key, value) in [
            ("bootstrap.servers", "a:9092,b:9092"),
            ("client.id", "me"),
            ("allow.auto.create.topics", "false"),
            ("security.protocol", "PLAINTEXT"),
            ("socket.connection.setup.timeout.ms", "5000"),
        ] {
            assert_eq!(config.get(key), Some(value), "{key}");
        }
        assert_eq!(refused(Settings::default()), "`brokers` names no Kafka broker");
    }

    #[test]
    fn sasl_is_set_whole_or_refused() {
        let sasl = Settings {
            security_protocol: Some("sasl_ssl".to_string()),
            sasl_mechanism: Some("scram-sha-256".to_string()),
            user: Some("u".to_string()),
            password: Secret::new("hunter2"),
            ..settings()
        };
        let config = sasl.client_config("me").expect("a configuration");
        assert_eq!(config.get("security.protocol"), Some("SASL_SSL"));
        assert_eq!(config.get("sasl.mechanisms"), Some("SCRAM-SHA-256"));
        assert_eq!(config.get("sasl.password"), Some("hunter2"));
        assert_eq!(config.get("ssl.ca.location"), Some("probe"));
        assert!(!format!("{config:?} {sasl:?}").contains("hunter2"));

        let without = |change: fn(&mut Settings)| {
            let mut settings = sasl.clone();
            change(&mut settings);
            refused(settings)
        };
        let message = without(|s| s.sasl_mechanism = None);
        assert!(message.contains("needs a sasl_mechanism"), "{message}");
        let message = without(|s| s.sasl_mechanism = Some("GSSAPI".to_string()));
        assert!(message.contains("cannot be `GSSAPI`"), "{message}");
        let message = without(|s| s.user = None);
        assert!(message.contains("needs a user"), "{message}");
        let message = without(|s| s.security_protocol = None);
        assert!(message.contains("credentials are set"), "{message}");
    }

    #[test]
    fn certificates_are_read_and_used_or_refused() {
        let tls = |ca: &str| TlsFiles { ca_file: Some(ca.into()), ..TlsFiles::default() };
        let plain = Settings { tls: tls("/none.pem"), ..settings() };
        assert!(refused(plain).contains("certificates are set"));
        let ssl = Some("SSL".to_string());
        let missing = Settings { security_protocol: ssl, tls: tls("/none.pem"), ..settings() };
        assert!(refused(missing).contains("cannot read the certificate file /none.pem"));
    }

    #[test]
    fn what_librdkafka_refuses_is_said_without_the_value() {
        let bad = Settings {
            security_protocol: Some("SASL_PLAINTEXT".to_string()),
            sasl_mechanism: Some("PLAIN".to_string()),
            user: Some("u".to_string()),
            password: Secret::new("hunter2\0"),
            ..settings()
        };
        let config = bad.client_config("me").expect("a configuration");
        let error = unusable(&Link::open(&config).err().expect("refused"));
        assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
    }
}
