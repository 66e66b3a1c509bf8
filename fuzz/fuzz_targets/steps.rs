//! JSON5 files of the other four stores: their steps, labels and inverses.

#![no_main]

use aiplat_migrate::migration::StoreKind;
use libfuzzer_sys::fuzz_target;

#[path = "../../tests/it/readers.rs"]
#[expect(dead_code, reason = "each target has its own reader")]
mod readers;

fuzz_target!(|text: &str| {
    for store in StoreKind::ALL.into_iter().filter(|store| *store != StoreKind::Postgres) {
        readers::file(store, text);
    }
});
