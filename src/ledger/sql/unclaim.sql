UPDATE ONLY $schema.ledger l
SET down = $schema.down_unclaimed(l), before = NULL,
    position = CASE WHEN before ? 'session' THEN jsonb_build_object('session', before->'session') END
WHERE id = $1 AND run_id = $2 AND state IN ('running', 'undoing')
RETURNING id
