//! The ledger: one history of all migrations, in a PostgreSQL schema of its own.
//!
//! [`Ledger`] reads and never writes. [`LockedLedger`] is had by taking the lock, and only it can
//! write; when it is dropped, or its process dies, the server frees the lock. All SQL about the
//! ledger's tables is in this folder.

mod bootstrap;
mod journal;
mod lock;
mod rows;
mod seal;
mod shapes;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use tokio_postgres::error::SqlState;

pub use journal::{Claim, EventKind, Said, Settled};
pub use lock::{Holder, LockedLedger, Waiting};
pub use rows::{Row, State};
pub use shapes::{Shapes, StoredShape};

use crate::error::{Error, Exit, Result};
use crate::migration::{Down, MigrationId};
use crate::postgres::{Purpose, Session, Settings, identifier, store_error};
use crate::store_error::{StoreError, StoreErrorKind};
use crate::stores::StoreKind;
use crate::text::Checksum;

/// Where the ledger is.
#[derive(Clone, Debug)]
pub struct LedgerSettings {
    /// The database.
    pub database: Settings,
    /// The schema: lower-case letters, digits and `_`.
    pub schema: String,
}

/// A connection that reads the ledger.
pub struct Ledger {
    session: Session,
    settings: LedgerSettings,
}

/// The ledger at one moment.
#[derive(Debug, Default, PartialEq)]
pub struct Snapshot {
    /// Every row, in the order in which they were begun.
    pub rows: Vec<Row>,
    /// The stores in which a run that died changed something and did not record it.
    pub unfinished: BTreeSet<StoreKind>,
    /// Which server this ledger belongs with, by store.
    pub identities: BTreeMap<StoreKind, String>,
    /// The tags: name and the numbers of the rows that stood then.
    pub tags: Vec<(String, Vec<i64>)>,
}

impl Snapshot {
    /// The living row of a migration.
    pub fn living(&self, id: &MigrationId) -> Option<&Row> {
        self.rows.iter().rev().find(|row| row.id == *id && row.state != State::Undone)
    }

    /// All living rows, by migration.
    pub fn all_living(&self) -> BTreeMap<&MigrationId, &Row> {
        let living = self.rows.iter().filter(|row| row.state != State::Undone);
        living.map(|row| (&row.id, row)).collect()
    }

    /// The versioned migrations that stand now.
    pub fn standing(&self) -> BTreeSet<MigrationId> {
        let rows = self.rows.iter().filter(|row| row.state != State::Undone);
        rows.map(|row| &row.id).filter(|id| id.version().is_some()).cloned().collect()
    }

    /// The versioned migrations that stood when a tag was given; `None` where there is no such tag.
    /// Rows are never deleted, so that a tag means the same migrations even when they were undone
    /// and applied again since, in rows of other numbers.
    pub fn tagged(&self, name: &str) -> Option<BTreeSet<MigrationId>> {
        let (_, numbers) = self.tags.iter().find(|(tag, _)| tag == name)?;
        let rows = self.rows.iter().filter(|row| numbers.contains(&row.row));
        Some(rows.map(|row| &row.id).filter(|id| id.version().is_some()).cloned().collect())
    }

    /// The tags whose point is the present one.
    pub fn tags_here(&self) -> Vec<&str> {
        let standing = self.standing();
        let names = self.tags.iter().map(|(name, _)| name.as_str());
        names.filter(|name| self.tagged(name).as_ref() == Some(&standing)).collect()
    }
}

/// Which events are asked for; what is empty asks for nothing in particular.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// Of this kind.
    pub event: Option<String>,
    /// Of this run.
    pub run: Option<String>,
    /// Of these stores.
    pub stores: Vec<StoreKind>,
    /// About this migration.
    pub migration: Option<MigrationId>,
    /// About this object of a store.
    pub object: Option<String>,
    /// Not older than this.
    pub since: Option<chrono::DateTime<chrono::Utc>>,
}

/// Who writes: the run, for rows and events.
#[derive(Clone, Debug)]
pub struct Run {
    /// The run's id, sortable by time.
    pub id: String,
    /// The host that it runs on.
    pub host: String,
    /// This tool's version.
    pub tool: &'static str,
}

impl Run {
    /// A new run on this host.
    pub fn new() -> Run {
        let at = chrono::Utc::now().format("%Y%m%dT%H%M%S%3f");
        let host = gethostname::gethostname().to_string_lossy().into_owned();
        let id = format!("{at}-{:06x}", rand::random::<u32>() & 0xff_ffff);
        Run { id, host, tool: env!("CARGO_PKG_VERSION") }
    }

    /// The name under which the run's sessions appear on the servers.
    pub fn application(&self) -> String {
        format!("aiplat-migrate {} on {}", self.id, self.host)
    }
}

impl Default for Run {
    fn default() -> Run {
        Run::new()
    }
}

impl Ledger {
    /// Connects; reads nothing yet.
    pub async fn connect(settings: &LedgerSettings, run: &Run) -> Result<Ledger, StoreError> {
        let session = settings.database.connect(&run.application(), Purpose::Ours).await?;
        Ok(Ledger { session, settings: settings.clone() })
    }

    /// The ledger itself, and what [`Ledger::read`] gives.
    pub async fn and_read(self) -> Result<(Ledger, Snapshot)> {
        let snapshot = self.read().await?;
        Ok((self, snapshot))
    }

    /// Reads everything but the shapes in one snapshot and one round trip; a ledger that is not
    /// there yet is empty.
    pub async fn read(&self) -> Result<Snapshot> {
        let shapes = format!("SELECT store, before IS NOT NULL FROM {}.shape", self.schema_sql());
        let (mut snapshot, shapes) = self.read_with(&shapes).await?;
        let unfinished = shapes.iter().filter(|row| row.get(1));
        snapshot.unfinished =
            unfinished.filter_map(|row| row.get::<_, &str>(0).parse().ok()).collect();
        Ok(snapshot)
    }

    /// Reads everything, the shapes too, which may be large.
    pub async fn read_whole(&self) -> Result<(Snapshot, Shapes)> {
        let (mut snapshot, shapes) = self.read_with(&self.select_shapes()).await?;
        let shapes = shapes::read(&shapes);
        let unfinished = shapes.iter().filter(|(_, shape)| shape.before.is_some());
        snapshot.unfinished = unfinished.map(|(store, _)| *store).collect();
        Ok((snapshot, shapes))
    }

    async fn read_with(&self, shapes: &str) -> Result<(Snapshot, Vec<tokio_postgres::Row>)> {
        let schema = self.schema_sql();
        let rows = format!("SELECT {} FROM {schema}.ledger ORDER BY id", Row::COLUMNS);
        let identities = format!("SELECT store, identity FROM {schema}.identity");
        let tags = format!("SELECT name, rows FROM {schema}.tag ORDER BY created_at, name");
        let client = &self.session.client;
        let begin = client.batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY");
        let read = futures_util::future::join5(
            begin,
            client.query_typed(&rows, &[]),
            client.query_typed(shapes, &[]),
            client.query_typed(&identities, &[]),
            client.query_typed(&tags, &[]),
        );
        let ((_, rows, shapes, identities, tags), ended) =
            futures_util::future::join(read, client.batch_execute("COMMIT")).await;
        let rows = match rows {
            Err(error) if absent(&error) => return Ok((Snapshot::default(), Vec::new())),
            rows => rows.map_err(|error| self.error(&error))?,
        };
        let failed = |error: tokio_postgres::Error| self.error(&error);
        ended.map_err(failed)?;
        let snapshot = Snapshot {
            rows: rows.iter().filter_map(Row::read).collect(),
            unfinished: BTreeSet::new(),
            identities: identities
                .map_err(failed)?
                .iter()
                .filter_map(|row| Some((row.get::<_, &str>(0).parse().ok()?, row.get(1))))
                .collect(),
            tags: tags.map_err(failed)?.iter().map(|row| (row.get(0), row.get(1))).collect(),
        };
        Ok((snapshot, shapes.map_err(failed)?))
    }

    /// What undoes each of `rows`, as it was recorded when they were applied.
    pub async fn downs(&self, rows: &[i64]) -> Result<BTreeMap<i64, Down>> {
        let schema = self.schema_sql();
        let sql = format!("SELECT id, down FROM {schema}.ledger WHERE id = ANY ($1)");
        if rows.is_empty() {
            return Ok(BTreeMap::new());
        }
        let found = self.session.client.query(&sql, &[&rows]).await;
        Ok(found
            .map_err(|error| self.error(&error))?
            .iter()
            .map(|row| {
                let down = serde_json::from_value(row.get::<_, Value>(1)).unwrap_or(Down::None);
                (row.get(0), down)
            })
            .collect())
    }

    /// The checksum of what each of `rows` did, apart from comments and white space, where that is
    /// recorded: a ledger that only older tools wrote has no such column.
    pub async fn contents(&self, rows: &[i64]) -> Result<BTreeMap<i64, Checksum>> {
        let schema = self.schema_sql();
        let sql = format!(
            "SELECT id, content_checksum FROM {schema}.ledger \
             WHERE id = ANY ($1) AND content_checksum IS NOT NULL"
        );
        if rows.is_empty() {
            return Ok(BTreeMap::new());
        }
        match self.session.client.query(&sql, &[&rows]).await {
            Err(error) if error.code() == Some(&SqlState::UNDEFINED_COLUMN) => Ok(BTreeMap::new()),
            found => {
                let rows = found.map_err(|error| self.error(&error))?;
                let one = |row: &tokio_postgres::Row| {
                    (row.get(0), Checksum::stored(row.get::<_, String>(1)))
                };
                Ok(rows.iter().map(one).collect())
            }
        }
    }

    /// The events that `wanted` asks for, oldest first, as JSON objects; the newest `limit` of them.
    pub async fn events(&self, wanted: &Wanted, limit: i64) -> Result<Vec<Value>> {
        let schema = self.schema_sql();
        let sql = format!(
            "SELECT to_jsonb(e) FROM (SELECT * FROM {schema}.event \
             WHERE ($2::text IS NULL OR event = $2) AND ($3::text IS NULL OR run_id = $3) \
             AND (cardinality($4::text[]) = 0 OR store = ANY ($4)) \
             AND ($5::text IS NULL OR (kind = $5 AND version = $6)) \
             AND ($7::text IS NULL OR details->>'object' = $7) \
             AND ($8::timestamptz IS NULL OR at >= $8) ORDER BY id DESC LIMIT $1) e ORDER BY id"
        );
        let named = wanted.migration.as_ref().map(rows::kind_and_version);
        let stores = match &wanted.migration {
            Some(id) => vec![id.store.name()],
            None => wanted.stores.iter().map(|store| store.name()).collect(),
        };
        let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 8] = [
            &limit,
            &wanted.event,
            &wanted.run,
            &stores,
            &named.as_ref().map(|(kind, _)| *kind),
            &named.as_ref().map(|(_, version)| version.as_str()),
            &wanted.object,
            &wanted.since,
        ];
        match self.session.client.query(&sql, &parameters).await {
            Err(error) if absent(&error) => Ok(Vec::new()),
            found => {
                let rows = found.map_err(|error| self.error(&error))?;
                Ok(rows.iter().map(|row| row.get(0)).collect())
            }
        }
    }

    fn schema_sql(&self) -> String {
        identifier(&self.settings.schema)
    }

    /// The schema that holds the ledger.
    pub fn schema(&self) -> &str {
        &self.settings.schema
    }

    fn error(&self, error: &tokio_postgres::Error) -> Error {
        ledger_error(&store_error(error), &self.settings)
    }
}

/// Whether the ledger's schema or tables are simply not there yet.
fn absent(error: &tokio_postgres::Error) -> bool {
    let code = error.code();
    code == Some(&SqlState::UNDEFINED_TABLE) || code == Some(&SqlState::INVALID_SCHEMA_NAME)
}

/// PostgreSQL's code for a right that the role does not have.
const MAY_NOT: &str = "42501";

/// An error of the ledger's own database.
pub fn ledger_error(error: &StoreError, settings: &LedgerSettings) -> Error {
    let address = settings.database.address();
    let (exit, message) = match error.kind {
        StoreErrorKind::Unreachable => {
            (Exit::Unreachable, format!("cannot reach the ledger in PostgreSQL at {address}"))
        }
        StoreErrorKind::Credentials => {
            (Exit::Usage, format!("cannot log in to the ledger in PostgreSQL at {address}"))
        }
        StoreErrorKind::Settings => {
            (Exit::Usage, "the settings of the ledger's database are wrong".to_string())
        }
        StoreErrorKind::Refused if error.code.as_deref() == Some(MAY_NOT) => {
            (Exit::Usage, format!("the ledger's role lacks a right in PostgreSQL at {address}"))
        }
        StoreErrorKind::Refused => {
            (Exit::Failed, format!("the ledger in PostgreSQL at {address} failed"))
        }
    };
    let mut result = Error::new(exit, message).because(error);
    for detail in &error.details {
        result = result.because(detail);
    }
    match (&error.hint, error.code.as_deref()) {
        (Some(hint), _) => result.hint(hint),
        (None, Some(MAY_NOT)) => result.hint(format!(
            "the ledger's role needs the schema `{0}`: have an administrator run \
             CREATE SCHEMA {0} AUTHORIZATION <role>",
            settings.schema
        )),
        (None, _) => result,
    }
}
