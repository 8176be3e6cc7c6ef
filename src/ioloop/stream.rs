//! A connected socket, plain or (one day) TLS, and what is known of its
//! readiness. The only place that sees `WouldBlock` and `Interrupted` of sockets.

use std::fs::File;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr};

use mio::Interest;
use mio::net::TcpStream;

use super::{Io, Readiness, Source};
use crate::sys;

/// A connected socket.
///
/// It remembers what the loop's events said, so that it makes no system call
/// that would be refused: reading ends with the first short read (the socket is
/// empty then, and an event will tell when it is not), unless the peer has sent
/// its last byte or urgent data waits, where a short read does not mean that.
#[derive(Debug)]
pub struct Stream {
    socket: Socket,
    readable: bool,
    writable: bool,
    /// Until a read is refused, however short it is.
    read_on: bool,
    /// The peer has sent its last byte.
    read_closed: bool,
    /// The peer has sent urgent data.
    urgent: bool,
    /// What the loop watches it for.
    registered: Option<Interest>,
}

/// What is behind a stream. TLS will be the other variant.
#[derive(Debug)]
enum Socket {
    Plain(TcpStream),
}

impl Stream {
    /// A stream of a connected socket that does not block.
    #[must_use]
    pub fn new(socket: TcpStream) -> Self {
        Self {
            socket: Socket::Plain(socket),
            // Nothing is known yet; the first event, or the first try, will tell.
            readable: false,
            writable: true,
            read_on: false,
            read_closed: false,
            urgent: false,
            registered: None,
        }
    }

    /// Takes note of an event.
    pub fn on_ready(&mut self, readiness: Readiness) {
        self.readable |= readiness.readable;
        self.writable |= readiness.writable;
        self.read_on |= readiness.read_closed || readiness.urgent;
        self.read_closed |= readiness.read_closed;
        self.urgent |= readiness.urgent;
    }

    /// Whether a read may bring something.
    #[must_use]
    pub fn is_readable(&self) -> bool {
        self.readable
    }

    /// Whether there may be room for a write.
    #[must_use]
    pub fn is_writable(&self) -> bool {
        self.writable
    }

    /// Whether the peer has sent its last byte (which may still have to be read).
    #[must_use]
    pub fn is_read_closed(&self) -> bool {
        self.read_closed
    }

    /// Whether the peer has ever sent urgent data, before which a splice stops
    /// for good.
    pub(crate) fn is_urgent(&self) -> bool {
        self.urgent
    }

    /// Reads what is there. `None`: nothing, an event will tell; `Some(0)`: the end.
    ///
    /// # Errors
    /// Those of the connection, never `WouldBlock`.
    pub fn read(&mut self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        if !self.readable {
            return Ok(None);
        }
        let Socket::Plain(socket) = &mut self.socket;
        let read = retry(|| socket.read(buffer))?;
        self.readable = match read {
            None => false,
            Some(0) => true,
            Some(size) => size == buffer.len() || self.read_on,
        };
        if read.is_none() {
            // Past the urgent data; the end, if there is one, stays.
            self.read_on = self.read_closed;
        }
        Ok(read)
    }

    /// Writes what there is room for. `None`: nothing, an event will tell.
    ///
    /// # Errors
    /// Those of the connection, never `WouldBlock`.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<Option<usize>> {
        if !self.writable {
            return Ok(None);
        }
        let Socket::Plain(socket) = &mut self.socket;
        let written = retry(|| socket.write(bytes))?;
        self.writable = written.is_some();
        Ok(written)
    }

    /// Sends bytes of a file from `offset`, by the kernel alone. `Some(0)`: its end.
    ///
    /// # Errors
    /// Those of the connection or the file, never `WouldBlock`. The first call
    /// may fail where the other way (`read` and `write`) would do.
    pub(crate) fn sendfile(
        &mut self,
        file: &File,
        offset: u64,
        count: usize,
    ) -> io::Result<Option<usize>> {
        if !self.writable {
            return Ok(None);
        }
        let Socket::Plain(socket) = &self.socket;
        let sent = retry(|| socket.try_io(|| sys::sendfile(socket, file, offset, count)))?;
        self.writable = sent.is_some();
        Ok(sent)
    }

    /// Moves bytes from the socket into a pipe, by the kernel alone. `None` and
    /// `Some(0)` as [`read`](Self::read).
    ///
    /// # Errors
    /// As [`sendfile`](Self::sendfile).
    pub(crate) fn splice(&mut self, pipe: &sys::Pipe, count: usize) -> io::Result<Option<usize>> {
        if !self.readable {
            return Ok(None);
        }
        let Socket::Plain(socket) = &self.socket;
        let moved = retry(|| socket.try_io(|| pipe.fill_from(socket, count)))?;
        // A pipe can be full before `count` bytes: only a refusal means "empty".
        self.readable = moved.is_some();
        Ok(moved)
    }

    /// Whether the peer has left, and nothing that it has sent is left to read.
    pub(crate) fn is_abandoned(&self) -> bool {
        let Socket::Plain(socket) = &self.socket;
        self.read_closed && !matches!(retry(|| socket.peek(&mut [0])), Ok(Some(1..)))
    }

    /// Makes the loop watch it for `interest`, or for nothing.
    ///
    /// # Errors
    /// Where the system refuses.
    pub fn watch(
        &mut self,
        io: &mut Io<'_>,
        source: Source,
        interest: Option<Interest>,
    ) -> io::Result<()> {
        if interest == self.registered {
            return Ok(());
        }
        let Socket::Plain(socket) = &mut self.socket;
        match (self.registered, interest) {
            (None, Some(interest)) => io.register(socket, source, interest)?,
            (Some(_), Some(interest)) => io.reregister(socket, source, interest)?,
            (_, None) => io.deregister(socket)?,
        }
        self.registered = interest;
        Ok(())
    }

    /// The error that the system holds for it, such as that of a connect.
    pub(crate) fn take_error(&self) -> io::Result<Option<io::Error>> {
        let Socket::Plain(socket) = &self.socket;
        socket.take_error()
    }

    /// Tells the peer that nothing more will be sent.
    ///
    /// # Errors
    /// Where it is not connected any more.
    pub fn shutdown(&self) -> io::Result<()> {
        let Socket::Plain(socket) = &self.socket;
        socket.shutdown(Shutdown::Write)
    }

    /// The address at this end.
    ///
    /// # Errors
    /// Those of the system.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        let Socket::Plain(socket) = &self.socket;
        socket.local_addr()
    }

    /// The address at the other end.
    ///
    /// # Errors
    /// Where it is not connected any more.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        let Socket::Plain(socket) = &self.socket;
        socket.peer_addr()
    }
}

/// What every stream that is read is watched for: on Linux urgent data too,
/// which a short read may stop before.
#[must_use]
pub(crate) fn readable() -> Interest {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    return Interest::READABLE | Interest::PRIORITY;
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    Interest::READABLE
}

/// Turns `WouldBlock` into `None`, and tries again after `Interrupted`.
pub(crate) fn retry<T>(mut operation: impl FnMut() -> io::Result<T>) -> io::Result<Option<T>> {
    loop {
        match operation() {
            Ok(value) => return Ok(Some(value)),
            Err(err) if err.kind() == io::ErrorKind::WouldBlock => return Ok(None),
            Err(err) if err.kind() == io::ErrorKind::Interrupted => {}
            Err(err) => return Err(err),
        }
    }
}

/// Whether an error means that the peer has gone, as pyftpdlib's
/// `_ERRNOS_DISCONNECTED`.
#[must_use]
pub(crate) fn is_disconnect(err: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, NotConnected, TimedOut};
    matches!(
        err.kind(),
        ConnectionReset | NotConnected | BrokenPipe | ConnectionAborted | TimedOut
    )
}

/// Whether an error means that descriptors or memory have run out, and may be
/// there again in a moment.
#[must_use]
pub(crate) fn is_exhaustion(err: &io::Error) -> bool {
    matches!(
        err.raw_os_error(),
        Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM)
    )
}
