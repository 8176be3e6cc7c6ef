//! The server: constructors and settings.

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::sync::Arc;
use std::time::{Duration, Instant};

use mio::net::TcpListener;

use super::accept::{ServerChannel, StartSession};
use super::constructors::constructors;
use super::listen::Endpoint;
use super::locks;
use super::model::{Model, ModelAndStart, on_loop};
use super::signals;
use crate::handlers::{FTPConfig, FTPHandler};
use crate::ioloop::clock::Clock;
use crate::ioloop::{IOLoop, Listener, StreamListener};
use crate::log::TARGET;
use crate::run_as::RunAs;
use crate::server_state::ServerState;
use crate::server_state::own_ports::Listening;
use crate::sys::{self, FileSizeSignal, LastResort};
use crate::tls::{TlsAcceptor, TlsError};

/// An FTP server on its own loop: as pyftpdlib's `FTPServer`.
///
/// ```no_run
/// use ftpdlib::authorizers::DummyAuthorizer;
/// use ftpdlib::handlers::StockHandler;
/// use ftpdlib::{FTPConfig, FTPServer};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let mut authorizer = DummyAuthorizer::new();
/// authorizer.add_user("user", "12345", "/home/user", "elradfmwMT")?;
/// let mut config = FTPConfig::default();
/// config.set_authorizer(authorizer);
/// FTPServer::bind("127.0.0.1:2121", config, |_peer| StockHandler)?.serve_forever()?;
/// # Ok(())
/// # }
/// ```
pub struct FTPServer {
    pub(super) ioloop: IOLoop,
    /// The listening socket, until it is put on the loop.
    pub(super) unopened: Option<Unopened>,
    pub(super) model: Model,
    pub(super) state: Arc<ServerState>,
    pub(super) config: Arc<FTPConfig>,
    address: SocketAddr,
    /// Keeps data connections away from that address.
    pub(super) listening: Vec<Listening>,
    /// The number of workers to fork; `None`: this process serves.
    pub(super) workers: Option<usize>,
    pub(super) drain_timeout: Duration,
    pub(super) ends_at_hang_up: bool,
    /// Whether signals end the server.
    pub(super) signals: bool,
    /// The user to switch to.
    pub(super) run_as: Option<RunAs>,
    /// Ends a process that is stuck, while the server serves.
    pub(super) last_resort: Option<Arc<LastResort>>,
    pub(super) status: u8,
    /// When sessions that have not ended by then are closed, once the end has begun.
    pub(super) end_by: Option<Instant>,
    /// Whether the server has ended.
    pub(super) finished: bool,
    /// An upload that is too large must not end the process.
    _file_size: FileSizeSignal,
}

/// A listening socket that is not on the loop yet.
pub(super) struct Unopened {
    pub(super) listener: TcpListener,
    pub(super) sessions: Box<dyn StartSession>,
}

constructors!(FTPServer, on_loop, FnMut);

impl FTPServer {
    pub(super) fn with_model(
        endpoint: Endpoint<'_>,
        mut config: FTPConfig,
        (model, sessions): ModelAndStart,
    ) -> io::Result<Self> {
        let file_size = FileSizeSignal::ignore();
        // An error of TLS is found before anybody can connect.
        let tls = acceptor(&config, Clock::SYSTEM)?;
        let backlog = endpoint.backlog();
        let listener = endpoint.listen()?;
        sys::control_options(&listener, config.tcp_no_delay);
        if tls.is_some() {
            config.proto_cmds.insert_tls();
        }
        let address = listener.local_addr()?;
        Ok(Self {
            ioloop: IOLoop::new()?,
            address,
            listening: vec![Listening::new(address)],
            unopened: Some(Unopened { listener, sessions }),
            model,
            state: Arc::new(ServerState::new(backlog, tls, &config.guard)),
            config: Arc::new(config),
            workers: None,
            drain_timeout: DRAIN_TIMEOUT,
            ends_at_hang_up: true,
            run_as: None,
            signals: true,
            last_resort: None,
            status: 0,
            end_by: None,
            finished: false,
            _file_size: file_size,
        })
    }

    /// Lets [`serve_forever`](Self::serve_forever) fork this many workers (0: one for each
    /// CPU), which serve instead of this process: as the argument `worker_processes` of
    /// pyftpdlib's `serve_forever`. See [`prefork`](crate::prefork).
    pub fn set_worker_processes(&mut self, number: usize) {
        self.workers = Some(number);
    }

    /// Sets how long transfers may go on when the server ends. Default: 3 s.
    pub fn set_drain_timeout(&mut self, timeout: Duration) {
        self.drain_timeout = timeout;
    }

    /// Sets whether the hang-up of the terminal that the program was started on ends the server, as
    /// SIGTERM does. It does not after `nohup`. Default: true.
    pub fn set_ends_at_hang_up(&mut self, ends: bool) {
        self.ends_at_hang_up = ends;
    }

    /// Sets whether [`serve_forever`](Self::serve_forever) handles signals. Default: true.
    ///
    /// With `false` all signals belong to the host, which ends the server by a
    /// [`Stop`](crate::Stop): no handler is installed, nothing ends the process by force, and SIGALRM
    /// and its timer are free. Two things remain: while a server exists, SIGXFSZ is ignored if it
    /// had its default action, because an upload beyond the limit on the size of files would end
    /// the host; and a process that a [`MultiprocessFTPServer`](crate::MultiprocessFTPServer) forks
    /// handles its own signals. [Workers](Self::set_worker_processes) need signals.
    pub fn handle_signals(&mut self, handle: bool) {
        self.signals = handle;
    }

    /// From now on, SIGHUP, SIGUSR1, SIGUSR2 and SIGXFSZ do not end this process and those that it
    /// forks: for a program that takes some time before it serves, or does not want to end at
    /// SIGUSR1 and SIGUSR2. SIGINT and SIGTERM end it only before the first server handles them: one
    /// that comes after the server has ended does not change the exit status. Handlers that the
    /// program has installed are called as before.
    ///
    /// # Errors
    /// The system refuses a handler.
    pub fn survive_signals() -> io::Result<()> {
        signals::survive()
    }

    /// The address that the server listens on.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The addresses that the server listens on, for the log.
    pub(super) fn addresses_text(&self) -> String {
        self.address.to_string()
    }

    /// The loop of the server, to put other channels on it. Do not call this before workers
    /// are forked.
    pub fn ioloop(&mut self) -> &mut IOLoop {
        self.open();
        &mut self.ioloop
    }

    /// Reads the files of certificates again, for sessions that use TLS from now on. Sessions
    /// that use it already keep their certificate.
    /// [`serve_forever`](Self::serve_forever) does this at SIGHUP.
    ///
    /// # Errors
    /// If a file is wrong. Then nothing changes.
    pub fn reload_tls(&self) -> Result<(), TlsError> {
        match &self.state.tls {
            Some(tls) => tls.reload(),
            None => Ok(()),
        }
    }

    /// Puts the listening socket on the loop.
    pub(super) fn open(&mut self) {
        if let Some(Unopened { listener, sessions }) = self.unopened.take() {
            if matches!(self.model, Model::Processes(_))
                && let Err(err) = self
                    .state
                    .limits
                    .share(usize::MAX, self.model.descriptors())
            {
                log::error!(
                    target: TARGET,
                    "limits apply to each process alone, because counts cannot be shared: {err}"
                );
            }
            locks::try_again_on(self.ioloop.remote(), &self.state);
            self.ioloop.add(ServerChannel {
                listener: Some(Listener::new(StreamListener::Tcp(listener))),
                config: Arc::clone(&self.config),
                state: Arc::clone(&self.state),
                sessions,
            });
            self.ask_for_names();
        }
    }
}

impl fmt::Debug for FTPServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FTPServer")
            .field("address", &self.address)
            .field("workers", &self.workers)
            .finish_non_exhaustive()
    }
}

impl Drop for FTPServer {
    fn drop(&mut self) {
        self.close_all();
    }
}

/// Reads the files of TLS, if the settings have it.
pub(crate) fn acceptor(config: &FTPConfig, clock: Clock) -> io::Result<Option<Arc<TlsAcceptor>>> {
    let Some(tls) = &config.tls else {
        return Ok(None);
    };
    match TlsAcceptor::new(tls, clock) {
        Ok(acceptor) => Ok(Some(Arc::new(acceptor))),
        Err(err) => Err(io::Error::new(io::ErrorKind::InvalidInput, err)),
    }
}

/// How long transfers may go on at the end.
pub(super) const DRAIN_TIMEOUT: Duration = Duration::from_secs(3);
