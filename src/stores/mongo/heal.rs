//! What puts a collection, a view or an index back as recorded, whose part an index is, and which
//! objects a step touches.

use serde_json::{Map, Value, json};

use crate::shape::{Attributes, Change};
use crate::stores::remedy::{Drifted, Remedy, gone_with_its_data};

pub(super) fn heal(object: &Drifted<'_>) -> Remedy {
    match (object.kind, object.recorded) {
        ("index", recorded) => index(object, recorded),
        (kind, Some(_)) if object.is_absent() && has_other_kind(object) => Remedy::person(format!(
            "something of another kind has the name of the {kind} {}: drop or rename it first",
            object.name
        )),
        ("view", Some(recorded)) if object.is_absent() => view(object.name, recorded),
        (kind, Some(_)) if object.is_absent() => {
            gone_with_its_data(&format!("{kind} {}", object.name))
        }
        ("view", Some(recorded)) => changed_view(object, recorded),
        (_, _) => collection(object),
    }
}

/// What was made by hand goes last: until then it serves queries that wait for an index of the record.
pub(super) fn rank(object: &Drifted<'_>, _remedy: &Remedy) -> usize {
    usize::from(object.recorded.is_none())
}

/// Whether a view is there in the place of a collection, or a collection in that of a view.
fn has_other_kind(object: &Drifted<'_>) -> bool {
    let other = if object.kind == "view" { "collection" } else { "view" };
    object.there.objects.contains_key(&format!("{other} {}", object.name))
}

fn name_and_collection(name: &str) -> (&str, &str) {
    name.rsplit_once(" on ").unwrap_or((name, ""))
}

fn index(object: &Drifted<'_>, recorded: Option<&Attributes>) -> Remedy {
    let (name, collection) = name_and_collection(object.name);
    let live = object.there.objects.get(&format!("index {}", object.name));
    let is_own = |index: &Attributes| name == "_id_" || index.contains_key("clustered");
    if name == "_id_" || [recorded, live].into_iter().flatten().any(is_own) {
        return Remedy::person(
            "this index is made with its collection: make a new collection and copy the documents, or \
             record what is there with repair --accept-drift",
        );
    }
    match recorded {
        Some(recorded) => recorded_index(object, recorded, live),
        None => match stands_in_for(object) {
            Some(missing) => Remedy::person(format!(
                "it stands in for the index {missing}, which has the same key: see there"
            )),
            None => drop_index(collection, name),
        },
    }
}

fn drop_index(collection: &str, name: &str) -> Remedy {
    Remedy::steps([json!({ "dropIndexes": collection, "index": name })])
}

/// The lifetime and the hiding of an index can be changed; for all else it is built again.
fn recorded_index(
    object: &Drifted<'_>,
    recorded: &Attributes,
    live: Option<&Attributes>,
) -> Remedy {
    let (name, collection) = name_and_collection(object.name);
    let Some(definition) = definition(name, object, recorded) else {
        return Remedy::person("its key cannot be read back from the record: write a migration");
    };
    if let Some(changes) = changeable(object) {
        let mut index = json!({ "name": name });
        for (attribute, value) in changes {
            index[attribute] = value;
        }
        return expiring(
            recorded,
            Remedy::steps([json!({ "collMod": collection, "index": index })]),
        );
    }
    if let Some(other) = rivals(object, object.name, recorded).next() {
        return Remedy::person(format!(
            "the index {other} is there with the same key, and the server takes no two such: where it is \
             to stay, record it with repair --accept-drift; else rename it by a migration that drops it \
             and makes {name}, at a time when queries can do without"
        ));
    }
    let create = json!({ "createIndexes": collection, "indexes": [definition] });
    if live.is_none() {
        return expiring(recorded, Remedy::steps([create]));
    }
    match rebuilt(object, recorded, create) {
        Some(steps) => expiring(recorded, Remedy::steps(steps)).caution(
            "it is built twice, first under another name, so that queries and uniqueness never do without it",
        ),
        None => Remedy::person(
            "the server takes no second index of this kind beside it, so that it would have to be dropped \
             before it can be built: write a migration that does so at a time when queries can do without",
        ),
    }
}

/// What `collMod` changes in an index, where that is all that differs.
fn changeable<'o>(object: &'o Drifted<'_>) -> Option<Vec<(&'o str, Value)>> {
    if object.changes.is_empty() {
        return None;
    }
    let one = |change: &&Change| match (change.attribute.as_deref()?, change.before.clone()) {
        ("expireAfterSeconds", Some(before)) => Some(("expireAfterSeconds", before)),
        ("hidden", before) => Some(("hidden", before.unwrap_or(json!(false)))),
        ("prepareUnique", before) => Some(("prepareUnique", before.unwrap_or(json!(false)))),
        (_, _) => None,
    };
    object.changes.iter().map(one).collect()
}

/// The steps that put an index in the place of one that has its name: a stand-in is built beside it, and
/// what is there goes only then. The stand-in's key has one field more, which no document has, since the
/// server takes no two indexes that differ in name alone; for queries and for uniqueness it is the same.
/// `None`: an index of this kind can have no such field, or no second one beside it.
fn rebuilt(object: &Drifted<'_>, recorded: &Attributes, create: Value) -> Option<[Value; 4]> {
    let (name, collection) = name_and_collection(object.name);
    let key = recorded.get("key")?.as_str()?;
    if recorded.contains_key("weights") || key.contains("$**") {
        return None;
    }
    let spare = format!("{STAND_IN}{name}");
    let mut stand_in = definition(&spare, object, recorded)?;
    stand_in["key"][STAND_IN] = json!(1);
    if let Some(stand_in) = stand_in.as_object_mut() {
        // A lifetime stands on an index of one field alone, and one that is hidden would serve no query.
        stand_in.retain(|option, _| !["expireAfterSeconds", "hidden"].contains(&option.as_str()));
    }
    Some([
        json!({ "createIndexes": collection, "indexes": [stand_in] }),
        json!({ "dropIndexes": collection, "index": name }),
        create,
        json!({ "dropIndexes": collection, "index": spare }),
    ])
}

/// What the name of a stand-in begins with, and the field that is in its key.
const STAND_IN: &str = "aiplat_migrate_";

/// What makes two indexes one to the server, whatever their names.
const SIGNATURE: [&str; 5] = ["key", "collation", "partialFilterExpression", "unique", "sparse"];

/// The live indexes of the same collection, made by hand, beside which the recorded index `wanted` cannot be
/// made.
fn rivals<'o>(
    object: &'o Drifted<'_>,
    wanted: &'o str,
    recorded: &'o Attributes,
) -> impl Iterator<Item = &'o str> {
    let collection = name_and_collection(wanted).1;
    let same = |other: &Attributes| {
        let is_text = |index: &Attributes| index.contains_key("weights");
        let is_same = |attribute: &&str| recorded.get(*attribute) == other.get(*attribute);
        (is_text(recorded) && is_text(other)) || SIGNATURE.iter().all(is_same)
    };
    object.there.of_kind("index").filter_map(move |(full, other)| {
        let (name, of) = name_and_collection(full);
        let is_by_hand = !object.shape.objects.contains_key(&format!("index {full}"));
        (of == collection && full != wanted && is_by_hand && same(other)).then_some(name)
    })
}

/// The recorded index that is not as recorded because this one, made by hand, is in its place.
fn stands_in_for<'o>(object: &'o Drifted<'_>) -> Option<&'o str> {
    let (this, collection) = name_and_collection(object.name);
    object.shape.of_kind("index").find_map(|(full, recorded)| {
        let (name, of) = name_and_collection(full);
        let is_as_recorded = object.there.objects.get(&format!("index {full}")) == Some(recorded);
        let is_missing = of == collection && !is_as_recorded;
        (is_missing && rivals(object, full, recorded).any(|other| other == this)).then_some(name)
    })
}

fn expiring(recorded: &Attributes, remedy: Remedy) -> Remedy {
    match recorded.get("expireAfterSeconds") {
        Some(seconds) => remedy.caution(format!(
            "the server then deletes documents that are older than {seconds} s, as recorded"
        )),
        None => remedy,
    }
}

/// The definition of an index, its key read back from the text that keeps its order.
fn definition(name: &str, object: &Drifted<'_>, recorded: &Attributes) -> Option<Value> {
    let mut key = Map::new();
    for field in recorded.get("key")?.as_str()?.split(", ") {
        let (field, direction) = field.rsplit_once(": ")?;
        let number = direction.parse::<i64>().map(Value::from);
        key.insert(field.to_string(), number.unwrap_or_else(|_| Value::from(direction)));
    }
    let mut definition = Map::from_iter([("key".to_string(), Value::Object(key))]);
    definition.insert("name".to_string(), Value::from(name));
    let options = recorded.iter().filter(|(name, _)| *name != "key");
    definition.extend(options.map(|(name, value)| (name.clone(), value.clone())));
    let collection = format!("collection {}", name_and_collection(object.name).1);
    let of_collection = object.shape.objects.get(&collection);
    if of_collection.is_some_and(|options| options.contains_key("collation")) {
        // Otherwise it would take that of the collection.
        definition.entry("collation").or_insert(json!({ "locale": "simple" }));
    }
    Some(Value::Object(definition))
}

/// A pipeline is recorded as text, in which stages keep the order of their keys.
fn pipeline(recorded: &Attributes) -> Option<Value> {
    match recorded.get("pipeline") {
        None => Some(json!([])),
        Some(text) => serde_json::from_str(text.as_str()?).ok(),
    }
}

fn view(name: &str, recorded: &Attributes) -> Remedy {
    let Some(pipeline) = pipeline(recorded) else { return unreadable() };
    let mut step =
        json!({ "create": name, "viewOn": recorded.get("viewOn"), "pipeline": pipeline });
    if let Some(collation) = recorded.get("collation") {
        step["collation"] = collation.clone();
    }
    Remedy::steps([step])
}

fn changed_view(object: &Drifted<'_>, recorded: &Attributes) -> Remedy {
    let Some(pipeline) = pipeline(recorded) else { return unreadable() };
    let fixed =
        |change: &&&Change| !matches!(change.attribute.as_deref(), Some("viewOn" | "pipeline"));
    match object.changes.iter().find(fixed) {
        Some(_) => {
            Remedy::person("a view's collation is given when it is made: drop it and make it anew")
        }
        None => Remedy::steps([
            json!({ "collMod": object.name, "viewOn": recorded.get("viewOn"), "pipeline": pipeline }),
        ]),
    }
}

fn unreadable() -> Remedy {
    Remedy::person("its pipeline cannot be read back from the record: write a migration")
}

fn collection(object: &Drifted<'_>) -> Remedy {
    let mut remedy = Remedy::default();
    let mut set = Map::from_iter([("collMod".to_string(), Value::from(object.name))]);
    for change in &object.changes {
        let attribute = change.attribute.as_deref().unwrap_or_default();
        match restored(attribute, change.before.as_ref()) {
            Ok((name, value)) => drop(set.insert(name.to_string(), value)),
            Err(why) => remedy.person.push(why),
        }
    }
    if set.len() > 1 {
        remedy.steps.push(Value::Object(set));
    }
    remedy
}

/// The argument of `collMod` that restores an option; what is not recorded was the server's default.
fn restored(attribute: &str, before: Option<&Value>) -> Result<(&'static str, Value), String> {
    let or = |default: Value| before.cloned().unwrap_or(default);
    match attribute {
        "validator" => Ok(("validator", or(json!({})))),
        "validationLevel" => Ok(("validationLevel", or(json!("strict")))),
        "validationAction" => Ok(("validationAction", or(json!("error")))),
        "expireAfterSeconds" => Ok(("expireAfterSeconds", or(json!("off")))),
        "changeStreamPreAndPostImages" => {
            Ok(("changeStreamPreAndPostImages", or(json!({ "enabled": false }))))
        }
        "size" if before.is_some() => Err(
            "a capped collection that is made smaller loses documents: record it with repair --accept-drift, \
             or change `cappedSize` by a migration"
                .to_string(),
        ),
        other => Err(format!(
            "`{other}` is given when a collection is made: make a new one and copy the documents, or \
             record what is there with repair --accept-drift"
        )),
    }
}

/// The collection that an index is part of.
pub(super) fn part_of(object: &str) -> Vec<String> {
    let index = object.strip_prefix("index ").and_then(|name| name.rsplit_once(" on "));
    index.map(|(_, collection)| format!("collection {collection}")).into_iter().collect()
}
