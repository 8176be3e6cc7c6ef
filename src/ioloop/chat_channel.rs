//! A conversation on a loop: what users implement for a protocol of their own, and the channel
//! that calls it.

use std::any::Any;
use std::io;
use std::mem;
use std::time::Instant;

use super::chat::AsyncChat;
use super::core::{Channel, Io};
use super::event::{Readiness, Source};
use super::line::Step;
use super::stream::{Stream, is_disconnect};

/// The behaviour of a conversation: users implement it for a protocol of their own.
pub trait ChatHandler {
    /// The connection is made. `io` knows the name under which it gets messages ([`Io::id`]), and
    /// calls functions later.
    fn on_connect(&mut self, chat: &mut AsyncChat, io: &mut Io<'_>) {
        let _ = (chat, io);
    }

    /// A whole piece of input has come. `piece` does not include its terminator.
    fn found_terminator(&mut self, chat: &mut AsyncChat, piece: &[u8]);

    /// A piece was longer than the limit, and its rest is discarded. The stock body closes the
    /// connection.
    fn input_too_long(&mut self, chat: &mut AsyncChat) {
        chat.close();
    }

    /// A message has come that was sent with [`Io::send`] or [`Remote::send`](super::Remote::send).
    fn message(&mut self, chat: &mut AsyncChat, message: Box<dyn Any + Send>) {
        let _ = (chat, message);
    }

    /// The nearest deadline, if there is one. The loop reads it after every call.
    fn next_timeout(&self) -> Option<Instant> {
        None
    }

    /// The deadline of [`next_timeout`](Self::next_timeout) has come.
    fn handle_timeout(&mut self, chat: &mut AsyncChat) {
        let _ = chat;
    }

    /// The peer has sent its last byte. The connection is closed when the output is sent.
    fn handle_close(&mut self, chat: &mut AsyncChat) {
        let _ = chat;
    }

    /// The connection is closed, or could not be made.
    fn on_disconnect(&mut self) {}
}

/// A conversation and its handler as a [`Channel`].
#[derive(Debug)]
pub struct ChatChannel<H: ChatHandler> {
    chat: AsyncChat,
    handler: H,
    /// Whether input is kept that was not split yet, because output has to be sent first.
    held: bool,
    over: bool,
}

impl<H: ChatHandler> ChatChannel<H> {
    /// Makes a channel, which [`Io::add`] or [`IOLoop::add`](super::IOLoop::add) puts on a loop.
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
            if !is_disconnect(&err) {
                log::debug!(target: crate::log::TARGET, "a conversation failed: {err}");
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
        // No event comes for input that was read already.
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

/// How many times one call reads the socket at most.
const READS: usize = 8;
