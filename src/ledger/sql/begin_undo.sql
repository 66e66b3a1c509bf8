UPDATE ONLY $schema.ledger
SET run_id = $2, owner = $3, host = $4, direction = 'down', state = 'undoing',
    steps_total = $5, step_hashes = $6,
    steps_done = CASE state WHEN 'undoing' THEN steps_done ELSE 0 END,
    before = CASE state WHEN 'undoing' THEN before END,
    position = CASE state WHEN 'undoing' THEN $7::jsonb END
WHERE id = $1 AND state IN ('applied', 'undoing', 'failed', 'running') AND $held
RETURNING id
