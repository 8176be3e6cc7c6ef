//! What the system says of a process.

use std::fs;
use std::io;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// The memory that no other process shares, in bytes.
#[derive(Debug, Clone, Copy, Default)]
pub struct Memory {
    /// Mapped by this process alone (USS).
    pub private: u64,
    /// The part of it that the process has written, so that no file holds it.
    pub written: u64,
}

impl Memory {
    /// Returns the memory of a process that has not ended.
    pub fn of(pid: u32) -> io::Result<Self> {
        let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
        let bytes = |name| {
            let line = rollup.lines().find_map(|line| line.strip_prefix(name));
            let kib = line.unwrap().split_whitespace().next().unwrap();
            kib.parse::<u64>().unwrap() * 1024
        };
        let written = bytes("Private_Dirty:");
        Ok(Self {
            private: bytes("Private_Clean:") + written,
            written,
        })
    }
}

/// Returns the CPU time that a process has used, in user space and in the kernel.
pub fn cpu(pid: u32) -> Duration {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let nanos = tasks.map(|task| {
        let schedstat = fs::read_to_string(task.unwrap().path().join("schedstat"));
        let schedstat = schedstat.expect("a kernel with schedstat");
        let first = schedstat.split(' ').next().unwrap();
        first.parse::<u64>().unwrap()
    });
    Duration::from_nanos(nanos.sum())
}

/// Returns how often a process has given the CPU away, or had to.
pub fn switches(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let lines = status.lines().filter(|line| line.contains("ctxt_switches"));
    let counts = lines.map(|line| line.split_whitespace().nth(1).unwrap());
    counts.map(|count| count.parse::<u64>().unwrap()).sum()
}

/// Returns the process ids of the children of a process, the oldest first.
pub fn children(pid: u32) -> Vec<u32> {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
    let children = children.split_whitespace();
    children.map(|child| child.parse().unwrap()).collect()
}

/// Sends a signal to a process, or to a group by its number after a minus. Returns whether
/// there is one.
pub fn signal(name: &str, to: &str) -> bool {
    let kill = format!("kill -s {name} -- {to}");
    let status = Command::new("sh").args(["-c", &kill]).status();
    status.unwrap().success()
}

/// Returns the names of the system calls in a trace of strace so far.
pub fn traced_calls(trace: &Path) -> Vec<String> {
    let trace = fs::read(trace).unwrap();
    let trace = String::from_utf8_lossy(&trace);
    let call = |line: &str| {
        let line = line.split_once(' ')?.1.trim_start();
        let name = line.split('(').next()?;
        let named = !name.is_empty() && !line.starts_with(['<', '-', '+']);
        named.then(|| name.to_owned())
    };
    trace.lines().filter_map(call).collect()
}
