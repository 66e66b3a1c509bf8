WITH settled AS (
    UPDATE ONLY $schema.ledger l
    SET run_id = $2, host = $3,
        state = CASE direction WHEN 'down' THEN 'undoing' ELSE 'failed' END,
        steps_done = steps_done + CASE $4 WHEN 'done' THEN 1 ELSE 0 END,
        down = CASE $4 WHEN 'not done' THEN $schema.down_unclaimed(l) ELSE down END,
        before = CASE $4 WHEN 'done in part' THEN before END,
        position = coalesce($5, CASE WHEN before ? 'session' THEN jsonb_build_object('session', before->'session') END)
    WHERE id = $1 AND state IN ('running', 'failed', 'undoing', 'in doubt') AND $held
    RETURNING id
)
SELECT $schema.add_event(id, 'repaired', $2, $3, $8, $9),
       CASE WHEN $7::jsonb <> '[]' THEN $schema.declare_objects($6, $7, $2) END
FROM settled
