//! `tag`: names the present point of all stores.

use std::collections::BTreeSet;
use std::time::Duration;

use clap::Args;

use super::flags::duration;
use crate::error::{Error, Result};
use crate::ledger::{LockedLedger, Snapshot, State};
use crate::migration::MigrationId;
use crate::migrator::Migrator;
use crate::report::Report;

/// Give the present point of all stores a name.
#[derive(Clone, Debug, Args)]
pub struct Tag {
    /// The name, for instance v1.4
    #[arg(value_parser = tag_name)]
    pub name: String,
    /// How long to wait for another run's lock [default: 60s]
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub lock_wait: Option<Duration>,
}

impl Migrator {
    /// Records the set of migrations that stand now under a name, once.
    pub async fn tag(&self, tag: &Tag) -> Result<Report> {
        let run = self.begin();
        let ledger = self.ledger(&run, Duration::ZERO).await?;
        let (locked, ..) = self.lock(ledger, run, tag.lock_wait, std::future::ready(())).await?;
        let result = self.give_tag(&locked, &tag.name).await;
        locked.release().await;
        let here = result?;
        Ok(Report::Done(match here {
            Tagged::Now => format!("tagged {}", tag.name),
            Tagged::Before => format!("{} is the tag of this very point already", tag.name),
        }))
    }

    pub(super) async fn give_tag(&self, locked: &LockedLedger, name: &str) -> Result<Tagged> {
        let name = tag_name(name).map_err(Error::usage)?;
        let snapshot = locked.read().await?;
        self.warn_of_newer(&snapshot);
        let unsettled = snapshot.rows.iter().find(|row| {
            matches!(row.state, State::Running | State::Failed | State::Undoing | State::InDoubt)
        });
        if let Some(row) = unsettled {
            return Err(Error::failed(format!(
                "{} is {}: this is no point to come back to",
                row.id,
                row.state.name()
            ))
            .state("no tag was given")
            .hint("finish it first: aiplat-migrate up"));
        }
        if check_tag(&snapshot, &name, &snapshot.standing())? == Tagged::Before {
            return Ok(Tagged::Before);
        }
        match locked.tag(&name).await? {
            true => Ok(Tagged::Now),
            false => Err(moved(&name)),
        }
    }
}

/// Whether a tag is new.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tagged {
    /// It names this point from now on.
    Now,
    /// It named this very point before: a Job that starts twice gives its tag twice.
    Before,
}

/// Whether `name` may be given to the point where `standing` stand.
pub(super) fn check_tag(
    snapshot: &Snapshot,
    name: &str,
    standing: &BTreeSet<MigrationId>,
) -> Result<Tagged> {
    match snapshot.tagged(name) {
        None => Ok(Tagged::Now),
        Some(stood) if stood == *standing => Ok(Tagged::Before),
        Some(_) => Err(moved(name)),
    }
}

fn moved(name: &str) -> Error {
    Error::failed(format!("the tag `{name}` was given before, to another point"))
        .state("nothing was changed")
        .hint("a tag never moves: choose another name")
}

/// Reads the name of a tag: what fits into a command line, a file name and an image's tag.
pub(super) fn tag_name(text: &str) -> Result<String, String> {
    const LONGEST: usize = 128;
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '+' | '/');
    match text.chars().next() {
        None => Err("a tag has a name".to_string()),
        Some(first) if !first.is_ascii_alphanumeric() => {
            Err(format!("the name of a tag begins with a letter or a digit, not with `{first}`"))
        }
        Some(_) if text.len() > LONGEST => {
            Err(format!("the name of a tag has at most {LONGEST} characters"))
        }
        Some(_) => match text.chars().find(|c| !fits(*c)) {
            Some(other) => Err(format!(
                "the name of a tag is letters, digits, `.`, `_`, `-`, `+` and `/`, without `{other}`"
            )),
            None => Ok(text.to_string()),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::tag_name;

    #[test]
    fn tag_names() {
        for good in ["v1.4", "2026-11-20", "release/7+build_3", "1"] {
            assert_eq!(tag_name(good).as_deref(), Ok(good));
        }
        for bad in ["", " ", "-v1", ".1", "v 1", "ü", "v1\n", "a'b"] {
            assert!(tag_name(bad).is_err(), "{bad}");
        }
        assert!(tag_name(&"a".repeat(129)).is_err());
    }
}
