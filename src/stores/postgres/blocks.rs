//! `BEGIN … COMMIT` that a file writes itself.
//!
//! A file in a transaction passes the two over, and comes to the same end as in psql unless the server has
//! to be told of the COMMIT, which it says. In a file without one, such a block is one step.

use squawk_lexer::{TokenKind, tokenize};

use super::split::{Class, Control, Statement};
use crate::text::ScriptError;

/// `BEGIN … COMMIT`, by the numbers of the two statements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Block {
    pub begin: usize,
    pub commit: usize,
}

/// What is told of a file whose own BEGIN and COMMIT are passed over.
pub(super) const PASSED_OVER: &str = "BEGIN and COMMIT are passed over: the file is applied in one transaction, \
                                      together with its ledger row";

/// The blocks of a file, `apart` where its other statements are run one by one, and what is wrong with
/// them. A BEGIN within a block does nothing, as in psql.
pub(super) fn blocks(
    statements: &[Statement],
    text: &str,
    apart: bool,
) -> (Vec<Block>, Vec<ScriptError>) {
    let (mut blocks, mut mistakes, mut open) = (Vec::new(), Vec::new(), None);
    for (at, statement) in statements.iter().enumerate() {
        match (statement.class, open) {
            (Class::Control(Control::Begin), None) => open = Some(at),
            (Class::Control(Control::Begin), Some(_)) => {}
            (Class::Control(Control::Commit), Some(begin)) => {
                blocks.push(Block { begin, commit: at });
                open = None;
            }
            (Class::Control(other), _) => {
                mistakes.push(refused(other, statement, text, apart));
                // What it would begin or end is not told again.
                open = match other {
                    Control::Modes | Control::Chain => open.or(Some(at)),
                    Control::Rollback | Control::Prepare => None,
                    Control::Begin | Control::Commit => open,
                };
            }
            (Class::Alone { .. }, Some(_)) if apart => mistakes.push(
                mistake(statement, text, "this statement cannot run between BEGIN and COMMIT")
                    .hint("move it before BEGIN, or behind COMMIT"),
            ),
            (Class::Alone { .. } | Class::Plain | Class::Encoding, _) => {}
        }
    }
    if let Some(begin) = open.filter(|_| mistakes.is_empty()) {
        let message = "this BEGIN has no COMMIT: to psql, nothing from here on would be done";
        mistakes.push(
            mistake(&statements[begin], text, message)
                .hint("write COMMIT; where the transaction is to end, or delete BEGIN"),
        );
    }
    if !apart {
        mistakes.extend(blocks.iter().flat_map(|block| outlives(*block, statements, text)));
    }
    (blocks, mistakes)
}

/// Refuses a SET LOCAL and the like in a block of a file in a transaction: it would not end where the
/// block ends.
fn outlives(block: Block, statements: &[Statement], text: &str) -> Option<ScriptError> {
    if !statements[block.commit..].iter().any(Statement::is_sent) {
        return None;
    }
    let inside = &statements[block.begin..block.commit];
    let ends_there = inside.iter().find(|one| ends_at_commit(&text[one.span.clone()]))?;
    let message = "what this sets would not end at the COMMIT below, which is passed over";
    Some(mistake(ends_there, text, message).hint(
        "put `-- transaction: off` on the first line, where BEGIN … COMMIT is a step of its own; or put what \
         follows the COMMIT into the next migration",
    ))
}

/// Whether what a statement does ends with its transaction.
fn ends_at_commit(sql: &str) -> bool {
    let mut at = 0;
    let words: Vec<String> = tokenize(sql)
        .filter_map(|token| {
            let word = &sql[at..at + token.len as usize];
            at += word.len();
            (token.kind == TokenKind::Ident).then(|| word.to_lowercase())
        })
        .collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["set", "local", ..] => true,
        ["create", ..] => {
            words.windows(3).any(|three| matches!(three, ["on", "commit", "drop" | "delete"]))
        }
        _ => words.contains(&"set_config") && words.contains(&"true"),
    }
}

fn refused(control: Control, statement: &Statement, text: &str, apart: bool) -> ScriptError {
    let (message, hint) = match (control, apart) {
        (Control::Modes, _) => (
            "BEGIN may not say here how its transaction is run: the migration's own is begun already",
            "write `BEGIN;` alone. How transactions are run is set for the role or the database, for \
             instance by ALTER DATABASE … SET default_transaction_isolation",
        ),
        (Control::Chain, _) => {
            ("COMMIT may not begin the next transaction", "write `COMMIT; BEGIN;`")
        }
        (Control::Rollback, _) => (
            "a migration may not roll back: it is applied whole, or not at all",
            "delete it, and what it takes back; a part that may fail goes between SAVEPOINT and \
             ROLLBACK TO SAVEPOINT",
        ),
        (Control::Prepare, _) => (
            "a migration may not prepare its transaction for another session to commit",
            "write `COMMIT;`",
        ),
        (Control::Begin | Control::Commit, false) => (
            "this ends a transaction that the file did not begin",
            "delete it: the file is applied in one transaction, together with its ledger row; for statements \
             that cannot run in a transaction, put `-- transaction: off` on the first line",
        ),
        (Control::Begin | Control::Commit, true) => (
            "this ends a transaction that the file did not begin",
            "delete it, or write `BEGIN;` where the transaction begins: outside BEGIN … COMMIT each \
             statement is committed by itself",
        ),
    };
    mistake(statement, text, message).hint(hint)
}

/// A mistake with its place: the first word of the statement.
pub(super) fn mistake(statement: &Statement, text: &str, message: &str) -> ScriptError {
    let start = statement.span.start;
    let word = text[statement.span.clone()].split(|c: char| c.is_whitespace() || c == ';').next();
    ScriptError::new(start..start + word.unwrap_or_default().len(), message)
}
