SELECT store FROM ONLY $schema.shape WHERE before IS NOT NULL
