//! What a session knows about the TLS of its control connection.

use std::net::SocketAddr;

use super::state::FTPSession;
use crate::authorizers::Client;
use crate::ioloop::tls::{CommonState, Tls};
use crate::tls::TlsSession;

impl FTPSession {
    /// Whether the control connection is under TLS, or its handshake has begun: as
    /// pyftpdlib's `_ssl_requested`.
    #[must_use]
    pub fn is_secure(&self) -> bool {
        self.tls.is_some()
    }

    /// The state of the control connection's TLS: version, cipher suite, and the client's
    /// certificates. `None` in clear text.
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn tls_state(&self) -> Option<&CommonState> {
        self.common_state()
    }

    fn common_state(&self) -> Option<&CommonState> {
        self.chat.stream().tls().map(Tls::state_of)
    }

    /// What an authorizer may know about the client. `local` is
    /// [`local_addr`](Self::local_addr), which is called only if it is needed.
    pub(crate) fn client<'a>(&'a self, local: &'a dyn Fn() -> SocketAddr) -> Client<'a> {
        Client::of_session(self.peer, local, self.common_state())
    }

    /// The TLS session that data connections belong to.
    pub(crate) fn tls_session(&self) -> Option<TlsSession> {
        self.tls.as_ref().map(|tls| tls.session.clone())
    }

    /// Ties the tickets of the session to its user, for other sessions of the same user.
    pub(crate) fn tell_tls_user(&self) {
        if let Some(tls) = &self.tls {
            let user = self.authenticated().then_some(&*self.username);
            tls.session.set_user(user);
        }
    }
}
