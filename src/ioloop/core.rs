//! The loop as its channels see it: [`Channel`], [`Io`] and [`Remote`], and the core that calls a
//! channel. They name each other, and therefore share a file.

use std::any::Any;
use std::fmt;
use std::io;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use mio::event::Source as MioSource;
use mio::{Interest, Poll, Registry, Token, Waker};

use super::clock::Clock;
use super::event::{ChannelId, Readiness, Source};
use super::mailbox::Mailbox;
use super::panics::{drop_guarded, panic_text};
use super::slots::Slots;
use super::timers::{CallLater, Scheduler};
use crate::sys;

/// Something that owns sockets and is driven by an [`IOLoop`](super::IOLoop).
///
/// A channel owns up to 256 sources (sockets), which it numbers itself. Each call gets the loop
/// as an [`Io`]. When the call returns, the loop reads the channel's next deadline, and whether
/// it is closed.
///
/// The loop is edge-triggered: it reports a change once. After an event, read or write until the
/// socket would block, or call [`Io::again`] to go on in the next round; doing neither loses the
/// event.
pub trait Channel: Any {
    /// The channel is on the loop now: register the sources here.
    fn opened(&mut self, io: &mut Io<'_>) {
        let _ = io;
    }

    /// A source is ready.
    fn ready(&mut self, io: &mut Io<'_>, source: Source, readiness: Readiness);

    /// The next round after [`Io::again`].
    fn again(&mut self, io: &mut Io<'_>) {
        let _ = io;
    }

    /// The deadline of [`next_timeout`](Self::next_timeout) has come.
    fn timeout(&mut self, io: &mut Io<'_>) {
        let _ = io;
    }

    /// The nearest deadline. The loop reads it after every call.
    fn next_timeout(&self) -> Option<Instant> {
        None
    }

    /// A message has come that was sent with [`Io::send`] or [`Remote::send`].
    fn message(&mut self, io: &mut Io<'_>, message: Box<dyn Any + Send>) {
        let _ = (io, message);
    }

    /// The server is to end soon: begin nothing new, and close when the work in progress is
    /// finished.
    fn drain(&mut self, io: &mut Io<'_>) {
        let _ = io;
    }

    /// The server asks all channels of the loop. A channel that does not know the question ignores
    /// it.
    #[doc(hidden)]
    fn asked(&mut self, io: &mut Io<'_>, question: &mut dyn Any) {
        let _ = (io, question);
    }

    /// The loop ends, or a call of this channel panicked: release everything.
    /// [`is_closed`](Self::is_closed) must return true afterwards.
    fn close(&mut self, io: &mut Io<'_>);

    /// Whether the loop is to drop this channel.
    fn is_closed(&self) -> bool;
}

/// A handle through which other threads reach a loop. It wakes the loop.
#[derive(Clone)]
pub struct Remote(Arc<Mailbox<Request>>);

impl Remote {
    /// Runs a function on the loop.
    pub fn call(&self, function: impl FnOnce(&mut Io<'_>) + Send + 'static) {
        self.0.post(Request::Call(Box::new(function)));
    }

    /// Sends a message to a channel. It is dropped if that channel is gone.
    pub fn send(&self, to: ChannelId, message: Box<dyn Any + Send>) {
        self.0.post(Request::Message(to, message));
    }

    /// Whether both reach the same loop.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// The loop goes. What waits for it is dropped.
    pub(super) fn close(&self) {
        self.0.close();
    }

    pub(super) fn has_requests(&self) -> bool {
        !self.0.is_empty()
    }

    pub(super) fn take_requests(&self) -> Vec<Request> {
        self.0.take()
    }
}

impl fmt::Debug for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Remote")
    }
}

/// A request of a thread to a loop.
pub(super) enum Request {
    Call(Box<dyn FnOnce(&mut Io<'_>) + Send>),
    Message(ChannelId, Box<dyn Any + Send>),
}

/// A function that is called later: of [`Io::call_later`], or of [`Io::call_every`].
pub(super) enum Callback {
    Once(Box<dyn FnOnce(&mut Io<'_>)>),
    Every(Box<dyn FnMut(&mut Io<'_>)>),
}

/// The loop as seen by one of its channels, or by a scheduled function.
pub struct Io<'a> {
    core: &'a mut Core,
    /// The channel that is being called.
    id: Option<ChannelId>,
    again: bool,
}

impl Io<'_> {
    /// The time of this turn.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.core.now
    }

    /// The clock of the loop. It says what the time is in the midst of a turn.
    pub(crate) fn clock(&self) -> &Clock {
        &self.core.clock
    }

    /// The name of the channel that is being called; `None` in scheduled functions.
    #[must_use]
    pub fn id(&self) -> Option<ChannelId> {
        self.id
    }

    /// Asks for another call in the next round. The loop does not sleep before it.
    pub fn again(&mut self) {
        self.again = true;
    }

    /// Whether no other channel has work in this turn. More may be done at once then.
    pub(crate) fn is_alone(&self) -> bool {
        self.core.is_quiet && self.core.slots.round_len() == 0
    }

    /// Puts another channel on the loop.
    pub fn add(&mut self, channel: impl Channel + 'static) -> ChannelId {
        self.core.add(Box::new(channel))
    }

    /// Puts a channel on the loop that is made with its own name and the loop's [`Remote`].
    pub(crate) fn add_with(
        &mut self,
        make: impl FnOnce(ChannelId, &Remote) -> Box<dyn Channel>,
    ) -> ChannelId {
        self.core.add_with(make)
    }

    /// Watches a socket of the channel that is being called.
    ///
    /// # Errors
    /// Those of the system, and of a call outside of a channel.
    pub fn register(
        &mut self,
        socket: &mut (impl MioSource + ?Sized),
        source: Source,
        interest: Interest,
    ) -> io::Result<()> {
        let token = self.token(source)?;
        self.core.registry()?.register(socket, token, interest)
    }

    /// Watches a socket for something else than before.
    ///
    /// # Errors
    /// Those of the system, and of a call outside of a channel.
    pub fn reregister(
        &mut self,
        socket: &mut (impl MioSource + ?Sized),
        source: Source,
        interest: Interest,
    ) -> io::Result<()> {
        let token = self.token(source)?;
        self.core.registry()?.reregister(socket, token, interest)
    }

    /// Stops watching a socket. This is not needed before a socket is closed.
    ///
    /// # Errors
    /// Those of the system.
    pub fn deregister(&mut self, socket: &mut (impl MioSource + ?Sized)) -> io::Result<()> {
        self.core.registry()?.deregister(socket)
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

    /// Sends a message to another channel of this loop. It arrives before the loop sleeps again.
    pub fn send(&mut self, to: ChannelId, message: Box<dyn Any + Send>) {
        self.core.remote.send(to, message);
    }

    /// A handle through which other threads reach this loop.
    #[must_use]
    pub fn remote(&self) -> Remote {
        self.core.remote.clone()
    }

    /// Calls [`Channel::drain`] of every channel.
    pub(crate) fn drain_all(&mut self) {
        for id in self.core.slots.ids() {
            self.core.dispatch(id, |channel, io| channel.drain(io));
        }
    }

    /// Calls [`Channel::asked`] of every channel.
    pub(crate) fn ask_all(&mut self, question: &mut dyn Any) {
        for id in self.core.slots.ids() {
            self.core
                .dispatch(id, |channel, io| channel.asked(io, question));
        }
    }

    /// Makes [`IOLoop::run`](super::IOLoop::run) return after this turn.
    pub fn stop(&mut self) {
        self.core.stopped = true;
    }

    /// Borrows the loop's buffer of 64 KiB, to be given back with
    /// [`return_buffer`](Self::return_buffer). Channels read into it, so that none needs its own.
    pub(crate) fn take_buffer(&mut self) -> Box<[u8]> {
        let buffer = mem::take(&mut self.core.buffer);
        if buffer.is_empty() {
            // A call that panicked has not given it back.
            return vec![0; BUFFER_SIZE].into_boxed_slice();
        }
        buffer
    }

    pub(crate) fn return_buffer(&mut self, buffer: Box<[u8]>) {
        self.core.buffer = buffer;
    }

    /// Borrows the loop's pipe for a `splice`, if it has been made already. It is given back empty
    /// with [`return_pipe`](Self::return_pipe), or dropped.
    pub(crate) fn take_pipe(&mut self) -> Option<sys::Pipe> {
        self.core.pipe.take()
    }

    pub(crate) fn return_pipe(&mut self, pipe: Option<sys::Pipe>) {
        self.core.pipe = pipe;
    }

    pub(super) fn token(&self, source: Source) -> io::Result<Token> {
        let outside = || io::Error::other("sockets can only be registered in a call of a channel");
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

/// The part of a loop that a running channel may use: all but the events of the poll.
pub(super) struct Core {
    /// `None`: the loop has only sockets in memory, and never waits.
    pub(super) poll: Option<Poll>,
    pub(super) clock: Clock,
    pub(super) slots: Slots<Box<dyn Channel>>,
    pub(super) scheduler: Scheduler<Callback>,
    pub(super) remote: Remote,
    /// The time of this turn, by the loop's clock.
    pub(super) now: Instant,
    /// Whether the poll brought at most one event in this turn.
    pub(super) is_quiet: bool,
    pub(super) stopped: bool,
    buffer: Box<[u8]>,
    pipe: Option<sys::Pipe>,
}

impl Core {
    pub(super) fn new(poll: Option<Poll>, waker: Option<Waker>, clock: Clock) -> Self {
        Self {
            poll,
            slots: Slots::new(),
            scheduler: Scheduler::new(clock.clone()),
            remote: Remote(Arc::new(Mailbox::new(waker))),
            now: clock.now(),
            clock,
            is_quiet: false,
            stopped: false,
            buffer: vec![0; BUFFER_SIZE].into_boxed_slice(),
            pipe: None,
        }
    }

    fn registry(&self) -> io::Result<&Registry> {
        let none = || io::Error::other("a loop in memory watches no sockets of the system");
        Ok(self.poll.as_ref().ok_or_else(none)?.registry())
    }

    pub(super) fn add(&mut self, channel: Box<dyn Channel>) -> ChannelId {
        self.add_with(|_, _| channel)
    }

    fn add_with(&mut self, make: impl FnOnce(ChannelId, &Remote) -> Box<dyn Channel>) -> ChannelId {
        let Self { slots, remote, .. } = self;
        let id = slots.add(|id| make(id, remote));
        self.dispatch(id, |channel, io| channel.opened(io));
        id
    }

    pub(super) fn call_later(
        &mut self,
        delay: Duration,
        callback: impl FnOnce(&mut Io<'_>) + 'static,
    ) -> CallLater {
        let callback = Callback::Once(Box::new(callback));
        self.scheduler.schedule(delay, callback)
    }

    pub(super) fn call_every(
        &mut self,
        delay: Duration,
        callback: impl FnMut(&mut Io<'_>) + 'static,
    ) -> CallLater {
        let callback = Callback::Every(Box::new(callback));
        self.scheduler.schedule(delay, callback)
    }

    /// The loop for a function that belongs to no channel.
    pub(super) fn io(&mut self) -> Io<'_> {
        Io {
            core: self,
            id: None,
            again: false,
        }
    }

    /// Calls a channel, and acts on the state that the call leaves behind. A panic ends only that
    /// channel.
    pub(super) fn dispatch(
        &mut self,
        id: ChannelId,
        call: impl FnOnce(&mut (dyn Channel + 'static), &mut Io<'_>),
    ) {
        let Some(mut channel) = self.slots.take(id) else {
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
                log::error!(target: crate::log::TARGET, "a channel that panicked could not be closed, and is dropped");
                self.remove(id, channel);
                return;
            }
        }
        let again = io.again;
        if channel.is_closed() {
            self.remove(id, channel);
        } else {
            let deadline = channel.next_timeout();
            self.slots.put_back(id, channel, again, deadline);
        }
    }

    fn remove(&mut self, id: ChannelId, channel: Box<dyn Channel>) {
        self.slots.remove(id);
        drop_guarded("a channel", channel);
    }
}

/// The size of the buffer that is lent to the channels, in bytes.
const BUFFER_SIZE: usize = 65_536;
