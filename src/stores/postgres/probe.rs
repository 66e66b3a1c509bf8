//! What stands before a step that runs alone, and what became of one in doubt.

use std::sync::Arc;

use futures_util::TryStreamExt;
use tokio_postgres::SimpleQueryRow;

use super::Postgres;
use super::alone::Work;
use super::split::Target;
use super::steps::{Manner, Step};
use crate::postgres::{Names, literal, store_error};
use crate::store_error::StoreError;
use crate::stores::contract::{Before, Loss, Probe, Unit};

/// What stands before `step`, by number: a name may mean something else in the next session.
pub(super) async fn before(store: &Postgres, step: &Step) -> Result<Before, StoreError> {
    let question = step.work.as_ref().and_then(standing);
    let value = match &question {
        Some(question) => ask_json(store, question).await?,
        None => serde_json::Value::Null,
    };
    Ok(Before { session: store.state(), ..Before::replaces(value) })
}

/// SQL of a JSON value with what has to be known of the server before the work.
fn standing(work: &Work) -> Option<String> {
    match work {
        Work::CreateIndex { table, .. } => {
            let table = number(table);
            Some(format!(
                "pg_catalog.jsonb_build_object('table', {table}, 'indexes', \
                 (SELECT pg_catalog.jsonb_agg(indexrelid::pg_catalog.int8) FROM pg_catalog.pg_index \
                 WHERE indrelid::pg_catalog.int8 OPERATOR(pg_catalog.=) {table}))"
            ))
        }
        Work::DropIndex(names) => {
            let names: Vec<String> = names.iter().map(|name| number(name)).collect();
            Some(format!("pg_catalog.jsonb_build_array({})", names.join(", ")))
        }
        Work::Reindex => Some(format!(
            "(SELECT pg_catalog.jsonb_agg(indexrelid::pg_catalog.int8) FROM {LEFTOVERS})"
        )),
        Work::Detach { table, partition } => Some(format!(
            "pg_catalog.jsonb_build_object('table', {}, 'partition', {})",
            number(table),
            number(partition)
        )),
        Work::Shared { catalog, name, .. } => {
            Some(format!("pg_catalog.to_jsonb({})", shared(*catalog, name)))
        }
        Work::Again | Work::Clears => None,
    }
}

/// SQL of the number of the relation that the file calls `name`; null where there is none.
fn number(name: &str) -> String {
    format!("pg_catalog.to_regclass({})::pg_catalog.oid::pg_catalog.int8", literal(name))
}

/// SQL that is true if there is something of this name.
fn shared((catalog, column): (&str, &str), name: &str) -> String {
    format!(
        "EXISTS (SELECT FROM pg_catalog.{catalog} WHERE {column} OPERATOR(pg_catalog.=) {})",
        plain_name(name)
    )
}

/// What REINDEX CONCURRENTLY leaves where it is cut off: an invalid index under a name of its own making.
const LEFTOVERS: &str = "pg_catalog.pg_index i JOIN pg_catalog.pg_class c \
    ON c.oid OPERATOR(pg_catalog.=) i.indexrelid \
    WHERE NOT i.indisvalid AND c.relname OPERATOR(pg_catalog.~) '_cc(new|old)[0-9]*$'";

/// A relation by its number, as SQL may name it.
const NAMED: &str = "(SELECT pg_catalog.format('%I.%I', n.nspname, c.relname) FROM pg_catalog.pg_class c \
    JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace \
    WHERE c.oid OPERATOR(pg_catalog.=) ";

fn named(number: &str) -> String {
    format!("{NAMED}{number}::pg_catalog.oid)")
}

pub(super) async fn probe(
    store: &Postgres,
    step: &Step,
    before: &Before,
) -> Result<Probe, StoreError> {
    let Some(work) = &step.work else {
        return Ok(match step.manner {
            Manner::Transaction | Manner::Statement { sets_up: true } => Probe::NotDone,
            Manner::Statement { sets_up: false } | Manner::Alone => Probe::Unknown(
                "PostgreSQL keeps no trace of whether this statement was run".to_string(),
            ),
        });
    };
    let known = &before.value;
    match work {
        Work::CreateIndex { name, .. } => match made(store, name.as_deref(), known)
            .await?
            .as_slice()
        {
            [] => Ok(Probe::NotDone),
            [(_, true)] => Ok(Probe::Done),
            [(name, false)] => Ok(clear("DROP INDEX CONCURRENTLY IF EXISTS", name, "")),
            more => {
                let names: Vec<&str> = more.iter().map(|(name, _)| name.as_str()).collect();
                let names = names.join(", ");
                Ok(Probe::Unknown(format!("new on the table, and one of them its own: {names}")))
            }
        },
        Work::DropIndex(_) => {
            let there = format!(
                "EXISTS (SELECT FROM pg_catalog.pg_class WHERE oid::pg_catalog.int8 \
                 OPERATOR(pg_catalog.=) ANY ({}))",
                numbers(known)
            );
            Ok(if is_true(store, &there).await? { Probe::NotDone } else { Probe::Done })
        }
        Work::Reindex => {
            let sql = format!(
                "{} FROM {LEFTOVERS} AND i.indexrelid::pg_catalog.int8 OPERATOR(pg_catalog.<>) ALL ({}) \
                 LIMIT 1",
                named("i.indexrelid"),
                numbers(known)
            );
            let row = ask(store, &format!("SELECT {sql}")).await?;
            match row.as_ref().and_then(|row| row.get(0)) {
                Some(name) => Ok(clear("DROP INDEX CONCURRENTLY IF EXISTS", name, "")),
                None => Ok(Probe::NotDone),
            }
        }
        Work::Detach { .. } => detached(store, known).await,
        Work::Shared { makes, catalog, name } => {
            let there = is_true(store, &shared(*catalog, name)).await?;
            let was_there = known.as_bool() == Some(true);
            Ok(if there == *makes && there != was_there { Probe::Done } else { Probe::NotDone })
        }
        Work::Again | Work::Clears => Ok(Probe::NotDone),
    }
}

/// The indexes that were not on the table before, by name, and whether they are valid; of this name,
/// where the statement gives one.
async fn made(
    store: &Postgres,
    name: Option<&str>,
    known: &serde_json::Value,
) -> Result<Vec<(String, bool)>, StoreError> {
    let its_own = name.map(|name| {
        format!(
            " AND (SELECT relname FROM pg_catalog.pg_class WHERE oid OPERATOR(pg_catalog.=) indexrelid) \
             OPERATOR(pg_catalog.=) {}",
            plain_name(name)
        )
    });
    let sql = format!(
        "SELECT {}, indisvalid FROM pg_catalog.pg_index \
         WHERE indrelid::pg_catalog.int8 OPERATOR(pg_catalog.=) {} \
         AND indexrelid::pg_catalog.int8 OPERATOR(pg_catalog.<>) ALL ({}){}",
        named("indexrelid"),
        known["table"].as_i64().unwrap_or_default(),
        numbers(&known["indexes"]),
        its_own.unwrap_or_default()
    );
    let rows = store.session.ask(Names::Users, &sql).await.map_err(|error| store_error(&error))?;
    let read =
        |row: SimpleQueryRow| (row.get(0).unwrap_or_default().to_string(), row.get(1) == Some("t"));
    rows.map_ok(read).try_collect().await.map_err(|error| store_error(&error))
}

/// A detach that was cut off between its two transactions is to be finished.
async fn detached(store: &Postgres, known: &serde_json::Value) -> Result<Probe, StoreError> {
    let (table, partition) = (known["table"].as_i64(), known["partition"].as_i64());
    let (table, partition) = (table.unwrap_or_default(), partition.unwrap_or_default());
    let sql = format!(
        "SELECT inhdetachpending, {}, {} FROM pg_catalog.pg_inherits \
         WHERE inhrelid::pg_catalog.int8 OPERATOR(pg_catalog.=) {partition} \
         AND inhparent::pg_catalog.int8 OPERATOR(pg_catalog.=) {table}",
        named("inhparent"),
        named("inhrelid")
    );
    Ok(match ask(store, &sql).await? {
        None => Probe::Done,
        Some(row) => match (row.get(0), row.get(1), row.get(2)) {
            (Some("t"), Some(table), Some(partition)) => {
                clear("ALTER TABLE", table, &format!(" DETACH PARTITION {partition} FINALIZE"))
            }
            _ => Probe::NotDone,
        },
    })
}

/// SQL of an array of the numbers in `known`.
fn numbers(known: &serde_json::Value) -> String {
    let numbers: Vec<String> = known
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|number| number.as_i64().map(|number| number.to_string()))
        .collect();
    format!("'{{{}}}'::pg_catalog.int8[]", numbers.join(","))
}

fn clear(verb: &str, name: &str, rest: &str) -> Probe {
    let sql = format!("{verb} {name}{rest}");
    Probe::Rebuild(Box::new(Unit {
        label: format!("clear away what was left: {sql}"),
        span: 0..0,
        atomic: false,
        exclusive: true,
        step: Arc::new(Step::clears(&sql)),
    }))
}

/// Looks whether what IF NOT EXISTS passed over is of any use: it takes whatever has that name, an index
/// that an earlier attempt left invalid, and another table's.
pub(super) async fn check(
    store: &Postgres,
    step: &Step,
    before: &Before,
) -> Result<(), StoreError> {
    let Some(Work::CreateIndex { name: Some(name), tolerant: true, table }) = &step.work else {
        return Ok(());
    };
    let number = before.value["table"].as_i64().unwrap_or_default();
    let sql = format!(
        "SELECT {}, i.indisvalid, i.indrelid::pg_catalog.int8 OPERATOR(pg_catalog.=) {number} \
         FROM pg_catalog.pg_class t LEFT JOIN pg_catalog.pg_index i \
         ON i.indexrelid OPERATOR(pg_catalog.=) t.oid \
         WHERE t.relname OPERATOR(pg_catalog.=) {} AND t.relnamespace OPERATOR(pg_catalog.=) \
         (SELECT relnamespace FROM pg_catalog.pg_class \
         WHERE oid::pg_catalog.int8 OPERATOR(pg_catalog.=) {number})",
        named("t.oid"),
        plain_name(name)
    );
    let Some(row) = ask(store, &sql).await? else { return Ok(()) };
    let found = row.get(0).unwrap_or(name);
    let (message, hint) = match (row.get(1), row.get(2)) {
        (Some("t"), Some("t")) => return Ok(()),
        (_, Some("t")) => (
            format!("the index {found} is there and not valid"),
            format!("DROP INDEX CONCURRENTLY {found}, then run `up` again"),
        ),
        _ => (
            format!("{table} has no index {name}: the name {found} is taken by something else"),
            "give the index another name, or drop what has this one, then run `up` again"
                .to_string(),
        ),
    };
    let why = "IF NOT EXISTS takes whatever has that name, and makes nothing";
    Err(StoreError::refused(message).detail(why).hint(hint))
}

async fn ask_json(store: &Postgres, value: &str) -> Result<serde_json::Value, StoreError> {
    let row = ask(store, &format!("SELECT {value}::pg_catalog.text")).await?;
    match row.as_ref().and_then(|row| row.get(0)) {
        None => Ok(serde_json::Value::Null),
        Some(text) => serde_json::from_str(text)
            .map_err(|error| StoreError::refused(format!("the answer is no JSON: {error}"))),
    }
}

/// What the server answers first, with the names in `sql` where the user's SQL finds them.
async fn ask(store: &Postgres, sql: &str) -> Result<Option<SimpleQueryRow>, StoreError> {
    let answer = store.session.ask_one(Names::Users, sql).await;
    answer.map_err(|error| store_error(&error))
}

/// SQL for the first part of a name as it is written in the file, as the catalogs have it: the cast cuts
/// it, at a character's end, to the 63 bytes that the server keeps.
fn plain_name(name: &str) -> String {
    format!("(pg_catalog.parse_ident({}))[1]::pg_catalog.name", literal(name))
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
        Err(error) if error.code.as_deref() == Some(super::MAY_NOT) => {
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
         WHERE n.nspname OPERATOR(pg_catalog.=) {} AND c.relkind IN ('r', 'p')",
        plain_name(schema)
    );
    let failed = |error: tokio_postgres::Error| store_error(&error);
    let rows = store.session.ask(Names::Ours, &sql).await.map_err(failed)?;
    let names = rows.try_filter_map(|row| std::future::ready(Ok(row.get(0).map(str::to_string))));
    names.try_collect().await.map_err(failed)
}
