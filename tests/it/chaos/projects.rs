//! A project per store that has every kind of step, with data that tells whether one was done twice.

use bson::doc;

use crate::support::{TestEnv, block_on, required};

/// The stores, each of which has a project.
pub const ALL: [&str; 5] = ["postgres", "mongo", "weaviate", "kafka", "redis"];

/// A project.
pub struct Project {
    /// Its store; `all` for the one that has the files of every store.
    pub store: String,
    /// Its folder and its addresses.
    pub env: TestEnv,
}

/// How many documents and keys there are to be changed.
const ITEMS: usize = 60;

impl Project {
    /// The project of one store.
    pub fn of(store: &str) -> Project {
        let env = match store {
            "postgres" => TestEnv::new(),
            other => TestEnv::new().with(&[other]),
        };
        let project = Project { store: store.to_string(), env };
        project.write(store);
        project
    }

    /// One project over all stores.
    pub fn of_all() -> Project {
        let env = TestEnv::new().with(&ALL[1..]);
        let project = Project { store: "all".to_string(), env };
        for store in ALL {
            project.write(store);
        }
        project
    }

    fn has(&self, store: &str) -> bool {
        self.store == store || self.store == "all"
    }

    fn write(&self, store: &str) {
        let files: &[(&str, &str)] = match store {
            "postgres" => POSTGRES,
            "mongo" => MONGO,
            "weaviate" => WEAVIATE,
            "kafka" => KAFKA,
            "redis" => REDIS,
            other => panic!("no store {other}"),
        };
        for (name, text) in files {
            self.env.file(&format!("migrations/{store}/{name}"), text);
        }
    }

    /// Brings everything to where it was before the first run: no ledger, the data not yet changed.
    pub fn reset(&self) {
        self.env.sql("DROP SCHEMA IF EXISTS aiplat_migrate CASCADE");
        if self.has("mongo") {
            block_on(async {
                let legacy = self.mongo().await.collection::<bson::Document>("legacy");
                legacy.drop().await.expect("drop");
                let items = (0..ITEMS as i32).map(|n| doc! { "_id": n, "n": 0 });
                legacy.insert_many(items).await.expect("documents");
            });
        }
        if self.has("redis") {
            block_on(async {
                let mut redis = redis_client().await;
                let mut pipeline = redis::pipe();
                for number in 0..ITEMS {
                    let key = format!("{}:old:{number}", self.env.name);
                    pipeline.cmd("SET").arg(key).arg(number).ignore();
                }
                pipeline.query_async::<()>(&mut redis).await.expect("keys");
            });
        }
    }

    /// What the stores hold that no shape tells.
    pub fn facts(&self) -> Vec<String> {
        let mut facts = Vec::new();
        if self.has("postgres") {
            let there = self.env.sql("SELECT to_regclass('counted')");
            if there != ["NULL"] {
                facts
                    .extend(self.env.sql(
                        "SELECT 'counted', what, count(*) FROM counted GROUP BY 2 ORDER BY 2",
                    ));
            }
        }
        if self.has("mongo") {
            facts.push(block_on(async {
                let legacy = self.mongo().await.collection::<bson::Document>("legacy");
                let mut counts = Vec::new();
                for n in 0..3 {
                    counts.push(legacy.count_documents(doc! { "n": n }).await.expect("count"));
                }
                format!("legacy by n: {counts:?}")
            }));
        }
        if self.has("redis") {
            facts.push(block_on(async {
                let mut redis = redis_client().await;
                let mut counts = Vec::new();
                for stem in ["old", "new"] {
                    let pattern = format!("{}:{stem}:*", self.env.name);
                    let keys: Vec<String> = redis::cmd("KEYS")
                        .arg(pattern)
                        .query_async(&mut redis)
                        .await
                        .expect("keys");
                    let ttl: i64 = match keys.first() {
                        Some(key) => {
                            redis::cmd("TTL").arg(key).query_async(&mut redis).await.expect("ttl")
                        }
                        None => 0,
                    };
                    counts.push((stem, keys.len(), ttl > 0));
                }
                format!("keys: {counts:?}")
            }));
        }
        facts
    }

    async fn mongo(&self) -> mongodb::Database {
        let url = self.env.get("AIPLAT_MIGRATE_MONGO_URL");
        let client = mongodb::Client::with_uri_str(url).await.expect("MongoDB");
        client.database(&self.env.name)
    }
}

impl Drop for Project {
    fn drop(&mut self) {
        // The databases of PostgreSQL go with the environment; topics, classes and keys are shared.
        if std::thread::panicking() {
            return;
        }
        if self.has("mongo") {
            block_on(async { self.mongo().await.drop().await.expect("drop") });
        }
        if self.has("redis") {
            block_on(async {
                let mut redis = redis_client().await;
                let pattern = format!("{}:*", self.env.name);
                let keys: Vec<String> =
                    redis::cmd("KEYS").arg(pattern).query_async(&mut redis).await.expect("keys");
                if !keys.is_empty() {
                    let _: i64 =
                        redis::cmd("DEL").arg(keys).query_async(&mut redis).await.expect("del");
                }
            });
        }
    }
}

async fn redis_client() -> redis::aio::MultiplexedConnection {
    let client = redis::Client::open(required("TEST_REDIS_URL")).expect("URL");
    client.get_multiplexed_async_connection().await.expect("Redis")
}

const POSTGRES: &[(&str, &str)] = &[
    (
        "V1__counted.sql",
        "create table counted (what text);\ninsert into counted values ('one');\n\
         create table other (id int primary key, t text);\n",
    ),
    ("U1__counted.sql", "drop table other;\ndrop table counted;\n"),
    (
        "V2__copy.sql",
        "copy other (id, t) from stdin;\n1\ta\n2\tb\n\\.\ninsert into counted values ('copy');\n",
    ),
    ("U2__copy.sql", "truncate other;\ndelete from counted where what = 'copy';\n"),
    (
        "V3__apart.sql",
        "-- transaction: off\ncreate index concurrently other_t on other (t);\n\
         insert into counted values ('apart');\nvacuum other;\n",
    ),
    (
        "U3__apart.sql",
        "-- transaction: off\ndrop index concurrently other_t;\ndelete from counted where what = 'apart';\n",
    ),
    ("V4__after.sql", "insert into counted values ('after');\n"),
    ("U4__after.sql", "delete from counted where what = 'after';\n"),
];

const MONGO: &[(&str, &str)] = &[
    (
        "V1__users.json5",
        "{ steps: [ { create: 'users', validator: { $jsonSchema: { bsonType: 'object' } } }, \
           { createIndexes: 'users', indexes: [ { key: { a: 1 }, name: 'a' } ] } ] }",
    ),
    (
        "V2__legacy.json5",
        "{ steps: [ { updateInBatches: 'legacy', filter: { done: { $exists: false } }, \
           update: { $inc: { n: 1 }, $set: { done: true } }, batch: 20 } ] }",
    ),
    (
        "U2__legacy.json5",
        "{ steps: [ { updateInBatches: 'legacy', filter: { done: true }, \
           update: { $inc: { n: -1 }, $unset: { done: '' } }, batch: 20 } ] }",
    ),
    (
        "V3__changes.json5",
        "{ steps: [ { collMod: 'users', validationLevel: 'moderate' }, \
           { dropIndexes: 'users', index: 'a' }, { renameCollection: 'users', to: 'people' } ] }",
    ),
];

const WEAVIATE: &[(&str, &str)] = &[
    (
        "V1__class.json5",
        "{ steps: [ { createClass: { class: 'Name', vectorizer: 'none', \
           multiTenancyConfig: { enabled: true }, properties: [ { name: 'a', dataType: ['text'] } ] } }, \
           { addTenants: { class: 'Name', tenants: [ { name: 't1' } ] } } ] }",
    ),
    (
        "V2__more.json5",
        "{ steps: [ { addProperty: { class: 'Name', property: { name: 'b', dataType: ['int'] } } }, \
           { updateClass: { class: 'Name', set: { description: 'more' } } } ] }",
    ),
    (
        "U2__more.json5",
        "{ steps: [ { updateClass: { class: 'Name', set: { description: 'less' } } } ] }",
    ),
];

const KAFKA: &[(&str, &str)] = &[
    (
        "V1__topic.json5",
        "{ steps: [ { createTopic: { name: 'NAME', partitions: 1, replicationFactor: 1 } } ] }",
    ),
    (
        "V2__more.json5",
        "{ steps: [ { alterConfigs: { topic: 'NAME', set: { 'retention.ms': '3600000' } } }, \
           { createPartitions: { topic: 'NAME', count: 3 } } ] }",
    ),
    (
        "U2__more.json5",
        "{ steps: [ { alterConfigs: { topic: 'NAME', unset: ['retention.ms'] } } ] }",
    ),
];

const REDIS: &[(&str, &str)] = &[
    (
        "V1__contract.json5",
        "{ steps: [ { keyspace: { pattern: 'NAME:new:{id}', type: 'string', ttl: 'any', purpose: 'x' } }, \
           { rewrite: { match: 'NAME:old:*', rename: { prefix: 'NAME:old:', to: 'NAME:new:' }, count: 1000 } } ] }",
    ),
    (
        "V2__ttl.json5",
        "{ steps: [ { rewrite: { match: 'NAME:new:*', set: { ttl: '24h' }, count: 1000 } }, \
           { acl: { user: 'NAME', rules: ['on', '~NAME:*', '+get'] } } ] }",
    ),
];
