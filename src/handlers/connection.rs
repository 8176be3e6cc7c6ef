//! One control connection as a channel: it drives the session from its state
//! after each event, and alone deals with the poll.
//!
//! A call looks at what waits to be connected, at the data connection and at the
//! commands, as long as one of them moves; then it reconciles: sends the replies
//! and watches the sockets for what the state calls for. If the session is over
//! it is reaped, in one place only.

use std::any::Any;
use std::io;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use log::Level;
use mio::Interest;

use super::commands::{login, tls};
use super::data::{self, Drive, Outcome};
use super::parking::Done;
use super::session::{Arrival, DataState, Leaving, TIMERS_MAX};
use super::{FTPHandler, FTPSession, dispatchers, parking};
use crate::authorizers::LoginAnswer;
use crate::ioloop::line::Step;
use crate::ioloop::stream::is_disconnect;
use crate::ioloop::{Channel, Io, Readiness, Source};
use crate::limits::Admission;
use crate::proto::command::{CommandLine, connects, transfers};

/// A session and the user's handler.
pub(crate) struct Connection<H> {
    session: FTPSession,
    handler: H,
    admission: Admission,
    /// Steps of the end that were taken.
    reaped: u8,
}

impl<H: FTPHandler> Connection<H> {
    pub(crate) fn new(arrival: Arrival, handler: H, admission: Admission) -> Self {
        arrival.server.sessions.fetch_add(1, Relaxed);
        Self {
            session: FTPSession::new(arrival),
            handler,
            admission,
            reaped: 0,
        }
    }

    /// The session, as it is between two calls.
    pub(crate) fn session(&self) -> &FTPSession {
        &self.session
    }

    /// Calls a function as a method of the handler is called.
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

    /// Does what can be done now.
    fn run(&mut self, io: &mut Io<'_>) {
        self.session.now = io.now();
        let result = self.work(io).and_then(|()| self.reconcile(io));
        if let Err(err) = result {
            if !is_disconnect(&err) {
                self.session.log(format_args!("connection failed: {err}"));
            }
            self.session.chat.close();
        }
        if self.session.chat.is_closed() {
            self.reap();
        }
    }

    fn work(&mut self, io: &mut Io<'_>) -> io::Result<()> {
        let mut spent = false;
        // Some commands take much longer than others: the clock decides.
        let end = Instant::now() + TURN_TIME;
        for _ in 0..ROUNDS {
            if dispatchers::drive_passive(&mut self.handler, &mut self.session) {
                io.again();
            }
            let finished = match self.drive_data(io, spent) {
                Some(Drive::Finished(outcome)) => {
                    data::finish(&mut self.handler, &mut self.session, outcome);
                    true
                }
                Some(Drive::Again) => {
                    spent = true;
                    false
                }
                Some(Drive::Wait) | None => false,
            };
            let shaken = self.session.chat.stream.is_handshaking()
                && tls::shake(&mut self.handler, &mut self.session);
            self.leave();
            let moved = self.drive_commands(io, end)?;
            if !moved && !finished && !shaken {
                if spent {
                    io.again();
                }
                return Ok(());
            }
            if Instant::now() >= end {
                break;
            }
        }
        io.again();
        Ok(())
    }

    /// Says good-bye, if the server is to end and the session has come to rest.
    fn leave(&mut self) {
        let s = &mut self.session;
        if s.leaving != Leaving::Drained || !s.is_at_rest() {
            return;
        }
        if s.chat.stream.is_handshaking() {
            // Nothing can be said before its end, which may never come.
            s.close();
        } else if !s.is_closing() {
            s.respond_at(Level::Info, "421 Service is shutting down.");
            s.close_when_done();
        }
    }

    /// Moves data, with the loop's buffer and pipe.
    fn drive_data(&mut self, io: &mut Io<'_>, spent: bool) -> Option<Drive> {
        let now = self.session.now;
        let DataState::Open(open) = &mut self.session.data else {
            return None;
        };
        if spent {
            return Some(Drive::Again);
        }
        open.channel.lent.buffer = io.take_buffer();
        open.channel.lent.pipe = io.take_pipe();
        open.channel.lent.is_alone = io.is_alone();
        let drive = open.drive(now);
        let note = open.channel.note.take();
        let lent = std::mem::take(&mut open.channel.lent);
        io.return_buffer(lent.buffer);
        io.return_pipe(lent.pipe);
        if let Some(note) = note {
            self.session.log(note);
        }
        Some(drive)
    }

    /// Reads commands and carries them out, as long as the session takes them.
    /// Returns whether there were any.
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
                    line(&mut self.handler, s, piece);
                }
                Step::TooLong { consumed } => {
                    rest = &rest[consumed..];
                    moved = true;
                    s.respond_w_warning("500 Command too long.");
                }
                Step::Skipped { consumed } => {
                    rest = &rest[consumed..];
                    moved = true;
                }
                Step::More => break,
            }
            match takes_commands(s) {
                Ok(true) if Instant::now() < end => {}
                Ok(_) => break,
                Err(err) => {
                    s.chat.keep(rest);
                    return Err(err);
                }
            }
        }
        s.chat.keep(rest);
        let gone = input.eof || (held && s.chat.stream.is_read_closed());
        if gone && (!moved || held) && !s.is_leaving() && !s.is_waiting() {
            // RFC 959: without its control connection a transfer ends too.
            data::finish(&mut self.handler, s, Outcome::Silent);
            s.close_when_done();
        }
        Ok(moved || (!held && s.chat.stream.is_readable()))
    }

    /// Sends the replies, and watches each socket for what the state calls for.
    fn reconcile(&mut self, io: &mut Io<'_>) -> io::Result<()> {
        let s = &mut self.session;
        let more = s.chat.flush()?;
        // Room that was made just now brings no event for commands that wait.
        if more || (s.waits_for_room && has_room(s)) {
            io.again();
        }
        if s.chat.is_closed() {
            return Ok(());
        }
        if s.chat.is_closing() {
            // The last reply is not waited for forever.
            let last = s.now + CLOSE_PATIENCE;
            s.idle = Some(s.idle.map_or(last, |idle| idle.min(last)));
        }
        // Who waits for an answer is watched, to hear when nobody is there any more.
        // Who was refused keeps the slot to the end of the pause, there or not: else
        // one could guess as fast as one can reset and connect anew.
        let listens = !s.login.is_refused() && !s.is_leaving();
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
        }
    }

    /// Ends the session: the one place where that happens.
    fn reap(&mut self) {
        // If a hook panics in one of them, the rest comes when the loop closes it.
        while self.reaped < REAP_STEPS {
            self.reaped += 1;
            self.reap_step(self.reaped);
        }
    }

    fn reap_step(&mut self, step: u8) {
        let (h, s) = (&mut self.handler, &mut self.session);
        match step {
            1 => {
                s.chat.last_flush();
                if s.leaving == Leaving::Drained {
                    // Commands that nobody will read must not cost the client its 421.
                    s.chat.stream.discard_input();
                }
                if s.tls.as_ref().is_some_and(|tls| tls.handshake.is_none()) {
                    h.handle_ssl_shutdown(s);
                }
            }
            2 => {
                data::finish(h, s, Outcome::Silent);
                s.data = DataState::None;
            }
            3 => data::forget_pending(h, s, None),
            4 => login::drop_refusal(h, s),
            _ => {
                s.log("FTP session closed (disconnect).");
                if s.greeted {
                    h.on_disconnect(s);
                }
            }
        }
    }

    /// Calls whatever is due.
    fn run_deadlines(&mut self) {
        let (h, s) = (&mut self.handler, &mut self.session);
        let now = s.now;
        let due = |deadline: Option<Instant>| deadline.is_some_and(|deadline| deadline <= now);
        if due(s.idle_deadline()) {
            s.idle = None;
            match s.is_closing() {
                true => s.close(),
                false => h.handle_timeout(s),
            }
        }
        if due(s.handshake_deadline()) {
            h.handle_timeout(s);
            // Whatever a method of one's own says.
            s.close();
        }
        if due(s.login.next_timeout()) {
            login::end_refusal(h, s);
        }
        let stalled = match &mut s.data {
            DataState::Open(open) => open.has_stalled(now),
            _ => None,
        };
        match &mut s.data {
            DataState::Open(_) => {
                if let Some(outcome) = stalled {
                    data::finish(h, s, outcome);
                }
            }
            DataState::Listening(passive) if due(passive.deadline) => h.handle_passive_timeout(s),
            DataState::Listening(passive) if due(passive.listener.retry_at) => {
                passive.listener.retry_at = None;
                passive.ready = true;
            }
            DataState::Connecting(active) if due(active.deadline) => h.handle_active_timeout(s),
            _ => {}
        }
        // A hook may set a timer that is due at once: that one can wait a turn.
        for _ in 0..TIMERS_MAX {
            match s.take_due_timer() {
                Some(id) => h.on_timer(s, id),
                None => break,
            }
        }
    }
}

impl<H> Drop for Connection<H> {
    fn drop(&mut self) {
        self.session.server.sessions.fetch_sub(1, Relaxed);
    }
}

impl<H: FTPHandler + 'static> Channel for Connection<H> {
    fn opened(&mut self, io: &mut Io<'_>) {
        let (h, s) = (&mut self.handler, &mut self.session);
        s.log("FTP session opened (connect)");
        s.reset_prot();
        if s.prot {
            // Implicit: what is replied from here on waits for the handshake.
            h.secure_connection(s);
        }
        match self.admission {
            Admission::Admitted => {
                s.greeted = true;
                h.handle(s);
            }
            Admission::MaxCons => h.handle_max_cons(s),
            Admission::MaxConsPerIp => h.handle_max_cons_per_ip(s),
        }
        if self.admission != Admission::Admitted && s.chat.stream.is_handshaking() {
            // To be told why it would have to shake hands first, and would hold a
            // place of others until then.
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
                // Not read until then, it would be noticed late.
                if readiness.write_closed && s.is_waiting() {
                    s.close();
                }
            }
            (LISTENER, DataState::Listening(passive)) => passive.ready = true,
            (CONNECTOR, DataState::Connecting(_)) => {
                dispatchers::drive_active(&mut self.handler, s);
            }
            (DATA | CONNECTOR, DataState::Open(open)) => {
                open.channel.stream.on_ready(readiness);
                // Bulk waits for its round, which begins when the events of
                // this turn, commands among them, are done.
                return io.again();
            }
            // Of a socket that is gone: its last events may come in the same turn.
            _ => return,
        }
        self.run(io);
    }

    fn again(&mut self, io: &mut Io<'_>) {
        self.run(io);
    }

    fn timeout(&mut self, io: &mut Io<'_>) {
        self.session.now = io.now();
        self.run_deadlines();
        self.run(io);
    }

    fn next_timeout(&self) -> Option<Instant> {
        let s = &self.session;
        let data = match &s.data {
            DataState::None => None,
            DataState::Listening(passive) => {
                let deadlines = [passive.listener.retry_at, passive.deadline];
                deadlines.into_iter().flatten().min()
            }
            DataState::Connecting(active) => active.deadline,
            DataState::Open(open) => open.next_timeout(),
        };
        let login = s.login.next_timeout();
        [
            s.idle_deadline(),
            s.handshake_deadline(),
            login,
            data,
            s.next_timer(),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    fn message(&mut self, io: &mut Io<'_>, message: Box<dyn Any + Send>) {
        self.session.now = io.now();
        let (h, s) = (&mut self.handler, &mut self.session);
        match message.downcast::<LoginAnswer>() {
            Ok(answer) => login::answer_later(h, s, answer.number, answer.result),
            Err(message) => match message.downcast::<Done>() {
                Ok(done) => parking::come_back(h, s, *done),
                Err(message) => h.on_message(s, message),
            },
        }
        self.run(io);
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

/// Whether the session takes another command: not while the client does not
/// read the replies, nor while a login is being decided or work is done for it.
fn takes_commands(s: &mut FTPSession) -> io::Result<bool> {
    s.waits_for_room = false;
    if s.is_closing() || s.is_leaving() || s.is_waiting() {
        return Ok(false);
    }
    if s.chat.stream.is_handshaking() {
        return Ok(false);
    }
    if !has_room(s) {
        s.chat.flush()?;
    }
    s.waits_for_room = !has_room(s);
    Ok(!s.waits_for_room)
}

/// Whether the replies that are not sent yet leave room for more. A listing on
/// its way holds a directory and a buffer: one at a time.
fn has_room(s: &FTPSession) -> bool {
    let chat = &s.chat;
    !chat.is_blocked() && !chat.has_producer() && chat.output_size() <= OUTPUT_MAX
}

/// Whether a command has to wait for what goes on, so that replies come in the
/// order of the commands: all but ABOR and QUIT for the reply to PORT; whatever
/// needs a data connection for the end of the transfer that uses it.
fn must_hold(s: &FTPSession, piece: &[u8]) -> bool {
    let verb = || CommandLine::parse(piece).verb;
    match &s.data {
        DataState::Connecting(_) => {
            let verb = verb();
            !verb.ends_with("ABOR") && !verb.ends_with("QUIT")
        }
        DataState::Open(open) if open.channel.transfer_in_progress() => {
            let verb = verb();
            transfers(&verb) || connects(&verb)
        }
        // Another one would take the place of that which had its 150 for it; and that
        // was told when data connections were protected, or not.
        DataState::Listening(passive) if passive.claimed => {
            let verb = verb();
            transfers(&verb) || verb == "PROT"
        }
        _ => false,
    }
}

/// Carries out a command line.
fn line<H: FTPHandler + ?Sized>(h: &mut H, s: &mut FTPSession, piece: &[u8]) {
    if s.idle.is_some() {
        s.restart_idle();
    }
    if !std::mem::replace(&mut s.spoken, true) && is_http(piece) {
        // A browser that was lured here would send commands of somebody else.
        s.respond_w_warning("500 This is an FTP server.");
        s.close_when_done();
        return;
    }
    let config = std::sync::Arc::clone(&s.config);
    match config.encoding.decode(piece, config.unicode_errors) {
        Ok(decoded) => h.pre_process_command(s, &CommandLine::parse(&decoded)),
        Err(_) => s.respond("501 Can't decode command."),
    }
    data::forget_replaced(h, s);
}

/// Whether the first line of a client is a request of HTTP.
fn is_http(piece: &[u8]) -> bool {
    let mut words = piece.rsplitn(2, |byte| *byte == b' ');
    words
        .next()
        .is_some_and(|last| last.starts_with(b"HTTP/1."))
        && words.next().is_some()
}

/// The numbers of a session's sockets.
const CONTROL: Source = 0;
const LISTENER: Source = 1;
const CONNECTOR: Source = 2;
const DATA: Source = 3;

/// Steps of the end of a session.
const REAP_STEPS: u8 = 5;

/// How often one call looks at everything.
const ROUNDS: usize = 8;

/// How long one call goes on: then the others have their turn.
const TURN_TIME: Duration = Duration::from_millis(1);

/// Commands between two looks at the data connection.
const LINES: usize = 16;

/// Replies that are gathered before they are sent, and the most that wait.
const OUTPUT_MAX: usize = 8 * 1024;

/// How long a client may take to read the last reply.
const CLOSE_PATIENCE: Duration = Duration::from_secs(30);
