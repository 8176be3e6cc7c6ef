//! What happens in a world, in its order: always as a hash, and as a text where it is asked for.

use std::fmt::Write;
use std::time::Duration;

use crate::model::{By, Callback, Damage};

/// The trace of a world. Two runs of the same world have the same hash.
#[derive(Debug)]
pub struct Trace {
    hash: u64,
    text: Option<String>,
    now: Duration,
    events: u64,
}

impl Trace {
    pub fn new(with_text: bool) -> Self {
        Self {
            hash: 0,
            text: with_text.then(String::new),
            now: Duration::ZERO,
            events: 0,
        }
    }

    /// What comes from now on happens at this time.
    pub fn at(&mut self, now: Duration) {
        self.now = now;
    }

    pub fn hash(&self) -> u64 {
        self.hash
    }

    /// How many events there were.
    pub fn events(&self) -> u64 {
        self.events
    }

    pub fn take_text(&mut self) -> String {
        self.text.take().unwrap_or_default()
    }

    /// Bytes that a client or its network moved, or a step that it began.
    pub fn bytes(&mut self, client: usize, what: &'static str, bytes: &[u8]) {
        self.mix(client as u64, what, bytes);
        if self.text.is_some() {
            let mut shown = bytes
                .get(..SHOWN)
                .unwrap_or(bytes)
                .escape_ascii()
                .to_string();
            if bytes.len() > SHOWN {
                let _ = write!(shown, "... ({} bytes)", bytes.len());
            }
            self.line(&format!("client {client} {what} {shown}"));
        }
    }

    /// The same of a data connection.
    pub fn data(&mut self, client: usize, conn: u32, what: &'static str, bytes: &[u8]) {
        self.mix(client as u64 + (u64::from(conn) << 16), what, bytes);
        if self.text.is_some() {
            let mut shown = bytes
                .get(..SHOWN)
                .unwrap_or(bytes)
                .escape_ascii()
                .to_string();
            if bytes.len() > SHOWN {
                let _ = write!(shown, "... ({} bytes)", bytes.len());
            }
            self.line(&format!("client {client} data {conn} {what} {shown}"));
        }
    }

    /// A connection has ended.
    pub fn end(&mut self, client: usize, conn: Option<u32>, by: By) {
        self.mix(client as u64, "end", format!("{conn:?} {by:?}").as_bytes());
        if self.text.is_some() {
            let conn = conn.map_or(String::new(), |conn| format!("data {conn} "));
            self.line(&format!("client {client} {conn}ended by {by:?}"));
        }
    }

    /// An operation of the disk.
    pub fn disk(&mut self, operation: &'static str, path: Option<&[u8]>) {
        let path = path.unwrap_or_default();
        self.mix(0, operation, path);
        if self.text.is_some() {
            self.line(&format!("    disk {operation} {}", path.escape_ascii()));
        }
    }

    pub fn damage(&mut self, home: usize, path: &[u8], damage: &Damage) {
        self.mix(home as u64, "damage", path);
        if self.text.is_some() {
            let path = path.escape_ascii();
            self.line(&format!("    disk home {home} {path}: {damage:?}"));
        }
    }

    pub fn callback(&mut self, client: usize, callback: &Callback) {
        self.mix(
            client as u64,
            "callback",
            format!("{callback:?}").as_bytes(),
        );
        if self.text.is_some() {
            self.line(&format!("    callback of client {client}: {callback:?}"));
        }
    }

    /// Something that the world did.
    pub fn world(&mut self, what: &'static str, number: u64) {
        self.mix(number, what, b"");
        if self.text.is_some() {
            self.line(&format!("{what} {number}"));
        }
    }

    fn line(&mut self, line: &str) {
        if let Some(text) = &mut self.text {
            let _ = writeln!(text, "{:>14.6} {line}", self.now.as_secs_f64());
        }
    }

    fn mix(&mut self, number: u64, what: &str, bytes: &[u8]) {
        self.events += 1;
        let now = u64::try_from(self.now.as_nanos()).unwrap_or(u64::MAX);
        self.word(now);
        self.word(number);
        for part in [what.as_bytes(), bytes] {
            self.word(part.len() as u64);
            let mut chunks = part.chunks_exact(8);
            for chunk in &mut chunks {
                let mut word = [0; 8];
                word.copy_from_slice(chunk);
                self.word(u64::from_le_bytes(word));
            }
            let mut word = [0; 8];
            word[..chunks.remainder().len()].copy_from_slice(chunks.remainder());
            self.word(u64::from_le_bytes(word));
        }
    }

    fn word(&mut self, word: u64) {
        let mixed = (self.hash ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.hash = mixed ^ (mixed >> 29);
    }
}

const SHOWN: usize = 160;
