//! What `validate` found as annotations of GitHub Actions, and as the summary of the step.

use super::Finished;
use super::validate::{Finding, Severity, ValidateReport, looked};
use super::{Report, Style, render_error};
use crate::text::unseen::harmless;

/// GitHub shows ten annotations of a step and drops the others without a word.
const ANNOTATIONS: usize = 10;

/// The worst findings, one workflow command each; where some are left out, the last one says so.
pub fn annotations(finished: &Finished) -> String {
    let mut lines: Vec<String> = Vec::new();
    if let Some(error) = &finished.error {
        let text = render_error(error, Style::Plain);
        lines.push(format!("::error title=aiplat-migrate::{}", data(&text)));
    }
    if let Some(Report::Validate(report)) = &finished.report {
        let room = ANNOTATIONS - lines.len();
        let shown = if report.findings.len() > room { room - 1 } else { room };
        lines.extend(report.findings.iter().take(shown).map(annotation));
        let left = report.findings.len().saturating_sub(shown);
        if left > 0 {
            lines.push(format!(
                "::warning title=aiplat-migrate::{left} more findings are in the summary of this step"
            ));
        }
    }
    lines.iter().map(|line| format!("{line}\n")).collect()
}

fn annotation(finding: &Finding) -> String {
    let command = match finding.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    };
    let title = format!("title={}", property(finding.kind.name()));
    let place = match &finding.file {
        Some(file) => format!("file={},line=1,{title}", property(file)),
        None => title,
    };
    format!(
        "::{command} {place}::{}",
        data(&format!("{}\nhint: {}", finding.message, finding.hint))
    )
}

fn data(text: &str) -> String {
    harmless(text.trim_end(), false).replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

/// Every finding as a table in Markdown.
pub fn summary(finished: &Finished) -> String {
    let mut text = String::from("## aiplat-migrate validate\n\n");
    if let Some(error) = &finished.error {
        text.push_str(&format!("```\n{}```\n", render_error(error, Style::Plain)));
    }
    if let Some(Report::Validate(report)) = &finished.report {
        table(report, &mut text);
    }
    text
}

fn table(report: &ValidateReport, text: &mut String) {
    let (errors, warnings) = (report.count(Severity::Error), report.count(Severity::Warning));
    let files = report.files;
    text.push_str(&format!("{files} files, {errors} differences, {warnings} warnings\n\n"));
    for (store, audit) in &report.audits {
        text.push_str(&format!("Looked at {}.\n\n", looked(*store, audit)));
    }
    if let Some(holder) = &report.at_work {
        text.push_str(&format!("In progress: {}\n\n", cell(&holder.to_string())));
    }
    if report.findings.is_empty() {
        return;
    }
    text.push_str("| | what | found | what to do |\n|---|---|---|---|\n");
    for finding in &report.findings {
        let sign = match finding.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        text.push_str(&format!(
            "| {sign} | {} | {} | {} |\n",
            finding.kind.name(),
            cell(&finding.message),
            cell(&finding.hint)
        ));
    }
}

/// Text that neither ends its cell nor becomes markup.
fn cell(text: &str) -> String {
    let mut escaped = String::new();
    for c in text.chars() {
        match c {
            '\n' | '\r' => escaped.push(' '),
            '<' => escaped.push_str("&lt;"),
            '&' => escaped.push_str("&amp;"),
            '|' | '*' | '_' | '`' | '[' | ']' | '\\' => escaped.extend(['\\', c]),
            c => escaped.push(c),
        }
    }
    escaped
}
