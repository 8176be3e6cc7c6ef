//! The timers that hooks set.

use std::any::Any;
use std::time::{Duration, Instant};

use crate::time::after;

/// The name of a timer of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TimerId(u32);

/// The timers of a session.
///
/// `S` is the session. It is a parameter because the session owns this value.
pub(super) struct Timers<S> {
    last: u32,
    list: Vec<Timer<S>>,
}

/// Gets the user's handler, and the session.
pub(crate) type OnTimer<S> = Box<dyn FnMut(&mut dyn Any, &mut S)>;

/// A timer that is due.
pub(crate) struct Due<S> {
    pub(crate) id: TimerId,
    /// What is to be called; `None`: the method of the handler.
    pub(crate) then: Option<OnTimer<S>>,
}

struct Timer<S> {
    id: TimerId,
    deadline: Instant,
    every: Option<Duration>,
    then: Option<OnTimer<S>>,
}

impl<S> Timers<S> {
    /// Sets a timer. `None`: the session has [`TIMERS_MAX`] already.
    pub(super) fn add(
        &mut self,
        now: Instant,
        delay: Duration,
        every: Option<Duration>,
        then: Option<OnTimer<S>>,
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
            then,
        });
        Some(id)
    }

    /// Whether no timer was ever set. Later ones must not get the names of earlier ones.
    pub(super) fn are_unused(&self) -> bool {
        self.last == 0
    }

    pub(super) fn cancel(&mut self, id: TimerId) {
        self.list.retain(|timer| timer.id != id);
    }

    /// Takes a timer that is due. A repeating one is set again, and is not due again at `now`.
    pub(super) fn take_due(&mut self, now: Instant) -> Option<Due<S>> {
        let index = self.list.iter().position(|timer| timer.deadline <= now)?;
        let timer = &mut self.list[index];
        let (id, then) = (timer.id, timer.then.take());
        match timer.every {
            Some(delay) => timer.deadline = after(now, delay.max(SHORTEST)),
            None => drop(self.list.swap_remove(index)),
        }
        Some(Due { id, then })
    }

    /// Gives back what a repeating timer calls, unless the timer was cancelled meanwhile.
    pub(super) fn put_back(&mut self, due: Due<S>) {
        if let Some(timer) = self.list.iter_mut().find(|timer| timer.id == due.id) {
            timer.then = due.then;
        }
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.list.iter().map(|timer| timer.deadline).min()
    }
}

impl<S> Default for Timers<S> {
    fn default() -> Self {
        Self {
            last: 0,
            list: Vec::new(),
        }
    }
}

/// The timers that a session may have.
pub(crate) const TIMERS_MAX: usize = 64;

/// The shortest time between two calls of a repeating timer.
const SHORTEST: Duration = Duration::from_millis(1);
