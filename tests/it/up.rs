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

#[test]
fn copy_data_travels_alone_among_others_in_one_run() {
    let env = TestEnv::new();
    env.file("migrations/postgres/V1__t.sql", "create table t (a int, b text);");
    env.file(
        "migrations/postgres/V2__data.sql",
        "COPY t (a, b) FROM stdin;\n1\tone's; $$\n2\t\\N\n\\.\ncreate table after_data (a int);\n",
    );
    env.file("migrations/postgres/V3__u.sql", "create table u (a int);");
    env.file("migrations/postgres/V4__more.sql", "COPY t FROM stdin;\n3\tthree\n\\.\n");
    env.run(&["up"]).expect(0);
    assert_eq!(env.sql("SELECT a, b FROM t ORDER BY a"), ["1|one's; $$", "2|NULL", "3|three"]);
    assert_eq!(env.sql("SELECT to_regclass('after_data'), to_regclass('u')"), ["after_data|u"]);
}

#[test]
fn large_copy_data_is_streamed_from_its_file() {
    let env = TestEnv::new();
    let rows: String = (1..=60_000).map(|row| format!("{row}\tä{row}\r\n")).collect();
    let text = |table: &str| {
        format!(
            "create table {table} (a int, b text);\r\nCOPY {table} FROM stdin;\r\n{rows}\\.\r\n"
        )
    };
    env.file("migrations/postgres/V1__t.sql", &text("t"));
    // After the data, places are still those of the file.
    env.file("migrations/postgres/V2__u.sql", &format!("{}\nselect nothing;\n", text("u")));
    let failed = env.run(&["up"]).expect(1);
    failed.says(&["V2__u.sql:60005:", "postgres@1"]);
    assert_eq!(env.sql("SELECT count(*), max(a), max(b) FROM t"), ["60000|60000|ä9999"]);
    env.file("migrations/postgres/V2__u.sql", &text("u"));
    env.run(&["up"]).expect(0);
    assert_eq!(env.sql("SELECT count(*) FROM u"), ["60000"]);
    env.run(&["validate"]).expect(0);
}

#[test]
fn copy_data_that_is_refused_leaves_nothing() {
    let env = TestEnv::new();
    let text = "create table t (a int);\nCOPY t FROM stdin;\n1\nx\n\\.\n";
    env.file("migrations/postgres/V1__t.sql", text);
    env.file("migrations/postgres/V2__u.sql", "create table u (a int);");
    let failed = env.run(&["up"]).expect(1);
    failed.says(&["V1__t.sql:2:1", "invalid input syntax", "not begun: postgres@2"]);
    assert_eq!(env.sql("SELECT to_regclass('t'), to_regclass('u')"), ["NULL|NULL"]);
    assert!(env.ledger().is_empty(), "{:?}", env.ledger());
}

#[test]
fn a_contract_that_is_replaced_in_the_same_run_comes_back() {
    let env = TestEnv::new().with(&["redis"]);
    let contract = |ttl: &str| {
        format!(
            "{{ steps: [{{ keyspace: {{ pattern: 'NAME:*', type: 'hash', ttl: '{ttl}', purpose: 'x' }} }}] }}"
        )
    };
    env.file("migrations/redis/V1__a.json5", &contract("1h"));
    env.file("migrations/redis/V2__b.json5", &contract("2h"));
    env.file("migrations/redis/V3__c.json5", "{ steps: [{ dropKeyspace: 'NAME:*' }] }");
    let ttl = "SELECT recorded -> 'keyspace NAME:*' ->> 'ttlSeconds' FROM aiplat_migrate.shape";
    env.run(&["up"]).expect(0);
    assert_eq!(env.sql(ttl), ["NULL"]);
    env.run(&["down", "--yes"]).expect(0);
    assert_eq!(env.sql(ttl), ["7200"]);
    env.run(&["down", "--yes"]).expect(0);
    assert_eq!(env.sql(ttl), ["3600"]);
}
