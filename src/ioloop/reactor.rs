//! The loop itself: a poll, and the turns that call the channels.

use std::fmt;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::time::{Duration, Instant};

use mio::{Events, Poll, Token, Waker};

use super::clock::Clock;
use super::core::{Callback, Channel, Core, Io, Remote, Request};
use super::event::{ChannelId, Readiness};
use super::memory::Network;
use super::panics::{call_guarded, drop_guarded};
use super::timers::CallLater;
use crate::sys;

/// The poll and the waker of a loop. They can be made before the loop is, and in another thread.
pub(crate) struct PollParts {
    poll: Poll,
    waker: Waker,
}

impl PollParts {
    /// How many descriptors they take.
    pub(crate) const DESCRIPTORS: u64 = 2;

    pub(crate) fn new() -> io::Result<Self> {
        let poll = Poll::new()?;
        let waker = Waker::new(poll.registry(), WAKE)?;
        Ok(Self { poll, waker })
    }
}

impl AsRawFd for PollParts {
    fn as_raw_fd(&self) -> RawFd {
        self.poll.as_raw_fd()
    }
}

/// A reactor.
pub struct IOLoop {
    pub(super) core: Core,
    events: Events,
    /// When this turn began.
    began: Instant,
    /// Whether the poll may have more events than it could bring in this turn.
    is_full: bool,
    /// When gathered log lines must be written at the latest.
    lines_due: Option<Instant>,
    /// The network of the sockets in memory, if there are any. The clock of such a loop is moved
    /// by hand.
    pub(super) network: Option<Network>,
}

impl IOLoop {
    /// Makes a loop without channels.
    ///
    /// # Errors
    /// The system has no descriptor left for the poll.
    pub fn new() -> io::Result<Self> {
        PollParts::new().map(Self::from_parts)
    }

    /// Makes a loop without channels from a poll and its waker.
    pub(crate) fn from_parts(parts: PollParts) -> Self {
        Self {
            core: Core::new(Some(parts.poll), Some(parts.waker), Clock::SYSTEM),
            events: Events::with_capacity(EVENTS),
            began: Instant::now(),
            is_full: false,
            lines_due: None,
            network: None,
        }
    }

    /// Makes a loop without channels, for sockets in this network. Without `parts` it never waits,
    /// and sockets in memory are all that it has.
    pub(super) fn with_network(network: Network, parts: Option<PollParts>) -> Self {
        let clock = network.clock().clone();
        let (poll, waker) = parts.map(|parts| (parts.poll, parts.waker)).unzip();
        Self {
            began: clock.now(),
            core: Core::new(poll, waker, clock),
            events: Events::with_capacity(EVENTS),
            is_full: false,
            lines_due: None,
            network: Some(network),
        }
    }

    /// Puts a channel on the loop.
    pub fn add(&mut self, channel: impl Channel + 'static) -> ChannelId {
        self.core.add(Box::new(channel))
    }

    /// Calls a function with the [`Io`] that a scheduled function gets.
    pub(crate) fn with_io<T>(&mut self, function: impl FnOnce(&mut Io<'_>) -> T) -> T {
        function(&mut self.core.io())
    }

    /// Whether [`Io::stop`] was called since the last call of [`run`](Self::run) or
    /// [`go_on`](Self::go_on).
    pub(crate) fn is_stopped(&self) -> bool {
        self.core.stopped
    }

    /// Forgets that the loop was stopped.
    pub(crate) fn go_on(&mut self) {
        self.core.stopped = false;
    }

    /// Calls a function after `delay`.
    pub fn call_later(
        &mut self,
        delay: Duration,
        callback: impl FnOnce(&mut Io<'_>) + 'static,
    ) -> CallLater {
        self.core.call_later(delay, callback)
    }

    /// Calls a function every `delay`, counted from the end of its last call.
    pub fn call_every(
        &mut self,
        delay: Duration,
        callback: impl FnMut(&mut Io<'_>) + 'static,
    ) -> CallLater {
        self.core.call_every(delay, callback)
    }

    /// A handle through which other threads reach this loop.
    #[must_use]
    pub fn remote(&self) -> Remote {
        self.core.remote.clone()
    }

    /// How many channels there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.core.slots.len()
    }

    /// Whether there is no channel.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.core.slots.is_empty()
    }

    /// Turns until no channel is left, or [`Io::stop`] is called.
    ///
    /// # Errors
    /// The system's poll fails.
    pub fn run(&mut self) -> io::Result<()> {
        self.core.stopped = false;
        while !self.core.stopped && !self.is_empty() {
            self.turn(None)?;
        }
        Ok(())
    }

    /// Makes one turn, which waits for at most `timeout` (`None`: until something happens; zero:
    /// not at all). Returns the time to the next deadline.
    ///
    /// # Errors
    /// The system's poll fails.
    pub fn turn(&mut self, timeout: Option<Duration>) -> io::Result<Option<Duration>> {
        self.poll(timeout)?;
        self.began = self.now();
        self.core.now = self.began;
        let in_memory = self.network.as_ref().map(Network::take_events);
        let in_memory = in_memory.unwrap_or_default();
        self.core.is_quiet = self.events.iter().take(2).count() + in_memory.len() < 2;
        let mut count = 0;
        for event in &self.events {
            count += 1;
            if event.token() != WAKE {
                let readiness = Readiness::from(event);
                ready(&mut self.core, event.token(), readiness);
            }
        }
        self.is_full = count >= EVENTS;
        for (token, readiness) in in_memory {
            ready(&mut self.core, token, readiness);
        }
        self.run_next_round();
        self.run_deadlines();
        self.run_scheduled();
        self.run_requests();
        Ok(self.time_to_next())
    }

    /// Closes every channel and cancels every scheduled function.
    pub fn close(&mut self) {
        self.core.stopped = true;
        self.core.scheduler.clear();
        // A channel that closes may add others: the number of rounds is limited, so that this ends.
        for _ in 0..CLOSE_ROUNDS {
            let ids = self.core.slots.ids();
            if ids.is_empty() {
                break;
            }
            for id in ids {
                self.core.dispatch(id, |channel, io| channel.close(io));
            }
        }
        self.core.slots.clear();
        crate::log::write_pending();
    }

    /// For a caller that waits elsewhere, for events of the [poll](Self::poll_descriptor): writes
    /// what was gathered for the log if it is due. Returns the time until the next turn is due
    /// without an event; zero if the poll may have more of them.
    pub(crate) fn time_to_wait(&mut self) -> Option<Duration> {
        self.lines_due = crate::log::flush_in_time(self.began);
        match self.is_full {
            true => Some(Duration::ZERO),
            false => self.time_to_next(),
        }
    }

    /// The descriptor of the poll, which is readable while it has events; `None` if the loop has
    /// only sockets in memory.
    pub(crate) fn poll_descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.core.poll.as_ref().map(sys::borrow)
    }

    /// The time by the loop's clock.
    pub(crate) fn now(&self) -> Instant {
        self.core.clock.now()
    }

    // --- the steps of a turn

    /// Waits for events, for at most `timeout`.
    fn poll(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        let began = match self.network {
            None => self.began,
            // Lines of the log have the clock of the system.
            Some(_) => Instant::now(),
        };
        self.lines_due = crate::log::flush_in_time(began);
        let timeout = self.sleep_at_most(timeout);
        let Some(poll) = &mut self.core.poll else {
            return Ok(());
        };
        match poll.poll(&mut self.events, timeout) {
            Err(err) if err.kind() == io::ErrorKind::Interrupted => self.events.clear(),
            polled => polled?,
        }
        Ok(())
    }

    /// Calls the channels that wait for their round, for a limited time only: after that, what
    /// became ready meanwhile comes first.
    fn run_next_round(&mut self) {
        for _ in 0..self.core.slots.round_len() {
            let Some(id) = self.core.slots.pop_round() else {
                return;
            };
            self.core.dispatch(id, |channel, io| channel.again(io));
            if self.core.clock.tick() >= self.began + ROUND_TIME {
                return;
            }
        }
    }

    fn run_deadlines(&mut self) {
        let now = self.core.now;
        for _ in 0..self.core.slots.deadlines_len() {
            let due = self.core.slots.pop_due(now, |x| x.next_timeout());
            let Some(id) = due else { return };
            self.core.dispatch(id, |channel, io| channel.timeout(io));
        }
    }

    fn run_scheduled(&mut self) {
        for mut task in self.core.scheduler.take_due(self.core.now) {
            // A function that was called before it may have cancelled it.
            if !task.handle.cancelled() {
                match task.callback {
                    Callback::Once(callback) => {
                        task.handle.finish();
                        call_guarded("a scheduled function", || callback(&mut self.core.io()));
                        continue;
                    }
                    Callback::Every(ref mut callback) => {
                        let io = &mut self.core.io();
                        if !call_guarded("a scheduled function", || callback(io)) {
                            task.handle.cancel();
                        }
                    }
                }
            }
            self.core.scheduler.put_back(task);
        }
    }

    fn run_requests(&mut self) {
        for request in self.core.remote.take_requests() {
            match request {
                Request::Message(to, message) if self.core.slots.contains(to) => {
                    self.core
                        .dispatch(to, |channel, io| channel.message(io, message));
                }
                Request::Message(_, message) => {
                    drop_guarded("a message to a channel that is gone", message)
                }
                Request::Call(function) => {
                    let io = &mut self.core.io();
                    call_guarded("a function of another thread", || function(io));
                }
            }
        }
    }

    /// How long the poll may wait.
    fn sleep_at_most(&mut self, timeout: Option<Duration>) -> Option<Duration> {
        match (self.time_to_next(), timeout) {
            (Some(next), Some(timeout)) => Some(next.min(timeout)),
            (next, timeout) => next.or(timeout),
        }
    }

    fn time_to_next(&mut self) -> Option<Duration> {
        if self.core.slots.round_len() > 0 {
            return Some(Duration::ZERO);
        }
        let now = self.now();
        let soon = now + SOON;
        self.core.slots.put_off(soon, |x| x.next_timeout());
        let next = [self.next_deadline(), self.lines_due];
        let next = next.into_iter().flatten().min()?;
        Some(next.saturating_duration_since(now))
    }

    /// The nearest deadline of a channel or a scheduled function.
    pub(crate) fn next_deadline(&mut self) -> Option<Instant> {
        let scheduled = self.core.scheduler.next_deadline();
        let deadlines = [self.core.slots.next_deadline(), scheduled];
        deadlines.into_iter().flatten().min()
    }
}

impl Drop for IOLoop {
    fn drop(&mut self) {
        // Others may keep a handle of the loop, and wait for an answer.
        self.core.remote.close();
    }
}

impl fmt::Debug for IOLoop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IOLoop")
            .field("channels", &self.core.slots.len())
            .finish_non_exhaustive()
    }
}

fn ready(core: &mut Core, token: Token, readiness: Readiness) {
    let (id, source) = ChannelId::from_token(token);
    core.dispatch(id, |channel, io| channel.ready(io, source, readiness));
}

/// The token of the waker. No channel has it, since no slab grows so large.
const WAKE: Token = Token(usize::MAX);

/// How many events the poll brings at once.
const EVENTS: usize = 256;

/// After this time in a turn the loop looks for new events, before it calls the other channels
/// that wait for their round.
const ROUND_TIME: Duration = Duration::from_micros(50);

/// A deadline that is nearer than this is read again before the loop sleeps: a final reply that
/// waits for its client has one, and most clients are faster.
const SOON: Duration = Duration::from_millis(10);

/// How many times [`IOLoop::close`] looks for new channels.
const CLOSE_ROUNDS: usize = 8;
