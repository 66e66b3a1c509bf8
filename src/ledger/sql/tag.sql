WITH told AS (
    INSERT INTO $schema.event (run_id, event, host, tool_version, details)
    SELECT $2, 'tagged', $3, $4, jsonb_build_object('tag', $1::text)
    WHERE NOT EXISTS (SELECT FROM ONLY $schema.tag WHERE name = $1)
)
INSERT INTO $schema.tag (name, rows, run_id)
VALUES ($1, ARRAY(SELECT id FROM ONLY $schema.ledger WHERE state <> 'undone' ORDER BY id), $2)
ON CONFLICT (name) DO NOTHING
