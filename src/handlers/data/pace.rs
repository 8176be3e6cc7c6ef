//! How fast a data connection may go, by the speed limits of its session.

use std::time::Instant;

use super::channel::DataChannel;
use super::throttle::Throttle;

impl DataChannel {
    /// How many bytes one call may move.
    pub(super) fn step(&self) -> usize {
        match self.throttle.limit(self.receive()) {
            0 => usize::MAX,
            limit => usize::try_from(limit / STEPS).unwrap_or(usize::MAX).max(1),
        }
    }

    /// Counts bytes that were moved, and pauses the connection if they were too many.
    pub(super) fn throttle_by(&mut self, bytes: usize) {
        let receive = self.receive();
        if let Some(until) = self.throttle.count(bytes, receive, self.now) {
            self.wake_at = self.wake_at.max(Some(until));
        }
    }

    /// Sets other limits. A pause that the limits before have made ends.
    pub(crate) fn set_throttle(&mut self, throttle: Throttle, now: Instant) {
        if self.wake_at.is_some() && self.wake_at == self.throttle.pause {
            self.wake_at = None;
            self.last_progress = now;
        }
        self.throttle = throttle;
    }
}

/// The calls in a second of a connection that is throttled, at least.
const STEPS: u64 = 10;
