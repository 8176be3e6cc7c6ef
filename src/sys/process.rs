//! Processes: fork, wait, signals to children and from others.

use std::io;
use std::mem::MaybeUninit;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::ptr;

use super::last_resort;
use super::pid::{Pid, own_pid};

/// On which side of a fork one is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fork {
    /// In the new process.
    Child,
    /// In the old one; the new one has this number.
    Parent(Pid),
}

/// Makes a copy of this process, which must have a single thread: in the copy
/// there would be no other, while the locks they hold would stay locked.
pub(crate) fn fork() -> io::Result<Fork> {
    if threads() > 1 {
        return Err(io::Error::other("a process with threads cannot be forked"));
    }
    last_resort::before_fork()?;
    let parent = own_pid();
    // SAFETY: this is the only thread, so that the copy is as whole as this process.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => {
            last_resort::after_fork(parent);
            Ok(Fork::Child)
        }
        pid => Ok(Fork::Parent(pid)),
    }
}

/// Signals that are to end this process are held back as long as this lives, in a
/// fork of it too.
pub(crate) struct HeldSignals(libc::sigset_t);

impl HeldSignals {
    pub(crate) fn new() -> Self {
        let mut held = MaybeUninit::uninit();
        // SAFETY: `held` is writable, and is initialised here.
        unsafe { libc::sigemptyset(held.as_mut_ptr()) };
        for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGQUIT] {
            // SAFETY: it was initialised before.
            unsafe { libc::sigaddset(held.as_mut_ptr(), signal) };
        }
        let mut before = MaybeUninit::uninit();
        // SAFETY: `held` is initialised, `before` is writable. It cannot fail with
        // these arguments.
        unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, held.as_ptr(), before.as_mut_ptr()) };
        // SAFETY: the call has filled it in.
        Self(unsafe { before.assume_init() })
    }
}

impl Drop for HeldSignals {
    fn drop(&mut self) {
        // SAFETY: the set is that of a former call; nobody wants to know the present.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &raw const self.0, ptr::null_mut()) };
    }
}

/// How many threads this process has; 1 where the system does not tell.
fn threads() -> usize {
    std::fs::read_dir("/proc/self/task").map_or(1, Iterator::count)
}

/// How a child has ended, if it has.
pub(crate) fn wait(child: Pid) -> io::Result<Option<ExitStatus>> {
    let mut status = 0;
    // SAFETY: `status` is writable.
    match unsafe { libc::waitpid(child, &raw mut status, libc::WNOHANG) } {
        -1 => Err(io::Error::last_os_error()),
        0 => Ok(None),
        _ => Ok(Some(ExitStatus::from_raw(status))),
    }
}

/// A child that has ended, of those that were not waited for yet, whose ever it is;
/// it is left for [`wait`]. With many children, this saves asking for each.
pub(crate) fn ended_child() -> Option<Pid> {
    let mut info = MaybeUninit::<libc::siginfo_t>::zeroed();
    let options = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
    // SAFETY: `info` is writable.
    let result = unsafe { libc::waitid(libc::P_ALL, 0, info.as_mut_ptr(), options) };
    // SAFETY: zeroes are a value of this type, and so is what the call makes of them.
    let info = unsafe { info.assume_init() };
    // SAFETY: a call that tells of a child fills this field; else it is zero.
    let pid = unsafe { info.si_pid() };
    (result == 0 && pid != 0).then_some(pid)
}

/// Sends a signal to a child that was not waited for yet, so that its number is
/// still its own.
pub(crate) fn kill(child: Pid, signal: i32) {
    // SAFETY: a call with two numbers. It can only fail if the child has just ended.
    unsafe { libc::kill(child, signal) };
}

/// Has the system send `signal` to this process when its parent dies, whoever
/// kills that. Only Linux can.
#[cfg(target_os = "linux")]
pub(crate) fn signal_at_death_of_parent(parent: Pid, signal: i32) -> io::Result<()> {
    // SAFETY: a call with two numbers.
    let set = unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, signal) };
    if set == -1 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: a call without arguments.
    if unsafe { libc::getppid() } != parent {
        return Err(io::Error::other("the parent has died"));
    }
    Ok(())
}

/// Elsewhere it is not noticed.
#[cfg(not(target_os = "linux"))]
pub(crate) fn signal_at_death_of_parent(_parent: Pid, _signal: i32) -> io::Result<()> {
    Ok(())
}
