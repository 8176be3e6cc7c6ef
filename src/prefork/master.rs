//! The master: starts workers, waits for them, and passes signals on.

use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::thread;
use std::time::{Duration, Instant};

use libc::{SIGHUP, SIGINT, SIGKILL, SIGQUIT, SIGTERM};

use super::restarts::Restarts;
use super::signals::Signals;
use crate::log::{TARGET, after_fork, before_fork, retry};
use crate::sys::{self, Fork, Held, Pid, Terminal};
use crate::time::after;

/// Which process this is, after [`fork_processes`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// A worker, with its number from 0. A worker that replaces another has its number.
    Worker(usize),
    /// The master after all workers have ended, with the status to exit with.
    Master(u8),
}

/// Forks `number` workers (0: one for each CPU): as pyftpdlib's function.
///
/// In each worker it returns at once. In the master it returns when all workers have
/// ended. Until then the master restarts workers that end abnormally, after a pause that
/// grows, at most `max_restarts` times in all, and passes SIGTERM, SIGINT and SIGHUP on.
/// The hang-up of the terminal that the program was started on is passed on as SIGTERM.
/// The restart of a worker that has lived five minutes does not count, and neither do the
/// earlier restarts of its number. After too many restarts, all workers are ended.
///
/// After SIGTERM or SIGINT the workers have 5 s to end, then they are killed. A second
/// signal is passed on as SIGQUIT, because a terminal sends the first one to the workers,
/// too. If the master is killed, its workers get SIGTERM (on Linux only, and not after they have
/// changed their credentials; an [`FTPServer`](crate::FTPServer) notices it in any case). If the
/// master is stuck, SIGALRM ends it.
///
/// In a worker SIGTERM, SIGINT and SIGHUP have no effect until the worker handles them, as
/// [`FTPServer::serve_forever`](crate::FTPServer::serve_forever) does.
///
/// # Errors
/// If the process has threads, if it cannot be forked, or if there were too many restarts.
pub fn fork_processes(number: usize, max_restarts: usize) -> io::Result<Role> {
    struct Anything;
    impl Service for Anything {}
    supervise(number, max_restarts, END_TIMEOUT, &mut Anything)
}

/// The purpose of the workers, as far as the master has to know it.
pub(crate) trait Service {
    /// SIGHUP has come: reloads what later workers inherit. Returns whether the workers are to get
    /// the signal.
    fn reload(&mut self) -> bool {
        true
    }

    /// Whether all ends when the terminal hangs up that the program was started on.
    fn ends_at_hang_up(&self) -> bool {
        true
    }

    /// Whether a worker is also restarted if it ends normally, but not at the request of
    /// the master.
    fn needs_every_worker(&self) -> bool {
        false
    }

    /// Whether a worker has stopped while it holds what others need, or when to look again.
    fn look_after(&mut self, now: Instant) -> Held {
        let _ = now;
        Held::Free
    }

    /// A worker has ended.
    fn worker_ended(&mut self, pid: Pid) {
        let _ = pid;
    }

    /// The end of all workers begins.
    fn stop(&mut self) {}
}

/// Returns the number of workers that `number` stands for: 0 is one for each CPU.
pub(crate) fn count(number: usize) -> usize {
    match number {
        0 => thread::available_parallelism().map_or(1, Into::into),
        number => number,
    }
}

/// As [`fork_processes`], for a service, with the time that workers have to end.
pub(crate) fn supervise(
    number: usize,
    max_restarts: usize,
    end_timeout: Duration,
    service: &mut dyn Service,
) -> io::Result<Role> {
    let number = count(number);
    log::info!(target: TARGET, "starting {number} pre-fork processes");
    Master::new(number, max_restarts, end_timeout, service)?.run()
}

/// The state of the master.
struct Master<'a> {
    service: &'a mut dyn Service,
    workers: Vec<Worker>,
    signals: Signals,
    /// [`sys::fork`], which tests replace.
    fork: fn() -> io::Result<Fork>,
    restarts: Restarts,
    /// How long the workers have to end.
    end_timeout: Duration,
    /// Whether the end has begun: no worker is restarted any more.
    ending: bool,
    /// The signal that all workers got at the beginning of the end.
    end_signal: i32,
    /// The second signal, which asked for the end at once.
    forced_signal: Option<i32>,
    /// When the workers that still run are killed.
    kill_at: Option<Instant>,
    /// When to look again at what workers hold.
    look_at: Option<Instant>,
    /// Whether workers were killed, since they took too long.
    killed: bool,
    /// Whether there were too many restarts.
    failed: bool,
    status: u8,
}

/// A worker by its number.
enum Worker {
    /// Is to be started.
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
        end_timeout: Duration,
        service: &'a mut dyn Service,
    ) -> io::Result<Self> {
        let master_timeout = end_timeout.saturating_add(MASTER_EXTRA_TIME);
        let terminal = Terminal::of_process().filter(|_| service.ends_at_hang_up());
        let now = Instant::now();
        let due = || Worker::Due {
            at: now,
            pause: Duration::ZERO,
        };
        Ok(Self {
            workers: std::iter::repeat_with(due).take(number).collect(),
            signals: Signals::new(master_timeout, terminal)?,
            service,
            fork: sys::fork,
            restarts: Restarts::new(number, max_restarts),
            end_timeout,
            ending: false,
            end_signal: SIGTERM,
            forced_signal: None,
            kill_at: None,
            look_at: None,
            killed: false,
            failed: false,
            status: 0,
        })
    }

    fn run(&mut self) -> io::Result<Role> {
        loop {
            if let Some(worker) = self.start_due()? {
                return Ok(Role::Worker(worker));
            }
            if self.is_done() {
                return self.result();
            }
            self.sleep();
            self.pass_signals();
            self.reap();
            self.look_after();
        }
    }

    fn is_done(&self) -> bool {
        let ended = |worker: &Worker| matches!(worker, Worker::Ended);
        self.workers.iter().all(ended)
    }

    fn result(&self) -> io::Result<Role> {
        match self.failed {
            true => Err(io::Error::other(
                "too many restarts of workers: the log says how each has ended",
            )),
            false => Ok(Role::Master(self.status)),
        }
    }

    /// Starts the workers that are due. In a worker, returns its number.
    fn start_due(&mut self) -> io::Result<Option<usize>> {
        let now = Instant::now();
        let parent = sys::own_pid();
        for number in 0..self.workers.len() {
            let pause = match self.workers[number] {
                Worker::Due { at, pause } if at <= now => pause,
                _ => continue,
            };
            before_fork();
            match (self.fork)() {
                Ok(Fork::Parent(pid)) => {
                    let since = now;
                    self.workers[number] = Worker::Running { pid, since, pause };
                }
                Ok(Fork::Child) => {
                    after_fork();
                    self.signals.leave();
                    sys::signal_at_death_of_parent(parent, SIGTERM)?;
                    return Ok(Some(number));
                }
                Err(err) if self.is_first() => return Err(err),
                // A later attempt may succeed.
                Err(err) => {
                    let how = format!("cannot be started: {err}");
                    self.workers[number] = self.replace(number, &how, pause);
                }
            }
        }
        Ok(None)
    }

    /// Whether no worker has been started yet.
    fn is_first(&self) -> bool {
        let due = |worker: &Worker| matches!(worker, Worker::Due { .. });
        self.restarts.is_none() && self.workers.iter().all(due)
    }

    /// Sleeps until a signal comes, a worker is due, the time of the end is over, or lines of the
    /// log may be written that wait for room.
    fn sleep(&mut self) {
        let due = self.workers.iter().filter_map(|worker| match worker {
            Worker::Due { at, .. } => Some(*at),
            _ => None,
        });
        let next = due
            .chain(self.kill_at)
            .chain(self.look_at)
            .chain(retry())
            .min();
        self.signals.wait(next);
    }

    /// Kills a worker that holds a lock for too long: it is stopped or stuck, and the others need
    /// the lock. The system hands the lock over when the process is gone.
    fn look_after(&mut self) {
        let now = Instant::now();
        self.look_at = match self.service.look_after(now) {
            Held::Free => None,
            Held::Until(next) => Some(next),
            Held::By(holder) => {
                let is_holder = |worker: &Worker| matches!(worker, Worker::Running { pid, .. } if *pid == holder);
                if let Some(number) = self.workers.iter().position(is_holder) {
                    log::error!(target: TARGET, "child {number} (pid {holder}) holds a lock and does not go on: it is killed");
                    sys::kill(holder, SIGKILL);
                }
                Some(now + LOOK_AGAIN)
            }
        };
    }

    fn pass_signals(&mut self) {
        if self.signals.take_reload() {
            if self.signals.has_hung_up() {
                // A shell may send the signal once more.
                if self.kill_at.is_none() {
                    self.interrupted(SIGTERM);
                }
            } else if self.service.reload() {
                self.send(SIGHUP);
            }
        }
        if self.signals.take_terminate() {
            self.interrupted(SIGTERM);
        }
        if self.signals.take_interrupt() {
            self.interrupted(SIGINT);
        }
        let now = Instant::now();
        if self.kill_at.is_some_and(|kill_at| kill_at <= now) {
            log::warn!(target: TARGET, "workers do not end, and are killed");
            self.killed = true;
            self.send(SIGKILL);
            // The master is not stuck: it gets time to wait for them, and to log their end.
            if let Some(last_resort) = &self.signals.last_resort {
                last_resort.answer(FORCED_END_TIMEOUT);
            }
            self.kill_at = Some(after(now, self.end_timeout));
        }
    }

    /// SIGTERM or SIGINT has come: the first one begins the end, later ones ask for the
    /// end at once.
    fn interrupted(&mut self, signal: i32) {
        log::info!(target: TARGET, "received interrupt signal");
        let Some(kill_at) = self.kill_at else {
            return self.end_all(signal);
        };
        if let Some(last_resort) = &self.signals.last_resort {
            last_resort.answer(FORCED_END_TIMEOUT + MASTER_EXTRA_TIME);
        }
        self.forced_signal = Some(signal);
        self.send(SIGQUIT);
        self.kill_at = Some(kill_at.min(Instant::now() + FORCED_END_TIMEOUT));
    }

    /// Begins the end: running workers get `signal`, and no worker is started any more.
    fn end_all(&mut self, signal: i32) {
        self.ending = true;
        self.end_signal = signal;
        // Workers that have ended by now did not end at the request of the master.
        self.reap();
        self.service.stop();
        for worker in &mut self.workers {
            if matches!(worker, Worker::Due { .. }) {
                *worker = Worker::Ended;
            }
        }
        self.send(signal);
        self.kill_at = Some(after(Instant::now(), self.end_timeout));
    }

    /// Sends a signal to all running workers.
    fn send(&self, signal: i32) {
        for worker in &self.workers {
            if let Worker::Running { pid, .. } = worker {
                sys::kill(*pid, signal);
            }
        }
    }

    /// Waits for the workers that have ended, without blocking.
    fn reap(&mut self) {
        for number in 0..self.workers.len() {
            let Worker::Running { pid, since, pause } = self.workers[number] else {
                continue;
            };
            match sys::wait(pid) {
                Ok(None) => {}
                Ok(Some(status)) => {
                    self.service.worker_ended(pid);
                    if since.elapsed() >= FULL_LIFE {
                        self.restarts.reset(number);
                    }
                    // A worker that has lived for a while is restarted at once.
                    let pause = match since.elapsed() >= GOOD_LIFE {
                        true => Duration::ZERO,
                        false => pause,
                    };
                    self.workers[number] = self.ended(number, pid, status, pause);
                }
                Err(err) => {
                    log::error!(target: TARGET, "cannot wait for child {number}: {err}");
                    self.workers[number] = Worker::Ended;
                }
            }
        }
    }

    /// Logs the end of a worker. Returns the next state of its number.
    fn ended(&mut self, number: usize, pid: Pid, status: ExitStatus, pause: Duration) -> Worker {
        let how = match (status.signal(), status.code()) {
            (Some(signal), _) => format!("(pid {pid}) killed by signal {signal}"),
            (None, Some(0)) => format!("(pid {pid}) exited normally"),
            (None, code) => format!(
                "(pid {pid}) exited with status {}",
                code.unwrap_or_default()
            ),
        };
        if status.success() && (self.ending || !self.service.needs_every_worker()) {
            log::info!(target: TARGET, "child {number} {how}");
            return Worker::Ended;
        }
        if self.ending {
            log::warn!(target: TARGET, "child {number} {how}");
            if self.kill_at.is_none() {
                return Worker::Ended;
            }
            let end_signal = self.killed.then_some(self.end_signal);
            let signal = self.forced_signal.or(end_signal).or(status.signal());
            let code = signal.map(|signal| 128 + signal).or(status.code());
            let code = code.and_then(|code| u8::try_from(code).ok());
            self.status = self.status.max(code.unwrap_or(1));
            return Worker::Ended;
        }
        self.replace(number, &how, pause)
    }

    /// Restarts a worker after a pause, unless there were too many restarts. Returns the
    /// next state of its number.
    fn replace(&mut self, number: usize, how: &str, pause: Duration) -> Worker {
        for (other, worker) in self.workers.iter().enumerate() {
            if matches!(worker, Worker::Running { since, .. } if since.elapsed() >= FULL_LIFE) {
                self.restarts.reset_earlier(other);
            }
        }
        if !self.restarts.count(number) {
            log::error!(target: TARGET, "child {number} {how}; too many restarts, ending all workers");
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

/// How long workers may take to end after [`fork_processes`].
const END_TIMEOUT: Duration = Duration::from_secs(5);

/// How long workers may take to end after a second signal.
pub(crate) const FORCED_END_TIMEOUT: Duration = Duration::from_millis(1500);

/// How much longer the master may take than its workers.
const MASTER_EXTRA_TIME: Duration = Duration::from_millis(400);

/// How soon to look again after a worker was killed because of a lock.
const LOOK_AGAIN: Duration = Duration::from_millis(200);

/// A worker that lives this long resets the restart count of its number.
const FULL_LIFE: Duration = Duration::from_secs(300);

/// A worker that lives this long has started well: its successor starts without a pause.
const GOOD_LIFE: Duration = Duration::from_secs(10);

/// The pauses before a restart. There is none before the first restart.
const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests;
