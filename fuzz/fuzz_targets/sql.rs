//! SQL files: headers, transaction control, and where statements end.
#![no_main]

#[allow(dead_code)]
#[path = "../../tests/it/readers.rs"]
mod readers;

libfuzzer_sys::fuzz_target!(|text: &str| {
    readers::file(aiplat_migrate::migration::StoreKind::Postgres, text);
});
