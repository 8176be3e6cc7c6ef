//! Processes: fork, wait, and signals between parent and children.

use std::io;
use std::mem::MaybeUninit;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::ptr;

use super::last_resort;
use super::parent;
use super::pid::{Pid, own_pid};

/// In which of the two processes [`fork`] has returned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fork {
    /// In the new process.
    Child,
    /// In the old process. The new one has this number.
    Parent(Pid),
}

/// Makes a copy of this process, which must have a single thread: the copy would have no
/// other, so that locks held by other threads would stay locked in it for good.
///
/// # Errors
/// The process has more than one thread, or the system refuses.
pub(crate) fn fork() -> io::Result<Fork> {
    if threads() > 1 {
        return Err(io::Error::other(
            "a process with threads cannot be forked: start threads after the fork",
        ));
    }
    last_resort::before_fork()?;
    parent::before_fork()?;
    let own = own_pid();
    // SAFETY: there must be no other thread, whose locks and half-changed values the copy
    // would have for good. `threads` has just found none; where /proc is missing, this rests
    // on the callers, which must not have started any.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => {
            last_resort::after_fork(own);
            parent::after_fork();
            Ok(Fork::Child)
        }
        pid => Ok(Fork::Parent(pid)),
    }
}

/// Holds back SIGINT, SIGTERM, SIGQUIT and SIGHUP from this thread as long as the value lives. A
/// process that is forked meanwhile holds them back too, until it drops its copy.
pub(crate) struct HeldSignals(libc::sigset_t);

impl HeldSignals {
    pub(crate) fn new() -> Self {
        let mut held = MaybeUninit::uninit();
        // SAFETY: `held` has room for the set that the call initializes.
        unsafe { libc::sigemptyset(held.as_mut_ptr()) };
        for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGQUIT, libc::SIGHUP] {
            // SAFETY: `held` was initialized above.
            unsafe { libc::sigaddset(held.as_mut_ptr(), signal) };
        }
        let mut before = MaybeUninit::uninit();
        // SAFETY: `held` was initialized above, and `before` has room for a set. The call
        // fails only for an unknown first argument.
        unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, held.as_ptr(), before.as_mut_ptr()) };
        // SAFETY: the call cannot have failed, so it has filled in `before`.
        Self(unsafe { before.assume_init() })
    }
}

impl Drop for HeldSignals {
    fn drop(&mut self) {
        // SAFETY: the set was filled in by pthread_sigmask(3), and a null pointer for the
        // old set is allowed.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &raw const self.0, ptr::null_mut()) };
    }
}

/// How many threads this process has: 1 where `/proc` does not say.
fn threads() -> usize {
    std::fs::read_dir("/proc/self/task").map_or(1, Iterator::count)
}

/// Asks, without waiting, how a child has ended; `None` while it runs. Once this has returned
/// a status, the system may give the number of the child to another process.
///
/// # Errors
/// `ECHILD` if there is no such child, or it was waited for already.
pub(crate) fn wait(child: Pid) -> io::Result<Option<ExitStatus>> {
    let mut status = 0;
    // SAFETY: `status` has room for the number that the call writes.
    match unsafe { libc::waitpid(child, &raw mut status, libc::WNOHANG) } {
        -1 => Err(io::Error::last_os_error()),
        0 => Ok(None),
        _ => Ok(Some(ExitStatus::from_raw(status))),
    }
}

/// The number of any child that has ended and was not waited for yet. The child is left
/// for [`wait`]. With many children, this saves a call for each of them.
pub(crate) fn ended_child() -> Option<Pid> {
    let mut info = MaybeUninit::<libc::siginfo_t>::zeroed();
    let options = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
    // SAFETY: `info` has room for the structure that the call writes.
    let result = unsafe { libc::waitid(libc::P_ALL, 0, info.as_mut_ptr(), options) };
    // SAFETY: the structure consists of integers and pointers, for which zeroes are a valid
    // value, whether the call has overwritten them or not.
    let info = unsafe { info.assume_init() };
    // SAFETY: this field of the union holds zero, or the number that the call has written
    // for a child: both are valid values of it.
    let pid = unsafe { info.si_pid() };
    (result == 0 && pid != 0).then_some(pid)
}

/// Sends a signal to a child. The child must not have been waited for yet: until then its
/// number cannot belong to another process.
pub(crate) fn kill(child: Pid, signal: i32) {
    // SAFETY: kill(2) takes two numbers and no pointer. It fails only if the child has
    // ended, in which case the signal is not needed.
    unsafe { libc::kill(child, signal) };
}
