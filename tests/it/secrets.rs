//! No command shows a secret, wherever it came from and however it ends.
//!
//! The list of commands comes from clap: one that is added and not run here fails the test.

use std::process::Stdio;

use aiplat_migrate::cli::Cli;
use clap::CommandFactory;

use crate::support::{Finished, TestEnv, block_on, finish, postgres, required, unique};

/// Every command with every way of running it that touches something, in an order that makes sense.
const RUNS: &[(&str, &[&[&str]])] = &[
    ("wait", &[&["--timeout", "2s"]]),
    ("plan", &[&[]]),
    (
        "up",
        &[
            &["--dry-run", "--wait", "1s"],
            &["--tag", "first", "--wait", "1s"],
            &["--verify", "--wait", "1s"],
        ],
    ),
    ("status", &[&[]]),
    ("validate", &[&[], &["--offline"]]),
    ("tag", &[&["second"]]),
    ("redo", &[&["--dry-run"], &["--yes"]]),
    ("down", &[&["--dry-run"], &["--all", "--yes"]]),
    ("repair", &[&["--dry-run", "--accept-missing"], &["--accept-missing", "--yes"]]),
    ("history", &[&[]]),
    ("new", &[&["postgres", "one", "more"]]),
    ("hash", &[&[]]),
];

/// What each run is repeated with: all that can be said, in every form that clap knows.
fn forms() -> Vec<Vec<String>> {
    let words = |words: &str| words.split(' ').map(str::to_string).collect();
    let cli = Cli::command();
    let output = cli.get_arguments().find(|argument| argument.get_id() == "output");
    let values = output.expect("--output").get_possible_values();
    let outputs = values.iter().map(|value| value.get_name());
    let in_form = |form: &str| words(&format!("--log-format json --output {form}"));
    [words("-vv"), words("--quiet --help")].into_iter().chain(outputs.map(in_form)).collect()
}

/// A password made of every character that URLs, TOML, shells, JSON and .env files treat in a
/// special way. Whatever encoding it is printed in, its two marks survive.
#[derive(Clone)]
struct Planted {
    marks: Vec<String>,
    text: String,
}

impl Planted {
    fn new() -> Planted {
        let marks = vec![unique("zqa").replace('_', "x"), unique("zqb").replace('_', "x")];
        let text = format!("{}@:/?#%&[]$\"' \\\n{}", marks[0], marks[1]);
        Planted { marks, text }
    }

    /// Without the line break, which MongoDB's SCRAM-SHA-256 and HTTP headers don't take.
    fn on_one_line(mut self) -> Planted {
        self.text = self.text.replace('\n', "");
        self
    }

    /// The value of a secret that the servers of the test set have.
    fn given(text: &str) -> Planted {
        Planted { marks: vec![text.to_string()], text: text.to_string() }
    }

    fn encoded(&self) -> String {
        percent_encoding::utf8_percent_encode(&self.text, percent_encoding::NON_ALPHANUMERIC)
            .to_string()
    }

    /// How a mark may appear: as text, as the bytes of a list, in hexadecimal.
    fn traces(&self) -> impl Iterator<Item = String> {
        self.marks.iter().flat_map(|mark| {
            let bytes: Vec<String> = mark.bytes().map(|byte| byte.to_string()).collect();
            let hex: String = mark.bytes().map(|byte| format!("{byte:02x}")).collect();
            [mark.clone(), bytes.join(", "), hex]
        })
    }
}

#[track_caller]
fn assert_clean(planted: &[&Planted], what: &str, text: &str) {
    for trace in planted.iter().flat_map(|secret| secret.traces()) {
        if let Some(at) = text.find(&trace) {
            let from = text[..at].rfind('\n').map_or(0, |at| at + 1);
            let to = text[at..].find('\n').map_or(text.len(), |end| at + end);
            panic!("{what} shows a secret:\n{}", &text[from..to]);
        }
    }
}

/// A project on all five stores whose users have planted passwords.
struct Project {
    env: TestEnv,
    /// What the binary sees in place of the project's own variables.
    variables: Vec<(String, String)>,
    postgres: Planted,
    mongo: Planted,
    redis: Planted,
    weaviate: Planted,
    kafka: Planted,
}

impl Project {
    fn new() -> Project {
        let env = TestEnv::new().with(&["mongo", "kafka", "redis", "weaviate"]);
        let project = Project {
            postgres: Planted::new(),
            mongo: Planted::new().on_one_line(),
            redis: Planted::new(),
            weaviate: Planted::given(&required("TEST_WEAVIATE_API_KEY")),
            // The brokers of the test set ask for none.
            kafka: Planted::new(),
            variables: Vec::new(),
            env,
        };
        project.create_users();
        project.write_migrations();
        project
    }

    fn planted(&self) -> [&Planted; 5] {
        [&self.postgres, &self.mongo, &self.redis, &self.weaviate, &self.kafka]
    }

    fn create_users(&self) {
        let name = &self.env.name;
        let quoted = self.postgres.text.replace('\'', "''").replace('\\', "\\\\");
        self.env.sql(&format!(
            "CREATE ROLE {name} LOGIN PASSWORD E'{quoted}'; ALTER DATABASE {name} OWNER TO {name}"
        ));
        let mongo = self.env.get("AIPLAT_MIGRATE_MONGO_URL");
        let redis = self.env.get("AIPLAT_MIGRATE_REDIS_URL");
        block_on(async {
            let client = mongodb::Client::with_uri_str(&mongo).await.expect("MongoDB");
            let create = bson::doc! {
                "createUser": name, "pwd": &self.mongo.text,
                "roles": [{ "role": "root", "db": "admin" }],
            };
            client.database("admin").run_command(create).await.expect("a user of MongoDB");
            let client = redis::Client::open(redis).expect("Redis");
            let mut redis = client.get_multiplexed_async_connection().await.expect("Redis");
            let password = format!(">{}", self.redis.text);
            let rules = ["ACL", "SETUSER", name, "on", "~*", "&*", "+@all", &password];
            let mut command = redis::cmd(rules[0]);
            for rule in &rules[1..] {
                command.arg(rule);
            }
            command.query_async::<()>(&mut redis).await.expect("a user of Redis");
        });
    }

    fn write_migrations(&self) {
        let env = &self.env;
        env.file("migrations/postgres/V1__a.sql", "create table a (id int);");
        env.file("migrations/postgres/U1__a.sql", "drop table a;");
        env.file("migrations/mongo/V1__a.json5", "{ steps: [{ create: 'a' }] }");
        env.file(
            "migrations/redis/V1__a.json5",
            "{ steps: [{ keyspace: { pattern: 'NAME:{id}', type: 'hash', ttl: '1h', purpose: 'x' } }] }",
        );
        env.file(
            "migrations/kafka/V1__a.json5",
            "{ steps: [{ createTopic: { name: 'NAME', partitions: 1, replicationFactor: 1 } }] }",
        );
        env.file(
            "migrations/weaviate/V1__a.json5",
            "{ steps: [{ createClass: { class: 'Name', vectorizer: 'none' } }] }",
        );
    }

    fn set(&mut self, name: &str, value: &str) {
        self.variables.push((format!("AIPLAT_MIGRATE_{name}"), value.to_string()));
    }

    /// The address of a store of the test set, without user and password.
    fn bare(&self, store: &str) -> String {
        let url = self.env.get(&format!("AIPLAT_MIGRATE_{store}_URL"));
        let (scheme, rest) = url.split_once("://").expect("a URL");
        let (_, rest) = rest.split_once('@').expect("a user");
        format!("{scheme}://{rest}")
    }

    /// Users and addresses apart from the passwords.
    fn set_users(&mut self) {
        for store in ["POSTGRES", "MONGO", "REDIS"] {
            let (url, user) = (self.bare(store), self.env.name.clone());
            self.set(&format!("{store}_URL"), &url);
            self.set(&format!("{store}_USER"), &user);
        }
    }

    /// The variables, without their common prefix, and the secrets that belong in them.
    fn passwords(&self) -> [(&'static str, &Planted); 4] {
        [
            ("POSTGRES_PASSWORD", &self.postgres),
            ("MONGO_PASSWORD", &self.mongo),
            ("REDIS_PASSWORD", &self.redis),
            ("WEAVIATE_API_KEY", &self.weaviate),
        ]
    }

    /// Runs every command in every form and looks at all that it prints; `expect` says whether
    /// the commands that contact a store succeed.
    #[track_caller]
    fn run_all(&self, works: bool) {
        let named: Vec<&str> = RUNS.iter().map(|(name, _)| *name).collect();
        for command in Cli::command().get_subcommands() {
            let name = command.get_name();
            assert!(named.contains(&name), "`{name}` is new: say in RUNS how to run it");
        }
        for (name, runs) in RUNS {
            for run in *runs {
                for (at, form) in forms().iter().enumerate() {
                    let form: Vec<&str> = form.iter().map(String::as_str).collect();
                    let arguments = [&[*name], *run, &form].concat();
                    let ended = self.looked_at(&arguments);
                    let asks = !matches!(*name, "new" | "hash") && !run.contains(&"--offline");
                    // What was done in one form may be refused in the next: a tag is given once.
                    match (asks && !works, at) {
                        (_, 1..) => {
                            assert!(
                                (0..=6).contains(&ended.code),
                                "{arguments:?}: {}",
                                told(&ended)
                            )
                        }
                        (false, 0) => assert_eq!(ended.code, 0, "{arguments:?}: {}", told(&ended)),
                        (true, 0) => {
                            assert!(
                                (1..=6).contains(&ended.code),
                                "{arguments:?}: {}",
                                told(&ended)
                            )
                        }
                    }
                }
            }
        }
    }

    /// Runs the binary with everything logged, and looks at its output and at its arguments.
    #[track_caller]
    fn looked_at(&self, arguments: &[&str]) -> Finished {
        let left = ["metrics", "termination-log"].map(|name| self.env.path().join(name));
        let mut command = self.env.command(arguments);
        command.arg("--metrics-file").arg(&left[0]).arg("--termination-log").arg(&left[1]);
        command.env("AIPLAT_MIGRATE_LOG", "trace").env("RUST_BACKTRACE", "1");
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = command.spawn().expect("binary");
        let cmdline = std::fs::read(format!("/proc/{}/cmdline", child.id())).expect("arguments");
        let ended = finish(child);
        let what = format!("{arguments:?}");
        let planted = self.planted();
        assert_clean(
            &planted,
            &format!("the arguments of {what}"),
            &String::from_utf8_lossy(&cmdline),
        );
        assert_clean(&planted, &format!("the output of {what}"), &ended.stdout);
        assert_clean(&planted, &format!("the log of {what}"), &ended.stderr);
        for file in left {
            let text = std::fs::read_to_string(&file).unwrap_or_default();
            let helped = arguments.contains(&"--help");
            let expected = ended.code != 0 || file.ends_with("metrics");
            assert!(helped || !expected || !text.is_empty(), "{what} left no {}", file.display());
            assert_clean(&planted, &format!("{} of {what}", file.display()), &text);
        }
        ended
    }

    /// Looks at every row of every table of the ledger, events included.
    #[track_caller]
    fn look_at_ledger(&self) {
        let tables = self.ledger_sql(
            "SELECT table_name FROM information_schema.tables WHERE table_schema = 'aiplat_migrate'",
        );
        assert!(tables.iter().any(|table| table == "event"), "{tables:?}");
        for table in tables {
            let rows = self.ledger_sql(&format!("SELECT t::text FROM aiplat_migrate.{table} t"));
            assert!(table != "event" || !rows.is_empty(), "no events");
            assert_clean(&self.planted(), &format!("the table {table}"), &rows.join("\n"));
        }
    }

    fn ledger_sql(&self, sql: &str) -> Vec<String> {
        let url = self.env.get("AIPLAT_MIGRATE_POSTGRES_URL");
        block_on(async {
            let rows = postgres(&url).await.query(sql, &[]).await.expect("rows");
            rows.iter().map(|row| row.get::<_, String>(0)).collect()
        })
    }
}

impl Drop for Project {
    fn drop(&mut self) {
        let name = self.env.name.clone();
        let postgres_url = self.env.get("AIPLAT_MIGRATE_POSTGRES_URL");
        let give_back = format!(
            "REASSIGN OWNED BY {name} TO CURRENT_USER; DROP OWNED BY {name}; DROP ROLE {name}"
        );
        block_on(async {
            let _ = postgres(&postgres_url).await.batch_execute(&give_back).await;
            if let Ok(client) = redis::Client::open(required("TEST_REDIS_URL"))
                && let Ok(mut redis) = client.get_multiplexed_async_connection().await
            {
                let _ =
                    redis::cmd("ACL").arg("DELUSER").arg(&name).query_async::<()>(&mut redis).await;
            }
            if let Ok(client) = mongodb::Client::with_uri_str(required("TEST_MONGO_URL")).await {
                let remove = bson::doc! { "dropUser": &name };
                let _ = client.database("admin").run_command(remove).await;
            }
        });
    }
}

/// What was said besides the log of the drivers.
fn told(ended: &Finished) -> String {
    let lines =
        ended.stderr.lines().filter(|line| !line.contains("TRACE") && !line.contains("DEBUG"));
    format!("{}\n{}", ended.stdout, lines.collect::<Vec<_>>().join("\n"))
}

#[test]
fn from_variables() {
    let mut project = Project::new();
    project.set_users();
    for (variable, secret) in project.passwords().map(|(name, secret)| (name, secret.clone())) {
        project.set(variable, &secret.text);
    }
    project.run_all(true);
    project.look_at_ledger();
}

#[test]
fn from_urls() {
    let mut project = Project::new();
    let user = project.env.name.clone();
    for (store, secret) in
        [("POSTGRES", &project.postgres), ("MONGO", &project.mongo), ("REDIS", &project.redis)]
            .map(|(store, secret)| (store, secret.clone()))
    {
        let url =
            project.bare(store).replacen("://", &format!("://{user}:{}@", secret.encoded()), 1);
        project.set(&format!("{store}_URL"), &url);
    }
    project.run_all(true);
    project.look_at_ledger();
}

#[test]
fn from_files() {
    let mut project = Project::new();
    project.set_users();
    for (variable, secret) in project.passwords().map(|(name, secret)| (name, secret.clone())) {
        let file = project.env.path().join(variable.to_lowercase());
        // An editor ends the file with a line break, which is none of the password's.
        std::fs::write(&file, format!("{}\n", secret.text)).expect("a file");
        restrict(&file);
        project.set(&format!("{variable}_FILE"), &file.display().to_string());
    }
    project.set("WEAVIATE_API_KEY", "");
    project.run_all(true);
    project.look_at_ledger();
}

#[test]
fn from_the_settings_file() {
    let mut project = Project::new();
    project.set_users();
    let mut text = String::new();
    for (variable, secret) in project.passwords() {
        let (section, key) = variable.split_once('_').expect("a section");
        let value = toml::Value::String(secret.text.clone());
        text.push_str(&format!("{}.{} = {value}\n", section.to_lowercase(), key.to_lowercase()));
    }
    let file = project.env.file("aiplat-migrate.toml", "");
    std::fs::write(&file, text).expect("a file");
    restrict(&file);
    // The key of the test set would come before the file's.
    project.set("WEAVIATE_API_KEY", "");
    project.run_all(true);
    project.look_at_ledger();
}

fn restrict(file: &std::path::Path) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o600)).expect("a mode");
}

#[test]
fn where_the_passwords_are_wrong() {
    let mut project = Project::new();
    project.set_users();
    for secret in [&mut project.postgres, &mut project.redis, &mut project.weaviate] {
        *secret = Planted::new();
    }
    project.mongo = Planted::new().on_one_line();
    project.weaviate = Planted::new().on_one_line();
    for (variable, secret) in project.passwords().map(|(name, secret)| (name, secret.clone())) {
        project.set(variable, &secret.text);
    }
    project.run_all(false);
    let ended = project.looked_at(&["wait", "--timeout", "30s"]);
    assert_eq!(ended.code, 2, "at once, and as what it is: {ended:?}");
    for store in ["PostgreSQL", "MongoDB", "Weaviate", "Redis"] {
        assert!(ended.stderr.contains(&format!("{store} at ")), "{store}: {}", ended.stderr);
    }
}

#[test]
fn where_the_hosts_are_wrong() {
    let mut project = Project::new();
    let user = project.env.name.clone();
    for (store, secret, scheme) in [
        ("POSTGRES", &project.postgres, "postgres"),
        ("MONGO", &project.mongo, "mongodb"),
        ("REDIS", &project.redis, "redis"),
    ]
    .map(|(store, secret, scheme)| (store, secret.encoded(), scheme))
    {
        // Nothing listens on port 1.
        project.set(&format!("{store}_URL"), &format!("{scheme}://{user}:{secret}@127.0.0.1:1/0"));
        project.set(&format!("{store}_CONNECT_TIMEOUT"), "500ms");
    }
    let (weaviate, kafka) = (project.weaviate.text.clone(), project.kafka.text.clone());
    project.set("WEAVIATE_URL", "http://127.0.0.1:1");
    project.set("WEAVIATE_API_KEY", &weaviate);
    project.set("KAFKA_BROKERS", "127.0.0.1:1");
    project.set("KAFKA_SECURITY_PROTOCOL", "sasl_plaintext");
    project.set("KAFKA_SASL_MECHANISM", "PLAIN");
    project.set("KAFKA_USER", &user);
    project.set("KAFKA_PASSWORD", &kafka);
    project.set("KAFKA_CONNECT_TIMEOUT", "500ms");
    project.run_all(false);
    let ended = project.looked_at(&["wait", "--timeout", "1s"]);
    assert_eq!(ended.code, 6, "{ended:?}");
}

/// A password put into a URL as it is ends the URL's host in the wrong place, or makes it no URL.
#[test]
fn where_the_urls_are_malformed() {
    let mut project = Project::new();
    for (store, secret, scheme) in [
        ("POSTGRES", &project.postgres, "postgres"),
        ("MONGO", &project.mongo, "mongodb"),
        ("REDIS", &project.redis, "redis"),
        ("WEAVIATE", &project.kafka, "http"),
    ]
    .map(|(store, secret, scheme)| (store, secret.text.clone(), scheme))
    {
        project.set(&format!("{store}_URL"), &format!("{scheme}://user:{secret}@127.0.0.1/0"));
        project.set(&format!("{store}_CONNECT_TIMEOUT"), "500ms");
    }
    project.run_all(false);
}

/// Placeholders whose values come from files are passwords of users that migrations make.
#[test]
fn what_placeholders_hold_is_neither_shown_nor_stored() {
    let secret = Planted::new().on_one_line();
    let mut project = Project::new();
    let file = project.env.path().join("app_password");
    std::fs::write(&file, &secret.text).expect("a file");
    restrict(&file);
    project.set("PLACEHOLDER_APP_PASSWORD_FILE", &file.display().to_string());
    let name = project.env.name.clone();
    project.postgres = secret.clone();
    project.env.file(
        "migrations/postgres/V2__role.sql",
        "-- placeholders: on\ncreate role NAME_p login password $p$ ${app_password}$p$;",
    );
    project.env.file(
        "migrations/mongo/V2__user.json5",
        "{ steps: [{ createUser: 'NAME_p', pwd: '${app_password}', roles: [] }] }",
    );
    project.env.file(
        "migrations/redis/V2__user.json5",
        "{ steps: [{ acl: { user: 'NAME_p', rules: ['on', '>${app_password}', '~x'] } }] }",
    );
    for arguments in [&["plan"][..], &["up", "-vv"], &["validate"], &["status"], &["history"]] {
        let ended = project.looked_at(arguments);
        assert_eq!(ended.code, 0, "{arguments:?}: {}", told(&ended));
        if arguments[0] != "plan" {
            project.look_at_ledger();
        }
    }
    // Each store repeats a part of what it refuses.
    for (file, text) in [
        ("postgres/V3__cast", "-- placeholders: on\nselect $p$ ${app_password}$p$::int;"),
        ("postgres/V3__drop", "-- placeholders: on\ndrop table \"NAME ${app_password}\";"),
        ("postgres/V3__parse", "-- placeholders: on\nselect $p$x$p$ ${app_password};"),
        (
            "postgres/V3__notice",
            "-- placeholders: on\ndo $d$ begin raise notice $p$ ${app_password}$p$; raise exception $p$ ${app_password}$p$; end $d$;",
        ),
        (
            "postgres/V3__apart",
            "-- placeholders: on\n-- transaction: off\nselect $p$ ${app_password}$p$::int;",
        ),
        ("mongo/V3__command", "{ steps: [{ create: 'b', '${app_password}': 1 }] }"),
        (
            "mongo/V3__name",
            "{ steps: [{ createIndexes: 'a', indexes: [{ key: { x: '${app_password}' }, name: 'n' }] }] }",
        ),
        (
            "redis/V3__command",
            "{ steps: [{ command: ['XGROUP', 'CREATE', '${app_password}', '${app_password}', '$'] }] }",
        ),
        ("redis/V3__acl", "{ steps: [{ acl: { user: 'NAME_p', rules: ['${app_password}'] } }] }"),
        (
            "kafka/V3__topic",
            "{ steps: [{ createTopic: { name: 'NAME2', partitions: 1, replicationFactor: 1, configs: { 'retention.ms': '${app_password}' } } }] }",
        ),
        (
            "weaviate/V3__class",
            "{ steps: [{ createClass: { class: 'Name2', vectorizer: '${app_password}' } }] }",
        ),
    ] {
        let extension = if file.starts_with("postgres") { "sql" } else { "json5" };
        let path = format!("migrations/{file}.{extension}");
        project.env.file(&path, text);
        for arguments in [&["plan"][..], &["up", "-vv"], &["status", "--output", "json"]] {
            let ended = project.looked_at(arguments);
            assert!(arguments[0] != "up" || ended.code != 0, "{file}: {ended:?}");
            project.look_at_ledger();
        }
        project.env.remove(&path);
        project.env.sql("DELETE FROM aiplat_migrate.ledger WHERE version = '3'");
    }
    project.env.sql(&format!("DROP ROLE IF EXISTS {name}_p"));
}

/// What a store says before anything is undone is said by the same store that hides secrets later.
#[test]
fn a_look_at_what_would_be_lost_hides_placeholders() {
    let secret = Planted::given(&unique("zqs"));
    let mut env = TestEnv::new();
    let file = env.path().join("table_name");
    std::fs::write(&file, &secret.text).expect("a file");
    restrict(&file);
    env = env.set("AIPLAT_MIGRATE_PLACEHOLDER_TABLE_NAME_FILE", &file.display().to_string());
    env.sql(&format!("CREATE TABLE {0} (a int); INSERT INTO {0} VALUES (1)", secret.text));
    env.file("migrations/postgres/V1__one.sql", "select 1;");
    env.file("migrations/postgres/U1__one.sql", "-- placeholders: on\ndrop table ${table_name};");
    env.run(&["up"]).expect(0);
    for arguments in [&["down", "--dry-run"][..], &["down", "--yes"]] {
        let ended = env.run(arguments);
        assert!(told(&ended).contains("holds 1 row"), "{}", told(&ended));
        assert_clean(&[&secret], "down", &told(&ended));
    }
    assert_eq!(env.sql(&format!("SELECT count(*) FROM {}", secret.text)), ["1"]);
}
