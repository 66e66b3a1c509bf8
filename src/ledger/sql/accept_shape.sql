WITH told AS (
    INSERT INTO $schema.event (run_id, event, store, host, tool_version, details)
    SELECT $3, 'repaired', $1, $4, $5, d FROM jsonb_array_elements($6::jsonb) d
)
INSERT INTO $schema.shape (store, recorded, run_id) VALUES ($1, $2, $3)
ON CONFLICT (store) DO UPDATE SET recorded = excluded.recorded, before = NULL,
    run_id = excluded.run_id, updated_at = clock_timestamp()
