//! Three brokers, two replicas of each partition.

use super::{Servers, WAIT_WHILE_PAUSED, at_work, converged, go_on, pause};
use crate::support::{TestEnv, finish, required};

const TOPICS: usize = 8;
/// The topic before which the run waits for the broker to be killed.
const KILLED_BEFORE: usize = 3;

fn project() -> TestEnv {
    TestEnv::on("TOPOLOGY_")
        .set("AIPLAT_MIGRATE_KAFKA_BROKERS", &required("TOPOLOGY_KAFKA_BROKERS"))
}

fn topics(env: &TestEnv) {
    pause(env);
    env.file("migrations/postgres/V1__wait.sql", WAIT_WHILE_PAUSED);
    env.file("migrations/postgres/U1__wait.sql", "select 1;");
    for n in 1..=TOPICS {
        let topic = format!("{{ name: 'NAME_{n}', partitions: 3, replicationFactor: 2 }}");
        let configs = format!("{{ topic: 'NAME_{n}', set: {{ 'retention.ms': '60000' }} }}");
        let requires = if n == KILLED_BEFORE { "requires: ['postgres@1'], " } else { "" };
        let text = format!(
            "{{ {requires}steps: [{{ createTopic: {topic} }}, {{ alterConfigs: {configs} }}] }}"
        );
        env.file(&format!("migrations/kafka/V{n}__t.json5"), &text);
        env.file(
            &format!("migrations/kafka/U{n}__t.json5"),
            &format!("{{ steps: [{{ deleteTopic: 'NAME_{n}' }}] }}"),
        );
    }
}

#[test]
#[ignore = "needs dev/test --topologies"]
fn a_run_outlives_each_broker() {
    let addresses = required("TOPOLOGY_KAFKA_BROKERS");
    for killed in addresses.split(',') {
        let servers = Servers("kafka");
        let env = project();
        topics(&env);
        let mut run = env.spawn(&["up"]);
        at_work(&env, &format!("store = 'kafka' AND version = '{}'", KILLED_BEFORE - 1));
        servers.kill_under(&mut run, killed);
        go_on(&env);
        converged(&env, finish(run));
        let applied = env.sql("SELECT count(*) FROM aiplat_migrate.ledger WHERE state = 'applied'");
        assert_eq!(applied, [(TOPICS + 1).to_string()]);
        env.run(&["validate"]).expect(0);
        servers.start();
        env.run(&["validate"]).expect(0);
        env.run(&["down", "--all", "--yes"]).expect(0);
    }
}

#[test]
#[ignore = "needs dev/test --topologies"]
fn more_replicas_than_brokers_are_refused() {
    let env = project();
    env.file(
        "migrations/kafka/V1__t.json5",
        "{ steps: [{ createTopic: { name: 'NAME', partitions: 1, replicationFactor: 4 } }] }",
    );
    env.run(&["up"]).expect(1).says(&["wants replicationFactor 4, but the cluster has 3 brokers"]);
}
