//! How much is lost: rows and values, counted where they still are.

use std::collections::{BTreeMap, BTreeSet};

use tokio_postgres::SimpleQueryRow;

use super::compare;
use super::look::Look;
use super::picture::{Change, Oid};
use super::probe::{COUNTED, Rows};
use crate::postgres::Names;
use crate::store_error::{StoreError, StoreErrorKind};
use crate::stores::contract::Loss;

/// The names that relations have before the plan, as the user's SQL would write them.
pub(super) type Known = BTreeMap<Oid, String>;

/// A relation as it can be read at this moment.
pub(super) struct Subject {
    pub oid: Oid,
    /// Its qualified, quoted name.
    pub name: String,
    /// Its rows may be hidden from us, and we may lift that.
    pub can_unhide: bool,
    /// By number: the quoted name, the type as written.
    pub columns: BTreeMap<i16, (String, String)>,
    /// What it is a part of, nearest first.
    above: Vec<Oid>,
}

/// What can only be told once the step is done.
#[derive(Default)]
pub(super) struct Afterwards {
    emptied: BTreeSet<Oid>,
    positions: BTreeMap<Oid, Option<(i64, bool)>>,
}

/// The kinds of figures.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Kind {
    Table,
    Column,
    Deleted,
    Overwritten,
    Exchanged,
    Lost,
    Unlogged,
}

/// Figures, those of partitions added up.
#[derive(Default)]
pub(super) struct Figures {
    all: Vec<(Kind, String, String, Rows)>,
    others: Vec<Loss>,
}

pub(super) async fn names(look: Look<'_>) -> Result<Known, StoreError> {
    let sql = "SELECT c.oid, c.oid::pg_catalog.regclass::pg_catalog.text FROM pg_catalog.pg_class c \
               WHERE c.relkind OPERATOR(pg_catalog.=) ANY ('{r,p,S,f}'::pg_catalog.\"char\"[])";
    let rows = look.ask(Names::Users, &[sql.to_string()]).await?;
    let read = |row: &SimpleQueryRow| Some((row.get(0)?.parse().ok()?, row.get(1)?.to_string()));
    Ok(rows.iter().filter_map(read).collect())
}

fn listed(oids: impl Iterator<Item = Oid>) -> String {
    let oids: Vec<String> = oids.map(|oid| oid.to_string()).collect();
    format!("'{{{}}}'::oid[]", oids.join(","))
}

pub(super) async fn subjects(
    look: Look<'_>,
    changes: &[(Oid, Change)],
) -> Result<BTreeMap<Oid, Subject>, StoreError> {
    let oids = listed(changes.iter().map(|(oid, _)| *oid));
    let sql = format!(
        "SELECT c.oid, format('%I.%I', n.nspname, c.relname), row_security_active(c.oid) \
           AND c.relforcerowsecurity AND pg_has_role(c.relowner, 'USAGE') \
         FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = ANY ({oids})"
    );
    let mut found = BTreeMap::new();
    for row in look.ask(Names::Ours, &[sql]).await? {
        let name = row.get(1).unwrap_or_default().to_string();
        let can_unhide = row.get(2) == Some("t");
        let (columns, above) = (BTreeMap::new(), Vec::new());
        let oid = number(&row, 0)?;
        found.insert(oid, Subject { oid, name, can_unhide, columns, above });
    }
    let sql = format!(
        "SELECT attrelid, attnum, quote_ident(attname), format_type(atttypid, atttypmod) \
         FROM pg_attribute WHERE attrelid = ANY ({oids}) AND attnum > 0 AND NOT attisdropped"
    );
    for row in look.ask(Names::Ours, &[sql]).await? {
        let Some(subject) = found.get_mut(&number(&row, 0)?) else { continue };
        let text = |at| row.get(at).unwrap_or_default().to_string();
        subject.columns.insert(number(&row, 1)?, (text(2), text(3)));
    }
    let sql = format!(
        "SELECT c.oid, a.relid::oid FROM pg_class c, \
           LATERAL pg_partition_ancestors(c.oid) WITH ORDINALITY a (relid, at) \
         WHERE c.oid = ANY ({oids}) AND c.relispartition AND a.relid <> c.oid ORDER BY 1, a.at"
    );
    for row in look.ask(Names::Ours, &[sql]).await? {
        if let Some(subject) = found.get_mut(&number(&row, 0)?) {
            subject.above.push(number(&row, 1)?);
        }
    }
    Ok(found)
}

fn number<N: std::str::FromStr>(row: &SimpleQueryRow, at: usize) -> Result<N, StoreError> {
    let parsed = row.get(at).and_then(|text| text.parse().ok());
    parsed.ok_or_else(|| StoreError::refused("the catalogs cannot be read"))
}

impl Afterwards {
    /// Asks while the step is done.
    pub async fn of(look: Look<'_>, changes: &[(Oid, Change)]) -> Result<Afterwards, StoreError> {
        let mut afterwards = Afterwards::default();
        let changed = |(_, change): &&(Oid, Change)| matches!(change, Change::Changed { .. });
        if changes.iter().any(|change| changed(&change)) {
            let subjects = subjects(look, changes).await?;
            for (oid, _) in changes.iter().filter(changed) {
                let Some(subject) = subjects.get(oid) else { continue };
                if matches!(count(look, subject, "true", 1).await?, Rows::Known(0)) {
                    afterwards.emptied.insert(*oid);
                }
            }
        }
        for (oid, _) in changes.iter().filter(|(_, change)| *change == Change::Moved) {
            afterwards.positions.insert(*oid, position(look, *oid).await?);
        }
        Ok(afterwards)
    }

    pub fn is_emptied(&self, oid: Oid) -> bool {
        self.emptied.contains(&oid)
    }
}

/// Where a sequence stands, and whether it goes upwards; `None` before its first value.
async fn position(look: Look<'_>, oid: Oid) -> Result<Option<(i64, bool)>, StoreError> {
    let sql = format!(
        "SELECT pg_sequence_last_value({oid}), seqincrement > 0 FROM pg_sequence WHERE seqrelid = {oid}"
    );
    let rows = look.ask(Names::Ours, &[sql]).await?;
    let read = |row: &SimpleQueryRow| Some((row.get(0)?.parse().ok()?, row.get(1) == Some("t")));
    Ok(rows.first().and_then(read))
}

/// The rows of `subject` for which `condition` holds, up to `limit`.
async fn count(
    look: Look<'_>,
    subject: &Subject,
    condition: &str,
    limit: i64,
) -> Result<Rows, StoreError> {
    let name = &subject.name;
    let mut statements = Vec::new();
    if subject.can_unhide {
        statements.push(format!("ALTER TABLE {name} NO FORCE ROW LEVEL SECURITY"));
    }
    statements.push(format!(
        "SELECT count(*) FROM (SELECT FROM ONLY {name} WHERE {condition} LIMIT {limit}) t"
    ));
    match look.ask(Names::Ours, &statements).await {
        Ok(rows) => rows.first().map_or(Ok(Rows::Known(0)), |row| Ok(Rows::Known(number(row, 0)?))),
        Err(error) => Rows::hidden(error),
    }
}

impl Rows {
    /// Why rows cannot be counted; a store that is gone is another matter.
    pub(super) fn hidden(error: StoreError) -> Result<Rows, StoreError> {
        match (error.kind, error.code.as_deref()) {
            (StoreErrorKind::Unreachable, _) => Err(error),
            (_, Some("57014")) => Ok(Rows::Hidden("it takes too long".to_string())),
            (_, Some(super::MAY_NOT)) if error.message.contains("row-level security") => {
                Ok(Rows::Hidden("row security hides its rows from this role".to_string()))
            }
            _ => Ok(Rows::Hidden(error.message)),
        }
    }
}

impl Figures {
    /// Counts what `changes` lose, where the step is not done yet; what has to be compared is left.
    pub async fn count(
        &mut self,
        look: Look<'_>,
        known: &Known,
        changes: &[(Oid, Change)],
        afterwards: &Afterwards,
    ) -> Result<(), StoreError> {
        let subjects = subjects(look, changes).await?;
        let gone: BTreeSet<Oid> = changes
            .iter()
            .filter(|(_, change)| matches!(change, Change::Gone { .. }))
            .map(|(oid, _)| *oid)
            .collect();
        for (oid, change) in changes {
            // What somebody else dropped meanwhile is not there any more.
            let Some(subject) = subjects.get(oid) else { continue };
            let top = subject.above.last().unwrap_or(oid);
            let label = shown(known, *top, subject);
            match change {
                Change::Gone { holds: true } => {
                    let rows = count(look, subject, "true", COUNTED + 1).await?;
                    let top = subject.above.iter().take_while(|above| gone.contains(above)).last();
                    let label = shown(known, *top.unwrap_or(oid), subject);
                    self.add(Kind::Table, label, "", rows);
                }
                Change::Gone { holds: false } => {}
                Change::ColumnGone(number) => {
                    let Some((column, _)) = subject.columns.get(number) else { continue };
                    // Of a row's parts, IS NULL asks each.
                    let is_set = format!("{column} IS DISTINCT FROM NULL");
                    let rows = count(look, subject, &is_set, COUNTED + 1).await?;
                    self.add(Kind::Column, label, column, rows);
                }
                Change::Changed { .. } if afterwards.is_emptied(*oid) => {
                    let rows = count(look, subject, "true", COUNTED + 1).await?;
                    self.add(Kind::Table, label, "", rows);
                }
                Change::Unlogged => {
                    let rows = count(look, subject, "true", COUNTED + 1).await?;
                    self.add(Kind::Unlogged, label, "", rows);
                }
                Change::Changed { .. } => {}
                Change::Deleted(rows) => self.add(Kind::Deleted, label, "", exactly(*rows)),
                Change::Moved => {
                    let before = position(look, *oid).await?;
                    let after = afterwards.positions.get(oid).copied().flatten();
                    self.others.extend(moved(&label, before, after));
                }
                Change::Foreign => self.tell_unknown(format!(
                    "what is written to the foreign table {label} is on another server"
                )),
                Change::LargeObjects(objects) => self.tell(match objects {
                    1 => "1 large object is deleted".to_string(),
                    objects => format!("{objects} large objects are deleted"),
                }),
                Change::Pages(pages) => {
                    let whole =
                        |(_, change): &(Oid, Change)| matches!(change, Change::LargeObjects(_));
                    if !changes.iter().any(whole) {
                        let pages = Rows::Known(exact(*pages));
                        self.tell(format!("large objects are overwritten in {}", pages.of("page")));
                    }
                }
            }
        }
        Ok(())
    }

    /// Adds what was found in the relation `oid` by comparing it with its copy.
    pub fn add_compared(
        &mut self,
        known: &Known,
        (oid, subject): (Oid, &Subject),
        found: Vec<compare::Found>,
    ) {
        let label = shown(known, subject.above.last().copied().unwrap_or(oid), subject);
        for found in found {
            self.add(found.kind, label.clone(), &found.column, found.rows);
        }
    }

    fn add(&mut self, kind: Kind, label: String, column: &str, rows: Rows) {
        let same = |(of, table, part, _): &&mut (Kind, String, String, Rows)| {
            *of == kind && *table == label && part == column
        };
        match self.all.iter_mut().find(same) {
            Some((.., sum)) => *sum = std::mem::replace(sum, Rows::Known(0)).plus(rows),
            None => self.all.push((kind, label, column.to_string(), rows)),
        }
    }

    pub fn tell(&mut self, what: String) {
        self.others.push(Loss { what, known: true });
    }

    pub fn tell_unknown(&mut self, what: String) {
        self.others.push(Loss { what, known: false });
    }

    pub fn losses(self) -> Vec<Loss> {
        let mut all: Vec<Loss> = self.all.into_iter().filter_map(in_words).collect();
        all.extend(self.others);
        all
    }
}

fn in_words((kind, table, column, rows): (Kind, String, String, Rows)) -> Option<Loss> {
    let counted = match &rows {
        Rows::Known(0) => return None,
        Rows::Known(_) => None,
        Rows::Hidden(why) => Some(why.clone()),
    };
    let of_column = format!("column {column} of {table}");
    if let Some(why) = counted {
        let what = match kind {
            Kind::Overwritten | Kind::Exchanged | Kind::Lost => {
                format!("table {table} is changed, and its values cannot be compared: {why}")
            }
            Kind::Column => format!("{of_column} cannot be counted: {why}"),
            Kind::Table | Kind::Deleted | Kind::Unlogged => {
                format!("table {table} cannot be counted: {why}")
            }
        };
        return Some(Loss { what, known: false });
    }
    let (one, figure) = (matches!(rows, Rows::Known(1)), rows.of("row"));
    let are = if one { "is" } else { "are" };
    let what = match kind {
        Kind::Table => format!("table {table} holds {figure}"),
        Kind::Column => format!("{of_column} is set in {figure}"),
        Kind::Deleted => format!("{figure} of table {table} {are} deleted"),
        Kind::Overwritten => format!("{of_column} is overwritten in {figure}"),
        Kind::Exchanged => format!("values of table {table} are exchanged in {figure}"),
        Kind::Lost => format!("{figure} of table {table} {are} lost"),
        Kind::Unlogged => {
            format!("table {table} becomes unlogged: a crash empties it, and it holds {figure}")
        }
    };
    Some(Loss { what, known: true })
}

fn shown(known: &Known, oid: Oid, subject: &Subject) -> String {
    known.get(&oid).unwrap_or(&subject.name).clone()
}

fn exact(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn exactly(count: u64) -> Rows {
    Rows::Known(exact(count))
}

/// A sequence that goes back, or turns round, gives values again that it has given.
fn moved(label: &str, before: Option<(i64, bool)>, after: Option<(i64, bool)>) -> Option<Loss> {
    let (before, upwards) = before?;
    let what = match after {
        None => format!("sequence {label} goes back from {before} to its start"),
        Some((_, now)) if now != upwards => format!("sequence {label} turns round at {before}"),
        Some((after, _)) if (after < before) == upwards && after != before => {
            format!("sequence {label} goes back from {before} to {after}")
        }
        Some(_) => return None,
    };
    Some(Loss { what, known: true })
}
