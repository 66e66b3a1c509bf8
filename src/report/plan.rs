//! What a run would do, step by step.

use std::fmt;

use crate::execute::{Direction, Task};
use crate::secret::Secrets;
use crate::text::unseen::{block, line};

/// A plan.
#[derive(Debug, Default)]
pub struct PlanReport {
    /// The migrations, in order.
    pub migrations: Vec<PlannedMigration>,
    /// What else there is to know before it is done.
    pub remarks: Vec<String>,
}

/// One migration of a plan.
#[derive(Debug)]
pub struct PlannedMigration {
    /// The store.
    pub store: String,
    /// Which one: `postgres@7`.
    pub id: String,
    /// Its description.
    pub description: String,
    /// The text that is executed: a file, or words that say where it comes from.
    pub script: String,
    /// `apply`, `resume` or `undo`.
    pub action: &'static str,
    /// Whether it is one transaction with its ledger row.
    pub transaction: bool,
    /// The ones of this plan that come first.
    pub after: Vec<String>,
    /// Its steps.
    pub steps: Vec<PlannedStep>,
}

/// One step of a planned migration.
#[derive(Debug)]
pub struct PlannedStep {
    /// What it does.
    pub label: String,
    /// Whether an earlier run did it.
    pub done: bool,
    /// What is dangerous about it.
    pub hazards: Vec<String>,
    /// The data that it would lose, with figures; known only where the store was asked.
    pub losses: Vec<String>,
}

impl PlanReport {
    /// The plan of `tasks`, with none of `secrets` in it.
    pub fn of_tasks(tasks: &[Task], secrets: &Secrets) -> PlanReport {
        let migrations = tasks.iter().map(|task| planned(task, secrets)).collect();
        let remarks = tasks.iter().flat_map(|task| &task.remarks);
        PlanReport { migrations, remarks: remarks.map(|remark| secrets.hide(remark)).collect() }
    }
}

fn planned(task: &Task, secrets: &Secrets) -> PlannedMigration {
    let steps = task.units.iter().enumerate().map(|(at, unit)| PlannedStep {
        label: unit.label.clone(),
        done: at < task.done_before(),
        hazards: unit.step.hazards().iter().map(|hazard| secrets.hide(hazard)).collect(),
        losses: Vec::new(),
    });
    PlannedMigration {
        store: task.id().store.to_string(),
        id: task.id().to_string(),
        description: task.claim.description.clone(),
        script: task.source.file.clone(),
        action: match (task.direction, &task.row) {
            (Direction::Down, _) => "undo",
            (Direction::Up, Some(_)) => "resume",
            (Direction::Up, None) => "apply",
        },
        transaction: task.sealed,
        after: task.after.iter().map(|id| id.to_string()).collect(),
        steps: steps.collect(),
    }
}

impl fmt::Display for PlanReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.migrations.is_empty() {
            writeln!(f, "nothing is to be done")?;
        }
        for migration in &self.migrations {
            let foreign: Vec<&str> = migration
                .after
                .iter()
                .filter(|id| !id.starts_with(&migration.store))
                .map(String::as_str)
                .collect();
            let after = match foreign.is_empty() {
                true => String::new(),
                false => format!(", after {}", line(&foreign.join(", "))),
            };
            let how = if migration.transaction { ", in one transaction" } else { "" };
            writeln!(
                f,
                "{} {} {} ({}{how}{after})",
                migration.action,
                line(&migration.id),
                line(&migration.description),
                line(&migration.script)
            )?;
            for step in &migration.steps {
                let done = if step.done { " (done by an earlier run)" } else { "" };
                writeln!(f, "    {}{done}", line(&step.label))?;
                for hazard in &step.hazards {
                    writeln!(f, "      ! {}", block(hazard))?;
                }
                for loss in &step.losses {
                    writeln!(f, "      ! loses data: {}", block(loss))?;
                }
            }
        }
        for remark in &self.remarks {
            writeln!(f, "note: {}", block(remark))?;
        }
        Ok(())
    }
}
