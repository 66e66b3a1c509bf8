//! SQL files: cut into statements, and what undoes them.

#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../tests/it/readers.rs"]
#[expect(dead_code, reason = "each target has its own reader")]
mod readers;

fuzz_target!(|text: &str| readers::file("postgres".parse().expect("a store"), text));
