//! Arithmetic on deadlines that cannot overflow.

use std::time::{Duration, Instant};

/// Returns the time `delay` after `now`. A delay of more than ten years counts as ten years.
pub(crate) fn after(now: Instant, delay: Duration) -> Instant {
    now + delay.min(LONGEST)
}

/// Longer delays are cut to this, so that adding one to the clock cannot overflow.
pub(crate) const LONGEST: Duration = Duration::from_secs(10 * 365 * 86_400);
