//! TLS: the settings, the certificates, and the tickets that tie a data connection to
//! its control connection. It knows nothing of sockets (`ioloop`) and of commands
//! (`handlers`).

mod acceptor;
mod certificates;
mod config;
mod error;
mod provider;
mod resolver;
mod session;
#[cfg(test)]
mod tests;
mod tickets;

pub(crate) use self::acceptor::TlsAcceptor;
pub use self::certificates::{CertFiles, fingerprint};
pub use self::config::{ClientAuth, SessionReuse, TlsConfig, TlsVersion};
pub use self::error::TlsError;
pub(crate) use self::session::{
    ControlHandshake, DataHandshake, Direction, FinishedDataHandshake, TlsSession,
};
