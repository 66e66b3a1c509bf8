//! A primary and a streaming standby, both in one URL.

use super::{Servers, WAIT_WHILE_PAUSED, at_work, go_on, pause};
use crate::support::{TestEnv, block_on, finish, postgres};

const QUERY: &str = "?target_session_attrs=read-write";

/// `address` of the URL, in order.
fn hosts(url: &str) -> (String, String) {
    let (_, rest) = url.rsplit_once('@').expect("a login");
    let (hosts, _) = rest.split_once('/').expect("a database");
    let (first, second) = hosts.split_once(',').expect("two hosts");
    (first.to_string(), second.to_string())
}

/// The URL with the one host alone, whatever it takes.
fn alone(url: &str, host: &str) -> String {
    let (login, rest) = url.rsplit_once('@').expect("a login");
    let (_, database) = rest.split_once('/').expect("a database");
    format!("{login}@{host}/{}", database.trim_end_matches(QUERY))
}

/// What one host answers, in a database that every host has: a standby may lag behind.
fn asked(url: &str, host: &str, sql: &str) -> String {
    let url = alone(url, host);
    let (server, _) = url.rsplit_once('/').expect("a database");
    let url = format!("{server}/postgres");
    block_on(async { postgres(&url).await.query_one(sql, &[]).await.expect(sql).get(0) })
}

/// The addresses of the primary and of the standby.
fn roles(url: &str) -> (String, String) {
    let (first, second) = hosts(url);
    match asked(url, &first, "SELECT pg_is_in_recovery()::text").as_str() {
        "false" => (first, second),
        _ => (second, first),
    }
}

/// Migrations that tell how often each was applied; the third waits.
fn counted(env: &TestEnv) {
    env.sql("CREATE TABLE counted (n int)");
    pause(env);
    for n in 1..=6 {
        let wait = if n == 3 { WAIT_WHILE_PAUSED } else { "" };
        let text = format!("insert into counted values ({n});\n{wait}");
        env.file(&format!("migrations/postgres/V{n}__n.sql"), &text);
    }
}

#[track_caller]
fn each_once(env: &TestEnv) {
    let once: Vec<String> = (1..=6).map(|n| format!("{n}|1")).collect();
    assert_eq!(env.sql("SELECT n, count(*) FROM counted GROUP BY n ORDER BY n"), once);
    let other = env.sql("SELECT count(*) FROM aiplat_migrate.ledger WHERE state <> 'applied'");
    assert_eq!(other, ["0"]);
}

#[track_caller]
fn promote(url: &str, standby: &str) {
    assert_eq!(asked(url, standby, "SELECT pg_promote()::text"), "true");
}

#[test]
#[ignore = "needs dev/test --topologies"]
fn the_primary_is_found_wherever_it_stands_in_the_list() {
    let env = TestEnv::on("TOPOLOGY_");
    let url = env.get("AIPLAT_MIGRATE_POSTGRES_URL");
    let (primary, standby) = roles(&url);
    let (login, rest) = url.rsplit_once('@').expect("a login");
    let (_, database) = rest.split_once('/').expect("a database");
    for (n, order) in [[&primary, &standby], [&standby, &primary]].into_iter().enumerate() {
        env.file(&format!("migrations/postgres/V{n}__t.sql"), &format!("create table t{n} ();"));
        let several = format!("{login}@{},{}/{database}", order[0], order[1]);
        let env = env.command(&["up"]).env("AIPLAT_MIGRATE_POSTGRES_URL", several).output();
        let ended = env.expect("binary");
        assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    }
    assert_eq!(env.ledger(), ["postgres 0 applied", "postgres 1 applied"]);
    env.run(&["validate"]).expect(0);

    // The standby alone may be read, and says what is missing where it has to be written.
    env.file("migrations/postgres/V2__t.sql", "create table t2 ();");
    let env = env.set("AIPLAT_MIGRATE_POSTGRES_URL", &alone(&url, &standby));
    env.run(&["status"]).expect(0).out("pending");
    let words = ["standby", "target_session_attrs=read-write"];
    env.run(&["up", "--wait", "0s"]).expect(1).says(&words);
    let env = env.set("AIPLAT_MIGRATE_POSTGRES_URL", &format!("{}{QUERY}", alone(&url, &standby)));
    env.run(&["up", "--wait", "1s"]).expect(6).says(&["takes no writes", &standby]);
    let _restored = env.set("AIPLAT_MIGRATE_POSTGRES_URL", &url);
}

#[test]
#[ignore = "needs dev/test --topologies"]
fn a_promoted_standby_has_the_ledger() {
    let servers = Servers("postgres");
    let env = TestEnv::on("TOPOLOGY_");
    let url = env.get("AIPLAT_MIGRATE_POSTGRES_URL");
    let (primary, standby) = roles(&url);
    counted(&env);
    let mut run = env.spawn(&["up", "--wait", "1s"]);
    at_work(&env, "version = '2'");
    servers.kill_under(&mut run, &primary);
    finish(run).expect(6).says(&["it asks the stores first, and goes on"]);
    promote(&url, &standby);
    go_on(&env);
    env.run(&["up"]).expect(0).says(&["applied  postgres@6"]);
    each_once(&env);

    servers.start();
    assert_eq!(roles(&url), (standby, primary), "the old primary follows now");
    env.run(&["validate"]).expect(0);
}

#[test]
#[ignore = "needs dev/test --topologies"]
fn a_run_goes_on_with_a_standby_that_is_promoted_in_time() {
    let servers = Servers("postgres");
    let env = TestEnv::on("TOPOLOGY_");
    let url = env.get("AIPLAT_MIGRATE_POSTGRES_URL");
    let (primary, standby) = roles(&url);
    counted(&env);
    let mut run = env.spawn(&["up"]);
    at_work(&env, "version = '2'");
    servers.kill_under(&mut run, &primary);
    promote(&url, &standby);
    go_on(&env);
    finish(run).expect(0).says(&["a connection broke", "applied  postgres@6"]);
    each_once(&env);
    // The database is dropped on the primary that is one then.
    servers.start();
}
