SELECT l.state, EXISTS (SELECT FROM ONLY $schema.event e WHERE e.ledger_id = l.id AND e.run_id = l.run_id AND e.event = l.state)
FROM ONLY $schema.ledger l WHERE l.id = $1
