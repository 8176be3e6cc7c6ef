//! What the loop knows of those who live on it: a [`Channel`] behind a number.

use std::any::Any;
use std::time::Instant;

use mio::Token;
use mio::event::Event;

use super::Io;

/// Something that owns sockets and is driven by an [`IOLoop`](super::IOLoop).
///
/// A channel may own up to 256 sources (sockets), which it numbers itself. Each
/// call gets the loop as an [`Io`]; what a call leaves behind - its next
/// deadline, whether it is closed - is read by the loop when the call returns.
///
/// The loop is edge-triggered: after an event a channel reads or writes until
/// the socket would block, or calls [`Io::again`] to go on in the next round.
/// Never neither.
pub trait Channel: Any {
    /// The channel is on the loop now: register the sources here.
    fn opened(&mut self, io: &mut Io<'_>) {
        let _ = io;
    }

    /// A source is ready.
    fn ready(&mut self, io: &mut Io<'_>, source: Source, readiness: Readiness);

    /// The next round after [`Io::again`].
    fn again(&mut self, io: &mut Io<'_>) {
        let _ = io;
    }

    /// The deadline of [`next_timeout`](Self::next_timeout) has come.
    fn timeout(&mut self, io: &mut Io<'_>) {
        let _ = io;
    }

    /// The nearest deadline; read again after every call.
    fn next_timeout(&self) -> Option<Instant> {
        None
    }

    /// A message that was sent with [`Io::send`] or [`Remote::send`](super::Remote::send).
    fn message(&mut self, io: &mut Io<'_>, message: Box<dyn Any + Send>) {
        let _ = (io, message);
    }

    /// The server is to end soon: nothing new should be begun, and the channel
    /// should end when what goes on is finished.
    fn drain(&mut self, io: &mut Io<'_>) {
        let _ = io;
    }

    /// The loop ends, or a call into this channel panicked: let go of everything.
    /// [`is_closed`](Self::is_closed) is true afterwards.
    fn close(&mut self, io: &mut Io<'_>);

    /// Whether the loop shall drop this channel.
    fn is_closed(&self) -> bool;
}

/// The number that a channel gave to one of its sockets.
pub type Source = u8;

/// What a socket is ready for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[allow(
    clippy::struct_excessive_bools,
    reason = "independent facts, as the system reports them"
)]
pub struct Readiness {
    /// There may be something to read.
    pub readable: bool,
    /// There may be room to write.
    pub writable: bool,
    /// The peer has sent its last byte, or the connection failed.
    pub read_closed: bool,
    /// Nothing can be sent any more, or the connection failed.
    pub write_closed: bool,
    /// Urgent data waits; a read stops short before it.
    pub urgent: bool,
}

impl From<&Event> for Readiness {
    fn from(event: &Event) -> Self {
        Self {
            readable: event.is_readable() || event.is_read_closed() || event.is_error(),
            writable: event.is_writable() || event.is_write_closed() || event.is_error(),
            read_closed: event.is_read_closed() || event.is_error(),
            write_closed: event.is_write_closed() || event.is_error(),
            urgent: event.is_priority(),
        }
    }
}

/// The name of a channel on its loop. It is never used again for another, so a
/// late event, message or timer of a closed channel reaches nobody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ChannelId {
    pub(super) slot: u32,
    pub(super) generation: u32,
}

impl ChannelId {
    pub(super) const GENERATIONS: u32 = 1 << 24;

    /// `generation:24 | slot:32 | source:8`.
    pub(super) fn token(self, source: Source) -> Token {
        let packed = u64::from(self.generation) << 40 | u64::from(self.slot) << 8;
        // Lossless: see the assertion below.
        #[allow(clippy::cast_possible_truncation, reason = "usize has 64 bits")]
        Token((packed | u64::from(source)) as usize)
    }

    #[allow(clippy::cast_possible_truncation, reason = "this takes the parts out")]
    pub(super) fn from_token(token: Token) -> (Self, Source) {
        let packed = token.0 as u64;
        let id = Self {
            slot: (packed >> 8) as u32,
            generation: (packed >> 40) as u32,
        };
        (id, packed as u8)
    }
}

const _: () = assert!(usize::BITS == 64, "a token needs 64 bits");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_hold_what_they_are_made_of() {
        for (slot, generation, source) in [(0, 0, 0), (u32::MAX, 0xff_ffff, 255), (7, 1 << 23, 3)] {
            let id = ChannelId { slot, generation };
            assert_eq!(ChannelId::from_token(id.token(source)), (id, source));
        }
    }
}
