//! Recorded against live: which difference is a drift, which object nobody's migration made.

use super::table::StoreKind;
use crate::shape::{Attributes, Change, SERVER, Shape, TEMPLATES};

/// What a store holds that the ledger does not say, and the other way round.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Drift {
    /// The differences in what migrations made.
    pub changes: Vec<Change>,
    /// The objects that no migration touched.
    pub unmanaged: Vec<String>,
    /// What operations that were cut off left beside what migrations made: it is never recorded.
    pub leftovers: Vec<Leftover>,
}

/// What an operation left that was cut off.
#[derive(Clone, Debug, PartialEq)]
pub struct Leftover {
    /// The object: there, and not recorded.
    pub change: Change,
    /// What ends it.
    pub end: String,
}

/// Patterns of objects that are not looked at: `table public.tmp_*`, where `*` stands for anything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ignored(pub Vec<String>);

impl Ignored {
    /// Whether `object` is one of them; a pattern without the kind of object matches every kind.
    pub fn covers(&self, store: StoreKind, object: &str) -> bool {
        let bare = store.description().objects.kind_and_name(object).1;
        self.0.iter().any(|pattern| matches(pattern, object) || matches(pattern, bare))
    }
}

/// Whether `text` is what `pattern` says, in which `*` stands for any text.
fn matches(pattern: &str, text: &str) -> bool {
    let Some((head, rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(text) = text.strip_prefix(head) else { return false };
    let starts = text.char_indices().map(|(at, _)| at).chain([text.len()]);
    starts.into_iter().any(|at| matches(rest, &text[at..]))
}

/// Holds the recorded shape of a store against the live one.
///
/// A part (a column, an index) of something that migrations made is theirs too: one made by hand is
/// a drift. What goes with its owner, or came with it, is told with the owner alone.
pub fn drift(store: StoreKind, recorded: &Shape, live: &Shape, ignored: &Ignored) -> Drift {
    let mut drift = Drift::default();
    let is_builtin = store.description().objects.is_builtin;
    let leftover = store.description().objects.comparison.leftover;
    for change in recorded.changes_to(live) {
        let object = change.object.as_str();
        let known = recorded.objects.get(object);
        let Some(attributes) = known.or_else(|| live.objects.get(object)) else { continue };
        let owners = owners(store, object, attributes, recorded, live);
        let is_ignored = |object: &str| ignored.covers(store, object);
        if is_ignored(object) || owners.iter().any(|owner| is_ignored(owner)) {
            continue;
        }
        let there = |shape: &Shape| owners.iter().any(|owner| shape.objects.contains_key(owner));
        match (known.is_some(), change.attribute.is_some() || change.after.is_some()) {
            (_, true) if change.attribute.as_deref() == Some(TEMPLATES) => {}
            (_, true) if unlooked_at(store, recorded, &change) => {}
            (true, true) if unasked(store, &change) || is_same(store, &change) => {}
            (true, true) if of_upgrade(known, live.objects.get(object), &change) => {}
            (true, true) => drift.changes.push(change),
            (true, false) if there(recorded) && !there(live) => {}
            // An older version recorded it; that it is gone is as it should be.
            (true, false) if leftover(object, attributes).is_some() => {}
            (true, false) => drift.changes.push(change),
            (false, _) if there(recorded) => match leftover(object, attributes) {
                Some(end) => drift.leftovers.push(Leftover { change, end }),
                None => drift.changes.push(change),
            },
            (false, _) if owners.is_empty() && !is_builtin(object) => {
                drift.unmanaged.push(object.to_string());
            }
            (false, _) => {}
        }
    }
    drift
}

/// The objects that this one is a part of, nearest first, as far as either shape knows them.
fn owners(
    store: StoreKind,
    object: &str,
    attributes: &Attributes,
    recorded: &Shape,
    live: &Shape,
) -> Vec<String> {
    let candidates = (store.description().objects.part_of)(object, attributes);
    let known =
        |owner: &String| recorded.objects.contains_key(owner) || live.objects.contains_key(owner);
    candidates.into_iter().filter(known).collect()
}

/// Attributes that are in one of the two shapes only because the settings ask for them.
fn unasked(store: StoreKind, change: &Change) -> bool {
    let optional = store.description().objects.optional;
    let one_sided = change.before.is_none() || change.after.is_none();
    one_sided && change.attribute.as_deref().is_some_and(|name| optional.contains(&name))
}

/// What the version that recorded the shape did not look at.
fn unlooked_at(store: StoreKind, recorded: &Shape, change: &Change) -> bool {
    let objects = &store.description().objects;
    let kind = objects.kind_and_name(&change.object).0;
    change.before.is_none()
        && recorded.version < objects.comparison.version
        && !(objects.comparison.knew)(recorded.version, kind, change.attribute.as_deref())
}

/// Two values that say the same.
fn is_same(store: StoreKind, change: &Change) -> bool {
    let same = store.description().objects.comparison.same;
    match (&change.attribute, &change.before, &change.after) {
        (Some(attribute), Some(before), Some(after)) => same(attribute, before, after),
        (_, _, _) => false,
    }
}

/// What a newer server says of an object by itself: its own version, and keys that it alone knows.
fn of_upgrade(recorded: Option<&Attributes>, live: Option<&Attributes>, change: &Change) -> bool {
    let version = |side: Option<&Attributes>| side.and_then(|side| side.get(SERVER)).cloned();
    let added = change.attribute.is_some() && change.before.is_none();
    change.attribute.as_deref() == Some(SERVER) || (added && version(recorded) != version(live))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn shape(value: serde_json::Value) -> Shape {
        serde_json::from_value(value).expect("shape")
    }

    fn told(drift: &Drift) -> Vec<String> {
        drift.changes.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn what_goes_with_its_owner_is_told_with_the_owner_alone() {
        let recorded = shape(json!({
            "table public.t": {}, "column public.t.a": {"type": "integer"},
            "constraint t_pkey on public.t": {"definition": "PRIMARY KEY (a)"},
            "sequence public.t_a_seq": {"owned by": "public.t.a"},
        }));
        let drift = drift(
            StoreKind::of_test("postgres"),
            &recorded,
            &Shape::default(),
            &Ignored::default(),
        );
        assert_eq!(told(&drift), ["table public.t: absent"]);
    }

    #[test]
    fn a_part_made_by_hand_is_drift_and_a_whole_object_is_unmanaged() {
        let recorded = shape(json!({"table public.t": {}}));
        let live = shape(json!({
            "table public.t": {}, "column public.t.hotfix": {"type": "text"},
            "table public.mine": {}, "column public.mine.a": {"type": "text"}, "schema public": {},
        }));
        let found = drift(StoreKind::of_test("postgres"), &recorded, &live, &Ignored::default());
        assert_eq!(told(&found), ["column public.t.hotfix: not recorded"]);
        assert_eq!(found.unmanaged, ["table public.mine"]);
        let ignored = Ignored(vec!["public.mi*".to_string(), "column *.hotfix".to_string()]);
        assert_eq!(
            drift(StoreKind::of_test("postgres"), &recorded, &live, &ignored),
            Drift::default()
        );
    }

    #[test]
    fn keys_that_only_a_newer_server_knows_are_no_drift() {
        let class = |version: &str, more: serde_json::Value| {
            let mut class = json!({"ef": 1, "server version": version});
            class
                .as_object_mut()
                .expect("object")
                .extend(more.as_object().cloned().expect("object"));
            shape(json!({ "class A": class }))
        };
        let old = class("1.28.2", json!({}));
        let told = |live: &Shape| {
            told(&drift(StoreKind::of_test("weaviate"), &old, live, &Ignored::default()))
        };
        assert_eq!(told(&class("1.30.0", json!({"rq.enabled": false}))), Vec::<String>::new());
        assert_eq!(told(&class("1.30.0", json!({"ef": 2, "rq.bits": 8}))), ["class A: ef 1 → 2"]);
        assert_eq!(
            told(&class("1.28.2", json!({"description": "x"}))),
            ["class A: description absent → x"]
        );
    }

    #[test]
    fn what_is_ignored_takes_its_parts_with_it() {
        let recorded = shape(json!({"collection a": {}, "index x on a": {"key": "x: 1"}}));
        let live = shape(json!({"collection a": {}}));
        let ignored = Ignored(vec!["collection a".to_string()]);
        let found = drift(StoreKind::of_test("mongo"), &recorded, &live, &ignored);
        assert_eq!(found, Drift::default());
    }

    #[test]
    fn a_star_stands_for_any_text() {
        for (pattern, text) in [("*", ""), ("a*c", "abc"), ("a*c*", "acbc"), ("*-dlq", "a-b-dlq")] {
            assert!(matches(pattern, text), "{pattern} {text}");
        }
        assert!(!matches("a*c", "abcd") && !matches("abc", "abcd"));
    }
}
