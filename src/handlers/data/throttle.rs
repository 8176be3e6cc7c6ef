//! The speed limits that a session sets for its data connections.

use std::time::{Duration, Instant};

use crate::time::after;

/// Speed limits, and when the bytes so far have taken their time. They hold however bytes are
/// moved, also by the kernel.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Throttle {
    /// Bytes per second from the client; 0: no limit.
    read_limit: u64,
    /// Bytes per second to the client; 0: no limit.
    write_limit: u64,
    /// When the bytes so far will have taken their time.
    paid_until: Option<Instant>,
    /// The end of the pause that the limits have made.
    pub(super) pause: Option<Instant>,
}

impl Throttle {
    pub(crate) fn new(read_limit: u64, write_limit: u64) -> Self {
        Self {
            read_limit,
            write_limit,
            ..Self::default()
        }
    }

    /// The bytes per second in this direction; 0: no limit.
    pub(super) fn limit(&self, receive: bool) -> u64 {
        match receive {
            true => self.read_limit,
            false => self.write_limit,
        }
    }

    /// The end of the pause that the limits have made, if it is still to come.
    pub(super) fn pause_after(&self, now: Instant) -> Option<Instant> {
        self.pause.filter(|pause| *pause > now)
    }

    /// Counts bytes that were moved at `now`. Returns the end of the pause that they cost.
    pub(super) fn count(&mut self, bytes: usize, receive: bool, now: Instant) -> Option<Instant> {
        let limit = self.limit(receive);
        if limit == 0 || bytes == 0 {
            return None;
        }
        // A pause that was a little too long is made good.
        let earliest = now.checked_sub(CREDIT).unwrap_or(now);
        let began = self.paid_until.map_or(now, |paid| paid.max(earliest));
        let nanos = u128::from(bytes as u64) * 1_000_000_000 / u128::from(limit);
        let cost = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        let paid = after(began, cost);
        self.paid_until = Some(paid);
        self.pause = Some(paid).filter(|paid| *paid > after(now, GRACE));
        self.pause
    }
}

/// Shorter pauses wait for later ones: the loop sleeps for whole milliseconds, and its time stands
/// still in a turn.
const GRACE: Duration = Duration::from_millis(5);

/// How much of a pause that was too long is made good.
const CREDIT: Duration = Duration::from_millis(50);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_take_their_time_on_average() {
        let mut throttle = Throttle::new(0, 1_000_000);
        let begin = Instant::now();
        let mut now = begin;
        for _ in 0..100 {
            // Each pause is a millisecond too long.
            if let Some(until) = throttle.count(100_000, false, now) {
                now = until + Duration::from_millis(1);
            }
        }
        let took = now - begin;
        assert!(took >= Duration::from_millis(9_990), "{took:?}");
        assert!(took <= Duration::from_millis(10_010), "{took:?}");
        assert_eq!(throttle.count(1 << 30, true, now), None, "no such limit");
        let mut slowest = Throttle::new(1, 0);
        assert!(slowest.count(usize::MAX, true, begin).is_some());
    }
}
