//! What `validate` found as one page without anything outside of it: store by store, object by
//! object, recorded and live side by side, with the past of the object.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use serde_json::Value;

use super::Finished;
use super::validate::{Finding, Past, Picture, Severity, ValidateReport, counted, looked};
use super::{Report, Style, junit, render_error};
use crate::shape::Attributes;
use crate::stores::StoreKind;
use crate::text::unseen::harmless;

const STYLE: &str = include_str!("page.css");

/// The page.
pub fn render(finished: &Finished) -> String {
    let empty = ValidateReport::default();
    let report = match &finished.report {
        Some(Report::Validate(report)) => report,
        Some(_) | None => &empty,
    };
    let mut body = String::new();
    head(&mut body, finished, report);
    overview(&mut body, report);
    findings(&mut body, "Files and ledger", &|finding: &Finding| finding.object.is_none(), report);
    for store in StoreKind::all() {
        section(&mut body, store, report);
    }
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
         <title>aiplat-migrate validate</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n{body}</main>\n</body>\n</html>\n"
    )
}

fn head(to: &mut String, finished: &Finished, report: &ValidateReport) {
    let (errors, warnings) = (report.count(Severity::Error), report.count(Severity::Warning));
    let (class, verdict) = match (&finished.error, errors, &report.at_work) {
        (Some(_), _, _) => ("error", "Not checked: the command failed".to_string()),
        (None, 0, Some(_)) => ("warning", "A run is in progress".to_string()),
        (None, 0, None) => ("good", "No difference".to_string()),
        (None, errors, _) => ("error", counted(errors, "difference")),
    };
    // A String takes whatever is written to it.
    let _ = writeln!(to, "<header class=\"{class}\">\n<h1>{verdict}</h1>");
    let at = crate::clock::now().format("%Y-%m-%d %H:%M UTC");
    let _ = writeln!(
        to,
        "<p>{} checked, {}, {at}, aiplat-migrate {}</p>",
        counted(report.files, "file"),
        counted(warnings, "warning"),
        env!("CARGO_PKG_VERSION")
    );
    for (store, audit) in &report.audits {
        let _ = writeln!(to, "<p>Looked at {}.</p>", escaped(&looked(*store, audit)));
    }
    if let Some(holder) = &report.at_work {
        let _ = writeln!(to, "<p>In progress: {}</p>", escaped(&holder.to_string()));
    }
    if let Some(error) = &finished.error {
        let _ = writeln!(to, "<pre>{}</pre>", escaped(&render_error(error, Style::Plain)));
    }
    let _ = writeln!(to, "</header>");
}

fn findings(
    to: &mut String,
    title: &str,
    chosen: &dyn Fn(&Finding) -> bool,
    report: &ValidateReport,
) {
    let chosen: Vec<&Finding> = report.findings.iter().filter(|finding| chosen(finding)).collect();
    if chosen.is_empty() {
        return;
    }
    let _ = writeln!(to, "<section>\n<h2>{title}</h2>\n<ul class=\"findings\">");
    for finding in chosen {
        let _ = writeln!(
            to,
            "<li class=\"{}\">{}<small>{}</small></li>",
            class(finding),
            escaped(&finding.message),
            escaped(&finding.hint)
        );
    }
    let _ = writeln!(to, "</ul>\n</section>");
}

fn class(finding: &Finding) -> &'static str {
    match finding.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    }
}

fn section(to: &mut String, store: StoreKind, report: &ValidateReport) {
    let picture = report.pictures.iter().find(|picture| picture.store == store);
    let mut objects: BTreeMap<&str, Vec<&Finding>> = BTreeMap::new();
    for finding in report.findings.iter().filter(|finding| finding.store == Some(store)) {
        if let Some(object) = &finding.object {
            objects.entry(object).or_default().push(finding);
        }
    }
    if picture.is_none() && objects.is_empty() {
        return;
    }
    let _ = writeln!(
        to,
        "<section id=\"{}\">\n<h2>{} {}</h2>",
        store.name(),
        store.title(),
        badge(store, report)
    );
    let mut sorted: Vec<(&str, Vec<&Finding>)> = objects.into_iter().collect();
    sorted.sort_by_key(|(name, findings)| (findings.iter().map(|f| f.severity).min(), *name));
    for (name, findings) in &sorted {
        object(to, name, findings, picture);
    }
    if let Some(picture) = picture {
        rest(to, picture, &sorted.iter().map(|(name, _)| *name).collect());
    }
    let _ = writeln!(to, "</section>");
}

/// How many differences a store has.
fn badge(store: StoreKind, report: &ValidateReport) -> String {
    let of_store = report.findings.iter().filter(|finding| finding.store == Some(store));
    let differ = of_store
        .filter(|finding| finding.object.is_some() && finding.severity == Severity::Error)
        .count();
    match differ {
        0 => "<span class=\"badge good\">as recorded</span>".to_string(),
        more => format!("<span class=\"badge error\">{}</span>", counted(more, "difference")),
    }
}

/// The stores that were looked at, each with its differences, before all else.
fn overview(to: &mut String, report: &ValidateReport) {
    if report.pictures.is_empty() {
        return;
    }
    let _ = writeln!(to, "<nav>");
    for picture in &report.pictures {
        let store = picture.store;
        let _ = writeln!(
            to,
            "<a href=\"#{}\">{} {}</a>",
            store.name(),
            store.title(),
            badge(store, report)
        );
    }
    let _ = writeln!(to, "</nav>");
}

fn object(to: &mut String, name: &str, findings: &[&Finding], picture: Option<&Picture>) {
    let class = findings.first().map_or("warning", |finding| class(finding));
    let open = if class == "error" { " open" } else { "" };
    let _ = writeln!(
        to,
        "<details class=\"{class}\"{open}>\n<summary>{} <small>{}</small></summary>",
        escaped(name),
        escaped(&outline(findings))
    );
    for finding in findings.iter().filter(|finding| finding.change.is_none()) {
        let _ = writeln!(to, "<p>{}</p>", escaped(&finding.message));
    }
    let sides =
        picture.map(|picture| (picture.recorded.objects.get(name), picture.live.objects.get(name)));
    match sides {
        Some((recorded, live)) if recorded.is_some() || live.is_some() => table(to, recorded, live),
        Some(_) | None => {}
    }
    let hints: BTreeSet<&str> = findings.iter().map(|finding| finding.hint.as_str()).collect();
    for hint in hints {
        let _ = writeln!(to, "<p class=\"hint\">{}</p>", escaped(hint));
    }
    if let Some(past) = picture.and_then(|picture| picture.past.get(name)) {
        history(to, past);
    }
    let _ = writeln!(to, "</details>");
}

/// What is the matter with an object, in a few words.
fn outline(findings: &[&Finding]) -> String {
    let words = findings.iter().map(|finding| match &finding.change {
        Some(change) => match (&change.attribute, &change.after) {
            (Some(attribute), _) => attribute.clone(),
            (None, Some(_)) => "not recorded".to_string(),
            (None, None) => "absent".to_string(),
        },
        None => finding.kind.name().to_string(),
    });
    let words: BTreeSet<String> = words.collect();
    words.into_iter().collect::<Vec<_>>().join(", ")
}

fn table(to: &mut String, recorded: Option<&Attributes>, live: Option<&Attributes>) {
    let nothing = Attributes::new();
    let (left, right) = (recorded.unwrap_or(&nothing), live.unwrap_or(&nothing));
    let names: BTreeSet<&String> = left.keys().chain(right.keys()).collect();
    let side = |there: bool| if there { "" } else { " (absent)" };
    let _ = writeln!(
        to,
        "<table>\n<thead><tr><th></th><th>recorded{}</th><th>live{}</th></tr></thead>\n<tbody>",
        side(recorded.is_some()),
        side(live.is_some())
    );
    if names.is_empty() {
        let there = |side: Option<&Attributes>| if side.is_some() { "there" } else { ABSENT };
        let _ = writeln!(
            to,
            "<tr class=\"differs\"><th></th><td>{}</td><td>{}</td></tr>",
            there(recorded),
            there(live)
        );
    }
    for name in names {
        let (recorded, live) = (left.get(name), right.get(name));
        let row = if recorded != live { " class=\"differs\"" } else { "" };
        let (recorded, live) = sides(recorded, live);
        let _ = writeln!(
            to,
            "<tr{row}><th>{}</th><td>{recorded}</td><td>{live}</td></tr>",
            escaped(name)
        );
    }
    let _ = writeln!(to, "</tbody>\n</table>");
}

const ABSENT: &str = "<i>absent</i>";

/// Both sides of an attribute; where both are there, the part that differs is marked.
fn sides(recorded: Option<&Value>, live: Option<&Value>) -> (String, String) {
    let (Some(recorded), Some(live)) = (recorded.map(text), live.map(text)) else {
        let side = |value: Option<&Value>| match value {
            None => ABSENT.to_string(),
            Some(value) => format!("<code>{}</code>", escaped(&text(value))),
        };
        return (side(recorded), side(live));
    };
    let (from, back) = differing(&recorded, &live);
    let side = |text: &str| {
        let end = text.len() - back;
        let (same, differs, rest) = (&text[..from], &text[from..end], &text[end..]);
        let differs = match differs {
            "" => String::new(),
            differs => format!("<mark>{}</mark>", escaped(differs)),
        };
        format!("<code>{}{differs}{}</code>", escaped(same), escaped(rest))
    };
    (side(&recorded), side(&live))
}

/// How long the texts are the same from their beginnings on, and from their ends back, in bytes; no
/// word is cut.
fn differing(a: &str, b: &str) -> (usize, usize) {
    let same = |(a, b): &(char, char)| a == b;
    let length = |letters: &[char]| letters.iter().map(|letter| letter.len_utf8()).sum::<usize>();
    let whole = |mut letters: Vec<char>| {
        while letters.pop_if(|letter| letter.is_alphanumeric() || *letter == '_').is_some() {}
        length(&letters)
    };
    if a == b {
        return (a.len(), 0);
    }
    let from = whole(a.chars().zip(b.chars()).take_while(same).map(|(letter, _)| letter).collect());
    let (a, b) = (&a[from..], &b[from..]);
    let ends = a.chars().rev().zip(b.chars().rev());
    (from, whole(ends.take_while(same).map(|(letter, _)| letter).collect()))
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Object(_) | Value::Array(_) => format!("{value:#}"),
        Value::Null | Value::Bool(_) | Value::Number(_) => value.to_string(),
    }
}

fn history(to: &mut String, past: &[Past]) {
    let _ = writeln!(to, "<ol class=\"past\">");
    for event in past {
        let _ = writeln!(
            to,
            "<li><time>{}</time> {} <small>{}</small></li>",
            escaped(&event.at),
            escaped(&event.what),
            escaped(&event.by)
        );
    }
    let _ = writeln!(to, "</ol>");
}

/// The objects that are as recorded, by name alone.
fn rest(to: &mut String, picture: &Picture, told: &BTreeSet<&str>) {
    let same: Vec<&String> =
        picture.recorded.objects.keys().filter(|name| !told.contains(name.as_str())).collect();
    if same.is_empty() {
        return;
    }
    let _ = writeln!(
        to,
        "<details class=\"good\">\n<summary>{} objects as recorded</summary>\n<ul class=\"rest\">",
        same.len()
    );
    for name in same {
        let _ = writeln!(to, "<li>{}</li>", escaped(name));
    }
    let _ = writeln!(to, "</ul>\n</details>");
}

/// Text as HTML takes it; what would turn the direction of writing is shown instead.
fn escaped(text: &str) -> String {
    junit::escaped(&harmless(text, false))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_part_that_differs_is_between_two_that_do_not() {
        let parts = |a: &'static str, b: &'static str| {
            let (from, back) = differing(a, b);
            (&a[from..a.len() - back], &b[from..b.len() - back])
        };
        assert_eq!(parts("return 2; end", "return 30; end"), ("2", "30"));
        assert_eq!(parts("a; b;", "a; b; c;"), ("", " c;"));
        assert_eq!(parts("true", "false"), ("true", "false"));
        assert_eq!(parts("die größe.", "die grüße."), ("größe", "grüße"));
        assert_eq!(parts("same", "same"), ("", ""));
        assert_eq!(parts("", "x"), ("", "x"));
    }
}
