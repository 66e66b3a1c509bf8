//! Makes the ledger's own tables, and evolves them: refinery's work, under our lock.

use refinery::{AsyncMigrate, Migration};
use refinery_core::traits::r#async::{AsyncQuery, AsyncTransaction};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio_postgres::Client;

use super::errors::{MAY_NOT, may_not_create};
use super::{LedgerSettings, absent, before_first_release, ledger_error};
use crate::error::{Error, Exit, Result};
use crate::failpoint::effect;
use crate::postgres::{Session, identifier, literal, store_error};
use crate::store_error::StoreErrorKind;

mod embedded {
    refinery::embed_migrations!("src/ledger/migrations");
}

/// The newest of the embedded migrations, known without reading them.
const NEWEST: i64 = 1;

/// The first migration's checksum, as refinery wrote it beside every ledger. It never changes: from
/// the first release on the ledger only grows, and each change is a migration after it. A ledger whose
/// first migration has another one is from before the first release.
const FIRST: &str = "14605801703605031484";

/// Brings the ledger's schema to this version's form; refuses one from before the first release.
///
/// Changes are additive, so that an older binary works with a newer ledger: that refinery finds a
/// migration applied which it does not know is therefore no error.
pub(super) async fn bootstrap(session: &Session, settings: &LedgerSettings) -> Result<()> {
    let schema = identifier(&settings.schema);
    let failed = |error: tokio_postgres::Error| ledger_error(&store_error(&error), settings);
    let Stand { there, newest, first } = stand(session, &schema).await.map_err(failed)?;
    if first.is_some_and(|first| first != FIRST) {
        return Err(before_first_release(settings).into());
    }
    if newest >= Some(NEWEST) {
        return Ok(());
    }
    let mut runner = embedded::migrations::runner().set_abort_missing(false).set_grouped(true);
    runner.set_migration_table_name(format!("{schema}.refinery_schema_history"));
    let mut turns = Turns::new(&session.client, schema, there);
    let report = effect!("refinery", runner.run_async(&mut turns));
    match report {
        Ok(_) => Ok(()),
        Err(error) => {
            let failed =
                Error::new(Exit::Failed, "cannot bring the ledger's own tables up to date")
                    .source(&error)
                    .state("no migration was applied; no store was touched");
            let usual = "the ledger's role must own the ledger's schema".to_string();
            match said(&error).map(store_error) {
                // The right to make a schema is another one than those to one that is there.
                Some(said) if !there && said.code.as_deref() == Some(MAY_NOT) => {
                    let hint = may_not_create(&settings.schema);
                    Err(ledger_error(&said.hint(hint), settings))
                }
                // Its tables are there, and what was noted beside them is gone.
                Some(said) if there && said.code.as_deref() == Some("42P07") => {
                    Err(ledger_error(&said.code("42P01"), settings))
                }
                Some(said) if !there || said.kind == StoreErrorKind::Unreachable => {
                    Err(ledger_error(&said, settings))
                }
                said => Err(failed.hint(said.and_then(|said| said.hint).unwrap_or(usual))),
            }
        }
    }
}

/// The ledger's session as refinery uses it: what belongs together goes to the server in one message,
/// which is a transaction by itself, and costs one round trip. A ledger that is not there yet is made
/// as a whole by one.
struct Turns<'s> {
    client: &'s Client,
    /// Quoted.
    schema: String,
    /// What the next message begins with.
    begun: String,
    /// Whether there is nothing to ask for yet: what is to be made is gathered.
    absent: bool,
}

impl<'s> Turns<'s> {
    fn new(client: &'s Client, schema: String, there: bool) -> Turns<'s> {
        let begun = match there {
            true => String::new(),
            false => format!("CREATE SCHEMA {schema};\n"),
        };
        Turns { client, schema, begun, absent: !there }
    }
}

impl AsyncTransaction for Turns<'_> {
    type Error = tokio_postgres::Error;

    async fn execute<'a, T: Iterator<Item = &'a str> + Send + 'a>(
        &'a mut self,
        queries: T,
    ) -> Result<usize, Self::Error> {
        let mut message = std::mem::take(&mut self.begun);
        // The functions keep this path: nothing of a file's comes before what is PostgreSQL's own.
        let path = format!("SET LOCAL search_path TO {}, pg_catalog, pg_temp;\n", self.schema);
        message.push_str(&path);
        let mut count = 0;
        for query in queries {
            message.push_str(query);
            message.push_str("\n;\n");
            count += 1;
        }
        match self.absent {
            true => self.begun = message,
            false => self.client.batch_execute(&message).await?,
        }
        Ok(count)
    }
}

impl AsyncQuery<Vec<Migration>> for Turns<'_> {
    async fn query<'a>(&'a mut self, query: &'a str) -> Result<Vec<Migration>, Self::Error> {
        if std::mem::take(&mut self.absent) {
            return Ok(Vec::new());
        }
        let rows = self.client.query_typed(query, &[]).await?;
        rows.iter()
            .map(|row| {
                let (at, checksum) = (row.try_get::<_, String>(2)?, row.try_get::<_, String>(3)?);
                // refinery wrote both. What cannot be read is taken for another's, and not applied again.
                let at = OffsetDateTime::parse(&at, &Rfc3339).unwrap_or(OffsetDateTime::UNIX_EPOCH);
                let checksum = checksum.parse().unwrap_or_default();
                Ok(Migration::applied(row.try_get(0)?, row.try_get(1)?, at, checksum))
            })
            .collect()
    }
}

impl AsyncMigrate for Turns<'_> {}

/// The server's error inside refinery's.
fn said<'e>(error: &'e (dyn std::error::Error + 'static)) -> Option<&'e tokio_postgres::Error> {
    let mut next = Some(error);
    while let Some(cause) = next {
        if let Some(said) = cause.downcast_ref() {
            return Some(said);
        }
        next = cause.source();
    }
    None
}

/// What is there already.
struct Stand {
    /// Whether the schema is.
    there: bool,
    /// The newest of refinery's versions in it.
    newest: Option<i64>,
    /// The checksum of the first of them.
    first: Option<String>,
}

async fn stand(session: &Session, schema: &str) -> Result<Stand, tokio_postgres::Error> {
    let there = format!("SELECT pg_catalog.to_regnamespace({}) IS NOT NULL", literal(schema));
    let versions = include_str!("sql/versions.sql").replace("$schema", schema);
    let (there, versions) = futures_util::future::join(
        session.client.query_typed_one(&there, &[]),
        session.client.query_typed_one(&versions, &[]),
    )
    .await;
    let (newest, first) = match versions {
        Err(error) if absent(&error) => (None, None),
        versions => {
            let versions = versions?;
            (versions.try_get(0)?, versions.try_get(1)?)
        }
    };
    Ok(Stand { there: there?.try_get(0)?, newest, first })
}

#[cfg(test)]
mod tests {
    use super::{FIRST, NEWEST, embedded};

    #[test]
    fn the_newest_is_the_newest() {
        let runner = embedded::migrations::runner();
        let versions = runner.get_migrations().iter().map(|migration| migration.version());
        assert_eq!(versions.max().map(i64::from), Some(NEWEST));
    }

    /// A change of V1 would make every ledger that is in use one from before the first release. What is
    /// to be added goes into the next migration.
    #[test]
    fn the_first_stays_as_it_was_released() {
        let runner = embedded::migrations::runner();
        let first = runner.get_migrations().iter().find(|migration| migration.version() == 1);
        assert_eq!(first.map(|first| first.checksum().to_string()).as_deref(), Some(FIRST));
    }
}
