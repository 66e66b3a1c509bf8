//! Sends steps: sealed ones as one message from BEGIN to COMMIT, others alone.

use std::io::Cursor;
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::{FutureExt, SinkExt, StreamExt};
use serde_json::Value;
use tokio_postgres::error::{DbError, ErrorPosition, SqlState};
use tokio_postgres::{SimpleQueryMessage, SimpleQueryRow};

use super::Postgres;
use super::alone::Work;
use super::hints::way_out;
use super::session;
use super::steps::{Manner, Step};
use crate::failpoint::failpoint;
use crate::postgres::{self, DAMAGED, DAMAGES, Names, store_error};
use crate::store_error::StoreError;
use crate::stores::contract::{
    Done, Effect, Entered, Failure, Job, Limits, Operation, Seal, TOUCHED, UNWRITTEN, Why,
};
use crate::text::{LargeData, Span};

/// The class of the ledger's own assertions: the one sent before is not settled.
const PREDECESSOR_MISSING: &str = "AM001";

/// The server's codes for a statement that runs outside a transaction block only, and for a procedure
/// or DO block that ends a transaction inside one. It has undone what the statement did.
const NOT_IN_A_BLOCK: [&str; 2] = ["25001", "2D000"];

/// The server's code for a write in a read-only transaction.
const READ_ONLY: &str = "25006";

/// A message and where in it the step's own text lies.
pub(super) struct Message {
    sql: String,
    /// The bytes of `sql` before the step's text.
    prefix: usize,
    /// The statements of `sql` before the step's first.
    statements_before: usize,
    /// Where the part of the step in this message begins, in the step's text.
    base: usize,
    /// Which of the step's statements is the first in this message.
    first: usize,
    /// How many statements are complete once the COMMIT in it is, if there is one.
    committed: Option<usize>,
}

impl Message {
    /// One that begins with the step's own text.
    pub(super) fn of(step: &Step) -> Message {
        Message {
            sql: String::new(),
            prefix: 0,
            statements_before: 0,
            base: step.span.start,
            first: 0,
            committed: None,
        }
    }

    /// One that comes behind all of the step's own text.
    fn behind(step: &Step) -> Message {
        Message { base: step.span.end, first: step.statements.len(), ..Message::of(step) }
    }

    /// Ends the step's own text. The newline ends a comment at the end of the file, the semicolon its last
    /// statement. Deferred triggers fire in the file's own environment.
    pub(super) fn fire_deferred(&mut self) {
        self.sql.push_str("\n;\nSET CONSTRAINTS ALL IMMEDIATE");
    }
}

/// What a message that was carried out told, apart from what the step's own statements gave.
#[derive(Default)]
struct Told {
    /// The session's state, each time that it was asked.
    states: Vec<Value>,
    /// Whether the session has lost its share of the run's lock.
    unlocked: bool,
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
    if let Some(failure) = other_text(store, step) {
        return std::future::ready(Err(failure)).boxed();
    }
    match (&step.manner, job.seal.clone()) {
        (Manner::Transaction | Manner::Statement { .. }, Some(seal)) => match step.streams() {
            false => whole(store, step, job, &seal),
            true => with_copy(store, step, job, seal).boxed(),
        },
        (Manner::Transaction, None) => {
            let message = "a transactional step was not sealed";
            std::future::ready(Err(Failure::from(StoreError::refused(message)))).boxed()
        }
        (Manner::Statement { .. }, None) | (Manner::Alone, _) => bare(store, step, job).boxed(),
    }
}

/// Refuses a text that this session would take for another one than was parsed.
pub(super) fn other_text(store: &Postgres, step: &Step) -> Option<Failure> {
    let place = step.backslash.clone().filter(|_| store.has_escapes && !step.is_ours)?;
    let source = StoreError::refused(
        "a text with a backslash, and `standard_conforming_strings` is off for this role, database or URL",
    )
    .hint(
        "write it as E'…', which means the same everywhere; or, where the backslash stands for itself, set \
         `options=-c%20standard_conforming_strings%3Don` in the URL",
    );
    let at = Some(step.text.span(place));
    Some(Failure { why: Why::Refused, effect: Effect::None, at, source })
}

/// The whole step in one message. It is sent before this function returns, so that messages reach
/// the server in the order of the calls; the future only waits for the answer.
fn whole<'a>(
    store: &'a Postgres,
    step: &'a Step,
    job: Job<'a>,
    seal: &Seal,
) -> BoxFuture<'a, Result<Done, Failure>> {
    let mut message = opening(step, seal, job.limits);
    message.sql.push_str(step.sql());
    close(store, step, seal, &mut message);
    let mut sent = send(store, message.sql.clone()).boxed();
    if let Some(answer) = (&mut sent).now_or_never() {
        sent = std::future::ready(answer).boxed();
    }
    async move {
        let answer = cancellable(store, &job, sent).await;
        ended(store, step, &job, &message, answer).await
    }
    .boxed()
}

/// What the end of the message that holds the step's COMMIT says of it.
async fn ended(
    store: &Postgres,
    step: &Step,
    job: &Job<'_>,
    message: &Message,
    answer: Result<Told, Broken>,
) -> Result<Done, Failure> {
    match answer {
        Ok(told) => {
            let notices = store.session.take_notices();
            // What was only until the end of the transaction, and what begins with it, has changed it.
            let session = match told.states.as_slice() {
                [inside, after] if inside != after => Some(after.clone()),
                _ => None,
            };
            store.keep_state(told.states.last());
            Ok(Done { notices, session, unlocked: told.unlocked, ..Done::default() })
        }
        // What failed only put the session in order: the step is settled, and the session is no use.
        Err(broken) if message.committed.is_some_and(|count| broken.completed >= count) => {
            let notices =
                vec![format!("WARNING: after the COMMIT: {}", store_error(&broken.error))];
            Ok(Done { notices, unlocked: true, ..Done::default() })
        }
        Err(broken) => Err(fail(store, step, job, message, broken).await),
    }
}

/// What comes before the step's own text. A statement in a file's session has a savepoint in front of
/// it, which is gone if the statement ended the transaction: RESET ALL would take the seal's own mark.
pub(super) fn opening(step: &Step, seal: &Seal, limits: Limits) -> Message {
    let mut parts = vec!["BEGIN".to_string()];
    match step.is_guarded() {
        true => parts.push(format!("SAVEPOINT {}", savepoint(seal))),
        false => parts.push(seal.open.clone()),
    }
    if step.is_ours {
        parts.push(postgres::until_commit(Names::Ours));
    }
    if step.manner == Manner::Transaction {
        let settings = [
            ("lock_timeout", limits.lock_timeout),
            ("statement_timeout", limits.statement_timeout),
        ];
        let set = |(name, value): (&str, Option<Duration>)| Some(limit("SET LOCAL", name, value?));
        parts.extend(settings.into_iter().filter_map(set));
    }
    let sql = format!("{};\n", parts.join(";\n"));
    Message {
        prefix: sql.len(),
        sql,
        statements_before: parts.len(),
        base: step.span.start,
        first: 0,
        committed: None,
    }
}

pub(super) fn limit(set: &str, name: &str, value: Duration) -> String {
    format!("{set} {name} = {}", value.as_millis())
}

fn savepoint(seal: &Seal) -> String {
    format!("aiplat_migrate_{}", seal.token.trim_matches('\''))
}

/// Ends `message`, which holds the last of the step's own text.
fn close(store: &Postgres, step: &Step, seal: &Seal, message: &mut Message) {
    message.fire_deferred();
    // However short the time is that the file has given to a statement: nothing takes less than this.
    let mut parts = vec![match step.keeps_session() {
        true => session::unhurried(),
        false => "SET LOCAL statement_timeout = 0".to_string(),
    }];
    if step.is_guarded() {
        parts.push(format!("RELEASE SAVEPOINT {}", savepoint(seal)));
        parts.push(seal.open.clone());
    }
    if step.keeps_session() {
        parts.push(session::leave_state());
    }
    parts.extend(seal.close.first().cloned());
    if let Some(guard) = seal.guard.as_ref().filter(|guard| guard.always || store.may_reach(step)) {
        parts.push(guard.untouched.clone());
        parts.extend(step.may_make_functions().then(|| guard.unmade.clone()));
    }
    parts.extend(seal.close.iter().skip(1).cloned());
    parts.push("COMMIT".to_string());
    let own = step.statements.len().saturating_sub(message.first);
    message.committed = Some(message.statements_before + own + 1 + parts.len());
    let share = store.settings.condition.as_deref();
    let after = match step.keeps_session() {
        true => session::ask_state(share),
        false => format!("{};\n{}", store.session.set_again(), session::ask_share(share)),
    };
    message.sql.push_str(&format!(";\n{};\n{after}", parts.join(";\n")));
}

async fn send(store: &Postgres, sql: String) -> Result<Told, Broken> {
    let (mut completed, mut told) = (0, Told::default());
    let broken = |completed, error| Broken { completed, error };
    let answers =
        store.session.client.simple_query_raw(&sql).await.map_err(|error| broken(0, error))?;
    let mut answers = std::pin::pin!(answers);
    while let Some(answer) = answers.next().await {
        match answer {
            Ok(SimpleQueryMessage::CommandComplete(_)) => completed += 1,
            Ok(SimpleQueryMessage::Row(row)) => told.take(&row),
            Ok(_) => {}
            Err(error) => return Err(broken(completed, error)),
        }
    }
    Ok(told)
}

impl Told {
    /// Takes what is told in columns of our own names; rows of the step's statements have none.
    fn take(&mut self, row: &SimpleQueryRow) {
        for (at, column) in row.columns().iter().enumerate() {
            match column.name() {
                session::SHARE_COLUMN => self.unlocked = row.get(at) != Some("t"),
                session::STATE_COLUMN => {
                    let state = row.get(at).and_then(|text| serde_json::from_str(text).ok());
                    self.states.push(state.unwrap_or_default());
                }
                _ => {}
            }
        }
    }
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
        never = super::blocker::watch(store, job.limits.lock_timeout, job.pulse) => match never {},
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
    let message = opening(step, &seal, job.limits);
    let mut message = in_pieces(store, step, &job, message).await?;
    close(store, step, &seal, &mut message);
    let answer = cancellable(store, &job, send(store, message.sql.clone())).await;
    ended(store, step, &job, &message, answer).await
}

/// Settles a transaction in which the step is done.
pub(super) async fn settle(
    store: &Postgres,
    step: &Step,
    job: &Job<'_>,
    seal: &Seal,
) -> Result<Done, Failure> {
    let mut message = Message::behind(step);
    close(store, step, seal, &mut message);
    let answer = cancellable(store, job, send(store, message.sql.clone())).await;
    ended(store, step, job, &message, answer).await
}

/// Sends a step in as many messages as its COPY data demands, `message` being the first, and waits for the
/// end of each but the last: that is given back.
pub(super) async fn in_pieces(
    store: &Postgres,
    step: &Step,
    job: &Job<'_>,
    mut message: Message,
) -> Result<Message, Failure> {
    for (at, statement) in step.statements.iter().enumerate() {
        let Some(data) = statement.copy_data.clone() else { continue };
        message.sql.push_str(&step.text.text[message.base..statement.span.start]);
        deliver(store, step, job, &message).await?;
        let pieces = pieces(step, data.clone());
        let copied = copy(store, &step.text.text[statement.span.clone()], pieces);
        message = Message { base: statement.span.start, first: at, ..Message::of(step) };
        match cancellable(store, job, copied).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                let why = format!("the data of this COPY cannot be read again: {error}");
                let at = Some(step.text.span(statement.span.clone()));
                let source = StoreError::refused(why);
                let failure = Failure { why: Why::Refused, effect: Effect::None, at, source };
                return Err(restored(store, step, failure).await);
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
    Ok(message)
}

/// Sends a part of a step and waits for its end.
pub(super) async fn deliver(
    store: &Postgres,
    step: &Step,
    job: &Job<'_>,
    message: &Message,
) -> Result<(), Failure> {
    match cancellable(store, job, send(store, message.sql.clone())).await {
        Ok(_) => Ok(()),
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

/// A statement without a transaction around it.
async fn bare(store: &Postgres, step: &Step, job: Job<'_>) -> Result<Done, Failure> {
    let client = &store.session.client;
    if let Some(what) = of_ledger(store, step).await? {
        let (at, source) = (Some(step.text.span(step.span.clone())), touches_ledger(&what));
        return Err(Failure { why: Why::Refused, effect: Effect::None, at, source });
    }
    let waits = step.work.as_ref().is_some_and(Work::waits);
    let set = match (step.keeps_session(), waits) {
        (false, _) => Some(format!("{};\nSET lock_timeout = 0", postgres::until_reset())),
        (true, true) => unlimited(store, &job.limits).await?,
        (true, false) => None,
    };
    if let Some(set) = &set {
        client.batch_execute(set).await.map_err(|error| Failure::from(store_error(&error)))?;
    }
    let message = Message { sql: step.sql().to_string(), ..Message::of(step) };
    failpoint!("postgres_alone:before");
    let answer = cancellable(store, &job, send(store, message.sql.clone())).await;
    failpoint!("postgres_alone:after");
    let notices = store.session.take_notices();
    if let Err(broken) = answer {
        let mut failure = fail(store, step, &job, &message, broken).await;
        // It may have left an invalid index; `probe` has to look before it is tried again.
        failure.effect = Effect::Unknown;
        // Of any other statement nobody could tell what a second attempt would meet.
        if step.work.is_none() && failure.why == Why::Retry {
            failure.why = Why::Refused;
        }
        return Err(failure);
    }
    let told = match (step.keeps_session(), set.is_some(), job.limits.lock_timeout) {
        (false, _, _) => reset(store).await,
        (true, false, _) => ask_state(store, "").await,
        // As it was: the file's header has set it, or the session began with it.
        (true, true, Some(of_header)) => {
            ask_state(store, &limit("SET", "lock_timeout", of_header)).await
        }
        (true, true, None) => ask_state(store, "RESET lock_timeout").await,
    };
    let told = told.map_err(|broken| Failure {
        effect: Effect::Unknown,
        ..Failure::from(store_error(&broken.error))
    })?;
    store.keep_state(told.states.last());
    super::probe::check(store, step, job.before).await?;
    let session = told.states.into_iter().next_back();
    Ok(Done { notices, session, unlocked: told.unlocked, ..Done::default() })
}

/// What of the ledger a statement is about that no transaction can be put around.
async fn of_ledger(store: &Postgres, step: &Step) -> Result<Option<String>, StoreError> {
    let names = match &step.work {
        Some(Work::CreateIndex { table, .. } | Work::Detach { table, .. }) => {
            std::slice::from_ref(table)
        }
        Some(Work::DropIndex(names)) => names,
        Some(Work::Reindex | Work::Shared { .. } | Work::Again | Work::Clears) | None => &[],
    };
    let Some(schema) = store.settings.hidden.first() else { return Ok(None) };
    for name in names {
        let sql = format!(
            "SELECT c.relname FROM pg_catalog.pg_class c WHERE c.oid OPERATOR(pg_catalog.=) \
             pg_catalog.to_regclass({}) AND c.relnamespace OPERATOR(pg_catalog.=) \
             pg_catalog.to_regnamespace({})",
            postgres::literal(name),
            postgres::literal(schema)
        );
        let row = store.session.ask_one(Names::Users, &sql).await;
        let row = row.map_err(|error| store_error(&error))?;
        if let Some(found) = row.and_then(|row| row.get(0).map(str::to_string)) {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

/// The session's state after `first`; its share of the lock is taken again.
async fn ask_state(store: &Postgres, first: &str) -> Result<Told, Broken> {
    let ask = session::ask_state(store.settings.condition.as_deref());
    send(store, format!("{first};\n{ask}")).await
}

/// SQL that lifts the limit on waiting for a lock, which CONCURRENTLY waits for by nature, unless the file
/// itself has set one.
async fn unlimited(store: &Postgres, limits: &Limits) -> Result<Option<String>, StoreError> {
    let sql = "SELECT setting, source FROM pg_catalog.pg_settings \
               WHERE name OPERATOR(pg_catalog.=) 'lock_timeout'";
    let row = store.session.ask_one(Names::Users, sql).await;
    let row = row.map_err(|error| store_error(&error))?;
    let column = |at| row.as_ref().and_then(|row| row.get(at));
    let of_header = limits.lock_timeout.map(|limit| limit.as_millis().to_string());
    let is_files = column(1) == Some("session") && column(0) != of_header.as_deref();
    Ok((!is_files).then(|| "SET lock_timeout = 0".to_string()))
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
    let spared = broken.error.as_db_error().is_some_and(postgres::spares_the_session);
    let why = match why(code, job.cancel.is_cancelled()) {
        Why::Unreachable if spared => Why::Refused,
        why => why,
    };
    if why == Why::Unreachable {
        return Failure { why, effect: Effect::Unknown, at: None, source };
    }
    let why = if is_apart(step, job, message, &broken) { Why::Apart } else { why };
    let at = place(step, message, &broken);
    let mut at = at;
    if is_behind(step, message, &broken) {
        at = at.or_else(|| seal_trouble(store, step, &mut source));
        source = behind(source);
    }
    let hint = |db| way_out(step, db, at.as_ref(), sign_at(message, db));
    if let Some(hint) = broken.error.as_db_error().and_then(hint) {
        source.details.extend(source.hint.map(|server| format!("hint: {server}")));
        source.hint = Some(hint);
    }
    restored(store, step, Failure { why, effect: Effect::None, at, source }).await
}

/// Whether the server refused only that the statement shares a transaction with its row.
fn is_apart(step: &Step, job: &Job<'_>, message: &Message, broken: &Broken) -> bool {
    let Some(code) = broken.error.code().map(SqlState::code) else { return false };
    let of_ours = broken.completed > message.statements_before;
    step.is_guarded()
        && job.seal.is_some()
        && !step.streams()
        && if of_ours { code == READ_ONLY } else { NOT_IN_A_BLOCK.contains(&code) }
}

/// What stands where the error is.
fn sign_at(message: &Message, error: &DbError) -> Option<char> {
    match error.position()? {
        ErrorPosition::Original(position) => {
            message.sql.chars().nth((*position as usize).checked_sub(1)?)
        }
        ErrorPosition::Internal { .. } => None,
    }
}

/// Whether it is not the file that failed, but what the tool writes behind it.
fn is_behind(step: &Step, message: &Message, broken: &Broken) -> bool {
    let Some(db) = broken.error.as_db_error().filter(|_| message.committed.is_some()) else {
        return false;
    };
    let own = step.statements.len().saturating_sub(message.first);
    match db.position() {
        Some(ErrorPosition::Original(position)) => {
            let end = message.prefix + step.span.end.saturating_sub(message.base);
            let start = message.sql.char_indices().nth((*position as usize).saturating_sub(1));
            start.is_some_and(|(at, _)| at > end)
        }
        // The first behind them checks the file's own deferred constraints.
        Some(ErrorPosition::Internal { .. }) | None => {
            broken.completed > message.statements_before + own
        }
    }
}

/// What the seal itself raised, in words, and the statement that may have been the reason.
fn seal_trouble(store: &Postgres, step: &Step, source: &mut StoreError) -> Option<Span> {
    if source.message.contains(UNWRITTEN) {
        *source = StoreError::refused("the ledger did not take the row of this migration")
            .detail("a trigger or rule on the ledger's tables swallowed it; aiplat-migrate makes none there")
            .hint("drop it (psql: \\d shows it), and run this again");
        return None;
    }
    let (_, touched) = source.message.split_once(TOUCHED)?;
    let touched = match touched.trim_end_matches('"') {
        "" => "what it drops of it".to_string(),
        touched => touched.to_string(),
    };
    *source = touches_ledger(&touched);
    let schema = store.settings.hidden.first()?;
    step.first_naming(schema).map(|span| step.text.span(span))
}

/// The error for a file that reaches into the ledger.
pub(super) fn touches_ledger(what: &str) -> StoreError {
    StoreError::refused(format!("it changes what is the ledger's own: {what}"))
        .detail("the ledger is what tells which migrations are applied: only aiplat-migrate writes it")
        .hint(
            "leave it out of the file; rows of the ledger are put right by `aiplat-migrate repair`, and \
             a right to read it is given by GRANT",
        )
}

/// What is told of that: none of the tool's own SQL.
fn behind(mut source: StoreError) -> StoreError {
    let hint = match source.code.as_deref() {
        Some(code) if DAMAGES.contains(&code) => DAMAGED,
        Some("57014") => {
            "a statement_timeout that a file sets itself holds for that row as well: write it in the header, \
             `-- statement_timeout: …`"
        }
        _ => return source,
    };
    source.details.retain(|detail| !detail.starts_with("context: "));
    source.details.insert(0, "that was the row which the tool writes behind the file".to_string());
    source.hint(hint)
}

/// Ends what is open in the session; after a whole file, and after a statement of our own, brings it back
/// to how it began. Where that cannot be done, nothing more may run there.
pub(super) async fn restored(store: &Postgres, step: &Step, failure: Failure) -> Failure {
    let ended = match store.session.client.batch_execute("ROLLBACK").await {
        Ok(()) if step.keeps_session() => Ok(()),
        Ok(()) => reset(store).await.map(|_| ()).map_err(|broken| broken.error),
        Err(error) => Err(error),
    };
    store.session.take_notices();
    match ended {
        Ok(()) => told_of_session(store, failure),
        Err(error) if error.code().is_some_and(|code| DAMAGES.contains(&code.code())) => {
            let source = failure.source.detail(store_error(&error).to_string()).hint(DAMAGED);
            Failure { source, ..failure }
        }
        Err(error) => {
            let source = StoreError::unreachable("the session cannot be brought back to order")
                .detail(store_error(&error).to_string())
                .detail(failure.source.to_string());
            Failure { why: Why::Unreachable, source, ..failure }
        }
    }
}

/// Adds what goes with the session of a file that fails: who corrects it has to know.
fn told_of_session(store: &Postgres, failure: Failure) -> Failure {
    let state = store.state().filter(|_| failure.why == Why::Refused).unwrap_or_default();
    let passing = session::passing(&state);
    if passing.is_empty() {
        return failure;
    }
    let what = format!(
        "gone with this run's session: {}; the rest of the file has to make it anew, or do without",
        passing.join(", ")
    );
    Failure { source: failure.source.detail(what), ..failure }
}

/// Brings the session back to how it began, outside a transaction.
async fn reset(store: &Postgres) -> Result<Told, Broken> {
    let Some(reset) = &store.settings.reset else { return Ok(Told::default()) };
    let free = session::free_locks(store.settings.condition.as_deref());
    send(store, format!("{reset};\n{};\n{free}", store.session.set_again())).await
}

/// Ends a file of which each statement was run in the same session.
pub(super) async fn leave(store: &Postgres) -> Result<(), StoreError> {
    store.keep_state(None);
    match reset(store).await {
        Ok(Told { unlocked: false, .. }) => Ok(()),
        Ok(_) => Err(StoreError::unreachable("another run has begun")),
        Err(broken) => Err(store_error(&broken.error)),
    }
}

/// Begins a file of which each statement is run in the same session, and brings that to where `left`
/// tells: the statements that set it up are sent again.
pub(super) async fn enter(
    store: &Postgres,
    limits: Limits,
    (steps, done): (&[&Step], usize),
    left: Option<&Value>,
) -> Result<Entered, StoreError> {
    if steps.iter().all(|step| step.manner == Manner::Transaction) {
        return Ok(Entered::default());
    }
    let settings =
        [("lock_timeout", limits.lock_timeout), ("statement_timeout", limits.statement_timeout)];
    for (name, value) in settings {
        if let Some(value) = value {
            let set = send(store, limit("SET", name, value)).await;
            set.map_err(|broken| store_error(&broken.error))?;
        }
    }
    if done == 0 {
        return Ok(Entered::default());
    }
    for step in &steps[..done] {
        for sql in step.set_up() {
            send(store, sql).await.map_err(|broken| {
                let what =
                    format!("`{}`, which was done before, was to be done again", step.label());
                store_error(&broken.error).detail(what)
            })?;
        }
    }
    let told = ask_state(store, "").await;
    let told = told.map_err(|broken| store_error(&broken.error))?;
    store.session.take_notices();
    let now = told.states.into_iter().next_back().unwrap_or_default();
    store.keep_state(Some(&now));
    let missing = left.map(|left| session::missing(left, &now)).unwrap_or_default();
    Ok(Entered { session: Some(now), missing })
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
