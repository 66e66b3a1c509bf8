//! `repair`: settles what only a person can settle; always shows its plan first.

use std::time::Duration;

use clap::Args;

use super::validate::Look;
use crate::cli::{Confirm, duration};
use crate::error::{Error, Exit, Result};
use crate::execute::{self, Healing};
use crate::ledger::{Ledger, LockedLedger, Snapshot, State};
use crate::migration::{Files, MigrationId, Requirement, StoreKind};
use crate::migrator::Migrator;
use crate::plan::{self, Status};
use crate::report::{RepairReport, Report};
use crate::shape::Change;
use crate::stores::{self, Depth, Heal, Store};

/// Settle what is in doubt, changed, missing or drifted.
#[derive(Clone, Debug, Default, Args)]
pub struct Repair {
    /// The step in doubt of this migration was done
    #[arg(long, value_name = "STORE@VERSION", conflicts_with = "not_done")]
    pub done: Option<Requirement>,
    /// The step in doubt of this migration was not done
    #[arg(long, value_name = "STORE@VERSION")]
    pub not_done: Option<Requirement>,
    /// Take the text of changed files as what was applied
    #[arg(long)]
    pub accept_changed: bool,
    /// Take it that files which are gone are meant to be gone
    #[arg(long)]
    pub accept_missing: bool,
    /// Put drifted objects back as recorded, as far as no data is lost
    #[arg(long)]
    pub reapply: bool,
    /// Record what is live as it should be
    #[arg(long, conflicts_with = "reapply")]
    pub accept_drift: bool,
    /// Show what would be done, and do nothing
    #[arg(long)]
    pub dry_run: bool,
    /// How long to wait for another run's lock [default: 60s]
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub lock_wait: Option<Duration>,
}

/// One thing that `repair` does.
#[derive(Clone, Debug, PartialEq)]
enum Action {
    Settle { id: MigrationId, row: i64, done: bool },
    Realign { id: MigrationId, row: i64, checksum: String, script: String },
    Forget { id: MigrationId, row: i64 },
}

impl Migrator {
    /// Shows what it is about to do, asks, and does it; each repair is an event.
    pub async fn repair(&self, repair: &Repair, confirm: Confirm<'_>) -> Result<Report> {
        let files = self.files()?;
        let run = self.begin();
        let ledger = self.ledger(&run, Duration::ZERO).await?;
        let snapshot = ledger.read().await?;
        let actions = actions(repair, &files, &snapshot)?;
        let looks = self.drifted(repair, &ledger).await?;
        let mut report = planned(repair, &actions, &looks);
        if report.actions.is_empty() || repair.dry_run {
            return Ok(Report::Repair(report));
        }
        if !confirm(&format!("{report}Do this?")) {
            return Err(Error::usage("not confirmed")
                .state("nothing was changed")
                .hint("where nobody can be asked: --yes"));
        }
        let (locked, snapshot) = self.lock(ledger, run, repair.lock_wait).await?;
        let result = self.carry_out(repair, &files, &locked, &snapshot).await;
        locked.release().await;
        result.map(|()| {
            report.done = true;
            Report::Repair(report)
        })
    }

    /// What the stores look like, where this repair is about that.
    async fn drifted(&self, repair: &Repair, ledger: &Ledger) -> Result<Vec<Look>> {
        match repair.reapply || repair.accept_drift {
            true => self.look(&ledger.shapes().await?, Duration::ZERO, Depth::Structure).await,
            false => Ok(Vec::new()),
        }
    }

    async fn carry_out(
        &self,
        repair: &Repair,
        files: &Files,
        locked: &LockedLedger,
        snapshot: &Snapshot,
    ) -> Result<()> {
        for action in actions(repair, files, snapshot)? {
            match &action {
                Action::Settle { id, row, done } => locked.settle_doubt(*row, id, *done).await?,
                Action::Realign { id, row, checksum, script } => {
                    locked.realign(*row, id, checksum, script).await?;
                }
                Action::Forget { id, row } => locked.forget(*row, id).await?,
            }
        }
        let looks = self.drifted(repair, locked.reader()).await?;
        let looks: Vec<Look> =
            looks.into_iter().filter(|look| !look.drift.changes.is_empty()).collect();
        if repair.accept_drift {
            for look in &looks {
                let details = look.by_object().map(|(object, changes)| {
                    execute::repair_details(object, "accepted", changes.into_iter().cloned())
                });
                locked
                    .accept_shape(
                        look.kind,
                        &look.accepted(self.ignored(look.kind)),
                        &details.collect::<Vec<_>>(),
                    )
                    .await?;
            }
            return Ok(());
        }
        self.reapply(locked, snapshot, &looks).await
    }

    /// Puts back what can be put back, all of it before the first failure is told; then looks
    /// whether the stores took it.
    async fn reapply(
        &self,
        locked: &LockedLedger,
        snapshot: &Snapshot,
        looks: &[Look],
    ) -> Result<()> {
        let listener = self.listener.as_ref();
        let kinds = looks.iter().map(|look| look.kind);
        let stores = self.meet(kinds, locked, snapshot, Duration::ZERO).await?;
        let mut errors = Vec::new();
        for look in looks {
            let Some(store) = stores.get(&look.kind) else { continue };
            let healing = Healing {
                ledger: locked,
                listener,
                interrupt: &self.interrupt,
                kind: look.kind,
                store: store.as_ref(),
                recorded: &look.recorded,
            };
            let mut tried = Vec::new();
            for heal in look.heals().iter().filter(|heal| !heal.script.is_empty()) {
                if self.interrupt.is_stopping() {
                    errors.push(Error::new(Exit::Failed, "stopped").state(format!(
                        "{}: what stood before {} is put back",
                        look.kind, heal.object
                    )));
                    break;
                }
                match healing.heal(heal).await {
                    Ok(()) if heal.person.is_empty() => tried.push(heal.object.clone()),
                    Ok(()) => {}
                    Err(error) => errors.push(error),
                }
            }
            errors.extend(self.check(look, store.as_ref(), &tried).await.err());
        }
        match Error::all(errors) {
            Some(error) => Err(error.state("all else in the plan was done, and is in the history")),
            None => Ok(()),
        }
    }

    /// Whether each of the objects that were put back is now as recorded.
    async fn check(&self, look: &Look, store: &dyn Store, tried: &[String]) -> Result<()> {
        let live = store.inspect(&look.recorded, Depth::Structure).await.map_err(|error| {
            let message = format!("cannot read what is in {}", look.kind.title());
            execute::store_words(Error::new(error.kind.exit(), message), &error)
        })?;
        let drift = stores::drift(look.kind, &look.recorded, &live, self.ignored(look.kind));
        let still: Vec<&Change> =
            drift.changes.iter().filter(|change| tried.contains(&change.object)).collect();
        if still.is_empty() {
            return Ok(());
        }
        let message = format!("{} did not take all that was put back", look.kind.title());
        let error =
            still.iter().fold(Error::failed(message), |error, change| error.because(change));
        Err(error.hint("see `aiplat-migrate validate`"))
    }
}

/// What is to be done, and what is not, in words.
fn planned(repair: &Repair, actions: &[Action], looks: &[Look]) -> RepairReport {
    let mut report = RepairReport {
        actions: actions.iter().map(describe).collect(),
        left: Vec::new(),
        done: false,
    };
    for look in looks {
        let kind = look.kind;
        if repair.accept_drift {
            let accepted = look.drift.changes.iter();
            report.actions.extend(accepted.map(|change| format!("{kind}: record {change}")));
            continue;
        }
        for heal in look.heals() {
            report
                .left
                .extend(heal.person.iter().map(|why| format!("{kind}: {}: {why}", heal.object)));
            if !heal.script.is_empty() {
                report.actions.push(put_back(kind, &heal));
            }
        }
    }
    report
}

fn put_back(kind: StoreKind, heal: &Heal) -> String {
    let mut text = format!("{kind}: put {} back", heal.object);
    for change in &heal.changes {
        text.push_str(&format!("\n      now: {change}"));
    }
    for caution in &heal.cautions {
        text.push_str(&format!("\n      note: {caution}"));
    }
    text
}

fn actions(repair: &Repair, files: &Files, snapshot: &Snapshot) -> Result<Vec<Action>> {
    let mut actions = Vec::new();
    for (wanted, done) in [(&repair.done, true), (&repair.not_done, false)] {
        if let Some(wanted) = wanted {
            actions.push(settle(snapshot, &wanted.id(), done)?);
        }
    }
    for entry in plan::compare(files, &snapshot.rows) {
        let Some(row) = entry.row else { continue };
        match (entry.status, entry.file) {
            (Status::Changed, Some(file)) if repair.accept_changed => {
                actions.push(Action::Realign {
                    id: entry.id.clone(),
                    row: row.row,
                    checksum: file.checksum.as_str().to_string(),
                    script: file.source.file.clone(),
                })
            }
            (Status::Missing, _) if repair.accept_missing => {
                actions.push(Action::Forget { id: entry.id.clone(), row: row.row });
            }
            (_, _) => {}
        }
    }
    Ok(actions)
}

fn settle(snapshot: &Snapshot, id: &MigrationId, done: bool) -> Result<Action> {
    match snapshot.living(id) {
        Some(row) if row.state == State::InDoubt => {
            Ok(Action::Settle { id: id.clone(), row: row.row, done })
        }
        Some(row) => Err(Error::usage(format!("{id} is {}, not in doubt", row.state.name()))
            .state("nothing was changed")),
        None => Err(Error::usage(format!("the ledger has no {id}")).state("nothing was changed")),
    }
}

fn describe(action: &Action) -> String {
    match action {
        Action::Settle { id, done: true, .. } => {
            format!("{id}: take the step in doubt as done; `up` goes on with the next one")
        }
        Action::Settle { id, done: false, .. } => {
            format!("{id}: take the step in doubt as not done; `up` does it again")
        }
        Action::Realign { id, script, .. } => {
            format!("{id}: take the present text of {script} as what was applied")
        }
        Action::Forget { id, .. } => {
            format!("{id}: take it that its file is meant to be gone; what it made stays")
        }
    }
}
