//! Cuts SQL into statements and COPY data, and says of each statement how it must be run.
//!
//! Splitting and classifying is all that is asked of the parser: whether the SQL is right is for
//! the server to say.

use squawk_lexer::{LiteralKind, TokenKind, tokenize};
use squawk_syntax::SourceFile;
use squawk_syntax::ast::{AstNode, Stmt};

use crate::migration::{ScriptError, Span};

/// One statement of a file.
#[derive(Clone, Debug, PartialEq)]
pub struct Statement {
    /// Its place in the text, with the semicolon if there is one.
    pub span: Span,
    /// How it must be run.
    pub class: Class,
    /// The data of `COPY … FROM stdin`, as psql reads it, without the closing `\.`.
    pub copy_data: Option<Span>,
    /// What it drops or empties.
    pub losses: Vec<Target>,
}

/// How a statement must be run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// In a transaction; it leaves nothing behind in the session.
    Plain,
    /// In a transaction; it may change the session (SET, PREPARE, a function nobody can see into).
    Session,
    /// It begins or ends a transaction.
    Control,
    /// Alone, outside any transaction; building or dropping an index CONCURRENTLY waits for
    /// others by nature, so that it gets no lock timeout.
    Alone {
        /// CONCURRENTLY.
        concurrently: bool,
    },
}

/// Something that a statement drops or empties.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// A table with its rows.
    Table(String),
    /// A column with its values: table, column.
    Column(String, String),
    /// A schema with all that is in it.
    Schema(String),
    /// Rows of a table that the statement chooses itself.
    Rows(String),
    /// The parser cannot see what it does: the kind of statement.
    Unseen(&'static str),
}

/// Past this depth no human wrote the file.
const DEEPEST: usize = 500;

/// Splits `text` into statements.
///
/// Errors: an unterminated quote, comment or dollar quote; a psql meta-command; nesting past 500
/// levels; COPY data without its closing `\.`.
pub fn split(text: &str) -> Result<Vec<Statement>, ScriptError> {
    let (masked, copies) = mask_copy_data(text)?;
    let parsed = SourceFile::parse(&masked);
    let mut statements: Vec<Statement> = parsed
        .tree()
        .stmts()
        .filter(|stmt| !matches!(stmt, Stmt::EmptyStmt(_)))
        .map(|stmt| {
            let range = stmt.syntax().text_range();
            let words = words(&stmt);
            Statement {
                span: range.start().into()..range.end().into(),
                class: classify(&stmt, &words),
                copy_data: None,
                losses: losses(&stmt, &words),
            }
        })
        .collect();
    for copy in copies {
        match statements.iter_mut().find(|statement| {
            statement.span.start < copy.semicolon && copy.semicolon <= statement.span.end + 1
        }) {
            Some(statement) => statement.copy_data = Some(copy.data),
            None => {
                return Err(ScriptError::new(
                    copy.semicolon..copy.semicolon + 1,
                    "cannot read this COPY",
                ));
            }
        }
    }
    Ok(statements)
}

struct Copy {
    semicolon: usize,
    data: Span,
}

/// Blanks out COPY data, which no SQL lexer can read, and refuses what no server would accept.
fn mask_copy_data(text: &str) -> Result<(String, Vec<Copy>), ScriptError> {
    let mut masked = String::new();
    let mut copies = Vec::new();
    let mut from = 0;
    while let Some(semicolon) = next_copy(&text[from..], from)? {
        let data_start = text[semicolon..].find('\n').map_or(text.len(), |at| semicolon + at + 1);
        let (data_end, next) = end_of_data(text, data_start).ok_or_else(|| {
            ScriptError::new(
                semicolon..semicolon + 1,
                "the data of this COPY … FROM stdin never ends",
            )
            .hint("close it with a line that holds only `\\.`")
        })?;
        masked.push_str(&text[from..data_start]);
        masked.extend(std::iter::repeat_n(' ', next - data_start));
        copies.push(Copy { semicolon, data: data_start..data_end });
        from = next;
    }
    masked.push_str(&text[from..]);
    Ok((masked, copies))
}

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

/// The offset of the semicolon that ends the next `COPY … FROM stdin` in `text`.
fn next_copy(text: &str, base: usize) -> Result<Option<usize>, ScriptError> {
    let mut at = 0;
    let mut depth = 0usize;
    let (mut first, mut saw_from, mut from_stdin) = (None::<bool>, false, false);
    for token in tokenize(text) {
        let span = at..at + token.len as usize;
        at = span.end;
        check(token.kind, &text[span.clone()], base + span.start)?;
        match token.kind {
            TokenKind::OpenParen | TokenKind::OpenBracket => depth += 1,
            TokenKind::CloseParen | TokenKind::CloseBracket => depth = depth.saturating_sub(1),
            TokenKind::Semi if first == Some(true) && from_stdin => {
                return Ok(Some(base + span.start));
            }
            TokenKind::Semi => (first, saw_from, from_stdin) = (None, false, false),
            TokenKind::Ident => {
                let word = &text[span.clone()];
                match first {
                    None => first = Some(word.eq_ignore_ascii_case("copy")),
                    Some(true) if saw_from && word.eq_ignore_ascii_case("stdin") => {
                        from_stdin = true
                    }
                    Some(_) => {}
                }
                saw_from = word.eq_ignore_ascii_case("from");
            }
            TokenKind::Eof => break,
            _ => {}
        }
        if depth > DEEPEST {
            return Err(ScriptError::new(
                base + span.start..base + span.end,
                format!("nested more than {DEEPEST} levels deep"),
            ));
        }
    }
    Ok(None)
}

fn check(kind: TokenKind, text: &str, at: usize) -> Result<(), ScriptError> {
    let open =
        |what: &str| Err(ScriptError::new(at..at + 1, format!("this {what} is never closed")));
    match kind {
        TokenKind::BlockComment { terminated: false } => open("comment"),
        TokenKind::QuotedIdent { terminated: false, .. } => open("quoted name"),
        TokenKind::Literal { kind } => match kind {
            LiteralKind::Str { terminated: false }
            | LiteralKind::ByteStr { terminated: false }
            | LiteralKind::BitStr { terminated: false }
            | LiteralKind::UnicodeEscStr { terminated: false }
            | LiteralKind::EscStr { terminated: false } => open("quote"),
            LiteralKind::DollarQuotedString { terminated: false } => open("dollar quote"),
            _ => Ok(()),
        },
        TokenKind::Unknown if text.starts_with('\\') => Err(ScriptError::new(
            at..at + text.len(),
            "this is a psql meta-command, which only psql understands",
        )
        .hint("delete the line; for data use COPY … FROM stdin, closed with `\\.`")),
        _ => Ok(()),
    }
}

/// The statement's tokens without space and comments.
fn words(stmt: &Stmt) -> Vec<String> {
    stmt.syntax()
        .descendants_with_tokens()
        .filter_map(|element| element.into_token())
        .filter(|token| !token.kind().is_trivia())
        .map(|token| token.text().to_string())
        .take(64)
        .collect()
}

fn says(words: &[String], word: &str) -> bool {
    words.iter().any(|candidate| candidate.eq_ignore_ascii_case(word))
}

fn classify(stmt: &Stmt, words: &[String]) -> Class {
    let concurrently = says(words, "concurrently");
    match stmt {
        Stmt::Begin(_) | Stmt::Commit(_) | Stmt::PrepareTransaction(_) => Class::Control,
        Stmt::Rollback(_) if !says(words, "to") => Class::Control,
        Stmt::CreateIndex(_) | Stmt::DropIndex(_) | Stmt::Reindex(_) | Stmt::AlterTable(_)
            if concurrently =>
        {
            Class::Alone { concurrently: true }
        }
        Stmt::Reindex(_) if says(words, "database") || says(words, "system") => {
            Class::Alone { concurrently: false }
        }
        Stmt::Vacuum(_)
        | Stmt::CreateDatabase(_)
        | Stmt::DropDatabase(_)
        | Stmt::CreateTablespace(_)
        | Stmt::DropTablespace(_)
        | Stmt::AlterSystem(_) => Class::Alone { concurrently: false },
        Stmt::Set(_)
        | Stmt::SetRole(_)
        | Stmt::SetSessionAuth(_)
        | Stmt::SetTransaction(_)
        | Stmt::Reset(_)
        | Stmt::ResetRole(_)
        | Stmt::ResetSessionAuth(_)
        | Stmt::Do(_)
        | Stmt::Call(_)
        | Stmt::Select(_)
        | Stmt::ParenSelect(_)
        | Stmt::CompoundSelect(_)
        | Stmt::Execute(_)
        | Stmt::Prepare(_)
        | Stmt::Declare(_)
        | Stmt::Listen(_)
        | Stmt::Load(_)
        | Stmt::Discard(_)
        | Stmt::Deallocate(_)
        | Stmt::SelectInto(_) => Class::Session,
        Stmt::CreateTable(_)
        | Stmt::CreateTableAs(_)
        | Stmt::CreateView(_)
        | Stmt::CreateSequence(_)
            if says(words, "temp") || says(words, "temporary") =>
        {
            Class::Session
        }
        _ => Class::Plain,
    }
}

fn losses(stmt: &Stmt, words: &[String]) -> Vec<Target> {
    let named = |skip: &[&str]| names(words, skip);
    match stmt {
        Stmt::DropTable(_) => {
            named(&["drop", "table", "if", "exists"]).into_iter().map(Target::Table).collect()
        }
        Stmt::DropSchema(_) if says(words, "cascade") => {
            named(&["drop", "schema", "if", "exists"]).into_iter().map(Target::Schema).collect()
        }
        Stmt::Truncate(_) => {
            named(&["truncate", "table", "only"]).into_iter().map(Target::Table).collect()
        }
        Stmt::Delete(_) => {
            named(&["delete", "from", "only"]).into_iter().take(1).map(Target::Rows).collect()
        }
        Stmt::AlterTable(_) => dropped_columns(words),
        Stmt::Do(_) => vec![Target::Unseen("DO block")],
        Stmt::Call(_) => vec![Target::Unseen("procedure call")],
        Stmt::Execute(_) => vec![Target::Unseen("prepared statement")],
        Stmt::Select(_) | Stmt::CompoundSelect(_) | Stmt::ParenSelect(_)
            if words.windows(2).any(|pair| {
                pair[1] == "(" && pair[0].starts_with(|c: char| c.is_alphabetic() || c == '"')
            }) =>
        {
            vec![Target::Unseen("function call")]
        }
        _ => Vec::new(),
    }
}

/// The comma-separated, possibly qualified names after the leading keywords.
fn names(words: &[String], leading: &[&str]) -> Vec<String> {
    let is_leading = |word: &String| leading.iter().any(|skip| word.eq_ignore_ascii_case(skip));
    let mut names = Vec::new();
    let mut current = String::new();
    for word in words.iter().skip_while(|word| is_leading(word)) {
        match word.as_str() {
            "," => names.push(std::mem::take(&mut current)),
            "." => current.push('.'),
            "*" => {}
            _ if current.is_empty() || current.ends_with('.') => current.push_str(word),
            _ => break,
        }
    }
    names.push(current);
    names.retain(|name| !name.is_empty());
    names
}

fn dropped_columns(words: &[String]) -> Vec<Target> {
    let table = names(words, &["alter", "table", "if", "exists", "only"]);
    let Some(table) = table.first() else { return Vec::new() };
    let mut found = Vec::new();
    for (at, word) in words.iter().enumerate() {
        if !word.eq_ignore_ascii_case("drop") {
            continue;
        }
        let mut rest = words[at + 1..].iter();
        let mut next = rest.next();
        if next.is_some_and(|word| word.eq_ignore_ascii_case("column")) {
            next = rest.next();
        }
        if next.is_some_and(|word| word.eq_ignore_ascii_case("if")) {
            rest.next();
            next = rest.next();
        }
        let other = ["constraint", "default", "not", "identity", "expression"];
        match next {
            Some(name) if !other.iter().any(|word| name.eq_ignore_ascii_case(word)) => {
                found.push(Target::Column(table.clone(), name.clone()));
            }
            Some(_) | None => {}
        }
    }
    found
}

/// What `CREATE INDEX CONCURRENTLY` or `DROP INDEX CONCURRENTLY` is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Index {
    /// Builds the index `name` on `table`; the name is unknown where the server is to choose it.
    Create {
        /// The name, unqualified as the syntax demands.
        name: Option<String>,
        /// The table, as written.
        table: String,
    },
    /// Drops these indexes.
    Drop(Vec<String>),
}

/// Reads which index a statement run CONCURRENTLY is about.
pub fn index_of(statement: &str) -> Option<Index> {
    let parsed = SourceFile::parse(statement);
    let stmt = parsed.tree().stmts().next()?;
    let words = words(&stmt);
    match stmt {
        Stmt::DropIndex(_) => {
            Some(Index::Drop(names(&words, &["drop", "index", "concurrently", "if", "exists"])))
        }
        Stmt::CreateIndex(_) => {
            let on = words.iter().position(|word| word.eq_ignore_ascii_case("on"))?;
            let leading = ["create", "unique", "index", "concurrently", "if", "not", "exists"];
            let name = names(&words[..on], &leading).into_iter().next();
            let table = names(&words[on..], &["on", "only"]).into_iter().next()?;
            Some(Index::Create { name, table })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(sql: &str) -> Vec<&str> {
        split(sql).expect(sql).into_iter().map(|statement| &sql[statement.span]).collect()
    }

    #[test]
    fn cuts_only_between_statements() {
        let sql = "create table \"a;b\" (c text default ';' /* ; /* ; */ */);\n\
                   create function f() returns int language sql begin atomic select case when true then 1 end; end;\n\
                   do $a$ begin perform $b$;$b$; end $a$; select E'\\';' ;; select U&'\\0041;'";
        assert_eq!(texts(sql).len(), 5, "{:?}", texts(sql));
    }

    #[test]
    fn copy_data_is_not_sql() {
        let sql = "COPY public.t (a, b) FROM stdin;\n1\tit's; $$\n2\t\\N\n\\.\nselect 1;\n";
        let statements = split(sql).expect("splits");
        assert_eq!(statements.len(), 2);
        let data = statements[0].copy_data.clone().expect("data");
        assert_eq!(&sql[data], "1\tit's; $$\n2\t\\N\n");
        assert!(split("copy t from stdin;\n1\n").is_err());
        assert_eq!(split("copy t to stdout; copy t from '/f'").expect("splits").len(), 2);
    }

    #[test]
    fn what_is_never_closed_is_told_with_its_place() {
        for (sql, what, at) in [
            ("select 'abc", "quote", 7),
            ("select $x$ abc $y$", "dollar quote", 7),
            ("select 1 /* abc", "comment", 9),
            ("select \"abc", "quoted name", 7),
            ("select E'abc\\'", "quote", 7),
        ] {
            let error = split(sql).expect_err(sql);
            assert!(error.message.contains(what), "{sql}: {}", error.message);
            assert_eq!(error.span.start, at, "{sql}");
        }
        assert!(split("select 1;\n\\connect db\n").is_err());
        assert!(split(&"(".repeat(100_000)).is_err());
    }

    #[test]
    fn classes() {
        for (sql, class) in [
            ("begin", Class::Control),
            ("start transaction", Class::Control),
            ("commit", Class::Control),
            ("end", Class::Control),
            ("rollback", Class::Control),
            ("abort", Class::Control),
            ("rollback to savepoint a", Class::Plain),
            ("savepoint a", Class::Plain),
            ("create index concurrently i on t (a)", Class::Alone { concurrently: true }),
            ("create index i on t (a)", Class::Plain),
            ("drop index concurrently i", Class::Alone { concurrently: true }),
            ("vacuum t", Class::Alone { concurrently: false }),
            ("alter system set work_mem = '1MB'", Class::Alone { concurrently: false }),
            ("set search_path = x", Class::Session),
            ("do $$ begin end $$", Class::Session),
            ("create temp table t ()", Class::Session),
            ("create table t (a int)", Class::Plain),
            ("insert into t values (1)", Class::Plain),
        ] {
            assert_eq!(split(sql).expect(sql)[0].class, class, "{sql}");
        }
    }

    #[test]
    fn losses_are_seen() {
        let of = |sql: &str| split(sql).expect(sql).remove(0).losses;
        assert_eq!(
            of("drop table if exists a.b, \"C d\" cascade"),
            [Target::Table("a.b".into()), Target::Table("\"C d\"".into())]
        );
        assert_eq!(
            of("alter table a.t drop column x, drop constraint y, drop if exists z"),
            [Target::Column("a.t".into(), "x".into()), Target::Column("a.t".into(), "z".into())]
        );
        assert_eq!(of("delete from t where a = 1"), [Target::Rows("t".into())]);
        assert_eq!(of("drop schema s"), []);
        assert_eq!(of("do $$ begin end $$"), [Target::Unseen("DO block")]);
        assert_eq!(of("select f(1)"), [Target::Unseen("function call")]);
        assert_eq!(of("create table t (a int)"), []);
    }

    #[test]
    fn index_names() {
        assert_eq!(
            index_of("create unique index concurrently if not exists i on only a.t (x)"),
            Some(Index::Create { name: Some("i".into()), table: "a.t".into() })
        );
        assert_eq!(
            index_of("create index concurrently on t (x)"),
            Some(Index::Create { name: None, table: "t".into() })
        );
        assert_eq!(
            index_of("drop index concurrently if exists a.i"),
            Some(Index::Drop(vec!["a.i".into()]))
        );
    }
}
