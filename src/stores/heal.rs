//! What puts drifted objects back as recorded, in the store's own steps, or why a person must; and whether
//! it did.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::concealed::{is_unshown, templates};
use super::contract::Unit;
use super::drift::{Ignored, drift};
use super::remedy::{Drifted, Heal, Means, Remedy, Sql, Verdict};
use super::table::StoreKind;
use crate::secret::{Form, Secrets, names_in};
use crate::shape::{Change, Shape, TEMPLATES};
use crate::text::ScriptError;

/// What puts the `changes` of a store back, object by object, in an order that respects what needs
/// what. Pure: every script is parsed here, and one that its store refuses is a person's to decide.
///
/// Where the value of a secret placeholder stood, the scripts have its name; one whose value is not in
/// `secrets` is for a person.
pub fn heal(
    store: StoreKind,
    (recorded, live): (&Shape, &Shape),
    changes: &[Change],
    secrets: &Secrets,
) -> Vec<Heal> {
    let objects = &store.description().objects;
    let names = templates_of(recorded);
    let mut heals = Vec::new();
    let mut open: Vec<Change> = changes.to_vec();
    while !open.is_empty() {
        let found = heals_of(store, (recorded, live), &open, (secrets, &names));
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
    (recorded, live): (&Shape, &Shape),
    changes: &[Change],
    (secrets, names): (&Secrets, &[String]),
) -> Vec<(usize, Heal)> {
    let objects = &store.description().objects;
    let mut by_object: BTreeMap<&str, Vec<&Change>> = BTreeMap::new();
    for change in changes {
        by_object.entry(&change.object).or_default().push(change);
    }
    let one = |(object, changes): (&str, Vec<&Change>)| {
        let whole = changes.iter().all(|change| change.attribute.is_none());
        let (kind, name) = objects.kind_and_name(object);
        let known = recorded.objects.get(object).cloned().map(|mut known| {
            known.remove(TEMPLATES);
            known
        });
        let drifted = Drifted {
            kind,
            name,
            recorded: known.as_ref(),
            changes: if whole { Vec::new() } else { changes.clone() },
            live: changes.first().and_then(|change| change.after.as_ref()).filter(|_| whole),
            shape: recorded,
            there: live,
        };
        let remedy = (objects.heal)(&drifted);
        let rank = (objects.rank)(&drifted, &remedy);
        let there = drifted.live.and_then(|live| serde_json::from_value(live.clone()).ok());
        let attributes = drifted.recorded.cloned().or(there).unwrap_or_default();
        let changes: Vec<Change> = changes.into_iter().cloned().collect();
        let mut heal = checked(store, object, changes, remedy, (secrets, names));
        heal.part_of = (objects.part_of)(object, &attributes);
        (rank, heal)
    };
    by_object.into_iter().map(one).collect()
}

/// The secret placeholders of whose values texts of `recorded` are templates.
fn templates_of(recorded: &Shape) -> Vec<String> {
    let all: BTreeSet<String> = recorded.objects.values().flat_map(templates).collect();
    all.into_iter().collect()
}

fn checked(
    store: StoreKind,
    object: &str,
    changes: Vec<Change>,
    remedy: Remedy,
    (secrets, names): (&Secrets, &[String]),
) -> Heal {
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
        templates: names.to_vec(),
    };
    if let Some(why) = heal.kept_from(secrets) {
        heal.means = Means::None;
        heal.cautions.clear();
        heal.person = vec![why];
        return heal;
    }
    if let Err(error) = heal.units(store, secrets) {
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
    /// The units of its steps, with today's values of `secrets`; none where it has none.
    pub fn units(&self, store: StoreKind, secrets: &Secrets) -> Result<Vec<Unit>, ScriptError> {
        match &self.means {
            Means::None | Means::Sql(_) => Ok(Vec::new()),
            Means::Steps(script) => {
                let script = self.rendered(script, Form::Json, secrets);
                let mut units = store.parse(&store.read(&script)?, false)?;
                for unit in &mut units {
                    unit.label = secrets.hide(&unit.label);
                }
                Ok(units)
            }
        }
    }

    /// Its SQL, with today's values of `secrets`.
    pub fn sql(&self, secrets: &Secrets) -> Option<Sql> {
        let Means::Sql(sql) = &self.means else { return None };
        Some(sql.mapped(&|text| self.rendered(text, Form::Sql, secrets)))
    }

    /// What is not known stays as it is: that it is, was looked at when the way back was made.
    fn rendered(&self, text: &str, form: Form, secrets: &Secrets) -> String {
        secrets.render(text, &self.templates, form).unwrap_or_else(|_| text.to_string())
    }

    /// Why nothing can put it back, because of a secret.
    fn kept_from(&self, secrets: &Secrets) -> Option<String> {
        let texts = match &self.means {
            Means::None => return None,
            Means::Steps(script) => vec![script.clone()],
            Means::Sql(sql) => sql.texts(),
        };
        let used = texts.iter().flat_map(|text| names_in(text, &self.templates));
        let missing: BTreeSet<String> = used.filter(|name| !secrets.knows(name)).collect();
        let missing: Vec<String> = missing.iter().map(|name| name.to_uppercase()).collect();
        if !missing.is_empty() {
            let variables =
                missing.iter().map(|name| format!("AIPLAT_MIGRATE_PLACEHOLDER_{name}_FILE"));
            let variables: Vec<String> = variables.collect();
            return Some(format!(
                "it holds a secret that is never recorded: set {} and run this again",
                variables.join(", ")
            ));
        }
        let is_hidden = |change: &Change| change.after.as_ref().is_some_and(is_unshown);
        self.changes.iter().any(is_hidden).then(|| {
            "what stands there now is not what was recorded around a secret, and is not shown: look at it in \
             the store, and put it right by hand or by a migration"
                .to_string()
        })
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
