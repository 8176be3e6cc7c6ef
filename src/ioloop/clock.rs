//! The clock of a loop: that of the system, or one that is moved by hand.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

/// The clock of a loop. Clones are the same clock.
#[derive(Debug, Clone, Default)]
pub(crate) struct Clock(
    /// `None`: the clock of the system.
    Option<Arc<ByHand>>,
);

/// A clock that is moved by hand.
#[derive(Debug)]
struct ByHand {
    /// Nanoseconds since [`EPOCH`].
    now: AtomicU64,
    /// How far a reading during work moves it, in nanoseconds.
    tick: AtomicU64,
    /// The date at [`EPOCH`]. `None`: the date is that of the system.
    date: Mutex<Option<SystemTime>>,
}

impl Clock {
    /// The clock of the system.
    pub(crate) const SYSTEM: Self = Self(None);

    /// A clock that stands still until it is moved. Its date is that of the system until it is
    /// set.
    pub(crate) fn by_hand() -> Self {
        Self(Some(Arc::new(ByHand {
            now: AtomicU64::new(START),
            tick: AtomicU64::new(0),
            date: Mutex::new(None),
        })))
    }

    /// The time now.
    pub(crate) fn now(&self) -> Instant {
        match &self.0 {
            None => Instant::now(),
            Some(clock) => instant(clock.now.load(Relaxed)),
        }
    }

    /// The time now, in the midst of work that has a limited time. A clock that is moved by hand
    /// goes on by a tick.
    pub(crate) fn tick(&self) -> Instant {
        match &self.0 {
            None => Instant::now(),
            Some(clock) => {
                let tick = clock.tick.load(Relaxed);
                instant(clock.now.fetch_add(tick, Relaxed) + tick)
            }
        }
    }

    /// The date and time now.
    pub(crate) fn date(&self) -> SystemTime {
        match &self.0 {
            None => SystemTime::now(),
            Some(clock) => match clock.date() {
                None => SystemTime::now(),
                Some(date) => date + Duration::from_nanos(clock.now.load(Relaxed)),
            },
        }
    }

    /// Moves a clock by hand. It is never moved back.
    pub(crate) fn set(&self, now: Instant) {
        if let Some(clock) = &self.0 {
            clock.now.fetch_max(nanos(now), Relaxed);
        }
    }

    /// Sets how far a reading during work moves a clock by hand.
    pub(crate) fn set_tick(&self, tick: Duration) {
        if let Some(clock) = &self.0 {
            let tick = u64::try_from(tick.as_nanos()).unwrap_or(u64::MAX);
            clock.tick.store(tick.min(LONGEST_TICK), Relaxed);
        }
    }

    /// Sets the date of a clock by hand, which from now on goes with its time.
    pub(crate) fn set_date(&self, date: SystemTime) {
        if let Some(clock) = &self.0 {
            let since = Duration::from_nanos(clock.now.load(Relaxed));
            let mut at_epoch = clock.date.lock().unwrap_or_else(PoisonError::into_inner);
            *at_epoch = date.checked_sub(since);
        }
    }
}

impl ByHand {
    fn date(&self) -> Option<SystemTime> {
        *self.date.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A time as nanoseconds since [`EPOCH`], for atomic variables.
pub(super) fn nanos(instant: Instant) -> u64 {
    u64::try_from(instant.saturating_duration_since(*EPOCH).as_nanos()).unwrap_or(u64::MAX)
}

/// A time from nanoseconds since [`EPOCH`].
pub(super) fn instant(nanos: u64) -> Instant {
    *EPOCH + Duration::from_nanos(nanos)
}

/// Times that are stored as numbers count from here.
static EPOCH: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Where a clock by hand starts. All of a process start at the same time.
const START: u64 = 1_000_000_000;

/// A tick of more than an hour counts as an hour.
const LONGEST_TICK: u64 = 3_600_000_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_by_hand_stands_still() {
        let clock = Clock::by_hand();
        let start = clock.now();
        assert_eq!((clock.tick(), clock.now()), (start, start));
        let second = Duration::from_secs(1);
        clock.set(start + second);
        clock.set(start);
        assert_eq!(clock.now(), start + second, "it is never moved back");
        clock.set_tick(second);
        assert_eq!(clock.tick(), start + 2 * second);
        assert_eq!(clock.clone().now(), start + 2 * second);
    }

    #[test]
    fn the_date_goes_with_the_time() {
        let clock = Clock::by_hand();
        let date = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
        assert!(clock.date() > date, "the date of the system");
        clock.set_date(date);
        assert_eq!(clock.date(), date);
        let hour = Duration::from_secs(3600);
        clock.set(clock.now() + hour);
        assert_eq!(clock.date(), date + hour);
    }

    #[test]
    fn the_clock_of_the_system_cannot_be_moved() {
        let clock = Clock::SYSTEM;
        let before = Instant::now();
        clock.set(before + Duration::from_secs(1_000));
        clock.set_tick(Duration::from_secs(1_000));
        clock.set_date(SystemTime::UNIX_EPOCH);
        assert!(before <= clock.now() && clock.tick() <= Instant::now());
        assert!(clock.date() > SystemTime::UNIX_EPOCH);
    }
}
