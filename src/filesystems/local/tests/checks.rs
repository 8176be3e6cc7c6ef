//! Operations ask about the path of what they use.

use std::ffi::OsStr;
use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use super::fixture::{Fixture, StopOnDrop, both, errno};
use crate::error::FSError;
use crate::filesystems::file::OpenMode;
use crate::filesystems::local::stock::*;
use crate::filesystems::state::FSState;

/// What was asked.
type Asked = Arc<Mutex<Vec<PathBuf>>>;

/// From now on the operations ask about this path, and the answer is yes.
fn ask_about(fs: &mut FSState, path: &Path) -> Asked {
    let asked = Asked::default();
    let list = Arc::clone(&asked);
    fs.forget_checks();
    fs.add_check(path, move |real| {
        list.lock().unwrap().push(real.to_owned());
        true
    });
    asked
}

#[test]
fn the_question_is_about_the_real_path() {
    both(|f| {
        f.link("sub", "dir");
        f.link(f.path("sub"), "absolute");
        f.link("../home/sub", "back");
        f.link("deep/../inner", "sub/winding");
        f.link("sub/new", "dangling");
        let mut fs = f.state();
        for (rel, real) in [
            ("file", "file"),
            ("dir/inner", "sub/inner"),
            ("absolute/inner", "sub/inner"),
            ("back/deep/../inner", "sub/inner"),
            ("dir/winding", "sub/inner"),
            ("dangling", "sub/new"),
            ("dir/none", "sub/none"),
            ("dir", "sub"),
            ("sub/deep", "sub/deep"),
        ] {
            let path = f.path(rel);
            let asked = ask_about(&mut fs, &path);
            let _ = stat(&fs, &path);
            let _ = open(&fs, &path, OpenMode::Read);
            let _ = chmod(&fs, &path, 0o755);
            let _ = utime(&fs, &path, 7);
            let _ = listdir(&fs, &path);
            let _ = check_directory(&fs, &path);
            let mut asked = asked.lock().unwrap().clone();
            // An entry of the root is looked at by its name first.
            asked.retain(|asked| *asked != path || rel == real);
            assert!(asked.len() >= 6, "{rel}: {asked:?}");
            assert!(
                asked.iter().all(|asked| *asked == f.path(real)),
                "{rel}: {asked:?}"
            );
        }
        // Operations on a name do not follow it.
        for (rel, real) in [
            ("back/winding", "sub/winding"),
            ("dir", "dir"),
            ("dir/x", "sub/x"),
        ] {
            let path = f.path(rel);
            let asked = ask_about(&mut fs, &path);
            let _ = lstat(&fs, &path);
            let _ = readlink(&fs, &path);
            let _ = rmdir(&fs, &path);
            let _ = hold(&fs, &path);
            let _ = rename(&fs, &path, &f.path("none/x"));
            let asked = asked.lock().unwrap().clone();
            assert_eq!(asked, vec![f.path(real); 5], "{rel}");
        }
        // A new name in a directory.
        let asked = ask_about(&mut fs, &f.path("back/name.x"));
        drop(mkstemp(&fs, &f.path("back"), OsStr::new("name.")).unwrap());
        assert_eq!(*asked.lock().unwrap(), [f.path("sub/name.x")]);
    });
}

#[test]
fn nothing_is_done_if_the_answer_is_no() {
    both(|f| {
        f.link("sub", "dir");
        let mut fs = f.state();
        let before = fs::metadata(f.path("sub/inner")).unwrap();
        for rel in [
            "dir/inner",
            "sub/inner",
            "dir/deep",
            "dir/new",
            "file",
            "new",
            "dir",
        ] {
            let path = f.path(rel);
            fs.forget_checks();
            fs.add_check(&path, |_| false);
            for result in [
                open(&fs, &path, OpenMode::Read).map(drop),
                open(&fs, &path, OpenMode::Write).map(drop),
                open(&fs, &path, OpenMode::Append).map(drop),
                open(&fs, &path, OpenMode::Update).map(drop),
                stat(&fs, &path).map(drop),
                lstat(&fs, &path).map(drop),
                readlink(&fs, &path).map(drop),
                chmod(&fs, &path, 0),
                utime(&fs, &path, 0),
                mkdir(&fs, &path),
                rmdir(&fs, &path),
                remove(&fs, &path),
                hold(&fs, &path).map(drop),
                rename(&fs, &path, &f.path("stolen")),
                rename(&fs, &f.path("file"), &path),
                rename_new(&fs, &path, &f.path("stolen")),
                listdir(&fs, &path).map(drop),
                check_directory(&fs, &path),
                mkstemp(&fs, path.parent().unwrap(), OsStr::new("new")).map(drop),
            ] {
                assert!(
                    matches!(result, Err(FSError::NotPermitted)),
                    "{rel}: {result:?}"
                );
            }
        }
        let after = fs::metadata(f.path("sub/inner")).unwrap();
        assert_eq!(
            (before.mode(), before.ctime()),
            (after.mode(), after.ctime())
        );
        assert!(!f.path("sub/new").exists() && !f.path("stolen").exists());
        // The questions are about one path.
        assert!(stat(&fs, &f.path("sub/inner")).is_ok());
        assert!(fs.permits(&f.path("other"), &f.path("sub")));
        assert!(!fs.permits(&f.path("dir"), &f.path("sub")));
    });
}

#[test]
fn what_is_held_is_renamed_or_nothing() {
    both(|f| {
        let mut fs = f.state();
        for dir in ["one/l", "two/l"] {
            fs::create_dir_all(f.path(dir)).unwrap();
            fs::write(f.path(dir).join("name"), dir).unwrap();
        }
        let path = f.path("one/l/name");
        let held = Arc::new(hold(&fs, &path).unwrap());
        assert_eq!(held.path(), path);
        fs::rename(f.path("one"), f.path("away")).unwrap();
        fs::rename(f.path("two"), f.path("one")).unwrap();
        fs.set_held(Arc::clone(&held));
        fs.add_check(&path, |_| true);
        assert_eq!(errno(rename(&fs, &path, &f.path("stolen"))), libc::ENOENT);
        assert_eq!(
            errno(rename_new(&fs, &path, &f.path("stolen"))),
            libc::ENOENT
        );
        fs::rename(f.path("one"), f.path("two")).unwrap();
        fs::rename(f.path("away"), f.path("one")).unwrap();
        rename(&fs, &path, &f.path("stolen")).unwrap();
        assert_eq!(fs::read(f.path("stolen")).unwrap(), b"one/l");
        // In the home itself.
        let held = hold(&fs, &f.path("stolen")).unwrap();
        fs.set_held(Arc::new(held));
        rename(&fs, &f.path("stolen"), &f.path("again")).unwrap();
        assert_eq!(errno(hold(&fs, &f.path("none"))), libc::ENOENT);
        assert_eq!(errno(hold(&fs, &f.path(""))), libc::EBUSY);
    });
}

/// A thread makes `x/y` a directory and one with a link to `vault` in turns, as fast as it can,
/// while the test works below it.
#[test]
fn nothing_protected_is_touched_in_a_race() {
    both(|f| {
        fs::create_dir_all(f.path("vault")).unwrap();
        fs::write(f.path("vault/secret"), "protected").unwrap();
        fs::create_dir_all(f.path("x/real/l")).unwrap();
        fs::write(f.path("x/real/l/secret"), "public").unwrap();
        for (name, target) in [("relative", "../../vault"), ("back", "../../../home/vault")] {
            fs::create_dir_all(f.path("x").join(name)).unwrap();
            f.link(target, &format!("x/{name}/l"));
        }
        let before = fs::metadata(f.path("vault/secret")).unwrap();
        let stop = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| {
                let swap = f.path("x/y");
                while !stop.load(Ordering::Relaxed) {
                    for name in ["real", "relative", "back"] {
                        let _ = fs::rename(f.path("x").join(name), &swap);
                        thread::yield_now();
                        let _ = fs::rename(&swap, f.path("x").join(name));
                    }
                }
            });
            let _stop = StopOnDrop(&stop);
            work_in_turns(f, Instant::now() + Duration::from_millis(500));
        });
        let after = fs::metadata(f.path("vault/secret")).unwrap();
        assert_eq!(fs::read(f.path("vault/secret")).unwrap(), b"protected");
        assert_eq!(before.mtime(), after.mtime());
        assert_eq!(before.mode(), after.mode());
        assert_eq!(fs::read_dir(f.path("vault")).unwrap().count(), 1);
    });
}

/// Works at `x/y/l`, where only what is below `vault` is refused.
fn work_in_turns(f: &Fixture, end: Instant) {
    let secret = fs::metadata(f.path("vault/secret")).unwrap().ino();
    let (dir, file) = (f.path("x/y/l"), f.path("x/y/l/secret"));
    let mut fs = f.state();
    let vault = f.path("vault");
    let (mut public, mut refused) = (0, 0);
    let about = |fs: &mut FSState, paths: &[&Path]| {
        fs.forget_checks();
        for path in paths {
            let vault = vault.clone();
            fs.add_check(path, move |real| !real.starts_with(&vault));
        }
    };
    let latest = end + Duration::from_secs(20);
    while Instant::now()
        < if public > 0 && refused > 0 {
            end
        } else {
            latest
        }
    {
        about(&mut fs, &[&file]);
        match open(&fs, &file, OpenMode::Read) {
            Ok(mut opened) => {
                let mut text = String::new();
                opened.read_to_string(&mut text).unwrap();
                assert!(!text.contains("protected"));
                public += 1;
            }
            Err(FSError::NotPermitted) => refused += 1,
            Err(_) => {}
        }
        for stat in [stat(&fs, &file), lstat(&fs, &file)].into_iter().flatten() {
            assert_ne!(stat.ino, secret);
        }
        if let Ok(mut file) = open(&fs, &file, OpenMode::Append) {
            file.write_all(b"+").unwrap();
        }
        let _ = chmod(&fs, &file, 0o777);
        let _ = utime(&fs, &file, 5);
        let _ = mkstemp(&fs, &dir, OsStr::new("t"));
        let renamed = dir.join("renamed");
        about(&mut fs, &[&file, &renamed]);
        if let Ok(held) = hold(&fs, &file) {
            fs.set_held(Arc::new(held));
        }
        let _ = rename(&fs, &file, &renamed);
        fs.forget_checks();
        about(&mut fs, &[&file, &renamed]);
        let _ = rename(&fs, &renamed, &file);
        let _ = open(&fs, &file, OpenMode::Write);
        let new = dir.join("new");
        about(&mut fs, &[&new]);
        let _ = mkdir(&fs, &new);
        let _ = rmdir(&fs, &new);
        let _ = open(&fs, &new, OpenMode::Write);
        let _ = remove(&fs, &new);
        about(&mut fs, &[&dir]);
        let _ = check_directory(&fs, &dir);
        if let Ok(mut list) = listdir(&fs, &dir) {
            while let Some(Ok(name)) = list.next_name() {
                assert!(list.lstat(&name).is_err() || list.lstat(&name).unwrap().ino != secret);
            }
        }
    }
    assert!(
        public > 0 && refused > 0,
        "the race has tested nothing: {public} files, {refused} refusals"
    );
}
