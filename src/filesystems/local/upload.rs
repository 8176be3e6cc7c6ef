//! What an upload does to its file at the beginning, and if it never begins.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;
use std::sync::Arc;

use crate::error::FSError;
use crate::filesystems::file::Replaced;
use crate::filesystems::jail::attributes::{fstat, fstatat};
use crate::filesystems::jail::home::Home;
use crate::filesystems::jail::resolve::How;
use crate::sys;

/// An upload to a file.
#[derive(Debug)]
pub(super) struct Upload {
    /// Where the name of the file is looked up.
    home: Arc<Home>,
    /// Whether the file loses its old bytes when the upload begins.
    empties: bool,
    made: Made,
    begun: bool,
}

/// Whether the open has made the file.
#[derive(Debug)]
pub(super) enum Made {
    No,
    Here,
    /// At the end of a link: the real path.
    At(Box<Path>),
}

impl Made {
    /// Removes the file if it was made. A name that leads to another file by now, or a file that
    /// somebody has written to, stays.
    pub(super) fn remove(&self, home: &Home, path: &Path, file: &File) -> Result<(), FSError> {
        let path = match self {
            Self::No => return Ok(()),
            Self::Here => path,
            Self::At(path) => path,
        };
        let place = home.place(path, libc::EISDIR)?;
        let there = fstatat(place.dir.as_fd(), place.name)?;
        let here = fstat(file.as_fd())?;
        // Another session may have found the file before this one has locked it.
        let is_used = sys::lock_file(file) == sys::FileLock::Refused;
        if (there.dev, there.ino) == (here.dev, here.ino) && here.size == 0 && !is_used {
            sys::unlinkat(place.dir.as_fd(), place.name)?;
        }
        Ok(())
    }
}

impl Upload {
    pub(super) fn new(home: &Arc<Home>, empties: bool, made: Made) -> Self {
        Self {
            home: Arc::clone(home),
            empties,
            made,
            begun: false,
        }
    }

    /// Begins the upload, unless it has begun. A file that was replaced or removed since the open
    /// is left as it is: nobody would find the bytes.
    pub(super) fn begin(&mut self, path: &Path, file: &File) -> io::Result<()> {
        if self.begun {
            return Ok(());
        }
        self.check(path, file)?;
        if self.empties {
            file.set_len(0)?;
        }
        self.begun = true;
        Ok(())
    }

    /// Whether a step has begun the upload.
    pub(super) fn has_begun(&self) -> bool {
        self.begun
    }

    /// Fails if the path does not lead to the file any more.
    pub(super) fn check(&self, path: &Path, file: &File) -> io::Result<()> {
        match self.is_replaced(path, file) {
            true => Err(io::Error::other(Replaced)),
            false => Ok(()),
        }
    }

    /// Whether the path does not lead to the file any more.
    pub(super) fn is_replaced(&self, path: &Path, file: &File) -> bool {
        !leads_to(&self.home, path, file.as_fd())
    }

    /// Removes the file if it was made for an upload that has not begun.
    pub(super) fn end(&self, path: &Path, file: &File) -> Result<(), FSError> {
        match self.begun {
            true => Ok(()),
            false => self.made.remove(&self.home, path, file),
        }
    }
}

/// Whether a path leads to an open file.
pub(super) fn leads_to(home: &Home, path: &Path, file: BorrowedFd<'_>) -> bool {
    let compare = || -> Result<bool, FSError> {
        let fd = home.open_at(path, How::flags(sys::O_PATH))?;
        let (there, here) = (fstat(fd.as_fd())?, fstat(file)?);
        Ok((there.dev, there.ino) == (here.dev, here.ino))
    };
    compare().unwrap_or(false)
}
