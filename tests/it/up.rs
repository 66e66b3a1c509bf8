//! `up` and `down` in their simplest forms.

use crate::support::TestEnv;

#[test]
fn up_applies_once_and_down_takes_it_back() {
    let env = TestEnv::new();
    env.file("migrations/postgres/V1__users.sql", "create table users (id int);");
    env.file("migrations/postgres/U1__users.sql", "drop table users;");
    env.run(&["up"]).expect(0).says(&["applied", "postgres@1"]);
    let again = env.run(&["up"]).expect(0);
    assert!(again.stdout.contains("nothing is pending"), "{}", again.stdout);
    assert_eq!(env.ledger(), ["postgres 1 applied"]);
    env.run(&["down", "--yes"]).expect(0).says(&["undone", "postgres@1"]);
    assert_eq!(env.sql("SELECT to_regclass('users')"), ["NULL"]);
    env.run(&["up"]).expect(0);
    assert_eq!(env.ledger(), ["postgres 1 undone", "postgres 1 applied"]);
}

#[test]
fn steps_of_the_document_stores_are_undone_from_the_ledger() {
    let env = TestEnv::new().with(&["mongo", "kafka", "redis", "weaviate"]);
    env.file("migrations/mongo/V1__a.json5", "{ steps: [{ create: 'a' }] }");
    env.file(
        "migrations/kafka/V1__a.json5",
        "{ requires: ['mongo@1'], steps: [{ createTopic: { name: 'NAME', partitions: 1, replicationFactor: 1 } }] }",
    );
    env.file(
        "migrations/redis/V1__a.json5",
        "{ steps: [{ keyspace: { pattern: 'NAME:{id}', type: 'hash', ttl: '1h', purpose: 'x' } }] }",
    );
    env.file(
        "migrations/weaviate/V1__a.json5",
        "{ steps: [{ createClass: { class: 'Name', vectorizer: 'none', properties: [{ name: 'a', dataType: ['text'] }] } }] }",
    );
    env.run(&["up"]).expect(0);
    env.run(&["validate"]).expect(0);
    let shape = env.sql("SELECT recorded::text FROM aiplat_migrate.shape WHERE store = 'redis'");
    assert!(shape[0].contains("keyspace NAME".replace("NAME", &env.name).as_str()), "{shape:?}");
    env.run(&["down", "--all", "--yes"]).expect(0);
    assert!(env.ledger().iter().all(|row| row.ends_with("undone")), "{:?}", env.ledger());
    let nothing = env.run(&["down", "--all", "--yes"]).expect(0);
    assert!(nothing.stdout.contains("nothing to undo"), "{}", nothing.stdout);
}
