//! Settings: a file, a `.env` file and the values of variables.
#![no_main]

#[allow(dead_code)]
#[path = "../../tests/it/readers.rs"]
mod readers;

libfuzzer_sys::fuzz_target!(|text: (&str, &str, &str)| {
    let (file, value, dotenv) = text;
    readers::settings(file, value, dotenv);
});
