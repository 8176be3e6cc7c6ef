//! Processes for tests: forked, killed and waited for.
//!
//! The test harness runs tests on threads, and a process with threads must not fork. So a
//! test that forks runs again in a process in which nothing else runs: see [`alone`].

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::cell::Cell;
use std::env;
use std::io;
use std::process::{Command, Stdio};
use std::time::Duration;

use super::last_resort;
use super::pid::{Pid, own_pid};
use super::process::{self, Fork};

/// A forked process. It is killed when this value is dropped: a stopped one would never end, and
/// keep the output of the test open.
pub(crate) struct Child {
    pid: Pid,
    has_ended: Cell<bool>,
}

impl Child {
    pub(crate) fn pid(&self) -> Pid {
        self.pid
    }

    /// Kills the process with SIGKILL, and waits for its end.
    pub(crate) fn kill(&self) {
        process::kill(self.pid, libc::SIGKILL);
        assert!(!self.wait());
    }

    /// Waits for its end. Returns whether its exit status is 0.
    pub(crate) fn wait(&self) -> bool {
        loop {
            if let Some(status) = process::wait(self.pid).unwrap() {
                self.has_ended.set(true);
                return status.success();
            }
            std::thread::park_timeout(Duration::from_millis(1));
        }
    }

    /// Waits until it has [stopped](stop).
    pub(crate) fn wait_for_stop(&self) {
        let mut status = 0;
        // SAFETY: `status` is a place for a number that outlives the call.
        let pid = unsafe { libc::waitpid(self.pid, &raw mut status, libc::WUNTRACED) };
        assert!(pid == self.pid && libc::WIFSTOPPED(status), "{status}");
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if !self.has_ended.get() {
            process::kill(self.pid, libc::SIGKILL);
        }
    }
}

/// Runs `body` in a child. The exit status of the child is 0 unless `body` panics.
pub(crate) fn fork(body: impl FnOnce()) -> Child {
    // SAFETY: only tests that run `alone` call this. The only other thread there is that of
    // the harness, which waits for the end of the test and holds no lock that the test needs.
    let pid = unsafe { libc::fork() };
    assert_ne!(pid, -1);
    if pid != 0 {
        let has_ended = Cell::new(false);
        return Child { pid, has_ended };
    }
    limit_the_time();
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(body));
    // SAFETY: _exit(2) takes a number and does not return. It skips the exit handlers of
    // the parent, which must not run in this process.
    unsafe { libc::_exit(result.is_err().into()) }
}

/// Stops this process.
pub(crate) fn stop() {
    // SAFETY: raise(3) takes a number and no pointer.
    unsafe { libc::raise(libc::SIGSTOP) };
}

/// As [`process::fork`], although the harness has a thread.
pub(crate) fn fork_beside_harness() -> io::Result<Fork> {
    let parent = own_pid();
    // SAFETY: as in `fork`.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => {
            last_resort::after_fork(parent);
            limit_the_time();
            Ok(Fork::Child)
        }
        pid => Ok(Fork::Parent(pid)),
    }
}

/// Runs the body of the test with this full name in a process where no other test runs.
pub(crate) fn alone(name: &str, body: impl FnOnce()) {
    if env::var_os(ALONE).is_some() {
        limit_the_time();
        return body();
    }
    let output = Command::new(env::current_exe().unwrap())
        .args(["--exact", name, "--test-threads=1", "--nocapture"])
        .env(ALONE, "1")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {text}{errors}", output.status);
    assert!(text.contains("1 passed"), "no such test: {text}");
}

/// Makes the system end this process after a minute.
fn limit_the_time() {
    // SAFETY: alarm(2) takes a number and no pointer. No handler for SIGALRM is installed, so
    // that the signal ends the process.
    unsafe { libc::alarm(60) };
}

const ALONE: &str = "FTPDLIB_TEST_ALONE";
