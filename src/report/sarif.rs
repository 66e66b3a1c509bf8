//! What `validate` found as SARIF 2.1.0, as code scanning takes it.

use serde_json::{Value, json};

use super::Finished;
use super::validate::{Finding, FindingKind, Severity, ValidateReport};
use super::{Report, Style, render_error};
use crate::migration::sum;
use crate::text::Checksum;

const SCHEMA: &str = "https://json.schemastore.org/sarif-2.1.0.json";

/// The one log with its one run; an error of the command itself is a notification.
pub fn render(finished: &Finished) -> Value {
    let empty = ValidateReport::default();
    let report = match &finished.report {
        Some(Report::Validate(report)) => report,
        Some(_) | None => &empty,
    };
    let notification = |error| json!({ "level": "error", "message": { "text": render_error(error, Style::Plain) } });
    let notifications: Vec<Value> = finished.error.iter().map(notification).collect();
    json!({
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": {
                "name": "aiplat-migrate",
                "version": env!("CARGO_PKG_VERSION"),
                "rules": FindingKind::ALL.map(rule),
            } },
            "invocations": [{
                "executionSuccessful": finished.error.is_none(),
                "exitCode": finished.exit().code(),
                "toolExecutionNotifications": notifications,
            }],
            "columnKind": "unicodeCodePoints",
            "results": report.findings.iter().map(result).collect::<Vec<_>>(),
        }],
    })
}

fn rule(kind: FindingKind) -> Value {
    json!({
        "id": kind.name(),
        "shortDescription": { "text": kind.meaning() },
        "help": { "text": kind.meaning() },
    })
}

fn result(finding: &Finding) -> Value {
    let level = match finding.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    };
    let rule = FindingKind::ALL.iter().position(|kind| *kind == finding.kind);
    let file = finding.file.clone().unwrap_or_else(|| format!("migrations/{}", sum::FILE));
    let mut location = json!({ "physicalLocation": {
        "artifactLocation": { "uri": uri(&file) },
        "region": { "startLine": 1 },
    } });
    if let (Some(store), Some(object)) = (finding.store, &finding.object) {
        location["logicalLocations"] =
            json!([{ "fullyQualifiedName": format!("{store}: {object}"), "kind": "resource" }]);
    }
    json!({
        "ruleId": finding.kind.name(),
        "ruleIndex": rule,
        "level": level,
        "message": { "text": format!("{}\n{}", finding.message, finding.hint) },
        "locations": [location],
        "partialFingerprints": { "finding/v1": fingerprint(finding) },
    })
}

/// The same finding in another run has the same one: what is live now is no part of it.
fn fingerprint(finding: &Finding) -> String {
    let attribute = finding.change.as_ref().and_then(|change| change.attribute.clone());
    let object = finding.object.clone().or(finding.migration.clone());
    let text = format!("{} {:?} {object:?} {attribute:?}", finding.kind.name(), finding.store);
    Checksum::of(&text).as_str().trim_start_matches("sha256:").to_string()
}

/// A relative path as a URI.
fn uri(path: &str) -> String {
    const KEPT: &percent_encoding::AsciiSet = &percent_encoding::NON_ALPHANUMERIC
        .remove(b'/')
        .remove(b'.')
        .remove(b'-')
        .remove(b'_')
        .remove(b'~');
    percent_encoding::utf8_percent_encode(path, KEPT).to_string()
}
