//! An open file of the local file system.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

use crate::filesystems::file::FSFile;

/// An open regular file of the local file system.
///
/// Reading and writing go to the file directly, without a buffer.
#[derive(Debug)]
pub struct LocalFile {
    file: File,
    name: Box<Path>,
    size_when_opened: Option<u64>,
}

impl LocalFile {
    /// Makes the value from an open file and the real path that it was opened by. Its
    /// [`size_when_opened`](FSFile::size_when_opened) is unknown.
    #[must_use]
    pub fn new(file: File, name: &Path) -> Self {
        Self {
            file,
            name: Box::from(name),
            size_when_opened: None,
        }
    }

    /// Adds the size in bytes that the file had when it was opened.
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
