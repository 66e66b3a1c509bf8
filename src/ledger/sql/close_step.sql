SELECT $schema.close_step($1, $2, $3, $4, $5)
