//! The pictures around a run: before its first effect, and after its last.

use std::collections::BTreeMap;

use super::{Connected, Event, Listener, store_words};
use crate::error::{Error, Result};
use crate::ledger::{LockedLedger, Snapshot};
use crate::migration::StoreKind;
use crate::shape::{Change, Shape};
use crate::stores::Depth;

/// Takes the before-picture of each connected store and makes it durable. Gives back the drift that
/// was there already: recorded against live.
///
/// A store whose picture an unfinished run left is not looked at: that run's own changes are no
/// drift, and it has told of the drift that it met.
pub async fn before_pictures(
    ledger: &LockedLedger,
    snapshot: &Snapshot,
    stores: &Connected,
) -> Result<BTreeMap<StoreKind, Vec<Change>>> {
    let unfinished =
        |kind: &StoreKind| snapshot.shapes.get(kind).is_some_and(|s| s.before.is_some());
    let fresh = stores.iter().filter(|(kind, _)| !unfinished(kind));
    let pictures = fresh.map(async |(kind, store)| {
        let recorded = snapshot.shapes.get(kind).map(|shape| shape.recorded.clone());
        let recorded = recorded.unwrap_or_default();
        let live = store.inspect(&recorded, Depth::Structure).await;
        (*kind, recorded, live)
    });
    let mut drift = BTreeMap::new();
    for (kind, recorded, live) in futures_util::future::join_all(pictures).await {
        let live = live.map_err(|error| inspect_error(kind, &error))?;
        ledger.keep_before(kind, &live).await?;
        drift.insert(kind, drift_of(&recorded, &live));
    }
    Ok(drift)
}

/// What differs between the recorded shape and the live one, among the objects that are recorded.
fn drift_of(recorded: &Shape, live: &Shape) -> Vec<Change> {
    let mut changes = recorded.changes_to(live);
    changes.retain(|change| recorded.objects.contains_key(&change.object));
    changes
}

/// Records the shape of each connected store: the recorded one plus what this run changed. A store
/// that cannot be asked now keeps its before-picture, and the next run records it.
pub async fn record(
    ledger: &LockedLedger,
    stores: &Connected,
    listener: &dyn Listener,
) -> Result<()> {
    let snapshot = ledger.read().await?;
    let pictures = stores.iter().filter_map(|(kind, store)| {
        let stored = snapshot.shapes.get(kind)?;
        let before = stored.before.as_ref()?;
        let recorded = stored.recorded.clone();
        Some(async move {
            let live = store.inspect(&recorded, Depth::Structure).await;
            (*kind, live.map(|live| recorded.clone().with(&before.changes_to(&live))))
        })
    });
    for (kind, recorded) in futures_util::future::join_all(pictures).await {
        match recorded {
            Ok(recorded) => ledger.record_shape(kind, &recorded).await?,
            Err(error) => listener.event(Event::Warning(format!(
                "the shape of {kind} was not recorded, the next `up` will: {error}"
            ))),
        }
    }
    Ok(())
}

fn inspect_error(kind: StoreKind, error: &crate::stores::StoreError) -> Error {
    let message = format!("cannot read what is in {}", kind.title());
    store_words(Error::new(error.kind.exit(), message), error).state("nothing was applied")
}
