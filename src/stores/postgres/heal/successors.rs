//! What is built under a name of our own before it takes the place of what is there: indexes,
//! constraints, NOT NULL. What stood before stands until then, and guards as it did.

use super::{assignments, decide, named_on, rights, split_last, texts};
use crate::postgres::literal;
use crate::stores::remedy::{Drifted, Remedy, Sql, Successor, Way};
use crate::text::Checksum;

/// What only a repair names so; short enough for the server to keep it whole.
const OURS: &str = "aiplat_migrate_";

/// The name that the successor of an object has until it takes its place: the same in each repair, so
/// that the next one finds what one that was cut off left.
fn name_for(object: &Drifted<'_>) -> String {
    let sum = Checksum::of(&format!("{} {}", object.kind, object.name));
    let digits: String = sum.as_str().chars().rev().take(16).collect();
    format!("{OURS}{digits}")
}

pub(super) fn index(object: &Drifted<'_>) -> Remedy {
    let (schema, name) = split_last(object.name);
    let drop = format!("DROP INDEX {};\n", object.name);
    if object.recorded.is_none() {
        let remedy = Remedy::sql(Sql::removing(drop));
        return match name.starts_with(OURS) {
            true => remedy.caution("a repair that was cut off left it"),
            false => remedy,
        };
    }
    let Some((unique, rest)) = rest_of(object.text("definition"), name) else {
        return decide("what it is cannot be made again from its record");
    };
    if rest.starts_with("ONLY ") {
        return decide("an index of a partitioned table consists of one for each partition");
    }
    let ours = name_for(object);
    let build = format!("CREATE {unique}INDEX CONCURRENTLY {ours} ON {rest}");
    let rename = format!("ALTER INDEX {schema}.{ours} RENAME TO {name};\n");
    let way = match object.is_absent() {
        true => Way::new(rename),
        false => Way {
            sql: format!("{drop}{rename}"),
            carried: rights::carried(object),
            ..Way::default()
        },
    };
    Remedy::sql(Sql { successor: Some(of_index(schema, ours, build)), ..Sql::ways([way]) })
}

/// Whether an index is unique, and its definition from its table on.
fn rest_of<'d>(definition: &'d str, name: &str) -> Option<(&'static str, &'d str)> {
    let after = |unique: &str| definition.strip_prefix(&format!("CREATE {unique}INDEX {name} ON "));
    after("").map(|rest| ("", rest)).or_else(|| after("UNIQUE ").map(|rest| ("UNIQUE ", rest)))
}

fn of_index(schema: &str, ours: String, build: String) -> Successor {
    let ours = format!("{schema}.{ours}");
    Successor {
        build: vec![build],
        stands: format!("SELECT pg_catalog.to_regclass({}) IS NOT NULL", literal(&ours)),
        discard: format!("DROP INDEX CONCURRENTLY {ours}"),
        refers: false,
    }
}

fn of_constraint(table: &str, ours: &str, build: Vec<String>) -> Successor {
    Successor {
        build,
        stands: format!(
            "SELECT EXISTS (SELECT FROM pg_catalog.pg_constraint WHERE conname = {} \
             AND conrelid = pg_catalog.to_regclass({}))",
            literal(ours),
            literal(table)
        ),
        discard: format!("ALTER TABLE {table} DROP CONSTRAINT {ours}"),
        refers: false,
    }
}

/// For a constraint of an ordinary table; `after` is what is done once it is in its place. None for an
/// exclusion, whose index cannot be built beside the traffic.
pub(super) fn constraint(object: &Drifted<'_>, after: &str) -> Option<Sql> {
    let (name, table) = named_on(object.name);
    let ours = name_for(object);
    let definition = object.text("definition");
    let drop = match object.is_absent() {
        true => String::new(),
        false => format!("ALTER TABLE {table} DROP CONSTRAINT {name};\n"),
    };
    let carried = rights::carried(object).filter(|_| !object.is_absent());
    if let Some(key) = Key::of(definition) {
        let columns = key.columns;
        let options = texts(object.recorded.and_then(|recorded| recorded.get("index options")));
        let with = match options.is_empty() {
            true => String::new(),
            false => format!(" WITH ({})", assignments(&options)),
        };
        let rest = format!("{columns}{}{with}", key.nulls);
        let build = format!("CREATE UNIQUE INDEX CONCURRENTLY {ours} ON {table} {rest}");
        let add = format!(
            "ALTER TABLE {table} ADD CONSTRAINT {name} {} USING INDEX {ours}{};\n",
            key.kind, key.deferral
        );
        let mut ways = vec![Way { sql: format!("{drop}{add}"), carried, ..Way::default() }];
        if key.kind == PRIMARY && object.is_absent() {
            ways.push(Way::new(format!("{}{add}", other_primary(table))));
        }
        let successor = Some(of_index(split_last(table).0, ours, build));
        return Some(Sql { successor, ..Sql::ways(ways) });
    }
    if !definition.starts_with("CHECK ") && !definition.starts_with("FOREIGN KEY ") {
        return None;
    }
    let wanted = definition.strip_suffix(" NOT VALID");
    let add = format!(
        "ALTER TABLE {table} ADD CONSTRAINT {ours} {} NOT VALID",
        wanted.unwrap_or(definition)
    );
    let validate = format!("ALTER TABLE {table} VALIDATE CONSTRAINT {ours}");
    let build = match wanted {
        Some(_) => vec![add],
        None => vec![add, validate],
    };
    let rename = format!("{drop}ALTER TABLE {table} RENAME CONSTRAINT {ours} TO {name};\n{after}");
    // An heir that has it by itself keeps it, and the table's own must be merged with that.
    let merge = format!(
        "ALTER TABLE {table} DROP CONSTRAINT {ours};\n{drop}ALTER TABLE {table} ADD CONSTRAINT {name} \
         {definition};\n{after}"
    );
    let refers = definition.starts_with("FOREIGN KEY ");
    let ways = [rename, merge].into_iter().take(if refers { 1 } else { 2 });
    let ways = ways.map(|sql| Way { sql, carried: carried.clone(), ..Way::default() });
    let successor = Some(Successor { refers, ..of_constraint(table, &ours, build) });
    Some(Sql { successor, ..Sql::ways(ways) })
}

const PRIMARY: &str = "PRIMARY KEY";

/// A table has one primary key: one made by hand makes room in the same transaction.
fn other_primary(table: &str) -> String {
    format!(
        "DO $aiplat$\nBEGIN\n  EXECUTE (SELECT format('ALTER TABLE %s DROP CONSTRAINT %I', \
         conrelid::regclass, conname)\n    FROM pg_constraint WHERE conrelid = {}::regclass AND \
         contype = 'p');\nEND $aiplat$;\n",
        literal(table)
    )
}

/// A primary key or a unique constraint, as `pg_get_constraintdef` writes it.
struct Key<'d> {
    kind: &'static str,
    nulls: &'static str,
    /// In brackets, with those that are only included.
    columns: &'d str,
    deferral: &'d str,
}

impl Key<'_> {
    fn of(definition: &str) -> Option<Key<'_>> {
        let forms = [
            ("PRIMARY KEY ", PRIMARY, ""),
            ("UNIQUE NULLS NOT DISTINCT ", "UNIQUE", " NULLS NOT DISTINCT"),
            ("UNIQUE ", "UNIQUE", ""),
        ];
        let (rest, kind, nulls) = forms.into_iter().find_map(|(start, kind, nulls)| {
            definition.strip_prefix(start).map(|rest| (rest, kind, nulls))
        })?;
        let columns = rest.trim_end_matches(" INITIALLY DEFERRED").trim_end_matches(" DEFERRABLE");
        let is_list = columns.starts_with('(') && columns.ends_with(')');
        is_list.then(|| Key { kind, nulls, columns, deferral: &rest[columns.len()..] })
    }
}

/// NOT NULL by a check that is validated before: to demand it is then a matter of a moment. `own` does
/// the rest.
pub(super) fn not_null(object: &Drifted<'_>, table: &str, column: &str, own: Remedy) -> Remedy {
    let ours = name_for(object);
    let build = vec![
        format!("ALTER TABLE {table} ADD CONSTRAINT {ours} CHECK ({column} IS NOT NULL) NOT VALID"),
        format!("ALTER TABLE {table} VALIDATE CONSTRAINT {ours}"),
    ];
    let drop = format!("ALTER TABLE {table} DROP CONSTRAINT {ours};\n");
    let ways = own.sql.ways.into_iter().map(|way| Way { sql: format!("{}{drop}", way.sql), ..way });
    let sql = Sql { successor: Some(of_constraint(table, &ours, build)), ..Sql::ways(ways) };
    Remedy { sql, ..own }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_read_from_its_ends() {
        let key =
            Key::of(r#"UNIQUE ("a) DEFERRABLE", b) INCLUDE (c) DEFERRABLE INITIALLY DEFERRED"#);
        let key = key.expect("key");
        assert_eq!(key.columns, r#"("a) DEFERRABLE", b) INCLUDE (c)"#);
        assert_eq!(key.deferral, " DEFERRABLE INITIALLY DEFERRED");
        assert_eq!(
            Key::of("UNIQUE NULLS NOT DISTINCT (a)").expect("key").nulls,
            " NULLS NOT DISTINCT"
        );
        assert!(Key::of("EXCLUDE USING gist (a WITH =)").is_none());
    }
}
