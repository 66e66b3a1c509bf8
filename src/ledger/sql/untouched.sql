SELECT CASE WHEN pg_catalog.count(*) OPERATOR(pg_catalog.=) 0
             AND coalesce(pg_catalog.to_regnamespace('$schema')::pg_catalog.oid OPERATOR(pg_catalog.=) $1, false) THEN 'untouched'
            ELSE pg_catalog.concat('aiplat_migrate touched: ', pg_catalog.string_agg(DISTINCT
                pg_catalog.pg_describe_object(coalesce(l.classid, 1259::pg_catalog.oid), coalesce(l.relation, l.objid), 0), ', '))
                ::pg_catalog.int4::pg_catalog.text END
FROM pg_catalog.pg_lock_status() l
WHERE l.pid OPERATOR(pg_catalog.=) pg_catalog.pg_backend_pid() AND CASE l.locktype
    WHEN 'relation' THEN l.relation OPERATOR(pg_catalog.=) ANY ($2) AND l.mode OPERATOR(pg_catalog.=) ANY (
        '{RowExclusiveLock,ShareLock,ShareRowExclusiveLock,ExclusiveLock,AccessExclusiveLock}')
    WHEN 'object' THEN l.mode OPERATOR(pg_catalog.<>) 'ShareUpdateExclusiveLock' AND CASE l.classid
        WHEN 1255 THEN l.objid OPERATOR(pg_catalog.=) ANY ($3)
        WHEN 2615 THEN l.objid OPERATOR(pg_catalog.=) $1 END END
