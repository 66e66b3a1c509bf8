//! What stands before a step that runs alone, and what became of one in doubt.

use std::sync::Arc;

use futures_util::TryStreamExt;
use tokio_postgres::SimpleQueryRow;

use super::Postgres;
use super::split::{Index, Target};
use super::steps::{Manner, Step};
use crate::postgres::{Names, literal, store_error};
use crate::store_error::StoreError;
use crate::stores::contract::{Before, Loss, Probe, Unit};

/// The state of an index.
pub(super) enum IndexState {
    Absent,
    Valid,
    /// Left behind by a CONCURRENTLY that failed: its qualified, quoted name.
    Invalid(String),
}

pub(super) async fn before(store: &Postgres, step: &Step) -> Result<Before, StoreError> {
    match &step.manner {
        Manner::Alone { index: Some(Index::Create { name: Some(name), table }), .. } => {
            // An index of that name that is there already is for the statement itself to judge:
            // IF NOT EXISTS says whether the author minds. It is recorded, for the probe.
            let there = !matches!(index_state(store, name, table).await?, IndexState::Absent);
            Ok(Before::replaces(serde_json::json!({ "index": there })))
        }
        Manner::Alone { .. } | Manner::Transaction => Ok(Before::absent()),
    }
}

pub(super) async fn probe(
    store: &Postgres,
    step: &Step,
    before: &Before,
) -> Result<Probe, StoreError> {
    match &step.manner {
        Manner::Alone { index: Some(Index::Create { name: Some(name), table }), .. } => {
            let there_before = before.value["index"].as_bool().unwrap_or(false);
            match index_state(store, name, table).await? {
                IndexState::Absent => Ok(Probe::NotDone),
                IndexState::Valid if there_before => Ok(Probe::NotDone),
                IndexState::Valid => Ok(Probe::Done),
                IndexState::Invalid(_) if there_before => Ok(Probe::Unknown(format!(
                    "the index {name} is invalid, and was there before this migration"
                ))),
                IndexState::Invalid(name) => Ok(Probe::Rebuild(Box::new(drop_index(&name)))),
            }
        }
        Manner::Alone { index: Some(Index::Drop(names)), .. } => {
            for name in names {
                if exists(store, name).await? {
                    return Ok(Probe::NotDone);
                }
            }
            Ok(Probe::Done)
        }
        Manner::Alone { .. } => probe_other(store, step).await,
        Manner::Transaction => Ok(Probe::NotDone),
    }
}

/// VACUUM, REINDEX and ALTER SYSTEM do no harm twice; databases can be looked up.
async fn probe_other(store: &Postgres, step: &Step) -> Result<Probe, StoreError> {
    let words: Vec<String> = step.sql().split_whitespace().map(str::to_lowercase).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["vacuum" | "reindex", ..] | ["alter", "system", ..] => Ok(Probe::NotDone),
        ["create", "database", name, ..] => {
            let name = name.trim_matches(['"', ';']);
            let there = format!(
                "EXISTS (SELECT FROM pg_catalog.pg_database \
                 WHERE datname OPERATOR(pg_catalog.=) {}::pg_catalog.name)",
                literal(name)
            );
            Ok(if is_true(store, &there).await? { Probe::Done } else { Probe::NotDone })
        }
        _ => {
            Ok(Probe::Unknown("PostgreSQL keeps no trace of whether this statement was run".into()))
        }
    }
}

fn drop_index(name: &str) -> Unit {
    Unit {
        label: format!("drop the invalid index {name}"),
        span: 0..0,
        atomic: false,
        exclusive: true,
        step: Arc::new(Step::drop_index(name)),
    }
}

pub(super) async fn index_state(
    store: &Postgres,
    name: &str,
    table: &str,
) -> Result<IndexState, StoreError> {
    // The index lies in its table's schema; both names are parsed by the server itself.
    let sql = format!(
        "SELECT i.indisvalid, pg_catalog.format('%I.%I', n.nspname, c.relname) \
         FROM pg_catalog.pg_index i \
         JOIN pg_catalog.pg_class c ON c.oid OPERATOR(pg_catalog.=) i.indexrelid \
         JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace \
         WHERE i.indrelid OPERATOR(pg_catalog.=) pg_catalog.to_regclass({}) \
         AND c.relname OPERATOR(pg_catalog.=) {}",
        literal(table),
        plain_name(name)
    );
    let Some(row) = ask(store, &sql).await? else { return Ok(IndexState::Absent) };
    match (row.get(0), row.get(1)) {
        (Some("t"), _) => Ok(IndexState::Valid),
        (_, name) => Ok(IndexState::Invalid(name.unwrap_or_default().to_string())),
    }
}

/// What the server answers first, with the names in `sql` where the user's SQL finds them.
async fn ask(store: &Postgres, sql: &str) -> Result<Option<SimpleQueryRow>, StoreError> {
    let answer = store.session.ask_one(Names::Users, sql).await;
    answer.map_err(|error| store_error(&error))
}

/// SQL for the first part of a name as it is written in the file, as the catalogs have it.
fn plain_name(name: &str) -> String {
    format!("(pg_catalog.parse_ident({}))[1]", literal(name))
}

async fn is_true(store: &Postgres, condition: &str) -> Result<bool, StoreError> {
    let row = ask(store, &format!("SELECT {condition}")).await?;
    Ok(row.is_some_and(|row| row.get(0) == Some("t")))
}

async fn exists(store: &Postgres, name: &str) -> Result<bool, StoreError> {
    is_true(store, &format!("pg_catalog.to_regclass({}) IS NOT NULL", literal(name))).await
}

/// Rows are counted up to this many.
const COUNTED: i64 = 1_000_000;

pub(super) async fn holds(store: &Postgres, step: &Step) -> Result<Vec<Loss>, StoreError> {
    let mut found = Vec::new();
    for target in step.losses() {
        match target {
            Target::Table(table) => {
                let rows = rows(store, table, "true").await?;
                found.extend(rows.loss(&format!("table {table}"), "holds"));
            }
            Target::Rows(table) => {
                let rows = rows(store, table, "true").await?;
                found.extend(rows.loss(&format!("DELETE FROM {table}"), "which holds"));
            }
            Target::Column(table, column) => {
                let filter = format!("{column} IS NOT NULL");
                let rows = match column_exists(store, table, column).await? {
                    true => rows(store, table, &filter).await?,
                    false => Rows::Known(0),
                };
                found.extend(rows.loss(&format!("column {column} of {table}"), "is set in"));
            }
            Target::Schema(schema) => {
                for table in tables(store, schema).await? {
                    let rows = rows(store, &table, "true").await?;
                    found.extend(rows.loss(&format!("table {table}"), "holds"));
                }
            }
            Target::Unseen(kind) => found.push(Loss {
                what: format!(
                    "what the {kind} in `{}` does cannot be seen",
                    first_line(step.sql())
                ),
                known: false,
            }),
        }
    }
    Ok(found)
}

fn first_line(sql: &str) -> &str {
    sql.trim().lines().find(|line| !line.starts_with("--")).unwrap_or_default()
}

/// How many rows there are.
enum Rows {
    Known(i64),
    /// They cannot be counted, and why.
    Hidden(String),
}

impl Rows {
    fn loss(self, what: &str, verb: &str) -> Option<Loss> {
        let known = |what| Some(Loss { what, known: true });
        let comma = if verb.starts_with("which") { "," } else { "" };
        match self {
            Rows::Known(0) => None,
            Rows::Known(1) => known(format!("{what}{comma} {verb} 1 row")),
            Rows::Known(rows) if rows > COUNTED => {
                known(format!("{what}{comma} {verb} more than {COUNTED} rows"))
            }
            Rows::Known(rows) => known(format!("{what}{comma} {verb} {rows} rows")),
            Rows::Hidden(why) => {
                Some(Loss { what: format!("{what} cannot be counted: {why}"), known: false })
            }
        }
    }
}

/// How many rows `table` has; none where there is no such table. The name is as in the file, quotes
/// included, so that the server reads it as it read the statement.
async fn rows(store: &Postgres, table: &str, filter: &str) -> Result<Rows, StoreError> {
    if !exists(store, table).await? {
        return Ok(Rows::Known(0));
    }
    let limit = COUNTED + 1;
    let sql = format!(
        "SELECT pg_catalog.count(*) FROM (SELECT 1 FROM {table} WHERE {filter} LIMIT {limit}) t"
    );
    match ask(store, &sql).await {
        Ok(row) => {
            let count = row.and_then(|row| row.get(0)?.parse().ok());
            count.map(Rows::Known).ok_or_else(|| StoreError::refused("the count is no number"))
        }
        Err(error) if error.code.as_deref() == Some(crate::postgres::MAY_NOT) => {
            Ok(Rows::Hidden(match error.message.contains("row-level security") {
                true => "row security hides its rows from this role".to_string(),
                false => error.message,
            }))
        }
        Err(error) => Err(error),
    }
}

async fn column_exists(store: &Postgres, table: &str, column: &str) -> Result<bool, StoreError> {
    let there = format!(
        "EXISTS (SELECT FROM pg_catalog.pg_attribute \
         WHERE attrelid OPERATOR(pg_catalog.=) pg_catalog.to_regclass({}) AND NOT attisdropped \
         AND attname OPERATOR(pg_catalog.=) {})",
        literal(table),
        plain_name(column)
    );
    is_true(store, &there).await
}

async fn tables(store: &Postgres, schema: &str) -> Result<Vec<String>, StoreError> {
    let sql = format!(
        "SELECT pg_catalog.format('%I.%I', n.nspname, c.relname) FROM pg_catalog.pg_class c \
         JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         WHERE n.nspname = {} AND c.relkind IN ('r', 'p')",
        plain_name(schema)
    );
    let failed = |error: tokio_postgres::Error| store_error(&error);
    let rows = store.session.ask(Names::Ours, &sql).await.map_err(failed)?;
    let names = rows.try_filter_map(|row| std::future::ready(Ok(row.get(0).map(str::to_string))));
    names.try_collect().await.map_err(failed)
}
