-- Takes back V009: drops the similarity index. The embeddings stay.

DROP INDEX data_platform.idx_text_embeddings_vector;
