//! What an authorizer may know about the client that logs in.

use std::net::{IpAddr, SocketAddr};

#[cfg(feature = "tls")]
use rustls::CommonState;

/// There is none in this build.
#[cfg(not(feature = "tls"))]
type CommonState = std::convert::Infallible;

/// The client that an authorizer decides about: its addresses, and its TLS.
///
/// An IPv4 address is never shown as an IPv6 one.
#[derive(Clone, Copy)]
pub struct Client<'a> {
    remote: SocketAddr,
    local: Local<'a>,
    tls: Option<&'a CommonState>,
}

impl<'a> Client<'a> {
    /// A client without TLS at `remote`, which has connected to `local`: for the unit tests
    /// of an authorizer.
    #[must_use]
    pub fn new(remote: SocketAddr, local: SocketAddr) -> Self {
        Self {
            remote,
            local: Local::Known(local),
            tls: None,
        }
    }

    /// A client whose local address is asked for only if it is needed, because that takes a
    /// system call; with the state of its TLS connection.
    pub(crate) fn of_session(
        remote: SocketAddr,
        local: &'a dyn Fn() -> SocketAddr,
        tls: Option<&'a CommonState>,
    ) -> Self {
        Self {
            remote,
            local: Local::Asked(local),
            tls,
        }
    }

    /// The client's address.
    #[must_use]
    pub fn remote_ip(&self) -> IpAddr {
        self.remote.ip()
    }

    /// The client's port.
    #[must_use]
    pub fn remote_port(&self) -> u16 {
        self.remote.port()
    }

    /// The address and port of the server that the client has connected to.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        match self.local {
            Local::Known(local) => local,
            Local::Asked(ask) => ask(),
        }
    }

    /// Whether the control connection is under TLS.
    #[must_use]
    pub fn is_secure(&self) -> bool {
        self.tls.is_some()
    }

    /// The state of the control connection's TLS: version, cipher suite, and the client's
    /// certificates. `None` in clear text.
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn tls_state(&self) -> Option<&'a CommonState> {
        self.tls
    }
}

/// The address that the client has connected to.
#[derive(Clone, Copy)]
enum Local<'a> {
    Known(SocketAddr),
    Asked(&'a dyn Fn() -> SocketAddr),
}

impl std::fmt::Debug for Client<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client")
            .field("remote", &self.remote)
            .field("local", &self.local_addr())
            .field("is_secure", &self.is_secure())
            .finish()
    }
}
