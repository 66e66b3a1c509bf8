//! `insert`: documents that bring their own `_id` can be looked for, so that one that failed in the middle
//! goes on with those that are missing; and what is said of a write that was done in part.

use bson::{Bson, Document, doc};
use serde_json::json;

use super::Mongo;
use super::apply::{count, done, exchange, failure_in};
use super::catalog::{self, equal};
use super::errors;
use super::steps::Command;
use crate::store_error::{StoreError, StoreErrorKind};
use crate::stores::contract::{Before, Done, Effect, Failure, Job, Position, Probe};

/// How many documents are asked for at once.
const AT_ONCE: usize = 1000;

/// How many documents without an `_id` are looked for one by one.
const LOOKED_FOR: usize = 100;

/// How a collection stands towards the documents of an `insert`.
struct Held {
    /// The numbers of those that are not there.
    missing: Vec<usize>,
    /// Those that are there and different: their `_id`, and the fields that differ.
    different: Vec<(Bson, Vec<String>)>,
}

/// How the database stands towards an `insert`: documents that are there and equal need not be inserted.
pub(super) async fn before(store: &Mongo, step: &Command) -> Result<Before, StoreError> {
    let Some(wanted) = with_ids(&step.command) else { return Ok(Before::absent()) };
    let held = held(store, step, &wanted).await?;
    if let Some((id, fields)) = held.different.first() {
        let (id, fields) = (shown(id), fields.join(", "));
        return Ok(Before::differs(
            format!("the document {id} as in the migration"),
            format!(
                "{} with the same `_id`, the first {id} with another {fields}",
                held.different()
            ),
        ));
    }
    Ok(match (held.missing.len(), wanted.len()) {
        (0, 1..) => Before::found(),
        (missing, all) if missing == all => Before::absent(),
        (missing, all) => Before::replaces(json!({ "there": all - missing })),
    })
}

/// What became of an `insert`.
pub(super) async fn probe(store: &Mongo, step: &Command) -> Result<Probe, StoreError> {
    let collection = step.command.get_str("insert").unwrap_or_default();
    let Some(wanted) = with_ids(&step.command) else {
        let there = without_ids(store, step).await?;
        return Ok(Probe::Unknown(format!(
            "documents without an `_id` of their own cannot be told from others{there}"
        )));
    };
    let held = held(store, step, &wanted).await?;
    if let Some((id, fields)) = held.different.first() {
        return Ok(Probe::Unknown(format!(
            "of the {} documents, {} are missing in {collection} and {} with the same `_id`, the first {} \
             with another {}",
            wanted.len(),
            held.missing.len(),
            held.different(),
            shown(id),
            fields.join(", ")
        )));
    }
    let there = wanted.len() - held.missing.len();
    Ok(match (there, held.missing.len()) {
        (_, 0) => Probe::Done,
        (0, _) => Probe::NotDone,
        (there, _) => Probe::Partial(Position(json!({ "there": there }))),
    })
}

/// The numbers of the documents that are to be sent: all, or those that are missing where some were seen.
async fn to_send(store: &Mongo, step: &Command, job: &Job<'_>) -> Result<Vec<usize>, StoreError> {
    let all = (0..documents(&step.command).len()).collect();
    let seen = job.resume.is_some() || !job.before.value["there"].is_null();
    match with_ids(&step.command).filter(|_| seen) {
        Some(wanted) => Ok(held(store, step, &wanted).await?.missing),
        None => Ok(all),
    }
}

/// Inserts what is not there yet. The server inserts up to the first that fails, and says how many.
pub(super) async fn apply(store: &Mongo, step: &Command, job: &Job<'_>) -> Result<Done, Failure> {
    let all = documents(&step.command);
    let sent = to_send(store, step, job).await?;
    if sent.is_empty() && !all.is_empty() {
        return Ok(Done::default());
    }
    let mut command = step.command.clone();
    command.insert("documents", sent.iter().map(|at| all[*at].clone()).collect::<Vec<Bson>>());
    let reply = exchange(store, &store.db, command, job).await?;
    let inserted = all.len() - sent.len() + count(&reply, "n") as usize;
    let failure = failure_in(&reply, |source| {
        let effect = match (inserted, with_ids(&step.command)) {
            (0, _) => Effect::None,
            (_, Some(_)) if reply.contains_key("writeErrors") => Effect::Part,
            (_, _) => Effect::Unknown,
        };
        let failed = errors::failed_writes(&reply);
        match failed.first().and_then(|at| sent.get(*at)) {
            Some(at) => (effect, in_part(source, (all, *at), inserted, effect)),
            None => (effect, source),
        }
    });
    match failure {
        None => Ok(done(&reply)),
        Some(failure) => Err(failure),
    }
}

/// Says how many documents of `all` are there, and which one was refused.
fn in_part(
    source: StoreError,
    (all, at): (&[Bson], usize),
    inserted: usize,
    effect: Effect,
) -> StoreError {
    let id = all[at].as_document().and_then(|document| document.get("_id"));
    let id = id.map(|id| format!(" ({})", shown(id))).unwrap_or_default();
    let message = format!(
        "{inserted} of {} documents {} inserted, the {}{id} failed: {}",
        all.len(),
        if inserted == 1 { "was" } else { "were" },
        errors::ordinal(at + 1),
        source.message
    );
    let source = StoreError { message, ..source };
    if effect == Effect::Unknown { source.hint(BY_HAND) } else { source }
}

const BY_HAND: &str = "documents without an `_id` of their own cannot be told from others, so that this is for a person: \
     delete those that were inserted and settle the step as not done, or insert the rest and settle it as done";

/// The documents of an `insert`.
fn documents(command: &Document) -> &[Bson] {
    command.get_array("documents").map(Vec::as_slice).unwrap_or_default()
}

/// The documents, where each brings its own `_id`.
pub(super) fn with_ids(command: &Document) -> Option<Vec<&Document>> {
    let documents = documents(command).iter().map(Bson::as_document);
    documents.map(|document| document.filter(|it| it.contains_key("_id"))).collect()
}

/// Looks for the documents that are `wanted`.
async fn held(store: &Mongo, step: &Command, wanted: &[&Document]) -> Result<Held, StoreError> {
    let collection = step.command.get_str("insert").unwrap_or_default();
    let mut held = Held { missing: Vec::new(), different: Vec::new() };
    for (chunk, some) in wanted.chunks(AT_ONCE).enumerate() {
        let ids: Vec<&Bson> = some.iter().filter_map(|document| document.get("_id")).collect();
        let filter =
            doc! { "_id": { "$in": ids.iter().map(|id| (*id).clone()).collect::<Vec<_>>() } };
        let find =
            doc! { "find": collection, "filter": filter, "collation": { "locale": "simple" } };
        let live = catalog::documents(&store.db, find).await?;
        for (at, document) in some.iter().enumerate() {
            let id = document.get("_id").unwrap_or(&Bson::Null);
            let same_id = |live: &&Document| live.get("_id").is_some_and(|other| equal(other, id));
            match live.iter().find(same_id) {
                None => held.missing.push(chunk * AT_ONCE + at),
                Some(live) => {
                    let fields = differing(document, live);
                    if !fields.is_empty() {
                        held.different.push((id.clone(), fields));
                    }
                }
            }
        }
    }
    Ok(held)
}

impl Held {
    /// How many are different, with the verb.
    fn different(&self) -> String {
        match self.different.len() {
            1 => "1 document is there".to_string(),
            many => format!("{many} documents are there"),
        }
    }
}

/// The names of the fields in which two documents differ.
fn differing(wanted: &Document, live: &Document) -> Vec<String> {
    let names = wanted.keys().chain(live.keys().filter(|name| !wanted.contains_key(name)));
    let same = |name: &&String| match (wanted.get(*name), live.get(*name)) {
        // The server puts the time in.
        (Some(Bson::Timestamp(empty)), Some(Bson::Timestamp(_))) if empty.time == 0 => true,
        (Some(wanted), Some(live)) => equal(wanted, live),
        (_, _) => false,
    };
    names.filter(|name| !same(name)).map(|name| format!("`{name}`")).collect()
}

/// How many of the documents, none of which has an `_id`, have an equal in the collection.
async fn without_ids(store: &Mongo, step: &Command) -> Result<String, StoreError> {
    let collection = step.command.get_str("insert").unwrap_or_default();
    let wanted = documents(&step.command);
    if wanted.len() > LOOKED_FOR {
        return Ok(String::new());
    }
    let mut there = 0;
    for document in wanted.iter().filter_map(Bson::as_document) {
        let fields = document.iter().map(|(name, value)| {
            // Not as a path or an operator, whatever the name.
            let field = doc! { "$getField": { "field": { "$literal": name }, "input": "$$ROOT" } };
            Bson::from(doc! { "$eq": [field, { "$literal": value.clone() }] })
        });
        let query = doc! { "$expr": { "$and": fields.collect::<Vec<Bson>>() } };
        let ask = doc! { "count": collection, "query": query, "limit": 1 };
        match store.ask(&store.db, ask).await {
            Ok(reply) => there += count(&reply, "n"),
            // Servers before 5.0 do not know `$getField`: the figure is no more than a help.
            Err(error) if error.kind == StoreErrorKind::Refused => return Ok(String::new()),
            Err(error) => return Err(error),
        }
    }
    Ok(format!("; {there} of the {} have an equal in {collection}", wanted.len()))
}

/// An `_id` for people.
fn shown(id: &Bson) -> String {
    let text = id.clone().into_relaxed_extjson().to_string();
    match text.char_indices().nth(80) {
        Some((end, _)) => format!("{{ _id: {}… }}", &text[..end]),
        None => format!("{{ _id: {text} }}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_differ_by_their_values_alone() {
        let live = doc! { "_id": 1, "b": 2.0, "a": { "y": 1, "x": 2 } };
        assert_eq!(differing(&doc! { "a": { "x": 2, "y": 1 }, "b": 2, "_id": 1 }, &live), [""; 0]);
        assert_eq!(differing(&doc! { "_id": 1, "b": 3, "c": 1 }, &live), ["`b`", "`c`", "`a`"]);
    }
}
