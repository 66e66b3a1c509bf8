-- Every part below gives, of each object: its name, its attributes, what it is in the catalogs (class, object,
-- column), its owner, its rights, the kind of rights that it has where none were granted, and which
-- transaction wrote it. `visible` keeps
-- out the system's schemas, temporary ones and those in $hidden; `owned` is what belongs to an extension,
-- which is the extension's own business. What is in no schema is the system's where its OID is below 16384
-- (FirstNormalObjectId).
WITH visible AS MATERIALIZED (
  SELECT xmin AS written, oid, nspname, nspowner, nspacl FROM pg_catalog.pg_namespace
  WHERE nspname !~ '^pg_' AND nspname <> 'information_schema' AND NOT nspname = ANY ($hidden)
), owned AS MATERIALIZED (
  SELECT classid, objid FROM pg_catalog.pg_depend WHERE deptype = 'e'
), relation AS MATERIALIZED (
  SELECT c.*, c.xmin AS written, v.nspname, pg_catalog.format('%I.%I', v.nspname, c.relname) AS name
  FROM pg_catalog.pg_class c JOIN visible v ON v.oid = c.relnamespace
  WHERE NOT EXISTS (SELECT FROM owned WHERE classid = 'pg_catalog.pg_class'::regclass AND objid = c.oid)
), routine AS MATERIALIZED (
  SELECT p.*, p.xmin AS written, CASE WHEN pg_catalog.has_function_privilege(p.oid, 'EXECUTE') IS NOT NULL THEN
         pg_catalog.format('%I.%I(%s)', v.nspname, p.proname,
           pg_catalog.pg_get_function_identity_arguments(p.oid)) END AS name
  FROM pg_catalog.pg_proc p JOIN visible v ON v.oid = p.pronamespace
  WHERE NOT EXISTS (SELECT FROM owned WHERE classid = 'pg_catalog.pg_proc'::regclass AND objid = p.oid)
), kind AS MATERIALIZED (
  SELECT t.*, t.xmin AS written, pg_catalog.format('%I.%I', v.nspname, t.typname) AS name
  FROM pg_catalog.pg_type t JOIN visible v ON v.oid = t.typnamespace
  WHERE NOT EXISTS (SELECT FROM owned WHERE classid = 'pg_catalog.pg_type'::regclass AND objid = t.oid)
)
SELECT object.name, object.attributes || pg_catalog.jsonb_strip_nulls(pg_catalog.jsonb_build_object(
         -- What belongs to a relation has the relation's owner, and no way to have another.
         'owner', CASE WHEN $owners AND object.part = 0
             AND object.class NOT IN ('pg_constraint', 'pg_trigger', 'pg_rewrite', 'pg_policy')
             AND NOT (object.class = 'pg_class' AND object.rights IS NULL)
           THEN pg_catalog.pg_get_userbyid(object.owner) END,
         'grants', CASE WHEN $grants AND object.rights IS NOT NULL THEN
           pg_catalog.to_jsonb(ARRAY(SELECT a::text FROM pg_catalog.unnest(
             COALESCE(object.acl, pg_catalog.acldefault(object.rights, object.owner))) a ORDER BY 1)) END,
         'comment', CASE WHEN $comments THEN COALESCE(CASE object.part
           WHEN 0 THEN pg_catalog.obj_description(object.oid, object.class)
           ELSE pg_catalog.col_description(object.oid, object.part) END, '') END)),
       CASE WHEN $others THEN object.written::text END
FROM (
$parts
) object (name, attributes, class, oid, part, owner, acl, rights, written)
