INSERT INTO $schema.shape AS s (store, before, run_id) VALUES ($1, $2::jsonb, $3)
ON CONFLICT (store) DO UPDATE SET before = coalesce(s.before, excluded.before),
    run_id = excluded.run_id, updated_at = clock_timestamp()
