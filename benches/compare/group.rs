//! What all processes of a server spend together, by a control group for each server.
//!
//! Servers that fork a process for each session end hundreds of them. The kernel adds up the CPU
//! time of a group in nanoseconds, including processes that have ended, whether anything waits
//! for them or not.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::common::{DEADLINE, Memory};

/// A control group (version 2) below that of this bench. Its processes are killed when this value
/// is dropped.
pub struct Group {
    path: PathBuf,
}

impl Group {
    pub fn new() -> io::Result<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = parent()?.join(format!("{NAME}-{}-{number}", process::id()));
        fs::create_dir(&path)?;
        Ok(Self { path })
    }

    /// Returns the file that takes the process ids of new members.
    pub fn members(&self) -> PathBuf {
        self.path.join("cgroup.procs")
    }

    pub fn cpu(&self) -> Duration {
        let stat = fs::read_to_string(self.path.join("cpu.stat")).unwrap();
        let usage = stat
            .lines()
            .find_map(|line| line.strip_prefix("usage_usec "));
        Duration::from_micros(usage.unwrap().parse().unwrap())
    }

    /// Returns the sum of the private memory of all processes, in bytes. Pages that they share
    /// with each other are not counted, in favour of servers that fork.
    pub fn memory(&self) -> Memory {
        let processes = self.processes().into_iter();
        // A process may have ended meanwhile.
        let memories = processes.filter_map(|process| Memory::of(process).ok());
        memories.fold(Memory::default(), |sum, memory| Memory {
            private: sum.private + memory.private,
            written: sum.written + memory.written,
        })
    }

    pub fn processes(&self) -> Vec<u32> {
        let processes = fs::read_to_string(self.members()).unwrap();
        processes
            .lines()
            .map(|line| line.parse().unwrap())
            .collect()
    }

    fn is_empty(&self) -> bool {
        let events = fs::read_to_string(self.path.join("cgroup.events"));
        events.is_ok_and(|events| events.contains("populated 0"))
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let _ = fs::write(self.path.join("cgroup.kill"), "1");
        let end = Instant::now() + DEADLINE;
        while !self.is_empty() && Instant::now() < end {
            thread::sleep(Duration::from_millis(1));
        }
        let _ = fs::remove_dir(&self.path);
    }
}

/// Returns the directory of the group that this bench is in.
fn parent() -> io::Result<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mounts")?;
    let mount = mounts.lines().find_map(|line| {
        let mut words = line.split(' ');
        let path = words.nth(1)?;
        (words.next() == Some("cgroup2")).then(|| PathBuf::from(path))
    });
    let group = fs::read_to_string("/proc/self/cgroup")?;
    let group = group.lines().find_map(|line| line.strip_prefix("0::/"));
    match (mount, group) {
        (Some(mount), Some(group)) => Ok(mount.join(group)),
        _ => Err(io::Error::other("no control groups of version 2")),
    }
}

const NAME: &str = "ftpdlib-compare";
