//! A data connection at work: moves what can be moved within the budget of a
//! turn, and tells what is next. It does not know its session.

use std::borrow::Cow;
use std::mem;
use std::time::{Duration, Instant};

use mio::Interest;

use super::{DTPHandler, DataChannel, Outgoing, Received, Transfer, TransferError, Upload};
use crate::error::strerror;
use crate::ioloop::stream::{is_disconnect, readable};
use crate::producers::More;
use crate::proto::transfer_type::TransferType;
use crate::time::after;

/// A data connection and its handler.
pub(crate) struct DataConnection {
    pub(crate) channel: DataChannel,
    pub(crate) dtp: Box<dyn DTPHandler>,
}

/// How a data connection came to its end.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// All was transferred: 226.
    Complete,
    /// The client has cut it: 426 with the bytes so far.
    Cut,
    /// The file, or something here, has failed: 426 with a text.
    Failed(String),
    /// The client stalls: 421, and the session ends.
    TimedOut,
    /// A command or a hook has ended it: with a reply of its own.
    Ended(Cow<'static, str>),
    /// The session is over, or there was no transfer: no reply.
    Silent,
}

/// What is next for a data connection.
pub(crate) enum Drive {
    /// Events, or a deadline.
    Wait,
    /// Another round.
    Again,
    /// The end.
    Finished(Outcome),
}

impl DataConnection {
    pub(crate) fn new(mut channel: DataChannel, mut dtp: Box<dyn DTPHandler>) -> Self {
        dtp.on_open(&mut channel);
        Self { channel, dtp }
    }

    /// Begins to send.
    pub(crate) fn send(
        &mut self,
        outgoing: Outgoing,
        cmd: Cow<'static, str>,
        transfer_type: TransferType,
        now: Instant,
    ) {
        self.begin(cmd, transfer_type, now);
        match outgoing {
            Outgoing::Bytes(bytes) => self.dtp.push(&mut self.channel, bytes),
            Outgoing::Producer(producer) => {
                self.dtp.push_with_producer(&mut self.channel, producer);
            }
            Outgoing::File(name, producer) => {
                self.channel.file_name = Some(name);
                self.dtp.push_with_producer(&mut self.channel, producer);
            }
        }
    }

    /// Begins to receive.
    pub(crate) fn receive(&mut self, upload: Upload, cmd: Cow<'static, str>, now: Instant) {
        self.begin(cmd, upload.transfer_type, now);
        self.dtp.enable_receiving(&mut self.channel, upload);
    }

    fn begin(&mut self, cmd: Cow<'static, str>, transfer_type: TransferType, now: Instant) {
        self.channel.cmd = cmd;
        self.channel.transfer_type = transfer_type;
        self.channel.now = now;
        self.channel.last_progress = now;
        self.channel.await_handshake();
    }

    /// Moves what can be moved within a turn's budget.
    pub(crate) fn drive(&mut self, now: Instant) -> Drive {
        let drive = self.go_on(now);
        match self.channel.ending.take() {
            Some(reply) => Drive::Finished(Outcome::Ended(Cow::Owned(reply))),
            None => drive,
        }
    }

    fn go_on(&mut self, now: Instant) -> Drive {
        self.channel.now = now;
        if let Some(drive) = self.shake() {
            return drive;
        }
        let d = &mut self.channel;
        if d.stream.flush().is_err() && d.transfer_in_progress() {
            return Drive::Finished(Outcome::Cut);
        }
        if d.is_sleeping() || d.ending.is_some() {
            return Drive::Wait;
        }
        if let Some(wake_at) = d.wake_at.take() {
            // That it slept was not the client's doing.
            d.last_progress = d.last_progress.max(wake_at);
        }
        match &d.transfer {
            // Even if the client has closed or reset it: the command that comes for
            // it shall have its final reply, and an empty upload be one.
            Transfer::None => Drive::Wait,
            Transfer::Sending(_) => self.drive_sending().unwrap_or_else(Drive::failed),
            Transfer::Receiving(_) => self.drive_receiving().unwrap_or_else(Drive::failed),
        }
    }

    fn drive_receiving(&mut self) -> Result<Drive, TransferError> {
        let d = &mut self.channel;
        let mut budget = d.turn_budget(TURN_BUDGET);
        while budget > 0 && !d.is_sleeping() && d.ending.is_none() {
            match self.dtp.handle_read(d)? {
                Received::Bytes(size) => budget = budget.saturating_sub(size.max(MIN_COST)),
                // Under TLS there may be more than no event tells of.
                Received::Nothing if d.stream.is_readable() => return Ok(Drive::Again),
                Received::Nothing => return Ok(Drive::Wait),
                Received::End if d.is_truncated() => return Ok(Drive::Finished(Outcome::Cut)),
                Received::End => return Ok(Drive::Finished(Outcome::Complete)),
            }
        }
        Ok(if d.is_sleeping() {
            Drive::Wait
        } else {
            Drive::Again
        })
    }

    fn drive_sending(&mut self) -> Result<Drive, TransferError> {
        let Transfer::Sending(sending) = &self.channel.transfer else {
            return Ok(Drive::Wait);
        };
        if sending.sendfile_at.is_some()
            && let Some(drive) = self.channel.drive_sendfile()?
        {
            return Ok(drive);
        }
        let mut budget = self.channel.turn_budget(TURN_BUDGET);
        let end = Instant::now() + PRODUCER_TIME;
        while budget > 0 {
            let d = &mut self.channel;
            if d.is_sleeping() || d.ending.is_some() || !d.stream.is_writable() {
                return Ok(Drive::Wait);
            }
            match d.fill(end)? {
                Filled::Enough => {}
                Filled::NotYet => break,
                Filled::End => {
                    let finished = d.stream.finish().map_err(TransferError::Connection)?;
                    return Ok(match finished {
                        true => Drive::Finished(Outcome::Complete),
                        false => Drive::Wait,
                    });
                }
            }
            let Some(bytes) = d.take_out() else { continue };
            let end = bytes.0.len().min(bytes.1 + d.ac_out_buffer_size.max(1));
            let sent = self.dtp.send(d, &bytes.0[bytes.1..end]);
            d.put_out(bytes, *sent.as_ref().unwrap_or(&0));
            budget = budget.saturating_sub(sent.map_err(TransferError::Connection)?.max(MIN_COST));
        }
        Ok(Drive::Again)
    }

    /// What to watch the socket for.
    pub(crate) fn interest(&self, now: Instant) -> Option<Interest> {
        let d = &self.channel;
        if d.wake_at.is_some_and(|wake_at| wake_at > now) {
            return None;
        }
        match &d.transfer {
            _ if d.has_failed() => None,
            _ if d.is_handshaking() => Some(readable()),
            // It waits for a command; how it fares shows then.
            Transfer::None => None,
            Transfer::Receiving(_) => Some(readable()),
            Transfer::Sending(_) => Some(Interest::WRITABLE),
        }
    }

    /// When something has to be done without an event.
    pub(crate) fn next_timeout(&self) -> Option<Instant> {
        // Who sleeps does not stall, however short the timeout is.
        let next = self.channel.wake_at.or_else(|| self.stall_at());
        let d = &self.channel;
        let handshake = [d.handshake_deadline(), d.handshake_put_off()];
        let handshake = handshake.into_iter().flatten();
        next.into_iter().chain(handshake).min()
    }

    fn stall_at(&self) -> Option<Instant> {
        let timeout = self.channel.timeout?;
        let d = &self.channel;
        let since = d.wake_at.unwrap_or(d.last_progress).max(d.last_progress);
        Some(after(since, timeout))
    }

    /// What becomes of it if the client has stalled for too long.
    pub(crate) fn has_stalled(&mut self, now: Instant) -> Option<Outcome> {
        let deadline = self.channel.handshake_deadline();
        if deadline.is_some_and(|deadline| deadline <= now)
            && let Drive::Finished(outcome) = self.time_out_handshake()
        {
            return Some(outcome);
        }
        self.stall_at().filter(|stall| *stall <= now)?;
        let d = &mut self.channel;
        if !d.transfer_in_progress() && d.stream.is_abandoned() {
            return Some(Outcome::Silent);
        }
        if self.dtp.handle_timeout(d) {
            return Some(Outcome::TimedOut);
        }
        d.last_progress = now;
        None
    }
}

/// What there is to send.
enum Filled {
    /// A piece of the size that goes out at once, or the last one.
    Enough,
    /// Less, and the time of this turn is over.
    NotYet,
    /// Nothing more.
    End,
}

impl Drive {
    fn failed(err: TransferError) -> Self {
        Self::Finished(match err {
            TransferError::Connection(_) => Outcome::Cut,
            TransferError::File(err) => Outcome::Failed(strerror(&err)),
        })
    }
}

impl DataChannel {
    fn turn_budget(&self, among_others: usize) -> usize {
        match self.lent.is_alone {
            true => among_others * ALONE,
            false => among_others,
        }
    }

    /// Sends by `sendfile`. `None`: the system cannot, from now on we do not.
    fn drive_sendfile(&mut self) -> Result<Option<Drive>, TransferError> {
        let mut budget = self.turn_budget(SENDFILE_BUDGET);
        while budget > 0 {
            let Transfer::Sending(sending) = &mut self.transfer else {
                return Ok(None);
            };
            let (Some(at), Some(producer)) = (sending.sendfile_at, &mut sending.producer) else {
                return Ok(None);
            };
            let Some(source) = producer.file() else {
                return Ok(None);
            };
            let sent = match self.stream.sendfile(source.file, at, budget) {
                Ok(None) => return Ok(Some(Drive::Wait)),
                Ok(Some(sent)) => sent,
                Err(err) if is_disconnect(&err) => return Err(TransferError::Connection(err)),
                Err(_) if self.tot_bytes_sent == 0 => {
                    log::warn!(target: crate::log::TARGET, "sendfile() failed; falling back on using plain send");
                    sending.sendfile_at = None;
                    return Ok(None);
                }
                Err(err) => return Err(TransferError::File(err)),
            };
            let at = at + sent as u64;
            let is_short = sent < budget;
            // A short count at the end of the file saves asking once more.
            let ended = sent == 0 || (is_short && source.ends_at(at));
            sending.sendfile_at = Some(at);
            if sent > 0 {
                self.progress(sent, 0);
            }
            if ended {
                return Ok(Some(Drive::Finished(Outcome::Complete)));
            }
            // Another try would read from the file before it is refused.
            if is_short && !self.stream.look_for_room() {
                return Ok(Some(Drive::Wait));
            }
            budget -= sent;
        }
        Ok(Some(Drive::Again))
    }

    /// Makes bytes to send, as many as go out at once, until `end`.
    fn fill(&mut self, end: Instant) -> Result<Filled, TransferError> {
        let wanted = self.ac_out_buffer_size.max(1);
        let Transfer::Sending(sending) = &mut self.transfer else {
            return Ok(Filled::End);
        };
        if sending.sent == sending.out.len() {
            sending.out.clear();
            sending.sent = 0;
        }
        // What was begun to be sent goes out as it is.
        let is_new = sending.sent == 0;
        while let Some(producer) = sending
            .producer
            .as_mut()
            .filter(|_| is_new && !sending.ended)
        {
            if sending.out.len() >= wanted {
                break;
            }
            if Instant::now() >= end {
                return Ok(Filled::NotYet);
            }
            match producer.more(&mut sending.out) {
                Ok(More::Yes) => {}
                Ok(More::End) => sending.ended = true,
                Err(err) => return Err(TransferError::File(err)),
            }
        }
        Ok(match sending.out.is_empty() {
            true => Filled::End,
            false => Filled::Enough,
        })
    }

    /// Takes the bytes to send out of the state, so that a hook may use both.
    fn take_out(&mut self) -> Option<(Vec<u8>, usize)> {
        match &mut self.transfer {
            Transfer::Sending(sending) if !sending.out.is_empty() => {
                Some((mem::take(&mut sending.out), sending.sent))
            }
            _ => None,
        }
    }

    fn put_out(&mut self, (out, before): (Vec<u8>, usize), sent: usize) {
        if let Transfer::Sending(sending) = &mut self.transfer {
            sending.sent = (before + sent).min(out.len());
            sending.out = out;
        }
    }
}

/// Bytes that one connection moves in one turn, so that others have theirs soon.
const TURN_BUDGET: usize = 128 * 1024;

/// The same where the kernel alone sends, which takes less time for each byte: a
/// fifteenth of a millisecond. With the smaller one a GiB costs a tenth more.
const SENDFILE_BUDGET: usize = 512 * 1024;

/// Who is alone may move so many times as much in a turn, half a millisecond's work:
/// nobody waits yet, and turns cost something, too.
const ALONE: usize = 8;

/// What moving anything costs of the budget, however little it is.
const MIN_COST: usize = 1024;

/// How long a producer is asked in one turn. What it has made until then is kept and
/// sent with the rest, so that a short time costs no calls.
const PRODUCER_TIME: Duration = Duration::from_micros(250);
