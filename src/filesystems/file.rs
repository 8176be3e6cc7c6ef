//! Open files and directories, and how they are opened.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};

use crate::error::FSError;
use crate::proto::listing::Stat;

/// An open file: what a transfer reads from or writes to.
///
/// Dropping it closes it.
pub trait FSFile: Read + Write + Seek + Send {
    /// Its real path.
    fn name(&self) -> &Path;

    /// The file of the system behind it, if there is one: binary transfers then
    /// use `sendfile` and `splice`, which pass by [`Read`] and [`Write`].
    fn as_file(&self) -> Option<&File> {
        None
    }

    /// Its size in bytes.
    ///
    /// # Errors
    /// The system's.
    fn size(&mut self) -> io::Result<u64>;

    /// Its size when it was opened, if that is known by now. A download that has come so
    /// far may end there.
    fn size_when_opened(&self) -> Option<u64> {
        None
    }

    /// Called once at the end of a transfer, before the reply: `completed` tells
    /// a whole file from a cut one.
    ///
    /// # Errors
    /// Whatever kept it from being done: the reply of an upload is 426 then.
    fn finish(&mut self, completed: bool) -> io::Result<()> {
        let _ = completed;
        Ok(())
    }
}

/// An open directory, relative to which its entries are looked up.
pub trait FSDir: Send {
    /// The next name, in the order of the system, without `.` and `..`; `None` at
    /// the end.
    fn next_name(&mut self) -> Option<io::Result<OsString>>;

    /// The attributes of an entry itself, be it a link.
    ///
    /// # Errors
    /// It is not there any more.
    fn lstat(&self, name: &OsStr) -> Result<Stat, FSError>;

    /// The attributes of what an entry is or links to.
    ///
    /// # Errors
    /// It is not there any more, or its link leads nowhere;
    /// [`FSError::Outside`] for one that leaves the user's root.
    fn stat(&self, name: &OsStr) -> Result<Stat, FSError>;

    /// What an entry that is a link points to.
    ///
    /// # Errors
    /// It is no link.
    fn readlink(&self, name: &OsStr) -> Result<PathBuf, FSError>;
}

/// How a file is opened, as the mode of Python's `open()`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OpenMode {
    /// `rb`: it must exist.
    Read,
    /// `wb`: made or emptied.
    Write,
    /// `ab`: made if missing, written at its end.
    Append,
    /// `r+b`: it must exist; written in place (REST before STOR).
    Update,
}
