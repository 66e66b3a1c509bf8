//! SQL text → steps: the whole file in one transaction, or statement by statement.

use std::sync::Arc;

use serde_json::Value;

use super::heal::split_last;
use super::split::{Class, Index, Statement, Target, index_of, split};
use crate::shape::Attributes;
use crate::stores::contract::{Operation, Unit};
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
    /// Whether it is of our own making, and so for the fixed environment.
    pub(super) is_ours: bool,
}

/// How a step is run.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Manner {
    /// Inside the seal's transaction.
    Transaction,
    /// Alone, outside any transaction.
    Alone { concurrently: bool, index: Option<Index> },
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

    /// What it drops or empties.
    pub(super) fn losses(&self) -> impl Iterator<Item = &Target> {
        self.statements.iter().flat_map(|statement| &statement.losses)
    }

    /// A step that drops the invalid index `name` (qualified and quoted).
    pub(super) fn drop_index(name: &str) -> Step {
        let sql = format!("DROP INDEX CONCURRENTLY IF EXISTS {name}");
        let span = 0..sql.len();
        let index = Some(Index::Drop(vec![name.to_string()]));
        Step {
            text: Rendered::verbatim(&sql),
            span,
            statements: Vec::new(),
            manner: Manner::Alone { concurrently: true, index },
            is_ours: true,
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
        if self.manner != Manner::Transaction {
            return headline(self.sql());
        }
        match self.statements.as_slice() {
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

    fn inverse(&self, _before: &Value) -> Result<Vec<Value>, String> {
        Err("SQL is undone by a U file".to_string())
    }

    /// A file may do anything to its database. A role's settings are the whole server's: those that it
    /// does not name are others'.
    fn touches(&self, object: &str) -> bool {
        let of_server =
            object.strip_prefix("setting ").and_then(|rest| rest.split_once(" of role "));
        let names =
            |word: &str| self.sql().to_lowercase().contains(&word.trim_matches('"').to_lowercase());
        of_server.is_none_or(|(setting, role)| names(setting) || names(role))
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

/// Reads a file as its units: one for a file in a transaction, one per statement without (`apart`).
pub fn parse(rendered: &Rendered, apart: bool) -> Result<Vec<Unit>, ScriptError> {
    let in_file =
        |mistake: ScriptError| ScriptError { span: rendered.span(mistake.span), ..mistake };
    let mut statements = split(&rendered.text).map_err(in_file)?;
    for statement in &statements {
        for directive in &statement.directives {
            directive.key.demand_built(directive.span.clone()).map_err(in_file)?;
        }
        refuse(statement, &rendered.text, apart).map_err(in_file)?;
    }
    if apart {
        return Ok(statements.into_iter().map(|statement| alone(rendered, statement)).collect());
    }
    // A run holds thousands of them.
    statements.shrink_to_fit();
    let span = 0..rendered.text.len();
    let manner = Manner::Transaction;
    let step = Step { text: rendered.clone(), span, statements, manner, is_ours: false };
    Ok(vec![Unit {
        label: step.label(),
        span: rendered.whole(),
        atomic: true,
        exclusive: step.streams(),
        step: Arc::new(step),
    }])
}

fn refuse(statement: &Statement, text: &str, without: bool) -> Result<(), ScriptError> {
    let first = text[statement.span.clone()].split_whitespace().next().unwrap_or_default().len();
    let place = statement.span.start..statement.span.start + first;
    match statement.class {
        Class::Control if without => Err(ScriptError::new(
            place,
            "each statement of a file with `transaction: off` is run by itself; \
             it may not begin or end a transaction",
        )
        .hint("put what belongs together into a file of its own, without `transaction: off`")),
        Class::Control => Err(ScriptError::new(
            place,
            "the file may not begin or end a transaction: it is applied in one, together with its \
             ledger row",
        )
        .hint(
            "delete BEGIN and COMMIT; for statements that cannot run in a transaction, put \
               `-- transaction: off` on the first line",
        )),
        Class::Alone { .. } if !without => {
            Err(ScriptError::new(place, "this statement cannot run in a transaction")
                .hint("put `-- transaction: off` on the first line of the file"))
        }
        Class::Alone { .. } | Class::Plain => Ok(()),
    }
}

fn alone(rendered: &Rendered, statement: Statement) -> Unit {
    let text = &rendered.text[statement.span.clone()];
    let label = headline(text);
    let (atomic, manner) = match statement.class {
        Class::Alone { concurrently } => {
            let index = concurrently.then(|| index_of(text)).flatten();
            (false, Manner::Alone { concurrently, index })
        }
        Class::Plain | Class::Control => (true, Manner::Transaction),
    };
    let span = match &statement.copy_data {
        Some(data) => statement.span.start..data.end,
        None => statement.span.clone(),
    };
    // With what is said above it, so that a change of that is a change of the step.
    let counted = statement.directives.iter().find(|directive| directive.key.counts());
    let start = counted.map_or(span.start, |directive| directive.start);
    let file = rendered.span(start..span.end);
    let statements = vec![statement];
    let step = Step { text: rendered.clone(), span, statements, manner, is_ours: false };
    Unit { label, span: file, atomic, exclusive: true, step: Arc::new(step) }
}

/// The first words of a statement: enough to know it again.
fn headline(statement: &str) -> String {
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
        let rendered = Rendered::verbatim(text);
        let statements = split(text).expect("statements");
        let directives: Vec<usize> = statements.iter().map(|one| one.directives.len()).collect();
        assert_eq!(directives, [2, 1, 0]);
        let units: Vec<Unit> =
            statements.into_iter().map(|statement| alone(&rendered, statement)).collect();
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
    fn transaction_control_is_refused_with_its_place() {
        for text in ["begin; select 1; commit;", "create table a ();\nCOMMIT;", "rollback"] {
            assert!(units(text).expect_err(text).message.contains("may not begin or end"));
        }
        let error = units("vacuum t").expect_err("vacuum");
        assert!(error.hint.expect("hint").contains("transaction: off"));
    }
}
