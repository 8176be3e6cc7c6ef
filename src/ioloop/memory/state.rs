//! The sockets of a network, and what happens between them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use mio::{Interest, Token};
use slab::Slab;

use super::wire::{Stage, Wire};
use crate::ioloop::event::Readiness;
use crate::random::Random;

pub(super) struct State {
    sockets: Slab<Socket>,
    /// The sockets that listen.
    pub(super) listeners: BTreeMap<SocketAddr, usize>,
    /// How many sockets each address has, and one more for the address of a host.
    addresses: BTreeMap<IpAddr, usize>,
    /// Sockets whose state has changed since the loop took the events, with their numbers: a key
    /// may be used again.
    pub(super) changed: Vec<(usize, u64)>,
    /// The hosts of the test at whose sockets something has changed since they were asked for.
    touched: BTreeSet<IpAddr>,
    last_number: u64,
    /// How many writes there were.
    writes: u64,
    last_port: u16,
    /// What ports are drawn from. `None`: they follow each other.
    ports: Option<Random>,
    /// How many sockets of the server are open.
    pub(super) served: usize,
}

/// Whose socket it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Test,
    Server,
    /// A connection that waits to be accepted.
    Nobody,
}

struct Socket {
    number: u64,
    address: SocketAddr,
    side: Side,
    /// How many handles there are.
    handles: usize,
    watch: Option<(Token, Interest)>,
    is_changed: bool,
    kind: Kind,
}

enum Kind {
    /// With the connections that wait to be accepted.
    Listener(VecDeque<usize>),
    Stream(Wire),
}

impl State {
    pub(super) fn new(ports: Option<Random>) -> Self {
        Self {
            sockets: Slab::new(),
            listeners: BTreeMap::new(),
            addresses: BTreeMap::new(),
            changed: Vec::new(),
            touched: BTreeSet::new(),
            last_number: 0,
            writes: 0,
            last_port: 0,
            ports,
            served: 0,
        }
    }

    /// Adds a host that refuses connections on ports where nobody listens.
    pub(super) fn add_host(&mut self, ip: IpAddr) {
        *self.addresses.entry(ip).or_default() += 1;
    }

    // --- sockets come

    pub(super) fn listen(&mut self, mut address: SocketAddr, side: Side) -> io::Result<usize> {
        if address.port() == 0 {
            self.choose_port(&mut address)?;
        }
        if self.listeners.contains_key(&address) {
            return Err(io::Error::from_raw_os_error(libc::EADDRINUSE));
        }
        let key = self.insert(address, side, Kind::Listener(VecDeque::new()));
        self.listeners.insert(address, key);
        Ok(key)
    }

    pub(super) fn connect(
        &mut self,
        mut from: SocketAddr,
        to: SocketAddr,
        side: Side,
    ) -> io::Result<usize> {
        if from.port() == 0 {
            self.choose_port(&mut from)?;
        }
        let listener = self.listener(to);
        let stage = match listener {
            None if self.addresses.contains_key(&to.ip()) => Stage::Refused,
            _ => Stage::Connecting,
        };
        // The server waits for an event, as with a socket of the system.
        if stage == Stage::Refused && side == Side::Test {
            return Err(io::Error::from_raw_os_error(libc::ECONNREFUSED));
        }
        let key = self.insert(from, side, Kind::Stream(Wire::new(to, stage)));
        if let Some(listener) = listener {
            let other = self.join(key, from, to, Side::Nobody);
            if let Kind::Listener(waiting) = &mut self.sockets[listener].kind {
                waiting.push_back(other);
            }
            self.mark_readable(listener);
        }
        Ok(key)
    }

    pub(super) fn pair(&mut self, from: SocketAddr, to: SocketAddr) -> (usize, usize) {
        let key = self.insert(
            from,
            Side::Test,
            Kind::Stream(Wire::new(to, Stage::Connecting)),
        );
        (key, self.join(key, from, to, Side::Server))
    }

    /// Accepts the next connection: `WouldBlock` if none waits.
    pub(super) fn accept(&mut self, key: usize) -> io::Result<(usize, SocketAddr)> {
        let side = self.sockets[key].side;
        let accepted = match &mut self.sockets[key].kind {
            Kind::Listener(waiting) => waiting.pop_front(),
            Kind::Stream(_) => None,
        };
        let accepted = accepted.ok_or(ErrorKind::WouldBlock)?;
        self.sockets[accepted].side = side;
        self.served += usize::from(side == Side::Server);
        let peer = self.wire(accepted).ok_or(ErrorKind::NotConnected)?;
        Ok((accepted, peer.peer_address))
    }

    fn insert(&mut self, address: SocketAddr, side: Side, kind: Kind) -> usize {
        self.last_number += 1;
        self.served += usize::from(side == Side::Server);
        *self.addresses.entry(address.ip()).or_default() += 1;
        self.sockets.insert(Socket {
            number: self.last_number,
            address,
            side,
            handles: 1,
            watch: None,
            is_changed: false,
            kind,
        })
    }

    /// Makes the other end of a connection, and joins both.
    fn join(&mut self, key: usize, from: SocketAddr, to: SocketAddr, side: Side) -> usize {
        let mut wire = Wire::new(from, Stage::Connected);
        wire.peer = Some(key);
        let other = self.insert(to, side, Kind::Stream(wire));
        if let Some(wire) = self.wire(key) {
            wire.stage = Stage::Connected;
            wire.peer = Some(other);
        }
        other
    }

    /// The socket that listens on an address, or on all addresses.
    fn listener(&self, address: SocketAddr) -> Option<usize> {
        let any = match address {
            SocketAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            SocketAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        };
        let any = SocketAddr::new(any, address.port());
        let found = self.listeners.get(&address);
        found.or_else(|| self.listeners.get(&any)).copied()
    }

    /// Gives an address a port at which no socket listens.
    fn choose_port(&mut self, address: &mut SocketAddr) -> io::Result<()> {
        for _ in 0..=u16::MAX - FIRST_PORT {
            address.set_port(self.next_port());
            if !self.listeners.contains_key(address) {
                return Ok(());
            }
        }
        Err(io::Error::from_raw_os_error(libc::EADDRINUSE))
    }

    fn next_port(&mut self) -> u16 {
        self.last_port = match (&self.ports, self.last_port) {
            (Some(random), _) => {
                let offset = random.below(usize::from(u16::MAX - FIRST_PORT) + 1);
                FIRST_PORT + u16::try_from(offset).unwrap_or_default()
            }
            (None, 0 | u16::MAX) => FIRST_PORT,
            (None, last) => last + 1,
        };
        self.last_port
    }

    fn wire(&mut self, key: usize) -> Option<&mut Wire> {
        match &mut self.sockets.get_mut(key)?.kind {
            Kind::Stream(wire) => Some(wire),
            Kind::Listener(_) => None,
        }
    }

    // --- events

    /// Says what the loop watches a socket for.
    pub(super) fn watch(&mut self, key: usize, watch: Option<(Token, Interest)>) {
        self.sockets[key].watch = watch;
        // The system's poll, too, reports a state that holds already.
        if self.event(key).is_some() {
            self.mark_changed(key, |_| true);
        }
    }

    pub(super) fn take_events(&mut self) -> Vec<(Token, Readiness)> {
        let mut events = Vec::new();
        let mut changed = std::mem::take(&mut self.changed);
        for (key, number) in changed.drain(..) {
            let socket = self.sockets.get_mut(key);
            let Some(socket) = socket.filter(|socket| socket.number == number) else {
                continue;
            };
            socket.is_changed = false;
            events.extend(self.event(key));
        }
        self.changed = changed;
        events
    }

    /// There is something to be read at a socket.
    fn mark_readable(&mut self, key: usize) {
        self.mark_changed(key, Interest::is_readable);
    }

    /// There is room at a socket, or a write fails.
    fn mark_writable(&mut self, key: usize) {
        self.mark_changed(key, Interest::is_writable);
    }

    pub(super) fn take_touched(&mut self) -> BTreeSet<IpAddr> {
        std::mem::take(&mut self.touched)
    }

    /// Notes that a socket has changed, if the loop watches it for that, or the test may.
    fn mark_changed(&mut self, key: usize, concerns: fn(Interest) -> bool) {
        let Some(socket) = self.sockets.get_mut(key) else {
            return;
        };
        if socket.side == Side::Test {
            self.touched.insert(socket.address.ip());
        }
        if socket.watch.is_some_and(|(_, interest)| concerns(interest)) && !socket.is_changed {
            socket.is_changed = true;
            self.changed.push((key, socket.number));
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
            Kind::Stream(wire) => wire.readiness(interest, room != Some(0)),
        };
        (readiness != Readiness::default()).then_some((token, readiness))
    }

    // --- bytes

    /// How many bytes may be written now. `None`: a write would fail.
    fn room(&mut self, key: usize) -> Option<usize> {
        let wire = self.wire(key)?;
        match wire.stage {
            Stage::Connecting => Some(0),
            Stage::Connected if !wire.output_ended => {
                let peer = wire.peer?;
                self.wire(peer).map(|peer| peer.room())
            }
            Stage::Connected | Stage::Reset | Stage::Refused => None,
        }
    }

    /// Sets how many bytes may wait at this end.
    pub(super) fn set_capacity(&mut self, key: usize, capacity: usize) {
        let Some(wire) = self.wire(key) else { return };
        wire.capacity = capacity;
        if let Some(peer) = wire.peer {
            self.mark_writable(peer);
        }
    }

    pub(super) fn read(&mut self, key: usize, buffer: &mut [u8], take: bool) -> io::Result<usize> {
        let wire = self.wire(key).ok_or(ErrorKind::NotConnected)?;
        let size = wire.peek(buffer)?;
        if take && size > 0 {
            wire.take(size);
            if let Some(peer) = wire.peer {
                self.mark_writable(peer);
            }
        }
        Ok(size)
    }

    /// Reads what one write has brought, or the beginning of that, and the number of the write.
    pub(super) fn read_write(&mut self, key: usize, buffer: &mut [u8]) -> io::Result<(usize, u64)> {
        let (left, number) = self
            .wire(key)
            .and_then(|x| x.first_write())
            .unwrap_or((0, 0));
        let most = match left {
            // The end, or an error.
            0 => buffer.len(),
            left => left.min(buffer.len()),
        };
        Ok((self.read(key, &mut buffer[..most], true)?, number))
    }

    /// Writes bytes. If `urgent`, the last of those that are written is urgent.
    pub(super) fn write(&mut self, key: usize, bytes: &[u8], urgent: bool) -> io::Result<usize> {
        let size = match self.room(key) {
            Some(0) => return Err(ErrorKind::WouldBlock.into()),
            Some(room) => room.min(bytes.len()),
            None => {
                let failure = self.failure(key);
                return Err(failure.unwrap_or_else(|| io::Error::from_raw_os_error(libc::EPIPE)));
            }
        };
        self.writes += 1;
        let number = self.writes;
        if let Some(peer) = self.wire(key).and_then(|wire| wire.peer) {
            if let Some(wire) = self.wire(peer) {
                wire.put(&bytes[..size], number, urgent);
            }
            self.mark_readable(peer);
        }
        Ok(size)
    }

    /// Why nothing can be read or written, now or ever.
    pub(super) fn failure(&mut self, key: usize) -> Option<io::Error> {
        self.wire(key)?.failure()
    }

    // --- the end

    pub(super) fn end_output(&mut self, key: usize) {
        let Some(wire) = self.wire(key) else { return };
        if std::mem::replace(&mut wire.output_ended, true) {
            return;
        }
        if let Some(peer) = wire.peer {
            if let Some(wire) = self.wire(peer) {
                wire.input_ended = true;
            }
            self.mark_readable(peer);
        }
    }

    /// There is one more handle of a socket.
    pub(super) fn duplicate(&mut self, key: usize) {
        self.sockets[key].handles += 1;
    }

    /// There is one handle less of a socket. The last one closes it.
    pub(super) fn release(&mut self, key: usize) {
        let handles = &mut self.sockets[key].handles;
        *handles -= 1;
        if *handles == 0 {
            self.close(key);
        }
    }

    fn close(&mut self, key: usize) {
        if self.wire(key).is_some_and(|wire| wire.has_input()) {
            // As the system does: bytes that nobody reads any more.
            self.reset(key);
        }
        self.end_output(key);
        if let Some(peer) = self.wire(key).and_then(|wire| wire.peer) {
            if let Some(wire) = self.wire(peer) {
                wire.peer = None;
            }
            // A write that waits for room fails now.
            self.mark_writable(peer);
        }
        let Some(socket) = self.sockets.try_remove(key) else {
            return;
        };
        self.served -= usize::from(socket.side == Side::Server);
        let ip = socket.address.ip();
        if let Some(count) = self.addresses.get_mut(&ip) {
            *count -= 1;
            if *count == 0 {
                self.addresses.remove(&ip);
            }
        }
        if let Kind::Listener(waiting) = socket.kind {
            self.listeners.remove(&socket.address);
            for unaccepted in waiting {
                self.reset(unaccepted);
                self.close(unaccepted);
            }
        }
    }

    pub(super) fn reset(&mut self, key: usize) {
        let peer = self.wire(key).and_then(|wire| wire.peer);
        for end in [Some(key), peer].into_iter().flatten() {
            if let Some(wire) = self.wire(end) {
                wire.reset();
            }
            self.mark_changed(end, |_| true);
        }
    }

    // --- questions

    pub(super) fn address(&self, key: usize) -> SocketAddr {
        self.sockets[key].address
    }

    /// The address of the other end of a connection.
    pub(super) fn peer_address(&mut self, key: usize) -> Option<SocketAddr> {
        let wire = self.wire(key);
        let connected = wire.filter(|wire| wire.stage == Stage::Connected);
        connected.map(|wire| wire.peer_address)
    }

    /// Whether the other end has closed its side, or the connection was reset.
    pub(super) fn is_closed(&mut self, key: usize) -> bool {
        self.wire(key).is_none_or(|wire| wire.is_closed())
    }
}

/// The first of the ports that the network chooses, which are the dynamic ports of RFC 6335.
const FIRST_PORT: u16 = 49_152;
