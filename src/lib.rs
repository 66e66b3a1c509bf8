//! One migration history for PostgreSQL, MongoDB, Weaviate, Kafka and Redis.
//!
//! # How `up` goes, in the order of the modules
//!
//! ```text
//! argv → cli → config → migration (files read and checksummed) → ledger (connected, locked, rows)
//!      → plan (compare: pure) → execute (every script about to run is parsed; only the stores in
//!        the plan are connected; per migration: claim, apply, settle; events as it goes)
//!      → report → exit code
//! ```
//!
//! `plan` knows no driver; the stores know neither ledger nor plan; only `execute` and the small
//! verbs that tag or repair write the ledger, through [`ledger::LockedLedger`]; commands return
//! values, and only `report` and `main` print.
//!
//! To embed the tool, begin with [`Migrator`].

pub mod cli;
pub mod commands;
pub mod clock;
pub mod config;
pub mod crash;
pub mod secret;
pub mod section;
pub mod signals;
pub mod tls;

pub mod text;
pub mod migration;
pub mod ledger;
pub mod plan;
pub mod execute;
pub mod postgres;
pub mod stores;
pub mod shape;
pub mod store_error;

pub mod report;
pub mod error;

mod failpoint;
mod file;
mod migrator;

pub use config::Config;
pub use error::{Error, Exit, Result};
pub use migrator::Migrator;
