//! What the driver and the server say, as [`StoreError`]s: the server's own words and codes, what
//! kind of failure they are, and what to do.

use redis::{ErrorKind, RedisError};

use crate::store_error::{StoreError, StoreErrorKind};
use crate::stores::contract::{Effect, Failure, Why};

/// The error of a command that was sent to `address`.
pub fn store_error(address: &str, error: &RedisError) -> StoreError {
    match error.clone().into_server_errors() {
        Some(said) => match said.first() {
            Some((_, first)) => of_server(first.code(), first.details().unwrap_or_default()),
            None => StoreError::refused(error.to_string()),
        },
        None => of_driver(address, error),
    }
}

/// A failed step. What the server answered to the first command of a step changed nothing; a
/// connection that broke may have.
pub fn failure(source: StoreError) -> Failure {
    let answered = source.code.is_some();
    let mut failure = Failure::from(source);
    if answered {
        failure.effect = Effect::None;
    }
    failure
}

/// A failure before anything was sent.
pub fn untouched(source: StoreError) -> Failure {
    Failure { effect: Effect::None, ..failure(source) }
}

/// A failed step that changed some of what it was to change: another master, earlier keys.
pub fn partial(source: StoreError) -> Failure {
    Failure { effect: Effect::Unknown, ..failure(source) }
}

/// A step that was cancelled, of which something may have been done.
pub fn cancelled(what: &str) -> Failure {
    let source = StoreError::refused(format!("{what} was cancelled"));
    Failure { why: Why::Cancelled, effect: Effect::Unknown, at: None, source }
}

/// An answer that no supported server gives.
pub fn unexpected(what: &str) -> StoreError {
    StoreError::refused(format!("the server's answer to {what} cannot be read"))
        .hint("is it Redis 7.0 or newer, or a server that speaks the same protocol?")
}

/// Whether the server has no such command for anybody: a provider has taken it away or renamed it.
pub fn is_withheld(error: &StoreError) -> bool {
    const SAID: [&str; 6] = [
        "unknown command",
        "unknown subcommand",
        "not available",
        "not supported",
        "unsupported command",
        "disabled",
    ];
    let said = error.message.to_lowercase();
    error.code.is_some() && SAID.iter().any(|words| said.contains(words))
}

/// What is to be said where a server does not let its settings be read or set.
pub fn of_settings(error: StoreError) -> StoreError {
    let said = error.to_string();
    let ways = "where a provider runs the server, set them its way (ElastiCache: a parameter group; \
                Memorystore: the instance's redis-configs; Azure: redisConfiguration), and say so";
    let (message, hint) = match (is_withheld(&error), is_refused(&error)) {
        (true, _) => ("the server keeps its settings to itself", ways.to_string()),
        (false, true) => (
            "the user may not change the server's settings",
            format!("grant it +config|get +config|set +config|rewrite; {ways}"),
        ),
        (false, false) => return error,
    };
    let told = StoreError::refused(message).detail(format!("the server said: {said}")).hint(hint);
    StoreError { code: error.code, ..told }
}

/// Whether the command is not for this user, or not for anybody.
pub fn is_refused(error: &StoreError) -> bool {
    error.code.as_deref() == Some("NOPERM") || is_withheld(error)
}

/// The error that a server answered with `code` and `detail`.
pub fn of_server(code: &str, detail: &str) -> StoreError {
    let message = if detail.is_empty() { code } else { without_arguments(detail) };
    let (kind, hint) = judged(code, detail);
    let error = StoreError::new(kind, message).code(code);
    match hint {
        Some(hint) => error.hint(hint),
        None => error,
    }
}

/// The server repeats arguments of an unknown command, and one may be a secret.
fn without_arguments(detail: &str) -> &str {
    detail.split_once(", with args beginning with").map_or(detail, |(said, _)| said).trim()
}

fn judged(code: &str, detail: &str) -> (StoreErrorKind, Option<&'static str>) {
    use StoreErrorKind::{Credentials, Refused, Settings, Unreachable};
    match code {
        "LOADING" => (Unreachable, Some("the server is reading its data from disk: try again")),
        "MASTERDOWN" => (Unreachable, Some("the replica has lost its master: try again")),
        "CLUSTERDOWN" => (Unreachable, Some("the cluster lacks masters: see CLUSTER INFO")),
        "TRYAGAIN" => (Unreachable, Some("slots are being moved: try again when that is done")),
        "BUSY" => (Unreachable, Some("a script is running: wait for it, or end it (SCRIPT KILL)")),
        "WRONGPASS" => (Credentials, Some("check the user and the password")),
        "NOAUTH" => (Credentials, Some("give the password")),
        "DENIED" => (Credentials, Some("give the server a password, or connect locally")),
        "MOVED" | "ASK" => (Settings, Some("this is a node of a cluster: set `cluster = true`")),
        "CROSSSLOT" => (Refused, Some("in a cluster all keys of a command share one hash tag")),
        "OOM" => (Refused, Some("memory is used up: raise maxmemory or free some")),
        "READONLY" => (Refused, Some("this is a replica: give the address of the master")),
        "NOPERM" => (Refused, Some("grant the user that command and those keys (ACL SETUSER)")),
        "MISCONF" => (Refused, Some("the server cannot save to disk: see its log")),
        "NOREPLICAS" => (Unreachable, Some("too few replicas are in touch with the master")),
        "ERR" if detail.contains("max number of clients") => {
            (Unreachable, Some("raise maxclients, or close connections"))
        }
        "ERR" if detail.contains("without any password configured") => {
            (Credentials, Some("the server asks for no password: give none"))
        }
        _ => (Refused, None),
    }
}

fn of_driver(address: &str, error: &RedisError) -> StoreError {
    match error.kind() {
        ErrorKind::Io => of_connection(address, error),
        ErrorKind::Parse | ErrorKind::UnexpectedReturnType => {
            StoreError::refused(format!("{address} does not answer as a Redis server: {error}"))
                .hint("check host and port, and whether it wants TLS")
        }
        ErrorKind::InvalidClientConfig => {
            StoreError::new(StoreErrorKind::Settings, error.to_string())
        }
        // The driver's list of kinds is open; what it adds is an error like any other.
        _ => StoreError::refused(error.to_string()),
    }
}

fn of_connection(address: &str, error: &RedisError) -> StoreError {
    let said = error.to_string();
    let message = format!("{address}: {said}");
    if said.contains("invalid peer certificate") || said.contains("CertificateRequired") {
        return StoreError::new(StoreErrorKind::Credentials, message)
            .hint("check `ca_file`, the name in the server's certificate, and the client's own");
    }
    if error.is_timeout() {
        return StoreError::unreachable(format!("{address} did not answer in time"));
    }
    if said == "broken pipe" {
        return StoreError::unreachable(format!("{address} closed the connection"));
    }
    StoreError::unreachable(message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_pass_is_unreachable_and_what_stays_is_refused() {
        for code in ["LOADING", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN"] {
            assert_eq!(of_server(code, "x").kind, StoreErrorKind::Unreachable, "{code}");
        }
        for code in ["OOM", "READONLY", "NOPERM"] {
            let error = of_server(code, "x");
            assert_eq!(error.kind, StoreErrorKind::Refused, "{code}");
            assert!(error.hint.is_some(), "{code}");
        }
        assert_eq!(of_server("WRONGPASS", "x").kind, StoreErrorKind::Credentials);
        let full = of_server("ERR", "max number of clients reached");
        assert_eq!(full.kind, StoreErrorKind::Unreachable);
    }

    #[test]
    fn arguments_are_not_repeated() {
        let error = of_server("ERR", "unknown command 'SETT', with args beginning with: 'k' 'pw' ");
        assert_eq!(error.to_string(), "unknown command 'SETT' [ERR]");
    }

    #[test]
    fn an_answer_changed_nothing_and_silence_may_have() {
        assert_eq!(failure(of_server("LOADING", "x")).effect, Effect::None);
        assert_eq!(failure(of_server("LOADING", "x")).why, Why::Unreachable);
        assert_eq!(failure(StoreError::unreachable("gone")).effect, Effect::Unknown);
    }
}
