//! Colour, and what tables look like.

use std::borrow::Cow;
use std::io::Write;

use tabwriter::TabWriter;

/// Whether to use colour: on a terminal that has it, unless NO_COLOR is set; or where CLICOLOR_FORCE is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// With colour.
    Colour,
    /// Without.
    Plain,
}

impl Style {
    /// The style for a stream that is, or is not, a terminal (<https://no-color.org>, and
    /// <https://bixense.com/clicolors>).
    pub fn of(is_terminal: bool) -> Style {
        let set = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        let forced = set("CLICOLOR_FORCE").is_some_and(|value| value != "0");
        let refused = set("CLICOLOR").is_some_and(|value| value == "0");
        let able = is_terminal && !is_dumb() && !refused;
        match set("NO_COLOR").is_none() && (forced || able) {
            true => Style::Colour,
            false => Style::Plain,
        }
    }

    fn paint(self, code: &str, text: &str) -> String {
        match self {
            Style::Colour => format!("\u{1b}[{code}m{text}\u{1b}[0m"),
            Style::Plain => text.to_string(),
        }
    }

    /// For what went well.
    pub fn good(self, text: &str) -> String {
        self.paint("32", text)
    }

    /// For what wants attention.
    pub fn warn(self, text: &str) -> String {
        self.paint("33", text)
    }

    /// For what went wrong.
    pub fn bad(self, text: &str) -> String {
        self.paint("1;31", text)
    }

    /// For what leads a line.
    pub fn bold(self, text: &str) -> String {
        self.paint("1", text)
    }

    /// For what is beside the point.
    pub fn dim(self, text: &str) -> String {
        self.paint("2", text)
    }
}

/// Whether the terminal says that it can nothing but write.
pub(super) fn is_dumb() -> bool {
    std::env::var_os("TERM").is_some_and(|value| value == "dumb")
}

/// The lines of a table with this head; a cell takes one line.
pub(super) fn table<'a, const N: usize>(
    head: [&str; N],
    rows: impl Iterator<Item = [Cow<'a, str>; N]>,
) -> String {
    let mut table = TabWriter::new(Vec::new()).minwidth(0).padding(2).ansi(true);
    const BREAKS: [char; 3] = ['\t', '\n', '\r'];
    let mut line = String::new();
    for row in std::iter::once(head.map(|title| Cow::from(title.to_uppercase()))).chain(rows) {
        line.clear();
        for cell in &row {
            match cell.bytes().any(|byte| BREAKS.contains(&char::from(byte))) {
                true => line.push_str(&cell.replace(BREAKS, " ")),
                false => line.push_str(cell),
            }
            line.push('\t');
        }
        line.pop();
        line.push('\n');
        // Memory takes whatever is written.
        let _ = table.write_all(line.as_bytes());
    }
    let written = table.into_inner().unwrap_or_default();
    String::from_utf8(written).unwrap_or_default()
}

/// A time as people read it: `37 ms`, `4.2 s`, `3 min 20 s`.
pub(super) fn duration(millis: u128) -> String {
    match millis {
        0..1_000 => format!("{millis} ms"),
        1_000..60_000 => format!("{}.{} s", millis / 1_000, millis % 1_000 / 100),
        _ => format!("{} min {} s", millis / 60_000, millis % 60_000 / 1_000),
    }
}
