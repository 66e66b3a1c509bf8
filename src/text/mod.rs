//! The text of a migration: JSON5 with places, SQL with placeholders and what psql reads of it, checksums. Knows no
//! store and no migration.

pub mod checksum;
pub mod copy_data;
pub mod directive;
pub mod document;
pub mod duration;
pub mod encoding;
mod meta_command;
pub mod ordered;
pub mod placeholders;
pub mod psql;
pub mod unseen;

pub use checksum::{Checksum, normalized};
pub use copy_data::LargeData;
pub use document::{Fields, Key as DocumentKey, Node, NodeKind, ScriptError, Span};
pub use duration::parse_duration;
pub use ordered::{Ordered, map_texts};
pub use placeholders::{Placeholder, Placeholders, Rendered};

/// The two forms of migration.
#[derive(Clone, Debug)]
pub enum ScriptBody {
    /// SQL text.
    Sql(Rendered),
    /// Steps of JSON5, each with its place in the file.
    Steps(Vec<Node>),
}
