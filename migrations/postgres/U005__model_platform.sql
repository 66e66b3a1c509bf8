-- Takes back V005: drops the model tables, each after those that refer to it.

DROP TABLE model_platform.model_endpoints;
DROP TABLE model_platform.model_versions;
DROP TABLE model_platform.models;
