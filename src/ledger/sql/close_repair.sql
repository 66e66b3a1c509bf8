SELECT $schema.close_repair($1, $2, $3, $4, $5, $6, $7), $schema.settled($1)
