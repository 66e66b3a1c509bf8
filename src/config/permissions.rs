//! Whether others may read a file that holds a secret.

use std::path::Path;

/// A warning, if group or others may read `path`.
#[cfg(unix)]
pub fn exposed(path: &Path) -> Option<String> {
    use std::os::unix::fs::PermissionsExt;

    let real = path.canonicalize().ok()?;
    let metadata = real.metadata().ok()?;
    let readable = metadata.is_file() && metadata.permissions().mode() & 0o044 != 0;
    (readable && !is_mounted_secret(path) && !is_mounted_secret(&real)).then(|| {
        format!("{0} holds a secret, and others may read it: chmod 600 {0}", path.display())
    })
}

/// A warning, if group or others may read `path`; here nobody can tell.
#[cfg(not(unix))]
pub fn exposed(_path: &Path) -> Option<String> {
    None
}

/// Docker and Kubernetes choose the mode of what they mount; the latter behind `..data`, a link to
/// a folder whose name begins with `..` too.
#[cfg(unix)]
fn is_mounted_secret(path: &Path) -> bool {
    let projected =
        |part: &std::ffi::OsStr| part.len() > 2 && part.as_encoded_bytes().starts_with(b"..");
    path.starts_with("/run/secrets")
        || path.starts_with("/var/run/secrets")
        || path.iter().any(projected)
}
