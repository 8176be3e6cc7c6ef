//! Workers: processes that are forked before there are clients, and a master
//! that only looks after them.
//!
//! Sockets that listen are made before the fork, loops after it: a poll that two
//! processes share would tell each of the other's sockets.

use std::io::{self, Read};
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use signal_hook::SigId;
use signal_hook::consts::{SIGCHLD, SIGHUP, SIGINT, SIGKILL, SIGTERM};

use crate::log::{TARGET, write_through};
use crate::sys::{self, Fork, Pid};

/// Which process this is, after [`fork_processes`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// A worker, with its number from 0. One that takes another's place has its number.
    Worker(usize),
    /// The master, when all workers have ended; with the status to exit with.
    Master(u8),
}

/// Forks `number` workers (0: one for each CPU): as pyftpdlib's function.
///
/// It returns in each of them. In the master it returns when all have ended; until
/// then it starts those anew that end abnormally, after a pause that grows, at most
/// `max_restarts` times in all, and passes SIGTERM, SIGINT and SIGHUP on. After
/// SIGTERM and SIGINT workers have `patience` to end, and are killed then. If the
/// master is killed, its workers get SIGTERM (on Linux).
///
/// # Errors
/// If the process has threads already, or cannot be forked; if there were too
/// many restarts.
pub fn fork_processes(number: usize, max_restarts: usize) -> io::Result<Role> {
    supervise(number, max_restarts, PATIENCE, &mut |_| {})
}

/// How many workers `number` stands for.
pub(crate) fn count(number: usize) -> usize {
    match number {
        0 => thread::available_parallelism().map_or(1, Into::into),
        number => number,
    }
}

/// As [`fork_processes`]; `ended` hears of each worker that has.
pub(crate) fn supervise(
    number: usize,
    max_restarts: usize,
    patience: Duration,
    ended: &mut dyn FnMut(Pid),
) -> io::Result<Role> {
    let number = count(number);
    log::info!(target: TARGET, "starting {number} pre-fork processes");
    let mut master = Master::new(number, max_restarts, patience)?;
    loop {
        if let Some(worker) = master.start_due()? {
            return Ok(Role::Worker(worker));
        }
        if master.is_done() {
            return master.result();
        }
        master.sleep();
        master.pass_signals();
        master.reap(ended);
    }
}

/// What the master knows.
struct Master {
    workers: Vec<Worker>,
    signals: Signals,
    restarts: usize,
    max_restarts: usize,
    patience: Duration,
    /// When those that still run are killed, once all are to end.
    kill_at: Option<Instant>,
    failed: bool,
    status: u8,
}

enum Worker {
    /// To be started.
    Due {
        at: Instant,
        pause: Duration,
    },
    Running {
        pid: Pid,
        since: Instant,
        pause: Duration,
    },
    Ended,
}

impl Master {
    fn new(number: usize, max_restarts: usize, patience: Duration) -> io::Result<Self> {
        let now = Instant::now();
        let due = || Worker::Due {
            at: now,
            pause: Duration::ZERO,
        };
        Ok(Self {
            workers: std::iter::repeat_with(due).take(number).collect(),
            signals: Signals::new()?,
            restarts: 0,
            max_restarts,
            patience,
            kill_at: None,
            failed: false,
            status: 0,
        })
    }

    fn is_done(&self) -> bool {
        let ended = |worker: &Worker| matches!(worker, Worker::Ended);
        self.workers.iter().all(ended)
    }

    fn result(&self) -> io::Result<Role> {
        match self.failed {
            true => Err(io::Error::other("too many restarts of workers, giving up")),
            false => Ok(Role::Master(self.status)),
        }
    }

    /// Starts the workers whose time has come. Returns the number of a worker in
    /// that worker.
    fn start_due(&mut self) -> io::Result<Option<usize>> {
        let now = Instant::now();
        let parent = sys::own_pid();
        for number in 0..self.workers.len() {
            let pause = match self.workers[number] {
                Worker::Due { at, pause } if at <= now => pause,
                _ => continue,
            };
            // What is not written yet would be written twice.
            write_through();
            match sys::fork() {
                Ok(Fork::Parent(pid)) => {
                    let since = now;
                    self.workers[number] = Worker::Running { pid, since, pause };
                }
                Ok(Fork::Child) => {
                    self.signals.leave();
                    sys::signal_at_death_of_parent(parent, SIGTERM)?;
                    return Ok(Some(number));
                }
                Err(err) => {
                    log::error!(target: TARGET, "cannot start child {number}: {err}");
                    self.end_all(SIGTERM);
                    self.workers[number] = Worker::Ended;
                    self.failed = true;
                    return Err(err);
                }
            }
        }
        Ok(None)
    }

    /// Until a signal comes, or something is due.
    fn sleep(&mut self) {
        let due = self.workers.iter().filter_map(|worker| match worker {
            Worker::Due { at, .. } => Some(*at),
            _ => None,
        });
        let next = due.chain(self.kill_at).min();
        self.signals.wait(next);
    }

    fn pass_signals(&mut self) {
        if self.signals.take(&self.signals.reload) {
            self.send(SIGHUP);
        }
        let signals = &self.signals;
        let flags = [(&signals.terminate, SIGTERM), (&signals.interrupt, SIGINT)];
        let stop = flags.into_iter().find(|(flag, _)| signals.take(flag));
        if let Some((_, signal)) = stop {
            log::info!(target: TARGET, "received interrupt signal");
            self.end_all(signal);
        }
        if self
            .kill_at
            .is_some_and(|kill_at| kill_at <= Instant::now())
        {
            log::warn!(target: TARGET, "workers do not end, and are killed");
            self.send(SIGKILL);
            self.kill_at = Some(Instant::now() + self.patience);
        }
    }

    /// Tells all to end; those that wait for their turn do not get it.
    fn end_all(&mut self, signal: i32) {
        for worker in &mut self.workers {
            if matches!(worker, Worker::Due { .. }) {
                *worker = Worker::Ended;
            }
        }
        self.send(signal);
        self.kill_at.get_or_insert(Instant::now() + self.patience);
    }

    fn send(&self, signal: i32) {
        for worker in &self.workers {
            if let Worker::Running { pid, .. } = worker {
                sys::kill(*pid, signal);
            }
        }
    }

    /// Looks who has ended.
    fn reap(&mut self, ended: &mut dyn FnMut(Pid)) {
        for number in 0..self.workers.len() {
            let Worker::Running { pid, since, pause } = self.workers[number] else {
                continue;
            };
            match sys::wait(pid) {
                Ok(None) => {}
                Ok(Some(status)) => {
                    ended(pid);
                    self.workers[number] = self.after(number, pid, status, since, pause);
                }
                Err(err) => {
                    log::error!(target: TARGET, "cannot wait for child {number}: {err}");
                    self.workers[number] = Worker::Ended;
                }
            }
        }
    }

    /// What becomes of a worker that has ended.
    fn after(
        &mut self,
        number: usize,
        pid: Pid,
        status: ExitStatus,
        since: Instant,
        pause: Duration,
    ) -> Worker {
        if status.success() {
            log::info!(target: TARGET, "child {number} (pid {pid}) exited normally");
            return Worker::Ended;
        }
        let how = match (status.signal(), status.code()) {
            (Some(signal), _) => format!("killed by signal {signal}"),
            (None, code) => format!("exited with status {}", code.unwrap_or_default()),
        };
        if self.kill_at.is_some() {
            log::warn!(target: TARGET, "child {number} (pid {pid}) {how}");
            let code = status.code().or(status.signal().map(|signal| 128 + signal));
            self.status = self
                .status
                .max(code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1));
            return Worker::Ended;
        }
        self.restarts += 1;
        if self.restarts > self.max_restarts {
            log::error!(target: TARGET, "child {number} (pid {pid}) {how}; too many restarts, giving up");
            self.failed = true;
            self.end_all(SIGTERM);
            return Worker::Ended;
        }
        log::warn!(target: TARGET, "child {number} (pid {pid}) {how}, restarting");
        // At once, but for those that die again and again.
        let pause = match since.elapsed() >= GOOD_LIFE {
            true => Duration::ZERO,
            false => pause,
        };
        Worker::Due {
            at: Instant::now() + pause,
            pause: (pause * 2).clamp(PAUSE_MIN, PAUSE_MAX),
        }
    }
}

/// The signals that the master hears.
struct Signals {
    /// Has a byte for each signal, to end a sleep.
    wake: UnixStream,
    terminate: Arc<AtomicBool>,
    interrupt: Arc<AtomicBool>,
    reload: Arc<AtomicBool>,
    handlers: Vec<SigId>,
}

impl Signals {
    fn new() -> io::Result<Self> {
        let (wake, write) = UnixStream::pair()?;
        write.set_nonblocking(true)?;
        let mut signals = Self {
            wake,
            terminate: Arc::default(),
            interrupt: Arc::default(),
            reload: Arc::default(),
            handlers: Vec::new(),
        };
        let flags = [
            (SIGTERM, &signals.terminate),
            (SIGINT, &signals.interrupt),
            (SIGHUP, &signals.reload),
        ];
        for (signal, flag) in flags {
            let handler = signal_hook::flag::register(signal, Arc::clone(flag))?;
            signals.handlers.push(handler);
        }
        // After the flags: whoever is woken finds them set.
        for signal in [SIGTERM, SIGINT, SIGHUP, SIGCHLD] {
            let handler = signal_hook::low_level::pipe::register(signal, write.try_clone()?)?;
            signals.handlers.push(handler);
        }
        Ok(signals)
    }

    fn take(&self, flag: &AtomicBool) -> bool {
        flag.swap(false, Relaxed)
    }

    fn wait(&mut self, until: Option<Instant>) {
        let timeout = until.map(|until| until.saturating_duration_since(Instant::now()));
        // Zero would mean "forever".
        let timeout = timeout.map(|timeout| timeout.max(Duration::from_millis(1)));
        if self.wake.set_read_timeout(timeout).is_ok() {
            // A byte, a time-out and an interruption are all alike.
            let _ = self.wake.read(&mut [0; 64]);
        }
    }

    /// In a worker they are its own, but for those that come before it has any.
    fn leave(&mut self) {
        let _ = EARLY.set([Arc::clone(&self.terminate), Arc::clone(&self.interrupt)]);
        // The flags were registered first, and stay.
        for handler in self.handlers.drain(..).skip(FLAGS) {
            signal_hook::low_level::unregister(handler);
        }
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        for handler in self.handlers.drain(..) {
            signal_hook::low_level::unregister(handler);
        }
    }
}

/// Whether this is a worker that was told to end before it could hear it.
pub(crate) fn was_stopped() -> bool {
    let flags = EARLY.get();
    flags.is_some_and(|flags| flags.iter().any(|flag| flag.load(Relaxed)))
}

static EARLY: OnceLock<[Arc<AtomicBool>; 2]> = OnceLock::new();

/// Signals with a flag.
const FLAGS: usize = 3;

/// How long workers may take to end, as [`fork_processes`] has it.
const PATIENCE: Duration = Duration::from_secs(5);

/// Whoever has lived so long is started anew at once.
const GOOD_LIFE: Duration = Duration::from_secs(10);

/// The pauses before a restart, but for the first, which has none.
const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(5);
