//! What `validate` found as JUnit's XML: a suite per store, a failed test case per difference.

use std::fmt::Write;

use super::Finished;
use super::validate::{Finding, Severity, ValidateReport};
use super::{Report, render_error};
use crate::report::Style;
use crate::stores::StoreKind;
use crate::text::unseen::{commands, is_unseen};

/// The whole document; an error of the command itself is an errored test case.
pub fn render(finished: &Finished) -> String {
    let empty = ValidateReport::default();
    let report = match &finished.report {
        Some(Report::Validate(report)) => report,
        Some(_) | None => &empty,
    };
    let of = |store: Option<StoreKind>| -> Vec<&Finding> {
        report.findings.iter().filter(|finding| finding.store == store).collect()
    };
    let mut suites = String::new();
    suite(&mut suites, "files", &of(None));
    for store in StoreKind::all() {
        let findings = of(Some(store));
        let looked = report.pictures.iter().any(|picture| picture.store == store);
        if looked || !findings.is_empty() {
            suite(&mut suites, store.name(), &findings);
        }
    }
    if let Some(error) = &finished.error {
        let text = escaped(&render_error(error, Style::Plain));
        let _ = writeln!(
            suites,
            "  <testsuite name=\"validate\" tests=\"1\" failures=\"0\" errors=\"1\">\n    \
             <testcase classname=\"validate\" name=\"validate\"><error message=\"{}\">{text}</error></testcase>\n  </testsuite>",
            escaped(&error.to_string())
        );
    }
    let failures = report.count(Severity::Error);
    let errors = usize::from(finished.error.is_some());
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <testsuites name=\"aiplat-migrate validate\" failures=\"{failures}\" errors=\"{errors}\">\n{suites}</testsuites>\n"
    )
}

fn suite(to: &mut String, name: &str, findings: &[&Finding]) {
    let failures = findings.iter().filter(|finding| finding.severity == Severity::Error).count();
    let tests = findings.len().max(1);
    // A String takes whatever is written to it.
    let _ = writeln!(
        to,
        "  <testsuite name=\"{name}\" tests=\"{tests}\" failures=\"{failures}\" errors=\"0\">"
    );
    if findings.is_empty() {
        let _ = writeln!(to, "    <testcase classname=\"{name}\" name=\"no difference\"/>");
    }
    for finding in findings {
        let _ = writeln!(to, "{}", test_case(name, finding));
    }
    let _ = writeln!(to, "  </testsuite>");
}

fn test_case(suite: &str, finding: &Finding) -> String {
    let class = format!("{suite}.{}", finding.kind.name());
    let text = escaped(&format!("{}\nhint: {}", finding.message, finding.hint));
    let message = escaped(&finding.message);
    let body = match finding.severity {
        Severity::Error => format!("<failure message=\"{message}\">{text}</failure>"),
        Severity::Warning => format!("<system-out>warning: {text}</system-out>"),
    };
    format!("    <testcase classname=\"{class}\" name=\"{message}\">{body}</testcase>")
}

/// Text as XML takes it; characters that XML cannot hold become a replacement character.
pub(super) fn escaped(text: &str) -> String {
    let commands = commands(text);
    let mut escaped = String::with_capacity(text.len());
    for (at, c) in text.char_indices() {
        match c {
            '#' if commands.contains(&at) => escaped.push_str("&#35;"),
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            '\t' => escaped.push(c),
            // No line of a log begins with foreign text, and nothing turns its direction.
            '\n' => escaped.push_str("&#10;"),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => escaped.push('\u{fffd}'),
            c if is_unseen(c) => escaped.push_str(&format!("&#{};", u32::from(c))),
            c => escaped.push(c),
        }
    }
    escaped
}
