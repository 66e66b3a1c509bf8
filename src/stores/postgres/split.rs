//! Cuts SQL into statements and COPY data, and says of each statement how it must be run.
//!
//! Splitting and classifying is all that is asked of the parser: whether the SQL is right is for
//! the server to say.

use squawk_lexer::{TokenKind, tokenize};
use squawk_syntax::ast::{AstNode, CallExpr, Delete, Stmt};
use squawk_syntax::{SourceFile, SyntaxNode};

use crate::text::directive::{self, Directive};
use crate::text::encoding;
use crate::text::psql::{Masked, mask};
use crate::text::{ScriptError, Span};

/// One statement of a file.
#[derive(Clone, Debug, PartialEq)]
pub struct Statement {
    /// Its place in the text, with the semicolon if there is one.
    pub span: Span,
    /// How it must be run.
    pub class: Class,
    /// The data of `COPY … FROM stdin`, as psql reads it, without the closing `\.`.
    pub copy_data: Option<Span>,
    /// What it drops or empties, under the names that things have before the file begins.
    pub losses: Vec<Target>,
    /// What it gives another name.
    pub renames: Vec<Rename>,
    /// What stands directly above it for the tool.
    pub directives: Vec<Directive>,
}

impl Statement {
    /// Whether it is sent as it stands, not passed over.
    pub fn is_sent(&self) -> bool {
        !matches!(self.class, Class::Control(_) | Class::Encoding)
    }
}

/// Something that a statement gives another name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rename {
    /// A table: from, to.
    Table(String, String),
    /// A column: its table, from, to.
    Column(String, String, String),
    /// `SET search_path`: what a name without a schema means is not known any more.
    Everything,
}

/// How a statement must be run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// In a transaction.
    Plain,
    /// It begins or ends a transaction.
    Control(Control),
    /// It says to psql in what encoding the file is, which is known already when the text is read.
    Encoding,
    /// Alone, outside any transaction; building or dropping an index CONCURRENTLY waits for
    /// others by nature, so that it gets no lock timeout.
    Alone {
        /// CONCURRENTLY.
        concurrently: bool,
    },
}

/// A statement that begins or ends a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Control {
    /// `BEGIN`, with no more said.
    Begin,
    /// `COMMIT`, with no more said.
    Commit,
    /// A `BEGIN` that says how the transaction is to be run.
    Modes,
    /// `COMMIT AND CHAIN`.
    Chain,
    /// `ROLLBACK`, but not to a savepoint.
    Rollback,
    /// `PREPARE TRANSACTION`.
    Prepare,
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

impl Target {
    /// The target under the name that it has before `renames` are done.
    pub fn before<'r>(&self, renames: impl DoubleEndedIterator<Item = &'r Rename>) -> Target {
        renames.rev().fold(self.clone(), |target, rename| target.before_one(rename))
    }

    fn before_one(self, rename: &Rename) -> Target {
        match (self, rename) {
            (Target::Table(name), Rename::Table(from, to)) if same(&name, to) => {
                Target::Table(from.clone())
            }
            (Target::Rows(name), Rename::Table(from, to)) if same(&name, to) => {
                Target::Rows(from.clone())
            }
            (Target::Column(table, column), Rename::Table(from, to)) if same(&table, to) => {
                Target::Column(from.clone(), column)
            }
            (Target::Column(table, column), Rename::Column(of, from, to))
                if same(&table, of) && same(&column, to) =>
            {
                Target::Column(table, from.clone())
            }
            (Target::Table(name) | Target::Rows(name), Rename::Everything)
                if !name.contains('.') =>
            {
                Target::Unseen("name after SET search_path")
            }
            (Target::Column(table, _), Rename::Everything) if !table.contains('.') => {
                Target::Unseen("name after SET search_path")
            }
            (target, Rename::Table(..) | Rename::Column(..) | Rename::Everything) => target,
        }
    }
}

/// Whether two names as written are the same to the server; a name without a schema is taken to be
/// in `public`.
fn same(a: &str, b: &str) -> bool {
    let plain = |name: &str| {
        let folded = if name.contains('"') { name.to_string() } else { name.to_lowercase() };
        folded.strip_prefix("public.").map(str::to_string).unwrap_or(folded)
    };
    plain(a) == plain(b)
}

/// A text cut into its statements.
#[derive(Debug)]
pub struct Split {
    /// The statements, in order.
    pub statements: Vec<Statement>,
    /// Lines that are for psql alone.
    pub passed: Vec<Span>,
    /// The first literal that is another text to a session with `standard_conforming_strings` off.
    pub backslash: Option<Span>,
}

/// Splits `text` into statements.
///
/// Errors: what [`mask`] refuses; a directive that is misspelt or misplaced.
pub fn split(text: &str) -> Result<Split, ScriptError> {
    let Masked { text: masked, copies, passed, backslash } = mask(text)?;
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
                renames: renames(&stmt),
                directives: Vec::new(),
            }
        })
        .collect();
    statements = to_semicolons(statements, &masked);
    let spans: Vec<Span> = statements.iter().map(|statement| statement.span.clone()).collect();
    let said = directive::above_statements(&masked, &spans)?;
    for (statement, directives) in statements.iter_mut().zip(said) {
        statement.directives = directives;
    }
    let mut renamed: Vec<Rename> = Vec::new();
    for statement in &mut statements {
        for target in &mut statement.losses {
            *target = target.before(renamed.iter());
        }
        renamed.extend(statement.renames.iter().cloned());
    }
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
    Ok(Split { statements, passed, backslash })
}

/// Ends each statement where psql and the server end it: at a semicolon outside of parentheses. The parser
/// ends one where its grammar does. What is behind that, or is no statement to it at all, is a mistake, or
/// newer than the parser; either is for the server to say, so it is sent as a whole.
fn to_semicolons(statements: Vec<Statement>, masked: &str) -> Vec<Statement> {
    let mut whole = Vec::with_capacity(statements.len());
    let mut rest = statements.into_iter().peekable();
    for (piece, ends) in pieces(masked, &rest.clone().map(|one| one.span).collect::<Vec<_>>()) {
        let mut first: Option<Statement> = None;
        let mut others = 0;
        while let Some(statement) = rest.next_if(|one| one.span.start < piece.end) {
            others += usize::from(first.is_some());
            first = first.or(Some(statement));
        }
        let is_known =
            |one: &Statement| others == 0 && one.span.start == piece.start && one.span.end >= ends;
        match first {
            Some(one) if is_known(&one) => whole.push(Statement { span: piece, ..one }),
            found => {
                let class = match found.as_ref().map(|one| one.class) {
                    Some(class @ Class::Alone { .. }) => class,
                    Some(Class::Plain | Class::Control(_) | Class::Encoding) | None => Class::Plain,
                };
                let mut losses = found.map(|one| one.losses).unwrap_or_default();
                losses.push(Target::Unseen("statement"));
                let (copy_data, renames, directives) = (None, Vec::new(), Vec::new());
                whole.push(Statement {
                    span: piece,
                    class,
                    copy_data,
                    losses,
                    renames,
                    directives,
                });
            }
        }
    }
    whole
}

/// The text between semicolons, each with its own, and where its last word ends; `parsed` are the places of
/// statements, whose own semicolons (of a BEGIN ATOMIC body) end nothing.
fn pieces(masked: &str, parsed: &[Span]) -> Vec<(Span, usize)> {
    let mut pieces = Vec::new();
    let (mut at, mut depth, mut next) = (0, 0usize, 0);
    let mut open: Option<(usize, usize)> = None;
    for token in tokenize(masked) {
        let (start, end) = (at, at + token.len as usize);
        at = end;
        while parsed.get(next).is_some_and(|span| span.end <= start) {
            next += 1;
        }
        let is_inside = parsed.get(next).is_some_and(|span| span.start <= start && end < span.end);
        match token.kind {
            TokenKind::Whitespace | TokenKind::LineComment | TokenKind::BlockComment { .. } => {}
            TokenKind::Semi if depth == 0 && !is_inside => {
                pieces.extend(open.take().map(|(from, ends)| (from..end, ends)));
            }
            kind => {
                match kind {
                    TokenKind::OpenParen => depth += 1,
                    TokenKind::CloseParen => depth = depth.saturating_sub(1),
                    _ => {}
                }
                open = Some((open.map_or(start, |(from, _)| from), end));
            }
        }
    }
    pieces.extend(open.map(|(from, ends)| (from..ends, ends)));
    pieces
}

/// What `text` does, apart from how it is written: its tokens and COPY data without space and
/// comments, but with the directives above its statements. `None` where COPY data never ends.
///
/// The characters of operators keep their neighbours: `>=` is one operator, `> =` is two.
pub fn content(text: &str) -> Option<String> {
    let Masked { text: masked, copies, .. } = mask(text).ok()?;
    let mut content = String::with_capacity(text.len());
    let (mut at, mut glues) = (0, false);
    for token in tokenize(&masked) {
        let word = &masked[at..at + token.len as usize];
        at += word.len();
        let is_space = matches!(
            token.kind,
            TokenKind::Whitespace | TokenKind::LineComment | TokenKind::BlockComment { .. }
        );
        let is_operator = word.chars().all(|c| "+-*/<>=~!@#%^&|`?:".contains(c));
        if !is_space {
            // No file holds a NUL byte.
            content.push_str(if glues && is_operator { "" } else { "\0" });
            content.push_str(word);
        }
        if token.kind == TokenKind::LineComment
            && let Some(said) = directive::content(word)
        {
            content.push('\0');
            content.push_str(&said);
        }
        glues = !is_space && is_operator;
    }
    for copy in copies {
        content.push('\0');
        content.push_str(&text[copy.data]);
    }
    Some(content)
}

/// The first of the statement's tokens, without space and comments: enough to know its kind.
fn words(stmt: &Stmt) -> Vec<String> {
    tokens(stmt.syntax()).take(64).collect()
}

pub(super) fn tokens(node: &SyntaxNode) -> impl Iterator<Item = String> {
    node.descendants_with_tokens()
        .filter_map(|element| element.into_token())
        .filter(|token| !token.kind().is_trivia())
        .map(|token| token.text().to_string())
}

pub(super) fn says(words: &[String], word: &str) -> bool {
    words.iter().any(|candidate| candidate.eq_ignore_ascii_case(word))
}

fn classify(stmt: &Stmt, words: &[String]) -> Class {
    let concurrently = says(words, "concurrently");
    match stmt {
        Stmt::Commit(_) | Stmt::Rollback(_) if says(words, "prepared") => {
            Class::Alone { concurrently: false }
        }
        Stmt::Begin(_) | Stmt::Commit(_) | Stmt::PrepareTransaction(_) => {
            Class::Control(control(stmt, words))
        }
        Stmt::Rollback(_) if !says(words, "to") => Class::Control(Control::Rollback),
        Stmt::Set(_) if sets_encoding(words) => Class::Encoding,
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
        _ => Class::Plain,
    }
}

fn control(stmt: &Stmt, words: &[String]) -> Control {
    let plain =
        ["begin", "start", "commit", "end", "work", "transaction", "and", "no", "chain", ";"];
    let is_plain = |word: &String| plain.iter().any(|known| word.eq_ignore_ascii_case(known));
    match stmt {
        Stmt::PrepareTransaction(_) => Control::Prepare,
        Stmt::Commit(_) if says(words, "chain") && !says(words, "no") => Control::Chain,
        Stmt::Commit(_) => Control::Commit,
        _ if words.iter().all(is_plain) => Control::Begin,
        _ => Control::Modes,
    }
}

fn sets_encoding(words: &[String]) -> bool {
    let words: Vec<&str> = words.iter().map(String::as_str).filter(|word| *word != ";").collect();
    encoding::of_statement(&words).is_some()
}

fn losses(stmt: &Stmt, words: &[String]) -> Vec<Target> {
    let all = || tokens(stmt.syntax()).collect::<Vec<String>>();
    let named = |skip: &[&str]| names(&all(), skip);
    match stmt {
        Stmt::DropTable(_) => {
            named(&["drop", "table", "if", "exists"]).into_iter().map(Target::Table).collect()
        }
        Stmt::DropSchema(_) if says(&all(), "cascade") => {
            named(&["drop", "schema", "if", "exists"]).into_iter().map(Target::Schema).collect()
        }
        Stmt::Truncate(_) => {
            named(&["truncate", "table", "only"]).into_iter().map(Target::Table).collect()
        }
        Stmt::AlterTable(_) => dropped_columns(&all()),
        // Columns of that type go too, wherever they are.
        Stmt::DropExtension(_) if says(&all(), "cascade") => {
            vec![Target::Unseen("DROP EXTENSION … CASCADE")]
        }
        Stmt::DropType(_) | Stmt::DropDomain(_) if says(&all(), "cascade") => {
            vec![Target::Unseen("DROP TYPE … CASCADE")]
        }
        Stmt::DropOwned(_) => vec![Target::Unseen("DROP OWNED")],
        Stmt::DropDatabase(_) => vec![Target::Unseen("DROP DATABASE")],
        Stmt::Explain(_) if says(words, "analyze") => vec![Target::Unseen("EXPLAIN ANALYZE")],
        Stmt::Do(_) => vec![Target::Unseen("DO block")],
        Stmt::Call(_) => vec![Target::Unseen("procedure call")],
        Stmt::Execute(_) => vec![Target::Unseen("prepared statement")],
        Stmt::Select(_)
        | Stmt::CompoundSelect(_)
        | Stmt::ParenSelect(_)
        | Stmt::SelectInto(_)
        | Stmt::CreateTableAs(_)
        | Stmt::Values(_)
        | Stmt::Insert(_)
        | Stmt::Update(_)
        | Stmt::Delete(_)
        | Stmt::Merge(_) => lost_by_rows(stmt),
        _ => Vec::new(),
    }
}

/// What a statement about rows deletes, in a WITH too, and whether it calls what nobody can see into.
fn lost_by_rows(stmt: &Stmt) -> Vec<Target> {
    let node = stmt.syntax();
    let mut found: Vec<Target> = node
        .descendants()
        .filter_map(Delete::cast)
        .filter_map(|delete| {
            let words: Vec<String> = tokens(delete.syntax())
                .skip_while(|word| !word.eq_ignore_ascii_case("delete"))
                .take(16)
                .collect();
            names(&words, &["delete", "from", "only"]).into_iter().next()
        })
        .map(Target::Rows)
        .collect();
    if let Stmt::Merge(_) = stmt {
        let words: Vec<String> = tokens(node).collect();
        if says(&words, "delete") {
            found.extend(names(&words, &["merge", "into", "only"]).into_iter().map(Target::Rows));
        }
    }
    let unseen = |call: CallExpr| {
        let name = call.expr().map(|name| name.syntax().text().to_string().to_lowercase());
        name.is_some_and(|name| {
            let plain = name.strip_prefix("pg_catalog.").unwrap_or(&name).trim();
            !HARMLESS.contains(&plain)
        })
    };
    if node.descendants().filter_map(CallExpr::cast).any(unseen) {
        found.push(Target::Unseen("function call"));
    }
    found
}

/// Functions of PostgreSQL itself that change no data. Any other may do anything.
const HARMLESS: &[&str] = &[
    "abs",
    "array_agg",
    "avg",
    "btrim",
    "ceil",
    "clock_timestamp",
    "coalesce",
    "concat",
    "concat_ws",
    "count",
    "current_setting",
    "currval",
    "date_trunc",
    "floor",
    "format",
    "gen_random_uuid",
    "generate_series",
    "greatest",
    "jsonb_build_object",
    "jsonb_set",
    "json_build_object",
    "least",
    "left",
    "length",
    "lower",
    "lpad",
    "ltrim",
    "max",
    "md5",
    "min",
    "nextval",
    "now",
    "nullif",
    "pg_sleep",
    "random",
    "regexp_replace",
    "replace",
    "right",
    "round",
    "row_number",
    "rtrim",
    "setval",
    "split_part",
    "string_agg",
    "substr",
    "substring",
    "sum",
    "to_char",
    "to_date",
    "to_jsonb",
    "to_timestamp",
    "to_tsvector",
    "trim",
    "unnest",
    "upper",
];

fn renames(stmt: &Stmt) -> Vec<Rename> {
    let words = words(stmt);
    match stmt {
        Stmt::Set(_) if says(&words, "search_path") => vec![Rename::Everything],
        Stmt::AlterTable(_) => renamed(&words).into_iter().collect(),
        _ => Vec::new(),
    }
}

/// `ALTER TABLE t RENAME TO u`, `… RENAME [COLUMN] a TO b`, `… SET SCHEMA s`.
fn renamed(words: &[String]) -> Option<Rename> {
    let table = names(words, &["alter", "table", "if", "exists", "only"]).into_iter().next()?;
    let position = |word: &str| words.iter().position(|found| found.eq_ignore_ascii_case(word));
    let (schema, name) = match table.rsplit_once('.') {
        Some((schema, name)) => (format!("{schema}."), name.to_string()),
        None => (String::new(), table.clone()),
    };
    if let Some(at) = position("schema")
        && words[at - 1].eq_ignore_ascii_case("set")
    {
        let to = format!("{}.{name}", words.get(at + 1)?);
        return Some(Rename::Table(table, to));
    }
    let at = position("rename")?;
    let column = |from: usize| {
        let (old, new) = (words.get(from)?.clone(), words.get(from + 2)?.clone());
        Some(Rename::Column(table.clone(), old, new))
    };
    match words.get(at + 1)?.to_lowercase().as_str() {
        "to" => Some(Rename::Table(table.clone(), format!("{schema}{}", words.get(at + 2)?))),
        "column" => column(at + 2),
        "constraint" => None,
        _ => column(at + 1),
    }
}

/// The comma-separated, possibly qualified names after the leading keywords.
pub(super) fn names(words: &[String], leading: &[&str]) -> Vec<String> {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn split(sql: &str) -> Result<Vec<Statement>, ScriptError> {
        super::split(sql).map(|split| split.statements)
    }

    fn texts(sql: &str) -> Vec<&str> {
        split(sql).expect(sql).into_iter().map(|statement| &sql[statement.span]).collect()
    }

    #[test]
    fn content_is_what_is_left_without_space_and_comments() {
        let same = |a: &str, b: &str| content(a).expect(a) == content(b).expect(b);
        for (a, b) in [
            ("select 1;", "-- one\nselect /* a /* b */ */ 1 ;\n"),
            ("select 1;", "-- lint: allow a\n-- transaction: off\nselect 1;"),
            ("-- batch:10\nselect 1;", "-- batch: 10\n-- why\nselect 1;"),
            ("select a.b, f(c,d)", "select a . b,f( c, d )"),
            ("copy t from stdin;\n1\t2\n\\.\n", "copy  t from stdin ;\n1\t2\n\\.\n"),
        ] {
            assert!(same(a, b), "{a} {b}");
        }
        for (a, b) in [
            ("select 1; select 2", "-- batch: 10\nselect 1; select 2"),
            ("-- batch: 10\nselect 1; select 2", "select 1;\n-- batch: 10\nselect 2"),
            ("-- batch: 10\nselect 1;", "-- batch: 20\nselect 1;"),
            ("select 'a  b'", "select 'a b'"),
            ("select 1", "select 2"),
            ("select a b", "select ab"),
            ("select 1 >= 2", "select 1 > = 2"),
            ("select 1 - -1", "select 1 --1\n"),
            ("do $$ begin end $$", "do $$ begin /* */ end $$"),
            ("copy t from stdin;\n1\t2\n\\.\n", "copy t from stdin;\n1\t 2\n\\.\n"),
        ] {
            assert!(!same(a, b), "{a} {b}");
        }
    }

    #[test]
    fn cuts_only_between_statements() {
        let sql = "create table \"a;b\" (c text default ';' /* ; /* ; */ */);\n\
                   create function f() returns int language sql begin atomic select case when true then 1 end; end;\n\
                   do $a$ begin perform $b$;$b$; end $a$; select E'\\';' ;; select U&'\\0041;'";
        assert_eq!(texts(sql).len(), 5, "{:?}", texts(sql));
    }

    #[test]
    fn a_statement_ends_at_its_semicolon_alone() {
        for (sql, expected) in [
            ("delete from t wehre a=1; select 1", &["delete from t wehre a=1;", "select 1"][..]),
            ("insrt into t values (9); select 1;", &["insrt into t values (9);", "select 1;"]),
            ("select 1;\nfoo bar baz\n-- end", &["select 1;", "foo bar baz"]),
            (
                "delete from t where a=1\ncreate table z (i int);",
                &["delete from t where a=1\ncreate table z (i int);"],
            ),
            ("commit bogus; select 1", &["commit bogus;", "select 1"]),
            ("select (1; 2); select 3", &["select (1; 2);", "select 3"]),
            (
                "alter table t add column z text compression pglz not null default 'x';",
                &["alter table t add column z text compression pglz not null default 'x';"],
            ),
            (
                "create function f() returns int language sql begin atomic select 1; select 2; end; select 3",
                &[
                    "create function f() returns int language sql begin atomic select 1; select 2; end;",
                    "select 3",
                ],
            ),
        ] {
            assert_eq!(texts(sql), expected, "{sql}");
        }
        let of = |sql: &str| split(sql).expect(sql).remove(0);
        assert_eq!(of("commit bogus;").class, Class::Plain);
        assert!(of("delete from t wehre a=1").losses.contains(&Target::Unseen("statement")));
        assert!(!of("select 1 -- a\n;").losses.contains(&Target::Unseen("statement")));
    }

    #[test]
    fn copy_data_is_not_sql() {
        let sql = "COPY public.t (a, b) FROM stdin;\n1\tit's; $$\n2\t\\N\n\\.\nselect 1;\n";
        let statements = split(sql).expect("splits");
        assert_eq!(statements.len(), 2);
        let data = statements[0].copy_data.clone().expect("data");
        assert_eq!(&sql[data], "1\tit's; $$\n2\t\\N\n");
        assert!(split("copy t from stdin;\n1\n").is_err());
        assert_eq!(split("copy t to '/g'; copy t from '/f'").expect("splits").len(), 2);
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
            ("begin", Class::Control(Control::Begin)),
            ("BEGIN /* a */ WORK;", Class::Control(Control::Begin)),
            ("start transaction", Class::Control(Control::Begin)),
            ("begin isolation level serializable", Class::Control(Control::Modes)),
            ("start transaction read only;", Class::Control(Control::Modes)),
            ("commit", Class::Control(Control::Commit)),
            ("commit transaction and no chain", Class::Control(Control::Commit)),
            ("commit and chain;", Class::Control(Control::Chain)),
            ("end", Class::Control(Control::Commit)),
            ("End work", Class::Control(Control::Commit)),
            ("rollback", Class::Control(Control::Rollback)),
            ("rollback and chain", Class::Control(Control::Rollback)),
            ("abort", Class::Control(Control::Rollback)),
            ("prepare transaction 'a'", Class::Control(Control::Prepare)),
            ("commit prepared 'a'", Class::Alone { concurrently: false }),
            ("rollback prepared 'a'", Class::Alone { concurrently: false }),
            ("set client_encoding = 'LATIN1'", Class::Encoding),
            ("SET LOCAL client_encoding TO LATIN1;", Class::Encoding),
            ("set names 'LATIN1'", Class::Encoding),
            ("rollback to savepoint a", Class::Plain),
            ("savepoint a", Class::Plain),
            ("create index concurrently i on t (a)", Class::Alone { concurrently: true }),
            ("create index i on t (a)", Class::Plain),
            ("drop index concurrently i", Class::Alone { concurrently: true }),
            ("vacuum t", Class::Alone { concurrently: false }),
            ("alter system set work_mem = '1MB'", Class::Alone { concurrently: false }),
            ("set search_path = x", Class::Plain),
            ("do $$ begin end $$", Class::Plain),
            ("create temp table t ()", Class::Plain),
            ("create table t (a int)", Class::Plain),
            ("insert into t values (1)", Class::Plain),
        ] {
            assert_eq!(split(sql).expect(sql)[0].class, class, "{sql}");
        }
    }

    #[test]
    fn losses_are_named_as_things_are_before_the_file() {
        let of = |sql: &str| {
            let statements = split(sql).expect(sql);
            statements.into_iter().flat_map(|statement| statement.losses).collect::<Vec<_>>()
        };
        let table = |name: &str| [Target::Table(name.into())];
        assert_eq!(of("alter table a rename to b; drop table B;"), table("a"));
        assert_eq!(of("alter table s.a rename to b; drop table s.b;"), table("s.a"));
        assert_eq!(of("alter table a set schema s; drop table s.a;"), table("a"));
        assert_eq!(of("alter table a rename to b; drop table a;"), table("a"));
        assert_eq!(
            of("alter table t rename x to y; alter table t drop column y;"),
            [Target::Column("t".into(), "x".into())]
        );
        assert_eq!(of("set search_path to s; drop table s.a;"), table("s.a"));
        assert!(matches!(of("set search_path to s; drop table a;")[..], [Target::Unseen(_)]));
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
        let many: Vec<String> = (0..60).map(|at| format!("s.t{at}")).collect();
        assert_eq!(of(&format!("drop table {}", many.join(", "))).len(), 60);
        assert_eq!(
            of(
                "with gone as (delete from a.t where x returning *) insert into b select * from gone"
            ),
            [Target::Rows("a.t".into())]
        );
        assert_eq!(
            of("merge into t using s on t.a = s.a when matched then delete"),
            [Target::Rows("t".into())]
        );
        for sql in ["drop type mood cascade", "drop extension vector cascade", "drop owned by x"] {
            assert!(matches!(of(sql)[..], [Target::Unseen(_)]), "{sql}");
        }
        for sql in ["insert into t select wipe()", "update t set a = wipe(b)", "values (wipe())"] {
            assert_eq!(of(sql), [Target::Unseen("function call")], "{sql}");
        }
        for sql in [
            "select count(*) from t",
            "insert into t (a, b) values (now(), lower('X'))",
            "update t set a = coalesce(b, 1) where c in (1, 2)",
            "drop type mood",
            "drop schema s",
            "alter table t add column x numeric(10, 2) default 0",
        ] {
            assert_eq!(of(sql), [], "{sql}");
        }
        assert_eq!(of("do $$ begin end $$"), [Target::Unseen("DO block")]);
        assert_eq!(of("select f(1)"), [Target::Unseen("function call")]);
        assert_eq!(of("create table t (a int)"), []);
    }
}
