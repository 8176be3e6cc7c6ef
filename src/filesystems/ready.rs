//! An open file and an open directory for file systems that are not on the disk: what they contain
//! is in memory when they are opened.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io::{self, Cursor, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::file::{FSDir, FSFile};
use crate::error::FSError;
use crate::proto::listing::Stat;

/// An open file whose bytes are in memory. It can be read, and writing to it fails.
pub struct BytesFile {
    name: Box<Path>,
    bytes: Cursor<Arc<[u8]>>,
}

impl BytesFile {
    /// Opens a file with these bytes. `name` is the real path that it was opened by.
    #[must_use]
    pub fn new(name: &Path, bytes: impl Into<Arc<[u8]>>) -> Self {
        Self {
            name: Box::from(name),
            bytes: Cursor::new(bytes.into()),
        }
    }
}

impl FSFile for BytesFile {
    fn name(&self) -> &Path {
        &self.name
    }

    fn size(&mut self) -> io::Result<u64> {
        Ok(self.bytes.get_ref().len() as u64)
    }

    fn size_when_opened(&self) -> Option<u64> {
        Some(self.bytes.get_ref().len() as u64)
    }
}

impl Read for BytesFile {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.bytes.read(buffer)
    }
}

impl Write for BytesFile {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(io::Error::from_raw_os_error(libc::EBADF))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Seek for BytesFile {
    fn seek(&mut self, position: SeekFrom) -> io::Result<u64> {
        self.bytes.seek(position)
    }
}

impl fmt::Debug for BytesFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("BytesFile");
        debug.field("name", &self.name).finish_non_exhaustive()
    }
}

/// An open directory whose entries are in memory: their names and attributes. None of them is a
/// link.
///
/// ```
/// use ftpdlib::filesystems::{FSDir, NameList, Stat};
///
/// let mut dir = NameList::new([("a.txt", Stat::file(5, 0)), ("sub", Stat::dir(0))]);
/// assert_eq!(dir.next_name().unwrap().unwrap(), "a.txt");
/// assert!(dir.stat("sub".as_ref()).unwrap().is_dir());
/// ```
#[derive(Debug, Clone)]
pub struct NameList {
    entries: Vec<(OsString, Stat)>,
    next: usize,
}

impl NameList {
    /// Opens a directory with these entries, each name once. They are listed by name. The names
    /// hold no `/`, and are not `.` or `..`.
    pub fn new<N: Into<OsString>>(entries: impl IntoIterator<Item = (N, Stat)>) -> Self {
        let entries = entries.into_iter();
        let mut entries: Vec<_> = entries.map(|(name, stat)| (name.into(), stat)).collect();
        entries.sort_by(|(a, _): &(OsString, Stat), (b, _)| a.cmp(b));
        Self { entries, next: 0 }
    }
}

impl FSDir for NameList {
    fn next_name(&mut self) -> Option<io::Result<OsString>> {
        let (name, _) = self.entries.get(self.next)?;
        self.next += 1;
        Some(Ok(name.clone()))
    }

    fn lstat(&self, name: &OsStr) -> Result<Stat, FSError> {
        let at = self
            .entries
            .binary_search_by(|(entry, _)| (**entry).cmp(name));
        let (_, stat) = &self.entries[at.map_err(|_| FSError::not_found())?];
        Ok(*stat)
    }

    fn stat(&self, name: &OsStr) -> Result<Stat, FSError> {
        self.lstat(name)
    }

    fn readlink(&self, _: &OsStr) -> Result<PathBuf, FSError> {
        Err(FSError::from_errno(libc::EINVAL))
    }
}
