UPDATE ONLY $schema.ledger l
SET state = CASE WHEN state = 'undoing' AND $3 = 'failed' THEN state ELSE $3 END, error = $4,
    down = CASE WHEN $5 THEN $schema.down_unclaimed(l) ELSE down END,
    before = CASE WHEN $5 THEN NULL ELSE before END,
    position = CASE WHEN $5 AND before ? 'session' THEN jsonb_build_object('session', before->'session') ELSE position END
WHERE id = $1 AND run_id = $2 AND state IN ('running', 'undoing')
RETURNING $schema.add_event(id, 'failed', $2, $6, $7, $4)
