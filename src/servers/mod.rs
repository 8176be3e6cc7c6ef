//! The server: a listening socket whose connections become sessions, within
//! limits; and how it ends. What a session does is not known here.

mod accept;
mod signals;
mod spawners;

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::process;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use mio::net::TcpListener;
use signal_hook::consts::SIGTERM;

use self::accept::{Host, Newcomer, OnLoop, ServerChannel};
use self::signals::Signals;
pub use self::spawners::{MultiprocessFTPServer, ThreadedFTPServer};
use self::spawners::{Processes, Threads};
use crate::handlers::{FTPConfig, FTPHandler};
use crate::ioloop::{Footing, IOLoop, Listener, bind_af_unspecified};
use crate::log::TARGET;
use crate::prefork::{self, Role, Service};
use crate::server_state::ServerState;
use crate::sys::{self, HeldSignals, LastResort, Pid};
use crate::time::after;
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
    ioloop: IOLoop,
    /// What listens, until it is put on the loop.
    unopened: Option<Unopened>,
    model: Model,
    state: Arc<ServerState>,
    config: Arc<FTPConfig>,
    address: SocketAddr,
    /// Processes to be forked; `None`: this one serves.
    workers: Option<usize>,
    drain_timeout: Duration,
    /// While it serves.
    resort: Option<Arc<LastResort>>,
    status: u8,
}

struct Unopened {
    listener: TcpListener,
    host: Box<dyn Host>,
}

/// Where sessions run.
enum Model {
    /// On the loop of the server.
    Async,
    Threads(Arc<Threads>),
    Processes(Processes),
}

impl Model {
    /// How many a connection takes of those that the process of the server may have.
    fn descriptors(&self) -> u64 {
        match self {
            Self::Async => 1,
            Self::Threads(_) => 1 + Footing::DESCRIPTORS,
            // Each has a process that may have as many.
            Self::Processes(_) => 0,
        }
    }
}

impl FTPServer {
    /// Listens on `host:port` (`[::]:2121`, `:2121` for all addresses);
    /// `factory` makes the handler of each session.
    ///
    /// # Errors
    /// Of an address that is wrong or in use; a [`TlsError`] inside of one of the
    /// kind `InvalidInput` if TLS cannot be set up.
    pub fn bind<H, F>(address: &str, config: FTPConfig, factory: F) -> io::Result<Self>
    where
        H: FTPHandler + 'static,
        F: FnMut(SocketAddr) -> H + 'static,
    {
        let (host, port) = parse(address)?;
        Self::bind_with(host, port, BACKLOG, config, factory)
    }

    /// Listens on `host` (`""` for all addresses) and `port` (0: one of the
    /// system's choice); at most `backlog` connections wait to be accepted.
    ///
    /// # Errors
    /// Of an address that is wrong or in use; a [`TlsError`] inside of one of the
    /// kind `InvalidInput` if TLS cannot be set up.
    pub fn bind_with<H, F>(
        host: &str,
        port: u16,
        backlog: i32,
        config: FTPConfig,
        factory: F,
    ) -> io::Result<Self>
    where
        H: FTPHandler + 'static,
        F: FnMut(SocketAddr) -> H + 'static,
    {
        let on_loop = Box::new(OnLoop(factory));
        Self::bind_as(host, port, backlog, config, Model::Async, on_loop)
    }

    /// Serves on a socket that listens already.
    ///
    /// # Errors
    /// Those of the system, and of TLS as before.
    pub fn from_listener<H, F>(
        listener: StdListener,
        config: FTPConfig,
        factory: F,
    ) -> io::Result<Self>
    where
        H: FTPHandler + 'static,
        F: FnMut(SocketAddr) -> H + 'static,
    {
        let on_loop = Box::new(OnLoop(factory));
        Self::listen_as(listener, config, Model::Async, on_loop)
    }

    fn bind_as(
        name: &str,
        port: u16,
        backlog: i32,
        config: FTPConfig,
        model: Model,
        host: Box<dyn Host>,
    ) -> io::Result<Self> {
        // What is wrong with TLS is told before anybody can connect.
        let tls = acceptor(&config)?;
        let listener = bind_af_unspecified(name, port, backlog)?;
        let state = ServerState::new(backlog, tls);
        Self::new(Unopened { listener, host }, config, state, model)
    }

    fn listen_as(
        listener: StdListener,
        config: FTPConfig,
        model: Model,
        host: Box<dyn Host>,
    ) -> io::Result<Self> {
        let tls = acceptor(&config)?;
        listener.set_nonblocking(true)?;
        let listener = TcpListener::from_std(listener);
        let state = ServerState::new(BACKLOG, tls);
        Self::new(Unopened { listener, host }, config, state, model)
    }

    fn new(
        unopened: Unopened,
        mut config: FTPConfig,
        state: ServerState,
        model: Model,
    ) -> io::Result<Self> {
        sys::control_options(&unopened.listener, config.tcp_no_delay);
        if state.tls.is_some() {
            config.proto_cmds.insert_tls();
        }
        Ok(Self {
            ioloop: IOLoop::new()?,
            address: unopened.listener.local_addr()?,
            unopened: Some(unopened),
            model,
            state: Arc::new(state),
            config: Arc::new(config),
            workers: None,
            drain_timeout: DRAIN_TIMEOUT,
            resort: None,
            status: 0,
        })
    }

    /// How many sockets there may be at once - control connections, data
    /// connections and passive listeners, and that of the server: clients beyond
    /// get 421. 512; 0: no limit.
    pub fn set_max_cons(&mut self, max_cons: usize) {
        self.state.limits.set_max_cons(max_cons);
    }

    /// How many control connections may come from one address: those beyond get
    /// 421. 0: no limit, the default.
    pub fn set_max_cons_per_ip(&mut self, max_cons_per_ip: usize) {
        self.state.limits.set_max_cons_per_ip(max_cons_per_ip);
    }

    /// How many control connections one user, anonymous among them, may be logged
    /// in on: those beyond get 530. 0: no limit, the default.
    pub fn set_max_cons_per_user(&mut self, max_cons_per_user: usize) {
        let limits = &self.state.limits;
        limits.set_max_cons_per_user(max_cons_per_user);
    }

    /// Has [`serve_forever`](Self::serve_forever) fork so many workers (0: one for
    /// each CPU), which serve in place of this process: as `serve_forever`'s
    /// `worker_processes`. See [`prefork`](crate::prefork).
    pub fn set_worker_processes(&mut self, number: usize) {
        self.workers = Some(number);
    }

    /// How long transfers may go on when the server is to end. 3 s.
    pub fn set_drain_timeout(&mut self, timeout: Duration) {
        self.drain_timeout = timeout;
    }

    /// The address it listens on.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The loop, to put other channels on it. Not before a fork.
    pub fn ioloop(&mut self) -> &mut IOLoop {
        self.open();
        &mut self.ioloop
    }

    /// Serves until SIGINT or SIGTERM. Then it stops listening, sessions at rest
    /// get 421, and transfers may finish within
    /// [`drain_timeout`](Self::set_drain_timeout); a second signal ends all at once.
    /// What is stuck then - in a hook, on a disk, in a log that nobody reads - is
    /// given a second more, or half of one after the second signal; then the process
    /// is ended by force, with the status 128 and the signal. For that, SIGALRM and
    /// its timer are used. Logs start and stop. If there is TLS with files, SIGHUP has
    /// them read again.
    ///
    /// # Errors
    /// Those of the system's poll, and of [`prefork`].
    pub fn serve_forever(&mut self) -> io::Result<()> {
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
        }
        let (address, pid) = (self.address, process::id());
        let signals = self.hear_signals(prefork::is_worker())?;
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
        self.resort = None;
        result
    }

    /// The status to end the process with, after
    /// [`serve_forever`](Self::serve_forever): 0, or 128 and the signal if sessions
    /// had to be cut at a second one, or were stuck and left behind.
    #[must_use]
    pub fn exit_status(&self) -> u8 {
        self.status
    }

    /// One turn of the loop, which waits for at most `timeout`: for a loop of
    /// one's own, as `serve_forever(blocking=False)`. Returns the time to the
    /// next deadline.
    ///
    /// # Errors
    /// Those of the system's poll.
    pub fn turn(&mut self, timeout: Option<Duration>) -> io::Result<Option<Duration>> {
        self.open();
        let next = self.ioloop.turn(timeout)?;
        self.run_processes();
        Ok(next)
    }

    /// Stops listening and closes every session.
    pub fn close_all(&mut self) {
        self.end_all();
    }

    /// Returns whether any had to be ended by force, or left alone.
    fn end_all(&mut self) -> bool {
        self.unopened = None;
        self.ioloop.close();
        match &mut self.model {
            Model::Async => false,
            Model::Threads(threads) => threads.end_all(JOIN_TIMEOUT),
            Model::Processes(processes) => processes.end_all(JOIN_TIMEOUT),
        }
    }

    /// Reads the files of certificates again, for connections to come; sessions
    /// go on with what they have. [`serve_forever`](Self::serve_forever) does so at
    /// SIGHUP.
    ///
    /// # Errors
    /// What is wrong with the files: all stays as it was.
    pub fn reload_tls(&self) -> Result<(), TlsError> {
        match &self.state.tls {
            Some(tls) => tls.reload(),
            None => Ok(()),
        }
    }

    /// From now on, signals end it.
    fn hear_signals(&mut self, has_parent: bool) -> io::Result<Signals> {
        let patience = self.drain_timeout.saturating_add(STUCK_PATIENCE);
        let resort = Arc::new(LastResort::new(has_parent, patience)?);
        let signals = Signals::new(&self.state, &resort, has_parent)?;
        self.resort = Some(resort);
        Ok(signals)
    }

    fn forced_status(&self) -> u8 {
        let last = self.resort.as_ref().map_or(SIGTERM, |resort| resort.last());
        u8::try_from(128 + last).unwrap_or(u8::MAX)
    }

    /// Puts what listens on the loop.
    fn open(&mut self) {
        if let Some(Unopened { listener, host }) = self.unopened.take() {
            if matches!(self.model, Model::Processes(_))
                && let Err(err) = self
                    .state
                    .limits
                    .share(usize::MAX, self.model.descriptors())
            {
                log::error!(target: TARGET, "each process counts its connections alone: {err}");
            }
            self.ioloop.add(ServerChannel {
                listener: Some(Listener::new(listener)),
                config: Arc::clone(&self.config),
                state: Arc::clone(&self.state),
                host,
            });
        }
    }

    /// Forks the workers; in each there is a loop and a listening socket of its own.
    fn fork(&mut self, workers: usize) -> io::Result<Role> {
        let Some(Unopened { listener, host }) = self.unopened.take() else {
            return Err(io::Error::other(
                "workers are forked before anything is put on the loop",
            ));
        };
        let mut entrance = Entrance {
            listeners: spread(listener, self.address, workers, self.state.backlog()),
            state: Arc::clone(&self.state),
        };
        let patience = self.drain_timeout.saturating_add(MASTER_PATIENCE);
        let role = prefork::supervise(workers, MAX_RESTARTS, patience, &mut entrance)?;
        if let Role::Worker(number) = role {
            self.ioloop = IOLoop::new()?;
            // The others' are closed here.
            let number = number.min(entrance.listeners.len() - 1);
            let listener = entrance.listeners.swap_remove(number);
            self.unopened = Some(Unopened { listener, host });
        }
        Ok(role)
    }

    /// Until a signal.
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

    /// Lets sessions come to their end.
    fn drain(&mut self) -> io::Result<()> {
        let end = after(Instant::now(), self.drain_timeout);
        self.ioloop.go_on();
        self.ioloop.with_io(|io| io.drain_all());
        match &self.model {
            Model::Async => {}
            Model::Threads(threads) => threads.drain(),
            Model::Processes(processes) => processes.kill_all(SIGTERM),
        }
        while self.has_sessions() {
            let resort = self.resort.as_ref();
            if let Some(resort) = resort.filter(|resort| resort.at_once()) {
                resort.answer(STUCK_PATIENCE);
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
        let processes = match &self.model {
            Model::Processes(processes) => !processes.is_empty(),
            Model::Async | Model::Threads(_) => false,
        };
        processes || self.state.sessions.load(Relaxed) > 0
    }

    /// Gives those who have connected their processes, and forgets those that
    /// have ended.
    fn run_processes(&mut self) {
        let Model::Processes(processes) = &mut self.model else {
            return;
        };
        processes.reap(|pid| {
            self.state.limits.forget_process(pid);
        });
        if let Some((newcomer, held)) = processes.start(&mut self.ioloop) {
            self.serve_one(newcomer, held);
        }
    }

    /// In a process of its own: serves one session, and ends.
    fn serve_one(&mut self, newcomer: Newcomer, held: HeldSignals) -> ! {
        let served = self.try_serve_one(newcomer, held);
        if let Err(err) = &served {
            log::error!(target: TARGET, "a connection has no loop: {err}");
        }
        crate::log::write_through();
        process::exit(i32::from(served.is_err()))
    }

    fn try_serve_one(&mut self, newcomer: Newcomer, held: HeldSignals) -> io::Result<()> {
        // What was on the old loop is closed in this process, the listener too.
        self.ioloop = IOLoop::new()?;
        self.state.sessions.store(0, Relaxed);
        let signals = self.hear_signals(true)?;
        drop(held);
        self.ioloop.add(signals);
        let Model::Processes(processes) = &self.model else {
            return Ok(());
        };
        self.ioloop.with_io(|io| processes.settle(io, newcomer));
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

    fn log_start(&self, prefork: &str) {
        let (config, limits) = (&self.config, &self.state.limits);
        let none = || "None".to_owned();
        let ports = config.passive_ports.as_ref();
        let ports = ports.and_then(|ports| Some(format!("{}->{}", ports.first()?, ports.last()?)));
        let masquerade = config.masquerade_address.clone();
        let model = match self.model {
            Model::Async => "async",
            Model::Threads(_) => "multi-thread",
            Model::Processes(_) => "multi-process",
        };
        log::info!(target: TARGET, "concurrency model: {prefork}{model}");
        log::info!(target: TARGET, "masquerade (NAT) address: {}", masquerade.unwrap_or_else(none));
        log::info!(target: TARGET, "passive ports: {}", ports.unwrap_or_else(none));
        if let Some(tls) = &config.tls {
            log::info!(target: TARGET, "TLS: {}", if tls.implicit { "implicit" } else { "explicit" });
        }
        log::debug!(target: TARGET, "use sendfile(2): {}", config.use_sendfile);
        log::debug!(target: TARGET, "max connections: {}", limit_text(limits.max_cons()));
        log::debug!(target: TARGET, "max connections per ip: {}", limit_text(limits.max_cons_per_ip()));
        log::debug!(target: TARGET, "max connections per user: {}", limit_text(limits.max_cons_per_user()));
        log::debug!(target: TARGET, "timeout: {:?}", config.timeout);
        log::debug!(target: TARGET, "banner: {:?}", config.banner);
        log::debug!(target: TARGET, "max login attempts: {}", config.max_login_attempts);
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

/// `host:port` taken apart.
fn parse(address: &str) -> io::Result<(&str, u16)> {
    let parts = address.rsplit_once(':');
    let parts = parts.and_then(|(host, port)| Some((host, port.parse().ok()?)));
    parts.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "expected host:port"))
}

/// What the master keeps for its workers.
struct Entrance {
    /// One for each worker, so that what waits at one whose worker has died waits
    /// for its successor; or one for all.
    listeners: Vec<TcpListener>,
    state: Arc<ServerState>,
}

impl Service for Entrance {
    fn hears_reload(&self) -> bool {
        self.state.tls.is_some()
    }

    fn reload(&mut self) {
        if let Some(tls) = &self.state.tls {
            // The workers tell what is wrong.
            let _ = tls.reload();
        }
    }

    /// Those who connect to one that is gone would wait for ever.
    fn needs_all(&self) -> bool {
        true
    }

    fn ended(&mut self, pid: Pid) {
        self.state.limits.forget_process(pid);
    }

    fn stop(&mut self) {
        self.listeners.clear();
    }
}

/// A listening socket for each worker, `first` among them: then the kernel spreads
/// connections evenly. Only that one, for all to share, if the system cannot.
fn spread(
    first: TcpListener,
    address: SocketAddr,
    workers: usize,
    backlog: i32,
) -> Vec<TcpListener> {
    let others = sys::share_port(&first).and_then(|()| {
        let listeners = (1..workers).map(|_| sys::listen_beside(address, backlog));
        listeners.collect::<io::Result<Vec<_>>>()
    });
    let others = others.unwrap_or_else(|err| {
        log::warn!(target: TARGET, "workers share one socket, and not evenly: {err}");
        Vec::new()
    });
    let others = others.into_iter().map(TcpListener::from_std);
    std::iter::once(first).chain(others).collect()
}

/// Reads what TLS needs.
pub(crate) fn acceptor(config: &FTPConfig) -> io::Result<Option<Arc<TlsAcceptor>>> {
    let Some(tls) = &config.tls else {
        return Ok(None);
    };
    match TlsAcceptor::new(tls) {
        Ok(acceptor) => Ok(Some(Arc::new(acceptor))),
        Err(err) => Err(io::Error::new(io::ErrorKind::InvalidInput, err)),
    }
}

fn limit_text(limit: usize) -> String {
    match limit {
        0 => "unlimited".to_owned(),
        limit => limit.to_string(),
    }
}

/// Connections that wait to be accepted by default: as pyftpdlib.
const BACKLOG: i32 = 100;

/// How long transfers may go on at the end.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(3);

/// How long threads and processes that had to be cut may take to end.
const JOIN_TIMEOUT: Duration = Duration::from_secs(1);
// A worker that waits for them is not killed meanwhile.
const _: () = assert!(JOIN_TIMEOUT.as_millis() + 500 <= prefork::FORCED_PATIENCE.as_millis());

/// How long what is stuck may take for its end, the join of threads in it.
const STUCK_PATIENCE: Duration = Duration::from_millis(1300);
const _: () = assert!(JOIN_TIMEOUT.as_millis() < STUCK_PATIENCE.as_millis());

/// How long workers may take for the rest of their end, the join of their threads in it.
const MASTER_PATIENCE: Duration = prefork::FORCED_PATIENCE;

// The whole end takes 5 s at most.
const _: () = assert!(DRAIN_TIMEOUT.as_millis() + MASTER_PATIENCE.as_millis() < 5000);

/// Workers that are started anew: as pyftpdlib.
const MAX_RESTARTS: usize = 100;
