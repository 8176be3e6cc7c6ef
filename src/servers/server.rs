//! The server: constructors and settings.

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::sync::Arc;
use std::time::{Duration, Instant};

use mio::net::TcpListener;

use super::accept::{self, ServerChannel, StartSession};
use super::constructors::constructors;
use super::listen::{Bound, Listen};
use super::locks;
use super::model::{Model, ModelAndStart, on_loop};
use super::signals;
use crate::handlers::{FTPConfig, FTPHandler, ListenTls, ListenerSettings};
use crate::ioloop::clock::Clock;
use crate::ioloop::{IOLoop, StreamListener};
use crate::log::TARGET;
use crate::run_as::RunAs;
use crate::server_state::ServerState;
use crate::server_state::host_names::Purpose;
use crate::server_state::own_ports::Listening;
use crate::sys::{self, FileSizeSignal, LastResort};
#[cfg(feature = "tls")]
use crate::tls::TlsError;
use crate::tls::{TlsAcceptor, TlsConfig};

/// An FTP server on its own loop: as pyftpdlib's `FTPServer`.
///
/// ```no_run
/// use ftpdlib::authorizers::DummyAuthorizer;
/// use ftpdlib::handlers::StockHandler;
/// use ftpdlib::{FTPConfig, FTPServer};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let authorizer = DummyAuthorizer::new();
/// authorizer.add_user("user", "12345", "/home/user", "elradfmwMT")?;
/// let mut config = FTPConfig::default();
/// config.set_authorizer(authorizer);
/// FTPServer::bind("127.0.0.1:2121", config, |_peer| StockHandler)?.serve_forever()?;
/// # Ok(())
/// # }
/// ```
pub struct FTPServer {
    pub(super) ioloop: IOLoop,
    /// The listening sockets, until they are put on the loop.
    pub(super) unopened: Option<Unopened>,
    pub(super) model: Model,
    pub(super) state: Arc<ServerState>,
    pub(super) config: Arc<FTPConfig>,
    /// What the server listens on.
    pub(super) places: Vec<Place>,
    addresses: Vec<SocketAddr>,
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

/// Listening sockets that are not on the loop yet.
pub(super) struct Unopened {
    pub(super) sockets: Vec<TcpListener>,
    pub(super) sessions: Box<dyn StartSession>,
}

/// A socket that the server listens on.
pub(super) struct Place {
    pub(super) address: SocketAddr,
    pub(super) backlog: i32,
    /// The settings of its sessions.
    pub(super) config: Arc<FTPConfig>,
    /// Keeps data connections away from the address, until the server has ended.
    listening: Option<Listening>,
}

constructors!(FTPServer, on_loop, FnMut);

impl FTPServer {
    pub(super) fn with_listen(
        listen: Listen,
        config: FTPConfig,
        model: ModelAndStart,
    ) -> io::Result<Self> {
        // An error of TLS is found before anybody can connect.
        let tls = acceptor(&config, Clock::SYSTEM)?;
        Self::with_model(vec![listen.open()?], tls, config, model)
    }

    /// `tls` is the [`acceptor`] of the settings.
    pub(super) fn with_model(
        bound: Vec<Bound>,
        tls: Option<Arc<TlsAcceptor>>,
        mut config: FTPConfig,
        (model, sessions): ModelAndStart,
    ) -> io::Result<Self> {
        let file_size = FileSizeSignal::ignore();
        let backlog = bound.iter().map(|bound| bound.backlog).max();
        let backlog = backlog.ok_or_else(|| wrong("a server must listen on an address"))?;
        let state = ServerState::new(backlog, tls, &config.guard);
        state.limits.set_listeners(bound.len());
        let plain = config.clone();
        if state.tls.is_some() {
            config.proto_cmds.insert_tls();
        }
        let config = Arc::new(config);
        let (mut places, mut sockets) = (Vec::new(), Vec::new());
        for (number, bound) in bound.into_iter().enumerate() {
            sys::control_options(&bound.socket, config.tcp_no_delay);
            let mut settings = bound.settings;
            if let Some(name) = &bound.masquerade_name {
                settings.host_name = Some(number);
                let first = settings.masquerade_address;
                let purpose = Purpose::Listener(number);
                state.host_names.set(purpose, name, first)?;
            }
            let base = match settings.tls {
                Some(ListenTls::Off) => &plain,
                _ => &*config,
            };
            let config = match settings == ListenerSettings::default() {
                true => Arc::clone(&config),
                false => Arc::new(FTPConfig {
                    listener: settings,
                    ..base.clone()
                }),
            };
            places.push(Place {
                address: bound.address,
                backlog: bound.backlog,
                config,
                listening: Some(Listening::new(bound.address)),
            });
            sockets.push(bound.socket);
        }
        Ok(Self {
            ioloop: IOLoop::new()?,
            addresses: places.iter().map(|place| place.address).collect(),
            places,
            unopened: Some(Unopened { sockets, sessions }),
            model,
            state: Arc::new(state),
            config,
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

    /// The address that the server listens on: the first one, if there are several.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.addresses[0]
    }

    /// The addresses that the server listens on, in the order in which the builder got them. A port
    /// that the system has chosen is there already, in every model, before the server serves.
    #[must_use]
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Lets data connections go to the addresses again.
    pub(super) fn forget_addresses(&mut self) {
        for place in &mut self.places {
            place.listening = None;
        }
    }

    /// The addresses that the server listens on, for the log.
    pub(super) fn addresses_text(&self) -> String {
        let addresses = self.addresses.iter().map(SocketAddr::to_string);
        addresses.collect::<Vec<_>>().join(", ")
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
    #[cfg(feature = "tls")]
    pub fn reload_tls(&self) -> Result<(), TlsError> {
        match &self.state.tls {
            Some(tls) => tls.reload(),
            None => Ok(()),
        }
    }

    /// Puts the listening sockets on the loop.
    pub(super) fn open(&mut self) {
        if let Some(Unopened { sockets, sessions }) = self.unopened.take() {
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
            let sockets = sockets.into_iter().zip(&self.places);
            let listening = sockets.map(|(socket, place)| {
                accept::Listening::new(StreamListener::Tcp(socket), Arc::clone(&place.config))
            });
            self.ioloop.add(ServerChannel {
                listening: listening.collect(),
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
            .field("addresses", &self.addresses)
            .field("workers", &self.workers)
            .finish_non_exhaustive()
    }
}

impl Drop for FTPServer {
    fn drop(&mut self) {
        self.close_all();
    }
}

/// Checks that a socket can be served with these settings.
pub(super) fn check(listen: &Listen, config: &FTPConfig) -> io::Result<()> {
    let requires = |tls: &TlsConfig| tls.tls_control_required || tls.tls_data_required;
    match (listen.settings.tls, config.tls_settings()) {
        (Some(ListenTls::Explicit | ListenTls::Implicit), None) => Err(wrong(
            "a listener with TLS requires FTPConfig::tls, which has the certificate",
        )),
        (Some(ListenTls::Off), Some(tls)) if requires(tls) => Err(wrong(
            "a listener without TLS excludes tls_control_required and tls_data_required: nobody \
             could log in there",
        )),
        _ => Ok(()),
    }
}

pub(super) fn wrong(text: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, text)
}

/// Reads the files of TLS, if the settings have it.
#[cfg(feature = "tls")]
pub(crate) fn acceptor(config: &FTPConfig, clock: Clock) -> io::Result<Option<Arc<TlsAcceptor>>> {
    let Some(tls) = &config.tls else {
        return Ok(None);
    };
    match TlsAcceptor::new(tls, clock) {
        Ok(acceptor) => Ok(Some(Arc::new(acceptor))),
        Err(err) => Err(io::Error::new(io::ErrorKind::InvalidInput, err)),
    }
}

/// There is none in this build.
#[cfg(not(feature = "tls"))]
pub(crate) fn acceptor(_: &FTPConfig, _: Clock) -> io::Result<Option<Arc<TlsAcceptor>>> {
    Ok(None)
}

/// How long transfers may go on at the end.
pub(super) const DRAIN_TIMEOUT: Duration = Duration::from_secs(3);
