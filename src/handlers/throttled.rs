//! A data handler with a speed limit for its own connection. It knows nothing about other
//! connections, users or files.

use std::io;
use std::time::{Duration, Instant};

use super::data::{self, DTPHandler, DataChannel};

/// Limits the speed of a data connection, as pyftpdlib's `ThrottledDTPHandler`. It counts the
/// bytes, and pauses the connection so that on average no more than the limit is transferred
/// in a second.
///
/// All bytes pass through the server's memory: neither `sendfile` nor `splice` is used.
#[derive(Debug, Clone)]
pub struct ThrottledDTPHandler {
    read_limit: u64,
    write_limit: u64,
    auto_sized_buffers: bool,
    meter: Meter,
}

impl ThrottledDTPHandler {
    /// A handler without limits.
    #[must_use]
    pub fn new() -> Self {
        Self {
            read_limit: 0,
            write_limit: 0,
            auto_sized_buffers: true,
            meter: Meter::default(),
        }
    }

    /// Sets the limit for bytes from the client, per second. 0: no limit.
    #[must_use]
    pub fn read_limit(mut self, bytes: u64) -> Self {
        self.read_limit = bytes;
        self
    }

    /// Sets the limit for bytes to the client, per second. 0: no limit.
    #[must_use]
    pub fn write_limit(mut self, bytes: u64) -> Self {
        self.write_limit = bytes;
        self
    }

    /// Sets whether buffers are halved until they are within the limits, so that bytes flow
    /// more evenly. Yes.
    #[must_use]
    pub fn auto_sized_buffers(mut self, on: bool) -> Self {
        self.auto_sized_buffers = on;
        self
    }
}

impl Default for ThrottledDTPHandler {
    fn default() -> Self {
        Self::new()
    }
}

impl DTPHandler for ThrottledDTPHandler {
    fn on_open(&mut self, d: &mut DataChannel) {
        if self.auto_sized_buffers {
            d.ac_in_buffer_size = halved(d.ac_in_buffer_size, self.read_limit);
            d.ac_out_buffer_size = halved(d.ac_out_buffer_size, self.write_limit);
        }
        if self.write_limit > 0 {
            // Otherwise the system takes the bytes of minutes, and a client that reads nothing
            // looks as one that does.
            let second = usize::try_from(self.write_limit).unwrap_or(usize::MAX);
            d.limit_send_buffer(second.clamp(SEND_BUFFER_MIN, SEND_BUFFER_MAX));
        }
    }

    fn use_sendfile(&self, _d: &DataChannel) -> bool {
        false
    }

    fn use_splice(&self, _d: &DataChannel) -> bool {
        false
    }

    fn send(&mut self, d: &mut DataChannel, bytes: &[u8]) -> io::Result<usize> {
        let sent = data::send(d, bytes)?;
        if let Some(pause) = self.meter.count(sent, self.write_limit, d.now()) {
            d.sleep(pause);
        }
        Ok(sent)
    }

    fn recv(&mut self, d: &mut DataChannel, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        let received = data::recv(d, buffer)?;
        let size = received.unwrap_or(0);
        if let Some(pause) = self.meter.count(size, self.read_limit, d.now()) {
            d.sleep(pause);
        }
        Ok(received)
    }
}

/// Counts bytes, and decides when to pause.
#[derive(Debug, Clone, Default)]
struct Meter {
    counted: u64,
    next: Option<Instant>,
}

impl Meter {
    /// Counts `size` bytes that were transferred at `now`. Returns how long to pause, if more
    /// than `limit` bytes were transferred in a second.
    fn count(&mut self, size: usize, limit: u64, now: Instant) -> Option<Duration> {
        if limit == 0 {
            return None;
        }
        self.counted += size as u64;
        if self.counted < limit {
            return None;
        }
        self.counted = 0;
        let early = self.next.map(|next| next.saturating_duration_since(now));
        self.next = Some(now + Duration::from_secs(1));
        // Twice, because the second that the bytes should have taken is still to come.
        early
            .filter(|early| !early.is_zero())
            .map(|early| early * 2)
    }
}

/// The bounds of the system's buffer of a connection whose speed is limited.
const SEND_BUFFER_MIN: usize = 16 * 1024;
const SEND_BUFFER_MAX: usize = 1024 * 1024;

/// Halves `size` until it is within `limit`.
fn halved(mut size: usize, limit: u64) -> usize {
    while limit > 0 && size as u64 > limit {
        size /= 2;
    }
    size.max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn meter_pauses_when_a_second_worth_came_early() {
        let mut meter = Meter::default();
        let start = Instant::now();
        assert_eq!(
            meter.count(1000, 1000, start),
            None,
            "the first second is free"
        );
        assert_eq!(meter.count(999, 1000, start), None);
        let later = start + Duration::from_millis(400);
        assert_eq!(
            meter.count(1, 1000, later),
            Some(Duration::from_millis(1200))
        );
        let much_later = later + Duration::from_secs(5);
        assert_eq!(meter.count(5000, 1000, much_later), None);
    }

    #[test]
    fn buffers_are_halved_to_the_limit() {
        assert_eq!(halved(65_536, 30_720), 16_384);
        assert_eq!(halved(65_536, 0), 65_536);
        assert_eq!(halved(65_536, 1), 1);
    }
}
