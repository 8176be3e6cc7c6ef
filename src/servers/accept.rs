//! The listening socket of a server as a channel, and who gets what it accepts.

use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use mio::net::TcpStream;

use crate::handlers::connection::Connection;
use crate::handlers::{Arrival, FTPConfig, FTPHandler};
use crate::ioloop::{Channel, Io, Listener, Readiness, Source, Stream};
use crate::limits::{Admission, Slot};
use crate::log::TARGET;
use crate::proto::address::canonical;
use crate::server_state::ServerState;
use crate::sys;

/// Somebody who has connected.
pub(super) struct Newcomer {
    pub(super) socket: TcpStream,
    pub(super) peer: SocketAddr,
    pub(super) slot: Slot,
    pub(super) admission: Admission,
    pub(super) config: Arc<FTPConfig>,
    pub(super) state: Arc<ServerState>,
}

impl Newcomer {
    /// The same, to be told that there are too many.
    pub(super) fn refused(self) -> Self {
        Self {
            admission: Admission::MaxCons,
            ..self
        }
    }

    /// Becomes a session of this loop.
    pub(super) fn settle<H: FTPHandler + 'static>(
        self,
        io: &mut Io<'_>,
        factory: impl FnOnce(SocketAddr) -> H,
    ) {
        let peer = self.peer;
        // A panic there is of this connection only: the listener goes on.
        let Ok(handler) = catch_unwind(AssertUnwindSafe(|| factory(peer))) else {
            log::error!(target: TARGET, "making the handler of {peer} panicked");
            return;
        };
        let now = io.now();
        io.add_with(|id, remote| {
            let arrival = Arrival {
                stream: Stream::new(self.socket),
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

/// Who gets those who connect.
pub(super) trait Host {
    fn welcome(&mut self, io: &mut Io<'_>, newcomer: Newcomer);
}

/// The loop itself.
pub(super) struct OnLoop<F>(pub(super) F);

impl<H, F> Host for OnLoop<F>
where
    H: FTPHandler + 'static,
    F: FnMut(SocketAddr) -> H,
{
    fn welcome(&mut self, io: &mut Io<'_>, newcomer: Newcomer) {
        newcomer.settle(io, &mut self.0);
    }
}

/// The listening socket of a server as a channel.
pub(super) struct ServerChannel {
    pub(super) listener: Option<Listener>,
    pub(super) config: Arc<FTPConfig>,
    pub(super) state: Arc<ServerState>,
    pub(super) host: Box<dyn Host>,
}

impl ServerChannel {
    fn accept(&mut self, io: &mut Io<'_>) {
        let Self {
            listener,
            config,
            state,
            host,
        } = self;
        let Some(listener) = listener else { return };
        listener.accept_all(io, |io, socket, peer| {
            if !sys::INHERITS_OPTIONS {
                sys::control_options(&socket, config.tcp_no_delay);
            }
            let (slot, admission) = state.admit(canonical(peer.ip()), socket.as_fd());
            let newcomer = Newcomer {
                socket,
                peer,
                slot,
                admission,
                config: Arc::clone(config),
                state: Arc::clone(state),
            };
            host.welcome(io, newcomer);
        });
    }
}

impl Channel for ServerChannel {
    fn opened(&mut self, io: &mut Io<'_>) {
        if let Some(listener) = &mut self.listener {
            listener.opened(io);
        }
    }

    fn ready(&mut self, io: &mut Io<'_>, _source: Source, _readiness: Readiness) {
        self.accept(io);
    }

    fn again(&mut self, io: &mut Io<'_>) {
        self.accept(io);
    }

    fn timeout(&mut self, io: &mut Io<'_>) {
        self.accept(io);
    }

    fn next_timeout(&self) -> Option<Instant> {
        self.listener.as_ref()?.retry_at
    }

    fn drain(&mut self, io: &mut Io<'_>) {
        self.close(io);
    }

    fn close(&mut self, _io: &mut Io<'_>) {
        self.listener = None;
    }

    fn is_closed(&self) -> bool {
        self.listener.is_none()
    }
}
