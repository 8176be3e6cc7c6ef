//! The timers that hooks set.

use std::time::{Duration, Instant};

use crate::time::after;

/// The name of a timer of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TimerId(u32);

/// The timers of a session.
#[derive(Default)]
pub(super) struct Timers {
    last: u32,
    list: Vec<Timer>,
}

struct Timer {
    id: TimerId,
    deadline: Instant,
    every: Option<Duration>,
}

impl Timers {
    /// Sets a timer. `None`: the session has [`TIMERS_MAX`] already.
    pub(super) fn add(
        &mut self,
        now: Instant,
        delay: Duration,
        every: Option<Duration>,
    ) -> Option<TimerId> {
        if self.list.len() >= TIMERS_MAX {
            return None;
        }
        self.last = self.last.wrapping_add(1);
        let id = TimerId(self.last);
        self.list.push(Timer {
            id,
            deadline: after(now, delay),
            every,
        });
        Some(id)
    }

    pub(super) fn cancel(&mut self, id: TimerId) {
        self.list.retain(|timer| timer.id != id);
    }

    /// Takes a timer that is due. A repeating one is set again, and is not due again at `now`.
    pub(super) fn take_due(&mut self, now: Instant) -> Option<TimerId> {
        let index = self.list.iter().position(|timer| timer.deadline <= now)?;
        let timer = &mut self.list[index];
        let id = timer.id;
        match timer.every {
            Some(delay) => timer.deadline = after(now, delay.max(SHORTEST)),
            None => drop(self.list.swap_remove(index)),
        }
        Some(id)
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.list.iter().map(|timer| timer.deadline).min()
    }
}

/// The timers that a session may have.
pub(crate) const TIMERS_MAX: usize = 64;

/// The shortest time between two calls of a repeating timer.
const SHORTEST: Duration = Duration::from_millis(1);
