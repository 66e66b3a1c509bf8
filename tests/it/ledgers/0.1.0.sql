-- What aiplat-migrate 0.1.0 leaves: a database with its ledger, without the identity of its server.

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

CREATE FUNCTION aiplat_migrate.add_event(row_id bigint, name text, run text, run_host text, tool text, told jsonb) RETURNS bigint
    LANGUAGE plpgsql
    SET search_path TO 'aiplat_migrate', 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
    INSERT INTO event (run_id, event, store, kind, version, ledger_id, host, tool_version, details)
    SELECT run, name, store, kind, version, id, run_host, tool, told FROM ledger WHERE id = row_id;
    RETURN row_id;
END $$;

CREATE FUNCTION aiplat_migrate.begin_migration(claim jsonb, replaced bigint) RETURNS bigint
    LANGUAGE plpgsql
    SET search_path TO 'aiplat_migrate', 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
    IF replaced IS NOT NULL AND NOT supersede(replaced) THEN
        RETURN NULL;
    END IF;
    RETURN write_row(new_row(claim, clock_timestamp()), NULL, NULL);
END $$;

CREATE FUNCTION aiplat_migrate.check_seal(token text, after text) RETURNS void
    LANGUAGE plpgsql
    AS $$
BEGIN
    IF current_setting('aiplat_migrate.token', true) IS DISTINCT FROM token THEN
        RAISE EXCEPTION USING ERRCODE = 'AM003',
            MESSAGE = 'the file ended the transaction that it is applied in';
    END IF;
    IF after IS NOT NULL AND current_setting('aiplat_migrate.sealed', true) IS DISTINCT FROM after THEN
        RAISE EXCEPTION USING ERRCODE = 'AM001',
            MESSAGE = 'the migration before this one is not settled';
    END IF;
END $$;

CREATE FUNCTION aiplat_migrate.close_applied(token text, after text, claim jsonb, replaced bigint, lazy boolean) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'aiplat_migrate', 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
    PERFORM check_seal(token, after);
    IF lazy THEN
        PERFORM set_config('synchronous_commit', 'off', true);
    END IF;
    IF replaced IS NOT NULL AND NOT supersede(replaced) THEN
        PERFORM refuse_row(replaced, NULL, 'applied');
    END IF;
    PERFORM write_row(new_row(claim, statement_timestamp()), clock_timestamp(), claim->>'tool_version');
END $$;

CREATE FUNCTION aiplat_migrate.close_repair(token text, after text, run text, event_store text, run_host text, tool text, told jsonb) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'aiplat_migrate', 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
    PERFORM check_seal(token, after);
    INSERT INTO event (run_id, event, store, host, tool_version, details)
    VALUES (run, 'repaired', event_store, run_host, tool, told);
END $$;

CREATE FUNCTION aiplat_migrate.close_step(token text, after text, row_id bigint, run text, step integer) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'aiplat_migrate', 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
    PERFORM check_seal(token, after);
    UPDATE ledger SET steps_done = step + 1, before = NULL, position = NULL
    WHERE id = row_id AND run_id = run AND state IN ('running', 'undoing') AND steps_done = step;
    IF NOT FOUND THEN
        PERFORM refuse_row(row_id, run, format('running or undoing, with %s steps done', step));
    END IF;
END $$;

CREATE FUNCTION aiplat_migrate.close_undone(token text, after text, row_id bigint, run text, run_owner jsonb, run_host text, tool text) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'aiplat_migrate', 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
    l ledger;
BEGIN
    PERFORM check_seal(token, after);
    SELECT * INTO l FROM ledger WHERE id = row_id AND state IN ('applied', 'baseline') FOR UPDATE;
    IF NOT FOUND THEN
        PERFORM refuse_row(row_id, NULL, 'applied or baseline');
    END IF;
    l.direction := 'down';
    l.run_id := run;
    l.owner := run_owner;
    l.host := run_host;
    PERFORM write_row(l, clock_timestamp(), tool);
END $$;

CREATE FUNCTION aiplat_migrate.declare_objects(shape_store text, declared jsonb, run text) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'aiplat_migrate', 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
    names text[] := ARRAY(SELECT e->>0 FROM jsonb_array_elements(declared) e);
    made jsonb := coalesce((SELECT jsonb_object_agg(e->>0, e->1) FROM jsonb_array_elements(declared) e
                            WHERE e->1 <> 'null'), '{}');
BEGIN
    INSERT INTO shape AS s (store, recorded, run_id) VALUES (shape_store, made, run)
    ON CONFLICT (store) DO UPDATE SET recorded = (s.recorded - names) || made,
        updated_at = clock_timestamp();
END $$;

SET default_tablespace = '';

SET default_table_access_method = heap;

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
    content_checksum text,
    direction text DEFAULT 'up'::text NOT NULL,
    state text NOT NULL,
    steps_total integer DEFAULT 1 NOT NULL,
    steps_done integer DEFAULT 0 NOT NULL,
    step_hashes jsonb DEFAULT '[]'::jsonb NOT NULL,
    "position" jsonb,
    down jsonb DEFAULT '{"from": "none"}'::jsonb NOT NULL,
    before jsonb,
    requires jsonb DEFAULT '[]'::jsonb NOT NULL,
    replaces jsonb DEFAULT '[]'::jsonb NOT NULL,
    directives jsonb DEFAULT '[]'::jsonb NOT NULL,
    origin text,
    installed_by text DEFAULT SESSION_USER NOT NULL,
    host text NOT NULL,
    tool_version text NOT NULL,
    started_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    finished_at timestamp with time zone,
    execution_ms bigint,
    error jsonb,
    CONSTRAINT ledger_direction_check CHECK ((direction = ANY (ARRAY['up'::text, 'down'::text]))),
    CONSTRAINT ledger_kind_check CHECK ((kind = ANY (ARRAY['versioned'::text, 'repeatable'::text]))),
    CONSTRAINT ledger_state_check CHECK ((state = ANY (ARRAY['running'::text, 'held'::text, 'applied'::text, 'failed'::text, 'undoing'::text, 'undone'::text, 'in doubt'::text, 'baseline'::text])))
);

CREATE FUNCTION aiplat_migrate.down_unclaimed(l aiplat_migrate.ledger) RETURNS jsonb
    LANGUAGE plpgsql
    SET search_path TO 'aiplat_migrate', 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
    IF l.before IS NOT NULL AND l.direction = 'up' AND l.down->>'from' = 'steps' THEN
        RETURN jsonb_set(l.down, '{steps}', (l.down->'steps') - (-1));
    END IF;
    RETURN l.down;
END $$;

CREATE FUNCTION aiplat_migrate.new_row(claim jsonb, began timestamp with time zone) RETURNS aiplat_migrate.ledger
    LANGUAGE plpgsql
    AS $$
BEGIN
    RETURN jsonb_populate_record(NULL::ledger, claim || jsonb_build_object('id', nextval('ledger_id_seq'),
        'direction', 'up', 'installed_by', session_user, 'started_at', began));
END $$;

CREATE FUNCTION aiplat_migrate.refuse_row(row_id bigint, run text, wanted text) RETURNS void
    LANGUAGE plpgsql
    AS $$
DECLARE
    l ledger;
    named text;
BEGIN
    SELECT * INTO l FROM ledger WHERE id = row_id;
    named := format('the ledger''s row %s (%s@%s)', row_id, l.store, l.version);
    RAISE EXCEPTION USING ERRCODE = 'AM002', MESSAGE = CASE
        WHEN l.id IS NULL THEN format('the ledger has no row %s any more', row_id)
        WHEN l.run_id <> run THEN format('%s belongs to the run %s on %s', named, l.run_id, l.host)
        ELSE format('%s is %s (%s of %s steps done); expected: %s',
                    named, l.state, l.steps_done, l.steps_total, wanted)
    END;
END $$;

CREATE FUNCTION aiplat_migrate.settle_migration(row_id bigint, run text, tool text) RETURNS bigint
    LANGUAGE plpgsql
    SET search_path TO 'aiplat_migrate', 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
    l ledger;
BEGIN
    SELECT * INTO l FROM ledger WHERE id = row_id AND run_id = run AND steps_done = steps_total
        AND state IN ('running', 'undoing') FOR UPDATE;
    IF FOUND THEN
        RETURN write_row(l, clock_timestamp(), tool);
    END IF;
    RETURN NULL;
END $$;

CREATE FUNCTION aiplat_migrate.settled(token text) RETURNS void
    LANGUAGE plpgsql
    AS $$
DECLARE
    commits pg_catalog.text := pg_catalog.current_setting('synchronous_commit');
BEGIN
    RESET ALL;
    DEALLOCATE ALL;
    EXECUTE 'CLOSE ALL';
    UNLISTEN *;
    DISCARD TEMP;
    DISCARD SEQUENCES;
    PERFORM pg_catalog.set_config('synchronous_commit', commits, true),
            pg_catalog.set_config('aiplat_migrate.sealed', token, false);
END $$;

CREATE FUNCTION aiplat_migrate.supersede(replaced bigint) RETURNS boolean
    LANGUAGE plpgsql
    AS $$
BEGIN
    UPDATE ledger SET state = 'undone' WHERE id = replaced AND state = 'applied';
    RETURN FOUND;
END $$;

CREATE FUNCTION aiplat_migrate.write_row(l aiplat_migrate.ledger, ended timestamp with time zone, tool text) RETURNS bigint
    LANGUAGE plpgsql
    AS $$
BEGIN
    WITH written AS (
        INSERT INTO ledger (id, run_id, owner, store, kind, version, description, script, checksum,
            content_checksum, direction, state, steps_total, steps_done, step_hashes, down, requires,
            replaces, directives, origin, installed_by, host, tool_version, started_at, finished_at,
            execution_ms)
        OVERRIDING SYSTEM VALUE
        VALUES (l.id, l.run_id, l.owner, l.store, l.kind, l.version, l.description, l.script, l.checksum,
            l.content_checksum, l.direction,
            CASE WHEN ended IS NULL THEN 'running' WHEN l.direction = 'up' THEN 'applied' ELSE 'undone' END,
            l.steps_total, l.steps_done, CASE WHEN ended IS NULL THEN l.step_hashes ELSE '[]' END,
            l.down, l.requires, coalesce(l.replaces, '[]'), coalesce(l.directives, '[]'), l.origin,
            l.installed_by, l.host, l.tool_version, l.started_at, ended,
            CASE WHEN l.direction = 'up' THEN date_part('epoch', ended - l.started_at) * 1000
                 ELSE l.execution_ms END)
        ON CONFLICT (id) DO UPDATE SET run_id = excluded.run_id, owner = excluded.owner,
            host = excluded.host, direction = excluded.direction, state = excluded.state,
            step_hashes = excluded.step_hashes, finished_at = excluded.finished_at,
            execution_ms = excluded.execution_ms, error = NULL
        RETURNING *
    )
    INSERT INTO event (run_id, event, store, kind, version, ledger_id, host, tool_version)
    SELECT run_id, state, store, kind, version, id, host, tool FROM written WHERE ended IS NOT NULL;
    RETURN l.id;
END $$;

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

CREATE TABLE public.base (
    n integer
);

CREATE VIEW public.v AS
 SELECT 2 AS one;

INSERT INTO aiplat_migrate.event OVERRIDING SYSTEM VALUE VALUES (1, '2026-11-27 17:03:26.101289+00', '20261127T170326029-504d28', 'applied', 'postgres', 'versioned', '0.5', 1, 'postgres', 'host', '0.1.0', '{}');
INSERT INTO aiplat_migrate.event OVERRIDING SYSTEM VALUE VALUES (2, '2026-11-27 17:03:26.238815+00', '20261127T170326192-602b00', 'applied', 'postgres', 'versioned', '1', 2, 'postgres', 'host', '0.1.0', '{}');
INSERT INTO aiplat_migrate.event OVERRIDING SYSTEM VALUE VALUES (3, '2026-11-27 17:03:26.23977+00', '20261127T170326192-602b00', 'applied', 'postgres', 'repeatable', 'view', 3, 'postgres', 'host', '0.1.0', '{}');
INSERT INTO aiplat_migrate.event OVERRIDING SYSTEM VALUE VALUES (4, '2026-11-27 17:03:26.250856+00', '20261127T170326192-602b00', 'tagged', NULL, NULL, NULL, NULL, 'postgres', 'host', '0.1.0', '{"tag": "first"}');
INSERT INTO aiplat_migrate.event OVERRIDING SYSTEM VALUE VALUES (5, '2026-11-27 17:03:26.319188+00', '20261127T170326262-d4cfeb', 'applied', 'postgres', 'versioned', '2', 4, 'postgres', 'host', '0.1.0', '{}');
INSERT INTO aiplat_migrate.event OVERRIDING SYSTEM VALUE VALUES (6, '2026-11-27 17:03:26.322329+00', '20261127T170326262-d4cfeb', 'applied', 'postgres', 'repeatable', 'view', 5, 'postgres', 'host', '0.1.0', '{}');
INSERT INTO aiplat_migrate.event OVERRIDING SYSTEM VALUE VALUES (7, '2026-11-27 17:03:26.405264+00', '20261127T170326343-adaa1f', 'failed', 'postgres', 'versioned', '3', 6, 'postgres', 'host', '0.1.0', '{"code": "42P07", "step": 2, "label": "create index concurrently a_n on a", "message": "relation \"a_n\" already exists"}');

INSERT INTO aiplat_migrate.ledger OVERRIDING SYSTEM VALUE VALUES (1, '20261127T170326029-504d28', '{"pid": 24637, "backend_start": "2026-11-27T17:03:26.045251Z"}', 'postgres', 'versioned', '0.5', 'base', 'migrations/postgres/V0.5__base.sql', 'sha256:9b9636fb6a088135e8ce5b3784733a3a2441c21ce363ad9fb49c6ebe6da15b44', 'sha256:307b577cf1547a0fe3238bcf70b8bf1e34d52ef1fb03f90fba6dd8bbdf908e04', 'up', 'baseline', 1, 1, '[]', NULL, '{"from": "none"}', NULL, '[]', '[]', '[]', NULL, 'postgres', 'host', '0.1.0', '2026-11-27 17:03:26.097228+00', '2026-11-27 17:03:26.099653+00', 2, NULL);
INSERT INTO aiplat_migrate.ledger OVERRIDING SYSTEM VALUE VALUES (2, '20261127T170326192-602b00', '{"pid": 24644, "backend_start": "2026-11-27T17:03:26.207209Z"}', 'postgres', 'versioned', '1', 'a', 'migrations/postgres/V1__a.sql', 'sha256:45151ac7279c28053dd8590d40d2bda044e83bb973b737a286a4edd4027656ce', 'sha256:f81e403bddcf062c6b7700558b3eac933f2be6dda5a7455e1e280a16067a2bf7', 'up', 'applied', 1, 1, '[]', NULL, '{"from": "file", "text": "drop table a;", "script": "migrations/postgres/U1__a.sql", "secret": [], "placeholders": {}}', NULL, '[]', '[]', '[]', NULL, 'postgres', 'host', '0.1.0', '2026-11-27 17:03:26.236196+00', '2026-11-27 17:03:26.237871+00', 2, NULL);
INSERT INTO aiplat_migrate.ledger OVERRIDING SYSTEM VALUE VALUES (6, '20261127T170326343-adaa1f', '{"pid": 24654, "backend_start": "2026-11-27T17:03:26.358259Z"}', 'postgres', 'versioned', '3', 'half', 'migrations/postgres/V3__half.sql', 'sha256:72736a170fbc58e4f5c8d1fc3612bc0bf2df89357229e7f3990c6ab5544aa086', 'sha256:45b8e6200cab71da4526c67065baab00f6c2fcb6d7ace0b7f0f4513446f5cbd5', 'up', 'failed', 2, 1, '["sha256:85d34363228ba1c86db82b05ece45bd443c9a3f6305537a795e5b3c2312f6d58", "sha256:5919ec56c546bd9e3f1a74b48cf9cbeb1e8473cb2e671f0d29e5babf4ddfb235"]', NULL, '{"from": "none"}', '{"value": "{\"index\":true}", "standing": "open"}', '[]', '[]', '[]', NULL, 'postgres', 'host', '0.1.0', '2026-11-27 17:03:26.389592+00', NULL, NULL, '{"code": "42P07", "step": 2, "label": "create index concurrently a_n on a", "message": "relation \"a_n\" already exists"}');
INSERT INTO aiplat_migrate.ledger OVERRIDING SYSTEM VALUE VALUES (7, 'r', NULL, 'mongo', 'versioned', '1', 'held', 'migrations/mongo/V1__held.json5', 'sha256:00', NULL, 'up', 'held', 1, 0, '[]', NULL, '{"from": "none"}', NULL, '[]', '[]', '[]', NULL, 'postgres', 'host', '0.1.0', '2026-11-27 17:03:26.464432+00', NULL, NULL, NULL);
INSERT INTO aiplat_migrate.ledger OVERRIDING SYSTEM VALUE VALUES (4, '20261127T170326262-d4cfeb', '{"pid": 24649, "backend_start": "2026-11-27T17:03:26.277395Z"}', 'postgres', 'versioned', '2', 'i', 'migrations/postgres/V2__i.sql', 'sha256:5d5e36a6b0f7fe9054f194bef621b6172702543b26b678037b67c3b3d90f85d2', 'sha256:fa3a8a2e27d6db2073e061ea8c72ff01b16606a235fbfef7727db8c412218158', 'up', 'applied', 1, 1, '[]', NULL, '{"from": "file", "text": "drop index a_n;", "script": "migrations/postgres/U2__i.sql", "secret": [], "placeholders": {}}', NULL, '[]', '[]', '[]', NULL, 'postgres', 'host', '0.1.0', '2026-11-27 17:03:26.307979+00', '2026-11-27 17:03:26.318912+00', 11, NULL);
INSERT INTO aiplat_migrate.ledger OVERRIDING SYSTEM VALUE VALUES (3, '20261127T170326192-602b00', '{"pid": 24644, "backend_start": "2026-11-27T17:03:26.207209Z"}', 'postgres', 'repeatable', 'view', 'view', 'migrations/postgres/R__view.sql', 'sha256:75630d01c23808b079e6f8a1e74e76782491a538f03f8dfab1b0ecaff258f733', 'sha256:235d948cb2c75b9fd2c8cb25406ab73ceadac0db933625c1c27c8c8c146cb682', 'up', 'undone', 1, 1, '[]', NULL, '{"from": "none"}', NULL, '[]', '[]', '[]', NULL, 'postgres', 'host', '0.1.0', '2026-11-27 17:03:26.239111+00', '2026-11-27 17:03:26.239546+00', 0, NULL);
INSERT INTO aiplat_migrate.ledger OVERRIDING SYSTEM VALUE VALUES (5, '20261127T170326262-d4cfeb', '{"pid": 24649, "backend_start": "2026-11-27T17:03:26.277395Z"}', 'postgres', 'repeatable', 'view', 'view', 'migrations/postgres/R__view.sql', 'sha256:72ec05a179dba57f3b97db6ab65f1d6b72fd2de98fa37167e5686ba3500f8056', 'sha256:d5de02aeb43cc41b4c72c829c8e6cb5adc035ab54c12d7b24b126f6d52fbda21', 'up', 'applied', 1, 1, '[]', NULL, '{"from": "none"}', NULL, '[]', '[]', '[]', NULL, 'postgres', 'host', '0.1.0', '2026-11-27 17:03:26.320228+00', '2026-11-27 17:03:26.321567+00', 1, NULL);

INSERT INTO aiplat_migrate.refinery_schema_history VALUES (1, 'ledger', '2026-11-27T17:03:26.059245012Z', '14605801703605031484');

INSERT INTO aiplat_migrate.shape VALUES ('postgres', '{"view public.v": {"definition": " SELECT 2 AS one;"}, "table public.a": [], "index public.a_m": {"table": "public.a", "valid": true, "definition": "CREATE INDEX a_m ON public.a USING btree (n)"}, "index public.a_n": {"table": "public.a", "valid": true, "definition": "CREATE INDEX a_n ON public.a USING btree (n)"}, "column public.a.n": {"type": "integer", "not null": false}, "table public.base": [], "column public.base.n": {"type": "integer", "not null": false}}', NULL, '20261127T170326343-adaa1f', '2026-11-27 17:03:26.417395+00');

INSERT INTO aiplat_migrate.tag VALUES ('first', '{1,2,3}', '20261127T170326192-602b00', 'postgres', '2026-11-27 17:03:26.250649+00');

SELECT pg_catalog.setval('aiplat_migrate.event_id_seq', 7, true);

SELECT pg_catalog.setval('aiplat_migrate.ledger_id_seq', 7, true);

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

CREATE UNIQUE INDEX ledger_living ON aiplat_migrate.ledger USING btree (store, kind, version) WHERE (state = ANY (ARRAY['running'::text, 'held'::text, 'applied'::text, 'failed'::text, 'undoing'::text, 'in doubt'::text, 'baseline'::text]));

CREATE INDEX a_m ON public.a USING btree (n);

CREATE INDEX a_n ON public.a USING btree (n);

