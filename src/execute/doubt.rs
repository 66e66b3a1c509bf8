//! Steps in doubt: the ledger holds their claim, and nobody knows how they ended. One way of asking
//! the store, for a run that goes on and for `repair`.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{Context, Direction, Notices, Task, repair_details, step_error, store_words};
use crate::error::{Error, Exit, Result};
use crate::failpoint::effect;
use crate::ledger::{LockedLedger, Row, Said, State};
use crate::shape::Change;
use crate::store_error::StoreError;
use crate::stores::{Before, Effect, Failure, Job, Position, Probe, Pulse, Store};

/// What an earlier run left of the step that it was at.
pub(super) struct Claimed {
    pub before: Before,
    pub position: Option<Position>,
}

/// What the store answered about a step in doubt, once nothing is at work on it any more.
pub(super) enum Answer {
    Done,
    GoOn(Option<Position>),
    Stopped,
}

/// Why a step stays in doubt.
pub(super) enum Unsettled {
    /// The store cannot tell.
    Unknown(String),
    /// It could not be asked, or what was left half made not be cleared away.
    Failed(Failure),
}

/// How long the operation of a dead run may go on before this run gives up.
const PATIENCE: Duration = Duration::from_secs(600);

impl Claimed {
    /// What `task` finds of an earlier run. A step whose text was corrected since means something
    /// else now: it is begun afresh.
    pub fn of(task: &Task) -> Option<Claimed> {
        let row = task.row.as_ref()?;
        if task.done_before() >= task.units.len() || is_edited(task, row) {
            return None;
        }
        Some(Claimed { before: row.claimed.clone()?, position: row.position.clone() })
    }
}

/// Whether the step that is to be gone on with has another text than when it was claimed.
pub(super) fn is_edited(task: &Task, row: &Row) -> bool {
    let done = task.done_before();
    task.direction == Direction::Up
        && row.claimed.is_some()
        && row.step_hashes.get(done) != task.claim.step_hashes.get(done)
}

/// Asks the store what became of a step in doubt, for as long as a dead run's operation is still at
/// work there; clears away what it left half made.
pub(super) async fn ask(
    context: &Context<'_>,
    store: &Store,
    (task, step): (&Task, usize),
    claimed: &Claimed,
    pulse: &dyn Pulse,
) -> Result<Answer, Unsettled> {
    let deadline = Instant::now() + PATIENCE;
    let unit = &task.units[step];
    loop {
        let failed =
            |error| Unsettled::Failed(Failure { effect: Effect::Unknown, ..Failure::from(error) });
        match store.probe(unit, &claimed.before).await.map_err(failed)? {
            Probe::Done => return Ok(Answer::Done),
            Probe::NotDone => return Ok(Answer::GoOn(claimed.position.clone())),
            Probe::Partial(position) => return Ok(Answer::GoOn(Some(position))),
            Probe::Rebuild(wreckage) => {
                pulse.notice(&wreckage.label);
                let job = Job {
                    unit: &wreckage,
                    seal: None,
                    before: &claimed.before,
                    resume: None,
                    limits: task.limits,
                    run: &context.ledger.run().id,
                    pulse,
                    cancel: context.interrupt.cancel.clone(),
                };
                effect!("rebuild", store.apply(job)).map_err(Unsettled::Failed)?;
            }
            Probe::Running if Instant::now() < deadline => {
                pulse.notice("an earlier run's operation is still at work on the server");
                tokio::select! {
                    () = tokio::time::sleep(Duration::from_secs(2)) => {}
                    () = context.interrupt.stopping() => return Ok(Answer::Stopped),
                }
            }
            Probe::Running => {
                let error = "an earlier run's operation does not end";
                return Err(failed(StoreError::refused(error)));
            }
            Probe::Unknown(reason) => return Err(Unsettled::Unknown(reason)),
        }
    }
}

/// What the store says now of the step that `task` finds in doubt, without changing anything; `None`
/// where nothing is in doubt. The store need not be met under the lock.
pub async fn probe(store: &Store, task: &Task) -> Result<Option<Probe>> {
    let Some(claimed) = Claimed::of(task) else { return Ok(None) };
    let unit = &task.units[task.done_before()];
    let probe = store.probe(unit, &claimed.before).await.map_err(|error| {
        let message = format!(
            "cannot ask {} what became of step {} of {}: {}",
            task.id().store.title(),
            task.done_before() + 1,
            task.id(),
            unit.label
        );
        store_words(Error::new(error.kind.exit(), message), &error).state("nothing was changed")
    })?;
    // Where the next run goes on by itself, nothing is left to be settled.
    let goes_on = task.row.as_ref().is_some_and(|row| row.state != State::Running);
    let known = match &probe {
        Probe::NotDone => claimed.position.is_some(),
        Probe::Partial(position) => claimed.position.as_ref() == Some(position),
        Probe::Done | Probe::Rebuild(_) | Probe::Running | Probe::Unknown(_) => false,
    };
    Ok((!(goes_on && known)).then_some(probe))
}

/// Settles the step of `row` in doubt, which `task` has ready, as its store answers; the event is
/// written with it. Why not, where the store cannot tell.
pub async fn settle(
    context: &Context<'_>,
    store: &Store,
    (row, task): (&Row, &Task),
) -> Result<Option<String>> {
    let Some(claimed) = Claimed::of(task) else { return Ok(None) };
    let step = task.done_before();
    let pulse = Notices { listener: context.listener, store: task.id().store, id: None };
    let said = match ask(context, store, (task, step), &claimed, &pulse).await {
        Ok(Answer::Done) => Said::Done,
        Ok(Answer::GoOn(None)) => Said::NotDone,
        Ok(Answer::GoOn(Some(position))) => Said::Partly(position),
        Err(Unsettled::Unknown(reason)) => return Ok(Some(reason)),
        Err(Unsettled::Failed(failure)) => return Err(step_error(task, step, &failure)),
        Ok(Answer::Stopped) => {
            let error = Error::new(Exit::Failed, "stopped, as asked");
            return Err(error.state(format!("{} is as it was", task.id())));
        }
    };
    settle_as(context.ledger, (row, Some(task)), &said, "its store").await?;
    Ok(None)
}

/// Settles the step in doubt of `row` as `by` said; `task` is the migration, where its text is still
/// there: what the step declares is recorded with it.
pub async fn settle_as(
    ledger: &LockedLedger,
    (row, task): (&Row, Option<&Task>),
    said: &Said,
    by: &str,
) -> Result<()> {
    let unit = task.and_then(|task| task.units.get(task.done_before()));
    let declares = match said {
        Said::Done if by == Said::PERSON => {
            unit.map(|unit| unit.step.declares_by_person()).unwrap_or_default()
        }
        Said::Done => unit.map(|unit| unit.step.declares()).unwrap_or_default(),
        Said::NotDone | Said::Partly(_) => Vec::new(),
    };
    let label = unit.map(|unit| format!(": {}", unit.label)).unwrap_or_default();
    let object = format!("step {} of {}{label}", row.steps_done + 1, row.steps_total);
    let change = |attribute: &str, before: Value, after: Value| Change {
        object: object.clone(),
        attribute: Some(attribute.to_string()),
        before: Some(before),
        after: Some(after),
    };
    let after = if row.undoing { State::Undoing } else { State::Failed };
    let done = row.steps_done + usize::from(*said == Said::Done);
    let changes = [
        change("state", json!(row.state.name()), json!(after.name())),
        change("steps done", json!(row.steps_done), json!(done)),
    ];
    let repair = said.told(by);
    let details = repair_details(&object, &repair, changes);
    ledger.settle_doubt(row, said, &declares, &details).await
}
