SELECT store FROM $schema.shape WHERE before IS NOT NULL
