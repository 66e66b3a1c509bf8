UPDATE $schema.ledger l
SET down = $schema.down_unclaimed(l), before = NULL, position = NULL
WHERE id = $1 AND run_id = $2 AND state IN ('running', 'undoing')
RETURNING id
