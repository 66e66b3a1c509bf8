//! Nothing that is meant as a migration is passed over: files and folders that nobody reads, and
//! requirements of what does not exist.

use crate::support::TestEnv;

const GOOD: &str = "migrations/postgres/V1__a.sql";

/// A project with one good migration, and these files beside it.
fn project(files: &[&str]) -> TestEnv {
    let env = TestEnv::new();
    env.file(GOOD, "create table a (n int);");
    for file in files {
        match file.strip_suffix('/') {
            Some(folder) => std::fs::create_dir_all(env.path().join(folder)).expect("folder"),
            None => drop(env.file(file, "x")),
        }
    }
    env
}

/// `up`, `validate`, `status`, `hash` end with exit code 2 and say `words`; nothing is applied.
#[track_caller]
fn refused(env: &TestEnv, words: &[&str]) {
    for command in [&["up"][..], &["plan"], &["status"], &["hash"], &["validate", "--offline"]] {
        env.run(command).expect(2).says(words);
    }
    assert_eq!(env.sql("SELECT to_regclass('a')"), ["NULL"]);
}

#[test]
fn files_and_folders_that_nobody_reads() {
    for (file, words) in [
        ("migrations/V3__c.sql", &["migrations/V3__c.sql", "migrations/postgres/"][..]),
        ("migrations/U3__c.sql", &["migrations/U3__c.sql", "migrations/postgres/"]),
        ("migrations/R__views.sql", &["migrations/R__views.sql", "migrations/postgres/"]),
        ("migrations/V3__c.json5", &["migrations/V3__c.json5", "migrations/mongo/", "kafka/"]),
        ("migrations/v3_c.sql", &["migrations/v3_c.sql", "migrations/postgres/"]),
        ("migrations/V3__c.js", &["migrations/V3__c.js", "no store's folder"]),
        (
            "migrations/mongodb/V1__a.json5",
            &["migrations/mongodb/", "did you mean migrations/mongo/?"],
        ),
        ("migrations/Mongo/a.json5", &["migrations/Mongo/", "did you mean migrations/mongo/?"]),
        ("migrations/postgresql/V2__b.sql", &["postgresql/", "did you mean migrations/postgres/?"]),
        ("migrations/pg/V2__b.sql", &["migrations/pg/", "did you mean migrations/postgres/?"]),
        ("migrations/Postgres/", &["migrations/Postgres/", "did you mean migrations/postgres/?"]),
        ("migrations/postgress/x.txt", &["postgress/", "did you mean migrations/postgres/?"]),
        ("migrations/weavite/", &["migrations/weavite/", "did you mean migrations/weaviate/?"]),
        ("migrations/redis-cache/V1__a.json5", &["redis-cache/V1__a.json5", "migrations/redis/?"]),
        (
            "migrations/kafka_topics/V1__t.json5",
            &["V1__t.json5", "did you mean migrations/kafka/?"],
        ),
        ("migrations/archive/2024/V1__a.sql", &["migrations/archive/2024/V1__a.sql", "no store's"]),
        ("migrations/old/R__x.json", &["migrations/old/R__x.json", "no store's folder"]),
        // Inside a store's folder nothing but migrations lies, folders neither.
        ("migrations/postgres/2024/V2__b.sql", &["migrations/postgres/2024 is not a migration"]),
        ("migrations/postgres/README.md", &["postgres/README.md is not a migration"]),
    ] {
        refused(&project(&[file]), words);
    }
}

#[test]
fn all_of_them_are_told_at_once() {
    let env = project(&[
        "migrations/V3__c.sql",
        "migrations/V4__d.sql",
        "migrations/mongodb/",
        "migrations/postgres/x",
    ]);
    refused(&env, &["V3__c.sql and 1 more", "migrations/mongodb/", "migrations/postgres/x"]);
}

#[test]
fn what_is_named_otherwise_passes() {
    let env = project(&[
        "migrations/README.md",
        "migrations/seeds.sql",
        "migrations/seeds/users.sql",
        "migrations/docs/redis/notes.md",
        "migrations/.git/V1__x.sql",
        "migrations/.V9__x.sql",
        "migrations/version_2.json",
        "migrations/kafka/",
        "V1__elsewhere.sql",
        "mongodb/V1__elsewhere.json5",
    ]);
    env.run(&["hash"]).expect(0);
    env.run(&["up"]).expect(0);
    env.run(&["validate"]).expect(0);
}

#[test]
fn a_folder_is_a_stores_where_the_settings_say_so() {
    let env = project(&[]).set("AIPLAT_MIGRATE_POSTGRES_DIR", "migrations/db/postgresql");
    // The folder that the settings no longer name holds a migration.
    env.run(&["up"]).expect(2).says(&[
        "migrations/postgres/ is no store's folder",
        "`dir` in [postgres] says migrations/db/postgresql/",
    ]);
    std::fs::create_dir_all(env.path().join("migrations/db")).expect("folder");
    let (from, to) = ("migrations/postgres", "migrations/db/postgresql");
    std::fs::rename(env.path().join(from), env.path().join(to)).expect("moved");
    env.run(&["up"]).expect(0);
    env.file("migrations/db/V2__b.sql", "x");
    env.run(&["up"]).expect(2).says(&["migrations/db/V2__b.sql", "migrations/db/postgresql/"]);
}

#[test]
fn stores_beside_everything_else_at_the_top_of_a_project() {
    let env = TestEnv::new().set("AIPLAT_MIGRATE_MIGRATIONS_DIR", ".");
    env.file("postgres/V1__a.sql", "create table a (n int);");
    env.file("services/billing/db/V1__x.sql", "x");
    env.run(&["up"]).expect(0);
    env.file("V2__b.sql", "x");
    env.run(&["up"]).expect(2).says(&["V2__b.sql is in no store's folder", "postgres/"]);
}

#[test]
fn requirements_of_what_does_not_exist() {
    let env = TestEnv::new().with(&["mongo"]);
    let wrong = "migrations/postgres/V1__a.sql";
    env.file("migrations/mongo/V1__m.json5", "{ steps: [ { create: 'm' } ] }");
    env.file("migrations/mongo/V3__n.json5", "{ steps: [ { create: 'n' } ] }");
    for requirement in ["mongo@7", "mongo@2", "postgres@9"] {
        env.file(wrong, &format!("-- requires: {requirement}\ncreate table a (n int);"));
        let words = [&format!("there is no migration {requirement}") as &str, "V1__a.sql:1:"];
        for command in [
            &["up"][..],
            &["plan"],
            &["validate"],
            &["validate", "--offline"],
            &["up", "--store", "postgres"],
        ] {
            env.run(command).expect(2).says(&words);
        }
    }
    assert_eq!(
        env.sql("SELECT to_regclass('a'), to_regnamespace('aiplat_migrate')"),
        ["NULL|NULL"]
    );
}

/// The ledger knows of migrations whose files are not here: an image with one store's files, and a
/// history whose beginning was taken away.
#[test]
fn requirements_that_only_the_ledger_knows() {
    let env = TestEnv::new().with(&["mongo"]);
    let first = "migrations/mongo/V1__m.json5";
    env.file(first, "{ steps: [ { create: 'm' } ] }");
    env.run(&["up"]).expect(0);
    env.file("migrations/postgres/V1__a.sql", "-- requires: mongo@1\ncreate table a (n int);");
    for command in
        [&["up", "--store", "postgres", "--dry-run"][..], &["validate", "--store", "postgres"]]
    {
        env.run(command).expect(0);
    }
    env.remove(first);
    // The ledger was not asked, and may have it.
    let offline = env.run(&["validate", "--offline"]).expect(0);
    offline.out("there is no migration mongo@1, and the ledger was not asked");
    env.run(&["plan"]).expect(0);
    env.file("migrations/mongo/V2__n.json5", "{ steps: [ { create: 'n' } ] }");
    env.run(&["validate", "--offline"]).expect(0).out("there is no migration mongo@1");
    env.remove("migrations/mongo/V2__n.json5");
    env.run(&["up"]).expect(0);
    assert_eq!(env.ledger(), ["mongo 1 applied", "postgres 1 applied"]);
}
