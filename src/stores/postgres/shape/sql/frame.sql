-- Every part below gives, of each object: its name, its attributes, what it is in the catalogs (class, object,
-- column), its owner, its rights, and the kind of rights that it has where none were granted. `visible` keeps
-- out the system's schemas, temporary ones and those in $hidden; `owned` is what belongs to an extension,
-- which is the extension's own business. What is in no schema is the system's where its OID is below 16384
-- (FirstNormalObjectId).
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
  SELECT p.*, CASE WHEN pg_catalog.has_function_privilege(p.oid, 'EXECUTE') IS NOT NULL THEN
         pg_catalog.format('%I.%I(%s)', v.nspname, p.proname,
           pg_catalog.pg_get_function_identity_arguments(p.oid)) END AS name
  FROM pg_catalog.pg_proc p JOIN visible v ON v.oid = p.pronamespace
  WHERE NOT EXISTS (SELECT FROM owned WHERE classid = 'pg_catalog.pg_proc'::regclass AND objid = p.oid)
), kind AS MATERIALIZED (
  SELECT t.*, pg_catalog.format('%I.%I', v.nspname, t.typname) AS name
  FROM pg_catalog.pg_type t JOIN visible v ON v.oid = t.typnamespace
  WHERE NOT EXISTS (SELECT FROM owned WHERE classid = 'pg_catalog.pg_type'::regclass AND objid = t.oid)
)
SELECT object.name, object.attributes - 'concealed' || pg_catalog.jsonb_strip_nulls(pg_catalog.jsonb_build_object(
         -- As slow to guess from as the password of a role is with SCRAM.
         'digest', CASE WHEN object.attributes ? 'concealed' THEN (
           WITH RECURSIVE round (number, digest) AS (
             SELECT 1, pg_catalog.sha256(pg_catalog.convert_to(
               object.name || ' ' || (object.attributes ->> 'concealed'), 'UTF8'))
             UNION ALL SELECT number + 1, pg_catalog.sha256(digest) FROM round WHERE number < 4096)
           SELECT pg_catalog.encode(digest, 'hex') FROM round WHERE number = 4096) END,
         'owner', CASE WHEN $owners THEN pg_catalog.pg_get_userbyid(object.owner) END,
         'grants', CASE WHEN $grants AND object.rights IS NOT NULL THEN
           pg_catalog.to_jsonb(ARRAY(SELECT a::text FROM pg_catalog.unnest(
             COALESCE(object.acl, pg_catalog.acldefault(object.rights, object.owner))) a ORDER BY 1)) END,
         'comment', CASE WHEN $comments THEN COALESCE(CASE object.part
           WHEN 0 THEN pg_catalog.obj_description(object.oid, object.class)
           ELSE pg_catalog.col_description(object.oid, object.part) END, '') END))
FROM (
$parts
) object (name, attributes, class, oid, part, owner, acl, rights)
