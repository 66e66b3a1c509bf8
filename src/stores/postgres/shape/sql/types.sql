-- Types, and what says how they are converted and sorted: casts, collations, conversions, transforms.
SELECT CASE k.typtype WHEN 'e' THEN 'enum ' ELSE 'domain ' END || k.name,
       CASE WHEN pg_catalog.has_type_privilege(k.oid, 'USAGE') IS NOT NULL THEN pg_catalog.jsonb_strip_nulls(pg_catalog.jsonb_build_object(
         'labels', (SELECT pg_catalog.jsonb_agg(enumlabel ORDER BY enumsortorder)
                    FROM pg_catalog.pg_enum WHERE enumtypid = k.oid),
         'type', CASE WHEN k.typtype = 'd' THEN pg_catalog.format_type(k.typbasetype, k.typtypmod) END,
         'not null', CASE WHEN k.typtype = 'd' THEN k.typnotnull END,
         'default', pg_catalog.pg_get_expr(k.typdefaultbin, 0),
         'collation', (SELECT c.oid::regcollation::text FROM pg_catalog.pg_collation c
                       JOIN pg_catalog.pg_type b ON b.oid = k.typbasetype
                       WHERE c.oid = k.typcollation AND k.typtype = 'd' AND b.typcollation <> c.oid),
         'checks', (SELECT pg_catalog.jsonb_object_agg(conname, pg_catalog.pg_get_constraintdef(oid))
                    FROM pg_catalog.pg_constraint WHERE contypid = k.oid AND contype = 'c'))) END,
       'pg_type', k.oid, 0, k.typowner, k.typacl, 'T'::"char"
FROM kind k WHERE k.typtype IN ('e', 'd')
UNION ALL
SELECT 'composite type ' || k.name,
       CASE WHEN pg_catalog.has_type_privilege(k.oid, 'USAGE') IS NOT NULL THEN pg_catalog.jsonb_build_object('attributes', COALESCE((
         SELECT pg_catalog.jsonb_agg(pg_catalog.concat(pg_catalog.quote_ident(a.attname), ' ',
                  pg_catalog.format_type(a.atttypid, a.atttypmod),
                  CASE WHEN a.attcollation <> t.typcollation
                       THEN ' COLLATE ' || a.attcollation::regcollation::text END) ORDER BY a.attnum)
         FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
         WHERE a.attrelid = k.typrelid AND a.attnum > 0 AND NOT a.attisdropped), '[]')) END,
       'pg_type', k.oid, 0, k.typowner, k.typacl, 'T'
FROM kind k JOIN pg_catalog.pg_class c ON c.oid = k.typrelid AND c.relkind = 'c'
UNION ALL
SELECT 'range type ' || k.name,
       CASE WHEN pg_catalog.has_type_privilege(k.oid, 'USAGE') IS NOT NULL THEN pg_catalog.jsonb_strip_nulls(pg_catalog.jsonb_build_object(
         'subtype', pg_catalog.format_type(r.rngsubtype, NULL),
         'operator class', pg_catalog.format('%I.%I', n.nspname, o.opcname),
         'collation', CASE WHEN r.rngcollation <> 0 THEN r.rngcollation::regcollation::text END,
         'canonical', CASE WHEN r.rngcanonical <> 0 THEN r.rngcanonical::regprocedure::text END,
/* 14 */ 'multirange type', pg_catalog.format_type(r.rngmultitypid, NULL),
         'difference', CASE WHEN r.rngsubdiff <> 0 THEN r.rngsubdiff::regprocedure::text END)) END,
       'pg_type', k.oid, 0, k.typowner, k.typacl, 'T'
FROM kind k JOIN pg_catalog.pg_range r ON r.rngtypid = k.oid
JOIN pg_catalog.pg_opclass o ON o.oid = r.rngsubopc
JOIN pg_catalog.pg_namespace n ON n.oid = o.opcnamespace
UNION ALL
-- Of a base type an array type is a part, and a shell of one is all that CREATE TYPE without a body makes.
SELECT 'base type ' || k.name,
       CASE WHEN pg_catalog.has_type_privilege(k.oid, 'USAGE') IS NOT NULL THEN pg_catalog.jsonb_strip_nulls(pg_catalog.jsonb_build_object(
         'shell', CASE WHEN NOT k.typisdefined THEN true END,
         'length', k.typlen, 'by value', k.typbyval, 'alignment', k.typalign::text,
         'storage', k.typstorage::text, 'category', k.typcategory::text, 'preferred', k.typispreferred,
         'delimiter', k.typdelim::text, 'default', k.typdefault,
         'element', CASE WHEN k.typelem <> 0 THEN pg_catalog.format_type(k.typelem, NULL) END,
         'collatable', CASE WHEN k.typcollation <> 0 THEN true END,
         'functions', pg_catalog.jsonb_build_object('input', k.typinput::regproc::text,
           'output', k.typoutput::regproc::text, 'receive', k.typreceive::regproc::text,
           'send', k.typsend::regproc::text, 'typmod input', k.typmodin::regproc::text,
/* 14 */   'subscript', k.typsubscript::regproc::text,
           'typmod output', k.typmodout::regproc::text, 'analyze', k.typanalyze::regproc::text))) END,
       'pg_type', k.oid, 0, k.typowner, k.typacl, 'T'
FROM kind k
WHERE (k.typtype = 'b' AND NOT EXISTS (SELECT FROM pg_catalog.pg_type e WHERE e.typarray = k.oid))
OR k.typtype = 'p'
UNION ALL
SELECT pg_catalog.format('cast (%s AS %s)', pg_catalog.format_type(c.castsource, NULL),
                         pg_catalog.format_type(c.casttarget, NULL)),
       pg_catalog.jsonb_build_object(
         'function', CASE WHEN c.castfunc <> 0 THEN c.castfunc::regprocedure::text
                          WHEN c.castmethod = 'i' THEN 'input and output' ELSE 'none' END,
         'context', CASE c.castcontext WHEN 'i' THEN 'implicit' WHEN 'a' THEN 'assignment' ELSE 'explicit' END),
       'pg_cast', c.oid, 0, NULL, NULL, NULL
FROM pg_catalog.pg_cast c
WHERE c.oid >= 16384
-- A range type brings its casts along.
AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d WHERE d.classid = 'pg_catalog.pg_cast'::regclass
                AND d.objid = c.oid AND d.deptype = 'i')
AND NOT EXISTS (SELECT FROM owned WHERE classid = 'pg_catalog.pg_cast'::regclass AND objid = c.oid)
UNION ALL
SELECT pg_catalog.format('collation %I.%I', v.nspname, c.collname),
       pg_catalog.jsonb_strip_nulls(pg_catalog.jsonb_build_object(
         'provider', CASE c.collprovider WHEN 'i' THEN 'icu' WHEN 'c' THEN 'libc' WHEN 'b' THEN 'builtin'
                     ELSE c.collprovider::text END,
         'deterministic', c.collisdeterministic,
         'encoding', CASE WHEN c.collencoding >= 0 THEN pg_catalog.pg_encoding_to_char(c.collencoding) END,
         'collate', c.collcollate, 'character type', c.collctype,
         -- Its name differs between servers.
         'locale', COALESCE(pg_catalog.to_jsonb(c) ->> 'colllocale', pg_catalog.to_jsonb(c) ->> 'colliculocale'),
         'rules', pg_catalog.to_jsonb(c) ->> 'collicurules')),
       'pg_collation', c.oid, 0, c.collowner, NULL, NULL
FROM pg_catalog.pg_collation c JOIN visible v ON v.oid = c.collnamespace
WHERE NOT EXISTS (SELECT FROM owned WHERE classid = 'pg_catalog.pg_collation'::regclass AND objid = c.oid)
UNION ALL
SELECT pg_catalog.format('conversion %I.%I', v.nspname, c.conname),
       pg_catalog.jsonb_build_object('from', pg_catalog.pg_encoding_to_char(c.conforencoding),
         'to', pg_catalog.pg_encoding_to_char(c.contoencoding), 'function', c.conproc::regproc::text,
         'default', c.condefault),
       'pg_conversion', c.oid, 0, c.conowner, NULL, NULL
FROM pg_catalog.pg_conversion c JOIN visible v ON v.oid = c.connamespace
WHERE NOT EXISTS (SELECT FROM owned WHERE classid = 'pg_catalog.pg_conversion'::regclass AND objid = c.oid)
UNION ALL
SELECT pg_catalog.format('transform for %s language %I', pg_catalog.format_type(f.trftype, NULL), l.lanname),
       pg_catalog.jsonb_strip_nulls(pg_catalog.jsonb_build_object(
         'from sql', CASE WHEN f.trffromsql <> 0 THEN f.trffromsql::regprocedure::text END,
         'to sql', CASE WHEN f.trftosql <> 0 THEN f.trftosql::regprocedure::text END)),
       'pg_transform', f.oid, 0, NULL, NULL, NULL
FROM pg_catalog.pg_transform f JOIN pg_catalog.pg_language l ON l.oid = f.trflang
WHERE NOT EXISTS (SELECT FROM owned WHERE classid = 'pg_catalog.pg_transform'::regclass AND objid = f.oid)
