//! What a server answered: the one error of everything that talks to one.

use crate::error::Exit;

/// What a store answered, in its own words and codes; never with a secret in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreError {
    /// What kind of failure it is.
    pub kind: StoreErrorKind,
    /// The store's own code, such as `42P01`, `IndexOptionsConflict (85)`, `422`.
    pub code: Option<String>,
    /// The store's own message.
    pub message: String,
    /// What else it said: detail, context, the blocking session.
    pub details: Vec<String>,
    /// What to do about it.
    pub hint: Option<String>,
}

/// The kinds of failure that are treated differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreErrorKind {
    /// No connection, or it broke: `--wait` tries again (exit 6).
    Unreachable,
    /// Wrong credentials, certificate or rights: never tried again (exit 2).
    Credentials,
    /// The settings are wrong (exit 2).
    Settings,
    /// The store refused the operation (exit 1).
    Refused,
}

impl StoreErrorKind {
    /// How the process ends on it.
    pub fn exit(self) -> Exit {
        match self {
            StoreErrorKind::Unreachable => Exit::Unreachable,
            StoreErrorKind::Credentials | StoreErrorKind::Settings => Exit::Usage,
            StoreErrorKind::Refused => Exit::Failed,
        }
    }
}

impl StoreError {
    /// An error of `kind` with the store's message.
    pub fn new(kind: StoreErrorKind, message: impl Into<String>) -> StoreError {
        let message = bounded(message.into());
        StoreError { kind, code: None, message, details: Vec::new(), hint: None }
    }

    /// The store cannot be reached.
    pub fn unreachable(message: impl Into<String>) -> StoreError {
        StoreError::new(StoreErrorKind::Unreachable, message)
    }

    /// The store refused the operation.
    pub fn refused(message: impl Into<String>) -> StoreError {
        StoreError::new(StoreErrorKind::Refused, message)
    }

    /// Adds the store's code.
    pub fn code(mut self, code: impl Into<String>) -> StoreError {
        self.code = Some(code.into());
        self
    }

    /// Adds what else the store said.
    pub fn detail(mut self, detail: impl Into<String>) -> StoreError {
        self.details.push(bounded(detail.into()));
        self
    }

    /// Adds what to do about it.
    pub fn hint(mut self, hint: impl Into<String>) -> StoreError {
        self.hint = Some(bounded(hint.into()));
        self
    }
}

/// `text`, or, where a server said more than anybody reads, its beginning and how much more there was.
pub fn bounded(mut text: String) -> String {
    const LIMIT: usize = 64 << 10;
    if text.len() <= LIMIT {
        return text;
    }
    let end = text.floor_char_boundary(LIMIT);
    let left_out = text.len() - end;
    text.truncate(end);
    text.push_str(&format!("… ({left_out} bytes more were left out)"));
    text
}

impl std::fmt::Display for StoreError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.code {
            Some(code) => write!(f, "{} [{code}]", self.message),
            None => f.write_str(&self.message),
        }
    }
}

impl std::error::Error for StoreError {}
