SELECT max(version)::bigint, max(checksum) FILTER (WHERE version = 1)
FROM $schema.refinery_schema_history
