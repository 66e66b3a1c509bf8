//! Headers: the text becomes the comments that an SQL file begins with, and the first keys of a JSON5 file.

#![no_main]

use aiplat_migrate::migration::StoreKind;
use libfuzzer_sys::fuzz_target;

#[path = "../../tests/it/readers.rs"]
#[expect(dead_code, reason = "each target has its own reader")]
mod readers;

fuzz_target!(|text: &str| {
    let lines: String = text.lines().map(|line| format!("-- {line}\n")).collect();
    readers::file(StoreKind::Postgres, &format!("{lines}select 1;"));
    readers::file(StoreKind::Mongo, &format!("{{ {text}\n steps: [] }}"));
});
