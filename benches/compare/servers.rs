//! Servers in processes of their own, and what they spend.

use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use rustls::crypto::aws_lc_rs::kx_group;
use tempfile::TempDir;

use crate::bare;
use crate::common::tls::Tls;
use crate::common::{
    ALL_DESCRIPTORS, Client, DEADLINE, Memory, Samples, Speech, USER, free_address,
};
use crate::cpus;
use crate::entrants::{Entrant, Place, libraries};
use crate::group::Group;

/// A server in a group of its own, which ends with this value.
pub struct Server {
    name: &'static str,
    user: &'static str,
    address: SocketAddr,
    tls: Option<Arc<Tls>>,
    child: Child,
    group: Option<Group>,
    _config: TempDir,
}

impl Server {
    pub fn start(entrant: &Entrant, speech: Speech, home: &Path) -> Self {
        let group = Group::new().unwrap();
        let config = tempfile::tempdir().unwrap();
        // The only group that all of them know.
        let tls = (speech == Speech::Tls).then(|| Tls::with_group(kx_group::SECP256R1));
        let address = free_address();
        let words = entrant.command(&Place {
            address,
            home,
            config: config.path(),
            tls: tls.as_deref(),
        });
        let script = format!(
            "echo $$ >{} && {ALL_DESCRIPTORS}",
            group.entrance().display()
        );
        let mut command = Command::new("timeout");
        // Should this bench end without a word, the server ends, too.
        command
            .args(["--foreground", "--signal=KILL", LIFETIME])
            .args(["sh", "-c", &script, "sh"])
            .args(words)
            .current_dir(home)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        if let Some(package) = entrant.package() {
            command.env("LD_LIBRARY_PATH", libraries(package));
        } else if matches!(entrant, Entrant::Bare) {
            command.env(bare::PORT, address.port().to_string());
        }
        let mut server = Self {
            name: entrant.name(),
            user: match entrant {
                Entrant::Vsftpd(_) => "anonymous",
                _ => USER,
            },
            address,
            tls,
            child: cpus::in_place(|| command.spawn()).unwrap().unwrap(),
            group: Some(group),
            _config: config,
        };
        server.wait();
        server
    }

    /// Until it listens.
    fn wait(&mut self) {
        let end = Instant::now() + DEADLINE;
        while TcpStream::connect(self.address).is_err() {
            assert!(Instant::now() < end, "{} does not start", self.name);
            let ended = self.child.try_wait().unwrap();
            assert!(ended.is_none(), "{} ended", self.name);
            thread::sleep(Duration::from_millis(10));
        }
        self.settle(1);
    }

    fn group(&self) -> &Group {
        self.group.as_ref().expect("one, until this is dropped")
    }

    /// Waits until it sleeps and has no more processes than these, so that all
    /// it did is accounted for.
    fn settle(&self, processes: usize) {
        let end = Instant::now() + DEADLINE;
        let mut last = self.group().cpu();
        loop {
            thread::sleep(Duration::from_millis(20));
            let now = self.group().cpu();
            if now == last && self.group().processes().len() <= processes {
                return;
            }
            assert!(Instant::now() < end, "{} does not come to rest", self.name);
            last = now;
        }
    }

    /// What some work costs, whose sessions end in it or do not end.
    pub fn cost(&self, work: impl FnOnce(&mut Watch<'_>)) -> Cost {
        self.cost_down_to(self.group().processes().len(), work)
    }

    /// What some work costs, until there are no more processes than these.
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

    /// A client that is logged in.
    pub fn enter(&self) -> Client {
        let mut client = Client::connect(self.address);
        if let Some(tls) = &self.tls {
            client = client.auth(tls);
        }
        client.login_as(self.user);
        client
    }

    /// Runs some work in a session that has begun before and ends after it.
    pub fn in_session<T>(&self, work: impl FnOnce(&mut Client) -> T) -> T {
        let before = self.group().processes().len();
        let mut client = self.session();
        self.settle(ANY);
        let result = work(&mut client);
        client.quit();
        self.settle(before);
        result
    }

    /// A client that is logged in, in TYPE I and PROT P.
    pub fn session(&self) -> Client {
        let mut client = self.enter();
        client.command("TYPE I", 200);
        if self.tls.is_some() {
            client.command("PBSZ 0", 200);
            client.command("PROT P", 200);
        }
        client
    }

    /// The handshakes that it has had, if it has TLS.
    pub fn handshakes(&self) -> Option<String> {
        let tls = self.tls.as_ref()?;
        Some(format!("{}: {}", self.name, tls.handshakes()))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.group.take());
        // What bounds its life has ended with it.
        let _ = self.child.wait();
    }
}

/// What some work has cost.
pub struct Cost {
    pub cpu: Duration,
    pub wall: Duration,
    /// Memory in the midst of it.
    pub memory: Option<Memory>,
    /// How long each of its parts took, in microseconds.
    pub waits: Samples,
}

/// Looks at a server while it works.
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

/// As many processes as a server likes.
pub const ANY: usize = usize::MAX;

/// How long a server may live, in seconds.
const LIFETIME: &str = "3600";
