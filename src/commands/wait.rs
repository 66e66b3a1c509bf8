//! `wait`: until all stores answer.

use std::time::Duration;

use clap::Args;

use crate::cli::duration;
use crate::error::Result;
use crate::execute;
use crate::ledger::Run;
use crate::migrator::Migrator;
use crate::report::Report;
use crate::stores::Settings;

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
        let run = Run::new();
        let chosen = self.config.stores.iter().filter(|(kind, _)| self.selected(**kind));
        let settings: Vec<Settings> = chosen.map(|(_, settings)| settings.clone()).collect();
        let listener = self.listener.as_ref();
        let application = run.application();
        let stores = execute::connect_all(&settings, &application, wait.timeout, listener);
        let (ledger, stores) =
            futures_util::future::join(self.ledger(&run, wait.timeout), stores).await;
        ledger?;
        let count = stores?.len();
        Ok(Report::Done(format!("the ledger and {count} stores answer")))
    }
}
