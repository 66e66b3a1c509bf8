//! `down`: undoes migrations, newest first, dependants before what they require.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use clap::Args;

use super::Manner;
use super::anew::{Apart, Found, Waits};
use super::changed::Strange;
use super::flags::{Confirm, duration};
use super::up::{Up, join};
use crate::error::{Error, Exit, Result};
use crate::execute::{self, Connected, Context, Task, Undoing};
use crate::ledger::{Ledger, LockedLedger, Row, Run, Shapes, Snapshot, State};
use crate::migration::{self, Files, MigrationId, Requirement};
use crate::migrator::Migrator;
use crate::plan::{self, DownTarget};
use crate::report::Finished;
use crate::report::{PlanReport, Report, RunReport};
use crate::stores::{Store, StoreKind, Unit};

/// Undo the newest migration, or down to a point.
#[derive(Clone, Debug, Default, Args)]
pub struct Down {
    /// How many migrations, newest first [default: 1]
    #[arg(long, value_name = "N", conflicts_with_all = ["to", "to_tag", "all", "unfinished"])]
    pub steps: Option<usize>,
    /// What is newer than this in its store, and all that depends on it; version 0 is before the first
    #[arg(long, value_name = "STORE@VERSION", conflicts_with_all = ["to_tag", "all", "unfinished"])]
    pub to: Option<Requirement>,
    /// Everything that was applied after this tag was given
    #[arg(long, value_name = "TAG", conflicts_with_all = ["all", "unfinished"])]
    pub to_tag: Option<String>,
    /// Everything
    #[arg(long, conflicts_with = "unfinished")]
    pub all: bool,
    /// Only what an earlier `down` left half undone
    #[arg(long)]
    pub unfinished: bool,
    /// Show what would be done, and do nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Undo even what holds data, which is lost
    #[arg(long)]
    pub allow_data_loss: bool,
    /// Rehearse the plan before it is shown too: the U files are done and rolled back, under their locks
    #[arg(long)]
    pub rehearse: bool,
    /// How long to wait for stores that do not answer yet
    #[arg(long, value_name = "TIME", default_value = "0s", value_parser = duration)]
    pub wait: Duration,
    /// How it goes about it.
    #[command(flatten)]
    pub manner: Manner,
}

impl Migrator {
    /// Undoes migrations by their U files or by the inverse kept in the ledger.
    pub async fn down(&self, down: &Down, confirm: Confirm<'_>) -> Finished {
        let began = Instant::now();
        let mut report = RunReport::new("down");
        let error = self.try_down(down, confirm, &mut report).await.err();
        report.took = began.elapsed();
        if let (Some(plan), None) = (report.plan.take(), &error) {
            return Finished { report: Some(Report::Plan(plan)), error };
        }
        // A run that came to nothing has its error to show, not "nothing was pending".
        let report = (report.begun || error.is_none()).then_some(Report::Run(report));
        Finished { report, error }
    }

    /// `up --finish-undo`: finishes what a `down` left half undone. Gives back the plan of that
    /// where `up` is only to show what it would do, and there is something to finish.
    pub(super) async fn finish_undo(&self, up: &Up) -> Result<Option<PlanReport>> {
        let down = Down {
            unfinished: true,
            dry_run: up.dry_run,
            wait: up.wait,
            manner: up.manner.clone(),
            ..Down::default()
        };
        let mut report = RunReport::new("down");
        // The flag was the yes.
        let done = self.try_down(&down, &|_| true, &mut report).await;
        done.map_err(|error| error.hint("or by itself: aiplat-migrate down --unfinished"))?;
        Ok(report.plan.filter(|plan| !plan.migrations.is_empty()))
    }

    async fn try_down(
        &self,
        down: &Down,
        confirm: Confirm<'_>,
        report: &mut RunReport,
    ) -> Result<()> {
        let run = self.begin();
        report.run = Some(run.id.clone());
        let ready = self.files_and_ledger(Self::files, &run, down.wait, Ledger::and_read);
        let (files, (ledger, snapshot)) = self.unless_stopped(ready).await??;
        self.warn_of_newer(&snapshot);
        self.warn_of_renamed(&self.compare(&files, &snapshot.rows));
        let target = target(down, &snapshot)?;
        let (tasks, more) = self.undo_tasks(down, &target, &ledger, &files, &snapshot).await?;
        let mut remarks = remarks(down, &snapshot, &tasks);
        remarks.extend(more);
        let mut plan = PlanReport::of_tasks(&tasks, &self.config.placeholders.secrets());
        plan.remarks.extend(remarks);
        let losses = self.look_for_losses(down, &tasks, &run, &mut plan).await?;
        if down.dry_run {
            plan.remarks.extend(losses.guesses);
            report.plan = Some(plan);
            return Ok(());
        }
        losses.refuse(down)?;
        let guesses = losses.guesses.map(|note| format!("note: {note}\n")).unwrap_or_default();
        if !tasks.is_empty() && !confirm(&format!("{plan}{guesses}Undo this?")) {
            return Err(Error::usage("not confirmed")
                .state("nothing was undone")
                .hint("where nobody can be asked: --yes"));
        }
        plan.remarks.into_iter().for_each(|remark| self.warn(remark));
        // A run that was killed after its last effect has still to record what it changed.
        if tasks.is_empty() && snapshot.unfinished.is_empty() {
            return Ok(());
        }
        // What was shown is what is undone, however often the run has to begin.
        let shown: BTreeSet<i64> = tasks.iter().filter_map(Task::row_number).collect();
        let waits = Waits { stores: down.wait, lock: down.manner.lock_wait };
        let stores = self.touched(&tasks, &snapshot);
        let undo = async |locked: &LockedLedger, found: Found, report: &mut RunReport| {
            let Found { snapshot, shapes, stores } = found;
            let (tasks, stores) = self
                .prepare_undo(down, &shown, locked, &files, (&snapshot, shapes), stores)
                .await
                .map_err(Apart::NotBegun)?;
            self.undo(down, locked, &snapshot, &tasks, &stores, report).await.map_err(Apart::Begun)
        };
        self.under_lock((ledger, run), &stores, waits, report, undo).await
    }

    /// What is to be undone, parsed and ready, and what is to be said of it.
    async fn undo_tasks(
        &self,
        down: &Down,
        target: &DownTarget,
        ledger: &Ledger,
        files: &Files,
        snapshot: &Snapshot,
    ) -> Result<(Vec<Task>, Vec<String>)> {
        let strange = self.strange(&plan::compare(files, &snapshot.rows), ledger).await?;
        let in_doubt = snapshot.rows.iter().filter(|row| row.state == State::InDoubt);
        refuse_strange(&strange, in_doubt.map(|row| row.row))?;
        let chosen = plan::down(&snapshot.rows, target, &self.stores).map_err(join)?;
        let needed = chosen
            .iter()
            .find_map(|(row, _)| Some((&row.id, snapshot.required_by_newer(&row.id)?)));
        if let Some((id, by)) = needed {
            return Err(Error::failed(format!("{id} cannot be undone: {by} requires it"))
                .because(format!("this version of aiplat-migrate does not know the store of {by}"))
                .state("nothing was undone")
                .hint("use the version of aiplat-migrate that applied it"));
        }
        let numbers: Vec<i64> = chosen.iter().map(|(row, _)| row.row).collect();
        refuse_strange(&strange, numbers.iter().copied())?;
        let mut downs = ledger.downs(&numbers).await?;
        let undoings = chosen.into_iter().map(|(row, item): (&Row, _)| Undoing {
            row,
            item,
            down: downs.remove(&row.row).unwrap_or(migration::Down::None),
            file: files.get(&row.id),
        });
        let (mut tasks, remarks) = execute::to_undo(undoings.collect(), &self.config.placeholders)?;
        tasks.iter_mut().for_each(|task| task.limits.keeps_data = !down.allow_data_loss);
        Ok((tasks, remarks))
    }

    /// What the tasks would lose now: by a rehearsal where it is wanted and the store can, else as far as
    /// their text tells, step by step.
    async fn losses(&self, tasks: &[Task], stores: &Connected, rehearse: bool) -> Result<Losses> {
        let mut found = Vec::new();
        for (kind, store) in stores {
            let own = |(_, task): &(usize, &Task)| task.id().store == *kind;
            let own: Vec<(usize, &Task)> = tasks.iter().enumerate().filter(own).collect();
            let is_guess = store.rehearses() && !rehearse;
            let losses = match store.rehearses() && rehearse {
                true => {
                    let listener = self.listener.as_ref();
                    execute::rehearse(store, &own, listener, &self.interrupt).await?
                }
                false => counted(store, &own).await?,
            };
            found.extend(losses.into_iter().map(|(task, step, loss)| PlannedLoss {
                task,
                step,
                id: tasks[task].id().clone(),
                what: loss.what,
                is_guess,
            }));
        }
        found.sort_by_key(|loss| (loss.task, loss.step));
        Ok(Losses { all: found, guesses: None })
    }

    /// Looks, without the lock, what the plan would lose, and writes it into the plan. For a dry run,
    /// a store that cannot be reached is a remark.
    async fn look_for_losses(
        &self,
        down: &Down,
        tasks: &[Task],
        run: &Run,
        plan: &mut PlanReport,
    ) -> Result<Losses> {
        let mut stores = Connected::new();
        for kind in touched(tasks) {
            let settings = self.config.stores.get(&kind).ok_or_else(|| unconfigured(kind))?;
            let settings = self.reading(settings);
            let application = run.application();
            match self.connect_once(&settings, &application, down.wait).await {
                Ok(store) => {
                    stores.insert(kind, store);
                }
                Err(error) if down.dry_run => plan.remarks.push(format!(
                    "it was not looked whether {} holds data: {}",
                    kind.title(),
                    execute::connect_error(&settings, &error)
                )),
                Err(error) => {
                    let error = execute::connect_error(&settings, &error);
                    return Err(error.state("nothing was undone"));
                }
            }
        }
        let losses = match down.allow_data_loss && !down.rehearse {
            true => tokio::time::timeout(FIGURES, self.losses(tasks, &stores, false)).await,
            false => Ok(self.losses(tasks, &stores, down.rehearse).await),
        };
        let Ok(losses) = losses else {
            let limit = FIGURES.as_secs();
            plan.remarks.push(format!("what is lost could not be counted within {limit} s"));
            return Ok(Losses::default());
        };
        let mut losses = losses?;
        losses.guesses = not_rehearsed(down, &stores);
        for loss in &losses.all {
            let step = &mut plan.migrations[loss.task].steps[loss.step];
            step.losses.push(loss.what.clone());
        }
        Ok(losses)
    }

    /// Meets the stores that the plan touches, looks once more what it would lose, and takes the
    /// pictures before the first effect.
    async fn prepare_undo(
        &self,
        down: &Down,
        shown: &BTreeSet<i64>,
        locked: &LockedLedger,
        files: &Files,
        (snapshot, shapes): (&Snapshot, Shapes),
        stores: Connected,
    ) -> Result<(Vec<Task>, Connected)> {
        let target = DownTarget::Rows(shown.clone());
        let (tasks, _) = self.undo_tasks(down, &target, locked.reader(), files, snapshot).await?;
        refuse_unseen(&tasks, shown)?;
        let touched = self.touched(&tasks, snapshot);
        let (stores, first_met) = self.meet(touched, stores, locked, snapshot, down.wait).await?;
        if !down.allow_data_loss {
            self.losses(&tasks, &stores, true).await?.refuse(down)?;
        }
        self.warn_of_lost(snapshot, &shapes, &stores);
        let ignored = &self.config.ignored;
        let (pictures, _) = execute::before_pictures(snapshot, shapes, &stores, ignored).await?;
        execute::keep(locked, &first_met, &pictures).await?;
        Ok((tasks, stores))
    }

    async fn undo(
        &self,
        down: &Down,
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
            allow_data_loss: down.allow_data_loss,
            rate: down.manner.rate,
        };
        let mut outcome = execute::run(&context, tasks, stores).await;
        let shapes =
            execute::record(locked, snapshot, (tasks, &outcome), stores, self.listener.as_ref())
                .await;
        report.take(&outcome);
        outcome.error(&context, "undone")?;
        shapes
    }
}

fn touched(tasks: &[Task]) -> BTreeSet<StoreKind> {
    tasks.iter().map(|task| task.id().store).collect()
}

/// Refuses what stands on the chosen migrations and was not there when the plan was shown.
fn refuse_unseen(tasks: &[Task], shown: &BTreeSet<i64>) -> Result<()> {
    let seen = |task: &&Task| task.row_number().is_some_and(|row| shown.contains(&row));
    let unseen: Vec<String> =
        tasks.iter().filter(|task| !seen(task)).map(|task| task.id().to_string()).collect();
    if unseen.is_empty() {
        return Ok(());
    }
    Err(Error::new(Exit::Busy, "another run changed the ledger after the plan was made")
        .because(format!("to be undone too: {}", unseen.join(", ")))
        .state("nothing was undone")
        .hint("run the same command again: it plans anew"))
}

fn unconfigured(store: StoreKind) -> Error {
    Error::usage(format!("{} has migrations to undo and is not configured", store.title()))
        .state("nothing was undone")
        .hint(format!("configure it, or leave {store} out: --store with the other stores' names"))
}

fn target(down: &Down, snapshot: &Snapshot) -> Result<DownTarget> {
    if let Some(name) = &down.to_tag {
        return snapshot.tagged(name).map(DownTarget::Back).ok_or_else(|| {
            let known: Vec<&str> = snapshot.tags.iter().map(|(tag, _)| tag.as_str()).collect();
            let error = Error::usage(format!("there is no tag `{name}`"));
            match known.as_slice() {
                [] => error.hint("no tag was given yet: aiplat-migrate tag NAME"),
                known => error.hint(format!("there are {}", known.join(", "))),
            }
        });
    }
    Ok(match (&down.to, down.all, down.unfinished) {
        (Some(to), _, _) => DownTarget::To(to.clone()),
        (None, true, _) => DownTarget::All,
        (None, false, true) => DownTarget::Unfinished,
        (None, false, false) => DownTarget::Steps(down.steps.unwrap_or(1)),
    })
}

/// What is to be said of a plan besides its steps.
fn remarks(down: &Down, snapshot: &Snapshot, tasks: &[Task]) -> Vec<String> {
    let mut remarks = Vec::new();
    let goes = |id: &MigrationId| tasks.iter().any(|task| task.id() == id);
    for id in plan::repeatables(&snapshot.rows, &touched(tasks)) {
        remarks.push(format!(
            "{id} stays: a repeatable is undone only by the text that replaces it; the next `up` runs \
             it again"
        ));
    }
    if let Some((name, stood)) =
        down.to_tag.as_ref().zip(down.to_tag.as_ref().and_then(|name| snapshot.tagged(name)))
    {
        let standing = snapshot.standing();
        for id in &stood {
            if goes(id) {
                remarks.push(format!(
                    "{id} stood at {name} and has to go too: it stands on what is undone; the next \
                     `up` applies it again"
                ));
            } else if !standing.contains(id) {
                remarks.push(format!(
                    "{id} stood at {name} and does not now: `down` applies nothing, `up` does"
                ));
            }
        }
    }
    remarks
}

/// What a plan would lose.
#[derive(Default)]
struct Losses {
    all: Vec<PlannedLoss>,
    /// What is to be said of those that are guesses.
    guesses: Option<String>,
}

/// The loss of one step, by its place in the plan.
struct PlannedLoss {
    task: usize,
    step: usize,
    id: MigrationId,
    what: String,
    /// Whether it was read from the step's text, and the rehearsal will tell.
    is_guess: bool,
}

/// How long figures are counted that decide nothing.
const FIGURES: Duration = Duration::from_secs(10);

/// Asks the store, step by step, what the tasks would lose now.
async fn counted(store: &Store, tasks: &[(usize, &Task)]) -> Result<Vec<execute::Placed>> {
    let mut found = Vec::new();
    let mut earlier: Vec<&Unit> = Vec::new();
    for (at, task) in tasks {
        for (step, unit) in task.units.iter().enumerate().skip(task.done_before()) {
            let now = unit.before_earlier(&earlier);
            let losses = store.holds(&now).await.map_err(|error| {
                let message = format!("cannot look whether undoing {} would lose data", task.id());
                execute::store_words(Error::new(error.kind.exit(), message), &error)
                    .state("nothing was undone")
            })?;
            found.extend(losses.into_iter().map(|loss| (*at, step, loss)));
            earlier.push(unit);
        }
    }
    Ok(found)
}

/// What is to be said of losses that are read from the steps' texts.
fn not_rehearsed(down: &Down, stores: &Connected) -> Option<String> {
    let able = stores.iter().filter(|(_, store)| store.rehearses() && !down.rehearse);
    let able: Vec<&str> = able.map(|(kind, _)| kind.title()).collect();
    (!able.is_empty()).then(|| {
        format!(
            "not rehearsed: what {} loses is read from the text of the steps. `down` rehearses them before \
             it undoes anything, and with --rehearse before it shows the plan",
            able.join(", ")
        )
    })
}

impl Losses {
    /// Refuses all of it in one error, unless it was allowed, or the rehearsal has still to tell.
    fn refuse(&self, down: &Down) -> Result<()> {
        if self.all.iter().all(|loss| loss.is_guess) || down.allow_data_loss {
            return Ok(());
        }
        let error = Error::failed("this would lose data");
        let lines = self.all.iter().map(|loss| format!("{}: {}", loss.id, loss.what));
        let error = lines.fold(error, |error, line| error.because(line));
        Err(error.state("nothing was undone").hint("to lose it on purpose: --allow-data-loss"))
    }
}

/// The rows that no run of these files left so are not undone by these files.
fn refuse_strange(strange: &Strange, rows: impl Iterator<Item = i64>) -> Result<()> {
    let errors = rows.filter_map(|row| strange.get(&row)).cloned();
    match Error::all(errors.map(|error| error.state("nothing was undone"))) {
        Some(error) => Err(error),
        None => Ok(()),
    }
}
