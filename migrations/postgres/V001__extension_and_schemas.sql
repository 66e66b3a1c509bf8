-- pgvector, and one schema for each part of the platform. The system tables
-- live in schema public, which every database has.
--
-- pgvector is not a trusted extension: CREATE EXTENSION needs a superuser. On a
-- managed server an administrator usually provides it beforehand; the statement
-- then only raises a notice, and the rest of these migrations runs as the
-- ordinary role that owns the database.
--
-- The extension belongs in schema public, because the migrations after this one
-- name public.vector in full. Where it already lives in another schema, run
-- ALTER EXTENSION vector SET SCHEMA public before them.
--
-- If an administrator provided the extension, edit U001 as it says there.

CREATE EXTENSION IF NOT EXISTS vector WITH SCHEMA public;

CREATE SCHEMA auth;              -- authentication and permissions
CREATE SCHEMA data_platform;     -- data
CREATE SCHEMA algo_platform;     -- algorithms
CREATE SCHEMA model_platform;    -- models
CREATE SCHEMA service_platform;  -- services
