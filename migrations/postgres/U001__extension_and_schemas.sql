-- Takes back V001: drops the five schemas, which are empty by now, and pgvector.
--
-- V001 leaves an extension that was there before as it is, but this file cannot
-- tell who created it and drops it either way. Where an administrator provided
-- pgvector, or something else in the database uses it, remove the last
-- statement before the first run. Dropping it needs the role that created it,
-- or a superuser.

DROP SCHEMA service_platform;
DROP SCHEMA model_platform;
DROP SCHEMA algo_platform;
DROP SCHEMA data_platform;
DROP SCHEMA auth;

DROP EXTENSION vector;
