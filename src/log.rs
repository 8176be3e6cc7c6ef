//! The log on standard error: `[I 2026-11-22 17:00:00] message`.
//!
//! The crate logs through the `log` crate with the target `ftpdlib`, so any logger can be used.
//! [`config_logging`] installs one whose lines look like those of pyftpdlib. This module knows how
//! a line looks and how it is written. The text of a line comes from the code that logs it.
//!
//! A log line is always one line, whatever a client sends, and it has no effect on a terminal: see
//! [`escape`]. A line that cannot be written to standard error is dropped, and the server goes on.

mod format;

use std::borrow::Cow;
use std::env;
use std::fmt::{self, Write as _};
use std::io::{self, IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use log::{Log, Metadata, Record};

pub use self::format::{LogFormatter, escape};

#[doc(no_inline)]
pub use log::{Level, LevelFilter, SetLoggerError};

/// Installs a logger that writes to standard error: the records of this crate at `level` and
/// above, and the warnings and errors of other crates. As pyftpdlib's `config_logging`.
///
/// The prefix is coloured if standard error is a terminal, unless `NO_COLOR` is set or `TERM` is
/// `dumb`.
///
/// # Errors
/// Another logger is installed already. It stays.
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

/// Writes the lines that were gathered. Takes a few nanoseconds if there are none.
///
/// Lines of level info are gathered and written together, unless standard error is a terminal or
/// the level is debug. Gathering begins with the first call of this function: the caller promises
/// to call it again soon, as the event loop does in each turn. [`write_through`] ends it.
pub fn flush() {
    if !GATHERING.load(Ordering::Relaxed) {
        GATHERING.store(true, Ordering::Relaxed);
    }
    if PENDING.load(Ordering::Relaxed) {
        write_pending();
    }
}

/// [`flush`] for each turn of the event loop. The first line is written at once; lines that follow
/// within [`GATHER_TIME`] are written together. If lines wait, returns when to call again at the
/// latest.
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

/// Writes the lines that were gathered, and from now on writes each line at once: call it when a
/// loop has ended, or before a fork. The next [`flush`] starts the gathering again.
pub fn write_through() {
    GATHERING.store(false, Ordering::Relaxed);
    write_pending();
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
    /// A thread that panicked while it held the lock leaves half a line at worst.
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
        // Before the lock: the arguments may be a user's, and may log or panic.
        let message = text(record.args());
        let level = record.level();
        // At a terminal, and at level debug, lines are read as they come.
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

/// Whole lines that wait to be written to `out`, at most [`GATHERED`] bytes.
struct LineBuffer<W> {
    out: W,
    pending: Vec<u8>,
}

impl<W: Write> LineBuffer<W> {
    fn new(out: W) -> Self {
        let pending = Vec::new();
        Self { out, pending }
    }

    /// Adds the line that `write` appends. If the lines would be too many, the earlier ones are
    /// written first, so that no line is divided between two writes.
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

    /// Writes all lines. Lines that cannot be written (a closed pipe, a full disk) are lost: there
    /// is no other place to report to.
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

/// The text of a message. It is borrowed if the message has no arguments.
fn text(args: &fmt::Arguments<'_>) -> Cow<'static, str> {
    match args.as_str() {
        Some(text) => Cow::Borrowed(text),
        None => {
            let mut text = String::with_capacity(128);
            // A `Display` that fails must not panic, as it does in `format!`.
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

fn colours_allowed() -> bool {
    let set = |name| env::var_os(name).filter(|value| !value.is_empty());
    set("NO_COLOR").is_none() && set("TERM").is_some_and(|term| term != "dumb")
}

static LOGGER: OnceLock<StderrLogger> = OnceLock::new();
/// Whether lines are gathered, because a caller of [`flush`] writes them.
static GATHERING: AtomicBool = AtomicBool::new(false);
/// Whether there are lines to write.
static PENDING: AtomicBool = AtomicBool::new(false);
/// How long a line may wait for other lines.
const GATHER_TIME: Duration = Duration::from_millis(20);
/// How many bytes of lines are written together at most.
const GATHERED: usize = 8192;

/// The target of every record of this crate.
pub(crate) const TARGET: &str = "ftpdlib";

#[cfg(test)]
mod tests;
