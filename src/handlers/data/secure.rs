//! TLS on a data connection: a handshake that begins with the client's first
//! byte, after the command if that comes soon, and is tied to the control connection.

use std::borrow::Cow;
use std::io;
use std::mem;
use std::time::{Duration, Instant};

use rustls::ProtocolVersion;

use super::drive::{DataConnection, Drive, Outcome};
use super::{DataChannel, Transfer};
use crate::handlers::FTPSession;
use crate::time::after;
use crate::tls::{DataHandshake, Direction, FinishedDataHandshake, TlsSession};

/// TLS on a data connection.
pub(crate) struct DataTls {
    session: TlsSession,
    stage: Stage,
    /// When the handshake has to be finished.
    deadline: Option<Instant>,
    /// Until when the handshake waits for the command, if the client has begun it.
    put_off: Option<Instant>,
}

enum Stage {
    /// Not asked for.
    Clear,
    /// For the first byte of the client.
    Waiting,
    Handshaking(DataHandshake),
    Open(FinishedDataHandshake),
    /// With this reply to the transfer.
    Failed(Cow<'static, str>),
}

impl DataTls {
    /// If the control connection is under TLS.
    pub(crate) fn of(s: &FTPSession) -> Option<Box<Self>> {
        let tls = s.tls.as_ref()?;
        Some(Box::new(Self {
            session: tls.session.clone(),
            stage: Stage::Clear,
            deadline: None,
            put_off: None,
        }))
    }

    fn is_pending(&self) -> bool {
        matches!(self.stage, Stage::Waiting | Stage::Handshaking(_))
    }
}

impl DataChannel {
    /// Whether it is under TLS, or is to be.
    #[must_use]
    pub fn is_secure(&self) -> bool {
        let stage = self.tls.as_ref().map(|tls| &tls.stage);
        stage.is_some_and(|stage| !matches!(stage, Stage::Clear))
    }

    /// Whether a handshake has to be finished before anything is transferred.
    pub(super) fn is_handshaking(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| tls.is_pending())
    }

    /// Whether nothing can be transferred any more, since the handshake has failed.
    pub(super) fn has_failed(&self) -> bool {
        let tls = self.tls.as_ref();
        tls.is_some_and(|tls| matches!(tls.stage, Stage::Failed(_)))
    }

    /// When the handshake has to be finished.
    pub(super) fn handshake_deadline(&self) -> Option<Instant> {
        let pending = self.tls.as_ref().filter(|tls| tls.is_pending());
        pending.and_then(|tls| tls.deadline)
    }

    /// When the handshake begins without a command.
    pub(super) fn handshake_put_off(&self) -> Option<Instant> {
        let tls = self.tls.as_ref();
        tls.filter(|tls| matches!(tls.stage, Stage::Waiting))?
            .put_off
    }

    /// Whether the command is to come first: it tells whether there will be tickets.
    /// Clients send it at once, since many servers do not shake hands before; for
    /// one that does not, the handshake begins a little later.
    fn awaits_command(&mut self) -> bool {
        let (now, begun) = (self.now, self.transfer_in_progress());
        let Some(tls) = &mut self.tls else {
            return false;
        };
        let until = *tls.put_off.get_or_insert(after(now, PATIENCE));
        !begun && now < until
    }

    /// A transfer waits for the handshake: from now on it has its time.
    pub(super) fn await_handshake(&mut self) {
        let now = self.now;
        if let Some(tls) = self.tls.as_mut().filter(|tls| tls.is_pending()) {
            tls.deadline = Some(after(now, tls.session.handshake_timeout()));
        }
    }

    /// Whether what was received lacks its end, as far as TLS can tell.
    pub(super) fn is_truncated(&self) -> bool {
        let Some(tls) = self.stream.tls() else {
            return false;
        };
        let strict = self
            .tls
            .as_ref()
            .is_some_and(|tls| tls.session.strict_eof());
        !tls.end_received() && (strict || tls.has_partial_record())
    }

    /// Begins the handshake, now that the client's first bytes are here.
    fn begin_handshake(&mut self) -> io::Result<()> {
        let direction = self.direction();
        let Some(tls) = &mut self.tls else {
            return Ok(());
        };
        if tls.deadline.is_none() {
            tls.deadline = Some(after(self.now, tls.session.handshake_timeout()));
        }
        let (handshake, config) = tls.session.data_handshake(direction);
        tls.stage = Stage::Handshaking(handshake);
        self.stream.secure(config, Vec::new())
    }

    /// The client may not have read the tickets of this connection. Those of a
    /// handshake that is not finished were not kept.
    pub(super) fn tickets_may_be_unread(&self) {
        if let Some(Stage::Open(finished)) = self.tls.as_ref().map(|tls| &tls.stage) {
            finished.tickets_may_be_unread();
        }
    }

    /// Verifies that the connection, whose handshake is complete, belongs to this
    /// session.
    fn finish_handshake(&mut self) -> Result<(), &'static str> {
        let direction = self.direction();
        let (Some(tls), Some(stream)) = (&mut self.tls, self.stream.tls()) else {
            return Ok(());
        };
        if let Stage::Handshaking(handshake) = mem::replace(&mut tls.stage, Stage::Waiting) {
            let tls13 = stream.state_of().protocol_version() == Some(ProtocolVersion::TLSv1_3);
            let finished = handshake.finish(stream.is_resumed(), tls13, direction)?;
            tls.stage = Stage::Open(finished);
        }
        Ok(())
    }

    fn direction(&self) -> Direction {
        match self.transfer {
            Transfer::None => Direction::None,
            Transfer::Sending(_) => Direction::Download,
            Transfer::Receiving(_) => Direction::Upload,
        }
    }
}

impl DataConnection {
    /// Goes on with the handshake. `None`: there is none that has to be waited for.
    pub(super) fn shake(&mut self) -> Option<Drive> {
        let d = &mut self.channel;
        match &d.tls.as_ref()?.stage {
            Stage::Clear | Stage::Open(_) => return None,
            Stage::Failed(reply) => {
                let reply = reply.clone();
                return Some(d.fail_transfer(reply));
            }
            Stage::Waiting if !d.stream.is_readable() => return Some(Drive::Wait),
            Stage::Waiting => {
                if d.awaits_command() {
                    return Some(Drive::Wait);
                }
                if let Err(err) = d.begin_handshake() {
                    return Some(self.fail(&err.to_string(), FAILED.into()));
                }
            }
            Stage::Handshaking(_) => {}
        }
        match self.channel.stream.handshake() {
            Ok(false) => Some(Drive::Wait),
            Ok(true) => match self.channel.finish_handshake() {
                Ok(()) => {
                    self.dtp.handle_ssl_established(&mut self.channel);
                    None
                }
                Err(reason) => {
                    let reply =
                        format!("522 SSL session reuse required on the data channel ({reason}).");
                    Some(self.fail(reason, reply.into()))
                }
            },
            Err(err) => Some(self.fail(&err.to_string(), FAILED.into())),
        }
    }

    /// The time for the handshake is over.
    pub(super) fn time_out_handshake(&mut self) -> Drive {
        self.fail("it takes too long", "522 SSL handshake timed out.".into())
    }

    fn fail(&mut self, reason: &str, reply: Cow<'static, str>) -> Drive {
        let d = &mut self.channel;
        d.note = Some(format!(
            "SSL handshake on the data channel failed: {reason}."
        ));
        d.set_stage(Stage::Failed(reply.clone()));
        self.dtp.handle_failed_ssl_handshake(d);
        d.fail_transfer(reply)
    }
}

impl DataChannel {
    fn set_stage(&mut self, stage: Stage) {
        if let Some(tls) = &mut self.tls {
            tls.stage = stage;
        }
    }

    /// A transfer that has not begun has its reply when it does.
    fn fail_transfer(&self, reply: Cow<'static, str>) -> Drive {
        match self.transfer_in_progress() {
            true => Drive::Finished(Outcome::Ended(reply)),
            false => Drive::Wait,
        }
    }
}

/// Stock [`DTPHandler::secure_connection`](super::DTPHandler::secure_connection):
/// the client's handshake is waited for. Nothing happens unless the control
/// connection is under TLS.
pub fn secure_connection(d: &mut DataChannel) {
    if !d.is_secure() {
        d.set_stage(Stage::Waiting);
    }
}

const FAILED: &str = "522 SSL handshake failed.";

/// For a command that was sent together with the first bytes of the handshake.
const PATIENCE: Duration = Duration::from_millis(250);
