//! A connected socket, in clear or under TLS: the layer that channels read and write. What its
//! bytes mean is not known here.

use std::fmt;
use std::fs::File;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd};

use mio::Interest;
use mio::net::TcpStream;

use super::clock::Clock;
use super::core::Io;
use super::event::{Readiness, Source};
use super::memory::{MemoryStream, Network};
pub(crate) use super::socket::readable;
use super::socket::{RawStream, Socket, retry};
use super::tls::{NewTls, Tls};
use crate::sys;

/// A connected socket, in clear or under TLS.
///
/// It remembers the readiness that the loop's events reported, and makes no system call that
/// would be refused.
pub struct Stream {
    raw: RawStream,
    /// The interest that the loop watches the socket for.
    registered: Option<Interest>,
    tls: Option<Box<Tls>>,
}

impl Stream {
    /// Makes a stream of a connected socket that does not block.
    #[must_use]
    pub fn new(socket: TcpStream) -> Self {
        Self::of(Socket::Tcp(socket))
    }

    /// Makes a stream of a socket in memory.
    pub(crate) fn in_memory(socket: MemoryStream) -> Self {
        Self::of(Socket::Memory(Box::new(socket)))
    }

    /// Begins to connect in the network that `like` is in: the system's, or one in memory. The
    /// connection comes from the address `source`, if one is given.
    pub(crate) fn connect(
        like: &Self,
        target: SocketAddr,
        source: Option<IpAddr>,
    ) -> io::Result<Self> {
        Ok(match like.network() {
            None => Self::new(TcpStream::from_std(sys::connect(target, source)?)),
            Some(network) => {
                let source = source.unwrap_or(target.ip());
                Self::in_memory(network.reach(SocketAddr::new(source, 0), target)?)
            }
        })
    }

    fn of(socket: Socket) -> Self {
        Self {
            raw: RawStream::new(socket),
            registered: None,
            tls: None,
        }
    }

    /// Takes note of an event: a channel calls this first when a source is ready.
    pub fn on_ready(&mut self, readiness: Readiness) {
        let raw = &mut self.raw;
        raw.readable |= readiness.readable;
        raw.writable |= readiness.writable;
        raw.read_until_refused |= readiness.read_closed || readiness.urgent;
        raw.read_closed |= readiness.read_closed;
        raw.urgent |= readiness.urgent;
    }

    /// Whether a read may bring something.
    #[must_use]
    pub fn is_readable(&self) -> bool {
        self.raw.readable || self.tls.as_ref().is_some_and(|tls| tls.is_readable())
    }

    /// Whether there may be room for a write.
    #[must_use]
    pub fn is_writable(&self) -> bool {
        let ready = |tls: &Tls| !tls.is_handshaking() && !tls.has_outgoing();
        self.raw.writable && self.tls.as_deref().is_none_or(ready)
    }

    /// Whether the peer has sent its last byte. That byte may still have to be read.
    #[must_use]
    pub fn is_read_closed(&self) -> bool {
        self.raw.read_closed
    }

    /// Whether the peer has ever sent urgent data. A splice stops before it, and never gets past.
    pub(crate) fn is_urgent(&self) -> bool {
        self.raw.urgent
    }

    /// Reads the bytes that have come. `None`: there are none; if the stream is still
    /// [readable](Self::is_readable), try again in the next round, otherwise an event comes.
    /// `Some(0)`: the end.
    ///
    /// # Errors
    /// Those of the connection, never `WouldBlock`.
    pub fn read(&mut self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        match &mut self.tls {
            None => self.raw.read(buffer),
            Some(tls) => tls.read(&mut self.raw, buffer),
        }
    }

    /// Writes as many bytes as there is room for. `None`: there is none; an event comes.
    ///
    /// # Errors
    /// Those of the connection, never `WouldBlock`.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<Option<usize>> {
        match &mut self.tls {
            None => self.raw.write(bytes),
            Some(tls) => tls.write(&mut self.raw, bytes),
        }
    }

    /// Sends bytes that the end of the stream follows at once, if possible in one packet with it.
    ///
    /// # Errors
    /// The same as of [`sendfile`](Self::sendfile).
    pub(crate) fn send_last(&mut self, bytes: &[u8]) -> io::Result<Option<usize>> {
        self.in_clear()?;
        let raw = &mut self.raw;
        if !raw.writable {
            return Ok(None);
        }
        let socket = raw.socket.kernel_socket()?;
        let sent = retry(|| socket.try_io(|| sys::send_more(socket, bytes)))?;
        raw.writable = sent.is_some();
        Ok(sent)
    }

    /// Sends bytes of a file from `offset`, without a copy in user space. `Some(0)`: the end of
    /// the file.
    ///
    /// # Errors
    /// Those of the connection or the file, never `WouldBlock`. The first call may fail although
    /// `read` and `write` would work.
    pub(crate) fn sendfile(
        &mut self,
        file: &File,
        offset: u64,
        count: usize,
    ) -> io::Result<Option<usize>> {
        self.in_clear()?;
        let raw = &mut self.raw;
        if !raw.writable {
            return Ok(None);
        }
        let socket = raw.socket.kernel_socket()?;
        let sent = retry(|| socket.try_io(|| sys::sendfile(socket, file, offset, count)))?;
        raw.writable = sent.is_some();
        Ok(sent)
    }

    /// Moves bytes from the socket into a pipe, without a copy in user space. `None` and `Some(0)`
    /// mean the same as for [`read`](Self::read).
    ///
    /// # Errors
    /// The same as of [`sendfile`](Self::sendfile).
    pub(crate) fn splice(&mut self, pipe: &sys::Pipe, count: usize) -> io::Result<Option<usize>> {
        self.in_clear()?;
        let raw = &mut self.raw;
        if !raw.readable {
            return Ok(None);
        }
        let socket = raw.socket.kernel_socket()?;
        let moved = retry(|| socket.try_io(|| pipe.fill_from(socket, count)))?;
        // A pipe can be full before `count` bytes: only a refusal means that the socket is empty.
        raw.readable = moved.is_some();
        Ok(moved)
    }

    /// An error under TLS: bytes that the kernel moves by itself would bypass it.
    fn in_clear(&self) -> io::Result<()> {
        match self.tls {
            None => Ok(()),
            Some(_) => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    /// Asks the system whether it would take more bytes now. If not, an event comes when it does.
    pub(crate) fn look_for_room(&mut self) -> bool {
        self.raw.writable = self.raw.socket.kernel_socket().is_ok_and(sys::has_room);
        self.raw.writable
    }

    /// Whether the peer has closed the connection and nothing is left to read, or the connection
    /// has failed.
    pub(crate) fn is_abandoned(&self) -> bool {
        let peeked = retry(|| self.raw.socket.peek(&mut [0]));
        matches!(peeked, Ok(Some(0)) | Err(_))
    }

    /// Whether the connection has failed, and nothing is left to read. A call that returns true
    /// takes the error: the stream then looks as if it had ended.
    pub(crate) fn take_failure(&mut self) -> bool {
        retry(|| self.raw.socket.peek(&mut [0])).is_err()
    }

    /// Makes the loop watch the socket for `interest`, or for nothing. TLS adds what it waits for.
    ///
    /// # Errors
    /// Those of the system.
    pub fn watch(
        &mut self,
        io: &mut Io<'_>,
        source: Source,
        interest: Option<Interest>,
    ) -> io::Result<()> {
        let interest = match &self.tls {
            Some(tls) => tls.interest(interest),
            None => interest,
        };
        if interest == self.registered {
            return Ok(());
        }
        let socket = &mut self.raw.socket;
        socket.watch(io, source, self.registered, interest)?;
        self.registered = interest;
        Ok(())
    }

    /// The descriptor of the socket, if it is one of the system.
    pub(crate) fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        let socket = self.raw.socket.kernel_socket();
        socket.ok().map(AsFd::as_fd)
    }

    /// The clock of the loop that the socket belongs to.
    pub(crate) fn clock(&self) -> &Clock {
        self.network().map_or(&Clock::SYSTEM, Network::clock)
    }

    /// The network of the socket, if it is in memory.
    pub(crate) fn network(&self) -> Option<&Network> {
        self.raw.socket.network()
    }

    /// Takes the error that the system holds for the socket, such as that of a connect.
    pub(crate) fn take_error(&self) -> io::Result<Option<io::Error>> {
        self.raw.socket.take_error()
    }

    /// Ends the sending of this end (FIN). The peer may still send.
    ///
    /// # Errors
    /// The socket is not connected any more.
    pub fn shutdown(&self) -> io::Result<()> {
        self.raw.socket.shutdown()
    }

    /// The address at this end.
    ///
    /// # Errors
    /// Those of the system.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.raw.socket.local_addr()
    }

    /// The address at the other end.
    ///
    /// # Errors
    /// The socket is not connected any more.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.raw.socket.peer_addr()
    }

    /// Keeps the system from taking more than about so many bytes that the peer has not read. A
    /// system that cannot do that takes more.
    pub(crate) fn limit_send_buffer(&self, bytes: usize) {
        self.raw.socket.limit_send_buffer(bytes);
    }

    // --- TLS

    /// Puts the stream under TLS, as the server. A handshake comes first. `sent_in_clear` are bytes
    /// that the peer has to get before it.
    ///
    /// # Errors
    /// The stream is under TLS already, or the configuration cannot be used.
    pub(crate) fn secure(&mut self, new: NewTls, sent_in_clear: Vec<u8>) -> io::Result<()> {
        self.in_clear()?;
        self.tls = Some(Box::new(Tls::new(new, sent_in_clear)?));
        Ok(())
    }

    /// The TLS layer, if there is one.
    pub(crate) fn tls(&self) -> Option<&Tls> {
        self.tls.as_deref()
    }

    /// Whether the stream is under TLS. Its handshake may not be finished yet.
    #[must_use]
    pub fn is_secure(&self) -> bool {
        self.tls.is_some()
    }

    /// Whether a handshake has to be finished before anything is read or written.
    pub(crate) fn is_handshaking(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| tls.is_handshaking())
    }

    /// Goes on with the handshake. Returns whether it is finished.
    ///
    /// # Errors
    /// Those of the connection; `InvalidData` if the handshake has failed, `UnexpectedEof` if the
    /// peer has closed the connection.
    pub(crate) fn handshake(&mut self) -> io::Result<bool> {
        match &mut self.tls {
            None => Ok(true),
            Some(tls) => tls.handshake(&mut self.raw),
        }
    }

    /// Takes back bytes that were read before the handshake began. They belong to it.
    pub(crate) fn put_back(&mut self, received: &[u8]) {
        if let Some(tls) = &mut self.tls {
            tls.put_back(received);
        }
    }

    /// Sends the encrypted bytes that wait. Returns whether none is left.
    ///
    /// # Errors
    /// Those of the connection, never `WouldBlock`.
    pub(crate) fn flush(&mut self) -> io::Result<bool> {
        match &mut self.tls {
            None => Ok(true),
            Some(tls) => tls.flush(&mut self.raw),
        }
    }

    /// Discards input that has come, up to a limit. If a socket is closed with unread input, the
    /// system resets the connection, and the peer loses bytes that are still on their way.
    pub(crate) fn discard_input(&mut self) {
        let mut bytes = [0; 8192];
        self.raw.readable = true;
        for _ in 0..DISCARDS {
            if !matches!(self.raw.read(&mut bytes), Ok(Some(1..))) {
                return;
            }
        }
    }

    /// How many encrypted bytes wait.
    pub(crate) fn queued_bytes(&self) -> usize {
        self.tls.as_ref().map_or(0, |tls| tls.outgoing_size())
    }

    /// Whether no encrypted bytes wait.
    pub(crate) fn is_flushed(&self) -> bool {
        self.tls.as_ref().is_none_or(|tls| !tls.has_outgoing())
    }

    /// Another handle of the same connection, in clear, for the end of the connection: this one
    /// is not watched any more.
    ///
    /// # Errors
    /// Those of the system.
    pub(crate) fn hand_over(&mut self, io: &mut Io<'_>) -> io::Result<Self> {
        let copy = self.raw.socket.duplicate()?;
        self.watch(io, 0, None)?;
        Ok(Self::of(copy))
    }

    /// Expects that there is input, although no event has said so.
    pub(crate) fn look_for_input(&mut self) {
        self.raw.readable = true;
    }

    /// Reads bytes as they are on the wire, to throw them away. The result is that of
    /// [`read`](Self::read).
    ///
    /// # Errors
    /// Those of the connection, never `WouldBlock`.
    pub(crate) fn discard(&mut self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        self.raw.read(buffer)
    }

    /// Ends the sending under TLS (`close_notify`), after all that was written. Returns whether it
    /// is sent; if not, an event comes when there is room.
    ///
    /// # Errors
    /// Those of the connection, never `WouldBlock`.
    pub(crate) fn finish(&mut self) -> io::Result<bool> {
        match &mut self.tls {
            None => Ok(true),
            Some(tls) => tls.finish(&mut self.raw),
        }
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream")
            .field("socket", &self.raw.socket)
            .field("registered", &self.registered)
            .field("secure", &self.is_secure())
            .finish_non_exhaustive()
    }
}

/// Whether an error means that the connection is lost, as pyftpdlib's `_ERRNOS_DISCONNECTED`.
#[must_use]
pub(crate) fn is_disconnect(err: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, NotConnected, TimedOut};
    matches!(
        err.kind(),
        ConnectionReset | NotConnected | BrokenPipe | ConnectionAborted | TimedOut
    )
}

/// How many reads [`Stream::discard_input`] makes at most.
const DISCARDS: usize = 16;
