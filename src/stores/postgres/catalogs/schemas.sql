-- Schemas, extensions, and what is the database's own: event triggers, default privileges, settings.
SELECT 'schema ' || pg_catalog.quote_ident(nspname), '{}'::jsonb,
       'pg_namespace'::name, oid, 0, nspowner, nspacl, 'n'::"char", written
FROM visible
UNION ALL
SELECT 'extension ' || pg_catalog.quote_ident(e.extname),
       pg_catalog.jsonb_build_object('version', e.extversion, 'schema', n.nspname),
       'pg_extension', e.oid, 0, e.extowner, NULL::aclitem[], NULL::"char", e.xmin
FROM pg_catalog.pg_extension e JOIN pg_catalog.pg_namespace n ON n.oid = e.extnamespace
WHERE e.extname <> 'plpgsql'
UNION ALL
SELECT 'event trigger ' || pg_catalog.quote_ident(e.evtname),
       pg_catalog.jsonb_strip_nulls(pg_catalog.jsonb_build_object(
         'event', e.evtevent, 'function', e.evtfoid::regprocedure::text, 'enabled', e.evtenabled::text,
         'tags', (SELECT pg_catalog.jsonb_agg(tag ORDER BY tag) FROM pg_catalog.unnest(e.evttags) tag))),
       'pg_event_trigger', e.oid, 0, e.evtowner, NULL, NULL, e.xmin
FROM pg_catalog.pg_event_trigger e
WHERE NOT EXISTS (SELECT FROM owned WHERE classid = 'pg_catalog.pg_event_trigger'::regclass AND objid = e.oid)
UNION ALL
SELECT pg_catalog.format('default privileges of %I%s on %s', pg_catalog.pg_get_userbyid(d.defaclrole),
         ' in schema ' || pg_catalog.quote_ident(v.nspname),
         CASE d.defaclobjtype WHEN 'r' THEN 'tables' WHEN 'S' THEN 'sequences' WHEN 'f' THEN 'functions'
           WHEN 'T' THEN 'types' WHEN 'n' THEN 'schemas' ELSE d.defaclobjtype::text END),
       pg_catalog.jsonb_build_object('rights',
         pg_catalog.to_jsonb(ARRAY(SELECT a::text FROM pg_catalog.unnest(d.defaclacl) a ORDER BY 1))),
       'pg_default_acl', d.oid, 0, d.defaclrole, NULL, NULL, d.xmin
FROM pg_catalog.pg_default_acl d LEFT JOIN visible v ON v.oid = d.defaclnamespace
WHERE d.defaclnamespace = 0 OR v.oid IS NOT NULL
UNION ALL
-- The value of a setting whose name says that it is a secret is left out of every picture.
SELECT pg_catalog.format('setting %s of %s', s.name, CASE
         WHEN s.setrole = 0 THEN 'the database'
         WHEN s.setdatabase = 0 THEN pg_catalog.format('role %I', pg_catalog.pg_get_userbyid(s.setrole))
         ELSE pg_catalog.format('role %I in the database', pg_catalog.pg_get_userbyid(s.setrole)) END),
       pg_catalog.jsonb_build_object('value', s.value),
       'pg_db_role_setting', s.setrole, 0, NULL, NULL, NULL, s.written
FROM (SELECT d.xmin AS written, d.setdatabase, d.setrole, pg_catalog.split_part(c, '=', 1) AS name,
             pg_catalog.substr(c, pg_catalog.strpos(c, '=') + 1) AS value
      FROM pg_catalog.pg_db_role_setting d, pg_catalog.unnest(d.setconfig) c
      WHERE d.setdatabase = (SELECT oid FROM pg_catalog.pg_database
                             WHERE datname = pg_catalog.current_database())
         OR (d.setdatabase = 0 AND d.setrole <> 0)) s
