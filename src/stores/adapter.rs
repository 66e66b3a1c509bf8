//! The one way to a connected store: every call is cast to the store's own step type, boxed, and what
//! comes back is without secrets.
//!
//! Servers quote what they refuse: a cast's input, an unknown field, a rule of a user. Where that came
//! from a secret placeholder, it must reach neither log nor ledger. A method that is not written here
//! cannot be called at all, so none can go past it.

use std::any::Any;
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::{Mutex, PoisonError};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::concealed::{self, Concealing, Memory};
use super::contract::{
    Audit, Before, Beside, Connection, Depth, Done, Endpoint, Entered, Failure, Finding, Foreseen,
    Job, Limits, Loss, Part, Probe, Pulse, Repair, Standing, Unit,
};
use crate::secret::{Form, Secrets};
use crate::shape::{Attributes, Shape};
use crate::store_error::StoreError;
use crate::text::map_texts;

/// A connected store.
pub struct Store {
    connection: Box<dyn AnyConnection>,
    secrets: Secrets,
    memory: Mutex<Memory>,
}

fn without(secrets: &Secrets, mut error: StoreError) -> StoreError {
    error.message = secrets.hide(&error.message);
    error.details = error.details.iter().map(|detail| secrets.hide(detail)).collect();
    error.hint = error.hint.map(|hint| secrets.hide(&hint));
    error
}

impl Store {
    pub(super) async fn connect(
        endpoint: &dyn AnyEndpoint,
        application: &str,
        secrets: &Secrets,
    ) -> Result<Store, StoreError> {
        let connection = endpoint.connect(application).await;
        let connection = connection.map_err(|error| without(secrets, error))?;
        Ok(Store { connection, secrets: secrets.clone(), memory: Mutex::default() })
    }

    /// See [`Connection::identity`].
    pub async fn identity(&self) -> Result<Option<String>, StoreError> {
        self.hidden(self.connection.identity().await)
    }

    /// See [`Connection::window`].
    pub fn window(&self) -> usize {
        self.connection.window()
    }

    /// See [`Connection::expel`].
    pub async fn expel(&self, dead: &[String]) -> Result<(), StoreError> {
        self.hidden(self.connection.expel(dead).await)
    }

    /// See [`Connection::before`]. What stood before is kept as it is, for the undo; the words for
    /// people are not.
    pub async fn before(&self, unit: &Unit, recorded: &Shape) -> Result<Before, StoreError> {
        let opened = concealed::opened(recorded, &self.secrets);
        let recorded = opened.as_ref().unwrap_or(recorded);
        let mut before = self.hidden(self.connection.before(unit, recorded).await)?;
        if let Standing::Differs { wanted, live } = &mut before.standing {
            *wanted = self.secrets.hide(wanted);
            *live = self.secrets.hide(live);
        }
        Ok(before)
    }

    /// See [`Connection::holds`].
    pub async fn holds(&self, unit: &Unit) -> Result<Vec<Loss>, StoreError> {
        let mut losses = self.hidden(self.connection.holds(unit).await)?;
        for loss in &mut losses {
            loss.what = self.secrets.hide(&loss.what);
        }
        Ok(losses)
    }

    /// See [`Connection::rehearses`].
    pub fn rehearses(&self) -> bool {
        self.connection.rehearses()
    }

    /// See [`Connection::rehearse`].
    pub async fn rehearse(
        &self,
        parts: &[Part<'_>],
        pulse: &dyn Pulse,
        cancel: &CancellationToken,
    ) -> Result<Vec<Foreseen>, StoreError> {
        let mut found = self.hidden(self.connection.rehearse(parts, pulse, cancel).await)?;
        for foreseen in &mut found {
            match &mut foreseen.finding {
                Finding::Loss(loss) => loss.what = self.secrets.hide(&loss.what),
                Finding::Failure(failure) => {
                    failure.source = without(&self.secrets, failure.source.clone());
                }
            }
        }
        Ok(found)
    }

    /// See [`Connection::apply`]: what is to be sent is sent at once, not when the future is first
    /// polled, since jobs take effect in the order of the calls.
    pub fn apply<'a>(&'a self, job: Job<'a>) -> BoxFuture<'a, Result<Done, Failure>> {
        let ended = self.connection.apply(job);
        async move {
            match ended.await {
                Ok(done) => {
                    let notices = done.notices.iter().map(|notice| self.secrets.hide(notice));
                    let warnings = done.warnings.iter().map(|text| self.secrets.hide(text));
                    Ok(Done { notices: notices.collect(), warnings: warnings.collect(), ..done })
                }
                Err(mut failure) => {
                    failure.source = without(&self.secrets, failure.source);
                    Err(failure)
                }
            }
        }
        .boxed()
    }

    /// See [`Connection::enter`].
    pub async fn enter(
        &self,
        limits: Limits,
        (units, done): (&[Unit], usize),
        left: Option<&Value>,
    ) -> Result<Entered, StoreError> {
        let mut entered = self.hidden(self.connection.enter(limits, (units, done), left).await)?;
        for what in &mut entered.missing {
            *what = self.secrets.hide(what);
        }
        Ok(entered)
    }

    /// See [`Connection::leave`].
    pub async fn leave(&self) -> Result<(), StoreError> {
        self.hidden(self.connection.leave().await)
    }

    /// See [`Connection::put_back`].
    pub async fn put_back(&self, repair: Repair<'_>) -> Vec<Result<(), StoreError>> {
        let ended = self.connection.put_back(repair).await;
        ended.into_iter().map(|one| self.hidden(one)).collect()
    }

    /// See [`Connection::probe`].
    pub async fn probe(&self, unit: &Unit, before: &Before) -> Result<Probe, StoreError> {
        let before = self.opened(before.clone());
        match self.hidden(self.connection.probe(unit, &before).await)? {
            Probe::Unknown(why) => Ok(Probe::Unknown(self.secrets.hide(&why))),
            known @ (Probe::Done
            | Probe::NotDone
            | Probe::Partial(_)
            | Probe::Rebuild(_)
            | Probe::Running) => Ok(known),
        }
    }

    /// See [`Connection::inspect`]. Secrets are in no picture: see `stores/concealed.rs`.
    pub async fn inspect(&self, recorded: &Shape, depth: Depth) -> Result<Shape, StoreError> {
        let mut live = self.hidden(self.connection.inspect(recorded, depth).await)?;
        self.conceal(&mut live, recorded, None);
        Ok(live)
    }

    /// The same after a run that found `before`: what became different is the run's own, and is shown.
    pub async fn inspect_after(
        &self,
        recorded: &Shape,
        before: &Shape,
    ) -> Result<Shape, StoreError> {
        let mut live = self.hidden(self.connection.inspect(recorded, Depth::Structure).await)?;
        self.conceal(&mut live, recorded, Some(before));
        Ok(live)
    }

    /// Leaves secrets out of a picture that the store's connection took by itself.
    pub fn conceal(&self, live: &mut Shape, recorded: &Shape, before: Option<&Shape>) {
        let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        Concealing { secrets: &self.secrets, recorded, before }.conceal(live, &mut memory);
    }

    /// Marks secrets that are words of any text, in what became different of the objects that `is_named`
    /// says: those that steps name which use the placeholders `names`.
    pub fn mark_words(
        &self,
        (before, live): (&Shape, &mut Shape),
        (names, is_sql): (&[String], bool),
        is_named: &dyn Fn(&str, &Attributes) -> bool,
    ) {
        concealed::mark_words(&self.secrets, live, before, (names, is_sql), is_named);
    }

    /// A value as the ledger may keep it; nothing where it holds no secret.
    ///
    /// `names` are the placeholders that the step's migration names; names of objects stand in the first
    /// `above` levels of `value`.
    pub fn template_of(
        &self,
        value: &Value,
        names: &[String],
        above: usize,
    ) -> Option<(Value, Vec<String>)> {
        let memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        concealed::template_of(value, &memory.known(&self.secrets), &memory.named(names), above)
    }

    /// What stood before a step as the ledger keeps it: without secrets.
    pub fn kept(&self, before: &Before, names: &[String]) -> Before {
        match self.template_of(&before.value, names, 0) {
            Some((value, templates)) => Before { value, templates, ..before.clone() },
            None => before.clone(),
        }
    }

    /// What the ledger kept, with today's values of the secrets. What is not known stays as it is.
    pub fn opened(&self, kept: Before) -> Before {
        if kept.templates.is_empty() {
            return kept;
        }
        let value = map_texts(&kept.value, 0, &|text| {
            let rendered = self.secrets.render(text, &kept.templates, Form::Plain);
            rendered.unwrap_or_else(|_| text.to_string())
        });
        Before { value, templates: Vec::new(), ..kept }
    }

    /// The secrets of today.
    pub fn secrets(&self) -> &Secrets {
        &self.secrets
    }

    /// See [`Connection::unsealed`].
    pub fn unsealed(&self) -> BTreeMap<String, String> {
        self.connection.unsealed()
    }

    /// See [`Connection::others`].
    pub async fn others(&self, recorded: &Shape) -> Result<Vec<(String, String)>, StoreError> {
        self.hidden(self.connection.others(recorded).await)
    }

    /// See [`Connection::audit`].
    pub async fn audit(&self, recorded: &Shape, depth: Depth) -> Result<Option<Audit>, StoreError> {
        let mut audit = self.hidden(self.connection.audit(recorded, depth).await)?;
        for violation in audit.iter_mut().flat_map(|audit| &mut audit.violations) {
            violation.what = self.secrets.hide(&violation.what);
        }
        Ok(audit)
    }

    fn hidden<T>(&self, answer: Result<T, StoreError>) -> Result<T, StoreError> {
        answer.map_err(|error| without(&self.secrets, error))
    }
}

/// An [`Endpoint`] of whatever store. There is one implementation, below.
pub(super) trait AnyEndpoint: Debug + Send + Sync {
    fn address(&self) -> String;
    fn plain_text(&self) -> Option<String>;
    fn ledger(&self) -> Option<&crate::postgres::Settings>;
    fn beside(&mut self, ledger: &Beside);
    fn connect<'a>(&'a self, application: &'a str) -> Answer<'a, Box<dyn AnyConnection>>;
    fn clone_box(&self) -> Box<dyn AnyEndpoint>;
    fn as_any(&self) -> &dyn Any;
}

type Answer<'a, T> = BoxFuture<'a, Result<T, StoreError>>;

impl<E: Endpoint> AnyEndpoint for E {
    fn address(&self) -> String {
        Endpoint::address(self)
    }

    fn plain_text(&self) -> Option<String> {
        Endpoint::plain_text(self)
    }

    fn ledger(&self) -> Option<&crate::postgres::Settings> {
        Endpoint::ledger(self)
    }

    fn beside(&mut self, ledger: &Beside) {
        Endpoint::beside(self, ledger);
    }

    fn connect<'a>(&'a self, application: &'a str) -> Answer<'a, Box<dyn AnyConnection>> {
        let connecting = Endpoint::connect(self, application);
        async { connecting.await.map(|one| Box::new(one) as Box<dyn AnyConnection>) }.boxed()
    }

    fn clone_box(&self) -> Box<dyn AnyEndpoint> {
        Box::new(self.clone())
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// A [`Connection`] of whatever store. There is one implementation, below.
pub(super) trait AnyConnection: Send + Sync {
    fn identity(&self) -> Answer<'_, Option<String>>;
    fn window(&self) -> usize;
    fn expel<'a>(&'a self, dead: &'a [String]) -> Answer<'a, ()>;
    fn before<'a>(&'a self, unit: &'a Unit, recorded: &'a Shape) -> Answer<'a, Before>;
    fn holds<'a>(&'a self, unit: &'a Unit) -> Answer<'a, Vec<Loss>>;
    fn rehearses(&self) -> bool;
    fn rehearse<'a>(
        &'a self,
        parts: &'a [Part<'a>],
        pulse: &'a dyn Pulse,
        cancel: &'a CancellationToken,
    ) -> Answer<'a, Vec<Foreseen>>;
    fn apply<'a>(&'a self, job: Job<'a>) -> BoxFuture<'a, Result<Done, Failure>>;
    fn enter<'a>(
        &'a self,
        limits: Limits,
        steps: (&'a [Unit], usize),
        left: Option<&'a Value>,
    ) -> Answer<'a, Entered>;
    fn leave(&self) -> Answer<'_, ()>;
    fn put_back<'a>(&'a self, repair: Repair<'a>) -> BoxFuture<'a, Vec<Result<(), StoreError>>>;
    fn probe<'a>(&'a self, unit: &'a Unit, before: &'a Before) -> Answer<'a, Probe>;
    fn inspect<'a>(&'a self, recorded: &'a Shape, depth: Depth) -> Answer<'a, Shape>;
    fn unsealed(&self) -> BTreeMap<String, String>;
    fn others<'a>(&'a self, recorded: &'a Shape) -> Answer<'a, Vec<(String, String)>>;
    fn audit<'a>(&'a self, recorded: &'a Shape, depth: Depth) -> Answer<'a, Option<Audit>>;
}

/// The step of a unit; another store's is a mistake of the caller.
fn step<C: Connection>(unit: &Unit) -> Result<&C::Step, StoreError> {
    unit.step
        .of_store()
        .ok_or_else(|| StoreError::refused(format!("`{}` is a step of another store", unit.label)))
}

impl<C: Connection> AnyConnection for C {
    fn identity(&self) -> Answer<'_, Option<String>> {
        Connection::identity(self).boxed()
    }

    fn window(&self) -> usize {
        Connection::window(self)
    }

    fn expel<'a>(&'a self, dead: &'a [String]) -> Answer<'a, ()> {
        Connection::expel(self, dead).boxed()
    }

    fn before<'a>(&'a self, unit: &'a Unit, recorded: &'a Shape) -> Answer<'a, Before> {
        async { Connection::before(self, step::<C>(unit)?, recorded).await }.boxed()
    }

    fn holds<'a>(&'a self, unit: &'a Unit) -> Answer<'a, Vec<Loss>> {
        async { Connection::holds(self, step::<C>(unit)?).await }.boxed()
    }

    fn rehearses(&self) -> bool {
        Connection::rehearses(self)
    }

    fn rehearse<'a>(
        &'a self,
        parts: &'a [Part<'a>],
        pulse: &'a dyn Pulse,
        cancel: &'a CancellationToken,
    ) -> Answer<'a, Vec<Foreseen>> {
        Connection::rehearse(self, parts, pulse, cancel).boxed()
    }

    fn apply<'a>(&'a self, job: Job<'a>) -> BoxFuture<'a, Result<Done, Failure>> {
        match step::<C>(job.unit) {
            Ok(step) => Connection::apply(self, step, job).boxed(),
            Err(error) => std::future::ready(Err(error.into())).boxed(),
        }
    }

    fn enter<'a>(
        &'a self,
        limits: Limits,
        (units, done): (&'a [Unit], usize),
        left: Option<&'a Value>,
    ) -> Answer<'a, Entered> {
        async move {
            let steps = units.iter().map(step::<C>).collect::<Result<Vec<_>, _>>()?;
            Connection::enter(self, limits, (&steps, done), left).await
        }
        .boxed()
    }

    fn leave(&self) -> Answer<'_, ()> {
        Connection::leave(self).boxed()
    }

    fn put_back<'a>(&'a self, repair: Repair<'a>) -> BoxFuture<'a, Vec<Result<(), StoreError>>> {
        Connection::put_back(self, repair).boxed()
    }

    fn probe<'a>(&'a self, unit: &'a Unit, before: &'a Before) -> Answer<'a, Probe> {
        async { Connection::probe(self, step::<C>(unit)?, before).await }.boxed()
    }

    fn inspect<'a>(&'a self, recorded: &'a Shape, depth: Depth) -> Answer<'a, Shape> {
        Connection::inspect(self, recorded, depth).boxed()
    }

    fn unsealed(&self) -> BTreeMap<String, String> {
        Connection::unsealed(self)
    }

    fn others<'a>(&'a self, recorded: &'a Shape) -> Answer<'a, Vec<(String, String)>> {
        Connection::others(self, recorded).boxed()
    }

    fn audit<'a>(&'a self, recorded: &'a Shape, depth: Depth) -> Answer<'a, Option<Audit>> {
        Connection::audit(self, recorded, depth).boxed()
    }
}
