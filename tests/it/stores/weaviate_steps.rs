//! Weaviate's steps as a migration writes them: what the server itself says of a class is taken, references
//! are looked at before the run, and tenants that a migration added are its own.

use serde_json::{Value, json};

use crate::support::{TestEnv, block_on, required};
use crate::witness;

fn ask(method: &str, path: &str, body: Value) -> Value {
    let (url, key) = (required("TEST_WEAVIATE_URL"), required("TEST_WEAVIATE_API_KEY"));
    block_on(async {
        let (status, answer) = witness::weaviate(&url, &key, method, path, body).await;
        assert!(status < 300, "{method} {path}: {status} {answer}");
        answer
    })
}

fn get(env: &TestEnv, path: &str) -> Value {
    ask("GET", &env.named(path), Value::Null)
}

fn clean(env: &TestEnv, classes: &[&str]) {
    for class in classes {
        ask("DELETE", &format!("/schema/{}_{class}", env.class()), Value::Null);
    }
}

fn one(steps: &str) -> TestEnv {
    let env = TestEnv::new().with(&["weaviate"]);
    env.file("migrations/weaviate/V1__a.json5", &format!("{{ steps: [ {steps} ] }}"));
    env
}

#[test]
fn what_the_server_says_of_its_classes_is_a_migration() {
    let env = TestEnv::new().with(&["weaviate"]);
    let name = env.class();
    let made = [
        json!({ "class": format!("{name}_Plain"), "vectorizer": "none" }),
        json!({ "class": format!("{name}_Tenants"), "vectorizer": "none", "multiTenancyConfig": { "enabled": true },
            "properties": [{ "name": "o", "dataType": ["object"], "nestedProperties": [{ "name": "s", "dataType": ["text"] }] }] }),
        json!({ "class": format!("{name}_Vectors"), "vectorConfig": {
            "v": { "vectorizer": { "none": {} }, "vectorIndexType": "hnsw" },
            "w": { "vectorizer": { "none": {} }, "vectorIndexType": "flat" },
            "x": { "vectorizer": { "none": {} }, "vectorIndexType": "flat", "vectorIndexConfig": { "bq": { "enabled": true } } } } }),
        json!({ "class": format!("{name}_Rich"), "vectorizer": "none", "description": "d",
            "vectorIndexConfig": { "distance": "dot", "sq": { "enabled": true } }, "shardingConfig": { "desiredCount": 2 },
            "invertedIndexConfig": { "stopwords": { "preset": "none", "additions": ["x"] } },
            "properties": [{ "name": "a", "dataType": ["text"], "tokenization": "field" }, { "name": "n", "dataType": ["int"] }] }),
    ];
    let classes = ["Plain", "Tenants", "Vectors", "Rich"];
    for class in &made {
        ask("POST", "/schema", class.clone());
    }
    let dump = |class: &str| get(&env, &format!("/schema/Name_{class}"));
    let before: Vec<Value> = classes.iter().map(|class| dump(class)).collect();
    let steps: Vec<Value> = before.iter().map(|class| json!({ "createClass": class })).collect();
    env.file("migrations/weaviate/V1__dump.json5", &json!({ "steps": steps }).to_string());
    // Where it came from, everything is there and equal.
    let found = env.run(&["up"]).expect(0);
    assert_eq!(
        found.stderr.matches("was there already").count()
            + found.stdout.matches("was there already").count(),
        4,
        "{found:?}"
    );
    env.run(&["validate"]).expect(0);
    clean(&env, &classes);
    // On another server it makes the same.
    env.sql("DROP SCHEMA aiplat_migrate CASCADE");
    env.run(&["up"]).expect(0);
    assert_eq!(classes.iter().map(|class| dump(class)).collect::<Vec<Value>>(), before);
    env.run(&["validate"]).expect(0);
    clean(&env, &classes);
}

#[test]
fn a_whole_schema_is_answered_with_the_right_form() {
    for text in [
        "{ classes: [ { class: 'Name_A' } ] }",
        "{ steps: [ { classes: [ { class: 'Name_A' } ] } ] }",
        "{ steps: [ { createClass: { classes: [ { class: 'Name_A' } ] } } ] }",
    ] {
        let env = TestEnv::new().with(&["weaviate"]);
        env.file("migrations/weaviate/V1__a.json5", text);
        env.run(&["up"])
            .expect(2)
            .says(&["V1__a.json5:1:", "write one `createClass` step per class"]);
    }
}

#[test]
fn the_index_of_old_servers_is_translated_and_that_is_said() {
    let env = one("{ createClass: { class: 'Name_A', vectorizer: 'none', properties: [ \
         { name: 't', dataType: ['text'], indexInverted: false }, { name: 'n', dataType: ['int'], indexInverted: true } ] } }");
    let up = env.run(&["up"]).expect(0);
    assert_eq!(up.stderr.matches("it is taken as `indexFilterable`").count(), 2, "{}", up.stderr);
    let live = get(&env, "/schema/Name_A");
    let of = |at: usize, key: &str| live["properties"][at][key].clone();
    assert_eq!(
        [of(0, "indexFilterable"), of(0, "indexSearchable"), of(1, "indexFilterable")],
        [false, false, true]
    );
    env.run(&["validate"]).expect(0);
    clean(&env, &["A"]);
}

#[test]
fn a_reference_to_a_class_that_is_not_there_yet_names_it() {
    let class = |name: &str, other: &str| {
        format!(
            "{{ createClass: {{ class: 'Name_{name}', vectorizer: 'none', properties: [{{ name: 'to', dataType: ['Name_{other}'] }}] }} }}"
        )
    };
    let plain =
        |name: &str| format!("{{ createClass: {{ class: 'Name_{name}', vectorizer: 'none' }} }}");
    let env = one(&format!("{}, {}", class("A", "B"), class("B", "A")));
    let named = env.named("Name_A.to refers to the class Name_B, which only step 2 makes");
    env.run(&["up"]).expect(2).says(&[
        &named,
        "V1__a.json5:1:",
        "make both classes first",
        "`addProperty`",
    ]);
    let schema = ask("GET", "/schema", Value::Null).to_string();
    assert!(!schema.contains(&env.class()), "nothing was made");
    let add = |name: &str, other: &str| {
        format!(
            "{{ addProperty: {{ class: 'Name_{name}', property: {{ name: 'to', dataType: ['Name_{other}'] }} }} }}"
        )
    };
    let steps = [plain("A"), plain("B"), add("A", "B"), add("B", "A"), class("C", "C")].join(", ");
    env.file("migrations/weaviate/V1__a.json5", &format!("{{ steps: [ {steps} ] }}"));
    env.run(&["up"]).expect(0);
    assert_eq!(
        get(&env, "/schema/Name_B")["properties"][0]["dataType"],
        json!([env.named("Name_A")])
    );
    // One that no file makes is told by the server that is asked.
    env.file(
        "migrations/weaviate/V2__d.json5",
        &format!("{{ steps: [ {} ] }}", class("D", "Nowhere")),
    );
    let named = env.named(
        "Name_D.to refers to the class Name_Nowhere, and Weaviate holds no class Name_Nowhere",
    );
    env.run(&["up"]).expect(1).says(&[&named, "make both classes first", "changed nothing"]);
    clean(&env, &["A", "B", "C"]);
}

#[test]
fn tenants_are_activated_and_deactivated_and_back() {
    let env = one(
        "{ createClass: { class: 'Name_A', vectorizer: 'none', multiTenancyConfig: { enabled: true } } }, \
                   { addTenants: { class: 'Name_A', tenants: ['x', 'y'] } }",
    );
    env.run(&["up"]).expect(0);
    env.file("migrations/weaviate/V2__b.json5", "{ steps: [ { updateTenants: { class: 'Name_A', tenants: [ \
         { name: 'x', activityStatus: 'INACTIVE' }, { name: 'y', activityStatus: 'ACTIVE' } ] } } ] }");
    env.run(&["up"]).expect(0);
    let status = |name: &str| {
        let tenants = get(&env, "/schema/Name_A/tenants");
        let found =
            tenants.as_array().expect("tenants").iter().find(|one| one["name"] == name).cloned();
        found.expect(name)["activityStatus"].as_str().expect("status").to_string()
    };
    assert_eq!((status("x"), status("y")), ("COLD".to_string(), "HOT".to_string()));
    env.run(&["validate"]).expect(0);
    env.run(&["down", "--yes"]).expect(0);
    assert_eq!(status("x"), "HOT");
    env.run(&["validate"]).expect(0);
    env.file("migrations/weaviate/V2__b.json5", "{ steps: [ { updateTenants: { class: 'Name_A', tenants: [ { name: 'nobody', activityStatus: 'ACTIVE' } ] } } ] }");
    env.run(&["up"]).expect(1).says(&["has no tenant nobody", "changed nothing"]);
    // What a migration removes is its own to remove.
    env.file(
        "migrations/weaviate/V2__b.json5",
        "{ steps: [ { removeTenants: { class: 'Name_A', tenants: ['y'] } } ] }",
    );
    env.run(&["up"]).expect(0);
    env.run(&["validate"]).expect(0);
    env.run(&["down", "--yes"]).expect(0);
    ask("DELETE", &env.named("/schema/Name_A/tenants"), json!(["y"]));
    let told = env.run(&["validate"]).expect(3);
    told.out(&env.named("tenant Name_A.y: absent"));
    clean(&env, &["A"]);
}
