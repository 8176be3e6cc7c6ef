//! A connected socket and what is known of its readiness: the only place that sees
//! `WouldBlock` and `Interrupted` of sockets.

use std::io::{self, Read, Write};

use mio::Interest;
use mio::net::TcpStream;

/// A socket and what is known of it.
///
/// Reading ends with the first short read (the socket is empty then, and an event
/// will tell when it is not), unless the peer has sent its last byte or urgent
/// data waits, where a short read does not mean that.
pub(crate) struct RawStream {
    pub(super) socket: TcpStream,
    pub(super) readable: bool,
    pub(super) writable: bool,
    /// Until a read is refused, however short it is.
    pub(super) read_on: bool,
    /// The peer has sent its last byte.
    pub(super) read_closed: bool,
    /// The peer has sent urgent data.
    pub(super) urgent: bool,
}

impl RawStream {
    pub(super) fn new(socket: TcpStream) -> Self {
        Self {
            socket,
            // Nothing is known yet; the first event, or the first try, will tell.
            readable: false,
            writable: true,
            read_on: false,
            read_closed: false,
            urgent: false,
        }
    }

    pub(crate) fn is_readable(&self) -> bool {
        self.readable
    }

    /// As [`Stream::read`].
    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        if !self.readable {
            return Ok(None);
        }
        let read = retry(|| self.socket.read(buffer))?;
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

    /// As [`Stream::write`].
    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<Option<usize>> {
        if !self.writable {
            return Ok(None);
        }
        let written = retry(|| self.socket.write(bytes))?;
        self.writable = written.is_some();
        Ok(written)
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
