//! Every write to rows and events, but for those of sealed migrations: their functions write in the
//! migration's own transaction (`seal.rs`), and begin and end a row by the same functions as here.
//!
//! A write names the row that it changes by its number, and what has to be true of it: the run that
//! took it over, its state, its step, and, where something begins, that the lock is held. Where
//! that is not so nothing is written, and only then is the ledger asked why.

use serde_json::{Value, json};
use tokio_postgres::types::{ToSql, Type};

use super::record::row_name;
use super::rows::{State, kind_and_version};
use super::{LedgerError, LockedLedger, Row};
use crate::error::{Error, Result};
use crate::failpoint::effect;
use crate::migration::{Down, Inverse, MigrationId, Requirement};
use crate::shape::Attributes;
use crate::stores::StoreKind;
use crate::stores::{Before, Position};
use crate::text::Checksum;

/// What a row says of its migration when it is claimed.
#[derive(Clone, Debug)]
pub struct Claim {
    /// The migration.
    pub id: MigrationId,
    /// Its description.
    pub description: String,
    /// Its file.
    pub script: String,
    /// The checksum of the file.
    pub checksum: Checksum,
    /// The checksum of what the file does, apart from comments and white space; `None` where that
    /// cannot be told.
    pub content: Option<Checksum>,
    /// What undoes it, as far as it is known before its first step.
    pub down: Down,
    /// What it requires.
    pub requires: Vec<Requirement>,
    /// The hash of each step's text.
    pub step_hashes: Vec<String>,
}

/// The states of a row that a failure may be told of.
const ANY: &str = "there";

/// What a write has to find.
struct Demand {
    /// The row that it changes; none where it makes one.
    row: Option<i64>,
    /// Whether the row has to be this run's already.
    own: bool,
    /// How the row has to be.
    state: String,
}

impl Demand {
    fn own(row: i64, state: impl Into<String>) -> Demand {
        Demand { row: Some(row), own: true, state: state.into() }
    }

    fn of(row: i64, state: &str) -> Demand {
        Demand { row: Some(row), own: false, state: state.to_string() }
    }

    fn at_step(row: i64, step: usize) -> Demand {
        Demand::own(row, format!("running or undoing, with {step} steps done"))
    }
}

/// What is said of a step that was in doubt.
#[derive(Clone, Debug, PartialEq)]
pub enum Said {
    /// It was done.
    Done,
    /// It was not done.
    NotDone,
    /// It was done up to here.
    Partly(Position),
}

impl Said {
    /// In words.
    pub fn name(&self) -> &'static str {
        match self {
            Said::Done => "done",
            Said::NotDone => "not done",
            Said::Partly(_) => "done in part",
        }
    }

    /// Who says it, where no store can.
    pub const PERSON: &str = "a person";

    /// As an event tells that `who` said it.
    pub fn told(&self, who: &str) -> String {
        format!("{} as {who} says", self.name())
    }
}

/// The kinds of event that are appended by themselves; all others are written with the row that they
/// are about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventKind {
    /// A migration failed.
    Failed,
    /// A person settled something.
    Repaired,
}

impl EventKind {
    /// As stored.
    pub fn name(self) -> &'static str {
        match self {
            EventKind::Failed => "failed",
            EventKind::Repaired => "repaired",
        }
    }
}

impl LockedLedger {
    /// The columns of a row that is begun now.
    pub(super) fn row_json(&self, claim: &Claim) -> Value {
        let (kind, version) = kind_and_version(&claim.id);
        let requires: Vec<String> = claim.requires.iter().map(Requirement::to_string).collect();
        json!({
            "run_id": self.run.id,
            "owner": self.owner,
            "store": claim.id.store.name(),
            "kind": kind,
            "version": version,
            "description": claim.description,
            "script": claim.script,
            "checksum": claim.checksum.as_str(),
            "content_checksum": claim.content.as_ref().map(Checksum::as_str),
            "steps_total": claim.step_hashes.len(),
            "steps_done": 0,
            "step_hashes": claim.step_hashes,
            "down": claim.down,
            "requires": requires,
            "host": self.run.host,
            "tool_version": self.run.tool,
        })
    }

    /// Begins a journalled migration: its row is durable before its store is touched. `replaces` is
    /// the row of a repeatable that this one supersedes.
    pub async fn begin(&self, claim: &Claim, replaces: Option<i64>) -> Result<i64> {
        let sql = include_str!("sql/begin.sql");
        let demand = Demand { row: replaces, own: false, state: "applied".to_string() };
        let row = effect!("begin", self.one(sql, &[&self.row_json(claim), &replaces], demand))?;
        self.check(row, "running").await.map(|()| row)
    }

    /// Goes on with a journalled migration that an earlier run left; its file may have changed from
    /// the first unfinished step on. Where that very step was claimed and its text was changed, what
    /// stood before the old text means nothing to the new one (`edited`): it is claimed anew.
    /// `position` is where it goes on.
    pub async fn resume(
        &self,
        row: &Row,
        claim: &Claim,
        edited: bool,
        position: Option<&Position>,
    ) -> Result<()> {
        let position = position.map(|position| &position.0);
        let parameters: [&(dyn ToSql + Sync); 13] = [
            &row.row,
            &self.run.id,
            &self.owner,
            &self.run.host,
            &claim.script,
            &claim.checksum.as_str(),
            &claim.content.as_ref().map(Checksum::as_str),
            &number(claim.step_hashes.len()),
            &json!(claim.step_hashes),
            &edited,
            &self.run.tool,
            &json!({ "steps_done": row.steps_done, "run": row.run }),
            &position,
        ];
        let sql = include_str!("sql/resume.sql");
        let demand = Demand::of(row.row, "running or failed");
        effect!("resume", self.one(sql, &parameters, demand)).map(|_| ())
    }

    /// Begins, or goes on with, the undoing of a journalled migration. A fresh one starts at its
    /// first inverse step; one that an earlier run left keeps its place.
    pub async fn begin_undo(
        &self,
        row: &Row,
        step_hashes: &[String],
        position: Option<&Position>,
    ) -> Result<()> {
        let position = position.map(|position| &position.0);
        let parameters: [&(dyn ToSql + Sync); 7] = [
            &row.row,
            &self.run.id,
            &self.owner,
            &self.run.host,
            &number(step_hashes.len()),
            &json!(step_hashes),
            &position,
        ];
        let sql = include_str!("sql/begin_undo.sql");
        let demand = Demand::of(row.row, "applied, running, failed or undoing");
        effect!("begin_undo", self.one(sql, &parameters, demand)).map(|_| ())
    }

    /// Claims step number `step`: what stood before it, and what undoes it, are durable before the
    /// store is touched.
    pub async fn claim_step(
        &self,
        row: i64,
        step: usize,
        before: &Before,
        inverse: Option<&Inverse>,
    ) -> Result<()> {
        let inverse = inverse.map(|inverse| json!([inverse]));
        let parameters: [&(dyn ToSql + Sync); 5] =
            [&row, &self.run.id, &number(step), &json!(before), &inverse];
        let sql = include_str!("sql/claim_step.sql");
        let state = format!("running or undoing, with {step} steps done and the next not begun");
        effect!("claim_step", self.one(sql, &parameters, Demand::own(row, state))).map(|_| ())
    }

    /// Keeps the position inside the claimed step.
    pub async fn reached(&self, row: i64, position: &Position) -> Result<()> {
        let sql = include_str!("sql/position.sql");
        let demand = Demand::own(row, "running or undoing");
        let parameters: [&(dyn ToSql + Sync); 3] = [&row, &self.run.id, &position.0];
        effect!("position", self.one(sql, &parameters, demand)).map(|_| ())
    }

    /// Settles step number `step`; what it declares reaches the recorded shape at the same moment.
    /// `position` is what is to be kept with the row from now on.
    pub async fn settle_step(
        &self,
        (row, step): (i64, usize),
        store: StoreKind,
        declares: &[(String, Option<Attributes>)],
        position: Option<&Position>,
    ) -> Result<()> {
        let (declares, position) = (json!(declares), position.map(|position| &position.0));
        let parameters: [&(dyn ToSql + Sync); 6] =
            [&row, &self.run.id, &number(step), &store.name(), &declares, &position];
        let sql = include_str!("sql/settle_step.sql");
        effect!("settle_step", self.one(sql, &parameters, Demand::at_step(row, step))).map(|_| ())
    }

    /// Settles a journalled migration whose steps, or whose inverse steps, are all done.
    pub async fn settle(&self, row: i64) -> Result<()> {
        let sql = include_str!("sql/settle.sql");
        let demand = Demand::own(row, "running or undoing, with all steps done");
        let parameters: [&(dyn ToSql + Sync); 3] = [&row, &self.run.id, &self.run.tool];
        effect!("settle", self.one(sql, &parameters, demand))?;
        self.check(row, "settled").await
    }

    /// Looks whether a row that was written is there, and its event, where a trigger could have swallowed
    /// either.
    async fn check(&self, row: i64, wanted: &str) -> Result<()> {
        if !self.objects.have_triggers {
            return Ok(());
        }
        let sql = self.sql(include_str!("sql/standing.sql"));
        let read = async {
            let row =
                self.ledger.session.client.query_typed_opt(&sql, &[(&row, Type::INT8)]).await?;
            row.map(|row| Ok((row.try_get::<_, String>(0)?, row.try_get::<_, bool>(1)?)))
                .transpose()
        };
        let found: Option<(String, bool)> = read.await.map_err(|error| self.error(&error))?;
        let table = match found {
            Some((state, _)) if state == wanted => return Ok(()),
            Some((state, true)) if matches!(state.as_str(), "applied" | "undone") => return Ok(()),
            Some((state, false)) if matches!(state.as_str(), "applied" | "undone") => "event",
            Some(_) | None => "ledger",
        };
        Err(LedgerError::Swallowed { table }.into())
    }

    /// Marks a journalled migration as failed, or in doubt, with what went wrong. A step that
    /// certainly had no effect (`unclaim`) is no longer claimed, so that the next run starts it afresh.
    pub async fn fail(&self, row: i64, state: State, error: &Value, unclaim: bool) -> Result<()> {
        let run = &self.run;
        let parameters: [&(dyn ToSql + Sync); 7] =
            [&row, &run.id, &state.name(), error, &unclaim, &run.host, &run.tool];
        let sql = include_str!("sql/fail.sql");
        effect!("fail", self.one(sql, &parameters, Demand::own(row, "running or undoing")))
            .map(|_| ())
    }

    /// Takes back the claim of the current step, which certainly had no effect, so that the next run
    /// starts it afresh.
    pub async fn unclaim(&self, row: i64) -> Result<()> {
        let sql = include_str!("sql/unclaim.sql");
        let demand = Demand::own(row, "running or undoing");
        effect!("unclaim", self.one(sql, &[&row, &self.run.id], demand)).map(|_| ())
    }

    /// Settles a step in doubt as the store or a person `said`: the next run goes on from there. What
    /// the step declares, and the event, are written with it.
    pub async fn settle_doubt(
        &self,
        row: &Row,
        said: &Said,
        declares: &[(String, Option<Attributes>)],
        details: &Value,
    ) -> Result<()> {
        let position = match said {
            Said::Partly(position) => Some(&position.0),
            Said::Done | Said::NotDone => None,
        };
        let parameters: [&(dyn ToSql + Sync); 9] = [
            &row.row,
            &self.run.id,
            &self.run.host,
            &said.name(),
            &position,
            &row.id.store.name(),
            &json!(declares),
            &self.run.tool,
            details,
        ];
        let sql = include_str!("sql/settle_doubt.sql");
        let demand = Demand::of(row.row, "running, failed, undoing or in doubt");
        effect!("settle_doubt", self.one(sql, &parameters, demand)).map(|_| ())
    }

    /// Takes another text as what was applied.
    pub async fn realign(
        &self,
        row: i64,
        (script, checksum, content): (&str, &Checksum, Option<&Checksum>),
        details: &Value,
    ) -> Result<()> {
        let run = &self.run;
        let content = content.map(Checksum::as_str);
        let parameters: [&(dyn ToSql + Sync); 8] =
            [&row, &run.id, &run.host, &run.tool, &script, &checksum.as_str(), &content, details];
        let sql = include_str!("sql/realign.sql");
        let demand = Demand::of(row, "applied or baseline");
        effect!("realign", self.one(sql, &parameters, demand)).map(|_| ())
    }

    /// Takes it that a migration's file is meant to be gone: its row is history, what it made stays.
    pub async fn forget(&self, row: i64, details: &Value) -> Result<()> {
        let run = &self.run;
        let parameters: [&(dyn ToSql + Sync); 5] = [&row, &run.id, &run.host, &run.tool, details];
        let sql = include_str!("sql/forget.sql");
        let demand = Demand::of(row, "applied or baseline");
        effect!("forget", self.one(sql, &parameters, demand)).map(|_| ())
    }

    /// Appends an event about `id`, or about the ledger as a whole.
    pub async fn event(
        &self,
        kind: EventKind,
        id: Option<&MigrationId>,
        details: &Value,
    ) -> Result<()> {
        let named = id.map(kind_and_version);
        let store = id.map(|id| id.store);
        effect!("event", self.add_event(kind, store, named, details))
    }

    /// Appends an event about what `store` holds.
    pub async fn repaired(&self, store: StoreKind, details: &Value) -> Result<()> {
        let kind = EventKind::Repaired;
        effect!("repaired", self.add_event(kind, Some(store), None, details))
    }

    async fn add_event(
        &self,
        kind: EventKind,
        store: Option<StoreKind>,
        named: Option<(&str, String)>,
        details: &Value,
    ) -> Result<()> {
        let (migration, version) = named.unzip();
        let parameters: [&(dyn ToSql + Sync); 8] = [
            &self.run.id,
            &kind.name(),
            &store.map(StoreKind::name),
            &migration,
            &version,
            &self.run.host,
            &self.run.tool,
            details,
        ];
        match self.execute(include_str!("sql/event.sql"), &parameters).await? {
            0 => Err(LedgerError::Swallowed { table: "event" }.into()),
            _ => Ok(()),
        }
    }

    /// Names the present point: the set of migrations that stand now. A name is given once.
    pub async fn tag(&self, name: &str) -> Result<bool> {
        let run = &self.run;
        let parameters: [&(dyn ToSql + Sync); 4] = [&name, &run.id, &run.host, &run.tool];
        Ok(effect!("tag", self.execute(include_str!("sql/tag.sql"), &parameters))? == 1)
    }

    /// Records which server a store is, at first contact.
    pub async fn identify(&self, store: StoreKind, identity: &str) -> Result<()> {
        let sql = include_str!("sql/identify.sql");
        let parameters: [(&(dyn ToSql + Sync), Type); 2] =
            [(&store.name(), Type::TEXT), (&identity, Type::TEXT)];
        let done = effect!("identify", self.execute_once(sql, &parameters));
        done.map(|_| ())
    }

    /// Takes another server as the one that this ledger belongs with.
    pub async fn accept_identity(
        &self,
        store: StoreKind,
        identity: &str,
        details: &Value,
    ) -> Result<()> {
        let run = &self.run;
        let parameters: [&(dyn ToSql + Sync); 6] =
            [&store.name(), &identity, &run.id, &run.host, &run.tool, details];
        let sql = include_str!("sql/accept_identity.sql");
        match effect!("accept_identity", self.execute(sql, &parameters))? {
            1 => Ok(()),
            _ => Err(self.diagnose(Demand { row: None, own: false, state: ANY.into() }).await),
        }
    }

    /// A statement of `sql/`. What depends on the lock sees no row once the lock is lost.
    pub(super) fn sql(&self, statement: &str) -> String {
        self.ledger.sql(statement).replace("$held", &self.held)
    }

    /// Runs a statement that gives the number of the row that it wrote.
    async fn one(
        &self,
        statement: &str,
        parameters: &[&(dyn ToSql + Sync)],
        demand: Demand,
    ) -> Result<i64> {
        let written = async {
            let statement = self.ledger.session.prepared(&self.sql(statement)).await?;
            let row = self.ledger.session.client.query_opt(&statement, parameters).await?;
            row.map_or(Ok(None), |row| row.try_get::<_, Option<i64>>(0))
        };
        match written.await.map_err(|error| self.error(&error))? {
            Some(row) => Ok(row),
            None => Err(self.diagnose(demand).await),
        }
    }

    /// Why one of the ledger's functions refused the row of a step that was to settle in its own
    /// transaction.
    pub async fn why_not_settled(&self, row: i64, step: usize) -> Error {
        self.diagnose(Demand::at_step(row, step)).await
    }

    /// Why a statement wrote nothing.
    async fn diagnose(&self, demand: Demand) -> Error {
        match self.look_at(&demand).await {
            Ok(error) => error.into(),
            Err(error) => self.error(&error),
        }
    }

    async fn look_at(&self, demand: &Demand) -> Result<LedgerError, tokio_postgres::Error> {
        let sql = self.sql(include_str!("sql/diagnose.sql"));
        let found = self.ledger.session.client.query_one(&sql, &[&demand.row]).await?;
        let number = match demand.row {
            Some(number) if found.try_get("held")? => number,
            Some(_) | None => return Ok(LedgerError::LockLost),
        };
        let Some(run) = found.try_get::<_, Option<String>>("run_id")? else {
            return Ok(LedgerError::Gone { row: format!("the ledger's row {number}") });
        };
        let row = row_name(number, found.try_get("store")?, found.try_get("version")?);
        if demand.own && run != self.run.id {
            return Ok(LedgerError::NotOurs { row, run, host: found.try_get("host")? });
        }
        let (done, total): (i32, i32) =
            (found.try_get("steps_done")?, found.try_get("steps_total")?);
        let claimed = if found.try_get("claimed")? { ", the next is begun" } else { "" };
        let state: &str = found.try_get("state")?;
        let found = format!("{state}, {done} of {total} steps done{claimed}");
        Ok(LedgerError::WrongState { row, found, wanted: demand.state.clone() })
    }

    /// Runs a statement that a run needs once, in one round trip; how many rows it wrote.
    pub(super) async fn execute_once(
        &self,
        statement: &str,
        parameters: &[(&(dyn ToSql + Sync), Type)],
    ) -> Result<u64> {
        let sql = self.sql(statement);
        let count = self.ledger.session.client.execute_typed(&sql, parameters).await;
        count.map_err(|error| self.error(&error))
    }

    /// Runs a statement that a run may need often; how many rows it wrote.
    pub(super) async fn execute(
        &self,
        statement: &str,
        parameters: &[&(dyn ToSql + Sync)],
    ) -> Result<u64> {
        let count = async {
            let statement = self.ledger.session.prepared(&self.sql(statement)).await?;
            self.ledger.session.client.execute(&statement, parameters).await
        };
        count.await.map_err(|error| self.error(&error))
    }
}

/// PostgreSQL counts steps in 32 bits.
fn number(steps: usize) -> i32 {
    i32::try_from(steps).unwrap_or(i32::MAX)
}
