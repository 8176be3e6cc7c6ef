//! Unit tests of the log.

use std::time::{SystemTime, UNIX_EPOCH};

use super::lines::{BUFFER, GATHERED, LONGEST_LINE, Out};
use super::*;

/// Takes as many bytes as there is room for, and remembers each write.
struct Pipe {
    room: usize,
    most: usize,
    writes: Vec<String>,
    error: Option<io::ErrorKind>,
    /// How many bytes are read during each wait.
    read: usize,
    waits: usize,
}

impl Pipe {
    fn with_room(room: usize) -> Self {
        Self {
            room,
            most: usize::MAX,
            writes: Vec::new(),
            error: None,
            read: 0,
            waits: 0,
        }
    }

    fn written(&self) -> String {
        self.writes.concat()
    }
}

impl Out for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Some(kind) = self.error {
            return Err(kind.into());
        }
        let size = bytes.len().min(self.room);
        if size == 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        self.room -= size;
        self.writes
            .push(String::from_utf8_lossy(&bytes[..size]).into_owned());
        Ok(size)
    }

    fn most(&self) -> usize {
        self.most
    }

    fn wait(&mut self, time: Duration) {
        self.waits += 1;
        self.room += self.read;
        if self.read == 0 {
            let end = Instant::now() + time;
            while let Some(left) = end.checked_duration_since(Instant::now()) {
                std::thread::park_timeout(left);
            }
        }
    }
}

fn lines_to(out: Pipe) -> LineBuffer<Pipe> {
    LineBuffer::new(out, LogFormatter::new(false))
}

/// The messages of the lines that were written.
fn messages(lines: &LineBuffer<Pipe>) -> Vec<String> {
    let written = lines.out.written();
    let message = |line: &str| line.split_once("] ").unwrap().1.to_owned();
    written.lines().map(message).collect()
}

/// Lets the lines be written, and waits until they try.
fn make_room(lines: &mut LineBuffer<Pipe>) {
    lines.out.room = usize::MAX;
    while !lines.flush() {
        std::thread::yield_now();
    }
}

fn line(formatter: &mut LogFormatter, level: Level, now: SystemTime, message: &str) -> String {
    let mut line = Vec::new();
    formatter.format(level, now, message, &mut line);
    String::from_utf8(line).unwrap()
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
    let mut lines = lines_to(Pipe::with_room(usize::MAX));
    lines.push(Level::Info, "one", false);
    lines.push(Level::Info, "two", false);
    assert!(lines.out.writes.is_empty());
    assert!(lines.flush() && lines.flush());
    assert_eq!(lines.out.writes.len(), 1);
    assert_eq!(messages(&lines), ["one", "two"]);
    lines.push(Level::Info, "three", true);
    assert_eq!(lines.out.writes.len(), 2);
}

#[test]
fn no_more_is_gathered_than_the_limit() {
    let mut lines = lines_to(Pipe::with_room(usize::MAX));
    let kilobyte = "x".repeat(1000);
    for _ in 0..9 {
        lines.push(Level::Info, &kilobyte, false);
    }
    assert_eq!(lines.out.writes.len(), 1);
    assert!(lines.out.written().len() >= GATHERED && !lines.is_empty());
}

#[test]
fn lines_are_cut_so_that_a_pipe_takes_them_whole() {
    for letter in ["x", "\u{e9}", "\u{1f600}"] {
        let mut lines = lines_to(Pipe::with_room(usize::MAX));
        lines.push(Level::Info, &letter.repeat(3 * GATHERED), true);
        let written = lines.out.written();
        assert!(written.len() <= LONGEST_LINE && written.len() > LONGEST_LINE - 4);
        assert!(written.ends_with(&format!("{letter}...\n")));
    }
    // Whole lines are written if another process writes, too.
    let mut out = Pipe::with_room(usize::MAX);
    out.most = LONGEST_LINE;
    let mut lines = lines_to(out);
    for _ in 0..6 {
        lines.push(Level::Info, &"y".repeat(1000), false);
    }
    lines.flush();
    let sizes: Vec<_> = lines.out.writes.iter().map(String::len).collect();
    assert!(sizes.len() == 2 && sizes.iter().all(|size| *size <= LONGEST_LINE));
    assert!(lines.out.writes.iter().all(|lines| lines.ends_with("y\n")));
}

#[test]
fn a_full_pipe_costs_lines_and_they_are_counted() {
    let mut lines = lines_to(Pipe::with_room(10));
    let sent: Vec<_> = (0..10_000)
        .map(|number| format!("{number} {}", "x".repeat(100)))
        .collect();
    for line in &sent {
        lines.push(Level::Info, line, true);
        assert!(lines.size() <= BUFFER);
    }
    make_room(&mut lines);
    lines.push(Level::Info, "after", true);
    let written = messages(&lines);
    // The first lines are whole and in order, then comes the number of those that were dropped.
    let kept = written.len() - 2;
    assert_eq!(written[..kept], sent[..kept]);
    let dropped = sent.len() - kept;
    let note = format!("dropped {dropped} line(s) of the log: standard error took no more");
    assert_eq!(written[kept..], [note, "after".to_owned()]);
}

#[test]
fn the_end_waits_for_a_reader_but_not_for_ever() {
    let message = "x".repeat(100);
    let mut out = Pipe::with_room(0);
    out.read = 1000;
    let mut lines = lines_to(out);
    for _ in 0..100 {
        lines.push(Level::Info, &message, true);
    }
    lines.finish();
    assert_eq!(messages(&lines).len(), 100);
    assert!(lines.is_empty() && lines.out.waits > 1);

    let mut lines = lines_to(Pipe::with_room(0));
    lines.push(Level::Info, &message, true);
    lines.finish();
    lines.finish();
    assert_eq!(lines.out.waits, 1);
    make_room(&mut lines);
    let note = "dropped 1 line(s) of the log: standard error took no more";
    assert_eq!(messages(&lines), [note]);
}

#[test]
fn a_broken_pipe_is_no_error() {
    let mut lines = lines_to(Pipe::with_room(usize::MAX));
    lines.out.error = Some(io::ErrorKind::BrokenPipe);
    for _ in 0..3 {
        lines.push(Level::Info, "line", true);
        assert!(lines.size() == 0 && lines.is_idle());
    }
    lines.finish();
    assert_eq!(lines.out.waits, 0);
    // A disk may have room again.
    lines.out.error = None;
    make_room(&mut lines);
    let note = "dropped 3 line(s) of the log: standard error took no more";
    assert_eq!(messages(&lines), [note]);
}

#[test]
fn a_new_process_has_no_lines_of_its_parent() {
    let mut lines = lines_to(Pipe::with_room(0));
    lines.push(Level::Info, "line", true);
    lines.forget();
    make_room(&mut lines);
    assert!(lines.out.writes.is_empty());
}

#[test]
fn the_crate_and_its_modules_are_ours() {
    assert!(is_ours("ftpdlib") && is_ours("ftpdlib::servers"));
    assert!(!is_ours("ftpdlib2") && !is_ours("mio::poll"));
}
