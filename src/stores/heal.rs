//! What puts a drifted object back as recorded, in the store's own steps; or why a person must.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::contract::Unit;
use super::remedy::{Drifted, Remedy};
use super::table::StoreKind;
use crate::shape::{Change, Shape};
use crate::text::ScriptError;

/// The way back for one object.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Heal {
    /// The object.
    pub object: String,
    /// How it differs.
    pub changes: Vec<Change>,
    /// The migration that puts it back, as a file of its store would have it; empty where none does.
    pub script: String,
    /// Whether it is run outside a transaction, as its header says.
    pub apart: bool,
    /// What the script does besides: messages that expire, an index that is built again.
    pub cautions: Vec<String>,
    /// What a person must decide, and why.
    pub person: Vec<String>,
}

/// What puts the `changes` of a store back, object by object, in an order that respects what needs
/// what. Pure: every script is parsed here, and one that its store refuses is a person's to decide.
pub fn heal(store: StoreKind, recorded: &Shape, changes: &[Change]) -> Vec<Heal> {
    let objects = &store.description().objects;
    let mut by_object: BTreeMap<&str, Vec<&Change>> = BTreeMap::new();
    for change in changes {
        by_object.entry(&change.object).or_default().push(change);
    }
    let mut heals: Vec<Heal> = by_object
        .into_iter()
        .map(|(object, changes)| {
            let whole = changes.iter().all(|change| change.attribute.is_none());
            let (kind, name) = objects.kind_and_name(object);
            let drifted = Drifted {
                kind,
                name,
                recorded: recorded.objects.get(object),
                changes: if whole { Vec::new() } else { changes.clone() },
            };
            let remedy = (objects.heal)(&drifted);
            checked(store, object, changes.into_iter().cloned().collect(), remedy)
        })
        .collect();
    heals.sort_by_key(|heal| (objects.rank)(objects.kind_and_name(&heal.object).0, &heal.script));
    heals
}

fn checked(store: StoreKind, object: &str, changes: Vec<Change>, remedy: Remedy) -> Heal {
    let script = match (remedy.sql.is_empty(), remedy.steps.is_empty()) {
        (false, _) => remedy.sql,
        (true, false) => document(&remedy.steps),
        (true, true) => String::new(),
    };
    let mut heal = Heal {
        object: object.to_string(),
        changes,
        script,
        apart: remedy.apart,
        cautions: remedy.cautions,
        person: remedy.person,
    };
    if let Err(error) = heal.units(store) {
        heal.script.clear();
        heal.cautions.clear();
        let hint = error.hint.map(|hint| format!(": {hint}")).unwrap_or_default();
        heal.person.push(format!("{}{hint}", error.message));
    }
    heal
}

fn document(steps: &[Value]) -> String {
    format!("{:#}", json!({ "placeholders": "off", "steps": steps }))
}

impl Heal {
    /// The script's units; none where it is empty.
    pub fn units(&self, store: StoreKind) -> Result<Vec<Unit>, ScriptError> {
        if self.script.is_empty() {
            return Ok(Vec::new());
        }
        let units = store.parse(&store.read(&self.script)?, self.apart)?;
        Ok(units.iter().map(Unit::of_ours).collect())
    }
}
