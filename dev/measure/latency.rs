//! A proxy before PostgreSQL that adds latency and counts: `latency HOST:PORT MICROSECONDS`.
//!
//! It listens on a free port of loopback and prints the number. Every byte is passed on half of
//! MICROSECONDS after it came, in both directions, however many are on their way: turns cost that
//! much, throughput is not limited. At the end of its standard input it prints its counts, as JSON:
//!
//! - `connections`, `bytes_out` (to the server), `bytes_in`;
//! - `statements`: those that the server completed (CommandComplete and EmptyQueryResponse);
//! - `turns`: the longest chain of messages that had to wait for one another. What a client sends is
//!   one turn later than the latest answer that had reached it, on any connection of the run; an answer
//!   is of the turn of its question. For a client that waits for every answer it is the number
//!   of its questions; for one that keeps a window of w in flight, a w-th of it.
//!
//! TLS is not understood: clients must not be asked for it.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

#[derive(Default)]
struct Counts {
    connections: AtomicU64,
    bytes_out: AtomicU64,
    bytes_in: AtomicU64,
    statements: AtomicU64,
    /// The turn of the latest answer that has been handed to the client.
    delivered: AtomicU64,
    turns: AtomicU64,
}

/// Cuts a stream into messages: a type byte (none before the start is over), a length that counts
/// itself, a body.
struct Messages {
    typed: bool,
    head: Vec<u8>,
    body_left: usize,
}

impl Messages {
    fn new(typed: bool) -> Messages {
        Messages { typed, head: Vec::new(), body_left: 0 }
    }

    /// Tells the type of each message whose head ends in `bytes`, 0 for untyped ones.
    fn read(&mut self, mut bytes: &[u8], mut begun: impl FnMut(&mut bool, u8)) {
        while !bytes.is_empty() {
            if self.body_left > 0 {
                let taken = self.body_left.min(bytes.len());
                bytes = &bytes[taken..];
                self.body_left -= taken;
                continue;
            }
            self.head.push(bytes[0]);
            bytes = &bytes[1..];
            let length_at = usize::from(self.typed);
            if self.head.len() == length_at + 4 {
                let length = u32::from_be_bytes(self.head[length_at..].try_into().expect("four bytes"));
                self.body_left = (length as usize).saturating_sub(4);
                let kind = if self.typed { self.head[0] } else { 0 };
                begun(&mut self.typed, kind);
                self.head.clear();
            }
        }
    }
}

/// What both directions of a connection know of each other: the turns of the questions not yet answered.
#[derive(Default)]
struct Questions {
    open: VecDeque<u64>,
    last: u64,
    /// Before the start, what the server sends is one byte to each request for encryption.
    started: bool,
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let server = arguments.next().expect("HOST:PORT");
    let latency: u64 = arguments.next().expect("MICROSECONDS").parse().expect("a number");
    let half = Duration::from_micros(latency / 2);
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    println!("{}", listener.local_addr().expect("an address").port());
    let counts = Arc::new(Counts::default());
    let also = counts.clone();
    std::thread::spawn(move || {
        for client in listener.incoming().flatten() {
            match TcpStream::connect(&server) {
                Ok(server) => serve(client, server, half, &also),
                Err(error) => eprintln!("{server}: {error}"),
            }
        }
    });
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
    let of = |count: &AtomicU64| count.load(SeqCst);
    println!(
        "{{\"connections\":{},\"bytes_out\":{},\"bytes_in\":{},\"statements\":{},\"turns\":{}}}",
        of(&counts.connections),
        of(&counts.bytes_out),
        of(&counts.bytes_in),
        of(&counts.statements),
        of(&counts.turns)
    );
}

fn serve(client: TcpStream, server: TcpStream, half: Duration, counts: &Arc<Counts>) {
    counts.connections.fetch_add(1, SeqCst);
    for end in [&client, &server] {
        end.set_nodelay(true).expect("TCP_NODELAY");
    }
    let questions = Arc::new(Mutex::new(Questions::default()));
    let clone = |end: &TcpStream| end.try_clone().expect("a second handle");
    let (from_client, to_server) = (clone(&client), clone(&server));
    let (asked, of_asked) = (questions.clone(), counts.clone());
    std::thread::spawn(move || {
        let mut messages = Messages::new(false);
        pass(from_client, to_server, half, |bytes| {
            of_asked.bytes_out.fetch_add(bytes.len() as u64, SeqCst);
            ask(&mut messages, bytes, &asked, &of_asked)
        }, |_| {});
    });
    let counts = counts.clone();
    std::thread::spawn(move || {
        let mut messages = Messages::new(true);
        let handed = counts.clone();
        pass(server, client, half, |bytes| {
            counts.bytes_in.fetch_add(bytes.len() as u64, SeqCst);
            answer(&mut messages, bytes, &questions, &counts)
        }, move |turn| {
            handed.delivered.fetch_max(turn, SeqCst);
        });
    });
}

/// The turn of what the client sent.
fn ask(messages: &mut Messages, bytes: &[u8], questions: &Mutex<Questions>, counts: &Counts) -> u64 {
    let turn = counts.delivered.load(SeqCst) + 1;
    let mut farewell = false;
    let mut questions = questions.lock().expect("not poisoned");
    questions.last = questions.last.max(turn);
    messages.read(bytes, |typed, kind| match kind {
        0 => {
            *typed = is_start(bytes);
            questions.started = *typed;
        }
        b'Q' | b'S' => questions.open.push_back(turn),
        // Data of a COPY is a part of the question under way.
        b'd' | b'c' | b'f' => {
            if let Some(question) = questions.open.front_mut() {
                *question = turn.max(*question);
            }
        }
        b'X' => farewell = true,
        _ => {}
    });
    if !farewell {
        counts.turns.fetch_max(turn, SeqCst);
    }
    turn
}

/// Whether an untyped message is the start, after which messages have types, and not a cancellation
/// (80877102) or a request for TLS (80877103) or GSS (80877104), which come alone.
fn is_start(bytes: &[u8]) -> bool {
    let code = bytes.get(4..8).map(|code| u32::from_be_bytes(code.try_into().expect("four bytes")));
    !matches!(code, Some(80_877_102..=80_877_104))
}

/// The turn of what the server sent.
fn answer(messages: &mut Messages, bytes: &[u8], questions: &Mutex<Questions>, counts: &Counts) -> u64 {
    let mut questions = questions.lock().expect("not poisoned");
    let mut turn = questions.open.front().copied().unwrap_or(questions.last);
    if !questions.started {
        return turn;
    }
    messages.read(bytes, |_, kind| match kind {
        b'C' | b'I' => {
            counts.statements.fetch_add(1, SeqCst);
        }
        b'Z' => {
            if let Some(question) = questions.open.pop_front() {
                turn = turn.max(question);
            }
        }
        _ => {}
    });
    turn
}

/// Passes on what comes, each piece `half` after it came.
fn pass(
    mut from: TcpStream,
    to: TcpStream,
    half: Duration,
    mut came: impl FnMut(&[u8]) -> u64,
    handed: impl Fn(u64) + Send + 'static,
) {
    let (sender, receiver) = channel();
    std::thread::spawn(move || hand_on(to, receiver, handed));
    let mut buffer = vec![0; 256 * 1024];
    loop {
        match from.read(&mut buffer) {
            Ok(0) | Err(_) => return, // the sender is dropped: the other end is told in its time
            Ok(length) => {
                let turn = came(&buffer[..length]);
                let due = Instant::now() + half;
                if sender.send((due, turn, buffer[..length].to_vec())).is_err() {
                    return;
                }
            }
        }
    }
}

fn hand_on(mut to: TcpStream, pieces: Receiver<(Instant, u64, Vec<u8>)>, handed: impl Fn(u64)) {
    for (due, turn, piece) in pieces {
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        // Told first: the client may answer before this thread runs again.
        handed(turn);
        if to.write_all(&piece).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Write);
}
