//! What a command leaves to be shown.

use super::Report;
use crate::error::{Error, Exit, Result};

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
