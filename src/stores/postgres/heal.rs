//! What puts an object of a database back as recorded, and whose part an object is. Nothing here
//! drops a table or a column, and nothing changes a value.

mod guards;
mod relations;
pub(super) mod rights;
mod routines;
mod successors;

use serde_json::Value;

use super::shape::OPTIONAL;
use crate::postgres::{identifier, literal};
use crate::shape::{Attributes, Change, Shape};
use crate::stores::remedy::{Drifted, Remedy, Sql, Way};

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

/// Where in a repair an object comes: what was made by hand goes last, a foreign key needs the keys that
/// it refers to, and a partition gets what its parent has from the parent.
pub(super) fn rank(object: &Drifted<'_>, remedy: &Remedy) -> usize {
    let place = ORDER.iter().position(|known| *known == object.kind).unwrap_or(ORDER.len());
    let foreign = object.text("definition").starts_with("FOREIGN KEY");
    let owner = owner_of(object);
    let below =
        [PARTITION_OF, PARTITIONED].map(|fact| owner.is_some_and(|owner| owner.contains_key(fact)));
    let level = match below {
        [false, _] => 0,
        [true, true] => 1,
        [true, false] => 2,
    };
    let place = 2 * place + usize::from(foreign);
    (usize::from(remedy.sql.removes) * 100 + place) * 3 + level
}

/// What a partition, and what a partitioned table, has recorded.
const PARTITION_OF: &str = "partition bound";
const PARTITIONED: &str = "partition key";

pub(super) fn heal(object: &Drifted<'_>) -> Remedy {
    let optional = |change: &&&Change| {
        change.attribute.as_deref().is_some_and(|attribute| OPTIONAL.contains(&attribute))
    };
    let (of_it, others): (Vec<&Change>, Vec<&Change>) = object.changes.iter().partition(optional);
    let mut remedy = match others.is_empty() && !of_it.is_empty() {
        true => Remedy::default(),
        false => of_kind(&Drifted { changes: others, ..*object }),
    };
    let then = match object.is_absent() {
        true => Ok(rights::recorded(object)),
        false => rights::of(object, &of_it),
    };
    match then {
        Err(why) => remedy.person.push(why),
        Ok(then) if remedy.sql.is_empty() && !of_it.is_empty() => {
            remedy.sql = Sql::ways([Way { then, ..Way::default() }]);
        }
        Ok(then) => remedy.sql.ways.iter_mut().for_each(|way| way.then.clone_from(&then)),
    }
    match object.is_absent() && !remedy.sql.is_empty() {
        true => rights::unrecorded(object, remedy),
        false => remedy,
    }
}

fn of_kind(object: &Drifted<'_>) -> Remedy {
    match object.kind {
        "schema" => schema(object),
        "extension" => extension(object),
        "table" => relations::table(object),
        "column" => relations::column(object),
        "constraint" => guards::constraint(object),
        "index" => successors::index(object),
        "view" => relations::view(object),
        "materialized view" => relations::materialized_view(object),
        "sequence" => relations::sequence(object),
        "function" | "procedure" => routines::routine(object),
        "trigger" => guards::trigger(object),
        "policy" => guards::policy(object),
        "domain" => domain(object),
        "enum" => enumeration(object),
        _ => defined(object),
    }
}

fn decide(why: &str) -> Remedy {
    Remedy::person(format!(
        "{why}: write a migration, or record what is there with repair --accept-drift"
    ))
}

/// What has its whole definition recorded, as a statement. It is dropped without CASCADE, so that the
/// server refuses where anything needs it.
fn defined(object: &Drifted<'_>) -> Remedy {
    let is_statement = |text: &str| text.starts_with("CREATE ");
    let drop = format!("DROP {} {};\n", object.kind.to_uppercase(), object.name);
    let live = object.live.and_then(|live| live.get("definition")).and_then(Value::as_str);
    let recorded = object.text("definition");
    match (object.recorded.is_some(), is_statement(recorded)) {
        (false, _) if live.is_some_and(is_statement) => Remedy::sql(Sql::removing(drop)),
        (true, true) if object.is_absent() => {
            Remedy::sql(format!("{}{}", statement(recorded), after(object)))
        }
        (true, true) if object.differs_in("definition") => {
            let replace = recorded.replacen("CREATE ", "CREATE OR REPLACE ", 1);
            let replace = Way::new(format!("{}{}", statement(&replace), after(object)));
            let anew = format!("{drop}{}{}", statement(recorded), after(object));
            let carried = rights::carried(object);
            Remedy::sql(Sql::ways([replace, Way { sql: anew, carried, ..Way::default() }]))
        }
        (_, _) => by_hand(object),
    }
}

/// What a definition does not say of a rule or of statistics.
fn after(object: &Drifted<'_>) -> String {
    let recorded = |attribute| object.recorded.and_then(|recorded| recorded.get(attribute));
    let target = |target| format!("ALTER STATISTICS {} SET STATISTICS {target};\n", object.name);
    match (object.kind, object.text("enabled")) {
        ("rule", state) if state != "O" || object.differs_in("enabled") => {
            guards::enable(object, "RULE")
        }
        ("statistics", _) => recorded("target").map(target).unwrap_or_default(),
        (_, _) => String::new(),
    }
}

/// What a person puts back, or takes away.
fn by_hand(object: &Drifted<'_>) -> Remedy {
    let what = format!("{} {}", object.kind, object.name);
    match (object.recorded.is_some(), object.is_absent()) {
        (false, _) => decide(&format!("{what} was made by hand: DROP it, where nobody needs it")),
        (true, true) => {
            decide(&format!("{what} is gone: put it back by hand, as its migration made it"))
        }
        (true, false) => each(object, |attribute, change| match (object.kind, attribute) {
            ("rule", "enabled") => Ok(guards::enable(object, "RULE")),
            ("statistics", "target") => {
                let target = change.before.clone().unwrap_or(Value::from(-1));
                Ok(format!("ALTER STATISTICS {} SET STATISTICS {target}", object.name))
            }
            (_, attribute) => Err(values(attribute)),
        }),
    }
}

fn statement(definition: &str) -> String {
    format!("{};\n", definition.trim_end().trim_end_matches(';'))
}

fn schema(object: &Drifted<'_>) -> Remedy {
    match object.is_absent() {
        true => Remedy::sql(format!("CREATE SCHEMA {};\n", object.name)),
        false => each(object, |attribute, _| Err(values(attribute))),
    }
}

fn extension(object: &Drifted<'_>) -> Remedy {
    match object.is_absent() {
        true => Remedy::sql(format!(
            "CREATE EXTENSION {} WITH SCHEMA {} VERSION {};",
            object.name,
            identifier(object.text("schema")),
            literal(object.text("version"))
        )),
        false => decide("an extension is updated by ALTER EXTENSION … UPDATE, and never back"),
    }
}

/// SQL for each attribute that can be put back; a sentence for each that cannot.
fn each(object: &Drifted<'_>, one: impl Fn(&str, &Change) -> Result<String, String>) -> Remedy {
    let (mut sql, mut person) = (String::new(), Vec::new());
    for change in &object.changes {
        match one(change.attribute.as_deref().unwrap_or_default(), change) {
            Ok(statements) => sql.push_str(&format!("{statements};\n")),
            Err(why) => person.push(why),
        }
    }
    let sql = if sql.is_empty() { Sql::default() } else { Sql::from(sql) };
    Remedy { person, ..Remedy::sql(sql) }
}

/// What is in the rows, or says where they are.
const OF_ROWS: [&str; 7] =
    ["type", "generated", "collation", "persistence", "partition key", "partition bound", "labels"];

fn values(attribute: &str) -> String {
    let how = match OF_ROWS.contains(&attribute) {
        true => "putting it back would rewrite or lose values: write a migration",
        false => "put it back by hand, as its migration made it",
    };
    format!("{attribute}: {how}, or record what is there with repair --accept-drift")
}

fn is_true(value: &Option<Value>) -> bool {
    *value == Some(Value::Bool(true))
}

fn plain(value: &Option<Value>) -> &str {
    value.as_ref().and_then(Value::as_str).unwrap_or_default()
}

fn texts(value: Option<&Value>) -> Vec<String> {
    let items = value.and_then(Value::as_array).into_iter().flatten();
    items.filter_map(Value::as_str).map(str::to_string).collect()
}

fn assignments(options: &[String]) -> String {
    let one = |option: &String| match option.split_once('=') {
        Some((key, value)) => format!("{key} = {}", literal(value)),
        None => option.clone(),
    };
    options.iter().map(one).collect::<Vec<_>>().join(", ")
}

/// The table (or domain) and the last part of a dotted name, quotes respected.
fn split_last(name: &str) -> (&str, &str) {
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

fn named_on(name: &str) -> (&str, &str) {
    name.rsplit_once(" on ").unwrap_or((name, ""))
}

fn enumeration(object: &Drifted<'_>) -> Remedy {
    if !object.is_absent() {
        return decide("labels of an enum are in use by rows, and PostgreSQL never takes one away");
    }
    let labels = texts(object.recorded.and_then(|recorded| recorded.get("labels")));
    let labels: Vec<String> = labels.iter().map(|label| literal(label)).collect();
    Remedy::sql(format!("CREATE TYPE {} AS ENUM ({});", object.name, labels.join(", ")))
}

fn domain(object: &Drifted<'_>) -> Remedy {
    let alter = format!("ALTER DOMAIN {}", object.name);
    if object.is_absent() {
        return Remedy::sql(create_domain(object, &alter));
    }
    each(object, |attribute, change| match (attribute, &change.before) {
        ("default", Some(Value::String(default))) => Ok(format!("{alter} SET DEFAULT {default}")),
        ("default", _) => Ok(format!("{alter} DROP DEFAULT")),
        ("not null", Some(Value::Bool(true))) => Ok(format!("{alter} SET NOT NULL")),
        ("not null", _) => Ok(format!("{alter} DROP NOT NULL")),
        ("checks", _) => Ok(checks(&alter, &change.before, &change.after)),
        (attribute, _) => Err(values(attribute)),
    })
}

fn create_domain(object: &Drifted<'_>, alter: &str) -> String {
    let recorded = |attribute| object.recorded.and_then(|recorded| recorded.get(attribute));
    let mut sql = format!("CREATE DOMAIN {} AS {}", object.name, object.text("type"));
    if recorded("default").is_some() {
        sql.push_str(&format!(" DEFAULT {}", object.text("default")));
    }
    if recorded("not null") == Some(&Value::Bool(true)) {
        sql.push_str(" NOT NULL");
    }
    format!("{sql};\n{};", checks(alter, &recorded("checks").cloned(), &None))
}

/// Drops the checks that are not as recorded and adds those that then lack.
fn checks(alter: &str, before: &Option<Value>, after: &Option<Value>) -> String {
    let of = |value: &Option<Value>| {
        value.as_ref().and_then(Value::as_object).cloned().unwrap_or_default()
    };
    let (wanted, live) = (of(before), of(after));
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

/// The kinds of what holds columns.
const RELATIONS: [&str; 4] = ["table", "foreign table", "materialized view", "view"];

/// The names that the owner of an object may have.
pub(super) fn part_of(object: &str, attributes: &Attributes) -> Vec<String> {
    let of_relation = |name: &str| RELATIONS.map(|kind| format!("{kind} {name}")).to_vec();
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

/// What is recorded of the relation whose part an object is.
fn owner_of<'d>(object: &Drifted<'d>) -> Option<&'d Attributes> {
    let name = format!("{} {}", object.kind, object.name);
    let nothing = Attributes::default();
    let owners = part_of(&name, object.recorded.unwrap_or(&nothing));
    let shape: &'d Shape = object.shape;
    owners.iter().find_map(|owner| shape.objects.get(owner))
}

/// Whether it is a part of a partitioned table or of a partition: these get and lose it together.
fn is_shared(object: &Drifted<'_>) -> bool {
    let has =
        |owner: &Attributes| owner.contains_key(PARTITION_OF) || owner.contains_key(PARTITIONED);
    owner_of(object).is_some_and(has)
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
