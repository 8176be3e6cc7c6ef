//! A connected socket, with what is known of its readiness: the only place that sees the
//! `WouldBlock` and `Interrupted` of sockets.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::os::fd::AsFd;

use mio::Interest;
use mio::net::TcpStream;

use super::core::Io;
use super::event::Source;
use super::memory::{MemoryStream, Network};
use crate::sys;

/// A socket with its readiness.
///
/// A short read means that the socket is empty, and that an event comes when it is not. The next
/// read is then skipped. After the peer's last byte, or before urgent data, a short read does not
/// mean that: reading goes on until a read is refused.
pub(crate) struct RawStream {
    pub(super) socket: Socket,
    pub(super) readable: bool,
    pub(super) writable: bool,
    /// Whether to read until a read is refused, also after short ones.
    pub(super) read_until_refused: bool,
    /// The peer has sent its last byte.
    pub(super) read_closed: bool,
    /// The peer has sent urgent data.
    pub(super) urgent: bool,
}

impl RawStream {
    pub(super) fn new(socket: Socket) -> Self {
        Self {
            socket,
            // Nothing is known yet: the first event, or the first write, corrects this.
            readable: false,
            writable: true,
            read_until_refused: false,
            read_closed: false,
            urgent: false,
        }
    }

    #[cfg(feature = "tls")]
    pub(crate) fn is_readable(&self) -> bool {
        self.readable
    }

    /// Reads bytes as they are on the wire. The result is that of `Stream::read`.
    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        if !self.readable {
            return Ok(None);
        }
        let read = retry(|| self.socket.read(buffer))?;
        self.readable = match read {
            None => false,
            Some(0) => true,
            Some(size) => size == buffer.len() || self.read_until_refused,
        };
        if read.is_none() {
            // The urgent data was read. The end of the connection, if it came, remains.
            self.read_until_refused = self.read_closed;
        }
        Ok(read)
    }

    /// Writes bytes to the wire. The result is that of `Stream::write`.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<Option<usize>> {
        if !self.writable {
            return Ok(None);
        }
        let written = retry(|| self.socket.write(bytes))?;
        self.writable = written.is_some();
        Ok(written)
    }
}

/// A socket of the system, or one in memory.
#[derive(Debug)]
pub(super) enum Socket {
    Tcp(TcpStream),
    /// Boxed, so that a socket of the system takes no more room.
    Memory(Box<MemoryStream>),
}

impl Socket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(socket) => socket.read(buffer),
            Self::Memory(socket) => socket.read(buffer),
        }
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(socket) => socket.write(bytes),
            Self::Memory(socket) => socket.write(bytes),
        }
    }

    /// Makes the loop watch the socket for `interest` instead of `before`.
    pub(super) fn watch(
        &mut self,
        io: &mut Io<'_>,
        source: Source,
        before: Option<Interest>,
        interest: Option<Interest>,
    ) -> io::Result<()> {
        match (self, before, interest) {
            (Self::Tcp(socket), None, Some(interest)) => io.register(socket, source, interest),
            (Self::Tcp(socket), Some(_), Some(interest)) => io.reregister(socket, source, interest),
            (Self::Tcp(socket), _, None) => io.deregister(socket),
            (Self::Memory(socket), _, interest) => {
                let token = io.token(source)?;
                socket.watch(interest.map(|interest| (token, interest)));
                Ok(())
            }
        }
    }

    pub(super) fn limit_send_buffer(&self, bytes: usize) {
        match self {
            Self::Tcp(socket) => sys::limit_send_buffer(socket, bytes),
            Self::Memory(_) => {}
        }
    }

    /// Another handle of the same socket.
    pub(super) fn duplicate(&self) -> io::Result<Self> {
        Ok(match self {
            Self::Tcp(socket) => {
                let copy = std::net::TcpStream::from(socket.as_fd().try_clone_to_owned()?);
                Self::Tcp(TcpStream::from_std(copy))
            }
            Self::Memory(socket) => Self::Memory(Box::new(socket.duplicate())),
        })
    }

    /// The socket of the system, from and to which the kernel can move bytes by itself.
    pub(super) fn kernel_socket(&self) -> io::Result<&TcpStream> {
        match self {
            Self::Tcp(socket) => Ok(socket),
            Self::Memory(_) => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    /// The network of the socket, if it is in memory.
    pub(super) fn network(&self) -> Option<&Network> {
        match self {
            Self::Tcp(_) => None,
            Self::Memory(socket) => Some(socket.network()),
        }
    }

    pub(super) fn peek(&self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(socket) => socket.peek(buffer),
            Self::Memory(socket) => socket.peek(buffer),
        }
    }

    pub(super) fn take_error(&self) -> io::Result<Option<io::Error>> {
        match self {
            Self::Tcp(socket) => socket.take_error(),
            Self::Memory(socket) => Ok(socket.take_error()),
        }
    }

    pub(super) fn shutdown(&self) -> io::Result<()> {
        match self {
            Self::Tcp(socket) => socket.shutdown(Shutdown::Write),
            Self::Memory(socket) => {
                socket.shutdown();
                Ok(())
            }
        }
    }

    pub(super) fn local_addr(&self) -> io::Result<SocketAddr> {
        match self {
            Self::Tcp(socket) => socket.local_addr(),
            Self::Memory(socket) => Ok(socket.local_addr()),
        }
    }

    pub(super) fn peer_addr(&self) -> io::Result<SocketAddr> {
        match self {
            Self::Tcp(socket) => socket.peer_addr(),
            Self::Memory(socket) => socket.peer_addr(),
        }
    }
}

/// The interest of a stream that is to be read. On Linux it includes urgent data, before which a
/// read may stop short.
#[must_use]
pub(crate) fn readable() -> Interest {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    return Interest::READABLE | Interest::PRIORITY;
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    Interest::READABLE
}

/// Repeats an operation that was interrupted. `None`: it would block.
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
