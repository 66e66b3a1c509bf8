-- Takes back V003: drops the data tables, each after those that refer to it.

DROP TABLE data_platform.text_embeddings;
DROP TABLE data_platform.data_processing_tasks;
DROP TABLE data_platform.dataset_versions;
DROP TABLE data_platform.datasets;
DROP TABLE data_platform.data_sources;
