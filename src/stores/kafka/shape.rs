//! The live shape: topics with their partitions, replicas and own configs.

use std::collections::BTreeMap;

use rdkafka::types::RDKafkaErrorCode as Code;
use serde_json::json;

use super::admin::{Admin, Layout};
use super::steps::Configs;
use crate::shape::{Attributes, Shape};
use crate::store_error::StoreError;

/// Reads every topic but Kafka's own, in two round trips. Configs that a topic takes from the
/// brokers are left out: an upgrade may change them without anyone touching the topic.
pub(super) async fn inspect(admin: &Admin, recorded: &Shape) -> Result<Shape, StoreError> {
    let mut layouts = admin.layouts().await.map_err(|fault| admin.error(fault))?;
    layouts.retain(|name, _| !name.starts_with("__"));
    let configs = own_configs(admin, &layouts, recorded).await?;
    let mut shape = Shape::default();
    for (name, own) in configs {
        if let Some(layout) = layouts.get(&name) {
            shape.insert(object(&name), attributes(*layout, own));
        }
    }
    Ok(shape)
}

fn object(topic: &str) -> String {
    format!("topic {topic}")
}

async fn own_configs(
    admin: &Admin,
    layouts: &BTreeMap<String, Layout>,
    recorded: &Shape,
) -> Result<Vec<(String, Configs)>, StoreError> {
    if layouts.is_empty() {
        return Ok(Vec::new());
    }
    let names = layouts.keys().cloned().collect();
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
                let fault = super::ffi::Fault::Said(said).for_want_of("DescribeConfigs", &name);
                return Err(admin.error(fault));
            }
        }
    }
    Ok(own)
}

fn attributes(layout: Layout, configs: Configs) -> Attributes {
    let mut attributes = Attributes::from_iter([
        ("partitions".to_string(), json!(layout.partitions)),
        ("replicationFactor".to_string(), json!(layout.replication_factor)),
    ]);
    attributes
        .extend(configs.into_iter().map(|(key, value)| (format!("config {key}"), json!(value))));
    attributes
}
