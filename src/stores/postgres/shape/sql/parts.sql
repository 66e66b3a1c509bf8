-- What belongs to a relation: constraints, indexes, triggers, rules, policies, extended statistics.
SELECT 'constraint ' || pg_catalog.quote_ident(c.conname) || ' on ' || r.name,
       CASE WHEN pg_catalog.has_table_privilege(r.oid, 'SELECT') IS NOT NULL THEN pg_catalog.jsonb_strip_nulls(pg_catalog.jsonb_build_object(
         'definition', pg_catalog.pg_get_constraintdef(c.oid),
         'validated', c.convalidated,
         'trigger state', states.states,
         'index options', pg_catalog.to_jsonb(x.reloptions),
         'index tablespace', pg_catalog.quote_ident(s.spcname),
         'index valid', CASE WHEN i.indisvalid THEN NULL ELSE i.indisvalid END)) END,
       'pg_constraint', c.oid, 0, r.relowner, NULL::aclitem[], NULL::"char"
FROM pg_catalog.pg_constraint c JOIN relation r ON r.oid = c.conrelid
-- The triggers that enforce it; all of them fire at the origin unless somebody switched them off.
LEFT JOIN (SELECT t.tgconstraint, pg_catalog.jsonb_object_agg(
                    pg_catalog.format('%s on %s', p.proname, t.tgrelid::regclass), t.tgenabled::text) AS states
           FROM pg_catalog.pg_trigger t JOIN pg_catalog.pg_proc p ON p.oid = t.tgfoid
           WHERE t.tgisinternal AND t.tgenabled <> 'O'
           GROUP BY t.tgconstraint) states ON states.tgconstraint = c.oid
LEFT JOIN pg_catalog.pg_class x ON x.oid = c.conindid AND c.contype IN ('p', 'u', 'x')
LEFT JOIN pg_catalog.pg_index i ON i.indexrelid = x.oid
LEFT JOIN pg_catalog.pg_tablespace s ON s.oid = x.reltablespace
WHERE c.contype NOT IN ('t', 'n')
UNION ALL
SELECT 'index ' || r.name,
       CASE WHEN pg_catalog.has_table_privilege(r.oid, 'SELECT') IS NOT NULL THEN pg_catalog.jsonb_strip_nulls(pg_catalog.jsonb_build_object(
         'definition', pg_catalog.pg_get_indexdef(r.oid), 'valid', i.indisvalid, 'table', t.name,
         'partitioned', CASE WHEN r.relkind = 'I' THEN true END,
         'attached to', (SELECT pg_catalog.format('%I.%I', n.nspname, p.relname)
                         FROM pg_catalog.pg_inherits h JOIN pg_catalog.pg_class p ON p.oid = h.inhparent
                         JOIN pg_catalog.pg_namespace n ON n.oid = p.relnamespace
                         WHERE r.relispartition AND h.inhrelid = r.oid),
         'column statistics', targets.targets,
         'tablespace', pg_catalog.quote_ident(s.spcname))) END,
       'pg_class', r.oid, 0, r.relowner, NULL, NULL
FROM pg_catalog.pg_index i JOIN relation r ON r.oid = i.indexrelid
LEFT JOIN relation t ON t.oid = i.indrelid
LEFT JOIN (SELECT a.attrelid, pg_catalog.jsonb_object_agg(a.attnum, a.attstattarget) AS targets
           FROM pg_catalog.pg_attribute a JOIN relation o ON o.oid = a.attrelid
           WHERE o.relkind IN ('i', 'I') AND a.attstattarget >= 0
           GROUP BY a.attrelid) targets ON targets.attrelid = r.oid
LEFT JOIN pg_catalog.pg_tablespace s ON s.oid = r.reltablespace
WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_constraint c
                  WHERE c.conindid = i.indexrelid AND c.contype IN ('p', 'u', 'x'))
-- An index that is being built CONCURRENTLY now is not there yet.
AND (i.indisvalid OR r.relkind = 'I' OR NOT EXISTS (
  SELECT FROM pg_catalog.pg_locks l WHERE l.relation = i.indrelid AND l.mode = 'ShareUpdateExclusiveLock'
  AND l.pid <> pg_catalog.pg_backend_pid()
  AND l.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())))
UNION ALL
-- A REINDEX CONCURRENTLY that was cut off leaves indexes of TOAST tables, too.
SELECT pg_catalog.format('index pg_toast.%I', x.relname),
       pg_catalog.jsonb_build_object('valid', false, 'table', r.name),
       'pg_class', x.oid, 0, r.relowner, NULL, NULL
FROM pg_catalog.pg_index i JOIN relation r ON r.reltoastrelid = i.indrelid AND r.reltoastrelid <> 0
JOIN pg_catalog.pg_class x ON x.oid = i.indexrelid
WHERE NOT i.indisvalid AND NOT EXISTS (
  SELECT FROM pg_catalog.pg_locks l WHERE l.relation IN (i.indrelid, r.oid)
  AND l.mode = 'ShareUpdateExclusiveLock'
  AND l.pid <> pg_catalog.pg_backend_pid()
  AND l.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database()))
UNION ALL
SELECT 'trigger ' || pg_catalog.quote_ident(t.tgname) || ' on ' || r.name,
       CASE WHEN pg_catalog.has_table_privilege(r.oid, 'SELECT') IS NOT NULL THEN pg_catalog.jsonb_build_object('definition', pg_catalog.pg_get_triggerdef(t.oid),
         'enabled', t.tgenabled::text) END,
       'pg_trigger', t.oid, 0, r.relowner, NULL, NULL
FROM pg_catalog.pg_trigger t JOIN relation r ON r.oid = t.tgrelid WHERE NOT t.tgisinternal
UNION ALL
SELECT 'rule ' || pg_catalog.quote_ident(w.rulename) || ' on ' || r.name,
       CASE WHEN pg_catalog.has_table_privilege(r.oid, 'SELECT') IS NOT NULL THEN pg_catalog.jsonb_build_object('definition', pg_catalog.pg_get_ruledef(w.oid),
         'enabled', w.ev_enabled::text) END,
       'pg_rewrite', w.oid, 0, r.relowner, NULL, NULL
FROM pg_catalog.pg_rewrite w JOIN relation r ON r.oid = w.ev_class WHERE w.rulename <> '_RETURN'
UNION ALL
SELECT 'policy ' || pg_catalog.quote_ident(p.polname) || ' on ' || r.name,
       CASE WHEN pg_catalog.has_table_privilege(r.oid, 'SELECT') IS NOT NULL THEN pg_catalog.jsonb_strip_nulls(pg_catalog.jsonb_build_object(
         'command', p.polcmd::text, 'permissive', p.polpermissive,
         'roles', (SELECT pg_catalog.jsonb_agg(COALESCE(a.rolname, 'public') ORDER BY a.rolname)
                   FROM pg_catalog.unnest(p.polroles) AS o(role)
                   LEFT JOIN pg_catalog.pg_roles a ON a.oid = o.role),
         'using', pg_catalog.pg_get_expr(p.polqual, p.polrelid),
         'check', pg_catalog.pg_get_expr(p.polwithcheck, p.polrelid))) END,
       'pg_policy', p.oid, 0, r.relowner, NULL, NULL
FROM pg_catalog.pg_policy p JOIN relation r ON r.oid = p.polrelid
UNION ALL
SELECT pg_catalog.format('statistics %I.%I', v.nspname, x.stxname),
       CASE WHEN pg_catalog.has_table_privilege(r.oid, 'SELECT') IS NOT NULL THEN pg_catalog.jsonb_strip_nulls(pg_catalog.jsonb_build_object(
         'definition', pg_catalog.pg_get_statisticsobjdef(x.oid), 'table', r.name,
         'target', CASE WHEN x.stxstattarget >= 0 THEN x.stxstattarget END)) END,
       'pg_statistic_ext', x.oid, 0, x.stxowner, NULL, NULL
FROM pg_catalog.pg_statistic_ext x JOIN visible v ON v.oid = x.stxnamespace
JOIN relation r ON r.oid = x.stxrelid
WHERE NOT EXISTS (SELECT FROM owned WHERE classid = 'pg_catalog.pg_statistic_ext'::regclass AND objid = x.oid)
