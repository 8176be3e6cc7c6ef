//! Conversations: input in pieces, output in order. The control connection of
//! FTP is one; users make others with [`ChatHandler`]. What a
//! piece means is theirs.

use std::any::Any;
use std::borrow::Cow;
use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::mem;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mio::Interest;
use rustls::ServerConfig;

use super::line::{Splitter, Step, Terminator};
use super::producer::{More, Producer};
use super::stream::{self, Stream};
use super::{Channel, Io, Readiness, Source};

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
        self.output.queue.is_some()
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
        let input = listens.then(stream::readable);
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

/// The output that is not sent yet: bytes first, then what produces more.
#[derive(Default)]
struct Output {
    bytes: Vec<u8>,
    sent: usize,
    /// Boxed, since most conversations never have one.
    #[allow(
        clippy::box_collection,
        reason = "three words less for each idle session"
    )]
    queue: Option<Box<VecDeque<Item>>>,
}

enum Item {
    Bytes(Vec<u8>),
    Producer(Box<dyn Producer>),
}

impl Output {
    fn is_empty(&self) -> bool {
        self.bytes.is_empty() && self.queue.is_none()
    }

    /// Takes the bytes out that come before all producers.
    fn take_bytes(&mut self) -> Vec<u8> {
        let bytes = self.bytes.split_off(self.sent);
        self.bytes = Vec::new();
        self.sent = 0;
        bytes
    }

    fn size(&self) -> usize {
        let queued = self.queue.as_ref().map_or(0, |queue| {
            let sizes = queue.iter().map(|item| match item {
                Item::Bytes(bytes) => bytes.len(),
                Item::Producer(_) => 0,
            });
            sizes.sum()
        });
        self.bytes.len() - self.sent + queued
    }

    fn push(&mut self, bytes: &[u8]) {
        let Some(queue) = &mut self.queue else {
            self.bytes.extend_from_slice(bytes);
            return;
        };
        match queue.back_mut() {
            Some(Item::Bytes(last)) => last.extend_from_slice(bytes),
            _ => queue.push_back(Item::Bytes(bytes.to_vec())),
        }
    }

    fn push_with_producer(&mut self, producer: Box<dyn Producer>) {
        let queue = self.queue.get_or_insert_default();
        queue.push_back(Item::Producer(producer));
    }

    fn flush(&mut self, stream: &mut Stream) -> io::Result<bool> {
        let mut budget = OUTPUT_BUDGET;
        let end = self.queue.as_ref().map(|_| Instant::now() + OUTPUT_TIME);
        loop {
            while self.sent < self.bytes.len() {
                if budget == 0 {
                    return Ok(true);
                }
                let Some(sent) = stream.write(&self.bytes[self.sent..])? else {
                    return Ok(false);
                };
                self.sent += sent;
                budget = budget.saturating_sub(sent);
            }
            self.sent = 0;
            self.bytes.clear();
            let late = || end.is_some_and(|end| Instant::now() >= end);
            if self.queue.is_some() && (budget == 0 || late()) {
                return Ok(true);
            }
            if !self.refill(&mut budget)? {
                // All is sent: an idle conversation holds no memory for it.
                self.bytes = Vec::new();
                return Ok(false);
            }
        }
    }

    /// Fills the bytes from the queue; false if there is none.
    fn refill(&mut self, budget: &mut usize) -> io::Result<bool> {
        let Some(queue) = &mut self.queue else {
            return Ok(false);
        };
        match queue.pop_front() {
            Some(Item::Bytes(bytes)) => self.bytes = bytes,
            Some(Item::Producer(mut producer)) => {
                let more = producer.more(&mut self.bytes).unwrap_or_else(|err| {
                    // Of the producer, not of the connection: what follows goes on.
                    log::warn!(target: crate::log::TARGET, "output ends early: {err}");
                    More::End
                });
                if more == More::Yes {
                    queue.push_front(Item::Producer(producer));
                    // Work that yields nothing has its price too.
                    *budget = budget.saturating_sub(1024);
                }
            }
            None => {
                self.queue = None;
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// What a protocol of one's own does with a conversation.
pub trait ChatHandler {
    /// The connection is there. `io` tells its name for messages ([`Io::id`]), and
    /// calls functions later.
    fn on_connect(&mut self, chat: &mut AsyncChat, io: &mut Io<'_>) {
        let _ = (chat, io);
    }

    /// A piece of input is whole; it comes without its terminator.
    fn found_terminator(&mut self, chat: &mut AsyncChat, piece: &[u8]);

    /// A piece was longer than the limit; the rest of it is thrown away. The
    /// stock body closes.
    fn input_too_long(&mut self, chat: &mut AsyncChat) {
        chat.close();
    }

    /// A message came, from [`Io::send`] or [`Remote::send`](super::Remote::send).
    fn message(&mut self, chat: &mut AsyncChat, message: Box<dyn Any + Send>) {
        let _ = (chat, message);
    }

    /// The nearest deadline, if there is one.
    fn next_timeout(&self) -> Option<Instant> {
        None
    }

    /// It has come.
    fn handle_timeout(&mut self, chat: &mut AsyncChat) {
        let _ = chat;
    }

    /// The peer has sent its last byte: the connection is closed when the output
    /// is sent.
    fn handle_close(&mut self, chat: &mut AsyncChat) {
        let _ = chat;
    }

    /// The connection is gone.
    fn on_disconnect(&mut self) {}
}

/// A conversation and its handler as a [`Channel`].
#[derive(Debug)]
pub struct ChatChannel<H: ChatHandler> {
    chat: AsyncChat,
    handler: H,
    /// Whether input is kept that was not looked at, since output came first.
    held: bool,
    over: bool,
}

impl<H: ChatHandler> ChatChannel<H> {
    /// To be put on a loop with [`Io::add`] or [`IOLoop::add`](super::IOLoop::add).
    #[must_use]
    pub fn new(stream: Stream, handler: H) -> Self {
        Self {
            chat: AsyncChat::new(stream),
            handler,
            held: false,
            over: false,
        }
    }

    fn run(&mut self, io: &mut Io<'_>) {
        let mut buffer = io.take_buffer();
        let result = self.take_input(io, &mut buffer);
        io.return_buffer(buffer);
        let result = result.and_then(|()| self.reconcile(io));
        if let Err(err) = result {
            if !stream::is_disconnect(&err) {
                log::debug!(target: crate::log::TARGET, "conversation ends: {err}");
            }
            self.chat.close();
        }
        self.reap();
    }

    fn take_input(&mut self, io: &mut Io<'_>, buffer: &mut [u8]) -> io::Result<()> {
        let may_read = |chat: &AsyncChat| !chat.is_closing() && !chat.has_output();
        for _ in 0..READS {
            if !may_read(&self.chat) {
                return Ok(());
            }
            self.held = false;
            let input = self.chat.read_into(buffer)?;
            let mut rest = &buffer[..input.size];
            let before = rest.len();
            loop {
                if !may_read(&self.chat) {
                    self.held = !rest.is_empty();
                    break;
                }
                match self.chat.split(rest) {
                    Step::Piece { piece, consumed } => {
                        self.handler.found_terminator(&mut self.chat, piece);
                        rest = &rest[consumed..];
                    }
                    Step::TooLong { consumed } => {
                        self.handler.input_too_long(&mut self.chat);
                        rest = &rest[consumed..];
                    }
                    Step::Skipped { consumed } => rest = &rest[consumed..],
                    Step::More => break,
                }
                if let Err(err) = self.chat.flush() {
                    self.chat.keep(rest);
                    return Err(err);
                }
            }
            let progress = rest.len() < before;
            self.chat.keep(rest);
            if input.eof {
                self.handler.handle_close(&mut self.chat);
                self.chat.close_when_done();
                return Ok(());
            }
            if !progress && !self.chat.stream.is_readable() {
                return Ok(());
            }
        }
        io.again();
        Ok(())
    }

    fn reconcile(&mut self, io: &mut Io<'_>) -> io::Result<()> {
        let again = self.chat.flush()?;
        // No event tells of input that was read already.
        let input = self.held || self.chat.stream.is_readable();
        if again || (input && !self.chat.has_output()) {
            io.again();
        }
        self.chat.watch(io, SOURCE, true)
    }

    fn reap(&mut self) {
        if self.chat.is_closed() && !mem::replace(&mut self.over, true) {
            self.handler.on_disconnect();
        }
    }
}

impl<H: ChatHandler + 'static> Channel for ChatChannel<H> {
    fn opened(&mut self, io: &mut Io<'_>) {
        self.handler.on_connect(&mut self.chat, io);
        self.run(io);
    }

    fn ready(&mut self, io: &mut Io<'_>, _source: Source, readiness: Readiness) {
        self.chat.stream.on_ready(readiness);
        self.run(io);
    }

    fn again(&mut self, io: &mut Io<'_>) {
        self.run(io);
    }

    fn timeout(&mut self, io: &mut Io<'_>) {
        self.handler.handle_timeout(&mut self.chat);
        self.run(io);
    }

    fn next_timeout(&self) -> Option<Instant> {
        self.handler.next_timeout()
    }

    fn message(&mut self, io: &mut Io<'_>, message: Box<dyn Any + Send>) {
        self.handler.message(&mut self.chat, message);
        self.run(io);
    }

    fn close(&mut self, _io: &mut Io<'_>) {
        self.chat.close();
        self.reap();
    }

    fn is_closed(&self) -> bool {
        self.chat.is_closed()
    }
}

/// The number of a conversation's only socket.
const SOURCE: Source = 0;

/// Bytes read at once: also the most that is kept while its turn has not come.
const READ_SIZE: usize = 8 * 1024;

/// A piece has to fit the loop's buffer, with the next read behind it.
const LONGEST_PIECE: usize = 32 * 1024;

/// Reads of one call.
const READS: usize = 8;

/// How long output is made in one call.
const OUTPUT_TIME: Duration = Duration::from_millis(1);

/// Bytes sent in one call.
const OUTPUT_BUDGET: usize = 64 * 1024;
