//! What a cluster sees of the tool: its log, its metrics, its last words, how it waits.

use std::io::BufRead;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::{Finished, TestEnv, finish};

/// Each line of standard error as JSON.
#[track_caller]
fn lines(finished: &Finished) -> Vec<serde_json::Value> {
    let lines = finished.stderr.lines();
    lines.map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"))).collect()
}

/// The values of a metrics file, by name and labels.
fn metrics(env: &TestEnv, file: &str) -> std::collections::BTreeMap<String, f64> {
    let text = std::fs::read_to_string(env.path().join(file)).expect("a metrics file");
    let mut help = 0;
    let values = text.lines().filter(|line| {
        help += usize::from(line.starts_with("# HELP aiplat_migrate_"));
        !line.starts_with('#')
    });
    let values: std::collections::BTreeMap<_, _> = values
        .map(|line| line.rsplit_once(' ').expect("a name and a value"))
        .map(|(name, value)| (name.to_string(), value.parse().expect("a number")))
        .collect();
    assert!(help > 0 && !values.is_empty(), "{text}");
    values
}

#[test]
fn every_line_of_the_log_for_machines_has_the_run() {
    let env = TestEnv::new().with(&["mongo"]);
    env.file("migrations/postgres/V1__a.sql", "create table a (id int);");
    env.file("migrations/mongo/V1__b.json5", "{ steps: [{ create: 'b' }] }");
    env.file(
        "migrations/mongo/V2__c.json5",
        "{ steps: [{ create: 'b', capped: true, size: 4096 }] }",
    );
    let ended = env.run(&["up", "--log-format", "json", "--output", "json"]).expect(1);
    let run = ended.json()["run"].as_str().expect("a run").to_string();
    let lines = lines(&ended);
    for line in &lines {
        assert_eq!(line["run"], run.as_str(), "{line}");
        assert!(line["timestamp"].is_string() && line["event"].is_string(), "{line}");
    }
    let of = |event: &str| lines.iter().filter(|line| line["event"] == event).collect::<Vec<_>>();
    assert_eq!(of("settled").len(), 2);
    for settled in of("settled") {
        assert!(settled["took_ms"].is_u64() && settled["store"].is_string(), "{settled}");
    }
    assert_eq!(of("failed")[0]["migration"], "mongo@2");
    assert_eq!(of("step_ended")[0]["label"], "create b");
    assert!(
        of("error")[0]["causes"].as_str().is_some_and(|text| text.contains("there already")),
        "{lines:?}"
    );
    assert_eq!(of("ended")[0]["exit"], 1);
    let events = env.sql("SELECT DISTINCT run_id FROM aiplat_migrate.event");
    assert_eq!(events, [run]);
}

#[test]
fn metrics_tell_what_is_pending_applied_failed_and_drifted() {
    let env = TestEnv::new().with(&["mongo"]);
    env.file("migrations/postgres/V1__a.sql", "create table a (id int);");
    env.file("migrations/postgres/U1__a.sql", "drop table a;");
    env.file("migrations/mongo/V1__b.json5", "{ steps: [{ create: 'b' }] }");
    env.file(
        "migrations/mongo/V2__c.json5",
        "{ steps: [{ create: 'b', capped: true, size: 4096 }] }",
    );
    env.run(&["status", "--metrics-file", "m.prom"]).expect(0);
    let before = metrics(&env, "m.prom");
    assert_eq!(before["aiplat_migrate_pending{store=\"mongo\"}"], 2.0);
    assert_eq!(before["aiplat_migrate_applied{store=\"mongo\"}"], 0.0);

    env.run(&["up", "--metrics-file", "m.prom"]).expect(1);
    let after = metrics(&env, "m.prom");
    assert_eq!(after["aiplat_migrate_pending{store=\"mongo\"}"], 0.0);
    assert_eq!(after["aiplat_migrate_applied{store=\"mongo\"}"], 1.0);
    assert_eq!(after["aiplat_migrate_failed{store=\"mongo\"}"], 1.0);
    assert_eq!(after["aiplat_migrate_applied{store=\"postgres\"}"], 1.0);
    assert_eq!(after["aiplat_migrate_run_exit_code{command=\"up\"}"], 1.0);
    assert!(after["aiplat_migrate_duration_seconds{store=\"postgres\"}"] > 0.0);
    assert!(after["aiplat_migrate_lock_wait_seconds{command=\"up\"}"] > 0.0);
    let now = std::time::UNIX_EPOCH.elapsed().expect("clock").as_secs_f64();
    let success = after["aiplat_migrate_last_success_timestamp_seconds{store=\"postgres\"}"];
    assert!((now - 60.0..now + 60.0).contains(&success), "{success}, now {now}");

    env.sql("ALTER TABLE a ALTER COLUMN id TYPE bigint");
    env.run(&["validate", "--metrics-file", "m.prom"]).expect(3);
    let drifted = metrics(&env, "m.prom");
    assert_eq!(drifted["aiplat_migrate_drift_objects{store=\"postgres\"}"], 1.0);
    assert_eq!(drifted["aiplat_migrate_drift_objects{store=\"mongo\"}"], 0.0);
    assert_eq!(drifted["aiplat_migrate_failed{store=\"mongo\"}"], 1.0);

    env.run(&["down", "--store", "postgres", "--yes", "--metrics-file", "m.prom"]).expect(0);
    let undone = metrics(&env, "m.prom");
    assert_eq!(undone["aiplat_migrate_pending{store=\"postgres\"}"], 1.0);
    assert_eq!(undone["aiplat_migrate_applied{store=\"postgres\"}"], 0.0);
    let left: Vec<_> = std::fs::read_dir(env.path()).expect("a folder").collect();
    assert_eq!(left.len(), 2, "the migrations and the metrics, nothing half written: {left:?}");
}

#[test]
fn a_metrics_file_that_cannot_be_written_is_said_and_changes_nothing_else() {
    let env = TestEnv::new();
    env.file("migrations/postgres/V1__a.sql", "create table a (id int);");
    env.run(&["up", "--metrics-file", "no/such/folder/m.prom"])
        .expect(0)
        .says(&["cannot write the metrics file no/such/folder/m.prom"]);
}

#[test]
fn the_reason_of_a_failure_is_left_behind_and_fits() {
    let env = TestEnv::new();
    let message = "日本語 ".repeat(2000);
    env.file("migrations/postgres/V1__a.sql", &format!("do $$ begin raise '{message}'; end $$;"));
    let file = env.file("termination-log", "from before");
    env.run(&["up", "--termination-log", "termination-log"]).expect(1);
    let bytes = std::fs::read(&file).expect("a reason");
    assert!(bytes.len() <= 4096, "{}", bytes.len());
    let reason = String::from_utf8(bytes).expect("UTF-8");
    assert!(reason.starts_with("error: applying postgres@1 "), "{reason}");
    assert!(reason.ends_with("(all of it is in the log)\n"), "{reason}");

    env.file("migrations/postgres/V1__a.sql", "create table a (id int);");
    env.file("termination-log", "untouched");
    env.run(&["up", "--termination-log", "termination-log"]).expect(0);
    assert_eq!(std::fs::read_to_string(&file).expect("a file"), "untouched");
    env.sql("DROP TABLE a");
    env.run(&["validate", "--termination-log", "termination-log"]).expect(3);
    let reason = std::fs::read_to_string(&file).expect("a reason");
    assert!(reason.contains("table public.a"), "{reason}");
}

#[test]
fn waiting_says_each_attempt_and_goes_on_when_the_store_comes() {
    // A port that nobody listens on yet stands for a server that is not up yet.
    let env = TestEnv::new().with(&["redis"]);
    env.file("migrations/redis/V1__a.json5", "{ steps: [{ keyspace: { pattern: 'NAME:{id}', type: 'hash', ttl: '1h', purpose: 'x' } }] }");
    let port = free_port();
    let real = env.get("AIPLAT_MIGRATE_REDIS_URL");
    let (scheme, rest) = real.rsplit_once('@').expect("a user");
    let (address, path) = rest.split_once('/').expect("a database");
    let address = address.to_string();
    let env = env.set("AIPLAT_MIGRATE_REDIS_URL", &format!("{scheme}@127.0.0.1:{port}/{path}"));
    let child = env.spawn(&["wait", "--timeout", "20s"]);
    std::thread::sleep(Duration::from_millis(1500));
    let relay = std::net::TcpListener::bind(("127.0.0.1", port)).expect("the port");
    std::thread::spawn(move || forward(&relay, &address));
    let ended = finish(child).expect(0).says(&["waiting: redis, attempt 1: ", "attempt 2: "]);
    assert!(ended.stdout.contains("answer"), "{}", ended.stdout);
}

#[test]
fn a_signal_ends_the_waiting_at_once() {
    let env = TestEnv::new().with(&["redis"]);
    env.file(
        "migrations/redis/V1__a.json5",
        "{ steps: [{ keyspace: { pattern: 'NAME:{id}', type: 'hash', ttl: '1h', purpose: 'x' } }] }",
    );
    let ledger = env.get("AIPLAT_MIGRATE_POSTGRES_URL");
    for (variable, url) in
        [("REDIS", "redis://127.0.0.1:1/0"), ("POSTGRES", "postgres://nobody@127.0.0.1:1/x")]
    {
        let mut command = env.command(&["up", "--wait", "60s"]);
        command.env("AIPLAT_MIGRATE_POSTGRES_URL", &ledger);
        command.env(format!("AIPLAT_MIGRATE_{variable}_URL"), url);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("binary");
        let began = Instant::now();
        let mut said =
            std::io::BufReader::new(child.stderr.take().expect("standard error")).lines();
        let waits = said.any(|line| line.expect("text").starts_with("waiting: "));
        assert!(waits, "{variable}");
        let id = child.id().to_string();
        assert!(Command::new("kill").arg(&id).status().expect("kill").success());
        let rest: Vec<String> = said.map(|line| line.expect("text")).collect();
        let ended = child.wait().expect("an end");
        assert_eq!(ended.code(), Some(143), "{rest:?}");
        assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
        assert!(rest.iter().any(|line| line.contains("changed nothing")), "{rest:?}");
    }
}

#[test]
fn nothing_to_do_needs_the_ledger_alone() {
    let env = TestEnv::new().with(&["mongo"]);
    env.file("migrations/postgres/V1__a.sql", "create table a (id int);");
    env.file("migrations/mongo/V1__b.json5", "{ steps: [{ create: 'b' }] }");
    env.run(&["up"]).expect(0);
    let env = env.set("AIPLAT_MIGRATE_MONGO_URL", "mongodb://127.0.0.1:1/x");
    env.run(&["up"]).expect(0);
    // Not even the other stores' certificates are read.
    let bare = env.command(&["up"]).env("AIPLAT_MIGRATE_MONGO_CA_FILE", "/nowhere/ca.pem").output();
    assert!(bare.expect("binary").status.success());
    env.run(&["up", "--verify", "--wait", "0s"]).expect(6);
}

#[test]
fn wrong_credentials_are_not_waited_for() {
    let env = TestEnv::new().with(&["mongo", "weaviate", "redis"]);
    let wrong = |url: &str| {
        let (head, tail) = url.rsplit_once('@').expect("a user");
        format!("{}:wrong@{tail}", head.rsplit_once(':').expect("a password").0)
    };
    let mongo = wrong(&env.get("AIPLAT_MIGRATE_MONGO_URL"));
    let redis = wrong(&env.get("AIPLAT_MIGRATE_REDIS_URL"));
    let env = env
        .set("AIPLAT_MIGRATE_MONGO_URL", &mongo)
        .set("AIPLAT_MIGRATE_REDIS_URL", &redis)
        .set("AIPLAT_MIGRATE_WEAVIATE_API_KEY", "wrong");
    let began = Instant::now();
    let ended = env.run(&["wait", "--timeout", "60s"]).expect(2);
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    let ended = ended.says(&["MongoDB at ", "Weaviate at ", "Redis at ", "cannot log in to"]);
    assert!(!ended.stderr.contains("attempt"), "{}", ended.stderr);
}

fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address").port()
}

/// Hands every connection on to `address`.
fn forward(relay: &std::net::TcpListener, address: &str) {
    for client in relay.incoming().flatten() {
        let Ok(server) = std::net::TcpStream::connect(address) else { continue };
        for (mut from, mut to) in [
            (client.try_clone().expect("a socket"), server.try_clone().expect("a socket")),
            (server, client),
        ] {
            std::thread::spawn(move || std::io::copy(&mut from, &mut to));
        }
    }
}

/// The text of every file below a folder of the project, with its path.
fn files(folder: &str) -> Vec<(String, String)> {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let mut found = Vec::new();
    for entry in std::fs::read_dir(&folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        let shown =
            path.strip_prefix(env!("CARGO_MANIFEST_DIR")).expect("below").display().to_string();
        match path.is_dir() {
            true => found.extend(files(&shown)),
            false => found.push((shown, std::fs::read_to_string(&path).expect("text"))),
        }
    }
    found
}

#[test]
fn every_variable_of_the_manifests_is_one_of_ours() {
    let mut ours: Vec<String> =
        aiplat_migrate::config::OTHER_VARIABLES.iter().map(|(name, _)| name.to_string()).collect();
    for row in aiplat_migrate::config::documented() {
        ours.push(row.variable);
        ours.extend(row.file_variable);
    }
    let manifests = [files("deploy"), files(".github/workflows"), files("ci")].concat();
    let mut used = std::collections::BTreeSet::new();
    for (file, text) in &manifests {
        for word in text.split(|c: char| !(c.is_ascii_uppercase() || c == '_')) {
            if word.starts_with("AIPLAT_MIGRATE_") {
                assert!(ours.iter().any(|name| name == word), "{file}: {word}");
                used.insert(word);
            }
        }
    }
    // The chart and the base each give all five secrets as files.
    for (folder, job) in [("kubernetes/base", "job.yaml"), ("helm/aiplat-migrate", "values.yaml")] {
        let (_, text) = manifests
            .iter()
            .find(|(file, _)| *file == format!("deploy/{folder}/{job}"))
            .expect("a manifest");
        for key in [
            "postgres-password",
            "mongodb-password",
            "weaviate-apikey",
            "kafka-password",
            "redis-password",
        ] {
            assert!(text.contains(key), "{folder}: {key}");
        }
        assert_eq!(text.matches("_FILE").count(), 5, "{folder}");
    }
    assert!(used.len() > 20, "{used:?}");
}

#[test]
fn the_commands_of_the_ci_recipes_do_what_they_promise() {
    for recipe in [".github/workflows/migrations.yml", "ci/gitlab-ci.yml"] {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(recipe);
        let text = std::fs::read_to_string(path).expect("a recipe");
        let commands: Vec<&str> = text
            .lines()
            .map(|line| line.trim_start().trim_start_matches("- ").trim_start_matches("run: "))
            .filter(|line| line.starts_with("aiplat-migrate "))
            .collect();
        assert_eq!(commands.len(), 7, "{recipe}: {commands:?}");
        let env = TestEnv::new().with(&["mongo"]);
        env.file("migrations/postgres/V1__a.sql", "create table a (id int);");
        env.file("migrations/postgres/U1__a.sql", "drop table a;");
        env.file("migrations/mongo/V1__b.json5", "{ steps: [{ create: 'b' }] }");
        env.run(&["hash"]).expect(0);
        for command in commands {
            let words: Vec<&str> = command.split(' ').skip(1).collect();
            env.run(&words).expect(0);
        }
        env.sql("ALTER TABLE a ALTER COLUMN id TYPE bigint");
        env.run(&["validate", "--wait", "60s", "--log-format", "json"]).expect(3);
        env.file("migrations/postgres/V1__a.sql", "create table a (id bigint);");
        env.run(&["validate", "--offline"]).expect(3);
    }
}
