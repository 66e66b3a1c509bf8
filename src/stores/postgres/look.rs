//! Questions in the middle of the user's transaction, which leave no trace in it.

use std::time::{Duration, Instant};

use tokio_postgres::{SimpleQueryMessage, SimpleQueryRow};

use super::Postgres;
use crate::postgres::{Names, OWN_ROLE_UNTIL_COMMIT, as_it_is, store_error, until_commit};
use crate::store_error::StoreError;

/// One look, which has to end in time.
#[derive(Clone, Copy)]
pub(super) struct Look<'a> {
    pub store: &'a Postgres,
    /// How long questions may take.
    pub left: Left,
}

/// How long questions may take.
#[derive(Clone, Copy)]
pub(super) enum Left {
    /// All of them together.
    Until(Instant),
    /// Each.
    Each(Duration),
}

/// The savepoint of a question. What the question locks and sets goes with it.
const QUESTION: &str = "aiplat_migrate_question";

impl Look<'_> {
    /// The rows that the last of `statements` gives, in the fixed environment and as the session's own
    /// role; all that they change is taken back.
    pub async fn ask(
        &self,
        names: Names,
        statements: &[String],
    ) -> Result<Vec<SimpleQueryRow>, StoreError> {
        let mut all = vec![format!("SAVEPOINT {QUESTION}")];
        all.extend(self.environment(names));
        all.extend_from_slice(statements);
        let before = all.len() - 1;
        all.push(format!("ROLLBACK TO SAVEPOINT {QUESTION}"));
        all.push(format!("RELEASE SAVEPOINT {QUESTION}"));
        self.send(&all, before).await
    }

    /// Does `statements` in the fixed environment, as the session's own role; what they make stays, and
    /// the environment is as it was.
    pub async fn make(&self, statements: &[String]) -> Result<(), StoreError> {
        let found = self.ask_as_is(&as_it_is()).await?;
        let Some(back) = found.first().and_then(|row| row.get(0)) else {
            return Err(StoreError::refused("the session does not tell its settings"));
        };
        let mut all = vec![format!("SAVEPOINT {QUESTION}")];
        all.extend(self.environment(Names::Ours));
        all.extend_from_slice(statements);
        all.push(back.to_string());
        all.push(format!("RELEASE SAVEPOINT {QUESTION}"));
        self.send(&all, all.len()).await.map(drop)
    }

    async fn ask_as_is(&self, question: &str) -> Result<Vec<SimpleQueryRow>, StoreError> {
        let savepoint = format!("SAVEPOINT {QUESTION}");
        let release = format!("RELEASE SAVEPOINT {QUESTION}");
        self.send(&[savepoint, question.to_string(), release], 1).await
    }

    /// The time zone is the user's: it decides how a `timestamp` becomes a `timestamptz`.
    fn environment(&self, names: Names) -> [String; 5] {
        const ZONE: &str = "aiplat_migrate.zone";
        let copy = |to: &str, from: &str| {
            format!(
                "SELECT pg_catalog.set_config('{to}', pg_catalog.current_setting('{from}'), true)"
            )
        };
        let left = match self.left {
            Left::Until(until) => until.saturating_duration_since(Instant::now()),
            Left::Each(left) => left,
        };
        [
            copy(ZONE, "TimeZone"),
            OWN_ROLE_UNTIL_COMMIT.to_string(),
            until_commit(names),
            copy("TimeZone", ZONE),
            format!("SET LOCAL statement_timeout = {}", left.as_millis().max(1)),
        ]
    }

    /// Sends `statements` as one message; gives the rows of the one that `before` others precede.
    async fn send(
        &self,
        statements: &[String],
        before: usize,
    ) -> Result<Vec<SimpleQueryRow>, StoreError> {
        let client = &self.store.session.client;
        let answers = match client.simple_query(&statements.join(";\n")).await {
            Ok(answers) => answers,
            Err(error) => {
                let back =
                    format!("ROLLBACK TO SAVEPOINT {QUESTION}; RELEASE SAVEPOINT {QUESTION}");
                // A session that is gone says so at the next question.
                let _ = client.batch_execute(&back).await;
                return Err(store_error(&error));
            }
        };
        let (mut done, mut rows) = (0, Vec::new());
        for answer in answers {
            match answer {
                SimpleQueryMessage::CommandComplete(_) => done += 1,
                SimpleQueryMessage::Row(row) if done == before => rows.push(row),
                // The driver's enum is open; what is not a row is no answer.
                _ => {}
            }
        }
        Ok(rows)
    }
}
