//! What a server spends, all its processes together: a control group for each.
//!
//! Servers that fork a process for each session end them by the hundred. The
//! kernel adds up the CPU time of a group in nanoseconds, of processes that have
//! ended too, whoever waits for them or nobody.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::common::{DEADLINE, Memory};

/// A control group (version 2) of its own, below that of this bench. Who is in
/// it ends with this value.
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

    /// The file that takes the number of a process that is to be in it.
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

    /// The sum of the memory that is each process's own, in bytes. Pages that
    /// only they share among them are not counted, which is to the good of
    /// servers that fork.
    pub fn memory(&self) -> Memory {
        let processes = self.processes().into_iter();
        // One may have ended meanwhile.
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

/// The directory of the group that this bench is in.
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
