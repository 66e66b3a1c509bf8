//! The steps a migration may hold, read from its nodes, with their labels and inverses.

use std::collections::HashSet;

use serde_json::{Value, json};

use super::heal::part_of;
use super::schema;
use super::shape;
use crate::shape::Attributes;
use crate::stores::contract::Operation;
use crate::text::document::{Key, nearest, unknown_key};
use crate::text::{Fields, Node, ScriptError, Span};

/// One schema call.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Makes a class.
    CreateClass {
        /// Its name.
        class: String,
        /// The class as the API takes it.
        definition: Value,
        /// Its keys that are taken as other ones.
        translated: Vec<(Span, &'static str)>,
    },
    /// Adds a property to a class.
    AddProperty {
        /// The class.
        class: String,
        /// The property's name.
        name: String,
        /// The property as the API takes it.
        property: Value,
        /// Its keys that are taken as other ones.
        translated: Vec<(Span, &'static str)>,
    },
    /// Changes settings of a class.
    UpdateClass {
        /// The class.
        class: String,
        /// What is laid over the live class.
        set: Value,
    },
    /// Drops a class with all its objects.
    DeleteClass {
        /// The class.
        class: String,
    },
    /// Adds tenants to a class.
    AddTenants {
        /// The class.
        class: String,
        /// The tenants.
        tenants: Vec<Tenant>,
        /// Whether they are those of a class that was deleted, of which nobody knows who added them.
        as_read: bool,
    },
    /// Activates or deactivates tenants of a class.
    UpdateTenants {
        /// The class.
        class: String,
        /// The tenants, each with its status.
        tenants: Vec<Tenant>,
    },
    /// Drops tenants of a class with all their objects.
    RemoveTenants {
        /// The class.
        class: String,
        /// Their names.
        tenants: Vec<String>,
    },
}

/// A tenant of a class.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tenant {
    /// Its name.
    pub name: String,
    /// Its activity, in the words the server answers with; `None`: the server's default.
    pub status: Option<String>,
}

const NAMES: [&str; 7] = [
    "createClass",
    "addProperty",
    "updateClass",
    "deleteClass",
    "addTenants",
    "updateTenants",
    "removeTenants",
];

impl Step {
    /// Reads one step; what the server would drop, bend or refuse is an error here.
    pub fn parse(node: &Node) -> Result<Step, ScriptError> {
        let (key, body) = step_of(node)?;
        let trusted = as_read(node, key)?;
        match key.name.as_str() {
            "createClass" if trusted => as_the_server_gave_it(body),
            "createClass" => {
                let (class, definition) = schema::class(body)?;
                let translated = schema::translated(body);
                Ok(Step::CreateClass { class, definition, translated })
            }
            "addProperty" => add_property(body),
            "updateClass" => update_class(body),
            "deleteClass" => Ok(Step::DeleteClass { class: schema::class_name(body)? }),
            "addTenants" => add_tenants(body, trusted),
            "updateTenants" => update_tenants(body),
            "removeTenants" => remove_tenants(body),
            _ => Err(unknown_step(key)),
        }
    }
}

impl Operation for Step {
    /// What it does, in a few words.
    fn label(&self) -> String {
        match self {
            Step::CreateClass { class, .. } => format!("createClass {class}"),
            Step::AddProperty { class, name, .. } => format!("addProperty {class}.{name}"),
            Step::UpdateClass { class, .. } => format!("updateClass {class}"),
            Step::DeleteClass { class } => format!("deleteClass {class}"),
            Step::AddTenants { class, tenants, .. } => {
                format!("addTenants {class} ({})", listed(tenants.iter().map(|one| &one.name)))
            }
            Step::UpdateTenants { class, tenants } => {
                format!("updateTenants {class} ({})", listed(tenants.iter().map(|one| &one.name)))
            }
            Step::RemoveTenants { class, tenants } => {
                format!("removeTenants {class} ({})", listed(tenants.iter()))
            }
        }
    }

    fn hazards(&self) -> Vec<String> {
        match self {
            Step::CreateClass { .. }
            | Step::UpdateClass { .. }
            | Step::AddTenants { .. }
            | Step::UpdateTenants { .. } => Vec::new(),
            Step::AddProperty { .. } => vec![
                "cannot be undone, and objects that are there already are not in its index".into(),
            ],
            Step::DeleteClass { .. } => vec!["deletes the class with all its objects".into()],
            Step::RemoveTenants { .. } => vec!["deletes the tenants with all their objects".into()],
        }
    }

    fn inverse(&self, before: &Value) -> Result<Vec<Value>, String> {
        match self {
            Step::CreateClass { class, .. } => Ok(vec![json!({ "deleteClass": class })]),
            Step::AddProperty { class, name, .. } => Err(format!(
                "Weaviate cannot drop a property: to be rid of {class}.{name}, {}",
                schema::WAY_AROUND
            )),
            Step::UpdateClass { class, .. } => {
                Ok(vec![json!({ "updateClass": { "class": class, "set": before["set"] } })])
            }
            Step::DeleteClass { class } => Ok(recreated(class, before)),
            Step::AddTenants { class, .. } => Ok(vec![
                json!({ "removeTenants": { "class": class, "tenants": before["tenants"] } }),
            ]),
            Step::UpdateTenants { class, .. } => Ok(vec![
                json!({ "updateTenants": { "class": class, "tenants": before["tenants"] } }),
            ]),
            Step::RemoveTenants { class, .. } => {
                Ok(vec![json!({ "addTenants": { "class": class, "tenants": before["tenants"] } })])
            }
        }
    }

    fn removes(&self) -> bool {
        matches!(self, Step::DeleteClass { .. } | Step::RemoveTenants { .. })
    }

    fn touches(&self, object: &str) -> bool {
        let class = match self {
            Step::CreateClass { class, .. }
            | Step::AddProperty { class, .. }
            | Step::UpdateClass { class, .. }
            | Step::DeleteClass { class }
            | Step::AddTenants { class, .. }
            | Step::UpdateTenants { class, .. }
            | Step::RemoveTenants { class, .. } => class,
        };
        let of_class = part_of(object);
        let class = format!("class {class}");
        object == class || of_class.contains(&class)
    }

    fn makes(&self, object: &str) -> bool {
        match self {
            Step::CreateClass { class, definition, .. } => {
                let properties = definition["properties"].as_array().into_iter().flatten();
                let mut names = properties.filter_map(|property| property["name"].as_str());
                object == format!("class {class}")
                    || names.any(|name| object == format!("property {class}.{name}"))
            }
            Step::AddProperty { class, name, .. } => object == format!("property {class}.{name}"),
            Step::DeleteClass { .. } => Operation::touches(self, object),
            Step::AddTenants { .. } | Step::RemoveTenants { .. } => {
                self.declares().iter().any(|(tenant, _)| tenant == object)
            }
            Step::UpdateClass { .. } | Step::UpdateTenants { .. } => false,
        }
    }

    /// A class may have any number of tenants that applications add: recorded are those of migrations.
    fn declares(&self) -> Vec<(String, Option<Attributes>)> {
        match self {
            Step::AddTenants { class, tenants, as_read: false } => tenants
                .iter()
                .map(|one| {
                    let status = one.status.as_deref().unwrap_or("HOT");
                    (shape::tenant(class, &one.name), Some(shape::of_tenant(status)))
                })
                .collect(),
            Step::RemoveTenants { class, tenants } => {
                tenants.iter().map(|name| (shape::tenant(class, name), None)).collect()
            }
            _ => Vec::new(),
        }
    }

    fn remarks(&self) -> Vec<(Span, &'static str)> {
        match self {
            Step::CreateClass { translated, .. } | Step::AddProperty { translated, .. } => {
                translated.clone()
            }
            _ => Vec::new(),
        }
    }
}

impl Tenant {
    /// The tenant as the API takes it.
    pub(super) fn to_json(&self) -> Value {
        match &self.status {
            Some(status) => json!({ "name": self.name, "activityStatus": status }),
            None => json!({ "name": self.name }),
        }
    }
}

/// Up to three names, or how many there are.
pub(super) fn listed<'t>(names: impl ExactSizeIterator<Item = &'t String>) -> String {
    let count = names.len();
    match count {
        0..=3 => names.map(String::as_str).collect::<Vec<_>>().join(", "),
        _ => format!("{count} tenants"),
    }
}

fn step_of(node: &Node) -> Result<(&Key, &Node), ScriptError> {
    let mut named = node.object("a step")?.iter().filter(|(key, _)| key.name != "asRead");
    let Some((key, body)) = named.next() else {
        let hint = format!("a step is one of {}", NAMES.join(", "));
        return Err(ScriptError::new(node.span.clone(), "an empty step").hint(hint));
    };
    match named.next() {
        None => Ok((key, body)),
        Some((second, _)) if NAMES.contains(&key.name.as_str()) => Err(unknown_key(
            second,
            &format!("{} (one step does one thing)", key.name),
            &["asRead"],
        )),
        Some(_) => Err(unknown_step(key)),
    }
}

/// Whether a class to be made is the server's own description, kept by `deleteClass`: a server
/// newer than this tool may have put words into it that the tables lack.
fn as_read(node: &Node, step: &Key) -> Result<bool, ScriptError> {
    match node.get("asRead") {
        None => Ok(false),
        Some(flag) if ["createClass", "addTenants"].contains(&step.name.as_str()) => {
            flag.boolean("asRead")
        }
        Some(flag) => {
            let message = format!("{} does not know the key `asRead`", step.name);
            Err(ScriptError::new(flag.span.clone(), message).hint("take it out"))
        }
    }
}

fn as_the_server_gave_it(node: &Node) -> Result<Step, ScriptError> {
    let named = node.get("class").unwrap_or(node);
    let class = schema::class_name(named)?;
    Ok(Step::CreateClass { class, definition: node.to_json(), translated: Vec::new() })
}

fn add_property(node: &Node) -> Result<Step, ScriptError> {
    let mut fields = Fields::of(node, "addProperty")?;
    let class = schema::class_name(fields.required("class")?)?;
    let property = fields.required("property")?;
    fields.finish()?;
    let translated = schema::translated(property);
    let property = schema::property(property, "property")?;
    let name = property["name"].as_str().unwrap_or_default().to_string();
    Ok(Step::AddProperty { class, name, property, translated })
}

fn update_class(node: &Node) -> Result<Step, ScriptError> {
    let mut fields = Fields::of(node, "updateClass")?;
    let class = schema::class_name(fields.required("class")?)?;
    let set = fields.required("set")?;
    fields.finish()?;
    Ok(Step::UpdateClass { class, set: schema::changes(set)? })
}

fn add_tenants(node: &Node, as_read: bool) -> Result<Step, ScriptError> {
    let (class, items) = class_and_tenants(node, "addTenants")?;
    let tenants = items.iter().map(tenant).collect::<Result<Vec<_>, _>>()?;
    each_once(items, tenants.iter().map(|one| &one.name))?;
    Ok(Step::AddTenants { class, tenants, as_read })
}

fn update_tenants(node: &Node) -> Result<Step, ScriptError> {
    let (class, items) = class_and_tenants(node, "updateTenants")?;
    let tenants = items.iter().map(tenant).collect::<Result<Vec<_>, _>>()?;
    each_once(items, tenants.iter().map(|one| &one.name))?;
    let without = tenants.iter().position(|one| one.status.is_none());
    match without {
        None => Ok(Step::UpdateTenants { class, tenants }),
        Some(at) => Err(ScriptError::new(items[at].span.clone(), "the tenant is given no status")
            .hint("write `{ name: \"…\", activityStatus: \"ACTIVE\" }`, or `INACTIVE`")),
    }
}

fn remove_tenants(node: &Node) -> Result<Step, ScriptError> {
    let (class, items) = class_and_tenants(node, "removeTenants")?;
    let tenants = items.iter().map(tenant_name).collect::<Result<Vec<_>, _>>()?;
    each_once(items, tenants.iter())?;
    Ok(Step::RemoveTenants { class, tenants })
}

fn class_and_tenants<'n>(node: &'n Node, what: &str) -> Result<(String, &'n [Node]), ScriptError> {
    let mut fields = Fields::of(node, what)?;
    let class = schema::class_name(fields.required("class")?)?;
    let tenants = fields.required("tenants")?;
    fields.finish()?;
    let items = tenants.array("tenants")?;
    match items.is_empty() {
        true => Err(ScriptError::new(tenants.span.clone(), format!("{what} names no tenant"))),
        false => Ok((class, items)),
    }
}

fn tenant(node: &Node) -> Result<Tenant, ScriptError> {
    if node.string("").is_ok() {
        return Ok(Tenant { name: tenant_name(node)?, status: None });
    }
    let mut fields = Fields::of(node, "a tenant")?;
    let name = tenant_name(fields.required("name")?)?;
    let status = fields.optional("activityStatus").map(activity).transpose()?;
    fields.finish()?;
    Ok(Tenant { name, status })
}

fn tenant_name(node: &Node) -> Result<String, ScriptError> {
    let name = node.string("the name of a tenant")?;
    let plain = |letter: char| letter.is_ascii_alphanumeric() || letter == '_' || letter == '-';
    if name.is_empty() || name.len() > 64 || !name.chars().all(plain) {
        let message = format!("`{name}` is not a name for a tenant");
        return Err(ScriptError::new(node.span.clone(), message)
            .hint("letters, digits, `_` and `-`, 64 characters at most"));
    }
    Ok(name.to_string())
}

/// The server answers with the older of its two words for a status.
fn activity(node: &Node) -> Result<String, ScriptError> {
    match node.string("activityStatus")? {
        "ACTIVE" | "HOT" => Ok("HOT".to_string()),
        "INACTIVE" | "COLD" => Ok("COLD".to_string()),
        other => {
            let message = format!("a tenant cannot be made with the status `{other}`");
            Err(ScriptError::new(node.span.clone(), message).hint("`ACTIVE` or `INACTIVE`"))
        }
    }
}

fn each_once<'t>(
    items: &[Node],
    names: impl Iterator<Item = &'t String>,
) -> Result<(), ScriptError> {
    let mut seen = HashSet::new();
    for (node, name) in items.iter().zip(names) {
        if !seen.insert(name) {
            let message = format!("the tenant `{name}` stands twice");
            return Err(ScriptError::new(node.span.clone(), message).hint("keep one of them"));
        }
    }
    Ok(())
}

fn unknown_step(key: &Key) -> ScriptError {
    let name = &key.name;
    let error = ScriptError::new(key.span.clone(), format!("Weaviate has no step `{name}`"));
    match name.as_str() {
        "deleteProperty" | "dropProperty" | "removeProperty" | "updateProperty" => {
            error.hint(format!("Weaviate cannot change or drop a property: {}", schema::WAY_AROUND))
        }
        "classes" => error.hint(schema::ONE_EACH),
        _ => match nearest(name, NAMES) {
            Some(near) => error.hint(format!("did you mean `{near}`?")),
            None => error.hint(format!("a step is one of {}", NAMES.join(", "))),
        },
    }
}

/// The class that was deleted, and its tenants.
fn recreated(class: &str, before: &Value) -> Vec<Value> {
    let plain = json!({ "createClass": before["class"] });
    let create = match Step::parse(&Node::from_json(&plain)) {
        Ok(_) => plain,
        Err(_) => json!({ "createClass": before["class"], "asRead": true }),
    };
    match before["tenants"].as_array().is_some_and(|tenants| !tenants.is_empty()) {
        true => {
            let tenants = json!({ "class": class, "tenants": before["tenants"] });
            vec![create, json!({ "addTenants": tenants, "asRead": true })]
        }
        false => vec![create],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Step, ScriptError> {
        Step::parse(&Node::parse(text).expect("syntax"))
    }

    /// What is wrong, what it points at, and the hint.
    fn mistake(text: &str) -> (String, String, String) {
        let error = parse(text).expect_err(text);
        let at = text[error.span.clone()].to_string();
        (error.message, at, error.hint.unwrap_or_default())
    }

    fn inverse(step: &str, before: Value) -> Vec<Value> {
        let inverse = parse(step).expect("step").inverse(&before).expect("inverse");
        for step in &inverse {
            Step::parse(&Node::from_json(step)).expect("an inverse is a step");
        }
        inverse
    }

    #[test]
    fn the_classes_of_the_platform_are_read() {
        let text = include_str!("../../../migrations/weaviate/V001__classes.json5");
        let root = Node::parse(text).expect("syntax");
        let steps = root.get("steps").and_then(|steps| steps.array("steps").ok()).expect("steps");
        let labels: Vec<String> =
            steps.iter().map(|step| Step::parse(step).expect("step").label()).collect();
        assert_eq!(labels, ["createClass Document", "createClass Image", "createClass ModelData"]);
    }

    #[test]
    fn labels_name_what_is_touched() {
        for (text, label) in [
            (
                "{addProperty: {class: 'A', property: {name: 'p', dataType: ['text']}}}",
                "addProperty A.p",
            ),
            ("{updateClass: {class: 'A', set: {description: 'x'}}}", "updateClass A"),
            ("{deleteClass: 'A'}", "deleteClass A"),
            ("{addTenants: {class: 'A', tenants: ['x', {name: 'y'}]}}", "addTenants A (x, y)"),
            (
                "{removeTenants: {class: 'A', tenants: ['a', 'b', 'c', 'd']}}",
                "removeTenants A (4 tenants)",
            ),
        ] {
            assert_eq!(parse(text).expect(text).label(), label);
        }
    }

    #[test]
    fn what_the_server_would_drop_in_silence_is_an_error_with_the_right_key() {
        for (text, at, hint) in [
            ("{createClass: {class: 'A', vectoriser: 'none'}}", "vectoriser", "`vectorizer`"),
            (
                "{createClass: {class: 'A', vectorIndexConfig: {efConstrction: 9}}}",
                "efConstrction",
                "`efConstruction`",
            ),
            (
                "{createClass: {class: 'A', vectorIndexType: 'flat', vectorIndexConfig: {ef: 9}}}",
                "ef",
                "it knows",
            ),
            ("{createClass: {class: 'A', invertedIndexConfig: {bm25: {k: 1}}}}", "k", "`k1`"),
            (
                "{createClass: {class: 'A', shardingConfig: {desireCount: 1}}}",
                "desireCount",
                "desiredCount",
            ),
            ("{createClass: {classes: []}}", "classes", "one `createClass` step per class"),
            ("{classes: []}", "classes", "one `createClass` step per class"),
            (
                "{createClass: {class: 'A', properties: [{name: 'p', datatype: ['text']}]}}",
                "datatype",
                "`dataType`",
            ),
            (
                "{createClass: {class: 'A', vectorConfig: {v: {vectoriser: {none: {}}}}}}",
                "vectoriser",
                "`vectorizer`",
            ),
            (
                "{addProperty: {class: 'A', property: {name: 'p', dataType: ['text'], indexFilterble: true}}}",
                "indexFilterble",
                "`indexFilterable`",
            ),
            (
                "{updateClass: {class: 'A', set: {vectorIndexConfig: {dynamicEFMin: 1}}}}",
                "dynamicEFMin",
                "`dynamicEfMin`",
            ),
            ("{updateClass: {class: 'A', sets: {}}}", "sets", "`set`"),
            ("{createClas: {class: 'A'}}", "createClas", "`createClass`"),
            ("{createClass: {class: 'A'}, deleteClass: 'B'}", "deleteClass", ""),
            ("{deleteClass: 'A', asRead: true}", "true", "take it out"),
        ] {
            let (message, place, told) = mistake(text);
            assert_eq!(place, at, "{text}: {message}");
            assert!(told.contains(hint), "{text}: {told}");
        }
    }

    #[test]
    fn what_the_server_would_bend_is_an_error_with_the_right_spelling() {
        for (text, hint) in [
            ("{createClass: {class: 'document'}}", "`Document`"),
            ("{deleteClass: 'document'}", "`Document`"),
            (
                "{createClass: {class: 'A', properties: [{name: 'Title', dataType: ['text']}]}}",
                "`title`",
            ),
            (
                "{createClass: {class: 'A', properties: [{name: 'p', dataType: ['string']}]}}",
                "`text`",
            ),
        ] {
            let (message, _, told) = mistake(text);
            assert!(told.contains(hint), "{text}: {message}: {told}");
        }
    }

    #[test]
    fn what_the_server_would_refuse_is_found_without_it() {
        for (text, part) in [
            ("{createClass: {class: 'A-B'}}", "not a name"),
            ("{createClass: {properties: []}}", "lacks `class`"),
            ("{createClass: {class: 'A', properties: [{name: 'p'}]}}", "lacks `dataType`"),
            (
                "{createClass: {class: 'A', properties: [{name: 'p', dataType: 'text'}]}}",
                "array of strings",
            ),
            (
                "{createClass: {class: 'A', properties: [{name: 'p', dataType: ['txt']}]}}",
                "cannot be `txt`",
            ),
            (
                "{createClass: {class: 'A', properties: [{name: 'id', dataType: ['text']}]}}",
                "has already",
            ),
            (
                "{createClass: {class: 'A', properties: [{name: 'p', dataType: ['text']}, {name: 'p', dataType: ['int']}]}}",
                "twice",
            ),
            (
                "{createClass: {class: 'A', vectorIndexConfig: {distance: 'cosin'}}}",
                "cannot be `cosin`",
            ),
            ("{createClass: {class: null}}", "lacks `class`"),
            ("{updateClass: {class: 'A', set: {description: null}}}", "is null"),
            ("{updateTenants: {class: 'A', tenants: ['x']}}", "no status"),
            ("{createClass: {class: 'A', vectorIndexConfig: {ef: 'many'}}}", "an integer"),
            ("{updateClass: {class: 'A', set: {}}}", "sets nothing"),
            ("{addTenants: {class: 'A', tenants: ['x', 'x']}}", "twice"),
            ("{addTenants: {class: 'A', tenants: ['x y']}}", "not a name"),
            ("{addTenants: {class: 'A', tenants: []}}", "no tenant"),
            (
                "{addTenants: {class: 'A', tenants: [{name: 'x', activityStatus: 'FROZEN'}]}}",
                "FROZEN",
            ),
        ] {
            let (message, ..) = mistake(text);
            assert!(message.contains(part), "{text}: {message}");
        }
    }

    #[test]
    fn what_the_store_cannot_change_is_refused_with_the_way_around() {
        for set in [
            "{vectorizer: 'none'}",
            "{moduleConfig: {}}",
            "{vectorIndexType: 'flat'}",
            "{class: 'B'}",
            "{properties: []}",
            "{shardingConfig: {desiredCount: 2}}",
            "{vectorIndexConfig: {distance: 'dot'}}",
            "{vectorIndexConfig: {efConstruction: 9}}",
            "{vectorIndexConfig: {maxConnections: 9}}",
            "{vectorIndexConfig: {hnsw: {efConstruction: 9}}}",
            "{vectorConfig: {v: {vectorizer: {none: {}}}}}",
            "{vectorConfig: {v: {vectorIndexConfig: {distance: 'dot'}}}}",
            "{replicationConfig: {factor: 2}}",
            "{multiTenancyConfig: {enabled: true}}",
            "{invertedIndexConfig: {indexNullState: true}}",
        ] {
            let (message, _, hint) =
                mistake(&format!("{{updateClass: {{class: 'A', set: {set}}}}}"));
            assert!(message.contains("cannot change"), "{set}: {message}");
            assert!(hint.contains("copy the objects"), "{set}: {hint}");
        }
        for name in ["deleteProperty", "updateProperty"] {
            let (message, _, hint) = mistake(&format!("{{{name}: {{class: 'A', name: 'p'}}}}"));
            assert!(
                message.contains(name) && hint.contains("copy the objects"),
                "{message} {hint}"
            );
        }
    }

    #[test]
    fn a_vectorizer_of_pictures_must_be_told_its_fields() {
        for text in [
            "{createClass: {class: 'A', vectorizer: 'img2vec-neural'}}",
            "{createClass: {class: 'A', vectorizer: 'multi2vec-clip', moduleConfig: {'img2vec-neural': {imageFields: ['i']}}}}",
            "{createClass: {class: 'A', vectorizer: 'img2vec-neural', moduleConfig: {'img2vec-neural': {imageFields: []}}}}",
            "{createClass: {class: 'A', vectorConfig: {v: {vectorizer: {'img2vec-neural': {}}, vectorIndexType: 'hnsw'}}}}",
        ] {
            let (message, _, hint) = mistake(text);
            assert!(message.contains("refuse every object"), "{text}: {message}");
            assert!(hint.contains("imageFields"), "{text}: {hint}");
        }
        parse("{createClass: {class: 'A', vectorConfig: {v: {vectorizer: {'multi2vec-clip': {textFields: ['t']}}}}}}")
            .expect("told");
    }

    #[test]
    fn what_the_server_says_of_a_class_is_taken() {
        let step = parse(
            "{createClass: {class: 'A', description: null, vectorIndexType: '', properties: null, \
             multiTenancyConfig: {enabled: true}, invertedIndexConfig: {stopwords: {additions: null}}, \
             shardingConfig: {actualCount: 0, desiredCount: 0, desiredVirtualCount: 0, key: '', virtualPerPhysical: 0}}}",
        );
        let Ok(Step::CreateClass { definition, .. }) = step else { panic!("{step:?}") };
        let wanted = json!({"class": "A", "multiTenancyConfig": {"enabled": true},
            "invertedIndexConfig": {"stopwords": {}}});
        assert_eq!(definition, wanted);
        let sharded =
            parse("{createClass: {class: 'A', shardingConfig: {actualCount: 1, desiredCount: 1}}}");
        let Ok(Step::CreateClass { definition, .. }) = sharded else { panic!("{sharded:?}") };
        assert_eq!(definition["shardingConfig"], json!({"desiredCount": 1}));
    }

    #[test]
    fn the_index_of_old_servers_is_two_of_the_newer_ones() {
        for (property, wanted) in [
            (
                "{name: 'p', dataType: ['text'], indexInverted: true}",
                json!({"name": "p", "dataType": ["text"], "indexFilterable": true, "indexSearchable": true}),
            ),
            (
                "{name: 'p', dataType: ['int'], indexInverted: false}",
                json!({"name": "p", "dataType": ["int"], "indexFilterable": false}),
            ),
            (
                "{name: 'p', dataType: ['text'], indexInverted: true, indexSearchable: false}",
                json!({"name": "p", "dataType": ["text"], "indexSearchable": false, "indexFilterable": true}),
            ),
            (
                "{name: 'p', dataType: ['int'], indexInverted: null}",
                json!({"name": "p", "dataType": ["int"]}),
            ),
        ] {
            let step = parse(&format!("{{addProperty: {{class: 'A', property: {property}}}}}"));
            let Ok(Step::AddProperty { property: read, translated, .. }) = step else {
                panic!("{step:?}")
            };
            assert_eq!(read, wanted);
            assert_eq!(translated.is_empty(), property.contains("null"), "{property}");
        }
    }

    #[test]
    fn placeholders_can_stand_for_numbers() {
        let step = parse(
            "{updateClass: {class: 'A', set: {vectorIndexConfig: {ef: '64'}, invertedIndexConfig: {bm25: {b: '0.5'}}}}}",
        );
        let Ok(Step::UpdateClass { set, .. }) = step else { panic!("{step:?}") };
        let wanted =
            json!({"vectorIndexConfig": {"ef": 64}, "invertedIndexConfig": {"bm25": {"b": 0.5}}});
        assert_eq!(set, wanted);
    }

    #[test]
    fn inverses_are_steps_again() {
        assert_eq!(
            inverse("{createClass: {class: 'A'}}", Value::Null),
            [json!({"deleteClass": "A"})]
        );
        assert_eq!(
            inverse(
                "{updateClass: {class: 'A', set: {vectorIndexConfig: {ef: 2}}}}",
                json!({"set": {"vectorIndexConfig": {"ef": 1}}})
            ),
            [json!({"updateClass": {"class": "A", "set": {"vectorIndexConfig": {"ef": 1}}}})]
        );
        assert_eq!(
            inverse("{addTenants: {class: 'A', tenants: ['x', 'y']}}", json!({"tenants": ["y"]})),
            [json!({"removeTenants": {"class": "A", "tenants": ["y"]}})]
        );
        let tenants = json!([{"name": "x", "activityStatus": "COLD"}]);
        assert_eq!(
            inverse("{removeTenants: {class: 'A', tenants: ['x']}}", json!({"tenants": tenants})),
            [json!({"addTenants": {"class": "A", "tenants": tenants}})]
        );
        assert_eq!(
            inverse("{deleteClass: 'A'}", json!({"class": {"class": "A"}, "tenants": tenants})),
            [
                json!({"createClass": {"class": "A"}}),
                json!({"addTenants": {"class": "A", "tenants": tenants}, "asRead": true})
            ]
        );
        let active = json!([{"name": "x", "activityStatus": "HOT"}]);
        assert_eq!(
            inverse(
                "{updateTenants: {class: 'A', tenants: [{name: 'x', activityStatus: 'INACTIVE'}]}}",
                json!({"tenants": active})
            ),
            [json!({"updateTenants": {"class": "A", "tenants": active}})]
        );
    }

    #[test]
    fn a_class_of_a_newer_server_can_be_brought_back() {
        let class = json!({"class": "A", "fromTheFuture": {"x": 1}});
        assert_eq!(
            inverse("{deleteClass: 'A'}", json!({"class": class})),
            [json!({"createClass": class, "asRead": true})]
        );
    }

    #[test]
    fn an_added_property_stays_and_says_so() {
        let step = "{addProperty: {class: 'A', property: {name: 'p', dataType: ['text']}}}";
        let reason = parse(step).expect("step").inverse(&Value::Null).expect_err("no inverse");
        assert!(reason.contains("A.p") && reason.contains("copy the objects"), "{reason}");
    }
}
