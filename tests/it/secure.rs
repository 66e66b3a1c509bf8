//! TLS and logins, against servers that demand both: `dev/stores up --secure`.

use std::net::{IpAddr, UdpSocket};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use aiplat_migrate::postgres::{Purpose, Session, Settings};
use aiplat_migrate::tls::TlsFiles;

use crate::support::{Finished, block_on, finish, required, unique, with_database};

const PREFIX: &str = "AIPLAT_MIGRATE_";
const STORES: [&str; 5] = ["postgres", "mongo", "redis", "kafka", "weaviate"];

/// A project in a folder of its own, whose variables lead to the secure set.
struct Secure {
    folder: tempfile::TempDir,
    variables: Vec<(String, String)>,
}

impl Secure {
    /// One with PostgreSQL, for the ledger, and `stores`.
    fn with(stores: &[&str]) -> Secure {
        required("SECURE_POSTGRES_URL");
        let mut variables = Vec::new();
        for store in ["postgres"].iter().chain(stores) {
            let start = format!("SECURE_{}_", store.to_uppercase());
            let found = std::env::vars().filter(|(name, _)| name.starts_with(&start));
            variables
                .extend(found.map(|(name, value)| (name.replacen("SECURE_", PREFIX, 1), value)));
        }
        Secure { folder: tempfile::tempdir().expect("folder"), variables }
    }

    /// Sets a variable, named without the prefix; an empty one counts as unset.
    fn set(mut self, name: &str, value: &str) -> Secure {
        let name = format!("{PREFIX}{name}");
        self.variables.retain(|(known, _)| *known != name);
        self.variables.push((name, value.to_string()));
        self
    }

    fn set_all(self, changes: &[(&str, &str)]) -> Secure {
        changes.iter().fold(self, |env, (name, value)| env.set(name, value))
    }

    /// Runs the binary; whatever it prints, no secret is in it.
    fn run(&self, arguments: &[&str]) -> Finished {
        let mut command = Command::new(env!("CARGO_BIN_EXE_aiplat-migrate"));
        command.args(arguments).current_dir(self.folder.path()).env_clear();
        command.envs(self.variables.iter().cloned());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let finished = finish(command.spawn().expect("binary"));
        for secret in self.secrets() {
            let printed = format!("{}{}", finished.stdout, finished.stderr);
            assert!(!printed.contains(&secret), "`{secret}` in\n{printed}");
        }
        finished
    }

    fn secrets(&self) -> Vec<String> {
        let secret = |(name, value): &(String, String)| match name.rsplit('_').next() {
            Some("PASSWORD" | "KEY") => Some(value.clone()),
            Some("URL") => password(value),
            Some(_) | None => None,
        };
        let found = self.variables.iter().filter_map(secret);
        found.filter(|secret| !secret.is_empty()).collect()
    }

    fn file(&self, path: &str, text: &str) {
        let path = self.folder.path().join(path);
        std::fs::create_dir_all(path.parent().expect("parent")).expect("folder");
        std::fs::write(path, text).expect("file");
    }

    /// Connects to all of its stores, and would wait long for one that does not answer.
    fn connects(&self) -> Finished {
        self.run(&["wait", "--timeout", "30s"])
    }
}

fn password(url: &str) -> Option<String> {
    let (login, _) = url.split_once("://")?.1.rsplit_once('@')?;
    login.split_once(':').map(|(_, password)| password.to_string())
}

fn pki(file: &str) -> String {
    let path = Path::new(&required("SECURE_TEST_PKI")).join(file);
    assert!(path.exists(), "{}", path.display());
    path.display().to_string()
}

/// The variable that says where `store` is, with `address` in place of its host and port.
fn at(store: &str, address: &str) -> (String, String) {
    let upper = store.to_uppercase();
    if store == "kafka" {
        return ("KAFKA_BROKERS".to_string(), address.to_string());
    }
    let url = required(&format!("SECURE_{upper}_URL"));
    let (scheme, rest) = url.split_once("://").expect("a URL");
    let (login, rest) = rest.rsplit_once('@').map_or(("", rest), |(login, rest)| (login, rest));
    let path = rest.find('/').map_or("", |at| &rest[at..]);
    let at_sign = if login.is_empty() { "" } else { "@" };
    (format!("{upper}_URL"), format!("{scheme}://{login}{at_sign}{address}{path}"))
}

/// The change after which `store` is met where its certificate is `role`.
fn gate(store: &str, role: &str) -> (String, String) {
    at(store, &required(&format!("SECURE_TEST_{}_{role}", store.to_uppercase())))
}

/// Kafka by certificate alone.
fn mutual(cert: &str, key: &str) -> Vec<(&'static str, String)> {
    vec![
        ("KAFKA_BROKERS", required("SECURE_TEST_KAFKA_MUTUAL")),
        ("KAFKA_SECURITY_PROTOCOL", "SSL".to_string()),
        ("KAFKA_SASL_MECHANISM", String::new()),
        ("KAFKA_USER", String::new()),
        ("KAFKA_PASSWORD", String::new()),
        ("KAFKA_CERT_FILE", cert.to_string()),
        ("KAFKA_KEY_FILE", key.to_string()),
    ]
}

fn borrowed<'a>(changes: &'a [(&'a str, String)]) -> Vec<(&'a str, &'a str)> {
    changes.iter().map(|(name, value)| (*name, value.as_str())).collect()
}

/// Fails unless `store`, with these changes, is refused at once, with exit 2 and in these words.
#[track_caller]
fn refused(store: &str, changes: &[(&str, &str)], words: &[&str]) {
    let env = Secure::with(&[store]).set_all(changes);
    let began = Instant::now();
    env.connects().expect(2).says(words);
    assert!(began.elapsed() < Duration::from_secs(10), "{store} took {:?}", began.elapsed());
}

#[track_caller]
fn accepted(store: &str, changes: &[(&str, &str)]) {
    let done = Secure::with(&[store]).set_all(changes).connects().expect(0);
    assert_eq!(done.stderr, "");
}

fn certified(url: &str) -> Settings {
    Settings {
        url: url.into(),
        sslmode: Some("verify-full".to_string()),
        tls_files: TlsFiles {
            ca_file: Some(pki("ca.pem").into()),
            cert_file: Some(pki("client.pem").into()),
            key_file: Some(pki("client.key").into()),
        },
        ..Settings::default()
    }
}

fn sql(url: &str, statement: &str) {
    block_on(async {
        let session: Session =
            certified(url).connect("aiplat-migrate-test", Purpose::Ours).await.expect("server");
        session.client.batch_execute(statement).await.expect(statement);
    });
}

#[test]
fn five_stores_with_everything_on_are_migrated_and_taken_back() {
    let name = unique("secure");
    let class = name.replacen('s', "S", 1);
    let admin = required("SECURE_POSTGRES_URL");
    sql(&admin, &format!("CREATE DATABASE {name}"));
    let env = Secure::with(&STORES)
        .set("POSTGRES_URL", &with_database(&admin, &name))
        .set("MONGO_URL", &with_database(&required("SECURE_MONGO_URL"), &name));
    env.file("migrations/postgres/V1__a.sql", "create table a (id int);");
    env.file("migrations/postgres/U1__a.sql", "drop table a;");
    env.file("migrations/mongo/V1__a.json5", "{ steps: [{ create: 'a' }] }");
    let topic = "createTopic: { name: 'NAME', partitions: 1, replicationFactor: 1 }";
    let kafka = format!("{{ requires: ['postgres@1'], steps: [{{ {topic} }}] }}");
    env.file("migrations/kafka/V1__a.json5", &kafka.replace("NAME", &name));
    let keys = "{ steps: [{ keyspace: { pattern: 'NAME:{id}', type: 'hash', ttl: '1h' } }] }";
    env.file("migrations/redis/V1__a.json5", &keys.replace("NAME", &name));
    let made = "{ steps: [{ createClass: { class: 'NAME', vectorizer: 'none' } }] }";
    env.file("migrations/weaviate/V1__a.json5", &made.replace("NAME", &class));
    env.run(&["hash"]).expect(0);
    let up = env.run(&["up"]).expect(0);
    assert!(!up.stderr.contains("warning"), "{}", up.stderr);
    let status = env.run(&["status", "--output", "json"]).expect(0).json();
    assert_eq!(status["counts"], serde_json::json!({ "applied": 5 }));
    env.run(&["validate"]).expect(0);
    env.run(&["down", "--all", "--yes"]).expect(0);
    sql(&admin, &format!("DROP DATABASE {name} WITH (FORCE)"));
}

/// The URL of the role that needs a certificate and no password.
fn as_certified() -> String {
    let url = required("SECURE_POSTGRES_URL");
    let (_, rest) = url.rsplit_once('@').expect("a login");
    format!("postgres://certified@{rest}")
}

#[test]
fn every_way_in_is_open_to_who_may() {
    for store in STORES {
        accepted(store, &[]);
    }
    accepted("kafka", &[("KAFKA_SASL_MECHANISM", "PLAIN")]);
    accepted("kafka", &borrowed(&mutual(&pki("client.pem"), &pki("client.key"))));
    accepted("postgres", &[("POSTGRES_URL", &as_certified())]);
    let sentinel = required("SECURE_TEST_REDIS_SENTINEL");
    let redis = password(&required("SECURE_REDIS_URL")).expect("password");
    accepted(
        "redis",
        &[
            ("REDIS_URL", ""),
            ("REDIS_SENTINELS", &sentinel),
            ("REDIS_SENTINEL_MASTER", "mymaster"),
            ("REDIS_SENTINEL_PASSWORD", &redis),
            ("REDIS_USER", "migrator"),
            ("REDIS_PASSWORD", &redis),
        ],
    );
}

#[test]
fn a_certificate_of_another_authority_is_refused() {
    let other = pki("other-ca.pem");
    for store in STORES {
        let key = format!("{}_CA_FILE", store.to_uppercase());
        refused(store, &[(&key, &other)], &["is not trusted", "other-ca.pem did not sign it"]);
        // The system's authorities have not signed it either.
        refused(store, &[(&key, "")], &["is not trusted", "set `ca_file`"]);
    }
}

#[test]
fn a_certificate_for_another_name_is_refused() {
    for store in STORES {
        let (name, value) = gate(store, "ELSEWHERE");
        refused(store, &[(&name, &value)], &["is for another name", "elsewhere.example"]);
    }
}

#[test]
fn an_expired_certificate_is_refused() {
    for store in STORES {
        let (name, value) = gate(store, "EXPIRED");
        refused(store, &[(&name, &value)], &["has expired"]);
    }
}

#[test]
fn a_missing_client_certificate_is_named() {
    for store in ["postgres", "mongo", "redis"] {
        let upper = store.to_uppercase();
        let (cert, key) = (format!("{upper}_CERT_FILE"), format!("{upper}_KEY_FILE"));
        refused(store, &[(&cert, ""), (&key, "")], &["client certificate", "set `cert_file`"]);
    }
    let words = ["asks for a client certificate", "set `cert_file`"];
    refused("kafka", &borrowed(&mutual("", "")), &words);
}

#[test]
fn a_client_certificate_of_a_stranger_is_refused() {
    let (cert, key) = (pki("stranger.pem"), pki("stranger.key"));
    let words = ["does not take our certificate", "stranger.pem"];
    for store in ["postgres", "redis"] {
        let upper = store.to_uppercase();
        let (cert_name, key_name) = (format!("{upper}_CERT_FILE"), format!("{upper}_KEY_FILE"));
        refused(store, &[(&cert_name, &cert), (&key_name, &key)], &words);
    }
    refused("kafka", &borrowed(&mutual(&cert, &key)), &words);
    // mongod hangs up without a word, as a proxy with nobody behind it would.
    let env = Secure::with(&["mongo"]).set("MONGO_CERT_FILE", &cert).set("MONGO_KEY_FILE", &key);
    let words = ["asks for a client certificate and hangs up on ours"];
    env.run(&["wait", "--timeout", "1s"]).expect(6).says(&words);
    // PostgreSQL's role is in the certificate's name.
    let server = [
        ("POSTGRES_URL", as_certified()),
        ("POSTGRES_CERT_FILE", pki("server.pem")),
        ("POSTGRES_KEY_FILE", pki("server.key")),
    ];
    refused("postgres", &borrowed(&server), &["certified", "common name"]);
}

#[test]
fn a_wrong_password_is_refused() {
    for (store, key, words) in [
        ("postgres", "POSTGRES_PASSWORD", "password authentication failed"),
        ("mongo", "MONGO_PASSWORD", "Authentication failed"),
        ("redis", "REDIS_PASSWORD", "WRONGPASS"),
        ("kafka", "KAFKA_PASSWORD", "SCRAM-SHA-512"),
        ("weaviate", "WEAVIATE_API_KEY", "invalid api key"),
    ] {
        refused(store, &[(key, "hunter2")], &[words]);
    }
    let plain = [("KAFKA_PASSWORD", "hunter2"), ("KAFKA_SASL_MECHANISM", "PLAIN")];
    refused("kafka", &plain, &["Authentication failed"]);
}

#[test]
fn plain_text_to_a_port_that_speaks_tls_is_named() {
    refused("postgres", &[("POSTGRES_SSLMODE", "disable")], &["no encryption", "set `sslmode`"]);
    let words = ["speaks TLS, and was spoken to in plain text", "switch TLS on"];
    let files = |store: &str| ["CA", "CERT", "KEY"].map(|file| format!("{store}_{file}_FILE"));
    let redis = required("SECURE_REDIS_URL").replace("rediss:", "redis:");
    let weaviate = required("SECURE_WEAVIATE_URL").replace("https:", "http:");
    for (store, key, value) in [
        ("mongo", "MONGO_TLS", "false"),
        ("redis", "REDIS_URL", redis.as_str()),
        ("kafka", "KAFKA_SECURITY_PROTOCOL", "SASL_PLAINTEXT"),
        ("weaviate", "WEAVIATE_URL", weaviate.as_str()),
    ] {
        let files = files(&store.to_uppercase());
        let mut changes: Vec<(&str, &str)> = files.iter().map(|file| (file.as_str(), "")).collect();
        changes.push((key, value));
        refused(store, &changes, &words);
    }
}

#[test]
fn tls_to_a_port_that_speaks_plain_text_is_named() {
    let url = required("TEST_POSTGRES_URL");
    refused("postgres", &[("POSTGRES_URL", &url)], &["does not support TLS", "sslmode"]);
    for (store, key, value) in [
        ("mongo", "MONGO_URL", required("TEST_MONGO_URL")),
        ("redis", "REDIS_URL", required("TEST_REDIS_URL").replace("redis:", "rediss:")),
        ("kafka", "KAFKA_BROKERS", required("TEST_KAFKA_BROKERS")),
        ("weaviate", "WEAVIATE_URL", required("TEST_WEAVIATE_URL").replace("http:", "https:")),
    ] {
        refused(store, &[(key, &value)], &["does not speak TLS"]);
    }
}

#[test]
fn sslmode_means_what_it_means_to_libpq() {
    let (secure, plain) = (required("SECURE_POSTGRES_URL"), required("TEST_POSTGRES_URL"));
    // Channel binding would notice the man in the middle who holds those certificates.
    let unbound = |role| format!("{}?channel_binding=disable", gate("postgres", role).1);
    let (elsewhere, expired) = (unbound("ELSEWHERE"), unbound("EXPIRED"));
    let (ca, other) = (pki("ca.pem"), pki("other-ca.pem"));
    for (mode, ca, url, code) in [
        ("disable", "", &secure, 2),
        ("disable", "", &plain, 0),
        ("prefer", "", &secure, 0),
        ("prefer", "", &plain, 0),
        ("prefer", &other, &secure, 0),
        ("prefer", "", &elsewhere, 0),
        ("require", "", &secure, 0),
        ("require", "", &plain, 2),
        ("require", "", &expired, 0),
        ("require", &ca, &secure, 0),
        ("require", &other, &secure, 2),
        ("verify-ca", &ca, &secure, 0),
        ("verify-ca", &ca, &elsewhere, 0),
        ("verify-ca", &ca, &expired, 2),
        ("verify-ca", &other, &secure, 2),
        ("verify-ca", "", &secure, 2),
        ("verify-ca", &ca, &plain, 2),
        ("verify-full", &ca, &secure, 0),
        ("verify-full", &ca, &elsewhere, 2),
        ("verify-full", &ca, &plain, 2),
    ] {
        let env = Secure::with(&[]).set("POSTGRES_SSLMODE", mode).set("POSTGRES_CA_FILE", ca);
        let done = env.set("POSTGRES_URL", url).connects();
        assert_eq!(done.code, code, "{mode} {ca} {url}\n{}", done.stderr);
    }
}

#[test]
fn channel_binding_notices_who_stands_between() {
    let (name, value) = gate("postgres", "ELSEWHERE");
    let changes = [(name.as_str(), value.as_str()), ("POSTGRES_SSLMODE", "require")];
    refused(
        "postgres",
        &[&changes[..], &[("POSTGRES_CA_FILE", "")]].concat(),
        &["channel binding"],
    );
}

#[test]
fn a_postgres_url_can_say_it_all() {
    let names =
        ["SSLMODE", "CA_FILE", "CERT_FILE", "KEY_FILE"].map(|key| format!("POSTGRES_{key}"));
    let bare: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "")).collect();
    let base = required("SECURE_POSTGRES_URL");
    let client = format!("sslcert={}&sslkey={}", pki("client.pem"), pki("client.key"));
    let with = |query: String| format!("{base}?{query}&{client}");
    let url = with(format!("sslmode=verify-full&sslrootcert={}", pki("ca.pem")));
    accepted("postgres", &[&bare[..], &[("POSTGRES_URL", &url)]].concat());
    let url = with(format!("sslmode=verify-full&sslrootcert={}", pki("other-ca.pem")));
    refused("postgres", &[&bare[..], &[("POSTGRES_URL", &url)]].concat(), &["other-ca.pem"]);
    let url = with("sslrootcert=system".to_string());
    let words = ["no authority that this machine trusts signed it"];
    refused("postgres", &[&bare[..], &[("POSTGRES_URL", &url)]].concat(), &words);
    let url = with("sslrootcert=system&sslmode=require".to_string());
    refused("postgres", &[&bare[..], &[("POSTGRES_URL", &url)]].concat(), &["too weak"]);
}

/// An address of this machine that is not loopback; asking the kernel for it sends nothing.
fn own_address() -> IpAddr {
    let socket = UdpSocket::bind("0.0.0.0:0").expect("socket");
    socket.connect("192.0.2.1:9").expect("this test needs a network interface");
    let address = socket.local_addr().expect("address").ip();
    assert!(!address.is_loopback(), "this test needs an address that is not loopback");
    address
}

#[test]
fn plain_text_to_another_machine_draws_a_warning() {
    // Nobody listens there; the warning comes before anything is sent.
    let there = format!("{}:1", own_address());
    let urls = [
        ("POSTGRES_URL", format!("postgres://u@{there}/d")),
        ("MONGO_URL", format!("mongodb://{there}/d")),
        ("REDIS_URL", format!("redis://{there}/0")),
        ("WEAVIATE_URL", format!("http://{there}")),
        ("KAFKA_BROKERS", there.clone()),
    ];
    let bare = Secure { folder: tempfile::tempdir().expect("folder"), variables: Vec::new() };
    let plain = bare.set_all(&borrowed(&urls)).set("POSTGRES_SSLMODE", "disable");
    let warned = plain.run(&["wait", "--timeout", "0s"]).expect(6);
    for title in ["PostgreSQL", "MongoDB", "Redis", "Weaviate", "Kafka"] {
        let words = format!("{title} at {there} is spoken to in plain text");
        assert!(warned.stderr.contains(&words), "{words}\n{}", warned.stderr);
    }
    let prefer = plain.set("POSTGRES_SSLMODE", "").run(&["wait", "--timeout", "0s"]).expect(6);
    assert!(prefer.stderr.contains("in plain text unless it offers TLS"), "{}", prefer.stderr);
    let tls = STORES.iter().map(|store| at(store, &there));
    let tls = tls.fold(Secure::with(&STORES), |env, (name, value)| env.set(&name, &value));
    let quiet = tls.run(&["wait", "--timeout", "0s"]).expect(6);
    assert!(!quiet.stderr.contains("plain text"), "{}", quiet.stderr);
}

#[test]
fn a_key_that_others_may_read_draws_a_warning() {
    let env = Secure::with(&[]);
    let key = env.folder.path().join("client.key");
    std::fs::copy(pki("client.key"), &key).expect("copied");
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).expect("mode");
    let env = env.set("POSTGRES_KEY_FILE", &key.display().to_string());
    let words = format!("chmod 600 {}", key.display());
    env.connects().expect(0).says(&["others may read it", &words]);
}

/// The blocks of the documentation that grant rights, in one language.
fn grants(language: &str) -> Vec<String> {
    let text = std::fs::read_to_string("docs/security.md").expect("docs/security.md");
    let fence = format!("```{language} grants\n");
    let blocks = text.split(&fence).skip(1);
    blocks.map(|rest| rest.split("```").next().expect("a block").trim().to_string()).collect()
}

fn kafka_acls(arguments: &[&str]) {
    // The set is named by its authority's folder: <set>/pki.
    let pki = required("SECURE_TEST_PKI");
    let folder = Path::new(&pki).parent().expect("the set's folder");
    let set = folder.file_name().expect("a name").to_string_lossy().into_owned();
    let mut command = Command::new("dev/stores");
    command.args(["kafka-acls", "--set", &set]).args(arguments);
    let done = command.env("AIPLAT_MIGRATE_STORES", "packages").output().expect("dev/stores");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

fn mongo_admin(commands: &[String]) {
    let url = required("SECURE_MONGO_URL");
    let (base, _) = url.split_once('?').expect("options");
    let files = format!("tlsCAFile={}&tlsCertificateKeyFile={}", pki("ca.pem"), pki("client.both"));
    let url = format!("{base}?authSource=admin&directConnection=true&tls=true&{files}");
    aiplat_migrate::tls::install_provider();
    block_on(async {
        let client = mongodb::Client::with_uri_str(&url).await.expect("client");
        for command in commands {
            let value: serde_json::Value = serde_json::from_str(command).expect(command);
            let document = bson::serialize_to_document(&value).expect("a document");
            client.database("admin").run_command(document).await.expect(command);
        }
    });
}

fn redis_admin(command: &str) {
    let read = |path: String| std::fs::read(path).expect("file");
    let certificates = redis::TlsCertificates {
        client_tls: Some(redis::ClientTlsConfig {
            client_cert: read(pki("client.pem")),
            client_key: read(pki("client.key")),
        }),
        root_cert: Some(read(pki("ca.pem"))),
    };
    let client = redis::Client::build_with_tls(required("SECURE_REDIS_URL"), certificates);
    let mut words = command.split_whitespace();
    let mut sent = redis::cmd(words.next().expect("a command"));
    sent.arg(words.collect::<Vec<_>>());
    block_on(async {
        // However busy the machine is.
        let patient = redis::AsyncConnectionConfig::new()
            .set_connection_timeout(Some(Duration::from_secs(20)))
            .set_response_timeout(Some(Duration::from_secs(20)));
        let client = client.expect("client");
        let connecting = client.get_multiplexed_async_connection_with_config(&patient);
        let mut connection = connecting.await.expect("Redis");
        sent.query_async::<()>(&mut connection).await.expect(command);
    });
}

#[test]
fn the_documented_rights_are_enough() {
    let name = unique("least");
    let password = unique("secret");
    let own = |text: &str| {
        let text = text.replace("ai_platform", &name).replace("change-me", &password);
        // Users are of the whole server, and this test's own; Kafka's one is in its configuration.
        text.replace("migrator", &name)
    };
    let admin = required("SECURE_POSTGRES_URL");
    sql(&admin, &format!("CREATE DATABASE {name}"));
    let inside = with_database(&admin, &name);
    for (block, url) in grants("sql").iter().zip([&admin, &inside]) {
        sql(url, &own(block));
    }
    mongo_admin(&grants("json").iter().map(|block| own(block)).collect::<Vec<_>>());
    for block in grants("text") {
        redis_admin(&own(&block));
    }
    let database = |url: &str| with_database(&required(url), &name);
    let mongo = database("SECURE_MONGO_URL").replace("authSource=admin&", "");
    let env = Secure::with(&STORES)
        .set("POSTGRES_URL", &database("SECURE_POSTGRES_URL"))
        .set("POSTGRES_USER", &name)
        .set("POSTGRES_PASSWORD", &password)
        .set("MONGO_URL", &mongo)
        .set("MONGO_USER", &name)
        .set("MONGO_PASSWORD", &password)
        .set("MONGO_AUTH_SOURCE", "admin")
        .set("REDIS_USER", &name)
        .set("REDIS_PASSWORD", &password)
        .set("KAFKA_SASL_MECHANISM", "PLAIN")
        .set("KAFKA_USER", "migrator");
    let project = ["-r", "migrations", "aiplat-migrate.toml"];
    let copied = Command::new("cp").args(project).arg(env.folder.path()).status();
    assert!(copied.expect("cp").success());

    let kafka = grants("sh");
    let [kafka] = kafka.as_slice() else { panic!("one line for Kafka") };
    let words: Vec<&str> = kafka.split_whitespace().skip(1).collect();
    let back: Vec<&str> =
        words.iter().map(|word| if *word == "--add" { "--remove" } else { *word }).collect();
    let back = [&back[..], &["--force"]].concat();
    kafka_acls(&back);
    env.run(&["up"]).expect(1).says(&["TOPIC_AUTHORIZATION_FAILED", "the user needs the ACLs"]);
    kafka_acls(&words);
    env.run(&["up"]).expect(0);
    env.run(&["validate"]).expect(0);

    let with_all = Secure::with(&STORES)
        .set("POSTGRES_URL", &database("SECURE_POSTGRES_URL"))
        .set("MONGO_URL", &database("SECURE_MONGO_URL"));
    let all = Secure { folder: env.folder, variables: with_all.variables };
    all.run(&["down", "--all", "--yes", "--allow-data-loss"]).expect(0);
    kafka_acls(&back);
    redis_admin(&format!("ACL DELUSER {name}"));
    mongo_admin(&["User", "Role"].map(|kind| format!("{{ \"drop{kind}\": \"{name}\" }}")));
    sql(&admin, &format!("DROP DATABASE {name} WITH (FORCE)"));
    sql(&admin, &format!("DROP ROLE {name}"));
}

/// A project with those of the platform's migrations that are for `store`, and nothing else of it.
fn of_platform(store: &str, env: &Secure) {
    let folder = format!("migrations/{store}");
    for entry in std::fs::read_dir(&folder).expect("the platform's migrations") {
        let path = entry.expect("an entry").path();
        let text = std::fs::read_to_string(&path).expect("text");
        // The other stores' migrations are not there.
        let alone = text.lines().filter(|line| !line.trim_start().starts_with("requires:"));
        env.file(&path.display().to_string(), &alone.collect::<Vec<_>>().join("\n"));
    }
}

/// Fails unless `up` or `validate` fails and says all of `words`.
#[track_caller]
fn stopped_by(env: &Secure, lacking: &str, words: &[&str]) {
    let mut told = String::new();
    for command in ["up", "validate"] {
        let ended = env.run(&[command]);
        told += &format!("{command}: {}\n{}{}", ended.code, ended.stdout, ended.stderr);
        if ended.code != 0 {
            for word in words {
                assert!(told.contains(word), "without {lacking}, no `{word}` in\n{told}");
            }
            return;
        }
    }
    panic!("without {lacking} all went well:\n{told}");
}

#[test]
fn each_right_in_postgres_is_needed_and_named() {
    let admin = required("SECURE_POSTGRES_URL");
    for (lacking, granted, instead, words) in [
        ("CONNECT", "CONNECT, CREATE ON", "CREATE ON", ["does not have CONNECT privilege"]),
        ("CREATE", "CONNECT, CREATE ON", "CONNECT ON", ["CREATE SCHEMA aiplat_migrate"]),
        ("vector", "CREATE EXTENSION", "-- ", ["permission denied to create extension"]),
        ("CREATE in public", "GRANT CREATE ON SCHEMA", "-- ", ["denied for schema public"]),
    ] {
        let name = unique("least");
        let inside = with_database(&admin, &name);
        sql(&admin, &format!("CREATE DATABASE {name}"));
        sql(&admin, &format!("REVOKE CONNECT ON DATABASE {name} FROM PUBLIC"));
        for (block, url) in grants("sql").iter().zip([&admin, &inside]) {
            let block = block.replace("ai_platform", &name).replace("migrator", &name);
            sql(url, &block.replace(granted, instead));
        }
        let env = Secure::with(&[])
            .set("POSTGRES_URL", &inside)
            .set("POSTGRES_USER", &name)
            .set("POSTGRES_PASSWORD", "change-me");
        of_platform("postgres", &env);
        stopped_by(&env, lacking, &words);
        sql(&admin, &format!("DROP DATABASE {name} WITH (FORCE)"));
        sql(&admin, &format!("DROP ROLE {name}"));
    }
}

/// A project with a ledger of its own, and `store`.
fn with_ledger(store: &str, name: &str) -> Secure {
    let admin = required("SECURE_POSTGRES_URL");
    sql(&admin, &format!("CREATE DATABASE {name}"));
    let env = Secure::with(&[store]).set("POSTGRES_URL", &with_database(&admin, name));
    of_platform(store, &env);
    env
}

fn drop_ledger(name: &str) {
    sql(&required("SECURE_POSTGRES_URL"), &format!("DROP DATABASE {name} WITH (FORCE)"));
}

#[test]
fn each_right_in_mongodb_is_needed_and_named() {
    for (lacking, command) in [
        ("createCollection", "create:"),
        ("createIndex", "createIndexes:"),
        ("listCollections", "listCollections:"),
        ("listIndexes", "listIndexes:"),
    ] {
        let name = unique("least");
        let blocks = grants("json").into_iter().map(|block| {
            let block = block.replace("ai_platform", &name).replace("migrator", &name);
            assert!(!block.contains("actions") || block.contains(&format!("\"{lacking}\"")));
            // An action that gives no right here takes its place.
            block.replace(&format!("\"{lacking}\""), "\"viewRole\"")
        });
        mongo_admin(&blocks.collect::<Vec<_>>());
        let url = with_database(&required("SECURE_MONGO_URL"), &name);
        let env = with_ledger("mongo", &name)
            .set("MONGO_URL", &url.replace("authSource=admin&", ""))
            .set("MONGO_USER", &name)
            .set("MONGO_PASSWORD", "change-me")
            .set("MONGO_AUTH_SOURCE", "admin");
        stopped_by(&env, lacking, &["not authorized", command]);
        mongo_admin(&["User", "Role"].map(|kind| format!("{{ \"drop{kind}\": \"{name}\" }}")));
        drop_ledger(&name);
    }
}

#[test]
fn each_right_in_redis_is_needed_and_named() {
    let [granted] = &grants("text")[..] else { panic!("one line for Redis") };
    let rights: Vec<&str> = granted.split(' ').skip(5).collect();
    assert!(rights.len() > 8, "{rights:?}");
    for lacking in &rights {
        let name = unique("least");
        let own = granted.replace("migrator", &name);
        let rest: Vec<&str> = own.split(' ').filter(|word| word != lacking).collect();
        redis_admin(&rest.join(" "));
        redis_admin(&format!("SET {name} 1 EX 600"));
        redis_admin("CONFIG SET timeout 7");
        let env =
            with_ledger("redis", &name).set("REDIS_USER", &name).set("REDIS_PASSWORD", "change-me");
        match *lacking {
            "+client|setname" => {
                env.run(&["up"]).expect(0);
                env.run(&["validate"]).expect(0);
            }
            "+config|rewrite" => {
                env.run(&["up"]).expect(0).says(&["could not save", "config|rewrite"]);
            }
            "%R~*" => stopped_by(&env, lacking, &["NOPERM", "no permissions to access"]),
            command => {
                let command = command.trim_start_matches('+');
                stopped_by(&env, lacking, &["NOPERM", &format!("'{command}'")]);
            }
        }
        redis_admin(&format!("ACL DELUSER {name}"));
        redis_admin(&format!("DEL {name}"));
        drop_ledger(&name);
    }
}

#[test]
fn each_right_in_kafka_is_needed_and_named() {
    let [granted] = &grants("sh")[..] else { panic!("one line for Kafka") };
    let words: Vec<&str> = granted.split_whitespace().collect();
    let after = |option: &'static str| {
        words.windows(2).filter(move |pair| pair[0] == option).map(|pair| pair[1])
    };
    let name = unique("least");
    let operations: Vec<&str> = after("--operation").collect();
    assert_eq!(operations.len(), 3);
    let topic = |lacking: &str| format!("{name}.{lacking}");
    // Each topic lacks another right; they are granted side by side, since each call starts a JVM.
    std::thread::scope(|scope| {
        for lacking in &operations {
            let others = operations.iter().filter(|operation| *operation != lacking);
            let (user, topic) =
                (after("--allow-principal").next().expect("a user"), topic(lacking));
            let mut call = vec!["--add", "--allow-principal", user];
            call.extend(others.flat_map(|operation| ["--operation", operation]));
            if *lacking == "AlterConfigs" {
                // What it includes is not what is missing here.
                call.extend(["--operation", "DescribeConfigs"]);
            }
            scope.spawn(move || kafka_acls(&[&call[..], &["--topic", &topic]].concat()));
        }
    });
    let plain = [("KAFKA_SASL_MECHANISM", "PLAIN"), ("KAFKA_USER", "migrator")];
    for lacking in &operations {
        let (database, topic) = (unique("least"), topic(lacking));
        let env = with_ledger("kafka", &database).set_all(&plain);
        std::fs::remove_dir_all(env.folder.path().join("migrations/kafka")).expect("removed");
        let created =
            format!("createTopic: {{ name: '{topic}', partitions: 1, replicationFactor: 1 }}");
        let altered =
            format!("alterConfigs: {{ topic: '{topic}', set: {{ 'retention.ms': '60000' }} }}");
        let text = format!("{{ steps: [{{ {created} }}, {{ {altered} }}] }}");
        env.file("migrations/kafka/V1__t.json5", &text);
        let right = format!("the ACL {lacking} on {topic}");
        stopped_by(&env, lacking, &["TOPIC_AUTHORIZATION_FAILED", &right]);
        drop_ledger(&database);
    }
    let topics: Vec<String> = operations.iter().map(|lacking| topic(lacking)).collect();
    let mut back = vec!["--remove", "--force"];
    back.extend(topics.iter().flat_map(|topic| ["--topic", topic.as_str()]));
    kafka_acls(&back);
}

#[test]
fn a_key_of_weaviate_that_may_only_read_is_enough_to_validate() {
    let name = unique("least");
    let class = name.replacen('l', "L", 1);
    let env = with_ledger("weaviate", &name);
    std::fs::remove_dir_all(env.folder.path().join("migrations/weaviate")).expect("removed");
    let made = format!("createClass: {{ class: '{class}', vectorizer: 'none' }}");
    env.file("migrations/weaviate/V1__c.json5", &format!("{{ steps: [{{ {made} }}] }}"));
    let key = required("SECURE_WEAVIATE_API_KEY");
    let env = env.set("WEAVIATE_API_KEY", &required("SECURE_TEST_WEAVIATE_READER"));
    env.run(&["up"]).expect(1).says(&["forbidden", "the API key may not do this"]);
    let env = env.set("WEAVIATE_API_KEY", &key);
    env.run(&["up"]).expect(0);
    let env = env.set("WEAVIATE_API_KEY", &required("SECURE_TEST_WEAVIATE_READER"));
    env.run(&["status"]).expect(0);
    env.run(&["validate"]).expect(0);
    let env = env.set("WEAVIATE_API_KEY", &key);
    env.run(&["down", "--all", "--yes"]).expect(0);
    drop_ledger(&name);
}
