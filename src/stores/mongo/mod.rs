//! MongoDB: steps are database commands, each done whole or not at all, and updates in batches.
//!
//! - `settings`, `key_pair`: how the deployment is reached.
//! - `steps`, `extjson`, `commands`, `idempotence`, `inverse`: what a step is; pure.
//! - `catalog`, `changes`: what is there, in a form that can be compared.
//! - `losses`: what it deletes or overwrites.
//! - `probe`, `inserts`, `users`, `apply`, `batches`, `operations`, `shape`: the work on the server.
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
mod inserts;
mod inverse;
mod key_pair;
mod losses;
mod operations;
mod probe;
mod settings;
mod shape;
mod steps;
mod users;

pub use settings::Settings;
pub use steps::{
    CollMod, Command, Create, CreateIndexes, Drop, DropIndexes, Rename, Step, UpdateInBatches,
    Which,
};

use std::time::Duration;

use bson::{Document, doc};
use mongodb::{Client, Database};

use self::key_pair::KeyPair;
use crate::section::{CONNECT_TIMEOUT, Key, Kind, TLS_FILES, key};
use crate::shape::Shape;
use crate::store_error::{StoreError, StoreErrorKind};
use crate::stores::contract::{
    Audit, Before, Connection, Depth, Done, Endpoint, Failure, Job, Loss, Probe,
};
use crate::stores::description::{
    Comparison, Description, Language, Objects, Steps, Undo, begins_empty, journalled,
};

/// What is known of MongoDB without a connection.
pub static STORE: Description = Description {
    name: "mongo",
    title: "MongoDB",
    extensions: &["json5", "json", "jsonc"],
    language: Language::Steps(Steps {
        foreign: commands::foreign,
        ..Steps::of(|node| journalled(node, Step::parse))
    }),
    undo: Undo::Derived,
    keys: &[KEYS, TLS_FILES, CONNECT_TIMEOUT],
    addresses: &["url", "host"],
    settings: |section| Settings::read(section).into(),
    templates: &[(
        "V",
        "{\n  steps: [\n    // { create: \"collection\" },\n    // { createIndexes: \"collection\", indexes: [ { key: { field: 1 }, name: \"field_1\" } ] },\n  ],\n}\n",
    )],
    objects: Objects {
        long_kinds: &[],
        optional: &[],
        is_builtin: begins_empty,
        part_of: |object, _| heal::part_of(object),
        rank: heal::rank,
        heal: heal::heal,
        comparison: Comparison::PLAIN,
    },
};

const KEYS: &[Key] = &[
    key("url", Kind::Secret, "", "The address: mongodb://user:password@host:27017/database."),
    key("host", Kind::Text, "", "The server's host, in place of the URL's."),
    key("port", Kind::Port, "27017", "The server's port, in place of the URL's."),
    key("database", Kind::Text, "", "The database, in place of the URL's."),
    key("user", Kind::Text, "", "The user, in place of the URL's."),
    key("password", Kind::Secret, "", "The password, in place of the URL's."),
    key("auth_source", Kind::Text, "", "The database that knows the user."),
    key("replica_set", Kind::Text, "", "The replica set's name."),
    key("tls", Kind::Flag, "false", "Whether to speak TLS."),
];

/// A database of a MongoDB deployment.
pub struct Mongo {
    client: Client,
    db: Database,
    _key_pair: Option<KeyPair>,
}

impl Endpoint for Settings {
    type Connection = Mongo;

    fn address(&self) -> String {
        Settings::address(self)
    }

    fn plain_text(&self) -> Option<String> {
        Settings::plain_text(self)
    }

    /// Proves that there is a server that takes writes and that the credentials hold.
    async fn connect(&self, application: &str) -> Result<Mongo, StoreError> {
        crate::tls::install_provider();
        let target = self.target(application).await?;
        let peer = self.peer(&target.options);
        let client =
            Client::with_options(target.options).map_err(|error| errors::from_driver(&error))?;
        let db = client.database(&target.database);
        let store = Mongo { client, db, _key_pair: target.key_pair };
        // The driver bounds the search for a server, not its answer.
        let patience = self.patience() + Duration::from_secs(1);
        let attempt = async {
            let proved = tokio::time::timeout(patience, store.prove()).await;
            proved.unwrap_or_else(|_| {
                Err(StoreError::unreachable(format!("no answer within {patience:?}")))
            })
        };
        let proved = crate::tls::explained(attempt, &peer).await;
        let address = self.address();
        proved.map_err(|error| match error.message.contains(&address) {
            true => error,
            false => error.detail(format!("at {address}")),
        })?;
        Ok(store)
    }
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
    async fn deployment(&self) -> Result<Option<String>, StoreError> {
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

impl Connection for Mongo {
    type Step = Step;

    async fn identity(&self) -> Result<Option<String>, StoreError> {
        self.deployment().await
    }

    async fn expel(&self, dead: &[String]) -> Result<(), StoreError> {
        operations::expel(&self.admin(), dead).await
    }

    async fn before(&self, step: &Step, _recorded: &Shape) -> Result<Before, StoreError> {
        probe::before(self, step).await
    }

    async fn holds(&self, step: &Step) -> Result<Vec<Loss>, StoreError> {
        losses::holds(self, step).await
    }

    async fn apply<'a>(&'a self, step: &'a Step, job: Job<'a>) -> Result<Done, Failure> {
        apply::apply(self, step, &job).await
    }

    async fn probe(&self, step: &Step, before: &Before) -> Result<Probe, StoreError> {
        probe::probe(self, step, before).await
    }

    async fn inspect(&self, _recorded: &Shape, _depth: Depth) -> Result<Shape, StoreError> {
        shape::inspect(self).await
    }

    async fn audit(&self, _recorded: &Shape, _depth: Depth) -> Result<Option<Audit>, StoreError> {
        Ok(None)
    }
}
