//! Puts objects back by SQL. What needs no time is put back in one transaction, each object behind a
//! savepoint; what does is built beside the traffic first and takes its place in a second one. The
//! transactions read one snapshot, so that what two pictures of it differ in is their own doing.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::TryStreamExt;

use super::heal::rights;
use super::{Postgres, apply, blocker, shape};
use crate::failpoint::effect;
use crate::postgres::{self, Names, Recorded, store_error};
use crate::shape::{Change, Shape};
use crate::store_error::{StoreError, StoreErrorKind};
use crate::stores::contract::{Piece, Repair};
use crate::stores::remedy::{Successor, Verdict};

/// How often what could not get a lock is tried again.
const ATTEMPTS: u32 = 5;
/// How long a statement waits for a lock while others wait behind it.
const LOCK_TIMEOUT: Duration = Duration::from_secs(5);
/// The same once one has waited in vain.
const IMPATIENCE: Duration = Duration::from_millis(100);
/// All that a picture can hold: what no record holds must not change either.
const ALL: [Recorded; 3] = [Recorded::Owners, Recorded::Grants, Recorded::Comments];

/// Savepoints of one name hide each other until they are released.
const SAVE: &str = "SAVEPOINT aiplat_migrate";
const KEEP: &str = "RELEASE SAVEPOINT aiplat_migrate";
const TAKE_BACK: &str = "ROLLBACK TO SAVEPOINT aiplat_migrate; RELEASE SAVEPOINT aiplat_migrate";

/// How an object stands.
#[derive(Clone, Debug, Default)]
struct Progress {
    is_done: bool,
    /// Whether its successor stands.
    is_built: bool,
    /// Why it is not done.
    why: Option<StoreError>,
}

/// An object, and the way in which it is tried, by their numbers.
type Try = (usize, usize);

/// What became of a group of objects in a transaction.
enum Group {
    /// These are as recorded, and nothing else changed.
    Kept(Vec<usize>),
    /// All of it is taken back; these are to be tried by themselves.
    Undone(Vec<Vec<Try>>),
}

struct Work<'a> {
    store: &'a Postgres,
    repair: Repair<'a>,
    progress: Vec<Progress>,
    /// How long a statement may still wait for a lock in the transaction under way.
    patience: Duration,
    /// Whether a statement was cancelled: what tidies up after it is not.
    cancelled: AtomicBool,
}

pub(super) async fn put_back(store: &Postgres, repair: Repair<'_>) -> Vec<Result<(), StoreError>> {
    let progress = vec![Progress::default(); repair.pieces.len()];
    let mut work =
        Work { store, repair, progress, patience: LOCK_TIMEOUT, cancelled: AtomicBool::default() };
    let broken = work.all().await.err();
    let ended =
        work.progress.into_iter().map(|one| match (one.is_done, one.why.or(broken.clone())) {
            (true, _) => Ok(()),
            (false, Some(why)) => Err(why),
            (false, None) => Err(StoreError::refused("it was not tried")),
        });
    ended.collect()
}

impl Work<'_> {
    /// An error is one after which nothing more can be tried.
    async fn all(&mut self) -> Result<(), StoreError> {
        let ended = self.until_settled(false).await;
        self.discard_unused().await?;
        ended?;
        self.hold_back();
        self.until_settled(true).await
    }

    /// Tries what is open until nothing more of it can be put back: what needs what, as views and
    /// functions do, is found out by trying again.
    async fn until_settled(&mut self, removes: bool) -> Result<(), StoreError> {
        let mut attempt = 0;
        loop {
            let before = self.progress.iter().filter(|one| one.is_done).count();
            let plain = self.open(|piece| {
                piece.sql.removes == removes && !piece.sql.alone && piece.sql.successor.is_none()
            });
            self.together(&plain).await?;
            for at in self.open(|piece| piece.sql.removes == removes && piece.sql.alone) {
                self.together(&[at]).await?;
            }
            // A foreign key would be bound to whatever key there is before those it had are back.
            for refers in [false, true] {
                let slow = |piece: &Piece<'_>| {
                    let successor = piece.sql.successor.as_ref();
                    piece.sql.removes == removes
                        && successor.is_some_and(|one| one.refers == refers)
                };
                for at in self.open(slow) {
                    self.build(at).await?;
                }
                let is_built = |at: &usize| self.progress[*at].is_built;
                let built: Vec<usize> = self.open(slow).into_iter().filter(is_built).collect();
                self.together(&built).await?;
            }
            let open = self.open(|piece| piece.sql.removes == removes);
            let done = self.progress.iter().filter(|one| one.is_done).count();
            if open.is_empty() {
                return Ok(());
            }
            if done == before {
                let waits = open.iter().any(|at| self.why(*at).is_some_and(may_pass));
                if !waits || attempt == ATTEMPTS {
                    return Ok(());
                }
                attempt += 1;
                tokio::time::sleep(Duration::from_millis(200 << attempt)).await;
            }
        }
    }

    fn why(&self, at: usize) -> Option<&StoreError> {
        self.progress[at].why.as_ref()
    }

    /// What is not done and may still be. What rows stand against is not tried again: each time costs a
    /// look at all of them.
    fn open(&self, chosen: impl Fn(&Piece<'_>) -> bool) -> Vec<usize> {
        let of_rows =
            |error: &StoreError| error.code.as_deref().is_some_and(|code| code.starts_with("23"));
        let is_open =
            |at: &usize| !self.progress[*at].is_done && !self.why(*at).is_some_and(of_rows);
        let pieces = self.repair.pieces.iter().enumerate();
        let chosen = pieces.filter(|(_, piece)| chosen(piece)).map(|(at, _)| at);
        chosen.filter(is_open).collect()
    }

    /// What was made by hand stays while something is missing beside it: it may stand in for that.
    fn hold_back(&mut self) {
        let pieces = &self.repair.pieces;
        let missing: Vec<usize> = (0..pieces.len())
            .filter(|at| !pieces[*at].sql.removes && !self.progress[*at].is_done)
            .collect();
        for at in 0..pieces.len() {
            let beside =
                |other: &&usize| {
                    let owners = &pieces[**other].heal.part_of;
                    pieces[at].heal.part_of.iter().any(|owner| {
                        owners.contains(owner) || pieces[**other].heal.object == *owner
                    })
                };
            let stands_for = missing.iter().find(beside).filter(|_| pieces[at].sql.removes);
            if let Some(other) = stands_for {
                let other = &pieces[*other].heal.object;
                let why = format!("it was made by hand, and stays until {other} is back");
                // The class of what is not tried again.
                self.progress[at].why = Some(StoreError::refused(why).code("23000"));
            }
        }
    }

    /// Puts back what it can of `chosen` in one transaction.
    async fn together(&mut self, chosen: &[usize]) -> Result<(), StoreError> {
        if chosen.is_empty() {
            return Ok(());
        }
        self.patience = LOCK_TIMEOUT;
        self.run("BEGIN ISOLATION LEVEL REPEATABLE READ").await?;
        match self.within(chosen).await {
            Ok(kept) if !kept.is_empty() => self.commit(&kept).await,
            Ok(_) => self.run("ROLLBACK").await,
            Err(error) if error.kind == StoreErrorKind::Unreachable => Err(error),
            Err(error) => {
                self.run("ROLLBACK").await?;
                if !(self.repair.may_go_on)() {
                    return Err(error);
                }
                for at in chosen {
                    self.progress[*at].why = Some(error.clone());
                }
                Ok(())
            }
        }
    }

    async fn commit(&mut self, kept: &[usize]) -> Result<(), StoreError> {
        let commit = format!("COMMIT;\n{}", self.store.session.set_again());
        let committed = effect!("put_back", self.run(&commit));
        self.store
            .session
            .take_notices()
            .iter()
            .for_each(|notice| self.repair.pulse.notice(notice));
        for at in kept {
            let one = &mut self.progress[*at];
            match &committed {
                Ok(()) => *one = Progress { is_done: true, ..Progress::default() },
                Err(error) => {
                    let unknown = "whether it was committed is not known: `validate` tells";
                    one.why = Some(error.clone().detail(unknown));
                }
            }
        }
        committed
    }

    /// In a transaction: what of `chosen` is as recorded then.
    async fn within(&mut self, chosen: &[usize]) -> Result<Vec<usize>, StoreError> {
        let mut picture = self.look().await?;
        let (mut open, mut kept) = (chosen.to_vec(), Vec::new());
        loop {
            let done = self.round(&open, &mut picture).await?;
            open.retain(|at| !done.contains(at));
            let is_over = done.is_empty() || open.is_empty();
            kept.extend(done);
            if is_over {
                return Ok(kept);
            }
        }
    }

    /// Tries each of `open` once; a group that spoils something is divided until it is known which of
    /// them does.
    async fn round(
        &mut self,
        open: &[usize],
        picture: &mut Shape,
    ) -> Result<Vec<usize>, StoreError> {
        let mut kept = Vec::new();
        let mut groups: Vec<Vec<Try>> = vec![open.iter().map(|at| (*at, 0)).collect()];
        while let Some(group) = groups.pop() {
            self.run(SAVE).await?;
            match self.attempt(&group, picture).await? {
                Group::Kept(done) => {
                    self.run(KEEP).await?;
                    kept.extend(done);
                }
                Group::Undone(parts) => {
                    self.run(TAKE_BACK).await?;
                    groups.extend(parts.into_iter().rev());
                }
            }
        }
        Ok(kept)
    }

    async fn attempt(&mut self, group: &[Try], picture: &mut Shape) -> Result<Group, StoreError> {
        let standing = (self.repair.judge)(picture, picture);
        let mut ran = Vec::new();
        for (at, way) in group {
            if self.repair.pieces[*at].heal.is_done(&standing) {
                self.run(&self.sealed(*at, "", "")).await?;
                ran.push((*at, *way));
            } else if let Some(way) = self.one(*at, *way).await? {
                ran.push((*at, way));
            }
        }
        if ran.is_empty() {
            return Ok(Group::Kept(Vec::new()));
        }
        let after = self.look().await?;
        let verdict = (self.repair.judge)(picture, &after);
        let is_good = |(at, _): &Try| self.repair.pieces[*at].heal.is_done(&verdict);
        let (good, bad): (Vec<Try>, Vec<Try>) = ran.iter().copied().partition(is_good);
        if bad.is_empty() && verdict.spoilt.is_empty() {
            *picture = after;
            return Ok(Group::Kept(good.into_iter().map(|(at, _)| at).collect()));
        }
        if let [(at, way)] = ran.as_slice() {
            self.progress[*at].why = Some(unlike(&self.repair.pieces[*at], &verdict));
            let more = way + 1 < self.repair.pieces[*at].sql.ways.len();
            return Ok(Group::Undone(more.then(|| vec![(*at, way + 1)]).into_iter().collect()));
        }
        if bad.is_empty() || good.is_empty() {
            let (first, second) = ran.split_at(ran.len() / 2);
            return Ok(Group::Undone(vec![first.to_vec(), second.to_vec()]));
        }
        let alone = bad.into_iter().map(|one| vec![one]);
        Ok(Group::Undone(std::iter::once(good).chain(alone).collect()))
    }

    /// Puts one object back behind a savepoint, by `way` or one after it: by which.
    async fn one(&mut self, at: usize, way: usize) -> Result<Option<usize>, StoreError> {
        if !(self.repair.may_go_on)() {
            return Err(StoreError::refused("the run was told to stop, or has lost its lock"));
        }
        for number in way..self.repair.pieces[at].sql.ways.len() {
            match self.by_way(at, number).await {
                Ok(()) => return Ok(Some(number)),
                Err(error) if error.kind == StoreErrorKind::Unreachable => return Err(error),
                Err(error) => {
                    if error.code.as_deref() == Some(LOCK_NOT_AVAILABLE) {
                        // What the transaction has locked by now, others wait for.
                        self.patience = IMPATIENCE;
                    }
                    let earlier = self.progress[at].why.take().filter(|_| number > way);
                    self.progress[at].why = Some(match earlier {
                        Some(first) => error.detail(format!("before that: {first}")),
                        None => error,
                    });
                }
            }
        }
        Ok(None)
    }

    async fn by_way(&self, at: usize, number: usize) -> Result<(), StoreError> {
        let way = &self.repair.pieces[at].sql.ways[number];
        let carried = match &way.carried {
            Some(question) => self.ask(question).await?.join(";\n"),
            None => String::new(),
        };
        // By itself: what cannot be parsed fails before anything of its message is run.
        self.run(SAVE).await?;
        let ended = self
            .run(&format!(
                "{}\n;\n{KEEP}",
                self.sealed(at, &way.sql, &format!("{carried}\n;\n{}", way.then))
            ))
            .await;
        if ended.as_ref().is_err_and(|error| error.kind != StoreErrorKind::Unreachable) {
            self.run(TAKE_BACK).await?;
        }
        ended
    }

    /// A message that puts an object back and writes its event.
    fn sealed(&self, at: usize, sql: &str, carried: &str) -> String {
        let seal = &self.repair.pieces[at].seal;
        let (open, close) = (&seal.open, seal.close.join(";\n"));
        format!(
            "{open};\n{};\nSET LOCAL lock_timeout = {};\nSET LOCAL statement_timeout = 0;\n{sql}\n;\n\
             {carried}\n;\nSET CONSTRAINTS ALL IMMEDIATE;\n{close}",
            postgres::until_commit(Names::Ours),
            self.patience.as_millis()
        )
    }

    /// The picture that the transaction under way has. To ask makes a transaction read only, so that it
    /// is done behind a savepoint.
    async fn look(&self) -> Result<Shape, StoreError> {
        self.run(SAVE).await?;
        let picture = shape::inspect_once(self.store, &ALL).await;
        self.run(TAKE_BACK).await?;
        // What others drop stays in the snapshot: only another transaction reads past it.
        let picture = picture.map_err(|error| match shape::is_of_churn(&error) {
            true => error.code(SERIALIZATION_FAILURE),
            false => error,
        })?;
        let picture = match self.store.settings.shape.contains(&Recorded::Grants) {
            true => picture,
            false => rights::beside_owner(picture),
        };
        Ok(picture)
    }

    /// The first column that `question` gives, in the fixed environment.
    async fn ask(&self, question: &str) -> Result<Vec<String>, StoreError> {
        self.run(SAVE).await?;
        let answer = self.first_column(question).await;
        self.run(TAKE_BACK).await?;
        answer
    }

    async fn first_column(&self, question: &str) -> Result<Vec<String>, StoreError> {
        let asked = async {
            self.store.session.ask(Names::Ours, question).await?.try_collect::<Vec<_>>().await
        };
        let rows = asked.await.map_err(|error| store_error(&error))?;
        Ok(rows.iter().filter_map(|row| row.get(0).map(str::to_string)).collect())
    }

    /// Builds the successor of an object beside the traffic, once. What a repair that was cut off left
    /// of it is dropped first.
    async fn build(&mut self, at: usize) -> Result<(), StoreError> {
        if self.progress[at].is_built {
            return Ok(());
        }
        if !(self.repair.may_go_on)() {
            return Err(StoreError::refused("the run was told to stop, or has lost its lock"));
        }
        let sql = self.repair.pieces[at].sql;
        let Some(successor) = &sql.successor else { return Ok(()) };
        let built = async {
            self.discard(successor).await?;
            for statement in &successor.build {
                effect!("put_back_build", self.run_apart(statement))?;
            }
            Ok::<(), StoreError>(())
        };
        match built.await {
            Ok(()) => self.progress[at].is_built = true,
            Err(error) if error.kind == StoreErrorKind::Unreachable => return Err(error),
            Err(error) => {
                self.discard(successor).await?;
                self.progress[at].why = Some(error);
            }
        }
        Ok(())
    }

    /// Drops the successors that did not take their place.
    async fn discard_unused(&mut self) -> Result<(), StoreError> {
        for at in 0..self.repair.pieces.len() {
            let is_built = std::mem::take(&mut self.progress[at].is_built);
            let sql = self.repair.pieces[at].sql;
            if let (true, Some(successor)) = (is_built, &sql.successor) {
                self.discard(successor).await?;
            }
        }
        Ok(())
    }

    async fn discard(&self, successor: &Successor) -> Result<(), StoreError> {
        match self.first_column(&successor.stands).await?.first().map(String::as_str) {
            Some("t") => effect!("put_back_discard", self.run_apart(&successor.discard)),
            Some(_) | None => Ok(()),
        }
    }

    /// Runs a statement by itself, in the fixed environment.
    async fn run_apart(&self, statement: &str) -> Result<(), StoreError> {
        let limit = match statement.contains(" CONCURRENTLY ") {
            true => Duration::ZERO,
            false => LOCK_TIMEOUT,
        };
        self.run(&postgres::until_reset()).await?;
        self.run(&format!("SET lock_timeout = {}", limit.as_millis())).await?;
        self.run("SET statement_timeout = 0").await?;
        let ended = self.run(statement).await;
        apply::leave(self.store).await?;
        ended
    }

    async fn run(&self, sql: &str) -> Result<(), StoreError> {
        let store = self.store;
        let mut sent = std::pin::pin!(store.session.client.batch_execute(sql));
        store.blocker.forget();
        let answer = tokio::select! {
            answer = &mut sent => answer,
            () = self.repair.cancel.cancelled(), if !self.cancelled.load(Ordering::Relaxed) => {
                self.cancelled.store(true, Ordering::Relaxed);
                // A statement that ends by itself in this moment is as good; the answer tells.
                let _ = store.session.cancel().await;
                sent.await
            }
            never = blocker::watch(store, Some(LOCK_TIMEOUT), self.repair.pulse) => match never {},
        };
        let Err(error) = answer else { return Ok(()) };
        let error = store_error(&error);
        if error.code.as_deref() == Some(LOCK_NOT_AVAILABLE) {
            store.blocker.prepare(store).await;
            if let Some(blocker) = store.blocker.last() {
                return Err(error.detail(format!("it waited for {blocker}")));
            }
        }
        Err(error)
    }
}

const LOCK_NOT_AVAILABLE: &str = "55P03";
const SERIALIZATION_FAILURE: &str = "40001";

/// Whether trying again later may help: a lock not had in time, a deadlock, a catalog that others
/// change while it is read.
fn may_pass(error: &StoreError) -> bool {
    matches!(error.code.as_deref(), Some(LOCK_NOT_AVAILABLE | SERIALIZATION_FAILURE | "40P01"))
}

/// Why a repair that ran was taken back.
fn unlike(piece: &Piece<'_>, verdict: &Verdict) -> StoreError {
    let of_it = |change: &&Change| change.object == piece.heal.object;
    let error = StoreError::refused("it did not end as recorded, and was taken back");
    let left = verdict.left.iter().filter(of_it).map(|left| format!("it was then: {left}"));
    let spoilt = verdict.spoilt.iter().map(|spoilt| format!("it would have changed {spoilt}"));
    left.chain(spoilt).fold(error, StoreError::detail)
}
