//! What the driver and the server answer, as the store's errors.

use bson::{Bson, Document, RawBsonRef};
use mongodb::error::{CommandError, Error, ErrorKind};

use crate::store_error::{StoreError, StoreErrorKind};

/// Codes that mean the server we spoke to is not, or no longer, the primary, or the network broke:
/// whether the command took effect is not known.
const TRANSIENT: [i32; 13] =
    [6, 7, 89, 91, 134, 189, 9001, 10058, 10107, 11600, 11602, 13435, 13436];

/// Codes with which the server refuses a command before it does anything.
const BEFORE_ANYTHING: [i32; 15] =
    [2, 9, 13, 14, 26, 59, 72, 73, 115, 166, 167, 197, 10334, 40324, 40415];

pub(super) const UNAUTHORIZED: i32 = 13;
pub(super) const NAMESPACE_NOT_FOUND: i32 = 26;
pub(super) const INDEX_NOT_FOUND: i32 = 27;
pub(super) const NAMESPACE_EXISTS: i32 = 48;
pub(super) const NO_REPLICATION: i32 = 76;
pub(super) const INTERRUPTED: [i32; 3] = [11601, 276, 237];
/// Locks not had in time, write conflicts, an index build in the way.
pub(super) const AGAIN_LATER: [i32; 5] = [24, 46, 112, 117, 12587];

/// The server's code in `error`.
pub(super) fn code(error: &Error) -> Option<i32> {
    match error.kind.as_ref() {
        ErrorKind::Command(command) => Some(command.code),
        _ => None,
    }
}

/// The server's words in `error`, where it refused a command without a code, which the driver calls no
/// reply.
pub(super) fn without_code(error: &Error) -> Option<String> {
    let reply = error.server_response()?;
    let failed = match reply.get("ok").ok()?? {
        RawBsonRef::Double(ok) => ok == 0.0,
        RawBsonRef::Int32(ok) => ok == 0,
        RawBsonRef::Int64(ok) => ok == 0,
        RawBsonRef::Boolean(ok) => !ok,
        _ => false,
    };
    let said = reply.get_str("errmsg").ok()?;
    (failed && code(error).is_none()).then(|| said.to_string())
}

/// Whether the server said `error` before it did anything.
pub(super) fn changed_nothing(code: i32) -> bool {
    BEFORE_ANYTHING.contains(&code)
}

/// `error` in the store's words.
pub(super) fn from_driver(error: &Error) -> StoreError {
    if let Some(said) = without_code(error) {
        return StoreError::refused(said);
    }
    match error.kind.as_ref() {
        ErrorKind::Command(command) => from_command(command),
        ErrorKind::Authentication { message, .. } => {
            StoreError::new(StoreErrorKind::Credentials, message.clone())
                .hint("check user, password and the database that knows the user (`auth_source`)")
        }
        ErrorKind::ServerSelection { message, .. } => not_selected(message),
        ErrorKind::Io(io) if is_certificate(&io.to_string()) => {
            StoreError::new(StoreErrorKind::Credentials, format!("TLS: {io}"))
                .hint("name the authority that signed the server's certificate as `ca_file`")
        }
        ErrorKind::Io(_)
        | ErrorKind::ConnectionPoolCleared { .. }
        | ErrorKind::DnsResolve { .. } => StoreError::unreachable(message(error)),
        ErrorKind::InvalidTlsConfig { .. } => {
            StoreError::new(StoreErrorKind::Settings, message(error))
        }
        // The driver's list of kinds is open: whatever else it says is a refusal.
        _ => StoreError::refused(message(error)),
    }
}

/// The driver's sentence, without the reply in hexadecimal that its own `Display` adds.
pub(super) fn message(error: &Error) -> String {
    match error.kind.as_ref() {
        ErrorKind::InvalidArgument { message, .. } => message.clone(),
        ErrorKind::Io(io) => io.to_string(),
        kind => kind.to_string(),
    }
}

fn from_command(error: &CommandError) -> StoreError {
    let kind = match error.code {
        18 => StoreErrorKind::Credentials,
        code if TRANSIENT.contains(&code) => StoreErrorKind::Unreachable,
        _ => StoreErrorKind::Refused,
    };
    with_hint(StoreError::new(kind, error.message.clone()), error.code, &error.code_name)
}

fn with_hint(error: StoreError, code: i32, name: &str) -> StoreError {
    let error = match name {
        "" => error.code(code.to_string()),
        name => error.code(format!("{name} ({code})")),
    };
    match hint(code) {
        Some(hint) => error.hint(hint),
        None => error,
    }
}

fn hint(code: i32) -> Option<&'static str> {
    Some(match code {
        UNAUTHORIZED => "the user lacks the right: grant it, for example with the role dbAdmin",
        NAMESPACE_NOT_FOUND => "the collection does not exist: create it in an earlier step",
        50 => "it ran into its time limit: raise `statement_timeout` in the file's header",
        85 | 86 => {
            "an index cannot be redefined: change TTL or `hidden` with collMod, anything else with \
             dropIndexes and createIndexes"
        }
        121 => "a document does not fit the collection's validator",
        11000 => "two documents have the same key",
        _ => return None,
    })
}

/// `ok: 1` is not success: errors of single writes and of their durability stand beside it.
pub(super) fn in_reply(reply: &Document) -> Option<StoreError> {
    let writes = reply.get_array("writeErrors").ok().filter(|errors| !errors.is_empty());
    if let Some(errors) = writes {
        return Some(write_errors(errors));
    }
    let concern = reply.get_document("writeConcernError").ok()?;
    Some(
        one_error(concern, "the write concern was not met: ")
            .hint("it was done on the primary; whether a majority will have it is not known"),
    )
}

/// The numbers of the writes that failed, in the order in which the reply names them.
pub(super) fn failed_writes(reply: &Document) -> Vec<usize> {
    let errors = reply.get_array("writeErrors").into_iter().flatten();
    let index = |error: &Bson| number(error.as_document()?, "index")?.try_into().ok();
    errors.filter_map(index).collect()
}

/// Says which of several writes in one command failed, and how far the others came.
pub(super) fn of_several(source: StoreError, reply: &Document, writes: usize) -> StoreError {
    let Some(at) = failed_writes(reply).first().copied().filter(|_| writes > 1) else {
        return source;
    };
    let message = format!(
        "the {} of {writes} writes failed, after {} were changed: {}",
        ordinal(at + 1),
        documents(number(reply, "nModified").or(number(reply, "n")).unwrap_or_default()),
        source.message
    );
    StoreError { message, ..source }
}

fn documents(count: i32) -> String {
    if count == 1 { "1 document".to_string() } else { format!("{count} documents") }
}

/// 1st, 2nd, 3rd, 4th.
pub(super) fn ordinal(number: usize) -> String {
    let suffix = match (number % 10, number % 100) {
        (_, 11..=13) => "th",
        (1, _) => "st",
        (2, _) => "nd",
        (3, _) => "rd",
        (_, _) => "th",
    };
    format!("{number}{suffix}")
}

fn write_errors(errors: &[Bson]) -> StoreError {
    let mut documents = errors.iter().filter_map(Bson::as_document);
    let first = match documents.next() {
        Some(error) => one_error(error, ""),
        None => StoreError::refused("a write failed"),
    };
    documents.take(4).fold(first, |shown, error| {
        let index = number(error, "index").unwrap_or_default();
        shown.detail(format!("write {index}: {}", error.get_str("errmsg").unwrap_or_default()))
    })
}

fn one_error(error: &Document, before: &str) -> StoreError {
    let text = format!("{before}{}", error.get_str("errmsg").unwrap_or("no message"));
    let code = number(error, "code").unwrap_or_default();
    // A primary that steps down answers with a reply, too.
    let kind = match TRANSIENT.contains(&code) {
        true => StoreErrorKind::Unreachable,
        false => StoreErrorKind::Refused,
    };
    let shown = StoreError::new(kind, text);
    let shown = with_hint(shown, code, error.get_str("codeName").unwrap_or(""));
    match error.get_document("errInfo") {
        Ok(info) => shown.detail(shortened(Bson::from(info.clone()).into_relaxed_extjson())),
        Err(_) => shown,
    }
}

fn shortened(info: serde_json::Value) -> String {
    let text = info.to_string();
    match text.char_indices().nth(600) {
        Some((at, _)) => format!("{} …", &text[..at]),
        None => text,
    }
}

fn number(document: &Document, key: &str) -> Option<i32> {
    match document.get(key)? {
        Bson::Int32(value) => Some(*value),
        Bson::Int64(value) => i32::try_from(*value).ok(),
        _ => None,
    }
}

/// No server fitted within the time: the reasons, one per server, are inside the driver's picture
/// of the deployment.
fn not_selected(picture: &str) -> StoreError {
    let mut reasons: Vec<String> = Vec::new();
    for part in picture.split("Address: ").skip(1) {
        let address = part.split([',', ' ']).next().unwrap_or_default();
        if let Some((_, error)) = part.split_once("Error: ") {
            let error = error.split(", labels:").next().unwrap_or(error);
            let error = error.trim_start_matches("Kind: ").trim_start_matches("I/O error: ");
            reasons.push(format!("{address}: {error}"));
        }
    }
    let all = reasons.join("; ");
    if is_certificate(&all) {
        return StoreError::new(StoreErrorKind::Credentials, format!("TLS: {all}"))
            .hint("name the authority that signed the server's certificate as `ca_file`");
    }
    if all.contains("Authentication failed") {
        return StoreError::new(StoreErrorKind::Credentials, all);
    }
    let servers = picture.matches("Address: ").count();
    match (reasons.is_empty(), reasons.len() < servers) {
        (true, _) => StoreError::unreachable(format!("no server that takes writes: {picture}"))
            .hint("is there a primary, and is `replica_set` its set's name?"),
        (false, true) => StoreError::unreachable(format!("no primary among the rest; {all}"))
            .hint("a replica set has a primary only while most of its members are up"),
        (false, false) => closed_hint(StoreError::unreachable(all)),
    }
}

/// What a connection that the server closed at once most often means.
fn closed_hint(error: StoreError) -> StoreError {
    if error.message.contains("close_notify") {
        error.hint("does the server ask for a client certificate? Set `cert_file` and `key_file`")
    } else if error.message.contains("unexpected end of file") {
        error.hint("does the server speak TLS only? Set `tls = true`")
    } else {
        error
    }
}

fn is_certificate(text: &str) -> bool {
    text.contains("certificate") || text.contains("UnknownIssuer")
}

#[cfg(test)]
mod tests {
    use super::*;
    use bson::doc;

    #[test]
    fn ordinals_are_english() {
        for (number, word) in
            [(1, "1st"), (2, "2nd"), (3, "3rd"), (11, "11th"), (112, "112th"), (23, "23rd")]
        {
            assert_eq!(ordinal(number), word);
        }
    }

    #[test]
    fn ok_with_write_errors_is_no_success() {
        let reply = doc! { "ok": 1, "n": 1, "writeErrors": [
            { "index": 1, "code": 11000, "errmsg": "E11000 dup" },
            { "index": 2, "code": 11000, "errmsg": "E11000 dup 2" },
        ] };
        let error = in_reply(&reply).expect("error");
        assert_eq!(error.to_string(), "E11000 dup [11000]");
        assert_eq!(error.details, ["write 2: E11000 dup 2"]);
        assert!(in_reply(&doc! { "ok": 1, "writeErrors": [] }).is_none());
    }

    #[test]
    fn a_primary_that_steps_down_has_gone_away() {
        let reply = doc! { "ok": 1, "n": 5, "writeConcernError": {
            "code": 11602, "codeName": "InterruptedDueToReplStateChange", "errmsg": "interrupted",
        } };
        assert_eq!(in_reply(&reply).expect("error").kind, StoreErrorKind::Unreachable);
    }

    #[test]
    fn an_unmet_write_concern_is_no_success() {
        let reply = doc! { "ok": 1, "writeConcernError": {
            "code": 100, "codeName": "UnsatisfiableWriteConcern", "errmsg": "Not enough nodes",
        } };
        let error = in_reply(&reply).expect("error");
        assert_eq!(error.code.as_deref(), Some("UnsatisfiableWriteConcern (100)"));
    }
}
