//! Rewriting keys, master by master, from where an earlier run came to.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use redis::{Cmd, Value, cmd};
use serde::{Deserialize, Serialize};

use super::connection::{Node, number, text};
use super::errors::{cancelled, partial, untouched};
use super::moves::Mover;
use super::server::{Server, are_same, expect_steady};
use super::slots::OWN;
use super::steps::rewrite::{COUNT, Change, Rewrite, escaped};
use super::walk::{Route, Turn, Walk, share, size, size_of_all};
use crate::failpoint::effect;
use crate::store_error::StoreError;
use crate::stores::contract::{Done, Failure, Job, Position, Progress, Why};
use crate::stores::pace::Pace;

/// Positions are journalled no more often: a batch takes 2 ms, a journal entry as long, and what is
/// done again after a crash costs no more than this.
const JOURNAL_EVERY: Duration = Duration::from_millis(200);

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
    pace: Pace,
}

/// Changes every key that matches.
pub async fn rewrite(server: &Server, rewrite: &Rewrite, job: &Job<'_>) -> Result<Done, Failure> {
    let masters = server.masters().await.map_err(untouched)?;
    expect_steady(&masters).await.map_err(untouched)?;
    let total = size_of_all(&masters).await.map_err(untouched)?;
    // A position that cannot be read leads to the beginning, which is always right.
    let position = job.resume.clone().map(|position| serde_json::from_value(position.0));
    let reached = position.and_then(Result::ok).unwrap_or_default();
    let journalled = Instant::now();
    let pace = Pace::of(job.limits.rate);
    let mut course =
        Course { rewrite, job, reached, journalled, first: true, walked: 0, total, pace };
    for node in masters.iter() {
        course.walk(server, node, &masters).await?;
    }
    if let (true, Change::Rename { to, .. }) = (server.is_cluster(), &rewrite.change) {
        sweep(&masters, to).await.map_err(partial)?;
    }
    expect_same(server, &masters).await?;
    let keys = course.reached.keys;
    Ok(Done::noting(vec![format!("{keys} keys changed by {}", rewrite.label())]))
}

/// A key may have moved behind our back if slots did, or a failover forgotten what was written.
async fn expect_same(server: &Server, walked: &[Node]) -> Result<(), Failure> {
    let now = server.masters().await.map_err(partial)?;
    match are_same(&now, walked) {
        true => expect_steady(&now).await.map_err(partial),
        false => Err(Failure {
            why: Why::Retry,
            ..partial(StoreError::refused("other masters hold the keys than at the beginning"))
        }),
    }
}

/// Takes away what runs that were killed left beside the keys that they moved.
async fn sweep(masters: &[Node], to: &str) -> Result<(), StoreError> {
    let matching = format!("{}*{OWN}*", escaped(to));
    let route = Route { matching: &matching, key_type: None, count: COUNT };
    for node in masters {
        let mut walk = Walk::from(node, &route, 0);
        while let Some(turn) = walk.turn(|key| Ok(cmd("UNLINK").arg(key).take())).await? {
            turn.answers.into_iter().collect::<Result<Vec<_>, _>>()?;
        }
    }
    Ok(())
}

impl<'c> Course<'c> {
    async fn walk(
        &mut self,
        server: &Server,
        node: &Node,
        masters: &[Node],
    ) -> Result<(), Failure> {
        let size = size(node).await.map_err(partial)?;
        let before = self.walked;
        if let Some(cursor) = self.start(node) {
            let (rewrite, in_cluster) = (self.rewrite, server.is_cluster());
            let count = self.pace.portion(rewrite.count);
            let route = Route::of(&rewrite.matching, rewrite.key_type.as_deref(), count);
            let mut walk = Walk::from(node, &route, cursor);
            let mover = match &rewrite.change {
                Change::Rename { prefix, to } if in_cluster => {
                    let mover = Mover::connect(server, node, masters, (prefix, to)).await;
                    Some(mover.map_err(partial)?)
                }
                Change::Rename { .. } | Change::Ttl(_) | Change::Persist | Change::Delete => None,
            };
            while let Some(keys) = self.some(&mut walk, mover.as_ref()).await? {
                self.walked = match (walk.reached, in_cluster) {
                    (None, _) => before + size,
                    (Some(cursor), false) => before + (share(cursor) * size as f64) as u64,
                    // A newer server puts the slot into a cursor: counted, not calculated.
                    (Some(_), true) => (self.walked + count as u64).min(before + size),
                };
                self.journal(node, walk.reached).await?;
                self.pause(keys).await?;
            }
        }
        self.walked = before + size;
        Ok(())
    }

    /// Changes the next keys of the walk; how many they were, and `None` after the last.
    async fn some(
        &mut self,
        walk: &mut Walk<'_>,
        mover: Option<&Mover<'_>>,
    ) -> Result<Option<u64>, Failure> {
        let Some(mover) = mover else {
            let Some(turn) = effect!("redis_turn", self.turn(walk))? else { return Ok(None) };
            let keys = turn.keys.len() as u64;
            self.take(turn).map_err(partial)?;
            return Ok(Some(keys));
        };
        let Some(keys) = walk.look().await.map_err(partial)? else { return Ok(None) };
        for key in &keys {
            expect_renamable(&self.rewrite.change, key).map_err(partial)?;
        }
        let moved = tokio::select! {
            biased;
            () = self.job.cancel.cancelled() => return Err(cancelled(&self.rewrite.label())),
            moved = mover.all(&keys) => moved.map_err(partial)?,
        };
        self.reached.keys += moved;
        Ok(Some(keys.len() as u64))
    }

    /// The cursor to begin with; `None` where this process of the server was walked already.
    fn start(&self, node: &Node) -> Option<u64> {
        match self.reached.masters.get(node.run_id()) {
            Some(at) if at.slots == node.slots => {
                at.cursor.as_ref().map(|cursor| cursor.parse().unwrap_or(0))
            }
            Some(_) | None => Some(0),
        }
    }

    async fn turn(&self, walk: &mut Walk<'_>) -> Result<Option<Turn>, Failure> {
        let change = &self.rewrite.change;
        let command = |key: &[u8]| {
            expect_renamable(change, key)?;
            Ok(command_for(change, key))
        };
        tokio::select! {
            biased;
            () = self.job.cancel.cancelled() => Err(cancelled(&self.rewrite.label())),
            turn = walk.turn(command) => turn.map_err(partial),
        }
    }

    /// Holds the walk back to the rate that was asked for.
    async fn pause(&mut self, keys: u64) -> Result<(), Failure> {
        tokio::select! {
            biased;
            () = self.job.cancel.cancelled() => Err(cancelled(&self.rewrite.label())),
            () = self.pace.after(keys) => Ok(()),
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
        match node.run_id() {
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
        (Change::Rename { prefix, to }, Ok(Value::Int(0))) => {
            Err(taken(key, &renamed(key, prefix, to)))
        }
        (Change::Rename { .. }, Err(error)) if error.message.contains("no such key") => Ok(0),
        (_, Ok(answer)) => Ok(u64::try_from(number(&answer).unwrap_or(0)).unwrap_or(0)),
        (_, Err(error)) => Err(error.detail(format!("at the key {}", shown(key)))),
    }
}

/// The error for a key whose new name another one has.
pub fn taken(key: &[u8], name: &[u8]) -> StoreError {
    StoreError::refused(format!(
        "{} cannot be renamed to {}, which is there already",
        shown(key),
        shown(name)
    ))
    .hint("delete or rename one of the two; a later run goes on from here")
}

/// A key, for a message.
pub fn shown(key: &[u8]) -> String {
    format!("`{}`", text(&Value::BulkString(key.to_vec())).unwrap_or_default())
}
