//! Weaviate: changes made by its REST interface.

use serde_json::{Value, json};

use super::Way::{Heals, Person};
use super::{Case, case, is_told_and_healed};
use crate::support::{TestEnv, block_on, required};

const MADE: &str = "{ steps: [
    { createClass: { class: 'Name_A', description: 'first', vectorizer: 'none',
        vectorIndexConfig: { ef: 100 }, invertedIndexConfig: { bm25: { b: 0.7, k1: 1.2 }, stopwords: { preset: 'en' } },
        properties: [{ name: 'a', dataType: ['text'] }, { name: 'n', dataType: ['int'] }] } },
    { createClass: { class: 'Name_B', vectorizer: 'none', multiTenancyConfig: { enabled: true, autoTenantCreation: false },
        properties: [{ name: 'a', dataType: ['text'] }] } },
    { addTenants: { class: 'Name_B', tenants: ['kept', 'gone', 'asleep', { name: 'idle', activityStatus: 'INACTIVE' }] } },
    { createClass: { class: 'Name_C', vectorizer: 'none', properties: [{ name: 'a', dataType: ['text'] }] } },
] }";

/// A class and, as JSON, what is laid over it; or `+` and a property; or `-`; or what is done to tenants.
#[rustfmt::skip]
const CASES: &[Case<'static>] = &[
    case(r#"A {"vectorIndexConfig": {"ef": 200}}"#, &["class Name_A: vectorIndexConfig.ef"], Heals),
    case(r#"A {"vectorIndexConfig": {"flatSearchCutoff": 10}}"#, &["class Name_A: vectorIndexConfig.flatSearchCutoff"], Heals),
    case(r#"A {"vectorIndexConfig": {"dynamicEfMin": 50}}"#, &["class Name_A: vectorIndexConfig.dynamicEfMin"], Heals),
    case(r#"A {"description": "second"}"#, &["class Name_A: description"], Heals),
    case(r#"A {"invertedIndexConfig": {"bm25": {"b": 0.5}}}"#, &["class Name_A: invertedIndexConfig.bm25.b"], Heals),
    case(r#"A {"invertedIndexConfig": {"bm25": {"k1": 1.5}}}"#, &["class Name_A: invertedIndexConfig.bm25.k1"], Heals),
    case(r#"A {"invertedIndexConfig": {"stopwords": {"preset": "none"}}}"#, &["class Name_A: invertedIndexConfig.stopwords.preset"], Heals),
    case(r#"A {"invertedIndexConfig": {"stopwords": {"additions": ["foo"]}}}"#, &["class Name_A: invertedIndexConfig.stopwords.additions"], Heals),
    case(r#"B {"multiTenancyConfig": {"autoTenantCreation": true}}"#, &["class Name_B: multiTenancyConfig.autoTenantCreation"], Heals),
    case(r#"B {"description": "by hand"}"#, &["class Name_B: description"], Heals),
    case(r#"A +{"name": "hotfix", "dataType": ["text"]}"#, &["property Name_A.hotfix: not recorded"], Person),
    case(r#"B DELETE ["gone"]"#, &["tenant Name_B.gone: absent"], Heals),
    case(r#"B PUT [{"name": "asleep", "activityStatus": "INACTIVE"}]"#, &["tenant Name_B.asleep: activityStatus"], Heals),
    case(r#"B PUT [{"name": "idle", "activityStatus": "ACTIVE"}]"#, &[], Heals),
    case(r#"B POST [{"name": "app1"}, {"name": "app2"}, {"name": "app3"}]"#, &[], Heals),
    case("C -", &["class Name_C: absent"], Person),
];

async fn send(method: reqwest::Method, path: &str, body: Value) -> Value {
    let url = format!("{}/v1{path}", required("TEST_WEAVIATE_URL"));
    let request = reqwest::Client::new().request(method, url);
    let request = request.bearer_auth(required("TEST_WEAVIATE_API_KEY"));
    let request = if body.is_null() { request } else { request.json(&body) };
    let answer = request.send().await.expect("answer").error_for_status().expect(path);
    answer.json().await.unwrap_or_default()
}

/// The classes that can be put back, and the tenants with their status, as the server describes them.
async fn as_they_are(env: &TestEnv) -> Vec<Value> {
    let path = |class: &str| format!("/schema/{}_{class}", env.class());
    let get = async |path: String| send(reqwest::Method::GET, &path, Value::Null).await;
    let (a, b) = (get(path("A")).await, get(path("B")).await);
    let tenants = get(format!("{}/tenants", path("B"))).await;
    let by_name = tenants.as_array().expect("tenants").iter().map(|one| {
        (one["name"].as_str().expect("name").to_string(), one["activityStatus"].clone())
    });
    let all = json!([a, b, Value::Object(by_name.collect())]).to_string();
    // The server writes an empty list of stopwords in both ways.
    serde_json::from_str(&all.replace("[]", "null")).expect("JSON")
}

fn lay(over: &mut Value, under: &Value) {
    match (over, under) {
        (Value::Object(over), Value::Object(under)) => {
            for (key, value) in under {
                lay(over.entry(key.clone()).or_insert(Value::Null), value);
            }
        }
        (over, under) => *over = under.clone(),
    }
}

#[test]
fn what_is_changed_by_hand_is_told_and_healed() {
    aiplat_migrate::tls::install_provider();
    let env = TestEnv::new().with(&["weaviate"]);
    env.file("migrations/weaviate/V1__all.json5", MADE);
    env.run(&["up"]).expect(0);
    env.run(&["validate"]).expect(0);
    let before = block_on(as_they_are(&env));
    block_on(async {
        for case in CASES {
            let (class, change) = case.change.split_once(' ').expect("class");
            let path = format!("/schema/{}_{class}", env.class());
            let tenants = ["DELETE ", "PUT ", "POST "]
                .iter()
                .find_map(|verb| Some((verb.trim(), change.strip_prefix(verb)?)));
            if let Some((verb, tenants)) = tenants {
                let tenants = serde_json::from_str(tenants).expect("JSON");
                let verb = verb.parse().expect("method");
                send(verb, &format!("{path}/tenants"), tenants).await;
                continue;
            }
            match change.split_at(1) {
                ("-", _) => drop(send(reqwest::Method::DELETE, &path, Value::Null).await),
                ("+", property) => {
                    let property = serde_json::from_str(property).expect("JSON");
                    send(reqwest::Method::POST, &format!("{path}/properties"), property).await;
                }
                (_, _) => {
                    let mut class = send(reqwest::Method::GET, &path, Value::Null).await;
                    lay(&mut class, &serde_json::from_str(change).unwrap_or(json!(null)));
                    send(reqwest::Method::PUT, &path, class).await;
                }
            }
        }
    });
    is_told_and_healed(&env, "weaviate", CASES);
    let (mut was, mut is) = (before, block_on(as_they_are(&env)));
    for live in [&mut was, &mut is] {
        // A property cannot be dropped, and what was used is active.
        live[0]["properties"].take();
        live[2]["idle"].take();
    }
    assert_eq!(is[2]["app2"], "HOT", "what no migration added is left alone");
    for added in ["app1", "app2", "app3"] {
        is[2].as_object_mut().expect("tenants").shift_remove(added);
    }
    assert_eq!(is, was, "all is as before");
    let valid = env.run(&["validate"]).expect(0);
    let line = env
        .named("warning: weaviate: tenants Name_B: 3 that no migration added, beside 4 recorded");
    assert_eq!(valid.stdout.matches("no migration added").count(), 1, "{}", valid.stdout);
    valid.out(&line);
    // The server has others' classes, which are errors then; tenants never are.
    env.run(&["validate", "--strict"]).out(&line);
    // Shapes that were recorded before tenants were know none, and are not told to drift.
    env.sql("UPDATE aiplat_migrate.shape SET recorded = (SELECT jsonb_object_agg(key, value) FROM jsonb_each(recorded) WHERE key NOT LIKE 'tenant %') WHERE store = 'weaviate'");
    env.run(&["validate"]).expect(0).out("7 that no migration added");
    env.run(&["down", "--all", "--yes", "--allow-data-loss"]);
}
