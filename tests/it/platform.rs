//! The promise of the repository: one command takes five empty, real stores to the platform's
//! schema, and one takes it back. The repository's own migrations and settings are applied, and
//! every figure is asked of the store itself.
//!
//! The platform's names are fixed, so these tests have a set of stores to themselves, and one run
//! after another: an advisory lock on the set's own server serialises them, also between
//! checkouts.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};

use bson::{Document, doc};
use futures_util::TryStreamExt;
use serde_json::{Value, json};

use crate::support::{
    Finished, block_on, finish, platform_lock, postgres, required, with_database,
};
use crate::witness;

/// The settings that the platform's second Redis migration sets, each with another value that this
/// test puts there first, so that `down` has something to bring back.
const REDIS_SETTINGS: [(&str, &str, &str); 6] = [
    ("maxmemory", "0", "1073741824"),
    ("maxmemory-policy", "noeviction", "allkeys-lru"),
    ("appendonly", "no", "yes"),
    ("appendfsync", "no", "everysec"),
    ("timeout", "77", "0"),
    ("tcp-keepalive", "60", "300"),
];

/// Schema → tables, columns, foreign keys, unique constraints, checks, stand-alone indexes, all
/// indexes.
const SCHEMAS: [(&str, [i64; 7]); 6] = [
    ("algo_platform", [3, 37, 5, 0, 0, 3, 6]),
    ("auth", [8, 48, 11, 6, 1, 4, 18]),
    ("data_platform", [5, 59, 8, 0, 0, 5, 10]),
    ("model_platform", [3, 44, 6, 0, 0, 4, 7]),
    ("public", [2, 19, 2, 1, 0, 4, 7]),
    ("service_platform", [3, 31, 4, 0, 0, 3, 6]),
];

const OUTSIDE: &str = "('pg_catalog', 'information_schema', 'pg_toast', 'aiplat_migrate')";

/// The platform's set, and the lock that keeps others off it as long as this value lives.
struct Platform {
    postgres: String,
    mongo: String,
    weaviate: String,
    weaviate_key: String,
    kafka: String,
    redis: String,
    runtime: tokio::runtime::Runtime,
    _lock: std::fs::File,
}

impl Platform {
    /// The set, emptied.
    fn empty() -> Platform {
        let postgres_url = required("PLATFORM_POSTGRES_URL");
        let lock = platform_lock();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("runtime");
        let platform = Platform {
            postgres: postgres_url,
            mongo: required("PLATFORM_MONGO_URL"),
            weaviate: required("PLATFORM_WEAVIATE_URL"),
            weaviate_key: required("PLATFORM_WEAVIATE_API_KEY"),
            kafka: required("PLATFORM_KAFKA_BROKERS"),
            redis: required("PLATFORM_REDIS_URL"),
            runtime,
            _lock: lock,
        };
        platform.clear();
        platform
    }

    /// Empties the stores through their drivers, whatever an earlier test left.
    fn clear(&self) {
        let runtime = &self.runtime;
        runtime.block_on(async {
            let client = &postgres(&with_database(&self.postgres, "postgres")).await;
            let drop = "DROP DATABASE IF EXISTS ai_platform WITH (FORCE)";
            client.batch_execute(drop).await.expect("drop");
            client.batch_execute("CREATE DATABASE ai_platform").await.expect("create");
            self.database().await.drop().await.expect("drop");
            for class in self.classes().await {
                let path = format!("/schema/{}", class["class"].as_str().expect("name"));
                let (status, _) = self.weaviate("DELETE", &path, Value::Null).await;
                assert_eq!(status, 200);
            }
            let topics = witness::topics(&self.kafka);
            let names: Vec<&str> = topics.keys().map(String::as_str).collect();
            if !names.is_empty() {
                witness::delete_topics(&self.kafka, &names).await;
            }
            witness::redis::<()>(&self.redis, &["FLUSHALL"]).await;
            for (name, before, _) in REDIS_SETTINGS {
                witness::redis::<()>(&self.redis, &["CONFIG", "SET", name, before]).await;
            }
        });
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
        while !witness::topics(&self.kafka).is_empty() {
            assert!(std::time::Instant::now() < deadline, "topics are not deleted");
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
    }

    /// The binary in the repository's own folder.
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_aiplat-migrate"));
        command
            .args(arguments)
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .env_clear()
            .env("AIPLAT_MIGRATE_NO_DOTENV", "true")
            .env("AIPLAT_MIGRATE_POSTGRES_URL", &self.postgres)
            .env("AIPLAT_MIGRATE_MONGO_URL", &self.mongo)
            .env("AIPLAT_MIGRATE_WEAVIATE_URL", &self.weaviate)
            .env("AIPLAT_MIGRATE_WEAVIATE_API_KEY", &self.weaviate_key)
            .env("AIPLAT_MIGRATE_KAFKA_BROKERS", &self.kafka)
            .env("AIPLAT_MIGRATE_REDIS_URL", &self.redis)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    fn run(&self, arguments: &[&str]) -> Finished {
        finish(self.command(arguments).spawn().expect("binary"))
    }

    fn sql(&self, sql: &str) -> Vec<Vec<String>> {
        block_on(async {
            let client = postgres(&self.postgres).await;
            let messages =
                client.simple_query(sql).await.unwrap_or_else(|e| panic!("{sql}: {e:?}"));
            let row = |message| match message {
                tokio_postgres::SimpleQueryMessage::Row(row) => Some(
                    (0..row.len()).map(|at| row.get(at).unwrap_or("NULL").to_string()).collect(),
                ),
                _ => None,
            };
            messages.into_iter().filter_map(row).collect()
        })
    }

    #[track_caller]
    fn number(&self, sql: &str) -> i64 {
        self.sql(sql)[0][0].parse().expect("number")
    }

    async fn database(&self) -> mongodb::Database {
        let client = mongodb::Client::with_uri_str(&self.mongo).await.expect("client");
        client.database("ai_platform")
    }

    async fn weaviate(&self, method: &str, path: &str, body: Value) -> (u16, Value) {
        witness::weaviate(&self.weaviate, &self.weaviate_key, method, path, body).await
    }

    async fn classes(&self) -> Vec<Value> {
        let (status, schema) = self.weaviate("GET", "/schema", Value::Null).await;
        assert_eq!(status, 200);
        schema["classes"].as_array().cloned().unwrap_or_default()
    }

    /// All that is in the stores, the ledger's own schema left out.
    fn picture(&self) -> BTreeMap<String, String> {
        let mut picture = BTreeMap::new();
        for (what, sql) in [
            (
                "schemas",
                format!(
                    "SELECT nspname FROM pg_namespace WHERE nspname NOT IN {OUTSIDE} AND nspname !~ '^pg_' ORDER BY 1"
                ),
            ),
            ("extensions", "SELECT extname, extversion FROM pg_extension ORDER BY 1".to_string()),
            (
                "relations",
                format!(
                    "SELECT c.oid::regclass::text, relkind FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace WHERE nspname NOT IN {OUTSIDE} AND nspname !~ '^pg_' ORDER BY 1"
                ),
            ),
            (
                "columns",
                format!(
                    "SELECT table_schema, table_name, ordinal_position, column_name, udt_name, character_maximum_length, is_nullable, column_default FROM information_schema.columns WHERE table_schema NOT IN {OUTSIDE} ORDER BY 1, 2, 3"
                ),
            ),
            (
                "constraints",
                format!(
                    "SELECT conrelid::regclass::text, conname, pg_get_constraintdef(c.oid) FROM pg_constraint c JOIN pg_namespace n ON n.oid = connamespace WHERE nspname NOT IN {OUTSIDE} ORDER BY 1, 2"
                ),
            ),
            (
                "indexes",
                format!(
                    "SELECT indexdef FROM pg_indexes WHERE schemaname NOT IN {OUTSIDE} ORDER BY 1"
                ),
            ),
        ] {
            picture.insert(format!("postgres {what}"), format!("{:#?}", self.sql(&sql)));
        }
        block_on(async {
            let database = self.database().await;
            for collection in collections(&database).await {
                let name = collection.get_str("name").expect("name").to_string();
                let options = collection.get_document("options").expect("options").to_string();
                picture.insert(format!("mongo {name}"), options);
                for (index, keys) in indexes(&database, &name).await {
                    picture.insert(format!("mongo {name} {index}"), keys.to_string());
                }
            }
            for class in self.classes().await {
                picture.insert(format!("weaviate {}", class["class"]), class.to_string());
            }
            for (topic, partitions) in witness::topics(&self.kafka) {
                let configs = witness::own_configs(&self.kafka, &topic).await;
                picture.insert(format!("kafka {topic}"), format!("{partitions} {configs:?}"));
            }
            for (name, _, _) in REDIS_SETTINGS {
                picture.insert(format!("redis {name}"), self.redis_setting(name).await);
            }
            let keys: i64 = witness::redis(&self.redis, &["DBSIZE"]).await;
            picture.insert("redis keys".to_string(), keys.to_string());
        });
        picture
    }

    /// Fails the test if `validate` finds anything, live keys and objects of others included.
    #[track_caller]
    fn does_not_differ(&self, when: &str) {
        let strictly = ["validate", "--strict", "--strict-data", "--full", "--wait", "60s"];
        let found = self.run(&[&strictly[..], &["--output", "json"]].concat());
        let report = found.json();
        let findings = report["findings"].as_array().expect("findings");
        assert!(findings.is_empty(), "{when}: {findings:#?}");
        assert_eq!(found.code, 0, "{when}: {}", found.stderr);
    }

    async fn redis_setting(&self, name: &str) -> String {
        let found: Vec<String> = witness::redis(&self.redis, &["CONFIG", "GET", name]).await;
        found[1].clone()
    }
}

async fn collections(database: &mongodb::Database) -> Vec<Document> {
    let answer = database.run_command(doc! { "listCollections": 1 }).await.expect("collections");
    let batch = answer.get_document("cursor").and_then(|cursor| cursor.get_array("firstBatch"));
    let mut all: Vec<Document> = batch
        .expect("batch")
        .iter()
        .map(|collection| {
            let mut collection = collection.as_document().expect("document").clone();
            // It differs from one creation to the next.
            collection.remove("info");
            collection
        })
        .collect();
    all.sort_by_key(|collection| collection.get_str("name").expect("name").to_string());
    all
}

async fn indexes(database: &mongodb::Database, collection: &str) -> BTreeMap<String, Document> {
    let found = database.collection::<Document>(collection).list_indexes().await.expect("indexes");
    let all: Vec<mongodb::IndexModel> = found.try_collect().await.expect("indexes");
    let described = all.into_iter().map(|index| {
        let options = index.options.expect("options");
        let mut keys = index.keys;
        if let Some(after) = options.expire_after {
            keys.insert("expires after", after.as_secs() as i64);
        }
        if options.unique == Some(true) {
            keys.insert("unique", true);
        }
        (options.name.expect("name"), keys)
    });
    described.collect()
}

/// The migrations of the repository: `store version`, with leading zeros gone.
fn migrations_in_the_repository() -> Vec<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations");
    let mut all = Vec::new();
    for store in ["kafka", "mongo", "postgres", "redis", "weaviate"] {
        for entry in std::fs::read_dir(root.join(store)).expect("folder") {
            let name = entry.expect("entry").file_name().into_string().expect("name");
            if let Some((version, _)) =
                name.strip_prefix('V').and_then(|name| name.split_once("__"))
            {
                all.push(format!("{store} {}", version.trim_start_matches('0')));
            }
        }
    }
    all.sort();
    all
}

#[test]
fn five_empty_stores_to_the_whole_platform_and_back() {
    let platform = Platform::empty();
    let empty = platform.picture();

    eight_at_once_apply_each_migration_once(&platform);
    postgres_holds_what_is_specified(&platform);
    block_on(mongo_holds_what_is_specified(&platform));
    block_on(weaviate_holds_what_is_specified(&platform));
    block_on(kafka_holds_what_is_specified(&platform));
    block_on(redis_holds_what_is_specified(&platform));
    let full = platform.picture();
    platform.run(&["validate"]).expect(0);

    again_nothing_is_pending_and_no_other_store_is_needed(&platform);
    same(&platform.picture(), &full);

    platform.run(&["down", "--all", "--yes"]).expect(0);
    same(&platform.picture(), &empty);
    let living =
        platform.number("SELECT count(*) FROM aiplat_migrate.ledger WHERE state <> 'undone'");
    assert_eq!(living, 0);

    platform.run(&["up"]).expect(0);
    same(&platform.picture(), &full);
    platform.run(&["validate"]).expect(0);

    block_on(data_goes_in_where_it_fits_and_only_there(&platform));
    down_refuses_to_lose_data(&platform, &full);
    platform.run(&["down", "--all", "--yes", "--allow-data-loss"]).expect(0);
    same(&platform.picture(), &empty);
}

/// What the applications do with the stores, and what administrators do to servers, is no drift.
#[test]
fn what_is_used_cleaned_up_and_restarted_does_not_differ() {
    let platform = Platform::empty();
    platform.run(&["up"]).expect(0);
    platform.does_not_differ("after up");

    block_on(data_goes_in_where_it_fits_and_only_there(&platform));
    block_on(messages_and_keys(&platform));
    platform.does_not_differ("after data was written");

    for sql in ["VACUUM FULL", "VACUUM ANALYZE", "REINDEX DATABASE ai_platform", "CHECKPOINT"] {
        platform.sql(sql);
    }
    platform.does_not_differ("after VACUUM, ANALYZE and REINDEX");

    restart_all();
    platform.does_not_differ("after a restart of every server");

    platform.run(&["down", "--all", "--yes", "--allow-data-loss"]).expect(0);
    platform.run(&["up"]).expect(0);
    platform.does_not_differ("after up, down, up");
}

/// Messages in a topic, and a key for each of the contracts that have a type.
async fn messages_and_keys(platform: &Platform) {
    let producer: rdkafka::producer::FutureProducer = rdkafka::ClientConfig::new()
        .set("bootstrap.servers", &platform.kafka)
        .create()
        .expect("producer");
    for n in 0..100 {
        let (key, payload) = (n.to_string(), format!("message {n}"));
        let record = rdkafka::producer::FutureRecord::to("data-ingestion");
        let sent = producer
            .send(record.key(&key).payload(&payload), std::time::Duration::from_secs(20))
            .await;
        sent.expect("message");
    }
    for words in [
        ["HSET session:1 user 1", "EXPIRE session:1 600"],
        ["SET token:1 x EX 60", "SET rate:api:1 1 EX 30"],
        ["HSET cache:dataset:1 a 1", "EXPIRE cache:dataset:1 60"],
        ["RPUSH queue:etl a", "SET lock:etl 1"],
    ]
    .concat()
    {
        let words: Vec<&str> = words.split(' ').collect();
        witness::redis::<redis::Value>(&platform.redis, &words).await;
    }
}

/// Restarts the servers of the platform's set; no other test uses them meanwhile.
fn restart_all() {
    let set = std::env::var("PLATFORM_SET").unwrap_or_else(|_| "platform".to_string());
    let mut command = Command::new("dev/stores");
    command.args(["restart", "--set", &set, "postgres", "mongo", "weaviate", "kafka", "redis"]);
    let done = command.current_dir(env!("CARGO_MANIFEST_DIR")).output().expect("dev/stores");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

/// Fails the test unless both pictures are the same; shows what differs, and nothing else.
#[track_caller]
fn same(left: &BTreeMap<String, String>, right: &BTreeMap<String, String>) {
    let names = left.keys().chain(right.keys());
    let differing = names.filter(|name| left.get(*name) != right.get(*name));
    let shown: Vec<String> = differing
        .map(|name| format!("{name}: {:?} / {:?}", left.get(name), right.get(name)))
        .collect();
    assert!(shown.is_empty(), "{}", shown.join("\n"));
}

fn eight_at_once_apply_each_migration_once(platform: &Platform) {
    let runs: Vec<_> = (0..8).map(|_| platform.command(&["up"]).spawn().expect("binary")).collect();
    let finished: Vec<Finished> = runs.into_iter().map(|run| finish(run).expect(0)).collect();
    let idle = finished.iter().filter(|run| run.stdout.contains("nothing is pending")).count();
    assert_eq!(idle, 7, "one run does all, seven find it done");
    let rows = "SELECT store || ' ' || version FROM aiplat_migrate.ledger \
                WHERE state = 'applied' ORDER BY 1";
    let rows: Vec<String> = platform.sql(rows).into_iter().flatten().collect();
    assert_eq!(rows, migrations_in_the_repository());
    assert_eq!(platform.number("SELECT count(*) FROM aiplat_migrate.ledger"), rows.len() as i64);
    let events = "SELECT store || ' ' || version FROM aiplat_migrate.event ORDER BY 1";
    let events: Vec<String> = platform.sql(events).into_iter().flatten().collect();
    assert_eq!(events, rows, "one event per migration, each `applied`");
    assert_eq!(platform.number("SELECT count(DISTINCT event) FROM aiplat_migrate.event"), 1);
    assert_eq!(platform.number("SELECT count(DISTINCT run_id) FROM aiplat_migrate.ledger"), 1);
}

fn postgres_holds_what_is_specified(platform: &Platform) {
    let by_schema = format!(
        "SELECT n.nspname, \
         (SELECT count(*) FROM pg_class WHERE relnamespace = n.oid AND relkind = 'r'), \
         (SELECT count(*) FROM information_schema.columns WHERE table_schema = n.nspname), \
         (SELECT count(*) FROM pg_constraint WHERE connamespace = n.oid AND contype = 'f'), \
         (SELECT count(*) FROM pg_constraint WHERE connamespace = n.oid AND contype = 'u'), \
         (SELECT count(*) FROM pg_constraint WHERE connamespace = n.oid AND contype = 'c'), \
         (SELECT count(*) FROM pg_indexes i WHERE schemaname = n.nspname AND NOT EXISTS \
            (SELECT FROM pg_constraint WHERE connamespace = n.oid AND conname = i.indexname)), \
         (SELECT count(*) FROM pg_indexes WHERE schemaname = n.nspname) \
         FROM pg_namespace n WHERE nspname NOT IN {OUTSIDE} AND nspname !~ '^pg_' ORDER BY 1"
    );
    let expected: Vec<Vec<String>> = SCHEMAS
        .iter()
        .map(|(schema, figures)| {
            std::iter::once(schema.to_string()).chain(figures.iter().map(i64::to_string)).collect()
        })
        .collect();
    assert_eq!(platform.sql(&by_schema), expected);

    let ours = "connamespace NOT IN (SELECT oid FROM pg_namespace WHERE nspname IN \
                ('pg_catalog', 'information_schema', 'aiplat_migrate'))";
    let count = |what: &str| {
        platform.number(&format!("SELECT count(*) FROM pg_constraint WHERE {ours} AND {what}"))
    };
    assert_eq!(count("contype = 'p'"), 24);
    assert_eq!(count("contype = 'f'"), 36);
    assert_eq!(
        count("contype = 'f' AND confdeltype = 'a' AND confupdtype = 'a' AND NOT condeferrable"),
        36
    );
    assert_eq!(count("contype = 'u'"), 7);
    assert_eq!(count("contype = 'c'"), 1);
    let columns = format!("information_schema.columns WHERE table_schema NOT IN {OUTSIDE}");
    assert_eq!(platform.number(&format!("SELECT count(*) FROM {columns}")), 238);
    assert_eq!(
        platform.number(&format!("SELECT count(*) FROM {columns} AND is_nullable = 'NO'")),
        62
    );
    let indexes = format!("pg_indexes WHERE schemaname NOT IN {OUTSIDE}");
    assert_eq!(platform.number(&format!("SELECT count(*) FROM {indexes}")), 54);
    let vector = format!("SELECT tablename, indexdef FROM {indexes} AND indexdef LIKE '%ivfflat%'");
    let vector = platform.sql(&vector);
    assert_eq!(vector.len(), 1);
    assert_eq!(vector[0][0], "text_embeddings");
    for part in ["embedding", "vector_cosine_ops", "lists='100'"] {
        assert!(vector[0][1].contains(part), "{part} in {}", vector[0][1]);
    }
    let sequences = format!(
        "SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace WHERE relkind = 'S' AND nspname NOT IN {OUTSIDE}"
    );
    assert_eq!(platform.number(&sequences), 24);
    let others = format!(
        "SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace WHERE relkind NOT IN ('r', 'i', 'S') AND nspname NOT IN {OUTSIDE}"
    );
    assert_eq!(platform.number(&others), 0, "no views, no partitions");
    assert_eq!(platform.number("SELECT count(*) FROM pg_extension WHERE extname = 'vector'"), 1);
    let triggers = "SELECT count(*) FROM pg_trigger WHERE NOT tgisinternal";
    assert_eq!(platform.number(triggers), 0);
    let functions = format!(
        "SELECT count(*) FROM pg_proc p JOIN pg_namespace n ON n.oid = pronamespace WHERE nspname NOT IN {OUTSIDE} AND NOT EXISTS (SELECT FROM pg_depend WHERE objid = p.oid AND deptype = 'e')"
    );
    assert_eq!(platform.number(&functions), 0);
    let dimensions = "SELECT format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid = 'data_platform.text_embeddings'::regclass AND attname = 'embedding'";
    assert_eq!(platform.sql(dimensions)[0][0], "vector(1536)");
}

async fn mongo_holds_what_is_specified(platform: &Platform) {
    let database = platform.database().await;
    let collections = collections(&database).await;
    let names: Vec<&str> = collections.iter().map(|c| c.get_str("name").expect("name")).collect();
    assert_eq!(names, ["configurations", "system_logs", "task_status_cache"]);
    for collection in &collections {
        let options = collection.get_document("options").expect("options");
        let validator = options.get_document("validator").expect("validator");
        assert!(validator.contains_key("$jsonSchema"), "{collection}");
        assert_eq!(options.get_str("validationLevel").ok(), Some("moderate"));
        assert_eq!(options.get_str("validationAction").ok(), Some("error"));
    }
    let mut all = Vec::new();
    for name in names {
        let found = indexes(&database, name).await;
        all.extend(found.into_iter().map(|(index, keys)| format!("{name} {index} {keys}")));
    }
    let expected = [
        r#"configurations _id_ { "_id": 1 }"#,
        r#"configurations component_1_environment_1_version_1 { "component": 1, "environment": 1, "version": 1 }"#,
        r#"configurations is_active_1 { "is_active": 1 }"#,
        r#"system_logs _id_ { "_id": 1 }"#,
        r#"system_logs level_1_timestamp_1 { "level": 1, "timestamp": 1 }"#,
        r#"system_logs service_1_timestamp_1 { "service": 1, "timestamp": 1 }"#,
        r#"system_logs timestamp_1 { "timestamp": 1 }"#,
        r#"task_status_cache _id_ { "_id": 1 }"#,
        r#"task_status_cache last_updated_1 { "last_updated": 1, "expires after": 86400 }"#,
        r#"task_status_cache status_1_last_updated_1 { "status": 1, "last_updated": 1 }"#,
        r#"task_status_cache task_id_1 { "task_id": 1 }"#,
        r#"task_status_cache task_type_1_status_1 { "task_type": 1, "status": 1 }"#,
    ];
    assert_eq!(all, expected);
}

async fn weaviate_holds_what_is_specified(platform: &Platform) {
    let mut classes = platform.classes().await;
    classes.sort_by_key(|class| class["class"].to_string());
    let text = |names: &[&'static str]| -> Vec<(String, &'static str)> {
        names.iter().map(|name| (name.to_string(), "text")).collect()
    };
    let expected = |class: &str| -> Vec<(String, &'static str)> {
        match class {
            "Document" => [
                text(&["title", "content", "source", "category"]),
                vec![("creationDate".to_string(), "date")],
                text(&["author"]),
                vec![("tags".to_string(), "text[]")],
            ]
            .concat(),
            "Image" => [
                text(&["filename", "caption", "mimeType", "imageUrl", "resolution"]),
                vec![("tags".to_string(), "text[]"), ("uploadDate".to_string(), "date")],
                vec![("image".to_string(), "blob")],
            ]
            .concat(),
            "ModelData" => text(&[
                "modelName",
                "modelDescription",
                "framework",
                "metrics",
                "useCase",
                "version",
                "createdBy",
            ]),
            other => panic!("an unexpected class {other}"),
        }
    };
    let mut properties = 0;
    for class in &classes {
        let name = class["class"].as_str().expect("name");
        let found: Vec<(String, String)> = class["properties"]
            .as_array()
            .expect("properties")
            .iter()
            .map(|property| {
                let name = property["name"].as_str().expect("name").to_string();
                (name, property["dataType"][0].as_str().expect("type").to_string())
            })
            .collect();
        let wanted: Vec<(String, String)> =
            expected(name).into_iter().map(|(name, kind)| (name, kind.to_string())).collect();
        assert_eq!(found, wanted, "{name}");
        properties += found.len();
    }
    assert_eq!((classes.len(), properties), (3, 22));
    let vectorizers: Vec<&str> =
        classes.iter().map(|class| class["vectorizer"].as_str().expect("vectorizer")).collect();
    assert_eq!(vectorizers, ["text2vec-transformers", "img2vec-neural", "text2vec-transformers"]);
    assert_eq!(classes[1]["moduleConfig"]["img2vec-neural"]["imageFields"], json!(["image"]));
}

async fn kafka_holds_what_is_specified(platform: &Platform) {
    let topics = witness::topics(&platform.kafka);
    let expected = ["data-ingestion", "model-events", "system-logs"];
    assert_eq!(topics, BTreeMap::from(expected.map(|topic| (topic.to_string(), 3))));
    for (topic, days) in expected.into_iter().zip([7, 30, 3_u64]) {
        let configs = witness::own_configs(&platform.kafka, topic).await;
        let wanted = BTreeMap::from([
            ("compression.type".to_string(), "lz4".to_string()),
            ("retention.ms".to_string(), (days * 24 * 3600 * 1000).to_string()),
        ]);
        assert_eq!(configs, wanted, "{topic}");
    }
}

async fn redis_holds_what_is_specified(platform: &Platform) {
    for (name, _, value) in REDIS_SETTINGS {
        assert_eq!(platform.redis_setting(name).await, value, "{name}");
    }
    assert_eq!(witness::redis::<i64>(&platform.redis, &["DBSIZE"]).await, 0);
    // The contracts are in no store: the recorded shape is where they live.
    let shape = "SELECT recorded::text FROM aiplat_migrate.shape WHERE store = 'redis'";
    let client = postgres(&platform.postgres).await;
    let row = client.query_one(shape, &[]).await.expect("shape");
    let recorded: Value = serde_json::from_str(row.get(0)).expect("JSON");
    let contracts = recorded.as_object().expect("objects").iter();
    let contracts = contracts.filter(|(name, _)| name.starts_with("keyspace "));
    let mut found: Vec<String> = contracts
        .map(|(_, it)| {
            format!("{} {} {}", it["pattern"].as_str().expect("text"), it["type"], it["ttlSeconds"])
        })
        .collect();
    found.sort();
    let expected = [
        r#"cache:dataset:{dataset_id} ["hash"] 1800"#,
        r#"cache:model:{model_id} ["hash"] 1800"#,
        r#"lock:{resource} ["string"] "any""#,
        r#"pubsub:{channel} "never" "none""#,
        r#"queue:{name} ["list"] "none""#,
        r#"rate:api:{caller} ["string"] 60"#,
        r#"session:{user_id} ["hash"] 86400"#,
        r#"stats:{subject} ["hash","zset"] 3600"#,
        r#"token:{token} ["string"] 3600"#,
    ];
    assert_eq!(found, expected);
}

fn again_nothing_is_pending_and_no_other_store_is_needed(platform: &Platform) {
    let again = platform.run(&["up"]).expect(0);
    assert!(again.stdout.contains("nothing is pending"), "{}", again.stdout);
    let mut alone = platform.command(&["up", "--wait", "0s"]);
    alone
        .env("AIPLAT_MIGRATE_MONGO_URL", "mongodb://127.0.0.1:1/ai_platform")
        .env("AIPLAT_MIGRATE_WEAVIATE_URL", "http://127.0.0.1:1")
        .env("AIPLAT_MIGRATE_KAFKA_BROKERS", "127.0.0.1:1")
        .env("AIPLAT_MIGRATE_REDIS_URL", "redis://127.0.0.1:1/0");
    let alone = finish(alone.spawn().expect("binary")).expect(0);
    assert!(alone.stdout.contains("nothing is pending"), "{}", alone.stdout);
    let count = migrations_in_the_repository().len();
    assert!(alone.stdout.contains(&format!("{count} migrations")), "{}", alone.stdout);
    let rows = "SELECT count(*) FROM aiplat_migrate.ledger";
    assert_eq!(platform.number(rows), count as i64);
}

async fn data_goes_in_where_it_fits_and_only_there(platform: &Platform) {
    let database = platform.database().await;
    let logs = database.collection::<Document>("system_logs");
    let now = bson::DateTime::now();
    let good = doc! { "timestamp": now, "level": "INFO", "service": "etl", "message": "done" };
    let mut bad = good.clone();
    bad.insert("level", "DEBUG");
    let refused = logs.insert_one(bad).await.expect_err("a level that is not allowed");
    assert!(refused.to_string().contains("121"), "{refused}");
    logs.insert_one(good).await.expect("a good line");
    let cache = database.collection::<Document>("task_status_cache");
    let late = doc! { "task_id": "a", "task_type": "b", "status": "c", "last_updated": "now" };
    cache.insert_one(late).await.expect_err("a date that is text: the TTL would never see it");

    for (class, properties) in [
        ("Document", json!({ "title": "a", "content": "b", "tags": ["c"] })),
        ("Image", json!({ "filename": "a.png", "image": "aGVsbG8=" })),
        ("ModelData", json!({ "modelName": "a", "metrics": "{}" })),
    ] {
        let object = json!({ "class": class, "properties": properties });
        let (status, answer) = platform.weaviate("POST", "/objects", object).await;
        assert_eq!(status, 200, "{class}: {answer}");
    }
    let client = postgres(&platform.postgres).await;
    client
        .batch_execute("INSERT INTO auth.organizations (name) VALUES ('one')")
        .await
        .expect("a row");
}

fn down_refuses_to_lose_data(platform: &Platform, full: &BTreeMap<String, String>) {
    let refused = platform.run(&["down", "--all", "--yes"]).expect(1);
    refused.says(&[
        "this would lose data",
        "system_logs",
        "Document",
        "Image",
        "ModelData",
        "auth.organizations",
        "nothing was undone",
        "--allow-data-loss",
    ]);
    same(&platform.picture(), full);
}
