//! The pictures around a run: before its first effect, and after its last.

use std::collections::BTreeMap;

use futures_util::future::try_join_all;

use super::{Connected, Direction, Event, Identities, Listener, Outcome, Task, store_words};
use crate::error::{Error, Result};
use crate::ledger::{LockedLedger, Shapes, Snapshot, StoredShape};
use crate::shape::{Attributes, Change, Shape};
use crate::store_error::StoreError;
use crate::stores::StoreKind;
use crate::stores::{self, Depth, Ignored, Unit};

/// The pictures of the stores before a run's first effect.
pub type Pictures = BTreeMap<StoreKind, Shape>;

/// Takes the before-picture of each connected store, and tells the drift that was there already:
/// recorded against live. [`keep`] makes them durable.
///
/// A store whose picture an unfinished run left is not looked at: that run's own changes are no
/// drift, and it has told of the drift that it met. Neither is one whose shape was lost: what is recorded
/// of it from now on would pass for the whole.
pub async fn before_pictures(
    snapshot: &Snapshot,
    mut stored: Shapes,
    stores: &Connected,
    ignored: &BTreeMap<StoreKind, Ignored>,
) -> Result<(Pictures, BTreeMap<StoreKind, Vec<Change>>)> {
    let lost = snapshot.lost(&stored);
    let kept = stores.iter().filter(|(kind, _)| !lost.contains_key(kind));
    let fresh = kept.filter_map(|(kind, store)| {
        let mut stored = stored.remove(kind).unwrap_or_default();
        stores::recorded_without(&mut stored.recorded, store.secrets());
        stored.before.is_none().then_some((kind, store, stored.recorded))
    });
    let pictures = fresh.map(async |(kind, store, recorded)| {
        let live = store.inspect(&recorded, Depth::Structure).await;
        (*kind, recorded, live)
    });
    let (mut pictures_taken, mut drift) = (Pictures::new(), BTreeMap::new());
    for (kind, recorded, live) in futures_util::future::join_all(pictures).await {
        let live = live.map_err(|error| inspect_error(kind, &error))?;
        let nothing = Ignored::default();
        let ignored = ignored.get(&kind).unwrap_or(&nothing);
        drift.insert(kind, stores::drift(kind, &recorded, &live, ignored).changes);
        pictures_taken.insert(kind, live);
    }
    Ok((pictures_taken, drift))
}

/// Makes durable which servers were met for the first time, and the pictures; the run's first effect
/// comes after.
pub async fn keep(
    ledger: &LockedLedger,
    first_met: &Identities,
    pictures: &Pictures,
) -> Result<()> {
    let servers = first_met.iter().map(|(kind, server)| ledger.identify(*kind, server));
    let pictures = pictures.iter().map(|(kind, live)| ledger.keep_before(*kind, live));
    futures_util::future::try_join(try_join_all(servers), try_join_all(pictures)).await.map(|_| ())
}

/// Records the shape of each connected store: the recorded one plus what this run changed, which is
/// what became different among the objects that its `tasks` touch, and others did not write: a server may
/// have other users.
/// What a run changed that died before it could record it is not known by its tasks: then everything
/// that became different since counts. A store that cannot be asked now keeps its before-picture, and
/// the next run records it.
pub async fn record(
    ledger: &LockedLedger,
    begun: &Snapshot,
    (tasks, outcome): (&[Task], &Outcome),
    stores: &Connected,
    listener: &dyn Listener,
) -> Result<()> {
    let mut stored = ledger.reader().shapes().await?;
    let pictures = stores.iter().filter_map(|(kind, store)| {
        let StoredShape { mut recorded, before } = stored.remove(kind)?;
        stores::recorded_without(&mut recorded, store.secrets());
        let before = before?;
        let resumed = begun.unfinished.contains(kind);
        let units: Vec<&Unit> = units_of(tasks, *kind).collect();
        let applied =
            |task: &&Task| task.direction == Direction::Up && outcome.settled.contains(task.id());
        let made: Vec<&Unit> = tasks
            .iter()
            .filter(applied)
            .filter(|task| task.id().store == *kind)
            .flat_map(|task| &task.units)
            .collect();
        Some(async move {
            let live = store.inspect_after(&recorded, &before).await;
            let recorded = live.map(|mut live| {
                for task in tasks.iter().filter(|task| task.id().store == *kind) {
                    let is_named = |object: &str, attributes: &Attributes| {
                        task.units.iter().any(|unit| unit.step.names(object, attributes))
                    };
                    let names = (task.secret.as_slice(), kind.is_sql());
                    store.mark_words((&before, &mut live), names, &is_named);
                }
                // What is done in another transaction than the row's has no number that is known.
                let unsealed = match units.iter().all(|unit| unit.step.is_one_transaction()) {
                    true => store.unsealed(),
                    false => BTreeMap::new(),
                };
                let names = |object: &str, attributes: &Attributes| {
                    units.iter().any(|unit| unit.step.names(object, attributes))
                };
                let others = stores::of_others(*kind, &live, unsealed, &names);
                let touches = |object: &str| units.iter().any(|unit| unit.step.touches(object));
                let ours = |object: &str| resumed || touches(object) && !others.contains(object);
                // What an applied migration found there already, equal, is its own from now on.
                let found = |object: &str| made.iter().any(|unit| unit.step.makes(object));
                stores::effect(*kind, recorded, &before, live, (&ours, &found))
            });
            (*kind, recorded)
        })
    });
    for (kind, recorded) in futures_util::future::join_all(pictures).await {
        match recorded {
            Ok(recorded) => ledger.record_shape(kind, recorded).await?,
            Err(error) => listener.event(Event::Warning(format!(
                "the shape of {kind} was not recorded, the next `up` will: {error}"
            ))),
        }
    }
    Ok(())
}

fn units_of(tasks: &[Task], kind: StoreKind) -> impl Iterator<Item = &Unit> {
    tasks.iter().filter(move |task| task.id().store == kind).flat_map(|task| &task.units)
}

fn inspect_error(kind: StoreKind, error: &StoreError) -> Error {
    let message = format!("cannot read what is in {}", kind.title());
    store_words(Error::new(error.kind.exit(), message), error).state("nothing was applied")
}
