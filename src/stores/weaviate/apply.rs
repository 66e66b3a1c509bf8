//! Applies a step: looks, writes, and reads back, because a 200 may have changed nothing.

use serde_json::Value;

use super::client::{Client, Held};
use super::compare::{self, Difference};
use super::probe::{
    has_status, is_there, property_of, required, required_with_tenants, tenants_if_any,
};
use super::schema::WAY_AROUND;
use super::shape;
use super::steps::{Step, Tenant};
use crate::failpoint::effect;
use crate::store_error::{StoreError, StoreErrorKind};
use crate::stores::contract::{Done, Effect, Failure, Why};

/// Applies `step`; one that is done already is left as it is.
pub(super) async fn step(client: &Client, step: &Step) -> Result<Done, Failure> {
    match step {
        Step::CreateClass { class, definition, .. } => {
            create_class(client, class, definition).await
        }
        Step::AddProperty { class, name, property, .. } => {
            add_property(client, class, name, property).await
        }
        Step::UpdateClass { class, set } => update_class(client, class, set).await,
        Step::DeleteClass { class } => delete_class(client, class).await,
        Step::AddTenants { class, tenants, .. } => add_tenants(client, class, tenants).await,
        Step::UpdateTenants { class, tenants } => update_tenants(client, class, tenants).await,
        Step::RemoveTenants { class, tenants } => remove_tenants(client, class, tenants).await,
    }
}

async fn create_class(client: &Client, class: &str, wanted: &Value) -> Result<Done, Failure> {
    // A POST of a class that is there costs two seconds: look first.
    if let Some(live) = client.class(class).await.map_err(untouched)? {
        return already(&format!("class {class}"), wanted, &live).map_err(untouched);
    }
    if let Err(error) = effect!("weaviate_create", client.create_class(wanted)) {
        let live = made_meanwhile(&error, client.class(class)).await;
        return settled(error, wanted, live.as_ref()).map_err(failed);
    }
    let live = client.class(class).await?.ok_or_else(|| vanished(&format!("class {class}")))?;
    taken(&format!("class {class}"), wanted, &live).map_err(in_doubt)
}

async fn add_property(
    client: &Client,
    class: &str,
    name: &str,
    wanted: &Value,
) -> Result<Done, Failure> {
    let what = format!("property {class}.{name}");
    let live = required(client, class).await.map_err(untouched)?;
    if let Some(live) = property_of(&live, name) {
        return already(&what, wanted, live).map_err(untouched);
    }
    if let Err(error) = effect!("weaviate_property", client.add_property(class, wanted)) {
        let live = made_meanwhile(&error, client.class(class)).await;
        let live = live.as_ref().and_then(|live| property_of(live, name));
        return settled(error, wanted, live).map_err(failed);
    }
    let live = client.class(class).await?.ok_or_else(|| vanished(&format!("class {class}")))?;
    let there = property_of(&live, name).ok_or_else(|| vanished(&what))?;
    taken(&what, wanted, there).map_err(in_doubt)?;
    Ok(Done::noting(late_property(client, class, name, &live).await))
}

/// Objects that were there before the property are in none of its indexes.
async fn late_property(client: &Client, class: &str, name: &str, live: &Value) -> Vec<String> {
    if compare::has_tenants(live) {
        return Vec::new();
    }
    // The step is done; a count that fails is no reason to say otherwise.
    match client.count(class).await {
        Ok(Held { objects: 0, .. }) | Err(_) => Vec::new(),
        Ok(held) => vec![format!(
            "class {class} holds {held} already: they are not in the index of {name} until they are \
             written again"
        )],
    }
}

async fn update_class(client: &Client, class: &str, set: &Value) -> Result<Done, Failure> {
    let live = required(client, class).await.map_err(untouched)?;
    if compare::missing(set, &live).is_empty() {
        return Ok(Done::default());
    }
    // What a PUT leaves out goes back to its default, so all of the class is sent.
    let whole = compare::merged(&compare::creatable(&live), set);
    effect!("weaviate_put", client.put_class(class, &whole))
        .map_err(|error| failed(unchangeable(error)))?;
    let live = client.class(class).await?.ok_or_else(|| vanished(&format!("class {class}")))?;
    taken(&format!("class {class}"), set, &live).map_err(in_doubt)
}

async fn delete_class(client: &Client, class: &str) -> Result<Done, Failure> {
    effect!("weaviate_delete", client.delete_class(class)).map_err(failed)?;
    match client.class(class).await? {
        None => Ok(Done::default()),
        Some(_) => Err(unheeded(format!("class {class} is still there"))),
    }
}

async fn add_tenants(client: &Client, class: &str, wanted: &[Tenant]) -> Result<Done, Failure> {
    required_with_tenants(client, class).await.map_err(untouched)?;
    let live = client.tenants(class).await.map_err(untouched)?;
    let new: Vec<Tenant> =
        wanted.iter().filter(|one| !is_there(&one.name, &live)).cloned().collect();
    if new.is_empty() {
        return Ok(Done::default());
    }
    effect!("weaviate_tenants", client.add_tenants(class, &new)).map_err(failed)?;
    let live = client.tenants(class).await?;
    match new.iter().find(|one| !is_there(&one.name, &live)) {
        None => Ok(Done::default()),
        Some(one) => Err(unheeded(format!("class {class} has no tenant {}", one.name))),
    }
}

async fn update_tenants(client: &Client, class: &str, wanted: &[Tenant]) -> Result<Done, Failure> {
    let live = client.tenants(class).await.map_err(untouched)?;
    let other: Vec<Tenant> = wanted.iter().filter(|one| !has_status(one, &live)).cloned().collect();
    if other.is_empty() {
        return Ok(Done::default());
    }
    effect!("weaviate_retenants", client.update_tenants(class, &other)).map_err(failed)?;
    let live = client.tenants(class).await?;
    match other.iter().find(|one| !has_status(one, &live)) {
        None => Ok(Done::default()),
        Some(one) => Err(unheeded(format!(
            "the tenant {} of class {class} is not {} yet",
            one.name,
            one.status.as_deref().map_or("active", shape::status)
        ))),
    }
}

async fn remove_tenants(client: &Client, class: &str, names: &[String]) -> Result<Done, Failure> {
    let live = tenants_if_any(client, class).await.map_err(untouched)?;
    let there: Vec<String> = names.iter().filter(|name| is_there(name, &live)).cloned().collect();
    if there.is_empty() {
        return Ok(Done::default());
    }
    effect!("weaviate_untenants", client.remove_tenants(class, &there)).map_err(failed)?;
    let live = client.tenants(class).await?;
    match there.iter().find(|name| is_there(name, &live)) {
        None => Ok(Done::default()),
        Some(name) => Err(unheeded(format!("class {class} still has the tenant {name}"))),
    }
}

/// What was there before anything was sent: equal, or an error that shows both.
fn already(what: &str, wanted: &Value, live: &Value) -> Result<Done, StoreError> {
    let differences = compare::missing(wanted, live);
    if differences.is_empty() {
        return Ok(Done::default());
    }
    let source = StoreError::refused(format!("{what} is there and differs"));
    Err(both_sides(source, &differences))
}

/// What is there after a refusal: a twin of the request, sent by a run that died, may have come
/// through first.
async fn made_meanwhile(
    error: &StoreError,
    live: impl Future<Output = Result<Option<Value>, StoreError>>,
) -> Option<Value> {
    match error.kind {
        StoreErrorKind::Refused => live.await.ok().flatten(),
        StoreErrorKind::Unreachable | StoreErrorKind::Credentials | StoreErrorKind::Settings => {
            None
        }
    }
}

fn settled(error: StoreError, wanted: &Value, live: Option<&Value>) -> Result<Done, StoreError> {
    match live.is_some_and(|live| compare::missing(wanted, live).is_empty()) {
        true => Ok(Done::default()),
        false => Err(error),
    }
}

/// Whether the server took all that it was sent.
fn taken(what: &str, sent: &Value, live: &Value) -> Result<Done, StoreError> {
    let differences = compare::missing(sent, live);
    if differences.is_empty() {
        return Ok(Done::default());
    }
    let paths: Vec<String> = differences.iter().map(Difference::path).collect();
    let message = format!("{what}: the server answered 200 but did not take {}", paths.join(", "));
    Err(both_sides(StoreError::refused(message), &differences)
        .hint("take these keys out of the step, or upgrade the server: the rest is done"))
}

fn both_sides(error: StoreError, differences: &[Difference]) -> StoreError {
    let (wanted, live) = compare::both_sides(differences);
    error.detail(format!("wanted: {wanted}")).detail(format!("there: {live}"))
}

fn unchangeable(error: StoreError) -> StoreError {
    let fixed = ["immutable", "cannot be changed", "cannot be updated", "not supported"];
    match fixed.iter().any(|words| error.message.contains(words)) {
        true => error.hint(WAY_AROUND),
        false => error,
    }
}

/// A write that failed. A refusal leaves all as it was; a fault of the server tells nothing.
fn failed(error: StoreError) -> Failure {
    let fault = error.code.as_deref().is_some_and(|code| code.starts_with('5'));
    let failure = Failure::from(error);
    match fault {
        true => Failure { effect: Effect::Unknown, ..failure },
        false => failure,
    }
}

/// A failure before anything was sent.
fn untouched(error: StoreError) -> Failure {
    Failure { effect: Effect::None, ..Failure::from(error) }
}

/// A failure after the server changed something, though not all that was asked.
fn in_doubt(source: StoreError) -> Failure {
    Failure { why: Why::Refused, effect: Effect::Unknown, at: None, source }
}

fn vanished(what: &str) -> Failure {
    unheeded(format!("{what} is not there after the server said it made it"))
}

fn unheeded(message: String) -> Failure {
    in_doubt(StoreError::refused(message).hint("is another client changing the schema?"))
}
