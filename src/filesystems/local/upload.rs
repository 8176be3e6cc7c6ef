//! What an upload does to its file at the beginning, and if it never begins.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::Arc;

use crate::error::FSError;
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
    /// Whether the open has made the file.
    made: bool,
    begun: bool,
}

impl Upload {
    pub(super) fn new(home: &Arc<Home>, empties: bool, made: bool) -> Self {
        Self {
            home: Arc::clone(home),
            empties,
            made,
            begun: false,
        }
    }

    /// Begins the upload, unless it has begun.
    pub(super) fn begin(&mut self, file: &File) -> io::Result<()> {
        if self.begun {
            return Ok(());
        }
        if self.empties {
            file.set_len(0)?;
        }
        self.begun = true;
        Ok(())
    }

    /// Whether the path does not lead to the file any more.
    pub(super) fn is_replaced(&self, path: &Path, file: &File) -> bool {
        let leads_there = || -> Result<bool, FSError> {
            let fd = self.home.open_at(path, How::flags(sys::O_PATH))?;
            let (there, here) = (fstat(fd.as_fd())?, fstat(file.as_fd())?);
            Ok((there.dev, there.ino) == (here.dev, here.ino))
        };
        !leads_there().unwrap_or(false)
    }

    /// Removes the file if it was made for an upload that has not begun. A name that leads to
    /// another file by now, or a file that somebody has written to, stays.
    pub(super) fn end(&self, path: &Path, file: &File) -> Result<(), FSError> {
        if !self.made || self.begun {
            return Ok(());
        }
        let place = self.home.place(path, libc::EISDIR)?;
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
