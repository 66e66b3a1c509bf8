//! `wait`: until all stores answer.

use std::time::Duration;

use clap::Args;

use super::flags::duration;
use crate::error::{Error, Result};
use crate::ledger::Run;
use crate::migrator::Migrator;
use crate::report::Report;
use crate::stores::Settings;
use crate::stores::StoreKind;

/// Wait until all stores answer.
#[derive(Clone, Debug, Args)]
pub struct Wait {
    /// How long
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = duration)]
    pub timeout: Duration,
}

impl Migrator {
    /// Connects to the ledger and to every configured store; wrong credentials fail at once.
    pub async fn wait(&self, wait: &Wait) -> Result<Report> {
        let run = self.begin();
        let chosen = self.config.stores.iter().filter(|(kind, _)| self.selected(**kind));
        let settings: Vec<Settings> = chosen.map(|(_, settings)| settings.clone()).collect();
        let application = run.application();
        let stores = self.connect_all(&settings, &application, wait.timeout);
        let (ledger, stores) =
            futures_util::future::join(self.ledger_apart(&run, wait.timeout), stores).await;
        let count = stores.as_ref().map_or(0, |stores| stores.len());
        match Error::all([ledger.err(), stores.err()].into_iter().flatten()) {
            Some(error) => Err(error),
            None => {
                let stores = if count == 1 { "store" } else { "stores" };
                Ok(Report::Done(format!("the ledger and {count} {stores} answer")))
            }
        }
    }

    /// The ledger, unless it is in the database of the PostgreSQL store, which is asked anyway.
    async fn ledger_apart(&self, run: &Run, wait: Duration) -> Result<()> {
        let with_store =
            self.config.is_ledger_in_a_store() && self.selected(StoreKind::of_ledger());
        match with_store {
            true => Ok(()),
            false => self.ledger(run, wait).await.map(|_| ()),
        }
    }
}
