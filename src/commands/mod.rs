//! One file per verb, each read top to bottom. Commands return values; `report` shows them.

mod anew;
mod changed;
mod down;
mod hash;
mod history;
mod manner;
mod new;
mod past;
mod plan;
mod redo;
mod repair;
mod status;
mod tag;
mod up;
mod validate;
mod wait;

pub use down::Down;
pub use hash::Hash;
pub use history::History;
pub use manner::Manner;
pub use new::New;
pub use plan::Plan;
pub use redo::Redo;
pub use repair::Repair;
pub use status::Status;
pub use tag::Tag;
pub use up::Up;
pub use validate::Validate;
pub use wait::Wait;

use crate::error::{Error, Exit, Result};
use crate::report::Report;

/// How a command ended: what it has to show, and the error that ended it, if any.
#[derive(Debug)]
pub struct Finished {
    /// What there is to show.
    pub report: Option<Report>,
    /// What went wrong.
    pub error: Option<Error>,
}

impl Finished {
    /// How the process ends.
    pub fn exit(&self) -> Exit {
        match (&self.error, &self.report) {
            (Some(error), _) => error.exit(),
            (None, Some(report)) => report.exit(),
            (None, None) => Exit::Done,
        }
    }
}

impl From<Result<Report>> for Finished {
    fn from(result: Result<Report>) -> Finished {
        match result {
            Ok(report) => Finished { report: Some(report), error: None },
            Err(error) => Finished { report: None, error: Some(error) },
        }
    }
}
