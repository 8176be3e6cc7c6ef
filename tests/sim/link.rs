//! One connection of a client, and the network that it goes through: it delays, splits, merges
//! and resets.

use std::collections::VecDeque;
use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use ftpdlib::rustls::ClientConfig;
use ftpdlib::testing::Stream;

use crate::judge::{Judge, Who};
use crate::model::By;
use crate::plan::step::{End, Pace};
use crate::script::Net;
use crate::tls::TlsClient;

/// A connection.
pub struct Link {
    who: Who,
    /// `None` once the client or the network has ended it.
    stream: Option<Stream>,
    tls: Option<TlsClient>,
    /// Whether the end of the handshake was told.
    secured: bool,
    /// Whether it has only tickets of another client.
    is_thief: bool,
    pace: Pace,
    latency: Duration,
    piece: usize,
    cut_up: Option<u64>,
    cut_down: Option<u64>,
    rng: Rng,
    up: Up,
    down: Down,
}

/// What is on its way to the server.
#[derive(Default)]
struct Up {
    bytes: VecDeque<u8>,
    /// When how many of them arrive.
    pieces: VecDeque<(Duration, usize)>,
    /// What the client sends as soon as the handshake is done.
    held: Vec<Vec<u8>>,
    held_end: Option<End>,
    /// The plaintext of records, with the number of bytes after which they are sent.
    records: VecDeque<(u64, Vec<u8>)>,
    end: Option<(Duration, End)>,
    /// How many bytes were queued, and how many the server's socket has accepted.
    queued: u64,
    sent: u64,
    /// Under TLS: the number of bytes that were queued before it.
    plain_until: Option<u64>,
    /// No write before that.
    not_before: Duration,
    /// How many writes there were.
    writes: u32,
    /// Whether the server does not accept more bytes, now or ever.
    blocked: bool,
    broken: bool,
}

/// What is on its way to the client.
#[derive(Default)]
struct Down {
    arriving: VecDeque<(Duration, Vec<u8>)>,
    received: u64,
    not_before: Duration,
    /// How many reads there were.
    reads: u32,
    /// Whether nothing was left to read the last time.
    drained: bool,
    /// How the server's direction has ended, and when the client knows it.
    end: Option<(Duration, By)>,
    /// Reads so many bytes more.
    left: Option<usize>,
}

impl Link {
    /// `number` counts the connections of the client.
    pub fn new(who: Who, stream: Stream, net: &Net, number: usize, pace: Pace) -> Self {
        let cut = |up| {
            let mut cuts = net.cuts.iter();
            let cut = cuts.find(|cut| cut.link == number && cut.up == up);
            cut.map(|cut| cut.after)
        };
        if pace.buffer != Pace::FAST.buffer {
            stream.set_capacity(pace.buffer);
        }
        Self {
            who,
            stream: Some(stream),
            tls: None,
            secured: false,
            is_thief: false,
            pace,
            latency: net.latency,
            piece: net.piece,
            cut_up: cut(true),
            cut_down: cut(false),
            rng: Rng::with_seed(net.seed.wrapping_add(number as u64)),
            up: Up::default(),
            down: Down::default(),
        }
    }

    /// Begins a handshake.
    pub fn secure(&mut self, config: &Arc<ClientConfig>, is_thief: bool, now: Duration) {
        self.is_thief = is_thief;
        self.tls = Some(TlsClient::new(config));
        self.secured = false;
        self.up.plain_until = Some(self.up.queued);
        self.queue_tls(now);
    }

    /// Whether a handshake is in progress.
    pub fn is_securing(&self) -> bool {
        self.tls.is_some() && !self.secured && self.is_open()
    }

    /// Whether neither the client nor the network has ended it.
    pub fn is_open(&self) -> bool {
        self.stream.is_some()
    }

    /// How the server has ended it, if the client knows that already.
    pub fn ended(&self, now: Duration) -> Option<By> {
        let end = self.down.end.filter(|(at, _)| *at <= now)?;
        self.down.arriving.is_empty().then_some(end.1)
    }

    /// Reads so many bytes more; `None`: all.
    pub fn limit_reading(&mut self, bytes: Option<usize>) {
        self.down.left = bytes;
    }

    /// Whether all is read that the client wants to read.
    pub fn has_read_enough(&self) -> bool {
        self.down.left == Some(0)
    }

    /// Closes the connection now. What is on its way is lost.
    pub fn abandon(&mut self, judge: &mut Judge) {
        self.end_now(End::Fin, judge);
    }

    /// Whether nothing is on its way, and the server has nothing more to read or to be read.
    pub fn is_quiet(&self) -> bool {
        self.stream.is_some()
            && self.up.pieces.is_empty()
            && self.up.end.is_none()
            && self.down.arriving.is_empty()
            && self.down.drained
            && self.down.end.is_none()
    }

    // --- to the server

    /// Sends bytes.
    pub fn send(&mut self, bytes: &[u8], now: Duration) {
        if self.up.broken || self.stream.is_none() || bytes.is_empty() {
            return;
        }
        match &mut self.tls {
            None => self.queue(bytes, now),
            Some(_) if !self.secured => self.up.held.push(bytes.to_vec()),
            Some(tls) => {
                tls.write(bytes);
                self.queue_tls(now);
                let queued = self.up.queued;
                self.up.records.push_back((queued, bytes.to_vec()));
            }
        }
    }

    /// Sends what waited for the handshake.
    fn send_held(&mut self, now: Duration) {
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

    fn queue_tls(&mut self, now: Duration) {
        let mut out = Vec::new();
        if let Some(tls) = &mut self.tls {
            tls.take_output(&mut out);
        }
        self.queue(&out, now);
    }

    fn queue(&mut self, mut bytes: &[u8], now: Duration) {
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
    fn delay(&mut self, now: Duration) -> Duration {
        let last = self.up.pieces.back().map_or(Duration::ZERO, |last| last.0);
        (now + draw_delay(&mut self.rng, self.latency)).max(last)
    }

    // --- the network

    /// Moves what can be moved now. Returns whether anything was.
    pub fn pump(&mut self, now: Duration, judge: &mut Judge) -> bool {
        let up = self.pump_up(now, judge);
        let down = self.pump_down(now, judge);
        up || down
    }

    fn pump_up(&mut self, now: Duration, judge: &mut Judge) -> bool {
        let mut moved = false;
        self.up.blocked = false;
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
                Err(err) if err.kind() == ErrorKind::WouldBlock => {
                    self.up.blocked = true;
                    return moved;
                }
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

    fn sent(&mut self, size: usize, judge: &mut Judge) {
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
    fn end_now(&mut self, end: End, judge: &mut Judge) {
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
    fn reset(&mut self, judge: &mut Judge) {
        if let Some(stream) = self.stream.take() {
            stream.reset();
            judge.ended(self.who, By::Network);
        }
        self.up.pieces.clear();
        self.up.end = None;
        self.down.arriving.clear();
        self.down.end = Some((Duration::ZERO, By::Network));
    }

    fn pump_down(&mut self, now: Duration, judge: &mut Judge) -> bool {
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
            let read = stream.read(&mut buffer[..most]);
            if let Ok(size @ 1..) = read {
                self.received(&buffer[..size], now, judge);
            }
            judge.buffer = buffer;
            match read {
                Ok(0) => self.server_ended(By::Server, now, judge),
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

    fn server_ended(&mut self, by: By, now: Duration, judge: &mut Judge) {
        let at = self.arrival(now);
        self.down.end = Some((at, by));
        judge.ended(self.who, by);
        self.tell_failure(now, judge);
    }

    /// A handshake that has not ended does not end any more.
    fn tell_failure(&mut self, now: Duration, judge: &mut Judge) {
        if self.tls.is_some() && !self.secured {
            self.secured = true;
            judge.secured(self.who, false);
            self.up.held.clear();
            if let Some(end) = self.up.held_end.take() {
                self.end(end, now);
            }
        }
    }

    fn received(&mut self, bytes: &[u8], now: Duration, judge: &mut Judge) {
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
            self.down.arriving.push_back((at, plain));
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

    fn arrival(&mut self, now: Duration) -> Duration {
        let last = self.down.arriving.back();
        let last = last.map_or(Duration::ZERO, |last| last.0);
        (now + draw_delay(&mut self.rng, self.latency)).max(last)
    }

    // --- to the client

    /// Takes the next bytes that have arrived.
    pub fn take(&mut self, now: Duration) -> Option<Vec<u8>> {
        let front = self.down.arriving.front()?;
        (front.0 <= now)
            .then(|| self.down.arriving.pop_front())?
            .map(|x| x.1)
    }

    /// When something happens by itself, after `now`.
    pub fn next(&self, now: Duration) -> Option<Duration> {
        let mut next = None;
        let mut at = |time: Duration| {
            if time > now && next.is_none_or(|next| time < next) {
                next = Some(time);
            }
        };
        if let Some((due, _)) = self.up.pieces.front() {
            at(self.up.not_before.max(*due));
        } else if let Some((due, _)) = self.up.end {
            at(due);
        }
        if let Some((due, _)) = self.down.arriving.front() {
            at(*due);
        } else if let Some((due, _)) = self.down.end {
            at(due);
        }
        if self.stream.is_some() && self.down.left != Some(0) {
            at(self.down.not_before);
        }
        next
    }
}

/// The bytes of a read or a write: more when there were many, so that a long transfer ends.
fn faster(chunk: usize, calls: u32) -> usize {
    chunk.saturating_mul(1 << (calls / 64).min(20))
}

fn draw_delay(rng: &mut Rng, most: Duration) -> Duration {
    match u64::try_from(most.as_nanos()).unwrap_or(u64::MAX) {
        0 => Duration::ZERO,
        most => Duration::from_nanos(rng.u64(0..=most)),
    }
}
