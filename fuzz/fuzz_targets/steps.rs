//! JSON5 files of the other four stores: their steps, labels and inverses.

#![no_main]

use aiplat_migrate::stores::StoreKind;
use libfuzzer_sys::fuzz_target;

#[path = "../../tests/it/readers.rs"]
#[expect(dead_code, reason = "each target has its own reader")]
mod readers;

fuzz_target!(|text: &str| {
    for store in StoreKind::all().filter(|store| !store.is_sql()) {
        readers::file(store, text);
    }
});
