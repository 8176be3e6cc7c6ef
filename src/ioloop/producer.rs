//! Where the output of a channel comes from, when it is more than some bytes.
//!
//! A producer makes bytes when it is asked to. It knows neither the connection that they go
//! out on, nor how many are wanted in all.

use std::fs::File;
use std::io;

/// A source of output, as the producers of asynchat.
pub trait Producer {
    /// Appends the next bytes to `out`: a short piece of work, at most some
    /// tens of KiB, without waiting.
    ///
    /// # Errors
    /// Ends the output; on a data connection the reply is 426 with the
    /// system's text.
    fn more(&mut self, out: &mut Vec<u8>) -> io::Result<More>;

    /// The file behind this producer, if its bytes go out as they are: `sendfile` is
    /// used then, and [`more`](Self::more) is not called.
    fn file(&mut self) -> Option<SourceFile<'_>> {
        None
    }

    /// The transfer ends; `completed` tells a whole file from a cut one.
    fn finish(&mut self, completed: bool) {
        let _ = completed;
    }
}

/// A file of the system that a producer sends byte for byte.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct SourceFile<'a> {
    /// The file.
    pub file: &'a File,
    /// The position reached, in bytes.
    pub position: u64,
    /// The size when the file was opened, in bytes, if it is known. A download that has
    /// come so far may end there.
    pub size_when_opened: Option<u64>,
}

impl<'a> SourceFile<'a> {
    /// A file whose size is not known.
    #[must_use]
    pub fn new(file: &'a File, position: u64) -> Self {
        Self {
            file,
            position,
            size_when_opened: None,
        }
    }

    /// Whether `position` is at or behind the end of the file. Asks the system only if
    /// the size is not known.
    pub(crate) fn ends_at(&self, position: u64) -> bool {
        match self.size_when_opened {
            Some(size) => position >= size,
            None => self
                .file
                .metadata()
                .is_ok_and(|data| position >= data.len()),
        }
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
