//! Builds the tree of `tree.txt`, and describes how it has changed.

#![allow(unreachable_pub, reason = "a module of a test, and public there")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, File, Permissions};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use super::normal::Normaliser;
use super::script::{content, crc32, escape, unescape};

/// The description of each entry by its name.
pub type Tree = BTreeMap<String, String>;

pub fn build(top: &Path, text: &str, recent: i64) {
    let mut directories = Vec::new();
    let lines = text.lines();
    for line in lines.filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let (kind, rest) = word(line);
        let (mode, rest) = word(rest);
        let (time, rest) = word(rest);
        let (name, value) = name_and_value(rest);
        let path = path(top, name);
        match kind {
            "l" => symlink(value, &path).unwrap(),
            "h" => fs::hard_link(self::path(top, value), &path).unwrap(),
            "p" => {
                let status = Command::new("mkfifo").arg(&path).status().unwrap();
                assert!(status.success());
            }
            "d" => {
                fs::create_dir(&path).unwrap();
                directories.push((path.clone(), time));
            }
            "f" => match value.strip_prefix("sparse ") {
                Some(size) => {
                    let file = File::create(&path).unwrap();
                    file.set_len(size.parse().unwrap()).unwrap();
                }
                None => fs::write(&path, content(value)).unwrap(),
            },
            _ => panic!("no type: {line}"),
        }
        if mode != "-" {
            let mode = u32::from_str_radix(mode, 8).unwrap();
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        }
        if kind == "f" {
            set_time(&path, time, recent);
        }
    }
    for (path, time) in directories.iter().rev() {
        set_time(path, time, recent);
    }
}

fn word(line: &str) -> (&str, &str) {
    let (word, rest) = line.split_once(' ').unwrap();
    (word, rest.trim_start())
}

fn name_and_value(text: &str) -> (&str, &str) {
    let split = text.split_once(" = ").or_else(|| text.split_once(" -> "));
    split.unwrap_or((text.strip_suffix(" =").unwrap_or(text), ""))
}

fn path(top: &Path, name: &str) -> PathBuf {
    top.join(OsString::from_vec(unescape(name)))
}

fn set_time(path: &Path, time: &str, recent: i64) {
    let seconds = if time == "recent" {
        recent
    } else {
        time.parse().unwrap()
    };
    let distance = Duration::from_secs(seconds.unsigned_abs());
    let time = if seconds < 0 {
        SystemTime::UNIX_EPOCH - distance
    } else {
        SystemTime::UNIX_EPOCH + distance
    };
    let file = File::open(path).unwrap();
    file.set_modified(time).unwrap();
}

/// Describes everything below `top`.
pub fn snapshot(top: &Path, normaliser: &Normaliser) -> Tree {
    let mut tree = Tree::new();
    let mut pending = vec![top.to_owned()];
    while let Some(directory) = pending.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(top).unwrap().as_os_str().as_bytes();
            let name = normaliser.unique(&escape(name));
            tree.insert(name, describe(&path, normaliser));
            if path.symlink_metadata().unwrap().is_dir() {
                pending.push(path);
            }
        }
    }
    tree
}

fn describe(path: &Path, normaliser: &Normaliser) -> String {
    let metadata = path.symlink_metadata().unwrap();
    let mut what = file_mode(&metadata);
    if metadata.is_symlink() {
        let target = fs::read_link(path).unwrap();
        return format!("{what} -> {}", escape(target.as_os_str().as_bytes()));
    }
    if metadata.is_file() {
        what.push_str(&format!(" {} bytes", metadata.len()));
        if metadata.len() <= 1_000_000 {
            what.push_str(&format!(" {:08x}", crc32(&fs::read(path).unwrap())));
        }
    }
    format!("{what} {}", normaliser.time(metadata.mtime()))
}

/// Returns the mode as `ls -l` writes it.
fn file_mode(metadata: &fs::Metadata) -> String {
    let kind = metadata.file_type();
    let mut text = String::new();
    text.push(match () {
        () if kind.is_dir() => 'd',
        () if kind.is_symlink() => 'l',
        () if kind.is_fifo() => 'p',
        () => '-',
    });
    let mode = metadata.mode();
    for (shift, special, letter) in [(6, 0o4000, 's'), (3, 0o2000, 's'), (0, 0o1000, 't')] {
        text.push(if mode >> shift & 4 != 0 { 'r' } else { '-' });
        text.push(if mode >> shift & 2 != 0 { 'w' } else { '-' });
        text.push(match (mode >> shift & 1 != 0, mode & special != 0) {
            (true, true) => letter,
            (false, true) => letter.to_ascii_uppercase(),
            (true, false) => 'x',
            (false, false) => '-',
        });
    }
    text
}

/// Returns the `T` lines that lead from one tree to the other.
pub fn changes(before: &Tree, after: &Tree) -> Vec<String> {
    let mut lines: BTreeMap<&str, String> = BTreeMap::new();
    for (name, what) in after {
        if before.get(name) != Some(what) {
            lines.insert(name, format!("T: {name}: {what}"));
        }
    }
    for name in before.keys().filter(|name| !after.contains_key(*name)) {
        lines.insert(name, format!("T- {name}"));
    }
    lines.into_values().collect()
}
