//! Applying a step to every master. All of them are safe to repeat but the raw command.

use redis::{Cmd, Value};

use super::connection::{Address, Node};
use super::errors::{cancelled, failure, of_settings, partial, untouched};
use super::probe::{function_code, setting_values};
use super::rewrite::rewrite;
use super::server::{Server, command};
use super::steps::Step;
use super::steps::acl::Acl;
use super::steps::command::RawCommand;
use super::steps::config::{Config, same};
use super::steps::function::Function;
use crate::store_error::StoreError;
use crate::stores::contract::{Done, Failure, Job};

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
        let saved = first_ok(answers).map_err(of_settings).map_err(at_master(at))?;
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
            Some(format!(
                "{address}: {what} are each server's own: set them on its replicas ({count}) too"
            ))
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
        () = limit(job) => return Err(Failure::from(StoreError::unreachable(format!(
            "no answer to {} within the file's statement_timeout",
            raw.label()
        )))),
    };
    Ok(Done::noting(alone(server, first, &words).await))
}

/// Over when the file's statement_timeout is; the server cannot be told to end a command.
async fn limit(job: &Job<'_>) {
    match job.limits.statement_timeout {
        Some(limit) => tokio::time::sleep(limit).await,
        None => std::future::pending().await,
    }
}

/// Sends the command to `node`, or where its redirection leads: a node that sends a command on has
/// not run it.
pub async fn routed(server: &Server, node: &Node, words: &[&str]) -> Result<Value, StoreError> {
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
