//! Settings: the file, the `.env` file and the variables; a NUL stands between them.

#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../tests/it/readers.rs"]
#[expect(dead_code, reason = "each target has its own reader")]
mod readers;

fuzz_target!(|text: &str| {
    let mut parts = text.splitn(3, '\0');
    let mut part = || parts.next().unwrap_or_default();
    readers::settings(part(), part(), part());
});
