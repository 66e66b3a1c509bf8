UPDATE ONLY $schema.ledger l
SET run_id = $2, owner = $3, host = $4, state = 'running', error = NULL,
    script = $5, checksum = $6, content_checksum = $7, steps_total = $8, step_hashes = $9,
    down = CASE WHEN $10 THEN $schema.down_unclaimed(l) ELSE down END,
    before = CASE WHEN $10 THEN NULL ELSE before END,
    position = $13
WHERE id = $1 AND state IN ('running', 'failed') AND $held
RETURNING $schema.add_event(id, 'resumed', $2, $4, $11, $12)
