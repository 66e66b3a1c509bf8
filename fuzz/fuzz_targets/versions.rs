//! Names of migrations as they are typed: `store@version`; and JSON5 by itself.

#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../tests/it/readers.rs"]
#[expect(dead_code, reason = "each target has its own reader")]
mod readers;

fuzz_target!(|text: &str| readers::words(text));
