//! JSON5 files of the document stores: headers, placeholders and every kind of step.
#![no_main]

#[allow(dead_code)]
#[path = "../../tests/it/readers.rs"]
mod readers;

use aiplat_migrate::migration::StoreKind;

libfuzzer_sys::fuzz_target!(|text: &str| {
    for store in StoreKind::ALL.into_iter().filter(|store| *store != StoreKind::Postgres) {
        readers::file(store, text);
    }
});
