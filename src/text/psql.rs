//! What psql reads of an SQL file itself, before the server does: the data of `COPY … FROM stdin`, and its
//! own commands, lines with a backslash.
//!
//! Of the commands only those are passed over that do nothing to what the file does: `\restrict` and
//! `\unrestrict`, which pg_dump writes around a dump since 16.10, and `\encoding`, since the text was decoded
//! when it was read.

use std::ops::Range;

use squawk_lexer::{LiteralKind, TokenKind, tokenize};

use super::document::{ScriptError, Span};
use super::meta_command;

/// Past this depth no human wrote the file.
const DEEPEST: usize = 500;

/// A `COPY … FROM stdin` with its data in the text.
pub struct Copy {
    /// The semicolon that ends the statement.
    pub semicolon: usize,
    /// The data, without the closing `\.`.
    pub data: Range<usize>,
}

/// What is left for the server, and what is not.
pub struct Masked {
    /// The text with blanks for COPY data and the lines passed over; what is left keeps its place.
    pub text: String,
    /// The COPY data.
    pub copies: Vec<Copy>,
    /// The lines of psql's own that are passed over.
    pub passed: Vec<Span>,
    /// The first plain literal with a backslash, which is another text to a session with
    /// `standard_conforming_strings` off.
    pub backslash: Option<Span>,
}

/// Blanks out what no SQL lexer can read, and refuses what no server would accept.
///
/// Errors, all of them: psql's own commands and variables; `COPY … TO STDOUT`. Or the first of these: an
/// unterminated quote, comment or dollar quote; nesting past 500 levels; data without its closing `\.`.
pub fn mask(text: &str) -> Result<Masked, ScriptError> {
    let mut scanner = Scanner::of(text);
    let mut copies = Vec::new();
    while let Some(semicolon) = scanner.next_copy()? {
        let start = text[semicolon..].find('\n').map_or(text.len(), |at| semicolon + at + 1);
        let Some((end, next)) = end_of_data(text, start) else {
            let place = semicolon..semicolon + 1;
            return Err(scanner.or(ScriptError::new(
                place,
                "the data of this COPY … FROM stdin never ends",
            )
            .hint("close it with a line that holds only `\\.`")));
        };
        copies.push(Copy { semicolon, data: start..end });
        scanner.go_on(start, next);
    }
    let Scanner { passed, data, backslash, mistakes, .. } = scanner;
    if let Some(mistake) = ScriptError::all(mistakes.into_iter().map(Mistake::told).collect()) {
        return Err(mistake);
    }
    let text = blanked(text, passed.iter().chain(&data));
    Ok(Masked { text, copies, passed, backslash })
}

/// `text` with blanks in these places, none of which is longer or shorter for it.
pub fn blanked<'s>(text: &str, places: impl Iterator<Item = &'s Span>) -> String {
    let mut places: Vec<&Span> = places.collect();
    places.sort_by_key(|place| place.start);
    let (mut result, mut from) = (String::with_capacity(text.len()), 0);
    for place in places {
        result.push_str(&text[from..place.start]);
        let blank = |byte| if byte == b'\n' { '\n' } else { ' ' };
        result.extend(text[place.clone()].bytes().map(blank));
        from = place.end;
    }
    result.push_str(&text[from..]);
    result
}

/// The line of psql's own that begins at the byte `at` and is passed over.
pub fn passed_line(text: &str, at: usize) -> Option<Span> {
    let end = text[at..].find('\n').map_or(text.len(), |end| at + end);
    let is_first = text[..at].chars().next_back().is_none_or(|before| before == '\n');
    let words: Vec<&str> = text[at..end].split_whitespace().collect();
    let is_key = |key: &str| key.bytes().all(|byte| byte.is_ascii_alphanumeric());
    let is_passed = match words.as_slice() {
        [r"\restrict" | r"\unrestrict", key] => is_key(key),
        [r"\encoding", _] => true,
        _ => false,
    };
    (is_first && is_passed).then_some(at..end)
}

/// Where the COPY data that begins at `start` ends: its last byte, and the byte after its `\\.` line.
fn end_of_data(text: &str, start: usize) -> Option<(usize, usize)> {
    let mut at = start;
    for line in text[start..].split_inclusive('\n') {
        if line.trim_end_matches(['\n', '\r']) == "\\." {
            return Some((at, at + line.len()));
        }
        at += line.len();
    }
    None
}

/// A mistake that may be made many times in a file: told once, with its number.
struct Mistake {
    what: String,
    first: ScriptError,
    times: usize,
}

impl Mistake {
    fn told(self) -> ScriptError {
        let Mistake { mut first, times, .. } = self;
        if times > 1 {
            first.message = format!("{}; {times} times in this file", first.message);
        }
        first
    }
}

/// Goes through a text from one `COPY … FROM stdin` to the next.
pub(super) struct Scanner<'t> {
    text: &'t str,
    at: usize,
    statement: Statement,
    passed: Vec<Span>,
    data: Vec<Span>,
    mistakes: Vec<Mistake>,
    backslash: Option<Span>,
    /// Where `standard_conforming_strings` was set to off.
    strings_off: Option<Span>,
    /// Where a colon ends that stands alone.
    colon: Option<usize>,
}

/// What was seen of a statement so far.
#[derive(Default)]
struct Statement {
    first: First,
    /// The last word or sign, in lower case.
    previous: String,
    /// Whether a colon is SQL, for each bracket that is open: `a[1:2]`, `JSON_OBJECT('a': 1)`.
    open: Vec<bool>,
    from_stdin: bool,
    /// The setting whose value comes next.
    setting: Option<Setting>,
}

#[derive(Clone, Copy, Default, PartialEq)]
enum First {
    #[default]
    None,
    Copy,
    Set,
    Other,
}

/// A setting on which it depends what the file's text means.
#[derive(Clone, Copy, PartialEq)]
enum Setting {
    Strings,
    /// `set_config('client_encoding', …)`: the statement cannot be left out.
    Encoding,
}

impl<'t> Scanner<'t> {
    pub(super) fn of(text: &'t str) -> Scanner<'t> {
        Scanner {
            text,
            at: 0,
            statement: Statement::default(),
            passed: Vec::new(),
            data: Vec::new(),
            mistakes: Vec::new(),
            backslash: None,
            strings_off: None,
            colon: None,
        }
    }

    /// Goes on behind the data of a COPY, which the line of the COPY may be longer than.
    fn go_on(&mut self, start: usize, next: usize) {
        self.data.push(start..next);
        self.at = next;
    }

    /// The semicolon that ends the next `COPY … FROM stdin`.
    pub(super) fn next_copy(&mut self) -> Result<Option<usize>, ScriptError> {
        loop {
            let begin = self.at;
            let mut ended = true;
            for token in tokenize(&self.text[begin..]) {
                let span = self.at..self.at + token.len as usize;
                self.at = span.end;
                if token.kind == TokenKind::Unknown && self.text[span.clone()].starts_with('\\') {
                    self.meta_command(span.start);
                    ended = false;
                    break;
                }
                if self.token(token.kind, span.clone())? {
                    return Ok(Some(span.start));
                }
            }
            if ended {
                return Ok(None);
            }
        }
    }

    /// Takes a token; whether it ends a `COPY … FROM stdin`.
    fn token(&mut self, kind: TokenKind, span: Span) -> Result<bool, ScriptError> {
        let word = &self.text[span.clone()];
        match kind {
            TokenKind::Whitespace | TokenKind::LineComment => return Ok(false),
            TokenKind::BlockComment { terminated } => {
                return match terminated {
                    true => Ok(false),
                    false => Err(self.never_closed("comment", span.start)),
                };
            }
            TokenKind::Literal { .. } => self.literal(kind, word, &span)?,
            TokenKind::QuotedIdent { terminated: false, .. } => {
                return Err(self.never_closed("quoted name", span.start));
            }
            _ => {}
        }
        self.look_for_variable(kind, word, &span);
        match kind {
            TokenKind::OpenParen | TokenKind::OpenBracket => self.open(kind, &span)?,
            TokenKind::CloseParen | TokenKind::CloseBracket => {
                self.statement.open.pop();
            }
            TokenKind::Semi => {
                let ended = std::mem::take(&mut self.statement);
                return Ok(ended.first == First::Copy && ended.from_stdin);
            }
            _ => self.word(kind, word, &span),
        }
        if matches!(kind, TokenKind::Literal { .. })
            && let Some(setting) = self.named_in_call(word, span.start)
        {
            self.statement.setting = Some(setting);
        }
        self.statement.previous = word.to_lowercase();
        Ok(false)
    }

    fn open(&mut self, kind: TokenKind, span: &Span) -> Result<(), ScriptError> {
        let is_slice = kind == TokenKind::OpenBracket;
        let is_json = self.statement.previous.starts_with("json_object");
        let is_inside = self.statement.open.last().is_some_and(|inside| *inside);
        self.statement.open.push(is_slice || is_json || is_inside);
        if self.statement.open.len() > DEEPEST {
            let message = format!("nested more than {DEEPEST} levels deep");
            return Err(self.or(ScriptError::new(span.clone(), message)));
        }
        Ok(())
    }

    fn word(&mut self, kind: TokenKind, word: &str, span: &Span) {
        let is = |other: &str| word.trim_matches('"').eq_ignore_ascii_case(other);
        let is_name = matches!(kind, TokenKind::Ident | TokenKind::QuotedIdent { .. });
        let statement = &mut self.statement;
        if let Some(setting) = statement.setting
            && (is_name || matches!(kind, TokenKind::Literal { .. }))
            && !is("to")
        {
            statement.setting = None;
            return self.set(setting, &word.trim_matches('\'').to_lowercase(), span);
        }
        match statement.first {
            First::None => {
                statement.first = match is_name {
                    true if is("copy") => First::Copy,
                    true if is("set") => First::Set,
                    _ => First::Other,
                }
            }
            First::Copy if statement.open.is_empty() && (is("stdin") || is("stdout")) => {
                // To the server they are the same: the client's end of the line.
                match statement.previous.as_str() {
                    "from" => statement.from_stdin = true,
                    "to" => self.copy_to_client(span),
                    _ => {}
                }
            }
            First::Set if is_name && is("standard_conforming_strings") => {
                statement.setting = Some(Setting::Strings);
            }
            First::Copy | First::Set | First::Other => {}
        }
    }

    fn copy_to_client(&mut self, span: &Span) {
        let mistake = ScriptError::new(span.clone(), "COPY … TO STDOUT has nobody to write to")
            .hint("delete the statement; to copy rows, INSERT INTO … SELECT");
        self.mistake("COPY TO STDOUT", mistake);
    }

    /// Takes the value that the file gives to a setting.
    fn set(&mut self, setting: Setting, value: &str, span: &Span) {
        match setting {
            Setting::Strings => {
                // The server takes `f` and `of` as well.
                let is_off = ["off", "false", "no", "0"].iter().any(|off| off.starts_with(value))
                    && !matches!(value, "" | "o");
                self.strings_off = is_off.then(|| span.clone());
            }
            Setting::Encoding => self.mistake(
                "client_encoding",
                ScriptError::new(span.clone(), "set_config may not change client_encoding here")
                    .hint("write `SET client_encoding = '…';`, which is passed over; the file is read as it says"),
            ),
        }
    }

    fn literal(&mut self, kind: TokenKind, word: &str, span: &Span) -> Result<(), ScriptError> {
        let TokenKind::Literal { kind } = kind else { return Ok(()) };
        let is_plain = matches!(kind, LiteralKind::Str { .. } | LiteralKind::NationalStr { .. });
        if is_plain && word.contains('\\') {
            if let Some(off) = self.strings_off.clone() {
                return Err(self.or(not_conforming(self.text, &off, span)));
            }
            self.backslash.get_or_insert_with(|| span.clone());
        }
        match kind {
            LiteralKind::Str { terminated: false }
            | LiteralKind::NationalStr { terminated: false }
            | LiteralKind::ByteStr { terminated: false }
            | LiteralKind::BitStr { terminated: false }
            | LiteralKind::UnicodeEscStr { terminated: false }
            | LiteralKind::EscStr { terminated: false } => {
                return Err(self.never_closed("quote", span.start));
            }
            LiteralKind::DollarQuotedString { terminated: false } => {
                return Err(self.never_closed("dollar quote", span.start));
            }
            _ => {}
        }
        Ok(())
    }

    /// The setting whose value follows in a call of `set_config`.
    fn named_in_call(&self, word: &str, at: usize) -> Option<Setting> {
        if self.statement.previous != "(" || !self.calls_set_config(at) {
            return None;
        }
        match word.trim_matches('\'').to_lowercase().as_str() {
            "standard_conforming_strings" => Some(Setting::Strings),
            "client_encoding" => Some(Setting::Encoding),
            _ => None,
        }
    }

    /// Whether what stands before the byte `at` calls `set_config`.
    fn calls_set_config(&self, at: usize) -> bool {
        let before = self.text[..at].trim_end().trim_end_matches('(').trim_end();
        let start = before.len().saturating_sub("set_config".len());
        before.get(start..).is_some_and(|name| name.eq_ignore_ascii_case("set_config"))
    }

    /// psql puts the value of a variable in place of `:name`, `:'name'`, `:"name"`. Outside brackets no SQL
    /// has a colon that stands alone.
    fn look_for_variable(&mut self, kind: TokenKind, word: &str, span: &Span) {
        let colon = self.colon.take().filter(|end| *end == span.start);
        if kind == TokenKind::Colon {
            // Two of them are a cast.
            self.colon = colon.is_none().then_some(span.end);
            return;
        }
        let is_sql = self.statement.open.last().is_some_and(|inside| *inside);
        let is_named = match kind {
            TokenKind::Ident | TokenKind::QuotedIdent { .. } | TokenKind::OpenCurly => true,
            TokenKind::Literal { kind } => matches!(kind, LiteralKind::Str { .. }),
            _ => false,
        };
        if let Some(end) = colon.filter(|_| is_named && !is_sql) {
            let name = word.trim_matches(['\'', '"']);
            let place = end - 1..span.end;
            let message = format!("`:{word}` is a variable of psql, which only psql replaces");
            let mistake = ScriptError::new(place, message).hint(meta_command::variable(name));
            self.mistake(&format!(":{word}"), mistake);
        }
    }

    /// Passes a line of psql's own over, or notes it as a mistake.
    fn meta_command(&mut self, at: usize) {
        self.colon = None;
        let text = self.text;
        if self.statement.first == First::None
            && let Some(line) = passed_line(text, at)
        {
            self.at = line.end;
            return self.passed.push(line);
        }
        let end = text[at..].find('\n').map_or(text.len(), |end| at + end);
        let (name, rest) = meta_command::name_and_rest(&text[at + 1..end]);
        self.at = end;
        if name == "copy" && rest.to_lowercase().contains("stdin") {
            self.at = end_of_data(text, (end + 1).min(text.len())).map_or(end, |(_, next)| next);
        }
        // What it ends is no part of the next statement.
        self.statement = Statement::default();
        let message = format!("`\\{name}` is a psql meta-command, which only psql understands");
        let mistake = ScriptError::new(at..at + 1 + name.len(), message)
            .hint(meta_command::way_out(name, rest));
        self.mistake(&format!("\\{name}"), mistake);
    }

    fn mistake(&mut self, what: &str, mistake: ScriptError) {
        match self.mistakes.iter_mut().find(|known| known.what == what) {
            Some(known) => known.times += 1,
            None => self.mistakes.push(Mistake { what: what.into(), first: mistake, times: 1 }),
        }
    }

    fn never_closed(&mut self, what: &str, at: usize) -> ScriptError {
        self.or(ScriptError::new(at..at + 1, format!("this {what} is never closed")))
    }

    /// The mistakes before `last`; or `last`, which may well come of them.
    fn or(&mut self, last: ScriptError) -> ScriptError {
        let before = std::mem::take(&mut self.mistakes).into_iter().map(Mistake::told);
        ScriptError::all(before.collect()).unwrap_or(last)
    }
}

fn not_conforming(text: &str, off: &Span, literal: &Span) -> ScriptError {
    let line = |at: usize| text[..at].matches('\n').count();
    let lines = match line(literal.start) - line(off.start) {
        0 => "on this line".to_string(),
        1 => "one line above".to_string(),
        more => format!("{more} lines above"),
    };
    let message = format!(
        "a text with a backslash, with `standard_conforming_strings` set to off {lines}: \
         to that session it is another text"
    );
    ScriptError::new(literal.clone(), message).hint(
        "write it as E'…', which means the same everywhere; or, where the backslash stands for itself, \
         delete the SET",
    )
}
