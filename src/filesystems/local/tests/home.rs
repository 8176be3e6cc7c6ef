//! The root directory itself.

use std::fs;
use std::os::unix::fs::symlink;
use std::sync::Arc;

use super::fixture::{Fixture, both, errno, names};
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
    assert!(Arc::ptr_eq(one.home().unwrap(), two.home().unwrap()));
    fs::rename(&root, top.path().join("old")).unwrap();
    assert_eq!(errno(stat(&state(), &root)), libc::ENOENT);
    fs::create_dir(&root).unwrap();
    fs::write(root.join("new"), "").unwrap();
    let three = state();
    stat(&three, &root.join("new")).unwrap();
    assert!(!Arc::ptr_eq(one.home().unwrap(), three.home().unwrap()));
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
