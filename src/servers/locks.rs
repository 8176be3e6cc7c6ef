//! What a server does while another process holds a lock of the memory that they share: it goes
//! on, and tries again. If the holder is one of its own processes and does not let go, that
//! process is stopped or stuck, and is killed.

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use crate::ioloop::{Io, Remote};
use crate::server_state::ServerState;
use crate::sys;

/// From now on, what waits for the lock of the limits is tried again on this loop.
pub(super) fn try_again_on(remote: Remote, state: &Arc<ServerState>) {
    let weak = Arc::downgrade(state);
    state.limits.on_busy(move || {
        let weak = Weak::clone(&weak);
        remote.call(move |io| try_again(io, weak));
    });
}

fn try_again(io: &mut Io<'_>, state: Weak<ServerState>) {
    io.call_later(TRY_EVERY, move |io| {
        let limits = state.upgrade().map(|state| Arc::clone(&state.limits));
        if limits.as_ref().is_none_or(|limits| limits.catch_up()) {
            // This process may have been woken for them meanwhile.
            limits.inspect(|limits| limits.ask_leavers(io.now()));
        } else {
            // It may have looked at a moment in which the holder was another one.
            sys::wake_parent();
            try_again(io, state);
        }
    });
}

/// When to look at the locks again, for a process that looks between two turns of its loop.
#[derive(Default)]
pub(super) struct NextLook(Option<Instant>);

impl NextLook {
    /// The locks must be looked at again at this time. Returns the time until then if the loop is
    /// to be woken for it, and is not yet.
    pub(super) fn at(&mut self, next: Instant, now: Instant) -> Option<Duration> {
        let is_new = self
            .0
            .is_none_or(|planned| planned <= now || planned > next);
        is_new.then(|| {
            self.0 = Some(next);
            next.saturating_duration_since(now)
        })
    }
}

/// How often the lock is tried.
const TRY_EVERY: Duration = Duration::from_millis(50);
