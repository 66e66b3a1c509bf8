//! One file per verb, each read top to bottom. Commands return values; `report` shows them.

mod anew;
mod changed;
mod down;
mod flags;
mod hash;
mod history;
mod manner;
mod new;
mod past;
mod plan;
mod redo;
mod repair;
mod status;
mod tag;
mod up;
mod validate;
mod wait;

pub use down::Down;
pub use flags::{Confirm, duration};
pub use hash::Hash;
pub use history::History;
pub use manner::Manner;
pub use new::New;
pub use plan::Plan;
pub use redo::Redo;
pub use repair::Repair;
pub use status::Status;
pub use tag::Tag;
pub use up::Up;
pub use validate::Validate;
pub use wait::Wait;
