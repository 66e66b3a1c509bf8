-- The ledger's tables, in the schema that is current (the ledger's own).

CREATE TABLE ledger (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    run_id       text        NOT NULL,
    owner        jsonb,
    store        text        NOT NULL,
    kind         text        NOT NULL CHECK (kind IN ('versioned', 'repeatable')),
    version      text        NOT NULL,
    description  text        NOT NULL,
    script       text        NOT NULL,
    checksum     text        NOT NULL,
    direction    text        NOT NULL DEFAULT 'up' CHECK (direction IN ('up', 'down')),
    state        text        NOT NULL CHECK (state IN
                 ('running', 'applied', 'failed', 'undoing', 'undone', 'in doubt', 'baseline')),
    steps_total  integer     NOT NULL DEFAULT 1,
    steps_done   integer     NOT NULL DEFAULT 0,
    step_hashes  jsonb       NOT NULL DEFAULT '[]',
    position     jsonb,
    down         jsonb       NOT NULL DEFAULT '{"from": "none"}',
    before       jsonb,
    requires     jsonb       NOT NULL DEFAULT '[]',
    installed_by text        NOT NULL DEFAULT session_user,
    host         text        NOT NULL,
    tool_version text        NOT NULL,
    started_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    finished_at  timestamptz,
    execution_ms bigint,
    error        jsonb
);

-- One living row per migration: what makes applying one twice impossible, whoever tries.
CREATE UNIQUE INDEX ledger_living ON ledger (store, kind, version)
    WHERE state IN ('running', 'applied', 'failed', 'undoing', 'in doubt', 'baseline');

CREATE TABLE event (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at           timestamptz NOT NULL DEFAULT clock_timestamp(),
    run_id       text        NOT NULL,
    event        text        NOT NULL,
    store        text,
    kind         text,
    version      text,
    ledger_id    bigint,
    who          text        NOT NULL DEFAULT session_user,
    host         text        NOT NULL,
    tool_version text        NOT NULL,
    details      jsonb       NOT NULL DEFAULT '{}'
);

CREATE TABLE shape (
    store      text        PRIMARY KEY,
    recorded   jsonb       NOT NULL DEFAULT '{}',
    before     jsonb,
    run_id     text        NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

CREATE TABLE tag (
    name       text        PRIMARY KEY,
    rows       bigint[]    NOT NULL,
    run_id     text        NOT NULL,
    created_by text        NOT NULL DEFAULT session_user,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

CREATE TABLE identity (
    store      text        PRIMARY KEY,
    identity   text        NOT NULL,
    first_seen timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- Flyway's columns, for tools that read its history table.
CREATE VIEW flyway_schema_history AS
SELECT row_number() OVER (ORDER BY id)::integer              AS installed_rank,
       CASE kind WHEN 'versioned' THEN version END           AS version,
       description,
       CASE state WHEN 'baseline' THEN 'BASELINE'
                  ELSE CASE store WHEN 'postgres' THEN 'SQL' ELSE upper(store) END END AS type,
       script,
       NULL::integer                                         AS checksum,
       installed_by,
       (started_at AT TIME ZONE 'UTC')                       AS installed_on,
       coalesce(execution_ms, 0)::integer                    AS execution_time,
       state IN ('applied', 'baseline')                      AS success
FROM ledger
WHERE state <> 'undone';

-- The functions name their tables with the schema, since a migration may have changed the search
-- path of the session that calls them.
DO $outer$
BEGIN
    -- Raises an error of the ledger's own class.
    EXECUTE format($create$
        CREATE FUNCTION %1$I.refuse(code text, reason text) RETURNS text LANGUAGE plpgsql AS $body$
        BEGIN
            RAISE EXCEPTION USING ERRCODE = code, MESSAGE = reason;
        END $body$ $create$, current_schema());

    -- Opens the transaction of a sealed migration: its predecessor in this run must have ended in
    -- the state that lets it go on; the token proves at the end that it is still the same transaction.
    EXECUTE format($create$
        CREATE FUNCTION %1$I.open_seal(token text, run text, after_kind text, after_version text,
                                       after_state text)
        RETURNS void LANGUAGE plpgsql AS $body$
        BEGIN
            IF after_version IS NOT NULL AND NOT EXISTS (
                SELECT FROM %1$I.ledger l
                WHERE l.run_id = run AND l.store = 'postgres' AND l.kind = after_kind
                  AND l.version = after_version AND l.state = after_state)
            THEN
                RAISE EXCEPTION USING ERRCODE = 'AM001',
                    MESSAGE = 'the migration before this one is not ' || after_state;
            END IF;
            PERFORM pg_catalog.set_config('aiplat_migrate.token', token, true);
        END $body$ $create$, current_schema());

    EXECUTE format($create$
        CREATE FUNCTION %1$I.check_token(token text) RETURNS void LANGUAGE plpgsql AS $body$
        BEGIN
            IF pg_catalog.current_setting('aiplat_migrate.token', true) IS DISTINCT FROM token THEN
                RAISE EXCEPTION USING ERRCODE = 'AM003',
                    MESSAGE = 'the file ended the transaction that it is applied in';
            END IF;
        END $body$ $create$, current_schema());

    -- Closes a sealed migration: its row and its event, in the migration's own transaction.
    EXECUTE format($create$
        CREATE FUNCTION %1$I.seal_applied(token text, run text, row_owner jsonb, row_kind text,
            row_version text, row_description text, row_script text, row_checksum text,
            row_down jsonb, row_requires jsonb, row_host text, row_tool text, replaces bigint)
        RETURNS void LANGUAGE plpgsql AS $body$
        DECLARE
            new_id bigint;
            took bigint := pg_catalog.date_part('epoch',
                pg_catalog.clock_timestamp() - pg_catalog.statement_timestamp()) * 1000;
        BEGIN
            PERFORM %1$I.check_token(token);
            IF replaces IS NOT NULL THEN
                UPDATE %1$I.ledger SET state = 'undone' WHERE id = replaces AND state = 'applied';
            END IF;
            INSERT INTO %1$I.ledger (run_id, owner, store, kind, version, description, script,
                checksum, state, steps_total, steps_done, down, requires, host, tool_version,
                started_at, finished_at, execution_ms)
            VALUES (run, row_owner, 'postgres', row_kind, row_version, row_description, row_script,
                row_checksum, 'applied', 1, 1, row_down, row_requires, row_host, row_tool,
                pg_catalog.statement_timestamp(), pg_catalog.clock_timestamp(), took)
            RETURNING id INTO new_id;
            INSERT INTO %1$I.event (run_id, event, store, kind, version, ledger_id, host, tool_version)
            VALUES (run, 'applied', 'postgres', row_kind, row_version, new_id, row_host, row_tool);
        END $body$ $create$, current_schema());

    -- Closes the undoing of a sealed migration.
    EXECUTE format($create$
        CREATE FUNCTION %1$I.seal_undone(token text, run text, row_owner jsonb, row_id bigint,
                                         row_host text, row_tool text)
        RETURNS void LANGUAGE plpgsql AS $body$
        BEGIN
            PERFORM %1$I.check_token(token);
            UPDATE %1$I.ledger
            SET state = 'undone', direction = 'down', run_id = run, owner = row_owner,
                finished_at = pg_catalog.clock_timestamp()
            WHERE id = row_id AND state IN ('applied', 'baseline');
            IF NOT FOUND THEN
                RAISE EXCEPTION USING ERRCODE = 'AM002',
                    MESSAGE = 'the ledger does not say that this migration is applied';
            END IF;
            INSERT INTO %1$I.event (run_id, event, store, kind, version, ledger_id, host, tool_version)
            SELECT run, 'undone', store, kind, version, id, row_host, row_tool
            FROM %1$I.ledger WHERE id = row_id;
        END $body$ $create$, current_schema());

    -- Closes one step of a journalled migration in the step's own transaction.
    EXECUTE format($create$
        CREATE FUNCTION %1$I.seal_step(token text, run text, row_id bigint, step integer)
        RETURNS void LANGUAGE plpgsql AS $body$
        BEGIN
            PERFORM %1$I.check_token(token);
            UPDATE %1$I.ledger SET steps_done = step + 1, before = NULL, position = NULL
            WHERE id = row_id AND run_id = run AND state IN ('running', 'undoing')
              AND steps_done = step;
            IF NOT FOUND THEN
                RAISE EXCEPTION USING ERRCODE = 'AM002',
                    MESSAGE = 'the ledger does not say that this step is next';
            END IF;
        END $body$ $create$, current_schema());
END $outer$;
