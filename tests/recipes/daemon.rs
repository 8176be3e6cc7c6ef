//! The daemon of the example `unix_daemon`.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;
use testkit::{address_in, wait_for};

use super::path_of;

/// A directory with a daemon, which is stopped when this value is dropped.
pub(super) struct Daemon(TempDir);

impl Daemon {
    pub(super) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("home")).unwrap();
        Self(dir)
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Returns where it listens, as its log says.
    pub(super) fn address(&self) -> SocketAddr {
        let mut address = None;
        wait_for("the daemon", || {
            let log = fs::read_to_string(self.path("log")).unwrap_or_default();
            address = address_in(&log);
            address.is_some()
        });
        address.unwrap()
    }

    /// Runs a command; returns whether it succeeded, and its error output.
    pub(super) fn run(&self, command: &str) -> (bool, String) {
        self.run_at("127.0.0.1:0", command)
    }

    pub(super) fn run_at(&self, address: &str, command: &str) -> (bool, String) {
        let run = Command::new(path_of("unix_daemon"))
            .args(["-a", address, "-d", "home", "-p", "pid", "-l", "log"])
            .arg(command)
            .current_dir(self.0.path())
            .output()
            .unwrap();
        let text = String::from_utf8(run.stderr).unwrap();
        (run.status.success(), text.trim_end().to_owned())
    }

    #[track_caller]
    pub(super) fn expect(&self, command: &str, text: &str) {
        let (done, said) = self.run(command);
        assert!(done && said.starts_with(text), "{command}: {said}");
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.run("stop");
    }
}
