//! Conversations: input in pieces, output in order. The control connection of
//! FTP is one; users make others with [`ChatHandler`]. What a
//! piece means is theirs.

use std::borrow::Cow;
use std::fmt;
use std::io;
use std::mem;
use std::sync::Arc;

use mio::Interest;
use rustls::ServerConfig;

use super::core::Io;
use super::event::Source;
use super::line::{Splitter, Step, Terminator};
use super::output::Output;
use super::producer::Producer;
use super::socket::readable;
use super::stream::Stream;

/// A connection whose input comes in pieces and whose output may be produced,
/// as `async_chat` of Python.
///
/// While it has output that the peer does not take, its input is not read.
pub struct AsyncChat {
    pub(crate) stream: Stream,
    /// Read, but not yet a whole piece, or not yet its turn. Empty (and then
    /// without memory) most of the time.
    input: Vec<u8>,
    splitter: Splitter,
    terminator: Terminator,
    limit: usize,
    output: Output,
    end: End,
}

/// How far its end has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// Not begun.
    Open,
    /// After the output.
    WhenDone,
    /// Now.
    Closed,
}

/// What [`AsyncChat::read_into`] brought.
pub(crate) struct Input {
    /// Bytes at the start of the buffer: kept ones and new ones.
    pub(crate) size: usize,
    /// No more will come.
    pub(crate) eof: bool,
}

impl AsyncChat {
    /// A conversation by lines that end with CRLF.
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
        }
    }

    /// What ends a piece from now on: some bytes, which are not part of the
    /// piece, or a count of bytes (at most 32,768), or nothing (what comes is
    /// handed on; so it is for a count of zero).
    pub fn set_terminator(&mut self, terminator: Terminator) {
        self.terminator = match terminator {
            Terminator::Count(count) => Terminator::Count(count.min(LONGEST_PIECE)),
            other => other,
        };
    }

    /// The longest piece that ends with bytes: 4,096 bytes at first, at most 32,768.
    pub fn set_limit(&mut self, limit: usize) {
        self.limit = limit.min(LONGEST_PIECE);
    }

    /// Sends bytes, after all that was pushed before.
    pub fn push(&mut self, bytes: &[u8]) {
        self.output.push(bytes);
    }

    /// Sends what a producer makes, after all that was pushed before.
    pub fn push_with_producer(&mut self, producer: Box<dyn Producer>) {
        self.output.push_with_producer(producer);
    }

    /// Closes when all output is sent; no more input is taken.
    pub fn close_when_done(&mut self) {
        if self.end == End::Open {
            self.end = End::WhenDone;
        }
    }

    /// Closes at once; what is not sent is lost.
    pub fn close(&mut self) {
        self.end = End::Closed;
    }

    /// Whether it is closed.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.end == End::Closed
    }

    /// Whether it is closed, or will be when its output is sent.
    #[must_use]
    pub fn is_closing(&self) -> bool {
        self.end != End::Open
    }

    /// Whether there is output that is not sent yet.
    #[must_use]
    pub fn has_output(&self) -> bool {
        !self.output.is_empty()
    }

    /// The connection.
    #[must_use]
    pub fn stream(&self) -> &Stream {
        &self.stream
    }

    /// More than this can not be needed to make a piece whole.
    fn longest(&self) -> usize {
        match &self.terminator {
            Terminator::Bytes(bytes) => self.limit + bytes.len() + 1,
            // None are needed, but one has to be asked for.
            Terminator::Count(count) => (*count).max(1),
            Terminator::None => 1,
        }
    }

    /// Puts the kept input at the start of `buffer` and reads once behind it.
    pub(crate) fn read_into(&mut self, buffer: &mut [u8]) -> io::Result<Input> {
        let kept = mem::take(&mut self.input);
        let start = kept.len();
        buffer[..start].copy_from_slice(&kept);
        // Whole pieces whose turn has not come yet come before more of them.
        let read = if start < self.longest() {
            let end = buffer.len().min(start + READ_SIZE);
            self.stream.read(&mut buffer[start..end])?
        } else {
            None
        };
        Ok(Input {
            size: start + read.unwrap_or(0),
            eof: read == Some(0),
        })
    }

    /// The next piece of `input`.
    pub(crate) fn split<'a>(&mut self, input: &'a [u8]) -> Step<'a> {
        self.splitter.next(&self.terminator, self.limit, input)
    }

    /// Keeps what is left of the input for the next time. If TLS has begun
    /// meanwhile it is part of the handshake, where no command can hide.
    pub(crate) fn keep(&mut self, rest: &[u8]) {
        if self.stream.is_handshaking() {
            self.stream.put_back(rest);
        } else {
            self.input = rest.to_vec();
        }
    }

    /// From now on under TLS, as the server. What waits to be sent goes out in
    /// clear before.
    pub(crate) fn secure(&mut self, config: Arc<ServerConfig>) -> io::Result<()> {
        let sent_in_clear = self.output.take_bytes();
        self.stream.secure(config, sent_in_clear)?;
        let kept = mem::take(&mut self.input);
        self.stream.put_back(&kept);
        Ok(())
    }

    /// Sends what the peer takes. Returns whether to go on in the next round.
    pub(crate) fn flush(&mut self) -> io::Result<bool> {
        if self.end == End::Closed {
            return Ok(false);
        }
        self.stream.flush()?;
        let again = self.output.flush(&mut self.stream)?;
        if self.end == End::WhenDone && self.output.is_empty() && self.stream.finish()? {
            self.end = End::Closed;
        }
        Ok(again)
    }

    /// Sends what the peer takes at the end, without waiting.
    pub(crate) fn last_flush(&mut self) {
        let _ = self.output.flush(&mut self.stream);
        let _ = self.stream.finish();
    }

    /// Output that waits to be sent, but for what producers will make.
    pub(crate) fn output_size(&self) -> usize {
        self.output.size()
    }

    /// Whether output is still to be produced.
    pub(crate) fn has_producer(&self) -> bool {
        self.output.has_producer()
    }

    /// Whether the peer has not taken all of the output.
    pub(crate) fn is_blocked(&self) -> bool {
        self.has_output() && !self.stream.is_writable()
    }

    /// Watches the connection for what the state calls for; for input only if
    /// `listens`.
    pub(crate) fn watch(
        &mut self,
        io: &mut Io<'_>,
        source: Source,
        listens: bool,
    ) -> io::Result<()> {
        if self.end == End::Closed {
            return Ok(());
        }
        let input = listens.then(readable);
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

/// Bytes read at once: also the most that is kept while its turn has not come.
const READ_SIZE: usize = 8 * 1024;

/// A piece has to fit the loop's buffer, with the next read behind it.
const LONGEST_PIECE: usize = 32 * 1024;
