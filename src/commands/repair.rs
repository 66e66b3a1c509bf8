//! `repair`: settles what a run left, by asking the stores first and a person last; always shows its
//! plan before.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use clap::Args;
use serde_json::Value;

use super::changed::{self, Extent};
use super::flags::{Confirm, duration};
use super::validate::{Known, Look, by_object};
use crate::error::{Error, Exit, Result};
use crate::execute::{self, Connected, Context, Healing, Pictures, Task};
use crate::ledger::{Ledger, LockedLedger, Row, Said, Snapshot, State, Wanted};
use crate::migration::{Down, Files, MigrationId};
use crate::migrator::Migrator;
use crate::plan::{self, Status};
use crate::report::{RepairReport, Report};
use crate::secret::Secrets;
use crate::shape::Change;
use crate::stores::StoreKind;
use crate::stores::{self, Depth, Heal, Probe, Store};
use crate::text::Checksum;

/// Settle what is in doubt, changed, missing or drifted.
#[derive(Clone, Debug, Default, Args)]
pub struct Repair {
    /// The step in doubt of this migration was done
    #[arg(long, value_name = "STORE@VERSION", conflicts_with = "not_done")]
    pub done: Option<MigrationId>,
    /// The step in doubt of this migration was not done
    #[arg(long, value_name = "STORE@VERSION")]
    pub not_done: Option<MigrationId>,
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
    /// Take the servers that are there now as the ones that this ledger belongs with
    #[arg(long)]
    pub accept_identity: bool,
    /// Show what would be done, and do nothing
    #[arg(long)]
    pub dry_run: bool,
    /// How long to wait for another run's lock [default: 60s]
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub lock_wait: Option<Duration>,
}

/// One thing that `repair` does to the ledger.
enum Action {
    /// A step in doubt is settled as a person says.
    Settle { left: Box<Left>, said: Said },
    /// The present text is taken as what was applied.
    Realign {
        row: Row,
        script: String,
        checksum: Checksum,
        content: Option<Checksum>,
        extent: Extent,
    },
    /// A file is meant to be gone.
    Forget { row: Row },
}

/// A migration that a run left in the middle, with its text as far as that is still there.
struct Left {
    row: Row,
    task: Result<Task>,
}

/// Another server than the one that the ledger knows.
struct Moved {
    kind: StoreKind,
    known: String,
    live: String,
}

/// What is shown, and what is done once it was confirmed.
struct Planned {
    report: RepairReport,
    /// The rows whose steps in doubt are settled as their stores say.
    asked: BTreeSet<i64>,
    /// What puts drifted objects back.
    heals: Vec<(StoreKind, Heal)>,
}

impl Migrator {
    /// Shows what it is about to do, asks, and does it; each repair is an event.
    pub async fn repair(&self, repair: &Repair, confirm: Confirm<'_>) -> Result<Report> {
        let files = self.files()?;
        let run = self.begin();
        let ledger = self.ledger(&run, Duration::ZERO).await?;
        let snapshot = ledger.read().await?;
        self.warn_of_newer(&snapshot);
        let repair = &unanswered(repair, &ledger, &snapshot).await?;
        let planned = self.planned(repair, &ledger, &files, &snapshot).await?;
        let mut report = planned.report.clone();
        if report.actions.is_empty() || repair.dry_run {
            return Ok(Report::Repair(report));
        }
        if !confirm(&format!("{report}Do this?")) {
            return Err(Error::usage("not confirmed")
                .state("nothing was changed")
                .hint("where nobody can be asked: --yes"));
        }
        let locked = self.lock(ledger, run, repair.lock_wait, std::future::ready(())).await?;
        let (locked, snapshot, ..) = locked;
        let result = self.carry_out(repair, &files, &locked, snapshot, &planned).await;
        locked.release().await;
        result.map(|left| {
            report.left.extend(left);
            report.done = true;
            Report::Repair(report)
        })
    }

    async fn planned(
        &self,
        repair: &Repair,
        ledger: &Ledger,
        files: &Files,
        snapshot: &Snapshot,
    ) -> Result<Planned> {
        let mut report = RepairReport::default();
        let moved = self.moved(repair, snapshot).await?;
        report.actions.extend(moved.iter().map(|moved| {
            format!(
                "{}: take the server that is there now as this ledger's: {} → {}",
                moved.kind, moved.known, moved.live
            )
        }));
        let actions = self.actions(repair, ledger, files, snapshot).await?;
        report.actions.extend(actions.iter().map(describe));
        let asked = self.ask(repair, ledger, files, snapshot, &mut report).await?;
        let looks = self.drifted(repair, ledger, snapshot).await?;
        let secrets = self.config.placeholders.secrets();
        let heals = plan_drift(repair, &looks, &secrets, &mut report);
        Ok(Planned { report, asked, heals })
    }

    /// What the stores look like, where this repair is about that.
    async fn drifted(
        &self,
        repair: &Repair,
        ledger: &Ledger,
        snapshot: &Snapshot,
    ) -> Result<Vec<Look>> {
        match repair.reapply || repair.accept_drift {
            true => {
                let known = Known::of(snapshot, ledger.shapes().await?);
                let known = match repair.accept_identity {
                    true => known.on_any_server(),
                    false => known,
                };
                self.look(&known, Duration::ZERO, Depth::Structure).await
            }
            false => Ok(Vec::new()),
        }
    }

    /// The stores whose servers are not the ones that the ledger knows, where these are accepted.
    async fn moved(&self, repair: &Repair, snapshot: &Snapshot) -> Result<Vec<Moved>> {
        if !repair.accept_identity {
            return Ok(Vec::new());
        }
        let known = snapshot.identities.keys().copied().filter(|kind| self.selected(*kind));
        let stores = self.reached(known).await?;
        let mut moved = Vec::new();
        for (kind, store) in &stores {
            let live = store.identity().await.map_err(|error| {
                let message = format!("cannot ask {} which server it is", kind.title());
                execute::store_words(Error::new(error.kind.exit(), message), &error)
            })?;
            let known = snapshot.identities.get(kind).cloned();
            if let (Some(live), Some(known)) = (live, known)
                && live != known
            {
                moved.push(Moved { kind: *kind, known, live });
            }
        }
        Ok(moved)
    }

    /// Connects the configured ones of `kinds` for questions.
    async fn reached(&self, kinds: impl Iterator<Item = StoreKind>) -> Result<Connected> {
        let configured = kinds.filter_map(|kind| self.config.stores.get(&kind));
        let settings: Vec<_> = configured.map(|settings| self.reading(settings)).collect();
        self.connect_all(&settings, "aiplat-migrate repair", Duration::ZERO).await
    }

    /// Asks the stores what became of the steps in doubt, and writes into the plan what they say; gives
    /// back the rows that can be settled so.
    async fn ask(
        &self,
        repair: &Repair,
        ledger: &Ledger,
        files: &Files,
        snapshot: &Snapshot,
        report: &mut RepairReport,
    ) -> Result<BTreeSet<i64>> {
        let mut asked = BTreeSet::new();
        let all = self.left(repair, ledger, files, snapshot).await?;
        if all.is_empty() {
            return Ok(asked);
        }
        if let Some(holder) = ledger.at_work().await? {
            let remark = format!("a run is in progress, and its steps are not in doubt: {holder}");
            report.remarks.push(remark);
            return Ok(asked);
        }
        let doubtful = all.iter().filter(|left| left.is_in_doubt() && left.task.is_ok());
        let stores = self.reached(doubtful.map(|left| left.row.id.store)).await?;
        for left in all {
            let id = &left.row.id;
            let task = match (&left.task, stores.get(&id.store)) {
                (_, _) if !left.is_in_doubt() => None,
                (Err(error), _) => {
                    report.left.push(left.unsettled(&error.to_string()));
                    continue;
                }
                (Ok(_), None) => {
                    report.left.push(left.unsettled("its store is not configured"));
                    continue;
                }
                (Ok(task), Some(store)) => Some((task, store)),
            };
            let probe = match task {
                Some((task, store)) => execute::probe(store, task).await?,
                None => None,
            };
            match probe {
                None => report.remarks.push(left.goes_on()),
                Some(Probe::Unknown(reason)) => report.left.push(left.unsettled(&reason)),
                Some(probe) => {
                    report.actions.push(left.answered(&probe));
                    asked.insert(left.row.row);
                }
            }
        }
        Ok(asked)
    }

    /// What runs left in the middle, except what a person settles.
    async fn left(
        &self,
        repair: &Repair,
        ledger: &Ledger,
        files: &Files,
        snapshot: &Snapshot,
    ) -> Result<Vec<Left>> {
        let said = [&repair.done, &repair.not_done];
        let open = |status| {
            matches!(status, Status::Running | Status::Failed | Status::Undoing | Status::InDoubt)
        };
        let entries = plan::compare(files, &snapshot.rows);
        let rows = entries
            .iter()
            .filter(|entry| open(entry.status) && self.selected(entry.id.store))
            .filter(|entry| !said.contains(&&Some(entry.id.clone())))
            .filter_map(|entry| entry.row);
        self.with_tasks(rows.cloned().collect(), ledger, files).await
    }

    async fn with_tasks(
        &self,
        rows: Vec<Row>,
        ledger: &Ledger,
        files: &Files,
    ) -> Result<Vec<Left>> {
        let undoing: Vec<i64> = rows.iter().filter(|row| row.undoing).map(|row| row.row).collect();
        let mut downs = ledger.downs(&undoing).await?;
        let left = rows.into_iter().map(|row| {
            let down = downs.remove(&row.row).unwrap_or(Down::None);
            let task = execute::left(&row, files, down, &self.config.placeholders);
            Left { row, task }
        });
        Ok(left.collect())
    }

    /// Meets the stores that are to be settled or put back.
    async fn met(
        &self,
        kinds: impl IntoIterator<Item = StoreKind>,
        locked: &LockedLedger,
        snapshot: &Snapshot,
    ) -> Result<Connected> {
        let kinds = kinds.into_iter().collect();
        let meet = self.meet(kinds, Connected::new(), locked, snapshot, Duration::ZERO);
        let (stores, first_met) = meet.await?;
        execute::keep(locked, &first_met, &Pictures::new()).await?;
        Ok(stores)
    }

    /// Does what was planned; what the stores could not tell after all.
    async fn carry_out(
        &self,
        repair: &Repair,
        files: &Files,
        locked: &LockedLedger,
        mut snapshot: Snapshot,
        planned: &Planned,
    ) -> Result<Vec<String>> {
        let moved = self.moved(repair, &snapshot).await?;
        for Moved { kind, known, live } in &moved {
            let change =
                change("identity", None, Value::from(known.as_str()), Value::from(live.as_str()));
            let details = execute::repair_details("identity", "accepted", [change]);
            locked.accept_identity(*kind, live, &details).await?;
        }
        if !moved.is_empty() {
            snapshot = locked.read().await?;
        }
        for action in self.actions(repair, locked.reader(), files, &snapshot).await? {
            action.take(locked).await?;
        }
        let left = self.settle(repair, files, locked, &snapshot, &planned.asked).await?;
        let looks = self.drifted(repair, locked.reader(), &snapshot).await?;
        let looks: Vec<Look> = looks.into_iter().filter(|look| !look.is_settled()).collect();
        match repair.accept_drift {
            true => self.accept(locked, &looks).await?,
            false => self.reapply(locked, &snapshot, &looks, &planned.heals).await?,
        }
        Ok(left)
    }

    /// Settles the steps in doubt of the rows `asked` as their stores answer under the lock.
    async fn settle(
        &self,
        repair: &Repair,
        files: &Files,
        locked: &LockedLedger,
        snapshot: &Snapshot,
        asked: &BTreeSet<i64>,
    ) -> Result<Vec<String>> {
        let all = self.left(repair, locked.reader(), files, snapshot).await?;
        let all: Vec<Left> = all.into_iter().filter(|left| asked.contains(&left.row.row)).collect();
        let kinds: BTreeSet<StoreKind> = all.iter().map(|left| left.row.id.store).collect();
        let stores = self.met(kinds, locked, snapshot).await?;
        let context = Context {
            ledger: locked,
            listener: self.listener.as_ref(),
            interrupt: &self.interrupt,
            allow_data_loss: false,
            rate: None,
        };
        let mut unsettled = Vec::new();
        for left in all {
            let (Ok(task), Some(store)) = (&left.task, stores.get(&left.row.id.store)) else {
                continue;
            };
            if let Some(reason) = execute::settle(&context, store, (&left.row, task)).await? {
                unsettled.push(left.unsettled(&reason));
            }
        }
        Ok(unsettled)
    }

    async fn accept(&self, locked: &LockedLedger, looks: &[Look]) -> Result<()> {
        for look in looks {
            let (recordable, _) = look.recordable();
            let details = by_object(recordable.into_iter()).map(|(object, changes)| {
                execute::repair_details(object, "accepted", changes.into_iter().cloned())
            });
            let accepted = look.accepted(self.ignored(look.kind));
            let mut details: Vec<Value> = details.collect();
            if look.has_no_shape() {
                let anew =
                    change("shape", Some("objects"), Value::Null, accepted.objects.len().into());
                details.push(execute::repair_details("shape", "recorded anew", [anew]));
            }
            locked.accept_shape(look.kind, &accepted, &details).await?;
        }
        Ok(())
    }

    /// What this repair does to rows, because a person says so.
    async fn actions(
        &self,
        repair: &Repair,
        ledger: &Ledger,
        files: &Files,
        snapshot: &Snapshot,
    ) -> Result<Vec<Action>> {
        let mut actions = Vec::new();
        for (wanted, said) in [(&repair.done, Said::Done), (&repair.not_done, Said::NotDone)] {
            if let Some(id) = wanted {
                let row = doubtful(snapshot, id, &said)?.clone();
                let left =
                    self.with_tasks(vec![row], ledger, files).await?.into_iter().map(Box::new);
                actions.extend(left.map(|left| Action::Settle { left, said: said.clone() }));
            }
        }
        let entries = plan::compare(files, &snapshot.rows);
        let contents = match repair.accept_changed {
            true => ledger.contents(&changed::rows(&entries)).await?,
            false => BTreeMap::new(),
        };
        for entry in entries.iter().filter(|entry| self.selected(entry.id.store)) {
            let Some(row) = entry.row.cloned() else { continue };
            match (entry.status, entry.file) {
                (Status::Changed, Some(file)) if repair.accept_changed => {
                    actions.push(Action::Realign {
                        row,
                        script: file.source.file.clone(),
                        checksum: file.checksum.clone(),
                        content: file.source.content(),
                        extent: Extent::of(entry, &contents),
                    })
                }
                (Status::Missing, _) if repair.accept_missing => {
                    actions.push(Action::Forget { row });
                }
                (_, _) => {}
            }
        }
        Ok(actions)
    }

    /// Puts back what can be put back, all of it before the first failure is told; then looks
    /// whether the stores took it.
    async fn reapply(
        &self,
        locked: &LockedLedger,
        snapshot: &Snapshot,
        looks: &[Look],
        shown: &[(StoreKind, Heal)],
    ) -> Result<()> {
        let listener = self.listener.as_ref();
        let kinds = looks.iter().map(|look| look.kind);
        let stores = self.met(kinds, locked, snapshot).await?;
        let (mut errors, mut back) = (Vec::new(), Vec::new());
        for look in looks {
            let Some(store) = stores.get(&look.kind) else { continue };
            let healing = Healing {
                ledger: locked,
                listener,
                interrupt: &self.interrupt,
                kind: look.kind,
                store,
                recorded: &look.recorded,
                ignored: self.ignored(look.kind),
            };
            let (heals, unseen): (Vec<Heal>, Vec<Heal>) = look
                .heals()
                .into_iter()
                .partition(|heal| shown.contains(&(look.kind, heal.clone())));
            errors.extend(unseen.iter().filter(|heal| heal.is_possible()).map(|heal| {
                Error::new(Exit::Differ, format!("{}: {} was left alone", look.kind, heal.object))
                    .because("it changed while this repair waited to be confirmed")
                    .hint("look again: aiplat-migrate repair --reapply")
            }));
            let heals: Vec<Heal> = heals.into_iter().filter(Heal::is_possible).collect();
            let mut tried = Vec::new();
            for (heal, ended) in heals.iter().zip(healing.all(&heals).await) {
                match ended {
                    Ok(()) if heal.person.is_empty() => tried.push(heal.object.clone()),
                    Ok(()) => {}
                    Err(error) => errors.push(error),
                }
            }
            back.extend(tried.iter().map(|object| format!("{}: {object}", look.kind)));
            errors.extend(self.check(look, store, &tried).await.err());
        }
        match (Error::all(errors), back.as_slice()) {
            (None, _) => Ok(()),
            (Some(error), []) => Err(error.state("nothing was put back")),
            (Some(error), back) => {
                Err(error.state(format!("put back, and in the history: {}", back.join(", "))))
            }
        }
    }

    /// Whether each of the objects that were put back is now as recorded.
    async fn check(&self, look: &Look, store: &Store, tried: &[String]) -> Result<()> {
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

/// What is done about drift, and what is not, in words.
fn plan_drift(
    repair: &Repair,
    looks: &[Look],
    secrets: &Secrets,
    report: &mut RepairReport,
) -> Vec<(StoreKind, Heal)> {
    let mut heals = Vec::new();
    for look in looks {
        let kind = look.kind;
        if let Some(moved) = look.moved() {
            report.left.push(format!(
                "{moved}; if that is on purpose: aiplat-migrate repair --accept-identity --store {kind}"
            ));
            continue;
        }
        if look.has_no_shape() && !look.is_settled() {
            let what = "what was recorded is lost";
            match repair.accept_drift {
                true => report.actions.push(format!(
                    "{kind}: {what}: record all that is there now, made by migrations or not"
                )),
                false => report.left.push(format!(
                    "{kind}: {what}, nothing can be put back by it: restore the ledger's table `shape`, or \
                     record what is there: aiplat-migrate repair --accept-drift --store {kind}"
                )),
            }
            continue;
        }
        if repair.accept_drift {
            let (accepted, secret) = look.recordable();
            report.actions.extend(accepted.iter().map(|change| format!("{kind}: record {change}")));
            report.left.extend(secret.iter().map(|change| {
                format!(
                    "{kind}: {change}: secrets are never recorded; give the placeholder the value that is \
                     live, or put it back: aiplat-migrate repair --reapply"
                )
            }));
            continue;
        }
        for heal in look.heals() {
            report
                .left
                .extend(heal.person.iter().map(|why| format!("{kind}: {}: {why}", heal.object)));
            if heal.is_possible() {
                report.actions.push(secrets.hide(&put_back(kind, &heal)));
            }
            heals.push((kind, heal));
        }
    }
    heals
}

fn put_back(kind: StoreKind, heal: &Heal) -> String {
    let mut text = format!("{kind}: put {} back", heal.object);
    for change in &heal.changes {
        text.push_str(&format!("\n      now: {change}"));
    }
    for statement in heal.means.statements() {
        text.push_str(&format!("\n      by: {}", statement.replace('\n', "\n          ")));
    }
    for caution in &heal.cautions {
        text.push_str(&format!("\n      note: {caution}"));
    }
    text
}

/// `repair` without an answer that the ledger has already: a command that was killed after it gave
/// the answer may be typed again.
async fn unanswered(repair: &Repair, ledger: &Ledger, snapshot: &Snapshot) -> Result<Repair> {
    let mut repair = repair.clone();
    for (given, said) in [(&mut repair.done, Said::Done), (&mut repair.not_done, Said::NotDone)] {
        let row = given.as_ref().and_then(|id| snapshot.living(id));
        let Some(row) = row.filter(|row| row.state != State::InDoubt && !is_claimed(row)) else {
            continue;
        };
        let of_row = Wanted { migration: Some(row.id.clone()), ..Wanted::default() };
        let newest = ledger.events(&of_row, 1).await?;
        let same = |event: &Value| {
            event["ledger_id"] == row.row && event["details"]["repair"] == said.told(Said::PERSON)
        };
        if newest.iter().any(same) {
            *given = None;
        }
    }
    Ok(repair)
}

/// The row of `id`, whose step a person settles: one in doubt, or one that failed and that somebody has
/// done by other means since, so that it can never succeed.
fn doubtful<'s>(snapshot: &'s Snapshot, id: &MigrationId, said: &Said) -> Result<&'s Row> {
    let refuse = |message: String| Err(Error::usage(message).state("nothing was changed"));
    match snapshot.living(id) {
        None => refuse(format!("the ledger has no {id}")),
        Some(row) if row.state == State::InDoubt || is_claimed(row) => Ok(row),
        Some(row) if *said == Said::Done && row.state == State::Failed => Ok(row),
        Some(row) => refuse(format!("{id} is {}, and no step of it is in doubt", row.state.name())),
    }
}

/// Whether a run was killed in the middle of a step.
fn is_claimed(row: &Row) -> bool {
    let open = matches!(row.state, State::Running | State::Failed | State::Undoing);
    open && row.claimed.is_some()
}

impl Left {
    fn is_in_doubt(&self) -> bool {
        self.row.state == State::InDoubt || is_claimed(&self.row)
    }

    /// The step in doubt, in words.
    fn step(&self) -> String {
        let row = &self.row;
        let units = self.task.as_ref().map(|task| task.units.as_slice()).unwrap_or_default();
        let label = units.get(row.steps_done).map(|unit| format!(", {},", unit.label));
        format!(
            "{}: step {} of {}{}",
            row.id,
            row.steps_done + 1,
            row.steps_total,
            label.unwrap_or_default()
        )
    }

    /// That the step stays in doubt, why, and what a person types.
    fn unsettled(&self, reason: &str) -> String {
        format!(
            "{} is in doubt: {reason}\n      if it was done: aiplat-migrate repair --done {1}\n      \
             if it was not: aiplat-migrate repair --not-done {1}",
            self.step(),
            self.row.id.argument()
        )
    }

    /// What is done about the step now that the store answered.
    fn answered(&self, probe: &Probe) -> String {
        let verb = if self.row.undoing { "down" } else { "up" };
        let title = self.row.id.store.title();
        let then = match probe {
            Probe::Done => {
                format!("was done, as {title} says; `{verb}` goes on after it")
            }
            Probe::NotDone => format!("was not done, as {title} says; `{verb}` does it again"),
            Probe::Partial(_) => {
                format!("was done in part, as {title} says; `{verb}` goes on inside it")
            }
            Probe::Rebuild(wreckage) => {
                format!("was cut off: {}; `{verb}` does it again", wreckage.label)
            }
            Probe::Running | Probe::Unknown(_) => format!(
                "is still at work in {title}, for a run that is dead: wait for its end, and ask again"
            ),
        };
        format!("{} {then}", self.step())
    }

    /// That nothing is in doubt, and who goes on.
    fn goes_on(&self) -> String {
        let row = &self.row;
        let verb = if row.undoing { "down" } else { "up" };
        format!(
            "{} is {} after {} of {} steps, and `aiplat-migrate {verb}` goes on there",
            row.id,
            row.state.name(),
            row.steps_done,
            row.steps_total
        )
    }
}

impl Action {
    async fn take(&self, locked: &LockedLedger) -> Result<()> {
        let text = |text: &str| Value::from(text);
        match self {
            Action::Settle { left, said } => {
                let task = left.task.as_ref().ok();
                execute::settle_as(locked, (&left.row, task), said, Said::PERSON).await
            }
            Action::Realign { row, script, checksum, content, extent } => {
                let before = text(row.checksum.as_str());
                let change = change(script, Some("checksum"), before, text(checksum.as_str()));
                let repair = format!("accepted ({})", extent.name());
                let details = execute::repair_details(script, &repair, [change]);
                locked.realign(row.row, (script, checksum, content.as_ref()), &details).await
            }
            Action::Forget { row } => {
                let before = text(row.state.name());
                let change = change(&row.script, Some("state"), before, text("undone"));
                let details = execute::repair_details(&row.script, "accepted as gone", [change]);
                locked.forget(row.row, &details).await
            }
        }
    }
}

fn change(object: &str, attribute: Option<&str>, before: Value, after: Value) -> Change {
    Change {
        object: object.to_string(),
        attribute: attribute.map(str::to_string),
        before: Some(before),
        after: Some(after),
    }
}

fn describe(action: &Action) -> String {
    match action {
        Action::Settle { left, said: Said::Done } => {
            format!("{} is taken as done; `up` goes on with the next one", left.step())
        }
        Action::Settle { left, said: Said::NotDone | Said::Partly(_) } => {
            format!("{} is taken as not done; `up` does it again", left.step())
        }
        Action::Realign { row, script, extent, .. } => {
            format!(
                "{}: take the present text of {script} as what was applied: {}",
                row.id,
                extent.name()
            )
        }
        Action::Forget { row } => {
            format!("{}: take it that its file is meant to be gone; what it made stays", row.id)
        }
    }
}
