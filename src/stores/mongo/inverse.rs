//! What undoes a step, from what stood before it; pure.

use serde_json::{Map, Value, json};

use super::steps::Step;

/// The steps that undo `step`, which was applied over `before`; or why there are none.
pub(super) fn of(step: &Step, before: &Value) -> Result<Vec<Value>, String> {
    match step {
        Step::Create(step) => Ok(vec![json!({ "drop": step.collection })]),
        Step::CreateIndexes(step) => Ok(vec![indexes_made(&step.collection, before)]),
        Step::CollMod(step) => coll_mod(&step.collection, before),
        Step::Drop(step) => Ok(recreated(&step.collection, before)),
        Step::DropIndexes(step) => {
            Ok(vec![json!({ "createIndexes": step.collection, "indexes": before["indexes"] })])
        }
        Step::Rename(_) if before["replaced"] == true => {
            Err("the collection that it replaced is gone".to_string())
        }
        Step::Rename(step) => Ok(vec![json!({ "renameCollection": step.to, "to": step.from })]),
        Step::UpdateInBatches(_) => {
            Err("the documents' old values are not kept: write a U file".to_string())
        }
        Step::Command(step) => Err(format!("`{}` has no inverse: write a U file", step.name)),
    }
}

/// `createIndexes` creates the collection too, where there is none.
fn indexes_made(collection: &str, before: &Value) -> Value {
    if before["collection"] == "absent" {
        return json!({ "drop": collection });
    }
    json!({ "dropIndexes": collection, "index": before["make"] })
}

fn coll_mod(collection: &str, before: &Value) -> Result<Vec<Value>, String> {
    if let Some(reason) = before["cannot"].as_str() {
        return Err(reason.to_string());
    }
    Ok(vec![with_name("collMod", collection, &before["set"])])
}

fn recreated(collection: &str, before: &Value) -> Vec<Value> {
    let mut steps = vec![with_name("create", collection, &before["options"])];
    if before["indexes"].as_array().is_some_and(|indexes| !indexes.is_empty()) {
        steps.push(json!({ "createIndexes": collection, "indexes": before["indexes"] }));
    }
    steps
}

/// A command with its name in front, as the server wants it.
fn with_name(command: &str, collection: &str, arguments: &Value) -> Value {
    let mut step = Map::new();
    step.insert(command.to_string(), Value::from(collection));
    for (name, value) in arguments.as_object().into_iter().flatten() {
        step.insert(name.clone(), value.clone());
    }
    Value::Object(step)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stores::contract::Operation;
    use crate::text::Node;

    fn inverse(text: &str, before: Value) -> Result<String, String> {
        let step = Step::parse(&Node::parse(text).expect("JSON5")).expect("step");
        let steps = step.inverse(&before)?;
        for undo in &steps {
            Step::parse(&Node::from_json(undo)).expect("an inverse is a step");
        }
        Ok(Value::from(steps).to_string())
    }

    #[test]
    fn inverses_are_steps_again() {
        for (text, before, undo) in [
            ("{create: 'a'}", json!(null), r#"[{"drop":"a"}]"#),
            (
                "{createIndexes: 'a', indexes: [{key: {x: 1}}, {key: {y: 1}}]}",
                json!({"make": ["y_1"]}),
                r#"[{"dropIndexes":"a","index":["y_1"]}]"#,
            ),
            (
                "{createIndexes: 'a', indexes: [{key: {x: 1}}]}",
                json!({"make": ["x_1"], "collection": "absent"}),
                r#"[{"drop":"a"}]"#,
            ),
            (
                "{collMod: 'a', validationLevel: 'off'}",
                json!({"set": {"validationLevel": "strict"}}),
                r#"[{"collMod":"a","validationLevel":"strict"}]"#,
            ),
            (
                "{drop: 'a'}",
                json!({"options": {"capped": true, "size": 256},
                    "indexes": [{"key": {"b": 1, "a": -1}, "name": "n"}]}),
                r#"[{"create":"a","capped":true,"size":256},{"createIndexes":"a","indexes":[{"key":{"b":1,"a":-1},"name":"n"}]}]"#,
            ),
            (
                "{dropIndexes: 'a', index: 'n'}",
                json!({"indexes": [{"key": {"b": 1}, "name": "n", "unique": true}]}),
                r#"[{"createIndexes":"a","indexes":[{"key":{"b":1},"name":"n","unique":true}]}]"#,
            ),
            (
                "{renameCollection: 'a', to: 'b'}",
                json!({"replaced": false}),
                r#"[{"renameCollection":"b","to":"a"}]"#,
            ),
        ] {
            assert_eq!(inverse(text, before).expect(text), undo);
        }
    }

    #[test]
    fn what_has_no_inverse_says_why() {
        for (text, before) in [
            ("{collMod: 'a', index: {name: 'i', unique: true}}", json!({"cannot": "because"})),
            ("{renameCollection: 'a', to: 'b', dropTarget: true}", json!({"replaced": true})),
            ("{updateInBatches: 'a', update: {$set: {x: 1}}}", json!(null)),
            ("{insert: 'a', documents: []}", json!(null)),
        ] {
            assert!(inverse(text, before).is_err(), "{text}");
        }
    }
}
