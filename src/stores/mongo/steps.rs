//! Steps: one database command each, in relaxed Extended JSON with its keys in order, and
//! `updateInBatches`.

use std::fmt;
use std::sync::Arc;

use bson::{Bson, Document};
use serde_json::Value;

use super::commands;
use super::extjson;
use super::heal::part_of;
use super::idempotence;
use super::inserts;
use super::inverse;
use super::losses;
use super::users;
use crate::stores::contract::Operation;
use crate::text::{DocumentKey, Fields, Node, NodeKind, ScriptError};

/// One step of a MongoDB migration.
#[derive(Clone, Debug)]
pub enum Step {
    /// `create`: a collection or a view.
    Create(Create),
    /// `createIndexes`.
    CreateIndexes(CreateIndexes),
    /// `collMod`.
    CollMod(CollMod),
    /// `drop`: a collection or a view.
    Drop(Drop),
    /// `dropIndexes`.
    DropIndexes(DropIndexes),
    /// `renameCollection`.
    Rename(Rename),
    /// `updateInBatches`.
    UpdateInBatches(Box<UpdateInBatches>),
    /// Any other command of the server.
    Command(Command),
}

/// `{ create: "c", … }`
#[derive(Clone, Debug)]
pub struct Create {
    /// The collection or view.
    pub collection: String,
    /// Its options as written.
    pub options: Document,
    pub(super) command: Document,
}

/// `{ createIndexes: "c", indexes: […] }`
#[derive(Clone, Debug)]
pub struct CreateIndexes {
    /// The collection.
    pub collection: String,
    /// The indexes, each with `key` and `name`.
    pub indexes: Vec<Document>,
    pub(super) command: Document,
}

/// `{ collMod: "c", … }`
#[derive(Clone, Debug)]
pub struct CollMod {
    /// The collection or view.
    pub collection: String,
    /// What is to be changed, as written.
    pub changes: Document,
    pub(super) command: Document,
}

/// `{ drop: "c" }`
#[derive(Clone, Debug)]
pub struct Drop {
    /// The collection or view.
    pub collection: String,
    pub(super) command: Document,
}

/// `{ dropIndexes: "c", index: … }`
#[derive(Clone, Debug)]
pub struct DropIndexes {
    /// The collection.
    pub collection: String,
    /// Which of its indexes.
    pub which: Which,
    pub(super) command: Document,
}

/// Which indexes to drop.
#[derive(Clone, Debug)]
pub enum Which {
    /// All but the one on `_id`.
    All,
    /// Those of these names.
    Named(Vec<String>),
    /// The one with this key.
    Keyed(Document),
}

/// `{ renameCollection: "a", to: "b" }`
#[derive(Clone, Debug)]
pub struct Rename {
    /// The collection; of this database where no other is named in front of a `.`.
    pub from: String,
    /// Its new name, likewise.
    pub to: String,
    /// Whether a collection of that name is dropped.
    pub drop_target: bool,
    pub(super) command: Document,
}

/// `{ updateInBatches: "c", filter, update, batch }`
#[derive(Clone, Debug)]
pub struct UpdateInBatches {
    /// The collection.
    pub collection: String,
    /// Which documents.
    pub filter: Document,
    /// Update operators, or a pipeline.
    pub update: Bson,
    /// Filters for elements of arrays.
    pub array_filters: Option<Bson>,
    /// The collation of the filter.
    pub collation: Option<Document>,
    /// Documents per batch.
    pub batch: u32,
}

/// A command that is sent as it is written.
#[derive(Clone)]
pub struct Command {
    /// Its name: the first key.
    pub name: String,
    pub(super) command: Document,
}

impl fmt::Debug for Command {
    /// Without the arguments: those of `createUser` hold a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Command").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Step {
    /// The name of the collection whose documents it may delete or overwrite.
    fn subject(&mut self) -> Option<&mut String> {
        match self {
            Step::Drop(step) => Some(&mut step.collection),
            Step::CollMod(step) => Some(&mut step.collection),
            Step::UpdateInBatches(step) => Some(&mut step.collection),
            Step::Command(step) => match step.command.get_mut(&step.name) {
                Some(Bson::String(name)) => Some(name),
                Some(_) | None => None,
            },
            Step::Create(_) | Step::CreateIndexes(_) | Step::DropIndexes(_) | Step::Rename(_) => {
                None
            }
        }
    }

    /// Reads one step.
    pub fn parse(node: &Node) -> Result<Step, ScriptError> {
        let fields = node.object("a step")?;
        let Some((name, target)) = fields.first() else {
            return Err(ScriptError::new(
                node.span.clone(),
                "a step is a command, not an empty object",
            )
            .hint("write it as `{ create: \"collection\" }`"));
        };
        allowed(name, fields)?;
        known(name, fields)?;
        if name.name == "updateInBatches" {
            return update_in_batches(node, target)
                .map(|step| Step::UpdateInBatches(Box::new(step)));
        }
        generic_arguments(fields)?;
        let command = extjson::document(node, "a step")?;
        match name.name.as_str() {
            "create" => create(fields, target, command),
            "createIndexes" => create_indexes(node, target, command),
            "collMod" => coll_mod(fields, target, command),
            "drop" => Ok(Step::Drop(Drop { collection: collection(target, "drop")?, command })),
            "dropIndexes" => drop_indexes(node, target, command),
            "renameCollection" => rename(node, command),
            _ => Ok(Step::Command(Command { name: name.name.clone(), command })),
        }
    }
}

impl Command {
    fn hazards(&self) -> Vec<String> {
        let mut hazards = losses::in_words(&self.name, &self.command);
        let has_ids = self.name == "insert" && inserts::with_ids(&self.command).is_some();
        if !has_ids && !commands::is_looked_up(&self.name) {
            let name = &self.name;
            hazards
                .push(format!("a raw `{name}`: a run killed in it may need a person to settle it"));
        }
        hazards
    }
}

impl Operation for Step {
    /// What it deletes or overwrites may be renamed by the earlier ones.
    fn before(&self, earlier: &[&dyn Operation]) -> Option<Arc<dyn Operation>> {
        let mut step = self.clone();
        let mut now = step.subject()?.clone();
        for earlier in earlier.iter().rev().filter_map(|step| step.of_store()) {
            if let Step::Rename(rename) = earlier
                && rename.to == now
            {
                now = rename.from.clone();
            }
        }
        *step.subject()? = now;
        Some(Arc::new(step))
    }

    /// The step in a few words.
    fn label(&self) -> String {
        match self {
            Step::Create(step) => format!("create {}", step.collection),
            Step::CreateIndexes(step) => {
                let names: Vec<&str> = step.indexes.iter().map(name_of).collect();
                format!("createIndexes {}: {}", step.collection, names.join(", "))
            }
            Step::CollMod(step) => {
                let keys: Vec<&str> = step.changes.keys().map(String::as_str).collect();
                format!("collMod {}: {}", step.collection, keys.join(", "))
            }
            Step::Drop(step) => format!("drop {}", step.collection),
            Step::DropIndexes(step) => {
                format!("dropIndexes {}: {}", step.collection, step.which)
            }
            Step::Rename(step) => format!("renameCollection {} to {}", step.from, step.to),
            Step::UpdateInBatches(step) => format!("updateInBatches {}", step.collection),
            Step::Command(step) => match step.command.get_str(&step.name) {
                Ok(target) => format!("{} {target}", step.name),
                Err(_) => step.name.clone(),
            },
        }
    }

    fn hazards(&self) -> Vec<String> {
        match self {
            Step::Drop(_) => vec!["drops the collection with all its documents".into()],
            Step::Rename(rename) if rename.drop_target => {
                vec![format!("drops {} if it is there", rename.to)]
            }
            Step::Command(command) => command.hazards(),
            Step::CollMod(step) => losses::of_coll_mod(step),
            Step::Create(_)
            | Step::CreateIndexes(_)
            | Step::DropIndexes(_)
            | Step::Rename(_)
            | Step::UpdateInBatches(_) => Vec::new(),
        }
    }

    fn unseen(&self) -> Option<&'static str> {
        match self {
            Step::Command(step) if step.name == "createUser" => Some(users::UNSEEN_PASSWORD),
            _ => None,
        }
    }

    fn inverse(&self, before: &Value) -> Result<Vec<Value>, String> {
        inverse::of(self, before)
    }

    fn removes(&self) -> bool {
        matches!(self, Step::Drop(_) | Step::DropIndexes(_))
    }

    fn touches(&self, object: &str) -> bool {
        let of = |name: &str| {
            object == format!("collection {name}")
                || object == format!("view {name}")
                || part_of(object) == [format!("collection {name}")]
        };
        match self {
            Step::Create(step) => of(&step.collection),
            Step::CreateIndexes(step) => of(&step.collection),
            Step::CollMod(step) => of(&step.collection),
            Step::Drop(step) => of(&step.collection),
            Step::DropIndexes(step) => of(&step.collection),
            Step::Rename(step) => of(&step.from) || of(&step.to),
            Step::UpdateInBatches(_) => false,
            Step::Command(_) => true,
        }
    }

    fn makes(&self, object: &str) -> bool {
        match self {
            Step::Create(step) => {
                object == format!("collection {}", step.collection)
                    || object == format!("view {}", step.collection)
                    || object == format!("index _id_ on {}", step.collection)
            }
            Step::CreateIndexes(step) => step.indexes.iter().any(|index| {
                let name = index.get_str("name").unwrap_or_default();
                object == format!("index {name} on {}", step.collection)
            }),
            Step::Drop(_) | Step::Rename(_) => Operation::touches(self, object),
            Step::DropIndexes(step) => match &step.which {
                Which::Named(names) => names
                    .iter()
                    .any(|name| object == format!("index {name} on {}", step.collection)),
                Which::All | Which::Keyed(_) => false,
            },
            Step::CollMod(_) | Step::UpdateInBatches(_) | Step::Command(_) => false,
        }
    }
}

impl fmt::Display for Which {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Which::All => f.write_str("*"),
            Which::Named(names) => f.write_str(&names.join(", ")),
            Which::Keyed(key) => f.write_str(&default_name(key)),
        }
    }
}

/// The name of an index definition.
pub(super) fn name_of(index: &Document) -> &str {
    index.get_str("name").unwrap_or_default()
}

/// The name that the server's own tools give to an index with this key.
pub(super) fn default_name(key: &Document) -> String {
    let parts = key.iter().map(|(field, direction)| format!("{field}_{}", shown(direction)));
    parts.collect::<Vec<_>>().join("_")
}

/// A direction or kind in an index key: 1.0 as 1, text without quotes.
pub(super) fn shown(direction: &Bson) -> String {
    match direction {
        Bson::String(kind) => kind.clone(),
        Bson::Double(number) => number.to_string(),
        other => other.clone().into_relaxed_extjson().to_string(),
    }
}

fn known(name: &DocumentKey, fields: &[(DocumentKey, Node)]) -> Result<(), ScriptError> {
    if commands::is_known(&name.name) {
        return Ok(());
    }
    let error =
        |message: String, hint: String| ScriptError::new(name.span.clone(), message).hint(hint);
    if let Some(hint) = commands::of_shell(&name.name) {
        let message = format!("`{}` is no command of the server, but of its shell", name.name);
        return Err(error(message, hint));
    }
    let meant = commands::meant(&name.name);
    // `update` is a field of `updateInBatches`, and a command by itself: it says nothing there.
    let later = fields.iter().skip(1).find(|(key, _)| {
        commands::is_known(&key.name) && !(key.name == "update" && meant.is_some())
    });
    match (later, meant) {
        (Some((later, _)), _) => Err(error(
            format!(
                "`{}` is no command, and the command's name has to be the first key",
                name.name
            ),
            format!("write `{}` first", later.name),
        )),
        (None, Some(meant)) => Err(error(
            format!("MongoDB does not know the command `{}`", name.name),
            format!("did you mean `{meant}`?"),
        )),
        // The server's commands are an open set: it is the judge of the rest.
        (None, None) => Ok(()),
    }
}

/// Refuses what stops or locks the server, or others' work on it.
fn allowed(name: &DocumentKey, fields: &[(DocumentKey, Node)]) -> Result<(), ScriptError> {
    let is_set = |argument: &str| {
        let found = fields.iter().find(|(key, _)| key.name == argument);
        found.is_some_and(|(_, node)| {
            !["false", "0", "null"].contains(&node.to_json().to_string().as_str())
        })
    };
    match commands::forbidden(&name.name, is_set) {
        None => Ok(()),
        Some(why) => {
            let message = format!("a migration must not send `{}`: {why}", name.name);
            Err(ScriptError::new(name.span.clone(), message)
                .hint("where it has to be, do it by hand, beside the migrations"))
        }
    }
}

/// Arguments that belong to the driver or to the run.
fn generic_arguments(fields: &[(DocumentKey, Node)]) -> Result<(), ScriptError> {
    for (key, _) in fields {
        let why = match key.name.as_str() {
            "comment" => "holds the id of the run, by which its operations are found",
            "$db" => "is the database of the settings",
            "lsid" | "txnNumber" | "autocommit" | "startTransaction" | "$clusterTime" => {
                "is set by the driver"
            }
            _ => continue,
        };
        return Err(ScriptError::new(key.span.clone(), format!("`{}` {why}", key.name))
            .hint("leave it out"));
    }
    Ok(())
}

fn collection(node: &Node, what: &str) -> Result<String, ScriptError> {
    let name = node.string(&format!("the collection of {what}"))?;
    let wrong = |message: &str| Err(ScriptError::new(node.span.clone(), message));
    match name {
        "" => wrong("a collection's name is not empty"),
        name if name.contains('\0') => wrong("a collection's name holds no NUL"),
        name if name.contains('$') => wrong("a collection's name holds no `$`"),
        name => Ok(name.to_string()),
    }
}

/// The command without its name and what goes with every command.
fn arguments(command: &Document) -> Document {
    command
        .iter()
        .skip(1)
        .filter(|(key, _)| !["writeConcern", "maxTimeMS"].contains(&key.as_str()))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect()
}

const CREATE_OPTIONS: &[&str] = &[
    "capped",
    "timeseries",
    "expireAfterSeconds",
    "clusteredIndex",
    "changeStreamPreAndPostImages",
    "size",
    "max",
    "storageEngine",
    "validator",
    "validationLevel",
    "validationAction",
    "indexOptionDefaults",
    "viewOn",
    "pipeline",
    "collation",
    "encryptedFields",
    "writeConcern",
    "maxTimeMS",
];

const COLL_MOD_OPTIONS: &[&str] = &[
    "index",
    "validator",
    "validationLevel",
    "validationAction",
    "viewOn",
    "pipeline",
    "cappedSize",
    "cappedMax",
    "changeStreamPreAndPostImages",
    "expireAfterSeconds",
    "timeseries",
    "dryRun",
    "writeConcern",
    "maxTimeMS",
];

const INDEX_OPTIONS: &[&str] = &[
    "key",
    "name",
    "unique",
    "partialFilterExpression",
    "sparse",
    "expireAfterSeconds",
    "hidden",
    "storageEngine",
    "weights",
    "default_language",
    "language_override",
    "textIndexVersion",
    "2dsphereIndexVersion",
    "bits",
    "min",
    "max",
    "bucketSize",
    "collation",
    "wildcardProjection",
    "background",
    "prepareUnique",
    "clustered",
    "v",
];

/// Refuses options that look like a slip; the server judges those that we have not heard of.
fn options(
    fields: &[(DocumentKey, Node)],
    what: &str,
    known: &[&'static str],
) -> Result<(), ScriptError> {
    for (key, _) in fields {
        if !known.contains(&key.name.as_str())
            && let Some(meant) = commands::slip(&key.name, known.iter().copied())
        {
            let message = format!("{what} does not know the option `{}`", key.name);
            return Err(ScriptError::new(key.span.clone(), message)
                .hint(format!("did you mean `{meant}`?")));
        }
    }
    validation(fields)
}

fn validation(fields: &[(DocumentKey, Node)]) -> Result<(), ScriptError> {
    for (key, node) in fields {
        let allowed: &[&str] = match key.name.as_str() {
            "validationLevel" => &["off", "moderate", "strict"],
            "validationAction" => &["error", "warn", "errorAndLog"],
            _ => continue,
        };
        let value = node.string(&key.name)?;
        if !allowed.contains(&value) {
            let message = format!("`{}` is not `{value}`", key.name);
            return Err(ScriptError::new(node.span.clone(), message)
                .hint(format!("write {}", allowed.join(" or "))));
        }
    }
    Ok(())
}

/// Puts a number where a placeholder has left its digits as a string.
fn numbers(document: &mut Document, names: &[&str]) {
    for name in names {
        if let Some(value) = document.get_str(name).ok().and_then(|text| text.parse::<i64>().ok()) {
            document.insert(*name, value);
        }
    }
}

fn create(
    fields: &[(DocumentKey, Node)],
    target: &Node,
    mut command: Document,
) -> Result<Step, ScriptError> {
    options(&fields[1..], "create", CREATE_OPTIONS)?;
    let collection = collection(target, "create")?;
    numbers(&mut command, &["size", "max", "expireAfterSeconds"]);
    let options = arguments(&command);
    let is = |name: &str| options.contains_key(name);
    if is("pipeline") && !is("viewOn") {
        return Err(ScriptError::new(
            target.span.clone(),
            "a view with a `pipeline` lacks `viewOn`",
        ));
    }
    if options.get_bool("capped").is_ok_and(|capped| capped) && !is("size") {
        return Err(ScriptError::new(target.span.clone(), "a capped collection lacks `size`")
            .hint("`size` is in bytes; `max` in documents may stand beside it"));
    }
    Ok(Step::Create(Create { collection, options, command }))
}

fn create_indexes(node: &Node, target: &Node, mut command: Document) -> Result<Step, ScriptError> {
    let mut fields = Fields::of(node, "createIndexes")?;
    let collection = collection(target, "createIndexes")?;
    for known in ["createIndexes", "commitQuorum", "writeConcern", "maxTimeMS"] {
        fields.optional(known);
    }
    let listed = fields.required("indexes")?;
    fields.finish()?;
    let indexes: Vec<Document> =
        listed.array("`indexes`")?.iter().map(index).collect::<Result<_, _>>()?;
    if indexes.is_empty() {
        return Err(ScriptError::new(listed.span.clone(), "createIndexes names no index"));
    }
    for (at, index) in indexes.iter().enumerate() {
        if indexes[..at].iter().any(|other| name_of(other) == name_of(index)) {
            let message = format!("two indexes are named `{}`", name_of(index));
            return Err(ScriptError::new(listed.span.clone(), message));
        }
    }
    command.insert("indexes", indexes.clone());
    Ok(Step::CreateIndexes(CreateIndexes { collection, indexes, command }))
}

fn index(node: &Node) -> Result<Document, ScriptError> {
    options(node.object("an index")?, "an index", INDEX_OPTIONS)?;
    let key_node = node
        .get("key")
        .ok_or_else(|| ScriptError::new(node.span.clone(), "an index lacks `key`"))?;
    let key = extjson::document(key_node, "the key of an index")?;
    if key.is_empty() {
        return Err(ScriptError::new(key_node.span.clone(), "the key of an index names no field"));
    }
    let mut index = extjson::document(node, "an index")?;
    numbers(&mut index, &["expireAfterSeconds"]);
    if index.contains_key("expireAfterSeconds") && key.len() > 1 {
        let message =
            "`expireAfterSeconds` stands on an index of several fields, where it has no effect";
        return Err(ScriptError::new(key_node.span.clone(), message)
            .hint("give the TTL an index of its own on its one date field"));
    }
    match node.get("name") {
        Some(name) if name.string("the name of an index")?.is_empty() => {
            Err(ScriptError::new(name.span.clone(), "the name of an index is empty"))
        }
        Some(_) => Ok(index),
        None => {
            index.insert("name", default_name(&key));
            Ok(index)
        }
    }
}

fn coll_mod(
    fields: &[(DocumentKey, Node)],
    target: &Node,
    mut command: Document,
) -> Result<Step, ScriptError> {
    options(&fields[1..], "collMod", COLL_MOD_OPTIONS)?;
    let collection = collection(target, "collMod")?;
    if let Some((_, node)) = fields.iter().find(|(key, _)| key.name == "index") {
        let named = node.object("`index` of collMod")?;
        if !named.iter().any(|(key, _)| key.name == "name" || key.name == "keyPattern") {
            return Err(ScriptError::new(node.span.clone(), "`index` of collMod names no index")
                .hint("say which by `name` or `keyPattern`"));
        }
    }
    numbers(&mut command, &["expireAfterSeconds", "cappedSize", "cappedMax"]);
    if let Ok(index) = command.get_document_mut("index") {
        numbers(index, &["expireAfterSeconds"]);
    }
    let changes = arguments(&command);
    if changes.is_empty() {
        return Err(ScriptError::new(target.span.clone(), "collMod changes nothing"));
    }
    Ok(Step::CollMod(CollMod { collection, changes, command }))
}

fn drop_indexes(node: &Node, target: &Node, command: Document) -> Result<Step, ScriptError> {
    let mut fields = Fields::of(node, "dropIndexes")?;
    let collection = collection(target, "dropIndexes")?;
    for known in ["dropIndexes", "writeConcern", "maxTimeMS"] {
        fields.optional(known);
    }
    let index = fields.required("index")?;
    fields.finish()?;
    let which = match &index.kind {
        NodeKind::String(all) if all == "*" => Which::All,
        NodeKind::String(name) => Which::Named(vec![name.clone()]),
        NodeKind::Array(names) => {
            let names = names.iter().map(|name| name.string("the name of an index"));
            Which::Named(names.map(|name| name.map(str::to_string)).collect::<Result<_, _>>()?)
        }
        _ => Which::Keyed(extjson::document(index, "`index`")?),
    };
    Ok(Step::DropIndexes(DropIndexes { collection, which, command }))
}

fn rename(node: &Node, command: Document) -> Result<Step, ScriptError> {
    let mut fields = Fields::of(node, "renameCollection")?;
    let from = collection(fields.required("renameCollection")?, "renameCollection")?;
    let to = collection(fields.required("to")?, "`to`")?;
    let drop_target = match fields.optional("dropTarget") {
        Some(node) => node.boolean("`dropTarget`")?,
        None => false,
    };
    for known in ["writeConcern", "maxTimeMS"] {
        fields.optional(known);
    }
    fields.finish()?;
    Ok(Step::Rename(Rename { from, to, drop_target, command }))
}

const DEFAULT_BATCH: u32 = 1000;
const LARGEST_BATCH: i64 = 10_000;

fn update_in_batches(node: &Node, target: &Node) -> Result<UpdateInBatches, ScriptError> {
    let mut fields = Fields::of(node, "updateInBatches")?;
    fields.optional("updateInBatches");
    let collection = collection(target, "updateInBatches")?;
    let filter = match fields.optional("filter") {
        Some(filter) => extjson::document(filter, "`filter`")?,
        None => Document::new(),
    };
    let update_node = fields.required("update")?;
    let update = extjson::value(update_node)?;
    let array_filters = fields.optional("arrayFilters").map(extjson::value).transpose()?;
    let collation = match fields.optional("collation") {
        Some(collation) => Some(extjson::document(collation, "`collation`")?),
        None => None,
    };
    let batch = fields.optional("batch").map(batch).transpose()?.unwrap_or(DEFAULT_BATCH);
    fields.finish()?;
    idempotence::check(&filter, &update).map_err(|refusal| {
        ScriptError::new(update_node.span.clone(), refusal.message).hint(refusal.hint)
    })?;
    Ok(UpdateInBatches { collection, filter, update, array_filters, collation, batch })
}

fn batch(node: &Node) -> Result<u32, ScriptError> {
    let size = node.integer("`batch`")?;
    match u32::try_from(size) {
        Ok(size) if size > 0 && i64::from(size) <= LARGEST_BATCH => Ok(size),
        Ok(_) | Err(_) => Err(ScriptError::new(
            node.span.clone(),
            format!("`batch` is a number of documents from 1 to {LARGEST_BATCH}"),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Step, ScriptError> {
        Step::parse(&Node::parse(text).expect("JSON5"))
    }

    #[test]
    fn every_step_has_a_label() {
        for (text, label) in [
            ("{create: 'a', capped: true, size: 1}", "create a"),
            ("{createIndexes: 'a', indexes: [{key: {x: 1, y: -1}}]}", "createIndexes a: x_1_y_-1"),
            ("{collMod: 'a', validationLevel: 'off'}", "collMod a: validationLevel"),
            ("{drop: 'a'}", "drop a"),
            ("{dropIndexes: 'a', index: ['x', 'y']}", "dropIndexes a: x, y"),
            ("{dropIndexes: 'a', index: {x: 1}}", "dropIndexes a: x_1"),
            ("{renameCollection: 'a', to: 'b'}", "renameCollection a to b"),
            ("{updateInBatches: 'a', update: {$set: {x: 1}}}", "updateInBatches a"),
            ("{insert: 'a', documents: [{_id: 1}]}", "insert a"),
            ("{createUser: 'u', pwd: 'hunter2', roles: []}", "createUser u"),
            ("{setParameter: 1, ttlMonitorEnabled: false}", "setParameter"),
            ("{notYetInvented: 1}", "notYetInvented"),
        ] {
            assert_eq!(parse(text).expect(text).label(), label);
        }
    }

    #[test]
    fn mistakes_are_found_before_the_server_is_asked() {
        for (text, said) in [
            ("{}", "empty object"),
            ("{createIndex: 'a'}", "write `createIndexes`"),
            ("{createIndexs: 'a'}", "did you mean `createIndexes`"),
            ("{insertMany: 'a', documents: []}", "documents: [ … ]"),
            ("{'db.a.updateMany': 1}", "not a call of mongosh"),
            ("{fsync: 1, lock: true}", "takes no writes"),
            ("{shutdown: 1}", "stops the server"),
            ("{replSetStepDown: 60}", "replica set"),
            ("{validator: {}, create: 'a'}", "write `create` first"),
            ("{create: 'a', validationLevels: 'off'}", "did you mean `validationLevel`"),
            ("{create: 'a', validationLevel: 'loose'}", "off or moderate or strict"),
            ("{create: 'a', capped: true}", "lacks `size`"),
            ("{create: 'a', pipeline: []}", "lacks `viewOn`"),
            ("{create: 1}", "is a string"),
            ("{create: 'a', comment: 'x'}", "id of the run"),
            ("{createIndexes: 'a'}", "lacks `indexes`"),
            ("{createIndexes: 'a', indexes: []}", "names no index"),
            ("{createIndexes: 'a', indexes: [{name: 'x'}]}", "lacks `key`"),
            (
                "{createIndexes: 'a', indexes: [{key: {t: 1}, expireAfterSecond: 1}]}",
                "did you mean `expireAfterSeconds`",
            ),
            (
                "{createIndexes: 'a', indexes: [{key: {t: 1, u: 1}, expireAfterSeconds: 1}]}",
                "no effect",
            ),
            ("{createIndexes: 'a', indexes: [{key: {t: 1}}, {key: {t: 1}}]}", "two indexes"),
            ("{collMod: 'a'}", "changes nothing"),
            ("{collMod: 'a', index: {hidden: true}}", "names no index"),
            ("{dropIndexes: 'a', indexs: 'x'}", "did you mean `index`"),
            ("{renameCollection: 'a'}", "lacks `to`"),
            ("{updateInBatches: 'a', update: {$inc: {n: 1}}}", "done twice"),
            ("{updateInBatches: 'a', update: {$set: {n: 1}}, batch: 0}", "from 1 to"),
            ("{updateInBatches: 'a', update: {$set: {n: 1}}, filer: {}}", "did you mean `filter`"),
            ("{insert: 'a', documents: [{at: {$date: 'yesterday'}}]}", "yesterday"),
        ] {
            let error = parse(text).expect_err(text);
            let shown = format!("{} {}", error.message, error.hint.unwrap_or_default());
            assert!(shown.contains(said), "{text}: {shown}");
        }
    }

    #[test]
    fn extended_json_is_read_and_the_order_of_keys_kept() {
        let text = "{insert: 'a', documents: [{_id: {$oid: '656e6f2d6a69636861656c21'}, \
                    b: 1.0, a: {$numberLong: '1'}, at: {$date: '2026-01-01T00:00:00Z'}}]}";
        let Ok(Step::Command(step)) = parse(text) else { panic!("{text}") };
        let document = step.command.get_array("documents").expect("documents")[0].clone();
        let document = document.as_document().cloned().expect("document");
        assert_eq!(document.keys().collect::<Vec<_>>(), ["_id", "b", "a", "at"]);
        assert!(matches!(document.get("_id"), Some(Bson::ObjectId(_))));
        assert_eq!(document.get("b"), Some(&Bson::Double(1.0)));
        assert_eq!(document.get("a"), Some(&Bson::Int64(1)));
        assert!(matches!(document.get("at"), Some(Bson::DateTime(_))));
    }

    #[test]
    fn operators_that_look_like_extended_json_stay_operators() {
        let text =
            "{create: 'a', validator: {x: {$type: 'date'}, y: {$regex: '^a', $options: 'i'}}}";
        let Ok(Step::Create(step)) = parse(text) else { panic!("{text}") };
        let validator = step.options.get_document("validator").expect("validator");
        assert_eq!(validator.get_document("x").expect("x").get_str("$type").ok(), Some("date"));
    }

    #[test]
    fn a_mistake_in_a_value_is_pointed_at() {
        let text = "{insert: 'a', documents: [{ok: 1}, {at: {$date: 'yesterday'}}]}";
        let error = parse(text).expect_err("no date");
        assert_eq!(&text[error.span], "{$date: 'yesterday'}");
    }

    #[test]
    fn a_placeholder_may_stand_for_a_number() {
        let text = "{createIndexes: 'a', indexes: [{key: {t: 1}, expireAfterSeconds: '60'}]}";
        let Ok(Step::CreateIndexes(step)) = parse(text) else { panic!("{text}") };
        assert_eq!(step.indexes[0].get_i64("expireAfterSeconds").ok(), Some(60));
    }

    #[test]
    fn debug_holds_no_password() {
        let step = parse("{createUser: 'u', pwd: 'hunter2', roles: []}").expect("step");
        assert!(!format!("{step:?}").contains("hunter2"));
    }
}
