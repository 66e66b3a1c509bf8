//! What the engine promises of one run and the next: sessions that stay clean, failures that leave
//! nothing or go on, order across stores, and every flag that says what takes part.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{Finished, TestEnv, block_on, finish, postgres, required, with_database};
use crate::witness;

fn weaviate_answer(method: &str, path: &str, body: Value) -> (u16, Value) {
    let (url, key) = (required("TEST_WEAVIATE_URL"), required("TEST_WEAVIATE_API_KEY"));
    block_on(async { witness::weaviate(&url, &key, method, path, body).await })
}

fn collections(env: &TestEnv) -> Vec<String> {
    let url = env.get("AIPLAT_MIGRATE_MONGO_URL");
    let mut names = block_on(async {
        let client = mongodb::Client::with_uri_str(url).await.expect("client");
        client.database(&env.name).list_collection_names().await.expect("names")
    });
    names.sort();
    names
}

fn mongo_command(env: &TestEnv, command: bson::Document) -> bson::Document {
    let url = env.get("AIPLAT_MIGRATE_MONGO_URL");
    block_on(async {
        let client = mongodb::Client::with_uri_str(url).await.expect("client");
        client.database(&env.name).run_command(command).await.expect("command")
    })
}

fn events(env: &TestEnv) -> Vec<String> {
    env.sql(
        "SELECT coalesce(store || ' ' || version || ' ', '') || event FROM aiplat_migrate.event ORDER BY id",
    )
}

#[test]
fn a_file_disturbs_neither_the_ledger_nor_the_next_file() {
    let env = TestEnv::new();
    env.sql("CREATE ROLE NAME_owner; GRANT CREATE ON SCHEMA public TO NAME_owner");
    env.file(
        "migrations/postgres/V1__wild.sql",
        "create schema elsewhere;
         set search_path = elsewhere;
         set timezone = 'Pacific/Chatham';
         set statement_timeout = '1h';
         set datestyle = 'German';
         set standard_conforming_strings = off;
         create temp table scratch (id int);
         create temp table settings_now as select 1;
         prepare words as select 1;
         create table here (id int);
         select pg_catalog.set_config('search_path', 'nowhere', false);
         set role NAME_owner;
         set session characteristics as transaction read only;",
    );
    env.file(
        "migrations/postgres/V2__tame.sql",
        r"create table public.seen as select
            current_setting('search_path') as path, current_setting('timezone') as zone,
            current_setting('statement_timeout') as timeout, current_user::text as who,
            session_user::text as session, 'a\b'::text as backslash,
            to_regclass('pg_temp.scratch') is null as no_scratch,
            (select count(*) from pg_prepared_statements where name = 'words') as prepared;
          create table unqualified (id int);",
    );
    env.run(&["up"]).expect(0);
    assert_eq!(env.ledger(), ["postgres 1 applied", "postgres 2 applied"]);
    let fresh = env.sql(
        "SELECT current_setting('search_path'), current_setting('timezone'), \
         current_setting('statement_timeout'), current_user, session_user, 'a\\b', 't', '0'",
    );
    assert_eq!(env.sql("SELECT * FROM public.seen"), fresh);
    assert_eq!(
        env.sql("SELECT to_regclass('elsewhere.here'), to_regclass('public.unqualified')"),
        ["elsewhere.here|unqualified"]
    );
    env.sql("REVOKE ALL ON SCHEMA public FROM NAME_owner; DROP ROLE NAME_owner");
}

#[test]
fn a_file_outside_a_transaction_disturbs_nothing_either() {
    let env = TestEnv::new();
    env.file(
        "migrations/postgres/V1__wild.sql",
        "-- transaction: off
         create schema elsewhere;
         set search_path = elsewhere;
         set timezone = 'Pacific/Chatham';
         set statement_timeout = '1h';
         create temp table scratch (id int);
         prepare words as select 1;",
    );
    env.file(
        "migrations/postgres/V2__tame.sql",
        "create table public.seen as select
            current_setting('search_path') as path, current_setting('timezone') as zone,
            current_setting('statement_timeout') as timeout,
            to_regclass('pg_temp.scratch') is null as no_scratch,
            (select count(*) from pg_prepared_statements where name = 'words') as prepared;
          create table unqualified (id int);",
    );
    env.run(&["up"]).expect(0);
    let fresh = env.sql(
        "SELECT current_setting('search_path'), current_setting('timezone'), \
         current_setting('statement_timeout'), 't', '0'",
    );
    assert_eq!(env.sql("SELECT * FROM public.seen"), fresh);
    assert_eq!(env.sql("SELECT to_regclass('public.unqualified')"), ["unqualified"]);
}

#[test]
fn nothing_runs_behind_a_failure() {
    let env = TestEnv::new();
    // A constraint that fails only at the end of its transaction, and files behind it.
    env.file(
        "migrations/postgres/V1__late.sql",
        "create table parent (id int primary key);
         create table child (id int references parent deferrable initially deferred);
         insert into child values (1);",
    );
    for version in 2..12 {
        env.file(
            &format!("migrations/postgres/V{version}__t.sql"),
            &format!("create table t{version} (id int);"),
        );
    }
    env.run(&["up"]).expect(1).says(&["23503", "postgres@1", "not begun", "postgres@2"]);
    assert_eq!(env.ledger(), [""; 0]);
    assert_eq!(env.sql("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"), ["0"]);
    assert_eq!(events(&env), ["postgres 1 failed"]);
    // The row is gone, so that its file may be edited freely.
    env.file("migrations/postgres/V1__late.sql", "create table parent (id int primary key);");
    env.run(&["up"]).expect(0);
    assert_eq!(env.ledger().len(), 11);
}

#[test]
fn a_half_applied_file_goes_on_once_it_is_corrected() {
    let env = TestEnv::new().with(&["mongo"]);
    let text = |second: &str| {
        format!(
            "{{ steps: [\n  {{ create: 'first' }},\n  {second},\n  {{ create: 'third' }},\n] }}"
        )
    };
    let wrong = text("{ create: 'second', validator: { $nonsense: 1 } }");
    env.file("migrations/mongo/V1__three.json5", &wrong);
    env.run(&["up"]).expect(1).says(&[
        "step 2 of 3",
        "migrations/mongo/V1__three.json5:3:3",
        "step 1 of mongo@1 is done and recorded",
        "aiplat-migrate up",
    ]);
    assert_eq!(env.ledger(), ["mongo 1 failed"]);
    assert_eq!(collections(&env), ["first"]);
    // What is done may not be rewritten.
    let rewritten = text("{ create: 'second' }").replace("'first'", "'other'");
    env.file("migrations/mongo/V1__three.json5", &rewritten);
    env.run(&["up"]).expect(3).says(&["step 1 was changed", "nothing was applied"]);
    assert_eq!(collections(&env), ["first"]);
    // What is not done may.
    env.file("migrations/mongo/V1__three.json5", &text("{ create: 'second' }"));
    env.run(&["up"]).expect(0);
    assert_eq!(collections(&env), ["first", "second", "third"]);
    assert_eq!(env.ledger(), ["mongo 1 applied"]);
    assert_eq!(events(&env), ["mongo 1 failed", "mongo 1 resumed", "mongo 1 applied"]);
    env.run(&["down", "--yes"]).expect(0);
    assert!(collections(&env).is_empty());
}

#[test]
fn what_was_there_and_equal_is_found_and_never_dropped() {
    let env = TestEnv::new().with(&["mongo", "kafka", "weaviate"]);
    env.file("migrations/mongo/V1__a.json5", "{ steps: [{ create: 'a' }, { create: 'b' }] }");
    let topic = "{ createTopic: { name: 'NAME', partitions: 2, replicationFactor: 1 } }";
    env.file("migrations/kafka/V1__a.json5", &format!("{{ steps: [{topic}] }}"));
    let class = json!({ "class": env.class(), "vectorizer": "none", "properties": [{ "name": "a", "dataType": ["text"] }] });
    env.file(
        "migrations/weaviate/V1__a.json5",
        &json!({ "steps": [{ "createClass": class }] }).to_string(),
    );
    mongo_command(&env, bson::doc! { "create": "a" });
    block_on(async { witness::create_topic(&required("TEST_KAFKA_BROKERS"), &env.name, 2).await });
    assert_eq!(weaviate_answer("POST", "/schema", class).0, 200);

    env.run(&["up"]).expect(0).says(&["(was there already)"]);
    env.run(&["down", "--all", "--yes"]).expect(0);
    assert_eq!(collections(&env), ["a"], "`b` was ours, `a` was not");
    assert!(witness::topics(&required("TEST_KAFKA_BROKERS")).contains_key(&env.name));
    let path = format!("/schema/{}", env.class());
    assert_eq!(weaviate_answer("GET", &path, Value::Null).0, 200);

    block_on(async { witness::delete_topics(&required("TEST_KAFKA_BROKERS"), &[&env.name]).await });
    weaviate_answer("DELETE", &path, Value::Null);
}

#[test]
fn what_was_there_and_differs_is_an_error_that_shows_both() {
    let env = TestEnv::new().with(&["mongo"]);
    mongo_command(&env, bson::doc! { "create": "a", "capped": true, "size": 4096 });
    env.file("migrations/mongo/V1__a.json5", "{ steps: [\n  { create: 'a' },\n] }");
    env.run(&["up"]).expect(1).says(&[
        "migrations/mongo/V1__a.json5:2:3",
        "there already, and different",
        "wanted:",
        "live:",
        "capped",
        "changed nothing",
    ]);

    let env = TestEnv::new().with(&["kafka"]);
    block_on(async { witness::create_topic(&required("TEST_KAFKA_BROKERS"), &env.name, 5).await });
    let topic = "{ createTopic: { name: 'NAME', partitions: 2, replicationFactor: 1 } }";
    env.file("migrations/kafka/V1__a.json5", &format!("{{ steps: [\n{topic}] }}"));
    env.run(&["up"]).expect(1).says(&["V1__a.json5:2:1", "wanted:", "2", "live:", "5"]);
    assert_eq!(witness::topics(&required("TEST_KAFKA_BROKERS")).get(&env.name), Some(&5));
    block_on(async { witness::delete_topics(&required("TEST_KAFKA_BROKERS"), &[&env.name]).await });

    let env = TestEnv::new().with(&["weaviate"]);
    let class = |kind: &str| json!({ "class": env.class(), "vectorizer": "none", "properties": [{ "name": "a", "dataType": [kind] }] });
    assert_eq!(weaviate_answer("POST", "/schema", class("int")).0, 200);
    let text = json!({ "steps": [{ "createClass": class("text") }] }).to_string();
    env.file("migrations/weaviate/V1__a.json5", &text);
    env.run(&["up"]).expect(1).says(&["V1__a.json5", "wanted:", "text", "live:", "int"]);
    weaviate_answer("DELETE", &format!("/schema/{}", env.class()), Value::Null);
}

#[test]
fn requirements_hold_across_stores_in_time() {
    let env = TestEnv::new().with(&["mongo", "redis"]);
    // A chain to and fro: each waits for the one before it.
    let keyspace = |name: &str| {
        format!(
            "{{ keyspace: {{ pattern: 'NAME:{name}:*', type: 'hash', ttl: '1h', purpose: 'x' }} }}"
        )
    };
    env.file("migrations/postgres/V1__a.sql", "-- requires: redis@1\ncreate table a (id int);");
    env.file(
        "migrations/redis/V1__a.json5",
        &format!("{{ requires: ['mongo@1'], steps: [{}] }}", keyspace("a")),
    );
    env.file("migrations/mongo/V1__a.json5", "{ steps: [{ create: 'a' }] }");
    env.file(
        "migrations/mongo/V2__b.json5",
        "{ requires: ['postgres@2'], steps: [{ create: 'b' }] }",
    );
    env.file("migrations/postgres/V2__b.sql", "create table b (id int);");
    env.file(
        "migrations/redis/V2__b.json5",
        &format!("{{ requires: ['mongo@2'], steps: [{}] }}", keyspace("b")),
    );
    env.run(&["up"]).expect(0);
    let order = ["mongo 1", "redis 1", "postgres 1", "postgres 2", "mongo 2", "redis 2"];
    let applied = order.map(|id| format!("{id} applied"));
    assert_eq!(env.ledger(), applied);
    assert_eq!(events(&env), applied);
    let overlaps = "SELECT count(*) FROM aiplat_migrate.ledger a JOIN aiplat_migrate.ledger b \
                    ON a.id < b.id AND a.finished_at > b.started_at";
    assert_eq!(env.sql(overlaps), ["0"], "each began after the one it waits for was done");

    // Back, dependants go first: all that leans on postgres@2, and nothing else.
    env.file("migrations/postgres/U1__a.sql", "drop table a;");
    env.file("migrations/postgres/U2__b.sql", "drop table b;");
    env.run(&["down", "--to", "postgres@1", "--yes"]).expect(0);
    let undone = events(&env)[6..].to_vec();
    assert_eq!(undone, ["redis 2 undone", "mongo 2 undone", "postgres 2 undone"]);
    env.run(&["down", "--all", "--yes"]).expect(0);
    let undone = events(&env)[9..].to_vec();
    assert_eq!(undone, ["postgres 1 undone", "redis 1 undone", "mongo 1 undone"]);
}

#[test]
fn statements_that_cannot_run_in_a_transaction() {
    let env = TestEnv::new();
    env.file("migrations/postgres/V1__a.sql", "create table a (id int, name text);");
    env.file(
        "migrations/postgres/V2__index.sql",
        "-- transaction: off\n-- lock_timeout: 3s\n\
         create index concurrently a_id on a (id);\ninsert into a values (1, 'one');\nvacuum a;\n",
    );
    env.run(&["up"]).expect(0);
    assert_eq!(
        env.sql("SELECT indisvalid FROM pg_index WHERE indexrelid = 'a_id'::regclass"),
        ["t"]
    );
    assert_eq!(env.sql("SELECT steps_done FROM aiplat_migrate.ledger WHERE version = '2'"), ["3"]);
    // The same without the header is refused before anything happens.
    env.file("migrations/postgres/V3__index.sql", "create index concurrently a_name on a (name);");
    env.run(&["up"]).expect(2).says(&["V3__index.sql:1:1", "-- transaction: off"]);
    // A unique index over what is not unique leaves a wreck; corrected, it is built again.
    env.sql("INSERT INTO a VALUES (1, 'two')");
    let index = "-- transaction: off\ncreate unique index concurrently a_once on a (id);";
    env.file("migrations/postgres/V3__index.sql", index);
    env.run(&["up"]).expect(1).says(&["23505", "V3__index.sql:2:1", "aiplat-migrate up"]);
    assert_eq!(
        env.sql("SELECT indisvalid FROM pg_index WHERE indexrelid = 'a_once'::regclass"),
        ["f"]
    );
    env.sql("DELETE FROM a WHERE name = 'two'");
    env.run(&["up"]).expect(0);
    assert_eq!(
        env.sql("SELECT indisvalid FROM pg_index WHERE indexrelid = 'a_once'::regclass"),
        ["t"]
    );
    assert_eq!(env.sql("SELECT count(*) FROM a"), ["1"], "no statement was run twice");
}

/// psql reads the data first, and then goes on with the line.
#[test]
fn what_stands_behind_a_copy_on_its_line_is_run() {
    let env = TestEnv::new();
    let copy = |more: &str| {
        format!(
            "create table t{more} (a text);\ncopy t{more} from stdin; insert into t{more} \
             select 'n' || count(*) from t{more}; create table u{more} ();\n1\n\\.\n\
             insert into t{more} values ('last');\n"
        )
    };
    env.file("migrations/postgres/V1__copy.sql", &copy("1"));
    let undo = "copy t1 from stdin; drop table u1;\n2\n\\.\nalter table t1 rename to t9;";
    env.file("migrations/postgres/U1__copy.sql", undo);
    let off = format!("-- transaction: off\n{}", copy("2"));
    env.file("migrations/postgres/V0__off.sql", &off);
    env.run(&["up"]).expect(0);
    for number in ["1", "2"] {
        let rows = format!("SELECT a FROM t{number} ORDER BY a");
        assert_eq!(env.sql(&rows), ["1", "last", "n1"]);
        assert_eq!(env.sql(&format!("SELECT to_regclass('u{number}')")), [format!("u{number}")]);
    }
    env.run(&["down", "--yes", "--allow-data-loss"]).expect(0);
    assert_eq!(env.sql("SELECT to_regclass('u1')"), ["NULL"]);
    assert_eq!(env.sql("SELECT count(*) FROM t9"), ["4"]);
    // A mistake there has its place.
    env.file("migrations/postgres/V3__wrong.sql", "copy t9 from stdin; select nope;\n3\n\\.\n");
    env.run(&["up"]).expect(1).says(&["V3__wrong.sql:1:28", "nope"]);
}

#[test]
fn copy_from_stdin_as_pg_dump_writes_it() {
    let env = TestEnv::new();
    let text = "create table public.words (id integer, word text);\n\n--\n-- Data for Name: words\n--\n\n\
                COPY public.words (id, word) FROM stdin;\n\
                1\tone; drop table words;\n2\t\\N\n3\ttab\\there 'quote $$ $\n\\.\n\n\n\
                create index words_word on public.words (word);\n\
                COPY public.words (id, word) FROM stdin;\n\\.\n\
                insert into words values (4, 'end');\n";
    env.file("migrations/postgres/V1__dump.sql", text);
    env.run(&["up"]).expect(0);
    assert_eq!(
        env.sql("SELECT id, word FROM words ORDER BY id"),
        ["1|one; drop table words;", "2|NULL", "3|tab\there 'quote $$ $", "4|end"]
    );
    // It is one transaction all the same.
    let text = "create table gone (id integer);\nCOPY gone FROM stdin;\n1\nx\n\\.\n";
    env.file("migrations/postgres/V2__bad.sql", text);
    env.run(&["up"]).expect(1).says(&["22P02", "migrations/postgres/V2__bad.sql:2:1"]);
    assert_eq!(env.sql("SELECT to_regclass('gone')"), ["NULL"]);
}

#[test]
fn repeatables_run_again_when_they_change() {
    let env = TestEnv::new();
    env.file("migrations/postgres/V1__a.sql", "create table runs (at int);");
    env.file("migrations/postgres/R__view.sql", "insert into runs values (1);");
    env.run(&["up"]).expect(0);
    env.run(&["up"]).expect(0);
    assert_eq!(env.sql("SELECT * FROM runs"), ["1"]);
    env.file("migrations/postgres/R__view.sql", "insert into runs values (2);");
    // A new version goes first, although the repeatable changed.
    env.file("migrations/postgres/V2__b.sql", "insert into runs values (10);");
    env.run(&["up"]).expect(0);
    assert_eq!(env.sql("SELECT * FROM runs"), ["1", "10", "2"]);
    let living = "SELECT count(*) FROM aiplat_migrate.ledger WHERE kind = 'repeatable' AND state = 'applied'";
    assert_eq!(env.sql(living), ["1"]);
}

#[test]
fn store_and_to_take_a_part() {
    let env = TestEnv::new().with(&["mongo"]);
    env.file("migrations/postgres/V1__a.sql", "create table a (id int);");
    env.file("migrations/postgres/V2__b.sql", "-- requires: mongo@1\ncreate table b (id int);");
    env.file("migrations/postgres/V3__c.sql", "create table c (id int);");
    env.file("migrations/mongo/V1__a.json5", "{ steps: [{ create: 'a' }] }");
    env.file("migrations/mongo/V2__b.json5", "{ steps: [{ create: 'b' }] }");
    env.run(&["up", "--store", "postgres"]).expect(2).says(&[
        "postgres@2 requires mongo@1",
        "V2__b.sql:1:14",
        "--store postgres,mongo",
    ]);
    assert_eq!(env.sql("SELECT to_regnamespace('aiplat_migrate')"), ["NULL"]);
    env.run(&["up", "--to", "postgres@9"]).expect(2).says(&["no migration postgres@9"]);
    env.run(&["up", "--to", "postgres@2"]).expect(0);
    let mut rows = env.ledger();
    rows.sort();
    assert_eq!(rows, ["mongo 1 applied", "postgres 1 applied", "postgres 2 applied"]);
    env.run(&["up", "--store", "postgres"]).expect(0);
    assert_eq!(env.ledger()[3..], ["postgres 3 applied"]);
    let status = env.run(&["status", "--store", "mongo", "--output", "json"]).expect(0).json();
    assert_eq!(status["migrations"].as_array().map(Vec::len), Some(2), "{status}");
    env.run(&["status", "--fail-on-pending"]).expect(4);
    env.run(&["status", "--fail-on-pending", "--store", "postgres"]).expect(0);
}

#[test]
fn asking_changes_nothing() {
    let env = TestEnv::new().with(&["mongo"]);
    env.file("migrations/postgres/V1__a.sql", "create table a (id int);");
    env.file("migrations/mongo/V1__a.json5", "{ steps: [{ create: 'a' }] }");
    for asking in [
        &["up", "--dry-run"] as &[&str],
        &["plan"],
        &["status"],
        &["validate"],
        &["history"],
        &["down", "--dry-run"],
    ] {
        env.run(asking).expect(0);
        assert_eq!(env.sql("SELECT to_regnamespace('aiplat_migrate')"), ["NULL"], "{asking:?}");
    }
    let plan = env.run(&["up", "--dry-run"]).expect(0);
    for words in ["postgres@1", "create table a", "mongo@1", "create a"] {
        assert!(plan.stdout.contains(words), "no {words} in {}", plan.stdout);
    }
    assert!(collections(&env).is_empty());
    env.run(&["up"]).expect(0);
    env.file("migrations/postgres/U1__a.sql", "drop table a;");
    let plan = env.run(&["down", "--all", "--dry-run"]).expect(0);
    assert!(plan.stdout.contains("drop table a"), "{}", plan.stdout);
    assert_eq!(env.ledger().iter().filter(|row| row.ends_with("applied")).count(), 2);
}

#[test]
fn down_asks_first() {
    let env = TestEnv::new();
    env.file("migrations/postgres/V1__a.sql", "create table a (id int);");
    env.run(&["up"]).expect(0);
    env.run(&["down", "--yes"]).expect(1).says(&["no U file", "U1__a.sql", "nothing was undone"]);
    env.file("migrations/postgres/U1__a.sql", "drop table a;");
    env.run(&["down"]).expect(2).says(&["not confirmed", "nothing was undone", "--yes"]);
    env.sql("INSERT INTO a VALUES (1)");
    env.run(&["down", "--yes"]).expect(1).says(&["lose data", "a", "--allow-data-loss"]);
    assert_eq!(env.ledger(), ["postgres 1 applied"]);
    env.run(&["down", "--yes", "--allow-data-loss"]).expect(0);
    assert_eq!(env.sql("SELECT to_regclass('a')"), ["NULL"]);
    let env = TestEnv::new();
    env.file("migrations/postgres/V1__a.sql", "-- irreversible: the old names are gone\nselect 1;");
    env.run(&["up"]).expect(0);
    env.run(&["down", "--yes"]).expect(1).says(&["the old names are gone", "nothing was undone"]);
}

#[test]
fn the_sum_file_holds_the_files_to_what_was_reviewed() {
    let env = TestEnv::new();
    env.run(&["new", "postgres", "create", "users"]).expect(0);
    let v1 = "migrations/postgres/V001__create_users.sql";
    for file in [v1, "migrations/postgres/U001__create_users.sql", "migrations/migrations.sum"] {
        assert!(env.path().join(file).is_file(), "{file}");
    }
    env.run(&["new", "postgres", "More: users!"]).expect(0);
    assert!(env.path().join("migrations/postgres/V002__more_users.sql").is_file());
    for store in ["mongo", "weaviate", "kafka", "redis"] {
        env.run(&["new", store, "first"]).expect(0);
        assert!(env.path().join(format!("migrations/{store}/V001__first.json5")).is_file());
        env.remove(&format!("migrations/{store}/V001__first.json5"));
        std::fs::remove_dir(env.path().join(format!("migrations/{store}"))).expect("empty");
    }
    env.run(&["hash"]).expect(0);
    env.file(v1, "create table users (id int);");
    env.run(&["up"]).expect(2).says(&["migrations.sum", v1, "aiplat-migrate hash"]);
    assert_eq!(env.sql("SELECT to_regnamespace('aiplat_migrate')"), ["NULL"]);
    env.run(&["validate", "--offline"]).expect(3);
    env.run(&["hash"]).expect(0);
    env.run(&["validate", "--offline"]).expect(0);
    env.run(&["up"]).expect(0);
    // A file that nobody hashed is as much of a mismatch.
    env.file("migrations/postgres/V3__late.sql", "select 1;");
    env.run(&["up"]).expect(2).says(&["V3__late.sql"]);
    assert_eq!(env.ledger().len(), 2);
}

#[test]
fn json_has_one_shape_per_command() {
    let env = TestEnv::new();
    env.file("migrations/postgres/V1__a.sql", "create table a (id int);");
    env.file("migrations/postgres/U1__a.sql", "drop table a;");
    let json = |code: i32, arguments: &[&str]| {
        let mut all = arguments.to_vec();
        all.extend(["--output", "json"]);
        let value = env.run(&all).expect(code).json();
        assert_eq!(value["version"], 1, "{value}");
        assert_eq!(value["command"], arguments[0], "{value}");
        assert_eq!(value["exit_code"], code, "{value}");
        value
    };
    let plan = json(0, &["plan"]);
    assert_eq!(plan["migrations"][0]["id"], "postgres@1");
    assert_eq!(plan["migrations"][0]["steps"][0]["label"], "create table a");
    let status = json(0, &["status"]);
    assert_eq!(status["migrations"][0]["state"], "pending");
    assert_eq!(status["counts"]["pending"], 1);
    let up = json(0, &["up"]);
    assert_eq!(up["settled"], json!(["postgres@1"]));
    assert!(up["run"].is_string() && up["took_ms"].is_u64(), "{up}");
    let status = json(0, &["status"]);
    assert_eq!(status["migrations"][0]["state"], "applied");
    assert!(status["migrations"][0]["at"].is_string(), "{status}");
    assert_eq!(json(0, &["up"])["applied_before"], 1);
    assert!(json(0, &["validate"])["findings"].is_array());
    json(0, &["tag", "v1"]);
    let history = json(0, &["history"]);
    let kinds: Vec<&str> = history["events"]
        .as_array()
        .expect("events")
        .iter()
        .filter_map(|event| event["event"].as_str())
        .collect();
    assert_eq!(kinds, ["applied", "tagged"]);
    assert_eq!(json(0, &["status"])["tags"], json!(["v1"]));
    assert!(json(0, &["wait"])["message"].is_string());
    assert!(json(0, &["hash"])["message"].is_string());
    assert_eq!(json(0, &["down", "--dry-run"])["migrations"][0]["action"], "undo");
    assert_eq!(json(0, &["down", "--yes"])["settled"], json!(["postgres@1"]));
    env.file("migrations/postgres/V1__a.sql", "create table a (id int)\n  oops;");
    json(0, &["hash"]);
    let failed = json(1, &["up"]);
    assert_eq!(failed["failed"], json!(["postgres@1"]));
    let error = &failed["error"];
    assert_eq!(error["place"]["file"], "migrations/postgres/V1__a.sql");
    assert_eq!(error["place"]["line"], 2);
    assert_eq!(error["place"]["column"], 3);
    assert!(error["causes"].to_string().contains("42601"), "{error}");
    env.file("migrations/postgres/V2__b.sql", "select 'open");
    let refused = json(2, &["up"]);
    assert!(refused["error"]["message"].is_string(), "{refused}");
    assert!(refused.get("settled").is_none(), "nothing was begun: {refused}");
}

#[test]
fn database_url_and_a_folder_are_enough() {
    let env = TestEnv::new();
    env.file("migrations/postgres/V1__a.sql", "create table a (id int);");
    let mut command = env.command(&["up"]);
    command.env("DATABASE_URL", env.get("AIPLAT_MIGRATE_POSTGRES_URL"));
    command.env_remove("AIPLAT_MIGRATE_POSTGRES_URL");
    let output = command.output().expect("binary");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(env.ledger(), ["postgres 1 applied"]);
    assert_eq!(env.sql("SELECT to_regclass('a')"), ["a"]);
}

/// Starts an `up` that holds the lock for a few seconds, and waits until it does.
fn slow_run(env: &TestEnv, seconds: u32) -> std::process::Child {
    env.file("migrations/postgres/V1__slow.sql", &format!("select pg_sleep({seconds});"));
    let child = env.spawn(&["up"]);
    let deadline = Instant::now() + Duration::from_secs(20);
    let busy = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
                AND query LIKE '%pg_sleep(%' AND state = 'active' AND pid <> pg_backend_pid()";
    while env.sql(busy) == ["0"] {
        assert!(Instant::now() < deadline, "the slow migration never began");
        std::thread::sleep(Duration::from_millis(50));
    }
    child
}

#[test]
fn who_waits_for_the_lock_is_told_who_holds_it() {
    let env = TestEnv::new();
    let slow = slow_run(&env, 4);
    let began = Instant::now();
    let refused = env.run(&["up", "--lock-wait", "1s"]).expect(5);
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
    let refused = refused.says(&[
        "another run is at work",
        "the lock is held by aiplat-migrate ",
        " on ",
        "pid ",
        "since ",
        "--lock-wait",
    ]);
    assert!(!refused.stdout.contains("nothing is pending"), "{}", refused.stdout);
    let status = env.run(&["status", "--output", "json"]).expect(0).json();
    assert!(status["at_work"].to_string().contains("aiplat-migrate"), "{status}");
    // One with patience says whom it waits for, and then finds nothing left to do.
    let patient = env.run(&["up", "--lock-wait", "30s"]).expect(0);
    assert!(patient.stderr.contains("pid "), "{}", patient.stderr);
    assert!(patient.stdout.contains("nothing is pending"), "{}", patient.stdout);
    finish(slow).expect(0);
    assert_eq!(env.ledger(), ["postgres 1 applied"]);
}

#[test]
fn a_lock_timeout_is_tried_again() {
    let env = TestEnv::new();
    env.sql("CREATE TABLE a (id int)");
    env.file(
        "migrations/postgres/V1__a.sql",
        "-- lock_timeout: 200ms\nalter table a add column name text;",
    );
    env.file("migrations/postgres/V2__b.sql", "create table b (id int);");
    let url = with_database(&env.get("AIPLAT_MIGRATE_POSTGRES_URL"), &env.name);
    let finished: Finished = block_on(async {
        let client = postgres(&url).await;
        client.batch_execute("BEGIN; LOCK TABLE a IN ACCESS SHARE MODE").await.expect("lock");
        let child = env.spawn(&["up"]);
        tokio::time::sleep(Duration::from_secs(2)).await;
        client.batch_execute("COMMIT").await.expect("commit");
        finish(child)
    });
    finished.expect(0).says(&["55P03"]);
    assert_eq!(env.ledger(), ["postgres 1 applied", "postgres 2 applied"]);
}

#[test]
fn a_ledger_that_belongs_with_another_server_is_refused() {
    let env = TestEnv::new().with(&["kafka"]);
    let topic = "{ createTopic: { name: 'NAME', partitions: 1, replicationFactor: 1 } }";
    env.file("migrations/kafka/V1__a.json5", &format!("{{ steps: [{topic}] }}"));
    env.run(&["up"]).expect(0);
    env.run(&["down", "--yes"]).expect(0);
    let identity = env.sql("SELECT identity FROM aiplat_migrate.identity WHERE store = 'kafka'");
    let env = env.set("AIPLAT_MIGRATE_KAFKA_BROKERS", &required("PLATFORM_KAFKA_BROKERS"));
    env.run(&["up"]).expect(2).says(&["belongs with another Kafka", &identity[0], "nothing was"]);
    assert!(!witness::topics(&required("PLATFORM_KAFKA_BROKERS")).contains_key(&env.name));
}
