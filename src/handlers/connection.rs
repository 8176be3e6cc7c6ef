//! One control connection as a channel: it drives the session from its state after each event,
//! and is the only file of the handlers that registers sockets.
//!
//! A call looks at connections that wait to be accepted, at the data connection and at the
//! commands, as long as one of them makes progress. Then it reconciles: it sends the replies
//! and watches the sockets for the events that the state calls for. If the session is over, it
//! is reaped, in one place only.

use std::any::Any;
use std::io;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use log::Level;
use mio::Interest;

use super::commands::login::{self, LoginAnswer};
use super::commands::tls;
use super::data::{DataChannel, Drive, Lent, Outcome};
use super::dispatchers;
use super::handler::FTPHandler;
use super::lifecycle::{self, REAP_STEPS};
use super::lines;
use super::log::reply_to_pass;
use super::parking;
use super::session::{DataState, FTPSession, JobDone, Leaving, NewSession};
use super::space;
use super::stock::overrides;
use super::transfers;
use super::turn::{has_room, must_hold, takes_commands};
use crate::error::strerror;
use crate::ioloop::line::Step;
use crate::ioloop::stream::{is_disconnect, readable};
use crate::ioloop::{Channel, Io, Linger, LingerLimits, Readiness, Source, Woken};
use crate::limits::{Admission, MakeRoom};
use crate::proto::reply::Reply;
use crate::sessions::CloseSession;

/// A session and the user's handler.
pub(crate) struct Connection<H> {
    session: FTPSession,
    handler: H,
    admission: Admission,
    /// The steps of the end that have begun.
    reaped: u8,
}

impl<H: FTPHandler + 'static> Connection<H> {
    pub(crate) fn new(session: NewSession, handler: H, admission: Admission) -> Self {
        session.server.sessions.fetch_add(1, Relaxed);
        session.server.loops.begin(&session.remote);
        let mut session = FTPSession::new(session);
        session.overrides = overrides::<H>();
        Self {
            session,
            handler,
            admission,
            reaped: 0,
        }
    }

    /// The session, as it is between two calls.
    pub(crate) fn session(&self) -> &FTPSession {
        &self.session
    }

    /// How many bytes are kept for the client.
    pub(crate) fn queued_bytes(&self) -> usize {
        let data = self.session.data_channel();
        let chat = &self.session.chat;
        let control = chat.output_size() + chat.stream.queued_bytes();
        control + data.map_or(0, DataChannel::queued_bytes)
    }

    /// Calls a function in the way a method of the handler is called.
    pub(crate) fn hook<T>(
        &mut self,
        io: &mut Io<'_>,
        hook: impl FnOnce(&mut H, &mut FTPSession) -> T,
    ) -> T {
        self.session.now = io.now();
        let result = hook(&mut self.handler, &mut self.session);
        self.run(io);
        result
    }

    /// Makes all progress that is possible now, then reconciles, and reaps a closed session.
    fn run(&mut self, io: &mut Io<'_>) {
        self.session.now = io.now();
        let result = self.work(io).and_then(|()| self.reconcile(io));
        if let Err(err) = result {
            if !is_disconnect(&err) {
                self.session
                    .log(format_args!("connection failed: {}", strerror(&err)));
            }
            // Nothing more can be said to the client, but what it has sent is kept.
            let is_gone = matches!(self.session.leaving, Leaving::Gone { .. });
            match !is_gone && lines::go_on_alone(&mut self.handler, &mut self.session) {
                true => io.again(),
                false => self.session.chat.close(),
            }
        }
        if self.session.chat.is_closed() {
            let linger = self.linger(io);
            self.reap();
            if let Some(linger) = linger {
                io.add(linger);
            }
        }
    }

    /// The end of the control connection, if the server has closed it after a last reply and the
    /// client may still send: a reset could keep it from reading the reply.
    fn linger(&mut self, io: &mut Io<'_>) -> Option<Linger> {
        let s = &mut self.session;
        if self.admission != Admission::Admitted || s.is_leaving() || !s.chat.may_linger() {
            return None;
        }
        // It would keep its slot, which others need.
        if s.makes_room || s.server.limits.is_crowded() {
            return None;
        }
        let mut stream = s.chat.stream.hand_over(io).ok()?;
        // The last reply is whole. A failure shows when something is read.
        let _ = stream.finish();
        // The user has gone, and may come again. The socket still counts for its address.
        s.uncount_user();
        let slot = Box::new(s.slot.hold());
        Some(Linger::new(stream, slot, LINGER, s.now))
    }

    fn work(&mut self, io: &mut Io<'_>) -> io::Result<()> {
        let mut spent = false;
        // Some commands take much longer than others, so the clock ends the turn.
        let end = io.clock().tick() + TURN_TIME;
        for _ in 0..ROUNDS {
            if dispatchers::drive_passive(&mut self.handler, &mut self.session) {
                io.again();
            }
            let finished = match self.drive_data(io, spent) {
                Some(Drive::Finished(outcome)) => {
                    transfers::conclude(&mut self.handler, &mut self.session, outcome);
                    true
                }
                Some(Drive::Again) => {
                    spent = true;
                    false
                }
                Some(Drive::Wait) | None => {
                    transfers::reply_if_due(&mut self.handler, &mut self.session)
                }
            };
            let shaken = self.session.chat.stream.is_handshaking()
                && tls::shake(&mut self.handler, &mut self.session);
            lifecycle::leave(&mut self.session);
            let moved = self.drive_commands(io, end)?;
            if !moved && !finished && !shaken {
                if spent {
                    io.again();
                }
                return Ok(());
            }
            if io.clock().tick() >= end {
                break;
            }
        }
        io.again();
        Ok(())
    }

    /// Moves data, with the loop's buffer and pipe.
    fn drive_data(&mut self, io: &mut Io<'_>, spent: bool) -> Option<Drive> {
        let now = self.session.now;
        if !matches!(self.session.data, DataState::Open(_)) {
            return None;
        }
        if spent {
            return Some(Drive::Again);
        }
        if !transfers::is_announced(&mut self.session) {
            return Some(Drive::Wait);
        }
        space::look(&mut self.session);
        let DataState::Open(open) = &mut self.session.data else {
            return None;
        };
        let lent = Lent {
            buffer: io.take_buffer(),
            pipe: io.take_pipe(),
            is_alone: io.is_alone(),
        };
        let (drive, lent) = open.drive(now, lent);
        let note = open.channel.note.take();
        io.return_buffer(lent.buffer);
        io.return_pipe(lent.pipe);
        if let Some(note) = note {
            let session = &mut self.session;
            session.as_transfer_user(|s| s.log_seldom(Level::Info, note));
        }
        Some(drive)
    }

    /// Reads commands and runs them, as long as the session takes them. Returns whether there
    /// were any.
    fn drive_commands(&mut self, io: &mut Io<'_>, end: Instant) -> io::Result<bool> {
        if !takes_commands(&mut self.session)? {
            return Ok(false);
        }
        let mut buffer = io.take_buffer();
        let result = self.take_input(&mut buffer, end);
        io.return_buffer(buffer);
        result
    }

    fn take_input(&mut self, buffer: &mut [u8], end: Instant) -> io::Result<bool> {
        let s = &mut self.session;
        let input = s.chat.read_into(buffer)?;
        let mut rest = &buffer[..input.size];
        let mut moved = false;
        let mut held = false;
        for _ in 0..LINES {
            match s.chat.split(rest) {
                Step::Piece { piece, .. } if must_hold(s, piece) => {
                    held = true;
                    break;
                }
                Step::Piece { piece, consumed } => {
                    rest = &rest[consumed..];
                    moved = true;
                    lines::run_line(&mut self.handler, s, piece);
                }
                // Its reply must not overtake that of PORT.
                Step::TooLong { .. } if matches!(s.data, DataState::Connecting(_)) => {
                    s.chat.take_back();
                    held = true;
                    break;
                }
                Step::TooLong { consumed } => {
                    rest = &rest[consumed..];
                    moved = true;
                    // Whatever it was, it is not done.
                    (s.rest, s.allo, s.rnfr) = (0, 0, None);
                    s.respond_w_warning(Reply::new(500, "Command too long."));
                }
                Step::Skipped { consumed } => {
                    rest = &rest[consumed..];
                    moved = true;
                }
                Step::More => break,
            }
            match takes_commands(s) {
                Ok(true) if s.chat.stream.clock().tick() < end => {}
                Ok(_) => break,
                Err(err) => {
                    s.chat.keep(rest);
                    return Err(err);
                }
            }
        }
        s.chat.keep(rest);
        let gone = input.eof || (held && s.chat.stream.is_read_closed());
        if gone && held && lines::await_port(&mut self.handler, s) {
            return Ok(!matches!(s.data, DataState::Connecting(_)));
        }
        if gone
            && (!moved || held)
            && !s.is_leaving()
            && !s.is_waiting()
            && !lines::go_on_alone(&mut self.handler, s)
        {
            // RFC 959: a transfer ends with its control connection.
            transfers::finish(&mut self.handler, s, Outcome::Silent);
            s.close_when_done();
        }
        Ok(moved || (!held && s.chat.stream.is_readable()))
    }

    /// Sends the replies, and watches each socket for what the state calls for.
    fn reconcile(&mut self, io: &mut Io<'_>) -> io::Result<()> {
        let s = &mut self.session;
        s.slot.set_activity(s.authenticated(), s.may_make_room());
        if s.is_closing() {
            transfers::reply_now(&mut self.handler, s);
        }
        if let Some(mut linger) = s.lingering.take()
            && linger.leave(io).is_ok()
        {
            io.add(*linger);
        }
        let more = match s.chat.flush() {
            // The client has gone, and its upload goes on.
            Err(_) if matches!(s.leaving, Leaving::Gone { .. }) && s.has_upload() => false,
            flushed => flushed?,
        };
        // No event comes for the commands that waited for the room which the flush has made.
        if more || (s.waits_for_room && has_room(s)) {
            io.again();
        }
        if s.chat.is_closed() {
            return Ok(());
        }
        if s.chat.is_closing() {
            // The wait for the client to read the last reply is bounded.
            let last = s.now + CLOSE_WAIT;
            s.idle = Some(s.idle.map_or(last, |idle| idle.min(last)));
        }
        // Keep watching a waiting session, so that a disconnect is noticed. But while a
        // login is delayed the slot is held, so that a client cannot guess faster by
        // reconnecting.
        let listens = !s.login.is_delayed() && !s.is_leaving();
        s.chat.watch(io, CONTROL, listens)?;
        match &mut s.data {
            DataState::None => Ok(()),
            DataState::Listening(passive) if passive.registered => Ok(()),
            DataState::Listening(passive) => {
                passive.registered = true;
                passive.listener.watch(io, LISTENER)
            }
            DataState::Connecting(active) => {
                let interest = Some(Interest::WRITABLE);
                active.stream.watch(io, CONNECTOR, interest)
            }
            DataState::Open(open) => {
                let interest = open.interest(s.now);
                let stream = &mut open.channel.stream;
                if interest == Some(Interest::WRITABLE) && stream.is_writable() {
                    return Ok(());
                }
                stream.watch(io, DATA, interest)
            }
            DataState::Ending(ending) => ending.stream.watch(io, DATA, Some(readable())),
        }
    }

    /// Ends the session. This is the one place where a session ends.
    fn reap(&mut self) {
        // If a hook panics in one of the steps, the loop closes the channel, and the rest of
        // the steps follow then.
        while self.reaped < REAP_STEPS {
            self.reaped += 1;
            lifecycle::reap_step(&mut self.handler, &mut self.session, self.reaped);
        }
    }
}

impl<H> Drop for Connection<H> {
    fn drop(&mut self) {
        self.session.server.sessions.fetch_sub(1, Relaxed);
        self.session.server.loops.end(&self.session.remote);
    }
}

impl<H: FTPHandler + 'static> Channel for Connection<H> {
    fn opened(&mut self, io: &mut Io<'_>) {
        let (h, s) = (&mut self.handler, &mut self.session);
        let is_refused = self.admission != Admission::Admitted;
        if is_refused && !s.server.limits.count_refusal(s.remote_ip(), io.now()) {
            s.log_nothing();
        }
        s.log("FTP session opened (connect)");
        s.reset_prot();
        if s.prot {
            // TLS is implicit: the replies from here on wait for the handshake.
            h.secure_connection(s);
        }
        match self.admission {
            Admission::Admitted => {
                s.greeted = true;
                h.handle(s);
            }
            Admission::MaxCons => h.handle_max_cons(s),
            Admission::MaxConsPerIp => h.handle_max_cons_per_ip(s),
            Admission::Address => h.handle_refused_address(s),
        }
        if is_refused && s.chat.stream.is_handshaking() {
            // The client could read the reason only after a handshake, until which it would
            // hold a slot that others need.
            s.close();
        }
        self.run(io);
    }

    fn ready(&mut self, io: &mut Io<'_>, source: Source, readiness: Readiness) {
        self.session.now = io.now();
        let s = &mut self.session;
        match (source, &mut s.data) {
            (CONTROL, _) => {
                s.chat.stream.on_ready(readiness);
                // The socket is not read while the session waits, so the end is noticed here.
                if readiness.write_closed && (s.is_waiting() || s.owes_reply()) {
                    s.close();
                }
            }
            (LISTENER, DataState::Listening(passive)) => passive.ready = true,
            (CONNECTOR, DataState::Connecting(_)) => {
                dispatchers::drive_active(&mut self.handler, s);
            }
            (DATA | CONNECTOR, DataState::Open(open)) => {
                open.channel.stream.on_ready(readiness);
                // Transfers wait for the next round, which begins when all events of this turn,
                // and with them the commands, are handled.
                return io.again();
            }
            (DATA | CONNECTOR, DataState::Ending(ending)) => ending.on_ready(readiness),
            // An event of a socket that was closed earlier in this turn.
            _ => return,
        }
        self.run(io);
    }

    fn again(&mut self, io: &mut Io<'_>) {
        self.run(io);
    }

    fn timeout(&mut self, io: &mut Io<'_>) {
        self.session.now = io.now();
        lifecycle::run_deadlines(&mut self.handler, &mut self.session);
        self.run(io);
    }

    fn next_timeout(&self) -> Option<Instant> {
        lifecycle::next_timeout(&self.session)
    }

    fn message(&mut self, io: &mut Io<'_>, message: Box<dyn Any + Send>) {
        self.session.now = io.now();
        let (h, s) = (&mut self.handler, &mut self.session);
        match message.downcast::<LoginAnswer>() {
            Ok(answer) => reply_to_pass(h, s, |h, s| {
                login::answer_later(h, s, answer.number, answer.result);
            }),
            Err(message) => match message.downcast::<JobDone>() {
                Ok(done) => parking::come_back(h, s, *done),
                Err(message) if message.is::<MakeRoom>() => lifecycle::make_room(s),
                // What follows looks at the data connection.
                Err(message) if message.is::<Woken>() => {}
                Err(message) => match message.downcast::<CloseSession>() {
                    Ok(close) if close.is_of(&s.server.loops) => lifecycle::close_by_program(s),
                    Ok(_) => {}
                    Err(message) => h.on_message(s, message),
                },
            },
        }
        self.run(io);
    }

    fn asked(&mut self, io: &mut Io<'_>, question: &mut dyn Any) {
        self.session.now = io.now();
        if question
            .downcast_mut()
            .is_some_and(|question| self.session.must_close(question))
        {
            lifecycle::close_by_program(&mut self.session);
            self.run(io);
        }
    }

    fn drain(&mut self, io: &mut Io<'_>) {
        if self.session.leaving == Leaving::No {
            self.session.leaving = Leaving::Drained;
        }
        self.run(io);
    }

    fn close(&mut self, _io: &mut Io<'_>) {
        self.session.chat.close();
        self.reap();
    }

    fn is_closed(&self) -> bool {
        self.session.chat.is_closed()
    }
}

/// The numbers of a session's sockets.
const CONTROL: Source = 0;
const LISTENER: Source = 1;
const CONNECTOR: Source = 2;
const DATA: Source = 3;

/// How often one call looks at all of them.
const ROUNDS: usize = 8;

/// How long one call lasts. Then the other channels have their turn.
const TURN_TIME: Duration = Duration::from_millis(1);

/// The commands that run between two looks at the data connection.
const LINES: usize = 16;

/// How long a client that still sends has to notice that its session has ended.
const LINGER: LingerLimits = LingerLimits {
    silence: Duration::from_secs(2),
    time: Duration::from_secs(5),
    bytes: 1 << 20,
};

/// How long a client may take to read the last reply.
const CLOSE_WAIT: Duration = Duration::from_secs(30);
