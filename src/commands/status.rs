//! `status`: every migration of every store and its state.

use std::time::Duration;

use clap::Args;

use super::flags::duration;
use crate::error::Result;
use crate::ledger::Ledger;
use crate::migrator::Migrator;
use crate::report::{Report, StatusReport};
use crate::stores::StoreKind;

/// Show every migration of every store and its state.
#[derive(Clone, Debug, Default, Args)]
pub struct Status {
    /// End with exit code 4 if anything is pending
    #[arg(long)]
    pub fail_on_pending: bool,
    /// How long to wait for the ledger's PostgreSQL
    #[arg(long, value_name = "TIME", default_value = "0s", value_parser = duration)]
    pub wait: Duration,
}

impl Migrator {
    /// Reads files and ledger; writes nothing and takes no lock.
    pub async fn status(&self, status: &Status) -> Result<Report> {
        let ask = async |ledger: Ledger| {
            futures_util::future::try_join3(ledger.read(), ledger.at_work(), ledger.identity())
                .await
        };
        let (files, (snapshot, at_work, live)) =
            self.files_and_ledger(Self::files, &self.begin(), status.wait, ask).await?;
        self.warn_of_newer(&snapshot);
        let kind = StoreKind::of_ledger();
        if let (Some(known), Some(live)) = (snapshot.identities.get(&kind), live)
            && *known != live
        {
            self.warn(format!(
                "this ledger belongs with another {}: it knows {known}, this one is {live}; after a restore or a \
                 move on purpose: aiplat-migrate repair --accept-identity --store {kind}",
                kind.title()
            ));
        }
        let entries = self.compare(&files, &snapshot.rows);
        let mut report =
            StatusReport::of(&entries, &snapshot.tags, at_work, |store| self.selected(store));
        report.tags_here = snapshot.tags_here().into_iter().map(String::from).collect();
        report.fail_on_pending = status.fail_on_pending;
        Ok(Report::Status(report))
    }
}
