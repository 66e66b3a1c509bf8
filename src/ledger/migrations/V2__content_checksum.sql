-- What a file does, apart from how it is written: its checksum without comments and white space.

ALTER TABLE ledger ADD COLUMN content_checksum text;

-- A run of an older tool seals by the function that it knows, which knows no such checksum.
DO $outer$
BEGIN
    EXECUTE format($create$
        CREATE FUNCTION %1$I.seal_applied(token text, run text, row_owner jsonb, row_kind text,
            row_version text, row_description text, row_script text, row_checksum text,
            row_down jsonb, row_requires jsonb, row_host text, row_tool text, replaces bigint,
            row_content text)
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
                checksum, content_checksum, state, steps_total, steps_done, down, requires, host,
                tool_version, started_at, finished_at, execution_ms)
            VALUES (run, row_owner, 'postgres', row_kind, row_version, row_description, row_script,
                row_checksum, row_content, 'applied', 1, 1, row_down, row_requires, row_host,
                row_tool, pg_catalog.statement_timestamp(), pg_catalog.clock_timestamp(), took)
            RETURNING id INTO new_id;
            INSERT INTO %1$I.event (run_id, event, store, kind, version, ledger_id, host, tool_version)
            VALUES (run, 'applied', 'postgres', row_kind, row_version, new_id, row_host, row_tool);
        END $body$ $create$, current_schema());

    EXECUTE format($create$
        CREATE OR REPLACE FUNCTION %1$I.seal_applied(token text, run text, row_owner jsonb,
            row_kind text, row_version text, row_description text, row_script text,
            row_checksum text, row_down jsonb, row_requires jsonb, row_host text, row_tool text,
            replaces bigint)
        RETURNS void LANGUAGE plpgsql AS $body$
        BEGIN
            PERFORM %1$I.seal_applied(token, run, row_owner, row_kind, row_version,
                row_description, row_script, row_checksum, row_down, row_requires, row_host,
                row_tool, replaces, NULL::text);
        END $body$ $create$, current_schema());
END $outer$;
