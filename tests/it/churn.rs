//! Others create, swap and drop objects all the time: what reads the catalogs meanwhile is right, and
//! does not fail.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use crate::support::{TestEnv, block_on, postgres};

/// What a session does over and over; `K` is its name, `N` the number of the round.
const ROUND: &[&str] = &[
    "create table cK_N (id serial primary key, a text default 'x' check (a <> ''), b int)",
    "create index on cK_N (lower(a)); create view vK_N as select * from cK_N where b > 1",
    "create rule r as on delete to cK_N do instead nothing; create statistics sK_N on a, b from cK_N",
    "create function fK_N(cK_N) returns int language sql as 'select 1'",
    "create materialized view mK_N as select * from vK_N",
    "create temp table tK_N as select * from cK_N",
    "begin; create table swapK_new (id int primary key, a text); drop table if exists swapK cascade; \
     alter table swapK_new rename to swapK; create view swapped_vK as select * from swapK; commit",
    "create type tyK_N as (a int); create function gK_N(tyK_N) returns tyK_N language sql as 'select $1'",
    "drop type tyK_N cascade; drop table tK_N",
    "drop table cK_N cascade",
];

/// Makes and drops until it is told to stop; gives back how many rounds that were.
fn churn(url: &str, name: &str, stop: &AtomicBool) -> u32 {
    block_on(async {
        let session = postgres(url).await;
        let mut round = 0;
        while !stop.load(Ordering::Relaxed) {
            for statement in ROUND {
                let sql = statement.replace('K', name).replace('N', &round.to_string());
                session
                    .batch_execute(&sql)
                    .await
                    .unwrap_or_else(|error| panic!("{sql}: {error:?}"));
            }
            round += 1;
        }
        round
    })
}

/// Does `work` while two sessions churn; gives back how many rounds they made.
fn meanwhile(env: &TestEnv, work: impl FnOnce()) -> u32 {
    let stop = Arc::new(AtomicBool::new(false));
    let rounds = Arc::new(AtomicU32::new(0));
    let sessions = ["x", "y"].map(|name| {
        let (stop, rounds) = (stop.clone(), rounds.clone());
        let url = env.get("AIPLAT_MIGRATE_POSTGRES_URL");
        std::thread::spawn(move || rounds.fetch_add(churn(&url, name, &stop), Ordering::Relaxed))
    });
    let worked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
    stop.store(true, Ordering::Relaxed);
    for session in sessions {
        session.join().expect("a session that churns was disturbed");
    }
    if let Err(panic) = worked {
        std::panic::resume_unwind(panic);
    }
    rounds.load(Ordering::Relaxed)
}

/// A subtransaction has a number of its own, which the ledger does not know.
#[test]
fn what_a_run_makes_in_a_subtransaction_is_its_own() {
    let env = TestEnv::new();
    env.file(
        "migrations/postgres/V1__t.sql",
        "create table days (at date) partition by range (at);
         do $$ begin
             for n in 1..3 loop
                 execute format('create table %I partition of days for values from (%L) to (%L)',
                                'day' || n, date '2020-01-01' + n, date '2020-01-02' + n);
             end loop;
             create table named (a int);
             execute format('create table %I (a int)', 'dy' || 'namic');
         exception when duplicate_table then null; end $$;
         savepoint s; create function f() returns int language sql as 'select 1'; release s;",
    );
    env.run(&["up"]).expect(0);
    let recorded = "SELECT k FROM aiplat_migrate.shape s, jsonb_object_keys(s.recorded) k \
                    WHERE k ~ '^(table|function)' ORDER BY 1";
    let all = ["day1", "day2", "day3", "days", "dynamic", "named"];
    let mut made = vec!["function public.f()".to_string()];
    made.extend(all.map(|name| format!("table public.{name}")));
    assert_eq!(env.sql(recorded), made);
    env.run(&["validate", "--strict"]).expect(0);
}

const MADE: &str = "
    create table kept (id integer primary key, a text default 'x' check (a <> ''), b integer);
    create index kept_lower on kept (lower(a));
    create view kept_view as select * from kept where b > 1;
    create materialized view kept_all as select * from kept_view;
    create function kept_f(kept) returns integer language sql as 'select 1';
";

#[test]
fn neither_validate_nor_up_fails_or_is_wrong_while_others_make_and_drop() {
    let env = TestEnv::new();
    env.file("migrations/postgres/V100__kept.sql", MADE);
    env.run(&["up"]).expect(0);
    let rounds = meanwhile(&env, || {
        for version in 101..=120 {
            let text = format!("create table more_{version} (id integer primary key)");
            env.file(&format!("migrations/postgres/V{version}__more.sql"), &text);
            env.run(&["up"]).expect(0);
            for _ in 0..5 {
                env.run(&["validate"]).expect(0);
            }
            env.run(&["status"]).expect(0);
        }
    });
    assert!(rounds > 50, "{rounds} rounds");
    let known = "SELECT count(*) FROM aiplat_migrate.shape s, jsonb_object_keys(s.recorded) k \
                 WHERE k ~ '^table '";
    assert_eq!(env.sql(known), ["21"]);
    env.sql("alter table kept alter column a set default 'y'");
    env.run(&["validate"]).expect(3);
}
