//! The reactor: one thread, one poll, many channels.
//!
//! An [`IOLoop`] holds [`Channel`]s and calls them when a socket is ready, a
//! deadline has come, or another thread has sent something. It knows nothing of
//! FTP. [`AsyncChat`], [`Acceptor`] and [`Connector`] are channels for protocols
//! of one's own; the FTP server is one more.
//!
//! A turn of the loop: poll; the ready sources; the channels that asked for
//! another round; deadlines; scheduled functions; messages from other threads.
//! Each call of a channel is short: it has a budget, and asks for another round
//! when it has not finished.

mod by_hand;
mod channel;
mod chat;
mod endpoints;
pub mod line;
pub(crate) mod memory;
pub(crate) mod producer;
mod remote;
mod socket;
pub(crate) mod stream;
mod timers;
pub(crate) mod tls;

use std::any::Any;
use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::mem;
use std::os::fd::{AsRawFd, RawFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use mio::event::Source as MioSource;
use mio::{Events, Interest, Poll, Token, Waker};
use slab::Slab;

use self::memory::Network;
pub use channel::{Channel, ChannelId, Readiness, Source};
pub use chat::{AsyncChat, ChatChannel, ChatHandler};
pub use endpoints::{Acceptor, Connector, bind_af_unspecified, connect_af_unspecified};
pub(crate) use endpoints::{Listener, SideListener, connect_beside};
pub use line::Terminator;
use remote::Letter;
pub use remote::Remote;
pub use stream::Stream;
pub use timers::{CallLater, DeadlineHeap};

use crate::sys;

/// What a loop takes of the system: it may be got before the loop is made, and in
/// another thread.
pub(crate) struct Footing {
    poll: Poll,
    waker: Waker,
}

impl Footing {
    /// How many it has.
    pub(crate) const DESCRIPTORS: u64 = 2;

    pub(crate) fn new() -> io::Result<Self> {
        let poll = Poll::new()?;
        let waker = Waker::new(poll.registry(), WAKE)?;
        Ok(Self { poll, waker })
    }
}

impl AsRawFd for Footing {
    fn as_raw_fd(&self) -> RawFd {
        self.poll.as_raw_fd()
    }
}

/// A reactor.
pub struct IOLoop {
    core: Core,
    events: Events,
}

impl IOLoop {
    /// A loop with nothing on it.
    ///
    /// # Errors
    /// Where the system has no descriptor left for it.
    pub fn new() -> io::Result<Self> {
        Footing::new().map(Self::on)
    }

    /// A loop with nothing on it.
    pub(crate) fn on(footing: Footing) -> Self {
        let Footing { poll, waker } = footing;
        let core = Core {
            poll,
            slots: Slab::new(),
            generation: 0,
            next_round: VecDeque::new(),
            deadlines: DeadlineHeap::new(),
            deadlines_max: DEADLINES_MIN,
            scheduler: timers::Scheduler::default(),
            buffer: vec![0; BUFFER_SIZE].into_boxed_slice(),
            pipe: None,
            now: Instant::now(),
            began: Instant::now(),
            network: None,
            remote: Remote::new(waker),
            lines_due: None,
            is_quiet: false,
            stopped: false,
        };
        let events = Events::with_capacity(EVENTS);
        Self { core, events }
    }

    /// Puts a channel on the loop.
    pub fn add(&mut self, channel: impl Channel + 'static) -> ChannelId {
        self.core.add(Box::new(channel))
    }

    /// Does something as a function that is called on the loop does.
    pub(crate) fn with_io<T>(&mut self, function: impl FnOnce(&mut Io<'_>) -> T) -> T {
        function(&mut self.core.io())
    }

    /// Whether [`Io::stop`] was called since [`run`](Self::run), or
    /// [`go_on`](Self::go_on).
    pub(crate) fn is_stopped(&self) -> bool {
        self.core.stopped
    }

    /// Forgets that it was stopped.
    pub(crate) fn go_on(&mut self) {
        self.core.stopped = false;
    }

    /// Calls a function after `delay`.
    pub fn call_later(
        &mut self,
        delay: Duration,
        callback: impl FnOnce(&mut Io<'_>) + 'static,
    ) -> CallLater {
        self.core.scheduler.call_later(delay, callback)
    }

    /// Calls a function every `delay`, counted from the end of its last call.
    pub fn call_every(
        &mut self,
        delay: Duration,
        callback: impl FnMut(&mut Io<'_>) + 'static,
    ) -> CallLater {
        self.core.scheduler.call_every(delay, callback)
    }

    /// What other threads reach this loop through.
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
    /// Where the system's poll fails.
    pub fn run(&mut self) -> io::Result<()> {
        self.core.stopped = false;
        while !self.core.stopped && !self.is_empty() {
            self.turn(None)?;
        }
        Ok(())
    }

    /// One turn, which waits for at most `timeout` (`None`: until something
    /// happens; zero: not at all). Returns the time to the next deadline.
    ///
    /// # Errors
    /// Where the system's poll fails.
    pub fn turn(&mut self, timeout: Option<Duration>) -> io::Result<Option<Duration>> {
        self.core.lines_due = crate::log::flush_in_time(self.core.began);
        let timeout = self.core.sleep_at_most(timeout);
        match self.core.poll.poll(&mut self.events, timeout) {
            Ok(()) => {}
            Err(err) if err.kind() == io::ErrorKind::Interrupted => self.events.clear(),
            Err(err) => return Err(err),
        }
        self.core.began = Instant::now();
        self.core.now = match self.core.network {
            None => self.core.began,
            Some(_) => self.now(),
        };
        self.core.is_quiet = self.events.iter().nth(1).is_none();
        for event in &self.events {
            if event.token() != WAKE {
                let (id, source) = ChannelId::from_token(event.token());
                let readiness = Readiness::from(event);
                self.core
                    .dispatch(id, |channel, io| channel.ready(io, source, readiness));
            }
        }
        self.core.run_memory();
        self.core.run_next_round();
        self.core.run_deadlines();
        self.core.run_scheduled();
        self.core.run_letters();
        Ok(self.core.time_to_next())
    }

    /// Closes every channel and forgets every scheduled function.
    pub fn close(&mut self) {
        self.core.stopped = true;
        self.core.scheduler.clear();
        // A channel that closes may add others: bounded, so as to end.
        for _ in 0..CLOSE_ROUNDS {
            let ids: Vec<_> = self.core.slots.iter().map(|(_, slot)| slot.id).collect();
            if ids.is_empty() {
                break;
            }
            for id in ids {
                self.core.dispatch(id, |channel, io| channel.close(io));
            }
        }
        self.core.slots.clear();
        self.core.next_round.clear();
        crate::log::flush();
    }
}

impl fmt::Debug for IOLoop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IOLoop")
            .field("channels", &self.core.slots.len())
            .finish_non_exhaustive()
    }
}

/// The loop as one of its channels, or a scheduled function, sees it.
pub struct Io<'a> {
    core: &'a mut Core,
    /// Of the channel that is being called.
    id: Option<ChannelId>,
    again: bool,
}

impl Io<'_> {
    /// The time of this turn.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.core.now
    }

    /// The name of the channel that is being called; `None` in scheduled functions.
    #[must_use]
    pub fn id(&self) -> Option<ChannelId> {
        self.id
    }

    /// Asks for another call in the next round, before which the loop does not sleep.
    pub fn again(&mut self) {
        self.again = true;
    }

    /// Whether no other channel has work in this turn, so that more may be done at once.
    pub(crate) fn is_alone(&self) -> bool {
        self.core.is_quiet && self.core.next_round.is_empty()
    }

    /// Puts another channel on the loop.
    pub fn add(&mut self, channel: impl Channel + 'static) -> ChannelId {
        self.core.add(Box::new(channel))
    }

    /// Watches a socket of the channel that is being called.
    ///
    /// # Errors
    /// Where the system refuses.
    pub fn register(
        &mut self,
        socket: &mut (impl MioSource + ?Sized),
        source: Source,
        interest: Interest,
    ) -> io::Result<()> {
        let token = self.token(source)?;
        self.core.poll.registry().register(socket, token, interest)
    }

    /// Watches it for something else.
    ///
    /// # Errors
    /// Where the system refuses.
    pub fn reregister(
        &mut self,
        socket: &mut (impl MioSource + ?Sized),
        source: Source,
        interest: Interest,
    ) -> io::Result<()> {
        let token = self.token(source)?;
        let registry = self.core.poll.registry();
        registry.reregister(socket, token, interest)
    }

    /// Watches it no more. Not needed before a socket is closed.
    ///
    /// # Errors
    /// Where the system refuses.
    pub fn deregister(&mut self, socket: &mut (impl MioSource + ?Sized)) -> io::Result<()> {
        self.core.poll.registry().deregister(socket)
    }

    /// Calls a function after `delay`.
    pub fn call_later(
        &mut self,
        delay: Duration,
        callback: impl FnOnce(&mut Io<'_>) + 'static,
    ) -> CallLater {
        self.core.scheduler.call_later(delay, callback)
    }

    /// Calls a function every `delay`.
    pub fn call_every(
        &mut self,
        delay: Duration,
        callback: impl FnMut(&mut Io<'_>) + 'static,
    ) -> CallLater {
        self.core.scheduler.call_every(delay, callback)
    }

    /// Sends a message to another channel of this loop, which gets it before
    /// the loop sleeps again.
    pub fn send(&mut self, to: ChannelId, message: Box<dyn Any + Send>) {
        self.core.remote.send(to, message);
    }

    /// What other threads reach this loop through.
    #[must_use]
    pub fn remote(&self) -> Remote {
        self.core.remote.clone()
    }

    /// Tells all channels that there are that the server is to end.
    pub(crate) fn drain_all(&mut self) {
        let ids: Vec<_> = self.core.slots.iter().map(|(_, slot)| slot.id).collect();
        for id in ids {
            self.core.dispatch(id, |channel, io| channel.drain(io));
        }
    }

    /// Ends [`IOLoop::run`] after this turn.
    pub fn stop(&mut self) {
        self.core.stopped = true;
    }

    /// Borrows the loop's buffer of 64 KiB, to be handed back with
    /// [`return_buffer`](Self::return_buffer). Channels read into it, so that none needs its own.
    pub(crate) fn take_buffer(&mut self) -> Box<[u8]> {
        let buffer = mem::take(&mut self.core.buffer);
        if buffer.is_empty() {
            // A call that panicked has not handed it back.
            return vec![0; BUFFER_SIZE].into_boxed_slice();
        }
        buffer
    }

    pub(crate) fn return_buffer(&mut self, buffer: Box<[u8]>) {
        self.core.buffer = buffer;
    }

    /// Borrows the loop's pipe for a `splice`, if there is one yet. It is handed
    /// back empty with [`return_pipe`](Self::return_pipe), or dropped.
    pub(crate) fn take_pipe(&mut self) -> Option<sys::Pipe> {
        self.core.pipe.take()
    }

    pub(crate) fn return_pipe(&mut self, pipe: Option<sys::Pipe>) {
        self.core.pipe = pipe;
    }

    /// Puts a channel on the loop that knows its own name.
    pub(crate) fn add_with(
        &mut self,
        make: impl FnOnce(ChannelId, &Remote) -> Box<dyn Channel>,
    ) -> ChannelId {
        self.core.add_with(make)
    }

    fn token(&self, source: Source) -> io::Result<Token> {
        let outside = || io::Error::other("only a channel has sources");
        Ok(self.id.ok_or_else(outside)?.token(source))
    }
}

impl fmt::Debug for Io<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Io")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

/// All of the loop but what the poll fills in, so that a channel that runs can
/// be given the rest.
struct Core {
    poll: Poll,
    slots: Slab<Slot>,
    generation: u32,
    next_round: VecDeque<ChannelId>,
    deadlines: DeadlineHeap<ChannelId>,
    /// With more, those of channels that are gone are cleared away.
    deadlines_max: usize,
    scheduler: timers::Scheduler,
    buffer: Box<[u8]>,
    pipe: Option<sys::Pipe>,
    /// Of this turn, by the loop's clock, and by the system's.
    now: Instant,
    began: Instant,
    /// Where sockets in memory are, whose clock is moved by hand.
    network: Option<Network>,
    remote: Remote,
    /// When lines of the log have to be written at the latest.
    lines_due: Option<Instant>,
    /// Whether the poll brought this turn one event at most.
    is_quiet: bool,
    stopped: bool,
}

struct Slot {
    id: ChannelId,
    /// Absent while it runs.
    channel: Option<Box<dyn Channel>>,
    /// Whether it is in the queue of the next round.
    queued: bool,
    /// The earliest of its entries in the heap of deadlines.
    armed: Option<Instant>,
}

impl Core {
    fn add(&mut self, channel: Box<dyn Channel>) -> ChannelId {
        self.add_with(|_, _| channel)
    }

    fn add_with(&mut self, make: impl FnOnce(ChannelId, &Remote) -> Box<dyn Channel>) -> ChannelId {
        self.generation = (self.generation + 1) % ChannelId::GENERATIONS;
        let entry = self.slots.vacant_entry();
        let id = ChannelId {
            // No system has descriptors for as many channels.
            slot: u32::try_from(entry.key()).unwrap_or(u32::MAX),
            generation: self.generation,
        };
        entry.insert(Slot {
            id,
            channel: Some(make(id, &self.remote)),
            queued: false,
            armed: None,
        });
        self.dispatch(id, |channel, io| channel.opened(io));
        id
    }

    /// Calls a channel and looks at what that leaves behind. A panic ends that
    /// channel only.
    fn dispatch(
        &mut self,
        id: ChannelId,
        call: impl FnOnce(&mut (dyn Channel + 'static), &mut Io<'_>),
    ) {
        let Some(mut channel) = self.slot(id).and_then(|slot| slot.channel.take()) else {
            return;
        };
        let mut io = Io {
            core: self,
            id: Some(id),
            again: false,
        };
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| call(&mut *channel, &mut io))) {
            let text = panic_text(&*panic);
            log::error!(target: crate::log::TARGET, "a channel panicked and is closed: {text}");
            let closed = catch_unwind(AssertUnwindSafe(|| channel.close(&mut io)));
            if closed.is_err() || !channel.is_closed() {
                log::error!(target: crate::log::TARGET, "it panicked again while it was closed");
                self.remove(id, channel);
                return;
            }
        }
        let again = io.again;
        if channel.is_closed() {
            self.remove(id, channel);
        } else {
            self.settle(id, channel, again);
        }
    }

    fn remove(&mut self, id: ChannelId, channel: Box<dyn Channel>) {
        self.slots.try_remove(id.slot as usize);
        drop_guarded("a channel", channel);
    }

    /// Puts a channel back after a call.
    fn settle(&mut self, id: ChannelId, channel: Box<dyn Channel>, again: bool) {
        let deadline = channel.next_timeout();
        let Some(slot) = self.slot(id) else { return };
        slot.channel = Some(channel);
        let queue = again && !slot.queued;
        slot.queued |= again;
        // Only an earlier deadline needs an entry: a later one is found when the
        // present entry comes up.
        let arm = deadline.filter(|deadline| slot.armed.is_none_or(|armed| *deadline < armed));
        if arm.is_some() {
            slot.armed = arm;
        }
        if queue {
            self.next_round.push_back(id);
        }
        if let Some(deadline) = arm {
            self.deadlines.push(deadline, id);
            self.clear_deadlines();
        }
    }

    /// Clears the deadlines of channels that are gone away, each time that the
    /// heap has doubled: they need not wait there for minutes.
    fn clear_deadlines(&mut self) {
        if self.deadlines.len() <= self.deadlines_max {
            return;
        }
        let slots = &self.slots;
        self.deadlines.retain(|id| {
            let slot = slots.get(id.slot as usize);
            slot.is_some_and(|slot| slot.id == *id)
        });
        self.deadlines_max = DEADLINES_MIN.max(2 * self.deadlines.len());
    }

    fn slot(&mut self, id: ChannelId) -> Option<&mut Slot> {
        self.slots
            .get_mut(id.slot as usize)
            .filter(|slot| slot.id == id)
    }

    /// Runs what waits for its round, but for so long only: what became ready
    /// meanwhile comes first then.
    fn run_next_round(&mut self) {
        for _ in 0..self.next_round.len() {
            let Some(id) = self.next_round.pop_front() else {
                return;
            };
            if let Some(slot) = self.slot(id) {
                slot.queued = false;
                self.dispatch(id, |channel, io| channel.again(io));
            }
            if self.began.elapsed() >= ROUND_TIME {
                return;
            }
        }
    }

    fn run_deadlines(&mut self) {
        let now = self.now;
        for _ in 0..self.deadlines.len() {
            let Some((deadline, id)) = self.deadlines.pop_due(now) else {
                return;
            };
            let Some(slot) = self.slot(id) else { continue };
            if slot.armed != Some(deadline) {
                continue;
            }
            slot.armed = None;
            let next = slot.channel.as_ref().and_then(|x| x.next_timeout());
            match next {
                Some(next) if next <= now => {
                    self.dispatch(id, |channel, io| channel.timeout(io));
                }
                Some(next) => {
                    slot.armed = Some(next);
                    self.deadlines.push(next, id);
                }
                None => {}
            }
        }
    }

    fn run_scheduled(&mut self) {
        for task in self.scheduler.take_due(self.now) {
            if let Some(task) = task.run(&mut self.io()) {
                self.scheduler.put_back(task);
            }
        }
    }

    fn run_letters(&mut self) {
        let letters = self.remote.take();
        for letter in letters {
            match letter {
                Letter::Message(to, message) if self.slot(to).is_some() => {
                    self.dispatch(to, |channel, io| channel.message(io, message));
                }
                Letter::Message(_, message) => drop_guarded("a message to nobody", message),
                Letter::Call(function) => {
                    let mut io = self.io();
                    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| function(&mut io))) {
                        let text = panic_text(&*panic);
                        log::error!(target: crate::log::TARGET, "a function of another thread panicked: {text}");
                    }
                }
            }
        }
    }

    fn io(&mut self) -> Io<'_> {
        Io {
            core: self,
            id: None,
            again: false,
        }
    }

    /// How long the poll may wait.
    fn sleep_at_most(&mut self, timeout: Option<Duration>) -> Option<Duration> {
        if !self.next_round.is_empty() {
            return Some(Duration::ZERO);
        }
        match (self.time_to_next(), timeout) {
            (Some(next), Some(timeout)) => Some(next.min(timeout)),
            (next, timeout) => next.or(timeout),
        }
    }

    fn time_to_next(&mut self) -> Option<Duration> {
        if !self.next_round.is_empty() {
            return Some(Duration::ZERO);
        }
        let scheduled = self.scheduler.next_deadline();
        let next = [self.deadlines.next_deadline(), scheduled, self.lines_due];
        let next = next.into_iter().flatten().min()?;
        Some(next.saturating_duration_since(self.scheduler.clock().now()))
    }
}

/// Drops what is not ours, which may panic.
fn drop_guarded<T>(what: &str, value: T) {
    if catch_unwind(AssertUnwindSafe(|| drop(value))).is_err() {
        log::error!(target: crate::log::TARGET, "{what} panicked while it was dropped");
    }
}

/// What a panic said.
pub(crate) fn panic_text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no text")
}

/// The token of the waker: no channel has it, since no slab grows so far.
const WAKE: Token = Token(usize::MAX);

/// Events taken at once.
const EVENTS: usize = 256;

/// Deadlines that are too few to clear any away.
const DEADLINES_MIN: usize = 1024;

/// The buffer that is lent to the channels.
pub(crate) const BUFFER_SIZE: usize = 65_536;

/// After so much time in a turn the loop looks for new events, before the rest
/// of the channels that wait for their round.
const ROUND_TIME: Duration = Duration::from_micros(50);

/// How often [`IOLoop::close`] looks for new channels.
const CLOSE_ROUNDS: usize = 8;
