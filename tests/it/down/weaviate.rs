//! What `down` loses in Weaviate: each way to lose objects is refused with its figure before anything is
//! touched, and what loses nothing needs no flag. The server itself is asked what is there.

use serde_json::{Value, json};

use crate::support::{TestEnv, block_on, required};
use crate::witness;

/// What a V file does, what its U file does (empty: the derived inverse), which objects are there then, and
/// what is to be said. `@` is a class of the case's own.
struct Case(&'static str, &'static str, &'static [&'static str], &'static str);

const PLAIN: &str = "{ createClass: { class: '@', vectorizer: 'none', properties: [{ name: 'a', dataType: ['text'] }] } }";
const TENANTS: &str = "{ createClass: { class: '@', vectorizer: 'none', multiTenancyConfig: { enabled: true } } }, \
                       { addTenants: { class: '@', tenants: ['t1', 't2', 't3', 't4', 't5'] } }";
const NAMED: &str = "{ createClass: { class: '@', vectorConfig: { v: { vectorizer: { none: {} }, vectorIndexType: 'hnsw' } } } }";
const REFERS: &str = "{ createClass: { class: '@', vectorizer: 'none', properties: [{ name: 'to', dataType: ['@'] }] } }";

/// A name is that of a tenant; `-` an object of a class without; `zzz t` deactivates a tenant; `new t` is
/// one that no migration added.
#[rustfmt::skip]
const LOSSES: &[Case] = &[
    Case(PLAIN, "", &["-", "-", "-"], "class @ holds 3 objects"),
    Case(PLAIN, "{ deleteClass: '@' }", &["-"], "class @ holds 1 object"),
    Case(PLAIN, "{ deleteClass: '@' }, { createClass: { class: '@', vectorizer: 'none' } }", &["-"], "class @ holds 1 object"),
    Case(NAMED, "", &["-", "-"], "class @ holds 2 objects"),
    Case(REFERS, "{ updateClass: { class: '@', set: { description: 'x' } } }, { deleteClass: '@' }", &["-"], "class @ holds 1 object"),
    Case(TENANTS, "", &["t1", "t1", "t2"], "holds 3 objects"),
    Case(TENANTS, "{ deleteClass: '@' }", &["t1", "t3"], "class @ holds 2 objects"),
    Case(TENANTS, "{ removeTenants: { class: '@', tenants: ['t1'] } }", &["t1", "t2"], "class @ (t1) holds 1 object"),
    Case(TENANTS, "{ removeTenants: { class: '@', tenants: ['t1', 't2', 't3', 't4'] } }", &["t1", "t4"], "class @ (4 tenants) holds 2 objects"),
    Case(TENANTS, "{ removeTenants: { class: '@', tenants: ['t2'] } }", &["t2", "zzz t2"], "1 tenant that is not active cannot be counted"),
    Case(TENANTS, "{ deleteClass: '@' }", &["t2", "zzz t2"], "1 tenant that is not active cannot be counted"),
    Case(TENANTS, "{ removeTenants: { class: '@', tenants: ['app'] } }", &["new app", "app"], "class @ (app) holds 1 object"),
];

#[rustfmt::skip]
const HARMLESS: &[Case] = &[
    Case(PLAIN, "", &[], ""),
    Case(PLAIN, "{ updateClass: { class: '@', set: { description: 'x' } } }", &["-", "-"], ""),
    Case(TENANTS, "{ removeTenants: { class: '@', tenants: ['t5', 'nobody'] } }", &["t1", "t2"], ""),
    Case(TENANTS, "{ updateTenants: { class: '@', tenants: [{ name: 't5', activityStatus: 'INACTIVE' }] } }", &["t1"], ""),
    Case(TENANTS, "{ addTenants: { class: '@', tenants: ['t6'] } }", &["t1"], ""),
];

async fn ask(method: &str, path: &str, body: Value) -> Value {
    let (url, key) = (required("TEST_WEAVIATE_URL"), required("TEST_WEAVIATE_API_KEY"));
    let (status, answer) = witness::weaviate(&url, &key, method, path, body).await;
    assert!(status < 300, "{method} {path}: {status} {answer}");
    answer
}

fn class(env: &TestEnv, at: usize) -> String {
    format!("{}_{at}", env.class())
}

/// A project in which the V files are applied and the objects are there.
fn applied(cases: &[Case]) -> TestEnv {
    let env = TestEnv::new().with(&["weaviate"]);
    for (at, Case(made, undone, _, _)) in cases.iter().enumerate() {
        let own =
            |steps: &str| format!("{{ steps: [ {} ] }}", steps.replace('@', &class(&env, at)));
        env.file(&format!("migrations/weaviate/V{}__case.json5", at + 1), &own(made));
        if !undone.is_empty() {
            env.file(&format!("migrations/weaviate/U{}__case.json5", at + 1), &own(undone));
        }
    }
    env.run(&["up"]).expect(0);
    block_on(async {
        for (at, Case(_, _, objects, _)) in cases.iter().enumerate() {
            let tenants = format!("/schema/{}/tenants", class(&env, at));
            for object in *objects {
                if let Some(name) = object.strip_prefix("zzz ") {
                    let asleep = json!([{ "name": name, "activityStatus": "INACTIVE" }]);
                    ask("PUT", &tenants, asleep).await;
                } else if let Some(name) = object.strip_prefix("new ") {
                    ask("POST", &tenants, json!([{ "name": name }])).await;
                } else {
                    let mut one = json!({ "class": class(&env, at), "properties": {} });
                    if *object != "-" {
                        one["tenant"] = json!(object);
                    }
                    ask("POST", "/objects", one).await;
                }
            }
        }
    });
    env
}

/// The classes with their tenants, and the ids of the objects of those that are active.
fn everything(env: &TestEnv, cases: usize) -> Vec<Value> {
    block_on(async {
        let schema = ask("GET", "/schema", Value::Null).await;
        let mut all = Vec::new();
        for at in 0..cases {
            let name = class(env, at);
            let found = schema["classes"].as_array().expect("classes").iter();
            let found = found.clone().find(|one| one["class"] == *name).cloned();
            let mut parts = vec![String::new()];
            let mut tenants = Value::Null;
            if found.as_ref().is_some_and(|one| one["multiTenancyConfig"]["enabled"] == true) {
                tenants = ask("GET", &format!("/schema/{name}/tenants"), Value::Null).await;
                let active = tenants.as_array().expect("tenants").iter();
                let active = active.filter(|one| one["activityStatus"] == "HOT");
                parts = active
                    .map(|one| format!("&tenant={}", one["name"].as_str().expect("name")))
                    .collect();
                parts.sort();
            }
            let mut ids = Vec::new();
            for part in parts.iter().filter(|_| found.is_some()) {
                let listed = ask("GET", &format!("/objects?class={name}{part}"), Value::Null).await;
                let objects = listed["objects"].as_array().cloned().unwrap_or_default();
                ids.extend(objects.iter().map(|object| object["id"].clone()));
            }
            let mut names: Vec<String> =
                tenants.as_array().into_iter().flatten().map(Value::to_string).collect();
            names.sort();
            all.push(json!({ "class": found, "tenants": names, "objects": ids }));
        }
        all
    })
}

fn clean(env: &TestEnv, cases: usize) {
    block_on(async {
        for at in 0..cases {
            ask("DELETE", &format!("/schema/{}", class(env, at)), Value::Null).await;
        }
    });
}

#[test]
fn every_way_to_lose_objects_of_weaviate_is_refused() {
    let env = applied(LOSSES);
    let before = everything(&env, LOSSES.len());
    let refused = env.run(&["down", "--all", "--yes"]).expect(1);
    for (at, Case(_, undone, _, said)) in LOSSES.iter().enumerate() {
        let said = said.replace('@', &class(&env, at));
        let of_case = format!("weaviate@{}: ", at + 1);
        let lines: Vec<&str> =
            refused.stderr.lines().filter(|line| line.contains(&of_case)).collect();
        assert!(
            lines.iter().any(|line| line.contains(&said)),
            "{undone}: {said}\n{}",
            refused.stderr
        );
    }
    assert_eq!(everything(&env, LOSSES.len()), before, "nothing was touched");
    assert_eq!(env.ledger().iter().filter(|row| row.ends_with("applied")).count(), LOSSES.len());
    clean(&env, LOSSES.len());
}

#[test]
fn what_loses_no_object_needs_no_flag() {
    let env = applied(HARMLESS);
    let before = everything(&env, HARMLESS.len());
    env.run(&["down", "--all", "--yes"]).expect(0);
    let after = everything(&env, HARMLESS.len());
    assert_eq!(after[0]["class"], Value::Null, "an empty class goes");
    for (was, is) in before.iter().zip(&after).skip(1) {
        assert_eq!(is["objects"], was["objects"], "{is}");
    }
    clean(&env, HARMLESS.len());
}
