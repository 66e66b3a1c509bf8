SELECT store, identity FROM $schema.identity
