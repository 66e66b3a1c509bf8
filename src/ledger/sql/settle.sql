SELECT $schema.settle_migration($1, $2, $3)
