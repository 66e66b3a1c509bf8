//! Normalised pictures of what lives in a store, and their difference.
//!
//! A shape maps objects (`index ttl on task_status_cache`) to their attributes. The ledger records
//! the shape that migrations made; `validate` holds it against the live one.

use std::collections::BTreeMap;
use std::fmt;

use litemap::LiteMap;
use serde::de::Error as _;
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

/// The attributes of one object, in the store's own words, sorted by name. Most objects have a few, and
/// a store may have tens of thousands of objects: a sorted vector takes a third of a tree's memory.
pub type Attributes = LiteMap<String, Value>;

/// The picture of one store: objects by name, the name beginning with the object's kind
/// (`table auth.users`, `topic data-ingestion`, `keyspace session:*`).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Shape {
    /// The version of what was looked at; 0 where nobody has written it down. The first is not written.
    pub version: u32,
    /// The objects.
    pub objects: BTreeMap<String, Attributes>,
}

/// Where the version stands, as if it were an object: `"shape version": {"is": 2}`.
const VERSION: (&str, &str) = ("shape version", "is");

impl Serialize for Shape {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        if self.version > 1 {
            map.serialize_entry(VERSION.0, &BTreeMap::from([(VERSION.1, self.version)]))?;
        }
        for (object, attributes) in &self.objects {
            map.serialize_entry(object, attributes)?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for Shape {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Shape, D::Error> {
        let mut objects = BTreeMap::<String, Attributes>::deserialize(deserializer)?;
        let Some(marker) = objects.remove(VERSION.0) else {
            return Ok(Shape { version: 0, objects });
        };
        let version = marker.get(VERSION.1).and_then(Value::as_u64);
        let version = version.and_then(|version| version.try_into().ok());
        let version = version.ok_or_else(|| D::Error::custom("its shape version is no number"))?;
        Ok(Shape { version, objects })
    }
}

/// One difference between two shapes.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Change {
    /// The object.
    pub object: String,
    /// The attribute; `None` when the object as a whole is there on one side only.
    pub attribute: Option<String>,
    /// The value on the first side; `None` where it is absent.
    pub before: Option<Value>,
    /// The value on the second side; `None` where it is absent.
    pub after: Option<Value>,
}

impl Change {
    /// That a recorded object is gone as a whole.
    pub fn absent(object: &str, recorded: &Shape) -> Change {
        let before = recorded.objects.get(object).map(as_value);
        Change { object: object.to_string(), attribute: None, before, after: None }
    }
}

/// The attribute that says which server described an object: a newer one may know more attributes,
/// which nobody set.
pub const SERVER: &str = "server version";

/// The attribute that lists the secret placeholders of whose values the texts of an object are templates:
/// where a value stood, `${name}` stands, and where that stood, `$${name}`.
pub const TEMPLATES: &str = "secret placeholders";

impl Shape {
    /// Says of every object that a server of this version described it.
    pub fn seen_by(mut self, version: &str) -> Shape {
        for attributes in self.objects.values_mut() {
            attributes.insert(SERVER.to_string(), Value::from(version));
        }
        self
    }

    /// Adds an object.
    pub fn insert(&mut self, object: impl Into<String>, attributes: Attributes) {
        // Collected anew, they take no more room than they need.
        self.objects.insert(object.into(), attributes.into_iter().collect());
    }

    /// The objects of one kind: those whose name begins with `kind` and a space.
    pub fn of_kind<'s>(&'s self, kind: &'s str) -> impl Iterator<Item = (&'s str, &'s Attributes)> {
        self.objects.iter().filter_map(move |(name, attributes)| {
            let rest = name.strip_prefix(kind)?.strip_prefix(' ')?;
            Some((rest, attributes))
        })
    }

    /// What turns this shape into `after`, object by object and attribute by attribute.
    pub fn changes_to(&self, after: &Shape) -> Vec<Change> {
        let mut changes = Vec::new();
        let names: std::collections::BTreeSet<&String> =
            self.objects.keys().chain(after.objects.keys()).collect();
        for name in names {
            match (self.objects.get(name), after.objects.get(name)) {
                (Some(before), Some(after)) => attribute_changes(name, before, after, &mut changes),
                (before, after) => changes.push(Change {
                    object: name.clone(),
                    attribute: None,
                    before: before.map(as_value),
                    after: after.map(as_value),
                }),
            }
        }
        changes
    }

    /// This shape with `changes` made to it: how a run's own effect reaches the recorded shape
    /// without taking in a drift that was there before.
    pub fn with(mut self, changes: &[Change]) -> Shape {
        for change in changes {
            match (&change.attribute, &change.after) {
                (None, Some(after)) => {
                    let attributes = serde_json::from_value(after.clone()).unwrap_or_default();
                    self.objects.insert(change.object.clone(), attributes);
                }
                (None, None) => {
                    self.objects.remove(&change.object);
                }
                (Some(attribute), Some(after)) => {
                    self.objects
                        .entry(change.object.clone())
                        .or_default()
                        .insert(attribute.clone(), after.clone());
                }
                (Some(attribute), None) => {
                    if let Some(attributes) = self.objects.get_mut(&change.object) {
                        attributes.remove(attribute);
                    }
                }
            }
        }
        self
    }

    /// This shape with what became different between `before` and `live`, of the objects that are
    /// `ours` and known or new, and with the live objects that were `found` to be ours. The same as
    /// [`Shape::with`] the changes, but what is new is moved, not copied: a run may have made thousands
    /// of objects.
    pub fn with_effect(
        mut self,
        before: &Shape,
        live: Shape,
        ours: impl Fn(&str) -> bool,
        found: impl Fn(&str) -> bool,
    ) -> Shape {
        let gone = before.objects.keys().filter(|name| !live.objects.contains_key(*name));
        for name in gone.filter(|name| ours(name)) {
            self.objects.remove(name);
        }
        // What a step was to end and found ended, as after the ledger was restored from a backup.
        self.objects.retain(|name, _| live.objects.contains_key(name) || !found(name));
        for (name, attributes) in live.objects {
            match before.objects.get(&name) {
                None if ours(&name) => {
                    self.objects.insert(name, attributes);
                }
                Some(before)
                    if *before != attributes && ours(&name) && self.objects.contains_key(&name) =>
                {
                    let mut changes = Vec::new();
                    attribute_changes(&name, before, &attributes, &mut changes);
                    self = self.with(&changes);
                }
                Some(_) | None if !self.objects.contains_key(&name) && found(&name) => {
                    self.objects.insert(name, attributes);
                }
                Some(_) | None => {}
            }
        }
        self
    }
}

fn as_value(attributes: &Attributes) -> Value {
    Value::Object(attributes.iter().map(|(name, value)| (name.clone(), value.clone())).collect())
}

fn attribute_changes(object: &str, before: &Attributes, after: &Attributes, to: &mut Vec<Change>) {
    let names: std::collections::BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    for name in names {
        let (before, after) = (before.get(name), after.get(name));
        if before != after {
            to.push(Change {
                object: object.to_string(),
                attribute: Some(name.clone()),
                before: before.cloned(),
                after: after.cloned(),
            });
        }
    }
}

/// How much of a text is shown from its first difference on.
const SHOWN: usize = 60;

/// One side of a difference; of a long text, what follows the first difference.
fn shown(value: &Option<Value>, other: &Option<Value>) -> String {
    let text = match value {
        None => return "absent".to_string(),
        Some(Value::String(text)) => text.clone(),
        Some(value) => value.to_string(),
    };
    if text.chars().count() <= SHOWN && !text.contains('\n') {
        return text;
    }
    let other = other.as_ref().and_then(Value::as_str).unwrap_or_default();
    let same = text.chars().zip(other.chars()).take_while(|(one, two)| one == two).count();
    let from = same.saturating_sub(SHOWN / 4);
    let part: String = text.chars().skip(from).take(SHOWN).collect();
    let part = part.split_whitespace().collect::<Vec<_>>().join(" ");
    let head = if from > 0 { "…" } else { "" };
    let tail = if from + SHOWN < text.chars().count() { "…" } else { "" };
    format!("{head}{part}{tail}")
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.attribute {
            Some(attribute) => write!(
                f,
                "{}: {attribute} {} → {}",
                self.object,
                shown(&self.before, &self.after),
                shown(&self.after, &self.before)
            ),
            None if self.after.is_none() => write!(f, "{}: absent", self.object),
            None => write!(f, "{}: not recorded", self.object),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn shape(value: Value) -> Shape {
        serde_json::from_value(value).expect("shape")
    }

    #[test]
    fn the_version_stands_beside_the_objects() {
        let text = r#"{"shape version":{"is":2},"table a":{"x":1}}"#;
        let read: Shape = serde_json::from_str(text).expect("shape");
        assert_eq!((read.version, read.objects.len()), (2, 1));
        assert_eq!(serde_json::to_string(&read).expect("text"), text);
        assert_eq!(shape(json!({"table a": {"x": 1}})).version, 0);
        let garbled = serde_json::from_str::<Shape>(r#"{"shape version":{"is":"x"}}"#);
        assert!(garbled.is_err_and(|error| error.to_string().contains("no number")));
    }

    #[test]
    fn a_run_adds_its_own_change_and_keeps_earlier_drift_visible() {
        let recorded = shape(json!({"topic a": {"retention.ms": "1"}}));
        let before = shape(json!({"topic a": {"retention.ms": "9"}}));
        let after = shape(json!({"topic a": {"retention.ms": "9"}, "topic b": {"partitions": 3}}));
        let now = recorded.with(&before.changes_to(&after));
        let drift = now.changes_to(&after);
        assert_eq!(drift.len(), 1);
        assert_eq!(drift[0].to_string(), "topic a: retention.ms 1 → 9");
    }

    proptest::proptest! {
        #[test]
        fn changes_lead_from_one_to_the_other(
            a in proptest::collection::btree_map("[ab]", proptest::collection::btree_map("[xy]", 0..3, 0..3), 0..3),
            b in proptest::collection::btree_map("[ab]", proptest::collection::btree_map("[xy]", 0..3, 0..3), 0..3),
        ) {
            let [a, b] = [a, b].map(|map| shape(json!(map)));
            proptest::prop_assert_eq!(a.clone().with(&a.changes_to(&b)), b);
        }

        #[test]
        fn an_effect_is_its_changes(
            shapes in proptest::collection::vec(proptest::collection::btree_map(
                "[abc]", proptest::collection::btree_map("[xy]", 0..3, 0..3), 0..4), 3),
        ) {
            let [recorded, before, live] = [0, 1, 2].map(|at| shape(json!(shapes[at])));
            let mut changes = before.changes_to(&live);
            let is_known = |change: &Change| recorded.objects.contains_key(&change.object);
            changes.retain(|change| change.attribute.is_none() || is_known(change));
            changes.retain(|change| change.object != "c");
            let effect = recorded.clone().with_effect(&before, live, |name| name != "c", |_| false);
            proptest::prop_assert_eq!(effect, recorded.with(&changes));
        }
    }
}
