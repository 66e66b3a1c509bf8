//! Seals: the SQL that puts a migration's ledger row into the migration's own transaction.

use serde_json::Value;

use super::LockedLedger;
use super::journal::Claim;
use super::rows::{State, kind_and_version};
use crate::migration::MigrationId;
use crate::postgres::{identifier, literal};
use crate::stores::Seal;

impl LockedLedger {
    /// Seals the application of a migration. `after` is the one sent before it, which must have
    /// been applied by then; `replaces` is the row of a repeatable that this one supersedes.
    pub fn seal_applied(
        &self,
        claim: &Claim,
        after: Option<&MigrationId>,
        replaces: Option<i64>,
    ) -> Seal {
        let token = token();
        let (kind, version) = kind_and_version(&claim.id);
        let arguments = [
            literal(&token),
            literal(&self.run.id),
            json(&self.owner),
            literal(kind),
            literal(&version),
            literal(&claim.description),
            literal(&claim.script),
            literal(claim.checksum.as_str()),
            json(&claim.down_json()),
            json(&claim.requires_json()),
            literal(&self.run.host),
            literal(self.run.tool),
            replaces.map_or("NULL".to_string(), |row| row.to_string()),
            claim.content.as_ref().map_or("NULL".to_string(), |content| literal(content.as_str())),
        ];
        self.seal(&token, after, State::Applied, "seal_applied", &arguments)
    }

    /// Seals the undoing of the migration in `row`.
    pub fn seal_undone(&self, row: i64, after: Option<&MigrationId>) -> Seal {
        let token = token();
        let arguments = [
            literal(&token),
            literal(&self.run.id),
            json(&self.owner),
            row.to_string(),
            literal(&self.run.host),
            literal(self.run.tool),
        ];
        self.seal(&token, after, State::Undone, "seal_undone", &arguments)
    }

    /// Seals a repair of `store`: its event is written in the repair's own transaction.
    pub fn seal_repair(&self, store: crate::migration::StoreKind, details: &Value) -> Seal {
        let schema = identifier(self.schema());
        let token = token();
        let open = format!(
            "SELECT {schema}.open_seal({}, {}, NULL, NULL, NULL)",
            literal(&token),
            literal(&self.run.id)
        );
        let close = format!(
            "SELECT {schema}.check_token({}); \
             INSERT INTO {schema}.event (run_id, event, store, host, tool_version, details) \
             VALUES ({}, 'repaired', {}, {}, {}, {})",
            literal(&token),
            literal(&self.run.id),
            literal(store.name()),
            literal(&self.run.host),
            literal(self.run.tool),
            json(details)
        );
        Seal { open, close }
    }

    /// Seals step number `step` of the journalled migration in `row`.
    pub fn seal_step(&self, row: i64, step: usize) -> Seal {
        let token = token();
        let arguments = [literal(&token), literal(&self.run.id), row.to_string(), step.to_string()];
        self.seal(&token, None, State::Applied, "seal_step", &arguments)
    }

    fn seal(
        &self,
        token: &str,
        after: Option<&MigrationId>,
        state: State,
        close: &str,
        arguments: &[String],
    ) -> Seal {
        let schema = identifier(self.schema());
        let after = match after.map(kind_and_version) {
            Some((kind, version)) => format!("{}, {}", literal(kind), literal(&version)),
            None => "NULL, NULL".to_string(),
        };
        Seal {
            open: format!(
                "SELECT {schema}.open_seal({}, {}, {after}, {})",
                literal(token),
                literal(&self.run.id),
                literal(state.name())
            ),
            close: format!("SELECT {schema}.{close}({})", arguments.join(", ")),
        }
    }
}

/// Nobody can guess it, so no file can set it by accident.
fn token() -> String {
    format!("{:016x}", rand::random::<u64>())
}

fn json(value: &Value) -> String {
    format!("{}::pg_catalog.jsonb", literal(&value.to_string()))
}
