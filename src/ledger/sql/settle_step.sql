WITH settled AS (
    UPDATE ONLY $schema.ledger SET steps_done = $3 + 1, before = NULL, position = $6
    WHERE id = $1 AND run_id = $2 AND steps_done = $3 AND state IN ('running', 'undoing')
    RETURNING id
)
SELECT id, CASE WHEN $5::jsonb <> '[]' THEN $schema.declare_objects($4, $5, $2) END FROM settled
