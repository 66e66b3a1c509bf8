SELECT n.oid::text,
       coalesce(string_agg(d.objid::text, ',') FILTER (WHERE d.classid = 'pg_class'::regclass), ''),
       coalesce(string_agg(d.objid::text, ',') FILTER (WHERE d.classid = 'pg_proc'::regclass), ''),
       coalesce(bool_or(c.relkind = 'r' AND (c.relhastriggers OR c.relhasrules)), false),
       EXISTS (SELECT FROM pg_proc p WHERE p.oid >= 16384 AND p.pronamespace <> n.oid AND (p.prosqlbody IS NOT NULL
               OR strpos(concat(p.prosrc, p.proconfig), (SELECT nspname FROM pg_namespace x WHERE x.oid = n.oid)) > 0))
       OR EXISTS (SELECT FROM pg_class own JOIN pg_depend r ON r.refclassid = 'pg_class'::regclass AND r.refobjid = own.oid
                  JOIN pg_rewrite w ON r.classid = 'pg_rewrite'::regclass AND w.oid = r.objid
                  JOIN pg_class v ON v.oid = w.ev_class
                  WHERE own.relnamespace = n.oid AND v.relnamespace <> n.oid)
FROM pg_namespace n
JOIN pg_depend d ON d.refclassid = 'pg_namespace'::regclass AND d.refobjid = n.oid
LEFT JOIN pg_class c ON d.classid = 'pg_class'::regclass AND c.oid = d.objid
WHERE n.oid = to_regnamespace('$schema') GROUP BY n.oid
