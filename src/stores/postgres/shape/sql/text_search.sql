-- Text search: configurations, dictionaries, parsers, templates.
SELECT pg_catalog.format('text search configuration %I.%I', v.nspname, c.cfgname),
       pg_catalog.jsonb_build_object(
         'parser', pg_catalog.format('%I.%I', n.nspname, p.prsname),
         'mappings', COALESCE((
           SELECT pg_catalog.jsonb_object_agg(t.alias, t.dictionaries) FROM (
             SELECT k.alias, pg_catalog.jsonb_agg(m.mapdict::regdictionary::text ORDER BY m.mapseqno)
             FROM pg_catalog.pg_ts_config_map m
             JOIN pg_catalog.ts_token_type(p.oid) k ON k.tokid = m.maptokentype
             WHERE m.mapcfg = c.oid GROUP BY k.alias) t (alias, dictionaries)), '{}')),
       'pg_ts_config'::name, c.oid, 0, c.cfgowner, NULL::aclitem[], NULL::"char"
FROM pg_catalog.pg_ts_config c JOIN visible v ON v.oid = c.cfgnamespace
JOIN pg_catalog.pg_ts_parser p ON p.oid = c.cfgparser
JOIN pg_catalog.pg_namespace n ON n.oid = p.prsnamespace
WHERE NOT EXISTS (SELECT FROM owned WHERE classid = 'pg_catalog.pg_ts_config'::regclass AND objid = c.oid)
UNION ALL
SELECT pg_catalog.format('text search dictionary %I.%I', v.nspname, d.dictname),
       pg_catalog.jsonb_strip_nulls(pg_catalog.jsonb_build_object(
         'template', pg_catalog.format('%I.%I', n.nspname, t.tmplname), 'options', d.dictinitoption)),
       'pg_ts_dict', d.oid, 0, d.dictowner, NULL, NULL
FROM pg_catalog.pg_ts_dict d JOIN visible v ON v.oid = d.dictnamespace
JOIN pg_catalog.pg_ts_template t ON t.oid = d.dicttemplate
JOIN pg_catalog.pg_namespace n ON n.oid = t.tmplnamespace
WHERE NOT EXISTS (SELECT FROM owned WHERE classid = 'pg_catalog.pg_ts_dict'::regclass AND objid = d.oid)
UNION ALL
SELECT pg_catalog.format('text search parser %I.%I', v.nspname, p.prsname),
       pg_catalog.jsonb_build_object('start', p.prsstart::regproc::text, 'token', p.prstoken::regproc::text,
         'end', p.prsend::regproc::text, 'types', p.prslextype::regproc::text,
         'headline', p.prsheadline::regproc::text),
       'pg_ts_parser', p.oid, 0, NULL, NULL, NULL
FROM pg_catalog.pg_ts_parser p JOIN visible v ON v.oid = p.prsnamespace
WHERE NOT EXISTS (SELECT FROM owned WHERE classid = 'pg_catalog.pg_ts_parser'::regclass AND objid = p.oid)
UNION ALL
SELECT pg_catalog.format('text search template %I.%I', v.nspname, t.tmplname),
       pg_catalog.jsonb_build_object('init', t.tmplinit::regproc::text, 'lexize', t.tmpllexize::regproc::text),
       'pg_ts_template', t.oid, 0, NULL, NULL, NULL
FROM pg_catalog.pg_ts_template t JOIN visible v ON v.oid = t.tmplnamespace
WHERE NOT EXISTS (SELECT FROM owned WHERE classid = 'pg_catalog.pg_ts_template'::regclass AND objid = t.oid)
