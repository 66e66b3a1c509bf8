//! Lanes: one per store, side by side; each takes its migrations in order as soon as what they
//! require is settled.

use std::collections::{BTreeMap, BTreeSet};

use tokio::sync::watch;

use super::{Connected, Context, Event, Task, journalled, sealed};
use crate::error::{Error, Exit, Result};
use crate::migration::MigrationId;
use crate::stores::Store;
use crate::stores::StoreKind;

/// How a run ended.
#[derive(Default)]
pub struct Outcome {
    /// What was settled, in that order.
    pub settled: Vec<MigrationId>,
    /// What failed, and how.
    pub failed: Vec<(MigrationId, Error)>,
    /// What was not begun.
    pub not_begun: Vec<MigrationId>,
}

/// What the lanes know of each other.
#[derive(Default)]
pub(super) struct Board {
    settled: Vec<MigrationId>,
    settled_ids: BTreeSet<MigrationId>,
    failed: Vec<(MigrationId, Error)>,
    stopped: bool,
}

/// The board as the lanes use it.
pub(super) struct Lanes {
    board: watch::Sender<Board>,
    stores: usize,
}

/// Whether a migration may begin.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Start {
    /// All it requires is settled.
    Now,
    /// Something it requires is under way.
    Later,
    /// Nothing more is begun.
    Never,
}

impl Lanes {
    /// Whether the run touches one store only.
    pub(super) fn is_alone(&self) -> bool {
        self.stores == 1
    }

    pub(super) fn start(&self, context: &Context<'_>, task: &Task) -> Start {
        self.start_except(context, task, &|_| false)
    }

    /// The same, where `given` tells which requirements are taken care of otherwise.
    pub(super) fn start_except(
        &self,
        context: &Context<'_>,
        task: &Task,
        given: &dyn Fn(&MigrationId) -> bool,
    ) -> Start {
        let board = self.board.borrow();
        if board.stopped || context.interrupt.is_stopping() || context.ledger.is_lost() {
            return Start::Never;
        }
        match task.after.iter().all(|id| given(id) || board.settled_ids.contains(id)) {
            true => Start::Now,
            false => Start::Later,
        }
    }

    /// Waits until `task` may begin, or until nothing more may.
    pub(super) async fn wait(&self, context: &Context<'_>, task: &Task) -> Start {
        let mut board = self.board.subscribe();
        loop {
            board.mark_unchanged();
            match self.start(context, task) {
                Start::Later => {}
                decided => return decided,
            }
            tokio::select! {
                _ = board.changed() => {}
                () = context.interrupt.stopping() => {}
                () = tokio::time::sleep(std::time::Duration::from_secs(1)) => {}
            }
        }
    }

    pub(super) fn settled(&self, id: &MigrationId) {
        self.board.send_modify(|board| {
            board.settled.push(id.clone());
            board.settled_ids.insert(id.clone());
        });
    }

    pub(super) fn failed(&self, context: &Context<'_>, id: &MigrationId, error: Error) {
        context.listener.event(Event::Failed { id: id.clone() });
        self.board.send_modify(|board| {
            board.failed.push((id.clone(), error));
            board.stopped = true;
        });
    }
}

/// Executes `tasks` on `stores`; what was done, what failed, what was not begun.
pub async fn run(context: &Context<'_>, tasks: &[Task], stores: &Connected) -> Outcome {
    let mut by_store: BTreeMap<StoreKind, Vec<&Task>> = BTreeMap::new();
    for task in tasks {
        by_store.entry(task.id().store).or_default().push(task);
    }
    let lanes = Lanes { board: watch::Sender::new(Board::default()), stores: by_store.len() };
    let work = by_store.iter().map(async |(kind, tasks)| match stores.get(kind) {
        Some(store) => lane(context, &lanes, store, tasks).await,
        None => {
            let error = Error::failed(format!("{kind} is not connected"));
            lanes.failed(context, tasks[0].id(), error);
        }
    });
    futures_util::future::join_all(work).await;
    let board = lanes.board.send_replace(Board::default());
    let touched = |id: &MigrationId| {
        board.settled_ids.contains(id) || board.failed.iter().any(|(failed, _)| failed == id)
    };
    let not_begun = tasks.iter().map(Task::id).filter(|id| !touched(id)).cloned().collect();
    Outcome { settled: board.settled, failed: board.failed, not_begun }
}

/// One store's migrations, in order. Neighbours that are sealed travel together.
async fn lane(context: &Context<'_>, lanes: &Lanes, store: &Store, tasks: &[&Task]) {
    let mut rest = tasks;
    while let Some((first, others)) = rest.split_first() {
        if first.sealed {
            let run = rest.iter().take_while(|task| task.sealed).count();
            if sealed::apply(context, lanes, store, &rest[..run]).await.is_err() {
                return;
            }
            rest = &rest[run..];
            continue;
        }
        if lanes.wait(context, first).await != Start::Now {
            return;
        }
        match journalled::apply(context, store, first).await {
            Ok(journalled::End::Settled) => lanes.settled(first.id()),
            Ok(journalled::End::Stopped) => return,
            Err(error) => return lanes.failed(context, first.id(), error),
        }
        rest = others;
    }
}

impl Outcome {
    /// The error of the run, if it did not end well: what failed, and what was done and not done.
    pub fn error(&mut self, context: &Context<'_>, verb: &str) -> Result<()> {
        let errors: Vec<Error> = self.failed.iter().map(|(_, error)| error.clone()).collect();
        let error = match Error::all(errors) {
            Some(error) => error,
            None if context.ledger.is_lost() => crate::ledger::LockedLedger::lost(),
            // A signal that came while the last step ended well has stopped nothing.
            None if self.not_begun.is_empty() => return Ok(()),
            None => match context.interrupt.exit() {
                Some(exit) => stopped(exit),
                None => Error::new(Exit::Failed, "not everything was begun"),
            },
        };
        Err(self.tell(error, verb))
    }

    fn tell(&self, error: Error, verb: &str) -> Error {
        let error = match self.settled.len() {
            0 => error.state(format!("no migration was {verb}")),
            1 => error.state(format!("1 migration was {verb}: {}", self.settled[0])),
            count => error.state(format!(
                "{count} migrations were {verb}, the last {}",
                self.settled[count - 1]
            )),
        };
        match self.not_begun.as_slice() {
            [] => error,
            rest => {
                let mut names: Vec<String> =
                    rest.iter().take(8).map(MigrationId::to_string).collect();
                if rest.len() > names.len() {
                    names.push(format!("and {} more", rest.len() - names.len()));
                }
                error.state(format!("not begun: {}", names.join(", ")))
            }
        }
    }
}

fn stopped(exit: Exit) -> Error {
    Error::new(exit, "stopped, as asked")
        .state("what is done is recorded in the ledger")
        .hint("run the same command again: it goes on from here")
}
