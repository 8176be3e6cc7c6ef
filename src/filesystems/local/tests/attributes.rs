//! Attributes of files, and the names of their owners.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};

use super::fixture::{both, errno};
use crate::filesystems::local::stock::*;

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
fn owners_without_a_name_are_numbers() {
    assert_eq!(user_by_uid(0), "root");
    assert_eq!(user_by_uid(3_999_999_999), "3999999999");
    assert_eq!(group_by_gid(3_999_999_999), "3999999999");
}
