//! Sockets in memory, and the network between them: for [`testing`](crate::testing).
//!
//! They behave as the system's sockets do: their buffers are bounded, they report changes only
//! (edge-triggered), and connections are refused, closed and reset. What is sent over them is not
//! known here.

use std::collections::VecDeque;
use std::fmt;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mio::event::Source;
use mio::{Interest, Registry, Token};
use slab::Slab;

use super::event::Readiness;

/// A network of sockets in memory. Clones are the same network.
#[derive(Clone, Default)]
pub(crate) struct Network(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    sockets: Slab<Socket>,
    /// Sockets whose state has changed since the loop took the events.
    changed: Vec<usize>,
    last_port: u16,
}

struct Socket {
    address: SocketAddr,
    watch: Option<(Token, Interest)>,
    kind: Kind,
}

enum Kind {
    /// With the connections that wait to be accepted.
    Listener(VecDeque<usize>),
    Stream(Wire),
}

/// One end of a connection.
struct Wire {
    peer_address: SocketAddr,
    /// The other end, unless it is closed.
    peer: Option<usize>,
    /// Received and not read yet.
    input: VecDeque<u8>,
    /// Whether the other end sends no more.
    input_ended: bool,
    /// Whether this end sends no more.
    output_ended: bool,
    stage: Stage,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// To an address that no socket has: it never gets there.
    Connecting,
    Connected,
    Reset,
}

impl Network {
    /// Listens on an address. Port 0 stands for a port of the network's choice.
    ///
    /// # Errors
    /// `AddrInUse` if another socket listens there.
    pub(crate) fn listen(&self, mut address: SocketAddr) -> io::Result<MemoryListener> {
        let mut state = self.lock();
        if address.port() == 0 {
            address.set_port(state.next_port());
        } else if state.listener(address).is_some() {
            return Err(io::Error::from_raw_os_error(libc::EADDRINUSE));
        }
        let key = state.insert(address, Kind::Listener(VecDeque::new()));
        Ok(MemoryListener(self.handle(key)))
    }

    /// Connects to the socket that listens on `to`. Port 0 in `from` stands for a port of the
    /// network's choice. A connection to an address that no socket has stays unfinished.
    ///
    /// # Errors
    /// `ConnectionRefused` if a socket has the IP address of `to`, but none listens on the port.
    pub(crate) fn connect(&self, mut from: SocketAddr, to: SocketAddr) -> io::Result<MemoryStream> {
        let mut state = self.lock();
        if from.port() == 0 {
            from.set_port(state.next_port());
        }
        let listener = state.listener(to);
        if listener.is_none() && state.has_address(to.ip()) {
            return Err(io::Error::from_raw_os_error(libc::ECONNREFUSED));
        }
        let key = state.insert(from, Kind::Stream(Wire::new(to)));
        if let Some(listener) = listener {
            let other = state.join(key, from, to);
            if let Kind::Listener(waiting) = &mut state.sockets[listener].kind {
                waiting.push_back(other);
            }
            state.mark_changed(listener);
        }
        Ok(MemoryStream(self.handle(key)))
    }

    /// Makes a connection from one address to the other, and returns both ends.
    pub(crate) fn pair(&self, from: SocketAddr, to: SocketAddr) -> (MemoryStream, MemoryStream) {
        let mut state = self.lock();
        let key = state.insert(from, Kind::Stream(Wire::new(to)));
        let other = state.join(key, from, to);
        (
            MemoryStream(self.handle(key)),
            MemoryStream(self.handle(other)),
        )
    }

    /// Whether [`take_events`](Self::take_events) would look at any socket.
    pub(super) fn has_events(&self) -> bool {
        !self.lock().changed.is_empty()
    }

    /// Takes the events of the sockets that have changed since the last call.
    pub(super) fn take_events(&self) -> Vec<(Token, Readiness)> {
        let mut state = self.lock();
        let changed = std::mem::take(&mut state.changed);
        let events = changed.into_iter().filter_map(|key| state.event(key));
        events.collect()
    }

    fn handle(&self, key: usize) -> Handle {
        Handle {
            network: self.clone(),
            key,
        }
    }

    /// A panic of a test while it holds the lock leaves a state that can still be used.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn insert(&mut self, address: SocketAddr, kind: Kind) -> usize {
        self.sockets.insert(Socket {
            address,
            watch: None,
            kind,
        })
    }

    /// Makes the other end of a connection, and joins both.
    fn join(&mut self, key: usize, from: SocketAddr, to: SocketAddr) -> usize {
        let mut wire = Wire::new(from);
        wire.stage = Stage::Connected;
        wire.peer = Some(key);
        let other = self.insert(to, Kind::Stream(wire));
        if let Some(wire) = self.wire(key) {
            wire.stage = Stage::Connected;
            wire.peer = Some(other);
        }
        other
    }

    fn wire(&mut self, key: usize) -> Option<&mut Wire> {
        match &mut self.sockets.get_mut(key)?.kind {
            Kind::Stream(wire) => Some(wire),
            Kind::Listener(_) => None,
        }
    }

    fn listener(&self, address: SocketAddr) -> Option<usize> {
        let listens =
            |socket: &Socket| socket.address == address && matches!(socket.kind, Kind::Listener(_));
        let mut sockets = self.sockets.iter();
        sockets
            .find(|(_, socket)| listens(socket))
            .map(|(key, _)| key)
    }

    fn has_address(&self, ip: IpAddr) -> bool {
        self.sockets
            .iter()
            .any(|(_, socket)| socket.address.ip() == ip)
    }

    fn next_port(&mut self) -> u16 {
        self.last_port = match self.last_port {
            0 | u16::MAX => FIRST_PORT,
            last => last + 1,
        };
        self.last_port
    }

    /// Notes that a socket has changed, if the loop watches it.
    fn mark_changed(&mut self, key: usize) {
        let watched = self.sockets.get(key).is_some_and(|x| x.watch.is_some());
        if watched && !self.changed.contains(&key) {
            self.changed.push(key);
        }
    }

    /// The event of a socket. `None`: it is not ready for anything that it is watched for.
    fn event(&mut self, key: usize) -> Option<(Token, Readiness)> {
        let (token, interest) = self.sockets.get(key)?.watch?;
        let room = self.room(key);
        let readiness = match &self.sockets.get(key)?.kind {
            Kind::Listener(waiting) => Readiness {
                readable: !waiting.is_empty(),
                ..Readiness::default()
            },
            Kind::Stream(wire) => {
                let reset = wire.stage == Stage::Reset;
                let ended = wire.input_ended && interest.is_readable();
                let input = !wire.input.is_empty() && interest.is_readable();
                Readiness {
                    readable: input || ended || reset,
                    writable: reset || (interest.is_writable() && room != Some(0)),
                    read_closed: ended || reset,
                    write_closed: reset,
                    urgent: false,
                }
            }
        };
        (readiness != Readiness::default()).then_some((token, readiness))
    }

    /// How many bytes may be written now. `None`: a write would fail.
    fn room(&mut self, key: usize) -> Option<usize> {
        let wire = self.wire(key)?;
        match wire.stage {
            Stage::Connecting => Some(0),
            Stage::Reset => None,
            Stage::Connected if wire.output_ended => None,
            Stage::Connected => {
                let peer = wire.peer?;
                let waiting = self.wire(peer)?.input.len();
                Some(CAPACITY.saturating_sub(waiting))
            }
        }
    }

    fn read(&mut self, key: usize, buffer: &mut [u8], take: bool) -> io::Result<usize> {
        let wire = self.wire(key).ok_or(ErrorKind::NotConnected)?;
        match wire.stage {
            Stage::Connecting => return Err(ErrorKind::WouldBlock.into()),
            Stage::Reset => return Err(io::Error::from_raw_os_error(libc::ECONNRESET)),
            Stage::Connected => {}
        }
        if wire.input.is_empty() && !wire.input_ended {
            return Err(ErrorKind::WouldBlock.into());
        }
        let size = buffer.len().min(wire.input.len());
        buffer[..size].copy_from_slice(&wire.input.make_contiguous()[..size]);
        if take {
            wire.input.drain(..size);
            if let Some(peer) = wire.peer {
                self.mark_changed(peer);
            }
        }
        Ok(size)
    }

    fn write(&mut self, key: usize, bytes: &[u8]) -> io::Result<usize> {
        let reset = self.wire(key).is_some_and(|x| x.stage == Stage::Reset);
        let size = match self.room(key) {
            None if reset => return Err(io::Error::from_raw_os_error(libc::ECONNRESET)),
            None => return Err(io::Error::from_raw_os_error(libc::EPIPE)),
            Some(0) => return Err(ErrorKind::WouldBlock.into()),
            Some(room) => room.min(bytes.len()),
        };
        if let Some(peer) = self.wire(key).and_then(|wire| wire.peer) {
            if let Some(wire) = self.wire(peer) {
                wire.input.extend(&bytes[..size]);
            }
            self.mark_changed(peer);
        }
        Ok(size)
    }

    fn end_output(&mut self, key: usize) {
        let Some(wire) = self.wire(key) else { return };
        wire.output_ended = true;
        if let Some(peer) = wire.peer {
            if let Some(wire) = self.wire(peer) {
                wire.input_ended = true;
            }
            self.mark_changed(peer);
        }
    }

    fn close(&mut self, key: usize) {
        self.end_output(key);
        if let Some(peer) = self.wire(key).and_then(|wire| wire.peer)
            && let Some(wire) = self.wire(peer)
        {
            wire.peer = None;
        }
        self.changed.retain(|changed| *changed != key);
        if let Some(Kind::Listener(waiting)) = self.sockets.try_remove(key).map(|x| x.kind) {
            for unaccepted in waiting {
                self.reset(unaccepted);
                self.close(unaccepted);
            }
        }
    }

    fn reset(&mut self, key: usize) {
        let peer = self.wire(key).and_then(|wire| wire.peer);
        for end in [Some(key), peer].into_iter().flatten() {
            if let Some(wire) = self.wire(end) {
                wire.stage = Stage::Reset;
                wire.peer = None;
                wire.input.clear();
            }
            self.mark_changed(end);
        }
    }
}

impl Wire {
    fn new(peer_address: SocketAddr) -> Self {
        Self {
            peer_address,
            peer: None,
            input: VecDeque::new(),
            input_ended: false,
            output_ended: false,
            stage: Stage::Connecting,
        }
    }
}

/// A socket of the network. Dropping it closes the socket.
struct Handle {
    network: Network,
    key: usize,
}

impl Handle {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.network.lock()
    }

    fn address(&self) -> SocketAddr {
        self.lock().sockets[self.key].address
    }

    fn watch(&self, watch: Option<(Token, Interest)>) {
        let mut state = self.lock();
        state.sockets[self.key].watch = watch;
        // The system's poll, too, reports a state that holds already.
        state.mark_changed(self.key);
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.lock().close(self.key);
    }
}

impl Source for Handle {
    fn register(&mut self, _: &Registry, token: Token, interest: Interest) -> io::Result<()> {
        self.watch(Some((token, interest)));
        Ok(())
    }

    fn reregister(&mut self, _: &Registry, token: Token, interest: Interest) -> io::Result<()> {
        self.watch(Some((token, interest)));
        Ok(())
    }

    fn deregister(&mut self, _: &Registry) -> io::Result<()> {
        self.watch(None);
        Ok(())
    }
}

/// One end of a connection, as a handle.
pub(crate) struct MemoryStream(Handle);

impl MemoryStream {
    pub(super) fn source(&mut self) -> &mut dyn Source {
        &mut self.0
    }

    /// The network of this socket.
    pub(super) fn network(&self) -> &Network {
        &self.0.network
    }

    /// Reads as `std::io::Read::read` does: `WouldBlock` if there is nothing to read.
    pub(crate) fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.lock().read(self.0.key, buffer, true)
    }

    /// Reads as [`read`](Self::read) does, but leaves the bytes in the buffer.
    pub(super) fn peek(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.lock().read(self.0.key, buffer, false)
    }

    /// Writes as `std::io::Write::write` does: `WouldBlock` if there is no room.
    pub(crate) fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().write(self.0.key, bytes)
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
        let mut state = self.0.lock();
        let wire = state.wire(self.0.key);
        wire.is_none_or(|wire| {
            wire.input_ended || (wire.stage != Stage::Connecting && wire.peer.is_none())
        })
    }

    pub(crate) fn local_addr(&self) -> SocketAddr {
        self.0.address()
    }

    pub(super) fn peer_addr(&self) -> io::Result<SocketAddr> {
        let mut state = self.0.lock();
        let wire = state.wire(self.0.key);
        let connected = wire.filter(|wire| wire.stage == Stage::Connected);
        connected
            .map(|wire| wire.peer_address)
            .ok_or_else(|| ErrorKind::NotConnected.into())
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
    pub(super) fn source(&mut self) -> &mut dyn Source {
        &mut self.0
    }

    /// Accepts the next connection: `WouldBlock` if none waits.
    pub(crate) fn accept(&self) -> io::Result<(MemoryStream, SocketAddr)> {
        let mut state = self.0.lock();
        let key = match &mut state.sockets[self.0.key].kind {
            Kind::Listener(waiting) => waiting.pop_front(),
            Kind::Stream(_) => None,
        };
        let key = key.ok_or(ErrorKind::WouldBlock)?;
        let peer = state.wire(key).ok_or(ErrorKind::NotConnected)?.peer_address;
        Ok((MemoryStream(self.0.network.handle(key)), peer))
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

/// The most bytes that wait at one end, as in the buffer of a socket.
pub(crate) const CAPACITY: usize = 64 * 1024;

/// The first of the ports that the network chooses, which are the dynamic ports of RFC 6335.
const FIRST_PORT: u16 = 49_152;
