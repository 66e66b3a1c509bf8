//! How far a changed file is from what was applied, and rows that no run of these files left so.

use std::collections::{BTreeMap, BTreeSet};

use crate::error::{Error, Exit, Result};
use crate::ledger::{Ledger, Row, State};
use crate::migration::{Migration, Version};
use crate::migrator::Migrator;
use crate::plan::{Entry, Status};
use crate::text::Checksum;

/// What a changed file changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// Its name alone.
    Name,
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
            Extent::Name => "only its name differs",
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
            _ if !entry.is_rewritten() => Extent::Name,
            (Some(applied), Some(now)) if *applied == now => Extent::Writing,
            (Some(_), _) => Extent::Doing,
            (None, _) => Extent::Unknown,
        }
    }
}

/// The rows whose files were changed after they were applied.
pub fn rows(entries: &[Entry<'_>]) -> Vec<i64> {
    let changed =
        entries.iter().filter(|entry| entry.status == Status::Changed || took_a_number(entry));
    changed.filter_map(|entry| entry.row).map(|row| row.row).collect()
}

/// Whether the file has neither the name nor the text of what was applied, in whole or in part.
fn took_a_number(entry: &Entry<'_>) -> bool {
    let is_done = |row: &Row| match row.state {
        State::Applied | State::Undoing => true,
        State::Running | State::Failed | State::InDoubt => row.steps_done > 0,
        State::Undone | State::Baseline | State::Newer => false,
    };
    entry.row.is_some_and(is_done) && entry.is_renamed() && entry.is_rewritten()
}

/// That a file has another name than it was applied from, and the same text.
pub fn renamed(entry: &Entry<'_>) -> Option<String> {
    let (file, row) = (entry.file?, entry.row?);
    let is_new_name = row.state == State::Applied && entry.is_renamed() && !entry.is_rewritten();
    is_new_name.then(|| {
        format!("{} was applied from {}, and is {} now", entry.id, row.script, file.source.file)
    })
}

/// What takes a new name into the ledger.
pub const TAKE_NAME: &str = "take the new name: aiplat-migrate repair --accept-changed";

/// What is wrong with rows that neither their files nor their states tell alone, by their numbers.
pub type Strange = BTreeMap<i64, Error>;

impl Migrator {
    /// The rows that somebody set by hand, and those whose number another migration took, which is
    /// no change of the one that was applied. What these files do decides it, not how they are written.
    pub(super) async fn strange(&self, entries: &[Entry<'_>], ledger: &Ledger) -> Result<Strange> {
        let took: Vec<&Entry<'_>> = entries.iter().filter(|entry| took_a_number(entry)).collect();
        let rows: Vec<i64> = took.iter().filter_map(|entry| entry.row).map(|row| row.row).collect();
        let contents = ledger.contents(&rows).await?;
        let others: Vec<&Entry<'_>> = took
            .into_iter()
            .filter(|entry| Extent::of(entry, &contents) != Extent::Writing)
            .collect();
        let is_elsewhere = belongs_elsewhere(entries, &others);
        let schema = &self.config.ledger.schema;
        let took = others.iter().filter_map(|entry| {
            let (file, row) = (entry.file?, entry.row?);
            let error = took_number(file, row, &next_version(entries, entry));
            Some((row.row, if is_elsewhere { error.hint(elsewhere(schema)) } else { error }))
        });
        // What a newer release left is none of ours to judge.
        let known = entries.iter().filter(|entry| entry.status != Status::Future);
        let by_hand = known.filter_map(|entry| entry.row).filter(|row| row.is_set_by_hand());
        Ok(took.chain(by_hand.map(|row| (row.row, set_by_hand(row, schema)))).collect())
    }

    /// Warns of files that have another name than they were applied from.
    pub(super) fn warn_of_renamed(&self, entries: &[Entry<'_>]) {
        for entry in entries.iter().filter(|entry| self.selected(entry.id.store)) {
            if let Some(renamed) = renamed(entry) {
                self.warn(format!("{renamed}; {TAKE_NAME}"));
            }
        }
    }
}

/// Whether nothing that the ledger recorded is among the files, though their numbers are.
fn belongs_elsewhere(entries: &[Entry<'_>], others: &[&Entry<'_>]) -> bool {
    let taken: BTreeSet<i64> =
        others.iter().filter_map(|entry| entry.row).map(|row| row.row).collect();
    let with_both =
        entries.iter().filter(|entry| entry.file.is_some() && entry.id.version().is_some());
    let mut rows = with_both.filter_map(|entry| entry.row);
    !taken.is_empty() && rows.all(|row| taken.contains(&row.row))
}

fn elsewhere(schema: &str) -> String {
    format!(
        "or, if all that is recorded in the schema {schema} is of another project: keep this one's ledger in a \
         schema of its own, `schema` under [ledger] or AIPLAT_MIGRATE_LEDGER_SCHEMA"
    )
}

/// The first version after all that files or ledger have in the store of `entry`.
fn next_version(entries: &[Entry<'_>], entry: &Entry<'_>) -> Version {
    let own = entries.iter().filter(|other| other.id.store == entry.id.store);
    let highest = own.filter_map(|other| other.id.version()).max();
    highest.map_or_else(Version::zero, Version::next_major)
}

fn took_number(file: &Migration, row: &Row, next: &Version) -> Error {
    let (now, before) = (&file.source.file, &row.script);
    Error::new(
        Exit::Differ,
        format!(
            "{} was applied from {before}; {now} is another migration that took its number",
            row.id
        ),
    )
    .because("both its name and what it does differ")
    .hint(format!("give {now} a number of its own: V{next}"))
    .hint(format!("or put {before} back"))
}

fn set_by_hand(row: &Row, schema: &str) -> Error {
    let state = row.state.name();
    Error::new(
        Exit::Differ,
        format!("{} is `{state}` in the ledger, and no run left it so: its row was changed by hand", row.id),
    )
    .because(format!(
        "{} of its {} steps are recorded as done, without the texts that a run keeps until it has settled them",
        row.steps_done, row.steps_total
    ))
    .hint(format!(
        "if it is applied: update {schema}.ledger set state = 'applied' where id = {0}; if what it made is gone: \
         update {schema}.ledger set state = 'undone' where id = {0}",
        row.row
    ))
}
