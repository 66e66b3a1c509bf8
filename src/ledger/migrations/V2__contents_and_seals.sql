-- What a file does, apart from how it is written: its checksum without comments and white space.
ALTER TABLE ledger ADD COLUMN content_checksum text;

-- Seals in one call: what `open_seal` asked of the tables, the session's own settings tell as well. A
-- run of an older tool goes on with the functions that it knows. They run in the user's session, where
-- an operator of the user's may come first: hence their own search path.
DO $outer$
BEGIN
    -- Whether it is still the transaction that was begun, and whether the one before it in this
    -- session, if one was sent before it, is settled: its COMMIT may have failed.
    EXECUTE format($create$
        CREATE FUNCTION %1$I.check_seal(token text, after text) RETURNS boolean LANGUAGE plpgsql
        SET search_path = pg_catalog AS $body$
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
        END $body$ $create$, current_schema());

    -- Closes a sealed migration: its row and its event, in the migration's own transaction. A `lazy`
    -- one need not be on disk when it is answered, since a later commit of the same run will wait.
    EXECUTE format($create$
        CREATE FUNCTION %1$I.close_applied(token text, after text, run text, row_owner jsonb,
            row_kind text, row_version text, row_description text, row_script text,
            row_checksum text, row_down jsonb, row_requires jsonb, row_host text, row_tool text,
            replaces bigint, lazy boolean, row_content text)
        RETURNS void LANGUAGE plpgsql
        SET search_path = pg_catalog AS $body$
        DECLARE
            checked boolean := %1$I.check_seal(token, after);
            began timestamptz := pg_catalog.statement_timestamp();
            ended timestamptz := pg_catalog.clock_timestamp();
            new_id bigint;
            commits text;
        BEGIN
            IF lazy THEN
                commits := pg_catalog.set_config('synchronous_commit', 'off', true);
            END IF;
            IF replaces IS NOT NULL THEN
                UPDATE %1$I.ledger SET state = 'undone' WHERE id = replaces AND state = 'applied';
            END IF;
            INSERT INTO %1$I.ledger (run_id, owner, store, kind, version, description, script,
                checksum, content_checksum, state, steps_total, steps_done, down, requires, host,
                tool_version, started_at, finished_at, execution_ms)
            VALUES (run, row_owner, 'postgres', row_kind, row_version, row_description, row_script,
                row_checksum, row_content, 'applied', 1, 1, row_down, row_requires, row_host,
                row_tool, began, ended, pg_catalog.date_part('epoch', ended - began) * 1000)
            RETURNING id INTO new_id;
            INSERT INTO %1$I.event (run_id, event, store, kind, version, ledger_id, host, tool_version)
            VALUES (run, 'applied', 'postgres', row_kind, row_version, new_id, row_host, row_tool);
        END $body$ $create$, current_schema());

    -- Closes the undoing of a sealed migration.
    EXECUTE format($create$
        CREATE FUNCTION %1$I.close_undone(token text, after text, run text, row_owner jsonb,
            row_id bigint, row_host text, row_tool text)
        RETURNS void LANGUAGE plpgsql
        SET search_path = pg_catalog AS $body$
        DECLARE
            checked boolean := %1$I.check_seal(token, after);
        BEGIN
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
        CREATE FUNCTION %1$I.close_step(token text, after text, run text, row_id bigint, step integer)
        RETURNS void LANGUAGE plpgsql
        SET search_path = pg_catalog AS $body$
        DECLARE
            checked boolean := %1$I.check_seal(token, after);
        BEGIN
            UPDATE %1$I.ledger SET steps_done = step + 1, before = NULL, position = NULL
            WHERE id = row_id AND run_id = run AND state IN ('running', 'undoing')
              AND steps_done = step;
            IF NOT FOUND THEN
                RAISE EXCEPTION USING ERRCODE = 'AM002',
                    MESSAGE = 'the ledger does not say that this step is next';
            END IF;
        END $body$ $create$, current_schema());

    -- Closes a repair: its event, in the repair's own transaction.
    EXECUTE format($create$
        CREATE FUNCTION %1$I.close_repair(token text, after text, run text, event_store text,
            event_host text, event_tool text, event_details jsonb)
        RETURNS void LANGUAGE plpgsql
        SET search_path = pg_catalog AS $body$
        DECLARE
            checked boolean := %1$I.check_seal(token, after);
        BEGIN
            INSERT INTO %1$I.event (run_id, event, store, host, tool_version, details)
            VALUES (run, 'repaired', event_store, event_host, event_tool, event_details);
        END $body$ $create$, current_schema());

    -- Ends a file: nothing that it left in the session outlives its transaction, whoever left it there
    -- (a function may set what no reader of the file sees). The session knows by the token that the
    -- file is settled, unless its COMMIT fails. Whether that one waits for the disk is as it was.
    EXECUTE format($create$
        CREATE FUNCTION %1$I.settled(token text) RETURNS void LANGUAGE plpgsql AS $body$
        DECLARE
            commits text := pg_catalog.current_setting('synchronous_commit');
        BEGIN
            RESET ALL;
            DEALLOCATE ALL;
            EXECUTE 'CLOSE ALL';
            UNLISTEN *;
            DISCARD TEMP;
            DISCARD SEQUENCES;
            PERFORM pg_catalog.set_config('synchronous_commit', commits, true),
                    pg_catalog.set_config('aiplat_migrate.sealed', token, false);
        END $body$ $create$, current_schema());
END $outer$;
