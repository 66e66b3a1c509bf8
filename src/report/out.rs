//! The one way to standard output and standard error, and what text is like that takes it.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::Path;

use serde_json::Value;
use tracing_subscriber::fmt::MakeWriter;

use super::Style;
use crate::file;
use crate::text::unseen::{commands, harmless, is_unseen};

/// Writes a result to standard output, all of it. That nobody reads on is no error.
pub fn result(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}

/// Writes to standard error. One that is closed or full is no reason to stop: there is nobody to tell.
pub fn say(text: &str, style: Style) {
    let _ = ask(text, style);
}

/// Writes a question to standard error.
pub fn ask(text: &str, style: Style) -> io::Result<()> {
    let mut stderr = io::stderr().lock();
    stderr.write_all(for_people(text, style).as_bytes())?;
    stderr.flush()
}

/// Text for people, as a terminal or a log may have it.
pub fn for_people(text: &str, style: Style) -> String {
    harmless(text, style == Style::Colour).into_owned()
}

/// A result as JSON. What a terminal or a CI runner would obey is escaped, which loses nothing.
pub fn json(value: &Value) -> String {
    in_json(&format!("{value:#}\n"))
}

fn in_json(text: &str) -> String {
    let mut text = text.to_string();
    for at in commands(&text).into_iter().rev() {
        text.replace_range(at + 1..at + 2, "\\u0023");
    }
    // A line break stands between values; in them it is escaped already.
    let is_harmful = |c: char| is_unseen(c) && c != '\n';
    match text.contains(is_harmful) {
        false => text,
        true => text
            .chars()
            .map(|c| match is_harmful(c) {
                true => format!("\\u{:04x}", u32::from(c)),
                false => c.to_string(),
            })
            .collect(),
    }
}

/// Appends to the summary of the step, where GitHub Actions says that it takes one.
pub fn summarize(text: &str) -> io::Result<()> {
    match std::env::var_os("GITHUB_STEP_SUMMARY") {
        Some(path) => file::write(
            OpenOptions::new().append(true).create(true),
            Path::new(&path),
            &harmless(text, false),
        ),
        None => Ok(()),
    }
}

/// Where the log goes: standard error.
#[derive(Clone, Copy, Debug)]
pub struct Log {
    /// Whether its lines are JSON.
    pub json: bool,
    /// How its lines look that are for people.
    pub style: Style,
}

/// A line of the [`Log`].
pub struct LogLine(Log);

impl MakeWriter<'_> for Log {
    type Writer = LogLine;

    fn make_writer(&self) -> LogLine {
        LogLine(*self)
    }
}

impl Write for LogLine {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(line);
        let text = match self.0.json {
            true => in_json(&text),
            false => for_people(&text, self.0.style),
        };
        io::stderr().lock().write_all(text.as_bytes()).map(|()| line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().lock().flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_stays_what_it_is() {
        let value = serde_json::json!({
            "text": "a\n::b::\u{1b}[2J\u{202e}\u{85}\u{7f}##[error]c", "##[name]": ["ünï"],
        });
        let text = json(&value);
        assert_eq!(serde_json::from_str::<Value>(&text).expect("JSON"), value);
        assert!(!text.contains(|c: char| is_unseen(c) && c != '\n'), "{text}");
        assert!(!text.contains("##["), "{text}");
    }
}
