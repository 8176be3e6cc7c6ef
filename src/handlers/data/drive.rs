//! A data connection at work: it moves as many bytes as the budget of a turn allows, and
//! returns what it needs next.

use std::mem;
use std::time::{Duration, Instant};

use super::channel::{DataChannel, Lent, Transfer};
use super::connection::DataConnection;
use super::outcome::{Drive, Outcome, TAKEN_OVER};
use super::payload::{Received, TransferError};
use super::room::Room;
use crate::ioloop::stream::is_disconnect;
use crate::log::Seldom;
use crate::producers::{More, has_shrunk};

impl DataConnection {
    /// Moves as many bytes as the budget of a turn allows, with what the loop lends.
    pub(crate) fn drive(&mut self, now: Instant, lent: Lent) -> (Drive, Lent) {
        self.channel.lent = lent;
        let mut drive = self.go_on(now);
        if let Some(reply) = self.channel.ending.take() {
            drive = Drive::Finished(Outcome::Ended(reply));
        }
        (drive, mem::take(&mut self.channel.lent))
    }

    fn go_on(&mut self, now: Instant) -> Drive {
        self.channel.now = now;
        if let Some(drive) = self.shake() {
            return drive;
        }
        let d = &mut self.channel;
        if d.ending.is_none()
            && let Transfer::Receiving(receiving) = &mut d.transfer
            && !receiving.begun
        {
            // A connection that was reset before the command leaves the old bytes in place.
            if d.stream.take_failure() {
                return Drive::Finished(Outcome::Cut);
            }
            if let Err(err) = receiving.begin() {
                return Drive::failed(TransferError::File(err));
            }
        }
        if d.stream.flush().is_err() && d.transfer_in_progress() {
            return Drive::Finished(Outcome::Cut);
        }
        if d.is_sleeping() || d.ending.is_some() {
            return Drive::Wait;
        }
        if let Some(wake_at) = d.wake_at.take() {
            // The pause was not the client's fault.
            d.last_progress = d.last_progress.max(wake_at);
        }
        match &d.transfer {
            // The connection stays even if the client has closed or reset it: the command for
            // it must get a final reply, and an empty upload is one that succeeds.
            Transfer::None => Drive::Wait,
            Transfer::Sending(_) => self.drive_sending().unwrap_or_else(Drive::failed),
            Transfer::Receiving(_) => self.drive_receiving().unwrap_or_else(Drive::failed),
        }
    }

    fn drive_receiving(&mut self) -> Result<Drive, TransferError> {
        let d = &mut self.channel;
        let room = match &d.transfer {
            Transfer::Receiving(receiving) => receiving.room.as_ref(),
            _ => None,
        };
        let most = room.map_or(usize::MAX, Room::turn_most);
        let mut budget = d.turn_budget(TURN_BUDGET).min(most);
        while budget > 0 && !d.is_sleeping() && d.ending.is_none() {
            if !d.takes_more() {
                return Ok(Drive::Wait);
            }
            match self.dtp.handle_read(d)? {
                Received::Bytes(size) => budget = budget.saturating_sub(size.max(MIN_COST)),
                // Under TLS there may be bytes left for which no event comes.
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
        let end = self.channel.stream.clock().tick() + PRODUCER_TIME;
        let mut has_stepped = false;
        while budget > 0 {
            let d = &mut self.channel;
            if d.is_sleeping() || d.ending.is_some() || !d.stream.is_writable() {
                return Ok(Drive::Wait);
            }
            match d.fill(end, &mut has_stepped)? {
                Filled::Enough => {}
                Filled::NotYet => break,
                // Nothing would be written that could show that the client has gone.
                Filled::Later if d.stream.take_failure() => {
                    return Ok(Drive::Finished(Outcome::Cut));
                }
                Filled::Later => return Ok(Drive::Wait),
                Filled::End => {
                    let finished = d.stream.finish().map_err(TransferError::Connection)?;
                    return Ok(match finished {
                        true => Drive::Finished(Outcome::Complete),
                        false => Drive::Wait,
                    });
                }
            }
            let Some(bytes) = d.take_out() else { continue };
            let size = d.ac_out_buffer_size.max(1).min(d.step());
            let end = bytes.0.len().min(bytes.1.saturating_add(size));
            let sent = self.dtp.send(d, &bytes.0[bytes.1..end]);
            d.put_out(bytes, *sent.as_ref().unwrap_or(&0));
            budget = budget.saturating_sub(sent.map_err(TransferError::Connection)?.max(MIN_COST));
        }
        Ok(Drive::Again)
    }

    /// Checks the deadlines of the connection. Returns how it ends if one has passed.
    pub(crate) fn check_deadlines(&mut self, now: Instant) -> Option<Outcome> {
        if let Some(outcome) = self.time_out_handshake(now) {
            return Some(outcome);
        }
        let claim = self.channel.claim.as_mut();
        if claim.is_some_and(|claim| claim.is_asked_to_end(now)) {
            return Some(Outcome::Ended(TAKEN_OVER));
        }
        self.stalls_at().filter(|stall| *stall <= now)?;
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

/// What the output buffer holds.
enum Filled {
    /// As many bytes as are sent at once, or the last ones.
    Enough,
    /// Fewer, and the time of this turn is over.
    NotYet,
    /// Nothing: the producer waits for its waker.
    Later,
    /// Nothing, and there will be no more.
    End,
}

impl Drive {
    fn failed(err: TransferError) -> Self {
        Self::Finished(match err {
            TransferError::Connection(_) => Outcome::Cut,
            TransferError::File(err) => Outcome::failed(&err),
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

    /// Sends with `sendfile`. `None`: the system cannot send this file, and the transfer no
    /// longer uses `sendfile`.
    fn drive_sendfile(&mut self) -> Result<Option<Drive>, TransferError> {
        let step = self.step();
        let mut budget = self.turn_budget(SENDFILE_BUDGET);
        while budget > 0 {
            let size = budget.min(step);
            let Transfer::Sending(sending) = &mut self.transfer else {
                return Ok(None);
            };
            let (Some(at), Some(producer)) = (sending.sendfile_at, &mut sending.producer) else {
                return Ok(None);
            };
            let Some(source) = producer.file() else {
                return Ok(None);
            };
            let buffer = &mut self.lent.buffer;
            if let Some(size) = source.read_rest(at, SMALL.min(step), buffer)
                && let Ok(Some(sent)) = self.stream.send_last(&buffer[..size])
            {
                sending.sendfile_at = Some(at + sent as u64);
                self.progress(sent, 0);
                if sent == size {
                    return Ok(Some(Drive::Finished(Outcome::Complete)));
                }
                continue;
            }
            let sent = match self.stream.sendfile(source.file, at, size) {
                Ok(None) => return Ok(Some(Drive::Wait)),
                Ok(Some(sent)) => sent,
                Err(err) if is_disconnect(&err) => return Err(TransferError::Connection(err)),
                Err(_) if self.tot_bytes_sent == 0 => {
                    FALLS_BACK.warn("sendfile() failed; falling back on using plain send");
                    sending.sendfile_at = None;
                    return Ok(None);
                }
                Err(err) => return Err(TransferError::File(err)),
            };
            let at = at + sent as u64;
            let is_short = sent < size;
            // A short count at the end of the file saves another call that returns 0.
            let ended = sent == 0 || (is_short && source.ends_at(at));
            let is_cut = sent == 0 && source.is_cut_at(at);
            sending.sendfile_at = Some(at);
            if sent > 0 {
                self.progress(sent, 0);
            }
            if is_cut {
                return Err(TransferError::File(has_shrunk()));
            }
            if ended {
                return Ok(Some(Drive::Finished(Outcome::Complete)));
            }
            if self.is_sleeping() {
                return Ok(Some(Drive::Wait));
            }
            // Without room, another call would read from the file before it fails.
            if is_short && !self.stream.look_for_room() {
                return Ok(Some(Drive::Wait));
            }
            budget -= sent;
        }
        Ok(Some(Drive::Again))
    }

    /// Fills the output buffer with as many bytes as are sent at once, but not past the time
    /// `end`. The first step of a turn is made in any case, however slow the machine is.
    fn fill(&mut self, end: Instant, has_stepped: &mut bool) -> Result<Filled, TransferError> {
        let wanted = self.ac_out_buffer_size.max(1);
        let Transfer::Sending(sending) = &mut self.transfer else {
            return Ok(Filled::End);
        };
        if sending.sent == sending.out.len() {
            sending.out.clear();
            sending.sent = 0;
        }
        sending.waits = false;
        // A buffer that was sent in part is not filled further.
        let is_new = sending.sent == 0;
        let mut steps = FILL_STEPS;
        while let Some(producer) = sending
            .producer
            .as_mut()
            .filter(|_| is_new && !sending.ended)
        {
            if sending.out.len() >= wanted {
                break;
            }
            let is_late = steps == 0 || self.stream.clock().tick() >= end;
            if mem::replace(has_stepped, true) && is_late {
                return Ok(Filled::NotYet);
            }
            steps -= 1;
            self.waker.arm();
            match producer.more(&mut sending.out) {
                Ok(More::Yes) => {}
                Ok(More::Later) => {
                    // What there is goes out first.
                    sending.waits = sending.out.is_empty();
                    break;
                }
                Ok(More::End) => sending.ended = true,
                Err(err) => return Err(TransferError::File(err)),
            }
        }
        Ok(match sending.out.is_empty() {
            true if sending.waits => Filled::Later,
            true => Filled::End,
            false => Filled::Enough,
        })
    }

    /// Whether the file of an upload takes more bytes now. If not, it wakes the connection.
    fn takes_more(&mut self) -> bool {
        self.waker.arm();
        match &mut self.transfer {
            Transfer::Receiving(receiving) => receiving.file.is_ready(),
            _ => true,
        }
    }

    /// Takes the output buffer out of the state, so that a hook gets both.
    /// [`put_out`](Self::put_out) puts it back.
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

/// A client may cause these warnings again and again.
static FALLS_BACK: Seldom = Seldom::new();

/// A file with so many bytes left is read and sent with one call each in place of `sendfile`: the
/// end of the connection goes with its bytes in one packet then.
const SMALL: usize = 16 * 1024;

/// The bytes that one connection moves in one turn. It bounds how long the others wait.
const TURN_BUDGET: usize = 128 * 1024;

/// The same for `sendfile`, which takes less time for each byte: 512 KiB take a fifteenth of a
/// millisecond. With 128 KiB a GiB costs a tenth more.
const SENDFILE_BUDGET: usize = 512 * 1024;

/// Budget multiplier while no other channel is busy: half a millisecond of work. Nothing waits
/// then, and fewer turns cost less.
const ALONE: usize = 8;

/// The least that one call costs of the budget, in bytes.
const MIN_COST: usize = 1024;

/// How long a producer works in one turn. Its bytes so far are kept and sent with the next
/// ones, so that a short time costs no additional calls.
const PRODUCER_TIME: Duration = Duration::from_micros(250);

/// How many steps a producer makes in one turn. Its time is over before as a rule, but the clock of
/// a test stands still.
const FILL_STEPS: usize = 1 << 16;
