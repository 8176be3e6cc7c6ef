//! Lines that a client can cause without end, and that belong to no session.

use std::fmt::Display;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use log::Level;

use super::TARGET;

/// The warnings of one place in the code. The first ones are logged, the others are counted. The
/// number is logged with the next one after a minute.
pub(crate) struct Seldom(FirstFew);

impl Seldom {
    pub(crate) const fn new() -> Self {
        Self(FirstFew::new(INTERVAL))
    }

    /// Logs a warning, unless there were too many.
    pub(crate) fn warn(&self, message: impl Display) {
        let (is_written, counted) = self.count(Instant::now());
        if counted > 0 {
            log::warn!(target: TARGET, "{message} (repeated {counted} times)");
        }
        if is_written {
            log::log!(target: TARGET, Level::Warn, "{message}");
        }
    }

    fn count(&self, now: Instant) -> (bool, u64) {
        self.0.count(now)
    }
}

/// Tells the first ten of an interval from the others.
#[derive(Debug)]
pub(crate) struct FirstFew {
    interval: Duration,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    since: Option<Instant>,
    seen: u64,
}

impl FirstFew {
    pub(crate) const fn new(interval: Duration) -> Self {
        let (since, seen) = (None, 0);
        Self {
            interval,
            state: Mutex::new(State { since, seen }),
        }
    }

    /// Counts another one: whether it is one of the first, and how many of the interval before
    /// were not, if this one begins a new interval.
    pub(crate) fn count(&self, now: Instant) -> (bool, u64) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let mut counted = 0;
        if state.since.is_none_or(|since| now >= since + self.interval) {
            counted = state.seen.saturating_sub(FEW);
            *state = State {
                since: Some(now),
                seen: 0,
            };
        }
        state.seen += 1;
        (state.seen <= FEW, counted)
    }
}

/// How many are written in an interval.
const FEW: u64 = 10;

const INTERVAL: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_are_written_and_the_others_counted() {
        let (seldom, now) = (Seldom::new(), Instant::now());
        let written = (0..100).filter(|_| seldom.count(now).0).count();
        assert_eq!(written as u64, FEW);
        assert_eq!(seldom.count(now + INTERVAL), (true, 100 - FEW));
        assert_eq!(seldom.count(now + INTERVAL), (true, 0));
    }
}
