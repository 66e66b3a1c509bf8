//! Tables, their columns, views and sequences.

use serde_json::Value;

use super::{
    assignments, decide, each, is_shared, is_true, plain, rights, split_last, successors, texts,
    values,
};
use crate::shape::Change;
use crate::stores::remedy::{Drifted, Remedy, Sql, Way, gone_with_its_data};

pub(super) fn table(object: &Drifted<'_>) -> Remedy {
    if object.is_absent() {
        return gone_with_its_data(&format!("table {}", object.name));
    }
    let alter = format!("ALTER TABLE {}", object.name);
    each(object, |attribute, change| match (attribute, is_true(&change.before)) {
        ("row security", true) => Ok(format!("{alter} ENABLE ROW LEVEL SECURITY")),
        ("row security", false) => Err(format!(
            "row security was switched on by hand, and hides rows now: {alter} DISABLE ROW LEVEL SECURITY, \
             or record it with repair --accept-drift"
        )),
        ("forced row security", true) => Ok(format!("{alter} FORCE ROW LEVEL SECURITY")),
        ("forced row security", false) => Ok(format!("{alter} NO FORCE ROW LEVEL SECURITY")),
        ("options", _) => Ok(options(&alter, change)),
        ("replica identity", _) => Ok(format!("{alter} REPLICA IDENTITY {}", identity(change))),
        ("clustered on", _) => Ok(match plain(&change.before) {
            "" => format!("{alter} SET WITHOUT CLUSTER"),
            index => format!("{alter} CLUSTER ON {index}"),
        }),
        (attribute, _) => Err(values(attribute)),
    })
}

fn identity(change: &Change) -> String {
    match plain(&change.before) {
        "nothing" => "NOTHING".to_string(),
        "full" => "FULL".to_string(),
        index => match index.strip_prefix("index ") {
            Some(index) => format!("USING INDEX {index}"),
            None => "DEFAULT".to_string(),
        },
    }
}

/// Storage options: what is recorded is set, what else is there is reset.
pub(super) fn options(alter: &str, change: &Change) -> String {
    let key = |option: &str| option.split_once('=').map_or(option, |(key, _)| key).to_string();
    let wanted = texts(change.before.as_ref());
    let kept: Vec<String> = wanted.iter().map(|option| key(option)).collect();
    let live = texts(change.after.as_ref());
    let extra: Vec<String> =
        live.iter().map(|option| key(option)).filter(|key| !kept.contains(key)).collect();
    let mut sql = Vec::new();
    if !wanted.is_empty() {
        sql.push(format!("{alter} SET ({})", assignments(&wanted)));
    }
    if !extra.is_empty() {
        sql.push(format!("{alter} RESET ({})", extra.join(", ")));
    }
    sql.join(";\n")
}

pub(super) fn column(object: &Drifted<'_>) -> Remedy {
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
    // What a partition or an heir has is its own.
    let own = altered(object, &format!("ALTER TABLE ONLY {table} ALTER COLUMN {column}"));
    let demanded = object
        .changes
        .iter()
        .any(|change| change.attribute.as_deref() == Some("not null") && is_true(&change.before));
    match (is_shared(object), demanded) {
        (true, _) => {
            // PostgreSQL lets some of it be done to a partitioned table and its partitions alone.
            let all = altered(object, &format!("ALTER TABLE {table} ALTER COLUMN {column}"));
            let ways = own.sql.ways.into_iter().chain(all.sql.ways);
            Remedy { sql: Sql::ways(ways), ..own }
        }
        (false, true) => successors::not_null(object, table, column, own),
        (false, false) => own,
    }
}

fn altered(object: &Drifted<'_>, alter: &str) -> Remedy {
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
        ("statistics", before) => {
            let target = before.clone().unwrap_or(Value::from(-1));
            Ok(format!("{alter} SET STATISTICS {target}"))
        }
        ("storage", Some(Value::String(storage))) => Ok(format!("{alter} SET STORAGE {storage}")),
        ("compression", before) => Ok(match plain(before) {
            "" => format!("{alter} SET COMPRESSION DEFAULT"),
            method => format!("{alter} SET COMPRESSION {method}"),
        }),
        ("options", _) => Ok(options(alter, change)),
        (attribute, _) => Err(values(attribute)),
    })
}

/// Definition and options are one statement: CREATE OR REPLACE VIEW without options takes away those
/// that are there, `security_invoker` among them.
pub(super) fn view(object: &Drifted<'_>) -> Remedy {
    let options = texts(object.recorded.and_then(|recorded| recorded.get("options")));
    let with = match options.is_empty() {
        true => String::new(),
        false => format!(" WITH ({})", assignments(&options)),
    };
    let definition = object.text("definition").trim_end().trim_end_matches(';');
    let create = |verb: &str| format!("{verb} VIEW {}{with} AS {definition};\n", object.name);
    if object.is_absent() {
        return Remedy::sql(create("CREATE"));
    }
    let rest = each(object, |attribute, _| match attribute {
        "definition" | "options" => Ok(String::new()),
        attribute => Err(values(attribute)),
    });
    if rest.sql.is_empty() {
        return rest;
    }
    let anew = Way {
        sql: format!("DROP VIEW {};\n{}", object.name, create("CREATE")),
        carried: rights::carried(object),
        ..Way::default()
    };
    Remedy { sql: Sql::ways([Way::new(create("CREATE OR REPLACE")), anew]), ..rest }
}

pub(super) fn materialized_view(object: &Drifted<'_>) -> Remedy {
    if !object.is_absent() && object.differs_in("definition") {
        return decide("a materialized view is changed by dropping it with its indexes");
    }
    if !object.is_absent() {
        let alter = format!("ALTER MATERIALIZED VIEW {}", object.name);
        return each(object, |attribute, change| match attribute {
            "options" => Ok(options(&alter, change)),
            attribute => Err(values(attribute)),
        });
    }
    let options = texts(object.recorded.and_then(|recorded| recorded.get("options")));
    let with = match options.is_empty() {
        true => String::new(),
        false => format!(" WITH ({})", assignments(&options)),
    };
    let create = format!(
        "CREATE MATERIALIZED VIEW {}{with} AS {};\n",
        object.name,
        object.text("definition").trim_end().trim_end_matches(';')
    );
    Remedy::sql(create).caution("it is filled again by its query")
}

pub(super) fn sequence(object: &Drifted<'_>) -> Remedy {
    if object.is_absent() {
        return decide("where the sequence stood is lost with it");
    }
    // One statement: between two of them a limit could lie on the wrong side of the start.
    let (mut settings, mut person) = (String::new(), Vec::new());
    for change in &object.changes {
        let value = change.before.clone().unwrap_or_default().to_string();
        let attribute = change.attribute.as_deref().unwrap_or_default();
        settings.push_str(&match (attribute, is_true(&change.before)) {
            ("start", _) => format!(" START {value}"),
            ("increment", _) => format!(" INCREMENT {value}"),
            ("minimum", _) => format!(" MINVALUE {value}"),
            ("maximum", _) => format!(" MAXVALUE {value}"),
            ("cache", _) => format!(" CACHE {value}"),
            ("cycle", true) => " CYCLE".to_string(),
            ("cycle", false) => " NO CYCLE".to_string(),
            ("type", _) => format!(" AS {}", plain(&change.before)),
            ("owned by", _) => match plain(&change.before) {
                "" => " OWNED BY NONE".to_string(),
                column => format!(" OWNED BY {column}"),
            },
            (attribute, _) => {
                person.push(values(attribute));
                continue;
            }
        });
    }
    let sql = match settings.is_empty() {
        true => Sql::default(),
        false => Sql::from(format!("ALTER SEQUENCE {}{settings};\n", object.name)),
    };
    Remedy { person, ..Remedy::sql(sql) }
}
