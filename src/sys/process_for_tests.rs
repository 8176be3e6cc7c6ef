//! Processes for tests: forked, killed and waited for.
//!
//! The harness runs tests on threads, from which nothing is forked: such a test
//! runs once more [`alone`] in a process of its own.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::env;
use std::process::{Command, Stdio};
use std::time::Duration;

use super::pid::Pid;
use super::process;

/// A forked process.
pub(crate) struct Child(Pid);

impl Child {
    pub(crate) fn pid(&self) -> Pid {
        self.0
    }

    /// With SIGKILL; waits for its end.
    pub(crate) fn kill(&self) {
        process::kill(self.0, libc::SIGKILL);
        assert!(!self.wait());
    }

    /// Waits for its end. Returns whether it has ended well.
    pub(crate) fn wait(&self) -> bool {
        loop {
            if let Some(status) = process::wait(self.0).unwrap() {
                return status.success();
            }
            std::thread::park_timeout(Duration::from_millis(1));
        }
    }
}

/// Runs `body` in a child.
pub(crate) fn fork(body: impl FnOnce()) -> Child {
    // SAFETY: only tests that run alone do this; the one other thread there is the
    // harness's, which sleeps until the test is over.
    let pid = unsafe { libc::fork() };
    assert_ne!(pid, -1);
    if pid != 0 {
        return Child(pid);
    }
    watch_the_time();
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(body));
    // SAFETY: ends the process without what the parent wants to be run at its end.
    unsafe { libc::_exit(result.is_err().into()) }
}

/// Runs the body of the test of this name in a process where nothing else runs.
pub(crate) fn alone(name: &str, body: impl FnOnce()) {
    if env::var_os(ALONE).is_some() {
        watch_the_time();
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

/// A process that hangs is ended by the system.
fn watch_the_time() {
    // SAFETY: nothing here catches the signal.
    unsafe { libc::alarm(60) };
}

const ALONE: &str = "FTPDLIB_TEST_ALONE";
