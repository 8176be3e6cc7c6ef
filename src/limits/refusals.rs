//! How many connections were refused: the log has the lines of the first ones only.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use crate::log::{FirstFew, TARGET};

/// The connections that were refused.
#[derive(Debug)]
pub(super) struct Refusals(FirstFew);

impl Refusals {
    /// A connection from this address is refused. Returns whether the log is to have its lines.
    pub(super) fn count(&self, ip: IpAddr, now: Instant) -> bool {
        let (is_logged, counted) = self.0.count(now);
        if counted > 0 {
            log::warn!(
                target: TARGET,
                "{counted} more connections were refused; now one from {ip} is"
            );
        }
        is_logged
    }
}

impl Default for Refusals {
    fn default() -> Self {
        Self(FirstFew::new(EVERY))
    }
}

/// The lines of the first ones in this time are logged.
const EVERY: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_ones_are_logged_and_the_others_counted() {
        let (refusals, start) = (Refusals::default(), Instant::now());
        let logged = (0..1000).filter(|_| refusals.0.count(start).0).count();
        assert_eq!(logged, 10);
        assert_eq!(refusals.0.count(start + EVERY), (true, 990));
        assert_eq!(refusals.0.count(start + EVERY * 2), (true, 0));
    }
}
