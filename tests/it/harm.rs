//! What harms, and what does nothing though it was meant to: refused before the run, or told.

use crate::support::{TestEnv, block_on, required};
use crate::witness;

/// A file that is refused, and what is said; `validate --offline` and `up` say the same.
#[track_caller]
fn refused(env: &TestEnv, store: &str, steps: &str, said: &[&str]) {
    let file = format!("migrations/{store}/V1__a.json5");
    env.file(&file, &format!("{{ steps: [ {steps} ] }}"));
    env.run(&["up"]).expect(2).says(said);
    assert_eq!(env.sql("SELECT to_regclass('aiplat_migrate.ledger') IS NULL"), ["t"]);
    env.remove(&file);
}

#[test]
fn what_harms_kafka_is_refused_before_the_run() {
    let env = TestEnv::new().with(&["kafka"]);
    for name in [
        "__consumer_offsets",
        "__transaction_state",
        "__share_group_state",
        "__cluster_metadata",
        "__remote_log_metadata",
        "_schemas",
    ] {
        for step in [
            format!("{{ createTopic: {{ name: '{name}' }} }}"),
            format!("{{ createTopics: [{{ name: '{name}' }}] }}"),
            format!("{{ createPartitions: {{ topic: '{name}', count: 60 }} }}"),
            format!("{{ alterConfigs: {{ topic: '{name}', set: {{ 'retention.ms': 1 }} }} }}"),
            format!("{{ deleteTopic: '{name}' }}"),
        ] {
            refused(&env, "kafka", &step, &[name, "internal topic", "V1__a.json5:1:"]);
        }
    }
    for (step, said) in [
        ("createAcl: {}", "ACLs are not managed"),
        ("deleteAcls: []", "ACLs are not managed"),
        ("alterClientQuotas: {}", "quotas are not managed"),
        ("alterBrokerConfigs: {}", "configs of brokers are not managed"),
        ("alterConfigs: { broker: 1, set: { a: 1 } }", "configs of brokers are not managed"),
        ("alterUserScramCredentials: {}", "users are not managed"),
        ("alterPartitionReassignments: {}", "partitions are not moved"),
        ("deleteRecords: {}", "messages are not deleted"),
        ("electLeaders: {}", "leaders are not elected"),
        ("deleteConsumerGroup: 'g'", "consumer groups are not managed"),
    ] {
        refused(&env, "kafka", &format!("{{ {step} }}"), &[said, "hint: "]);
    }
    let two = "{ createTopics: [{ name: 'NAME.a.b' }, { name: 'NAME.c' }, { name: 'NAME.a_b' }] }";
    refused(&env, "kafka", two, &["collide", &env.named("NAME.a.b"), &env.named("NAME.a_b")]);
    let topics = witness::topics(&required("TEST_KAFKA_BROKERS"));
    assert!(topics.keys().all(|topic| !topic.starts_with(&env.name)), "{topics:?}");
}

#[test]
fn mechanisms_that_are_lacking_are_named_with_a_way_round() {
    for (mechanism, said) in [
        ("OAUTHBEARER", "cannot fetch its tokens"),
        ("aws_msk_iam", "cannot sign in with AWS roles"),
        ("GSSAPI", "without Kerberos"),
    ] {
        let env = TestEnv::new()
            .with(&["kafka"])
            .set("AIPLAT_MIGRATE_KAFKA_SECURITY_PROTOCOL", "SASL_PLAINTEXT")
            .set("AIPLAT_MIGRATE_KAFKA_SASL_MECHANISM", mechanism);
        env.file(
            "migrations/kafka/V1__a.json5",
            "{ steps: [ { createTopic: { name: 'NAME' } } ] }",
        );
        env.run(&["up"]).expect(2).says(&[said, "SCRAM-SHA-512", "client certificate"]);
    }
}

#[test]
fn what_harms_redis_is_refused_before_the_run() {
    let (env, url) = (TestEnv::new().with(&["redis"]), required("TEST_REDIS_URL"));
    let key = env.named("NAME:key");
    block_on(witness::redis::<()>(&url, &["SET", &key, "x"]));
    for words in ["'SWAPDB', 0, 1", "'swapdb', '1', '0'", "'SCRIPT', 'FLUSH'", "'FLUSHALL'"] {
        let step = format!("{{ command: [{words}] }}");
        refused(&env, "redis", &step, &["a migration must not send", "V1__a.json5:1:"]);
    }
    assert_eq!(block_on(witness::redis::<i64>(&url, &["DEL", &key])), 1);
}

#[test]
fn a_command_that_the_server_calls_harmful_by_another_name_is_not_sent() {
    let server = crate::own_redis::OwnRedis::start(&[
        "rename-command FLUSHALL hidden",
        "rename-command SWAPDB other",
    ]);
    let env = TestEnv::new().set("AIPLAT_MIGRATE_REDIS_URL", &server.url());
    let () = server.ask(&["SET", "key", "x"]);
    for words in ["'hidden'", "'other', 0, 1"] {
        env.file(
            "migrations/redis/V1__a.json5",
            &format!("{{ steps: [ {{ command: [{words}] }} ] }}"),
        );
        env.run(&["up"]).expect(1).says(&["a migration must not send", "step 1 changed nothing"]);
        assert_eq!(server.ask::<String>(&["GET", "key"]), "x");
    }
}

#[test]
fn a_topic_that_no_producer_can_write_to_is_told_in_the_plan_and_by_the_run() {
    let env = TestEnv::new().with(&["kafka"]);
    env.file(
        "migrations/kafka/V1__t.json5",
        "{ steps: [
            { createTopic: { name: 'NAME.one', partitions: 1, replicationFactor: 1, configs: { 'min.insync.replicas': 2 } } },
            { createTopics: [ { name: 'NAME.two', configs: { 'min.insync.replicas': '3' } }, { name: 'NAME.well' } ] },
            { alterConfigs: { topic: 'NAME.well', set: { 'min.insync.replicas': 2 } } },
            { alterConfigs: { topic: 'NAME.well', set: { 'retention.ms': 1e9 } } },
        ] }",
    );
    let said = "every producer with acks=all is refused";
    env.run(&["plan"])
        .expect(0)
        .out(&env.named("! topic NAME.one has a min.insync.replicas of 2"))
        .out(said);
    let up = env.run(&["up"]).expect(0);
    for topic in ["one", "two", "well"] {
        let told = env.named(&format!("kafka@1: topic NAME.{topic} has a min.insync.replicas of"));
        let lines =
            up.stderr.lines().filter(|line| line.starts_with("warning:") && line.contains(&told));
        assert_eq!(lines.count(), 1, "{topic}: {}", up.stderr);
    }
    let own =
        block_on(witness::own_configs(&required("TEST_KAFKA_BROKERS"), &env.named("NAME.well")));
    assert_eq!(own.get("retention.ms").map(String::as_str), Some("1000000000"), "{own:?}");
    env.run(&["down", "--all", "--yes"]).expect(0);
}

#[test]
fn a_misspelt_config_to_unset_is_refused() {
    let env = TestEnv::new().with(&["kafka"]);
    env.file(
        "migrations/kafka/V1__t.json5",
        "{ steps: [
            { createTopic: { name: 'NAME', partitions: 1, configs: { 'retention.ms': 5000 } } },
            { alterConfigs: { topic: 'NAME', unset: ['retention.m'] } },
        ] }",
    );
    env.run(&["up"]).expect(1).says(&[
        "Unknown topic config name: retention.m",
        "did you mean `retention.ms`?",
        "step 2 changed nothing",
    ]);
    env.file(
        "migrations/kafka/V1__t.json5",
        "{ steps: [
            { createTopic: { name: 'NAME', partitions: 1, configs: { 'retention.ms': 5000 } } },
            { alterConfigs: { topic: 'NAME', unset: ['retention.ms'] } },
        ] }",
    );
    env.run(&["up"]).expect(0);
    let own = block_on(witness::own_configs(&required("TEST_KAFKA_BROKERS"), &env.name));
    assert!(own.is_empty(), "{own:?}");
    env.run(&["down", "--all", "--yes"]).expect(0);
}

#[test]
fn a_name_of_ones_own_may_begin_with_underscores() {
    let env = TestEnv::new().with(&["kafka"]);
    env.file(
        "migrations/kafka/V1__t.json5",
        "{ steps: [ { createTopic: { name: '__NAME', partitions: 1, configs: { 'retention.ms': 5000 } } } ] }",
    );
    env.run(&["up"]).expect(0);
    let (brokers, topic) = (required("TEST_KAFKA_BROKERS"), env.named("__NAME"));
    let own = block_on(witness::own_configs(&brokers, &topic));
    assert_eq!(own.get("retention.ms").map(String::as_str), Some("5000"));
    // It is compared as any other is.
    block_on(witness::delete_topics(&brokers, &[&topic]));
    crate::own_redis::eventually("its end", || env.run(&["validate"]).code == 3);
    env.run(&["validate"]).expect(3).out(&format!("topic {topic}: absent"));
}

#[test]
fn what_was_to_be_deleted_and_was_not_there_is_told_as_a_warning() {
    let env = TestEnv::new().with(&["mongo", "weaviate", "kafka", "redis"]);
    let rows = [
        ("mongo", "{ drop: 'nothing' }", "drop nothing"),
        ("weaviate", "{ deleteClass: 'NameNothing' }", "deleteClass NameNothing"),
        ("kafka", "{ deleteTopic: 'NAME.nothing' }", "deleteTopic NAME.nothing"),
        ("redis", "{ deleteUser: 'NAME' }", "deleteUser NAME"),
        ("redis", "{ deleteFunction: 'NAME' }", "deleteFunction NAME"),
        ("redis", "{ dropKeyspace: 'NAME:*' }", "dropKeyspace NAME:*"),
    ];
    for (at, (store, step, _)) in (1..).zip(rows) {
        env.file(
            &format!("migrations/{store}/V{at}__a.json5"),
            &format!("{{ steps: [ {step} ] }}"),
        );
    }
    let up = env.run(&["up"]).expect(0);
    for (at, (store, _, label)) in (1..).zip(rows) {
        let told = env.named(&format!("warning: {store}@{at}: {label} (was not there)"));
        assert!(up.stderr.contains(&told), "no `{told}` in\n{}", up.stderr);
    }
    assert!(!up.stderr.contains("was there already"), "{}", up.stderr);
    env.file("migrations/kafka/V9__a.json5", "{ steps: [ { deleteTopic: 'NAME.nothing' } ] }");
    let quiet = env.run(&["up", "--quiet"]).expect(0);
    quiet.says(&["(was not there)"]);
    env.file("migrations/kafka/V10__a.json5", "{ steps: [ { deleteTopic: 'NAME.nothing' } ] }");
    let json = env.run(&["up", "--log-format", "json"]).expect(0);
    let warned = |line: &&str| line.contains("\"WARN\"") && line.contains("was not there");
    assert_eq!(json.stderr.lines().filter(warned).count(), 1, "{}", json.stderr);
}

#[test]
fn a_consumer_group_that_somebody_made_is_found() {
    let (env, url) = (TestEnv::new().with(&["redis"]), required("TEST_REDIS_URL"));
    let stream = env.named("NAME:jobs");
    env.file(
        "migrations/redis/V1__g.json5",
        "{ steps: [ { command: ['XGROUP', 'CREATE', 'NAME:jobs', 'workers', '$', 'MKSTREAM'] } ] }",
    );
    env.run(&["plan"]).expect(0);
    block_on(witness::redis::<()>(
        &url,
        &["XGROUP", "CREATE", &stream, "workers", "$", "MKSTREAM"],
    ));
    env.run(&["up"]).expect(0).says(&["XGROUP CREATE", "(was there already)"]);
    // What it did not make is not for `down` to take away.
    env.run(&["down", "--yes"]).expect(0);
    assert_eq!(block_on(witness::redis::<i64>(&url, &["DEL", &stream])), 1);
}
