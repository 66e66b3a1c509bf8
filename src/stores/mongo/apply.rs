//! Applying a step: its command goes out with the run's id, a majority write concern and the file's
//! time limit, and can be cancelled on the server.

use std::time::{Duration, Instant};

use bson::{Bson, Document, doc};
use mongodb::Database;
use mongodb::error::Error;
use serde_json::Value;

use super::steps::{CollMod, Create, CreateIndexes, DropIndexes, Rename, Step, name_of};
use super::{Mongo, batches, catalog, changes, commands, errors, inserts, operations, probe};
use crate::store_error::{StoreError, StoreErrorKind};
use crate::stores::contract::{Done, Effect, Failure, Job, Standing, Why};

/// How long a cancelled command may take to come back.
const GRACE: Duration = Duration::from_secs(20);
/// How long to wait before it is told again.
const AGAIN: Duration = Duration::from_millis(500);

/// Applies the step of `job`.
pub(super) async fn apply(store: &Mongo, step: &Step, job: &Job<'_>) -> Result<Done, Failure> {
    match step {
        Step::Create(step) => create(store, step, job).await,
        Step::CreateIndexes(step) => create_indexes(store, step, job).await,
        Step::CollMod(step) => coll_mod(store, step, job).await,
        Step::Drop(step) => match sent(store, &store.db, step.command.clone(), job).await {
            Err(failure) if is_code(&failure, errors::NAMESPACE_NOT_FOUND) => Ok(Done::default()),
            ended => ended,
        },
        Step::DropIndexes(step) => drop_indexes(store, step, job).await,
        Step::Rename(step) => sent(store, &store.admin(), rename_command(store, step), job).await,
        Step::UpdateInBatches(step) => batches::walk(store, step, job).await,
        Step::Command(step) if step.name == "insert" => inserts::apply(store, step, job).await,
        Step::Command(step) => {
            let db = if commands::is_admin(&step.name) { store.admin() } else { store.db.clone() };
            sent(store, &db, step.command.clone(), job).await
        }
    }
}

/// One that is there already, made by a run that died or by whoever came first, is fine if equal.
async fn create(store: &Mongo, step: &Create, job: &Job<'_>) -> Result<Done, Failure> {
    let failure = match sent(store, &store.db, step.command.clone(), job).await {
        Ok(done) => return Ok(done),
        Err(failure) if is_code(&failure, errors::NAMESPACE_EXISTS) => failure,
        Err(failure) => return Err(failure),
    };
    match probe::create(store, step).await?.standing {
        Standing::Found => Ok(Done::default()),
        Standing::Open => Err(failure),
        Standing::Differs { wanted, live } => {
            let source = failure.source.detail(format!("wanted: {wanted}"));
            Err(Failure { source: source.detail(format!("there: {live}")), ..failure })
        }
    }
}

/// Where it asks who its users are, the server takes `viewOn` and `pipeline` of a view only together: what
/// the step leaves out stays as it is.
async fn coll_mod(store: &Mongo, step: &CollMod, job: &Job<'_>) -> Result<Done, Failure> {
    let mut command = step.command.clone();
    if VIEW.iter().any(|option| step.changes.contains_key(option))
        && let Some(live) = catalog::collection(&store.db, &step.collection).await?
        && live.is_view
    {
        for option in VIEW.iter().filter(|option| !step.changes.contains_key(**option)) {
            command.insert(*option, changes::live_option(option, &live.options));
        }
    }
    sent(store, &store.db, command, job).await
}

/// What a view is.
const VIEW: [&str; 2] = ["viewOn", "pipeline"];

/// Makes the indexes that were missing when the step was claimed; the server takes one that has
/// come meanwhile as made.
async fn create_indexes(
    store: &Mongo,
    step: &CreateIndexes,
    job: &Job<'_>,
) -> Result<Done, Failure> {
    let missing = strings(&job.before.value["make"]);
    let indexes: Vec<Document> = step
        .indexes
        .iter()
        .filter(|index| missing.is_empty() || missing.contains(&name_of(index)))
        .cloned()
        .collect();
    let mut command = step.command.clone();
    command.insert("indexes", indexes);
    if !command.contains_key("commitQuorum") && is_replicated(store).await? {
        command.insert("commitQuorum", "majority");
    }
    sent(store, &store.db, command, job).await
}

/// Whether there are members that may be down: by the server's own choice an index build waits for
/// every voting one, however long it is away. A server alone takes no `commitQuorum`.
async fn is_replicated(store: &Mongo) -> Result<bool, StoreError> {
    let hello = store.ask(&store.admin(), doc! { "hello": 1 }).await?;
    Ok(hello.contains_key("setName") || hello.get_str("msg").is_ok_and(|kind| kind == "isdbgrid"))
}

/// Drops those that were there when the step was claimed and still are: the server refuses the
/// whole list for one that is not.
async fn drop_indexes(store: &Mongo, step: &DropIndexes, job: &Job<'_>) -> Result<Done, Failure> {
    let live = catalog::indexes(&store.db, &step.collection).await?;
    let claimed = job.before.value["indexes"].as_array();
    let names: Vec<&str> =
        claimed.into_iter().flatten().filter_map(|index| index["name"].as_str()).collect();
    let left: Vec<&str> =
        names.into_iter().filter(|name| live.iter().any(|index| index.name == *name)).collect();
    if left.is_empty() {
        return Ok(Done::default());
    }
    let mut command = step.command.clone();
    command.insert("index", left);
    match sent(store, &store.db, command, job).await {
        Err(failure) if is_code(&failure, errors::INDEX_NOT_FOUND) => Ok(Done::default()),
        ended => ended,
    }
}

/// `renameCollection` wants both databases named.
fn rename_command(store: &Mongo, step: &Rename) -> Document {
    let mut command = step.command.clone();
    command.insert("renameCollection", store.namespace(&step.from));
    command.insert("to", store.namespace(&step.to));
    command
}

fn strings(value: &Value) -> Vec<&str> {
    value.as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

fn is_code(failure: &Failure, code: i32) -> bool {
    failure.source.code.as_deref().is_some_and(|shown| shown.ends_with(&format!("({code})")))
}

async fn sent(
    store: &Mongo,
    db: &Database,
    command: Document,
    job: &Job<'_>,
) -> Result<Done, Failure> {
    let reply = send(store, db, command, job).await?;
    Ok(done(&reply))
}

/// What the server notes of a command that was done.
pub(super) fn done(reply: &Document) -> Done {
    let note = reply.get_str("note").ok().filter(|note| !note.is_empty());
    Done::noting(note.into_iter().map(str::to_string).collect())
}

/// Sends one command for `job` and holds its reply against all the ways in which it can fail.
pub(super) async fn send(
    store: &Mongo,
    db: &Database,
    command: Document,
    job: &Job<'_>,
) -> Result<Document, Failure> {
    let writes = ["updates", "deletes"].iter().find_map(|name| command.get_array(*name).ok());
    let writes = writes.map_or(0, Vec::len);
    let reply = exchange(store, db, command, job).await?;
    let told = |source| (Effect::Unknown, errors::of_several(source, &reply, writes));
    match failure_in(&reply, told) {
        None => Ok(reply),
        Some(failure) => Err(failure),
    }
}

/// Sends one command for `job`; what its reply says of single writes is not looked at yet.
pub(super) async fn exchange(
    store: &Mongo,
    db: &Database,
    mut command: Document,
    job: &Job<'_>,
) -> Result<Document, Failure> {
    let name = command.keys().next().cloned().unwrap_or_default();
    if job.cancel.is_cancelled() {
        let source = StoreError::refused(format!("`{name}` was not begun: cancelled"));
        return Err(Failure { why: Why::Cancelled, effect: Effect::None, at: None, source });
    }
    equip(&mut command, &name, job);
    answer(store, db, command, job).await?.map_err(|error| Failure {
        why: why(&error, job),
        effect: effect(&error, &name),
        at: None,
        source: errors::from_driver(&error),
    })
}

/// What a reply that came says of failure; `told` knows what that has changed.
pub(super) fn failure_in(
    reply: &Document,
    told: impl FnOnce(StoreError) -> (Effect, StoreError),
) -> Option<Failure> {
    let source = errors::in_reply(reply)?;
    let why = match source.kind {
        StoreErrorKind::Unreachable => Why::Unreachable,
        StoreErrorKind::Credentials | StoreErrorKind::Settings | StoreErrorKind::Refused => {
            Why::Refused
        }
    };
    let (effect, source) = told(source);
    Some(Failure { why, effect, at: None, source })
}

/// What the server answers. When `job` is cancelled, the operation is killed there: giving up
/// waiting would not stop it.
async fn answer(
    store: &Mongo,
    db: &Database,
    command: Document,
    job: &Job<'_>,
) -> Result<Result<Document, Error>, Failure> {
    let running = db.run_command(command).into_future();
    tokio::pin!(running);
    tokio::select! {
        ended = &mut running => return Ok(ended),
        () = job.cancel.cancelled() => {}
    }
    let started = Instant::now();
    while started.elapsed() < GRACE {
        // More than once: it may not have reached the server yet.
        operations::interrupt(&store.admin(), job.run).await.map_err(in_doubt)?;
        if let Ok(ended) = tokio::time::timeout(AGAIN, &mut running).await {
            return Ok(ended);
        }
    }
    let message = format!("cancelled, and still at work on the server after {GRACE:?}");
    Err(in_doubt(StoreError::refused(message)))
}

fn equip(command: &mut Document, name: &str, job: &Job<'_>) {
    command.insert("comment", job.run);
    if commands::writes(name) && !command.contains_key("writeConcern") {
        command.insert("writeConcern", doc! { "w": "majority" });
    }
    if let Some(limit) = job.limits.statement_timeout
        && !command.contains_key("maxTimeMS")
    {
        command.insert("maxTimeMS", i64::try_from(limit.as_millis()).unwrap_or(i64::MAX));
    }
}

fn why(error: &Error, job: &Job<'_>) -> Why {
    match errors::code(error) {
        _ if errors::from_driver(error).kind == StoreErrorKind::Unreachable => Why::Unreachable,
        Some(code) if errors::INTERRUPTED.contains(&code) && job.cancel.is_cancelled() => {
            Why::Cancelled
        }
        Some(code) if errors::AGAIN_LATER.contains(&code) => Why::Retry,
        Some(_) | None => Why::Refused,
    }
}

fn effect(error: &Error, name: &str) -> Effect {
    let unreachable = errors::from_driver(error).kind == StoreErrorKind::Unreachable;
    match errors::code(error) {
        _ if unreachable => Effect::Unknown,
        Some(code) if commands::is_whole_or_not(name) || errors::changed_nothing(code) => {
            Effect::None
        }
        Some(_) => Effect::Unknown,
        None if errors::without_code(error).is_some() && !commands::is_whole_or_not(name) => {
            Effect::Unknown
        }
        // The driver itself refused to send it.
        None => Effect::None,
    }
}

/// Cancelled, and what became of it is not known.
pub(super) fn in_doubt(source: StoreError) -> Failure {
    Failure { why: Why::Cancelled, effect: Effect::Unknown, at: None, source }
}

/// The number under `name` in a reply, whatever its type.
pub(super) fn count(reply: &Document, name: &str) -> u64 {
    let number = match reply.get(name) {
        Some(Bson::Int32(number)) => i64::from(*number),
        Some(Bson::Int64(number)) => *number,
        Some(Bson::Double(number)) => *number as i64,
        _ => 0,
    };
    u64::try_from(number).unwrap_or(0)
}
