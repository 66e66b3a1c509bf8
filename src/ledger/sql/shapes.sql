SELECT store, recorded, before FROM ONLY $schema.shape
