//! Ways out of errors that come of how a file is run, which the server does not know of.

use tokio_postgres::error::DbError;

use super::steps::Step;
use crate::text::Span;

const OFF: &str = "put `-- transaction: off` on the first line of the file";

/// What to do about the server's `error` at a place in the file of `step`.
pub(super) fn way_out(step: &Step, error: &DbError, at: Option<&Span>) -> Option<String> {
    let is_pending = || error.message().contains("pending trigger events");
    let hint = match error.code().code() {
        "55P04" if step.commits_before(at) => format!(
            "its own COMMIT is passed over: {OFF}, where BEGIN … COMMIT is a step of its own; or put what \
             uses the value into the next migration"
        ),
        "55P04" => format!("put what uses the value into the next migration, or {OFF}"),
        "55006" if is_pending() && step.commits_before(at) => format!(
            "its own COMMIT is passed over: write SET CONSTRAINTS ALL IMMEDIATE; in its place, or {OFF}"
        ),
        "55006" if is_pending() => {
            "write SET CONSTRAINTS ALL IMMEDIATE; before this statement, or put it into the next \
             migration"
                .to_string()
        }
        "25001" | "2D000" if step.is_file => OFF.to_string(),
        "25001" | "2D000" if step.statements.len() > 1 => {
            "move it out of BEGIN … COMMIT".to_string()
        }
        "42601" if error.message().ends_with("at or near \":\"") => {
            "`:name` is a variable of psql: write `-- placeholders: on` on the first line and `${name}` in the \
             text"
                .to_string()
        }
        _ => return None,
    };
    Some(hint)
}
