//! Each test runs over both ways of looking paths up.

use std::ffi::OsStr;
use std::fs;
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::resolve::Resolver;
use super::*;
use crate::filesystems::UnixFilesystem;

/// A home `top/home`, next to it `top/outside/secret`.
struct Fixture {
    top: TempDir,
    fs: FSState,
}

impl Fixture {
    fn new(resolver: Resolver) -> Self {
        let top = tempfile::tempdir().unwrap();
        let home = top.path().join("home");
        fs::create_dir_all(home.join("sub/deep")).unwrap();
        fs::create_dir(top.path().join("outside")).unwrap();
        fs::write(top.path().join("outside/secret"), "secret").unwrap();
        fs::write(home.join("file"), "content").unwrap();
        fs::write(home.join("sub/inner"), "inner").unwrap();
        let state = FSState::new(&home, "/".into());
        let opened = Arc::new(Home::open(&home, resolver).unwrap());
        assert!(state.home.set(opened).is_ok());
        Self { top, fs: state }
    }

    fn path(&self, rel: &str) -> PathBuf {
        self.fs.root().join(rel)
    }

    fn outside(&self, rel: &str) -> PathBuf {
        self.top.path().join("outside").join(rel)
    }

    fn link(&self, target: impl AsRef<Path>, rel: &str) {
        symlink(target, self.path(rel)).unwrap();
    }

    fn read(&self, rel: &str) -> Result<String, FSError> {
        let mut text = String::new();
        open(&self.fs, &self.path(rel), OpenMode::Read)?
            .read_to_string(&mut text)
            .unwrap();
        Ok(text)
    }
}

fn both(test: impl Fn(&Fixture)) {
    for resolver in [Resolver::Beneath, Resolver::Walk] {
        test(&Fixture::new(resolver));
    }
}

#[track_caller]
fn errno<T>(result: Result<T, FSError>) -> i32 {
    match result {
        Err(err) => err.raw_os_error().expect("an error of the system"),
        Ok(_) => panic!("it worked"),
    }
}

#[track_caller]
fn assert_outside<T>(result: Result<T, FSError>) {
    assert!(matches!(result, Err(FSError::Outside)));
}

fn names(fs: &FSState, path: &Path) -> Vec<String> {
    let mut dir = listdir(fs, path).unwrap();
    let mut names: Vec<String> = std::iter::from_fn(|| dir.next_name())
        .map(|name| name.unwrap().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

/// Ends the other thread of a race also when an assertion fails.
struct StopOnDrop<'a>(&'a AtomicBool);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn openat2_is_used_where_there_is_one() {
    let fixture = Fixture::new(Resolver::Beneath);
    let home = format!("{:?}", fixture.fs.home.get().unwrap());
    // Old kernels and filters make it the walk, and nothing else.
    assert!(home.contains("Beneath") || home.contains("Walk"));
}

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
fn links_inside_work() {
    both(|f| {
        f.link("file", "relative");
        f.link(f.path("file"), "absolute");
        f.link("sub", "dir");
        f.link(f.path("sub"), "absdir");
        f.link("../file", "sub/up");
        f.link("../../file", "sub/deep/up2");
        f.link("sub/./deep/../inner", "dots");
        // It leaves the root, and comes back.
        f.link("../home", "back");
        f.link("../..", "sub/above");
        for (path, text) in [
            ("relative", "content"),
            ("absolute", "content"),
            ("dir/inner", "inner"),
            ("absdir/inner", "inner"),
            ("absdir/up", "content"),
            ("sub/up", "content"),
            ("dir/deep/up2", "content"),
            ("dots", "inner"),
            ("back/file", "content"),
            ("back/back/absdir/inner", "inner"),
            ("sub/above/home/file", "content"),
        ] {
            assert_eq!(f.read(path).unwrap(), text, "{path}");
            let path = f.path(path);
            assert!(validpath(&f.fs, &path));
            assert_eq!(stat(&f.fs, &path).unwrap().size, text.len() as u64);
            assert!(stat(&f.fs, &path).unwrap().is_file());
        }
        assert!(lstat(&f.fs, &f.path("relative")).unwrap().is_symlink());
        assert_eq!(
            readlink(&f.fs, &f.path("sub/up")).unwrap(),
            Path::new("../file")
        );
        assert_eq!(errno(readlink(&f.fs, &f.path("file"))), libc::EINVAL);
        check_directory(&f.fs, &f.path("absdir")).unwrap();
        check_directory(&f.fs, &f.path("back")).unwrap();
        assert_eq!(names(&f.fs, &f.path("absdir/deep")), ["up2"]);
        mkdir(&f.fs, &f.path("absdir/made")).unwrap();
        rename(&f.fs, &f.path("sub/made"), &f.path("back/moved")).unwrap();
        rmdir(&f.fs, &f.path("moved")).unwrap();
        remove(&f.fs, &f.path("back/file")).unwrap();
        assert!(!f.path("file").exists());
        assert_eq!(realpath(&f.fs, &f.path("back/absdir/none")), {
            fs::canonicalize(f.path("sub")).unwrap().join("none")
        });
    });
}

#[test]
fn links_outside_do_not() {
    both(|f| {
        f.link(f.outside(""), "abs");
        f.link("../outside", "rel");
        f.link(f.outside("secret"), "file_link");
        f.link("../outside/new", "dangling");
        f.link("..", "above");
        for rel in ["abs/secret", "rel/secret", "above/outside/secret"] {
            let path = f.path(rel);
            assert!(!validpath(&f.fs, &path), "{rel}");
            assert_outside(f.read(rel));
            assert_outside(open(&f.fs, &path, OpenMode::Write));
            assert_outside(stat(&f.fs, &path));
            assert_outside(lstat(&f.fs, &path));
            assert_outside(chmod(&f.fs, &path, 0o777));
            assert_outside(utime(&f.fs, &path, 0));
            assert_outside(remove(&f.fs, &path));
            assert_outside(rename(&f.fs, &path, &f.path("stolen")));
            assert_outside(rename(&f.fs, &f.path("file"), &path));
        }
        for rel in ["abs", "rel", "above/outside"] {
            let path = f.path(rel);
            assert_outside(mkstemp(&f.fs, &path, OsStr::new("x.")));
            assert_outside(mkdir(&f.fs, &path.join("dir")));
            assert_outside(rmdir(&f.fs, &path.join("dir")));
            assert_outside(readlink(&f.fs, &path.join("link")));
            assert_outside(listdir(&f.fs, &path));
            assert_outside(check_directory(&f.fs, &path));
        }
        assert_outside(f.read("file_link"));
        assert_outside(open(&f.fs, &f.path("dangling"), OpenMode::Write));
        assert!(!validpath(&f.fs, &f.path("dangling")));
        assert_outside(rmdir(&f.fs, &f.path("above/home")));
        // The links themselves are inside.
        assert!(lstat(&f.fs, &f.path("file_link")).unwrap().is_symlink());
        rename(&f.fs, &f.path("file_link"), &f.path("renamed")).unwrap();
        remove(&f.fs, &f.path("renamed")).unwrap();
        assert_eq!(fs::read(f.outside("secret")).unwrap(), b"secret");
        assert_eq!(fs::read_dir(f.outside("")).unwrap().count(), 1);
    });
}

#[test]
fn paths_outside_are_refused() {
    both(|f| {
        for path in [f.outside("secret"), f.path("../outside/secret")] {
            assert_outside(open(&f.fs, &path, OpenMode::Read));
            assert_outside(remove(&f.fs, &path));
            assert_outside(stat(&f.fs, &path));
            assert!(!validpath(&f.fs, &path));
        }
        // A name that only starts as the root does.
        fs::write(f.top.path().join("homely"), "").unwrap();
        assert_outside(stat(&f.fs, &f.top.path().join("homely")));
        assert_outside(stat(&f.fs, Path::new("relative")));
        for name in ["..", "."] {
            assert!(remove(&f.fs, &f.path("sub").join(name)).is_err());
            assert!(rmdir(&f.fs, &f.path("").join(name)).is_err());
        }
        assert!(f.path("file").exists());
    });
}

#[test]
fn loops_and_dangling_links() {
    both(|f| {
        f.link("loop", "loop");
        f.link(f.path("abs2"), "abs1");
        f.link(f.path("abs1"), "abs2");
        f.link("sub/target", "dangling");
        f.link(f.path("sub/target2"), "absdangling");
        for rel in ["loop", "abs1", "abs1/file"] {
            let path = f.path(rel);
            assert_eq!(errno(f.read(rel)), libc::ELOOP, "{rel}");
            assert_eq!(errno(stat(&f.fs, &path)), libc::ELOOP);
            assert_eq!(errno(open(&f.fs, &path, OpenMode::Write)), libc::ELOOP);
            assert!(validpath(&f.fs, &path));
        }
        for (link, target) in [("dangling", "sub/target"), ("absdangling", "sub/target2")] {
            assert_eq!(errno(f.read(link)), libc::ENOENT);
            assert!(validpath(&f.fs, &f.path(link)));
            drop(open(&f.fs, &f.path(link), OpenMode::Append).unwrap());
            assert!(f.path(target).exists(), "{target} is made through its link");
        }
        // 40 links are followed, 41 are not.
        fs::write(f.path("l0"), "end").unwrap();
        for i in 1..=41 {
            f.link(format!("l{}", i - 1), &format!("l{i}"));
        }
        assert_eq!(f.read("l40").unwrap(), "end");
        assert_eq!(errno(f.read("l41")), libc::ELOOP);
    });
}

#[test]
fn the_root_itself_is_kept() {
    both(|f| {
        let root = f.path("");
        for root in [root.as_path(), f.fs.root()] {
            assert_eq!(errno(rmdir(&f.fs, root)), libc::EBUSY);
            assert_eq!(errno(remove(&f.fs, root)), libc::EISDIR);
            assert_eq!(errno(rename(&f.fs, root, &f.path("x"))), libc::EBUSY);
            assert_eq!(errno(rename(&f.fs, &f.path("sub"), root)), libc::EBUSY);
            assert_eq!(errno(mkdir(&f.fs, root)), libc::EEXIST);
            assert_eq!(errno(readlink(&f.fs, root)), libc::EINVAL);
        }
        let root = f.fs.root();
        assert!(stat(&f.fs, root).unwrap().is_dir());
        assert!(lstat(&f.fs, root).unwrap().is_dir());
        check_directory(&f.fs, root).unwrap();
        chmod(&f.fs, root, 0o711).unwrap();
        utime(&f.fs, root, 1_000_000_000).unwrap();
        let now = stat(&f.fs, root).unwrap();
        assert_eq!((now.mode & 0o7777, now.mtime), (0o711, 1_000_000_000));
        assert_eq!(names(&f.fs, root), ["file", "sub"]);
    });
}

#[test]
fn directories() {
    both(|f| {
        let dir = f.path("sub/made");
        mkdir(&f.fs, &dir).unwrap();
        assert_eq!(errno(mkdir(&f.fs, &dir)), libc::EEXIST);
        assert_eq!(errno(mkdir(&f.fs, &f.path("none/made"))), libc::ENOENT);
        assert_eq!(errno(remove(&f.fs, &dir)), libc::EISDIR);
        assert_eq!(errno(rmdir(&f.fs, &f.path("sub"))), libc::ENOTEMPTY);
        rmdir(&f.fs, &dir).unwrap();
        assert_eq!(errno(rmdir(&f.fs, &dir)), libc::ENOENT);
        assert_eq!(errno(rmdir(&f.fs, &f.path("file"))), libc::ENOTDIR);
        assert_eq!(
            errno(check_directory(&f.fs, &f.path("file"))),
            libc::ENOTDIR
        );
        assert_eq!(errno(check_directory(&f.fs, &f.path("none"))), libc::ENOENT);
        assert_eq!(errno(listdir(&f.fs, &f.path("file"))), libc::ENOTDIR);
        assert_eq!(errno(listdir(&f.fs, &f.path("none"))), libc::ENOENT);
    });
}

#[test]
fn attributes() {
    both(|f| {
        for rel in ["file", "sub/inner"] {
            let path = f.path(rel);
            chmod(&f.fs, &path, 0o4640).unwrap();
            utime(&f.fs, &path, -5).unwrap();
            let ours = stat(&f.fs, &path).unwrap();
            assert_eq!(ours, lstat(&f.fs, &path).unwrap());
            let std = fs::metadata(&path).unwrap();
            assert_eq!(ours.mode, std.permissions().mode());
            assert_eq!(ours.mode & 0o7777, 0o4640);
            assert_eq!((ours.mtime, std.atime()), (-5, -5));
            assert_eq!(
                (
                    ours.nlink, ours.uid, ours.gid, ours.size, ours.dev, ours.ino
                ),
                (
                    std.nlink(),
                    std.uid(),
                    std.gid(),
                    std.len(),
                    std.dev(),
                    std.ino()
                )
            );
        }
        f.link("file", "link");
        chmod(&f.fs, &f.path("link"), 0o600).unwrap();
        assert_eq!(stat(&f.fs, &f.path("file")).unwrap().mode & 0o7777, 0o600);
        utime(&f.fs, &f.path("link"), 77).unwrap();
        assert_eq!(stat(&f.fs, &f.path("file")).unwrap().mtime, 77);
        assert_ne!(lstat(&f.fs, &f.path("link")).unwrap().mtime, 77);
        assert_eq!(errno(chmod(&f.fs, &f.path("none"), 0o600)), libc::ENOENT);
        assert_eq!(errno(utime(&f.fs, &f.path("none"), 0)), libc::ENOENT);
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
fn listing_a_directory() {
    both(|f| {
        f.link("inner", "sub/in");
        f.link(f.path("file"), "sub/abs");
        f.link(f.outside("secret"), "sub/out");
        f.link("none", "sub/dangling");
        let dir = f.path("sub");
        let all = ["abs", "dangling", "deep", "in", "inner", "out"];
        assert_eq!(names(&f.fs, &dir), all);
        let list = listdir(&f.fs, &dir).unwrap();
        assert!(list.lstat(OsStr::new("inner")).unwrap().is_file());
        assert!(list.lstat(OsStr::new("in")).unwrap().is_symlink());
        assert_eq!(list.stat(OsStr::new("in")).unwrap().size, 5);
        assert_eq!(list.stat(OsStr::new("abs")).unwrap().size, 7);
        assert!(list.stat(OsStr::new("deep")).unwrap().is_dir());
        assert!(list.stat(OsStr::new(".")).unwrap().is_dir());
        assert_outside(list.stat(OsStr::new("out")));
        assert_eq!(errno(list.stat(OsStr::new("dangling"))), libc::ENOENT);
        assert_eq!(list.readlink(OsStr::new("in")).unwrap(), Path::new("inner"));
        for name in ["..", "../file", "/etc/passwd"] {
            assert_outside(list.lstat(OsStr::new(name)));
            assert_outside(list.stat(OsStr::new(name)));
            assert_outside(list.readlink(OsStr::new(name)));
        }
        assert!(list.lstat(OsStr::new("a\0b")).is_err());
    });
}

#[test]
fn large_directories_and_long_names() {
    both(|f| {
        let long = "n".repeat(240);
        let mut expected: Vec<String> = (0..500).map(|i| format!("{long}{i:03}")).collect();
        for name in &expected {
            fs::write(f.path("sub/deep").join(name), "").unwrap();
        }
        expected.sort();
        assert_eq!(names(&f.fs, &f.path("sub/deep")), expected);
        let too_long = f.path(&"n".repeat(300));
        assert_eq!(errno(stat(&f.fs, &too_long)), libc::ENAMETOOLONG);
        assert!(validpath(&f.fs, &too_long));
        assert!(validpath(&f.fs, &f.path(&"n/".repeat(4000))));
        f.link("x".repeat(1000), "longlink");
        let target = readlink(&f.fs, &f.path("longlink")).unwrap();
        assert_eq!(target.as_os_str().len(), 1000);
    });
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

/// Somebody swaps `swap` between a directory and a link to the outside, as fast
/// as it goes, while we work below it.
#[test]
fn nothing_outside_is_touched_in_a_race() {
    both(|f| {
        fs::create_dir(f.path("real")).unwrap();
        fs::write(f.path("real/secret"), "inside").unwrap();
        f.link(f.outside(""), "evil");
        f.link(f.path("real"), "absolute");
        let before = fs::metadata(f.outside("secret")).unwrap();
        let stop = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| {
                let swap = f.path("swap");
                while !stop.load(Ordering::Relaxed) {
                    for name in ["real", "evil", "absolute"] {
                        let _ = fs::rename(f.path(name), &swap);
                        thread::yield_now();
                        let _ = fs::rename(&swap, f.path(name));
                    }
                }
            });
            let _stop = StopOnDrop(&stop);
            work_below_swap(f, Instant::now() + Duration::from_millis(250));
        });
        let after = fs::metadata(f.outside("secret")).unwrap();
        assert_eq!(fs::read(f.outside("secret")).unwrap(), b"secret");
        assert_eq!(before.mtime(), after.mtime());
        assert_eq!(before.mode(), after.mode());
        assert_eq!(fs::read_dir(f.outside("")).unwrap().count(), 1);
    });
}

fn work_below_swap(f: &Fixture, end: Instant) {
    let secret = fs::metadata(f.outside("secret")).unwrap().ino();
    let file = f.path("swap/secret");
    let dir = f.path("swap/dir");
    let mut worked = 0;
    while Instant::now() < end {
        if let Ok(mut file) = open(&f.fs, &file, OpenMode::Read) {
            let mut text = String::new();
            file.read_to_string(&mut text).unwrap();
            assert_ne!(text, "secret");
            worked += 1;
        }
        for stat in [stat(&f.fs, &file), lstat(&f.fs, &file)]
            .into_iter()
            .flatten()
        {
            assert_ne!(stat.ino, secret);
        }
        if let Ok(mut file) = open(&f.fs, &file, OpenMode::Append) {
            file.write_all(b"+").unwrap();
        }
        let _ = open(&f.fs, &f.path("swap/new"), OpenMode::Write);
        let _ = chmod(&f.fs, &file, 0o777);
        let _ = utime(&f.fs, &file, 5);
        let _ = mkstemp(&f.fs, &f.path("swap"), OsStr::new("t"));
        let _ = mkdir(&f.fs, &dir);
        let _ = rmdir(&f.fs, &dir);
        let _ = rename(&f.fs, &file, &f.path("swap/renamed"));
        let _ = rename(&f.fs, &f.path("swap/renamed"), &file);
        let _ = remove(&f.fs, &f.path("swap/new"));
        if let Ok(mut list) = listdir(&f.fs, &f.path("swap")) {
            while let Some(Ok(name)) = list.next_name() {
                assert!(list.lstat(&name).is_err() || list.lstat(&name).unwrap().ino != secret);
            }
        }
    }
    assert!(worked > 0, "the race never let us win");
}

/// The kernel answers `EAGAIN` to a path with `..` whenever anything is renamed
/// anywhere meanwhile; that must not reach a client.
#[test]
fn renames_elsewhere_do_not_disturb() {
    both(|f| {
        // Forty times `..` in one look-up: hardly ever without a rename between.
        f.link("sub/.././winding", "winding");
        let stop = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| {
                let (one, two) = (f.outside("one"), f.outside("two"));
                fs::create_dir(&one).unwrap();
                while !stop.load(Ordering::Relaxed) {
                    fs::rename(&one, &two).unwrap();
                    fs::rename(&two, &one).unwrap();
                }
            });
            let _stop = StopOnDrop(&stop);
            for _ in 0..500 {
                assert_eq!(errno(stat(&f.fs, &f.path("winding"))), libc::ELOOP);
                assert_eq!(f.read("sub/../sub/inner").unwrap(), "inner");
            }
        });
    });
}

#[test]
fn homes_are_shared_and_noticed_when_made_anew() {
    let top = tempfile::tempdir().unwrap();
    let root = top.path().join("home");
    fs::create_dir(&root).unwrap();
    let state = || FSState::new(&root, "/".into());
    let (one, two) = (state(), state());
    assert!(Arc::ptr_eq(
        Home::of(&one).unwrap(),
        Home::of(&two).unwrap()
    ));
    fs::rename(&root, top.path().join("old")).unwrap();
    assert_eq!(errno(stat(&state(), &root)), libc::ENOENT);
    fs::create_dir(&root).unwrap();
    fs::write(root.join("new"), "").unwrap();
    let three = state();
    stat(&three, &root.join("new")).unwrap();
    assert!(!Arc::ptr_eq(
        Home::of(&one).unwrap(),
        Home::of(&three).unwrap()
    ));
}

#[test]
fn a_root_may_be_a_link() {
    let top = tempfile::tempdir().unwrap();
    fs::create_dir(top.path().join("real")).unwrap();
    fs::write(top.path().join("real/file"), "x").unwrap();
    let link = top.path().join("link");
    symlink("real", &link).unwrap();
    symlink(link.join("file"), link.join("through")).unwrap();
    let fs = FSState::new(&link, "/".into());
    assert!(stat(&fs, &link.join("file")).unwrap().is_file());
    assert!(stat(&fs, &link.join("through")).unwrap().is_file());
    assert!(stat(&fs, &top.path().join("real/file")).unwrap().is_file());
}

#[test]
fn unix_filesystem_has_no_jail() {
    let f = Fixture::new(Resolver::Beneath);
    let unix = UnixFilesystem::new();
    let root = f.fs.root();
    assert_eq!(unix.initial_cwd(root), root.as_os_str());
    let mut fs = FSState::new(root, unix.initial_cwd(root));
    f.link(f.outside("secret"), "out");
    assert_eq!(unix.stat(&fs, &f.path("out")).unwrap().size, 6);
    let path = unix.ftp2fs(&fs, OsStr::new("../outside/secret"));
    assert_eq!(path, f.outside("secret"));
    assert!(unix.validpath(&fs, &path));
    assert!(unix.open(&fs, &path, OpenMode::Read).is_ok());
    unix.chdir(&mut fs, &f.outside("")).unwrap();
    assert_eq!(unix.ftp2fs(&fs, OsStr::new("secret")), f.outside("secret"));
    assert_eq!(unix.fs2ftp(&fs, &path), path.as_os_str());
    unix.mkdir(&fs, &f.outside("dir")).unwrap();
    unix.rename(&fs, &f.outside("dir"), &f.path("dir")).unwrap();
    unix.rmdir(&fs, &f.path("dir")).unwrap();
    assert!(unix.stat(&fs, Path::new("/")).unwrap().is_dir());
    assert!(unix.isdir(&fs, Path::new("/tmp")));
    assert!(unix.rmdir(&fs, Path::new("/")).is_err());
}

#[test]
fn owners_without_a_name_are_numbers() {
    assert_eq!(user_by_uid(0), "root");
    assert_eq!(user_by_uid(3_999_999_999), "3999999999");
    assert_eq!(group_by_gid(3_999_999_999), "3999999999");
}

#[test]
fn the_state_of_a_session_is_small() {
    assert!(size_of::<FSState>() <= 64);
}
