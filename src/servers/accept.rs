//! The listening sockets of a server as a channel, and what starts the sessions of the
//! connections that it accepts.

use std::io;
use std::mem;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use crate::handlers::connection::Connection;
use crate::handlers::{FTPConfig, FTPHandler, NewSession};
use crate::ioloop::{Channel, Io, Listener, Readiness, Source, Stream, StreamListener};
use crate::limits::{Admission, Slot};
use crate::log::TARGET;
use crate::proto::address::canonical;
use crate::server_state::ServerState;
use crate::sys;

/// A connection that was accepted, and has no session yet.
pub(super) struct NewConnection {
    pub(super) stream: Stream,
    pub(super) peer: SocketAddr,
    pub(super) slot: Slot,
    pub(super) admission: Admission,
    pub(super) config: Arc<FTPConfig>,
    pub(super) state: Arc<ServerState>,
}

impl NewConnection {
    /// The same connection, to be refused because there are too many.
    pub(super) fn refused(self) -> Self {
        Self {
            admission: Admission::MaxCons,
            ..self
        }
    }

    /// Starts the session on this loop. If it is not admitted, it only sends its 421.
    pub(super) fn start_session<H: FTPHandler + 'static>(
        self,
        io: &mut Io<'_>,
        factory: impl FnOnce(SocketAddr) -> H,
    ) {
        let peer = self.peer;
        // A panic of the factory closes this connection only: the listener goes on.
        let Ok(handler) = catch_unwind(AssertUnwindSafe(|| factory(peer))) else {
            log::error!(target: TARGET, "the factory of handlers panicked for {peer}");
            return;
        };
        let now = io.now();
        io.add_with(|id, remote| {
            let arrival = NewSession {
                stream: self.stream,
                peer,
                config: self.config,
                server: self.state,
                slot: self.slot,
                remote: remote.clone(),
                id,
                now,
            };
            Box::new(Connection::new(arrival, handler, self.admission))
        });
    }
}

/// Starts the sessions of new connections: on the loop, in threads or in processes.
pub(super) trait StartSession {
    /// Starts a session; `io` is the loop of the server.
    fn start(&mut self, io: &mut Io<'_>, connection: NewConnection);
}

/// Starts sessions on the loop of the server.
pub(super) struct OnLoop<F>(pub(super) F);

impl<H, F> StartSession for OnLoop<F>
where
    H: FTPHandler + 'static,
    F: FnMut(SocketAddr) -> H,
{
    fn start(&mut self, io: &mut Io<'_>, connection: NewConnection) {
        connection.start_session(io, &mut self.0);
    }
}

/// A lack of threads, processes or descriptors. Logs a shortage once, until it ends.
#[derive(Default)]
pub(super) struct Shortage {
    logged: bool,
}

impl Shortage {
    /// A connection is refused: `what` has failed.
    pub(super) fn log(&mut self, what: &str, err: &io::Error) {
        if !mem::replace(&mut self.logged, true) {
            log::error!(target: TARGET, "{what}: {err}; new connections get 421 until it works");
        }
    }

    /// The last attempt succeeded: the next shortage is logged again.
    pub(super) fn end(&mut self) {
        self.logged = false;
    }

    #[cfg(test)]
    pub(super) fn was_logged(&self) -> bool {
        self.logged
    }
}

/// The listening sockets of a server as a channel.
pub(super) struct ServerChannel {
    pub(super) listening: Vec<Listening>,
    pub(super) state: Arc<ServerState>,
    pub(super) sessions: Box<dyn StartSession>,
}

/// One of them. Its place in the list is its source.
pub(super) struct Listening {
    listener: Listener<StreamListener>,
    /// The settings of the sessions that begin here.
    config: Arc<FTPConfig>,
    /// Whether connections may wait, for the next round.
    goes_on: bool,
}

impl Listening {
    pub(super) fn new(socket: StreamListener, config: Arc<FTPConfig>) -> Self {
        Self {
            listener: Listener::new(socket),
            config,
            goes_on: false,
        }
    }
}

impl ServerChannel {
    /// Accepts connections at the sockets that are to be looked at.
    fn accept(&mut self, io: &mut Io<'_>, is_due: impl Fn(usize, &Listening) -> bool) {
        let Self {
            listening,
            state,
            sessions,
        } = self;
        let due = listening.iter_mut().enumerate();
        for (_, one) in due.filter(|(number, one)| is_due(*number, one)) {
            let config = &one.config;
            one.goes_on = one.listener.accept_all(io, |io, stream, peer| {
                accepted(io, stream, peer, config, state, &mut **sessions);
            });
        }
    }
}

/// A client has connected.
fn accepted(
    io: &mut Io<'_>,
    stream: Stream,
    peer: SocketAddr,
    config: &Arc<FTPConfig>,
    state: &Arc<ServerState>,
    sessions: &mut dyn StartSession,
) {
    let descriptor = stream.descriptor();
    if !sys::INHERITS_OPTIONS
        && let Some(socket) = &descriptor
    {
        sys::control_options(socket, config.tcp_no_delay);
    }
    let ip = canonical(peer.ip());
    if !state.guard.admits(ip, io.now()) {
        return;
    }
    let (slot, admission) = match config.admits(ip) {
        true => state.admit(ip, descriptor, io.now()),
        false => (state.slot(ip), Admission::Address),
    };
    let connection = NewConnection {
        stream,
        peer,
        slot,
        admission,
        config: Arc::clone(config),
        state: Arc::clone(state),
    };
    sessions.start(io, connection);
}

impl Channel for ServerChannel {
    fn opened(&mut self, io: &mut Io<'_>) {
        for (one, source) in self.listening.iter_mut().zip(0..) {
            one.listener.opened(io, source);
        }
    }

    fn ready(&mut self, io: &mut Io<'_>, source: Source, _readiness: Readiness) {
        self.accept(io, |number, _| number == usize::from(source));
    }

    fn again(&mut self, io: &mut Io<'_>) {
        self.accept(io, |_, one| one.goes_on);
    }

    fn timeout(&mut self, io: &mut Io<'_>) {
        let now = io.now();
        self.accept(io, |_, one| {
            one.listener.retry_at.is_some_and(|at| at <= now)
        });
    }

    fn next_timeout(&self) -> Option<Instant> {
        self.listening
            .iter()
            .filter_map(|one| one.listener.retry_at)
            .min()
    }

    fn drain(&mut self, io: &mut Io<'_>) {
        self.close(io);
    }

    fn close(&mut self, _io: &mut Io<'_>) {
        self.listening.clear();
    }

    fn is_closed(&self) -> bool {
        self.listening.is_empty()
    }
}
