//! TLS for the stores that speak it through rustls: certificates from files or from the system.

mod trouble;

pub use trouble::{Peer, Plain, explained, find, in_words};

use std::path::{Path, PathBuf};
use std::sync::{Arc, Once, OnceLock};

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::pki_types::{ServerName, UnixTime};
use rustls::{CertificateError, DigitallySignedStruct, SignatureScheme};

use crate::file;
use crate::store_error::{StoreError, StoreErrorKind};

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

/// How much of the server's certificate is verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verify {
    /// The chain and the host name.
    Full,
    /// The chain alone (`sslmode=verify-ca`).
    Chain,
    /// Nothing: the line is encrypted and its other end unknown (`sslmode=require`, `prefer`).
    Nothing,
}

/// Whether any of `hosts`, parted by commas, with or without ports, is not this machine.
pub fn leaves_machine(hosts: &str) -> bool {
    let local = |host: &str| {
        let name = match host.rsplit_once(':') {
            Some((name, port)) if port.bytes().all(|c| c.is_ascii_digit()) => name,
            Some(_) | None => host,
        };
        let name = name.trim_matches(['[', ']']);
        let address = host.trim_matches(['[', ']']).parse().or_else(|_| name.parse());
        // A path is a Unix socket's.
        name.starts_with(['/', '@'])
            || name.eq_ignore_ascii_case("localhost")
            || name.to_ascii_lowercase().ends_with(".localhost")
            || address.is_ok_and(|address: std::net::IpAddr| address.is_loopback())
    };
    hosts.split(',').map(str::trim).filter(|host| !host.is_empty()).any(|host| !local(host))
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
    /// A client configuration that verifies as much as `verify` says.
    pub fn client_config(&self, verify: Verify) -> Result<Arc<rustls::ClientConfig>, StoreError> {
        install_provider();
        let roots = match &self.ca_file {
            Some(path) => {
                let mut roots = rustls::RootCertStore::empty();
                for certificate in certificates(path)? {
                    roots.add(certificate).map_err(|error| unusable(path, &error))?;
                }
                Arc::new(roots)
            }
            None if verify == Verify::Nothing => Arc::new(rustls::RootCertStore::empty()),
            None => system_roots(),
        };
        let builder = rustls::ClientConfig::builder();
        let builder = match verify {
            Verify::Full => builder.with_root_certificates(roots),
            Verify::Chain | Verify::Nothing => builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(Lenient::new(verify, roots)?)),
        };
        let config = match (&self.cert_file, &self.key_file) {
            (Some(cert), Some(key)) => {
                let chain = certificates(cert)?;
                let bytes =
                    file::read(key, file::CERTIFICATES).map_err(|error| unusable(key, &error))?;
                let key_der =
                    PrivateKeyDer::from_pem_slice(&bytes).map_err(|error| unusable(key, &error))?;
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

/// The system's authorities: more than a hundred files, read once, and only by who needs them.
fn system_roots() -> Arc<rustls::RootCertStore> {
    static ROOTS: OnceLock<Arc<rustls::RootCertStore>> = OnceLock::new();
    let read = || {
        let mut roots = rustls::RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        Arc::new(roots)
    };
    ROOTS.get_or_init(read).clone()
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, StoreError> {
    let bytes = file::read(path, file::CERTIFICATES).map_err(|error| unusable(path, &error))?;
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
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

/// Verifies less than rustls would, as libpq's weaker modes do.
#[derive(Debug)]
struct Lenient {
    chain: Option<Arc<WebPkiServerVerifier>>,
    provider: Arc<CryptoProvider>,
}

impl Lenient {
    fn new(verify: Verify, roots: Arc<rustls::RootCertStore>) -> Result<Lenient, StoreError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let chain = match verify {
            Verify::Nothing => None,
            Verify::Full | Verify::Chain => {
                let built = WebPkiServerVerifier::builder_with_provider(roots, provider.clone())
                    .build()
                    .map_err(|error| {
                        StoreError::new(StoreErrorKind::Settings, error.to_string())
                            .hint("give the authority's certificate as ca_file")
                    })?;
                Some(built)
            }
        };
        Ok(Lenient { chain, provider })
    }
}

impl ServerCertVerifier for Lenient {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let Some(chain) = &self.chain else { return Ok(ServerCertVerified::assertion()) };
        let verdict =
            chain.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        match verdict {
            Err(rustls::Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Ok(ServerCertVerified::assertion()),
            other => other,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, cert, dss, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::leaves_machine;

    #[test]
    fn loopback_and_sockets_are_this_machine() {
        for hosts in [
            "localhost:5432",
            "127.0.0.1",
            "127.8.9.1:6379,[::1]:1",
            "::1",
            "/run/postgresql",
            "db.localhost",
            "",
        ] {
            assert!(!leaves_machine(hosts), "{hosts}");
        }
        for hosts in ["db", "10.0.0.1:5432", "localhost:1,db:2", "[fd00::2]:1", "localhost.example"]
        {
            assert!(leaves_machine(hosts), "{hosts}");
        }
    }
}
