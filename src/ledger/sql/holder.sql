SELECT a.pid, a.application_name, a.backend_start
FROM pg_catalog.pg_lock_status() l, LATERAL pg_catalog.pg_stat_get_activity(l.pid) a
WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 2
  AND l.classid::bigint = $1 AND l.objid::bigint = $2
  AND l.pid <> pg_catalog.pg_backend_pid()
  AND l.database = (SELECT datid FROM pg_catalog.pg_stat_get_activity(pg_catalog.pg_backend_pid()))
ORDER BY a.backend_start LIMIT 1
