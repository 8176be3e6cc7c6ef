//! Unit tests of the log.

use std::time::UNIX_EPOCH;

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
