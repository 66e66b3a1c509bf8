//! Ways to lose data of Redis by `down`: each is refused with its figure, and all of it is still there.

use redis::Value;

use crate::support::{TestEnv, block_on, required};
use crate::witness;

/// What makes data, by Redis's own client; how a U file would undo it; what is to be said; and what asks for
/// the data. `@` is a key of the case's own.
struct Case {
    made: &'static [&'static str],
    down: &'static str,
    said: &'static str,
    asked: &'static str,
}

const fn case(
    made: &'static [&'static str],
    down: &'static str,
    said: &'static str,
    asked: &'static str,
) -> Case {
    Case { made, down, said, asked }
}

const CASES: &[Case] = &[
    case(
        &["SET @:1 a", "SET @:2 b"],
        "{ rewrite: { match: '@:*', delete: true } }",
        "@:* matches 2 keys",
        "MGET @:1 @:2",
    ),
    case(
        &["SET @:1 a", "RPUSH @:2 b"],
        "{ rewrite: { match: '@:*', type: 'list', delete: true } }",
        "@:* matches 1 key",
        "LRANGE @:2 0 -1",
    ),
    case(
        &["SET @:1 a", "SET @:2 b EX 9000", "SET @:3 c EX 60"],
        "{ rewrite: { match: '@:*', set: { ttl: '1h' } } }",
        "@:* matches 2 keys that would live for longer, and expire after 3600 s then",
        "MGET @:1 @:2 @:3",
    ),
    case(
        &["SET @ a"],
        "{ command: ['DEL', '@', '@:nothing'] }",
        "1 of the keys that the command deletes are there",
        "GET @",
    ),
    case(
        &["SADD @ a b"],
        "{ command: ['unlink', '@'] }",
        "1 of the keys that the command deletes are there",
        "SMEMBERS @",
    ),
    case(
        &["SET @ a"],
        "{ command: ['EVAL', \"return redis.call('DEL', KEYS[1])\", 1, '@'] }",
        "what `command EVAL …` does to data cannot be seen",
        "GET @",
    ),
    case(
        &["SET @ a"],
        "{ command: ['SET', '@', 'other'] }",
        "what `command SET @ …` does to data cannot be seen",
        "GET @",
    ),
    case(
        &["HSET @ a 1 b 2"],
        "{ command: ['HDEL', '@', 'a'] }",
        "what `command HDEL @ …` does to data cannot be seen",
        "HGETALL @",
    ),
    case(
        &["SET @ a"],
        "{ command: ['EXPIRE', '@', 1] }",
        "what `command EXPIRE @ …` does to data cannot be seen",
        "TTL @",
    ),
    case(
        &["SET @ a", "SET @:other b"],
        "{ command: ['COPY', '@:other', '@', 'REPLACE'] }",
        "what `command COPY @:other …` does to data cannot be seen",
        "MGET @ @:other",
    ),
    case(
        &[
            "XADD @ 1-1 a b",
            "XADD @ 1-2 a b",
            "XGROUP CREATE @ g 0",
            "XREADGROUP GROUP g c STREAMS @ >",
        ],
        "{ command: ['XGROUP', 'DESTROY', '@', 'g'] }",
        "what `command XGROUP DESTROY @ …` does to data cannot be seen",
        "XPENDING @ g",
    ),
    case(
        &["XADD @ 1-1 a b", "XGROUP CREATE @ g 0"],
        "{ command: ['XGROUP', 'SETID', '@', 'g', '$'] }",
        "what `command XGROUP SETID @ …` does to data cannot be seen",
        "XINFO GROUPS @",
    ),
    case(
        &["XADD @ 1-1 a b", "XADD @ 1-2 a b"],
        "{ command: ['XADD', '@', 'MAXLEN', 1, '*', 'a', 'b'] }",
        "what `command XADD @ …` does to data cannot be seen",
        "XRANGE @ - +",
    ),
    case(
        &["ZADD @ 7 a"],
        "{ command: ['ZADD', '@', 1, 'a'] }",
        "what `command ZADD @ …` does to data cannot be seen",
        "ZSCORE @ a",
    ),
    case(
        &["SET @ a"],
        "{ config: { maxmemory: '1mb', 'maxmemory-policy': 'allkeys-random' } }",
        "and evicts keys (allkeys-random) down to 1048576",
        "GET @",
    ),
];

#[test]
fn each_way_to_lose_keys_is_refused_with_its_figure() {
    let (env, url) = (TestEnv::new().with(&["redis"]), required("TEST_REDIS_URL"));
    let key = |at: usize| env.named(&format!("NAME:k{at}:"));
    for (at, case) in (1..).zip(CASES) {
        let contract =
            format!("keyspace: {{ pattern: '{}*', type: 'string', ttl: 'any' }}", key(at));
        let text = format!("{{ steps: [ {{ {contract} }} ] }}");
        env.file(&format!("migrations/redis/V{at}__k.json5"), &text);
        let text = format!("{{ steps: [ {} ] }}", case.down.replace('@', &key(at)));
        env.file(&format!("migrations/redis/U{at}__k.json5"), &text);
    }
    env.run(&["up"]).expect(0);
    let ask = |words: &str, at: usize| {
        let words = words.replace('@', &key(at));
        let words: Vec<&str> = words.split(' ').collect();
        block_on(witness::redis::<Value>(&url, &words))
    };
    for (at, case) in (1..).zip(CASES) {
        for words in case.made {
            ask(words, at);
        }
    }
    let all = || (1..).zip(CASES).map(|(at, case)| ask(case.asked, at)).collect::<Vec<_>>();
    let there = all();
    let said: Vec<String> =
        (1..).zip(CASES).map(|(at, case)| case.said.replace('@', &key(at))).collect();
    let said: Vec<&str> = said.iter().map(String::as_str).collect();
    env.run(&["down", "--all", "--yes"]).expect(1).says(&said).says(&["nothing was undone"]);
    assert_eq!(all(), there, "nothing was touched");
    let keys = block_on(witness::redis::<Vec<String>>(&url, &["KEYS", &env.named("NAME:*")]));
    assert!(keys.len() >= CASES.len(), "{keys:?}");
    let words: Vec<&str> = ["DEL"].into_iter().chain(keys.iter().map(String::as_str)).collect();
    block_on(witness::redis::<i64>(&url, &words));
}

#[test]
fn what_loses_nothing_needs_no_flag() {
    let (env, url) = (TestEnv::new().with(&["redis"]), required("TEST_REDIS_URL"));
    let key = env.named("NAME:k:1");
    let harmless = [
        "{ rewrite: { match: 'NAME:k:*', set: { ttl: '24h' } } }",
        "{ rewrite: { match: 'NAME:nothing:*', delete: true } }",
        "{ command: ['DEL', 'NAME:nothing'] }",
        "{ command: ['SETNX', 'NAME:k:1', 'other'] }",
        "{ command: ['XADD', 'NAME:stream', '*', 'a', 'b'] }",
        "{ command: ['ZADD', 'NAME:zset', 'NX', 1, 'a'] }",
    ];
    env.file(
        "migrations/redis/V1__k.json5",
        "{ steps: [ { keyspace: { pattern: 'NAME:*', type: 'string', ttl: 'any' } } ] }",
    );
    env.file("migrations/redis/U1__k.json5", &format!("{{ steps: [ {} ] }}", harmless.join(", ")));
    env.run(&["up"]).expect(0);
    let _: Value = block_on(witness::redis(&url, &["SET", &key, "a", "EX", "3600"]));
    env.run(&["down", "--yes"]).expect(0);
    assert_eq!(block_on(witness::redis::<String>(&url, &["GET", &key])), "a");
    let left: Vec<String> = block_on(witness::redis(&url, &["KEYS", &env.named("NAME:*")]));
    assert_eq!(left.len(), 3, "{left:?}");
    let words: Vec<&str> = ["DEL"].into_iter().chain(left.iter().map(String::as_str)).collect();
    block_on(witness::redis::<i64>(&url, &words));
}
