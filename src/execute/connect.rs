//! Connects the stores that a plan touches, waits for slow ones, and checks which server they are.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use rand::Rng;

use super::{Event, Listener, store_words};
use crate::error::{Error, Exit, Result};
use crate::ledger::{Snapshot, State};
use crate::secret::Secrets;
use crate::store_error::{StoreError, StoreErrorKind};
use crate::stores::StoreKind;
use crate::stores::{Settings, Store};

/// The connected stores.
pub type Connected = BTreeMap<StoreKind, Store>;

/// Connects one store, trying again for `wait` as long as it is a failure to connect; wrong
/// credentials fail at once. What the store says from then on is without `secrets`.
pub async fn connect(
    settings: &Settings,
    application: &str,
    wait: Duration,
    listener: &dyn Listener,
    secrets: &Secrets,
) -> Result<Store, StoreError> {
    let deadline = Instant::now() + wait;
    let mut pause = Duration::from_millis(250);
    for attempt in 1.. {
        let error = match settings.connect(application, secrets).await {
            Ok(store) => return Ok(store),
            Err(error) => error,
        };
        if error.kind != StoreErrorKind::Unreachable || Instant::now() + pause > deadline {
            return Err(error);
        }
        let store = settings.kind();
        listener.event(Event::StoreWait { store, attempt, error: error.to_string() });
        let jitter = rand::rng().random_range(0.8..1.2);
        tokio::time::sleep(pause.mul_f64(jitter)).await;
        pause = (pause * 2).min(Duration::from_secs(5));
    }
    Err(StoreError::unreachable("not tried"))
}

/// Connects all of `settings` side by side; all that fail come as one error.
pub async fn connect_all(
    settings: &[Settings],
    application: &str,
    wait: Duration,
    listener: &dyn Listener,
    secrets: &Secrets,
) -> Result<Connected> {
    let attempts = settings.iter().map(async |settings| {
        (settings, connect(settings, application, wait, listener, secrets).await)
    });
    let (mut connected, mut errors) = (Connected::new(), Vec::new());
    for (settings, result) in futures_util::future::join_all(attempts).await {
        match result {
            Ok(store) => {
                listener.event(Event::Connected(settings.kind()));
                connected.insert(settings.kind(), store);
            }
            Err(error) => errors.push(connect_error(settings, &error)),
        }
    }
    match Error::all(errors) {
        Some(error) => Err(error),
        None => Ok(connected),
    }
}

/// The error for a store that could not be connected.
pub fn connect_error(settings: &Settings, error: &StoreError) -> Error {
    let (store, address) = (settings.kind().title(), settings.address());
    let message = match error.kind {
        StoreErrorKind::Unreachable => format!("cannot reach {store} at {address}"),
        StoreErrorKind::Credentials => format!("cannot log in to {store} at {address}"),
        StoreErrorKind::Settings => format!("the settings of {store} are wrong"),
        StoreErrorKind::Refused => format!("{store} at {address} refuses to be used"),
    };
    store_words(Error::new(error.kind.exit(), message), &addressed(error, store, &address))
}

/// The error without the address that the sentence before it names.
fn addressed(error: &StoreError, store: &str, address: &str) -> StoreError {
    let mut error = error.clone();
    for lead in [
        format!("cannot reach {store} at {address}: "),
        format!("{store} at {address} does not answer: "),
        format!("{store} at {address} does not let us in: "),
        format!("{address}: "),
    ] {
        if let Some(rest) = error.message.strip_prefix(&lead) {
            error.message = rest.to_string();
        }
    }
    error
}

/// Which servers stores are.
pub type Identities = BTreeMap<StoreKind, String>;

/// Checks that each store is the server that this ledger belongs with, so that a staging ledger never
/// drives a production store. Gives back those that it does not know yet.
pub async fn identify(snapshot: &Snapshot, stores: &Connected) -> Result<Identities> {
    let mut first_met = Identities::new();
    for (kind, store) in stores {
        let failed = |error: StoreError| {
            let message = format!("cannot ask {} which server it is", kind.title());
            store_words(Error::new(error.kind.exit(), message), &error)
        };
        let Some(live) = store.identity().await.map_err(failed)? else { continue };
        match snapshot.identities.get(kind) {
            None => {
                first_met.insert(*kind, live);
            }
            Some(known) if *known == live => {}
            Some(known) => {
                return Err(Error::new(
                    Exit::Usage,
                    format!("this ledger belongs with another {}", kind.title()),
                )
                .because(format!("the ledger knows {known}, this one is {live}"))
                .state("nothing was applied")
                .hint("check the addresses: one of them is of another environment")
                .hint(format!(
                    "after a restore or a move on purpose: \
                     aiplat-migrate repair --accept-identity --store {kind}"
                )));
            }
        }
    }
    Ok(first_met)
}

/// Ends, or waits for, what runs that are dead left at work on the servers; whoever holds the lock
/// knows that they are dead.
pub async fn expel(snapshot: &Snapshot, stores: &Connected) -> Result<()> {
    let open = |state| matches!(state, State::Running | State::Undoing | State::Failed);
    let left = snapshot.rows.iter().filter(|row| open(row.state));
    let dead: BTreeSet<&String> = left.map(|row| &row.run).collect();
    let dead: Vec<String> = dead.into_iter().cloned().collect();
    for store in stores.values() {
        store.expel(&dead).await.map_err(|error| {
            let message = "cannot end what a dead run left behind";
            store_words(Error::new(error.kind.exit(), message), &error)
        })?;
    }
    Ok(())
}
