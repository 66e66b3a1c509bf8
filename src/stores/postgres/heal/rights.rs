//! Owners, rights and comments: put back where they are recorded, and carried over where an object is
//! made anew.

use serde_json::Value;

use super::{named_on, part_of, split_last, texts, values};
use crate::postgres::{identifier, literal};
use crate::shape::{Change, Shape};
use crate::stores::postgres::shape::RIGHTS;
use crate::stores::remedy::{Drifted, Remedy};

/// Where the catalogs keep an object.
struct Place {
    /// Its catalog.
    catalog: &'static str,
    /// Its number, as an expression.
    oid: String,
}

/// Where an object's owner and rights are kept.
struct Rights {
    /// What GRANT calls the kind.
    kind: &'static str,
    /// The object, as GRANT names it.
    name: String,
    /// The part of the object that a right is given on, in brackets.
    column: String,
    catalog: &'static str,
    /// Which row of the catalog, `o`, it is.
    row: String,
    /// The rights in that row, the default ones where none are kept.
    acl: String,
    owner: Option<&'static str>,
}

fn place(kind: &str, name: &str) -> Option<Place> {
    let (part, owner) = named_on(name);
    let of_relation = |catalog, relation: &str, column: &str| Place {
        catalog,
        oid: format!(
            "(SELECT oid FROM {catalog} WHERE {relation} = {}::regclass AND quote_ident({column}) = {})",
            literal(owner),
            literal(part)
        ),
    };
    Some(match kind {
        "rule" => of_relation("pg_rewrite", "ev_class", "rulename"),
        "constraint" => of_relation("pg_constraint", "conrelid", "conname"),
        "trigger" => of_relation("pg_trigger", "tgrelid", "tgname"),
        "policy" => of_relation("pg_policy", "polrelid", "polname"),
        "function" | "procedure" => Place {
            catalog: "pg_proc",
            oid: format!(
                "(SELECT p.oid FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace WHERE \
                 format('%I.%I(%s)', n.nspname, p.proname, pg_get_function_identity_arguments(p.oid)) = {})",
                literal(name)
            ),
        },
        "schema" => {
            Place { catalog: "pg_namespace", oid: format!("{}::regnamespace::oid", literal(name)) }
        }
        "table" | "view" | "materialized view" | "foreign table" | "sequence" | "index" => {
            Place { catalog: "pg_class", oid: format!("{}::regclass::oid", literal(name)) }
        }
        kind if is_type(kind) => {
            Place { catalog: "pg_type", oid: format!("{}::regtype::oid", literal(name)) }
        }
        _ => return None,
    })
}

fn is_type(kind: &str) -> bool {
    matches!(kind, "enum" | "domain") || kind.ends_with(" type")
}

/// What GRANT, ALTER and COMMENT call a kind of object.
fn word(kind: &str) -> String {
    match is_type(kind) && kind != "domain" {
        true => "TYPE".to_string(),
        false => kind.to_uppercase(),
    }
}

/// What has its table's owner, and an extension, which keeps that of its making.
const PARTS: [&str; 7] =
    ["column", "constraint", "index", "trigger", "rule", "policy", "extension"];

fn rights(kind: &str, name: &str) -> Option<Rights> {
    if kind == "column" {
        let (table, column) = split_last(name);
        return Some(Rights {
            kind: "TABLE",
            name: table.to_string(),
            column: format!(" ({column})"),
            catalog: "pg_attribute",
            row: format!(
                "o.attrelid = {}::regclass AND quote_ident(o.attname) = {}",
                literal(table),
                literal(column)
            ),
            acl: "o.attacl".to_string(),
            owner: None,
        });
    }
    let (word, acl, owner, letter) = match kind {
        "schema" => ("SCHEMA", "nspacl", "nspowner", 'n'),
        "function" => ("FUNCTION", "proacl", "proowner", 'f'),
        "procedure" => ("PROCEDURE", "proacl", "proowner", 'f'),
        "sequence" => ("SEQUENCE", "relacl", "relowner", 's'),
        "table" | "view" | "materialized view" | "foreign table" => {
            ("TABLE", "relacl", "relowner", 'r')
        }
        kind if is_type(kind) => ("TYPE", "typacl", "typowner", 'T'),
        _ => return None,
    };
    let place = place(kind, name)?;
    Some(Rights {
        kind: word,
        name: name.to_string(),
        column: String::new(),
        catalog: place.catalog,
        row: format!("o.oid = {}", place.oid),
        acl: format!("coalesce(o.{acl}, acldefault('{letter}', o.{owner}))"),
        owner: Some(owner),
    })
}

impl Rights {
    /// SQL that gives and takes what `wanted`, an expression, and what is live differ in; each right by
    /// the role that it is recorded as given by.
    fn as_in(&self, wanted: &str) -> String {
        let Rights { kind, name, column, catalog, row, acl, .. } = self;
        let on = literal(&format!("{column} ON {kind} {name}"));
        format!(
            "DO $aiplat$\nDECLARE\n  one record;\n  mine text := current_setting('role');\nBEGIN\n  \
             FOR one IN\n    WITH wanted AS (SELECT * FROM aclexplode({wanted})),\n    \
             live AS (SELECT x.* FROM {catalog} o, aclexplode({acl}) x WHERE {row}),\n    \
             change AS (\n      SELECT 'REVOKE' AS verb, ' FROM ' AS way, d.* \
             FROM (SELECT * FROM live EXCEPT SELECT * FROM wanted) d\n      UNION ALL\n      \
             SELECT 'GRANT', ' TO ', d.* FROM (SELECT * FROM wanted EXCEPT SELECT * FROM live) d)\n    \
             SELECT pg_get_userbyid(grantor) AS grantor, concat(verb, ' ', privilege_type, {on}, way,\n      \
             CASE grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(grantee)) END,\n      \
             CASE WHEN verb = 'GRANT' AND is_grantable THEN ' WITH GRANT OPTION' END) AS statement\n    \
             FROM change ORDER BY verb DESC\n  LOOP\n    PERFORM set_config('role', one.grantor, true);\n    \
             EXECUTE one.statement;\n    PERFORM set_config('role', mine, true);\n  END LOOP;\n\
             END $aiplat$"
        )
    }
}

/// SQL that puts owner, rights and comment back. Rights are given by the owner, and change with it.
pub(super) fn of(object: &Drifted<'_>, changes: &[&Change]) -> Result<String, String> {
    let mut sql = String::new();
    for attribute in ["owner", "grants", "comment"] {
        let is_it = |change: &&&Change| change.attribute.as_deref() == Some(attribute);
        if let Some(change) = changes.iter().find(is_it) {
            sql.push_str(&statement(object, attribute, change.before.as_ref())?);
        }
    }
    let known = |change: &&Change| {
        matches!(change.attribute.as_deref(), Some("owner" | "grants" | "comment"))
    };
    match changes.iter().all(known) {
        true => Ok(sql),
        false => Err(values("options")),
    }
}

fn statement(
    object: &Drifted<'_>,
    attribute: &str,
    wanted: Option<&Value>,
) -> Result<String, String> {
    let (kind, name) = (object.kind, object.name);
    let word = word(kind);
    let text = wanted.and_then(Value::as_str).unwrap_or_default();
    match attribute {
        "owner" if PARTS.contains(&kind) => Ok(String::new()),
        "owner" => Ok(format!("ALTER {word} {name} OWNER TO {};\n", identifier(text))),
        "grants" => match rights(kind, name) {
            Some(rights) => Ok(format!("{};\n", rights.as_in(&items(&texts(wanted))))),
            None => Err(values(attribute)),
        },
        _ => Ok(format!("COMMENT ON {word} {name} IS {};\n", literal(text))),
    }
}

fn items(texts: &[String]) -> String {
    let items: Vec<String> = texts.iter().map(|item| literal(item)).collect();
    format!("ARRAY[{}]::aclitem[]", items.join(", "))
}

/// What is recorded of the owner, the rights and the comment of an object that is gone, as SQL.
pub(super) fn recorded(object: &Drifted<'_>) -> String {
    let sql =
        |attribute: &str| statement(object, attribute, Some(object.recorded?.get(attribute)?)).ok();
    ["owner", "grants", "comment"].into_iter().filter_map(sql).collect()
}

/// Says which of owner and rights of an object that is gone nobody recorded.
pub(super) fn unrecorded(object: &Drifted<'_>, remedy: Remedy) -> Remedy {
    if rights(object.kind, object.name).is_none() {
        return remedy;
    }
    let has =
        |attribute: &str| object.recorded.is_some_and(|recorded| recorded.contains_key(attribute));
    let missing: Vec<&str> =
        [("owner", "its owner"), ("grants", "its rights"), ("comment", "its comment")]
            .into_iter()
            .filter(|(attribute, _)| !has(attribute))
            .map(|(_, words)| words)
            .collect();
    if missing.is_empty() {
        return remedy;
    }
    let everyone = match object.kind {
        "function" | "procedure" if !has("grants") => ", and everyone may execute it",
        _ => "",
    };
    remedy.caution(format!(
        "{} not recorded: it is made with the defaults of the role that repairs{everyone}; `shape` in \
         [postgres] has them recorded",
        match missing.as_slice() {
            [one] => format!("{one} was"),
            more => format!("{} were", more.join(", ")),
        }
    ))
}

/// The text in whose place the rights that are there are put.
const LIVE: &str = "'aiplat_migrate:live'";

/// A question for the statements that give an object which is made anew what it had: owner, rights,
/// comments, and what an index is marked with.
pub(super) fn carried(object: &Drifted<'_>) -> Option<String> {
    let (kind, name) = (object.kind, object.name);
    let place = place(kind, name)?;
    let word = word(kind);
    let mut parts = Vec::new();
    if let Some(rights) = rights(kind, name) {
        let (catalog, row, acl) = (rights.catalog, &rights.row, &rights.acl);
        if let Some(owner) = rights.owner {
            let alter = literal(&format!("ALTER {word} {name} OWNER TO "));
            parts.push(format!(
                "SELECT 1, concat({alter}, quote_ident(pg_get_userbyid(o.{owner}))) FROM {catalog} o WHERE {row}"
            ));
        }
        let grants = literal(&rights.as_in(&format!("{LIVE}::aclitem[]")));
        parts.push(format!(
            "SELECT 2, replace({grants}, {}, quote_literal({acl}::text)) FROM {catalog} o WHERE {row}",
            literal(LIVE)
        ));
    }
    if matches!(kind, "view") {
        parts.push(of_columns(name));
    }
    parts.push(format!(
            "SELECT 4, format('COMMENT ON %s %s IS %L', CASE WHEN i.type LIKE '% constraint' THEN 'CONSTRAINT' \
             WHEN i.type LIKE '% column' THEN 'COLUMN' ELSE upper(i.type) END, i.identity, d.description) \
             FROM pg_description d, pg_identify_object(d.classoid, d.objoid, d.objsubid) i \
             WHERE d.classoid = '{}'::regclass AND d.objoid = {}",
            place.catalog, place.oid
        ));
    match kind {
        "index" => parts.push(marks(&place.oid)),
        "constraint" => parts.push(marks(&format!(
            "(SELECT conindid FROM pg_constraint WHERE oid = {} AND contype IN ('p', 'u', 'x'))",
            place.oid
        ))),
        _ => {}
    }
    Some(format!(
        "SELECT statement FROM ({}) AS all_of_it (turn, statement) ORDER BY turn",
        parts.join(" UNION ALL ")
    ))
}

/// The rights on the columns of a view, which only a statement for each can give back.
fn of_columns(view: &str) -> String {
    let view = literal(view);
    format!(
        "SELECT 3, concat('GRANT ', x.privilege_type, ' (', quote_ident(a.attname), ') ON ', {view}, ' TO ', \
         CASE x.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(x.grantee)) END, \
         CASE WHEN x.is_grantable THEN ' WITH GRANT OPTION' END) \
         FROM pg_attribute a, aclexplode(a.attacl) x WHERE a.attrelid = {view}::regclass AND NOT a.attisdropped"
    )
}

/// What a table knows its index by, and what is counted of it.
fn marks(index: &str) -> String {
    format!(
        "SELECT 5, format('ALTER TABLE %s CLUSTER ON %I', i.indrelid::regclass, c.relname) \
         FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid WHERE c.oid = {index} AND i.indisclustered \
         UNION ALL SELECT 6, format('ALTER TABLE %s REPLICA IDENTITY USING INDEX %I', i.indrelid::regclass, c.relname) \
         FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid WHERE c.oid = {index} AND i.indisreplident \
         UNION ALL SELECT 7, format('ALTER INDEX %s ALTER COLUMN %s SET STATISTICS %s', attrelid::regclass, \
         attnum, attstattarget) FROM pg_attribute WHERE attrelid = {index} AND attstattarget >= 0"
    )
}

/// A picture in which rights are told without the owner's and without that the owner gave them: a change
/// of the owner alone changes none of them.
pub(in crate::stores::postgres) fn beside_owner(mut picture: Shape) -> Shape {
    let text = |value: &Value| value.as_str().map(str::to_string);
    let owners: Vec<Option<String>> = picture
        .objects
        .iter()
        .map(|(object, attributes)| {
            let own = attributes.get("owner").and_then(text);
            let of_owner = |owner: &String| picture.objects.get(owner)?.get("owner").and_then(text);
            own.or_else(|| part_of(object, attributes).iter().find_map(of_owner))
        })
        .collect();
    for (attributes, owner) in picture.objects.values_mut().zip(owners) {
        let Some(grants) = attributes.remove("grants") else { continue };
        let owner = owner.unwrap_or_default();
        let item = |item: String| {
            let (given, by) = item.rsplit_once('/')?;
            let (whom, _) = given.split_once('=')?;
            let is_owner = |role: &str| role.trim_matches('"') == owner;
            let by = if is_owner(by) { "" } else { by };
            (!is_owner(whom)).then(|| format!("{given}/{by}"))
        };
        let rights: Vec<String> = texts(Some(&grants)).into_iter().filter_map(item).collect();
        attributes.insert(RIGHTS.to_string(), rights.into());
    }
    picture
}
