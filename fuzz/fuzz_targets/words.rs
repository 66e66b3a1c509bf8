//! JSON5 by itself, and the names of migrations with their versions.
#![no_main]

#[allow(dead_code)]
#[path = "../../tests/it/readers.rs"]
mod readers;

libfuzzer_sys::fuzz_target!(|text: &str| readers::words(text));
