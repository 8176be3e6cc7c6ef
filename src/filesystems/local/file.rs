//! An open file of the local file system.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

use super::upload::Upload;
use crate::filesystems::file::FSFile;
use crate::sys;

/// An open regular file of the local file system.
///
/// Reading and writing go to the file directly, without a buffer.
///
/// A file that was opened for an upload keeps its bytes until the upload begins: with
/// [`FSFile::begin`], or with the first byte that is read or written, or with a seek. If it was
/// made by the open, and the upload never begins, dropping the value removes it.
#[derive(Debug)]
pub struct LocalFile {
    file: File,
    name: Box<Path>,
    size_when_opened: Option<u64>,
    upload: Option<Upload>,
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
            upload: None,
        }
    }

    /// Adds the size in bytes that the file had when it was opened.
    pub(super) fn with_size(mut self, size: u64) -> Self {
        self.size_when_opened = Some(size);
        self
    }

    /// Adds what is known about the upload that the file was opened for.
    pub(super) fn with_upload(mut self, upload: Upload) -> Self {
        self.upload = Some(upload);
        self
    }

    fn begin_upload(&mut self) -> io::Result<()> {
        match &mut self.upload {
            Some(upload) => upload.begin(&self.name, &self.file),
            None => Ok(()),
        }
    }
}

impl Drop for LocalFile {
    fn drop(&mut self) {
        if let Some(upload) = &self.upload {
            // A file that cannot be removed stays, as it was made.
            let _ = upload.end(&self.name, &self.file);
            // A process that was forked meanwhile may have a copy of the descriptor.
            sys::unlock_file(&self.file);
        }
    }
}

impl Read for LocalFile {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.begin_upload()?;
        self.file.read(buf)
    }
}

impl Write for LocalFile {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.begin_upload()?;
        self.file.write(buf)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Seek for LocalFile {
    fn seek(&mut self, pos: SeekFrom) -> io::Result<u64> {
        self.begin_upload()?;
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

    fn begin(&mut self) -> io::Result<()> {
        match &self.upload {
            // REST has moved to its position already.
            Some(upload) if upload.has_begun() => upload.check(&self.name, &self.file),
            _ => self.begin_upload(),
        }
    }

    fn finish(&mut self, completed: bool) -> io::Result<()> {
        match self.upload {
            // Some file systems return the errors of earlier writes here.
            Some(_) if completed => sys::close_copy(&self.file),
            _ => Ok(()),
        }
    }

    fn is_replaced(&mut self) -> bool {
        let upload = self.upload.as_ref();
        upload.is_some_and(|upload| upload.is_replaced(&self.name, &self.file))
    }
}
