//! `down`: undoes migrations, newest first, dependants before what they require.

use std::time::{Duration, Instant};

use clap::Args;

use super::Finished;
use super::up::{dead_runs, join};
use crate::cli::{Confirm, duration};
use crate::error::{Error, Result};
use crate::execute::{self, Connected, Context, Task, Undoing};
use crate::ledger::{Ledger, LockedLedger, Row, Snapshot};
use crate::migration::{Files, Requirement};
use crate::migrator::Migrator;
use crate::plan::{self, DownTarget};
use crate::report::{PlanReport, Report, RunReport};

/// Undo the newest migration, or down to a point.
#[derive(Clone, Debug, Args)]
pub struct Down {
    /// How many migrations, newest first [default: 1]
    #[arg(long, value_name = "N", conflicts_with_all = ["to", "to_tag", "all"])]
    pub steps: Option<usize>,
    /// What is newer than this in its store, and all that depends on it; version 0 is before the first
    #[arg(long, value_name = "STORE@VERSION", conflicts_with_all = ["to_tag", "all"])]
    pub to: Option<Requirement>,
    /// Everything that was applied after this tag was given
    #[arg(long, value_name = "TAG", conflicts_with = "all")]
    pub to_tag: Option<String>,
    /// Everything
    #[arg(long)]
    pub all: bool,
    /// Show what would be done, and do nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Undo even what holds data, which is lost
    #[arg(long)]
    pub allow_data_loss: bool,
    /// How long to wait for stores that do not answer yet
    #[arg(long, value_name = "TIME", default_value = "0s", value_parser = duration)]
    pub wait: Duration,
    /// How long to wait for another run's lock [default: 60s]
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub lock_wait: Option<Duration>,
    /// How long steps under way may go on after Ctrl-C or SIGTERM
    #[arg(long, value_name = "TIME", default_value = "20s", value_parser = duration)]
    pub grace: Duration,
}

impl Migrator {
    /// Undoes migrations by their U files or by the inverse kept in the ledger.
    pub async fn down(&self, down: &Down, confirm: Confirm<'_>) -> Finished {
        let began = Instant::now();
        let mut report = RunReport::new("down");
        let error = self.try_down(down, confirm, &mut report).await.err();
        report.took = began.elapsed();
        report.ended_by_error = error.is_some();
        if let (Some(plan), None) = (report.plan.take(), &error) {
            return Finished { report: Some(Report::Plan(plan)), error };
        }
        Finished { report: Some(Report::Run(report)), error }
    }

    async fn try_down(
        &self,
        down: &Down,
        confirm: Confirm<'_>,
        report: &mut RunReport,
    ) -> Result<()> {
        let files = self.files()?;
        let run = self.begin();
        report.run = Some(run.id.clone());
        let ledger = self.ledger(&run, down.wait).await?;
        let snapshot = ledger.read().await?;
        self.compare(&files, &snapshot.rows);
        let rows = target_rows(down, &snapshot)?;
        let tasks = self.undo_tasks(&ledger, &files, &snapshot, &rows).await?;
        if tasks.is_empty() {
            return Ok(());
        }
        let plan = PlanReport::of_tasks(&tasks);
        if down.dry_run {
            report.plan = Some(plan);
            return Ok(());
        }
        if !confirm(&format!("{plan}Undo this?")) {
            return Err(Error::usage("not confirmed")
                .state("nothing was undone")
                .hint("where nobody can be asked: --yes"));
        }
        let (locked, snapshot) = self.lock(ledger, run, down.lock_wait).await?;
        let result = self.undo(down, &locked, &files, &snapshot, report).await;
        locked.release().await;
        result
    }

    async fn undo_tasks(
        &self,
        ledger: &Ledger,
        files: &Files,
        snapshot: &Snapshot,
        target: &DownTarget,
    ) -> Result<Vec<Task>> {
        let chosen = plan::down(&snapshot.rows, target, &self.stores).map_err(join)?;
        let numbers: Vec<i64> = chosen.iter().map(|(row, _)| row.row).collect();
        let mut downs = ledger.downs(&numbers).await?;
        let undoings = chosen.into_iter().map(|(row, item): (&Row, _)| Undoing {
            row,
            item,
            down: downs.remove(&row.row).unwrap_or(crate::migration::Down::None),
            file: files.get(&row.id),
        });
        let (tasks, remarks) = execute::to_undo(undoings.collect(), &self.config.placeholders)?;
        for remark in remarks {
            self.warn(remark);
        }
        Ok(tasks)
    }

    async fn undo(
        &self,
        down: &Down,
        locked: &LockedLedger,
        files: &Files,
        snapshot: &Snapshot,
        report: &mut RunReport,
    ) -> Result<()> {
        let target = target_rows(down, snapshot)?;
        let tasks = self.undo_tasks(locked.reader(), files, snapshot, &target).await?;
        let touched: std::collections::BTreeSet<_> =
            tasks.iter().map(|task| task.id().store).collect();
        let settings = self.store_settings(touched, locked)?;
        let application = locked.run().application();
        let stores = self.connect_all(&settings, &application, down.wait).await?;
        execute::identify(locked, snapshot, &stores).await?;
        let dead = dead_runs(snapshot);
        for store in stores.values() {
            store.expel(&dead).await.map_err(|error| {
                let message = "cannot end what a dead run left behind";
                execute::store_words(Error::new(error.kind.exit(), message), &error)
            })?;
        }
        if !down.allow_data_loss {
            refuse_loss(&tasks, &stores).await?;
        }
        execute::before_pictures(locked, snapshot, &stores).await?;
        let recorded =
            snapshot.shapes.iter().map(|(kind, shape)| (*kind, shape.recorded.clone())).collect();
        let context = Context {
            ledger: locked,
            listener: self.listener.as_ref(),
            interrupt: &self.interrupt,
            recorded: &recorded,
            allow_data_loss: down.allow_data_loss,
        };
        let mut outcome = execute::run(&context, &tasks, &stores).await;
        let shapes = execute::record(locked, &stores, self.listener.as_ref()).await;
        report.take(&outcome);
        outcome.error(&context, "undone")?;
        shapes
    }
}

fn target_rows(down: &Down, snapshot: &Snapshot) -> Result<DownTarget> {
    if let Some(name) = &down.to_tag {
        let rows = snapshot.tags.iter().find(|(tag, _)| tag == name).map(|(_, rows)| rows.clone());
        return rows.map(DownTarget::Rows).ok_or_else(|| {
            let known: Vec<&str> = snapshot.tags.iter().map(|(tag, _)| tag.as_str()).collect();
            let error = Error::usage(format!("there is no tag `{name}`"));
            match known.as_slice() {
                [] => error.hint("no tag was given yet: aiplat-migrate tag NAME"),
                known => error.hint(format!("there are {}", known.join(", "))),
            }
        });
    }
    match (&down.to, down.all) {
        (Some(to), _) => Ok(DownTarget::To(to.clone())),
        (None, true) => Ok(DownTarget::All),
        (None, false) => Ok(DownTarget::Steps(down.steps.unwrap_or(1))),
    }
}

/// Looks, before the first effect, whether anything in the plan holds data; the figures of all of
/// it come as one error.
async fn refuse_loss(tasks: &[Task], stores: &Connected) -> Result<()> {
    let mut found = Vec::new();
    for task in tasks {
        let Some(store) = stores.get(&task.id().store) else { continue };
        for unit in &task.units[task.done_before()..] {
            let losses = store.holds(unit).await.map_err(|error| {
                let message = format!("cannot look whether undoing {} would lose data", task.id());
                execute::store_words(Error::new(error.kind.exit(), message), &error)
            })?;
            found.extend(losses.into_iter().map(|loss| format!("{}: {}", task.id(), loss.what)));
        }
    }
    if found.is_empty() {
        return Ok(());
    }
    let error = Error::failed("this would lose data");
    let error = found.iter().fold(error, |error, line| error.because(line));
    Err(error.state("nothing was undone").hint("to lose it on purpose: --allow-data-loss"))
}
