//! The way of a connection to its client.

use std::collections::VecDeque;
use std::io::ErrorKind;
use std::time::Duration;

use super::{Link, draw_delay, faster};
use crate::judge::Judge;
use crate::model::By;
use crate::plan::step::End;

/// What is on its way to the client.
#[derive(Default)]
pub(super) struct Down {
    /// With the number of the call by which the server has sent them.
    pub(super) arriving: VecDeque<(Duration, Vec<u8>, u64)>,
    /// The call that has sent the first byte.
    pub(super) first_call: Option<u64>,
    pub(super) received: u64,
    pub(super) not_before: Duration,
    /// How many reads there were.
    pub(super) reads: u32,
    /// Whether nothing was left to read the last time.
    pub(super) drained: bool,
    /// How the server's direction has ended, and when the client knows it.
    pub(super) end: Option<(Duration, By)>,
    /// Reads so many bytes more.
    pub(super) left: Option<usize>,
}

impl Link {
    pub(super) fn pump_down(&mut self, now: Duration, judge: &mut Judge) -> bool {
        let mut moved = false;
        while let Some(stream) = &self.stream
            && self.down.end.is_none()
            && self.down.not_before <= now
        {
            let chunk = faster(self.pace.chunk, self.down.reads);
            let most = chunk.min(self.down.left.unwrap_or(usize::MAX));
            if most == 0 {
                return moved;
            }
            let mut buffer = std::mem::take(&mut judge.buffer);
            let most = most.min(buffer.len());
            let read = stream.read_call(&mut buffer[..most]);
            if let Ok((size @ 1.., call)) = read {
                self.received(&buffer[..size], call, now, judge);
            }
            judge.buffer = buffer;
            match read {
                Ok((0, _)) => self.server_ended(self.end_of_server(), now, judge),
                Ok(_) => {
                    self.down.reads += 1;
                    if !self.pace.gap.is_zero() {
                        self.down.not_before = now + self.pace.gap;
                        self.down.drained = false;
                    }
                }
                Err(err) if err.kind() == ErrorKind::WouldBlock => {
                    self.down.drained = true;
                    return moved;
                }
                Err(_) => self.server_ended(By::ServerReset, now, judge),
            }
            moved = true;
        }
        moved
    }

    fn end_of_server(&self) -> By {
        match &self.tls {
            Some(tls) if self.secured && !tls.failed && !tls.has_ended() => By::ServerCut,
            _ => By::Server,
        }
    }

    pub(super) fn server_ended(&mut self, by: By, now: Duration, judge: &mut Judge) {
        let at = self.arrival(now);
        self.down.end = Some((at, by));
        judge.ended(self.who, by);
        self.tell_failure(now, judge);
    }

    /// A handshake that has not ended does not end any more.
    pub(super) fn tell_failure(&mut self, now: Duration, judge: &mut Judge) {
        if self.tls.is_some() && !self.secured {
            self.secured = true;
            judge.secured(self.who, false);
            self.up.held.clear();
            if let Some(end) = self.up.held_end.take() {
                self.end(end, now);
            }
        }
    }

    pub(super) fn received(&mut self, bytes: &[u8], call: u64, now: Duration, judge: &mut Judge) {
        self.down.received += bytes.len() as u64;
        let mut plain = Vec::new();
        let mut is_tls = true;
        match &mut self.tls {
            None => plain.extend_from_slice(bytes),
            Some(tls) => is_tls = tls.read(bytes, &mut plain).is_ok(),
        }
        if let Some(tls) = &self.tls
            && is_tls
            && !self.secured
            && !tls.is_handshaking()
        {
            self.secured = true;
            if tls.is_resumed() {
                judge.resumed(self.who, self.is_thief);
            }
            judge.secured(self.who, true);
            self.send_held(now);
        }
        if !plain.is_empty() {
            judge.received(self.who, &plain);
            if let Some(left) = &mut self.down.left {
                *left = left.saturating_sub(plain.len());
            }
            let at = self.arrival(now);
            self.down.first_call.get_or_insert(call);
            self.down.arriving.push_back((at, plain, call));
        }
        if !is_tls {
            self.tell_failure(now, judge);
            // A client that cannot read the server leaves.
            self.queue_tls(now);
            let at = self.delay(now);
            self.up.end = Some((at, End::Fin));
            self.down.end = Some((now, By::Server));
        } else if self.tls.is_some() {
            self.queue_tls(now);
        }
        if self.cut_down.is_some_and(|cut| self.down.received > cut) {
            self.reset(judge);
        }
    }

    pub(super) fn arrival(&mut self, now: Duration) -> Duration {
        let last = self.down.arriving.back();
        let last = last.map_or(Duration::ZERO, |last| last.0);
        (now + draw_delay(&mut self.rng, self.latency)).max(last)
    }

    /// Takes the next bytes that have arrived, and the number of the call that has sent them.
    pub fn take(&mut self, now: Duration) -> Option<(Vec<u8>, u64)> {
        let front = self.down.arriving.front()?;
        (front.0 <= now)
            .then(|| self.down.arriving.pop_front())?
            .map(|(_, bytes, call)| (bytes, call))
    }

    /// The number of the call that has sent the first byte.
    pub fn first_call(&self) -> Option<u64> {
        self.down.first_call
    }
}
