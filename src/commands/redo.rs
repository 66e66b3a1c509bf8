//! `redo`: takes the newest migration back and applies it again, while its author works on it.

use std::collections::BTreeSet;
use std::time::Duration;

use clap::Args;

use super::flags::{Confirm, duration};
use super::up::join;
use super::{Down, Manner, Up};
use crate::error::{Error, Result};
use crate::execute;
use crate::ledger::{Run, Snapshot, State};
use crate::migration::{Files, Key, MigrationId, Requirement};
use crate::migrator::Migrator;
use crate::plan::{self, DownTarget, UpOptions};
use crate::report::Finished;
use crate::report::Report;

/// Undo the newest migration and apply it again, as its file is now.
#[derive(Clone, Debug, Args)]
pub struct Redo {
    /// Show what would be undone, and do nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Undo even what holds data, which is lost
    #[arg(long)]
    pub allow_data_loss: bool,
    /// Rehearse the undo before the plan is shown too: the U file is done and rolled back, under its locks
    #[arg(long)]
    pub rehearse: bool,
    /// How long to wait for stores that do not answer yet
    #[arg(long, value_name = "TIME", default_value = "0s", value_parser = duration)]
    pub wait: Duration,
    /// How it goes about it.
    #[command(flatten)]
    pub manner: Manner,
}

impl Migrator {
    /// `down` and `up` of the newest migration. All that would stop the `up` is looked for first.
    pub async fn redo(&self, redo: &Redo, confirm: Confirm<'_>) -> Finished {
        let again = match self.check_redo(redo).await {
            Ok(again) => again,
            Err(error) => return Err(error).into(),
        };
        let down = Down {
            steps: Some(1),
            dry_run: redo.dry_run,
            allow_data_loss: redo.allow_data_loss,
            rehearse: redo.rehearse,
            wait: redo.wait,
            manner: redo.manner.clone(),
            ..Down::default()
        };
        let mut finished = self.down(&down, confirm).await;
        let undone = matches!(&finished.report, Some(Report::Run(run)) if !run.settled.is_empty());
        if finished.error.is_some() || !undone {
            return finished;
        }
        for to in again {
            let up =
                Up { to: Some(to), wait: redo.wait, manner: redo.manner.clone(), ..Up::default() };
            finished = self.up(&up).await;
            if finished.error.is_some() {
                break;
            }
        }
        finished
    }

    /// What is to be applied again, oldest first; an error where that is certain to fail.
    async fn check_redo(&self, redo: &Redo) -> Result<Vec<Requirement>> {
        let files = self.checked_files()?;
        let mut snapshot = self.ledger(&Run::new(), redo.wait).await?.read().await?;
        let chosen =
            plan::down(&snapshot.rows, &DownTarget::Steps(1), &self.stores).map_err(join)?;
        let ids: Vec<MigrationId> = chosen.iter().rev().map(|(row, _)| row.id.clone()).collect();
        let gone: BTreeSet<i64> = chosen.iter().map(|(row, _)| row.row).collect();
        for row in snapshot.rows.iter_mut().filter(|row| gone.contains(&row.row)) {
            row.state = State::Undone;
        }
        let again: Vec<Requirement> = ids.iter().filter_map(requirement).collect();
        for to in &again {
            self.check_up(&files, &snapshot, to)?;
        }
        Ok(again)
    }

    fn check_up(&self, files: &Files, snapshot: &Snapshot, to: &Requirement) -> Result<()> {
        let stopped = |error: Error| error.state("nothing was undone");
        if files.get(&to.id()).is_none() {
            let error = Error::usage(format!(
                "the file of {} is gone: it cannot be applied again",
                to.id()
            ));
            return Err(stopped(error).hint("to undo it alone: aiplat-migrate down"));
        }
        let options =
            UpOptions { to: Some(to.clone()), stores: self.stores.clone(), ..UpOptions::default() };
        let entries = plan::compare(files, &snapshot.rows);
        let items = plan::up(&entries, &options).map_err(|errors| stopped(join(errors)))?;
        execute::to_apply(&items, files, snapshot, &self.config.placeholders).map_err(stopped)?;
        Ok(())
    }
}

fn requirement(id: &MigrationId) -> Option<Requirement> {
    match &id.key {
        Key::Version(version) => Some(Requirement { store: id.store, version: version.clone() }),
        Key::Repeatable(_) => None,
    }
}
