//! Listening sockets: how connections are accepted, also when descriptors run out.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use mio::Interest;
use mio::net::{TcpListener, TcpStream};

use super::core::Io;
use super::event::Source;
use super::memory::MemoryListener;
use super::socket::retry;
use super::stream::Stream;
use crate::sys;

/// A listening socket that survives when the system runs out of descriptors.
#[derive(Debug)]
pub(crate) struct Listener<L = TcpListener> {
    pub(crate) socket: L,
    /// When to try again: no new event comes for connections that wait already.
    pub(crate) retry_at: Option<Instant>,
    /// Whether the last try has failed. A failure is logged once, however long it lasts.
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

    pub(crate) fn opened(&mut self, io: &mut Io<'_>, source: Source) {
        if let Err(err) = self.watch(io, source) {
            log::error!(target: crate::log::TARGET, "cannot watch the listening socket: {err}");
        }
    }

    pub(crate) fn watch(&mut self, io: &mut Io<'_>, source: Source) -> io::Result<()> {
        self.socket.watch(io, source)
    }

    /// Accepts the next connection. `None`: none waits, or none can be accepted now; call again at
    /// the next event, or at `retry_at`.
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
            match retry(|| accept(&self.socket)) {
                Ok(accepted) => {
                    self.failing = false;
                    return accepted;
                }
                Err(err) if is_exhaustion(&err) => return self.pause(now, &err),
                // Most often the connection was gone before it was accepted.
                Err(err) => log::debug!(target: crate::log::TARGET, "accept failed: {err}"),
            }
        }
        self.pause(now, &io::Error::other("too many failures in a row"))
    }

    fn pause<T>(&mut self, now: Instant, err: &io::Error) -> Option<T> {
        if !std::mem::replace(&mut self.failing, true) {
            log::error!(target: crate::log::TARGET, "cannot accept: {err}; trying again until it works");
        }
        self.retry_at = Some(now + RETRY_DELAY);
        None
    }

    /// Accepts the connections that wait, some in each turn. Returns whether there may be more, for
    /// the next round.
    pub(crate) fn accept_all(
        &mut self,
        io: &mut Io<'_>,
        mut accepted: impl FnMut(&mut Io<'_>, L::Connection, SocketAddr),
    ) -> bool {
        for _ in 0..ACCEPTS {
            match self.accept(io.now()) {
                Some((socket, peer)) => accepted(io, socket, peer),
                None => return false,
            }
        }
        io.again();
        true
    }
}

/// A socket that connections are accepted from.
pub(crate) trait Accept {
    type Connection;

    /// Makes the loop watch the socket.
    fn watch(&mut self, io: &mut Io<'_>, source: Source) -> io::Result<()>;

    /// Accepts the next connection. `WouldBlock` if none waits.
    fn accept(&self) -> io::Result<(Self::Connection, SocketAddr)>;
}

impl Accept for TcpListener {
    type Connection = TcpStream;

    fn watch(&mut self, io: &mut Io<'_>, source: Source) -> io::Result<()> {
        io.register(self, source, Interest::READABLE)
    }

    fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        self.accept()
    }
}

/// A socket that listens for [`Stream`]s: one of the system, or one in memory.
#[derive(Debug)]
pub(crate) enum StreamListener {
    Tcp(TcpListener),
    Memory(MemoryListener),
}

impl StreamListener {
    /// Listens on `address` in the network that `like` is in: the system's, or one in memory.
    ///
    /// Port 0 stands for a port of the network's choice. Another port may be taken although its
    /// last connections still linger.
    pub(crate) fn bind(like: &Stream, address: SocketAddr, backlog: i32) -> io::Result<Self> {
        Ok(match like.network() {
            None => {
                let reuse = address.port() != 0;
                Self::Tcp(TcpListener::from_std(sys::listen(address, backlog, reuse)?))
            }
            Some(network) => Self::Memory(network.serve(address)?),
        })
    }

    /// Listens as [`bind`](Self::bind) does, on a port of the network's choice, which is returned
    /// too.
    pub(crate) fn bind_anywhere(
        like: &Stream,
        mut address: SocketAddr,
        backlog: i32,
    ) -> io::Result<(Self, u16)> {
        address.set_port(0);
        Ok(match like.network() {
            None => {
                let (socket, port) = sys::listen_anywhere(address, backlog)?;
                (Self::Tcp(TcpListener::from_std(socket)), port)
            }
            Some(network) => {
                let socket = network.serve(address)?;
                let port = socket.local_addr().port();
                (Self::Memory(socket), port)
            }
        })
    }
}

impl Accept for StreamListener {
    type Connection = Stream;

    fn watch(&mut self, io: &mut Io<'_>, source: Source) -> io::Result<()> {
        match self {
            Self::Tcp(socket) => socket.watch(io, source),
            Self::Memory(socket) => {
                socket.watch(Some((io.token(source)?, Interest::READABLE)));
                Ok(())
            }
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

/// Whether an error means that descriptors or memory have run out. Some may be free again in a
/// moment.
fn is_exhaustion(err: &io::Error) -> bool {
    matches!(
        err.raw_os_error(),
        Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM)
    )
}

/// How many connections are accepted at once, which happens twice in a turn while a crowd connects:
/// the sessions wait for these only.
const ACCEPTS: usize = 4;

/// After this many failures in a row a listener pauses.
const FAILURES: usize = 8;

/// How long a listener waits for descriptors.
const RETRY_DELAY: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ioloop::addresses::bind_af_unspecified;

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
            // It is tried once each time, and logged once.
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
