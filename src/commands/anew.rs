//! A run whose connections break begins anew: what a killed process leaves, a broken connection
//! leaves too, and the next run goes on from there, so the same command may as well.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::error::{Error, Exit, Result};
use crate::execute::Connected;
use crate::ledger::{Ledger, LockedLedger, Run, Shapes, Snapshot};
use crate::migrator::Migrator;
use crate::report::RunReport;
use crate::stores::StoreKind;

/// How often a run is begun whose connections break.
const ATTEMPTS: u32 = 4;

/// A server that was restarted is given this long before it is asked again.
const PAUSE: Duration = Duration::from_secs(1);

/// How long a run that had begun waits at least for the ledger to come back, whatever `--wait` says
/// of the first contact.
const COMING_BACK: Duration = Duration::from_secs(30);

/// An error, apart by whether a migration may have been begun: only then is the run begun anew,
/// since a store that was never reached has been waited for already.
pub(super) enum Apart {
    NotBegun(Error),
    Begun(Error),
}

/// How long a run waits, and for what.
pub(super) struct Waits {
    /// For stores that do not answer yet.
    pub(super) stores: Duration,
    /// For another run's lock; none for the configured time.
    pub(super) lock: Option<Duration>,
}

/// What a run finds once it has the lock.
pub(super) struct Found {
    /// The ledger.
    pub(super) snapshot: Snapshot,
    /// The shapes that it holds.
    pub(super) shapes: Shapes,
    /// The stores that were connected meanwhile.
    pub(super) stores: Connected,
}

/// Adds to the error of an attempt that came to nothing what the ones before it left.
fn cut(error: Error, attempt: u32, report: &RunReport) -> Error {
    if attempt == 1 {
        return error;
    }
    // "Nothing was changed" is true of the last attempt alone.
    let error = match error.exit() {
        exit @ (Exit::Interrupted | Exit::Terminated) => Error::new(exit, "stopped, as asked"),
        _ => error,
    };
    let settled = match report.settled.as_slice() {
        [] => "no migration was finished before".to_string(),
        [only] => format!("finished before: {only}"),
        [.., last] => {
            format!("{} migrations were finished before, the last {last}", report.settled.len())
        }
    };
    error
        .state("its connections broke in the middle of the run; what is done is recorded in the ledger")
        .state(settled)
        .hint("run the same command again: it asks the stores first, and goes on")
}

impl Migrator {
    /// Does `work` under the lock, and again, with a run of its own, where a connection broke after
    /// a migration was begun. `stores` are those that it will probably touch.
    pub(super) async fn under_lock(
        &self,
        (mut ledger, mut run): (Ledger, Run),
        stores: &BTreeSet<StoreKind>,
        waits: Waits,
        report: &mut RunReport,
        mut work: impl AsyncFnMut(&LockedLedger, Found, &mut RunReport) -> Result<(), Apart>,
    ) -> Result<()> {
        for attempt in 1.. {
            let settings = self.store_settings(stores.iter().copied(), &ledger)?;
            let application = run.application();
            let connect = self.connect_all(&settings, &application, waits.stores);
            let locked = self.lock(ledger, run, waits.lock, connect).await;
            let (locked, snapshot, shapes, stores) =
                locked.map_err(|error| cut(error, attempt, report))?;
            let work = async {
                let stores = stores.map_err(Apart::NotBegun)?;
                work(&locked, Found { snapshot, shapes, stores }, report).await
            };
            let result = tokio::select! {
                result = work => result,
                () = locked.cut_off() => Err(Apart::Begun(LockedLedger::silent())),
            };
            let lost = locked.is_lost();
            locked.release().await;
            let error = match result {
                Err(Apart::Begun(error)) if attempt < ATTEMPTS && self.may_pass(&error, lost) => {
                    error
                }
                Err(Apart::NotBegun(error)) => return Err(cut(error, attempt, report)),
                Err(Apart::Begun(error)) => return Err(error),
                Ok(()) => return Ok(()),
            };
            self.warn(format!("a connection broke; the run begins anew and goes on: {error}"));
            run = self.begin();
            report.run = Some(run.id.clone());
            let again = async {
                tokio::time::sleep(PAUSE).await;
                self.ledger(&run, waits.stores.max(COMING_BACK)).await
            };
            let again = self.unless_stopped(again).await.and_then(|again| again);
            ledger = again.map_err(|error| cut(error, attempt + 1, report))?;
        }
        Ok(())
    }

    /// Whether a run that failed with `error` may succeed if it is begun anew.
    fn may_pass(&self, error: &Error, lost: bool) -> bool {
        (lost || error.exit() == Exit::Unreachable) && !self.interrupt.is_stopping()
    }
}
