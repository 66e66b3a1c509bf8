//! What a step deletes or overwrites: in words for the plan, as far as its text tells; and with figures, as
//! the server tells them.

use bson::{Bson, Document, doc};
use mongodb::Database;

use super::apply::count;
use super::catalog::{self, Collection};
use super::steps::{CollMod, Command, CreateIndexes, Step, UpdateInBatches};
use super::{Mongo, commands};
use crate::store_error::StoreError;
use crate::stores::contract::Loss;

/// What the command `name` deletes, in words.
pub(super) fn in_words(name: &str, command: &Document) -> Vec<String> {
    let of = command.get_str(name).unwrap_or_default();
    let words = match name {
        "dropDatabase" => "deletes the database with all its documents".to_string(),
        "delete" if statements(command, "deletes").any(deletes_all) => {
            format!("deletes all documents of {of}")
        }
        "delete" => format!("deletes documents of {of}"),
        "findAndModify" if is_set(command, "remove") => format!("deletes a document of {of}"),
        "convertToCapped" => {
            format!("deletes the documents of {of} that its new size has no room for")
        }
        "aggregate" => match written(command) {
            Some(Written { place, replaces: true, .. }) => {
                format!("replaces the collection {place} with all its documents")
            }
            Some(Written { place, overwrites: true, .. }) => {
                format!("overwrites documents of {place}")
            }
            Some(_) | None => return Vec::new(),
        },
        "mapReduce" if command.get("out").is_some_and(|out| !is_inline(out)) => {
            "replaces or overwrites documents of its output".to_string()
        }
        "applyOps" | "bulkWrite" => "may delete documents".to_string(),
        "dropAllUsersFromDatabase" => "deletes every user of the database".to_string(),
        "dropAllRolesFromDatabase" => "deletes every role of the database".to_string(),
        _ => return Vec::new(),
    };
    vec![words]
}

/// The same of a `collMod`.
pub(super) fn of_coll_mod(step: &CollMod) -> Vec<String> {
    let shrinks = CAPS.iter().any(|cap| step.changes.contains_key(cap));
    let words = || "where it makes the collection smaller, the oldest documents go".to_string();
    shrinks.then(words).into_iter().collect()
}

const CAPS: [&str; 2] = ["cappedSize", "cappedMax"];

fn statements<'c>(
    command: &'c Document,
    name: &str,
) -> impl Iterator<Item = &'c Document> + use<'c> {
    command.get_array(name).into_iter().flatten().filter_map(Bson::as_document)
}

fn deletes_all(delete: &Document) -> bool {
    let filter = delete.get_document("q");
    filter.is_ok_and(Document::is_empty) && delete.get("limit").is_none_or(is_zero)
}

pub(super) fn is_zero(limit: &Bson) -> bool {
    catalog::equal(limit, &Bson::from(0))
}

fn is_set(command: &Document, name: &str) -> bool {
    command.get(name).is_some_and(|value| *value != Bson::Boolean(false) && !is_zero(value))
}

fn is_inline(out: &Bson) -> bool {
    out.as_document().is_some_and(|out| out.contains_key("inline"))
}

/// Where an aggregation writes to.
struct Written {
    db: Option<String>,
    collection: String,
    place: String,
    /// Whether all that was there goes.
    replaces: bool,
    overwrites: bool,
}

fn written(command: &Document) -> Option<Written> {
    let last = command.get_array("pipeline").ok()?.last()?.as_document()?;
    let (stage, target) = last.iter().next()?;
    let into = match (stage.as_str(), target) {
        ("$out", target) => target,
        ("$merge", Bson::Document(merge)) => merge.get("into")?,
        ("$merge", target) => target,
        (_, _) => return None,
    };
    let (db, collection) = match into {
        Bson::String(collection) => (None, collection.clone()),
        Bson::Document(into) => {
            let db = into.get_str("db").ok().map(str::to_string);
            (db, into.get_str("coll").ok()?.to_string())
        }
        _ => return None,
    };
    let matched = target.as_document().and_then(|merge| merge.get_str("whenMatched").ok());
    let place = db.as_ref().map_or(collection.clone(), |db| format!("{db}.{collection}"));
    let replaces = stage == "$out";
    let overwrites = replaces || !matches!(matched, Some("keepExisting" | "fail"));
    Some(Written { db, collection, place, replaces, overwrites })
}

/// The data that `step` would lose.
pub(super) async fn holds(store: &Mongo, step: &Step) -> Result<Vec<Loss>, StoreError> {
    match step {
        Step::Drop(step) => in_collection(store, &store.db, &step.collection).await,
        Step::Rename(step) if step.drop_target => {
            let (db, collection) = store.place(&step.to);
            in_collection(store, &db, &collection).await
        }
        Step::CollMod(step) => {
            let mut losses = beyond_size(store, step).await?;
            losses.extend(expiring_by_change(store, step).await?);
            Ok(losses)
        }
        Step::CreateIndexes(step) => expiring_by_indexes(store, step).await,
        Step::UpdateInBatches(step) => walked(store, step).await,
        Step::Command(step) => of_command(store, step).await,
        Step::Create(_) | Step::DropIndexes(_) | Step::Rename(_) => Ok(Vec::new()),
    }
}

async fn of_command(store: &Mongo, step: &Command) -> Result<Vec<Loss>, StoreError> {
    match step.name.as_str() {
        "dropDatabase" => in_database(store).await,
        "delete" => deleted(store, step).await,
        "update" => updated(store, step).await,
        "aggregate" => aggregated(store, step).await,
        "findAndModify" if is_set(&step.command, "remove") => found_and_removed(store, step).await,
        name if may_delete(name) => Ok(vec![unseen(name)]),
        _ => Ok(Vec::new()),
    }
}

fn unseen(name: &str) -> Loss {
    let what = format!("what the command {name} does to data cannot be seen");
    Loss { what, known: false }
}

/// Commands that may delete or overwrite documents in ways that their text does not show; also those that
/// we have not heard of.
fn may_delete(command: &str) -> bool {
    !commands::is_known(command)
        || matches!(
            command,
            "applyOps"
                | "cloneCollectionAsCapped"
                | "convertToCapped"
                | "findAndModify"
                | "mapReduce"
        )
}

fn loss(what: String, documents: u64) -> Option<Loss> {
    let noun = if documents == 1 { "document" } else { "documents" };
    (documents > 0).then(|| Loss { what: format!("{what} {documents} {noun}"), known: true })
}

async fn in_collection(store: &Mongo, db: &Database, name: &str) -> Result<Vec<Loss>, StoreError> {
    let documents = held(store, db, name).await?;
    Ok(loss(format!("collection {name} holds"), documents).into_iter().collect())
}

/// How many documents a collection holds; a view holds none.
async fn held(store: &Mongo, db: &Database, name: &str) -> Result<u64, StoreError> {
    match catalog::collection(db, name).await? {
        Some(found) if !found.is_view => {}
        Some(_) | None => return Ok(0),
    }
    match count(&store.ask(db, doc! { "count": name }).await?, "n") {
        // The metadata may be wrong after a crash; nothing is only believed if it is seen.
        0 => {
            let any = doc! { "_id": { "$exists": true } };
            Ok(count(&store.ask(db, doc! { "count": name, "query": any }).await?, "n"))
        }
        documents => Ok(documents),
    }
}

async fn in_database(store: &Mongo) -> Result<Vec<Loss>, StoreError> {
    let mut documents = 0;
    let collections = catalog::collections(&store.db).await?;
    let real: Vec<&Collection> = collections.iter().filter(|found| !found.is_view).collect();
    for collection in &real {
        documents += held(store, &store.db, &collection.name).await?;
    }
    let what = format!("database {} holds {} collections with", store.db.name(), real.len());
    Ok(loss(what, documents).into_iter().collect())
}

/// How many documents of a collection fit a filter, as a write with this collation sees it.
async fn matching(
    store: &Mongo,
    collection: &str,
    filter: Document,
    collation: Option<&Document>,
) -> Result<u64, StoreError> {
    let mut command = doc! { "count": collection, "query": filter };
    if let Some(collation) = collation {
        command.insert("collation", collation.clone());
    }
    Ok(count(&store.ask(&store.db, command).await?, "n"))
}

async fn deleted(store: &Mongo, step: &Command) -> Result<Vec<Loss>, StoreError> {
    let collection = step.command.get_str("delete").unwrap_or_default();
    let mut documents = 0;
    for delete in statements(&step.command, "deletes") {
        let filter = delete.get_document("q").cloned().unwrap_or_default();
        let collation = delete.get_document("collation").ok();
        let matching = matching(store, collection, filter, collation).await?;
        let one = !delete.get("limit").is_none_or(is_zero);
        documents += if one { matching.min(1) } else { matching };
    }
    Ok(loss(format!("the delete from {collection} removes"), documents).into_iter().collect())
}

async fn found_and_removed(store: &Mongo, step: &Command) -> Result<Vec<Loss>, StoreError> {
    let collection = step.command.get_str(&step.name).unwrap_or_default();
    let filter = step.command.get_document("query").cloned().unwrap_or_default();
    let collation = step.command.get_document("collation").ok();
    let matching = matching(store, collection, filter, collation).await?;
    let what = format!("findAndModify removes from {collection}");
    Ok(loss(what, matching.min(1)).into_iter().collect())
}

async fn aggregated(store: &Mongo, step: &Command) -> Result<Vec<Loss>, StoreError> {
    let Some(written) = written(&step.command).filter(|written| written.overwrites) else {
        return Ok(Vec::new());
    };
    let db = match &written.db {
        Some(name) => store.client.database(name),
        None => store.db.clone(),
    };
    let documents = held(store, &db, &written.collection).await?;
    let what = match written.replaces {
        true => format!("the aggregation replaces {}, which holds", written.place),
        false => format!("the aggregation may overwrite {}, which holds", written.place),
    };
    Ok(loss(what, documents).into_iter().collect())
}

/// What the server deletes once a collection, or an index of it, has the lifetime that `step` gives it.
async fn expiring_by_change(store: &Mongo, step: &CollMod) -> Result<Vec<Loss>, StoreError> {
    if let Ok(index) = step.changes.get_document("index") {
        let Some(seconds) = lifetime(index) else { return Ok(Vec::new()) };
        let live = catalog::indexes(&store.db, &step.collection).await?;
        let meant = |live: &&catalog::Index| match index.get_document("keyPattern") {
            Ok(key) => live.spec.get_document("key").ok() == Some(key),
            Err(_) => index.get_str("name").ok() == Some(live.name.as_str()),
        };
        let key = live.iter().find(meant).and_then(|live| live.spec.get_document("key").ok());
        let Some(field) = key.and_then(|key| key.keys().next()) else { return Ok(Vec::new()) };
        return older(store, &step.collection, field, seconds).await;
    }
    let Some(seconds) = lifetime(&step.changes) else { return Ok(Vec::new()) };
    let Some(live) = catalog::collection(&store.db, &step.collection).await? else {
        return Ok(Vec::new());
    };
    let time =
        live.options.get_document("timeseries").and_then(|series| series.get_str("timeField"));
    older(store, &step.collection, time.unwrap_or("_id"), seconds).await
}

async fn expiring_by_indexes(store: &Mongo, step: &CreateIndexes) -> Result<Vec<Loss>, StoreError> {
    let mut losses = Vec::new();
    for index in &step.indexes {
        let field = index.get_document("key").ok().and_then(|key| key.keys().next());
        if let (Some(seconds), Some(field)) = (lifetime(index), field) {
            losses.extend(older(store, &step.collection, field, seconds).await?);
        }
    }
    Ok(losses)
}

fn lifetime(of: &Document) -> Option<i64> {
    match of.get("expireAfterSeconds")? {
        Bson::Int32(seconds) => Some(i64::from(*seconds)),
        Bson::Int64(seconds) => Some(*seconds),
        // Whole seconds are all that the server takes.
        Bson::Double(seconds) => Some(*seconds as i64),
        _ => None,
    }
}

/// The documents whose `field` holds a date, in a list too, that is older than `seconds`.
async fn older(
    store: &Mongo,
    collection: &str,
    field: &str,
    seconds: i64,
) -> Result<Vec<Loss>, StoreError> {
    let limit = crate::clock::now().timestamp_millis().saturating_sub(seconds.saturating_mul(1000));
    let limit = bson::DateTime::from_millis(limit);
    let query = doc! { field: { "$lt": limit } };
    let documents =
        count(&store.ask(&store.db, doc! { "count": collection, "query": query }).await?, "n");
    let what =
        format!("after {seconds} s the server deletes from {collection} what is older by {field}:");
    Ok(loss(what, documents).into_iter().collect())
}

/// What a capped collection has no room for once it is smaller.
async fn beyond_size(store: &Mongo, step: &CollMod) -> Result<Vec<Loss>, StoreError> {
    let wanted = |cap: &str| step.changes.get(cap).map(|_| count(&step.changes, cap));
    let (size, max) = (wanted("cappedSize"), wanted("cappedMax").filter(|max| *max > 0));
    if size.is_none() && max.is_none() {
        return Ok(Vec::new());
    }
    let Some(live) = catalog::collection(&store.db, &step.collection).await? else {
        return Ok(Vec::new());
    };
    let stats = store.ask(&store.db, doc! { "collStats": &step.collection }).await?;
    let is_more = |cap: Option<u64>, has: u64| cap.is_some_and(|cap| has > cap);
    // By what the collection takes, not by what it may: documents may have come meanwhile.
    let goes = is_more(size, count(&stats, "size")) || is_more(max, count(&stats, "count"));
    let what = format!(
        "collection {} holds {} documents of {} bytes, more than it then has room for",
        live.name,
        count(&stats, "count"),
        count(&stats, "size")
    );
    Ok(goes.then_some(Loss { what, known: true }).into_iter().collect())
}

async fn updated(store: &Mongo, step: &Command) -> Result<Vec<Loss>, StoreError> {
    let collection = step.command.get_str("update").unwrap_or_default();
    let mut documents = 0;
    for update in statements(&step.command, "updates") {
        let filter = update.get_document("q").cloned().unwrap_or_default();
        let Some(change) = update.get("u") else { continue };
        let collation = update.get_document("collation").ok();
        let lost = overwritten(store, collection, (filter, change), collation).await?;
        documents += if is_set(update, "multi") { lost } else { lost.min(1) };
    }
    let what = format!("the update of {collection} overwrites or removes values in");
    Ok(loss(what, documents).into_iter().collect())
}

async fn walked(store: &Mongo, step: &UpdateInBatches) -> Result<Vec<Loss>, StoreError> {
    let change = (step.filter.clone(), &step.update);
    let documents = overwritten(store, &step.collection, change, step.collation.as_ref()).await?;
    let what = format!("updateInBatches of {} overwrites or removes values in", step.collection);
    Ok(loss(what, documents).into_iter().collect())
}

/// In how many documents an update replaces or removes a value that is there and different.
async fn overwritten(
    store: &Mongo,
    collection: &str,
    (filter, change): (Document, &Bson),
    collation: Option<&Document>,
) -> Result<u64, StoreError> {
    let losing = losing(change);
    if losing.is_empty() {
        return Ok(0);
    }
    let filter = doc! { "$and": [filter, { "$or": losing }] };
    matching(store, collection, filter, collation).await
}

/// Filters of which a document fits one if `change` takes a value from it.
fn losing(change: &Bson) -> Vec<Document> {
    let all = || vec![doc! {}];
    match change {
        Bson::Document(change) if change.keys().any(|name| name.starts_with('$')) => {
            change.iter().flat_map(|(operator, fields)| by_operator(operator, fields)).collect()
        }
        Bson::Array(stages) => stages
            .iter()
            .flat_map(|stage| match stage.as_document().and_then(|stage| stage.iter().next()) {
                Some((name, fields)) => by_stage(name, fields),
                None => all(),
            })
            .collect(),
        // A document in the place of the one that was there.
        _ => all(),
    }
}

fn by_operator(operator: &str, fields: &Bson) -> Vec<Document> {
    let Some(fields) = fields.as_document() else { return vec![doc! {}] };
    let one = |(field, value): (&String, &Bson)| match operator {
        "$setOnInsert" | "$addToSet" => None,
        "$push" => value
            .as_document()
            .is_some_and(|push| push.contains_key("$slice"))
            .then(|| there(field)),
        // Which element is meant depends on more than the filter.
        _ if field.contains('$') => Some(doc! {}),
        "$set" => Some(doc! { "$expr": { "$and": [
            { "$ne": [{ "$type": format!("${field}") }, "missing"] },
            { "$ne": [format!("${field}"), { "$literal": value.clone() }] },
        ] } }),
        "$rename" => Some(value.as_str().map_or_else(Document::new, there)),
        "$pop" | "$pull" | "$pullAll" => Some(doc! { field: { "$exists": true, "$ne": [] } }),
        _ => Some(there(field)),
    };
    fields.iter().filter_map(one).collect()
}

fn by_stage(stage: &str, fields: &Bson) -> Vec<Document> {
    match (stage, fields) {
        ("$set" | "$addFields", Bson::Document(fields)) => {
            fields.keys().map(|field| there(field)).collect()
        }
        ("$unset", Bson::String(field)) => vec![there(field)],
        ("$unset", Bson::Array(fields)) => {
            fields.iter().filter_map(Bson::as_str).map(there).collect()
        }
        (_, _) => vec![doc! {}],
    }
}

fn there(field: &str) -> Document {
    doc! { field: { "$exists": true } }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_update_that_only_adds_loses_nothing() {
        for change in [
            doc! { "$push": { "a": 1 } },
            doc! { "$addToSet": { "a": 1 } },
            doc! { "$setOnInsert": { "a": 1 } },
        ] {
            assert_eq!(losing(&Bson::from(change)), []);
        }
    }

    #[test]
    fn where_an_aggregation_writes_is_told() {
        for (stage, words) in [
            (doc! { "$out": "b" }, "replaces the collection b with all its documents"),
            (
                doc! { "$out": { "db": "d", "coll": "b" } },
                "replaces the collection d.b with all its documents",
            ),
            (doc! { "$merge": "b" }, "overwrites documents of b"),
            (doc! { "$merge": { "into": "b", "whenMatched": "fail" } }, ""),
            (doc! { "$match": {} }, ""),
        ] {
            let command = doc! { "aggregate": "a", "pipeline": [stage], "cursor": {} };
            assert_eq!(in_words("aggregate", &command).join(""), words);
        }
    }
}
