//! A server whose sockets are in memory, for [`testing`](crate::testing). Its connections are
//! accepted and limited as those of any server.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use super::accept::{Listening, OnLoop, ServerChannel};
use super::server::acceptor;
use crate::handlers::{FTPConfig, FTPHandler};
use crate::ioloop::memory::Network;
use crate::ioloop::{IOLoop, StreamListener};
use crate::random::Random;
use crate::server_state::ServerState;

/// Puts the listening socket of a server on a loop that has nothing of the system. Returns what
/// its sessions share, and the address at which it listens.
///
/// # Errors
/// Those of [`FTPServer::bind`](crate::FTPServer::bind).
pub(crate) fn serve_in_memory<H, F>(
    ioloop: &mut IOLoop,
    network: &Network,
    address: SocketAddr,
    mut config: FTPConfig,
    random: Random,
    factory: F,
) -> io::Result<(Arc<ServerState>, SocketAddr)>
where
    H: FTPHandler + 'static,
    F: FnMut(SocketAddr) -> H + 'static,
{
    let tls = acceptor(&config, network.clock().clone())?;
    if tls.is_some() {
        config.proto_cmds.insert_tls();
    }
    let socket = network.serve(address)?;
    let address = socket.local_addr();
    let state = Arc::new(ServerState::in_memory(
        tls,
        random,
        ioloop.now(),
        &config.guard,
    ));
    ioloop.add(ServerChannel {
        listening: vec![Listening::new(
            StreamListener::Memory(socket),
            Arc::new(config),
        )],
        state: Arc::clone(&state),
        sessions: Box::new(OnLoop(factory)),
    });
    Ok((state, address))
}
