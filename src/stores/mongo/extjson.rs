//! Nodes of a file as BSON, by the rules of relaxed Extended JSON.

use bson::{Bson, Document};

use crate::text::{Node, NodeKind, ScriptError};

/// The value of `node`; a mistake points at the innermost value that cannot be read.
pub(super) fn value(node: &Node) -> Result<Bson, ScriptError> {
    Bson::try_from(node.to_json()).map_err(|error| {
        innermost(node).unwrap_or_else(|| {
            ScriptError::new(node.span.clone(), format!("Extended JSON: {error}"))
        })
    })
}

/// The value of `node`, which has to be a document; `what` names it.
pub(super) fn document(node: &Node, what: &str) -> Result<Document, ScriptError> {
    node.object(what)?;
    match value(node)? {
        Bson::Document(document) => Ok(document),
        _ => Err(ScriptError::new(node.span.clone(), format!("{what} is a document, not a value"))),
    }
}

fn innermost(node: &Node) -> Option<ScriptError> {
    let children: Vec<&Node> = match &node.kind {
        NodeKind::Array(items) => items.iter().collect(),
        NodeKind::Object(fields) => fields.iter().map(|(_, node)| node).collect(),
        NodeKind::Null | NodeKind::Bool(_) | NodeKind::Number(_) | NodeKind::String(_) => {
            Vec::new()
        }
    };
    children.into_iter().find_map(|child| value(child).err())
}
