//! A client certificate and its key in the one file that the driver wants.

use std::fs::File;
use std::path::{Path, PathBuf};

use super::settings::settings;
use crate::file;
use crate::store_error::StoreError;
use crate::tls::TlsFiles;

/// Where the driver finds certificate and key, for as long as this lives.
#[derive(Debug)]
pub(super) struct KeyPair {
    path: PathBuf,
    /// The joined file has no name any more, so that no key is left behind: it lives by this.
    _joined: Option<File>,
}

impl KeyPair {
    /// The certificate and key of `files`; `None` where none are given.
    pub fn of(files: &TlsFiles) -> Result<Option<KeyPair>, StoreError> {
        match (&files.cert_file, &files.key_file) {
            (None, None) => Ok(None),
            (Some(cert), None) => Ok(Some(KeyPair { path: cert.clone(), _joined: None })),
            (Some(cert), Some(key)) if cert == key => {
                Ok(Some(KeyPair { path: cert.clone(), _joined: None }))
            }
            (Some(cert), Some(key)) => KeyPair::joined(cert, key).map(Some),
            (None, Some(_)) => Err(settings("MongoDB: `key_file` is given without `cert_file`")),
        }
    }

    /// What to hand to the driver.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn joined(cert: &Path, key: &Path) -> Result<KeyPair, StoreError> {
        if !cfg!(target_os = "linux") {
            return Err(settings("MongoDB: certificate and key have to be in one file here")
                .hint("write both into one PEM file and name it as `cert_file`"));
        }
        let mut text = read(cert)?;
        text.push(b'\n');
        text.extend(read(key)?);
        let file = nameless(&text).map_err(|error| {
            settings(format!("MongoDB: cannot join certificate and key: {error}"))
        })?;
        let path = descriptor(&file);
        if !path.exists() {
            return Err(settings(
                "MongoDB: joining certificate and key needs /proc, which is not mounted",
            )
            .hint("mount it, or write both into one PEM file and name it as `cert_file`"));
        }
        Ok(KeyPair { path, _joined: Some(file) })
    }
}

fn read(path: &Path) -> Result<Vec<u8>, StoreError> {
    file::read(path, file::CERTIFICATES)
        .map_err(|error| settings(format!("cannot read {}: {error}", path.display())))
}

/// A file in memory alone: the key is never on a disk, and a root that cannot be written will do.
#[cfg(target_os = "linux")]
fn nameless(text: &[u8]) -> std::io::Result<File> {
    use std::io::Write;
    let memory = rustix::fs::memfd_create("certificate and key", rustix::fs::MemfdFlags::CLOEXEC)?;
    let mut file = File::from(memory);
    file.write_all(text)?;
    Ok(file)
}

#[cfg(not(target_os = "linux"))]
fn nameless(_text: &[u8]) -> std::io::Result<File> {
    Err(std::io::ErrorKind::Unsupported.into())
}

#[cfg(unix)]
fn descriptor(file: &File) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(file)))
}

#[cfg(not(unix))]
fn descriptor(_file: &File) -> PathBuf {
    PathBuf::new()
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn two_files_are_read_as_one_again_and_again() {
        let folder = tempfile::tempdir().expect("folder");
        let (cert, key) = (folder.path().join("c"), folder.path().join("k"));
        std::fs::write(&cert, "CERT").expect("cert");
        std::fs::write(&key, "KEY").expect("key");
        let files = TlsFiles { ca_file: None, cert_file: Some(cert), key_file: Some(key) };
        let pair = KeyPair::of(&files).expect("joined").expect("pair");
        for _ in 0..2 {
            assert_eq!(std::fs::read_to_string(pair.path()).expect("read"), "CERT\nKEY");
        }
    }
}
