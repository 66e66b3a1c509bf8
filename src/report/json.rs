//! Results as JSON, one object per command; `docs/output.md` documents them.

use serde_json::{Value, json};

use super::Finished;
use super::{PlanReport, Report, RunReport, StatusReport, ValidateReport};
use crate::error::Error;

/// The version of the form; it grows only when a key changes its meaning or goes away.
const VERSION: u32 = 1;

/// The one object that a command prints.
pub fn render(command: &str, finished: &Finished) -> Value {
    let mut object = json!({
        "version": VERSION,
        "command": command,
        "exit_code": finished.exit().code(),
    });
    let body = finished.report.as_ref().map(of_report).unwrap_or_else(|| json!({}));
    if let (Value::Object(object), Value::Object(body)) = (&mut object, body) {
        object.extend(body);
        if let Some(error) = &finished.error {
            object.insert("error".to_string(), of_error(error));
        }
    }
    object
}

fn of_report(report: &Report) -> Value {
    match report {
        Report::Run(report) => of_run(report),
        Report::Plan(report) => of_plan(report),
        Report::Status(report) => of_status(report),
        Report::Validate(report) => of_validate(report),
        Report::History(report) => json!({ "events": report.events }),
        Report::Repair(report) => {
            json!({
                "actions": report.actions,
                "left": report.left,
                "remarks": report.remarks,
                "done": report.done,
            })
        }
        Report::Done(sentence) => json!({ "message": sentence }),
    }
}

fn of_run(report: &RunReport) -> Value {
    json!({
        "run": report.run,
        "settled": report.settled,
        "failed": report.failed,
        "not_begun": report.not_begun,
        "applied_before": report.applied_before,
        "future": report.future,
        "took_ms": u64::try_from(report.took.as_millis()).unwrap_or(u64::MAX),
    })
}

fn of_plan(report: &PlanReport) -> Value {
    let migrations: Vec<Value> = report
        .migrations
        .iter()
        .map(|migration| {
            let steps: Vec<Value> = migration
                .steps
                .iter()
                .map(|step| {
                    json!({
                        "label": step.label,
                        "done": step.done,
                        "hazards": step.hazards,
                        "losses": step.losses,
                    })
                })
                .collect();
            json!({
                "store": migration.store,
                "id": migration.id,
                "description": migration.description,
                "script": migration.script,
                "action": migration.action,
                "transaction": migration.transaction,
                "after": migration.after,
                "steps": steps,
            })
        })
        .collect();
    json!({ "migrations": migrations, "remarks": report.remarks })
}

fn of_status(report: &StatusReport) -> Value {
    let migrations: Vec<Value> = report
        .migrations
        .iter()
        .map(|line| {
            json!({
                "store": line.store,
                "version": line.version,
                "description": line.description,
                "state": line.status,
                "script": line.script,
                "at": line.at.map(|at| at.to_rfc3339()),
                "took_ms": line.took_ms,
                "by": line.by,
                "steps_done": line.steps.map(|(done, _)| done),
                "steps_total": line.steps.map(|(_, all)| all),
                "error": line.error,
            })
        })
        .collect();
    let counts: serde_json::Map<String, Value> = report
        .counts()
        .iter()
        .map(|(status, count)| (status.name().to_string(), json!(count)))
        .collect();
    json!({
        "migrations": migrations,
        "counts": counts,
        "tags": report.tags,
        "tags_here": report.tags_here,
        "at_work": report.at_work,
    })
}

fn of_validate(report: &ValidateReport) -> Value {
    let audit = |(store, audit): &(crate::stores::StoreKind, crate::stores::Audit)| json!({ "store": store, "looked": audit.looked, "total": audit.total });
    let audits: Vec<Value> = report.audits.iter().map(audit).collect();
    json!({
        "files": report.files,
        "findings": report.findings,
        "audits": audits,
        "at_work": report.at_work.as_ref().map(|holder| holder.to_string()),
    })
}

fn of_error(error: &Error) -> Value {
    let parts = error.parts();
    let place = parts
        .place
        .as_ref()
        .map(|place| json!({ "file": place.file, "line": place.line, "column": place.column }));
    json!({
        "message": parts.message,
        "place": place,
        "causes": parts.causes,
        "state": parts.state,
        "hints": parts.hints,
        "others": parts.others.iter().map(of_error).collect::<Vec<_>>(),
    })
}
