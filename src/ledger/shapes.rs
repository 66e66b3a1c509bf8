//! The recorded shapes, and the before-picture of a run that is not finished.

use std::collections::BTreeMap;

use serde_json::Value;
use tokio_postgres::types::{Json, ToSql, Type};

use super::{Ledger, LockedLedger};
use crate::error::{Error, Result};
use crate::failpoint::effect;
use crate::shape::Shape;
use crate::stores::StoreKind;

/// What the ledger holds of one store's shape.
#[derive(Clone, Debug, Default)]
pub struct StoredShape {
    /// What the migrations made.
    pub recorded: Shape,
    /// The live shape before the first effect of a run that has not recorded its own yet.
    pub before: Option<Shape>,
}

impl StoredShape {
    /// What is recorded, with what a run changed that died before it could record it: the next run
    /// will record it so.
    pub fn as_of(&self, live: &Shape) -> Shape {
        match &self.before {
            None => self.recorded.clone(),
            Some(before) => self.recorded.clone().with(&before.changes_to(live)),
        }
    }
}

/// The recorded shapes, by store.
pub type Shapes = BTreeMap<StoreKind, StoredShape>;

impl Ledger {
    pub(super) fn select_shapes(&self) -> String {
        format!("SELECT store, recorded, before FROM {}.shape", self.schema_sql())
    }

    /// The recorded shapes.
    pub async fn shapes(&self) -> Result<Shapes> {
        let rows = self.session.client.query_typed(&self.select_shapes(), &[]).await;
        Ok(read(&rows.map_err(|error| self.error(&error))?))
    }
}

pub(super) fn read(rows: &[tokio_postgres::Row]) -> Shapes {
    rows.iter()
        .filter_map(|row| {
            let store = row.get::<_, &str>(0).parse().ok()?;
            let recorded = row.try_get::<_, Json<Shape>>(1).map(|Json(shape)| shape);
            let before = row.try_get::<_, Option<Json<Shape>>>(2).ok().flatten();
            let before = before.map(|Json(shape)| shape);
            Some((store, StoredShape { recorded: recorded.unwrap_or_default(), before }))
        })
        .collect()
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
        let sql = format!(
            "INSERT INTO {}.shape AS s (store, before, run_id) VALUES ($1, $2::jsonb, $3) \
             ON CONFLICT (store) DO UPDATE SET before = coalesce(s.before, excluded.before), \
             run_id = excluded.run_id, updated_at = clock_timestamp()",
            self.schema_sql()
        );
        effect!("keep_before", self.write_shape(&sql, store, json(before)?))
    }

    /// The recorded shape of `store` now.
    pub async fn recorded(&self, store: StoreKind) -> Result<Shape> {
        let sql = format!("SELECT recorded FROM {}.shape WHERE store = $1", self.schema_sql());
        let row = self.ledger.session.client.query_opt(&sql, &[&store.name()]).await;
        let row = row.map_err(|error| self.error(&error))?;
        let recorded = row.and_then(|row| row.try_get::<_, Json<Shape>>(0).ok());
        Ok(recorded.map(|Json(shape)| shape).unwrap_or_default())
    }

    /// Records the shape of a store and drops the before-picture. The shape is gone when it is sent:
    /// it may be the largest that a run holds.
    pub async fn record_shape(&self, store: StoreKind, recorded: Shape) -> Result<()> {
        let text = json(&recorded)?;
        drop(recorded);
        let sql = format!(
            "INSERT INTO {}.shape AS s (store, recorded, run_id) VALUES ($1, $2::jsonb, $3) \
             ON CONFLICT (store) DO UPDATE SET recorded = excluded.recorded, before = NULL, \
             run_id = excluded.run_id, updated_at = clock_timestamp()",
            self.schema_sql()
        );
        effect!("record_shape", self.write_shape(&sql, store, text))
    }

    async fn write_shape(&self, sql: &str, store: StoreKind, shape: String) -> Result<()> {
        let parameters: [(&(dyn ToSql + Sync), Type); 3] =
            [(&store.name(), Type::TEXT), (&shape, Type::TEXT), (&self.run.id, Type::TEXT)];
        let written = self.execute_once(sql, &parameters).await;
        written.map(|_| ())
    }

    /// Records the live shape of a store as it should be, with one event for each of `details`.
    pub async fn accept_shape(
        &self,
        store: StoreKind,
        recorded: &Shape,
        details: &[Value],
    ) -> Result<()> {
        let schema = self.schema_sql();
        let sql = format!(
            "WITH told AS (INSERT INTO {schema}.event (run_id, event, store, host, tool_version, details) \
             SELECT $3, 'repaired', $1, $4, $5, d FROM jsonb_array_elements($6::jsonb) d) \
             INSERT INTO {schema}.shape AS s (store, recorded, run_id) VALUES ($1, $2, $3) \
             ON CONFLICT (store) DO UPDATE SET recorded = excluded.recorded, before = NULL, \
             run_id = excluded.run_id, updated_at = clock_timestamp()"
        );
        let run = &self.run;
        let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 6] =
            [&store.name(), &Json(recorded), &run.id, &run.host, &run.tool, &Json(details)];
        effect!("accept_shape", self.execute(&sql, &parameters)).map(|_| ())
    }
}
