//! `up`: applies what is pending.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use clap::Args;

use super::Manner;
use super::anew::{Apart, Found, Waits};
use super::flags::duration;
use super::tag::{check_tag, tag_name};
use crate::error::{Error, Exit, Result};
use crate::execute::{self, Connected, Context, Task};
use crate::ledger::{Ledger, LockedLedger, Shapes, Snapshot};
use crate::migration::{Files, Requirement};
use crate::migrator::Migrator;
use crate::plan::{self, Entry, Status, UpOptions};
use crate::report::Finished;
use crate::report::{PlanReport, Report, RunReport};
use crate::shape::Change;
use crate::stores::StoreKind;

/// Apply what is pending.
#[derive(Clone, Debug, Args)]
pub struct Up {
    /// Only up to this migration, and what it requires, for instance postgres@7
    #[arg(long, value_name = "STORE@VERSION")]
    pub to: Option<Requirement>,
    /// Show what would be done, and do nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Apply migrations that are older than what is applied in their store
    #[arg(long)]
    pub out_of_order: bool,
    /// How long to wait for stores that do not answer yet
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = duration)]
    pub wait: Duration,
    /// How it goes about it.
    #[command(flatten)]
    pub manner: Manner,
    /// Contact every store, even if nothing is pending
    #[arg(long)]
    pub verify: bool,
    /// What to do about drift that was there before this run
    #[arg(long, value_enum, default_value_t, value_name = "WHAT")]
    pub on_drift: OnDrift,
    /// Name the point that is reached
    #[arg(long, value_name = "NAME", value_parser = tag_name)]
    pub tag: Option<String>,
    /// First finish what a `down` left half undone; then apply it anew
    #[arg(long)]
    pub finish_undo: bool,
}

/// What `up` does about drift that it meets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum OnDrift {
    /// Say so and go on.
    #[default]
    Warn,
    /// Apply nothing (exit 3).
    Fail,
    /// Say nothing.
    Ignore,
}

impl Default for Up {
    fn default() -> Up {
        Up {
            to: None,
            dry_run: false,
            out_of_order: false,
            wait: Duration::from_secs(30),
            manner: Manner::default(),
            verify: false,
            on_drift: OnDrift::Warn,
            tag: None,
            finish_undo: false,
        }
    }
}

impl Migrator {
    /// Applies what is pending, in order, each migration once.
    pub async fn up(&self, up: &Up) -> Finished {
        let began = Instant::now();
        let mut report = RunReport::new("up");
        let error = self.try_up(up, &mut report).await.err();
        report.took = began.elapsed();
        if let (Some(plan), None) = (report.plan.take(), &error) {
            return Finished { report: Some(Report::Plan(plan)), error };
        }
        // A run that came to nothing has its error to show, not "nothing was pending".
        let report = (report.begun || error.is_none()).then_some(Report::Run(report));
        Finished { report, error }
    }

    async fn try_up(&self, up: &Up, report: &mut RunReport) -> Result<()> {
        let mut read = None;
        if up.finish_undo {
            read = Some(self.checked_files()?);
            report.plan = self.finish_undo(up).await?;
            if report.plan.is_some() {
                return Ok(());
            }
        }
        let files = |this: &Self| read.map_or_else(|| this.checked_files(), Ok);
        let run = self.begin();
        report.run = Some(run.id.clone());
        let ready = self.files_and_ledger(files, &run, up.wait, Ledger::and_read);
        let (files, (ledger, snapshot)) = self.unless_stopped(ready).await??;
        self.warn_of_newer(&snapshot);
        self.warn_of_renamed(&plan::compare(&files, &snapshot.rows));
        let tasks = self.tasks(up, &files, (&snapshot, &ledger), report).await?;
        if up.dry_run {
            report.plan = Some(PlanReport::of_tasks(&tasks, &self.config.placeholders.secrets()));
            return Ok(());
        }
        if tasks.is_empty() && snapshot.unfinished.is_empty() && up.tag.is_none() {
            return match up.verify {
                true => self.verify_live(snapshot, &ledger).await,
                false => Ok(()),
            };
        }
        self.warn_of_remarks(&tasks);
        let waits = Waits { stores: up.wait, lock: up.manner.lock_wait };
        let stores = self.touched(&tasks, &snapshot);
        let mut planned = Some((snapshot, tasks));
        let apply = async |locked: &LockedLedger, found: Found, report: &mut RunReport| {
            // What was planned without the lock holds if the ledger is still the same.
            let planned = planned.take().filter(|(before, _)| *before == found.snapshot);
            let tasks = planned.map(|(_, tasks)| tasks);
            self.apply(up, locked, &files, found, tasks, report).await
        };
        self.under_lock((ledger, run), &stores, waits, report, apply).await
    }

    /// The stores that a run touches: those of its tasks, and those that one that was killed changed.
    pub(super) fn touched(&self, tasks: &[Task], snapshot: &Snapshot) -> BTreeSet<StoreKind> {
        let unfinished = snapshot.unfinished.iter().copied();
        let unfinished = unfinished.filter(|store| self.config.stores.contains_key(store));
        tasks.iter().map(|task| task.id().store).chain(unfinished).collect()
    }

    fn warn_of_remarks(&self, tasks: &[Task]) {
        let secrets = self.config.placeholders.secrets();
        for remark in tasks.iter().flat_map(|task| &task.remarks) {
            self.warn(secrets.hide(remark));
        }
    }

    /// Compares, plans, and parses every script that is about to run.
    async fn tasks(
        &self,
        up: &Up,
        files: &Files,
        (snapshot, ledger): (&Snapshot, &Ledger),
        report: &mut RunReport,
    ) -> Result<Vec<Task>> {
        let entries = self.compare(files, &snapshot.rows);
        let options = UpOptions {
            to: up.to.clone(),
            out_of_order: up.out_of_order,
            stores: self.stores.clone(),
            obstacles: self.strange(&entries, ledger).await?,
            files_only: false,
        };
        report.future = future(&entries);
        // A run that is begun anew has applied some of them itself.
        report.applied_before = count_applied(&entries).saturating_sub(report.settled.len());
        let items = plan::up(&entries, &options).map_err(join)?;
        execute::to_apply(&items, files, snapshot, &self.config.placeholders)
    }

    async fn apply(
        &self,
        up: &Up,
        locked: &LockedLedger,
        files: &Files,
        found: Found,
        tasks: Option<Vec<Task>>,
        report: &mut RunReport,
    ) -> Result<(), Apart> {
        let Found { snapshot, shapes, stores } = found;
        let tasks = match tasks {
            Some(tasks) => Ok(tasks),
            None => self.tasks(up, files, (&snapshot, locked.reader()), report).await,
        };
        let tasks = tasks.map_err(Apart::NotBegun)?;
        self.check_tag_to_give(up, &snapshot, &tasks).map_err(Apart::NotBegun)?;
        let prepare = self.prepare(up, locked, (&snapshot, shapes), stores, &tasks);
        let stores = prepare.await.map_err(Apart::NotBegun)?;
        self.execute(up, locked, &snapshot, &tasks, &stores, report).await.map_err(Apart::Begun)
    }

    /// Whether the tag that is asked for can be given to the point that this run leads to.
    fn check_tag_to_give(&self, up: &Up, snapshot: &Snapshot, tasks: &[Task]) -> Result<()> {
        let Some(name) = &up.tag else { return Ok(()) };
        let mut standing = snapshot.standing();
        let versioned = tasks.iter().map(Task::id).filter(|id| id.version().is_some());
        standing.extend(versioned.cloned());
        check_tag(snapshot, name, &standing)
            .map(|_| ())
            .map_err(|error| error.state("nothing was applied"))
    }

    /// Meets the stores that the plan touches, and takes the pictures before the first effect.
    async fn prepare(
        &self,
        up: &Up,
        locked: &LockedLedger,
        (snapshot, shapes): (&Snapshot, Shapes),
        stores: Connected,
        tasks: &[Task],
    ) -> Result<Connected> {
        let touched = self.touched(tasks, snapshot);
        let (stores, first_met) = self.meet(touched, stores, locked, snapshot, up.wait).await?;
        let lost = self.warn_of_lost(snapshot, &shapes, &stores);
        let (pictures, drift) =
            execute::before_pictures(snapshot, shapes, &stores, &self.config.ignored).await?;
        if let (Some(why), OnDrift::Fail) = (lost, up.on_drift) {
            return Err(Error::new(Exit::Differ, why).state("nothing was applied"));
        }
        self.heed(up.on_drift, &drift)?;
        execute::keep(locked, &first_met, &pictures).await?;
        Ok(stores)
    }

    async fn execute(
        &self,
        up: &Up,
        locked: &LockedLedger,
        snapshot: &Snapshot,
        tasks: &[Task],
        stores: &Connected,
        report: &mut RunReport,
    ) -> Result<()> {
        let context = Context {
            ledger: locked,
            listener: self.listener.as_ref(),
            interrupt: &self.interrupt,
            allow_data_loss: false,
            rate: up.manner.rate,
        };
        let mut outcome = execute::run(&context, tasks, stores).await;
        let shapes =
            execute::record(locked, snapshot, (tasks, &outcome), stores, self.listener.as_ref())
                .await;
        report.take(&outcome);
        outcome.error(&context, "applied")?;
        shapes?;
        match &up.tag {
            Some(name) => self.give_tag(locked, name).await.map(|_| ()),
            None => Ok(()),
        }
    }

    fn heed(&self, on_drift: OnDrift, drift: &BTreeMap<StoreKind, Vec<Change>>) -> Result<()> {
        for (store, changes) in drift {
            self.tell_drift(*store, changes.iter());
        }
        let lines: Vec<String> = drift
            .iter()
            .flat_map(|(kind, changes)| {
                changes.iter().map(move |change| format!("{kind}: {change}"))
            })
            .collect();
        match (on_drift, lines.is_empty()) {
            (_, true) | (OnDrift::Ignore, false) => Ok(()),
            (OnDrift::Warn, false) => {
                for line in lines {
                    self.warn(format!("drift, there before this run: {line}"));
                }
                Ok(())
            }
            (OnDrift::Fail, false) => {
                let error =
                    Error::new(Exit::Differ, "the stores are not as the ledger recorded them");
                let error = lines.iter().fold(error, |error, line| error.because(line));
                Err(error.state("nothing was applied").hint("see `aiplat-migrate validate`"))
            }
        }
    }
}

fn future(entries: &[Entry<'_>]) -> Vec<String> {
    entries
        .iter()
        .filter(|entry| entry.status == Status::Future)
        .map(|entry| entry.id.to_string())
        .collect()
}

fn count_applied(entries: &[Entry<'_>]) -> usize {
    entries.iter().filter(|e| matches!(e.status, Status::Applied | Status::Baseline)).count()
}

/// All errors of a plan as one; `plan` gives at least one.
pub(super) fn join(errors: Vec<Error>) -> Error {
    Error::all(errors).unwrap_or_else(|| Error::failed("the plan cannot be made"))
}
