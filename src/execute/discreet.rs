//! A store that repeats no secret, and a listener that is told none.
//!
//! Servers quote what they refuse: a cast's input, an unknown field, a rule of a user. Where that
//! came from a secret placeholder, it must reach neither log nor ledger.

use std::sync::Arc;

use futures_util::future::BoxFuture;

use super::{Event, Listener};
use crate::secret::Secrets;
use crate::shape::Shape;
use crate::stores::{
    Before, Depth, Done, Failure, Job, Loss, Probe, Standing, Store, StoreError, Unit,
};

/// Hands everything on to `store`, and leaves `secrets` out of what it says.
pub(super) struct Discreet {
    pub(super) store: Box<dyn Store>,
    pub(super) secrets: Secrets,
}

impl Discreet {
    fn error(&self, mut error: StoreError) -> StoreError {
        error.message = self.secrets.hide(&error.message);
        error.details = error.details.iter().map(|detail| self.secrets.hide(detail)).collect();
        error.hint = error.hint.map(|hint| self.secrets.hide(&hint));
        error
    }

    /// What stood before is kept as it is, for the undo; the words for people are not.
    fn before(&self, mut before: Before) -> Before {
        if let Standing::Differs { wanted, live } = &mut before.standing {
            *wanted = self.secrets.hide(wanted);
            *live = self.secrets.hide(live);
        }
        before
    }
}

impl Store for Discreet {
    fn identity(&self) -> BoxFuture<'_, Result<Option<String>, StoreError>> {
        Box::pin(async { self.store.identity().await.map_err(|error| self.error(error)) })
    }

    fn window(&self) -> usize {
        self.store.window()
    }

    fn expel<'a>(&'a self, dead: &'a [String]) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async { self.store.expel(dead).await.map_err(|error| self.error(error)) })
    }

    fn before<'a>(
        &'a self,
        unit: &'a Unit,
        recorded: &'a Shape,
    ) -> BoxFuture<'a, Result<Before, StoreError>> {
        Box::pin(async {
            let before = self.store.before(unit, recorded).await;
            before.map(|before| self.before(before)).map_err(|error| self.error(error))
        })
    }

    fn holds<'a>(&'a self, unit: &'a Unit) -> BoxFuture<'a, Result<Vec<Loss>, StoreError>> {
        Box::pin(async {
            let mut losses = self.store.holds(unit).await.map_err(|error| self.error(error))?;
            for loss in &mut losses {
                loss.what = self.secrets.hide(&loss.what);
            }
            Ok(losses)
        })
    }

    fn apply<'a>(&'a self, job: Job<'a>) -> BoxFuture<'a, Result<Done, Failure>> {
        // At once, not when it is first polled: jobs take effect in the order of the calls.
        let answer = self.store.apply(job);
        Box::pin(async move {
            match answer.await {
                Ok(done) => {
                    let notices = done.notices.iter().map(|notice| self.secrets.hide(notice));
                    Ok(Done { notices: notices.collect() })
                }
                Err(Failure { why, effect, at, source }) => {
                    Err(Failure { why, effect, at, source: self.error(source) })
                }
            }
        })
    }

    fn probe<'a>(
        &'a self,
        unit: &'a Unit,
        before: &'a Before,
    ) -> BoxFuture<'a, Result<Probe, StoreError>> {
        Box::pin(async {
            match self.store.probe(unit, before).await.map_err(|error| self.error(error))? {
                Probe::Unknown(why) => Ok(Probe::Unknown(self.secrets.hide(&why))),
                known @ (Probe::Done
                | Probe::NotDone
                | Probe::Partial(_)
                | Probe::Rebuild(_)
                | Probe::Running) => Ok(known),
            }
        })
    }

    fn inspect<'a>(
        &'a self,
        recorded: &'a Shape,
        depth: Depth,
    ) -> BoxFuture<'a, Result<Shape, StoreError>> {
        Box::pin(async move {
            self.store.inspect(recorded, depth).await.map_err(|error| self.error(error))
        })
    }
}

/// Hands every event on to `listener`, without `secrets`.
pub(crate) struct DiscreetListener {
    pub(crate) listener: Arc<dyn Listener>,
    pub(crate) secrets: Secrets,
}

impl Listener for DiscreetListener {
    fn event(&self, mut event: Event) {
        match &mut event {
            Event::StoreWait { error: text, .. }
            | Event::Notice { text, .. }
            | Event::Retry { error: text, .. }
            | Event::Warning(text) => *text = self.secrets.hide(text),
            // Labels are made without secrets; the rest are names and figures.
            Event::LockWait(_)
            | Event::LockWaited { .. }
            | Event::Compared(_)
            | Event::Drift { .. }
            | Event::Connected(_)
            | Event::Started { .. }
            | Event::Step { .. }
            | Event::Progress { .. }
            | Event::StepEnded { .. }
            | Event::Settled { .. }
            | Event::Failed { .. }
            | Event::Stopping { .. } => {}
        }
        self.listener.event(event);
    }
}
