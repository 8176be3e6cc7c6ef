//! Lines that wait to be written.

use std::io::{self, ErrorKind};
use std::time::{Duration, Instant, SystemTime};

use log::Level;

use super::format::LogFormatter;
use crate::sys::{StandardError, WHOLE};

/// Where the lines go.
pub(super) trait Out {
    /// Writes some of the bytes. `WouldBlock`: there is no room now.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize>;

    /// The most bytes that one call should write, at least [`LONGEST_LINE`].
    fn most(&self) -> usize;

    /// Waits until there is room, or until the time is over.
    fn wait(&mut self, time: Duration);
}

impl Out for StandardError {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Self::write(self, bytes)
    }

    fn most(&self) -> usize {
        Self::most(self)
    }

    fn wait(&mut self, time: Duration) {
        Self::wait(self, time);
    }
}

/// Lines that wait to be written to `out`, at most [`BUFFER`] bytes. When these are full, further
/// lines are dropped until all are written, and a line says how many.
pub(super) struct LineBuffer<O> {
    pub(super) out: O,
    formatter: LogFormatter,
    pending: Vec<u8>,
    /// How many lines were dropped since the last line that says so.
    dropped: u64,
    refusal: Option<Refusal>,
    /// Whether the end has waited for `out` in vain.
    gave_up: bool,
}

/// `out` has taken nothing.
struct Refusal {
    /// When to try again.
    until: Instant,
    pause: Duration,
    /// Whether this was an error: a closed pipe, a full disk.
    failed: bool,
}

impl<O: Out> LineBuffer<O> {
    pub(super) fn new(out: O, formatter: LogFormatter) -> Self {
        Self {
            out,
            formatter,
            pending: Vec::new(),
            dropped: 0,
            refusal: None,
            gave_up: false,
        }
    }

    /// Adds a line. With `at_once`, or when many bytes wait, writes what `out` takes.
    pub(super) fn push(&mut self, level: Level, message: &str, at_once: bool) {
        if self.dropped > 0 && !self.flush() {
            self.dropped += 1;
            return;
        }
        let start = self.pending.len();
        let now = SystemTime::now();
        self.formatter
            .format(level, now, message, &mut self.pending);
        cut(&mut self.pending, start);
        if self.pending.len() > BUFFER {
            self.pending.truncate(start);
            self.dropped += 1;
        }
        if at_once || self.pending.len() >= GATHERED {
            self.flush();
        }
    }

    /// Writes the lines that `out` takes now. Returns whether none is left.
    pub(super) fn flush(&mut self) -> bool {
        if self.is_empty() {
            return true;
        }
        if let Some(refusal) = &self.refusal
            && Instant::now() < refusal.until
        {
            return false;
        }
        self.write_pending() && self.write_note()
    }

    fn write_pending(&mut self) -> bool {
        let mut done = 0;
        while done < self.pending.len() {
            let piece = piece(&self.pending[done..], self.out.most());
            match self.out.write(piece) {
                Ok(size @ 1..) => {
                    done += size;
                    self.refusal = None;
                    self.gave_up = false;
                }
                Err(err) if err.kind() == ErrorKind::Interrupted => {}
                Ok(0) => return self.refuse(done, false),
                Err(err) => return self.refuse(done, err.kind() != ErrorKind::WouldBlock),
            }
        }
        self.pending.clear();
        self.pending.shrink_to(GATHERED);
        true
    }

    /// `out` has taken `done` bytes and no more. Returns false.
    fn refuse(&mut self, done: usize, failed: bool) -> bool {
        self.pending.drain(..done);
        if failed {
            // There is no other place to report to.
            self.drop_pending();
        }
        let pause = self.refusal.as_ref().map(|refusal| refusal.pause * 2);
        let pause = pause.unwrap_or(PAUSE_MIN).min(PAUSE_MAX);
        self.refusal = Some(Refusal {
            until: Instant::now() + pause,
            pause,
            failed,
        });
        false
    }

    fn drop_pending(&mut self) {
        let lines = self.pending.iter().filter(|byte| **byte == b'\n').count();
        self.dropped += lines as u64;
        self.pending = Vec::new();
    }

    /// Says how many lines were dropped. Called when no other line waits.
    fn write_note(&mut self) -> bool {
        if self.dropped == 0 {
            return true;
        }
        let dropped = self.dropped;
        let text = format!("dropped {dropped} line(s) of the log: standard error took no more");
        let now = SystemTime::now();
        self.formatter
            .format(Level::Warn, now, &text, &mut self.pending);
        self.dropped = 0;
        let whole = self.pending.len();
        let written = self.write_pending();
        if !written && !(1..whole).contains(&self.pending.len()) {
            // None of it is written. It is made again, with the number of then.
            self.pending = Vec::new();
            self.dropped = dropped;
        }
        written
    }

    /// Writes all lines, and waits for `out` for a limited time. Lines that it does not take are
    /// dropped.
    pub(super) fn finish(&mut self) {
        let end = Instant::now() + END_WAIT;
        self.refusal = None;
        while !self.flush() {
            let left = end.saturating_duration_since(Instant::now());
            let failed = self.refusal.take().is_some_and(|refusal| refusal.failed);
            if failed || self.gave_up || left.is_zero() {
                break;
            }
            let wait = left.min(END_SILENCE);
            let until = Instant::now() + wait;
            self.out.wait(wait);
            self.gave_up = Instant::now() >= until;
        }
        self.drop_pending();
    }

    /// Writes text as it is after all lines, and waits as [`finish`](Self::finish).
    pub(super) fn finish_with(&mut self, text: &str) {
        self.flush();
        self.pending.extend_from_slice(text.as_bytes());
        self.finish();
    }

    /// In a new process: the lines are those of its parent.
    pub(super) fn forget(&mut self) {
        self.pending = Vec::new();
        self.dropped = 0;
        self.refusal = None;
    }

    /// Whether no line waits, and no dropped line is to be reported.
    pub(super) fn is_empty(&self) -> bool {
        self.pending.is_empty() && self.dropped == 0
    }

    /// How many bytes wait.
    #[cfg(test)]
    pub(super) fn size(&self) -> usize {
        self.pending.len()
    }

    /// When to try to write again, if `out` has taken nothing the last time.
    pub(super) fn refused_until(&self) -> Option<Instant> {
        self.refusal.as_ref().map(|refusal| refusal.until)
    }

    /// Whether nothing is to be done before the next line comes.
    pub(super) fn is_idle(&self) -> bool {
        let failed = |refusal: &Refusal| refusal.failed;
        self.is_empty() || self.refusal.as_ref().is_some_and(failed)
    }
}

/// The first bytes of these lines, at most `most`, and whole lines if possible.
fn piece(lines: &[u8], most: usize) -> &[u8] {
    if lines.len() <= most {
        return lines;
    }
    let end = lines[..most].iter().rposition(|byte| *byte == b'\n');
    &lines[..end.map_or(most, |end| end + 1)]
}

/// Cuts the line that begins at `start`, if it is too long to be written whole.
fn cut(lines: &mut Vec<u8>, start: usize) {
    if lines.len() - start <= LONGEST_LINE {
        return;
    }
    let mut end = start + LONGEST_LINE - CUT.len();
    // Not within a character.
    while lines[end] & 0xc0 == 0x80 {
        end -= 1;
    }
    lines.truncate(end);
    lines.extend_from_slice(CUT);
}

/// How many bytes of lines are written together, if nothing waits for room.
pub(super) const GATHERED: usize = 8192;

/// How many bytes of lines wait for room at most.
pub(super) const BUFFER: usize = 256 * 1024;

/// The longest line, with its end: a pipe takes it whole, so that two processes do not mix their
/// lines.
pub(super) const LONGEST_LINE: usize = if WHOLE < 4096 { 4096 } else { WHOLE };

/// The end of a line that was cut.
const CUT: &[u8] = b"...\n";

/// How long no attempt to write is made after `out` has taken nothing: longer each time.
const PAUSE_MIN: Duration = Duration::from_millis(1);
const PAUSE_MAX: Duration = Duration::from_millis(128);

/// How long the end waits for `out`, and how long while it takes nothing.
const END_WAIT: Duration = Duration::from_secs(1);
const END_SILENCE: Duration = Duration::from_millis(250);
