//! What a bench is asked for, and the files that it serves.

use std::env;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

/// Returns a number from the environment.
pub fn setting(name: &str, default: usize) -> usize {
    env::var(name)
        .ok()
        .and_then(|value| value.parse().ok())
        .unwrap_or(default)
}

/// Whether a part of a bench is wanted: all of them are unless the command line names some.
/// The part `a-b` is named by itself, by `a` or by `b`.
pub fn wanted(part: &str) -> bool {
    let words = env::args().skip(1).filter(|word| !word.starts_with('-'));
    let words: Vec<_> = words.collect();
    let asked = |word: &String| word == part || part.split('-').any(|half| half == word);
    words.is_empty() || words.iter().any(asked)
}

/// Makes a directory to serve: in the temporary directory, or in FTPDLIB_BENCH_DIR.
pub fn home() -> TempDir {
    let parent = env::var_os("FTPDLIB_BENCH_DIR").map_or_else(env::temp_dir, PathBuf::from);
    tempfile::tempdir_in(parent).unwrap()
}

/// Writes a file of real bytes. It stays in the page cache, since the disk is not measured.
pub fn file(path: &Path, mib: usize) -> io::Result<()> {
    let mut file = File::create(path)?;
    for _ in 0..mib {
        file.write_all(&[b'x'; MIB])?;
    }
    // Write it back now, and not during a measurement.
    file.sync_all()
}

/// How often each figure is measured.
pub fn rounds() -> usize {
    setting("FTPDLIB_BENCH_ROUNDS", 5).max(1)
}

/// Starts this bench again with as many descriptors as the system allows.
pub fn with_all_descriptors() {
    const DONE: &str = "FTPDLIB_BENCH_RAISED";
    if env::var_os(DONE).is_some() {
        return;
    }
    let err = Command::new("sh")
        .args(["-c", ALL_DESCRIPTORS, "sh"])
        .arg(env::current_exe().unwrap())
        .args(env::args_os().skip(1))
        .env(DONE, "1")
        .exec();
    panic!("cannot start again: {err}");
}

/// How many descriptors this process may have.
pub fn descriptors() -> usize {
    let limits = fs::read_to_string("/proc/self/limits").unwrap();
    let line = limits
        .lines()
        .find(|line| line.starts_with("Max open files"));
    let soft = line
        .and_then(|line| line.split_whitespace().nth(3))
        .unwrap();
    soft.parse().unwrap_or(usize::MAX)
}

pub const MIB: usize = 1 << 20;

/// A line of the shell that runs a command after it has raised the soft limit of descriptors
/// to the hard one.
pub const ALL_DESCRIPTORS: &str = r#"ulimit -n "$(ulimit -Hn)"; exec "$@""#;
