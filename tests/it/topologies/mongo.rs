//! A replica set of three.

use bson::{Document, doc};
use mongodb::Collection;

use super::{Servers, at_work, converged, eventually};
use crate::support::{TestEnv, block_on, finish, required, with_database};

fn project() -> TestEnv {
    let env = TestEnv::on("TOPOLOGY_");
    let url = with_database(&required("TOPOLOGY_MONGO_URL"), &env.name);
    env.set("AIPLAT_MIGRATE_MONGO_URL", &url)
}

async fn client(env: &TestEnv) -> mongodb::Client {
    let url = env.get("AIPLAT_MIGRATE_MONGO_URL");
    mongodb::Client::with_uri_str(url).await.expect("MongoDB")
}

async fn documents(env: &TestEnv) -> Collection<Document> {
    client(env).await.database(&env.name).collection("c")
}

fn primary(env: &TestEnv) -> String {
    block_on(async {
        let client = client(env).await;
        let hello = client.database("admin").run_command(doc! { "hello": 1 }).await;
        hello.expect("hello").get_str("primary").expect("a primary").to_string()
    })
}

fn drop_database(env: &TestEnv) {
    block_on(async { client(env).await.database(&env.name).drop().await.expect("drop") });
}

const COUNT: u64 = 60_000;

/// Documents, an update of all of them that takes a while, and indexes after it.
fn slow(env: &TestEnv) {
    env.file(
        "migrations/mongo/V1__n.json5",
        "{ steps: [{ updateInBatches: 'c', filter: { done: { $exists: false } }, \
           update: { $inc: { n: 1 }, $set: { done: true } }, batch: 20 }] }",
    );
    for n in 2..=6 {
        let text = format!(
            "{{ steps: [{{ createIndexes: 'c', indexes: [{{ key: {{ f{n}: 1 }}, name: 'f{n}' }}] }}] }}"
        );
        env.file(&format!("migrations/mongo/V{n}__i.json5"), &text);
    }
    block_on(async {
        let documents = documents(env).await;
        for part in 0..6 {
            let many = (0..COUNT / 6).map(|n| doc! { "part": part, "at": n as i64, "n": 0 });
            documents.insert_many(many).await.expect("documents");
        }
    });
}

#[track_caller]
fn each_once(env: &TestEnv) {
    block_on(async {
        let documents = documents(env).await;
        let once = documents.count_documents(doc! { "n": 1, "done": true }).await.expect("count");
        assert_eq!(once, COUNT);
        assert_eq!(documents.list_index_names().await.expect("indexes").len(), 6);
    });
}

#[test]
#[ignore = "needs dev/test --topologies"]
fn a_run_outlives_the_primary() {
    let servers = Servers("mongo");
    let env = project();
    slow(&env);
    let killed = primary(&env);
    let mut run = env.spawn(&["up"]);
    at_work(&env, "store = 'mongo' AND version = '1' AND position IS NOT NULL");
    servers.kill_under(&mut run, &killed);
    let ended = finish(run);
    assert!(ended.stderr.contains("mongo@1"), "{}", ended.stderr);
    converged(&env, ended);
    each_once(&env);
    assert_ne!(primary(&env), killed);
    env.run(&["validate"]).expect(0);
    servers.start();
    each_once(&env);
    drop_database(&env);
}

#[test]
#[ignore = "needs dev/test --topologies"]
fn without_a_primary_a_run_ends_with_the_code_that_is_retried() {
    let servers = Servers("mongo");
    let env = project();
    env.file("migrations/mongo/V1__a.json5", "{ steps: [{ create: 'a' }] }");
    let url = required("TOPOLOGY_MONGO_URL");
    let (_, rest) = url.rsplit_once('@').expect("a login");
    let addresses = rest.split('/').next().expect("hosts");
    for address in addresses.split(',').take(2) {
        servers.kill(address);
    }
    let words = ["cannot reach MongoDB", "no primary"];
    env.run(&["up", "--wait", "8s"]).expect(6).says(&words).says(&["waiting: mongo, attempt 1"]);
    servers.start();
    env.run(&["up"]).expect(0);
    eventually("the collection is there", || {
        block_on(async {
            let names = client(&env).await.database(&env.name).list_collection_names().await;
            names.expect("names") == ["a"]
        })
    });
    drop_database(&env);
}
