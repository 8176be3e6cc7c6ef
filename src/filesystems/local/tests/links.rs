//! Symbolic links, and paths that lead outside.

use std::ffi::OsStr;
use std::fs;
use std::path::Path;

use super::fixture::{assert_outside, both, errno, names};
use crate::filesystems::file::OpenMode;
use crate::filesystems::local::stock::*;

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
        // These leave the root and come back.
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
        // A name of which the root is a prefix, but not a parent.
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
