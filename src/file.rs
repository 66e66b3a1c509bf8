//! Files that a person names: read where they are regular and no larger than makes sense, and written
//! without waiting for anybody.
//!
//! A pipe, a device or a socket under the name of a file would be waited for, or never end. What a name
//! stands for is asked of the file once it is open, so that it cannot be replaced in between.

use std::fs::{File, FileType, OpenOptions};
use std::io::{self, Read, Write};
use std::path::Path;

/// A secret is no longer than this, nor are files that hold settings.
pub const SMALL: u64 = 1 << 20;

/// A bundle of certificates is no larger than this.
pub const CERTIFICATES: u64 = 16 << 20;

/// Opens the regular file at `path`.
pub fn open(path: &Path) -> io::Result<File> {
    regular(at_once(OpenOptions::new().read(true)).open(path)?)
}

/// Opens the folder at `path`.
pub fn folder(path: &Path) -> io::Result<File> {
    File::open(path)
}

/// `file`, if it is a regular one; else why not.
pub fn regular(file: File) -> io::Result<File> {
    match file.metadata()?.file_type() {
        kind if kind.is_file() => Ok(file),
        kind => Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("it is {}, not a regular file", named(kind)),
        )),
    }
}

/// All of the regular file at `path`, which has at most `limit` bytes.
pub fn read(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    // One more than that, since a file may grow while it is read.
    open(path)?.take(limit + 1).read_to_end(&mut bytes)?;
    match bytes.len() as u64 > limit {
        false => Ok(bytes),
        true => Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            format!("it is larger than {} MiB", limit >> 20),
        )),
    }
}

/// The same, as text in UTF-8.
pub fn read_text(path: &Path, limit: u64) -> io::Result<String> {
    String::from_utf8(read(path, limit)?)
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "it is not UTF-8"))
}

/// Writes `text` to `path`: whoever reads it finds the old text or the new one, whole. What is there and
/// is no regular file, as a device, is written to as it is.
pub fn replace(path: &Path, text: &str) -> io::Result<()> {
    let path = &path.canonicalize().unwrap_or_else(|_| path.to_path_buf());
    if path.metadata().is_ok_and(|there| !there.is_file()) {
        return write(OpenOptions::new().write(true), path, text);
    }
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let new = path.with_file_name(format!(".{name}.{}", std::process::id()));
    let written = write(OpenOptions::new().write(true).create(true).truncate(true), &new, text);
    let written = written.and_then(|()| match path.metadata() {
        Ok(there) => std::fs::set_permissions(&new, there.permissions()),
        Err(_) => Ok(()),
    });
    let renamed = written.and_then(|()| std::fs::rename(&new, path));
    if renamed.is_err() {
        // What could not be written is not left lying about; that it is gone is not needed.
        let _ = std::fs::remove_file(&new);
    }
    match renamed {
        // Mounted by itself, or in a folder that may not be written to.
        Err(error) if path.exists() && !is_full(&error) => {
            write(OpenOptions::new().write(true).truncate(true), path, text)
        }
        renamed => renamed,
    }
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// Writes `text` to what `options` open at `path`, which is not waited for.
pub fn write(options: &mut OpenOptions, path: &Path, text: &str) -> io::Result<()> {
    at_once(options).open(path)?.write_all(text.as_bytes())
}

/// A pipe without a reader or a writer is an error, or empty, at once.
fn at_once(options: &mut OpenOptions) -> &mut OpenOptions {
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.custom_flags(rustix::fs::OFlags::NONBLOCK.bits().cast_signed());
    }
    options
}

#[cfg(unix)]
fn named(kind: FileType) -> &'static str {
    use std::os::unix::fs::FileTypeExt;
    match kind {
        kind if kind.is_dir() => "a directory",
        kind if kind.is_fifo() => "a named pipe",
        kind if kind.is_socket() => "a socket",
        _ => "a device",
    }
}

#[cfg(not(unix))]
fn named(kind: FileType) -> &'static str {
    if kind.is_dir() { "a directory" } else { "a device" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_large_or_no_file_is_refused() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("f");
        std::fs::write(&path, "12345").expect("written");
        assert_eq!(read(&path, 5).expect("read"), b"12345");
        assert!(read(&path, 4).is_err());
        assert!(read(folder.path(), 5).expect_err("a folder").to_string().contains("a directory"));
        let device = read(Path::new("/dev/zero"), 5).expect_err("a device");
        assert_eq!(device.to_string(), "it is a device, not a regular file");
    }

    #[test]
    fn a_replaced_file_keeps_its_link_and_a_device_stays_one() {
        let folder = tempfile::tempdir().expect("folder");
        let (path, link) = (folder.path().join("f"), folder.path().join("l"));
        std::fs::write(&path, "old").expect("written");
        std::os::unix::fs::symlink(&path, &link).expect("link");
        replace(&link, "new").expect("replaced");
        assert_eq!(std::fs::read_to_string(&path).expect("read"), "new");
        assert!(link.is_symlink());
        assert!(replace(Path::new("/dev/full"), "new").is_err());
        assert!(!Path::new("/dev/full").metadata().expect("there").is_file());
        replace(Path::new("/dev/null"), "new").expect("written");
        assert!(!Path::new("/dev/null").metadata().expect("there").is_file());
    }
}
