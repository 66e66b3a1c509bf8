//! What stands before a step that runs alone, and what became of one in doubt.

use std::sync::Arc;

use super::Postgres;
use super::split::{Index, Target};
use super::steps::{Manner, Step};
use crate::postgres::store_error;
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
            let there = count(
                store,
                "SELECT count(*) FROM pg_catalog.pg_database WHERE datname = $1",
                name,
            );
            Ok(if there.await? > 0 { Probe::Done } else { Probe::NotDone })
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
    let sql = "SELECT i.indisvalid, format('%I.%I', n.nspname, c.relname) \
               FROM pg_catalog.pg_index i \
               JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid \
               JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
               WHERE i.indrelid = pg_catalog.to_regclass($1::text) \
               AND c.relname = (pg_catalog.parse_ident($2::text))[1]";
    let row = store.session.client.query_opt(sql, &[&table, &name]).await;
    match row.map_err(|error| store_error(&error))? {
        None => Ok(IndexState::Absent),
        Some(row) if row.get::<_, bool>(0) => Ok(IndexState::Valid),
        Some(row) => Ok(IndexState::Invalid(row.get(1))),
    }
}

async fn exists(store: &Postgres, name: &str) -> Result<bool, StoreError> {
    let sql = "SELECT count(*) WHERE pg_catalog.to_regclass($1) IS NOT NULL";
    Ok(count(store, sql, name).await? > 0)
}

async fn count(store: &Postgres, sql: &str, name: &str) -> Result<i64, StoreError> {
    let row = store.session.client.query_one(sql, &[&name]).await;
    row.map(|row| row.get(0)).map_err(|error| store_error(&error))
}

/// Rows are counted up to this many.
const COUNTED: i64 = 1_000_000;

pub(super) async fn holds(store: &Postgres, step: &Step) -> Result<Vec<Loss>, StoreError> {
    let mut found = Vec::new();
    for target in step.losses() {
        match target {
            Target::Table(table) => {
                let rows = rows(store, table, "true").await?;
                found.extend(loss(rows, format!("table {table} holds")));
            }
            Target::Rows(table) => {
                let rows = rows(store, table, "true").await?;
                found.extend(loss(rows, format!("DELETE FROM {table}, which holds")));
            }
            Target::Column(table, column) => {
                let filter = format!("{column} IS NOT NULL");
                let rows = match column_exists(store, table, column).await? {
                    true => rows(store, table, &filter).await?,
                    false => None,
                };
                found.extend(loss(rows, format!("column {column} of {table} is set in")));
            }
            Target::Schema(schema) => {
                for table in tables(store, schema).await? {
                    let rows = rows(store, &table, "true").await?;
                    found.extend(loss(rows, format!("table {table} holds")));
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

fn loss(rows: Option<i64>, what: String) -> Option<Loss> {
    match rows {
        None | Some(0) => None,
        Some(1) => Some(Loss { what: format!("{what} 1 row"), known: true }),
        Some(rows) if rows > COUNTED => {
            Some(Loss { what: format!("{what} more than {COUNTED} rows"), known: true })
        }
        Some(rows) => Some(Loss { what: format!("{what} {rows} rows"), known: true }),
    }
}

/// How many rows `table` has; `None` where there is no such table. The name is as in the file,
/// quotes included, so that the server reads it as it read the statement.
async fn rows(store: &Postgres, table: &str, filter: &str) -> Result<Option<i64>, StoreError> {
    if !exists(store, table).await? {
        return Ok(None);
    }
    let limit = COUNTED + 1;
    let sql =
        format!("SELECT count(*) FROM (SELECT 1 FROM {table} WHERE {filter} LIMIT {limit}) t");
    let row = store.session.client.query_one(&sql, &[]).await;
    row.map(|row| Some(row.get(0))).map_err(|error| store_error(&error))
}

async fn column_exists(store: &Postgres, table: &str, column: &str) -> Result<bool, StoreError> {
    let sql = "SELECT count(*) FROM pg_catalog.pg_attribute \
               WHERE attrelid = pg_catalog.to_regclass($1::text) AND NOT attisdropped \
               AND attname = (pg_catalog.parse_ident($2::text))[1]";
    let row = store.session.client.query_one(sql, &[&table, &column]).await;
    row.map(|row| row.get::<_, i64>(0) > 0).map_err(|error| store_error(&error))
}

async fn tables(store: &Postgres, schema: &str) -> Result<Vec<String>, StoreError> {
    let sql = "SELECT format('%I.%I', n.nspname, c.relname) FROM pg_catalog.pg_class c \
               JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
               WHERE n.nspname = (pg_catalog.parse_ident($1::text))[1] AND c.relkind IN ('r', 'p')";
    let found = store.session.client.query(sql, &[&schema]).await;
    Ok(found.map_err(|error| store_error(&error))?.iter().map(|row| row.get(0)).collect())
}
