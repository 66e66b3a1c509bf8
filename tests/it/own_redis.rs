//! Redis servers of a test's own: a cluster, or one that withholds commands, as providers do.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use redis::{FromRedisValue, Value};

/// A server that ends with this value.
pub struct OwnRedis {
    child: Child,
    /// Where it listens on 127.0.0.1.
    pub port: u16,
    _data: tempfile::TempDir,
}

impl OwnRedis {
    /// Starts a server with these settings, `name value` each.
    pub fn start(settings: &[&str]) -> OwnRedis {
        let (data, port) = (tempfile::tempdir().expect("a folder"), free_port());
        let mut text = format!("bind 127.0.0.1\nport {port}\nsave \"\"\nappendonly no\n");
        settings.iter().for_each(|setting| text.push_str(&format!("{setting}\n")));
        let file = data.path().join("redis.conf");
        std::fs::write(&file, text).expect("settings");
        let child = Command::new("redis-server")
            .arg(&file)
            .current_dir(data.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("redis-server");
        let server = OwnRedis { child, port, _data: data };
        eventually("the server", || server.tried(&["PING"]).is_ok());
        server
    }

    /// Its address.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// The answer to a command.
    #[track_caller]
    pub fn ask<T: FromRedisValue>(&self, words: &[&str]) -> T {
        let answer = self.tried(words).unwrap_or_else(|error| panic!("{words:?}: {error}"));
        redis::from_redis_value(answer).expect("an answer of this kind")
    }

    fn tried(&self, words: &[&str]) -> redis::RedisResult<Value> {
        let mut connection = redis::Client::open(self.url())?.get_connection()?;
        let mut command = redis::Cmd::new();
        command.arg(words);
        command.query(&mut connection)
    }
}

impl Drop for OwnRedis {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A cluster of so many masters without replicas.
pub fn cluster(masters: u16) -> Vec<OwnRedis> {
    let nodes: Vec<OwnRedis> = (0..masters)
        .map(|_| {
            let bus = format!("cluster-port {}", free_port());
            OwnRedis::start(&["cluster-enabled yes", &bus])
        })
        .collect();
    let share = 16_384 / masters;
    for (at, node) in (0..).zip(&nodes) {
        let from = at * share;
        let to = if at + 1 == masters { 16_383 } else { from + share - 1 };
        let () = node.ask(&["CLUSTER", "ADDSLOTSRANGE", &from.to_string(), &to.to_string()]);
        let () = node.ask(&["CLUSTER", "SET-CONFIG-EPOCH", &(at + 1).to_string()]);
    }
    for node in &nodes[1..] {
        let setting: Vec<String> = node.ask(&["CONFIG", "GET", "cluster-port"]);
        let port = node.port.to_string();
        let () = nodes[0].ask(&["CLUSTER", "MEET", "127.0.0.1", &port, &setting[1]]);
    }
    for node in &nodes {
        eventually("the cluster", || {
            let info: String = node.ask(&["CLUSTER", "INFO"]);
            let known = format!("cluster_known_nodes:{masters}");
            info.contains("cluster_state:ok")
                && info.contains("cluster_slots_ok:16384")
                && info.contains(&known)
        });
    }
    nodes
}

/// Waits for what takes a moment.
#[track_caller]
pub fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let until = Instant::now() + Duration::from_secs(30);
    while !is_so() {
        assert!(Instant::now() < until, "{what} does not come about");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address").port()
}
