//! A gate in front of a real server, which does what networks and proxies do now and then.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What a gate does with what passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// Lets it pass.
    Open,
    /// Lets the server's answers pass this much later.
    Slow(Duration),
    /// Swallows it, and keeps the connections: a cable that is cut.
    Dead,
    /// Answers each HTTP request with 503 by itself.
    Unavailable,
}

/// A listener before a server; it ends with this value.
pub struct Gate {
    port: u16,
    inside: Arc<Inside>,
}

struct Inside {
    manner: Mutex<Manner>,
    open: Mutex<Vec<TcpStream>>,
    harmed: AtomicUsize,
    ended: AtomicBool,
    /// The server's port as Kafka writes it, and the gate's: Kafka's clients connect to the address
    /// that the broker gives.
    advertised: Option<[[u8; 4]; 2]>,
}

const TICK: Duration = Duration::from_millis(20);

impl Gate {
    /// A gate before `server`, a host and a port.
    pub fn before(server: &str) -> Gate {
        Gate::start(server, false)
    }

    /// A gate before a Kafka broker, in whose answers its address is the gate's.
    pub fn before_kafka(server: &str) -> Gate {
        Gate::start(server, true)
    }

    fn start(server: &str, kafka: bool) -> Gate {
        let listener = TcpListener::bind("127.0.0.1:0").expect("port");
        let port = listener.local_addr().expect("address").port();
        let upstream: u32 = server.rsplit(':').next().expect("port").parse().expect("a number");
        let inside = Arc::new(Inside {
            manner: Mutex::new(Manner::Open),
            open: Mutex::default(),
            harmed: AtomicUsize::new(0),
            ended: AtomicBool::new(false),
            advertised: kafka.then(|| [upstream.to_be_bytes(), u32::from(port).to_be_bytes()]),
        });
        let (shared, server) = (inside.clone(), server.to_string());
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                if shared.ended.load(Ordering::Relaxed) {
                    return;
                }
                if let Ok(server) = TcpStream::connect(&server) {
                    shared.join(client, server);
                }
            }
        });
        Gate { port, inside }
    }

    /// Where the gate listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// `url` with the gate's address in place of the server's.
    pub fn url(&self, url: &str) -> String {
        let mut url = url::Url::parse(url).expect("URL");
        url.set_host(Some("127.0.0.1")).expect("host");
        url.set_port(Some(self.port)).expect("port");
        url.to_string()
    }

    /// What the gate does from now on.
    pub fn set(&self, manner: Manner) {
        *self.inside.manner.lock().expect("manner") = manner;
    }

    /// Breaks all connections; new ones are let through.
    pub fn reset(&self) -> usize {
        let streams = std::mem::take(&mut *self.inside.open.lock().expect("streams"));
        streams.iter().filter(|stream| stream.shutdown(Shutdown::Both).is_ok()).count()
    }

    /// How many pieces of data the gate did not let pass, or let pass late, or answered itself.
    pub fn harmed(&self) -> usize {
        self.inside.harmed.load(Ordering::Relaxed)
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.inside.ended.store(true, Ordering::Relaxed);
        self.reset();
        // The listener sees the end at its next connection.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

impl Inside {
    fn join(self: &Arc<Inside>, client: TcpStream, server: TcpStream) {
        let clone = |stream: &TcpStream| stream.try_clone().expect("a stream");
        for stream in [&client, &server] {
            stream.set_nodelay(true).expect("option");
            self.open.lock().expect("streams").push(clone(stream));
        }
        for (from, to, is_answer) in
            [(clone(&client), clone(&server), false), (server, client, true)]
        {
            let inside = self.clone();
            std::thread::spawn(move || inside.carry(from, to, is_answer));
        }
    }

    fn manner(&self) -> Manner {
        *self.manner.lock().expect("manner")
    }

    fn carry(&self, mut from: TcpStream, mut to: TcpStream, is_answer: bool) {
        from.set_read_timeout(Some(TICK)).expect("option");
        let mut buffer = vec![0; 1 << 16];
        while !self.ended.load(Ordering::Relaxed) {
            let count = match from.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => count,
                Err(why) if [ErrorKind::WouldBlock, ErrorKind::TimedOut].contains(&why.kind()) => {
                    continue;
                }
                Err(_) => break,
            };
            let piece = &mut buffer[..count];
            let manner = self.manner();
            if manner != Manner::Open {
                self.harmed.fetch_add(1, Ordering::Relaxed);
            }
            match manner {
                Manner::Open => {}
                Manner::Slow(time) if is_answer => std::thread::sleep(time),
                Manner::Slow(_) => {}
                Manner::Dead => continue,
                Manner::Unavailable if is_answer => {}
                Manner::Unavailable => {
                    let answer = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
                    let _ = from.write_all(answer);
                    break;
                }
            }
            if let (Some([theirs, ours]), true) = (self.advertised, is_answer) {
                advertise(piece, theirs, ours);
            }
            if to.write_all(piece).is_err() {
                break;
            }
        }
        let _ = from.shutdown(Shutdown::Both);
        let _ = to.shutdown(Shutdown::Both);
    }
}

/// Puts another port behind each `127.0.0.1` that a broker's answer names with its own.
fn advertise(piece: &mut [u8], theirs: [u8; 4], ours: [u8; 4]) {
    let mut own = b"127.0.0.1".to_vec();
    own.extend(theirs);
    let places: Vec<usize> = (0..piece.len().saturating_sub(own.len() - 1))
        .filter(|at| piece[*at..].starts_with(&own))
        .collect();
    for at in places {
        piece[at + own.len() - 4..at + own.len()].copy_from_slice(&ours);
    }
}
