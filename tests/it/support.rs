//! What every test needs: the real stores' addresses, names of its own, a project, the binary.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tokio_postgres::SimpleQueryMessage;

/// The value of an environment variable that `dev/test` sets; without it the test fails and says
/// how to start the stores.
pub fn required(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| {
        panic!("{name} is not set: run the tests with `dev/test`, which starts the real stores")
    })
}

/// A name that no other test and no other run of this test uses: letters, digits and `_`.
pub fn unique(stem: &str) -> String {
    use std::sync::atomic::{AtomicU32, Ordering};
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let since = std::time::UNIX_EPOCH.elapsed().expect("clock").as_millis() % 100_000_000;
    format!("{stem}_{}_{since}_{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

/// Runs a future to its end.
pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("runtime")
        .block_on(future)
}

/// A project in a folder of its own, with a PostgreSQL database and a MongoDB database of its own.
///
/// Kafka topics, Weaviate classes and Redis keys are shared by all tests: names begin with
/// [`TestEnv::name`]. The binary sees no environment but what this value gives it.
pub struct TestEnv {
    folder: tempfile::TempDir,
    /// A name of this test alone: lower-case letters, digits and `_`.
    pub name: String,
    variables: Vec<(String, String)>,
}

/// How the binary ended and what it printed.
#[derive(Debug)]
pub struct Finished {
    /// The exit code; -1 for a signal.
    pub code: i32,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Finished {
    /// Fails the test unless the exit code is `code`; shows everything that was printed.
    #[track_caller]
    pub fn expect(self, code: i32) -> Finished {
        assert_eq!(self.code, code, "\n-- stdout\n{}\n-- stderr\n{}", self.stdout, self.stderr);
        self
    }

    /// Fails the test unless standard error holds each of `parts`.
    #[track_caller]
    pub fn says(self, parts: &[&str]) -> Finished {
        for part in parts {
            assert!(self.stderr.contains(part), "no `{part}` in\n{}", self.stderr);
        }
        self
    }

    /// Fails the test unless standard output holds `part`.
    #[track_caller]
    pub fn out(&self, part: &str) -> &Finished {
        assert!(self.stdout.contains(part), "no `{part}` in\n{}\n{}", self.stdout, self.stderr);
        self
    }

    /// Standard output as JSON.
    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("{error} in\n{}\n{}", self.stdout, self.stderr))
    }
}

impl TestEnv {
    /// A project with PostgreSQL alone.
    pub fn new() -> TestEnv {
        TestEnv::on("TEST_")
    }

    /// A project whose stores are those of the set with this prefix.
    pub fn on(prefix: &str) -> TestEnv {
        let name = unique("it");
        let url = required(&format!("{prefix}POSTGRES_URL"));
        let admin = url.clone();
        let create = format!("CREATE DATABASE {name}");
        block_on(async { execute(&admin, &create).await });
        let folder = tempfile::tempdir().expect("temporary folder");
        let variables =
            vec![("AIPLAT_MIGRATE_POSTGRES_URL".to_string(), with_database(&url, &name))];
        TestEnv { folder, name, variables }
    }

    /// Configures more stores, of the `test` set: mongo, weaviate, kafka, redis.
    pub fn with(mut self, stores: &[&str]) -> TestEnv {
        for store in stores {
            self = match *store {
                "mongo" => {
                    let url = with_database(&required("TEST_MONGO_URL"), &self.name);
                    self.set("AIPLAT_MIGRATE_MONGO_URL", &mongo_as_root(&url))
                }
                "weaviate" => {
                    let key = required("TEST_WEAVIATE_API_KEY");
                    self.set("AIPLAT_MIGRATE_WEAVIATE_URL", &required("TEST_WEAVIATE_URL"))
                        .set("AIPLAT_MIGRATE_WEAVIATE_API_KEY", &key)
                }
                "kafka" => {
                    self.set("AIPLAT_MIGRATE_KAFKA_BROKERS", &required("TEST_KAFKA_BROKERS"))
                }
                "redis" => self.set("AIPLAT_MIGRATE_REDIS_URL", &required("TEST_REDIS_URL")),
                other => panic!("no store {other}"),
            };
        }
        self
    }

    /// Sets a variable that the binary sees.
    pub fn set(mut self, name: &str, value: &str) -> TestEnv {
        self.variables.retain(|(known, _)| known != name);
        self.variables.push((name.to_string(), value.to_string()));
        self
    }

    /// The value of a variable that the binary sees.
    pub fn get(&self, name: &str) -> String {
        let found = self.variables.iter().find(|(known, _)| known == name);
        found.unwrap_or_else(|| panic!("{name} is not set")).1.clone()
    }

    /// The variables that the binary sees.
    pub fn variables(&self) -> &[(String, String)] {
        &self.variables
    }

    /// The project's folder.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Writes a file below the project's folder; `NAME` stands for [`TestEnv::name`], `Name` for
    /// the same with a capital first letter.
    pub fn file(&self, path: &str, text: &str) -> PathBuf {
        let path = self.path().join(path);
        std::fs::create_dir_all(path.parent().expect("parent")).expect("folder");
        std::fs::write(&path, self.named(text)).expect("file");
        path
    }

    /// Deletes a file below the project's folder.
    pub fn remove(&self, path: &str) {
        std::fs::remove_file(self.path().join(path)).expect("file");
    }

    /// `text` with `NAME` and `Name` replaced.
    pub fn named(&self, text: &str) -> String {
        text.replace("NAME", &self.name).replace("Name", &self.class())
    }

    /// The name with a capital first letter, as Weaviate wants its classes.
    pub fn class(&self) -> String {
        self.name.replacen('i', "I", 1)
    }

    /// The binary, ready to be started.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_aiplat-migrate"));
        command.args(arguments).current_dir(self.path()).env_clear();
        for (name, value) in &self.variables {
            command.env(name, value);
        }
        command
    }

    /// Runs the binary to its end.
    pub fn run(&self, arguments: &[&str]) -> Finished {
        finish(self.spawn(arguments))
    }

    /// Starts the binary.
    pub fn spawn(&self, arguments: &[&str]) -> Child {
        let mut command = self.command(arguments);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().expect("binary")
    }

    /// The rows of a query on the test's own database, columns joined by `|`.
    pub fn sql(&self, sql: &str) -> Vec<String> {
        let url = self.get("AIPLAT_MIGRATE_POSTGRES_URL");
        block_on(async { execute(&url, &self.named(sql)).await })
    }

    /// The ledger's rows: `store version state`, in the order of their numbers.
    pub fn ledger(&self) -> Vec<String> {
        self.sql(
            "SELECT store || ' ' || version || ' ' || state FROM aiplat_migrate.ledger ORDER BY id",
        )
    }
}

impl Drop for TestEnv {
    fn drop(&mut self) {
        let url = self.get("AIPLAT_MIGRATE_POSTGRES_URL");
        let admin = with_database(&url, "postgres");
        let drop = format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name);
        let dropped = std::panic::catch_unwind(|| block_on(async { execute(&admin, &drop).await }));
        drop_quietly(dropped);
        let mongo = |(name, _): &&(String, String)| name == "AIPLAT_MIGRATE_MONGO_URL";
        // A test may have pointed it at nobody; then there is nothing to drop.
        if let Some((_, url)) = self.variables.iter().find(mongo)
            && std::env::var("TEST_MONGO_URL")
                .is_ok_and(|set| *url == mongo_as_root(&with_database(&set, &self.name)))
        {
            let dropped = std::panic::catch_unwind(|| {
                block_on(async {
                    let client = mongodb::Client::with_uri_str(url).await.expect("client");
                    client.database(&self.name).drop().await.expect("drop");
                });
            });
            drop_quietly(dropped);
        }
    }
}

/// A test that has failed already must not fail once more while it cleans up.
fn drop_quietly<T>(_: T) {}

/// Waits for a started binary.
pub fn finish(child: Child) -> Finished {
    let output = child.wait_with_output().expect("output");
    Finished {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// A session of PostgreSQL; it ends when the client is dropped.
pub async fn postgres(url: &str) -> tokio_postgres::Client {
    let (client, connection) =
        tokio_postgres::connect(url, tokio_postgres::NoTls).await.expect("PostgreSQL");
    tokio::spawn(connection);
    client
}

async fn execute(url: &str, sql: &str) -> Vec<String> {
    let client = postgres(url).await;
    let messages =
        client.simple_query(sql).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    let mut rows = Vec::new();
    for message in messages {
        if let SimpleQueryMessage::Row(row) = message {
            let columns = (0..row.len()).map(|at| row.get(at).unwrap_or("NULL").to_string());
            rows.push(columns.collect::<Vec<_>>().join("|"));
        }
    }
    rows
}

/// `url` with another database in its path.
pub fn with_database(url: &str, database: &str) -> String {
    let (base, query) = url.split_once('?').unwrap_or((url, ""));
    let scheme = base.find("://").map_or(0, |at| at + 3);
    let end = base[scheme..].find('/').map_or(base.len(), |at| scheme + at);
    let query = if query.is_empty() { String::new() } else { format!("?{query}") };
    format!("{}/{database}{query}", &base[..end])
}

/// The user of the test sets is in `admin`, whatever database the URL names.
fn mongo_as_root(url: &str) -> String {
    match (url.contains("authSource="), url.contains('?')) {
        (true, _) => url.to_string(),
        (false, true) => format!("{url}&authSource=admin"),
        (false, false) => format!("{url}?authSource=admin"),
    }
}
