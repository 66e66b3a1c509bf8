//! `validate`: files against the sum file, files against the ledger, ledger against the live stores.

use std::collections::BTreeSet;
use std::time::Duration;

use clap::Args;

use crate::cli::duration;
use crate::error::{Error, Exit, Result};
use crate::execute::{self, Event};
use crate::ledger::Snapshot;
use crate::migration::{Files, StoreKind, sum};
use crate::migrator::Migrator;
use crate::plan::{self, Entry, Status};
use crate::report::{Finding, FindingKind, Report, ValidateReport};
use crate::shape::Change;
use crate::stores::{Depth, Settings};

/// Hold files, ledger and live stores against each other.
#[derive(Clone, Debug, Default, Args)]
pub struct Validate {
    /// Check the files alone: contact neither ledger nor stores
    #[arg(long)]
    pub offline: bool,
    /// How long to wait for stores that do not answer yet
    #[arg(long, value_name = "TIME", default_value = "0s", value_parser = duration)]
    pub wait: Duration,
}

impl Migrator {
    /// Finds every difference in one run; writes nothing and takes no lock.
    pub async fn validate(&self, validate: &Validate) -> Result<Report> {
        let files = self.files()?;
        let mut report = ValidateReport::default();
        self.check_files(&files, &mut report)?;
        if validate.offline {
            self.parse_all(&files)?;
            return Ok(Report::Validate(report.sorted()));
        }
        let ledger = self.ledger(&self.begin(), validate.wait).await?;
        let snapshot = ledger.read().await?;
        report.at_work = ledger.at_work().await?;
        drop(ledger);
        for entry in self.compare(&files, &snapshot.rows) {
            if self.selected(entry.id.store) {
                report.findings.extend(of_entry(&entry, report.at_work.is_some()));
            }
        }
        if report.at_work.is_none() {
            report.findings.extend(self.drift(&snapshot, validate.wait).await?);
        }
        Ok(Report::Validate(report.sorted()))
    }

    fn check_files(&self, files: &Files, report: &mut ValidateReport) -> Result<()> {
        report.files = files.checksums.len();
        match self.sum_file()? {
            None => report.findings.push(Finding::warning(
                FindingKind::SumFile,
                format!("there is no {}", sum::FILE),
                "write it: aiplat-migrate hash",
            )),
            Some(text) => {
                report.findings.extend(sum::compare(&text, &files.checksums).iter().map(
                    |mismatch| {
                        let hint = "if the files are right: aiplat-migrate hash";
                        Finding::error(FindingKind::SumFile, mismatch.to_string(), hint)
                    },
                ));
            }
        }
        for file in files.migrations.iter().filter(|file| self.selected(file.id.store)) {
            let undoable = file.undo.is_some() || file.header.irreversible.is_some();
            if file.id.store == StoreKind::Postgres && file.id.version().is_some() && !undoable {
                report.findings.push(
                    Finding::warning(
                        FindingKind::NoUndo,
                        format!("{} has no U file, and does not say why", file.source.file),
                        "write the U file, or say `-- irreversible: <reason>` in the header",
                    )
                    .of(&file.id),
                );
            }
        }
        Ok(())
    }

    /// Parses every script as if all were pending.
    fn parse_all(&self, files: &Files) -> Result<()> {
        let nothing = Snapshot::default();
        let entries = plan::compare(files, &nothing.rows);
        let items = plan::up(&entries, &plan::UpOptions::default()).map_err(super::up::join)?;
        execute::to_apply(&items, files, &nothing, &self.config.placeholders).map(|_| ())
    }

    /// The recorded shape of each store against the live one.
    async fn drift(&self, snapshot: &Snapshot, wait: Duration) -> Result<Vec<Finding>> {
        let chosen = snapshot
            .shapes
            .iter()
            .filter(|(kind, shape)| self.selected(**kind) && !shape.recorded.objects.is_empty());
        let looks = chosen.map(async |(kind, shape)| {
            let Some(settings) = self.config.stores.get(kind) else {
                return Ok(vec![Finding::warning(
                    FindingKind::Drift,
                    format!("{} has a recorded shape and is not configured", kind.title()),
                    "configure it, or leave it out with --store",
                )]);
            };
            let settings = self.reading(settings);
            let listener = self.listener.as_ref();
            let connected = tokio::select! {
                connected =
                    execute::connect(&settings, "aiplat-migrate validate", wait, listener) => connected,
                () = self.interrupt.stopping() => return Err(self.interrupted()),
            };
            let store = connected.map_err(|error| execute::connect_error(&settings, &error))?;
            let live = store.inspect(&shape.recorded, Depth::Structure).await.map_err(|error| {
                let message = format!("cannot read what is in {}", kind.title());
                execute::store_words(Error::new(error.kind.exit(), message), &error)
            })?;
            let changes = shape.recorded.changes_to(&live);
            let known = |object: &str| shape.recorded.objects.contains_key(object);
            let changes: Vec<&Change> =
                changes.iter().filter(|change| known(&change.object)).collect();
            self.tell_drift(*kind, changes.iter().copied());
            Ok(changes.into_iter().map(|change| Finding::drift(*kind, change)).collect())
        });
        let mut findings = Vec::new();
        let mut errors = Vec::new();
        for look in futures_util::future::join_all(looks).await {
            match look {
                Ok(found) => findings.extend(found),
                Err(error) => errors.push(error),
            }
        }
        match Error::all(errors) {
            Some(error) => Err(error),
            None => Ok(findings),
        }
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
    fn reading(&self, settings: &Settings) -> Settings {
        match settings {
            Settings::Postgres(settings) => {
                let mut settings = settings.clone();
                settings.hidden = vec![self.config.ledger.schema.clone()];
                Settings::Postgres(settings)
            }
            other => other.clone(),
        }
    }

    /// `up --verify`: contacts every store, although nothing is pending.
    pub(super) async fn verify_live(&self, snapshot: &Snapshot) -> Result<()> {
        let findings = self.drift(snapshot, Duration::ZERO).await?;
        if findings.is_empty() {
            return Ok(());
        }
        let error = Error::new(Exit::Differ, "the stores are not as the ledger recorded them");
        let error = findings.iter().fold(error, |error, finding| error.because(&finding.message));
        Err(error.state("nothing was pending").hint("see `aiplat-migrate validate`"))
    }
}

/// What is to be said of a migration whose file and row do not agree.
fn of_entry(entry: &Entry<'_>, at_work: bool) -> Option<Finding> {
    let script = entry
        .file
        .map(|file| file.source.file.clone())
        .or(entry.row.map(|row| row.script.clone()))
        .unwrap_or_default();
    let error = |message: String, hint: &str| {
        Some(Finding::error(FindingKind::Migration, message, hint).of(&entry.id))
    };
    let warning = |message: String, hint: &str| {
        Some(Finding::warning(FindingKind::Migration, message, hint).of(&entry.id))
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
            format!("{script} was changed after it was applied"),
            "put it back, or take it as applied: aiplat-migrate repair --accept-changed",
        ),
        Status::Missing => error(
            format!("{} is applied and its file {script} is gone", entry.id),
            "put it back, or accept it: aiplat-migrate repair --accept-missing",
        ),
        Status::Running | Status::Undoing if at_work => None,
        Status::Running => error(
            format!("{script} is half applied: its run died"),
            "go on with it: aiplat-migrate up",
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
            "look at the store, then: aiplat-migrate repair --done or --not-done",
        ),
    }
}
