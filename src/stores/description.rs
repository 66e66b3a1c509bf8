//! What is known of a store without a connection: one description each, in its folder.

use serde_json::Value;

use super::adapter::AnyEndpoint;
use super::contract::{Endpoint, Operation, Unit};
use super::remedy::{Drifted, Remedy};
use crate::section::{Key, Reader};
use crate::shape::Attributes;
use crate::text::{Node, Rendered, ScriptError};

/// Everything that the rest of the program asks of a store, except its connection.
pub struct Description {
    /// The name: of its folder of migrations, its section of the settings, in flags and in the ledger.
    pub name: &'static str,
    /// The product's own name, for sentences.
    pub title: &'static str,
    /// The extensions that its migrations may have, the usual one first.
    pub extensions: &'static [&'static str],
    /// How its migrations are written, and what reads them.
    pub language: Language,
    /// What undoes its migrations.
    pub undo: Undo,
    /// The keys of its section of the settings, in groups; those of every store are added.
    pub keys: &'static [&'static [Key]],
    /// The keys any of which makes it configured; the first is the one that hints name.
    pub addresses: &'static [&'static str],
    /// Makes its settings of what its section says.
    pub settings: fn(&mut Reader<'_>) -> Connectable,
    /// The files that `new` writes: what their names begin with, and their text.
    pub templates: &'static [(&'static str, &'static str)],
    /// What is recorded of its objects.
    pub objects: Objects,
}

/// How migrations are written.
pub enum Language {
    /// SQL: the file is read as a whole.
    Sql {
        /// The units of a file; the flag is whether it is applied outside a transaction.
        units: fn(&Rendered, bool) -> Result<Vec<Unit>, ScriptError>,
        /// What the text does, apart from comments and white space; `None` if it cannot be read.
        content: fn(&str) -> Option<String>,
    },
    /// JSON5: a list of steps, each a native operation.
    Steps(Steps),
}

/// How steps are read.
pub struct Steps {
    /// Reads one.
    pub unit: fn(&Node) -> Result<Unit, ScriptError>,
    /// Looks at all of a file's steps together: what one of them needs of a later one.
    pub together: fn(&[Node]) -> Result<(), ScriptError>,
    /// What is to be written in place of a word of another language, such as the store's own shell.
    pub foreign: fn(&str) -> Option<&'static str>,
}

impl Steps {
    /// Steps that say nothing of each other.
    pub const fn of(unit: fn(&Node) -> Result<Unit, ScriptError>) -> Steps {
        Steps { unit, together: |_| Ok(()), foreign: |_| None }
    }
}

/// What undoes a migration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Undo {
    /// A U file, written by hand.
    File,
    /// The inverse of each step, derived when it is applied; a U file wins over it.
    Derived,
}

/// How the objects of a store are named and compared. The first word of a name is the object's kind.
pub struct Objects {
    /// Kinds of two words.
    pub long_kinds: &'static [&'static str],
    /// Attributes that are there only where the settings ask for them, and then on every object.
    pub optional: &'static [&'static str],
    /// Whether every server has the object from the beginning, so that no migration has to make it.
    pub is_builtin: fn(&str) -> bool,
    /// The names that the object's owner may have, nearest first: a part made by hand in something
    /// that migrations made is drift.
    pub part_of: fn(&str, &Attributes) -> Vec<String>,
    /// Where in a repair an object comes.
    pub rank: fn(&Drifted<'_>, &Remedy) -> usize,
    /// What puts a drifted object back as recorded.
    pub heal: fn(&Drifted<'_>) -> Remedy,
    /// How a recorded shape is held against a live one.
    pub comparison: Comparison,
}

/// How a recorded shape is held against a live one.
pub struct Comparison {
    /// Counts up whenever more is looked at: a shape says by which version it was recorded.
    pub version: u32,
    /// Whether a version looked at this kind of object, and at this attribute of it. What it did not
    /// look at is no drift, and is taken over by the next run that records a shape.
    pub knew: fn(u32, &str, Option<&str>) -> bool,
    /// What ends an object that an operation left which was cut off; it is never recorded. `None` for
    /// any other object.
    pub leftover: fn(&str, &Attributes) -> Option<String>,
    /// Whether two values of an attribute, recorded and live, say the same though they are not equal.
    pub same: fn(&str, &Value, &Value) -> bool,
}

impl Comparison {
    /// Whatever is there was looked at from the beginning, and differs where it is not equal.
    pub const PLAIN: Comparison = Comparison {
        version: 1,
        knew: |_, _, _| true,
        leftover: |_, _| None,
        same: |_, _, _| false,
    };
}

impl Objects {
    /// The kind and the rest of an object's name.
    pub fn kind_and_name<'o>(&self, object: &'o str) -> (&'o str, &'o str) {
        let long = self.long_kinds.iter().find_map(|kind| {
            let name = object.strip_prefix(kind)?.strip_prefix(' ')?;
            Some((&object[..kind.len()], name))
        });
        long.or_else(|| object.split_once(' ')).unwrap_or((object, ""))
    }
}

/// The settings of a store, made of its section.
pub struct Connectable(pub(super) Box<dyn AnyEndpoint>);

impl<E: Endpoint> From<E> for Connectable {
    fn from(endpoint: E) -> Connectable {
        Connectable(Box::new(endpoint))
    }
}

/// The unit of a step of JSON5 that `parse` reads.
pub fn journalled<S: Operation>(
    node: &Node,
    parse: fn(&Node) -> Result<S, ScriptError>,
) -> Result<Unit, ScriptError> {
    Ok(Unit::journalled(parse(node)?, node.span.clone()))
}

/// For [`Objects::part_of`]: no object is a part of another.
pub fn no_parts(_object: &str, _attributes: &Attributes) -> Vec<String> {
    Vec::new()
}

/// For [`Objects::rank`]: objects are put back in the order of their names.
pub fn any_order(_object: &Drifted<'_>, _remedy: &Remedy) -> usize {
    0
}

/// For [`Objects::is_builtin`]: a server begins empty.
pub fn begins_empty(_object: &str) -> bool {
    false
}
