//! The numbers of processes.

/// The number of a process.
pub(crate) type Pid = libc::pid_t;

/// The number of this process.
pub(crate) fn own_pid() -> Pid {
    // SAFETY: getpid(2) takes no argument and cannot fail.
    unsafe { libc::getpid() }
}
