//! Which updates may be done twice to the same document: a batch that was under way when a run was
//! killed is done again by the next one. Pure.

use bson::{Bson, Document};

use super::catalog;

/// Why an update may not be repeated, and the way around it.
#[derive(Debug)]
pub(super) struct Refusal {
    pub message: String,
    pub hint: String,
}

/// Operators whose second application finds the work done.
const REPEATABLE: &[&str] = &[
    "$addToSet",
    // Sets a later time, which is as true as the first one.
    "$currentDate",
    "$max",
    "$min",
    "$pull",
    "$pullAll",
    "$rename",
    "$set",
    "$setOnInsert",
    "$unset",
];

/// Stages whose written fields can be told.
const STAGES: &[&str] = &["$addFields", "$set", "$unset"];

const RULE: &str = "let the filter exclude documents that are done, by a field that the same update \
                    changes: `filter: { migrated: { $exists: false } }` with \
                    `$set: { migrated: true }`, or `filter: { v: 1 }` with `$set: { v: 2 }`";

/// Refuses an update that must not be done twice, unless `filter` excludes the documents that are
/// done.
pub(super) fn check(filter: &Document, update: &Bson) -> Result<(), Refusal> {
    let doubtful = match update {
        Bson::Document(operators) => doubtful_operator(operators)?,
        Bson::Array(stages) => doubtful_stage(stages),
        _ => return Err(no_operators()),
    };
    match doubtful {
        None => Ok(()),
        Some(_) if excludes_done(filter, update) => Ok(()),
        Some(what) => Err(Refusal {
            message: format!(
                "{what} must not be done twice to a document, as happens where a run is killed in \
                 the middle of a batch"
            ),
            hint: RULE.to_string(),
        }),
    }
}

/// Whether an ordinary `update` command may be repeated: what it matches again it sets again.
pub(super) fn may_repeat(filter: &Document, update: &Bson) -> bool {
    check(filter, update).is_ok()
}

fn no_operators() -> Refusal {
    Refusal {
        message: "`update` is made of operators such as `$set`, or is a pipeline".to_string(),
        hint: "write `update: { $set: { … } }`".to_string(),
    }
}

fn doubtful_operator(operators: &Document) -> Result<Option<String>, Refusal> {
    if operators.is_empty() || operators.keys().any(|name| !name.starts_with('$')) {
        return Err(no_operators());
    }
    let doubtful = operators
        .iter()
        .find(|(name, value)| !REPEATABLE.contains(&name.as_str()) && !is_and_or_or(name, value));
    Ok(doubtful.map(|(name, _)| format!("`{name}`")))
}

/// `$bit` with `and` and `or` settles; `xor` swings.
fn is_and_or_or(name: &str, value: &Bson) -> bool {
    let settles = |bits: &Bson| bits.as_document().is_some_and(|bits| !bits.contains_key("xor"));
    name == "$bit" && value.as_document().is_some_and(|fields| fields.values().all(settles))
}

/// A pipeline may be repeated if no field that it writes is read by it.
fn doubtful_stage(stages: &[Bson]) -> Option<String> {
    let mut written = Vec::new();
    let mut read = Vec::new();
    for stage in stages {
        let Some((name, body)) = stage.as_document().and_then(|stage| stage.iter().next()) else {
            return Some("a stage that is no document".to_string());
        };
        if !STAGES.contains(&name.as_str()) {
            return Some(format!("a pipeline with `{name}`"));
        }
        match (name.as_str(), body) {
            ("$unset", body) => written.extend(unset_fields(body)),
            (_, Bson::Document(fields)) => {
                written.extend(fields.keys().cloned());
                fields.values().for_each(|value| fields_read(value, &mut read));
            }
            (_, _) => return Some(format!("a pipeline with this `{name}`")),
        }
    }
    let both = read.iter().find(|read| written.iter().any(|written| overlap(written, read)));
    both.map(|field| format!("a pipeline that both reads and writes `{field}`"))
}

fn unset_fields(body: &Bson) -> Vec<String> {
    let named = |value: &Bson| value.as_str().map(str::to_string);
    match body {
        Bson::Array(names) => names.iter().filter_map(named).collect(),
        one => named(one).into_iter().collect(),
    }
}

/// The field paths in an expression; `$$ROOT` and `$$CURRENT` read everything.
fn fields_read(value: &Bson, read: &mut Vec<String>) {
    match value {
        Bson::String(text) => match text.strip_prefix("$$") {
            Some(variable) => {
                let (name, path) = variable.split_once('.').unwrap_or((variable, ""));
                if name == "ROOT" || name == "CURRENT" {
                    read.push(path.to_string());
                }
            }
            None => read.extend(text.strip_prefix('$').map(str::to_string)),
        },
        Bson::Array(items) => items.iter().for_each(|item| fields_read(item, read)),
        // Names its field without a `$`, or computes the name.
        Bson::Document(fields) if fields.contains_key("$getField") => read.push(String::new()),
        Bson::Document(fields) => fields.values().for_each(|value| fields_read(value, read)),
        _ => {}
    }
}

/// Whether one path is the other or leads to it; the empty path leads to all.
fn overlap(a: &str, b: &str) -> bool {
    let leads = |a: &str, b: &str| {
        a.is_empty()
            || b.strip_prefix(a).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    leads(a, b) || leads(b, a)
}

/// Whether a document that `update` was applied to certainly no longer matches `filter`.
fn excludes_done(filter: &Document, update: &Bson) -> bool {
    filter.iter().any(|(field, condition)| match (field.as_str(), condition) {
        ("$and", Bson::Array(parts)) => {
            parts.iter().filter_map(Bson::as_document).any(|part| excludes_done(part, update))
        }
        (field, condition) => excluded(condition, &outcome(field, update)),
    })
}

/// What an update leaves in a field.
enum Outcome {
    /// Not known, or not touched.
    Open,
    /// This value.
    Is(Bson),
    /// Some value.
    Exists,
    /// No value.
    Absent,
    /// Another number than before.
    Moved,
}

fn outcome(field: &str, update: &Bson) -> Outcome {
    match update {
        Bson::Document(operators) => {
            operators.iter().find_map(|(name, fields)| operator_outcome(name, fields, field))
        }
        Bson::Array(stages) => stages
            .iter()
            .rev()
            .filter_map(|stage| stage.as_document()?.iter().next())
            .find_map(|(name, fields)| stage_outcome(name, fields, field)),
        _ => None,
    }
    .unwrap_or(Outcome::Open)
}

fn operator_outcome(operator: &str, fields: &Bson, field: &str) -> Option<Outcome> {
    let value = fields.as_document()?.get(field)?;
    Some(match operator {
        "$set" => Outcome::Is(value.clone()),
        "$currentDate" | "$push" | "$addToSet" => Outcome::Exists,
        "$unset" | "$rename" => Outcome::Absent,
        "$inc" if !catalog::equal(value, &Bson::from(0)) => Outcome::Moved,
        _ => Outcome::Open,
    })
}

fn stage_outcome(stage: &str, fields: &Bson, field: &str) -> Option<Outcome> {
    if stage == "$unset" {
        return unset_fields(fields).iter().any(|name| name == field).then_some(Outcome::Absent);
    }
    let value = fields.as_document()?.get(field)?;
    Some(match value {
        Bson::Boolean(_) | Bson::Int32(_) | Bson::Int64(_) | Bson::Double(_) => {
            Outcome::Is(value.clone())
        }
        Bson::String(text) if !text.starts_with('$') => Outcome::Is(value.clone()),
        _ => Outcome::Open,
    })
}

/// Whether a field left as `outcome` certainly fails `condition`.
fn excluded(condition: &Bson, outcome: &Outcome) -> bool {
    let Some(operators) = condition.as_document().filter(|document| is_operators(document)) else {
        return fails("$eq", condition, outcome);
    };
    operators.iter().any(|(operator, operand)| fails(operator, operand, outcome))
}

fn is_operators(document: &Document) -> bool {
    document.keys().next().is_some_and(|key| key.starts_with('$'))
}

fn fails(operator: &str, operand: &Bson, outcome: &Outcome) -> bool {
    let listed = |value: &Bson| {
        operand.as_array().is_some_and(|items| items.iter().any(|item| catalog::equal(item, value)))
    };
    match (operator, outcome) {
        ("$exists", Outcome::Is(_) | Outcome::Exists | Outcome::Moved) => is_false(operand),
        ("$exists", Outcome::Absent) => !is_false(operand),
        // A null in the filter matches absent fields too.
        ("$eq", Outcome::Absent) => *operand != Bson::Null,
        ("$eq", Outcome::Exists) => *operand == Bson::Null,
        ("$eq", Outcome::Is(value)) => {
            is_plain(operand) && is_scalar(value) && !catalog::equal(operand, value)
        }
        ("$eq", Outcome::Moved) => is_number(operand),
        ("$ne", Outcome::Is(value)) => catalog::equal(operand, value),
        ("$ne", Outcome::Absent) => *operand == Bson::Null,
        ("$in", Outcome::Is(value)) => {
            let plain = operand.as_array().is_some_and(|items| items.iter().all(is_plain));
            plain && is_scalar(value) && !listed(value)
        }
        ("$nin", Outcome::Is(value)) => listed(value),
        ("$lt", Outcome::Is(value)) => at_least(value, operand),
        ("$gt", Outcome::Is(value)) => at_least(operand, value),
        _ => false,
    }
}

fn is_false(operand: &Bson) -> bool {
    matches!(operand, Bson::Boolean(false)) || catalog::equal(operand, &Bson::from(0))
}

/// A value that matches by itself alone: not an array, whose elements match too.
fn is_scalar(value: &Bson) -> bool {
    !matches!(value, Bson::Array(_) | Bson::Document(_))
}

/// A value that matches what is equal to it alone: a regular expression matches more.
fn is_plain(operand: &Bson) -> bool {
    !matches!(operand, Bson::RegularExpression(_))
}

fn is_number(value: &Bson) -> bool {
    matches!(value, Bson::Int32(_) | Bson::Int64(_) | Bson::Double(_))
}

fn at_least(a: &Bson, b: &Bson) -> bool {
    match (a, b) {
        (Bson::Int32(a), Bson::Int32(b)) => a >= b,
        (Bson::Int64(a), Bson::Int64(b)) => a >= b,
        (Bson::DateTime(a), Bson::DateTime(b)) => a >= b,
        (Bson::String(a), Bson::String(b)) => a >= b,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bson::{bson, doc};

    fn allowed(filter: Document, update: Bson) -> bool {
        check(&filter, &update).is_ok()
    }

    #[test]
    fn what_settles_is_allowed() {
        for update in [
            bson!({ "$set": { "a": 1 }, "$unset": { "b": "" }, "$addToSet": { "c": 1 } }),
            bson!({ "$rename": { "a": "b" } }),
            bson!({ "$bit": { "flags": { "or": 4 } } }),
            bson!([{ "$set": { "name": { "$concat": ["$first", " ", "$last"] } } }]),
        ] {
            assert!(allowed(doc! {}, update.clone()), "{update}");
        }
    }

    #[test]
    fn what_adds_up_is_refused() {
        for update in [
            bson!({ "$inc": { "n": 1 } }),
            bson!({ "$set": { "a": 1 }, "$push": { "l": 1 } }),
            bson!({ "$mul": { "n": 2 } }),
            bson!({ "$pop": { "l": 1 } }),
            bson!({ "$bit": { "flags": { "xor": 4 } } }),
            bson!([{ "$set": { "n": { "$add": ["$n", 1] } } }]),
            bson!([{ "$set": { "b": "$a" } }, { "$unset": "a" }]),
            bson!([{ "$set": { "copy": "$$ROOT" } }]),
            bson!([{ "$replaceWith": "$sub" }]),
            bson!({ "a": 1 }),
            bson!({}),
        ] {
            assert!(!allowed(doc! {}, update.clone()), "{update}");
        }
    }

    #[test]
    fn a_filter_that_excludes_done_documents_allows_it() {
        let inc = |marker: Bson| {
            let mut update = doc! { "$inc": { "n": 1 } };
            update.extend(marker.as_document().cloned().unwrap_or_default());
            Bson::from(update)
        };
        for (filter, marker) in [
            (doc! { "done": { "$exists": false } }, bson!({ "$set": { "done": true } })),
            (doc! { "done": { "$ne": true } }, bson!({ "$set": { "done": true } })),
            (doc! { "v": 1 }, bson!({ "$set": { "v": 2 } })),
            (doc! { "v": { "$lt": 2 } }, bson!({ "$set": { "v": 2 } })),
            (doc! { "old": { "$exists": true } }, bson!({ "$unset": { "old": "" } })),
            (doc! { "s": { "$in": ["a", "b"] } }, bson!({ "$set": { "s": "c" } })),
            (
                doc! { "$and": [{ "v": null }, { "x": 1 }] },
                bson!({ "$currentDate": { "v": true } }),
            ),
            (doc! { "n": 1 }, bson!({})),
        ] {
            assert!(allowed(filter.clone(), inc(marker.clone())), "{filter} {marker}");
        }
        for (filter, marker) in [
            (doc! { "done": { "$exists": false } }, bson!({ "$set": { "other": true } })),
            (doc! { "done": true }, bson!({ "$set": { "done": true } })),
            (doc! { "v": { "$lt": 3 } }, bson!({ "$set": { "v": 2 } })),
            (doc! { "$or": [{ "v": 1 }] }, bson!({ "$set": { "v": 2 } })),
            (doc! { "n": { "$gt": 1 } }, bson!({})),
            (
                doc! { "s": Bson::try_from(serde_json::json!({
                    "$regularExpression": { "pattern": "^a", "options": "" },
                })).expect("regex") },
                bson!({ "$set": { "s": "ab" } }),
            ),
        ] {
            assert!(!allowed(filter.clone(), inc(marker.clone())), "{filter} {marker}");
        }
    }
}
