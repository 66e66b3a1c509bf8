//! A migration is more than its number: renamed files, other migrations under a number that was taken,
//! other projects' ledgers, and rows that somebody set by hand.

use crate::support::TestEnv;

const A: &str = "migrations/postgres/V2__feature_a.sql";
const B: &str = "migrations/postgres/V2__feature_b.sql";

/// V1 and V2__feature_a are applied.
fn project() -> TestEnv {
    let env = TestEnv::new();
    env.file("migrations/postgres/V1__first.sql", "create table first (n int);");
    env.file("migrations/postgres/U1__first.sql", "drop table first;");
    env.file(A, "create table feat_a (n int);");
    env.file("migrations/postgres/U2__feature_a.sql", "drop table feat_a;");
    env.run(&["up"]).expect(0);
    env
}

fn replace(env: &TestEnv, text: &str) {
    env.remove(A);
    env.file(B, text);
    env.remove("migrations/postgres/U2__feature_a.sql");
    env.file("migrations/postgres/U2__feature_b.sql", "drop table first;");
}

fn tables(env: &TestEnv) -> String {
    let sql = "SELECT string_agg(relname, ' ' ORDER BY relname) FROM pg_class \
               WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace";
    env.sql(sql).join("")
}

#[test]
fn another_migration_took_the_number() {
    let env = project();
    replace(&env, "create table feat_b (n int);");
    let words = [
        "postgres@2 was applied from migrations/postgres/V2__feature_a.sql",
        "migrations/postgres/V2__feature_b.sql is another migration that took its number",
        "V3",
        "put migrations/postgres/V2__feature_a.sql back",
    ];
    for command in [
        &["up"][..],
        &["up", "--dry-run"],
        &["plan"],
        &["repair", "--accept-changed", "--yes"],
        &["down", "--yes"],
        &["down", "--all", "--yes"],
        &["down", "--dry-run"],
    ] {
        let told = env.run(command).expect(3);
        assert!(!told.stderr.contains("accept-changed"), "{command:?}: {}", told.stderr);
        told.says(&words);
    }
    env.run(&["status"]).expect(0).says(&words);
    let validated = env.run(&["validate"]).expect(3);
    let repair = env.run(&["repair"]).expect(3);
    for word in words {
        validated.out(word);
        repair.out(word);
    }
    assert_eq!(tables(&env), "feat_a first");
    assert_eq!(env.ledger(), ["postgres 1 applied", "postgres 2 applied"]);
    // Each of the ways that were named leads on.
    for (from, to) in [("V2__feature_b", "V3__feature_b"), ("U2__feature_b", "U3__feature_b")] {
        let path = |name: &str| env.path().join(format!("migrations/postgres/{name}.sql"));
        std::fs::rename(path(from), path(to)).expect("renamed");
    }
    env.file(A, "create table feat_a (n int);");
    env.run(&["up"]).expect(0);
    assert_eq!(tables(&env), "feat_a feat_b first");
}

#[test]
fn a_file_with_another_name_alone_is_renamed() {
    let env = project();
    replace(&env, "create table feat_a (n int);");
    let words = [
        "postgres@2 was applied from migrations/postgres/V2__feature_a.sql, and is \
         migrations/postgres/V2__feature_b.sql now",
        "repair --accept-changed",
    ];
    for command in [&["up"][..], &["plan"], &["status"], &["down", "--dry-run"]] {
        env.run(command).expect(0).says(&words);
    }
    let validated = env.run(&["validate"]).expect(0);
    for word in words {
        validated.out(word);
    }
    let plan = env.run(&["repair", "--accept-changed", "--dry-run"]).expect(0);
    plan.out("as the new name of migrations/postgres/V2__feature_a.sql").out("nothing will be run");
    env.run(&["repair", "--accept-changed", "--yes"]).expect(0);
    let up = env.run(&["up"]).expect(0);
    assert!(!up.stderr.contains("was applied from"), "{}", up.stderr);
    let valid = env.run(&["validate"]).expect(0).stdout;
    assert!(!valid.contains("was applied from"), "{valid}");
    assert_eq!(env.sql("SELECT script FROM aiplat_migrate.ledger WHERE version = '2'"), [B]);
    // Only how it is written, and the name: no other migration.
    env.remove(B);
    env.file("migrations/postgres/V2__feature_c.sql", "-- c\ncreate table feat_a (n int);");
    env.run(&["up"]).expect(3).says(&["was changed after it was applied", "applied from", B]);
    let plan = env.run(&["repair", "--accept-changed", "--yes"]).expect(0);
    plan.out("only comments or white space differ; nothing of it will be run");
    env.run(&["up"]).expect(0);
}

#[test]
fn a_changed_text_is_taken_with_the_word_that_nothing_is_run() {
    let env = project();
    env.file(A, "create table feat_a (n int); create table more (n int);");
    let plan = env.run(&["repair", "--accept-changed", "--yes"]).expect(0);
    plan.out("what it does differs; nothing of it will be run");
    env.run(&["up"]).expect(0);
    assert_eq!(tables(&env), "feat_a first");
}

#[test]
fn numbers_written_otherwise_and_folders_that_moved_are_no_new_names() {
    let env = project();
    for name in ["V002__feature_a.sql", "V2.0__feature_a.sql"] {
        std::fs::rename(env.path().join(A), env.path().join("migrations/postgres").join(name))
            .expect("renamed");
        let up = env.run(&["up"]).expect(0);
        assert!(!up.stderr.contains("was applied from"), "{}", up.stderr);
        std::fs::rename(env.path().join("migrations/postgres").join(name), env.path().join(A))
            .expect("renamed");
    }
    std::fs::rename(env.path().join("migrations"), env.path().join("db")).expect("moved");
    let env = env.set("AIPLAT_MIGRATE_MIGRATIONS_DIR", "db");
    let up = env.run(&["up"]).expect(0);
    assert!(!up.stderr.contains("was applied from"), "{}", up.stderr);
}

#[test]
fn the_ledger_of_another_project() {
    let env = TestEnv::new().with(&["mongo"]);
    env.file("migrations/postgres/V1__billing.sql", "create table bills (n int);");
    env.file("migrations/mongo/V1__bills.json5", "{ steps: [ { create: 'bills' } ] }");
    env.run(&["up"]).expect(0);
    env.remove("migrations/postgres/V1__billing.sql");
    env.remove("migrations/mongo/V1__bills.json5");
    env.file("migrations/postgres/V1__search.sql", "create table documents (n int);");
    env.file("migrations/mongo/V1__docs.json5", "{ steps: [ { create: 'docs' } ] }");
    let words = ["is of another project", "[ledger]", "AIPLAT_MIGRATE_LEDGER_SCHEMA"];
    env.run(&["up"]).expect(3).says(&words);
    env.run(&["status"]).expect(0).says(&words);
    env.run(&["repair", "--accept-changed", "--yes"]).expect(3).says(&words);
    let env = env.set("AIPLAT_MIGRATE_LEDGER_SCHEMA", "search_ledger");
    env.run(&["up"]).expect(0);
    assert_eq!(env.sql("SELECT to_regclass('documents')"), ["documents"]);
}

#[test]
fn a_half_applied_migration_whose_number_another_took() {
    let env = TestEnv::new().with(&["mongo"]);
    let wrong = "{ createIndexes: 'a', indexes: [ { key: { x: 'nonsense' }, name: 'x' } ] }";
    let a = "migrations/mongo/V1__a.json5";
    env.file(a, &format!("{{ steps: [ {{ create: 'a' }}, {wrong} ] }}"));
    env.run(&["up"]).expect(1);
    env.remove(a);
    env.file("migrations/mongo/V1__b.json5", "{ steps: [ { create: 'b' }, { create: 'c' } ] }");
    let words = ["V1__a.json5", "V1__b.json5 is another migration that took its number"];
    env.run(&["up"]).expect(3).says(&words);
    assert_eq!(env.ledger(), ["mongo 1 failed"]);
    // Its own author may give it a better name while mending it.
    env.remove("migrations/mongo/V1__b.json5");
    let right = wrong.replace("'nonsense'", "1");
    env.file(
        "migrations/mongo/V1__good.json5",
        &format!("{{ steps: [ {{ create: 'a' }}, {right} ] }}"),
    );
    env.run(&["up"]).expect(3).says(&["V1__good.json5 is another migration"]);
    env.remove("migrations/mongo/V1__good.json5");
    env.file(a, &format!("{{ steps: [ {{ create: 'a' }}, {right} ] }}"));
    env.run(&["up"]).expect(0);
}

#[test]
fn states_that_were_set_by_hand() {
    for (store, file, text) in [
        ("postgres", "migrations/postgres/V1__a.sql", "create table a (n int);"),
        (
            "postgres",
            "migrations/postgres/V1__a.sql",
            "-- transaction: off\ncreate table a (n int);\nvacuum a;",
        ),
        (
            "mongo",
            "migrations/mongo/V1__a.json5",
            "{ steps: [ { create: 'a' }, { create: 'b' } ] }",
        ),
    ] {
        let env = TestEnv::new();
        let env = if store == "mongo" { env.with(&["mongo"]) } else { env };
        env.file(file, text);
        env.run(&["up"]).expect(0);
        for state in ["running", "failed", "undoing", "in doubt"] {
            env.sql(&format!("UPDATE aiplat_migrate.ledger SET state = '{state}'"));
            let told = format!("{store}@1 is `{state}` in the ledger, and no run left it so");
            let words = [&told as &str, "changed by hand", "set state = 'applied' where id = 1"];
            env.run(&["up"]).expect(3).says(&words);
            env.run(&["plan"]).expect(3).says(&words);
            env.run(&["status"]).expect(0).says(&words);
            env.run(&["down", "--yes"]).expect(3).says(&words[..2]);
            env.run(&["repair"]).expect(3).out(&told);
            env.run(&["validate"]).expect(3).out(&told);
            let id = format!("{store}@1");
            for answer in ["--done", "--not-done"] {
                env.run(&["repair", answer, &id, "--yes"]).expect(2).says(&["by hand"]);
            }
            assert_eq!(env.ledger(), [format!("{store} 1 {state}")]);
        }
        env.sql("UPDATE aiplat_migrate.ledger SET state = 'applied' WHERE id = 1");
        env.run(&["up"]).expect(0);
        env.run(&["validate"]).expect(0);
    }
}
