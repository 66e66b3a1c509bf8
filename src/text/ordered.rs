//! JSON whose keys keep their order in the ledger.

use serde::{Deserialize, Serialize};

/// A JSON value that is stored as its text: PostgreSQL's `jsonb` puts keys into an order of its
/// own, and the order of an index's keys, or of a command's, must not be lost in the ledger.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Ordered(pub serde_json::Value);

impl From<Ordered> for String {
    fn from(ordered: Ordered) -> String {
        ordered.0.to_string()
    }
}

impl TryFrom<String> for Ordered {
    type Error = serde_json::Error;

    fn try_from(text: String) -> Result<Ordered, serde_json::Error> {
        serde_json::from_str(&text).map(Ordered)
    }
}
