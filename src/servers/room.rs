//! What a worker does when another one needs room: sessions of this one are to leave.

use std::io::{self, Read};
use std::sync::Arc;

use mio::Interest;
use mio::net::UnixStream;

use crate::ioloop::{Channel, IOLoop, Io, Readiness, Source};
use crate::log::TARGET;
use crate::server_state::ServerState;

/// The socket that becomes readable when another worker needs room, as a channel.
struct Room {
    socket: UnixStream,
    state: Arc<ServerState>,
    closed: bool,
}

/// This process is the worker of this number: other workers can ask its sessions to leave from
/// now on.
pub(super) fn watch(
    ioloop: &mut IOLoop,
    state: &Arc<ServerState>,
    number: usize,
) -> io::Result<()> {
    ioloop.add(Room {
        socket: UnixStream::from_std(state.limits.become_worker(number)?),
        state: Arc::clone(state),
        closed: false,
    });
    Ok(())
}

impl Channel for Room {
    fn opened(&mut self, io: &mut Io<'_>) {
        if let Err(err) = io.register(&mut self.socket, 0, Interest::READABLE) {
            log::error!(target: TARGET, "cannot watch for workers that need room: {err}");
        }
    }

    fn ready(&mut self, io: &mut Io<'_>, _source: Source, _readiness: Readiness) {
        while matches!(self.socket.read(&mut [0; 64]), Ok(1..)) {}
        self.state.limits.ask_leavers(io.now());
    }

    fn close(&mut self, _io: &mut Io<'_>) {
        self.closed = true;
    }

    fn is_closed(&self) -> bool {
        self.closed
    }
}
