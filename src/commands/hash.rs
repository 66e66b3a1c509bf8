//! `hash`: writes the sum file.

use clap::Args;

use crate::error::{Error, Result};
use crate::file;
use crate::migration::sum;
use crate::migrator::Migrator;
use crate::report::Report;

/// Write migrations.sum.
#[derive(Clone, Debug, Default, Args)]
pub struct Hash {}

impl Migrator {
    /// Writes the checksum of every file, and of the whole.
    pub fn hash(&self) -> Result<Report> {
        let _turn = self.turn()?;
        let files = self.files()?;
        let checksums = files.checksums();
        let path = self.config.migrations_dir.join(sum::FILE);
        file::replace(&path, &sum::write(&checksums)).map_err(|error| {
            Error::usage(format!("cannot write {}", path.display())).because(error)
        })?;
        let count = checksums.len();
        Ok(Report::Done(format!("wrote {}: {count} files", path.display())))
    }
}
