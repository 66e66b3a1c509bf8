//! Characters that nobody sees, and words that a terminal or a CI runner obeys: foreign text is shown
//! without either.
//!
//! What is shown is made of items: a message, a name, a cell of a table. An item that may hold foreign text
//! goes through [`line()`] or [`block()`], so that the line breaks which remain are our own; all text goes
//! through [`harmless`] on its way out, so that none that was forgotten does harm.

use std::borrow::Cow;

/// Whether `c` breaks a line, moves the cursor, turns the direction of writing, or is obeyed unseen.
pub fn is_unseen(c: char) -> bool {
    c.is_control() || breaks_line(c) || is_bidi(c)
}

/// Whether a line ends there for one reader or the other.
pub fn breaks_line(c: char) -> bool {
    matches!(c, '\n' | '\r' | '\u{b}' | '\u{c}' | '\u{85}' | '\u{2028}' | '\u{2029}')
}

fn is_bidi(c: char) -> bool {
    matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// `text` in one line, with an escape in the place of what is unseen.
pub fn line(text: &str) -> Cow<'_, str> {
    escaped(text, is_unseen)
}

/// `text` as one item: what comes after a line break in it is set off by a bar.
pub fn block(text: &str) -> Cow<'_, str> {
    let text = text.trim_end();
    match text.contains('\n') {
        false => line(text),
        true => {
            let lines = text.split('\n').map(|one| line(one.strip_suffix('\r').unwrap_or(one)));
            Cow::Owned(lines.collect::<Vec<_>>().join("\n  | "))
        }
    }
}

/// `text` with one visible character in the place of each that is unseen, so that columns stay what they
/// are. Tabs stay.
pub fn in_columns(text: &str) -> Cow<'_, str> {
    let other = |c: char| is_unseen(c) && c != '\t';
    match text.contains(other) {
        false => Cow::Borrowed(text),
        true => Cow::Owned(text.chars().map(|c| if other(c) { picture(c) } else { c }).collect()),
    }
}

/// `text`, whose line breaks are our own, as a terminal or a log may have it; with `colours`, those that
/// are in it stay.
pub fn harmless(text: &str, colours: bool) -> Cow<'_, str> {
    let is_harmful = |c: char| is_unseen(c) && c != '\n' && c != '\t';
    if !text.contains(is_harmful) && !text.contains("##") && !text.contains("::") {
        return Cow::Borrowed(text);
    }
    let lines = text.split('\n').map(|one| {
        let one = match colours {
            true => in_colour(one),
            false => escaped(one, is_harmful),
        };
        disobeyed(&one)
    });
    Cow::Owned(lines.collect::<Vec<_>>().join("\n"))
}

/// A line with its colours, and nothing else that is unseen.
fn in_colour(line: &str) -> Cow<'_, str> {
    let mut shown = String::with_capacity(line.len());
    let mut rest = line;
    while let Some(start) = rest.find('\u{1b}') {
        shown.push_str(&escaped(&rest[..start], |c| is_unseen(c) && c != '\t'));
        let length = colour(&rest[start..]);
        let end = start + length.unwrap_or(1);
        match length {
            Some(_) => shown.push_str(&rest[start..end]),
            None => shown.push_str("\\u{1b}"),
        }
        rest = &rest[end..];
    }
    shown.push_str(&escaped(rest, |c| is_unseen(c) && c != '\t'));
    Cow::Owned(shown)
}

/// The length of the sequence at the beginning of `text`, if it sets a colour.
fn colour(text: &str) -> Option<usize> {
    let codes = text.strip_prefix("\u{1b}[")?;
    let end = codes.find(|c: char| !(c.is_ascii_digit() || c == ';'))?;
    codes[end..].starts_with('m').then_some(end + 3)
}

/// A line that no CI runner takes for a command: GitHub's stand at its beginning (`::name::`) or anywhere
/// (`##[name]`), and so do those of others (`##vso[…]`, `##teamcity[…]`).
fn disobeyed(line: &str) -> String {
    let blanks = line.len() - line.trim_start().len();
    let mut shown = line.to_string();
    if line[blanks..].starts_with("::") {
        shown.insert(blanks, '\\');
    }
    for at in commands(&shown).into_iter().rev() {
        shown.insert(at + 1, '\\');
    }
    shown
}

/// Where in `text` a command of the form `##name[` begins.
pub fn commands(text: &str) -> Vec<usize> {
    let pairs = text.as_bytes().windows(2).enumerate().filter(|(_, pair)| pair == b"##");
    let is_command = |at: &usize| {
        let name = text[at + 2..].trim_start_matches(|c: char| c.is_ascii_alphanumeric());
        name.starts_with('[')
    };
    pairs.map(|(at, _)| at).filter(is_command).collect()
}

fn escaped(text: &str, is_unseen: impl Fn(char) -> bool) -> Cow<'_, str> {
    if !text.contains(&is_unseen) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        match is_unseen(c) {
            false => shown.push(c),
            // \n, \r, \t, or \u{1b}.
            true if c.is_ascii() => shown.extend(c.escape_default()),
            true => shown.extend(c.escape_unicode()),
        }
    }
    Cow::Owned(shown)
}

fn picture(c: char) -> char {
    match u32::from(c) {
        code @ 0..0x20 => char::from_u32(0x2400 + code).unwrap_or('\u{fffd}'),
        0x7f => '\u{2421}',
        _ => '\u{fffd}',
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_item_has_no_line_breaks_of_others() {
        assert_eq!(
            line("a\nb\r\u{1b}[2J\u{7}\u{202e}\u{2028}\u{85}\t"),
            r"a\nb\r\u{1b}[2J\u{7}\u{202e}\u{2028}\u{85}\t"
        );
        assert_eq!(block("a\r\n::b\n c\r\u{9b}d\n"), "a\n  | ::b\n  |  c\\r\\u{9b}d");
        assert_eq!(line("ünï 日本 \u{200d}"), "ünï 日本 \u{200d}");
        assert_eq!(in_columns("a\tb\u{1b}c\u{202e}\u{85}\u{7f}"), "a\tb␛c\u{fffd}\u{fffd}␡");
    }

    #[test]
    fn what_was_forgotten_does_no_harm() {
        let plain = |text: &str| harmless(text, false).into_owned();
        assert_eq!(plain("a\n \u{a0}::stop-commands::x"), "a\n \u{a0}\\::stop-commands::x");
        assert_eq!(plain("a ::b:: c::text"), "a ::b:: c::text");
        assert_eq!(
            plain("a ##[error]b ##vso[c] ###[d] ## [e]"),
            "a #\\#[error]b #\\#vso[c] ##\\#[d] ## [e]"
        );
        assert_eq!(plain("\u{1b}[1mx\u{1b}[0m\ty"), "\\u{1b}[1mx\\u{1b}[0m\ty");
        let coloured = |text: &str| harmless(text, true).into_owned();
        assert_eq!(coloured("\u{1b}[1;31mx\u{1b}[0m"), "\u{1b}[1;31mx\u{1b}[0m");
        assert_eq!(
            coloured("\u{1b}[2J\u{1b}]0;t\u{7}\u{1b}"),
            "\\u{1b}[2J\\u{1b}]0;t\\u{7}\\u{1b}"
        );
    }
}
