//! What the connections of a test are made with.

use std::sync::Arc;

use rustls::ClientConfig;
use rustls::version::{TLS12, TLS13};

use crate::tls::client_config;

/// What the connections of a test are made with, unless the test itself secures them.
///
/// In a TLS mode a server offers FTPS, and each [`Client`](crate::Client) secures itself as
/// soon as it has read the greeting. So one test runs in clear and over both versions of TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// In clear, or as the test itself does it.
    Clear,
    /// Over TLS 1.2.
    Tls12,
    /// Over TLS 1.3.
    Tls13,
}

impl Mode {
    /// Whether connections are under TLS.
    pub const fn is_secure(self) -> bool {
        !matches!(self, Self::Clear)
    }

    /// The configuration of a client, if it uses TLS.
    pub(crate) fn client_config(self) -> Option<Arc<ClientConfig>> {
        match self {
            Self::Clear => None,
            Self::Tls12 => Some(Arc::new(client_config(&[&TLS12]))),
            Self::Tls13 => Some(Arc::new(client_config(&[&TLS13]))),
        }
    }
}
