//! Producers: [`Producer`], the source of a connection's output, and [`FileProducer`].
//!
//! A producer makes bytes when it is asked to. It knows neither the connection that sends them,
//! nor how many are wanted in all.

use std::fmt;
use std::io;

use crate::filesystems::FSFile;
use crate::proto::ascii::ToNetwork;
use crate::proto::transfer_type::TransferType;

pub use crate::ioloop::producer::{BufferedIteratorProducer, More, Producer, SourceFile};

/// A producer of the bytes of a file: as pyftpdlib's `FileProducer`.
pub struct FileProducer {
    file: Box<dyn FSFile>,
    translation: Option<ToNetwork>,
    position: u64,
    /// The size of the file when it was opened, if it is known.
    size: Option<u64>,
    /// Whether the last read has reached the end: it ended at that size, and was short.
    at_end: bool,
    /// How many bytes one call reads at most. 65,536 by default.
    pub buffer_size: usize,
}

impl FileProducer {
    /// Makes a producer of a file whose next read begins at `position`. With
    /// [`TransferType::Ascii`] each LF that is not part of a CRLF becomes CRLF.
    ///
    /// If the file is one of the system, or knows its
    /// [`size_when_opened`](FSFile::size_when_opened), an end before that size is an error.
    #[must_use]
    pub fn new(mut file: Box<dyn FSFile>, position: u64, transfer_type: TransferType) -> Self {
        let mut size = file.size_when_opened();
        if size.is_none() && file.as_file().is_some() {
            size = file.size().ok();
        }
        Self {
            file,
            size,
            at_end: false,
            translation: (transfer_type == TransferType::Ascii).then(ToNetwork::default),
            position,
            buffer_size: 65_536,
        }
    }

    /// How many bytes to read: for a small file few, and one more than it should have, so that a
    /// short read shows the end.
    fn wanted(&self) -> usize {
        let left = self.size.and_then(|size| size.checked_sub(self.position));
        let left = left.and_then(|left| usize::try_from(left).ok());
        let left = left.filter(|left| *left > 0);
        let most = self.buffer_size.max(1);
        left.map_or(most, |left| most.min(left.saturating_add(1)))
    }
}

impl Producer for FileProducer {
    fn more(&mut self, out: &mut Vec<u8>) -> io::Result<More> {
        if self.at_end {
            return Ok(More::End);
        }
        let start = out.len();
        out.resize(start + self.wanted(), 0);
        let read = loop {
            match self.file.read(&mut out[start..]) {
                Err(err) if err.kind() == io::ErrorKind::Interrupted => {}
                read => break read,
            }
        };
        let wanted = out.len() - start;
        out.truncate(start + read.as_ref().copied().unwrap_or(0));
        let read = read?;
        self.position += read as u64;
        if read == 0 && self.size.is_some_and(|size| self.position < size) {
            return Err(has_shrunk());
        }
        self.at_end = read < wanted && self.size == Some(self.position);
        if let Some(translation) = &mut self.translation {
            let chunk = out.split_off(start);
            translation.convert(&chunk, out);
        }
        Ok(if read == 0 { More::End } else { More::Yes })
    }

    fn file(&mut self) -> Option<SourceFile<'_>> {
        let file = self.file.as_file().filter(|_| self.translation.is_none())?;
        let mut source = SourceFile::new(file, self.position);
        source.size_when_opened = self.size;
        Some(source)
    }

    fn finish(&mut self, completed: bool) {
        // All bytes that were read are sent already, so an error of closing changes nothing.
        let _ = self.file.finish(completed);
    }
}

/// The error of a file that has become shorter during its transfer.
pub(crate) fn has_shrunk() -> io::Error {
    io::Error::new(
        io::ErrorKind::UnexpectedEof,
        "The file has become shorter meanwhile",
    )
}

impl fmt::Debug for FileProducer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileProducer")
            .field("file", &self.file.name())
            .field("position", &self.position)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Seek, SeekFrom, Write};
    use std::path::Path;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

    use super::*;

    /// A file of `left` zeros that was `size` bytes long when it was opened.
    struct Zeros {
        left: usize,
        size: u64,
        reads: Arc<AtomicUsize>,
    }

    impl Read for Zeros {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.reads.fetch_add(1, Relaxed);
            let read = buffer.len().min(self.left);
            self.left -= read;
            Ok(read)
        }
    }

    impl Write for Zeros {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::Unsupported.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Seek for Zeros {
        fn seek(&mut self, _: SeekFrom) -> io::Result<u64> {
            Ok(0)
        }
    }

    impl FSFile for Zeros {
        fn name(&self) -> &Path {
            Path::new("/zeros")
        }

        fn size(&mut self) -> io::Result<u64> {
            Ok(self.size)
        }

        fn size_when_opened(&self) -> Option<u64> {
            Some(self.size)
        }
    }

    /// The bytes and the reads of a whole file with this size, of which `left` bytes are there.
    fn produce(size: u64, left: usize) -> io::Result<(usize, usize)> {
        let reads = Arc::new(AtomicUsize::new(0));
        let file = Zeros {
            left,
            size,
            reads: Arc::clone(&reads),
        };
        let mut producer = FileProducer::new(Box::new(file), 0, TransferType::Ascii);
        let mut out = Vec::new();
        while producer.more(&mut out)? != More::End {}
        Ok((out.len(), reads.load(Relaxed)))
    }

    #[test]
    fn a_short_read_at_the_known_size_is_the_last_one() {
        assert_eq!(produce(1000, 1000).unwrap(), (1000, 1));
        assert_eq!(produce(70_000, 70_000).unwrap(), (70_000, 2));
        // A read that fills the buffer, and an empty file, are no such end.
        assert_eq!(produce(65_536, 65_536).unwrap(), (65_536, 2));
        assert_eq!(produce(0, 0).unwrap(), (0, 1));
        // The file has grown, or shrunk.
        assert_eq!(produce(1000, 2000).unwrap(), (2000, 3));
        assert!(produce(1000, 999).is_err());
    }
}
