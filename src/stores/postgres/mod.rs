//! PostgreSQL: SQL files, each in one transaction with its ledger row, or statement by statement.

mod apply;
mod blocker;
mod heal;
mod probe;
mod shape;
mod split;
mod steps;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio_postgres::SimpleQueryMessage;

pub(super) use heal::{heal, part_of, rank};
pub(super) use shape::OPTIONAL;
pub use split::content;
pub use steps::{Step, parse};

use super::{Before, Body, Depth, Done, Failure, Job, Loss, Probe, Store, StoreError, Unit};
use crate::postgres::{Session, Settings, store_error};
use crate::shape::Shape;

/// How many migrations are on their way to the server at once: over a slow network a run costs a
/// few round trips, not several per migration.
const WINDOW: usize = 16;

/// A connected PostgreSQL.
pub(crate) struct Postgres {
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

/// Connects, and runs the greeting that the settings carry.
pub async fn connect(settings: &Settings, application: &str) -> Result<Box<dyn Store>, StoreError> {
    let session = settings.connect(application).await?;
    let greeting = settings.greeting.clone().unwrap_or_default();
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
    Ok(Box::new(Postgres {
        pid,
        identity,
        session,
        settings: settings.clone(),
        blocker: blocker::Seen::default(),
    }))
}

fn step(unit: &Unit) -> Result<&Step, StoreError> {
    match &unit.body {
        Body::Postgres(step) => Ok(step),
        Body::Mongo(_) | Body::Weaviate(_) | Body::Kafka(_) | Body::Redis(_) => {
            Err(StoreError::refused("this step is for another store"))
        }
    }
}

impl Store for Postgres {
    fn identity(&self) -> BoxFuture<'_, Result<Option<String>, StoreError>> {
        std::future::ready(Ok(self.identity.clone())).boxed()
    }

    fn window(&self) -> usize {
        WINDOW
    }

    /// A dead run's statements hold the ledger's work lock, which the next run waits for before it
    /// reads a row: nothing is left to expel.
    fn expel<'a>(&'a self, _dead: &'a [String]) -> BoxFuture<'a, Result<(), StoreError>> {
        std::future::ready(Ok(())).boxed()
    }

    fn before<'a>(
        &'a self,
        unit: &'a Unit,
        _recorded: &'a Shape,
    ) -> BoxFuture<'a, Result<Before, StoreError>> {
        async move { probe::before(self, step(unit)?).await }.boxed()
    }

    fn holds<'a>(&'a self, unit: &'a Unit) -> BoxFuture<'a, Result<Vec<Loss>, StoreError>> {
        async move { probe::holds(self, step(unit)?).await }.boxed()
    }

    fn apply<'a>(&'a self, job: Job<'a>) -> BoxFuture<'a, Result<Done, Failure>> {
        match step(job.unit) {
            Ok(step) => apply::apply(self, step, job),
            Err(error) => std::future::ready(Err(error.into())).boxed(),
        }
    }

    fn probe<'a>(
        &'a self,
        unit: &'a Unit,
        before: &'a Before,
    ) -> BoxFuture<'a, Result<Probe, StoreError>> {
        async move { probe::probe(self, step(unit)?, before).await }.boxed()
    }

    fn inspect<'a>(
        &'a self,
        _recorded: &'a Shape,
        _depth: Depth,
    ) -> BoxFuture<'a, Result<Shape, StoreError>> {
        shape::inspect(self).boxed()
    }
}
