SELECT store, identity FROM ONLY $schema.identity
