//! `history`: the events.

use std::time::Duration;

use chrono::{DateTime, NaiveDate, NaiveTime, Utc};
use clap::Args;

use crate::clock;
use crate::error::Result;
use crate::ledger::Wanted;
use crate::migration::Requirement;
use crate::migrator::Migrator;
use crate::report::{HistoryReport, Report};
use crate::text::parse_duration;

/// Show what was done, when and by whom.
#[derive(Clone, Debug, Args)]
pub struct History {
    /// The newest so many events
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub limit: u32,
    /// Only events of this kind
    #[arg(long, value_name = "KIND", value_parser = KINDS)]
    pub event: Option<String>,
    /// Only events of this run
    #[arg(long, value_name = "RUN")]
    pub run: Option<String>,
    /// Only events about this migration
    #[arg(long, value_name = "STORE@VERSION")]
    pub migration: Option<Requirement>,
    /// Only repairs of this object, for instance `index ttl on logs`
    #[arg(long, value_name = "OBJECT")]
    pub object: Option<String>,
    /// Only events since then: 2026-11-21, 2026-11-21T08:00:00Z, or a time ago such as 24h
    #[arg(long, value_name = "TIME", value_parser = since)]
    pub since: Option<DateTime<Utc>>,
}

const KINDS: [&str; 7] =
    ["applied", "failed", "resumed", "undone", "repaired", "baselined", "tagged"];

/// Reads a point in time for clap.
fn since(text: &str) -> Result<DateTime<Utc>, String> {
    let day = |text: &str| {
        text.parse::<NaiveDate>().ok().map(|day| day.and_time(NaiveTime::MIN).and_utc())
    };
    let ago = |text: &str| {
        parse_duration(text)
            .and_then(|ago| clock::now().checked_sub_signed(chrono::Duration::from_std(ago).ok()?))
    };
    let at = DateTime::parse_from_rfc3339(text).ok().map(|at| at.with_timezone(&Utc));
    at.or_else(|| day(text))
        .or_else(|| ago(text))
        .ok_or_else(|| "write 2026-11-21, 2026-11-21T08:00:00Z or 24h".to_string())
}

impl Migrator {
    /// Reads the events, oldest first.
    pub async fn history(&self, history: &History) -> Result<Report> {
        let ledger = self.ledger(&self.begin(), Duration::ZERO).await?;
        let wanted = Wanted {
            event: history.event.clone(),
            run: history.run.clone(),
            stores: self.stores.clone(),
            migration: history.migration.as_ref().map(Requirement::id),
            object: history.object.clone(),
            since: history.since,
        };
        let events = ledger.events(&wanted, i64::from(history.limit)).await?;
        Ok(Report::History(HistoryReport { events }))
    }
}
