//! The live shape of a database, read from its catalogs in one query, so that all of it is of one moment.

mod growth;

use std::time::{Duration, Instant};

use futures_util::TryStreamExt;
use rand::Rng;
use serde_json::Value;

use super::Postgres;
use crate::postgres::{Names, Recorded, literal, store_error};
use crate::shape::{Attributes, Shape};
use crate::store_error::StoreError;

pub(super) use growth::COMPARISON;

/// Attributes that are there only where the settings ask for them, and then on every object; or where
/// the role may see them: the options of user mappings.
pub(super) const OPTIONAL: &[&str] =
    &["owner", "grants", "comment", "mapping options", "digest", RIGHTS];

/// Who else than the owner may do what: in the pictures of a repair where grants are not asked for.
pub(super) const RIGHTS: &str = "rights";

/// What all parts stand in, and what they share.
const FRAME: &str = include_str!("sql/frame.sql");

/// One family of objects each.
const PARTS: [&str; 7] = [
    include_str!("sql/schemas.sql"),
    include_str!("sql/relations.sql"),
    include_str!("sql/parts.sql"),
    include_str!("sql/types.sql"),
    include_str!("sql/routines.sql"),
    include_str!("sql/text_search.sql"),
    include_str!("sql/elsewhere.sql"),
];

/// What the server itself writes down of an object; one that has none was dropped between the moment
/// that the query sees and the moment at which its text was asked for.
const DEFINED: [&str; 9] = [
    "constraint",
    "function",
    "index",
    "materialized view",
    "procedure",
    "rule",
    "statistics",
    "trigger",
    "view",
];

/// How long reading waits for one lock. Shorter than `deadlock_timeout`, 1 s: where reading and somebody's
/// DDL wait for each other, reading gives way, and not they.
const LOCK_TIMEOUT: &str = "300ms";

/// For how long reading is tried again.
const PATIENCE: Duration = Duration::from_secs(20);

/// The shape with those of the optional attributes that the settings ask for.
pub(super) async fn inspect(store: &Postgres) -> Result<Shape, StoreError> {
    let query = query(store, &store.settings.shape);
    let began = Instant::now();
    loop {
        match read(store, &query).await {
            Err(error) if is_of_churn(&error) && began.elapsed() < PATIENCE => {
                let pause = rand::rng().random_range(10..100);
                tokio::time::sleep(Duration::from_millis(pause)).await;
            }
            Err(error) if is_of_churn(&error) => {
                let hint = "others make and drop objects all the time, or hold locks: try again, or see \
                            who does: SELECT * FROM pg_stat_activity";
                return Err(error.hint(hint));
            }
            shape => return shape,
        }
    }
}

/// Whether it may be because others change the database meanwhile. The catalogs are read as of one
/// moment, but the functions that write definitions look at the present: they do not find what was
/// dropped since (XX000 from the caches, 42… where it is looked up), or wait for who drops it.
pub(super) fn is_of_churn(error: &StoreError) -> bool {
    const CODES: [&str; 9] =
        ["XX000", "42P01", "42703", "42704", "42883", "3F000", "55P03", "40P01", "40001"];
    error.code.as_deref().is_some_and(|code| CODES.contains(&code))
}

/// The shape as the transaction under way sees it, with those of the optional attributes that `recorded`
/// asks for; tried once.
pub(super) async fn inspect_once(
    store: &Postgres,
    recorded: &[Recorded],
) -> Result<Shape, StoreError> {
    read(store, &query(store, recorded)).await
}

fn query(store: &Postgres, recorded: &[Recorded]) -> String {
    let hidden: Vec<String> = store.settings.hidden.iter().map(|schema| literal(schema)).collect();
    let asked = |what| recorded.contains(&what).to_string();
    let query = FRAME
        .replace("$parts", &PARTS.join("\nUNION ALL\n"))
        .replace("$hidden", &format!("ARRAY[{}]::name[]", hidden.join(",")))
        .replace("$owners", &asked(Recorded::Owners))
        .replace("$grants", &asked(Recorded::Grants))
        .replace("$comments", &asked(Recorded::Comments));
    let query = of_version(&query, store.version);
    format!("SET LOCAL lock_timeout = '{LOCK_TIMEOUT}';\n{query}")
}

/// The query without the lines that begin with a newer version, as `/* 15 */`: what they name is not
/// there yet.
fn of_version(query: &str, version: u32) -> String {
    let since = |line: &str| {
        let (since, _) = line.strip_prefix("/* ")?.split_once(" */")?;
        since.parse::<u32>().ok()
    };
    let lines = query.lines().filter(|line| since(line).is_none_or(|since| since <= version));
    lines.collect::<Vec<_>>().join("\n")
}

async fn read(store: &Postgres, query: &str) -> Result<Shape, StoreError> {
    let failed = |error: tokio_postgres::Error| store_error(&error);
    let rows = store.session.ask(Names::Ours, query).await.map_err(failed)?;
    let mut rows = std::pin::pin!(rows);
    let mut shape = Shape { version: COMPARISON.version, ..Shape::default() };
    while let Some(row) = rows.try_next().await.map_err(failed)? {
        let (Some(name), Some(attributes)) = (row.get(0), row.get(1)) else { continue };
        let attributes = serde_json::from_str(attributes).map_err(|error| {
            StoreError::refused(format!("the catalogs gave no readable answer: {error}"))
        })?;
        if !was_dropped(name, &attributes) {
            shape.insert(name, attributes);
        }
    }
    Ok(shape)
}

fn was_dropped(name: &str, attributes: &Attributes) -> bool {
    let kind = super::STORE.objects.kind_and_name(name).0;
    DEFINED.contains(&kind)
        && !attributes.contains_key("definition")
        && attributes.get("valid") != Some(&Value::Bool(false))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_older_server_is_not_asked_for_what_it_does_not_have() {
        let query = "SELECT a\n/* 14 */ , b\n/* 15 */ , c\nFROM t";
        assert_eq!(of_version(query, 14), "SELECT a\n/* 14 */ , b\nFROM t");
        let whole = FRAME.replace("$parts", &PARTS.join("\nUNION ALL\n"));
        assert!(of_version(&whole, 15).contains("pg_publication_namespace"));
        assert!(!of_version(&whole, 14).contains("pg_publication_namespace"));
        assert!(!of_version(&whole, 13).contains("attcompression"));
    }
}
