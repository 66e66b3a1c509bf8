//! Results as values with several renderings. Only this module and `main` print.

mod error;
mod finished;
mod github;
mod html;
mod json;
mod junit;
mod metrics;
pub mod out;
mod plan;
mod progress;
mod run;
mod sarif;
mod status;
mod style;
pub mod termination;
mod validate;

use std::borrow::Cow;
use std::fmt;

pub use error::render as render_error;
pub use finished::Finished;
pub use github::{annotations as render_annotations, summary as render_summary};
pub use html::render as render_html;
pub use json::render as render_json;
pub use junit::render as render_junit;
pub use metrics::{Ended, Metrics};
pub use plan::{PlanReport, PlannedMigration, PlannedStep};
pub use progress::Console;
pub use run::RunReport;
pub use sarif::render as render_sarif;
pub use status::{StatusLine, StatusReport};
pub use style::Style;
pub use validate::{Finding, FindingKind, Past, Picture, Severity, ValidateReport};

use crate::error::Exit;
use crate::shape::Change;
use crate::text::unseen::{block, line};

/// What a command has to show.
#[derive(Debug)]
pub enum Report {
    /// What a run did.
    Run(RunReport),
    /// What a run would do.
    Plan(PlanReport),
    /// Every migration and its state.
    Status(StatusReport),
    /// Every difference found.
    Validate(ValidateReport),
    /// The events.
    History(HistoryReport),
    /// What was, or would be, repaired.
    Repair(RepairReport),
    /// One sentence.
    Done(String),
}

impl Report {
    /// How the process ends.
    pub fn exit(&self) -> Exit {
        match self {
            Report::Status(report) => report.exit(),
            Report::Validate(report) => report.exit(),
            Report::Repair(report) if !report.left.is_empty() => Exit::Differ,
            Report::Run(_)
            | Report::Plan(_)
            | Report::History(_)
            | Report::Repair(_)
            | Report::Done(_) => Exit::Done,
        }
    }

    /// The text for people.
    pub fn text(&self, style: Style) -> String {
        match self {
            Report::Run(report) => report.text(style),
            Report::Plan(report) => report.to_string(),
            Report::Status(report) => report.text(style),
            Report::Validate(report) => report.text(style),
            Report::History(report) => report.to_string(),
            Report::Repair(report) => report.to_string(),
            Report::Done(sentence) => format!("{}\n", block(sentence)),
        }
    }
}

/// The events of a ledger.
#[derive(Debug)]
pub struct HistoryReport {
    /// Each as the ledger has it, oldest first.
    pub events: Vec<serde_json::Value>,
}

impl fmt::Display for HistoryReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.events.is_empty() {
            return writeln!(f, "no events");
        }
        let rows = self.events.iter().map(|event| {
            let text = |key: &str| event[key].as_str().unwrap_or_default().to_string();
            let at: String = text("at").chars().take(19).collect();
            let migration = match (text("store"), text("kind").as_str()) {
                (store, _) if store.is_empty() => String::new(),
                (store, "") => store,
                (store, "repeatable") => format!("{store} `{}`", text("version")),
                (store, _) => format!("{store}@{}", text("version")),
            };
            let details = details(&event["details"]);
            let by = format!("{} on {}", text("who"), text("host"));
            let cells =
                [at.replace('T', " "), text("event"), migration, by, text("run_id"), details];
            cells.map(|cell| Cow::from(line(&cell).into_owned()))
        });
        let head = ["when (UTC)", "event", "migration", "by", "run", "details"];
        f.write_str(&style::table(head, rows))
    }
}

/// What an event says besides: of a repaired object how it was and is, of all else what is there.
fn details(details: &serde_json::Value) -> String {
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_string();
    match (details.as_object(), details["changes"].as_array()) {
        (Some(_), Some(changes)) => {
            let shown: Vec<String> = changes
                .iter()
                .map(|change| {
                    let change: Change = Change {
                        object: String::new(),
                        attribute: change["attribute"].as_str().map(str::to_string),
                        before: Some(change["before"].clone()).filter(|value| !value.is_null()),
                        after: Some(change["after"].clone()).filter(|value| !value.is_null()),
                    };
                    change.to_string().trim_start_matches(": ").to_string()
                })
                .collect();
            format!(
                "{} {}: {}",
                text(&details["object"]),
                text(&details["repair"]),
                shown.join(", ")
            )
        }
        (Some(object), None) if !object.is_empty() => details.to_string(),
        (_, _) => String::new(),
    }
}

/// What `repair` does.
#[derive(Clone, Debug, Default)]
pub struct RepairReport {
    /// Each repair as a sentence.
    pub actions: Vec<String>,
    /// What a person must decide.
    pub left: Vec<String>,
    /// What needs no repair and is worth knowing: a run that goes on by itself.
    pub remarks: Vec<String>,
    /// Whether it was done.
    pub done: bool,
}

impl fmt::Display for RepairReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for remark in &self.remarks {
            writeln!(f, "note: {}", block(remark))?;
        }
        if self.actions.is_empty() && self.left.is_empty() {
            return writeln!(f, "nothing to repair");
        }
        for left in &self.left {
            writeln!(f, "for a person to decide: {}", block(left))?;
        }
        if self.actions.is_empty() {
            return Ok(());
        }
        writeln!(f, "{}", if self.done { "repaired:" } else { "to be repaired:" })?;
        for action in &self.actions {
            writeln!(f, "  {}", block(action))?;
        }
        Ok(())
    }
}
