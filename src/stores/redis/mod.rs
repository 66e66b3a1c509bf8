//! Redis: one server, a cluster, or whatever server the Sentinels call the master.
//!
//! Redis has no schema. What a migration can change is its settings, its functions, its users, and
//! keys that exist; what keys are to look like is a contract that only the ledger holds.

mod apply;
mod audit;
mod connection;
mod errors;
mod heal;
mod moves;
mod probe;
mod rewrite;
mod server;
mod shape;
mod slots;
mod steps;
mod walk;

use std::time::Duration;

use crate::secret::Secret;
use crate::section::{CONNECT_TIMEOUT, Key, Kind, Reader, TLS_FILES, key};
use crate::shape::Shape;
use crate::store_error::StoreError;
use crate::stores::contract::{
    Audit, Before, Connection, Depth, Done, Endpoint, Failure, Job, Loss, Probe,
};
use crate::stores::description::{
    Comparison, Description, Language, Objects, Steps, Undo, any_order, journalled,
};
use crate::tls::TlsFiles;

use server::Server;
pub use steps::Step;

/// What is known of Redis without a connection.
pub static STORE: Description = Description {
    name: "redis",
    title: "Redis",
    extensions: &["json5", "json", "jsonc"],
    language: Language::Steps(Steps::of(|node| journalled(node, Step::parse))),
    undo: Undo::Derived,
    keys: &[KEYS, TLS_FILES, CONNECT_TIMEOUT],
    addresses: &["url", "host", "sentinels"],
    settings: |section| Settings::read(section).into(),
    templates: &[(
        "V",
        "{\n  steps: [\n    // { keyspace: { pattern: \"thing:{id}\", type: \"hash\", ttl: \"24h\", purpose: \"\" } },\n  ],\n}\n",
    )],
    objects: Objects {
        long_kinds: &[],
        optional: &[],
        // Every server has them all.
        is_builtin: |object| object.starts_with("setting "),
        part_of: |object, _| {
            let user = object.strip_prefix("passwords ");
            user.map(|user| format!("user {user}")).into_iter().collect()
        },
        rank: any_order,
        heal: heal::heal,
        comparison: Comparison { same: shape::same, ..Comparison::PLAIN },
    },
};

const KEYS: &[Key] = &[
    key("url", Kind::Secret, "", "The address: redis://user:password@host:6379/0."),
    key("host", Kind::Text, "", "The server's host, in place of the URL's."),
    key("port", Kind::Port, "6379", "The server's port, in place of the URL's."),
    key("user", Kind::Text, "", "The user, in place of the URL's."),
    key("password", Kind::Secret, "", "The password, in place of the URL's."),
    key("database", Kind::Number, "0", "The number of the database, in place of the URL's."),
    key("tls", Kind::Flag, "false", "Whether to speak TLS."),
    key("cluster", Kind::Flag, "false", "Whether the server is a Redis Cluster."),
    key(
        "sentinels",
        Kind::List,
        "",
        "The Sentinels to ask for the master: host:26379, host:26379.",
    ),
    key("sentinel_master", Kind::Text, "", "The master's name, as the Sentinels know it."),
    key("sentinel_password", Kind::Secret, "", "The Sentinels' own password."),
    key("response_timeout", Kind::Duration, "", "How long one answer may take."),
];

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

impl Endpoint for Settings {
    type Connection = Redis;

    /// Host and port, or the master's name and its Sentinels.
    fn address(&self) -> String {
        connection::address(self)
    }

    fn plain_text(&self) -> Option<String> {
        connection::plain_text(self)
    }

    /// Proves, too, that the server may be used and is of the kind that the settings say.
    async fn connect(&self, application: &str) -> Result<Redis, StoreError> {
        Ok(Redis { server: Server::connect(self, application).await? })
    }
}

impl Settings {
    fn read(section: &mut Reader<'_>) -> Settings {
        Settings {
            url: section.secret("url"),
            host: section.host("host"),
            port: section.port("port"),
            user: section.text("user"),
            password: section.secret("password"),
            database: section.number("database"),
            tls: section.flag("tls"),
            tls_files: section.tls_files(),
            cluster: section.flag("cluster").unwrap_or(false),
            sentinels: section.hosts("sentinels"),
            sentinel_master: section.text("sentinel_master"),
            sentinel_password: section.secret("sentinel_password"),
            connect_timeout: section.duration("connect_timeout"),
            response_timeout: section.duration("response_timeout"),
        }
    }
}

/// A connected server, cluster or master.
pub struct Redis {
    server: Server,
}

impl Connection for Redis {
    type Step = Step;

    /// A Redis has nothing of the kind: its run id is new after each restart, its replication id
    /// after each failover.
    async fn identity(&self) -> Result<Option<String>, StoreError> {
        Ok(None)
    }

    /// There is nothing to end: the server drops what a closed connection still had in its
    /// pipeline, which is one batch of repeatable commands at most.
    async fn expel(&self, _dead: &[String]) -> Result<(), StoreError> {
        Ok(())
    }

    async fn before(&self, step: &Step, recorded: &Shape) -> Result<Before, StoreError> {
        probe::before(&self.server, step, recorded).await
    }

    async fn holds(&self, step: &Step) -> Result<Vec<Loss>, StoreError> {
        probe::holds(&self.server, step).await
    }

    async fn apply<'a>(&'a self, step: &'a Step, job: Job<'a>) -> Result<Done, Failure> {
        apply::apply(&self.server, step, &job).await
    }

    async fn probe(&self, step: &Step, _before: &Before) -> Result<Probe, StoreError> {
        probe::probe(&self.server, step).await
    }

    async fn inspect(&self, recorded: &Shape, depth: Depth) -> Result<Shape, StoreError> {
        shape::inspect(&self.server, recorded, depth).await
    }

    async fn audit(&self, recorded: &Shape, depth: Depth) -> Result<Option<Audit>, StoreError> {
        audit::audit(&self.server, recorded, depth).await
    }
}
