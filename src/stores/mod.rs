//! The stores: one trait, one match that picks a store, the same rooms in every folder.
//!
//! # For whoever adds the next store
//!
//! Make a folder with `mod.rs` (settings, connect), `steps.rs` (text → steps, their labels and
//! inverses; pure), `apply.rs`, `probe.rs` (what stands before a step, and what became of one in
//! doubt) and `shape.rs`, and add a line to each match below. A store knows neither versions nor
//! checksums, neither locks nor rows: it is handed one [`Unit`] at a time and says what became of it.
//!
//! What `execute` relies on:
//!
//! - [`Store::before`] reads and never writes; what it returns is durable in the ledger before
//!   [`Store::apply`] is called.
//! - [`Store::apply`] takes effect in the order in which it is called. It returns `Ok` only when
//!   the effect is complete and visible to every client of the store.
//! - A [`Failure`] says honestly whether the store was changed: [`Effect::None`], [`Effect::Whole`]
//!   or [`Effect::Unknown`].
//! - [`Store::probe`] answers for a step whose claim is in the ledger and whose end is not known.
//! - Nothing that a store says (error, label, inverse, shape) holds a secret.

mod drift;
mod heal;
pub mod kafka;
pub mod mongo;
mod pace;
pub mod postgres;
pub mod redis;
pub mod weaviate;

pub use drift::{Drift, Ignored, drift, makes, touches};
pub use heal::{Heal, heal};
pub use pace::Pace;

use std::num::NonZeroU32;
use std::time::Duration;

use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::error::Exit;
use crate::migration::{Checksum, Node, Script, ScriptBody, ScriptError, Source, Span, StoreKind};
use crate::shape::{Attributes, Shape};

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
    pub body: Body,
}

/// The operation of a [`Unit`], one variant per store.
#[derive(Clone, Debug)]
pub enum Body {
    /// SQL.
    Postgres(postgres::Step),
    /// A database command or a batched update.
    Mongo(mongo::Step),
    /// A schema call.
    Weaviate(weaviate::Step),
    /// An admin call.
    Kafka(kafka::Step),
    /// A keyspace contract, a rewrite, a setting or a command.
    Redis(redis::Step),
}

/// What stood before a step, read before it is claimed and kept in the ledger.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Before {
    /// How the store stood towards the step.
    pub standing: Standing,
    /// What the step replaces, in the store's own form; `null` for nothing.
    #[serde(default, with = "ordered")]
    pub value: Value,
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

    use crate::migration::Ordered;

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
        Before { standing: Standing::Open, value: Value::Null }
    }

    /// The step replaces `value`.
    pub fn replaces(value: Value) -> Before {
        Before { standing: Standing::Open, value }
    }

    /// The store is already as the step wants it.
    pub fn found() -> Before {
        Before { standing: Standing::Found, value: Value::Null }
    }

    /// Something else is there.
    pub fn differs(wanted: impl Into<String>, live: impl Into<String>) -> Before {
        let standing = Standing::Differs { wanted: wanted.into(), live: live.into() };
        Before { standing, value: Value::Null }
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

/// Pieces of opaque SQL, made by the ledger: what opens a transaction and what closes it.
/// Only the PostgreSQL store puts them around a file; it never reads them.
#[derive(Clone, Debug)]
pub struct Seal {
    /// Goes right after BEGIN.
    pub open: String,
    /// Goes right before COMMIT.
    pub close: String,
    /// Goes after COMMIT, and after what brings the session back to order: the session knows by it
    /// that this one is settled.
    pub settled: String,
    /// What tells it from every other, as a literal.
    pub token: String,
}

/// A position inside a long step, opaque to all but its store.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Position(pub Value);

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
}

/// Why a step did not succeed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// The store refused it: trying again changes nothing.
    Refused,
    /// Trying again may help: a lock not had in time, a deadlock.
    Retry,
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

/// What a store answered, in its own words and codes; never with a secret in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreError {
    /// What kind of failure it is.
    pub kind: StoreErrorKind,
    /// The store's own code, such as `42P01`, `IndexOptionsConflict (85)`, `422`.
    pub code: Option<String>,
    /// The store's own message.
    pub message: String,
    /// What else it said: detail, context, the blocking session.
    pub details: Vec<String>,
    /// What to do about it.
    pub hint: Option<String>,
}

/// The kinds of failure that are treated differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreErrorKind {
    /// No connection, or it broke: `--wait` tries again (exit 6).
    Unreachable,
    /// Wrong credentials, certificate or rights: never tried again (exit 2).
    Credentials,
    /// The settings are wrong (exit 2).
    Settings,
    /// The store refused the operation (exit 1).
    Refused,
}

impl StoreErrorKind {
    /// How the process ends on it.
    pub fn exit(self) -> Exit {
        match self {
            StoreErrorKind::Unreachable => Exit::Unreachable,
            StoreErrorKind::Credentials | StoreErrorKind::Settings => Exit::Usage,
            StoreErrorKind::Refused => Exit::Failed,
        }
    }
}

impl StoreError {
    /// An error of `kind` with the store's message.
    pub fn new(kind: StoreErrorKind, message: impl Into<String>) -> StoreError {
        StoreError { kind, code: None, message: message.into(), details: Vec::new(), hint: None }
    }

    /// The store cannot be reached.
    pub fn unreachable(message: impl Into<String>) -> StoreError {
        StoreError::new(StoreErrorKind::Unreachable, message)
    }

    /// The store refused the operation.
    pub fn refused(message: impl Into<String>) -> StoreError {
        StoreError::new(StoreErrorKind::Refused, message)
    }

    /// Adds the store's code.
    pub fn code(mut self, code: impl Into<String>) -> StoreError {
        self.code = Some(code.into());
        self
    }

    /// Adds what else the store said.
    pub fn detail(mut self, detail: impl Into<String>) -> StoreError {
        self.details.push(detail.into());
        self
    }

    /// Adds what to do about it.
    pub fn hint(mut self, hint: impl Into<String>) -> StoreError {
        self.hint = Some(hint.into());
        self
    }
}

impl std::fmt::Display for StoreError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.code {
            Some(code) => write!(f, "{} [{code}]", self.message),
            None => f.write_str(&self.message),
        }
    }
}

impl std::error::Error for StoreError {}

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

/// A connected store. See the module's comment for what its caller relies on.
pub trait Store: Send + Sync {
    /// What tells this server apart from any other; `None` where the store has no such thing.
    fn identity(&self) -> BoxFuture<'_, Result<Option<String>, StoreError>>;

    /// How many jobs may be under way at once.
    fn window(&self) -> usize {
        1
    }

    /// Ends, or waits for, operations that the `dead` runs left behind on the server.
    fn expel<'a>(&'a self, dead: &'a [String]) -> BoxFuture<'a, Result<(), StoreError>>;

    /// How the store stands towards `unit`; `recorded` is the recorded shape of this store.
    fn before<'a>(
        &'a self,
        unit: &'a Unit,
        recorded: &'a Shape,
    ) -> BoxFuture<'a, Result<Before, StoreError>>;

    /// The data that `unit` would lose now; nothing where it loses none.
    fn holds<'a>(&'a self, unit: &'a Unit) -> BoxFuture<'a, Result<Vec<Loss>, StoreError>>;

    /// Applies `job`.
    fn apply<'a>(&'a self, job: Job<'a>) -> BoxFuture<'a, Result<Done, Failure>>;

    /// What became of `unit`, claimed by a run that ended without settling it.
    fn probe<'a>(
        &'a self,
        unit: &'a Unit,
        before: &'a Before,
    ) -> BoxFuture<'a, Result<Probe, StoreError>>;

    /// The live shape; `recorded` tells what the ledger knows (contracts, managed settings).
    fn inspect<'a>(
        &'a self,
        recorded: &'a Shape,
        depth: Depth,
    ) -> BoxFuture<'a, Result<Shape, StoreError>>;

    /// Holds live data against what the recorded shape says of it; `None` where it says nothing.
    fn audit<'a>(
        &'a self,
        _recorded: &'a Shape,
        _depth: Depth,
    ) -> BoxFuture<'a, Result<Option<Audit>, StoreError>> {
        Box::pin(std::future::ready(Ok(None)))
    }
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

/// The settings of one store.
#[derive(Clone, Debug)]
pub enum Settings {
    /// PostgreSQL.
    Postgres(crate::postgres::Settings),
    /// MongoDB.
    Mongo(mongo::Settings),
    /// Weaviate.
    Weaviate(weaviate::Settings),
    /// Kafka.
    Kafka(kafka::Settings),
    /// Redis.
    Redis(redis::Settings),
}

impl Settings {
    /// Which store these are for.
    pub fn kind(&self) -> StoreKind {
        match self {
            Settings::Postgres(_) => StoreKind::Postgres,
            Settings::Mongo(_) => StoreKind::Mongo,
            Settings::Weaviate(_) => StoreKind::Weaviate,
            Settings::Kafka(_) => StoreKind::Kafka,
            Settings::Redis(_) => StoreKind::Redis,
        }
    }

    /// Where the store is, for messages: host and port, never a password.
    pub fn address(&self) -> String {
        match self {
            Settings::Postgres(settings) => settings.address(),
            Settings::Mongo(settings) => settings.address(),
            Settings::Weaviate(settings) => settings.address(),
            Settings::Kafka(settings) => settings.address(),
            Settings::Redis(settings) => settings.address(),
        }
    }

    /// A sentence about what can be read on its way to the store; `None` with TLS, and where the
    /// store is on this machine.
    pub fn plain_text(&self) -> Option<String> {
        let found = match self {
            Settings::Postgres(settings) => settings.plain_text(),
            Settings::Mongo(settings) => settings.plain_text(),
            Settings::Weaviate(settings) => settings.plain_text(),
            Settings::Kafka(settings) => settings.plain_text(),
            Settings::Redis(settings) => settings.plain_text(),
        };
        found.map(|words| format!("{} at {words}", self.kind().title()))
    }

    /// Connects once and proves that the store answers and the credentials hold; tries nothing
    /// again. `application` names this process to the server.
    pub async fn connect(&self, application: &str) -> Result<Box<dyn Store>, StoreError> {
        match self {
            Settings::Postgres(settings) => postgres::connect(settings, application).await,
            Settings::Mongo(settings) => mongo::connect(settings, application).await,
            Settings::Weaviate(settings) => weaviate::connect(settings, application).await,
            Settings::Kafka(settings) => kafka::connect(settings, application).await,
            Settings::Redis(settings) => redis::connect(settings, application).await,
        }
    }
}

/// Reads a script as the units of its store; pure, so that every script about to run is checked
/// before the first effect.
pub fn parse(script: &Script) -> Result<Vec<Unit>, ScriptError> {
    match &script.body {
        ScriptBody::Sql(rendered) => postgres::parse(script, rendered),
        ScriptBody::Steps(steps) => steps.iter().map(|step| unit(script, step)).collect(),
    }
}

/// The checksum of what a text does, apart from comments and white space: of its tokens in SQL, of its
/// value in JSON5. `None` for a text that cannot be read.
pub fn content(source: &Source) -> Option<Checksum> {
    let text = match source.store {
        StoreKind::Postgres => {
            let header = source.header().ok()?;
            let text = postgres::content(&source.text)?;
            let large = source.large.iter().map(|large| large.checksum.as_str());
            format!("{}\n{text}{}", header.canonical(), large.collect::<String>())
        }
        StoreKind::Mongo | StoreKind::Weaviate | StoreKind::Kafka | StoreKind::Redis => {
            Node::parse(&source.text).ok()?.to_json().to_string()
        }
    };
    Some(Checksum::of(&text))
}

fn unit(script: &Script, step: &Node) -> Result<Unit, ScriptError> {
    let (label, body) = match script.source.store {
        StoreKind::Postgres => {
            return Err(ScriptError::new(step.span.clone(), "PostgreSQL migrations are SQL"));
        }
        StoreKind::Mongo => {
            let step = mongo::Step::parse(step)?;
            (step.label(), Body::Mongo(step))
        }
        StoreKind::Weaviate => {
            let step = weaviate::Step::parse(step)?;
            (step.label(), Body::Weaviate(step))
        }
        StoreKind::Kafka => {
            let step = kafka::Step::parse(step)?;
            (step.label(), Body::Kafka(step))
        }
        StoreKind::Redis => {
            let step = redis::Step::parse(step)?;
            (step.label(), Body::Redis(step))
        }
    };
    Ok(Unit { label, span: step.span.clone(), atomic: false, exclusive: true, body })
}

/// What undoes a unit that was applied over `before`: native steps, in the order in which they
/// are to be done; or why there is no inverse, in words.
pub fn inverse(unit: &Unit, before: &Before) -> Result<Vec<Value>, String> {
    if before.standing == Standing::Found {
        return Ok(Vec::new());
    }
    match &unit.body {
        Body::Postgres(_) => Err("SQL is undone by a U file".to_string()),
        Body::Mongo(step) => step.inverse(&before.value),
        Body::Weaviate(step) => step.inverse(&before.value),
        Body::Kafka(step) => step.inverse(&before.value),
        Body::Redis(step) => step.inverse(&before.value),
    }
}

/// `unit` as it stands before the `earlier` ones of its plan are done: it may drop what they rename,
/// and whoever asks now what it would lose must ask under the present name.
pub fn before_earlier(unit: &Unit, earlier: &[&Unit]) -> Unit {
    let mut now = unit.clone();
    match &mut now.body {
        Body::Postgres(step) => {
            let earlier: Vec<_> = earlier.iter().filter_map(|unit| postgres_step(unit)).collect();
            *step = step.before(&earlier);
        }
        Body::Mongo(step) => {
            let earlier: Vec<_> = earlier.iter().filter_map(|unit| mongo_step(unit)).collect();
            *step = step.before(&earlier);
        }
        Body::Weaviate(_) | Body::Kafka(_) | Body::Redis(_) => {}
    }
    now
}

fn postgres_step<'a>(unit: &&'a Unit) -> Option<&'a postgres::Step> {
    match &unit.body {
        Body::Postgres(step) => Some(step),
        Body::Mongo(_) | Body::Weaviate(_) | Body::Kafka(_) | Body::Redis(_) => None,
    }
}

fn mongo_step<'a>(unit: &&'a Unit) -> Option<&'a mongo::Step> {
    match &unit.body {
        Body::Mongo(step) => Some(step),
        Body::Postgres(_) | Body::Weaviate(_) | Body::Kafka(_) | Body::Redis(_) => None,
    }
}

/// What a unit puts into the recorded shape by itself, because the store holds nothing of it:
/// Redis's keyspace contracts. `None` ends an object.
pub fn declares(unit: &Unit) -> Vec<(String, Option<Attributes>)> {
    match &unit.body {
        Body::Redis(step) => step.declares(),
        Body::Postgres(_) | Body::Mongo(_) | Body::Weaviate(_) | Body::Kafka(_) => Vec::new(),
    }
}

/// What is dangerous about a unit, as far as its text tells, in words for the plan.
pub fn hazards(unit: &Unit) -> Vec<String> {
    match &unit.body {
        Body::Postgres(step) => step.hazards(),
        Body::Mongo(step) => step.hazards(),
        Body::Weaviate(step) => step.hazards(),
        Body::Kafka(step) => step.hazards(),
        Body::Redis(step) => step.hazards(),
    }
}
