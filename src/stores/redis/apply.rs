//! Applying a step to every master. All of them are safe to repeat but the raw command.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use redis::{Cmd, Value, cmd};
use serde::{Deserialize, Serialize};

use super::connection::{Address, Node, number, text};
use super::errors::{cancelled, failure, partial};
use super::probe::{function_code, setting_values};
use super::server::{Server, command, expect_steady};
use super::steps::Step;
use super::steps::acl::Acl;
use super::steps::command::RawCommand;
use super::steps::config::{Config, same};
use super::steps::function::Function;
use super::steps::rewrite::{Change, Rewrite};
use super::walk::{Route, Turn, Walk, share, size_of_all};
use crate::failpoint::effect;
use crate::stores::{Done, Effect, Failure, Job, Position, Progress, StoreError, Why};

/// Positions are journalled no more often: a batch takes 2 ms, a journal entry as long, and what is
/// done again after a crash costs no more than this.
const JOURNAL_EVERY: Duration = Duration::from_millis(200);

/// Applies `step`.
pub async fn apply(server: &Server, step: &Step, job: &Job<'_>) -> Result<Done, Failure> {
    match step {
        // Redis holds nothing of a contract: the recorded shape does.
        Step::Keyspace(_) | Step::DropKeyspace(_) => Ok(Done::default()),
        Step::Rewrite(keys) => rewrite(server, keys, job).await,
        Step::Config(settings) => config(server, settings).await,
        Step::Function(wanted) => function(server, wanted).await,
        Step::DeleteFunction(library) => delete_function(server, library).await,
        Step::Acl(user) => acl(server, user).await,
        Step::DeleteUser(user) => delete_user(server, user).await,
        Step::Command(raw) => raw_command(server, raw, job).await,
    }
}

/// Nothing was sent yet.
fn untouched(source: StoreError) -> Failure {
    Failure { effect: Effect::None, ..failure(source) }
}

/// What happened at the master number `at`, if the earlier ones took the change.
fn at_master(at: usize) -> fn(StoreError) -> Failure {
    if at == 0 { failure } else { partial }
}

// Settings

async fn config(server: &Server, config: &Config) -> Result<Done, Failure> {
    let mut done = Done::default();
    for (at, node) in server.masters().await.map_err(untouched)?.iter().enumerate() {
        // One message, so that a client that dies in between leaves no setting unsaved. CONFIG SET
        // takes all or none.
        let mut pipeline = redis::pipe();
        pipeline.add_command(config_set(config)).add_command(command(&["CONFIG", "REWRITE"]));
        let answers = node.ask_all(pipeline).await.map_err(at_master(at))?;
        let saved = first_ok(answers).map_err(at_master(at))?;
        expect_shown(node, config).await.map_err(partial)?;
        done.notices.extend(unsaved(node, saved, "settings are"));
        done.notices.extend(replicas(node, "settings"));
    }
    Ok(done)
}

fn config_set(config: &Config) -> Cmd {
    let mut set = command(&["CONFIG", "SET"]);
    for (name, value) in &config.settings {
        set.arg(name).arg(value);
    }
    set
}

/// The error of the first answer, or what became of the second.
fn first_ok(answers: Vec<Result<Value, StoreError>>) -> Result<Result<(), StoreError>, StoreError> {
    let mut answers = answers.into_iter();
    answers.next().transpose()?;
    Ok(answers.next().transpose().map(drop))
}

/// The server takes some values and makes others of them (hz 1000 becomes 500).
async fn expect_shown(node: &Node, config: &Config) -> Result<(), StoreError> {
    let names = config.names();
    let live = setting_values(node, &names).await?;
    for ((name, wanted), shown) in config.settings.iter().zip(live) {
        let shown = shown.unwrap_or_default();
        if !same(name, wanted, &shown) {
            let message = format!("the server took {name} {wanted}, and shows {shown}");
            return Err(StoreError::refused(message).hint("give a value that it keeps"));
        }
    }
    Ok(())
}

fn unsaved(node: &Node, saved: Result<(), StoreError>, what: &str) -> Option<String> {
    let error = saved.err()?;
    let why = match error.message.contains("without a config file") {
        true => "the server has no configuration file".to_string(),
        false => format!("the server could not save them: {error}"),
    };
    Some(format!("{}: {what} volatile, a restart forgets them: {why}", node.address))
}

/// Neither settings nor users are replicated.
fn replicas(node: &Node, what: &str) -> Option<String> {
    match node.info.number("connected_slaves") {
        0 => None,
        count => {
            let address = &node.address;
            Some(format!("{address}: its replicas ({count}) keep {what} of their own"))
        }
    }
}

// Functions

async fn function(server: &Server, function: &Function) -> Result<Done, Failure> {
    for (at, node) in server.masters().await.map_err(untouched)?.iter().enumerate() {
        let live = function_code(node, &function.library).await.map_err(at_master(at))?;
        if live.as_deref() == Some(function.code.as_str()) {
            continue;
        }
        let mut load = command(&["FUNCTION", "LOAD"]);
        if function.replace {
            load.arg("REPLACE");
        }
        load.arg(&function.code);
        let loaded = node.ask(&load).await.map_err(|error| with_line(error, &function.code));
        loaded.map_err(at_master(at))?;
    }
    Ok(Done::default())
}

/// A compile error names its line (`user_function:3:`): shows the line.
fn with_line(error: StoreError, code: &str) -> StoreError {
    let number = error.message.split_once("user_function:").and_then(|(_, rest)| {
        rest.trim_start().split(|c: char| !c.is_ascii_digit()).next()?.parse::<usize>().ok()
    });
    match number.and_then(|number| Some((number, code.lines().nth(number.checked_sub(1)?)?))) {
        Some((number, line)) => error.detail(format!("line {number} of the code: {}", line.trim())),
        None => error,
    }
}

async fn delete_function(server: &Server, library: &str) -> Result<Done, Failure> {
    for (at, node) in server.masters().await.map_err(untouched)?.iter().enumerate() {
        match node.ask(&command(&["FUNCTION", "DELETE", library])).await {
            Ok(_) => {}
            Err(error) if error.message.contains("Library not found") => {}
            Err(error) => return Err(at_master(at)(error)),
        }
    }
    Ok(Done::default())
}

// Users

async fn acl(server: &Server, acl: &Acl) -> Result<Done, Failure> {
    let mut words = vec!["ACL", "SETUSER", acl.user.as_str()];
    words.extend(acl.words());
    change_user(server, &command(&words)).await.map_err(|mut failure| {
        failure.source.message = acl.without_secrets(&failure.source.message);
        failure
    })
}

async fn delete_user(server: &Server, user: &str) -> Result<Done, Failure> {
    change_user(server, &command(&["ACL", "DELUSER", user])).await
}

async fn change_user(server: &Server, change: &Cmd) -> Result<Done, Failure> {
    let mut done = Done::default();
    for (at, node) in server.masters().await.map_err(untouched)?.iter().enumerate() {
        let save = save_users(node).await;
        let mut pipeline = redis::pipe();
        pipeline.add_command(change.clone()).add_command(save);
        let answers = node.ask_all(pipeline).await.map_err(at_master(at))?;
        let saved = first_ok(answers).map_err(at_master(at))?;
        done.notices.extend(unsaved(node, saved, "its users are"));
        done.notices.extend(replicas(node, "users"));
    }
    Ok(done)
}

/// Users live in a file of their own where there is one, else in the server's configuration file.
async fn save_users(node: &Node) -> Cmd {
    let file = setting_values(node, &["aclfile"]).await.unwrap_or_default();
    match file.first() {
        Some(Some(path)) if !path.is_empty() => command(&["ACL", "SAVE"]),
        Some(_) | None => command(&["CONFIG", "REWRITE"]),
    }
}

// Raw commands

async fn raw_command(server: &Server, raw: &RawCommand, job: &Job<'_>) -> Result<Done, Failure> {
    let masters = server.masters().await.map_err(untouched)?;
    let Some(first) = masters.first() else { return Ok(Done::default()) };
    let words: Vec<&str> = raw.words.iter().map(String::as_str).collect();
    let sent = routed(server, first, &words);
    tokio::select! {
        biased;
        answer = sent => answer.map_err(failure)?,
        () = job.cancel.cancelled() => return Err(cancelled(&raw.label())),
    };
    Ok(Done { notices: alone(server, first, &words).await })
}

/// Sends the command to `node`, or where its redirection leads: a node that sends a command on has
/// not run it.
async fn routed(server: &Server, node: &Node, words: &[&str]) -> Result<Value, StoreError> {
    let error = match node.ask(&command(words)).await {
        Ok(answer) => return Ok(answer),
        Err(error) => error,
    };
    let Some((asking, address)) =
        redirection(&error, &node.address).filter(|_| server.is_cluster())
    else {
        return Err(error);
    };
    let other = server.node(&address).await?;
    let mut pipeline = redis::pipe();
    if asking {
        pipeline.cmd("ASKING");
    }
    pipeline.add_command(command(words));
    other.ask_each(pipeline).await.map(|mut answers| answers.pop().unwrap_or(Value::Nil))
}

/// Whether the command is to be preceded by ASKING, and where it is to go: `7000 127.0.0.1:7001`.
fn redirection(error: &StoreError, asked: &Address) -> Option<(bool, Address)> {
    let asking = match error.code.as_deref()? {
        "MOVED" => false,
        "ASK" => true,
        _ => return None,
    };
    let (host, port) = error.message.split_whitespace().nth(1)?.rsplit_once(':')?;
    let host = if host.is_empty() { &asked.host } else { host };
    Some((asking, Address { host: host.to_string(), port: port.parse().ok()? }))
}

/// In a cluster a command without a key is run by one master only.
async fn alone(server: &Server, node: &Node, words: &[&str]) -> Vec<String> {
    if !server.is_cluster() {
        return Vec::new();
    }
    let keys = node.ask(&command(&[&["COMMAND", "GETKEYS"], words].concat())).await;
    match keys {
        Err(error) if error.message.contains("no key arguments") => {
            vec![format!("the command names no key: {} alone has run it", node.address)]
        }
        Ok(_) | Err(_) => Vec::new(),
    }
}

// Rewrites

/// Where a rewrite is, as it is journalled.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Reached {
    /// By run id: a cursor means nothing to another process of the server.
    masters: BTreeMap<String, At>,
    /// How many keys were changed.
    keys: u64,
}

/// Where a rewrite is on one master.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct At {
    /// The slots that the master served: with others it holds keys that were not walked.
    slots: String,
    /// The cursor to go on from, as text, because it has 64 bits; `None`: all done.
    cursor: Option<String>,
}

struct Course<'c> {
    rewrite: &'c Rewrite,
    job: &'c Job<'c>,
    reached: Reached,
    journalled: Instant,
    first: bool,
    walked: u64,
    total: u64,
}

async fn rewrite(server: &Server, rewrite: &Rewrite, job: &Job<'_>) -> Result<Done, Failure> {
    let masters = server.masters().await.map_err(untouched)?;
    expect_steady(&masters).await.map_err(untouched)?;
    let total = size_of_all(&masters).await.map_err(untouched)?;
    // A position that cannot be read leads to the beginning, which is always right.
    let position = job.resume.clone().map(|position| serde_json::from_value(position.0));
    let reached = position.and_then(Result::ok).unwrap_or_default();
    let journalled = Instant::now();
    let mut course = Course { rewrite, job, reached, journalled, first: true, walked: 0, total };
    for node in masters.iter() {
        course.walk(node, server.is_cluster()).await?;
    }
    expect_same(server, &masters).await?;
    let keys = course.reached.keys;
    Ok(Done { notices: vec![format!("{}: {keys} keys changed", rewrite.label())] })
}

/// A key may have moved behind our back if slots did.
async fn expect_same(server: &Server, walked: &[Node]) -> Result<(), Failure> {
    if !server.is_cluster() {
        return Ok(());
    }
    let now = server.masters().await.map_err(partial)?;
    let same = now.len() == walked.len()
        && now.iter().zip(walked).all(|(a, b)| a.address == b.address && a.slots == b.slots);
    match same {
        true => expect_steady(&now).await.map_err(partial),
        false => Err(Failure {
            why: Why::Retry,
            ..partial(StoreError::refused("slots were moved between masters meanwhile"))
        }),
    }
}

impl Course<'_> {
    async fn walk(&mut self, node: &Node, in_cluster: bool) -> Result<(), Failure> {
        let size = super::walk::size(node).await.map_err(partial)?;
        let before = self.walked;
        if let Some(cursor) = self.start(node) {
            let rewrite = self.rewrite;
            let key_type = rewrite.key_type.as_deref();
            let route = Route::of(&rewrite.matching, key_type, rewrite.count);
            let mut walk = Walk::from(node, &route, cursor);
            while let Some(turn) = effect!("redis_turn", self.turn(&mut walk))? {
                self.take(turn).map_err(partial)?;
                self.walked = match (walk.reached, in_cluster) {
                    (None, _) => before + size,
                    (Some(cursor), false) => before + (share(cursor) * size as f64) as u64,
                    // A newer server puts the slot into a cursor: counted, not calculated.
                    (Some(_), true) => (self.walked + rewrite.count as u64).min(before + size),
                };
                self.journal(node, walk.reached).await?;
            }
        }
        self.walked = before + size;
        Ok(())
    }

    /// The cursor to begin with; `None` where this process of the server was walked already.
    fn start(&self, node: &Node) -> Option<u64> {
        match self.reached.masters.get(node.info.get("run_id")) {
            Some(at) if at.slots == node.slots => {
                at.cursor.as_ref().map(|cursor| cursor.parse().unwrap_or(0))
            }
            Some(_) | None => Some(0),
        }
    }

    async fn turn(&self, walk: &mut Walk<'_>) -> Result<Option<Turn>, Failure> {
        for key in walk.pending() {
            expect_renamable(&self.rewrite.change, key).map_err(partial)?;
        }
        let change = &self.rewrite.change;
        tokio::select! {
            biased;
            () = self.job.cancel.cancelled() => Err(cancelled(&self.rewrite.label())),
            turn = walk.turn(|key| command_for(change, key)) => turn.map_err(partial),
        }
    }

    fn take(&mut self, turn: Turn) -> Result<(), StoreError> {
        for (key, answer) in turn.keys.iter().zip(turn.answers) {
            self.reached.keys += changed(&self.rewrite.change, key, answer)?;
        }
        Ok(())
    }

    /// The first keys that were changed, the end of a master, and now and then between.
    fn is_due(&self, cursor: Option<u64>) -> bool {
        let first = self.first && self.reached.keys > 0;
        first || cursor.is_none() || self.journalled.elapsed() >= JOURNAL_EVERY
    }

    async fn journal(&mut self, node: &Node, cursor: Option<u64>) -> Result<(), Failure> {
        if !self.is_due(cursor) {
            return Ok(());
        }
        let at = At { slots: node.slots.clone(), cursor: cursor.map(|cursor| cursor.to_string()) };
        // A server that does not tell its run id is walked from the beginning each time.
        match node.info.get("run_id") {
            "" => {}
            run_id => drop(self.reached.masters.insert(run_id.to_string(), at)),
        }
        let position = serde_json::to_value(&self.reached).map_err(|error| {
            partial(StoreError::refused(format!("the position cannot be written: {error}")))
        })?;
        let progress = Progress { done: self.walked.min(self.total), total: Some(self.total) };
        let told = self.job.pulse.reached(&Position(position), progress).await;
        self.journalled = Instant::now();
        self.first = false;
        told.map_err(|_stop| cancelled(&self.rewrite.label()))
    }
}

fn command_for(change: &Change, key: &[u8]) -> Cmd {
    match change {
        Change::Ttl(seconds) => cmd("EXPIRE").arg(key).arg(*seconds).take(),
        Change::Persist => cmd("PERSIST").arg(key).take(),
        Change::Delete => cmd("UNLINK").arg(key).take(),
        Change::Rename { prefix, to } => {
            cmd("RENAMENX").arg(key).arg(renamed(key, prefix, to)).take()
        }
    }
}

fn renamed(key: &[u8], prefix: &str, to: &str) -> Vec<u8> {
    let rest = key.strip_prefix(prefix.as_bytes()).unwrap_or(key);
    [to.as_bytes(), rest].concat()
}

/// A key whose new name has the old prefix again would be met again, or not, as SCAN pleases.
fn expect_renamable(change: &Change, key: &[u8]) -> Result<(), StoreError> {
    let Change::Rename { prefix, to } = change else { return Ok(()) };
    let target = renamed(key, prefix, to);
    match target.starts_with(prefix.as_bytes()) {
        false => Ok(()),
        true => Err(StoreError::refused(format!(
            "{} would become {}, which begins with `{prefix}` again",
            shown(key),
            shown(&target)
        ))
        .hint("rename these keys in a step of their own, to another prefix")),
    }
}

/// How many keys the answer says were changed: none where the key has gone meanwhile.
fn changed(
    change: &Change,
    key: &[u8],
    answer: Result<Value, StoreError>,
) -> Result<u64, StoreError> {
    match (change, answer) {
        (Change::Rename { prefix, to }, Ok(Value::Int(0))) => Err(StoreError::refused(format!(
            "{} cannot be renamed to {}, which is there already",
            shown(key),
            shown(&renamed(key, prefix, to))
        ))
        .hint("delete or rename one of the two; a later run goes on from here")),
        (Change::Rename { .. }, Err(error)) if error.message.contains("no such key") => Ok(0),
        (_, Ok(answer)) => Ok(u64::try_from(number(&answer).unwrap_or(0)).unwrap_or(0)),
        (_, Err(error)) => Err(error.detail(format!("at the key {}", shown(key)))),
    }
}

fn shown(key: &[u8]) -> String {
    format!("`{}`", text(&Value::BulkString(key.to_vec())).unwrap_or_default())
}
