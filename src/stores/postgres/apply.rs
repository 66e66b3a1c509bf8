//! Sends steps: sealed ones as one message from BEGIN to COMMIT, others alone.

use std::io::Cursor;
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::{FutureExt, SinkExt, StreamExt};
use tokio_postgres::SimpleQueryMessage;
use tokio_postgres::error::{ErrorPosition, SqlState};

use super::Postgres;
use super::rehearsal;
use super::split::Index;
use super::steps::{Manner, Step};
use crate::failpoint::failpoint;
use crate::postgres::{self, Names, store_error};
use crate::store_error::StoreError;
use crate::stores::contract::{Done, Effect, Failure, Job, Limits, Seal, Why};
use crate::text::{LargeData, Span};

/// The class of the ledger's own assertions: the one sent before is not settled.
const PREDECESSOR_MISSING: &str = "AM001";

/// A message and where in it the step's own text lies.
struct Message {
    sql: String,
    /// The bytes of `sql` before the step's text.
    prefix: usize,
    /// The statements of `sql` before the step's first.
    statements_before: usize,
    /// Where the part of the step in this message begins, in the step's text.
    base: usize,
    /// Which of the step's statements is the first in this message.
    first: usize,
}

/// A message that failed: how many statements were complete, and the error.
struct Broken {
    completed: usize,
    error: tokio_postgres::Error,
}

pub(super) fn apply<'a>(
    store: &'a Postgres,
    step: &'a Step,
    job: Job<'a>,
) -> BoxFuture<'a, Result<Done, Failure>> {
    match (&step.manner, job.seal.clone()) {
        (Manner::Transaction, Some(seal)) if job.limits.keeps_data => {
            rehearsal::guarded(store, step, job, seal).boxed()
        }
        (Manner::Transaction, Some(seal)) => match step.streams() {
            false => whole(store, step, job, &seal),
            true => with_copy(store, step, job, seal).boxed(),
        },
        (Manner::Transaction, None) => {
            let message = "a transactional step was not sealed";
            std::future::ready(Err(Failure::from(StoreError::refused(message)))).boxed()
        }
        (Manner::Alone { concurrently, index }, _) => {
            alone(store, step, job, *concurrently, index.as_ref()).boxed()
        }
    }
}

/// The whole step in one message. It is sent before this function returns, so that messages reach
/// the server in the order of the calls; the future only waits for the answer.
fn whole<'a>(
    store: &'a Postgres,
    step: &'a Step,
    job: Job<'a>,
    seal: &Seal,
) -> BoxFuture<'a, Result<Done, Failure>> {
    let (opening, statements_before) = opening(step, seal, job.limits);
    let closing = closing(store, seal);
    let message = Message {
        prefix: opening.len(),
        sql: format!("{opening}{}{closing}", step.sql()),
        statements_before,
        base: step.span.start,
        first: 0,
    };
    let mut sent = send(store, message.sql.clone()).boxed();
    if let Some(answer) = (&mut sent).now_or_never() {
        sent = std::future::ready(answer).boxed();
    }
    async move {
        let answer = cancellable(store, &job, sent).await;
        match answer {
            Ok(()) => Ok(Done { notices: store.session.take_notices() }),
            Err(broken) => Err(fail(store, step, &job, &message, broken).await),
        }
    }
    .boxed()
}

pub(super) fn opening(step: &Step, seal: &Seal, limits: Limits) -> (String, usize) {
    let mut sql = format!("BEGIN;\n{};\n", seal.open);
    let mut statements = 2;
    if step.is_ours {
        sql.push_str(&format!("{};\n", postgres::until_commit(Names::Ours)));
        statements += 1;
    }
    let (limits, count) = limited(limits);
    (sql + &limits, statements + count)
}

/// SQL that sets a file's limits until the end of the transaction, and how many statements it has.
pub(super) fn limited(limits: Limits) -> (String, usize) {
    let (mut sql, mut statements) = (String::new(), 0);
    let settings =
        [("lock_timeout", limits.lock_timeout), ("statement_timeout", limits.statement_timeout)];
    for (name, value) in settings {
        if let Some(value) = value {
            sql.push_str(&format!("SET LOCAL {name} = {};\n", value.as_millis()));
            statements += 1;
        }
    }
    (sql, statements)
}

/// The newline ends a comment at the end of the file, the semicolon its last statement. Deferred
/// triggers fire in the file's own environment.
pub(super) const DEFERRED: &str = "\n;\nSET CONSTRAINTS ALL IMMEDIATE;\n";

fn closing(store: &Postgres, seal: &Seal) -> String {
    format!("{DEFERRED}{}", commit(store, seal))
}

fn commit(store: &Postgres, seal: &Seal) -> String {
    let (close, again) = (&seal.close, store.session.set_again());
    format!("{close};\nCOMMIT;\n{again}")
}

/// Settles a transaction whose step is done.
pub(super) async fn settle(
    store: &Postgres,
    step: &Step,
    job: &Job<'_>,
    seal: &Seal,
) -> Result<(), Failure> {
    let sql = commit(store, seal);
    // Nothing of it has a place in the file.
    let (prefix, statements_before) = (sql.len(), usize::MAX);
    let message = Message { sql, prefix, statements_before, base: step.span.end, first: 0 };
    deliver(store, step, job, &message).await
}

async fn send(store: &Postgres, sql: String) -> Result<(), Broken> {
    let mut completed = 0;
    let broken = |completed, error| Broken { completed, error };
    let answers =
        store.session.client.simple_query_raw(&sql).await.map_err(|error| broken(0, error))?;
    let mut answers = std::pin::pin!(answers);
    while let Some(answer) = answers.next().await {
        match answer {
            Ok(SimpleQueryMessage::CommandComplete(_)) => completed += 1,
            Ok(_) => {}
            Err(error) => return Err(broken(completed, error)),
        }
    }
    Ok(())
}

/// Waits for `sent`; cancels it on the server when the job is cancelled.
async fn cancellable<T>(
    store: &Postgres,
    job: &Job<'_>,
    sent: impl Future<Output = Result<T, Broken>>,
) -> Result<T, Broken> {
    let mut sent = std::pin::pin!(sent);
    store.blocker.forget();
    tokio::select! {
        answer = &mut sent => return answer,
        () = job.cancel.cancelled() => {}
        never = super::blocker::watch(store, job) => match never {},
    }
    // A statement that ends by itself in this moment is as good; the answer tells.
    let _ = store.session.cancel().await;
    sent.await
}

/// COPY data cannot be part of a message, so the transaction is sent in pieces, one after another.
async fn with_copy(
    store: &Postgres,
    step: &Step,
    job: Job<'_>,
    seal: Seal,
) -> Result<Done, Failure> {
    let opening = opening(step, &seal, job.limits);
    in_pieces(store, step, &job, opening, &closing(store, &seal)).await?;
    Ok(Done { notices: store.session.take_notices() })
}

/// Sends a step in as many messages as its COPY data demands, `closing` with the last of them, and waits
/// for the end of each. `opening` is SQL for the first, and how many statements it has.
pub(super) async fn in_pieces(
    store: &Postgres,
    step: &Step,
    job: &Job<'_>,
    (opening, statements_before): (String, usize),
    closing: &str,
) -> Result<(), Failure> {
    let mut message = Message {
        prefix: opening.len(),
        sql: opening,
        statements_before,
        base: step.span.start,
        first: 0,
    };
    for (at, statement) in step.statements.iter().enumerate() {
        let Some(data) = statement.copy_data.clone() else { continue };
        message.sql.push_str(&step.text.text[message.base..statement.span.start]);
        deliver(store, step, job, &message).await?;
        let pieces = pieces(step, data.clone());
        let copied = copy(store, &step.text.text[statement.span.clone()], pieces);
        message = Message {
            sql: String::new(),
            prefix: 0,
            statements_before: 0,
            base: statement.span.start,
            first: at,
        };
        match cancellable(store, job, copied).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                let why = format!("the data of this COPY cannot be read again: {error}");
                let at = Some(step.text.span(statement.span.clone()));
                restore(store).await;
                let source = StoreError::refused(why);
                return Err(Failure { why: Why::Refused, effect: Effect::None, at, source });
            }
            Err(broken) => return Err(fail(store, step, job, &message, broken).await),
        }
        failpoint!("postgres_copied");
        message.first = at + 1;
        // As psql: what else stands on the line of the COPY comes after its data.
        let behind = step.statements[at + 1..].iter();
        let behind = behind.take_while(|other| other.span.start < data.start).count();
        if behind > 0 {
            message.base = statement.span.end;
            message.sql = step.text.text[statement.span.end..data.start].to_string();
            deliver(store, step, job, &message).await?;
            message.sql.clear();
            message.first += behind;
        }
        let after = &step.text.text[data.end..];
        message.base = data.end + after.find('\n').map_or(after.len(), |end| end + 1);
    }
    let rest = step.text.text.get(message.base..step.span.end).unwrap_or_default();
    message.sql.push_str(rest);
    message.sql.push_str(closing);
    deliver(store, step, job, &message).await
}

/// Sends a part of a step and waits for its end.
async fn deliver(
    store: &Postgres,
    step: &Step,
    job: &Job<'_>,
    message: &Message,
) -> Result<(), Failure> {
    match cancellable(store, job, send(store, message.sql.clone())).await {
        Ok(()) => Ok(()),
        Err(broken) => Err(fail(store, step, job, message, broken).await),
    }
}

type Pieces<'a> = Box<dyn Iterator<Item = std::io::Result<Vec<u8>>> + Send + 'a>;

/// The data of a COPY that stands at `data`: from its file where it is large, else from the text.
fn pieces(step: &Step, data: Span) -> Pieces<'_> {
    match step.text.large.iter().find(|large| large.at == data.start).map(LargeData::pieces) {
        Some(Ok(pieces)) => Box::new(pieces),
        Some(Err(error)) => Box::new(std::iter::once(Err(error))),
        None => {
            let text = step.text.text[data].as_bytes();
            Box::new(text.chunks(1 << 16).map(|piece| Ok(piece.to_vec())))
        }
    }
}

/// Runs a COPY with `pieces` as its data; one that cannot be read makes it fail on the server.
async fn copy(
    store: &Postgres,
    statement: &str,
    pieces: Pieces<'_>,
) -> Result<std::io::Result<()>, Broken> {
    let broken = |error| Broken { completed: 0, error };
    let sink = store.session.client.copy_in(statement).await.map_err(broken)?;
    let mut sink = std::pin::pin!(sink);
    for piece in pieces {
        match piece {
            Ok(piece) => sink.send(Cursor::new(piece)).await.map_err(broken)?,
            Err(error) => return Ok(Err(error)),
        }
    }
    sink.finish().await.map_err(broken)?;
    Ok(Ok(()))
}

async fn alone(
    store: &Postgres,
    step: &Step,
    job: Job<'_>,
    concurrently: bool,
    index: Option<&Index>,
) -> Result<Done, Failure> {
    let lock = match concurrently {
        true => Some(Duration::ZERO),
        false => job.limits.lock_timeout,
    };
    let statement = job.limits.statement_timeout;
    if step.is_ours {
        let set = store.session.client.batch_execute(&postgres::until_reset()).await;
        set.map_err(|error| Failure::from(store_error(&error)))?;
    }
    for (name, value) in [("lock_timeout", lock), ("statement_timeout", statement)] {
        if let Some(value) = value {
            let set = format!("SET {name} = {}", value.as_millis());
            let set = store.session.client.batch_execute(&set).await;
            set.map_err(|error| Failure::from(store_error(&error)))?;
        }
    }
    let message = Message {
        sql: step.sql().to_string(),
        prefix: 0,
        statements_before: 0,
        base: step.span.start,
        first: 0,
    };
    failpoint!("postgres_alone:before");
    let answer = cancellable(store, &job, send(store, message.sql.clone())).await;
    failpoint!("postgres_alone:after");
    let notices = store.session.take_notices();
    if let Err(broken) = answer {
        let mut failure = fail(store, step, &job, &message, broken).await;
        // It may have left an invalid index; `probe` has to look before it is tried again.
        failure.effect = Effect::Unknown;
        return Err(failure);
    }
    reset(store).await;
    if let Some(Index::Create { name: Some(name), table }) = index {
        match super::probe::index_state(store, name, table).await? {
            super::probe::IndexState::Valid => {}
            super::probe::IndexState::Absent | super::probe::IndexState::Invalid(_) => {
                let error = StoreError::refused(format!("the index {name} is there and not valid"))
                    .detail("IF NOT EXISTS takes an index that an earlier attempt left invalid")
                    .hint(format!("DROP INDEX CONCURRENTLY {name}, then run `up` again"));
                return Err(Failure {
                    why: Why::Refused,
                    effect: Effect::Unknown,
                    at: None,
                    source: error,
                });
            }
        }
    }
    Ok(Done { notices })
}

/// Ends what the message left open and says what went wrong, and where.
async fn fail(
    store: &Postgres,
    step: &Step,
    job: &Job<'_>,
    message: &Message,
    broken: Broken,
) -> Failure {
    let mut source = store_error(&broken.error);
    if broken.error.code() == Some(&SqlState::LOCK_NOT_AVAILABLE) {
        store.blocker.prepare(store).await;
        if let Some(blocker) = store.blocker.last() {
            source = source.detail(format!("it waited for {blocker}"));
        }
    }
    let Some(code) = broken.error.code() else {
        return Failure { why: Why::Unreachable, effect: Effect::Unknown, at: None, source };
    };
    let why = why(code, job.cancel.is_cancelled());
    if why == Why::Unreachable {
        return Failure { why, effect: Effect::Unknown, at: None, source };
    }
    let at = place(step, message, &broken);
    restore(store).await;
    Failure { why, effect: Effect::None, at, source }
}

/// Ends what is open in the session, and brings it back to order.
pub(super) async fn restore(store: &Postgres) {
    let _ = store.session.client.batch_execute("ROLLBACK").await;
    reset(store).await;
    store.session.take_notices();
}

/// Brings the session back to how it began, outside a transaction.
async fn reset(store: &Postgres) {
    if let Some(reset) = &store.settings.reset {
        let sql = format!("{reset};\n{}", store.session.set_again());
        let _ = store.session.client.batch_execute(&sql).await;
    }
}

fn why(code: &SqlState, cancelled: bool) -> Why {
    match code.code() {
        "25P02" | PREDECESSOR_MISSING => Why::NotRun,
        "55P03" | "40P01" | "40001" => Why::Retry,
        "57014" if cancelled => Why::Cancelled,
        "57P01" | "57P02" | "57P03" => Why::Unreachable,
        class if class.starts_with("08") => Why::Unreachable,
        _ => Why::Refused,
    }
}

/// The place in the file: from the server's position, else from the count of statements done.
fn place(step: &Step, message: &Message, broken: &Broken) -> Option<Span> {
    let db = broken.error.as_db_error()?;
    let rendered = match db.position() {
        Some(ErrorPosition::Original(position)) => {
            let characters = (*position as usize).saturating_sub(1);
            let (at, _) = message.sql.char_indices().nth(characters)?;
            let at = message.base + at.checked_sub(message.prefix)?;
            let rest = step.text.text.get(at..step.span.end)?;
            let word = rest.find(|c: char| !(c.is_alphanumeric() || "_.\"".contains(c)));
            at..at + word.unwrap_or(rest.len()).max(1)
        }
        Some(ErrorPosition::Internal { .. }) | None => {
            let index = broken.completed.checked_sub(message.statements_before)?;
            step.statements.get(message.first + index)?.span.clone()
        }
    };
    Some(step.text.span(rendered))
}
