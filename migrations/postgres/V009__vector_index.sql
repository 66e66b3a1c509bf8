-- The similarity index on text embeddings, ivfflat by cosine distance with 100
-- lists.
--
-- ivfflat takes the centres of its lists from the rows that are present when it
-- is built. On a new, empty table the server therefore gives the notice "ivfflat
-- index created with little data", which is expected here. After the first bulk
-- load, build the index again, or searches will miss close neighbours:
--
--     REINDEX INDEX CONCURRENTLY data_platform.idx_text_embeddings_vector;
--
-- CONCURRENTLY keeps the table writable and cannot run in a transaction; plain
-- REINDEX INDEX is quicker and blocks writers until it is done.
--
-- Sessions that search should SET ivfflat.probes = 10, about the square root of
-- the number of lists; the default of 1 looks into a single list. Only queries
-- of the form ORDER BY embedding <=> $1 LIMIT n use the index.

CREATE INDEX idx_text_embeddings_vector ON data_platform.text_embeddings
    USING ivfflat (embedding public.vector_cosine_ops) WITH (lists = 100);
