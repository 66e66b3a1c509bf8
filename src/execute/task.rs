//! Tasks: migrations of a plan, their scripts parsed, ready to be executed.
//!
//! Everything about to run is parsed here, before the first effect: a mistake in the last file
//! stops the run before the first file.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::crash::{self, contained};
use crate::error::{Error, Exit, Result};
use crate::ledger::{Claim, Row, Snapshot, State};
use crate::migration::{Down, Files, Inverse, Migration, MigrationId, Script, Source};
use crate::plan::{Entry, Item, Status};
use crate::secret::as_in_a_file;
use crate::stores::{Limits, Unit};
use crate::text::{Placeholders, ScriptError, map_texts};

use super::Direction;

/// One migration to be applied or undone.
pub struct Task {
    /// What its row says.
    pub claim: Claim,
    /// Up or down.
    pub direction: Direction,
    /// The text that is executed.
    pub source: Source,
    /// Its units.
    pub units: Vec<Unit>,
    /// The limits from its header.
    pub limits: Limits,
    /// What must be settled first.
    pub after: Vec<MigrationId>,
    /// The row that is gone on with (up) or undone (down).
    pub row: Option<Box<Row>>,
    /// The row of a repeatable that this application replaces.
    pub replaces: Option<i64>,
    /// Whether the row is written in the migration's own transaction.
    pub sealed: bool,
    /// What its author should know.
    pub remarks: Vec<String>,
    /// The secret placeholders that its text names.
    pub secret: Vec<String>,
}

impl Task {
    /// The migration.
    pub fn id(&self) -> &MigrationId {
        &self.claim.id
    }

    /// The number of its row in the ledger, if it has one yet.
    pub fn row_number(&self) -> Option<i64> {
        self.row.as_ref().map(|row| row.row)
    }

    /// How many units an earlier run settled.
    pub fn done_before(&self) -> usize {
        match (&self.row, self.direction) {
            (Some(row), Direction::Up) => row.steps_done,
            (Some(row), Direction::Down) if row.state == State::Undoing => row.steps_done,
            (Some(_), Direction::Down) | (None, _) => 0,
        }
    }
}

/// Does `work`, which parses scripts, on a stack that no file can exhaust.
fn with_deep_stack<T>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    const STACK: usize = 256 << 20;
    contained(|| stacker::grow(STACK, work)).unwrap_or_else(|why| {
        Err(Error::failed("the migrations cannot be parsed").because(why).hint(crash::REPORT))
    })
}

/// Parses `script`; neither a label nor a mistake shows what a secret placeholder stands for.
fn parse(script: &Script, placeholders: &Placeholders) -> Result<Vec<Unit>> {
    let parsed = contained(|| script.units());
    let secrets = placeholders.secrets();
    match parsed {
        Ok(Ok(mut units)) => {
            for unit in &mut units {
                unit.label = secrets.hide(&unit.label);
            }
            Ok(units)
        }
        Ok(Err(mistake)) => Err(script.source.error(mistake.map(&|mistake: &mut ScriptError| {
            mistake.message = secrets.hide(&mistake.message);
            mistake.hint = mistake.hint.as_ref().map(|hint| secrets.hide(hint));
        }))),
        Err(why) => Err(Error::usage(format!("{} cannot be parsed", script.source.file))
            .because(secrets.hide(&why))
            .hint(crash::REPORT)),
    }
}

/// The tasks that apply `items`; all mistakes in their files at once.
pub fn to_apply(
    items: &[Item],
    files: &Files,
    snapshot: &Snapshot,
    placeholders: &Placeholders,
) -> Result<Vec<Task>> {
    if items.is_empty() {
        return Ok(Vec::new());
    }
    let living = snapshot.all_living();
    with_deep_stack(|| {
        collect(items.iter().filter_map(|item| {
            let file = files.get(&item.id)?;
            Some(apply_task(item, file, living.get(&item.id).copied(), placeholders))
        }))
    })
}

fn collect(tasks: impl Iterator<Item = Result<Task>>) -> Result<Vec<Task>> {
    let (mut ready, mut errors) = (Vec::new(), Vec::new());
    for task in tasks {
        match task {
            Ok(task) => ready.push(task),
            Err(error) => errors.push(error),
        }
    }
    match Error::all(errors) {
        Some(error) => Err(error),
        None => Ok(ready),
    }
}

fn apply_task(
    item: &Item,
    file: &Migration,
    living: Option<&Row>,
    placeholders: &Placeholders,
) -> Result<Task> {
    let script = file.source.script(placeholders)?;
    let units = parse(&script, placeholders)?;
    let row = living.filter(|row| matches!(row.state, State::Failed | State::Running));
    let row = row.cloned().map(Box::new);
    let replaces = living.filter(|row| row.state == State::Applied).map(|row| row.row);
    let step_hashes = hashes(&file.source, &units);
    if let Some(row) = &row {
        let entry =
            Entry { id: item.id.clone(), status: Status::Failed, file: Some(file), row: Some(row) };
        let now = (&file.source, entry.is_renamed());
        check_finished_part(row, &step_hashes, now, "applied")?;
    }
    let mut remarks = remarks(&file.source, &units);
    let secret = placeholders.secret(&script.names);
    let (down, mistake) = down_of(file, placeholders);
    remarks.extend(mistake.map(|mistake| cannot_undo(&item.id, &mistake)));
    let claim = Claim {
        id: item.id.clone(),
        description: file.description.clone(),
        script: file.source.file.clone(),
        checksum: file.checksum.clone(),
        content: file.source.content(),
        down,
        requires: file.header.requires.iter().map(|(requirement, _)| requirement.clone()).collect(),
        step_hashes,
    };
    Ok(Task {
        sealed: row.is_none() && is_one_transaction(&script, &units),
        claim,
        direction: Direction::Up,
        limits: limits(&script),
        source: script.source,
        units,
        after: item.after.clone(),
        row,
        replaces,
        remarks,
        secret,
    })
}

/// What the author of a file should know, with the places.
fn remarks(source: &Source, units: &[Unit]) -> Vec<String> {
    let all = units.iter().flat_map(|unit| unit.step.remarks());
    all.map(|(span, remark)| format!("{}: {remark}", source.place(span))).collect()
}

fn cannot_undo(id: &MigrationId, mistake: &Error) -> String {
    format!("{id} could not be undone: {mistake}; `down` refuses it until that is corrected")
}

fn is_one_transaction(script: &Script, units: &[Unit]) -> bool {
    !script.header.without_transaction && matches!(units, [unit] if unit.atomic)
}

fn limits(script: &Script) -> Limits {
    Limits {
        lock_timeout: script.header.lock_timeout,
        statement_timeout: script.header.statement_timeout,
        ..Limits::default()
    }
}

/// The hash of each unit's text as it stands in the file, placeholders unreplaced.
fn hashes(source: &Source, units: &[Unit]) -> Vec<String> {
    let hash = |unit: &Unit| source.checksum_of(unit.span.clone()).as_str().to_string();
    units.iter().map(hash).collect()
}

/// A half-applied file may change from its first unfinished step on. A step that a dead run had
/// begun must still be that step, or nobody could ask what became of it; one that its store refused
/// may be corrected.
fn check_finished_part(
    row: &Row,
    now: &[String],
    (source, is_renamed): (&Source, bool),
    verb: &str,
) -> Result<()> {
    let in_doubt = row.claimed.is_some() && row.state != State::Failed;
    let fixed = row.steps_done + usize::from(in_doubt);
    let changed = (0..fixed).find(|step| row.step_hashes.get(*step) != now.get(*step));
    match changed {
        None => Ok(()),
        Some(_) if is_renamed => Err(Error::new(
            Exit::Differ,
            format!(
                "{} is half {verb} from {}; {} is another migration that took its number",
                row.id, row.script, source.file
            ),
        )
        .because(format!("the first {} of {} steps are done", row.steps_done, row.steps_total))
        .state(format!("nothing was {verb}"))
        .hint(format!("put {} back, and finish it first", row.script))
        .hint(format!("give {} a new number", source.file))),
        Some(step) => Err(Error::new(
            Exit::Differ,
            format!("{} is half {verb}, and its step {} was changed since", source.file, step + 1),
        )
        .because(match step < row.steps_done {
            true => format!("the first {} of {} steps are done", row.steps_done, row.steps_total),
            false => "that step was begun, and its end is not known".to_string(),
        })
        .state(format!("nothing was {verb}"))
        .hint("put that step back as it was; the steps after it may be changed freely")),
    }
}

/// What undoes a migration, as far as it is known before its first step. A U file is parsed now, so
/// that its mistakes come to light when the migration is applied, which does not need it: its text is
/// kept with them, and `down` finds them again.
fn down_of(file: &Migration, placeholders: &Placeholders) -> (Down, Option<Error>) {
    if let Some(reason) = &file.header.irreversible {
        return (Down::Irreversible { reason: reason.clone() }, None);
    }
    let Some(undo) = &file.undo else {
        let nothing = match file.id.store.needs_undo_file() {
            true => Down::None,
            false => Down::Steps { steps: Vec::new() },
        };
        return (nothing, None);
    };
    let script = undo.readable().and_then(|source| source.script(placeholders));
    let parsed = script.as_ref().map_err(Error::clone).and_then(|one| parse(one, placeholders));
    let names = script.as_ref().map(|script| script.names.clone()).unwrap_or_default();
    let down = Down::File {
        script: undo.source.file.clone(),
        text: undo.source.text.clone(),
        placeholders: placeholders.storable(&names),
        secret: placeholders.secret(&names),
    };
    match parsed {
        Ok(_) => (down, None),
        // Of a file that cannot be read there is nothing to keep.
        Err(mistake) if undo.source.text.is_empty() => (Down::None, Some(mistake)),
        Err(mistake) => (down, Some(mistake)),
    }
}

/// The migration in `row`, which a run left in the middle, ready to be asked about; `down` is what the
/// ledger kept to undo it.
///
/// Errors: its text is gone, or the step that was begun has another text now.
pub fn left(row: &Row, files: &Files, down: Down, placeholders: &Placeholders) -> Result<Task> {
    let state = match row.state {
        State::InDoubt if row.undoing => State::Undoing,
        State::InDoubt => State::Running,
        state => state,
    };
    let row = Row { state, ..row.clone() };
    let item = Item { id: row.id.clone(), after: Vec::new() };
    with_deep_stack(|| match (row.undoing, files.get(&row.id)) {
        (false, Some(file)) => apply_task(&item, file, Some(&row), placeholders),
        (false, None) => {
            Err(Error::new(Exit::Differ, format!("{} is half applied and gone", row.script)))
        }
        (true, file) => {
            undo_task(Undoing { row: &row, item, down, file }, placeholders, &mut Vec::new())
        }
    })
}

/// One migration to be undone, with what the ledger kept to undo it.
pub struct Undoing<'a> {
    /// The row.
    pub row: &'a Row,
    /// Its place in the plan.
    pub item: Item,
    /// What undoes it.
    pub down: Down,
    /// Its file, if it is still there: its U file wins over the ledger's text.
    pub file: Option<&'a Migration>,
}

/// The tasks that undo `undoings`, and what is to be said about them; everything that cannot be
/// undone comes as one error, before the first effect.
pub fn to_undo(
    undoings: Vec<Undoing<'_>>,
    placeholders: &Placeholders,
) -> Result<(Vec<Task>, Vec<String>)> {
    with_deep_stack(|| {
        let mut remarks = Vec::new();
        let undo = |undoing| undo_task(undoing, placeholders, &mut remarks);
        let tasks = collect(undoings.into_iter().map(undo))?;
        Ok((tasks, remarks))
    })
}

fn undo_task(
    undoing: Undoing<'_>,
    placeholders: &Placeholders,
    remarks: &mut Vec<String>,
) -> Result<Task> {
    let row = undoing.row;
    if matches!(row.state, State::Failed | State::Running) && row.claimed.is_some() {
        return Err(Error::failed(format!(
            "{} is half applied, and one of its steps is in doubt",
            row.id
        ))
        .state("nothing was undone")
        .hint("run `aiplat-migrate up` first: it finds out what became of the step"));
    }
    let (source, values) = undo_source(&undoing, placeholders, remarks)?;
    let (script, units) = match source.text.is_empty() {
        true => (None, Vec::new()),
        false => {
            let script = source.script(&values)?;
            let units = parse(&script, placeholders)?;
            (Some(script), units)
        }
    };
    let said = self::remarks(&source, &units);
    let step_hashes = hashes(&source, &units);
    if row.state == State::Undoing {
        check_finished_part(row, &step_hashes, (&source, false), "undone")?;
    }
    let one = script.as_ref().is_some_and(|script| is_one_transaction(script, &units));
    let names = script.as_ref().map(|script| script.names.as_slice()).unwrap_or_default();
    let secret = placeholders.secret(names);
    Ok(Task {
        claim: Claim {
            id: row.id.clone(),
            description: row.description.clone(),
            script: row.script.clone(),
            checksum: row.checksum.clone(),
            content: None,
            down: undoing.down,
            requires: row.requires.clone(),
            step_hashes,
        },
        direction: Direction::Down,
        limits: script.as_ref().map(limits).unwrap_or_default(),
        source,
        units,
        after: undoing.item.after,
        sealed: one && row.state == State::Applied,
        row: Some(Box::new(row.clone())),
        replaces: None,
        remarks: said,
        secret,
    })
}

/// The text that undoes a migration, and the values of its placeholders: the U file on disk, else
/// what the ledger kept.
fn undo_source(
    undoing: &Undoing<'_>,
    placeholders: &Placeholders,
    remarks: &mut Vec<String>,
) -> Result<(Source, Placeholders)> {
    let row = undoing.row;
    let id = &row.id;
    let half = matches!(row.state, State::Failed | State::Running);
    if let Some(reason) = irreversible(undoing) {
        return Err(cannot(row, reason));
    }
    if let Some(undo) = undoing.file.and_then(|file| file.undo.as_ref()) {
        let stored = match &undoing.down {
            Down::File { text, placeholders, .. } => {
                if *text != undo.source.text {
                    remarks.push(format!(
                        "{} is not what was recorded when {id} was applied: the file is used",
                        undo.source.file
                    ));
                }
                placeholders.clone()
            }
            Down::Steps { .. } | Down::Irreversible { .. } | Down::None => {
                remarks.push(format!(
                    "{} was not there when {id} was applied: the file is used",
                    undo.source.file
                ));
                BTreeMap::new()
            }
        };
        if half {
            remarks.push(whole(&undo.source.file, row));
        }
        let source = undo.readable().map_err(|mistake| mistake.state("nothing was undone"))?;
        return Ok((source.clone(), as_applied(placeholders, &stored, id, remarks)));
    }
    match &undoing.down {
        Down::File { script, text, placeholders: stored, secret } => {
            let missing: Vec<&String> =
                secret.iter().filter(|name| !placeholders.0.contains_key(*name)).collect();
            if !missing.is_empty() {
                return Err(secrets_missing(row, script, &missing));
            }
            let file = format!("{script} (as recorded in the ledger)");
            if half {
                remarks.push(whole(&file, row));
            }
            Ok((Source::new(id.store, file, text), as_applied(placeholders, stored, id, remarks)))
        }
        Down::Steps { steps } => {
            let text = inverse_text(row, steps)?;
            let file = format!("the undo of {id} (as recorded in the ledger)");
            let missing: Vec<&String> =
                secrets_of(steps).filter(|name| !placeholders.0.contains_key(*name)).collect();
            match missing.is_empty() {
                true => Ok((Source::new(id.store, file, text), placeholders.clone())),
                false => Err(secrets_missing(row, &file, &missing)),
            }
        }
        Down::Irreversible { reason } => Err(cannot(row, reason)),
        Down::None => Err(cannot(row, "it has no U file")
            .hint(format!("write {} and run this again", undo_file(row)))),
    }
}

/// Why the migration cannot be undone, in its author's words: by its file, else by the ledger.
fn irreversible<'u>(undoing: &'u Undoing<'_>) -> Option<&'u str> {
    match (undoing.file, &undoing.down) {
        (Some(file), _) => file.header.irreversible.as_deref(),
        (None, Down::Irreversible { reason }) => Some(reason),
        (None, Down::File { .. } | Down::Steps { .. } | Down::None) => None,
    }
}

fn cannot(row: &Row, reason: &str) -> Error {
    Error::failed(format!("{} ({}) cannot be undone: {reason}", row.id, row.script))
        .state("nothing was undone")
}

/// The name that the row's U file would have.
fn undo_file(row: &Row) -> String {
    match row.script.rsplit_once('/') {
        Some((folder, name)) => format!("{folder}/{}", name.replacen('V', "U", 1)),
        None => row.script.replacen('V', "U", 1),
    }
}

fn whole(file: &str, row: &Row) -> String {
    format!(
        "{} is half applied ({} of {} steps), and {file} runs whole: it has to bear what is not there",
        row.id, row.steps_done, row.steps_total
    )
}

fn secrets_missing(row: &Row, script: &str, names: &[&String]) -> Error {
    let listed: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    let variables: Vec<String> = names
        .iter()
        .map(|name| format!("AIPLAT_MIGRATE_PLACEHOLDER_{}_FILE", name.to_uppercase()))
        .collect();
    Error::usage(format!(
        "undoing {} needs the secret placeholder {}, whose value is not set",
        row.id,
        listed.join(", ")
    ))
    .because(format!("{script} names it, and the ledger never keeps the value of a secret"))
    .state("nothing was undone")
    .hint(format!("set {} as it was when {} was applied", variables.join(", "), row.id))
}

/// The values of now, and those with which the migration was applied in place of them: what it made
/// bears the old ones.
fn as_applied(
    now: &Placeholders,
    stored: &BTreeMap<String, String>,
    id: &MigrationId,
    remarks: &mut Vec<String>,
) -> Placeholders {
    let (values, changed) = now.with_stored(stored);
    for name in changed {
        remarks.push(format!(
            "the placeholder `{name}` is not what it was when {id} was applied: the old value, {}, is used",
            stored[&name]
        ));
    }
    values
}

/// The secret placeholders whose values stood in what undoes the steps.
fn secrets_of(steps: &[Inverse]) -> impl Iterator<Item = &String> {
    steps.iter().flat_map(|inverse| match inverse {
        Inverse::Templates { secret, .. } => secret.as_slice(),
        Inverse::Steps(_) | Inverse::Refused { .. } => &[],
    })
}

/// A step that the ledger kept, as a file has it.
fn in_file(step: &Value, secret: &[String]) -> Value {
    map_texts(step, 0, &|text| as_in_a_file(text, secret))
}

/// The inverse of all steps as one document, last step first; empty where there is nothing to undo.
fn inverse_text(row: &Row, steps: &[Inverse]) -> Result<String> {
    let (mut all, mut refused) = (Vec::new(), Vec::new());
    for inverse in steps.iter().rev() {
        match inverse {
            Inverse::Steps(steps) => all.extend(steps.iter().map(|step| in_file(&step.0, &[]))),
            Inverse::Templates { templates, secret } => {
                all.extend(templates.iter().map(|step| in_file(&step.0, secret)));
            }
            Inverse::Refused { step, reason } => refused.push(format!("step `{step}`: {reason}")),
        }
    }
    if !refused.is_empty() {
        let error = cannot(row, "not every step has an inverse");
        let error = refused.iter().fold(error, |error, reason| error.because(reason));
        return Err(error.hint(format!(
            "write {} with the steps that take it back, and run this again",
            undo_file(row)
        )));
    }
    if all.is_empty() {
        return Ok(String::new());
    }
    let document = serde_json::json!({ "steps": all });
    serde_json::to_string_pretty(&document)
        .map_err(|error| cannot(row, "its inverse cannot be read").because(error))
}
