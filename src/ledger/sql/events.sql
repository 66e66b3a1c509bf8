SELECT to_jsonb(e) AS event FROM (
    SELECT * FROM ONLY $schema.event
    WHERE ($2::text IS NULL OR event = $2)
      AND ($3::text IS NULL OR run_id = $3)
      AND (cardinality($4::text[]) = 0 OR store = ANY ($4))
      AND ($5::text IS NULL OR (kind = $5 AND version = $6))
      AND ($7::text IS NULL OR details->>'object' = $7)
      AND ($8::timestamptz IS NULL OR at >= $8)
      AND NOT EXISTS (SELECT origin FROM ONLY $schema.ledger WHERE false)
    ORDER BY id DESC LIMIT $1
) e ORDER BY id
