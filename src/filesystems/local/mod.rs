//! The jailed local file system: the stock bodies of [`AbstractedFS`].
//!
//! A user sees the files below the root and nothing else, also when somebody
//! with an account on this machine swaps a directory for a link at the worst
//! moment. So no path is checked first and used later: a handle of the root is
//! held, and each operation goes from there to a handle of the file or of its
//! directory, by a look-up that cannot leave the root.
//!
//! Symbolic links work as long as their destination is inside, also absolute
//! ones and ones that leave the root and come back, as in pyftpdlib. Hard links
//! and mounts are what they are: part of the tree.
//!
//! The parts: `home` holds the root's handle, `resolve` does the look-ups,
//! `ops` the operations, `dir` the listing of a directory. This module knows
//! nothing of FTP paths.

mod dir;
mod home;
pub(super) mod ops;
mod resolve;
#[cfg(test)]
mod tests;

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

pub(crate) use home::Home;
pub(super) use home::slash;

use super::{AbstractedFS, FSDir, FSFile, FSState, OpenMode, Stat};
use crate::error::FSError;
use crate::sys;

/// The local file system with each user jailed in the home directory.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LocalFS;

impl LocalFS {
    /// It has no settings.
    #[must_use]
    pub fn new() -> Self {
        Self
    }
}

impl AbstractedFS for LocalFS {}

/// Whether `path`, its links followed, stays below the root.
///
/// True also for what does not exist or cannot be reached: the operation that
/// follows tells why. False for a path with a NUL byte.
#[must_use]
pub fn validpath(fs: &FSState, path: &Path) -> bool {
    match Home::of(fs) {
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
    Ok(Box::new(ops::open(Home::of(fs)?, path, mode)?))
}

/// Makes and opens a file in `dir`: `prefix` and 8 random characters of
/// `[a-z0-9_]`, mode 0600, as Python's `tempfile.mkstemp()`.
///
/// # Errors
///
/// As open(2); `EEXIST` if 50 names were all taken.
pub fn mkstemp(fs: &FSState, dir: &Path, prefix: &OsStr) -> Result<Box<dyn FSFile>, FSError> {
    Ok(Box::new(ops::mkstemp(Home::of(fs)?, dir, prefix)?))
}

/// Whether `path` may become the current directory.
///
/// # Errors
///
/// As chdir(2): `ENOTDIR`, or `EACCES` without the permission to search it.
pub fn check_directory(fs: &FSState, path: &Path) -> Result<(), FSError> {
    ops::check_directory(Home::of(fs)?, path)
}

/// Makes a directory, with mode 0777 less the umask.
///
/// # Errors
///
/// As mkdir(2).
pub fn mkdir(fs: &FSState, path: &Path) -> Result<(), FSError> {
    ops::mkdir(Home::of(fs)?, path)
}

/// Opens a directory to list it.
///
/// # Errors
///
/// As open(2): `ENOTDIR` for what is none.
pub fn listdir(fs: &FSState, path: &Path) -> Result<Box<dyn FSDir>, FSError> {
    Ok(Box::new(ops::listdir(Home::of(fs)?, path)?))
}

/// Removes an empty directory, but not the root.
///
/// # Errors
///
/// As rmdir(2); `EBUSY` for the root.
pub fn rmdir(fs: &FSState, path: &Path) -> Result<(), FSError> {
    ops::rmdir(Home::of(fs)?, path)
}

/// Removes a file, or a link itself.
///
/// # Errors
///
/// As unlink(2): `EISDIR` for a directory.
pub fn remove(fs: &FSState, path: &Path) -> Result<(), FSError> {
    ops::remove(Home::of(fs)?, path)
}

/// Renames a file, a directory or a link itself, but not the root.
///
/// # Errors
///
/// As rename(2); `EBUSY` for the root.
pub fn rename(fs: &FSState, src: &Path, dst: &Path) -> Result<(), FSError> {
    ops::rename(Home::of(fs)?, src, dst)
}

/// Changes the mode of what `path` is or links to.
///
/// # Errors
///
/// As chmod(2).
pub fn chmod(fs: &FSState, path: &Path, mode: u32) -> Result<(), FSError> {
    ops::chmod(Home::of(fs)?, path, mode)
}

/// The attributes of what `path` is or links to.
///
/// # Errors
///
/// As stat(2).
pub fn stat(fs: &FSState, path: &Path) -> Result<Stat, FSError> {
    ops::stat(Home::of(fs)?, path)
}

/// The attributes of `path` itself, be it a link.
///
/// # Errors
///
/// As lstat(2).
pub fn lstat(fs: &FSState, path: &Path) -> Result<Stat, FSError> {
    ops::lstat(Home::of(fs)?, path)
}

/// Sets the times of access and modification of what `path` is or links to.
///
/// # Errors
///
/// As utimensat(2).
pub fn utime(fs: &FSState, path: &Path, seconds: i64) -> Result<(), FSError> {
    ops::utime(Home::of(fs)?, path, seconds)
}

/// What the link `path` holds.
///
/// # Errors
///
/// As readlink(2): `EINVAL` for what is no link.
pub fn readlink(fs: &FSState, path: &Path) -> Result<PathBuf, FSError> {
    ops::readlink(Home::of(fs)?, path)
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

/// An open regular file of the local file system.
#[derive(Debug)]
pub struct LocalFile {
    file: File,
    name: Box<Path>,
    size_when_opened: Option<u64>,
}

impl LocalFile {
    /// An open file and the real path that it was opened by.
    #[must_use]
    pub fn new(file: File, name: &Path) -> Self {
        Self {
            file,
            name: Box::from(name),
            size_when_opened: None,
        }
    }

    pub(super) fn with_size(self, size: u64) -> Self {
        Self {
            size_when_opened: Some(size),
            ..self
        }
    }
}

impl Read for LocalFile {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.file.read(buf)
    }
}

impl Write for LocalFile {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.file.write(buf)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Seek for LocalFile {
    fn seek(&mut self, pos: SeekFrom) -> io::Result<u64> {
        self.file.seek(pos)
    }
}

impl FSFile for LocalFile {
    fn name(&self) -> &Path {
        &self.name
    }

    fn as_file(&self) -> Option<&File> {
        Some(&self.file)
    }

    fn size(&mut self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn size_when_opened(&self) -> Option<u64> {
        self.size_when_opened
    }
}
