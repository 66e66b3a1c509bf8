//! What `up` or `down` did.

use std::time::Duration;

use super::{PlanReport, Style, style};
use crate::execute::Outcome;
use crate::text::unseen::line;

/// What a run did.
#[derive(Debug)]
pub struct RunReport {
    /// `up` or `down`.
    pub command: &'static str,
    /// The run's id, once it has one.
    pub run: Option<String>,
    /// Whether stores were connected and migrations begun.
    pub begun: bool,
    /// What was settled, in that order.
    pub settled: Vec<String>,
    /// What failed.
    pub failed: Vec<String>,
    /// What was not begun.
    pub not_begun: Vec<String>,
    /// What was applied before this run.
    pub applied_before: usize,
    /// What is applied and newer than every file.
    pub future: Vec<String>,
    /// How long it took.
    pub took: Duration,
    /// What a dry run would do.
    pub plan: Option<PlanReport>,
}

impl RunReport {
    /// A run of `command` that has done nothing yet.
    pub fn new(command: &'static str) -> RunReport {
        RunReport {
            command,
            run: None,
            begun: false,
            settled: Vec::new(),
            failed: Vec::new(),
            not_begun: Vec::new(),
            applied_before: 0,
            future: Vec::new(),
            took: Duration::ZERO,
            plan: None,
        }
    }

    /// Takes over how the run ended, or one attempt at it.
    pub fn take(&mut self, outcome: &Outcome) {
        self.begun = true;
        let names =
            |ids: &[crate::migration::MigrationId]| ids.iter().map(|id| id.to_string()).collect();
        self.settled.extend(outcome.settled.iter().map(|id| id.to_string()));
        self.failed = outcome.failed.iter().map(|(id, _)| id.to_string()).collect();
        self.not_begun = names(&outcome.not_begun);
    }

    pub(super) fn text(&self, style: Style) -> String {
        let mut text = String::new();
        if !self.future.is_empty() {
            let names = self.future.join(", ");
            let names = line(&names);
            text.push_str(&format!(
                "{} applied by a newer release, not in these files: {names}\n",
                style.warn("future:")
            ));
        }
        let verb = match self.command {
            "down" => "undone",
            _ => "applied",
        };
        let took = style::duration(self.took.as_millis());
        let line = match (self.settled.len(), self.failed.len(), self.command) {
            (0, 0, "down") => format!("nothing to undo ({took})"),
            (0, 0, _) if self.not_begun.is_empty() => {
                format!("nothing is pending: {} applied ({took})", count(self.applied_before))
            }
            (done, 0, _) if self.not_begun.is_empty() => {
                format!("{} {} {verb} in {took}", style.good("done:"), count(done))
            }
            (done, failed, _) => format!(
                "{} {} {verb}, {failed} failed, {} not begun, after {took}",
                style.bad("stopped:"),
                count(done),
                self.not_begun.len()
            ),
        };
        text.push_str(&line);
        text.push('\n');
        text
    }
}

fn count(number: usize) -> String {
    match number {
        1 => "1 migration".to_string(),
        number => format!("{number} migrations"),
    }
}
