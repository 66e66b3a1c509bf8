SELECT $schema.close_applied($1, $2, $3, $4, $5), $schema.settled($1)
