//! What a command found and did, as a Prometheus text file.
//!
//! The names and what they count are documented in docs/observability.md.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::clock;
use crate::error::Exit;
use crate::execute::{Direction, Event, Listener, Stand};
use crate::file;
use crate::migration::MigrationId;
use crate::plan::Status;
use crate::stores::StoreKind;

/// Collects the figures of one command while it runs.
#[derive(Default)]
pub struct Metrics(Mutex<Figures>);

#[derive(Default)]
struct Figures {
    stands: BTreeMap<MigrationId, (Status, Option<DateTime<Utc>>)>,
    took: BTreeMap<StoreKind, Duration>,
    drift: BTreeMap<StoreKind, usize>,
    lock_wait: Duration,
}

/// How a command ended, for the figures of the run.
#[derive(Clone, Copy, Debug)]
pub struct Ended {
    /// The verb.
    pub command: &'static str,
    /// How the process ends.
    pub exit: Exit,
    /// How long it took.
    pub took: Duration,
    /// When.
    pub at: DateTime<Utc>,
}

impl Listener for Metrics {
    fn event(&self, event: Event) {
        let mut figures = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            Event::Compared(stands) => figures.compared(&stands),
            Event::Drift { store, objects } => {
                figures.drift.insert(store, objects);
            }
            Event::LockWaited { took, .. } => figures.lock_wait += took,
            Event::Settled { id, direction, took, .. } => figures.settled(id, direction, took),
            Event::Failed { id } => {
                let settled_at = figures.stands.get(&id).and_then(|(_, at)| *at);
                figures.stands.insert(id, (Status::Failed, settled_at));
            }
            Event::LockWait(_)
            | Event::StoreWait { .. }
            | Event::Connected(_)
            | Event::Started { .. }
            | Event::Step { .. }
            | Event::Progress { .. }
            | Event::StepEnded { .. }
            | Event::Notice { .. }
            | Event::Retry { .. }
            | Event::Stopping { .. }
            | Event::Warning(_) => {}
        }
    }
}

impl Figures {
    fn compared(&mut self, stands: &[Stand]) {
        let of = |stand: &Stand| (stand.id.clone(), (stand.status, stand.settled_at));
        self.stands = stands.iter().map(of).collect();
    }

    fn settled(&mut self, id: MigrationId, direction: Direction, took: Duration) {
        *self.took.entry(id.store).or_default() += took;
        match direction {
            Direction::Up => self.stands.insert(id, (Status::Applied, Some(clock::now()))),
            Direction::Down => self.stands.insert(id, (Status::Pending, None)),
        };
    }

    /// How many migrations of each store are in one of `states`; 0 where a store has others.
    fn count(&self, states: &[Status]) -> BTreeMap<StoreKind, f64> {
        let mut counts = BTreeMap::new();
        for (id, (status, _)) in &self.stands {
            let count = counts.entry(id.store).or_insert(0.0);
            if states.contains(status) {
                *count += 1.0;
            }
        }
        counts
    }

    fn last_success(&self) -> BTreeMap<StoreKind, f64> {
        let mut newest: BTreeMap<StoreKind, f64> = BTreeMap::new();
        for (id, (status, at)) in &self.stands {
            let applied = matches!(status, Status::Applied | Status::Future | Status::Changed);
            if let Some(at) = at.filter(|_| applied) {
                let newest = newest.entry(id.store).or_default();
                *newest = newest.max(seconds_of(&at));
            }
        }
        newest
    }
}

impl Metrics {
    /// The text file.
    pub fn text(&self, ended: Ended) -> String {
        let figures = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut text = String::new();
        let mut by_store = |name: &str, help: &str, values: BTreeMap<StoreKind, f64>| {
            let values = values.iter().map(|(store, value)| (format!("store=\"{store}\""), *value));
            family(&mut text, name, help, values);
        };
        let states = |states: &[Status]| figures.count(states);
        by_store(
            "pending",
            "Migrations that are not applied.",
            states(&[Status::Pending, Status::OutOfOrder]),
        );
        by_store(
            "applied",
            "Migrations that are applied.",
            states(&[
                Status::Applied,
                Status::Baseline,
                Status::Future,
                Status::Changed,
                Status::Missing,
            ]),
        );
        by_store(
            "failed",
            "Migrations that failed, are half done or in doubt.",
            states(&[Status::Failed, Status::Running, Status::Undoing, Status::InDoubt]),
        );
        by_store(
            "last_success_timestamp_seconds",
            "When a migration was last applied.",
            figures.last_success(),
        );
        by_store(
            "duration_seconds",
            "How long the migrations took that this run settled.",
            figures.took.iter().map(|(store, took)| (*store, took.as_secs_f64())).collect(),
        );
        by_store(
            "drift_objects",
            "Objects that are not as the ledger recorded them.",
            figures.drift.iter().map(|(store, objects)| (*store, *objects as f64)).collect(),
        );
        let mut of_run = |name: &str, help: &str, value: f64| {
            let label = format!("command=\"{}\"", ended.command);
            family(&mut text, name, help, [(label, value)].into_iter());
        };
        of_run(
            "lock_wait_seconds",
            "How long the run waited for the lock.",
            figures.lock_wait.as_secs_f64(),
        );
        of_run("run_duration_seconds", "How long the run took.", ended.took.as_secs_f64());
        of_run("run_exit_code", "The exit code of the run.", ended.exit.code().into());
        of_run("run_timestamp_seconds", "When the run ended.", seconds_of(&ended.at));
        text
    }

    /// Writes the text file: whoever reads it finds the old one or the new one, whole.
    pub fn write(&self, path: &Path, ended: Ended) -> std::io::Result<()> {
        file::replace(path, &self.text(ended))
    }
}

fn seconds_of(at: &DateTime<Utc>) -> f64 {
    at.timestamp_millis() as f64 / 1000.0
}

fn family(text: &mut String, name: &str, help: &str, values: impl Iterator<Item = (String, f64)>) {
    let mut values = values.peekable();
    if values.peek().is_none() {
        return;
    }
    let name = format!("aiplat_migrate_{name}");
    // Writing to a string does not fail.
    let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} gauge");
    for (label, value) in values {
        let _ = writeln!(text, "{name}{{{label}}} {value}");
    }
}
