use std::fs;
use std::path::Path;

use super::*;

/// Every character that URLs, TOML, shells and .env files treat in a special way.
const HARD: &str = "p@:/?#%&[]$\"' \\{}=,;\nsecond line`é";

fn environment(directory: &Path, variables: &[(&str, &str)]) -> Environment {
    with_dotenv(directory, variables, "").expect("an environment")
}

fn with_dotenv(directory: &Path, variables: &[(&str, &str)], dotenv: &str) -> Result<Environment> {
    let variables = variables.iter().map(|(name, value)| (name.to_string(), value.to_string()));
    Environment::new(directory, variables, dotenv)
}

fn load(file: &str, variables: &[(&str, &str)]) -> Result<Config> {
    load_profile(file, None, variables)
}

fn load_profile(file: &str, profile: Option<&str>, variables: &[(&str, &str)]) -> Result<Config> {
    let project = tempfile::tempdir().expect("a folder");
    fs::write(project.path().join(FILE_NAME), file).expect("written");
    let options = Options { config: None, profile: profile.map(str::to_string) };
    Config::load(&options, &environment(project.path(), variables))
}

fn postgres(config: &Config) -> &crate::postgres::Settings {
    config.stores[&StoreKind::of_test("postgres")].endpoint().expect("its settings")
}

fn redis(config: &Config) -> &crate::stores::redis::Settings {
    config.stores[&StoreKind::of_test("redis")].endpoint().expect("its settings")
}

fn kafka(config: &Config) -> &crate::stores::kafka::Settings {
    config.stores[&StoreKind::of_test("kafka")].endpoint().expect("its settings")
}

/// All that an error shows, in one line per part.
fn shown(error: &Error) -> String {
    let mut lines = vec![error.to_string()];
    lines.extend(error.parts().place.iter().map(|place| format!("| {}", place.text)));
    lines.extend(error.parts().hints.iter().map(|hint| format!("hint: {hint}")));
    lines.extend(error.parts().others.iter().map(shown));
    lines.join("\n")
}

fn refused(file: &str, variables: &[(&str, &str)]) -> String {
    let error = load(file, variables).expect_err("refused");
    assert_eq!(error.exit().code(), 2);
    shown(&error)
}

const URL: (&str, &str) = ("DATABASE_URL", "postgres://u:hunter2@db/app");

#[test]
fn database_url_alone_is_enough() {
    let folder = tempfile::tempdir().expect("a folder");
    let config =
        Config::load(&Options::default(), &environment(folder.path(), &[URL])).expect("configured");
    assert_eq!(postgres(&config).url.expose(), URL.1);
    assert_eq!(config.ledger.database.url.expose(), URL.1);
    assert_eq!(config.ledger.schema, "aiplat_migrate");
    assert_eq!(config.lock_wait, Duration::from_secs(60));
    assert_eq!(config.root, folder.path());
    assert_eq!(config.migrations_dir, folder.path().join("migrations"));
    assert_eq!(config.folders.len(), 5);
    assert_eq!(config.folders[3].shown, "migrations/kafka");
    assert_eq!(config.stores.len(), 1);
    assert!(config.warnings.is_empty(), "{:?}", config.warnings);
}

#[test]
fn database_url_gives_way_to_all_that_says_where_postgres_is() {
    let host = load("postgres.host = 'here'", &[URL]).expect("configured");
    assert!(postgres(&host).url.is_empty());
    let url = load("", &[URL, ("AIPLAT_MIGRATE_POSTGRES_URL", "postgres://there")]);
    assert_eq!(postgres(&url.expect("configured")).url.expose(), "postgres://there");
    let password = load("", &[URL, ("AIPLAT_MIGRATE_POSTGRES_PASSWORD", "other")]);
    let password = password.expect("configured");
    assert_eq!(postgres(&password).url.expose(), URL.1);
    assert_eq!(postgres(&password).password.expose(), "other");

    let elsewhere = load("ledger.url = 'postgres://l'\nkafka.brokers = 'k'", &[URL]);
    let elsewhere = elsewhere.expect("configured");
    assert!(!elsewhere.stores.contains_key(&StoreKind::of_test("postgres")));
    assert_eq!(elsewhere.warnings, ["DATABASE_URL is not used, because `ledger.url` is set"]);
}

#[test]
fn a_database_url_of_another_database_is_not_taken() {
    insta::assert_snapshot!(refused("", &[("DATABASE_URL", "mysql://root:hunter2@db")]), @r"
    no store is configured: DATABASE_URL is not used: it does not begin with postgres://
    hint: set DATABASE_URL=postgres://user:password@host:5432/database
    hint: or, for any of the stores, AIPLAT_MIGRATE_POSTGRES_URL, AIPLAT_MIGRATE_MONGO_URL, AIPLAT_MIGRATE_WEAVIATE_URL, AIPLAT_MIGRATE_KAFKA_BROKERS, AIPLAT_MIGRATE_REDIS_URL, or the same in aiplat-migrate.toml
    ");
}

#[test]
fn the_ledger_needs_one_place() {
    insta::assert_snapshot!(refused("", &[("AIPLAT_MIGRATE_KAFKA_BROKERS", "k:9092")]), @r"
    no ledger: the history is kept in PostgreSQL, and nothing says where that is
    hint: set DATABASE_URL or AIPLAT_MIGRATE_POSTGRES_URL, if PostgreSQL is one of the stores
    hint: otherwise set AIPLAT_MIGRATE_LEDGER_URL, or `url` under [ledger] in aiplat-migrate.toml
    ");
    let both = "[postgres]\nhost = 'a'\n[ledger]\nurl = 'postgres://u:hunter2@b'\n";
    insta::assert_snapshot!(refused(both, &[]), @r"
    aiplat-migrate.toml:4:1: `ledger.url` is set, but so is the postgres store, in whose database the ledger is
    | url
    hint: unset one: [ledger] is for projects without a postgres store
    ");
    let config = load(
        "kafka.brokers = ['a:1', 'b:2']\n[ledger]\nhost = 'l'\nschema = 'history'\n",
        &[("AIPLAT_MIGRATE_LEDGER_PASSWORD", HARD)],
    )
    .expect("configured");
    assert_eq!(kafka(&config).brokers, "a:1,b:2");
    assert_eq!(config.ledger.database.host.as_deref(), Some("l"));
    assert_eq!(config.ledger.database.password.expose(), HARD);
    assert_eq!(config.ledger.schema, "history");
    for wrong in ["", "History", "1a", "a b", "a\"; drop", &"a".repeat(64)] {
        let file = format!("[ledger]\nschema = '{wrong}'\n");
        assert_eq!(load(&file, &[URL]).is_err(), !wrong.is_empty(), "{wrong}");
    }
}

#[test]
fn environment_then_dotenv_then_profile_then_file() {
    let project = tempfile::tempdir().expect("a folder");
    let file = "lock_wait = '1s'\n[postgres]\nhost = 'file'\nport = 1\nuser = 'file'\n\
                database = 'file'\n[profile.prod]\nlock_wait = 2\n\
                [profile.prod.postgres]\nport = 2\nuser = 'profile'\ndatabase = 'profile'\n";
    fs::write(project.path().join(FILE_NAME), file).expect("written");
    let environment = with_dotenv(
        project.path(),
        &[
            ("AIPLAT_MIGRATE_POSTGRES_DATABASE", "environment"),
            ("AIPLAT_MIGRATE_POSTGRES_HOST", ""),
            ("AIPLAT_MIGRATE_PROFILE", "prod"),
        ],
        "AIPLAT_MIGRATE_POSTGRES_DATABASE=dotenv\nexport AIPLAT_MIGRATE_POSTGRES_USER='dotenv'\n",
    );
    let config = Config::load(&Options::default(), &environment.expect("an environment"));
    let config = config.expect("configured");
    let settings = postgres(&config);
    assert_eq!(settings.host.as_deref(), Some("file"), "an empty variable is not set");
    assert_eq!(settings.port, Some(2));
    assert_eq!(settings.user.as_deref(), Some("dotenv"));
    assert_eq!(settings.database.as_deref(), Some("environment"));
    assert_eq!(config.lock_wait, Duration::from_secs(2));
}

#[test]
fn every_key_reaches_its_setting_from_its_variable() {
    let rows = documented();
    let ours = |row: &&Documented| row.section != "ledger" && row.section != "placeholders";
    // Each its own, so that none can stand in for another.
    let value = |row: &Documented| {
        let number = 1000 + rows.iter().position(|other| other == row).unwrap_or_default();
        match (row.section, row.key) {
            ("weaviate", "url") => "http://w:8080".to_string(),
            ("postgres", "url") => "postgres://u:p1@h/d".to_string(),
            ("mongo", "url") => "mongodb://u:p2@h/d".to_string(),
            ("redis", "url") => "redis://u:p3@h/0".to_string(),
            ("postgres", "sslmode") => "verify-full".to_string(),
            ("kafka", "security_protocol") => "SASL_SSL".to_string(),
            ("kafka", "sasl_mechanism") => "SCRAM-SHA-512".to_string(),
            ("postgres", "shape") => "owners".to_string(),
            (_, "port") | ("redis", "database") => number.to_string(),
            (_, "tls" | "cluster") => "1".to_string(),
            (_, key) if key.ends_with("timeout") || key == "lock_wait" => format!("{number}s"),
            (section, key) => format!("{section}_{key}"),
        }
    };
    let variables: Vec<(String, String)> =
        rows.iter().filter(ours).map(|row| (row.variable.clone(), value(row))).collect();
    let environment = Environment::new("/p", variables, "").expect("an environment");
    let config = Config::load(&Options::default(), &environment).expect("configured");

    // Debug shows every field that is no secret.
    let debug = format!("{config:?}");
    for row in rows.iter().filter(ours).filter(|row| !row.secret) {
        let expected = match value(row).as_str() {
            "1" => "true".to_string(),
            "owners" => "[Owners]".to_string(),
            other => other.to_string(),
        };
        assert!(debug.contains(&expected), "{}.{}: {debug}", row.section, row.key);
    }
    for row in rows.iter().filter(ours).filter(|row| row.secret) {
        assert!(!debug.contains(&value(row)), "{}.{}", row.section, row.key);
    }
    assert_eq!(postgres(&config).password.expose(), "postgres_password");
    assert_eq!(postgres(&config).tls_files.ca_file, Some("/p/postgres_ca_file".into()));
    assert_eq!(redis(&config).sentinel_password.expose(), "redis_sentinel_password");
    assert_eq!(redis(&config).sentinels, ["redis_sentinels"]);
    assert_eq!((redis(&config).tls, redis(&config).cluster), (Some(true), true));
    assert_eq!(kafka(&config).password.expose(), "kafka_password");
    assert_eq!(config.folders[1].shown, "mongo_dir");
}

#[test]
fn documented_names_are_unique_and_told_apart_from_files() {
    let mut names = Vec::new();
    for row in documented() {
        assert!(row.meaning.ends_with('.'), "{}: {}", row.variable, row.meaning);
        assert_eq!(row.secret, row.file_variable.is_some() && row.section != "placeholders");
        names.push(row.variable);
        names.extend(row.file_variable);
    }
    let count = names.len();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), count);
    assert!(names.contains(&"AIPLAT_MIGRATE_WEAVIATE_API_KEY_FILE".to_string()));
    assert!(names.contains(&"AIPLAT_MIGRATE_LEDGER_SCHEMA".to_string()));
}

#[test]
fn any_character_in_a_password_works() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("password"), format!("{HARD}\n")).expect("written");
    let path = folder.path().join("password").display().to_string();
    let by_variable = load("redis.host='r'", &[URL, ("AIPLAT_MIGRATE_REDIS_PASSWORD", HARD)]);
    assert_eq!(redis(&by_variable.expect("configured")).password.expose(), HARD);
    let by_file = [URL, ("AIPLAT_MIGRATE_REDIS_PASSWORD_FILE", path.as_str())];
    let by_file = load("redis.host='r'", &by_file).expect("configured");
    assert_eq!(redis(&by_file).password.expose(), HARD);
    let by_key = format!("redis.host='r'\nredis.password_file='{path}'");
    assert_eq!(redis(&load(&by_key, &[URL]).expect("configured")).password.expose(), HARD);
    let quoted = format!("redis.host='r'\nredis.password={}", toml::Value::from(HARD));
    assert_eq!(redis(&load(&quoted, &[URL]).expect("configured")).password.expose(), HARD);
    assert!(!format!("{by_file:?}").contains("second line"));
}

#[test]
fn one_newline_at_the_end_of_a_secret_file_is_not_the_secret_s() {
    let folder = tempfile::tempdir().expect("a folder");
    for (text, secret) in
        [("a", "a"), ("a\n", "a"), ("a\r\n", "a"), ("a\n\n", "a\n"), (" a ", " a ")]
    {
        fs::write(folder.path().join("s"), text).expect("written");
        let variables = [
            URL,
            ("AIPLAT_MIGRATE_KAFKA_PASSWORD_FILE", "s"),
            ("AIPLAT_MIGRATE_KAFKA_BROKERS", "k"),
        ];
        let config = Config::load(&Options::default(), &environment(folder.path(), &variables));
        assert_eq!(kafka(&config.expect("configured")).password.expose(), secret);
    }
}

#[test]
fn secret_files_that_cannot_be_used_are_named() {
    let missing = ("AIPLAT_MIGRATE_POSTGRES_PASSWORD_FILE", "/nowhere/password");
    insta::assert_snapshot!(refused("", &[URL, missing]), @"AIPLAT_MIGRATE_POSTGRES_PASSWORD_FILE names /nowhere/password, which cannot be used: No such file or directory (os error 2)");
    let both = [URL, missing, ("AIPLAT_MIGRATE_POSTGRES_PASSWORD", "hunter2")];
    insta::assert_snapshot!(refused("", &both), @r"
    AIPLAT_MIGRATE_POSTGRES_PASSWORD_FILE and AIPLAT_MIGRATE_POSTGRES_PASSWORD are both set
    hint: keep one of the two
    ");
    let both = "[redis]\nurl = 'redis://:hunter2@r'\nurl_file = 'x'\n";
    assert!(refused(both, &[URL]).contains("are both set"));
    assert!(load("[postgres]\npassword_file = '/nowhere'\n", &[both_wins(), URL]).is_ok());
}

/// The environment's form wins over the other form in the file, which is then not even read.
fn both_wins() -> (&'static str, &'static str) {
    ("AIPLAT_MIGRATE_POSTGRES_PASSWORD", "hunter2")
}

#[test]
fn unknown_variables_are_errors_with_the_nearest_name() {
    insta::assert_snapshot!(refused("", &[URL, ("AIPLAT_MIGRATE_POSTGRES_PASWORD", "hunter2")]), @r"
    AIPLAT_MIGRATE_POSTGRES_PASWORD is no variable of aiplat-migrate
    hint: did you mean AIPLAT_MIGRATE_POSTGRES_PASSWORD?
    ");
    for fine in [
        ("AIPLAT_MIGRATE_LOG", "debug"),
        ("AIPLAT_MIGRATE_FAIL_AT", "x"),
        ("AIPLAT_MIGRATE_TEST_POSTGRES", "x"),
        ("AIPLAT_MIGRATION", "not ours"),
    ] {
        assert!(load("", &[URL, fine]).is_ok(), "{fine:?}");
    }
}

#[test]
fn what_kubernetes_sets_for_services_is_not_ours() {
    let links = [
        URL,
        ("AIPLAT_MIGRATE_SERVICE_HOST", "10.0.0.1"),
        ("AIPLAT_MIGRATE_PORT", "tcp://10.0.0.1:80"),
        ("AIPLAT_MIGRATE_POSTGRES_PORT", "tcp://10.0.0.2:5432"),
        ("AIPLAT_MIGRATE_POSTGRES_PORT_5432_TCP", "tcp://10.0.0.2:5432"),
        ("AIPLAT_MIGRATE_POSTGRES_PORT_5432_TCP_ADDR", "10.0.0.2"),
        ("AIPLAT_MIGRATE_POSTGRES_PORT_5432_TCP_PROTO", "tcp"),
        ("AIPLAT_MIGRATE_POSTGRES_SERVICE_PORT", "5432"),
        ("AIPLAT_MIGRATE_REDIS_MASTER_SERVICE_PORT_TCP_REDIS", "6379"),
    ];
    assert_eq!(postgres(&load("", &links).expect("configured")).port, None);
    assert!(load("", &[URL, ("AIPLAT_MIGRATE_PORT", "5432")]).is_err());
}

#[test]
fn unknown_keys_and_wrong_types_are_named_with_their_line_and_never_their_value() {
    let file = "\
lock_wiat = 'hunter2'
[postgres]
pasword = 'hunter2'
port = 'hunter2'
password = 12345678
[kafka]
xyzzy = 'hunter2'
brokers = [1]
[redis]
tls = 'hunter2'
[mongodb]
url = 'hunter2'
[placeholders]
list = ['hunter2']
[profile.prod]
weaviate = { api_key = 'hunter2', urll = 'hunter2' }
";
    let shown = refused(file, &[]);
    assert!(!shown.contains("hunter2") && !shown.contains("12345678"), "{shown}");
    insta::assert_snapshot!(shown, @r"
    aiplat-migrate.toml:1:1: `lock_wiat` is no section or key
    | lock_wiat
    hint: did you mean `lock_wait`?
    aiplat-migrate.toml:3:1: `postgres.pasword` is no key
    | pasword
    hint: did you mean `password`?
    aiplat-migrate.toml:4:1: `postgres.port` is a string
    | port
    hint: write a port number, from 1 to 65535
    aiplat-migrate.toml:5:1: `postgres.password` is an integer
    | password
    hint: write a string, in quotes
    aiplat-migrate.toml:7:1: `kafka.xyzzy` is no key
    | xyzzy
    hint: the keys of [kafka] are brokers, security_protocol, sasl_mechanism, user, password, password_file, operation_timeout, ca_file, cert_file, key_file, connect_timeout, dir
    aiplat-migrate.toml:8:1: `kafka.brokers` is a list
    | brokers
    hint: write a list of strings, or one string parted by commas
    aiplat-migrate.toml:10:1: `redis.tls` is a string
    | tls
    hint: write true or false
    aiplat-migrate.toml:11:2: `mongodb` is no section or key
    |  mongodb
    hint: did you mean `mongo`?
    aiplat-migrate.toml:14:1: `placeholders.list` is a list
    | list
    hint: write a string, a number, or true or false
    aiplat-migrate.toml:16:35: `profile.prod.weaviate.urll` is no key
    |                                   urll
    hint: did you mean `url`?
    ");
}

#[test]
fn values_that_cannot_be_used_are_never_shown() {
    for (name, value) in [
        ("AIPLAT_MIGRATE_POSTGRES_PORT", "hunter2"),
        ("AIPLAT_MIGRATE_POSTGRES_PORT", "0"),
        ("AIPLAT_MIGRATE_POSTGRES_PORT", "70000"),
        ("AIPLAT_MIGRATE_POSTGRES_HOST", "postgres://u:hunter2@h/d"),
        ("AIPLAT_MIGRATE_POSTGRES_HOST", "u:hunter2@h"),
        ("AIPLAT_MIGRATE_POSTGRES_CONNECT_TIMEOUT", "hunter2"),
        ("AIPLAT_MIGRATE_LOCK_WAIT", "hunter2"),
        ("AIPLAT_MIGRATE_WEAVIATE_URL", "http://u:hunter2@w"),
        ("AIPLAT_MIGRATE_KAFKA_BROKERS", "u:hunter2@k:9092"),
        ("AIPLAT_MIGRATE_LEDGER_SCHEMA", "Hunter2"),
    ] {
        let shown = refused("", &[URL, (name, value)]);
        assert!(shown.starts_with(name) && shown.contains("hint: "), "{shown}");
        assert!(!shown.to_lowercase().contains("hunter2"), "{shown}");
    }
}

#[test]
fn text_that_is_not_toml_is_placed_and_not_shown() {
    for wrong in [
        "[postgres]\npassword = hunter2\n",
        "[postgres]\npassword = \"hunter2\n",
        "[postgres]\nurl = 'postgres://u:hunter2@h' x\n",
        "[postgres]\nurl = \"postgres://u:hunter2\\q@h\"\n",
        "[postgres]\npassword = 'a'\npassword = 'hunter2'\n",
        "[postgres\npassword = 'hunter2'",
        "postgres = { password = 'hunter2', }}",
        "[postgres]\npassword = \"\"\"hunter2",
        "postgres://u:hunter2@h",
    ] {
        let shown = refused(wrong, &[URL]);
        assert!(shown.starts_with("aiplat-migrate.toml:"), "{shown}");
        assert!(shown.contains("this is not TOML: "), "{shown}");
        assert!(!shown.contains("hunter2"), "{wrong}\n{shown}");
    }
}

#[test]
fn dotenv_that_cannot_be_read_is_placed_and_not_shown() {
    for (wrong, line) in [
        ("A=1\nAIPLAT_MIGRATE_REDIS_PASSWORD=hunter2 hunter2\n", "line 2"),
        ("\n\nhunter2\n", "line 3"),
        ("A='hunter2\n", "line 1"),
    ] {
        let error = with_dotenv(Path::new("/p"), &[], wrong).expect_err("refused");
        let shown = shown(&error);
        assert!(shown.contains(line) && !shown.contains("hunter2"), "{shown}");
    }
    // The parser does not end a line at `\'`, and takes the next one into the value.
    let swallowed = "AIPLAT_MIGRATE_REDIS_PASSWORD='hunter2\\'\nAIPLAT_MIGRATE_REDIS_USER='r\\'\n";
    let error = with_dotenv(Path::new("/p"), &[], swallowed).expect_err("refused");
    assert!(shown(&error).contains("AIPLAT_MIGRATE_REDIS_PASSWORD in .env"), "{error}");
    assert!(!shown(&error).contains("hunter2"), "{error}");
    let twice = "DATABASE_URL=a\nDATABASE_URL=b\n";
    assert!(with_dotenv(Path::new("/p"), &[], twice).is_err());
}

#[test]
fn profiles_overlay_key_by_key() {
    let file = "[postgres]\nhost = 'h'\n[placeholders]\nCopies = 1\nratio = 0.5\non = true\n\
                [profile.prod.placeholders]\ncopies = 0x10\n[profile.dev]\n";
    let plain = load(file, &[]).expect("configured");
    let prod = load_profile(file, Some("prod"), &[]).expect("configured");
    let storable = |config: &Config| {
        let names = ["copies", "ratio", "on"].map(str::to_string);
        config.placeholders.storable(&names).into_values().collect::<Vec<_>>().join(" ")
    };
    assert_eq!(storable(&plain), "1 true 0.5");
    assert_eq!(storable(&prod), "16 true 0.5");
    assert_eq!(postgres(&prod).host.as_deref(), Some("h"));
    let error = load_profile(file, Some("staging"), &[]).expect_err("unknown");
    insta::assert_snapshot!(shown(&error), @r"
    no profile `staging` in aiplat-migrate.toml
    hint: there are dev, prod
    ");
}

#[test]
fn placeholders_from_files_are_secret() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("s"), "hunter2\n").expect("written");
    let environment = environment(
        folder.path(),
        &[
            ("AIPLAT_MIGRATE_PLACEHOLDER_TOKEN_FILE", "s"),
            ("AIPLAT_MIGRATE_PLACEHOLDER_OWNER", "ai_platform"),
            ("AIPLAT_MIGRATE_PLACEHOLDER_SUFFIX", ""),
            ("AIPLAT_MIGRATE_PLACEHOLDER_MY_SERVICE_HOST", "h"),
        ],
    );
    let config = Config::offline(&Options::default(), &environment).expect("configured");
    let text = "${token} ${owner} ${suffix} ${my_service_host}";
    let rendered = config.placeholders.render(text, 0).expect("renders");
    assert_eq!(rendered.text, "hunter2 ai_platform  h");
    assert_eq!(config.placeholders.storable(&rendered.names).len(), 3);
    assert!(!format!("{config:?}{environment:?}").contains("hunter2"));
}

#[test]
fn offline_needs_no_store_and_reads_no_password() {
    let folder = tempfile::tempdir().expect("a folder");
    let environment = environment(
        folder.path(),
        &[("AIPLAT_MIGRATE_POSTGRES_URL_FILE", "/nowhere"), ("AIPLAT_MIGRATE_KAFKA_DIR", "topics")],
    );
    let config = Config::offline(&Options::default(), &environment).expect("configured");
    assert!(config.stores.is_empty());
    assert_eq!(config.folders[3].path, folder.path().join("topics"));
    assert!(Config::load(&Options::default(), &environment).is_err());
}

#[test]
fn the_file_is_found_upward_and_is_what_paths_are_relative_to() {
    let project = tempfile::tempdir().expect("a folder");
    let below = project.path().join("a/b");
    fs::create_dir_all(&below).expect("made");
    let file = "migrations.dir = './db'\n[postgres]\nhost='h'\ndir = 'db/sql/'\nca_file = 'ca.pem'\n\
                password_file = 'secret'\n[kafka]\ndir = '../topics'\n";
    fs::write(project.path().join(FILE_NAME), file).expect("written");
    fs::write(project.path().join("secret"), "hunter2").expect("written");
    let config = Config::load(&Options::default(), &environment(&below, &[])).expect("configured");
    assert_eq!(config.root, project.path());
    assert_eq!(config.migrations_dir, project.path().join("db"));
    assert_eq!(postgres(&config).password.expose(), "hunter2");
    assert_eq!(postgres(&config).tls_files.ca_file, Some(project.path().join("ca.pem")));
    let shown: Vec<&str> = config.folders.iter().map(|folder| folder.shown.as_str()).collect();
    assert_eq!(shown, ["db/sql", "db/mongo", "db/weaviate", "../topics", "db/redis"]);
    assert_eq!(config.folders[0].path, project.path().join("db/sql"));

    let named = Options { config: Some("../../aiplat-migrate.toml".into()), profile: None };
    assert!(Config::load(&named, &environment(&below, &[])).is_ok());
    let named = Options { config: Some("missing.toml".into()), profile: None };
    let error = Config::load(&named, &environment(&below, &[URL])).expect_err("missing");
    assert!(shown_starts(&error, "cannot read the settings file missing.toml: "));
    let same = load("postgres.host='h'\nkafka.dir='x'\nredis.dir='./x/'\n", &[]);
    assert!(shown_starts(&same.expect_err("shared"), "kafka and redis have the same folder: x"));
}

fn shown_starts(error: &Error, start: &str) -> bool {
    shown(error).starts_with(start)
}

#[test]
fn a_store_without_an_address_is_not_silently_left_out() {
    let config = load("kafka.security_protocol = 'ssl'", &[URL]).expect("configured");
    assert!(config.warnings.is_empty());
    let config = load("", &[URL, ("AIPLAT_MIGRATE_KAFKA_PASSWORD", "hunter2")]);
    let warnings = config.expect("configured").warnings;
    let wanted = "AIPLAT_MIGRATE_KAFKA_PASSWORD is set, but kafka is not configured: \
                  set AIPLAT_MIGRATE_KAFKA_BROKERS";
    assert_eq!(warnings, [wanted]);
}

#[cfg(unix)]
#[test]
fn files_with_secrets_that_others_may_read_are_warned_of() {
    use std::os::unix::fs::PermissionsExt;

    let project = tempfile::tempdir().expect("a folder");
    let path = project.path().join(FILE_NAME);
    let warnings = |text: &str, mode: u32| {
        fs::write(&path, text).expect("written");
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("set");
        let environment = environment(project.path(), &[]);
        Config::load(&Options::default(), &environment).expect("configured").warnings.len()
    };
    assert_eq!(warnings("[postgres]\nurl = 'postgres://u:p@h'\n", 0o644), 1);
    assert_eq!(warnings("[postgres]\nurl = 'postgres://u:p@h'\n", 0o600), 0);
    assert_eq!(warnings("[postgres]\nurl = 'postgres://u@h'\n", 0o644), 0);
    assert_eq!(warnings("[postgres]\nhost = 'h'\npassword = 'p'\n", 0o640), 1);

    let real = project.path().join("..2026_01_01");
    fs::create_dir(&real).expect("made");
    fs::write(real.join("password"), "p").expect("written");
    fs::set_permissions(real.join("password"), fs::Permissions::from_mode(0o644)).expect("set");
    std::os::unix::fs::symlink(real.join("password"), project.path().join("mounted"))
        .expect("linked");
    assert_eq!(warnings("[postgres]\nhost = 'h'\npassword_file = 'mounted'\n", 0o644), 0);
    fs::copy(real.join("password"), project.path().join("plain")).expect("copied");
    assert_eq!(warnings("[postgres]\nhost = 'h'\npassword_file = 'plain'\n", 0o644), 1);
}

#[test]
fn the_ledgers_schema_is_its_own() {
    for schema in ["public", "information_schema", "pg_ledger"] {
        let url = ("AIPLAT_MIGRATE_POSTGRES_URL", "postgres://h/d");
        let said = refused("", &[url, ("AIPLAT_MIGRATE_LEDGER_SCHEMA", schema)]);
        assert!(said.contains("holds more than the ledger"), "{said}");
    }
}
