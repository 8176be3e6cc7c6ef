//! The TLS handshake of a data connection. It begins with the client's first byte, but waits a
//! moment for the command, and it verifies that the connection belongs to the control
//! connection's session.

use std::io;
use std::mem;
use std::time::{Duration, Instant};

use super::channel::DataChannel;
use super::connection::DataConnection;
use super::outcome::{Drive, Outcome};
use super::tls::{DataTls, Stage};
use crate::error::strerror;
use crate::ioloop::Stream;
use crate::ioloop::stream::is_disconnect;
use crate::ioloop::tls::NewTls;
use crate::proto::reply::Reply;
use crate::time::after;
use crate::tls::{Direction, FOREIGN};

impl DataConnection {
    /// Continues the handshake. `None`: there is none to wait for.
    pub(super) fn shake(&mut self) -> Option<Drive> {
        let d = &mut self.channel;
        let (now, direction) = (d.now, d.direction());
        let tls = d.tls.as_mut()?;
        match &tls.stage {
            Stage::Clear | Stage::Open(_) => return None,
            Stage::Failed(reply) => {
                let reply = reply.clone();
                return Some(d.fail_transfer(reply));
            }
            Stage::Waiting if !d.stream.is_readable() => return Some(Drive::Wait),
            Stage::Waiting => {
                if tls.awaits_command(now, direction) {
                    return Some(Drive::Wait);
                }
                let new = tls.begin(now, direction);
                if let Err(err) = d.stream.secure(new, Vec::new()) {
                    return Some(self.fail(&strerror(&err), FAILED));
                }
            }
            Stage::Handshaking(_) | Stage::Verifying(..) => {}
        }
        // Bytes that come after the handshake are data.
        let complete = match d.stream.is_handshaking() {
            true => d.stream.handshake(),
            false => Ok(true),
        };
        match complete {
            Ok(false) => Some(Drive::Wait),
            Ok(true) => match tls.verify(&d.stream, direction, now) {
                Ok(true) => {
                    self.dtp.handle_ssl_established(d);
                    None
                }
                Ok(false) => Some(Drive::Wait),
                Err(reason) => {
                    let text =
                        format!("SSL session reuse required on the data channel ({reason}).");
                    Some(self.fail(reason, Reply::with(522, text)))
                }
            },
            Err(err) if err.kind() == io::ErrorKind::UnexpectedEof || is_disconnect(&err) => {
                Some(self.fail("the client has closed the connection", FAILED))
            }
            Err(err) => Some(self.fail(&strerror(&err), FAILED)),
        }
    }

    /// Ends a handshake whose deadline has passed.
    pub(super) fn time_out_handshake(&mut self, now: Instant) -> Option<Outcome> {
        let tls = self.channel.tls.as_ref().filter(|tls| tls.is_pending())?;
        tls.deadline.filter(|deadline| *deadline <= now)?;
        match self.fail("the client has not finished it in time", TIMED_OUT) {
            Drive::Finished(outcome) => Some(outcome),
            Drive::Wait | Drive::Again => None,
        }
    }

    fn fail(&mut self, reason: &str, reply: Reply) -> Drive {
        let d = &mut self.channel;
        d.note = Some(format!(
            "SSL handshake on the data channel failed: {reason}."
        ));
        if let Some(tls) = &mut d.tls {
            tls.stage = Stage::Failed(reply.clone());
        }
        self.dtp.handle_failed_ssl_handshake(d);
        d.fail_transfer(reply)
    }
}

impl DataTls {
    /// Whether the handshake waits for the command, which decides whether the client gets a
    /// ticket. Clients send the command at once, because many servers do not shake hands
    /// before it. For a client that does not, the handshake begins a little later.
    fn awaits_command(&mut self, now: Instant, direction: Direction) -> bool {
        let until = *self.put_off.get_or_insert(after(now, COMMAND_WAIT));
        direction == Direction::None && now < until
    }

    /// Begins the handshake, after the client's first bytes have arrived.
    fn begin(&mut self, now: Instant, direction: Direction) -> NewTls {
        let timeout = self.session.handshake_timeout();
        self.deadline.get_or_insert(after(now, timeout));
        let (handshake, new) = self.session.data_handshake(direction);
        self.stage = Stage::Handshaking(handshake);
        new
    }

    /// Verifies that the connection, whose handshake is complete, belongs to the session.
    /// `false`: that is not known yet.
    fn verify(
        &mut self,
        stream: &Stream,
        direction: Direction,
        now: Instant,
    ) -> Result<bool, &'static str> {
        let Some(tls) = stream.tls() else {
            return Err("no TLS");
        };
        let (handshake, until) = match mem::replace(&mut self.stage, Stage::Waiting) {
            Stage::Handshaking(handshake) => (handshake, after(now, VERIFY_WAIT)),
            Stage::Verifying(handshake, until) => (handshake, until),
            other => {
                self.stage = other;
                return Ok(true);
            }
        };
        if handshake.verify(tls.is_resumed(), tls.is_tls13(), direction)? {
            self.stage = Stage::Open(handshake.finish());
            self.verify_at = None;
            return Ok(true);
        }
        if now >= until {
            return Err(FOREIGN);
        }
        self.verify_at = Some(after(now, VERIFY_EVERY).min(until));
        self.stage = Stage::Verifying(handshake, until);
        Ok(false)
    }
}

impl DataChannel {
    /// The client may not have read the tickets of this connection. Those of a handshake that
    /// is not finished were not kept.
    pub(crate) fn tickets_may_be_unread(&self) {
        if let Some(Stage::Open(finished)) = self.tls.as_ref().map(|tls| &tls.stage) {
            finished.tickets_may_be_unread();
        }
    }

    /// Whether the bytes received lack their end, as far as TLS can tell.
    pub(super) fn is_truncated(&self) -> bool {
        let (Some(tls), Some(stream)) = (&self.tls, self.stream.tls()) else {
            return false;
        };
        !stream.end_received() && (tls.session.strict_eof() || stream.has_partial_record())
    }

    /// Ends the transfer with this reply. A transfer that has not begun gets it when it does.
    fn fail_transfer(&self, reply: Reply) -> Drive {
        match self.transfer_in_progress() {
            true => Drive::Finished(Outcome::Ended(reply)),
            false => Drive::Wait,
        }
    }
}

const FAILED: Reply = Reply::new(522, "SSL handshake failed.");

const TIMED_OUT: Reply = Reply::new(522, "SSL handshake timed out.");

/// How long the handshake waits for a command that the client sends together with the first
/// bytes of the handshake.
const COMMAND_WAIT: Duration = Duration::from_millis(250);

/// How long a connection waits, if it has resumed a session where nobody is logged in yet.
const VERIFY_WAIT: Duration = Duration::from_secs(3);

/// How often it is verified meanwhile. The login may be in another process.
const VERIFY_EVERY: Duration = Duration::from_millis(10);
