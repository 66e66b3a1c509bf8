//! The live shape: topics with their ids, partitions, replicas and own configs.

use std::collections::BTreeMap;

use rdkafka::types::RDKafkaErrorCode as Code;
use serde_json::json;

use super::admin::Admin;
use super::ffi::{Fault, Topic};
use super::steps::{Configs, RESERVED};
use crate::shape::{Attributes, Shape};
use crate::store_error::StoreError;
use crate::stores::description::Comparison;

/// How shapes of Kafka are compared. The first version knew no ids of topics.
pub(super) const COMPARISON: Comparison = Comparison {
    version: 2,
    knew: |version, _, attribute| version >= 2 || attribute != Some("id"),
    ..Comparison::PLAIN
};

/// Reads every topic but Kafka's own, in two round trips. Configs that a topic takes from the
/// brokers are left out: an upgrade may change them without anyone touching the topic.
pub(super) async fn inspect(admin: &Admin, recorded: &Shape) -> Result<Shape, StoreError> {
    let names = admin.names().await.map_err(|fault| admin.error(fault))?;
    let is_known = |name: &str| recorded.objects.contains_key(&object(name));
    let is_ours = |name: &&String| !RESERVED.contains(&name.as_str()) || is_known(name);
    let names: Vec<String> = names.into_iter().filter(|name| is_ours(&name)).collect();
    if names.is_empty() {
        return Ok(Shape::default());
    }
    let described = async {
        let described = admin.all_topics(names.clone()).await;
        described.map_err(|fault| admin.error(fault))
    };
    let own = own_configs(admin, names.clone(), recorded);
    let (described, own) = futures_util::future::try_join(described, own).await?;
    let mut topics = BTreeMap::<String, Topic>::new();
    for (name, topic) in described {
        match topic {
            Ok(topic) => topics.extend(topic.map(|topic| (name, topic))),
            // Somebody else's topic, on its way to be there or gone; one of ours must not vanish so.
            Err(_) if !is_known(&name) => {}
            Err(said) => return Err(admin.error(Fault::Said(said).of(&object(&name)))),
        }
    }
    let mut shape = Shape::default();
    for (name, configs) in own {
        match topics.remove(&name) {
            Some(topic) if !topic.is_internal || is_known(&name) => {
                shape.insert(object(&name), attributes(topic, configs));
            }
            // Kafka's own; or deleted between the two round trips.
            Some(_) | None => {}
        }
    }
    Ok(shape)
}

fn object(topic: &str) -> String {
    format!("topic {topic}")
}

async fn own_configs(
    admin: &Admin,
    names: Vec<String>,
    recorded: &Shape,
) -> Result<Vec<(String, Configs)>, StoreError> {
    let described = admin.all_configs(names).await.map_err(|fault| admin.error(fault))?;
    let mut own = Vec::with_capacity(described.len());
    for (name, configs) in described {
        match configs {
            Ok(configs) => own.push((name, configs.own)),
            // Deleted between the two round trips.
            Err(said) if said.code == Code::UnknownTopicOrPartition => {}
            // Somebody else's topic on a shared cluster; one of ours must not vanish so.
            Err(said)
                if said.code == Code::TopicAuthorizationFailed
                    && !recorded.objects.contains_key(&object(&name)) => {}
            Err(said) => {
                let fault = Fault::Said(said).for_want_of("DescribeConfigs", &name);
                return Err(admin.error(fault));
            }
        }
    }
    Ok(own)
}

fn attributes(topic: Topic, configs: Configs) -> Attributes {
    let mut attributes = Attributes::from_iter([
        ("partitions".to_string(), json!(topic.partitions)),
        ("replicationFactor".to_string(), json!(topic.replication_factor)),
    ]);
    if !topic.id.is_empty() {
        attributes.insert("id".to_string(), json!(topic.id));
    }
    attributes
        .extend(configs.into_iter().map(|(key, value)| (format!("config {key}"), json!(value))));
    attributes
}
