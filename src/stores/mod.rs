//! The stores: a contract, a folder for each of them, and one table.
//!
//! Whoever adds a store begins with [`contract`].

pub mod adapter;
mod concealed;
pub mod contract;
pub mod description;
mod drift;
mod effect;
mod heal;
pub mod kafka;
pub mod mongo;
mod pace;
pub mod postgres;
pub mod redis;
mod remedy;
mod settings;
pub mod table;
pub mod weaviate;

pub use adapter::Store;
pub use concealed::{is_concealed, is_unshown, recorded_without};
pub use contract::{
    Audit, Before, Beside, Depth, Done, Effect, Entered, Failure, Finding, Foreseen, Guard, Job,
    Limits, Loss, Part, Piece, Position, Probe, Progress, Pulse, Repair, SESSION, Seal, Standing,
    Stop, Unit, Violation, Why,
};
pub use drift::{Drift, Ignored, Leftover, drift};
pub use effect::{caught_up, effect, of_others, recordable};
pub use heal::{heal, judge};
pub use remedy::{Heal, Means, Sql, Verdict};
pub use settings::Settings;
pub use table::StoreKind;
