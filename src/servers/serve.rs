//! How a server serves and ends: until a signal, until another thread says so, or turn by turn.

use std::io;
use std::process;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use libc::SIGTERM;

use super::accept::NewConnection;
use super::locks;
use super::model::Model;
use super::processes::LOOK_EVERY;
use super::room;
use super::server::{DRAIN_TIMEOUT, FTPServer, Unopened};
use super::signals::{self, Signals};
use super::stop::Stop;
use super::worker_listeners::{First, WorkerListeners};
use crate::ioloop::IOLoop;
use crate::log::TARGET;
use crate::prefork::{self, Role};
use crate::sys::{Held, HeldSignals, LastResort, Terminal};
use crate::time::after;

impl FTPServer {
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
    /// called, too. When the last server of the process that handles signals has ended, each signal
    /// has the action that it had before. With [`handle_signals(false)`](Self::handle_signals) the
    /// server handles none.
    ///
    /// The start and the end are logged. A server serves once: a new one is bound to serve again.
    ///
    /// # Errors
    /// The server has ended already. Errors of the system's poll, those of
    /// [`fork_processes`](prefork::fork_processes), and those of the switch to another
    /// [user](Self::set_run_as).
    pub fn serve_forever(&mut self) -> io::Result<()> {
        self.serve_until(&Stop::new())
    }

    /// Serves as [`serve_forever`](Self::serve_forever) does, or until another thread triggers
    /// `stop`.
    ///
    /// ```
    /// use ftpdlib::{FTPConfig, FTPServer, Stop, handlers::StockHandler};
    ///
    /// # fn main() -> std::io::Result<()> {
    /// let stop = Stop::new();
    /// let remote = stop.clone();
    /// std::thread::spawn(move || remote.stop());
    /// let mut server = FTPServer::bind("127.0.0.1:0", FTPConfig::default(), |_peer| StockHandler)?;
    /// server.handle_signals(false);
    /// server.serve_until(&stop)
    /// # }
    /// ```
    ///
    /// # Errors
    /// Those of [`serve_forever`](Self::serve_forever).
    pub fn serve_until(&mut self, stop: &Stop) -> io::Result<()> {
        if self.finished {
            return Err(io::Error::other(
                "the server has ended, and serves only once: bind a new one",
            ));
        }
        if self.signals && self.ends_at_hang_up && signals::has_hung_up_early() {
            log::info!(target: TARGET, "received interrupt signal");
            self.end_all();
            return Ok(());
        }
        if let Some(workers) = self.workers {
            if !self.signals {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidInput,
                    "workers are ended by signals: handle_signals(false) excludes \
                     set_worker_processes",
                ));
            }
            let workers = prefork::count(workers);
            self.state.limits.share(workers, self.model.descriptors())?;
            self.log_start("prefork + ");
            if let Role::Master(status) = self.fork(workers)? {
                self.status = status;
                self.finished = true;
                return Ok(());
            }
        } else {
            self.state
                .limits
                .raise_open_files(1, self.model.descriptors());
            self.log_start("");
            self.switch_user()?;
        }
        let (addresses, pid) = (self.addresses_text(), process::id());
        let signals = match self.signals {
            true => Some(self.watch_signals(prefork::is_worker())?),
            false => None,
        };
        let _woken = stop.wake(self.ioloop.remote());
        self.open();
        if let Some(signals) = signals {
            self.ioloop.add(signals);
        }
        log::info!(target: TARGET, ">>> starting FTP server on {addresses}, pid={pid} <<<");
        let result = self.serve(stop);
        log::info!(
            target: TARGET,
            ">>> shutting down FTP server, pid={pid}, {} open socket(s) <<<",
            self.state.limits.sockets()
        );
        let result = result.and_then(|()| self.drain(stop));
        let forced = self.end_all();
        if forced && self.status == 0 {
            self.status = self.forced_status();
        }
        crate::log::write_through();
        if prefork::is_worker() {
            signals::ignore_from_now()?;
        }
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

    pub(super) fn turn_once(&mut self, timeout: Option<Duration>) -> io::Result<Option<Duration>> {
        let look = self.time_to_look();
        let next = self.ioloop.turn(timeout.into_iter().chain(look).min())?;
        self.run_processes();
        Ok(next)
    }

    /// How often to look whether a process has ended. Without a handler of SIGCHLD, nothing wakes
    /// the loop then.
    pub(super) fn time_to_look(&self) -> Option<Duration> {
        let is_blind = self.last_resort.is_none() && self.model.has_processes();
        is_blind.then_some(LOOK_EVERY)
    }

    /// Whether the server has ended, and everything of it is closed.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.finished
    }

    /// Stops listening and closes every session.
    pub fn close_all(&mut self) {
        self.end_all();
    }

    /// Closes everything. Returns whether a thread or a process was ended by force, or left
    /// behind.
    pub(super) fn end_all(&mut self) -> bool {
        self.finished = true;
        self.unopened = None;
        self.forget_addresses();
        self.ioloop.close();
        self.model.end_all(JOIN_TIMEOUT)
    }

    /// From now on, signals end the server.
    fn watch_signals(&mut self, has_parent: bool) -> io::Result<Signals> {
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

    /// Forks the workers. Each worker gets its own loop and listening sockets.
    fn fork(&mut self, workers: usize) -> io::Result<Role> {
        let Some(Unopened { sockets, sessions }) = self.unopened.take() else {
            return Err(io::Error::other(
                "workers must be forked before `ioloop` or `turn` is called",
            ));
        };
        let first = sockets.into_iter().zip(&self.places);
        let first = first.map(|(socket, place)| First {
            socket,
            address: place.address,
            backlog: place.backlog,
        });
        let mut listeners = WorkerListeners::new(
            first.collect(),
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
            let sockets = listeners.take(number);
            self.unopened = Some(Unopened { sockets, sessions });
        }
        Ok(role)
    }

    /// Serves until a signal, or until `stop` is triggered.
    fn serve(&mut self, stop: &Stop) -> io::Result<()> {
        if prefork::was_stopped() {
            return Ok(());
        }
        self.ioloop.go_on();
        while !self.ioloop.is_stopped() && !self.ioloop.is_empty() && !stop.is_triggered() {
            self.turn_once(None)?;
        }
        Ok(())
    }

    /// Stops listening, and asks sessions to end.
    pub(super) fn begin_drain(&mut self) {
        self.end_by = Some(after(Instant::now(), self.drain_timeout));
        self.unopened = None;
        self.ioloop.go_on();
        self.ioloop.with_io(|io| io.drain_all());
        self.model.drain();
    }

    /// Lets sessions end, until none is left, the time is over, another signal comes, or `stop`
    /// means at once.
    fn drain(&mut self, stop: &Stop) -> io::Result<()> {
        self.begin_drain();
        while self.has_sessions() && !stop.is_now() {
            let last_resort = self.last_resort.as_ref();
            if let Some(last_resort) = last_resort.filter(|last_resort| last_resort.at_once()) {
                last_resort.answer(STUCK_TIMEOUT);
                self.status = self.forced_status();
                break;
            }
            let left = self
                .end_by
                .map(|end| end.saturating_duration_since(Instant::now()));
            if left.is_none_or(|left| left.is_zero()) {
                break;
            }
            self.turn_once(left)?;
        }
        Ok(())
    }

    pub(super) fn has_sessions(&self) -> bool {
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
        let signals = self.watch_signals(true)?;
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
            self.drain(&Stop::new())?;
        }
        self.ioloop.close();
        Ok(())
    }
}

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
