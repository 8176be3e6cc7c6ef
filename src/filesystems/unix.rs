//! The real file system, without a jail.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use super::local;
use super::{AbstractedFS, FSDir, FSFile, FSState, OpenMode, Stat};
use crate::error::FSError;

/// The whole file system, as pyftpdlib's `UnixFilesystem`.
///
/// Users start in their home and may go anywhere that the permissions of the
/// system let them: FTP paths are real paths. Meant for
/// `UnixAuthorizer`, which works as the user who logged in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct UnixFilesystem;

impl UnixFilesystem {
    /// It has no settings.
    #[must_use]
    pub fn new() -> Self {
        Self
    }
}

impl AbstractedFS for UnixFilesystem {
    fn initial_cwd(&self, root: &Path) -> OsString {
        root.as_os_str().to_owned()
    }

    fn ftp2fs(&self, fs: &FSState, ftppath: &OsStr) -> PathBuf {
        PathBuf::from(self.ftpnorm(fs, ftppath))
    }

    fn fs2ftp(&self, _fs: &FSState, path: &Path) -> OsString {
        path.as_os_str().to_owned()
    }

    fn validpath(&self, _fs: &FSState, _path: &Path) -> bool {
        true
    }

    fn open(&self, _: &FSState, path: &Path, mode: OpenMode) -> Result<Box<dyn FSFile>, FSError> {
        Ok(Box::new(local::open_in(local::slash()?, path, mode)?))
    }

    fn mkstemp(&self, _: &FSState, dir: &Path, prefix: &OsStr) -> Result<Box<dyn FSFile>, FSError> {
        Ok(Box::new(local::mkstemp_in(local::slash()?, dir, prefix)?))
    }

    fn chdir(&self, fs: &mut FSState, path: &Path) -> Result<(), FSError> {
        local::check_directory_in(local::slash()?, path)?;
        let cwd = self.fs2ftp(fs, path);
        fs.set_cwd(cwd);
        Ok(())
    }

    fn mkdir(&self, _: &FSState, path: &Path) -> Result<(), FSError> {
        local::mkdir_in(local::slash()?, path)
    }

    fn listdir(&self, _: &FSState, path: &Path) -> Result<Box<dyn FSDir>, FSError> {
        Ok(Box::new(local::listdir_in(local::slash()?, path)?))
    }

    fn rmdir(&self, _: &FSState, path: &Path) -> Result<(), FSError> {
        local::rmdir_in(local::slash()?, path)
    }

    fn remove(&self, _: &FSState, path: &Path) -> Result<(), FSError> {
        local::remove_in(local::slash()?, path)
    }

    fn rename(&self, _: &FSState, src: &Path, dst: &Path) -> Result<(), FSError> {
        local::rename_in(local::slash()?, src, dst)
    }

    fn chmod(&self, _: &FSState, path: &Path, mode: u32) -> Result<(), FSError> {
        local::chmod_in(local::slash()?, path, mode)
    }

    fn stat(&self, _: &FSState, path: &Path) -> Result<Stat, FSError> {
        local::stat_in(local::slash()?, path)
    }

    fn lstat(&self, _: &FSState, path: &Path) -> Result<Stat, FSError> {
        local::lstat_in(local::slash()?, path)
    }

    fn utime(&self, _: &FSState, path: &Path, seconds: i64) -> Result<(), FSError> {
        local::utime_in(local::slash()?, path, seconds)
    }

    fn readlink(&self, _: &FSState, path: &Path) -> Result<PathBuf, FSError> {
        local::readlink_in(local::slash()?, path)
    }
}
