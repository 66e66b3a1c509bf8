//! `migrations.sum`: the checksum of every file and of the whole, like a lock file.
//!
//! Two branches that both add migrations conflict in git on purpose: whoever merges has to look at
//! the order. The first line is the checksum of the rest.

use std::collections::BTreeMap;
use std::fmt::Write;

use crate::text::{Checksum, normalized};

/// The name of the file, beside the stores' folders.
pub const FILE: &str = "migrations.sum";

/// One way in which the files and the sum file disagree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mismatch {
    /// A file that the sum file does not list.
    Added(String),
    /// A file that the sum file lists and that is gone.
    Removed(String),
    /// A file whose text is not what the sum file says.
    Changed(String),
    /// The sum file itself was edited by hand or merged badly.
    Broken(String),
}

impl std::fmt::Display for Mismatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Mismatch::Added(file) => write!(f, "{file} is not listed in {FILE}"),
            Mismatch::Removed(file) => write!(f, "{file} is listed in {FILE} and is gone"),
            Mismatch::Changed(file) => write!(f, "{file} is not as {FILE} says"),
            Mismatch::Broken(why) => write!(f, "{FILE} is broken: {why}"),
        }
    }
}

/// The text of the sum file for `checksums`.
pub fn write(checksums: &BTreeMap<&str, &Checksum>) -> String {
    let mut lines = String::new();
    for (file, checksum) in checksums {
        let _ = writeln!(lines, "{file} {checksum}");
    }
    format!("{}\n{lines}", Checksum::of(&lines))
}

/// Compares the sum file's `text` with `checksums`; nothing when they agree.
pub fn compare(text: &str, checksums: &BTreeMap<&str, &Checksum>) -> Vec<Mismatch> {
    let text = normalized(text);
    let (whole, lines) = text.split_once('\n').unwrap_or((&text, ""));
    let listed = lines.lines().filter(|line| !line.is_empty()).map(read);
    let listed: BTreeMap<&str, &str> = match listed.collect() {
        Ok(listed) => listed,
        Err(broken) => return vec![broken],
    };
    let mut found = Vec::new();
    for (file, checksum) in checksums {
        match listed.get(file) {
            None => found.push(Mismatch::Added(file.to_string())),
            Some(other) if *other != checksum.as_str() => {
                found.push(Mismatch::Changed(file.to_string()));
            }
            Some(_) => {}
        }
    }
    let gone = listed.keys().filter(|file| !checksums.contains_key(*file));
    found.extend(gone.map(|file| Mismatch::Removed(file.to_string())));
    if found.is_empty() && Checksum::of(lines).as_str() != whole {
        found.push(Mismatch::Broken("its first line does not match the rest".to_string()));
    }
    found
}

/// A line of the sum file: a file's name and its checksum.
fn read(line: &str) -> Result<(&str, &str), Mismatch> {
    match line.rsplit_once(' ') {
        Some(listed) if listed.1.starts_with("sha256:") => Ok(listed),
        _ => Err(Mismatch::Broken(format!("cannot read the line `{line}`"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sums<'a>(files: &[(&'a str, &str)]) -> BTreeMap<&'a str, &'static Checksum> {
        let sum = |text: &str| Box::leak(Box::new(Checksum::of(text)));
        files.iter().map(|(file, text)| (*file, &*sum(text))).collect()
    }

    #[test]
    fn agrees_with_what_it_wrote() {
        let files = sums(&[("postgres/V1__a b.sql", "1"), ("kafka/V1__t.json5", "2")]);
        assert_eq!(compare(&write(&files), &files), []);
        assert_eq!(compare(&write(&files).replace('\n', "\r\n"), &files), []);
    }

    #[test]
    fn names_each_difference() {
        let text = write(&sums(&[("a", "1"), ("b", "2")]));
        let now = sums(&[("a", "other"), ("c", "3")]);
        assert_eq!(
            compare(&text, &now),
            [
                Mismatch::Changed("a".into()),
                Mismatch::Added("c".into()),
                Mismatch::Removed("b".into()),
            ]
        );
        let files = sums(&[("a", "1")]);
        let merged = write(&files).replacen("sha256:", "sha256:0", 1);
        assert!(matches!(compare(&merged, &files)[..], [Mismatch::Broken(_)]));
    }
}
