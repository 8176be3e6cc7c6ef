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
mod tests {
    use super::*;

    /// Remembers each write.
    #[derive(Default)]
    struct Writes(Vec<String>);

    impl Write for Writes {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.push(String::from_utf8(bytes.to_vec()).unwrap());
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    struct Broken;

    impl Write for Broken {
        fn write(&mut self, _bytes: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
    }

    fn line(formatter: &mut LogFormatter, level: Level, now: SystemTime, message: &str) -> String {
        let mut line = Vec::new();
        formatter.format(level, now, message, &mut line);
        String::from_utf8(line).unwrap()
    }

    fn push(lines: &mut LineBuffer<impl Write>, text: &str) {
        lines.push(|line| line.extend_from_slice(text.as_bytes()));
    }

    #[test]
    fn clean_text_is_borrowed() {
        for clean in ["", "plain text ~", "h\u{e9}llo \u{4f60}\u{597d} \u{1f600}"] {
            assert!(matches!(escape(clean), Cow::Borrowed(text) if text == clean));
        }
    }

    #[test]
    fn what_a_terminal_acts_on_is_written_out() {
        assert_eq!(escape("a\r\nb\tc\0"), "a\\r\\nb\\tc\\x00");
        assert_eq!(escape("\u{1b}[2J\u{7f}\u{9b}1m"), "\\x1b[2J\\x7f\\x9b1m");
        assert_eq!(
            escape("\u{e9}\u{2028}x\u{202e}"),
            "\u{e9}\\u{2028}x\\u{202e}"
        );
        assert_eq!(escape("\u{85}"), "\\x85");
        for c in (0..0x1f_ffff)
            .filter_map(char::from_u32)
            .filter(|c| c.is_control())
        {
            let text = format!("\u{e9}{c}x");
            assert!(!escape(&text).contains(c), "{c:?}");
            assert!(escape(&text).is_char_boundary(3));
        }
    }

    #[test]
    fn lines_look_as_those_of_pyftpdlib() {
        let mut formatter = LogFormatter::new(false);
        let noon = SystemTime::now();
        let info = line(&mut formatter, Level::Info, noon, "200 a\nb");
        let (prefix, message) = info.split_at("[I 2026-11-22 17:00:00]".len());
        assert_eq!(message, " 200 a\\nb\n");
        assert!(prefix.starts_with("[I 20") && prefix.ends_with(']'));
        let shape: String = prefix
            .chars()
            .map(|c| if c.is_ascii_digit() { '0' } else { c })
            .collect();
        assert_eq!(shape, "[I 0000-00-00 00:00:00]");
        for (level, letter) in [
            (Level::Debug, "[D "),
            (Level::Warn, "[W "),
            (Level::Error, "[E "),
        ] {
            assert!(line(&mut formatter, level, noon, "").starts_with(letter));
        }
    }

    #[test]
    fn the_time_follows_the_clock() {
        let mut formatter = LogFormatter::new(false);
        let at = |seconds| UNIX_EPOCH + Duration::from_millis(seconds);
        let first = line(&mut formatter, Level::Info, at(1_000_000_000), "");
        assert_eq!(
            line(&mut formatter, Level::Info, at(1_000_000_999), ""),
            first
        );
        assert_ne!(
            line(&mut formatter, Level::Info, at(1_000_001_000), ""),
            first
        );
        // Clocks that are wrong are shown, and end nothing.
        line(
            &mut formatter,
            Level::Info,
            UNIX_EPOCH - Duration::from_secs(1),
            "",
        );
        line(
            &mut formatter,
            Level::Info,
            UNIX_EPOCH + Duration::from_secs(1 << 60),
            "",
        );
    }

    #[test]
    fn only_the_prefix_is_coloured() {
        let mut formatter = LogFormatter::new(true);
        let error = line(&mut formatter, Level::Error, SystemTime::now(), "message");
        assert!(error.starts_with("\u{1b}[31m[E "), "{error:?}");
        assert!(error.ends_with("]\u{1b}[0m message\n"), "{error:?}");
    }

    #[test]
    fn lines_are_gathered_until_flushed() {
        let mut lines = LineBuffer::new(Writes::default());
        push(&mut lines, "one\n");
        push(&mut lines, "two\n");
        assert!(lines.out.0.is_empty());
        lines.flush();
        lines.flush();
        assert_eq!(lines.out.0, ["one\ntwo\n"]);
    }

    #[test]
    fn no_more_is_gathered_than_the_limit() {
        let mut lines = LineBuffer::new(Writes::default());
        let kilobyte = "x".repeat(1000);
        for _ in 0..9 {
            push(&mut lines, &kilobyte);
        }
        assert_eq!(lines.out.0.len(), 1);
        assert_eq!(lines.out.0[0].len(), 8000);
        assert_eq!(lines.pending.len(), 1000);
        // A line beyond the limit goes out whole, after those before it.
        push(&mut lines, &"y".repeat(3 * GATHERED));
        assert_eq!(lines.out.0.len(), 3);
        assert_eq!(lines.out.0[2].len(), 3 * GATHERED);
        assert!(lines.pending.is_empty() && lines.pending.capacity() <= GATHERED);
    }

    #[test]
    fn a_broken_pipe_is_no_error() {
        let mut lines = LineBuffer::new(Broken);
        for _ in 0..3 {
            push(&mut lines, "line\n");
            lines.flush();
            assert!(lines.pending.is_empty());
        }
    }

    #[test]
    fn the_crate_and_its_modules_are_ours() {
        assert!(is_ours("ftpdlib") && is_ours("ftpdlib::servers"));
        assert!(!is_ours("ftpdlib2") && !is_ours("mio::poll"));
    }
}
