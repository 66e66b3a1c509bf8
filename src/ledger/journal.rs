//! Every write to rows and events. Each demands its own run's row, the lock still held, and a
//! count of one.

use serde_json::{Value, json};
use tokio_postgres::types::{ToSql, Type};

use super::rows::{State, kind_and_version};
use super::{LockedLedger, Row};
use crate::error::Result;
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

impl Claim {
    pub(super) fn down_json(&self) -> Value {
        serde_json::to_value(&self.down).unwrap_or_default()
    }

    fn content(&self) -> Option<&str> {
        self.content.as_ref().map(Checksum::as_str)
    }

    pub(super) fn requires_json(&self) -> Value {
        self.requires.iter().map(Requirement::to_string).collect()
    }
}

/// How a journalled migration ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settled {
    /// All steps are done.
    Applied,
    /// All inverse steps are done.
    Undone,
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

/// What a step declares, as [`LockedLedger::declaring`] reads it.
fn declared(declares: &[(String, Option<Attributes>)]) -> Value {
    declares.iter().map(|(name, object)| json!([name, object])).collect()
}

/// The kinds of event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventKind {
    /// A migration was applied.
    Applied,
    /// A migration failed.
    Failed,
    /// A run went on with what an earlier one left.
    Resumed,
    /// A migration was undone.
    Undone,
    /// A person settled something.
    Repaired,
    /// Migrations were taken as applied.
    Baselined,
    /// A point was named.
    Tagged,
}

impl EventKind {
    /// As stored.
    pub fn name(self) -> &'static str {
        match self {
            EventKind::Applied => "applied",
            EventKind::Failed => "failed",
            EventKind::Resumed => "resumed",
            EventKind::Undone => "undone",
            EventKind::Repaired => "repaired",
            EventKind::Baselined => "baselined",
            EventKind::Tagged => "tagged",
        }
    }
}

impl LockedLedger {
    /// Begins a journalled migration: its row is durable before its store is touched. `replaces` is
    /// the row of a repeatable that this one supersedes.
    pub async fn claim(&self, claim: &Claim, replaces: Option<i64>) -> Result<i64> {
        let (kind, version) = kind_and_version(&claim.id);
        let sql = format!(
            "WITH replaced AS (UPDATE {0}.ledger SET state = 'undone' \
             WHERE id = $15 AND state = 'applied' RETURNING id) \
             INSERT INTO {0}.ledger (run_id, owner, store, kind, version, description, script, checksum, \
             state, steps_total, step_hashes, down, requires, host, tool_version, content_checksum) \
             SELECT $1, $2, $3, $4, $5, $6, $7, $8, 'running', $9, $10, $11, $12, $13, $14, $16 \
             WHERE {1} AND ($15::bigint IS NULL OR EXISTS (SELECT FROM replaced)) RETURNING id",
            self.schema_sql(),
            self.held()
        );
        let row = effect!(
            "claim",
            self.one(
                &sql,
                &[
                    &self.run.id,
                    &self.owner,
                    &claim.id.store.name(),
                    &kind,
                    &version,
                    &claim.description,
                    &claim.script,
                    &claim.checksum.as_str(),
                    &i32::try_from(claim.step_hashes.len()).unwrap_or(i32::MAX),
                    &json!(claim.step_hashes),
                    &claim.down_json(),
                    &claim.requires_json(),
                    &self.run.host,
                    &self.run.tool,
                    &replaces,
                    &claim.content(),
                ],
            )
        )?;
        Ok(row.get(0))
    }

    /// Goes on with a journalled migration that an earlier run left; its file may have changed from
    /// the first unfinished step on. Where that very step was claimed and its text was changed, what
    /// stood before the old text means nothing to the new one (`edited`): it is claimed anew.
    pub async fn resume(&self, row: &Row, claim: &Claim, edited: bool) -> Result<()> {
        let sql = format!(
            "WITH resumed AS (UPDATE {0}.ledger SET run_id = $2, owner = $3, state = 'running', \
             error = NULL, script = $4, checksum = $5, content_checksum = $12, steps_total = $6, step_hashes = $7, \
             down = CASE WHEN $11 AND before IS NOT NULL AND down->>'from' = 'steps' \
               THEN jsonb_set(down, '{{steps}}', (down->'steps') - (-1)) ELSE down END, \
             before = CASE WHEN $11 THEN NULL ELSE before END, \
             position = CASE WHEN $11 THEN NULL ELSE position END \
             WHERE id = $1 AND state IN ('running', 'failed') AND {1} RETURNING *), \
             {2} SELECT count(*) FROM resumed",
            self.schema_sql(),
            self.held(),
            self.event_of("resumed", EventKind::Resumed)
        );
        effect!(
            "resume",
            self.one(
                &sql,
                &[
                    &row.row,
                    &self.run.id,
                    &self.owner,
                    &claim.script,
                    &claim.checksum.as_str(),
                    &i32::try_from(claim.step_hashes.len()).unwrap_or(i32::MAX),
                    &json!(claim.step_hashes),
                    &self.run.host,
                    &self.run.tool,
                    &json!({ "steps_done": row.steps_done, "run": row.run }),
                    &edited,
                    &claim.content(),
                ],
            )
        )
        .map(|_| ())
    }

    /// Begins, or goes on with, the undoing of a journalled migration. A fresh one starts at its
    /// first inverse step; one that an earlier run left keeps its place.
    pub async fn claim_undo(&self, row: &Row, step_hashes: &[String]) -> Result<()> {
        let sql = format!(
            "UPDATE {}.ledger SET run_id = $2, owner = $3, direction = 'down', \
             steps_done = CASE state WHEN 'undoing' THEN steps_done ELSE 0 END, \
             before = CASE state WHEN 'undoing' THEN before END, \
             position = CASE state WHEN 'undoing' THEN position END, \
             state = 'undoing', steps_total = $4, step_hashes = $5 \
             WHERE id = $1 AND state IN ('applied', 'undoing', 'failed', 'running') AND {}",
            self.schema_sql(),
            self.held()
        );
        let total = i32::try_from(step_hashes.len()).unwrap_or(i32::MAX);
        let parameters: [&(dyn ToSql + Sync); 5] =
            [&row.row, &self.run.id, &self.owner, &total, &json!(step_hashes)];
        effect!("claim_undo", self.exactly_one(&sql, &parameters))
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
        let sql = format!(
            "UPDATE {}.ledger SET before = $4, position = NULL, \
             down = CASE WHEN $5::jsonb IS NULL THEN down ELSE \
             jsonb_build_object('from', 'steps', 'steps', coalesce(down->'steps', '[]') || $5) END \
             WHERE id = $1 AND run_id = $2 AND steps_done = $3 AND before IS NULL \
             AND state IN ('running', 'undoing') AND {}",
            self.schema_sql(),
            self.held()
        );
        let inverse = inverse.map(|inverse| json!([inverse]));
        let step = i32::try_from(step).unwrap_or(i32::MAX);
        effect!(
            "claim_step",
            self.exactly_one(&sql, &[&row, &self.run.id, &step, &json!(before), &inverse])
        )
    }

    /// Keeps the position inside the claimed step.
    pub async fn reached(&self, row: i64, position: &Position) -> Result<()> {
        let sql = format!(
            "UPDATE {}.ledger SET position = $3 WHERE id = $1 AND run_id = $2 \
             AND state IN ('running', 'undoing') AND {}",
            self.schema_sql(),
            self.held()
        );
        effect!("position", self.exactly_one(&sql, &[&row, &self.run.id, &position.0]))
    }

    /// Settles step number `step`; what it declares reaches the recorded shape at the same moment.
    pub async fn settle_step(
        &self,
        row: i64,
        step: usize,
        store: StoreKind,
        declares: &[(String, Option<Attributes>)],
    ) -> Result<()> {
        let sql = format!(
            "WITH settled AS (UPDATE {}.ledger SET steps_done = $3 + 1, before = NULL, position = NULL \
             WHERE id = $1 AND run_id = $2 AND steps_done = $3 AND state IN ('running', 'undoing') RETURNING id), \
             {} SELECT count(*) FROM settled",
            self.schema_sql(),
            self.declaring()
        );
        let declared = declared(declares);
        let step = i32::try_from(step).unwrap_or(i32::MAX);
        effect!(
            "settle_step",
            self.one(&sql, &[&row, &self.run.id, &step, &store.name(), &declared])
        )
        .map(|_| ())
    }

    /// Settles a journalled migration whose steps are all done.
    pub async fn settle(&self, row: i64, settled: Settled) -> Result<()> {
        let (state, event) = match settled {
            Settled::Applied => (State::Applied, EventKind::Applied),
            Settled::Undone => (State::Undone, EventKind::Undone),
        };
        let sql = format!(
            "WITH settled AS (UPDATE {}.ledger SET state = $3, finished_at = clock_timestamp(), \
             step_hashes = '[]', error = NULL, execution_ms = CASE direction WHEN 'up' THEN \
             (date_part('epoch', clock_timestamp() - started_at) * 1000)::bigint ELSE execution_ms END \
             WHERE id = $1 AND run_id = $2 AND steps_done = steps_total \
             AND state IN ('running', 'undoing') RETURNING *), {} SELECT count(*) FROM settled",
            self.schema_sql(),
            self.event_from(4, "settled", event)
        );
        effect!(
            "settle",
            self.one(
                &sql,
                &[&row, &self.run.id, &state.name(), &self.run.host, &self.run.tool, &json!({})],
            )
        )
        .map(|_| ())
    }

    /// Marks a journalled migration as failed, or in doubt, with what went wrong. A step that
    /// certainly had no effect (`unclaim`) is no longer claimed, so that the next run starts it afresh.
    pub async fn fail(&self, row: i64, state: State, error: &Value, unclaim: bool) -> Result<()> {
        let sql = format!(
            "WITH failed AS (UPDATE {}.ledger SET \
             state = CASE WHEN state = 'undoing' AND $3 = 'failed' THEN state ELSE $3 END, error = $4, \
             down = CASE WHEN $5 AND before IS NOT NULL AND direction = 'up' AND down->>'from' = 'steps' \
               THEN jsonb_set(down, '{{steps}}', (down->'steps') - (-1)) ELSE down END, \
             before = CASE WHEN $5 THEN NULL ELSE before END \
             WHERE id = $1 AND run_id = $2 RETURNING *), {} SELECT count(*) FROM failed",
            self.schema_sql(),
            self.event_from(6, "failed", EventKind::Failed)
        );
        effect!(
            "fail",
            self.one(
                &sql,
                &[
                    &row,
                    &self.run.id,
                    &state.name(),
                    error,
                    &unclaim,
                    &self.run.host,
                    &self.run.tool,
                    error,
                ],
            )
        )
        .map(|_| ())
    }

    /// Takes back the claim of the current step, which certainly had no effect, so that the next run
    /// starts it afresh.
    pub async fn unclaim(&self, row: i64) -> Result<()> {
        let sql = format!(
            "UPDATE {}.ledger SET \
             down = CASE WHEN before IS NOT NULL AND direction = 'up' AND down->>'from' = 'steps' \
               THEN jsonb_set(down, '{{steps}}', (down->'steps') - (-1)) ELSE down END, \
             before = NULL, position = NULL WHERE id = $1 AND run_id = $2",
            self.schema_sql()
        );
        effect!("unclaim", self.exactly_one(&sql, &[&row, &self.run.id]))
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
        let sql = format!(
            "WITH settled AS (UPDATE {}.ledger SET state = CASE direction WHEN 'down' THEN 'undoing' ELSE 'failed' END, \
             run_id = $2, steps_done = steps_done + CASE $3 WHEN 'done' THEN 1 ELSE 0 END, \
             down = CASE WHEN $3 = 'not done' AND before IS NOT NULL AND direction = 'up' AND down->>'from' = 'steps' \
               THEN jsonb_set(down, '{{steps}}', (down->'steps') - (-1)) ELSE down END, \
             before = CASE WHEN $3 = 'done in part' THEN before END, position = $6 \
             WHERE id = $1 AND state IN ('running', 'failed', 'undoing', 'in doubt') AND {} RETURNING *), \
             {}, {} SELECT count(*) FROM settled",
            self.schema_sql(),
            self.held(),
            self.declaring(),
            self.event_from(7, "settled", EventKind::Repaired)
        );
        let position = match said {
            Said::Partly(position) => Some(&position.0),
            Said::Done | Said::NotDone => None,
        };
        let parameters: [&(dyn ToSql + Sync); 9] = [
            &row.row,
            &self.run.id,
            &said.name(),
            &row.id.store.name(),
            &declared(declares),
            &position,
            &self.run.host,
            &self.run.tool,
            details,
        ];
        effect!("settle_doubt", self.one(&sql, &parameters)).map(|_| ())
    }

    /// Takes another text as what was applied.
    pub async fn realign(
        &self,
        row: i64,
        (script, checksum, content): (&str, &Checksum, Option<&Checksum>),
        details: &Value,
    ) -> Result<()> {
        let sql = format!(
            "WITH realigned AS (UPDATE {}.ledger SET checksum = $6, content_checksum = $7, script = $8 \
             WHERE id = $1 AND state IN ('applied', 'baseline') AND {} RETURNING *), \
             {} SELECT count(*) FROM realigned",
            self.schema_sql(),
            self.held(),
            self.repaired_row("realigned")
        );
        let content = content.map(Checksum::as_str);
        let parameters: [&(dyn ToSql + Sync); 8] = [
            &row,
            &self.run.id,
            &self.run.host,
            &self.run.tool,
            details,
            &checksum.as_str(),
            &content,
            &script,
        ];
        effect!("realign", self.one(&sql, &parameters)).map(|_| ())
    }

    /// Takes it that a migration's file is meant to be gone: its row is history, what it made stays.
    pub async fn forget(&self, row: i64, details: &Value) -> Result<()> {
        let sql = format!(
            "WITH forgotten AS (UPDATE {}.ledger SET state = 'undone' \
             WHERE id = $1 AND state IN ('applied', 'baseline') AND {} RETURNING *), \
             {} SELECT count(*) FROM forgotten",
            self.schema_sql(),
            self.held(),
            self.repaired_row("forgotten")
        );
        let run = &self.run;
        let parameters: [&(dyn ToSql + Sync); 5] = [&row, &run.id, &run.host, &run.tool, details];
        effect!("forget", self.one(&sql, &parameters)).map(|_| ())
    }

    /// Appends an event about `id`, or about the ledger as a whole.
    pub async fn event(
        &self,
        kind: EventKind,
        id: Option<&MigrationId>,
        details: &Value,
    ) -> Result<()> {
        let named = id.map(kind_and_version);
        let sql = format!(
            "INSERT INTO {}.event (run_id, event, store, kind, version, host, tool_version, details) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
            self.schema_sql()
        );
        effect!(
            "event",
            self.exactly_one(
                &sql,
                &[
                    &self.run.id,
                    &kind.name(),
                    &id.map(|id| id.store.name()),
                    &named.as_ref().map(|(kind, _)| *kind),
                    &named.as_ref().map(|(_, version)| version.as_str()),
                    &self.run.host,
                    &self.run.tool,
                    details,
                ],
            )
        )
    }

    /// Appends an event about what `store` holds.
    pub async fn repaired(&self, store: StoreKind, details: &Value) -> Result<()> {
        let sql = format!(
            "INSERT INTO {}.event (run_id, event, store, host, tool_version, details) \
             VALUES ($1, $2, $3, $4, $5, $6)",
            self.schema_sql()
        );
        let kind = EventKind::Repaired.name();
        let run = &self.run;
        let parameters: [&(dyn ToSql + Sync); 6] =
            [&run.id, &kind, &store.name(), &run.host, &run.tool, details];
        effect!("repaired", self.exactly_one(&sql, &parameters))
    }

    /// Names the present point: the set of migrations that stand now. A name is given once.
    pub async fn tag(&self, name: &str, rows: &[i64]) -> Result<bool> {
        let sql = format!(
            "WITH told AS (INSERT INTO {0}.event (run_id, event, host, tool_version, details) \
             SELECT $3, '{1}', $4, $5, jsonb_build_object('tag', $1::text) \
             WHERE NOT EXISTS (SELECT FROM {0}.tag WHERE name = $1)) \
             INSERT INTO {0}.tag (name, rows, run_id) VALUES ($1, $2, $3) ON CONFLICT (name) DO NOTHING",
            self.schema_sql(),
            EventKind::Tagged.name()
        );
        let run = &self.run;
        let parameters: [&(dyn ToSql + Sync); 5] = [&name, &rows, &run.id, &run.host, &run.tool];
        Ok(effect!("tag", self.execute(&sql, &parameters))? == 1)
    }

    /// Records which server a store is, at first contact.
    pub async fn identify(&self, store: StoreKind, identity: &str) -> Result<()> {
        let sql = format!(
            "INSERT INTO {}.identity (store, identity) VALUES ($1, $2) ON CONFLICT (store) DO NOTHING",
            self.schema_sql()
        );
        let parameters: [(&(dyn ToSql + Sync), Type); 2] =
            [(&store.name(), Type::TEXT), (&identity, Type::TEXT)];
        let done = effect!("identify", self.execute_once(&sql, &parameters));
        done.map(|_| ())
    }

    /// Takes another server as the one that this ledger belongs with.
    pub async fn accept_identity(
        &self,
        store: StoreKind,
        identity: &str,
        details: &Value,
    ) -> Result<()> {
        let sql = format!(
            "WITH told AS (INSERT INTO {0}.event (run_id, event, store, host, tool_version, details) \
             VALUES ($1, 'repaired', $2, $3, $4, $5)) \
             UPDATE {0}.identity SET identity = $6, first_seen = clock_timestamp() \
             WHERE store = $2 AND {1}",
            self.schema_sql(),
            self.held()
        );
        let run = &self.run;
        let parameters: [&(dyn ToSql + Sync); 6] =
            [&run.id, &store.name(), &run.host, &run.tool, details, &identity];
        effect!("accept_identity", self.exactly_one(&sql, &parameters))
    }

    pub(super) fn schema_sql(&self) -> String {
        self.ledger.schema_sql()
    }

    /// SQL that is true while this run's leader lock is held: a lost lock makes every write count
    /// zero rows.
    fn held(&self) -> &str {
        &self.held
    }

    /// CTEs that record what a step of the store `$4` declares, as [`declared`] in `$5`, for the run `$2`.
    fn declaring(&self) -> String {
        let schema = self.schema_sql();
        format!(
            "declared AS (SELECT e->>0 AS object, e->1 AS attributes FROM jsonb_array_elements($5::jsonb) e), \
             recorded AS (INSERT INTO {schema}.shape AS s (store, recorded, run_id) \
               SELECT $4, coalesce(jsonb_object_agg(object, attributes) FILTER (WHERE attributes <> 'null'), '{{}}'), $2 \
               FROM declared HAVING count(*) > 0 \
               ON CONFLICT (store) DO UPDATE SET updated_at = clock_timestamp(), recorded = \
               (s.recorded - (SELECT array_agg(object) FROM declared)) || excluded.recorded RETURNING 1)"
        )
    }

    /// A CTE that appends an event about a repair of the row in the CTE `from`, by the run `$2` on the
    /// host `$3` with the tool `$4`, its details in `$5`; the row itself keeps the run that applied it.
    fn repaired_row(&self, from: &str) -> String {
        format!(
            "event AS (INSERT INTO {}.event (run_id, event, store, kind, version, ledger_id, host, \
             tool_version, details) SELECT $2, 'repaired', store, kind, version, id, $3, $4, $5 FROM {from})",
            self.schema_sql()
        )
    }

    /// A CTE that appends an event for the rows of the CTE `from`, its parameters from `$8` on.
    fn event_of(&self, from: &str, kind: EventKind) -> String {
        self.event_from(8, from, kind)
    }

    fn event_from(&self, parameter: usize, from: &str, kind: EventKind) -> String {
        format!(
            "event AS (INSERT INTO {}.event (run_id, event, store, kind, version, ledger_id, host, \
             tool_version, details) SELECT run_id, '{}', store, kind, version, id, \
             ${parameter}, ${}, ${} FROM {from})",
            self.schema_sql(),
            kind.name(),
            parameter + 1,
            parameter + 2
        )
    }

    /// Runs a statement that returns one row; no row, or a count of zero, means that the row is
    /// not ours any more or that the lock is lost.
    async fn one(
        &self,
        sql: &str,
        parameters: &[&(dyn ToSql + Sync)],
    ) -> Result<tokio_postgres::Row> {
        let row = async {
            let statement = self.ledger.session.prepared(sql).await?;
            self.ledger.session.client.query_opt(&statement, parameters).await
        };
        match row.await.map_err(|error| self.error(&error))? {
            Some(row) if row.get::<_, i64>(0) >= 1 => Ok(row),
            Some(_) | None => Err(LockedLedger::lost()),
        }
    }

    async fn exactly_one(&self, sql: &str, parameters: &[&(dyn ToSql + Sync)]) -> Result<()> {
        match self.execute(sql, parameters).await? {
            1 => Ok(()),
            _ => Err(LockedLedger::lost()),
        }
    }

    /// Runs a statement that a run needs once, in one round trip; how many rows it wrote.
    pub(super) async fn execute_once(
        &self,
        sql: &str,
        parameters: &[(&(dyn ToSql + Sync), Type)],
    ) -> Result<u64> {
        let count = self.ledger.session.client.execute_typed(sql, parameters).await;
        count.map_err(|error| self.error(&error))
    }

    /// Runs a statement that a run may need often; how many rows it wrote.
    pub(super) async fn execute(
        &self,
        sql: &str,
        parameters: &[&(dyn ToSql + Sync)],
    ) -> Result<u64> {
        let count = async {
            let statement = self.ledger.session.prepared(sql).await?;
            self.ledger.session.client.execute(&statement, parameters).await
        };
        count.await.map_err(|error| self.error(&error))
    }
}
