//! What a store is to the rest of the program.
//!
//! # For whoever adds the next store
//!
//! Make a folder with `mod.rs` (its [`Description`](super::description::Description), settings,
//! connect), `steps.rs` (text → steps; pure), `apply.rs`, `probe.rs` (what stands before a step, and
//! what became of one in doubt), `shape.rs` and `heal.rs`, and add its description to the table. A
//! store knows neither versions nor checksums, neither locks nor rows: it is handed one step at a
//! time and says what became of it.
//!
//! What `execute` relies on:
//!
//! - [`Connection::before`] reads and never writes; what it returns is durable in the ledger before
//!   [`Connection::apply`] is called.
//! - [`Connection::apply`] takes effect in the order in which it is called. It returns `Ok` only when
//!   the effect is complete and visible to every client of the store.
//! - A [`Failure`] says honestly whether the store was changed: [`Effect::None`], [`Effect::Part`],
//!   [`Effect::Whole`] or [`Effect::Unknown`].
//! - [`Connection::probe`] answers for a step whose claim is in the ledger and whose end is not known.
//! - Labels, inverses and hazards hold no secret. What a server says may: the adapter hides it.

use std::any::Any;
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::remedy::{Heal, Sql, Verdict};
use crate::shape::{Attributes, Shape};
use crate::store_error::{StoreError, StoreErrorKind};
use crate::text::Span;

/// An operation of one store.
pub trait Operation: Any + Debug + Send + Sync {
    /// What it does, in a few words of the store: `createTopic data-ingestion`.
    fn label(&self) -> String;

    /// What is dangerous about it, as far as its text tells, in words for the plan.
    fn hazards(&self) -> Vec<String>;

    /// What its author should know, each with its place in the file.
    fn remarks(&self) -> Vec<(Span, &'static str)> {
        Vec::new()
    }

    /// What undoes it, once it was applied over `before`: native steps, in the order in which they
    /// are to be done; or why there is no inverse, in words.
    fn inverse(&self, before: &Value) -> Result<Vec<Value>, String>;

    /// Whether `object` is among what it makes, changes or drops, so that a run records it and
    /// nothing that others do to a shared server at the same time.
    fn touches(&self, object: &str) -> bool;

    /// Whether all that it does is the work of one transaction, whose number its row has too; then what
    /// another transaction did meanwhile can be told from it.
    fn is_one_transaction(&self) -> bool {
        false
    }

    /// Whether it names `object`, or what that belongs to, so that a transaction that made it was not
    /// another's.
    fn names(&self, object: &str, _attributes: &Attributes) -> bool {
        self.touches(object)
    }

    /// Whether it answers, once done, for all that `object` is, or for its absence: a migration that found
    /// it so has made it its own.
    fn makes(&self, object: &str) -> bool;

    /// Whether all that it does is to take something away: where nothing is left to be done, that was not
    /// there, and its name may be misspelt.
    fn removes(&self) -> bool {
        false
    }

    /// What of it the store does not show, to be said where it is found done: a password.
    fn unseen(&self) -> Option<&'static str> {
        None
    }

    /// What it puts into the recorded shape by itself, because the store holds nothing of it:
    /// Redis's keyspace contracts. `None` ends an object.
    fn declares(&self) -> Vec<(String, Option<Attributes>)> {
        Vec::new()
    }

    /// The same where a person says that it was done by other means.
    fn declares_by_person(&self) -> Vec<(String, Option<Attributes>)> {
        self.declares()
    }

    /// The same step, marked as generated from what the store reported, so that it runs in the
    /// environment that its text was read in. `None`: there is no difference.
    fn of_ours(&self) -> Option<Arc<dyn Operation>> {
        None
    }

    /// The step as it stands before the `earlier` ones of its plan are done: it may drop what they
    /// rename, and whoever asks now what it would lose must ask under the present name. `None`: there is no difference.
    fn before(&self, _earlier: &[&dyn Operation]) -> Option<Arc<dyn Operation>> {
        None
    }
}

impl dyn Operation {
    /// The operation, if it is one of the store whose operations `S` are.
    pub fn of_store<S: Operation>(&self) -> Option<&S> {
        (self as &dyn Any).downcast_ref()
    }
}

/// Where a store is and how to get in: the settings of one store, checked for their form.
pub trait Endpoint: Clone + Debug + Send + Sync + 'static {
    /// What connecting gives.
    type Connection: Connection;

    /// Where the store is, for messages: host and port, never a password.
    fn address(&self) -> String;

    /// What can be read on its way to the store, in words; `None` with TLS, and where the store is
    /// on this machine.
    fn plain_text(&self) -> Option<String>;

    /// Connects once and proves that the store answers and the credentials hold; tries nothing
    /// again. `application` names this process to the server.
    fn connect(
        &self,
        application: &str,
    ) -> impl Future<Output = Result<Self::Connection, StoreError>> + Send;

    /// The database in which the ledger can be, where this store is of that kind.
    fn ledger(&self) -> Option<&crate::postgres::Settings> {
        None
    }

    /// Tells the store of the ledger that may live in it.
    fn beside(&mut self, _ledger: &Beside) {}
}

/// What a store that the ledger lives in has to know of it.
#[derive(Clone, Debug, Default)]
pub struct Beside {
    /// The ledger's schema, which is no part of the store's shape.
    pub schema: String,
    /// SQL that takes a run's share of the lock for a session, and is false where another run has begun.
    pub condition: Option<String>,
    /// SQL that brings a session back to how it began, but for its advisory locks.
    pub reset: Option<String>,
    /// SQL for the numbers of the transactions that were sealed.
    pub sealed: Option<String>,
}

/// A connected store. See the module's comment for what its caller relies on.
pub trait Connection: Send + Sync + 'static {
    /// Its operations.
    type Step: Operation;

    /// What tells this server apart from any other; `None` where the store has no such thing.
    fn identity(&self) -> impl Future<Output = Result<Option<String>, StoreError>> + Send;

    /// How many jobs may be under way at once.
    fn window(&self) -> usize {
        1
    }

    /// Ends, or waits for, operations that the `dead` runs left behind on the server.
    fn expel(&self, dead: &[String]) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// How the store stands towards `step`; `recorded` is the recorded shape of this store.
    fn before(
        &self,
        step: &Self::Step,
        recorded: &Shape,
    ) -> impl Future<Output = Result<Before, StoreError>> + Send;

    /// The data that `step` would lose now, as far as its text tells; nothing where it loses none.
    fn holds(
        &self,
        step: &Self::Step,
    ) -> impl Future<Output = Result<Vec<Loss>, StoreError>> + Send;

    /// Whether it can do the steps of a plan and take them back, and so tell by itself what they lose.
    fn rehearses(&self) -> bool {
        false
    }

    /// Does the `parts` of a plan in this order, looks what they lose, and takes all of it back.
    fn rehearse(
        &self,
        _parts: &[Part<'_>],
        _pulse: &dyn Pulse,
        _cancel: &CancellationToken,
    ) -> impl Future<Output = Result<Vec<Foreseen>, StoreError>> + Send {
        std::future::ready(Ok(Vec::new()))
    }

    /// Applies `step`. Where `window` is above 1, what is to be sent is sent when this is called, not when
    /// the future is first polled.
    fn apply<'a>(
        &'a self,
        step: &'a Self::Step,
        job: Job<'a>,
    ) -> impl Future<Output = Result<Done, Failure>> + Send + 'a;

    /// Begins a migration whose steps are settled one by one: `steps` are all of it, and the first
    /// `done` of them were settled by earlier runs, which left the session as `left` tells.
    fn enter(
        &self,
        _limits: Limits,
        (_steps, _done): (&[&Self::Step], usize),
        _left: Option<&Value>,
    ) -> impl Future<Output = Result<Entered, StoreError>> + Send {
        std::future::ready(Ok(Entered::default()))
    }

    /// Ends it: nothing that it left in the session reaches the next migration.
    fn leave(&self) -> impl Future<Output = Result<(), StoreError>> + Send {
        std::future::ready(Ok(()))
    }

    /// Puts objects back by SQL, as many of them as can be; what became of each, in their order. Called only
    /// for a store whose remedies are SQL.
    fn put_back<'a>(
        &'a self,
        repair: Repair<'a>,
    ) -> impl Future<Output = Vec<Result<(), StoreError>>> + Send + 'a {
        let none = |_| Err(StoreError::refused("this store puts nothing back by SQL"));
        std::future::ready(repair.pieces.iter().map(none).collect())
    }

    /// What became of `step`, claimed by a run that ended without settling it.
    fn probe(
        &self,
        step: &Self::Step,
        before: &Before,
    ) -> impl Future<Output = Result<Probe, StoreError>> + Send;

    /// The live shape; `recorded` tells what the ledger knows (contracts, managed settings).
    fn inspect(
        &self,
        recorded: &Shape,
        depth: Depth,
    ) -> impl Future<Output = Result<Shape, StoreError>> + Send;

    /// What transactions that were not sealed wrote between the first picture and the last: the objects,
    /// and the number of the transaction of each. Nothing where the store cannot tell.
    fn unsealed(&self) -> BTreeMap<String, String> {
        BTreeMap::new()
    }

    /// What applications make as they go beside the recorded objects: of each kind, under a name of its own,
    /// how many there are. It is no drift, and nobody's fault.
    fn others(
        &self,
        _recorded: &Shape,
    ) -> impl Future<Output = Result<Vec<(String, String)>, StoreError>> + Send {
        std::future::ready(Ok(Vec::new()))
    }

    /// Checks live data against what the recorded shape says of it; `None` where it says nothing.
    fn audit(
        &self,
        recorded: &Shape,
        depth: Depth,
    ) -> impl Future<Output = Result<Option<Audit>, StoreError>> + Send;
}

/// One native operation of a migration: what is applied, journalled and resumed as a whole.
#[derive(Clone, Debug)]
pub struct Unit {
    /// What it does, in a few words of the store: `createTopic data-ingestion`.
    pub label: String,
    /// Its place in the file.
    pub span: Span,
    /// Whether the ledger row can be written in the same transaction.
    pub atomic: bool,
    /// Whether it has to be the only one under way: its data is streamed, not sent as one message.
    pub exclusive: bool,
    /// The operation.
    pub step: Arc<dyn Operation>,
}

/// What stood before a step, read before it is claimed and kept in the ledger.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Before {
    /// How the store stood towards the step.
    pub standing: Standing,
    /// What the step replaces, in the store's own form; `null` for nothing.
    #[serde(default, with = "ordered")]
    pub value: Value,
    /// What the session was like, where the steps after it may depend on that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<Value>,
    /// The secret placeholders of whose values `value` is a template, as the ledger keeps it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub templates: Vec<String>,
}

/// How a store stands towards a step that has not been claimed yet.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// The step has work to do: what it makes is absent, or what it changes is different.
    Open,
    /// What the step wants is there already, made by somebody else: nothing is done, and its
    /// inverse is nothing, so that `down` never drops it.
    Found,
    /// Something of that name is there and is different: both sides, for the error.
    Differs {
        /// What the migration wants.
        wanted: String,
        /// What is there.
        live: String,
    },
}

/// Keeps the order of keys through the ledger's `jsonb`.
mod ordered {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};
    use serde_json::Value;

    use crate::text::Ordered;

    pub fn serialize<S: Serializer>(value: &Value, serializer: S) -> Result<S::Ok, S::Error> {
        Ordered(value.clone()).serialize(serializer)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Value, D::Error> {
        Ordered::deserialize(deserializer).map(|ordered| ordered.0)
    }
}

impl Before {
    /// Nothing stands in the way and nothing is replaced.
    pub fn absent() -> Before {
        Before::replaces(Value::Null)
    }

    /// The step replaces `value`.
    pub fn replaces(value: Value) -> Before {
        Before { standing: Standing::Open, value, session: None, templates: Vec::new() }
    }

    /// The store is already as the step wants it.
    pub fn found() -> Before {
        Before { standing: Standing::Found, ..Before::absent() }
    }

    /// Something else is there.
    pub fn differs(wanted: impl Into<String>, live: impl Into<String>) -> Before {
        let standing = Standing::Differs { wanted: wanted.into(), live: live.into() };
        Before { standing, ..Before::absent() }
    }
}

/// Data that a step would lose, with its figure: `topic t holds 12 messages`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loss {
    /// What is lost and how much, as a sentence without a full stop.
    pub what: String,
    /// Whether the figure is known; unknown counts as loss.
    pub known: bool,
}

/// What a plan does to one store by one migration.
#[derive(Clone, Copy, Debug)]
pub struct Part<'a> {
    /// The migration's steps.
    pub units: &'a [Unit],
    /// How many of them an earlier run did.
    pub done: usize,
    /// Its limits.
    pub limits: Limits,
}

/// Something that the rehearsal of a plan found.
#[derive(Debug)]
pub struct Foreseen {
    /// The part of the plan, by its number.
    pub part: usize,
    /// The step of the part, by its number.
    pub step: usize,
    /// What was found.
    pub finding: Finding,
}

/// What a rehearsal finds at a step.
#[derive(Debug)]
pub enum Finding {
    /// It loses data.
    Loss(Loss),
    /// It fails, and nothing after it was looked at.
    Failure(Failure),
}

/// Pieces of opaque SQL, made by the ledger: what opens a transaction and what closes it.
/// Only the PostgreSQL store puts them around a file; it never reads them.
#[derive(Clone, Debug)]
pub struct Seal {
    /// A statement that goes right after BEGIN, or right before `close`.
    pub open: String,
    /// Statements that go right before COMMIT, in the name of the tool's own role. Where a whole file is
    /// sealed, they bring the session back to how it began, and the session knows by it that this one
    /// is settled. Where a step is, they keep what stands in [`SESSION`].
    pub close: Vec<String>,
    /// What keeps a file from the ledger.
    pub guard: Option<Guard>,
    /// What tells it from every other, as a literal.
    pub token: String,
}

/// Statements that go before the seal's `close`, behind the first of it, where a file may reach into the ledger:
/// each raises where it has touched what is the ledger's own.
#[derive(Clone, Debug)]
pub struct Guard {
    /// Knows of what takes a lock.
    pub untouched: String,
    /// Knows of what is made and takes none.
    pub unmade: String,
    /// Whether files may reach there whose text does not show it.
    pub always: bool,
}

/// How the message of an error begins that a seal's guard raises; then what was touched.
pub const TOUCHED: &str = "aiplat_migrate touched: ";

/// What is in the message of an error that is raised where a trigger has swallowed the seal's row.
pub const UNWRITTEN: &str = "aiplat_migrate unwritten: ";

/// The setting in which a store leaves, before the seal of a step closes, what the session is like.
pub const SESSION: &str = "aiplat_migrate.session";

/// How a migration was begun in its session.
#[derive(Clone, Debug, Default)]
pub struct Entered {
    /// What the session is like now; `None` where nothing depends on it.
    pub session: Option<Value>,
    /// What earlier runs left in the session and could not be brought back, in words.
    pub missing: Vec<String>,
}

/// A position inside a long step, opaque to all but its store.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Position(pub Value);

impl Position {
    /// The place between two steps, with what the session is like there.
    pub fn of_session(session: Value) -> Position {
        Position(serde_json::json!({ "session": session }))
    }

    /// What the session was like, at a place between two steps.
    pub fn session(&self) -> Option<&Value> {
        self.0.get("session")
    }
}

/// How far a long step is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Items done (documents, keys).
    pub done: u64,
    /// Items in all, where the store can tell.
    pub total: Option<u64>,
}

/// The limits of a step, from the file's header and the command line.
#[derive(Clone, Copy, Debug, Default)]
pub struct Limits {
    /// How long a statement may wait for a lock; `None`: the store's default.
    pub lock_timeout: Option<Duration>,
    /// How long a statement may take; `None`: no limit.
    pub statement_timeout: Option<Duration>,
    /// How many items (keys, documents) a long step may change per second; `None`: no limit.
    pub rate: Option<NonZeroU32>,
    /// Whether it must not lose data: where the store sees in the step's own transaction that it does, the
    /// transaction is rolled back.
    pub keeps_data: bool,
}

/// One unit to apply.
pub struct Job<'a> {
    /// The unit.
    pub unit: &'a Unit,
    /// `Some` only where the unit is atomic.
    pub seal: Option<Seal>,
    /// What stood before, already in the ledger.
    pub before: &'a Before,
    /// Where to go on, if an earlier run journalled a position.
    pub resume: Option<Position>,
    /// The file's limits.
    pub limits: Limits,
    /// The run id, for `comment`, so that a dead run's operations can be found.
    pub run: &'a str,
    /// Where a long step reports its position.
    pub pulse: &'a dyn Pulse,
    /// When it fires, the store cancels the operation on the server and returns [`Why::Cancelled`].
    pub cancel: CancellationToken,
}

/// What is to be put back by SQL.
pub struct Repair<'a> {
    /// The objects, in an order that respects what needs what.
    pub pieces: Vec<Piece<'a>>,
    /// Judges by the pictures before and after.
    pub judge: &'a (dyn Fn(&Shape, &Shape) -> Verdict + Sync),
    /// Whether the lock is still held, and nobody wants the run to stop.
    pub may_go_on: &'a (dyn Fn() -> bool + Sync),
    /// Where notices go.
    pub pulse: &'a dyn Pulse,
    /// When it fires, the statement under way is cancelled on the server.
    pub cancel: CancellationToken,
}

/// One object that is to be put back by SQL.
pub struct Piece<'a> {
    /// The object, and how it differs.
    pub heal: &'a Heal,
    /// What puts it back.
    pub sql: &'a Sql,
    /// Goes around it in its transaction, and writes its event.
    pub seal: Seal,
}

/// Implemented by `execute`: journals a position, checks the lock, shows progress.
pub trait Pulse: Send + Sync {
    /// Called after each durable part of a long step; on `Err` the step ends with [`Why::Cancelled`].
    fn reached<'a>(
        &'a self,
        at: &'a Position,
        progress: Progress,
    ) -> BoxFuture<'a, Result<(), Stop>>;

    /// Something worth a line while the step runs: a server notice, a retry.
    fn notice(&self, text: &str);
}

/// The run must not go on: the lock is lost, or the user interrupted it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stop;

/// What became of a step in doubt.
#[derive(Clone, Debug)]
pub enum Probe {
    /// It was done whole.
    Done,
    /// It was not done at all.
    NotDone,
    /// It was done in part: go on from here.
    Partial(Position),
    /// It left wreckage: apply this first, then the step again (an invalid index).
    Rebuild(Box<Unit>),
    /// The dead run's operation is still at work: ask again later.
    Running,
    /// The store cannot tell; why, for the person who has to.
    Unknown(String),
}

/// What a step that was applied has to say.
#[derive(Clone, Debug, Default)]
pub struct Done {
    /// Notices of the server and remarks (a setting that a restart forgets).
    pub notices: Vec<String>,
    /// What harms from now on, though the step was done: a topic that no producer can write to.
    pub warnings: Vec<String>,
    /// What the session is like now, where that has to be kept with the row and is not yet.
    pub session: Option<Value>,
    /// Whether the session has lost its share of the run's lock.
    pub unlocked: bool,
}

impl Done {
    /// A step that was applied, with `notices`.
    pub fn noting(notices: Vec<String>) -> Done {
        Done { notices, ..Done::default() }
    }
}

/// Why a step did not succeed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// The store refused it: trying again changes nothing.
    Refused,
    /// Trying again may help: a lock not had in time, a deadlock.
    Retry,
    /// It cannot share a transaction with its row, and nothing of it was done: it is to be claimed and
    /// handed over without a seal.
    Apart,
    /// It was not run, because one before it failed.
    NotRun,
    /// It was cancelled on the server, as asked.
    Cancelled,
    /// The store went away.
    Unreachable,
}

/// What a failed step did to the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Nothing.
    None,
    /// A part, which its words name; the next run goes on with the rest.
    Part,
    /// All that it was to do.
    Whole,
    /// It is not known: `probe` has to tell.
    Unknown,
}

/// A step that did not succeed.
#[derive(Debug)]
pub struct Failure {
    /// Why.
    pub why: Why,
    /// What the store holds of it.
    pub effect: Effect,
    /// The place in the file, where the store named one.
    pub at: Option<Span>,
    /// The store's words.
    pub source: StoreError,
}

impl From<StoreError> for Failure {
    /// A failure that certainly changed nothing, unless the connection broke.
    fn from(source: StoreError) -> Failure {
        let (why, effect) = match source.kind {
            StoreErrorKind::Unreachable => (Why::Unreachable, Effect::Unknown),
            StoreErrorKind::Credentials | StoreErrorKind::Settings | StoreErrorKind::Refused => {
                (Why::Refused, Effect::None)
            }
        };
        Failure { why, effect, at: None, source }
    }
}

/// How closely `inspect` looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// The structure alone: what a shape records.
    Structure,
    /// Live data too, by sample: Redis keys against their contracts.
    Sample,
    /// Live data too, all of it.
    Full,
}

/// What was found in live data.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Audit {
    /// What breaks a contract.
    pub violations: Vec<Violation>,
    /// How many items were looked at.
    pub looked: u64,
    /// How many there are.
    pub total: u64,
}

/// Live data that breaks a contract.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The contract: `keyspace session:*`.
    pub object: String,
    /// What is wrong, with a figure and an example.
    pub what: String,
}

impl Unit {
    /// A step that is journalled: claimed, applied and settled by itself.
    pub fn journalled(step: impl Operation, span: Span) -> Unit {
        let (label, step) = (step.label(), Arc::new(step));
        Unit { label, span, atomic: false, exclusive: true, step }
    }

    /// What undoes it, once it was applied over `before`: native steps, in the order in which they
    /// are to be done; or why there is no inverse, in words.
    pub fn inverse(&self, before: &Before) -> Result<Vec<Value>, String> {
        match before.standing {
            Standing::Found => Ok(Vec::new()),
            Standing::Open | Standing::Differs { .. } => self.step.inverse(&before.value),
        }
    }

    /// The unit as it stands before the `earlier` ones of its plan are done; see [`Operation::before`].
    pub fn before_earlier(&self, earlier: &[&Unit]) -> Unit {
        let earlier: Vec<&dyn Operation> = earlier.iter().map(|unit| unit.step.as_ref()).collect();
        self.with(self.step.before(&earlier))
    }

    /// The unit made of what the store itself told; see [`Operation::of_ours`].
    pub fn of_ours(&self) -> Unit {
        self.with(self.step.of_ours())
    }

    fn with(&self, step: Option<Arc<dyn Operation>>) -> Unit {
        Unit { step: step.unwrap_or_else(|| self.step.clone()), ..self.clone() }
    }
}

impl Failure {
    /// A step that was cancelled; `effect` is what the store may hold of it.
    pub fn cancelled(effect: Effect, message: impl Into<String>) -> Failure {
        Failure { why: Why::Cancelled, effect, at: None, source: StoreError::refused(message) }
    }
}

impl Job<'_> {
    /// Waits for an operation that the server cannot call back: once the job is cancelled, or the
    /// file's statement_timeout is over, it is left to end by itself.
    pub async fn bounded(
        &self,
        operation: impl Future<Output = Result<Done, Failure>>,
    ) -> Result<Done, Failure> {
        if self.cancel.is_cancelled() {
            return Err(Failure::cancelled(Effect::None, "cancelled before it was begun"));
        }
        let limit = self.limits.statement_timeout.unwrap_or(Duration::MAX);
        tokio::select! {
            biased;
            ended = operation => ended,
            () = self.cancel.cancelled() => {
                Err(Failure::cancelled(Effect::Unknown, "cancelled while the server was at it"))
            }
            () = tokio::time::sleep(limit) => Err(StoreError::unreachable(format!(
                "no answer within {limit:?}"
            ))
            .hint("`statement_timeout` in the migration's header sets this limit")
            .into()),
        }
    }
}
