SELECT $schema.begin_migration($1::jsonb, $2::bigint) WHERE $held
