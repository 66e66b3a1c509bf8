//! Redis: changes made by commands. The settings are ones that no other test touches.

use super::Way::{Heals, Person};
use super::{Case, case, is_told_and_healed};
use crate::support::{TestEnv, block_on, required};

const MADE: &str = r##"{ steps: [
    { config: { "latency-monitor-threshold": "100", "zset-max-listpack-entries": "64", "tracking-table-max-keys": "500000" } },
    { function: { code: "#!lua name=NAME_one\nredis.register_function('NAME_one', function() return 1 end)" } },
    { function: { code: "#!lua name=NAME_two\nredis.register_function('NAME_two', function() return 2 end)" } },
    { acl: { user: "NAME_reader", rules: ["on", ">secret", "~a:*", "&news", "+@read"] } },
    { acl: { user: "NAME_open", rules: ["on", "nopass", "~b:*", "+get"] } },
    { acl: { user: "NAME_gone", rules: ["on", "nopass", "~c:*", "+get"] } },
    { acl: { user: "NAME_lost", rules: ["on", ">secret", "~d:*", "+get"] } },
    { acl: { user: "NAME_blank", rules: ["on", ">secret", "~e:*", "+get"] } },
] }"##;

#[rustfmt::skip]
const CASES: &[Case<'static>] = &[
    case("CONFIG SET latency-monitor-threshold 0", &["setting latency-monitor-threshold: value"], Heals),
    case("CONFIG SET zset-max-listpack-entries 32", &["setting zset-max-listpack-entries: value"], Heals),
    case("CONFIG SET tracking-table-max-keys 7", &["setting tracking-table-max-keys: value"], Heals),
    case("FUNCTION DELETE NAME_one", &["function NAME_one: absent"], Heals),
    case("FUNCTION LOAD REPLACE #!lua name=NAME_two\nredis.register_function('NAME_two',function()return(3)end)", &["function NAME_two: code"], Heals),
    case("ACL SETUSER NAME_reader ~x:* +set off", &["user NAME_reader: keys", "user NAME_reader: commands", "user NAME_reader: enabled"], Heals),
    case("ACL SETUSER NAME_open &more resetpass", &["user NAME_open: channels", "user NAME_open: password"], Heals),
    case("ACL DELUSER NAME_gone", &["user NAME_gone: absent"], Heals),
    case("ACL DELUSER NAME_lost", &["user NAME_lost: absent"], Person),
    case("ACL SETUSER NAME_blank nopass", &["user NAME_blank: password"], Person),
];

#[test]
fn what_is_changed_by_hand_is_told_and_healed() {
    let env = TestEnv::new().with(&["redis"]);
    env.file("migrations/redis/V1__all.json5", MADE);
    env.run(&["up"]).expect(0);
    env.run(&["validate"]).expect(0);
    block_on(async {
        let client = redis::Client::open(required("TEST_REDIS_URL")).expect("URL");
        let mut client = client.get_multiplexed_async_connection().await.expect("Redis");
        for case in CASES {
            let named = env.named(case.change);
            // The code of a library is one word.
            let words = if named.starts_with("FUNCTION LOAD") { 4 } else { usize::MAX };
            let mut command = redis::Cmd::new();
            for word in named.splitn(words, ' ') {
                command.arg(word);
            }
            let done: Result<redis::Value, _> = command.query_async(&mut client).await;
            done.unwrap_or_else(|error| panic!("{named}: {error}"));
        }
    });
    is_told_and_healed(&env, "redis", CASES);
    env.run(&["down", "--all", "--yes", "--allow-data-loss"]);
}
