//! TLS of one control session: the handshakes of its control connection and of its data
//! connections, each a value that is finished once.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::acceptor::{Configs, TlsAcceptor};
use super::config::SessionReuse;
use super::handshake::{Current, HandshakeTickets};
use super::ids::Standing;
use super::tickets::{Offered, SessionTickets};
use crate::ioloop::tls::{HandshakeContext, NewTls};

/// TLS of one control session. A clone is the same session.
#[derive(Clone)]
pub(crate) struct TlsSession {
    acceptor: Arc<TlsAcceptor>,
    /// The configurations of all handshakes of this session. Certificates may be replaced
    /// during the session, but some clients want the same certificate on the control
    /// connection and on data connections.
    configs: Arc<Configs>,
    /// `None`: the settings allow no tickets.
    tickets: Option<Arc<SessionTickets>>,
}

/// The transfer that a data connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    /// No transfer has begun yet.
    None,
    /// The client gets a file.
    Download,
    /// The client gets a listing.
    Listing,
    Upload,
}

impl TlsSession {
    /// The session of a client at this address.
    pub(crate) fn new(acceptor: Arc<TlsAcceptor>, address: IpAddr) -> Self {
        let registry = acceptor.registry.as_ref();
        Self {
            configs: acceptor.configs(),
            tickets: registry.and_then(|registry| SessionTickets::new(registry, address)),
            acceptor,
        }
    }

    /// How long a handshake may take.
    pub(crate) fn handshake_timeout(&self) -> Duration {
        self.acceptor.config.handshake_timeout
    }

    /// Whether an upload without the client's `close_notify` is incomplete.
    pub(crate) fn strict_eof(&self) -> bool {
        self.acceptor.config.strict_eof
    }

    /// This user is logged in from now on; `None`: nobody. of the same user at the
    /// same address accept its tickets, but not those of `anonymous`, who could be anybody.
    pub(crate) fn set_user(&self, user: Option<&str>) {
        if let Some(tickets) = &self.tickets {
            tickets.set_user(user);
        }
    }

    /// Begins the handshake of the control connection.
    pub(crate) fn control_handshake(&self) -> (ControlHandshake, NewTls) {
        let tickets = self.tickets.as_ref().map(HandshakeTickets::of_control);
        let new = NewTls {
            config: Arc::clone(&self.configs.control),
            context: context(tickets.as_ref()),
        };
        (ControlHandshake { tickets }, new)
    }

    /// Begins the handshake of a data connection. Only downloads get a new ticket:
    /// some clients that only send never read it, and reset the connection when they
    /// close it.
    pub(crate) fn data_handshake(&self, direction: Direction) -> (DataHandshake, NewTls) {
        let config = match direction {
            Direction::Download | Direction::Listing => &self.configs.download,
            Direction::None | Direction::Upload => &self.configs.upload,
        };
        let reuse = self.acceptor.config.session_reuse;
        let takes_kin = reuse == SessionReuse::Prefer;
        let tickets = self.tickets.as_ref();
        let tickets = tickets.map(|tickets| HandshakeTickets::of_data(tickets, takes_kin));
        let new = NewTls {
            config: Arc::clone(config),
            context: context(tickets.as_ref()),
        };
        (DataHandshake { tickets, reuse }, new)
    }
}

fn context(tickets: Option<&Arc<HandshakeTickets>>) -> Option<Box<dyn HandshakeContext>> {
    let current = Current(Arc::clone(tickets?));
    Some(Box::new(current))
}

/// A handshake of a control connection. If it fails, it is dropped.
pub(crate) struct ControlHandshake {
    tickets: Option<Arc<HandshakeTickets>>,
}

impl ControlHandshake {
    /// The handshake is complete.
    pub(crate) fn finish(self) {
        if let Some(tickets) = self.tickets {
            tickets.keep_named();
        }
    }
}

/// A handshake of a data connection. If it fails, it is dropped.
pub(crate) struct DataHandshake {
    tickets: Option<Arc<HandshakeTickets>>,
    reuse: SessionReuse,
}

impl DataHandshake {
    /// The handshake is complete: verifies that the data connection belongs to the
    /// session. `resumed`: it has resumed a TLS session. `tls13`: it uses TLS 1.3, where
    /// clients may use a ticket only once (RFC 8446 §C.4). `direction`: of the transfer
    /// that has begun by now.
    ///
    /// `false`: ask again in a moment. It has resumed a session where nobody is logged in yet;
    /// clients with parallel sessions offer their newest ticket.
    ///
    /// # Errors
    /// The reason why it does not belong to the session, for the reply.
    pub(crate) fn verify(
        &self,
        resumed: bool,
        tls13: bool,
        direction: Direction,
    ) -> Result<bool, &'static str> {
        let tickets = self.tickets.as_ref();
        let offered = tickets.map(|tickets| tickets.offered());
        let offered = offered.unwrap_or_default();
        let session = tickets.map(|tickets| tickets.session());
        let standing = match (offered, tickets) {
            (Offered::Own | Offered::Kin, _) => Standing::Kin,
            (Offered::Unproven, Some(tickets)) => tickets.standing(),
            _ => Standing::Foreign,
        };
        if let (true, Standing::Kin, Some(session)) = (resumed, standing, session) {
            session.note_resumed();
            return Ok(true);
        }
        let is_anothers = offered == Offered::Another
            || (offered == Offered::Unproven && standing == Standing::Another);
        if !is_anothers && !must_resume(self.reuse, session, offered, tls13, direction) {
            return Ok(true);
        }
        match offered {
            Offered::Unproven if resumed && standing == Standing::Open => Ok(false),
            Offered::None => Err("no ticket"),
            Offered::Unproven if resumed => Err(FOREIGN),
            Offered::Foreign | Offered::Another => Err(FOREIGN),
            Offered::Unproven | Offered::Kin | Offered::Own => Err("a ticket that does not fit"),
        }
    }

    /// The data connection belongs to the session.
    pub(crate) fn finish(self) -> FinishedDataHandshake {
        let Self { tickets, .. } = self;
        FinishedDataHandshake { tickets }
    }
}

/// Why a data connection with a ticket of another client is refused.
pub(crate) const FOREIGN: &str = "a ticket of another session";

/// Whether a data connection that has not resumed is refused.
fn must_resume(
    reuse: SessionReuse,
    session: Option<&SessionTickets>,
    offered: Offered,
    tls13: bool,
    direction: Direction,
) -> bool {
    match (reuse, session) {
        (SessionReuse::Off, _) => false,
        (SessionReuse::Require, _) => true,
        (SessionReuse::Prefer, None) => false,
        (SessionReuse::Prefer, Some(session)) if !session.was_resumed() => false,
        // A client that has used up its tickets cannot offer one.
        (SessionReuse::Prefer, Some(session)) => {
            // No file is sent to a client that may have tickets left.
            let last_only = matches!(direction, Direction::Upload | Direction::Listing);
            let has_none = offered == Offered::None && tls13;
            !(has_none && session.are_used_up(last_only))
        }
    }
}

/// A finished handshake of a data connection.
pub(crate) struct FinishedDataHandshake {
    tickets: Option<Arc<HandshakeTickets>>,
}

impl FinishedDataHandshake {
    /// The data connection has ended in such a way that the client may not have read
    /// the tickets of this handshake: it is not expected to use them.
    pub(crate) fn tickets_may_be_unread(&self) {
        if let Some(tickets) = &self.tickets {
            tickets.may_be_unread();
        }
    }
}

#[cfg(test)]
mod tests;
