//! Changes made by hand and put back by `repair --reapply`: that the object is as before is asked of the
//! store's own client, not of the tool.

use std::collections::BTreeMap;

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, AlterConfig, ResourceSpecifier};
use rdkafka::client::DefaultClientContext;
use redis::Value;

use crate::own_redis::{OwnRedis, eventually};
use crate::support::{TestEnv, block_on, required};
use crate::witness;

/// Names and values.
type Configs = &'static [(&'static str, &'static str)];

/// A topic of the table, with its configs as a migration makes them and as somebody sets all of them.
#[rustfmt::skip]
const TOPICS: &[(&str, Configs, Configs)] = &[
    ("longer", &[("retention.ms", "3600000")], &[("retention.ms", "-1")]),
    ("compacted", &[("cleanup.policy", "delete")], &[("cleanup.policy", "compact")]),
    ("added", &[], &[("segment.bytes", "2097152"), ("retention.bytes", "1000000")]),
    ("removed", &[("max.message.bytes", "2000000"), ("min.insync.replicas", "1")], &[]),
    ("both", &[("compression.type", "lz4"), ("flush.ms", "7000")], &[("compression.type", "zstd"), ("preallocate", "true")]),
    ("stamped", &[("message.timestamp.type", "LogAppendTime")], &[("message.timestamp.type", "CreateTime")]),
];

#[test]
fn configs_of_topics_are_as_before_to_kafkas_own_client() {
    let (env, brokers) = (TestEnv::new().with(&["kafka"]), required("TEST_KAFKA_BROKERS"));
    let name = |topic: &str| env.named(&format!("NAME.{topic}"));
    let topics = TOPICS.iter().map(|(topic, made, _)| {
        let configs: BTreeMap<_, _> = made.iter().copied().collect();
        let made = serde_json::json!({ "name": name(topic), "partitions": 1, "configs": configs });
        format!("{{ createTopic: {made} }}")
    });
    let steps = topics.collect::<Vec<_>>().join(", ");
    env.file("migrations/kafka/V1__all.json5", &format!("{{ steps: [ {steps} ] }}"));
    env.run(&["up"]).expect(0);
    let own = || -> Vec<BTreeMap<String, String>> {
        TOPICS.iter().map(|row| block_on(witness::own_configs(&brokers, &name(row.0)))).collect()
    };
    let before = own();
    block_on(async {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &brokers);
        let admin: AdminClient<DefaultClientContext> = config.create().expect("client");
        for (topic, _, set) in TOPICS {
            let topic = name(topic);
            let mut wanted = AlterConfig::new(ResourceSpecifier::Topic(&topic));
            for (key, value) in *set {
                wanted = wanted.set(key, value);
            }
            let done = admin.alter_configs(&[wanted], &AdminOptions::new()).await.expect("alter");
            assert!(done.iter().all(Result::is_ok), "{done:?}");
        }
    });
    eventually("the changes", || own().iter().zip(&before).all(|(now, before)| now != before));
    env.run(&["validate"]).expect(3);
    env.run(&["repair", "--reapply", "--yes"]).expect(0);
    assert_eq!(own(), before);
    env.run(&["down", "--all", "--yes"]).expect(0);
}

#[test]
fn a_topic_that_was_deleted_and_made_again_is_told_and_an_older_record_does_not_drift() {
    let (env, brokers) = (TestEnv::new().with(&["kafka"]), required("TEST_KAFKA_BROKERS"));
    let topic = env.named("NAME.again");
    env.file(
        "migrations/kafka/V1__t.json5",
        "{ steps: [ { createTopic: { name: 'NAME.again', partitions: 2 } }, { createTopic: { name: 'NAME.kept', partitions: 1 } } ] }",
    );
    env.run(&["up"]).expect(0);
    // As a version recorded it that knew no ids.
    env.sql(
        "UPDATE aiplat_migrate.shape SET recorded = (SELECT jsonb_object_agg(key, value - 'id') \
         FROM jsonb_each(recorded) WHERE key <> 'shape version') WHERE store = 'kafka'",
    );
    env.run(&["validate"]).expect(0);
    env.file(
        "migrations/kafka/V2__t.json5",
        "{ steps: [ { createTopic: { name: 'NAME.more' } } ] }",
    );
    env.run(&["up"]).expect(0);
    let ids = "SELECT count(*) FROM aiplat_migrate.shape, jsonb_each(recorded) \
               WHERE store = 'kafka' AND key LIKE 'topic %' AND value ? 'id'";
    assert_eq!(env.sql(ids), ["3"], "the next run takes the ids over");
    env.run(&["validate"]).expect(0);

    block_on(witness::delete_topics(&brokers, &[&topic]));
    eventually("its end", || !witness::topics(&brokers).contains_key(&topic));
    block_on(witness::create_topic(&brokers, &topic, 2));
    eventually("its return", || witness::topics(&brokers).get(&topic) == Some(&2));
    let told = super::told(&env, "kafka", 3);
    assert_eq!(told.into_iter().collect::<Vec<_>>(), [format!("topic {topic}: id")]);
    let repair = env.run(&["repair", "--reapply", "--yes"]).expect(3);
    repair.out("deleted and made anew by other hands");
    env.run(&["repair", "--accept-drift", "--yes"]).expect(0);
    env.run(&["validate"]).expect(0);
    env.run(&["down", "--all", "--yes"]).expect(0);
}

const MADE: &str = r##"{ steps: [
    { config: { "hll-sparse-max-bytes": "2500", "set-max-intset-entries": "300", "active-expire-effort": "3" } },
    { function: { code: "#!lua name=NAME_one\nredis.register_function('NAME_one', function() return 1 end)" } },
    { function: { code: "#!lua name=NAME_two\nredis.register_function('NAME_two', function() return 2 end)" } },
    { acl: { user: "NAME_reader", rules: ["on", "~a:*", "&news", "+@read", "-keys", "(~x:* +get)"] } },
    { acl: { user: "NAME_open", rules: ["on", "nopass", "~b:*", "+get"] } },
    { acl: { user: "NAME_gone", rules: ["on", "nopass", "~c:*", "+get"] } },
    { acl: { user: "NAME_shut", rules: ["off", "~d:*", "+get"] } },
    { acl: { user: "NAME_owner", rules: ["on", ">made", "~e:*", "+get"] } },
] }"##;

/// What is done by hand, and what asks for the object.
#[rustfmt::skip]
const BY_HAND: &[(&[&str], &[&str])] = &[
    (&["CONFIG", "SET", "hll-sparse-max-bytes", "100"], &["CONFIG", "GET", "hll-sparse-max-bytes"]),
    (&["CONFIG", "SET", "set-max-intset-entries", "9", "active-expire-effort", "1"], &["CONFIG", "GET", "*e*t*e*"]),
    (&["FUNCTION", "DELETE", "NAME_one"], &["FUNCTION", "LIST", "libraryname", "NAME_one", "WITHCODE"]),
    (&["FUNCTION", "LOAD", "REPLACE", "#!lua name=NAME_two\nredis.register_function('NAME_two', function() return 3 end)"], &["FUNCTION", "LIST", "libraryname", "NAME_two", "WITHCODE"]),
    (&["ACL", "SETUSER", "NAME_reader", "off", "~other", "+set", "&more", "clearselectors"], &["ACL", "GETUSER", "NAME_reader"]),
    (&["ACL", "SETUSER", "NAME_open", "resetpass"], &["ACL", "GETUSER", "NAME_open"]),
    (&["ACL", "DELUSER", "NAME_gone"], &["ACL", "GETUSER", "NAME_gone"]),
    (&["ACL", "SETUSER", "NAME_shut", "on", "nopass", "allkeys"], &["ACL", "GETUSER", "NAME_shut"]),
    (&["ACL", "SETUSER", "NAME_owner", "+@all"], &["ACL", "GETUSER", "NAME_owner"]),
];

/// The answers, with the flags of a user in one order.
fn asked(env: &TestEnv, url: &str) -> Vec<String> {
    let named = |words: &[&str]| words.iter().map(|word| env.named(word)).collect::<Vec<_>>();
    let ask = |words: &&[&str]| {
        let words = named(words);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        format!("{:?}", block_on(witness::redis::<Value>(url, &words)))
    };
    BY_HAND.iter().map(|(_, words)| ask(words)).collect()
}

#[test]
fn settings_functions_and_users_are_as_before_to_redis_own_client() {
    // A server of its own: settings are everybody's.
    let server = OwnRedis::start(&[]);
    let url = server.url();
    let env = TestEnv::new().set("AIPLAT_MIGRATE_REDIS_URL", &url);
    env.file("migrations/redis/V1__all.json5", MADE);
    env.run(&["up"]).expect(0);
    let before = asked(&env, &url);
    for (words, _) in BY_HAND {
        let words: Vec<String> = words.iter().map(|word| env.named(word)).collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let _: Value = server.ask(&words);
    }
    let changed = asked(&env, &url);
    assert!(changed.iter().zip(&before).all(|(now, before)| now != before));
    env.run(&["validate"]).expect(3);
    env.run(&["repair", "--reapply", "--yes"]).expect(0);
    assert_eq!(asked(&env, &url), before);
    env.run(&["validate"]).expect(0);
}

/// What a rule says of the password, what is done by hand, whether that is told and whether it goes back.
#[rustfmt::skip]
const PASSWORDS: &[(&str, &[&str], bool, bool)] = &[
    // A password that nobody's rules forbid is no difference, and stays.
    ("", &[">pw"], false, false),
    ("", &[">pw", ">another"], false, false),
    ("", &[">pw", "~more:*"], true, true),
    ("'nopass',", &["resetpass", ">pw"], true, false),
    ("'resetpass',", &[">pw"], true, false),
    ("'>made',", &[">pw"], false, false),
    ("'>made',", &["<made", ">pw", "+set"], true, true),
];

#[test]
fn a_password_is_neither_taken_away_nor_set() {
    let server = OwnRedis::start(&[]);
    let env = TestEnv::new().set("AIPLAT_MIGRATE_REDIS_URL", &server.url());
    let user = |at: usize| format!("user{at}");
    let steps = (0..).zip(PASSWORDS).map(|(at, (rule, ..))| {
        format!("{{ acl: {{ user: '{}', rules: ['on', {rule} '~a:*', '+ping'] }} }}", user(at))
    });
    let steps = steps.collect::<Vec<_>>().join(", ");
    env.file("migrations/redis/V1__users.json5", &format!("{{ steps: [ {steps} ] }}"));
    env.run(&["up"]).expect(0);
    let rights = |at: usize| -> String {
        let list: Vec<String> = server.ask(&["ACL", "LIST"]);
        let line = list.into_iter().find(|line| line.starts_with(&format!("user {} ", user(at))));
        let line = line.expect("the user");
        line.split(' ')
            .filter(|word| !word.starts_with('#') && *word != "nopass")
            .collect::<Vec<_>>()
            .join(" ")
    };
    let before: Vec<String> = (0..PASSWORDS.len()).map(rights).collect();
    for (at, (_, rules, ..)) in (0..).zip(PASSWORDS) {
        let user = user(at);
        let words: Vec<&str> =
            ["ACL", "SETUSER", &user].into_iter().chain(rules.iter().copied()).collect();
        let () = server.ask(&words);
    }
    let told: String = env.run(&["validate"]).expect(3).stdout;
    for (at, (rule, rules, is_told, _)) in (0..).zip(PASSWORDS) {
        let said = told.contains(&format!("user {}:", user(at)))
            || told.contains(&format!("passwords {}:", user(at)));
        assert_eq!(said, *is_told, "{rule} {rules:?}\n{told}");
    }
    // What goes back does; of the passwords, two are left to a person.
    env.run(&["repair", "--reapply", "--yes"]).expect(3);
    for (at, (rule, rules, is_told, goes_back)) in (0..).zip(PASSWORDS) {
        let mut login =
            redis::Client::open(format!("redis://{}:pw@127.0.0.1:{}", user(at), server.port))
                .expect("URL")
                .get_connection()
                .unwrap_or_else(|error| panic!("{rule} {rules:?}: the password is gone: {error}"));
        let pong: String = redis::cmd("PING").query(&mut login).expect("PONG");
        assert_eq!(pong, "PONG");
        if !is_told || *goes_back {
            assert_eq!(rights(at), before[at], "{rule} {rules:?}");
        }
    }
    let left = env.run(&["validate"]).expect(3).stdout;
    assert_eq!(left.matches("error:").count(), 2, "{left}");
    env.run(&["repair", "--accept-drift", "--yes"]).expect(0);
    env.run(&["validate"]).expect(0);
}

#[test]
fn settings_that_a_provider_keeps_are_set_by_a_person_and_not_compared() {
    for withheld in ["rename-command CONFIG \"\"", "rename-command CONFIG secret"] {
        let server = OwnRedis::start(&[withheld]);
        let env = TestEnv::new().set("AIPLAT_MIGRATE_REDIS_URL", &server.url());
        env.file(
            "migrations/redis/V1__settings.json5",
            "{ steps: [ { config: { 'notify-keyspace-events': 'Ex', hz: 20 } }, \
               { acl: { user: 'reader', rules: ['on', '~a:*', '+get'] } } ] }",
        );
        env.run(&["up"]).expect(1).says(&[
            "the server keeps its settings to itself",
            "unknown command 'CONFIG'",
            "parameter group",
            "repair --done redis@1",
            "step 1 changed nothing",
        ]);
        env.run(&["repair", "--done", "redis@1", "--yes"]).expect(0);
        env.run(&["up"]).expect(0).says(&["acl reader"]);
        assert_eq!(env.ledger(), ["redis 1 applied"]);
        let users: Vec<String> = server.ask(&["ACL", "USERS"]);
        assert!(users.contains(&"reader".to_string()), "{users:?}");
        let recorded = "SELECT count(*) FROM aiplat_migrate.shape, jsonb_each(recorded) WHERE key LIKE 'setting %'";
        assert_eq!(env.sql(recorded), ["0"]);
        env.run(&["validate"]).expect(0);
        env.run(&["down", "--yes"]).expect(0);
    }
}

#[test]
fn whoever_may_not_change_settings_is_told_which_rights_to_grant() {
    let server = OwnRedis::start(&[]);
    let () = server.ask(&["ACL", "SETUSER", "few", "on", ">pw", "~*", "&*", "+@all", "-config"]);
    let url = format!("redis://few:pw@127.0.0.1:{}", server.port);
    let env = TestEnv::new().set("AIPLAT_MIGRATE_REDIS_URL", &url);
    env.file("migrations/redis/V1__settings.json5", "{ steps: [ { config: { hz: 20 } } ] }");
    env.run(&["up"]).expect(1).says(&[
        "the user may not change the server's settings",
        "+config|get +config|set",
        "repair --done redis@1",
    ]);
    let () = server.ask(&["CONFIG", "SET", "hz", "20"]);
    env.run(&["repair", "--done", "redis@1", "--yes"]).expect(0);
    env.run(&["up"]).expect(0);
    env.run(&["validate"]).expect(0);
    // Not compared, whatever becomes of it.
    let () = server.ask(&["CONFIG", "SET", "hz", "30"]);
    env.run(&["validate"]).expect(0);
}

#[test]
fn recorded_settings_that_a_new_server_keeps_to_itself_are_told_and_accepted() {
    let (own, managed) = (OwnRedis::start(&[]), OwnRedis::start(&["rename-command CONFIG \"\""]));
    let env = TestEnv::new().set("AIPLAT_MIGRATE_REDIS_URL", &own.url());
    env.file(
        "migrations/redis/V1__settings.json5",
        "{ steps: [ { config: { timeout: 7, hz: 20 } } ] }",
    );
    env.run(&["up"]).expect(0);
    let env = env.set("AIPLAT_MIGRATE_REDIS_URL", &managed.url());
    let told = env.run(&["validate"]).expect(3);
    told.out("setting hz: value 20 → not told by the server").out("its provider has them set");
    env.run(&["repair", "--reapply", "--yes"]).expect(3);
    env.run(&["repair", "--accept-drift", "--yes"]).expect(0);
    env.run(&["validate"]).expect(0);
}
