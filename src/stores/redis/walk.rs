//! Walking the keys of one master: the commands for the keys of the last SCAN and the next SCAN go
//! in one round trip.

use redis::{Cmd, Value, cmd};

use super::connection::{Node, items, number, text};
use super::errors::unexpected;
use super::steps::keyspace::Pattern;
use crate::stores::StoreError;

/// Which keys a walk meets.
pub struct Route<'r> {
    /// The pattern that they match.
    pub matching: &'r str,
    /// Their type, if it is to be of one.
    pub key_type: Option<&'r str>,
    /// How many keys the server looks at per SCAN.
    pub count: usize,
}

/// A walk over the keys of one master.
pub struct Walk<'r> {
    node: &'r Node,
    route: &'r Route<'r>,
    keys: Vec<Vec<u8>>,
    next: Option<u64>,
    /// Where to go on: every key that a SCAN from 0 to here gave has had its command. `None` when
    /// all of them have.
    pub reached: Option<u64>,
}

/// What one round trip did.
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
        Walk { node, route, keys: Vec::new(), next: Some(cursor), reached: Some(cursor) }
    }

    /// The keys that the next turn sends commands for.
    pub fn pending(&self) -> &[Vec<u8>] {
        &self.keys
    }

    /// Sends `command` for each key found by the turn before, and the next SCAN behind them;
    /// `None` after the last.
    pub async fn turn(
        &mut self,
        command: impl Fn(&[u8]) -> Cmd,
    ) -> Result<Option<Turn>, StoreError> {
        if self.next.is_none() && self.keys.is_empty() {
            return Ok(None);
        }
        let mut pipeline = redis::Pipeline::with_capacity(self.keys.len() + 1);
        for key in &self.keys {
            pipeline.add_command(command(key));
        }
        let scanned = self.next;
        if let Some(cursor) = scanned {
            pipeline.add_command(self.route.scan(cursor));
        }
        let mut answers = self.node.ask_all(pipeline).await?;
        let found = match scanned.and_then(|_| answers.pop()) {
            Some(answer) => scan_answer(&answer?).ok_or_else(|| unexpected("SCAN"))?,
            None => (0, Vec::new()),
        };
        let keys = std::mem::replace(&mut self.keys, found.1);
        self.next = scanned.and((found.0 != 0).then_some(found.0));
        self.reached = match self.next.is_none() && self.keys.is_empty() {
            true => None,
            false => scanned,
        };
        Ok(Some(Turn { keys, answers }))
    }
}

impl Walk<'_> {
    /// The keys of the next SCAN, with no command for them; `None` after the last.
    pub async fn look(&mut self) -> Result<Option<Vec<Vec<u8>>>, StoreError> {
        let turn = self.turn(|_| Cmd::new()).await?;
        Ok(turn.map(|_| std::mem::take(&mut self.keys)))
    }
}

/// The next cursor and the keys.
fn scan_answer(answer: &Value) -> Option<(u64, Vec<Vec<u8>>)> {
    let [cursor, keys] = items(answer) else { return None };
    let keys = items(keys).iter().map(|key| match key {
        Value::BulkString(bytes) => Some(bytes.clone()),
        // The driver's enum is open; a key is always a bulk string.
        _ => None,
    });
    Some((text(cursor)?.parse().ok()?, keys.collect::<Option<_>>()?))
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
        let (cursor, keys) = scan_answer(&answer).expect("answer");
        assert_eq!((cursor, keys.len()), (17, 2));
        assert!(scan_answer(&Value::Nil).is_none());
    }
}
