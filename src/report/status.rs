//! Every migration of every store and its state.

use std::borrow::Cow;
use std::collections::BTreeMap;

use chrono::{DateTime, SubsecRound, Utc};

use super::{Style, style};
use crate::error::Exit;
use crate::ledger::Holder;
use crate::migration::Key;
use crate::plan::{Entry, Status};
use crate::stores::StoreKind;
use crate::text::unseen::{self, block};

/// The table of `status`.
#[derive(Debug)]
pub struct StatusReport {
    /// One line per migration.
    pub migrations: Vec<StatusLine>,
    /// The tags, oldest first.
    pub tags: Vec<String>,
    /// Those of them whose point is the present one.
    pub tags_here: Vec<String>,
    /// Who is at work now.
    pub at_work: Option<String>,
    /// Whether anything pending is exit code 4.
    pub fail_on_pending: bool,
}

/// One migration.
#[derive(Debug)]
pub struct StatusLine {
    /// The store.
    pub store: StoreKind,
    /// The version; `None` for a repeatable.
    pub version: Option<String>,
    /// The description.
    pub description: String,
    /// The state.
    pub status: Status,
    /// The file.
    pub script: String,
    /// When it was applied.
    pub at: Option<DateTime<Utc>>,
    /// How long it took, in milliseconds.
    pub took_ms: Option<i64>,
    /// By which database role.
    pub by: Option<String>,
    /// Steps done and in all, of a journalled migration that is not settled.
    pub steps: Option<(usize, usize)>,
    /// What went wrong.
    pub error: Option<String>,
}

impl StatusReport {
    /// The report of `entries`, of the stores that `selected` picks.
    pub fn of(
        entries: &[Entry<'_>],
        tags: &[(String, Vec<i64>)],
        at_work: Option<Holder>,
        selected: impl Fn(StoreKind) -> bool,
    ) -> StatusReport {
        StatusReport {
            migrations: entries.iter().filter(|e| selected(e.id.store)).map(line).collect(),
            tags: tags.iter().map(|(name, _)| name.clone()).collect(),
            tags_here: Vec::new(),
            at_work: at_work.map(|holder| holder.to_string()),
            fail_on_pending: false,
        }
    }

    /// Exit 4 if something is pending and that was asked for.
    pub fn exit(&self) -> Exit {
        let pending = self
            .migrations
            .iter()
            .any(|line| matches!(line.status, Status::Pending | Status::OutOfOrder));
        match pending && self.fail_on_pending {
            true => Exit::Pending,
            false => Exit::Done,
        }
    }

    /// How many migrations are in each state.
    pub fn counts(&self) -> BTreeMap<Status, usize> {
        let mut counts = BTreeMap::new();
        for line in &self.migrations {
            *counts.entry(line.status).or_insert(0) += 1;
        }
        counts
    }

    pub(super) fn text(&self, style: Style) -> String {
        if self.migrations.is_empty() {
            return "there are no migrations\n".to_string();
        }
        let rows = self.migrations.iter().map(|line| {
            let state = match line.steps {
                Some((done, all)) => {
                    Cow::from(format!("{}, {done} of {all} steps", line.status.name()))
                }
                None => Cow::from(line.status.name()),
            };
            let took = line.took_ms.map(|ms| style::duration(ms.unsigned_abs().into()));
            [
                line.store.name().into(),
                line.version.as_deref().unwrap_or("R").into(),
                unseen::line(&line.description),
                paint(style, line.status, &state).into(),
                line.at.map(short_time).unwrap_or_default().into(),
                took.unwrap_or_default().into(),
                unseen::line(line.by.as_deref().unwrap_or_default()),
            ]
        });
        let head = ["store", "version", "description", "state", "when (UTC)", "took", "by"];
        let mut text = style::table(head, rows);
        let counts: Vec<String> = self
            .counts()
            .iter()
            .map(|(status, count)| format!("{count} {}", status.name()))
            .collect();
        text.push_str(&format!("\n{}\n", counts.join(", ")));
        for line in self.migrations.iter().filter(|line| line.error.is_some()) {
            let error = block(line.error.as_deref().unwrap_or_default());
            let script = unseen::line(&line.script);
            text.push_str(&format!("{} {script}: {error}\n", style.bad("failed:")));
        }
        if !self.tags.is_empty() {
            let shown = self.tags.iter().map(|name| match self.tags_here.contains(name) {
                true => format!("{name} (the present point)"),
                false => name.clone(),
            });
            let shown = shown.collect::<Vec<_>>().join(", ");
            text.push_str(&format!("tags: {}\n", unseen::line(&shown)));
        }
        if let Some(holder) = &self.at_work {
            text.push_str(&format!("{} {}\n", style.warn("at work now:"), unseen::line(holder)));
        }
        text
    }
}

fn line(entry: &Entry<'_>) -> StatusLine {
    let (file, row) = (entry.file, entry.row);
    let unsettled = matches!(
        entry.status,
        Status::Failed | Status::Running | Status::Undoing | Status::InDoubt
    );
    StatusLine {
        store: entry.id.store,
        version: match &entry.id.key {
            Key::Version(version) => Some(version.to_string()),
            Key::Repeatable(_) => None,
        },
        description: file
            .map(|file| file.description.clone())
            .or(row.map(|row| row.description.clone()))
            .unwrap_or_default(),
        status: entry.status,
        script: file
            .map(|file| file.source.file.clone())
            .or(row.map(|row| row.script.clone()))
            .unwrap_or_default(),
        at: row.map(|row| row.finished_at.unwrap_or(row.started_at)),
        took_ms: row.and_then(|row| row.execution_ms),
        by: row.map(|row| row.installed_by.clone()),
        steps: row.filter(|_| unsettled).map(|row| (row.steps_done, row.steps_total)),
        error: row
            .filter(|_| unsettled)
            .and_then(|row| row.error.as_ref())
            .and_then(|error| error["message"].as_str().map(str::to_string)),
    }
}

fn short_time(at: DateTime<Utc>) -> String {
    at.naive_utc().trunc_subsecs(0).to_string()
}

fn paint(style: Style, status: Status, text: &str) -> String {
    match status {
        Status::Applied | Status::Baseline => style.good(text),
        Status::Pending | Status::Future | Status::Running => style.warn(text),
        Status::OutOfOrder
        | Status::Changed
        | Status::Missing
        | Status::Failed
        | Status::Undoing
        | Status::InDoubt => style.bad(text),
    }
}
