//! Producers: output that is made while it is sent.
//!
//! A producer makes bytes when it is asked to. It knows neither the connection that sends them,
//! nor how many are wanted in all.

use std::fs::File;
use std::io;
use std::task::Waker;

use crate::sys;

/// A source of output, as the producers of Python's asynchat.
pub trait Producer {
    /// Appends the next bytes to `out`: at most some tens of KiB, in a short time and without
    /// waiting.
    ///
    /// # Errors
    /// An error ends the output. On a data connection the reply is 426 with the system's text.
    fn more(&mut self, out: &mut Vec<u8>) -> io::Result<More>;

    /// The output comes from elsewhere: `waker` wakes the connection when there is some after
    /// [`More::Later`]. Called once, before the first call of [`more`](Self::more).
    ///
    /// The waker may be called from any thread, at any time and often, also after the transfer. A
    /// future or a stream is polled with `Context::from_waker(&waker)`.
    fn set_waker(&mut self, waker: Waker) {
        let _ = waker;
    }

    /// The file behind this producer, if its bytes are sent unchanged. `sendfile` is used then, and
    /// [`more`](Self::more) is not called.
    fn file(&mut self) -> Option<SourceFile<'_>> {
        None
    }

    /// The transfer has ended. `completed` is true if all of the output was sent.
    fn finish(&mut self, completed: bool) {
        let _ = completed;
    }
}

/// A file of the system whose bytes a producer sends unchanged.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct SourceFile<'a> {
    /// The file.
    pub file: &'a File,
    /// The position reached, in bytes.
    pub position: u64,
    /// The size when the file was opened, in bytes, if it is known. A download may end when it has
    /// reached this size, and is not complete before.
    pub size_when_opened: Option<u64>,
}

impl<'a> SourceFile<'a> {
    /// Makes a source from a file whose size is not known.
    #[must_use]
    pub fn new(file: &'a File, position: u64) -> Self {
        Self {
            file,
            position,
            size_when_opened: None,
        }
    }

    /// Reads the rest of the file from `position`, if the size is known and at most `max` bytes
    /// are left. Returns how many bytes were read; `None` if the file is not what it was when it
    /// was opened, too.
    pub(crate) fn read_rest(&self, position: u64, max: usize, buffer: &mut [u8]) -> Option<usize> {
        let rest = self.size_when_opened?.checked_sub(position)?;
        let rest = usize::try_from(rest).ok()?;
        if rest == 0 || rest > max {
            return None;
        }
        // One byte more, by which a file that has grown is noticed.
        let buffer = buffer.get_mut(..=max)?;
        let read = sys::pread(self.file, buffer, position).ok()?;
        (read >= rest && read <= max).then_some(read)
    }

    /// Whether `position` is at or behind the end of the file. The system is asked only if the size
    /// is not known.
    pub(crate) fn ends_at(&self, position: u64) -> bool {
        match self.size_when_opened {
            Some(size) => position >= size,
            None => self
                .file
                .metadata()
                .is_ok_and(|data| position >= data.len()),
        }
    }

    /// Whether the file is shorter at its end, `position`, than when it was opened.
    pub(crate) fn is_cut_at(&self, position: u64) -> bool {
        self.size_when_opened.is_some_and(|size| position < size)
    }
}

/// The result of [`Producer::more`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum More {
    /// There may be more. It is allowed to append nothing: `more` is called again, at once.
    Yes,
    /// There is nothing yet. What was appended is sent, and `more` is called again when the
    /// [waker](Producer::set_waker) was called, or earlier. Until then the producer costs nothing.
    /// If it is never woken, the [data time-out](crate::DTPConfig::timeout) ends the transfer. A
    /// [chat](super::AsyncChat::push_with_producer) has no waker, and takes this as [`Yes`](Self::Yes).
    Later,
    /// There is no more output.
    End,
}

/// A producer of the items of an iterator, some at a time: as pyftpdlib's
/// `BufferedIteratorProducer`.
#[derive(Debug)]
pub struct BufferedIteratorProducer<I> {
    iterator: I,
    /// How many items one call takes. 20 by default.
    pub loops: usize,
}

impl<I, B> BufferedIteratorProducer<I>
where
    I: Iterator<Item = io::Result<B>>,
    B: AsRef<[u8]>,
{
    /// Makes a producer. Each item has to be made in a short time.
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
