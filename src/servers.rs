//! The server: a listening socket whose connections become sessions, within
//! limits.

use std::io::{self, Read};
use std::net::{SocketAddr, TcpListener as StdListener};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use mio::Interest;
use mio::net::{TcpListener, UnixStream};

use crate::handlers::connection::Connection;
use crate::handlers::{Arrival, FTPConfig, FTPHandler};
use crate::ioloop::{
    Channel, IOLoop, Io, Listener, Readiness, Source, Stream, bind_af_unspecified,
};
use crate::limits::ServerState;
use crate::log::TARGET;
use crate::proto::address::canonical;
use crate::sys;
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
#[derive(Debug)]
pub struct FTPServer {
    ioloop: IOLoop,
    state: Arc<ServerState>,
    config: Arc<FTPConfig>,
    address: SocketAddr,
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
        let parts = address.rsplit_once(':');
        let parts = parts.and_then(|(host, port)| Some((host, port.parse().ok()?)));
        let (host, port) = parts
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "expected host:port"))?;
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
        // What is wrong with TLS is told before anybody can connect.
        let tls = acceptor(&config)?;
        let listener = bind_af_unspecified(host, port, backlog)?;
        Self::with_listener(listener, backlog, config, tls, factory)
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
        let tls = acceptor(&config)?;
        listener.set_nonblocking(true)?;
        let listener = TcpListener::from_std(listener);
        Self::with_listener(listener, BACKLOG, config, tls, factory)
    }

    fn with_listener<H, F>(
        listener: TcpListener,
        backlog: i32,
        config: FTPConfig,
        tls: Option<TlsAcceptor>,
        factory: F,
    ) -> io::Result<Self>
    where
        H: FTPHandler + 'static,
        F: FnMut(SocketAddr) -> H + 'static,
    {
        sys::control_options(&listener, config.tcp_no_delay);
        let address = listener.local_addr()?;
        let mut config = config;
        if tls.is_some() {
            config.proto_cmds.insert_tls();
        }
        let config = Arc::new(config);
        let state = Arc::new(ServerState::new(backlog, tls));
        let mut ioloop = IOLoop::new()?;
        ioloop.add(ServerChannel {
            listener: Listener::new(listener),
            config: Arc::clone(&config),
            state: Arc::clone(&state),
            factory,
            closed: false,
        });
        Ok(Self {
            ioloop,
            state,
            config,
            address,
        })
    }

    /// How many sockets there may be at once - control connections, data
    /// connections and passive listeners, and that of the server: clients beyond
    /// get 421. 512; 0: no limit.
    pub fn set_max_cons(&mut self, max_cons: usize) {
        self.state.max_cons.store(max_cons, Relaxed);
    }

    /// How many control connections may come from one address: those beyond get
    /// 421. 0: no limit, the default.
    pub fn set_max_cons_per_ip(&mut self, max_cons_per_ip: usize) {
        self.state.max_cons_per_ip.store(max_cons_per_ip, Relaxed);
    }

    /// The address it listens on.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The loop, to put other channels on it.
    pub fn ioloop(&mut self) -> &mut IOLoop {
        &mut self.ioloop
    }

    /// Serves until SIGINT or SIGTERM, then closes all. Logs start and stop. If
    /// there is TLS with files, SIGHUP has them read again.
    ///
    /// # Errors
    /// Those of the system's poll.
    pub fn serve_forever(&mut self) -> io::Result<()> {
        let signals = Signals::new(&self.state)?;
        self.log_start();
        self.ioloop.add(signals);
        let result = self.ioloop.run();
        log::info!(
            target: TARGET,
            ">>> shutting down FTP server, pid={}, {} open socket(s) <<<",
            std::process::id(),
            self.state.sockets.load(Relaxed)
        );
        self.close_all();
        crate::log::write_through();
        result
    }

    /// One turn of the loop, which waits for at most `timeout`: for a loop of
    /// one's own, as `serve_forever(blocking=False)`. Returns the time to the
    /// next deadline.
    ///
    /// # Errors
    /// Those of the system's poll.
    pub fn turn(&mut self, timeout: Option<Duration>) -> io::Result<Option<Duration>> {
        self.ioloop.turn(timeout)
    }

    /// Stops listening and closes every session.
    pub fn close_all(&mut self) {
        self.ioloop.close();
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

    fn log_start(&self) {
        let config = &self.config;
        let none = || "None".to_owned();
        let ports = config.passive_ports.as_ref();
        let ports = ports.and_then(|ports| Some(format!("{}->{}", ports.first()?, ports.last()?)));
        let masquerade = config.masquerade_address.clone();
        let (address, pid) = (self.address, std::process::id());
        log::info!(target: TARGET, "concurrency model: async");
        log::info!(target: TARGET, "masquerade (NAT) address: {}", masquerade.unwrap_or_else(none));
        log::info!(target: TARGET, "passive ports: {}", ports.unwrap_or_else(none));
        if let Some(tls) = &config.tls {
            log::info!(target: TARGET, "TLS: {}", if tls.implicit { "implicit" } else { "explicit" });
        }
        log::debug!(target: TARGET, "use sendfile(2): {}", config.use_sendfile);
        log::debug!(target: TARGET, "max connections: {}", limit_text(&self.state.max_cons));
        log::debug!(target: TARGET, "max connections per ip: {}", limit_text(&self.state.max_cons_per_ip));
        log::debug!(target: TARGET, "timeout: {:?}", config.timeout);
        log::debug!(target: TARGET, "banner: {:?}", config.banner);
        log::debug!(target: TARGET, "max login attempts: {}", config.max_login_attempts);
        log::info!(target: TARGET, ">>> starting FTP server on {address}, pid={pid} <<<");
    }
}

impl Drop for FTPServer {
    fn drop(&mut self) {
        self.close_all();
    }
}

/// Reads what TLS needs.
fn acceptor(config: &FTPConfig) -> io::Result<Option<TlsAcceptor>> {
    let tls = config.tls.as_ref().map(TlsAcceptor::new).transpose();
    tls.map_err(|err| io::Error::new(io::ErrorKind::InvalidInput, err))
}

fn limit_text(limit: &AtomicUsize) -> String {
    match limit.load(Relaxed) {
        0 => "unlimited".to_owned(),
        limit => limit.to_string(),
    }
}

/// The listening socket of a server as a channel.
struct ServerChannel<F> {
    listener: Listener,
    config: Arc<FTPConfig>,
    state: Arc<ServerState>,
    factory: F,
    closed: bool,
}

impl<H, F> ServerChannel<F>
where
    H: FTPHandler + 'static,
    F: FnMut(SocketAddr) -> H + 'static,
{
    fn accept(&mut self, io: &mut Io<'_>) {
        let Self {
            listener,
            config,
            state,
            factory,
            ..
        } = self;
        listener.accept_all(io, |io, socket, peer| {
            if !sys::INHERITS_OPTIONS {
                sys::control_options(&socket, config.tcp_no_delay);
            }
            let (seat, admission) = state.admit(canonical(peer.ip()));
            // A panic there is of this connection only: the listener goes on.
            let Ok(handler) = catch_unwind(AssertUnwindSafe(|| factory(peer))) else {
                log::error!(target: TARGET, "making the handler of {peer} panicked");
                return;
            };
            let now = io.now();
            io.add_with(|id, remote| {
                let arrival = Arrival {
                    stream: Stream::new(socket),
                    peer,
                    config: Arc::clone(config),
                    server: Arc::clone(state),
                    seat,
                    remote: remote.clone(),
                    id,
                    now,
                };
                Box::new(Connection::new(arrival, handler, admission))
            });
        });
    }
}

impl<H, F> Channel for ServerChannel<F>
where
    H: FTPHandler + 'static,
    F: FnMut(SocketAddr) -> H + 'static,
{
    fn opened(&mut self, io: &mut Io<'_>) {
        self.listener.opened(io);
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
        self.listener.retry_at
    }

    fn close(&mut self, _io: &mut Io<'_>) {
        self.closed = true;
    }

    fn is_closed(&self) -> bool {
        self.closed
    }
}

/// Ends the loop at SIGINT or SIGTERM, and has certificates read again at SIGHUP.
struct Signals {
    stop: UnixStream,
    /// If there is TLS.
    reload: Option<UnixStream>,
    state: Arc<ServerState>,
    handlers: Vec<signal_hook::SigId>,
}

impl Signals {
    fn new(state: &Arc<ServerState>) -> io::Result<Self> {
        use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
        let mut handlers = Vec::new();
        let stop = notified(&[SIGINT, SIGTERM], &mut handlers)?;
        // Without certificates, SIGHUP does what it does to any program.
        let reload = state
            .tls
            .is_some()
            .then(|| notified(&[SIGHUP], &mut handlers));
        Ok(Self {
            stop,
            reload: reload.transpose()?,
            state: Arc::clone(state),
            handlers,
        })
    }

    fn has_files(&self) -> bool {
        self.state.tls.as_ref().is_some_and(TlsAcceptor::has_files)
    }

    fn reload_tls(&self) {
        match self.state.tls.as_ref().map(TlsAcceptor::reload) {
            Some(_) if !self.has_files() => {
                log::info!(target: TARGET, "TLS: no files to read again")
            }
            Some(Ok(())) => log::info!(target: TARGET, "TLS: certificates read again"),
            Some(Err(err)) => log::warn!(target: TARGET, "TLS: certificates not replaced: {err}"),
            None => {}
        }
    }
}

/// A socket that becomes readable at these signals.
fn notified(signals: &[i32], handlers: &mut Vec<signal_hook::SigId>) -> io::Result<UnixStream> {
    let (read, write) = std::os::unix::net::UnixStream::pair()?;
    read.set_nonblocking(true)?;
    for signal in signals {
        handlers.push(signal_hook::low_level::pipe::register(
            *signal,
            write.try_clone()?,
        )?);
    }
    Ok(UnixStream::from_std(read))
}

impl Channel for Signals {
    fn opened(&mut self, io: &mut Io<'_>) {
        let pipes = [(Some(&mut self.stop), STOP), (self.reload.as_mut(), RELOAD)];
        for (pipe, source) in pipes {
            let Some(pipe) = pipe else { continue };
            if let Err(err) = io.register(pipe, source, Interest::READABLE) {
                log::error!(target: TARGET, "cannot watch for signals: {err}");
            }
        }
    }

    fn ready(&mut self, io: &mut Io<'_>, source: Source, _readiness: Readiness) {
        let mut signals = [0; 16];
        match (source, &mut self.reload) {
            (RELOAD, Some(pipe)) => {
                // However many signals there were, the files are read once.
                let mut any = false;
                while matches!(pipe.read(&mut signals), Ok(1..)) {
                    any = true;
                }
                if any {
                    self.reload_tls();
                }
            }
            _ => {
                if matches!(self.stop.read(&mut signals), Ok(1..)) {
                    log::info!(target: TARGET, "received interrupt signal");
                    io.stop();
                }
            }
        }
    }

    fn close(&mut self, _io: &mut Io<'_>) {
        for handler in self.handlers.drain(..) {
            signal_hook::low_level::unregister(handler);
        }
    }

    fn is_closed(&self) -> bool {
        self.handlers.is_empty()
    }
}

/// The sources of the channel of signals.
const STOP: Source = 0;
const RELOAD: Source = 1;
/// Connections that wait to be accepted by default: as pyftpdlib.
const BACKLOG: i32 = 100;
