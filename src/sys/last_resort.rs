//! Ends a process that is stuck: in a hook, on a disk, or in a logger that waits.
//! Its loop does not run then, so it notices no signal; but its signal handlers still run.
//!
//! The handlers here use only atomics, `getppid`, `fstat`, `poll` and `_exit`, which POSIX allows
//! in a handler, and `setitimer`, which is a plain system call and takes no lock.

use std::io;
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicPtr, AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use super::parent::no_signal_at_death_of_parent;
use super::pid::Pid;
use super::signals::{self, SignalHandler, exit_at_once};
use super::terminal::Terminal;

/// Handles the signals that ask this process to end, and ends it by force if it does not
/// end in time: after `time_limit`, or 500 ms after a signal that means "at once".
///
/// Which signal means "at once" depends on the process:
///
/// - without a parent that passes signals on: the second one;
/// - with such a parent: SIGQUIT, which the parent sends;
/// - once that parent has ended: SIGQUIT, the second signal, or the first if the parent was
///   itself ended by force.
///
/// If the process ends when its terminal hangs up, SIGHUP means the same as SIGTERM then, once.
///
/// It uses SIGALRM and the timer `ITIMER_REAL`, which nothing else in the process may use.
pub(crate) struct LastResort {
    state: Arc<State>,
    handlers: Vec<SignalHandler>,
}

/// The state that the signal handlers read and write.
#[derive(Debug)]
struct State {
    has_parent: bool,
    /// Whether the loop has noticed the death of the parent. The system closes the files of a
    /// process before its children get another parent, so this may be known earlier.
    is_orphan: AtomicBool,
    time_limit: Duration,
    /// How many signals have come, without those that a living parent has passed on.
    count: AtomicUsize,
    /// The number of the last signal.
    last: AtomicI32,
    /// Whether any signal has come.
    received: AtomicBool,
    at_once: AtomicBool,
    /// Whether the terminal has hung up, which ends this process.
    hung_up: AtomicBool,
}

impl LastResort {
    /// Installs the handlers. `has_parent` says whether a parent passes signals on to this
    /// process. The process ends when `terminal` hangs up.
    ///
    /// # Errors
    /// The system refuses a handler.
    pub(crate) fn new(
        has_parent: bool,
        time_limit: Duration,
        terminal: Option<&'static Terminal>,
    ) -> io::Result<Self> {
        let state = Arc::new(State {
            has_parent,
            is_orphan: AtomicBool::new(false),
            time_limit,
            count: AtomicUsize::new(0),
            last: AtomicI32::new(libc::SIGTERM),
            received: AtomicBool::new(false),
            at_once: AtomicBool::new(false),
            hung_up: AtomicBool::new(false),
        });
        let mut resort = Self {
            state: Arc::clone(&state),
            handlers: Vec::new(),
        };
        let on_alarm = move || state.on_alarm();
        // SAFETY: a handler must only do what is allowed in a signal handler, and must not
        // panic. `on_alarm` uses atomics and `_exit`.
        let handler = unsafe { signals::handle(libc::SIGALRM, on_alarm) }?;
        resort.handlers.push(handler);
        for signal in [libc::SIGTERM, libc::SIGINT, libc::SIGQUIT] {
            if signal != libc::SIGQUIT || has_parent {
                let state = Arc::clone(&resort.state);
                let on_signal = move || state.on_signal(signal);
                // SAFETY: as above. `on_signal` uses atomics, `getppid` and `setitimer`.
                let handler = unsafe { signals::handle(signal, on_signal) }?;
                resort.handlers.push(handler);
            }
        }
        if let Some(terminal) = terminal {
            let state = Arc::clone(&resort.state);
            let on_hang_up = move || {
                if terminal.has_hung_up() {
                    state.on_hang_up();
                }
            };
            // SAFETY: as above. `has_hung_up` uses `fstat` and `poll`, which are allowed, too.
            let handler = unsafe { signals::handle(libc::SIGHUP, on_hang_up) }?;
            resort.handlers.push(handler);
        }
        signals::take_over();
        Ok(resort)
    }

    /// Whether SIGHUP has come because the terminal has hung up, which ends this process.
    pub(crate) fn has_hung_up(&self) -> bool {
        self.state.hung_up.load(SeqCst)
    }

    /// The number of the last signal, SIGTERM before the first.
    pub(crate) fn last(&self) -> i32 {
        self.state.last.load(SeqCst)
    }

    /// Whether a signal has come that means "at once".
    pub(crate) fn at_once(&self) -> bool {
        self.state.at_once.load(SeqCst)
    }

    /// Called by a loop that has noticed the death of the parent. The kernel may send a signal
    /// about the same; whichever comes first begins the end.
    pub(crate) fn parent_has_died(&self) {
        no_signal_at_death_of_parent();
        self.state.is_orphan.store(true, SeqCst);
        // It counts as one signal, like that of the kernel, which may have come by now.
        let _ = self.state.count.compare_exchange(0, 1, SeqCst, SeqCst);
        let first = !self.state.received.swap(true, SeqCst);
        if parent_was_forced() && !self.state.at_once.swap(true, SeqCst) {
            set_timer(NOTICE_TIME);
        } else if first {
            set_timer(self.state.time_limit);
        }
    }

    /// Called by a loop that has noticed [`at_once`](Self::at_once). Gives the loop
    /// `time_limit` to end; then the process is ended by force.
    pub(crate) fn answer(&self, time_limit: Duration) {
        set_timer(time_limit);
    }
}

impl Drop for LastResort {
    fn drop(&mut self) {
        self.handlers.clear();
        if self.state.received.load(SeqCst) {
            set_timer(Duration::ZERO);
        }
    }
}

impl State {
    /// The handler of the signals that ask the process to end.
    fn on_signal(&self, signal: i32) {
        if signal != libc::SIGQUIT {
            self.last.store(signal, SeqCst);
        }
        // SAFETY: getppid(2) takes no argument and cannot fail.
        let parent = unsafe { libc::getppid() };
        let is_orphan =
            self.has_parent && (self.is_orphan.load(SeqCst) || parent != PARENT.load(SeqCst));
        let at_once = match self.has_parent && !is_orphan {
            true => signal == libc::SIGQUIT,
            false => {
                let again = self.count.fetch_add(1, SeqCst) > 0;
                again || signal == libc::SIGQUIT || is_orphan && parent_was_forced()
            }
        };
        let first = !self.received.swap(true, SeqCst);
        // The timer is set once for "at once": further signals do not put off the end.
        if at_once && !self.at_once.swap(true, SeqCst) {
            set_timer(NOTICE_TIME);
        } else if first {
            set_timer(self.time_limit);
        }
    }

    /// The handler of SIGHUP, if the terminal has hung up. The kernel sends the signal, and a shell
    /// may send it once more: that is no second signal.
    fn on_hang_up(&self) {
        if !self.hung_up.swap(true, SeqCst) {
            self.on_signal(libc::SIGTERM);
        }
    }

    /// The handler of SIGALRM: the time is over.
    fn on_alarm(&self) {
        if !self.received.load(SeqCst) {
            return;
        }
        let flag = OWN_FLAG.load(SeqCst);
        // SAFETY: the pointer is null, or points to the flag in a mapping that is never
        // unmapped.
        if let Some(flag) = unsafe { flag.as_ref() } {
            flag.store(true, SeqCst);
        }
        exit_at_once(128 + self.last.load(SeqCst));
    }
}

/// Whether the parent was ended by force.
fn parent_was_forced() -> bool {
    // SAFETY: the pointer is null, or points to the flag in a mapping that is never unmapped.
    let flag = unsafe { PARENTS_FLAG.load(SeqCst).as_ref() };
    flag.is_some_and(|flag| flag.load(SeqCst))
}

/// Called before a fork. Makes the flag in shared memory that says that this process was
/// ended by force. The kernel signals children when this process ends; the flag tells them
/// to end at once.
///
/// # Errors
/// The system has no memory for it.
pub(super) fn before_fork() -> io::Result<()> {
    if !OWN_FLAG.load(SeqCst).is_null() {
        return Ok(());
    }
    // SAFETY: without an address the system chooses a free range, so that no memory in use is
    // replaced; an anonymous mapping takes -1 for its file.
    let memory = unsafe {
        libc::mmap(
            ptr::null_mut(),
            size_of::<AtomicBool>(),
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_SHARED | libc::MAP_ANONYMOUS,
            -1,
            0,
        )
    };
    if memory == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    OWN_FLAG.store(memory.cast(), SeqCst);
    Ok(())
}

/// Called in the new process after a fork: the flag of the parent is not that of the child.
pub(super) fn after_fork(parent: Pid) {
    PARENT.store(parent, SeqCst);
    PARENTS_FLAG.store(OWN_FLAG.swap(ptr::null_mut(), SeqCst), SeqCst);
}

/// Wakes the process that has forked this one, if it is still there: its handler of SIGCHLD does
/// that.
pub(crate) fn wake_parent() {
    let parent = PARENT.load(SeqCst);
    // SAFETY: getppid(2) takes no argument and cannot fail.
    if parent != 0 && unsafe { libc::getppid() } == parent {
        // SAFETY: kill(2) takes two numbers and no pointer. The parent exists, or has just ended:
        // then nothing but a needless signal comes of it, which is ignored by default.
        unsafe { libc::kill(parent, libc::SIGCHLD) };
    }
}

/// Makes the system send SIGALRM once, after this time. Zero cancels it.
fn set_timer(after: Duration) {
    let seconds = after.as_secs().min(LONGEST);
    let timer = libc::itimerval {
        it_interval: libc::timeval {
            tv_sec: 0,
            tv_usec: 0,
        },
        it_value: libc::timeval {
            tv_sec: seconds as libc::time_t,
            tv_usec: after.subsec_micros() as libc::suseconds_t,
        },
    };
    // SAFETY: `timer` is valid, and a null old value is allowed.
    unsafe { libc::setitimer(libc::ITIMER_REAL, &raw const timer, ptr::null_mut()) };
}

/// The process that has forked this one; 0 if this process was not made by `fork`.
static PARENT: AtomicI32 = AtomicI32::new(0);
/// The flag of the parent: whether it was ended by force. Null without such a parent.
static PARENTS_FLAG: AtomicPtr<AtomicBool> = AtomicPtr::new(ptr::null_mut());
/// The flag of this process, for its children. Null before the first fork, and never
/// unmapped.
static OWN_FLAG: AtomicPtr<AtomicBool> = AtomicPtr::new(ptr::null_mut());

/// How long a loop may take to notice that the process is to end at once.
const NOTICE_TIME: Duration = Duration::from_millis(500);

/// The longest time in seconds that the timer is set to, about three years: every `time_t`
/// can hold it.
const LONGEST: u64 = 100_000_000;
