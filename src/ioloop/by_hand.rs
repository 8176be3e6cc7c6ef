//! A loop that is driven by hand, for [`testing`](crate::testing): its sockets are in memory, and
//! its clock stands still until it is set.

use std::io;
use std::time::Instant;

use super::core::{Channel, Io};
use super::event::ChannelId;
use super::memory::Network;
use super::reactor::IOLoop;

impl IOLoop {
    /// Makes a loop whose sockets may be in memory, in this network, and whose clock stands still
    /// until it is [set](Self::set_now).
    pub(crate) fn in_memory(network: Network) -> io::Result<Self> {
        let mut ioloop = Self::new()?;
        ioloop.network = Some(network);
        let now = ioloop.core.now;
        ioloop.set_now(now);
        Ok(ioloop)
    }

    /// Moves the clock of a loop in memory.
    pub(crate) fn set_now(&mut self, now: Instant) {
        self.core.scheduler.clock().set(now);
        self.core.now = self.now();
    }

    /// Whether a turn would do nothing now.
    pub(crate) fn is_at_rest(&mut self) -> bool {
        let now = self.now();
        let core = &self.core;
        let events = self.network.as_ref().is_some_and(Network::has_events);
        let idle = !events && core.slots.round_len() == 0 && !core.remote.has_requests();
        idle && self.next_deadline().is_none_or(|deadline| deadline > now)
    }

    /// Calls a function with a channel, in the way that the loop calls the channel. `None`: the
    /// channel is gone.
    pub(crate) fn visit<T>(
        &mut self,
        id: ChannelId,
        call: impl FnOnce(&mut (dyn Channel + 'static), &mut Io<'_>) -> T,
    ) -> Option<T> {
        let mut result = None;
        self.core
            .dispatch(id, |channel, io| result = Some(call(channel, io)));
        result
    }
}
