//! Files × rows → a status per migration → what to do, in order. Pure: no I/O, no async.
//!
//! Every command reads the one [`compare`]; `up` and `down` add which migrations take part, and in
//! which order.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::error::{Error, Exit, Place};
use crate::ledger::{Row, State};
use crate::migration::{Files, Key, Migration, MigrationId, Requirement, Version};
use crate::stores::StoreKind;
use crate::text::Checksum;
use crate::text::document::nearest;

/// What is to be said of a migration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Done, and the file is as it was.
    Applied,
    /// Taken as applied when the ledger was begun.
    Baseline,
    /// To be applied.
    Pending,
    /// To be applied, and older than what is applied in its store.
    #[serde(rename = "out of order")]
    OutOfOrder,
    /// Applied, and the file has changed since.
    Changed,
    /// Applied, the file is gone, and newer files are there.
    Missing,
    /// Newer than every file, or in a state that only a newer tool knows: a newer release was here.
    Future,
    /// A step failed.
    Failed,
    /// A run is at it, or died in it.
    Running,
    /// A `down` is at it, or died in it.
    Undoing,
    /// A step's end is not known.
    #[serde(rename = "in doubt")]
    InDoubt,
}

impl Status {
    /// As shown.
    pub fn name(self) -> &'static str {
        match self {
            Status::Applied => "applied",
            Status::Baseline => "baseline",
            Status::Pending => "pending",
            Status::OutOfOrder => "out of order",
            Status::Changed => "changed",
            Status::Missing => "missing",
            Status::Future => "future",
            Status::Failed => "failed",
            Status::Running => "running",
            Status::Undoing => "undoing",
            Status::InDoubt => "in doubt",
        }
    }
}

/// A migration with its file, its living row, and what both say together.
#[derive(Clone, Debug)]
pub struct Entry<'a> {
    /// The migration.
    pub id: MigrationId,
    /// What is to be said of it.
    pub status: Status,
    /// The file, if there is one.
    pub file: Option<&'a Migration>,
    /// The living row, if there is one.
    pub row: Option<&'a Row>,
}

/// Compares the files with the ledger's rows: one entry per migration, in each store's order.
pub fn compare<'a>(files: &'a Files, rows: &'a [Row]) -> Vec<Entry<'a>> {
    let mut living: Vec<&Row> = rows.iter().filter(|row| row.state != State::Undone).collect();
    living.sort_by(|a, b| a.id.cmp(&b.id));
    let standing = Standing::of(files, rows);
    let (mut files, mut rows) = (files.migrations.iter().peekable(), living.into_iter().peekable());
    let next = || {
        // Both are in order: what is next has the lower id, or both have it.
        let order = match (files.peek(), rows.peek()) {
            (Some(file), Some(row)) => file.id.cmp(&row.id),
            (Some(_), None) => Ordering::Less,
            (None, _) => Ordering::Greater,
        };
        let file = files.next_if(|_| order.is_le());
        let row = rows.next_if(|_| order.is_ge());
        let id = file.map(|file| &file.id).or(row.map(|row| &row.id))?;
        Some(Entry { id: id.clone(), status: standing.status(id, file, row), file, row })
    };
    std::iter::from_fn(next).collect()
}

/// What the status of one migration depends on besides its own file and row.
struct Standing<'a> {
    newest_applied: BTreeMap<StoreKind, &'a Key>,
    newest_file: BTreeMap<StoreKind, &'a Key>,
    applied_once: BTreeSet<(&'a MigrationId, &'a Checksum)>,
    last_undo: BTreeMap<StoreKind, DateTime<Utc>>,
}

impl<'a> Standing<'a> {
    fn of(files: &'a Files, rows: &'a [Row]) -> Standing<'a> {
        let mut standing = Standing {
            newest_applied: BTreeMap::new(),
            newest_file: BTreeMap::new(),
            applied_once: BTreeSet::new(),
            last_undo: BTreeMap::new(),
        };
        let versioned = |id: &MigrationId| matches!(id.key, Key::Version(_));
        let repeatable = rows.iter().filter(|row| !versioned(&row.id));
        standing.applied_once = repeatable.map(|row| (&row.id, &row.checksum)).collect();
        for row in rows.iter().filter(|row| versioned(&row.id)) {
            if matches!(row.state, State::Applied | State::Baseline) {
                raise(&mut standing.newest_applied, &row.id);
            }
            if let (State::Undone, Some(at)) = (row.state, row.finished_at) {
                let last = standing.last_undo.entry(row.id.store).or_insert(at);
                *last = at.max(*last);
            }
        }
        for file in files.migrations.iter().filter(|file| versioned(&file.id)) {
            raise(&mut standing.newest_file, &file.id);
        }
        standing
    }

    fn status(&self, id: &MigrationId, file: Option<&Migration>, row: Option<&Row>) -> Status {
        match (file, row) {
            (_, Some(row)) if row.state == State::Newer => Status::Future,
            // An image that was rolled back must not stumble over what a newer one left unfinished.
            (None, Some(_)) if self.is_newer_than_all(id) => Status::Future,
            (_, Some(row)) if row.state == State::Running => Status::Running,
            (_, Some(row)) if row.state == State::Failed => Status::Failed,
            (_, Some(row)) if row.state == State::Undoing => Status::Undoing,
            (_, Some(row)) if row.state == State::InDoubt => Status::InDoubt,
            (_, Some(row)) if row.state == State::Baseline => Status::Baseline,
            (Some(_), Some(row)) if self.lost_its_ground(row) => Status::Pending,
            (Some(file), Some(row)) if file.checksum == row.checksum => Status::Applied,
            (Some(file), Some(_)) => self.changed(id, file),
            (None, Some(_)) => self.without_file(id),
            (Some(_), None) => match self.newest_applied.get(&id.store) {
                Some(newest) if id.version().is_some() && id.key < **newest => Status::OutOfOrder,
                Some(_) | None => Status::Pending,
            },
            (None, None) => Status::Pending,
        }
    }

    fn changed(&self, id: &MigrationId, file: &Migration) -> Status {
        match id.key {
            Key::Version(_) => Status::Changed,
            // An older image meets a repeatable that a newer one replaced: it must not put its own
            // text back, or the two would undo each other's work at every start.
            Key::Repeatable(_) if self.newer_release(id.store) && self.was_applied(id, file) => {
                Status::Applied
            }
            Key::Repeatable(_) => Status::Pending,
        }
    }

    /// A repeatable stays when what it stands on is undone, and may have been dropped with it (a
    /// view with its table): it runs again, unless that is for a newer release to do.
    fn lost_its_ground(&self, row: &Row) -> bool {
        let repeatable = matches!(row.id.key, Key::Repeatable(_));
        let undone_since = row.finished_at < self.last_undo.get(&row.id.store).copied();
        repeatable && undone_since && !self.newer_release(row.id.store)
    }

    fn was_applied(&self, id: &MigrationId, file: &Migration) -> bool {
        self.applied_once.contains(&(id, &file.checksum))
    }

    fn newer_release(&self, store: StoreKind) -> bool {
        self.newest_applied.get(&store) > self.newest_file.get(&store)
    }

    fn is_newer_than_all(&self, id: &MigrationId) -> bool {
        let newest = self.newest_file.get(&id.store);
        id.version().is_some() && newest.is_some_and(|newest| id.key > **newest)
    }

    fn without_file(&self, id: &MigrationId) -> Status {
        match (&id.key, self.newest_file.get(&id.store)) {
            (Key::Version(_), Some(newest)) if id.key < **newest => Status::Missing,
            (Key::Version(_) | Key::Repeatable(_), _) => Status::Future,
        }
    }
}

fn raise<'a>(newest: &mut BTreeMap<StoreKind, &'a Key>, id: &'a MigrationId) {
    let highest = newest.entry(id.store).or_insert(&id.key);
    if id.key > **highest {
        *highest = &id.key;
    }
}

/// Which migrations `up` is to apply.
#[derive(Clone, Debug, Default)]
pub struct UpOptions {
    /// Apply up to this one, and what it requires; nothing else.
    pub to: Option<Requirement>,
    /// Apply migrations that are older than what is applied in their store.
    pub out_of_order: bool,
    /// Only these stores; empty means all.
    pub stores: Vec<StoreKind>,
}

/// One migration to be applied or undone, and what has to come before it.
#[derive(Clone, Debug, PartialEq)]
pub struct Item {
    /// The migration.
    pub id: MigrationId,
    /// The ones of this plan that must be settled first.
    pub after: Vec<MigrationId>,
}

/// What `up` is about to do, in an order that respects every requirement; or everything that
/// stands in its way.
pub fn up(entries: &[Entry<'_>], options: &UpOptions) -> Result<Vec<Item>, Vec<Error>> {
    let selected = |store: StoreKind| options.stores.is_empty() || options.stores.contains(&store);
    let mut errors = Vec::new();
    let mut wanted: BTreeMap<&MigrationId, &Entry<'_>> = BTreeMap::new();
    for entry in entries.iter().filter(|entry| selected(entry.id.store)) {
        match obstacle(entry, options) {
            Some(error) => errors.push(error),
            None if is_open(entry.status) => {
                wanted.insert(&entry.id, entry);
            }
            None => {}
        }
    }
    errors.extend(check_requirements(entries, &wanted));
    if let Some(to) = &options.to {
        match reach(entries, &wanted, to) {
            Ok(reached) => wanted.retain(|id, _| reached.contains(*id)),
            Err(error) => errors.push(error),
        }
    }
    if !errors.is_empty() {
        return Err(errors);
    }
    order(wanted.values().copied().collect()).map_err(|error| vec![error])
}

fn is_open(status: Status) -> bool {
    match status {
        Status::Pending | Status::OutOfOrder | Status::Failed | Status::Running => true,
        Status::Applied
        | Status::Baseline
        | Status::Changed
        | Status::Missing
        | Status::Future
        | Status::Undoing
        | Status::InDoubt => false,
    }
}

/// Why `up` may not go on while `entry` is as it is.
fn obstacle(entry: &Entry<'_>, options: &UpOptions) -> Option<Error> {
    let id = &entry.id;
    let script = entry
        .file
        .map(|file| file.source.file.clone())
        .or(entry.row.map(|row| row.script.clone()))
        .unwrap_or_default();
    let differ = |message: String| Error::new(Exit::Differ, message).state("nothing was applied");
    match entry.status {
        Status::Changed => Some(
            differ(format!("{script} was changed after it was applied as {id}"))
                .because(checksums(entry))
                .hint("put the file back as it was and write a new migration for the change")
                .hint("or take the new text as applied: aiplat-migrate repair --accept-changed"),
        ),
        Status::Missing => {
            Some(differ(format!("{id} is applied and its file {script} is gone")).hint(
                "put the file back, or say that it is meant to be gone: \
                       aiplat-migrate repair --accept-missing",
            ))
        }
        Status::OutOfOrder if !options.out_of_order => {
            Some(differ(format!("{script} is older than what is applied in {}", id.store)).hint(
                "give it a newer version, or apply it late on purpose: \
                       aiplat-migrate up --out-of-order",
            ))
        }
        Status::Undoing => Some(
            Error::failed(format!("the undoing of {id} was begun and is not finished"))
                .state("nothing was applied")
                .hint("finish it: aiplat-migrate down")
                .hint("or finish it and apply the migration anew: aiplat-migrate up --finish-undo"),
        ),
        Status::InDoubt => Some(in_doubt(entry, &script)),
        Status::Failed | Status::Running if entry.file.is_none() => Some(
            differ(format!("{id} is half applied and its file {script} is gone"))
                .hint("put the file back; `up` then goes on where it stopped"),
        ),
        Status::Applied
        | Status::Baseline
        | Status::Pending
        | Status::OutOfOrder
        | Status::Future
        | Status::Failed
        | Status::Running => None,
    }
}

fn in_doubt(entry: &Entry<'_>, script: &str) -> Error {
    let id = &entry.id;
    let step = entry.row.map_or(1, |row| row.steps_done + 1);
    let told = entry.row.and_then(|row| row.error.as_ref());
    let died = told.and_then(|error| error["died"].as_bool()).unwrap_or(true);
    let since = in_doubt_since(died, id.store);
    let mut error = Error::failed(format!("step {step} of {script} ({id}) {since}"));
    if let Some(cause) = told.and_then(|error| error["message"].as_str()) {
        error = error.because(cause);
    }
    error
        .state("nothing was applied")
        .hint("to ask the store once more: aiplat-migrate repair")
        .hint(format!(
            "or look there yourself; if the step was done: aiplat-migrate repair --done {}",
            id.argument()
        ))
        .hint(format!("if it was not: aiplat-migrate repair --not-done {}", id.argument()))
}

/// How a step came to be in doubt: its run died, or it failed and changed something.
pub fn in_doubt_since(died: bool, store: StoreKind) -> String {
    let title = store.title();
    match died {
        true => {
            format!("was begun by a run that died, and {title} cannot tell whether it was done")
        }
        false => format!("did not end well, and {title} cannot tell how much of it was done"),
    }
}

fn checksums(entry: &Entry<'_>) -> String {
    let of = |checksum: Option<&Checksum>| checksum.map_or("none", Checksum::short).to_string();
    format!(
        "applied with {}, the file now has {}",
        of(entry.row.map(|row| &row.checksum)),
        of(entry.file.map(|file| &file.checksum))
    )
}

/// Checks that each requirement of a wanted migration is applied or wanted too.
fn check_requirements(
    entries: &[Entry<'_>],
    wanted: &BTreeMap<&MigrationId, &Entry<'_>>,
) -> Vec<Error> {
    let mut errors = Vec::new();
    if wanted.is_empty() {
        return errors;
    }
    let known: BTreeMap<&MigrationId, &Entry<'_>> =
        entries.iter().map(|entry| (&entry.id, entry)).collect();
    for file in wanted.values().filter_map(|entry| entry.file) {
        for (requirement, span) in &file.header.requires {
            let id = requirement.id();
            let place = Place::of(&file.source.file, &file.source.text, span.clone());
            let problem = match known.get(&id) {
                None => unknown_requirement(requirement, known.keys().copied()),
                Some(entry) if is_satisfied(entry.status) || wanted.contains_key(&id) => continue,
                Some(entry) => Error::usage(format!(
                    "{} requires {requirement}, which is {} and no part of this run",
                    file.id,
                    entry.status.name()
                ))
                .hint(format!(
                    "include it: aiplat-migrate up --store {},{}",
                    file.id.store, id.store
                )),
            };
            errors.push(problem.at(place).state("nothing was applied"));
        }
    }
    errors
}

fn is_satisfied(status: Status) -> bool {
    match status {
        Status::Applied | Status::Baseline | Status::Changed | Status::Missing | Status::Future => {
            true
        }
        Status::Pending
        | Status::OutOfOrder
        | Status::Failed
        | Status::Running
        | Status::Undoing
        | Status::InDoubt => false,
    }
}

fn unknown_requirement<'a>(
    requirement: &Requirement,
    known: impl Iterator<Item = &'a MigrationId>,
) -> Error {
    let names: Vec<String> = known.map(MigrationId::to_string).collect();
    let error = Error::usage(format!("there is no migration {requirement}"));
    match nearest(&requirement.to_string(), names.iter().map(String::as_str)) {
        Some(near) => error.hint(format!("did you mean {near}?")),
        None => error,
    }
}

/// `to`, everything before it in its store, and all that these require.
fn reach<'a>(
    entries: &'a [Entry<'_>],
    wanted: &BTreeMap<&'a MigrationId, &'a Entry<'_>>,
    to: &Requirement,
) -> Result<BTreeSet<MigrationId>, Error> {
    let target = to.id();
    if !entries.iter().any(|entry| entry.id == target) {
        return Err(unknown_requirement(to, entries.iter().map(|entry| &entry.id)));
    }
    let mut reached = BTreeSet::new();
    let mut open = vec![target];
    while let Some(goal) = open.pop() {
        for (id, entry) in wanted {
            let needed = id.store == goal.store && id.version().is_some() && id.key <= goal.key;
            if needed && reached.insert((*id).clone()) {
                let file = entry.file.into_iter();
                open.extend(file.flat_map(|file| &file.header.requires).map(|(r, _)| r.id()));
            }
        }
    }
    Ok(reached)
}

/// Puts `wanted` in order: each store's own order, and requirements first.
fn order(wanted: Vec<&Entry<'_>>) -> Result<Vec<Item>, Error> {
    let ids: BTreeSet<&MigrationId> = wanted.iter().map(|entry| &entry.id).collect();
    let mut items: Vec<Item> = Vec::new();
    let mut last: BTreeMap<StoreKind, &MigrationId> = BTreeMap::new();
    for entry in &wanted {
        let requires = entry.file.into_iter().flat_map(|file| &file.header.requires);
        let mut after: Vec<MigrationId> = requires
            .map(|(requirement, _)| requirement.id())
            .filter(|id| ids.contains(id))
            .collect();
        if let Some(previous) = last.insert(entry.id.store, &entry.id) {
            after.push(previous.clone());
        }
        items.push(Item { id: entry.id.clone(), after });
    }
    sort(items)
}

/// A topological order that keeps the given one where it can; a circle is an error that shows it.
fn sort(mut items: Vec<Item>) -> Result<Vec<Item>, Error> {
    let mut sorted: Vec<Item> = Vec::with_capacity(items.len());
    let mut done: BTreeSet<MigrationId> = BTreeSet::new();
    while !items.is_empty() {
        let (ready, rest): (Vec<Item>, Vec<Item>) = {
            let mut rest = Vec::new();
            let mut ready = Vec::new();
            for item in items {
                match item.after.iter().all(|id| done.contains(id)) {
                    true => {
                        done.insert(item.id.clone());
                        ready.push(item);
                    }
                    false => rest.push(item),
                }
            }
            (ready, rest)
        };
        if ready.is_empty() {
            return Err(circle(&rest));
        }
        sorted.extend(ready);
        items = rest;
    }
    Ok(sorted)
}

fn circle(items: &[Item]) -> Error {
    let by_id: BTreeMap<&MigrationId, &Item> = items.iter().map(|item| (&item.id, item)).collect();
    let mut path: Vec<&MigrationId> = vec![&items[0].id];
    let next = |id: &MigrationId| by_id[id].after.iter().find(|after| by_id.contains_key(after));
    while let Some(id) = next(path[path.len() - 1]) {
        if let Some(at) = path.iter().position(|seen| *seen == id) {
            path.drain(..at);
            path.push(id);
            break;
        }
        path.push(id);
    }
    let shown: Vec<String> = path.iter().map(|id| id.to_string()).collect();
    Error::usage(format!("these migrations wait for each other: {}", shown.join(" → ")))
        .state("nothing was applied")
        .hint(
            "take one of the `requires` away; within a store, versions are in order by themselves",
        )
}

/// Which migrations `down` is to undo. Whatever the target, what an earlier `down` left half undone
/// comes along; repeatables never do: only the text that replaces one undoes it.
#[derive(Clone, Debug, PartialEq)]
pub enum DownTarget {
    /// The newest ones, this many.
    Steps(usize),
    /// Everything.
    All,
    /// What is newer than this in its store, and all that depends on it; version 0 is before the first.
    To(Requirement),
    /// Everything but these: the migrations that stood when a tag was given.
    Back(BTreeSet<MigrationId>),
    /// Only what an earlier `down` left half undone.
    Unfinished,
    /// The migrations of these rows, as far as they still stand: what an earlier look chose.
    Rows(BTreeSet<i64>),
}

/// What `down` is about to undo, newest first and dependants before what they require; or
/// everything that stands in its way.
pub fn down<'a>(
    rows: &'a [Row],
    target: &DownTarget,
    stores: &[StoreKind],
) -> Result<Vec<(&'a Row, Item)>, Vec<Error>> {
    let in_doubt: Vec<Error> =
        rows.iter().filter(|row| row.state == State::InDoubt).map(doubt_of_row).collect();
    if !in_doubt.is_empty() {
        return Err(in_doubt);
    }
    let living: Vec<&Row> = rows.iter().rev().filter(|row| is_undoable(row)).collect();
    if let DownTarget::To(to) = target {
        check_goal(rows, to).map_err(|error| vec![error])?;
    }
    let chosen = with_dependants(&living, choose(&living, target, stores));
    let outside = chosen.iter().filter(|row| !stores.is_empty() && !stores.contains(&row.id.store));
    let errors: Vec<Error> = outside
        .map(|row| {
            Error::usage(format!(
                "{} depends on what is to be undone, and --store leaves it out",
                row.id
            ))
            .state("nothing was undone")
            .hint("undo it too: leave --store away")
        })
        .collect();
    if !errors.is_empty() {
        return Err(errors);
    }
    let items = undo_items(&chosen);
    Ok(chosen.into_iter().zip(items).collect())
}

/// The repeatables that stand in `stores` and that no `down` undoes.
pub fn repeatables<'a>(rows: &'a [Row], stores: &BTreeSet<StoreKind>) -> Vec<&'a MigrationId> {
    let stand = rows.iter().filter(|row| row.state != State::Undone);
    let repeatable = |row: &&Row| matches!(row.id.key, Key::Repeatable(_));
    stand.filter(repeatable).map(|row| &row.id).filter(|id| stores.contains(&id.store)).collect()
}

fn is_undoable(row: &Row) -> bool {
    let living = match row.state {
        State::Applied | State::Failed | State::Running | State::Undoing => true,
        State::Undone | State::InDoubt | State::Baseline | State::Newer => false,
    };
    living && matches!(row.id.key, Key::Version(_))
}

fn doubt_of_row(row: &Row) -> Error {
    let entry = Entry { id: row.id.clone(), status: Status::InDoubt, file: None, row: Some(row) };
    in_doubt(&entry, &row.script)
}

/// A goal that does not stand is more likely a slip than a wish.
fn check_goal(rows: &[Row], to: &Requirement) -> Result<(), Error> {
    let goal = to.id();
    let stand = || rows.iter().filter(|row| row.state != State::Undone).map(|row| &row.id);
    let before_all = to.version == Version::zero();
    if before_all || stand().any(|id| *id == goal) {
        return Ok(());
    }
    let error =
        Error::usage(format!("{goal} is not applied: there is no such point to go back to"))
            .state("nothing was undone");
    let names: Vec<String> =
        stand().filter(|id| id.store == to.store).map(MigrationId::to_string).collect();
    Err(match names.as_slice() {
        [] => error,
        names => error.hint(format!(
            "applied there: {}; before the first is {}@0",
            names.join(", "),
            to.store
        )),
    })
}

fn choose<'a>(living: &[&'a Row], target: &DownTarget, stores: &[StoreKind]) -> Vec<&'a Row> {
    let selected = |row: &&&Row| stores.is_empty() || stores.contains(&row.id.store);
    let living = || living.iter().filter(selected).copied();
    // What an earlier `down` left half undone comes first and counts.
    let mut chosen: Vec<&Row> = living().filter(|row| row.state == State::Undoing).collect();
    let rest = living().filter(|row| row.state != State::Undoing);
    match target {
        DownTarget::Steps(count) => chosen.extend(rest.take(count.saturating_sub(chosen.len()))),
        DownTarget::All => chosen.extend(rest),
        DownTarget::To(to) => {
            let goal = to.id();
            chosen.extend(rest.filter(|row| row.id.store == goal.store && row.id.key > goal.key));
        }
        DownTarget::Back(stood) => chosen.extend(rest.filter(|row| !stood.contains(&row.id))),
        DownTarget::Unfinished => {}
        DownTarget::Rows(rows) => chosen.extend(rest.filter(|row| rows.contains(&row.row))),
    }
    chosen
}

/// Adds what stands on the chosen ones: what requires them, and the newer ones of their stores,
/// since within a store each stands on those before it.
fn with_dependants<'a>(living: &[&'a Row], mut chosen: Vec<&'a Row>) -> Vec<&'a Row> {
    loop {
        let ids: BTreeSet<&MigrationId> = chosen.iter().map(|row| &row.id).collect();
        let below = Below::of(&chosen);
        let stands_on = |row: &Row| {
            row.requires.iter().any(|requirement| ids.contains(&requirement.id()))
                || below.any_under(row)
        };
        let new = living.iter().filter(|row| !ids.contains(&row.id) && stands_on(row));
        let more: Vec<&Row> = new.copied().collect();
        if more.is_empty() {
            chosen.sort_by_key(|row| std::cmp::Reverse(row.row));
            return chosen;
        }
        chosen.extend(more);
    }
}

/// By store and version, the lowest row number among the rows of that version and below.
struct Below<'a>(BTreeMap<StoreKind, BTreeMap<&'a Key, i64>>);

impl<'a> Below<'a> {
    fn of(rows: &[&'a Row]) -> Below<'a> {
        let mut below = Below(BTreeMap::new());
        for row in rows {
            below.0.entry(row.id.store).or_default().insert(&row.id.key, row.row);
        }
        for store in below.0.values_mut() {
            let mut lowest = i64::MAX;
            for row in store.values_mut() {
                lowest = lowest.min(*row);
                *row = lowest;
            }
        }
        below
    }

    /// Whether `row` is newer than one of these in its store, by version and by the ledger's order:
    /// one that was applied late, out of order, may be undone by itself.
    fn any_under(&self, row: &Row) -> bool {
        let store = self.0.get(&row.id.store);
        let under = store.and_then(|store| store.range::<&Key, _>(..&row.id.key).next_back());
        under.is_some_and(|(_, lowest)| row.row > *lowest)
    }
}

/// In the order in which `chosen` are undone, newest first: each waits for those that require it,
/// and for the one before it in its own store, which waits for all that are newer.
fn undo_items(chosen: &[&Row]) -> Vec<Item> {
    let mut requiring: BTreeMap<MigrationId, Vec<&MigrationId>> = BTreeMap::new();
    for row in chosen {
        for requirement in &row.requires {
            requiring.entry(requirement.id()).or_default().push(&row.id);
        }
    }
    let mut last: BTreeMap<StoreKind, &MigrationId> = BTreeMap::new();
    let mut items = Vec::with_capacity(chosen.len());
    for row in chosen {
        let previous = last.insert(row.id.store, &row.id);
        let requiring = requiring.get(&row.id).into_iter().flatten().copied();
        let after: BTreeSet<&MigrationId> = previous.into_iter().chain(requiring).collect();
        items.push(Item { id: row.id.clone(), after: after.into_iter().cloned().collect() });
    }
    items
}

impl Requirement {
    /// The migration that is required.
    pub fn id(&self) -> MigrationId {
        MigrationId { store: self.store, key: Key::Version(self.version.clone()) }
    }
}

#[cfg(test)]
mod tests;
