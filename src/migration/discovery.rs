//! Finds the migrations of each store and checks all that can be checked without a store.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::name::FileName;
use super::{Checksum, Key, Migration, MigrationId, Source, StoreKind, Undo, Version, normalized};
use crate::error::{Error, Result};

/// Where the migrations of one store are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Folder {
    /// The store.
    pub store: StoreKind,
    /// Its folder on disk.
    pub path: PathBuf,
    /// The folder as it is shown and as it stands in the sum file.
    pub shown: String,
}

/// All migrations found, by store and in the order in which a store applies them.
#[derive(Clone, Debug, Default)]
pub struct Files {
    /// The migrations: versioned ones by version, then repeatable ones by description.
    pub migrations: Vec<Migration>,
    /// The checksum of every file, undo files included, by shown name.
    pub checksums: BTreeMap<String, Checksum>,
}

impl Files {
    /// Reads `folders`; a folder that is not there holds no migrations.
    ///
    /// Errors (exit 2) come all at once: misnamed files, two files of one version, text that is
    /// not UTF-8, broken headers.
    pub fn read(folders: &[Folder]) -> Result<Files> {
        let mut files = Files::default();
        let mut errors = Vec::new();
        for folder in folders {
            match Found::in_folder(folder) {
                Ok(found) => found.collect(&mut files, &mut errors),
                Err(error) => errors.push(error),
            }
        }
        files.migrations.sort_by(|a, b| a.id.cmp(&b.id));
        match Error::all(errors) {
            Some(error) => Err(error),
            None => Ok(files),
        }
    }

    /// The migrations of `store`, in order.
    pub fn of(&self, store: StoreKind) -> impl Iterator<Item = &Migration> {
        self.migrations.iter().filter(move |migration| migration.id.store == store)
    }

    /// The migration `id`.
    pub fn get(&self, id: &MigrationId) -> Option<&Migration> {
        let at = self.migrations.binary_search_by(|migration| migration.id.cmp(id));
        at.ok().map(|at| &self.migrations[at])
    }
}

struct Found {
    store: StoreKind,
    versioned: BTreeMap<Version, Vec<(Source, String)>>,
    undo: BTreeMap<Version, Vec<Source>>,
    repeatable: BTreeMap<String, Vec<Source>>,
    errors: Vec<Error>,
}

impl Found {
    fn in_folder(folder: &Folder) -> Result<Found> {
        let mut found = Found {
            store: folder.store,
            versioned: BTreeMap::new(),
            undo: BTreeMap::new(),
            repeatable: BTreeMap::new(),
            errors: Vec::new(),
        };
        let entries = match fs::read_dir(&folder.path) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(found),
            Err(error) => return Err(unreadable(&folder.shown, &error)),
        };
        let mut names: Vec<String> = Vec::new();
        for entry in entries {
            let entry = entry.map_err(|error| unreadable(&folder.shown, &error))?;
            names.push(entry.file_name().to_string_lossy().into_owned());
        }
        names.sort();
        for name in
            names.into_iter().filter(|name| !name.starts_with('.') && name != super::sum::FILE)
        {
            let shown = format!("{}/{name}", folder.shown);
            match FileName::parse(&name, folder.store) {
                Ok(parsed) => match read(folder.store, &folder.path.join(&name), &shown) {
                    Ok(source) => found.add(parsed, source),
                    Err(error) => found.errors.push(error),
                },
                Err(why) => found.errors.push(
                    Error::usage(format!("{shown} is not a migration: {why}"))
                        .hint("rename it, or move it out of the migrations folder"),
                ),
            }
        }
        Ok(found)
    }

    fn add(&mut self, name: FileName, source: Source) {
        match name {
            FileName::Versioned(version, description) => {
                self.versioned.entry(version).or_default().push((source, description));
            }
            FileName::Undo(version, _) => self.undo.entry(version).or_default().push(source),
            FileName::Repeatable(description) => {
                self.repeatable.entry(description).or_default().push(source);
            }
        }
    }

    fn collect(mut self, files: &mut Files, errors: &mut Vec<Error>) {
        errors.append(&mut self.errors);
        for (version, sources) in self.versioned {
            twice(&version.to_string(), sources.iter().map(|(source, _)| source), errors);
            let undo = self.undo.remove(&version).unwrap_or_default();
            twice(&format!("{version} (undo)"), undo.iter(), errors);
            let key = Key::Version(version);
            for (source, description) in sources.into_iter().take(1) {
                let undo = undo.first().cloned();
                push(self.store, key.clone(), description, source, undo, files, errors);
            }
        }
        for (description, sources) in self.repeatable {
            twice(&format!("R__{description}"), sources.iter(), errors);
            let key = Key::Repeatable(description.clone());
            for source in sources.into_iter().take(1) {
                push(self.store, key.clone(), description.clone(), source, None, files, errors);
            }
        }
        for source in self.undo.into_values().flatten() {
            errors.push(
                Error::usage(format!("{} undoes a version that has no V file", source.file))
                    .hint("rename it to the version that it undoes, or delete it"),
            );
        }
    }
}

fn push(
    store: StoreKind,
    key: Key,
    description: String,
    source: Source,
    undo: Option<Source>,
    files: &mut Files,
    errors: &mut Vec<Error>,
) {
    let header = match source.header() {
        Ok(header) => header,
        Err(error) => return errors.push(error),
    };
    let undo = match undo.map(|source| Ok::<_, Error>(Undo { header: source.header()?, source })) {
        None => None,
        Some(Ok(undo)) => Some(undo),
        Some(Err(error)) => return errors.push(error),
    };
    let checksum = source.checksum();
    files.checksums.insert(source.file.clone(), checksum.clone());
    if let Some(undo) = &undo {
        files.checksums.insert(undo.source.file.clone(), undo.source.checksum());
    }
    let id = MigrationId { store, key };
    files.migrations.push(Migration { id, description, source, checksum, header, undo });
}

fn twice<'a>(version: &str, sources: impl Iterator<Item = &'a Source>, errors: &mut Vec<Error>) {
    let names: Vec<&str> = sources.map(|source| source.file.as_str()).collect();
    if names.len() > 1 {
        errors.push(
            Error::usage(format!("version {version} stands twice: {}", names.join(", "))).hint(
                "versions are compared number by number (1 = 001 = 1.0): give one of them another",
            ),
        );
    }
}

fn read(store: StoreKind, path: &Path, shown: &str) -> Result<Source> {
    let bytes = fs::read(path).map_err(|error| unreadable(shown, &error))?;
    let text = String::from_utf8(bytes).map_err(|error| {
        let valid = error.utf8_error().valid_up_to();
        let line = error.as_bytes()[..valid].iter().filter(|byte| **byte == b'\n').count() + 1;
        Error::usage(format!("{shown} is not UTF-8: byte {} on line {line}", valid + 1))
            .hint("save the file as UTF-8")
    })?;
    if text.contains('\0') {
        return Err(Error::usage(format!("{shown} holds a NUL byte"))
            .hint("save the file as UTF-8 (UTF-16 has NUL bytes)"));
    }
    Ok(Source { store, file: shown.to_string(), text: normalized(&text) })
}

fn unreadable(shown: &str, error: &std::io::Error) -> Error {
    Error::usage(format!("cannot read {shown}")).because(error)
}
