//! Directives: the text becomes the comments that an SQL file begins with, those between its statements and
//! inside of them, and the first keys of a JSON5 file.

#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../tests/it/readers.rs"]
#[expect(dead_code, reason = "each target has its own reader")]
mod readers;

fuzz_target!(|text: &str| {
    let lines: String = text.lines().map(|line| format!("-- {line}\n")).collect();
    let (sql, mongo) = ("postgres".parse().expect("a store"), "mongo".parse().expect("a store"));
    readers::file(sql, &format!("{lines}select 1;"));
    let below = format!("select 1;\n{lines}select 2,\n{lines}3; {lines}/*{text}*/");
    readers::file(sql, &below);
    readers::file(mongo, &format!("{{ {text}\n steps: [] }}"));
});
