UPDATE ONLY $schema.ledger SET script = $5, checksum = $6, content_checksum = $7
WHERE id = $1 AND state IN ('applied', 'baseline') AND $held
RETURNING $schema.add_event(id, 'repaired', $2, $3, $4, $8)
