//! A ledger of which something is gone, or that cannot be made: told as what it is, and never taken for an
//! empty one.

use crate::support::TestEnv;

fn applied() -> TestEnv {
    let env = TestEnv::new();
    env.file("migrations/postgres/V1__a.sql", "create table a (id int);");
    env.file("migrations/postgres/U1__a.sql", "drop table a;");
    env.run(&["up"]).expect(0);
    env
}

#[test]
fn a_table_that_was_dropped() {
    let readers = [&["status"][..], &["validate"], &["up"], &["plan"], &["down", "--yes"]];
    let events = [&["history"][..], &["validate"]];
    for (table, commands) in [
        ("ledger", &readers[..]),
        ("shape", &readers),
        ("identity", &readers),
        ("tag", &readers),
        ("event", &events),
    ] {
        let env = applied();
        env.sql(&format!("DROP TABLE aiplat_migrate.{table} CASCADE"));
        for command in commands {
            let words = ["the ledger in the schema aiplat_migrate", "damaged", table, "pg_restore"];
            env.run(command).expect(1).says(&words);
        }
        assert_eq!(env.sql("SELECT to_regclass('a')"), ["a"], "{table}");
    }
    let env = applied();
    env.sql("DROP TABLE aiplat_migrate.event");
    env.file("migrations/postgres/V2__b.sql", "create table b (id int);");
    let told = env.run(&["up"]).expect(1).says(&["event", "writes behind the file", "pg_restore"]);
    assert!(!told.stderr.contains("PL/pgSQL"), "{}", told.stderr);
    assert_eq!(env.sql("SELECT to_regclass('b')"), ["NULL"]);
    env.sql("DROP TABLE aiplat_migrate.refinery_schema_history");
    env.run(&["up"]).expect(1).says(&["damaged", "pg_restore"]);
}

#[test]
fn a_function_that_was_dropped() {
    for function in ["settled", "close_applied", "write_row", "begin_migration"] {
        let env = applied();
        env.sql(&format!("DROP FUNCTION aiplat_migrate.{function}"));
        env.file("migrations/postgres/V2__b.sql", "create table b (id int);");
        env.file("migrations/postgres/V3__c.sql", "-- transaction: off\ncreate table c (id int);");
        env.run(&["up"]).expect(1).says(&[function, "pg_restore", "42883"]);
        assert_eq!(env.sql("SELECT to_regclass('c')"), ["NULL"]);
    }
}

#[test]
fn a_repair_of_a_ledger_that_is_not_there_yet() {
    let env = TestEnv::new();
    env.file("migrations/postgres/V1__a.sql", "create table a (id int);");
    for flag in
        ["--accept-changed", "--accept-missing", "--accept-drift", "--accept-identity", "--reapply"]
    {
        env.run(&["repair", flag, "--yes"]).expect(0).out("nothing to repair");
    }
    env.run(&["history"]).expect(0);
    env.run(&["status"]).expect(0);
    env.run(&["up"]).expect(0);
}

#[test]
fn a_database_without_plpgsql() {
    let env = TestEnv::new();
    env.file("migrations/postgres/V1__a.sql", "create table a (id int);");
    env.sql("DROP EXTENSION plpgsql");
    env.run(&["up"]).expect(1).says(&["needs the language plpgsql", "CREATE EXTENSION plpgsql"]);
    assert_eq!(
        env.sql("SELECT to_regclass('a'), to_regnamespace('aiplat_migrate')"),
        ["NULL|NULL"]
    );
    env.sql("CREATE EXTENSION plpgsql");
    env.run(&["up"]).expect(0);
}

/// A schema that is there has to be granted, not made.
#[test]
fn a_role_that_may_not_read_the_ledger() {
    let env = applied();
    env.sql("CREATE ROLE NAME LOGIN PASSWORD 'pass-of-NAME'");
    let url = env.get("AIPLAT_MIGRATE_POSTGRES_URL");
    let host = url.rsplit('@').next().expect("host").to_string();
    let own = format!("postgres://{0}:pass-of-{0}@{host}", env.name);
    let env = env.set("AIPLAT_MIGRATE_POSTGRES_URL", &own);
    let told = env.run(&["status"]);
    let env = env.set("AIPLAT_MIGRATE_POSTGRES_URL", &url);
    env.sql("GRANT USAGE ON SCHEMA aiplat_migrate TO NAME; GRANT SELECT ON ALL TABLES IN SCHEMA aiplat_migrate TO NAME");
    let env = env.set("AIPLAT_MIGRATE_POSTGRES_URL", &own);
    let after = env.run(&["status"]);
    let env = env.set("AIPLAT_MIGRATE_POSTGRES_URL", &url);
    env.sql("DROP OWNED BY NAME; DROP ROLE NAME");
    let told = told.expect(2).says(&["42501", "GRANT USAGE ON SCHEMA aiplat_migrate"]);
    assert!(!told.stderr.contains("CREATE SCHEMA"), "{}", told.stderr);
    after.expect(0).out("applied");
}
