//! Seals: the SQL that puts a migration's ledger row into the migration's own transaction.

use serde_json::Value;

use super::journal::Claim;
use super::rows::kind_and_version;
use super::{Ledger, LockedLedger};
use crate::postgres::{identifier, literal};
use crate::stores::Seal;
use crate::stores::StoreKind;

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
        let (kind, version) = kind_and_version(&claim.id);
        let arguments = [
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
            lazy.to_string(),
            claim.content.as_ref().map_or("NULL".to_string(), |content| literal(content.as_str())),
        ];
        self.seal(after, "close_applied", &arguments)
    }

    /// Seals the undoing of the migration in `row`.
    pub fn seal_undone(&self, row: i64, after: Option<&Seal>) -> Seal {
        let arguments =
            [json(&self.owner), row.to_string(), literal(&self.run.host), literal(self.run.tool)];
        self.seal(after, "close_undone", &arguments)
    }

    /// Seals a repair of `store`: its event is written in the repair's own transaction.
    pub fn seal_repair(&self, store: StoreKind, details: &Value) -> Seal {
        let arguments =
            [literal(store.name()), literal(&self.run.host), literal(self.run.tool), json(details)];
        self.seal(None, "close_repair", &arguments)
    }

    /// Seals step number `step` of the journalled migration in `row`.
    pub fn seal_step(&self, row: i64, step: usize) -> Seal {
        self.seal(None, "close_step", &[row.to_string(), step.to_string()])
    }

    fn seal(&self, after: Option<&Seal>, close: &str, arguments: &[String]) -> Seal {
        let schema = identifier(self.schema());
        // Nobody can guess it, so no file can set it by accident.
        let token = literal(&format!("{:016x}", rand::random::<u64>()));
        let after = after.map_or("NULL", |seal| &seal.token);
        let run = literal(&self.run.id);
        Seal {
            open: format!("SET LOCAL aiplat_migrate.token = {token}"),
            close: format!(
                "{OWN_ROLE};\nSELECT {schema}.{close}({token}, {after}, {run}, {}), \
                 {schema}.settled({token})",
                arguments.join(", ")
            ),
            token,
        }
    }
}

impl Ledger {
    /// SQL that brings a session which the user's SQL ran on back to how it began. The advisory lock
    /// that the run holds through it is left alone.
    pub fn reset(&self) -> String {
        format!("{OWN_ROLE};\nSELECT {}.settled(NULL)", self.schema_sql())
    }
}

/// Another role may not even look into the ledger's schema, so this cannot be part of a function there.
/// To reset the session's authorization resets the role to none, and not to what `ALTER ROLE … SET role`
/// says: it comes first.
const OWN_ROLE: &str = "SELECT pg_catalog.set_config('session_authorization', NULL, false), \
                        pg_catalog.set_config('role', NULL, false)";

fn json(value: &Value) -> String {
    format!("{}::pg_catalog.jsonb", literal(&value.to_string()))
}
