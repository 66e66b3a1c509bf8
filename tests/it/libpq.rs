//! What libpq reads besides a URL, read as libpq reads it: what psql gets to, this tool gets to, and what
//! psql refuses is refused.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;
use std::sync::LazyLock;

use crate::support::TestEnv;

/// psql, of the package that the servers come from.
static PSQL: LazyLock<PathBuf> = LazyLock::new(|| {
    let ask = "from stack.packages import Packages\nfrom stack.layout import PLAIN\n\
               from stack.postgres import prepare\n\
               print(prepare(Packages('test', print, PLAIN).cache).client / 'psql')";
    let mut python = Command::new("python3");
    python.args(["-c", ask]).env("PYTHONPATH", concat!(env!("CARGO_MANIFEST_DIR"), "/dev"));
    let output = python.output().expect("python3");
    let path = String::from_utf8_lossy(&output.stdout).trim().to_string();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    PathBuf::from(path)
});

/// The test server, in parts.
struct Server {
    host: String,
    port: String,
    user: String,
    password: String,
}

impl Server {
    fn of(env: &TestEnv) -> Server {
        let url = env.get("AIPLAT_MIGRATE_POSTGRES_URL");
        let rest = url.trim_start_matches("postgres://");
        let (login, rest) = rest.split_once('@').expect("a login");
        let (user, password) = login.split_once(':').expect("a password");
        let (address, _) = rest.split_once('/').expect("a database");
        let (host, port) = address.split_once(':').expect("a port");
        let [host, port, user, password] = [host, port, user, password].map(str::to_string);
        Server { host, port, user, password }
    }
}

/// A project whose surroundings alone say where PostgreSQL is.
struct Surrounded {
    env: TestEnv,
    server: Server,
}

/// Where one gets to, or how it fails.
#[derive(Debug, PartialEq, Eq)]
enum Reached {
    /// Database, user, and a setting that PGOPTIONS sets.
    There(String),
    Refused,
}

impl Surrounded {
    fn new() -> Surrounded {
        let env = TestEnv::new();
        // It tells which session made it.
        env.file(
            "migrations/postgres/V1__who.sql",
            "CREATE TABLE IF NOT EXISTS who AS SELECT concat_ws('|', current_database(), session_user, \
             current_setting('application.test', true)) AS it;",
        );
        let server = Server::of(&env);
        Surrounded { env, server }
    }

    /// `text` with HOST, PORT, USER, PASS and DB replaced.
    fn filled(&self, text: &str) -> String {
        let Server { host, port, user, password } = &self.server;
        let home = self.env.path().display().to_string();
        let pairs = [
            ("%HOST", host.as_str()),
            ("%PORT", port),
            ("%USER", user),
            ("%PASS", password),
            ("%DB", &self.env.name),
            ("%HOME", &home),
        ];
        pairs.iter().fold(text.to_string(), |text, (name, value)| text.replace(name, value))
    }

    fn surround(&self, command: &mut Command, variables: &[(&str, &str)]) {
        command.env_clear().env("HOME", self.env.path());
        for (name, value) in variables {
            command.env(name, self.filled(value));
        }
    }

    /// Where psql gets to.
    fn psql(&self, url: Option<&str>, variables: &[(&str, &str)]) -> Reached {
        let mut psql = Command::new(&*PSQL);
        psql.args(["--no-psqlrc", "--no-password", "--tuples-only", "--no-align", "--command"]);
        psql.arg(
            "SELECT concat_ws('|', current_database(), session_user, \
             current_setting('application.test', true))",
        );
        psql.args(url.map(|url| self.filled(url)));
        self.surround(&mut psql, variables);
        let output = psql.output().expect("psql");
        match output.status.success() {
            true => Reached::There(String::from_utf8_lossy(&output.stdout).trim().to_string()),
            false => Reached::Refused,
        }
    }

    /// Where this tool gets to, and what it says.
    fn ours(&self, url: Option<&str>, variables: &[(&str, &str)]) -> (Reached, String) {
        self.env.sql("DROP TABLE IF EXISTS who; DROP SCHEMA IF EXISTS aiplat_migrate CASCADE");
        let mut command = self.env.command(&["up", "--wait", "0s"]);
        self.surround(&mut command, variables);
        if let Some(url) = url {
            command.env("AIPLAT_MIGRATE_POSTGRES_URL", self.filled(url));
        }
        let output = command.output().expect("binary");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!said.contains(&self.server.password), "{said}");
        match output.status.code() {
            Some(0) => (Reached::There(self.env.sql("SELECT it FROM who").join("")), said),
            Some(2 | 6) => (Reached::Refused, said),
            code => panic!("{code:?}: {said}"),
        }
    }

    /// Holds the tool against psql; what the tool says.
    #[track_caller]
    fn same(&self, url: Option<&str>, variables: &[(&str, &str)], reaches: bool) -> String {
        let psql = self.psql(url, variables);
        let (ours, said) = self.ours(url, variables);
        assert_eq!(ours, psql, "{url:?} {variables:?}: {said}");
        assert_eq!(psql != Reached::Refused, reaches, "{url:?} {variables:?}: {said}");
        said
    }

    fn write(&self, path: &str, text: &str, mode: u32) {
        let path = self.env.file(path, &self.filled(text));
        std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).expect("mode");
    }
}

const LOGIN: [(&str, &str); 4] =
    [("PGHOST", "%HOST"), ("PGPORT", "%PORT"), ("PGUSER", "%USER"), ("PGDATABASE", "%DB")];

fn with<'v>(more: &[(&'v str, &'v str)]) -> Vec<(&'v str, &'v str)> {
    [&LOGIN[..], more].concat()
}

#[test]
fn variables_give_what_is_not_said_elsewhere() {
    let it = Surrounded::new();
    let password = ("PGPASSWORD", "%PASS");
    it.same(None, &with(&[password]), true);
    it.same(None, &with(&[]), false);
    it.same(None, &with(&[("PGPASSWORD", "wrong")]), false);
    it.same(None, &with(&[password, ("PGOPTIONS", "-c application.test=x\\ y")]), true);
    it.same(None, &with(&[password, ("PGSSLMODE", "disable")]), true);
    it.same(None, &with(&[password, ("PGCONNECT_TIMEOUT", "3"), ("PGAPPNAME", "x")]), true);
    it.same(
        None,
        &with(&[password, ("PGHOSTADDR", "127.0.0.1"), ("PGHOST", "nowhere.invalid")]),
        true,
    );
    it.same(None, &with(&[password, ("PGHOST", "nowhere.invalid,%HOST")]), true);
    it.same(None, &with(&[password, ("PGHOST", "%HOST,%HOST"), ("PGPORT", "1,%PORT")]), true);
    it.same(None, &with(&[password, ("PGHOST", "%HOST,%HOST"), ("PGPORT", "1,2,3")]), false);
    it.same(None, &with(&[password, ("PGPORT", "")]), false);
    for (attrs, reaches) in [
        ("any", true),
        ("read-write", true),
        ("primary", true),
        ("prefer-standby", true),
        ("standby", false),
        ("read-only", false),
    ] {
        it.same(None, &with(&[password, ("PGTARGETSESSIONATTRS", attrs)]), reaches);
        let url = format!("postgres://%USER:%PASS@%HOST:%PORT/%DB?target_session_attrs={attrs}");
        it.same(Some(&url), &[], reaches);
    }
    let anyhow = ("PGLOADBALANCEHOSTS", "random");
    it.same(None, &with(&[password, anyhow, ("PGHOST", "nowhere.invalid,%HOST")]), true);
    let primary =
        [anyhow, ("PGTARGETSESSIONATTRS", "primary"), ("PGHOST", "nowhere.invalid,%HOST")];
    it.same(None, &with(&[&[password][..], &primary].concat()), true);
    // What a URL says is stronger, part by part; what it leaves open is not.
    it.same(
        Some("postgres://%USER:%PASS@%HOST:%PORT/%DB"),
        &with(&[("PGPASSWORD", "wrong"), ("PGPORT", "1")]),
        true,
    );
    it.same(Some("postgres://%USER@%HOST/%DB"), &[("PGPORT", "%PORT"), password], true);
    it.same(Some("postgres:///%DB"), &with(&[password, ("PGDATABASE", "nowhere")]), true);
    it.same(Some("postgres://%HOST:%PORT?user=%USER&password=%PASS&dbname=%DB"), &[], true);
    it.same(Some("host=%HOST port=%PORT dbname='%DB' user = %USER password='%PASS'"), &[], true);
    it.same(
        Some("postgres://%USER:%PASS@%HOST:%PORT/%DB?options=-c%20application.test%3Dx"),
        &[("PGOPTIONS", "-c application.test=y")],
        true,
    );
    it.same(
        Some("postgres://%USER:%PASS@nowhere.invalid,%HOST:%PORT/%DB"),
        &[("PGPORT", "%PORT")],
        true,
    );
    it.same(Some("postgres://%USER:%PASS@x:%PORT/%DB?host=%HOST&gssencmode=disable"), &[], true);
}

#[test]
fn a_primary_that_takes_no_writes_is_a_primary() {
    let it = Surrounded::new();
    it.env.sql("ALTER DATABASE NAME SET default_transaction_read_only = on");
    for (attrs, reaches) in [("primary", true), ("read-only", true), ("read-write", false)] {
        let url = format!("postgres://%USER:%PASS@%HOST:%PORT/%DB?target_session_attrs={attrs}");
        assert_eq!(it.psql(Some(&url), &[]) != Reached::Refused, reaches, "{attrs}");
        let mut command = it.env.command(&["status"]);
        command.env("AIPLAT_MIGRATE_POSTGRES_URL", it.filled(&url));
        let output = command.output().expect("binary");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(if reaches { 0 } else { 6 }), "{attrs}: {said}");
    }
}

#[test]
fn the_tools_own_settings_are_stronger_than_libpqs() {
    let it = Surrounded::new();
    let wrong = [
        ("PGHOST", "nowhere.invalid"),
        ("PGPORT", "1"),
        ("PGUSER", "nobody"),
        ("PGDATABASE", "no"),
        ("PGPASSWORD", "no"),
    ];
    let parts = [
        ("AIPLAT_MIGRATE_POSTGRES_HOST", "%HOST"),
        ("AIPLAT_MIGRATE_POSTGRES_PORT", "%PORT"),
        ("AIPLAT_MIGRATE_POSTGRES_USER", "%USER"),
        ("AIPLAT_MIGRATE_POSTGRES_DATABASE", "%DB"),
        ("AIPLAT_MIGRATE_POSTGRES_PASSWORD", "%PASS"),
    ];
    let (reached, said) = it.ours(None, &[&wrong[..], &parts].concat());
    assert_ne!(reached, Reached::Refused, "{said}");
    let database_url = ("DATABASE_URL", "postgres://%USER:%PASS@%HOST:%PORT/%DB");
    let (reached, said) = it.ours(None, &[&wrong[..], &[database_url]].concat());
    assert_ne!(reached, Reached::Refused, "{said}");
    // A part alone is joined by what surrounds it.
    let (reached, said) = it.ours(
        None,
        &[&with(&[("PGPASSWORD", "%PASS"), ("PGHOST", "no.invalid")])[..], &parts[..1]].concat(),
    );
    assert_ne!(reached, Reached::Refused, "{said}");
    // The ledger of a project without the store has the same surroundings.
    let ledger = [
        ("AIPLAT_MIGRATE_LEDGER_URL", "postgres://%USER@%HOST:%PORT/%DB"),
        ("PGPASSWORD", "%PASS"),
    ];
    let mut command = it.env.command(&["status"]);
    it.surround(&mut command, &ledger);
    let output = command.output().expect("binary");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    // Nothing that says where PostgreSQL is: no store is configured.
    let mut command = it.env.command(&["status"]);
    it.surround(&mut command, &[("PGUSER", "%USER"), ("PGPASSWORD", "%PASS")]);
    let output = command.output().expect("binary");
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("no store is configured"));
}

#[test]
fn the_password_file() {
    let it = Surrounded::new();
    for (line, reaches) in [
        ("%HOST:%PORT:%DB:%USER:%PASS", true),
        ("*:*:*:*:%PASS", true),
        ("# a comment\n\nother:1:x:y:no\n%HOST:*:%DB:*:%PASS", true),
        ("%HOST:%PORT:%DB:%USER:%PASS\n*:*:*:*:wrong", true),
        ("*:*:*:*:wrong\n%HOST:%PORT:%DB:%USER:%PASS", false),
        ("%HOST:%PORT:%DB:%USER:%PASS\r", true),
        ("%HOST:%PORT:%DB:%USER:%PASS:more", true),
        (r"\1\2\7.0.0.1:%PORT:%DB:%USER:%PASS", true),
        ("%HOST:5432:%DB:%USER:%PASS", false),
        ("%HOST:%PORT:*x:%USER:%PASS", false),
        ("localhost:%PORT:%DB:%USER:%PASS", false),
        ("%HOST:%PORT:%DB:%USER", false),
        ("%HOST:%PORT:%DB:%USER:", false),
        (" %HOST:%PORT:%DB:%USER:%PASS", false),
    ] {
        it.write(".pgpass", line, 0o600);
        it.same(None, &with(&[]), reaches);
        it.same(Some("postgres://%USER@%HOST:%PORT/%DB"), &[], reaches);
    }
    let right = "%HOST:%PORT:%DB:%USER:%PASS";
    for (mode, reaches) in [
        (0o400, true),
        (0o600, true),
        (0o700, true),
        (0o640, false),
        (0o604, false),
        (0o620, false),
    ] {
        it.write(".pgpass", right, mode);
        let said = it.same(None, &with(&[]), reaches);
        assert_eq!(said.contains("chmod 600"), !reaches, "{mode:o}: {said}");
        std::fs::remove_file(it.env.path().join(".pgpass")).expect("removed");
    }
    it.write("elsewhere", right, 0o600);
    it.same(None, &with(&[("PGPASSFILE", "%HOME/elsewhere")]), true);
    it.same(None, &with(&[("PGPASSFILE", "%HOME")]), false);
    it.same(None, &with(&[("PGPASSFILE", "%HOME/nowhere")]), false);
    it.same(
        Some("postgres://%USER@%HOST:%PORT/%DB?passfile=%HOME/elsewhere"),
        &[("PGPASSFILE", "/no")],
        true,
    );
    // A password that is given wins, an empty one does not count.
    it.same(None, &with(&[("PGPASSFILE", "%HOME/elsewhere"), ("PGPASSWORD", "wrong")]), false);
    it.same(None, &with(&[("PGPASSFILE", "%HOME/elsewhere"), ("PGPASSWORD", "")]), true);
    // Each of several hosts has a password of its own.
    it.write(
        "elsewhere",
        "localhost:%PORT:*:*:wrong\n%HOST:*:*:*:%PASS\nlocalhost:1:*:*:wrong",
        0o600,
    );
    let each =
        [("PGPASSFILE", "%HOME/elsewhere"), ("PGHOST", "localhost,%HOST"), ("PGPORT", "1,%PORT")];
    it.same(None, &with(&each), true);
}

/// Backslashes and colons in a role's name and its password.
#[test]
fn what_is_escaped_in_a_password_file() {
    let it = Surrounded::new();
    let role = format!("{}:\\x", it.env.name);
    let (quoted, secret) = (format!("\"{role}\""), "p:a\\ss:");
    it.env.sql(&format!(
        "CREATE ROLE {quoted} LOGIN PASSWORD '{secret}'; GRANT ALL ON DATABASE NAME TO {quoted}; \
         GRANT ALL ON SCHEMA public TO {quoted}"
    ));
    let line = format!("%HOST:%PORT:*:{}\\:\\\\x:p\\:a\\\\ss\\:", it.env.name);
    it.write(".pgpass", &line, 0o600);
    let encoded = format!("postgres://{}%3A%5Cx@%HOST:%PORT/%DB", it.env.name);
    let psql = it.psql(Some(&encoded), &[]);
    let (ours, said) = it.ours(Some(&encoded), &[]);
    assert_eq!(ours, psql, "{said}");
    assert_ne!(psql, Reached::Refused);
    it.env.sql(&format!("DROP OWNED BY {quoted} CASCADE; DROP ROLE {quoted}"));
}

#[test]
fn service_files() {
    let it = Surrounded::new();
    let whole = "[one]\nhost=%HOST\nport=%PORT\nuser=%USER\ndbname=%DB\npassword=%PASS\n";
    let service = ("PGSERVICE", "one");
    for (text, reaches) in [
        (whole, true),
        (
            "# a comment\n\n[other]\nhost=nowhere.invalid\n[one]\nhost=%HOST\nport=%PORT\nuser=%USER\ndbname=%DB\npassword=%PASS\n[more]\nhost=no",
            true,
        ),
        ("  [one]  \n  host=%HOST  \nport=%PORT\nuser=%USER\ndbname=%DB\npassword=%PASS", true),
        (
            "[one]\nhost=%HOST\nhost=nowhere.invalid\nport=%PORT\nuser=%USER\ndbname=%DB\npassword=%PASS",
            true,
        ),
        (
            "[one]\nhost=%HOST\nport=%PORT\nuser=%USER\ndbname=%DB\npassword=%PASS\noptions=-c application.test=s",
            true,
        ),
        ("[one]\nhost = %HOST\nport=%PORT\nuser=%USER\ndbname=%DB\npassword=%PASS", false),
        ("[one]\nhost=%HOST\nnonsense=1", false),
        ("[one]\nhost=%HOST\nnonsense", false),
        ("[one]\nhost=%HOST\nservice=other", false),
        ("[two]\nhost=%HOST", false),
        ("[one\nhost=%HOST", false),
    ] {
        it.write(".pg_service.conf", text, 0o644);
        it.same(None, &[service], reaches);
        it.same(Some("postgres://?service=one"), &[], reaches);
        it.same(Some("service=one"), &[], reaches);
    }
    // Weaker than what is said beside it, stronger than variables.
    it.write(".pg_service.conf", &whole.replace("%DB", "nowhere"), 0o644);
    it.same(None, &[service, ("PGDATABASE", "%DB")], false);
    it.same(Some("postgres:///%DB?service=one"), &[], true);
    it.write(".pg_service.conf", whole, 0o644);
    it.same(
        None,
        &[service, ("PGDATABASE", "nowhere"), ("PGPORT", "1"), ("PGUSER", "nobody")],
        true,
    );
    it.same(Some("postgres://?service=one"), &[("PGSERVICE", "other")], true);
    // Where the file is.
    std::fs::remove_file(it.env.path().join(".pg_service.conf")).expect("removed");
    it.same(None, &[service], false);
    it.write("services", whole, 0o644);
    it.same(None, &[service, ("PGSERVICEFILE", "%HOME/services")], true);
    it.write("system/pg_service.conf", whole, 0o644);
    it.same(None, &[service, ("PGSYSCONFDIR", "%HOME/system")], true);
    it.write("services", "[other]\nhost=no", 0o644);
    it.same(
        None,
        &[service, ("PGSERVICEFILE", "%HOME/services"), ("PGSYSCONFDIR", "%HOME/system")],
        true,
    );
    // The password of a service may be in the password file.
    it.write("services", &whole.replace("password=%PASS\n", ""), 0o644);
    it.write(".pgpass", "%HOST:%PORT:%DB:%USER:%PASS", 0o600);
    it.same(None, &[service, ("PGSERVICEFILE", "%HOME/services")], true);
    // What is wrong is told with its line and without what it says.
    it.write("services", "[one]\nhost=h\npassword=s3cret\nsslmode=s3cret", 0o644);
    let (_, said) = it.ours(None, &[service, ("PGSERVICEFILE", "%HOME/services")]);
    assert!(
        said.contains("PGSERVICE ") && said.contains("line 4") && said.contains("`sslmode`"),
        "{said}"
    );
    assert!(!said.contains("s3cret"), "{said}");
}

#[test]
fn a_missing_password_is_told_with_the_ways_to_give_it() {
    let it = Surrounded::new();
    let (_, said) = it.ours(Some("postgres://%USER@%HOST:%PORT/%DB"), &[]);
    for word in ["password missing", "AIPLAT_MIGRATE_POSTGRES_PASSWORD", "PGPASSWORD"] {
        assert!(said.contains(word), "{word}: {said}");
    }
}
