//! TLS: the settings, the certificates, and the tickets that tie a data connection to
//! its control connection. It knows nothing of sockets and of commands (`handlers`).

mod acceptor;
mod certificates;
mod config;
mod error;
mod handshake;
mod ids;
mod provider;
mod registry;
mod resolver;
mod session;
mod table;
#[cfg(test)]
mod tests;
mod tickets;
mod uses;

pub(crate) use self::acceptor::TlsAcceptor;
pub use self::certificates::{CertFiles, fingerprint};
pub use self::config::{ClientAuth, SessionReuse, TlsConfig, TlsVersion};
pub use self::error::TlsError;
pub(crate) use self::session::{
    ControlHandshake, DataHandshake, Direction, FOREIGN, FinishedDataHandshake, TlsSession,
};
