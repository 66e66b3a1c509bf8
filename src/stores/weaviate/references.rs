//! References between the classes of one file: the server takes none to a class that is made later.

use super::schema::{BOTH_FIRST, is_reference};
use crate::text::{Node, NodeKind, ScriptError};

/// Refuses a reference to a class that a later step makes.
pub(super) fn in_order(steps: &[Node]) -> Result<(), ScriptError> {
    let mistakes = steps.iter().enumerate().flat_map(|(at, step)| {
        let properties = properties(step);
        properties.into_iter().flat_map(move |(class, property)| {
            references(property).filter_map(move |other| early(steps, at, (class, property), other))
        })
    });
    match ScriptError::all(mistakes.collect()) {
        None => Ok(()),
        Some(mistake) => Err(mistake),
    }
}

/// The mistake, if `other` names a class that is made only after step `at`.
fn early(
    steps: &[Node],
    at: usize,
    (class, property): (&str, &Node),
    other: &Node,
) -> Option<ScriptError> {
    let name = text(other)?;
    let makes = |step: &Node| step.get("createClass").is_some_and(|it| named(it) == Some(name));
    let drops = |step: &Node| step.get("deleteClass").and_then(text) == Some(name);
    let later = at + 1 + steps[at + 1..].iter().position(makes)?;
    // What is dropped in between was there before.
    let was_there = steps[..at].iter().any(makes) || steps[at + 1..later].iter().any(drops);
    if was_there || name == class {
        return None;
    }
    let property = property.get("name").and_then(text).unwrap_or_default();
    let message = format!(
        "{class}.{property} refers to the class {name}, which only step {} makes",
        later + 1
    );
    Some(ScriptError::new(other.span.clone(), message).hint(BOTH_FIRST))
}

/// The properties that a step makes, each with its class.
fn properties(step: &Node) -> Vec<(&str, &Node)> {
    let (class, listed) = match (step.get("createClass"), step.get("addProperty")) {
        (Some(class), _) => (class, class.get("properties").map_or(&[][..], items)),
        (None, Some(added)) => (added, added.get("property").map_or(&[][..], std::slice::from_ref)),
        (None, None) => return Vec::new(),
    };
    let Some(name) = named(class) else { return Vec::new() };
    listed.iter().map(|property| (name, property)).collect()
}

fn references(property: &Node) -> impl Iterator<Item = &Node> {
    let types = property.get("dataType").map_or(&[][..], items);
    types.iter().filter(|node| text(node).is_some_and(is_reference))
}

fn named(class: &Node) -> Option<&str> {
    class.get("class").and_then(text)
}

fn text(node: &Node) -> Option<&str> {
    node.string("").ok()
}

fn items(node: &Node) -> &[Node] {
    match &node.kind {
        NodeKind::Array(items) => items,
        _ => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mistakes(steps: &str) -> Vec<String> {
        let node = Node::parse(steps).expect("JSON5");
        match in_order(node.array("steps").expect("array")) {
            Ok(()) => Vec::new(),
            Err(first) => {
                let also = first.also.iter().map(|other| other.message.clone()).collect::<Vec<_>>();
                [vec![first.message], also].concat()
            }
        }
    }

    #[test]
    fn a_reference_to_a_later_class_names_it() {
        let refers = |class: &str, other: &str| {
            format!(
                "{{createClass: {{class: '{class}', properties: [{{name: 'p', dataType: ['{other}']}}]}}}}"
            )
        };
        let (a, b) = (refers("A", "B"), refers("B", "A"));
        assert_eq!(
            mistakes(&format!("[{a}, {b}]")),
            ["A.p refers to the class B, which only step 2 makes"]
        );
        assert!(mistakes(&format!("[{}, {}]", refers("B", "text"), a)).is_empty());
        assert!(mistakes(&format!("[{}]", refers("A", "A"))).is_empty(), "to itself");
        assert!(mistakes(&format!("[{a}, {{deleteClass: 'B'}}, {b}]")).is_empty(), "there before");
    }
}
