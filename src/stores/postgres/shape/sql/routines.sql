-- Functions, procedures, aggregates, and what is made of them: operators, their classes and families,
-- access methods, languages. The functions that a type brings along are its parts.
SELECT CASE p.prokind WHEN 'p' THEN 'procedure ' ELSE 'function ' END || p.name,
       CASE WHEN pg_catalog.has_function_privilege(p.oid, 'EXECUTE') IS NOT NULL THEN pg_catalog.jsonb_strip_nulls(pg_catalog.jsonb_build_object(
         'definition', pg_catalog.pg_get_functiondef(p.oid),
         'of type', (SELECT pg_catalog.format_type(COALESCE(
/* 14 */             (SELECT r.rngtypid FROM pg_catalog.pg_range r WHERE r.rngmultitypid = d.refobjid),
                       d.refobjid), NULL) FROM pg_catalog.pg_depend d
                     WHERE d.classid = 'pg_catalog.pg_proc'::regclass AND d.objid = p.oid
                     AND d.refclassid = 'pg_catalog.pg_type'::regclass AND d.deptype = 'i'))) END,
       'pg_proc', p.oid, 0, p.proowner, p.proacl, 'f'::"char"
FROM routine p WHERE p.prokind <> 'a'
UNION ALL
SELECT 'aggregate ' || p.name,
       CASE WHEN pg_catalog.has_function_privilege(p.oid, 'EXECUTE') IS NOT NULL THEN pg_catalog.jsonb_strip_nulls(pg_catalog.jsonb_build_object(
         'kind', CASE a.aggkind WHEN 'o' THEN 'ordered set' WHEN 'h' THEN 'hypothetical set' END,
         'direct arguments', CASE WHEN a.aggkind <> 'n' THEN a.aggnumdirectargs END,
         'returns', pg_catalog.format_type(p.prorettype, NULL), 'parallel', p.proparallel::text,
         'transition', a.aggtransfn::regproc::text,
         'state type', pg_catalog.format_type(a.aggtranstype, NULL),
         'state size', CASE WHEN a.aggtransspace <> 0 THEN a.aggtransspace END, 'initial', a.agginitval,
         'final', CASE WHEN a.aggfinalfn <> 0 THEN a.aggfinalfn::regproc::text END,
         'final extra', CASE WHEN a.aggfinalextra THEN true END, 'final modifies', a.aggfinalmodify::text,
         'combine', CASE WHEN a.aggcombinefn <> 0 THEN a.aggcombinefn::regproc::text END,
         'serialize', CASE WHEN a.aggserialfn <> 0 THEN a.aggserialfn::regproc::text END,
         'deserialize', CASE WHEN a.aggdeserialfn <> 0 THEN a.aggdeserialfn::regproc::text END,
         'sort operator', CASE WHEN a.aggsortop <> 0 THEN a.aggsortop::regoperator::text END,
         'moving', CASE WHEN a.aggmtransfn <> 0 THEN pg_catalog.jsonb_build_object(
           'transition', a.aggmtransfn::regproc::text, 'inverse', a.aggminvtransfn::regproc::text,
           'state type', pg_catalog.format_type(a.aggmtranstype, NULL), 'state size', a.aggmtransspace,
           'initial', a.aggminitval,
           'final', CASE WHEN a.aggmfinalfn <> 0 THEN a.aggmfinalfn::regproc::text END,
           'final extra', a.aggmfinalextra, 'final modifies', a.aggmfinalmodify::text) END)) END,
       'pg_proc', p.oid, 0, p.proowner, p.proacl, 'f'
FROM routine p JOIN pg_catalog.pg_aggregate a ON a.aggfnoid = p.oid
UNION ALL
SELECT pg_catalog.format('operator %I.%s (%s, %s)', v.nspname, o.oprname,
         CASE WHEN o.oprleft = 0 THEN 'NONE' ELSE pg_catalog.format_type(o.oprleft, NULL) END,
         CASE WHEN o.oprright = 0 THEN 'NONE' ELSE pg_catalog.format_type(o.oprright, NULL) END),
       pg_catalog.jsonb_strip_nulls(pg_catalog.jsonb_build_object(
         'function', CASE WHEN o.oprcode <> 0 THEN o.oprcode::regprocedure::text END,
         'commutator', CASE WHEN o.oprcom <> 0 THEN o.oprcom::regoperator::text END,
         'negator', CASE WHEN o.oprnegate <> 0 THEN o.oprnegate::regoperator::text END,
         'restrict', CASE WHEN o.oprrest <> 0 THEN o.oprrest::regproc::text END,
         'join', CASE WHEN o.oprjoin <> 0 THEN o.oprjoin::regproc::text END,
         'hashes', CASE WHEN o.oprcanhash THEN true END, 'merges', CASE WHEN o.oprcanmerge THEN true END)),
       'pg_operator', o.oid, 0, o.oprowner, NULL, NULL
FROM pg_catalog.pg_operator o JOIN visible v ON v.oid = o.oprnamespace
WHERE NOT EXISTS (SELECT FROM owned WHERE classid = 'pg_catalog.pg_operator'::regclass AND objid = o.oid)
UNION ALL
SELECT pg_catalog.format('operator class %I.%I using %I', v.nspname, c.opcname, m.amname),
       pg_catalog.jsonb_strip_nulls(pg_catalog.jsonb_build_object(
         'type', pg_catalog.format_type(c.opcintype, NULL), 'default', c.opcdefault,
         'family', pg_catalog.format('%I.%I', n.nspname, f.opfname),
         'storage', CASE WHEN c.opckeytype <> 0 THEN pg_catalog.format_type(c.opckeytype, NULL) END)),
       'pg_opclass', c.oid, 0, c.opcowner, NULL, NULL
FROM pg_catalog.pg_opclass c JOIN visible v ON v.oid = c.opcnamespace
JOIN pg_catalog.pg_am m ON m.oid = c.opcmethod
JOIN pg_catalog.pg_opfamily f ON f.oid = c.opcfamily
JOIN pg_catalog.pg_namespace n ON n.oid = f.opfnamespace
WHERE NOT EXISTS (SELECT FROM owned WHERE classid = 'pg_catalog.pg_opclass'::regclass AND objid = c.oid)
UNION ALL
SELECT pg_catalog.format('operator family %I.%I using %I', v.nspname, f.opfname, m.amname),
       pg_catalog.jsonb_strip_nulls(pg_catalog.jsonb_build_object(
         'operators', (SELECT pg_catalog.jsonb_agg(pg_catalog.concat(o.amopstrategy, ' ',
                         o.amopopr::regoperator::text,
                         CASE WHEN o.amopsortfamily <> 0 THEN ' for order by' END)
                         ORDER BY o.amopstrategy, o.amopopr::regoperator::text)
                       FROM pg_catalog.pg_amop o WHERE o.amopfamily = f.oid),
         'functions', (SELECT pg_catalog.jsonb_agg(pg_catalog.concat(p.amprocnum, ' (',
                         pg_catalog.format_type(p.amproclefttype, NULL), ', ',
                         pg_catalog.format_type(p.amprocrighttype, NULL), ') ',
                         p.amproc::oid::regprocedure::text)
                         ORDER BY p.amprocnum, p.amproc::oid::regprocedure::text)
                       FROM pg_catalog.pg_amproc p WHERE p.amprocfamily = f.oid))),
       'pg_opfamily', f.oid, 0, f.opfowner, NULL, NULL
FROM pg_catalog.pg_opfamily f JOIN visible v ON v.oid = f.opfnamespace
JOIN pg_catalog.pg_am m ON m.oid = f.opfmethod
WHERE NOT EXISTS (SELECT FROM owned WHERE classid = 'pg_catalog.pg_opfamily'::regclass AND objid = f.oid)
UNION ALL
SELECT 'access method ' || pg_catalog.quote_ident(m.amname),
       pg_catalog.jsonb_build_object('type', CASE m.amtype WHEN 't' THEN 'table' ELSE 'index' END,
         'handler', m.amhandler::regproc::text),
       'pg_am', m.oid, 0, NULL, NULL, NULL
FROM pg_catalog.pg_am m WHERE m.oid >= 16384
AND NOT EXISTS (SELECT FROM owned WHERE classid = 'pg_catalog.pg_am'::regclass AND objid = m.oid)
UNION ALL
SELECT 'language ' || pg_catalog.quote_ident(l.lanname),
       pg_catalog.jsonb_strip_nulls(pg_catalog.jsonb_build_object(
         'trusted', l.lanpltrusted, 'handler', l.lanplcallfoid::regproc::text,
         'inline', CASE WHEN l.laninline <> 0 THEN l.laninline::regproc::text END,
         'validator', CASE WHEN l.lanvalidator <> 0 THEN l.lanvalidator::regproc::text END)),
       'pg_language', l.oid, 0, l.lanowner, l.lanacl, 'l'
FROM pg_catalog.pg_language l WHERE l.oid >= 16384
AND NOT EXISTS (SELECT FROM owned WHERE classid = 'pg_catalog.pg_language'::regclass AND objid = l.oid)
