//! Who holds up a statement: looked up from a session of its own while the statement waits, because
//! afterwards nobody can tell.

use std::convert::Infallible;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::Postgres;
use crate::postgres::{Purpose, Session};
use crate::stores::contract::Pulse;

/// A statement that takes no longer is not looked after.
const FIRST_LOOK: Duration = Duration::from_secs(1);
/// How often a long wait is told.
const TELL_EVERY: Duration = Duration::from_secs(10);

/// The session that was last seen in the way of the statement under way.
#[derive(Default)]
pub(super) struct Seen {
    last: Mutex<Option<String>>,
    /// Opened when it is first needed, and kept: a short `lock_timeout` is over before a session is.
    side: tokio::sync::Mutex<Option<Session>>,
}

impl Seen {
    pub(super) fn forget(&self) {
        self.set(None);
    }

    pub(super) fn last(&self) -> Option<String> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, blocker: Option<String>) {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = blocker;
    }

    /// Opens the session that looks, so that the next attempt finds it open.
    pub(super) async fn prepare(&self, store: &Postgres) {
        let mut side = self.side.lock().await;
        if side.as_ref().is_none_or(|session| session.client.is_closed()) {
            let session =
                store.settings.connect("aiplat-migrate, looking for locks", Purpose::Ours);
            *side = session.await.ok();
        }
    }
}

/// Looks now and then who is in the way of the store's session, and tells; never ends.
pub(super) async fn watch(
    store: &Postgres,
    lock_timeout: Option<Duration>,
    pulse: &dyn Pulse,
) -> Infallible {
    let pause = match lock_timeout {
        Some(limit) if !limit.is_zero() => (limit / 2).min(FIRST_LOOK),
        Some(_) | None => FIRST_LOOK,
    };
    tokio::time::sleep(pause).await;
    let mut told = None::<Instant>;
    loop {
        store.blocker.prepare(store).await;
        if let Some(session) = store.blocker.side.lock().await.as_ref() {
            let found = blocker_of(session, store.pid).await;
            if let Some(blocker) = &found
                && told.is_none_or(|at| at.elapsed() >= TELL_EVERY)
            {
                pulse.notice(&format!("waits for {blocker}"));
                told = Some(Instant::now());
            }
            // The one seen last is named even if it has just ended.
            if found.is_some() {
                store.blocker.set(found);
            }
        }
        tokio::time::sleep(pause).await;
    }
}

async fn blocker_of(side: &Session, pid: i32) -> Option<String> {
    let sql = "SELECT format('pid %s (%s, %s since %s UTC): %s', a.pid, \
                 coalesce(nullif(a.application_name, ''), a.usename, a.backend_type), a.state, \
                 to_char(a.state_change AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS'), \
                 left(regexp_replace(a.query, '\\s+', ' ', 'g'), 120)) \
               FROM unnest(pg_catalog.pg_blocking_pids($1)) b (pid) \
               JOIN pg_catalog.pg_stat_activity a ON a.pid = b.pid \
               ORDER BY a.xact_start LIMIT 1";
    let row = side.client.query_opt(sql, &[&pid]).await.ok()??;
    row.try_get(0).ok()
}
