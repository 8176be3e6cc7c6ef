//! The server - a master with its workers - and what the system says of its processes.

use std::fs;
use std::io::Read;
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use crate::DEADLINE;
use crate::common::{Memory, PASSWORD, USER, children, signal};

/// A master and its workers, which end when this value is dropped.
pub(crate) struct Fleet {
    pub(crate) address: SocketAddr,
    child: Child,
    log: Arc<Mutex<String>>,
}

/// What the system says of a process.
pub(crate) struct Process {
    pub(crate) descriptors: usize,
    /// The private memory in bytes.
    pub(crate) memory: u64,
}

impl Fleet {
    pub(crate) fn start(share: &Path, certfile: &Path, workers: usize, places: usize) -> Self {
        // A session whose login was refused keeps its slot for the delay, even if the client has
        // left.
        let settings = share.with_extension("toml");
        fs::write(&settings, "[handler]\nauth_failed_timeout = 0.05\n").unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_ftpdlib"))
            .arg("--config")
            .arg(settings)
            .args(["-i", "127.0.0.1", "-p", "0", "-w"])
            .args(["-u", USER, "-P", PASSWORD])
            .args([
                "--concurrency",
                "pre-fork",
                "--workers",
                &workers.to_string(),
            ])
            .args(["--max-cons", &places.to_string(), "--tls", "--certfile"])
            .arg(certfile)
            .arg("-d")
            .arg(share)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()
            .unwrap();
        let log = Arc::new(Mutex::new(String::new()));
        let (mut stderr, lines) = (child.stderr.take().unwrap(), Arc::clone(&log));
        thread::spawn(move || {
            let mut chunk = [0; 4096];
            while let Ok(size @ 1..) = stderr.read(&mut chunk) {
                let text = String::from_utf8_lossy(&chunk[..size]);
                keep(&mut lines.lock().unwrap(), &text);
            }
        });
        let mut fleet = Self {
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
            child,
            log,
        };
        let started = |fleet: &Self| fleet.log().matches(STARTING).count() == workers;
        wait_until("the workers", || started(&fleet));
        let log = fleet.log();
        let rest = log.split(STARTING).nth(1).unwrap();
        fleet.address = rest.split(',').next().unwrap().parse().unwrap();
        fleet
    }

    /// Returns the lines of the log that the soak counts.
    pub(crate) fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    pub(crate) fn print_warnings(&self) {
        let log = self.log();
        let lines = log.lines().filter(|line| !line.starts_with("[I "));
        lines.for_each(|line| println!("{line}"));
    }

    /// Describes the master and its workers.
    pub(crate) fn processes(&self) -> Vec<Process> {
        let pids = std::iter::once(self.child.id()).chain(self.workers());
        let process = |pid| {
            Some(Process {
                descriptors: fs::read_dir(format!("/proc/{pid}/fd")).ok()?.count(),
                memory: Memory::of(pid).ok()?.private,
            })
        };
        pids.filter_map(process).collect()
    }

    fn workers(&self) -> Vec<u32> {
        children(self.child.id())
    }

    /// Kills the oldest of the workers. Returns whether there was one.
    pub(crate) fn kill_oldest(&self) -> bool {
        // The system lists them by age.
        let oldest = self.workers().into_iter().next();
        oldest.is_some_and(|pid| signal("KILL", &pid.to_string()))
    }

    /// Ends the server with SIGTERM; returns its exit status.
    pub(crate) fn stop(&mut self) -> Option<i32> {
        assert!(signal("TERM", &self.child.id().to_string()));
        let mut status = None;
        wait_until("its end", || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        status.unwrap().code()
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        // Until it is waited for, nothing else can get the number of its group.
        if matches!(self.child.try_wait(), Ok(None)) {
            signal("KILL", &format!("-{}", self.child.id()));
        }
        let _ = self.child.wait();
    }
}

/// Keeps the lines that are counted, out of thousands.
fn keep(log: &mut String, text: &str) {
    // The last line may be incomplete.
    let start = log.rfind('\n').map_or(0, |end| end + 1);
    let last = log.split_off(start) + text;
    for line in last.split_inclusive('\n') {
        if !line.ends_with('\n') || !line.starts_with("[I 2") || line.contains(">>>") {
            log.push_str(line);
        }
    }
}

fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let end = Instant::now() + DEADLINE;
    while !condition() {
        assert!(Instant::now() < end, "not in time: {what}");
        thread::sleep(Duration::from_millis(10));
    }
}

const STARTING: &str = ">>> starting FTP server on ";
