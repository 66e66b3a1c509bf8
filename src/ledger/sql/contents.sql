SELECT id, store, version, content_checksum FROM ONLY $schema.ledger
WHERE id = ANY ($1) AND content_checksum IS NOT NULL
