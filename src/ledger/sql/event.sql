INSERT INTO $schema.event (run_id, event, store, kind, version, host, tool_version, details)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
