//! How to reach PostgreSQL and what its errors mean: shared by the ledger and the postgres store.

mod conninfo;
mod environment;
mod errors;
mod libpq;
mod notices;
mod settings;

use std::collections::HashMap;
use std::slice;
use std::sync::{Arc, Mutex, PoisonError};

use self::conninfo::Host;
use self::settings::addresses;
use futures_util::{Stream, StreamExt, TryStreamExt};
use rand::seq::SliceRandom;
use tokio_postgres::config::TargetSessionAttrs;
use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres::{
    AsyncMessage, Client, Connection, SimpleQueryMessage, SimpleQueryRow, Socket, Statement,
};
use tokio_postgres_rustls::MakeRustlsConnect;

pub use conninfo::variables;
pub use environment::{BEGAN, Names, Purpose, as_it_is, own_role, until_commit, until_reset};
pub use errors::{connection_error, spares_the_session, store_error};
pub use libpq::{PLACES, Surroundings};
pub use settings::{ADDRESSES, KEYS, Recorded, Settings};

use self::notices::Notices;
use crate::store_error::StoreError;

/// What to do about a ledger of which tables or functions are gone.
pub const DAMAGED: &str = "tables or functions of the ledger were dropped: restore its schema from a backup \
                           (pg_restore --schema), then: aiplat-migrate status";

/// The server's codes for a table, a function or a schema that is not there.
pub const DAMAGES: [&str; 3] = ["42P01", "42883", "3F000"];

/// Which server and which database this is, as an expression. Its function may be closed to a role.
pub const IDENTITY: &str = "(SELECT pg_catalog.concat(system_identifier, '/', \
                            pg_catalog.current_database()) FROM pg_catalog.pg_control_system())";

/// PostgreSQL's code for a right that the role does not have.
pub const MAY_NOT: &str = "42501";

/// One session of the server: its client, its notices, and what it takes to cancel a statement.
pub struct Session {
    /// The client; requests are pipelined in the order in which their futures are first polled.
    pub client: Client,
    notices: Arc<Mutex<Notices>>,
    tls: Option<MakeRustlsConnect>,
    prepared: Mutex<HashMap<String, Statement>>,
    /// What has to be set again whenever the session is reset: what it could not begin with.
    set_again: Option<String>,
}

impl Settings {
    /// Opens a session named `application`; tries once.
    ///
    /// Every session waits 5 s at most for a lock, has no statement timeout of its own, and is
    /// ended soon by either side when the other's machine is lost. All else is as its `purpose` wants
    /// it. Where several hosts are named, the error tells of each: the driver's own is the last one's.
    pub async fn connect(
        &self,
        application: &str,
        purpose: Purpose,
    ) -> Result<Session, StoreError> {
        let hosts = self.hosts()?;
        let error = match self.connect_to_any(&hosts, application, purpose).await {
            Ok(session) => return Ok(session),
            Err(error) => error,
        };
        if hosts.len() < 2 {
            return Err(error);
        }
        let asked = hosts.iter().map(async |one| {
            (one, self.connect_to_any(slice::from_ref(one), application, purpose).await.err())
        });
        let told = futures_util::future::join_all(asked).await;
        Err(told.into_iter().fold(error, |error, (one, refused)| {
            let (address, why) = (one.to_string(), refused.map(|refused| refused.message));
            let why = why.unwrap_or_else(|| "lets us in by now".to_string());
            match why.contains(&address) {
                true => error.detail(why),
                false => error.detail(format!("{address}: {why}")),
            }
        }))
    }

    /// Connects to the first of `hosts` that is as the settings want it.
    async fn connect_to_any(
        &self,
        hosts: &[Host],
        application: &str,
        purpose: Purpose,
    ) -> Result<Session, StoreError> {
        let wanted = self.wanted()?;
        // The driver knows one password, and of what a server can be no more than whether it takes writes.
        if let ([(attrs, None)], true) = (wanted.as_slice(), self.share_a_password(hosts)?) {
            return self.connect_to(hosts, (*attrs, None), (application, purpose)).await;
        }
        let mut first = None;
        let mut hosts: Vec<&Host> = hosts.iter().collect();
        if self.takes_any_order()? {
            hosts.shuffle(&mut rand::rng());
        }
        for role in wanted {
            for host in &hosts {
                let one = slice::from_ref(*host);
                match self.connect_to(one, role, (application, purpose)).await {
                    Ok(session) => return Ok(session),
                    Err(error) => first.get_or_insert(error),
                };
            }
        }
        Err(first.unwrap_or_else(|| StoreError::unreachable("no host is named")))
    }

    /// Connects to one of `hosts`; where a role is wanted that the driver does not know, that is looked at.
    async fn connect_to(
        &self,
        hosts: &[Host],
        (attrs, standby): (TargetSessionAttrs, Option<bool>),
        (application, purpose): (&str, Purpose),
    ) -> Result<Session, StoreError> {
        let mut config = self.driver_config(hosts, purpose)?;
        let mut bare = self.bare_config(hosts)?;
        let limit = self.patience()?;
        for config in [&mut config, &mut bare] {
            config.application_name(shortened(application));
            config.target_session_attrs(attrs);
            if let (Some(limit), true) = (limit, hosts.len() > 1) {
                config.connect_timeout(limit);
            }
        }
        let tls = self.tls_connector()?;
        let address = addresses(hosts);
        let session = async {
            let failed = |error| connection_error(&error, &address, &self.files_in_use());
            let session = open_as(&config, &bare, tls, purpose).await.map_err(failed)?;
            let Some(wanted) = standby else { return Ok(session) };
            match (wanted, session.is_standby().await.map_err(failed)?) {
                (true, false) => {
                    Err(StoreError::unreachable(format!("{address}: it is no standby")))
                }
                (false, true) => {
                    Err(StoreError::unreachable(format!("{address}: it is a standby")))
                }
                (true, true) | (false, false) => Ok(session),
            }
        };
        let Some(limit) = limit.map(|limit| limit * hosts.len() as u32) else {
            return session.await;
        };
        tokio::time::timeout(limit, session).await.unwrap_or_else(|_| {
            Err(StoreError::unreachable(format!(
                "no answer from {address} within {} s",
                limit.as_secs_f32()
            )))
        })
    }
}

/// Opens a session that is set as its `purpose` wants it; `bare` is for servers that take no settings.
async fn open_as(
    config: &tokio_postgres::Config,
    bare: &tokio_postgres::Config,
    tls: Option<MakeRustlsConnect>,
    purpose: Purpose,
) -> Result<Session, tokio_postgres::Error> {
    let (mut session, time_zone) = match open_with(config, tls.clone()).await {
        Err(error) if refuses_options(&error) => (open_with(bare, tls).await?.0, None),
        Ok((session, _)) if purpose == Purpose::Users => return Ok(session),
        opened => opened?,
    };
    if !environment::is_fixed(time_zone.as_deref()) {
        session.set_afterwards(purpose).await?;
    }
    Ok(session)
}

async fn open_with(
    config: &tokio_postgres::Config,
    tls: Option<MakeRustlsConnect>,
) -> Result<(Session, Option<String>), tokio_postgres::Error> {
    match tls.clone() {
        Some(connector) => open(config, connector, tls).await,
        None => open(config, tokio_postgres::NoTls, tls).await,
    }
}

/// PgBouncer takes no settings at a session's start, and a server none that it is too old to know.
fn refuses_options(error: &tokio_postgres::Error) -> bool {
    let unsupported = |db: &tokio_postgres::error::DbError| match db.code().code() {
        "08P01" => db.message().contains("startup parameter"),
        "42704" => true,
        _ => false,
    };
    error.as_db_error().is_some_and(unsupported)
}

/// The session, and the time zone that the server says it has.
async fn open<T>(
    config: &tokio_postgres::Config,
    connector: T,
    tls: Option<MakeRustlsConnect>,
) -> Result<(Session, Option<String>), tokio_postgres::Error>
where
    T: MakeTlsConnect<Socket>,
    T::Stream: Send + 'static,
{
    let (client, connection) = config.connect(connector).await?;
    let time_zone = connection.parameter("TimeZone").map(str::to_string);
    let notices = Arc::<Mutex<Notices>>::default();
    tokio::spawn(drive(connection, notices.clone()));
    let session = Session { client, notices, tls, prepared: Mutex::default(), set_again: None };
    Ok((session, time_zone))
}

/// Moves the session's messages until it ends; its end reaches the client's futures as errors.
async fn drive<S, T>(mut connection: Connection<S, T>, notices: Arc<Mutex<Notices>>)
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
    T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    let mut messages = futures_util::stream::poll_fn(move |cx| connection.poll_message(cx));
    while let Some(Ok(message)) = messages.next().await {
        if let AsyncMessage::Notice(notice) = message {
            notices.lock().unwrap_or_else(PoisonError::into_inner).take(&notice);
        }
    }
}

impl Session {
    /// Whether the server follows another.
    async fn is_standby(&self) -> Result<bool, tokio_postgres::Error> {
        let answer = self.client.simple_query("SELECT pg_catalog.pg_is_in_recovery()").await?;
        let is_one = |message: &SimpleQueryMessage| match message {
            SimpleQueryMessage::Row(row) => row.get(0) == Some("t"),
            // The driver's enum is open.
            _ => false,
        };
        Ok(answer.iter().any(is_one))
    }

    /// `sql` as a prepared statement: the first time costs a round trip, after that none. For a
    /// session that no migration runs on.
    pub async fn prepared(&self, sql: &str) -> Result<Statement, tokio_postgres::Error> {
        let prepared = || self.prepared.lock().unwrap_or_else(PoisonError::into_inner);
        let known = prepared().get(sql).cloned();
        if let Some(statement) = known {
            return Ok(statement);
        }
        let statement = self.client.prepare(sql).await?;
        prepared().insert(sql.to_string(), statement.clone());
        Ok(statement)
    }

    /// The rows that `question` gives in the fixed environment, whatever the session is set to: one
    /// message, which is a transaction that writes nothing. For a session that the user's SQL runs on;
    /// there must be no transaction under way.
    pub async fn ask(
        &self,
        names: Names,
        question: &str,
    ) -> Result<
        impl Stream<Item = Result<SimpleQueryRow, tokio_postgres::Error>>,
        tokio_postgres::Error,
    > {
        let message = format!("{};\n{question}", environment::of_question(names));
        let answers = self.client.simple_query_raw(&message).await?;
        let mut is_set = false;
        Ok(answers.try_filter_map(move |answer| {
            let row = match answer {
                SimpleQueryMessage::Row(row) => is_set.then_some(row),
                SimpleQueryMessage::CommandComplete(_) => {
                    is_set = true;
                    None
                }
                // The driver's enum is open; what is not a row is no answer.
                _ => None,
            };
            std::future::ready(Ok(row))
        }))
    }

    /// The first row that [`Session::ask`] gives.
    pub async fn ask_one(
        &self,
        names: Names,
        question: &str,
    ) -> Result<Option<SimpleQueryRow>, tokio_postgres::Error> {
        let rows: Vec<SimpleQueryRow> = self.ask(names, question).await?.try_collect().await?;
        Ok(rows.into_iter().next())
    }

    /// Sets what the session should have begun with and did not.
    pub async fn set_afterwards(&mut self, purpose: Purpose) -> Result<(), tokio_postgres::Error> {
        let settings = environment::afterwards(purpose);
        self.client.batch_execute(&settings).await?;
        self.set_again = Some(settings);
        Ok(())
    }

    /// SQL for the moment after the session was reset.
    pub fn set_again(&self) -> &str {
        self.set_again.as_deref().unwrap_or_default()
    }

    /// The notices that came since the last call.
    pub fn take_notices(&self) -> Vec<String> {
        std::mem::take(&mut *self.notices.lock().unwrap_or_else(PoisonError::into_inner)).told()
    }

    /// Asks the server to cancel the statement that this session runs now.
    pub async fn cancel(&self) -> Result<(), tokio_postgres::Error> {
        let token = self.client.cancel_token();
        match self.tls.clone() {
            Some(tls) => token.cancel_query(tls).await,
            None => token.cancel_query(tokio_postgres::NoTls).await,
        }
    }
}

/// PostgreSQL keeps 63 bytes of an application name.
fn shortened(application: &str) -> &str {
    let mut end = application.len().min(63);
    while !application.is_char_boundary(end) {
        end -= 1;
    }
    &application[..end]
}

/// Quotes an identifier.
pub fn identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Quotes a string literal, whatever `standard_conforming_strings` says.
pub fn literal(text: &str) -> String {
    let doubled = text.replace('\'', "''");
    match doubled.contains('\\') {
        true => format!(" E'{}'", doubled.replace('\\', "\\\\")),
        false => format!("'{doubled}'"),
    }
}
