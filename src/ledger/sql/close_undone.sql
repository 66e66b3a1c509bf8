SELECT $schema.close_undone($1, $2, $3, $4, $5, $6, $7), $schema.settled($1)
