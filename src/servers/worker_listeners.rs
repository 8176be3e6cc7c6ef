//! The listening sockets of workers.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use mio::net::TcpListener;

use super::signals::log_nothing_to_reload;
use crate::log::TARGET;
use crate::prefork::Service;
use crate::server_state::ServerState;
use crate::sys::{self, Held, Pid};

/// The listening sockets of workers, as the master keeps them.
pub(super) struct WorkerListeners {
    /// For each address: a socket for each worker, so that the successor of a worker accepts the
    /// connections that wait when the worker dies; or one for all workers.
    listeners: Vec<Vec<TcpListener>>,
    state: Arc<ServerState>,
    ends_at_hang_up: bool,
}

impl WorkerListeners {
    /// Opens a listening socket for each worker at each address, those of `first` among them, so
    /// that the kernel spreads connections evenly. If the system cannot do that, all workers share
    /// the sockets of `first`. Control connections inherit the options of their listening socket.
    pub(super) fn new(
        first: Vec<First>,
        workers: usize,
        no_delay: bool,
        state: &Arc<ServerState>,
        ends_at_hang_up: bool,
    ) -> Self {
        let for_workers = |first: First| first.for_workers(workers, no_delay);
        Self {
            listeners: first.into_iter().map(for_workers).collect(),
            state: Arc::clone(state),
            ends_at_hang_up,
        }
    }

    /// In a worker: takes its listening sockets, one for each address, and closes the others.
    pub(super) fn take(self, worker: usize) -> Vec<TcpListener> {
        let own = |mut of_address: Vec<TcpListener>| {
            let index = worker.min(of_address.len() - 1);
            of_address.swap_remove(index)
        };
        self.listeners.into_iter().map(own).collect()
    }
}

/// The socket of an address that is there before the workers.
pub(super) struct First {
    pub(super) socket: TcpListener,
    pub(super) address: SocketAddr,
    pub(super) backlog: i32,
}

impl First {
    fn for_workers(self, workers: usize, no_delay: bool) -> Vec<TcpListener> {
        let others = sys::share_port(&self.socket).and_then(|()| {
            let open = |_| {
                let listener = sys::listen_beside(self.address, self.backlog)?;
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
        std::iter::once(self.socket).chain(others).collect()
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

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::net::TcpStream;

    use socket2::SockRef;

    use super::*;
    use crate::guard::GuardConfig;
    use crate::ioloop::bind_af_unspecified;
    use crate::servers::listen::BACKLOG;

    /// Control connections inherit the options of whichever socket accepts them.
    #[test]
    fn all_listeners_of_workers_have_the_same_options() {
        for no_delay in [true, false] {
            let first = bind_af_unspecified("127.0.0.1", 0, BACKLOG).unwrap();
            sys::control_options(&first, no_delay);
            let address = first.local_addr().unwrap();
            let state = Arc::new(ServerState::new(BACKLOG, None, &GuardConfig::default()));
            let first = First {
                socket: first,
                address,
                backlog: BACKLOG,
            };
            let workers = WorkerListeners::new(vec![first], 3, no_delay, &state, true);
            let [listeners] = &workers.listeners[..] else {
                unreachable!()
            };
            assert_eq!(listeners.len(), 3);
            for listener in listeners {
                let options = SockRef::from(listener);
                assert!(options.out_of_band_inline().unwrap());
                assert_eq!(options.tcp_nodelay().unwrap(), no_delay);
            }
            // Enough that each listening socket gets some.
            let clients: Vec<_> = (0..48)
                .map(|_| TcpStream::connect(address).unwrap())
                .collect();
            let mut accepted = 0;
            for listener in listeners {
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
