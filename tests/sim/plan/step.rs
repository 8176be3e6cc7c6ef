//! What a client does: pure data. A client draws nothing at run time.

use std::net::SocketAddr;
use std::time::Duration;

/// A client: one control connection, and the data connections that its steps make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Client {
    /// Where the control connection comes from. Data connections come from the same IP address.
    pub from: SocketAddr,
    /// When the client connects, since the start of the world.
    pub arrives: Duration,
    pub temper: Temper,
    pub pace: Pace,
    /// After the last step the client waits for the replies that are due, then closes (FIN) if
    /// the server has not.
    pub steps: Vec<Step>,
}

/// The temperament of a client, from which its steps were drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Temper {
    /// One command at a time.
    Orderly,
    /// Several commands at once.
    Pipelining,
    /// Reads and writes little at a time, with pauses.
    Slow,
    /// Leaves in the middle, opens data connections and does not use them.
    Rude,
    /// Its control or data connection ends at a drawn byte.
    Cut,
    /// Sends what no client should send.
    Hostile,
}

/// How fast a client reads from, and writes to, all its connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// Bytes of a read or a write.
    pub chunk: usize,
    /// The time between two reads or writes of one connection.
    pub gap: Duration,
    /// What the receive buffer of each connection holds (`Stream::set_capacity`).
    pub buffer: usize,
}

impl Pace {
    /// Reads and writes all that is possible, at once.
    pub const FAST: Self = Self {
        chunk: usize::MAX,
        gap: Duration::ZERO,
        buffer: 64 * 1024,
    };
}

/// One step of a client.
///
/// `wait` means: goes on when each command sent so far has its final reply (a reply that is not
/// 1xx), or when the session has ended. Without it, goes on as soon as the bytes are sent.
///
/// Before its first step a client waits for the greeting (or the end of the session), unless the
/// step is `Raw`, `Pause` or `Close`.
///
/// TLS: when 234 comes for AUTH, the client makes the handshake before it sends more. After
/// `AUTH SSL` and `AUTH TLS-P`, and after a `PROT P` that got 200, data connections made later
/// are under TLS; after a `PROT C` or `REIN` that succeeded they are not (after SSL and TLS-P
/// they still are after REIN).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Sends a command line (CRLF is added).
    Command { line: Vec<u8>, wait: bool },
    /// Sends bytes as they are. They may hold lines or parts of lines. A line counts as a command
    /// for `wait` when it is complete (LF) or longer than 2,048 bytes; the rest of an over-long
    /// line up to its LF does not count again. An empty line counts.
    Raw(Vec<u8>),
    /// Asks for a data connection, waits for the reply unless `connect` is `Never`, and makes it.
    /// It takes the place of an earlier one that no transfer uses, which the client closes when
    /// the new one is there.
    Open { way: Way, connect: Connect },
    /// A transfer command (CRLF is added), and what the client does with its data connection: the
    /// one that the last `Open` made or prepared. If the reply is an error, nothing is done with
    /// it. A `Data::Upload` is sent as soon as 125 or 150 has come, or at once if `eager`.
    Transfer {
        line: Vec<u8>,
        wait: bool,
        data: Data,
    },
    /// Waits until each command has its final reply, or the session has ended.
    Await,
    /// Waits for a time of the virtual clock.
    Pause(Duration),
    /// Connects to the passive port of this session's last 227 or 229 from this foreign address,
    /// and sends these bytes. The client ignores what becomes of that connection.
    Stranger { from: SocketAddr, bytes: Vec<u8> },
    /// Ends the data connection of the last `Open` or `Transfer`, whatever it is doing.
    CloseData(End),
    /// Ends the control connection. `Half` closes the sending side and reads on to the end.
    /// After `Fin` and `Reset` no further step runs.
    Close(End),
}

/// How a client asks for a data connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    Pasv,
    Epsv,
    /// `EPSV 1` or `EPSV 2`, as the family of the control connection wants.
    EpsvFamily,
    Port,
    Eprt,
}

impl Way {
    pub fn is_passive(self) -> bool {
        !matches!(self, Self::Port | Self::Eprt)
    }
}

/// When a client makes its data connection. In active mode it listens before it sends PORT, and
/// accepts at once with `Now`; with `Late` when the transfer has got its 1xx, or after a second;
/// with `Never` it sends a port of its own where nobody listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Connect {
    /// As soon as the port is known.
    Now,
    /// When the transfer command has got its 150.
    Late,
    /// Not at all.
    Never,
}

/// What a client does with the data connection of a transfer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Data {
    /// Nothing: it neither reads nor writes nor closes.
    Idle,
    Upload {
        bytes: Vec<u8>,
        /// The sizes of the writes, used in turn; empty: all at once.
        pieces: Vec<usize>,
        /// Sends so many bytes only.
        cut: Option<usize>,
        /// How the connection ends after the bytes.
        end: End,
        /// Whether to send before the reply 1xx, as soon as the connection is there.
        eager: bool,
    },
    Download {
        /// Reads so many bytes and then ends the connection; `None`: to the end.
        read: Option<usize>,
        end: End,
    },
}

/// How a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Closes both sides (`shutdown`, and reads no more).
    Fin,
    /// `Stream::reset`.
    Reset,
    /// Closes the sending side only, and reads on to the end.
    Half,
}
