SELECT CASE WHEN EXISTS (
    SELECT FROM ONLY $schema.ledger l JOIN ONLY $schema.event e ON e.ledger_id OPERATOR(pg_catalog.=) l.id
    WHERE l.run_id OPERATOR(pg_catalog.=) $1 AND l.state OPERATOR(pg_catalog.=) $2
      AND e.run_id OPERATOR(pg_catalog.=) $1 AND e.event OPERATOR(pg_catalog.=) $2
      AND e.xmin OPERATOR(pg_catalog.=) pg_catalog.pg_current_xact_id_if_assigned()::pg_catalog.xid
) THEN 'written' ELSE pg_catalog.concat('aiplat_migrate unwritten: ', $2)::pg_catalog.int4::pg_catalog.text END
