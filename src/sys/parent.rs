//! How a process notices that the process which forked it has ended: by the end of a pipe that
//! only the parent holds open.
//!
//! Unlike the signal that the kernel can send at the death of a parent, the pipe survives a change
//! of credentials, and works on every system.

use std::io::{self, PipeReader, PipeWriter, Read};
use std::os::fd::OwnedFd;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;

use super::pid::Pid;
use super::signals::exit_at_once;

/// The pipe for the children of this process. Nothing is ever written to it.
struct Pipe {
    /// The children inherit it.
    read: PipeReader,
    /// Each child closes its copy at once.
    _write: PipeWriter,
}

/// Called before a fork: makes the pipe, once.
///
/// # Errors
/// The process has no descriptors left.
pub(super) fn before_fork() -> io::Result<()> {
    let mut own = lock(&OWN);
    if own.is_none() {
        let (read, write) = io::pipe()?;
        *own = Some(Pipe {
            read,
            _write: write,
        });
    }
    Ok(())
}

/// Called in the new process after a fork: keeps the end of the pipe at which the death of the
/// parent shows, in place of that of the parent's parent.
pub(super) fn after_fork() {
    *lock(&PARENTS) = lock(&OWN).take().map(|pipe| pipe.read);
}

/// A descriptor that becomes readable, at its end, when the parent of this process ends. `None` if
/// this process was not made by [`fork`](super::fork).
pub(crate) fn end_of_parent() -> Option<OwnedFd> {
    let read = lock(&PARENTS).as_ref()?.try_clone();
    read.ok().map(OwnedFd::from)
}

/// For a process that blocks and has no loop: ends it when its parent ends. Starts a thread, which
/// waits for that.
pub(crate) fn exit_with_parent() {
    let Some(mut read) = lock(&PARENTS).take() else {
        return;
    };
    let wait = move || {
        while matches!(read.read(&mut [0]), Err(err) if err.kind() == io::ErrorKind::Interrupted) {}
        // The main thread may hold locks that the handlers of exit(3) want.
        exit_at_once(0);
    };
    // Without the thread, the kernel's signal has to do.
    let _ = thread::Builder::new().spawn(wait);
}

/// Makes the kernel send `signal` to this process when its parent ends, for any reason, even if
/// this process is stuck. Only Linux can do that, and only until this process changes its
/// credentials: see [`end_of_parent`].
///
/// # Errors
/// Those of prctl(2); or the parent, whose number is `parent`, has ended before this call.
#[cfg(target_os = "linux")]
pub(crate) fn signal_at_death_of_parent(parent: Pid, signal: i32) -> io::Result<()> {
    // SAFETY: with this option prctl(2) takes a number and no pointer.
    let set = unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, signal) };
    if set == -1 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: getppid(2) takes no argument and cannot fail.
    if unsafe { libc::getppid() } != parent {
        return Err(io::Error::other("the parent process has ended"));
    }
    Ok(())
}

/// Takes back [`signal_at_death_of_parent`]. When this returns, the signal has come, or will not.
#[cfg(target_os = "linux")]
pub(super) fn no_signal_at_death_of_parent() {
    // SAFETY: with this option prctl(2) takes a number and no pointer.
    unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, 0) };
}

/// Does nothing, as there is no such signal.
#[cfg(not(target_os = "linux"))]
pub(super) fn no_signal_at_death_of_parent() {}

/// Does nothing: this system does not signal the end of a parent.
#[cfg(not(target_os = "linux"))]
pub(crate) fn signal_at_death_of_parent(_parent: Pid, _signal: i32) -> io::Result<()> {
    Ok(())
}

/// No code of a user runs under the lock, so it is whole even after a panic.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The pipe for the children of this process.
static OWN: Mutex<Option<Pipe>> = Mutex::new(None);
/// The pipe of the parent of this process.
static PARENTS: Mutex<Option<PipeReader>> = Mutex::new(None);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::process_for_tests::{alone, fork};

    /// A process that only blocks ends with its parent, without a signal of the kernel.
    #[test]
    fn a_process_that_blocks_ends_with_its_parent() {
        const NAME: &str = "sys::parent::tests::a_process_that_blocks_ends_with_its_parent";
        alone(NAME, || {
            let (mut ended, alive) = io::pipe().unwrap();
            let (mut ready, mut begun) = io::pipe().unwrap();
            let parent = fork(|| {
                before_fork().unwrap();
                let _child = fork(|| {
                    after_fork();
                    exit_with_parent();
                    io::Write::write_all(&mut begun, b"x").unwrap();
                    loop {
                        thread::park();
                    }
                });
                loop {
                    thread::park();
                }
            });
            drop(alive);
            ready.read_exact(&mut [0]).unwrap();
            parent.kill();
            // The pipe ends when both processes have.
            assert_eq!(ended.read(&mut [0]).unwrap(), 0);
        });
    }
}
