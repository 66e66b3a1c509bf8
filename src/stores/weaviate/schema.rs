//! The words of a class: which keys the server knows, what each may hold, and which it can change.
//!
//! The server drops an unknown key in silence and answers 200, so every key is checked before
//! anything is sent. The tables hold what Weaviate 1.27 to 1.35 reads; a key that only a newer
//! server knows is found missing by the comparison after the write.

use serde_json::{Map, Value};

use super::compare;
use crate::text::document::{Key, nearest, unknown_key};
use crate::text::{Node, NodeKind, ScriptError, Span};

/// What a definition is read for: `updateClass` may not name what is fixed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// A class or property that is to be made.
    Make,
    /// Values that are to be changed in a class that is there.
    Change,
}

/// One key of a block.
struct Word {
    name: &'static str,
    kind: Kind,
    /// Whether the server refuses, or ignores, a change after the class was made.
    fixed: bool,
}

/// What a key holds.
#[derive(Clone, Copy)]
enum Kind {
    Text,
    OneOf(&'static [&'static str]),
    Flag,
    Whole,
    Fraction,
    Texts,
    DataType,
    Block(&'static [Word]),
    /// Its words depend on the `vectorIndexType` beside it.
    VectorIndex,
    /// Named vectors.
    Vectors,
    Properties,
    NestedProperties,
    /// A module's own business.
    Free,
    /// What the server computes and ignores where it is sent: it stands in its own description of a class.
    Computed,
}

const fn open(name: &'static str, kind: Kind) -> Word {
    Word { name, kind, fixed: false }
}

const fn fixed(name: &'static str, kind: Kind) -> Word {
    Word { name, kind, fixed: true }
}

const CLASS: &[Word] = &[
    fixed("class", Kind::Text),
    open("description", Kind::Text),
    fixed("vectorizer", Kind::Text),
    fixed("vectorIndexType", INDEX_TYPE),
    open("vectorIndexConfig", Kind::VectorIndex),
    fixed("moduleConfig", Kind::Free),
    fixed("properties", Kind::Properties),
    open("invertedIndexConfig", Kind::Block(INVERTED)),
    open("multiTenancyConfig", Kind::Block(MULTI_TENANCY)),
    open("replicationConfig", Kind::Block(REPLICATION)),
    fixed("shardingConfig", Kind::Block(SHARDING)),
    open("vectorConfig", Kind::Vectors),
    open("objectTtlConfig", Kind::Block(OBJECT_TTL)),
];

const VECTOR: &[Word] = &[
    fixed("vectorizer", Kind::Free),
    fixed("vectorIndexType", INDEX_TYPE),
    open("vectorIndexConfig", Kind::VectorIndex),
];

const INDEX_TYPE: Kind = Kind::OneOf(&["hnsw", "flat", "dynamic", "hfresh"]);

const DISTANCE: Kind = Kind::OneOf(&["cosine", "dot", "l2-squared", "manhattan", "hamming"]);

const FILTER_STRATEGY: Kind = Kind::OneOf(&["sweeping", "acorn"]);

const HNSW: &[Word] = &[
    open("ef", Kind::Whole),
    fixed("efConstruction", Kind::Whole),
    fixed("maxConnections", Kind::Whole),
    fixed("distance", DISTANCE),
    fixed("cleanupIntervalSeconds", Kind::Whole),
    open("dynamicEfMin", Kind::Whole),
    open("dynamicEfMax", Kind::Whole),
    open("dynamicEfFactor", Kind::Whole),
    open("vectorCacheMaxObjects", Kind::Whole),
    open("flatSearchCutoff", Kind::Whole),
    open("filterStrategy", FILTER_STRATEGY),
    open("skip", Kind::Flag),
    open(
        "pq",
        Kind::Block(&[
            open("enabled", Kind::Flag),
            open("bitCompression", Kind::Flag),
            open("segments", Kind::Whole),
            open("centroids", Kind::Whole),
            open("trainingLimit", Kind::Whole),
            open("encoder", Kind::Block(ENCODER)),
        ]),
    ),
    open("bq", Kind::Block(&[open("enabled", Kind::Flag)])),
    open(
        "sq",
        Kind::Block(&[
            open("enabled", Kind::Flag),
            open("trainingLimit", Kind::Whole),
            open("rescoreLimit", Kind::Whole),
        ]),
    ),
    open("rq", Kind::Block(HNSW_ROTATIONAL)),
    open("multivector", Kind::Block(MULTIVECTOR)),
    fixed("skipDefaultQuantization", Kind::Flag),
    fixed("trackDefaultQuantization", Kind::Flag),
];

const ENCODER: &[Word] = &[
    open("type", Kind::OneOf(&["kmeans", "tile"])),
    open("distribution", Kind::OneOf(&["log-normal", "normal"])),
];

const HNSW_ROTATIONAL: &[Word] =
    &[open("enabled", Kind::Flag), open("bits", Kind::Whole), open("rescoreLimit", Kind::Whole)];

const MULTIVECTOR: &[Word] = &[
    fixed("enabled", Kind::Flag),
    fixed("muvera", Kind::Free),
    open("aggregation", Kind::OneOf(&["maxSim"])),
];

const FLAT: &[Word] = &[
    fixed("distance", DISTANCE),
    open("vectorCacheMaxObjects", Kind::Whole),
    open("pq", Kind::Block(FLAT_COMPRESSION)),
    open("bq", Kind::Block(FLAT_COMPRESSION)),
    open("sq", Kind::Block(FLAT_COMPRESSION)),
    open("rq", Kind::Block(FLAT_ROTATIONAL)),
    fixed("skipDefaultQuantization", Kind::Flag),
    fixed("trackDefaultQuantization", Kind::Flag),
];

const FLAT_COMPRESSION: &[Word] =
    &[fixed("enabled", Kind::Flag), open("rescoreLimit", Kind::Whole), open("cache", Kind::Flag)];

const FLAT_ROTATIONAL: &[Word] = &[
    fixed("enabled", Kind::Flag),
    open("rescoreLimit", Kind::Whole),
    open("cache", Kind::Flag),
    open("bits", Kind::Whole),
];

const DYNAMIC: &[Word] = &[
    fixed("distance", DISTANCE),
    open("threshold", Kind::Whole),
    open("hnsw", Kind::Block(HNSW)),
    open("flat", Kind::Block(FLAT)),
];

const HFRESH: &[Word] = &[
    fixed("distance", DISTANCE),
    open("maxPostingSize", Kind::Whole),
    open("minPostingSize", Kind::Whole),
    open("replicas", Kind::Whole),
    open("rngFactor", Kind::Fraction),
    open("searchProbe", Kind::Whole),
];

/// The words of every type of index: a change does not say of what type the index is. One of the
/// wrong type is dropped by the server, and found by the comparison after the write.
const ANY_INDEX: &[Word] = &[
    open("ef", Kind::Whole),
    fixed("efConstruction", Kind::Whole),
    fixed("maxConnections", Kind::Whole),
    fixed("distance", DISTANCE),
    fixed("cleanupIntervalSeconds", Kind::Whole),
    open("dynamicEfMin", Kind::Whole),
    open("dynamicEfMax", Kind::Whole),
    open("dynamicEfFactor", Kind::Whole),
    open("vectorCacheMaxObjects", Kind::Whole),
    open("flatSearchCutoff", Kind::Whole),
    open("filterStrategy", FILTER_STRATEGY),
    open("skip", Kind::Flag),
    open("pq", Kind::Block(ANY_COMPRESSION)),
    open("bq", Kind::Block(ANY_COMPRESSION)),
    open("sq", Kind::Block(ANY_COMPRESSION)),
    open("rq", Kind::Block(ANY_COMPRESSION)),
    open("multivector", Kind::Block(MULTIVECTOR)),
    fixed("skipDefaultQuantization", Kind::Flag),
    fixed("trackDefaultQuantization", Kind::Flag),
    open("threshold", Kind::Whole),
    open("hnsw", Kind::Block(HNSW)),
    open("flat", Kind::Block(FLAT)),
    open("maxPostingSize", Kind::Whole),
    open("minPostingSize", Kind::Whole),
    open("replicas", Kind::Whole),
    open("rngFactor", Kind::Fraction),
    open("searchProbe", Kind::Whole),
];

const ANY_COMPRESSION: &[Word] = &[
    open("enabled", Kind::Flag),
    open("bitCompression", Kind::Flag),
    open("segments", Kind::Whole),
    open("centroids", Kind::Whole),
    open("trainingLimit", Kind::Whole),
    open("encoder", Kind::Block(ENCODER)),
    open("bits", Kind::Whole),
    open("rescoreLimit", Kind::Whole),
    open("cache", Kind::Flag),
];

const INVERTED: &[Word] = &[
    open("bm25", Kind::Block(&[open("b", Kind::Fraction), open("k1", Kind::Fraction)])),
    open("cleanupIntervalSeconds", Kind::Whole),
    fixed("indexNullState", Kind::Flag),
    fixed("indexPropertyLength", Kind::Flag),
    open("indexTimestamps", Kind::Flag),
    open("stopwords", Kind::Block(STOPWORDS)),
    open("tokenizerUserDict", Kind::Free),
    open("usingBlockMaxWAND", Kind::Flag),
];

const STOPWORDS: &[Word] = &[
    open("preset", Kind::OneOf(&["en", "none"])),
    open("additions", Kind::Texts),
    open("removals", Kind::Texts),
];

const MULTI_TENANCY: &[Word] = &[
    fixed("enabled", Kind::Flag),
    open("autoTenantCreation", Kind::Flag),
    open("autoTenantActivation", Kind::Flag),
];

const REPLICATION: &[Word] = &[
    fixed("factor", Kind::Whole),
    open("asyncEnabled", Kind::Flag),
    open(
        "deletionStrategy",
        Kind::OneOf(&["NoAutomatedResolution", "DeleteOnConflict", "TimeBasedResolution"]),
    ),
];

const SHARDING: &[Word] = &[
    fixed("virtualPerPhysical", Kind::Whole),
    fixed("desiredCount", Kind::Whole),
    fixed("key", Kind::OneOf(&["_id"])),
    fixed("strategy", Kind::OneOf(&["hash"])),
    fixed("function", Kind::OneOf(&["murmur3"])),
    fixed("actualCount", Kind::Computed),
    fixed("actualVirtualCount", Kind::Computed),
    fixed("desiredVirtualCount", Kind::Computed),
];

const OBJECT_TTL: &[Word] = &[
    open("enabled", Kind::Flag),
    open("defaultTtl", Kind::Whole),
    open("deleteOn", Kind::Text),
    open("filterExpiredObjects", Kind::Flag),
];

const TOKENIZATION: Kind = Kind::OneOf(&[
    "word",
    "lowercase",
    "whitespace",
    "field",
    "trigram",
    "gse",
    "gse_ch",
    "kagome_kr",
    "kagome_ja",
]);

const PROPERTY: &[Word] = &[
    open("name", Kind::Text),
    open("dataType", Kind::DataType),
    open("description", Kind::Text),
    open("tokenization", TOKENIZATION),
    open("indexFilterable", Kind::Flag),
    open("indexSearchable", Kind::Flag),
    open("indexRangeFilters", Kind::Flag),
    open("moduleConfig", Kind::Free),
    open("nestedProperties", Kind::NestedProperties),
];

const NESTED: &[Word] = &[
    open("name", Kind::Text),
    open("dataType", Kind::DataType),
    open("description", Kind::Text),
    open("tokenization", TOKENIZATION),
    open("indexFilterable", Kind::Flag),
    open("indexSearchable", Kind::Flag),
    open("indexRangeFilters", Kind::Flag),
    open("nestedProperties", Kind::NestedProperties),
];

const DATA_TYPES: &[&str] = &[
    "text",
    "text[]",
    "int",
    "int[]",
    "number",
    "number[]",
    "boolean",
    "boolean[]",
    "date",
    "date[]",
    "uuid",
    "uuid[]",
    "blob",
    "geoCoordinates",
    "phoneNumber",
    "object",
    "object[]",
];

/// What is to be done where classes refer to each other.
pub(super) const BOTH_FIRST: &str =
    "make both classes first, without the reference, and add it with `addProperty` after them";

/// Whether a property of this type refers to objects of a class.
pub(super) fn is_reference(data_type: &str) -> bool {
    data_type.starts_with(|first: char| first.is_ascii_uppercase())
}

/// The names that every object has already.
const RESERVED: &[&str] = &["_additional", "_id", "id"];

/// The way around what the server cannot change.
pub(super) const WAY_AROUND: &str = "create a new class with the new definition, copy the \
                                     objects, then `deleteClass` the old one";

/// What is said of a whole schema, as `GET /v1/schema` answers.
pub(super) const ONE_EACH: &str =
    "a schema as the server lists it is several steps: write one `createClass` step per class";

/// Reads a whole class as `createClass` sends it; also as the server itself describes one.
pub(super) fn class(node: &Node) -> Result<(String, Value), ScriptError> {
    if let Some((key, _)) =
        node.object("createClass")?.iter().find(|(key, _)| key.name == "classes")
    {
        let message = "createClass makes one class, not several";
        return Err(ScriptError::new(key.span.clone(), message).hint(ONE_EACH));
    }
    let named = given(node, "class").ok_or_else(|| lacks(node, "createClass", "class"))?;
    let name = class_name(named)?;
    let mut definition = block(node, "createClass", CLASS, Purpose::Make)?;
    blind_vectorizers(node)?;
    let says_nothing = |sharding: &Value| {
        sharding.as_object().is_some_and(|sharding| sharding.values().all(compare::is_zero))
    };
    if compare::has_tenants(&definition)
        && definition.get("shardingConfig").is_some_and(says_nothing)
    {
        // The server describes it so, and takes no such block back.
        definition.as_object_mut().map(|class| class.shift_remove("shardingConfig"));
    }
    Ok((name, definition))
}

/// A field, unless it is null, as the server writes what is left out.
fn given<'n>(node: &'n Node, name: &str) -> Option<&'n Node> {
    node.get(name).filter(|node| node.kind != NodeKind::Null)
}

/// The keys in a class, or in a property, that are taken as other ones.
pub(super) fn translated(node: &Node) -> Vec<(Span, &'static str)> {
    let properties = given(node, "properties").and_then(|listed| listed.array("properties").ok());
    let all = properties.into_iter().flatten().chain([node]);
    let fields = all.filter_map(|node| node.object("a property").ok()).flatten();
    fields
        .filter(|(key, node)| key.name == OLD_INDEX && node.kind != NodeKind::Null)
        .map(|(key, _)| (key.span.clone(), TRANSLATED))
        .collect()
}

const OLD_INDEX: &str = "indexInverted";
const TRANSLATED: &str = "`indexInverted` is of old servers: it is taken as `indexFilterable` and, for text, \
                          `indexSearchable`; write these instead";

/// Reads the values that `updateClass` sets.
pub(super) fn changes(node: &Node) -> Result<Value, ScriptError> {
    let set = block(node, "updateClass.set", CLASS, Purpose::Change)?;
    match set.as_object().is_none_or(Map::is_empty) {
        true => Err(ScriptError::new(node.span.clone(), "updateClass sets nothing")),
        false => Ok(set),
    }
}

/// Reads one property of a class.
pub(super) fn property(node: &Node, what: &str) -> Result<Value, ScriptError> {
    let newer = in_newer_words(node, what)?;
    let node = newer.as_ref().unwrap_or(node);
    let value = block(node, what, PROPERTY, Purpose::Make)?;
    require(node, what, &["name", "dataType"])?;
    property_name(node, what)?;
    Ok(value)
}

/// The property without the key that old servers had for two; what it says beside of these counts more.
fn in_newer_words(node: &Node, what: &str) -> Result<Option<Node>, ScriptError> {
    let Some(old) = node.get(OLD_INDEX) else { return Ok(None) };
    let mut fields = node.object(what)?.to_vec();
    fields.retain(|(key, _)| key.name != OLD_INDEX);
    if old.kind != NodeKind::Null {
        old.boolean(&format!("{what}.{OLD_INDEX}"))?;
        let types = node.get("dataType").map(Node::to_json).unwrap_or_default();
        let is_text = [&types[0], &types]
            .iter()
            .any(|kind| ["text", "text[]"].contains(&kind.as_str().unwrap_or_default()));
        let newer = ["indexFilterable", "indexSearchable"];
        for name in newer.iter().take(if is_text { 2 } else { 1 }) {
            if given(node, name).is_none() {
                fields.retain(|(key, _)| key.name != *name);
                fields
                    .push((Key { name: (*name).to_string(), span: old.span.clone() }, old.clone()));
            }
        }
    }
    Ok(Some(Node { kind: NodeKind::Object(fields), span: node.span.clone() }))
}

/// Reads the name of a class.
pub(super) fn class_name(node: &Node) -> Result<String, ScriptError> {
    let name = node.string("the name of a class")?;
    let mut letters = name.chars();
    let first = letters.next().unwrap_or(' ');
    if first.is_ascii_lowercase() {
        let right = format!("{}{}", first.to_ascii_uppercase(), letters.as_str());
        let message = format!("a class begins with a capital: the server makes `{right}` of it");
        return Err(ScriptError::new(node.span.clone(), message).hint(format!("write `{right}`")));
    }
    if !first.is_ascii_uppercase() || !is_name(name) || name.len() > 255 {
        let message = format!("`{name}` is not a name for a class");
        return Err(ScriptError::new(node.span.clone(), message)
            .hint("a capital, then letters, digits and `_`, 255 characters at most"));
    }
    Ok(name.to_string())
}

fn is_name(name: &str) -> bool {
    name.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_')
}

fn block(
    node: &Node,
    what: &str,
    words: &'static [Word],
    purpose: Purpose,
) -> Result<Value, ScriptError> {
    let mut read = Map::new();
    for (key, held) in node.object(what)? {
        let word = find(key, what, words)?;
        if purpose == Purpose::Make && is_left_out(word.kind, held) {
            continue;
        }
        if purpose == Purpose::Change && word.fixed {
            return Err(unchangeable(key, what));
        }
        read.insert(key.name.clone(), value(word.kind, held, node, &dotted(what, key), purpose)?);
    }
    Ok(Value::Object(read))
}

/// Whether the server's own description says by this that the key is left out, or that it computes it.
fn is_left_out(kind: Kind, held: &Node) -> bool {
    match (kind, &held.kind) {
        (Kind::Computed, _) | (_, NodeKind::Null) => true,
        (Kind::OneOf(_), NodeKind::String(text)) => text.is_empty(),
        (_, _) => false,
    }
}

fn find(key: &Key, what: &str, words: &'static [Word]) -> Result<&'static Word, ScriptError> {
    words.iter().find(|word| word.name == key.name).ok_or_else(|| {
        let names: Vec<&str> = words.iter().map(|word| word.name).collect();
        unknown_key(key, what, &names)
    })
}

fn dotted(what: &str, key: &Key) -> String {
    format!("{what}.{}", key.name)
}

fn unchangeable(key: &Key, what: &str) -> ScriptError {
    let message = format!("Weaviate cannot change {} of a class that is there", dotted(what, key));
    let hint = match key.name.as_str() {
        "properties" => {
            format!("`addProperty` adds one; to change or drop one, {WAY_AROUND}")
        }
        _ => WAY_AROUND.to_string(),
    };
    ScriptError::new(key.span.clone(), message).hint(hint)
}

fn value(
    kind: Kind,
    node: &Node,
    parent: &Node,
    what: &str,
    purpose: Purpose,
) -> Result<Value, ScriptError> {
    if node.kind == NodeKind::Null {
        let message = format!("{what} is null");
        return Err(ScriptError::new(node.span.clone(), message)
            .hint("leave the key out, or write the value that is meant"));
    }
    match kind {
        Kind::Text => node.string(what).map(Value::from),
        Kind::OneOf(known) => one_of(node, what, known),
        Kind::Flag => node.boolean(what).map(Value::from),
        Kind::Whole => node.integer(what).map(Value::from),
        Kind::Fraction => fraction(node, what),
        Kind::Texts => texts(node, what).map(Value::from),
        Kind::DataType => data_type(node, what),
        Kind::Block(words) => block(node, what, words, purpose),
        Kind::VectorIndex => vector_index(node, parent, what, purpose),
        Kind::Vectors => vectors(node, what, purpose),
        Kind::Properties => properties(node, what),
        Kind::NestedProperties => nested_properties(node, what),
        Kind::Free | Kind::Computed => Ok(node.to_json()),
    }
}

fn one_of(node: &Node, what: &str, known: &[&str]) -> Result<Value, ScriptError> {
    let text = node.string(what)?;
    if known.contains(&text) {
        return Ok(Value::from(text));
    }
    let hint = match nearest(text, known.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("one of {}", known.join(", ")),
    };
    Err(ScriptError::new(node.span.clone(), format!("{what} cannot be `{text}`")).hint(hint))
}

fn fraction(node: &Node, what: &str) -> Result<Value, ScriptError> {
    let number = match &node.kind {
        NodeKind::Number(number) => Some(number.clone()),
        NodeKind::String(text) => text.parse().ok().and_then(serde_json::Number::from_f64),
        NodeKind::Null | NodeKind::Bool(_) | NodeKind::Array(_) | NodeKind::Object(_) => None,
    };
    number.map(Value::Number).ok_or_else(|| {
        let message = format!("{what} is a number, not {}", node.describe());
        ScriptError::new(node.span.clone(), message)
    })
}

fn texts(node: &Node, what: &str) -> Result<Vec<String>, ScriptError> {
    node.array(what)?.iter().map(|item| item.string(what).map(str::to_string)).collect()
}

fn data_type(node: &Node, what: &str) -> Result<Value, ScriptError> {
    if let NodeKind::String(text) = &node.kind {
        let message = format!("{what} is an array of strings");
        return Err(
            ScriptError::new(node.span.clone(), message).hint(format!("write `[\"{text}\"]`"))
        );
    }
    let names = texts(node, what)?;
    if names.is_empty() {
        return Err(ScriptError::new(node.span.clone(), format!("{what} is empty")));
    }
    for name in &names {
        known_data_type(name, node, what)?;
    }
    Ok(Value::from(names))
}

fn known_data_type(name: &str, node: &Node, what: &str) -> Result<(), ScriptError> {
    if DATA_TYPES.contains(&name) || is_reference(name) {
        return Ok(());
    }
    let (message, hint) = match name {
        "string" | "string[]" => (
            format!("the server makes `text` of {what} `{name}`"),
            format!(
                "write `{}` with tokenization `whitespace` (or `field`)",
                name.replace("string", "text")
            ),
        ),
        _ => (
            format!("{what} cannot be `{name}`"),
            match nearest(name, DATA_TYPES.iter().copied()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("one of {}, or the name of a class", DATA_TYPES.join(", ")),
            },
        ),
    };
    Err(ScriptError::new(node.span.clone(), message).hint(hint))
}

fn vector_index(
    node: &Node,
    parent: &Node,
    what: &str,
    purpose: Purpose,
) -> Result<Value, ScriptError> {
    let words = match purpose {
        Purpose::Make => index_words(parent),
        Purpose::Change => ANY_INDEX,
    };
    block(node, what, words, purpose)
}

fn index_words(parent: &Node) -> &'static [Word] {
    let kind = parent.get("vectorIndexType").and_then(|node| node.string("").ok());
    match kind {
        Some("flat") => FLAT,
        Some("dynamic") => DYNAMIC,
        Some("hfresh") => HFRESH,
        Some(_) | None => HNSW,
    }
}

fn vectors(node: &Node, what: &str, purpose: Purpose) -> Result<Value, ScriptError> {
    let mut read = Map::new();
    for (key, held) in node.object(what)? {
        read.insert(key.name.clone(), block(held, &dotted(what, key), VECTOR, purpose)?);
    }
    Ok(Value::Object(read))
}

fn properties(node: &Node, what: &str) -> Result<Value, ScriptError> {
    let items = node.array(what)?;
    let read = items.iter().map(|item| property(item, "property")).collect::<Result<_, _>>()?;
    named_once(items)?;
    Ok(Value::Array(read))
}

fn nested_properties(node: &Node, what: &str) -> Result<Value, ScriptError> {
    let items = node.array(what)?;
    let read = items.iter().map(|item| nested_property(item, what)).collect::<Result<_, _>>()?;
    named_once(items)?;
    Ok(Value::Array(read))
}

fn nested_property(node: &Node, what: &str) -> Result<Value, ScriptError> {
    let value = block(node, what, NESTED, Purpose::Make)?;
    require(node, what, &["name", "dataType"])?;
    Ok(value)
}

fn require(node: &Node, what: &str, names: &[&'static str]) -> Result<(), ScriptError> {
    match names.iter().find(|name| given(node, name).is_none()) {
        Some(name) => Err(lacks(node, what, name)),
        None => Ok(()),
    }
}

fn lacks(node: &Node, what: &str, name: &str) -> ScriptError {
    ScriptError::new(node.span.clone(), format!("{what} lacks `{name}`"))
}

fn named_once(items: &[Node]) -> Result<(), ScriptError> {
    let mut seen = std::collections::HashSet::new();
    for node in items.iter().filter_map(|item| given(item, "name")) {
        let name = node.string("name")?;
        // The server tells names apart without their case.
        if !seen.insert(name.to_lowercase()) {
            let message = format!("the property `{name}` stands twice");
            return Err(ScriptError::new(node.span.clone(), message).hint("keep one of them"));
        }
    }
    Ok(())
}

fn property_name(node: &Node, what: &str) -> Result<(), ScriptError> {
    let Some(node) = given(node, "name") else { return Ok(()) };
    let name = node.string("the name of a property")?;
    let mut letters = name.chars();
    let first = letters.next().unwrap_or(' ');
    if first.is_ascii_uppercase() {
        let right = format!("{}{}", first.to_ascii_lowercase(), letters.as_str());
        let message = format!("a {what} begins in lower case: the server makes `{right}` of it");
        return Err(ScriptError::new(node.span.clone(), message).hint(format!("write `{right}`")));
    }
    if RESERVED.contains(&name) {
        let message = format!("`{name}` is a property that every object has already");
        return Err(ScriptError::new(node.span.clone(), message).hint("choose another name"));
    }
    if first.is_ascii_digit() || name.is_empty() || !is_name(name) || name.len() > 231 {
        let message = format!("`{name}` is not a name for a property");
        return Err(ScriptError::new(node.span.clone(), message)
            .hint("letters, digits and `_`, not beginning with a digit, 231 characters at most"));
    }
    Ok(())
}

/// A vectorizer of pictures that is not told which fields hold them: the server (1.27) accepts the
/// class, then fails every insert with `no moduleconfig for class … present`.
fn blind_vectorizers(class: &Node) -> Result<(), ScriptError> {
    if let Some(node) = given(class, "vectorizer") {
        let name = node.string("createClass.vectorizer")?;
        let config = class.get("moduleConfig").and_then(|modules| modules.get(name));
        sighted(name, config, node, &format!("moduleConfig: {{ \"{name}\":"))?;
    }
    let Some(vectors) = given(class, "vectorConfig") else { return Ok(()) };
    for (_, vector) in vectors.object("createClass.vectorConfig")? {
        let Some(vectorizer) = given(vector, "vectorizer") else { continue };
        for (key, config) in vectorizer.object("vectorConfig.vectorizer")? {
            sighted(
                &key.name,
                Some(config),
                vectorizer,
                &format!("vectorizer: {{ \"{}\":", key.name),
            )?;
        }
    }
    Ok(())
}

fn sighted(name: &str, config: Option<&Node>, at: &Node, opening: &str) -> Result<(), ScriptError> {
    if name != "img2vec-neural" && !name.starts_with("multi2vec-") {
        return Ok(());
    }
    let told = config.is_some_and(|config| match &config.kind {
        NodeKind::Object(fields) => fields.iter().any(|(key, held)| {
            key.name.ends_with("Fields")
                && matches!(&held.kind, NodeKind::Array(items) if !items.is_empty())
        }),
        _ => false,
    });
    if told {
        return Ok(());
    }
    let message = format!(
        "{name} is not told which properties it vectorizes: the class would refuse every object"
    );
    Err(ScriptError::new(at.span.clone(), message)
        .hint(format!("add `{opening} {{ imageFields: [\"image\"] }} }}`, naming a blob property")))
}
