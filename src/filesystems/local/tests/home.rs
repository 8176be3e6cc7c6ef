//! The root directory itself.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::Arc;

use super::fixture::{Fixture, both, errno, names};
use crate::error::FSError;
use crate::filesystems::file::OpenMode;
use crate::filesystems::jail::resolve::Resolver;
use crate::filesystems::local::stock::*;
use crate::filesystems::state::FSState;

#[test]
fn openat2_is_used_where_there_is_one() {
    let fixture = Fixture::new(Resolver::Beneath);
    let home = format!("{:?}", fixture.fs.home().unwrap());
    // On an old kernel, or under a filter, it is the walk.
    assert!(home.contains("Beneath") || home.contains("Walk"));
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
fn homes_are_shared_and_noticed_when_made_anew() {
    let top = tempfile::tempdir().unwrap();
    let root = top.path().join("home");
    fs::create_dir(&root).unwrap();
    let state = || FSState::new(&root, "/".into());
    let (one, two) = (state(), state());
    assert!(Arc::ptr_eq(&one.home().unwrap(), &two.home().unwrap()));
    fs::rename(&root, top.path().join("old")).unwrap();
    assert_eq!(errno(stat(&state(), &root)), libc::ENOENT);
    fs::create_dir(&root).unwrap();
    fs::write(root.join("new"), "").unwrap();
    let three = state();
    stat(&three, &root.join("new")).unwrap();
    assert!(!Arc::ptr_eq(&one.home().unwrap(), &three.home().unwrap()));
}

/// The first operation after the root was removed and made again, whichever it is.
#[test]
fn a_root_that_is_made_again_is_opened_again() {
    type Operation = fn(&FSState, &Path) -> Result<(), FSError>;
    let operations: [Operation; 13] = [
        |fs, root| stat(fs, root).map(drop),
        |fs, root| lstat(fs, root).map(drop),
        |fs, root| listdir(fs, root).map(drop),
        check_directory,
        |fs, root| chmod(fs, root, 0o700),
        |fs, root| utime(fs, root, 1),
        |fs, root| stat(fs, &root.join("file")).map(drop),
        |fs, root| open(fs, &root.join("file"), OpenMode::Read).map(drop),
        |fs, root| open(fs, &root.join("new"), OpenMode::Write).map(drop),
        |fs, root| mkstemp(fs, root, "x".as_ref()).map(drop),
        |fs, root| mkdir(fs, &root.join("new")),
        |fs, root| remove(fs, &root.join("file")),
        |fs, root| rename(fs, &root.join("file"), &root.join("new")),
    ];
    let top = tempfile::tempdir().unwrap();
    let root = top.path().join("home");
    let make = || {
        fs::create_dir(&root).unwrap();
        fs::write(root.join("file"), "x").unwrap();
    };
    for (i, operation) in operations.into_iter().enumerate() {
        make();
        let fs = FSState::new(&root, "/".into());
        stat(&fs, &root).unwrap();
        fs::remove_dir_all(&root).unwrap();
        assert_eq!(errno(operation(&fs, &root)), libc::ENOENT, "{i}");
        make();
        operation(&fs, &root).unwrap_or_else(|err| panic!("{i}: {err}"));
        stat(&fs, &root).unwrap();
        fs::remove_dir_all(&root).unwrap();
    }
}

/// Somebody who may rename the root gets no session out of it: a root that still exists stays the
/// root, whatever has its path now.
#[test]
fn a_root_that_is_renamed_stays_the_root() {
    let top = tempfile::tempdir().unwrap();
    let (root, old) = (top.path().join("home"), top.path().join("old"));
    fs::create_dir(&root).unwrap();
    fs::write(root.join("file"), "x").unwrap();
    let fs = FSState::new(&root, "/".into());
    stat(&fs, &root).unwrap();
    fs::rename(&root, &old).unwrap();
    symlink("/etc", &root).unwrap();
    assert_eq!(errno(stat(&fs, &root.join("passwd"))), libc::ENOENT);
    assert!(stat(&fs, &root.join("file")).is_ok());
    mkdir(&fs, &root.join("dir")).unwrap();
    assert!(old.join("dir").is_dir());
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
