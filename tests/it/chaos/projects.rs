//! A project per store that has every kind of step, with data that tells whether one was done twice.

use std::sync::atomic::{AtomicUsize, Ordering};

use bson::doc;

use super::people::applied_twice;
use crate::support::{TestEnv, required};

/// The stores, each of which has a project.
pub const ALL: [&str; 5] = ["postgres", "mongo", "weaviate", "kafka", "redis"];

/// A project.
pub struct Project {
    /// Its store; `all` for the one that has the files of every store.
    pub store: String,
    /// Its folder and its addresses.
    pub env: TestEnv,
    /// The setting of Redis that is this project's alone: settings have no names of a test's own.
    setting: &'static str,
    runtime: tokio::runtime::Runtime,
    mongo: Option<mongodb::Database>,
    redis: Option<redis::aio::MultiplexedConnection>,
}

/// How many documents and keys there are to be changed.
const ITEMS: usize = 60;

/// Settings that harm nobody, all of them numbers below 9999.
const SETTINGS: [&str; 16] = [
    "acllog-max-len",
    "hash-max-listpack-entries",
    "hash-max-listpack-value",
    "latency-monitor-threshold",
    "list-compress-depth",
    "lfu-decay-time",
    "lfu-log-factor",
    "set-max-intset-entries",
    "slowlog-max-len",
    "stream-node-max-entries",
    "tracking-table-max-keys",
    "zset-max-listpack-entries",
    "zset-max-listpack-value",
    "hll-sparse-max-bytes",
    "repl-diskless-sync-delay",
    "repl-ping-replica-period",
];

impl Project {
    /// The project of one store; of every store for `all`.
    pub fn of(store: &str) -> Project {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let env = match store {
            "postgres" => TestEnv::new(),
            "all" => TestEnv::new().with(&ALL[1..]),
            other => TestEnv::new().with(&[other]),
        };
        let setting = match store {
            "redis" | "all" => SETTINGS
                .get(NEXT.fetch_add(1, Ordering::Relaxed))
                .expect("a setting of Redis that no other project uses"),
            _ => "",
        };
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("runtime");
        let mut project =
            Project { store: store.to_string(), env, setting, runtime, mongo: None, redis: None };
        for one in ALL.into_iter().filter(|one| project.has(one)) {
            project.write(one);
        }
        project.connect();
        project
    }

    fn connect(&mut self) {
        if self.has("mongo") {
            let url = self.env.get("AIPLAT_MIGRATE_MONGO_URL");
            let client = self.runtime.block_on(mongodb::Client::with_uri_str(url));
            self.mongo = Some(client.expect("MongoDB").database(&self.env.name));
        }
        if self.has("redis") {
            let client = redis::Client::open(required("TEST_REDIS_URL")).expect("URL");
            let connection = self.runtime.block_on(client.get_multiplexed_async_connection());
            self.redis = Some(connection.expect("Redis"));
        }
    }

    fn has(&self, store: &str) -> bool {
        self.store == store || self.store == "all"
    }

    fn write(&self, store: &str) {
        for (name, text) in files(store) {
            let text = text.replace("SETTING", self.setting);
            self.env.file(&format!("migrations/{store}/{name}"), &text);
        }
    }

    /// Brings everything to where it was before the first run: no ledger, the data not yet changed.
    pub fn reset(&self) {
        self.env.sql("DROP SCHEMA IF EXISTS aiplat_migrate CASCADE; DROP VIEW IF EXISTS fixed");
        if let Some(mongo) = &self.mongo {
            let legacy = mongo.collection::<bson::Document>("legacy");
            self.runtime.block_on(async {
                legacy.drop().await.expect("drop");
                let items = (0..ITEMS as i32).map(|n| doc! { "_id": n, "n": 0 });
                legacy.insert_many(items).await.expect("documents");
            });
        }
        if self.redis.is_some() {
            let mut pipeline = redis::pipe();
            for number in 0..ITEMS {
                for stem in ["old", "junk"] {
                    let key = format!("{}:{stem}:{number}", self.env.name);
                    pipeline.cmd("SET").arg(key).arg(number).ignore();
                }
            }
            self.redis::<()>(&pipeline);
        }
    }

    fn redis<T: redis::FromRedisValue>(&self, pipeline: &redis::Pipeline) -> T {
        let mut redis = self.redis.clone().expect("a project of Redis");
        self.runtime.block_on(pipeline.query_async(&mut redis)).expect("Redis answers")
    }

    fn keys(&self, pattern: &str) -> Vec<String> {
        let (keys,) = self.redis(redis::pipe().cmd("KEYS").arg(self.env.named(pattern)));
        keys
    }

    fn documents(&self, collection: &str, filter: bson::Document) -> u64 {
        let mongo = self.mongo.as_ref().expect("a project of MongoDB");
        let collection = mongo.collection::<bson::Document>(collection);
        let counted = self.runtime.block_on(async { collection.count_documents(filter).await });
        counted.expect("count")
    }

    /// How often a raw command was run that is to be run once.
    fn pushed(&self) -> i64 {
        let (length,) = self.redis(redis::pipe().cmd("LLEN").arg(self.env.named("NAME:list")));
        length
    }

    /// What the stores hold that no shape tells.
    pub fn facts(&self) -> Vec<String> {
        let mut facts = Vec::new();
        if self.has("postgres") && self.env.sql("SELECT to_regclass('counted')") != ["NULL"] {
            let counted = "SELECT 'counted', what, count(*) FROM counted GROUP BY 2 ORDER BY 2";
            facts.extend(self.env.sql(counted));
        }
        if self.has("postgres") && self.env.sql("SELECT to_regclass('held.inner_one')") != ["NULL"]
        {
            facts.extend(self.env.sql("SELECT 'inner', count(*), min(mem) FROM held.inner_one"));
        }
        if self.mongo.is_some() {
            let by_n: Vec<u64> =
                (0..3).map(|n| self.documents("legacy", doc! { "n": n })).collect();
            facts.push(format!("legacy by n: {by_n:?}, once: {}", self.documents("once", doc! {})));
        }
        if self.redis.is_some() {
            let counts = ["old", "new", "junk"].map(|stem| {
                let keys = self.keys(&format!("NAME:{stem}:*"));
                let ttl = keys.first().map_or(0, |key| {
                    let (ttl,): (i64,) = self.redis(redis::pipe().cmd("TTL").arg(key));
                    ttl
                });
                (stem, keys.len(), ttl > 0)
            });
            let (setting,): (Vec<String>,) =
                self.redis(redis::pipe().cmd("CONFIG").arg("GET").arg(self.setting));
            let functions = redis::pipe()
                .cmd("FUNCTION")
                .arg(&["LIST", "LIBRARYNAME", &self.env.name])
                .to_owned();
            let (functions,): (Vec<redis::Value>,) = self.redis(&functions);
            let (users,): (Vec<String>,) = self.redis(redis::pipe().cmd("ACL").arg("USERS"));
            facts.push(format!("keys: {counts:?}, pushed: {}", self.pushed()));
            facts.push(format!(
                "setting: {setting:?}, functions: {}, user: {}",
                functions.len(),
                users.contains(&self.env.name)
            ));
        }
        facts
    }

    /// How much of what is to be done once was found done more often: migrations by the ledger's
    /// events, statements, documents and commands by what they leave behind.
    pub fn doubled(&self) -> usize {
        let mut doubled = applied_twice(&self.env);
        if self.has("postgres") && self.env.sql("SELECT to_regclass('counted')") != ["NULL"] {
            let twice = "SELECT count(*) FROM (SELECT FROM counted GROUP BY what \
                 HAVING count(*) > 1) twice";
            let twice = self.env.sql(twice);
            doubled += twice.iter().filter_map(|count| count.parse::<usize>().ok()).sum::<usize>();
        }
        if self.mongo.is_some() {
            let beyond = doc! { "n": { "$nin": [0, 1] } };
            doubled += self.documents("legacy", beyond) as usize;
        }
        if self.redis.is_some() {
            doubled += usize::from(self.pushed() > 1);
        }
        doubled
    }

    /// Whether the raw command `label` was run, as a person would look it up who is asked; nothing
    /// for a step that is no raw command, of which nobody should have to be asked.
    pub fn was_run(&self, label: &str) -> Option<bool> {
        let word = |at| label.split_whitespace().nth(at).unwrap_or_default();
        match (word(0), word(1)) {
            ("command", "RPUSH") => Some(self.pushed() > 0),
            ("command", "DEL") => Some(self.pushed() == 0),
            ("insert", _) => Some(self.documents("once", doc! {}) > 0),
            ("delete", _) => Some(self.documents("once", doc! {}) == 0),
            _ => None,
        }
    }
}

/// The migrations of a store: name and text.
pub fn files(store: &str) -> &'static [(&'static str, &'static str)] {
    match store {
        "postgres" => POSTGRES,
        "mongo" => MONGO,
        "weaviate" => WEAVIATE,
        "kafka" => KAFKA,
        "redis" => REDIS,
        other => panic!("no store {other}"),
    }
}

impl Drop for Project {
    fn drop(&mut self) {
        // The databases of PostgreSQL and MongoDB go with the environment; topics, classes and keys
        // are shared.
        if std::thread::panicking() || self.redis.is_none() {
            return;
        }
        let keys = self.keys("NAME:*");
        if !keys.is_empty() {
            self.redis::<()>(redis::pipe().cmd("DEL").arg(keys).ignore());
        }
    }
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
    (
        "V3.5__session.sql",
        "-- transaction: off\ncreate schema held;\nset search_path = held;\n\
         create table inner_one (id int, mem text default current_setting('maintenance_work_mem'));\n\
         set maintenance_work_mem = '77MB';\nprepare p as insert into inner_one values (1);\n\
         listen a;\nexecute p;\ncreate index concurrently inner_i on inner_one (id);\n\
         reset search_path;\ninsert into counted values ('session');\n",
    ),
    (
        "U3.5__session.sql",
        "-- transaction: off\nset search_path = held;\ndrop index concurrently inner_i;\n\
         drop table inner_one;\ndrop schema held;\n\
         delete from public.counted where what = 'session';\n",
    ),
    ("V4__after.sql", "insert into counted values ('after');\n"),
    ("U4__after.sql", "delete from counted where what = 'after';\n"),
    ("R__fixed.sql", "create or replace view fixed as select 1 as one;\n"),
];

const MONGO: &[(&str, &str)] = &[
    (
        "V1__users.json5",
        "{ steps: [ { create: 'users', validator: { $jsonSchema: { bsonType: 'object' } } }, { create: 'gone' }, \
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
    (
        "V4__raw.json5",
        "{ steps: [ { drop: 'gone' }, { insert: 'once', documents: [ { _id: 1 } ] }, \
           { createUser: 'NAME', pwd: 'x', roles: ['read'] } ] }",
    ),
    (
        "U4__raw.json5",
        "{ steps: [ { dropUser: 'NAME' }, { delete: 'once', deletes: [ { q: { _id: 1 }, limit: 1 } ] }, \
           { drop: 'once' }, { create: 'gone' } ] }",
    ),
];

const WEAVIATE: &[(&str, &str)] = &[
    (
        "V1__class.json5",
        "{ steps: [ { createClass: { class: 'Name', vectorizer: 'none', \
           multiTenancyConfig: { enabled: true }, properties: [ { name: 'a', dataType: ['text'] } ] } }, \
           { addTenants: { class: 'Name', tenants: [ { name: 't1' } ] } }, \
           { createClass: { class: 'NameGone', vectorizer: 'none' } } ] }",
    ),
    (
        "V2__more.json5",
        "{ steps: [ { addProperty: { class: 'Name', property: { name: 'b', dataType: ['int'] } } }, \
           { updateClass: { class: 'Name', set: { description: 'more' } } }, \
           { updateTenants: { class: 'Name', tenants: [ { name: 't1', activityStatus: 'INACTIVE' } ] } } ] }",
    ),
    (
        "U2__more.json5",
        "{ steps: [ { updateClass: { class: 'Name', set: { description: 'less' } } }, \
           { updateTenants: { class: 'Name', tenants: [ { name: 't1', activityStatus: 'ACTIVE' } ] } } ] }",
    ),
    (
        "V3__less.json5",
        "{ steps: [ { removeTenants: { class: 'Name', tenants: ['t1'] } }, { deleteClass: 'NameGone' } ] }",
    ),
];

const KAFKA: &[(&str, &str)] = &[
    (
        "V1__topic.json5",
        "{ steps: [ { createTopic: { name: 'NAME', partitions: 1, replicationFactor: 1 } }, \
           { createTopic: { name: 'NAME-gone', partitions: 1, replicationFactor: 1 } }, \
           { createTopics: [ { name: 'NAME-one', partitions: 1, replicationFactor: 1 }, \
             { name: 'NAME-two', partitions: 1, replicationFactor: 1 } ] } ] }",
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
    ("V3__less.json5", "{ steps: [ { deleteTopic: 'NAME-gone' } ] }"),
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
    (
        "V3__server.json5",
        "{ steps: [ { config: { 'SETTING': '7' } }, \
           { function: { code: \"#!lua name=NAME\\nredis.register_function('NAME', function() return 1 end)\" } }, \
           { deleteUser: 'NAME' } ] }",
    ),
    (
        "V4__raw.json5",
        "{ steps: [ { deleteFunction: 'NAME' }, { dropKeyspace: 'NAME:new:{id}' }, \
           { rewrite: { match: 'NAME:new:*', persist: true, count: 1000 } }, \
           { rewrite: { match: 'NAME:junk:*', delete: true, count: 1000 } }, \
           { command: ['RPUSH', 'NAME:list', 'x'] } ] }",
    ),
    (
        "U4__raw.json5",
        "{ steps: [ { command: ['DEL', 'NAME:list'] }, \
           { rewrite: { match: 'NAME:new:*', set: { ttl: '24h' }, count: 1000 } }, \
           { keyspace: { pattern: 'NAME:new:{id}', type: 'string', ttl: 'any', purpose: 'x' } }, \
           { function: { code: \"#!lua name=NAME\\nredis.register_function('NAME', function() return 1 end)\" } } ] }",
    ),
];
