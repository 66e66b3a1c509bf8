SELECT id, store, version, down FROM $schema.ledger WHERE id = ANY ($1)
