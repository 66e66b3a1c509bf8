//! Redis: one server, a cluster, or whatever server the Sentinels call the master.
//!
//! Redis has no schema. What a migration can change is its settings, its functions, its users, and
//! keys that exist; what keys are to look like is a contract that only the ledger holds.

mod apply;
mod audit;
mod connection;
mod errors;
mod heal;
mod probe;
mod rewrite;
mod server;
mod shape;
mod steps;
mod walk;

use std::time::Duration;

use futures_util::future::BoxFuture;

use super::{
    Audit, Before, Body, Depth, Done, Failure, Job, Loss, Probe, Store, StoreError, StoreErrorKind,
    Unit,
};
use crate::secret::Secret;
use crate::shape::Shape;
use crate::tls::TlsFiles;

pub(super) use heal::{heal, makes, touches};
use server::Server;
pub use steps::Step;

/// Where Redis is and how to log in. Parts that are given win over the same part of the URL.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// `redis://user:password@host:port/database`, or `rediss://` for TLS; may be empty.
    pub url: Secret,
    /// The host; in a cluster any of its nodes.
    pub host: Option<String>,
    /// The port; 6379 where none is given.
    pub port: Option<u16>,
    /// The user; the server's `default` where none is given.
    pub user: Option<String>,
    /// The password; taken as it is, whatever its characters.
    pub password: Secret,
    /// The number of the database; 0 where none is given.
    pub database: Option<i64>,
    /// Whether to speak TLS; where it is not said, a `rediss` URL or a certificate file means yes.
    pub tls: Option<bool>,
    /// The certificates.
    pub tls_files: TlsFiles,
    /// Whether the address is a node of a cluster.
    pub cluster: bool,
    /// The Sentinels, `host:port` each; they are asked in this order.
    pub sentinels: Vec<String>,
    /// The name of the master among the Sentinels.
    pub sentinel_master: Option<String>,
    /// The password of the Sentinels themselves.
    pub sentinel_password: Secret,
    /// How long to wait for a connection; 5 s where nothing is said.
    pub connect_timeout: Option<Duration>,
    /// How long to wait for an answer; 60 s where nothing is said.
    pub response_timeout: Option<Duration>,
}

impl Settings {
    /// Host and port, or the master's name and its Sentinels; never a password.
    pub fn address(&self) -> String {
        connection::address(self)
    }

    /// Whether what is sent can be read on its way, in words.
    pub fn plain_text(&self) -> Option<String> {
        connection::plain_text(self)
    }
}

/// Connects once and proves that the server answers, may be used, and is of the kind that the
/// settings say.
pub async fn connect(settings: &Settings, application: &str) -> Result<Box<dyn Store>, StoreError> {
    let server = Server::connect(settings, application).await?;
    Ok(Box::new(Redis { server }))
}

struct Redis {
    server: Server,
}

impl Store for Redis {
    /// A Redis has nothing of the kind: its run id is new after each restart, its replication id
    /// after each failover.
    fn identity(&self) -> BoxFuture<'_, Result<Option<String>, StoreError>> {
        Box::pin(async { Ok(None) })
    }

    /// There is nothing to end: the server drops what a closed connection still had in its
    /// pipeline, which is one batch of repeatable commands at most.
    fn expel<'a>(&'a self, _dead: &'a [String]) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async { Ok(()) })
    }

    fn before<'a>(
        &'a self,
        unit: &'a Unit,
        recorded: &'a Shape,
    ) -> BoxFuture<'a, Result<Before, StoreError>> {
        Box::pin(async move { probe::before(&self.server, step(unit)?, recorded).await })
    }

    fn holds<'a>(&'a self, unit: &'a Unit) -> BoxFuture<'a, Result<Vec<Loss>, StoreError>> {
        Box::pin(async move { probe::holds(&self.server, step(unit)?).await })
    }

    fn apply<'a>(&'a self, job: Job<'a>) -> BoxFuture<'a, Result<Done, Failure>> {
        Box::pin(async move { apply::apply(&self.server, step(job.unit)?, &job).await })
    }

    fn probe<'a>(
        &'a self,
        unit: &'a Unit,
        _before: &'a Before,
    ) -> BoxFuture<'a, Result<Probe, StoreError>> {
        Box::pin(async move { probe::probe(&self.server, step(unit)?).await })
    }

    fn inspect<'a>(
        &'a self,
        recorded: &'a Shape,
        depth: Depth,
    ) -> BoxFuture<'a, Result<Shape, StoreError>> {
        Box::pin(async move { shape::inspect(&self.server, recorded, depth).await })
    }

    fn audit<'a>(
        &'a self,
        recorded: &'a Shape,
        depth: Depth,
    ) -> BoxFuture<'a, Result<Option<Audit>, StoreError>> {
        Box::pin(async move { audit::audit(&self.server, recorded, depth).await })
    }
}

fn step(unit: &Unit) -> Result<&Step, StoreError> {
    match &unit.body {
        Body::Redis(step) => Ok(step),
        Body::Postgres(_) | Body::Mongo(_) | Body::Weaviate(_) | Body::Kafka(_) => {
            Err(StoreError::new(StoreErrorKind::Settings, "this step belongs to another store"))
        }
    }
}
