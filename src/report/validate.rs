//! Every difference that `validate` found, worst first.

use std::collections::BTreeMap;

use serde::Serialize;

use super::Style;
use crate::error::Exit;
use crate::ledger::Holder;
use crate::migration::MigrationId;
use crate::shape::{Change, Shape};
use crate::stores::Audit;
use crate::stores::StoreKind;
use crate::text::unseen::{block, line};

/// What `validate` found.
#[derive(Debug, Default)]
pub struct ValidateReport {
    /// How many files were checked.
    pub files: usize,
    /// The findings.
    pub findings: Vec<Finding>,
    /// How much live data was looked at, by store.
    pub audits: Vec<(StoreKind, Audit)>,
    /// What the stores look like, for those that were looked at.
    pub pictures: Vec<Picture>,
    /// A run that is at work now: what it is at is no finding.
    pub at_work: Option<Holder>,
}

/// One store: what is recorded of it, what is there, and what became of the objects that differ.
#[derive(Debug)]
pub struct Picture {
    /// The store.
    pub store: StoreKind,
    /// What is recorded.
    pub recorded: Shape,
    /// What is there.
    pub live: Shape,
    /// The past of each object that differs.
    pub past: BTreeMap<String, Vec<Past>>,
}

/// Something that happened to an object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Past {
    /// When, as RFC 3339.
    pub at: String,
    /// What: the migration whose file names the object, or a repair.
    pub what: String,
    /// By whom.
    pub by: String,
}

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// A difference: exit 3.
    Error,
    /// Worth knowing.
    Warning,
}

/// What a finding is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum FindingKind {
    /// A file against the ledger.
    Migration,
    /// The recorded shape against the live one.
    Drift,
    /// The files against the sum file.
    SumFile,
    /// Live data against a contract.
    Data,
    /// An object that no migration touched.
    Unmanaged,
    /// A migration that nothing undoes.
    NoUndo,
    /// Something in a file that its author should know.
    Remark,
    /// The ledger lacks something, or belongs with another server.
    Ledger,
}

/// One finding.
#[derive(Clone, Debug, Serialize)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// What it is about.
    pub kind: FindingKind,
    /// The store, where one is meant.
    pub store: Option<StoreKind>,
    /// The migration, where one is meant.
    pub migration: Option<String>,
    /// The object, where one is meant.
    pub object: Option<String>,
    /// The file, where one is meant: of the migration, or of the last one that names the object.
    pub file: Option<String>,
    /// The difference, where the store and the ledger differ.
    pub change: Option<Change>,
    /// What was found.
    pub message: String,
    /// What to do.
    pub hint: String,
}

impl FindingKind {
    /// Every kind, in the order of the enum.
    pub const ALL: [FindingKind; 8] = [
        FindingKind::Migration,
        FindingKind::Drift,
        FindingKind::SumFile,
        FindingKind::Data,
        FindingKind::Unmanaged,
        FindingKind::NoUndo,
        FindingKind::Remark,
        FindingKind::Ledger,
    ];

    /// Its name, as JSON has it.
    pub fn name(self) -> &'static str {
        match self {
            FindingKind::Migration => "migration",
            FindingKind::Drift => "drift",
            FindingKind::SumFile => "sum-file",
            FindingKind::Data => "data",
            FindingKind::Unmanaged => "unmanaged",
            FindingKind::NoUndo => "no-undo",
            FindingKind::Remark => "remark",
            FindingKind::Ledger => "ledger",
        }
    }

    /// What it is about, in a sentence.
    pub fn meaning(self) -> &'static str {
        match self {
            FindingKind::Migration => "A migration's file and the ledger do not agree.",
            FindingKind::Drift => "A store is not as the migrations made it.",
            FindingKind::SumFile => "The files are not what migrations.sum says.",
            FindingKind::Data => "Live data breaks a contract.",
            FindingKind::Unmanaged => "An object that no migration made.",
            FindingKind::NoUndo => "A migration that nothing undoes.",
            FindingKind::Remark => "Something in a file that its author should know.",
            FindingKind::Ledger => "The ledger lacks something, or belongs with another server.",
        }
    }
}

impl Finding {
    fn new(severity: Severity, kind: FindingKind, message: String, hint: &str) -> Finding {
        let hint = hint.to_string();
        Finding {
            severity,
            kind,
            store: None,
            migration: None,
            object: None,
            file: None,
            change: None,
            message,
            hint,
        }
    }

    /// A difference.
    pub fn error(kind: FindingKind, message: String, hint: &str) -> Finding {
        Finding::new(Severity::Error, kind, message, hint)
    }

    /// Something worth knowing.
    pub fn warning(kind: FindingKind, message: String, hint: &str) -> Finding {
        Finding::new(Severity::Warning, kind, message, hint)
    }

    /// Something in a file that its author should know.
    pub fn remark(message: &str) -> Finding {
        let hint = "nothing has to be done for `up`; `plan` shows what it would do";
        Finding::warning(FindingKind::Remark, message.to_string(), hint)
    }

    /// A difference between what the ledger recorded and what `store` holds.
    pub fn drift(store: StoreKind, change: &Change, hint: &str) -> Finding {
        let message = format!("{store}: {change}");
        let kind = FindingKind::Drift;
        let mut finding = Finding::in_store(kind, store, &change.object, message, hint, true);
        finding.change = Some(change.clone());
        finding
    }

    /// Something about an object of `store`, as an error where it is `strict`ly taken.
    pub fn in_store(
        kind: FindingKind,
        store: StoreKind,
        object: &str,
        message: String,
        hint: &str,
        strict: bool,
    ) -> Finding {
        let severity = if strict { Severity::Error } else { Severity::Warning };
        let mut finding = Finding::new(severity, kind, message, hint);
        finding.store = Some(store);
        finding.object = Some(object.to_string());
        finding
    }

    /// The same, about a file.
    pub fn in_file(mut self, file: impl Into<String>) -> Finding {
        self.file = Some(file.into());
        self
    }

    /// The same, about a migration.
    pub fn of(mut self, id: &MigrationId) -> Finding {
        self.store = Some(id.store);
        self.migration = Some(id.to_string());
        self
    }
}

impl ValidateReport {
    /// Worst first.
    pub fn sorted(mut self) -> ValidateReport {
        self.findings.sort_by_key(|finding| (finding.severity, finding.kind, finding.store));
        self
    }

    /// How many findings are of `severity`.
    pub fn count(&self, severity: Severity) -> usize {
        self.findings.iter().filter(|finding| finding.severity == severity).count()
    }

    /// Exit 3 on any difference, 5 while a run is at work.
    pub fn exit(&self) -> Exit {
        match (self.count(Severity::Error), &self.at_work) {
            (0, None) => Exit::Done,
            (0, Some(_)) => Exit::Busy,
            (_, _) => Exit::Differ,
        }
    }

    pub(super) fn text(&self, style: Style) -> String {
        let mut text = String::new();
        for finding in &self.findings {
            let label = match finding.severity {
                Severity::Error => style.bad("error:"),
                Severity::Warning => style.warn("warning:"),
            };
            text.push_str(&format!(
                "{label} {}\n  {} {}\n",
                block(&finding.message),
                style.dim("hint:"),
                block(&finding.hint)
            ));
        }
        for (store, audit) in &self.audits {
            text.push_str(&format!("{} {}\n", style.dim("looked at:"), looked(*store, audit)));
        }
        if let Some(holder) = &self.at_work {
            let holder = holder.to_string();
            text.push_str(&format!("{} {}\n", style.warn("in progress:"), line(&holder)));
        }
        let (errors, warnings) = (self.count(Severity::Error), self.count(Severity::Warning));
        let (files, warnings) = (counted(self.files, "file"), counted(warnings, "warning"));
        text.push_str(&match errors {
            0 => format!("{} {files} checked, no difference, {warnings}\n", style.good("valid:")),
            _ => format!(
                "{} {files} checked, {}, {warnings}\n",
                style.bad("not valid:"),
                counted(errors, "difference")
            ),
        });
        text
    }
}

/// How much of a store's live data was looked at.
pub(super) fn looked(store: StoreKind, audit: &Audit) -> String {
    let (looked, total) = (audit.looked.min(audit.total), audit.total);
    let share = match looked {
        all if all == total => "100 %".to_string(),
        // Rounded down: what was not all must not look like all.
        some => match some.saturating_mul(100) / total {
            0 => "a sample, below 1 %".to_string(),
            share => format!("a sample, {share} %"),
        },
    };
    format!("{looked} of {total} keys in {store} ({share})")
}

/// A number with its word: `1 file`, `2 files`.
pub(super) fn counted(number: usize, word: &str) -> String {
    match number {
        1 => format!("1 {word}"),
        _ => format!("{number} {word}s"),
    }
}
