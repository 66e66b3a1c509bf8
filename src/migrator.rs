//! The library's front door: settings, a listener, and one method per verb.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio_util::task::AbortOnDropHandle;

use crate::config::{self, Config};
use crate::error::{Error, Exit, Result};
use crate::execute::{self, Connected, DiscreetListener, Event, Identities, Listener, Stand};
use crate::file;
use crate::ledger::{Ledger, LockedLedger, Row, Run, Shapes, Snapshot, ledger_error};
use crate::migration::{Files, strays, sum};
use crate::plan::{self, Entry};
use crate::signals::Interrupt;
use crate::store_error::{StoreError, StoreErrorKind};
use crate::stores::StoreKind;
use crate::stores::{Beside, Settings, Store};

/// What carries out the commands. Each verb is a method, in a file of its own under `commands`.
///
/// ```no_run
/// use aiplat_migrate::{Config, Migrator, commands::Up};
///
/// # async fn run() -> Result<(), aiplat_migrate::Error> {
/// let environment = aiplat_migrate::config::Environment::of_process()?;
/// let config = Config::load(&Default::default(), &environment)?;
/// let finished = Migrator::new(config).up(&Up::default()).await;
/// assert!(finished.error.is_none());
/// # Ok(())
/// # }
/// ```
pub struct Migrator {
    pub(crate) config: Config,
    pub(crate) stores: Vec<StoreKind>,
    pub(crate) listener: Arc<dyn Listener>,
    pub(crate) interrupt: Interrupt,
    run: Mutex<Option<Run>>,
    warned_of_newer: AtomicBool,
}

/// A sum file of hundreds of thousands of migrations is no larger.
const SUM_LIMIT: u64 = 64 << 20;

/// What a command asks the ledger as soon as it is connected.
pub(crate) trait Ask: Copy + Send + 'static {
    type Answer: Send + 'static;

    fn ask(self, ledger: Ledger) -> impl Future<Output = Result<Self::Answer>> + Send;
}

impl<F, A, T> Ask for F
where
    F: Fn(Ledger) -> A + Copy + Send + 'static,
    A: Future<Output = Result<T>> + Send,
    T: Send + 'static,
{
    type Answer = T;

    fn ask(self, ledger: Ledger) -> impl Future<Output = Result<T>> + Send {
        self(ledger)
    }
}

/// The answer, under way; the outer error is that the ledger could not be connected.
type Asked<T> = AbortOnDropHandle<Result<Result<T>, StoreError>>;

struct Silent;

impl Listener for Silent {
    fn event(&self, _: Event) {}
}

impl Migrator {
    /// One that uses `config`, tells nobody what it does, and heeds no signal.
    pub fn new(config: Config) -> Migrator {
        crate::tls::install_provider();
        let (listener, interrupt) = (Arc::new(Silent), Interrupt::new());
        Migrator {
            config,
            stores: Vec::new(),
            listener,
            interrupt,
            run: Mutex::default(),
            warned_of_newer: AtomicBool::new(false),
        }
    }

    /// Restricts every command to `stores`; none means all.
    pub fn only(mut self, stores: Vec<StoreKind>) -> Migrator {
        self.stores = stores;
        self
    }

    /// Tells `listener` what happens.
    pub fn telling(mut self, listener: Arc<dyn Listener>) -> Migrator {
        let secrets = self.config.placeholders.secrets();
        self.listener = Arc::new(DiscreetListener { listener, secrets });
        self
    }

    /// Stops when `interrupt` says so.
    pub fn heeding(mut self, interrupt: Interrupt) -> Migrator {
        self.interrupt = interrupt;
        self
    }

    /// Carries its first command out as `run`, so that what is logged before it has the same id.
    pub fn as_run(mut self, run: Run) -> Migrator {
        self.run = Mutex::new(Some(run));
        self
    }

    /// The run of a command that begins: each has one of its own.
    pub(crate) fn begin(&self) -> Run {
        let given = self.run.lock().unwrap_or_else(PoisonError::into_inner).take();
        given.unwrap_or_default()
    }

    pub(crate) fn tell(&self, event: Event) {
        self.listener.event(event);
    }

    pub(crate) fn warn(&self, text: impl Into<String>) {
        self.tell(Event::Warning(text.into()));
    }

    /// Warns of stores in the ledger that this version does not know; once, however often a command
    /// reads it.
    pub(crate) fn warn_of_newer(&self, snapshot: &Snapshot) {
        let names: Vec<&str> = snapshot.newer_stores.iter().map(String::as_str).collect();
        if names.is_empty() || self.warned_of_newer.swap(true, Ordering::Relaxed) {
            return;
        }
        self.warn(format!(
            "the ledger has rows of {}, which this version does not know: a newer version of \
             aiplat-migrate wrote them; they are left as they are",
            names.join(", ")
        ));
    }

    pub(crate) fn selected(&self, store: StoreKind) -> bool {
        self.stores.is_empty() || self.stores.contains(&store)
    }

    /// Reads all files, whichever stores are selected: requirements reach across. What looks like a
    /// migration and is in no store's folder is an error (exit 2), never passed over.
    pub(crate) fn files(&self) -> Result<Files> {
        let Config { migrations_dir, folders, root, .. } = &self.config;
        let strays = strays::find(migrations_dir, root, folders);
        match Files::read(folders) {
            Ok(files) => Error::all(strays).map_or(Ok(files), Err),
            Err(error) => Err(error.with(strays)),
        }
    }

    /// Reads all files and checks that they and the configured stores belong together.
    ///
    /// Errors (exit 2): no migration at all; a store with files and no address; a store with an
    /// address and no folder; a sum file that does not match.
    pub(crate) fn checked_files(&self) -> Result<Files> {
        let files = self.files()?;
        if files.migrations.is_empty() {
            let folders: Vec<&str> =
                self.config.folders.iter().map(|folder| folder.shown.as_str()).collect();
            return Err(Error::usage("there are no migrations")
                .because(format!(
                    "looked into {} below {}",
                    folders.join(", "),
                    self.config.root.display()
                ))
                .hint(format!(
                    "write the first one: aiplat-migrate new {} create users",
                    StoreKind::of_ledger()
                )));
        }
        let mut errors = Vec::new();
        for folder in self.config.folders.iter().filter(|folder| self.selected(folder.store)) {
            let (store, shown) = (folder.store, &folder.shown);
            let has_files = files.of(store).next().is_some();
            let configured = self.config.stores.contains_key(&store);
            if has_files && !configured {
                errors.push(unconfigured(store, shown));
            }
            // It may be there for the ledger alone.
            if configured && store != StoreKind::of_ledger() && !folder.path.is_dir() {
                errors.push(
                    Error::usage(format!(
                        "{} is configured, and there is no folder {shown}",
                        store.title()
                    ))
                    .hint(format!("make the folder, or leave {store} out of the configuration")),
                );
            }
        }
        errors.extend(self.sum_error(&files)?);
        match Error::all(errors) {
            Some(error) => Err(error.state("nothing was touched")),
            None => Ok(files),
        }
    }

    /// The sum file's text, if there is one.
    pub(crate) fn sum_file(&self) -> Result<Option<String>> {
        let path = self.config.migrations_dir.join(sum::FILE);
        match file::read_text(&path, SUM_LIMIT) {
            Ok(text) => Ok(Some(text)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => {
                Err(Error::usage(format!("cannot read {}", path.display())).because(error))
            }
        }
    }

    fn sum_error(&self, files: &Files) -> Result<Option<Error>> {
        let Some(text) = self.sum_file()? else {
            self.warn(format!(
                "there is no {}: write it with `aiplat-migrate hash` and keep it in git",
                sum::FILE
            ));
            return Ok(None);
        };
        let mismatches = sum::compare(&text, &files.checksums());
        if mismatches.is_empty() {
            return Ok(None);
        }
        let error = Error::usage(format!("the migrations are not what {} says", sum::FILE));
        let error = mismatches.iter().fold(error, |error, mismatch| error.because(mismatch));
        Ok(Some(error.hint("if the files are right: aiplat-migrate hash")))
    }

    /// Reads the files while the ledger is connected and asked, which is mostly waiting. What is wrong
    /// with the files is told first, and at once.
    pub(crate) async fn files_and_ledger<A: Ask>(
        &self,
        files: impl FnOnce(&Self) -> Result<Files>,
        run: &Run,
        wait: Duration,
        ask: A,
    ) -> Result<(Files, A::Answer)> {
        let first = self.attempt(run, ask);
        let files = files(self)?;
        Ok((files, self.asked(first, run, wait, ask).await?))
    }

    /// Connects to the ledger; tries again for `wait` as long as PostgreSQL does not answer.
    pub(crate) async fn ledger(&self, run: &Run, wait: Duration) -> Result<Ledger> {
        let ask = |ledger: Ledger| std::future::ready(Ok(ledger));
        self.asked(self.attempt(run, ask), run, wait, ask).await
    }

    /// Begins to connect to the ledger and to ask it; given up when the handle is dropped.
    fn attempt<A: Ask>(&self, run: &Run, ask: A) -> Asked<A::Answer> {
        let (settings, run) = (self.config.ledger.clone(), run.clone());
        let attempt = async move {
            let ledger = Ledger::connect(&settings, &run).await?;
            Ok(ask.ask(ledger).await)
        };
        AbortOnDropHandle::new(tokio::spawn(attempt))
    }

    async fn asked<A: Ask>(
        &self,
        mut attempted: Asked<A::Answer>,
        run: &Run,
        wait: Duration,
        ask: A,
    ) -> Result<A::Answer> {
        let settings = &self.config.ledger;
        let deadline = Instant::now() + wait;
        let mut pause = Duration::from_millis(250);
        for attempt in 1.. {
            let ended = (&mut attempted).await;
            let ended = ended.map_err(|error| Error::failed("cannot connect").because(error))?;
            let error = match ended {
                Ok(answer) => return answer,
                Err(error) => error,
            };
            let again = error.kind == StoreErrorKind::Unreachable
                && Instant::now() + pause <= deadline
                && !self.interrupt.is_stopping();
            if !again {
                return match self.interrupt.is_stopping() {
                    true => Err(self.stopped()),
                    false => Err(ledger_error(&error, settings)),
                };
            }
            let store = StoreKind::of_ledger();
            self.tell(Event::StoreWait { store, attempt, error: error.to_string() });
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.interrupt.stopping() => {}
            }
            pause = (pause * 2).min(Duration::from_secs(5));
            attempted = self.attempt(run, ask);
        }
        Err(Error::new(Exit::Unreachable, "the ledger was not tried"))
    }

    /// Compares files and rows, and tells how the migrations stand.
    pub(crate) fn compare<'a>(&self, files: &'a Files, rows: &'a [Row]) -> Vec<Entry<'a>> {
        let entries = plan::compare(files, rows);
        let stands = entries.iter().filter(|entry| self.selected(entry.id.store));
        let stands = stands.map(|entry| Stand {
            id: entry.id.clone(),
            status: entry.status,
            settled_at: entry.row.and_then(|row| row.finished_at),
        });
        self.tell(Event::Compared(stands.collect()));
        entries
    }

    /// Connects to one store, outside a run.
    pub(crate) async fn connect_once(
        &self,
        settings: &Settings,
        application: &str,
        wait: Duration,
    ) -> Result<Store, StoreError> {
        let secrets = self.config.placeholders.secrets();
        execute::connect(settings, application, wait, self.listener.as_ref(), &secrets).await
    }

    /// Connects to stores; all that cannot be connected come as one error.
    pub(crate) async fn connect_all(
        &self,
        settings: &[Settings],
        application: &str,
        wait: Duration,
    ) -> Result<Connected> {
        let secrets = self.config.placeholders.secrets();
        let listener = self.listener.as_ref();
        let connecting = execute::connect_all(settings, application, wait, listener, &secrets);
        self.unless_stopped(connecting).await?
    }

    /// Meets the stores that a run touches, and no others: connects those that are not in `connected`
    /// yet, checks which servers they are, and ends what dead runs left there. Gives back the stores,
    /// and the servers that the ledger does not know yet.
    pub(crate) async fn meet(
        &self,
        mut touched: BTreeSet<StoreKind>,
        mut connected: Connected,
        locked: &LockedLedger,
        snapshot: &Snapshot,
        wait: Duration,
    ) -> Result<(Connected, Identities)> {
        connected.retain(|store, _| touched.remove(store));
        let settings = self.store_settings(touched, locked.reader())?;
        let application = locked.run().application();
        connected.append(&mut self.connect_all(&settings, &application, wait).await?);
        let first_met = execute::identify(snapshot, &connected).await?;
        execute::expel(snapshot, &connected).await?;
        Ok((connected, first_met))
    }

    /// Takes the lock and reads the ledger under it; does `meanwhile` as soon as the lock is had.
    pub(crate) async fn lock<M>(
        &self,
        ledger: Ledger,
        run: Run,
        wait: Option<Duration>,
        meanwhile: impl Future<Output = M>,
    ) -> Result<(LockedLedger, Snapshot, Shapes, M)> {
        let waiting = |holder: &crate::ledger::Holder| self.tell(Event::LockWait(holder.clone()));
        let wait = wait.unwrap_or(self.config.lock_wait);
        let began = Instant::now();
        let locked = self.unless_stopped(ledger.lock(run, wait, &waiting, meanwhile)).await?;
        self.tell(Event::LockWaited { took: began.elapsed(), had: locked.is_ok() });
        locked
    }

    /// Waits for something that may be given up at any moment, because nothing was changed yet.
    pub(crate) async fn unless_stopped<T>(&self, work: impl Future<Output = T>) -> Result<T> {
        tokio::select! {
            done = work => Ok(done),
            () = self.interrupt.stopping() => Err(self.stopped()),
        }
    }

    fn stopped(&self) -> Error {
        let exit = self.interrupt.exit().unwrap_or(Exit::Interrupted);
        Error::new(exit, "stopped, as asked")
            .state("this run has changed nothing")
            .hint("run the same command again")
    }

    /// The settings of `stores`, as a run uses them: PostgreSQL's sessions take their share of the
    /// lock first.
    pub(crate) fn store_settings(
        &self,
        stores: impl IntoIterator<Item = StoreKind>,
        ledger: &Ledger,
    ) -> Result<Vec<Settings>> {
        let beside = Beside {
            schema: ledger.schema().to_string(),
            condition: Some(ledger.condition()),
            reset: Some(ledger.reset()),
            sealed: Some(ledger.sealed()),
        };
        let of = |store| match self.config.stores.get(&store) {
            None => Err(unconfigured(store, "the ledger")),
            Some(settings) => Ok(settings.beside(&beside)),
        };
        stores.into_iter().map(of).collect()
    }
}

fn unconfigured(store: StoreKind, place: &str) -> Error {
    let variable = config::address_variable(store);
    Error::usage(format!("{place} has migrations for {}, which is not configured", store.title()))
        .hint(format!("say where it is: {variable}, or [{store}] in aiplat-migrate.toml"))
        .hint("or leave it out of this run: --store with the other stores' names")
}
