//! `new`: writes a migration file to begin with.

use std::collections::BTreeSet;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;

use crate::clock;
use crate::error::{Error, Result};
use crate::file;
use crate::migration::{Version, sum};
use crate::migrator::Migrator;
use crate::report::Report;
use crate::stores::StoreKind;

/// Write a new migration file.
#[derive(Clone, Debug, Args)]
pub struct New {
    /// The store it is for
    pub store: StoreKind,
    /// What it does, in a few words
    #[arg(required = true)]
    pub words: Vec<String>,
    /// Use the time of day as the version instead of the next number
    #[arg(long)]
    pub timestamp: bool,
}

impl Migrator {
    /// Writes the file, for PostgreSQL with its U file, and brings the sum file up to date.
    pub fn new_migration(&self, new: &New) -> Result<Report> {
        let folder = self
            .config
            .folders
            .iter()
            .find(|folder| folder.store == new.store)
            .ok_or_else(|| Error::usage("this store has no folder"))?;
        let description = slug(&new.words)?;
        for path in [&folder.path, &self.config.migrations_dir] {
            std::fs::create_dir_all(path).map_err(|error| cannot(path, &error))?;
        }
        // Two that count at once would give one number twice.
        let _turn = self.turn()?;
        let files = self.files()?;
        let version = match new.timestamp {
            true => unused(files.of(new.store).filter_map(|file| file.id.version()))?,
            false => {
                let versions = files.of(new.store).filter_map(|file| file.id.version());
                let newest = versions.max().cloned().unwrap_or_else(Version::zero);
                format!("{:0>3}", newest.next_major().to_string())
            }
        };
        let extension = new.store.extensions()[0];
        let mut written = Vec::new();
        for (prefix, text) in new.store.description().templates {
            let name = format!("{prefix}{version}__{description}.{extension}");
            written.push(create(&folder.path.join(&name), text)?);
        }
        let path = self.config.migrations_dir.join(sum::FILE);
        let sums = sum::write(&self.files()?.checksums());
        file::replace(&path, &sums).map_err(|error| cannot(&path, &error))?;
        Ok(Report::Done(format!("wrote {}", written.join(" and "))))
    }

    /// Waits until no other process writes files there, and keeps others from it while the value lives.
    pub(super) fn turn(&self) -> Result<File> {
        let path = &self.config.migrations_dir;
        let locked = file::folder(path).and_then(|folder| folder.lock().map(|()| folder));
        locked.map_err(|error| {
            Error::usage(format!("cannot lock the folder {}", path.display())).because(error)
        })
    }
}

/// The time of day as a version; another one's second is waited out.
fn unused<'v>(taken: impl Iterator<Item = &'v Version>) -> Result<String> {
    let taken: BTreeSet<&Version> = taken.collect();
    loop {
        let version = clock::now().format("%Y%m%d%H%M%S").to_string();
        let parsed = version.parse::<Version>();
        let parsed =
            parsed.map_err(|why| Error::usage("the clock gives no version").because(why))?;
        if !taken.contains(&parsed) {
            return Ok(version);
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn slug(words: &[String]) -> Result<String> {
    let text = words.join(" ").to_lowercase();
    let kept: String = text.chars().map(|c| if c.is_alphanumeric() { c } else { ' ' }).collect();
    let slug = kept.split_whitespace().collect::<Vec<_>>().join("_");
    match slug.is_empty() {
        true => Err(Error::usage("say in a few words what the migration does")),
        false => Ok(slug),
    }
}

fn create(path: &Path, text: &str) -> Result<String> {
    let opened = std::fs::OpenOptions::new().write(true).create_new(true).open(path);
    let mut file = opened.map_err(|error| cannot(path, &error))?;
    std::io::Write::write_all(&mut file, text.as_bytes()).map_err(|error| cannot(path, &error))?;
    Ok(PathBuf::from(path).display().to_string())
}

fn cannot(path: &Path, error: &std::io::Error) -> Error {
    Error::usage(format!("cannot write {}", path.display())).because(error)
}
