SELECT $schema.settled($1)
