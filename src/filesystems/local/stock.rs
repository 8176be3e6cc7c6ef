//! The stock bodies of [`AbstractedFS`](crate::filesystems::AbstractedFS).

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use super::ops;
use crate::error::FSError;
use crate::filesystems::file::{FSDir, FSFile, OpenMode};
use crate::filesystems::jail::resolve;
use crate::filesystems::state::FSState;
use crate::proto::listing::Stat;
use crate::sys;

/// Whether `path`, its links followed, stays below the root.
///
/// True also for what does not exist or cannot be reached: the operation that
/// follows tells why. False for a path with a NUL byte.
#[must_use]
pub fn validpath(fs: &FSState, path: &Path) -> bool {
    match fs.home() {
        Ok(home) => home.contains(path),
        // Without a root there is nothing to reach, in it or outside.
        Err(_) => path.starts_with(fs.root()),
    }
}

/// Opens a regular file, made with mode 0666 less the umask.
///
/// Never waits: a fifo, a device or a socket is refused.
///
/// # Errors
///
/// As open(2); `EISDIR` for a directory; "Not a regular file" for others.
pub fn open(fs: &FSState, path: &Path, mode: OpenMode) -> Result<Box<dyn FSFile>, FSError> {
    Ok(Box::new(ops::open(fs.home()?, path, mode)?))
}

/// Makes and opens a file in `dir`: `prefix` and 8 random characters of
/// `[a-z0-9_]`, mode 0600, as Python's `tempfile.mkstemp()`.
///
/// # Errors
///
/// As open(2); `EEXIST` if 50 names were all taken.
pub fn mkstemp(fs: &FSState, dir: &Path, prefix: &OsStr) -> Result<Box<dyn FSFile>, FSError> {
    Ok(Box::new(ops::mkstemp(fs.home()?, dir, prefix)?))
}

/// Whether `path` may become the current directory.
///
/// # Errors
///
/// As chdir(2): `ENOTDIR`, or `EACCES` without the permission to search it.
pub fn check_directory(fs: &FSState, path: &Path) -> Result<(), FSError> {
    ops::check_directory(fs.home()?, path)
}

/// Makes a directory, with mode 0777 less the umask.
///
/// # Errors
///
/// As mkdir(2).
pub fn mkdir(fs: &FSState, path: &Path) -> Result<(), FSError> {
    ops::mkdir(fs.home()?, path)
}

/// Opens a directory to list it.
///
/// # Errors
///
/// As open(2): `ENOTDIR` for what is none.
pub fn listdir(fs: &FSState, path: &Path) -> Result<Box<dyn FSDir>, FSError> {
    Ok(Box::new(ops::listdir(fs.home()?, path)?))
}

/// Removes an empty directory, but not the root.
///
/// # Errors
///
/// As rmdir(2); `EBUSY` for the root.
pub fn rmdir(fs: &FSState, path: &Path) -> Result<(), FSError> {
    ops::rmdir(fs.home()?, path)
}

/// Removes a file, or a link itself.
///
/// # Errors
///
/// As unlink(2): `EISDIR` for a directory.
pub fn remove(fs: &FSState, path: &Path) -> Result<(), FSError> {
    ops::remove(fs.home()?, path)
}

/// Renames a file, a directory or a link itself, but not the root.
///
/// # Errors
///
/// As rename(2); `EBUSY` for the root.
pub fn rename(fs: &FSState, src: &Path, dst: &Path) -> Result<(), FSError> {
    ops::rename(fs.home()?, src, dst)
}

/// Changes the mode of what `path` is or links to.
///
/// # Errors
///
/// As chmod(2).
pub fn chmod(fs: &FSState, path: &Path, mode: u32) -> Result<(), FSError> {
    ops::chmod(fs.home()?, path, mode)
}

/// The attributes of what `path` is or links to.
///
/// # Errors
///
/// As stat(2).
pub fn stat(fs: &FSState, path: &Path) -> Result<Stat, FSError> {
    ops::stat(fs.home()?, path)
}

/// The attributes of `path` itself, be it a link.
///
/// # Errors
///
/// As lstat(2).
pub fn lstat(fs: &FSState, path: &Path) -> Result<Stat, FSError> {
    ops::lstat(fs.home()?, path)
}

/// Sets the times of access and modification of what `path` is or links to.
///
/// # Errors
///
/// As utimensat(2).
pub fn utime(fs: &FSState, path: &Path, seconds: i64) -> Result<(), FSError> {
    ops::utime(fs.home()?, path, seconds)
}

/// What the link `path` holds.
///
/// # Errors
///
/// As readlink(2): `EINVAL` for what is no link.
pub fn readlink(fs: &FSState, path: &Path) -> Result<PathBuf, FSError> {
    ops::readlink(fs.home()?, path)
}

/// The path with all links resolved, as Python's `os.path.realpath()`: what
/// does not exist, or is a loop of links, is taken as it is.
#[must_use]
pub fn realpath(_fs: &FSState, path: &Path) -> PathBuf {
    resolved(path)
}

/// The same without a session's state: what a path leads to, for an
/// [`Authorizer`](crate::authorizers::Authorizer) that has other permissions in
/// some directories. It opens nothing, and is not jailed.
#[must_use]
pub fn resolved(path: &Path) -> PathBuf {
    resolve::realpath(path).path
}

/// The name of a user, or the number where there is none.
#[must_use]
pub fn user_by_uid(uid: u32) -> String {
    sys::user_name(uid).unwrap_or_else(|| uid.to_string())
}

/// The name of a group, or the number where there is none.
#[must_use]
pub fn group_by_gid(gid: u32) -> String {
    sys::group_name(gid).unwrap_or_else(|| gid.to_string())
}
