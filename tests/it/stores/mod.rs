//! Each store through its trait, against the real server.

pub mod kafka;
pub mod mongo;
mod mongo_commands;
pub mod redis;
pub mod weaviate;
mod weaviate_steps;

use aiplat_migrate::secret::Secrets;
use aiplat_migrate::store_error::StoreError;
use aiplat_migrate::stores::contract::Endpoint;
use aiplat_migrate::stores::{Settings, Store};

/// Connects to the store of this name, as a run does.
pub async fn connect(store: &str, endpoint: &impl Endpoint) -> Result<Store, StoreError> {
    let kind = store.parse().expect("the name of a store");
    Settings::new(kind, endpoint.clone()).connect("tests", &Secrets::default()).await
}
