//! Whether values outlive a step that updates or rewrites a table: a copy of their hashes from before
//! it, held against the table after it.
//!
//! A value is kept where some row has it that is otherwise as its row was. That a NULL is filled, a
//! table is clustered, or a type becomes a wider one, loses nothing.

use super::figures::{Kind, Subject};
use super::look::Look;
use super::picture::Oid;
use super::probe::Rows;
use crate::postgres::Names;
use crate::store_error::{StoreError, StoreErrorKind};

/// A table whose values are to be compared.
pub(super) struct Pair {
    pub oid: Oid,
    /// As it was before the step.
    pub subject: Subject,
    /// The columns that stay, and whether their type is another after the step.
    columns: Vec<(i16, bool)>,
    /// What the names of its copies end with: none of them is used twice in a session.
    token: u64,
    /// Why there is no copy.
    failed: Option<StoreError>,
}

/// What the comparison of one table found.
pub(super) struct Found {
    pub kind: Kind,
    /// The column, quoted; empty for all of them.
    pub column: String,
    pub rows: Rows,
}

impl Pair {
    /// Keeps the hashes of a table's values; the step is not done yet.
    pub async fn copy(
        look: Look<'_>,
        oid: Oid,
        subject: Subject,
        columns: &[(i16, bool)],
    ) -> Result<Pair, StoreError> {
        let mut pair =
            Pair { oid, subject, columns: columns.to_vec(), token: rand::random(), failed: None };
        let made = pair.make(look, "before", &pair.subject, |name, _| name.to_string()).await;
        match made {
            Err(error) if error.kind == StoreErrorKind::Unreachable => Err(error),
            made => {
                pair.failed = made.err();
                Ok(pair)
            }
        }
    }

    fn table(&self, side: &str) -> String {
        format!("pg_temp.aiplat_migrate_{side}_{:x}", self.token)
    }

    /// Makes the table of hashes of one `side` of the step; `value` gives the SQL of a column's value.
    async fn make(
        &self,
        look: Look<'_>,
        side: &str,
        subject: &Subject,
        value: impl Fn(&str, (i16, bool)) -> String,
    ) -> Result<(), StoreError> {
        let hash = |column: &(i16, bool)| {
            let name = subject.columns.get(&column.0).map_or("NULL", |(name, _)| name);
            let value = value(name, *column);
            format!("hashtextextended(({value})::text COLLATE \"C\", 0)")
        };
        let hashes: Vec<String> = self.columns.iter().map(hash).collect();
        let name = &subject.name;
        let copy = format!(
            "CREATE TEMP TABLE {} AS SELECT ARRAY[{}]::bigint[] AS h FROM ONLY {name}",
            self.table(side),
            hashes.join(", ")
        );
        let force = |word: &str| format!("ALTER TABLE {name} {word}FORCE ROW LEVEL SECURITY");
        match subject.can_unhide {
            true => look.make(&[force("NO "), copy, force("")]).await,
            false => look.make(&[copy]).await,
        }
    }

    /// What is lost, once the step is done and the table is `now`; `None` for one that is gone.
    pub async fn compare(
        &self,
        look: Look<'_>,
        now: Option<&Subject>,
    ) -> Result<Vec<Found>, StoreError> {
        let (None, Some(now)) = (&self.failed, now) else {
            let gone = || StoreError::refused("the table is gone");
            return unknown(self.failed.clone().unwrap_or_else(gone));
        };
        match self.compared(look, now).await {
            Ok(found) => Ok(found),
            Err(error) => unknown(error),
        }
    }

    async fn compared(&self, look: Look<'_>, now: &Subject) -> Result<Vec<Found>, StoreError> {
        // What a narrower type lost is not there after the way back either.
        let back = |name: &str, (number, retyped): (i16, bool)| {
            let was = self.subject.columns.get(&number).filter(|_| retyped);
            was.map_or(name.to_string(), |(_, of)| format!("CAST({name} AS {of})"))
        };
        if self.make(look, "after", now, back).await.is_err() {
            // There is no way back to the former type, or it is gone: then the texts must be the same.
            self.make(look, "after", now, |name, _| name.to_string()).await?;
        }
        let changed = self.changed(look).await?;
        let found = self.count(look, &changed).await?;
        look.make(&[format!("DROP TABLE {}, {}", self.table("before"), self.table("after"))])
            .await?;
        Ok(found)
    }

    /// The columns, by their place in the arrays, that have not the same values in some order.
    async fn changed(&self, look: Look<'_>) -> Result<Vec<usize>, StoreError> {
        let side = |table: String| {
            format!(
                "SELECT i, count(v) AS c, sum(v) AS s FROM {table}, unnest(h) WITH ORDINALITY u (v, i) \
                 GROUP BY i"
            )
        };
        let sql = format!(
            "SELECT i FROM ({} UNION ALL {}) s GROUP BY i \
             HAVING count(*) < 2 OR min(c) <> max(c) OR min(s) <> max(s) ORDER BY i",
            side(self.table("before")),
            side(self.table("after"))
        );
        let rows = look.ask(Names::Ours, &[sql]).await?;
        Ok(rows.iter().filter_map(|row| row.get(0)?.parse().ok()).collect())
    }

    async fn count(&self, look: Look<'_>, changed: &[usize]) -> Result<Vec<Found>, StoreError> {
        let (before, after) = (self.table("before"), self.table("after"));
        let same = (1..=self.columns.len()).filter(|at| !changed.contains(at));
        let same: Vec<String> = same.map(|at| format!("h[{at}]")).collect();
        let same = format!("ARRAY[{}]::bigint[]", same.join(", "));
        let missing = |value: &str, filter: &str| {
            format!(
                "(SELECT count(*) FROM (SELECT {value} FROM {before} WHERE {filter} \
                 EXCEPT ALL SELECT {value} FROM {after} WHERE {filter}) d)"
            )
        };
        let mut figures = vec![
            format!(
                "greatest((SELECT count(*) FROM {before}) - (SELECT count(*) FROM {after}), 0)"
            ),
            missing("h", "true"),
            missing(&same, "true"),
        ];
        figures.extend(
            changed
                .iter()
                .map(|at| missing(&format!("{same}, h[{at}]"), &format!("h[{at}] IS NOT NULL"))),
        );
        let rows = look.ask(Names::Ours, &[format!("SELECT {}", figures.join(", "))]).await?;
        let figure = |at: usize| -> i64 {
            rows.first().and_then(|row| row.get(at)?.parse().ok()).unwrap_or(i64::MAX)
        };
        if figure(0) > 0 {
            return Ok(vec![Found::of(Kind::Lost, "", figure(1))]);
        }
        let of_column = |(place, at): (usize, &usize)| {
            let number = self.columns.get(at - 1).map(|(number, _)| number);
            let name = number.and_then(|number| self.subject.columns.get(number));
            let name = name.map_or("", |(name, _)| name);
            Found::of(Kind::Overwritten, name, figure(3 + place))
        };
        let mut found: Vec<Found> = changed.iter().enumerate().map(of_column).collect();
        found.retain(|found| !matches!(found.rows, Rows::Known(0)));
        if found.is_empty() {
            found.push(Found::of(Kind::Exchanged, "", figure(2)));
        }
        Ok(found)
    }
}

fn unknown(error: StoreError) -> Result<Vec<Found>, StoreError> {
    Ok(vec![Found { kind: Kind::Overwritten, column: String::new(), rows: Rows::hidden(error)? }])
}

impl Found {
    fn of(kind: Kind, column: &str, rows: i64) -> Found {
        Found { kind, column: column.to_string(), rows: Rows::Known(rows) }
    }
}
