//! The two ends at which connections begin: [`Acceptor`] and [`Connector`].

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::time::{Duration, Instant};

use mio::Interest;
use mio::event::Source as MioSource;
use mio::net::{TcpListener, TcpStream};

use super::chat::{ChatChannel, ChatHandler};
use super::memory::MemoryListener;
use super::stream::{self, Stream};
use super::{Channel, Io, Readiness, Source};
use crate::sys;

/// Binds and listens on the first address of `host` that works, IPv6 or IPv4:
/// as pyftpdlib's `bind_af_unspecified`.
///
/// `""` stands for all addresses: dual stack where the system has IPv6, else
/// IPv4. `"::"` is dual stack too.
///
/// # Errors
/// Of the last address tried, or of looking up the name.
pub fn bind_af_unspecified(host: &str, port: u16, backlog: i32) -> io::Result<TcpListener> {
    let addresses: Vec<SocketAddr> = match host {
        "" => vec![
            SocketAddr::from((Ipv6Addr::UNSPECIFIED, port)),
            SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)),
        ],
        host => (host.trim_matches(['[', ']']), port)
            .to_socket_addrs()?
            .collect(),
    };
    let mut error = io::Error::new(io::ErrorKind::NotFound, "no address of that name");
    for address in addresses {
        match sys::listen(address, backlog, true) {
            Ok(listener) => return Ok(TcpListener::from_std(listener)),
            Err(err) => error = err,
        }
    }
    Err(error)
}

/// Begins to connect to the first address of `host` that works, from `source`
/// if one is given: as pyftpdlib's `connect_af_unspecified`. An event tells
/// when it is connected.
///
/// # Errors
/// Of the last address tried, or of looking up the name.
pub fn connect_af_unspecified(
    host: &str,
    port: u16,
    source: Option<IpAddr>,
) -> io::Result<TcpStream> {
    let mut error = io::Error::new(io::ErrorKind::NotFound, "no address of that name");
    let host = host.trim_matches(['[', ']']);
    for address in (host, port).to_socket_addrs()? {
        match sys::connect(address, source) {
            Ok(stream) => return Ok(TcpStream::from_std(stream)),
            Err(err) => error = err,
        }
    }
    Err(error)
}

/// A listener that makes a conversation of each connection.
pub struct Acceptor<F> {
    listener: Listener,
    factory: F,
    closed: bool,
}

impl<F, H> Acceptor<F>
where
    F: FnMut(SocketAddr) -> H,
    H: ChatHandler + 'static,
{
    /// Listens on `host:port`; `factory` makes the handler of each connection.
    ///
    /// # Errors
    /// As [`bind_af_unspecified`].
    pub fn bind(host: &str, port: u16, factory: F) -> io::Result<Self> {
        Ok(Self {
            listener: Listener::new(bind_af_unspecified(host, port, 100)?),
            factory,
            closed: false,
        })
    }

    /// The address it listens on.
    ///
    /// # Errors
    /// Those of the system.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.socket.local_addr()
    }
}

impl<F, H> Channel for Acceptor<F>
where
    F: FnMut(SocketAddr) -> H + 'static,
    H: ChatHandler + 'static,
{
    fn opened(&mut self, io: &mut Io<'_>) {
        self.listener.opened(io);
    }

    fn ready(&mut self, io: &mut Io<'_>, _source: Source, _readiness: Readiness) {
        let factory = &mut self.factory;
        self.listener.accept_all(io, |io, socket, peer| {
            io.add(ChatChannel::new(Stream::new(socket), factory(peer)));
        });
    }

    fn again(&mut self, io: &mut Io<'_>) {
        self.ready(io, 0, Readiness::default());
    }

    fn timeout(&mut self, io: &mut Io<'_>) {
        self.ready(io, 0, Readiness::default());
    }

    fn next_timeout(&self) -> Option<Instant> {
        self.listener.retry_at
    }

    fn close(&mut self, _io: &mut Io<'_>) {
        self.closed = true;
    }

    fn is_closed(&self) -> bool {
        self.closed
    }
}

impl<F> fmt::Debug for Acceptor<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Acceptor")
            .field("listener", &self.listener)
            .finish_non_exhaustive()
    }
}

/// A listening socket, and what to do when the system runs out of descriptors.
#[derive(Debug)]
pub(crate) struct Listener<L = TcpListener> {
    pub(crate) socket: L,
    /// When to try again: no new event comes for connections that wait already.
    pub(crate) retry_at: Option<Instant>,
    /// Whether the last try has failed: that is said once, however long it lasts.
    failing: bool,
}

impl<L: Accept> Listener<L> {
    pub(crate) fn new(socket: L) -> Self {
        Self {
            socket,
            retry_at: None,
            failing: false,
        }
    }

    pub(crate) fn opened(&mut self, io: &mut Io<'_>) {
        if let Err(err) = self.watch(io, 0) {
            log::error!(target: crate::log::TARGET, "cannot watch the listening socket: {err}");
        }
    }

    pub(crate) fn watch(&mut self, io: &mut Io<'_>, source: Source) -> io::Result<()> {
        io.register(self.socket.source(), source, Interest::READABLE)
    }

    /// The next connection that waits. `None`: there is none, or none can be
    /// taken; an event, or `retry_at`, will tell when to ask again.
    pub(crate) fn accept(&mut self, now: Instant) -> Option<(L::Connection, SocketAddr)> {
        self.accept_by(now, L::accept)
    }

    fn accept_by<T>(
        &mut self,
        now: Instant,
        mut accept: impl FnMut(&L) -> io::Result<T>,
    ) -> Option<T> {
        self.retry_at = None;
        for _ in 0..FAILURES {
            match stream::retry(|| accept(&self.socket)) {
                Ok(accepted) => {
                    self.failing = false;
                    return accepted;
                }
                Err(err) if stream::is_exhaustion(&err) => return self.pause(now, &err),
                // Of a connection that was gone before it was accepted, mostly.
                Err(err) => log::debug!(target: crate::log::TARGET, "accept: {err}"),
            }
        }
        self.pause(now, &io::Error::other("it fails again and again"))
    }

    fn pause<T>(&mut self, now: Instant, err: &io::Error) -> Option<T> {
        if !std::mem::replace(&mut self.failing, true) {
            log::error!(target: crate::log::TARGET, "cannot accept: {err}; trying again until it works");
        }
        self.retry_at = Some(now + RETRY_DELAY);
        None
    }

    /// Accepts what waits, some connections a turn.
    pub(crate) fn accept_all(
        &mut self,
        io: &mut Io<'_>,
        mut accepted: impl FnMut(&mut Io<'_>, L::Connection, SocketAddr),
    ) {
        for _ in 0..ACCEPTS {
            match self.accept(io.now()) {
                Some((socket, peer)) => accepted(io, socket, peer),
                None => return,
            }
        }
        io.again();
    }
}

/// What connections are accepted from.
pub(crate) trait Accept {
    type Connection;

    /// What the loop watches.
    fn source(&mut self) -> &mut dyn MioSource;

    /// The next connection; `WouldBlock` if none waits.
    fn accept(&self) -> io::Result<(Self::Connection, SocketAddr)>;
}

impl Accept for TcpListener {
    type Connection = TcpStream;

    fn source(&mut self) -> &mut dyn MioSource {
        self
    }

    fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        self.accept()
    }
}

/// What listens beside a stream: a socket of the system, or one in memory if that
/// is one.
#[derive(Debug)]
pub(crate) enum SideListener {
    Tcp(TcpListener),
    Memory(MemoryListener),
}

impl SideListener {
    /// Listens on `address`; `reuse` as `sys::listen`.
    pub(crate) fn bind(
        beside: &Stream,
        address: SocketAddr,
        backlog: i32,
        reuse: bool,
    ) -> io::Result<Self> {
        Ok(match beside.network() {
            None => Self::Tcp(TcpListener::from_std(sys::listen(address, backlog, reuse)?)),
            Some(network) => Self::Memory(network.listen(address)?),
        })
    }

    pub(crate) fn local_addr(&self) -> io::Result<SocketAddr> {
        match self {
            Self::Tcp(socket) => socket.local_addr(),
            Self::Memory(socket) => Ok(socket.local_addr()),
        }
    }
}

impl Accept for SideListener {
    type Connection = Stream;

    fn source(&mut self) -> &mut dyn MioSource {
        match self {
            Self::Tcp(socket) => socket,
            Self::Memory(socket) => socket.source(),
        }
    }

    fn accept(&self) -> io::Result<(Stream, SocketAddr)> {
        match self {
            Self::Tcp(socket) => socket.accept().map(|(tcp, peer)| (Stream::new(tcp), peer)),
            Self::Memory(socket) => {
                let accepted = socket.accept();
                accepted.map(|(socket, peer)| (Stream::in_memory(socket), peer))
            }
        }
    }
}

/// Begins to connect where another stream is: in the system's network, or in memory.
pub(crate) fn connect_beside(
    beside: &Stream,
    target: SocketAddr,
    source: Option<IpAddr>,
) -> io::Result<Stream> {
    Ok(match beside.network() {
        None => Stream::new(TcpStream::from_std(sys::connect(target, source)?)),
        Some(network) => {
            let source = source.unwrap_or(target.ip());
            Stream::in_memory(network.connect(SocketAddr::new(source, 0), target)?)
        }
    })
}

/// A connection that is being made; once it is there, a conversation.
pub struct Connector<H: ChatHandler> {
    connecting: Option<(Stream, H)>,
    deadline: Option<Instant>,
}

impl<H: ChatHandler + 'static> Connector<H> {
    /// Connects to `host:port` within `timeout`.
    ///
    /// # Errors
    /// As [`connect_af_unspecified`].
    pub fn connect(host: &str, port: u16, timeout: Duration, handler: H) -> io::Result<Self> {
        let stream = Stream::new(connect_af_unspecified(host, port, None)?);
        Ok(Self {
            connecting: Some((stream, handler)),
            deadline: Instant::now().checked_add(timeout),
        })
    }

    /// Without success.
    fn give_up(&mut self) {
        if let Some((_, mut handler)) = self.connecting.take() {
            handler.on_disconnect();
        }
    }
}

impl<H: ChatHandler + 'static> Channel for Connector<H> {
    fn opened(&mut self, io: &mut Io<'_>) {
        let failed = self
            .connecting
            .as_mut()
            .is_none_or(|(stream, _)| stream.watch(io, 0, Some(Interest::WRITABLE)).is_err());
        if failed {
            self.give_up();
        }
    }

    fn ready(&mut self, io: &mut Io<'_>, _source: Source, _readiness: Readiness) {
        let Some((stream, _)) = &self.connecting else {
            return;
        };
        if !matches!(stream.take_error(), Ok(None)) {
            self.give_up();
        } else if stream.peer_addr().is_ok()
            && let Some((mut stream, handler)) = self.connecting.take()
        {
            match stream.watch(io, 0, None) {
                Ok(()) => drop(io.add(ChatChannel::new(stream, handler))),
                Err(_) => self.connecting = Some((stream, handler)),
            }
        }
    }

    fn timeout(&mut self, _io: &mut Io<'_>) {
        self.give_up();
    }

    fn next_timeout(&self) -> Option<Instant> {
        self.deadline
    }

    fn close(&mut self, _io: &mut Io<'_>) {
        self.give_up();
    }

    fn is_closed(&self) -> bool {
        self.connecting.is_none()
    }
}

impl<H: ChatHandler> fmt::Debug for Connector<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connector")
            .field(
                "connecting",
                &self.connecting.as_ref().map(|(stream, _)| stream),
            )
            .finish_non_exhaustive()
    }
}

/// Connections accepted in one turn.
const ACCEPTS: usize = 32;

/// Failures in a row after which a listener pauses.
const FAILURES: usize = 8;

/// How long to wait for descriptors.
const RETRY_DELAY: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::*;

    fn listener() -> Listener {
        Listener::new(bind_af_unspecified("127.0.0.1", 0, 1).unwrap())
    }

    #[test]
    fn exhaustion_is_waited_for() {
        for errno in [libc::EMFILE, libc::ENFILE, libc::ENOBUFS, libc::ENOMEM] {
            let mut listener = listener();
            let now = Instant::now();
            let mut calls = 0;
            for _ in 0..3 {
                let accepted = listener.accept_by(now, |_| {
                    calls += 1;
                    Err::<(), _>(io::Error::from_raw_os_error(errno))
                });
                assert_eq!(accepted, None);
                assert_eq!(listener.retry_at, Some(now + RETRY_DELAY));
                assert!(listener.failing);
            }
            // Once each time, and told once.
            assert_eq!(calls, 3);
            assert_eq!(listener.accept_by(now, |_| Ok(())), Some(()));
            assert_eq!(listener.retry_at, None);
            assert!(!listener.failing);
        }
    }

    #[test]
    fn connections_that_are_gone_are_passed_over() {
        let mut listener = listener();
        let now = Instant::now();
        let gone = || io::Error::from_raw_os_error(libc::ECONNABORTED);
        let mut calls = 0;
        let accepted = listener.accept_by(now, |_| {
            calls += 1;
            if calls < 3 { Err(gone()) } else { Ok(()) }
        });
        assert_eq!((accepted, listener.retry_at), (Some(()), None));
        // But not for ever.
        let accepted = listener.accept_by(now, |_| Err::<(), _>(gone()));
        let expected = Some(now + RETRY_DELAY);
        assert_eq!((accepted, listener.retry_at), (None, expected));
        let nobody = |_: &TcpListener| Err::<(), _>(io::ErrorKind::WouldBlock.into());
        let accepted = listener.accept_by(now, nobody);
        assert_eq!((accepted, listener.retry_at), (None, None));
    }
}
