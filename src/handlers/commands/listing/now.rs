//! The present time, which decides whether a listing shows the year of a time.

use std::time::SystemTime;

use crate::proto::listing::{ListingStyle, Stat};

/// The present time in seconds since 1970.
pub(super) fn now() -> i64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    now.map_or(0, |now| i64::try_from(now.as_secs()).unwrap_or(i64::MAX))
}

/// Reads the clock again if a time lies after the present time: the file may have been changed
/// since the listing began.
pub(super) fn update_now(style: &mut ListingStyle, stat: &Stat) {
    if style.is_future(stat.mtime) {
        style.set_now(now());
    }
}
