//! The way of a connection to the server.

use std::collections::VecDeque;
use std::io::ErrorKind;
use std::time::Duration;

use super::{Link, draw_delay, faster};
use crate::judge::Judge;
use crate::model::By;
use crate::plan::step::End;

/// What is on its way to the server.
#[derive(Default)]
pub(super) struct Up {
    pub(super) bytes: VecDeque<u8>,
    /// When how many of them arrive.
    pub(super) pieces: VecDeque<(Duration, usize)>,
    /// What the client sends as soon as the handshake is done.
    pub(super) held: Vec<Vec<u8>>,
    pub(super) held_end: Option<End>,
    /// The plaintext of records, with the number of bytes after which they are sent.
    pub(super) records: VecDeque<(u64, Vec<u8>)>,
    pub(super) end: Option<(Duration, End)>,
    /// How many bytes were queued, and how many the server's socket has accepted.
    pub(super) queued: u64,
    pub(super) sent: u64,
    /// Under TLS: the number of bytes that were queued before it.
    pub(super) plain_until: Option<u64>,
    /// No write before that.
    pub(super) not_before: Duration,
    /// How many writes there were.
    pub(super) writes: u32,
    /// Whether the server accepts no more bytes.
    pub(super) broken: bool,
}

/// The most plaintext of a record (RFC 8446, section 5.1).
const RECORD: usize = 16_384;

impl Link {
    /// Sends bytes.
    pub fn send(&mut self, bytes: &[u8], now: Duration) {
        // What follows the end of TLS is not read.
        let is_over = self.up.broken || self.up.end.is_some() && self.tls.is_some();
        if is_over || self.stream.is_none() || bytes.is_empty() {
            return;
        }
        match &mut self.tls {
            None => self.queue(bytes, now),
            Some(_) if !self.secured => self.up.held.push(bytes.to_vec()),
            // Nothing counts after the end of TLS.
            Some(_) if self.up.end.is_some() => {}
            Some(_) => bytes
                .chunks(RECORD)
                .for_each(|bytes| self.send_record(bytes, now)),
        }
    }

    fn send_record(&mut self, bytes: &[u8], now: Duration) {
        if let Some(tls) = &mut self.tls {
            tls.write(bytes);
            self.queue_tls(now);
            let queued = self.up.queued;
            self.up.records.push_back((queued, bytes.to_vec()));
        }
    }

    /// Sends what waited for the handshake.
    pub(super) fn send_held(&mut self, now: Duration) {
        for bytes in std::mem::take(&mut self.up.held) {
            self.send(&bytes, now);
        }
        if let Some(end) = self.up.held_end.take() {
            self.end(end, now);
        }
    }

    /// Ends the connection, after what was sent before.
    pub fn end(&mut self, end: End, now: Duration) {
        if self.stream.is_none() || self.up.end.is_some() {
            return;
        }
        if self.is_securing() && end != End::Reset {
            self.up.held_end = Some(end);
            return;
        }
        if end != End::Reset
            && let Some(tls) = &mut self.tls
        {
            tls.close_notify();
            self.queue_tls(now);
        }
        let at = match (&self.tls, self.up.pieces.back()) {
            // The server takes the last record for the end.
            (Some(_), Some(last)) => last.0,
            _ => self.delay(now),
        };
        self.up.end = Some((at, end));
    }

    pub(super) fn queue_tls(&mut self, now: Duration) {
        let mut out = Vec::new();
        if let Some(tls) = &mut self.tls {
            tls.take_output(&mut out);
        }
        self.queue(&out, now);
    }

    pub(super) fn queue(&mut self, mut bytes: &[u8], now: Duration) {
        self.up.bytes.extend(bytes);
        self.up.queued += bytes.len() as u64;
        // Not more than some hundred pieces.
        let most = self.piece.max(bytes.len() / 64);
        while !bytes.is_empty() {
            let size = match most {
                usize::MAX => bytes.len(),
                most => self.rng.usize(1..=most).min(bytes.len()),
            };
            let at = self.delay(now);
            self.up.pieces.push_back((at, size));
            bytes = &bytes[size..];
        }
    }

    /// When something arrives that the client sends now.
    pub(super) fn delay(&mut self, now: Duration) -> Duration {
        let last = self.up.pieces.back().map_or(Duration::ZERO, |last| last.0);
        (now + draw_delay(&mut self.rng, self.latency)).max(last)
    }

    pub(super) fn pump_up(&mut self, now: Duration, judge: &mut Judge) -> bool {
        let mut moved = false;
        while let Some(stream) = &self.stream
            && self.up.not_before <= now
            && let Some((due, size)) = self.up.pieces.front().copied()
            && due <= now
        {
            let mut size = size.min(faster(self.pace.chunk, self.up.writes));
            if let Some(cut) = self.cut_up {
                let left = usize::try_from(cut.saturating_sub(self.up.sent)).unwrap_or(usize::MAX);
                size = size.min(left);
                if size == 0 {
                    self.reset(judge);
                    return true;
                }
            }
            let (front, _) = self.up.bytes.as_slices();
            let bytes = &front[..size.min(front.len())];
            match stream.write(bytes) {
                Ok(written) => {
                    moved = true;
                    self.up.writes += 1;
                    self.sent(written, judge);
                    if !self.pace.gap.is_zero() {
                        self.up.not_before = now + self.pace.gap;
                    }
                }
                Err(err) if err.kind() == ErrorKind::WouldBlock => return moved,
                // The server has closed it: its end can still be read.
                Err(_) => {
                    self.up.broken = true;
                    self.up.pieces.clear();
                    self.up.bytes.clear();
                    self.up.records.clear();
                    return true;
                }
            }
        }
        if self.up.pieces.is_empty()
            && let Some((due, end)) = self.up.end
            && due <= now
        {
            // It goes with the last bytes.
            self.up.end = None;
            self.end_now(end, judge);
            moved = true;
        }
        moved
    }

    pub(super) fn sent(&mut self, size: usize, judge: &mut Judge) {
        let plain = self.up.plain_until.map_or(size, |until| {
            let left = until.saturating_sub(self.up.sent);
            size.min(usize::try_from(left).unwrap_or(usize::MAX))
        });
        if plain > 0 {
            let (front, _) = self.up.bytes.as_slices();
            judge.sent(self.who, &front[..plain]);
        }
        self.up.sent += size as u64;
        self.up.bytes.drain(..size);
        if let Some(piece) = self.up.pieces.front_mut() {
            piece.1 -= size;
            if piece.1 == 0 {
                self.up.pieces.pop_front();
            }
        }
        while let Some((at, _)) = self.up.records.front()
            && *at <= self.up.sent
            && let Some((_, plain)) = self.up.records.pop_front()
        {
            judge.sent(self.who, &plain);
        }
    }

    /// Ends the connection at the server.
    pub(super) fn end_now(&mut self, end: End, judge: &mut Judge) {
        let Some(stream) = &self.stream else { return };
        match end {
            End::Half => stream.shutdown(),
            End::Reset => {
                stream.reset();
                self.stream = None;
            }
            End::Fin => self.stream = None,
        }
        judge.ended(self.who, By::Client(end));
    }

    /// The network resets the connection.
    pub(super) fn reset(&mut self, judge: &mut Judge) {
        if let Some(stream) = self.stream.take() {
            stream.reset();
            judge.ended(self.who, By::Network);
        }
        self.up.pieces.clear();
        self.up.end = None;
        self.down.arriving.clear();
        self.down.end = Some((Duration::ZERO, By::Network));
    }
}
