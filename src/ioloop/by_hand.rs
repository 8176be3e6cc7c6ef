//! A loop that is driven by hand, for [`testing`](crate::testing): its sockets are in
//! memory, its clock stands still until it is set.

use std::io;
use std::time::Instant;

use super::memory::Network;
use super::{Channel, ChannelId, Core, IOLoop, Io};

impl IOLoop {
    /// A loop whose sockets may be in memory, in this network, and whose clock
    /// stands still until it is [set](Self::set_now).
    pub(crate) fn in_memory(network: Network) -> io::Result<Self> {
        let mut ioloop = Self::new()?;
        ioloop.core.network = Some(network);
        let now = ioloop.core.now;
        ioloop.set_now(now);
        Ok(ioloop)
    }

    /// Moves the clock of a loop in memory.
    pub(crate) fn set_now(&mut self, now: Instant) {
        self.core.scheduler.clock().set(now);
        self.core.now = self.core.scheduler.clock().now();
    }

    /// What the clock says.
    pub(crate) fn now(&self) -> Instant {
        self.core.scheduler.clock().now()
    }

    /// The nearest deadline of all, if it is still in force.
    pub(crate) fn next_deadline(&mut self) -> Option<Instant> {
        let scheduled = self.core.scheduler.next_deadline();
        let deadlines = [self.core.deadlines.next_deadline(), scheduled];
        deadlines.into_iter().flatten().min()
    }

    /// Whether a turn would do nothing now.
    pub(crate) fn is_at_rest(&mut self) -> bool {
        let now = self.now();
        let core = &self.core;
        let events = core.network.as_ref().is_some_and(Network::has_events);
        let idle = !events && core.next_round.is_empty() && core.remote.is_empty();
        idle && self.next_deadline().is_none_or(|deadline| deadline > now)
    }

    /// Does something with a channel, as one of its calls would. `None`: it is gone.
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

impl Core {
    /// The events of sockets in memory.
    pub(super) fn run_memory(&mut self) {
        let events = self.network.as_ref().map(Network::take_events);
        for (token, readiness) in events.unwrap_or_default() {
            let (id, source) = ChannelId::from_token(token);
            self.dispatch(id, |channel, io| channel.ready(io, source, readiness));
        }
    }
}
