WITH told AS (
    INSERT INTO $schema.event (run_id, event, host, tool_version, details)
    SELECT $3, 'tagged', $4, $5, jsonb_build_object('tag', $1::text)
    WHERE NOT EXISTS (SELECT FROM $schema.tag WHERE name = $1)
)
INSERT INTO $schema.tag (name, rows, run_id) VALUES ($1, $2, $3) ON CONFLICT (name) DO NOTHING
