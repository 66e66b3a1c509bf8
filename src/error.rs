//! The crate's one error: what happened, where, why, what state things are in, and what to do next.

use std::fmt;

/// How the process ends; the numbers are part of the tool's interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// 0: done, or nothing to do.
    Done,
    /// 1: a migration or a command failed.
    Failed,
    /// 2: usage, configuration, credentials or a file are wrong.
    Usage,
    /// 3: files, ledger and stores differ.
    Differ,
    /// 4: migrations are pending where `--fail-on-pending` asked.
    Pending,
    /// 5: the lock was not had in time, or was lost, or another run is at work.
    Busy,
    /// 6: a store cannot be reached.
    Unreachable,
    /// 70: a mistake in the tool itself.
    Crashed,
    /// 130: ended by Ctrl-C.
    Interrupted,
    /// 143: ended by SIGTERM.
    Terminated,
}

impl Exit {
    /// The process exit code.
    pub fn code(self) -> u8 {
        match self {
            Exit::Done => 0,
            Exit::Failed => 1,
            Exit::Usage => 2,
            Exit::Differ => 3,
            Exit::Pending => 4,
            Exit::Busy => 5,
            Exit::Unreachable => 6,
            Exit::Crashed => 70,
            Exit::Interrupted => 130,
            Exit::Terminated => 143,
        }
    }
}

/// A place in a file, with the line it points at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The file, as the user would name it.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// How many characters of the line are meant, at least 1.
    pub width: usize,
    /// The text of the line.
    pub text: String,
}

impl Place {
    /// The place of the byte range `span` in `text`, the contents of `file`.
    pub fn of(file: &str, text: &str, span: std::ops::Range<usize>) -> Place {
        let start = floor_char_boundary(text, span.start);
        let line_start = text[..start].rfind('\n').map_or(0, |at| at + 1);
        let line_end = text[start..].find('\n').map_or(text.len(), |at| start + at);
        let end = floor_char_boundary(text, span.end).clamp(start, line_end);
        Place {
            file: file.to_string(),
            line: text[..start].matches('\n').count() + 1,
            column: text[line_start..start].chars().count() + 1,
            width: text[start..end].chars().count().max(1),
            text: text[line_start..line_end].to_string(),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}

fn floor_char_boundary(text: &str, at: usize) -> usize {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

/// What went wrong, as data; `report` renders it.
pub struct Error(Box<Parts>);

/// The parts of an [`Error`], in the order in which they are shown.
#[derive(Debug, Clone)]
pub struct Parts {
    /// How the process ends.
    pub exit: Exit,
    /// One sentence: what happened.
    pub message: String,
    /// Where, if a file is meant.
    pub place: Option<Place>,
    /// The chain of causes, nearest first: the store's own words and codes.
    pub causes: Vec<String>,
    /// What state things were left in.
    pub state: Vec<String>,
    /// What to do next.
    pub hints: Vec<String>,
    /// Further errors of the same command, each shown whole.
    pub others: Vec<Error>,
}

/// The crate's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// An error that ends the process with `exit`, saying `message`.
    pub fn new(exit: Exit, message: impl Into<String>) -> Error {
        Error(Box::new(Parts {
            exit,
            message: message.into(),
            place: None,
            causes: Vec::new(),
            state: Vec::new(),
            hints: Vec::new(),
            others: Vec::new(),
        }))
    }

    /// A mistake in usage, configuration, credentials or a file (exit 2).
    pub fn usage(message: impl Into<String>) -> Error {
        Error::new(Exit::Usage, message)
    }

    /// A migration or command that failed (exit 1).
    pub fn failed(message: impl Into<String>) -> Error {
        Error::new(Exit::Failed, message)
    }

    /// Adds the place in a file.
    pub fn at(mut self, place: Place) -> Error {
        self.0.place = Some(place);
        self
    }

    /// Adds a cause below those already there; what repeats the line above is left out.
    pub fn because(mut self, cause: impl fmt::Display) -> Error {
        let cause = cause.to_string();
        if self.0.causes.last().unwrap_or(&self.0.message) != &cause {
            self.0.causes.push(cause);
        }
        self
    }

    /// Adds the error and its chain of sources as causes.
    pub fn source(self, error: &(dyn std::error::Error + 'static)) -> Error {
        let mut result = self.because(error);
        let mut next = error.source();
        while let Some(cause) = next {
            result = result.because(cause);
            next = cause.source();
        }
        result
    }

    /// Adds a line that tells the state in which things were left.
    pub fn state(mut self, line: impl Into<String>) -> Error {
        self.0.state.push(line.into());
        self
    }

    /// Adds what to do next.
    pub fn hint(mut self, line: impl Into<String>) -> Error {
        self.0.hints.push(line.into());
        self
    }

    /// Joins several errors of one command: the first leads, the rest follow; `None` of none.
    pub fn all(errors: impl IntoIterator<Item = Error>) -> Option<Error> {
        let mut errors = errors.into_iter();
        let mut first = errors.next()?;
        first.0.others.extend(errors);
        Some(first)
    }

    /// The same, followed by other errors of the same command.
    pub fn with(mut self, others: impl IntoIterator<Item = Error>) -> Error {
        self.0.others.extend(others);
        self
    }

    /// The parts, for rendering.
    pub fn parts(&self) -> &Parts {
        &self.0
    }

    /// How the process ends.
    pub fn exit(&self) -> Exit {
        self.0.exit
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(place) = &self.0.place {
            write!(f, "{place}: ")?;
        }
        f.write_str(&self.0.message)?;
        for cause in &self.0.causes {
            write!(f, ": {cause}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

impl std::error::Error for Error {}

impl Clone for Error {
    fn clone(&self) -> Error {
        Error(self.0.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn place_counts_lines_and_characters_not_bytes() {
        let place = Place::of("f.sql", "-- ünï\nselect 日本 x;\n", 16..22);
        assert_eq!((place.line, place.column, place.width), (2, 8, 2));
        assert_eq!(place.text, "select 日本 x;");
    }

    #[test]
    fn place_past_the_end_is_the_end() {
        let place = Place::of("f", "ab", 10..20);
        assert_eq!((place.line, place.column), (1, 3));
    }
}
