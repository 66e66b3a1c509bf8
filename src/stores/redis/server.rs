//! The servers that a step has to reach: the one, the master that the Sentinels name, or every
//! master of the cluster. Connections that broke are made anew for the next step, and a cluster's
//! map is read, or a Sentinel asked, before each.

use std::sync::Arc;

use redis::{Cmd, Value, cmd};
use tokio::sync::Mutex;

use super::Settings;
use super::connection::{Address, Node, Target, items, number, text};
use super::errors::unexpected;
use super::slots::SLOTS;
use crate::store_error::{StoreError, StoreErrorKind};

/// Redis as the settings describe it.
pub struct Server {
    target: Target,
    topology: Topology,
    masters: Mutex<Arc<Vec<Node>>>,
}

enum Topology {
    Single,
    Cluster,
    Sentinel { master: String },
}

impl Server {
    /// Connects to every server that steps will have to reach.
    pub async fn connect(settings: &Settings, application: &str) -> Result<Server, StoreError> {
        let target = Target::of(settings, application)?;
        let topology = match (&settings.sentinel_master, target.sentinels.is_empty()) {
            (Some(master), false) => Topology::Sentinel { master: master.clone() },
            (Some(_) | None, _) if settings.cluster => Topology::Cluster,
            (Some(_) | None, _) => Topology::Single,
        };
        let server = Server { target, topology, masters: Mutex::default() };
        server.masters().await?;
        Ok(server)
    }

    /// Whether keys are spread over several masters.
    pub fn is_cluster(&self) -> bool {
        match self.topology {
            Topology::Cluster => true,
            Topology::Single | Topology::Sentinel { .. } => false,
        }
    }

    /// All masters, at least one, connected.
    pub async fn masters(&self) -> Result<Arc<Vec<Node>>, StoreError> {
        let mut known = self.masters.lock().await;
        if self.still_holds(&known).await {
            return Ok(known.clone());
        }
        let found = match &self.topology {
            Topology::Single => vec![self.single().await?],
            Topology::Cluster => self.cluster(&known).await?,
            Topology::Sentinel { master } => vec![self.by_sentinel(master).await?],
        };
        *known = Arc::new(found);
        Ok(known.clone())
    }

    /// One more connection, to the server that a redirection names.
    pub async fn node(&self, address: &Address) -> Result<Node, StoreError> {
        self.target.dialer.dial(address, &self.target.login).await
    }

    async fn still_holds(&self, known: &[Node]) -> bool {
        let Some(first) = known.first() else { return false };
        if known.iter().any(Node::broken) {
            return false;
        }
        match &self.topology {
            Topology::Single => true,
            Topology::Cluster => map(first).await.is_ok_and(|now| is_still(known, &now)),
            // For ten seconds after a failover the old master takes writes that will be lost.
            Topology::Sentinel { master } => {
                let now = self.by_sentinel(master).await;
                now.is_ok_and(|now| now.address == first.address && now.run_id() == first.run_id())
            }
        }
    }

    async fn single(&self) -> Result<Node, StoreError> {
        let node = self.node(&self.target.address).await?;
        expect_mode(&node, "standalone")?;
        Ok(node)
    }

    async fn cluster(&self, known: &[Node]) -> Result<Vec<Node>, StoreError> {
        let seed = self.seed(known).await?;
        expect_mode(&seed, "cluster")?;
        let mut masters = Vec::new();
        for (address, slots) in map(&seed).await? {
            let mut node = self.node(&address).await?;
            node.slots = slots;
            masters.push(node);
        }
        Ok(masters)
    }

    /// The node of the settings, or where it is gone any that was known.
    async fn seed(&self, known: &[Node]) -> Result<Node, StoreError> {
        let first = self.node(&self.target.address).await;
        if first.is_err() {
            for node in known {
                if let Ok(seed) = self.node(&node.address).await {
                    return Ok(seed);
                }
            }
        }
        first
    }

    /// Asks one Sentinel after the other. The driver's own Sentinel client does the same with
    /// timeouts that cannot be set (1 s and 500 ms), and keeps the last error alone.
    async fn by_sentinel(&self, master: &str) -> Result<Node, StoreError> {
        let mut tried = Vec::new();
        for sentinel in &self.target.sentinels {
            match self.ask_sentinel(sentinel, master).await {
                Ok(node) => return Ok(node),
                // A wrong password is as wrong at the next one.
                Err(error) if error.kind == StoreErrorKind::Credentials => return Err(error),
                Err(error) => tried.push(format!("Sentinel {sentinel}: {error}")),
            }
        }
        let mut error =
            StoreError::unreachable(format!("no Sentinel leads to the master `{master}`"));
        error.details = tried;
        Err(error.hint("check `sentinels` and `sentinel_master`; a failover may be going on"))
    }

    async fn ask_sentinel(&self, at: &Address, master: &str) -> Result<Node, StoreError> {
        let login = &self.target.sentinel_login;
        let refused = |error: StoreError| error.detail(format!("said by the Sentinel {at}"));
        let sentinel = self.target.dialer.dial(at, login).await.map_err(refused)?;
        let ask = command(&["SENTINEL", "GET-MASTER-ADDR-BY-NAME", master]);
        let answer = sentinel.ask(&ask).await?;
        let address = match items(&answer) {
            [host, port] => address(text(host), number(port)),
            _ => None,
        };
        let Some(address) = address else {
            return Err(StoreError::refused(format!("it knows no master `{master}`")));
        };
        let refused = |error: StoreError| error.detail(format!("said by the master {address}"));
        let node = self.node(&address).await.map_err(refused)?;
        // A Sentinel that was cut off may still name the old master.
        match node.info.get("role") {
            "slave" => Err(StoreError::unreachable(format!("{address} is a replica now"))),
            _ => Ok(node),
        }
    }
}

/// A command of plain words.
pub fn command(words: &[&str]) -> Cmd {
    let mut command = Cmd::new();
    for word in words {
        command.arg(*word);
    }
    command
}

fn address(host: Option<String>, port: Option<i64>) -> Option<Address> {
    Some(Address { host: host?, port: u16::try_from(port?).ok()? })
}

fn expect_mode(node: &Node, wanted: &str) -> Result<(), StoreError> {
    let hint = match (node.info.get("redis_mode"), wanted) {
        ("sentinel", _) => "list it under `sentinels` and set `sentinel_master`",
        ("cluster", "standalone") => "set `cluster = true`",
        ("standalone", "cluster") => "set `cluster = false`",
        _ => return Ok(()),
    };
    let mode = node.info.get("redis_mode");
    let message = format!("the server at {} runs in the mode `{mode}`", node.address);
    Err(StoreError::new(StoreErrorKind::Settings, message).hint(hint))
}

/// The masters of the cluster that `node` is in, with their slots.
async fn map(node: &Node) -> Result<Vec<(Address, String)>, StoreError> {
    let answer = node.ask(&command(&["CLUSTER", "SLOTS"])).await?;
    let mut masters: Vec<(Address, String)> = Vec::new();
    let mut covered = 0;
    for range in items(&answer) {
        let (address, from, to) = slot_range(range, node).ok_or(unexpected("CLUSTER SLOTS"))?;
        covered += to - from + 1;
        let slots = format!("{from}-{to}");
        match masters.iter_mut().find(|(known, _)| *known == address) {
            Some((_, known)) => known.extend([",", &slots]),
            None => masters.push((address, slots)),
        }
    }
    if covered != i64::from(SLOTS) {
        let message = format!("the cluster serves {covered} of {SLOTS} slots");
        return Err(StoreError::unreachable(message).hint("see CLUSTER INFO"));
    }
    masters.sort_by_key(|(address, _)| address.to_string());
    Ok(masters)
}

fn slot_range(range: &Value, asked: &Node) -> Option<(Address, i64, i64)> {
    let [from, to, master, ..] = items(range) else { return None };
    let [host, port, ..] = items(master) else { return None };
    // A node that does not know its own name leaves it to us, who have just reached it.
    let host = text(host).filter(|host| !host.is_empty()).unwrap_or(asked.address.host.clone());
    Some((address(Some(host), number(port))?, number(from)?, number(to)?))
}

/// Whether both are the same servers, with the same slots.
pub fn are_same(one: &[Node], other: &[Node]) -> bool {
    one.len() == other.len()
        && one.iter().zip(other).all(|(a, b)| a.run_id() == b.run_id() && a.slots == b.slots)
}

fn is_still(known: &[Node], now: &[(Address, String)]) -> bool {
    known.len() == now.len()
        && known
            .iter()
            .zip(now)
            .all(|(node, (address, slots))| node.address == *address && node.slots == *slots)
}

/// Fails while slots are being moved: a key could move from a master that is still to be walked
/// to one that has been.
pub async fn expect_steady(masters: &[Node]) -> Result<(), StoreError> {
    for node in masters.iter().filter(|node| !node.slots.is_empty()) {
        let answer = node.ask(cmd("CLUSTER").arg("NODES")).await?;
        if text(&answer).is_some_and(|nodes| nodes.contains("->-") || nodes.contains("-<-")) {
            let message = format!("slots are being moved to or from {}", node.address);
            return Err(StoreError::unreachable(message).hint("wait until the cluster is steady"));
        }
    }
    Ok(())
}
