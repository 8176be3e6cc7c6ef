//! Files: opened, made, renamed, and names of any bytes.

use std::ffi::OsStr;
use std::fs;
use std::io::{Seek, SeekFrom, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, Instant};

use super::fixture::{both, errno};
use crate::error::FSError;
use crate::filesystems::file::OpenMode;
use crate::filesystems::local::ops::rename_carefully;
use crate::filesystems::local::stock::*;
use crate::filesystems::state::FSState;

#[test]
fn open_modes() {
    both(|f| {
        assert_eq!(f.read("file").unwrap(), "content");
        assert_eq!(f.read("sub/inner").unwrap(), "inner");
        assert_eq!(errno(f.read("none")), libc::ENOENT);
        assert_eq!(errno(f.read("file/none")), libc::ENOTDIR);
        assert_eq!(errno(f.read("sub")), libc::EISDIR);
        assert_eq!(errno(f.read("")), libc::EISDIR);
        let path = f.path("sub/new");
        assert_eq!(errno(open(&f.fs, &path, OpenMode::Update)), libc::ENOENT);
        open(&f.fs, &path, OpenMode::Write)
            .unwrap()
            .write_all(b"0123456789")
            .unwrap();
        let mut file = open(&f.fs, &path, OpenMode::Append).unwrap();
        file.write_all(b"ab").unwrap();
        assert_eq!(file.size().unwrap(), 12);
        assert_eq!(file.name(), path);
        assert!(file.as_file().is_some());
        let mut file = open(&f.fs, &path, OpenMode::Update).unwrap();
        file.seek(SeekFrom::Start(4)).unwrap();
        file.write_all(b"XX").unwrap();
        assert_eq!(f.read("sub/new").unwrap(), "0123XX6789ab");
        drop(open(&f.fs, &path, OpenMode::Write).unwrap());
        assert_eq!(f.read("sub/new").unwrap(), "");
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7111, 0);
        for mode in [OpenMode::Write, OpenMode::Append, OpenMode::Update] {
            assert_eq!(errno(open(&f.fs, &f.path("sub"), mode)), libc::EISDIR);
        }
    });
}

#[test]
fn open_refuses_what_is_not_regular_and_never_waits() {
    both(|f| {
        let fifo = f.path("fifo");
        let made = std::process::Command::new("mkfifo").arg(&fifo).status();
        assert!(made.unwrap().success());
        let _socket = std::os::unix::net::UnixListener::bind(f.path("socket")).unwrap();
        let start = Instant::now();
        for name in ["fifo", "socket"] {
            for mode in [
                OpenMode::Read,
                OpenMode::Write,
                OpenMode::Append,
                OpenMode::Update,
            ] {
                let err = open(&f.fs, &f.path(name), mode).err().unwrap();
                assert_eq!(err.to_string(), "Not a regular file", "{name} {mode:?}");
            }
        }
        stat(&f.fs, &fifo).unwrap();
        chmod(&f.fs, &fifo, 0o600).unwrap();
        utime(&f.fs, &fifo, 1).unwrap();
        remove(&f.fs, &fifo).unwrap();
        assert!(start.elapsed() < Duration::from_secs(5));
    });
}

#[test]
fn mkstemp_makes_new_private_files() {
    both(|f| {
        for dir in ["", "sub"] {
            let dir = f.path(dir);
            let mut file = mkstemp(&f.fs, &dir, OsStr::new("ftpd.")).unwrap();
            file.write_all(b"x").unwrap();
            let name = file.name().to_path_buf();
            assert_eq!(
                name.parent(),
                Some(Path::new(dir.to_str().unwrap().trim_end_matches('/')))
            );
            let random = name.file_name().unwrap().to_str().unwrap();
            let random = random.strip_prefix("ftpd.").unwrap();
            assert_eq!(random.len(), 8);
            let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
            assert!(random.chars().all(allowed));
            assert_eq!(fs::metadata(&name).unwrap().mode() & 0o7777, 0o600);
        }
        assert!(mkstemp(&f.fs, &f.path(""), OsStr::new("../outside/x")).is_err());
        assert_eq!(
            errno(mkstemp(&f.fs, &f.path("file"), OsStr::new("x"))),
            libc::ENOTDIR
        );
    });
}

#[test]
fn rename_replaces_and_moves() {
    both(|f| {
        rename(&f.fs, &f.path("file"), &f.path("sub/inner")).unwrap();
        assert_eq!(f.read("sub/inner").unwrap(), "content");
        assert_eq!(errno(stat(&f.fs, &f.path("file"))), libc::ENOENT);
        rename(&f.fs, &f.path("sub/deep"), &f.path("deep")).unwrap();
        assert!(f.path("deep").is_dir());
        let into_itself = rename(&f.fs, &f.path("sub"), &f.path("sub/x"));
        assert_eq!(errno(into_itself), libc::EINVAL);
    });
}

#[test]
fn rename_new_replaces_nothing() {
    both(|f| {
        for way in [rename_new, rename_without_the_kernel] {
            for (from, to) in [("file", "sub/inner"), ("sub", "file"), ("file", "sub")] {
                let renamed = way(&f.fs, &f.path(from), &f.path(to));
                assert_eq!(errno(renamed), libc::EEXIST, "{from} {to}");
            }
            assert_eq!(f.read("file").unwrap(), "content");
            assert_eq!(f.read("sub/inner").unwrap(), "inner");
            for (from, to) in [
                ("file", "file"),
                ("sub", "sub"),
                ("file", "sub/new"),
                ("sub/new", "file"),
                ("sub", "moved"),
                ("moved", "sub"),
            ] {
                way(&f.fs, &f.path(from), &f.path(to)).unwrap();
            }
            assert_eq!(f.read("file").unwrap(), "content");
            let into_itself = way(&f.fs, &f.path("sub"), &f.path("sub/x"));
            assert_eq!(errno(into_itself), libc::EINVAL);
            let missing = way(&f.fs, &f.path("none"), &f.path("x"));
            assert_eq!(errno(missing), libc::ENOENT);
            // Hard links are two entries of one file.
            fs::hard_link(f.path("file"), f.path("hard")).unwrap();
            let renamed = way(&f.fs, &f.path("file"), &f.path("hard"));
            assert_eq!(errno(renamed), libc::EEXIST);
            fs::remove_file(f.path("hard")).unwrap();
        }
    });
}

fn rename_without_the_kernel(fs: &FSState, src: &Path, dst: &Path) -> Result<(), FSError> {
    fs.on_way(|way| rename_carefully(way, src, dst))
}

#[test]
fn names_are_bytes_without_nul() {
    both(|f| {
        let name = OsStr::from_bytes(b"caf\xe9 \xff\n");
        let path = f.path("sub").join(name);
        drop(open(&f.fs, &path, OpenMode::Write).unwrap());
        let mut dir = listdir(&f.fs, &f.path("sub")).unwrap();
        assert!(std::iter::from_fn(|| dir.next_name()).any(|entry| entry.unwrap() == name));
        remove(&f.fs, &path).unwrap();
        for rel in ["a\0b", "sub/a\0", "\0", "file\0/x"] {
            let path = f.path(rel);
            let file = f.path("file");
            assert!(!validpath(&f.fs, &path));
            for err in [
                open(&f.fs, &path, OpenMode::Write).err(),
                stat(&f.fs, &path).err(),
                lstat(&f.fs, &path).err(),
                remove(&f.fs, &path).err(),
                rename(&f.fs, &file, &path).err(),
                rename(&f.fs, &path, &file).err(),
                mkdir(&f.fs, &path).err(),
                rmdir(&f.fs, &path).err(),
                listdir(&f.fs, &path).err(),
                chmod(&f.fs, &path, 0).err(),
                utime(&f.fs, &path, 0).err(),
                readlink(&f.fs, &path).err(),
                check_directory(&f.fs, &path).err(),
                mkstemp(&f.fs, &f.path(""), OsStr::new(rel)).err(),
                mkstemp(&f.fs, &path, OsStr::new("x")).err(),
            ] {
                assert!(matches!(err, Some(FSError::Filesystem(_))));
            }
            let _ = realpath(&f.fs, &path);
        }
    });
}
