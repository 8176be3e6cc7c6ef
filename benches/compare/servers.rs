//! Servers in their own control groups, and what they spend.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use rustls::crypto::aws_lc_rs::kx_group;
use tempfile::TempDir;

use crate::bare;
use crate::common::{ALL_DESCRIPTORS, Client, Endpoint, Memory, Samples, Speech, Tls, USER};
use crate::cpus;
use crate::entrants::{Entrant, Place, libraries};
use crate::group::Group;

/// A server in its own control group, which ends when this value is dropped.
pub struct Server {
    endpoint: Endpoint,
    group: Option<Group>,
    _config: TempDir,
}

impl Server {
    pub fn start(entrant: &Entrant, speech: Speech, home: &Path) -> Self {
        let group = Group::new().unwrap();
        let config = tempfile::tempdir().unwrap();
        // The only key exchange group that all of them know.
        let tls = (speech == Speech::Tls).then(|| Tls::with_group(kx_group::SECP256R1));
        let user = match entrant {
            Entrant::Vsftpd(_) => "anonymous",
            _ => USER,
        };
        let command = |address, tls: Option<&Tls>| {
            let words = entrant.command(&Place {
                address,
                home,
                config: config.path(),
                tls,
            });
            let script = format!(
                "echo $$ >{} && {ALL_DESCRIPTORS}",
                group.members().display()
            );
            // If this bench is killed, the server still ends.
            let mut command = Command::new("timeout");
            command
                .args(["--foreground", "--signal=KILL", LIFETIME])
                .args(["sh", "-c", &script, "sh"])
                .args(words)
                .current_dir(home);
            if let Some(package) = entrant.package() {
                command.env("LD_LIBRARY_PATH", libraries(package));
            } else if matches!(entrant, Entrant::Bare) {
                command.env(bare::PORT, address.port().to_string());
            }
            command
        };
        let start = || Endpoint::start(entrant.name(), user, tls, command);
        let endpoint = cpus::in_place(start).unwrap().unwrap();
        let server = Self {
            endpoint,
            group: Some(group),
            _config: config,
        };
        server.settle(1);
        server
    }

    fn group(&self) -> &Group {
        self.group.as_ref().expect("one, until this is dropped")
    }

    /// Waits until it sleeps and has no more processes than these, so that all its work is
    /// in the figures.
    fn settle(&self, processes: usize) {
        let at_rest = || self.group().processes().len() <= processes;
        self.endpoint.settle(|| self.group().cpu(), at_rest);
    }

    /// Returns what some work costs; its sessions may end in it or not.
    pub fn cost(&self, work: impl FnOnce(&mut Watch<'_>)) -> Cost {
        self.cost_down_to(self.group().processes().len(), work)
    }

    /// Returns what some work costs, until there are no more processes than these.
    pub fn cost_down_to(&self, processes: usize, work: impl FnOnce(&mut Watch<'_>)) -> Cost {
        let mut watch = Watch {
            server: self,
            pauses: Duration::ZERO,
            memory: None,
            waits: Samples::default(),
        };
        let before = self.group().cpu();
        let start = Instant::now();
        work(&mut watch);
        let wall = start.elapsed() - watch.pauses;
        self.settle(processes);
        Cost {
            cpu: self.group().cpu() - before,
            wall,
            memory: watch.memory,
            waits: watch.waits,
        }
    }

    pub fn memory(&self) -> Memory {
        self.group().memory()
    }

    /// Connects a client that is logged in.
    pub fn enter(&self) -> Client {
        self.endpoint.enter()
    }

    /// Runs some work in a session that began before and ends after it.
    pub fn in_session<T>(&self, work: impl FnOnce(&mut Client) -> T) -> T {
        let before = self.group().processes().len();
        let mut client = self.session();
        self.settle(ANY);
        let result = work(&mut client);
        client.quit();
        self.settle(before);
        result
    }

    /// Connects a client that is logged in, in TYPE I and PROT P.
    pub fn session(&self) -> Client {
        self.endpoint.session()
    }

    /// Returns the handshakes that it has had, if it has TLS.
    pub fn handshakes(&self) -> Option<String> {
        let handshakes = self.endpoint.handshakes()?;
        Some(format!("{}: {handshakes}", self.endpoint.name))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.group.take());
        // The `timeout` was in the group, too, and has ended.
        let _ = self.endpoint.child.wait();
    }
}

/// What some work has cost.
pub struct Cost {
    pub cpu: Duration,
    pub wall: Duration,
    /// The memory in the middle of it.
    pub memory: Option<Memory>,
    /// How long each of its parts took, in microseconds.
    pub waits: Samples,
}

/// Looks at a server during some work.
pub struct Watch<'a> {
    server: &'a Server,
    pauses: Duration,
    memory: Option<Memory>,
    pub waits: Samples,
}

impl Watch<'_> {
    /// Reads its memory, in time that does not count.
    pub fn read_memory(&mut self) {
        let start = Instant::now();
        self.memory = Some(self.server.memory());
        self.pauses += start.elapsed();
    }
}

/// No limit for the number of processes.
pub const ANY: usize = usize::MAX;

/// How long a server may live, in seconds.
const LIFETIME: &str = "3600";
