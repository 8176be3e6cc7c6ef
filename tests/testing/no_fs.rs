//! File systems that are not on the disk: what they have forgotten is refused.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use ftpdlib::FSError;
use ftpdlib::filesystems::{
    AbstractedFS, FSDir, FSState, LocalFS, NameList, NoFS, OpenMode, Stat, UnixFilesystem,
};
use ftpdlib::proto::encoding::{Encoding, UnicodeErrors};
use ftpdlib::proto::listing::{ListEntry, ListingStyle, MlsxFacts};

use crate::place::place;

/// Has forgotten everything.
struct Forgetful;

impl AbstractedFS for Forgetful {
    fn inner(&self) -> &dyn AbstractedFS {
        &NoFS
    }
}

/// A directory with things that operations could reach: a file, a link to it, and a directory.
fn tree() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().canonicalize().unwrap();
    fs::write(root.join("file"), "hello").unwrap();
    fs::create_dir(root.join("dir")).unwrap();
    std::os::unix::fs::symlink("file", root.join("link")).unwrap();
    (dir, root)
}

/// What a directory and its file look like, with their times.
fn look(root: &Path) -> String {
    let mut all = Vec::new();
    for entry in fs::read_dir(root).unwrap() {
        let entry = entry.unwrap();
        let data = entry.metadata().unwrap();
        all.push(format!("{:?} {data:?}", entry.file_name()));
    }
    all.sort();
    all.join("\n")
}

/// Calls each method of a file system with these paths, and returns for each whether it has said
/// anything about the disk.
fn walk(fs: &dyn AbstractedFS, root: &Path, path: &Path) -> Vec<(&'static str, bool)> {
    let mut state = FSState::new(root, "/".into());
    let new = root.join("new");
    let name = path.file_name().unwrap_or_default();
    let real = |result: Result<(), FSError>| result.is_ok();
    let mut walked = vec![
        ("inner", fs.inner().stat(&state, path).is_ok()),
        ("initial_cwd", fs.initial_cwd(root) != "/"),
        (
            "ftpnorm",
            fs.ftpnorm(&state, name) != *Path::new("/").join(name),
        ),
        ("ftp2fs", fs.ftp2fs(&state, name) != path),
        (
            "fs2ftp",
            fs.fs2ftp(&state, path) != *Path::new("/").join(name),
        ),
        ("validpath", !fs.validpath(&state, path)),
        ("is_stock", fs.is_stock()),
        ("hold", fs.hold(&state, path).is_ok()),
        ("stat", fs.stat(&state, path).is_ok()),
        ("lstat", fs.lstat(&state, path).is_ok()),
        ("free_space", fs.free_space(&state, path).is_ok()),
        ("readlink", fs.readlink(&state, path).is_ok()),
        ("isfile", fs.isfile(&state, path)),
        ("islink", fs.islink(&state, path)),
        ("isdir", fs.isdir(&state, path)),
        ("getsize", fs.getsize(&state, path).is_ok()),
        ("getmtime", fs.getmtime(&state, path).is_ok()),
        ("realpath", fs.realpath(&state, path) != path),
        ("lexists", fs.lexists(&state, path)),
        ("get_user_by_uid", fs.get_user_by_uid(0) != "0"),
        ("get_group_by_gid", fs.get_group_by_gid(0) != "0"),
        ("listdir", fs.listdir(&state, path).is_ok()),
        ("chdir", real(fs.chdir(&mut state, path))),
        (
            "mkstemp",
            fs.mkstemp(&state, root, OsStr::new("new.")).is_ok(),
        ),
        ("mkdir", real(fs.mkdir(&state, &new))),
        ("chmod", real(fs.chmod(&state, path, 0o777))),
        ("utime", real(fs.utime(&state, path, 1))),
        ("rename_new", real(fs.rename_new(&state, path, &new))),
        ("rename", real(fs.rename(&state, path, &new))),
        ("remove", real(fs.remove(&state, path))),
        ("rmdir", real(fs.rmdir(&state, path))),
    ];
    use OpenMode::{Append, Read, Update, Write};
    let opens = |mode| fs.open(&state, path, mode).is_ok() || fs.open(&state, &new, mode).is_ok();
    walked.push(("open", [Read, Write, Append, Update].into_iter().any(opens)));
    let entry = ListEntry {
        name: OsStr::new("x"),
        stat: &Stat::file(1, 0),
        target: None,
    };
    let mut style = ListingStyle::new(Encoding::UTF_8, UnicodeErrors::Replace, true, 0);
    let mut line = Vec::new();
    fs.format_list(&mut style, &entry, &mut line);
    let has_owner = String::from_utf8_lossy(&line).contains("root");
    walked.push(("format_list", has_owner));
    fs.format_mlsx(&mut style, &MlsxFacts::default(), &entry, &mut line);
    walked.push(("format_mlsx", false));
    walked
}

/// The names of all methods of the trait.
fn methods() -> BTreeSet<&'static str> {
    let source = include_str!("../../src/filesystems/abstracted.rs");
    let (_, body) = source.split_once("pub trait AbstractedFS").unwrap();
    let (body, _) = body.split_once("\n}\n").unwrap();
    let names = body.lines().filter_map(|line| {
        let name = line.strip_prefix("    fn ")?;
        name.split(['(', '<']).next()
    });
    names.collect()
}

#[test]
fn what_a_file_system_has_forgotten_never_reaches_the_disk() {
    for name in ["file", "dir", "link"] {
        let (_dir, root) = tree();
        let before = look(&root);
        for fs in [&Forgetful as &dyn AbstractedFS, &NoFS] {
            let walked = walk(fs, &root, &root.join(name));
            let says: Vec<_> = walked.iter().filter(|(_, says)| *says).collect();
            assert!(says.is_empty(), "{name}: {says:?}");
            assert_eq!(look(&root), before, "{name}");
            let names: BTreeSet<_> = walked.iter().map(|(method, _)| *method).collect();
            assert_eq!(names, methods());
            let state = FSState::new(&root, "/".into());
            assert!(!fs.validpath(&state, &root.join("../x")));
            assert!(!fs.validpath(&state, Path::new("/etc/passwd")));
        }
    }
}

/// The same walk does find the disk in the stock file systems, by each method that can.
#[test]
fn the_walk_finds_the_disk_where_it_is() {
    let (_dir, root) = tree();
    let walked = walk(&LocalFS, &root, &root.join("file"));
    let says = |method: &str| walked.iter().any(|(name, says)| *name == method && *says);
    for method in [
        "stat",
        "open",
        "mkdir",
        "remove",
        "hold",
        "free_space",
        "get_user_by_uid",
    ] {
        assert!(says(method), "{method}");
    }
    let walked = walk(&UnixFilesystem, &root, &root.join("dir"));
    assert!(walked.contains(&("listdir", true)));
}

/// What follows from other methods follows from those of the type, not from those of `inner`.
#[test]
fn questions_are_answered_by_the_methods_that_are_there() {
    struct One;
    impl AbstractedFS for One {
        fn inner(&self) -> &dyn AbstractedFS {
            &NoFS
        }

        fn stat(&self, _: &FSState, path: &Path) -> Result<Stat, FSError> {
            match path.ends_with("one") {
                true => Ok(Stat::file(7, 9)),
                false => Err(FSError::not_found()),
            }
        }

        fn lstat(&self, fs: &FSState, path: &Path) -> Result<Stat, FSError> {
            self.stat(fs, path)
        }
    }
    let (_dir, root) = tree();
    let state = FSState::new(&root, "/".into());
    let (one, file) = (root.join("one"), root.join("file"));
    assert!(One.isfile(&state, &one) && !One.isfile(&state, &file));
    assert!(One.lexists(&state, &one) && !One.lexists(&state, &file));
    assert_eq!(One.getsize(&state, &one).unwrap(), 7);
    assert_eq!(One.getmtime(&state, &one).unwrap(), 9);
    assert_eq!(One.hold(&state, &one).unwrap().path(), one);
    assert!(One.hold(&state, &file).is_err());
}

/// A file system that wraps another one has its paths, too.
#[test]
fn a_wrapper_asks_what_it_wraps() {
    struct Wrapper(UnixFilesystem);
    impl AbstractedFS for Wrapper {
        fn inner(&self) -> &dyn AbstractedFS {
            &self.0
        }
    }
    let (_dir, root) = tree();
    let mut place = place();
    place.config.set_abstracted_fs(Wrapper(UnixFilesystem));
    let mut session = place.login();
    let path = root.to_str().unwrap();
    assert_eq!(session.command(&format!("CWD {path}")).code(), 250);
    session.command("TYPE I");
    assert_eq!(session.retr("file").unwrap(), b"hello");
    assert!(session.command("PWD").text().contains(path));
}

#[test]
fn sessions_are_refused_what_is_forgotten() {
    let mut place = place();
    place.write("file", b"hello");
    place.config.set_abstracted_fs(Forgetful);
    let mut session = place.login();
    session.command("TYPE I");
    assert_eq!(session.retr("file").unwrap_err(), "550 Not supported.");
    assert_eq!(session.stor("new", b"x"), "550 Not supported.");
    for command in [
        "CWD /",
        "MKD new",
        "RMD file",
        "DELE file",
        "RNFR file",
        "SIZE file",
        "MDTM file",
        "MLST file",
        "STAT file",
        "SITE CHMOD 777 file",
        "MFMT 20200101000000 file",
    ] {
        assert_eq!(session.command(command).code(), 550, "{command}");
    }
    assert_eq!(session.command("STOU").code(), 450);
    assert_eq!(place.read("file"), b"hello");
}

#[test]
fn a_list_of_names_knows_its_entries() {
    let mut dir = NameList::new([("b", Stat::file(2, 0)), ("a", Stat::dir(0))]);
    let names: Vec<_> = std::iter::from_fn(|| dir.next_name()).collect();
    let names: Vec<_> = names.into_iter().map(Result::unwrap).collect();
    assert_eq!(names, ["a", "b"]);
    assert_eq!(dir.lstat(OsStr::new("b")).unwrap().size, 2);
    assert!(dir.stat(OsStr::new("..")).is_err());
    assert!(dir.readlink(OsStr::new("a")).is_err());
}
