//! `validate`: files against the sum file, files against the ledger, ledger against the live stores.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use clap::Args;

use super::changed::{self, Extent};
use super::flags::duration;
use super::past::Records;
use crate::error::{Error, Exit, Result};
use crate::execute::{self, Connected, Event, Identities};
use crate::ledger::{Ledger, Lost, Shapes, Snapshot, StoredShape, Wanted};
use crate::migration::{Files, sum};
use crate::migrator::Migrator;
use crate::plan::{self, Entry, Status};
use crate::report::{Finding, FindingKind, Picture, Report, ValidateReport};
use crate::secret::Secrets;
use crate::shape::{Change, Shape};
use crate::store_error::StoreError;
use crate::stores::StoreKind;
use crate::stores::{
    self, Audit, Beside, Depth, Drift, Heal, Ignored, Leftover, Settings, Violation,
};
use crate::text::Checksum;

/// Hold files, ledger and live stores against each other.
#[derive(Clone, Debug, Default, Args)]
pub struct Validate {
    /// Check the files alone: contact neither ledger nor stores
    #[arg(long)]
    pub offline: bool,
    /// Objects that no migration touched are errors
    #[arg(long)]
    pub strict: bool,
    /// Live data that breaks a contract is an error
    #[arg(long)]
    pub strict_data: bool,
    /// Look at all live data, not at a sample of it
    #[arg(long)]
    pub full: bool,
    /// How long to wait for stores that do not answer yet
    #[arg(long, value_name = "TIME", default_value = "0s", value_parser = duration)]
    pub wait: Duration,
}

/// How many repairs are read, newest first, for the past of objects.
const REPAIRS: i64 = 1_000;

impl Migrator {
    /// Finds every difference in one run; writes nothing and takes no lock.
    pub async fn validate(&self, validate: &Validate) -> Result<Report> {
        let mut report = ValidateReport::default();
        let mut checked = |this: &Self| {
            let files = this.files()?;
            this.check_files(&files, &mut report)?;
            Ok(files)
        };
        if validate.offline {
            let files = checked(self)?;
            report.findings.extend(self.parse_all(&files)?);
            return Ok(Report::Validate(report.sorted()));
        }
        let ask = async |ledger: Ledger| {
            let repaired = Wanted { event: Some("repaired".to_string()), ..Wanted::default() };
            let asked = futures_util::future::try_join3(
                ledger.read_whole(),
                ledger.at_work(),
                ledger.events(&repaired, REPAIRS),
            );
            let asked = asked.await?;
            Ok((ledger, asked))
        };
        let (files, (ledger, ((snapshot, shapes), at_work, repairs))) =
            self.files_and_ledger(checked, &self.begin(), validate.wait, ask).await?;
        self.warn_of_newer(&snapshot);
        report.at_work = at_work;
        report.findings.extend(of_undo_files(&files));
        let entries = self.compare(&files, &snapshot.rows);
        let contents = ledger.contents(&changed::rows(&entries)).await?;
        drop(ledger);
        for entry in entries.iter().filter(|entry| self.selected(entry.id.store)) {
            report.findings.extend(of_entry(entry, &contents, report.at_work.is_some()));
        }
        if report.at_work.is_none() {
            let records = Records { files: &files, snapshot: &snapshot, repairs: &repairs };
            let depth = if validate.full { Depth::Full } else { Depth::Sample };
            let known = Known::of(&snapshot, shapes);
            for look in self.look(&known, validate.wait, depth).await? {
                let mut found = look.drifted();
                found.extend(look.unmanaged(validate.strict));
                found.extend(look.data(validate.strict_data));
                for finding in &mut found {
                    let object = finding.object.as_deref();
                    let file = object.and_then(|object| records.file(look.kind, object));
                    finding.file = file.map(str::to_string);
                }
                report.findings.extend(found);
                report.pictures.extend(look.picture(&records));
                report.audits.extend(look.audit.map(|audit| (look.kind, audit)));
            }
        }
        Ok(Report::Validate(report.sorted()))
    }

    fn check_files(&self, files: &Files, report: &mut ValidateReport) -> Result<()> {
        let checksums = files.checksums();
        report.files = checksums.len();
        match self.sum_file()? {
            None => report.findings.push(Finding::warning(
                FindingKind::SumFile,
                format!("there is no {}", sum::FILE),
                "write it: aiplat-migrate hash",
            )),
            Some(text) => {
                report.findings.extend(sum::compare(&text, &checksums).iter().map(|mismatch| {
                    let hint = "if the files are right: aiplat-migrate hash";
                    Finding::error(FindingKind::SumFile, mismatch.to_string(), hint)
                }));
            }
        }
        for file in files.migrations.iter().filter(|file| self.selected(file.id.store)) {
            let undoable = file.undo.is_some() || file.header.irreversible.is_some();
            if file.id.store.needs_undo_file() && file.id.version().is_some() && !undoable {
                report.findings.push(
                    Finding::warning(
                        FindingKind::NoUndo,
                        format!("{} has no U file, and does not say why", file.source.file),
                        "write the U file, or say `-- irreversible: <reason>` in the header",
                    )
                    .of(&file.id)
                    .in_file(&file.source.file),
                );
            }
        }
        Ok(())
    }

    /// Parses every script as if all were pending, and tells what their authors should know.
    fn parse_all(&self, files: &Files) -> Result<Vec<Finding>> {
        let nothing = Snapshot::default();
        let entries = plan::compare(files, &nothing.rows);
        let items = plan::up(&entries, &plan::UpOptions::default()).map_err(super::up::join)?;
        let tasks = execute::to_apply(&items, files, &nothing, &self.config.placeholders)?;
        let findings = tasks.iter().flat_map(|task| {
            let remarks = task.remarks.iter();
            remarks.map(|remark| Finding::remark(remark).of(task.id()).in_file(&task.source.file))
        });
        Ok(findings.collect())
    }

    /// Looks at every store that has a recorded shape, or should have one, and at its live data as
    /// `depth` says; or, with all errors, at none.
    pub(super) async fn look(
        &self,
        known: &Known,
        wait: Duration,
        depth: Depth,
    ) -> Result<Vec<Look>> {
        let is_made = |kind: &StoreKind, shape: &StoredShape| {
            !shape.recorded.objects.is_empty() || known.lost.contains_key(kind)
        };
        let chosen = known
            .shapes
            .iter()
            .filter(|(kind, shape)| self.selected(**kind) && is_made(kind, shape));
        let looks = chosen.map(|(kind, shape)| self.look_at(*kind, known, shape, (wait, depth)));
        let mut found = Vec::new();
        let mut errors = Vec::new();
        for look in futures_util::future::join_all(looks).await {
            match look {
                Ok(look) => found.push(look),
                Err(error) => errors.push(error),
            }
        }
        match Error::all(errors) {
            Some(error) => Err(error),
            None => Ok(found),
        }
    }

    async fn look_at(
        &self,
        kind: StoreKind,
        known: &Known,
        shape: &StoredShape,
        (wait, depth): (Duration, Depth),
    ) -> Result<Look> {
        let mut look = Look::of(kind, known, self.config.placeholders.secrets());
        let Some(settings) = self.config.stores.get(&kind) else {
            look.is_missing = true;
            return Ok(look);
        };
        let settings = self.reading(settings);
        let connecting = self.connect_once(&settings, "aiplat-migrate validate", wait);
        let connected = self.unless_stopped(connecting).await?;
        let store = connected.map_err(|error| execute::connect_error(&settings, &error))?;
        let unreadable = |error: StoreError| {
            let message = format!("cannot read what is in {}", kind.title());
            execute::store_words(Error::new(error.kind.exit(), message), &error)
        };
        if let Some(known) = known.identities.get(&kind) {
            let live = store.identity().await.map_err(unreadable)?;
            look.moved = live.filter(|live| live != known).map(|live| (known.clone(), live));
        }
        if look.moved.is_some() {
            return Ok(look);
        }
        let mut shape = shape.clone();
        stores::recorded_without(&mut shape.recorded, &look.secrets);
        let live = match &shape.before {
            Some(before) => store.inspect_after(&shape.recorded, before).await,
            None => store.inspect(&shape.recorded, Depth::Structure).await,
        };
        let live = live.map_err(unreadable)?;
        look.recorded = shape.as_of(kind, &live);
        if look.has_no_shape() {
            look.live = live;
            return Ok(look);
        }
        look.drift = stores::drift(kind, &look.recorded, &live, self.ignored(kind));
        self.tell_drift(kind, look.drift.changes.iter());
        look.audit = match depth {
            Depth::Structure => None,
            Depth::Sample | Depth::Full => {
                look.others = store.others(&look.recorded).await.map_err(unreadable)?;
                look.others.retain(|(object, _)| !self.ignored(kind).covers(kind, object));
                store.audit(&look.recorded, depth).await.map_err(unreadable)?
            }
        };
        look.live = live;
        Ok(look)
    }

    /// Warns of the stores of a run of which part of the ledger was lost; gives back what it said last.
    pub(super) fn warn_of_lost(
        &self,
        snapshot: &Snapshot,
        shapes: &Shapes,
        stores: &Connected,
    ) -> Option<String> {
        let lost = snapshot.lost(shapes);
        let lost = lost.into_iter().filter(|(kind, _)| stores.contains_key(kind));
        let said = lost.map(|(kind, lost)| {
            let said = format!("{kind}: {}; {}", in_words(lost), way_out(kind, lost));
            self.warn(said.as_str());
            said
        });
        said.last()
    }

    pub(super) fn ignored(&self, kind: StoreKind) -> &Ignored {
        static NOTHING: Ignored = Ignored(Vec::new());
        self.config.ignored.get(&kind).unwrap_or(&NOTHING)
    }

    /// Tells how many objects of `store` differ.
    pub(super) fn tell_drift<'a>(
        &self,
        store: StoreKind,
        changes: impl Iterator<Item = &'a Change>,
    ) {
        let objects: BTreeSet<&String> = changes.map(|change| &change.object).collect();
        self.tell(Event::Drift { store, objects: objects.len() });
    }

    /// Settings for reading alone: the ledger's own schema is no part of the shape.
    pub(super) fn reading(&self, settings: &Settings) -> Settings {
        settings.beside(&Beside { schema: self.config.ledger.schema.clone(), ..Beside::default() })
    }

    /// `up --verify`: contacts every store, although nothing is pending.
    pub(super) async fn verify_live(&self, snapshot: Snapshot, ledger: &Ledger) -> Result<()> {
        let known = Known::of(&snapshot, ledger.shapes().await?);
        let looks = self.look(&known, Duration::ZERO, Depth::Structure).await?;
        let findings: Vec<Finding> = looks.iter().flat_map(Look::drifted).collect();
        if findings.is_empty() {
            return Ok(());
        }
        let error = Error::new(Exit::Differ, "the stores are not as the ledger recorded them");
        let error = findings.iter().fold(error, |error, finding| error.because(&finding.message));
        Err(error.state("nothing was pending").hint("see `aiplat-migrate validate`"))
    }
}

/// What the ledger knows of the stores.
pub(super) struct Known {
    /// The recorded shapes; an empty one where a shape was lost.
    shapes: Shapes,
    /// Which servers the stores are.
    identities: Identities,
    /// Where part of the ledger was lost.
    lost: BTreeMap<StoreKind, Lost>,
}

impl Known {
    pub fn of(snapshot: &Snapshot, mut shapes: Shapes) -> Known {
        let lost = snapshot.lost(&shapes);
        for kind in lost.keys() {
            shapes.entry(*kind).or_default();
        }
        Known { shapes, identities: snapshot.identities.clone(), lost }
    }

    /// The same, for whoever takes the servers that are there now.
    pub fn on_any_server(self) -> Known {
        Known { identities: Identities::new(), ..self }
    }
}

/// What was found in one store.
pub(super) struct Look {
    pub kind: StoreKind,
    /// Whether the store is recorded and not configured.
    is_missing: bool,
    /// The server that the ledger knows, and the one that is there, where it is another.
    moved: Option<(String, String)>,
    /// What of the ledger was lost.
    lost: Option<Lost>,
    pub recorded: Shape,
    live: Shape,
    pub drift: Drift,
    audit: Option<Audit>,
    secrets: Secrets,
    /// What applications made beside what is recorded, by kind, and how many.
    others: Vec<(String, String)>,
}

impl Look {
    fn of(kind: StoreKind, known: &Known, secrets: Secrets) -> Look {
        Look {
            kind,
            is_missing: false,
            moved: None,
            lost: known.lost.get(&kind).copied(),
            recorded: Shape::default(),
            live: Shape::default(),
            drift: Drift::default(),
            audit: None,
            secrets,
            others: Vec::new(),
        }
    }

    /// Whether there is nothing that the store could be held against.
    pub fn has_no_shape(&self) -> bool {
        matches!(self.lost, Some(Lost::Shape(_)))
    }

    /// Whether there is nothing to be accepted or put back; of a store that was not looked at there is not.
    pub fn is_settled(&self) -> bool {
        let was_looked_at = !self.is_missing && self.moved.is_none();
        let has_drift = !self.drift.changes.is_empty() || !self.drift.leftovers.is_empty();
        !was_looked_at || !has_drift && !self.has_no_shape()
    }

    /// Whether it is another server than the ledger's, in words.
    pub fn moved(&self) -> Option<String> {
        let (known, live) = self.moved.as_ref()?;
        let (kind, title) = (self.kind, self.kind.title());
        Some(format!(
            "{kind}: this ledger belongs with another {title}: it knows {known}, this one is {live}"
        ))
    }

    /// What is wrong with the ledger itself.
    fn of_ledger(&self) -> Option<Finding> {
        let kind = self.kind;
        let (message, hint) = match (self.moved(), self.lost) {
            (Some(moved), _) => (
                moved,
                format!(
                    "check the addresses: one of them is of another environment; after a restore or a \
                     move on purpose: aiplat-migrate repair --accept-identity --store {kind}"
                ),
            ),
            (None, Some(lost)) => (format!("{kind}: {}", in_words(lost)), way_out(kind, lost)),
            (None, None) => return None,
        };
        let mut finding = Finding::error(FindingKind::Ledger, message, &hint);
        finding.store = Some(kind);
        Some(finding)
    }

    /// Every difference, with what puts it back.
    fn drifted(&self) -> Vec<Finding> {
        let title = self.kind.title();
        if self.is_missing {
            return vec![Finding::warning(
                FindingKind::Drift,
                format!("{title} has a recorded shape and is not configured"),
                "configure it, or leave it out with --store",
            )];
        }
        let of = |heal: &Heal| -> Vec<Finding> {
            let hint = hint_of(heal);
            heal.changes.iter().map(|change| Finding::drift(self.kind, change, &hint)).collect()
        };
        let left = self.drift.leftovers.iter().map(|Leftover { change, end }| {
            let mut finding = Finding::drift(self.kind, change, end);
            finding.message =
                format!("{}: {}: left by an operation that was cut off", self.kind, change.object);
            finding
        });
        // What goes with its owner is told with the owner alone.
        let told: BTreeSet<&str> = self.by_object().map(|(object, _)| object).collect();
        let heals = self.heals();
        let heals = heals.iter().filter(|heal| told.contains(heal.object.as_str()));
        let of_ledger = self.of_ledger().into_iter();
        of_ledger.chain(heals.flat_map(of)).chain(left).collect()
    }

    /// The way back for each drifted object.
    pub fn heals(&self) -> Vec<Heal> {
        let leftovers = self.drift.leftovers.iter().map(|leftover| &leftover.change);
        let changes: Vec<Change> = self.drift.changes.iter().chain(leftovers).cloned().collect();
        stores::heal(self.kind, (&self.recorded, &self.live), &changes, &self.secrets)
    }

    /// The differences that can be recorded, and those that cannot, since a secret is in them.
    pub fn recordable(&self) -> (Vec<&Change>, Vec<&Change>) {
        self.drift.changes.iter().partition(|change| is_recordable(change))
    }

    /// The differences, object by object.
    pub fn by_object(&self) -> impl Iterator<Item = (&str, Vec<&Change>)> {
        by_object(self.drift.changes.iter())
    }

    /// The record with what differs taken over, and what the settings newly ask for. What was told
    /// with its owner differs by itself once the owner is taken over.
    pub fn accepted(&self, ignored: &Ignored) -> Shape {
        if self.has_no_shape() {
            return stores::recordable(self.kind, self.live.clone());
        }
        let recorded = Cow::Borrowed(&self.recorded);
        let mut shape = stores::caught_up(self.kind, recorded, &self.live).into_owned();
        loop {
            let mut drift = stores::drift(self.kind, &shape, &self.live, ignored);
            drift.changes.retain(is_recordable);
            if drift.changes.is_empty() {
                break;
            }
            shape = shape.with(&drift.changes);
        }
        let mut changes = shape.changes_to(&self.live);
        changes.retain(|change| change.attribute.is_some() && change.before.is_none());
        changes.retain(is_recordable);
        shape.with(&changes)
    }

    fn unmanaged(&self, strict: bool) -> Vec<Finding> {
        let of = |object: &String| {
            let message = format!("{}: {object}: no migration made it", self.kind);
            let hint = format!("write a migration, or put a pattern into [ignore] {}", self.kind);
            Finding::in_store(FindingKind::Unmanaged, self.kind, object, message, &hint, strict)
        };
        self.drift.unmanaged.iter().map(of).chain(self.counted()).collect()
    }

    /// What applications make as they go is never an error.
    fn counted(&self) -> impl Iterator<Item = Finding> {
        self.others.iter().map(|(object, what)| {
            let message = format!("{}: {object}: {what}", self.kind);
            let hint =
                format!("where that is as it should be: `{object}` in [ignore] {}", self.kind);
            Finding::in_store(FindingKind::Unmanaged, self.kind, object, message, &hint, false)
        })
    }

    fn picture(&self, records: &Records<'_>) -> Option<Picture> {
        let past = |(object, _)| (String::from(object), records.past(self.kind, object));
        (!self.is_missing).then(|| Picture {
            store: self.kind,
            recorded: self.recorded.clone(),
            live: self.live.clone(),
            past: self.by_object().map(past).collect(),
        })
    }

    fn data(&self, strict: bool) -> Vec<Finding> {
        let of = |found: &Violation| {
            let message = format!("{}: {}: {}", self.kind, found.object, found.what);
            let hint = "correct the writer, or the contract by a migration";
            Finding::in_store(FindingKind::Data, self.kind, &found.object, message, hint, strict)
        };
        self.audit.iter().flat_map(|audit| &audit.violations).map(of).collect()
    }
}

/// Whether what is live can be recorded: a secret cannot, nor what may hold one.
fn is_recordable(change: &Change) -> bool {
    !change.after.as_ref().is_some_and(stores::is_concealed)
}

/// `changes`, object by object.
pub(super) fn by_object<'c>(
    changes: impl Iterator<Item = &'c Change>,
) -> impl Iterator<Item = (&'c str, Vec<&'c Change>)> {
    let mut objects: BTreeMap<&str, Vec<&Change>> = BTreeMap::new();
    for change in changes {
        objects.entry(&change.object).or_default().push(change);
    }
    objects.into_iter()
}

/// What was lost, in words.
fn in_words(lost: Lost) -> String {
    match lost {
        Lost::Shape(1) => {
            "1 migration is applied, and the ledger has no shape of what it made: it cannot \
                           be told whether that is still there"
                .to_string()
        }
        Lost::Shape(count) => format!(
            "{count} migrations are applied, and the ledger has no shape of what they made: it cannot be \
             told whether that is still there"
        ),
        Lost::Rows => {
            "the ledger has a shape of what migrations made, and none of their rows: `up` would \
                       apply them again"
                .to_string()
        }
    }
}

fn way_out(kind: StoreKind, lost: Lost) -> String {
    match lost {
        Lost::Shape(_) => format!(
            "restore the row `{kind}` of the ledger's table `shape` from a backup; or look at what is in {}, \
             and record it as it is: aiplat-migrate repair --accept-drift --store {kind}",
            kind.title()
        ),
        Lost::Rows => {
            "restore the ledger's tables, all from one backup, before the next `up`".to_string()
        }
    }
}

fn hint_of(heal: &Heal) -> String {
    match (heal.is_possible(), heal.person.as_slice()) {
        (true, []) => "put it back: aiplat-migrate repair --reapply".to_string(),
        (true, more) => {
            format!("aiplat-migrate repair --reapply puts part of it back; {}", more.join("; "))
        }
        (false, person) => person.join("; "),
    }
}

/// The U files that cannot be read.
fn of_undo_files(files: &Files) -> impl Iterator<Item = Finding> {
    files.migrations.iter().filter_map(|file| {
        let undo = file.undo.as_deref()?;
        let mistake = undo.mistake.as_ref()?;
        Some(Finding::remark(&mistake.to_string()).of(&file.id).in_file(&undo.source.file))
    })
}

/// What is to be said of a migration whose file and row do not agree.
fn of_entry(
    entry: &Entry<'_>,
    contents: &BTreeMap<i64, Checksum>,
    at_work: bool,
) -> Option<Finding> {
    let script = entry
        .file
        .map(|file| file.source.file.clone())
        .or(entry.row.map(|row| row.script.clone()))
        .unwrap_or_default();
    let error = |message: String, hint: &str| {
        Some(Finding::error(FindingKind::Migration, message, hint).of(&entry.id).in_file(&script))
    };
    let warning = |message: String, hint: &str| {
        Some(Finding::warning(FindingKind::Migration, message, hint).of(&entry.id).in_file(&script))
    };
    match entry.status {
        Status::Applied | Status::Baseline => None,
        Status::Pending => warning(format!("{script} is pending"), "apply it: aiplat-migrate up"),
        Status::Future => warning(
            format!("{} is applied and newer than every file here", entry.id),
            "a newer release was here; its files are not in this one",
        ),
        Status::OutOfOrder => error(
            format!("{script} is pending and older than what is applied in {}", entry.id.store),
            "give it a newer version, or apply it late: aiplat-migrate up --out-of-order",
        ),
        Status::Changed => error(
            format!(
                "{script} was changed after it was applied: {}",
                Extent::of(entry, contents).name()
            ),
            "put it back, or take it as applied: aiplat-migrate repair --accept-changed",
        ),
        Status::Missing => error(
            format!("{} is applied and its file {script} is gone", entry.id),
            "put it back, or accept it: aiplat-migrate repair --accept-missing",
        ),
        Status::Running | Status::Undoing if at_work => None,
        Status::Running => error(
            format!("{script} is half applied: its run died"),
            "go on with it: aiplat-migrate up; or settle it alone: aiplat-migrate repair",
        ),
        Status::Failed => error(
            format!("{script} failed after {} steps", entry.row.map_or(0, |row| row.steps_done)),
            "correct the cause and go on with it: aiplat-migrate up",
        ),
        Status::Undoing => error(
            format!("the undoing of {} is not finished", entry.id),
            "finish it: aiplat-migrate down",
        ),
        Status::InDoubt => error(
            format!("a step of {script} is in doubt"),
            "aiplat-migrate repair asks the store, and tells what to type where it cannot tell",
        ),
    }
}
