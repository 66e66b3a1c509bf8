//! The environment of the tool's own sessions and questions: one list, whatever a role, a database or
//! a URL is set to.

use super::literal;

/// What a session is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// The tool's own tables and questions: in the fixed environment.
    Ours,
    /// The user's SQL: in the environment that psql has, and what is asked over it by
    /// [`Session::ask`](super::Session::ask).
    Users,
}

/// Where names without a schema are looked up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Names {
    /// In `pg_catalog` alone.
    Ours,
    /// Where the user's SQL finds them.
    Users,
}

/// What every session is set to. `idle_session_timeout` is of PostgreSQL 14.
pub(super) const SESSION: [(&str, &str); 7] = [
    ("lock_timeout", "5000"),
    ("statement_timeout", "0"),
    ("idle_in_transaction_session_timeout", "0"),
    ("idle_session_timeout", "0"),
    ("tcp_keepalives_idle", "10"),
    ("tcp_keepalives_interval", "5"),
    ("tcp_keepalives_count", "3"),
];

/// What the text of definitions and values depends on, what hides rows, and how such text is read.
///
/// pg_dump sets most of them, for the same reason. Of all the settings of PostgreSQL 16 that a user or
/// a superuser may change, only the first eight and `standard_conforming_strings` changed anything of
/// what a shape records, for objects of every kind. `row_security = off` turns silently hidden
/// rows into an error. The last four are for repairs, which are made of recorded text: how NULL in an array,
/// `= NULL` and XML are read, and that a function's body may find its names when it runs.
const FIXED: [(&str, &str); 15] = [
    (SEARCH_PATH, ""),
    (TIME_ZONE.0, TIME_ZONE.1),
    ("DateStyle", "ISO, YMD"),
    ("IntervalStyle", "postgres"),
    ("bytea_output", "hex"),
    ("extra_float_digits", "3"),
    ("lc_monetary", "C"),
    ("quote_all_identifiers", "off"),
    ("standard_conforming_strings", "on"),
    ("row_security", "off"),
    ("default_transaction_isolation", "read committed"),
    ("array_nulls", "on"),
    ("transform_null_equals", "off"),
    ("xmloption", "content"),
    ("check_function_bodies", "off"),
];

/// A setting of our own, by which a session of the user's SQL tells that it was given its options.
pub const BEGAN: &str = "aiplat_migrate.began";

const SEARCH_PATH: &str = "search_path";

/// UTC, in a spelling that no server has by itself: the server reports it, and so a session tells by
/// itself whether it was given its options. `initdb` sets every date style there is, by locale.
const TIME_ZONE: (&str, &str) = ("TimeZone", "UTC0");

/// The options that a session starts with, around those `given` in the URL: in a session of ours ours
/// win, since the last one counts.
pub(super) fn options(purpose: Purpose, given: &str) -> String {
    let (session, fixed) = (as_options(&SESSION), as_options(&FIXED));
    let all = match purpose {
        Purpose::Ours => format!("{given} {session} {fixed}"),
        Purpose::Users => format!("-c {BEGAN}=on {session} {given}"),
    };
    all.trim().to_string()
}

fn as_options(settings: &[(&str, &str)]) -> String {
    let option = |(name, value): &(&str, &str)| format!("-c {name}={}", value.replace(' ', "\\ "));
    settings.iter().map(option).collect::<Vec<_>>().join(" ")
}

/// SQL that sets what [`options`] could not.
pub(super) fn afterwards(purpose: Purpose) -> String {
    let fixed: &[(&str, &str)] = match purpose {
        Purpose::Ours => &FIXED,
        Purpose::Users => &[],
    };
    // A server may be too old to know all of them.
    let (names, values): (Vec<String>, Vec<String>) =
        SESSION.iter().map(|(name, value)| (literal(name), literal(value))).unzip();
    let session = format!(
        "SELECT pg_catalog.set_config(s.name, w.value, false) FROM pg_catalog.pg_settings s, \
         ROWS FROM (pg_catalog.unnest(ARRAY[{}]), pg_catalog.unnest(ARRAY[{}])) w (name, value) \
         WHERE s.name OPERATOR(pg_catalog.=) w.name",
        names.join(", "),
        values.join(", ")
    );
    match fixed {
        [] => session,
        fixed => format!("{session};\n{}", select(fixed.iter(), false)),
    }
}

/// A statement that sets the fixed environment until the end of the transaction that it is in.
pub fn until_commit(names: Names) -> String {
    select(fixed(names), true)
}

/// A statement that sets the fixed environment until it is reset.
pub fn until_reset() -> String {
    select(FIXED.iter(), false)
}

/// The same as [`until_commit`], for a question: whatever is asked then writes nothing.
pub(super) fn of_question(names: Names) -> String {
    select(fixed(names).chain(&OF_QUESTION), true)
}

/// A question of many parts has a high estimate and takes little time: compiling it would take more.
const OF_QUESTION: [(&str, &str); 2] = [("transaction_read_only", "on"), ("jit", "off")];

fn fixed(names: Names) -> impl Iterator<Item = &'static (&'static str, &'static str)> {
    FIXED.iter().filter(move |(name, _)| names == Names::Ours || *name != SEARCH_PATH)
}

fn select<'s>(
    settings: impl Iterator<Item = &'s (&'s str, &'s str)>,
    until_commit: bool,
) -> String {
    let set = |(name, value): &(&str, &str)| {
        format!("pg_catalog.set_config('{name}', '{value}', {until_commit})")
    };
    format!("SELECT {}", settings.map(set).collect::<Vec<_>>().join(", "))
}

/// Whether a session that just began was given the fixed environment: some poolers take a session's
/// options and pass them on to nobody. The server reports its time zone unasked.
pub(super) fn is_fixed(time_zone: Option<&str>) -> bool {
    time_zone == Some(TIME_ZONE.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ours_are_last_in_sessions_of_ours_and_first_in_those_of_users() {
        let given = "-c search_path=app";
        let ours = options(Purpose::Ours, given);
        assert!(ours.starts_with(given), "{ours}");
        assert!(ours.contains("-c default_transaction_isolation=read\\ committed"), "{ours}");
        let users = options(Purpose::Users, given);
        assert!(users.ends_with(given) && !users.contains("TimeZone"), "{users}");
    }
}
