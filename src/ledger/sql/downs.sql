SELECT id, store, version, down FROM ONLY $schema.ledger WHERE id = ANY ($1)
