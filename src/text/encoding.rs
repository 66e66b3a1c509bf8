//! Files that are not UTF-8, and what a file says of its encoding to psql.

use std::borrow::Cow;

use squawk_lexer::{TokenKind, tokenize};

use super::psql::mask;

/// Why the bytes of a file cannot be taken for its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// From this byte on it is not UTF-8, and it does not say what else.
    NotUtf8(usize),
    /// It says that it is in this encoding, which is not read here.
    Other(String),
    /// It says that it is in this encoding, and is UTF-8.
    Contradicted(String),
    /// It says first this and then that.
    Several(String, String),
}

/// The text of a SQL file: UTF-8, or LATIN1 where the file says so to psql.
///
/// psql hands the bytes on, and the server decodes them; here the file is decoded as it is read. Where a
/// file that says LATIN1 is UTF-8 in truth, psql would store other characters than are seen in an editor.
pub fn decode(bytes: &[u8]) -> Result<Cow<'_, str>, Trouble> {
    match std::str::from_utf8(bytes) {
        Ok(text) if text.is_ascii() || !speaks_of_another(text) => Ok(text.into()),
        Ok(text) => match one(declared(text))? {
            Some(name) if !is_utf8(&name) => Err(Trouble::Contradicted(name)),
            _ => Ok(text.into()),
        },
        Err(error) => {
            // A byte each is a character each: what is ASCII in it stays so.
            let latin1: String = bytes.iter().map(|byte| char::from(*byte)).collect();
            match one(declared(&latin1))? {
                Some(name) if is_latin1(&name) => Ok(latin1.into()),
                Some(name) if !is_utf8(&name) => Err(Trouble::Other(name)),
                _ => Err(Trouble::NotUtf8(error.valid_up_to())),
            }
        }
    }
}

/// The name by which `iconv` knows an encoding of PostgreSQL.
pub fn for_iconv(name: &str) -> String {
    match plain(name).as_str() {
        "LATIN9" => "ISO-8859-15".to_string(),
        "LATIN10" => "ISO-8859-16".to_string(),
        "KOI8" | "KOI8R" => "KOI8-R".to_string(),
        "KOI8U" => "KOI8-U".to_string(),
        "WIN" => "CP1251".to_string(),
        plain => match plain.strip_prefix("WIN") {
            Some(number) => format!("CP{number}"),
            None => name.to_uppercase().replace('_', "-"),
        },
    }
}

/// Whether the text has to be looked at closely: nearly every dump says that it is UTF-8.
fn speaks_of_another(text: &str) -> bool {
    text.lines().map(str::trim_start).any(|line| {
        let begins =
            |with: &str| line.get(..with.len()).is_some_and(|s| s.eq_ignore_ascii_case(with));
        let is_one = begins(r"\encoding") || begins("set ");
        let lower = if is_one { line.to_lowercase() } else { String::new() };
        (lower.contains("encoding") || lower.contains("names")) && !lower.contains("utf8")
    })
}

fn one(names: Vec<String>) -> Result<Option<String>, Trouble> {
    let mut names = names.into_iter();
    let Some(first) = names.next() else { return Ok(None) };
    match names.find(|other| plain(other) != plain(&first)) {
        Some(other) => Err(Trouble::Several(first, other)),
        None => Ok(Some(first)),
    }
}

/// The encodings that a file says it is in: `SET client_encoding = 'LATIN1'`, `SET NAMES 'LATIN1'`,
/// `\encoding LATIN1`.
fn declared(text: &str) -> Vec<String> {
    let Ok(masked) = mask(text) else { return Vec::new() };
    let mut found = Vec::new();
    for line in &masked.passed {
        found.extend(text[line.clone()].strip_prefix(r"\encoding").map(str::trim).map(unquoted));
    }
    let mut words: Vec<&str> = Vec::new();
    let mut at = 0;
    for token in tokenize(&masked.text) {
        let word = &masked.text[at..at + token.len as usize];
        at += word.len();
        match token.kind {
            TokenKind::Whitespace | TokenKind::LineComment | TokenKind::BlockComment { .. } => {}
            TokenKind::Semi => {
                found.extend(of_statement(&words).map(unquoted));
                words.clear();
            }
            _ => words.push(word),
        }
    }
    found
}

/// The encoding that a statement sets for the client.
pub fn of_statement<'w>(words: &[&'w str]) -> Option<&'w str> {
    let is = |word: &str, other: &str| word.trim_matches('"').eq_ignore_ascii_case(other);
    let (first, rest) = words.split_first()?;
    let rest = match rest.first() {
        Some(scope) if is(scope, "session") || is(scope, "local") => &rest[1..],
        _ => rest,
    };
    match rest {
        [name, value] if is(first, "set") && is(name, "names") => Some(value),
        [name, _, value] if is(first, "set") && is(name, "client_encoding") => Some(value),
        _ => None,
    }
}

fn unquoted(value: &str) -> String {
    value.trim_matches(['\'', '"']).to_string()
}

fn plain(name: &str) -> String {
    name.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_uppercase()
}

fn is_utf8(name: &str) -> bool {
    // Without an encoding the server takes the bytes as they are.
    matches!(plain(name).as_str(), "UTF8" | "UNICODE" | "SQLASCII" | "DEFAULT")
}

fn is_latin1(name: &str) -> bool {
    matches!(plain(name).as_str(), "LATIN1" | "ISO88591")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_in_the_encoding_that_it_says() {
        let latin1 = |text: &str| text.chars().map(|c| c as u8).collect::<Vec<u8>>();
        for head in [
            "SET client_encoding = 'LATIN1';",
            "set session client_encoding to latin1;",
            "SET NAMES 'iso-8859-1';",
            "\\encoding LATIN1\nselect 1;",
        ] {
            let text = format!("-- é\n{head}\nselect 'é', 'SET client_encoding = UTF8;';");
            assert_eq!(decode(&latin1(&text)).as_deref(), Ok(text.as_str()), "{head}");
            assert!(matches!(decode(text.as_bytes()), Err(Trouble::Contradicted(_))), "{head}");
        }
        let other = latin1("set client_encoding = 'WIN1252'; select 'é'");
        assert_eq!(decode(&other), Err(Trouble::Other("WIN1252".into())));
        let two = latin1("set client_encoding = LATIN1; set client_encoding = UTF8; select 'é'");
        assert_eq!(decode(&two), Err(Trouble::Several("LATIN1".into(), "UTF8".into())));
        assert_eq!(decode(&latin1("select 'é'")), Err(Trouble::NotUtf8(8)));
        for fine in
            ["select 'é'", "set client_encoding = 'UTF8'; select 'é'", "\\encoding LATIN1\n"]
        {
            assert_eq!(decode(fine.as_bytes()).as_deref(), Ok(fine));
        }
    }

    #[test]
    fn iconv_has_names_of_its_own() {
        for (name, iconv) in [("WIN1252", "CP1252"), ("euc_jp", "EUC-JP"), ("LATIN2", "LATIN2")] {
            assert_eq!(for_iconv(name), iconv);
        }
    }
}
