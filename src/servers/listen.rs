//! The listening sockets of a server, and of its workers.

use std::io;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::sync::Arc;
use std::time::Instant;

use mio::net::TcpListener;

use super::signals::log_nothing_to_reload;
use crate::ioloop::bind_af_unspecified;
use crate::log::TARGET;
use crate::prefork::Service;
use crate::server_state::ServerState;
use crate::sys::{self, Held, Pid};

/// What a server listens on.
pub(super) enum Endpoint<'a> {
    /// An address: `host` (`""` for all) and `port` (0: the system chooses one).
    Address {
        host: &'a str,
        port: u16,
        backlog: i32,
    },
    /// A socket that listens already.
    Listener(StdListener),
}

impl<'a> Endpoint<'a> {
    /// The endpoint of an address such as `[::]:2121`, with the default backlog.
    pub(super) fn parse(address: &'a str) -> io::Result<Self> {
        let parts = address.rsplit_once(':');
        let parts = parts.and_then(|(host, port)| Some((host, port.parse().ok()?)));
        let Some((host, port)) = parts else {
            let text = format!("{address:?} is not host:port, such as 127.0.0.1:2121 or [::]:2121");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        };
        Ok(Self::Address {
            host,
            port,
            backlog: BACKLOG,
        })
    }

    /// How many connections may wait to be accepted.
    pub(super) fn backlog(&self) -> i32 {
        match self {
            Self::Address { backlog, .. } => *backlog,
            Self::Listener(_) => BACKLOG,
        }
    }

    /// Returns the listening socket.
    pub(super) fn listen(self) -> io::Result<TcpListener> {
        match self {
            Self::Address {
                host,
                port,
                backlog,
            } => bind_af_unspecified(host, port, backlog),
            Self::Listener(listener) => {
                listener.set_nonblocking(true)?;
                Ok(TcpListener::from_std(listener))
            }
        }
    }
}

/// The listening sockets of workers, as the master keeps them.
pub(super) struct WorkerListeners {
    /// One for each worker, so that the successor of a worker accepts the connections
    /// that wait when the worker dies; or one for all workers.
    listeners: Vec<TcpListener>,
    state: Arc<ServerState>,
    ends_at_hang_up: bool,
}

impl WorkerListeners {
    /// Opens a listening socket for each worker, `first` among them, so that the kernel
    /// spreads connections evenly. If the system cannot do that, all workers share
    /// `first`. Control connections inherit the options of their listening socket.
    pub(super) fn new(
        first: TcpListener,
        address: SocketAddr,
        workers: usize,
        no_delay: bool,
        state: &Arc<ServerState>,
        ends_at_hang_up: bool,
    ) -> Self {
        let others = sys::share_port(&first).and_then(|()| {
            let open = |_| {
                let listener = sys::listen_beside(address, state.backlog())?;
                sys::control_options(&listener, no_delay);
                Ok(listener)
            };
            (1..workers).map(open).collect::<io::Result<Vec<_>>>()
        });
        let others = others.unwrap_or_else(|err| {
            log::warn!(
                target: TARGET,
                "workers share one listening socket, so connections are spread unevenly: {err}"
            );
            Vec::new()
        });
        let others = others.into_iter().map(TcpListener::from_std);
        Self {
            listeners: std::iter::once(first).chain(others).collect(),
            state: Arc::clone(state),
            ends_at_hang_up,
        }
    }

    /// In a worker: takes its listening socket, and closes the others.
    pub(super) fn take(mut self, worker: usize) -> TcpListener {
        let index = worker.min(self.listeners.len() - 1);
        self.listeners.swap_remove(index)
    }
}

impl Service for WorkerListeners {
    fn reload(&mut self) -> bool {
        match &self.state.tls {
            Some(tls) => {
                // The workers log what they have read again, errors and warnings.
                tls.reload_silently();
                true
            }
            None => {
                log_nothing_to_reload();
                false
            }
        }
    }

    fn ends_at_hang_up(&self) -> bool {
        self.ends_at_hang_up
    }

    /// Without its worker, no process accepts the connections of a listening socket.
    fn needs_every_worker(&self) -> bool {
        true
    }

    fn look_after(&mut self, now: Instant) -> Held {
        self.state.look_at_locks(now)
    }

    fn worker_ended(&mut self, pid: Pid) {
        self.state.forget_process(pid);
    }

    fn stop(&mut self) {
        self.listeners.clear();
    }
}

/// How many connections may wait to be accepted by default. pyftpdlib's 100 are fewer than a crowd
/// of connections fills in a moment: then the system drops those of other clients, which try again
/// a second later.
const BACKLOG: i32 = 1024;

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::net::TcpStream;

    use socket2::SockRef;

    use super::*;
    use crate::guard::GuardConfig;

    /// Control connections inherit the options of whichever socket accepts them.
    #[test]
    fn all_listeners_of_workers_have_the_same_options() {
        for no_delay in [true, false] {
            let first = bind_af_unspecified("127.0.0.1", 0, BACKLOG).unwrap();
            sys::control_options(&first, no_delay);
            let address = first.local_addr().unwrap();
            let state = Arc::new(ServerState::new(BACKLOG, None, &GuardConfig::default()));
            let workers = WorkerListeners::new(first, address, 3, no_delay, &state, true);
            assert_eq!(workers.listeners.len(), 3);
            for listener in &workers.listeners {
                let options = SockRef::from(listener);
                assert!(options.out_of_band_inline().unwrap());
                assert_eq!(options.tcp_nodelay().unwrap(), no_delay);
            }
            // Enough that each listening socket gets some.
            let clients: Vec<_> = (0..48)
                .map(|_| TcpStream::connect(address).unwrap())
                .collect();
            let mut accepted = 0;
            for listener in &workers.listeners {
                while let Ok((socket, _)) = listener.accept() {
                    let options = SockRef::from(&socket);
                    assert!(options.out_of_band_inline().unwrap());
                    assert_eq!(options.tcp_nodelay().unwrap(), no_delay);
                    accepted += 1;
                }
            }
            assert_eq!(accepted, clients.len());
        }
    }
}
