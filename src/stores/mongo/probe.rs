//! What stands before a step, and what became of one in doubt.

use bson::{Bson, Document, doc};
use serde_json::{Value, json};

use super::catalog::{self, Collection, Index, native};
use super::losses::is_zero;
use super::steps::{
    CollMod, Command, Create, CreateIndexes, Drop, DropIndexes, Rename, Step, UpdateInBatches,
    Which, name_of,
};
use super::{Mongo, changes, commands, idempotence, inserts, users};
use crate::store_error::StoreError;
use crate::stores::contract::{Before, Probe, Standing};

/// How the database stands towards `step`.
pub(super) async fn before(store: &Mongo, step: &Step) -> Result<Before, StoreError> {
    match step {
        Step::Create(step) => create(store, step).await,
        Step::CreateIndexes(step) => Ok(indexes_wanted(store, step).await?.before()),
        Step::CollMod(step) => coll_mod(store, step).await,
        Step::Drop(step) => drop(store, step).await,
        Step::DropIndexes(step) => drop_indexes(store, step).await,
        Step::Rename(step) => rename(store, step).await,
        Step::UpdateInBatches(step) => update_in_batches(store, step).await,
        Step::Command(step) => before_command(store, step).await,
    }
}

/// What became of `step`, which a run claimed over `before` and did not settle.
pub(super) async fn probe(
    store: &Mongo,
    step: &Step,
    claimed: &Before,
) -> Result<Probe, StoreError> {
    match step {
        Step::Create(step) => Ok(match create(store, step).await?.standing {
            Standing::Found => Probe::Done,
            Standing::Open => Probe::NotDone,
            Standing::Differs { live, .. } => differs(&step.collection, &live),
        }),
        Step::CreateIndexes(step) => Ok(indexes_wanted(store, step).await?.probe(claimed)),
        // Each of these finds the work done when it is done again, and then does nothing.
        Step::CollMod(_) | Step::Drop(_) | Step::DropIndexes(_) => {
            Ok(match before(store, step).await?.standing {
                Standing::Found => Probe::Done,
                Standing::Open | Standing::Differs { .. } => Probe::NotDone,
            })
        }
        Step::Rename(step) => probe_rename(store, step).await,
        // `parse` has made sure that a batch may be done twice.
        Step::UpdateInBatches(_) => Ok(Probe::NotDone),
        Step::Command(step) => probe_command(store, step).await,
    }
}

fn differs(what: &str, live: &str) -> Probe {
    Probe::Unknown(format!("{what} is there, but not as the migration wants it: {live}"))
}

fn missing(collection: &str) -> StoreError {
    StoreError::refused(format!("the collection {collection} does not exist"))
        .hint("create it in an earlier step, or correct the name")
}

/// How the database stands towards a collection or view that is to be created.
pub(super) async fn create(store: &Mongo, step: &Create) -> Result<Before, StoreError> {
    let Some(live) = catalog::collection(&store.db, &step.collection).await? else {
        return Ok(Before::absent());
    };
    let wanted = catalog::normal_options(&step.options);
    Ok(match catalog::differences(&wanted, &live.options) {
        None => Before::found(),
        Some((wanted, live)) => Before::differs(wanted, live),
    })
}

/// The indexes that a step wants, held against those that are there.
struct Indexes {
    collection_absent: bool,
    missing: Vec<String>,
    building: Vec<String>,
    differing: Vec<(String, String)>,
}

async fn indexes_wanted(store: &Mongo, step: &CreateIndexes) -> Result<Indexes, StoreError> {
    let (collection, live) = futures_util::try_join!(
        catalog::collection(&store.db, &step.collection),
        catalog::indexes(&store.db, &step.collection),
    )?;
    let collation = collection.as_ref().and_then(|found| found.options.get("collation"));
    let mut held = Indexes {
        collection_absent: collection.is_none(),
        missing: Vec::new(),
        building: Vec::new(),
        differing: Vec::new(),
    };
    for index in &step.indexes {
        held.compare(&with_collation(index, collation), &live);
    }
    Ok(held)
}

/// An index that names no collation gets that of its collection, unless it is one on text.
fn with_collation(index: &Document, collation: Option<&Bson>) -> Document {
    let mut wanted = catalog::normal_index(index);
    if let Some(collation) = collation
        && !index.contains_key("collation")
        && !wanted.contains_key("weights")
    {
        wanted.insert("collation", collation.clone());
    }
    wanted
}

/// What makes two indexes the same to the server, whatever their names.
const SIGNATURE: [&str; 5] = ["key", "collation", "partialFilterExpression", "unique", "sparse"];

impl Indexes {
    fn compare(&mut self, wanted: &Document, live: &[Index]) {
        let name = name_of(wanted);
        if let Some(same) = live.iter().find(|index| index.name == name) {
            match catalog::differences(wanted, &same.spec) {
                Some((wanted, live)) => self
                    .differing
                    .push((format!("index {name}: {wanted}"), format!("index {name}: {live}"))),
                None if same.building => self.building.push(name.to_string()),
                None => {}
            }
            return;
        }
        let same_signature = |index: &&Index| {
            SIGNATURE.iter().all(|attribute| {
                catalog::same_attribute(attribute, wanted.get(attribute), index.spec.get(attribute))
            })
        };
        match live.iter().find(same_signature) {
            Some(other) => self.differing.push((
                format!("index {name}: {}", native(wanted)),
                format!("index {}: {}", other.name, native(&other.spec)),
            )),
            None => self.missing.push(name.to_string()),
        }
    }

    fn differing(&self) -> Option<(String, String)> {
        if self.differing.is_empty() {
            return None;
        }
        let (wanted, live): (Vec<_>, Vec<_>) = self.differing.iter().cloned().unzip();
        Some((wanted.join("; "), live.join("; ")))
    }

    fn before(&self) -> Before {
        if let Some((wanted, live)) = self.differing() {
            return Before::differs(wanted, live);
        }
        // One that is still being built is not there yet: `createIndexes` waits for it.
        let make: Vec<&String> = self.missing.iter().chain(&self.building).collect();
        if make.is_empty() {
            return Before::found();
        }
        let mut value = json!({ "make": make });
        if self.collection_absent {
            value["collection"] = json!("absent");
        }
        Before::replaces(value)
    }

    fn probe(&self, claimed: &Before) -> Probe {
        if let Some((_, live)) = self.differing() {
            return differs("an index", &live);
        }
        if !self.building.is_empty() {
            return Probe::Running;
        }
        let claimed = claimed.value["make"].as_array();
        let is_missing = |name: &Value| self.missing.iter().any(|missing| *name == **missing);
        match claimed.into_iter().flatten().any(is_missing) {
            true => Probe::NotDone,
            false => Probe::Done,
        }
    }
}

async fn coll_mod(store: &Mongo, step: &CollMod) -> Result<Before, StoreError> {
    let (collection, indexes) = futures_util::try_join!(
        catalog::collection(&store.db, &step.collection),
        live_indexes(store, step),
    )?;
    let collection = collection.ok_or_else(|| missing(&step.collection))?;
    changes::before(step, &collection, &indexes)
}

/// The indexes, where the step names one: a view has none and refuses the question.
async fn live_indexes(store: &Mongo, step: &CollMod) -> Result<Vec<Index>, StoreError> {
    match step.changes.contains_key("index") {
        true => catalog::indexes(&store.db, &step.collection).await,
        false => Ok(Vec::new()),
    }
}

async fn drop(store: &Mongo, step: &Drop) -> Result<Before, StoreError> {
    let Some(live) = catalog::collection(&store.db, &step.collection).await? else {
        return Ok(Before::found());
    };
    let indexes = match live.is_view {
        true => Vec::new(),
        false => catalog::indexes(&store.db, &step.collection).await?,
    };
    Ok(Before::replaces(definition(&live, &indexes)))
}

fn definition(live: &Collection, indexes: &[Index]) -> Value {
    json!({ "options": native(&live.options), "indexes": specs(live, indexes.iter()) })
}

/// Definitions to make indexes from; those that come with the collection are left out.
fn specs<'i>(collection: &Collection, indexes: impl Iterator<Item = &'i Index>) -> Vec<Value> {
    let own = |index: &&Index| index.name != "_id_" && !index.spec.contains_key("clustered");
    let spec = |index: &Index| {
        let mut spec = index.spec.clone();
        // Otherwise it would take that of the collection.
        if collection.options.contains_key("collation") && !spec.contains_key("collation") {
            spec.insert("collation", doc! { "locale": "simple" });
        }
        native(&spec)
    };
    indexes.filter(own).map(spec).collect()
}

async fn drop_indexes(store: &Mongo, step: &DropIndexes) -> Result<Before, StoreError> {
    let Some(collection) = catalog::collection(&store.db, &step.collection).await? else {
        return Ok(Before::found());
    };
    let live = catalog::indexes(&store.db, &step.collection).await?;
    let meant = |index: &&Index| match &step.which {
        Which::All => true,
        Which::Named(names) => names.contains(&index.name),
        Which::Keyed(key) => catalog::same_attribute(
            "key",
            catalog::normal_index(&doc! { "key": key.clone() }).get("key"),
            index.spec.get("key"),
        ),
    };
    let there = specs(&collection, live.iter().filter(meant));
    Ok(match there.is_empty() {
        true => Before::found(),
        false => Before::replaces(json!({ "indexes": there })),
    })
}

async fn sides(store: &Mongo, step: &Rename) -> Result<(bool, bool), StoreError> {
    let exists = async |name: &str| {
        let (db, collection) = store.place(name);
        Ok(catalog::collection(&db, &collection).await?.is_some())
    };
    Ok((exists(&step.from).await?, exists(&step.to).await?))
}

async fn rename(store: &Mongo, step: &Rename) -> Result<Before, StoreError> {
    Ok(match sides(store, step).await? {
        (true, replaced) if step.drop_target || !replaced => {
            Before::replaces(json!({ "replaced": replaced }))
        }
        (true, _) => Before::differs(
            format!("{} free for the collection {}", step.to, step.from),
            format!("a collection {} beside {}", step.to, step.from),
        ),
        (false, true) => Before::found(),
        (false, false) => return Err(missing(&step.from)),
    })
}

async fn probe_rename(store: &Mongo, step: &Rename) -> Result<Probe, StoreError> {
    Ok(match sides(store, step).await? {
        (true, _) => Probe::NotDone,
        (false, true) => Probe::Done,
        (false, false) => Probe::Unknown(format!("neither {} nor {} is there", step.from, step.to)),
    })
}

async fn update_in_batches(store: &Mongo, step: &UpdateInBatches) -> Result<Before, StoreError> {
    match catalog::collection(&store.db, &step.collection).await? {
        None => Err(missing(&step.collection)),
        Some(found) if found.is_view => {
            Err(StoreError::refused(format!("{} is a view", step.collection))
                .hint("update the collection that it is on"))
        }
        Some(_) => Ok(Before::absent()),
    }
}

/// Most commands say nothing of how the database stands towards them.
async fn before_command(store: &Mongo, step: &Command) -> Result<Before, StoreError> {
    match step.name.as_str() {
        "insert" => inserts::before(store, step).await,
        _ => Ok(users::before(store, step).await?.unwrap_or_else(Before::absent)),
    }
}

async fn probe_command(store: &Mongo, step: &Command) -> Result<Probe, StoreError> {
    if let Some(known) = users::probe(store, step).await? {
        return Ok(known);
    }
    match step.name.as_str() {
        "insert" => inserts::probe(store, step).await,
        name if commands::is_repeatable(name) || is_repeatable_write(&step.command) => {
            Ok(Probe::NotDone)
        }
        name => Ok(Probe::Unknown(format!(
            "MongoDB cannot tell whether `{name}` was done, and to do it twice may do harm"
        ))),
    }
}

/// Whether an `update` or `delete` does no harm the second time.
fn is_repeatable_write(command: &Document) -> bool {
    let all = |name: &str, good: &dyn Fn(&Document) -> bool| {
        command
            .get_array(name)
            .is_ok_and(|writes| writes.iter().all(|write| write.as_document().is_some_and(good)))
    };
    all("deletes", &|delete| delete.get("limit").is_none_or(is_zero) || by_id(delete))
        || all("updates", &|update| {
            let multi = update.get_bool("multi").is_ok_and(|set| set);
            let upsert = update.get_bool("upsert").is_ok_and(|set| set);
            let filter = update.get_document("q").cloned().unwrap_or_default();
            // Without `multi` the second time may hit the next document.
            (by_id(update) || (multi && !upsert))
                && update.get("u").is_some_and(|change| idempotence::may_repeat(&filter, change))
        })
}

/// Whether a write names its one document.
fn by_id(write: &Document) -> bool {
    let id = write.get_document("q").ok().and_then(|filter| filter.get("_id"));
    id.is_some_and(|id| !matches!(id, Bson::Document(_) | Bson::RegularExpression(_)))
}
