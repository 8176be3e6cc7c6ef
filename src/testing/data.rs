//! Data connections, on the side of the client.

use std::fmt;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::rc::Rc;

use super::world::World;
use crate::ioloop::memory::{MemoryListener, MemoryStream};

/// The client's end of a data connection.
///
/// In each direction it holds up to 64 KiB that were sent and not read yet: a side that sends
/// more has to wait, as with a socket of the system. Dropping the value closes the connection.
pub struct DataPeer {
    world: Rc<World>,
    /// `None` once it is closed by the client.
    stream: Option<MemoryStream>,
    ended: bool,
}

impl DataPeer {
    pub(super) fn new(world: &Rc<World>, stream: MemoryStream) -> Self {
        Self {
            world: Rc::clone(world),
            stream: Some(stream),
            ended: false,
        }
    }

    /// Reads all that the server sends while the clock stands still, perhaps nothing. At the
    /// end of a download the client's side is closed too, as clients do.
    #[track_caller]
    pub fn read(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        loop {
            self.world.settle();
            let before = bytes.len();
            self.read_available(&mut bytes);
            if self.ended {
                // As clients do. The final reply of a download may wait for it.
                self.shutdown();
            }
            if bytes.len() == before {
                return bytes;
            }
        }
    }

    /// Reads the bytes that have arrived, and notices the end of the connection.
    fn read_available(&mut self, bytes: &mut Vec<u8>) {
        let Some(stream) = &self.stream else { return };
        let mut buffer = [0; 4096];
        loop {
            match stream.read(&mut buffer) {
                Ok(size @ 1..) => bytes.extend(&buffer[..size]),
                Err(err) if err.kind() == ErrorKind::WouldBlock => return,
                Ok(_) | Err(_) => {
                    self.ended = true;
                    return;
                }
            }
        }
    }

    /// Reads until the server closes the connection. Waits for jobs that the session has
    /// offloaded; the clock stands still.
    ///
    /// # Panics
    /// If the server does not close the connection, or such a job takes more than 10 s.
    #[track_caller]
    pub fn read_to_end(&mut self) -> Vec<u8> {
        let mut bytes = self.read();
        self.world.wait();
        bytes.extend(self.read());
        assert!(
            self.ended || self.stream.is_none(),
            "the server has sent {} bytes and does not close the data connection",
            bytes.len()
        );
        bytes
    }

    /// Sends bytes. Returns how many were sent: fewer than given if the server stops reading,
    /// or has closed the connection.
    #[track_caller]
    pub fn write(&mut self, bytes: &[u8]) -> usize {
        let Some(stream) = &self.stream else { return 0 };
        let mut sent = 0;
        while sent < bytes.len() {
            match stream.write(&bytes[sent..]) {
                Ok(size) => sent += size,
                Err(_) => break,
            }
            self.world.settle();
        }
        sent
    }

    /// Ends the client's direction of the connection, which may still be read from.
    #[track_caller]
    pub fn shutdown(&mut self) {
        if let Some(stream) = &self.stream {
            stream.shutdown();
        }
        self.world.settle();
    }

    /// Closes the connection, which is the end of an upload.
    #[track_caller]
    pub fn close(&mut self) {
        self.stream = None;
        self.world.settle();
    }

    /// Resets the connection (TCP RST), as when a client crashes.
    #[track_caller]
    pub fn reset(&mut self) {
        if let Some(stream) = &self.stream {
            stream.reset();
        }
        self.close();
    }

    /// Whether the server or the client has closed the connection. There may still be bytes
    /// to read.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.world.settle();
        self.stream.as_ref().is_none_or(MemoryStream::is_closed)
    }
}

impl fmt::Debug for DataPeer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DataPeer")
            .field("stream", &self.stream)
            .finish_non_exhaustive()
    }
}

/// A listening socket of the client, to send PORT or EPRT by hand: see
/// [`Session::listen`](super::Session::listen). Its port is in use until it is dropped.
pub struct DataListener {
    world: Rc<World>,
    socket: MemoryListener,
}

impl DataListener {
    pub(super) fn bind(world: &Rc<World>, address: SocketAddr) -> io::Result<Self> {
        let socket = world.network.listen(address)?;
        let world = Rc::clone(world);
        Ok(Self { world, socket })
    }

    /// The address at which it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.socket.local_addr()
    }

    /// Accepts a connection, if the server has made one.
    #[must_use]
    pub fn accept(&self) -> Option<DataPeer> {
        self.world.settle();
        let (stream, _) = self.socket.accept().ok()?;
        Some(DataPeer::new(&self.world, stream))
    }
}

impl fmt::Debug for DataListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DataListener")
            .field("address", &self.address())
            .finish_non_exhaustive()
    }
}
