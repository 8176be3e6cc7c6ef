//! Processes for tests: forked, killed and waited for.
//!
//! The test harness runs tests on threads, and a process with threads must not fork. So a
//! test that forks runs again in a process in which nothing else runs: see [`alone`].

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::env;
use std::io;
use std::process::{Command, Stdio};
use std::time::Duration;

use super::last_resort;
use super::pid::{Pid, own_pid};
use super::process::{self, Fork};

/// A forked process.
pub(crate) struct Child(Pid);

impl Child {
    pub(crate) fn pid(&self) -> Pid {
        self.0
    }

    /// Kills the process with SIGKILL, and waits for its end.
    pub(crate) fn kill(&self) {
        process::kill(self.0, libc::SIGKILL);
        assert!(!self.wait());
    }

    /// Waits for its end. Returns whether its exit status is 0.
    pub(crate) fn wait(&self) -> bool {
        loop {
            if let Some(status) = process::wait(self.0).unwrap() {
                return status.success();
            }
            std::thread::park_timeout(Duration::from_millis(1));
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
        return Child(pid);
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
