//! The recorded shapes, and the before-picture of a run that is not finished.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use tokio_postgres::types::{Json, ToSql, Type};

use super::record::{Record, Table};
use super::{Ledger, LedgerError, LockedLedger, Snapshot, State, absent};
use crate::error::{Error, Result};
use crate::failpoint::effect;
use crate::shape::Shape;
use crate::stores::{self, StoreKind};

/// What the ledger holds of one store's shape.
#[derive(Clone, Debug, Default)]
pub struct StoredShape {
    /// What the migrations made.
    pub recorded: Shape,
    /// The live shape before the first effect of a run that has not recorded its own yet.
    pub before: Option<Shape>,
}

impl StoredShape {
    /// Whether nobody has recorded anything, not even that nothing was made: that is said by the version,
    /// as far as the store has more than the first.
    fn is_blank(&self, store: StoreKind) -> bool {
        let says_so = store.description().objects.comparison.version > 1;
        says_so && self.recorded.version == 0 && self.recorded.objects.is_empty()
    }

    /// What is recorded, with what a run changed that died before it could record it: the next run
    /// will record it so.
    pub fn as_of(&self, store: StoreKind, live: &Shape) -> Shape {
        let recorded = self.recorded.clone();
        match &self.before {
            None => recorded,
            Some(before) => {
                stores::effect(store, recorded, before, live.clone(), (&|_| true, &|_| false))
            }
        }
    }
}

/// The recorded shapes, by store.
pub type Shapes = BTreeMap<StoreKind, StoredShape>;

/// What is wrong between the rows of a store and its shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lost {
    /// So many migrations are applied, and there is no shape of what they made.
    Shape(usize),
    /// There is a shape, and not one row of the migrations that made it.
    Rows,
}

impl Snapshot {
    /// The stores whose rows and shapes do not belong together: part of the ledger was lost. A run
    /// writes the shape before its first row, and never deletes either; what other tools applied has
    /// no shape.
    pub fn lost(&self, shapes: &Shapes) -> BTreeMap<StoreKind, Lost> {
        let mut lost = BTreeMap::new();
        for row in &self.rows {
            let store = row.id.store;
            let is_whole = |shape: &StoredShape| shape.before.is_some() || !shape.is_blank(store);
            let is_made = row.state == State::Applied && row.origin.is_none();
            if is_made && !shapes.get(&row.id.store).is_some_and(is_whole) {
                match lost.entry(row.id.store).or_insert(Lost::Shape(0)) {
                    Lost::Shape(count) => *count += 1,
                    Lost::Rows => {}
                }
            }
        }
        let with_rows: BTreeSet<StoreKind> = self.rows.iter().map(|row| row.id.store).collect();
        let made = shapes.iter().filter(|(_, shape)| !shape.recorded.objects.is_empty());
        let orphans = made.map(|(store, _)| *store).filter(|store| !with_rows.contains(store));
        lost.extend(orphans.map(|store| (store, Lost::Rows)));
        lost
    }
}

/// Every shape, to be read by [`read`].
pub(super) const SELECT: &str = include_str!("sql/shapes.sql");

impl Ledger {
    /// The recorded shapes.
    pub async fn shapes(&self) -> Result<Shapes> {
        let rows = self.session.client.query_typed(&self.sql(SELECT), &[]).await;
        if rows.as_ref().err().is_some_and(absent) {
            self.is_whole_or_absent().await?;
            return Ok(Shapes::new());
        }
        // Which stores it does not know, a command has heard when it read the rows.
        Ok(read(&rows.map_err(|error| self.error(&error))?, &mut BTreeSet::new())?)
    }
}

pub(super) fn read(
    rows: &[tokio_postgres::Row],
    newer: &mut BTreeSet<String>,
) -> Result<Shapes, LedgerError> {
    let mut shapes = Shapes::new();
    for row in rows {
        let record = Record::of(Table::Shape, row);
        if let Some(store) = record.store(0, newer)? {
            let shape = StoredShape { recorded: record.json(1)?, before: record.json_if_any(2)? };
            shapes.insert(store, shape);
        }
    }
    Ok(shapes)
}

/// The shape as JSON that takes no more room than it needs.
fn json(shape: &Shape) -> Result<String> {
    let failed = |why: &dyn std::fmt::Display| {
        Error::failed("a store's shape cannot be written as JSON").because(why)
    };
    let mut length = Length(0);
    serde_json::to_writer(&mut length, shape).map_err(|error| failed(&error))?;
    let mut text = Vec::with_capacity(length.0);
    serde_json::to_writer(&mut text, shape).map_err(|error| failed(&error))?;
    String::from_utf8(text).map_err(|error| failed(&error))
}

/// How long what is written would be.
struct Length(usize);

impl std::io::Write for Length {
    fn write(&mut self, piece: &[u8]) -> std::io::Result<usize> {
        self.0 += piece.len();
        Ok(piece.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl LockedLedger {
    /// Keeps the picture of a store before the run's first effect. One that an unfinished run left
    /// stays: what that run changed must still be told from what was there before it.
    pub async fn keep_before(&self, store: StoreKind, before: &Shape) -> Result<()> {
        let sql = include_str!("sql/keep_before.sql");
        effect!("keep_before", self.write_shape(sql, store, json(before)?))
    }

    /// The recorded shape of `store` now.
    pub async fn recorded(&self, store: StoreKind) -> Result<Shape> {
        let sql = self.sql(include_str!("sql/recorded.sql"));
        let rows = self.ledger.session.client.query(&sql, &[&store.name()]).await;
        let rows = rows.map_err(|error| self.error(&error))?;
        let mut shapes = read(&rows, &mut BTreeSet::new())?;
        Ok(shapes.remove(&store).unwrap_or_default().recorded)
    }

    /// Records the shape of a store and drops the before-picture. The shape is gone when it is sent:
    /// it may be the largest that a run holds.
    pub async fn record_shape(&self, store: StoreKind, recorded: Shape) -> Result<()> {
        let text = json(&recorded)?;
        drop(recorded);
        let sql = include_str!("sql/record_shape.sql");
        effect!("record_shape", self.write_shape(sql, store, text))
    }

    async fn write_shape(&self, sql: &str, store: StoreKind, shape: String) -> Result<()> {
        let parameters: [(&(dyn ToSql + Sync), Type); 3] =
            [(&store.name(), Type::TEXT), (&shape, Type::TEXT), (&self.run.id, Type::TEXT)];
        match self.execute_once(sql, &parameters).await? {
            0 => Err(LedgerError::Swallowed { table: "shape" }.into()),
            _ => Ok(()),
        }
    }

    /// Records the live shape of a store as it should be, with one event for each of `details`.
    pub async fn accept_shape(
        &self,
        store: StoreKind,
        recorded: &Shape,
        details: &[Value],
    ) -> Result<()> {
        let sql = include_str!("sql/accept_shape.sql");
        let run = &self.run;
        let parameters: [&(dyn ToSql + Sync); 6] =
            [&store.name(), &Json(recorded), &run.id, &run.host, &run.tool, &Json(details)];
        match effect!("accept_shape", self.execute(sql, &parameters))? {
            0 => Err(LedgerError::Swallowed { table: "shape" }.into()),
            _ => Ok(()),
        }
    }
}
