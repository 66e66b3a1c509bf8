//! Operations under way on the server: found by the run's id in their comment, and killed.

use std::time::{Duration, Instant};

use bson::{Bson, Document, doc};
use futures_util::TryStreamExt;
use mongodb::Database;
use mongodb::error::Error;

use super::errors;
use crate::store_error::StoreError;

/// How long a killed operation may take to give way: an index build cleans up first.
const GRACE: Duration = Duration::from_secs(30);

/// Kills the operations of `runs` and waits until they are gone.
pub(super) async fn expel(admin: &Database, runs: &[String]) -> Result<(), StoreError> {
    let started = Instant::now();
    loop {
        let left = of_runs(admin, runs).await?;
        if left.is_empty() {
            return Ok(());
        }
        kill(admin, &left).await?;
        if started.elapsed() > GRACE {
            return Err(still_there(&left));
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Asks the server once to end the operations of `run`.
pub(super) async fn interrupt(admin: &Database, run: &str) -> Result<(), StoreError> {
    let found = of_runs(admin, &[run.to_string()]).await?;
    kill(admin, &found).await
}

/// The ids of the operations of `runs`: everybody's where we may see them, else our own user's.
async fn of_runs(admin: &Database, runs: &[String]) -> Result<Vec<Bson>, StoreError> {
    let mut found = listed(admin, runs, true).await;
    if let Err(error) = &found
        && errors::code(error) == Some(errors::UNAUTHORIZED)
    {
        found = listed(admin, runs, false).await;
    }
    match found {
        Ok(found) => Ok(found.into_iter().filter_map(|mut row| row.remove("opid")).collect()),
        Err(error) => Err(errors::from_driver(&error)),
    }
}

async fn listed(admin: &Database, runs: &[String], all: bool) -> Result<Vec<Document>, Error> {
    let ours = doc! { "$in": runs };
    let command = doc! {
        "aggregate": 1,
        "pipeline": [
            { "$currentOp": { "allUsers": all } },
            // The thread that builds an index carries the comment too. To kill both it and the
            // command that waits for it locks the two up for good (seen on 6.0.5); the command
            // alone takes the thread with it.
            { "$match": {
                "desc": { "$not": { "$regex": "^IndexBuildsCoordinator" } },
                "$or": [
                    { "command.comment": &ours },
                    { "cursor.originatingCommand.comment": &ours },
                ],
            } },
            { "$project": { "opid": 1 } },
        ],
        "cursor": {},
    };
    admin.run_cursor_command(command).await?.try_collect().await
}

async fn kill(admin: &Database, operations: &[Bson]) -> Result<(), StoreError> {
    for operation in operations {
        admin
            .run_command(doc! { "killOp": 1, "op": operation.clone() })
            .await
            .map_err(|error| errors::from_driver(&error))?;
    }
    Ok(())
}

fn still_there(operations: &[Bson]) -> StoreError {
    let ids: Vec<String> = operations.iter().map(Bson::to_string).collect();
    StoreError::refused(format!(
        "an earlier run's operation {} did not end within {GRACE:?} of being killed",
        ids.join(", ")
    ))
    .hint("look at it with db.currentOp(); once it is gone, run the command again")
}
