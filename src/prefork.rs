//! Workers: processes that are forked before there are clients, and a master
//! that only looks after them.
//!
//! Sockets that listen are made before the fork, loops after it: a poll that two
//! processes share would tell each of the other's sockets.
//!
//! What the workers serve is not known here: [`fork_processes`] does for any program.

use std::io::{self, Read};
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use signal_hook::SigId;
use signal_hook::consts::{SIGCHLD, SIGHUP, SIGINT, SIGKILL, SIGQUIT, SIGTERM};

use crate::log::{TARGET, write_through};
use crate::sys::{self, Fork, LastResort, Pid};
use crate::time::after as time_after;

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
/// `max_restarts` times in all, and passes SIGTERM, SIGINT and SIGHUP on. A worker
/// that has lived for five minutes is replaced without being counted, and what was
/// counted for its place before is forgotten. Once there were too many, all end.
///
/// After SIGTERM or SIGINT workers have 5 s to end, and are killed then; a second one
/// is passed on as SIGQUIT, since a terminal sends the first to workers, too. If the
/// master is killed, its workers get SIGTERM (on Linux). A master that is stuck (in a
/// log that nobody reads) is ended by SIGALRM.
///
/// In a worker SIGTERM, SIGINT and SIGHUP do nothing until somebody listens for
/// them, as [`FTPServer::serve_forever`](crate::FTPServer::serve_forever) does.
///
/// # Errors
/// If the process has threads already, or cannot be forked; if there were too
/// many restarts.
pub fn fork_processes(number: usize, max_restarts: usize) -> io::Result<Role> {
    struct Anything;
    impl Service for Anything {}
    supervise(number, max_restarts, PATIENCE, &mut Anything)
}

/// What the workers are for, as far as the master has to do with it.
pub(crate) trait Service {
    /// Whether SIGHUP is for it, and not the end of the master.
    fn hears_reload(&self) -> bool {
        true
    }

    /// SIGHUP has come: workers to come should know.
    fn reload(&mut self) {}

    /// Whether a worker that ends normally, though it was not told to by the
    /// master, is started anew.
    fn needs_all(&self) -> bool {
        false
    }

    /// A worker has ended.
    fn ended(&mut self, pid: Pid) {
        let _ = pid;
    }

    /// All are told to end now.
    fn stop(&mut self) {}
}

/// How many workers `number` stands for.
pub(crate) fn count(number: usize) -> usize {
    match number {
        0 => thread::available_parallelism().map_or(1, Into::into),
        number => number,
    }
}

/// As [`fork_processes`], with some patience.
pub(crate) fn supervise(
    number: usize,
    max_restarts: usize,
    patience: Duration,
    service: &mut dyn Service,
) -> io::Result<Role> {
    let number = count(number);
    log::info!(target: TARGET, "starting {number} pre-fork processes");
    let mut master = Master::new(number, max_restarts, patience, service)?;
    loop {
        if let Some(worker) = master.start_due()? {
            return Ok(Role::Worker(worker));
        }
        if master.is_done() {
            return master.result();
        }
        master.sleep();
        master.pass_signals();
        master.reap();
    }
}

/// What the master knows.
struct Master<'a> {
    service: &'a mut dyn Service,
    workers: Vec<Worker>,
    signals: Signals,
    restarts: Restarts,
    patience: Duration,
    /// When those that still run are killed, once all are to end.
    kill_at: Option<Instant>,
    /// The signal that was to end them at once.
    forced: Option<i32>,
    /// The signal that was to end them.
    told: i32,
    /// Whether those that still ran then were killed.
    killed: bool,
    /// Whether the end has begun: none is replaced any more.
    over: bool,
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

impl<'a> Master<'a> {
    fn new(
        number: usize,
        max_restarts: usize,
        patience: Duration,
        service: &'a mut dyn Service,
    ) -> io::Result<Self> {
        let now = Instant::now();
        let due = || Worker::Due {
            at: now,
            pause: Duration::ZERO,
        };
        Ok(Self {
            workers: std::iter::repeat_with(due).take(number).collect(),
            signals: Signals::new(service.hears_reload(), patience)?,
            service,
            restarts: Restarts::new(number, max_restarts),
            patience,
            kill_at: None,
            forced: None,
            told: SIGTERM,
            killed: false,
            over: false,
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
                Err(err) if self.is_first() => return Err(err),
                // The system may be able to later.
                Err(err) => {
                    let how = format!("cannot be started: {err}");
                    self.workers[number] = self.replace(number, &how, pause);
                }
            }
        }
        Ok(None)
    }

    /// Whether nobody has been started yet.
    fn is_first(&self) -> bool {
        let due = |worker: &Worker| matches!(worker, Worker::Due { .. });
        self.restarts.is_none() && self.workers.iter().all(due)
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
            self.service.reload();
            self.send(SIGHUP);
        }
        if self.signals.take(&self.signals.terminate) {
            self.interrupted(SIGTERM);
        }
        if self.signals.take(&self.signals.interrupt) {
            self.interrupted(SIGINT);
        }
        let now = Instant::now();
        if self.kill_at.is_some_and(|kill_at| kill_at <= now) {
            log::warn!(target: TARGET, "workers do not end, and are killed");
            self.killed = true;
            self.send(SIGKILL);
            self.kill_at = Some(time_after(now, self.patience));
        }
    }

    fn interrupted(&mut self, signal: i32) {
        log::info!(target: TARGET, "received interrupt signal");
        let Some(kill_at) = self.kill_at else {
            return self.end_all(signal);
        };
        if let Some(resort) = &self.signals.resort {
            resort.answer(FORCED_PATIENCE + LAST_PATIENCE);
        }
        self.forced = Some(signal);
        self.send(SIGQUIT);
        self.kill_at = Some(kill_at.min(Instant::now() + FORCED_PATIENCE));
    }

    /// Tells all to end; those that wait for their turn do not get it.
    fn end_all(&mut self, signal: i32) {
        self.over = true;
        self.told = signal;
        // Who has ended before was not told to.
        self.reap();
        self.service.stop();
        for worker in &mut self.workers {
            if matches!(worker, Worker::Due { .. }) {
                *worker = Worker::Ended;
            }
        }
        self.send(signal);
        self.kill_at = Some(time_after(Instant::now(), self.patience));
    }

    fn send(&self, signal: i32) {
        for worker in &self.workers {
            if let Worker::Running { pid, .. } = worker {
                sys::kill(*pid, signal);
            }
        }
    }

    /// Looks who has ended.
    fn reap(&mut self) {
        for number in 0..self.workers.len() {
            let Worker::Running { pid, since, pause } = self.workers[number] else {
                continue;
            };
            match sys::wait(pid) {
                Ok(None) => {}
                Ok(Some(status)) => {
                    self.service.ended(pid);
                    if since.elapsed() >= FULL_LIFE {
                        self.restarts.forgive(number);
                    }
                    // Who has lived long is replaced at once.
                    let pause = match since.elapsed() >= GOOD_LIFE {
                        true => Duration::ZERO,
                        false => pause,
                    };
                    self.workers[number] = self.after(number, pid, status, pause);
                }
                Err(err) => {
                    log::error!(target: TARGET, "cannot wait for child {number}: {err}");
                    self.workers[number] = Worker::Ended;
                }
            }
        }
    }

    /// What becomes of a worker that has ended.
    fn after(&mut self, number: usize, pid: Pid, status: ExitStatus, pause: Duration) -> Worker {
        let how = match (status.signal(), status.code()) {
            (Some(signal), _) => format!("(pid {pid}) killed by signal {signal}"),
            (None, Some(0)) => format!("(pid {pid}) exited normally"),
            (None, code) => format!(
                "(pid {pid}) exited with status {}",
                code.unwrap_or_default()
            ),
        };
        if status.success() && (self.over || !self.service.needs_all()) {
            log::info!(target: TARGET, "child {number} {how}");
            return Worker::Ended;
        }
        if self.over {
            log::warn!(target: TARGET, "child {number} {how}");
            if self.kill_at.is_none() {
                return Worker::Ended;
            }
            let told = self.killed.then_some(self.told);
            let signal = self.forced.or(told).or(status.signal());
            let code = signal.map(|signal| 128 + signal).or(status.code());
            let code = code.and_then(|code| u8::try_from(code).ok());
            self.status = self.status.max(code.unwrap_or(1));
            return Worker::Ended;
        }
        self.replace(number, &how, pause)
    }

    /// Has another one take the place of one that is missing, unless there were
    /// too many already.
    fn replace(&mut self, number: usize, how: &str, pause: Duration) -> Worker {
        for (other, worker) in self.workers.iter().enumerate() {
            if matches!(worker, Worker::Running { since, .. } if since.elapsed() >= FULL_LIFE) {
                self.restarts.forgive_earlier(other);
            }
        }
        if !self.restarts.count(number) {
            log::error!(target: TARGET, "child {number} {how}; too many restarts, giving up");
            self.failed = true;
            self.end_all(SIGTERM);
            return Worker::Ended;
        }
        log::warn!(target: TARGET, "child {number} {how}, restarting");
        Worker::Due {
            at: Instant::now() + pause,
            pause: (pause * 2).clamp(PAUSE_MIN, PAUSE_MAX),
        }
    }
}

/// How often the workers of each place were started anew.
struct Restarts {
    /// And whether the next time is for nothing.
    counts: Vec<(usize, bool)>,
    max: usize,
}

impl Restarts {
    fn new(places: usize, max: usize) -> Self {
        Self {
            counts: vec![(0, false); places],
            max,
        }
    }

    fn is_none(&self) -> bool {
        self.total() == 0
    }

    fn total(&self) -> usize {
        self.counts.iter().map(|(count, _)| count).sum()
    }

    /// There was a worker that has lived a full life: it does not count.
    fn forgive(&mut self, place: usize) {
        self.counts[place] = (0, true);
    }

    /// There is one: those before it do not count.
    fn forgive_earlier(&mut self, place: usize) {
        self.counts[place].0 = 0;
    }

    /// One more. Returns whether that is not too many.
    fn count(&mut self, place: usize) -> bool {
        let (count, is_free) = &mut self.counts[place];
        if !std::mem::take(is_free) {
            *count += 1;
        }
        self.total() <= self.max
    }
}

/// The signals that the master hears.
struct Signals {
    /// Ends a master that is stuck.
    resort: Option<LastResort>,
    /// Has a byte for each signal, to end a sleep.
    wake: UnixStream,
    terminate: Arc<AtomicBool>,
    interrupt: Arc<AtomicBool>,
    reload: Arc<AtomicBool>,
    /// What sets the flags.
    flags: Vec<SigId>,
    /// What writes the bytes.
    wakers: Vec<SigId>,
}

impl Signals {
    fn new(hears_reload: bool, patience: Duration) -> io::Result<Self> {
        let patience = patience.saturating_add(LAST_PATIENCE);
        let (wake, write) = UnixStream::pair()?;
        write.set_nonblocking(true)?;
        let mut signals = Self {
            resort: Some(LastResort::new(false, patience)?),
            wake,
            terminate: Arc::default(),
            interrupt: Arc::default(),
            reload: Arc::default(),
            flags: Vec::new(),
            wakers: Vec::new(),
        };
        let flags = [
            (SIGTERM, &signals.terminate),
            (SIGINT, &signals.interrupt),
            (SIGHUP, &signals.reload),
        ];
        for (signal, flag) in flags {
            if signal != SIGHUP || hears_reload {
                let handler = signal_hook::flag::register(signal, Arc::clone(flag))?;
                signals.flags.push(handler);
            }
        }
        // After the flags: whoever is woken finds them set.
        for signal in [SIGTERM, SIGINT, SIGHUP, SIGCHLD] {
            if signal != SIGHUP || hears_reload {
                let handler = signal_hook::low_level::pipe::register(signal, write.try_clone()?)?;
                signals.wakers.push(handler);
            }
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
        self.flags.clear();
        self.resort = None;
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        for handler in self.flags.drain(..).chain(self.wakers.drain(..)) {
            signal_hook::low_level::unregister(handler);
        }
    }
}

/// Whether this is a worker, whose master passes signals on.
pub(crate) fn is_worker() -> bool {
    EARLY.get().is_some()
}

/// Whether this is a worker that was told to end before it could hear it.
pub(crate) fn was_stopped() -> bool {
    let flags = EARLY.get();
    flags.is_some_and(|flags| flags.iter().any(|flag| flag.load(Relaxed)))
}

static EARLY: OnceLock<[Arc<AtomicBool>; 2]> = OnceLock::new();

/// How long workers may take to end, as [`fork_processes`] has it.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long they may take when they are to end at once.
pub(crate) const FORCED_PATIENCE: Duration = Duration::from_millis(1500);

/// How long the master may take beside.
const LAST_PATIENCE: Duration = Duration::from_millis(400);

/// Whoever has lived so long is not one of those that die again and again.
const FULL_LIFE: Duration = Duration::from_secs(300);

/// Whoever has lived so long has not died at the start.
const GOOD_LIFE: Duration = Duration::from_secs(10);

/// The pauses before a restart, but for the first, which has none.
const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn restarts_are_forgiven_after_a_full_life() {
        let mut restarts = Restarts::new(2, 2);
        assert!(restarts.count(0) && restarts.count(1));
        for _ in 0..10 {
            restarts.forgive(1);
            assert!(restarts.count(1));
        }
        assert!(restarts.count(1));
        assert!(!restarts.count(1));
        restarts.forgive_earlier(1);
        assert!(restarts.count(0));
        assert!(!restarts.count(1));
    }
}
