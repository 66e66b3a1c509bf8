//! Who may know whom: the graph of the modules, read from the sources.

use std::collections::{BTreeMap, BTreeSet};

use aiplat_migrate::stores::StoreKind;

use crate::tidy::{code, sources};

/// The top-level modules, lowest first: each may know only itself and those before it.
const ROOMS: [&str; 25] = [
    "allocator",
    "error",
    "clock",
    "crash",
    "failpoint",
    "file",
    "secret",
    "signals",
    "text",
    "shape",
    "store_error",
    "tls",
    "section",
    "postgres",
    "stores",
    "migration",
    "ledger",
    "plan",
    "execute",
    "config",
    "report",
    "migrator",
    "commands",
    "cli",
    "crate",
];

/// Every module and the modules that it names, by their paths: `stores::kafka::heal`.
type Graph = BTreeMap<String, BTreeSet<String>>;

/// The path of the module in a file; the crate's own is `crate`.
fn module(file: &str) -> String {
    let path = file.trim_start_matches("src/").trim_end_matches(".rs").trim_end_matches("/mod");
    if path == "lib" { "crate".to_string() } else { path.replace('/', "::") }
}

fn graph() -> Graph {
    let files: Vec<(String, String)> = sources("src")
        .into_iter()
        .filter(|(file, _)| file != "src/main.rs" && !file.ends_with("/tests.rs"))
        .map(|(file, text)| (module(&file), code(&text)))
        .collect();
    let modules: BTreeSet<&str> = files.iter().map(|(module, _)| module.as_str()).collect();
    let named = |module: &str, text: &str| -> BTreeSet<String> {
        let found = paths(text).into_iter().filter_map(|path| absolute(module, &path));
        let found = found.filter_map(|path| innermost(&modules, &path));
        found.filter(|other| other != module).collect()
    };
    files.iter().map(|(module, text)| (module.clone(), named(module, text))).collect()
}

/// The paths that a source names: those of its `use` declarations, and those that begin at the crate
/// or above the module.
fn paths(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut rest = String::new();
    for (at, piece) in text.split("use ").enumerate() {
        // What is before the first, and a word that only ends in "use", are no declarations.
        let declared =
            at > 0 && rest.chars().next_back().is_none_or(|last| !last.is_alphanumeric());
        match piece.split_once(';').filter(|_| declared) {
            Some((tree, after)) => {
                expand("", tree, &mut found);
                rest.push_str(after);
            }
            None => rest.push_str(piece),
        }
    }
    for start in ["crate::", "super::", "self::"] {
        for (at, _) in rest.match_indices(start) {
            let is_path = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
            found.push(rest[at..].chars().take_while(|c| is_path(*c)).collect());
        }
    }
    found
}

/// Adds every path of a tree such as `a::{b, c::{D, E}}`.
fn expand(prefix: &str, tree: &str, found: &mut Vec<String>) {
    let (mut depth, mut begin) = (0, 0);
    let mut parts = Vec::new();
    for (at, c) in tree.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(&tree[begin..at]);
                begin = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&tree[begin..]);
    for part in parts.into_iter().map(str::trim).filter(|part| !part.is_empty()) {
        match part.split_once('{') {
            Some((head, inner)) => {
                let inner = inner.trim_end().trim_end_matches('}');
                expand(&format!("{prefix}{head}"), inner, found);
            }
            None => {
                let name = part.split(" as ").next().unwrap_or_default();
                found.push(format!("{prefix}{name}"));
            }
        }
    }
}

/// A path from the crate's root, without `crate`; `None` for one that leads out of the crate.
fn absolute(module: &str, path: &str) -> Option<Vec<String>> {
    let own = module.split("::").filter(|name| *name != "crate").map(str::to_string);
    let mut base: Vec<String> = own.collect();
    let mut words: Vec<&str> = path.split("::").map(str::trim).filter(|w| !w.is_empty()).collect();
    match *words.first()? {
        "crate" => {
            words.remove(0);
            base.clear();
        }
        "self" => drop(words.remove(0)),
        "super" => {
            while words.first() == Some(&"super") {
                words.remove(0);
                base.pop();
            }
        }
        _ => {}
    }
    base.extend(words.into_iter().map(str::to_string));
    Some(base)
}

fn innermost(modules: &BTreeSet<&str>, path: &[String]) -> Option<String> {
    let starts = (1..=path.len()).rev().map(|length| path[..length].join("::"));
    starts.into_iter().find(|start| modules.contains(start.as_str()))
}

/// All that can be reached from `start`.
fn reach<'g>(graph: &'g Graph, start: &'g str) -> BTreeSet<&'g str> {
    let mut seen = BTreeSet::new();
    let mut open = vec![start];
    while let Some(module) = open.pop() {
        for next in &graph[module] {
            if seen.insert(next.as_str()) {
                open.push(next);
            }
        }
    }
    seen
}

fn folder(module: &str) -> String {
    let is_folder = crate::tidy::root().join("src").join(module.replace("::", "/")).is_dir();
    match module.rsplit_once("::") {
        _ if is_folder => module.to_string(),
        Some((folder, _)) => folder.to_string(),
        None => "crate".to_string(),
    }
}

#[test]
fn no_circle_is_wider_than_a_folder() {
    let graph = graph();
    let reached: BTreeMap<&str, BTreeSet<&str>> =
        graph.keys().map(|module| (module.as_str(), reach(&graph, module))).collect();
    assert!(reached["commands::up"].contains("stores::kafka::ffi"), "the graph is not read");
    for (module, others) in &reached {
        let circle = others.iter().filter(|other| reached[**other].contains(module));
        for other in circle.filter(|other| *other != module) {
            let same = folder(module) == folder(other);
            assert!(same, "{module} and {other} know each other");
        }
    }
}

#[test]
fn who_may_know_whom() {
    let room = |module: &str| module.split("::").next().unwrap_or_default().to_string();
    let place = |name: &str| ROOMS.iter().position(|room| *room == name);
    for (module, others) in graph() {
        let own = place(&room(&module)).unwrap_or_else(|| panic!("{module} is in no room"));
        for other in others {
            let may = place(&room(&other)).is_some_and(|other| other <= own);
            assert!(may, "{module} knows {other}, which is above it");
        }
    }
}

#[test]
fn stores_know_their_contract_and_not_each_other() {
    let common = ["contract", "description", "remedy", "pace"];
    let graph = graph();
    let of_store = |module: &str| -> Option<String> {
        let (store, _) = module
            .strip_prefix("stores::")?
            .split_once("::")
            .unwrap_or((module.strip_prefix("stores::")?, ""));
        crate::tidy::root().join("src/stores").join(store).is_dir().then(|| store.to_string())
    };
    let mut stores = BTreeSet::new();
    for (module, others) in &graph {
        let Some(store) = of_store(module) else { continue };
        for other in others.iter().filter(|other| other.starts_with("stores")) {
            let own = of_store(other).as_ref() == Some(&store);
            let shared = common.iter().any(|name| *other == format!("stores::{name}"));
            assert!(own || shared, "{module} knows {other}");
        }
        stores.insert(store);
    }
    let listed: BTreeSet<String> = StoreKind::all().map(|store| store.name().to_string()).collect();
    assert_eq!(stores, listed, "a folder below src/stores that is not in the table");
}

/// Whoever names a store outside its folder and the table must be edited for the next one. The ledger
/// is a PostgreSQL whatever the stores are: its folder and its wire may say so.
#[test]
fn few_name_a_store() {
    let stores: Vec<StoreKind> = StoreKind::all().collect();
    let names: Vec<String> = stores
        .iter()
        .flat_map(|store| [format!("\"{}\"", store.name()), store.title().to_string()])
        .collect();
    let mut found: Vec<(String, usize)> = Vec::new();
    for (file, text) in sources("src") {
        let at_home =
            stores.iter().any(|store| file.starts_with(&format!("src/stores/{}/", store.name())));
        if at_home || file == "src/stores/table.rs" || file.ends_with("/tests.rs") {
            continue;
        }
        let text = code(&text);
        let count: usize = names.iter().map(|name| text.matches(name.as_str()).count()).sum();
        found.extend((count > 0).then_some((file, count)));
    }
    let of_ledger =
        |file: &str| file.starts_with("src/ledger/") || file.starts_with("src/postgres/");
    assert!(found.iter().all(|(file, _)| of_ledger(file)), "{found:?}");
    let all: usize = found.iter().map(|(_, count)| count).sum();
    assert!((1..=10).contains(&all), "{found:?}");
}
