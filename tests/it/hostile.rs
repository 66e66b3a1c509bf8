//! What people, servers and bad luck hand to the tool: names, files and outputs, each with how the command
//! ends and what it says.

use std::fs::OpenOptions;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use aiplat_migrate::text::unseen::is_unseen;
use serde_json::json;

use crate::support::{Finished, TestEnv, block_on, finish, required};
use crate::witness;

const TABLE: &str = "migrations/postgres/V1__a.sql";

/// One thing that is handed to the tool.
struct Case {
    name: &'static str,
    /// What is there before the command.
    given: fn(TestEnv) -> TestEnv,
    arguments: &'static [&'static str],
    /// Where standard output goes.
    stdout: Option<&'static str>,
    code: i32,
    /// What standard error says.
    says: &'static [&'static str],
}

fn case(
    name: &'static str,
    given: fn(TestEnv) -> TestEnv,
    arguments: &'static [&'static str],
    code: i32,
    says: &'static [&'static str],
) -> Case {
    Case { name, given, arguments, stdout: None, code, says }
}

/// The same, with a standard output that cannot be written to.
fn full(
    name: &'static str,
    given: fn(TestEnv) -> TestEnv,
    arguments: &'static [&'static str],
    code: i32,
    says: &'static [&'static str],
) -> Case {
    Case { stdout: Some("/dev/full"), ..case(name, given, arguments, code, says) }
}

/// So long may a command take that waits for nobody.
const AT_ONCE: Duration = Duration::from_secs(20);

fn fifo(path: &Path) {
    std::fs::create_dir_all(path.parent().expect("folder")).expect("folder");
    let made = Command::new("mkfifo").arg(path).status().expect("mkfifo");
    assert!(made.success());
}

fn with_fifo(env: TestEnv, path: &str) -> TestEnv {
    env.file(TABLE, "create table a (n int);");
    fifo(&env.path().join(path));
    env
}

/// A project with one migration, applied.
fn applied(env: TestEnv) -> TestEnv {
    env.file(TABLE, "create table a (n int);");
    env.run(&["hash"]).expect(0);
    env.run(&["up"]).expect(0);
    env
}

fn drifted(env: TestEnv) -> TestEnv {
    let env = applied(env);
    env.sql("drop table a");
    env
}

fn failing(env: TestEnv) -> TestEnv {
    env.file(TABLE, "create tabel a (n int);");
    env
}

/// A project in which `variable` names the file `path`.
fn naming(env: TestEnv, variable: &str, path: &str) -> TestEnv {
    env.file(TABLE, "create table a (n int);");
    let path = env.path().join(path).display().to_string();
    env.set(variable, &path)
}

fn named(env: TestEnv, name: &[u8]) -> TestEnv {
    env.file(TABLE, "create table a (n int);");
    let folder = env.path().join("migrations/postgres");
    std::fs::write(folder.join(std::ffi::OsStr::from_bytes(name)), "select 1;").expect("written");
    env
}

/// Certificates are read before anybody is connected.
fn with_authority(env: TestEnv, store: &str, address: (&str, &str)) -> TestEnv {
    env.file(TABLE, "create table a (n int);");
    fifo(&env.path().join("ca"));
    let prefix = format!("AIPLAT_MIGRATE_{}", store.to_uppercase());
    let path = env.path().join("ca").display().to_string();
    let env = env.set(&format!("{prefix}_CA_FILE"), &path);
    match address {
        ("", _) => env,
        (key, value) => {
            std::fs::create_dir_all(env.path().join(format!("migrations/{store}")))
                .expect("folder");
            env.set(&format!("{prefix}_{key}"), value)
        }
    }
}

const NO_FILE: &str = "is a named pipe, not a regular file";

fn files() -> Vec<Case> {
    vec![
        case(
            "a pipe as a migration",
            |e| with_fifo(e, "migrations/postgres/V2__p.sql"),
            &["status"],
            2,
            &["V2__p.sql", NO_FILE],
        ),
        case(
            "the same, hashed",
            |e| with_fifo(e, "migrations/postgres/V2__p.sql"),
            &["hash"],
            2,
            &["V2__p.sql", NO_FILE],
        ),
        case(
            "the same, applied",
            |e| with_fifo(e, "migrations/postgres/V2__p.sql"),
            &["up"],
            2,
            &["V2__p.sql", NO_FILE],
        ),
        case(
            "a pipe as a U file",
            |e| with_fifo(e, "migrations/postgres/U1__a.sql"),
            &["up"],
            2,
            &["U1__a.sql", NO_FILE],
        ),
        case(
            "a pipe as a repeatable",
            |e| with_fifo(e, "migrations/postgres/R__v.sql"),
            &["plan"],
            2,
            &["R__v.sql", NO_FILE],
        ),
        case(
            "a pipe as a file of another store",
            |e| with_fifo(e, "migrations/kafka/V1__t.json5"),
            &["hash"],
            2,
            &["V1__t.json5", NO_FILE],
        ),
        case(
            "a pipe as the sum file",
            |e| with_fifo(e, "migrations/migrations.sum"),
            &["validate", "--offline"],
            2,
            &["migrations.sum", NO_FILE],
        ),
        case(
            "a pipe as the settings file",
            |e| with_fifo(e, "s.toml"),
            &["status", "--config", "s.toml"],
            2,
            &["s.toml", NO_FILE],
        ),
        case(
            "a pipe where the settings file is looked for",
            |e| with_fifo(e, "aiplat-migrate.toml"),
            &["status"],
            2,
            &["aiplat-migrate.toml", NO_FILE],
        ),
        case("a pipe as .env", |e| with_fifo(e, ".env"), &["status"], 2, &[".env", NO_FILE]),
        case(
            "a pipe as a password",
            |e| {
                let e = with_fifo(e, "p");
                naming(e, "AIPLAT_MIGRATE_POSTGRES_PASSWORD_FILE", "p")
            },
            &["status"],
            2,
            &["PASSWORD_FILE", NO_FILE],
        ),
        case(
            "a pipe as a placeholder",
            |e| {
                let e = with_fifo(e, "p");
                naming(e, "AIPLAT_MIGRATE_PLACEHOLDER_P_FILE", "p")
            },
            &["plan"],
            2,
            &["PLACEHOLDER_P_FILE", NO_FILE],
        ),
        case(
            "a pipe as an authority of Redis",
            |e| with_authority(e, "redis", ("URL", "rediss://127.0.0.1:1")),
            &["wait"],
            2,
            &["ca", NO_FILE],
        ),
        case(
            "a pipe as an authority of MongoDB",
            |e| with_authority(e, "mongo", ("URL", "mongodb://127.0.0.1:1/x?tls=true")),
            &["wait"],
            2,
            &["ca", NO_FILE],
        ),
        case(
            "a pipe as an authority of Weaviate",
            |e| with_authority(e, "weaviate", ("URL", "https://127.0.0.1:1")),
            &["wait"],
            2,
            &["ca", NO_FILE],
        ),
        case(
            "a pipe as an authority of Kafka",
            |e| {
                let e = with_authority(e, "kafka", ("BROKERS", "127.0.0.1:1"));
                e.set("AIPLAT_MIGRATE_KAFKA_SECURITY_PROTOCOL", "ssl")
            },
            &["wait"],
            2,
            &["ca", NO_FILE],
        ),
        case(
            "a device as a migration",
            |e| {
                e.file(TABLE, "create table a (n int);");
                symlink("/dev/zero", e.path().join("migrations/postgres/V2__z.sql")).expect("link");
                e
            },
            &["status"],
            2,
            &["V2__z.sql", "is a device, not a regular file"],
        ),
        case(
            "a device as a password",
            |e| naming(e, "AIPLAT_MIGRATE_POSTGRES_PASSWORD_FILE", "/dev/zero"),
            &["status"],
            2,
            &["/dev/zero", "is a device"],
        ),
        case(
            "a password without an end",
            |e| {
                e.file("p", &"x".repeat(2 << 20));
                naming(e, "AIPLAT_MIGRATE_POSTGRES_PASSWORD_FILE", "p")
            },
            &["status"],
            2,
            &["larger than 1 MiB"],
        ),
        case(
            "a directory as a migration",
            |e| {
                e.file("migrations/postgres/V2__d.sql/x", "");
                e
            },
            &["hash"],
            2,
            &["V2__d.sql", "is a directory, not a regular file"],
        ),
        case(
            "a socket as a migration",
            |e| {
                e.file(TABLE, "create table a (n int);");
                // A path of a socket is short.
                let path = std::env::temp_dir().join(format!("{}.s", e.name));
                drop(UnixListener::bind(&path).expect("socket"));
                std::fs::rename(path, e.path().join("migrations/postgres/V2__s.sql"))
                    .expect("moved");
                e
            },
            &["hash"],
            2,
            &["V2__s.sql"],
        ),
        case(
            "a link to nowhere",
            |e| {
                e.file(TABLE, "create table a (n int);");
                symlink("nowhere", e.path().join("migrations/postgres/V2__l.sql")).expect("link");
                e
            },
            &["status"],
            2,
            &["V2__l.sql"],
        ),
    ]
}

fn names() -> Vec<Case> {
    vec![
        case(
            "a name that is not UTF-8",
            |e| named(e, b"V2__\xff.sql"),
            &["status"],
            2,
            &["V2__\u{fffd}.sql", "not UTF-8"],
        ),
        case(
            "a name with a line break, hashed",
            |e| named(e, b"V2__a\n::b.sql"),
            &["hash"],
            2,
            &["V2__a\\n::b.sql", "rename it"],
        ),
        case(
            "a name with a line break, applied",
            |e| named(e, b"V2__a\nb.sql"),
            &["up"],
            2,
            &["V2__a\\nb.sql"],
        ),
        case(
            "a name with an escape sequence",
            |e| named(e, b"V2__a\x1b[2J.sql"),
            &["status"],
            2,
            &["V2__a\\u{1b}[2J.sql"],
        ),
        case(
            "a name with a line separator",
            |e| named(e, "V2__a\u{2028}b.sql".as_bytes()),
            &["hash"],
            2,
            &["V2__a\\u{2028}b.sql"],
        ),
        case(
            "a name with a carriage return",
            |e| named(e, b"V2__a\r.sql"),
            &["validate", "--offline"],
            2,
            &["V2__a\\r.sql"],
        ),
        case(
            "a name that turns its direction",
            |e| named(e, "V2__a\u{202e}b.sql".as_bytes()),
            &["up"],
            0,
            &["a\\u{202e}b"],
        ),
        case(
            "an argument with an escape sequence",
            |e| e,
            &["\u{1b}[2J\u{202e}"],
            2,
            &["\\u{202e}"],
        ),
    ]
}

fn outputs() -> Vec<Case> {
    const LOST: &[&str] = &["cannot be written to standard output", "No space left"];
    vec![
        full("text", applied, &["validate"], 1, LOST),
        full("json", applied, &["validate", "--output", "json"], 1, LOST),
        full("sarif", applied, &["validate", "--output", "sarif"], 1, LOST),
        full("junit", applied, &["validate", "--output", "junit"], 1, LOST),
        full("html", applied, &["validate", "--output", "html"], 1, LOST),
        full("github", applied, &["validate", "--output", "github"], 1, LOST),
        full("status", applied, &["status"], 1, LOST),
        full("status as json", applied, &["status", "--output", "json"], 1, LOST),
        full("plan", applied, &["plan"], 1, LOST),
        full("history", applied, &["history"], 1, LOST),
        full("hash", applied, &["hash"], 1, LOST),
        full("up", applied, &["up"], 1, LOST),
        full(
            "a log in json",
            applied,
            &["status", "--log-format", "json"],
            1,
            &["\"event\":\"error\"", "standard output"],
        ),
        full("help", |e| e, &["--help"], 1, LOST),
        full("help of a command", |e| e, &["up", "--help"], 1, LOST),
        full("version", |e| e, &["--version"], 1, LOST),
        full("drift in text", drifted, &["validate"], 3, LOST),
        full("drift in annotations", drifted, &["validate", "--output", "github"], 3, LOST),
        full(
            "a failure in json",
            failing,
            &["up", "--output", "json"],
            1,
            &["syntax error", "standard output"],
        ),
        case(
            "metrics",
            applied,
            &["status", "--metrics-file", "/dev/full"],
            0,
            &["cannot write the metrics file /dev/full: No space"],
        ),
        case(
            "metrics into nowhere",
            applied,
            &["status", "--metrics-file", "/nowhere/m"],
            0,
            &["cannot write the metrics file"],
        ),
        case(
            "a termination log",
            failing,
            &["up", "--termination-log", "/dev/full"],
            1,
            &["cannot write the termination log /dev/full: No space"],
        ),
        case(
            "a termination log that is a pipe",
            |e| with_fifo(failing(e), "t"),
            &["status", "--termination-log", "t", "--fail-on-pending"],
            4,
            &["cannot write the termination log t"],
        ),
        case(
            "metrics into a pipe",
            |e| with_fifo(applied(e), "m"),
            &["status", "--metrics-file", "m"],
            0,
            &["cannot write the metrics file m"],
        ),
        case(
            "a summary",
            |e| applied(e).set("GITHUB_STEP_SUMMARY", "/dev/full"),
            &["validate", "--output", "github"],
            0,
            &["cannot write the summary of the step"],
        ),
        case(
            "a summary that is a pipe",
            |e| with_fifo(applied(e), "s").set("GITHUB_STEP_SUMMARY", "s"),
            &["validate", "--output", "github"],
            0,
            &["cannot write the summary of the step"],
        ),
    ]
}

fn run(env: &TestEnv, case: &Case) -> Finished {
    let mut command = env.command(case.arguments);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    if let Some(path) = case.stdout {
        command.stdout(OpenOptions::new().write(true).open(path).expect(path));
    }
    let began = Instant::now();
    let mut child = command.spawn().expect("binary");
    while child.try_wait().expect("child").is_none() {
        if began.elapsed() > AT_ONCE {
            child.kill().expect("killed");
            panic!("{}: it waits", case.name);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    finish(child)
}

fn try_all(cases: &[Case]) {
    let next = std::sync::atomic::AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while let Some(case) =
                    cases.get(next.fetch_add(1, std::sync::atomic::Ordering::Relaxed))
                {
                    let env = (case.given)(TestEnv::new());
                    let ended = run(&env, case);
                    let shown = format!(
                        "{}: {:?}\n{}\n{}",
                        case.name, ended.code, ended.stdout, ended.stderr
                    );
                    assert_eq!(ended.code, case.code, "{shown}");
                    for part in case.says {
                        assert!(ended.stderr.contains(part), "no `{part}` in {shown}");
                    }
                    assert_harmless(case.name, &ended.stderr);
                    assert_harmless(case.name, &without_annotations(&ended.stdout));
                }
            });
        }
    });
    let full = std::fs::metadata("/dev/full").expect("/dev/full").file_type();
    assert!(full.is_char_device(), "a device was replaced by a file");
}

/// Nothing in `text` moves a cursor, turns the direction of writing or is a command to a CI runner.
#[track_caller]
fn assert_harmless(what: &str, text: &str) {
    let unseen = text.chars().find(|c| is_unseen(*c) && *c != '\n' && *c != '\t');
    assert_eq!(unseen, None, "{what}: {text:?}");
    for line in text.lines() {
        assert!(!line.trim_start().starts_with("::"), "{what}: {line:?}");
        assert!(!line.contains("##["), "{what}: {line:?}");
        assert!(!line.trim_start().starts_with("second line"), "{what}: {line:?}");
    }
}

/// What is left of a text without the lines that are meant as commands to GitHub.
fn without_annotations(text: &str) -> String {
    let is_ours = |line: &&str| line.starts_with("::error ") || line.starts_with("::warning ");
    text.lines().filter(|line| !is_ours(line)).collect::<Vec<_>>().join("\n")
}

#[test]
fn files_that_are_none_are_refused_at_once() {
    try_all(&files());
}

#[test]
fn names_that_cannot_be_written_are_refused() {
    try_all(&names());
}

#[test]
fn output_that_is_lost_is_told() {
    try_all(&outputs());
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let env = applied(TestEnv::new());
    for arguments in [&["status"][..], &["validate", "--output", "html"], &["--help"]] {
        let mut command = env.command(arguments);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("binary");
        drop(child.stdout.take());
        assert_eq!(finish(child).expect(0).stderr, "");
    }
}

// What a server, a file or a name may say

/// A workflow command, an escape sequence, a bell, a mark that turns the direction of writing, and line
/// breaks of every kind.
const EVIL: &str = "x\n::stop-commands::t \u{1b}[2J\u{7}\u{9b}1m\u{202e}\r\n  ##[error]y\u{85}second line\u{2028}second line\u{2066}";

/// `text` as a literal of PostgreSQL.
fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// Runs each of `commands`, in all forms that a terminal or a CI log may have.
fn says_no_harm(env: &TestEnv, commands: &[&[&str]]) {
    for arguments in commands {
        let log = env.path().join("reason");
        let more = ["--termination-log", "reason"];
        let mut all = arguments.to_vec();
        all.extend(more);
        for form in [&[][..], &["--output", "json"], &["--log-format", "json"], &["-v"]] {
            let ended = env.run(&[&all[..], form].concat());
            let what = format!("{arguments:?} {form:?}");
            assert_harmless(&what, &ended.stderr);
            assert_harmless(&what, &ended.stdout);
            if log.exists() {
                assert_harmless(&what, &std::fs::read_to_string(&log).expect("reason"));
            }
        }
    }
    for form in ["github", "junit", "sarif", "html"] {
        let ended = env.run(&["validate", "--output", form]);
        assert_harmless(form, &without_annotations(&ended.stdout));
        assert_harmless(form, &ended.stderr);
    }
    let summary = std::fs::read_to_string(env.path().join("summary")).expect("summary");
    assert_harmless("summary", &summary);
}

const READERS: &[&[&str]] = &[
    &["status"],
    &["plan"],
    &["validate"],
    &["history"],
    &["repair", "--dry-run"],
    &["repair", "--reapply", "--dry-run"],
    &["down", "--dry-run"],
];

fn in_github(env: TestEnv) -> TestEnv {
    let summary = env.path().join("summary").display().to_string();
    env.set("GITHUB_ACTIONS", "true").set("GITHUB_STEP_SUMMARY", &summary)
}

#[test]
fn postgresql_says_no_harm() {
    let env = in_github(TestEnv::new());
    let evil = literal(EVIL);
    // A file has the line breaks of Unix.
    let object = EVIL.replace("\r\n", "\n").chars().take(50).collect::<String>();
    env.file(
        "migrations/postgres/V1__bidi\u{202e}.sql",
        &format!(
            "create table a (n int);\ncreate table \"{object}\" (n int default 1);\n\
         comment on table a is {evil};\n\
         do $x$ begin raise notice using message = {evil}, hint = {evil}; \
         raise warning using message = {evil}; end $x$;"
        ),
    );
    env.file("migrations/postgres/V2__fails.sql", &format!(
        "do $x$ begin raise exception using message = {evil}, detail = {evil}, hint = {evil}; end $x$;"
    ));
    env.file(
        "migrations/postgres/V3__place.sql",
        "select '\u{1b}[2J\u{202e}\r::x::' from nowhere;",
    );
    let said = env.run(&["up"]).expect(1).says(&["NOTICE: x", "\\u{1b}[2J", "\\u{202e}"]);
    assert_harmless("up", &said.stderr);
    env.sql(&format!("UPDATE aiplat_migrate.ledger SET description = {evil}"));
    env.sql(&format!("UPDATE aiplat_migrate.event SET who = {evil}, host = {evil}"));
    let object = format!("\"{}\"", object.replace('"', "\"\""));
    env.sql(&format!("drop table {object}; alter table a add column {object} int"));
    says_no_harm(&env, READERS);
    says_no_harm(&env, &[&["up"]]);
    env.remove("migrations/postgres/V2__fails.sql");
    let said = env.run(&["up"]).expect(1);
    assert!(said.stderr.contains("␛[2J"), "{}", said.stderr);
    assert_harmless("up", &said.stderr);
    // The caret stays where the mistake is.
    let lines: Vec<&str> = said.stderr.lines().collect();
    let at = lines.iter().position(|line| line.starts_with("1 | ")).expect("the line");
    let column = |line: &str, what: &str| line[..line.find(what).expect(what)].chars().count();
    assert_eq!(column(lines[at], "nowhere"), column(lines[at + 1], "^"), "{}", said.stderr);
}

#[test]
fn mongodb_says_no_harm() {
    let env = in_github(TestEnv::new().with(&["mongo"]));
    let evil = json!(EVIL).to_string();
    env.file("migrations/mongo/V1__a.json5", &format!(
        "{{ steps: [{{ create: {evil}, validator: {{ a: {{ $ne: {evil} }} }} }}, {{ create: 'b', validator: {{ a: 1 }} }}] }}"
    ));
    env.run(&["up"]).expect(0);
    env.file(
        "migrations/mongo/V2__b.json5",
        &format!("{{ steps: [{{ collMod: {evil}, validator: {{ $nix: {evil} }} }}] }}"),
    );
    says_no_harm(&env, &[&["up"]]);
    block_on(async {
        let client = mongodb::Client::with_uri_str(env.get("AIPLAT_MIGRATE_MONGO_URL"))
            .await
            .expect("client");
        let database = client.database(&env.name);
        let changed = mongodb::bson::doc! { "collMod": "b", "validator": { "a": EVIL } };
        database.run_command(changed).await.expect("collMod");
        database.create_collection(format!("{EVIL}2")).await.expect("create");
        database.collection::<mongodb::bson::Document>(EVIL).drop().await.expect("drop");
    });
    says_no_harm(&env, READERS);
}

#[test]
fn redis_says_no_harm() {
    let env = in_github(TestEnv::new().with(&["redis"]));
    let (evil, purpose) =
        (json!(format!("{}:{EVIL}", env.name)).to_string(), json!(EVIL).to_string());
    env.file("migrations/redis/V1__a.json5", &format!(
        "{{ steps: [{{ keyspace: {{ pattern: {}, type: 'hash', ttl: '1h', purpose: {purpose} }} }}, \
           {{ command: ['SET', {evil}, {purpose}] }}] }}",
        json!(format!("{}:*", env.name))
    ));
    env.run(&["up"]).expect(0);
    env.file(
        "migrations/redis/V2__b.json5",
        &format!(
            "{{ steps: [{{ command: ['LPUSH', {evil}, {purpose}] }}, {{ command: [{purpose}] }}] }}"
        ),
    );
    says_no_harm(&env, &[&["up"]]);
    says_no_harm(&env, READERS);
    let said = env.run(&["validate", "--full", "--strict-data"]);
    assert_harmless("validate", &said.stdout);
    let url = required("TEST_REDIS_URL");
    block_on(async {
        witness::redis::<i64>(&url, &["DEL", &format!("{}:{EVIL}", env.name)]).await
    });
}

#[test]
fn weaviate_says_no_harm() {
    let env = in_github(TestEnv::new().with(&["weaviate"]));
    let evil = json!(EVIL).to_string();
    env.file("migrations/weaviate/V1__a.json5", &format!(
        "{{ steps: [{{ createClass: {{ class: 'Name', description: {evil}, vectorizer: 'none' }} }}] }}"
    ));
    env.run(&["up"]).expect(0);
    env.file("migrations/weaviate/V2__b.json5", &format!(
        "{{ steps: [{{ addProperty: {{ class: 'Name', property: {{ name: 'a', dataType: [{evil}] }} }} }}] }}"
    ));
    says_no_harm(&env, &[&["up"]]);
    let (url, key) = (required("TEST_WEAVIATE_URL"), required("TEST_WEAVIATE_API_KEY"));
    block_on(async {
        let path = format!("/schema/{}", env.class());
        let (_, mut class) =
            witness::weaviate(&url, &key, "GET", &path, serde_json::Value::Null).await;
        class["description"] = json!(format!("{EVIL} by hand"));
        let (status, answer) = witness::weaviate(&url, &key, "PUT", &path, class).await;
        assert_eq!(status, 200, "{answer}");
    });
    says_no_harm(&env, READERS);
    block_on(async {
        witness::weaviate(
            &url,
            &key,
            "DELETE",
            &format!("/schema/{}", env.class()),
            serde_json::Value::Null,
        )
        .await
    });
}

#[test]
fn kafka_says_no_harm() {
    let env = in_github(TestEnv::new().with(&["kafka"]));
    let evil = json!(EVIL).to_string();
    env.file(
        "migrations/kafka/V1__a.json5",
        "{ steps: [{ createTopic: { name: 'NAME', partitions: 1, replicationFactor: 1 } }] }",
    );
    env.run(&["up"]).expect(0);
    env.file("migrations/kafka/V2__b.json5", &format!(
        "{{ steps: [{{ createTopic: {{ name: {evil}, partitions: 1, replicationFactor: 1 }} }}] }}"
    ));
    says_no_harm(&env, &[&["up"]]);
    env.file("migrations/kafka/V2__b.json5", &format!(
        "{{ steps: [{{ alterTopicConfig: {{ name: 'NAME', set: {{ 'retention.ms': {evil} }} }} }}] }}"
    ));
    says_no_harm(&env, &[&["up"]]);
    says_no_harm(&env, READERS);
    let topic = env.name.clone();
    block_on(async { witness::delete_topics(&required("TEST_KAFKA_BROKERS"), &[&topic]).await });
}

// Much

#[test]
fn a_server_that_says_too_much_is_cut_short() {
    let env = TestEnv::new();
    env.file(TABLE, "do $$ begin raise exception '%', repeat('long ', 2000000); end $$;");
    let said = env.run(&["up"]).expect(1).says(&["long long", "bytes more were left out"]);
    assert!(said.stderr.len() < 200_000, "{}", said.stderr.len());
    let said = env.run(&["up", "--output", "json"]).expect(1);
    assert!(said.stdout.len() < 200_000, "{}", said.stdout.len());
    let largest = env.sql("select max(length(details::text)) < 100000 from aiplat_migrate.event");
    assert_eq!(largest, ["t"]);
    let history = env.run(&["history"]).expect(0).stdout;
    assert!(history.len() < 300_000, "{}", history.len());
}

#[test]
fn notices_without_end_take_no_memory() {
    let env = TestEnv::new();
    env.file(
        TABLE,
        "do $$ begin for n in 1..150 loop raise notice '%', repeat('n', 1000000); end loop; \
                     raise warning 'look here'; end $$;",
    );
    let child = env.spawn(&["up"]);
    let status = format!("/proc/{}/status", child.id());
    let watched = std::thread::spawn(move || {
        let mut most = 0;
        while let Ok(text) = std::fs::read_to_string(&status) {
            let high = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
            let Some(high) = high.and_then(|rest| rest.trim().split(' ').next()?.parse().ok())
            else {
                break;
            };
            most = high;
            std::thread::sleep(Duration::from_millis(5));
        }
        most
    });
    let said = finish(child).expect(0).says(&[
        "NOTICE: nnn",
        "bytes more were left out",
        "more notices were left out",
        "look here",
    ]);
    assert!(said.stderr.len() < 600_000, "{}", said.stderr.len());
    let kilobytes: u64 = watched.join().expect("watched");
    assert!(kilobytes > 0 && kilobytes < 150_000, "{kilobytes} kB");
}

// Bad luck

#[test]
fn two_that_write_at_once_never_take_one_number() {
    let env = TestEnv::new();
    env.file("migrations/postgres/V001__first.sql", "create table a (n int);");
    let words: Vec<String> =
        (0..12).map(|n| format!("change {}", ["a", "b", "c"][n % 3])).collect();
    let children: Vec<_> =
        words.iter().map(|words| env.spawn(&["new", "postgres", words])).collect();
    for child in children {
        finish(child).expect(0);
    }
    let mut versions: Vec<String> = std::fs::read_dir(env.path().join("migrations/postgres"))
        .expect("folder")
        .map(|entry| entry.expect("entry").file_name().into_string().expect("name"))
        .filter_map(|name| Some(name.strip_prefix('V')?.split("__").next()?.to_string()))
        .collect();
    versions.sort();
    let expected: Vec<String> = (1..=13).map(|n| format!("{n:03}")).collect();
    assert_eq!(versions, expected);
    env.run(&["validate", "--offline"]).expect(0);
}

/// A library that sets the clock of a process back to before 1970.
fn old_clock(env: &TestEnv) -> String {
    let source = env.file(
        "clock.c",
        "#include <time.h>\nint clock_gettime(clockid_t c, struct timespec *t) \
        { t->tv_sec = c == CLOCK_REALTIME ? -100000 : 100; t->tv_nsec = 5; return 0; }\n",
    );
    let library = env.path().join("clock.so");
    let built =
        Command::new("cc").args(["-shared", "-fPIC", "-o"]).arg(&library).arg(source).status();
    assert!(built.expect("cc").success());
    library.display().to_string()
}

#[test]
fn a_clock_before_1970_is_told() {
    let env = applied(TestEnv::new());
    let library = old_clock(&env);
    let env = env.set("LD_PRELOAD", &library);
    let commands: &[&[&str]] = &[
        &["up"],
        &["down", "--yes"],
        &["redo", "--yes"],
        &["status"],
        &["plan"],
        &["validate"],
        &["validate", "--offline"],
        &["repair"],
        &["tag", "x"],
        &["history"],
        &["history", "--since", "24h"],
        &["new", "postgres", "x"],
        &["new", "--timestamp", "postgres", "x"],
        &["hash"],
        &["wait"],
        &["validate", "--output", "html"],
        &["status", "--metrics-file", "m"],
    ];
    for command in commands {
        let ended = env.run(command);
        let shown = format!("{command:?}: {ended:?}");
        assert_eq!(ended.code, 2, "{shown}");
        let said = ended.stdout + &ended.stderr;
        assert!(said.contains("1969-12-30") && said.contains("clock"), "{shown}");
        assert!(!said.contains("panicked"), "{shown}");
    }
    env.run(&["--version"]).expect(0);
}

#[test]
fn a_mistake_of_the_tool_itself_is_told_as_such() {
    let env = TestEnv::new();
    env.file(TABLE, "create table a (n int);");
    let env = env.set("AIPLAT_MIGRATE_FAIL_PANIC", "lock:before");
    let said = env.run(&["up", "--termination-log", "reason", "--metrics-file", "m"]).expect(70);
    let said = said.says(&[
        "aiplat-migrate panicked",
        "run `aiplat-migrate up` again",
        "report it",
        "src/",
    ]);
    assert!(!said.stderr.contains("RUST_BACKTRACE"), "{}", said.stderr);
    let reason = std::fs::read_to_string(env.path().join("reason")).expect("reason");
    assert!(reason.contains("aiplat-migrate panicked"), "{reason}");
    let metrics = std::fs::read_to_string(env.path().join("m")).expect("metrics");
    assert!(metrics.contains("run_exit_code{command=\"up\"} 70"), "{metrics}");
    let said = env.run(&["up", "--output", "json"]).expect(70).json();
    assert_eq!(said["exit_code"], 70);
    env.run(&["up", "--log-format", "json"])
        .expect(70)
        .says(&["\"event\":\"error\"", "\"exit\":70"]);
    let env = env.set("AIPLAT_MIGRATE_FAIL_PANIC", "none");
    env.run(&["up"]).expect(0);
    assert_eq!(env.ledger(), ["postgres 1 applied"]);
}

#[test]
fn colours_are_for_terminals_that_have_them() {
    let env = applied(TestEnv::new());
    let shown = |variables: &[(&str, &str)]| {
        let mut terminal = Command::new("script");
        let bin = env!("CARGO_BIN_EXE_aiplat-migrate");
        terminal.args(["-qec", &format!("{bin} status"), "/dev/null"]).current_dir(env.path());
        terminal.env_clear().env("PATH", std::env::var("PATH").expect("PATH"));
        terminal.envs(env.variables().iter().cloned()).envs(variables.iter().copied());
        terminal.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        finish(terminal.spawn().expect("script (util-linux)")).expect(0).stdout
    };
    assert!(shown(&[("TERM", "xterm")]).contains("\u{1b}[32m"));
    for plain in
        [&[("TERM", "dumb")][..], &[("TERM", "xterm"), ("NO_COLOR", "1")], &[("CLICOLOR", "0")]]
    {
        assert!(!shown(plain).contains('\u{1b}'), "{plain:?}");
    }
    let env = env.set("CLICOLOR_FORCE", "1");
    assert!(env.run(&["status"]).expect(0).stdout.contains("\u{1b}[32m"));
    let env = env.set("NO_COLOR", "1");
    assert!(!env.run(&["status"]).expect(0).stdout.contains('\u{1b}'));
}

// The ledger itself

/// What is in the ledger's schema, as the server tells it.
fn ledger_of(env: &TestEnv) -> Vec<String> {
    let rows = "SELECT id || ' ' || store || ' ' || version || ' ' || state FROM aiplat_migrate.ledger WHERE state = 'applied' ORDER BY id";
    let objects = "SELECT pg_describe_object(classid, objid, 0) || CASE classid WHEN 'pg_proc'::regclass THEN \
                   (SELECT md5(prosrc) FROM pg_proc p WHERE p.oid = objid) ELSE '' END FROM pg_depend \
                   WHERE refclassid = 'pg_namespace'::regclass AND refobjid = 'aiplat_migrate'::regnamespace ORDER BY 1";
    let parts = "SELECT attrelid::regclass || ' ' || attname FROM pg_attribute a JOIN pg_class c ON c.oid = attrelid \
                 WHERE relnamespace = 'aiplat_migrate'::regnamespace AND NOT attisdropped AND attnum > 0 ORDER BY 1";
    [rows, objects, parts].iter().flat_map(|sql| env.sql(sql)).collect()
}

const REACHES: &[&str] = &[
    "drop schema aiplat_migrate cascade;",
    "truncate aiplat_migrate.ledger;",
    "set search_path = aiplat_migrate; delete from event;",
    "do $$ begin execute 'delete from aiplat_' || 'migrate.ledger'; end $$;",
    "insert into aiplat_migrate.tag (name, rows, run_id) values ('x', '{}', 'x');",
    "with x as (update aiplat_migrate.shape set recorded = '{}' returning 1) select * from x;",
    "create table aiplat_migrate.mine (n int);",
    "create view aiplat_migrate.mine as select 1;",
    "create function aiplat_migrate.mine() returns int language sql as 'select 1';",
    "set search_path = aiplat_migrate; create or replace function settled(token text) returns void language sql as '';",
    "do $$ begin begin execute 'create type aiplat_migrate.mine as (n int)'; exception when others then null; end; end $$;",
    "create function g() returns void begin atomic delete from aiplat_migrate.shape; end;",
    "drop function aiplat_migrate.settled(text);",
    "alter table aiplat_migrate.event add column mine int;",
    "drop table aiplat_migrate.tag;",
    "create index mine on aiplat_migrate.event (run_id);",
    "create trigger mine before insert on aiplat_migrate.event for each row execute function suppress_redundant_updates_trigger();",
    "alter schema aiplat_migrate rename to other;",
    "drop view aiplat_migrate.flyway_schema_history;",
];

#[test]
fn a_file_does_not_reach_into_the_ledger() {
    std::thread::scope(|scope| {
        for header in ["", "-- transaction: off\n"] {
            scope.spawn(move || {
                let env = applied(TestEnv::new());
                let before = ledger_of(&env);
                for sql in REACHES {
                    env.file("migrations/postgres/V2__b.sql", &format!("{header}create table b (n int);\n{sql}\n"));
                    env.run(&["hash"]).expect(0);
                    let ended = env.run(&["up"]);
                    assert_eq!(ended.code, 1, "{header}{sql}: {ended:?}");
                    assert!(ended.stderr.contains("the ledger's own"), "{header}{sql}: {}", ended.stderr);
                    assert_eq!(ledger_of(&env), before, "{header}{sql}");
                    if !header.is_empty() {
                        env.sql("drop table if exists b; delete from aiplat_migrate.ledger where state <> 'applied'");
                    }
                    assert_eq!(env.sql("select to_regclass('b')"), ["NULL"], "{header}{sql}");
                }
            });
        }
    });
}

#[test]
fn what_no_transaction_holds_does_not_reach_into_the_ledger_either() {
    let env = applied(TestEnv::new());
    let before = ledger_of(&env);
    for sql in [
        "create index concurrently mine on aiplat_migrate.event (run_id);",
        "set search_path = aiplat_migrate; create index concurrently mine on event (run_id);",
        "drop index concurrently aiplat_migrate.ledger_living;",
    ] {
        env.file("migrations/postgres/V2__b.sql", &format!("-- transaction: off\n{sql}"));
        env.run(&["hash"]).expect(0);
        env.run(&["up"]).expect(1).says(&["the ledger's own"]);
        assert_eq!(ledger_of(&env), before, "{sql}");
        env.sql("delete from aiplat_migrate.ledger where state <> 'applied'");
    }
}

/// By a view, a trigger or a function that an earlier migration made, of this run or of another one.
#[test]
fn nor_does_what_an_earlier_file_made() {
    let makes = "create view seen as select * from aiplat_migrate.tag;\n\
        create table t (n int);\n\
        create function f() returns trigger language plpgsql as $$ begin delete from aiplat_migrate.event; return new; end $$;\n\
        create trigger t before insert on t for each row execute function f();";
    for (same_run, uses) in [
        (true, "insert into t values (1);"),
        (false, "insert into t values (1);"),
        (false, "delete from seen;"),
    ] {
        let env = applied(TestEnv::new());
        env.file("migrations/postgres/V2__b.sql", makes);
        env.run(&["hash"]).expect(0);
        if !same_run {
            env.run(&["up"]).expect(0);
        }
        env.file("migrations/postgres/V3__c.sql", uses);
        env.run(&["hash"]).expect(0);
        let before = env.sql("select count(*) from aiplat_migrate.shape");
        env.run(&["up"]).expect(1).says(&["the ledger's own"]);
        assert_eq!(env.ledger(), ["postgres 1 applied", "postgres 2 applied"], "{uses}");
        assert_eq!(env.sql("select count(*) from aiplat_migrate.shape"), before, "{uses}");
    }
}

#[test]
fn what_leaves_the_ledger_as_it_is_may_be_done() {
    let env = applied(TestEnv::new());
    env.file(
        "migrations/postgres/V2__reads.sql",
        "grant usage on schema aiplat_migrate to public; \
        grant select on all tables in schema aiplat_migrate to public; \
        create table seen as select * from aiplat_migrate.ledger; \
        create view history as select * from aiplat_migrate.flyway_schema_history; \
        select * from aiplat_migrate.event for update; analyze; \
        comment on table aiplat_migrate.ledger is 'ours';",
    );
    env.file(
        "migrations/postgres/V3__off.sql",
        "-- transaction: off\nvacuum aiplat_migrate.ledger; \
        do $$ declare n int; begin select count(*) into n from aiplat_migrate.ledger; end $$;",
    );
    env.run(&["hash"]).expect(0);
    env.run(&["up"]).expect(0);
    assert_eq!(env.sql("select count(*) from seen"), ["1"]);
}

#[test]
fn a_row_that_a_trigger_swallows_is_missed() {
    let swallow =
        "create function swallow() returns trigger language plpgsql as 'begin return null; end';";
    for (table, store) in [
        ("ledger", "postgres"),
        ("event", "postgres"),
        ("ledger", "mongo"),
        ("event", "mongo"),
        ("shape", "postgres"),
    ] {
        let env = TestEnv::new().with(&["mongo"]);
        env.file("migrations/mongo/.keep", "");
        let env = applied(env);
        match store {
            "postgres" => env.file("migrations/postgres/V2__b.sql", "create table b (n int);"),
            _ => env.file("migrations/mongo/V1__b.json5", "{ steps: [{ create: 'b' }] }"),
        };
        env.run(&["hash"]).expect(0);
        env.sql(&format!("{swallow} create trigger t before insert on aiplat_migrate.{table} for each row execute function swallow()"));
        let ended = env.run(&["up"]);
        assert_eq!(ended.code, 1, "{table} {store}: {ended:?}");
        assert!(ended.stderr.contains("swallowed"), "{table} {store}: {}", ended.stderr);
        if store == "postgres" && table != "shape" {
            assert_eq!(env.sql("select to_regclass('b')"), ["NULL"], "{table}");
        }
        env.sql(&format!("drop trigger t on aiplat_migrate.{table}"));
        env.run(&["up"]).expect(0);
    }
}
