//! Makes the ledger's own tables, and evolves them: refinery's work, under our lock.

use refinery::{AsyncMigrate, Migration};
use refinery_core::traits::r#async::{AsyncQuery, AsyncTransaction};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio_postgres::Client;

use super::{LedgerSettings, absent, ledger_error};
use crate::error::{Error, Exit, Result};
use crate::failpoint::effect;
use crate::postgres::{Session, identifier, literal, store_error};
use crate::store_error::StoreErrorKind;

mod embedded {
    refinery::embed_migrations!("src/ledger/migrations");
}

/// The newest of the embedded migrations, known without reading them.
const NEWEST: i64 = 2;

/// Brings the ledger's schema to this version's form.
///
/// Changes are additive, so that an older binary works with a newer ledger: that refinery finds a
/// migration applied which it does not know is therefore no error.
pub(super) async fn bootstrap(session: &Session, settings: &LedgerSettings) -> Result<()> {
    let schema = identifier(&settings.schema);
    let failed = |error: tokio_postgres::Error| ledger_error(&store_error(&error), settings);
    let (there, newest) = stand(session, &schema).await.map_err(failed)?;
    if newest >= Some(NEWEST) {
        return Ok(());
    }
    let mut runner = embedded::migrations::runner().set_abort_missing(false).set_grouped(true);
    runner.set_migration_table_name(format!("{}.refinery_schema_history", settings.schema));
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
        message.push_str(&format!("SET LOCAL search_path TO {};\n", self.schema));
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

/// Whether the schema is there, and the newest of refinery's versions in it.
async fn stand(
    session: &Session,
    schema: &str,
) -> Result<(bool, Option<i64>), tokio_postgres::Error> {
    let there = format!("SELECT pg_catalog.to_regnamespace({}) IS NOT NULL", literal(schema));
    let newest = format!("SELECT max(version)::bigint FROM {schema}.refinery_schema_history");
    let (there, newest) = futures_util::future::join(
        session.client.query_typed_one(&there, &[]),
        session.client.query_typed_one(&newest, &[]),
    )
    .await;
    let newest = match newest {
        Err(error) if absent(&error) => None,
        newest => newest?.get(0),
    };
    Ok((there?.get(0), newest))
}

#[cfg(test)]
mod tests {
    use super::{NEWEST, embedded};

    #[test]
    fn the_newest_is_the_newest() {
        let runner = embedded::migrations::runner();
        let versions = runner.get_migrations().iter().map(|migration| migration.version());
        assert_eq!(versions.max().map(i64::from), Some(NEWEST));
    }
}
