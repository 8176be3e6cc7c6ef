//! A loop that is driven by hand, for [`testing`](crate::testing): its sockets are in memory, and
//! its clock stands still until it is set.

use std::any::Any;
use std::io;
use std::time::Instant;

use super::core::{Channel, Io};
use super::event::ChannelId;
use super::memory::Network;
use super::reactor::{IOLoop, PollParts};
use crate::time::{LONGEST, after};

impl IOLoop {
    /// Makes a loop whose sockets may be in memory, in this network, and whose clock is that of
    /// the network. Other threads can wake it.
    pub(crate) fn in_memory(network: Network) -> io::Result<Self> {
        Ok(Self::with_network(network, Some(PollParts::new()?)))
    }

    /// Makes a loop that has nothing of the system: its sockets are in memory, in this network,
    /// its clock is that of the network, and it never waits.
    pub(crate) fn without_poll(network: Network) -> Self {
        Self::with_network(network, None)
    }

    /// Moves the clock of a loop in memory.
    pub(crate) fn set_now(&mut self, now: Instant) {
        self.core.clock.set(now);
        self.core.now = self.now();
    }

    /// Whether a turn would do nothing now.
    pub(crate) fn is_at_rest(&mut self) -> bool {
        let now = self.now();
        let core = &self.core;
        let events = self.network.as_ref().is_some_and(Network::has_events);
        let idle = !events && core.slots.round_len() == 0 && !core.remote.has_requests();
        idle && self.next_due().is_none_or(|deadline| deadline > now)
    }

    /// The nearest deadline. Those that were put off meanwhile do not count.
    pub(crate) fn next_due(&mut self) -> Option<Instant> {
        let end = after(self.now(), LONGEST);
        self.core
            .slots
            .put_off(end, |channel| channel.next_timeout());
        self.next_deadline()
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

    /// The channels of a type, in no particular order.
    pub(crate) fn channels<C: Channel>(&self) -> impl Iterator<Item = &C> {
        let channels = self.core.slots.iter().map(|channel| &**channel as &dyn Any);
        channels.filter_map(|channel| channel.downcast_ref())
    }

    /// How many callbacks are scheduled, and how many channels have a deadline.
    pub(crate) fn timers(&self) -> usize {
        let channels = self.core.slots.iter();
        let deadlines = channels.filter_map(|channel| channel.next_timeout());
        self.core.scheduler.waiting() + deadlines.count()
    }
}
