//! The two ends at which conversations begin: [`Acceptor`] and [`Connector`].

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use mio::Interest;

use super::addresses::{bind_af_unspecified, connect_af_unspecified};
use super::chat_channel::{ChatChannel, ChatHandler};
use super::core::{Channel, Io};
use super::event::{Readiness, Source};
use super::listener::Listener;
use super::stream::Stream;

/// A channel that listens, and makes a conversation of each connection.
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
    /// Those of [`bind_af_unspecified`].
    pub fn bind(host: &str, port: u16, factory: F) -> io::Result<Self> {
        Ok(Self {
            listener: Listener::new(bind_af_unspecified(host, port, BACKLOG)?),
            factory,
            closed: false,
        })
    }

    /// The address that it listens on.
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
        self.listener.opened(io, 0);
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

/// A channel that connects. Once the connection is made, a conversation takes its place.
pub struct Connector<H: ChatHandler> {
    connecting: Option<(Stream, H)>,
    timeout: Duration,
    /// Set when the channel is on the loop.
    deadline: Option<Instant>,
}

impl<H: ChatHandler + 'static> Connector<H> {
    /// Connects to `host:port` within `timeout`, which counts from when the channel is on the loop.
    ///
    /// # Errors
    /// Those of [`connect_af_unspecified`].
    pub fn connect(host: &str, port: u16, timeout: Duration, handler: H) -> io::Result<Self> {
        let stream = Stream::new(connect_af_unspecified(host, port, None)?);
        Ok(Self {
            connecting: Some((stream, handler)),
            timeout,
            deadline: None,
        })
    }

    /// Ends without a connection.
    fn give_up(&mut self) {
        if let Some((_, mut handler)) = self.connecting.take() {
            handler.on_disconnect();
        }
    }
}

impl<H: ChatHandler + 'static> Channel for Connector<H> {
    fn opened(&mut self, io: &mut Io<'_>) {
        self.deadline = io.now().checked_add(self.timeout);
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

/// How many connections may wait to be accepted, as in pyftpdlib.
const BACKLOG: i32 = 100;
