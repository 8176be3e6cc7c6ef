//! The whole file system, without a jail.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use super::abstracted::AbstractedFS;
use super::file::{FSDir, FSFile, OpenMode};
use super::held::Held;
use super::jail::home::slash;
use super::local::ops;
use super::state::FSState;
use super::way::Way;
use crate::error::FSError;
use crate::proto::listing::Stat;

/// The whole file system, without a jail, as pyftpdlib's `UnixFilesystem`.
///
/// FTP paths are real paths. Users start in their home and may go anywhere that the
/// permissions of the system allow. It is meant for an authorizer that accesses files as the
/// user of the system that has logged in, as pyftpdlib's `UnixAuthorizer` does.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct UnixFilesystem;

impl UnixFilesystem {
    /// Makes the value, which has no settings.
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

    fn open(&self, fs: &FSState, path: &Path, mode: OpenMode) -> Result<Box<dyn FSFile>, FSError> {
        Ok(Box::new(ops::open(&way(fs)?, path, mode, fs.is_upload())?))
    }

    fn mkstemp(
        &self,
        fs: &FSState,
        dir: &Path,
        prefix: &OsStr,
    ) -> Result<Box<dyn FSFile>, FSError> {
        Ok(Box::new(ops::mkstemp(
            &way(fs)?,
            dir,
            prefix,
            fs.is_upload(),
            fs.random(),
        )?))
    }

    fn chdir(&self, fs: &mut FSState, path: &Path) -> Result<(), FSError> {
        ops::check_directory(&way(fs)?, path)?;
        let cwd = self.fs2ftp(fs, path);
        fs.set_cwd(cwd);
        Ok(())
    }

    fn mkdir(&self, fs: &FSState, path: &Path) -> Result<(), FSError> {
        ops::mkdir(&way(fs)?, path)
    }

    fn listdir(&self, fs: &FSState, path: &Path) -> Result<Box<dyn FSDir>, FSError> {
        Ok(Box::new(ops::listdir(&way(fs)?, path)?))
    }

    fn rmdir(&self, fs: &FSState, path: &Path) -> Result<(), FSError> {
        ops::rmdir(&way(fs)?, path)
    }

    fn remove(&self, fs: &FSState, path: &Path) -> Result<(), FSError> {
        ops::remove(&way(fs)?, path)
    }

    fn hold(&self, fs: &FSState, path: &Path) -> Result<Held, FSError> {
        ops::hold(&way(fs)?, path)
    }

    fn rename(&self, fs: &FSState, src: &Path, dst: &Path) -> Result<(), FSError> {
        ops::rename(&way(fs)?, src, dst)
    }

    fn rename_new(&self, fs: &FSState, src: &Path, dst: &Path) -> Result<(), FSError> {
        ops::rename_new(&way(fs)?, src, dst)
    }

    fn chmod(&self, fs: &FSState, path: &Path, mode: u32) -> Result<(), FSError> {
        ops::chmod(&way(fs)?, path, mode)
    }

    fn free_space(&self, fs: &FSState, path: &Path) -> Result<Option<u64>, FSError> {
        ops::free_space(&way(fs)?, path).map(Some)
    }

    fn stat(&self, fs: &FSState, path: &Path) -> Result<Stat, FSError> {
        ops::stat(&way(fs)?, path)
    }

    fn lstat(&self, fs: &FSState, path: &Path) -> Result<Stat, FSError> {
        ops::lstat(&way(fs)?, path)
    }

    fn utime(&self, fs: &FSState, path: &Path, seconds: i64) -> Result<(), FSError> {
        ops::utime(&way(fs)?, path, seconds)
    }

    fn readlink(&self, fs: &FSState, path: &Path) -> Result<PathBuf, FSError> {
        ops::readlink(&way(fs)?, path)
    }
}

fn way(fs: &FSState) -> Result<Way, FSError> {
    Ok(fs.way(slash()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filesystems::jail::resolve::Resolver;
    use crate::filesystems::local::tests::fixture::Fixture;

    #[test]
    fn unix_filesystem_has_no_jail() {
        let f = Fixture::new(Resolver::Beneath);
        let unix = UnixFilesystem::new();
        let root = f.fs.root();
        assert_eq!(unix.initial_cwd(root), root.as_os_str());
        let mut fs = FSState::new(root, unix.initial_cwd(root));
        f.link(f.outside("secret"), "out");
        assert_eq!(unix.stat(&fs, &f.path("out")).unwrap().size, 6);
        let path = unix.ftp2fs(&fs, OsStr::new("../outside/secret"));
        assert_eq!(path, f.outside("secret"));
        assert!(unix.validpath(&fs, &path));
        assert!(unix.open(&fs, &path, OpenMode::Read).is_ok());
        unix.chdir(&mut fs, &f.outside("")).unwrap();
        assert_eq!(unix.ftp2fs(&fs, OsStr::new("secret")), f.outside("secret"));
        assert_eq!(unix.fs2ftp(&fs, &path), path.as_os_str());
        unix.mkdir(&fs, &f.outside("dir")).unwrap();
        unix.rename(&fs, &f.outside("dir"), &f.path("dir")).unwrap();
        unix.rmdir(&fs, &f.path("dir")).unwrap();
        assert!(unix.stat(&fs, Path::new("/")).unwrap().is_dir());
        assert!(unix.isdir(&fs, Path::new("/tmp")));
        assert!(unix.rmdir(&fs, Path::new("/")).is_err());
    }
}
