//! The architecture's rules, held by reading the sources.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use aiplat_migrate::text::directive::{KEYS, Stands};

pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The Rust files below `folder`, as paths from the repository's root, with their texts.
pub fn sources(folder: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut open = vec![root().join(folder)];
    while let Some(path) = open.pop() {
        if path.is_dir() {
            open.extend(
                std::fs::read_dir(&path).expect("folder").map(|e| e.expect("entry").path()),
            );
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let shown = path.strip_prefix(root()).expect("inside").display().to_string();
            found.push((shown, std::fs::read_to_string(&path).expect("file")));
        }
    }
    assert!(!found.is_empty(), "no sources in {folder}");
    found.sort();
    found
}

/// The part of a source that is built: comments and unit tests left out.
pub fn code(text: &str) -> String {
    let lines = text.lines().take_while(|line| line.trim() != "#[cfg(test)]");
    lines.map(|line| line.split("//").next().unwrap_or("")).collect::<Vec<_>>().join("\n")
}

#[test]
fn drivers_are_known_where_they_belong() {
    // `redis` is also the name of our own module, so that its driver is known by its words.
    for (driver, home) in [
        ("mongodb::", vec!["src/stores/mongo/"]),
        ("rdkafka::", vec!["src/stores/kafka/"]),
        ("rdkafka_sys::", vec!["src/stores/kafka/"]),
        ("use redis::", vec!["src/stores/redis/"]),
        ("redis::aio", vec!["src/stores/redis/"]),
        ("redis::Client", vec!["src/stores/redis/"]),
        ("redis::pipe", vec!["src/stores/redis/"]),
        ("reqwest::", vec!["src/stores/weaviate/"]),
        ("tokio_postgres::", vec!["src/stores/postgres/", "src/postgres/", "src/ledger/"]),
        ("refinery::", vec!["src/ledger/"]),
        ("clap::", vec!["src/cli.rs", "src/commands/", "src/main.rs"]),
    ] {
        let all = sources("src");
        let users: Vec<&String> = all
            .iter()
            .filter(|(_, text)| code(text).contains(driver))
            .map(|(path, _)| path)
            .collect();
        let stray = users.iter().find(|path| !home.iter().any(|home| path.starts_with(home)));
        assert!(stray.is_none(), "{stray:?} uses {driver}; it belongs in {home:?}");
    }
}

#[test]
fn pure_parts_wait_for_nothing() {
    for folder in ["src/plan.rs", "src/migration", "src/text", "src/shape.rs", "src/error.rs"] {
        for (path, text) in sources(folder) {
            let code = code(&text);
            for word in ["async ", ".await", "tokio"] {
                assert!(!code.contains(word), "{path} has `{word}`");
            }
            if folder == "src/plan.rs" {
                assert!(!code.contains("std::fs") && !code.contains("std::env"), "{path}");
            }
        }
    }
}

#[test]
fn only_few_write_the_ledger() {
    // Whoever names LockedLedger can write; the ledger's statements are in src/ledger/sql alone.
    let may = ["src/ledger/", "src/execute/", "src/migrator.rs", "src/lib.rs"];
    let verbs = ["up", "down", "repair", "tag", "anew"];
    for (path, text) in sources("src") {
        let code = code(&text);
        if code.contains("LockedLedger") {
            let verb = verbs.iter().any(|verb| path == format!("src/commands/{verb}.rs"));
            assert!(verb || may.iter().any(|may| path.starts_with(may)), "{path} can write");
        }
        for sql in ["INSERT INTO", "UPDATE ", "DELETE FROM"] {
            let ours =
                code.contains(sql) && (path.starts_with("src/ledger/") || code.contains(".ledger"));
            assert!(!ours, "{path} writes ledger SQL");
        }
    }
}

/// What is printed goes through the one module that cleans it; others only ask what they print to.
#[test]
fn only_one_module_prints() {
    let words = ["println!", "print!(", "stdout()", "stderr()"];
    for (path, text) in sources("src") {
        let code =
            code(&text).replace("stdout().is_terminal()", "").replace("stderr().is_terminal()", "");
        let prints: Vec<&str> = words.iter().copied().filter(|word| code.contains(word)).collect();
        assert!(prints.is_empty() || path == "src/report/out.rs", "{path} has {prints:?}");
        let exits = code.contains("process::exit") && path != "src/main.rs";
        assert!(!exits, "{path} ends the process");
    }
}

/// What a person names may be a pipe or a device: one module opens it, and knows.
#[test]
fn only_one_module_opens_files() {
    let words = ["fs::read(", "fs::read_to_string(", "fs::write(", "File::open(", "File::create("];
    for (path, text) in sources("src") {
        let built = text.split("\nmod tests {").next().unwrap_or_default();
        let opens: Vec<&str> =
            words.iter().copied().filter(|word| code(built).contains(word)).collect();
        let may = path == "src/file.rs" || path.ends_with("/tests.rs");
        assert!(opens.is_empty() || may, "{path} has {opens:?}");
    }
}

/// chrono's own way to ask it panics before 1970.
#[test]
fn only_one_module_asks_the_clock() {
    for (path, text) in sources("src").into_iter().filter(|(path, _)| !path.ends_with("/tests.rs"))
    {
        let asks = ["Utc::now(", "SystemTime::now("].iter().any(|word| code(&text).contains(word));
        assert!(!asks || path == "src/clock.rs", "{path} asks the clock");
    }
}

#[test]
fn names_say_what_is_inside() {
    for (path, _) in [sources("src"), sources("tests")].concat() {
        for vague in ["util", "common", "helper", "misc"] {
            assert!(!path.contains(vague), "{path}");
        }
    }
}

#[test]
fn unsafe_code_stays_where_c_is_called() {
    let homes = ["src/stores/kafka/ffi.rs", "src/stores/kafka/mod.rs", "src/allocator.rs"];
    for (path, text) in sources("src") {
        let has = ["unsafe ", "allow(unsafe_code", "expect(unsafe_code"];
        let has = has.iter().any(|word| code(&text).contains(word));
        assert!(!has || homes.contains(&path.as_str()), "{path} has unsafe code");
    }
}

#[test]
fn every_setting_is_documented() {
    let rows = aiplat_migrate::config::documented();
    assert!(rows.len() > 50, "{}", rows.len());
    for row in &rows {
        assert!(row.meaning.ends_with('.'), "{}.{} has no sentence", row.section, row.key);
        assert!(row.variable.starts_with("AIPLAT_MIGRATE_"), "{}", row.variable);
    }
    // A variable that the product reads is a key or stands in the list of the others.
    let known: BTreeSet<String> = rows
        .iter()
        .flat_map(|row| [Some(row.variable.clone()), row.file_variable.clone()])
        .flatten()
        .chain(aiplat_migrate::config::OTHER_VARIABLES.iter().map(|(n, _)| n.to_string()))
        .collect();
    let built = sources("src").into_iter().filter(|(path, _)| !path.ends_with("/tests.rs"));
    for (path, text) in built {
        for rest in code(&text).split("\"AIPLAT_MIGRATE_").skip(1) {
            let name: String =
                rest.chars().take_while(|c| c.is_ascii_uppercase() || *c == '_').collect();
            let name = format!("AIPLAT_MIGRATE_{name}");
            let switch = aiplat_migrate::config::TEST_SWITCHES.iter().any(|switch| {
                name.strip_prefix("AIPLAT_MIGRATE_").is_some_and(|rest| rest.starts_with(switch))
            });
            let prefix = switch || known.iter().any(|known| known.starts_with(&name));
            assert!(prefix, "{path} reads {name}, which is documented nowhere");
        }
    }
    // Where the README has its table of settings, the table is whole.
    let readme = std::fs::read_to_string(root().join("README.md")).unwrap_or_default();
    if readme.contains("AIPLAT_MIGRATE_MONGO_URL") {
        for row in &rows {
            let docs = std::fs::read_to_string(root().join("docs/configuration.md"));
            let either = readme.contains(&row.variable)
                || docs.is_ok_and(|docs| docs.contains(&row.variable));
            assert!(either, "{} is not in README.md or docs/configuration.md", row.variable);
        }
    }
}

#[test]
fn every_directive_is_documented() {
    let docs = std::fs::read_to_string(root().join("docs/migrations.md")).expect("docs");
    for key in &KEYS {
        let place = match key.stands {
            Stands::Header => "header",
            Stands::SqlHeader => "header, SQL",
            Stands::Statement => "statement",
            Stands::Anywhere => "header or statement",
        };
        let row = format!("| `{}` | {place} | {} | ", key.name, key.meaning);
        let rest = docs.lines().find_map(|line| line.strip_prefix(&row));
        let rest = rest.unwrap_or_else(|| panic!("docs/migrations.md lacks {row}"));
        assert_eq!(rest == "reserved |", !key.is_built, "{row}");
    }
}

/// The files that git knows.
fn tracked() -> Vec<PathBuf> {
    let output = Command::new("git").args(["ls-files", "-z"]).current_dir(root()).output();
    let output = output.expect("git");
    assert!(output.status.success(), "git ls-files");
    let names = String::from_utf8(output.stdout).expect("names");
    let files: Vec<PathBuf> =
        names.split('\0').filter(|name| !name.is_empty()).map(|name| root().join(name)).collect();
    assert!(files.len() > 50, "{}", files.len());
    files.into_iter().filter(|path| path.is_file()).collect()
}

#[test]
fn no_file_holds_what_does_not_belong_in_it() {
    // Written in pieces, so that this file passes its own test.
    let forbidden = [
        ["/wo", "rk/"].concat(),
        ["../sha", "red"].concat(),
        ["/ro", "ot/"].concat(),
        ["changeThisTo", "SecurePassword"].concat(),
        ["BEGIN PRIVATE", " KEY"].concat(),
        ["BEGIN RSA PRIVATE", " KEY"].concat(),
        ["TODO", ":"].concat(),
        ["FIX", "ME"].concat(),
        ["<<<<", "<<<"].concat(),
        ["dbg", "!("].concat(),
    ];
    for path in tracked() {
        let Ok(text) = std::fs::read_to_string(&path) else { continue };
        for (number, line) in text.lines().enumerate() {
            for word in &forbidden {
                assert!(!line.contains(word.as_str()), "{}:{}: {word}", path.display(), number + 1);
            }
            let trailing =
                line.ends_with([' ', '\t']) && path.extension().is_none_or(|e| e != "md");
            assert!(!trailing, "{}:{}: spaces at its end", path.display(), number + 1);
        }
    }
}

#[test]
fn the_sum_file_of_the_repository_is_current() {
    let output = Command::new(env!("CARGO_BIN_EXE_aiplat-migrate"))
        .args(["validate", "--offline"])
        .current_dir(root())
        .env_clear()
        .env("AIPLAT_MIGRATE_NO_DOTENV", "true")
        .output()
        .expect("binary");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
}

/// Where an engine runs, the containers are of the same releases as the packages.
#[test]
fn compose_has_the_versions_and_variables_of_the_packages() {
    let read = |path: &str| std::fs::read_to_string(root().join(path)).expect(path);
    let (compose, versions) = (read("compose.yaml"), read("dev/stack/versions.py"));
    let version = |name: &str| {
        let line = versions.lines().find_map(|line| line.strip_prefix(&format!("{name} = \"")));
        line.and_then(|rest| rest.split('"').next()).unwrap_or_else(|| panic!("no {name}"))
    };
    let series = |name: &str| {
        let parts: Vec<&str> = version(name).split('.').collect();
        (parts[0], parts[1])
    };
    let ((postgres, _), (vector, minor)) = (series("POSTGRES"), series("PGVECTOR"));
    // Confluent counts 7 where Kafka counts 3.
    let ("3", kafka) = series("KAFKA") else { panic!("which Confluent release is this Kafka?") };
    for image in [
        format!("pgvector/pgvector:{vector}.{minor}."),
        format!("-pg{postgres}\n"),
        format!("mongo:{}\n", version("MONGO")),
        format!("redis:{}.", version("REDIS")),
        format!("confluentinc/cp-kafka:7.{kafka}."),
        format!("semitechnologies/weaviate:{}\n", version("WEAVIATE")),
    ] {
        assert!(compose.contains(&image), "compose.yaml has no {image}");
    }
    let given = read("dev/stack/docker.py");
    for word in compose.split(|c: char| !(c.is_ascii_uppercase() || c == '_')) {
        if word.starts_with("STACK_") && !word.ends_with("_PORT") {
            assert!(given.contains(&format!("\"{word}\"")), "dev/stores does not give {word}");
        }
    }
}
