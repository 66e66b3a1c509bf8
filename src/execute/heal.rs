//! Puts a drifted object back by its store's own steps, and tells the ledger.

use std::time::Duration;

use serde_json::{Value, json};

use super::{Listener, Notices, store_words};
use crate::error::{Error, Exit, Result};
use crate::failpoint::effect;
use crate::ledger::LockedLedger;
use crate::migration::Source;
use crate::shape::{Change, Shape};
use crate::signals::Interrupt;
use crate::store_error::StoreError;
use crate::stores::{self, StoreKind};
use crate::stores::{
    Before, Heal, Ignored, Job, Limits, Means, Piece, Pulse, Repair, Sql, Standing, Store, Unit,
    Why,
};

/// How often a step that could not get a lock is tried again.
const ATTEMPTS: u32 = 5;

/// What the repairs of one store need.
pub struct Healing<'a> {
    /// The locked ledger.
    pub ledger: &'a LockedLedger,
    /// Where events go.
    pub listener: &'a dyn Listener,
    /// The user's wish to stop.
    pub interrupt: &'a Interrupt,
    /// The kind of the store.
    pub kind: StoreKind,
    /// The store.
    pub store: &'a Store,
    /// Its recorded shape.
    pub recorded: &'a Shape,
    /// What is not looked at in it.
    pub ignored: &'a Ignored,
}

impl Healing<'_> {
    /// Puts objects back as far as can be; what became of each. A failure of one undoes no other.
    pub async fn all(&self, heals: &[Heal]) -> Vec<Result<()>> {
        let by_sql: Vec<(&Heal, Sql)> =
            heals.iter().filter_map(|heal| Some((heal, heal.sql(self.store.secrets())?))).collect();
        let pieces: Vec<Piece<'_>> =
            by_sql.iter().map(|(heal, sql)| self.piece(heal, sql)).collect();
        let mut by_sql = match pieces.is_empty() {
            true => Vec::new(),
            false => self.by_sql(pieces).await,
        }
        .into_iter();
        let mut ended = Vec::new();
        for heal in heals {
            ended.push(match &heal.means {
                Means::None => Ok(()),
                Means::Steps(_) if self.interrupt.is_stopping() => Err(self.stopped(heal)),
                Means::Steps(script) => self.steps(heal, script).await,
                Means::Sql(_) => {
                    let lost = || StoreError::refused("the store said nothing of it");
                    let one = by_sql.next().unwrap_or_else(|| Err(lost()));
                    one.map_err(|error| self.not_put_back(heal, &error))
                }
            });
        }
        ended
    }

    async fn by_sql(&self, pieces: Vec<Piece<'_>>) -> Vec<Result<(), StoreError>> {
        let judge = |before: &Shape, after: &Shape| {
            let (mut before, mut after) = (before.clone(), after.clone());
            self.store.conceal(&mut before, self.recorded, None);
            self.store.conceal(&mut after, self.recorded, None);
            stores::judge(self.kind, self.recorded, self.ignored, &before, &after)
        };
        let repair = Repair {
            pieces,
            judge: &judge,
            may_go_on: &|| !self.ledger.is_lost() && !self.interrupt.is_stopping(),
            pulse: &self.notices(),
            cancel: self.interrupt.cancel.clone(),
        };
        effect!("heal", self.store.put_back(repair))
    }

    fn notices(&self) -> Notices<'_> {
        Notices { listener: self.listener, store: self.kind, id: None }
    }

    fn piece<'h>(&self, heal: &'h Heal, sql: &'h Sql) -> Piece<'h> {
        let told = details(&heal.object, "put back", heal.changes.iter().map(reversed));
        Piece { heal, sql, seal: self.ledger.seal_repair(self.kind, &told) }
    }

    fn stopped(&self, heal: &Heal) -> Error {
        Error::new(Exit::Failed, "stopped")
            .state(format!("{}: what stood before {} is put back", self.kind, heal.object))
    }

    fn not_put_back(&self, heal: &Heal, error: &StoreError) -> Error {
        let message = format!("{}: {} was not put back", self.kind, heal.object);
        store_words(Error::new(error.kind.exit(), message), error)
            .hint("correct the cause and run `aiplat-migrate repair --reapply` again")
    }

    /// Applies the steps of `heal`. An event is written before the store is touched and one after the
    /// last step: of a repair that was cut off the first is left, and it is simply done again.
    async fn steps(&self, heal: &Heal, script: &str) -> Result<()> {
        let nowhere = |mistake: crate::text::ScriptError| {
            source(self.kind, heal, script).error(mistake).state("nothing of it was done")
        };
        let units = heal.units(self.kind, self.store.secrets()).map_err(nowhere)?;
        let told = |repair| details(&heal.object, repair, heal.changes.iter().map(reversed));
        self.ledger.repaired(self.kind, &told("begun to put back")).await?;
        for unit in &units {
            self.step(heal, unit).await?;
        }
        self.ledger.repaired(self.kind, &told("put back")).await
    }

    async fn step(&self, heal: &Heal, unit: &Unit) -> Result<()> {
        let pulse = self.notices();
        let before = self.store.before(unit, self.recorded).await;
        let before = before.map_err(|error| self.failed(heal, unit, &error))?;
        match &before.standing {
            Standing::Found => return Ok(()),
            Standing::Open => {}
            Standing::Differs { wanted, live } => {
                let error = StoreError::refused("it is there, and different")
                    .detail(format!("wanted: {wanted}"))
                    .detail(format!("live: {live}"));
                return Err(self.failed(heal, unit, &error));
            }
        }
        let mut attempt = 0;
        loop {
            if self.ledger.is_lost() {
                return Err(LockedLedger::lost());
            }
            match effect!("heal", self.store.apply(self.job(unit, &before, &pulse))) {
                Ok(done) => {
                    done.notices.iter().chain(&done.warnings).for_each(|text| pulse.notice(text));
                    return Ok(());
                }
                Err(failure) if failure.why == Why::Retry && attempt < ATTEMPTS => {
                    attempt += 1;
                    pulse.notice(&format!("tried again: {}", failure.source));
                    tokio::time::sleep(Duration::from_millis(200 << attempt)).await;
                }
                Err(failure) => return Err(self.failed(heal, unit, &failure.source)),
            }
        }
    }

    fn job<'j>(&'j self, unit: &'j Unit, before: &'j Before, pulse: &'j Notices<'j>) -> Job<'j> {
        Job {
            unit,
            seal: None,
            before,
            resume: None,
            limits: Limits::default(),
            run: &self.ledger.run().id,
            pulse,
            cancel: self.interrupt.cancel.clone(),
        }
    }

    fn failed(&self, heal: &Heal, unit: &Unit, error: &StoreError) -> Error {
        let message = format!("{}: {} was not put back: {}", self.kind, heal.object, unit.label);
        store_words(Error::new(error.kind.exit(), message), error)
            .hint("correct the cause and run `aiplat-migrate repair --reapply` again")
    }
}

/// The text that is applied, as errors name it.
fn source(store: StoreKind, heal: &Heal, script: &str) -> Source {
    Source::new(store, format!("the repair of {}", heal.object), script)
}

/// What an event says of a repaired object: how it was and how it is now.
pub fn details(object: &str, repair: &str, changes: impl IntoIterator<Item = Change>) -> Value {
    let changes: Vec<Value> = changes
        .into_iter()
        .map(|change| {
            json!({ "attribute": change.attribute, "before": change.before, "after": change.after })
        })
        .collect();
    json!({ "object": object, "repair": repair, "changes": changes })
}

/// A drift goes from the record to what is live; putting it back goes the other way.
fn reversed(change: &Change) -> Change {
    Change {
        object: change.object.clone(),
        attribute: change.attribute.clone(),
        before: change.after.clone(),
        after: change.before.clone(),
    }
}
