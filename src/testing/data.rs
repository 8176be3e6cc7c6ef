//! Data connections, as the client has them.

use std::fmt;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::rc::Rc;

use super::world::World;
use crate::ioloop::memory::{MemoryListener, MemoryStream};

/// The client's end of a data connection.
///
/// It holds 64 KiB in each direction that were sent and not read yet, as a socket
/// of the system does: who sends more has to wait. Dropping it closes it.
pub struct DataPeer {
    world: Rc<World>,
    /// Until it is closed here.
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

    /// Reads all that the server sends without the clock being moved, or nothing.
    #[track_caller]
    pub fn read(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        loop {
            self.world.settle();
            let before = bytes.len();
            self.read_what_is_there(&mut bytes);
            if bytes.len() == before {
                return bytes;
            }
        }
    }

    fn read_what_is_there(&mut self, bytes: &mut Vec<u8>) {
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

    /// Reads until the server closes the connection. What the session gives off the
    /// loop is waited for; the clock stands still.
    ///
    /// # Panics
    /// If the server does not close it.
    #[track_caller]
    pub fn read_to_end(&mut self) -> Vec<u8> {
        let mut bytes = self.read();
        self.world.wait();
        bytes.extend(self.read());
        assert!(
            self.ended || self.stream.is_none(),
            "the server does not close the data connection, on which {} bytes came",
            bytes.len()
        );
        bytes
    }

    /// Sends bytes. Returns how many there was room for: fewer if the server stops
    /// to read them, or has closed.
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

    /// Sends no more, but may still read.
    #[track_caller]
    pub fn shutdown(&mut self) {
        if let Some(stream) = &self.stream {
            stream.shutdown();
        }
        self.world.settle();
    }

    /// Closes the connection: the end of an upload.
    #[track_caller]
    pub fn close(&mut self) {
        self.stream = None;
        self.world.settle();
    }

    /// Cuts the connection, as a client that crashes.
    #[track_caller]
    pub fn reset(&mut self) {
        if let Some(stream) = &self.stream {
            stream.reset();
        }
        self.close();
    }

    /// Whether the server has closed it (there may be something to read still), or
    /// it is closed here.
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

/// Where the client waits for the server to connect: for PORT and EPRT by hand, see
/// [`Session::listen`](super::Session::listen). While there is one its port is taken.
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

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.socket.local_addr()
    }

    /// The connection that was made to it, if there is one.
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
