UPDATE ONLY $schema.ledger SET state = 'undone'
WHERE id = $1 AND state IN ('applied', 'baseline') AND $held
RETURNING $schema.add_event(id, 'repaired', $2, $3, $4, $5)
