//! TLS: the settings, the certificates, and the tickets that tie a data connection to
//! its control connection. It knows nothing of sockets and of commands (`handlers`).

#[cfg(not(feature = "tls"))]
mod absent;
#[cfg(feature = "tls")]
mod acceptor;
#[cfg(feature = "tls")]
mod certificates;
#[cfg(feature = "tls")]
mod config;
#[cfg(feature = "tls")]
mod error;
#[cfg(feature = "tls")]
mod handshake;
#[cfg(feature = "tls")]
mod ids;
#[cfg(feature = "tls")]
mod provider;
#[cfg(feature = "tls")]
mod registry;
#[cfg(feature = "tls")]
mod resolver;
#[cfg(feature = "tls")]
mod session;
#[cfg(feature = "tls")]
mod table;
#[cfg(test)]
#[cfg(feature = "tls")]
mod tests;
#[cfg(feature = "tls")]
mod tickets;
#[cfg(feature = "tls")]
mod uses;

#[cfg(not(feature = "tls"))]
pub(crate) use self::absent::{
    ControlHandshake, DataHandshake, Direction, FOREIGN, FinishedDataHandshake, TlsAcceptor,
    TlsConfig, TlsSession,
};
#[cfg(feature = "tls")]
pub(crate) use self::acceptor::TlsAcceptor;
#[cfg(feature = "tls")]
pub use self::certificates::{CertFiles, fingerprint};
#[cfg(feature = "tls")]
pub use self::config::{ClientAuth, SessionReuse, TlsConfig, TlsVersion};
#[cfg(feature = "tls")]
pub use self::error::TlsError;
#[cfg(feature = "tls")]
pub(crate) use self::session::{
    ControlHandshake, DataHandshake, Direction, FOREIGN, FinishedDataHandshake, TlsSession,
};

#[cfg(all(feature = "tls", not(feature = "aws-lc-rs"), not(feature = "ring")))]
compile_error!(
    "the feature `tls` needs a provider of cryptography: turn on the feature `aws-lc-rs` or `ring`"
);
