//! What puts a drifted object back as recorded, in the store's own steps; or why a person must.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{Unit, kafka, mongo, parse, postgres, redis, weaviate};
use crate::migration::{Placeholders, ScriptError, Source, StoreKind};
use crate::shape::{Attributes, Change};

/// The way back for one object.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Heal {
    /// The object.
    pub object: String,
    /// How it differs.
    pub changes: Vec<Change>,
    /// The migration that puts it back, as a file of its store would have it; empty where none does.
    pub script: String,
    /// What the script does besides: messages that expire, an index that is built again.
    pub cautions: Vec<String>,
    /// What a person must decide, and why.
    pub person: Vec<String>,
}

/// What a store's own `heal` answers for one object.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Remedy {
    /// Steps of a document store.
    pub steps: Vec<Value>,
    /// SQL.
    pub sql: String,
    /// What the steps do besides.
    pub cautions: Vec<String>,
    /// What remains for a person.
    pub person: Vec<String>,
}

/// How one object differs from its record.
pub(super) struct Drifted<'a> {
    /// The kind of object: the first word or words of its name.
    pub kind: &'a str,
    /// Its name without the kind.
    pub name: &'a str,
    /// What is recorded; `None` for a part that was made by hand.
    pub recorded: Option<&'a Attributes>,
    /// The attributes that differ; empty where the object as a whole is there on one side only.
    pub changes: Vec<&'a Change>,
}

impl Remedy {
    pub fn steps(steps: impl IntoIterator<Item = Value>) -> Remedy {
        Remedy { steps: steps.into_iter().collect(), ..Remedy::default() }
    }

    pub fn sql(sql: impl Into<String>) -> Remedy {
        Remedy { sql: sql.into(), ..Remedy::default() }
    }

    pub fn person(why: impl Into<String>) -> Remedy {
        Remedy { person: vec![why.into()], ..Remedy::default() }
    }

    pub fn caution(mut self, caution: impl Into<String>) -> Remedy {
        self.cautions.push(caution.into());
        self
    }
}

impl Drifted<'_> {
    /// Whether it is gone as a whole.
    pub fn is_absent(&self) -> bool {
        self.recorded.is_some() && self.changes.is_empty()
    }

    /// Whether this attribute is among those that differ.
    pub fn differs_in(&self, attribute: &str) -> bool {
        self.changes.iter().any(|change| change.attribute.as_deref() == Some(attribute))
    }

    /// A recorded text; empty where there is none.
    pub fn text(&self, attribute: &str) -> &str {
        let recorded = self.recorded.and_then(|attributes| attributes.get(attribute));
        recorded.and_then(Value::as_str).unwrap_or_default()
    }
}

/// What is gone with the data that it held.
pub(super) fn gone_with_its_data(what: &str) -> Remedy {
    Remedy::person(format!(
        "{what} is gone with the data it held: bring it back from a backup; or record that it is \
         gone with repair --accept-drift and make it anew by a migration"
    ))
}

/// What puts the `changes` of a store back, object by object, in an order that respects what needs
/// what. Pure: every script is parsed here, and one that its store refuses is a person's to decide.
pub fn heal(store: StoreKind, recorded: &crate::shape::Shape, changes: &[Change]) -> Vec<Heal> {
    let mut by_object: BTreeMap<&str, Vec<&Change>> = BTreeMap::new();
    for change in changes {
        by_object.entry(&change.object).or_default().push(change);
    }
    let mut heals: Vec<Heal> = by_object
        .into_iter()
        .map(|(object, changes)| {
            let whole = changes.iter().all(|change| change.attribute.is_none());
            let (kind, name) = kind_and_name(object);
            let drifted = Drifted {
                kind,
                name,
                recorded: recorded.objects.get(object),
                changes: if whole { Vec::new() } else { changes.clone() },
            };
            let remedy = match store {
                StoreKind::Postgres => postgres::heal(&drifted),
                StoreKind::Mongo => mongo::heal(&drifted),
                StoreKind::Weaviate => weaviate::heal(&drifted),
                StoreKind::Kafka => kafka::heal(&drifted),
                StoreKind::Redis => redis::heal(&drifted),
            };
            checked(store, object, changes.into_iter().cloned().collect(), remedy)
        })
        .collect();
    heals.sort_by_key(|heal| rank(store, heal));
    heals
}

const TWO_WORDS: [&str; 2] = ["materialized view", "foreign table"];

fn kind_and_name(object: &str) -> (&str, &str) {
    let two = TWO_WORDS.iter().find_map(|kind| {
        let name = object.strip_prefix(kind)?.strip_prefix(' ')?;
        Some((*kind, name))
    });
    two.or_else(|| object.split_once(' ')).unwrap_or((object, ""))
}

fn rank(store: StoreKind, heal: &Heal) -> usize {
    match store {
        StoreKind::Postgres => postgres::rank(kind_and_name(&heal.object).0, &heal.script),
        StoreKind::Mongo | StoreKind::Weaviate | StoreKind::Kafka | StoreKind::Redis => 0,
    }
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
    /// The text that is applied, as errors name it.
    pub fn source(&self, store: StoreKind) -> Source {
        let file = format!("the repair of {}", self.object);
        Source::new(store, file, &self.script)
    }

    /// The script's units; none where it is empty.
    pub fn units(&self, store: StoreKind) -> Result<Vec<Unit>, ScriptError> {
        if self.script.is_empty() {
            return Ok(Vec::new());
        }
        let nowhere = |error: crate::error::Error| ScriptError::new(0..0, error.to_string());
        let script = self.source(store).script(&Placeholders::default()).map_err(nowhere)?;
        parse(&script)
    }
}
