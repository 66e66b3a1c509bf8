//! `updateInBatches`: walks a collection by `_id`, whatever types its values have.
//!
//! A filter such as `_id > x` sees only values of x's type. The walk reads the index on `_id` from
//! the last position on, by `min` and `hint`, which know the order of all types, and updates each
//! batch by the range of its `_id`s where they are of one plain type, by their list elsewhere.
//! Documents inserted behind the position while it walks are not seen.

use bson::{Bson, Document, doc};
use futures_util::future::join;
use serde_json::{Value, json};

use super::apply::{count, in_doubt, send};
use super::steps::UpdateInBatches;
use super::{Mongo, catalog};
use crate::failpoint::effect;
use crate::store_error::StoreError;
use crate::stores::contract::{Done, Effect, Failure, Job, Position, Progress};
use crate::stores::pace::Pace;

/// How far the walk is.
#[derive(Clone, Debug, Default, PartialEq)]
struct At {
    /// The `_id` of the last document looked at.
    last: Option<Bson>,
    looked_at: u64,
    changed: u64,
}

/// Neighbours in the index on `_id`.
struct Batch {
    /// What a filter says of their `_id`s.
    which: Document,
    size: u64,
    /// The `_id` of the last one.
    last: Bson,
}

impl At {
    /// The `_id` is kept as text: in a JSON column the keys of a document would lose their order,
    /// and with it their place in the index.
    fn position(&self) -> Position {
        let last = self.last.clone().map(|id| id.into_canonical_extjson().to_string());
        Position(json!({ "after": last, "looked_at": self.looked_at, "changed": self.changed }))
    }

    fn of(position: &Position) -> Result<At, StoreError> {
        let number = |name: &str| position.0[name].as_u64().unwrap_or(0);
        let last = match position.0["after"].as_str() {
            Some(text) => Some(id_of(text)?),
            None => None,
        };
        Ok(At { last, looked_at: number("looked_at"), changed: number("changed") })
    }
}

fn id_of(text: &str) -> Result<Bson, StoreError> {
    let unreadable =
        || StoreError::refused(format!("the journalled position {text} is unreadable"));
    let value: Value = serde_json::from_str(text).map_err(|_| unreadable())?;
    Bson::try_from(value).map_err(|_| unreadable())
}

/// Walks the collection from the journalled position, or from the start, to its end.
pub(super) async fn walk(
    store: &Mongo,
    step: &UpdateInBatches,
    job: &Job<'_>,
) -> Result<Done, Failure> {
    let mut at = match &job.resume {
        Some(position) => At::of(position)?,
        None => At::default(),
    };
    if let Err(failure) = to_the_end(store, step, job, &mut at).await {
        // What one command did not do, those before it did.
        let begun = at.last.is_some();
        let effect = if begun { Effect::Unknown } else { failure.effect };
        return Err(Failure { effect, ..failure });
    }
    let notice = format!("{}: {} documents changed", step.collection, at.changed);
    Ok(Done::noting(vec![notice]))
}

async fn to_the_end(
    store: &Mongo,
    step: &UpdateInBatches,
    job: &Job<'_>,
    at: &mut At,
) -> Result<(), Failure> {
    let total = total(store, step).await?;
    let mut pace = Pace::of(job.limits.rate);
    let size = pace.portion(step.batch as usize) as u32;
    let mut next = next_batch(store, step, size, at.last.as_ref(), job).await?;
    while let Some(batch) = next {
        // The next one is looked for while the server is at this one: `_id`s do not change.
        let (updated, following) = join(
            async { effect!("mongo_batch", update(store, step, &batch, job)) },
            next_batch(store, step, size, Some(&batch.last), job),
        )
        .await;
        at.looked_at += batch.size;
        at.changed += updated?;
        at.last = Some(batch.last);
        let progress = Progress { done: at.looked_at, total: Some(total.max(at.looked_at)) };
        job.pulse.reached(&at.position(), progress).await.map_err(|_| stopped(step))?;
        tokio::select! {
            () = pace.after(batch.size) => {}
            () = job.cancel.cancelled() => return Err(stopped(step)),
        }
        next = following?;
    }
    Ok(())
}

fn stopped(step: &UpdateInBatches) -> Failure {
    in_doubt(StoreError::refused(format!("updateInBatches {} was stopped", step.collection)))
}

/// From the collection's metadata: an estimate, at no cost.
async fn total(store: &Mongo, step: &UpdateInBatches) -> Result<u64, StoreError> {
    let reply = store.ask(&store.db, doc! { "count": &step.collection }).await?;
    Ok(count(&reply, "n"))
}

/// The next batch of at most `size` documents behind `last`; none at the end.
async fn next_batch(
    store: &Mongo,
    step: &UpdateInBatches,
    size: u32,
    last: Option<&Bson>,
    job: &Job<'_>,
) -> Result<Option<Batch>, Failure> {
    // A range of `_id`s is found by its end alone, and the server walks it as it is in the index.
    if let (Some(last), None) = (last, &step.collation)
        && are_of_one_order(last, last)
    {
        let from = doc! { "min": { "_id": last.clone() }, "skip": i64::from(size) };
        let end = find_ids(store, step, from, 1, job).await?.pop();
        if let Some(end) = end.filter(|end| are_of_one_order(last, end)) {
            let which = doc! { "$gt": last.clone(), "$lte": end.clone() };
            return Ok(Some(Batch { which, size: size.into(), last: end }));
        }
    }
    let ids = next_ids(store, step, size, last, job).await?;
    let Some(last) = ids.last().cloned() else { return Ok(None) };
    Ok(Some(Batch { size: ids.len() as u64, which: doc! { "$in": ids }, last }))
}

/// Whether a filter from one `_id` to the other sees all that lies between them in the index: of the
/// types that are named here, one value is below another there as it is for a filter.
fn are_of_one_order(one: &Bson, other: &Bson) -> bool {
    let whole = |id: &Bson| matches!(id, Bson::Int32(_) | Bson::Int64(_));
    matches!(
        (one, other),
        (Bson::ObjectId(_), Bson::ObjectId(_))
            | (Bson::String(_), Bson::String(_))
            | (Bson::DateTime(_), Bson::DateTime(_))
    ) || whole(one) && whole(other)
}

/// The next `_id`s behind `last`; none at the end.
async fn next_ids(
    store: &Mongo,
    step: &UpdateInBatches,
    size: u32,
    last: Option<&Bson>,
    job: &Job<'_>,
) -> Result<Vec<Bson>, Failure> {
    let last = match last {
        None => return find_ids(store, step, doc! {}, size, job).await,
        Some(Bson::MaxKey) => return Ok(Vec::new()),
        Some(last) => last,
    };
    // `min` includes its bound: one more is read, and the bound left out if it is still there.
    let from = doc! { "min": { "_id": last.clone() } };
    let mut ids = find_ids(store, step, from, size + 1, job).await?;
    if ids.first().is_some_and(|first| catalog::same_in_order(last, first)) {
        ids.remove(0);
    }
    ids.truncate(size as usize);
    if ids.is_empty() {
        // Without an upper bound, `min` stops before the greatest value there is.
        let greatest = doc! { "filter": { "_id": Bson::MaxKey } };
        return find_ids(store, step, greatest, 1, job).await;
    }
    Ok(ids)
}

async fn find_ids(
    store: &Mongo,
    step: &UpdateInBatches,
    bounds: Document,
    limit: u32,
    job: &Job<'_>,
) -> Result<Vec<Bson>, Failure> {
    let mut find = doc! {
        "find": &step.collection,
        "projection": { "_id": 1 },
        "sort": { "_id": 1 },
        "hint": { "_id": 1 },
        "limit": i64::from(limit),
        "batchSize": i64::from(limit),
        "singleBatch": true,
    };
    find.extend(bounds);
    let reply = send(store, &store.db, find, job).await?;
    Ok(first_batch(&reply).filter_map(|row| row.get("_id").cloned()).collect())
}

fn first_batch(reply: &Document) -> impl Iterator<Item = &Document> {
    let rows = reply.get_document("cursor").and_then(|cursor| cursor.get_array("firstBatch"));
    rows.into_iter().flatten().filter_map(Bson::as_document)
}

/// Updates those documents of `batch` that match the filter; says how many were changed.
async fn update(
    store: &Mongo,
    step: &UpdateInBatches,
    batch: &Batch,
    job: &Job<'_>,
) -> Result<u64, Failure> {
    let mut one = doc! {
        "q": { "$and": [{ "_id": batch.which.clone() }, step.filter.clone()] },
        "u": step.update.clone(),
        "multi": true,
    };
    if let Some(filters) = &step.array_filters {
        one.insert("arrayFilters", filters.clone());
    }
    if let Some(collation) = &step.collation {
        one.insert("collation", collation.clone());
    }
    let command = doc! { "update": &step.collection, "updates": [one] };
    Ok(count(&send(store, &store.db, command, job).await?, "nModified"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_survives_the_ledger() {
        for last in [
            Bson::from(1),
            Bson::from(1_i64),
            Bson::from("a"),
            Bson::Null,
            Bson::MinKey,
            Bson::from(bson::oid::ObjectId::new()),
            Bson::from(doc! { "b": 1, "a": f64::INFINITY }),
            Bson::from(bson::DateTime::from_millis(-1)),
        ] {
            let at = At { last: Some(last), looked_at: 7, changed: 3 };
            let kept = serde_json::to_string(&at.position()).expect("text");
            let read = serde_json::from_str(&kept).expect("position");
            assert_eq!(At::of(&read).expect("at"), at);
        }
    }
}
