//! A small pool of threads for what would make all sessions wait.
//!
//! One per process, which nobody has to start: its threads come as they are
//! needed, and end when there has been nothing to do for a while. It knows jobs
//! and the addresses of those who give them, and nothing of sessions.
//!
//! A process that forks has to do so before its first job. A child that was
//! forked later has none of the threads; it sees that the pool is not its own,
//! and has another.

use std::collections::VecDeque;
use std::fmt;
use std::net::IpAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;
use std::time::Duration;

use crate::log::TARGET;

/// Too much work waits already: of [`FTPSession::offload`](crate::FTPSession::offload).
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

/// Does a job for somebody at `ip` on the pool of this process, after those that
/// came from there before.
///
/// # Errors
/// If too many wait already, or the system has no thread for it.
pub(crate) fn run(ip: IpAddr, job: impl FnOnce() + Send + 'static) -> Result<(), PoolFull> {
    let mut pool = FIRST.get_or_init(Pool::of_this_process);
    while let Some(next) = pool.next.get() {
        pool = next;
    }
    if pool.process != std::process::id() {
        pool = pool.next.get_or_init(|| Box::new(Pool::of_this_process()));
    }
    pool.run(ip, Box::new(job))
}

static FIRST: OnceLock<Pool> = OnceLock::new();

type Job = Box<dyn FnOnce() + Send>;

struct Pool {
    process: u32,
    /// That of a child, which has to leave this one as it was at the fork.
    next: OnceLock<Box<Self>>,
    threads_max: usize,
    jobs_max: usize,
    patience: Duration,
    state: Mutex<State>,
    wake: Condvar,
}

#[derive(Default)]
struct State {
    /// That no thread has taken yet.
    jobs: Queue,
    threads: usize,
    /// Those of the threads that have nothing to do.
    idle: usize,
}

impl Pool {
    fn of_this_process() -> Self {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        Self::new(cores.clamp(THREADS_MIN, THREADS_MAX), JOBS_MAX, PATIENCE)
    }

    fn new(threads_max: usize, jobs_max: usize, patience: Duration) -> Self {
        Self {
            process: std::process::id(),
            next: OnceLock::new(),
            threads_max,
            jobs_max,
            patience,
            state: Mutex::default(),
            wake: Condvar::new(),
        }
    }

    fn run(&'static self, ip: IpAddr, job: Job) -> Result<(), PoolFull> {
        let mut state = self.lock();
        // Half is left to the others.
        if state.jobs.len >= self.jobs_max || state.jobs.of(ip) >= self.jobs_max / 2 {
            return Err(PoolFull);
        }
        // One that is idle may have a job that it has not woken up for.
        if state.idle <= state.jobs.len && state.threads < self.threads_max {
            let thread = thread::Builder::new().name("ftpdlib-offload".to_owned());
            match thread.spawn(move || self.work()) {
                Ok(_detached) => state.threads += 1,
                Err(err) if state.threads == 0 => {
                    drop(state);
                    log::warn!(target: TARGET, "no thread for work off the loop: {err}");
                    return Err(PoolFull);
                }
                // The others will do it.
                Err(_) => {}
            }
        }
        state.jobs.push(ip, job);
        self.wake.notify_one();
        Ok(())
    }

    /// What a thread does.
    fn work(&self) {
        let mut state = self.lock();
        loop {
            if let Some(job) = state.jobs.pop() {
                drop(state);
                // Whoever gave it has caught what matters to him.
                let _ = catch_unwind(AssertUnwindSafe(job));
                state = self.lock();
                continue;
            }
            state.idle += 1;
            let (woken, wait) = self
                .wake
                .wait_timeout(state, self.patience)
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

/// Jobs in their order, as far as they are of one address; the addresses take turns,
/// so that whoever gives many makes himself wait.
#[derive(Default)]
struct Queue {
    turns: VecDeque<(IpAddr, VecDeque<Job>)>,
    len: usize,
}

impl Queue {
    /// How many there are of an address.
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

/// As many threads as there are cores, within these bounds: what they do may
/// wait for a disk or for somebody else.
const THREADS_MIN: usize = 2;
const THREADS_MAX: usize = 8;

/// Jobs that may wait for a thread; half as many of one address.
const JOBS_MAX: usize = 1024;

/// How long a thread waits for another job.
const PATIENCE: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, Sender, channel};

    use super::*;

    const DEADLINE: Duration = Duration::from_secs(20);
    const IP: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);
    const OTHER: IpAddr = IpAddr::V6(std::net::Ipv6Addr::LOCALHOST);

    fn pool(threads: usize, jobs: usize, patience: Duration) -> &'static Pool {
        Box::leak(Box::new(Pool::new(threads, jobs, patience)))
    }

    fn wait_for(what: &str, condition: impl Fn() -> bool) {
        let end = std::time::Instant::now() + DEADLINE;
        while !condition() {
            assert!(std::time::Instant::now() < end, "not in time: {what}");
            thread::park_timeout(Duration::from_millis(1));
        }
    }

    /// A job that tells that it runs, and goes on until the other end is dropped.
    fn block(pool: &'static Pool, running: &Sender<()>) -> Sender<()> {
        let (hold, held) = channel::<()>();
        let running = running.clone();
        let job = move || {
            running.send(()).unwrap();
            let _ = held.recv();
        };
        pool.run(IP, Box::new(job)).unwrap();
        hold
    }

    fn tell(pool: &'static Pool, number: u32, to: &Sender<u32>) -> Result<(), PoolFull> {
        tell_from(IP, pool, number, to)
    }

    fn tell_from(
        ip: IpAddr,
        pool: &'static Pool,
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
    fn so_many_at_once_and_the_others_in_their_order() {
        let pool = pool(2, 6, DEADLINE);
        let (running, run) = channel();
        let first = block(pool, &running);
        let second = block(pool, &running);
        next(&run);
        next(&run);
        let (to, from) = channel();
        for number in 0..3 {
            tell(pool, number, &to).unwrap();
        }
        assert_eq!(tell(pool, 3, &to), Err(PoolFull));
        assert_eq!(pool.lock().threads, 2);
        assert!(from.try_recv().is_err());
        // With one thread free they come one after the other.
        drop(first);
        assert_eq!([next(&from), next(&from), next(&from)], [0, 1, 2]);
        tell(pool, 4, &to).unwrap();
        assert_eq!(next(&from), 4);
        drop(second);
    }

    #[test]
    fn addresses_take_turns() {
        let pool = pool(1, 6, DEADLINE);
        let (running, run) = channel();
        let first = block(pool, &running);
        next(&run);
        let (to, from) = channel();
        for number in 0..3 {
            tell(pool, number, &to).unwrap();
        }
        assert_eq!(tell(pool, 9, &to), Err(PoolFull));
        // There is room for others, who do not wait for all of these.
        let third = IpAddr::from([127, 0, 0, 2]);
        tell_from(OTHER, pool, 10, &to).unwrap();
        tell_from(OTHER, pool, 11, &to).unwrap();
        tell_from(third, pool, 20, &to).unwrap();
        // But not without end.
        assert_eq!(tell_from(third, pool, 9, &to), Err(PoolFull));
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
            tell(pool, number, &to).unwrap();
            assert_eq!(next(&from), number);
            wait_for("the thread to be idle", || pool.lock().idle == 1);
        }
        assert_eq!(pool.lock().threads, 1);
    }

    #[test]
    fn a_panic_is_of_its_job_only() {
        let pool = pool(1, 8, DEADLINE);
        // Without the text that a panic is told with.
        let job = || std::panic::resume_unwind(Box::new("as planned"));
        pool.run(IP, Box::new(job)).unwrap();
        let (to, from) = channel();
        tell(pool, 1, &to).unwrap();
        assert_eq!(next(&from), 1);
        assert_eq!(pool.lock().threads, 1);
    }

    /// As in a child that was forked too late: it has no thread, and whatever the
    /// parent did just then is not to be relied on.
    #[test]
    fn a_pool_of_another_process_is_left_alone() {
        let other = Pool {
            process: 0,
            ..Pool::new(1, 2, DEADLINE)
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
