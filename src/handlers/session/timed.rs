//! What hooks ask a session to do later.

use std::time::{Duration, Instant};

use super::state::FTPSession;
use super::timers::{Due, OnTimer, TimerId};
use crate::log::TARGET;

impl FTPSession {
    /// Calls [`on_timer`](crate::FTPHandler::on_timer) after `delay`. The timers of a session
    /// end with it. A session has at most 64 timers: one more is not set, the log says so, and
    /// the result is `None`.
    pub fn call_later(&mut self, delay: Duration) -> Option<TimerId> {
        self.add_timer(delay, None, None)
    }

    /// Calls [`on_timer`](crate::FTPHandler::on_timer) every `delay`, which is at least 1 ms.
    /// The rest is as in [`call_later`](Self::call_later).
    pub fn call_every(&mut self, delay: Duration) -> Option<TimerId> {
        self.add_timer(delay, Some(delay), None)
    }

    /// As [`call_later`](Self::call_later), but calls `then` in place of
    /// [`on_timer`](crate::FTPHandler::on_timer), with the handler: `|h: &mut Self, s| ..`. What the
    /// timer is for goes into the function.
    ///
    /// ```
    /// use std::path::{Path, PathBuf};
    /// use std::time::Duration;
    /// use ftpdlib::{FTPHandler, FTPSession};
    ///
    /// #[derive(Default)]
    /// struct Collecting(Vec<PathBuf>);
    ///
    /// impl FTPHandler for Collecting {
    ///     fn on_file_received(&mut self, s: &mut FTPSession, file: &Path) {
    ///         let file = file.to_owned();
    ///         let minute = Duration::from_secs(60);
    ///         s.call_later_with(minute, |h: &mut Self, _s| h.0.push(file));
    ///     }
    /// }
    /// ```
    ///
    /// # Panics
    /// When the timer is due, if the handler is not of the type that the server makes. The panic
    /// ends the session.
    pub fn call_later_with<H: 'static>(
        &mut self,
        delay: Duration,
        then: impl FnOnce(&mut H, &mut Self) + 'static,
    ) -> Option<TimerId> {
        let mut then = Some(then);
        let once = move |h: &mut H, s: &mut Self| {
            if let Some(then) = then.take() {
                then(h, s);
            }
        };
        self.add_timer(delay, None, Some(for_any(once)))
    }

    /// As [`call_every`](Self::call_every), but calls `then` in place of
    /// [`on_timer`](crate::FTPHandler::on_timer), as [`call_later_with`](Self::call_later_with)
    /// does.
    ///
    /// # Panics
    /// As [`call_later_with`](Self::call_later_with).
    pub fn call_every_with<H: 'static>(
        &mut self,
        delay: Duration,
        then: impl FnMut(&mut H, &mut Self) + 'static,
    ) -> Option<TimerId> {
        self.add_timer(delay, Some(delay), Some(for_any(then)))
    }

    /// Cancels a timer.
    pub fn cancel_timer(&mut self, id: TimerId) {
        if let Some(rare) = &mut self.rare {
            rare.timers.cancel(id);
        }
    }

    fn add_timer(
        &mut self,
        delay: Duration,
        every: Option<Duration>,
        then: Option<OnTimer<Self>>,
    ) -> Option<TimerId> {
        let now = self.now;
        let timer = self.rare().timers.add(now, delay, every, then);
        if timer.is_none() {
            log::error!(target: TARGET, "a session has too many timers; one was not set");
        }
        timer
    }

    /// Takes a timer that is due.
    pub(crate) fn take_due_timer(&mut self) -> Option<Due<Self>> {
        self.rare.as_mut()?.timers.take_due(self.now)
    }

    /// A timer that was due has been called. It may repeat.
    pub(crate) fn put_back_timer(&mut self, due: Due<Self>) {
        if let Some(rare) = &mut self.rare {
            rare.timers.put_back(due);
        }
    }

    pub(crate) fn next_timer(&self) -> Option<Instant> {
        self.rare.as_ref()?.timers.next_deadline()
    }
}

/// Makes a function for a handler of any type from one for a handler of this type.
fn for_any<H: 'static>(
    mut then: impl FnMut(&mut H, &mut FTPSession) + 'static,
) -> OnTimer<FTPSession> {
    Box::new(move |handler, s| {
        let handler = handler.downcast_mut();
        then(
            handler.expect("a timer names the handler of the session"),
            s,
        );
    })
}
