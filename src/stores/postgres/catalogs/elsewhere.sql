-- What leads to other servers: foreign-data wrappers, servers, user mappings, publications, subscriptions.
-- Options may hold passwords: the values of those that by their names do are left out of every picture.
SELECT 'foreign-data wrapper ' || pg_catalog.quote_ident(w.fdwname),
       pg_catalog.jsonb_strip_nulls(pg_catalog.jsonb_build_object(
         'handler', CASE WHEN w.fdwhandler <> 0 THEN w.fdwhandler::regproc::text END,
         'validator', CASE WHEN w.fdwvalidator <> 0 THEN w.fdwvalidator::regproc::text END,
         'option names', COALESCE((SELECT pg_catalog.jsonb_agg(pg_catalog.split_part(o, '=', 1) ORDER BY o)
                                   FROM pg_catalog.unnest(w.fdwoptions) o), '[]'),
         'option values', COALESCE((SELECT pg_catalog.jsonb_object_agg(pg_catalog.split_part(o, '=', 1),
                                     pg_catalog.substr(o, pg_catalog.strpos(o, '=') + 1))
                                    FROM pg_catalog.unnest(w.fdwoptions) o), '{}'))),
       'pg_foreign_data_wrapper'::name, w.oid, 0, w.fdwowner, w.fdwacl, 'F'::"char", w.xmin
FROM pg_catalog.pg_foreign_data_wrapper w
WHERE NOT EXISTS (SELECT FROM owned
                  WHERE classid = 'pg_catalog.pg_foreign_data_wrapper'::regclass AND objid = w.oid)
UNION ALL
SELECT 'server ' || pg_catalog.quote_ident(s.srvname),
       pg_catalog.jsonb_strip_nulls(pg_catalog.jsonb_build_object(
         'wrapper', pg_catalog.quote_ident(w.fdwname), 'type', s.srvtype, 'version', s.srvversion,
         'option names', COALESCE((SELECT pg_catalog.jsonb_agg(pg_catalog.split_part(o, '=', 1) ORDER BY o)
                                   FROM pg_catalog.unnest(s.srvoptions) o), '[]'),
         'option values', COALESCE((SELECT pg_catalog.jsonb_object_agg(pg_catalog.split_part(o, '=', 1),
                                     pg_catalog.substr(o, pg_catalog.strpos(o, '=') + 1))
                                    FROM pg_catalog.unnest(s.srvoptions) o), '{}'))),
       'pg_foreign_server', s.oid, 0, s.srvowner, s.srvacl, 'S', s.xmin
FROM pg_catalog.pg_foreign_server s JOIN pg_catalog.pg_foreign_data_wrapper w ON w.oid = s.srvfdw
WHERE NOT EXISTS (SELECT FROM owned WHERE classid = 'pg_catalog.pg_foreign_server'::regclass AND objid = s.oid)
UNION ALL
-- Whoever may not read the options sees none; the condition is the view's own. Then nothing is said of them.
SELECT pg_catalog.format('user mapping for %I on %I', u.usename, u.srvname),
       pg_catalog.jsonb_strip_nulls(CASE WHEN u.readable THEN pg_catalog.jsonb_build_object(
         'mapping options', COALESCE((SELECT pg_catalog.jsonb_agg(pg_catalog.split_part(o, '=', 1) ORDER BY o)
                                      FROM pg_catalog.unnest(u.umoptions) o), '[]'),
         'option values', COALESCE((SELECT pg_catalog.jsonb_object_agg(pg_catalog.split_part(o, '=', 1),
                                     pg_catalog.substr(o, pg_catalog.strpos(o, '=') + 1))
                                    FROM pg_catalog.unnest(u.umoptions) o), '{}')) ELSE '{}' END),
       'pg_user_mapping', u.umid, 0, NULL, NULL, NULL, NULL
FROM (SELECT m.*, (SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = CURRENT_USER)
             OR (m.umuser = 0 AND pg_catalog.pg_has_role(s.srvowner, 'USAGE'))
             OR (m.usename = CURRENT_USER AND (pg_catalog.pg_has_role(s.srvowner, 'USAGE')
                 OR pg_catalog.has_server_privilege(s.oid, 'USAGE'))) AS readable
      FROM pg_catalog.pg_user_mappings m JOIN pg_catalog.pg_foreign_server s ON s.oid = m.srvid
      WHERE NOT EXISTS (SELECT FROM owned
                        WHERE classid = 'pg_catalog.pg_user_mapping'::regclass AND objid = m.umid)) u
UNION ALL
SELECT 'publication ' || pg_catalog.quote_ident(p.pubname),
       pg_catalog.jsonb_strip_nulls(pg_catalog.jsonb_build_object(
         'publishes', pg_catalog.concat_ws(', ', CASE WHEN p.pubinsert THEN 'insert' END,
           CASE WHEN p.pubupdate THEN 'update' END, CASE WHEN p.pubdelete THEN 'delete' END,
           CASE WHEN p.pubtruncate THEN 'truncate' END),
         'via root', CASE WHEN p.pubviaroot THEN true END,
         'tables', (SELECT pg_catalog.jsonb_agg(pg_catalog.concat(t.prrelid::regclass::text
/* 15 */             , ' (' || (SELECT pg_catalog.string_agg(pg_catalog.quote_ident(a.attname), ', '
/* 15 */                                                    ORDER BY a.attnum)
/* 15 */                       FROM pg_catalog.pg_attribute a WHERE a.attrelid = t.prrelid
/* 15 */                       AND a.attnum = ANY (t.prattrs)) || ')',
/* 15 */               ' WHERE ' || pg_catalog.pg_get_expr(t.prqual, t.prrelid)
                      )                      ORDER BY t.prrelid::regclass::text)
                    FROM pg_catalog.pg_publication_rel t WHERE t.prpubid = p.oid),
/* 15 */ 'schemas', (SELECT pg_catalog.jsonb_agg(n.nspname ORDER BY n.nspname)
/* 15 */             FROM pg_catalog.pg_publication_namespace s
/* 15 */             JOIN pg_catalog.pg_namespace n ON n.oid = s.pnnspid WHERE s.pnpubid = p.oid),
         'all tables', p.puballtables)),
       'pg_publication', p.oid, 0, p.pubowner, NULL, NULL, p.xmin
FROM pg_catalog.pg_publication p
WHERE NOT EXISTS (SELECT FROM owned WHERE classid = 'pg_catalog.pg_publication'::regclass AND objid = p.oid)
UNION ALL
-- Only superusers may read a subscription's connection string.
SELECT 'subscription ' || pg_catalog.quote_ident(s.subname),
       pg_catalog.jsonb_strip_nulls(pg_catalog.jsonb_build_object(
         'enabled', s.subenabled,
/* 14 */ 'binary', s.subbinary, 'streaming', s.substream::text,
         'slot', s.subslotname, 'synchronous commit', s.subsynccommit,
         'publications', pg_catalog.to_jsonb(s.subpublications))),
       'pg_subscription', s.oid, 0, s.subowner, NULL, NULL, NULL
FROM pg_catalog.pg_subscription s
WHERE s.subdbid = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())
