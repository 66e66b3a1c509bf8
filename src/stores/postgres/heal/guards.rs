//! What keeps rows and readers in order: constraints, triggers, policies.

use serde_json::Value;

use super::{each, is_shared, named_on, plain, rights, successors};
use crate::postgres::{identifier, literal};
use crate::shape::Attributes;
use crate::stores::remedy::{Drifted, Remedy, Sql, Way};

/// When the triggers that enforce a constraint fire.
pub(super) const TRIGGERS: &str = "triggers";

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
            TRIGGERS => firing(object, plain(&change.before)),
            attribute => rights::of(object, attribute, change),
        });
    }
    let definition = object.text("definition");
    let of_definition = |attribute: Option<&str>| attribute == Some("definition");
    let mut changes = object.changes.iter();
    let live = changes.find(|change| of_definition(change.attribute.as_deref()));
    if live.is_some_and(|change| valid(plain(&change.after)) == valid(definition)) {
        return validity(table, name, definition);
    }
    let triggers = match object.text(TRIGGERS) {
        "" | "enabled" => String::new(),
        state => match firing(object, state) {
            Ok(sql) => format!("{sql};\n"),
            Err(why) => return Remedy::person(why),
        },
    };
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
    let way = Way { sql, carried: rights::carried(object).filter(|_| !object.is_absent()) };
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

/// SQL that sets when the triggers of a foreign key fire: those of its own, on both tables, and none of
/// a user's. That takes a superuser.
fn firing(object: &Drifted<'_>, state: &str) -> Result<String, String> {
    let Some(verb) = verb_of(state) else {
        return Err(format!(
            "triggers: of those of a foreign key some fired and some did not ({state}): ALTER TABLE … \
             ENABLE or DISABLE TRIGGER, then repair --accept-drift"
        ));
    };
    let (name, table) = named_on(object.name);
    Ok(format!(
        "DO $aiplat$\nDECLARE one record;\nBEGIN\n  FOR one IN\n    \
         SELECT t.tgrelid::regclass AS relation, t.tgname FROM pg_trigger t JOIN pg_constraint c \
         ON c.oid = t.tgconstraint\n    WHERE c.conrelid = {}::regclass AND quote_ident(c.conname) = {}\n  \
         LOOP\n    EXECUTE format('ALTER TABLE ONLY %s {verb} TRIGGER %I', one.relation, one.tgname);\n  \
         END LOOP;\nEND $aiplat$",
        literal(table),
        literal(name)
    ))
}

fn verb_of(state: &str) -> Option<&'static str> {
    match state {
        "D" | "disabled" => Some("DISABLE"),
        "R" | "replica" => Some("ENABLE REPLICA"),
        "A" | "always" => Some("ENABLE ALWAYS"),
        "O" | "enabled" => Some("ENABLE"),
        _ => None,
    }
}

pub(super) fn trigger(object: &Drifted<'_>) -> Remedy {
    let (name, table) = named_on(object.name);
    let drop = format!("DROP TRIGGER {name} ON {table};\n");
    if object.recorded.is_none() {
        return Remedy::sql(Sql::removing(drop));
    }
    let verb = verb_of(object.text("enabled")).unwrap_or("ENABLE");
    // A view's can neither be disabled nor enabled, and a new one fires.
    let enable = match verb == "ENABLE" && !object.differs_in("enabled") {
        true => String::new(),
        false => format!("ALTER TABLE ONLY {table} {verb} TRIGGER {name};\n"),
    };
    let definition = object.text("definition");
    let create = format!("{definition};\n{enable}");
    match (object.is_absent(), object.differs_in("definition")) {
        (true, _) => Remedy::sql(create),
        (false, false) => Remedy::sql(enable),
        (false, true) => {
            let replace = definition.replacen("CREATE ", "CREATE OR REPLACE ", 1);
            let replace = Way::new(format!("{replace};\n{enable}"));
            let anew = Way { sql: format!("{drop}{create}"), carried: rights::carried(object) };
            Remedy::sql(Sql::ways([replace, anew]))
        }
    }
}

pub(super) fn policy(object: &Drifted<'_>) -> Remedy {
    let (name, table) = named_on(object.name);
    let drop = format!("DROP POLICY {name} ON {table};\n");
    let Some(recorded) = object.recorded else { return Remedy::sql(Sql::removing(drop)) };
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
    let anew = Way { sql: format!("{drop}{create}"), carried: rights::carried(object) };
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
