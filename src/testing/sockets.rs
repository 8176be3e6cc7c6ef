//! Sockets of the clients of a server in memory.

use std::fmt;
use std::io;
use std::net::SocketAddr;

use crate::ioloop::memory::{MemoryListener, MemoryStream};

/// A client's end of a connection in memory. It behaves as a socket that does not block: a call
/// moves what is possible at once, and never turns the loop of the server.
///
/// Dropping the value closes the connection.
pub struct Stream(MemoryStream);

impl Stream {
    pub(super) fn new(stream: MemoryStream) -> Self {
        Self(stream)
    }

    /// Reads bytes that have come. 0: the server has ended its direction, and all is read.
    ///
    /// # Errors
    /// `WouldBlock` if none have come; `ConnectionReset` if the connection was reset.
    pub fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }

    /// Reads as [`read`](Self::read) does, but only what one call of the server has sent, or the
    /// beginning of that. Returns the number of that call, too: the calls on all sockets are counted
    /// in their order. So a test sees what left first, and what left by a call of its own.
    ///
    /// # Errors
    /// Those of [`read`](Self::read).
    pub fn read_call(&self, buffer: &mut [u8]) -> io::Result<(usize, u64)> {
        self.0.read_write(buffer)
    }

    /// Sends as many bytes as the server's end has room for.
    ///
    /// # Errors
    /// `WouldBlock` if there is no room, or the server has not accepted the connection to an
    /// address that does not answer; `BrokenPipe` if one of the two ends is closed;
    /// `ConnectionReset` if the connection was reset.
    pub fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    /// Sends as [`write`](Self::write) does. The last byte that is sent is urgent, as with
    /// `MSG_OOB`: clients send ABOR so.
    ///
    /// # Errors
    /// Those of [`write`](Self::write).
    pub fn write_urgent(&self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write_urgent(bytes)
    }

    /// Ends the client's direction (FIN). The connection may still be read from.
    pub fn shutdown(&self) {
        self.0.shutdown();
    }

    /// Resets the connection (RST). Bytes that were not read are lost at both ends.
    pub fn reset(&self) {
        self.0.reset();
    }

    /// Whether the server has ended its direction or closed the connection, or it was reset.
    /// There may still be bytes to read.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.0.is_closed()
    }

    /// Sets how many bytes this end holds that were not read yet. The server has to wait when
    /// there are so many. Default: 64 KiB.
    pub fn set_capacity(&self, bytes: usize) {
        self.0.set_capacity(bytes);
    }

    /// The client's address.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.0.local_addr()
    }

    /// The server's address.
    ///
    /// # Errors
    /// `NotConnected` if nothing has answered, or the connection was reset.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.0.peer_addr()
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream")
            .field("local", &self.local_addr())
            .finish_non_exhaustive()
    }
}

/// A listening socket of a client in memory, for PORT and EPRT. Its port is in use until the
/// value is dropped.
pub struct Listener(MemoryListener);

impl Listener {
    pub(super) fn new(socket: MemoryListener) -> Self {
        Self(socket)
    }

    /// Accepts a connection. Returns it with the address that it comes from.
    ///
    /// # Errors
    /// `WouldBlock` if none waits.
    pub fn accept(&self) -> io::Result<(Stream, SocketAddr)> {
        let (stream, peer) = self.0.accept()?;
        Ok((Stream(stream), peer))
    }

    /// The address at which it listens.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.0.local_addr()
    }
}

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listener")
            .field("address", &self.local_addr())
            .finish_non_exhaustive()
    }
}
