//! Live keys held against the contracts that the ledger holds over them.

use std::collections::BTreeMap;
use std::time::Duration;

use redis::{Value, cmd};

use super::connection::{Node, number, text};
use super::server::Server;
use super::walk::{Route, Walk, size};
use crate::shape::{Attributes, Shape};
use crate::store_error::StoreError;
use crate::stores::contract::{Audit, Depth, Violation};

/// How many keys of each master a sample looks at.
const SAMPLE: usize = 10_000;

/// How many keys the server looks at per SCAN.
const COUNT: usize = 500;

/// INCR and then EXPIRE is no violation: what looks wrong is looked at again after this time.
const SECOND_LOOK: Duration = Duration::from_millis(300);

/// How many keys are kept as examples, and looked at twice, per contract and fault.
const SUSPECTS: usize = 50;

struct Contract<'s> {
    object: String,
    glob: &'s str,
    types: Vec<&'s str>,
    /// `None` where the writer may choose.
    ttl: Option<Lifetime>,
}

enum Lifetime {
    Forever,
    AtMost(u64),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Fault {
    Forbidden,
    WrongType,
    NoTtl,
    TtlTooLong,
    Expires,
    Uncovered,
}

/// A key as it is now; `None` where it is gone.
struct Seen {
    kind: String,
    /// Milliseconds; `None` where it never expires.
    ttl: Option<i64>,
}

type Suspects = BTreeMap<(Fault, Option<usize>), (u64, Vec<(usize, Vec<u8>)>)>;

pub(super) async fn audit(
    server: &Server,
    recorded: &Shape,
    depth: Depth,
) -> Result<Option<Audit>, StoreError> {
    let mut contracts: Vec<Contract<'_>> =
        recorded.of_kind("keyspace").map(|(name, attributes)| contract(name, attributes)).collect();
    let limit = match depth {
        Depth::Structure => return Ok(None),
        Depth::Sample => SAMPLE,
        Depth::Full => usize::MAX,
    };
    if contracts.is_empty() {
        return Ok(None);
    }
    // The most particular contract over a key is the one that holds.
    contracts.sort_by_key(|contract| std::cmp::Reverse(contract.glob.len()));
    let masters = server.masters().await?;
    let mut audit = Audit::default();
    let mut suspects = Suspects::new();
    for (at, node) in masters.iter().enumerate() {
        let total = size(node).await?;
        audit.total += total;
        let begin = if total > limit as u64 { rand::random() } else { 0 };
        audit.looked += look(node, at, &contracts, (begin, limit), &mut suspects).await?;
    }
    tokio::time::sleep(SECOND_LOOK).await;
    for ((fault, contract), (count, keys)) in suspects {
        let mut still = Vec::new();
        for (at, key) in &keys {
            let Some(node) = masters.get(*at) else { continue };
            let seen = seen(node, std::slice::from_ref(key)).await?;
            let faults = seen.into_iter().flatten().map(|seen| fault_of(key, &seen, &contracts));
            if faults.flatten().any(|found| found == (fault, contract)) {
                still.push(String::from_utf8_lossy(key).into_owned());
            }
        }
        if let Some(example) = still.first() {
            let count = if keys.len() < SUSPECTS { still.len() as u64 } else { count };
            audit.violations.push(violation(
                fault,
                contract.map(|at| &contracts[at]),
                count,
                example,
            ));
        }
    }
    Ok(Some(audit))
}

fn contract<'s>(name: &'s str, attributes: &'s Attributes) -> Contract<'s> {
    let types = attributes.get("type").and_then(serde_json::Value::as_array).into_iter().flatten();
    let ttl = attributes.get("ttlSeconds");
    Contract {
        object: format!("keyspace {name}"),
        glob: name,
        types: types.filter_map(serde_json::Value::as_str).collect(),
        ttl: match (ttl.and_then(serde_json::Value::as_u64), ttl.and_then(|ttl| ttl.as_str())) {
            (Some(seconds), _) => Some(Lifetime::AtMost(seconds)),
            (None, Some("none")) => Some(Lifetime::Forever),
            (None, _) => None,
        },
    }
}

/// Walks one master from the cursor `begin` on, up to `limit` keys; gives back how many it looked at.
///
/// A sample begins anywhere, so that the next one sees other keys: SCAN takes any number as a cursor,
/// since what it looks at next is in the number itself.
async fn look(
    node: &Node,
    at: usize,
    contracts: &[Contract<'_>],
    (begin, limit): (u64, usize),
    suspects: &mut Suspects,
) -> Result<u64, StoreError> {
    let route = Route { matching: "*", key_type: None, count: COUNT };
    let mut walk = Walk::from(node, &route, begin);
    let mut has_turned = begin == 0;
    let mut looked = 0;
    while looked < limit {
        let Some(mut keys) = walk.look().await? else {
            if has_turned {
                break;
            }
            // Behind the last key comes the first.
            has_turned = true;
            walk = Walk::from(node, &route, 0);
            continue;
        };
        keys.truncate(limit - looked);
        looked += keys.len();
        for (key, seen) in keys.iter().zip(seen(node, &keys).await?) {
            let Some(found) = seen.and_then(|seen| fault_of(key, &seen, contracts)) else {
                continue;
            };
            let (count, examples) = suspects.entry(found).or_default();
            *count += 1;
            if examples.len() < SUSPECTS {
                examples.push((at, key.clone()));
            }
        }
    }
    Ok(looked as u64)
}

/// Type and lifetime of each key, in one round trip.
async fn seen(node: &Node, keys: &[Vec<u8>]) -> Result<Vec<Option<Seen>>, StoreError> {
    if keys.is_empty() {
        return Ok(Vec::new());
    }
    let mut pipeline = redis::Pipeline::with_capacity(2 * keys.len());
    for key in keys {
        pipeline.add_command(cmd("TYPE").arg(key).clone());
        pipeline.add_command(cmd("PTTL").arg(key).clone());
    }
    let answers: Vec<Value> =
        node.ask_all(pipeline).await?.into_iter().collect::<Result<_, _>>()?;
    let one = |pair: &[Value]| {
        let kind = pair.first().and_then(text).filter(|kind| kind != "none")?;
        let ttl = pair.get(1).and_then(number).filter(|ttl| *ttl != -2)?;
        Some(Seen { kind, ttl: (ttl >= 0).then_some(ttl) })
    };
    Ok(answers.chunks(2).map(one).collect())
}

/// What is wrong with a key, and by which contract.
fn fault_of(key: &[u8], seen: &Seen, contracts: &[Contract<'_>]) -> Option<(Fault, Option<usize>)> {
    let covering = contracts.iter().position(|contract| matches(contract.glob.as_bytes(), key));
    let Some(at) = covering else { return Some((Fault::Uncovered, None)) };
    let contract = &contracts[at];
    let fault = match (&contract.ttl, seen.ttl) {
        _ if contract.types.is_empty() => Fault::Forbidden,
        _ if !contract.types.contains(&seen.kind.as_str()) => Fault::WrongType,
        (Some(Lifetime::AtMost(_)), None) => Fault::NoTtl,
        (Some(Lifetime::AtMost(most)), Some(ttl)) if ttl.unsigned_abs() > most * 1_000 => {
            Fault::TtlTooLong
        }
        (Some(Lifetime::Forever), Some(_)) => Fault::Expires,
        (_, _) => return None,
    };
    Some((fault, Some(at)))
}

/// Whether `key` is one that Redis's own pattern means: `*`, `?`, `[a-z]` and `\` before a letter
/// that is meant as it is.
fn matches(pattern: &[u8], key: &[u8]) -> bool {
    let (mut at, mut read) = (0, 0);
    // Where the last star stands, and up to where it has taken the key.
    let mut star = None;
    loop {
        if pattern.get(at) == Some(&b'*') {
            star = Some((at + 1, read));
            at += 1;
        } else if let Some(length) = key.get(read).and_then(|byte| one(&pattern[at..], *byte)) {
            at += length;
            read += 1;
        } else if at == pattern.len() && read == key.len() {
            return true;
        } else {
            match star {
                Some((after, taken)) if taken < key.len() => {
                    (at, read) = (after, taken + 1);
                    star = Some((after, taken + 1));
                }
                Some(_) | None => return false,
            }
        }
    }
}

/// How much of `pattern` means `letter`, if its beginning does.
fn one(pattern: &[u8], letter: u8) -> Option<usize> {
    match pattern.first()? {
        b'?' => Some(1),
        b'[' => {
            let (is, rest) = class(&pattern[1..], letter)?;
            is.then_some(pattern.len() - rest.len())
        }
        b'\\' => (pattern.get(1) == Some(&letter)).then_some(2),
        wanted => (*wanted == letter).then_some(1),
    }
}

/// Whether the class that `pattern` is in has `letter`, and what follows the class.
fn class(pattern: &[u8], letter: u8) -> Option<(bool, &[u8])> {
    let end = pattern.iter().position(|byte| *byte == b']')?;
    let (negated, members) = match pattern.first() {
        Some(b'^') => (true, &pattern[1..end]),
        Some(_) | None => (false, &pattern[..end]),
    };
    let mut found = members.contains(&letter);
    for range in members.windows(3).filter(|range| range[1] == b'-') {
        found |= (range[0].min(range[2])..=range[0].max(range[2])).contains(&letter);
    }
    Some((found != negated, &pattern[end + 1..]))
}

fn violation(
    fault: Fault,
    contract: Option<&Contract<'_>>,
    count: u64,
    example: &str,
) -> Violation {
    let (keys, have, are) = match count {
        1 => ("key", "has", "is"),
        _ => ("keys", "have", "are"),
    };
    let types = contract.map(|contract| contract.types.join(" or ")).unwrap_or_default();
    let said = match (fault, contract.and_then(|contract| contract.ttl.as_ref())) {
        (Fault::Forbidden, _) => format!("{are} there, where the contract says never"),
        (Fault::WrongType, _) => format!("{are} no {types}"),
        (Fault::NoTtl, _) => format!("{have} no TTL"),
        (Fault::TtlTooLong, Some(Lifetime::AtMost(most))) => format!("{have} a TTL above {most} s"),
        (Fault::TtlTooLong, _) => format!("{have} a TTL that is too long"),
        (Fault::Expires, _) => format!("{have} a TTL, where the contract says none"),
        (Fault::Uncovered, _) => format!("{are} covered by no contract"),
    };
    Violation {
        object: contract.map_or("keys".to_string(), |contract| contract.object.clone()),
        what: format!("{count} {keys} {said}, for instance {example}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_redis_matches_them() {
        for (pattern, key) in
            [("s:*", "s:1"), ("s:*:x", "s:1:2:x"), ("a?c", "abc"), ("[a-c]x", "bx"), (r"\*", "*")]
        {
            assert!(matches(pattern.as_bytes(), key.as_bytes()), "{pattern} {key}");
        }
        for (pattern, key) in [("s:*", "t:1"), (r"\*", "a"), ("[^a]", "a"), ("a", "ab")] {
            assert!(!matches(pattern.as_bytes(), key.as_bytes()), "{pattern} {key}");
        }
    }
}
