//! A network, and handles of its sockets.

use std::collections::BTreeSet;
use std::fmt;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mio::{Interest, Token};

use super::state::{Side, State};
use crate::ioloop::clock::Clock;
use crate::ioloop::event::Readiness;
use crate::random::Random;

/// A network of sockets in memory, and the clock of all that is in it. Clones are the same
/// network.
#[derive(Clone)]
pub(crate) struct Network(Arc<Shared>);

struct Shared {
    clock: Clock,
    state: Mutex<State>,
}

impl Network {
    /// Makes a network without sockets. The ports that it chooses follow each other, or are drawn
    /// from `ports`.
    pub(crate) fn new(clock: Clock, ports: Option<Random>) -> Self {
        Self(Arc::new(Shared {
            clock,
            state: Mutex::new(State::new(ports)),
        }))
    }

    /// The clock of the network.
    pub(crate) fn clock(&self) -> &Clock {
        &self.0.clock
    }

    /// Adds a host: connections to it are refused even while it has no socket.
    pub(crate) fn add_host(&self, ip: IpAddr) {
        self.lock().add_host(ip);
    }

    /// The hosts of the test at whose sockets something has changed since the last call.
    pub(crate) fn take_touched(&self) -> BTreeSet<IpAddr> {
        self.lock().take_touched()
    }

    /// Listens on an address. Port 0 stands for a port of the network's choice.
    ///
    /// # Errors
    /// `AddrInUse` if another socket listens there.
    pub(crate) fn listen(&self, address: SocketAddr) -> io::Result<MemoryListener> {
        let key = self.lock().listen(address, Side::Test)?;
        Ok(MemoryListener::new(self, key))
    }

    /// As [`listen`](Self::listen), for a socket of the server.
    pub(crate) fn serve(&self, address: SocketAddr) -> io::Result<MemoryListener> {
        let key = self.lock().listen(address, Side::Server)?;
        Ok(MemoryListener::new(self, key))
    }

    /// Connects to the socket that listens on `to`. Port 0 in `from` stands for a port of the
    /// network's choice. A connection to an address that no socket has stays unfinished.
    ///
    /// # Errors
    /// `ConnectionRefused` if a socket has the IP address of `to`, but none listens on the port.
    pub(crate) fn connect(&self, from: SocketAddr, to: SocketAddr) -> io::Result<MemoryStream> {
        let key = self.lock().connect(from, to, Side::Test)?;
        Ok(MemoryStream::new(self, key))
    }

    /// As [`connect`](Self::connect), for a socket of the server, which gets an event if the
    /// connection is refused.
    pub(crate) fn reach(&self, from: SocketAddr, to: SocketAddr) -> io::Result<MemoryStream> {
        let key = self.lock().connect(from, to, Side::Server)?;
        Ok(MemoryStream::new(self, key))
    }

    /// Makes a connection from one address to the other, and returns both ends: that of the test,
    /// and that of the server.
    pub(crate) fn pair(&self, from: SocketAddr, to: SocketAddr) -> (MemoryStream, MemoryStream) {
        let (key, other) = self.lock().pair(from, to);
        (MemoryStream::new(self, key), MemoryStream::new(self, other))
    }

    /// Whether a socket listens on this address.
    pub(crate) fn listens(&self, address: SocketAddr) -> bool {
        self.lock().listeners.contains_key(&address)
    }

    /// How many sockets of the server are open.
    pub(crate) fn served(&self) -> usize {
        self.lock().served
    }

    /// Whether [`take_events`](Self::take_events) would look at any socket.
    pub(crate) fn has_events(&self) -> bool {
        !self.lock().changed.is_empty()
    }

    /// Takes the events of the sockets that have changed since the last call, in the order of
    /// their first changes.
    pub(crate) fn take_events(&self) -> Vec<(Token, Readiness)> {
        self.lock().take_events()
    }

    /// A panic of a test while it holds the lock leaves a state that can still be used.
    fn lock(&self) -> MutexGuard<'_, State> {
        let state = &self.0.state;
        state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Network")
    }
}

/// A socket of the network. Dropping the last handle of a socket closes it.
struct Handle {
    network: Network,
    key: usize,
}

impl Handle {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.network.lock()
    }

    fn address(&self) -> SocketAddr {
        self.lock().address(self.key)
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.lock().release(self.key);
    }
}

/// One end of a connection, as a handle.
pub(crate) struct MemoryStream(Handle);

impl MemoryStream {
    fn new(network: &Network, key: usize) -> Self {
        let network = network.clone();
        Self(Handle { network, key })
    }

    /// Another handle of the same end.
    pub(crate) fn duplicate(&self) -> Self {
        self.0.lock().duplicate(self.0.key);
        Self::new(&self.0.network, self.0.key)
    }

    /// Says what the loop watches the socket for.
    pub(crate) fn watch(&self, watch: Option<(Token, Interest)>) {
        self.0.lock().watch(self.0.key, watch);
    }

    /// The network of this socket.
    pub(crate) fn network(&self) -> &Network {
        &self.0.network
    }

    /// Reads as `std::io::Read::read` does: `WouldBlock` if there is nothing to read. A read stops
    /// before a byte that is urgent.
    pub(crate) fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.lock().read(self.0.key, buffer, true)
    }

    /// Reads as [`read`](Self::read) does, but only what one write has brought. Returns the number
    /// of that write, too: those of all sockets are counted.
    pub(crate) fn read_write(&self, buffer: &mut [u8]) -> io::Result<(usize, u64)> {
        self.0.lock().read_write(self.0.key, buffer)
    }

    /// Reads as [`read`](Self::read) does, but leaves the bytes in the buffer.
    pub(crate) fn peek(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.lock().read(self.0.key, buffer, false)
    }

    /// Writes as `std::io::Write::write` does: `WouldBlock` if there is no room.
    pub(crate) fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().write(self.0.key, bytes, false)
    }

    /// As [`write`](Self::write). The last byte that is written is urgent (`MSG_OOB`); the peer
    /// gets it in its place.
    pub(crate) fn write_urgent(&self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().write(self.0.key, bytes, true)
    }

    /// Sets how many bytes may wait to be read at this end.
    pub(crate) fn set_capacity(&self, capacity: usize) {
        self.0.lock().set_capacity(self.0.key, capacity);
    }

    /// Ends the sending of this end. The peer may still send.
    pub(crate) fn shutdown(&self) {
        self.0.lock().end_output(self.0.key);
    }

    /// Resets the connection. Bytes that were not read are lost at both ends.
    pub(crate) fn reset(&self) {
        self.0.lock().reset(self.0.key);
    }

    /// Whether the other end has closed its side, or the connection was reset.
    pub(crate) fn is_closed(&self) -> bool {
        self.0.lock().is_closed(self.0.key)
    }

    pub(crate) fn local_addr(&self) -> SocketAddr {
        self.0.address()
    }

    /// Why the connection has failed.
    pub(crate) fn take_error(&self) -> Option<io::Error> {
        let failure = self.0.lock().failure(self.0.key);
        failure.filter(|err| err.kind() != ErrorKind::WouldBlock)
    }

    pub(crate) fn peer_addr(&self) -> io::Result<SocketAddr> {
        let peer = self.0.lock().peer_address(self.0.key);
        peer.ok_or_else(|| ErrorKind::NotConnected.into())
    }
}

impl fmt::Debug for MemoryStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStream")
            .field("address", &self.0.address())
            .finish_non_exhaustive()
    }
}

/// A listening socket, as a handle.
pub(crate) struct MemoryListener(Handle);

impl MemoryListener {
    fn new(network: &Network, key: usize) -> Self {
        let network = network.clone();
        Self(Handle { network, key })
    }

    /// Says what the loop watches the socket for.
    pub(crate) fn watch(&self, watch: Option<(Token, Interest)>) {
        self.0.lock().watch(self.0.key, watch);
    }

    /// Accepts the next connection: `WouldBlock` if none waits.
    pub(crate) fn accept(&self) -> io::Result<(MemoryStream, SocketAddr)> {
        let (key, peer) = self.0.lock().accept(self.0.key)?;
        Ok((MemoryStream::new(&self.0.network, key), peer))
    }

    pub(crate) fn local_addr(&self) -> SocketAddr {
        self.0.address()
    }
}

impl fmt::Debug for MemoryListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryListener")
            .field("address", &self.0.address())
            .finish_non_exhaustive()
    }
}
