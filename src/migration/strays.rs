//! What lies in the migrations folder, looks like migrations, and is in no store's folder: nobody would
//! ever read it.

use std::fs;
use std::path::{Path, PathBuf};

use super::Folder;
use crate::error::Error;
use crate::stores::StoreKind;

/// How deep folders are looked into.
const DEPTH: usize = 5;

/// An error (exit 2) for each file of the folder `dir` that is named as a migration and is in none of
/// `folders`, and for each folder in it that is named nearly as a store's. What is named otherwise is none
/// of ours; neither is what cannot be read, such as `lost+found` on a volume.
pub fn find(dir: &Path, root: &Path, folders: &[Folder]) -> Vec<Error> {
    let mut search = Search { root, folders, found: Vec::new() };
    let belongs_to_a_store = folders.iter().any(|folder| folder.path == dir);
    if !belongs_to_a_store {
        // A project that keeps the stores' folders at its top has much else there.
        let depth = if root.starts_with(dir) { 1 } else { DEPTH };
        search.look_into(dir, true, depth);
    }
    search.found
}

struct Search<'a> {
    root: &'a Path,
    folders: &'a [Folder],
    found: Vec<Error>,
}

impl Search<'_> {
    /// Looks into a folder that is no store's; `beside`: the folders of stores are expected in it.
    fn look_into(&mut self, dir: &Path, beside: bool, depth: usize) {
        let mut named = Vec::new();
        for path in entries(dir) {
            let name = name_of(&path);
            if name.starts_with('.') || self.folders.iter().any(|folder| folder.path == path) {
                continue;
            }
            if !path.is_dir() {
                named.extend(is_named_as_one(&name).then_some(path));
                continue;
            }
            let leads_to_one = self.folders.iter().any(|folder| folder.path.starts_with(&path));
            match self.meant(&name).filter(|_| beside && !leads_to_one) {
                Some(meant) => self.found.push(self.misnamed(&path, meant)),
                None if depth > 0 && (beside || !path.is_symlink()) => {
                    self.look_into(&path, leads_to_one, depth - 1);
                }
                None => {}
            }
        }
        if let Some((first, more)) = named.split_first() {
            self.found.push(self.stray(first, more.len()));
        }
    }

    /// The folder that somebody meant who named one `name`.
    fn meant(&self, name: &str) -> Option<&Folder> {
        self.folders.iter().find(|folder| is_nearly(name, folder.store))
    }

    fn misnamed(&self, path: &Path, meant: &Folder) -> Error {
        let (shown, store) = (self.shown(path), meant.store);
        let error = Error::usage(format!("{shown}/ is no store's folder, and nobody reads it"));
        match name_of(path) == store.name() {
            true => error
                .because(format!("`dir` in [{store}] says {}/", meant.shown))
                .hint("move its files there, or leave that `dir` out"),
            false => error.hint(format!("did you mean {}/?", meant.shown)).hint(format!(
                "or say that it is: `dir` in [{store}]; what is no migration belongs elsewhere"
            )),
        }
    }

    fn stray(&self, first: &Path, more: usize) -> Error {
        let (shown, name) = (self.shown(first), name_of(first));
        let message = match more {
            0 => format!("{shown} is in no store's folder, and nobody reads it"),
            more => {
                format!("{shown} and {more} more are in no store's folder, and nobody reads them")
            }
        };
        let extension = name.rsplit_once('.').map(|(_, extension)| extension.to_lowercase());
        let fits = |folder: &&Folder| {
            let known = folder.store.extensions();
            extension.as_deref().is_some_and(|extension| known.contains(&extension))
        };
        let mut places: Vec<&str> =
            self.folders.iter().filter(fits).map(|folder| folder.shown.as_str()).collect();
        if places.is_empty() {
            places = self.folders.iter().map(|folder| folder.shown.as_str()).collect();
        }
        let parent = first.parent().map(name_of).unwrap_or_default();
        let error = match self.folders.iter().find(|folder| parent.contains(folder.store.name())) {
            Some(meant) => Error::usage(message).hint(format!("did you mean {}/?", meant.shown)),
            None => Error::usage(message),
        };
        error.hint(format!(
            "move it into the folder of its store ({}/), or out of the migrations folder",
            places.join("/, ")
        ))
    }

    fn shown(&self, path: &Path) -> String {
        path.strip_prefix(self.root).unwrap_or(path).display().to_string()
    }
}

fn entries(dir: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(dir) else { return Vec::new() };
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    paths
}

fn name_of(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// Whether a file is named as a migration, or nearly so: `V1__x` and `R__x` whatever follows, and
/// `v1_x` where it ends as migrations do.
fn is_named_as_one(name: &str) -> bool {
    let name = name.to_lowercase();
    let digit = |c: char| c.is_ascii_digit();
    let numbered = name.strip_prefix(['v', 'u']).filter(|rest| rest.starts_with(digit));
    match numbered.map(|rest| (rest, rest.split_once("__"))) {
        Some((_, Some((version, _)))) => version.chars().all(|c| digit(c) || c == '.' || c == '_'),
        Some((rest, None)) => {
            let parted = rest.trim_start_matches(|c| digit(c) || c == '.').starts_with('_');
            parted && ends_as_one(&name)
        }
        None => {
            let rest = name.strip_prefix('r').unwrap_or_default();
            rest.trim_start_matches(digit).starts_with("__")
        }
    }
}

fn ends_as_one(name: &str) -> bool {
    let end = name.rsplit_once('.').map(|(_, end)| end);
    StoreKind::all().flat_map(StoreKind::extensions).any(|known| Some(*known) == end)
}

/// Whether a folder's name is a store's, or what it is called elsewhere, or a slip of it, or begins with
/// it and ends soon after: `MongoDB`, `pg`, `postgress`, `redis-7`.
fn is_nearly(name: &str, store: StoreKind) -> bool {
    let plain = |text: &str| -> String {
        text.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
    };
    let name = plain(name);
    let description = store.description();
    let words = [description.name, description.title].into_iter().map(plain);
    let nearly = words.into_iter().any(|word| {
        let slips = if word.len() > 6 { 2 } else { 1 };
        let ends_soon = name.strip_prefix(&word).is_some_and(|rest| rest.len() <= 3);
        ends_soon || strsim::damerau_levenshtein(&name, &word) <= slips
    });
    nearly || description.nicknames.contains(&name.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_migrations_and_of_others() {
        for name in [
            "V1__a.sql",
            "V1.2__a.sql",
            "V1_2__a.json5",
            "U3__a.sql",
            "R__views.sql",
            "v1__a.sql",
            "V2_a.sql",
            "V1__a.SQL",
            "V1__a.txt",
            "V1__a",
            "r__a.json",
            "V20260101120000__a.sql",
        ] {
            assert!(is_named_as_one(name), "{name}");
        }
        for name in [
            "README.md",
            "seeds.sql",
            "migrations.sum",
            "v2.json",
            "v1.sql",
            "users.sql",
            "V.sql",
            "report_2024.json",
            "version_1.txt",
            "u2.png",
            "rows_x.sql",
            "V1_notes.md",
            "docker-compose.yml",
        ] {
            assert!(!is_named_as_one(name), "{name}");
        }
    }

    #[test]
    fn folders_named_nearly_as_stores() {
        let meant = |name: &str| StoreKind::all().find(|store| is_nearly(name, *store));
        for (name, store) in [
            ("mongodb", "mongo"),
            ("MongoDB", "mongo"),
            ("Mongo", "mongo"),
            ("mogno", "mongo"),
            ("postgresql", "postgres"),
            ("pg", "postgres"),
            ("pgsql", "postgres"),
            ("Postgres", "postgres"),
            ("postgress", "postgres"),
            ("postgres-16", "postgres"),
            ("wheaviate", "weaviate"),
            ("kafka_", "kafka"),
            ("Redis7", "redis"),
            ("redsi", "redis"),
        ] {
            assert_eq!(meant(name).map(StoreKind::name), Some(store), "{name}");
        }
        for name in
            ["seeds", "docs", "archive", "scripts", "sql", "topics", "radio", "fixtures", "lib"]
        {
            assert_eq!(meant(name), None, "{name}");
        }
    }
}
