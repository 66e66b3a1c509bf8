//! What a store answers about one object that is not as recorded.

use serde_json::Value;

use crate::shape::{Attributes, Change};

/// What a store's own `heal` answers for one object.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Remedy {
    /// Steps of a document store.
    pub steps: Vec<Value>,
    /// SQL.
    pub sql: String,
    /// Whether the SQL is run outside a transaction.
    pub apart: bool,
    /// What the steps do besides.
    pub cautions: Vec<String>,
    /// What remains for a person.
    pub person: Vec<String>,
}

/// How one object differs from its record.
pub struct Drifted<'a> {
    /// The kind of object: the first word or words of its name.
    pub kind: &'a str,
    /// Its name without the kind.
    pub name: &'a str,
    /// What is recorded; `None` for a part that was made by hand.
    pub recorded: Option<&'a Attributes>,
    /// The attributes that differ; empty where the object as a whole is there on one side only.
    pub changes: Vec<&'a Change>,
}

impl Remedy {
    pub fn steps(steps: impl IntoIterator<Item = Value>) -> Remedy {
        Remedy { steps: steps.into_iter().collect(), ..Remedy::default() }
    }

    pub fn sql(sql: impl Into<String>) -> Remedy {
        Remedy { sql: sql.into(), ..Remedy::default() }
    }

    pub fn person(why: impl Into<String>) -> Remedy {
        Remedy { person: vec![why.into()], ..Remedy::default() }
    }

    pub fn caution(mut self, caution: impl Into<String>) -> Remedy {
        self.cautions.push(caution.into());
        self
    }
}

impl Drifted<'_> {
    /// Whether it is gone as a whole.
    pub fn is_absent(&self) -> bool {
        self.recorded.is_some() && self.changes.is_empty()
    }

    /// Whether this attribute is among those that differ.
    pub fn differs_in(&self, attribute: &str) -> bool {
        self.changes.iter().any(|change| change.attribute.as_deref() == Some(attribute))
    }

    /// A recorded text; empty where there is none.
    pub fn text(&self, attribute: &str) -> &str {
        let recorded = self.recorded.and_then(|attributes| attributes.get(attribute));
        recorded.and_then(Value::as_str).unwrap_or_default()
    }
}

/// What is gone with the data that it held.
pub fn gone_with_its_data(what: &str) -> Remedy {
    Remedy::person(format!(
        "{what} is gone with the data it held: bring it back from a backup; or record that it is \
         gone with repair --accept-drift and make it anew by a migration"
    ))
}
