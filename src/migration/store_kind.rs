//! The closed set of stores.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A kind of store; its name is that of its folder, its configuration section and its flag value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StoreKind {
    /// PostgreSQL, with or without pgvector.
    Postgres,
    /// MongoDB.
    Mongo,
    /// Weaviate.
    Weaviate,
    /// Kafka.
    Kafka,
    /// Redis.
    Redis,
}

impl StoreKind {
    /// Every store, in the order in which they are shown.
    pub const ALL: [StoreKind; 5] = [
        StoreKind::Postgres,
        StoreKind::Mongo,
        StoreKind::Weaviate,
        StoreKind::Kafka,
        StoreKind::Redis,
    ];

    /// The name, as in folders, flags and the ledger.
    pub fn name(self) -> &'static str {
        match self {
            StoreKind::Postgres => "postgres",
            StoreKind::Mongo => "mongo",
            StoreKind::Weaviate => "weaviate",
            StoreKind::Kafka => "kafka",
            StoreKind::Redis => "redis",
        }
    }

    /// The product's own name, for sentences.
    pub fn title(self) -> &'static str {
        match self {
            StoreKind::Postgres => "PostgreSQL",
            StoreKind::Mongo => "MongoDB",
            StoreKind::Weaviate => "Weaviate",
            StoreKind::Kafka => "Kafka",
            StoreKind::Redis => "Redis",
        }
    }

    /// The file extensions that its migrations may have, the usual one first.
    pub fn extensions(self) -> &'static [&'static str] {
        match self {
            StoreKind::Postgres => &["sql"],
            StoreKind::Mongo | StoreKind::Weaviate | StoreKind::Kafka | StoreKind::Redis => {
                &["json5", "json", "jsonc"]
            }
        }
    }
}

impl fmt::Display for StoreKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for StoreKind {
    type Err = String;

    fn from_str(text: &str) -> Result<StoreKind, String> {
        StoreKind::ALL.into_iter().find(|kind| kind.name() == text).ok_or_else(|| {
            let known = StoreKind::ALL.map(StoreKind::name).join(", ");
            format!("unknown store `{text}`: it is one of {known}")
        })
    }
}
