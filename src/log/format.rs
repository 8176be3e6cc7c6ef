//! The form of a log line.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::time::{SystemTime, UNIX_EPOCH};

use jiff::tz::TimeZone;
use log::Level;

/// Replaces, by visible escapes, all characters that could break a line or that a terminal acts
/// on: control characters (`\n`, `\t`, `\x1b`), line separators, and those that change the
/// direction of writing (`\u{202e}`). Clean text is borrowed.
#[must_use]
pub fn escape(text: &str) -> Cow<'_, str> {
    // Most text is ASCII: a look at its bytes is faster than at its characters.
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

/// Replaces `'`, `[` and `]` in the name of a user, besides what [`escape`] replaces: no name can end
/// where the log shows it, and go on as another part of the line.
pub(crate) fn escape_name(name: &str) -> Cow<'_, str> {
    if !name.contains(DELIMITERS) {
        return escape(name);
    }
    let mut escaped = String::with_capacity(name.len() + 16);
    for c in name.chars() {
        match DELIMITERS.contains(&c) {
            true => escaped.push_str(&format!("\\x{:02x}", u32::from(c))),
            false => escaped.push(c),
        }
    }
    Cow::Owned(escape(&escaped).into_owned())
}

/// A formatter of log lines: pyftpdlib's prefix in its colours, and an escaped message.
#[derive(Debug, Clone, Default)]
pub struct LogFormatter {
    coloured: bool,
    /// The second that `time` shows. It is kept since there is a line for each command, and
    /// calendar arithmetic is slow.
    second: Option<u64>,
    time: String,
}

impl LogFormatter {
    /// Makes a formatter, with the prefix in colours or without.
    #[must_use]
    pub fn new(coloured: bool) -> Self {
        Self {
            coloured,
            ..Self::default()
        }
    }

    /// Appends one line, with its line break, to `line`. The time is shown in the local time zone.
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

fn is_unsafe(c: char) -> bool {
    // C0, DEL and C1; line separators; marks and overrides of direction; annotations and tags,
    // which are invisible.
    c.is_control()
        || matches!(c,
            '\u{2028}' | '\u{2029}'
            | '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
            | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// What surrounds the name of a user in the log.
const DELIMITERS: [char; 3] = ['\'', '[', ']'];
