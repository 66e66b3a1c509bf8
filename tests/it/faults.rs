//! Stores that go away in the middle of a run, and come back.

#![expect(clippy::print_stdout, reason = "the table that dev/chaos ends with")]

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use bson::doc;

use crate::chaos::drift;
use crate::gate::{Gate, Manner};
use crate::support::{TestEnv, block_on, finish, postgres, required};

/// Migrations of PostgreSQL that take a while and tell how often each was applied.
fn counted(env: &TestEnv, count: usize) {
    env.sql("CREATE TABLE counted (n int)");
    for n in 1..=count {
        let text = format!("insert into counted values ({n});\nselect pg_sleep(0.4);");
        env.file(&format!("migrations/postgres/V{n}__n.sql"), &text);
    }
}

#[track_caller]
fn once_each(env: &TestEnv, count: usize) {
    let expected: Vec<String> = (1..=count).map(|n| format!("{n}|1")).collect();
    assert_eq!(env.sql("SELECT n, count(*) FROM counted GROUP BY n ORDER BY n"), expected);
    assert_eq!(env.ledger().len(), count, "{:?}", env.ledger());
    assert!(env.ledger().iter().all(|row| row.ends_with(" applied")), "{:?}", env.ledger());
}

/// Ends the run's sessions that hold the leader lock, or those that do not.
fn end_sessions(env: &TestEnv, leader: bool) -> usize {
    let ended = env.sql(&format!(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity a \
         WHERE datname = current_database() AND application_name LIKE 'aiplat-migrate%' AND {leader} = \
         EXISTS (SELECT FROM pg_locks l WHERE l.pid = a.pid AND l.locktype = 'advisory' \
                 AND l.mode = 'ExclusiveLock')"
    ));
    ended.len()
}

#[test]
fn a_run_goes_on_after_its_sessions_were_ended() {
    let env = TestEnv::new();
    counted(&env, 8);
    let run = env.spawn(&["up"]);
    wait_for(&env, "SELECT count(*) > 1 FROM counted");
    assert!(end_sessions(&env, false) >= 2, "the ledger's and the store's session");
    finish(run).expect(0).says(&["a connection broke", "applied"]);
    once_each(&env, 8);
}

#[test]
fn a_run_that_lost_its_lock_takes_it_again() {
    let env = TestEnv::new();
    counted(&env, 8);
    let run = env.spawn(&["up"]);
    wait_for(&env, "SELECT count(*) > 1 FROM counted");
    assert_eq!(end_sessions(&env, true), 1);
    finish(run).expect(0);
    once_each(&env, 8);
}

#[test]
fn a_down_goes_on_after_its_sessions_were_ended_and_undoes_no_more_than_was_asked() {
    let env = TestEnv::new();
    env.sql("CREATE TABLE counted (n int)");
    for n in 1..=8 {
        let text = format!("insert into counted values ({n});");
        env.file(&format!("migrations/postgres/V{n}__n.sql"), &text);
        let undo = format!("delete from counted where n = {n};\nselect pg_sleep(0.4);");
        env.file(&format!("migrations/postgres/U{n}__n.sql"), &undo);
    }
    env.run(&["up"]).expect(0);
    for leader in [false, true] {
        let rows = env.sql("SELECT count(*) FROM counted")[0].parse::<usize>().expect("a number");
        let run = env.spawn(&["down", "--steps", "3", "--yes", "--allow-data-loss"]);
        wait_for(&env, &format!("SELECT count(*) = {} FROM counted", rows - 1));
        assert!(end_sessions(&env, leader) >= 1);
        finish(run).expect(0).says(&["a connection broke", "undone"]);
        let left = env.sql("SELECT n FROM counted ORDER BY n");
        let expected: Vec<String> = (1..=rows - 3).map(|n| n.to_string()).collect();
        assert_eq!(left, expected);
        assert_eq!(
            env.ledger().iter().filter(|row| row.ends_with(" undone")).count(),
            8 - (rows - 3)
        );
    }
}

/// What `down` has shown is what it undoes: not what came on top while it waited for the lock.
#[test]
fn a_down_that_waited_for_another_run_undoes_nothing_that_it_has_not_shown() {
    let env = TestEnv::new();
    env.file("migrations/postgres/V1__a.sql", "create table a ();");
    env.file("migrations/postgres/U1__a.sql", "drop table a;");
    env.run(&["up"]).expect(0);
    env.file("migrations/postgres/V2__b.sql", "create table b ();\nselect pg_sleep(3);");
    env.file("migrations/postgres/U2__b.sql", "drop table b;");
    let up = env.spawn(&["up"]);
    wait_for(
        &env,
        "SELECT count(*) = 1 FROM pg_stat_activity WHERE wait_event = 'PgSleep' \
         AND datname = current_database()",
    );
    let down = env.run(&["down", "--yes"]).expect(5);
    down.says(&["another run changed the ledger", "postgres@2", "nothing was undone"]);
    finish(up).expect(0);
    assert_eq!(env.ledger(), ["postgres 1 applied", "postgres 2 applied"]);
}

#[test]
fn a_database_that_is_read_only_is_told_and_gone_on_with() {
    let env = TestEnv::new();
    env.file("migrations/postgres/V1__a.sql", "create table a ();");
    env.run(&["up"]).expect(0);
    env.file("migrations/postgres/V2__b.sql", "create table b ();");
    env.sql("ALTER DATABASE NAME SET default_transaction_read_only = on");
    env.run(&["up"]).expect(1).says(&["read-only transaction"]);
    env.sql("BEGIN READ WRITE; ALTER DATABASE NAME RESET default_transaction_read_only; COMMIT");
    env.run(&["up"]).expect(0);
    assert_eq!(env.ledger(), ["postgres 1 applied", "postgres 2 applied"]);
}

/// Waits until `sql` gives true, asking often: what is waited for may not last.
#[track_caller]
fn wait_for(env: &TestEnv, sql: &str) {
    let deadline = Instant::now() + Duration::from_secs(60);
    let came = block_on(async {
        let client = postgres(&env.get("AIPLAT_MIGRATE_POSTGRES_URL")).await;
        while Instant::now() < deadline {
            let row = client.query_one(sql, &[]).await.unwrap_or_else(|why| panic!("{sql}: {why}"));
            if row.get(0) {
                return true;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        false
    });
    assert!(came, "{sql} does not come true");
}

/// Waits until the ledger has tables and `condition` holds of one of its rows.
#[track_caller]
fn wait_for_row(env: &TestEnv, condition: &str) {
    wait_for(env, "SELECT to_regclass('aiplat_migrate.ledger') IS NOT NULL");
    wait_for(env, &format!("SELECT count(*) > 0 FROM aiplat_migrate.ledger WHERE {condition}"));
}

/// The address of a URL: host and port.
fn address(url: &str) -> String {
    let url = url::Url::parse(url).expect("URL");
    format!("{}:{}", url.host_str().expect("host"), url.port().expect("port"))
}

/// A project whose `variable` names a gate before the server that it named.
fn behind_gate(env: TestEnv, variable: &str) -> (TestEnv, Gate) {
    let url = env.get(variable);
    match variable {
        "AIPLAT_MIGRATE_KAFKA_BROKERS" => {
            let gate = Gate::before_kafka(&url);
            let brokers = format!("127.0.0.1:{}", gate.port());
            (env.set(variable, &brokers), gate)
        }
        "AIPLAT_MIGRATE_MONGO_URL" => {
            let gate = Gate::before(&address(&url));
            // A member of a replica set would give its own address.
            let through = format!("{}&directConnection=true", gate.url(&url));
            (env.set(variable, &through), gate)
        }
        _ => {
            let gate = Gate::before(&address(&url));
            let through = gate.url(&url);
            (env.set(variable, &through), gate)
        }
    }
}

fn classes(count: usize) -> TestEnv {
    let env = TestEnv::new().with(&["weaviate"]);
    let classes: Vec<String> = (1..=count)
        .map(|n| format!("{{ createClass: {{ class: 'Name{n}', vectorizer: 'none' }} }}"))
        .collect();
    let text = format!("{{ steps: [ {} ] }}", classes.join(", "));
    env.file("migrations/weaviate/V1__classes.json5", &text);
    env
}

fn topics(count: usize) -> TestEnv {
    let env = TestEnv::new().with(&["kafka"]);
    let topics: Vec<String> = (1..=count)
        .map(|n| {
            format!("{{ createTopic: {{ name: 'NAME{n}', partitions: 2, replicationFactor: 1 }} }}")
        })
        .collect();
    let text = format!("{{ steps: [ {} ] }}", topics.join(", "));
    env.file("migrations/kafka/V1__topics.json5", &text);
    env
}

/// All is applied, and nothing differs; then it is taken back, for the stores are everybody's.
#[track_caller]
fn converged(env: &TestEnv, store: &str) {
    assert_eq!(env.ledger(), [format!("{store} 1 applied")]);
    assert_eq!(drift(env), Vec::<String>::new());
    env.run(&["down", "--all", "--yes"]).expect(0);
}

#[test]
fn weaviate_that_answers_503_for_a_while_is_asked_again() {
    let (env, gate) = behind_gate(classes(3), "AIPLAT_MIGRATE_WEAVIATE_URL");
    let run = env.spawn(&["up"]);
    wait_for_row(&env, "steps_done >= 1");
    gate.set(Manner::Unavailable);
    std::thread::sleep(Duration::from_secs(2));
    gate.set(Manner::Open);
    // The step is tried again, or the run begins anew, as the moment has it.
    finish(run).expect(0).says(&["503"]);
    assert!(gate.harmed() > 0);
    converged(&env, "weaviate");
}

#[test]
fn connections_that_are_reset_in_the_middle_are_made_again() {
    let (env, gate) = behind_gate(batched(), "AIPLAT_MIGRATE_MONGO_URL");
    let run = env.spawn(&["up"]);
    wait_for_row(&env, "position IS NOT NULL");
    assert!(gate.reset() > 0);
    finish(run).expect(0);
    all_counted_once(&env);
    let (env, gate) = behind_gate(topics(3), "AIPLAT_MIGRATE_KAFKA_BROKERS");
    let run = env.spawn(&["up"]);
    wait_for_row(&env, "steps_done >= 1");
    assert!(gate.reset() > 0);
    finish(run).expect(0);
    converged(&env, "kafka");
    let (env, gate) = behind_gate(classes(3), "AIPLAT_MIGRATE_WEAVIATE_URL");
    let run = env.spawn(&["up"]);
    wait_for_row(&env, "steps_done >= 1");
    assert!(gate.reset() > 0);
    finish(run).expect(0);
    converged(&env, "weaviate");
}

/// A Redis of a test's own, which may be brought to where no shared one may; it ends with this value.
struct OwnRedis {
    child: Child,
    port: u16,
    folder: tempfile::TempDir,
}

impl OwnRedis {
    fn start() -> OwnRedis {
        let port = {
            let free = std::net::TcpListener::bind("127.0.0.1:0").expect("port");
            free.local_addr().expect("address").port()
        };
        let folder = tempfile::tempdir().expect("folder");
        let child = OwnRedis::process(folder.path(), port, &[]);
        let redis = OwnRedis { child, port, folder };
        redis.ready();
        redis
    }

    fn process(folder: &std::path::Path, port: u16, more: &[&str]) -> Child {
        Command::new("redis-server")
            .args(["--bind", "127.0.0.1", "--port", &port.to_string(), "--save", ""])
            .args(more)
            .current_dir(folder)
            .stdout(Stdio::null())
            .spawn()
            .expect("redis-server, which `dev/stores up` installs")
    }

    /// Kills it and starts it with `more` arguments; does not wait until it answers.
    fn restart(&mut self, more: &[&str]) {
        self.child.kill().expect("kill");
        self.child.wait().expect("end");
        self.child = OwnRedis::process(self.folder.path(), self.port, more);
    }

    fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    fn connection(&self) -> redis::RedisResult<redis::Connection> {
        redis::Client::open(self.url()).expect("URL").get_connection()
    }

    fn ready(&self) {
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            let ping = redis::cmd("PING");
            if self.connection().and_then(|mut redis| ping.query::<String>(&mut redis)).is_ok() {
                return;
            }
            assert!(Instant::now() < deadline, "Redis does not answer");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn say(&self, words: &[&str]) {
        let (name, arguments) = words.split_first().expect("a command");
        let mut redis = self.connection().expect("Redis");
        redis::cmd(name).arg(arguments).query::<redis::Value>(&mut redis).expect("an answer");
    }

    fn fill(&self, keys: usize) {
        let mut pipeline = redis::pipe();
        for n in 0..keys {
            pipeline.cmd("SET").arg(format!("k:{n}")).arg(n).ignore();
        }
        pipeline.query::<()>(&mut self.connection().expect("Redis")).expect("keys");
    }

    /// How many of the keys that [`OwnRedis::fill`] made have no time to live.
    fn without_ttl(&self, keys: usize) -> usize {
        let mut pipeline = redis::pipe();
        for n in 0..keys {
            pipeline.cmd("TTL").arg(format!("k:{n}"));
        }
        let left: Vec<i64> =
            pipeline.query(&mut self.connection().expect("Redis")).expect("times to live");
        left.iter().filter(|ttl| **ttl <= 0).count()
    }

    fn project(&self) -> TestEnv {
        TestEnv::new().with(&["redis"]).set("AIPLAT_MIGRATE_REDIS_URL", &self.url())
    }
}

impl Drop for OwnRedis {
    fn drop(&mut self) {
        self.child.kill().expect("kill");
        self.child.wait().expect("end");
    }
}

#[test]
fn redis_without_memory_is_told_and_gone_on_with() {
    let redis = OwnRedis::start();
    let env = redis.project();
    env.file(
        "migrations/redis/V1__a.json5",
        "{ steps: [ { acl: { user: 'NAME', rules: ['on', '+get'] } }, { command: ['SET', 'a', 'x'] } ] }",
    );
    env.file(
        "migrations/redis/V2__b.json5",
        "{ steps: [ { function: { code: \"#!lua name=f\\nredis.register_function('f', function() return 1 end)\" } } ] }",
    );
    redis.say(&["CONFIG", "SET", "maxmemory", "1"]);
    for _ in 0..2 {
        env.run(&["up"]).expect(1).says(&[
            "OOM",
            "step 1 of redis@1 is done and recorded",
            "step 2 changed nothing",
            "not begun: redis@2",
        ]);
        assert_eq!(env.ledger(), ["redis 1 failed"]);
    }
    redis.say(&["CONFIG", "SET", "maxmemory", "0"]);
    env.run(&["up"]).expect(0);
    assert_eq!(env.ledger(), ["redis 1 applied", "redis 2 applied"]);
    env.run(&["validate"]).expect(0);
}

#[test]
fn redis_that_is_loading_is_waited_for() {
    let mut redis = OwnRedis::start();
    let keys = 1500;
    redis.fill(keys);
    let env = redis.project();
    let rewrite = "{ steps: [ { rewrite: { match: 'k:*', set: { ttl: '24h' } } } ] }";
    env.file("migrations/redis/V1__ttl.json5", rewrite);
    redis.say(&["SAVE"]);
    // Two milliseconds for each key, and a look at who asks after each kilobyte.
    let slowly = ["--key-load-delay", "2000", "--loading-process-events-interval-bytes", "1024"];
    redis.restart(&slowly);
    std::thread::sleep(Duration::from_millis(500));
    let told = env.run(&["up", "--wait", "0s"]).expect(6);
    told.says(&["cannot reach Redis", "LOADING"]);
    env.run(&["up", "--wait", "60s"]).expect(0);
    assert_eq!(redis.without_ttl(keys), 0);
    assert_eq!(env.ledger(), ["redis 1 applied"]);
}

/// What a run changed after the last save is lost with the server, and its cursor means nothing to
/// the server that comes back.
#[test]
fn redis_that_is_restarted_in_the_middle_of_a_rewrite_loses_no_key() {
    let mut redis = OwnRedis::start();
    let keys = 30_000;
    redis.fill(keys);
    let env = redis.project();
    let rewrite = "{ steps: [ { rewrite: { match: 'k:*', set: { ttl: '24h' }, count: 1 } } ] }";
    env.file("migrations/redis/V1__ttl.json5", rewrite);
    redis.say(&["SAVE"]);
    let run = env.spawn(&["up"]);
    wait_for_row(&env, "position IS NOT NULL");
    redis.restart(&[]);
    redis.ready();
    finish(run).expect(0);
    assert_eq!(redis.without_ttl(keys), 0);
    assert_eq!(env.ledger(), ["redis 1 applied"]);
}

/// A folder on a file system of a few megabytes, for a tablespace; it ends with this value.
struct SmallDisk {
    folder: tempfile::TempDir,
}

impl SmallDisk {
    fn mount(owner: &str) -> SmallDisk {
        let folder = tempfile::tempdir().expect("folder");
        let disk = SmallDisk { folder };
        disk.run("mount", &["-t", "tmpfs", "-o", "size=4m,mode=755", "tmpfs", &disk.path()]);
        disk.run("chown", &[owner, &disk.path()]);
        disk.run("chmod", &["755", &disk.path()]);
        disk
    }

    fn path(&self) -> String {
        self.folder.path().display().to_string()
    }

    fn grow(&self) {
        self.run("mount", &["-o", "remount,size=256m", &self.path()]);
    }

    fn run(&self, program: &str, arguments: &[&str]) {
        let output = Command::new(program).args(arguments).output().expect(program);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{program} {arguments:?} (as root?): {said}");
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.folder.path()).status();
    }
}

#[test]
#[ignore = "mounts a small disk, as root: dev/chaos"]
fn chaos_fault_a_full_disk() {
    let env = TestEnv::new();
    let data = env.sql("SHOW data_directory");
    let owner = {
        use std::os::unix::fs::MetadataExt;
        let of = std::fs::metadata(&data[0]).expect("the server's data is on this machine");
        format!("{}:{}", of.uid(), of.gid())
    };
    let disk = SmallDisk::mount(&owner);
    env.sql(&format!("CREATE TABLESPACE NAME_small LOCATION '{}'", disk.path()));
    env.file("migrations/postgres/V1__a.sql", "create table a ();");
    let fill = "insert into b select n, repeat(md5(n::text), 30) from generate_series(1, 20000) n;";
    env.file(
        "migrations/postgres/V2__b.sql",
        &format!("create table b (n int, t text) tablespace NAME_small;\n{fill}\n"),
    );
    env.file(
        "migrations/postgres/V3__c.sql",
        "-- transaction: off\ncreate table c (n int);\n\
         create index concurrently b_t on b (n, t) tablespace NAME_small;\n",
    );
    let full = env.run(&["up"]).expect(1);
    full.says(&[
        "53100",
        "No space left on device",
        "nothing of postgres@2 is left",
        "not begun: postgres@3",
    ]);
    assert_eq!(env.ledger(), ["postgres 1 applied"]);
    disk.grow();
    env.run(&["up"]).expect(0);
    assert_eq!(env.sql("SELECT count(*) FROM b"), ["20000"]);
    assert_eq!(env.ledger(), ["postgres 1 applied", "postgres 2 applied", "postgres 3 applied"]);
    env.run(&["validate"]).expect(0);
    env.sql("DROP TABLE b");
    env.sql("DROP TABLESPACE NAME_small");
    println!("CHAOS FAULT postgres: full disk: exit 1, rolled back, then converged");
}

#[test]
#[ignore = "takes a minute: dev/chaos"]
fn chaos_fault_kafka_that_answers_after_seconds() {
    let (env, gate) = behind_gate(topics(2), "AIPLAT_MIGRATE_KAFKA_BROKERS");
    gate.set(Manner::Slow(Duration::from_secs(2)));
    let told = env.run(&["up", "--wait", "0s"]).expect(6);
    told.says(&["cannot reach Kafka", "Timed out", "waited 5s"]);
    let env = env.set("AIPLAT_MIGRATE_KAFKA_CONNECT_TIMEOUT", "60s");
    env.run(&["up"]).expect(0);
    assert!(gate.harmed() > 3);
    gate.set(Manner::Open);
    converged(&env, "kafka");
    println!("CHAOS FAULT kafka: answers after 2 s: exit 6; exit 0 with a longer connect_timeout");
}

#[test]
#[ignore = "takes a minute: dev/chaos"]
fn chaos_fault_weaviate_that_answers_503_and_nothing_else() {
    let (env, gate) = behind_gate(classes(3), "AIPLAT_MIGRATE_WEAVIATE_URL");
    let run = env.spawn(&["up"]);
    wait_for_row(&env, "steps_done >= 1");
    gate.set(Manner::Unavailable);
    let began = Instant::now();
    let told = finish(run).expect(6).says(&[
        "503",
        "is recorded in the ledger",
        "run the same command again",
    ]);
    let took = began.elapsed();
    assert!(took < Duration::from_secs(180), "{took:?}: {}", told.stderr);
    gate.set(Manner::Open);
    env.run(&["up"]).expect(0);
    converged(&env, "weaviate");
    println!(
        "CHAOS FAULT weaviate: 503 for ever: exit 6 after {} s, then converged",
        took.as_secs()
    );
}

/// How long a run may hold out when nobody answers.
const LONGEST: Duration = Duration::from_secs(420);

/// Cuts the cable to one server in the middle of a run: the run ends within bounds and says where it
/// stands; once the cable is whole, the next one converges.
fn cable_cut(env: TestEnv, variable: &str, at_work: &str, words: &[&str]) -> TestEnv {
    let direct = env.get(variable);
    let (env, gate) = behind_gate(env, variable);
    let mut run = env.spawn(&["up"]);
    // The ledger may be behind the gate itself: the test looks past it.
    let env = env.set(variable, &direct);
    wait_for_row(&env, at_work);
    gate.set(Manner::Dead);
    let began = Instant::now();
    while run.try_wait().expect("wait").is_none() && began.elapsed() < LONGEST {
        std::thread::sleep(Duration::from_millis(100));
    }
    let took = began.elapsed();
    // One that goes on for ever is ended, and fails the test by its code.
    let _ = run.kill();
    let told = finish(run);
    assert!(gate.harmed() > 0, "nothing was sent after the cut");
    assert_eq!(told.code, 6, "{variable} after {took:?}: {}", told.stderr);
    let told = told.says(words);
    assert!(told.stderr.contains("state:") && told.stderr.contains("hint:"), "{}", told.stderr);
    drop(gate);
    env.run(&["up"]).expect(0);
    println!(
        "CHAOS FAULT {variable}: cable cut: exit 6 after {} s, then converged",
        took.as_secs()
    );
    env
}

#[test]
#[ignore = "takes minutes: dev/chaos"]
fn chaos_fault_a_cable_that_is_cut() {
    let cuts: [fn(); 5] = [
        || {
            let env = TestEnv::new();
            counted(&env, 12);
            let env =
                cable_cut(env, "AIPLAT_MIGRATE_POSTGRES_URL", "version = '2'", &["PostgreSQL"]);
            once_each(&env, 12);
        },
        || {
            let env = batched();
            let at_work = "position IS NOT NULL";
            all_counted_once(&cable_cut(env, "AIPLAT_MIGRATE_MONGO_URL", at_work, &["MongoDB"]));
        },
        || {
            let env = topics(12);
            let at_work = "steps_done >= 1";
            let env = cable_cut(env, "AIPLAT_MIGRATE_KAFKA_BROKERS", at_work, &["Kafka"]);
            converged(&env, "kafka");
        },
        || {
            let env = classes(6);
            let at_work = "steps_done >= 1";
            let env = cable_cut(env, "AIPLAT_MIGRATE_WEAVIATE_URL", at_work, &["Weaviate"]);
            converged(&env, "weaviate");
        },
        || {
            let redis = OwnRedis::start();
            redis.fill(30_000);
            let env = redis.project();
            let text =
                "{ steps: [ { rewrite: { match: 'k:*', set: { ttl: '24h' }, count: 1 } } ] }";
            env.file("migrations/redis/V1__ttl.json5", text);
            let at_work = "position IS NOT NULL";
            let env = cable_cut(env, "AIPLAT_MIGRATE_REDIS_URL", at_work, &["Redis"]);
            assert_eq!(redis.without_ttl(30_000), 0);
            assert_eq!(env.ledger(), ["redis 1 applied"]);
        },
    ];
    let threads: Vec<_> = cuts.into_iter().map(std::thread::spawn).collect();
    let ended: Vec<_> = threads.into_iter().map(std::thread::JoinHandle::join).collect();
    assert!(ended.iter().all(Result::is_ok), "what failed is told above");
}

/// Has `dev/stores` do something to one server of the set that dev/chaos made for this.
fn stores(verb: &str, store: &str) {
    let tool = std::env::var("CHAOS_STORES")
        .unwrap_or_else(|_| format!("{}/dev/stores", env!("CARGO_MANIFEST_DIR")));
    let set = required("CHAOS_SET");
    assert!(!["test", "platform", "default"].contains(&set.as_str()), "servers of others");
    let output =
        Command::new(tool).args([verb, "--set", &set, store]).output().expect("dev/stores");
    assert!(output.status.success(), "{verb} {store}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Kills the server while a run is at work on it, starts it again, and lets the run go on; where the
/// run gave up, it must have said so with the code of a store that cannot be reached.
fn killed_server(env: &TestEnv, store: &str, at_work: &str) -> i32 {
    let run = env.spawn(&["up"]);
    wait_for_row(env, at_work);
    stores("kill", store);
    std::thread::sleep(Duration::from_secs(2));
    stores("start", store);
    let finished = finish(run);
    if finished.code != 0 {
        assert!([5, 6].contains(&finished.code), "{}: {}", finished.code, finished.stderr);
        env.run(&["up"]).expect(0);
    }
    println!("CHAOS FAULT {store}: killed and restarted: exit {}, then converged", finished.code);
    finished.code
}

#[test]
#[ignore = "kills servers: dev/chaos"]
fn chaos_servers_killed() {
    postgres_killed();
    mongo_killed();
    mongo_steps_down();
    redis_killed();
    kafka_killed();
    weaviate_killed();
}

fn postgres_killed() {
    let env = TestEnv::new();
    counted(&env, 12);
    let run = env.spawn(&["up"]);
    wait_for(&env, "SELECT count(*) > 2 FROM counted");
    stores("kill", "postgres");
    std::thread::sleep(Duration::from_secs(1));
    stores("start", "postgres");
    let finished = finish(run);
    if finished.code != 0 {
        assert!([5, 6].contains(&finished.code), "{}: {}", finished.code, finished.stderr);
        env.run(&["up"]).expect(0);
    }
    once_each(&env, 12);
    println!("CHAOS FAULT postgres: killed and restarted: exit {}, then converged", finished.code);
}

async fn documents(env: &TestEnv) -> mongodb::Collection<bson::Document> {
    let url = env.get("AIPLAT_MIGRATE_MONGO_URL");
    let client = mongodb::Client::with_uri_str(url).await.expect("MongoDB");
    client.database(&env.name).collection("c")
}

fn batched() -> TestEnv {
    let env = TestEnv::new().with(&["mongo"]);
    env.file(
        "migrations/mongo/V1__n.json5",
        "{ steps: [ { updateInBatches: 'c', filter: { done: { $exists: false } }, \
           update: { $inc: { n: 1 }, $set: { done: true } }, batch: 5 } ] }",
    );
    block_on(async {
        let all = (0..8000).map(|n| doc! { "_id": n, "n": 0 });
        let c = documents(&env).await;
        c.insert_many(all).await.expect("documents");
    });
    env
}

fn all_counted_once(env: &TestEnv) {
    block_on(async {
        let counted = documents(env).await.count_documents(doc! { "n": 1 }).await.expect("count");
        assert_eq!(counted, 8000);
    });
    assert_eq!(env.ledger(), ["mongo 1 applied"]);
}

fn mongo_killed() {
    let env = batched();
    killed_server(&env, "mongo", "position IS NOT NULL");
    all_counted_once(&env);
}

fn mongo_steps_down() {
    let env = batched();
    let run = env.spawn(&["up"]);
    wait_for_row(&env, "position IS NOT NULL");
    block_on(async {
        let client =
            mongodb::Client::with_uri_str(required("TEST_MONGO_URL")).await.expect("MongoDB");
        let down = doc! { "replSetStepDown": 5, "force": true };
        // The connection may be closed before the answer comes.
        let _ = client.database("admin").run_command(down).await;
    });
    let finished = finish(run);
    if finished.code != 0 {
        assert_eq!(finished.code, 6, "{}", finished.stderr);
        std::thread::sleep(Duration::from_secs(15));
        env.run(&["up"]).expect(0);
    }
    all_counted_once(&env);
    println!("CHAOS FAULT mongo: primary stepped down: exit {}, then converged", finished.code);
}

fn redis_killed() {
    let env = TestEnv::new().with(&["redis"]);
    env.file(
        "migrations/redis/V1__ttl.json5",
        "{ steps: [ { rewrite: { match: 'NAME:*', set: { ttl: '24h' }, count: 1 } } ] }",
    );
    let client = redis::Client::open(required("TEST_REDIS_URL")).expect("URL");
    let mut redis = client.get_connection().expect("Redis");
    let keys = |command: &'static str| {
        let mut pipeline = redis::pipe();
        for n in 0..30_000 {
            pipeline.cmd(command).arg(format!("{}:{n}", env.name));
            if command == "SET" {
                pipeline.arg(n);
            }
        }
        pipeline
    };
    let _: Vec<redis::Value> = keys("SET").query(&mut redis).expect("keys");
    // What is changed after this is lost with the server: a cursor kept from before must not be
    // gone on from.
    // The server may be saving by itself.
    while redis::cmd("SAVE").query::<()>(&mut redis).is_err() {
        std::thread::sleep(Duration::from_millis(200));
    }
    killed_server(&env, "redis", "position IS NOT NULL");
    let mut redis = client.get_connection().expect("Redis");
    let left: Vec<i64> = keys("TTL").query(&mut redis).expect("times to live");
    let without = left.iter().filter(|ttl| **ttl <= 0).count();
    assert_eq!(without, 0, "keys that the rewrite left out");
    let _: Vec<redis::Value> = keys("DEL").query(&mut redis).expect("keys");
    assert_eq!(env.ledger(), ["redis 1 applied"]);
}

fn kafka_killed() {
    let env = topics(12);
    killed_server(&env, "kafka", "steps_done >= 2");
    converged(&env, "kafka");
}

fn weaviate_killed() {
    let env = classes(6);
    killed_server(&env, "weaviate", "steps_done >= 1");
    converged(&env, "weaviate");
}
