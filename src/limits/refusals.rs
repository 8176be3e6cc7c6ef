//! How many connections were refused: the log has the lines of the first ones only.

use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::log::TARGET;

/// The connections that were refused in an interval.
#[derive(Debug, Default)]
pub(super) struct Refusals(Mutex<Interval>);

#[derive(Debug, Default)]
struct Interval {
    /// When it ends; `None` before the first refusal.
    end: Option<Instant>,
    count: u64,
}

impl Refusals {
    /// A connection from this address is refused. Returns whether the log is to have its lines.
    pub(super) fn count(&self, ip: IpAddr, now: Instant) -> bool {
        let (is_logged, counted) = self.count_to(now);
        if counted > 0 {
            log::warn!(
                target: TARGET,
                "{counted} more connections were refused; now one from {ip} is"
            );
        }
        is_logged
    }

    /// Whether this is one of the first of an interval, and how many of the last interval were not.
    fn count_to(&self, now: Instant) -> (bool, u64) {
        let mut interval = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut counted = 0;
        if interval.end.is_none_or(|end| end <= now) {
            counted = interval.count.saturating_sub(FEW);
            *interval = Interval {
                end: Some(now + EVERY),
                count: 0,
            };
        }
        interval.count += 1;
        (interval.count <= FEW, counted)
    }
}

/// How many are logged in an interval.
const FEW: u64 = 10;

/// How long an interval is.
const EVERY: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_ones_are_logged_and_the_others_counted() {
        let (refusals, start) = (Refusals::default(), Instant::now());
        let logged = (0..1000).filter(|_| refusals.count_to(start).0).count();
        assert_eq!(logged as u64, FEW);
        assert_eq!(refusals.count_to(start + EVERY), (true, 1000 - FEW));
        assert_eq!(refusals.count_to(start + EVERY * 2), (true, 0));
    }
}
