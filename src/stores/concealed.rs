//! Shapes without secrets: the name of a placeholder stands where its value stands in a store.
//!
//! An object says of which placeholders its texts are templates. A live text is held against the
//! recorded one: what stands where a value stood is left out, whether today's value is known or not.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::secret::{Fit, Form, OTHER, Secrets, literals, names_in};
use crate::shape::{Attributes, Shape, TEMPLATES};
use crate::text::map_texts;

/// What stands for a text that a template does not fit.
pub const UNSHOWN: &str = "‹not shown, since a secret may stand in it›";

/// Whether a value of a shape lacks what stands in the store: a secret that is not today's, or a text that
/// may hold one. It can be neither recorded nor compared further.
pub fn is_concealed(value: &Value) -> bool {
    any_text(value, &|text| text == UNSHOWN || text.contains(OTHER))
}

/// Whether a value of a shape is not shown at all, so that nobody can tell what would be put back over it.
pub fn is_unshown(value: &Value) -> bool {
    any_text(value, &|text| text == UNSHOWN)
}

fn any_text(value: &Value, is_it: &dyn Fn(&str) -> bool) -> bool {
    match value {
        Value::String(text) => is_it(text),
        Value::Array(items) => items.iter().any(|item| any_text(item, is_it)),
        Value::Object(map) => map.values().any(|value| any_text(value, is_it)),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

/// The placeholders of whose values the texts of an object are templates.
pub fn templates(attributes: &Attributes) -> Vec<String> {
    let names = attributes.get(TEMPLATES).and_then(Value::as_array).into_iter().flatten();
    names.filter_map(Value::as_str).map(str::to_string).collect()
}

/// What the pictures of one connection told that is not in any of them.
#[derive(Debug, Default)]
pub(super) struct Memory {
    /// Values that are not today's, by the placeholders in whose place they stand.
    others: Vec<(String, String)>,
    /// The placeholders that recorded texts are templates of.
    names: BTreeSet<String>,
    /// What stands in the store where a picture does not show it, by object and attribute.
    concealed: BTreeMap<(String, String), Value>,
}

impl Memory {
    /// `secrets`, and what they were before today.
    pub fn known(&self, secrets: &Secrets) -> Secrets {
        match self.others.is_empty() {
            true => secrets.clone(),
            false => secrets.with(&self.others),
        }
    }

    /// `names`, and those of the recorded templates.
    pub fn named(&self, names: &[String]) -> Vec<String> {
        self.names.iter().chain(names).cloned().collect()
    }
}

/// Leaves secrets out of pictures of one store.
pub(super) struct Concealing<'a> {
    pub secrets: &'a Secrets,
    pub recorded: &'a Shape,
    /// The picture before the run, for the one after it.
    pub before: Option<&'a Shape>,
}

impl Concealing<'_> {
    /// `live` without secrets.
    pub fn conceal(&self, live: &mut Shape, memory: &mut Memory) {
        let has_templates =
            |shape: &Shape| shape.objects.values().any(|object| object.contains_key(TEMPLATES));
        if self.secrets.is_empty() && memory.others.is_empty() && !has_templates(self.recorded) {
            return hide_written_out(live);
        }
        memory.names.extend(self.recorded.objects.values().flat_map(templates));
        // What a secret was before today is known by the texts that fit, and may stand in others.
        let mut open: Vec<(String, String)> = Vec::new();
        for (object, attributes) in &mut live.objects {
            let Some(recorded) = self.recorded.objects.get(object) else { continue };
            let names = templates(recorded);
            for (attribute, value) in attributes.iter_mut() {
                let Some(template) = recorded.get(attribute) else { continue };
                // What a store holds nothing of is copied from the record.
                if value == template || count(template, &names).is_empty() {
                    continue;
                }
                match fitted(self.secrets, template, &names, value, &mut memory.others) {
                    Some(fit) => *value = fit,
                    None => open.push((object.clone(), attribute.clone())),
                }
            }
        }
        memory.others.retain(|(_, other)| other.len() >= SHORTEST);
        let known = memory.known(self.secrets);
        let names = names_of_objects(live, &known);
        let vague = known.vague(&|value| names.contains(value));
        for (object, attributes) in &mut live.objects {
            self.rest(object, attributes, (&known, &vague), &open, memory);
        }
        hide_written_out(live);
    }

    /// What no template was held against, or did not fit.
    fn rest(
        &self,
        object: &str,
        attributes: &mut Attributes,
        (known, vague): (&Secrets, &BTreeSet<&str>),
        open: &[(String, String)],
        memory: &mut Memory,
    ) {
        let recorded = self.recorded.objects.get(object);
        let mut names: BTreeSet<String> =
            recorded.map(templates).unwrap_or_default().into_iter().collect();
        let given: Vec<String> = names.iter().cloned().collect();
        let as_recorded = |attribute: &str, value: &Value| {
            recorded.and_then(|recorded| recorded.get(attribute)) == Some(value)
        };
        let is_open = |attribute: &str, value: &Value| {
            let is_template = recorded
                .and_then(|recorded| recorded.get(attribute))
                .is_some_and(|template| !count(template, &given).is_empty());
            let did_not_fit =
                || open.iter().any(|(one, other)| one == object && other == attribute);
            !is_template && !as_recorded(attribute, value) || did_not_fit()
        };
        let fresh: Vec<String> = attributes
            .iter()
            .filter(|(attribute, value)| is_open(attribute, value))
            .map(|(attribute, _)| attribute.clone())
            .collect();
        for attribute in &fresh {
            collect(&attributes[attribute], &|text| known.found_in(text, vague), &mut names);
        }
        if names.is_empty() {
            return;
        }
        let all: Vec<String> = names.into_iter().collect();
        for attribute in &fresh {
            let raw = attributes[attribute].clone();
            let wanted = recorded.and_then(|recorded| recorded.get(attribute));
            let wanted = wanted.map(|wanted| count(wanted, &given)).unwrap_or_default();
            let key = (object.to_string(), attribute.clone());
            let as_before = self.before.and_then(|before| {
                let before = before.objects.get(object)?.get(attribute)?;
                let is_same = memory.concealed.get(&key).is_none_or(|known| *known == raw);
                (is_concealed(before) && is_same).then(|| before.clone())
            });
            let template = map_texts(&raw, 0, &|text| known.template(text, vague, &all));
            let value = match (as_before, self.before) {
                (Some(before), _) => before,
                // What this run wrote is its own.
                (None, Some(_)) => template,
                (None, None) if is_accounted_for(&wanted, &count(&template, &all)) => {
                    map_texts(&raw, 0, &|text| known.picture(text, vague, &all))
                }
                (None, None) => Value::from(UNSHOWN),
            };
            if is_concealed(&value) {
                memory.concealed.insert(key, raw);
            }
            attributes.insert(attribute.clone(), value);
        }
        let stands = |name: &&String| {
            attributes.values().any(|value| {
                count(value, &all).contains_key(*name)
                    || given.contains(name) && is_concealed(value)
            })
        };
        let stands: Vec<&String> = all.iter().filter(stands).collect();
        if !stands.is_empty() {
            attributes.insert(TEMPLATES.to_string(), Value::from_iter(stands.into_iter().cloned()));
        }
    }
}

/// The attributes of SQL's objects that are no SQL.
const PROSE: [&str; 3] = ["comment", "value", OPTIONS];

/// Values that are shorter stand in any text.
const SHORTEST: usize = 4;

/// Marks in `live` the secrets of `names` whose values are words that may stand in any text, in what became
/// different of the objects that `is_named` says. In SQL they stand between quotes.
pub(super) fn mark_words(
    secrets: &Secrets,
    live: &mut Shape,
    before: &Shape,
    (names, is_sql): (&[String], bool),
    is_named: &dyn Fn(&str, &Attributes) -> bool,
) {
    let of_objects = names_of_objects(live, secrets);
    let vague = secrets.vague(&|value| of_objects.contains(value));
    let words = secrets.words(names, &vague);
    if words.is_empty() {
        return;
    }
    for (object, attributes) in &mut live.objects {
        let before = before.objects.get(object);
        if before == Some(&*attributes) || !is_named(object, attributes) {
            continue;
        }
        let mut marked = templates(attributes);
        for (attribute, value) in attributes.iter_mut() {
            if attribute == TEMPLATES
                || before.and_then(|before| before.get(attribute)) == Some(value)
            {
                continue;
            }
            let is_prose = !is_sql || PROSE.contains(&attribute.as_str());
            let template =
                map_texts(value, 0, &|text| secrets.template_of_quoted(text, &words, is_prose));
            marked.extend(count(&template, &words).into_keys());
            *value = template;
        }
        marked.sort();
        marked.dedup();
        if !marked.is_empty() {
            attributes.insert(TEMPLATES.to_string(), Value::from(marked));
        }
    }
}

/// `value`, steps or what stood before one, with secrets as marks, and their names; nothing where there are
/// none. Of those that are words of any text, the ones in `named` count, where they are no name: those stand
/// in the first `above` levels.
pub(super) fn template_of(
    value: &Value,
    secrets: &Secrets,
    named: &[String],
    above: usize,
) -> Option<(Value, Vec<String>)> {
    let vague = secrets.vague(&|_| false);
    let words = secrets.words(named, &vague);
    let mut names: BTreeSet<String> = words.iter().cloned().collect();
    collect(value, &|text| secrets.found_in(text, &vague), &mut names);
    let names: Vec<String> = names.into_iter().collect();
    if names.is_empty() {
        return None;
    }
    let template = map_texts(value, 0, &|text| secrets.template(text, &vague, &names));
    let template = match words.is_empty() {
        true => template,
        false => map_texts(&template, above, &|text| secrets.template_of_words(text, &words)),
    };
    let stands: Vec<String> = count(&template, &names).into_keys().collect();
    (!stands.is_empty()).then_some((template, stands))
}

/// A recorded shape with today's values in place of the marks; nothing where there are none. What is not
/// known stays as it is.
pub(super) fn opened(recorded: &Shape, secrets: &Secrets) -> Option<Shape> {
    let mut opened = None;
    for (object, attributes) in &recorded.objects {
        let names = templates(attributes);
        if names.is_empty() {
            continue;
        }
        let shape: &mut Shape = opened.get_or_insert_with(|| recorded.clone());
        let plain = attributes.iter().filter(|(attribute, _)| *attribute != TEMPLATES);
        let plain = plain.map(|(attribute, value)| {
            let rendered = |text: &str| {
                secrets.render(text, &names, Form::Plain).unwrap_or_else(|_| text.to_string())
            };
            (attribute.clone(), map_texts(value, 0, &rendered))
        });
        shape.objects.insert(object.clone(), plain.collect());
    }
    opened
}

/// The recorded shape as it is without secrets: an older version recorded them in the clear.
pub fn recorded_without(shape: &mut Shape, secrets: &Secrets) {
    if secrets.is_empty() {
        return;
    }
    let names = names_of_objects(shape, secrets);
    let vague = secrets.vague(&|value| names.contains(value));
    for attributes in shape.objects.values_mut().filter(|object| !object.contains_key(TEMPLATES)) {
        let mut names = BTreeSet::new();
        for value in attributes.values() {
            collect(value, &|text| secrets.found_in(text, &vague), &mut names);
        }
        if names.is_empty() {
            continue;
        }
        let names: Vec<String> = names.into_iter().collect();
        for (_, value) in attributes.iter_mut() {
            *value = map_texts(value, 0, &|text| secrets.template(text, &vague, &names));
        }
        attributes.insert(TEMPLATES.to_string(), Value::from(names));
    }
}

/// Passwords in options and settings that no placeholder stands for are left out.
fn hide_written_out(live: &mut Shape) {
    for (object, attributes) in &mut live.objects {
        let names = templates(attributes);
        let is_template = |text: &str| !names_in(text, &names).is_empty() || text.contains(OTHER);
        let own = object.strip_prefix("setting ").and_then(|rest| rest.split(' ').next());
        for (attribute, value) in attributes.iter_mut() {
            match value {
                Value::Object(options) if attribute == OPTIONS => {
                    let options =
                        options.iter_mut().filter(|(key, _)| literals::is_secret_name(key));
                    options.for_each(|(_, value)| hide(value, &is_template));
                }
                value if attribute == "value" && own.is_some_and(literals::is_secret_name) => {
                    hide(value, &is_template);
                }
                _ => {}
            }
        }
    }
}

/// The attribute with the options of a server of other data, by name.
const OPTIONS: &str = "option values";

fn hide(value: &mut Value, is_template: &dyn Fn(&str) -> bool) {
    if value.as_str().is_some_and(|text| !text.is_empty() && !is_template(text)) {
        *value = Value::from("…");
    }
}

/// The words in the names of objects that are the value of a secret, too.
fn names_of_objects(shape: &Shape, secrets: &Secrets) -> BTreeSet<String> {
    let is_word =
        |value: &&str| value.chars().all(|one| one.is_alphanumeric() || "_-$".contains(one));
    let values: BTreeSet<String> =
        secrets.values().filter(is_word).map(str::to_ascii_lowercase).collect();
    if values.is_empty() {
        return values;
    }
    let words = shape.objects.keys().flat_map(|object| {
        object.split(|one: char| !(one.is_alphanumeric() || "_-$".contains(one)))
    });
    let words = words.map(str::to_ascii_lowercase);
    words.filter(|word| values.contains(word)).collect()
}

/// `live` held against a template, string by string.
fn fitted(
    secrets: &Secrets,
    template: &Value,
    names: &[String],
    live: &Value,
    others: &mut Vec<(String, String)>,
) -> Option<Value> {
    match (template, live) {
        (Value::String(template), Value::String(text)) if !names_in(template, names).is_empty() => {
            let Fit { text, others: found } = secrets.fit(template, names, text)?;
            others.extend(found);
            Some(Value::from(text))
        }
        (Value::Array(templates), Value::Array(items)) if templates.len() == items.len() => {
            let pairs = templates.iter().zip(items);
            let fitted = pairs.map(|(one, item)| fitted(secrets, one, names, item, others));
            fitted.collect::<Option<Vec<Value>>>().map(Value::from)
        }
        (Value::Object(templates), Value::Object(map)) if templates.len() == map.len() => {
            let mut all = serde_json::Map::new();
            for (key, value) in map {
                all.insert(
                    key.clone(),
                    fitted(secrets, templates.get(key)?, names, value, others)?,
                );
            }
            Some(Value::from(all))
        }
        (template, live) => (template == live).then(|| live.clone()),
    }
}

/// How often the value of each of `names` stands in a value of a shape.
fn count(value: &Value, names: &[String]) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    if !names.is_empty() {
        visit(value, &mut |text| {
            for name in names_in(text, names) {
                *counts.entry(name).or_default() += 1;
            }
        });
    }
    counts
}

/// Whether every secret that stood in a template stands in another one as often: then none is left that
/// is not known.
fn is_accounted_for(wanted: &BTreeMap<String, usize>, found: &BTreeMap<String, usize>) -> bool {
    wanted.iter().all(|(name, count)| found.get(name).is_some_and(|found| found >= count))
}

fn collect(value: &Value, found: &dyn Fn(&str) -> BTreeSet<String>, names: &mut BTreeSet<String>) {
    visit(value, &mut |text| names.extend(found(text)));
}

fn visit(value: &Value, seen: &mut dyn FnMut(&str)) {
    match value {
        Value::String(text) => seen(text),
        Value::Array(items) => items.iter().for_each(|item| visit(item, seen)),
        Value::Object(map) => map.values().for_each(|value| visit(value, seen)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}
