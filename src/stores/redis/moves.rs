//! Renaming in a cluster, where the new name may be in another slot: a key is copied, and taken away where
//! it was if nobody has changed it since.
//!
//! Beside each copy stands a second one, the *mark*, made in the same transaction: a run that goes on after
//! a kill tells by it a copy that nobody has written to, which may be made anew, from a key of others, which
//! is never overwritten. DUMP gives the same bytes for both as long as both were made of the same ones.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::future::join_all;
use redis::{Cmd, Value, cmd};

use super::connection::{Node, items, number};
use super::errors::{of_server, unexpected};
use super::rewrite::{shown, taken};
use super::server::Server;
use super::slots::{beside, master_of, slot};
use crate::failpoint::effect;
use crate::store_error::{StoreError, StoreErrorKind};

/// How many keys are moved at once: each takes some round trips, one after the other.
const LANES: usize = 8;

/// How often a key is begun again that others change all the while.
const ATTEMPTS: u32 = 30;

/// How long a replica may take to have a copy before the key goes where it was, in milliseconds.
const REPLICA_WITHIN: u32 = 2_000;

/// Moves keys away from one master.
pub struct Mover<'m> {
    masters: &'m [Node],
    prefix: &'m str,
    to: &'m str,
    lanes: Vec<Lane>,
}

/// Connections of its own for what is done one after the other: a WATCH is a connection's.
struct Lane {
    source: Node,
    targets: BTreeMap<String, Node>,
}

/// A key on its way.
struct Move<'k> {
    key: &'k [u8],
    name: Vec<u8>,
    mark: Vec<u8>,
    image: Vec<u8>,
}

/// What a key is: its value as DUMP has it, and when it expires; `None` where there is none.
type State = Option<(Value, i64)>;

/// What became of the attempt to put a copy where it belongs.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Placed {
    /// What the key holds is there.
    Yes,
    /// Others were at the name meanwhile: look again.
    Again,
    /// A key of others is there.
    Taken,
    /// What an earlier run had copied there was written to since, and so was the key.
    BothWritten,
}

impl<'m> Mover<'m> {
    /// Connects to `source` and to all that its keys may go to.
    pub async fn connect(
        server: &Server,
        source: &Node,
        masters: &'m [Node],
        (prefix, to): (&'m str, &'m str),
    ) -> Result<Mover<'m>, StoreError> {
        let mut lanes = Vec::with_capacity(LANES);
        for _ in 0..LANES {
            let mut targets = BTreeMap::new();
            for node in masters {
                targets.insert(node.address.to_string(), server.node(&node.address).await?);
            }
            lanes.push(Lane { source: server.node(&source.address).await?, targets });
        }
        Ok(Mover { masters, prefix, to, lanes })
    }

    /// Moves the keys; how many it moved. A failure stops none of the others.
    pub async fn all(&self, keys: &[Vec<u8>]) -> Result<u64, StoreError> {
        let share = keys.len().div_ceil(self.lanes.len()).max(1);
        let lanes = self.lanes.iter().zip(keys.chunks(share));
        let moving = lanes.map(async |(lane, keys)| {
            let mut moved = 0;
            for key in keys {
                let one = self.one(lane, key).await.map_err(elsewhere)?;
                moved += u64::from(one);
            }
            Ok(moved)
        });
        join_all(moving).await.into_iter().sum()
    }

    /// Moves a key; whether there was one.
    async fn one(&self, lane: &Lane, key: &[u8]) -> Result<bool, StoreError> {
        let rest = key.strip_prefix(self.prefix.as_bytes()).unwrap_or(key);
        let name = [self.to.as_bytes(), rest].concat();
        if slot(key) == slot(&name) {
            let answer = lane.source.ask(cmd("RENAMENX").arg(key).arg(&name)).await;
            return match answer {
                Err(error) if error.message.contains("no such key") => Ok(false),
                Ok(answer) if number(&answer) == Some(0) => Err(taken(key, &name)),
                answer => answer.map(|_| true),
            };
        }
        let master = master_of(self.masters, slot(&name));
        let target = master.and_then(|node| lane.targets.get(&node.address.to_string()));
        let Some(target) = target else { return Err(unexpected("CLUSTER SLOTS")) };
        let [mark, image] = ["copy", "image"].map(|what| beside(&name, self.to.as_bytes(), what));
        let one = Move { key, name, mark, image };
        for attempt in 0..ATTEMPTS {
            if attempt > 0 {
                tokio::time::sleep(Duration::from_millis(5 << attempt.min(7))).await;
            }
            let Some(state) = one.seen(&lane.source).await? else {
                one.withdraw(target).await?;
                return Ok(false);
            };
            match effect!("redis_copy", one.place(target, &state))? {
                Placed::Yes => {}
                Placed::Again => continue,
                Placed::Taken => return Err(taken(key, &one.name)),
                Placed::BothWritten => return Err(one.both_written()),
            }
            if effect!("redis_take_away", one.take_away(&lane.source))? {
                effect!("redis_unmark", target.ask(cmd("UNLINK").arg(&one.mark)))?;
                return Ok(true);
            }
        }
        Err(StoreError::unreachable(format!("{} is changed all the while", shown(key)))
            .detail(format!("it was begun again {ATTEMPTS} times"))
            .hint("stop whoever writes to it for a moment, and run this again"))
    }
}

impl Move<'_> {
    /// The key as it is now, watched from here on.
    async fn seen(&self, source: &Node) -> Result<State, StoreError> {
        let mut pipeline = redis::pipe();
        pipeline.add_command(cmd("WATCH").arg(self.key).take());
        pipeline.add_command(cmd("DUMP").arg(self.key).take());
        pipeline.add_command(cmd("PEXPIRETIME").arg(self.key).take());
        let answers = source.ask_each(pipeline).await?;
        let [_, dump, expires] = &answers[..] else { return Err(unexpected("DUMP")) };
        state(dump, expires)
    }

    /// Puts what the key holds under its new name, without overwriting what others have made.
    async fn place(&self, target: &Node, key: &(Value, i64)) -> Result<Placed, StoreError> {
        let (mark, name) = self.standing(target).await?;
        let placed = match (&mark, &name) {
            (_, None) => self.copy(target, key, false).await?,
            // A copy that nobody has written to.
            (Some(_), Some(_)) if mark == name => self.copy(target, key, true).await?,
            (None, Some(_)) => Placed::Taken,
            // What was copied was written to under its new name: it has all that the key holds.
            (Some(_), Some(_)) if self.as_copied(target, key).await? == mark => Placed::Yes,
            (Some(_), Some(_)) => Placed::BothWritten,
        };
        if placed == Placed::Yes && target.info.number("connected_slaves") > 0 {
            // A master that dies now must not take the only copy with it.
            let waited = target.ask(cmd("WAIT").arg(1).arg(REPLICA_WITHIN)).await;
            if waited.is_ok_and(|answer| number(&answer) == Some(0)) {
                let message = format!("no replica of {} has what was copied there", target.address);
                return Err(StoreError::unreachable(message));
            }
        }
        Ok(placed)
    }

    /// The mark and what has the new name, which is watched from here on.
    async fn standing(&self, target: &Node) -> Result<(State, State), StoreError> {
        let mut pipeline = redis::pipe();
        pipeline.add_command(cmd("WATCH").arg(&self.name).take());
        for name in [&self.mark, &self.name] {
            pipeline.add_command(cmd("DUMP").arg(name).take());
            pipeline.add_command(cmd("PEXPIRETIME").arg(name).take());
        }
        let answers = target.ask_each(pipeline).await?;
        let [_, mark, mark_expires, name, name_expires] = &answers[..] else {
            return Err(unexpected("DUMP"));
        };
        Ok((state(mark, mark_expires)?, state(name, name_expires)?))
    }

    /// Makes mark and copy in one transaction, unless the name was touched since it is watched.
    async fn copy(
        &self,
        target: &Node,
        key: &(Value, i64),
        replaces: bool,
    ) -> Result<Placed, StoreError> {
        let mut pipeline = redis::pipe();
        pipeline.cmd("MULTI");
        pipeline.add_command(restore(&self.mark, key, true)?);
        pipeline.add_command(restore(&self.name, key, replaces)?);
        pipeline.cmd("EXEC");
        let mut answers = target.ask_all(pipeline).await?;
        match answers.pop() {
            Some(Ok(Value::Nil)) => Ok(Placed::Again),
            Some(Ok(done)) => match items(&done).iter().find_map(refusal) {
                Some(error) => Err(error.detail(format!("at the key {}", shown(self.key)))),
                None => Ok(Placed::Yes),
            },
            // What was wrong with a command is said when it is queued.
            Some(Err(error)) => Err(answers.into_iter().find_map(Result::err).unwrap_or(error)),
            None => Err(unexpected("EXEC")),
        }
    }

    /// The key as it would be in this server, which may put a set's members in another order than its own
    /// does.
    async fn as_copied(&self, target: &Node, key: &(Value, i64)) -> Result<State, StoreError> {
        let mut pipeline = redis::pipe();
        pipeline.add_command(restore(&self.image, key, true)?);
        pipeline.add_command(cmd("DUMP").arg(&self.image).take());
        pipeline.add_command(cmd("PEXPIRETIME").arg(&self.image).take());
        pipeline.add_command(cmd("UNLINK").arg(&self.image).take());
        let answers = target.ask_each(pipeline).await?;
        let [_, dump, expires, _] = &answers[..] else { return Err(unexpected("DUMP")) };
        state(dump, expires)
    }

    /// Takes the key away unless it was changed since it is watched; whether it did.
    async fn take_away(&self, source: &Node) -> Result<bool, StoreError> {
        let mut pipeline = redis::pipe();
        pipeline.cmd("MULTI");
        pipeline.add_command(cmd("UNLINK").arg(self.key).take());
        pipeline.cmd("EXEC");
        let answers = source.ask_each(pipeline).await?;
        Ok(answers.last().is_some_and(|answer| *answer != Value::Nil))
    }

    /// Takes a copy back whose key was deleted meanwhile, if nobody has written to it.
    async fn withdraw(&self, target: &Node) -> Result<(), StoreError> {
        let (mark, name) = self.standing(target).await?;
        let mut pipeline = redis::pipe();
        pipeline.cmd("MULTI");
        if mark.is_some() && mark == name {
            pipeline.add_command(cmd("UNLINK").arg(&self.name).take());
        }
        pipeline.add_command(cmd("UNLINK").arg(&self.mark).take());
        pipeline.cmd("EXEC");
        target.ask_each(pipeline).await.map(drop)
    }

    fn both_written(&self) -> StoreError {
        StoreError::refused(format!(
            "{} was copied to {} by a run that was killed, and both have been written to since",
            shown(self.key),
            shown(&self.name)
        ))
        .hint("delete or rename one of the two; a later run goes on from here")
    }
}

fn state(dump: &Value, expires: &Value) -> Result<State, StoreError> {
    match (dump, number(expires)) {
        (Value::Nil, _) | (_, Some(-2)) => Ok(None),
        (dump, Some(expires)) => Ok(Some((dump.clone(), expires))),
        (_, None) => Err(unexpected("PEXPIRETIME")),
    }
}

fn restore(name: &[u8], (dump, expires): &(Value, i64), replaces: bool) -> Result<Cmd, StoreError> {
    let Value::BulkString(dump) = dump else { return Err(unexpected("DUMP")) };
    let mut restore = cmd("RESTORE");
    // 0: it never expires.
    restore.arg(name).arg((*expires).max(0)).arg(dump).arg("ABSTTL");
    if replaces {
        restore.arg("REPLACE");
    }
    Ok(restore)
}

/// What the server said against one command of a transaction.
fn refusal(answer: &Value) -> Option<StoreError> {
    match answer {
        Value::ServerError(said) => {
            Some(of_server(said.code(), said.details().unwrap_or_default()))
        }
        // Whatever else it is, the command was done.
        _ => None,
    }
}

/// A slot that is on its way to another master: the keys are walked again once it is there.
fn elsewhere(error: StoreError) -> StoreError {
    match error.code.as_deref() {
        Some("MOVED" | "ASK") => StoreError { kind: StoreErrorKind::Unreachable, ..error }
            .hint("slots are being moved: try again when that is done"),
        _ => error,
    }
}
