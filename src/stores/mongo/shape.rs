//! The live shape: collections, views and indexes.

use bson::{Bson, Document};
use futures_util::{StreamExt, TryStreamExt, stream};
use serde_json::Value;

use super::Mongo;
use super::catalog::{self, Collection, Index, plain};
use super::steps::shown;
use crate::shape::{Attributes, Shape};
use crate::store_error::StoreError;

/// Collections whose indexes are asked for at the same time.
const AT_ONCE: usize = 16;

/// One round trip for the collections and one for the indexes of each.
pub(super) async fn inspect(store: &Mongo) -> Result<Shape, StoreError> {
    let collections = catalog::collections(&store.db).await?;
    let names: Vec<String> =
        collections.iter().filter(|found| !found.is_view).map(|found| found.name.clone()).collect();
    let listed: Vec<(String, Vec<Index>)> = stream::iter(names)
        .map(async |name| {
            let indexes = catalog::indexes(&store.db, &name).await?;
            Ok::<_, StoreError>((name, indexes))
        })
        .buffer_unordered(AT_ONCE)
        .try_collect()
        .await?;
    let mut shape = Shape::default();
    for found in &collections {
        shape.insert(object(found), attributes(&found.options));
    }
    for (collection, indexes) in &listed {
        for index in indexes.iter().filter(|index| !index.building) {
            let spec = index.spec.iter().filter(|(name, _)| *name != "name");
            let name = format!("index {} on {collection}", index.name);
            shape.insert(name, attributes(&spec.map(owned).collect()));
        }
    }
    Ok(shape)
}

fn owned((name, value): (&String, &Bson)) -> (String, Bson) {
    (name.clone(), value.clone())
}

fn object(found: &Collection) -> String {
    let kind = if found.is_view { "view" } else { "collection" };
    format!("{kind} {}", found.name)
}

fn attributes(options: &Document) -> Attributes {
    options.iter().map(|(name, value)| (name.clone(), attribute(name, value))).collect()
}

/// Where the order of keys counts, the value is text: JSON objects in a shape have no order.
fn attribute(name: &str, value: &Bson) -> Value {
    match (name, value) {
        ("key", Bson::Document(key)) => {
            let fields =
                key.iter().map(|(field, direction)| format!("{field}: {}", shown(direction)));
            Value::from(fields.collect::<Vec<_>>().join(", "))
        }
        ("pipeline", pipeline) => Value::from(plain(pipeline).to_string()),
        (_, value) => plain(value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bson::doc;
    use serde_json::json;

    #[test]
    fn keys_keep_their_order_and_numbers_have_no_type() {
        let spec = doc! { "key": { "b": 1.0, "a": -1 }, "expireAfterSeconds": 60.0 };
        let attributes = attributes(&spec);
        assert_eq!(json!(attributes), json!({"key": "b: 1, a: -1", "expireAfterSeconds": 60}));
    }
}
