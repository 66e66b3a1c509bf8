//! Users and roles: what the commands that make and drop them find.

use std::collections::{BTreeMap, BTreeSet};

use bson::{Bson, Document, doc};

use super::Mongo;
use super::catalog::equal;
use super::errors;
use super::steps::Command;
use crate::store_error::StoreError;
use crate::stores::contract::{Before, Probe, Standing};

/// What is said where a user is found: the server shows no password.
pub(super) const UNSEEN_PASSWORD: &str = "the user is there with these roles, and was left as it is: whether its password is the one of the \
     migration cannot be seen";

/// How the database stands towards a command that makes or drops a user or a role; `None` for any other.
pub(super) async fn before(store: &Mongo, step: &Command) -> Result<Option<Before>, StoreError> {
    let Some(subject) = Subject::of(step) else { return Ok(None) };
    let Some(live) = subject.live(store, &step.command).await? else { return Ok(None) };
    Ok(Some(match (subject.makes, live) {
        (true, None) => Before::absent(),
        (true, Some(live)) => subject.compared(&step.command, &live, store.db.name()),
        (false, None) => Before::found(),
        (false, Some(_)) => Before::absent(),
    }))
}

/// What became of such a command; `None` where that cannot be seen.
pub(super) async fn probe(store: &Mongo, step: &Command) -> Result<Option<Probe>, StoreError> {
    Ok(before(store, step).await?.map(|before| match before.standing {
        Standing::Found => Probe::Done,
        Standing::Open => Probe::NotDone,
        Standing::Differs { wanted, live } => {
            Probe::Unknown(format!("it is there and different: wanted {wanted}; it has {live}"))
        }
    }))
}

/// What a command is about.
struct Subject {
    /// The command that lists it, and where in its reply.
    lists: (&'static str, &'static str),
    /// What it is called by in that command.
    named: &'static str,
    name: String,
    makes: bool,
}

impl Subject {
    fn of(step: &Command) -> Option<Subject> {
        let (lists, named, makes) = match step.name.as_str() {
            "createUser" => (("usersInfo", "users"), "user", true),
            "dropUser" => (("usersInfo", "users"), "user", false),
            "createRole" => (("rolesInfo", "roles"), "role", true),
            "dropRole" => (("rolesInfo", "roles"), "role", false),
            _ => return None,
        };
        let name = step.command.get_str(&step.name).ok()?.to_string();
        Some(Subject { lists, named, name, makes })
    }

    /// What is there; `None` outside where the user may not see it.
    async fn live(
        &self,
        store: &Mongo,
        command: &Document,
    ) -> Result<Option<Option<Document>>, StoreError> {
        let mut ask = doc! { self.lists.0: { self.named: &self.name, "db": store.db.name() } };
        ask.insert("showAuthenticationRestrictions", true);
        if self.named == "role" {
            // Otherwise an error where the role has privileges on all databases.
            ask.insert("showPrivileges", command.contains_key("privileges"));
        }
        match store.db.run_command(ask).await {
            Ok(reply) => {
                let rows = reply.get_array(self.lists.1).ok();
                let row = rows.and_then(|rows| rows.first()).and_then(Bson::as_document);
                Ok(Some(row.cloned()))
            }
            Err(error) if errors::code(&error) == Some(errors::UNAUTHORIZED) => Ok(None),
            Err(error) => Err(errors::from_driver(&error)),
        }
    }

    /// Holds what is there against what the command would make of it.
    fn compared(&self, wanted: &Document, live: &Document, db: &str) -> Before {
        let empty = Bson::Array(Vec::new());
        let (mut differing, mut there) = (Vec::new(), Vec::new());
        let mut compare = |name: &str, wanted: String, live: String| {
            if wanted != live {
                differing.push(format!("{name} {wanted}"));
                there.push(format!("{name} {live}"));
            }
        };
        let of = |side: &Document, name: &str| side.get(name).cloned().unwrap_or(empty.clone());
        compare("roles", roles(&of(wanted, "roles"), db), roles(&of(live, "roles"), db));
        if self.named == "role" {
            let privileges = |side: &Document| privileges(&of(side, "privileges"));
            compare("privileges", privileges(wanted), privileges(live));
        }
        if wanted.contains_key("mechanisms") {
            let mechanisms = |side: &Document| words(&of(side, "mechanisms"));
            compare("mechanisms", mechanisms(wanted), mechanisms(live));
        }
        for name in ["customData", "authenticationRestrictions"] {
            let (one, other) = (of(wanted, name), of(live, name));
            if !(equal(&one, &other) || is_empty(&one) && is_empty(&other)) {
                // What applications keep with a user is no business of an error message.
                compare(name, "as in the migration".to_string(), "different".to_string());
            }
        }
        match differing.is_empty() {
            true => Before::found(),
            false => Before::differs(differing.join(", "), there.join(", ")),
        }
    }
}

fn is_empty(value: &Bson) -> bool {
    match value {
        Bson::Array(items) => items.iter().all(is_empty),
        Bson::Document(document) => document.is_empty(),
        _ => false,
    }
}

/// The roles in one spelling and order: one that names no database is of this one.
fn roles(listed: &Bson, db: &str) -> String {
    let one = |role: &Bson| match role {
        Bson::String(name) => format!("{name}@{db}"),
        Bson::Document(role) => format!(
            "{}@{}",
            role.get_str("role").unwrap_or_default(),
            role.get_str("db").unwrap_or(db)
        ),
        other => other.to_string(),
    };
    shown(listed.as_array().into_iter().flatten().map(one).collect())
}

/// The privileges, those on the same resource as one: the server merges them.
fn privileges(listed: &Bson) -> String {
    let mut by_resource: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for privilege in listed.as_array().into_iter().flatten().filter_map(Bson::as_document) {
        let resource: BTreeMap<&str, String> = privilege
            .get_document("resource")
            .into_iter()
            .flatten()
            .map(|(name, value)| (name.as_str(), value.to_string()))
            .collect();
        let actions = privilege.get_array("actions").into_iter().flatten();
        let actions = actions.filter_map(Bson::as_str).map(str::to_string);
        by_resource.entry(format!("{resource:?}")).or_default().extend(actions);
    }
    let one = |(resource, actions): (String, BTreeSet<String>)| {
        format!("{} on {resource}", actions.into_iter().collect::<Vec<_>>().join("+"))
    };
    shown(by_resource.into_iter().map(one).collect())
}

fn words(listed: &Bson) -> String {
    let words = listed.as_array().into_iter().flatten().filter_map(Bson::as_str);
    shown(words.map(str::to_string).collect())
}

fn shown(words: BTreeSet<String>) -> String {
    match words.is_empty() {
        true => "none".to_string(),
        false => words.into_iter().collect::<Vec<_>>().join(", "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(name: &str) -> Subject {
        Subject {
            lists: ("usersInfo", "users"),
            named: "user",
            name: name.to_string(),
            makes: true,
        }
    }

    #[test]
    fn roles_are_the_same_in_any_spelling_and_order() {
        let wanted = doc! { "createUser": "u", "pwd": "x",
        "roles": ["read", { "role": "dbAdmin", "db": "other" }] };
        let live = doc! { "user": "u", "db": "d", "roles": [
        { "role": "dbAdmin", "db": "other" }, { "role": "read", "db": "d" } ] };
        assert_eq!(user("u").compared(&wanted, &live, "d"), Before::found());
        let before = user("u").compared(&wanted, &doc! { "roles": [] }, "d");
        let differs = Before::differs("roles dbAdmin@other, read@d", "roles none");
        assert_eq!(before, differs);
    }

    #[test]
    fn privileges_on_one_resource_are_one() {
        let on = |actions: Vec<&str>| {
            doc! { "resource": { "db": "d", "collection": "" },
            "actions": actions }
        };
        let apart = Bson::from(vec![on(vec!["insert"]), on(vec!["find"])]);
        let together = Bson::from(vec![on(vec!["find", "insert"])]);
        assert_eq!(privileges(&apart), privileges(&together));
    }
}
