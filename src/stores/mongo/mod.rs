//! MongoDB: steps are database commands, each done whole or not at all, and updates in batches.
//!
//! - `settings`, `key_pair`: how the deployment is reached.
//! - `steps`, `extjson`, `commands`, `idempotence`, `inverse`: what a step is; pure.
//! - `catalog`, `changes`: what is there, in a form that can be compared.
//! - `probe`, `apply`, `batches`, `operations`, `shape`: the work on the server.
//! - `errors`: what it answers.

mod apply;
mod batches;
mod catalog;
mod changes;
mod commands;
mod errors;
mod extjson;
mod heal;
mod idempotence;
mod inverse;
mod key_pair;
mod operations;
mod probe;
mod settings;
mod shape;
mod steps;

pub(super) use heal::{heal, makes, part_of, touches};
pub use settings::Settings;
pub use steps::{
    CollMod, Command, Create, CreateIndexes, Drop, DropIndexes, Rename, Step, UpdateInBatches,
    Which,
};

use std::time::Duration;

use bson::{Document, doc};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use mongodb::{Client, Database};

use self::key_pair::KeyPair;
use super::{
    Before, Body, Depth, Done, Failure, Job, Loss, Probe, Store, StoreError, StoreErrorKind, Unit,
};
use crate::shape::Shape;

/// A database of a MongoDB deployment.
struct Mongo {
    client: Client,
    db: Database,
    _key_pair: Option<KeyPair>,
}

/// Connects, and proves that there is a server that takes writes and that the credentials hold.
pub async fn connect(settings: &Settings, application: &str) -> Result<Box<dyn Store>, StoreError> {
    crate::tls::install_provider();
    let target = settings.target(application).await?;
    let peer = settings.peer(&target.options);
    let client =
        Client::with_options(target.options).map_err(|error| errors::from_driver(&error))?;
    let db = client.database(&target.database);
    let store = Mongo { client, db, _key_pair: target.key_pair };
    // The driver bounds the search for a server, not its answer.
    let patience = settings.patience() + Duration::from_secs(1);
    let attempt = async {
        let proved = tokio::time::timeout(patience, store.prove()).await;
        proved.unwrap_or_else(|_| {
            Err(StoreError::unreachable(format!("no answer within {patience:?}")))
        })
    };
    let proved = crate::tls::explained(attempt, &peer).await;
    let address = settings.address();
    proved.map_err(|error| match error.message.contains(&address) {
        true => error,
        false => error.detail(format!("at {address}")),
    })?;
    Ok(Box::new(store))
}

impl Mongo {
    fn admin(&self) -> Database {
        self.client.database("admin")
    }

    /// A ping needs no rights; this does.
    async fn prove(&self) -> Result<(), StoreError> {
        let command = doc! {
            "listCollections": 1,
            "filter": { "name": "" },
            "nameOnly": true,
            "authorizedCollections": true,
        };
        match self.db.run_command(command).await {
            Ok(_) => Ok(()),
            Err(error) if errors::code(&error) == Some(errors::UNAUTHORIZED) => {
                let mut refusal = errors::from_driver(&error);
                refusal.kind = StoreErrorKind::Credentials;
                Err(refusal.hint("the server asks for a user: set `user` and `password`"))
            }
            Err(error) => Err(errors::from_driver(&error)),
        }
    }

    /// Asks something that changes nothing.
    async fn ask(&self, db: &Database, command: Document) -> Result<Document, StoreError> {
        db.run_command(command).await.map_err(|error| errors::from_driver(&error))
    }

    /// A collection's database and name: as given in front of a `.`, else this database.
    fn place(&self, name: &str) -> (Database, String) {
        match name.split_once('.') {
            Some((db, collection)) => (self.client.database(db), collection.to_string()),
            None => (self.db.clone(), name.to_string()),
        }
    }

    fn namespace(&self, name: &str) -> String {
        let (db, collection) = self.place(name);
        format!("{}.{collection}", db.name())
    }

    /// The replica set's id, or a sharded cluster's; `None` for a server alone, and where the user
    /// may not see it.
    async fn identity(&self) -> Result<Option<String>, StoreError> {
        let reply = match self.admin().run_command(doc! { "replSetGetConfig": 1 }).await {
            Ok(reply) => reply,
            Err(error) => {
                return match errors::code(&error) {
                    Some(errors::UNAUTHORIZED | errors::NO_REPLICATION) => Ok(None),
                    Some(_) => self.cluster_id().await,
                    None => Err(errors::from_driver(&error)),
                };
            }
        };
        let settings =
            reply.get_document("config").and_then(|config| config.get_document("settings"));
        Ok(settings
            .and_then(|settings| settings.get_object_id("replicaSetId"))
            .ok()
            .map(|id| format!("replica set {id}")))
    }

    /// A router knows no replica set.
    async fn cluster_id(&self) -> Result<Option<String>, StoreError> {
        let config = self.client.database("config");
        let Ok(reply) = config.run_command(doc! { "find": "version", "limit": 1 }).await else {
            return Ok(None);
        };
        let rows = reply.get_document("cursor").and_then(|cursor| cursor.get_array("firstBatch"));
        let row = rows.ok().and_then(|rows| rows.first()).and_then(bson::Bson::as_document);
        let id = row.and_then(|row| row.get_object_id("clusterId").ok());
        Ok(id.map(|id| format!("cluster {id}")))
    }
}

fn step(unit: &Unit) -> Result<&Step, StoreError> {
    match &unit.body {
        Body::Mongo(step) => Ok(step),
        Body::Postgres(_) | Body::Weaviate(_) | Body::Kafka(_) | Body::Redis(_) => {
            Err(StoreError::refused(format!("`{}` is no step for MongoDB", unit.label)))
        }
    }
}

impl Store for Mongo {
    fn identity(&self) -> BoxFuture<'_, Result<Option<String>, StoreError>> {
        self.identity().boxed()
    }

    fn expel<'a>(&'a self, dead: &'a [String]) -> BoxFuture<'a, Result<(), StoreError>> {
        async move { operations::expel(&self.admin(), dead).await }.boxed()
    }

    fn before<'a>(
        &'a self,
        unit: &'a Unit,
        _recorded: &'a Shape,
    ) -> BoxFuture<'a, Result<Before, StoreError>> {
        async move { probe::before(self, step(unit)?).await }.boxed()
    }

    fn holds<'a>(&'a self, unit: &'a Unit) -> BoxFuture<'a, Result<Vec<Loss>, StoreError>> {
        async move { probe::holds(self, step(unit)?).await }.boxed()
    }

    fn apply<'a>(&'a self, job: Job<'a>) -> BoxFuture<'a, Result<Done, Failure>> {
        async move { apply::apply(self, step(job.unit)?, &job).await }.boxed()
    }

    fn probe<'a>(
        &'a self,
        unit: &'a Unit,
        before: &'a Before,
    ) -> BoxFuture<'a, Result<Probe, StoreError>> {
        async move { probe::probe(self, step(unit)?, before).await }.boxed()
    }

    fn inspect<'a>(
        &'a self,
        _recorded: &'a Shape,
        _depth: Depth,
    ) -> BoxFuture<'a, Result<Shape, StoreError>> {
        shape::inspect(self).boxed()
    }
}
