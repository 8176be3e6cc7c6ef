//! Conversations: input in pieces, output in order. The control connection of FTP is one; users
//! make others with [`ChatHandler`](super::ChatHandler). What a piece means is not known here.

use std::borrow::Cow;
use std::fmt;
use std::io;
use std::mem;

use mio::Interest;

use super::core::Io;
use super::event::Source;
use super::line::{Splitter, Step, Terminator};
use super::output::Output;
use super::producer::Producer;
use super::socket::readable;
use super::stream::Stream;
use super::tls::NewTls;

/// A connection whose input comes in pieces and whose output may come from producers: as
/// Python's `async_chat`.
///
/// While the connection has output that the peer does not take, its input is not read.
pub struct AsyncChat {
    pub(crate) stream: Stream,
    /// Bytes that were read, but are not a whole piece yet, or whose turn has not come. Empty, and
    /// then without memory, most of the time.
    input: Vec<u8>,
    splitter: Splitter,
    terminator: Terminator,
    limit: usize,
    output: Output,
    end: End,
    /// Whether the peer has sent its last byte.
    peer_ended: bool,
    /// Whether the connection was closed because all of its output was sent.
    done: bool,
}

/// How far the closing of a connection has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// It has not begun.
    Open,
    /// The connection closes when its output is sent.
    WhenDone,
    /// The connection is closed.
    Closed,
}

/// The result of [`AsyncChat::read_into`].
pub(crate) struct Input {
    /// How many bytes are at the start of the buffer: those that were kept and new ones.
    pub(crate) size: usize,
    /// Whether the peer has sent its last byte.
    pub(crate) eof: bool,
}

impl AsyncChat {
    /// Makes a conversation by lines that end with CRLF.
    #[must_use]
    pub fn new(stream: Stream) -> Self {
        Self {
            stream,
            input: Vec::new(),
            splitter: Splitter::default(),
            terminator: Terminator::Bytes(Cow::Borrowed(b"\r\n")),
            limit: 4096,
            output: Output::default(),
            end: End::Open,
            peer_ended: false,
            done: false,
        }
    }

    /// Sets what ends a piece from now on: some bytes, which are not part of the piece; a count of
    /// bytes, at most 32,768; or nothing, so that input is handed on as it comes. A count of zero
    /// means the same as nothing.
    pub fn set_terminator(&mut self, terminator: Terminator) {
        self.terminator = match terminator {
            Terminator::Count(count) => Terminator::Count(count.min(LONGEST_PIECE)),
            other => other,
        };
    }

    /// Sets the longest piece that may end with bytes. 4,096 bytes by default, at most 32,768.
    pub fn set_limit(&mut self, limit: usize) {
        self.limit = limit.min(LONGEST_PIECE);
    }

    /// Sends bytes, after all output that was pushed before.
    pub fn push(&mut self, bytes: &[u8]) {
        self.output.push(bytes);
    }

    /// Sends the output of a producer, after all output that was pushed before.
    pub fn push_with_producer(&mut self, producer: Box<dyn Producer>) {
        self.output.push_with_producer(producer);
    }

    /// Closes the connection when all output is sent. No more input is taken.
    pub fn close_when_done(&mut self) {
        if self.end == End::Open {
            self.end = End::WhenDone;
        }
    }

    /// Closes the connection at once. Output that is not sent is lost.
    pub fn close(&mut self) {
        self.end = End::Closed;
    }

    /// Whether the connection is closed.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.end == End::Closed
    }

    /// Whether the connection is closed, or closes when its output is sent.
    #[must_use]
    pub fn is_closing(&self) -> bool {
        self.end != End::Open
    }

    /// Whether there is output that was not sent yet.
    #[must_use]
    pub fn has_output(&self) -> bool {
        !self.output.is_empty()
    }

    /// The stream of the connection.
    #[must_use]
    pub fn stream(&self) -> &Stream {
        &self.stream
    }

    /// The most bytes that may be needed for a whole piece.
    fn longest(&self) -> usize {
        match &self.terminator {
            Terminator::Bytes(bytes) => self.limit + bytes.len() + 1,
            Terminator::Line => self.limit + 3,
            // It has to be at least one, or nothing would be read.
            Terminator::Count(count) => (*count).max(1),
            Terminator::None => 1,
        }
    }

    /// Puts the kept input at the start of `buffer`, and reads once behind it.
    pub(crate) fn read_into(&mut self, buffer: &mut [u8]) -> io::Result<Input> {
        let kept = mem::take(&mut self.input);
        let start = kept.len();
        buffer[..start].copy_from_slice(&kept);
        // Whole pieces whose turn has not come yet are handed on before more is read.
        let read = if start < self.longest() {
            let end = buffer.len().min(start + READ_SIZE);
            match self.stream.read(&mut buffer[start..end]) {
                Ok(read) => read,
                Err(err) => {
                    self.input = kept;
                    return Err(err);
                }
            }
        } else {
            None
        };
        self.peer_ended |= read == Some(0);
        Ok(Input {
            size: start + read.unwrap_or(0),
            eof: read == Some(0),
        })
    }

    /// Takes the bytes that were kept, of a connection that is lost.
    pub(crate) fn take_kept(&mut self) -> Vec<u8> {
        mem::take(&mut self.input)
    }

    /// Finds the next piece of `input`.
    pub(crate) fn split<'a>(&mut self, input: &'a [u8]) -> Step<'a> {
        self.splitter.next(&self.terminator, self.limit, input)
    }

    /// Takes back the last step of [`split`](Self::split), a line that is too long.
    pub(crate) fn take_back(&mut self) {
        self.splitter.take_back();
    }

    /// Keeps the rest of the input for the next read. If TLS has begun meanwhile, the rest belongs
    /// to the handshake, so that no command that was sent in clear is run under TLS.
    pub(crate) fn keep(&mut self, rest: &[u8]) {
        if self.stream.is_handshaking() {
            self.stream.put_back(rest);
        } else {
            self.input = rest.to_vec();
        }
    }

    /// Puts the connection under TLS, as the server. Output that waits is sent in clear first.
    pub(crate) fn secure(&mut self, new: NewTls) -> io::Result<()> {
        let sent_in_clear = self.output.take_bytes();
        self.stream.secure(new, sent_in_clear)?;
        let kept = mem::take(&mut self.input);
        self.stream.put_back(&kept);
        Ok(())
    }

    /// Sends as much output as the peer takes. Returns whether to go on in the next round.
    pub(crate) fn flush(&mut self) -> io::Result<bool> {
        if self.end == End::Closed {
            return Ok(false);
        }
        self.stream.flush()?;
        let again = self.output.flush(&mut self.stream)?;
        if self.end == End::WhenDone && self.output.is_empty() && self.stream.finish()? {
            self.end = End::Closed;
            self.done = true;
        }
        Ok(again)
    }

    /// Sends as much output as the peer takes, for the last time and without waiting.
    pub(crate) fn last_flush(&mut self) {
        let _ = self.output.flush(&mut self.stream);
        let _ = self.stream.finish();
    }

    /// Whether the connection was closed at this end after its last output, while the peer may
    /// still send.
    pub(crate) fn may_linger(&self) -> bool {
        self.done && !self.peer_ended && !self.stream.is_read_closed()
    }

    /// How many bytes of output wait. What producers are still to make does not count.
    pub(crate) fn output_size(&self) -> usize {
        self.output.size()
    }

    /// Whether output is still to be produced.
    pub(crate) fn has_producer(&self) -> bool {
        self.output.has_producer()
    }

    /// Whether all output has left, as ciphertext if the connection is under TLS.
    pub(crate) fn is_sent(&self) -> bool {
        self.output.is_empty() && self.stream.is_flushed()
    }

    /// Whether the peer has not taken all of the output.
    pub(crate) fn is_blocked(&self) -> bool {
        self.has_output() && !self.stream.is_writable()
    }

    /// Makes the loop watch the socket: for room if output waits for it, and for input if
    /// `wants_input`.
    pub(crate) fn watch(
        &mut self,
        io: &mut Io<'_>,
        source: Source,
        wants_input: bool,
    ) -> io::Result<()> {
        if self.end == End::Closed {
            return Ok(());
        }
        let input = wants_input.then(readable);
        let output = self.is_blocked().then_some(Interest::WRITABLE);
        let interest = match (input, output) {
            (Some(input), Some(output)) => Some(input | output),
            (input, output) => input.or(output),
        };
        self.stream.watch(io, source, interest)
    }
}

impl fmt::Debug for AsyncChat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AsyncChat")
            .field("stream", &self.stream)
            .field("end", &self.end)
            .finish_non_exhaustive()
    }
}

/// How many bytes are read at once. No more than these are kept while their turn has not come.
const READ_SIZE: usize = 8 * 1024;

/// The longest piece, in bytes: it fits the loop's buffer with the next read behind it.
const LONGEST_PIECE: usize = 32 * 1024;
