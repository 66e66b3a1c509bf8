//! The live shape of a database, read from its catalogs in one query.

use futures_util::TryStreamExt;

use super::Postgres;
use crate::postgres::{Names, Recorded, literal, store_error};
use crate::shape::Shape;
use crate::store_error::StoreError;

/// Attributes that are there only where the settings ask for them, and then on every object.
pub(super) const OPTIONAL: &[&str] = &["owner", "grants", "comment", RIGHTS];

/// Who else than the owner may do what: in the pictures of a repair where grants are not asked for.
pub(super) const RIGHTS: &str = "rights";

/// Every branch gives an object's name and its attributes. `visible` keeps out system schemas, the
/// schemas in `$hidden`, and what belongs to an extension, which is the extension's own business.
const QUERY: &str = r#"
WITH visible AS MATERIALIZED (
  SELECT oid, nspname, nspowner, nspacl FROM pg_catalog.pg_namespace
  WHERE nspname !~ '^pg_' AND nspname <> 'information_schema' AND NOT nspname = ANY ($hidden)
), owned AS MATERIALIZED (
  SELECT classid, objid FROM pg_catalog.pg_depend WHERE deptype = 'e'
), relation AS MATERIALIZED (
  SELECT c.*, v.nspname, pg_catalog.format('%I.%I', v.nspname, c.relname) AS name
  FROM pg_catalog.pg_class c JOIN visible v ON v.oid = c.relnamespace
  WHERE NOT EXISTS (SELECT FROM owned WHERE classid = 'pg_catalog.pg_class'::regclass AND objid = c.oid)
), routine AS MATERIALIZED (
  SELECT p.*, pg_catalog.format('%I.%I(%s)', v.nspname, p.proname,
         pg_catalog.pg_get_function_identity_arguments(p.oid)) AS name
  FROM pg_catalog.pg_proc p JOIN visible v ON v.oid = p.pronamespace
  WHERE p.prokind IN ('f', 'p')
  AND NOT EXISTS (SELECT FROM owned WHERE classid = 'pg_catalog.pg_proc'::regclass AND objid = p.oid)
), kind AS MATERIALIZED (
  SELECT t.*, pg_catalog.format('%I.%I', v.nspname, t.typname) AS name
  FROM pg_catalog.pg_type t JOIN visible v ON v.oid = t.typnamespace
  WHERE t.typtype IN ('e', 'd')
  AND NOT EXISTS (SELECT FROM owned WHERE classid = 'pg_catalog.pg_type'::regclass AND objid = t.oid)
)
SELECT 'schema ' || pg_catalog.quote_ident(nspname), pg_catalog.jsonb_strip_nulls(pg_catalog.jsonb_build_object(
         'owner', CASE WHEN $owners THEN pg_catalog.pg_get_userbyid(nspowner) END,
         'grants', CASE WHEN $grants THEN pg_catalog.to_jsonb(ARRAY(SELECT a::text
           FROM pg_catalog.unnest(COALESCE(nspacl, pg_catalog.acldefault('n', nspowner))) a ORDER BY 1)) END,
         'comment', CASE WHEN $comments THEN
           COALESCE(pg_catalog.obj_description(oid, 'pg_namespace'), '') END))
FROM visible
UNION ALL
SELECT 'extension ' || pg_catalog.quote_ident(e.extname),
       pg_catalog.jsonb_build_object('version', e.extversion, 'schema', n.nspname)
FROM pg_catalog.pg_extension e JOIN pg_catalog.pg_namespace n ON n.oid = e.extnamespace
WHERE e.extname <> 'plpgsql'
UNION ALL
SELECT CASE r.relkind WHEN 'v' THEN 'view ' WHEN 'm' THEN 'materialized view '
            WHEN 'f' THEN 'foreign table ' ELSE 'table ' END || r.name,
       pg_catalog.jsonb_strip_nulls(pg_catalog.jsonb_build_object(
         'definition', CASE WHEN r.relkind IN ('v', 'm') THEN pg_catalog.pg_get_viewdef(r.oid) END,
         'persistence', CASE r.relpersistence WHEN 'u' THEN 'unlogged' END,
         'partition key', CASE WHEN r.relkind = 'p' THEN pg_catalog.pg_get_partkeydef(r.oid) END,
         'partition bound', pg_catalog.pg_get_expr(r.relpartbound, r.oid),
         'row security', CASE WHEN r.relrowsecurity THEN true END,
         'forced row security', CASE WHEN r.relforcerowsecurity THEN true END,
         'options', pg_catalog.to_jsonb(r.reloptions),
         'owner', CASE WHEN $owners THEN pg_catalog.pg_get_userbyid(r.relowner) END,
         'grants', CASE WHEN $grants THEN pg_catalog.to_jsonb(ARRAY(SELECT a::text
           FROM pg_catalog.unnest(COALESCE(r.relacl, pg_catalog.acldefault('r', r.relowner))) a ORDER BY 1)) END,
         'comment', CASE WHEN $comments THEN
           COALESCE(pg_catalog.obj_description(r.oid, 'pg_class'), '') END))
FROM relation r WHERE r.relkind IN ('r', 'p', 'v', 'm', 'f')
UNION ALL
SELECT 'column ' || r.name || '.' || pg_catalog.quote_ident(a.attname),
       pg_catalog.jsonb_strip_nulls(pg_catalog.jsonb_build_object(
         'type', pg_catalog.format_type(a.atttypid, a.atttypmod),
         'not null', a.attnotnull,
         'default', CASE WHEN a.attgenerated = '' THEN pg_catalog.pg_get_expr(d.adbin, d.adrelid) END,
         'generated', CASE WHEN a.attgenerated <> '' THEN pg_catalog.pg_get_expr(d.adbin, d.adrelid) END,
         'identity', CASE a.attidentity WHEN 'a' THEN 'always' WHEN 'd' THEN 'by default' END,
         'collation', CASE WHEN a.attcollation <> t.typcollation THEN
           (SELECT collname FROM pg_catalog.pg_collation WHERE oid = a.attcollation) END,
         'grants', CASE WHEN $grants THEN pg_catalog.to_jsonb(ARRAY(SELECT x::text
           FROM pg_catalog.unnest(a.attacl) x ORDER BY 1)) END,
         'comment', CASE WHEN $comments THEN
           COALESCE(pg_catalog.col_description(r.oid, a.attnum), '') END))
FROM relation r
JOIN pg_catalog.pg_attribute a ON a.attrelid = r.oid AND a.attnum > 0 AND NOT a.attisdropped
JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
WHERE r.relkind IN ('r', 'p', 'f')
UNION ALL
SELECT 'constraint ' || pg_catalog.quote_ident(c.conname) || ' on ' || r.name,
       pg_catalog.jsonb_strip_nulls(pg_catalog.jsonb_build_object(
         'definition', pg_catalog.pg_get_constraintdef(c.oid), 'validated', c.convalidated,
         'triggers', CASE c.contype WHEN 'f' THEN
           (SELECT CASE WHEN pg_catalog.count(DISTINCT t.tgenabled) > 1 THEN 'mixed' ELSE
              CASE pg_catalog.min(t.tgenabled::text) WHEN 'O' THEN 'enabled' WHEN 'D' THEN 'disabled'
                   WHEN 'R' THEN 'replica' WHEN 'A' THEN 'always' END END
            FROM pg_catalog.pg_trigger t WHERE t.tgconstraint = c.oid) END))
FROM pg_catalog.pg_constraint c JOIN relation r ON r.oid = c.conrelid
WHERE c.contype NOT IN ('t', 'n')
UNION ALL
SELECT 'index ' || r.name,
       pg_catalog.jsonb_build_object('definition', pg_catalog.pg_get_indexdef(r.oid), 'valid', i.indisvalid,
         'table', t.name)
FROM pg_catalog.pg_index i JOIN relation r ON r.oid = i.indexrelid
LEFT JOIN relation t ON t.oid = i.indrelid
WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_constraint c
                  WHERE c.conindid = i.indexrelid AND c.contype IN ('p', 'u', 'x'))
UNION ALL
SELECT 'sequence ' || r.name,
       pg_catalog.jsonb_strip_nulls(pg_catalog.jsonb_build_object(
         'type', pg_catalog.format_type(s.seqtypid, NULL),
         'start', s.seqstart, 'increment', s.seqincrement, 'minimum', s.seqmin, 'maximum', s.seqmax,
         'cycle', s.seqcycle,
         'owned by', t.name || '.' || pg_catalog.quote_ident(a.attname)))
FROM pg_catalog.pg_sequence s JOIN relation r ON r.oid = s.seqrelid
LEFT JOIN pg_catalog.pg_depend d ON d.classid = 'pg_catalog.pg_class'::regclass AND d.objid = s.seqrelid
  AND d.refclassid = 'pg_catalog.pg_class'::regclass AND d.deptype IN ('a', 'i')
LEFT JOIN relation t ON t.oid = d.refobjid
LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
UNION ALL
SELECT CASE p.prokind WHEN 'p' THEN 'procedure ' ELSE 'function ' END || p.name,
       pg_catalog.jsonb_strip_nulls(pg_catalog.jsonb_build_object(
         'definition', pg_catalog.pg_get_functiondef(p.oid),
         'owner', CASE WHEN $owners THEN pg_catalog.pg_get_userbyid(p.proowner) END,
         'grants', CASE WHEN $grants THEN pg_catalog.to_jsonb(ARRAY(SELECT a::text
           FROM pg_catalog.unnest(COALESCE(p.proacl, pg_catalog.acldefault('f', p.proowner))) a ORDER BY 1)) END,
         'comment', CASE WHEN $comments THEN
           COALESCE(pg_catalog.obj_description(p.oid, 'pg_proc'), '') END))
FROM routine p
UNION ALL
SELECT 'trigger ' || pg_catalog.quote_ident(t.tgname) || ' on ' || r.name,
       pg_catalog.jsonb_build_object('definition', pg_catalog.pg_get_triggerdef(t.oid),
         'enabled', t.tgenabled::text)
FROM pg_catalog.pg_trigger t JOIN relation r ON r.oid = t.tgrelid WHERE NOT t.tgisinternal
UNION ALL
SELECT 'policy ' || pg_catalog.quote_ident(p.polname) || ' on ' || r.name,
       pg_catalog.jsonb_strip_nulls(pg_catalog.jsonb_build_object(
         'command', p.polcmd::text, 'permissive', p.polpermissive,
         'roles', (SELECT pg_catalog.jsonb_agg(COALESCE(a.rolname, 'public') ORDER BY a.rolname)
                   FROM pg_catalog.unnest(p.polroles) AS o(role)
                   LEFT JOIN pg_catalog.pg_roles a ON a.oid = o.role),
         'using', pg_catalog.pg_get_expr(p.polqual, p.polrelid),
         'check', pg_catalog.pg_get_expr(p.polwithcheck, p.polrelid)))
FROM pg_catalog.pg_policy p JOIN relation r ON r.oid = p.polrelid
UNION ALL
SELECT CASE k.typtype WHEN 'e' THEN 'enum ' ELSE 'domain ' END || k.name,
       pg_catalog.jsonb_strip_nulls(pg_catalog.jsonb_build_object(
         'labels', (SELECT pg_catalog.jsonb_agg(enumlabel ORDER BY enumsortorder)
                    FROM pg_catalog.pg_enum WHERE enumtypid = k.oid),
         'type', CASE WHEN k.typtype = 'd' THEN pg_catalog.format_type(k.typbasetype, k.typtypmod) END,
         'not null', CASE WHEN k.typtype = 'd' THEN k.typnotnull END,
         'default', pg_catalog.pg_get_expr(k.typdefaultbin, 0),
         'checks', (SELECT pg_catalog.jsonb_object_agg(conname, pg_catalog.pg_get_constraintdef(oid))
                    FROM pg_catalog.pg_constraint WHERE contypid = k.oid AND contype = 'c')))
FROM kind k
"#;

/// The shape with those of the [`OPTIONAL`] attributes that `recorded` asks for.
pub(super) async fn inspect(store: &Postgres, recorded: &[Recorded]) -> Result<Shape, StoreError> {
    let hidden: Vec<String> = store.settings.hidden.iter().map(|schema| literal(schema)).collect();
    let asked = |what| recorded.contains(&what).to_string();
    let query = QUERY
        .replace("$hidden", &format!("ARRAY[{}]::name[]", hidden.join(",")))
        .replace("$owners", &asked(Recorded::Owners))
        .replace("$grants", &asked(Recorded::Grants))
        .replace("$comments", &asked(Recorded::Comments));
    let failed = |error: tokio_postgres::Error| store_error(&error);
    let rows = store.session.ask(Names::Ours, &query).await.map_err(failed)?;
    let mut rows = std::pin::pin!(rows);
    let mut shape = Shape::default();
    while let Some(row) = rows.try_next().await.map_err(failed)? {
        if let (Some(name), Some(attributes)) = (row.get(0), row.get(1)) {
            let attributes = serde_json::from_str(attributes).map_err(|error| {
                StoreError::refused(format!("the catalogs gave no readable answer: {error}"))
            })?;
            shape.insert(name, attributes);
        }
    }
    Ok(shape)
}
