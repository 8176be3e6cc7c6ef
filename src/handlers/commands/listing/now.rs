//! The present time, which decides whether a listing shows the year of a time.

use std::sync::Arc;
use std::time::SystemTime;

use super::veil::Veil;
use crate::ioloop::clock::Clock;
use crate::limits::Budget;
use crate::proto::listing::{ListingStyle, Stat};

/// The style of a listing, and what it has from the server.
pub(super) struct TimedStyle {
    pub(super) style: ListingStyle,
    /// Says what the present time is.
    pub(super) clock: Clock,
    /// The memory of all listings.
    pub(super) budget: Arc<Budget>,
    /// Which targets of links are shown.
    pub(super) veil: Veil,
}

impl TimedStyle {
    /// Reads the clock again if a time lies after the present time: the file may have been changed
    /// since the listing began.
    pub(super) fn update_now(&mut self, stat: &Stat) {
        if self.style.is_future(stat.mtime) {
            self.style.set_now(now(&self.clock));
        }
    }
}

/// The present time in seconds since 1970.
pub(super) fn now(clock: &Clock) -> i64 {
    let now = clock.date().duration_since(SystemTime::UNIX_EPOCH);
    now.map_or(0, |now| i64::try_from(now.as_secs()).unwrap_or(i64::MAX))
}
