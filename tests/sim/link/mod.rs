//! One connection of a client, and the network that it goes through: it delays, splits, merges
//! and resets.

mod down;
mod up;

use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use ftpdlib::rustls::ClientConfig;
use ftpdlib::testing::Stream;

use self::down::Down;
use self::up::Up;
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

    /// The number of the data connection, if all is read that the server has sent, and more would
    /// be read.
    pub fn read_dry(&self) -> Option<u32> {
        let is_dry = self.stream.is_some()
            && self.down.drained
            && self.down.end.is_none()
            && self.down.left != Some(0);
        self.who.conn.filter(|_| is_dry)
    }

    /// Moves what can be moved now. Returns whether anything was.
    pub fn pump(&mut self, now: Duration, judge: &mut Judge) -> bool {
        let up = self.pump_up(now, judge);
        let down = self.pump_down(now, judge);
        up || down
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
        if let Some((due, ..)) = self.down.arriving.front() {
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
