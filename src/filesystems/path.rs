//! Paths as text: FTP paths, real paths, and the conversion between them.
//!
//! All functions depend on their arguments only. None of them asks the system, so none
//! blocks, and a link is a name like any other. Names are bytes, not necessarily UTF-8.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

/// Makes an FTP path absolute and normal, as pyftpdlib's `ftpnorm()`. A relative path starts
/// at `cwd`.
///
/// The result starts with one `/` and holds no empty, `.` or `..` part. If `cwd` is not
/// absolute, a relative path becomes `/`.
///
/// ```
/// # use std::ffi::OsStr;
/// use ftpdlib::filesystems::path::ftpnorm;
/// assert_eq!(ftpnorm(OsStr::new("/foo"), OsStr::new("bar")), "/foo/bar");
/// assert_eq!(ftpnorm(OsStr::new("/foo"), OsStr::new("../../bar/")), "/bar");
/// ```
#[must_use]
pub fn ftpnorm(cwd: &OsStr, path: &OsStr) -> OsString {
    let (cwd, path) = (cwd.as_bytes(), path.as_bytes());
    let mut normal = Vec::with_capacity(cwd.len() + path.len() + 2);
    if !path.starts_with(b"/") {
        if !cwd.starts_with(b"/") {
            return OsString::from("/");
        }
        push_parts(&mut normal, cwd);
    }
    push_parts(&mut normal, path);
    if normal.is_empty() {
        normal.push(b'/');
    }
    OsString::from_vec(normal)
}

/// The real path of an FTP path, as pyftpdlib's `ftp2fs()`.
///
/// A relative `path` starts at `/`. The result is always `root`, made normal, or a path below
/// it.
///
/// ```
/// # use std::ffi::OsStr;
/// # use std::path::Path;
/// use ftpdlib::filesystems::path::ftp2fs;
/// let root = Path::new("/home/user");
/// assert_eq!(ftp2fs(root, OsStr::new("/foo")), Path::new("/home/user/foo"));
/// assert_eq!(ftp2fs(root, OsStr::new("/foo/../..")), root);
/// ```
#[must_use]
pub fn ftp2fs(root: &Path, path: &OsStr) -> PathBuf {
    let path = ftpnorm(OsStr::new("/"), path);
    let mut real = normpath(root.as_os_str().as_bytes());
    if path != "/" {
        if real == b"/" {
            real.clear();
        }
        real.extend_from_slice(path.as_bytes());
    }
    PathBuf::from(OsString::from_vec(real))
}

/// The FTP path of a real path, as pyftpdlib's `fs2ftp()`; `/` if `path` is not below `root`.
/// A relative `path` starts at `root`. Unlike pyftpdlib, it does not follow links.
#[must_use]
pub fn fs2ftp(root: &Path, path: &Path) -> OsString {
    let root = normpath(root.as_os_str().as_bytes());
    let path = path.as_os_str().as_bytes();
    let path = if path.starts_with(b"/") {
        normpath(path)
    } else {
        normpath(&[&root, b"/".as_slice(), path].concat())
    };
    match below(&root, &path) {
        // Below a relative root the rest may start with `..`: make it normal again.
        Some(rest) => ftpnorm(OsStr::new("/"), OsStr::from_bytes(rest)),
        None => OsString::from("/"),
    }
}

/// The part of `path` after `root`, without the `/` between them: empty for the root itself,
/// `None` for a path that is not below it. Both paths must be normal.
pub(crate) fn below<'a>(root: &[u8], path: &'a [u8]) -> Option<&'a [u8]> {
    if root == b"/" {
        return path.strip_prefix(b"/");
    }
    match path.strip_prefix(root)? {
        [] => Some(&[]),
        [b'/', rest @ ..] => Some(rest),
        _ => None,
    }
}

/// The path without `.`, `..`, `//` and a final `/`. Only a relative path may start with
/// `..`. As Python's `posixpath.normpath()`, except that `//` at the start becomes `/`.
pub(crate) fn normpath(path: &[u8]) -> Vec<u8> {
    if path.starts_with(b"/") {
        let mut normal = Vec::with_capacity(path.len());
        push_parts(&mut normal, path);
        if normal.is_empty() {
            normal.push(b'/');
        }
        return normal;
    }
    let mut parts: Vec<&[u8]> = Vec::new();
    for part in path.split(|&byte| byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." if parts.last().is_some_and(|last| *last != b"..") => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    if parts.is_empty() {
        parts.push(b".");
    }
    parts.join(&b'/')
}

/// Appends the parts of `path` to the absolute path `normal`, each after a `/`. A `..`
/// removes the last part; at the root it does nothing.
fn push_parts(normal: &mut Vec<u8>, path: &[u8]) {
    for part in path.split(|&byte| byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." => {
                let parent = memchr::memrchr(b'/', normal).unwrap_or(0);
                normal.truncate(parent);
            }
            part => {
                normal.push(b'/');
                normal.extend_from_slice(part);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn norm(cwd: &str, path: &str) -> String {
        ftpnorm(OsStr::new(cwd), OsStr::new(path))
            .into_string()
            .unwrap()
    }

    /// The rows of pyftpdlib's own test of `ftpnorm`.
    #[test]
    fn ftpnorm_as_pyftpdlib() {
        for (cwd, path, expected) in [
            ("/", "", "/"),
            ("/", "/", "/"),
            ("/", ".", "/"),
            ("/", "..", "/"),
            ("/", "a", "/a"),
            ("/", "/a", "/a"),
            ("/", "/a/", "/a"),
            ("/", "a/..", "/"),
            ("/", "a/b", "/a/b"),
            ("/", "a/b/..", "/a"),
            ("/", "a/b/../..", "/"),
            ("/sub", "", "/sub"),
            ("/sub", "/", "/"),
            ("/sub", ".", "/sub"),
            ("/sub", "..", "/"),
            ("/sub", "a", "/sub/a"),
            ("/sub", "a/..", "/sub"),
            ("/sub", "a/b/../../..", "/"),
            ("/sub", "//", "/"),
            ("/sub", "//a", "/a"),
            ("/sub", "///a//b/", "/a/b"),
            ("sub", "a", "/"),
            ("", "a", "/"),
            ("sub", "/a", "/a"),
        ] {
            assert_eq!(norm(cwd, path), expected, "{cwd:?} {path:?}");
        }
    }

    #[test]
    fn ftp2fs_and_back() {
        let to = |root: &str, path: &str| {
            ftp2fs(Path::new(root), OsStr::new(path))
                .into_os_string()
                .into_string()
                .unwrap()
        };
        assert_eq!(to("/home/user", "/"), "/home/user");
        assert_eq!(to("/home/user/", "/foo"), "/home/user/foo");
        assert_eq!(to("/home/user", "foo/../../.."), "/home/user");
        assert_eq!(to("/", "/"), "/");
        assert_eq!(to("/", "/foo"), "/foo");
        let back = |root: &str, path: &str| {
            fs2ftp(Path::new(root), Path::new(path))
                .into_string()
                .unwrap()
        };
        assert_eq!(back("/home/user", "/home/user/foo"), "/foo");
        assert_eq!(back("/home/user", "/home/user"), "/");
        assert_eq!(back("/home/user", "/home/user/"), "/");
        assert_eq!(back("/home/user", "/home/username"), "/");
        assert_eq!(back("/home/user", "/home"), "/");
        assert_eq!(back("/home/user", "/"), "/");
        assert_eq!(back("/home/user", "foo/./bar"), "/foo/bar");
        assert_eq!(back("/home/user", "../other"), "/");
        assert_eq!(back("/", "/etc/passwd"), "/etc/passwd");
    }

    /// A path made of special parts and of parts of any bytes.
    fn any_path() -> impl Strategy<Value = OsString> {
        let part = prop_oneof![
            Just(b"".to_vec()),
            Just(b".".to_vec()),
            Just(b"..".to_vec()),
            Just(b"a".to_vec()),
            Just(b"...".to_vec()),
            proptest::collection::vec(any::<u8>(), 0..4),
        ];
        (proptest::collection::vec(part, 0..8), any::<bool>()).prop_map(|(parts, absolute)| {
            let mut path = parts.join(&b'/');
            if absolute {
                path.insert(0, b'/');
            }
            OsString::from_vec(path)
        })
    }

    /// A simple model of `ftpnorm`: a stack of parts.
    fn model(cwd: &OsStr, path: &OsStr) -> OsString {
        let joined = if path.as_bytes().starts_with(b"/") {
            path.as_bytes().to_vec()
        } else if cwd.as_bytes().starts_with(b"/") {
            [cwd.as_bytes(), b"/", path.as_bytes()].concat()
        } else {
            return OsString::from("/");
        };
        let mut stack: Vec<Vec<u8>> = Vec::new();
        for part in joined.split(|byte| *byte == b'/') {
            if part == b".." {
                stack.pop();
            } else if !part.is_empty() && part != b"." {
                stack.push(part.to_vec());
            }
        }
        OsString::from_vec([b"/".to_vec(), stack.join(&b'/')].concat())
    }

    proptest! {
        #[test]
        fn ftpnorm_equals_the_model(cwd in any_path(), path in any_path()) {
            let normal = ftpnorm(&cwd, &path);
            prop_assert_eq!(&normal, &model(&cwd, &path));
            prop_assert_eq!(&ftpnorm(&cwd, &normal), &normal);
        }

        #[test]
        fn ftp2fs_never_leaves_the_root(root in any_path(), path in any_path()) {
            let root = PathBuf::from(OsString::from_vec(normpath(&[b"/", root.as_bytes()].concat())));
            let real = ftp2fs(&root, &path);
            prop_assert!(below(root.as_os_str().as_bytes(), real.as_os_str().as_bytes()).is_some());
            prop_assert_eq!(&normpath(real.as_os_str().as_bytes()), real.as_os_str().as_bytes());
            prop_assert_eq!(fs2ftp(&root, &real), ftpnorm(OsStr::new("/"), &path));
        }

        #[test]
        fn fs2ftp_is_always_normal(root in any_path(), path in any_path()) {
            let ftp = fs2ftp(Path::new(&root), Path::new(&path));
            prop_assert_eq!(&ftpnorm(OsStr::new("/"), &ftp), &ftp);
        }
    }
}
