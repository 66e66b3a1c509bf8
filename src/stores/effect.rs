//! What a run made of the recorded shape of a store.

use std::borrow::Cow;
use std::collections::BTreeSet;

use super::table::StoreKind;
use crate::shape::Shape;

/// Whether an object is meant.
pub type Choice<'c> = &'c (dyn Fn(&str) -> bool + Sync);

/// The shape that is `recorded` from now on: with what became different between `before` and `live` of the
/// objects that are `ours`, and with those that were `found` to be ours though nothing changed. What the
/// run changed that nobody had recorded is its own from now on, with its parts.
pub fn effect(
    store: StoreKind,
    recorded: Shape,
    before: &Shape,
    live: Shape,
    (ours, found): (Choice<'_>, Choice<'_>),
) -> Shape {
    let before = caught_up(store, Cow::Borrowed(before), &live);
    let recorded = caught_up(store, Cow::Owned(recorded), &before).into_owned();
    let live = without_leftovers(store, live, &before);
    let adopted = adopted(store, &recorded, &before, &live, ours);
    recorded.with_effect(&before, live, ours, |object| found(object) || adopted.contains(object))
}

/// `shape` with what its version did not look at taken over from `live`, as it is there. An empty shape
/// is that of a store in which nothing was made: nothing in it can be less than whole.
pub fn caught_up<'s>(store: StoreKind, shape: Cow<'s, Shape>, live: &Shape) -> Cow<'s, Shape> {
    let objects = &store.description().objects;
    let comparison = &objects.comparison;
    if shape.version >= comparison.version {
        return shape;
    }
    let mut shape = shape.into_owned();
    let version = std::mem::replace(&mut shape.version, comparison.version);
    if shape.objects.is_empty() {
        return Cow::Owned(shape);
    }
    for (object, attributes) in &live.objects {
        let kind = objects.kind_and_name(object).0;
        let is_new = !(comparison.knew)(version, kind, None) && !(objects.is_builtin)(object);
        match shape.objects.get_mut(object) {
            None if is_new => shape.insert(object, attributes.clone()),
            None => {}
            Some(known) => {
                let unknown = |name: &str| !(comparison.knew)(version, kind, Some(name));
                let more = attributes.iter().filter(|(name, _)| unknown(name));
                known.extend(more.map(|(name, value)| (name.clone(), value.clone())));
            }
        }
    }
    Cow::Owned(shape)
}

/// `live` without what an operation left that was cut off: where there was an object before, it stays
/// as it was.
fn without_leftovers(store: StoreKind, mut live: Shape, before: &Shape) -> Shape {
    let leftover = store.description().objects.comparison.leftover;
    let is_left = |(object, attributes): &(&String, &_)| leftover(object, attributes).is_some();
    let left = live.objects.iter().filter(is_left);
    for object in left.map(|(object, _)| object.clone()).collect::<Vec<_>>() {
        match before.objects.get(&object) {
            Some(before) => live.insert(object, before.clone()),
            None => drop(live.objects.remove(&object)),
        }
    }
    live
}

/// The objects that nobody had recorded and that became different, with the parts that they have.
fn adopted(
    store: StoreKind,
    recorded: &Shape,
    before: &Shape,
    live: &Shape,
    ours: Choice<'_>,
) -> BTreeSet<String> {
    let objects = &store.description().objects;
    let unrecorded = |object: &&String| !recorded.objects.contains_key(*object);
    let changed = |object: &&String| {
        let (Some(before), Some(live)) = (before.objects.get(*object), live.objects.get(*object))
        else {
            return false;
        };
        let is_same = |name: &String| match (before.get(name), live.get(name)) {
            (Some(before), Some(live)) => {
                before == live || (objects.comparison.same)(name, before, live)
            }
            (before, live) => before == live,
        };
        before != live && !before.keys().chain(live.keys()).all(is_same)
    };
    let mut adopted: BTreeSet<String> = live
        .objects
        .keys()
        .filter(unrecorded)
        .filter(|object| ours(object))
        .filter(changed)
        .cloned()
        .collect();
    let mut parts: Vec<_> = match adopted.is_empty() {
        true => Vec::new(),
        false => live.objects.iter().filter(|(object, _)| unrecorded(object)).collect(),
    };
    // A part may have parts: a column has its sequence.
    loop {
        let known = adopted.len();
        parts.retain(|(object, attributes)| {
            let owners = (objects.part_of)(object, attributes);
            let is_part = owners.iter().any(|owner| adopted.contains(owner));
            if is_part {
                adopted.insert((*object).clone());
            }
            !is_part
        });
        if adopted.len() == known {
            return adopted;
        }
    }
}
