//! Renames by another program while the server works.

use std::ffi::OsStr;
use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::MetadataExt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::fixture::{Fixture, StopOnDrop, both, errno};
use crate::filesystems::file::OpenMode;
use crate::filesystems::jail::resolve::Resolver;
use crate::filesystems::local::stock::*;
use crate::filesystems::names::NameRules;
use crate::filesystems::state::FSState;

/// A thread makes `swap` a directory, a link to the outside and an absolute link in turns, as
/// fast as it can, while the test works below `swap`.
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
    // On a busy machine the first read may take a while.
    let latest = end + Duration::from_secs(20);
    while Instant::now() < if worked > 0 { end } else { latest } {
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
    assert!(
        worked > 0,
        "no read has succeeded, so that the race has tested nothing"
    );
}

/// A thread makes `swap` a directory and a link to a hidden one in turns, as fast as it can, while
/// the test reads below `swap`.
#[test]
fn nothing_hidden_is_read_in_a_race() {
    let f = Fixture::new(Resolver::Beneath);
    let rules = NameRules::new(&[], &["hidden".to_owned()]);
    let state = FSState::new(f.fs.root(), "/".into()).with_rules(rules);
    for (dir, text) in [("real", "shown"), ("hidden", "secret")] {
        fs::create_dir(f.path(dir)).unwrap();
        fs::write(f.path(dir).join("file"), text).unwrap();
    }
    f.link("hidden", "evil");
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            let swap = f.path("swap");
            while !stop.load(Ordering::Relaxed) {
                for name in ["real", "evil"] {
                    let _ = fs::rename(f.path(name), &swap);
                    thread::yield_now();
                    let _ = fs::rename(&swap, f.path(name));
                }
            }
        });
        let _stop = StopOnDrop(&stop);
        let mut worked = 0;
        let start = Instant::now();
        // On a busy machine the first read may take a while.
        while start.elapsed() < Duration::from_secs(if worked > 0 { 1 } else { 20 }) {
            if let Ok(mut file) = open(&state, &f.path("swap/file"), OpenMode::Read) {
                let mut text = String::new();
                file.read_to_string(&mut text).unwrap();
                assert_eq!(text, "shown");
                worked += 1;
            }
            let made = f.path("swap/new");
            let _ = open(&state, &made, OpenMode::Write);
            let _ = mkdir(&state, &f.path("swap/dir"));
        }
        assert!(worked > 0, "no read has succeeded");
    });
    assert_eq!(fs::read_dir(f.path("hidden")).unwrap().count(), 1);
}

/// The kernel returns `EAGAIN` for a path with `..` if anything on the machine is renamed
/// meanwhile. That error must not reach a client.
#[test]
fn renames_elsewhere_do_not_disturb() {
    both(|f| {
        // One look-up passes forty `..`: a rename almost always happens meanwhile.
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
