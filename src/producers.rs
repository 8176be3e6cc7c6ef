//! Where the output of a channel comes from, when it is more than some bytes.
//!
//! A producer makes bytes when it is asked to. It knows neither the connection that they go
//! out on, nor how many are wanted in all.

use std::fmt;
use std::io;

use crate::filesystems::FSFile;
use crate::handlers::TransferType;
use crate::proto::ascii::ToNetwork;

/// A source of output, as the producers of asynchat.
pub trait Producer {
    /// Appends the next bytes to `out`: a short piece of work, at most some
    /// tens of KiB, without waiting.
    ///
    /// # Errors
    /// Ends the output; on a data connection the reply is 426 with the
    /// system's text.
    fn more(&mut self, out: &mut Vec<u8>) -> io::Result<More>;

    /// The file behind it and the position reached, where its bytes go out as
    /// they are: `sendfile` is used then.
    fn file(&mut self) -> Option<(&mut dyn FSFile, u64)> {
        None
    }

    /// The transfer ends; `completed` tells a whole file from a cut one.
    fn finish(&mut self, completed: bool) {
        let _ = completed;
    }
}

/// What came of [`Producer::more`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum More {
    /// There may be more. Nothing need have been appended: the work goes on.
    Yes,
    /// That was the last of it.
    End,
}

/// The bytes of a file, as pyftpdlib's `FileProducer`.
pub struct FileProducer {
    file: Box<dyn FSFile>,
    translation: Option<ToNetwork>,
    position: u64,
    /// Bytes read at once. 65,536.
    pub buffer_size: usize,
}

impl FileProducer {
    /// `file` stands at `position`. In ASCII each LF becomes CRLF, unless it is
    /// part of one.
    #[must_use]
    pub fn new(file: Box<dyn FSFile>, position: u64, transfer_type: TransferType) -> Self {
        Self {
            file,
            translation: (transfer_type == TransferType::Ascii).then(ToNetwork::default),
            position,
            buffer_size: 65_536,
        }
    }
}

impl Producer for FileProducer {
    fn more(&mut self, out: &mut Vec<u8>) -> io::Result<More> {
        let start = out.len();
        out.resize(start + self.buffer_size.max(1), 0);
        let read = loop {
            match self.file.read(&mut out[start..]) {
                Err(err) if err.kind() == io::ErrorKind::Interrupted => {}
                read => break read,
            }
        };
        out.truncate(start + read.as_ref().copied().unwrap_or(0));
        let read = read?;
        self.position += read as u64;
        if let Some(translation) = &mut self.translation {
            let chunk = out.split_off(start);
            translation.convert(&chunk, out);
        }
        Ok(if read == 0 { More::End } else { More::Yes })
    }

    fn file(&mut self) -> Option<(&mut dyn FSFile, u64)> {
        self.translation
            .is_none()
            .then_some((&mut *self.file, self.position))
    }

    fn finish(&mut self, completed: bool) {
        // What was read is sent; how closing it went changes nothing of that.
        let _ = self.file.finish(completed);
    }
}

impl fmt::Debug for FileProducer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileProducer")
            .field("file", &self.file.name())
            .field("position", &self.position)
            .finish_non_exhaustive()
    }
}

/// The items of an iterator, some at a time, as pyftpdlib's
/// `BufferedIteratorProducer`.
#[derive(Debug)]
pub struct BufferedIteratorProducer<I> {
    iterator: I,
    /// How many items are taken at once. 20.
    pub loops: usize,
}

impl<I, B> BufferedIteratorProducer<I>
where
    I: Iterator<Item = io::Result<B>>,
    B: AsRef<[u8]>,
{
    /// Takes its items one by one, each short to make.
    #[must_use]
    pub fn new(iterator: I) -> Self {
        Self {
            iterator,
            loops: 20,
        }
    }
}

impl<I, B> Producer for BufferedIteratorProducer<I>
where
    I: Iterator<Item = io::Result<B>>,
    B: AsRef<[u8]>,
{
    fn more(&mut self, out: &mut Vec<u8>) -> io::Result<More> {
        for _ in 0..self.loops {
            match self.iterator.next() {
                Some(item) => out.extend_from_slice(item?.as_ref()),
                None => return Ok(More::End),
            }
        }
        Ok(More::Yes)
    }
}
