//! The fastest plain client of Redis there is room for: what the keys of a bench are made with, and what
//! their rewriting is held against. `keys HOST:PORT COUNT VERB`, the password in REDISCLI_AUTH.
//!
//! - `load` makes COUNT hashes `session:<number>` of two fields;
//! - `expire` gives each of them a TTL: all commands pipelined, the answers counted;
//! - `scan` walks all keys by SCAN, COUNT 1000;
//! - `watch` sends a PING every half millisecond until its standard input ends.
//!
//! Each prints seconds: what it took, `watch` the longest that an answer took.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

fn main() {
    let mut arguments = std::env::args().skip(1);
    let address = arguments.next().expect("HOST:PORT");
    let count: usize = arguments.next().expect("COUNT").parse().expect("a number");
    let verb = arguments.next().expect("VERB");
    let mut server = TcpStream::connect(address).expect("a connection");
    server.set_nodelay(true).expect("TCP_NODELAY");
    let mut answers = BufReader::with_capacity(1 << 18, server.try_clone().expect("a second handle"));
    let mut line = String::new();
    let mut ask = |command: &[&str]| {
        server.write_all(&encoded(command)).expect("sent");
        line.clear();
        answers.read_line(&mut line).expect("an answer");
        assert!(!line.starts_with('-'), "{line}");
        line.clone()
    };
    if let Ok(password) = std::env::var("REDISCLI_AUTH") {
        ask(&["AUTH", &password]);
    }
    let began = Instant::now();
    let seconds = match verb.as_str() {
        "load" => {
            pipelined(server, answers, count, |number| {
                let name = format!("session:{number}");
                encoded(&["HSET", &name, "user", &number.to_string(), "agent", "browser"])
            });
            began.elapsed()
        }
        "expire" => {
            pipelined(server, answers, count, |number| {
                encoded(&["EXPIRE", &format!("session:{number}"), "86400"])
            });
            began.elapsed()
        }
        "scan" => {
            let met = scan(server, answers);
            assert!(met >= count, "met {met} keys of {count}");
            began.elapsed()
        }
        "watch" => {
            let ended = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
            let tell = ended.clone();
            std::thread::spawn(move || {
                let _ = std::io::stdin().read_to_end(&mut Vec::new());
                tell.store(true, std::sync::atomic::Ordering::SeqCst);
            });
            let mut longest = Duration::ZERO;
            while !ended.load(std::sync::atomic::Ordering::SeqCst) {
                let asked = Instant::now();
                ask(&["PING"]);
                longest = longest.max(asked.elapsed());
                std::thread::sleep(Duration::from_micros(500));
            }
            longest
        }
        other => panic!("no such verb: {other}"),
    };
    println!("{:.6}", seconds.as_secs_f64());
}

fn encoded(words: &[&str]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        bytes.extend_from_slice(format!("${}\r\n{word}\r\n", word.len()).as_bytes());
    }
    bytes
}

/// Sends `count` commands as fast as the server takes them; every answer is a line, and none an error.
fn pipelined(
    mut server: TcpStream,
    mut answers: BufReader<TcpStream>,
    count: usize,
    command: impl Fn(usize) -> Vec<u8> + Send + 'static,
) {
    let sender = std::thread::spawn(move || {
        let mut buffer = Vec::with_capacity(1 << 16);
        for number in 0..count {
            buffer.extend_from_slice(&command(number));
            if buffer.len() > (1 << 16) - 256 {
                server.write_all(&buffer).expect("sent");
                buffer.clear();
            }
        }
        server.write_all(&buffer).expect("sent");
    });
    let mut line = Vec::new();
    for _ in 0..count {
        line.clear();
        answers.read_until(b'\n', &mut line).expect("an answer");
        assert!(line.starts_with(b":"), "{}", String::from_utf8_lossy(&line));
    }
    sender.join().expect("all sent");
}

/// Walks all keys; how many it met.
fn scan(mut server: TcpStream, mut answers: BufReader<TcpStream>) -> usize {
    let (mut cursor, mut met) = ("0".to_string(), 0);
    let mut skipped = Vec::new();
    loop {
        server.write_all(&encoded(&["SCAN", &cursor, "MATCH", "session:*", "COUNT", "1000"])).expect("sent");
        let number = |answers: &mut BufReader<TcpStream>| -> usize {
            let mut line = String::new();
            answers.read_line(&mut line).expect("an answer");
            line[1..].trim().parse().expect("a number")
        };
        assert_eq!(number(&mut answers), 2, "cursor and keys");
        number(&mut answers);
        cursor.clear();
        answers.read_line(&mut cursor).expect("a cursor");
        cursor.truncate(cursor.trim_end().len());
        let keys = number(&mut answers);
        met += keys;
        for _ in 0..2 * keys {
            skipped.clear();
            answers.read_until(b'\n', &mut skipped).expect("a key");
        }
        if cursor == "0" {
            return met;
        }
    }
}
