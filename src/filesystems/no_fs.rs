//! The file system that has nothing.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::abstracted::AbstractedFS;
use super::file::{FSDir, FSFile, OpenMode};
use super::path::{self, below, normpath};
use super::state::FSState;
use crate::error::{FSError, FilesystemError};
use crate::proto::listing::Stat;

/// The file system that has nothing, and refuses everything: what a file system is made of that is
/// not on the disk.
///
/// Return it from [`AbstractedFS::inner`], and override the methods that yours has. A method that
/// you have forgotten is refused then, with `550 Not supported.`, and never reaches the disk.
/// What is only a question about other methods (`isfile`, `isdir`, `lexists`, `getsize`,
/// `getmtime`, `hold`, `rename_new`) follows from yours.
///
/// The conversions of paths are those of [`LocalFS`](super::LocalFS), because they never look at
/// the disk. [`validpath`](AbstractedFS::validpath) permits each path below the root, and
/// [`realpath`](AbstractedFS::realpath) returns it as it is: there are no links. Users and groups
/// are numbers.
///
/// ```
/// use std::path::Path;
/// use ftpdlib::FSError;
/// use ftpdlib::filesystems::{AbstractedFS, FSState, NoFS, Stat};
///
/// /// One file, which says nothing.
/// struct Silent;
///
/// impl AbstractedFS for Silent {
///     fn inner(&self) -> &dyn AbstractedFS {
///         &NoFS
///     }
///
///     fn stat(&self, fs: &FSState, path: &Path) -> Result<Stat, FSError> {
///         match path == fs.root().join("silence") {
///             true => Ok(Stat::file(0, 0)),
///             false => Err(FSError::not_found()),
///         }
///     }
/// }
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct NoFS;

impl AbstractedFS for NoFS {
    fn inner(&self) -> &dyn AbstractedFS {
        self
    }

    fn initial_cwd(&self, _: &Path) -> OsString {
        OsString::from("/")
    }

    fn ftpnorm(&self, fs: &FSState, ftppath: &OsStr) -> OsString {
        path::ftpnorm(fs.cwd(), ftppath)
    }

    fn ftp2fs(&self, fs: &FSState, ftppath: &OsStr) -> PathBuf {
        path::ftp2fs(fs.root(), &self.ftpnorm(fs, ftppath))
    }

    fn fs2ftp(&self, fs: &FSState, path: &Path) -> OsString {
        path::fs2ftp(fs.root(), path)
    }

    fn validpath(&self, fs: &FSState, path: &Path) -> bool {
        let normal = |path: &Path| normpath(path.as_os_str().as_bytes());
        below(&normal(fs.root()), &normal(path)).is_some()
    }

    fn open(&self, _: &FSState, _: &Path, _: OpenMode) -> Result<Box<dyn FSFile>, FSError> {
        Err(refused())
    }

    fn mkstemp(&self, _: &FSState, _: &Path, _: &OsStr) -> Result<Box<dyn FSFile>, FSError> {
        Err(refused())
    }

    fn chdir(&self, _: &mut FSState, _: &Path) -> Result<(), FSError> {
        Err(refused())
    }

    fn mkdir(&self, _: &FSState, _: &Path) -> Result<(), FSError> {
        Err(refused())
    }

    fn listdir(&self, _: &FSState, _: &Path) -> Result<Box<dyn FSDir>, FSError> {
        Err(refused())
    }

    fn rmdir(&self, _: &FSState, _: &Path) -> Result<(), FSError> {
        Err(refused())
    }

    fn remove(&self, _: &FSState, _: &Path) -> Result<(), FSError> {
        Err(refused())
    }

    fn rename(&self, _: &FSState, _: &Path, _: &Path) -> Result<(), FSError> {
        Err(refused())
    }

    fn chmod(&self, _: &FSState, _: &Path, _: u32) -> Result<(), FSError> {
        Err(refused())
    }

    fn stat(&self, _: &FSState, _: &Path) -> Result<Stat, FSError> {
        Err(refused())
    }

    fn lstat(&self, _: &FSState, _: &Path) -> Result<Stat, FSError> {
        Err(refused())
    }

    fn free_space(&self, _: &FSState, _: &Path) -> Result<Option<u64>, FSError> {
        Err(refused())
    }

    fn utime(&self, _: &FSState, _: &Path, _: i64) -> Result<(), FSError> {
        Err(refused())
    }

    fn readlink(&self, _: &FSState, _: &Path) -> Result<PathBuf, FSError> {
        Err(refused())
    }

    fn realpath(&self, _: &FSState, path: &Path) -> PathBuf {
        path.to_owned()
    }

    fn get_user_by_uid(&self, uid: u32) -> String {
        uid.to_string()
    }

    fn get_group_by_gid(&self, gid: u32) -> String {
        gid.to_string()
    }
}

fn refused() -> FSError {
    FilesystemError::new("Not supported").into()
}
