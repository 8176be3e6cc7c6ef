//! The end of a connection whose peer may still send: what comes is discarded, so that the peer
//! can read what was sent to it before.

use std::any::Any;
use std::io;
use std::time::{Duration, Instant};

use mio::Interest;

use super::core::{Channel, Io};
use super::event::{Readiness, Source};
use super::socket::readable;
use super::stream::Stream;

/// A connection that is over at this end. If it was closed while the peer sends, the system would
/// reset it, and the peer might lose the last bytes that were sent, here or on a connection next
/// to it.
pub(crate) struct Linger {
    stream: Stream,
    /// How long the peer may be silent.
    silence: Duration,
    /// When the peer will have been silent for too long.
    silent_at: Instant,
    /// When the connection is closed in any case.
    end: Instant,
    /// How many more bytes are discarded.
    left: usize,
    closed: bool,
    /// Dropped with the connection.
    _kept: Box<dyn Any>,
}

/// How long a connection lingers at most.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LingerLimits {
    /// The time between two bytes.
    pub(crate) silence: Duration,
    /// The time in all.
    pub(crate) time: Duration,
    /// The bytes that are discarded.
    pub(crate) bytes: usize,
}

impl Linger {
    /// Ends the sending, under TLS without `close_notify`: a download that was cut must not look
    /// whole. `kept` is dropped when the connection is closed.
    pub(crate) fn new(
        stream: Stream,
        kept: Box<dyn Any>,
        limits: LingerLimits,
        now: Instant,
    ) -> Self {
        // A failure shows when something is read.
        let _ = stream.shutdown();
        Self {
            stream,
            silence: limits.silence,
            silent_at: now + limits.silence,
            end: now + limits.time,
            left: limits.bytes,
            closed: false,
            _kept: kept,
        }
    }

    /// Leaves the channel that has watched the stream so far.
    ///
    /// # Errors
    /// Those of the system.
    pub(crate) fn leave(&mut self, io: &mut Io<'_>) -> io::Result<()> {
        self.stream.watch(io, 0, None)
    }

    /// Discards what has come, as far as the budget of a turn allows.
    fn discard(&mut self, io: &mut Io<'_>) {
        let mut buffer = io.take_buffer();
        let mut budget = BUDGET;
        while !self.closed {
            if budget == 0 {
                io.again();
                break;
            }
            match self.stream.discard(&mut buffer) {
                Ok(None) => break,
                Ok(Some(size @ 1..)) if size < self.left => {
                    self.left -= size;
                    budget = budget.saturating_sub(size);
                    self.silent_at = io.now() + self.silence;
                }
                // The peer has closed the connection, or sends too much.
                Ok(Some(_)) | Err(_) => self.closed = true,
            }
        }
        io.return_buffer(buffer);
    }
}

impl Channel for Linger {
    fn opened(&mut self, io: &mut Io<'_>) {
        let interest: Interest = readable();
        if self.stream.watch(io, 0, Some(interest)).is_err() {
            self.closed = true;
        }
        self.stream.look_for_input();
        self.discard(io);
    }

    fn ready(&mut self, io: &mut Io<'_>, _source: Source, readiness: Readiness) {
        self.stream.on_ready(readiness);
        self.discard(io);
    }

    fn again(&mut self, io: &mut Io<'_>) {
        self.discard(io);
    }

    fn timeout(&mut self, io: &mut Io<'_>) {
        self.closed |= self.silent_at.min(self.end) <= io.now();
    }

    fn next_timeout(&self) -> Option<Instant> {
        Some(self.silent_at.min(self.end))
    }

    fn drain(&mut self, _io: &mut Io<'_>) {
        // The server need not wait for a peer that has had its reply.
        self.closed = true;
    }

    fn close(&mut self, _io: &mut Io<'_>) {
        self.closed = true;
    }

    fn is_closed(&self) -> bool {
        self.closed
    }
}

/// How many bytes are discarded in one turn.
const BUDGET: usize = 256 * 1024;
