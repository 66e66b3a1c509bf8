//! What the ledger says of each migration.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::migration::{Key, MigrationId, Requirement};
use crate::stores::StoreKind;
use crate::stores::{Before, Position};
use crate::text::Checksum;

/// The state of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// A run is at it, or died in it.
    Running,
    /// Done.
    Applied,
    /// A step failed; the next `up` goes on there.
    Failed,
    /// A `down` is at it, or died in it.
    Undoing,
    /// Undone; the row is history.
    Undone,
    /// A step's end is not known and the store cannot tell.
    #[serde(rename = "in doubt")]
    InDoubt,
    /// Taken as applied when the ledger was begun.
    Baseline,
    /// In a state that only a newer version of this tool knows: neither applied nor undone here.
    #[serde(skip)]
    Newer,
}

impl State {
    /// As stored.
    pub fn name(self) -> &'static str {
        match self {
            State::Running => "running",
            State::Applied => "applied",
            State::Failed => "failed",
            State::Undoing => "undoing",
            State::Undone => "undone",
            State::InDoubt => "in doubt",
            State::Baseline => "baseline",
            State::Newer => "newer",
        }
    }

    /// One that a newer version of this tool wrote is none of ours: taken for done here, it is safe
    /// from being done twice.
    fn of(name: &str) -> State {
        [
            State::Running,
            State::Applied,
            State::Failed,
            State::Undoing,
            State::Undone,
            State::InDoubt,
            State::Baseline,
        ]
        .into_iter()
        .find(|state| state.name() == name)
        .unwrap_or(State::Newer)
    }
}

/// One row: one migration as it was, or is being, executed.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// The row's number; rows are in the order in which they were begun.
    pub row: i64,
    /// The migration.
    pub id: MigrationId,
    /// The run that last wrote it.
    pub run: String,
    /// Its description.
    pub description: String,
    /// Its file.
    pub script: String,
    /// The checksum of the file when it was applied.
    pub checksum: Checksum,
    /// Its state.
    pub state: State,
    /// Whether it is being undone.
    pub undoing: bool,
    /// Its steps in all.
    pub steps_total: usize,
    /// How many of them are done.
    pub steps_done: usize,
    /// The hash of each step's text, of a journalled migration that is not settled.
    pub step_hashes: Vec<String>,
    /// What stood before the step that is claimed; `None` when no step is claimed.
    pub claimed: Option<Before>,
    /// The position inside the claimed step.
    pub position: Option<Position>,
    /// What had to be applied before it.
    pub requires: Vec<Requirement>,
    /// The database role that applied it.
    pub installed_by: String,
    /// When it was begun.
    pub started_at: DateTime<Utc>,
    /// When it ended.
    pub finished_at: Option<DateTime<Utc>>,
    /// How long it took, in milliseconds.
    pub execution_ms: Option<i64>,
    /// What went wrong last.
    pub error: Option<Value>,
}

impl Row {
    /// The columns that [`Row::read`] reads, in its order.
    pub(super) const COLUMNS: &'static str = "id, store, kind, version, run_id, description, script, checksum, state, \
         steps_total, steps_done, step_hashes, before, position, requires, installed_by, \
         started_at, finished_at, execution_ms, error, direction = 'down'";

    /// Reads a row; one of a store that this version does not know is `None`: a newer tool wrote it.
    pub(super) fn read(row: &tokio_postgres::Row) -> Option<Row> {
        let store: StoreKind = row.get::<_, &str>(1).parse().ok()?;
        let version: &str = row.get(3);
        let key = match row.get(2) {
            "repeatable" => Key::Repeatable(version.to_string()),
            _ => Key::Version(version.parse().ok()?),
        };
        let requires: Value = row.get(14);
        Some(Row {
            row: row.get(0),
            id: MigrationId { store, key },
            run: row.get(4),
            description: row.get(5),
            script: row.get(6),
            checksum: Checksum::stored(row.get::<_, String>(7)),
            state: State::of(row.get(8)),
            steps_total: count(row.get(9)),
            steps_done: count(row.get(10)),
            step_hashes: serde_json::from_value(row.get(11)).unwrap_or_default(),
            claimed: row.get::<_, Option<Value>>(12).and_then(|v| serde_json::from_value(v).ok()),
            position: row.get::<_, Option<Value>>(13).map(Position),
            requires: texts(&requires).filter_map(|text| text.parse().ok()).collect(),
            installed_by: row.get(15),
            started_at: row.get(16),
            finished_at: row.get(17),
            execution_ms: row.get(18),
            error: row.get(19),
            undoing: row.get(20),
        })
    }
}

fn count(number: i32) -> usize {
    usize::try_from(number).unwrap_or(0)
}

fn texts(list: &Value) -> impl Iterator<Item = &str> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str)
}

/// The two columns that name a migration in the ledger: kind and version.
pub(super) fn kind_and_version(id: &MigrationId) -> (&'static str, String) {
    match &id.key {
        Key::Version(version) => ("versioned", version.to_string()),
        Key::Repeatable(description) => ("repeatable", description.clone()),
    }
}
