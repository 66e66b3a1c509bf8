-- The ledger's tables and functions. The search path is the ledger's own schema, pg_catalog, pg_temp.

CREATE TABLE ledger (
    id               bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    run_id           text        NOT NULL,
    owner            jsonb,
    store            text        NOT NULL,
    kind             text        NOT NULL CHECK (kind IN ('versioned', 'repeatable')),
    version          text        NOT NULL,
    description      text        NOT NULL,
    script           text        NOT NULL,
    checksum         text        NOT NULL,
    content_checksum text,
    direction        text        NOT NULL DEFAULT 'up' CHECK (direction IN ('up', 'down')),
    state            text        NOT NULL CHECK (state IN
                     ('running', 'held', 'applied', 'failed', 'undoing', 'undone', 'in doubt', 'baseline')),
    steps_total      integer     NOT NULL DEFAULT 1,
    steps_done       integer     NOT NULL DEFAULT 0,
    step_hashes      jsonb       NOT NULL DEFAULT '[]',
    position         jsonb,
    down             jsonb       NOT NULL DEFAULT '{"from": "none"}',
    before           jsonb,
    requires         jsonb       NOT NULL DEFAULT '[]',
    replaces         jsonb       NOT NULL DEFAULT '[]',
    directives       jsonb       NOT NULL DEFAULT '[]',
    origin           text,
    installed_by     text        NOT NULL DEFAULT session_user,
    host             text        NOT NULL,
    tool_version     text        NOT NULL,
    started_at       timestamptz NOT NULL DEFAULT clock_timestamp(),
    finished_at      timestamptz,
    execution_ms     bigint,
    error            jsonb
);

-- One living row per migration: what makes applying one twice impossible, whoever tries.
CREATE UNIQUE INDEX ledger_living ON ledger (store, kind, version)
    WHERE state IN ('running', 'held', 'applied', 'failed', 'undoing', 'in doubt', 'baseline');

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

-- The tool calls some of the functions below from a migration's own transaction, under whatever search
-- path its file has set: each that it calls keeps the path that it was created under (FROM CURRENT), for
-- itself and for the functions that it calls, except `settled`. The others come first; they have no path
-- of their own, since setting one costs a call about 20 µs in PostgreSQL 16. A later version never adds a
-- second function of the same name: an older binary's call would become ambiguous.

-- Writes a row when its migration begins (`ended` is null) and when its steps, or its inverse steps, are
-- all done, then with its event: nothing else does. Columns that a later version adds keep what they
-- have. One statement: to insert a sealed migration's row and then to end it by a second one took
-- 60 µs more of each.
CREATE FUNCTION write_row(l ledger, ended timestamptz, tool text) RETURNS bigint LANGUAGE plpgsql AS $$
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

-- A new row, its columns from `claim`.
CREATE FUNCTION new_row(claim jsonb, began timestamptz) RETURNS ledger LANGUAGE plpgsql AS $$
BEGIN
    RETURN jsonb_populate_record(NULL::ledger, claim || jsonb_build_object('id', nextval('ledger_id_seq'),
        'direction', 'up', 'installed_by', session_user, 'started_at', began));
END $$;

-- Makes the row that a new one replaces history; whether it was applied, as it must be.
CREATE FUNCTION supersede(replaced bigint) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    UPDATE ledger SET state = 'undone' WHERE id = replaced AND state = 'applied';
    RETURN FOUND;
END $$;

-- Raises unless it is still the transaction that was begun, and the one sent before it in this session,
-- if there was one, is settled: its COMMIT may have failed.
CREATE FUNCTION check_seal(token text, after text) RETURNS void LANGUAGE plpgsql AS $$
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

-- Raises what is wrong with a row that was to be `wanted`, and `run`'s where that is not null.
CREATE FUNCTION refuse_row(row_id bigint, run text, wanted text) RETURNS void LANGUAGE plpgsql AS $$
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

-- Begins a journalled migration. NULL, and nothing is done, where `replaced` is not applied.
CREATE FUNCTION begin_migration(claim jsonb, replaced bigint) RETURNS bigint
LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    IF replaced IS NOT NULL AND NOT supersede(replaced) THEN
        RETURN NULL;
    END IF;
    RETURN write_row(new_row(claim, clock_timestamp()), NULL, NULL);
END $$;

-- Settles a journalled migration. NULL, and nothing is done, where the row is not the run's, or not that far.
CREATE FUNCTION settle_migration(row_id bigint, run text, tool text) RETURNS bigint
LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
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

-- Closes a sealed migration in its own transaction. A `lazy` one need not be on disk when it is
-- answered, since a later commit of the same run will wait.
CREATE FUNCTION close_applied(token text, after text, claim jsonb, replaced bigint, lazy boolean)
RETURNS void LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
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

-- Closes the undoing of a sealed migration in its own transaction.
CREATE FUNCTION close_undone(token text, after text, row_id bigint, run text, run_owner jsonb,
                             run_host text, tool text)
RETURNS void LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
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

-- Closes one step of a journalled migration in the step's own transaction.
CREATE FUNCTION close_step(token text, after text, row_id bigint, run text, step integer)
RETURNS void LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    PERFORM check_seal(token, after);
    UPDATE ledger SET steps_done = step + 1, before = NULL, position = NULL
    WHERE id = row_id AND run_id = run AND state IN ('running', 'undoing') AND steps_done = step;
    IF NOT FOUND THEN
        PERFORM refuse_row(row_id, run, format('running or undoing, with %s steps done', step));
    END IF;
END $$;

-- Closes a repair in its own transaction, with its event.
CREATE FUNCTION close_repair(token text, after text, run text, event_store text, run_host text,
                             tool text, told jsonb)
RETURNS void LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    PERFORM check_seal(token, after);
    INSERT INTO event (run_id, event, store, host, tool_version, details)
    VALUES (run, 'repaired', event_store, run_host, tool, told);
END $$;

-- Appends an event about the row `row_id`, and gives that number back.
CREATE FUNCTION add_event(row_id bigint, name text, run text, run_host text, tool text, told jsonb)
RETURNS bigint LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    INSERT INTO event (run_id, event, store, kind, version, ledger_id, host, tool_version, details)
    SELECT run, name, store, kind, version, id, run_host, tool, told FROM ledger WHERE id = row_id;
    RETURN row_id;
END $$;

-- Records what a step declares: pairs of an object and its attributes, null for one that is gone.
CREATE FUNCTION declare_objects(shape_store text, declared jsonb, run text)
RETURNS void LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
    names text[] := ARRAY(SELECT e->>0 FROM jsonb_array_elements(declared) e);
    made jsonb := coalesce((SELECT jsonb_object_agg(e->>0, e->1) FROM jsonb_array_elements(declared) e
                            WHERE e->1 <> 'null'), '{}');
BEGIN
    INSERT INTO shape AS s (store, recorded, run_id) VALUES (shape_store, made, run)
    ON CONFLICT (store) DO UPDATE SET recorded = (s.recorded - names) || made,
        updated_at = clock_timestamp();
END $$;

-- What undoes a migration without the inverse of the step that is claimed now, if one is.
CREATE FUNCTION down_unclaimed(l ledger) RETURNS jsonb
LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    IF l.before IS NOT NULL AND l.direction = 'up' AND l.down->>'from' = 'steps' THEN
        RETURN jsonb_set(l.down, '{steps}', (l.down->'steps') - (-1));
    END IF;
    RETURN l.down;
END $$;

-- Ends a file: clears everything that it left in the session, including what a function set unseen. Sets
-- `aiplat_migrate.sealed` to the token, which takes effect only if COMMIT succeeds. Keeps
-- `synchronous_commit` as it was. It has no search path of its own, which would be put back after RESET
-- ALL; so every name in it is qualified.
CREATE FUNCTION settled(token text) RETURNS void LANGUAGE plpgsql AS $$
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
