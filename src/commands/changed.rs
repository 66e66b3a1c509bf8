//! How far a changed file is from what was applied.

use std::collections::BTreeMap;

use crate::plan::{Entry, Status};
use crate::text::Checksum;

/// What a changed file changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// How it is written, and nothing of what it does.
    Writing,
    /// What it does.
    Doing,
    /// Nobody knows: it was applied by a version of this tool that did not record enough.
    Unknown,
}

impl Extent {
    /// In words.
    pub fn name(self) -> &'static str {
        match self {
            Extent::Writing => "only comments or white space differ",
            Extent::Doing => "what it does differs",
            Extent::Unknown => {
                "whether only comments differ cannot be told: an older version of this tool applied it"
            }
        }
    }

    /// Of the file of `entry`, by what the ledger knows of its rows.
    pub fn of(entry: &Entry<'_>, contents: &BTreeMap<i64, Checksum>) -> Extent {
        let applied = entry.row.and_then(|row| contents.get(&row.row));
        let now = entry.file.and_then(|file| file.source.content());
        match (applied, now) {
            (Some(applied), Some(now)) if *applied == now => Extent::Writing,
            (Some(_), _) => Extent::Doing,
            (None, _) => Extent::Unknown,
        }
    }
}

/// The rows whose files were changed after they were applied.
pub fn rows(entries: &[Entry<'_>]) -> Vec<i64> {
    let changed = entries.iter().filter(|entry| entry.status == Status::Changed);
    changed.filter_map(|entry| entry.row).map(|row| row.row).collect()
}
