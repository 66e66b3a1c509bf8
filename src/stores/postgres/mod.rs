//! PostgreSQL: SQL files, each in one transaction with its ledger row, or statement by statement.

mod alone;
mod apply;
mod blocker;
mod blocks;
mod compare;
mod figures;
mod growth;
mod heal;
mod hints;
mod look;
mod outside;
mod picture;
mod probe;
mod put_back;
mod rehearsal;
mod session;
mod shape;
mod split;
mod steps;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use futures_util::FutureExt;
use serde_json::Value;
use tokio_postgres::{SimpleQueryMessage, SimpleQueryRow};
use tokio_util::sync::CancellationToken;

pub use steps::Step;

use crate::postgres::{
    ADDRESSES, BEGAN, IDENTITY, KEYS, MAY_NOT, Purpose, Recorded, Session, Settings, store_error,
};
use crate::section::{CONNECT_TIMEOUT, Key, Kind, Reader, TLS_FILES, items, key};
use crate::shape::Shape;
use crate::store_error::StoreError;
use crate::stores::contract::{
    Audit, Before, Beside, Connection, Depth, Done, Endpoint, Entered, Failure, Foreseen, Job,
    Limits, Loss, Part, Probe, Pulse, Repair,
};
use crate::stores::description::{Description, Language, Objects, Undo};

/// What is known of PostgreSQL without a connection.
pub static STORE: Description = Description {
    name: "postgres",
    title: "PostgreSQL",
    nicknames: &["pg", "pgsql", "psql"],
    extensions: &["sql"],
    language: Language::Sql { units: steps::parse, content: split::content },
    undo: Undo::File,
    keys: &[KEYS, TLS_FILES, CONNECT_TIMEOUT, SHAPE],
    addresses: ADDRESSES,
    settings: |section| {
        let mut settings = Settings::read(section);
        settings.shape = recorded(section);
        settings.into()
    },
    templates: &[
        ("V", "-- One transaction with its ledger row; BEGIN and COMMIT are not written.\n"),
        ("U", "-- Undoes the V file of the same version.\n"),
    ],
    objects: Objects {
        long_kinds: LONG_KINDS,
        optional: growth::OPTIONAL,
        // A setting concerns whoever made it, and may be of a role that has nothing to do with us.
        is_builtin: |object| object == "schema public" || object.starts_with("setting "),
        part_of: heal::part_of,
        rank: heal::rank,
        heal: heal::heal,
        comparison: growth::COMPARISON,
    },
};

const LONG_KINDS: &[&str] = &[
    "access method",
    "base type",
    "composite type",
    "default privileges",
    "event trigger",
    "foreign table",
    "foreign-data wrapper",
    "materialized view",
    "operator class",
    "operator family",
    "range type",
    "text search configuration",
    "text search dictionary",
    "text search parser",
    "text search template",
    "user mapping",
];

const SHAPE: &[Key] = &[key(
    "shape",
    Kind::List,
    "",
    "What the recorded shape holds besides the structure: owners, grants, comments.",
)];

fn recorded(section: &mut Reader<'_>) -> Vec<Recorded> {
    let read = |text: &str| items(text).map(|item| item.parse().ok()).collect();
    section.parse("shape", "a list of owners, grants, comments", read).unwrap_or_default()
}

/// How many migrations are on their way to the server at once: over a slow network a run costs a
/// few round trips, not several per migration.
const WINDOW: usize = 16;

/// A connected PostgreSQL.
pub struct Postgres {
    session: Session,
    /// The session on the server.
    pid: i32,
    identity: Option<String>,
    /// Whether it takes a backslash in a plain literal for the beginning of an escape.
    has_escapes: bool,
    /// The server's major version.
    version: u32,
    settings: Settings,
    /// What was written since the first picture.
    written: shape::Written,
    /// Whether a file of this run may have made what reaches into the ledger later.
    reaches: AtomicBool,
    /// Whoever was seen to hold up the statement under way.
    blocker: blocker::Seen,
    /// What the session was like after the last statement of a file that has it for itself.
    state: Mutex<Option<Value>>,
}

impl Postgres {
    fn state(&self) -> Option<Value> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether it has to be looked at what `step` did to the ledger.
    fn may_reach(&self, step: &Step) -> bool {
        let schema = self.settings.hidden.first().map_or("", String::as_str);
        // What it makes may reach there whenever it is used.
        let names = step.first_naming(schema).is_some();
        self.reaches.fetch_or(names, Ordering::Relaxed) || names || step.may_reach()
    }

    fn keep_state(&self, state: Option<&Value>) {
        *self.state.lock().unwrap_or_else(PoisonError::into_inner) = state.cloned();
    }
}

impl Endpoint for Settings {
    type Connection = Postgres;

    fn address(&self) -> String {
        Settings::address(self)
    }

    fn plain_text(&self) -> Option<String> {
        Settings::plain_text(self)
    }

    fn ledger(&self) -> Option<&Settings> {
        Some(self)
    }

    fn beside(&mut self, ledger: &Beside) {
        self.hidden = vec![ledger.schema.clone()];
        self.condition = ledger.condition.clone();
        self.reset = ledger.reset.clone();
        self.sealed = ledger.sealed.clone();
    }

    /// Connects under the condition that the settings carry.
    async fn connect(&self, application: &str) -> Result<Postgres, StoreError> {
        let mut session = Settings::connect(self, application, Purpose::Users).await?;
        let condition = self.condition.as_deref().unwrap_or("true");
        let hello = match hello(&session, condition, IDENTITY).await {
            // The function may be closed to this role; then there is no identity to hold.
            Err(error) if error.code().is_some_and(|code| code.code() == MAY_NOT) => {
                hello(&session, condition, "NULL").await
            }
            hello => hello,
        };
        let hello = hello.map_err(|error| store_error(&error))?;
        let text = |at| hello.as_ref().and_then(|row| row.get(at));
        if text(0) != Some("t") {
            return Err(StoreError::refused("another run has begun"));
        }
        // Some poolers take a session's options and pass them on to nobody.
        if text(3) != Some("on") && session.set_again().is_empty() {
            let set = session.set_afterwards(Purpose::Users).await;
            set.map_err(|error| store_error(&error))?;
        }
        Ok(Postgres {
            pid: text(1).and_then(|pid| pid.parse().ok()).unwrap_or_default(),
            identity: text(2).map(str::to_string),
            has_escapes: text(4) == Some("off"),
            version: text(5).and_then(|number| number.parse().ok()).unwrap_or(u32::MAX) / 10_000,
            session,
            settings: self.clone(),
            written: shape::Written::default(),
            reaches: AtomicBool::new(false),
            blocker: blocker::Seen::default(),
            state: Mutex::default(),
        })
    }
}

/// Whether the condition holds, the session's number, the identity, whether it had its options, how it
/// reads literals, and the server's version.
async fn hello(
    session: &Session,
    condition: &str,
    identity: &str,
) -> Result<Option<SimpleQueryRow>, tokio_postgres::Error> {
    let sql = format!(
        "SELECT {condition}, pg_catalog.pg_backend_pid(), {identity}, \
         pg_catalog.current_setting('{BEGAN}', true), \
         pg_catalog.current_setting('standard_conforming_strings'), \
         pg_catalog.current_setting('server_version_num')"
    );
    let answer = session.client.simple_query(&sql).await?;
    Ok(answer.into_iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => Some(row),
        // The driver's enum is open; what is not a row is no answer.
        _ => None,
    }))
}

impl Connection for Postgres {
    type Step = Step;

    async fn identity(&self) -> Result<Option<String>, StoreError> {
        Ok(self.identity.clone())
    }

    fn window(&self) -> usize {
        WINDOW
    }

    /// A dead run's statements hold the ledger's work lock, which the next run waits for before it
    /// reads a row: nothing is left to expel.
    async fn expel(&self, _dead: &[String]) -> Result<(), StoreError> {
        Ok(())
    }

    async fn before(&self, step: &Step, _recorded: &Shape) -> Result<Before, StoreError> {
        probe::before(self, step).await
    }

    async fn holds(&self, step: &Step) -> Result<Vec<Loss>, StoreError> {
        probe::holds(self, step).await
    }

    fn rehearses(&self) -> bool {
        true
    }

    async fn rehearse(
        &self,
        parts: &[Part<'_>],
        pulse: &dyn Pulse,
        cancel: &CancellationToken,
    ) -> Result<Vec<Foreseen>, StoreError> {
        rehearsal::rehearse(self, parts, pulse, cancel).await
    }

    fn apply<'a>(
        &'a self,
        step: &'a Step,
        job: Job<'a>,
    ) -> impl Future<Output = Result<Done, Failure>> + Send + 'a {
        match (job.limits.keeps_data, job.seal.clone()) {
            (true, Some(seal)) => rehearsal::guarded(self, step, job, seal).boxed(),
            (true, None) | (false, _) => apply::apply(self, step, job),
        }
    }

    async fn enter(
        &self,
        limits: Limits,
        steps: (&[&Step], usize),
        left: Option<&Value>,
    ) -> Result<Entered, StoreError> {
        apply::enter(self, limits, steps, left).await
    }

    async fn leave(&self) -> Result<(), StoreError> {
        apply::leave(self).await
    }

    fn put_back<'a>(
        &'a self,
        repair: Repair<'a>,
    ) -> impl Future<Output = Vec<Result<(), StoreError>>> + Send + 'a {
        put_back::put_back(self, repair)
    }

    async fn probe(&self, step: &Step, before: &Before) -> Result<Probe, StoreError> {
        probe::probe(self, step, before).await
    }

    async fn inspect(&self, _recorded: &Shape, _depth: Depth) -> Result<Shape, StoreError> {
        shape::inspect(self).await
    }

    fn unsealed(&self) -> BTreeMap<String, String> {
        self.written.unsealed()
    }

    async fn audit(&self, _recorded: &Shape, _depth: Depth) -> Result<Option<Audit>, StoreError> {
        Ok(None)
    }
}
