//! TLS for the stores that speak it through rustls: certificates from files or from the system.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Once};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::stores::{StoreError, StoreErrorKind};

/// The certificates of a connection; all optional.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsFiles {
    /// The authority that signed the server's certificate (PEM); otherwise the system's.
    pub ca_file: Option<PathBuf>,
    /// Our own certificate (PEM), where the server asks for one.
    pub cert_file: Option<PathBuf>,
    /// Its key (PEM).
    pub key_file: Option<PathBuf>,
}

/// Makes ring the provider of the whole process; drivers that look for one find it.
pub fn install_provider() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // Fails only where an embedding program has installed its own, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
    });
}

impl TlsFiles {
    /// A client configuration that verifies the server's chain and host name.
    pub fn client_config(&self) -> Result<Arc<rustls::ClientConfig>, StoreError> {
        install_provider();
        let mut roots = rustls::RootCertStore::empty();
        match &self.ca_file {
            Some(path) => {
                for certificate in certificates(path)? {
                    roots.add(certificate).map_err(|error| unusable(path, &error))?;
                }
            }
            None => {
                let native = rustls_native_certs::load_native_certs();
                roots.add_parsable_certificates(native.certs);
            }
        }
        let builder = rustls::ClientConfig::builder().with_root_certificates(roots);
        let config = match (&self.cert_file, &self.key_file) {
            (Some(cert), Some(key)) => {
                let chain = certificates(cert)?;
                let key_der =
                    PrivateKeyDer::from_pem_file(key).map_err(|error| unusable(key, &error))?;
                builder
                    .with_client_auth_cert(chain, key_der)
                    .map_err(|error| unusable(cert, &error))?
            }
            (None, None) => builder.with_no_client_auth(),
            (Some(_), None) | (None, Some(_)) => {
                return Err(StoreError::new(
                    StoreErrorKind::Settings,
                    "a client certificate needs both `cert_file` and `key_file`",
                ));
            }
        };
        Ok(Arc::new(config))
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, StoreError> {
    let read: Result<Vec<_>, _> =
        CertificateDer::pem_file_iter(path).map_err(|error| unusable(path, &error))?.collect();
    let found = read.map_err(|error| unusable(path, &error))?;
    if found.is_empty() {
        return Err(unusable(path, &"it holds no certificate"));
    }
    Ok(found)
}

fn unusable(path: &Path, why: &dyn std::fmt::Display) -> StoreError {
    StoreError::new(
        StoreErrorKind::Settings,
        format!("cannot use the certificate file {}: {why}", path.display()),
    )
}
