//! Walking the keys of one master: the server is at the commands for the keys of one SCAN while the
//! answer to the next is read. It takes commands from one client in portions of 16 KiB, and serves
//! the others between two of them.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::Poll;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, MaybeDone, maybe_done};
use redis::{Cmd, Value, cmd};

use super::connection::{Node, number, text};
use super::errors::unexpected;
use super::steps::keyspace::Pattern;
use crate::store_error::StoreError;

/// Which keys a walk meets.
pub struct Route<'r> {
    /// The pattern that they match.
    pub matching: &'r str,
    /// Their type, if it is to be of one.
    pub key_type: Option<&'r str>,
    /// How many keys the server looks at per SCAN.
    pub count: usize,
}

/// How many batches of commands are under way at once: while the server is at one, the answer to the
/// next SCAN is read and the commands for its keys are written.
const WINDOW: usize = 2;

/// A walk over the keys of one master.
pub struct Walk<'r> {
    node: &'r Node,
    route: &'r Route<'r>,
    /// What the next SCAN goes on from; `None` after the last.
    cursor: Option<u64>,
    /// Keys that were found and had no command yet.
    found: Option<Found>,
    /// Commands that were sent, the oldest first.
    sent: VecDeque<Sent<'r>>,
    /// Where to go on: every key that a SCAN from 0 to here gave has had its command. `None` when
    /// all of them have.
    pub reached: Option<u64>,
}

/// What one SCAN gave.
struct Found {
    keys: Vec<Vec<u8>>,
    next: Option<u64>,
}

/// The commands for what one SCAN gave, under way.
struct Sent<'r> {
    found: Found,
    answers: Begun<'r, Vec<Result<Value, StoreError>>>,
}

/// A request that is under way whether it is waited for or not.
type Begun<'r, T> = Pin<Box<MaybeDone<BoxFuture<'r, Result<T, StoreError>>>>>;

/// What the commands for one SCAN's keys did.
pub struct Turn {
    /// The keys that had their command.
    pub keys: Vec<Vec<u8>>,
    /// The answers, in the order of the keys.
    pub answers: Vec<Result<Value, StoreError>>,
}

impl<'r> Route<'r> {
    /// Every key that matches, with the usual count.
    pub fn of(pattern: &'r Pattern, key_type: Option<&'r str>, count: usize) -> Route<'r> {
        Route { matching: &pattern.glob, key_type, count }
    }

    fn scan(&self, cursor: u64) -> Cmd {
        let mut scan = cmd("SCAN");
        scan.arg(cursor).arg("MATCH").arg(self.matching).arg("COUNT").arg(self.count);
        if let Some(key_type) = self.key_type {
            scan.arg("TYPE").arg(key_type);
        }
        scan
    }
}

impl<'r> Walk<'r> {
    /// A walk from `cursor` on; 0 is the beginning.
    pub fn from(node: &'r Node, route: &'r Route<'r>, cursor: u64) -> Walk<'r> {
        let (sent, reached) = (VecDeque::new(), Some(cursor));
        Walk { node, route, cursor: Some(cursor), found: None, sent, reached }
    }

    /// Sends `command` for each key that matches, some SCANs ahead of its answer; gives what became
    /// of the oldest batch, and `None` after the last. Where a `command` cannot be made, the server
    /// goes on with what it was sent, and nobody waits for it.
    pub async fn turn(
        &mut self,
        command: impl Fn(&[u8]) -> Result<Cmd, StoreError>,
    ) -> Result<Option<Turn>, StoreError> {
        while self.sent.len() < WINDOW && (self.cursor.is_some() || self.found.is_some()) {
            // The SCAN goes first, so that its answer is here while the server is at the commands.
            let scan = match self.cursor.take() {
                Some(cursor) => Some(scan(self.node, self.route, cursor).await),
                None => None,
            };
            if let Some(found) = self.found.take() {
                let answers = send(self.node, &found.keys, &command).await?;
                self.sent.push_back(Sent { found, answers });
            }
            if let Some(scan) = scan {
                let found = ended(scan).await?;
                self.cursor = found.next;
                self.found = Some(found);
            }
        }
        let Some(Sent { found, answers }) = self.sent.pop_front() else { return Ok(None) };
        let answers = ended(answers).await?;
        self.reached = found.next;
        Ok(Some(Turn { keys: found.keys, answers }))
    }

    /// The keys of the next SCAN, with no command for them; `None` after the last.
    pub async fn look(&mut self) -> Result<Option<Vec<Vec<u8>>>, StoreError> {
        let Some(cursor) = self.cursor.take() else { return Ok(None) };
        let found = ended(scan(self.node, self.route, cursor).await).await?;
        self.cursor = found.next;
        self.reached = found.next;
        Ok(Some(found.keys))
    }
}

async fn scan<'r>(node: &'r Node, route: &Route<'_>, cursor: u64) -> Begun<'r, Found> {
    let scan = route.scan(cursor);
    begun(async move {
        let answer = node.ask(&scan).await?;
        let (next, keys) = scan_answer(answer).ok_or_else(|| unexpected("SCAN"))?;
        Ok(Found { keys, next: (next != 0).then_some(next) })
    })
    .await
}

/// The answers to `command` for each of the keys.
async fn send<'r>(
    node: &'r Node,
    keys: &[Vec<u8>],
    command: impl Fn(&[u8]) -> Result<Cmd, StoreError>,
) -> Result<Begun<'r, Vec<Result<Value, StoreError>>>, StoreError> {
    let mut pipeline = redis::Pipeline::with_capacity(keys.len());
    for key in keys {
        pipeline.add_command(command(key)?);
    }
    Ok(match keys.is_empty() {
        true => begun(async { Ok(Vec::new()) }).await,
        false => begun(async move { node.ask_all(pipeline).await }).await,
    })
}

/// Sends what `request` sends.
async fn begun<'r, T>(
    request: impl Future<Output = Result<T, StoreError>> + Send + 'r,
) -> Begun<'r, T> {
    let mut begun: Begun<'r, T> = Box::pin(maybe_done(request.boxed()));
    // A request is on its way as soon as its future has been polled once.
    std::future::poll_fn(|context| {
        let _ = begun.as_mut().poll(context);
        Poll::Ready(())
    })
    .await;
    begun
}

async fn ended<T>(mut request: Begun<'_, T>) -> Result<T, StoreError> {
    request.as_mut().await;
    request.as_mut().take_output().unwrap_or_else(|| Err(unexpected("a request")))
}

/// The next cursor and the keys.
fn scan_answer(answer: Value) -> Option<(u64, Vec<Vec<u8>>)> {
    let Value::Array(parts) = answer else { return None };
    let [cursor, Value::Array(keys)] = <[Value; 2]>::try_from(parts).ok()? else { return None };
    let keys = keys.into_iter().map(|key| match key {
        Value::BulkString(bytes) => Some(bytes),
        // The driver's enum is open; a key is always a bulk string.
        _ => None,
    });
    Some((text(&cursor)?.parse().ok()?, keys.collect::<Option<_>>()?))
}

/// How many keys the master holds.
pub async fn size(node: &Node) -> Result<u64, StoreError> {
    let answer = node.ask(&cmd("DBSIZE")).await?;
    let size = number(&answer).and_then(|size| u64::try_from(size).ok());
    size.ok_or_else(|| unexpected("DBSIZE"))
}

/// How many keys all masters hold.
pub async fn size_of_all(masters: &[Node]) -> Result<u64, StoreError> {
    let mut total = 0;
    for node in masters {
        total += size(node).await?;
    }
    Ok(total)
}

/// How much of a master lies behind `cursor`, from 0 to 1: SCAN counts its buckets with the highest
/// bit first, so that the reversed cursor is a share of them whatever their number.
pub fn share(cursor: u64) -> f64 {
    cursor.reverse_bits() as f64 / u64::MAX as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_tells_how_far_the_walk_is() {
        // The order of the cursors of a table of eight buckets.
        let shares: Vec<f64> = [0, 4, 2, 6, 1, 5, 3, 7].into_iter().map(share).collect();
        for (at, share) in shares.iter().enumerate() {
            assert!((share - at as f64 / 8.0).abs() < 1e-9, "{at}: {share}");
        }
    }

    #[test]
    fn an_answer_of_scan_is_read() {
        let key = |text: &str| Value::BulkString(text.as_bytes().to_vec());
        let answer = Value::Array(vec![key("17"), Value::Array(vec![key("a"), key("b")])]);
        let (cursor, keys) = scan_answer(answer).expect("answer");
        assert_eq!((cursor, keys.len()), (17, 2));
        assert!(scan_answer(Value::Nil).is_none());
    }
}
