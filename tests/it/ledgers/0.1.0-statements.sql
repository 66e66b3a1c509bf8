-- What aiplat-migrate 0.1.0 sends to its ledger: each statement of src/ledger/sql as it was, and values
-- to run it with, in an order in which each has something to do. Later versions change their own
-- statements as they like; these must go on working on the ledger that they make, since an older binary
-- may be at work there. tests/it/ledger.rs holds them to it. What ends a file forgets prepared statements, its own
-- too, and is therefore sent as it is.
--
-- To add a version, when its number in Cargo.toml changes:
--   1. Leave the files of the older ones as they are.
--   2. <version>.sql: run its tests' project (the_ledger_of_each_version_is_taken_up) with it, and dump
--      the database: pg_dump --inserts --no-owner --no-privileges.
--   3. <version>-statements.sql: copy this file, and bring it up to date until
--      the_recording_of_the_present_version_is_what_it_sends passes.
--   4. A change of the tables is a new file in src/ledger/migrations, and adds only.

-- statement: begin
PREPARE s_begin AS
SELECT aiplat_migrate.begin_migration($1::jsonb, $2::bigint) WHERE true;
EXECUTE s_begin('{"run_id": "run-b", "owner": {"pid": 1}, "store": "redis", "kind": "versioned", "version": "1", "description": "d", "script": "s", "checksum": "sha256:00", "content_checksum": "sha256:01", "steps_total": 2, "steps_done": 0, "step_hashes": ["x", "y"], "down": {"from": "steps", "steps": []}, "requires": [], "host": "h", "tool_version": "0.1.0"}', NULL);

-- statement: claim_step
PREPARE s_claim_step AS
UPDATE ONLY aiplat_migrate.ledger
SET before = $4, position = NULL,
    down = CASE WHEN $5::jsonb IS NULL THEN down
           ELSE jsonb_build_object('from', 'steps', 'steps', coalesce(down->'steps', '[]') || $5) END
WHERE id = $1 AND run_id = $2 AND steps_done = $3 AND before IS NULL
  AND state IN ('running', 'undoing') AND true
RETURNING id;
EXECUTE s_claim_step(2, 'run-b', 0, '{"standing": "open", "value": "null"}', '[[]]');

-- statement: position
PREPARE s_position AS
UPDATE ONLY aiplat_migrate.ledger SET position = $3
WHERE id = $1 AND run_id = $2 AND state IN ('running', 'undoing') AND true
RETURNING id;
EXECUTE s_position(2, 'run-b', '{"cursor": 7}');

-- statement: settle_step
PREPARE s_settle_step AS
WITH settled AS (
    UPDATE ONLY aiplat_migrate.ledger SET steps_done = $3 + 1, before = NULL, position = $6
    WHERE id = $1 AND run_id = $2 AND steps_done = $3 AND state IN ('running', 'undoing')
    RETURNING id
)
SELECT id, CASE WHEN $5::jsonb <> '[]' THEN aiplat_migrate.declare_objects($4, $5, $2) END FROM settled;
EXECUTE s_settle_step(2, 'run-b', 0, 'redis', '[["key a", {"x": 1}], ["key b", null]]', NULL);

-- statement: close_step
PREPARE s_close_step AS
SELECT aiplat_migrate.close_step($1, $2, $3, $4, $5);
BEGIN;
SET LOCAL aiplat_migrate.token = 't1';
/* EXECUTE */ SELECT aiplat_migrate.close_step('t1', NULL, 2, 'run-b', 1);
COMMIT;

-- statement: keep_session
PREPARE s_keep_session AS
UPDATE ONLY aiplat_migrate.ledger
SET position = pg_catalog.jsonb_build_object('session',
    pg_catalog.current_setting($2, true)::pg_catalog.jsonb)
WHERE id OPERATOR(pg_catalog.=) $1
  AND pg_catalog.current_setting($2, true) OPERATOR(pg_catalog.<>) '';
SET aiplat_migrate.session = '{"the role": "low"}';
EXECUTE s_keep_session(2, 'aiplat_migrate.session');
RESET aiplat_migrate.session;

-- statement: settle
PREPARE s_settle AS
SELECT aiplat_migrate.settle_migration($1, $2, $3);
EXECUTE s_settle(2, 'run-b', '0.1.0');

-- statement: begin_undo
PREPARE s_begin_undo AS
UPDATE ONLY aiplat_migrate.ledger
SET run_id = $2, owner = $3, host = $4, direction = 'down', state = 'undoing',
    steps_total = $5, step_hashes = $6,
    steps_done = CASE state WHEN 'undoing' THEN steps_done ELSE 0 END,
    before = CASE state WHEN 'undoing' THEN before END,
    position = CASE state WHEN 'undoing' THEN $7::jsonb END
WHERE id = $1 AND state IN ('applied', 'undoing', 'failed', 'running') AND true
RETURNING id;
EXECUTE s_begin('{"run_id": "run-b", "owner": {"pid": 1}, "store": "redis", "kind": "versioned", "version": "2", "description": "d", "script": "s", "checksum": "sha256:00", "content_checksum": "sha256:01", "steps_total": 1, "steps_done": 0, "step_hashes": ["x"], "down": {"from": "steps", "steps": []}, "requires": [], "host": "h", "tool_version": "0.1.0"}', NULL);
EXECUTE s_claim_step(3, 'run-b', 0, '{"standing": "open", "value": "null"}', '[[]]');
EXECUTE s_settle_step(3, 'run-b', 0, 'redis', '[]', NULL);
EXECUTE s_settle(3, 'run-b', '0.1.0');
EXECUTE s_begin_undo(3, 'run-b', '{"pid": 1}', 'h', 1, '["u"]', NULL);
EXECUTE s_claim_step(3, 'run-b', 0, '{"standing": "open", "value": "null"}', NULL);
EXECUTE s_settle_step(3, 'run-b', 0, 'redis', '[]', NULL);
EXECUTE s_settle(3, 'run-b', '0.1.0');

-- statement: fail
PREPARE s_fail AS
UPDATE ONLY aiplat_migrate.ledger l
SET state = CASE WHEN state = 'undoing' AND $3 = 'failed' THEN state ELSE $3 END, error = $4,
    down = CASE WHEN $5 THEN aiplat_migrate.down_unclaimed(l) ELSE down END,
    before = CASE WHEN $5 THEN NULL ELSE before END,
    position = CASE WHEN $5 AND before ? 'session' THEN jsonb_build_object('session', before->'session') ELSE position END
WHERE id = $1 AND run_id = $2 AND state IN ('running', 'undoing')
RETURNING aiplat_migrate.add_event(id, 'failed', $2, $6, $7, $4);
EXECUTE s_begin('{"run_id": "run-b", "owner": {"pid": 1}, "store": "redis", "kind": "versioned", "version": "3", "description": "d", "script": "s", "checksum": "sha256:00", "content_checksum": "sha256:01", "steps_total": 1, "steps_done": 0, "step_hashes": ["x"], "down": {"from": "steps", "steps": []}, "requires": [], "host": "h", "tool_version": "0.1.0"}', NULL);
EXECUTE s_claim_step(4, 'run-b', 0, '{"standing": "open", "value": "null"}', '[[]]');
EXECUTE s_fail(4, 'run-b', 'failed', '{"message": "m"}', true, 'h', '0.1.0');

-- statement: resume
PREPARE s_resume AS
UPDATE ONLY aiplat_migrate.ledger l
SET run_id = $2, owner = $3, host = $4, state = 'running', error = NULL,
    script = $5, checksum = $6, content_checksum = $7, steps_total = $8, step_hashes = $9,
    down = CASE WHEN $10 THEN aiplat_migrate.down_unclaimed(l) ELSE down END,
    before = CASE WHEN $10 THEN NULL ELSE before END,
    position = $13
WHERE id = $1 AND state IN ('running', 'failed') AND true
RETURNING aiplat_migrate.add_event(id, 'resumed', $2, $4, $11, $12);
EXECUTE s_resume(4, 'run-b', '{"pid": 1}', 'h', 's', 'sha256:00', NULL, 1, '["x"]', false, '0.1.0', '{}', '{"cursor": 7}');

-- statement: unclaim
PREPARE s_unclaim AS
UPDATE ONLY aiplat_migrate.ledger l
SET down = aiplat_migrate.down_unclaimed(l), before = NULL,
    position = CASE WHEN before ? 'session' THEN jsonb_build_object('session', before->'session') END
WHERE id = $1 AND run_id = $2 AND state IN ('running', 'undoing')
RETURNING id;
EXECUTE s_claim_step(4, 'run-b', 0, '{"standing": "open", "value": "null"}', '[[]]');
EXECUTE s_unclaim(4, 'run-b');
EXECUTE s_fail(4, 'run-b', 'failed', '{"message": "m"}', false, 'h', '0.1.0');

-- statement: settle_doubt
PREPARE s_settle_doubt AS
WITH settled AS (
    UPDATE ONLY aiplat_migrate.ledger l
    SET run_id = $2, host = $3,
        state = CASE direction WHEN 'down' THEN 'undoing' ELSE 'failed' END,
        steps_done = steps_done + CASE $4 WHEN 'done' THEN 1 ELSE 0 END,
        down = CASE $4 WHEN 'not done' THEN aiplat_migrate.down_unclaimed(l) ELSE down END,
        before = CASE $4 WHEN 'done in part' THEN before END,
        position = coalesce($5, CASE WHEN before ? 'session' THEN jsonb_build_object('session', before->'session') END)
    WHERE id = $1 AND state IN ('running', 'failed', 'undoing', 'in doubt') AND true
    RETURNING id
)
SELECT aiplat_migrate.add_event(id, 'repaired', $2, $3, $8, $9),
       CASE WHEN $7::jsonb <> '[]' THEN aiplat_migrate.declare_objects($6, $7, $2) END
FROM settled;
EXECUTE s_begin('{"run_id": "run-b", "owner": {"pid": 1}, "store": "redis", "kind": "versioned", "version": "4", "description": "d", "script": "s", "checksum": "sha256:00", "content_checksum": "sha256:01", "steps_total": 2, "steps_done": 0, "step_hashes": ["x", "y"], "down": {"from": "steps", "steps": []}, "requires": [], "host": "h", "tool_version": "0.1.0"}', NULL);
EXECUTE s_claim_step(5, 'run-b', 0, '{"standing": "open", "value": "null"}', '[[]]');
EXECUTE s_fail(5, 'run-b', 'in doubt', '{"message": "m"}', false, 'h', '0.1.0');
EXECUTE s_settle_doubt(5, 'run-b', 'h', 'done', NULL, 'redis', '[["key a", {"x": 1}]]', '0.1.0', '{}');

-- statement: close_applied
PREPARE s_close_applied AS
SELECT aiplat_migrate.close_applied($1, $2, $3, $4, $5), aiplat_migrate.settled($1);
BEGIN;
SET LOCAL aiplat_migrate.token = 't2';
/* EXECUTE */ SELECT aiplat_migrate.close_applied('t2', NULL, '{"run_id": "run-b", "owner": {"pid": 1}, "store": "redis", "kind": "versioned", "version": "5", "description": "d", "script": "s", "checksum": "sha256:00", "content_checksum": "sha256:01", "steps_total": 1, "steps_done": 1, "step_hashes": [], "down": {"from": "steps", "steps": []}, "requires": [], "host": "h", "tool_version": "0.1.0"}', NULL, true), aiplat_migrate.settled('t2');
COMMIT;

-- statement: close_undone
PREPARE s_close_undone AS
SELECT aiplat_migrate.close_undone($1, $2, $3, $4, $5, $6, $7), aiplat_migrate.settled($1);
BEGIN;
SET LOCAL aiplat_migrate.token = 't3';
/* EXECUTE */ SELECT aiplat_migrate.close_undone('t3', 't2', 6, 'run-b', '{"pid": 1}', 'h', '0.1.0'), aiplat_migrate.settled('t3');
COMMIT;

-- statement: close_repair
PREPARE s_close_repair AS
SELECT aiplat_migrate.close_repair($1, $2, $3, $4, $5, $6, $7), aiplat_migrate.settled($1);
BEGIN;
SET LOCAL aiplat_migrate.token = 't4';
/* EXECUTE */ SELECT aiplat_migrate.close_repair('t4', NULL, 'run-b', 'redis', 'h', '0.1.0', '{}'), aiplat_migrate.settled('t4');
COMMIT;

-- statement: settled
PREPARE s_settled AS
SELECT aiplat_migrate.settled($1);
/* EXECUTE */ SELECT aiplat_migrate.settled(NULL);

-- statement: realign
PREPARE s_realign AS
UPDATE ONLY aiplat_migrate.ledger SET script = $5, checksum = $6, content_checksum = $7
WHERE id = $1 AND state IN ('applied', 'baseline') AND true
RETURNING aiplat_migrate.add_event(id, 'repaired', $2, $3, $4, $8);
EXECUTE s_realign(1, 'run-b', 'h', '0.1.0', 's', 'sha256:02', 'sha256:03', '{}');

-- statement: event
PREPARE s_event AS
INSERT INTO aiplat_migrate.event (run_id, event, store, kind, version, host, tool_version, details)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8);
EXECUTE s_event('run-b', 'failed', 'redis', 'versioned', '1', 'h', '0.1.0', '{}');

-- statement: tag
PREPARE s_tag AS
WITH told AS (
    INSERT INTO aiplat_migrate.event (run_id, event, host, tool_version, details)
    SELECT $2, 'tagged', $3, $4, jsonb_build_object('tag', $1::text)
    WHERE NOT EXISTS (SELECT FROM ONLY aiplat_migrate.tag WHERE name = $1)
)
INSERT INTO aiplat_migrate.tag (name, rows, run_id)
VALUES ($1, ARRAY(SELECT id FROM ONLY aiplat_migrate.ledger WHERE state <> 'undone' ORDER BY id), $2)
ON CONFLICT (name) DO NOTHING;
EXECUTE s_tag('t', 'run-b', 'h', '0.1.0');

-- statement: identify
PREPARE s_identify AS
INSERT INTO aiplat_migrate.identity (store, identity) VALUES ($1, $2) ON CONFLICT (store) DO NOTHING;
EXECUTE s_identify('redis', 'one');

-- statement: accept_identity
PREPARE s_accept_identity AS
WITH accepted AS (
    UPDATE ONLY aiplat_migrate.identity SET identity = $2, first_seen = clock_timestamp()
    WHERE store = $1 AND true
    RETURNING store
)
INSERT INTO aiplat_migrate.event (run_id, event, store, host, tool_version, details)
SELECT $3, 'repaired', store, $4, $5, $6 FROM accepted;
EXECUTE s_accept_identity('redis', 'another', 'run-b', 'h', '0.1.0', '{}');

-- statement: diagnose
PREPARE s_diagnose AS
SELECT true AS held, l.store, l.version, l.run_id, l.host, l.state, l.steps_done, l.steps_total,
       l.before IS NOT NULL AS claimed
FROM (VALUES ($1::bigint)) AS asked (id) LEFT JOIN ONLY aiplat_migrate.ledger l USING (id);
EXECUTE s_diagnose(2);

-- statement: keep_before
PREPARE s_keep_before AS
INSERT INTO aiplat_migrate.shape AS s (store, before, run_id) VALUES ($1, $2::jsonb, $3)
ON CONFLICT (store) DO UPDATE SET before = coalesce(s.before, excluded.before),
    run_id = excluded.run_id, updated_at = clock_timestamp();
EXECUTE s_keep_before('redis', '{}', 'run-b');

-- statement: unfinished
PREPARE s_unfinished AS
SELECT store FROM ONLY aiplat_migrate.shape WHERE before IS NOT NULL;
EXECUTE s_unfinished;

-- statement: record_shape
PREPARE s_record_shape AS
INSERT INTO aiplat_migrate.shape (store, recorded, run_id) VALUES ($1, $2::jsonb, $3)
ON CONFLICT (store) DO UPDATE SET recorded = excluded.recorded, before = NULL,
    run_id = excluded.run_id, updated_at = clock_timestamp();
EXECUTE s_record_shape('redis', '{"key b": {}}', 'run-b');

-- statement: accept_shape
PREPARE s_accept_shape AS
WITH told AS (
    INSERT INTO aiplat_migrate.event (run_id, event, store, host, tool_version, details)
    SELECT $3, 'repaired', $1, $4, $5, d FROM jsonb_array_elements($6::jsonb) d
)
INSERT INTO aiplat_migrate.shape (store, recorded, run_id) VALUES ($1, $2, $3)
ON CONFLICT (store) DO UPDATE SET recorded = excluded.recorded, before = NULL,
    run_id = excluded.run_id, updated_at = clock_timestamp();
EXECUTE s_accept_shape('redis', '{"key a": {"x": 1}}', 'run-b', 'h', '0.1.0', '[{}]');

-- statement: rows
PREPARE s_rows AS
SELECT id, store, version, kind, run_id, description, script, checksum, state, direction,
       steps_total, steps_done, step_hashes, before, position, requires, origin, installed_by,
       started_at, finished_at, execution_ms, error
FROM ONLY aiplat_migrate.ledger ORDER BY id;
EXECUTE s_rows;

-- statement: shapes
PREPARE s_shapes AS
SELECT store, recorded, before FROM ONLY aiplat_migrate.shape;
EXECUTE s_shapes;

-- statement: recorded
PREPARE s_recorded AS
SELECT store, recorded, NULL::jsonb AS before FROM ONLY aiplat_migrate.shape WHERE store = $1;
EXECUTE s_recorded('redis');

-- statement: identities
PREPARE s_identities AS
SELECT store, identity FROM ONLY aiplat_migrate.identity;
EXECUTE s_identities;

-- statement: tags
PREPARE s_tags AS
SELECT name, rows FROM ONLY aiplat_migrate.tag ORDER BY created_at, name;
EXECUTE s_tags;

-- statement: downs
PREPARE s_downs AS
SELECT id, store, version, down FROM ONLY aiplat_migrate.ledger WHERE id = ANY ($1);
EXECUTE s_downs('{1,2}');

-- statement: contents
PREPARE s_contents AS
SELECT id, store, version, content_checksum FROM ONLY aiplat_migrate.ledger
WHERE id = ANY ($1) AND content_checksum IS NOT NULL;
EXECUTE s_contents('{1,2}');

-- statement: events
PREPARE s_events AS
SELECT to_jsonb(e) AS event FROM (
    SELECT * FROM ONLY aiplat_migrate.event
    WHERE ($2::text IS NULL OR event = $2)
      AND ($3::text IS NULL OR run_id = $3)
      AND (cardinality($4::text[]) = 0 OR store = ANY ($4))
      AND ($5::text IS NULL OR (kind = $5 AND version = $6))
      AND ($7::text IS NULL OR details->>'object' = $7)
      AND ($8::timestamptz IS NULL OR at >= $8)
      AND NOT EXISTS (SELECT origin FROM ONLY aiplat_migrate.ledger WHERE false)
    ORDER BY id DESC LIMIT $1
) e ORDER BY id;
EXECUTE s_events(10, 'applied', NULL, '{}', NULL, NULL, NULL, NULL);

-- statement: forget
PREPARE s_forget AS
UPDATE ONLY aiplat_migrate.ledger SET state = 'undone'
WHERE id = $1 AND state IN ('applied', 'baseline') AND true
RETURNING aiplat_migrate.add_event(id, 'repaired', $2, $3, $4, $5);
EXECUTE s_forget(1, 'run-b', 'h', '0.1.0', '{}');

-- statement: holder
PREPARE s_holder AS
SELECT a.pid, a.application_name, a.backend_start
FROM pg_catalog.pg_lock_status() l, LATERAL pg_catalog.pg_stat_get_activity(l.pid) a
WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 2
  AND l.classid::bigint = $1 AND l.objid::bigint = $2
  AND l.pid <> pg_catalog.pg_backend_pid()
  AND l.database = (SELECT datid FROM pg_catalog.pg_stat_get_activity(pg_catalog.pg_backend_pid()))
ORDER BY a.backend_start LIMIT 1;
-- Nobody holds a lock here, hence EXPLAIN.
EXPLAIN EXECUTE s_holder(1, 2);

-- statement: active
PREPARE s_active AS
SELECT EXISTS (
    SELECT FROM pg_catalog.pg_stat_activity
    WHERE application_name = $1 AND state = 'active' AND pid <> pg_catalog.pg_backend_pid()
);
EXECUTE s_active('aiplat-migrate');

-- statement: versions
PREPARE s_versions AS
SELECT max(version)::bigint, max(checksum) FILTER (WHERE version = 1)
FROM aiplat_migrate.refinery_schema_history;
EXECUTE s_versions;

-- statement: objects
PREPARE s_objects AS
SELECT n.oid::text,
       coalesce(string_agg(d.objid::text, ',') FILTER (WHERE d.classid = 'pg_class'::regclass), ''),
       coalesce(string_agg(d.objid::text, ',') FILTER (WHERE d.classid = 'pg_proc'::regclass), ''),
       coalesce(bool_or(c.relkind = 'r' AND (c.relhastriggers OR c.relhasrules)), false),
       EXISTS (SELECT FROM pg_proc p WHERE p.oid >= 16384 AND p.pronamespace <> n.oid AND (p.prosqlbody IS NOT NULL
               OR strpos(concat(p.prosrc, p.proconfig), (SELECT nspname FROM pg_namespace x WHERE x.oid = n.oid)) > 0))
       OR EXISTS (SELECT FROM pg_class own JOIN pg_depend r ON r.refclassid = 'pg_class'::regclass AND r.refobjid = own.oid
                  JOIN pg_rewrite w ON r.classid = 'pg_rewrite'::regclass AND w.oid = r.objid
                  JOIN pg_class v ON v.oid = w.ev_class
                  WHERE own.relnamespace = n.oid AND v.relnamespace <> n.oid)
FROM pg_namespace n
JOIN pg_depend d ON d.refclassid = 'pg_namespace'::regclass AND d.refobjid = n.oid
LEFT JOIN pg_class c ON d.classid = 'pg_class'::regclass AND c.oid = d.objid
WHERE n.oid = to_regnamespace('aiplat_migrate') GROUP BY n.oid;
EXECUTE s_objects;

-- statement: untouched
PREPARE s_untouched AS
SELECT CASE WHEN pg_catalog.count(*) OPERATOR(pg_catalog.=) 0
             AND coalesce(pg_catalog.to_regnamespace('aiplat_migrate')::pg_catalog.oid OPERATOR(pg_catalog.=) $1, false) THEN 'untouched'
            ELSE pg_catalog.concat('aiplat_migrate touched: ', pg_catalog.string_agg(DISTINCT
                pg_catalog.pg_describe_object(coalesce(l.classid, 1259::pg_catalog.oid), coalesce(l.relation, l.objid), 0), ', '))
                ::pg_catalog.int4::pg_catalog.text END
FROM pg_catalog.pg_lock_status() l
WHERE l.pid OPERATOR(pg_catalog.=) pg_catalog.pg_backend_pid() AND CASE l.locktype
    WHEN 'relation' THEN l.relation OPERATOR(pg_catalog.=) ANY ($2) AND l.mode OPERATOR(pg_catalog.=) ANY (
        '{RowExclusiveLock,ShareLock,ShareRowExclusiveLock,ExclusiveLock,AccessExclusiveLock}')
    WHEN 'object' THEN l.mode OPERATOR(pg_catalog.<>) 'ShareUpdateExclusiveLock' AND CASE l.classid
        WHEN 1255 THEN l.objid OPERATOR(pg_catalog.=) ANY ($3)
        WHEN 2615 THEN l.objid OPERATOR(pg_catalog.=) $1 END END;
EXECUTE s_untouched('aiplat_migrate'::regnamespace, '{2}', '{3}');

-- statement: unmade
PREPARE s_unmade AS
SELECT CASE WHEN pg_catalog.count(*) OPERATOR(pg_catalog.=) 0 THEN 'unmade'
            ELSE pg_catalog.concat('aiplat_migrate touched: ', pg_catalog.string_agg(DISTINCT
                pg_catalog.pg_describe_object(d.classid, d.objid, 0), ', '))::pg_catalog.int4::pg_catalog.text END
FROM pg_catalog.pg_depend d
WHERE d.refclassid OPERATOR(pg_catalog.=) 2615 AND d.refobjid OPERATOR(pg_catalog.=) $1
  AND pg_catalog.age(d.xmin) OPERATOR(pg_catalog.<=) 0
  AND pg_catalog.pg_xact_status((pg_catalog.pg_current_xact_id_if_assigned()::pg_catalog.text::pg_catalog.int8
      OPERATOR(pg_catalog.-) pg_catalog.age(d.xmin))::pg_catalog.text::pg_catalog.xid8)
      OPERATOR(pg_catalog.=) 'in progress';
EXECUTE s_unmade(1);

-- statement: written
PREPARE s_written AS
SELECT CASE WHEN EXISTS (
    SELECT FROM ONLY aiplat_migrate.ledger l JOIN ONLY aiplat_migrate.event e ON e.ledger_id OPERATOR(pg_catalog.=) l.id
    WHERE l.run_id OPERATOR(pg_catalog.=) $1 AND l.state OPERATOR(pg_catalog.=) $2
      AND e.run_id OPERATOR(pg_catalog.=) $1 AND e.event OPERATOR(pg_catalog.=) $2
      AND e.xmin OPERATOR(pg_catalog.=) pg_catalog.pg_current_xact_id_if_assigned()::pg_catalog.xid
) THEN 'written' ELSE pg_catalog.concat('aiplat_migrate unwritten: ', $2)::pg_catalog.int4::pg_catalog.text END;
BEGIN;
SET LOCAL aiplat_migrate.token = 't9';
/* EXECUTE */ SELECT aiplat_migrate.close_applied('t9', NULL, '{"run_id": "run-w", "owner": {"pid": 1}, "store": "redis", "kind": "versioned", "version": "50", "description": "d", "script": "s", "checksum": "sha256:00", "content_checksum": "sha256:01", "steps_total": 1, "steps_done": 1, "step_hashes": [], "down": {"from": "steps", "steps": []}, "requires": [], "host": "h", "tool_version": "0.1.0"}', NULL, true);
EXECUTE s_written('run-w', 'applied');
ROLLBACK;

-- statement: standing
PREPARE s_standing AS
SELECT l.state, EXISTS (SELECT FROM ONLY aiplat_migrate.event e WHERE e.ledger_id = l.id AND e.run_id = l.run_id AND e.event = l.state)
FROM ONLY aiplat_migrate.ledger l WHERE l.id = $1;
EXECUTE s_standing(2);
