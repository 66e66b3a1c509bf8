SELECT $held AS held, l.store, l.version, l.run_id, l.host, l.state, l.steps_done, l.steps_total,
       l.before IS NOT NULL AS claimed
FROM (VALUES ($1::bigint)) AS asked (id) LEFT JOIN ONLY $schema.ledger l USING (id)
