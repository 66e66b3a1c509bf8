//! What a `collMod` changes, from what to what; pure.

use bson::{Bson, Document, doc};
use serde_json::json;

use super::catalog::{self, Collection, Index, native};
use super::steps::{CollMod, default_name};
use crate::store_error::StoreError;
use crate::stores::contract::Before;

/// How a collection stands towards a change of it. The old values are themselves a `collMod`.
pub(super) fn before(
    step: &CollMod,
    collection: &Collection,
    indexes: &[Index],
) -> Result<Before, StoreError> {
    let mut old = Old::default();
    for (name, wanted) in &step.changes {
        match (name.as_str(), wanted) {
            ("index", Bson::Document(wanted)) => old.index(step, wanted, indexes)?,
            (name, wanted) => old.option(name, wanted, &collection.options),
        }
    }
    if collection.is_view {
        old.view(&collection.options);
    }
    Ok(old.before())
}

#[derive(Default)]
struct Old {
    changes: bool,
    set: Document,
    cannot: Option<String>,
}

impl Old {
    fn option(&mut self, name: &str, wanted: &Bson, options: &Document) {
        let live = live_option(name, options);
        let (normal, live_normal) = (normal(name, wanted), normal(name, &live));
        if catalog::same_attribute(name, Some(&normal), Some(&live_normal)) {
            return;
        }
        self.changes = true;
        match (name, live) {
            ("timeseries", _) => {
                self.cannot("the granularity of a time series cannot be taken back")
            }
            (name, Bson::Null) => self.cannot(&format!("what `{name}` was before is not listed")),
            (name, live) => {
                self.set.insert(name, live);
            }
        }
    }

    /// What a view is is put back whole: see `apply`.
    fn view(&mut self, options: &Document) {
        if ["viewOn", "pipeline"].iter().any(|option| self.set.contains_key(option)) {
            self.set.insert("viewOn", live_option("viewOn", options));
            self.set.insert("pipeline", live_option("pipeline", options));
        }
    }

    fn index(
        &mut self,
        step: &CollMod,
        wanted: &Document,
        indexes: &[Index],
    ) -> Result<(), StoreError> {
        let live = meant(wanted, indexes).ok_or_else(|| no_index(step, wanted))?;
        let mut old = selector(wanted);
        let named = old.len();
        for (name, wanted) in wanted.iter().filter(|(name, _)| !SELECTORS.contains(&name.as_str()))
        {
            let value = live.spec.get(name).cloned();
            let absent = match name.as_str() {
                "hidden" | "prepareUnique" | "unique" => Some(Bson::from(false)),
                _ => None,
            };
            let before = value.or(absent);
            if before.as_ref().is_some_and(|before| catalog::equal(before, wanted)) {
                continue;
            }
            self.changes = true;
            match (name.as_str(), before) {
                ("unique", _) => {
                    self.cannot("an index made unique stays so: drop and make it again")
                }
                (name, None) => self.cannot(&format!(
                    "`{name}` cannot be taken off an index by collMod: drop and make it again"
                )),
                (name, Some(before)) => {
                    old.insert(name, before);
                }
            }
        }
        if old.len() > named {
            self.set.insert("index", old);
        }
        Ok(())
    }

    fn cannot(&mut self, reason: &str) {
        self.cannot = Some(reason.to_string());
    }

    fn before(self) -> Before {
        match (self.changes, self.cannot) {
            (false, _) => Before::found(),
            (true, Some(reason)) => Before::replaces(json!({ "cannot": reason })),
            (true, None) => Before::replaces(json!({ "set": native(&self.set) })),
        }
    }
}

const SELECTORS: [&str; 2] = ["name", "keyPattern"];

fn selector(wanted: &Document) -> Document {
    SELECTORS
        .iter()
        .filter_map(|name| Some((name.to_string(), wanted.get(name)?.clone())))
        .collect()
}

fn meant<'i>(wanted: &Document, indexes: &'i [Index]) -> Option<&'i Index> {
    indexes.iter().find(|index| match (wanted.get_str("name"), wanted.get("keyPattern")) {
        (Ok(name), _) => index.name == name,
        (Err(_), key) => catalog::same_attribute("key", key, index.spec.get("key")),
    })
}

fn no_index(step: &CollMod, wanted: &Document) -> StoreError {
    let name = match (wanted.get_str("name"), wanted.get_document("keyPattern")) {
        (Ok(name), _) => name.to_string(),
        (Err(_), Ok(key)) => default_name(key),
        (Err(_), Err(_)) => String::new(),
    };
    StoreError::refused(format!("the collection {} has no index {name}", step.collection))
        .hint("create the index in an earlier step, or correct its name")
}

/// The value that an option has now, as `collMod` would set it.
pub(super) fn live_option(name: &str, options: &Document) -> Bson {
    let listed = match name {
        "cappedSize" => "size",
        "cappedMax" => "max",
        name => name,
    };
    if let Some(value) = options.get(listed) {
        return value.clone();
    }
    match name {
        "validator" => Bson::from(doc! {}),
        "validationLevel" => Bson::from("strict"),
        "validationAction" => Bson::from("error"),
        "changeStreamPreAndPostImages" => Bson::from(doc! { "enabled": false }),
        "expireAfterSeconds" => Bson::from("off"),
        "pipeline" => Bson::Array(Vec::new()),
        _ => Bson::Null,
    }
}

fn normal(name: &str, value: &Bson) -> Bson {
    match name {
        // The server rounds it up to the next 256, as at creation.
        "cappedSize" => {
            let rounded = catalog::normal_options(&doc! { "size": value.clone() });
            rounded.get("size").cloned().unwrap_or(Bson::Null)
        }
        _ => value.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::steps::Step;
    use super::*;
    use crate::stores::contract::Standing;
    use crate::text::Node;
    use serde_json::Value;

    fn stands(text: &str, options: Document, index: Document) -> Before {
        let step = Step::parse(&Node::parse(text).expect("JSON5")).expect("step");
        let Step::CollMod(step) = step else { panic!("{text}") };
        let collection = Collection { name: "a".to_string(), is_view: false, options };
        let name = index.get_str("name").unwrap_or_default().to_string();
        let index = Index { name, spec: index, building: false };
        before(&step, &collection, &[index]).expect("before")
    }

    #[test]
    fn old_values_are_a_coll_mod() {
        let index = doc! { "key": { "t": 1 }, "name": "t_1", "expireAfterSeconds": 60 };
        for (text, old) in [
            (
                "{collMod: 'a', validator: {x: 1}, validationLevel: 'off'}",
                json!({"set": {"validator": {"y": 1}, "validationLevel": "strict"}}),
            ),
            (
                "{collMod: 'a', index: {name: 't_1', expireAfterSeconds: 90, hidden: true}}",
                json!({"set": {"index": {"name": "t_1", "expireAfterSeconds": 60, "hidden": false}}}),
            ),
            (
                "{collMod: 'a', index: {keyPattern: {t: 1}, expireAfterSeconds: 90}}",
                json!({"set": {"index": {"keyPattern": {"t": 1}, "expireAfterSeconds": 60}}}),
            ),
        ] {
            let before = stands(text, doc! { "validator": { "y": 1 } }, index.clone());
            assert_eq!(before, Before::replaces(old), "{text}");
        }
    }

    #[test]
    fn what_a_view_was_is_whole() {
        let step = Step::parse(&Node::parse("{collMod: 'v', pipeline: []}").expect("JSON5"));
        let Ok(Step::CollMod(step)) = step else { panic!("{step:?}") };
        let options = doc! { "viewOn": "c", "pipeline": [{ "$match": { "a": 1 } }] };
        let view = Collection { name: "v".to_string(), is_view: true, options };
        let old = json!({"set": {"pipeline": [{"$match": {"a": 1}}], "viewOn": "c"}});
        assert_eq!(before(&step, &view, &[]).expect("before"), Before::replaces(old));
    }

    #[test]
    fn what_has_the_wanted_value_is_found() {
        let index = doc! { "key": { "t": 1 }, "name": "t_1", "expireAfterSeconds": 60 };
        for text in [
            "{collMod: 'a', validationLevel: 'strict', validator: {y: 1}}",
            "{collMod: 'a', index: {name: 't_1', expireAfterSeconds: 60.0, hidden: false}}",
        ] {
            let before = stands(text, doc! { "validator": { "y": 1 } }, index.clone());
            assert_eq!(before.standing, Standing::Found, "{text}");
        }
    }

    #[test]
    fn what_cannot_be_taken_back_says_so() {
        let plain = doc! { "key": { "t": 1 }, "name": "t_1" };
        for text in [
            "{collMod: 'a', index: {name: 't_1', expireAfterSeconds: 60}}",
            "{collMod: 'a', index: {name: 't_1', unique: true}}",
        ] {
            let before = stands(text, doc! {}, plain.clone());
            assert!(matches!(&before.value["cannot"], Value::String(_)), "{text}");
        }
    }
}
