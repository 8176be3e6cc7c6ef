//! A server that is measured, in its own process.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use super::USER;
use super::client::Client;
use super::endpoint::Endpoint;
use super::process::{self, Memory, signal};
use super::settings::ALL_DESCRIPTORS;
use super::which::{Speech, Which, installed, words};

/// A server in its own process, which ends when this value is dropped. It logs at level
/// info, to /dev/null.
pub struct Server {
    which: Which,
    endpoint: Endpoint,
    /// The server itself: under strace it is a child of the process that was started.
    pid: u32,
}

impl Server {
    pub fn start(which: Which, speech: Speech, home: &Path) -> Self {
        Self::spawn(which, speech, home, &[])
    }

    /// Starts it under strace, which writes its system calls to a file. Returns `None` if
    /// there is no strace.
    pub fn start_traced(which: Which, speech: Speech, home: &Path, trace: &Path) -> Option<Self> {
        let strace = Command::new("strace").arg("-V").output();
        if !strace.is_ok_and(|output| output.status.success()) {
            return None;
        }
        let trace = trace.to_str().unwrap();
        let tracer = ["strace", "-f", "-o", trace];
        Some(Self::spawn(which, speech, home, &tracer))
    }

    fn spawn(which: Which, speech: Speech, home: &Path, tracer: &[&str]) -> Self {
        let endpoint = Endpoint::start(which.name(), USER, speech.tls(), |address, tls| {
            let mut command = Command::new("sh");
            command
                .args(["-c", ALL_DESCRIPTORS, "sh"])
                .args(tracer)
                .args(words(which, address, tls, home));
            command
        });
        let endpoint = endpoint.unwrap();
        let started = endpoint.child.id();
        let server = Self {
            which,
            endpoint,
            pid: match tracer {
                [] => started,
                _ => process::children(started)[0],
            },
        };
        // The connection that has shown that it listens is closed soon.
        server.settle();
        server
    }

    pub fn which(&self) -> Which {
        self.which
    }

    pub fn address(&self) -> SocketAddr {
        self.endpoint.address
    }

    /// Waits until it sleeps, so that all its work is in the figures.
    pub fn settle(&self) {
        self.endpoint.settle(|| self.cpu(), || true);
    }

    /// Returns the CPU time that it has used.
    pub fn cpu(&self) -> Duration {
        process::cpu(self.pid)
    }

    /// Returns the CPU time of some work.
    pub fn cpu_of(&self, work: impl FnOnce()) -> Duration {
        let before = self.cpu();
        work();
        self.settle();
        self.cpu() - before
    }

    /// Returns how often it has given the CPU away, or had to.
    pub fn switches(&self) -> u64 {
        process::switches(self.pid)
    }

    /// Ends it with SIGTERM. Returns its status, and how long that took.
    pub fn stop(&mut self) -> (Option<i32>, Duration) {
        let start = Instant::now();
        assert!(signal("TERM", &self.pid.to_string()));
        let status = self.endpoint.child.wait().unwrap();
        (status.code(), start.elapsed())
    }

    /// Returns the memory that no other process shares (USS), in bytes.
    pub fn private_memory(&self) -> u64 {
        Memory::of(self.pid).unwrap().private
    }

    /// Connects a client, which uses AUTH TLS if the server has TLS.
    pub fn connect(&self) -> Client {
        self.endpoint.connect()
    }

    /// Connects a client that is logged in, in TYPE I and PROT P.
    pub fn login(&self) -> Client {
        self.endpoint.session()
    }

    /// Returns the handshakes that it has had, if it has TLS.
    pub fn handshakes(&self) -> Option<String> {
        let handshakes = self.endpoint.handshakes()?;
        Some(format!("  {:?}: {handshakes}", self.which))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if self.pid != self.endpoint.child.id() {
            // This is the server; strace ends with it.
            signal("KILL", &self.pid.to_string());
        } else {
            let _ = self.endpoint.child.kill();
        }
        let _ = self.endpoint.child.wait();
    }
}

/// Starts each installed server on the same directory.
pub fn servers(speech: Speech, home: &Path) -> Vec<Server> {
    let start = |which| Server::start(which, speech, home);
    installed().into_iter().map(start).collect()
}
