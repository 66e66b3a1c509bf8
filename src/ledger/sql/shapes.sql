SELECT store, recorded, before FROM $schema.shape
