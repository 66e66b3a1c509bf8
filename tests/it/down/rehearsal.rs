//! How `down` goes about asking PostgreSQL what is lost: when, under which locks, and what is left of it.

use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::support::{TestEnv, block_on, finish, postgres, with_database};

fn migration(env: &TestEnv, version: u32, make: &str, undo: &str) {
    env.file(&format!("migrations/postgres/V{version}__x.sql"), make);
    env.file(&format!("migrations/postgres/U{version}__x.sql"), undo);
}

/// What the text does not tell: each of these drops a table that is empty, and loses nothing.
const UNSEEN: [(&str, &str); 5] = [
    ("do $$ begin execute 'drop table a'; end $$;", "DO block"),
    ("select wipe();", "function call"),
    ("insert into a select wipe();", "function call"),
    ("set search_path to public; drop table a;", "name after SET search_path"),
    ("drop type mood cascade;", "DROP TYPE … CASCADE"),
];

#[test]
fn the_text_is_believed_only_until_it_is_rehearsed() {
    let env = TestEnv::new();
    for (version, (undo, said)) in (1..).zip(UNSEEN) {
        let make = "drop table if exists a; drop type if exists mood cascade; create table a (id int); \
                    create type mood as enum ('x'); create or replace function wipe() returns int \
                    language sql as 'delete from a returning 1';";
        migration(&env, version, make, undo);
        env.run(&["up"]).expect(0);
        let dry = env.run(&["down", "--dry-run"]).expect(0);
        dry.out(&format!("! loses data: what the {said}"))
            .out("note: not rehearsed: what PostgreSQL");
        let dry = env.run(&["down", "--dry-run", "--rehearse"]).expect(0);
        assert!(
            !dry.stdout.contains("! loses data") && !dry.stdout.contains("not rehearsed"),
            "{}",
            dry.stdout
        );
        env.sql("INSERT INTO a VALUES (1); ALTER TABLE a ADD m mood DEFAULT 'x'");
        let dry = env.run(&["down", "--dry-run", "--rehearse"]).expect(0);
        dry.out("! loses data: ");
        env.run(&["down", "--yes"]).expect(1).says(&["this would lose data", "nothing was undone"]);
        env.sql("DELETE FROM a; ALTER TABLE a DROP m");
        env.run(&["down", "--yes"]).expect(0);
    }
}

/// Rows that come between the rehearsal and the undo are seen by the undo's own transaction.
#[test]
fn rows_that_come_after_the_rehearsal_are_seen_before_the_commit() {
    for undo in [
        "drop table a;",
        "-- transaction: off\nselect 1;\ndrop table a;",
        "do $$ begin delete from a; end $$",
    ] {
        let env = TestEnv::new();
        migration(&env, 1, "create table a (id int);", undo);
        env.run(&["up"]).expect(0);
        let place =
            if undo.starts_with("--") { "sealed_step:before@2" } else { "sealed_sent:before@1" };
        let log = env.path().join("passed");
        let mut down = env.command(&["down", "--yes"]);
        down.env("AIPLAT_MIGRATE_FAIL_PAUSE", place).env("AIPLAT_MIGRATE_FAIL_LOG", &log);
        let down = down.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let until = Instant::now() + Duration::from_secs(20);
        while !std::fs::read_to_string(&log).is_ok_and(|log| log.contains(place)) {
            assert!(Instant::now() < until, "{undo}: {place} was not passed");
            std::thread::sleep(Duration::from_millis(20));
        }
        env.sql("INSERT INTO a VALUES (1), (2)");
        let refused = finish(down.expect("binary")).expect(1);
        refused.says(&[
            "it would lose data",
            "2 rows",
            "--allow-data-loss",
            "no migration was undone",
        ]);
        assert_eq!(env.sql("SELECT count(*) FROM a"), ["2"], "{undo}");
        env.run(&["down", "--yes"]).expect(1).says(&["this would lose data"]);
        env.run(&["down", "--yes", "--allow-data-loss"]).expect(0);
    }
}

/// A mistake in the last file stops everything before the first, in all stores.
#[test]
fn what_fails_in_the_rehearsal_is_not_begun() {
    let env = TestEnv::new().with(&["mongo"]);
    migration(&env, 1, "create table a (id int);", "drop table a;\ndrop table nothing_there;");
    migration(&env, 2, "create table b (id int);", "drop table b;");
    env.file(
        "migrations/mongo/V1__a.json5",
        "{ requires: ['postgres@2'], steps: [{ create: 'a' }] }",
    );
    env.run(&["up"]).expect(0);
    env.run(&["down", "--all", "--yes"]).expect(1).says(&[
        "undoing postgres@1 (migrations/postgres/U1__x.sql) fails",
        "migrations/postgres/U1__x.sql:2:1",
        "table \"nothing_there\" does not exist [42P01]",
        "nothing was undone: it failed when it was rehearsed",
    ]);
    assert!(env.ledger().iter().all(|row| row.ends_with(" applied")), "{:?}", env.ledger());
}

/// What a file leaves in its session is not there for the next one.
#[test]
fn files_are_rehearsed_apart_and_in_order() {
    let env = TestEnv::new();
    migration(
        &env,
        1,
        "create schema x; create table x.a (id int); create table a (id int);",
        "drop table a; drop schema x cascade;",
    );
    migration(
        &env,
        2,
        "select 1;",
        "set search_path to x; set role none; create temp table a (id int); prepare p as select 1; insert into a values (1);",
    );
    migration(
        &env,
        3,
        "create table c (id int);",
        "alter table c rename to d; prepare p as select 1; drop table d;",
    );
    env.run(&["up"]).expect(0);
    env.sql("INSERT INTO x.a VALUES (1), (2)");
    let refused = env.run(&["down", "--all", "--yes"]).expect(1);
    refused.says(&["postgres@1: table x.a holds 2 rows"]);
    env.sql("DELETE FROM x.a; INSERT INTO c VALUES (1)");
    env.run(&["down", "--all", "--yes"]).expect(1).says(&["postgres@3: table c holds 1 row"]);
    env.sql("DELETE FROM c");
    env.run(&["down", "--all", "--yes"]).expect(0);
}

#[test]
fn a_lock_that_another_session_has_is_waited_for_and_told() {
    let env = TestEnv::new();
    migration(&env, 1, "create table a (id int);", "-- lock_timeout: 300ms\ndrop table a;");
    env.run(&["up"]).expect(0);
    let url = env.get("AIPLAT_MIGRATE_POSTGRES_URL");
    let down = block_on(async {
        let other = postgres(&url).await;
        other.batch_execute("BEGIN; SELECT * FROM a").await.expect("lock");
        let down = env.spawn(&["down", "--yes"]);
        tokio::time::sleep(Duration::from_secs(3)).await;
        other.batch_execute("COMMIT").await.expect("commit");
        down
    });
    finish(down).expect(0).says(&["the rehearsal is tried again", "lock timeout"]);
}

/// Who may not make the server count rows knows nothing of what is deleted.
#[test]
fn without_counting_nothing_is_known() {
    let env = TestEnv::new();
    let url = env.get("AIPLAT_MIGRATE_POSTGRES_URL");
    env.sql("CREATE ROLE NAME_plain LOGIN PASSWORD 'plain'; ALTER DATABASE NAME OWNER TO NAME_plain; ALTER DATABASE NAME SET track_counts = off");
    let address = url.rsplit_once('@').expect("address").1;
    let env = env.set("AIPLAT_MIGRATE_POSTGRES_URL", "");
    let plain = format!("postgres://{}_plain:plain@{address}", env.name);
    let env = env.set("AIPLAT_MIGRATE_POSTGRES_URL", &plain);
    migration(
        &env,
        1,
        "create schema x; create table x.a (id int); insert into x.a values (1);",
        "delete from x.a;",
    );
    env.run(&["up"]).expect(0);
    env.run(&["down", "--yes"])
        .expect(1)
        .says(&["the server counts no rows (track_counts is off)"]);
    // A superuser switches it on.
    let env = env.set("AIPLAT_MIGRATE_POSTGRES_URL", &url);
    env.run(&["down", "--yes"]).expect(1).says(&["1 row of table x.a is deleted"]);
    env.sql("DELETE FROM x.a");
    env.run(&["down", "--yes"]).expect(0);
    let admin = with_database(&url, "postgres");
    env.sql("DROP SCHEMA x CASCADE; ALTER DATABASE NAME OWNER TO CURRENT_USER; DROP OWNED BY NAME_plain");
    block_on(async {
        postgres(&admin)
            .await
            .batch_execute(&env.named("DROP ROLE NAME_plain"))
            .await
            .expect("drop");
    });
}

#[test]
fn a_rehearsal_that_is_killed_leaves_nothing() {
    let env = TestEnv::new();
    migration(&env, 1, "create table a (id int);", "drop table a; select pg_sleep(1.5);");
    env.run(&["up"]).expect(0);
    let mut down = env.spawn(&["down", "--yes"]);
    let at_work =
        "SELECT count(*) FROM pg_stat_activity WHERE datname = 'NAME' AND wait_event = 'PgSleep'";
    let until = Instant::now() + Duration::from_secs(20);
    while env.sql(at_work) != ["1"] {
        assert!(Instant::now() < until, "the rehearsal did not begin");
        std::thread::sleep(Duration::from_millis(20));
    }
    down.kill().expect("kill");
    down.wait().expect("wait");
    env.run(&["status"]).expect(0);
    assert_eq!(env.ledger(), ["postgres 1 applied"]);
    env.run(&["down", "--yes"]).expect(0);
    assert_eq!(env.sql("SELECT to_regclass('a')"), ["NULL"]);
}

/// What is written over there is not counted here.
#[test]
fn writes_to_foreign_tables_are_seen_by_their_locks() {
    let env = TestEnv::new();
    let url = env.get("AIPLAT_MIGRATE_POSTGRES_URL");
    let (who, place) =
        url.split_once("://").and_then(|(_, rest)| rest.split_once('@')).expect("url");
    let (user, password) = who.split_once(':').expect("password");
    let port = place.split_once('/').and_then(|(host, _)| host.split_once(':')).expect("port").1;
    env.sql(&format!(
        "CREATE EXTENSION postgres_fdw; CREATE TABLE far (id int); INSERT INTO far VALUES (1), (2); \
         CREATE SERVER loop FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host '127.0.0.1', port '{port}', dbname 'NAME'); \
         CREATE USER MAPPING FOR CURRENT_USER SERVER loop OPTIONS (user '{user}', password '{password}')"
    ));
    let make = "CREATE FOREIGN TABLE near (id int) SERVER loop OPTIONS (table_name 'far');";
    migration(&env, 1, make, "SELECT * FROM near; DROP FOREIGN TABLE near;");
    for (version, undo) in
        (2..).zip(["DELETE FROM near;", "TRUNCATE near;", "UPDATE near SET id = 0;"])
    {
        migration(&env, version, "SELECT 1;", undo);
    }
    env.run(&["up"]).expect(0);
    for _ in 0..3 {
        env.run(&["down", "--yes"])
            .expect(1)
            .says(&["what is written to the foreign table near is on another server"]);
        assert_eq!(env.sql("SELECT array_agg(id ORDER BY id) FROM far"), ["{1,2}"]);
        env.sql(
            "UPDATE aiplat_migrate.ledger SET state = 'undone' WHERE id = \
                 (SELECT max(id) FROM aiplat_migrate.ledger WHERE state = 'applied')",
        );
    }
    env.run(&["down", "--yes"]).expect(0);
}

/// Each file has a transaction of its own: what the end of one fires at once is deferred in the next.
#[test]
fn deferred_constraints_are_deferred_in_each_file() {
    let env = TestEnv::new();
    let make = "create table a (id int primary key); create table b (a int references a deferrable initially deferred);";
    migration(&env, 1, make, "insert into b values (2); insert into a values (2);");
    migration(&env, 2, "select 1;", "insert into b values (1); insert into a values (1);");
    migration(
        &env,
        3,
        "select 1;",
        "-- transaction: off\nbegin; insert into b values (3); insert into a values (3); commit;",
    );
    env.run(&["up"]).expect(0);
    env.run(&["down", "--all", "--yes"]).expect(0);
    assert_eq!(env.sql("SELECT count(*) FROM b"), ["3"]);
}

/// Rows with a label that is gone cannot even be read.
#[test]
fn a_label_taken_out_of_the_catalog_is_a_loss() {
    let env = TestEnv::new();
    env.file(
        "migrations/postgres/V1__a.sql",
        "create type mood as enum ('a', 'b'); create table v (c mood); insert into v values ('b');",
    );
    env.file(
        "migrations/postgres/U1__a.sql",
        "delete from pg_enum where enumtypid = 'mood'::regtype and enumlabel = 'b';",
    );
    env.run(&["up"]).expect(0);
    env.run(&["down", "--yes"])
        .expect(1)
        .says(&["table v is changed, and its values cannot be compared"]);
    assert_eq!(env.sql("SELECT c FROM v"), ["b"]);
}

/// What another connection does for a trigger, a default, a view or an event trigger is not rolled back: what
/// reaches such is not even rehearsed, however far from the U file's own words it stands.
#[test]
fn what_reaches_another_connection_is_not_rehearsed() {
    let through = [
        (
            "create table k (i int primary key); create table z (i int references k on delete cascade); \
             create trigger tt before delete on z for each row execute function chk(); \
             insert into k values (1); insert into z values (1);",
            "delete from k;",
        ),
        ("create table z (i int, s text default far());", "insert into z values (1);"),
        (
            "create view w as select far() r; create table z (s text);",
            "insert into z select r from w;",
        ),
        (
            "create table z (i int, check (far() is not null or i > 0));",
            "insert into z values (1);",
        ),
        (
            "create table z (i int); create event trigger NAME on ddl_command_end execute function evt();",
            "alter table z add j int;",
        ),
    ];
    for (made, undo) in through {
        let env = TestEnv::new();
        let url = env.get("AIPLAT_MIGRATE_POSTGRES_URL");
        env.sql("create extension dblink; create table kept (x int); insert into kept values (1)");
        let far = format!("perform dblink_exec('{url}', 'delete from kept')");
        env.file(
            "migrations/postgres/V1__a.sql",
            &format!(
                "create function chk() returns trigger language plpgsql as $$ begin {far}; return old; end $$; \
                 create function evt() returns event_trigger language plpgsql as $$ begin {far}; end $$; \
                 create function far() returns text language plpgsql as $$ begin {far}; return 'a'; end $$;"
            ),
        );
        env.run(&["up"]).expect(0);
        env.sql("truncate kept; insert into kept values (1)");
        env.file("migrations/postgres/V2__b.sql", made);
        env.file("migrations/postgres/U2__b.sql", undo);
        env.run(&["up"]).expect(0);
        env.sql("truncate kept; insert into kept values (1)");
        env.run(&["down", "--yes"]).expect(1).says(&["lose data", "dblink_exec"]);
        assert_eq!(env.sql("SELECT count(*) FROM kept"), ["1"], "{undo}");
    }
}
