//! Sealed migrations: each in one PostgreSQL transaction with its ledger row, several on their way
//! at once.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use rand::Rng;
use serde_json::json;

use super::lanes::{Lanes, Start};
use super::{Context, Direction, Event, Notices, Task, loss_error, step_error};
use crate::error::{Error, Result};
use crate::failpoint::{effect, failpoint};
use crate::ledger::EventKind;
use crate::migration::MigrationId;
use crate::store_error::StoreError;
use crate::stores::{Before, Done, Failure, Job, Seal, Store, Why};

/// How often a migration that could not get a lock is tried again.
const ATTEMPTS: u32 = 10;

/// The lane has ended: a migration failed, or nothing more is to be begun.
pub(super) struct Ended;

/// A migration on its way.
struct Flight<'a> {
    task: &'a Task,
    seal: Seal,
    began: Instant,
    answer: BoxFuture<'a, Result<Done, Failure>>,
}

/// Applies or undoes `tasks` in order.
pub(super) async fn apply(
    context: &Context<'_>,
    lanes: &Lanes,
    store: &Store,
    tasks: &[&Task],
) -> Result<(), Ended> {
    let pulses: Vec<Notices<'_>> =
        tasks.iter().map(|task| Notices::of(context.listener, task.id())).collect();
    let nothing = Before::absent();
    let mut waiting: VecDeque<usize> = (0..tasks.len()).collect();
    let mut flying: VecDeque<(usize, Flight<'_>)> = VecDeque::new();
    let mut attempts = 0;
    // Migrations on their way together overlap: the time of one begins when the one before it ended.
    let mut free_since = Instant::now();
    loop {
        while flying.len() < store.window()
            && let Some(&at) = waiting.front()
        {
            let task = tasks[at];
            let start = match flying.is_empty() {
                true => lanes.wait(context, task).await,
                false => {
                    start_behind(context, lanes, task, flying.back().map(|(_, last)| last.task))
                }
            };
            match start {
                Start::Later => break,
                Start::Never => {
                    waiting.clear();
                    break;
                }
                Start::Now => {}
            }
            if !flying.is_empty() && must_be_alone(context, task, &flying) {
                break;
            }
            if let Err(error) = check_loss(context, store, task).await {
                waiting.clear();
                lanes.failed(context, task.id(), error);
                break;
            }
            waiting.pop_front();
            // Where no other store waits for it, a migration need not be on disk before the last one is.
            let lazy = lanes.is_alone() && !waiting.is_empty();
            let seal = seal(context, task, flying.back().map(|(_, last)| &last.seal), lazy);
            let job = Job {
                unit: &task.units[0],
                seal: Some(seal.clone()),
                before: &nothing,
                resume: None,
                limits: task.limits,
                run: &context.ledger.run().id,
                pulse: &pulses[at],
                cancel: context.interrupt.cancel.clone(),
            };
            failpoint!("sealed_sent:before");
            let answer = store.apply(job);
            failpoint!("sealed_sent:after");
            flying.push_back((at, Flight { task, seal, began: Instant::now(), answer }));
        }
        let Some((at, flight)) = flying.pop_front() else {
            return if waiting.is_empty() && lanes.start(context, tasks[0]) != Start::Never {
                Ok(())
            } else {
                Err(Ended)
            };
        };
        // Several are on their way; the one whose answer is next is the one that is shown.
        tell_started(context, flight.task);
        match effect!("sealed_answered", flight.answer) {
            Ok(done) => {
                attempts = 0;
                let began = flight.began.max(std::mem::replace(&mut free_since, Instant::now()));
                settled(context, lanes, flight.task, began, done);
            }
            Err(failure) if failure.why == Why::Retry && attempts < ATTEMPTS => {
                attempts += 1;
                tell_retry(context, flight.task, attempts, &failure);
                let mut again = vec![at];
                for (behind, other) in flying.drain(..) {
                    // It cannot have been applied: its seal asserts that this one is settled.
                    let _ = other.answer.await;
                    again.push(behind);
                }
                for at in again.into_iter().rev() {
                    waiting.push_front(at);
                }
                pause(context, attempts).await;
            }
            Err(failure) => {
                for (_, other) in flying.drain(..) {
                    if let Ok(done) = other.answer.await {
                        settled(context, lanes, other.task, other.began, done);
                    }
                }
                // Whatever stood before it was confirmed: even "not run" is a failure of its own here.
                if failure.why == Why::NotRun && context.ledger.is_lost() {
                    return Err(Ended);
                }
                if failure.why != Why::Cancelled {
                    let error = failed(context, flight.task, &failure).await;
                    lanes.failed(context, flight.task.id(), error);
                }
                return Err(Ended);
            }
        }
    }
}

/// A migration may follow the one before it in its own store closely, since its seal asserts that
/// one; all else that it requires must be settled.
fn start_behind(context: &Context<'_>, lanes: &Lanes, task: &Task, before: Option<&Task>) -> Start {
    let in_flight = |id: &MigrationId| before.is_some_and(|before| before.id() == id);
    lanes.start_except(context, task, &in_flight)
}

fn seal(context: &Context<'_>, task: &Task, after: Option<&Seal>, lazy: bool) -> Seal {
    match (task.direction, &task.row) {
        (Direction::Down, Some(row)) => context.ledger.seal_undone(row.row, after),
        (Direction::Down, None) | (Direction::Up, _) => {
            context.ledger.seal_applied(&task.claim, after, task.replaces, lazy)
        }
    }
}

/// A unit whose data is streamed shares the session with no other. Nor does one whose losses are
/// looked for: the look asks on the same session, which may be in a transaction that failed.
fn must_be_alone(
    context: &Context<'_>,
    task: &Task,
    flying: &VecDeque<(usize, Flight<'_>)>,
) -> bool {
    let exclusive = |task: &Task| task.units.iter().any(|unit| unit.exclusive);
    looks_for_loss(context, task)
        || exclusive(task)
        || flying.iter().any(|(_, flight)| exclusive(flight.task))
}

fn looks_for_loss(context: &Context<'_>, task: &Task) -> bool {
    task.direction == Direction::Down && !context.allow_data_loss
}

/// Just before a `down` drops something, looks once more whether it holds data.
async fn check_loss(context: &Context<'_>, store: &Store, task: &Task) -> Result<()> {
    if !looks_for_loss(context, task) {
        return Ok(());
    }
    super::journalled::refuse_loss(store, task, 0).await.map_err(|losses| match losses {
        Ok(losses) => loss_error(task, &task.units[0].label, &losses),
        Err(error) => error,
    })
}

/// The transaction took its row with it: only an event tells what happened.
async fn failed(context: &Context<'_>, task: &Task, failure: &Failure) -> Error {
    let error = step_error(task, 0, failure);
    let details = json!({
        "direction": task.direction.name(),
        "message": failure.source.message,
        "code": failure.source.code,
    });
    match context.ledger.event(EventKind::Failed, Some(task.id()), &details).await {
        Ok(()) => error,
        Err(also) => error.because(format!("and the ledger could not be told: {also}")),
    }
}

fn tell_started(context: &Context<'_>, task: &Task) {
    context.listener.event(Event::Started {
        id: task.id().clone(),
        description: task.claim.description.clone(),
        direction: task.direction,
        steps: 1,
        done: 0,
    });
    context.listener.event(Event::Step {
        id: task.id().clone(),
        step: 1,
        steps: 1,
        label: task.units[0].label.clone(),
    });
}

fn settled(context: &Context<'_>, lanes: &Lanes, task: &Task, began: Instant, done: Done) {
    if done.unlocked {
        context.ledger.lose();
    }
    for text in done.notices {
        let id = Some(task.id().clone());
        context.listener.event(Event::Notice { store: task.id().store, id, text });
    }
    context.listener.event(Event::Settled {
        id: task.id().clone(),
        description: task.claim.description.clone(),
        direction: task.direction,
        took: began.elapsed(),
    });
    lanes.settled(task.id());
}

fn tell_retry(context: &Context<'_>, task: &Task, attempt: u32, failure: &Failure) {
    let error = with_details(&failure.source);
    context.listener.event(Event::Retry { id: task.id().clone(), attempt, error });
}

/// A store's error in one line: who blocked it, for instance, is among the details.
pub(super) fn with_details(error: &StoreError) -> String {
    error.details.iter().fold(error.to_string(), |text, detail| format!("{text}; {detail}"))
}

/// Waits longer after each attempt, with jitter, so that others get their turn.
pub(super) async fn pause(context: &Context<'_>, attempt: u32) {
    let base = Duration::from_millis(100 * 2u64.pow(attempt.min(6)));
    let jitter = rand::rng().random_range(0.5..1.5);
    tokio::select! {
        () = tokio::time::sleep(base.mul_f64(jitter)) => {}
        () = context.interrupt.stopping() => {}
    }
}
