//! A whole server in memory.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant, SystemTime};

use super::sockets::{Listener, Stream};
use crate::handlers::connection::Connection;
use crate::handlers::{FTPConfig, FTPHandler};
use crate::ioloop::IOLoop;
use crate::ioloop::clock::Clock;
use crate::ioloop::memory::Network;
use crate::random::Random;
use crate::server_state::ServerState;
use crate::servers::serve_in_memory;
use crate::sessions::Sessions;

/// A server in memory, with any number of clients. The [module](super#a-whole-server) shows how
/// to use it.
///
/// It accepts, limits and ends sessions as an [`FTPServer`](crate::FTPServer) does, and its
/// sessions run the same code. But nothing happens by itself: the test turns the loop, moves the
/// clock and runs the jobs. There are no sockets of the system, no threads and no real time, and
/// all random numbers come from a seed. So the same calls have the same effects.
///
/// The methods take `&self`. Inside a hook, only [`now`](Self::now), [`date`](Self::date),
/// [`jobs`](Self::jobs), [`sessions`](Self::sessions), [`open_sockets`](Self::open_sockets) and
/// the methods of the network may be called; the others panic, since the loop is at work.
///
/// Dropping the value closes all sessions, which calls their last hooks.
pub struct Server {
    ioloop: RefCell<IOLoop>,
    network: Network,
    state: Arc<ServerState>,
    address: SocketAddr,
    start: Instant,
    queued: fn(&IOLoop) -> usize,
}

impl Server {
    /// Makes a server that listens on `address` in a network of its own. Port 0 stands for a port
    /// that the network draws. `factory` makes the handler of each session from the address of
    /// its client. `seed` decides about all that is random: passive ports, and the keys of hashes.
    ///
    /// # Errors
    /// If TLS cannot be set up, the kind is `InvalidInput`, and the error has a
    /// [`TlsError`](crate::TlsError) inside.
    pub fn new<H: FTPHandler + 'static>(
        config: FTPConfig,
        address: SocketAddr,
        seed: u64,
        factory: impl FnMut(SocketAddr) -> H + 'static,
    ) -> io::Result<Self> {
        let random = Random::seeded(seed);
        let clock = Clock::by_hand();
        clock.set_date(SystemTime::UNIX_EPOCH + DATE);
        let network = Network::new(clock, Some(random.clone()));
        network.add_host(address.ip());
        let mut ioloop = IOLoop::without_poll(network.clone());
        let start = ioloop.now();
        let (state, address) =
            serve_in_memory(&mut ioloop, &network, address, config, random, factory)?;
        Ok(Self {
            ioloop: RefCell::new(ioloop),
            network,
            state,
            address,
            start,
            queued: queued_bytes::<H>,
        })
    }

    /// As [`FTPServer::set_max_cons`](crate::FTPServer::set_max_cons).
    pub fn set_max_cons(&mut self, max_cons: usize) {
        self.state.limits.set_max_cons(max_cons);
    }

    /// As [`FTPServer::set_max_cons_per_ip`](crate::FTPServer::set_max_cons_per_ip).
    pub fn set_max_cons_per_ip(&mut self, max_cons_per_ip: usize) {
        self.state.limits.set_max_cons_per_ip(max_cons_per_ip);
    }

    /// As [`FTPServer::set_max_cons_per_user`](crate::FTPServer::set_max_cons_per_user).
    pub fn set_max_cons_per_user(&mut self, max_cons_per_user: usize) {
        let limits = &self.state.limits;
        limits.set_max_cons_per_user(max_cons_per_user);
    }

    /// As [`FTPServer::set_ipv6_prefix`](crate::FTPServer::set_ipv6_prefix).
    pub fn set_ipv6_prefix(&mut self, bits: u8) {
        self.state.limits.set_ipv6_prefix(bits);
    }

    // --- the network

    /// The address that the server listens on.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Connects a client: the control connection to [`address`](Self::address), or a data
    /// connection to what the server has said in reply to PASV. The connection waits to be
    /// accepted; a turn of the loop does that. Port 0 in `from` stands for a port that the network
    /// draws. A connection to an address that no socket has stays unfinished.
    ///
    /// # Errors
    /// `ConnectionRefused` if no socket listens on the port of `to`.
    pub fn connect(&self, from: SocketAddr, to: SocketAddr) -> io::Result<Stream> {
        self.network.connect(from, to).map(Stream::new)
    }

    /// Listens for the server, as a client does before PORT or EPRT. Port 0 stands for a port that
    /// the network draws.
    ///
    /// # Errors
    /// `AddrInUse` if another socket listens there.
    pub fn listen(&self, address: SocketAddr) -> io::Result<Listener> {
        self.network.listen(address).map(Listener::new)
    }

    // --- the loop

    /// Makes one turn of the loop. It never waits.
    pub fn turn(&self) {
        turn(&mut self.ioloop.borrow_mut());
    }

    /// Whether a turn would do nothing now.
    #[must_use]
    pub fn is_at_rest(&self) -> bool {
        self.ioloop.borrow_mut().is_at_rest()
    }

    /// Turns the loop until a turn would do nothing.
    ///
    /// # Panics
    /// If that takes more than a million turns.
    #[track_caller]
    pub fn settle(&self) {
        let ioloop = &mut *self.ioloop.borrow_mut();
        for _ in 0..TURNS {
            if ioloop.is_at_rest() {
                return;
            }
            turn(ioloop);
        }
        panic!("the server is still busy after {TURNS} turns of its loop");
    }

    // --- time

    /// How far the clock was moved since the server was made.
    #[must_use]
    pub fn now(&self) -> Duration {
        self.network.clock().now() - self.start
    }

    /// When the server has to act without an event, as [`now`](Self::now) counts: the earliest
    /// deadline of all sessions.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Duration> {
        let next = self.ioloop.borrow_mut().next_due();
        next.map(|next| next.saturating_duration_since(self.start))
    }

    /// Moves the clock, as [`now`](Self::now) counts. It is never moved back. What is due happens
    /// in the next turn.
    pub fn set_now(&self, now: Duration) {
        self.network.clock().set(self.start + now);
    }

    /// Sets how far the clock goes on by itself each time that the server reads it during its work.
    /// It does so to find out whether the time of a turn is over: a turn of a session lasts 1 ms,
    /// and a step of a listing 500 µs, for example. Default: zero, so that a turn ends by the
    /// amount of its work.
    pub fn set_tick(&self, tick: Duration) {
        self.network.clock().set_tick(tick);
    }

    /// The date and time, which listings show. It goes with the clock, and is 2020-01-01 00:00 UTC
    /// when the server is made.
    #[must_use]
    pub fn date(&self) -> SystemTime {
        self.network.clock().date()
    }

    /// Sets the date and time.
    pub fn set_date(&self, date: SystemTime) {
        self.network.clock().set_date(date);
    }

    // --- jobs

    /// How many jobs wait that were given to [`FTPSession::offload`](crate::FTPSession::offload)
    /// or [`LaterVerdict::offload`](crate::authorizers::LaterVerdict::offload). There are no
    /// threads for them: [`run_job`](Self::run_job) runs them.
    #[must_use]
    pub fn jobs(&self) -> usize {
        self.state.pool.waiting()
    }

    /// Runs the `n`th of the waiting jobs, in the order in which they were given. Its session
    /// gets the result in a later turn.
    ///
    /// # Panics
    /// If there is no such job.
    #[track_caller]
    pub fn run_job(&self, n: usize) {
        let jobs = self.jobs();
        assert!(self.state.pool.run_nth(n), "job {n} of {jobs}");
    }

    // --- what there is

    /// How many sessions there are, those that only get a 421 included.
    #[must_use]
    pub fn sessions(&self) -> usize {
        self.state.sessions.load(Relaxed)
    }

    /// The sessions as other threads see them. [`Sessions::list`](crate::Sessions::list) would wait
    /// for a loop that the test itself must turn: use
    /// [`list_later`](crate::Sessions::list_later), and turn it.
    #[must_use]
    pub fn all_sessions(&self) -> Sessions {
        Sessions::new(&self.state.loops)
    }

    /// The hosts at whose sockets something has changed since the last call: a connection or bytes
    /// have come, there is room for more, or the server has closed its side. A test with many
    /// clients needs to look at these only.
    #[must_use]
    pub fn take_touched(&self) -> BTreeSet<IpAddr> {
        self.network.take_touched()
    }

    /// How many sockets of sessions are open: control connections, data connections, and those
    /// that listen for the latter or connect to a client. Those that only wait for the client to
    /// close its side count, too. The listening socket of the server does not. 0 when all
    /// sessions have ended.
    #[must_use]
    pub fn open_sockets(&self) -> usize {
        self.network.served() - usize::from(self.network.listens(self.address))
    }

    /// How many slots of [`max_cons`](Self::set_max_cons) are taken: by the sockets of sessions,
    /// and by sessions that have ended before their jobs.
    #[must_use]
    pub fn slots(&self) -> usize {
        self.state.limits.sockets() - 1
    }

    /// How many scheduled functions and deadlines there are. 0 when all sessions have ended, and
    /// their last sockets are closed.
    #[must_use]
    pub fn timers(&self) -> usize {
        self.ioloop.borrow().timers()
    }

    /// How many bytes the sessions hold for their clients: replies, and what is read from files
    /// or encrypted and not sent yet.
    #[must_use]
    pub fn queued_bytes(&self) -> usize {
        (self.queued)(&self.ioloop.borrow())
    }

    // --- the end

    /// The server stops listening. Its sessions end with 421 when they are at rest; the test turns
    /// the loop and moves the clock until none is left, or calls [`close`](Self::close).
    pub fn drain(&self) {
        let ioloop = &mut *self.ioloop.borrow_mut();
        ioloop.with_io(|io| io.drain_all());
    }

    /// Stops listening and closes every session. Jobs that wait are dropped.
    pub fn close(&self) {
        self.ioloop.borrow_mut().close();
        self.state.pool.clear();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.close();
        }
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("address", &self.address)
            .field("sessions", &self.sessions())
            .finish_non_exhaustive()
    }
}

#[track_caller]
fn turn(ioloop: &mut IOLoop) {
    let turned = ioloop.turn(Some(Duration::ZERO));
    turned.expect("a loop without a poll cannot fail");
}

fn queued_bytes<H: FTPHandler + 'static>(ioloop: &IOLoop) -> usize {
    let sessions = ioloop.channels::<Connection<H>>();
    sessions.map(Connection::queued_bytes).sum()
}

/// A server that is still busy after so many turns will never be at rest.
const TURNS: usize = 1_000_000;

/// The date when a server is made, since 1970: 2020-01-01 00:00 UTC.
const DATE: Duration = Duration::from_secs(1_577_836_800);
