//! Makes the ledger's own tables, and evolves them: refinery's work, under our lock.

use super::{LedgerSettings, absent, ledger_error};
use crate::error::{Error, Exit, Result};
use crate::failpoint::effect;
use crate::postgres::{Session, identifier, literal, store_error};

mod embedded {
    refinery::embed_migrations!("src/ledger/migrations");
}

/// Brings the ledger's schema to this version's form.
///
/// Changes are additive, so that an older binary works with a newer ledger: that refinery finds a
/// migration applied which it does not know is therefore no error.
pub(super) async fn bootstrap(session: &mut Session, settings: &LedgerSettings) -> Result<()> {
    let schema = identifier(&settings.schema);
    let failed = |error: tokio_postgres::Error| ledger_error(&store_error(&error), settings);
    let (there, newest) = stand(session, &schema).await.map_err(failed)?;
    let mut runner = embedded::migrations::runner().set_abort_missing(false).set_grouped(true);
    let ours = runner.get_migrations().iter().map(|migration| migration.version()).max();
    if newest >= ours.map(i64::from) {
        return Ok(());
    }
    if !there {
        let create = format!("CREATE SCHEMA {schema}");
        effect!("create_schema", session.client.batch_execute(&create)).map_err(failed)?;
    }
    let path = format!("SET search_path TO {schema}");
    session.client.batch_execute(&path).await.map_err(failed)?;
    runner.set_migration_table_name(format!("{}.refinery_schema_history", settings.schema));
    let report = effect!("refinery", runner.run_async(&mut session.client));
    session.client.batch_execute("RESET search_path").await.map_err(failed)?;
    match report {
        Ok(_) => Ok(()),
        Err(error) => {
            let failed =
                Error::new(Exit::Failed, "cannot bring the ledger's own tables up to date")
                    .source(&error)
                    .state("no migration was applied; no store was touched");
            let usual = "the ledger's role must own the ledger's schema".to_string();
            Err(failed.hint(hint(&error).unwrap_or(usual)))
        }
    }
}

/// What to do about the server's error inside refinery's.
fn hint(error: &(dyn std::error::Error + 'static)) -> Option<String> {
    let mut next = Some(error);
    while let Some(cause) = next {
        if let Some(said) = cause.downcast_ref::<tokio_postgres::Error>() {
            return store_error(said).hint;
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
