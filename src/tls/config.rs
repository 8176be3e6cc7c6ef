//! The settings of FTPS.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;

use super::certificates::{self, CertFiles, Notes};
use super::error::TlsError;

/// The settings of FTPS (RFC 4217): the class attributes of pyftpdlib's
/// `TLS_FTPHandler`, and more. A server without them replies 500 to AUTH.
#[derive(Clone)]
#[non_exhaustive]
pub struct TlsConfig {
    /// The file with the certificate chain, in PEM; the server's certificate comes first.
    pub certfile: Option<PathBuf>,
    /// The file with the private key, in PEM, without a passphrase. `None`: `certfile`
    /// holds the key, too.
    pub keyfile: Option<PathBuf>,
    /// A certificate chain and its key in memory. It replaces these two files, which must
    /// not be set then.
    pub certified_key: Option<Arc<CertifiedKey>>,
    /// More certificates, chosen by the host that the client names (SNI): a client that
    /// names a host of one of them gets that certificate, all others get the first one
    /// above. The host names are read from the certificates.
    pub certificates: Vec<CertFiles>,
    /// A ready-made configuration, as pyftpdlib's `ssl_context`. It replaces all
    /// certificates, `min_version`, `client_auth` and `client_ca`, which must not be set
    /// then. The server replaces its tickets, session storage, ALPN and early data.
    pub ssl_context: Option<Arc<ServerConfig>>,
    /// Whether USER and PASS require TLS on the control connection; without it the reply
    /// is 550. Default: false.
    pub tls_control_required: bool,
    /// Whether data connections require PROT P. Without it the reply to PASV, EPSV, PORT
    /// and EPRT is 550, and the reply to the transfer is 521. Default: false.
    pub tls_data_required: bool,
    /// Whether TLS begins with the first byte, without AUTH, and data connections use TLS
    /// from the start: FTPS on port 990. Default: false.
    pub implicit: bool,
    /// The oldest version of TLS that is accepted. Default: 1.2.
    pub min_version: TlsVersion,
    /// Whether clients have to show a certificate. Default: off.
    pub client_auth: ClientAuth,
    /// The file with the certificates of the authorities that issue client certificates,
    /// in PEM. It must be set if `client_auth` is not off, and only then.
    pub client_ca: Option<PathBuf>,
    /// Whether data connections must resume a TLS session of their client, so that no other
    /// client can take them over. Default: prefer.
    pub session_reuse: SessionReuse,
    /// Whether an upload is incomplete (426) if its connection ends without the client's
    /// `close_notify`. Default: false, since many clients never send it.
    pub strict_eof: bool,
    /// How long a handshake may take; after that, the connection is closed. Default: 30 s.
    pub handshake_timeout: Duration,
}

/// A version of TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
#[non_exhaustive]
pub enum TlsVersion {
    /// TLS 1.2 (RFC 5246).
    #[default]
    V1_2,
    /// TLS 1.3 (RFC 8446).
    V1_3,
}

/// Whether clients have to show a certificate on the control connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum ClientAuth {
    /// The server asks for none.
    #[default]
    Off,
    /// The server asks for one. A certificate that is shown must be valid.
    Optional,
    /// Without a valid certificate the handshake fails.
    Required,
}

/// Whether data connections have to resume a TLS session of their client.
///
/// That is the session of their control connection. Under `Prefer` it may also be that of
/// another control connection on which the same user is logged in from the same address, or
/// was in the last ten minutes, whichever process it belongs to: programs with parallel
/// sessions keep the tickets of all of them together. The anonymous user could be anybody, so
/// this does not hold for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum SessionReuse {
    /// The server issues no tickets. Every connection has a full handshake.
    Off,
    /// They may. Once a data connection has done so, the later ones of that session must;
    /// otherwise the transfer ends with 522. So does one with a ticket of another user, or of
    /// another address, from the first one on.
    #[default]
    Prefer,
    /// They must, and only that of their own control connection; otherwise the transfer ends
    /// with 522.
    Require,
}

impl TlsConfig {
    /// The files that these settings name: those that are read at the start, and again by
    /// [`FTPServer::reload_tls`](crate::FTPServer::reload_tls).
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        let own = [&self.certfile, &self.keyfile, &self.client_ca];
        let more = self.certificates.iter();
        let more = more.flat_map(|files| [Some(&files.certfile), files.keyfile.as_ref()]);
        let all = own.into_iter().map(Option::as_ref).chain(more);
        all.flatten().map(PathBuf::as_path)
    }

    /// Settings with a certificate chain and its key, both in this file. If the key is in
    /// another file, set `keyfile`.
    pub fn new(certfile: impl Into<PathBuf>) -> Self {
        Self {
            certfile: Some(certfile.into()),
            ..Self::default()
        }
    }

    /// Settings with a certificate chain and its key in memory.
    ///
    /// # Errors
    /// If the chain is empty or damaged, if the key does not match its first certificate, or if
    /// the kind of key is not supported. A certificate that is out of date is no error: the
    /// server logs a warning.
    pub fn with_certificate(
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
    ) -> Result<Self, TlsError> {
        certificates::check_chain(&chain, &mut Notes::default())?;
        let certified = certificates::certified(chain, key)?;
        Ok(Self {
            certified_key: Some(Arc::new(certified)),
            ..Self::default()
        })
    }

    /// Settings with a ready-made configuration.
    #[must_use]
    pub fn with_context(ssl_context: Arc<ServerConfig>) -> Self {
        Self {
            ssl_context: Some(ssl_context),
            ..Self::default()
        }
    }
}

impl Default for TlsConfig {
    fn default() -> Self {
        Self {
            certfile: None,
            keyfile: None,
            certified_key: None,
            certificates: Vec::new(),
            ssl_context: None,
            tls_control_required: false,
            tls_data_required: false,
            implicit: false,
            min_version: TlsVersion::default(),
            client_auth: ClientAuth::default(),
            client_ca: None,
            session_reuse: SessionReuse::default(),
            strict_eof: false,
            handshake_timeout: Duration::from_secs(30),
        }
    }
}

impl fmt::Debug for TlsConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsConfig")
            .field("certfile", &self.certfile)
            .field("keyfile", &self.keyfile)
            .field("session_reuse", &self.session_reuse)
            .finish_non_exhaustive()
    }
}
