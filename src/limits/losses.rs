//! How many sessions have left for others: one line of the log for many of them.

use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::log::TARGET;

/// The sessions that have left for others since the last line of the log.
#[derive(Debug, Default)]
pub(super) struct Losses(Mutex<Since>);

#[derive(Debug, Default)]
struct Since {
    count: u64,
    /// When the next line may be written; `None` before the first one.
    next: Option<Instant>,
}

impl Losses {
    /// A session of this address has left.
    pub(super) fn count(&self, ip: IpAddr, now: Instant) {
        if let Some(count) = self.count_to(now) {
            log::warn!(
                target: TARGET,
                "too many connections: {count} closed to make room for others, the last one from {ip}"
            );
        }
    }

    /// Returns the count if it is time for a line.
    fn count_to(&self, now: Instant) -> Option<u64> {
        let mut since = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        since.count += 1;
        if since.next.is_some_and(|next| now < next) {
            return None;
        }
        since.next = Some(now + EVERY);
        Some(std::mem::take(&mut since.count))
    }
}

/// The time between two lines.
const EVERY: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_losses_are_one_line() {
        let (losses, start) = (Losses::default(), Instant::now());
        assert_eq!(losses.count_to(start), Some(1));
        for _ in 0..999 {
            assert_eq!(losses.count_to(start + Duration::from_secs(9)), None);
        }
        assert_eq!(losses.count_to(start + EVERY), Some(1000));
    }
}
