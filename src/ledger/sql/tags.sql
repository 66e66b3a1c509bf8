SELECT name, rows FROM $schema.tag ORDER BY created_at, name
