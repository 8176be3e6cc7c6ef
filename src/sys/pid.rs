//! The numbers of processes.

/// The number of a process.
pub(crate) type Pid = libc::pid_t;

/// The number of this process.
pub(crate) fn own_pid() -> Pid {
    // SAFETY: a call without arguments.
    unsafe { libc::getpid() }
}
