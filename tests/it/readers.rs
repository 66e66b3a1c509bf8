//! Every reader of what people write, given any text: it must answer, and never panic. It needs nothing of
//! the other tests, so that whatever makes texts can use it.

use aiplat_migrate::config::{Config, Environment};
use aiplat_migrate::migration::{Requirement, Source};
use aiplat_migrate::stores;
use aiplat_migrate::stores::StoreKind;
use aiplat_migrate::text::{Node, Placeholders};

/// Reads `text` as a file of `store`: its header, its placeholders, its steps, and what undoes them.
pub fn file(store: StoreKind, text: &str) {
    let source = Source::new(store, "f", text);
    let _ = source.header();
    let _ = source.content();
    let Ok(script) = source.script(&Placeholders::default()) else { return };
    let Ok(units) = script.units() else { return };
    let mut end = 0;
    for unit in units {
        let span = &unit.span;
        assert!(span.start <= span.end && span.end <= text.len(), "{span:?} of {}", text.len());
        assert!(text.is_char_boundary(span.start) && text.is_char_boundary(span.end), "{span:?}");
        assert!(end <= span.start, "{span:?} begins before {end}, where the one before it ends");
        end = span.end;
        let _ = source.checksum_of(span.clone());
        let _ = unit.inverse(&stores::Before::absent());
        let _ = unit.step.declares();
    }
}

/// Reads `text` as JSON5, and as the name of a migration; what is read is written as it was meant.
pub fn words(text: &str) {
    let _ = Node::parse(text);
    if let Ok(read) = text.parse::<Requirement>() {
        let again: Requirement = read.to_string().parse().expect("what was written is read");
        assert_eq!(read.version, again.version);
    }
}

/// Reads a settings file, a `.env` file and a value that several variables have.
pub fn settings(file: &str, value: &str, dotenv: &str) {
    let folder = tempfile::tempdir().expect("folder");
    std::fs::write(folder.path().join("aiplat-migrate.toml"), file).expect("file");
    let variables = ["POSTGRES_URL", "MONGO_URL", "LOCK_WAIT", "KAFKA_BROKERS", "REDIS_URL"]
        .map(|name| (format!("AIPLAT_MIGRATE_{name}"), value.to_string()));
    if let Ok(environment) = Environment::new(folder.path(), variables, dotenv) {
        let _ = Config::load(&Default::default(), &environment);
    }
}
