SELECT name, rows FROM ONLY $schema.tag ORDER BY created_at, name
