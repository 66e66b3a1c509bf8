//! Puts a drifted object back by its store's own steps, and tells the ledger.

use std::time::Duration;

use serde_json::{Value, json};

use super::{Listener, Notices, store_words};
use crate::error::{Error, Result};
use crate::failpoint::effect;
use crate::ledger::LockedLedger;
use crate::migration::Source;
use crate::shape::{Change, Shape};
use crate::signals::Interrupt;
use crate::store_error::StoreError;
use crate::stores::StoreKind;
use crate::stores::{Before, Heal, Job, Limits, Pulse, Standing, Store, Unit, Why};

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
}

impl Healing<'_> {
    /// Applies the script of `heal` step by step. In PostgreSQL the event is written in the
    /// repair's own transaction. Elsewhere one is written before the store is touched and one after
    /// the last step: of a repair that was cut off the first is left, and it is simply done again.
    pub async fn heal(&self, heal: &Heal) -> Result<()> {
        let nowhere = |mistake: crate::text::ScriptError| {
            source(self.kind, heal).error(mistake).state("nothing of it was done")
        };
        let units = heal.units(self.kind).map_err(nowhere)?;
        let changes = || heal.changes.iter().map(reversed);
        let done = details(&heal.object, "put back", changes());
        let sealed = units.iter().any(|unit| unit.atomic);
        if !sealed {
            let begun = details(&heal.object, "begun to put back", changes());
            self.ledger.repaired(self.kind, &begun).await?;
        }
        for unit in &units {
            self.step(heal, unit, &done).await?;
        }
        match sealed {
            true => Ok(()),
            false => self.ledger.repaired(self.kind, &done).await,
        }
    }

    async fn step(&self, heal: &Heal, unit: &Unit, details: &Value) -> Result<()> {
        let pulse = Notices { listener: self.listener, store: self.kind, id: None };
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
            match effect!("heal", self.store.apply(self.job(unit, &before, &pulse, details))) {
                Ok(done) => {
                    done.notices.iter().for_each(|notice| pulse.notice(notice));
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

    fn job<'j>(
        &'j self,
        unit: &'j Unit,
        before: &'j Before,
        pulse: &'j Notices<'j>,
        details: &Value,
    ) -> Job<'j> {
        Job {
            unit,
            seal: unit.atomic.then(|| self.ledger.seal_repair(self.kind, details)),
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
fn source(store: StoreKind, heal: &Heal) -> Source {
    Source::new(store, format!("the repair of {}", heal.object), &heal.script)
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
