//! A run as it happens: a live line per store on a terminal, a line per step elsewhere, or one
//! JSON object per line. All of it on standard error.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use super::{Style, out, style};
use crate::error::{Error, Exit};
use crate::execute::{Direction, Event, Listener, StepEnd};
use crate::migration::MigrationId;
use crate::stores::Progress;
use crate::stores::StoreKind;
use crate::text::unseen::{block, line};

/// How much is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// A live line per store.
    Live,
    /// A line per step.
    Lines,
    /// A JSON object per event, through `tracing`.
    Json,
    /// Warnings alone.
    Quiet,
}

/// Shows events on standard error.
pub struct Console {
    form: Form,
    style: Style,
    bars: MultiProgress,
    state: Mutex<BTreeMap<StoreKind, Line>>,
    run: String,
}

/// What a store is at.
struct Line {
    bar: Option<ProgressBar>,
    what: String,
    began: Instant,
    said: Instant,
}

const HEARTBEAT: Duration = Duration::from_secs(10);

impl Console {
    /// For the run `run` and a standard error that is, or is not, a terminal.
    pub fn new(run: &str, is_terminal: bool, json: bool, quiet: bool) -> Console {
        let form = match (json, quiet, is_terminal) {
            (true, _, _) => Form::Json,
            (false, true, _) => Form::Quiet,
            // What moves needs a terminal that can.
            (false, false, true) if !style::is_dumb() => Form::Live,
            (false, false, _) => Form::Lines,
        };
        let style = Style::of(is_terminal);
        let (bars, run) = (MultiProgress::new(), run.to_string());
        Console { form, style, bars, state: Mutex::default(), run }
    }

    /// Every ten seconds, says of each step that is still at work that it is: silence in a log
    /// must not look like a hung process. Runs until it is dropped.
    pub async fn heartbeat(&self) {
        loop {
            tokio::time::sleep(Duration::from_secs(1)).await;
            if self.form != Form::Lines && self.form != Form::Json {
                continue;
            }
            let mut due = Vec::new();
            for line in self.lock().values_mut().filter(|line| line.said.elapsed() >= HEARTBEAT) {
                line.said = Instant::now();
                due.push(format!(
                    "{} (at work for {} s)",
                    line.what,
                    line.began.elapsed().as_secs()
                ));
            }
            for text in due {
                match self.form {
                    Form::Json => tracing::info!(event = "heartbeat", run = self.run, "{text}"),
                    Form::Live | Form::Lines | Form::Quiet => self.say(&format!("  … {text}")),
                }
            }
        }
    }

    /// The end of the command: in a log for machines it is a line like the others.
    pub fn ended(&self, command: &str, exit: Exit, error: Option<&Error>, took: Duration) {
        if self.form != Form::Json {
            if let Some(error) = error {
                out::say(&super::render_error(error, self.style), self.style);
            }
            return;
        }
        let (run, exit, took_ms) = (&self.run, exit.code(), millis(&took));
        for error in
            error.into_iter().flat_map(|error| std::iter::once(error).chain(&error.parts().others))
        {
            let parts = error.parts();
            let place = parts.place.as_ref().map(|place| place.to_string());
            tracing::error!(
                event = "error",
                run,
                place,
                causes = parts.causes.join("\n"),
                state = parts.state.join("\n"),
                hints = parts.hints.join("\n"),
                "{}",
                parts.message
            );
        }
        tracing::info!(event = "ended", run, command, exit, took_ms, "ended");
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<StoreKind, Line>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A line that stays. A standard error that is closed is no reason to stop a run.
    fn say(&self, text: &str) {
        match self.form {
            Form::Live => {
                let _ = self.bars.println(out::for_people(text, self.style));
            }
            Form::Lines | Form::Quiet => {
                out::say(&format!("{text}\n"), self.style);
            }
            Form::Json => {}
        }
    }

    fn begin(&self, store: StoreKind, what: &str) {
        let what = line(what).into_owned();
        let mut state = self.lock();
        let live = self.form == Form::Live;
        let bar = state.remove(&store).and_then(|line| line.bar).or_else(|| {
            live.then(|| {
                let bar = self.bars.add(ProgressBar::new_spinner());
                if let Ok(style) = ProgressStyle::with_template("{spinner} {prefix:9} {wide_msg}") {
                    bar.set_style(style);
                }
                bar.set_prefix(store.name());
                bar.enable_steady_tick(Duration::from_millis(120));
                bar
            })
        });
        if let Some(bar) = &bar {
            bar.set_message(what.clone());
        }
        let now = Instant::now();
        state.insert(store, Line { bar, what, began: now, said: now });
    }

    fn end(&self, store: StoreKind) {
        if let Some(bar) = self.lock().remove(&store).and_then(|line| line.bar) {
            bar.finish_and_clear();
        }
    }

    fn progress(&self, id: &MigrationId, progress: Progress) {
        if let Some(line) = self.lock().get_mut(&id.store) {
            let what = line.what.split(" · ").next().unwrap_or_default();
            line.what = match progress.total {
                Some(total) if total >= progress.done => {
                    format!("{what} · {} of about {total}", progress.done)
                }
                Some(_) | None => format!("{what} · {} so far", progress.done),
            };
            if let Some(bar) = &line.bar {
                bar.set_message(line.what.clone());
            }
        }
    }

    fn settled(&self, id: &MigrationId, description: &str, direction: Direction, took: Duration) {
        let verb = match direction {
            Direction::Up => "applied",
            Direction::Down => "undone",
        };
        let took = style::duration(took.as_millis());
        let verb = self.style.good(&format!("{verb:<8}"));
        self.say(&format!(
            "{verb} {:<14} {} {}",
            name(id),
            line(description),
            self.style.dim(&format!("({took})"))
        ));
    }

    fn human(&self, event: &Event) {
        let warn =
            |text: &str| self.say(&format!("{} {}", self.style.warn("warning:"), block(text)));
        if self.form == Form::Quiet {
            match event {
                Event::Warning(text) => warn(text),
                Event::StepEnded { id, label, end: StepEnd::Absent, .. } => {
                    warn(&not_there(id, label));
                }
                _ => {}
            }
            return;
        }
        match event {
            Event::LockWait(holder) => {
                let holder = holder.to_string();
                let holder = line(&holder);
                self.say(&format!("{} the lock is held by {holder}", self.style.warn("waiting:")));
            }
            Event::StoreWait { store, attempt, error } => {
                self.say(&format!(
                    "{} {store}, attempt {attempt}: {}",
                    self.style.warn("waiting:"),
                    block(error)
                ));
            }
            Event::LockWaited { .. }
            | Event::Compared(_)
            | Event::Drift { .. }
            | Event::Connected(_) => {}
            Event::Started { id, description, steps, done, .. } => {
                if *done > 0 {
                    let description = line(description);
                    self.say(&format!(
                        "goes on  {:<14} {description}: {done} of {steps} steps were done",
                        name(id)
                    ));
                }
                self.begin(id.store, &format!("{id} {description}"));
            }
            Event::Step { id, step, steps, label } => {
                self.begin(id.store, &format!("{id} step {step} of {steps}: {label}"));
            }
            Event::Progress { id, progress } => self.progress(id, *progress),
            Event::StepEnded { id, label, end: StepEnd::Absent, .. } => warn(&not_there(id, label)),
            Event::StepEnded { id, label, end, took } => {
                let end = match end {
                    StepEnd::Absent => "(was not there)".to_string(),
                    StepEnd::Done => format!("({})", style::duration(took.as_millis())),
                    StepEnd::Found => "(was there already)".to_string(),
                    StepEnd::DoneBefore => "(done by an earlier run)".to_string(),
                };
                if self.form == Form::Lines {
                    let (id, label) = (name(id), line(label));
                    self.say(&format!("  {id:<14} {label} {}", self.style.dim(&end)));
                }
            }
            Event::Notice { store, id, text } => {
                let id = id.as_ref().map_or_else(|| store.to_string(), name);
                self.say(&format!("  {id:<14} {}", self.style.dim(&block(text))));
            }
            Event::Retry { id, attempt, error } => {
                self.say(&format!(
                    "{} {}, attempt {attempt}: {}",
                    self.style.warn("again:"),
                    name(id),
                    block(error)
                ));
            }
            Event::Settled { id, description, direction, took } => {
                self.end(id.store);
                self.settled(id, description, *direction, *took);
            }
            Event::Failed { id } => {
                self.end(id.store);
                self.say(&format!("{} {}", self.style.bad("failed  "), name(id)));
            }
            Event::Stopping { grace } => self.say(&format!(
                "{} steps under way have {} s to finish; once more to cancel them now",
                self.style.warn("stopping:"),
                grace.as_secs()
            )),
            Event::Warning(text) => warn(text),
        }
    }
}

impl Listener for Console {
    fn event(&self, event: Event) {
        match self.form {
            Form::Json => log(&self.run, &event),
            Form::Live | Form::Lines | Form::Quiet => self.human(&event),
        }
    }
}

/// A migration's name, which is a description where it is repeatable.
fn name(id: &MigrationId) -> String {
    line(&id.to_string()).into_owned()
}

fn not_there(id: &MigrationId, label: &str) -> String {
    format!("{id}: {label} (was not there)")
}

fn millis(took: &Duration) -> u64 {
    u64::try_from(took.as_millis()).unwrap_or(u64::MAX)
}

/// The event as a `tracing` event with fields.
fn log(run: &str, event: &Event) {
    match event {
        Event::LockWait(holder) => {
            tracing::warn!(event = "lock_wait", run, %holder, "the lock is held")
        }
        Event::LockWaited { took, had } => tracing::info!(
            event = "lock",
            run,
            had,
            took_ms = millis(took),
            "the lock was waited for"
        ),
        Event::Compared(stands) => tracing::info!(
            event = "compared",
            run,
            migrations = stands.len(),
            "files and ledger compared"
        ),
        Event::Drift { store, objects } => {
            tracing::info!(event = "drift", run, %store, objects, "store held against its recorded shape");
        }
        Event::StoreWait { store, attempt, error } => {
            tracing::warn!(event = "store_wait", run, %store, attempt, error, "the store does not answer");
        }
        Event::Connected(store) => tracing::info!(event = "connected", run, %store, "connected"),
        Event::Started { id, description, direction, steps, done } => tracing::info!(
            event = "started", run, store = %id.store, migration = %id, description,
            direction = ?direction, steps, done, "migration begun"
        ),
        Event::Step { id, step, steps, label } => tracing::info!(
            event = "step", run, store = %id.store, migration = %id, step, steps, label, "step begun"
        ),
        Event::Progress { id, progress } => tracing::info!(
            event = "progress", run, store = %id.store, migration = %id,
            done = progress.done, total = progress.total, "step in progress"
        ),
        Event::StepEnded { id, label, end: StepEnd::Absent, .. } => tracing::warn!(
            event = "step_ended", run, store = %id.store, migration = %id, label, end = "Absent",
            "what the step was to take away was not there"
        ),
        Event::StepEnded { id, label, end, took } => tracing::info!(
            event = "step_ended", run, store = %id.store, migration = %id, label, end = ?end,
            took_ms = millis(took), "step done"
        ),
        Event::Notice { store, id, text } => {
            let migration = id.as_ref().map(MigrationId::to_string);
            tracing::info!(event = "notice", run, %store, migration, "{text}");
        }
        Event::Retry { id, attempt, error } => tracing::warn!(
            event = "retry", run, store = %id.store, migration = %id, attempt, error, "tried again"
        ),
        Event::Settled { id, description, direction, took } => tracing::info!(
            event = "settled", run, store = %id.store, migration = %id, description,
            direction = ?direction, took_ms = millis(took), "migration settled"
        ),
        Event::Failed { id } => {
            tracing::error!(event = "failed", run, store = %id.store, migration = %id, "migration failed");
        }
        Event::Stopping { grace } => {
            tracing::warn!(
                event = "stopping",
                run,
                grace_s = grace.as_secs(),
                "stopping, as asked"
            );
        }
        Event::Warning(text) => tracing::warn!(event = "warning", run, "{text}"),
    }
}
