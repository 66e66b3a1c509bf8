//! Headers: the text becomes the comments that an SQL file begins with, and the first keys of a JSON5 file.

#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../tests/it/readers.rs"]
#[expect(dead_code, reason = "each target has its own reader")]
mod readers;

fuzz_target!(|text: &str| {
    let lines: String = text.lines().map(|line| format!("-- {line}\n")).collect();
    readers::file("postgres".parse().expect("a store"), &format!("{lines}select 1;"));
    readers::file("mongo".parse().expect("a store"), &format!("{{ {text}\n steps: [] }}"));
});
