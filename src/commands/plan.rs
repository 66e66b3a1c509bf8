//! `plan`: what `up` would do.

use std::time::Duration;

use clap::Args;

use super::flags::duration;
use crate::error::Result;
use crate::execute;
use crate::ledger::Ledger;
use crate::migration::Requirement;
use crate::migrator::Migrator;
use crate::plan::{self, UpOptions};
use crate::report::{PlanReport, Report};

use super::up::join;

/// Show what `up` would do, step by step, with its hazards.
#[derive(Clone, Debug, Default, Args)]
pub struct Plan {
    /// Only up to this migration, and what it requires
    #[arg(long, value_name = "STORE@VERSION")]
    pub to: Option<Requirement>,
    /// Take in migrations that are older than what is applied in their store
    #[arg(long)]
    pub out_of_order: bool,
    /// How long to wait for the ledger's PostgreSQL
    #[arg(long, value_name = "TIME", default_value = "0s", value_parser = duration)]
    pub wait: Duration,
}

impl Migrator {
    /// Reads files and ledger; contacts no store, writes nothing and takes no lock.
    pub async fn plan(&self, plan: &Plan) -> Result<Report> {
        let (files, (ledger, snapshot)) = self
            .files_and_ledger(Self::checked_files, &self.begin(), plan.wait, Ledger::and_read)
            .await?;
        self.warn_of_newer(&snapshot);
        let entries = plan::compare(&files, &snapshot.rows);
        self.warn_of_renamed(&entries);
        let options = UpOptions {
            to: plan.to.clone(),
            out_of_order: plan.out_of_order,
            stores: self.stores.clone(),
            obstacles: self.strange(&entries, &ledger).await?,
            files_only: false,
        };
        let items = plan::up(&entries, &options).map_err(join)?;
        let tasks = execute::to_apply(&items, &files, &snapshot, &self.config.placeholders)?;
        Ok(Report::Plan(PlanReport::of_tasks(&tasks, &self.config.placeholders.secrets())))
    }
}
