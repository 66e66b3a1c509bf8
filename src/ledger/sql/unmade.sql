SELECT CASE WHEN pg_catalog.count(*) OPERATOR(pg_catalog.=) 0 THEN 'unmade'
            ELSE pg_catalog.concat('aiplat_migrate touched: ', pg_catalog.string_agg(DISTINCT
                pg_catalog.pg_describe_object(d.classid, d.objid, 0), ', '))::pg_catalog.int4::pg_catalog.text END
FROM pg_catalog.pg_depend d
WHERE d.refclassid OPERATOR(pg_catalog.=) 2615 AND d.refobjid OPERATOR(pg_catalog.=) $1
  AND pg_catalog.age(d.xmin) OPERATOR(pg_catalog.<=) 0
  AND pg_catalog.pg_xact_status((pg_catalog.pg_current_xact_id_if_assigned()::pg_catalog.text::pg_catalog.int8
      OPERATOR(pg_catalog.-) pg_catalog.age(d.xmin))::pg_catalog.text::pg_catalog.xid8)
      OPERATOR(pg_catalog.=) 'in progress'
