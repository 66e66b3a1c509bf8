//! What keeps rows and readers in order: constraints, triggers, policies.

use serde_json::Value;

use super::relations::options;
use super::{decide, each, is_shared, named_on, plain, rights, split_last, successors, values};
use crate::postgres::{identifier, literal};
use crate::shape::Attributes;
use crate::stores::remedy::{Drifted, Remedy, Sql, Way};

const NOT_VALID: &str = " NOT VALID";

/// A definition without what says that the rows were not looked at.
fn valid(definition: &str) -> &str {
    definition.strip_suffix(NOT_VALID).unwrap_or(definition)
}

pub(super) fn constraint(object: &Drifted<'_>) -> Remedy {
    let (name, table) = named_on(object.name);
    if object.recorded.is_none() {
        return Remedy::sql(Sql::removing(format!(
            "ALTER TABLE {table} DROP CONSTRAINT {name};\n"
        )));
    }
    if !object.is_absent() && !object.differs_in("definition") && !object.differs_in("validated") {
        return each(object, |attribute, change| match attribute {
            "trigger state" => Ok(firing(object, change.before.as_ref())),
            "index options" => Ok(options(&index_of(object), change)),
            attribute => Err(values(attribute)),
        });
    }
    let definition = object.text("definition");
    let of_definition = |attribute: Option<&str>| attribute == Some("definition");
    let mut changes = object.changes.iter();
    let live = changes.find(|change| of_definition(change.attribute.as_deref()));
    if live.is_some_and(|change| valid(plain(&change.after)) == valid(definition)) {
        return validity(table, name, definition);
    }
    let state = object.recorded.and_then(|recorded| recorded.get("trigger state"));
    let triggers = state.map(|state| format!("{};\n", firing(object, Some(state))));
    let triggers = triggers.unwrap_or_default();
    if !is_shared(object)
        && let Some(sql) = successors::constraint(object, &triggers)
    {
        return Remedy::sql(sql);
    }
    let drop = match object.is_absent() {
        true => String::new(),
        false => format!("ALTER TABLE {table} DROP CONSTRAINT {name};\n"),
    };
    let sql = format!("{drop}ALTER TABLE {table} ADD CONSTRAINT {name} {definition};\n{triggers}");
    let way = Way {
        sql,
        carried: rights::carried(object).filter(|_| !object.is_absent()),
        ..Way::default()
    };
    Remedy::sql(Sql::ways([way])).caution("its rows are looked at under a lock on the table")
}

/// Where nothing but the validity differs.
fn validity(table: &str, name: &str, definition: &str) -> Remedy {
    match definition.ends_with(NOT_VALID) {
        false => Remedy::sql(Sql {
            alone: true,
            ..Sql::from(format!("ALTER TABLE {table} VALIDATE CONSTRAINT {name};\n"))
        }),
        true => Remedy::person(
            "it was validated since, and a constraint is not made weaker: record it with repair \
             --accept-drift",
        ),
    }
}

/// The index of a key has the key's name and schema.
fn index_of(object: &Drifted<'_>) -> String {
    let (name, table) = named_on(object.name);
    format!("ALTER INDEX {}.{name}", split_last(table).0)
}

/// SQL that sets when the triggers of a constraint fire: those of its own, on both tables, and none of a
/// user's. `states` are those that were switched; the others fire. That takes a superuser.
fn firing(object: &Drifted<'_>, states: Option<&Value>) -> String {
    let (name, table) = named_on(object.name);
    let states = states.map_or_else(|| "{}".to_string(), Value::to_string);
    format!(
        "DO $aiplat$\nDECLARE one record;\nBEGIN\n  FOR one IN\n    \
         SELECT t.tgrelid::regclass AS relation, t.tgname,\n      \
         CASE coalesce({}::jsonb ->> format('%s on %s', p.proname, t.tgrelid::regclass), 'O')\n      \
         WHEN 'D' THEN 'DISABLE' WHEN 'R' THEN 'ENABLE REPLICA' WHEN 'A' THEN 'ENABLE ALWAYS' \
         ELSE 'ENABLE' END AS verb\n    \
         FROM pg_trigger t JOIN pg_constraint c ON c.oid = t.tgconstraint JOIN pg_proc p ON p.oid = t.tgfoid\n    \
         WHERE t.tgisinternal AND c.conrelid = {}::regclass AND quote_ident(c.conname) = {}\n  \
         LOOP\n    EXECUTE format('ALTER TABLE ONLY %s %s TRIGGER %I', one.relation, one.verb, one.tgname);\n  \
         END LOOP;\nEND $aiplat$",
        literal(&states),
        literal(table),
        literal(name)
    )
}

/// SQL that lets a trigger or a rule fire as recorded.
pub(super) fn enable(object: &Drifted<'_>, what: &str) -> String {
    let (name, table) = named_on(object.name);
    let verb = match object.text("enabled") {
        "D" => "DISABLE",
        "R" => "ENABLE REPLICA",
        "A" => "ENABLE ALWAYS",
        _ => "ENABLE",
    };
    format!("ALTER TABLE ONLY {table} {verb} {what} {name};\n")
}

pub(super) fn trigger(object: &Drifted<'_>) -> Remedy {
    let (name, table) = named_on(object.name);
    let drop = format!("DROP TRIGGER {name} ON {table};\n");
    if object.recorded.is_none() {
        return Remedy::sql(Sql::removing(drop));
    }
    // A view's can neither be disabled nor enabled, and a new one fires.
    let fires = matches!(object.text("enabled"), "" | "O") && !object.differs_in("enabled");
    let enable = if fires { String::new() } else { enable(object, "TRIGGER") };
    let definition = object.text("definition");
    let create = format!("{definition};\n{enable}");
    match (object.is_absent(), object.differs_in("definition")) {
        (true, _) => Remedy::sql(create),
        (false, false) => Remedy::sql(enable),
        (false, true) => {
            let replace = definition.replacen("CREATE ", "CREATE OR REPLACE ", 1);
            let replace = Way::new(format!("{replace};\n{enable}"));
            let anew = Way {
                sql: format!("{drop}{create}"),
                carried: rights::carried(object),
                ..Way::default()
            };
            Remedy::sql(Sql::ways([replace, anew]))
        }
    }
}

pub(super) fn policy(object: &Drifted<'_>) -> Remedy {
    let (name, table) = named_on(object.name);
    let drop = format!("DROP POLICY {name} ON {table};\n");
    let Some(recorded) = object.recorded else {
        let live = object.live.and_then(|live| live.get("permissive"));
        return match live == Some(&Value::Bool(false)) {
            true => {
                decide("a restrictive policy that was made by hand hides rows now: DROP POLICY")
            }
            false => Remedy::sql(Sql::removing(drop)),
        };
    };
    let clauses = clauses(object, recorded);
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
    let create = format!("CREATE POLICY {name} ON {table} AS {manner} FOR {command}{clauses};\n");
    if object.is_absent() {
        return Remedy::sql(create);
    }
    let alter = Way::new(format!("ALTER POLICY {name} ON {table}{clauses};\n"));
    let anew =
        Way { sql: format!("{drop}{create}"), carried: rights::carried(object), ..Way::default() };
    Remedy::sql(Sql::ways([alter, anew]))
}

fn clauses(object: &Drifted<'_>, recorded: &Attributes) -> String {
    let roles = recorded.get("roles").and_then(Value::as_array).into_iter().flatten();
    let roles: Vec<String> = roles
        .filter_map(Value::as_str)
        .map(|role| if role == "public" { "PUBLIC".to_string() } else { identifier(role) })
        .collect();
    let roles = if roles.is_empty() { "PUBLIC".to_string() } else { roles.join(", ") };
    let mut sql = format!(" TO {roles}");
    for (clause, attribute) in [("USING", "using"), ("WITH CHECK", "check")] {
        if recorded.contains_key(attribute) {
            sql.push_str(&format!(" {clause} ({})", object.text(attribute)));
        }
    }
    sql
}
