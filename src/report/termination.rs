//! The reason of a failure, for who reads `kubectl describe pod`.

use std::fs::OpenOptions;
use std::path::{Path, PathBuf};

use super::Finished;
use super::{Style, out, render_error};
use crate::error::{Error, Exit};
use crate::file;

/// Kubernetes shows no more of a container's termination message.
const LIMIT: usize = 4096;

/// Where the kubelet looks, unless the container's `terminationMessagePath` says otherwise.
const DEFAULT: &str = "/dev/termination-log";

const CUT: &str = "… (all of it is in the log)\n";

/// Where the reason goes: the file that was named, else the kubelet's, if it is there.
pub fn path(named: Option<&Path>) -> Option<PathBuf> {
    let named = named.map(Path::to_path_buf);
    named.or_else(|| Some(PathBuf::from(DEFAULT)).filter(|path| path.exists()))
}

/// The reason why `finished` is no success; `None` where it is one.
///
/// Of a success whose result was lost, that is the reason.
pub fn reason(finished: &Finished, unwritten: Option<&Error>) -> Option<String> {
    if finished.exit() == Exit::Done {
        return unwritten.map(|error| render_error(error, Style::Plain));
    }
    let text = match (&finished.error, &finished.report) {
        (Some(error), _) => render_error(error, Style::Plain),
        (None, Some(report)) => report.text(Style::Plain),
        (None, None) => String::new(),
    };
    Some(text)
}

/// Writes `reason`, cut to what is shown. The kubelet made the file, perhaps in a folder that may
/// not be written: it is written in place, not replaced.
pub fn write(path: &Path, reason: &str) -> std::io::Result<()> {
    let reason = out::for_people(reason, Style::Plain);
    file::write(OpenOptions::new().write(true).create(true).truncate(true), path, &cut(&reason))
}

/// The whole lines at the beginning of `text` that fit; of a single long one, the characters.
fn cut(text: &str) -> String {
    if text.len() <= LIMIT {
        return text.to_string();
    }
    let mut end = LIMIT - CUT.len();
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let end = text[..end].rfind('\n').map_or(end, |line| line + 1);
    format!("{}{CUT}", &text[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_reason_keeps_its_beginning_in_whole_lines_and_characters() {
        assert_eq!(cut("error: short\n"), "error: short\n");
        assert_eq!(cut(&"x".repeat(LIMIT)), "x".repeat(LIMIT));
        let lines = cut(&"caused by: ünï\n".repeat(1000));
        assert!(lines.len() <= LIMIT && lines.len() > LIMIT - 60, "{}", lines.len());
        assert!(lines.ends_with(&format!("caused by: ünï\n{CUT}")));
        let line = cut(&"日".repeat(3000));
        assert!(line.len() <= LIMIT && line.len() > LIMIT - 4, "{}", line.len());
    }
}
