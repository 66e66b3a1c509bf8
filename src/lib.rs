//! One migration history for PostgreSQL, MongoDB, Weaviate, Kafka and Redis.
pub mod config;
pub mod error;
pub mod execute;
pub mod ledger;
pub mod migration;
pub mod plan;
pub mod postgres;
pub mod secret;
pub mod shape;
pub mod signals;
pub mod stores;
pub mod tls;
