//! The parts of an event: the channel ([`ChannelId`]), its socket ([`Source`]), and what that is
//! ready for ([`Readiness`]).

use mio::Token;
use mio::event::Event;

/// The number that a channel gave to one of its sockets.
pub type Source = u8;

/// The operations that a socket is ready for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[allow(
    clippy::struct_excessive_bools,
    reason = "independent facts, as the system reports them"
)]
pub struct Readiness {
    /// A read may bring something.
    pub readable: bool,
    /// There may be room for a write.
    pub writable: bool,
    /// The peer has sent its last byte, or the connection failed.
    pub read_closed: bool,
    /// Nothing can be sent any more, or the connection failed.
    pub write_closed: bool,
    /// Urgent data waits. A read stops short before it.
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

/// The name of a channel on its loop.
///
/// The loop never gives the same name to another channel, so an event, a message or a deadline
/// that comes after its channel has gone reaches no other one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ChannelId {
    pub(super) slot: u32,
    pub(super) generation: u32,
}

impl ChannelId {
    /// The name of no channel.
    pub(crate) const NOBODY: Self = Self {
        slot: u32::MAX,
        generation: u32::MAX,
    };

    pub(super) const GENERATIONS: u32 = 1 << 24;

    /// Packs the name and the number of a source: `generation:24 | slot:32 | source:8`.
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
