SELECT n.oid::text,
       coalesce(string_agg(d.objid::text, ',') FILTER (WHERE d.classid = 'pg_class'::regclass), ''),
       coalesce(string_agg(d.objid::text, ',') FILTER (WHERE d.classid = 'pg_proc'::regclass), ''),
       coalesce(bool_or(c.relkind = 'r' AND (c.relhastriggers OR c.relhasrules)), false)
FROM pg_namespace n
JOIN pg_depend d ON d.refclassid = 'pg_namespace'::regclass AND d.refobjid = n.oid
LEFT JOIN pg_class c ON d.classid = 'pg_class'::regclass AND c.oid = d.objid
WHERE n.oid = to_regnamespace('$schema') GROUP BY n.oid
