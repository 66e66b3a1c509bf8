//! How Redis stands towards a step, before it is claimed and after a run that died over it.

use std::collections::BTreeMap;

use redis::{Value, cmd};
use serde_json::json;

use super::apply::routed;
use super::connection::{Node, field, items, number, text};
use super::errors::{of_settings, unexpected};
use super::server::{Server, command};
use super::steps::acl::{Acl, LiveUser};
use super::steps::command::{Facts, RawCommand};
use super::steps::config::{Config, bytes, same};
use super::steps::function::{Function, first_difference};
use super::steps::keyspace::{Contract, Pattern};
use super::steps::rewrite::{Change, Rewrite, reversible};
use super::steps::{Step, acl, config, function, keyspace, lost};
use super::walk::{Route, Walk, size_of_all};
use crate::shape::Shape;
use crate::store_error::StoreError;
use crate::stores::contract::{Before, Loss, Probe};
use crate::text::document::nearest;

/// Up to so many keys are read before a rewrite, to find out whether it can be taken back: about
/// three seconds of reading.
const READ_AT_MOST: u64 = 1_000_000;

/// How the server stands towards `step`.
pub async fn before(server: &Server, step: &Step, recorded: &Shape) -> Result<Before, StoreError> {
    match step {
        Step::Keyspace(contract) => Ok(before_keyspace(contract, recorded)),
        Step::DropKeyspace(pattern) => Ok(before_drop(pattern, recorded)),
        Step::Rewrite(rewrite) => before_rewrite(server, rewrite).await,
        Step::Config(config) => before_config(server, config).await,
        Step::Function(function) => before_function(server, function).await,
        Step::DeleteFunction(library) => before_delete_function(server, library).await,
        Step::Acl(acl) => before_acl(server, acl).await,
        Step::DeleteUser(user) => before_delete_user(server, user).await,
        Step::Command(raw) => before_command(server, raw).await,
    }
}

/// What became of `step`.
pub async fn probe(server: &Server, step: &Step) -> Result<Probe, StoreError> {
    let done = match step {
        // There was nothing to do.
        Step::Keyspace(_) | Step::DropKeyspace(_) => true,
        // All rewrites are safe to repeat; where to go on is in the journal.
        Step::Rewrite(_) => false,
        Step::Config(config) => is_set(server, config).await?,
        Step::Function(function) => {
            let live = codes(server, &function.library).await?;
            live.iter().all(|code| code.as_deref() == Some(function.code.as_str()))
        }
        Step::DeleteFunction(library) => codes(server, library).await?.iter().all(Option::is_none),
        Step::Acl(acl) => {
            let live = users(server, &acl.user).await?;
            live.iter().all(|user| user.as_ref().is_some_and(|user| user.is_as(acl)))
        }
        Step::DeleteUser(user) => users(server, user).await?.iter().all(Option::is_none),
        Step::Command(raw) if raw.group().is_some() => group_position(server, raw).await?.is_some(),
        Step::Command(raw) => {
            let why = format!("Redis does not tell whether `{}` was run", raw.label());
            return Ok(Probe::Unknown(why));
        }
    };
    Ok(if done { Probe::Done } else { Probe::NotDone })
}

/// What `step` would lose.
pub async fn holds(server: &Server, step: &Step) -> Result<Vec<Loss>, StoreError> {
    match step {
        Step::Rewrite(rewrite) if rewrite.change == Change::Delete => {
            lost_keys(server, rewrite).await
        }
        Step::Rewrite(rewrite) => match rewrite.change {
            Change::Ttl(seconds) => expiring(server, rewrite, seconds).await,
            Change::Rename { .. } | Change::Persist | Change::Delete => Ok(Vec::new()),
        },
        Step::Config(config) => evicted(server, config).await,
        Step::Command(raw) if raw.is_harmless() => lost_by_command(server, raw.deletes()).await,
        Step::Command(raw) => {
            let what = format!("what `{}` does to data cannot be seen", raw.label());
            Ok(vec![Loss { what, known: false }])
        }
        Step::Keyspace(_)
        | Step::DropKeyspace(_)
        | Step::Function(_)
        | Step::DeleteFunction(_)
        | Step::Acl(_)
        | Step::DeleteUser(_) => Ok(Vec::new()),
    }
}

/// The keys that would live for less time than they have now.
async fn expiring(
    server: &Server,
    rewrite: &Rewrite,
    seconds: u64,
) -> Result<Vec<Loss>, StoreError> {
    let (route, most) = (route(rewrite), seconds.saturating_mul(1_000));
    let mut keys = 0;
    for node in server.masters().await?.iter() {
        let mut walk = Walk::from(node, &route, 0);
        while let Some(turn) = walk.turn(|key| Ok(cmd("PTTL").arg(key).take())).await? {
            for answer in turn.answers {
                // -1: it never expires; -2: it has gone.
                let left = number(&answer?).unwrap_or(-1);
                keys += usize::from(left == -1 || left >= 0 && left.unsigned_abs() > most);
            }
        }
    }
    let (keys_word, expire) = if keys == 1 { ("key", "expires") } else { ("keys", "expire") };
    let what = format!(
        "{} matches {keys} {keys_word} that would live for longer, and {expire} after {seconds} s then",
        rewrite.matching.written
    );
    Ok(if keys == 0 { Vec::new() } else { vec![Loss { what, known: true }] })
}

/// The value that all masters have; `None` where they differ.
fn common<T: PartialEq>(of_masters: &[T]) -> Option<&T> {
    let first = of_masters.first()?;
    of_masters.iter().all(|other| other == first).then_some(first)
}

fn masters_differed() -> Before {
    Before::replaces(lost("the masters differed, and no step restores that"))
}

// Contracts

fn before_keyspace(contract: &Contract, recorded: &Shape) -> Before {
    match recorded.objects.get(&contract.pattern.object()) {
        Some(old) if *old == contract.attributes() => Before::found(),
        Some(old) => Before::replaces(keyspace::step_of(old)),
        None => Before::absent(),
    }
}

fn before_drop(pattern: &Pattern, recorded: &Shape) -> Before {
    match recorded.objects.get(&pattern.object()) {
        Some(old) => Before::replaces(keyspace::step_of(old)),
        None => Before::found(),
    }
}

// Rewrites

async fn before_rewrite(server: &Server, rewrite: &Rewrite) -> Result<Before, StoreError> {
    let masters = server.masters().await?;
    if rewrite.change == Change::Delete {
        return Ok(Before::absent());
    }
    let keys = size_of_all(&masters).await?;
    let asks_ttl = matches!(rewrite.change, Change::Ttl(_) | Change::Persist);
    let none_expires = asks_ttl && none_expires(&masters).await?;
    if keys > READ_AT_MOST && !none_expires {
        return Ok(Before::replaces(lost(format!(
            "{keys} keys were not read to find out whether the change can be taken back \
             (at most {READ_AT_MOST} are)"
        ))));
    }
    match &rewrite.change {
        Change::Ttl(_) => Ok(match !none_expires && any_expires(&masters, rewrite).await? {
            true => {
                Before::replaces(lost("some of the keys had a time to live, which is not kept"))
            }
            false => Before::replaces(reversible()),
        }),
        Change::Persist => Ok(match !none_expires && any_expires(&masters, rewrite).await? {
            true => Before::replaces(lost("the times to live that the keys had are not kept")),
            false => Before::found(),
        }),
        Change::Rename { to, .. } => Ok(match any_target(&masters, rewrite).await? {
            true => Before::replaces(lost(format!(
                "keys that begin with `{to}` were there before, and would be renamed as well"
            ))),
            false => Before::replaces(reversible()),
        }),
        Change::Delete => Ok(Before::absent()),
    }
}

/// Whether the servers say that no key at all has a time to live, whatever its name: that costs one
/// question, not a walk.
async fn none_expires(masters: &[Node]) -> Result<bool, StoreError> {
    for node in masters {
        if node.info_now().await?.expiring() != Some(0) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Whether any of the keys has a time to live.
async fn any_expires(masters: &[Node], rewrite: &Rewrite) -> Result<bool, StoreError> {
    let route = route(rewrite);
    for node in masters {
        let mut walk = Walk::from(node, &route, 0);
        while let Some(turn) = walk.turn(|key| Ok(cmd("PTTL").arg(key).take())).await? {
            for answer in turn.answers {
                // -1: it never expires; -2: it has gone.
                if number(&answer?).is_some_and(|left| left >= 0) {
                    return Ok(true);
                }
            }
        }
    }
    Ok(false)
}

/// Whether any key has already a name such as the renamed keys get.
async fn any_target(masters: &[Node], rewrite: &Rewrite) -> Result<bool, StoreError> {
    let Some(written) = rewrite.renamed() else { return Ok(true) };
    let pattern = Pattern::parse(&crate::text::Node::from_json(&json!(written)), "rename")
        .map_err(|error| StoreError::refused(error.message))?;
    let route = Route::of(&pattern, rewrite.key_type.as_deref(), rewrite.count);
    for node in masters {
        let mut walk = Walk::from(node, &route, 0);
        while let Some(found) = walk.look().await? {
            if !found.is_empty() {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

async fn lost_keys(server: &Server, rewrite: &Rewrite) -> Result<Vec<Loss>, StoreError> {
    let route = route(rewrite);
    let mut keys = 0;
    for node in server.masters().await?.iter() {
        let mut walk = Walk::from(node, &route, 0);
        while let Some(found) = walk.look().await? {
            keys += found.len();
        }
    }
    let keys_word = if keys == 1 { "key" } else { "keys" };
    let what = format!("{} matches {keys} {keys_word}", rewrite.matching.written);
    Ok(if keys == 0 { Vec::new() } else { vec![Loss { what, known: true }] })
}

// Raw commands

/// Refuses what the server calls harmful, and finds a consumer group that is there already.
async fn before_command(server: &Server, raw: &RawCommand) -> Result<Before, StoreError> {
    let masters = server.masters().await?;
    let Some(node) = masters.first() else { return Ok(Before::absent()) };
    if let Some(why) = facts(node, raw).await.and_then(|facts| raw.forbidden_by(&facts)) {
        let message = format!("a migration must not send {}: {why}", raw.name());
        return Err(StoreError::refused(message));
    }
    let (Some(group), Some(live)) = (raw.group(), group_position(server, raw).await?) else {
        return Ok(Before::absent());
    };
    let wanted = match group.after {
        "$" => last_entry(server, node, group.stream).await?,
        after if after.contains('-') => after.to_string(),
        after => format!("{after}-0"),
    };
    if wanted == live {
        return Ok(Before::found());
    }
    let at = |position: &str| format!("group {} of {} at {position}", group.name, group.stream);
    Ok(Before::differs(at(&wanted), at(&live)))
}

/// What the server says of a command; `None` where it says nothing.
async fn facts(node: &Node, raw: &RawCommand) -> Option<Facts> {
    let name = raw.name();
    let answer = node.ask(&command(&["COMMAND", "INFO", &name])).await.ok()?;
    let found = items(items(&answer).first()?);
    let words = |at: usize| {
        found.get(at).map(items).unwrap_or_default().iter().filter_map(text).collect::<Vec<_>>()
    };
    let first_key = found.get(3).and_then(number).unwrap_or(0);
    // Those whose keys stand at no fixed place have a list of where they stand.
    let has_keys = first_key != 0 || found.get(8).is_some_and(|specs| !items(specs).is_empty());
    Some(Facts { flags: words(2), categories: words(6), has_keys })
}

/// The last entry that the group of `raw` was given; `None` where there is no such group.
async fn group_position(server: &Server, raw: &RawCommand) -> Result<Option<String>, StoreError> {
    let (Some(group), masters) = (raw.group(), server.masters().await?) else { return Ok(None) };
    let Some(node) = masters.first() else { return Ok(None) };
    let groups = match routed(server, node, &["XINFO", "GROUPS", group.stream]).await {
        Ok(groups) => groups,
        Err(error) if error.message.contains("no such key") => return Ok(None),
        Err(error) => return Err(error),
    };
    let named = |one: &&Value| field(one, "name").and_then(text).as_deref() == Some(group.name);
    let position = items(&groups).iter().find(named).map(|one| field(one, "last-delivered-id"));
    match position {
        None => Ok(None),
        Some(id) => id.and_then(text).map(Some).ok_or_else(|| unexpected("XINFO GROUPS")),
    }
}

async fn last_entry(server: &Server, node: &Node, stream: &str) -> Result<String, StoreError> {
    let facts = routed(server, node, &["XINFO", "STREAM", stream]).await?;
    let last = field(&facts, "last-generated-id").and_then(text);
    last.ok_or_else(|| unexpected("XINFO STREAM"))
}

fn route(rewrite: &Rewrite) -> Route<'_> {
    Route::of(&rewrite.matching, rewrite.key_type.as_deref(), rewrite.count)
}

async fn lost_by_command(server: &Server, keys: &[String]) -> Result<Vec<Loss>, StoreError> {
    let mut there = 0;
    for key in keys {
        // One by one: in a cluster each may be on another master, and the others send it there.
        for node in server.masters().await?.iter() {
            match node.ask(&command(&["EXISTS", key])).await {
                Ok(answer) => there += number(&answer).unwrap_or(0),
                Err(error) if error.code.as_deref() == Some("MOVED") && server.is_cluster() => {}
                Err(error) => return Err(error),
            }
        }
    }
    let what = format!("{there} of the keys that the command deletes are there");
    Ok(if there == 0 { Vec::new() } else { vec![Loss { what, known: true }] })
}

// Settings

/// The live values of settings, in one round trip; `None` for one that the server does not know.
pub async fn setting_values(
    node: &Node,
    names: &[&str],
) -> Result<Vec<Option<String>>, StoreError> {
    let mut pipeline = redis::pipe();
    for name in names {
        pipeline.add_command(command(&["CONFIG", "GET", name]));
    }
    let answers = node.ask_each(pipeline).await?;
    Ok(answers.iter().map(setting_value).collect())
}

/// The value in an answer to CONFIG GET of one name.
pub fn setting_value(answer: &Value) -> Option<String> {
    items(answer).get(1).and_then(text)
}

async fn before_config(server: &Server, wanted: &Config) -> Result<Before, StoreError> {
    let names = wanted.names();
    let mut of_masters = Vec::new();
    for node in server.masters().await?.iter() {
        let live = setting_values(node, &names).await.map_err(of_settings)?;
        let mut known = Vec::new();
        for (name, value) in names.iter().zip(live) {
            match value {
                Some(value) => known.push((name.to_string(), value)),
                None => return Err(unknown_setting(node, name).await),
            }
        }
        of_masters.push(known);
    }
    if of_masters.iter().all(|live| as_wanted(wanted, live)) {
        return Ok(Before::found());
    }
    let old = common(&of_masters).map(|live| Before::replaces(config::step_of(live)));
    Ok(old.unwrap_or_else(masters_differed))
}

fn as_wanted(wanted: &Config, live: &[(String, String)]) -> bool {
    let pairs = wanted.settings.iter().zip(live);
    pairs.into_iter().all(|((name, wanted), (_, live))| same(name, wanted, live))
}

async fn is_set(server: &Server, wanted: &Config) -> Result<bool, StoreError> {
    let names = wanted.names();
    for node in server.masters().await?.iter() {
        let live = setting_values(node, &names).await?;
        let mut pairs = wanted.settings.iter().zip(live);
        if !pairs.all(|((name, wanted), live)| live.is_some_and(|live| same(name, wanted, &live))) {
            return Ok(false);
        }
    }
    Ok(true)
}

async fn unknown_setting(node: &Node, name: &str) -> StoreError {
    let error = StoreError::refused(format!("the server knows no setting `{name}`"));
    let all = node.ask(&command(&["CONFIG", "GET", "*"])).await.unwrap_or(Value::Nil);
    let names: Vec<String> = items(&all).iter().step_by(2).filter_map(text).collect();
    match nearest(name, names.iter().map(String::as_str)) {
        Some(near) => error.hint(format!("did you mean `{near}`?")),
        None => error.hint(format!("its version is {}", node.info.get("redis_version"))),
    }
}

/// A limit of memory that is below what is used makes the server evict keys at once.
async fn evicted(server: &Server, wanted: &Config) -> Result<Vec<Loss>, StoreError> {
    let given = |name: &str| {
        wanted.settings.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone())
    };
    let (maxmemory, policy) = (given("maxmemory"), given("maxmemory-policy"));
    if maxmemory.is_none() && policy.is_none() {
        return Ok(Vec::new());
    }
    let mut losses = Vec::new();
    for node in server.masters().await?.iter() {
        let live = setting_values(node, &["maxmemory", "maxmemory-policy"]).await;
        let live = live.map_err(of_settings)?;
        let [live_max, live_policy] = &live[..] else { return Err(unexpected("CONFIG GET")) };
        let limit = maxmemory.as_ref().or(live_max.as_ref()).and_then(|value| bytes(value));
        let policy = policy.as_ref().or(live_policy.as_ref()).map_or("", String::as_str);
        let used = node.info_now().await?.number("used_memory");
        let below = limit.is_some_and(|limit| limit > 0 && limit < i128::from(used));
        if below && policy != "noeviction" {
            let limit = limit.unwrap_or_default();
            let what = format!(
                "{} uses {used} bytes, and evicts keys ({policy}) down to {limit}",
                node.address
            );
            losses.push(Loss { what, known: false });
        }
    }
    Ok(losses)
}

// Functions

/// The code of a library on one master.
pub async fn function_code(node: &Node, library: &str) -> Result<Option<String>, StoreError> {
    let list = command(&["FUNCTION", "LIST", "LIBRARYNAME", library, "WITHCODE"]);
    let answer = node.ask(&list).await?;
    match items(&answer).first() {
        None => Ok(None),
        Some(found) => {
            let code = field(found, "library_code").and_then(text);
            code.map(Some).ok_or_else(|| unexpected("FUNCTION LIST"))
        }
    }
}

async fn codes(server: &Server, library: &str) -> Result<Vec<Option<String>>, StoreError> {
    let mut codes = Vec::new();
    for node in server.masters().await?.iter() {
        codes.push(function_code(node, library).await?);
    }
    Ok(codes)
}

async fn before_function(server: &Server, wanted: &Function) -> Result<Before, StoreError> {
    let live = codes(server, &wanted.library).await?;
    if live.iter().all(|code| code.as_deref() == Some(wanted.code.as_str())) {
        return Ok(Before::found());
    }
    let other = live.iter().flatten().find(|code| **code != wanted.code);
    match (other, common(&live)) {
        // Some masters of a cluster may have it already: the rest are given it.
        (None, _) => Ok(Before::absent()),
        (Some(other), _) if !wanted.replace => {
            let (wanted_line, live_line) = first_difference(&wanted.code, other);
            let library = &wanted.library;
            Ok(Before::differs(
                format!("library {library}, {wanted_line}"),
                format!("library {library}, {live_line}"),
            ))
        }
        (Some(other), Some(_)) => Ok(Before::replaces(function::step_of(other))),
        (Some(_), None) => Ok(masters_differed()),
    }
}

async fn before_delete_function(server: &Server, library: &str) -> Result<Before, StoreError> {
    let live = codes(server, library).await?;
    match (live.iter().flatten().next(), common(&live)) {
        (None, _) => Ok(Before::found()),
        (Some(code), Some(_)) => Ok(Before::replaces(function::step_of(code))),
        (Some(_), None) => Ok(masters_differed()),
    }
}

// Users

/// The users of one master.
pub async fn users_of(node: &Node) -> Result<BTreeMap<String, LiveUser>, StoreError> {
    Ok(users_in(&node.ask(&command(&["ACL", "LIST"])).await?))
}

/// The users in an answer to ACL LIST.
pub fn users_in(answer: &Value) -> BTreeMap<String, LiveUser> {
    items(answer).iter().filter_map(text).filter_map(|line| LiveUser::of_line(&line)).collect()
}

async fn users(server: &Server, name: &str) -> Result<Vec<Option<LiveUser>>, StoreError> {
    let mut users = Vec::new();
    for node in server.masters().await?.iter() {
        users.push(users_of(node).await?.remove(name));
    }
    Ok(users)
}

async fn before_acl(server: &Server, wanted: &Acl) -> Result<Before, StoreError> {
    expect_other_user(server, &wanted.user).await?;
    let live = users(server, &wanted.user).await?;
    if live.iter().all(|user| user.as_ref().is_some_and(|user| user.is_as(wanted))) {
        return Ok(Before::found());
    }
    match common(&live) {
        Some(None) => Ok(Before::absent()),
        Some(Some(user)) if wanted.sets_passwords() && !user.hashes.is_empty() => {
            Ok(Before::replaces(lost("the passwords that the user had are not kept")))
        }
        Some(Some(user)) => {
            let rules = user.rights.rules(wanted.sets_passwords());
            Ok(Before::replaces(acl::step_of(&wanted.user, &rules)))
        }
        None => Ok(masters_differed()),
    }
}

async fn before_delete_user(server: &Server, name: &str) -> Result<Before, StoreError> {
    expect_other_user(server, name).await?;
    let live = users(server, name).await?;
    match (live.iter().flatten().next(), common(&live)) {
        (None, _) => Ok(Before::found()),
        (Some(user), Some(_)) if user.hashes.is_empty() => {
            Ok(Before::replaces(acl::step_of(name, &user.rights.rules(true))))
        }
        (Some(_), Some(_)) => {
            Ok(Before::replaces(lost("the passwords that the user had are not kept")))
        }
        (Some(_), None) => Ok(masters_differed()),
    }
}

/// Whoever changes the user it is logged in as may lock itself out half-way.
async fn expect_other_user(server: &Server, name: &str) -> Result<(), StoreError> {
    for node in server.masters().await?.iter() {
        let me = node.ask(&command(&["ACL", "WHOAMI"])).await?;
        if text(&me).as_deref() == Some(name) {
            let message = format!("the migration is logged in as `{name}`, the user it changes");
            return Err(StoreError::refused(message).hint("log in as another user for this"));
        }
    }
    Ok(())
}
