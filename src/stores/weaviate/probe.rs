//! How the store stands towards a step, what became of one in doubt, and what one would lose.

use serde_json::{Value, json};

use super::client::{Client, Held};
use super::compare;
use super::schema;
use super::steps::{Step, Tenant, listed};
use crate::store_error::StoreError;
use crate::stores::contract::{Before, Loss, Probe};

/// How the store stands towards `step`, before it is claimed.
pub(super) async fn before(client: &Client, step: &Step) -> Result<Before, StoreError> {
    match step {
        Step::CreateClass { class, definition, .. } => {
            let live = client.class(class).await?;
            if live.is_none() {
                let properties = definition["properties"].as_array().into_iter().flatten();
                refers_to_what_is_there(client, class, properties).await?;
            }
            Ok(standing(definition, live.as_ref()))
        }
        Step::AddProperty { class, name, property, .. } => {
            let live = required(client, class).await?;
            refers_to_what_is_there(client, class, [property].into_iter()).await?;
            Ok(standing(property, property_of(&live, name)))
        }
        Step::UpdateClass { class, set } => {
            let live = required(client, class).await?;
            Ok(match compare::replaced(set, &live) {
                Some(old) => Before::replaces(json!({ "set": old })),
                None => Before::found(),
            })
        }
        Step::DeleteClass { class } => before_delete(client, class).await,
        Step::AddTenants { class, tenants, .. } => {
            required_with_tenants(client, class).await?;
            Ok(before_add(tenants, &client.tenants(class).await?))
        }
        Step::UpdateTenants { class, tenants } => {
            required_with_tenants(client, class).await?;
            before_update(class, tenants, &client.tenants(class).await?)
        }
        Step::RemoveTenants { class, tenants } => {
            Ok(before_remove(tenants, &tenants_if_any(client, class).await?))
        }
    }
}

/// What became of `step`, claimed by a run that ended. Every call is one change in the server's
/// log: it is there whole or not at all.
pub(super) async fn probe(client: &Client, step: &Step) -> Result<Probe, StoreError> {
    match step {
        Step::CreateClass { class, definition, .. } => {
            Ok(made(definition, client.class(class).await?.as_ref(), class))
        }
        Step::AddProperty { class, name, property, .. } => match client.class(class).await? {
            Some(live) => Ok(made(property, property_of(&live, name), &format!("{class}.{name}"))),
            None => Ok(gone(class)),
        },
        Step::UpdateClass { class, set } => match client.class(class).await? {
            Some(live) => Ok(done_if(compare::missing(set, &live).is_empty())),
            None => Ok(gone(class)),
        },
        Step::DeleteClass { class } => Ok(done_if(client.class(class).await?.is_none())),
        Step::UpdateTenants { class, tenants } => {
            let live = tenants_if_any(client, class).await?;
            Ok(done_if(tenants.iter().all(|one| has_status(one, &live))))
        }
        Step::AddTenants { class, tenants, .. } => {
            let live = tenants_if_any(client, class).await?;
            Ok(done_if(tenants.iter().all(|one| is_there(&one.name, &live))))
        }
        Step::RemoveTenants { class, tenants } => {
            let live = tenants_if_any(client, class).await?;
            Ok(done_if(!tenants.iter().any(|name| is_there(name, &live))))
        }
    }
}

/// The objects that `step` would lose.
pub(super) async fn holds(client: &Client, step: &Step) -> Result<Vec<Loss>, StoreError> {
    match step {
        Step::DeleteClass { class } => match client.class(class).await? {
            Some(live) if compare::has_tenants(&live) => {
                let tenants = client.tenants(class).await?;
                held_by(client, class, &tenants, &format!("class {class}")).await
            }
            Some(_) => Ok(loss(&format!("class {class}"), client.count(class).await?)),
            None => Ok(Vec::new()),
        },
        Step::RemoveTenants { class, tenants } => {
            let mut live = tenants_if_any(client, class).await?;
            live.retain(|one| tenants.contains(&one.name));
            let what = format!("class {class} ({})", listed(live.iter().map(|one| &one.name)));
            held_by(client, class, &live, &what).await
        }
        Step::CreateClass { .. }
        | Step::AddProperty { .. }
        | Step::UpdateClass { .. }
        | Step::UpdateTenants { .. }
        | Step::AddTenants { .. } => Ok(Vec::new()),
    }
}

/// An error that names the class where a reference leads to none: the server says only that one does.
async fn refers_to_what_is_there(
    client: &Client,
    class: &str,
    properties: impl Iterator<Item = &Value>,
) -> Result<(), StoreError> {
    for property in properties {
        let name = property["name"].as_str().unwrap_or_default();
        let types = property["dataType"].as_array().into_iter().flatten();
        for other in types.filter_map(Value::as_str).filter(|one| schema::is_reference(one)) {
            if other != class && client.class(other).await?.is_none() {
                let message = format!(
                    "{class}.{name} refers to the class {other}, and Weaviate holds no class {other}"
                );
                return Err(StoreError::refused(message).hint(schema::BOTH_FIRST));
            }
        }
    }
    Ok(())
}

/// The class, or an error that says what is missing.
pub(super) async fn required(client: &Client, class: &str) -> Result<Value, StoreError> {
    client.class(class).await?.ok_or_else(|| {
        StoreError::refused(format!("Weaviate holds no class {class}"))
            .hint("create it in an earlier step, or check the spelling")
    })
}

/// The class, or an error where it is missing or does not keep its objects by tenant.
pub(super) async fn required_with_tenants(
    client: &Client,
    class: &str,
) -> Result<Value, StoreError> {
    let live = required(client, class).await?;
    if compare::has_tenants(&live) {
        return Ok(live);
    }
    let message = format!("class {class} does not keep its objects by tenant");
    Err(StoreError::refused(message).hint(format!(
        "multi-tenancy is chosen when a class is made: {}",
        super::schema::WAY_AROUND
    )))
}

/// The tenants of a class; none where it is missing or has no tenants at all.
pub(super) async fn tenants_if_any(
    client: &Client,
    class: &str,
) -> Result<Vec<Tenant>, StoreError> {
    match client.class(class).await? {
        Some(live) if compare::has_tenants(&live) => client.tenants(class).await,
        Some(_) | None => Ok(Vec::new()),
    }
}

/// The property `name` of a live class.
pub(super) fn property_of<'c>(class: &'c Value, name: &str) -> Option<&'c Value> {
    class["properties"].as_array()?.iter().find(|property| property["name"] == name)
}

/// Whether a tenant of that name is among `live`, which is sorted by name.
pub(super) fn is_there(name: &str, live: &[Tenant]) -> bool {
    live.binary_search_by(|one| one.name.as_str().cmp(name)).is_ok()
}

fn standing(wanted: &Value, live: Option<&Value>) -> Before {
    let Some(live) = live else { return Before::absent() };
    let differences = compare::missing(wanted, live);
    if differences.is_empty() {
        return Before::found();
    }
    let (wanted, live) = compare::both_sides(&differences);
    Before::differs(wanted, live)
}

async fn before_delete(client: &Client, class: &str) -> Result<Before, StoreError> {
    let Some(live) = client.class(class).await? else { return Ok(Before::found()) };
    let tenants = match compare::has_tenants(&live) {
        true => client.tenants(class).await?,
        false => Vec::new(),
    };
    let tenants: Vec<Value> = tenants.iter().map(recreatable).collect();
    Ok(Before::replaces(json!({ "class": compare::creatable(&live), "tenants": tenants })))
}

/// A tenant that was offloaded, or is on its way, comes back active: it can be made no other way.
fn recreatable(tenant: &Tenant) -> Value {
    match tenant.status.as_deref() {
        Some("COLD") => tenant.to_json(),
        Some(_) | None => json!({ "name": tenant.name }),
    }
}

fn before_add(wanted: &[Tenant], live: &[Tenant]) -> Before {
    let twin = |one: &Tenant| live.iter().find(|there| there.name == one.name);
    let other = |one: &&Tenant| {
        one.status.is_some() && twin(one).is_some_and(|there| there.status != one.status)
    };
    if let Some(one) = wanted.iter().find(other) {
        let shown = |tenant: Option<&Tenant>| {
            let status = tenant.and_then(|tenant| tenant.status.clone()).unwrap_or_default();
            format!("tenant {} {status}", one.name)
        };
        return Before::differs(shown(Some(one)), shown(twin(one)));
    }
    let new: Vec<&String> =
        wanted.iter().filter(|one| twin(one).is_none()).map(|one| &one.name).collect();
    match new.is_empty() {
        true => Before::found(),
        false => Before::replaces(json!({ "tenants": new })),
    }
}

fn before_update(class: &str, wanted: &[Tenant], live: &[Tenant]) -> Result<Before, StoreError> {
    if let Some(missing) = wanted.iter().find(|one| !is_there(&one.name, live)) {
        let message = format!("class {class} has no tenant {}", missing.name);
        return Err(StoreError::refused(message)
            .hint("add it by `addTenants` in an earlier step, or check the spelling"));
    }
    let other = |one: &&Tenant| {
        wanted.iter().any(|wanted| wanted.name == one.name && wanted.status != one.status)
    };
    let old: Vec<Value> = live.iter().filter(other).map(Tenant::to_json).collect();
    Ok(match old.is_empty() {
        true => Before::found(),
        false => Before::replaces(json!({ "tenants": old })),
    })
}

/// Whether a tenant is among `live` with the status that is wanted.
pub(super) fn has_status(wanted: &Tenant, live: &[Tenant]) -> bool {
    live.iter().any(|one| one.name == wanted.name && one.status == wanted.status)
}

fn before_remove(names: &[String], live: &[Tenant]) -> Before {
    let there: Vec<Value> =
        live.iter().filter(|one| names.contains(&one.name)).map(recreatable).collect();
    match there.is_empty() {
        true => Before::found(),
        false => Before::replaces(json!({ "tenants": there })),
    }
}

fn made(wanted: &Value, live: Option<&Value>, name: &str) -> Probe {
    let Some(live) = live else { return Probe::NotDone };
    let differences = compare::missing(wanted, live);
    if differences.is_empty() {
        return Probe::Done;
    }
    let (wanted, live) = compare::both_sides(&differences);
    Probe::Unknown(format!("{name} is there but differs: wanted {wanted}; it has {live}"))
}

fn gone(class: &str) -> Probe {
    Probe::Unknown(format!("the class {class} is gone"))
}

fn done_if(done: bool) -> Probe {
    match done {
        true => Probe::Done,
        false => Probe::NotDone,
    }
}

/// Counts active tenants alone: to count in another would mean to activate it.
async fn held_by(
    client: &Client,
    class: &str,
    tenants: &[Tenant],
    what: &str,
) -> Result<Vec<Loss>, StoreError> {
    let is_active = |one: &&Tenant| one.status.as_deref() == Some("HOT");
    let active: Vec<&str> = tenants.iter().filter(is_active).map(|one| one.name.as_str()).collect();
    let mut losses = loss(what, client.count_of(class, &active).await?);
    let asleep = tenants.len() - active.len();
    if asleep > 0 {
        let (noun, verb) = if asleep == 1 { ("tenant", "is") } else { ("tenants", "are") };
        let what = format!("{what}: {asleep} {noun} that {verb} not active cannot be counted");
        losses.push(Loss { what, known: false });
    }
    Ok(losses)
}

fn loss(what: &str, held: Held) -> Vec<Loss> {
    match held.objects {
        0 => Vec::new(),
        _ => vec![Loss { what: format!("{what} holds {held}"), known: true }],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stores::contract::Standing;

    fn tenant(name: &str, status: Option<&str>) -> Tenant {
        Tenant { name: name.to_string(), status: status.map(str::to_string) }
    }

    #[test]
    fn only_tenants_that_are_new_are_taken_back() {
        let live = [tenant("a", Some("HOT")), tenant("b", Some("COLD"))];
        let before = before_add(&[tenant("a", None), tenant("c", None)], &live);
        assert_eq!(before, Before::replaces(json!({"tenants": ["c"]})));
        assert_eq!(before_add(&[tenant("b", None)], &live), Before::found());
    }

    #[test]
    fn a_tenant_of_another_status_differs() {
        let before = before_add(&[tenant("b", Some("HOT"))], &[tenant("b", Some("COLD"))]);
        let Standing::Differs { wanted, live } = before.standing else { panic!("{before:?}") };
        assert_eq!((wanted.as_str(), live.as_str()), ("tenant b HOT", "tenant b COLD"));
    }

    #[test]
    fn a_removed_tenant_comes_back_in_a_status_that_can_be_made() {
        let live = [tenant("a", Some("COLD")), tenant("b", Some("FROZEN")), tenant("c", None)];
        let before = before_remove(&["a".to_string(), "b".to_string(), "x".to_string()], &live);
        let tenants = json!([{"name": "a", "activityStatus": "COLD"}, {"name": "b"}]);
        assert_eq!(before, Before::replaces(json!({"tenants": tenants})));
    }
}
