SELECT id, store, version, kind, run_id, description, script, checksum, state, direction,
       steps_total, steps_done, step_hashes, before, position, requires, origin, installed_by,
       started_at, finished_at, execution_ms, error
FROM ONLY $schema.ledger ORDER BY id
