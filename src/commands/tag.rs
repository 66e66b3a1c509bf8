//! `tag`: names the present point of all stores.

use std::time::Duration;

use clap::Args;

use crate::cli::duration;
use crate::error::{Error, Result};
use crate::ledger::{LockedLedger, State};
use crate::migrator::Migrator;
use crate::report::Report;

/// Give the present point of all stores a name.
#[derive(Clone, Debug, Args)]
pub struct Tag {
    /// The name, for instance v1.4
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
        let (locked, _) = self.lock(ledger, run, tag.lock_wait).await?;
        let result = self.give_tag(&locked, &tag.name).await;
        locked.release().await;
        result.map(|()| Report::Done(format!("tagged {}", tag.name)))
    }

    pub(super) async fn give_tag(&self, locked: &LockedLedger, name: &str) -> Result<()> {
        if name.trim().is_empty() {
            return Err(Error::usage("a tag has a name"));
        }
        let snapshot = locked.read().await?;
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
        let stand = snapshot.rows.iter().filter(|row| row.state != State::Undone);
        let rows: Vec<i64> = stand.map(|row| row.row).collect();
        match locked.tag(name, &rows).await? {
            true => Ok(()),
            false => Err(Error::failed(format!("the tag `{name}` was given before"))
                .state("nothing was changed")
                .hint("a tag never moves: choose another name")),
        }
    }
}
