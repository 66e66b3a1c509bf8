UPDATE ONLY $schema.ledger
SET before = $4, position = NULL,
    down = CASE WHEN $5::jsonb IS NULL THEN down
           ELSE jsonb_build_object('from', 'steps', 'steps', coalesce(down->'steps', '[]') || $5) END
WHERE id = $1 AND run_id = $2 AND steps_done = $3 AND before IS NULL
  AND state IN ('running', 'undoing') AND $held
RETURNING id
