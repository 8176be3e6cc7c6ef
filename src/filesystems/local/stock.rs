//! The stock bodies of [`AbstractedFS`](crate::filesystems::AbstractedFS).

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use super::ops;
use crate::error::FSError;
use crate::filesystems::file::{FSDir, FSFile, OpenMode};
use crate::filesystems::held::Held;
use crate::filesystems::jail::resolve;
use crate::filesystems::state::FSState;
use crate::proto::listing::Stat;
use crate::sys;

/// Whether `path` stays below the root once its links are followed. May block.
///
/// It is true also for a path that does not exist or cannot be reached, so that the
/// operation that follows fails with the reason. It is false for a path with a NUL byte.
#[must_use]
pub fn validpath(fs: &FSState, path: &Path) -> bool {
    match fs.home() {
        Ok(home) => home.contains(path),
        // Without its root nothing can be reached, so the path as text decides.
        Err(_) => path.starts_with(fs.root()),
    }
}

/// Opens a regular file. A new file gets the mode 0666 less the umask. May block on the
/// disk, but never waits for another process: fifos, devices and sockets are refused.
///
/// # Errors
///
/// As open(2); `EISDIR` for a directory, and "Not a regular file" for a fifo and the like.
pub fn open(fs: &FSState, path: &Path, mode: OpenMode) -> Result<Box<dyn FSFile>, FSError> {
    fs.on_way(|way| {
        let file = ops::open(way, path, mode, fs.is_upload())?;
        Ok(Box::new(file) as Box<dyn FSFile>)
    })
}

/// Makes and opens a file in `dir` with the mode 0600. Its name is `prefix` and 8 random
/// characters of `[a-z0-9_]`, as Python's `tempfile.mkstemp()` makes them. May block.
///
/// # Errors
///
/// As open(2); `EEXIST` if 50 random names were all taken.
pub fn mkstemp(fs: &FSState, dir: &Path, prefix: &OsStr) -> Result<Box<dyn FSFile>, FSError> {
    fs.on_way(|way| {
        let file = ops::mkstemp(way, dir, prefix, fs.is_upload(), fs.random())?;
        Ok(Box::new(file) as Box<dyn FSFile>)
    })
}

/// Checks that `path` may become the current directory. May block.
///
/// # Errors
///
/// As chdir(2): `ENOTDIR` if it is not a directory, `EACCES` without the permission to
/// search it.
pub fn check_directory(fs: &FSState, path: &Path) -> Result<(), FSError> {
    fs.on_way(|way| ops::check_directory(way, path))
}

/// Makes a directory with the mode 0777 less the umask. May block.
///
/// # Errors
///
/// As mkdir(2).
pub fn mkdir(fs: &FSState, path: &Path) -> Result<(), FSError> {
    fs.on_way(|way| ops::mkdir(way, path))
}

/// Opens a directory to list it. May block.
///
/// # Errors
///
/// As open(2): `ENOTDIR` if it is not a directory.
pub fn listdir(fs: &FSState, path: &Path) -> Result<Box<dyn FSDir>, FSError> {
    fs.on_way(|way| {
        let dir = ops::listdir(way, path)?;
        Ok(Box::new(dir) as Box<dyn FSDir>)
    })
}

/// Removes an empty directory. May block.
///
/// # Errors
///
/// As rmdir(2); `EBUSY` for the root.
pub fn rmdir(fs: &FSState, path: &Path) -> Result<(), FSError> {
    fs.on_way(|way| ops::rmdir(way, path))
}

/// Removes a file, or a link itself. May block.
///
/// # Errors
///
/// As unlink(2): `EISDIR` for a directory.
pub fn remove(fs: &FSState, path: &Path) -> Result<(), FSError> {
    fs.on_way(|way| ops::remove(way, path))
}

/// Finds what RNFR names and keeps its directory open: see
/// [`AbstractedFS::hold`](crate::filesystems::AbstractedFS::hold). May block.
///
/// # Errors
///
/// As lstat(2); `EBUSY` for the root.
pub fn hold(fs: &FSState, path: &Path) -> Result<Held, FSError> {
    fs.on_way(|way| ops::hold(way, path))
}

/// Renames a file, a directory, or a link itself. May block.
///
/// # Errors
///
/// As rename(2); `EBUSY` for the root.
pub fn rename(fs: &FSState, src: &Path, dst: &Path) -> Result<(), FSError> {
    fs.on_way(|way| ops::rename(way, src, dst))
}

/// As [`rename`], but what has the new name already is not replaced. May block.
///
/// # Errors
///
/// As rename(2); `EBUSY` for the root; `EEXIST` if there is something with the new name.
pub fn rename_new(fs: &FSState, src: &Path, dst: &Path) -> Result<(), FSError> {
    fs.on_way(|way| ops::rename_new(way, src, dst))
}

/// Changes the mode of a file to the lowest twelve bits of `mode`; a link is followed. May
/// block.
///
/// # Errors
///
/// As chmod(2).
pub fn chmod(fs: &FSState, path: &Path, mode: u32) -> Result<(), FSError> {
    fs.on_way(|way| ops::chmod(way, path, mode))
}

/// The attributes of a file; a link is followed. May block.
///
/// # Errors
///
/// As stat(2).
pub fn stat(fs: &FSState, path: &Path) -> Result<Stat, FSError> {
    fs.on_way(|way| ops::stat(way, path))
}

/// The attributes of a file; a link is not followed. May block.
///
/// # Errors
///
/// As lstat(2).
pub fn lstat(fs: &FSState, path: &Path) -> Result<Stat, FSError> {
    fs.on_way(|way| ops::lstat(way, path))
}

/// Whether there is something at `path`; a link that leads nowhere counts. May block.
#[must_use]
pub fn lexists(fs: &FSState, path: &Path) -> bool {
    lstat(fs, path).is_ok()
}

/// How many bytes may still be written to the file system of `path`, or of its directory if there
/// is no such file. May block.
///
/// # Errors
///
/// As fstatvfs(3).
pub fn free_space(fs: &FSState, path: &Path) -> Result<u64, FSError> {
    fs.on_way(|way| ops::free_space(way, path))
}

/// Sets the times of access and of modification of a file, in seconds since 1970, UTC; a
/// link is followed. May block.
///
/// # Errors
///
/// As utimensat(2).
pub fn utime(fs: &FSState, path: &Path, seconds: i64) -> Result<(), FSError> {
    fs.on_way(|way| ops::utime(way, path, seconds))
}

/// The text of the link `path`. May block.
///
/// # Errors
///
/// As readlink(2): `EINVAL` if it is not a link.
pub fn readlink(fs: &FSState, path: &Path) -> Result<PathBuf, FSError> {
    fs.on_way(|way| ops::readlink(way, path))
}

/// The path with all links resolved, as Python's `os.path.realpath()`. Parts that do not
/// exist, and loops of links, are kept as they are. May block.
#[must_use]
pub fn realpath(_fs: &FSState, path: &Path) -> PathBuf {
    resolved(path)
}

/// As [`realpath`], without the state of a session. It opens nothing and is not jailed. May
/// block.
///
/// It is for an [`Authorizer`](crate::authorizers::Authorizer) with other permissions in
/// some directories: it finds out where a path leads.
#[must_use]
pub fn resolved(path: &Path) -> PathBuf {
    resolve::realpath(path).path
}

/// The name of a user of the system, or the number if there is no such user. May block.
#[must_use]
pub fn user_by_uid(uid: u32) -> String {
    sys::user_name(uid).unwrap_or_else(|| uid.to_string())
}

/// The name of a group of the system, or the number if there is no such group. May block.
#[must_use]
pub fn group_by_gid(gid: u32) -> String {
    sys::group_name(gid).unwrap_or_else(|| gid.to_string())
}
