//! The log on standard error: `[I 2026-11-22 17:00:00] message`.
//!
//! The crate logs through the `log` crate with the target `ftpdlib`, so any logger can be used.
//! [`config_logging`] installs one whose lines look like those of pyftpdlib. This module knows how
//! a line looks and how it is written. The text of a line comes from the code that logs it.
//!
//! A log line is always one line, whatever a client sends, and it has no effect on a terminal: see
//! [`escape`].
//!
//! While a server serves, no line waits for the program that reads standard error: a terminal that
//! was stopped, a full pipe, a slow reader. A limited number of lines waits in memory. Lines beyond
//! that are dropped, and a line says how many as soon as there is room again.

mod format;
mod lines;
mod seldom;

use std::borrow::Cow;
use std::env;
use std::fmt::{self, Write as _};
use std::io::{self, IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use log::{Log, Metadata, Record};

pub(crate) use self::format::escape_name;
pub use self::format::{LogFormatter, escape};
use self::lines::LineBuffer;
pub(crate) use self::seldom::{FirstFew, Seldom};
use crate::sys::StandardError;

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
                lines: LineBuffer::new(
                    StandardError::new(),
                    LogFormatter::new(terminal && colours_allowed()),
                ),
                written: None,
                has_looked: false,
            }),
        }
    });
    log::set_logger(logger)?;
    log::set_max_level(level);
    Ok(())
}

/// Writes the lines that were gathered, as far as standard error takes them without waiting. Takes a
/// few nanoseconds if there are none.
///
/// Lines of level info are gathered and written together, unless standard error is a terminal or
/// the level is debug. Gathering begins with the first call of this function: the caller promises
/// to call it again soon, as the event loop does in each turn. [`write_through`] ends it.
pub fn flush() {
    gather();
    if PENDING.load(Ordering::Relaxed) {
        write_pending();
    }
}

/// [`flush`] for each turn of the event loop. The first line is written at once; lines that follow
/// within [`GATHER_TIME`] are written together. If lines wait, returns when to call again at the
/// latest.
pub(crate) fn flush_in_time(now: Instant) -> Option<Instant> {
    gather();
    if !PENDING.load(Ordering::Relaxed) {
        return None;
    }
    let logger = LOGGER.get()?;
    let mut output = logger.lock();
    let due = output.written.map(|written| written + GATHER_TIME);
    let due = due.max(output.lines.refused_until());
    if let Some(due) = due.filter(|due| *due > now) {
        return Some(due);
    }
    output.written = Some(now);
    output.lines.flush();
    output.tell_pending();
    let waits = PENDING.load(Ordering::Relaxed);
    output.lines.refused_until().filter(|_| waits)
}

/// For a process without a loop: writes the lines that standard error has not taken before, if it
/// is time to try again. If lines wait, returns when to call again at the latest.
pub(crate) fn retry() -> Option<Instant> {
    if PENDING.load(Ordering::Relaxed) {
        write_pending();
    }
    let waits = PENDING.load(Ordering::Relaxed);
    let logger = LOGGER.get().filter(|_| waits)?;
    logger.lock().lines.refused_until()
}

/// Writes the lines that were gathered, and from now on writes each line at once: call it when a
/// loop has ended, or before a fork. The next [`flush`] starts the gathering again.
///
/// It waits for the program that reads standard error, but at most a second, and a quarter of a
/// second while that program reads nothing. Then the lines are dropped.
pub fn write_through() {
    GATHERING.store(false, Ordering::Relaxed);
    if let Some(logger) = LOGGER.get() {
        let mut output = logger.lock();
        output.lines.finish();
        output.has_looked = false;
        output.tell_pending();
    }
}

/// Writes text to standard error as it is, after the lines of the log. It waits as
/// [`write_through`] does, if [`config_logging`] was called.
pub fn write_plain(text: &str) {
    let Some(logger) = LOGGER.get() else {
        // If standard error is closed, there is no other place to report to.
        let _ = io::stderr().write_all(text.as_bytes());
        return;
    };
    let mut output = logger.lock();
    output.look();
    output.lines.finish_with(text);
    output.tell_pending();
}

/// This process is about to fork: writes what standard error takes without waiting. The new process
/// calls [`after_fork`].
pub(crate) fn before_fork() {
    GATHERING.store(false, Ordering::Relaxed);
    let first = !SHARED.swap(true, Ordering::Relaxed);
    if let Some(logger) = LOGGER.get() {
        let mut output = logger.lock();
        output.has_looked &= !first;
        output.look();
        output.lines.flush();
        output.tell_pending();
    }
}

/// This process is about to become another user, who may not open the terminal or the pipe of
/// standard error again: opens it now.
pub(crate) fn before_switch() {
    if let Some(logger) = LOGGER.get() {
        let mut output = logger.lock();
        output.has_looked = false;
        output.look();
    }
}

/// In a new process: the lines that still wait are those of its parent.
pub(crate) fn after_fork() {
    if let Some(logger) = LOGGER.get() {
        let mut output = logger.lock();
        output.lines.forget();
        output.tell_pending();
    }
}

/// The caller flushes soon: from now on lines are gathered.
fn gather() {
    if GATHERING.load(Ordering::Relaxed) {
        return;
    }
    GATHERING.store(true, Ordering::Relaxed);
    if let Some(logger) = LOGGER.get() {
        logger.lock().look();
    }
}

/// The logger that [`config_logging`] installs.
struct StderrLogger {
    terminal: bool,
    output: Mutex<Output>,
}

struct Output {
    lines: LineBuffer<StandardError>,
    /// When [`flush_in_time`] last wrote.
    written: Option<Instant>,
    /// Whether it is known what standard error is.
    has_looked: bool,
}

impl Output {
    /// Finds out how to write without waiting. A program may replace standard error before it
    /// serves, so this is not done earlier.
    fn look(&mut self) {
        if !std::mem::replace(&mut self.has_looked, true) {
            self.lines.out.look(SHARED.load(Ordering::Relaxed));
        }
    }

    /// To be called after each use of the lines.
    fn tell_pending(&self) {
        PENDING.store(!self.lines.is_idle(), Ordering::Relaxed);
    }
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
        output.lines.push(level, &message, at_once);
        output.tell_pending();
    }

    fn flush(&self) {
        write_pending();
    }
}

/// As [`flush`], for a caller that does not promise to call again.
pub(crate) fn write_pending() {
    if let Some(logger) = LOGGER.get() {
        let mut output = logger.lock();
        output.lines.flush();
        output.tell_pending();
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
/// Whether several processes write to standard error.
static SHARED: AtomicBool = AtomicBool::new(false);
/// Whether there are lines to write.
static PENDING: AtomicBool = AtomicBool::new(false);
/// How long a line may wait for other lines.
const GATHER_TIME: Duration = Duration::from_millis(20);
/// The target of every record of this crate.
pub(crate) const TARGET: &str = "ftpdlib";

#[cfg(test)]
mod tests;
