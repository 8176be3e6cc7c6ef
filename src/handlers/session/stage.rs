//! The stages of a data connection, of TLS, and of the end of a session.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Instant;

use super::login::Owner;
use crate::filesystems::OpenMode;
use crate::handlers::data::{Bounds, DataConnection, EndingDTP, PendingTransfer};
use crate::ioloop::{Listener, Stream, StreamListener};
use crate::limits::Slot;
use crate::server_state::own_ports::Listening;
use crate::tls::{ControlHandshake, TlsSession};

/// Whether the session ends when its transfer does. A session that does reads no further
/// command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Leaving {
    No,
    /// After QUIT, which was replied to.
    Quit,
    /// After QUIT, while a transfer is pending whose data connection may be on its way. It may come
    /// within a bound that begins here; then the end of the transfer is waited for.
    Promised {
        since: Instant,
    },
    /// Because the server ends.
    Drained,
    /// The client has gone while an upload was in progress or promised. What it has sent is
    /// written first, within a bound that begins here.
    Gone {
        since: Instant,
    },
}

/// TLS on the control connection.
pub(crate) struct ControlTls {
    /// Ties the data connections to the control connection.
    pub(crate) session: TlsSession,
    /// The handshake and its deadline, until the handshake is finished.
    pub(crate) handshake: Option<(ControlHandshake, Instant)>,
}

/// An upload that waits until another session, which was asked to, has ended its upload to the
/// same file.
pub(crate) struct UploadWait {
    pub(crate) path: PathBuf,
    pub(crate) mode: OpenMode,
    /// The position that REST has given.
    pub(crate) rest: u64,
    pub(crate) bounds: Bounds,
    /// When to try again.
    pub(crate) next: Instant,
    /// When to give up.
    pub(crate) until: Instant,
}

/// A transfer that waits for its data connection.
pub(crate) struct Pending {
    pub(crate) transfer: PendingTransfer,
    /// The user of the transfer, if that user has logged out meanwhile.
    pub(crate) owner: Option<Box<Owner>>,
}

/// The stages of a data connection.
#[derive(Default)]
pub(crate) enum DataState {
    #[default]
    None,
    Listening(Box<PassiveDTP>),
    Connecting(Box<ActiveDTP>),
    Open(Box<DataConnection>),
    /// The transfer is over, and its final reply waits.
    Ending(Box<EndingDTP>),
}

impl DataState {
    /// The slot of an open data connection.
    pub(crate) fn slot(&mut self) -> Option<&mut Slot> {
        match self {
            Self::Open(open) => Some(&mut open.channel.slot),
            Self::Ending(ending) => Some(&mut ending.slot),
            _ => None,
        }
    }
}

/// A listener that waits for the client's data connection.
pub(crate) struct PassiveDTP {
    pub(crate) listener: Listener<StreamListener>,
    pub(crate) registered: bool,
    /// Whether a connection may wait to be accepted.
    pub(crate) ready: bool,
    /// Whether a transfer was promised, with 150, for the connection that will come here.
    pub(crate) claimed: bool,
    pub(crate) deadline: Option<Instant>,
    /// Keeps data connections of the server away from the port.
    pub(crate) _listening: Option<Listening>,
    pub(crate) _slot: Slot,
}

/// A connection to the client that is not established yet.
pub(crate) struct ActiveDTP {
    pub(crate) stream: Stream,
    pub(crate) deadline: Option<Instant>,
    /// The command that began it: PORT or EPRT.
    pub(crate) cmd: &'static str,
    pub(crate) target: SocketAddr,
    pub(crate) slot: Slot,
}
