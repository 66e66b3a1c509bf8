//! What PostgreSQL's errors mean for us.

use std::error::Error as _;

use tokio_postgres::error::{DbError, Severity};

use crate::store_error::{StoreError, StoreErrorKind};
use crate::tls::{self, TlsFiles};

/// Why a server may refuse to be written to.
const READ_ONLY: &str =
    "if this is a standby: name every host in the URL, with target_session_attrs=read-write";

/// Where a password may stand.
const PASSWORDS: &str = "set `password` (AIPLAT_MIGRATE_POSTGRES_PASSWORD, or …_FILE for a file that holds it); PGPASSWORD \
                         and the password file (~/.pgpass) are read too";

/// An error while connecting to `address`: what is wrong with it, the credentials or the
/// certificate, where `files` were used.
pub fn connection_error(
    error: &tokio_postgres::Error,
    address: &str,
    files: &TlsFiles,
) -> StoreError {
    if error.as_db_error().is_some() {
        return store_error(error);
    }
    if let Some(trouble) = tls::find(error) {
        return tls::in_words(trouble, address, files);
    }
    let chain = chain(error);
    let lower = chain.to_lowercase();
    if lower.contains("does not allow writes") {
        let them =
            if address.contains(',') { "none of them takes writes" } else { "takes no writes" };
        return StoreError::unreachable(format!("{address}: {them}")).hint(
            "is there a primary? After a failover it takes a while until there is one again",
        );
    }
    match lower.contains("tls") {
        true => StoreError::new(StoreErrorKind::Settings, format!("{address}: {chain}"))
            .hint("sslmode demands TLS: switch it on at the server, or lower sslmode"),
        false if lower.contains("password missing") => {
            StoreError::new(StoreErrorKind::Credentials, format!("{address}: password missing"))
                .hint(PASSWORDS)
        }
        false if lower.contains("authentication") || lower.contains("password") => {
            StoreError::new(StoreErrorKind::Credentials, chain)
        }
        false => StoreError::unreachable(chain),
    }
}

/// An error of a statement or of the connection it ran on, with all that the server said.
pub fn store_error(error: &tokio_postgres::Error) -> StoreError {
    let Some(db) = error.as_db_error() else {
        return StoreError::unreachable(chain(error));
    };
    let mut result = StoreError::new(kind(db), db.message()).code(db.code().code());
    let more = [("detail", db.detail()), ("context", db.where_())];
    for (what, text) in more {
        if let Some(text) = text {
            result = result.detail(format!("{what}: {text}"));
        }
    }
    match db.hint().or(our_hint(db)) {
        Some(hint) => result.hint(hint),
        None => result,
    }
}

fn our_hint(db: &DbError) -> Option<&'static str> {
    match (db.code().code(), db.message()) {
        ("25006", _) => Some(READ_ONLY),
        ("28P01", _) => Some("check user and password"),
        ("28000", text) if text.contains("client certificate") => {
            Some("set `cert_file` and `key_file`")
        }
        ("28000", text) if text.contains("certificate authentication failed") => {
            Some("the certificate's common name has to be the role's")
        }
        ("28000", text) if text.contains("no encryption") => {
            Some("the server wants TLS: set `sslmode` to verify-full")
        }
        _ => None,
    }
}

/// Whether the session goes on after this error. A connection that the server itself made for a statement
/// (a subscription, a foreign table, dblink) breaks with the same codes, and ours is as good as before.
pub fn spares_the_session(db: &DbError) -> bool {
    db.parsed_severity() == Some(Severity::Error) || db.severity() == "ERROR"
}

fn kind(db: &DbError) -> StoreErrorKind {
    let code = db.code().code();
    match code {
        _ if code.starts_with("08") && spares_the_session(db) => StoreErrorKind::Refused,
        // The server is starting, stopping, full, or ended this session.
        "57P03" | "57P01" | "57P02" | "53300" => StoreErrorKind::Unreachable,
        "3D000" => StoreErrorKind::Settings,
        _ if code.starts_with("08") => StoreErrorKind::Unreachable,
        _ if code.starts_with("28") => StoreErrorKind::Credentials,
        _ => StoreErrorKind::Refused,
    }
}

/// The whole chain of an error; the driver's own text alone is often just `db error`.
fn chain(error: &tokio_postgres::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        next = cause.source();
    }
    text
}
