//! The ledger: one history of all migrations, in a PostgreSQL schema of its own.
//!
//! [`Ledger`] reads and never writes. [`LockedLedger`] is had by taking the lock, and only it can
//! write; when it is dropped, or its process dies, the server frees the lock. All SQL about the
//! ledger's tables is in this folder: the tables and their functions in `migrations`, the statements in
//! `sql`. Both only ever grow: an older version's statements work on a newer ledger.

mod bootstrap;
mod errors;
mod journal;
mod lock;
mod record;
mod rows;
mod seal;
mod shapes;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use tokio_postgres::error::SqlState;

pub use errors::{LedgerError, ledger_error};
pub use journal::{Claim, EventKind, Said};
pub use lock::{Holder, LockedLedger, Waiting};
pub use rows::{Row, State};
pub use shapes::{Lost, Shapes, StoredShape};

use record::{Record, Table};

use crate::clock;
use crate::error::{Error, Result};
use crate::migration::{Down, MigrationId};
use crate::postgres::{IDENTITY, MAY_NOT, Purpose, Session, Settings, identifier, store_error};
use crate::store_error::StoreError;
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

/// Its tables.
const TABLES: [&str; 6] =
    ["refinery_schema_history", "ledger", "event", "shape", "tag", "identity"];

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
    /// The stores in it that this version does not know: a newer one was at work there.
    pub newer_stores: BTreeSet<String>,
    /// The migrations that stand in those stores, and what each requires, as it is written.
    pub newer_rows: Vec<(String, Vec<String>)>,
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

    /// The migration in a store that this version does not know which requires `id`, if one does.
    pub fn required_by_newer(&self, id: &MigrationId) -> Option<&str> {
        let required = id.argument();
        let row = self.newer_rows.iter().find(|(_, requires)| requires.contains(&required));
        row.map(|(name, _)| name.as_str())
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
        let at = clock::now().format("%Y%m%dT%H%M%S%3f");
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
        let (mut snapshot, unfinished) = self.read_with(include_str!("sql/unfinished.sql")).await?;
        for row in &unfinished {
            let store = Record::of(Table::Shape, row).store(0, &mut snapshot.newer_stores)?;
            snapshot.unfinished.extend(store);
        }
        Ok(snapshot)
    }

    /// Reads everything, the shapes too, which may be large.
    pub async fn read_whole(&self) -> Result<(Snapshot, Shapes)> {
        let (mut snapshot, shapes) = self.read_with(shapes::SELECT).await?;
        let shapes = shapes::read(&shapes, &mut snapshot.newer_stores)?;
        let unfinished = shapes.iter().filter(|(_, shape)| shape.before.is_some());
        snapshot.unfinished = unfinished.map(|(store, _)| *store).collect();
        Ok((snapshot, shapes))
    }

    async fn read_with(&self, shapes: &str) -> Result<(Snapshot, Vec<tokio_postgres::Row>)> {
        let (rows, shapes) = (self.sql(include_str!("sql/rows.sql")), self.sql(shapes));
        let identities = self.sql(include_str!("sql/identities.sql"));
        let tags = self.sql(include_str!("sql/tags.sql"));
        let client = &self.session.client;
        let begin = client.batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY");
        let read = futures_util::future::join5(
            begin,
            client.query_typed(&rows, &[]),
            client.query_typed(&shapes, &[]),
            client.query_typed(&identities, &[]),
            client.query_typed(&tags, &[]),
        );
        let ((_, rows, shapes, identities, tags), ended) =
            futures_util::future::join(read, client.batch_execute("COMMIT")).await;
        let rows = match rows {
            Err(error) if absent(&error) => {
                self.is_whole_or_absent().await?;
                return Ok((Snapshot::default(), Vec::new()));
            }
            rows => rows.map_err(|error| self.error(&error))?,
        };
        // The first of them that fails says why; the others only that the transaction is over.
        let mut answers = Vec::new();
        for answer in [shapes, identities, tags] {
            match answer {
                Err(error) if absent(&error) => {
                    self.is_whole_or_absent().await?;
                    return Err(self.error(&error));
                }
                answer => answers.push(answer.map_err(|error| self.error(&error))?),
            }
        }
        ended.map_err(|error| self.error(&error))?;
        let [shapes, identities, tags] = <[Answer; 3]>::try_from(answers).unwrap_or_default();
        Ok((snapshot((rows, identities, tags))?, shapes))
    }

    /// A ledger of which no table is there is one that was not begun; one that lacks some of them is
    /// damaged.
    async fn is_whole_or_absent(&self) -> Result<()> {
        let asked = "SELECT pg_catalog.to_regclass(pg_catalog.format('%I.%I', $1::text, t)) IS NULL, t \
                     FROM pg_catalog.unnest($2::text[]) t";
        let schema = &self.settings.schema;
        let found = self.session.client.query(asked, &[schema, &TABLES.as_slice()]).await;
        let found = found.map_err(|error| self.error(&error))?;
        let missing = found.iter().filter(|row| row.get(0)).map(|row| row.get(1));
        let missing: Vec<String> = missing.collect();
        match (1..TABLES.len()).contains(&missing.len()) {
            true => Err(LedgerError::Damaged { schema: schema.clone(), missing }.into()),
            false => Ok(()),
        }
    }

    /// Which server and which database the ledger is in; `None` where its role may not know.
    pub async fn identity(&self) -> Result<Option<String>> {
        let asked = format!("SELECT {IDENTITY}");
        match self.session.client.query_typed(&asked, &[]).await {
            Err(error) if error.code().is_some_and(|code| code.code() == MAY_NOT) => Ok(None),
            rows => {
                let rows = rows.map_err(|error| self.error(&error))?;
                Ok(rows.first().and_then(|row| row.get(0)))
            }
        }
    }

    /// What undoes each of `rows`, as it was recorded when they were applied.
    pub async fn downs(&self, rows: &[i64]) -> Result<BTreeMap<i64, Down>> {
        let one = |record: &Record<'_>| Ok((record.get(0)?, record.json(3)?));
        self.of_rows(include_str!("sql/downs.sql"), rows, one).await
    }

    /// The checksum of what each of `rows` did, apart from comments and white space, where that is
    /// recorded.
    pub async fn contents(&self, rows: &[i64]) -> Result<BTreeMap<i64, Checksum>> {
        let one =
            |record: &Record<'_>| Ok((record.get(0)?, Checksum::stored(record.get::<String>(3)?)));
        self.of_rows(include_str!("sql/contents.sql"), rows, one).await
    }

    /// What `read` makes of the answer to `sql` about `rows`.
    async fn of_rows<T>(
        &self,
        sql: &str,
        rows: &[i64],
        read: impl Fn(&Record<'_>) -> Result<(i64, T), LedgerError>,
    ) -> Result<BTreeMap<i64, T>> {
        if rows.is_empty() {
            return Ok(BTreeMap::new());
        }
        let found = self.session.client.query(&self.sql(sql), &[&rows]).await;
        let found = found.map_err(|error| self.error(&error))?;
        let found = found.iter().map(|row| read(&Record::of(Table::Ledger, row)));
        Ok(found.collect::<Result<_, _>>()?)
    }

    /// The events that `wanted` asks for, oldest first, as JSON objects; the newest `limit` of them.
    pub async fn events(&self, wanted: &Wanted, limit: i64) -> Result<Vec<Value>> {
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
        let sql = self.sql(include_str!("sql/events.sql"));
        match self.session.client.query(&sql, &parameters).await {
            Err(error) if absent(&error) => self.is_whole_or_absent().await.map(|()| Vec::new()),
            found => {
                let rows = found.map_err(|error| self.error(&error))?;
                let events = rows.iter().map(|row| row.try_get(0));
                events.collect::<Result<_, _>>().map_err(|error| self.error(&error))
            }
        }
    }

    /// A statement of `sql/` that reads.
    fn sql(&self, statement: &str) -> String {
        statement.replace("$schema", &self.schema_sql())
    }

    fn schema_sql(&self) -> String {
        identifier(&self.settings.schema)
    }

    /// The schema that holds the ledger.
    pub fn schema(&self) -> &str {
        &self.settings.schema
    }

    /// Every column that this version reads was in its tables from the first release on.
    fn error(&self, error: &tokio_postgres::Error) -> Error {
        match error.code() {
            Some(&SqlState::UNDEFINED_COLUMN) => before_first_release(&self.settings).into(),
            Some(_) | None => ledger_error(&store_error(error), &self.settings),
        }
    }
}

fn before_first_release(settings: &LedgerSettings) -> LedgerError {
    LedgerError::BeforeFirstRelease { schema: settings.schema.clone() }
}

type Answer = Vec<tokio_postgres::Row>;

/// What `rows`, `identities` and `tags` say.
fn snapshot((rows, identities, tags): (Answer, Answer, Answer)) -> Result<Snapshot, LedgerError> {
    let mut snapshot = Snapshot::default();
    for row in &rows {
        let record = Record::of(Table::Ledger, row);
        if let Some(store) = record.store(1, &mut snapshot.newer_stores)? {
            snapshot.rows.push(Row::read(&record, store, &mut snapshot.newer_stores)?);
        } else if record.get::<&str>(8)? != State::Undone.name() {
            let name = format!("{}@{}", record.get::<&str>(1)?, record.get::<&str>(2)?);
            snapshot.newer_rows.push((name, record.json(15)?));
        }
    }
    for row in &identities {
        let record = Record::of(Table::Identity, row);
        if let Some(store) = record.store(0, &mut snapshot.newer_stores)? {
            snapshot.identities.insert(store, record.get(1)?);
        }
    }
    for row in &tags {
        let record = Record::of(Table::Tag, row);
        snapshot.tags.push((record.get(0)?, record.get(1)?));
    }
    Ok(snapshot)
}

/// Whether the ledger's schema or tables are simply not there yet.
fn absent(error: &tokio_postgres::Error) -> bool {
    let code = error.code();
    code == Some(&SqlState::UNDEFINED_TABLE) || code == Some(&SqlState::INVALID_SCHEMA_NAME)
}
