//! Bad input: each a clear error with the right exit code, and nothing touched.
//!
//! Mistakes in files are found before any store is contacted: the stores of these projects are
//! addresses where nobody listens, and the ledger's schema must not be there afterwards.

use std::time::{Duration, Instant};

use crate::support::{Finished, TestEnv, block_on, postgres, required, with_database};

/// A port where nobody listens.
const CLOSED: &str = "127.0.0.1:1";

/// A project whose document stores are configured, and unreachable.
fn offline() -> TestEnv {
    let env = TestEnv::new()
        .set("AIPLAT_MIGRATE_MONGO_URL", &format!("mongodb://{CLOSED}/db"))
        .set("AIPLAT_MIGRATE_WEAVIATE_URL", &format!("http://{CLOSED}"))
        .set("AIPLAT_MIGRATE_KAFKA_BROKERS", CLOSED)
        .set("AIPLAT_MIGRATE_REDIS_URL", &format!("redis://{CLOSED}/0"));
    env.make_folders();
    env
}

impl TestEnv {
    fn make_folders(&self) {
        for store in ["postgres", "mongo", "weaviate", "kafka", "redis"] {
            std::fs::create_dir_all(self.path().join("migrations").join(store)).expect("folder");
        }
    }

    #[track_caller]
    fn untouched(&self) {
        assert_eq!(self.sql("SELECT to_regnamespace('aiplat_migrate')"), ["NULL"]);
        let own = "SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace";
        assert_eq!(self.sql(own), ["0"]);
    }

    /// `up` of these files, and no others, ends with exit code 2, says `words`, and touches
    /// nothing; a good migration that comes before them is not applied either.
    #[track_caller]
    fn refuses(&self, files: &[(&str, &str)], words: &[&str]) {
        std::fs::remove_dir_all(self.path().join("migrations")).expect("folder");
        self.make_folders();
        self.file("migrations/postgres/V0__good.sql", "create table good (id int);");
        for (path, text) in files {
            self.file(path, text);
        }
        self.run(&["up", "--wait", "0s"]).expect(2).says(words);
        self.untouched();
    }
}

#[test]
fn a_misnamed_file() {
    let project = offline();
    for name in ["create_users.sql", "V1_users.sql", "v1__users.sql", "V1__users.txt", "notes.md"] {
        let path = format!("migrations/postgres/{name}");
        project.refuses(&[(&path, "select 1")], &[&path, "is not a migration", "hint: rename it"]);
    }
    project.refuses(
        &[("migrations/kafka/V1__a.sql", "select 1")],
        &["migrations/kafka/V1__a.sql", "`.json5`"],
    );
}

#[test]
fn one_version_twice() {
    let project = offline();
    project.refuses(
        &[
            ("migrations/postgres/V1__a.sql", "select 1"),
            ("migrations/postgres/V001__b.sql", "select 1"),
        ],
        &["stands twice", "migrations/postgres/V1__a.sql", "migrations/postgres/V001__b.sql"],
    );
    project.refuses(
        &[
            ("migrations/redis/V2.0__a.json5", "{ steps: [] }"),
            ("migrations/redis/V2__b.json", "{ \"steps\": [] }"),
        ],
        &["stands twice", "V2.0__a.json5", "V2__b.json"],
    );
}

#[test]
fn an_undo_file_without_its_migration() {
    let project = offline();
    project.refuses(
        &[("migrations/postgres/U7__gone.sql", "select 1")],
        &["migrations/postgres/U7__gone.sql", "no V file"],
    );
}

#[test]
fn text_that_is_not_utf_8() {
    let env = offline();
    let path = env.file("migrations/postgres/V1__a.sql", "");
    std::fs::write(&path, b"select 1;\nselect '\xe9t\xe9';\n").expect("file");
    env.run(&["up"]).expect(2).says(&["migrations/postgres/V1__a.sql", "not UTF-8", "line 2"]);
    let utf16: Vec<u8> = "select 1".encode_utf16().flat_map(u16::to_le_bytes).collect();
    std::fs::write(&path, utf16).expect("file");
    env.run(&["up"]).expect(2).says(&["migrations/postgres/V1__a.sql", "UTF-16"]);
    env.untouched();
}

#[test]
fn json5_that_does_not_parse() {
    let project = offline();
    project.refuses(
        &[("migrations/kafka/V1__a.json5", "{\n  steps: [\n    { createTopic: } ,\n  ],\n}")],
        &["JSON5", "migrations/kafka/V1__a.json5:3:"],
    );
    project.refuses(
        &[("migrations/mongo/V1__a.json5", "{ steps: [ { create: 'a' }")],
        &["JSON5", "migrations/mongo/V1__a.json5:1:"],
    );
    project
        .refuses(&[("migrations/mongo/V1__a.json5", "")], &["no JSON5 value", "V1__a.json5:1:1"]);
    project.refuses(&[("migrations/mongo/V1__a.json5", "{}")], &["no `steps`", "V1__a.json5:1:1"]);
    project.refuses(&[("migrations/mongo/V1__a.json5", "{ steps: [] }")], &["`steps` is empty"]);
}

#[test]
fn a_key_twice_in_an_object() {
    let project = offline();
    project.refuses(
        &[(
            "migrations/mongo/V1__a.json5",
            "{ steps: [\n  { create: 'a', validator: {}, create: 'b' },\n] }",
        )],
        &["`create` stands twice", "migrations/mongo/V1__a.json5:2:"],
    );
}

#[test]
fn nesting_without_end() {
    let project = offline();
    let deep = format!("{{ steps: [{}{}] }}", "[".repeat(100_000), "]".repeat(100_000));
    project
        .refuses(&[("migrations/mongo/V1__a.json5", &deep)], &["migrations/mongo/V1__a.json5:1:"]);
    let deep = format!("select {}1{};", "(".repeat(100_000), ")".repeat(100_000));
    project.refuses(
        &[("migrations/postgres/V1__a.sql", &deep)],
        &["migrations/postgres/V1__a.sql:1:"],
    );
}

#[test]
fn an_unknown_step_or_key() {
    let project = offline();
    for (store, steps, wrong, right) in [
        ("kafka", "[{ creatTopic: { name: 'a' } }]", "creatTopic", "createTopic"),
        (
            "kafka",
            "[{ createTopic: { name: 'a', partitons: 1, replicationFactor: 1 } }]",
            "partitons",
            "partitions",
        ),
        ("redis", "[{ keyspce: { pattern: 'a:*' } }]", "keyspce", "keyspace"),
        (
            "redis",
            "[{ keyspace: { pattern: 'a:*', typ: 'hash', ttl: '1h', purpose: 'x' } }]",
            "typ",
            "type",
        ),
        ("weaviate", "[{ createClas: { class: 'A' } }]", "createClas", "createClass"),
        (
            "mongo",
            "[{ updateInBatchs: 'a', filter: {}, update: { $set: { b: 1 } } }]",
            "updateInBatchs",
            "updateInBatches",
        ),
    ] {
        let path = format!("migrations/{store}/V1__a.json5");
        let text = format!("{{\n  steps: {steps},\n}}");
        let place = format!("{path}:2:");
        let right = format!("`{right}`");
        project
            .refuses(&[(&path, &text)], &[&format!("`{wrong}`"), "did you mean", &right, &place]);
    }
}

#[test]
fn an_unknown_key_in_a_header() {
    let project = offline();
    project.refuses(
        &[("migrations/postgres/V1__a.sql", "-- first\n-- requries: mongo@1\nselect 1;")],
        &["`requries`", "did you mean `requires`", "migrations/postgres/V1__a.sql:2:4"],
    );
    project.refuses(
        &[("migrations/mongo/V1__a.json5", "{\n requirs: [],\n steps: [{ create: 'a' }] }")],
        &["`requirs`", "did you mean `requires`", "migrations/mongo/V1__a.json5:2:2"],
    );
    project.refuses(
        &[("migrations/postgres/V1__a.sql", "-- transaction: of\nselect 1;")],
        &["`transaction`", "`of`", "migrations/postgres/V1__a.sql:1:"],
    );
}

#[test]
fn a_directive_that_could_not_be_heeded() {
    let project = offline();
    let rows = "1\tone\n".repeat(60_000);
    let copy = format!("create table t (a int, b text);\ncopy t from stdin;\n{rows}\\.\n");
    for (text, words, place) in [
        ("set x.y = 1;\n-- transaction: off\nselect 1;", "above the first statement", ":2:4"),
        ("select 1; -- requires: mongo@1", "above the first statement", ":1:14"),
        ("\u{feff}/* Ours. */\r\n\r\n-- Transaction: off\r\nselect 1;", "`transaction`", ":3:4"),
        ("select 1;\n\n-- transaction = off\nselect 2;", "`-- transaction: off`", ":3:4"),
        ("select 1;\n/*\n * transaction: off\n */\nselect 2;", "block comment", ":3:4"),
        ("-- batch: 1000\nupdate t set a = 1;", "`batch` is not there yet", ":1:4"),
        ("select 1;\n-- online: on\nselect 2;", "`online` is not there yet", ":2:4"),
        ("-- hold: until Monday\nselect 1;", "`hold` is not there yet", ":1:4"),
        ("-- +goose NO TRANSACTION\nselect 1;", "goose would run this file", ":1:1"),
        ("select 1;\n-- migrate:down\nselect 2;", "dbmate", ":2:1"),
        (&format!("{copy}-- Requires: mongo@1\n"), "`requires`", ":60004:4"),
        (
            "-- placeholders: on\n-- transaction: off\nselect 1;\n-- lock_timeout: 5s\nselect 2;",
            "above the first statement",
            ":4:4",
        ),
    ] {
        let place = format!("migrations/postgres/V1__a.sql{place}");
        project.refuses(&[("migrations/postgres/V1__a.sql", text)], &[words, "hint:", &place]);
    }
    for key in ["replaces: ['1']", "lint: [{ allow: 'a', reason: 'b' }]", "hold: 'until'"] {
        let name = key.split(':').next().unwrap_or(key);
        let text = format!("{{\n {key},\n steps: [{{ create: 'a' }}] }}");
        project.refuses(
            &[("migrations/mongo/V1__a.json5", &text)],
            &[&format!("`{name}` is not there yet"), "migrations/mongo/V1__a.json5:2:2"],
        );
    }
    // What stands below the header is read when the file is to be run, by these commands.
    let file = "migrations/postgres/V1__a.sql";
    project.file(file, "select 1; -- transaction: off");
    std::fs::remove_file(project.path().join("migrations/mongo/V1__a.json5")).expect("file");
    for arguments in [&["plan"][..], &["validate", "--offline"], &["up", "--dry-run"]] {
        project.run(arguments).expect(2).says(&["migrations/postgres/V1__a.sql:1:14"]);
    }
    project.untouched();
}

#[test]
fn a_header_below_a_block_comment() {
    let project = offline();
    let file = "migrations/postgres/V1__a.sql";
    let text = "/* Copyright /* by */\n   us */\n\n-- A table.\n-- requires: mongo@7\nselect 1;";
    project.refuses(&[(file, text)], &["no migration mongo@7", "V1__a.sql:5:14"]);
    let env = TestEnv::new();
    let index = "create table a (id int);\ncreate index concurrently i on a (id);";
    let text = format!(
        "/* Ours. */\n\n-- note: requires superuser\n-- -- lock_timeout: 1s\n\
         -- transaction: off\n-- +goose NO TRANSACTION\n\n{index}\n-- Requires: nothing\n"
    );
    env.file(file, &text);
    env.run(&["up"]).expect(0);
    env.run(&["validate"]).expect(0);
}

#[test]
fn an_unknown_or_circular_requirement() {
    let project = offline();
    project.refuses(
        &[("migrations/postgres/V1__a.sql", "-- requires: mongo@3\nselect 1;")],
        &["no migration mongo@3", "migrations/postgres/V1__a.sql:1:14"],
    );
    project.refuses(
        &[("migrations/postgres/V1__a.sql", "-- requires: mungo@3\nselect 1;")],
        &["mungo", "migrations/postgres/V1__a.sql:1:14"],
    );
    project.refuses(
        &[
            ("migrations/mongo/V1__a.json5", "{ requires: ['kafka@1'], steps: [{ create: 'a' }] }"),
            (
                "migrations/kafka/V1__a.json5",
                "{ requires: ['mongo@1'], steps: [{ deleteTopic: 'a' }] }",
            ),
        ],
        &["wait for each other", "mongo@1", "kafka@1", "→"],
    );
    project.refuses(
        &[
            ("migrations/postgres/V1__a.sql", "-- requires: postgres@2\nselect 1;"),
            ("migrations/postgres/V2__b.sql", "select 1;"),
        ],
        &["wait for each other", "postgres@1", "postgres@2"],
    );
}

#[test]
fn an_unknown_placeholder() {
    let project = offline();
    project.refuses(
        &[("migrations/kafka/V1__a.json5", "{ steps: [\n { deleteTopic: '${topc}' },\n] }")],
        &["topc", "migrations/kafka/V1__a.json5:2:"],
    );
    project.refuses(
        &[("migrations/postgres/V1__a.sql", "-- placeholders: on\nselect\n  '${nobody}';")],
        &["nobody", "migrations/postgres/V1__a.sql:3:4"],
    );
}

#[test]
fn only_placeholders_are_replaced_and_only_where_asked() {
    let env = TestEnv::new()
        .set("AIPLAT_MIGRATE_PLACEHOLDER_WORD", "hello")
        .set("WORD", "from the environment");
    env.file(
        "migrations/postgres/V1__a.sql",
        "-- placeholders: on\ncreate table t as select '${word}' as a, '$${word}' as b;",
    );
    env.file("migrations/postgres/V2__b.sql", "insert into t values ('${word}', '');");
    env.run(&["up"]).expect(0);
    assert_eq!(env.sql("SELECT * FROM t"), ["hello|${word}", "${word}|"]);
}

#[test]
fn sql_that_never_ends() {
    let project = offline();
    for (text, what, place) in [
        ("select 1;\nselect 'abc", "never closed", ":2:8"),
        ("select 1;\nselect \"abc", "never closed", ":2:8"),
        ("do $body$ begin null; end", "never closed", ":1:4"),
        ("select 1; /* no end", "never closed", ":1:11"),
    ] {
        let place = format!("migrations/postgres/V1__a.sql{place}");
        project.refuses(&[("migrations/postgres/V1__a.sql", text)], &[what, &place]);
    }
}

#[test]
fn transaction_control_in_a_file() {
    let project = offline();
    for (text, place) in [
        ("create table t ();\n  COMMIT;\ncreate table u ();", ":2:3"),
        ("create table t ();\nrollback", ":2:1"),
        ("create table t ();\n/* a */ START TRANSACTION;", ":2:9"),
        ("create table t (); end;", ":1:20"),
        ("create table t (); abort;", ":1:20"),
        // A transaction that is left open would be left to the next file.
        ("-- transaction: off\ncreate table t ();\nbegin;", ":3:1"),
        ("create table t (); prepare transaction 'x';", ":1:20"),
    ] {
        let place = format!("migrations/postgres/V1__a.sql{place}");
        let words = ["hint:", &place];
        project.refuses(&[("migrations/postgres/V1__a.sql", text)], &words);
    }
}

#[test]
fn a_file_may_end_in_a_comment_without_a_newline() {
    let env = TestEnv::new();
    env.file("migrations/postgres/V1__a.sql", "create table a (id int) -- the end");
    env.file("migrations/postgres/V2__b.sql", "create table b (id int); -- the end");
    env.file("migrations/postgres/V3__c.sql", "-- nothing but a comment");
    env.run(&["up"]).expect(0);
    assert_eq!(env.sql("SELECT to_regclass('a'), to_regclass('b')"), ["a|b"]);
    assert_eq!(env.ledger().len(), 3);
}

#[test]
fn a_mistake_in_the_last_file_stops_the_run_before_the_first() {
    let env = TestEnv::new().with(&["mongo"]);
    env.file("migrations/mongo/V1__a.json5", "{ steps: [{ create: 'a' }] }");
    env.file("migrations/postgres/V9__z.sql", "select 'never closed");
    env.file("migrations/postgres/V8__y.sql", "commit;");
    // Both mistakes are told in one run.
    env.run(&["up"]).expect(2).says(&["V9__z.sql:1:8", "V8__y.sql:1:1"]);
    env.untouched();
    let url = env.get("AIPLAT_MIGRATE_MONGO_URL");
    let collections = block_on(async {
        let client = mongodb::Client::with_uri_str(url).await.expect("client");
        client.database(&env.name).list_collection_names().await.expect("collections")
    });
    assert!(collections.is_empty(), "{collections:?}");
}

#[test]
fn an_applied_file_that_changed_or_is_gone() {
    let env = TestEnv::new();
    env.file("migrations/postgres/V1__a.sql", "create table a (id int);\n-- a\n");
    env.file("migrations/postgres/V2__b.sql", "create table b (id int);\n");
    env.run(&["up"]).expect(0);
    // Line endings and a byte order mark are no change.
    env.file("migrations/postgres/V1__a.sql", "\u{feff}create table a (id int);\r\n-- a\r\n");
    env.run(&["up"]).expect(0);
    env.run(&["validate"]).expect(0);
    env.file("migrations/postgres/V1__a.sql", "create table a (id bigint);\n-- a\n");
    env.file("migrations/postgres/V3__c.sql", "create table c (id int);\n");
    env.run(&["up"]).expect(3).says(&[
        "migrations/postgres/V1__a.sql",
        "was changed after it was applied",
        "nothing was applied",
        "repair --accept-changed",
    ]);
    env.remove("migrations/postgres/V1__a.sql");
    env.run(&["up"]).expect(3).says(&["postgres@1", "is gone", "repair --accept-missing"]);
    assert_eq!(env.sql("SELECT to_regclass('c')"), ["NULL"]);
    assert_eq!(env.ledger(), ["postgres 1 applied", "postgres 2 applied"]);
}

#[test]
fn pending_below_the_highest_applied() {
    let env = TestEnv::new();
    env.file("migrations/postgres/V2__b.sql", "create table b (id int);");
    env.run(&["up"]).expect(0);
    env.file("migrations/postgres/V1__a.sql", "create table a (id int);");
    env.run(&["up"]).expect(3).says(&["migrations/postgres/V1__a.sql", "--out-of-order"]);
    let findings = env.run(&["validate", "--output", "json"]).expect(3).json();
    assert!(findings["findings"].to_string().contains("V1__a.sql"), "{findings}");
    assert_eq!(env.sql("SELECT to_regclass('a')"), ["NULL"]);
    env.run(&["up", "--out-of-order"]).expect(0);
    assert_eq!(env.ledger(), ["postgres 2 applied", "postgres 1 applied"]);
}

#[test]
fn a_weaviate_field_that_the_server_would_drop_in_silence() {
    let project = offline();
    for (steps, word) in [
        ("[{ createClass: { class: 'Name', vectorizr: 'none' } }]", "vectorizr"),
        (
            "[{ createClass: { class: 'Name', properties: [{ name: 'a', dataTyp: ['text'] }] } }]",
            "dataTyp",
        ),
    ] {
        let text = format!("{{\n  steps: {steps},\n}}");
        project.refuses(
            &[("migrations/weaviate/V1__a.json5", &text)],
            &[word, "migrations/weaviate/V1__a.json5:2:"],
        );
    }
}

#[test]
fn write_errors_that_mongodb_calls_ok() {
    let env = TestEnv::new().with(&["mongo"]);
    env.file(
        "migrations/mongo/V1__a.json5",
        "{ steps: [\n  { insert: 'a', documents: [{ _id: 1 }, { _id: 1 }] },\n] }",
    );
    env.run(&["up"]).expect(1).says(&["migrations/mongo/V1__a.json5:2:3", "11000"]);
    assert_eq!(env.ledger(), ["mongo 1 failed"]);
}

#[test]
fn a_kafka_config_value_that_the_broker_refuses() {
    let env = TestEnv::new().with(&["kafka"]);
    let create = "{ createTopic: { name: 'NAME', partitions: 1, replicationFactor: 1 } }";
    let alter = "{ alterConfigs: { topic: 'NAME', set: { 'retention.ms': 'soon' } } }";
    env.file("migrations/kafka/V1__a.json5", &format!("{{ steps: [\n{create},\n{alter},\n] }}"));
    env.run(&["up"]).expect(1).says(&["migrations/kafka/V1__a.json5:3:1", "retention.ms", "soon"]);
    assert_eq!(env.ledger(), ["kafka 1 failed"]);
    // The cause corrected, the run goes on; then nothing of the topic is left.
    let alter = alter.replace("soon", "1000");
    env.file("migrations/kafka/V1__a.json5", &format!("{{ steps: [\n{create},\n{alter},\n] }}"));
    env.run(&["up"]).expect(0);
    env.run(&["down", "--yes"]).expect(0);
}

#[test]
fn more_copies_than_brokers() {
    let env = TestEnv::new().with(&["kafka"]);
    env.file(
        "migrations/kafka/V1__a.json5",
        "{ steps: [\n  { createTopic: { name: 'NAME', partitions: 1, replicationFactor: 3 } },\n] }",
    );
    env.run(&["up"]).expect(1).says(&["migrations/kafka/V1__a.json5:2:3", "3", "1 broker"]);
    assert!(!crate::witness::topics(&required("TEST_KAFKA_BROKERS")).contains_key(&env.name));
}

#[test]
fn an_sql_error_in_the_middle_of_a_file() {
    let env = TestEnv::new();
    let text =
        "-- ünï\ncreate table a (id int);\n\ninsert into a\n  select nobody from a;\nselect 1;\n";
    env.file("migrations/postgres/V1__a.sql", text);
    env.run(&["up"]).expect(1).says(&[
        "migrations/postgres/V1__a.sql:5:10",
        "select nobody from a",
        "42703",
        "nothing of postgres@1 is left",
    ]);
    // A statement that fails without a position of its own is placed at its beginning.
    let text = "create table a (id int primary key);\ninsert into a values (1);\n\n  insert into a\n  values (1);";
    env.file("migrations/postgres/V1__a.sql", text);
    env.run(&["up"]).expect(1).says(&["migrations/postgres/V1__a.sql:4:3", "23505"]);
    assert_eq!(env.sql("SELECT to_regclass('a')"), ["NULL"]);
    assert_eq!(env.ledger(), [""; 0]);
    let events = env.run(&["history", "--output", "json"]).expect(0).json();
    let kinds: Vec<&str> = events["events"]
        .as_array()
        .expect("events")
        .iter()
        .filter_map(|e| e["event"].as_str())
        .collect();
    assert_eq!(kinds, ["failed", "failed"]);
}

#[test]
fn no_migrations_at_all() {
    let env = TestEnv::new();
    env.run(&["up"]).expect(2).says(&["there are no migrations", "migrations/postgres", "new"]);
    std::fs::create_dir_all(env.path().join("migrations/postgres")).expect("folder");
    env.run(&["up"]).expect(2).says(&["there are no migrations"]);
    env.untouched();
}

#[test]
fn no_configuration() {
    let env = TestEnv::new();
    env.file("migrations/postgres/V1__a.sql", "select 1");
    for command in ["up", "status", "plan", "validate", "down", "wait", "history"] {
        let mut command = env.command(&[command]);
        command.env_remove("AIPLAT_MIGRATE_POSTGRES_URL");
        let output = command.output().expect("binary");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{stderr}");
        assert!(stderr.contains("AIPLAT_MIGRATE_POSTGRES_URL"), "{stderr}");
        assert!(stderr.contains("DATABASE_URL"), "{stderr}");
    }
}

#[test]
fn files_without_a_store_and_a_store_without_files() {
    let env = TestEnv::new();
    env.file("migrations/mongo/V1__a.json5", "{ steps: [{ create: 'a' }] }");
    env.run(&["up"]).expect(2).says(&["migrations/mongo", "AIPLAT_MIGRATE_MONGO_URL"]);
    env.untouched();
    let env = TestEnv::new().with(&["redis"]);
    env.file("migrations/postgres/V1__a.sql", "select 1");
    env.run(&["up"]).expect(2).says(&["Redis is configured", "migrations/redis"]);
    env.untouched();
}

#[test]
fn a_ledger_role_that_may_not_create_a_schema() {
    let env = TestEnv::new();
    env.file("migrations/postgres/V1__a.sql", "create table a (id int);");
    env.sql("CREATE ROLE NAME LOGIN PASSWORD 'pass-of-NAME'");
    let url = env.get("AIPLAT_MIGRATE_POSTGRES_URL");
    let host = url.rsplit('@').next().expect("host").to_string();
    let env = env.set(
        "AIPLAT_MIGRATE_POSTGRES_URL",
        &format!("postgres://{0}:pass-of-{0}@{host}", host.rsplit('/').next().expect("name")),
    );
    let finished = env.run(&["up"]);
    let env = env.set("AIPLAT_MIGRATE_POSTGRES_URL", &url);
    env.sql("DROP ROLE NAME");
    finished.expect(2).says(&["42501", "hint:", "CREATE SCHEMA aiplat_migrate AUTHORIZATION"]);
    env.untouched();
}

/// A migration for one store, so that `up` has to contact it.
fn project_of(store: &str, env: TestEnv) -> TestEnv {
    let (path, text) = match store {
        "postgres" => ("migrations/postgres/V1__a.sql", "create table a (id int);"),
        "mongo" => ("migrations/mongo/V1__a.json5", "{ steps: [{ create: 'a' }] }"),
        "weaviate" => (
            "migrations/weaviate/V1__a.json5",
            "{ steps: [{ createClass: { class: 'Name', vectorizer: 'none' } }] }",
        ),
        "kafka" => (
            "migrations/kafka/V1__a.json5",
            "{ steps: [{ createTopic: { name: 'NAME', partitions: 1, replicationFactor: 1 } }] }",
        ),
        "redis" => (
            "migrations/redis/V1__a.json5",
            "{ steps: [{ keyspace: { pattern: 'NAME:*', type: 'hash', ttl: '1h', purpose: 'x' } }] }",
        ),
        other => panic!("no store {other}"),
    };
    env.file(path, text);
    env
}

/// Runs `up` and says how long it took.
fn timed(env: &TestEnv, wait: &str) -> (Finished, Duration) {
    let began = Instant::now();
    let finished = env.run(&["up", "--wait", wait]);
    (finished, began.elapsed())
}

#[test]
fn an_unreachable_store() {
    for (store, title, variable, url) in [
        ("mongo", "MongoDB", "MONGO_URL", "mongodb://root:hunter2secret@127.0.0.1:1/db"),
        ("weaviate", "Weaviate", "WEAVIATE_URL", "http://127.0.0.1:1"),
        ("kafka", "Kafka", "KAFKA_BROKERS", "127.0.0.1:1"),
        ("redis", "Redis", "REDIS_URL", "redis://:hunter2secret@127.0.0.1:1/0"),
    ] {
        let env = project_of(store, TestEnv::new()).set(&format!("AIPLAT_MIGRATE_{variable}"), url);
        let (finished, took) = timed(&env, "0s");
        let finished = finished.expect(6).says(&["cannot reach", title, "127.0.0.1:1"]);
        assert!(took < Duration::from_secs(10), "{store}: {took:?}");
        assert!(!finished.stderr.contains("hunter2secret"), "{}", finished.stderr);
        assert_eq!(env.ledger(), [""; 0], "{store}");
    }
}

#[test]
fn an_unreachable_ledger() {
    let env = project_of("postgres", TestEnv::new());
    let url = env.get("AIPLAT_MIGRATE_POSTGRES_URL");
    let nowhere = "postgres://postgres:hunter2secret@127.0.0.1:1/db";
    let env = env.set("AIPLAT_MIGRATE_POSTGRES_URL", nowhere);
    for command in ["up", "status", "plan", "validate", "down", "history"] {
        let began = Instant::now();
        let mut arguments = vec![command];
        if command == "up" {
            arguments.extend(["--wait", "0s"]);
        }
        let finished = env.run(&arguments).expect(6).says(&["cannot reach", "127.0.0.1:1"]);
        assert!(began.elapsed() < Duration::from_secs(5), "{command}: {:?}", began.elapsed());
        assert!(!finished.stderr.contains("hunter2secret"), "{}", finished.stderr);
    }
    // `--wait` tries again, and no longer than it says.
    let (finished, took) = timed(&env, "2s");
    finished.expect(6);
    assert!(took > Duration::from_secs(1) && took < Duration::from_secs(8), "{took:?}");
    env.set("AIPLAT_MIGRATE_POSTGRES_URL", &url).untouched();
}

#[test]
fn of_several_hosts_each_is_told() {
    let env = TestEnv::new();
    env.file("migrations/postgres/V1__t.sql", "create table t ();");
    let url = env.get("AIPLAT_MIGRATE_POSTGRES_URL");
    let (login, rest) = url.rsplit_once('@').expect("a login");
    let (address, _) = rest.split_once('/').expect("a database");
    let several = format!("{login}@127.0.0.1:1,{address}/nowhere");
    let env = env.set("AIPLAT_MIGRATE_POSTGRES_URL", &several);
    let found = env.run(&["up", "--wait", "0s"]).expect(2);
    found.says(&[
        "127.0.0.1:1: ",
        "refused",
        &format!("{address}: "),
        "\"nowhere\" does not exist",
    ]);
    let _restored = env.set("AIPLAT_MIGRATE_POSTGRES_URL", &url);
}

#[test]
fn a_wrong_password_fails_at_once_and_is_not_shown() {
    const WRONG: &str = "wrong-hunter2";
    let with_password = |url: &str| {
        let (scheme, rest) = url.split_once("://").expect("scheme");
        let (login, host) = rest.rsplit_once('@').expect("login");
        let user = login.split(':').next().expect("user");
        format!("{scheme}://{user}:{WRONG}@{host}")
    };
    for store in ["mongo", "weaviate", "redis"] {
        let env = project_of(store, TestEnv::new().with(&[store]));
        let variable = match store {
            "weaviate" => "AIPLAT_MIGRATE_WEAVIATE_API_KEY".to_string(),
            other => format!("AIPLAT_MIGRATE_{}_URL", other.to_uppercase()),
        };
        let value = match store {
            "weaviate" => WRONG.to_string(),
            _ => with_password(&env.get(&variable)),
        };
        let env = env.set(&variable, &value);
        let (finished, took) = timed(&env, "30s");
        let finished = finished.expect(2).says(&["cannot log in to"]);
        assert!(took < Duration::from_secs(10), "{store}: {took:?}");
        assert!(!finished.stderr.contains(WRONG), "{}", finished.stderr);
        assert!(!finished.stdout.contains(WRONG), "{}", finished.stdout);
        assert_eq!(env.ledger(), [""; 0], "{store}");
    }
    let env = project_of("postgres", TestEnv::new());
    let url = env.get("AIPLAT_MIGRATE_POSTGRES_URL");
    let env = env.set("AIPLAT_MIGRATE_POSTGRES_URL", &with_password(&url));
    for command in [&["up", "--wait", "30s"] as &[&str], &["status"], &["-vv", "plan"]] {
        let began = Instant::now();
        let finished = env.run(command).expect(2).says(&["28P01"]);
        assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
        assert!(!finished.stderr.contains(WRONG), "{}", finished.stderr);
    }
    env.set("AIPLAT_MIGRATE_POSTGRES_URL", &url).untouched();
}

#[test]
fn passwords_are_nowhere_in_what_is_said_and_kept() {
    let env = TestEnv::new().with(&["mongo", "redis", "weaviate"]);
    let secrets: Vec<String> =
        ["AIPLAT_MIGRATE_POSTGRES_URL", "AIPLAT_MIGRATE_MONGO_URL", "AIPLAT_MIGRATE_REDIS_URL"]
            .iter()
            .map(|name| {
                let url = env.get(name);
                let login =
                    url.split_once("://").expect("scheme").1.rsplit_once('@').expect("login").0;
                login.split_once(':').expect("password").1.to_string()
            })
            .chain([env.get("AIPLAT_MIGRATE_WEAVIATE_API_KEY")])
            .collect();
    for store in ["postgres", "mongo", "redis", "weaviate"] {
        let text = "{ steps: [{ create: 'a' }] }";
        match store {
            "postgres" => {
                env.file("migrations/postgres/U1__a.sql", "drop table a;");
                env.file("migrations/postgres/V1__a.sql", "create table a (id int);")
            }
            "mongo" => env.file("migrations/mongo/V1__a.json5", text),
            "redis" => env.file(
                "migrations/redis/V1__a.json5",
                "{ steps: [{ keyspace: { pattern: 'NAME:*', type: 'hash', ttl: '1h', purpose: 'x' } }] }",
            ),
            _ => env.file(
                "migrations/weaviate/V1__a.json5",
                "{ steps: [{ createClass: { class: 'Name', vectorizer: 'none' } }] }",
            ),
        };
    }
    let mut said = String::new();
    for arguments in [
        &["-vv", "up"] as &[&str],
        &["-vv", "--output", "json", "status"],
        &["-vv", "validate"],
        &["--log-format", "json", "-v", "history"],
        &["-vv", "down", "--all", "--yes"],
        &["--help"],
    ] {
        let finished = env.run(arguments).expect(0);
        said.push_str(&finished.stdout);
        said.push_str(&finished.stderr);
    }
    for table in ["ledger", "event", "shape", "identity"] {
        let kept = env.sql(&format!("SELECT t::text FROM aiplat_migrate.{table} t"));
        said.push_str(&kept.join("\n"));
    }
    for secret in &secrets {
        assert!(secret.len() > 7, "the test sets have real passwords");
        assert!(!said.contains(secret.as_str()), "a password is shown or kept");
    }
}

#[test]
fn the_test_sets_ask_for_passwords() {
    let url = with_database(&required("TEST_POSTGRES_URL"), "postgres");
    block_on(async { postgres(&url).await });
    let (scheme, rest) = url.split_once("://").expect("scheme");
    let open = format!("{scheme}://postgres:wrong@{}", rest.rsplit_once('@').expect("login").1);
    let refused =
        block_on(async { tokio_postgres::connect(&open, tokio_postgres::NoTls).await.err() });
    assert!(refused.is_some(), "a test of wrong passwords would prove nothing here");
}
