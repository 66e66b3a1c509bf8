//! `history`: the events.

use clap::Args;

use crate::error::Result;
use crate::migrator::Migrator;
use crate::report::{HistoryReport, Report};

/// Show what was done, when and by whom.
#[derive(Clone, Debug, Args)]
pub struct History {
    /// The newest so many events
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub limit: u32,
    /// Only events of this kind: applied, failed, resumed, undone, repaired, baselined, tagged
    #[arg(long, value_name = "KIND")]
    pub event: Option<String>,
    /// Only events of this run
    #[arg(long, value_name = "RUN")]
    pub run: Option<String>,
}

impl Migrator {
    /// Reads the events, oldest first.
    pub async fn history(&self, history: &History) -> Result<Report> {
        let ledger = self.ledger(&self.begin(), std::time::Duration::ZERO).await?;
        let mut events = ledger.events(i64::from(history.limit)).await?;
        let is = |value: &serde_json::Value, wanted: &Option<String>| {
            wanted.as_ref().is_none_or(|wanted| value.as_str() == Some(wanted))
        };
        events.retain(|event| {
            is(&event["event"], &history.event) && is(&event["run_id"], &history.run)
        });
        events.retain(|event| match event["store"].as_str().and_then(|name| name.parse().ok()) {
            Some(store) => self.selected(store),
            None => self.stores.is_empty(),
        });
        Ok(Report::History(HistoryReport { events }))
    }
}
