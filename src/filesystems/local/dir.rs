//! An open directory of the local file system.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use crate::error::FSError;
use crate::filesystems::file::FSDir;
use crate::filesystems::jail::attributes::{fstat, fstatat};
use crate::filesystems::jail::home::check_nul;
use crate::filesystems::jail::resolve::How;
use crate::filesystems::way::Way;
use crate::limits::{LISTINGS, Share};
use crate::proto::listing::Stat;
use crate::sys;

/// An open directory. Its entries are looked up through its handle, so that they are those
/// of this directory even if its path leads elsewhere meanwhile. Only links are followed by
/// path.
pub(crate) struct LocalDir {
    way: Way,
    path: Box<Path>,
    fd: OwnedFd,
    names: sys::DirReader,
    /// The memory of the buffer of `names`.
    share: Option<Share>,
}

impl LocalDir {
    /// `fd` is a handle of the directory at `path`, from which nothing was read yet.
    pub(super) fn new(way: Way, path: &Path, fd: OwnedFd) -> io::Result<Self> {
        Ok(Self {
            names: sys::DirReader::new(fd.as_fd())?,
            way,
            path: Box::from(path),
            fd,
            share: None,
        })
    }
}

impl FSDir for LocalDir {
    fn next_name(&mut self) -> Option<io::Result<OsString>> {
        let Self { names, share, .. } = self;
        let share = share.get_or_insert_with(|| {
            let mut share = LISTINGS.share();
            if share.grow(sys::LARGE_BUFFER) {
                names.use_large_buffer();
            }
            share
        });
        let next = names.next_name(self.fd.as_fd());
        if next.is_none() {
            share.clear();
        }
        next
    }

    fn lstat(&self, name: &OsStr) -> Result<Stat, FSError> {
        check_name(name)?;
        Ok(fstatat(self.fd.as_fd(), name.as_bytes())?)
    }

    fn stat(&self, name: &OsStr) -> Result<Stat, FSError> {
        let stat = self.lstat(name)?;
        if !stat.is_symlink() {
            return Ok(stat);
        }
        let how = How::flags(sys::O_PATH);
        let fd = self
            .way
            .open_target(&self.path, &self.path.join(name), how)?;
        Ok(fstat(fd.as_fd())?)
    }

    fn readlink(&self, name: &OsStr) -> Result<PathBuf, FSError> {
        check_name(name)?;
        let target = sys::readlinkat(self.fd.as_fd(), name.as_bytes())?;
        Ok(PathBuf::from(OsString::from_vec(target)))
    }
}

/// Refuses names that are not those of an entry: `..` and paths may lead out of the root.
fn check_name(name: &OsStr) -> Result<(), FSError> {
    check_nul(Path::new(name))?;
    if name == ".." || memchr::memchr(b'/', name.as_bytes()).is_some() {
        return Err(FSError::Outside);
    }
    Ok(())
}
