UPDATE ONLY $schema.ledger SET position = $3
WHERE id = $1 AND run_id = $2 AND state IN ('running', 'undoing') AND $held
RETURNING id
