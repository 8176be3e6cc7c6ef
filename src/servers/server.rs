//! The server: constructors, settings, and how it serves and ends.

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::process;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use mio::net::TcpListener;
use signal_hook::consts::SIGTERM;

use super::accept::{NewConnection, ServerChannel, StartSession};
use super::constructors::constructors;
use super::listen::{Endpoint, WorkerListeners};
use super::locks;
use super::model::{Model, ModelAndStart, on_loop};
use super::room;
use super::signals::{self, Signals};
use crate::handlers::{FTPConfig, FTPHandler};
use crate::ioloop::clock::Clock;
use crate::ioloop::{IOLoop, Listener, StreamListener};
use crate::log::TARGET;
use crate::prefork::{self, Role};
use crate::run_as::RunAs;
use crate::server_state::ServerState;
use crate::server_state::own_ports::Listening;
use crate::sys::{self, Held, HeldSignals, LastResort, Terminal};
use crate::time::after;
use crate::tls::TlsAcceptor;
#[cfg(feature = "tls")]
use crate::tls::TlsError;

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
    /// The listening socket, until it is put on the loop.
    unopened: Option<Unopened>,
    pub(super) model: Model,
    pub(super) state: Arc<ServerState>,
    pub(super) config: Arc<FTPConfig>,
    address: SocketAddr,
    /// Keeps data connections away from that address.
    _listening: Listening,
    /// The number of workers to fork; `None`: this process serves.
    workers: Option<usize>,
    drain_timeout: Duration,
    ends_at_hang_up: bool,
    /// The user to switch to.
    pub(super) run_as: Option<RunAs>,
    /// Ends a process that is stuck, while the server serves.
    last_resort: Option<Arc<LastResort>>,
    status: u8,
}

/// A listening socket that is not on the loop yet.
struct Unopened {
    listener: TcpListener,
    sessions: Box<dyn StartSession>,
}

constructors!(FTPServer, on_loop, FnMut);

impl FTPServer {
    pub(super) fn with_model(
        endpoint: Endpoint<'_>,
        mut config: FTPConfig,
        (model, sessions): ModelAndStart,
    ) -> io::Result<Self> {
        // An upload that is too large must not end the process.
        sys::survive_file_size_limit();
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
            _listening: Listening::new(address),
            unopened: Some(Unopened { listener, sessions }),
            model,
            state: Arc::new(ServerState::new(backlog, tls, &config.guard)),
            config: Arc::new(config),
            workers: None,
            drain_timeout: DRAIN_TIMEOUT,
            ends_at_hang_up: true,
            run_as: None,
            last_resort: None,
            status: 0,
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

    /// From now on, SIGHUP, SIGUSR1 and SIGUSR2 do not end this process and those that it forks:
    /// for a program that takes some time before it serves, or does not want to end at SIGUSR1
    /// and SIGUSR2. Handlers that the program has installed are called as before.
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

    /// The loop of the server, to put other channels on it. Do not call this before workers
    /// are forked.
    pub fn ioloop(&mut self) -> &mut IOLoop {
        self.open();
        &mut self.ioloop
    }

    /// Serves until SIGINT or SIGTERM. Then the server stops listening, sessions at rest
    /// get 421, and transfers may finish within
    /// [`drain_timeout`](Self::set_drain_timeout). A second signal ends all of them at
    /// once.
    ///
    /// If the process is stuck then (in a hook, on a disk, in a logger that waits), it
    /// is ended by force, with 128 plus the signal as its status: one second later, or half
    /// a second after the second signal. SIGALRM and its timer are used for that.
    ///
    /// SIGHUP does not end the server: if TLS is set up from files, they are read again, and the
    /// log says what was. But if the terminal hangs up that the program was started on, that is the
    /// same as SIGTERM, unless [`set_ends_at_hang_up`](Self::set_ends_at_hang_up) says otherwise.
    /// SIGUSR1 and SIGUSR2 are left to the program: see
    /// [`survive_signals`](Self::survive_signals). Handlers of a signal that were there before are
    /// called, too; its default action does not come back.
    ///
    /// The start and the end are logged.
    ///
    /// # Errors
    /// Errors of the system's poll, those of
    /// [`fork_processes`](prefork::fork_processes), and those of the switch to another
    /// [user](Self::set_run_as).
    pub fn serve_forever(&mut self) -> io::Result<()> {
        if self.ends_at_hang_up && signals::has_hung_up_early() {
            log::info!(target: TARGET, "received interrupt signal");
            return Ok(());
        }
        if let Some(workers) = self.workers {
            let workers = prefork::count(workers);
            self.state.limits.share(workers, self.model.descriptors())?;
            self.log_start("prefork + ");
            if let Role::Master(status) = self.fork(workers)? {
                self.status = status;
                return Ok(());
            }
        } else {
            self.state
                .limits
                .raise_open_files(1, self.model.descriptors());
            self.log_start("");
            self.switch_user()?;
        }
        let (address, pid) = (self.address, process::id());
        let signals = self.handle_signals(prefork::is_worker())?;
        self.open();
        self.ioloop.add(signals);
        log::info!(target: TARGET, ">>> starting FTP server on {address}, pid={pid} <<<");
        let result = self.serve();
        log::info!(
            target: TARGET,
            ">>> shutting down FTP server, pid={pid}, {} open socket(s) <<<",
            self.state.limits.sockets()
        );
        let result = result.and_then(|()| self.drain());
        let forced = self.end_all();
        if forced && self.status == 0 {
            self.status = self.forced_status();
        }
        crate::log::write_through();
        self.last_resort = None;
        result
    }

    /// The status with which the process should exit after
    /// [`serve_forever`](Self::serve_forever): 0, or 128 plus the signal if sessions were
    /// ended by a second signal, or were stuck and left behind.
    #[must_use]
    pub fn exit_status(&self) -> u8 {
        self.status
    }

    /// Runs one turn of the loop, which waits for at most `timeout` (`None`: without limit).
    /// This is for a caller with its own loop, as pyftpdlib's
    /// `serve_forever(blocking=False)`. Returns the time until the next deadline.
    ///
    /// # Errors
    /// Errors of the system's poll, and of the switch to another [user](Self::set_run_as).
    pub fn turn(&mut self, timeout: Option<Duration>) -> io::Result<Option<Duration>> {
        self.switch_user()?;
        self.open();
        let next = self.ioloop.turn(timeout)?;
        self.run_processes();
        Ok(next)
    }

    /// Stops listening and closes every session.
    pub fn close_all(&mut self) {
        self.end_all();
    }

    /// Closes everything. Returns whether a thread or a process was ended by force, or left
    /// behind.
    fn end_all(&mut self) -> bool {
        self.unopened = None;
        self.ioloop.close();
        self.model.end_all(JOIN_TIMEOUT)
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

    /// From now on, signals end the server.
    fn handle_signals(&mut self, has_parent: bool) -> io::Result<Signals> {
        let end_timeout = self.drain_timeout.saturating_add(STUCK_TIMEOUT);
        // A parent passes on that the terminal has hung up.
        let ends = self.ends_at_hang_up && !has_parent;
        let terminal = Terminal::of_process().filter(|_| ends);
        let last_resort = Arc::new(LastResort::new(has_parent, end_timeout, terminal)?);
        let signals = Signals::new(&self.state, &last_resort, has_parent)?;
        if has_parent && prefork::take_early_reload() {
            signals.reload();
        }
        self.last_resort = Some(last_resort);
        Ok(signals)
    }

    fn forced_status(&self) -> u8 {
        let last_resort = self.last_resort.as_ref();
        let signal = last_resort.map_or(SIGTERM, |last_resort| last_resort.last());
        u8::try_from(128 + signal).unwrap_or(u8::MAX)
    }

    /// Puts the listening socket on the loop.
    fn open(&mut self) {
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

    /// Forks the workers. Each worker gets its own loop and listening socket.
    fn fork(&mut self, workers: usize) -> io::Result<Role> {
        let Some(Unopened { listener, sessions }) = self.unopened.take() else {
            return Err(io::Error::other(
                "workers must be forked before `ioloop` or `turn` is called",
            ));
        };
        let mut listeners = WorkerListeners::new(
            listener,
            self.address,
            workers,
            self.config.tcp_no_delay,
            &self.state,
            self.ends_at_hang_up,
        );
        self.switch_user()?;
        let end_timeout = self.drain_timeout.saturating_add(WORKER_EXTRA_TIME);
        let role = prefork::supervise(workers, MAX_RESTARTS, end_timeout, &mut listeners)?;
        if let Role::Worker(number) = role {
            self.ioloop = IOLoop::new()?;
            room::watch(&mut self.ioloop, &self.state, number)?;
            let listener = listeners.take(number);
            self.unopened = Some(Unopened { listener, sessions });
        }
        Ok(role)
    }

    /// Serves until a signal.
    fn serve(&mut self) -> io::Result<()> {
        if prefork::was_stopped() {
            return Ok(());
        }
        self.ioloop.go_on();
        while !self.ioloop.is_stopped() && !self.ioloop.is_empty() {
            self.turn(None)?;
        }
        Ok(())
    }

    /// Lets sessions end, until none is left, the time is over, or another signal comes.
    fn drain(&mut self) -> io::Result<()> {
        let end = after(Instant::now(), self.drain_timeout);
        self.ioloop.go_on();
        self.ioloop.with_io(|io| io.drain_all());
        self.model.drain();
        while self.has_sessions() {
            let last_resort = self.last_resort.as_ref();
            if let Some(last_resort) = last_resort.filter(|last_resort| last_resort.at_once()) {
                last_resort.answer(STUCK_TIMEOUT);
                self.status = self.forced_status();
                break;
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            self.turn(Some(left))?;
        }
        Ok(())
    }

    fn has_sessions(&self) -> bool {
        self.model.has_processes() || self.state.sessions.load(Relaxed) > 0
    }

    /// Forgets the processes that have ended, and forks those of new connections.
    fn run_processes(&mut self) {
        let Model::Processes(processes) = &mut self.model else {
            return;
        };
        processes.reap(|pid| {
            self.state.forget_process(pid);
        });
        processes.ask_all(&self.state.host_names);
        let now = Instant::now();
        let next = match self.state.look_at_locks(now) {
            Held::Free => None,
            Held::Until(next) => processes.next_look.at(next, now),
            Held::By(pid) => {
                processes.kill_holder(pid);
                None
            }
        };
        if let Some(delay) = next {
            self.ioloop.call_later(delay, |_| {});
        }
        if let Some((connection, held)) = processes.fork_all(&mut self.ioloop) {
            self.serve_one(connection, held);
        }
    }

    /// In a new process: serves one session, and exits.
    fn serve_one(&mut self, connection: NewConnection, held: HeldSignals) -> ! {
        let served = self.try_serve_one(connection, held);
        if let Err(err) = &served {
            log::error!(target: TARGET, "a connection was closed, because its loop failed: {err}");
        }
        crate::log::write_through();
        process::exit(i32::from(served.is_err()))
    }

    fn try_serve_one(&mut self, connection: NewConnection, held: HeldSignals) -> io::Result<()> {
        // Closes all sockets of the old loop in this process, the listening socket, too.
        self.ioloop = IOLoop::new()?;
        self.state.sessions.store(0, Relaxed);
        locks::try_again_on(self.ioloop.remote(), &self.state);
        let signals = self.handle_signals(true)?;
        drop(held);
        self.ioloop.add(signals);
        let Model::Processes(processes) = &self.model else {
            return Ok(());
        };
        self.ioloop
            .with_io(|io| processes.start_session(io, connection));
        self.ioloop.go_on();
        while !self.ioloop.is_stopped() && self.state.sessions.load(Relaxed) > 0 {
            self.ioloop.turn(None)?;
        }
        if self.ioloop.is_stopped() {
            self.drain()?;
        }
        self.ioloop.close();
        Ok(())
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
const DRAIN_TIMEOUT: Duration = Duration::from_secs(3);

/// How long threads and processes may take to end after their sessions were closed.
const JOIN_TIMEOUT: Duration = Duration::from_secs(1);
// A worker that waits for them is not killed meanwhile.
const _: () = assert!(JOIN_TIMEOUT.as_millis() + 500 <= prefork::FORCED_END_TIMEOUT.as_millis());

/// How long a process that is stuck may take to end, `JOIN_TIMEOUT` included.
const STUCK_TIMEOUT: Duration = Duration::from_millis(1300);
const _: () = assert!(JOIN_TIMEOUT.as_millis() < STUCK_TIMEOUT.as_millis());

/// How long workers may take to end after their transfers, `JOIN_TIMEOUT` included.
const WORKER_EXTRA_TIME: Duration = prefork::FORCED_END_TIMEOUT;

// The whole end takes at most 5 s.
const _: () = assert!(DRAIN_TIMEOUT.as_millis() + WORKER_EXTRA_TIME.as_millis() < 5000);

/// How often workers are restarted: as pyftpdlib.
const MAX_RESTARTS: usize = 100;
