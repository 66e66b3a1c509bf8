//! Where the migrations are.

use std::path::{Component, Path, PathBuf};

use super::sources::Sources;
use crate::error::{Error, Result};
use crate::migration::Folder;
use crate::section::Content;
use crate::stores::StoreKind;

/// The folder of `migrations.sum`.
pub fn of_sum_file(sources: &Sources) -> PathBuf {
    without_dots(&sources.root.join(of_migrations(sources)))
}

fn of_migrations(sources: &Sources) -> PathBuf {
    written(sources, "migrations").unwrap_or_else(|| PathBuf::from("migrations"))
}

/// The folder of each store, configured or not; no two stores share one.
pub fn of_stores(sources: &Sources) -> Result<Vec<Folder>> {
    let mut folders: Vec<Folder> = Vec::new();
    for store in StoreKind::all() {
        let folder = folder(sources, store);
        if let Some(other) = folders.iter().find(|other| other.shown == folder.shown) {
            let message =
                format!("{} and {store} have the same folder: {}", other.store, folder.shown);
            return Err(Error::usage(message).hint(format!("set another `dir` in [{store}]")));
        }
        folders.push(folder);
    }
    Ok(folders)
}

fn folder(sources: &Sources, store: StoreKind) -> Folder {
    let dir =
        written(sources, store.name()).unwrap_or_else(|| of_migrations(sources).join(store.name()));
    let path = without_dots(&sources.root.join(&dir));
    let shown = match path.strip_prefix(without_dots(&sources.root)) {
        Ok(within) => shown(within),
        Err(_) => shown(&dir),
    };
    Folder { store, path, shown }
}

fn written(sources: &Sources, section: &str) -> Option<PathBuf> {
    match &sources.value(section, "dir")?.content {
        Content::Text(text) => Some(PathBuf::from(text.expose())),
        Content::File(path) => Some(path.clone()),
    }
}

/// The name in messages and in the sum file, the same on every machine.
fn shown(path: &Path) -> String {
    let shown = path.display().to_string().replace(std::path::MAIN_SEPARATOR, "/");
    if shown.is_empty() { ".".to_string() } else { shown }
}

/// Leaves out `.`, and `..` with what it takes back.
fn without_dots(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => {
                plain.pop();
            }
            Component::Prefix(_) | Component::RootDir | Component::Normal(_) => plain.push(part),
        }
    }
    plain
}
