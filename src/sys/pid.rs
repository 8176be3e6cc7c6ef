//! The numbers of processes.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// The number of a process.
pub(crate) type Pid = libc::pid_t;

/// The number of this process.
pub(crate) fn own_pid() -> Pid {
    // SAFETY: getpid(2) takes no argument and cannot fail.
    unsafe { libc::getpid() }
}

/// The number of this process, without a system call after the first one: it is asked for with each
/// lock of shared memory.
pub(crate) fn process_id() -> u32 {
    let known = KNOWN.load(Relaxed);
    if known != 0 {
        return known;
    }
    let own = std::process::id();
    // SAFETY: the handler is a function that lives as long as the program, and uses an atomic only,
    // as a child of a process with threads must.
    let is_told =
        *TOLD.get_or_init(|| unsafe { libc::pthread_atfork(None, None, Some(forget)) } == 0);
    if is_told {
        KNOWN.store(own, Relaxed);
    }
    own
}

/// Called in a new process, whoever has forked it.
extern "C" fn forget() {
    KNOWN.store(0, Relaxed);
}

/// The number, or 0.
static KNOWN: AtomicU32 = AtomicU32::new(0);

/// Whether [`forget`] is called after each fork.
static TOLD: OnceLock<bool> = OnceLock::new();
