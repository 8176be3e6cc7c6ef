//! What hooks ask a session to do later.

use std::time::{Duration, Instant};

use super::state::FTPSession;
use super::timers::TimerId;
use crate::log::TARGET;

impl FTPSession {
    /// Calls [`on_timer`](crate::FTPHandler::on_timer) after `delay`. The timers of a session
    /// end with it. A session has at most 64 timers: one more is not set, the log says so, and
    /// the result is `None`.
    pub fn call_later(&mut self, delay: Duration) -> Option<TimerId> {
        self.add_timer(delay, None)
    }

    /// Calls [`on_timer`](crate::FTPHandler::on_timer) every `delay`, which is at least 1 ms.
    /// The rest is as in [`call_later`](Self::call_later).
    pub fn call_every(&mut self, delay: Duration) -> Option<TimerId> {
        self.add_timer(delay, Some(delay))
    }

    /// Cancels a timer.
    pub fn cancel_timer(&mut self, id: TimerId) {
        if let Some(rare) = &mut self.rare {
            rare.timers.cancel(id);
        }
    }

    fn add_timer(&mut self, delay: Duration, every: Option<Duration>) -> Option<TimerId> {
        let now = self.now;
        let timer = self.rare().timers.add(now, delay, every);
        if timer.is_none() {
            log::error!(target: TARGET, "a session has too many timers; one was not set");
        }
        timer
    }

    /// Takes a timer that is due.
    pub(crate) fn take_due_timer(&mut self) -> Option<TimerId> {
        self.rare.as_mut()?.timers.take_due(self.now)
    }

    pub(crate) fn next_timer(&self) -> Option<Instant> {
        self.rare.as_ref()?.timers.next_deadline()
    }
}
