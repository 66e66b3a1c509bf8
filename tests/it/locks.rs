//! The lock: who waits for whom, and what happens to one whose holder is lost.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::chaos::Dice;
use crate::support::{TestEnv, block_on, finish, postgres};

/// Waits until `sql` gives `wanted`.
#[track_caller]
fn until(env: &TestEnv, sql: &str, wanted: &[&str]) {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let found = env.sql(sql);
        if found == wanted {
            return;
        }
        assert!(Instant::now() < deadline, "{sql}: {found:?}, not {wanted:?}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_statement_that_outlives_its_process_is_waited_for() {
    let env = TestEnv::new();
    let text = "create table slow (n int);\ninsert into slow values (1);\nselect pg_sleep(4);\n";
    env.file("migrations/postgres/V1__slow.sql", text);
    env.file("migrations/postgres/V2__more.sql", "insert into slow values (2);");
    let mut first = env.spawn(&["up"]);
    let sleeping = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep' \
                    AND datname = current_database()";
    until(&env, sleeping, &["1"]);
    first.kill().expect("kill");
    first.wait().expect("wait");
    assert_eq!(env.sql(sleeping), ["1"], "the server goes on");
    env.run(&["up"]).expect(0).says(&[
        "waiting:",
        "the last statement of",
        "whose process is gone",
    ]);
    assert_eq!(env.sql("SELECT n FROM slow ORDER BY n"), ["1", "2"]);
    assert_eq!(env.ledger(), ["postgres 1 applied", "postgres 2 applied"]);
}

#[test]
fn what_makes_the_ledger_outlives_its_process_and_is_waited_for() {
    let env = TestEnv::new();
    env.file("migrations/postgres/V1__t.sql", "create table t (n int);");
    let url = env.get("AIPLAT_MIGRATE_POSTGRES_URL");
    let making = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' \
                  AND datname = current_database() AND query LIKE 'CREATE SCHEMA%'";
    let second = block_on(async {
        let (blocker, watch) = (postgres(&url).await, postgres(&url).await);
        blocker.batch_execute("BEGIN; CREATE SCHEMA aiplat_migrate").await.expect("transaction");
        let makers = async || watch.query_one(making, &[]).await.expect("count").get::<_, i64>(0);
        let mut first = env.spawn(&["up"]);
        let deadline = Instant::now() + Duration::from_secs(30);
        while makers().await != 1 && Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        first.kill().expect("kill");
        first.wait().expect("wait");
        let second = env.spawn(&["up"]);
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(makers().await, 1, "the first is still at it, the second makes nothing");
        blocker.batch_execute("ROLLBACK").await.expect("rollback");
        finish(second)
    });
    second.expect(0).says(&["waiting:", "the last statement of", "whose process is gone"]);
    assert_eq!(env.ledger(), ["postgres 1 applied"]);
}

#[test]
fn ten_waiters_do_not_stop_create_index_concurrently() {
    let env = TestEnv::new();
    env.sql("CREATE TABLE t AS SELECT generate_series(1, 1000) AS n");
    // CONCURRENTLY waits for others by nature: no limit applies to it.
    let text =
        "-- transaction: off\n-- lock_timeout: 100ms\ncreate index concurrently t_n on t (n);";
    env.file("migrations/postgres/V1__index.sql", text);
    let url = env.get("AIPLAT_MIGRATE_POSTGRES_URL");
    block_on(async {
        let blocker = postgres(&url).await;
        blocker.batch_execute("BEGIN; INSERT INTO t VALUES (0)").await.expect("transaction");
        let runs: Vec<Child> = (0..11).map(|_| env.spawn(&["up"])).collect();
        tokio::time::sleep(Duration::from_secs(3)).await;
        blocker.batch_execute("COMMIT").await.expect("commit");
        for run in runs {
            finish(run).expect(0);
        }
    });
    assert_eq!(
        env.sql("SELECT indisvalid FROM pg_index WHERE indexrelid = 't_n'::regclass"),
        ["t"]
    );
    assert_eq!(env.ledger(), ["postgres 1 applied"]);
}

#[test]
fn whoever_waits_says_for_whom_and_gives_up_in_time() {
    let env = TestEnv::new();
    env.file("migrations/postgres/V1__slow.sql", "select pg_sleep(5);");
    let first = env.spawn(&["up"]);
    until(
        &env,
        "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND datname = current_database()",
        &["1"],
    );
    let late = env.run(&["up", "--lock-wait", "1s"]).expect(5);
    late.says(&["the lock is held by aiplat-migrate", " on ", "pid", "--lock-wait"]);
    // A waiter that is told to stop does so at once.
    let waiter = env.spawn(&["up"]);
    std::thread::sleep(Duration::from_millis(700));
    let told = Instant::now();
    signal(&waiter, "TERM");
    finish(waiter).expect(143).says(&["has changed nothing"]);
    assert!(told.elapsed() < Duration::from_secs(2), "{:?}", told.elapsed());
    finish(first).expect(0);
}

fn signal(child: &Child, name: &str) {
    let pid = child.id().to_string();
    assert!(Command::new("kill").args(["-s", name, &pid]).status().expect("kill").success());
}

/// Migrations that tell, by their rows, how often they were applied.
fn counted(env: &TestEnv, count: usize) {
    env.sql("CREATE TABLE counted (n int)");
    for n in 1..=count {
        let text = format!("insert into counted values ({n});\nselect pg_sleep(0.05);");
        env.file(&format!("migrations/postgres/V{n}__n.sql"), &text);
    }
}

#[track_caller]
fn once_each(env: &TestEnv, count: usize) {
    let expected: Vec<String> = (1..=count).map(|n| format!("{n}|1")).collect();
    assert_eq!(env.sql("SELECT n, count(*) FROM counted GROUP BY n ORDER BY n"), expected);
}

#[test]
fn sixteen_at_once_a_third_killed() {
    let mut dice = Dice::thrown("sixteen at once");
    let env = TestEnv::new();
    counted(&env, 20);
    let mut runs: Vec<Child> = (0..16).map(|_| env.spawn(&["up", "--quiet"])).collect();
    for _ in 0..5 {
        std::thread::sleep(Duration::from_millis(dice.below(400) as u64));
        let mut doomed = runs.swap_remove(dice.below(runs.len()));
        doomed.kill().expect("kill");
        doomed.wait().expect("wait");
    }
    for run in runs {
        finish(run).expect(0);
    }
    once_each(&env, 20);
    assert!(env.ledger().iter().all(|row| row.ends_with(" applied")), "{:?}", env.ledger());
    assert_eq!(env.ledger().len(), 20);
}

/// The lock is for order; that nothing is applied twice, the ledger's rows see to by themselves.
#[test]
fn without_any_lock_nothing_is_applied_twice() {
    let env = TestEnv::new();
    env.file("migrations/postgres/V0__first.sql", "select 1;");
    env.run(&["up"]).expect(0);
    counted(&env, 10);
    let spawn = || {
        let mut command = env.command(&["up", "--quiet"]);
        command.env("AIPLAT_MIGRATE_FAIL_NO_LOCK", "1");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().expect("binary")
    };
    let runs: Vec<Child> = (0..8).map(|_| spawn()).collect();
    let codes: Vec<i32> = runs.into_iter().map(|run| finish(run).code).collect();
    assert!(codes.contains(&0), "{codes:?}");
    assert!(codes.iter().any(|code| *code != 0), "they did race: {codes:?}");
    once_each(&env, 10);
    env.run(&["up"]).expect(0);
    once_each(&env, 10);
}

/// PgBouncer before the test's database; it ends with this value.
struct Pooler {
    child: Child,
    port: u16,
    _folder: tempfile::TempDir,
}

impl Pooler {
    fn start(env: &TestEnv, mode: &str) -> Pooler {
        let direct = url::Url::parse(&env.get("AIPLAT_MIGRATE_POSTGRES_URL")).expect("URL");
        let port = {
            let free = std::net::TcpListener::bind("127.0.0.1:0").expect("port");
            free.local_addr().expect("address").port()
        };
        let folder = tempfile::tempdir().expect("folder");
        let (user, password) = (direct.username(), direct.password().unwrap_or_default());
        let file = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).expect("file");
            path
        };
        let users = file("users.txt", &format!("\"{user}\" \"{password}\"\n"));
        let settings = file(
            "pgbouncer.ini",
            &format!(
                "[databases]\n* = host={} port={}\n[pgbouncer]\nlisten_addr = 127.0.0.1\n\
                 listen_port = {port}\nunix_socket_dir =\nauth_type = plain\nauth_file = {}\n\
                 pool_mode = {mode}\n",
                direct.host_str().expect("host"),
                direct.port().unwrap_or(5432),
                users.display(),
            ),
        );
        // It refuses to run as root, as which tests in containers often run.
        let user = "nobody";
        let open = |path: &std::path::Path, mode| {
            use std::os::unix::fs::PermissionsExt;
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("mode");
        };
        open(folder.path(), 0o755);
        open(&users, 0o644);
        open(&settings, 0o644);
        let child = Command::new("pgbouncer")
            .args(["-q", "-u", user])
            .arg(&settings)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("pgbouncer, which `dev/test` installs");
        let deadline = Instant::now() + Duration::from_secs(10);
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(Instant::now() < deadline, "PgBouncer does not answer");
            std::thread::sleep(Duration::from_millis(50));
        }
        Pooler { child, port, _folder: folder }
    }

    fn url(&self, direct: &str) -> String {
        let mut url = url::Url::parse(direct).expect("URL");
        url.set_host(Some("127.0.0.1")).expect("host");
        url.set_port(Some(self.port)).expect("port");
        url.to_string()
    }
}

impl Drop for Pooler {
    fn drop(&mut self) {
        self.child.kill().expect("kill");
        self.child.wait().expect("wait");
    }
}

#[test]
fn a_pooler_that_shares_sessions_is_refused() {
    let env = TestEnv::new();
    let direct = env.get("AIPLAT_MIGRATE_POSTGRES_URL");
    env.file("migrations/postgres/V1__a.sql", "create table a ();");
    let pooler = Pooler::start(&env, "transaction");
    let env = env.set("AIPLAT_MIGRATE_POSTGRES_URL", &pooler.url(&direct));
    env.run(&["up"]).expect(2).says(&["pooler", "pool_mode = session", "nothing was touched"]);
    drop(pooler);
    let env = env.set("AIPLAT_MIGRATE_POSTGRES_URL", &direct);
    assert_eq!(
        env.sql("SELECT to_regclass('a'), to_regnamespace('aiplat_migrate')"),
        ["NULL|NULL"]
    );
}

#[test]
fn a_pooler_that_gives_each_client_its_session_serves() {
    // It refuses a session's options, or takes them and passes them on to nobody.
    for mode in ["session", "session\nignore_startup_parameters = options"] {
        let env = TestEnv::new();
        let direct = env.get("AIPLAT_MIGRATE_POSTGRES_URL");
        env.sql("alter database NAME set timezone = 'Asia/Kolkata'");
        let made = "create table a (wait text default current_setting('lock_timeout'), \
                    at timestamptz default '2020-01-01 00:00+00'); insert into a default values;";
        env.file("migrations/postgres/V1__a.sql", made);
        env.file("migrations/postgres/V2__b.sql", "reset lock_timeout;");
        env.file("migrations/postgres/V3__c.sql", "insert into a default values;");
        let pooler = Pooler::start(&env, mode);
        let env = env.set("AIPLAT_MIGRATE_POSTGRES_URL", &pooler.url(&direct));
        env.run(&["up"]).expect(0);
        env.run(&["validate"]).expect(0);
        let history = env.run(&["history"]).expect(0).stdout;
        drop(pooler);
        let env = env.set("AIPLAT_MIGRATE_POSTGRES_URL", &direct);
        let applied = ["postgres 1 applied", "postgres 2 applied", "postgres 3 applied"];
        assert_eq!(env.ledger(), applied);
        assert_eq!(env.sql("select wait from a"), ["5s", "5s"], "{mode}");
        assert_eq!(env.run(&["history"]).expect(0).stdout, history, "{mode}");
        env.run(&["validate"]).expect(0);
    }
}

#[test]
fn a_lock_not_had_in_time_is_tried_again_and_names_who_holds_it() {
    let env = TestEnv::new();
    env.sql("CREATE TABLE t (n int)");
    let text = "-- lock_timeout: 400ms\nalter table t add column m int;";
    env.file("migrations/postgres/V1__m.sql", text);
    let url = env.get("AIPLAT_MIGRATE_POSTGRES_URL");
    let finished = block_on(async {
        let blocker = postgres(&url).await;
        let hold = "SET application_name = 'reporting'; BEGIN; SELECT * FROM t";
        blocker.batch_execute(hold).await.expect("transaction");
        let run = env.spawn(&["up"]);
        tokio::time::sleep(Duration::from_secs(3)).await;
        blocker.batch_execute("COMMIT").await.expect("commit");
        finish(run)
    });
    let blocked =
        ["again:", "attempt 2", "it waited for pid", "reporting", "SELECT * FROM t", "since"];
    finished.expect(0).says(&blocked);
    assert_eq!(env.ledger(), ["postgres 1 applied"]);
}

#[test]
#[ignore = "takes a minute: dev/chaos"]
fn chaos_a_lock_that_is_never_had_fails_with_the_session_that_holds_it() {
    let env = TestEnv::new();
    env.sql("CREATE TABLE t (n int)");
    let text = "-- lock_timeout: 1s\nalter table t add column m int;";
    env.file("migrations/postgres/V1__m.sql", text);
    let url = env.get("AIPLAT_MIGRATE_POSTGRES_URL");
    block_on(async {
        let blocker = postgres(&url).await;
        blocker.batch_execute("BEGIN; LOCK TABLE t").await.expect("transaction");
        let said = env.run(&["up"]).expect(1);
        said.says(&["lock timeout", "it waited for pid", "LOCK TABLE t", "rolled back"]);
    });
    assert_eq!(env.ledger(), Vec::<String>::new());
}
