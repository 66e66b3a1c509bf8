//! What is known of the work of a statement that may have to run outside a transaction, so that the
//! server can be asked what became of it.

use squawk_syntax::SourceFile;
use squawk_syntax::ast::{AstNode, Stmt};

use super::split::{names, says, tokens};

/// The work of such a statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Work {
    /// `CREATE INDEX CONCURRENTLY`.
    CreateIndex {
        /// The name, unqualified as the syntax demands; the server chooses one where it is missing.
        name: Option<String>,
        /// The table, as written.
        table: String,
        /// IF NOT EXISTS.
        tolerant: bool,
    },
    /// `DROP INDEX CONCURRENTLY`, with the names as written.
    DropIndex(Vec<String>),
    /// `REINDEX … CONCURRENTLY`.
    Reindex,
    /// `ALTER TABLE … DETACH PARTITION … CONCURRENTLY`.
    Detach {
        /// The partitioned table, as written.
        table: String,
        /// Its partition, as written.
        partition: String,
    },
    /// It makes, or drops, something that the whole server knows by name.
    Shared {
        /// Whether it makes it.
        makes: bool,
        /// The catalog, and its column of names.
        catalog: (&'static str, &'static str),
        /// The name, as written.
        name: String,
    },
    /// To do it twice is to do it once.
    Again,
    /// It clears away what another one left.
    Clears,
}

impl Work {
    /// Whether it waits for others by nature, for as long as they take.
    pub fn waits(&self) -> bool {
        match self {
            Work::CreateIndex { .. }
            | Work::DropIndex(_)
            | Work::Reindex
            | Work::Detach { .. }
            | Work::Clears => true,
            Work::Shared { .. } | Work::Again => false,
        }
    }
}

/// Whether a name is written with escapes (`U&"…"`), which none of the server's functions takes: what it is
/// about is not known then.
fn has_escapes(name: &str) -> bool {
    name.split('.').any(|part| part.get(..2).is_some_and(|start| start.eq_ignore_ascii_case("u&")))
}

const DATABASE: (&str, &str) = ("pg_database", "datname");
const TABLESPACE: (&str, &str) = ("pg_tablespace", "spcname");
const SUBSCRIPTION: (&str, &str) = ("pg_subscription", "subname");

/// What is known of the work of `statement`.
pub(super) fn work(statement: &str) -> Option<Work> {
    let parsed = SourceFile::parse(statement);
    let stmt = parsed.tree().stmts().next()?;
    let words: Vec<String> = tokens(stmt.syntax()).collect();
    let concurrently = says(&words, "concurrently");
    let after = |word: &str| words.iter().position(|found| found.eq_ignore_ascii_case(word));
    let first = |words: &[String], leading: &[&str]| names(words, leading).into_iter().next();
    let plain = |name: &String| !has_escapes(name);
    let shared = |makes, catalog, kind: &str| {
        let leading = ["create", "drop", "if", "not", "exists", kind];
        Some(Work::Shared { makes, catalog, name: first(&words, &leading).filter(plain)? })
    };
    match stmt {
        Stmt::CreateIndex(_) if concurrently => {
            let on = after("on")?;
            let leading = ["create", "unique", "index", "concurrently", "if", "not", "exists"];
            Some(Work::CreateIndex {
                name: first(&words[..on], &leading).filter(plain),
                table: first(&words[on..], &["on", "only"]).filter(plain)?,
                tolerant: says(&words[..on], "exists"),
            })
        }
        Stmt::DropIndex(_) if concurrently => {
            let leading = ["drop", "index", "concurrently", "if", "exists"];
            let dropped = names(&words, &leading);
            (!dropped.iter().any(|name| has_escapes(name))).then_some(Work::DropIndex(dropped))
        }
        Stmt::Reindex(_) if concurrently => Some(Work::Reindex),
        Stmt::AlterTable(_) if concurrently => Some(Work::Detach {
            table: first(&words, &["alter", "table", "if", "exists", "only"]).filter(plain)?,
            partition: first(&words[after("partition")?..], &["partition"]).filter(plain)?,
        }),
        Stmt::CreateDatabase(_) => shared(true, DATABASE, "database"),
        Stmt::DropDatabase(_) => shared(false, DATABASE, "database"),
        Stmt::CreateTablespace(_) => shared(true, TABLESPACE, "tablespace"),
        Stmt::DropTablespace(_) => shared(false, TABLESPACE, "tablespace"),
        Stmt::CreateSubscription(_) => shared(true, SUBSCRIPTION, "subscription"),
        Stmt::DropSubscription(_) => shared(false, SUBSCRIPTION, "subscription"),
        Stmt::Reindex(_)
        | Stmt::Vacuum(_)
        | Stmt::Cluster(_)
        | Stmt::Analyze(_)
        | Stmt::Checkpoint(_)
        | Stmt::Discard(_)
        | Stmt::AlterSystem(_)
        | Stmt::AlterDatabase(_)
        | Stmt::AlterSubscription(_) => Some(Work::Again),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_work_is_about() {
        assert_eq!(
            work("create unique index concurrently if not exists i on only a.t (x)"),
            Some(Work::CreateIndex { name: Some("i".into()), table: "a.t".into(), tolerant: true })
        );
        assert_eq!(
            work("create index concurrently on t (x)"),
            Some(Work::CreateIndex { name: None, table: "t".into(), tolerant: false })
        );
        assert_eq!(
            work("create index concurrently U&\"i\\0041\" on t (x)"),
            Some(Work::CreateIndex { name: None, table: "t".into(), tolerant: false })
        );
        assert_eq!(work("drop index concurrently u&\"i\""), None);
        assert_eq!(
            work("drop index concurrently if exists a.i, \"J k\""),
            Some(Work::DropIndex(vec!["a.i".into(), "\"J k\"".into()]))
        );
        assert_eq!(
            work("alter table a.p detach partition a.\"p 1\" concurrently"),
            Some(Work::Detach { table: "a.p".into(), partition: "a.\"p 1\"".into() })
        );
        assert_eq!(
            work("create subscription s connection 'x' publication p"),
            Some(Work::Shared { makes: true, catalog: SUBSCRIPTION, name: "s".into() })
        );
        assert_eq!(
            work("DROP DATABASE IF EXISTS \"D\" WITH (FORCE)"),
            Some(Work::Shared { makes: false, catalog: DATABASE, name: "\"D\"".into() })
        );
        for sql in ["vacuum full t", "cluster", "discard all", "reindex schema s", "checkpoint"] {
            assert_eq!(work(sql), Some(Work::Again), "{sql}");
        }
        assert_eq!(work("reindex (verbose) table concurrently t"), Some(Work::Reindex));
        for sql in ["call p()", "do $$ begin end $$", "create index i on t (x)"] {
            assert_eq!(work(sql), None, "{sql}");
        }
    }
}
