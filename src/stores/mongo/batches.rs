//! `updateInBatches`: walks a collection by `_id`, whatever types its values have.
//!
//! A filter such as `_id > x` sees only values of x's type. The walk reads the index on `_id` from
//! the last position on, by `min` and `hint`, which know the order of all types, and updates each
//! batch by its list of `_id`s. Documents inserted behind the position while it walks are not seen.

use bson::{Bson, Document, doc};
use serde_json::{Value, json};

use super::apply::{count, in_doubt, send};
use super::steps::UpdateInBatches;
use super::{Mongo, catalog};
use crate::failpoint::effect;
use crate::stores::{Done, Effect, Failure, Job, Position, Progress, StoreError};

/// How far the walk is.
#[derive(Clone, Debug, Default, PartialEq)]
struct At {
    /// The `_id` of the last document looked at.
    last: Option<Bson>,
    looked_at: u64,
    changed: u64,
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
    Ok(Done { notices: vec![notice] })
}

async fn to_the_end(
    store: &Mongo,
    step: &UpdateInBatches,
    job: &Job<'_>,
    at: &mut At,
) -> Result<(), Failure> {
    let total = total(store, step).await?;
    loop {
        let ids = next_ids(store, step, at.last.as_ref(), job).await?;
        let Some(last) = ids.last().cloned() else { return Ok(()) };
        at.looked_at += ids.len() as u64;
        at.changed += effect!("mongo_batch", update(store, step, ids, job))?;
        at.last = Some(last);
        let progress = Progress { done: at.looked_at, total: Some(total.max(at.looked_at)) };
        job.pulse.reached(&at.position(), progress).await.map_err(|_| stopped(step))?;
    }
}

fn stopped(step: &UpdateInBatches) -> Failure {
    in_doubt(StoreError::refused(format!("updateInBatches {} was stopped", step.collection)))
}

/// From the collection's metadata: an estimate, at no cost.
async fn total(store: &Mongo, step: &UpdateInBatches) -> Result<u64, StoreError> {
    let reply = store.ask(&store.db, doc! { "count": &step.collection }).await?;
    Ok(count(&reply, "n"))
}

/// The next `_id`s behind `last`; none at the end.
async fn next_ids(
    store: &Mongo,
    step: &UpdateInBatches,
    last: Option<&Bson>,
    job: &Job<'_>,
) -> Result<Vec<Bson>, Failure> {
    let last = match last {
        None => return find_ids(store, step, doc! {}, step.batch, job).await,
        Some(Bson::MaxKey) => return Ok(Vec::new()),
        Some(last) => last,
    };
    // `min` includes its bound: one more is read, and the bound left out if it is still there.
    let from = doc! { "min": { "_id": last.clone() } };
    let mut ids = find_ids(store, step, from, step.batch + 1, job).await?;
    if ids.first().is_some_and(|first| catalog::same_in_order(last, first)) {
        ids.remove(0);
    }
    ids.truncate(step.batch as usize);
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

/// Updates those documents of `ids` that match the filter; says how many were changed.
async fn update(
    store: &Mongo,
    step: &UpdateInBatches,
    ids: Vec<Bson>,
    job: &Job<'_>,
) -> Result<u64, Failure> {
    let mut one = doc! {
        "q": { "$and": [{ "_id": { "$in": ids } }, step.filter.clone()] },
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
