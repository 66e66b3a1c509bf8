//! SQL text → steps: the whole file in one transaction, or statement by statement.

use std::sync::Arc;

use serde_json::Value;

use super::alone::{Work, work};
use super::blocks::{Block, PASSED_OVER, blocks, mistake};
use super::heal::split_last;
use super::session;
use super::split::{Class, Split, Statement, Target, split};
use crate::shape::Attributes;
use crate::stores::contract::{Operation, Unit};
use crate::text::directive::Directive;
use crate::text::{Rendered, ScriptError, Span};

/// A piece of SQL that is sent as one.
#[derive(Clone, Debug)]
pub struct Step {
    /// The text it is cut from, with the map back to the file.
    pub(super) text: Rendered,
    /// Its part of the text.
    pub(super) span: Span,
    /// Its statements, in the coordinates of the text.
    pub(super) statements: Vec<Statement>,
    /// How it is run.
    pub(super) manner: Manner,
    /// What is known of its work, where it may have to be asked what became of it.
    pub(super) work: Option<Work>,
    /// Whether it is of our own making, and so for the fixed environment.
    pub(super) is_ours: bool,
    /// Whether it is BEGIN … COMMIT of a file's session.
    pub(super) is_block: bool,
    /// The places from BEGIN to COMMIT that are passed over in it.
    pub(super) blocks: Vec<Span>,
    /// The first literal that is another text to a session with `standard_conforming_strings` off.
    pub(super) backslash: Option<Span>,
}

/// How a step is run.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Manner {
    /// The whole file, inside the seal's transaction.
    Transaction,
    /// In the file's own session, inside a seal's transaction if the server takes it in one.
    Statement {
        /// Whether it is to be sent again where the session was lost.
        sets_up: bool,
    },
    /// In the file's own session, and known not to run in a transaction.
    Alone,
}

impl Step {
    /// The SQL that is sent.
    pub(super) fn sql(&self) -> &str {
        &self.text.text[self.span.clone()]
    }

    /// Whether it brings COPY data along, which cannot be part of a message.
    pub(super) fn streams(&self) -> bool {
        self.statements.iter().any(|statement| statement.copy_data.is_some())
    }

    /// Whether what it leaves in its session is for the steps after it.
    pub(super) fn keeps_session(&self) -> bool {
        self.manner != Manner::Transaction && !self.is_ours
    }

    /// Whether it is one statement of a file's session.
    pub(super) fn is_guarded(&self) -> bool {
        matches!(self.manner, Manner::Statement { .. }) && !self.is_block && !self.is_ours
    }

    /// Its statements that are to be sent again where its session was lost: they only set that up.
    pub(super) fn set_up(&self) -> Vec<String> {
        let texts = self.statements.iter().map(|one| &self.text.text[one.span.clone()]);
        let set_up = texts.filter(|text| session::role(text) == session::Role::SetsUp);
        set_up.map(str::to_string).collect()
    }

    /// Whether its text is a reason to look what it did to the ledger.
    pub(super) fn may_reach(&self) -> bool {
        const SIGNS: [&str; 16] = [
            "search_path",
            "set_config",
            "execute",
            "do ",
            "do\n",
            "do$",
            "call ",
            "owned",
            "language",
            "extension",
            "ledger",
            "event",
            "shape",
            "tag",
            "identity",
            "schema_history",
        ];
        let text = self.sql().to_ascii_lowercase();
        SIGNS.iter().any(|sign| text.contains(sign))
    }

    /// Whether it may make something that has a name and takes no lock.
    pub(super) fn may_make_functions(&self) -> bool {
        const SIGNS: [&str; 10] = [
            "function",
            "procedure",
            "routine",
            "aggregate",
            "execute",
            "do ",
            "type",
            "domain",
            "operator",
            "collation",
        ];
        let text = self.sql().to_ascii_lowercase();
        SIGNS.iter().any(|sign| text.contains(sign))
    }

    /// Where its first statement is that has `name` in it.
    pub(super) fn first_naming(&self, name: &str) -> Option<Span> {
        let text = |one: &&Statement| self.text.text[one.span.clone()].to_lowercase();
        self.statements.iter().find(|one| has_word(&text(one), name)).map(|one| one.span.clone())
    }

    /// Whether a COMMIT of its file stands before the place `at`, or may, and is passed over.
    pub(super) fn commits_before(&self, at: Option<&Span>) -> bool {
        let ends = |block: &Span| self.text.span(block.clone()).end;
        self.blocks.iter().any(|block| at.is_none_or(|at| ends(block) <= at.start))
    }

    /// What it drops or empties.
    pub(super) fn losses(&self) -> impl Iterator<Item = &Target> {
        self.statements.iter().flat_map(|statement| &statement.losses)
    }

    /// A step that clears away what another left half made: `sql`, with names that mean the same in
    /// every session. It is for the session of the file that left it.
    pub(super) fn clears(sql: &str) -> Step {
        Step {
            text: Rendered::verbatim(sql),
            span: 0..sql.len(),
            statements: Vec::new(),
            manner: Manner::Alone,
            work: Some(Work::Clears),
            is_ours: false,
            is_block: false,
            blocks: Vec::new(),
            backslash: None,
        }
    }
}

/// Whether the last part of a name stands in `sql` as a word, in whatever case.
fn has_word(sql: &str, name: &str) -> bool {
    let name = name.split_once('(').map_or(name, |(name, _)| name).trim();
    let word = split_last(name).1.trim_matches('"').to_lowercase();
    let is_end = |c: Option<char>| c.is_none_or(|c| !c.is_alphanumeric() && c != '_');
    let mut found = sql.match_indices(&word).map(|(at, _)| at);
    !word.is_empty()
        && found.any(|at| {
            is_end(sql[..at].chars().next_back()) && is_end(sql[at + word.len()..].chars().next())
        })
}

impl Operation for Step {
    fn label(&self) -> String {
        match self.statements.as_slice() {
            [] => headline(self.sql()),
            [one] => headline(&self.text.text[one.span.clone()]),
            more => format!("{} statements", more.len()),
        }
    }

    fn hazards(&self) -> Vec<String> {
        self.losses()
            .map(|target| match target {
                Target::Table(table) => format!("drops or empties the table {table}"),
                Target::Column(table, column) => format!("drops the column {column} of {table}"),
                Target::Schema(schema) => {
                    format!("drops the schema {schema} with all that is in it")
                }
                Target::Rows(table) => format!("deletes rows of {table}"),
                Target::Unseen(kind) => format!("what the {kind} does cannot be seen"),
            })
            .collect()
    }

    fn remarks(&self) -> Vec<(Span, &'static str)> {
        let first = self.blocks.first().map(|block| (self.text.span(block.clone()), PASSED_OVER));
        first.into_iter().collect()
    }

    fn inverse(&self, _before: &Value) -> Result<Vec<Value>, String> {
        Err("SQL is undone by a U file".to_string())
    }

    /// A file may do anything to its database. A role's settings are the whole server's: those that it
    /// does not name are others'.
    fn touches(&self, object: &str) -> bool {
        let of_server =
            object.strip_prefix("setting ").and_then(|rest| rest.split_once(" of role "));
        of_server.is_none_or(|(setting, role)| {
            let sql = self.sql().to_lowercase();
            let names = |word: &str| sql.contains(&word.trim_matches('"').to_lowercase());
            // Code may put the name of a role together.
            let alters = || {
                let words = sql.split_whitespace().zip(sql.split_whitespace().skip(1));
                words.into_iter().any(|(one, two)| {
                    one.ends_with("alter") && ["role", "user"].iter().any(|it| two.starts_with(it))
                })
            };
            names(role) || names(setting) && alters()
        })
    }

    /// Code may begin subtransactions, as every EXCEPTION block of PL/pgSQL does, and each of these has a
    /// number of its own.
    fn is_one_transaction(&self) -> bool {
        let runs_code = |target: &Target| matches!(target, Target::Unseen(_));
        let sets_savepoint = || self.sql().to_lowercase().contains("savepoint");
        self.manner == Manner::Transaction && !self.losses().any(runs_code) && !sets_savepoint()
    }

    /// By its own word, without schema, arguments and quotes; a partition by its table's, too.
    fn names(&self, object: &str, attributes: &Attributes) -> bool {
        let name = super::STORE.objects.kind_and_name(object).1;
        let table = attributes.get("partition of").and_then(Value::as_str);
        let sql = self.sql().to_lowercase();
        [Some(name), table].into_iter().flatten().any(|name| has_word(&sql, name))
    }

    fn makes(&self, _object: &str) -> bool {
        false
    }

    fn of_ours(&self) -> Option<Arc<dyn Operation>> {
        Some(Arc::new(Step { is_ours: true, ..self.clone() }))
    }

    /// What it drops may be renamed by the earlier ones.
    fn before(&self, earlier: &[&dyn Operation]) -> Option<Arc<dyn Operation>> {
        let earlier: Vec<&Step> = earlier.iter().filter_map(|step| step.of_store()).collect();
        let statements = earlier.iter().flat_map(|step| &step.statements);
        let renames: Vec<_> = statements.flat_map(|statement| &statement.renames).collect();
        let mut step = self.clone();
        for target in step.statements.iter_mut().flat_map(|statement| &mut statement.losses) {
            *target = target.before(renames.iter().copied());
        }
        Some(Arc::new(step))
    }
}

/// Reads a file as its units: one for a file in a transaction; without (`apart`) one per statement, and
/// one per block of BEGIN … COMMIT.
pub fn parse(rendered: &Rendered, apart: bool) -> Result<Vec<Unit>, ScriptError> {
    let in_file = |mistake: ScriptError| {
        mistake.map(&|mistake: &mut ScriptError| {
            mistake.span = rendered.span(mistake.span.clone());
        })
    };
    let Split { statements, passed, backslash } = split(&rendered.text).map_err(in_file)?;
    let (blocks, mut mistakes) = blocks(&statements, &rendered.text, apart);
    mistakes.extend(statements.iter().filter_map(|one| refused(one, &rendered.text, apart)));
    if apart {
        mistakes.extend(outside(&statements, &rendered.text, &blocks));
    }
    if let Some(mistake) = ScriptError::all(mistakes) {
        return Err(in_file(mistake));
    }
    let words = statements.iter().filter(|one| !one.is_sent()).map(|one| one.span.clone());
    let passed: Vec<Span> = words.chain(passed).collect();
    let step = Step {
        text: rendered.blanked(passed.iter()),
        span: 0..rendered.text.len(),
        statements: Vec::new(),
        manner: Manner::Transaction,
        work: None,
        is_ours: false,
        is_block: false,
        blocks: Vec::new(),
        backslash,
    };
    Ok(match apart {
        true => one_by_one(&step, statements, &blocks),
        false => vec![whole(step, statements, &blocks)],
    })
}

/// What one statement may not be.
fn refused(statement: &Statement, text: &str, apart: bool) -> Option<ScriptError> {
    let reserved = |directive: &Directive| directive.key.demand_built(directive.span.clone()).err();
    let reserved = statement.directives.iter().find_map(reserved);
    reserved.or_else(|| match statement.class {
        Class::Alone { .. } if !apart => Some(
            mistake(statement, text, "this statement cannot run in a transaction")
                .hint("put `-- transaction: off` on the first line of the file"),
        ),
        Class::Alone { .. } | Class::Plain | Class::Control(_) | Class::Encoding => None,
    })
}

/// The mistakes of a file in which each statement is run by itself: what works in a block only, and is
/// in none.
fn outside(statements: &[Statement], text: &str, blocks: &[Block]) -> Vec<ScriptError> {
    let is_inside = |at: &usize| blocks.iter().any(|block| block.begin < *at && *at < block.commit);
    let needs_block = |one: &&Statement| {
        one.is_sent() && session::role(&text[one.span.clone()]) == session::Role::NeedsBlock
    };
    let told = |one: &Statement| {
        mistake(one, text, "this works inside a transaction block only").hint(
            "put it between BEGIN and COMMIT with what it is for; or leave LOCAL out: a SET lasts \
             until the end of the file",
        )
    };
    let alone = statements.iter().enumerate().filter(|(at, _)| !is_inside(at)).map(|(_, one)| one);
    alone.filter(needs_block).map(told).collect()
}

/// The whole file as one unit.
fn whole(step: Step, statements: Vec<Statement>, blocks: &[Block]) -> Unit {
    let place =
        |block: &Block| statements[block.begin].span.start..statements[block.commit].span.end;
    let blocks = blocks.iter().map(place).collect();
    // A run holds thousands of them.
    let mut statements: Vec<Statement> =
        statements.into_iter().filter(Statement::is_sent).collect();
    statements.shrink_to_fit();
    let step = Step { statements, blocks, ..step };
    Unit {
        label: step.label(),
        span: step.text.whole(),
        atomic: true,
        exclusive: step.streams(),
        step: Arc::new(step),
    }
}

/// A unit per statement and per block.
fn one_by_one(step: &Step, statements: Vec<Statement>, blocks: &[Block]) -> Vec<Unit> {
    let mut units = Vec::new();
    let mut blocks = blocks.iter().peekable();
    let mut rest = statements.into_iter().enumerate();
    while let Some((at, statement)) = rest.next() {
        match blocks.next_if(|block| block.begin == at) {
            Some(block) => {
                let more = rest.by_ref().take(block.commit - block.begin).map(|(_, one)| one);
                let all: Vec<Statement> = std::iter::once(statement).chain(more).collect();
                units.push(block_of(step, all));
            }
            None if statement.is_sent() => units.push(alone(step, statement)),
            None => {}
        }
    }
    units
}

/// The unit of a block: its first statement is BEGIN, its last one COMMIT.
fn block_of(step: &Step, statements: Vec<Statement>) -> Unit {
    let (span, file) = places(step, &statements);
    let statements = statements.into_iter().filter(Statement::is_sent).collect();
    let manner = Manner::Statement { sets_up: false };
    let step = Step { span, statements, manner, is_block: true, ..step.clone() };
    let label = match step.statements.as_slice() {
        [] => "BEGIN … COMMIT".to_string(),
        _ => format!("BEGIN … COMMIT: {}", step.label()),
    };
    Unit { label, span: file, atomic: true, exclusive: true, step: Arc::new(step) }
}

fn alone(step: &Step, statement: Statement) -> Unit {
    let text = &step.text.text[statement.span.clone()];
    let label = headline(text);
    let (atomic, manner) = match statement.class {
        Class::Alone { .. } => (false, Manner::Alone),
        Class::Plain | Class::Control(_) | Class::Encoding => {
            (true, Manner::Statement { sets_up: session::role(text) == session::Role::SetsUp })
        }
    };
    let statements = vec![statement];
    let (span, file) = places(step, &statements);
    let work = work(text);
    let step = Step { span, statements, manner, work, ..step.clone() };
    Unit { label, span: file, atomic, exclusive: true, step: Arc::new(step) }
}

/// Where the statements of a step stand in the text, COPY data included; and in the file, with what is
/// said above them, so that a change of that is a change of the step.
fn places(step: &Step, statements: &[Statement]) -> (Span, Span) {
    let start = statements.first().map_or(0, |first| first.span.start);
    let end = |one: &Statement| one.copy_data.as_ref().map_or(one.span.end, |data| data.end);
    let end = statements.iter().map(end).max().unwrap_or(start);
    let mut directives = statements.first().into_iter().flat_map(|first| &first.directives);
    let counted = directives.find(|directive| directive.key.counts());
    let above = counted.map_or(start, |directive| directive.start);
    (start..end, step.text.span(above..end))
}

/// The first words of a statement: enough to know it again.
pub(super) fn headline(statement: &str) -> String {
    let words: Vec<&str> = statement.split_whitespace().take(8).collect();
    let line = words.join(" ");
    let cut = line.find('(').map_or(line.as_str(), |at| line[..at].trim_end());
    let short: String = cut.chars().take(60).collect();
    match short.len() < cut.len() {
        true => format!("{short}…"),
        false => short,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn units(text: &str) -> Result<Vec<Unit>, ScriptError> {
        parse(&Rendered::verbatim(text), text.starts_with("-- transaction: off"))
    }

    #[test]
    fn one_unit_in_a_transaction() {
        let units = units("create table a (); create table b ();\n-- end").expect("units");
        assert_eq!(units.len(), 1);
        assert!(units[0].atomic);
        assert_eq!(units[0].label, "2 statements");
    }

    #[test]
    fn a_unit_per_statement_without() {
        let text =
            "-- transaction: off\ncreate index concurrently i on t (a);\ninsert into t values (1);";
        let units = units(text).expect("units");
        assert_eq!(units.iter().map(|unit| unit.atomic).collect::<Vec<_>>(), [false, true]);
        assert_eq!(&text[units[0].span.clone()], "create index concurrently i on t (a);");
        assert_eq!(units[0].label, "create index concurrently i on t");
    }

    #[test]
    fn a_step_begins_with_the_directives_that_count() {
        let text = "-- transaction: off\n/* of all */ -- b\n-- lint: allow a\n-- batch: 10\n-- why\nupdate t set a = 1;\n\
                    -- lint: allow a\ncreate table c ();\n-- free\ncreate table d ()";
        let Split { statements, .. } = split(text).expect("statements");
        let directives: Vec<usize> = statements.iter().map(|one| one.directives.len()).collect();
        assert_eq!(directives, [2, 1, 0]);
        let step = Step {
            text: Rendered::verbatim(text),
            is_ours: false,
            statements: Vec::new(),
            manner: Manner::Transaction,
            work: None,
            ..Step::clears("i")
        };
        let units = one_by_one(&step, statements, &[]);
        let places: Vec<&str> = units.iter().map(|unit| &text[unit.span.clone()]).collect();
        assert_eq!(
            places,
            [
                "-- batch: 10\n-- why\nupdate t set a = 1;",
                "create table c ();",
                "create table d ()"
            ]
        );
        let step: &Step = units[0].step.of_store().expect("a PostgreSQL step");
        assert_eq!(step.sql(), "update t set a = 1;");
        assert_eq!(units_of_reserved().message, "`batch` is not there yet");
    }

    fn units_of_reserved() -> ScriptError {
        units("select 1;\n-- batch: 10\nupdate t set a = 1;").expect_err("reserved")
    }

    #[test]
    fn a_file_in_a_transaction_passes_its_own_begin_and_commit_over() {
        let text =
            "begin;\nselect 1; commit work;\nstart transaction; /* a */ begin; select 2;\nend;";
        let units = units(text).expect("units");
        assert_eq!((units.len(), units[0].label.as_str()), (1, "2 statements"));
        let step: &Step = units[0].step.of_store().expect("a PostgreSQL step");
        let blank = |words: &str| " ".repeat(words.len());
        let sent = text
            .replace("begin;", &blank("begin;"))
            .replace("commit work;", &blank("commit work;"));
        let sent = sent.replace("start transaction;", &blank("start transaction;"));
        assert_eq!(step.sql(), sent.replace("end;", &blank("end;")));
        assert_eq!(step.remarks(), [(0..29, PASSED_OVER)]);
    }

    #[test]
    fn a_block_is_a_step_where_statements_are_run_one_by_one() {
        let text = "-- transaction: off\nselect 1;\nBEGIN; select 2; select 3; COMMIT;\nvacuum;\n\
                    begin;\ncopy t from stdin; end;\n1\n\\.\nselect 4;";
        let units = units(text).expect("units");
        let labels: Vec<&str> = units.iter().map(|unit| unit.label.as_str()).collect();
        let block = "BEGIN … COMMIT: 2 statements";
        assert_eq!(
            labels,
            ["select 1;", block, "vacuum;", "BEGIN … COMMIT: copy t from stdin;", "select 4;"]
        );
        let places: Vec<&str> = units.iter().map(|unit| &text[unit.span.clone()]).collect();
        assert_eq!(places[1], "BEGIN; select 2; select 3; COMMIT;");
        assert_eq!(places[3], "begin;\ncopy t from stdin; end;\n1\n");
        let step: &Step = units[1].step.of_store().expect("a PostgreSQL step");
        assert_eq!(step.sql(), "       select 2; select 3;        ");
        assert!(units[1].atomic && step.remarks().is_empty());
    }

    #[test]
    fn what_a_block_cannot_be_is_refused_with_its_place() {
        for (text, at) in [
            ("create table a ();\nCOMMIT;", 19),
            ("select 1; begin; select 2", 10),
            ("rollback", 0),
            ("begin; abort;", 7),
            ("begin; select 1; commit and chain; select 2; commit;", 17),
            ("begin isolation level serializable; commit;", 0),
            ("begin; select 1; prepare transaction 'a';", 17),
            ("begin; set local a.b = 1; commit; select 1;", 7),
            ("begin; create temp table a () on commit drop; commit; select 1;", 7),
            ("begin; select set_config('a.b', '1', true); commit; select 1;", 7),
            ("set local a.b = 1; begin; select 1; commit;", 0),
            ("-- transaction: off\nbegin; vacuum; commit;", 27),
            ("-- transaction: off\nselect 1; commit;", 30),
        ] {
            let mistake = units(text).expect_err(text);
            assert_eq!(mistake.span.start, at, "{text}: {}", mistake.message);
            assert!(mistake.also.is_empty() && mistake.hint.is_some(), "{text}: {mistake:?}");
        }
        for text in [
            "begin; set local a.b = 1; commit;",
            "begin; select 1; commit; begin; set local a.b = 1; end;",
        ] {
            assert!(units(text).is_ok(), "{text}");
        }
        let error = units("vacuum t; cluster; vacuum u").expect_err("vacuum");
        assert!(error.hint.expect("hint").contains("transaction: off"));
        assert_eq!(error.also.len(), 1);
    }
}
