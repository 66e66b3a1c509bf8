SELECT store, recorded, NULL::jsonb AS before FROM ONLY $schema.shape WHERE store = $1
