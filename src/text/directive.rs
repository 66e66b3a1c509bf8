//! Directives: what a migration says to the tool in its `--` lines, `-- key: value`.
//!
//! One grammar for SQL files. What is about the whole file stands above its first statement, with
//! whatever comments and blank lines around it. What is about one statement stands in the run of
//! comment lines directly above it: on a line of its own, no blank line between. [`KEYS`] is the one
//! list of keys; errors, near misses and the documentation go by it, and JSON5 headers have the same
//! keys. A comment that nearly is a directive is an error, so that no typo is lost in silence; all
//! other comments are free text.

use squawk_lexer::{TokenKind, tokenize};

use super::document::{ScriptError, Span};
use super::duration::parse_duration;
use super::psql::{mask, passed_line};

/// A key that a directive may have.
#[derive(Debug, PartialEq, Eq)]
pub struct Key {
    /// The key.
    pub name: &'static str,
    /// Where it may stand.
    pub stands: Stands,
    /// Whether there is something behind it yet. A reserved key is refused wherever it stands, so
    /// that no file can come to mean something else in a later release.
    pub is_built: bool,
    /// What it says, in a few words.
    pub meaning: &'static str,
    /// What a value of it looks like.
    shape: Shape,
    /// How other tools and habits call it, lower case, without what joins words.
    also: &'static [&'static str],
}

/// Where a directive may stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stands {
    /// In the header of every migration.
    Header,
    /// In the header of an SQL file.
    SqlHeader,
    /// Above a statement.
    Statement,
    /// Above a statement, about that one; else in the header, about the file.
    Anywhere,
}

/// What a value looks like: it tells a directive with a typo from a sentence that begins alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    /// `on`, `off`, and what others write for it.
    Switch,
    /// `5s`.
    Time,
    /// `mongo@3, kafka@1`.
    Requirements,
    /// A text that begins with this word.
    Begins(&'static str),
    /// A text that begins with a digit.
    Number,
    /// Any text.
    Text,
}

const fn key(name: &'static str, stands: Stands, meaning: &'static str, shape: Shape) -> Key {
    Key { name, stands, is_built: true, meaning, shape, also: &[] }
}

const fn reserved(name: &'static str, stands: Stands, meaning: &'static str, shape: Shape) -> Key {
    Key { is_built: false, ..key(name, stands, meaning, shape) }
}

/// Every key there is.
pub static KEYS: [Key; 13] = [
    Key {
        also: &["require", "requirement", "depends", "dependson", "dependencies", "needs", "after"],
        ..key(
            "requires",
            Stands::Header,
            "versions of other stores, or of this one, that must be applied first",
            Shape::Requirements,
        )
    },
    Key {
        also: &[
            "tx",
            "txmode",
            "transactional",
            "transactionmode",
            "intransaction",
            "runintransaction",
            "executeintransaction",
            "usetransaction",
            "wrapintransaction",
            "notransaction",
            "disabletransaction",
        ],
        ..key(
            "transaction",
            Stands::SqlHeader,
            "`off` for a file with statements that cannot run in a transaction",
            Shape::Switch,
        )
    },
    key(
        "lock_timeout",
        Stands::SqlHeader,
        "how long a statement may wait for a lock; `CONCURRENTLY` runs without this limit",
        Shape::Time,
    ),
    key("statement_timeout", Stands::SqlHeader, "how long a statement may take", Shape::Time),
    key(
        "placeholders",
        Stands::Header,
        "`on` or `off`: whether `${name}` is replaced",
        Shape::Switch,
    ),
    key(
        "irreversible",
        Stands::Header,
        "a reason, in words: `down` refuses and prints it",
        Shape::Text,
    ),
    reserved("replaces", Stands::Header, "the versions that this one stands for", Shape::Number),
    reserved(
        "hold",
        Stands::Header,
        "what has to be so before the migration may be applied",
        Shape::Begins("until"),
    ),
    reserved("batch", Stands::Statement, "the statement is done in portions", Shape::Number),
    reserved("online", Stands::Statement, "the change is made in phases", Shape::Switch),
    reserved(
        "assert_before",
        Stands::Statement,
        "what has to be true before the statement",
        Shape::Text,
    ),
    reserved(
        "assert_after",
        Stands::Statement,
        "what has to be true after the statement",
        Shape::Text,
    ),
    reserved(
        "lint",
        Stands::Anywhere,
        "a finding that is allowed, and why; no part of any checksum",
        Shape::Begins("allow"),
    ),
];

impl Key {
    /// The key called `name`.
    pub fn named(name: &str) -> Option<&'static Key> {
        KEYS.iter().find(|key| key.name == name)
    }

    /// Whether it may stand in a header.
    pub fn is_of_header(&self) -> bool {
        match self.stands {
            Stands::Header | Stands::SqlHeader | Stands::Anywhere => true,
            Stands::Statement => false,
        }
    }

    /// Whether it may stand above a statement.
    pub fn is_of_statement(&self) -> bool {
        match self.stands {
            Stands::Statement | Stands::Anywhere => true,
            Stands::Header | Stands::SqlHeader => false,
        }
    }

    /// Whether a change of it is a change of the migration.
    pub fn counts(&self) -> bool {
        self.name != "lint"
    }

    /// Refuses a key with nothing behind it.
    pub fn demand_built(&self, span: Span) -> Result<(), ScriptError> {
        match self.is_built {
            true => Ok(()),
            false => Err(ScriptError::new(span, format!("`{}` is not there yet", self.name))
                .hint(format!("reserved for a later release ({}); delete the line", self.meaning))),
        }
    }

    fn example(&self) -> String {
        let value = match self.shape {
            Shape::Switch => "off",
            Shape::Time => "5s",
            Shape::Requirements => "mongo@3",
            Shape::Begins(word) => return format!("-- {}: {word} …", self.name),
            Shape::Number | Shape::Text => "…",
        };
        format!("-- {}: {value}", self.name)
    }
}

/// One directive of an SQL file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Directive {
    /// Its key.
    pub key: &'static Key,
    /// Its value.
    pub value: String,
    /// The place of the key in the text.
    pub span: Span,
    /// The place of the value.
    pub value_span: Span,
    /// Where the comment begins.
    pub start: usize,
}

impl Directive {
    /// Refuses a second directive of the same key.
    pub fn demand_first<'d>(
        &self,
        before: impl IntoIterator<Item = &'d Directive>,
        place: &str,
    ) -> Result<(), ScriptError> {
        match before.into_iter().any(|other| other.key == self.key) {
            true => {
                let message = format!("{place} says `{}` twice", self.key.name);
                Err(ScriptError::new(self.span.clone(), message).hint("keep one of them"))
            }
            false => Ok(()),
        }
    }

    fn misplaced(&self) -> ScriptError {
        let name = self.key.name;
        let error = |message: &str| ScriptError::new(self.span.clone(), message);
        match self.key.is_of_statement() {
            false => error(&format!("`{name}` has to stand above the first statement")).hint(
                "it is about the whole file: move the line to the top; \
                 if it is only a comment, reword its beginning",
            ),
            true => error(&format!("`{name}` does not stand directly above a statement")).hint(
                "put it on a line of its own above the statement that it is about, without a \
                 blank line between; if it is only a comment, reword its beginning",
            ),
        }
    }
}

/// The directives above the first statement of `text`; nothing below is read.
pub fn at_top(text: &str) -> Result<Vec<Directive>, ScriptError> {
    let (mut found, mut passed) = (Vec::new(), 0);
    for (kind, span) in tokens(text) {
        match kind {
            TokenKind::Whitespace => {}
            _ if span.start < passed => {}
            TokenKind::Unknown => match passed_line(text, span.start) {
                Some(line) => passed = line.end,
                None => break,
            },
            TokenKind::LineComment => found.extend(read(&text[span.clone()], span.start)?),
            TokenKind::BlockComment { terminated: true } => {
                refuse_in_block(&text[span.clone()], span.start)?;
            }
            _ => break,
        }
    }
    Ok(found)
}

/// The directives above each of the `statements` of `masked`, a whole text without its COPY data.
///
/// Errors: a comment that nearly is a directive, one that is a directive and stands where it cannot
/// be heeded, and another tool's that this tool would pass over.
pub fn above_statements(
    masked: &str,
    statements: &[Span],
) -> Result<Vec<Vec<Directive>>, ScriptError> {
    let mut all: Vec<Vec<Directive>> = vec![Vec::new(); statements.len()];
    let says_transaction = at_top(masked)?.iter().any(|said| said.key.name == "transaction");
    let (mut run, mut begins_line) = (Vec::<Directive>::new(), true);
    for (kind, span) in tokens(masked) {
        let next = statements.partition_point(|statement| statement.end <= span.start);
        let is_inside = statements.get(next).is_some_and(|next| next.start <= span.start);
        let is_top = next == 0 && !is_inside;
        let word = &masked[span.clone()];
        match kind {
            TokenKind::Whitespace => {
                let ends = word.matches('\n').count();
                if ends > 1 {
                    detach(&mut run, is_top)?;
                }
                begins_line |= ends > 0;
                continue;
            }
            TokenKind::LineComment => match read(word, span.start)? {
                Some(directive) if is_top && !directive.key.is_of_statement() => {}
                Some(directive) if begins_line && !is_inside && directive.key.is_of_statement() => {
                    directive.demand_first(&run, "the statement")?;
                    run.push(directive);
                }
                Some(directive) => return Err(directive.misplaced()),
                None => {
                    let is_last = next == statements.len();
                    refuse_foreign(word, span, is_top && !says_transaction, !is_top && !is_last)?;
                }
            },
            TokenKind::BlockComment { .. } => refuse_in_block(word, span.start)?,
            _ if statements.get(next).is_some_and(|next| next.start == span.start) => {
                all[next] = std::mem::take(&mut run);
            }
            _ => detach(&mut run, is_top)?,
        }
        begins_line = false;
    }
    detach(&mut run, statements.is_empty())?;
    Ok(all)
}

/// Lets go of directives that no statement follows: they are about the file, or misplaced.
fn detach(run: &mut Vec<Directive>, is_top: bool) -> Result<(), ScriptError> {
    match run.iter().find(|directive| !is_top || !directive.key.is_of_header()) {
        Some(directive) => Err(directive.misplaced()),
        None => {
            run.clear();
            Ok(())
        }
    }
}

/// What a `--` comment above a statement adds to the content of its file; `None` for a mere comment,
/// and for what is about the file: its header has that.
pub fn content(comment: &str) -> Option<String> {
    let directive = exact(comment, 0)?;
    let counts = directive.key.is_of_statement() && directive.key.counts();
    counts.then(|| format!("-- {}: {}", directive.key.name, directive.value))
}

/// `text` without the lines of directives that do not count.
pub fn counted(text: &str) -> std::borrow::Cow<'_, str> {
    let has_one = |text: &str| KEYS.iter().any(|key| !key.counts() && text.contains(key.name));
    let masked = has_one(text).then(|| mask(text).ok()).flatten();
    let Some(masked) = masked.map(|masked| masked.text) else { return text.into() };
    let (mut kept, mut from) = (String::new(), 0);
    for (_, span) in tokens(&masked).filter(|(kind, _)| *kind == TokenKind::LineComment) {
        let directive = exact(&masked[span.clone()], 0);
        if directive.is_some_and(|directive| !directive.key.counts()) {
            kept.push_str(text[from..span.start].trim_end_matches([' ', '\t']));
            from = if text[span.end..].starts_with('\n') { span.end + 1 } else { span.end };
        }
    }
    kept.push_str(&text[from..]);
    kept.into()
}

fn tokens(text: &str) -> impl Iterator<Item = (TokenKind, Span)> {
    tokenize(text).scan(0, |at, token| {
        let start = *at;
        *at += token.len as usize;
        Some((token.kind, start..*at))
    })
}

/// Reads a `--` comment, which begins at byte `at` of its text; `None` is free text.
fn read(comment: &str, at: usize) -> Result<Option<Directive>, ScriptError> {
    if let Some(directive) = exact(comment, at) {
        return Ok(Some(directive));
    }
    match nearly(comment.strip_prefix("--").unwrap_or(comment)) {
        Some(near) => Err(near.error(comment, at)),
        None => Ok(None),
    }
}

fn exact(comment: &str, at: usize) -> Option<Directive> {
    let (name, value) = comment.strip_prefix("--")?.split_once(':')?;
    let (name, value) = (name.trim(), value.trim());
    let key = Key::named(name)?;
    let place = |part: &str| {
        let start = at + offset(comment, part);
        start..start + part.len()
    };
    let (span, value_span) = (place(name), place(value));
    Some(Directive { key, value: value.into(), span, value_span, start: at })
}

/// Where `part` begins in `whole`, of which it is a part.
pub fn offset(whole: &str, part: &str) -> usize {
    part.as_ptr() as usize - whole.as_ptr() as usize
}

/// Refuses a block comment with a line that is a directive, or nearly one.
fn refuse_in_block(comment: &str, at: usize) -> Result<(), ScriptError> {
    let inner = comment.trim_start_matches("/*").trim_end_matches("*/");
    for line in inner.lines() {
        if let Some(near) = nearly(line) {
            let mut error = near.error(comment, at);
            error.message =
                format!("`{}` stands in a block comment, where it is not read", near.name);
            error.hint = Some(format!(
                "a directive is a line that begins with `--`, such as `{}`",
                near.key.example()
            ));
            return Err(error);
        }
    }
    Ok(())
}

/// A text that nearly is a directive.
struct Near<'t> {
    key: &'static Key,
    name: &'t str,
}

impl Near<'_> {
    fn error(&self, comment: &str, at: usize) -> ScriptError {
        let start = at + offset(comment, self.name);
        let message = match self.name == self.key.name {
            true => format!("this is nearly the directive `{}`", self.name),
            false => format!("there is no directive `{}`", self.name),
        };
        ScriptError::new(start..start + self.name.len(), message).hint(format!(
            "did you mean `{}`, as in `{}`? If it is only a comment, reword its beginning",
            self.key.name,
            self.key.example()
        ))
    }
}

/// Finds the key that a comment, without what opens and closes it, nearly has.
///
/// After a colon the value decides by its look, since `Requires: superuser` is a sentence; after
/// another sign, or none, it has to be a value beyond doubt.
fn nearly(comment: &str) -> Option<Near<'_>> {
    // `-- -- transaction: off` is one that was switched off.
    if comment.starts_with(char::is_whitespace) && comment.trim_start().starts_with("--") {
        return None;
    }
    let text = comment.trim_start_matches(|c: char| !c.is_alphanumeric()).trim_end();
    let (name, sign, value) = match text.find([':', '=', '：']) {
        Some(at) => {
            let sign = text[at..].chars().next()?;
            (text[..at].trim_end(), sign, &text[at + sign.len_utf8()..])
        }
        None => {
            let (name, value) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
            (name, ' ', value)
        }
    };
    let value = value.trim_matches(|c: char| c.is_whitespace() || "'\"`=;.,*/".contains(c));
    // Invisible characters, too, are between the letters of a name, and no part of it.
    let plain: String = name.chars().filter(|c| c.is_alphanumeric()).collect();
    let plain = plain.to_lowercase();
    let is_meant = |key: &&Key| match sign {
        ':' | '：' => key.shape.may_be(value) && key.is_called(&plain),
        _ => key.shape.is(value) && key.is_called(&plain),
    };
    KEYS.iter().find(is_meant).map(|key| Near { key, name })
}

impl Key {
    /// Whether `plain`, lower case and without what joins words, is its name, or nearly.
    fn is_called(&self, plain: &str) -> bool {
        let own = self.name.replace('_', "");
        let typos = if own.len() < 7 { 1 } else { 2 };
        // Nobody who writes `reversible` means `irreversible`, and a slip hardly ever hits the first
        // letter: `match`, `patch` and `inline` are words of their own.
        let is_near = own.len().abs_diff(plain.len()) < 2
            && own.chars().next() == plain.chars().next()
            && strsim::osa_distance(plain, &own) <= typos;
        is_near || self.also.contains(&plain)
    }
}

impl Shape {
    /// Whether `value` is such a value beyond doubt.
    fn is(self, value: &str) -> bool {
        match self {
            Shape::Switch => SWITCHES.iter().any(|switch| switch.eq_ignore_ascii_case(value)),
            Shape::Time => parse_duration(value).is_some(),
            Shape::Requirements => {
                !value.is_empty() && value.split([',', ' ']).all(|part| part.contains('@'))
            }
            Shape::Begins(_) | Shape::Number | Shape::Text => false,
        }
    }

    /// Whether `value` may be one with a mistake in it.
    fn may_be(self, value: &str) -> bool {
        let has_digit_first = value.starts_with(|c: char| c.is_ascii_digit());
        match self {
            Shape::Switch => self.is(value),
            Shape::Time => has_digit_first || !value.contains(char::is_whitespace),
            Shape::Requirements => value
                .split('@')
                .skip(1)
                .any(|version| version.starts_with(|c: char| c.is_ascii_digit())),
            Shape::Begins(word) => value
                .split_whitespace()
                .next()
                .is_some_and(|first| first.eq_ignore_ascii_case(word)),
            // A date is none.
            Shape::Number => {
                has_digit_first && value.chars().all(|c| c.is_ascii_digit() || "., _".contains(c))
            }
            Shape::Text => !value.is_empty(),
        }
    }
}

/// How people and tools say `on` and `off`.
const SWITCHES: [&str; 11] =
    ["on", "off", "true", "false", "yes", "no", "none", "0", "1", "enabled", "disabled"];

/// What other tools are told in comments, lower case, with single spaces. To pass over it in silence
/// would run the file otherwise than its author knows it.
const FOREIGN: [(&str, &str, Foreign); 11] = [
    ("+goose no transaction", "goose", Foreign::NoTransaction),
    ("+migrate up notransaction", "sql-migrate", Foreign::NoTransaction),
    ("migrate:up transaction:false", "dbmate", Foreign::NoTransaction),
    ("no-transaction", "sqlx", Foreign::NoTransaction),
    ("! no-transaction", "Graphile Migrate", Foreign::NoTransaction),
    ("atlas:txmode none", "Atlas", Foreign::NoTransaction),
    ("postgres-migrations disable-transaction", "postgres-migrations", Foreign::NoTransaction),
    ("+goose down", "goose", Foreign::Down),
    ("+migrate down", "sql-migrate", Foreign::Down),
    ("migrate:down", "dbmate", Foreign::Down),
    ("-- create above / drop below", "tern", Foreign::Down),
];

#[derive(Clone, Copy)]
enum Foreign {
    /// The file is to run outside a transaction.
    NoTransaction,
    /// What stands below undoes what stands above.
    Down,
}

/// Refuses another tool's directive: no transaction, where the header does not speak of it; a part
/// that undoes, where statements stand above and below.
fn refuse_foreign(
    comment: &str,
    span: Span,
    is_silent: bool,
    is_between: bool,
) -> Result<(), ScriptError> {
    if !is_silent && !is_between {
        return Ok(());
    }
    let text = comment.strip_prefix("--").unwrap_or(comment);
    let words: Vec<String> = text.split_whitespace().map(str::to_lowercase).collect();
    let text = words.join(" ");
    let is_here = |mark: &str| {
        text.strip_prefix(mark).is_some_and(|rest| !rest.starts_with(char::is_alphanumeric))
    };
    let found = FOREIGN.iter().find(|(mark, _, what)| match what {
        Foreign::NoTransaction => is_silent && is_here(mark),
        Foreign::Down => is_between && is_here(mark),
    });
    match found {
        None => Ok(()),
        Some((_, tool, Foreign::NoTransaction)) => Err(ScriptError::new(
            span,
            format!(
                "{tool} would run this file outside a transaction; here the line means nothing"
            ),
        )
        .hint(
            "say it for this tool too: `-- transaction: off`, or `on` if it is no longer needed",
        )),
        Some((_, tool, Foreign::Down)) => Err(ScriptError::new(
            span,
            format!("for {tool} the statements below undo those above; here all of them would run"),
        )
        .hint("move them into the U file of this version")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads `text`, whose statements are its lines that begin with `select`.
    fn above(text: &str) -> Result<Vec<Vec<Directive>>, ScriptError> {
        let lines = text.match_indices("select").map(|(at, _)| at);
        let of = |at: usize| at..text[at..].find(';').map_or(text.len(), |end| at + end + 1);
        above_statements(text, &lines.map(of).collect::<Vec<_>>())
    }

    fn names(directives: &[Directive]) -> Vec<&'static str> {
        directives.iter().map(|directive| directive.key.name).collect()
    }

    #[test]
    fn the_header_is_what_stands_above_the_first_statement() {
        let text = "/* Copyright /* by */\n * somebody: us */\n\n-- Users.\n--requires : mongo@3\n\
                    \n-- transaction: off\n/* more */\n-- note: this\nselect 1;\n-- irreversible: no\n";
        let found = at_top(text).expect("header");
        assert_eq!(names(&found), ["requires", "transaction"]);
        assert_eq!(found[0].value, "mongo@3");
        assert_eq!(&text[found[0].value_span.clone()], "mongo@3");
        let error = above(text).expect_err("misplaced");
        assert_eq!(&text[error.span], "irreversible");
        assert!(error.message.contains("above the first statement"), "{}", error.message);
    }

    #[test]
    fn a_statement_has_what_stands_in_the_lines_above_it() {
        let text = "-- transaction: off\n\n-- lint: allow everything\n\n\
                    -- lint: allow this\n-- first\n-- batch: 10\nselect 1; -- one\n\
                    -- assert_after: select 2\n/* why */\nselect 3;\nselect 4;\n";
        let found = above(&text.replace(": select 2", ": true")).expect("directives");
        let names: Vec<_> = found.iter().map(|directives| names(directives)).collect();
        assert_eq!(names, [vec!["lint", "batch"], vec!["assert_after"], vec![]]);
    }

    #[test]
    fn what_stands_where_it_cannot_be_heeded_is_an_error() {
        for (text, what) in [
            ("select 0;\n-- requires: mongo@1\nselect 1;", "requires"),
            ("select 1; -- transaction: off", "transaction"),
            ("select 1,\n-- transaction: off\n2;", "transaction"),
            ("select 1,\n-- batch: 1\n2;", "batch"),
            ("-- batch: 1\n\nselect 1;", "batch"),
            ("-- batch: 1\n;select 1;", "batch"),
            ("select 1; -- batch: 1\nselect 2;", "batch"),
            ("/* a */ -- batch: 1\nselect 2;", "batch"),
            ("select 1;\n-- batch: 1\n", "batch"),
            ("select 1;\n-- lint: allow x\n\nselect 2;", "lint"),
            ("-- batch: 1\n-- batch: 2\nselect 2;", "batch"),
        ] {
            let error = above(text).expect_err(text);
            assert_eq!(&text[error.span], what, "{text}");
        }
        assert!(above("-- batch: 1\n").is_err());
        assert!(above("-- lint: allow x\n").is_ok());
    }

    #[test]
    fn what_is_nearly_a_directive_is_an_error() {
        for text in [
            "-- Batch: 10",
            "-- transaction\u{200b}: off",
            "/* /* transaction: off */ */",
            "-- batchs: 10",
            "-- Transaction: off",
            "-- transation: off",
            "-- transactions: off",
            "-- transaction = off",
            "-- transaction off",
            "-- transaction： off",
            "--- transaction: off",
            "--! transaction: off",
            "-- @transaction: off",
            "-- executeInTransaction=false",
            "-- no transaction: true",
            "-- require: mongo@1",
            "-- Requires: mongo@1, kafka@2",
            "-- requires mongo@1",
            "-- depends_on: mongo@1",
            "-- lock timeout: 5s",
            "-- lock-timeout: 5s",
            "-- lock_timout: none",
            "-- LOCK_TIMEOUT = '5s';",
            "-- placeholder: on",
            "-- Irreversible: the rows are gone",
            "-- irreversable: the rows are gone",
            "-- Batch: 1000",
            "-- assert-before: select true",
            "-- Lint: allow this",
            "-- Hold: until Monday",
            "/* transaction: off */",
            "/*\n * Requires: mongo@1\n */",
        ] {
            assert!(above(text).is_err(), "{text}");
            assert!(at_top(text).is_err(), "{text}");
            assert!(above(&format!("select 1;\n{text}\n")).is_err(), "{text}");
        }
    }

    #[test]
    fn any_other_comment_is_free_text() {
        for text in [
            "-- note: this is fine",
            "-- see https://example.org: here",
            "-- Requires: superuser",
            "-- Patch: 1234",
            "-- match: 3",
            "-- Inline: no",
            "-- Replaced: 2024-05-01",
            "-- This requires: mongo@3",
            "-- Transaction: we cannot have one here",
            "-- no transaction is needed",
            "-- the transaction: off",
            "-- No statement_timeout: it would end too early",
            "-- SET lock_timeout = '5s';",
            "-- reversible: yes",
            "-- Batch 2 of 5",
            "-- Batch: users",
            "-- Replaces: the old index",
            "-- Hold: the queue's rows",
            "-- hint: use the index",
            "-- online",
            "-- -- transaction: off",
            "--",
            "-- :",
            "/**/",
            "/* Needs: nothing\n * Batch size: 1000 */",
        ] {
            assert_eq!(above(text), Ok(vec![]), "{text}");
            assert_eq!(at_top(text), Ok(vec![]), "{text}");
        }
    }

    #[test]
    fn other_tools_are_heard_where_they_would_be_passed_over() {
        let no = ["+goose NO TRANSACTION", "no-transaction", "migrate:up  transaction:false"];
        for mark in no.map(|mark| format!("-- {mark}\n")) {
            assert!(above(&format!("{mark}select 1;")).is_err(), "{mark}");
            for said in ["-- transaction: off\n", "-- transaction: on\n"] {
                assert_eq!(above(&format!("{said}{mark}select 1;")), Ok(vec![vec![]]), "{mark}");
                assert_eq!(above(&format!("{mark}{said}select 1;")), Ok(vec![vec![]]), "{mark}");
            }
        }
        for mark in
            ["-- +goose Down\n", "-- migrate:down\n", "---- create above / drop below ----\n"]
        {
            assert!(above(&format!("select 1;\n{mark}select 2;")).is_err(), "{mark}");
            assert!(above(&format!("select 1;\n{mark}")).is_ok(), "{mark}");
            assert!(above(&format!("{mark}select 1;")).is_ok(), "{mark}");
        }
        assert!(above("-- no-transactional thing\nselect 1;").is_ok());
    }

    #[test]
    fn quoted_text_is_no_comment() {
        let text = "select '\n-- transaction: off\n', $$\n-- batch: 1\n$$, \"\n-- requires: a\n\";";
        assert_eq!(above(text), Ok(vec![vec![]]));
    }

    #[test]
    fn lint_is_no_part_of_what_counts() {
        let plain = "-- batch: 10\nselect 1;\n  -- note\nselect '\n-- lint: allow a\n';";
        let text = plain.replace("  -- note", "  -- lint: allow b\n  -- note");
        let text = format!("-- lint: allow c\n{text}\n-- lint: allow d");
        assert_eq!(counted(&text), format!("{plain}\n"));
        assert_eq!(counted(plain), plain);
        let copy = "copy t from stdin;\n-- lint: allow a\n\\.\n";
        assert_eq!(counted(copy), copy);
        assert_eq!(content("-- batch:10").as_deref(), Some("-- batch: 10"));
        for text in ["-- lint: allow a", "-- note: b", "-- transaction: off"] {
            assert_eq!(content(text), None, "{text}");
        }
    }

    #[test]
    fn keys_are_told_apart() {
        for key in &KEYS {
            assert!(!key.meaning.is_empty());
            let others = KEYS.iter().filter(|other| other.name != key.name);
            let plain = key.name.replace('_', "");
            assert!(!others.clone().any(|other| other.is_called(&plain)), "{}", key.name);
        }
    }
}
