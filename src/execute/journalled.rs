//! Journalled migrations: claimed, applied and settled step by step.
//!
//! Before a store is touched, the ledger holds what stood there and what undoes the step; after, it
//! holds that the step is done. A run that dies in between leaves a claim, and the next run asks
//! the store what became of it.

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde_json::{Value, json};

use super::doubt::{self, Answer, Claimed, Unsettled, is_edited};
use super::{
    Context, Direction, Event, StepEnd, Task, loss_error, sealed, step_error, store_words,
};
use crate::error::{Error, Exit, Result};
use crate::failpoint::effect;
use crate::ledger::{LockedLedger, Row, State};
use crate::migration::{Down, Inverse, MigrationId};
use crate::plan::Begun;
use crate::shape::Shape;
use crate::store_error::{StoreError, StoreErrorKind};
use crate::stores::{
    Before, Done, Effect, Failure, Job, Limits, Loss, Position, Progress, Pulse, Standing, Stop,
    Store, Unit, Why,
};
use crate::text::Ordered;

/// How a migration that did not fail ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// All its steps are done.
    Settled,
    /// The user stopped the run in between.
    Stopped,
}

/// How a step ended, if it did not fail.
enum Ended {
    Well(StepEnd),
    Stopped,
}

/// A migration at work.
struct Work<'a> {
    context: &'a Context<'a>,
    store: &'a Store,
    task: &'a Task,
    row: i64,
}

/// The ledger's own class of error for a row that is not as the run left it.
const ROW_CHANGED: &str = "AM002";

/// How often a step is tried again that could not get a lock, or whose store went away.
const ATTEMPTS: u32 = 8;

/// Applies or undoes `task`.
pub(super) async fn apply(context: &Context<'_>, store: &Store, task: &Task) -> Result<End> {
    let ended = apply_steps(context, store, task).await;
    // After a failure, too: what the store holds is asked over the same session.
    let left = store.leave().await.map_err(|error| {
        let message =
            format!("the session of {} cannot be brought back to how it began", task.id());
        store_words(Error::new(Exit::Unreachable, message), &error)
    });
    ended.and_then(|end| left.map(|()| end))
}

async fn apply_steps(context: &Context<'_>, store: &Store, task: &Task) -> Result<End> {
    let began = Instant::now();
    let position = enter(context, store, task).await?;
    let row = claim(context, task, position.as_ref()).await?;
    let done = task.done_before();
    context.listener.event(Event::Started {
        id: task.id().clone(),
        description: task.claim.description.clone(),
        direction: task.direction,
        steps: task.units.len(),
        done,
    });
    let work = Work { context, store, task, row };
    let mut claimed = Claimed::of(task);
    if let Some(left) = claimed.as_ref().filter(|left| left.position.is_some()) {
        let label = &task.units[done].label;
        work.pulse().notice(&format!("goes on inside `{label}`, where an earlier run stopped"));
        tracing::debug!(position = ?left.position, "resumes");
    }
    for step in done..task.units.len() {
        if context.interrupt.is_stopping() {
            return Ok(End::Stopped);
        }
        match work.step(step, claimed.take()).await? {
            Ended::Well(_) => {}
            Ended::Stopped => return Ok(End::Stopped),
        }
    }
    context.ledger.settle(row).await?;
    context.listener.event(Event::Settled {
        id: task.id().clone(),
        description: task.claim.description.clone(),
        direction: task.direction,
        took: began.elapsed(),
    });
    Ok(End::Settled)
}

/// Brings the store's session to where the steps that are done left it; gives the position that the
/// row is to have. What cannot be brought back is an error, unless the rest of the file was edited
/// since: then its author knows.
async fn enter(context: &Context<'_>, store: &Store, task: &Task) -> Result<Option<Position>> {
    let done = task.done_before();
    if done >= task.units.len() {
        return Ok(None);
    }
    let row = task.row.as_ref().filter(|_| done > 0);
    let left = row.and_then(|row| session_of(row));
    let entered = store.enter(task.limits, (&task.units, done), left).await.map_err(|error| {
        let message = format!("the session of {} cannot be set up", task.id());
        store_words(Error::new(error.kind.exit(), message), &error).state("nothing was done")
    })?;
    let Some(row) = row else { return Ok(task.row.as_ref().and_then(|row| row.position.clone())) };
    if !entered.missing.is_empty() {
        if row.step_hashes.get(done..) == task.claim.step_hashes.get(done..) {
            return Err(cannot_resume(task, row, &entered.missing));
        }
        for what in &entered.missing {
            let text = format!("{what} of the session that was cut off is not there any more");
            let (id, store) = (Some(task.id().clone()), task.id().store);
            context.listener.event(Event::Notice { store, id, text });
        }
    }
    let is_claimed = row.claimed.is_some() && !is_edited(task, row);
    Ok(match entered.session {
        Some(session) if !is_claimed => Some(Position::of_session(session)),
        _ if is_edited(task, row) => None,
        _ => row.position.clone(),
    })
}

/// What an earlier run's session was like before the first step that is not done.
fn session_of(row: &Row) -> Option<&serde_json::Value> {
    let claimed = row.claimed.as_ref().and_then(|before| before.session.as_ref());
    claimed.or_else(|| row.position.as_ref().and_then(Position::session))
}

fn cannot_resume(task: &Task, row: &Row, missing: &[String]) -> Error {
    let (id, file, done) = (task.id(), &task.source.file, row.steps_done);
    let error = Error::failed(format!(
        "{id} ({file}) cannot be resumed: its first {done} steps left something in their session, \
         and that session is gone"
    ));
    let error = missing.iter().fold(error, |error, what| error.because(format!("gone: {what}")));
    error.state(format!("{done} of {} steps of {id} are done and recorded", row.steps_total)).hint(
        format!(
            "edit {file} from its step {} on, so that the rest makes what it needs, and run this \
             again; the steps before it must stay as they are, and are not run again",
            done + 1
        ),
    )
}

async fn claim(context: &Context<'_>, task: &Task, position: Option<&Position>) -> Result<i64> {
    match (task.direction, &task.row) {
        (Direction::Up, None) => context.ledger.begin(&task.claim, task.replaces).await,
        (Direction::Up, Some(row)) => {
            let edited = is_edited(task, row);
            context.ledger.resume(row, &task.claim, edited, position).await?;
            Ok(row.row)
        }
        (Direction::Down, Some(row)) => {
            context.ledger.begin_undo(row, &task.claim.step_hashes, position).await?;
            Ok(row.row)
        }
        (Direction::Down, None) => Err(Error::failed(format!("{} has no row to undo", task.id()))),
    }
}

impl Work<'_> {
    async fn step(&self, step: usize, claimed: Option<Claimed>) -> Result<Ended> {
        let unit = &self.task.units[step];
        let began = Instant::now();
        self.context.listener.event(Event::Step {
            id: self.task.id().clone(),
            step: step + 1,
            steps: self.task.units.len(),
            label: unit.label.clone(),
        });
        // An atomic one is looked at in its own transaction.
        if self.task.limits.keeps_data && !unit.atomic {
            refuse_loss(self.store, self.task, step).await.map_err(|losses| match losses {
                Ok(losses) => loss_error(self.task, &unit.label, &losses)
                    .state(format!("steps before it are undone and recorded: {step}")),
                Err(error) => error,
            })?;
        }
        let ended = match (unit.atomic, &claimed) {
            (true, None) => self.sealed_step(step, unit).await?,
            (true, Some(_)) | (false, _) => self.claimed_step(step, unit, claimed).await?,
        };
        if let Ended::Well(end) = ended {
            self.context.listener.event(Event::StepEnded {
                id: self.task.id().clone(),
                label: unit.label.clone(),
                end,
                took: began.elapsed(),
            });
        }
        Ok(ended)
    }

    /// A statement that runs in a transaction settles itself in the ledger.
    async fn sealed_step(&self, step: usize, unit: &Unit) -> Result<Ended> {
        let nothing = Before::absent();
        let mut attempt = 0;
        loop {
            let seal = self.context.ledger.seal_step(self.row, step, !self.is_last(step));
            let pulse = self.pulse();
            let mut job = self.job(unit, &nothing, None, &pulse);
            job.seal = Some(seal);
            match effect!("sealed_step", self.store.apply(job)) {
                Ok(done) => {
                    if let Some(session) = done.session.clone().filter(|_| !self.is_last(step)) {
                        let position = Position::of_session(session);
                        self.context.ledger.reached(self.row, &position).await?;
                    }
                    self.tell(done)?;
                    return Ok(Ended::Well(StepEnd::Done));
                }
                // The server itself says that it runs outside a transaction only.
                Err(failure) if failure.why == Why::Apart => {
                    return self.claimed_step(step, unit, None).await;
                }
                Err(failure) if failure.why == Why::Cancelled => return Ok(Ended::Stopped),
                Err(failure) if failure.why == Why::Retry && attempt < ATTEMPTS => {
                    attempt += 1;
                    self.tell_retry(attempt, &failure.source);
                    sealed::pause(self.context, attempt).await;
                }
                // The row is not as this run left it: what that means is said as of any other step.
                Err(failure) if failure.source.code.as_deref() == Some(ROW_CHANGED) => {
                    return Err(self.context.ledger.why_not_settled(self.row, step).await);
                }
                Err(failure) => return Err(self.failed(step, failure, State::Failed).await),
            }
        }
    }

    async fn claimed_step(
        &self,
        step: usize,
        unit: &Unit,
        claimed: Option<Claimed>,
    ) -> Result<Ended> {
        let (before, mut resume) = match claimed {
            Some(claimed) => match self.ask(step, unit, &claimed, self.left_by()).await? {
                Answer::Done => {
                    self.settle(step, unit, claimed.before.session).await?;
                    return Ok(Ended::Well(StepEnd::DoneBefore));
                }
                Answer::GoOn(position) => (self.store.opened(claimed.before), position),
                Answer::Stopped => return Ok(Ended::Stopped),
            },
            None => (self.claim(step, unit).await?, None),
        };
        if before.standing == Standing::Found {
            if let Some(unseen) = unit.step.unseen() {
                self.pulse().notice(unseen);
            }
            self.settle(step, unit, None).await?;
            return Ok(Ended::Well(match unit.step.removes() {
                true => StepEnd::Absent,
                false => StepEnd::Found,
            }));
        }
        let mut attempt = 0;
        loop {
            if self.context.ledger.is_lost() {
                return Err(LockedLedger::lost());
            }
            let pulse = self.pulse();
            let job = self.job(unit, &before, resume.clone(), &pulse);
            let failure = match effect!("apply", self.store.apply(job)) {
                Ok(done) => {
                    self.settle(step, unit, done.session.clone()).await?;
                    self.tell(done)?;
                    return Ok(Ended::Well(StepEnd::Done));
                }
                Err(failure) => failure,
            };
            if let Some(error) = pulse.stopped_by() {
                return Err(error);
            }
            let again = matches!(failure.why, Why::Retry | Why::Unreachable) && attempt < ATTEMPTS;
            if failure.why == Why::Cancelled && self.context.interrupt.is_stopping() {
                if failure.effect == Effect::None && resume.is_none() {
                    self.context.ledger.unclaim(self.row).await?;
                }
                return Ok(Ended::Stopped);
            }
            if !again {
                return Err(self.failed(step, failure, State::Failed).await);
            }
            attempt += 1;
            self.tell_retry(attempt, &failure.source);
            sealed::pause(self.context, attempt).await;
            if self.context.interrupt.is_stopping() {
                return Ok(Ended::Stopped);
            }
            if failure.effect != Effect::None {
                let position = pulse.position().or(resume.clone());
                let left = Claimed { before: before.clone(), position };
                match self.ask_again(step, unit, &left, &mut attempt, failure).await? {
                    Answer::Done => {
                        self.settle(step, unit, before.session).await?;
                        return Ok(Ended::Well(StepEnd::Done));
                    }
                    Answer::GoOn(position) => resume = position,
                    Answer::Stopped => return Ok(Ended::Stopped),
                }
            }
        }
    }

    /// Looks at what stands there and makes it durable, with what undoes the step.
    async fn claim(&self, step: usize, unit: &Unit) -> Result<Before> {
        // What a step declares lives in the recorded shape alone, and an earlier migration of this
        // run may have changed it.
        let recorded = match unit.step.declares().is_empty() {
            true => Shape::default(),
            false => self.context.ledger.recorded(self.task.id().store).await?,
        };
        let before = match self.store.before(unit, &recorded).await {
            Ok(before) => before,
            Err(error) => return Err(self.failed(step, error.into(), State::Failed).await),
        };
        if let Standing::Differs { wanted, live } = &before.standing {
            let error = StoreError::refused("it is there already, and different")
                .detail(format!("wanted: {wanted}"))
                .detail(format!("live: {live}"))
                .hint("change the migration to what is there, or the store to what the migration wants");
            return Err(self.failed(step, error.into(), State::Failed).await);
        }
        let inverse = match (self.task.direction, &self.task.claim.down) {
            (Direction::Up, Down::Steps { .. }) => {
                Some(inverse(self.store, (unit, &before), &self.task.secret))
            }
            (Direction::Up, Down::File { .. } | Down::Irreversible { .. } | Down::None)
            | (Direction::Down, _) => None,
        };
        let kept = self.store.kept(&before, &self.task.secret);
        self.context.ledger.claim_step(self.row, step, &kept, inverse.as_ref()).await?;
        Ok(before)
    }

    /// Asks the store what became of a step in doubt; what it cannot tell is for a person.
    async fn ask(
        &self,
        step: usize,
        unit: &Unit,
        claimed: &Claimed,
        begun: Begun,
    ) -> Result<Answer> {
        let pulse = self.pulse();
        match doubt::ask(self.context, self.store, (self.task, step), claimed, &pulse).await {
            Ok(answer) => Ok(answer),
            Err(Unsettled::Unknown(reason)) => Err(self.in_doubt(step, unit, &reason, begun).await),
            Err(Unsettled::Failed(failure)) => Err(self.failed(step, failure, State::Failed).await),
        }
    }

    /// The same after the store went away under our own hands; it may take a while to come back.
    async fn ask_again(
        &self,
        step: usize,
        unit: &Unit,
        claimed: &Claimed,
        attempt: &mut u32,
        failure: Failure,
    ) -> Result<Answer> {
        while let Err(error) = self.store.probe(unit, &claimed.before).await {
            let unreachable = error.kind == StoreErrorKind::Unreachable;
            if !unreachable || *attempt >= ATTEMPTS {
                return Err(self.failed(step, failure, State::Failed).await);
            }
            *attempt += 1;
            self.tell_retry(*attempt, &error);
            sealed::pause(self.context, *attempt).await;
            if self.context.interrupt.is_stopping() {
                return Ok(Answer::Stopped);
            }
        }
        self.ask(step, unit, claimed, Begun::Failed).await
    }

    /// How an earlier run left the step that it was at: one that lived on recorded an error.
    fn left_by(&self) -> Begun {
        let told = self.task.row.as_ref().is_some_and(|row| row.error.is_some());
        if told { Begun::Failed } else { Begun::Died }
    }

    async fn in_doubt(&self, step: usize, unit: &Unit, reason: &str, begun: Begun) -> Error {
        let id = self.task.id();
        let (number, label) = (step + 1, &unit.label);
        let details = json!({ "step": number, "label": label, "message": reason, "begun": begun });
        let error = Error::failed(format!(
            "step {number} of {id} ({}) {}, and {} cannot tell whether it was done: {label}",
            self.task.source.file,
            begun.words(),
            id.store.title(),
        ))
        .because(reason)
        .state(format!("{id} is in doubt; the steps before it are done and recorded"))
        .hint(format!(
            "look at the store; if the step was done: aiplat-migrate repair --done {}",
            id.argument()
        ))
        .hint(format!("if it was not: aiplat-migrate repair --not-done {}", id.argument()));
        match self.context.ledger.fail(self.row, State::InDoubt, &details, false).await {
            Ok(()) => error,
            Err(also) => error.because(format!("and the ledger could not be told: {also}")),
        }
    }

    /// Tells the ledger that the migration failed, and makes the error for the user.
    async fn failed(&self, step: usize, failure: Failure, state: State) -> Error {
        let details = json!({
            "step": step + 1,
            "label": self.task.units[step].label,
            "message": failure.source.message,
            "code": failure.source.code,
        });
        let error = step_error(self.task, step, &failure);
        let unclaim = failure.effect == Effect::None;
        match self.context.ledger.fail(self.row, state, &details, unclaim).await {
            Ok(()) => error,
            Err(also) => error.because(format!("and the ledger could not be told: {also}")),
        }
    }

    async fn settle(
        &self,
        step: usize,
        unit: &Unit,
        session: Option<serde_json::Value>,
    ) -> Result<()> {
        let (declares, store) = (unit.step.declares(), self.task.id().store);
        let position = session.filter(|_| !self.is_last(step)).map(Position::of_session);
        let step = (self.row, step);
        self.context.ledger.settle_step(step, store, &declares, position.as_ref()).await
    }

    fn is_last(&self, step: usize) -> bool {
        step + 1 == self.task.units.len()
    }

    fn job<'j>(
        &'j self,
        unit: &'j Unit,
        before: &'j Before,
        resume: Option<Position>,
        pulse: &'j Journal<'_>,
    ) -> Job<'j> {
        Job {
            unit,
            seal: None,
            before,
            resume,
            limits: Limits { rate: self.context.rate, ..self.task.limits },
            run: &self.context.ledger.run().id,
            pulse,
            cancel: self.context.interrupt.cancel.clone(),
        }
    }

    fn pulse(&self) -> Journal<'_> {
        Journal {
            context: self.context,
            id: self.task.id(),
            row: self.row,
            stopped_by: Mutex::default(),
            position: Mutex::default(),
        }
    }

    /// Tells what a step that is done has to say; the run ends where its session lost the lock.
    fn tell(&self, done: Done) -> Result<()> {
        for notice in done.notices {
            self.pulse().notice(&notice);
        }
        for warning in done.warnings {
            let told = format!("{}: {warning}", self.task.id());
            self.context.listener.event(Event::Warning(told));
        }
        match done.unlocked {
            true => {
                self.context.ledger.lose();
                Err(LockedLedger::lost())
            }
            false => Ok(()),
        }
    }

    fn tell_retry(&self, attempt: u32, error: &StoreError) {
        let id = self.task.id().clone();
        let error = sealed::with_details(error);
        self.context.listener.event(Event::Retry { id, attempt, error });
    }
}

/// What undoes a step, without secrets.
fn inverse(store: &Store, (unit, before): (&Unit, &Before), names: &[String]) -> Inverse {
    match unit.inverse(before) {
        Ok(steps) => match store.template_of(&Value::from(steps.clone()), names, 2) {
            Some((Value::Array(templates), secret)) => Inverse::Templates {
                templates: templates.into_iter().map(Ordered).collect(),
                secret,
            },
            Some(_) | None => Inverse::Steps(steps.into_iter().map(Ordered).collect()),
        },
        Err(reason) => {
            Inverse::Refused { step: unit.label.clone(), reason: store.secrets().hide(&reason) }
        }
    }
}

/// The data that unit number `step` of `task` would lose now, if any; or the store's failure to say.
async fn refuse_loss(
    store: &Store,
    task: &Task,
    step: usize,
) -> Result<(), Result<Vec<Loss>, Error>> {
    match store.holds(&task.units[step]).await {
        Ok(losses) if losses.is_empty() => Ok(()),
        Ok(losses) => Err(Ok(losses)),
        Err(error) => {
            let message = format!("cannot look whether undoing {} would lose data", task.id());
            Err(Err(store_words(Error::new(error.kind.exit(), message), &error)))
        }
    }
}

/// The pulse of a journalled step: positions reach the ledger.
struct Journal<'a> {
    context: &'a Context<'a>,
    id: &'a MigrationId,
    row: i64,
    /// Why the ledger did not take a position.
    stopped_by: Mutex<Option<Error>>,
    position: Mutex<Option<Position>>,
}

impl Journal<'_> {
    fn position(&self) -> Option<Position> {
        self.position.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn stopped_by(&self) -> Option<Error> {
        self.stopped_by.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Pulse for Journal<'_> {
    fn reached<'p>(
        &'p self,
        at: &'p Position,
        progress: Progress,
    ) -> BoxFuture<'p, Result<(), Stop>> {
        async move {
            if let Err(error) = self.context.ledger.reached(self.row, at).await {
                *self.stopped_by.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                return Err(Stop);
            }
            *self.position.lock().unwrap_or_else(PoisonError::into_inner) = Some(at.clone());
            self.context.listener.event(Event::Progress { id: self.id.clone(), progress });
            match self.context.interrupt.is_stopping() {
                true => Err(Stop),
                false => Ok(()),
            }
        }
        .boxed()
    }

    fn notice(&self, text: &str) {
        let id = Some(self.id.clone());
        let event = Event::Notice { store: self.id.store, id, text: text.to_string() };
        self.context.listener.event(event);
    }
}
