//! The settings of FTPS.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;

use super::certificates::{self, CertFiles};
use super::error::TlsError;

/// How a server does FTPS (RFC 4217): the class attributes of pyftpdlib's
/// `TLS_FTPHandler`, and more. A server without one answers AUTH with 500.
#[derive(Clone)]
#[non_exhaustive]
pub struct TlsConfig {
    /// The file with the certificate chain, in PEM.
    pub certfile: Option<PathBuf>,
    /// The file with its key, in PEM; `None`: `certfile` holds that too.
    pub keyfile: Option<PathBuf>,
    /// A certificate chain with its key in memory, in place of these two files.
    pub certified_key: Option<Arc<CertifiedKey>>,
    /// More certificates, for clients that name a host (SNI) of theirs: the host
    /// names are read from them. Clients that name none of them get the first.
    pub certificates: Vec<CertFiles>,
    /// A ready-made configuration in place of all certificates, `min_version`,
    /// `client_auth` and `client_ca`, which must not be set then: as pyftpdlib's
    /// `ssl_context`. Its tickets, session storage, ALPN and early data are replaced
    /// by those of the server.
    pub ssl_context: Option<Arc<ServerConfig>>,
    /// Whether USER and PASS want TLS on the control connection: 550 otherwise. No.
    pub tls_control_required: bool,
    /// Whether transfers want PROT P: 550 for PASV and its like, 521 for the
    /// transfer itself. No.
    pub tls_data_required: bool,
    /// Whether TLS begins with the first byte, without AUTH, and data connections
    /// are private from the start: FTPS on port 990. No.
    pub implicit: bool,
    /// The oldest version of TLS that is accepted. 1.2.
    pub min_version: TlsVersion,
    /// Whether clients have to show a certificate. Off.
    pub client_auth: ClientAuth,
    /// The file with the certificates of the authorities that those of clients
    /// must come from, in PEM; only with `client_auth`.
    pub client_ca: Option<PathBuf>,
    /// Whether data connections must resume the TLS session of their control
    /// connection, so that nobody else can take them. Prefer.
    pub session_reuse: SessionReuse,
    /// Whether an upload whose connection ends without the client's `close_notify`
    /// is incomplete: 426. No, since many clients never send it.
    pub strict_eof: bool,
    /// How long a handshake may take: the connection is closed then. 30 s.
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
    /// They are not asked.
    #[default]
    Off,
    /// They are asked; one that is shown must be valid.
    Optional,
    /// Without one the handshake fails.
    Required,
}

/// Whether data connections have to resume the TLS session of their control
/// connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum SessionReuse {
    /// No tickets are given; every connection has a handshake of its own.
    Off,
    /// They may; once one of a session has done so, the others must: 522.
    #[default]
    Prefer,
    /// They must: 522.
    Require,
}

impl TlsConfig {
    /// With a certificate chain, in a file that may hold the key too.
    pub fn new(certfile: impl Into<PathBuf>) -> Self {
        Self {
            certfile: Some(certfile.into()),
            ..Self::default()
        }
    }

    /// With a certificate chain and its key in memory.
    ///
    /// # Errors
    /// The chain is empty, damaged or out of date, the key is not that of its first
    /// certificate, or of a kind that is not supported.
    pub fn with_certificate(
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
    ) -> Result<Self, TlsError> {
        certificates::check_chain(&chain)?;
        let certified = certificates::certified(chain, key)?;
        Ok(Self {
            certified_key: Some(Arc::new(certified)),
            ..Self::default()
        })
    }

    /// With a ready-made configuration.
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
