-- Tables, views, materialized views, foreign tables, their columns, and sequences.
SELECT CASE r.relkind WHEN 'v' THEN 'view ' WHEN 'm' THEN 'materialized view '
            WHEN 'f' THEN 'foreign table ' ELSE 'table ' END || r.name,
       CASE WHEN pg_catalog.has_table_privilege(r.oid, 'SELECT') IS NOT NULL THEN pg_catalog.jsonb_strip_nulls(pg_catalog.jsonb_build_object(
         'definition', CASE WHEN r.relkind IN ('v', 'm') THEN pg_catalog.pg_get_viewdef(r.oid) END,
         'persistence', CASE r.relpersistence WHEN 'u' THEN 'unlogged' END,
         'partition key', CASE WHEN r.relkind = 'p' THEN pg_catalog.pg_get_partkeydef(r.oid) END,
         'partition bound', pg_catalog.pg_get_expr(r.relpartbound, r.oid),
         'partition of', CASE WHEN r.relispartition THEN parents.names ->> 0 END,
/* 14 */ 'detach pending', CASE WHEN parents.pending THEN true END,
         'inherits', CASE WHEN NOT r.relispartition THEN parents.names END,
         'of type', CASE WHEN r.reloftype <> 0 THEN pg_catalog.format_type(r.reloftype, NULL) END,
         'columns', CASE WHEN r.relkind IN ('r', 'p', 'f') THEN columns.names END,
         'column defaults', CASE WHEN r.relkind = 'v' THEN columns.defaults END,
         'column statistics', CASE WHEN r.relkind = 'm' THEN columns.targets END,
         'column storage', CASE WHEN r.relkind = 'm' THEN columns.storage END,
/* 14 */ 'column compression', CASE WHEN r.relkind = 'm' THEN columns.compression END,
         'column options', CASE WHEN r.relkind = 'm' THEN columns.options END,
         'row security', CASE WHEN r.relrowsecurity THEN true END,
         'forced row security', CASE WHEN r.relforcerowsecurity THEN true END,
         'replica identity', CASE WHEN r.relkind IN ('r', 'p', 'm') THEN CASE r.relreplident
           WHEN 'n' THEN 'nothing' WHEN 'f' THEN 'full'
           WHEN 'i' THEN 'index ' || COALESCE(pg_catalog.quote_ident(marked.replica), '(dropped)') END END,
         'clustered on', pg_catalog.quote_ident(marked.clustered),
         'tablespace', pg_catalog.quote_ident(s.spcname),
         'access method', CASE WHEN m.amname <> 'heap' THEN pg_catalog.quote_ident(m.amname) END,
         'options', pg_catalog.to_jsonb(r.reloptions),
         'toast options', pg_catalog.to_jsonb(toast.reloptions),
         'populated', CASE WHEN NOT r.relispopulated THEN false END,
         'server', pg_catalog.quote_ident(server.srvname),
         'foreign options', pg_catalog.to_jsonb(foreign_table.ftoptions))) END,
       'pg_class', r.oid, 0, r.relowner, r.relacl, 'r'
FROM relation r
LEFT JOIN (SELECT i.inhrelid, pg_catalog.jsonb_agg(pg_catalog.format('%I.%I', n.nspname, p.relname)
                                                   ORDER BY i.inhseqno) AS names
/* 14 */        , pg_catalog.bool_or(i.inhdetachpending) AS pending
           FROM pg_catalog.pg_inherits i JOIN pg_catalog.pg_class p ON p.oid = i.inhparent
           JOIN pg_catalog.pg_namespace n ON n.oid = p.relnamespace
           GROUP BY i.inhrelid) parents ON parents.inhrelid = r.oid
LEFT JOIN (SELECT a.attrelid, pg_catalog.jsonb_agg(a.attname ORDER BY a.attnum) AS names,
                  pg_catalog.jsonb_object_agg(a.attname,
                    CASE WHEN pg_catalog.has_table_privilege(d.adrelid, 'SELECT') IS NOT NULL
                         THEN pg_catalog.pg_get_expr(d.adbin, d.adrelid) END)
                    FILTER (WHERE d.adbin IS NOT NULL AND o.relkind = 'v') AS defaults,
                  pg_catalog.jsonb_object_agg(a.attname, a.attstattarget)
                    FILTER (WHERE a.attstattarget >= 0) AS targets,
                  pg_catalog.jsonb_object_agg(a.attname, a.attstorage::text)
                    FILTER (WHERE a.attstorage <> t.typstorage) AS storage,
/* 14 */          pg_catalog.jsonb_object_agg(a.attname, a.attcompression::text)
/* 14 */            FILTER (WHERE a.attcompression <> '') AS compression,
                  pg_catalog.jsonb_object_agg(a.attname, a.attoptions)
                    FILTER (WHERE a.attoptions IS NOT NULL) AS options
           FROM pg_catalog.pg_attribute a JOIN relation o ON o.oid = a.attrelid
           JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
           LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
           WHERE a.attnum > 0 AND NOT a.attisdropped AND o.relkind IN ('r', 'p', 'f', 'v', 'm')
           GROUP BY a.attrelid) columns ON columns.attrelid = r.oid
LEFT JOIN (SELECT i.indrelid, pg_catalog.max(c.relname) FILTER (WHERE i.indisreplident) AS replica,
                  pg_catalog.max(c.relname) FILTER (WHERE i.indisclustered) AS clustered
           FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid
           WHERE i.indisreplident OR i.indisclustered GROUP BY i.indrelid) marked ON marked.indrelid = r.oid
LEFT JOIN pg_catalog.pg_tablespace s ON s.oid = r.reltablespace
LEFT JOIN pg_catalog.pg_am m ON m.oid = r.relam
LEFT JOIN pg_catalog.pg_class toast ON toast.oid = r.reltoastrelid AND toast.reloptions IS NOT NULL
LEFT JOIN pg_catalog.pg_foreign_table foreign_table ON foreign_table.ftrelid = r.oid
LEFT JOIN pg_catalog.pg_foreign_server server ON server.oid = foreign_table.ftserver
WHERE r.relkind IN ('r', 'p', 'v', 'm', 'f')
UNION ALL
SELECT 'column ' || r.name || '.' || pg_catalog.quote_ident(a.attname),
       CASE WHEN pg_catalog.has_table_privilege(r.oid, 'SELECT') IS NOT NULL THEN pg_catalog.jsonb_strip_nulls(pg_catalog.jsonb_build_object(
         'type', pg_catalog.format_type(a.atttypid, a.atttypmod),
         'not null', a.attnotnull,
         'default', CASE WHEN a.attgenerated = '' THEN pg_catalog.pg_get_expr(d.adbin, d.adrelid) END,
         'generated', CASE WHEN a.attgenerated <> '' THEN pg_catalog.pg_get_expr(d.adbin, d.adrelid) END,
         'identity', CASE a.attidentity WHEN 'a' THEN 'always' WHEN 'd' THEN 'by default' END,
         'collation', c.collname,
         'collation schema', CASE WHEN n.nspname <> 'pg_catalog' THEN n.nspname END,
         'storage', CASE WHEN a.attstorage <> t.typstorage THEN
           CASE a.attstorage WHEN 'p' THEN 'plain' WHEN 'e' THEN 'external' WHEN 'm' THEN 'main'
             WHEN 'x' THEN 'extended' ELSE a.attstorage::text END END,
/* 14 */ 'compression', CASE a.attcompression WHEN 'p' THEN 'pglz' WHEN 'l' THEN 'lz4' WHEN '' THEN NULL
/* 14 */   ELSE a.attcompression::text END,
         'statistics', CASE WHEN a.attstattarget >= 0 THEN a.attstattarget END,
         'options', pg_catalog.to_jsonb(a.attoptions),
         'foreign options', pg_catalog.to_jsonb(a.attfdwoptions))) END,
       'pg_class', r.oid, a.attnum, r.relowner, COALESCE(a.attacl, '{}'), 'c'
FROM relation r
JOIN pg_catalog.pg_attribute a ON a.attrelid = r.oid AND a.attnum > 0 AND NOT a.attisdropped
JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
LEFT JOIN pg_catalog.pg_collation c ON c.oid = a.attcollation AND a.attcollation <> t.typcollation
LEFT JOIN pg_catalog.pg_namespace n ON n.oid = c.collnamespace
LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
WHERE r.relkind IN ('r', 'p', 'f')
UNION ALL
SELECT 'sequence ' || r.name,
       pg_catalog.jsonb_strip_nulls(pg_catalog.jsonb_build_object(
         'type', pg_catalog.format_type(s.seqtypid, NULL),
         'start', s.seqstart, 'increment', s.seqincrement, 'minimum', s.seqmin, 'maximum', s.seqmax,
         'cycle', s.seqcycle, 'cache', s.seqcache,
         'persistence', CASE r.relpersistence WHEN 'u' THEN 'unlogged' END,
         'owned by', t.name || '.' || pg_catalog.quote_ident(a.attname))),
       'pg_class', r.oid, 0, r.relowner, r.relacl, 's'
FROM pg_catalog.pg_sequence s JOIN relation r ON r.oid = s.seqrelid
LEFT JOIN pg_catalog.pg_depend d ON d.classid = 'pg_catalog.pg_class'::regclass AND d.objid = s.seqrelid
  AND d.refclassid = 'pg_catalog.pg_class'::regclass AND d.deptype IN ('a', 'i')
LEFT JOIN relation t ON t.oid = d.refobjid
LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
