-- What a build from before 0.1.0 left: a database with its ledger, without the identity of its server.

SET statement_timeout = 0;
SET lock_timeout = 0;
SET idle_in_transaction_session_timeout = 0;
SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
SELECT pg_catalog.set_config('search_path', '', false);
SET check_function_bodies = false;
SET xmloption = content;
SET client_min_messages = warning;
SET row_security = off;

CREATE SCHEMA aiplat_migrate;

CREATE FUNCTION aiplat_migrate.check_seal(token text, after text) RETURNS boolean
    LANGUAGE plpgsql
    AS $$
        BEGIN
            IF pg_catalog.current_setting('aiplat_migrate.token', true) IS DISTINCT FROM token THEN
                RAISE EXCEPTION USING ERRCODE = 'AM003',
                    MESSAGE = 'the file ended the transaction that it is applied in';
            END IF;
            IF pg_catalog.current_setting('aiplat_migrate.sealed', true) IS DISTINCT FROM after
               AND after IS NOT NULL
            THEN
                RAISE EXCEPTION USING ERRCODE = 'AM001',
                    MESSAGE = 'the migration before this one is not settled';
            END IF;
            RETURN true;
        END $$;

CREATE FUNCTION aiplat_migrate.check_token(token text) RETURNS void
    LANGUAGE plpgsql
    AS $$
        BEGIN
            IF pg_catalog.current_setting('aiplat_migrate.token', true) IS DISTINCT FROM token THEN
                RAISE EXCEPTION USING ERRCODE = 'AM003',
                    MESSAGE = 'the file ended the transaction that it is applied in';
            END IF;
        END $$;

CREATE FUNCTION aiplat_migrate.close_applied(token text, after text, run text, row_owner jsonb, row_kind text, row_version text, row_description text, row_script text, row_checksum text, row_down jsonb, row_requires jsonb, row_host text, row_tool text, replaces bigint, lazy boolean, row_content text) RETURNS void
    LANGUAGE plpgsql
    AS $$
        DECLARE
            checked boolean := aiplat_migrate.check_seal(token, after);
            began timestamptz := pg_catalog.statement_timestamp();
            ended timestamptz := pg_catalog.clock_timestamp();
            new_id bigint;
            commits text;
        BEGIN
            IF lazy THEN
                commits := pg_catalog.set_config('synchronous_commit', 'off', true);
            END IF;
            IF replaces IS NOT NULL THEN
                UPDATE aiplat_migrate.ledger SET state = 'undone' WHERE id = replaces AND state = 'applied';
            END IF;
            INSERT INTO aiplat_migrate.ledger (run_id, owner, store, kind, version, description, script,
                checksum, content_checksum, state, steps_total, steps_done, down, requires, host,
                tool_version, started_at, finished_at, execution_ms)
            VALUES (run, row_owner, 'postgres', row_kind, row_version, row_description, row_script,
                row_checksum, row_content, 'applied', 1, 1, row_down, row_requires, row_host,
                row_tool, began, ended, pg_catalog.date_part('epoch', ended - began) * 1000)
            RETURNING id INTO new_id;
            INSERT INTO aiplat_migrate.event (run_id, event, store, kind, version, ledger_id, host, tool_version)
            VALUES (run, 'applied', 'postgres', row_kind, row_version, new_id, row_host, row_tool);
        END $$;

CREATE FUNCTION aiplat_migrate.close_repair(token text, after text, run text, event_store text, event_host text, event_tool text, event_details jsonb) RETURNS void
    LANGUAGE plpgsql
    AS $$
        DECLARE
            checked boolean := aiplat_migrate.check_seal(token, after);
        BEGIN
            INSERT INTO aiplat_migrate.event (run_id, event, store, host, tool_version, details)
            VALUES (run, 'repaired', event_store, event_host, event_tool, event_details);
        END $$;

CREATE FUNCTION aiplat_migrate.close_step(token text, after text, run text, row_id bigint, step integer) RETURNS void
    LANGUAGE plpgsql
    AS $$
        DECLARE
            checked boolean := aiplat_migrate.check_seal(token, after);
        BEGIN
            UPDATE aiplat_migrate.ledger SET steps_done = step + 1, before = NULL, position = NULL
            WHERE id = row_id AND run_id = run AND state IN ('running', 'undoing')
              AND steps_done = step;
            IF NOT FOUND THEN
                RAISE EXCEPTION USING ERRCODE = 'AM002',
                    MESSAGE = 'the ledger does not say that this step is next';
            END IF;
        END $$;

CREATE FUNCTION aiplat_migrate.close_undone(token text, after text, run text, row_owner jsonb, row_id bigint, row_host text, row_tool text) RETURNS void
    LANGUAGE plpgsql
    AS $$
        DECLARE
            checked boolean := aiplat_migrate.check_seal(token, after);
        BEGIN
            UPDATE aiplat_migrate.ledger
            SET state = 'undone', direction = 'down', run_id = run, owner = row_owner,
                finished_at = pg_catalog.clock_timestamp()
            WHERE id = row_id AND state IN ('applied', 'baseline');
            IF NOT FOUND THEN
                RAISE EXCEPTION USING ERRCODE = 'AM002',
                    MESSAGE = 'the ledger does not say that this migration is applied';
            END IF;
            INSERT INTO aiplat_migrate.event (run_id, event, store, kind, version, ledger_id, host, tool_version)
            SELECT run, 'undone', store, kind, version, id, row_host, row_tool
            FROM aiplat_migrate.ledger WHERE id = row_id;
        END $$;

CREATE FUNCTION aiplat_migrate.open_seal(token text, run text, after_kind text, after_version text, after_state text) RETURNS void
    LANGUAGE plpgsql
    AS $$
        BEGIN
            IF after_version IS NOT NULL AND NOT EXISTS (
                SELECT FROM aiplat_migrate.ledger l
                WHERE l.run_id = run AND l.store = 'postgres' AND l.kind = after_kind
                  AND l.version = after_version AND l.state = after_state)
            THEN
                RAISE EXCEPTION USING ERRCODE = 'AM001',
                    MESSAGE = 'the migration before this one is not ' || after_state;
            END IF;
            PERFORM pg_catalog.set_config('aiplat_migrate.token', token, true);
        END $$;

CREATE FUNCTION aiplat_migrate.refuse(code text, reason text) RETURNS text
    LANGUAGE plpgsql
    AS $$
        BEGIN
            RAISE EXCEPTION USING ERRCODE = code, MESSAGE = reason;
        END $$;

CREATE FUNCTION aiplat_migrate.seal_applied(token text, run text, row_owner jsonb, row_kind text, row_version text, row_description text, row_script text, row_checksum text, row_down jsonb, row_requires jsonb, row_host text, row_tool text, replaces bigint) RETURNS void
    LANGUAGE plpgsql
    AS $$
        DECLARE
            new_id bigint;
            took bigint := pg_catalog.date_part('epoch',
                pg_catalog.clock_timestamp() - pg_catalog.statement_timestamp()) * 1000;
        BEGIN
            PERFORM aiplat_migrate.check_token(token);
            IF replaces IS NOT NULL THEN
                UPDATE aiplat_migrate.ledger SET state = 'undone' WHERE id = replaces AND state = 'applied';
            END IF;
            INSERT INTO aiplat_migrate.ledger (run_id, owner, store, kind, version, description, script,
                checksum, state, steps_total, steps_done, down, requires, host, tool_version,
                started_at, finished_at, execution_ms)
            VALUES (run, row_owner, 'postgres', row_kind, row_version, row_description, row_script,
                row_checksum, 'applied', 1, 1, row_down, row_requires, row_host, row_tool,
                pg_catalog.statement_timestamp(), pg_catalog.clock_timestamp(), took)
            RETURNING id INTO new_id;
            INSERT INTO aiplat_migrate.event (run_id, event, store, kind, version, ledger_id, host, tool_version)
            VALUES (run, 'applied', 'postgres', row_kind, row_version, new_id, row_host, row_tool);
        END $$;

CREATE FUNCTION aiplat_migrate.seal_step(token text, run text, row_id bigint, step integer) RETURNS void
    LANGUAGE plpgsql
    AS $$
        BEGIN
            PERFORM aiplat_migrate.check_token(token);
            UPDATE aiplat_migrate.ledger SET steps_done = step + 1, before = NULL, position = NULL
            WHERE id = row_id AND run_id = run AND state IN ('running', 'undoing')
              AND steps_done = step;
            IF NOT FOUND THEN
                RAISE EXCEPTION USING ERRCODE = 'AM002',
                    MESSAGE = 'the ledger does not say that this step is next';
            END IF;
        END $$;

CREATE FUNCTION aiplat_migrate.seal_undone(token text, run text, row_owner jsonb, row_id bigint, row_host text, row_tool text) RETURNS void
    LANGUAGE plpgsql
    AS $$
        BEGIN
            PERFORM aiplat_migrate.check_token(token);
            UPDATE aiplat_migrate.ledger
            SET state = 'undone', direction = 'down', run_id = run, owner = row_owner,
                finished_at = pg_catalog.clock_timestamp()
            WHERE id = row_id AND state IN ('applied', 'baseline');
            IF NOT FOUND THEN
                RAISE EXCEPTION USING ERRCODE = 'AM002',
                    MESSAGE = 'the ledger does not say that this migration is applied';
            END IF;
            INSERT INTO aiplat_migrate.event (run_id, event, store, kind, version, ledger_id, host, tool_version)
            SELECT run, 'undone', store, kind, version, id, row_host, row_tool
            FROM aiplat_migrate.ledger WHERE id = row_id;
        END $$;

SET default_tablespace = '';

SET default_table_access_method = heap;

CREATE TABLE aiplat_migrate.event (
    id bigint NOT NULL,
    at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    run_id text NOT NULL,
    event text NOT NULL,
    store text,
    kind text,
    version text,
    ledger_id bigint,
    who text DEFAULT SESSION_USER NOT NULL,
    host text NOT NULL,
    tool_version text NOT NULL,
    details jsonb DEFAULT '{}'::jsonb NOT NULL
);

ALTER TABLE aiplat_migrate.event ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME aiplat_migrate.event_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE aiplat_migrate.ledger (
    id bigint NOT NULL,
    run_id text NOT NULL,
    owner jsonb,
    store text NOT NULL,
    kind text NOT NULL,
    version text NOT NULL,
    description text NOT NULL,
    script text NOT NULL,
    checksum text NOT NULL,
    direction text DEFAULT 'up'::text NOT NULL,
    state text NOT NULL,
    steps_total integer DEFAULT 1 NOT NULL,
    steps_done integer DEFAULT 0 NOT NULL,
    step_hashes jsonb DEFAULT '[]'::jsonb NOT NULL,
    "position" jsonb,
    down jsonb DEFAULT '{"from": "none"}'::jsonb NOT NULL,
    before jsonb,
    requires jsonb DEFAULT '[]'::jsonb NOT NULL,
    installed_by text DEFAULT SESSION_USER NOT NULL,
    host text NOT NULL,
    tool_version text NOT NULL,
    started_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    finished_at timestamp with time zone,
    execution_ms bigint,
    error jsonb,
    content_checksum text,
    CONSTRAINT ledger_direction_check CHECK ((direction = ANY (ARRAY['up'::text, 'down'::text]))),
    CONSTRAINT ledger_kind_check CHECK ((kind = ANY (ARRAY['versioned'::text, 'repeatable'::text]))),
    CONSTRAINT ledger_state_check CHECK ((state = ANY (ARRAY['running'::text, 'applied'::text, 'failed'::text, 'undoing'::text, 'undone'::text, 'in doubt'::text, 'baseline'::text])))
);

CREATE VIEW aiplat_migrate.flyway_schema_history AS
 SELECT (row_number() OVER (ORDER BY id))::integer AS installed_rank,
        CASE kind
            WHEN 'versioned'::text THEN version
            ELSE NULL::text
        END AS version,
    description,
        CASE state
            WHEN 'baseline'::text THEN 'BASELINE'::text
            ELSE
            CASE store
                WHEN 'postgres'::text THEN 'SQL'::text
                ELSE upper(store)
            END
        END AS type,
    script,
    NULL::integer AS checksum,
    installed_by,
    (started_at AT TIME ZONE 'UTC'::text) AS installed_on,
    (COALESCE(execution_ms, (0)::bigint))::integer AS execution_time,
    (state = ANY (ARRAY['applied'::text, 'baseline'::text])) AS success
   FROM aiplat_migrate.ledger
  WHERE (state <> 'undone'::text);

CREATE TABLE aiplat_migrate.identity (
    store text NOT NULL,
    identity text NOT NULL,
    first_seen timestamp with time zone DEFAULT clock_timestamp() NOT NULL
);

ALTER TABLE aiplat_migrate.ledger ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME aiplat_migrate.ledger_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE aiplat_migrate.refinery_schema_history (
    version integer NOT NULL,
    name character varying(255),
    applied_on character varying(255),
    checksum character varying(255)
);

CREATE TABLE aiplat_migrate.shape (
    store text NOT NULL,
    recorded jsonb DEFAULT '{}'::jsonb NOT NULL,
    before jsonb,
    run_id text NOT NULL,
    updated_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL
);

CREATE TABLE aiplat_migrate.tag (
    name text NOT NULL,
    rows bigint[] NOT NULL,
    run_id text NOT NULL,
    created_by text DEFAULT SESSION_USER NOT NULL,
    created_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL
);

CREATE TABLE public.a (
    n integer
);

INSERT INTO aiplat_migrate.event OVERRIDING SYSTEM VALUE VALUES (1, '2026-11-27 15:37:58.885947+00', '20261127T153758683-1e61cf', 'applied', 'postgres', 'versioned', '1', 1, 'postgres', 'host', '0.1.0', '{}');

INSERT INTO aiplat_migrate.ledger OVERRIDING SYSTEM VALUE VALUES (1, '20261127T153758683-1e61cf', '{"pid": 30073, "backend_start": "2026-11-27T15:37:58.711317Z"}', 'postgres', 'versioned', '1', 'a', 'migrations/postgres/V1__a.sql', 'sha256:a4761ea34262cc0f4cace3d40017a45aababa033d240fe51dd2ecf692f22929d', 'up', 'applied', 1, 1, '[]', NULL, '{"from": "file", "text": "drop table a;", "script": "migrations/postgres/U1__a.sql", "secret": [], "placeholders": {}}', NULL, '[]', 'postgres', 'host', '0.1.0', '2026-11-27 15:37:58.88288+00', '2026-11-27 15:37:58.884838+00', 2, NULL, 'sha256:f81e403bddcf062c6b7700558b3eac933f2be6dda5a7455e1e280a16067a2bf7');

INSERT INTO aiplat_migrate.refinery_schema_history VALUES (1, 'ledger', '2026-11-27T15:37:58.752792378Z', '13769573150844486424');
INSERT INTO aiplat_migrate.refinery_schema_history VALUES (2, 'contents_and_seals', '2026-11-27T15:37:58.752811483Z', '13472267136184732758');

INSERT INTO aiplat_migrate.shape VALUES ('postgres', '{"table public.a": [], "column public.a.n": {"type": "integer", "not null": false}}', NULL, '20261127T153758683-1e61cf', '2026-11-27 15:37:58.915536+00');

SELECT pg_catalog.setval('aiplat_migrate.event_id_seq', 1, true);

SELECT pg_catalog.setval('aiplat_migrate.ledger_id_seq', 1, true);

ALTER TABLE ONLY aiplat_migrate.event
    ADD CONSTRAINT event_pkey PRIMARY KEY (id);

ALTER TABLE ONLY aiplat_migrate.identity
    ADD CONSTRAINT identity_pkey PRIMARY KEY (store);

ALTER TABLE ONLY aiplat_migrate.ledger
    ADD CONSTRAINT ledger_pkey PRIMARY KEY (id);

ALTER TABLE ONLY aiplat_migrate.refinery_schema_history
    ADD CONSTRAINT refinery_schema_history_pkey PRIMARY KEY (version);

ALTER TABLE ONLY aiplat_migrate.shape
    ADD CONSTRAINT shape_pkey PRIMARY KEY (store);

ALTER TABLE ONLY aiplat_migrate.tag
    ADD CONSTRAINT tag_pkey PRIMARY KEY (name);

CREATE UNIQUE INDEX ledger_living ON aiplat_migrate.ledger USING btree (store, kind, version) WHERE (state = ANY (ARRAY['running'::text, 'applied'::text, 'failed'::text, 'undoing'::text, 'in doubt'::text, 'baseline'::text]));

