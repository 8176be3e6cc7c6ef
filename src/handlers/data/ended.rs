//! A transfer that is over, but whose final reply has not been sent.

use std::borrow::Cow;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::outcome::Outcome;
use crate::ioloop::{Linger, LingerLimits, Readiness, Stream};
use crate::limits::Slot;
use crate::time::after;
use crate::uploads::Claim;

/// What is reported about a transfer that is over.
pub(crate) struct Ended {
    pub(crate) outcome: Outcome,
    /// The claim of an upload to its file, until its reply is sent.
    pub(crate) claim: Option<Claim>,
    pub(crate) cmd: Cow<'static, str>,
    /// The file, if the transfer was one of a file.
    pub(crate) file_name: Option<PathBuf>,
    /// What was listed, if the transfer was a stock listing.
    pub(crate) listed: Option<PathBuf>,
    pub(crate) receive: bool,
    pub(crate) bytes: u64,
    pub(crate) elapsed: Duration,
}

/// A data connection that the server has shut down, until its final reply is due: when the
/// client has closed its side too, or at `due`.
pub(crate) struct EndingDTP {
    pub(crate) stream: Stream,
    pub(crate) slot: Slot,
    pub(crate) due: Instant,
    pub(crate) ended: Ended,
}

impl EndingDTP {
    /// Takes note of an event of the socket.
    pub(crate) fn on_ready(&mut self, readiness: Readiness) {
        self.stream.on_ready(readiness);
        if readiness.readable && !readiness.read_closed {
            self.stream.discard_input();
        }
    }

    /// Whether the final reply is due.
    pub(crate) fn is_due(&self, now: Instant) -> bool {
        self.stream.is_read_closed() || self.due <= now
    }

    /// Closes the socket. Unread input would reset the connection, and the client might lose
    /// bytes that are still on their way.
    pub(crate) fn close(mut self) -> Ended {
        if self.stream.is_secure() && !self.stream.is_read_closed() {
            self.stream.discard_input();
        }
        self.ended
    }
}

/// Ends a data connection whose transfer the server has ended, and whose client may still send.
/// What it sends is discarded: a reset could keep it from reading the reply.
pub(crate) fn linger(stream: Stream, slot: Slot, now: Instant) -> Box<Linger> {
    Box::new(Linger::new(stream, Box::new(slot), LIMITS, now))
}

/// How long a client has to notice that its transfer has ended.
const LIMITS: LingerLimits = LingerLimits {
    silence: Duration::from_secs(5),
    time: Duration::from_secs(30),
    bytes: 1 << 30,
};

/// When the final reply of a download is due that has ended at `now`, and was announced at
/// `announced`; `None`: at once.
///
/// Some clients that read both replies at once wait for the second one until they time out. So the
/// second one waits for the client to close its side, but not longer than [`BUSY_PAUSE`] after the
/// first. Without `closes_data`, the client waited for the reply the last time before it closed its
/// side: it gets [`REPLY_PAUSE`].
///
/// The pause counts from the first reply, so a transfer that took longer waits for nothing. On a
/// busy machine it takes milliseconds to send a small file.
pub(crate) fn final_reply_due(
    announced: Instant,
    now: Instant,
    closes_data: bool,
) -> Option<Instant> {
    let pause = match closes_data {
        true => BUSY_PAUSE,
        false => REPLY_PAUSE,
    };
    Some(after(announced, pause)).filter(|due| now < *due)
}

/// Enough for a client that waits for the reply.
const REPLY_PAUSE: Duration = Duration::from_millis(2);

/// Enough for a client that is busy with other connections, as aria2 is.
const BUSY_PAUSE: Duration = Duration::from_millis(50);

#[cfg(test)]
mod tests {
    use super::*;

    const MILLISECOND: Duration = Duration::from_millis(1);

    #[test]
    fn a_final_reply_waits_until_its_pause_is_over() {
        let announced = Instant::now();
        let due = |took: u32, closes_data| {
            let due = final_reply_due(announced, announced + took * MILLISECOND, closes_data);
            due.map(|due| due - announced)
        };
        // On a busy machine it takes milliseconds to send a small file.
        for took in [0, 1, 2, 5, 49] {
            assert_eq!(due(took, true), Some(50 * MILLISECOND), "{took}");
        }
        assert_eq!(due(50, true), None);
        assert_eq!(due(1, false), Some(2 * MILLISECOND));
        assert_eq!(due(2, false), None);
    }
}
