//! What steps lose, asked of the server: they are done in a transaction, the transaction is looked at,
//! and rolled back.
//!
//! The catalogs tell what is gone, whatever dropped it; the transaction's own statistics, which rows
//! were deleted or updated, by whatever rule, trigger or function; the files, what was rewritten or
//! emptied; the locks, which foreign tables were written to. Figures are counted after the way back to
//! the savepoint before the step. All of it is the same in the rehearsal of a plan, in a session of its
//! own, and in the transaction of an undo just before its COMMIT.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use super::Postgres;
use super::apply::{self, Message};
use super::compare::Pair;
use super::figures::{Afterwards, Figures, Known, names, subjects};
use super::look::{Left, Look};
use super::outside::{self, Reaching};
use super::picture::{Change, Oid, Picture};
use super::steps::Step;
use crate::postgres::{Names, identifier, own_role, store_error};
use crate::store_error::{StoreError, StoreErrorKind};
use crate::stores::contract::{
    Before, Done, Effect, Endpoint, Failure, Finding, Foreseen, Job, Loss, Part, Pulse, Seal, Why,
};

/// How long a rehearsal may take, with all its attempts, and how long its locks are held therefore.
const LIMIT: Duration = Duration::from_secs(60);

/// How long a lock that somebody else has is waited for before the next attempt.
const PAUSE: Duration = Duration::from_millis(500);

/// What a step fails with because it is rehearsed: it must not be in a transaction with others, or
/// takes too long.
const OF_REHEARSAL: &[&str] = &["25001", "2D000", "55P04", "55006", "57014", "53200"];

const STEP: &str = "aiplat_migrate_step";

/// A rehearsal under way: what it found so far, and where it is.
struct Rehearsal<'a> {
    store: Postgres,
    parts: &'a [Part<'a>],
    pulse: &'a dyn Pulse,
    cancel: &'a CancellationToken,
    until: Instant,
    reaching: Reaching,
    known: Known,
    at: (usize, usize),
    /// Whether a step before this one was left out or could not be seen.
    is_cut: bool,
    found: Vec<Foreseen>,
    /// Where sequences stood that a function set back: a rollback does not.
    set_back: BTreeMap<Oid, i64>,
}

/// Does the `parts` of a plan in a session of its own, and takes them back.
pub(super) async fn rehearse(
    store: &Postgres,
    parts: &[Part<'_>],
    pulse: &dyn Pulse,
    cancel: &CancellationToken,
) -> Result<Vec<Foreseen>, StoreError> {
    let until = Instant::now() + LIMIT;
    loop {
        let mut rehearsal = Rehearsal::begin(store, parts, pulse, cancel, until).await?;
        let ended = tokio::time::timeout_at(until.into(), rehearsal.all()).await;
        let failure = match ended {
            Ok(Ok(())) => None,
            Ok(Err(failure)) => Some(failure),
            Err(_) => {
                // The server holds the locks until it has heard of it.
                let _ = rehearsal.store.session.cancel().await;
                let seconds = LIMIT.as_secs();
                Some(
                    StoreError::refused(format!("it takes more than {seconds} s"))
                        .code("57014")
                        .into(),
                )
            }
        };
        rehearsal.end().await?;
        match failure {
            Some(failure) if failure.why == Why::Retry && Instant::now() + PAUSE < until => {
                pulse.notice(&format!("the rehearsal is tried again: {}", failure.source));
                tokio::time::sleep(PAUSE).await;
            }
            Some(failure) => return rehearsal.failed(failure),
            None => return Ok(rehearsal.found),
        }
    }
}

impl<'a> Rehearsal<'a> {
    async fn begin(
        store: &Postgres,
        parts: &'a [Part<'a>],
        pulse: &'a dyn Pulse,
        cancel: &'a CancellationToken,
        until: Instant,
    ) -> Result<Rehearsal<'a>, StoreError> {
        let name = "SELECT pg_catalog.current_setting('application_name')";
        let name =
            store.session.ask_one(Names::Ours, name).await.map_err(|error| store_error(&error))?;
        let name = name.as_ref().and_then(|row| row.get(0)).unwrap_or("aiplat-migrate");
        let store = Endpoint::connect(&store.settings, name).await?;
        let reaching = outside::reaching(&store, parts).await?;
        Ok(Rehearsal {
            store,
            parts,
            pulse,
            cancel,
            until,
            reaching,
            known: Known::new(),
            at: (0, 0),
            is_cut: false,
            found: Vec::new(),
            set_back: BTreeMap::new(),
        })
    }

    fn look(&self) -> Look<'_> {
        Look { store: &self.store, left: Left::Until(self.until) }
    }

    async fn all(&mut self) -> Result<(), Failure> {
        self.do_sql("BEGIN").await?;
        self.known = names(self.look()).await.map_err(unseen)?;
        let parts = self.parts;
        for (at, part) in parts.iter().enumerate() {
            self.open(at, part).await?;
            for step in part.done..part.units.len() {
                self.at = (at, step);
                self.step(part, step).await?;
            }
        }
        self.do_sql("ROLLBACK").await
    }

    async fn do_sql(&self, sql: &str) -> Result<(), Failure> {
        let done = self.store.session.client.batch_execute(sql).await;
        done.map_err(|error| store_error(&error).into())
    }

    /// Brings the session back to how it began, as the end of a file does, and to where the steps of the
    /// next one that are done have left theirs.
    async fn open(&mut self, at: usize, part: &Part<'_>) -> Result<(), Failure> {
        if at > 0 {
            let again = self.store.session.set_again();
            self.do_sql(&format!(
                "{}; RESET ALL; DEALLOCATE ALL; CLOSE ALL; UNLISTEN *; DISCARD TEMP; \
                 DISCARD SEQUENCES;\n{again}",
                own_role(false)
            ))
            .await?;
        }
        let left = self.until.saturating_duration_since(Instant::now()).max(PAUSE);
        let limit = part.limits.statement_timeout.unwrap_or(left).min(left);
        self.do_sql(&apply::limit("SET LOCAL", "statement_timeout", limit)).await?;
        if let Some(limit) = part.limits.lock_timeout {
            self.do_sql(&apply::limit("SET LOCAL", "lock_timeout", limit)).await?;
        }
        if !counts_rows(self.look()).await.map_err(unseen)? {
            self.tell(at, 0, unknown(NOT_COUNTED.to_string()));
        }
        let done = part.units[..part.done].iter().filter_map(|unit| unit.step.of_store::<Step>());
        for sql in done.flat_map(Step::set_up) {
            self.do_sql(&sql).await?;
        }
        Ok(())
    }

    async fn step(&mut self, part: &Part<'_>, at: usize) -> Result<(), Failure> {
        let unit = &part.units[at];
        let step: &Step =
            unit.step.of_store().ok_or_else(|| StoreError::refused("another store's step"))?;
        let left = outside::rehearsable(self.look(), step, &self.reaching).await;
        let left = left.map_err(unseen)?;
        self.is_cut |= left.is_cut;
        for loss in left.unknown {
            self.tell(self.at.0, at, loss);
        }
        if let Some(failure) = apply::other_text(&self.store, &left.step) {
            return Err(failure);
        }
        let before = Before::absent();
        let job = Job {
            unit,
            seal: None,
            before: &before,
            resume: None,
            limits: part.limits,
            run: "",
            pulse: self.pulse,
            cancel: self.cancel.clone(),
        };
        let positions = positions(self.look()).await.map_err(unseen)?;
        let losses = examine(self.look(), &left.step, &job, &self.known).await?;
        for loss in losses {
            self.tell(self.at.0, at, loss);
        }
        self.compare_positions(positions).await?;
        self.defer_again().await
    }

    /// Constraints that are deferred by nature are so again, as they are in the next transaction.
    async fn defer_again(&self) -> Result<(), Failure> {
        let sql = "SELECT string_agg(format('%I.%I', n.nspname, c.conname), ', ') \
                   FROM pg_constraint c JOIN pg_namespace n ON n.oid = c.connamespace WHERE c.condeferred";
        let rows = self.look().ask(Names::Ours, &[sql.to_string()]).await.map_err(unseen)?;
        match rows.first().and_then(|row| row.get(0)) {
            Some(names) => self.do_sql(&format!("SET CONSTRAINTS {names} DEFERRED")).await,
            None => Ok(()),
        }
    }

    /// Finds the sequences that `setval` set back, which nobody could see in the text, and those that were
    /// made anew under the same name.
    async fn compare_positions(&mut self, before: Positions) -> Result<(), Failure> {
        let after = positions(self.look()).await.map_err(unseen)?;
        let by_name: BTreeMap<&str, (&Oid, &Position)> =
            after.iter().map(|(oid, is)| (is.name.as_str(), (oid, is))).collect();
        for (oid, was) in &before {
            let is = match after.get(oid) {
                Some(is) if is.file == was.file => is,
                Some(_) => continue,
                None => match by_name.get(was.name.as_str()) {
                    Some((other, is)) if !before.contains_key(*other) => *is,
                    Some(_) | None => continue,
                },
            };
            let (true, Some(at)) = (is.goes_back(was), was.at) else { continue };
            if after.contains_key(oid) {
                self.set_back.entry(*oid).or_insert(at);
            }
            let name = self.known.get(oid).unwrap_or(&was.name);
            let to = is.at.map_or("its start".to_string(), |at| at.to_string());
            let what = format!("sequence {name} goes back from {at} to {to}");
            self.tell(self.at.0, self.at.1, Loss { what, known: true });
        }
        Ok(())
    }

    fn tell(&mut self, part: usize, step: usize, loss: Loss) {
        self.found.push(Foreseen { part, step, finding: Finding::Loss(loss) });
    }

    /// Leaves nothing behind: what a rollback does not take back is put back.
    async fn end(&self) -> Result<(), StoreError> {
        if self.store.session.client.is_closed() {
            return Ok(());
        }
        // After a failure there is no transaction any more, and that is only a warning.
        let mut sql = format!("ROLLBACK; {}; RESET ALL", own_role(false));
        for (oid, at) in &self.set_back {
            sql.push_str(&format!(
                "; SELECT pg_catalog.setval('{oid}'::pg_catalog.regclass, {at})"
            ));
        }
        let ended = tokio::time::timeout(PAUSE * 10, self.store.session.client.batch_execute(&sql));
        match ended.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) if self.set_back.is_empty() => drop(error),
            Ok(Err(error)) => return Err(store_error(&error)),
            Err(_) => return Err(StoreError::unreachable("the rehearsal does not end")),
        }
        for (oid, at) in &self.set_back {
            let name = self.known.get(oid).map_or("", String::as_str);
            self.pulse.notice(&format!(
                "the rehearsal ran a function that set the sequence {name} back, which no rollback undoes; \
                 it stands at {at} again"
            ));
        }
        Ok(())
    }

    /// What a failure means: that the undo fails too, or that nobody knows.
    fn failed(mut self, failure: Failure) -> Result<Vec<Foreseen>, StoreError> {
        if failure.source.kind == StoreErrorKind::Unreachable {
            return Err(failure.source);
        }
        let (part, step) = self.at;
        let code = failure.source.code.as_deref().unwrap_or_default();
        let is_ours = self.is_cut || code.is_empty() || OF_REHEARSAL.contains(&code);
        let finding = match is_ours && failure.why == Why::Refused {
            true => Finding::Loss(unknown(format!(
                "what `{}` loses is not known, nor what comes after it: it cannot be rehearsed: {}",
                self.parts[part].units.get(step).map_or("", |unit| unit.label.as_str()),
                failure.source
            ))),
            false => Finding::Failure(failure),
        };
        self.found.push(Foreseen { part, step, finding });
        Ok(self.found)
    }
}

/// A question that the server did not answer says nothing of the step.
fn unseen(error: StoreError) -> Failure {
    let error = match error.kind {
        StoreErrorKind::Unreachable => error,
        StoreErrorKind::Credentials | StoreErrorKind::Settings | StoreErrorKind::Refused => {
            StoreError::refused(format!("it cannot be looked at: {error}"))
        }
    };
    error.into()
}

fn unknown(what: String) -> Loss {
    Loss { what, known: false }
}

const NOT_COUNTED: &str = "the server counts no rows (track_counts is off), and this role may not switch it \
                           on: which rows are deleted is not known";

/// Whether the server counts the rows that this session deletes; makes it, where the role may.
async fn counts_rows(look: Look<'_>) -> Result<bool, StoreError> {
    let on = "SELECT pg_catalog.current_setting('track_counts')".to_string();
    let rows = look.ask(Names::Ours, &[on]).await?;
    if rows.first().and_then(|row| row.get(0)) == Some("on") {
        return Ok(true);
    }
    let client = &look.store.session.client;
    let set = "SAVEPOINT aiplat_migrate_counts; SET LOCAL track_counts = on";
    let (set, back) = match client.batch_execute(set).await {
        Ok(()) => (true, "RELEASE SAVEPOINT aiplat_migrate_counts"),
        Err(_) => (
            false,
            "ROLLBACK TO SAVEPOINT aiplat_migrate_counts; RELEASE SAVEPOINT aiplat_migrate_counts",
        ),
    };
    client.batch_execute(back).await.map_err(|error| store_error(&error))?;
    Ok(set)
}

type Positions = BTreeMap<Oid, Position>;

/// Where a sequence stands.
struct Position {
    name: String,
    /// `None` before its first value.
    at: Option<i64>,
    upwards: bool,
    /// Another one once it was changed in a way that a rollback undoes.
    file: Oid,
}

impl Position {
    fn goes_back(&self, was: &Position) -> bool {
        match (was.at, self.at) {
            (None, _) => false,
            (Some(_), None) => true,
            (Some(was_at), Some(at)) if was.upwards => at < was_at,
            (Some(was_at), Some(at)) => at > was_at,
        }
    }
}

async fn positions(look: Look<'_>) -> Result<Positions, StoreError> {
    let sql = "SELECT c.oid, pg_sequence_last_value(c.oid), s.seqincrement > 0, c.relfilenode, \
               c.oid::regclass::text FROM pg_sequence s JOIN pg_class c ON c.oid = s.seqrelid \
               WHERE c.relpersistence <> 't' \
               AND CASE WHEN c.relkind = 'S' THEN has_sequence_privilege(c.oid, 'SELECT, USAGE') END";
    let rows = look.ask(Names::Ours, &[sql.to_string()]).await?;
    let read = |row: &tokio_postgres::SimpleQueryRow| {
        let at = row.get(1).and_then(|at| at.parse().ok());
        let (name, file) = (row.get(4)?.to_string(), row.get(3)?.parse().ok()?);
        let position = Position { name, at, upwards: row.get(2) == Some("t"), file };
        Some((row.get(0)?.parse().ok()?, position))
    };
    Ok(rows.iter().filter_map(read).collect())
}

/// Does `step` in the transaction under way, and says what it loses. Where a step changed what may hold
/// data, it is taken back, what is lost is counted, and it is done again.
async fn examine(
    look: Look<'_>,
    step: &Step,
    job: &Job<'_>,
    known: &Known,
) -> Result<Vec<Loss>, Failure> {
    let store = look.store;
    let before = Picture::take(look).await.map_err(unseen)?;
    let prepared = prepared(look).await.map_err(unseen)?;
    let savepoint = format!("SAVEPOINT {STEP}");
    execute(store, &savepoint).await?;
    run(store, step, job).await?;
    let changes = Picture::take(look).await.map_err(unseen)?.since(&before);
    if changes.is_empty() {
        execute(store, &format!("RELEASE SAVEPOINT {STEP}")).await?;
        return Ok(Vec::new());
    }
    let afterwards = Afterwards::of(look, &changes).await.map_err(unseen)?;
    execute(store, &format!("ROLLBACK TO SAVEPOINT {STEP}; RELEASE SAVEPOINT {STEP}")).await?;
    forget(look, &prepared).await?;
    hold(look, &changes).await?;
    let mut figures = Figures::default();
    figures.count(look, known, &changes, &afterwards).await.map_err(unseen)?;
    let pairs = copies(look, &changes, &afterwards).await.map_err(unseen)?;
    run(store, step, job).await?;
    let now = subjects(look, &changes).await.map_err(unseen)?;
    for pair in pairs {
        let found = pair.compare(look, now.get(&pair.oid)).await.map_err(unseen)?;
        figures.add_compared(known, (pair.oid, &pair.subject), found);
    }
    Ok(figures.losses())
}

/// Takes the locks again that the step had and that went with it, so that no row comes between its count
/// and the step. Who may not take one, could not drop the table but by a function of its owner's.
async fn hold(look: Look<'_>, changes: &[(Oid, Change)]) -> Result<(), Failure> {
    for subject in subjects(look, changes).await.map_err(unseen)?.values() {
        if !changes.iter().any(|(oid, change)| *oid == subject.oid && change.is_exclusive()) {
            continue;
        }
        let lock = format!("LOCK TABLE ONLY {} IN ACCESS EXCLUSIVE MODE", subject.name);
        match look.make(&[lock]).await {
            Err(error) if error.code.as_deref() == Some(super::MAY_NOT) => {}
            Err(error) if error.code.as_deref() == Some("55P03") => {
                return Err(Failure { why: Why::Retry, ..error.into() });
            }
            held => held.map_err(unseen)?,
        }
    }
    Ok(())
}

/// The statements that the session has prepared.
async fn prepared(look: Look<'_>) -> Result<BTreeSet<String>, StoreError> {
    let sql = "SELECT name FROM pg_prepared_statements WHERE from_sql";
    let rows = look.ask(Names::Ours, &[sql.to_string()]).await?;
    Ok(rows.iter().filter_map(|row| row.get(0).map(str::to_string)).collect())
}

/// Takes back what a rollback does not: the statements that were prepared since, and what was noticed.
async fn forget(look: Look<'_>, before: &BTreeSet<String>) -> Result<(), Failure> {
    for name in prepared(look).await.map_err(unseen)?.difference(before) {
        execute(look.store, &format!("DEALLOCATE {}", identifier(name))).await?;
    }
    look.store.session.take_notices();
    Ok(())
}

async fn execute(store: &Postgres, sql: &str) -> Result<(), Failure> {
    let done = store.session.client.batch_execute(sql).await;
    done.map_err(|error| store_error(&error).into())
}

/// The step, and the triggers that it deferred.
async fn run(store: &Postgres, step: &Step, job: &Job<'_>) -> Result<(), Failure> {
    let mut message = apply::in_pieces(store, step, job, Message::of(step)).await?;
    message.fire_deferred();
    apply::deliver(store, step, job, &message).await
}

/// Copies of the tables whose values may be others afterwards.
async fn copies(
    look: Look<'_>,
    changes: &[(Oid, Change)],
    afterwards: &Afterwards,
) -> Result<Vec<Pair>, StoreError> {
    let mut pairs = Vec::new();
    let mut before = subjects(look, changes).await?;
    for (oid, change) in changes {
        let Change::Changed { columns, .. } = change else { continue };
        if afterwards.is_emptied(*oid) {
            continue;
        }
        if let Some(subject) = before.remove(oid) {
            pairs.push(Pair::copy(look, *oid, subject, columns).await?);
        }
    }
    Ok(pairs)
}

/// Applies a step that must lose nothing: its transaction is looked at before its COMMIT, since rows may
/// have come after the rehearsal.
pub(super) async fn guarded(
    store: &Postgres,
    step: &Step,
    job: Job<'_>,
    seal: Seal,
) -> Result<Done, Failure> {
    if let Some(failure) = apply::other_text(store, step) {
        return Err(failure);
    }
    let losses = match losses_of(store, step, &job, &seal).await {
        Ok(losses) => losses,
        Err(failure) => return Err(apply::restored(store, step, failure).await),
    };
    if losses.is_empty() {
        return apply::settle(store, step, &job, &seal).await;
    }
    let source = StoreError::refused("it would lose data, which was not there before");
    let source = losses.into_iter().fold(source, |source, loss| source.detail(loss.what));
    let source = source.hint("to lose it on purpose: --allow-data-loss");
    let failure = Failure { why: Why::Refused, effect: Effect::None, at: None, source };
    Err(apply::restored(store, step, failure).await)
}

async fn losses_of(
    store: &Postgres,
    step: &Step,
    job: &Job<'_>,
    seal: &Seal,
) -> Result<Vec<Loss>, Failure> {
    let look = Look { store, left: Left::Each(LIMIT) };
    let opening = apply::opening(step, seal, job.limits);
    apply::deliver(store, step, job, &opening).await?;
    if !counts_rows(look).await.map_err(unseen)? {
        return Ok(vec![unknown(NOT_COUNTED.to_string())]);
    }
    let known = names(look).await.map_err(unseen)?;
    examine(look, step, job, &known).await
}
