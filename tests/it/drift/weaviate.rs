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
    { createClass: { class: 'Name_C', vectorizer: 'none', properties: [{ name: 'a', dataType: ['text'] }] } },
] }";

/// A class and, as JSON, what is laid over it; or `+` and a property; or `-`.
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
    block_on(async {
        for case in CASES {
            let (class, change) = case.change.split_once(' ').expect("class");
            let path = format!("/schema/{}_{class}", env.class());
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
    env.run(&["down", "--all", "--yes", "--allow-data-loss"]);
}
