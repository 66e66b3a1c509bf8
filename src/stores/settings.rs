//! The settings of a store of whatever kind, ready to connect.

use super::adapter::{AnyEndpoint, Store};
use super::contract::{Beside, Endpoint};
use super::table::StoreKind;
use crate::secret::Secrets;
use crate::section::Reader;
use crate::store_error::StoreError;

/// The settings of one store.
#[derive(Debug)]
pub struct Settings {
    kind: StoreKind,
    endpoint: Box<dyn AnyEndpoint>,
}

impl Settings {
    /// The settings of a store of this kind.
    pub fn new(kind: StoreKind, endpoint: impl Endpoint) -> Settings {
        Settings { kind, endpoint: Box::new(endpoint) }
    }

    /// The settings of a store of this kind, as its section says them.
    pub fn read(kind: StoreKind, section: &mut Reader<'_>) -> Settings {
        Settings { kind, endpoint: (kind.description().settings)(section).0 }
    }

    /// Which store these are for.
    pub fn kind(&self) -> StoreKind {
        self.kind
    }

    /// The store's own settings, if they are of this type.
    pub fn endpoint<E: Endpoint>(&self) -> Option<&E> {
        self.endpoint.as_any().downcast_ref()
    }

    /// Where the store is, for messages: host and port, never a password.
    pub fn address(&self) -> String {
        self.endpoint.address()
    }

    /// A sentence about what can be read on its way to the store; `None` with TLS, and where the
    /// store is on this machine.
    pub fn plain_text(&self) -> Option<String> {
        let found = self.endpoint.plain_text();
        found.map(|words| format!("{} at {words}", self.kind.title()))
    }

    /// The database in which the ledger can be, where this store is of that kind.
    pub fn ledger(&self) -> Option<&crate::postgres::Settings> {
        self.endpoint.ledger()
    }

    /// The same beside a ledger, which may live in this very store.
    pub fn beside(&self, ledger: &Beside) -> Settings {
        let mut settings = self.clone();
        settings.endpoint.beside(ledger);
        settings
    }

    /// Connects once and proves that the store answers and the credentials hold; tries nothing
    /// again. `application` names this process to the server. What the store says from then on is
    /// without `secrets`.
    pub async fn connect(&self, application: &str, secrets: &Secrets) -> Result<Store, StoreError> {
        Store::connect(self.endpoint.as_ref(), application, secrets).await
    }
}

impl Clone for Settings {
    fn clone(&self) -> Settings {
        Settings { kind: self.kind, endpoint: self.endpoint.clone_box() }
    }
}
