//! Seals: the SQL that puts a migration's ledger row into the migration's own transaction.

use serde_json::{Value, json};

use super::journal::Claim;
use super::lock::Objects;
use super::{Ledger, LockedLedger};
use crate::postgres::{literal, own_role};
use crate::stores::{Guard, SESSION, Seal, StoreKind};

impl LockedLedger {
    /// Seals the application of a migration. `after` is the seal sent before it in the same session,
    /// which must be settled by then; `replaces` is the row of a repeatable that this one supersedes.
    /// A `lazy` one is answered before it is on disk: only where this run commits once more, and
    /// touches nothing but this server before that.
    pub fn seal_applied(
        &self,
        claim: &Claim,
        after: Option<&Seal>,
        replaces: Option<i64>,
        lazy: bool,
    ) -> Seal {
        let mut row = self.row_json(claim);
        // It is one step, settled with it.
        row["steps_total"] = json!(1);
        row["steps_done"] = json!(1);
        let replaces = replaces.map_or("NULL".to_string(), |row| row.to_string());
        let close = include_str!("sql/close_applied.sql");
        let seal = self.seal(own(false), close, after, &[jsonb(&row), replaces, lazy.to_string()]);
        self.guarded(self.checked(seal, "applied"))
    }

    /// Seals the undoing of the migration in `row`.
    pub fn seal_undone(&self, row: i64, after: Option<&Seal>) -> Seal {
        let run = &self.run;
        let (id, owner) = (literal(&run.id), jsonb(&self.owner));
        let arguments = [row.to_string(), id, owner, literal(&run.host), literal(run.tool)];
        let seal = self.seal(own(false), include_str!("sql/close_undone.sql"), after, &arguments);
        self.guarded(self.checked(seal, "undone"))
    }

    /// Seals a repair of `store`: its event is written in the repair's own transaction.
    pub fn seal_repair(&self, store: StoreKind, details: &Value) -> Seal {
        let run = &self.run;
        let (id, store) = (literal(&run.id), literal(store.name()));
        let arguments = [id, store, literal(&run.host), literal(run.tool), jsonb(details)];
        self.seal(own(false), include_str!("sql/close_repair.sql"), None, &arguments)
    }

    /// Seals step number `step` of the journalled migration in `row`: what the file has set in the
    /// session is as it was once the transaction has ended; what the session is like is kept with the
    /// row, where that is of use to a run that goes on (`keeps_session`).
    pub fn seal_step(&self, row: i64, step: usize, keeps_session: bool) -> Seal {
        let arguments = [row.to_string(), literal(&self.run.id), step.to_string()];
        let close = include_str!("sql/close_step.sql");
        let mut seal = self.seal(own(true), close, None, &arguments);
        if keeps_session {
            let keep = self.sql(include_str!("sql/keep_session.sql"));
            seal.close.push(with_values(&keep, &[&row.to_string(), &literal(SESSION)]));
        }
        self.guarded(seal)
    }

    /// The same, unless the file touches the ledger's own tables, functions or schema.
    fn guarded(&self, seal: Seal) -> Seal {
        let Objects { schema, tables, functions, .. } = &self.objects;
        let (tables, functions) = (format!("'{{{tables}}}'"), format!("'{{{functions}}}'"));
        let untouched = self.sql(include_str!("sql/untouched.sql"));
        let unmade = self.sql(include_str!("sql/unmade.sql"));
        let guard = Guard {
            untouched: with_values(&untouched, &[schema, &tables, &functions]),
            unmade: with_values(&unmade, &[schema]),
            always: self.objects.are_named,
        };
        Seal { guard: Some(guard), ..seal }
    }

    /// The same, with a look at whether the row is there, where a trigger could have swallowed it.
    fn checked(&self, mut seal: Seal, state: &str) -> Seal {
        if self.objects.have_triggers {
            let written = self.sql(include_str!("sql/written.sql"));
            seal.close.push(with_values(&written, &[&literal(&self.run.id), &literal(state)]));
        }
        seal
    }

    /// `close` is a call of one of the ledger's functions, as the `own` role: with the seal's token, the
    /// token of the one before it, and `arguments`, which are SQL.
    fn seal(&self, own: String, close: &str, after: Option<&Seal>, arguments: &[String]) -> Seal {
        // Nobody can guess it, so no file can set it by accident.
        let token = literal(&format!("{:016x}", rand::random::<u64>()));
        let after = after.map_or("NULL", |seal| &seal.token);
        let values: Vec<&str> =
            [&token, after].into_iter().chain(arguments.iter().map(String::as_str)).collect();
        Seal {
            open: format!("SET LOCAL aiplat_migrate.token = {token}"),
            close: vec![own, with_values(&self.sql(close), &values)],
            guard: None,
            token,
        }
    }
}

impl Ledger {
    /// SQL that brings a session which the user's SQL ran on back to how it began. The advisory lock
    /// that the run holds through it is left alone.
    pub fn reset(&self) -> String {
        format!(
            "{};\n{}",
            own(false),
            with_values(&self.sql(include_str!("sql/settled.sql")), &["NULL"])
        )
    }
}

impl Ledger {
    /// SQL for the numbers of the transactions that were sealed: each has written an event.
    pub fn sealed(&self) -> String {
        self.sql("SELECT xmin::text FROM $schema.event")
    }
}

/// The ledger's statements run as the role that connected, however short the time that the file has
/// given to a statement: a statement_timeout that the file has set is for its own statements. In a file's
/// own session, which goes on as the file has set it, only `until_commit`.
///
/// Another role may not even look into the ledger's schema, so this cannot be part of a function there.
fn own(until_commit: bool) -> String {
    format!(
        "{}, pg_catalog.set_config('statement_timeout', '0', true), \
         pg_catalog.set_config('lock_timeout', '0', true)",
        own_role(until_commit)
    )
}

fn jsonb(value: &Value) -> String {
    literal(&value.to_string())
}

/// The statement `sql` with `values` in the places of `$1`, `$2` and so on. A message of several
/// statements, as a sealed file is, cannot have parameters.
fn with_values(sql: &str, values: &[&str]) -> String {
    let mut pieces = sql.trim_end().split('$');
    let mut result = pieces.next().unwrap_or_default().to_string();
    for piece in pieces {
        let end = piece.find(|c: char| !c.is_ascii_digit()).unwrap_or(piece.len());
        let value = piece[..end].parse::<usize>().ok().and_then(|n| values.get(n.checked_sub(1)?));
        result.push_str(value.unwrap_or(&""));
        result.push_str(&piece[end..]);
    }
    result
}

#[cfg(test)]
mod tests {
    use super::with_values;

    #[test]
    fn values_are_put_in_once() {
        let values = ["'$2'", "b", "c", "d", "e", "f", "g", "h", "i", "'$1'"];
        assert_eq!(with_values("f($1, $10, $2)\n", &values), "f('$2', '$1', b)");
    }
}
