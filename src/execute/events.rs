//! What happens while a run is at work, as values; `report` shows them.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::ledger::Holder;
use crate::migration::MigrationId;
use crate::plan::Status;
use crate::stores::Progress;
use crate::stores::StoreKind;

/// Up or down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Migrations are applied.
    Up,
    /// Migrations are undone.
    Down,
}

impl Direction {
    /// As stored.
    pub fn name(self) -> &'static str {
        match self {
            Direction::Up => "up",
            Direction::Down => "down",
        }
    }
}

/// How a step ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StepEnd {
    /// It was done now.
    Done,
    /// What it wants was there already, made by somebody else.
    Found,
    /// What it was to take away was not there.
    Absent,
    /// An earlier run had done it and died before it could say so.
    DoneBefore,
}

/// How one migration stands.
#[derive(Clone, Debug)]
pub struct Stand {
    /// The migration.
    pub id: MigrationId,
    /// Its state.
    pub status: Status,
    /// When it was last settled.
    pub settled_at: Option<DateTime<Utc>>,
}

/// One thing that happened.
#[derive(Clone, Debug)]
pub enum Event {
    /// The lock is held by another run.
    LockWait(Holder),
    /// The lock was waited for.
    LockWaited {
        /// How long.
        took: Duration,
        /// Whether it was had.
        had: bool,
    },
    /// How the migrations stand, before the command does anything about it.
    Compared(Arc<[Stand]>),
    /// A store was held against its recorded shape.
    Drift {
        /// The store.
        store: StoreKind,
        /// How many objects differ.
        objects: usize,
    },
    /// A store does not answer yet.
    StoreWait {
        /// The store.
        store: StoreKind,
        /// How often it was tried.
        attempt: u32,
        /// What it said.
        error: String,
    },
    /// A store is connected.
    Connected(StoreKind),
    /// A migration is begun, or gone on with after its first steps.
    Started {
        /// The migration.
        id: MigrationId,
        /// Its description.
        description: String,
        /// Up or down.
        direction: Direction,
        /// Its steps in all.
        steps: usize,
        /// How many of them an earlier run did.
        done: usize,
    },
    /// A step is begun.
    Step {
        /// The migration.
        id: MigrationId,
        /// Which step, from 1.
        step: usize,
        /// How many there are.
        steps: usize,
        /// What it does.
        label: String,
    },
    /// A long step is this far.
    Progress {
        /// The migration.
        id: MigrationId,
        /// How far.
        progress: Progress,
    },
    /// A step ended well.
    StepEnded {
        /// The migration.
        id: MigrationId,
        /// What it did.
        label: String,
        /// How it ended.
        end: StepEnd,
        /// How long it took.
        took: Duration,
    },
    /// The server said something.
    Notice {
        /// The store.
        store: StoreKind,
        /// The migration it said it in.
        id: Option<MigrationId>,
        /// What it said.
        text: String,
    },
    /// A step is tried again.
    Retry {
        /// The migration.
        id: MigrationId,
        /// How often it was tried.
        attempt: u32,
        /// Why.
        error: String,
    },
    /// A migration ended well, confirmed by its store and the ledger.
    Settled {
        /// The migration.
        id: MigrationId,
        /// Its description.
        description: String,
        /// Up or down.
        direction: Direction,
        /// How long it took.
        took: Duration,
    },
    /// A migration failed.
    Failed {
        /// The migration.
        id: MigrationId,
    },
    /// The user asked for the run's end.
    Stopping {
        /// How long the steps under way still have.
        grace: Duration,
    },
    /// Anything else worth a line.
    Warning(String),
}

/// Where a run tells its events.
pub trait Listener: Send + Sync {
    /// Something happened.
    fn event(&self, event: Event);
}

/// Tells both, or the one that is there.
impl<A: Listener + ?Sized, B: Listener + ?Sized> Listener for (Arc<A>, Option<Arc<B>>) {
    fn event(&self, event: Event) {
        if let Some(second) = &self.1 {
            second.event(event.clone());
        }
        self.0.event(event);
    }
}
