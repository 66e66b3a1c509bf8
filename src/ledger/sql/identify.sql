INSERT INTO $schema.identity (store, identity) VALUES ($1, $2) ON CONFLICT (store) DO NOTHING
