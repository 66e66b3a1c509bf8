//! What the ledger says of each migration.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::LedgerError;
use super::record::Record;
use crate::migration::{Key, MigrationId, Requirement};
use crate::stores::{Before, Position, StoreKind};
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
    /// In a state that only a newer version of this tool knows, such as `held`: neither applied nor
    /// undone here.
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
    /// The other tool that applied it; `None` for this one.
    pub origin: Option<String>,
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
    /// Whether its state was set by somebody other than this tool: a run that is in the middle of a
    /// migration keeps the hashes of its steps, and drops them when it settles it.
    pub fn is_set_by_hand(&self) -> bool {
        let is_open =
            matches!(self.state, State::Running | State::Failed | State::Undoing | State::InDoubt);
        is_open && self.steps_total > 0 && self.step_hashes.is_empty()
    }

    /// Reads a row of `rows.sql`.
    pub(super) fn read(
        record: &Record<'_>,
        store: StoreKind,
        newer: &mut BTreeSet<String>,
    ) -> Result<Row, LedgerError> {
        let key = match record.get(3)? {
            "versioned" => Key::Version(record.parsed(2)?),
            "repeatable" => Key::Repeatable(record.get(2)?),
            other => return Err(record.unreadable(3, format!("it is `{other}`"))),
        };
        let undoing = match record.get(9)? {
            "up" => false,
            "down" => true,
            other => return Err(record.unreadable(9, format!("it is `{other}`"))),
        };
        Ok(Row {
            row: record.get(0)?,
            id: MigrationId { store, key },
            run: record.get(4)?,
            description: record.get(5)?,
            script: record.get(6)?,
            checksum: Checksum::stored(record.get::<String>(7)?),
            state: State::of(record.get(8)?),
            undoing,
            steps_total: record.count(10)?,
            steps_done: record.count(11)?,
            step_hashes: record.json(12)?,
            claimed: record.json_if_any(13)?,
            position: record.get::<Option<Value>>(14)?.map(Position),
            requires: record.requirements(15, newer)?,
            origin: record.get(16)?,
            installed_by: record.get(17)?,
            started_at: record.get(18)?,
            finished_at: record.get(19)?,
            execution_ms: record.get(20)?,
            error: record.get(21)?,
        })
    }
}

/// The two columns that name a migration in the ledger: kind and version.
pub(super) fn kind_and_version(id: &MigrationId) -> (&'static str, String) {
    match &id.key {
        Key::Version(version) => ("versioned", version.to_string()),
        Key::Repeatable(description) => ("repeatable", description.clone()),
    }
}
