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
    columns: BTreeMap<i16, Column>,
    /// Whether this transaction holds the lock of a writer, or of TRUNCATE.
    written: bool,
}

/// A column, by its number.
#[derive(Clone, Copy, PartialEq)]
struct Column {
    kind: Oid,
    modifier: i32,
    /// Another one where a type of the user's own that its values are made of has lost a part.
    print: i32,
}

/// What happened to a relation between two pictures.
#[derive(Debug, PartialEq)]
pub(super) enum Change {
    /// It is not there any more; a partitioned table holds nothing by itself.
    Gone {
        /// Whether it had rows of its own.
        holds: bool,
    },
    /// This column is not there any more.
    ColumnGone(i16),
    /// So many rows were deleted.
    Deleted(u64),
    /// Its values may be others now.
    Changed {
        /// The columns that stay, and whether their type is another.
        columns: Vec<(i16, bool)>,
        /// Whether it was rewritten or emptied, not only updated.
        rewritten: bool,
    },
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

impl Change {
    /// Whether only an exclusive lock lets it happen.
    pub fn is_exclusive(&self) -> bool {
        match self {
            Change::Gone { holds } => *holds,
            Change::ColumnGone(_) | Change::Unlogged => true,
            Change::Changed { rewritten, .. } => *rewritten,
            Change::Deleted(_)
            | Change::Moved
            | Change::Foreign
            | Change::LargeObjects(_)
            | Change::Pages(_) => false,
        }
    }
}

/// The types of the user's own that a column's values are made of, however deep, and what each is made of:
/// a composite type may lose an attribute, and an enum a label, with no table of its own being touched.
const PRINTS: &str = "WITH RECURSIVE used (root, part) AS ( \
       SELECT DISTINCT atttypid, atttypid FROM pg_attribute WHERE attnum > 0 AND atttypid >= 16384 \
       UNION SELECT u.root, x.part FROM used u JOIN pg_type t ON t.oid = u.part, LATERAL ( \
         SELECT t.typelem UNION ALL SELECT t.typbasetype \
         UNION ALL SELECT rngsubtype FROM pg_range WHERE t.oid IN (rngtypid, rngmultitypid) \
         UNION ALL SELECT atttypid FROM pg_attribute \
           WHERE attrelid = t.typrelid AND attnum > 0 AND NOT attisdropped) x (part) \
       WHERE x.part >= 16384), \
     prints (root, print) AS ( \
       SELECT u.root, hashtext(string_agg(concat_ws(' ', u.part, \
         (SELECT string_agg(concat_ws(':', attnum, atttypid, atttypmod), ',' ORDER BY attnum) \
          FROM pg_attribute WHERE attrelid = t.typrelid AND attnum > 0 AND NOT attisdropped), \
         (SELECT string_agg(oid::text, ',' ORDER BY oid) FROM pg_enum WHERE enumtypid = t.oid)), \
         ';' ORDER BY u.part)) FROM used u JOIN pg_type t ON t.oid = u.part GROUP BY u.root) ";

const SQL: &str = "SELECT c.oid, c.relkind, c.relpersistence, c.relfilenode, \
     pg_catalog.pg_stat_get_xact_tuples_updated(c.oid), \
     pg_catalog.pg_stat_get_xact_tuples_deleted(c.oid), \
     c.relkind = 'f' AND EXISTS (SELECT FROM pg_catalog.pg_locks l \
       WHERE l.relation = c.oid AND l.pid = pg_catalog.pg_backend_pid() AND l.mode IN ('RowExclusiveLock', 'AccessExclusiveLock')), \
     (SELECT string_agg(concat_ws(' ', attnum, atttypid, atttypmod, COALESCE(print, 0)), ',') \
      FROM pg_catalog.pg_attribute LEFT JOIN prints ON root = atttypid \
      WHERE attrelid = c.oid AND attnum > 0 AND NOT attisdropped AND attgenerated = '') \
     FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
     WHERE c.relkind IN ('r', 'p', 'S', 'f') AND c.relpersistence <> 't' \
     AND n.nspname NOT IN ('pg_catalog', 'pg_toast', 'information_schema') OR c.oid IN (2613, 2995)";

impl Picture {
    pub async fn take(look: Look<'_>) -> Result<Picture, StoreError> {
        let rows = look.ask(Names::Ours, &[format!("{PRINTS}{SQL}")]).await?;
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

fn columns(text: &str) -> Option<BTreeMap<i16, Column>> {
    let column = |text: &str| {
        let mut words = text.split(' ');
        let number = words.next()?.parse().ok()?;
        let (kind, modifier) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
        Some((number, Column { kind, modifier, print: words.next()?.parse().ok()? }))
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
                } else if updated > 0 || rewritten || self.is_made_of_less(was) {
                    found.push(Change::Changed { columns: self.staying(was), rewritten });
                }
                found
            }
            _ => Vec::new(),
        }
    }

    /// Whether a type that its values are made of is another one, though it is called the same.
    fn is_made_of_less(&self, was: &Relation) -> bool {
        was.columns.iter().any(|(number, of)| {
            self.columns.get(number).is_some_and(|now| now.kind == of.kind && now.print != of.print)
        })
    }

    fn staying(&self, was: &Relation) -> Vec<(i16, bool)> {
        let is = |(number, of): (&i16, &Column)| {
            self.columns.get(number).map(|now| (*number, now != of))
        };
        was.columns.iter().filter_map(is).collect()
    }
}
