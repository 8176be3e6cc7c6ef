//! The end of a process that is stuck: in a hook, on a disk, in a log that nobody
//! reads. Its loop hears of no signal then, but its signal handlers still run.
//!
//! All that is done in a handler here is atomics and calls that POSIX or the
//! system allow there: `getppid`, `setitimer`, `_exit`.

use std::io;
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicPtr, AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use signal_hook::SigId;
use signal_hook::low_level;

use super::pid::Pid;

/// Hears the signals that are to end this process, and ends it by force if it does
/// not end in time: after `patience`, or soon after a signal that means "at once".
///
/// That is the second one; SIGQUIT in a process with a parent that passes signals
/// on, and there no other, as long as the parent lives. Uses SIGALRM and the timer
/// of the system that goes with it.
pub(crate) struct LastResort {
    heard: Arc<Heard>,
    handlers: Vec<SigId>,
}

#[derive(Debug)]
struct Heard {
    has_parent: bool,
    patience: Duration,
    /// Signals so far, but for those that the parent has passed on.
    count: AtomicUsize,
    /// The number of the last one.
    last: AtomicI32,
    /// Whether any has come.
    told: AtomicBool,
    at_once: AtomicBool,
}

impl LastResort {
    pub(crate) fn new(has_parent: bool, patience: Duration) -> io::Result<Self> {
        let heard = Arc::new(Heard {
            has_parent,
            patience,
            count: AtomicUsize::new(0),
            last: AtomicI32::new(libc::SIGTERM),
            told: AtomicBool::new(false),
            at_once: AtomicBool::new(false),
        });
        let mut resort = Self {
            heard: Arc::clone(&heard),
            handlers: Vec::new(),
        };
        let force = move || heard.force();
        // SAFETY: what `force` does is allowed in a handler.
        let handler = unsafe { low_level::register(libc::SIGALRM, force) }?;
        resort.handlers.push(handler);
        for signal in [libc::SIGTERM, libc::SIGINT, libc::SIGQUIT] {
            if signal != libc::SIGQUIT || has_parent {
                let heard = Arc::clone(&resort.heard);
                let hear = move || heard.hear(signal);
                // SAFETY: what `hear` does is allowed in a handler.
                let handler = unsafe { low_level::register(signal, hear) }?;
                resort.handlers.push(handler);
            }
        }
        Ok(resort)
    }

    /// The number of the last signal.
    pub(crate) fn last(&self) -> i32 {
        self.heard.last.load(SeqCst)
    }

    /// Whether all is to end at once.
    pub(crate) fn at_once(&self) -> bool {
        self.heard.at_once.load(SeqCst)
    }

    /// It was noticed that all is to end at once: so long that may take.
    pub(crate) fn answer(&self, patience: Duration) {
        set_timer(patience);
    }
}

impl Drop for LastResort {
    fn drop(&mut self) {
        for handler in self.handlers.drain(..) {
            low_level::unregister(handler);
        }
        if self.heard.told.load(SeqCst) {
            set_timer(Duration::ZERO);
        }
    }
}

impl Heard {
    fn hear(&self, signal: i32) {
        if signal != libc::SIGQUIT {
            self.last.store(signal, SeqCst);
        }
        // SAFETY: a call without arguments.
        let parent = unsafe { libc::getppid() };
        let is_orphan = self.has_parent && parent != PARENT.load(SeqCst);
        let at_once = match self.has_parent && !is_orphan {
            true => signal == libc::SIGQUIT,
            false => {
                let again = self.count.fetch_add(1, SeqCst) > 0;
                again || signal == libc::SIGQUIT || is_orphan && was_forced(&PARENTS_FLAG)
            }
        };
        let first = !self.told.swap(true, SeqCst);
        // Who goes on sending signals does not put it off.
        if at_once && !self.at_once.swap(true, SeqCst) {
            set_timer(MOMENT);
        } else if first {
            set_timer(self.patience);
        }
    }

    /// The time is over.
    fn force(&self) {
        if !self.told.load(SeqCst) {
            return;
        }
        let flag = OWN_FLAG.load(SeqCst);
        // SAFETY: null, or a flag in memory that stays.
        if let Some(flag) = unsafe { flag.as_ref() } {
            flag.store(true, SeqCst);
        }
        low_level::exit(128 + self.last.load(SeqCst));
    }
}

fn was_forced(flag: &AtomicPtr<AtomicBool>) -> bool {
    // SAFETY: null, or a flag in memory that stays.
    let flag = unsafe { flag.load(SeqCst).as_ref() };
    flag.is_some_and(|flag| flag.load(SeqCst))
}

/// Before a fork: makes the flag that tells children, which hear of the end of this
/// process, that it was forced, and that theirs is to come at once.
pub(super) fn before_fork() -> io::Result<()> {
    if !OWN_FLAG.load(SeqCst).is_null() {
        return Ok(());
    }
    // SAFETY: a new mapping, at a place of the system's choice.
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

/// In the new process.
pub(super) fn after_fork(parent: Pid) {
    PARENT.store(parent, SeqCst);
    PARENTS_FLAG.store(OWN_FLAG.swap(ptr::null_mut(), SeqCst), SeqCst);
}

/// Has SIGALRM come once, after this time; zero: not any more.
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
    // SAFETY: the timer is readable; nobody wants to know the former.
    unsafe { libc::setitimer(libc::ITIMER_REAL, &raw const timer, ptr::null_mut()) };
}

/// Who has forked this process; 0: nobody who tells it.
static PARENT: AtomicI32 = AtomicI32::new(0);
/// Whether the parent's end was forced.
static PARENTS_FLAG: AtomicPtr<AtomicBool> = AtomicPtr::new(ptr::null_mut());
/// The same for children of this process; never unmapped.
static OWN_FLAG: AtomicPtr<AtomicBool> = AtomicPtr::new(ptr::null_mut());

/// How long a loop may take to notice that all is to end at once.
const MOMENT: Duration = Duration::from_millis(500);

/// Seconds that any timer can hold: some years.
const LONGEST: u64 = 100_000_000;
