//! The lock: two advisory locks, so that neither a killed process nor its last statement is missed.
//!
//! The **leader** lock is exclusive and sits on a connection of its own. A process that is killed
//! frees it at once; but its last statement may still be at work on the server, and only the
//! **work** lock tells, which every session that does the run's work holds shared. A newcomer must
//! have had both before it reads a row. Nobody ever waits inside the server: a session blocked in
//! `pg_advisory_lock` would hold up CREATE INDEX CONCURRENTLY for ever, so waiters ask again and again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use rand::Rng;
use sha2::{Digest, Sha256};
use tokio::task::JoinHandle;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{SimpleQueryMessage, SimpleQueryRow};

use super::bootstrap::bootstrap;
use super::{Ledger, LedgerError, LedgerSettings, Run, Shapes, Snapshot, ledger_error};
use crate::clock;
use crate::error::{Error, Exit, Result};
use crate::failpoint::{self, effect};
use crate::postgres::{Purpose, Session, store_error};
use crate::store_error::StoreError;

/// A ledger that may be written: the lock is held as long as this value lives.
pub struct LockedLedger {
    pub(super) ledger: Ledger,
    pub(super) run: Run,
    /// SQL that is true while the leader lock is held by this run's own session.
    pub(super) held: String,
    pub(super) owner: serde_json::Value,
    pub(super) objects: Objects,
    leader: Arc<Session>,
    lost: Arc<AtomicBool>,
    heartbeat: JoinHandle<()>,
}

/// Who holds the lock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// The session on the server.
    pub pid: i32,
    /// The name it gave itself: run id and host.
    pub application: String,
    /// Since when it is connected.
    pub since: DateTime<Utc>,
    /// Whether its process is gone and only its last statement is still at work.
    pub orphan: bool,
}

impl std::fmt::Display for Holder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let since = self.since.format("%Y-%m-%d %H:%M:%S UTC");
        match self.orphan {
            false => write!(f, "{} (pid {}, since {since})", self.application, self.pid),
            true => write!(
                f,
                "the last statement of {} (pid {}, since {since}), whose process is gone",
                self.application, self.pid
            ),
        }
    }
}

/// Told now and then while the lock is waited for.
pub type Waiting<'a> = &'a (dyn Fn(&Holder) + Send + Sync);

/// What the ledger is made of: the numbers that the catalogs have for it, parted by commas.
pub(super) struct Objects {
    pub schema: String,
    pub tables: String,
    pub functions: String,
    /// Whether its tables have triggers or rules, which this tool never makes.
    pub have_triggers: bool,
    /// Whether some function of others names its schema.
    pub are_named: bool,
}

/// How far an attempt to take the lock came.
enum Had {
    Nothing,
    Leader,
    Both,
}

/// The two locks as advisory lock keys.
#[derive(Clone, Copy)]
struct Keys {
    class: i32,
    leader: i32,
    work: i32,
}

impl Keys {
    /// Locks are per database by themselves; the schema tells apart ledgers that share one.
    fn of(settings: &LedgerSettings) -> Keys {
        let digest = Sha256::digest(settings.schema.as_bytes());
        let hash = i32::from_be_bytes([digest[0], digest[1], digest[2], digest[3]]);
        Keys { class: 0x6169_706d, leader: hash & !1, work: hash | 1 }
    }

    /// SQL that is true when the session got its share of the work lock.
    fn share(self) -> String {
        format!("pg_catalog.pg_try_advisory_lock_shared({}, {})", self.class, self.work)
    }

    /// SQL that is true while a session for which `who` holds has the leader lock, of this database or
    /// of another one of the server.
    fn held(self, who: &str) -> String {
        format!(
            "EXISTS (SELECT FROM pg_catalog.pg_lock_status() WHERE locktype = 'advisory' AND granted \
             AND objsubid = 2 AND classid::bigint = {} AND objid::bigint = {} AND {who})",
            self.class as u32, self.leader as u32
        )
    }
}

const HEARTBEAT: Duration = Duration::from_secs(5);

impl Ledger {
    /// Takes the lock within `wait`, brings the ledger's tables up to date, and reads all of it. Does
    /// `meanwhile` as soon as the lock is had.
    ///
    /// Errors: exit 5 when the lock was not had in time, naming its holder; exit 2 for a pooler
    /// that shares sessions between clients.
    pub async fn lock<M>(
        self,
        run: Run,
        wait: Duration,
        waiting: Waiting<'_>,
        meanwhile: impl Future<Output = M>,
    ) -> Result<(LockedLedger, Snapshot, Shapes, M)> {
        let keys = Keys::of(&self.settings);
        let deadline = Instant::now() + wait;
        let failed = |error: StoreError| ledger_error(&error, &self.settings);
        let leader = self.settings.database.connect(&run.application(), Purpose::Ours).await;
        let leader = leader.map_err(failed)?;
        let (pid, since) = self.refuse_pooler(&leader).await?;
        effect!("lock", self.poll(&leader, pid, keys, deadline, waiting))?;
        let owner = serde_json::json!({ "pid": pid, "backend_start": since });
        let read = async {
            // Sent together, in this order: this session, too, has its share of the work lock before it
            // makes or reads anything, so that the next run waits for what a killed one's still makes.
            let made = bootstrap(&self.session, &self.settings);
            let made = futures_util::future::try_join(self.take_share(keys), made);
            effect!("bootstrap", made)?;
            // By the other session, so that both are at work at once.
            futures_util::future::try_join(self.read_whole(), self.objects(&leader)).await
        };
        let meanwhile = async { Ok(meanwhile.await) };
        let (((snapshot, shapes), objects), met) =
            futures_util::future::try_join(read, meanwhile).await?;
        let leader = Arc::new(leader);
        let lost = Arc::new(AtomicBool::new(false));
        let heartbeat = tokio::spawn(beat(leader.clone(), lost.clone()));
        let held = keys.held(&format!("pid = {pid}"));
        let locked =
            LockedLedger { ledger: self, run, held, owner, objects, leader, lost, heartbeat };
        Ok((locked, snapshot, shapes, met))
    }

    /// What the ledger is made of, as the catalogs number it.
    async fn objects(&self, session: &Session) -> Result<Objects> {
        let sql = self.sql(include_str!("sql/objects.sql"));
        let read = async {
            let row = session.client.query_typed_one(&sql, &[]).await?;
            Ok(Objects {
                schema: row.try_get(0)?,
                tables: row.try_get(1)?,
                functions: row.try_get(2)?,
                have_triggers: row.try_get(3)?,
                are_named: row.try_get(4)?,
            })
        };
        read.await.map_err(|error| self.error(&error))
    }

    /// Takes the share of the work lock for the ledger's own session.
    async fn take_share(&self, keys: Keys) -> Result<()> {
        let share = format!("SELECT {}", keys.share());
        let row = self.session.client.query_typed_one(&share, &[]).await;
        match row.and_then(|row| row.try_get(0)).map_err(|error| self.error(&error))? {
            true => Ok(()),
            false => Err(busy(None)),
        }
    }

    /// SQL that every other PostgreSQL session of the run begins with once the lock is had: it takes
    /// its share of the work lock, and is false where another run has begun.
    pub fn condition(&self) -> String {
        Keys::of(&self.settings).share()
    }

    /// Asks for the leader lock, and then for the work lock, until both were had; the work lock is
    /// given back at once. `pid` is the session that asks: through a pooler it might be another.
    async fn poll(
        &self,
        leader: &Session,
        pid: i32,
        keys: Keys,
        deadline: Instant,
        waiting: Waiting<'_>,
    ) -> Result<()> {
        // A test's run that takes no lock: the ledger's own rules must keep it from harm.
        if failpoint::is_switched("NO_LOCK") {
            return Ok(());
        }
        let (mut told, mut leads) = (None::<Instant>, false);
        loop {
            match self.attempt(leader, pid, keys, leads).await? {
                Had::Both => return Ok(()),
                Had::Leader => leads = true,
                Had::Nothing => {}
            }
            let key = if leads { keys.work } else { keys.leader };
            let holder = self.holder(leader, keys, key).await?;
            if Instant::now() >= deadline {
                return Err(busy(holder));
            }
            if let Some(holder) = holder
                && told.is_none_or(|at| at.elapsed() >= Duration::from_secs(10))
            {
                waiting(&holder);
                told = Some(Instant::now());
            }
            let pause = rand::rng().random_range(100..400);
            tokio::time::sleep(Duration::from_millis(pause)).await;
        }
    }

    async fn attempt(&self, leader: &Session, pid: i32, keys: Keys, leads: bool) -> Result<Had> {
        let work = format!(
            "CASE WHEN pg_catalog.pg_try_advisory_lock({0}, {1}) \
             THEN CASE WHEN pg_catalog.pg_advisory_unlock({0}, {1}) THEN 'both' END ELSE 'leader' END",
            keys.class, keys.work
        );
        let both = match leads {
            true => work,
            false => format!(
                "CASE WHEN pg_catalog.pg_try_advisory_lock({}, {}) THEN {work} ELSE 'nothing' END",
                keys.class, keys.leader
            ),
        };
        let sql = format!("SELECT CASE WHEN pg_catalog.pg_backend_pid() = {pid} THEN {both} END");
        match self.answer(leader, &sql).await?.first().and_then(Option::as_deref) {
            Some("both") => Ok(Had::Both),
            Some("leader") => Ok(Had::Leader),
            Some("nothing") => Ok(Had::Nothing),
            Some(_) | None => Err(pooler(&self.settings)),
        }
    }

    /// Who is at work now, if anybody: the holder of the leader lock.
    pub async fn at_work(&self) -> Result<Option<Holder>> {
        let keys = Keys::of(&self.settings);
        let held = format!("SELECT {}", keys.held("true"));
        let held = self.session.client.query_typed_one(&held, &[]).await;
        // Seldom; and who it is takes longer to tell than all else that is asked.
        match held.and_then(|row| row.try_get(0)).map_err(|error| self.error(&error))? {
            true => self.holder(&self.session, keys, keys.leader).await,
            false => Ok(None),
        }
    }

    async fn holder(&self, session: &Session, keys: Keys, key: i32) -> Result<Option<Holder>> {
        // The functions below the views pg_locks and pg_stat_activity: the views look up names besides.
        let sql = include_str!("sql/holder.sql");
        let (class, object) = (i64::from(keys.class as u32), i64::from(key as u32));
        let lock: [(&(dyn ToSql + Sync), Type); 2] = [(&class, Type::INT8), (&object, Type::INT8)];
        let holder = |row: tokio_postgres::Row| {
            let since: Option<DateTime<Utc>> = row.try_get(2)?;
            let (pid, application) = (row.try_get(0)?, row.try_get(1)?);
            let since = since.unwrap_or_else(clock::now);
            Ok(Holder { pid, application, since, orphan: key == keys.work })
        };
        let row = session.client.query_typed_opt(sql, &lock).await;
        let holder = row.and_then(|row| row.map(holder).transpose());
        holder.map_err(|error| self.error(&error))
    }

    /// Two sessions of ours that the server sees as one are a pooler's: its sessions change from
    /// one transaction to the next, and a lock taken through it would be anybody's. Gives the
    /// leader's session: its number, and since when it is there.
    async fn refuse_pooler(&self, leader: &Session) -> Result<(i32, Option<String>)> {
        let since = "(SELECT to_char(backend_start AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"') \
                     FROM pg_catalog.pg_stat_get_activity(pg_catalog.pg_backend_pid()))";
        let ask = format!("SELECT pg_catalog.pg_backend_pid(), {since}");
        let (first, own) = futures_util::future::try_join(
            self.answer(leader, &ask),
            self.answer(&self.session, "SELECT pg_catalog.pg_backend_pid()"),
        )
        .await?;
        let mut first = first.into_iter();
        let (pid, since) = (first.next().flatten(), first.next().flatten());
        match pid.as_deref().and_then(|pid| pid.parse().ok()) {
            Some(number) if own.first() != Some(&pid) => Ok((number, since)),
            Some(_) | None => Err(pooler(&self.settings)),
        }
    }

    /// The first row that `sql` gives. Asked without preparing a statement: through a pooler that
    /// alone would fail.
    async fn answer(&self, session: &Session, sql: &str) -> Result<Vec<Option<String>>> {
        let answer = session.client.simple_query(sql).await.map_err(|error| self.error(&error))?;
        let row = answer.iter().find_map(|message| match message {
            SimpleQueryMessage::Row(row) => Some(row),
            // The driver's enum is open; the rest is not what was asked for.
            _ => None,
        });
        let column = |row: &SimpleQueryRow, at| row.get(at).map(str::to_string);
        Ok(row.map(|row| (0..row.len()).map(|at| column(row, at)).collect()).unwrap_or_default())
    }
}

fn pooler(settings: &LedgerSettings) -> Error {
    Error::usage(format!(
        "{} is a pooler that shares sessions between its clients; the lock cannot be held through it",
        settings.database.address()
    ))
    .state("nothing was touched")
    .hint("give the server's own address for migrations, past the pooler (PgBouncer: a direct URL, \
           or pool_mode = session)")
}

fn busy(holder: Option<Holder>) -> Error {
    let error = Error::new(Exit::Busy, "another run is at work, and the lock was not had in time")
        .state("this run has changed nothing");
    match holder {
        Some(holder) => error
            .because(format!("the lock is held by {holder}"))
            .hint("run this again later, or wait longer with --lock-wait"),
        None => error.hint("run this again"),
    }
}

/// Asks for a sign of life; a leader connection that fails has lost the lock.
async fn beat(leader: Arc<Session>, lost: Arc<AtomicBool>) {
    loop {
        tokio::time::sleep(HEARTBEAT).await;
        let answer = tokio::time::timeout(HEARTBEAT * 2, leader.client.batch_execute("")).await;
        if !matches!(answer, Ok(Ok(()))) {
            lost.store(true, Ordering::Relaxed);
            return;
        }
    }
}

impl LockedLedger {
    /// The run that holds the lock.
    pub fn run(&self) -> &Run {
        &self.run
    }

    /// Reads the ledger again.
    pub async fn read(&self) -> Result<Snapshot> {
        self.ledger.read().await
    }

    /// The reading half.
    pub fn reader(&self) -> &Ledger {
        &self.ledger
    }

    /// The ledger's schema, which is no part of the store's shape.
    pub fn schema(&self) -> &str {
        self.ledger.schema()
    }

    /// Whether the leader connection has failed; known at the latest after two heartbeats.
    pub fn is_lost(&self) -> bool {
        self.lost.load(Ordering::Relaxed) || self.leader.client.is_closed()
    }

    /// Takes it that the lock is lost: a session of this run could not have its share any more.
    pub fn lose(&self) {
        self.lost.store(true, Ordering::Relaxed);
    }

    /// The error for a lock that was lost in the middle of a run.
    pub fn lost() -> Error {
        LedgerError::LockLost.into()
    }

    /// Ends when the leader connection is lost and a new one tells twice in a row that no statement
    /// of this run is at work, or cannot be had: then nobody will ever answer what this run waits
    /// for, as happens where a network swallows what is sent and closes no connection.
    pub async fn cut_off(&self) {
        let mut silent = 0;
        while silent < 2 {
            tokio::time::sleep(HEARTBEAT).await;
            silent = match self.is_lost() && !self.has_active_statement().await {
                true => silent + 1,
                false => 0,
            };
        }
    }

    async fn has_active_statement(&self) -> bool {
        let sql = include_str!("sql/active.sql");
        let asked = async {
            let application = self.run.application();
            let session = self.ledger.settings.database.connect(&application, Purpose::Ours);
            let session = session.await.ok()?;
            session.client.query_one(sql, &[&application]).await.ok()
        };
        let answer = tokio::time::timeout(HEARTBEAT, asked).await;
        answer.ok().flatten().is_some_and(|row| row.try_get(0).unwrap_or(false))
    }

    /// The error for a run that [`LockedLedger::cut_off`] ended.
    pub fn silent() -> Error {
        Error::new(Exit::Unreachable, "PostgreSQL does not answer any more; the lock is lost")
            .state("what is done is in the ledger; the step under way may have been done or not")
            .hint("run the same command again: it asks the stores first, and goes on")
    }

    /// Frees the lock now; dropping the value frees it as soon as the server sees the end.
    pub async fn release(self) {
        // The server frees the locks with the session in any case.
        let unlock = "SELECT pg_catalog.pg_advisory_unlock_all()";
        let unlock = tokio::time::timeout(HEARTBEAT, self.leader.client.batch_execute(unlock));
        let _ = effect!("unlock", unlock);
    }

    pub(super) fn error(&self, error: &tokio_postgres::Error) -> Error {
        ledger_error(&store_error(error), &self.ledger.settings)
    }
}

impl Drop for LockedLedger {
    fn drop(&mut self) {
        self.heartbeat.abort();
    }
}
