//! Keys of a Redis Cluster whose new names are in other slots: they arrive whole and with their lifetimes,
//! whoever is killed on the way, and whoever writes to them meanwhile.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::process::ExitStatusExt;
use std::process::Stdio;

use redis::cluster_async::ClusterConnection;
use redis::{FromRedisValue, Value};

use crate::chaos::Tally;
use crate::own_redis::{OwnRedis, cluster, eventually};
use crate::support::{TestEnv, block_on, finish};

const RENAME: &str = "{ steps: [ { rewrite: { match: 'NAME:old:*', \
                      rename: { prefix: 'NAME:old:', to: 'NAME:new:' } } } ] }";

/// How many keys: of every type, in each master, with and without a lifetime.
const COUNT: usize = 42;

fn project(nodes: &[OwnRedis]) -> TestEnv {
    let env = TestEnv::new()
        .set("AIPLAT_MIGRATE_REDIS_URL", &nodes[0].url())
        .set("AIPLAT_MIGRATE_REDIS_CLUSTER", "true");
    env.file("migrations/redis/V1__rename.json5", RENAME);
    env
}

async fn client(nodes: &[OwnRedis]) -> ClusterConnection {
    let client = redis::cluster::ClusterClient::new([nodes[0].url()]).expect("URL");
    client.get_async_connection().await.expect("the cluster")
}

async fn ask<T: FromRedisValue>(client: &ClusterConnection, words: &[&str]) -> T {
    let mut command = redis::Cmd::new();
    command.arg(words);
    command.query_async(&mut client.clone()).await.unwrap_or_else(|why| panic!("{words:?}: {why}"))
}

/// Key number `at` below a prefix: some have a tag, one a brace that makes none.
fn key(prefix: &str, at: usize) -> String {
    match at % 7 {
        5 => format!("{prefix}{{{at}}}"),
        6 => format!("{prefix}{{}}{at}"),
        _ => format!("{prefix}{at}"),
    }
}

async fn write(client: &ClusterConnection, key: &str, at: usize, text: &str) {
    let many = || (0..200).map(|n| format!("{text}{n}"));
    let mut words: Vec<String> = match at % 6 {
        0 => vec!["SET".into(), key.into(), text.into(), "KEEPTTL".into()],
        1 => vec!["HSET".into(), key.into()],
        2 => vec!["SADD".into(), key.into()],
        3 => vec!["ZADD".into(), key.into(), "7".into(), text.into(), "8".into(), "other".into()],
        4 => vec!["RPUSH".into(), key.into(), text.into()],
        _ => vec!["XADD".into(), key.into(), "*".into(), "field".into(), text.into()],
    };
    match at % 6 {
        1 => words.extend(many().flat_map(|field| [field, text.to_string()])),
        2 => words.extend(many()),
        _ => {}
    }
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let _: Value = ask(client, &words).await;
}

/// What a key holds, in one order, and when it expires.
async fn read(client: &ClusterConnection, key: &str) -> (String, i64) {
    let kind: String = ask(client, &["TYPE", key]).await;
    let held = match kind.as_str() {
        "string" => vec![ask::<String>(client, &["GET", key]).await],
        "hash" => {
            let pairs: BTreeMap<String, String> = ask(client, &["HGETALL", key]).await;
            pairs.into_iter().map(|(field, value)| format!("{field}={value}")).collect()
        }
        "set" => {
            let members: BTreeSet<String> = ask(client, &["SMEMBERS", key]).await;
            members.into_iter().collect()
        }
        "zset" => ask(client, &["ZRANGE", key, "0", "-1", "WITHSCORES"]).await,
        "list" => ask(client, &["LRANGE", key, "0", "-1"]).await,
        "stream" => {
            let entries: Value = ask(client, &["XRANGE", key, "-", "+"]).await;
            vec![format!("{entries:?}")]
        }
        _ => Vec::new(),
    };
    let expires: i64 = ask(client, &["PEXPIRETIME", key]).await;
    (format!("{kind} {}", held.join(" ")), expires)
}

/// Makes the keys and gives back what they hold.
async fn fill(client: &ClusterConnection, prefix: &str) -> Vec<(String, i64)> {
    let mut held = Vec::new();
    for at in 0..COUNT {
        let key = key(prefix, at);
        write(client, &key, at, &format!("value{at}")).await;
        if at % 2 == 0 {
            let _: i64 =
                ask(client, &["PEXPIREAT", &key, &(4_000_000_000_000_i64 + at as i64).to_string()])
                    .await;
        }
        held.push(read(client, &key).await);
    }
    held
}

/// Each key is where it belongs and as it was, and nothing else is there.
#[track_caller]
fn has_arrived(nodes: &[OwnRedis], env: &TestEnv, from: &str, to: &str, held: &[(String, i64)]) {
    let (from, to) = (env.named(from), env.named(to));
    block_on(async {
        let client = client(nodes).await;
        for (at, expected) in held.iter().enumerate() {
            assert_eq!(&read(&client, &key(&to, at)).await, expected, "{at}");
            assert_eq!(ask::<i64>(&client, &["EXISTS", &key(&from, at)]).await, 0, "{at}");
        }
    });
    let all: usize = nodes
        .iter()
        .map(|node| node.ask::<Vec<String>>(&["KEYS", &env.named("NAME:*")]).len())
        .sum();
    assert_eq!(all, held.len(), "nothing of the tool's own is left");
}

#[test]
fn keys_move_between_slots_and_masters_with_their_lifetimes_and_back() {
    let nodes = cluster(2);
    let env = project(&nodes);
    let held = block_on(async { fill(&client(&nodes).await, &env.named("NAME:old:")).await });
    env.run(&["up"]).expect(0).says(&["42 keys changed"]);
    has_arrived(&nodes, &env, "NAME:old:", "NAME:new:", &held);
    env.run(&["down", "--yes"]).expect(0);
    has_arrived(&nodes, &env, "NAME:new:", "NAME:old:", &held);
}

#[test]
fn a_key_that_is_there_is_not_overwritten() {
    let nodes = cluster(1);
    let env = project(&nodes);
    let (old, new) = (env.named("NAME:old:1"), env.named("NAME:new:1"));
    let () = nodes[0].ask(&["SET", &old, "ours"]);
    let () = nodes[0].ask(&["SET", &new, "theirs"]);
    env.run(&["up"]).expect(1).says(&["cannot be renamed to", &old, &new, "delete or rename one"]);
    assert_eq!(nodes[0].ask::<String>(&["GET", &old]), "ours");
    assert_eq!(nodes[0].ask::<String>(&["GET", &new]), "theirs");
    let () = nodes[0].ask(&["DEL", &new]);
    env.run(&["up"]).expect(0);
    assert_eq!(nodes[0].ask::<String>(&["GET", &new]), "ours");
    assert_eq!(nodes[0].ask::<Vec<String>>(&["KEYS", "*"]), [new]);
}

/// Runs `up`, which halts between the copy and the removal of the only key; `meanwhile` is done then.
fn halted(nodes: &[OwnRedis], env: &TestEnv, meanwhile: impl FnOnce()) {
    let mut command = env.command(&["up"]);
    command.env("AIPLAT_MIGRATE_FAIL_PAUSE", "redis_take_away:before@1");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let run = command.spawn().expect("binary");
    let new = env.named("NAME:new:1");
    eventually("the copy", || nodes[0].ask::<i64>(&["EXISTS", &new]) == 1);
    meanwhile();
    finish(run).expect(0);
}

#[test]
fn a_key_that_changes_while_it_is_moved_is_begun_again() {
    let nodes = cluster(1);
    let (node, env) = (&nodes[0], project(&nodes));
    let (old, new) = (env.named("NAME:old:1"), env.named("NAME:new:1"));
    let () = node.ask(&["SET", &old, "before"]);
    halted(&nodes, &env, || {
        let () = node.ask(&["SET", &old, "after", "EX", "1000"]);
    });
    assert_eq!(node.ask::<String>(&["GET", &new]), "after");
    assert!((1..=1000).contains(&node.ask::<i64>(&["TTL", &new])));
    assert_eq!(node.ask::<Vec<String>>(&["KEYS", "*"]), [new]);
}

#[test]
fn a_key_that_is_deleted_while_it_is_moved_stays_deleted() {
    let nodes = cluster(1);
    let (node, env) = (&nodes[0], project(&nodes));
    let () = node.ask(&["SET", &env.named("NAME:old:1"), "before"]);
    halted(&nodes, &env, || {
        let () = node.ask(&["DEL", &env.named("NAME:old:1")]);
    });
    assert_eq!(node.ask::<Vec<String>>(&["KEYS", "*"]), Vec::<String>::new());
}

#[test]
fn what_was_written_at_both_names_after_a_kill_is_for_a_person() {
    let nodes = cluster(1);
    let (node, env) = (&nodes[0], project(&nodes));
    let (old, new) = (env.named("NAME:old:1"), env.named("NAME:new:1"));
    let () = node.ask(&["SET", &old, "before"]);
    killed(&env, "redis_take_away:before@1");
    let () = node.ask(&["SET", &new, "new one's"]);
    // The copy has all that the key holds, and more.
    env.run(&["up"]).expect(0);
    assert_eq!(node.ask::<String>(&["GET", &new]), "new one's");
    assert_eq!(node.ask::<Vec<String>>(&["KEYS", "*"]), [new.as_str()]);

    env.run(&["down", "--yes"]).expect(0);
    killed(&env, "redis_take_away:before@1");
    for (name, value) in [(&new, "another new one"), (&old, "old one's")] {
        let () = node.ask(&["SET", name, value]);
    }
    for _ in 0..2 {
        env.run(&["up"]).expect(1).says(&["both have been written to since", &old, &new]);
        assert_eq!(node.ask::<String>(&["GET", &new]), "another new one");
        assert_eq!(node.ask::<String>(&["GET", &old]), "old one's");
    }
    let () = node.ask(&["DEL", &new]);
    env.run(&["up"]).expect(0);
    assert_eq!(node.ask::<String>(&["GET", &new]), "old one's");
    assert_eq!(node.ask::<Vec<String>>(&["KEYS", "*"]), [new]);
}

fn killed(env: &TestEnv, place: &str) {
    let mut command = env.command(&["up", "--quiet"]);
    command.env("AIPLAT_MIGRATE_FAILPOINT", place).stdin(Stdio::null());
    let output = command.output().expect("binary");
    assert_eq!(output.status.signal(), Some(9), "no kill at {place}");
}

/// Kills a run at each place on a key's way; then others write to what is still at its old name. The next
/// run ends where an undisturbed one would have.
pub fn moved_and_killed() -> (BTreeSet<String>, Tally) {
    let nodes = cluster(2);
    let mut tally = Tally::default();
    let names = ["redis_copy", "redis_take_away", "redis_unmark"];
    let places =
        names.iter().flat_map(|name| ["before", "after"].map(|side| format!("{name}:{side}")));
    let places: BTreeSet<String> = places.collect();
    for (at, place) in places.iter().enumerate() {
        let env = project(&nodes);
        let old = env.named("NAME:old:");
        let mut held = block_on(async { fill(&client(&nodes).await, &old).await });
        killed(&env, &format!("{place}@{}", 1 + 4 * at));
        tally.kills += 1;
        block_on(async {
            let client = client(&nodes).await;
            for (at, held) in held.iter_mut().enumerate() {
                let key = key(&old, at);
                if ask::<i64>(&client, &["EXISTS", &key]).await == 1 {
                    write(&client, &key, at, "written later").await;
                    *held = read(&client, &key).await;
                }
            }
        });
        tally.by_hand += usize::from(env.run(&["up", "--quiet"]).code != 0);
        has_arrived(&nodes, &env, "NAME:old:", "NAME:new:", &held);
        tally.converged += usize::from(env.ledger() == ["redis 1 applied"]);
    }
    (places, tally)
}

#[test]
fn a_run_that_is_killed_on_a_keys_way_is_gone_on_with() {
    moved_and_killed().1.check("keys on their way");
}
