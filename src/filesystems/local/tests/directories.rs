//! Directories: made, removed, entered and listed.

use std::ffi::OsStr;
use std::fs;
use std::path::Path;

use super::fixture::{assert_outside, both, errno, names};
use crate::filesystems::local::stock::*;

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
