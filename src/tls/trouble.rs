//! What went wrong with TLS, in words; and a look at a server that a driver could not talk to.
//!
//! Drivers tell little: a server that speaks TLS, asked in plain text, just hangs up, and so does
//! one that misses a client certificate. A handshake of our own can tell which it was.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustls::client::ResolvesClientCert;
use rustls::pki_types::ServerName;
use rustls::{AlertDescription, CertificateError, ClientConnection, SignatureScheme, sign};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{TlsFiles, Verify};
use crate::store_error::{StoreError, StoreErrorKind};

/// After this, a driver's silence is worth a look of our own.
const PATIENCE: Duration = Duration::from_millis(700);
/// How long each part of the look may take.
const GLANCE: Duration = Duration::from_secs(1);
/// How soon after its handshake a server says that it misses a certificate.
const AFTERTHOUGHT: Duration = Duration::from_millis(250);

/// A question that a store's server answers in plain text, to anyone.
pub struct Plain {
    /// What is sent.
    pub question: &'static [u8],
    /// Whether this is how its answer begins.
    pub answers: fn(&[u8]) -> bool,
}

/// A server, and how it was spoken to.
pub struct Peer {
    /// Host and port; all addresses of a deployment.
    pub addresses: Vec<(String, u16)>,
    /// The certificates, where TLS was spoken.
    pub tls: Option<TlsFiles>,
    /// How it is asked without TLS.
    pub plain: Plain,
    /// What switches TLS on and off.
    pub setting: &'static str,
}

/// Awaits `attempt` to connect; where it fails or is slow, and the reason is TLS, says which one.
/// Where nobody listens at all, it is not waited for.
pub async fn explained<T>(
    attempt: impl Future<Output = Result<T, StoreError>>,
    peer: &Peer,
) -> Result<T, StoreError> {
    let look = async {
        tokio::time::sleep(PATIENCE).await;
        match peer.trouble().await {
            Some(trouble) => Some(trouble),
            None => peer.absence().await,
        }
    };
    let error = tokio::select! {
        done = attempt => match done {
            Ok(connected) => return Ok(connected),
            Err(error) => error,
        },
        Some(error) = look => return Err(error),
    };
    match error.kind {
        StoreErrorKind::Unreachable => match peer.trouble().await {
            Some(trouble) => Err(trouble),
            None => Err(peer.absence().await.unwrap_or(error)),
        },
        StoreErrorKind::Credentials => Err(peer.trouble().await.unwrap_or(error)),
        StoreErrorKind::Settings | StoreErrorKind::Refused => Err(error),
    }
}

/// The error in words; `address` is the server's, `files` what was used.
pub fn in_words(error: &rustls::Error, address: &str, files: &TlsFiles) -> StoreError {
    match error {
        rustls::Error::InvalidCertificate(why) => untrusted(why, address, files),
        rustls::Error::NoCertificatesPresented => {
            credentials(format!("{address} shows no certificate"))
        }
        rustls::Error::AlertReceived(alert) => alerted(*alert, address, files),
        rustls::Error::InvalidMessage(_) => StoreError::new(
            StoreErrorKind::Settings,
            format!("{address} does not speak TLS"),
        )
        .detail(error.to_string())
        .hint("without TLS, what is sent can be read: switch it on at the server, or off here"),
        // The library's list is open: whatever else it says is between it and the server.
        _ => credentials(format!("no TLS with {address}: {error}")),
    }
}

/// The TLS error inside another. An I/O error's own `source` skips what it wraps, which may be
/// another one: it is looked into.
pub fn find<'e>(error: &'e (dyn std::error::Error + 'static)) -> Option<&'e rustls::Error> {
    let mut next = Some(error);
    while let Some(cause) = next {
        if let Some(tls) = cause.downcast_ref::<rustls::Error>() {
            return Some(tls);
        }
        next = match cause.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref) {
            Some(wrapped) => Some(wrapped),
            None => cause.source(),
        };
    }
    None
}

fn credentials(message: String) -> StoreError {
    StoreError::new(StoreErrorKind::Credentials, message)
}

fn untrusted(why: &CertificateError, address: &str, files: &TlsFiles) -> StoreError {
    let of = format!("the certificate of {address}");
    let error = match why {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            credentials(format!("{of} has expired")).hint("renew the server's certificate")
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            credentials(format!("{of} is not valid yet")).hint("check the clock of this machine")
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            credentials(format!("{of} is for another name"))
                .hint("connect by a name that the certificate has, or have it issued for this one")
        }
        CertificateError::UnknownIssuer => {
            let trusted = match &files.ca_file {
                Some(path) => format!("{} did not sign it", path.display()),
                None => "no authority that this machine trusts signed it".to_string(),
            };
            credentials(format!("{of} is not trusted: {trusted}"))
                .hint("set `ca_file` to the authority that signed the server's certificate")
        }
        // The library's list is open.
        _ => credentials(format!("{of} is not trusted")),
    };
    error.detail(why.to_string())
}

fn alerted(alert: AlertDescription, address: &str, files: &TlsFiles) -> StoreError {
    let said = format!("the server's alert: {alert:?}");
    match (&files.cert_file, alert) {
        (_, AlertDescription::CertificateRequired) | (None, AlertDescription::BadCertificate) => {
            wants_certificate(address).detail(said)
        }
        (Some(_), _) => not_taken(address, files).detail(said),
        (None, _) => credentials(format!("{address} breaks off TLS")).detail(said),
    }
}

fn wants_certificate(address: &str) -> StoreError {
    credentials(format!("{address} asks for a client certificate"))
        .hint("set `cert_file` and `key_file`")
}

fn not_taken(address: &str, files: &TlsFiles) -> StoreError {
    let shown = files.cert_file.as_ref().map(|path| path.display().to_string());
    let shown = shown.unwrap_or_default();
    credentials(format!("{address} does not take our certificate, {shown}"))
        .hint("it has to be signed by an authority that the server trusts, and not be expired")
}

/// A proxy that ends TLS, with nobody behind it, looks the same: a connection failure.
fn perhaps_not_taken(address: &str) -> StoreError {
    StoreError::unreachable(format!("{address} asks for a client certificate and hangs up on ours"))
        .hint("does it trust the authority that signed `cert_file`? its log tells")
}

impl Peer {
    /// Why there is no talking to any of the servers, where it is for TLS.
    async fn trouble(&self) -> Option<StoreError> {
        let looks = self.addresses.iter().map(|(host, port)| self.look(host, *port));
        let found: Option<Vec<StoreError>> =
            futures_util::future::join_all(looks).await.into_iter().collect();
        found?.into_iter().next()
    }

    /// That nobody listens at any of the addresses: some drivers go on asking for seconds.
    async fn absence(&self) -> Option<StoreError> {
        let mut refusals = Vec::new();
        for (host, port) in &self.addresses {
            let asked = tokio::time::timeout(GLANCE, TcpStream::connect((host.as_str(), *port)));
            match asked.await {
                Ok(Err(why)) if why.kind() == std::io::ErrorKind::ConnectionRefused => {
                    refusals.push(format!("{host}:{port}: {why}"));
                }
                Ok(_) | Err(_) => return None,
            }
        }
        (!refusals.is_empty()).then(|| StoreError::unreachable(refusals.join("; ")))
    }

    async fn look(&self, host: &str, port: u16) -> Option<StoreError> {
        let address = format!("{host}:{port}");
        let settings = |message: String| StoreError::new(StoreErrorKind::Settings, message);
        let Some(files) = &self.tls else {
            let seen = handshake(host, port, &TlsFiles::default(), Verify::Nothing).await?;
            return match seen {
                Seen::Open | Seen::Left { .. } | Seen::Broken(rustls::Error::AlertReceived(_)) => {
                    Some(
                        settings(format!("{address} speaks TLS, and was spoken to in plain text"))
                            .hint(format!("switch TLS on in the settings: {}", self.setting)),
                    )
                }
                Seen::Broken(_) | Seen::Silent => None,
            };
        };
        match handshake(host, port, files, Verify::Full).await? {
            Seen::Open | Seen::Left { asked: false } => None,
            Seen::Left { asked: true } if files.cert_file.is_none() => {
                Some(wants_certificate(&address))
            }
            Seen::Left { asked: true } => Some(perhaps_not_taken(&address)),
            Seen::Broken(error) => Some(in_words(&error, &address, files)),
            Seen::Silent => self.is_plain(host, port).await.then(|| {
                settings(format!("{address} does not speak TLS"))
                    .hint(format!("switch TLS on at the server, or off here: {}", self.setting))
            }),
        }
    }

    async fn is_plain(&self, host: &str, port: u16) -> bool {
        let asked = async {
            let mut stream = TcpStream::connect((host, port)).await.ok()?;
            stream.write_all(self.plain.question).await.ok()?;
            let mut answer = [0; 64];
            let length = stream.read(&mut answer).await.ok()?;
            Some((self.plain.answers)(&answer[..length]))
        };
        matches!(tokio::time::timeout(GLANCE, asked).await, Ok(Some(true)))
    }
}

/// How a handshake went.
enum Seen {
    /// It was completed, and the line stays open.
    Open,
    /// It was completed on our side, and the server left at once.
    Left {
        /// Whether it had asked for a certificate.
        asked: bool,
    },
    /// One of the two refused.
    Broken(rustls::Error),
    /// The server said nothing that is TLS, or hung up.
    Silent,
}

/// Notes that the server asked for a certificate.
#[derive(Debug)]
struct Asked {
    inner: Arc<dyn ResolvesClientCert>,
    asked: AtomicBool,
}

impl ResolvesClientCert for Asked {
    fn resolve(
        &self,
        hints: &[&[u8]],
        schemes: &[SignatureScheme],
    ) -> Option<Arc<sign::CertifiedKey>> {
        self.asked.store(true, Ordering::Relaxed);
        self.inner.resolve(hints, schemes)
    }

    // Without one, rustls would not ask at all.
    fn has_certs(&self) -> bool {
        true
    }
}

/// A handshake with the server; `None` where it is not even reached.
async fn handshake(host: &str, port: u16, files: &TlsFiles, verify: Verify) -> Option<Seen> {
    let mut config = (*files.client_config(verify).ok()?).clone();
    let inner = Arc::clone(&config.client_auth_cert_resolver);
    let asked = Arc::new(Asked { inner, asked: AtomicBool::new(false) });
    config.client_auth_cert_resolver = asked.clone();
    let name = ServerName::try_from(host.to_string()).ok()?;
    let mut connection = ClientConnection::new(Arc::new(config), name).ok()?;
    let connecting = tokio::time::timeout(GLANCE, TcpStream::connect((host, port)));
    let mut stream = connecting.await.ok()?.ok()?;
    loop {
        let waited = match connection.is_handshaking() {
            true => GLANCE,
            false => AFTERTHOUGHT,
        };
        let turn = tokio::time::timeout(waited, turn(&mut connection, &mut stream)).await;
        match (turn, connection.is_handshaking()) {
            (Ok(Ok(true)), _) => {}
            (Ok(Err(error)), _) => return Some(Seen::Broken(error)),
            (Ok(Ok(false)) | Err(_), true) => return Some(Seen::Silent),
            (Ok(Ok(false)), false) => {
                return Some(Seen::Left { asked: asked.asked.load(Ordering::Relaxed) });
            }
            (Err(_), false) => return Some(Seen::Open),
        }
    }
}

/// Sends what is to be sent and takes in what comes; `false` at the end of the line.
async fn turn(
    connection: &mut ClientConnection,
    stream: &mut TcpStream,
) -> Result<bool, rustls::Error> {
    while connection.wants_write() {
        let mut out = Vec::new();
        // Writing to memory does not fail; to a server that has left, its last words still count.
        let _ = connection.write_tls(&mut out);
        let _ = stream.write_all(&out).await;
    }
    let mut incoming = [0; 8192];
    let length = stream.read(&mut incoming).await.unwrap_or(0);
    let mut rest = &incoming[..length];
    while !rest.is_empty() {
        if connection.read_tls(&mut rest).is_err() {
            return Ok(false);
        }
        connection.process_new_packets()?;
    }
    Ok(length > 0)
}
