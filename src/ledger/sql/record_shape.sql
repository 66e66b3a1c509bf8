INSERT INTO $schema.shape (store, recorded, run_id) VALUES ($1, $2::jsonb, $3)
ON CONFLICT (store) DO UPDATE SET recorded = excluded.recorded, before = NULL,
    run_id = excluded.run_id, updated_at = clock_timestamp()
