//! A small pool of threads for jobs that would block all sessions.
//!
//! There is one pool for each process. Nobody has to start it: its threads are started as
//! they are needed, and end after they have been idle for a while. The pool knows jobs and
//! the addresses of the clients that they are for. It knows nothing of sessions.
//!
//! A process that forks must do so before its first job. A child that is forked later has
//! none of the threads. It notices that the pool belongs to its parent, and makes another.

use std::collections::VecDeque;
use std::fmt;
use std::net::IpAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;
use std::time::Duration;

use crate::log::Seldom;

/// The error of [`FTPSession::offload`](crate::FTPSession::offload) if too many jobs wait
/// already.
///
/// Its `Display` may follow the code of a reply and a space: `450 Too much work
/// waits; try again later`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolFull;

impl fmt::Display for PoolFull {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Too much work waits; try again later")
    }
}

impl std::error::Error for PoolFull {}

/// Where the jobs of a server run.
pub(crate) enum Pool {
    /// On the threads of this process.
    OfProcess,
    /// Where [`run_nth`](Self::run_nth) is called.
    ByHand(Jobs),
}

impl Pool {
    /// A pool without threads.
    pub(crate) fn by_hand() -> Self {
        Self::ByHand(Mutex::default())
    }

    /// Runs a job for a client at `ip`. On threads, it runs after the earlier jobs of that
    /// address.
    ///
    /// # Errors
    /// If too many jobs wait already, or if no thread can be started.
    pub(crate) fn run(
        &self,
        ip: IpAddr,
        job: impl FnOnce() + Send + 'static,
    ) -> Result<(), PoolFull> {
        let Self::ByHand(jobs) = self else {
            return run(ip, job);
        };
        let mut jobs = lock(jobs);
        let of_ip = jobs.iter().filter(|job| job.0 == ip).count();
        if jobs.len() >= JOBS_MAX || of_ip >= JOBS_MAX / 2 {
            return Err(PoolFull);
        }
        jobs.push((ip, Box::new(job)));
        Ok(())
    }

    /// The number of jobs that wait to be run by hand.
    pub(crate) fn waiting(&self) -> usize {
        match self {
            Self::OfProcess => 0,
            Self::ByHand(jobs) => lock(jobs).len(),
        }
    }

    /// Drops the jobs that wait to be run by hand.
    pub(crate) fn clear(&self) {
        if let Self::ByHand(jobs) = self {
            let waiting = std::mem::take(&mut *lock(jobs));
            drop(waiting);
        }
    }

    /// Runs the `n`th of the jobs that wait to be run by hand. Returns whether there was one.
    pub(crate) fn run_nth(&self, n: usize) -> bool {
        let Self::ByHand(jobs) = self else {
            return false;
        };
        let mut jobs = lock(jobs);
        if n >= jobs.len() {
            return false;
        }
        let (_, job) = jobs.remove(n);
        drop(jobs);
        job();
        true
    }
}

fn lock(jobs: &Jobs) -> MutexGuard<'_, Vec<(IpAddr, Job)>> {
    jobs.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs a job for a client at `ip` on the pool of this process, after the earlier jobs of
/// that address.
///
/// # Errors
/// If too many jobs wait already, or if no thread can be started.
fn run(ip: IpAddr, job: impl FnOnce() + Send + 'static) -> Result<(), PoolFull> {
    let mut pool = FIRST.get_or_init(Threads::of_this_process);
    while let Some(next) = pool.next.get() {
        pool = next;
    }
    if pool.process != std::process::id() {
        pool = pool
            .next
            .get_or_init(|| Box::new(Threads::of_this_process()));
    }
    pool.run(ip, Box::new(job))
}

static FIRST: OnceLock<Threads> = OnceLock::new();

/// Jobs that wait, each with the address of its client.
type Jobs = Mutex<Vec<(IpAddr, Job)>>;

type Job = Box<dyn FnOnce() + Send>;

struct Threads {
    /// The process that has this pool.
    process: u32,
    /// The pool of a child process, which must leave this pool as it was at the fork.
    next: OnceLock<Box<Self>>,
    threads_max: usize,
    jobs_max: usize,
    /// How long a thread waits for another job before it ends.
    idle_timeout: Duration,
    state: Mutex<State>,
    wake: Condvar,
}

#[derive(Default)]
struct State {
    /// The jobs that no thread has taken yet.
    jobs: Queue,
    threads: usize,
    /// The threads that have no job.
    idle: usize,
}

impl Threads {
    fn of_this_process() -> Self {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        Self::new(
            cores.clamp(THREADS_MIN, THREADS_MAX),
            JOBS_MAX,
            IDLE_TIMEOUT,
        )
    }

    fn new(threads_max: usize, jobs_max: usize, idle_timeout: Duration) -> Self {
        Self {
            process: std::process::id(),
            next: OnceLock::new(),
            threads_max,
            jobs_max,
            idle_timeout,
            state: Mutex::default(),
            wake: Condvar::new(),
        }
    }

    fn run(&'static self, ip: IpAddr, job: Job) -> Result<(), PoolFull> {
        let mut state = self.lock();
        // One address gets at most half of the queue.
        if state.jobs.len >= self.jobs_max || state.jobs.of(ip) >= self.jobs_max / 2 {
            return Err(PoolFull);
        }
        // Each waiting job may have an idle thread that has not woken up for it yet.
        if state.idle <= state.jobs.len && state.threads < self.threads_max {
            let thread = thread::Builder::new().name("ftpdlib-offload".to_owned());
            match thread.spawn(move || self.run_jobs()) {
                Ok(_detached) => state.threads += 1,
                Err(err) if state.threads == 0 => {
                    drop(state);
                    NO_THREAD.warn(format_args!("cannot start a thread for jobs: {err}"));
                    return Err(PoolFull);
                }
                // The threads that run already will run it.
                Err(_) => {}
            }
        }
        state.jobs.push(ip, job);
        self.wake.notify_one();
        Ok(())
    }

    /// The main function of a thread: runs jobs until it is idle for too long.
    fn run_jobs(&self) {
        let mut state = self.lock();
        loop {
            if let Some(job) = state.jobs.pop() {
                drop(state);
                // The job itself reports its panic, if somebody waits for its result.
                let _ = catch_unwind(AssertUnwindSafe(job));
                state = self.lock();
                continue;
            }
            state.idle += 1;
            let (woken, wait) = self
                .wake
                .wait_timeout(state, self.idle_timeout)
                .unwrap_or_else(PoisonError::into_inner);
            state = woken;
            state.idle -= 1;
            if wait.timed_out() && state.jobs.len == 0 {
                state.threads -= 1;
                return;
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The jobs that wait. Jobs of one address run in their order. The addresses take turns,
/// so that an address with many jobs does not delay the others.
#[derive(Default)]
struct Queue {
    turns: VecDeque<(IpAddr, VecDeque<Job>)>,
    len: usize,
}

impl Queue {
    /// The number of jobs of an address.
    fn of(&self, ip: IpAddr) -> usize {
        let turn = self.turns.iter().find(|turn| turn.0 == ip);
        turn.map_or(0, |(_, jobs)| jobs.len())
    }

    fn push(&mut self, ip: IpAddr, job: Job) {
        self.len += 1;
        match self.turns.iter_mut().find(|turn| turn.0 == ip) {
            Some((_, jobs)) => jobs.push_back(job),
            None => self.turns.push_back((ip, VecDeque::from([job]))),
        }
    }

    fn pop(&mut self) -> Option<Job> {
        let (ip, mut jobs) = self.turns.pop_front()?;
        let job = jobs.pop_front()?;
        self.len -= 1;
        if !jobs.is_empty() {
            self.turns.push_back((ip, jobs));
        }
        Some(job)
    }
}

/// A client may cause these warnings again and again.
static NO_THREAD: Seldom = Seldom::new();

/// There are as many threads as cores, within these bounds: jobs may wait for a disk or
/// for another server.
const THREADS_MIN: usize = 2;
const THREADS_MAX: usize = 8;

/// How many jobs may wait for a thread; half as many of one address.
const JOBS_MAX: usize = 1024;

/// How long a thread waits for another job before it ends.
const IDLE_TIMEOUT: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, Sender, channel};

    use super::*;

    const DEADLINE: Duration = Duration::from_secs(20);
    const IP: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);
    const OTHER: IpAddr = IpAddr::V6(std::net::Ipv6Addr::LOCALHOST);

    fn pool(threads: usize, jobs: usize, idle_timeout: Duration) -> &'static Threads {
        Box::leak(Box::new(Threads::new(threads, jobs, idle_timeout)))
    }

    fn wait_for(what: &str, condition: impl Fn() -> bool) {
        let end = std::time::Instant::now() + DEADLINE;
        while !condition() {
            assert!(std::time::Instant::now() < end, "not in time: {what}");
            thread::park_timeout(Duration::from_millis(1));
        }
    }

    /// Starts a job that reports when it runs, and ends when the returned value is dropped.
    fn block(pool: &'static Threads, running: &Sender<()>) -> Sender<()> {
        let (hold, held) = channel::<()>();
        let running = running.clone();
        let job = move || {
            running.send(()).unwrap();
            let _ = held.recv();
        };
        pool.run(IP, Box::new(job)).unwrap();
        hold
    }

    fn send_number(pool: &'static Threads, number: u32, to: &Sender<u32>) -> Result<(), PoolFull> {
        send_from(IP, pool, number, to)
    }

    fn send_from(
        ip: IpAddr,
        pool: &'static Threads,
        number: u32,
        to: &Sender<u32>,
    ) -> Result<(), PoolFull> {
        let to = to.clone();
        pool.run(ip, Box::new(move || to.send(number).unwrap()))
    }

    fn next<T>(from: &Receiver<T>) -> T {
        from.recv_timeout(DEADLINE).unwrap()
    }

    #[test]
    fn threads_are_limited_and_jobs_run_in_order() {
        let pool = pool(2, 6, DEADLINE);
        let (running, run) = channel();
        let first = block(pool, &running);
        let second = block(pool, &running);
        next(&run);
        next(&run);
        let (to, from) = channel();
        for number in 0..3 {
            send_number(pool, number, &to).unwrap();
        }
        assert_eq!(send_number(pool, 3, &to), Err(PoolFull));
        assert_eq!(pool.lock().threads, 2);
        assert!(from.try_recv().is_err());
        // One free thread runs them one after the other.
        drop(first);
        assert_eq!([next(&from), next(&from), next(&from)], [0, 1, 2]);
        send_number(pool, 4, &to).unwrap();
        assert_eq!(next(&from), 4);
        drop(second);
    }

    #[test]
    fn jobs_run_by_hand() {
        let pool = Pool::by_hand();
        let (to, from) = channel();
        let send = |number| {
            let to = to.clone();
            pool.run(IP, move || to.send(number).unwrap())
        };
        for number in 0..JOBS_MAX / 2 {
            send(number).unwrap();
        }
        assert_eq!(send(0), Err(PoolFull));
        // There is room for other addresses.
        assert!(pool.run(OTHER, || ()).is_ok());
        assert!(from.try_recv().is_err());
        assert!(pool.run_nth(2) && pool.run_nth(0) && pool.run_nth(1));
        assert_eq!(from.try_iter().collect::<Vec<_>>(), [2, 0, 3]);
        assert_eq!(pool.waiting(), JOBS_MAX / 2 - 2);
        assert!(!pool.run_nth(JOBS_MAX / 2 - 2));
        pool.clear();
        assert_eq!((pool.waiting(), Pool::OfProcess.waiting()), (0, 0));
        assert!(!Pool::OfProcess.run_nth(0));
    }

    #[test]
    fn addresses_take_turns() {
        let pool = pool(1, 6, DEADLINE);
        let (running, run) = channel();
        let first = block(pool, &running);
        next(&run);
        let (to, from) = channel();
        for number in 0..3 {
            send_number(pool, number, &to).unwrap();
        }
        assert_eq!(send_number(pool, 9, &to), Err(PoolFull));
        // There is room for other addresses, whose jobs do not wait for all of these.
        let third = IpAddr::from([127, 0, 0, 2]);
        send_from(OTHER, pool, 10, &to).unwrap();
        send_from(OTHER, pool, 11, &to).unwrap();
        send_from(third, pool, 20, &to).unwrap();
        // But the queue is bounded.
        assert_eq!(send_from(third, pool, 9, &to), Err(PoolFull));
        drop(first);
        let order: Vec<_> = (0..6).map(|_| next(&from)).collect();
        assert_eq!(order, [0, 10, 20, 1, 11, 2]);
        assert_eq!(pool.lock().jobs.turns.len(), 0);
    }

    #[test]
    fn threads_come_as_needed_and_go() {
        let pool = pool(8, 8, Duration::from_millis(1));
        assert_eq!(pool.lock().threads, 0);
        for _ in 0..2 {
            let (running, run) = channel();
            let one = block(pool, &running);
            next(&run);
            assert_eq!(pool.lock().threads, 1);
            let other = block(pool, &running);
            next(&run);
            assert_eq!(pool.lock().threads, 2);
            drop((one, other));
            wait_for("the threads to end", || pool.lock().threads == 0);
        }
    }

    #[test]
    fn an_idle_thread_is_used_again() {
        let pool = pool(8, 8, DEADLINE);
        let (to, from) = channel();
        for number in 0..10 {
            send_number(pool, number, &to).unwrap();
            assert_eq!(next(&from), number);
            wait_for("the thread to be idle", || pool.lock().idle == 1);
        }
        assert_eq!(pool.lock().threads, 1);
    }

    #[test]
    fn a_panic_ends_its_job_only() {
        let pool = pool(1, 8, DEADLINE);
        // This panic prints no message.
        let job = || std::panic::resume_unwind(Box::new("as planned"));
        pool.run(IP, Box::new(job)).unwrap();
        let (to, from) = channel();
        send_number(pool, 1, &to).unwrap();
        assert_eq!(next(&from), 1);
        assert_eq!(pool.lock().threads, 1);
    }

    /// As in a child that was forked after the first job: the pool of its parent has no
    /// threads there, and its lock may be held forever.
    #[test]
    fn a_pool_of_another_process_is_left_alone() {
        let other = Threads {
            process: 0,
            ..Threads::new(1, 2, DEADLINE)
        };
        assert!(FIRST.set(other).is_ok(), "no other test uses it");
        let first = FIRST.get().unwrap();
        let locked = first.lock();
        let (to, from) = channel();
        for number in 0..2 {
            let to = to.clone();
            run(IP, move || to.send(number).unwrap()).unwrap();
            assert_eq!(next(&from), number);
        }
        assert_eq!(locked.jobs.len, 0);
        let own = first.next.get().unwrap();
        assert_eq!(own.process, std::process::id());
        assert!(own.next.get().is_none());
    }
}
