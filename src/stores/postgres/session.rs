//! The session of a file with `transaction: off`: what its statements leave there for those that
//! follow, how it is told, and which statements bring it back.

use squawk_syntax::SourceFile;
use squawk_syntax::ast::{AstNode, Stmt};

use super::split::{says, tokens};
use crate::stores::contract::SESSION;

/// What a statement is to its session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// It sets the session up and does nothing else: sent again, it does the same again.
    SetsUp,
    /// Outside a transaction block it has no effect, or is an error.
    NeedsBlock,
    /// Any other.
    Works,
}

/// What `statement` is to its session.
pub(super) fn role(statement: &str) -> Role {
    let parsed = SourceFile::parse(statement);
    let Some(stmt) = parsed.tree().stmts().next() else { return Role::Works };
    let words: Vec<String> = tokens(stmt.syntax()).collect();
    let local = words.get(1).is_some_and(|word| word.eq_ignore_ascii_case("local"));
    match stmt {
        Stmt::Set(_) | Stmt::SetRole(_) | Stmt::SetSessionAuth(_) if local => Role::NeedsBlock,
        Stmt::SetTransaction(_) if !says(&words, "characteristics") => Role::NeedsBlock,
        Stmt::Declare(_) if !holds(&words) => Role::NeedsBlock,
        Stmt::SetConstraints(_)
        | Stmt::Lock(_)
        | Stmt::SavepointCreate(_)
        | Stmt::ReleaseSavepoint(_)
        | Stmt::Rollback(_) => Role::NeedsBlock,
        Stmt::Set(_)
        | Stmt::SetRole(_)
        | Stmt::SetSessionAuth(_)
        | Stmt::SetTransaction(_)
        | Stmt::Reset(_)
        | Stmt::ResetRole(_)
        | Stmt::ResetSessionAuth(_)
        | Stmt::Load(_)
        | Stmt::Prepare(_)
        | Stmt::Deallocate(_)
        | Stmt::Listen(_)
        | Stmt::Unlisten(_)
        | Stmt::Discard(_) => Role::SetsUp,
        Stmt::Select(_) if calls_only_for_the_session(&words) => Role::SetsUp,
        _ => Role::Works,
    }
}

/// `DECLARE … WITH HOLD`.
fn holds(words: &[String]) -> bool {
    words
        .windows(2)
        .any(|two| two[0].eq_ignore_ascii_case("with") && two[1].eq_ignore_ascii_case("hold"))
}

/// Functions that change nothing but the session.
const FOR_THE_SESSION: &[&str] = &[
    "set_config",
    "setseed",
    "pg_advisory_lock",
    "pg_advisory_lock_shared",
    "pg_try_advisory_lock",
    "pg_try_advisory_lock_shared",
    "pg_advisory_unlock",
    "pg_advisory_unlock_shared",
    "pg_advisory_unlock_all",
];

/// Whether this SELECT is nothing but calls of such functions, with constants: pg_dump writes
/// `SELECT pg_catalog.set_config('search_path', '', false);`.
fn calls_only_for_the_session(words: &[String]) -> bool {
    let mut rest = words[1..].iter().map(|word| word.to_lowercase()).peekable();
    let mut calls = 0;
    loop {
        if rest.next_if(|word| word == "pg_catalog").is_some()
            && rest.next().as_deref() != Some(".")
        {
            return false;
        }
        match rest.next() {
            Some(name) if FOR_THE_SESSION.contains(&name.as_str()) => calls += 1,
            Some(_) | None => return false,
        }
        if rest.next().as_deref() != Some("(") {
            return false;
        }
        loop {
            match rest.next().as_deref() {
                Some(")") => break,
                Some("," | "-" | "true" | "false" | "null") => {}
                Some(word) if word.starts_with(|c: char| c == '\'' || c.is_ascii_digit()) => {}
                Some(_) | None => return false,
            }
        }
        match rest.next().as_deref() {
            Some(",") => {}
            Some(";") | None => return calls > 0,
            Some(_) => return false,
        }
    }
}

/// The name of the column in which [`state`] stands.
pub(super) const STATE_COLUMN: &str = "aiplat_migrate_state";

/// The name of the column that says whether the session has its share of the run's lock.
pub(super) const SHARE_COLUMN: &str = "aiplat_migrate_share";

/// SQL of a JSON object: each thing that a statement can leave in its session, named in words, with
/// what tells whether it is the same. Values are hashed, since a setting may be a password. It is read
/// under whatever role and search path the file has set.
///
/// Not in it, because PostgreSQL shows it nowhere: settings of a name of the user's own (`app.tenant`),
/// loaded libraries, the seed of random(), and what currval() gives.
fn state() -> String {
    let hash = |value: &str| format!("pg_catalog.hashtextextended({value}, 0)::pg_catalog.text");
    let parts = [
        "SELECT 'the role', pg_catalog.current_setting('role')".to_string(),
        "SELECT 'the session authorization', session_user::pg_catalog.text".to_string(),
        format!(
            "SELECT pg_catalog.concat('the setting ', name), {} FROM pg_catalog.pg_settings \
             WHERE source OPERATOR(pg_catalog.=) 'session' AND setting IS DISTINCT FROM reset_val \
             AND name OPERATOR(pg_catalog.<>) 'statement_timeout'",
            hash("setting")
        ),
        format!("SELECT 'the setting statement_timeout', pg_catalog.current_setting('{TIMEOUT}')"),
        // Its `statement` is all of the message that it came in.
        "SELECT pg_catalog.concat('the prepared statement ', name), parameter_types::pg_catalog.text \
         FROM pg_catalog.pg_prepared_statements WHERE from_sql"
            .to_string(),
        "SELECT pg_catalog.concat('the temporary ', CASE relkind WHEN 'S' THEN 'sequence' WHEN 'v' THEN \
         'view' ELSE 'table' END, ' ', relname), oid::pg_catalog.text FROM pg_catalog.pg_class \
         WHERE relnamespace OPERATOR(pg_catalog.=) pg_catalog.pg_my_temp_schema() \
         AND relkind IN ('r', 'p', 'S', 'v', 'f')"
            .to_string(),
        "SELECT pg_catalog.concat('the temporary function ', proname), oid::pg_catalog.text \
         FROM pg_catalog.pg_proc \
         WHERE pronamespace OPERATOR(pg_catalog.=) pg_catalog.pg_my_temp_schema()"
            .to_string(),
        "SELECT pg_catalog.format('the advisory lock %s/%s/%s', classid, objid, objsubid), mode \
         FROM pg_catalog.pg_locks WHERE locktype OPERATOR(pg_catalog.=) 'advisory' \
         AND pid OPERATOR(pg_catalog.=) pg_catalog.pg_backend_pid()"
            .to_string(),
        "SELECT pg_catalog.concat('the channel ', c), '' FROM pg_catalog.pg_listening_channels() c"
            .to_string(),
        "SELECT pg_catalog.concat('the cursor ', name), '' FROM pg_catalog.pg_cursors \
         WHERE is_holdable"
            .to_string(),
    ];
    format!(
        "(SELECT pg_catalog.jsonb_object_agg(what, is_so) FROM ({}) s (what, is_so))",
        parts.join(" UNION ALL ")
    )
}

/// Where the file's own statement_timeout stands while the state is read: it may be too short for that.
const TIMEOUT: &str = "aiplat_migrate.statement_timeout";

/// A statement that lifts the file's statement_timeout until the end of the transaction; the state is read
/// after it.
pub(super) fn unhurried() -> String {
    format!(
        "SELECT pg_catalog.set_config('{TIMEOUT}', pg_catalog.current_setting('statement_timeout'), true), \
         pg_catalog.set_config('statement_timeout', '0', true)"
    )
}

/// A statement that leaves the session's state where the ledger takes it from, inside the step's own
/// transaction.
pub(super) fn leave_state() -> String {
    let state = state();
    format!(
        "SELECT pg_catalog.set_config('{SESSION}', {state}::pg_catalog.text, true) AS {STATE_COLUMN}"
    )
}

/// Statements that take the session's share of the run's lock again, which the file may have freed,
/// and tell the session's state; outside any transaction, where nothing is pending any more.
pub(super) fn ask_state(share: Option<&str>) -> String {
    format!(
        "{};\nSELECT {} AS {SHARE_COLUMN}, {}::pg_catalog.text AS {STATE_COLUMN}",
        unhurried(),
        share.unwrap_or("true"),
        state()
    )
}

/// A question that takes the session's share of the run's lock again; nothing where it has none. Where
/// the share cannot be had, the session forgets the seal that it settled last, so that what was sent
/// behind it is not run.
pub(super) fn ask_share(share: Option<&str>) -> String {
    let ask = |share| {
        format!(
            "SELECT CASE WHEN {share} THEN 't' ELSE \
             pg_catalog.set_config('aiplat_migrate.sealed', '', false) END AS {SHARE_COLUMN};\n"
        )
    };
    share.map(ask).unwrap_or_default()
}

/// SQL that frees the advisory locks of the session, but for the share of the run's lock.
pub(super) fn free_locks(share: Option<&str>) -> String {
    format!("SELECT pg_catalog.pg_advisory_unlock_all();\n{}", ask_share(share))
}

/// What of a state no statement brings back that can be sent again.
pub(super) fn passing(state: &serde_json::Value) -> Vec<String> {
    let all = state.as_object().into_iter().flatten().map(|(what, _)| what);
    let passes =
        |what: &&String| what.starts_with("the temporary ") || what.starts_with("the cursor ");
    all.filter(passes).cloned().collect()
}

/// What is in the state `left` and not in `now`, in words.
pub(super) fn missing(left: &serde_json::Value, now: &serde_json::Value) -> Vec<String> {
    let left = left.as_object().into_iter().flatten();
    left.filter(|(what, is_so)| now.get(what.as_str()) != Some(is_so))
        .map(|(what, _)| what.clone())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_that_set_the_session_up() {
        for sql in [
            "SET search_path = app",
            "set session statement_timeout to '5s'",
            "SET TIME ZONE 'UTC'",
            "SET ROLE low",
            "SET SESSION AUTHORIZATION low",
            "SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL SERIALIZABLE",
            "RESET ALL",
            "RESET ROLE",
            "RESET SESSION AUTHORIZATION",
            "LOAD 'auto_explain'",
            "PREPARE p AS SELECT 1",
            "DEALLOCATE ALL",
            "LISTEN c",
            "UNLISTEN *",
            "DISCARD ALL",
            "SELECT pg_catalog.set_config('search_path', '', false);",
            "select set_config('a.b', 'x', false), pg_advisory_lock(1, -2)",
        ] {
            assert_eq!(role(sql), Role::SetsUp, "{sql}");
        }
        for sql in [
            "SET LOCAL search_path = app",
            "SET LOCAL ROLE low",
            "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE",
            "SET CONSTRAINTS ALL DEFERRED",
            "LOCK TABLE t",
            "SAVEPOINT a",
            "RELEASE SAVEPOINT a",
            "ROLLBACK TO SAVEPOINT a",
            "DECLARE c CURSOR FOR SELECT 1",
        ] {
            assert_eq!(role(sql), Role::NeedsBlock, "{sql}");
        }
        for sql in [
            "select set_config('a.b', x, false) from t",
            "select set_config('a.b', f(), false)",
            "select pg_advisory_lock(id) from t",
            "select 1",
            "select f()",
            "DECLARE c CURSOR WITH HOLD FOR SELECT 1",
            "create temp table t ()",
            "alter role low set search_path = app",
        ] {
            assert_eq!(role(sql), Role::Works, "{sql}");
        }
    }

    #[test]
    fn what_is_missing_is_named() {
        let state = |text: &str| serde_json::from_str(text).expect("json");
        let left = state(r#"{"the role": "low", "the setting a": "1", "the channel c": ""}"#);
        let now = state(r#"{"the role": "none", "the setting a": "1", "the setting b": "2"}"#);
        assert_eq!(missing(&left, &now), ["the role", "the channel c"]);
        assert!(missing(&serde_json::Value::Null, &now).is_empty());
    }
}
