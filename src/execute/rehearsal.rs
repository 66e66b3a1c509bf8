//! What a plan would lose, asked of a store that can do it all and take it back.

use super::{Listener, Notices, Task, store_words};
use crate::error::{Error, Exit, Result};
use crate::signals::Interrupt;
use crate::stores::{Failure, Finding, Loss, Part, Store, Why};

/// A loss of a plan's task: its number in the plan, the step, what it is.
pub type Placed = (usize, usize, Loss);

/// Rehearses those of `tasks` that are the store's own, each with its number in the plan.
///
/// Errors: a step that fails in the rehearsal would fail in the run, so that nothing is begun.
pub async fn rehearse(
    store: &Store,
    tasks: &[(usize, &Task)],
    listener: &dyn Listener,
    interrupt: &Interrupt,
) -> Result<Vec<Placed>> {
    let Some((_, first)) = tasks.first() else { return Ok(Vec::new()) };
    let parts = tasks.iter().map(|(_, task)| Part {
        units: &task.units,
        done: task.done_before(),
        limits: task.limits,
    });
    let parts: Vec<Part<'_>> = parts.collect();
    let pulse = Notices { listener, store: first.id().store, id: None };
    let found = store.rehearse(&parts, &pulse, &interrupt.cancel).await;
    if let Some(exit) = interrupt.exit() {
        return Err(Error::new(exit, "stopped, as asked").state("nothing was undone"));
    }
    let found = found.map_err(|error| {
        let message =
            format!("cannot rehearse what is to be undone in {}", first.id().store.title());
        store_words(Error::new(error.kind.exit(), message), &error).state("nothing was undone")
    })?;
    let placed = found.into_iter().map(|foreseen| {
        let (at, task) = tasks[foreseen.part];
        match foreseen.finding {
            Finding::Loss(loss) => Ok((at, foreseen.step, loss)),
            Finding::Failure(failure) => Err(failed(task, foreseen.step, &failure)),
        }
    });
    placed.collect()
}

fn failed(task: &Task, step: usize, failure: &Failure) -> Error {
    let unit = &task.units[step];
    let id = task.id();
    let message = format!("undoing {id} ({}) fails: {}", task.source.file, unit.label);
    let exit = match failure.why {
        Why::Unreachable => Exit::Unreachable,
        Why::Refused | Why::Retry | Why::Apart | Why::NotRun | Why::Cancelled => Exit::Failed,
    };
    let error = store_words(Error::new(exit, message), &failure.source);
    let span = failure.at.clone().unwrap_or(unit.span.clone());
    let error = match task.source.text.is_empty() {
        true => error,
        false => error.at(task.source.place(span)),
    };
    let error =
        error.state("nothing was undone: it failed when it was rehearsed, and was rolled back");
    match failure.why {
        Why::Retry => error.hint("run `aiplat-migrate down` again once the lock is free"),
        Why::Refused | Why::Apart | Why::NotRun | Why::Cancelled | Why::Unreachable => {
            error.hint("correct the cause and run `aiplat-migrate down` again")
        }
    }
}
