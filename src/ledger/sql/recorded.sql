SELECT store, recorded, NULL::jsonb AS before FROM $schema.shape WHERE store = $1
