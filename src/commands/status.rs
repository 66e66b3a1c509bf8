//! `status`: every migration of every store and its state.

use std::time::Duration;

use clap::Args;

use super::flags::duration;
use crate::error::Result;
use crate::ledger::Ledger;
use crate::migrator::Migrator;
use crate::plan::Entry;
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
            let asked =
                futures_util::future::try_join3(ledger.read(), ledger.at_work(), ledger.identity())
                    .await?;
            Ok((ledger, asked))
        };
        let (files, (ledger, (snapshot, at_work, live))) =
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
        self.warn_of_renamed(&entries);
        let selected = |entry: &&Entry<'_>| self.selected(entry.id.store);
        let mut strange = self.strange(&entries, &ledger).await?;
        for row in entries.iter().filter(selected).filter_map(|entry| entry.row) {
            if let Some(error) = strange.remove(&row.row) {
                self.warn(format!("{error}; {}", error.parts().hints.join("; ")));
            }
        }
        let mut report =
            StatusReport::of(&entries, &snapshot.tags, at_work, |store| self.selected(store));
        report.tags_here = snapshot.tags_here().into_iter().map(String::from).collect();
        report.fail_on_pending = status.fail_on_pending;
        Ok(Report::Status(report))
    }
}
