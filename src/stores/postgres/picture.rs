//! What holds data, as the catalogs, the transaction's own statistics and its locks tell it.

use std::collections::BTreeMap;

use super::look::Look;
use crate::postgres::Names;
use crate::store_error::StoreError;

/// What identifies a relation or a type.
pub(super) type Oid = u32;

/// The catalog of large objects, and the one of their pages.
const LARGE_OBJECTS: Oid = 2995;
const PAGES: Oid = 2613;

/// All that holds data, at one moment of a transaction.
pub(super) struct Picture(BTreeMap<Oid, Relation>);

struct Relation {
    kind: char,
    /// `p` for what outlives a crash.
    persistence: char,
    /// Another one after TRUNCATE, or once it was rewritten.
    file: Oid,
    /// Rows that this session updated and deleted.
    updated: u64,
    deleted: u64,
    /// By number: the type, its modifier.
    columns: BTreeMap<i16, (Oid, i32)>,
    /// Whether this transaction holds the lock of a writer.
    written: bool,
}

/// What happened to a relation between two pictures.
#[derive(Debug, PartialEq)]
pub(super) enum Change {
    /// It is not there any more; a partitioned table holds nothing by itself.
    Gone { holds: bool },
    /// This column is not there any more.
    ColumnGone(i16),
    /// So many rows were deleted.
    Deleted(u64),
    /// Its values may be others now. The columns that stay, and whether their type is another.
    Changed(Vec<(i16, bool)>),
    /// A crash would empty it.
    Unlogged,
    /// A sequence has another state.
    Moved,
    /// A foreign table was written to.
    Foreign,
    /// Large objects were deleted.
    LargeObjects(u64),
    /// Pages of large objects were overwritten or deleted.
    Pages(u64),
}

const SQL: &str = "SELECT c.oid, c.relkind, c.relpersistence, c.relfilenode, \
     pg_catalog.pg_stat_get_xact_tuples_updated(c.oid), \
     pg_catalog.pg_stat_get_xact_tuples_deleted(c.oid), \
     c.relkind = 'f' AND EXISTS (SELECT FROM pg_catalog.pg_locks l \
       WHERE l.relation = c.oid AND l.pid = pg_catalog.pg_backend_pid() AND l.mode = 'RowExclusiveLock'), \
     (SELECT string_agg(concat_ws(' ', attnum, atttypid, atttypmod), ',') FROM pg_catalog.pg_attribute \
      WHERE attrelid = c.oid AND attnum > 0 AND NOT attisdropped AND attgenerated = '') \
     FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
     WHERE c.relkind IN ('r', 'p', 'S', 'f') AND c.relpersistence <> 't' \
     AND n.nspname NOT IN ('pg_catalog', 'pg_toast', 'information_schema') OR c.oid IN (2613, 2995)";

impl Picture {
    pub async fn take(look: Look<'_>) -> Result<Picture, StoreError> {
        let rows = look.ask(Names::Ours, &[SQL.to_string()]).await?;
        let read = |row: &tokio_postgres::SimpleQueryRow| -> Option<(Oid, Relation)> {
            let letter = |at: usize| row.get(at)?.chars().next();
            let relation = Relation {
                kind: letter(1)?,
                persistence: letter(2)?,
                file: row.get(3)?.parse().ok()?,
                updated: row.get(4)?.parse().ok()?,
                deleted: row.get(5)?.parse().ok()?,
                written: row.get(6)? == "t",
                columns: columns(row.get(7).unwrap_or_default())?,
            };
            Some((row.get(0)?.parse().ok()?, relation))
        };
        let all = rows.iter().map(read).collect::<Option<_>>();
        all.map(Picture).ok_or_else(|| StoreError::refused("the catalogs cannot be read"))
    }

    /// What happened since `before` was taken in the same transaction.
    pub fn since(&self, before: &Picture) -> Vec<(Oid, Change)> {
        let mut changes = Vec::new();
        for (oid, was) in &before.0 {
            let found = match self.0.get(oid) {
                Some(is) => is.since(was, *oid),
                None => was.gone(),
            };
            changes.extend(found.into_iter().map(|change| (*oid, change)));
        }
        changes
    }
}

fn columns(text: &str) -> Option<BTreeMap<i16, (Oid, i32)>> {
    let column = |text: &str| {
        let mut words = text.split(' ');
        let number = words.next()?.parse().ok()?;
        Some((number, (words.next()?.parse().ok()?, words.next()?.parse().ok()?)))
    };
    text.split(',').filter(|text| !text.is_empty()).map(column).collect()
}

impl Relation {
    fn gone(&self) -> Vec<Change> {
        match self.kind {
            'r' => vec![Change::Gone { holds: true }],
            'p' => vec![Change::Gone { holds: false }],
            _ => Vec::new(),
        }
    }

    fn since(&self, was: &Relation, oid: Oid) -> Vec<Change> {
        let deleted = self.deleted.saturating_sub(was.deleted);
        let updated = self.updated.saturating_sub(was.updated);
        let rewritten = self.file != was.file;
        match (oid, self.kind) {
            (LARGE_OBJECTS, _) if deleted > 0 => vec![Change::LargeObjects(deleted)],
            (PAGES, _) if deleted + updated > 0 => vec![Change::Pages(deleted + updated)],
            (LARGE_OBJECTS | PAGES, _) => Vec::new(),
            (_, 'S') if rewritten => vec![Change::Moved],
            (_, 'f') if self.written && !was.written => vec![Change::Foreign],
            (_, 'r') => {
                let gone = was.columns.keys().filter(|number| !self.columns.contains_key(number));
                let mut found: Vec<Change> =
                    gone.map(|number| Change::ColumnGone(*number)).collect();
                if was.persistence == 'p' && self.persistence != 'p' {
                    found.push(Change::Unlogged);
                }
                if deleted > 0 {
                    found.push(Change::Deleted(deleted));
                } else if updated > 0 || rewritten {
                    found.push(Change::Changed(self.staying(was)));
                }
                found
            }
            _ => Vec::new(),
        }
    }

    fn staying(&self, was: &Relation) -> Vec<(i16, bool)> {
        let is = |(number, of): (&i16, &(Oid, i32))| {
            self.columns.get(number).map(|now| (*number, now != of))
        };
        was.columns.iter().filter_map(is).collect()
    }
}
