//! How shapes of PostgreSQL are compared, and what those of older versions did not look at.

use serde_json::Value;

use crate::shape::Attributes;
use crate::stores::description::Comparison;

/// How shapes of PostgreSQL are compared.
pub(super) const COMPARISON: Comparison = Comparison { version: 3, knew, leftover, same };

/// Attributes that are there only where the settings ask for them, and then on every object; or where
/// the role may see them: the options of user mappings.
pub(super) const OPTIONAL: &[&str] =
    &["owner", "grants", "comment", RIGHTS, "mapping options", VALUES, DIGEST];

/// Who else than the owner may do what: in the pictures of a repair where grants are not asked for.
pub(super) const RIGHTS: &str = "rights";

/// The values of options, by name.
const VALUES: &str = "option values";

/// What version 2 recorded in place of values that may be secrets.
const DIGEST: &str = "digest";

/// The attributes of each kind of object that version 1 looked at. It never changes.
const FIRST: &[(&str, &[&str])] = &[
    ("schema", &[]),
    ("extension", &["version", "schema"]),
    ("table", OF_RELATION),
    ("view", OF_RELATION),
    ("materialized view", OF_RELATION),
    ("foreign table", OF_RELATION),
    ("column", &["type", "not null", "default", "generated", "identity", "collation"]),
    ("constraint", &["definition", "validated"]),
    ("index", &["definition", "valid", "table"]),
    ("sequence", &["type", "start", "increment", "minimum", "maximum", "cycle", "owned by"]),
    ("function", &["definition"]),
    ("procedure", &["definition"]),
    ("trigger", &["definition", "enabled"]),
    ("policy", &["command", "permissive", "roles", "using", "check"]),
    ("enum", OF_TYPE),
    ("domain", OF_TYPE),
];

const OF_RELATION: &[&str] = &[
    "definition",
    "persistence",
    "partition key",
    "partition bound",
    "row security",
    "forced row security",
    "options",
];

const OF_TYPE: &[&str] = &["labels", "type", "not null", "default", "checks"];

fn knew(version: u32, kind: &str, attribute: Option<&str>) -> bool {
    if version >= 3 {
        return true;
    }
    if version == 2 {
        let is_custom_value = kind == "setting" && attribute == Some("value");
        return attribute != Some(VALUES) && !is_custom_value;
    }
    let known = FIRST.iter().find(|(known, _)| *known == kind);
    known.is_some_and(|(_, known)| attribute.is_none_or(|attribute| known.contains(&attribute)))
}

/// An index whose building, rebuilding or dropping CONCURRENTLY was cut off. That of a partitioned table
/// is not valid until every partition has one.
fn leftover(object: &str, attributes: &Attributes) -> Option<String> {
    let name = object.strip_prefix("index ")?;
    let is_whole = attributes.get("valid") != Some(&Value::Bool(false));
    let is_partitioned = attributes.contains_key("partitioned");
    (!is_whole && !is_partitioned).then(|| {
        format!(
            "where no CREATE INDEX or REINDEX is at it any more: DROP INDEX CONCURRENTLY {name}"
        )
    })
}

/// Columns that were added or dropped are told by themselves: a table's list of them differs where
/// those that both sides have are in another order.
fn same(attribute: &str, before: &Value, after: &Value) -> bool {
    let (Some(before), Some(after)) = (before.as_array(), after.as_array()) else { return false };
    let common = |one: &[Value], other: &[Value]| -> Vec<Value> {
        one.iter().filter(|name| other.contains(name)).cloned().collect()
    };
    attribute == "columns" && common(before, after) == common(after, before)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_another_order_of_common_columns_is_a_difference() {
        let same = |before, after| same("columns", &before, &after);
        assert!(same(json!(["a", "b"]), json!(["a", "x", "b"])));
        assert!(same(json!(["a", "gone", "b"]), json!(["a", "b"])));
        assert!(!same(json!(["a", "b"]), json!(["b", "x", "a"])));
    }

    #[test]
    fn the_first_version_knew_what_it_knew() {
        assert!(knew(1, "table", Some("options")) && knew(1, "table", None));
        assert!(!knew(1, "table", Some("columns")) && !knew(1, "rule", None));
        assert!(knew(2, "rule", Some("definition")) && !knew(2, "server", Some(VALUES)));
        assert!(knew(3, "server", Some(VALUES)));
    }
}
