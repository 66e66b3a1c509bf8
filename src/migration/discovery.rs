//! Finds the migrations of each store and checks all that can be checked without a store.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read, Seek};
use std::path::PathBuf;

use rustix::fs::{Mode, OFlags, openat};

use super::name::FileName;
use super::{Key, Migration, MigrationId, Source, Undo, Version};
use crate::error::{Error, Result};
use crate::file::{self, regular};
use crate::stores::StoreKind;
use crate::text::copy_data::{HELD, InPart, read_in_part};
use crate::text::encoding::{Trouble, decode, for_iconv};
use crate::text::unseen::{breaks_line, line};
use crate::text::{Checksum, normalized};

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

    /// The checksum of every file, undo files included, by shown name.
    pub fn checksums(&self) -> BTreeMap<&str, &Checksum> {
        let own = self.migrations.iter().map(|one| (&one.source, &one.checksum));
        let undo = self.migrations.iter().filter_map(|one| one.undo.as_deref());
        let undo = undo.map(|undo| (&undo.source, &undo.checksum));
        own.chain(undo).map(|(source, checksum)| (source.file.as_str(), checksum)).collect()
    }

    /// The migration `id`.
    pub fn get(&self, id: &MigrationId) -> Option<&Migration> {
        let at = self.migrations.binary_search_by(|migration| migration.id.cmp(id));
        at.ok().map(|at| &self.migrations[at])
    }
}

/// A file that was read, and the checksum of all of it.
#[derive(Clone)]
struct Text {
    source: Source,
    checksum: Checksum,
    /// Why it is not the text: only of a U file, which `up` does not need.
    mistake: Option<Error>,
}

impl Text {
    fn of(source: Source) -> Text {
        let checksum = Checksum::of(&source.text);
        Text { source, checksum, mistake: None }
    }
}

struct Found {
    store: StoreKind,
    versioned: BTreeMap<Version, Vec<(Text, String)>>,
    undo: BTreeMap<Version, Vec<Text>>,
    repeatable: BTreeMap<String, Vec<Text>>,
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
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(found),
            Err(error) => return Err(unreadable(&folder.shown, &error)),
        };
        let mut names: Vec<String> = Vec::new();
        for entry in entries {
            let entry = entry.map_err(|error| unreadable(&folder.shown, &error))?;
            match entry.file_name().into_string() {
                Ok(name) => names.push(name),
                Err(name) if name.as_encoded_bytes().starts_with(b".") => {}
                Err(name) => found.errors.push(not_listed(
                    &format!("{}/{}", folder.shown, name.to_string_lossy()),
                    "its name is not UTF-8",
                )),
            }
        }
        names.sort_unstable();
        let mut reader = Reader::of(folder).map_err(|error| unreadable(&folder.shown, &error))?;
        for name in
            names.into_iter().filter(|name| !name.starts_with('.') && name != super::sum::FILE)
        {
            let shown = format!("{}/{name}", folder.shown);
            if shown.contains(|c: char| c.is_control() || breaks_line(c)) {
                found.errors.push(not_listed(&shown, "its name has a character that is not seen"));
                continue;
            }
            match FileName::parse(&name, folder.store) {
                Ok(parsed) => match reader.read(&name, &shown, &parsed) {
                    Ok(read) => found.add(parsed, read),
                    Err(error) => found.errors.push(error),
                },
                Err(why) => found.errors.push(not_listed(&shown, &why)),
            }
        }
        Ok(found)
    }

    fn add(&mut self, name: FileName, text: Text) {
        match name {
            FileName::Versioned(version, description) => {
                self.versioned.entry(version).or_default().push((text, description));
            }
            FileName::Undo(version, _) => self.undo.entry(version).or_default().push(text),
            FileName::Repeatable(description) => {
                self.repeatable.entry(description).or_default().push(text);
            }
        }
    }

    fn collect(mut self, files: &mut Files, errors: &mut Vec<Error>) {
        errors.append(&mut self.errors);
        for (version, texts) in self.versioned {
            twice(&version.to_string(), texts.iter().map(|(text, _)| text), errors);
            let undo = self.undo.remove(&version).unwrap_or_default();
            twice(&format!("{version} (undo)"), undo.iter(), errors);
            let key = Key::Version(version);
            for (text, description) in texts.into_iter().take(1) {
                let undo = undo.first().cloned();
                push(self.store, key.clone(), description, text, undo, files, errors);
            }
        }
        for (description, texts) in self.repeatable {
            twice(&format!("R__{description}"), texts.iter(), errors);
            let key = Key::Repeatable(description.clone());
            for text in texts.into_iter().take(1) {
                push(self.store, key.clone(), description.clone(), text, None, files, errors);
            }
        }
        for text in self.undo.into_values().flatten() {
            errors.push(
                Error::usage(format!("{} undoes a version that has no V file", text.source.file))
                    .hint("rename it to the version that it undoes, or delete it"),
            );
        }
    }
}

fn push(
    store: StoreKind,
    key: Key,
    description: String,
    Text { source, checksum, .. }: Text,
    undo: Option<Text>,
    files: &mut Files,
    errors: &mut Vec<Error>,
) {
    let header = match source.header() {
        Ok(header) => header,
        Err(error) => return errors.push(error),
    };
    let undo = undo.map(|Text { source, checksum, mistake }| {
        let mistake = mistake.or_else(|| source.check_undo_header().err());
        Box::new(Undo { source, checksum, mistake })
    });
    let id = MigrationId { store, key };
    files.migrations.push(Migration { id, description, source, checksum, header, undo });
}

fn twice<'a>(version: &str, texts: impl Iterator<Item = &'a Text>, errors: &mut Vec<Error>) {
    let names: Vec<&str> = texts.map(|text| text.source.file.as_str()).collect();
    if names.len() > 1 {
        errors.push(
            Error::usage(format!("version {version} stands twice: {}", names.join(", "))).hint(
                "versions are compared number by number (1 = 001 = 1.0): give one of them another",
            ),
        );
    }
}

/// Reads the files of one folder. Thousands of them are read at each start: each by one name in an open
/// folder, not by a long path, and by as few calls of the system as it takes.
struct Reader<'f> {
    folder: &'f Folder,
    directory: File,
    buffer: Vec<u8>,
}

impl<'f> Reader<'f> {
    fn of(folder: &'f Folder) -> io::Result<Reader<'f>> {
        let directory = file::folder(&folder.path)?;
        Ok(Reader { folder, directory, buffer: vec![0; 64 << 10] })
    }

    /// Reads the file `name`. Of SQL that is applied, large COPY data stays on disk; a U file is held
    /// whole, since the ledger keeps its text, and so is one whose placeholders are to be replaced.
    fn read(&mut self, name: &str, shown: &str, parsed: &FileName) -> Result<Text> {
        let store = self.folder.store;
        let failed = |error: &io::Error| unreadable(shown, error);
        // What is no regular file is not waited for.
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let opened = openat(&self.directory, name, flags, Mode::empty());
        let opened = opened.map_err(|error| failed(&error.into()))?;
        let mut file = regular(opened.into()).map_err(|error| failed(&error))?;
        let size = file.metadata().map_err(|error| failed(&error))?.len();
        let may_be_large = store.is_sql() && !matches!(parsed, FileName::Undo(..));
        if may_be_large && size > HELD as u64 {
            let path = self.folder.path.join(name);
            let read = read_in_part(&file, &path).map_err(|error| failed(&error))?;
            file.rewind().map_err(|error| failed(&error))?;
            if let Some(InPart { text, checksum, large }) = read {
                let source = Source { large, ..Source::new(store, shown, text) };
                let is_whole = source.large.is_empty();
                if !is_whole && source.header()?.placeholders != Some(true) {
                    decoded(source.text.as_bytes(), shown)?;
                    return Ok(Text { source, checksum, mistake: None });
                }
            }
        }
        let bytes = self.whole(file, size).map_err(|error| failed(&error))?;
        match (text_of(&bytes, store, shown), parsed) {
            (Ok(text), _) => Ok(Text::of(Source::new(store, shown, normalized(&text)))),
            (Err(error), FileName::Undo(..)) => Ok(Text {
                source: Source::new(store, shown, ""),
                checksum: Checksum::of_bytes(&bytes),
                mistake: Some(error),
            }),
            (Err(error), FileName::Versioned(..) | FileName::Repeatable(_)) => Err(error),
        }
    }

    /// All of a file of `size` bytes: what fits into the buffer by one call.
    fn whole(&mut self, mut file: File, size: u64) -> io::Result<Cow<'_, [u8]>> {
        let read = match file.read(&mut self.buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => 0,
            read => read?,
        };
        if read as u64 == size && read < self.buffer.len() {
            return Ok(Cow::Borrowed(&self.buffer[..read]));
        }
        let mut bytes = self.buffer[..read].to_vec();
        file.read_to_end(&mut bytes)?;
        Ok(Cow::Owned(bytes))
    }
}

/// The text that `bytes` are.
fn text_of<'b>(bytes: &'b [u8], store: StoreKind, shown: &str) -> Result<Cow<'b, str>> {
    let text = match store.is_sql() {
        true => decoded(bytes, shown)?,
        false => std::str::from_utf8(bytes)
            .map_err(|error| in_no_encoding(Trouble::NotUtf8(error.valid_up_to()), bytes, shown))?
            .into(),
    };
    match text.contains('\0') {
        false => Ok(text),
        true => Err(Error::usage(format!("{shown} holds a NUL byte"))
            .hint("save the file as UTF-8 (UTF-16 has NUL bytes)")),
    }
}

fn decoded<'b>(bytes: &'b [u8], shown: &str) -> Result<Cow<'b, str>> {
    decode(bytes).map_err(|trouble| in_no_encoding(trouble, bytes, shown))
}

fn in_no_encoding(trouble: Trouble, bytes: &[u8], shown: &str) -> Error {
    match trouble {
        Trouble::NotUtf8(valid) => {
            let line = bytes[..valid].iter().filter(|byte| **byte == b'\n').count() + 1;
            Error::usage(format!("{shown} is not UTF-8: byte {} on line {line}", valid + 1))
                .hint("save the file as UTF-8")
        }
        Trouble::Other(name) => Error::usage(format!("{shown} is in {name}, as it says itself"))
            .because("a migration is UTF-8, or LATIN1 where it says so")
            .hint(format!(
                "convert it, and delete what it says of client_encoding: \
                 iconv -f {} -t UTF-8 {shown} > utf8.sql && mv utf8.sql {shown}",
                for_iconv(&name)
            )),
        Trouble::Contradicted(name) => {
            Error::usage(format!("{shown} says that it is in {name}, and is UTF-8"))
                .because("psql would store other characters than an editor shows")
                .hint("delete what it says of client_encoding, or write 'UTF8'")
        }
        Trouble::Several(one, other) => {
            Error::usage(format!("{shown} says that it is in {one}, and further down in {other}"))
                .hint("save the file as UTF-8, and delete what it says of client_encoding")
        }
    }
}

/// A file whose name migrations.sum, which has a line for each, cannot hold, or nobody could read there.
fn not_listed(shown: &str, why: &str) -> Error {
    Error::usage(format!("{} is not a migration: {why}", line(shown)))
        .hint("rename it, or move it out of the migrations folder")
}

fn unreadable(shown: &str, error: &io::Error) -> Error {
    Error::usage(format!("cannot read {}", line(shown))).because(error)
}
