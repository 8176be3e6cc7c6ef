//! The log on standard error: `[I 2026-11-22 17:00:00] message`.
//!
//! The crate logs through the `log` crate, target `ftpdlib`, so that any logger
//! does; [`config_logging`] installs the one of pyftpdlib's looks. It knows how
//! a line looks and how it is written; what the lines say is told elsewhere.
//!
//! Whatever a client sends, a line of the log is one line, and moves nothing on
//! a terminal: see [`escape`]. And whatever becomes of standard error, the
//! server goes on: a line that cannot be written is dropped.

use std::borrow::Cow;
use std::env;
use std::fmt::{self, Write as _};
use std::io::{self, IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use jiff::tz::TimeZone;
use log::{Log, Metadata, Record};

#[doc(no_inline)]
pub use log::{Level, LevelFilter, SetLoggerError};

/// Sends the lines of the crate, at `level` and above, to standard error, and
/// the warnings and errors of other crates; as pyftpdlib's `config_logging`.
///
/// The prefix is coloured where standard error is a terminal, unless `NO_COLOR`
/// is set or `TERM` is `dumb`.
///
/// # Errors
/// There is a logger already: it stays.
pub fn config_logging(level: LevelFilter) -> Result<(), SetLoggerError> {
    let logger = LOGGER.get_or_init(|| {
        let terminal = io::stderr().is_terminal();
        StderrLogger {
            terminal,
            output: Mutex::new(Output {
                formatter: LogFormatter::new(terminal && colours_allowed()),
                lines: LineBuffer::new(io::stderr()),
                written: None,
            }),
        }
    });
    log::set_logger(logger)?;
    log::set_max_level(level);
    Ok(())
}

/// Writes the lines that were gathered; a few nanoseconds where there are none.
///
/// Where standard error is no terminal and the level is info, lines may be
/// written together. That begins with the first call of this function, which is
/// a promise to call it again soon: the event loop does at the end of each turn.
/// [`write_through`] ends it.
pub fn flush() {
    if !GATHERING.load(Ordering::Relaxed) {
        GATHERING.store(true, Ordering::Relaxed);
    }
    if PENDING.load(Ordering::Relaxed) {
        write_pending();
    }
}

/// [`flush`] for the event loop, every turn: lines that follow each other within
/// [`GATHER_TIME`] go out together, the first of them at once. Returns when to
/// call again at the latest if lines wait.
pub(crate) fn flush_in_time(now: Instant) -> Option<Instant> {
    if !GATHERING.load(Ordering::Relaxed) {
        GATHERING.store(true, Ordering::Relaxed);
    }
    if !PENDING.load(Ordering::Relaxed) {
        return None;
    }
    let logger = LOGGER.get()?;
    let mut output = logger.lock();
    let due = output.written.map(|written| written + GATHER_TIME);
    if let Some(due) = due.filter(|due| *due > now) {
        return Some(due);
    }
    output.written = Some(now);
    output.lines.flush();
    PENDING.store(false, Ordering::Relaxed);
    None
}

/// Writes the lines that were gathered, and each line at once from now on: for
/// when a loop has ended, or before a fork. The next [`flush`] reverts it.
pub fn write_through() {
    GATHERING.store(false, Ordering::Relaxed);
    write_pending();
}

/// `text` with everything written out that could break a line or that a
/// terminal acts on: control characters (`\n`, `\t`, `\x1b`), line separators,
/// and what turns the direction of writing (`\u{202e}`). Clean text is borrowed.
#[must_use]
pub fn escape(text: &str) -> Cow<'_, str> {
    // Most text is ASCII: look at bytes before looking at characters.
    if text.bytes().all(|byte| matches!(byte, 0x20..=0x7e)) {
        return Cow::Borrowed(text);
    }
    let Some(first) = text.find(is_unsafe) else {
        return Cow::Borrowed(text);
    };
    let mut escaped = String::with_capacity(text.len() + 16);
    escaped.push_str(&text[..first]);
    for c in text[first..].chars() {
        match c {
            '\n' => escaped.push_str("\\n"),
            '\r' => escaped.push_str("\\r"),
            '\t' => escaped.push_str("\\t"),
            c if !is_unsafe(c) => escaped.push(c),
            c => {
                let code = u32::from(c);
                // Writing to a String does not fail.
                let _ = match code {
                    ..0x100 => write!(escaped, "\\x{code:02x}"),
                    _ => write!(escaped, "\\u{{{code:x}}}"),
                };
            }
        }
    }
    Cow::Owned(escaped)
}

/// Makes the lines: pyftpdlib's prefix, its colours, and an escaped message.
#[derive(Debug, Clone, Default)]
pub struct LogFormatter {
    coloured: bool,
    /// The second that `time` tells; there is a line for each command, and the
    /// calendar is slow.
    second: Option<u64>,
    time: String,
}

impl LogFormatter {
    /// With the prefix in colours, or without.
    #[must_use]
    pub fn new(coloured: bool) -> Self {
        Self {
            coloured,
            ..Self::default()
        }
    }

    /// Appends one line, with its line break, to `line`; the time is local.
    pub fn format(&mut self, level: Level, now: SystemTime, message: &str, line: &mut Vec<u8>) {
        self.set_time(now);
        let (colour, normal) = match level {
            _ if !self.coloured => ("", ""),
            Level::Error => ("\x1b[31m", "\x1b[0m"),
            Level::Warn => ("\x1b[33m", "\x1b[0m"),
            Level::Info => ("\x1b[32m", "\x1b[0m"),
            Level::Debug | Level::Trace => ("\x1b[34m", "\x1b[0m"),
        };
        let letter = &level.as_str()[..1];
        let message = escape(message);
        for part in [
            colour, "[", letter, " ", &self.time, "]", normal, " ", &message, "\n",
        ] {
            line.extend_from_slice(part.as_bytes());
        }
    }

    fn set_time(&mut self, now: SystemTime) {
        let since = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        if self.second == Some(since.as_secs()) {
            return;
        }
        self.second = Some(since.as_secs());
        self.time.clear();
        // A clock beyond the year 9999 is shown as the epoch.
        let seconds = i64::try_from(since.as_secs()).unwrap_or_default();
        let time = jiff::Timestamp::from_second(seconds).unwrap_or_default();
        let time = time.to_zoned(TimeZone::system());
        // Writing to a String does not fail.
        let _ = write!(self.time, "{}", time.strftime("%Y-%m-%d %H:%M:%S"));
    }
}

/// The logger that [`config_logging`] installs.
struct StderrLogger {
    terminal: bool,
    output: Mutex<Output>,
}

struct Output {
    formatter: LogFormatter,
    lines: LineBuffer<io::Stderr>,
    /// When [`flush_in_time`] last wrote.
    written: Option<Instant>,
}

impl StderrLogger {
    /// A thread that panicked with the lock leaves at worst half a line.
    fn lock(&self) -> MutexGuard<'_, Output> {
        self.output.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Log for StderrLogger {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= Level::Warn || is_ours(metadata.target())
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        // Before the lock: the arguments may be a user's, and log or panic themselves.
        let message = text(record.args());
        let level = record.level();
        // Whoever asked for each line wants to see it now.
        let watched = self.terminal || log::max_level() >= LevelFilter::Debug;
        let at_once = watched || level <= Level::Warn || !GATHERING.load(Ordering::Relaxed);

        let mut output = self.lock();
        let Output {
            formatter, lines, ..
        } = &mut *output;
        lines.push(|line| formatter.format(level, SystemTime::now(), &message, line));
        if at_once {
            lines.flush();
        }
        PENDING.store(!lines.pending.is_empty(), Ordering::Relaxed);
    }

    fn flush(&self) {
        write_pending();
    }
}

/// Whole lines on their way to `out`, at most [`GATHERED`] bytes of them.
struct LineBuffer<W> {
    out: W,
    pending: Vec<u8>,
}

impl<W: Write> LineBuffer<W> {
    fn new(out: W) -> Self {
        let pending = Vec::new();
        Self { out, pending }
    }

    /// Adds the line that `write` appends. What would then be too much is
    /// written before, so that no line is torn in two writes.
    fn push(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        let start = self.pending.len();
        write(&mut self.pending);
        if self.pending.len() > GATHERED {
            let line = self.pending.split_off(start);
            self.flush();
            self.pending = line;
        }
        if self.pending.len() >= GATHERED {
            self.flush();
        }
    }

    /// Writes all. What cannot be written (a closed pipe, a full disk) is lost:
    /// there is nobody left to tell.
    fn flush(&mut self) {
        if !self.pending.is_empty() {
            let _ = self.out.write_all(&self.pending);
            self.pending.clear();
            self.pending.shrink_to(GATHERED);
        }
    }
}

fn write_pending() {
    if let Some(logger) = LOGGER.get() {
        let mut output = logger.lock();
        output.lines.flush();
        PENDING.store(false, Ordering::Relaxed);
    }
}

/// Borrowed where the message has no arguments.
fn text(args: &fmt::Arguments<'_>) -> Cow<'static, str> {
    match args.as_str() {
        Some(text) => Cow::Borrowed(text),
        None => {
            let mut text = String::with_capacity(128);
            // A `Display` that fails must not bring the server down, as it does in `format!`.
            let _ = text.write_fmt(*args);
            Cow::Owned(text)
        }
    }
}

fn is_ours(target: &str) -> bool {
    target
        .strip_prefix("ftpdlib")
        .is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

fn is_unsafe(c: char) -> bool {
    // C0, DEL and C1; separators of lines; marks and overrides of direction; the
    // annotations and tags that show nothing.
    c.is_control()
        || matches!(c,
            '\u{2028}' | '\u{2029}'
            | '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
            | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

fn colours_allowed() -> bool {
    let set = |name| env::var_os(name).filter(|value| !value.is_empty());
    set("NO_COLOR").is_none() && set("TERM").is_some_and(|term| term != "dumb")
}

static LOGGER: OnceLock<StderrLogger> = OnceLock::new();
/// Whether somebody calls [`flush`].
static GATHERING: AtomicBool = AtomicBool::new(false);
/// Whether there is something to flush.
static PENDING: AtomicBool = AtomicBool::new(false);
/// How long a line may wait for others.
const GATHER_TIME: Duration = Duration::from_millis(20);
/// Bytes of lines written together.
const GATHERED: usize = 8192;

/// The target of every record of this crate.
pub(crate) const TARGET: &str = "ftpdlib";

#[cfg(test)]
mod tests;
