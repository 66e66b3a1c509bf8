//! What is changed by hand is found, named and healed: one table per store, every change made by the
//! store's own client on the real server.

mod baseline;
mod changed;
mod compared;
mod doubt;
mod kafka;
mod mongo;
mod outputs;
mod own_eyes;
mod page;
mod postgres;
mod reapply;
mod redis;
mod rules;
mod weaviate;

use std::collections::BTreeSet;

use serde_json::Value;

use crate::support::TestEnv;

/// A change made by hand.
pub struct Case<'a> {
    /// What it does to the store.
    pub change: &'a str,
    /// Every difference that has to be told: `object: attribute`, or `object: absent`, or
    /// `object: not recorded`; `NAME` and `Name` as in [`TestEnv::file`].
    pub told: &'a [&'a str],
    /// Who brings it back.
    pub way: Way,
}

/// Who brings a change back.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// `repair --reapply`.
    Heals,
    /// A person: data would be lost.
    Person,
}

/// One row of a table.
pub const fn case<'a>(change: &'a str, told: &'a [&'a str], way: Way) -> Case<'a> {
    Case { change, told, way }
}

/// The differences that `validate` tells, as the tables write them.
#[track_caller]
pub fn told(env: &TestEnv, store: &str, code: i32) -> BTreeSet<String> {
    let found = env.run(&["validate", "--store", store, "--output", "json"]).expect(code).json();
    let findings = found["findings"].as_array().expect("findings");
    let errors = findings.iter().filter(|finding| finding["severity"] == "error");
    errors
        .map(|finding| {
            assert_eq!(finding["kind"], "drift", "{finding}");
            one(&finding["change"])
        })
        .collect()
}

fn one(change: &Value) -> String {
    let object = change["object"].as_str().expect("object");
    match (change["attribute"].as_str(), change["after"].is_null()) {
        (Some(attribute), _) => format!("{object}: {attribute}"),
        (None, true) => format!("{object}: absent"),
        (None, false) => format!("{object}: not recorded"),
    }
}

/// Every change of `cases` has been made: all of it is told and nothing else; what can be healed is,
/// and what is left can be accepted.
#[track_caller]
pub fn is_told_and_healed(env: &TestEnv, store: &str, cases: &[Case<'_>]) {
    let all = |cases: &mut dyn Iterator<Item = &Case<'_>>| -> BTreeSet<String> {
        cases.flat_map(|case| case.told).map(|told| env.named(told)).collect()
    };
    assert_eq!(told(env, store, 3), all(&mut cases.iter()));
    let left = all(&mut cases.iter().filter(|case| case.way == Way::Person));
    let code = if left.is_empty() { 0 } else { 3 };
    let plan = env.run(&["repair", "--reapply", "--dry-run", "--store", store]).expect(code);
    assert!(plan.stdout.contains("to be repaired:"), "{}", plan.stdout);
    assert_eq!(told(env, store, 3), all(&mut cases.iter()), "a dry run changes nothing");
    env.run(&["repair", "--reapply", "--yes", "--store", store]).expect(code);
    assert_eq!(told(env, store, code), left);
    if !left.is_empty() {
        env.run(&["repair", "--accept-drift", "--yes", "--store", store]).expect(0);
    }
    assert_eq!(told(env, store, 0), BTreeSet::new());
    let events = env.sql(
        "SELECT DISTINCT details->>'object' FROM aiplat_migrate.event WHERE event = 'repaired'",
    );
    let object = |told: &String| told.rsplit_once(": ").expect("told").0.to_string();
    let objects: BTreeSet<String> = all(&mut cases.iter()).iter().map(object).collect();
    assert_eq!(events.into_iter().collect::<BTreeSet<_>>(), objects, "each repair is an event");
}
