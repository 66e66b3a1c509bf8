//! Runs a program and writes what it took: `timed RESULT PROGRAM [ARGUMENT…]`.
//!
//! RESULT becomes a line of JSON: wall time and processor time in seconds, the largest resident set
//! of the program or of a child it waited for in KiB, and its exit code (128 + signal if killed).
//! This is a program of its own because the kernel counts the memory of whoever starts a process to
//! that process: a few hundred KiB here, tens of MiB if a Python interpreter started it.

use std::process::Command;
use std::time::Instant;

unsafe extern "C" {
    fn wait4(pid: i32, status: *mut i32, options: i32, usage: *mut [i64; 18]) -> i32;
}

fn main() {
    let mut arguments = std::env::args_os().skip(1);
    let result = arguments.next().expect("RESULT");
    let program = arguments.next().expect("PROGRAM");
    let began = Instant::now();
    let child = Command::new(program).args(arguments).spawn().expect("the program starts");
    let (mut status, mut usage) = (0, [0; 18]);
    // `struct rusage` is 18 longs: user time (s, us), system time (s, us), ru_maxrss, 13 more.
    let waited = unsafe { wait4(child.id() as i32, &mut status, 0, &mut usage) };
    let wall = began.elapsed().as_secs_f64();
    assert_eq!(waited, child.id() as i32, "wait4");
    let code = if status & 0x7f == 0 { (status >> 8) & 0xff } else { 128 + (status & 0x7f) };
    let cpu = (usage[0] + usage[2]) as f64 + (usage[1] + usage[3]) as f64 / 1e6;
    let rss = usage[4];
    let line = format!("{{\"wall\":{wall:.6},\"cpu\":{cpu:.6},\"rss_kib\":{rss},\"code\":{code}}}\n");
    std::fs::write(result, line).expect("the result is written");
}
