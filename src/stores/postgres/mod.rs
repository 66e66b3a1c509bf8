//! PostgreSQL: SQL files, each in one transaction with its ledger row, or statement by statement.

mod apply;
mod blocker;
mod heal;
mod probe;
mod shape;
mod split;
mod steps;

use tokio_postgres::SimpleQueryMessage;

pub use steps::Step;

use crate::postgres::{ADDRESSES, KEYS, Recorded, Session, Settings, store_error};
use crate::section::{CONNECT_TIMEOUT, Key, Kind, Reader, TLS_FILES, items, key};
use crate::shape::Shape;
use crate::store_error::StoreError;
use crate::stores::contract::{
    Audit, Before, Beside, Connection, Depth, Done, Endpoint, Failure, Job, Loss, Probe,
};
use crate::stores::description::{Description, Language, Objects, Undo};

/// What is known of PostgreSQL without a connection.
pub static STORE: Description = Description {
    name: "postgres",
    title: "PostgreSQL",
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
        long_kinds: &["materialized view", "foreign table"],
        optional: shape::OPTIONAL,
        is_builtin: |object| object == "schema public",
        part_of: heal::part_of,
        rank: heal::rank,
        heal: heal::heal,
    },
};

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
    settings: Settings,
    /// Whoever was seen to hold up the statement under way.
    blocker: blocker::Seen,
}

/// Which server and which database this is.
const IDENTITY: &str = "SELECT system_identifier::text || '/' || current_database() \
                        FROM pg_catalog.pg_control_system()";

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
        self.greeting = ledger.greeting.clone();
    }

    /// Runs the greeting, too.
    async fn connect(&self, application: &str) -> Result<Postgres, StoreError> {
        let session = Settings::connect(self, application).await?;
        let greeting = self.greeting.clone().unwrap_or_default();
        let hello = format!("{greeting};\nSELECT pg_catalog.pg_backend_pid() AS pid");
        let (answer, identity) = futures_util::future::join(
            session.client.simple_query(&hello),
            session.client.query_typed_one(IDENTITY, &[]),
        )
        .await;
        let answer = answer.map_err(|error| store_error(&error))?;
        let identity = match identity {
            Ok(row) => Some(row.get(0)),
            // The function may be closed to this role; then there is no identity to hold.
            Err(error) if error.as_db_error().is_some() => None,
            Err(error) => return Err(store_error(&error)),
        };
        let pid = answer.iter().rev().find_map(|message| match message {
            SimpleQueryMessage::Row(row) => row.try_get("pid").ok().flatten()?.parse().ok(),
            // The driver's enum is open; what is not a row holds no pid.
            _ => None,
        });
        let pid = pid.unwrap_or_default();
        Ok(Postgres {
            pid,
            identity,
            session,
            settings: self.clone(),
            blocker: blocker::Seen::default(),
        })
    }
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

    fn apply<'a>(
        &'a self,
        step: &'a Step,
        job: Job<'a>,
    ) -> impl Future<Output = Result<Done, Failure>> + Send + 'a {
        apply::apply(self, step, job)
    }

    async fn probe(&self, step: &Step, before: &Before) -> Result<Probe, StoreError> {
        probe::probe(self, step, before).await
    }

    async fn inspect(&self, _recorded: &Shape, _depth: Depth) -> Result<Shape, StoreError> {
        shape::inspect(self).await
    }

    async fn audit(&self, _recorded: &Shape, _depth: Depth) -> Result<Option<Audit>, StoreError> {
        Ok(None)
    }
}
