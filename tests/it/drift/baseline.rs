//! What `validate` is held against: without it nothing is called valid, and one of an older version is
//! taken up.

use super::told;
use crate::support::{TestEnv, with_database};

fn project() -> TestEnv {
    let env = TestEnv::new();
    env.file("migrations/postgres/V1__t.sql", "create table t (a int, b int);");
    env.file("migrations/postgres/V2__rows.sql", "insert into t values (1, 2);");
    env.run(&["up"]).expect(0);
    env.run(&["validate"]).expect(0);
    env
}

/// The findings of the kind `ledger`.
fn of_ledger(env: &TestEnv, code: i32) -> Vec<String> {
    let found = env.run(&["validate", "--output", "json"]).expect(code).json();
    let findings = found["findings"].as_array().expect("findings").iter();
    let of_ledger = findings.filter(|finding| finding["kind"] == "ledger");
    of_ledger.map(|finding| format!("{}; {}", finding["message"], finding["hint"])).collect()
}

#[test]
fn applied_migrations_without_a_shape_are_never_valid() {
    for lose in [
        "DELETE FROM aiplat_migrate.shape",
        "UPDATE aiplat_migrate.shape SET recorded = '{}'",
        "TRUNCATE aiplat_migrate.shape",
    ] {
        let env = project();
        env.sql(lose);
        env.sql("DROP TABLE t");
        let said = of_ledger(&env, 3).concat();
        for part in
            ["2 migrations are applied", "no shape", "repair --accept-drift --store postgres"]
        {
            assert!(said.contains(part), "{lose}: {said}");
        }
        env.run(&["up", "--verify"]).expect(3).says(&["2 migrations are applied"]);
        // A run makes no baseline of a part.
        env.file("migrations/postgres/V3__more.sql", "create table more (a int);");
        env.run(&["up", "--on-drift", "fail"]).expect(3).says(&["nothing was applied"]);
        env.run(&["up"]).expect(0).says(&["no shape of what they made"]);
        assert_eq!(of_ledger(&env, 3).len(), 1, "{lose}");
        env.run(&["repair", "--reapply", "--yes"]).expect(3).out("what was recorded is lost");
        env.run(&["repair", "--accept-drift", "--yes"])
            .expect(0)
            .out("record all that is there now");
        assert_eq!(told(&env, "postgres", 0), Default::default());
        let event = "SELECT details->>'repair' FROM aiplat_migrate.event WHERE event = 'repaired'";
        assert_eq!(env.sql(event), ["recorded anew"], "{lose}");
        env.sql("ALTER TABLE more ADD COLUMN hotfix int");
        let drifted = ["column public.more.hotfix: not recorded".to_string()];
        assert_eq!(told(&env, "postgres", 3), drifted.into());
    }
}

#[test]
fn migrations_that_make_nothing_have_a_shape_too() {
    let env = TestEnv::new();
    env.sql("create table theirs (a int)");
    env.file("migrations/postgres/V1__rows.sql", "insert into theirs values (1);");
    env.run(&["up"]).expect(0);
    env.run(&["validate"]).expect(0);
    assert_eq!(of_ledger(&env, 0), Vec::<String>::new());
}

#[test]
fn a_shape_that_is_garbage_is_an_error_with_its_row() {
    for garbage in [
        "[]",
        "null",
        "7",
        "\"x\"",
        "{\"table public.t\": 5}",
        "{\"shape version\": {\"is\": \"new\"}}",
        "{\"shape version\": {}}",
        "{\"table public.t\": [1]}",
    ] {
        let env = project();
        env.sql(&format!("UPDATE aiplat_migrate.shape SET recorded = '{garbage}'"));
        for command in [&["validate"][..], &["repair", "--accept-drift", "--yes"]] {
            env.run(command).expect(1).says(&[
                "the ledger's shape of postgres: column recorded is not readable",
                "restore a backup",
                "repair --accept-drift",
            ]);
        }
        // What the hint says.
        env.sql("DELETE FROM aiplat_migrate.shape WHERE store = 'postgres'");
        env.run(&["repair", "--accept-drift", "--yes"]).expect(0);
        env.run(&["validate"]).expect(0);
    }
}

#[test]
fn objects_that_nobody_made_and_rows_that_are_gone_are_told() {
    let env = project();
    env.sql("UPDATE aiplat_migrate.shape SET recorded = recorded || '{\"nonsense\": {}}'");
    assert_eq!(told(&env, "postgres", 3), ["nonsense: absent".to_string()].into());
    let env = project();
    env.sql("DELETE FROM aiplat_migrate.ledger");
    let said = of_ledger(&env, 3).concat();
    assert!(said.contains("none of their rows"), "{said}");
}

#[test]
fn a_ledger_that_lacks_tables_is_damaged_and_not_empty() {
    for table in ["ledger", "shape", "identity", "tag", "event"] {
        let env = project();
        env.sql(&format!("DROP TABLE aiplat_migrate.{table} CASCADE"));
        let commands =
            [&["history"][..], &["validate"], &["status"], &["up"], &["down", "--yes"], &["plan"]];
        // Only what reads a table can miss it.
        let readers = match table {
            "event" => &commands[..2],
            _ => &commands[1..],
        };
        for command in readers {
            env.run(command).expect(1).says(&["is damaged", "not there", table, "restore"]);
        }
    }
    let env = TestEnv::new();
    env.file("migrations/postgres/V1__t.sql", "create table t (a int);");
    env.run(&["status"]).expect(0);
    env.run(&["validate"]).expect(0);
}

#[test]
fn another_server_than_the_ledgers_is_told_as_such() {
    let env = project();
    let url = env.get("AIPLAT_MIGRATE_POSTGRES_URL");
    let copy = format!("{}_copy", env.name);
    let name = env.name.clone();
    let elsewhere = |env: TestEnv, database: &str| {
        env.set("AIPLAT_MIGRATE_POSTGRES_URL", &with_database(&url, database))
    };
    let env = elsewhere(env, "postgres");
    env.sql(&format!("CREATE DATABASE {copy} TEMPLATE {name}"));
    let env = elsewhere(env, &copy);
    env.sql("DROP TABLE t");
    let said = of_ledger(&env, 3);
    assert_eq!(said.len(), 1, "{said:?}");
    for part in ["belongs with another PostgreSQL", &copy, "--accept-identity --store postgres"] {
        assert!(said[0].contains(part), "{part}: {said:?}");
    }
    let text = env.run(&["validate"]).expect(3).stdout;
    assert!(!text.contains("table public.t"), "another server's objects are no drift: {text}");
    env.run(&["status"]).expect(0).says(&["belongs with another PostgreSQL", "--accept-identity"]);
    env.run(&["repair", "--accept-drift", "--yes"])
        .expect(3)
        .out("belongs with another PostgreSQL");
    env.run(&["repair", "--accept-identity", "--yes"]).expect(0);
    assert_eq!(told(&env, "postgres", 3), ["table public.t: absent".to_string()].into());
    let quiet = env.run(&["status"]).expect(0);
    assert!(!quiet.stderr.contains("another"), "{}", quiet.stderr);
    let env = elsewhere(env, "postgres");
    env.sql(&format!("DROP DATABASE {copy} WITH (FORCE)"));
    drop(elsewhere(env, &name));
}

/// The shape as a build of version 1 recorded it: without the kinds and attributes that it did not know.
const OF_FIRST: &str = "
    UPDATE aiplat_migrate.shape SET recorded = (
        SELECT jsonb_object_agg(key, value - 'columns' - 'cache' - 'replica identity')
        FROM jsonb_each(recorded) WHERE key !~ '^(shape version|rule|aggregate|statistics)')";

#[test]
fn what_an_older_version_did_not_look_at_is_taken_over_by_the_next_up() {
    let env = TestEnv::new();
    env.file(
        "migrations/postgres/V1__all.sql",
        "create table t (a int primary key, b int); alter table t replica identity full;
         create rule r as on delete to t do instead nothing; create sequence s cache 7;
         create statistics st on a, b from t;
         create aggregate total(integer) (sfunc = int4pl, stype = integer);",
    );
    env.run(&["up"]).expect(0);
    env.sql(OF_FIRST);
    let quiet = env.run(&["validate", "--strict", "--output", "json"]).expect(0).json();
    let findings = quiet["findings"].as_array().expect("findings").iter();
    let told_of: Vec<_> =
        findings.filter(|f| f["kind"] == "drift" || f["kind"] == "unmanaged").collect();
    assert!(told_of.is_empty(), "{told_of:?}");
    // What that version did look at is still told.
    env.sql("alter table t alter column b set not null");
    assert_eq!(told(&env, "postgres", 3), ["column public.t.b: not null".to_string()].into());
    env.file("migrations/postgres/V2__more.sql", "create table more (a int);");
    env.run(&["up"]).expect(0).says(&["column public.t.b: not null"]);
    env.sql("alter table t alter column b drop not null");
    assert_eq!(told(&env, "postgres", 0), Default::default());
    env.sql("drop rule r on t; alter sequence s cache 1; drop statistics st; drop aggregate total(integer)");
    env.sql("alter table t replica identity default");
    let all = [
        "aggregate public.total(integer): absent",
        "rule r on public.t: absent",
        "sequence public.s: cache",
        "statistics public.st: absent",
        "table public.t: replica identity",
    ];
    assert_eq!(told(&env, "postgres", 3).into_iter().collect::<Vec<_>>(), all);
}

#[test]
fn a_table_of_before_that_a_migration_changes_is_its_own_with_all_its_parts() {
    let env = TestEnv::new();
    env.sql("create table old (id serial primary key, a int default 1, b text); create index on old (b)");
    env.sql("create table other (a int)");
    env.file(
        "migrations/postgres/V1__security.sql",
        "alter table old enable row level security; alter table other add column b int;",
    );
    env.run(&["up"]).expect(0);
    assert_eq!(told(&env, "postgres", 0), Default::default());
    env.sql("alter table old alter column a set default 2; drop index old_b_idx");
    // Of the other table, only what the migration added is its own.
    env.sql("alter table other alter column a set not null");
    let all = ["column public.old.a: default", "index public.old_b_idx: absent"];
    assert_eq!(told(&env, "postgres", 3).into_iter().collect::<Vec<_>>(), all);
}

/// An index as a REINDEX CONCURRENTLY leaves it that was cut off; also one of a TOAST table.
#[test]
fn what_a_cut_off_reindex_leaves_is_told_and_never_recorded() {
    let env = TestEnv::new();
    env.file(
        "migrations/postgres/V1__t.sql",
        "create table t (a text); create index t_a on t (a);",
    );
    env.run(&["up"]).expect(0);
    env.sql("create index t_a_ccnew on t (a)");
    env.sql("update pg_index set indisvalid = false where indexrelid = 't_a_ccnew'::regclass");
    let toast = "select indexrelid::regclass from pg_index \
                 where indrelid = (select reltoastrelid from pg_class where oid = 't'::regclass)";
    let toast = env.sql(toast).concat();
    env.sql(&format!(
        "update pg_index set indisvalid = false where indexrelid = '{toast}'::regclass"
    ));
    let left = [
        format!("index {toast}: not recorded"),
        "index public.t_a_ccnew: not recorded".to_string(),
    ];
    assert_eq!(told(&env, "postgres", 3), left.clone().into());
    let said = env.run(&["validate"]).expect(3).stdout;
    for part in
        ["left by an operation that was cut off", "DROP INDEX CONCURRENTLY public.t_a_ccnew"]
    {
        assert!(said.contains(part), "{said}");
    }
    env.file("migrations/postgres/V2__more.sql", "create table more (a int);");
    env.run(&["up"]).expect(0);
    assert_eq!(told(&env, "postgres", 3), left.into(), "a run records none of it");
    env.sql("drop index t_a_ccnew");
    env.sql(&format!(
        "update pg_index set indisvalid = true where indexrelid = '{toast}'::regclass"
    ));
    assert_eq!(told(&env, "postgres", 0), Default::default());
    // One that was recorded and is cut down is a difference.
    env.sql("update pg_index set indisvalid = false where indexrelid = 't_a'::regclass");
    assert_eq!(told(&env, "postgres", 3), ["index public.t_a: valid".to_string()].into());
}

/// Code in a file may begin transactions and subtransactions of its own; what it makes is the file's all
/// the same.
#[test]
fn what_a_file_makes_by_code_is_recorded() {
    for file in [
        "do $$ begin for i in 1..3 loop begin execute format('create view v_%s as select 1 a', i); \
         exception when others then null; end; end loop; end $$;",
        "create function mk() returns void language plpgsql as $$ begin for i in 1..3 loop begin \
         execute format('create view v_%s as select 1 a', i); exception when others then raise; end; \
         end loop; end $$; select mk();",
        "savepoint a; create view v_1 as select 1 a; create view v_2 as select 1 a; release savepoint a; \
         create view v_3 as select 1 a;",
        "-- transaction: off\ndo $$ begin for i in 1..3 loop execute format('create view v_%s as select 1 a', i); \
         commit; end loop; end $$;",
        "-- transaction: off\ndo $$ begin for i in 1..3 loop execute format('create view v_%s as select 1 a', i); \
         end loop; end $$;",
    ] {
        let env = TestEnv::new();
        env.file("migrations/postgres/V1__a.sql", "create table orders (id int);");
        env.run(&["up"]).expect(0);
        env.file("migrations/postgres/V2__b.sql", file);
        env.file(
            "migrations/postgres/V3__c.sql",
            "do $$ begin begin execute 'alter table ord' || 'ers enable row level security'; \
             exception when others then raise; end; end $$;",
        );
        env.run(&["up"]).expect(0);
        env.run(&["validate", "--strict"]).expect(0);
        env.sql("drop view v_2");
        let told = env.run(&["validate"]).expect(3);
        assert!(told.stdout.contains("view public.v_2: absent"), "{file}\n{}", told.stdout);
    }
}
