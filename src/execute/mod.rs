//! The one loop, up and down alike: schedule, claim, apply, settle. The one place where a store
//! and the ledger meet.
//!
//! Stores advance side by side; within a store one migration after another; a migration starts
//! when all it requires is settled. A migration that is *sealed* has its ledger row written in its
//! own PostgreSQL transaction, and several are on their way at once. Every other one is
//! *journalled*: claimed, applied and settled step by step, so that whatever kills the process, the
//! next run knows where to go on.

mod connect;
mod discreet;
mod doubt;
mod events;
mod heal;
mod journalled;
mod lanes;
mod notices;
mod rehearsal;
mod sealed;
mod shapes;
mod task;

pub use connect::{Connected, Identities, connect, connect_all, connect_error, expel, identify};
pub(crate) use discreet::DiscreetListener;
pub use doubt::{probe, settle, settle_as};
pub use events::{Direction, Event, Listener, Stand, StepEnd};
pub use heal::{Healing, details as repair_details};
pub use lanes::{Outcome, run};
use notices::Notices;
pub use rehearsal::{Placed, rehearse};
pub use shapes::{Pictures, before_pictures, keep, record};
pub use task::{Task, Undoing, left, to_apply, to_undo};

use crate::error::{Error, Exit};
use crate::ledger::LockedLedger;
use crate::signals::Interrupt;
use crate::store_error::StoreError;
use crate::stores::{Effect, Failure, Loss, Why};

/// What every part of a run needs.
pub struct Context<'a> {
    /// The locked ledger.
    pub ledger: &'a LockedLedger,
    /// Where events go.
    pub listener: &'a dyn Listener,
    /// The user's wish to stop.
    pub interrupt: &'a Interrupt,
    /// Whether `down` may drop what holds data.
    pub allow_data_loss: bool,
    /// How many items a long step may change per second.
    pub rate: Option<std::num::NonZeroU32>,
}

/// The error for a step of `task` that failed.
fn step_error(task: &Task, step: usize, failure: &Failure) -> Error {
    let unit = &task.units[step];
    let verb = match task.direction {
        Direction::Up => "applying",
        Direction::Down => "undoing",
    };
    let id = task.id();
    let message = match task.units.len() {
        1 => format!("{verb} {id} ({}) failed: {}", task.source.file, unit.label),
        all => format!(
            "{verb} {id} ({}) failed at step {} of {all}: {}",
            task.source.file,
            step + 1,
            unit.label
        ),
    };
    let exit = match failure.why {
        Why::Unreachable => Exit::Unreachable,
        Why::Refused | Why::Retry | Why::Apart | Why::NotRun | Why::Cancelled => Exit::Failed,
    };
    let span = failure.at.clone().unwrap_or(unit.span.clone());
    let error = store_words(Error::new(exit, message), &failure.source);
    let error = match task.source.text.is_empty() {
        true => error,
        false => error.at(task.source.place(span)),
    };
    state_of(error, task, step, failure)
}

/// Adds a store's own words: code, message, details, hint.
pub(crate) fn store_words(error: Error, source: &StoreError) -> Error {
    let mut error = error.because(source);
    for detail in &source.details {
        error = error.because(detail);
    }
    match &source.hint {
        Some(hint) => error.hint(hint),
        None => error,
    }
}

fn state_of(error: Error, task: &Task, step: usize, failure: &Failure) -> Error {
    let id = task.id();
    let again = task.direction.name();
    if task.sealed {
        return match failure.effect {
            Effect::None => error
                .state(format!("nothing of {id} is left: its transaction was rolled back"))
                .hint(format!(
                    "correct the cause (a changed file needs `aiplat-migrate hash`) and run \
                     `aiplat-migrate {again}` again"
                )),
            Effect::Part | Effect::Whole | Effect::Unknown => error
                .state(format!("{id} is done as a whole or not at all; the ledger will tell"))
                .hint(format!("run `aiplat-migrate {again}` again")),
        };
    }
    let error = match step {
        0 => error,
        1 => error.state(format!("step 1 of {id} is done and recorded")),
        _ => error.state(format!("steps 1 to {step} of {id} are done and recorded")),
    };
    match failure.effect {
        Effect::None => {
            let error = error.state(format!("step {} changed nothing", step + 1)).hint(format!(
                "correct the cause and run `aiplat-migrate {again}` again: it goes on at this step"
            ));
            match task.units[step].atomic {
                true => error,
                false => error.hint(format!(
                    "where what it is for is there by other means: aiplat-migrate repair --done {}",
                    id.argument()
                )),
            }
        }
        Effect::Part => error.state(format!("step {} was done in part", step + 1)).hint(format!(
            "correct the cause and run `aiplat-migrate {again}` again: it goes on with what is missing"
        )),
        Effect::Whole | Effect::Unknown => error
            .state(format!("what step {} changed is not known yet", step + 1))
            .hint(format!("run `aiplat-migrate {again}` again: it asks the store first")),
    }
}

/// The error for data that would be lost.
fn loss_error(task: &Task, label: &str, losses: &[Loss]) -> Error {
    let error = Error::failed(format!("undoing {} would lose data: {label}", task.id()));
    let error = losses.iter().fold(error, |error, loss| error.because(&loss.what));
    error.hint("to lose it on purpose: --allow-data-loss")
}
