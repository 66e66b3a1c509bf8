//! `repair`: settles what only a person can settle; always shows its plan first.

use std::time::Duration;

use clap::Args;

use crate::cli::{Confirm, duration};
use crate::error::{Error, Result};
use crate::ledger::{Snapshot, State};
use crate::migration::{Files, MigrationId, Requirement};
use crate::migrator::Migrator;
use crate::plan::{self, Status};
use crate::report::{RepairReport, Report};

/// Settle what is in doubt, changed or missing.
#[derive(Clone, Debug, Default, Args)]
pub struct Repair {
    /// The step in doubt of this migration was done
    #[arg(long, value_name = "STORE@VERSION", conflicts_with = "not_done")]
    pub done: Option<Requirement>,
    /// The step in doubt of this migration was not done
    #[arg(long, value_name = "STORE@VERSION")]
    pub not_done: Option<Requirement>,
    /// Take the text of changed files as what was applied
    #[arg(long)]
    pub accept_changed: bool,
    /// Take it that files which are gone are meant to be gone
    #[arg(long)]
    pub accept_missing: bool,
    /// Show what would be done, and do nothing
    #[arg(long)]
    pub dry_run: bool,
    /// How long to wait for another run's lock [default: 60s]
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub lock_wait: Option<Duration>,
}

/// One thing that `repair` does.
#[derive(Clone, Debug, PartialEq)]
enum Action {
    Settle { id: MigrationId, row: i64, done: bool },
    Realign { id: MigrationId, row: i64, checksum: String, script: String },
    Forget { id: MigrationId, row: i64 },
}

impl Migrator {
    /// Shows what it is about to do, asks, and does it; each repair is an event.
    pub async fn repair(&self, repair: &Repair, confirm: Confirm<'_>) -> Result<Report> {
        let files = self.files()?;
        let run = self.begin();
        let ledger = self.ledger(&run, Duration::ZERO).await?;
        let snapshot = ledger.read().await?;
        let actions = actions(repair, &files, &snapshot)?;
        let mut report =
            RepairReport { actions: actions.iter().map(describe).collect(), done: false };
        if actions.is_empty() || repair.dry_run {
            return Ok(Report::Repair(report));
        }
        if !confirm(&format!("{report}Do this?")) {
            return Err(Error::usage("not confirmed")
                .state("nothing was changed")
                .hint("where nobody can be asked: --yes"));
        }
        let (locked, snapshot) = self.lock(ledger, run, repair.lock_wait).await?;
        let result = async {
            for action in self::actions(repair, &files, &snapshot)? {
                match &action {
                    Action::Settle { id, row, done } => {
                        locked.settle_doubt(*row, id, *done).await?
                    }
                    Action::Realign { id, row, checksum, script } => {
                        locked.realign(*row, id, checksum, script).await?;
                    }
                    Action::Forget { id, row } => locked.forget(*row, id).await?,
                }
            }
            Ok(())
        };
        let result = result.await;
        locked.release().await;
        result.map(|()| {
            report.done = true;
            Report::Repair(report)
        })
    }
}

fn actions(repair: &Repair, files: &Files, snapshot: &Snapshot) -> Result<Vec<Action>> {
    let mut actions = Vec::new();
    for (wanted, done) in [(&repair.done, true), (&repair.not_done, false)] {
        if let Some(wanted) = wanted {
            actions.push(settle(snapshot, &wanted.id(), done)?);
        }
    }
    for entry in plan::compare(files, &snapshot.rows) {
        let Some(row) = entry.row else { continue };
        match (entry.status, entry.file) {
            (Status::Changed, Some(file)) if repair.accept_changed => {
                actions.push(Action::Realign {
                    id: entry.id.clone(),
                    row: row.row,
                    checksum: file.checksum.as_str().to_string(),
                    script: file.source.file.clone(),
                })
            }
            (Status::Missing, _) if repair.accept_missing => {
                actions.push(Action::Forget { id: entry.id.clone(), row: row.row });
            }
            (_, _) => {}
        }
    }
    Ok(actions)
}

fn settle(snapshot: &Snapshot, id: &MigrationId, done: bool) -> Result<Action> {
    match snapshot.living(id) {
        Some(row) if row.state == State::InDoubt => {
            Ok(Action::Settle { id: id.clone(), row: row.row, done })
        }
        Some(row) => Err(Error::usage(format!("{id} is {}, not in doubt", row.state.name()))
            .state("nothing was changed")),
        None => Err(Error::usage(format!("the ledger has no {id}")).state("nothing was changed")),
    }
}

fn describe(action: &Action) -> String {
    match action {
        Action::Settle { id, done: true, .. } => {
            format!("{id}: take the step in doubt as done; `up` goes on with the next one")
        }
        Action::Settle { id, done: false, .. } => {
            format!("{id}: take the step in doubt as not done; `up` does it again")
        }
        Action::Realign { id, script, .. } => {
            format!("{id}: take the present text of {script} as what was applied")
        }
        Action::Forget { id, .. } => {
            format!("{id}: take it that its file is meant to be gone; what it made stays")
        }
    }
}
