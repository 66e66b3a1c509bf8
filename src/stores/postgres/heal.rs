//! What puts an object of a database back as recorded, and whose part an object is. Nothing here
//! drops a table or a column, and nothing changes a value.

use serde_json::Value;

use super::growth::COMPARISON;
use super::shape::OPTIONAL;
use crate::postgres::literal;
use crate::shape::{Attributes, Change};
use crate::stores::remedy::{Drifted, Remedy, gone_with_its_data};

/// The kinds of object in the order in which they need each other.
const ORDER: [&str; 17] = [
    "schema",
    "extension",
    "enum",
    "domain",
    "sequence",
    "function",
    "procedure",
    "table",
    "foreign table",
    "column",
    "constraint",
    "index",
    "view",
    "materialized view",
    "trigger",
    "policy",
    "",
];

/// Where in a repair an object comes; a foreign key needs the keys it refers to.
pub(super) fn rank(kind: &str, script: &str) -> usize {
    let place = ORDER.iter().position(|known| *known == kind).unwrap_or(ORDER.len());
    2 * place + usize::from(script.contains("FOREIGN KEY"))
}

pub(super) fn heal(object: &Drifted<'_>) -> Remedy {
    // What the first version of the shape did not look at, nothing below knows how to put back.
    let knows = |change: &&&Change| {
        let attribute = change.attribute.as_deref();
        OPTIONAL.contains(&attribute.unwrap_or_default())
            || (COMPARISON.knew)(1, object.kind, attribute)
    };
    let (changes, newer): (Vec<_>, Vec<_>) = object.changes.iter().partition(knows);
    if newer.is_empty() {
        return of_kind(object);
    }
    let object = Drifted { changes, ..*object };
    let mut remedy = if object.changes.is_empty() { Remedy::default() } else { of_kind(&object) };
    for change in newer {
        let attribute = change.attribute.as_deref().unwrap_or_default();
        remedy.person.push(format!("{attribute}: put it back by hand, as its migration made it"));
    }
    remedy
}

fn of_kind(object: &Drifted<'_>) -> Remedy {
    match object.kind {
        "schema" if object.is_absent() => Remedy::sql(format!("CREATE SCHEMA {};", object.name)),
        "extension" => extension(object),
        "table" => table(object),
        "column" => column(object),
        "constraint" => constraint(object),
        "index" => index(object),
        "view" => view(object),
        "materialized view" => materialized_view(object),
        "sequence" => sequence(object),
        "function" | "procedure" if object.is_absent() || object.differs_in("definition") => {
            Remedy::sql(format!("{};", object.text("definition").trim_end()))
        }
        "trigger" => trigger(object),
        "policy" => policy(object),
        "domain" => domain(object),
        "enum" => {
            decide("labels of an enum are in use by rows, and PostgreSQL never takes one away")
        }
        _ => by_hand(object),
    }
}

fn decide(why: &str) -> Remedy {
    Remedy::person(format!(
        "{why}: write a migration, or record what is there with repair --accept-drift"
    ))
}

/// For what has no steps of its own here: what a person puts back, or takes away.
fn by_hand(object: &Drifted<'_>) -> Remedy {
    let what = format!("{} {}", object.kind, object.name);
    if object.recorded.is_none() {
        return decide(&format!("{what} was made by hand: DROP it, where nobody needs it"));
    }
    match (object.is_absent(), object.text("definition")) {
        (true, "") => {
            decide(&format!("{what} is gone: put it back by hand, as its migration made it"))
        }
        (true, definition) => decide(&format!("put it back by hand: {}", definition.trim_end())),
        (false, _) => {
            decide(&format!("put it back by hand: ALTER {what}, or DROP it and make it again"))
        }
    }
}

fn extension(object: &Drifted<'_>) -> Remedy {
    match object.is_absent() {
        true => Remedy::sql(format!(
            "CREATE EXTENSION {} WITH SCHEMA {} VERSION {};",
            object.name,
            object.text("schema"),
            literal(object.text("version"))
        )),
        false => decide("an extension is updated by ALTER EXTENSION … UPDATE, and never back"),
    }
}

/// SQL for each attribute that can be put back; a sentence for each that cannot.
fn each(object: &Drifted<'_>, one: impl Fn(&str, &Change) -> Result<String, String>) -> Remedy {
    let mut remedy = Remedy::default();
    for change in &object.changes {
        match one(change.attribute.as_deref().unwrap_or_default(), change) {
            Ok(sql) => remedy.sql.push_str(&format!("{sql};\n")),
            Err(why) => remedy.person.push(why),
        }
    }
    remedy
}

fn values(attribute: &str) -> String {
    if OPTIONAL.contains(&attribute) {
        return format!(
            "{attribute}: who may do what is for a person to say: GRANT, REVOKE, ALTER … OWNER TO"
        );
    }
    format!(
        "{attribute}: putting it back would rewrite or lose values: write a migration, or record \
         what is there with repair --accept-drift"
    )
}

fn is_true(value: &Option<Value>) -> bool {
    *value == Some(Value::Bool(true))
}

fn table(object: &Drifted<'_>) -> Remedy {
    if object.is_absent() {
        return gone_with_its_data(&format!("table {}", object.name));
    }
    each(object, |attribute, change| {
        let table = object.name;
        match (attribute, is_true(&change.before)) {
            ("row security", true) => Ok(format!("ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")),
            ("row security", false) => {
                Ok(format!("ALTER TABLE {table} DISABLE ROW LEVEL SECURITY"))
            }
            ("forced row security", true) => {
                Ok(format!("ALTER TABLE {table} FORCE ROW LEVEL SECURITY"))
            }
            ("forced row security", false) => {
                Ok(format!("ALTER TABLE {table} NO FORCE ROW LEVEL SECURITY"))
            }
            ("options", _) => Ok(options("TABLE", table, change)),
            ("owner", _) => Ok(format!("ALTER TABLE {table} OWNER TO {}", plain(&change.before))),
            ("comment", _) => Ok(format!("COMMENT ON TABLE {table} IS {}", quoted(&change.before))),
            (attribute, _) => Err(values(attribute)),
        }
    })
}

fn plain(value: &Option<Value>) -> &str {
    value.as_ref().and_then(Value::as_str).unwrap_or_default()
}

fn quoted(value: &Option<Value>) -> String {
    literal(plain(value))
}

/// Storage options: what is recorded is set, what else is there is reset.
fn options(kind: &str, name: &str, change: &Change) -> String {
    let list = |value: &Option<Value>| -> Vec<String> {
        let items = value.as_ref().and_then(Value::as_array).into_iter().flatten();
        items.filter_map(Value::as_str).map(str::to_string).collect()
    };
    let key = |option: &str| option.split_once('=').map_or(option, |(key, _)| key).to_string();
    let wanted = list(&change.before);
    let kept: Vec<String> = wanted.iter().map(|option| key(option)).collect();
    let extra: Vec<String> = list(&change.after)
        .iter()
        .map(|option| key(option))
        .filter(|key| !kept.contains(key))
        .collect();
    let mut sql = Vec::new();
    if !wanted.is_empty() {
        sql.push(format!("ALTER {kind} {name} SET ({})", assignments(&wanted)));
    }
    if !extra.is_empty() {
        sql.push(format!("ALTER {kind} {name} RESET ({})", extra.join(", ")));
    }
    sql.join(";\n")
}

fn assignments(options: &[String]) -> String {
    let one = |option: &String| match option.split_once('=') {
        Some((key, value)) => format!("{key} = {}", literal(value)),
        None => option.clone(),
    };
    options.iter().map(one).collect::<Vec<_>>().join(", ")
}

/// The table (or domain) and the last part of a dotted name, quotes respected.
pub(super) fn split_last(name: &str) -> (&str, &str) {
    let mut quoted = false;
    let mut at = None;
    for (index, c) in name.char_indices() {
        match c {
            '"' => quoted = !quoted,
            '.' if !quoted => at = Some(index),
            _ => {}
        }
    }
    at.map_or(("", name), |at| (&name[..at], &name[at + 1..]))
}

fn column(object: &Drifted<'_>) -> Remedy {
    let (table, column) = split_last(object.name);
    if object.recorded.is_none() {
        return Remedy::person(format!(
            "it was added by hand: keep it by a migration with ALTER TABLE {table} ADD COLUMN IF NOT \
             EXISTS {column} … and then repair --accept-drift, or drop it with the values it holds"
        ));
    }
    if object.is_absent() {
        return gone_with_its_data(&format!("column {}", object.name));
    }
    let alter = format!("ALTER TABLE {table} ALTER COLUMN {column}");
    each(object, |attribute, change| match (attribute, &change.before) {
        ("default", Some(Value::String(default))) => Ok(format!("{alter} SET DEFAULT {default}")),
        ("default", _) => Ok(format!("{alter} DROP DEFAULT")),
        ("not null", Some(Value::Bool(true))) => Ok(format!("{alter} SET NOT NULL")),
        ("not null", _) => Ok(format!("{alter} DROP NOT NULL")),
        ("identity", None) => Ok(format!("{alter} DROP IDENTITY")),
        ("identity", Some(Value::String(kind))) if change.after.is_some() => {
            Ok(format!("{alter} SET GENERATED {}", kind.to_uppercase()))
        }
        ("identity", _) => {
            Err("identity: where its sequence stood is lost: add it by a migration with START"
                .to_string())
        }
        ("comment", before) => {
            Ok(format!("COMMENT ON COLUMN {} IS {}", object.name, quoted(before)))
        }
        (attribute, _) => Err(values(attribute)),
    })
}

fn named_on(name: &str) -> (&str, &str) {
    name.rsplit_once(" on ").unwrap_or((name, ""))
}

/// A check or a foreign key is added without looking at the rows and validated after: neither
/// loses one, and the server refuses what the rows do not satisfy.
fn constraint(object: &Drifted<'_>) -> Remedy {
    let (name, table) = named_on(object.name);
    let drop = format!("ALTER TABLE {table} DROP CONSTRAINT {name};\n");
    if object.recorded.is_none() {
        return Remedy::sql(drop);
    }
    let valid = |definition: &str| definition.trim_end_matches(" NOT VALID").to_string();
    let wanted = valid(object.text("definition"));
    let validate = match object.text("definition").ends_with(" NOT VALID") {
        true => String::new(),
        false => format!("ALTER TABLE {table} VALIDATE CONSTRAINT {name};\n"),
    };
    let live =
        object.changes.iter().find(|change| change.attribute.as_deref() == Some("definition"));
    if live.is_some_and(|change| valid(plain(&change.after)) == wanted) && !validate.is_empty() {
        return Remedy::sql(validate);
    }
    let add = match wanted.starts_with("CHECK") || wanted.starts_with("FOREIGN KEY") {
        true => {
            format!("ALTER TABLE {table} ADD CONSTRAINT {name} {wanted} NOT VALID;\n{validate}")
        }
        false => format!("ALTER TABLE {table} ADD CONSTRAINT {name} {wanted};\n"),
    };
    match object.is_absent() {
        true => Remedy::sql(add),
        false => Remedy::sql(format!("{drop}{add}")),
    }
}

/// Indexes are built and dropped beside the traffic, so not in a transaction.
fn index(object: &Drifted<'_>) -> Remedy {
    let drop = format!("DROP INDEX CONCURRENTLY {};\n", object.name);
    let definition = object.text("definition");
    if definition.contains(" ON ONLY ") {
        return decide("an index of a partitioned table consists of one for each partition");
    }
    let create = definition.replacen(" INDEX ", " INDEX CONCURRENTLY ", 1);
    let sql = match (object.recorded.is_some(), object.is_absent()) {
        (false, _) => drop,
        (true, true) => format!("{create};\n"),
        (true, false) => format!("{drop}{create};\n"),
    };
    Remedy { apart: true, ..Remedy::sql(format!("-- transaction: off\n{sql}")) }
}

fn view(object: &Drifted<'_>) -> Remedy {
    if object.is_absent() {
        let options = object.recorded.and_then(|attributes| attributes.get("options"));
        let options: Vec<String> = options
            .and_then(|value| serde_json::from_value(value.clone()).ok())
            .unwrap_or_default();
        let with = match options.is_empty() {
            true => String::new(),
            false => format!(" WITH ({})", assignments(&options)),
        };
        return Remedy::sql(format!(
            "CREATE VIEW {}{with} AS {}",
            object.name,
            object.text("definition")
        ));
    }
    each(object, |attribute, change| match attribute {
        "definition" => Ok(format!(
            "CREATE OR REPLACE VIEW {} AS {}",
            object.name,
            object.text("definition").trim_end_matches(';')
        )),
        "options" => Ok(options("VIEW", object.name, change)),
        "owner" => Ok(format!("ALTER VIEW {} OWNER TO {}", object.name, plain(&change.before))),
        "comment" => Ok(format!("COMMENT ON VIEW {} IS {}", object.name, quoted(&change.before))),
        attribute => Err(values(attribute)),
    })
}

fn materialized_view(object: &Drifted<'_>) -> Remedy {
    match object.is_absent() {
        true => Remedy::sql(format!(
            "CREATE MATERIALIZED VIEW {} AS {}",
            object.name,
            object.text("definition")
        ))
        .caution("it is filled again by its query"),
        false => decide("a materialized view is changed by dropping it with its indexes"),
    }
}

fn sequence(object: &Drifted<'_>) -> Remedy {
    if object.is_absent() {
        return decide("where the sequence stood is lost with it");
    }
    each(object, |attribute, change| {
        let value = change.before.clone().unwrap_or_default().to_string();
        let alter = format!("ALTER SEQUENCE {}", object.name);
        match (attribute, is_true(&change.before)) {
            ("start", _) => Ok(format!("{alter} START {value}")),
            ("increment", _) => Ok(format!("{alter} INCREMENT {value}")),
            ("minimum", _) => Ok(format!("{alter} MINVALUE {value}")),
            ("maximum", _) => Ok(format!("{alter} MAXVALUE {value}")),
            ("cycle", true) => Ok(format!("{alter} CYCLE")),
            ("cycle", false) => Ok(format!("{alter} NO CYCLE")),
            ("type", _) => Ok(format!("{alter} AS {}", plain(&change.before))),
            (attribute, _) => Err(values(attribute)),
        }
    })
}

fn trigger(object: &Drifted<'_>) -> Remedy {
    let (name, table) = named_on(object.name);
    let drop = format!("DROP TRIGGER {name} ON {table};\n");
    if object.recorded.is_none() {
        return Remedy::sql(drop);
    }
    let firing = match object.text("enabled") {
        "D" => "DISABLE",
        "R" => "ENABLE REPLICA",
        "A" => "ENABLE ALWAYS",
        _ => "ENABLE",
    };
    let enable = format!("ALTER TABLE {table} {firing} TRIGGER {name};\n");
    let create = format!("{};\n{enable}", object.text("definition"));
    match (object.is_absent(), object.differs_in("definition")) {
        (true, _) => Remedy::sql(create),
        (false, true) => Remedy::sql(format!("{drop}{create}")),
        (false, false) => Remedy::sql(enable),
    }
}

fn policy(object: &Drifted<'_>) -> Remedy {
    let (name, table) = named_on(object.name);
    let drop = format!("DROP POLICY {name} ON {table};\n");
    let Some(recorded) = object.recorded else { return Remedy::sql(drop) };
    let create = create_policy(name, table, object, recorded);
    match object.is_absent() {
        true => Remedy::sql(create),
        false => Remedy::sql(format!("{drop}{create}")),
    }
}

fn create_policy(name: &str, table: &str, object: &Drifted<'_>, recorded: &Attributes) -> String {
    let command = match object.text("command") {
        "r" => "SELECT",
        "a" => "INSERT",
        "w" => "UPDATE",
        "d" => "DELETE",
        _ => "ALL",
    };
    let manner = match recorded.get("permissive") == Some(&Value::Bool(false)) {
        true => "RESTRICTIVE",
        false => "PERMISSIVE",
    };
    let roles = recorded.get("roles").and_then(Value::as_array).into_iter().flatten();
    let roles: Vec<String> = roles
        .filter_map(Value::as_str)
        .map(|role| {
            if role == "public" { "PUBLIC".to_string() } else { crate::postgres::identifier(role) }
        })
        .collect();
    let roles = if roles.is_empty() { "PUBLIC".to_string() } else { roles.join(", ") };
    let mut sql = format!("CREATE POLICY {name} ON {table} AS {manner} FOR {command} TO {roles}");
    for (clause, attribute) in [("USING", "using"), ("WITH CHECK", "check")] {
        if recorded.contains_key(attribute) {
            sql.push_str(&format!(" {clause} ({})", object.text(attribute)));
        }
    }
    format!("{sql};\n")
}

fn domain(object: &Drifted<'_>) -> Remedy {
    if object.is_absent() {
        return decide("the columns that had its type went with it or have another type now");
    }
    each(object, |attribute, change| {
        let alter = format!("ALTER DOMAIN {}", object.name);
        match (attribute, &change.before) {
            ("default", Some(Value::String(default))) => {
                Ok(format!("{alter} SET DEFAULT {default}"))
            }
            ("default", _) => Ok(format!("{alter} DROP DEFAULT")),
            ("not null", Some(Value::Bool(true))) => Ok(format!("{alter} SET NOT NULL")),
            ("not null", _) => Ok(format!("{alter} DROP NOT NULL")),
            ("checks", _) => Ok(checks(&alter, change)),
            (attribute, _) => Err(values(attribute)),
        }
    })
}

/// Drops the checks that are not as recorded and adds those that then lack.
fn checks(alter: &str, change: &Change) -> String {
    let of = |value: &Option<Value>| {
        value.as_ref().and_then(Value::as_object).cloned().unwrap_or_default()
    };
    let (wanted, live) = (of(&change.before), of(&change.after));
    let identifier = crate::postgres::identifier;
    let dropped = live
        .iter()
        .filter(|(name, check)| wanted.get(*name) != Some(check))
        .map(|(name, _)| format!("{alter} DROP CONSTRAINT {}", identifier(name)));
    let added = wanted.iter().filter(|(name, check)| live.get(*name) != Some(check)).map(
        |(name, check)| {
            let check = check.as_str().unwrap_or_default();
            format!("{alter} ADD CONSTRAINT {} {check}", identifier(name))
        },
    );
    dropped.chain(added).collect::<Vec<_>>().join(";\n")
}

/// The names that the owner of an object may have.
pub(super) fn part_of(object: &str, attributes: &Attributes) -> Vec<String> {
    let of_relation = |name: &str| {
        ["table", "foreign table", "materialized view", "view"]
            .map(|kind| format!("{kind} {name}"))
            .to_vec()
    };
    let text = |attribute: &str| attributes.get(attribute).and_then(Value::as_str);
    match object.split_once(' ') {
        Some(("column", name)) => of_relation(split_last(name).0),
        Some(("constraint" | "trigger" | "policy" | "rule", name)) => of_relation(named_on(name).1),
        Some(("index" | "statistics", _)) => text("table").map(of_relation).unwrap_or_default(),
        // What a range type brings along.
        Some(("function", _)) => {
            text("of type").map(|name| format!("range type {name}")).into_iter().collect()
        }
        Some(("sequence", _)) => {
            text("owned by").map(|column| format!("column {column}")).into_iter().collect()
        }
        Some(_) | None => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dotted_name_is_split_at_its_last_dot_outside_quotes() {
        assert_eq!(split_last("public.t.a"), ("public.t", "a"));
        assert_eq!(split_last(r#"public."a.b"."c.d""#), (r#"public."a.b""#, r#""c.d""#));
    }
}
