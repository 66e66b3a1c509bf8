//! What puts drifted objects back as recorded, in the store's own steps, or why a person must; and whether
//! it did.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::contract::Unit;
use super::drift::{Ignored, drift};
use super::remedy::{Drifted, Heal, Means, Remedy, Verdict};
use super::table::StoreKind;
use crate::shape::{Change, Shape};
use crate::text::ScriptError;

/// What puts the `changes` of a store back, object by object, in an order that respects what needs
/// what. Pure: every script is parsed here, and one that its store refuses is a person's to decide.
pub fn heal(store: StoreKind, recorded: &Shape, live: &Shape, changes: &[Change]) -> Vec<Heal> {
    let objects = &store.description().objects;
    let mut heals = Vec::new();
    let mut open: Vec<Change> = changes.to_vec();
    while !open.is_empty() {
        let found = heals_of(store, recorded, live, &open);
        let back: BTreeSet<String> = found
            .iter()
            .filter(|(_, heal)| heal.is_possible() && is_absent(&heal.changes, recorded))
            .map(|(_, heal)| heal.object.clone())
            .collect();
        open = recorded
            .objects
            .iter()
            .filter(|(object, attributes)| {
                (objects.part_of)(object, attributes).iter().any(|owner| back.contains(owner))
            })
            .filter(|(object, _)| !changes.iter().any(|change| change.object == **object))
            .map(|(object, _)| Change::absent(object, recorded))
            .collect();
        heals.extend(found);
    }
    heals.sort_by_key(|(rank, _)| *rank);
    heals.into_iter().map(|(_, heal)| heal).collect()
}

/// Whether the object as a whole is gone.
fn is_absent(changes: &[Change], recorded: &Shape) -> bool {
    changes
        .iter()
        .all(|change| change.attribute.is_none() && recorded.objects.contains_key(&change.object))
}

/// The way back of each object and its place in the order.
fn heals_of(
    store: StoreKind,
    recorded: &Shape,
    live: &Shape,
    changes: &[Change],
) -> Vec<(usize, Heal)> {
    let objects = &store.description().objects;
    let mut by_object: BTreeMap<&str, Vec<&Change>> = BTreeMap::new();
    for change in changes {
        by_object.entry(&change.object).or_default().push(change);
    }
    let one = |(object, changes): (&str, Vec<&Change>)| {
        let whole = changes.iter().all(|change| change.attribute.is_none());
        let (kind, name) = objects.kind_and_name(object);
        let drifted = Drifted {
            kind,
            name,
            recorded: recorded.objects.get(object),
            changes: if whole { Vec::new() } else { changes.clone() },
            live: changes.first().and_then(|change| change.after.as_ref()).filter(|_| whole),
            shape: recorded,
            there: live,
        };
        let remedy = (objects.heal)(&drifted);
        let rank = (objects.rank)(&drifted, &remedy);
        let there = drifted.live.and_then(|live| serde_json::from_value(live.clone()).ok());
        let attributes = drifted.recorded.cloned().or(there).unwrap_or_default();
        let mut heal = checked(store, object, changes.into_iter().cloned().collect(), remedy);
        heal.part_of = (objects.part_of)(object, &attributes);
        (rank, heal)
    };
    by_object.into_iter().map(one).collect()
}

fn checked(store: StoreKind, object: &str, changes: Vec<Change>, remedy: Remedy) -> Heal {
    let means = match (remedy.sql.is_empty(), remedy.steps.is_empty()) {
        (false, _) => Means::Sql(remedy.sql),
        (true, false) => Means::Steps(document(&remedy.steps)),
        (true, true) => Means::None,
    };
    let mut heal = Heal {
        object: object.to_string(),
        changes,
        means,
        cautions: remedy.cautions,
        person: remedy.person,
        part_of: Vec::new(),
    };
    if let Err(error) = heal.units(store) {
        heal.means = Means::None;
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
    /// The units of its steps; none where it has none.
    pub fn units(&self, store: StoreKind) -> Result<Vec<Unit>, ScriptError> {
        match &self.means {
            Means::None | Means::Sql(_) => Ok(Vec::new()),
            Means::Steps(script) => store.parse(&store.read(script)?, false),
        }
    }
}

/// Judges by two pictures of a store, of which the second holds what a repair did and nothing that
/// others did meanwhile. Whatever became different must be as recorded now.
pub fn judge(
    store: StoreKind,
    recorded: &Shape,
    ignored: &Ignored,
    before: &Shape,
    after: &Shape,
) -> Verdict {
    let all = |live: &Shape| {
        let found = drift(store, recorded, live, ignored);
        let leftovers = found.leftovers.into_iter().map(|leftover| leftover.change);
        found.changes.into_iter().chain(leftovers).collect::<Vec<Change>>()
    };
    let (was, left) = (all(before), all(after));
    let optional = store.description().objects.optional;
    let is_spoilt = |change: &Change| {
        let known = recorded.objects.get(&change.object);
        match (known, change.attribute.as_deref()) {
            (Some(_), None) => {
                change.after.is_none() || left.iter().any(|left| left.object == change.object)
            }
            (Some(known), Some(attribute)) => match known.get(attribute) {
                Some(value) => change.after.as_ref() != Some(value),
                None => optional.contains(&attribute) || change.after.is_some(),
            },
            (None, None) => {
                let told = |was: &&Change| was.object == change.object && was.attribute.is_none();
                change.after.is_some() || !was.iter().any(|was| told(&was))
            }
            (None, Some(_)) => true,
        }
    };
    let spoilt = before.changes_to(after).into_iter().filter(is_spoilt).collect();
    let gone = recorded.objects.keys().filter(|object| !after.objects.contains_key(*object));
    Verdict { left, spoilt, gone: gone.cloned().collect() }
}
