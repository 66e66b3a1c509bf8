//! What lives in a database, as the server lists it, in a normal form in which what was asked for
//! and what is there can be compared: without the server's defaults and internals.

use std::time::Duration;

use bson::{Bson, Document, doc};
use futures_util::TryStreamExt;
use mongodb::Database;
use mongodb::error::Error;
use serde_json::Value;

use super::errors;
use crate::store_error::StoreError;

/// A collection or view with its options in normal form.
#[derive(Clone, Debug)]
pub(super) struct Collection {
    pub name: String,
    pub is_view: bool,
    pub options: Document,
}

/// An index with its definition in normal form, `key` and `name` included.
#[derive(Clone, Debug)]
pub(super) struct Index {
    pub name: String,
    pub spec: Document,
    /// Whether it is still being built.
    pub building: bool,
}

/// The collection or view `name`, if there is one.
pub(super) async fn collection(
    db: &Database,
    name: &str,
) -> Result<Option<Collection>, StoreError> {
    Ok(list(db, doc! { "name": name }).await?.into_iter().next())
}

/// All collections and views but the server's own.
pub(super) async fn collections(db: &Database) -> Result<Vec<Collection>, StoreError> {
    list(db, doc! { "name": { "$not": { "$regex": "^system\\." } } }).await
}

async fn list(db: &Database, filter: Document) -> Result<Vec<Collection>, StoreError> {
    let command = doc! { "listCollections": 1, "filter": filter };
    let found = rows(db, command).await.map_err(|error| errors::from_driver(&error))?;
    Ok(found.iter().map(as_collection).collect())
}

fn as_collection(row: &Document) -> Collection {
    Collection {
        name: row.get_str("name").unwrap_or_default().to_string(),
        is_view: row.get_str("type").is_ok_and(|kind| kind == "view"),
        options: row.get_document("options").map(normal_options).unwrap_or_default(),
    }
}

/// The indexes of a collection, the one on `_id` first where there is one; none where there is no
/// such collection.
pub(super) async fn indexes(db: &Database, collection: &str) -> Result<Vec<Index>, StoreError> {
    // Without `includeBuildUUIDs` an index that is still being built looks like a finished one.
    let command = doc! { "listIndexes": collection, "includeBuildUUIDs": true };
    let mut found = rows(db, command).await;
    if let Err(error) = &found
        && errors::code(error).is_some_and(|code| code != errors::NAMESPACE_NOT_FOUND)
    {
        found = rows(db, doc! { "listIndexes": collection }).await;
    }
    match found {
        Ok(found) => Ok(found.iter().map(as_index).collect()),
        Err(error) if errors::code(&error) == Some(errors::NAMESPACE_NOT_FOUND) => Ok(Vec::new()),
        Err(error) => Err(errors::from_driver(&error)),
    }
}

fn as_index(row: &Document) -> Index {
    let (spec, building) = match row.get_document("spec") {
        Ok(spec) => (spec, true),
        Err(_) => (row, row.contains_key("indexBuildInfo")),
    };
    let name = spec.get_str("name").unwrap_or_default().to_string();
    Index { name, spec: normal_index(spec), building }
}

/// A list of names and definitions comes at once, or the server hangs: the driver itself would
/// wait forever.
const PATIENCE: Duration = Duration::from_secs(30);

/// The documents that a `find` gives.
pub(super) async fn documents(db: &Database, find: Document) -> Result<Vec<Document>, StoreError> {
    rows(db, find).await.map_err(|error| errors::from_driver(&error))
}

async fn rows(db: &Database, command: Document) -> Result<Vec<Document>, Error> {
    let listed = async { db.run_cursor_command(command).await?.try_collect().await };
    match tokio::time::timeout(PATIENCE, listed).await {
        Ok(listed) => listed,
        Err(_) => Err(Error::from(std::io::Error::new(
            std::io::ErrorKind::TimedOut,
            format!("the server has not answered for {PATIENCE:?}"),
        ))),
    }
}

/// The options of `create` without what the server adds by itself.
pub(super) fn normal_options(options: &Document) -> Document {
    let mut normal = options.clone();
    for (key, default) in [
        ("validationLevel", Bson::from("strict")),
        ("validationAction", Bson::from("error")),
        ("validator", Bson::from(doc! {})),
        ("capped", Bson::from(false)),
        ("changeStreamPreAndPostImages", Bson::from(doc! { "enabled": false })),
        ("recordPreImages", Bson::from(false)),
    ] {
        remove_default(&mut normal, key, &default);
    }
    for internal in ["autoIndexId", "flags", "uuid", "temp"] {
        normal.remove(internal);
    }
    normal_collation(&mut normal);
    normal_time_series(&mut normal);
    if let Ok(clustered) = normal.get_document_mut("clusteredIndex") {
        clustered.remove("v");
        remove_default(clustered, "name", &Bson::from("_id_"));
    }
    // Servers before 6.2 round the size of a capped collection up to the next 256.
    if let Some(size) = normal.get("size").and_then(integer) {
        normal.insert("size", (size + 255) / 256 * 256);
    }
    normal
}

fn remove_default(document: &mut Document, key: &str, default: &Bson) {
    if document.get(key).is_some_and(|value| equal(value, default)) {
        document.remove(key);
    }
}

/// The version of the collation library changes with an upgrade; `simple` is the same as none.
fn normal_collation(document: &mut Document) {
    if let Ok(collation) = document.get_document_mut("collation") {
        collation.remove("version");
        if collation.get_str("locale").is_ok_and(|locale| locale == "simple") {
            document.remove("collation");
        }
    }
}

fn normal_time_series(options: &mut Document) {
    if let Ok(series) = options.get_document_mut("timeseries") {
        if series.contains_key("granularity") {
            // Follows from the granularity.
            series.remove("bucketMaxSpanSeconds");
            series.remove("bucketRoundingSeconds");
        }
        remove_default(series, "granularity", &Bson::from("seconds"));
    }
}

/// An index definition without what the server adds by itself.
pub(super) fn normal_index(spec: &Document) -> Document {
    let mut normal = spec.clone();
    for internal in ["v", "ns", "background", "textIndexVersion", "2dsphereIndexVersion"] {
        normal.remove(internal);
    }
    for (key, default) in [
        ("unique", Bson::from(false)),
        ("sparse", Bson::from(false)),
        ("hidden", Bson::from(false)),
        ("prepareUnique", Bson::from(false)),
        ("default_language", Bson::from("english")),
        ("language_override", Bson::from("language")),
        ("storageEngine", Bson::from(doc! {})),
        ("bits", Bson::from(26)),
        ("min", Bson::from(-180)),
        ("max", Bson::from(180)),
    ] {
        remove_default(&mut normal, key, &default);
    }
    normal_collation(&mut normal);
    normal_text(&mut normal);
    normal
}

/// The server keeps the fields of a text index as weights, and one pair of names for all of them.
fn normal_text(index: &mut Document) {
    let Ok(key) = index.get_document("key").cloned() else { return };
    let is_text = |value: &Bson| value.as_str() == Some("text");
    let fields: Vec<&String> = key
        .iter()
        .filter(|(name, value)| is_text(value) && *name != "_fts")
        .map(|(name, _)| name)
        .collect();
    if fields.is_empty() {
        return;
    }
    let mut weights = index.get_document("weights").cloned().unwrap_or_default();
    for field in &fields {
        if !weights.contains_key(field) {
            weights.insert(field.as_str(), 1);
        }
    }
    let mut kept = Document::new();
    for (name, value) in &key {
        match is_text(value) {
            true => {
                kept.insert("_fts", "text");
                kept.insert("_ftsx", 1);
            }
            false => {
                kept.insert(name.as_str(), value.clone());
            }
        }
    }
    index.insert("key", kept);
    index.insert("weights", weights);
}

/// What differs between what is `wanted` and what is `live`, both in normal form: each side with
/// the differing attributes alone.
pub(super) fn differences(wanted: &Document, live: &Document) -> Option<(String, String)> {
    let names = wanted.keys().chain(live.keys().filter(|name| !wanted.contains_key(name)));
    let differing: Vec<&String> =
        names.filter(|name| !same_attribute(name, wanted.get(name), live.get(name))).collect();
    if differing.is_empty() {
        return None;
    }
    Some((side(wanted, &differing), side(live, &differing)))
}

fn side(document: &Document, names: &[&String]) -> String {
    let shown = names.iter().map(|name| match document.get(name) {
        Some(value) => format!("{name} {}", value.clone().into_relaxed_extjson()),
        None => format!("no {name}"),
    });
    shown.collect::<Vec<_>>().join(", ")
}

/// Whether one attribute is the same on both sides.
pub(super) fn same_attribute(name: &str, wanted: Option<&Bson>, live: Option<&Bson>) -> bool {
    match (wanted, live) {
        (Some(wanted), Some(live)) => match name {
            "key" | "pipeline" => same_in_order(wanted, live),
            "collation" | "timeseries" | "clusteredIndex" => covered(wanted, live),
            _ => equal(wanted, live),
        },
        (None, None) => true,
        (Some(_), None) | (None, Some(_)) => false,
    }
}

/// Whether all that `wanted` says is in `live`, which may say more.
fn covered(wanted: &Bson, live: &Bson) -> bool {
    match (wanted, live) {
        (Bson::Document(wanted), Bson::Document(live)) => wanted
            .iter()
            .all(|(name, value)| live.get(name).is_some_and(|other| equal(value, other))),
        (wanted, live) => equal(wanted, live),
    }
}

/// Equal as the server compares: numbers by value; documents whatever the order of their keys.
pub(super) fn equal(a: &Bson, b: &Bson) -> bool {
    match (a, b) {
        (Bson::Document(a), Bson::Document(b)) => {
            a.len() == b.len()
                && a.iter()
                    .all(|(name, value)| b.get(name).is_some_and(|other| equal(value, other)))
        }
        (Bson::Array(a), Bson::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| equal(a, b))
        }
        (a, b) => same_number(a, b).unwrap_or(a == b),
    }
}

/// Like [`equal`], but the order of keys counts, as in index keys and `$sort`.
pub(super) fn same_in_order(a: &Bson, b: &Bson) -> bool {
    match (a, b) {
        (Bson::Document(a), Bson::Document(b)) => {
            a.len() == b.len()
                && a.iter().zip(b).all(|((x, a), (y, b))| x == y && same_in_order(a, b))
        }
        (Bson::Array(a), Bson::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same_in_order(a, b))
        }
        (a, b) => equal(a, b),
    }
}

fn same_number(a: &Bson, b: &Bson) -> Option<bool> {
    match (integer(a), integer(b)) {
        (Some(a), Some(b)) => Some(a == b),
        _ => {
            let (a, b) = (double(a)?, double(b)?);
            Some(a == b || (a.is_nan() && b.is_nan()))
        }
    }
}

fn integer(value: &Bson) -> Option<i64> {
    match value {
        Bson::Int32(value) => Some((*value).into()),
        Bson::Int64(value) => Some(*value),
        Bson::Double(value) if value.fract() == 0.0 && value.abs() < 9e15 => Some(*value as i64),
        _ => None,
    }
}

fn double(value: &Bson) -> Option<f64> {
    match value {
        Bson::Int32(value) => Some((*value).into()),
        Bson::Int64(value) => Some(*value as f64),
        Bson::Double(value) => Some(*value),
        _ => None,
    }
}

/// `value` as relaxed extended JSON in which 1 and 1.0 are the same, as they are to the server.
pub(super) fn plain(value: &Bson) -> Value {
    match value {
        Bson::Document(document) => Value::Object(
            document.iter().map(|(name, value)| (name.clone(), plain(value))).collect(),
        ),
        Bson::Array(items) => Value::Array(items.iter().map(plain).collect()),
        value => match integer(value) {
            Some(whole) => Value::from(whole),
            None => value.clone().into_relaxed_extjson(),
        },
    }
}

/// `document` as a native value for the ledger.
pub(super) fn native(document: &Document) -> Value {
    Bson::Document(document.clone()).into_relaxed_extjson()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index_differs(wanted: Document, live: Document) -> Option<(String, String)> {
        differences(&normal_index(&wanted), &normal_index(&live))
    }

    #[test]
    fn defaults_that_the_server_adds_are_no_difference() {
        let wanted = doc! { "key": { "a": 1.0 }, "name": "a_1", "unique": false,
        "expireAfterSeconds": 60.0, "collation": { "locale": "de" } };
        let live = doc! { "v": 2, "key": { "a": 1 }, "name": "a_1", "expireAfterSeconds": 60,
        "collation": { "locale": "de", "strength": 3, "version": "57.1" } };
        assert_eq!(index_differs(wanted, live), None);

        let wanted = doc! { "timeseries": { "timeField": "t" }, "validationLevel": "strict" };
        let live = doc! { "timeseries": { "timeField": "t", "granularity": "seconds",
        "bucketMaxSpanSeconds": 3600 } };
        assert_eq!(differences(&normal_options(&wanted), &normal_options(&live)), None);
    }

    #[test]
    fn both_sides_show_only_what_differs() {
        let wanted = doc! { "key": { "a": 1 }, "name": "t", "expireAfterSeconds": 60 };
        let live = doc! { "v": 2, "key": { "a": 1 }, "name": "t", "unique": true };
        let (wanted, live) = index_differs(wanted, live).expect("differs");
        assert_eq!(wanted, "expireAfterSeconds 60, no unique");
        assert_eq!(live, "no expireAfterSeconds, unique true");
    }

    #[test]
    fn the_order_of_an_index_key_counts() {
        let index = |key: Document| doc! { "key": key, "name": "n" };
        let (ab, ba) = (index(doc! { "a": 1, "b": 1 }), index(doc! { "b": 1, "a": 1 }));
        assert!(index_differs(ab, ba).is_some());
    }

    #[test]
    fn a_text_index_is_known_by_its_weights() {
        let wanted = doc! { "key": { "x": 1, "title": "text", "body": "text" }, "name": "n",
        "weights": { "title": 5 } };
        let live = doc! { "v": 2, "key": { "x": 1, "_fts": "text", "_ftsx": 1 }, "name": "n",
        "weights": { "body": 1, "title": 5 }, "default_language": "english",
        "language_override": "language", "textIndexVersion": 3 };
        assert_eq!(index_differs(wanted, live), None);
    }
}
