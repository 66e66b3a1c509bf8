//! Passwords that are written out in a text: in a migration that names no placeholder, in a connection
//! string, in what a server quotes.

use std::borrow::Cow;
use std::sync::LazyLock;

use regex::{Captures, Regex};

/// Whether something of this name is a secret: an option, a key, a setting.
pub fn is_secret_name(name: &str) -> bool {
    static NAME: LazyLock<Option<Regex>> = LazyLock::new(|| compiled(&format!("(?i)^{KEY}$")));
    NAME.as_ref().is_some_and(|pattern| pattern.is_match(name))
}

/// The end of a name that says that its value is a secret.
const KEY: &str = r"[\w.\-]*(?:passw(?:or)?d|passphrase|passcode|pwd|secret|token|credentials?|private[_\-]?key|api[_\-]?key|access[_\-]?key|requirepass|masterauth|key-file-pass|sasl\.jaas\.config)(?:[_\-]?(?:key|value))?";

/// Each has the secret in its group `it`; what is around it stays.
static PATTERNS: LazyLock<Vec<Regex>> = LazyLock::new(|| {
    let all = [
        // In a literal in a literal: the statement of an EXECUTE.
        r"(?is)\bpassword\s+(?:e|u&)?''(?<it>[^']+)''".to_string(),
        format!(r"(?is)\b{KEY}\s*(?:=|:|,|\bto\b)\s*''(?<it>[^']+)''"),
        // PASSWORD 'x', also of E'…' and U&'…', and of a text between dollars.
        r"(?is)\bpassword\s+(?:e|u&)?'(?<it>(?:[^'\\]|''|\\.)*)".to_string(),
        r"(?is)\bpassword\s+\$\w*\$(?<it>[^$]*)\$".to_string(),
        // key = 'x', key TO 'x', key: "x", key, "x": SQL, TOML, JSON and lists of arguments.
        format!(r#"(?is)\b{KEY}["']?\s*(?:=|:|,|\bto\b)\s*(?:e|u&)?'(?<it>(?:[^'\\]|''|\\.)*)"#),
        format!(r#"(?is)\b{KEY}["']?\s*(?:=|:|,|\bto\b)\s*"(?<it>(?:[^"\\]|\\.)*)"#),
        // key=x in a connection string, ?key=x in a URL.
        format!(r#"(?is)\b{KEY}=(?<it>[^\s'",;&)\]}}…]+)"#),
        // scheme://user:x@host
        r#"(?i)\b[a-z][a-z0-9+.\-]*://[^\s/:@'"]*:(?<it>[^\s/@'"]+)@"#.to_string(),
        // ">x", "<x" and "#hash": the rules of a Redis user.
        r#"["'](?:>|<|#(?:))(?<it>[^"'\s>=<][^"'\s]*)["']"#.to_string(),
        r"(?i)\bsetuser\s.*?\s[><#](?<it>\S+)".to_string(),
        // What the server itself makes of a password.
        r"(?<it>SCRAM-SHA-256\$[0-9]+:[^\s'$]+\$[^\s']+|\bmd5[0-9a-f]{32}\b)".to_string(),
    ];
    all.iter().filter_map(|pattern| compiled(pattern)).collect()
});

fn compiled(pattern: &str) -> Option<Regex> {
    let compiled = Regex::new(pattern);
    debug_assert!(compiled.is_ok(), "{pattern}: {compiled:?}");
    compiled.ok()
}

/// `text` with `…` in place of every password that is written out in it. A placeholder is none.
pub fn hide(text: &str) -> Cow<'_, str> {
    let mut hidden = Cow::Borrowed(text);
    for pattern in PATTERNS.iter() {
        if !pattern.is_match(&hidden) {
            continue;
        }
        let without = pattern.replace_all(&hidden, |found: &Captures<'_>| {
            let (Some(whole), Some(it)) = (found.get(0), found.name("it")) else {
                return String::new();
            };
            let is_placeholder = it.as_str().starts_with("${") && it.as_str().ends_with('}');
            if is_placeholder || it.is_empty() {
                return whole.as_str().to_string();
            }
            let (start, end) = (it.start() - whole.start(), it.end() - whole.start());
            format!("{}…{}", &whole.as_str()[..start], &whole.as_str()[end..])
        });
        hidden = Cow::Owned(without.into_owned());
    }
    hidden
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_that_are_written_out_are_hidden() {
        for (text, shown) in [
            ("CREATE ROLE x PASSWORD 'it''s' LOGIN", "CREATE ROLE x PASSWORD '…' LOGIN"),
            (
                "EXECUTE 'CREATE ROLE x PASSWORD ''pw'' LOGIN'",
                "EXECUTE 'CREATE ROLE x PASSWORD ''…'' LOGIN'",
            ),
            ("ALTER USER x password E'a\\'b'", "ALTER USER x password E'…'"),
            ("ALTER ROLE x PASSWORD $q$pw$q$;", "ALTER ROLE x PASSWORD $q$…$q$;"),
            ("OPTIONS (user 'u', password 'p')", "OPTIONS (user 'u', password '…')"),
            (
                "CONNECTION 'host=h password=pw1 dbname=d'",
                "CONNECTION 'host=h password=… dbname=d'",
            ),
            ("CONNECTION 'postgres://u:pw@h/d'", "CONNECTION 'postgres://u:…@h/d'"),
            (
                "{ createUser: \"r\", pwd: \"pw\", roles: [] }",
                "{ createUser: \"r\", pwd: \"…\", roles: [] }",
            ),
            ("{ 'pwd': 'pw' }", "{ 'pwd': '…' }"),
            (
                "{ acl: { user: 'a', rules: ['on', '>pw', '~a:*'] } }",
                "{ acl: { user: 'a', rules: ['on', '>…', '~a:*'] } }",
            ),
            ("[\"requirepass\", \"pw\"]", "[\"requirepass\", \"…\"]"),
            (
                "ALTER DATABASE d SET app.jwt_secret TO 'pw'",
                "ALTER DATABASE d SET app.jwt_secret TO '…'",
            ),
            ("SET app.secret_key = 'pw';", "SET app.secret_key = '…';"),
            ("ACL SETUSER app on >pw ~*", "ACL SETUSER app on >… ~*"),
            ("it is SCRAM-SHA-256$4096:c2FsdA==$a=:b=", "it is …"),
        ] {
            assert_eq!(hide(text), shown);
        }
    }

    #[test]
    fn what_is_no_password_stays() {
        for text in [
            "CREATE ROLE x PASSWORD '${pw}'",
            "SELECT a FROM t WHERE token = t.token AND a > '5'",
            "CREATE TABLE users (password text NOT NULL DEFAULT '')",
            "ALTER ROLE x PASSWORD NULL",
            "createUser reports",
            "see https://example.com:8080/a@b",
        ] {
            assert_eq!(hide(text), text);
        }
    }
}
