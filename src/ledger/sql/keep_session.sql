UPDATE ONLY $schema.ledger
SET position = pg_catalog.jsonb_build_object('session',
    pg_catalog.current_setting($2, true)::pg_catalog.jsonb)
WHERE id OPERATOR(pg_catalog.=) $1
  AND pg_catalog.current_setting($2, true) OPERATOR(pg_catalog.<>) ''
