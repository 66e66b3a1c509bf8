//! What the ledger has against going on: each cause has a message of its own.

use crate::error::{Error, Exit};
use crate::postgres::{DAMAGED, DAMAGES, MAY_NOT};
use crate::store_error::{StoreError, StoreErrorKind};

use super::LedgerSettings;

/// Why the ledger was not read or written, where PostgreSQL itself had nothing against it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LedgerError {
    /// The connection that holds the lock is gone.
    LockLost,
    /// Another run has taken the row over.
    NotOurs {
        /// The row's number, and its migration.
        row: String,
        /// The run that has it.
        run: String,
        /// Where that run is.
        host: String,
    },
    /// The row is in another state, or at another step, than it has to be.
    WrongState {
        /// The row's number, and its migration.
        row: String,
        /// How it is.
        found: String,
        /// How it has to be.
        wanted: String,
    },
    /// Somebody deleted the row; this tool never does.
    Gone {
        /// Which row it was.
        row: String,
    },
    /// A trigger or rule of the table swallowed a row.
    Swallowed {
        /// The table.
        table: &'static str,
    },
    /// A value is not what its column is for.
    Unreadable {
        /// Where it stands: the table, and what names the row.
        row: String,
        /// The column.
        column: String,
        /// Why it cannot be read.
        why: String,
    },
    /// Some of its tables are gone.
    Damaged {
        /// The ledger's schema.
        schema: String,
        /// The tables that are not there.
        missing: Vec<String>,
    },
    /// A build from before the first release made the tables.
    BeforeFirstRelease {
        /// The ledger's schema.
        schema: String,
    },
}

const STOPPED: &str = "no further step was begun; what is done is in the ledger";

impl From<LedgerError> for Error {
    fn from(error: LedgerError) -> Error {
        match error {
            LedgerError::LockLost => {
                Error::new(Exit::Busy, "the lock was lost: a connection to PostgreSQL broke, or another run has it")
                    .state(STOPPED)
                    .hint("run the same command again: it goes on where this run stopped")
            }
            LedgerError::NotOurs { row, run, host } => {
                let message = format!("{row} belongs to another run now: {run} on {host}");
                Error::new(Exit::Busy, message)
                    .state(STOPPED)
                    .hint("see who is at work: aiplat-migrate status")
                    .hint(format!("see what it did: aiplat-migrate history --run {run}"))
            }
            LedgerError::WrongState { row, found, wanted } => {
                Error::failed(format!("{row} is {found}; it has to be {wanted}"))
                    .because("somebody changed the row since this run read it")
                    .state(STOPPED)
                    .hint("see how it stands: aiplat-migrate status")
            }
            LedgerError::Gone { row } => Error::failed(format!("{row} is gone"))
                .because("somebody deleted it; aiplat-migrate never deletes a row")
                .state(STOPPED)
                .hint("restore it from a backup of the ledger, then: aiplat-migrate status"),
            LedgerError::Swallowed { table } => {
                Error::failed(format!("the ledger's table `{table}` did not take a row"))
                    .because("a trigger or rule on it swallowed it; aiplat-migrate makes none there")
                    .state(STOPPED)
                    .hint("drop the trigger or rule (psql: \\d shows it), then: aiplat-migrate status")
            }
            LedgerError::Unreadable { row, column, why } => {
                let error = Error::failed(format!("{row}: column {column} is not readable: {why}"))
                    .state("the command stopped there; what was done before is recorded")
                    .hint("docs/ledger.md says what the column holds: correct the value, or restore a backup of the ledger");
                // A shape can be had again from its store; a row of the ledger cannot.
                let error = match column == "recorded" {
                    true => error.hint("or look at what is in the store, delete this row, and record it as it is: aiplat-migrate repair --accept-drift"),
                    false => error,
                };
                error
                    .hint("if a newer version of aiplat-migrate wrote it, use that version")
            }
            LedgerError::Damaged { schema, missing } => {
                let what = format!("the ledger in the schema {schema} is damaged");
                Error::failed(what)
                    .because(format!("these of its tables are not there: {}", missing.join(", ")))
                    .state("nothing was changed; what is applied cannot be told")
                    .hint(DAMAGED)
            }
            LedgerError::BeforeFirstRelease { schema } => Error::usage(format!(
                "the ledger in the schema {schema} was made by a build before 0.1.0"
            ))
            .state("nothing was changed")
            .hint("choose a new schema: AIPLAT_MIGRATE_LEDGER_SCHEMA, or schema in [ledger]")
            .hint("then take the rows over by hand, before the first `up`: docs/ledger.md, \"A ledger from before 0.1.0\""),
        }
    }
}

/// An error of the ledger's own database.
pub fn ledger_error(error: &StoreError, settings: &LedgerSettings) -> Error {
    let address = settings.database.address();
    let (exit, message) = match error.kind {
        StoreErrorKind::Unreachable => {
            (Exit::Unreachable, format!("cannot reach the ledger in PostgreSQL at {address}"))
        }
        StoreErrorKind::Credentials => {
            (Exit::Usage, format!("cannot log in to the ledger in PostgreSQL at {address}"))
        }
        StoreErrorKind::Settings => {
            (Exit::Usage, "the settings of the ledger's database are wrong".to_string())
        }
        StoreErrorKind::Refused if error.code.as_deref() == Some(MAY_NOT) => {
            (Exit::Usage, format!("the ledger's role lacks a right in PostgreSQL at {address}"))
        }
        StoreErrorKind::Refused if is_damaged(error) => {
            let schema = &settings.schema;
            (Exit::Failed, format!("the ledger in the schema {schema} at {address} is damaged"))
        }
        StoreErrorKind::Refused if lacks_plpgsql(error) => {
            (Exit::Failed, format!("the ledger at {address} needs the language plpgsql"))
        }
        StoreErrorKind::Refused => {
            (Exit::Failed, format!("the ledger in PostgreSQL at {address} failed"))
        }
    };
    let mut result = Error::new(exit, message).because(error);
    for detail in &error.details {
        result = result.because(detail);
    }
    if is_damaged(error) {
        return result.hint(DAMAGED);
    }
    if lacks_plpgsql(error) {
        return result
            .hint("have an administrator run, in that database: CREATE EXTENSION plpgsql");
    }
    match (&error.hint, error.code.as_deref()) {
        (Some(hint), _) => result.hint(hint),
        (None, Some(MAY_NOT)) => result.hint(format!(
            "the ledger's role has to own the schema `{0}`: have an administrator run \
             ALTER SCHEMA {0} OWNER TO <role>. To read it alone: \
             GRANT USAGE ON SCHEMA {0} TO <role>; GRANT SELECT ON ALL TABLES IN SCHEMA {0} TO <role>",
            settings.schema
        )),
        (None, _) => result,
    }
}

/// The hint for a role that may not make the schema.
pub(super) fn may_not_create(schema: &str) -> String {
    format!(
        "the ledger's role needs the schema `{schema}`: have an administrator run \
         CREATE SCHEMA {schema} AUTHORIZATION <role>"
    )
}

/// Whether something of the ledger is gone: nobody asks for it before it is made.
fn is_damaged(error: &StoreError) -> bool {
    error.code.as_deref().is_some_and(|code| DAMAGES.contains(&code))
}

fn lacks_plpgsql(error: &StoreError) -> bool {
    error.code.as_deref() == Some("42704") && error.message.contains("plpgsql")
}
