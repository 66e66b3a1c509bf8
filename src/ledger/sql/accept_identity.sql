WITH accepted AS (
    UPDATE ONLY $schema.identity SET identity = $2, first_seen = clock_timestamp()
    WHERE store = $1 AND $held
    RETURNING store
)
INSERT INTO $schema.event (run_id, event, store, host, tool_version, details)
SELECT $3, 'repaired', store, $4, $5, $6 FROM accepted
