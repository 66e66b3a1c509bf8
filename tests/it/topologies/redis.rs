//! A master whom Sentinels name, and a cluster of three masters with a replica each.

use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::cluster_async::ClusterConnection;
use redis::{AsyncCommands, Value};

use super::{Servers, at_work, converged, eventually};
use crate::support::{TestEnv, block_on, finish, required};

const COUNT: usize = 60_000;

async fn connected(address: &str, password: &str) -> MultiplexedConnection {
    let client = redis::Client::open(format!("redis://:{password}@{address}")).expect("URL");
    // However busy the machine is.
    let patient = redis::AsyncConnectionConfig::new()
        .set_connection_timeout(Some(Duration::from_secs(20)))
        .set_response_timeout(Some(Duration::from_secs(60)));
    client.get_multiplexed_async_connection_with_config(&patient).await.expect("Redis")
}

async fn asked<T: redis::FromRedisValue>(connection: &MultiplexedConnection, words: &str) -> T {
    let mut command = redis::Cmd::new();
    command.arg(words.split(' ').collect::<Vec<_>>());
    command
        .query_async(&mut connection.clone())
        .await
        .unwrap_or_else(|why| panic!("{words}: {why}"))
}

/// How many of the keys of this test are on that server, and how many of them live for ever.
async fn keys(connection: &MultiplexedConnection, prefix: &str) -> (usize, usize) {
    let pattern = format!("{prefix}:*");
    let mut keys = Vec::new();
    let mut cursor = 0_u64;
    loop {
        let mut scan = redis::cmd("SCAN");
        scan.arg(cursor).arg("MATCH").arg(&pattern).arg("COUNT").arg(5000);
        let found: (u64, Vec<String>) =
            scan.query_async(&mut connection.clone()).await.expect("SCAN");
        keys.extend(found.1);
        cursor = found.0;
        if cursor == 0 {
            break;
        }
    }
    keys.sort();
    keys.dedup();
    let mut pipeline = redis::pipe();
    for key in &keys {
        pipeline.cmd("TTL").arg(key);
    }
    let times: Vec<i64> = pipeline.query_async(&mut connection.clone()).await.expect("TTL");
    (keys.len(), times.iter().filter(|ttl| **ttl < 0).count())
}

/// Rewrites that take long enough for a server to be killed in one of them.
const REWRITE: &str = "{ steps: [
    { rewrite: { match: 'NAME:*', set: { ttl: '21h' }, count: 10 } },
    { rewrite: { match: 'NAME:*', set: { ttl: '22h' }, count: 10 } },
    { rewrite: { match: 'NAME:*', set: { ttl: '23h' }, count: 10 } },
    { rewrite: { match: 'NAME:*', set: { ttl: '24h' }, count: 10 } },
] }";
const IN_THE_REWRITE: &str = "store = 'redis' AND position IS NOT NULL";

mod by_sentinel {
    use super::*;

    fn project() -> TestEnv {
        let password = required("TOPOLOGY_SENTINEL_PASSWORD");
        TestEnv::on("TOPOLOGY_")
            .set("AIPLAT_MIGRATE_REDIS_SENTINELS", &required("TOPOLOGY_SENTINEL_ADDRESSES"))
            .set("AIPLAT_MIGRATE_REDIS_SENTINEL_MASTER", &required("TOPOLOGY_SENTINEL_MASTER"))
            .set("AIPLAT_MIGRATE_REDIS_SENTINEL_PASSWORD", &password)
            .set("AIPLAT_MIGRATE_REDIS_PASSWORD", &password)
    }

    fn master() -> String {
        let addresses = required("TOPOLOGY_SENTINEL_ADDRESSES");
        let sentinel = addresses.split(',').next().expect("a Sentinel");
        block_on(async {
            let sentinel = connected(sentinel, &required("TOPOLOGY_SENTINEL_PASSWORD")).await;
            let words = format!(
                "SENTINEL GET-MASTER-ADDR-BY-NAME {}",
                required("TOPOLOGY_SENTINEL_MASTER")
            );
            let found: (String, String) = asked(&sentinel, &words).await;
            format!("{}:{}", found.0, found.1)
        })
    }

    #[test]
    #[ignore = "needs dev/test --topologies"]
    fn a_run_outlives_the_master() {
        let servers = Servers("sentinel");
        let env = project();
        let password = required("TOPOLOGY_SENTINEL_PASSWORD");
        let killed = master();
        block_on(async {
            let master = connected(&killed, &password).await;
            let mut pipeline = redis::pipe();
            for n in 0..COUNT {
                pipeline.cmd("SET").arg(format!("{}:{n}", env.name)).arg(n).ignore();
            }
            pipeline.query_async::<()>(&mut master.clone()).await.expect("keys");
            assert_eq!(asked::<u64>(&master, "WAIT 1 10000").await, 1, "the replica has the keys");
        });
        env.file("migrations/redis/V1__r.json5", REWRITE);
        env.file("migrations/redis/V2__c.json5", "{ steps: [{ config: { 'hz': '12' } }] }");
        let mut run = env.spawn(&["up"]);
        at_work(&env, IN_THE_REWRITE);
        servers.kill_under(&mut run, &killed);
        converged(&env, finish(run));
        let now = master();
        assert_ne!(now, killed);
        let found = block_on(async { keys(&connected(&now, &password).await, &env.name).await });
        assert_eq!(found, (COUNT, 0));
        env.run(&["validate"]).expect(0);

        // Settings are each server's own: after one more failover the other master lacks this one.
        servers.start();
        servers.kill(&now);
        eventually("the failover", || master() != now);
        env.run(&["validate", "--wait", "30s"]).expect(3).out("setting hz: value 12 → 10");
        env.run(&["repair", "--reapply", "--yes"]).expect(0);
        env.run(&["validate"]).expect(0);
        servers.start();
        env.run(&["down", "--yes"]).expect(0).says(&["undone   redis@2"]);
    }
}

mod cluster {
    use super::*;

    fn project() -> TestEnv {
        TestEnv::on("TOPOLOGY_")
            .set("AIPLAT_MIGRATE_REDIS_URL", &required("TOPOLOGY_CLUSTER_URL"))
            .set("AIPLAT_MIGRATE_REDIS_CLUSTER", "true")
    }

    fn password() -> String {
        let url = required("TOPOLOGY_CLUSTER_URL");
        let (login, _) = url.rsplit_once('@').expect("a login");
        login.rsplit_once(':').expect("a password").1.to_string()
    }

    async fn client() -> ClusterConnection {
        let client = redis::cluster::ClusterClient::new([required("TOPOLOGY_CLUSTER_URL")]);
        client.expect("URL").get_async_connection().await.expect("the cluster")
    }

    /// A connection to each of the masters, with its address.
    async fn masters() -> Vec<(String, MultiplexedConnection)> {
        let url = required("TOPOLOGY_CLUSTER_URL");
        let (_, rest) = url.rsplit_once('@').expect("a login");
        let first: std::net::SocketAddr =
            rest.split('/').next().expect("an address").parse().expect("an address");
        let mut found = Vec::new();
        for node in 0..6 {
            let address = format!("{}:{}", first.ip(), first.port() + node);
            if std::net::TcpStream::connect(&address).is_err() {
                continue;
            }
            let connection = connected(&address, &password()).await;
            let role: Vec<Value> = asked(&connection, "ROLE").await;
            if role.first() == Some(&Value::BulkString(b"master".to_vec())) {
                found.push((address, connection));
            }
        }
        found
    }

    async fn fill(env: &TestEnv, count: usize) {
        let client = client().await;
        let one = |n: usize| {
            let (mut client, key) = (client.clone(), format!("{}:{n}", env.name));
            async move { client.set::<_, _, ()>(key, n).await.expect("a key") }
        };
        for start in (0..count).step_by(1000) {
            futures_util::future::join_all((start..count.min(start + 1000)).map(one)).await;
        }
    }

    /// The keys on each master; none is to live for ever.
    #[track_caller]
    fn all_expire(env: &TestEnv, count: usize) {
        let found = block_on(async {
            let mut found = Vec::new();
            for (_, master) in masters().await {
                found.push(keys(&master, &env.name).await);
            }
            found
        });
        assert_eq!(found.len(), 3, "{found:?}");
        assert_eq!(found.iter().map(|(keys, _)| keys).sum::<usize>(), count, "{found:?}");
        assert!(found.iter().all(|(keys, eternal)| *keys > 0 && *eternal == 0), "{found:?}");
    }

    #[test]
    #[ignore = "needs dev/test --topologies"]
    fn everything_covers_every_master() {
        let env = project();
        block_on(fill(&env, 300));
        env.file(
            "migrations/redis/V1__all.json5",
            "{ steps: [
                { keyspace: { pattern: 'NAME:{id}', type: 'string', ttl: '24h', purpose: 'tests' } },
                { rewrite: { match: 'NAME:*', set: { ttl: '23h' } } },
                { config: { 'slowlog-max-len': '77' } },
                { function: { code: '#!lua name=NAME\\nredis.register_function(\"NAME\", function() return 1 end)' } },
                { acl: { user: 'NAME', rules: ['on', 'nopass', '~NAME:*', '+get'] } },
            ] }",
        );
        env.run(&["up"]).expect(0);
        all_expire(&env, 300);
        block_on(async {
            for (address, master) in masters().await {
                let setting: Vec<String> = asked(&master, "CONFIG GET slowlog-max-len").await;
                assert_eq!(setting[1], "77", "{address}");
                let functions: Vec<Value> =
                    asked(&master, &format!("FUNCTION LIST LIBRARYNAME {}", env.name)).await;
                assert_eq!(functions.len(), 1, "{address}");
                let user: Value = asked(&master, &format!("ACL GETUSER {}", env.name)).await;
                assert_ne!(user, Value::Nil, "{address}");
            }
        });
        env.run(&["validate", "--full"]).expect(0);

        // What is wrong on any one of them is seen.
        block_on(async {
            let (_, third) = masters().await.pop().expect("a master");
            asked::<Value>(&third, "CONFIG SET slowlog-max-len 78").await;
            asked::<Value>(&third, &format!("ACL DELUSER {}", env.name)).await;
            asked::<Value>(&third, &format!("FUNCTION DELETE {}", env.name)).await;
        });
        let drifted = env.run(&["validate"]).expect(3);
        for object in ["setting slowlog-max-len", "function NAME", "user NAME"] {
            drifted.out(&env.named(object));
        }
        env.run(&["repair", "--reapply", "--yes"]).expect(0);
        env.run(&["validate"]).expect(0);
        let eternal = block_on(async {
            let mut eternal = 0;
            for (_, master) in masters().await {
                let mine: Vec<String> = asked(&master, &format!("KEYS {}:*", env.name)).await;
                eternal += asked::<u64>(&master, &format!("PERSIST {}", mine[0])).await;
            }
            eternal
        });
        assert_eq!(eternal, 3);
        env.run(&["validate", "--full", "--strict-data"]).expect(3).out("3 keys have no TTL");

        env.run(&["down", "--all", "--yes", "--allow-data-loss"]).expect(0);
        block_on(async {
            for (address, master) in masters().await {
                let setting: Vec<String> = asked(&master, "CONFIG GET slowlog-max-len").await;
                assert_eq!(setting[1], "128", "{address}");
                let functions: Vec<Value> =
                    asked(&master, &format!("FUNCTION LIST LIBRARYNAME {}", env.name)).await;
                assert!(functions.is_empty(), "{address}");
                let user: Value = asked(&master, &format!("ACL GETUSER {}", env.name)).await;
                assert_eq!(user, Value::Nil, "{address}");
                let (count, eternal) = keys(&master, &env.name).await;
                assert_eq!(count, eternal, "{address}: no key had a time to live before");
            }
        });
    }

    #[test]
    #[ignore = "needs dev/test --topologies"]
    fn a_rewrite_goes_on_where_a_killed_run_was() {
        let env = project();
        block_on(fill(&env, 3000));
        env.file("migrations/redis/V1__r.json5", REWRITE);
        let mut killed = env.spawn(&["up"]);
        at_work(&env, IN_THE_REWRITE);
        killed.kill().expect("SIGKILL");
        killed.wait().expect("an end");
        let left =
            env.sql("SELECT position::text FROM aiplat_migrate.ledger WHERE state = 'running'");
        assert_eq!(left.len(), 1, "killed in the rewrite");
        env.run(&["up"]).expect(0).says(&["goes on inside"]);
        all_expire(&env, 3000);
    }

    #[test]
    #[ignore = "needs dev/test --topologies"]
    fn a_rewrite_outlives_a_master() {
        let servers = Servers("cluster");
        let env = project();
        block_on(fill(&env, COUNT));
        env.file("migrations/redis/V1__r.json5", REWRITE);
        let (victim, replicated) = block_on(async {
            let mut masters = masters().await;
            let mut replicated = 0;
            for (_, master) in &masters {
                replicated += asked::<u64>(master, "WAIT 1 10000").await;
            }
            (masters.pop().expect("a master").0, replicated)
        });
        assert_eq!(replicated, 3, "each master's keys are on its replica");
        let mut run = env.spawn(&["up"]);
        at_work(&env, IN_THE_REWRITE);
        servers.kill_under(&mut run, &victim);
        converged(&env, finish(run));
        all_expire(&env, COUNT);
        servers.start();
        all_expire(&env, COUNT);
    }
}
